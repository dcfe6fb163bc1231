/* SPDX-License-Identifier: MIT */
/*
 * oriel-gpu, the picture: brings requests (vhost-user, vtest) to a GPU and its frames to a display.
 * The only file that knows every part of this half. The main thread is the service thread.
 *
 * Built in three sizes, because what a program links it loads and relocates even where it is not used: oriel-gpu without GL,
 * oriel-gpu-gl without windows, oriel-gpu-window with everything. Each becomes the one that its command line needs.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/nearest.h"
#include "core/base/stderr_filter.h"
#include "core/base/thread.h"
#include "core/sandbox/sandbox.h"
#include "core/virtio/control.h"
#include "display/display.h"
#ifdef HAVE_GL
#include "display/egl.h"
#endif
#include "gpu/gpu.h"
#include "gpu/service/vhost_user.h"
#include "gpu/service/vtest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DESTROY_DEADLINE_MS 500
#define HANG_CHECK_INTERVAL_MS 500

/* The command line; see options[] for what each means. */
struct arguments {
	int vhost_fd, control_fd;
	char *socket, *vtest;
	char *backend, *display, *render_node, *title;
	gboolean no_gl, no_edid, keep_last, version;
	int scanouts, width, height;
	gint64 host_bytes, hang_ms;
	int contexts, resources, request_bytes, shader_bytes;
	char *log_items, *log_file;
	char *sandbox; /* NULL: on, if it can be */
};

struct program {
	struct arguments arguments;
	GMainLoop *loop;
	struct vtest_server *vtest; /* NULL: serves vhost-user */
	struct display *display;
	struct display_events display_events;
	struct vhost_user_backend *backend;
	struct vhost_user_backend_events backend_events;
	struct gpu *gpu;
	int control; /* -1: none */
	GMutex control_lock; /* several threads send */
	int status; /* of the process */
};

static void control_reply(struct program *program, struct control_message *message)
{
	g_autoptr(GError) error = NULL;

	message->header.version = CONTROL_VERSION;
	message->fd = -1;
	g_mutex_lock(&program->control_lock);
	if (program->control >= 0 && !control_send(program->control, message, &error)) {
		log_debug("control channel: %s", error->message);
	}
	g_mutex_unlock(&program->control_lock);
}

static void handle_input(
		struct display_events *events, unsigned head, const struct display_input *input)
{
	struct program *program = container_of(events, struct program, display_events);
	struct control_message message = {
			.header.type = CONTROL_INPUT,
			.payload.input = {.head = head,
					.kind = input->kind,
					.code = input->code,
					.value = input->value},
	};

	control_reply(program, &message);
}

static void handle_mode(
		struct display_events *events, unsigned head, uint32_t width, uint32_t height)
{
	struct program *program = container_of(events, struct program, display_events);
	struct gpu *gpu = g_atomic_pointer_get(&program->gpu);

	if (gpu) {
		gpu_set_mode(gpu, head, width, height);
	}
}

static void handle_closed(struct display_events *events)
{
	struct program *program = container_of(events, struct program, display_events);
	struct control_message message = {.header.type = CONTROL_CLOSED};

	control_reply(program, &message);
	if (program->control < 0) {
		g_main_loop_quit(program->loop);
	}
}

static void handle_disconnected(struct vhost_user_backend_events *events, const GError *error)
{
	struct program *program = container_of(events, struct program, backend_events);

	if (error) {
		log_error("vhost-user: %s", error->message);
		program->status = EXIT_FAILURE;
	}
	g_main_loop_quit(program->loop);
}

static void handle_lost(struct vhost_user_backend_events *events, const char *reason)
{
	struct program *program = container_of(events, struct program, backend_events);
	struct control_message message = {.header.type = CONTROL_LOST};

	log_error("the renderer is lost: %s", reason);
	g_strlcpy(message.payload.status.message, reason, sizeof(message.payload.status.message));
	control_reply(program, &message);
	if (program->control < 0) {
		/* Nobody will replace us, and a stuck renderer cannot be ended any other way. */
		stderr_filter_stop();
		_exit(EXIT_FAILURE);
	}
}

struct dump {
	struct program *program;
	uint64_t cookie;
};

static void dump_done(void *opaque, const GError *error)
{
	struct dump *dump = opaque;
	struct control_message message = {
			.header = {.type = CONTROL_SCREENDUMP_DONE, .cookie = dump->cookie},
			.payload.status.ok = error == NULL,
	};

	if (error) {
		g_strlcpy(message.payload.status.message, error->message,
				sizeof(message.payload.status.message));
	}
	control_reply(dump->program, &message);
	g_free(dump);
}

static void handle_screendump(struct program *program, struct control_message *message)
{
	struct dump *dump = g_new0(struct dump, 1);

	*dump = (struct dump){.program = program, .cookie = message->header.cookie};
	if (message->fd < 0) {
		g_autoptr(GError) error = g_error_new_literal(
				G_FILE_ERROR, G_FILE_ERROR_INVAL, "no file descriptor came");
		dump_done(dump, error);
		return;
	}
	gpu_screendump(program->gpu, message->payload.screendump.head,
			message->payload.screendump.cursor != 0, fd_steal(&message->fd), dump_done,
			dump);
}

static void reply_statistics(struct program *program, uint64_t cookie)
{
	struct gpu_statistics statistics;
	struct control_message message = {
			.header = {.type = CONTROL_STATISTICS, .cookie = cookie},
	};

	gpu_get_statistics(program->gpu, &statistics);
	message.payload.statistics = (struct control_statistics){
			.commands = statistics.commands,
			.errors = statistics.errors,
			.fences = statistics.fences,
			.frames = statistics.frames,
			.host_bytes = statistics.host_bytes,
			.contexts = statistics.contexts,
			.resources = statistics.resources,
	};
	control_reply(program, &message);
}

static void dispatch_control(struct program *program, struct control_message *message)
{
	struct control_message pong = {
			.header = {.type = CONTROL_PONG, .cookie = message->header.cookie},
	};
	const struct control_mode *mode = &message->payload.mode;

	switch (message->header.type) {
	case CONTROL_PING:
		control_reply(program, &pong);
		break;
	case CONTROL_SCREENDUMP:
		handle_screendump(program, message);
		break;
	case CONTROL_SET_MODE:
		gpu_set_mode(program->gpu, mode->head, mode->width, mode->height);
		break;
	case CONTROL_QUERY_STATISTICS:
		reply_statistics(program, message->header.cookie);
		break;
	case CONTROL_QUIT:
		g_main_loop_quit(program->loop);
		break;
	default:
		log_warn("control channel: message %u is not known", message->header.type);
		break;
	}
}

static gboolean handle_control(int fd, GIOCondition condition, gpointer opaque)
{
	struct program *program = opaque;
	struct control_message message;
	g_autoptr(GError) error = NULL;
	(void)condition;

	while (control_receive(fd, &message, &error)) {
		dispatch_control(program, &message);
		fd_close(&message.fd);
	}
	if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_AGAIN)) {
		return G_SOURCE_CONTINUE;
	}
	/* The machine is gone, in whatever way. */
	g_main_loop_quit(program->loop);
	return G_SOURCE_REMOVE;
}

static gboolean handle_signal(gpointer opaque)
{
	struct program *program = opaque;

	g_main_loop_quit(program->loop);
	return G_SOURCE_CONTINUE;
}

/* For the signal handler: the vtest server has a loop of its own. */
static struct vtest_server *signalled_server;

static void stop_vtest(int signal_number)
{
	(void)signal_number;
	vtest_server_stop(signalled_server); /* NOLINT(bugprone-signal-handler): it may be */
}

static gboolean check_hang(gpointer opaque)
{
	struct program *program = opaque;

	(void)gpu_check_hang(program->gpu); /* it reports by itself */
	return G_SOURCE_CONTINUE;
}

/* Waits for one front end on a listening socket. */
static int accept_front_end(const char *path, GError **error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_fd int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NAMETOOLONG,
				"--socket-path=%s: at most %zu bytes are possible", path,
				sizeof(address.sun_path) - 1);
		return -1;
	}
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	(void)unlink(path); /* what a predecessor left */
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
			listen(listener, 1) < 0) {
		set_error_errno(error, "--socket-path=%s", path);
		return -1;
	}
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		set_error_errno(error, "--socket-path=%s", path);
	}
	(void)unlink(path); /* one front end only */
	return fd;
}

static bool check_number(
		const char *option, int64_t value, int64_t min, int64_t max, GError **error)
{
	if (value >= min && value <= max) {
		return true;
	}
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
			"--%s=%" G_GINT64_FORMAT ": a number from %" G_GINT64_FORMAT
			" to %" G_GINT64_FORMAT " is possible",
			option, value, min, max);
	return false;
}

static bool check_socket(const char *option, int fd, GError **error)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
		return true;
	}
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
			"--%s=%d: that descriptor is no socket", option, fd);
	return false;
}

static bool check_path(const char *option, const char *path, GError **error)
{
	if (!path || path[0] != '\0') {
		return true;
	}
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: a path is needed",
			option);
	return false;
}

static bool check_arguments(const struct arguments *a, GError **error)
{
	unsigned services = (a->vhost_fd != -1) + (a->socket != NULL) + (a->vtest != NULL);

	if (services != 1) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
				"give one of --socket-path=PATH, --vhost-fd=N and --vtest=PATH: "
				"who brings the requests");
		return false;
	}
	if (a->sandbox && strcmp(a->sandbox, "on") != 0 && strcmp(a->sandbox, "off") != 0) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"--sandbox=%s: on and off are possible", a->sandbox);
		return false;
	}
	return check_path("socket-path", a->socket, error) &&
	       check_path("vtest", a->vtest, error) &&
	       (a->vhost_fd == -1 || check_socket("vhost-fd", a->vhost_fd, error)) &&
	       (a->control_fd == -1 || check_socket("control-fd", a->control_fd, error)) &&
	       check_number("max-outputs", a->scanouts, 1, VIRTIO_GPU_MAX_SCANOUTS, error) &&
	       check_number("xres", a->width, 16, 16384, error) &&
	       check_number("yres", a->height, 16, 16384, error) &&
	       check_number("max-hostmem", a->host_bytes, 1 << 20, INT64_C(1) << 40, error) &&
	       check_number("max-contexts", a->contexts, 1, 65536, error) &&
	       check_number("max-resources", a->resources, 1, 1 << 24, error) &&
	       check_number("max-request", a->request_bytes, 4096, 1 << 30, error) &&
	       check_number("max-shader", a->shader_bytes, 1024, 1 << 30, error) &&
	       check_number("hang-time", a->hang_ms, 100, 3600000, error);
}

/* GLib's parser names no option that may have been meant. */
static bool check_names(const GOptionEntry *options, char **argv, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (; options->long_name; options++) {
		g_ptr_array_add(names, (char *)(uintptr_t)options->long_name);
	}
	g_ptr_array_add(names, (char *)(uintptr_t) "help");
	g_ptr_array_add(names, NULL);
	const char *const *known = (const char *const *)names->pdata;
	for (argv++; *argv && strcmp(*argv, "--") != 0; argv++) {
		if (!g_str_has_prefix(*argv, "--")) {
			continue;
		}
		g_autofree char *name = g_strndup(*argv + 2, strcspn(*argv + 2, "="));
		if (g_strv_contains(known, name)) {
			continue;
		}
		const char *near = nearest_name(name, known);
		if (near) {
			g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
					"--%s: no such option; did you mean --%s?", name, near);
		} else {
			g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
					"--%s: no such option; --help lists them", name);
		}
		return false;
	}
	return true;
}

static bool start_log(const struct arguments *a, GError **error)
{
	g_autofree char *unknown = NULL;
	uint32_t items = 0;

	bool known = !a->log_items || log_parse_items(a->log_items, &items, &unknown);
	if (!known || (items & ~(uint32_t)(LOG_ITEM_GUEST_ERRORS | LOG_ITEM_DEBUG))) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"--log=%s: guest_errors and debug are possible", a->log_items);
		return false;
	}
	if (a->log_file && !log_set_file(a->log_file, true, error)) {
		g_prefix_error(error, "--log-file: ");
		return false;
	}
	log_set_items(items);
	return true;
}

/* Fills what the entries lead to from the command line, of which nothing may be left over. */
static bool parse_entries(const GOptionEntry *entries, int *argc, char ***argv, GError **error)
{
	g_autoptr(GOptionContext)
			context = g_option_context_new("- the picture of a virtual machine");

	g_option_context_add_main_entries(context, entries, NULL);
	if (!check_names(entries, *argv, error)) {
		return false;
	}
	if (!g_option_context_parse(context, argc, argv, error)) {
		return false;
	}
	if (*argc > 1) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"%s: no such argument (see --help)", (*argv)[1]);
		return false;
	}
	return true;
}

static bool parse(struct arguments *a, int *argc, char ***argv, GError **error)
{
	*a = (struct arguments){
			.vhost_fd = -1,
			.control_fd = -1,
			.scanouts = 1,
			.width = 1280,
			.height = 800,
			.host_bytes = (gint64)gpu_default_limits.host_bytes,
			.contexts = (int)gpu_default_limits.contexts,
			.resources = (int)gpu_default_limits.resources,
			.request_bytes = (int)gpu_default_limits.request_bytes,
			.shader_bytes = (int)gpu_default_limits.shader_bytes,
			.hang_ms = gpu_default_limits.hang_ms,
	};
	const GOptionEntry options[] = {
			{"socket-path", 0, 0, G_OPTION_ARG_FILENAME, &a->socket,
					"serve one vhost-user front end that connects to PATH",
					"PATH"},
			{"vhost-fd", 0, 0, G_OPTION_ARG_INT, &a->vhost_fd,
					"serve the vhost-user front end at descriptor N", "N"},
			{"vtest", 0, 0, G_OPTION_ARG_FILENAME, &a->vtest,
					"serve Mesa programs (GALLIUM_DRIVER=virpipe) that connect to PATH",
					"PATH"},
			{"control-fd", 0, 0, G_OPTION_ARG_INT, &a->control_fd,
					"the machine's control channel is descriptor N", "N"},
			{"backend", 0, 0, G_OPTION_ARG_STRING, &a->backend,
					"what renders: 2d or virgl (default: virgl)", "NAME"},
			{"display", 0, 0, G_OPTION_ARG_STRING, &a->display,
					"none, egl-headless, sdl, or default: sdl if a window opens (default: none)",
					"NAME"},
			{"no-gl", 0, 0, G_OPTION_ARG_NONE, &a->no_gl,
					"show pixels, not textures, in windows", NULL},
			{"rendernode", 0, 0, G_OPTION_ARG_FILENAME, &a->render_node,
					"render on this DRM node (default: the first that works, else the CPU)",
					"PATH"},
			{"title", 0, 0, G_OPTION_ARG_STRING, &a->title,
					"title of windows (default: Oriel)", "TEXT"},
			{"max-outputs", 0, 0, G_OPTION_ARG_INT, &a->scanouts,
					"scanouts, 1 to 16 (default: 1)", "N"},
			{"xres", 0, 0, G_OPTION_ARG_INT, &a->width,
					"width of the preferred mode (default: 1280)", "PIXELS"},
			{"yres", 0, 0, G_OPTION_ARG_INT, &a->height,
					"height of the preferred mode (default: 800)", "PIXELS"},
			{"no-edid", 0, 0, G_OPTION_ARG_NONE, &a->no_edid, "do not offer EDID",
					NULL},
			{"keep-last", 0, 0, G_OPTION_ARG_NONE, &a->keep_last,
					"keep a head's last picture for screendumps when it is switched off",
					NULL},
			{"max-hostmem", 0, 0, G_OPTION_ARG_INT64, &a->host_bytes,
					"host memory that resources may take (default: 1073741824)",
					"BYTES"},
			{"max-contexts", 0, 0, G_OPTION_ARG_INT, &a->contexts,
					"contexts at once (default: 128)", "N"},
			{"max-resources", 0, 0, G_OPTION_ARG_INT, &a->resources,
					"resources at once (default: 16384)", "N"},
			{"max-request", 0, 0, G_OPTION_ARG_INT, &a->request_bytes,
					"length of one command (default: 8388608)", "BYTES"},
			{"max-shader", 0, 0, G_OPTION_ARG_INT, &a->shader_bytes,
					"text of one shader (default: 1048576)", "BYTES"},
			{"hang-time", 0, 0, G_OPTION_ARG_INT64, &a->hang_ms,
					"a request that takes longer is a hang (default: 15000)",
					"MS"},
			{"sandbox", 0, 0, G_OPTION_ARG_STRING, &a->sandbox,
					"ask the host's kernel only for what is in a list (default: on, if it can be)",
					"on|off"},
			{"log", 0, 0, G_OPTION_ARG_STRING, &a->log_items,
					"what to log: guest_errors, debug", "ITEM[,ITEM...]"},
			{"log-file", 0, 0, G_OPTION_ARG_FILENAME, &a->log_file,
					"where the log goes, behind what is there (default: standard error)",
					"PATH"},
			{"version", 0, 0, G_OPTION_ARG_NONE, &a->version, "print the version",
					NULL},
			{0},
	};

	return parse_entries(options, argc, argv, error) &&
	       (a->version || check_arguments(a, error));
}

enum size {
	SIZE_PLAIN,
	SIZE_GL,
	SIZE_WINDOW,
};

#if defined(HAVE_WINDOW)
#define THIS_SIZE SIZE_WINDOW
#elif defined(HAVE_GL)
#define THIS_SIZE SIZE_GL
#else
#define THIS_SIZE SIZE_PLAIN
#endif

static bool has_desktop(void)
{
	return g_getenv("DISPLAY") || g_getenv("WAYLAND_DISPLAY");
}

static enum size size_needed(const struct arguments *a)
{
	if (g_strcmp0(a->display, "sdl") == 0 ||
			(g_strcmp0(a->display, "default") == 0 && has_desktop())) {
		return SIZE_WINDOW;
	}
	return g_strcmp0(a->backend, "2d") != 0 || g_strcmp0(a->display, "egl-headless") == 0
			       ? SIZE_GL
			       : SIZE_PLAIN;
}

/* Goes on as the program of that size, which lies beside this one. Returns only if it cannot. */
static void become(enum size size, char **argv, GError **error)
{
	static const char *const names[] = {"oriel-gpu", "oriel-gpu-gl", "oriel-gpu-window"};
	g_autofree char *self = g_file_read_link("/proc/self/exe", error);

	if (self) {
		g_autofree char *folder = g_path_get_dirname(self);
		g_autofree char *path = g_build_filename(folder, names[size], NULL);

		(void)execv(path, argv); /* it returns only to fail */
		set_error_errno(error, "%s", path);
	}
}

static bool open_display(struct program *program, GError **error)
{
	const struct arguments *a = &program->arguments;
	const char *backend = a->backend ? a->backend : "virgl";

	program->display_events = (struct display_events){
			.input = handle_input,
			.mode = handle_mode,
			.closed = handle_closed,
	};
	const struct display_config config = {
			.title = a->title ? a->title : "Oriel",
			.heads = (unsigned)a->scanouts,
			.width = (uint32_t)a->width,
			.height = (uint32_t)a->height,
			.gl = strcmp(backend, "2d") != 0,
			.pixels_only = a->no_gl,
			.render_node = a->render_node,
			.events = &program->display_events,
	};
	const char *name = a->display ? a->display : "none";
	if (strcmp(name, "default") == 0) {
		/* A window if one opens, else headless. */
		bool desktop = has_desktop();
		g_autoptr(GError) no_window = NULL;
		program->display = desktop ? display_create("sdl", &config, &no_window) : NULL;
		if (program->display) {
			return true;
		}
		log_info("no window: %s; -screendump still takes pictures",
				desktop ? no_window->message : "there is no DISPLAY");
		name = "none";
	}
	program->display = display_create(name, &config, error);
	return program->display != NULL;
}

static struct gpu_limits limits_of(const struct arguments *a)
{
	return (struct gpu_limits){
			.host_bytes = (uint64_t)a->host_bytes,
			.contexts = (uint32_t)a->contexts,
			.resources = (uint32_t)a->resources,
			.request_bytes = (uint32_t)a->request_bytes,
			.shader_bytes = (uint32_t)a->shader_bytes,
			.hang_ms = (uint32_t)a->hang_ms,
	};
}

static bool open_gpu(struct program *program, struct gpu_client *client, GError **error)
{
	const struct arguments *a = &program->arguments;
	const struct gpu_config config = {
			.backend = a->backend ? a->backend : "virgl",
			.scanouts = (unsigned)a->scanouts,
			.width = (uint32_t)a->width,
			.height = (uint32_t)a->height,
			.edid = !a->no_edid,
			.keep_last = a->keep_last,
			.limits = limits_of(a),
	};
	struct gpu *gpu = gpu_create(&config, program->display, client, error);

	g_atomic_pointer_set(&program->gpu, gpu);
	return gpu != NULL;
}

/*
 * Unmaps the pages of code that the start ran through, most of them of a GL driver's compiler, once each: what is needed
 * again comes back from the page cache.
 */
static void forget_start(void)
{
	g_autofree char *maps = NULL;
	unsigned long begin, end;
	char access[5];

	if (!g_file_get_contents("/proc/self/maps", &maps, NULL, NULL)) {
		return;
	}
	for (char *line = maps; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		/* Code is never written; read-only data may be: by relocation. */
		if (sscanf(line, "%lx-%lx %4s", &begin, &end, access) == 3 &&
				strcmp(access, "r-xp") == 0 && strchr(line, '/')) {
			(void)madvise((void *)begin, end - begin,
					MADV_DONTNEED); /* else it stays */
		}
	}
}

/* The GL driver runs: from here on only what it and we are known to need. */
static bool enter_sandbox(const struct program *program, GError **error)
{
	const struct display *display = program->display;

	assert(display);
	bool window = strcmp(display->impl->name, "sdl") == 0;
	return sandbox_enter(window ? SANDBOX_WINDOW : SANDBOX_PICTURE, error);
}

static void say_hello(struct program *program)
{
	struct control_message message = {.header.type = CONTROL_HELLO};
	const struct display *display = program->display;
	const char *renderer = "pixman";

	assert(display);
#ifdef HAVE_GL
	if (display->egl) {
		renderer = egl_renderer(display->egl);
	}
#endif
	g_strlcpy(message.payload.hello.renderer, renderer, sizeof(message.payload.hello.renderer));
	g_strlcpy(message.payload.hello.display, display->impl->name,
			sizeof(message.payload.hello.display));
	control_reply(program, &message);
}

/* A virtqueue front end: our machine's or another monitor's. */
static bool serve_vhost_user(struct program *program, GError **error)
{
	const struct arguments *a = &program->arguments;
	int socket = a->vhost_fd;

	if (a->socket) {
		socket = accept_front_end(a->socket, error);
		if (socket < 0) {
			return false;
		}
	}
	program->backend_events = (struct vhost_user_backend_events){
			.disconnected = handle_disconnected,
			.lost = handle_lost,
	};
	program->backend = vhost_user_backend_create(socket, &program->backend_events);
	if (!open_display(program, error) ||
			!open_gpu(program, vhost_user_backend_client(program->backend), error)) {
		return false;
	}
	g_unix_signal_add(SIGTERM, handle_signal, program);
	g_unix_signal_add(SIGINT, handle_signal, program);
	vhost_user_backend_attach(program->backend, program->gpu);
	if (program->control >= 0) {
		g_unix_fd_add(program->control, G_IO_IN | G_IO_HUP, handle_control, program);
	}
	g_timeout_add(HANG_CHECK_INTERVAL_MS, check_hang, program);
	forget_start();
	if (!enter_sandbox(program, error)) {
		return false;
	}
	say_hello(program);
	g_main_loop_run(program->loop);
	return true;
}

static bool serve_vtest(struct program *program, GError **error)
{
	const struct gpu_limits limits = limits_of(&program->arguments);

	program->vtest = vtest_server_create(program->arguments.vtest, &limits, error);
	if (!program->vtest) {
		return false;
	}
	signalled_server = program->vtest;
	(void)signal(SIGTERM, stop_vtest);
	(void)signal(SIGINT, stop_vtest);
	if (!open_display(program, error) ||
			!open_gpu(program, vtest_server_client(program->vtest), error)) {
		return false;
	}
	forget_start();
	return enter_sandbox(program, error) &&
	       vtest_server_run(program->vtest, program->gpu, error);
}

int main(int argc, char **argv)
{
	static struct program program = {.control = -1, .status = EXIT_SUCCESS};
	g_auto(GStrv) arguments = g_strdupv(argv); /* parsing empties argv */
	g_autoptr(GError) error = NULL;

	setlocale(LC_CTYPE, "");
	log_init("oriel-gpu", g_getenv("ORIEL_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (!parse(&program.arguments, &argc, &argv, &error)) {
		log_error("%s", error->message);
		return EXIT_FAILURE;
	}
	if (program.arguments.version) {
		printf("oriel-gpu %s\n", ORIEL_VERSION);
		return EXIT_SUCCESS;
	}
	int failure = program.arguments.control_fd >= 0 ? CONTROL_EXIT_EXPLAINED : EXIT_FAILURE;
	enum size size = size_needed(&program.arguments);
	if (size > THIS_SIZE) {
		become(size, arguments, &error);
		log_error("%s", error->message);
		return failure;
	}
	if (!start_log(&program.arguments, &error)) {
		log_error("%s", error->message);
		return EXIT_FAILURE;
	}
	struct sandbox_config config = {
			.on = g_strcmp0(program.arguments.sandbox, "off") != 0,
			.required = g_strcmp0(program.arguments.sandbox, "on") == 0,
	};
	if (!sandbox_init(&config, false, &error)) {
		log_error("%s", error->message);
		return failure;
	}
	thread_register();
	program.control = program.arguments.control_fd;
	if (!g_getenv("ORIEL_DEBUG") && !stderr_filter_start(&error)) {
		log_warn("%s; what libraries say is not thinned out", error->message);
		g_clear_error(&error);
	}
	program.loop = g_main_loop_new(NULL, FALSE);
	bool ok = program.arguments.vtest ? serve_vtest(&program, &error)
					  : serve_vhost_user(&program, &error);
	if (!ok) {
		log_error("%s", error->message);
		program.status = failure;
	}
	if (!gpu_destroy(program.gpu, DESTROY_DEADLINE_MS)) {
		stderr_filter_stop();
		_exit(program.status); /* the renderer is stuck; the kernel cleans up */
	}
	vhost_user_backend_destroy(program.backend);
	vtest_server_destroy(program.vtest);
	display_destroy(program.display);
	g_main_loop_unref(program.loop);
	stderr_filter_stop();
	return program.status;
}
