/* SPDX-License-Identifier: MIT */
#include "core/control/chardev.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/control/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netdb.h>
#include <poll.h>
#include <pty.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_CHUNK 4096

struct chardev {
	char *name;
	bool is_terminal; /* raw mode is on */
	bool drops; /* a peer that does not read loses bytes instead of holding the guest up */
	struct chardev_user *user;
	struct chardev_tap *taps;

	GMutex lock;
	int in, out; /* guarded by lock; -1: none */
	GSource *source; /* watches in; main thread */

	int listener; /* -1: none */
	guint listener_source;
};

static gboolean handle_input(int fd, GIOCondition condition, gpointer opaque);

static void watch(struct chardev *chardev)
{
	if (chardev->source || chardev->in < 0 || !chardev->user || !chardev->user->receive) {
		return;
	}
	chardev->source = g_unix_fd_source_new(chardev->in, G_IO_IN | G_IO_HUP);
	g_source_set_callback(chardev->source, G_SOURCE_FUNC(handle_input), chardev, NULL);
	g_source_attach(chardev->source, NULL);
}

static void unwatch(struct chardev *chardev)
{
	if (chardev->source) {
		g_source_destroy(chardev->source);
		g_source_unref(chardev->source);
		chardev->source = NULL;
	}
}

/* The peer is gone; a listening socket waits for the next one. */
static void hang_up(struct chardev *chardev)
{
	unwatch(chardev);
	g_mutex_lock(&chardev->lock);
	if (chardev->listener >= 0) {
		if (chardev->out != chardev->in) {
			fd_close(&chardev->out);
		}
		fd_close(&chardev->in);
		chardev->out = -1;
	}
	g_mutex_unlock(&chardev->lock);
}

static gboolean handle_input(int fd, GIOCondition condition, gpointer opaque)
{
	struct chardev *chardev = opaque;
	uint8_t data[READ_CHUNK];
	size_t room = MIN(chardev->user->can_receive(chardev->user), sizeof(data));
	(void)condition;

	if (room == 0) {
		unwatch(chardev); /* until chardev_accept_input() */
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
	watch(opaque);
	return G_SOURCE_REMOVE;
}

void chardev_accept_input(struct chardev *chardev)
{
	g_idle_add(accept_input, chardev);
}

void chardev_set_user(struct chardev *chardev, struct chardev_user *user)
{
	unwatch(chardev);
	chardev->user = user;
	if (user) {
		watch(chardev);
		if (user->opened && chardev->out >= 0) {
			user->opened(user);
		}
	}
}

void chardev_add_tap(struct chardev *chardev, struct chardev_tap *tap)
{
	tap->next = chardev->taps;
	chardev->taps = tap;
}

/* False if the bytes cannot be written now, or ever. */
static bool wait_writable(const struct chardev *chardev, int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	return !chardev->drops && poll(&pfd, 1, -1) == 1 && (pfd.revents & POLLOUT);
}

void chardev_write(struct chardev *chardev, const uint8_t *data, size_t len)
{
	for (struct chardev_tap *tap = chardev->taps; tap; tap = tap->next) {
		tap->written(tap, data, len);
	}
	g_mutex_lock(&chardev->lock);
	while (len > 0 && chardev->out >= 0) {
		ssize_t n = write(chardev->out, data, len);
		if (n >= 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN && wait_writable(chardev, chardev->out)) {
			continue;
		} else if (errno != EINTR) {
			break;
		}
	}
	g_mutex_unlock(&chardev->lock);
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
	chardev->listener = -1;
	g_mutex_init(&chardev->lock);
	return chardev;
}

static struct chardev *open_stdio(GError **error)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);

	if (out < 0) {
		fd_close(&in);
		set_error_errno(error, "stdio: standard output");
		return NULL;
	}
	struct chardev *chardev = chardev_new("stdio", in, out);
	chardev->is_terminal = terminal_take();
	return chardev;
}

static struct chardev *open_file(const char *path, GError **error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

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
	tcgetattr(slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	/* The slave stays open, so that a reader may come and go. */
	(void)fcntl(slave, F_SETFD, FD_CLOEXEC);
	(void)fcntl(master, F_SETFD, FD_CLOEXEC);
	(void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
	log_info("serial port on %s", name);
	struct chardev *chardev = chardev_new(name, master, master);
	chardev->drops = true;
	chardev->listener = slave; /* kept for closing only; nothing listens on it */
	return chardev;
}

/* What stands behind the commas of a socket's address. */
struct socket_options {
	bool server, wait;
};

static bool parse_socket_options(
		char **words, struct socket_options *ret_options, const char *spec, GError **error)
{
	struct socket_options options = {.wait = true};

	for (; *words; words++) {
		if (strcmp(*words, "server") == 0 || strcmp(*words, "server=on") == 0) {
			options.server = true;
		} else if (strcmp(*words, "nowait") == 0 || strcmp(*words, "wait=off") == 0) {
			options.wait = false;
		} else if (strcmp(*words, "server=off") != 0 && strcmp(*words, "wait=on") != 0) {
			g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
					"'%s': unknown option '%s' (known: server=on|off, wait=on|off)",
					spec, *words);
			return false;
		}
	}
	*ret_options = options;
	return true;
}

static int unix_socket(const char *path, bool server, GError **error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NAMETOOLONG,
				"unix socket '%s': the path is longer than %zu bytes", path,
				sizeof(address.sun_path) - 1);
		return -1;
	}
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (server) {
		(void)unlink(path); /* what a predecessor left */
	}
	int ret = server ? bind(fd, (struct sockaddr *)&address, sizeof(address))
			 : connect(fd, (struct sockaddr *)&address, sizeof(address));
	if (ret < 0 || (server && listen(fd, 1) < 0)) {
		set_error_errno(error, "unix socket '%s'", path);
		return -1;
	}
	return fd_steal(&fd);
}

static int tcp_socket(const char *address, bool server, GError **error)
{
	const char *colon = strrchr(address, ':');
	const struct addrinfo hints = {
			.ai_socktype = SOCK_STREAM,
			.ai_flags = server ? AI_PASSIVE : 0,
	};
	struct addrinfo *list = NULL;

	if (!colon) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"tcp address '%s': HOST:PORT is needed", address);
		return -1;
	}
	g_autofree char *host = g_strndup(address, (gsize)(colon - address));
	int ret = getaddrinfo(*host ? host : "localhost", colon + 1, &hints, &list);
	if (ret != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "tcp address '%s': %s",
				address, gai_strerror(ret));
		return -1;
	}
	auto_fd int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ret = server ? bind(fd, list->ai_addr, list->ai_addrlen)
		     : connect(fd, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	if (ret < 0 || (server && listen(fd, 1) < 0)) {
		set_error_errno(error, "tcp address '%s'", address);
		return -1;
	}
	return fd_steal(&fd);
}

static void attach_peer(struct chardev *chardev, int fd)
{
	(void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	g_mutex_lock(&chardev->lock);
	chardev->in = chardev->out = fd;
	g_mutex_unlock(&chardev->lock);
	watch(chardev);
	if (chardev->user && chardev->user->opened) {
		chardev->user->opened(chardev->user);
	}
}

static gboolean handle_connection(int listener, GIOCondition condition, gpointer opaque)
{
	struct chardev *chardev = opaque;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	(void)condition;

	if (fd < 0) {
		return G_SOURCE_CONTINUE;
	}
	if (chardev->in >= 0) {
		fd_close(&fd); /* one at a time */
	} else {
		attach_peer(chardev, fd);
	}
	return G_SOURCE_CONTINUE;
}

static struct chardev *open_socket(const char *spec, bool tcp, GError **error)
{
	g_auto(GStrv) words = g_strsplit(strchr(spec, ':') + 1, ",", -1);
	struct socket_options options;

	if (!parse_socket_options(words + 1, &options, spec, error)) {
		return NULL;
	}
	int fd = tcp ? tcp_socket(words[0], options.server, error)
		     : unix_socket(words[0], options.server, error);
	if (fd < 0) {
		return NULL;
	}
	struct chardev *chardev = chardev_new(spec, -1, -1);
	chardev->drops = true;
	if (!options.server) {
		attach_peer(chardev, fd);
		return chardev;
	}
	chardev->listener = fd;
	chardev->listener_source = g_unix_fd_add(fd, G_IO_IN, handle_connection, chardev);
	if (options.wait) {
		log_info("waiting for a connection to %s", spec);
		(void)handle_connection(fd, G_IO_IN, chardev);
	}
	return chardev;
}

struct chardev *chardev_open(const char *spec, GError **error)
{
	struct chardev *chardev = NULL;

	if (strcmp(spec, "null") == 0 || strcmp(spec, "none") == 0) {
		return chardev_new("null", -1, -1);
	}
	if (strcmp(spec, "stdio") == 0 || strcmp(spec, "mon:stdio") == 0) {
		chardev = open_stdio(error);
	} else if (g_str_has_prefix(spec, "file:") && spec[5]) {
		chardev = open_file(spec + 5, error);
	} else if (strcmp(spec, "pty") == 0) {
		chardev = open_pty(error);
	} else if (g_str_has_prefix(spec, "unix:") && spec[5]) {
		chardev = open_socket(spec, false, error);
	} else if (g_str_has_prefix(spec, "tcp:") && spec[4]) {
		chardev = open_socket(spec, true, error);
	} else {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"'%s' is no character device (null, stdio, file:PATH, pty, "
				"unix:PATH[,server=on,wait=off], tcp:HOST:PORT[,server=on,wait=off])",
				spec);
	}
	return chardev;
}

void chardev_close(struct chardev *chardev)
{
	if (!chardev) {
		return;
	}
	unwatch(chardev);
	while (g_source_remove_by_user_data(chardev)) {
	}
	if (chardev->is_terminal) {
		terminal_release();
	}
	if (chardev->out != chardev->in) {
		fd_close(&chardev->out);
	}
	fd_close(&chardev->in);
	fd_close(&chardev->listener);
	g_mutex_clear(&chardev->lock);
	g_free(chardev->name);
	g_free(chardev);
}
