/* SPDX-License-Identifier: MIT */
#include "hw/virtio/picture.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "hw/virtio/launcher.h"

#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHILD_VHOST_FD LAUNCHER_FIRST_FD
#define CHILD_CONTROL_FD (LAUNCHER_FIRST_FD + 1)

/* A picture that dies this often within the window is not started again. */
#define RESTART_LIMIT 100
#define RESTART_WINDOW_US (60 * G_USEC_PER_SEC)
#define PING_INTERVAL_MS 2000
/*
 * 30 s, more than the renderer may take for one request (its own watchdog comes first). Counted in
 * pings, not read from a clock: it goes on while a debugger or a shell has stopped both of us.
 */
#define PINGS_UNANSWERED 15

/* A question that is not answered yet; one of the two callbacks is set. */
struct question {
	uint64_t cookie;
	void (*dumped)(void *opaque, const GError *error);
	void (*counted)(void *opaque, const struct control_statistics *statistics);
	void *opaque;
};

struct picture {
	char **argv;
	struct picture_events *events;
	struct launcher *launcher;
	struct launcher_events launcher_events;
	int control; /* -1: none */
	guint control_source, ping_source;
	bool was_ready; /* some process before this one said hello */
	bool stopping;
	struct control_hello hello;
	bool said_hello;
	GQueue questions; /* struct question *, oldest first */
	uint64_t next_cookie;
	unsigned unanswered; /* pings since the last pong */
	int64_t window_start_us;
	unsigned restarts;

	GMutex lock;
	uint64_t generation; /* guarded by lock: how many processes were started */
	bool runs; /* guarded by lock: the process of that generation */
	int vhost; /* guarded by lock; -1: taken, or no process runs */
	bool gave_up; /* guarded by lock: no other will be started */
};

static bool spawn(struct picture *picture, GError **error);

/* Hands the answer on: error or statistics, NULL where the question was the other. */
static void answer(struct question *question, const GError *error,
		const struct control_statistics *statistics)
{
	if (question->dumped) {
		question->dumped(question->opaque, error);
	} else if (question->counted) {
		question->counted(question->opaque, statistics);
	}
	g_free(question);
}

static void fail_questions(struct picture *picture, const char *why)
{
	g_autoptr(GError) error = g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_IO, why);
	struct question *question;

	while ((question = g_queue_pop_head(&picture->questions))) {
		answer(question, error, NULL);
	}
}

/* Takes the question of this cookie out, NULL if there is none. */
static struct question *take_question(struct picture *picture, uint64_t cookie)
{
	for (GList *link = picture->questions.head; link; link = link->next) {
		struct question *question = link->data;
		if (question->cookie == cookie) {
			g_queue_delete_link(&picture->questions, link);
			return question;
		}
	}
	return NULL;
}

static void give_up(struct picture *picture, const char *why)
{
	g_mutex_lock(&picture->lock);
	picture->gave_up = true;
	g_mutex_unlock(&picture->lock);
	log_error("%s: %s; the guest goes on without graphics", picture->argv[0], why);
}

static void close_channels(struct picture *picture)
{
	g_clear_handle_id(&picture->control_source, g_source_remove);
	fd_close(&picture->control);
	g_mutex_lock(&picture->lock);
	fd_close(&picture->vhost);
	picture->runs = false;
	g_mutex_unlock(&picture->lock);
	picture->said_hello = false;
}

/* Whether another start is allowed. */
static bool may_restart(struct picture *picture)
{
	int64_t now = g_get_monotonic_time();

	if (now - picture->window_start_us > RESTART_WINDOW_US) {
		picture->window_start_us = now;
		picture->restarts = 0;
	}
	return ++picture->restarts <= RESTART_LIMIT;
}

static char *describe_exit(int status)
{
	if (WIFSIGNALED(status)) {
		return g_strdup_printf("killed by signal %d (%s)", WTERMSIG(status),
				strsignal(WTERMSIG(status)));
	}
	return g_strdup_printf("exited with status %d", WEXITSTATUS(status));
}

static void handle_exit(struct launcher_events *events, int status)
{
	struct picture *picture = container_of(events, struct picture, launcher_events);
	bool had_hello = picture->said_hello;
	g_autofree char *how = describe_exit(status);
	g_autoptr(GError) error = NULL;

	close_channels(picture);
	fail_questions(picture, "the picture process died");
	if (picture->stopping) {
		return;
	}
	if (!had_hello && !picture->was_ready) {
		/* Trying again would only do the same again. */
		if (!WIFEXITED(status) || WEXITSTATUS(status) != CONTROL_EXIT_EXPLAINED) {
			log_error("%s %s before it was ready: is it oriel-gpu?", picture->argv[0],
					how);
		}
		picture->events->failed(picture->events);
		return;
	}
	if (!may_restart(picture)) {
		give_up(picture, "dies again and again");
		return;
	}
	log_warn("%s %s; a new one is started, the guest sees errors", picture->argv[0], how);
	if (!spawn(picture, &error)) {
		give_up(picture, error->message);
	}
}

/* Without its launcher a process can neither be watched nor killed: it ends with its channels. */
static void handle_launcher_lost(struct launcher_events *events)
{
	struct picture *picture = container_of(events, struct picture, launcher_events);

	close_channels(picture);
	fail_questions(picture, "the picture's launcher died");
	give_up(picture, "its launcher died");
}

static void handle_hello(struct picture *picture, const struct control_message *message)
{
	bool again = picture->was_ready;

	picture->hello = message->payload.hello;
	picture->hello.renderer[sizeof(picture->hello.renderer) - 1] = '\0';
	picture->hello.display[sizeof(picture->hello.display) - 1] = '\0';
	picture->said_hello = true;
	picture->was_ready = true;
	picture->unanswered = 0;
	log_debug("picture: %s on %s", picture->hello.renderer, picture->hello.display);

	if (again) {
		picture->events->restarted(picture->events);
	}
}

static void handle_dump_done(struct picture *picture, const struct control_message *message)
{
	struct question *question = take_question(picture, message->header.cookie);
	g_autoptr(GError) error = NULL;

	if (!question || !question->dumped) {
		g_free(question);
		return;
	}
	if (!message->payload.status.ok) {
		error = g_error_new(G_FILE_ERROR, G_FILE_ERROR_IO, "%.*s",
				(int)sizeof(message->payload.status.message) - 1,
				message->payload.status.message);
	}
	answer(question, error, NULL);
}

static void handle_statistics(struct picture *picture, const struct control_message *message)
{
	struct question *question = take_question(picture, message->header.cookie);

	if (!question || !question->counted) {
		g_free(question);
		return;
	}
	answer(question, NULL, &message->payload.statistics);
}

static void dispatch(struct picture *picture, const struct control_message *message)
{
	switch (message->header.type) {
	case CONTROL_HELLO:
		handle_hello(picture, message);
		break;
	case CONTROL_PONG:
		picture->unanswered = 0;
		break;
	case CONTROL_SCREENDUMP_DONE:
		handle_dump_done(picture, message);
		break;
	case CONTROL_STATISTICS:
		handle_statistics(picture, message);
		break;
	case CONTROL_INPUT:
		picture->events->input(picture->events, &message->payload.input);
		break;
	case CONTROL_CLOSED:
		picture->events->closed(picture->events);
		break;
	case CONTROL_LOST:
		picture_condemn(picture, picture_generation(picture), "the renderer hangs");
		break;
	default:
		log_debug("picture: message %u is not for us", message->header.type);
		break;
	}
}

static gboolean handle_control(int fd, GIOCondition condition, gpointer opaque)
{
	struct picture *picture = opaque;
	struct control_message message;
	g_autoptr(GError) error = NULL;
	(void)condition;

	while (control_receive(fd, &message, &error)) {
		fd_close(&message.fd);
		dispatch(picture, &message);
		if (picture->control != fd) {
			return G_SOURCE_REMOVE;
		}
	}
	if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_AGAIN)) {
		return G_SOURCE_CONTINUE;
	}
	/* The child watch says what became of it. */
	picture->control_source = 0;
	return G_SOURCE_REMOVE;
}

static gboolean handle_ping(gpointer opaque)
{
	struct picture *picture = opaque;
	struct control_message message = {
			.header = {.version = CONTROL_VERSION, .type = CONTROL_PING},
			.fd = -1,
	};

	if (picture->said_hello) {
		if (picture->unanswered++ == PINGS_UNANSWERED) {
			picture_condemn(picture, picture_generation(picture), "no answer for 30 s");
		}
		/* silence is noticed anyway */
		(void)control_send(picture->control, &message, NULL);
	}
	return G_SOURCE_CONTINUE;
}

static bool socket_pair(int type, int ret_fds[2], GError **error)
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fds) < 0) {
		set_error_errno(error, "socketpair");
		ret_fds[0] = ret_fds[1] = -1;
		return false;
	}
	return true;
}

static bool spawn(struct picture *picture, GError **error)
{
	int vhost[2] = {-1, -1}, control[2] = {-1, -1};
	bool ok = socket_pair(SOCK_STREAM, vhost, error) &&
		  socket_pair(SOCK_SEQPACKET, control, error) &&
		  launcher_start(picture->launcher, (const int[]){vhost[1], control[1]}, error);

	fd_close(&vhost[1]);
	fd_close(&control[1]);
	if (!ok) {
		fd_close(&vhost[0]);
		fd_close(&control[0]);
		return false;
	}
	g_mutex_lock(&picture->lock);
	picture->vhost = vhost[0];
	picture->generation++;
	picture->runs = true;
	g_mutex_unlock(&picture->lock);
	picture->control = control[0];
	picture->control_source = g_unix_fd_add(
			picture->control, G_IO_IN | G_IO_HUP, handle_control, picture);
	return true;
}

static char **build_argv(const char *program, const char *const *arguments)
{
	GPtrArray *argv = g_ptr_array_new();

	g_ptr_array_add(argv, g_strdup(program));
	g_ptr_array_add(argv, g_strdup_printf("--vhost-fd=%d", CHILD_VHOST_FD));
	g_ptr_array_add(argv, g_strdup_printf("--control-fd=%d", CHILD_CONTROL_FD));
	for (unsigned i = 0; arguments[i]; i++) {
		g_ptr_array_add(argv, g_strdup(arguments[i]));
	}
	g_ptr_array_add(argv, NULL);
	return (char **)g_ptr_array_free(argv, FALSE);
}

struct picture *picture_start(const char *program, const char *const *arguments,
		struct picture_events *events, GError **error)
{
	struct picture *picture = g_new0(struct picture, 1);

	picture->argv = build_argv(program, arguments);
	picture->events = events;
	picture->control = picture->vhost = -1;
	picture->next_cookie = 1;
	g_mutex_init(&picture->lock);
	g_queue_init(&picture->questions);
	picture->launcher_events = (struct launcher_events){
			.exited = handle_exit,
			.lost = handle_launcher_lost,
	};
	picture->launcher = launcher_create(picture->argv, &picture->launcher_events, error);
	if (!picture->launcher || !spawn(picture, error)) {
		picture_stop(picture);
		return NULL;
	}
	picture->ping_source = g_timeout_add(PING_INTERVAL_MS, handle_ping, picture);
	return picture;
}

void picture_stop(struct picture *picture)
{
	const struct control_message quit = {
			.header = {.version = CONTROL_VERSION, .type = CONTROL_QUIT},
			.fd = -1,
	};

	if (!picture) {
		return;
	}
	picture->stopping = true;
	g_clear_handle_id(&picture->ping_source, g_source_remove);
	if (picture->control >= 0) {
		/* the socket's end says it too */
		(void)control_send(picture->control, &quit, NULL);
	}
	close_channels(picture);
	launcher_destroy(picture->launcher);
	fail_questions(picture, "the machine stops");
	g_strfreev(picture->argv);
	g_mutex_clear(&picture->lock);
	g_free(picture);
}

int picture_take_socket(struct picture *picture, uint64_t *ret_generation)
{
	g_mutex_lock(&picture->lock);
	int fd = fd_steal(&picture->vhost);
	if (fd >= 0) {
		*ret_generation = picture->generation;
	}
	g_mutex_unlock(&picture->lock);
	return fd;
}

uint64_t picture_generation(struct picture *picture)
{
	g_mutex_lock(&picture->lock);
	uint64_t generation = picture->generation;
	g_mutex_unlock(&picture->lock);
	return generation;
}

bool picture_will_run(struct picture *picture)
{
	g_mutex_lock(&picture->lock);
	bool will_run = !picture->gave_up;
	g_mutex_unlock(&picture->lock);
	return will_run;
}

void picture_condemn(struct picture *picture, uint64_t generation, const char *reason)
{
	g_mutex_lock(&picture->lock);
	if (picture->runs && picture->generation == generation) {
		log_warn("%s: %s; it is killed", picture->argv[0], reason);
		launcher_kill(picture->launcher);
	}
	g_mutex_unlock(&picture->lock);
}

const struct control_hello *picture_hello(const struct picture *picture)
{
	return picture->said_hello ? &picture->hello : NULL;
}

/* Sends the message and remembers who wants its answer; takes the question. */
static void ask(struct picture *picture, struct control_message *message, struct question *question)
{
	g_autoptr(GError) error = NULL;

	message->header.version = CONTROL_VERSION;
	message->header.cookie = question->cookie = picture->next_cookie++;
	if (!picture->said_hello) {
		error = g_error_new_literal(
				G_FILE_ERROR, G_FILE_ERROR_AGAIN, "no picture process runs");
	} else {
		(void)control_send(picture->control, message, &error);
	}
	if (error) {
		answer(question, error, NULL);
	} else {
		g_queue_push_tail(&picture->questions, question);
	}
}

void picture_screendump(struct picture *picture, unsigned head, int take_fd,
		void (*done)(void *opaque, const GError *error), void *opaque)
{
	struct question *question = g_new0(struct question, 1);
	struct control_message message = {
			.header.type = CONTROL_SCREENDUMP,
			.payload.screendump = {.head = head, .cursor = 1},
			.fd = take_fd,
	};

	*question = (struct question){.dumped = done, .opaque = opaque};
	ask(picture, &message, question);
	fd_close(&take_fd);
}

void picture_query_statistics(struct picture *picture,
		void (*done)(void *opaque, const struct control_statistics *statistics),
		void *opaque)
{
	struct question *question = g_new0(struct question, 1);
	struct control_message message = {.header.type = CONTROL_QUERY_STATISTICS, .fd = -1};

	*question = (struct question){.counted = done, .opaque = opaque};
	ask(picture, &message, question);
}

void picture_set_mode(struct picture *picture, unsigned head, uint32_t width, uint32_t height)
{
	const struct control_message message = {
			.header = {.version = CONTROL_VERSION, .type = CONTROL_SET_MODE},
			.payload.mode = {.head = head, .width = width, .height = height},
			.fd = -1,
	};

	if (picture->said_hello) {
		(void)control_send(picture->control, &message, NULL); /* a lost mode is no harm */
	}
}
