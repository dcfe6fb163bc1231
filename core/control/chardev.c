/* SPDX-License-Identifier: MIT */
#include "core/control/chardev.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/control/chardev_socket.h"
#include "core/control/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 4096
#define KEPT_MAX (64 * KiB) /* what lies here unsent at most */
#define KEPT_HIGH (32 * KiB) /* from here on the guest is asked to wait */
#define CLOSE_MS 1000 /* how long closing waits for the host */

struct chardev {
	char *name;
	bool is_stdio;
	bool is_terminal; /* raw mode is on */
	bool lossy; /* the guest is never asked to wait */
	struct chardev_user *user; /* may be NULL; main thread */
	struct chardev_tap *taps;

	GMutex lock;
	int in, out; /* -1: none. in changes on the main thread only; out is guarded by lock */
	bool out_is_socket; /* guarded by lock */
	GByteArray *kept; /* not sent yet; guarded by lock */
	bool behind; /* chardev_write() said so; guarded by lock */

	gint accept_asked, flush_asked; /* an idle callback is under way; atomic */
	GSource *in_source, *out_source; /* NULL: not watched; main thread */

	struct chardev_server *server; /* NULL: none */
	int slave; /* of a pseudo terminal; -1: none */
};

static gboolean handle_input(int fd, GIOCondition condition, gpointer opaque);
static gboolean handle_output(int fd, GIOCondition condition, gpointer opaque);

static GSource *watch_fd(struct chardev *chardev, int fd, GIOCondition condition,
		gboolean (*handler)(int fd, GIOCondition condition, gpointer opaque))
{
	GSource *source = g_unix_fd_source_new(fd, condition);

	g_source_set_callback(source, G_SOURCE_FUNC(handler), chardev, NULL);
	g_source_attach(source, NULL);
	return source;
}

static void unwatch(GSource **source)
{
	if (*source) {
		g_source_destroy(*source);
		g_source_unref(*source);
		*source = NULL;
	}
}

static void watch_input(struct chardev *chardev)
{
	if (!chardev->in_source && chardev->in >= 0 && chardev->user && chardev->user->receive) {
		chardev->in_source = watch_fd(
				chardev, chardev->in, G_IO_IN | G_IO_HUP, handle_input);
	}
}

/* Runs fn(chardev) soon on the main thread, once however often it is asked for. */
static void ask_main(struct chardev *chardev, gint *asked, GSourceFunc fn)
{
	if (g_atomic_int_compare_and_exchange(asked, 0, 1)) {
		g_idle_add_full(G_PRIORITY_DEFAULT, fn, chardev, NULL);
	}
}

/* Nothing comes in any more; the peer of a socket is gone altogether, and a next one may come. */
static void hang_up(struct chardev *chardev)
{
	bool was_behind = false;

	unwatch(&chardev->in_source);
	g_mutex_lock(&chardev->lock);
	if (chardev->out == chardev->in) {
		unwatch(&chardev->out_source);
		chardev->out = -1;
		g_byte_array_set_size(chardev->kept, 0);
		was_behind = chardev->behind;
		chardev->behind = false;
	}
	fd_close(&chardev->in);
	g_mutex_unlock(&chardev->lock);
	if (was_behind && chardev->user && chardev->user->writable) {
		chardev->user->writable(chardev->user);
	}
}

static gboolean handle_input(int fd, GIOCondition condition, gpointer opaque)
{
	struct chardev *chardev = opaque;
	uint8_t data[READ_CHUNK];
	size_t room = MIN(chardev->user->can_receive(chardev->user), sizeof(data));
	(void)condition;

	if (room == 0) {
		unwatch(&chardev->in_source); /* until chardev_accept_input() */
		return G_SOURCE_CONTINUE;
	}
	ssize_t n = read(fd, data, room);
	if (n > 0) {
		size_t len = (size_t)n;
		if (!chardev->is_terminal || terminal_filter(data, &len)) {
			chardev->user->receive(chardev->user, data, len);
		}
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(chardev);
	}
	return G_SOURCE_CONTINUE;
}

static gboolean accept_input(gpointer opaque)
{
	struct chardev *chardev = opaque;

	g_atomic_int_set(&chardev->accept_asked, 0);
	watch_input(chardev);
	return G_SOURCE_REMOVE;
}

void chardev_accept_input(struct chardev *chardev)
{
	ask_main(chardev, &chardev->accept_asked, accept_input);
}

void chardev_set_user(struct chardev *chardev, struct chardev_user *user)
{
	unwatch(&chardev->in_source);
	chardev->user = user;
	watch_input(chardev);
	if (user && user->opened && chardev->out >= 0) {
		user->opened(user);
	}
}

void chardev_add_tap(struct chardev *chardev, struct chardev_tap *tap)
{
	tap->next = chardev->taps;
	chardev->taps = tap;
}

/* Writes what goes; -1 if nothing can ever be written again. */
static ssize_t write_some_locked(struct chardev *chardev, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = chardev->out_is_socket ? send(chardev->out, data + done, len - done,
								     MSG_DONTWAIT | MSG_NOSIGNAL)
						   : write(chardev->out, data + done, len - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return (ssize_t)done;
}

/* On the main thread: there is something to send, watch for when it goes. */
static gboolean watch_output(gpointer opaque)
{
	struct chardev *chardev = opaque;

	g_atomic_int_set(&chardev->flush_asked, 0);
	g_mutex_lock(&chardev->lock);
	if (!chardev->out_source && chardev->out >= 0 && chardev->kept->len > 0) {
		chardev->out_source = watch_fd(chardev, chardev->out, G_IO_OUT, handle_output);
	}
	g_mutex_unlock(&chardev->lock);
	return G_SOURCE_REMOVE;
}

/* Sends from what is kept; what can never be sent is forgotten. */
static void flush_locked(struct chardev *chardev)
{
	ssize_t n = write_some_locked(chardev, chardev->kept->data, chardev->kept->len);

	g_byte_array_remove_range(chardev->kept, 0, n < 0 ? chardev->kept->len : (guint)n);
}

static gboolean handle_output(int fd, GIOCondition condition, gpointer opaque)
{
	struct chardev *chardev = opaque;
	bool was_behind = false;
	(void)fd;
	(void)condition;

	g_mutex_lock(&chardev->lock);
	flush_locked(chardev);
	if (chardev->kept->len == 0) {
		unwatch(&chardev->out_source);
		was_behind = chardev->behind;
		chardev->behind = false;
	}
	g_mutex_unlock(&chardev->lock);
	if (was_behind && chardev->user && chardev->user->writable) {
		chardev->user->writable(chardev->user);
	}
	return G_SOURCE_CONTINUE;
}

static void keep_locked(struct chardev *chardev, const uint8_t *data, size_t len)
{
	size_t room = KEPT_MAX - chardev->kept->len;

	if (len > room && !chardev->lossy) {
		guest_error("%s: the host does not keep up, output is lost", chardev->name);
	}
	g_byte_array_append(chardev->kept, data, (guint)MIN(len, room));
	ask_main(chardev, &chardev->flush_asked, watch_output);
}

bool chardev_write(struct chardev *chardev, const uint8_t *data, size_t len)
{
	g_mutex_lock(&chardev->lock);
	for (struct chardev_tap *tap = chardev->taps; tap; tap = tap->next) {
		tap->written(tap, data, len);
	}
	if (chardev->out >= 0) {
		ssize_t n = chardev->kept->len > 0 ? 0 : write_some_locked(chardev, data, len);
		if (n < 0) {
			guest_error("%s: %s, output is lost", chardev->name, g_strerror(errno));
		} else if ((size_t)n < len) {
			keep_locked(chardev, data + n, len - (size_t)n);
		}
		chardev->behind = !chardev->lossy && chardev->kept->len >= KEPT_HIGH;
	}
	bool room = !chardev->behind;
	g_mutex_unlock(&chardev->lock);
	return room;
}

const char *chardev_name(const struct chardev *chardev)
{
	return chardev->name;
}

static struct chardev *chardev_new(const char *name, int in, int out)
{
	struct chardev *chardev = g_new0(struct chardev, 1);

	chardev->name = g_strdup(name);
	chardev->in = in;
	chardev->out = out;
	chardev->slave = -1;
	chardev->kept = g_byte_array_new();
	g_mutex_init(&chardev->lock);
	return chardev;
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/*
 * Standard output for writing without waiting. Pipes and terminals are opened anew: O_NONBLOCK
 * belongs to the open file, which others (the shell, our own messages) share.
 */
static int open_stdout(void)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDOUT_FILENO, &st) < 0) {
		return -1;
	}
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
}

/* Standard input and output exist once in a process. */
static bool stdio_taken;

static struct chardev *open_stdio(GError **error)
{
	if (stdio_taken) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"stdio: already in use; only one device can have it");
		return NULL;
	}
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	int out = open_stdout();
	if (out < 0) {
		set_error_errno(error, "stdio: standard output");
		fd_close(&in);
		return NULL;
	}
	struct chardev *chardev = chardev_new("stdio", in, out);
	chardev->is_stdio = stdio_taken = true;
	chardev->out_is_socket = is_socket(out);
	chardev->is_terminal = terminal_take();
	return chardev;
}

static struct chardev *open_file(const char *path, GError **error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);

	if (fd < 0) {
		set_error_errno(error, "file '%s'", path);
		return NULL;
	}
	return chardev_new(path, -1, fd);
}

static struct chardev *open_pty(GError **error)
{
	char name[256];
	struct termios raw;
	int master, slave;

	if (openpty(&master, &slave, name, NULL, NULL) < 0) {
		set_error_errno(error, "pty");
		return NULL;
	}
	if (tcgetattr(slave, &raw) == 0) {
		cfmakeraw(&raw);
		(void)tcsetattr(slave, TCSANOW, &raw); /* it is new: nothing can be wrong with it */
	}
	(void)fcntl(slave, F_SETFD, FD_CLOEXEC);
	(void)fcntl(master, F_SETFD, FD_CLOEXEC);
	(void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
	log_info("serial port on %s", name);
	struct chardev *chardev = chardev_new(name, master, master);
	chardev->lossy = true;
	chardev->slave = slave; /* stays open, so that a reader may come and go */
	return chardev;
}

/* A peer is there: the one of a client, or the next one of a server. Takes fd. */
static void attach_peer(struct chardev *chardev, int fd)
{
	(void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	g_mutex_lock(&chardev->lock);
	chardev->in = chardev->out = fd;
	chardev->out_is_socket = true;
	g_mutex_unlock(&chardev->lock);
	watch_input(chardev);
	if (chardev->user && chardev->user->opened) {
		chardev->user->opened(chardev->user);
	}
}

/* While the guest does not read, nobody looks whether the peer is still there. */
static bool peer_gone(const struct chardev *chardev)
{
	struct pollfd pfd = {.fd = chardev->in, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) == 1;
}

static void handle_peer(void *opaque, int fd)
{
	struct chardev *chardev = opaque;

	if (chardev->in >= 0 && peer_gone(chardev)) {
		hang_up(chardev);
	}
	if (chardev->in >= 0) {
		fd_close(&fd); /* one at a time */
	} else {
		attach_peer(chardev, fd);
	}
}

static struct chardev *open_socket(const char *spec, GError **error)
{
	struct chardev_server *server = NULL;
	int peer = chardev_socket_open(spec, &server, error);

	if (peer < 0 && !server) {
		return NULL;
	}
	struct chardev *chardev = chardev_new(spec, -1, -1);
	chardev->server = server;
	if (peer >= 0) {
		attach_peer(chardev, peer);
	}
	if (server) {
		chardev_server_start(server, handle_peer, chardev);
	}
	return chardev;
}

struct chardev *chardev_open(const char *spec, GError **error)
{
	/* A reader that goes away is no reason to end the machine. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(spec, "null") == 0 || strcmp(spec, "none") == 0) {
		return chardev_new("null", -1, -1);
	}
	if (strcmp(spec, "stdio") == 0 || strcmp(spec, "mon:stdio") == 0) {
		return open_stdio(error);
	}
	if (g_str_has_prefix(spec, "file:") && spec[5]) {
		return open_file(spec + 5, error);
	}
	if (strcmp(spec, "pty") == 0) {
		return open_pty(error);
	}
	if (g_str_has_prefix(spec, "unix:") || g_str_has_prefix(spec, "tcp:")) {
		return open_socket(spec, error);
	}
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
			"'%s' is no character device (null, stdio, file:PATH, pty, "
			"unix:PATH[,server=on][,wait=off], tcp:HOST:PORT[,server=on][,wait=off])",
			spec);
	return NULL;
}

/* Gives the host a last chance to take what is kept. */
static void drain(struct chardev *chardev)
{
	int64_t end = g_get_monotonic_time() + CLOSE_MS * 1000;

	g_mutex_lock(&chardev->lock);
	while (chardev->out >= 0 && !chardev->lossy && chardev->kept->len > 0) {
		struct pollfd pfd = {.fd = chardev->out, .events = POLLOUT};
		int64_t left = (end - g_get_monotonic_time()) / 1000;
		if (left <= 0 || (poll(&pfd, 1, (int)left) < 0 && errno != EINTR)) {
			break;
		}
		flush_locked(chardev);
	}
	g_mutex_unlock(&chardev->lock);
}

void chardev_close(struct chardev *chardev)
{
	if (!chardev) {
		return;
	}
	unwatch(&chardev->in_source);
	unwatch(&chardev->out_source);
	drain(chardev);
	while (g_source_remove_by_user_data(chardev)) {
		/* idle callbacks */
	}
	chardev_server_destroy(chardev->server);
	if (chardev->is_terminal) {
		terminal_release();
	}
	if (chardev->is_stdio) {
		stdio_taken = false;
	}
	if (chardev->out != chardev->in) {
		fd_close(&chardev->out);
	}
	fd_close(&chardev->in);
	fd_close(&chardev->slave);
	g_byte_array_unref(chardev->kept);
	g_mutex_clear(&chardev->lock);
	g_free(chardev->name);
	g_free(chardev);
}
