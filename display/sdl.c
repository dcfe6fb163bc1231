/* SPDX-License-Identifier: MIT */
/*
 * A window a head through SDL2. All of SDL lives on one thread, which draws, and waits for what
 * users do; other threads leave frames and cursors and wake it.
 *
 * Where a GPU renders, the window shows its texture from a context of the same share group. Where
 * the CPU renders, pixels are quicker: a swap would wait for every draw in flight.
 */
#include "display/displays.h"

#include "core/base/log.h"
#include "core/base/thread.h"
#include "display/egl.h"
#include "display/sdl_input.h"
#include "display/sdl_picture.h"

#include <SDL2/SDL.h>
#ifdef HAVE_X11
#include <X11/Xlib.h>
#endif
#include <epoxy/gl.h>
#include <string.h>

#define RESIZE_SETTLE_MS 100 /* a window that is being dragged asks for its size when it rests */
#define FORCE_TEXTURES \
	"ORIEL_SDL_TEXTURES" /* environment: show textures though the CPU renders; for tests */

struct sdl_head {
	unsigned index;
	SDL_Window *window; /* NULL until the head first shows something; head 0 always has one */
	bool visible;
	struct sdl_picture picture;
	SDL_Cursor *cursor; /* NULL: hidden */
	uint32_t resize_at; /* SDL_GetTicks() when the size has settled; 0: not being resized */

	/* guarded by sdl_display.lock */
	struct display_frame *pending;
	struct rect damage; /* of pending and all that it replaced; empty: nothing */
	bool disable;
	bool cursor_changed;
	struct display_cursor *new_cursor; /* NULL hides */
};

struct sdl_display {
	struct display base;
	struct display_events *events;
	char *title;
	unsigned head_count;
	uint32_t width, height; /* of head 0 at the start */
	struct sdl_head heads[DISPLAY_MAX_HEADS];
	pthread_t thread;
	struct sdl_input input;

	SDL_GLContext gl; /* NULL: pixels */
	bool want_textures;
	uint32_t wake_event; /* SDL's number for it */

	pthread_mutex_t lock;
	pthread_cond_t started;
	bool start_done; /* guarded by lock */
	GError *start_error; /* guarded by lock */
	bool quit; /* guarded by lock */
	bool woken; /* a wake-up is on its way; guarded by lock */
};

static GQuark sdl_error_quark(void)
{
	return g_quark_from_static_string("oriel-sdl");
}

static void set_error_sdl(GError **error, const char *what)
{
	g_set_error(error, sdl_error_quark(), 1, "display sdl: %s: %s", what, SDL_GetError());
}

/* What other threads call. */

static void wake_locked(struct sdl_display *sdl)
{
	SDL_Event event = {.type = sdl->wake_event};

	if (!sdl->woken) {
		sdl->woken = true;
		(void)SDL_PushEvent(
				&event); /* fails when the queue is full: then the thread is awake */
	}
}

static struct rect rect_union(const struct rect *a, const struct rect *b)
{
	if (rect_empty(a)) {
		return *b;
	}
	if (rect_empty(b)) {
		return *a;
	}
	uint32_t left = MIN(a->x, b->x), top = MIN(a->y, b->y);
	uint32_t right = MAX(a->x + a->width, b->x + b->width);
	uint32_t bottom = MAX(a->y + a->height, b->y + b->height);
	return (struct rect){left, top, right - left, bottom - top};
}

static struct sdl_display *sdl_from(struct display *display)
{
	return container_of(display, struct sdl_display, base);
}

static void sdl_present(struct display *display, unsigned index, struct display_frame *frame,
		const struct rect *damage)
{
	struct sdl_display *sdl = sdl_from(display);
	struct sdl_head *head = &sdl->heads[index];
	const struct rect whole = {0, 0, frame->source.width, frame->source.height};
	struct display_frame *old;

	assert(index < sdl->head_count);
	pthread_mutex_lock(&sdl->lock);
	old = head->pending;
	head->pending = frame;
	head->damage = rect_union(&head->damage, damage ? damage : &whole);
	head->disable = false;
	wake_locked(sdl);
	pthread_mutex_unlock(&sdl->lock);
	if (old) {
		old->released(old);
	}
}

static void sdl_disable(struct display *display, unsigned index)
{
	struct sdl_display *sdl = sdl_from(display);
	struct sdl_head *head = &sdl->heads[index];
	struct display_frame *old;

	assert(index < sdl->head_count);
	pthread_mutex_lock(&sdl->lock);
	old = g_steal_pointer(&head->pending);
	head->damage = (struct rect){0};
	head->disable = true;
	wake_locked(sdl);
	pthread_mutex_unlock(&sdl->lock);
	if (old) {
		old->released(old);
	}
}

static void sdl_set_cursor(
		struct display *display, unsigned index, const struct display_cursor *cursor)
{
	struct sdl_display *sdl = sdl_from(display);
	struct sdl_head *head = &sdl->heads[index];
	struct display_cursor *copy = cursor ? g_memdup2(cursor, sizeof(*cursor)) : NULL;

	assert(index < sdl->head_count);
	pthread_mutex_lock(&sdl->lock);
	g_free(head->new_cursor);
	head->new_cursor = copy;
	head->cursor_changed = true;
	wake_locked(sdl);
	pthread_mutex_unlock(&sdl->lock);
}

static void sdl_move_cursor(struct display *display, unsigned head, int32_t x, int32_t y)
{
	/* The window system has moved it already: the guest only echoes our own pointer. */
	(void)display;
	(void)head;
	(void)x;
	(void)y;
}

/* Windows. */

static void handle_motion(
		struct sdl_display *sdl, struct sdl_head *head, const SDL_MouseMotionEvent *motion)
{
	int width = 0, height = 0;

	SDL_GetWindowSize(head->window, &width, &height);
	sdl_input_motion(&sdl->input, head->index, motion->x, motion->y, width, height);
}

static void show_cursor(struct sdl_head *head)
{
	if (head->cursor) {
		SDL_SetCursor(head->cursor);
	}
	(void)SDL_ShowCursor(
			head->cursor ? SDL_ENABLE : SDL_DISABLE); /* fails without a window only */
}

static bool make_current(struct sdl_display *sdl, struct sdl_head *head)
{
	return !sdl->gl || SDL_GL_MakeCurrent(head->window, sdl->gl) == 0;
}

static void draw(struct sdl_display *sdl, struct sdl_head *head, const struct rect *damage)
{
	if (!head->window || !head->visible || !make_current(sdl, head)) {
		return;
	}
	if (sdl->gl) {
		sdl_picture_draw_texture(&head->picture, head->window);
	} else {
		sdl_picture_draw_pixels(&head->picture, head->window, damage);
	}
}

static bool open_window(
		struct sdl_display *sdl, struct sdl_head *head, uint32_t width, uint32_t height)
{
	g_autofree char *title = sdl->head_count == 1 ? g_strdup(sdl->title)
						      : g_strdup_printf("%s (%u)", sdl->title,
									head->index);
	uint32_t flags = SDL_WINDOW_RESIZABLE | (sdl->want_textures ? SDL_WINDOW_OPENGL : 0);

	head->window = SDL_CreateWindow(title, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED,
			(int)width, (int)height, flags);
	head->visible = head->window != NULL;
	return head->window != NULL;
}

static struct sdl_head *find_head(struct sdl_display *sdl, uint32_t window_id)
{
	for (unsigned i = 0; i < sdl->head_count; i++) {
		if (sdl->heads[i].window && SDL_GetWindowID(sdl->heads[i].window) == window_id) {
			return &sdl->heads[i];
		}
	}
	return NULL;
}

static void hide(struct sdl_head *head)
{
	if (head->window && head->visible) {
		SDL_HideWindow(head->window);
	}
	head->visible = false;
}

static void handle_close(struct sdl_display *sdl, struct sdl_head *head)
{
	unsigned visible = 0;

	for (unsigned i = 0; i < sdl->head_count; i++) {
		visible += sdl->heads[i].visible;
	}
	if (visible <= 1) {
		sdl->events->closed(sdl->events);
		return;
	}
	hide(head);
	sdl->events->mode(sdl->events, head->index, 0, 0);
}

static void handle_window(
		struct sdl_display *sdl, struct sdl_head *head, const SDL_WindowEvent *window)
{
	switch (window->event) {
	case SDL_WINDOWEVENT_EXPOSED:
	case SDL_WINDOWEVENT_SIZE_CHANGED:
		draw(sdl, head, NULL);
		break;
	case SDL_WINDOWEVENT_RESIZED:
		head->resize_at = SDL_GetTicks() + RESIZE_SETTLE_MS;
		head->resize_at += head->resize_at == 0;
		break;
	case SDL_WINDOWEVENT_ENTER:
		show_cursor(head);
		break;
	case SDL_WINDOWEVENT_FOCUS_LOST:
		sdl_input_release_all(&sdl->input, head->index);
		break;
	case SDL_WINDOWEVENT_CLOSE:
		handle_close(sdl, head);
		break;
	default: /* moved, minimised and so on: nothing to do */
		break;
	}
}

static void handle_event(struct sdl_display *sdl, const SDL_Event *event)
{
	struct sdl_head *head = NULL;

	switch (event->type) {
	case SDL_WINDOWEVENT:
		if ((head = find_head(sdl, event->window.windowID))) {
			handle_window(sdl, head, &event->window);
		}
		break;
	case SDL_KEYDOWN:
	case SDL_KEYUP:
		if ((head = find_head(sdl, event->key.windowID))) {
			sdl_input_key(&sdl->input, head->index,
					sdl_key_code(event->key.keysym.scancode),
					event->type == SDL_KEYDOWN);
		}
		break;
	case SDL_MOUSEBUTTONDOWN:
	case SDL_MOUSEBUTTONUP:
		if ((head = find_head(sdl, event->button.windowID))) {
			sdl_input_key(&sdl->input, head->index,
					sdl_button_code(event->button.button),
					event->type == SDL_MOUSEBUTTONDOWN);
		}
		break;
	case SDL_MOUSEMOTION:
		if ((head = find_head(sdl, event->motion.windowID))) {
			handle_motion(sdl, head, &event->motion);
		}
		break;
	case SDL_MOUSEWHEEL:
		if ((head = find_head(sdl, event->wheel.windowID))) {
			sdl_input_wheel(&sdl->input, head->index, &event->wheel);
		}
		break;
	default: /* touch, joysticks, our own wake-up: looked at elsewhere or not at all */
		break;
	}
}

/* What other threads left. */

struct work {
	struct display_frame *frame;
	struct rect damage;
	bool disable, cursor_changed;
	struct display_cursor *cursor;
};

static struct work take_work(struct sdl_display *sdl, struct sdl_head *head)
{
	struct work work;

	pthread_mutex_lock(&sdl->lock);
	work = (struct work){
			.frame = g_steal_pointer(&head->pending),
			.damage = head->damage,
			.disable = head->disable,
			.cursor_changed = head->cursor_changed,
			.cursor = g_steal_pointer(&head->new_cursor),
	};
	head->damage = (struct rect){0};
	head->disable = false;
	head->cursor_changed = false;
	pthread_mutex_unlock(&sdl->lock);
	return work;
}

/* The window follows the guest's mode unless the user is just changing it. */
static void fit_window(struct sdl_head *head, uint32_t width, uint32_t height)
{
	bool same = head->picture.width == width && head->picture.height == height;
	uint32_t fixed = SDL_WINDOW_FULLSCREEN | SDL_WINDOW_MAXIMIZED;

	if (!same && head->resize_at == 0 && !(SDL_GetWindowFlags(head->window) & fixed)) {
		SDL_SetWindowSize(head->window, (int)width, (int)height);
	}
}

static void show_frame(struct sdl_display *sdl, struct sdl_head *head, struct display_frame *frame,
		const struct rect *damage)
{
	uint32_t width = frame->source.width, height = frame->source.height;
	bool taken = false;

	if (width == 0 || height == 0) {
		frame->released(frame);
		return;
	}
	if (!head->window && !open_window(sdl, head, width, height)) {
		frame->released(frame);
		return;
	}
	if (!head->visible) {
		SDL_ShowWindow(head->window);
		head->visible = true;
	}
	fit_window(head, width, height);
	if (make_current(sdl, head)) {
		taken = sdl->gl ? sdl_picture_take_texture(&head->picture, frame, damage)
				: sdl_picture_take_pixels(&head->picture, frame, damage);
	}
	frame->released(frame);
	if (taken) {
		draw(sdl, head, damage);
	}
}

static void show_nothing(struct sdl_display *sdl, struct sdl_head *head)
{
	if (!head->window || !make_current(sdl, head)) {
		return;
	}
	sdl_picture_clear(&head->picture);
	if (head->index == 0) {
		draw(sdl, head, NULL);
	} else {
		hide(head);
	}
}

static void change_cursor(struct sdl_head *head, struct display_cursor *cursor)
{
	SDL_Cursor *old = head->cursor;

	head->cursor = NULL;
	if (cursor && cursor->width > 0 && cursor->height > 0) {
		SDL_Surface *surface = SDL_CreateRGBSurfaceWithFormatFrom(cursor->pixels,
				(int)cursor->width, (int)cursor->height, 32, (int)cursor->width * 4,
				SDL_PIXELFORMAT_ARGB8888);
		if (surface) {
			head->cursor = SDL_CreateColorCursor(surface,
					(int)MIN(cursor->hot_x, cursor->width - 1),
					(int)MIN(cursor->hot_y, cursor->height - 1));
		}
		SDL_FreeSurface(surface);
	}
	if (head->window && SDL_GetMouseFocus() == head->window) {
		show_cursor(head);
	}
	SDL_FreeCursor(old);
}

static void do_work(struct sdl_display *sdl, struct sdl_head *head)
{
	struct work work = take_work(sdl, head);

	if (work.cursor_changed) {
		change_cursor(head, work.cursor);
		g_free(work.cursor);
	}
	if (work.frame) {
		show_frame(sdl, head, work.frame, &work.damage);
	}
	if (work.disable) {
		show_nothing(sdl, head);
	}
}

/* Asks for the sizes that have settled. Returns how long to wait for the next, -1 for ever. */
static int settle_sizes(struct sdl_display *sdl)
{
	uint32_t now = SDL_GetTicks();
	int wait = -1;

	for (unsigned i = 0; i < sdl->head_count; i++) {
		struct sdl_head *head = &sdl->heads[i];
		int width = 0, height = 0;
		if (head->resize_at == 0) {
			continue;
		}
		int left = (int)(head->resize_at - now);
		if (left > 0) {
			wait = wait < 0 ? left : MIN(wait, left);
			continue;
		}
		head->resize_at = 0;
		SDL_GetWindowSize(head->window, &width, &height);
		if ((uint32_t)width != head->picture.width ||
				(uint32_t)height != head->picture.height) {
			sdl->events->mode(sdl->events, i, (uint32_t)width, (uint32_t)height);
		}
	}
	return wait;
}

static bool is_over(struct sdl_display *sdl)
{
	pthread_mutex_lock(&sdl->lock);
	bool over = sdl->quit;
	sdl->woken = false;
	pthread_mutex_unlock(&sdl->lock);
	return over;
}

static void loop(struct sdl_display *sdl)
{
	SDL_Event event;

	while (!is_over(sdl)) {
		for (unsigned i = 0; i < sdl->head_count; i++) {
			do_work(sdl, &sdl->heads[i]);
		}
		if (SDL_WaitEventTimeout(&event, settle_sizes(sdl)) == 0) {
			continue;
		}
		do {
			handle_event(sdl, &event);
		} while (SDL_PollEvent(&event));
	}
}

/* Start and end. */

static void set_hints(void)
{
	static const struct {
		const char *name, *value;
	} hints[] = {
			{SDL_HINT_NO_SIGNAL_HANDLERS, "1"},
			{SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1"},
			{SDL_HINT_FRAMEBUFFER_ACCELERATION, "0"},
			{SDL_HINT_VIDEO_X11_FORCE_EGL, "1"},
			{SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0"},
			{SDL_HINT_QUIT_ON_LAST_WINDOW_CLOSE, "0"},
			{SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(hints); i++) {
		(void)SDL_SetHint(hints[i].name, hints[i].value); /* the user's environment wins */
	}
}

/*
 * The window system that the environment speaks of; NULL: SDL may choose. Left to itself SDL knocks at every
 * door, and libwayland says aloud that nobody is at home.
 */
static const char *video_driver(void)
{
	bool x11 = g_getenv("DISPLAY") != NULL;
	const char *name = g_getenv("WAYLAND_DISPLAY");
	bool wayland = name && (name[0] == '/' || g_getenv("XDG_RUNTIME_DIR"));

	if (x11 && wayland) {
		return NULL;
	}
	return x11 ? "x11" : wayland ? "wayland" : "kmsdrm";
}

#ifdef HAVE_X11
/*
 * Xlib would end the program. SDL wakes its thread by an event to a window that may just have been destroyed.
 */
static int note_x_error(Display *x, XErrorEvent *event)
{
	char text[80];

	XGetErrorText(x, event->error_code, text, sizeof(text));
	log_info("display sdl: X error in request %u: %s", event->request_code, text);
	return 0;
}
#endif

static bool start_video(GError **error)
{
	bool chosen = g_getenv("SDL_VIDEODRIVER") != NULL;

#ifdef HAVE_X11
	XSetErrorHandler(note_x_error);
#endif
	set_hints();
	if (!chosen && video_driver()) {
		(void)SDL_SetHint(SDL_HINT_VIDEODRIVER, video_driver());
	}
	if (SDL_Init(SDL_INIT_VIDEO) != 0 && chosen) {
		set_error_sdl(error, "no window system");
		return false;
	}
	const char *driver = SDL_GetCurrentVideoDriver();
	bool windowless = !driver || strcmp(driver, "dummy") == 0 ||
			  strcmp(driver, "offscreen") == 0;
	if (windowless && !chosen) {
		g_set_error(error, sdl_error_quark(), 1,
				"display sdl: no window system (DISPLAY and WAYLAND_DISPLAY lead nowhere)");
		return false;
	}
	return true;
}

/* Head 0's window gets a context, and its EGL display becomes everybody's. */
static bool start_gl(struct sdl_display *sdl, GError **error)
{
	EGLint id = 0, count = 0;
	EGLConfig config = EGL_NO_CONFIG_KHR;

	sdl->gl = SDL_GL_CreateContext(sdl->heads[0].window);
	if (!sdl->gl) {
		set_error_sdl(error, "no OpenGL in the window");
		return false;
	}
	EGLDisplay display = eglGetCurrentDisplay();
	if (display == EGL_NO_DISPLAY) {
		g_set_error(error, sdl_error_quark(), 1,
				"display sdl: the window's OpenGL is not EGL's");
		return false;
	}
	if (eglQueryContext(display, eglGetCurrentContext(), EGL_CONFIG_ID, &id)) {
		const EGLint wanted[] = {EGL_CONFIG_ID, id, EGL_NONE};
		(void)eglChooseConfig(
				display, wanted, &config, 1, &count); /* none is good as well */
	}
	sdl->base.egl = egl_adopt(display, config, error);
	if (sdl->base.egl) {
		(void)SDL_GL_SetSwapInterval(
				sdl->head_count == 1 ? 1 : 0); /* without it frames tear */
	}
	return sdl->base.egl != NULL;
}

static bool start(struct sdl_display *sdl, GError **error)
{
	if (!start_video(error)) {
		return false;
	}
	sdl->wake_event = SDL_RegisterEvents(1);
	if (!open_window(sdl, &sdl->heads[0], sdl->width, sdl->height)) {
		set_error_sdl(error, "no window");
		return false;
	}
	if (sdl->want_textures && !start_gl(sdl, error)) {
		return false;
	}
	draw(sdl, &sdl->heads[0], NULL);
	return true;
}

static void finish_head(struct sdl_display *sdl, struct sdl_head *head)
{
	struct work work = take_work(sdl, head);

	if (work.frame) {
		work.frame->released(work.frame);
	}
	g_free(work.cursor);
	if (head->window && make_current(sdl, head)) {
		sdl_picture_clear(&head->picture);
	}
	SDL_FreeCursor(head->cursor);
}

static void finish(struct sdl_display *sdl)
{
	for (unsigned i = 0; i < sdl->head_count; i++) {
		finish_head(sdl, &sdl->heads[i]);
	}
	if (sdl->want_textures) {
		egl_close(g_steal_pointer(
				&sdl->base.egl)); /* its EGL display ends with SDL's video */
	}
	if (sdl->gl) {
		SDL_GL_DeleteContext(sdl->gl);
	}
	for (unsigned i = 0; i < sdl->head_count; i++) {
		if (sdl->heads[i].window) {
			SDL_DestroyWindow(sdl->heads[i].window);
		}
	}
	SDL_Quit();
}

static void run(void *opaque)
{
	struct sdl_display *sdl = opaque;
	GError *error = NULL;
	bool ok = start(sdl, &error);

	pthread_mutex_lock(&sdl->lock);
	sdl->start_done = true;
	sdl->start_error = error;
	pthread_cond_signal(&sdl->started);
	pthread_mutex_unlock(&sdl->lock);
	if (ok) {
		loop(sdl);
	}
	finish(sdl);
}

static void sdl_free(struct sdl_display *sdl)
{
	egl_close(sdl->base.egl);
	pthread_mutex_destroy(&sdl->lock);
	pthread_cond_destroy(&sdl->started);
	g_free(sdl->title);
	g_free(sdl);
}

static void sdl_destroy(struct display *display)
{
	struct sdl_display *sdl = sdl_from(display);

	pthread_mutex_lock(&sdl->lock);
	sdl->quit = true;
	wake_locked(sdl);
	pthread_mutex_unlock(&sdl->lock);
	pthread_join(sdl->thread, NULL);
	sdl_free(sdl);
}

static const struct display_impl sdl_display_impl = {
		.name = "sdl",
		.accepts = DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE,
		.present = sdl_present,
		.disable = sdl_disable,
		.set_cursor = sdl_set_cursor,
		.move_cursor = sdl_move_cursor,
		.destroy = sdl_destroy,
};

/* Decides between textures and pixels; for pixels the GPU's contexts come from no window. */
static bool choose_gl(struct sdl_display *sdl, const struct display_config *config, GError **error)
{
	struct egl *egl = egl_open(config->render_node, error);

	if (!egl) {
		g_prefix_error(error, "display sdl: ");
		return false;
	}
	if (egl_is_software(egl) && !g_getenv(FORCE_TEXTURES)) {
		sdl->base.egl = egl;
		return true;
	}
	egl_close(egl);
	sdl->want_textures = true;
	return true;
}

static bool start_thread(struct sdl_display *sdl, GError **error)
{
	if (!thread_create(&sdl->thread, "display", run, sdl, error)) {
		return false;
	}
	pthread_mutex_lock(&sdl->lock);
	while (!sdl->start_done) {
		pthread_cond_wait(&sdl->started, &sdl->lock);
	}
	GError *start_error = g_steal_pointer(&sdl->start_error);
	pthread_mutex_unlock(&sdl->lock);
	if (start_error) {
		pthread_join(sdl->thread, NULL);
		g_propagate_error(error, start_error);
		return false;
	}
	return true;
}

struct display *sdl_display_create(const struct display_config *config, GError **error)
{
	struct sdl_display *sdl = g_new0(struct sdl_display, 1);

	sdl->base.impl = &sdl_display_impl;
	sdl->events = config->events;
	sdl->input.events = config->events;
	sdl->title = g_strdup(config->title);
	sdl->head_count = config->heads;
	sdl->width = config->width;
	sdl->height = config->height;
	for (unsigned i = 0; i < config->heads; i++) {
		sdl->heads[i].index = i;
	}
	pthread_mutex_init(&sdl->lock, NULL);
	pthread_cond_init(&sdl->started, NULL);
	if ((config->gl && !choose_gl(sdl, config, error)) || !start_thread(sdl, error)) {
		sdl_free(sdl);
		return NULL;
	}
	sdl->base.accepts = DISPLAY_IMAGE_PIXELS | (sdl->want_textures ? DISPLAY_IMAGE_TEXTURE : 0);
	return &sdl->base;
}
