/* SPDX-License-Identifier: MIT */
#include "hw/virtio/launcher.h"

#include "core/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define GRACE_MS 2000
#define SOCKET_FD LAUNCHER_FIRST_FD /* in the launcher */

enum message_kind {
	/* to the launcher */
	START, /* with LAUNCHER_FDS descriptors */
	KILL,
	/* from it */
	STARTED, /* value: 0 or an error number; the answer to START */
	EXITED, /* value: the status */
};

struct message {
	int32_t kind, value;
};

union descriptors {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(LAUNCHER_FDS * sizeof(int))];
};

struct launcher {
	struct launcher_events *events;
	char *program;
	pid_t pid;
	int socket;
	guint source;
};

/*
 * The launcher's process. It was forked while other threads ran: what needs a lock of the machine's is out of reach.
 */

struct child {
	char **argv;
	pid_t pid; /* 0: none runs */
};

static void reply(enum message_kind kind, int value)
{
	const struct message message = {kind, value};

	/* Nobody there: the next look at the socket says so. */
	(void)send(SOCKET_FD, &message, sizeof(message), MSG_NOSIGNAL);
}

/* The descriptors are above those that the program finds; they close by themselves. */
static int spawn(struct child *child, const int fds[LAUNCHER_FDS])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < LAUNCHER_FDS; i++) {
		posix_spawn_file_actions_adddup2(&actions, fds[i], LAUNCHER_FIRST_FD + i);
	}
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	/* A group of its own: Ctrl-C in the terminal is the machine's to handle. */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
			POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int ret = posix_spawn(
			&child->pid, child->argv[0], &actions, &attributes, child->argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (ret != 0) {
		child->pid = 0;
	}
	return ret;
}

static void start(struct child *child, struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	int fds[LAUNCHER_FDS];

	if (child->pid > 0 || !control || control->cmsg_type != SCM_RIGHTS ||
			control->cmsg_len != CMSG_LEN(sizeof(fds))) {
		reply(STARTED, EINVAL);
		return;
	}
	memcpy(fds, CMSG_DATA(control), sizeof(fds));
	reply(STARTED, spawn(child, fds));
	for (unsigned i = 0; i < LAUNCHER_FDS; i++) {
		(void)close(fds[i]);
	}
}

/* False when the machine has gone. */
static bool serve(struct child *child)
{
	struct message message = {0, 0};
	union descriptors descriptors;
	struct iovec iov = {&message, sizeof(message)};
	struct msghdr header = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &descriptors,
			.msg_controllen = sizeof(descriptors)};
	ssize_t n = recvmsg(SOCKET_FD, &header, MSG_CMSG_CLOEXEC);

	if (n < 0) {
		return errno == EINTR;
	}
	if (n != sizeof(message)) {
		return false;
	}
	if (message.kind == START) {
		start(child, &header);
	} else if (message.kind == KILL && child->pid > 0) {
		(void)kill(child->pid, SIGKILL); /* not waited for yet: the number is its */
	}
	return true;
}

/* Whether a program that ran has ended. */
static bool reap(struct child *child, int *ret_status)
{
	if (child->pid > 0 && waitpid(child->pid, ret_status, WNOHANG) == child->pid) {
		child->pid = 0;
		return true;
	}
	return false;
}

static void notice_child(int number)
{
	(void)number; /* it ends ppoll() */
}

/* As the program is to find them, but for what would end us before it. */
static void set_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN}, standard = {.sa_handler = SIG_DFL},
			       notice = {.sa_handler = notice_child};
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTTOU, SIGTTIN, SIGTSTP};

	for (int number = 1; number < NSIG; number++) {
		(void)sigaction(number, &standard, NULL); /* not all of them can be set */
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(ignored); i++) {
		(void)sigaction(ignored[i], &ignore, NULL);
	}
	(void)sigaction(SIGCHLD, &notice, NULL);
}

/* Nothing of the machine's stays open but the standard ones. */
static bool keep_only(int socket)
{
	if (socket != SOCKET_FD && dup2(socket, SOCKET_FD) < 0) {
		return false;
	}
	if (close_range(SOCKET_FD + 1, ~0U, 0) < 0) {
		for (int fd = SOCKET_FD + 1, end = (int)sysconf(_SC_OPEN_MAX); fd < end; fd++) {
			(void)close(fd); /* most are not open */
		}
	}
	return fcntl(SOCKET_FD, F_SETFD, FD_CLOEXEC) == 0;
}

static void end_child(struct child *child)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int status;

	for (unsigned i = 0; i < GRACE_MS && child->pid > 0 && !reap(child, &status); i++) {
		(void)nanosleep(&moment, NULL);
	}
	if (child->pid > 0) {
		(void)kill(child->pid, SIGKILL);
		(void)waitpid(child->pid, NULL, 0);
	}
}

_Noreturn static void launcher_main(int socket, char **argv)
{
	struct child child = {.argv = argv};
	struct pollfd pfd = {.fd = SOCKET_FD, .events = POLLIN};
	sigset_t chld, none;
	bool there = keep_only(socket);
	int status;

	sigemptyset(&none);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	set_signals();
	(void)sigprocmask(SIG_SETMASK, &chld, NULL);
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_NAME, "oriel-launcher");
	while (there) {
		if (reap(&child, &status)) {
			reply(EXITED, status);
		}
		/* Only here does SIGCHLD come. */
		if (ppoll(&pfd, 1, NULL, &none) > 0) {
			there = serve(&child);
		}
	}
	end_child(&child);
	_exit(0);
}

/*
 * The machine's side.
 */

static void lose(struct launcher *launcher)
{
	launcher->source = 0;
	launcher->events->lost(launcher->events);
}

static gboolean handle_message(int fd, GIOCondition condition, gpointer opaque)
{
	struct launcher *launcher = opaque;
	struct message message;
	(void)condition;

	ssize_t n = recv(fd, &message, sizeof(message), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return G_SOURCE_CONTINUE;
	}
	if (n != sizeof(message)) {
		lose(launcher);
		return G_SOURCE_REMOVE;
	}
	if (message.kind == EXITED) {
		launcher->events->exited(launcher->events, message.value);
	}
	return G_SOURCE_CONTINUE;
}

struct launcher *launcher_create(char **argv, struct launcher_events *events, GError **error)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		set_error_errno(error, "socketpair");
		return NULL;
	}
	g_auto(GStrv) copy = g_strdupv(argv);
	pid_t pid = fork();
	if (pid == 0) {
		launcher_main(ends[1], copy);
	}
	fd_close(&ends[1]);
	if (pid < 0) {
		set_error_errno(error, "fork");
		fd_close(&ends[0]);
		return NULL;
	}
	struct launcher *launcher = g_new0(struct launcher, 1);
	*launcher = (struct launcher){.events = events,
			.program = g_strdup(argv[0]),
			.pid = pid,
			.socket = ends[0]};
	launcher->source = g_unix_fd_add(
			launcher->socket, G_IO_IN | G_IO_HUP, handle_message, launcher);
	return launcher;
}

static bool send_start(struct launcher *launcher, const int fds[LAUNCHER_FDS])
{
	struct message message = {START, 0};
	union descriptors descriptors = {.bytes = {0}};
	struct iovec iov = {&message, sizeof(message)};
	struct msghdr header = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &descriptors,
			.msg_controllen = sizeof(descriptors)};
	struct cmsghdr *control = CMSG_FIRSTHDR(&header);

	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(LAUNCHER_FDS * sizeof(int));
	memcpy(CMSG_DATA(control), fds, LAUNCHER_FDS * sizeof(int));
	return sendmsg(launcher->socket, &header, MSG_NOSIGNAL) == sizeof(message);
}

bool launcher_start(struct launcher *launcher, const int fds[LAUNCHER_FDS], GError **error)
{
	struct message message = {STARTED, 0};
	ssize_t n = -1;

	errno = EPIPE;
	if (launcher->source && send_start(launcher, fds)) {
		/* No program runs: nothing but the answer can come, and it comes at once. */
		do {
			n = recv(launcher->socket, &message, sizeof(message), 0);
		} while (n < 0 && errno == EINTR);
	}
	if (n != sizeof(message) || message.kind != STARTED) {
		set_error_errno(error, "%s: its launcher", launcher->program);
		return false;
	}
	if (message.value != 0) {
		errno = message.value;
		set_error_errno(error, "%s", launcher->program);
		return false;
	}
	return true;
}

void launcher_kill(struct launcher *launcher)
{
	const struct message message = {KILL, 0};

	/* A launcher that died is noticed by its socket. */
	(void)send(launcher->socket, &message, sizeof(message), MSG_NOSIGNAL);
}

void launcher_destroy(struct launcher *launcher)
{
	if (!launcher) {
		return;
	}
	g_clear_handle_id(&launcher->source, g_source_remove);
	fd_close(&launcher->socket);
	while (waitpid(launcher->pid, NULL, 0) < 0 && errno == EINTR) {
		continue;
	}
	g_free(launcher->program);
	g_free(launcher);
}
