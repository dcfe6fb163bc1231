/* SPDX-License-Identifier: MIT */
/*
 * SDL windows in an X server of their own (Xvfb), looked at as a screenshot is: by what the server
 * has in the window. Input arrives as X events.
 */
#include "display/display.h"
#include "tests/harness/test.h"

#include "display/egl.h"

#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <X11/keysym.h>
#include <epoxy/gl.h>
#include <glib/gstdio.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 160u
#define HEIGHT 120u
#define PATIENCE_S 10
#define SKIPPED 77

struct fixture {
	struct display *display;
	Display *x;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	GArray *inputs; /* struct display_input; guarded by lock */
	unsigned closed; /* guarded by lock */
	uint32_t mode_width, mode_height; /* guarded by lock */
	unsigned released; /* guarded by lock */
	struct display_events events;
};

struct test_frame {
	struct display_frame base;
	struct fixture *fixture;
	uint32_t pixels[WIDTH * HEIGHT];
};

/* What the display reports. */

static void handle_input(
		struct display_events *events, unsigned head, const struct display_input *input)
{
	struct fixture *fixture = container_of(events, struct fixture, events);

	assert(head == 0);
	pthread_mutex_lock(&fixture->lock);
	g_array_append_val(fixture->inputs, *input);
	pthread_cond_signal(&fixture->changed);
	pthread_mutex_unlock(&fixture->lock);
}

static void handle_mode(
		struct display_events *events, unsigned head, uint32_t width, uint32_t height)
{
	struct fixture *fixture = container_of(events, struct fixture, events);

	assert(head == 0);
	pthread_mutex_lock(&fixture->lock);
	fixture->mode_width = width;
	fixture->mode_height = height;
	pthread_cond_signal(&fixture->changed);
	pthread_mutex_unlock(&fixture->lock);
}

static void handle_closed(struct display_events *events)
{
	struct fixture *fixture = container_of(events, struct fixture, events);

	pthread_mutex_lock(&fixture->lock);
	fixture->closed++;
	pthread_cond_signal(&fixture->changed);
	pthread_mutex_unlock(&fixture->lock);
}

static void handle_released(struct display_frame *base)
{
	struct test_frame *frame = container_of(base, struct test_frame, base);

	pthread_mutex_lock(&frame->fixture->lock);
	frame->fixture->released++;
	pthread_cond_signal(&frame->fixture->changed);
	pthread_mutex_unlock(&frame->fixture->lock);
}

static struct timespec patience(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_S;
	return end;
}

static bool wait_until(struct fixture *fixture, const struct timespec *end)
{
	return pthread_cond_timedwait(&fixture->changed, &fixture->lock, end) == 0;
}

/* Waits until *counter (guarded by lock) is at least value. */
static void wait_for(struct fixture *fixture, const unsigned *counter, unsigned value)
{
	struct timespec end = patience();
	bool in_time = true;

	pthread_mutex_lock(&fixture->lock);
	while (*counter < value && in_time) {
		in_time = wait_until(fixture, &end);
	}
	unsigned reached = *counter;
	pthread_mutex_unlock(&fixture->lock);
	if (reached < value) {
		fail_msg("still %u, not %u", reached, value);
	}
}

/* The X server. */

static pid_t start_server(void)
{
	char name[16] = ":";
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char number[16];
		(void)snprintf(number, sizeof(number), "%d", fds[1]);
		close(fds[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that crashes leaves nothing */
		execlp("Xvfb", "Xvfb", "-displayfd", number, "-screen", "0", "640x480x24",
				"-noreset", "-nolisten", "tcp", NULL);
		_exit(SKIPPED);
	}
	close(fds[1]);
	name[0] = ':';
	size_t len = 1;
	while (len < sizeof(name) - 1 && read(fds[0], name + len, 1) == 1 && name[len] != '\n') {
		len++;
	}
	close(fds[0]);
	if (len < 2 || name[len] != '\n') {
		fprintf(stderr, "no Xvfb: skipped\n");
		exit(SKIPPED);
	}
	name[len] = '\0';
	g_setenv("DISPLAY", name, TRUE);
	g_unsetenv("WAYLAND_DISPLAY");
	return pid;
}

static Window find_window(Display *x)
{
	Window root, parent, *children = NULL, found = 0;
	unsigned count = 0;

	XQueryTree(x, DefaultRootWindow(x), &root, &parent, &children, &count);
	for (unsigned i = 0; i < count && found == 0; i++) {
		char *name = NULL;
		if (XFetchName(x, children[i], &name) && name && strcmp(name, "test") == 0) {
			found = children[i];
		}
		XFree(name);
	}
	XFree(children);
	assert_int_not_equal(found, 0);
	return found;
}

static uint32_t window_pixel(Display *x, unsigned column, unsigned row)
{
	XImage *image = XGetImage(
			x, find_window(x), (int)column, (int)row, 1, 1, AllPlanes, ZPixmap);

	assert_non_null(image);
	uint32_t pixel = (uint32_t)XGetPixel(image, 0, 0) & 0xffffff;
	XDestroyImage(image);
	return pixel;
}

/* Frames reach the server after they are released: look until the pixel is as expected. */
static void expect_pixel(struct fixture *fixture, unsigned x, unsigned y, uint32_t expected)
{
	int64_t end = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
	uint32_t pixel = 0;

	do {
		pixel = window_pixel(fixture->x, x, y);
	} while (pixel != expected && g_get_monotonic_time() < end);
	if (pixel != expected) {
		fail_msg("pixel %u,%u is %06x, expected %06x", x, y, pixel, expected);
	}
}

static int setup_with(void **state, bool gl)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	g_autoptr(GError) error = NULL;

	fixture->inputs = g_array_new(FALSE, FALSE, sizeof(struct display_input));
	pthread_mutex_init(&fixture->lock, NULL);
	pthread_cond_init(&fixture->changed, NULL);
	fixture->events = (struct display_events){handle_input, handle_mode, handle_closed};
	const struct display_config config = {
			.title = "test",
			.heads = 1,
			.width = WIDTH,
			.height = HEIGHT,
			.gl = gl,
			.events = &fixture->events,
	};
	/* Out of the way of the window: it would report where the real pointer is. */
	fixture->x = XOpenDisplay(NULL);
	assert_non_null(fixture->x);
	XWarpPointer(fixture->x, None, DefaultRootWindow(fixture->x), 0, 0, 0, 0, 639, 479);
	XSync(fixture->x, False);
	fixture->display = display_create("sdl", &config, &error);
	if (!fixture->display) {
		fail_msg("%s", error->message);
	}
	*state = fixture;
	return 0;
}

static int setup_pixels(void **state)
{
	g_unsetenv("ORIEL_SDL_TEXTURES");
	return setup_with(state, false);
}

static int setup_textures(void **state)
{
	g_setenv("ORIEL_SDL_TEXTURES", "1", TRUE);
	return setup_with(state, true);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	XCloseDisplay(fixture->x);
	display_destroy(fixture->display);
	g_array_free(fixture->inputs, TRUE);
	pthread_mutex_destroy(&fixture->lock);
	pthread_cond_destroy(&fixture->changed);
	g_free(fixture);
	return 0;
}

/* Frames. */

/* Four quadrants: red, green; blue, white. */
static void paint(uint32_t *pixels)
{
	for (unsigned y = 0; y < HEIGHT; y++) {
		for (unsigned x = 0; x < WIDTH; x++) {
			bool right = x >= WIDTH / 2, low = y >= HEIGHT / 2;
			pixels[y * WIDTH + x] = low ? (right ? 0xffffffff : 0xff0000ff)
						    : (right ? 0xff00ff00 : 0xffff0000);
		}
	}
}

static void init_frame(struct fixture *fixture, struct test_frame *frame)
{
	frame->fixture = fixture;
	paint(frame->pixels);
	frame->base = (struct display_frame){
			.kind = DISPLAY_IMAGE_PIXELS,
			.format = PIXEL_BGRX,
			.image_width = WIDTH,
			.image_height = HEIGHT,
			.source = {0, 0, WIDTH, HEIGHT},
			.pixels = frame->pixels,
			.stride = WIDTH * 4,
			.released = handle_released,
	};
}

static void expect_quadrants(struct fixture *fixture, unsigned width, unsigned height)
{
	expect_pixel(fixture, 2, 2, 0xff0000);
	expect_pixel(fixture, width - 3, 2, 0x00ff00);
	expect_pixel(fixture, 2, height - 3, 0x0000ff);
	expect_pixel(fixture, width - 3, height - 3, 0xffffff);
}

static void frame_is_shown_and_released_once(void **state)
{
	struct fixture *fixture = *state;
	struct test_frame frame;

	init_frame(fixture, &frame);
	display_present(fixture->display, 0, &frame.base, NULL);
	wait_for(fixture, &fixture->released, 1);
	expect_quadrants(fixture, WIDTH, HEIGHT);
	display_disable(fixture->display, 0);
	expect_pixel(fixture, 2, 2, 0);
	pthread_mutex_lock(&fixture->lock);
	unsigned released = fixture->released;
	pthread_mutex_unlock(&fixture->lock);
	assert_int_equal(released, 1);
}

static void inverted_frame_is_upright(void **state)
{
	struct fixture *fixture = *state;
	struct test_frame frame;

	init_frame(fixture, &frame);
	for (unsigned y = 0; y < HEIGHT / 2; y++) {
		for (unsigned x = 0; x < WIDTH; x++) {
			uint32_t *a = &frame.pixels[y * WIDTH + x];
			uint32_t *b = &frame.pixels[(HEIGHT - 1 - y) * WIDTH + x];
			uint32_t swap = *a;
			*a = *b;
			*b = swap;
		}
	}
	frame.base.y_inverted = true;
	display_present(fixture->display, 0, &frame.base, NULL);
	wait_for(fixture, &fixture->released, 1);
	expect_quadrants(fixture, WIDTH, HEIGHT);
}

static void only_damage_is_taken_over(void **state)
{
	struct fixture *fixture = *state;
	const struct rect damage = {10, 20, 4, 3};
	struct test_frame frame;

	init_frame(fixture, &frame);
	display_present(fixture->display, 0, &frame.base, NULL);
	wait_for(fixture, &fixture->released, 1);
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++) {
		frame.pixels[i] = 0x123456;
	}
	display_present(fixture->display, 0, &frame.base, &damage);
	wait_for(fixture, &fixture->released, 2);
	expect_pixel(fixture, 13, 22, 0x123456);
	expect_pixel(fixture, 14, 22, 0xff0000);
	expect_pixel(fixture, 13, 23, 0xff0000);
	expect_pixel(fixture, 9, 20, 0xff0000);
}

static void part_of_an_image_is_shown(void **state)
{
	struct fixture *fixture = *state;
	struct test_frame frame;

	init_frame(fixture, &frame);
	frame.base.source = (struct rect){WIDTH / 2, HEIGHT / 2, WIDTH / 2, HEIGHT / 2};
	display_present(fixture->display, 0, &frame.base, NULL);
	wait_for(fixture, &fixture->released, 1);
	expect_pixel(fixture, 2, 2, 0xffffff);
	expect_pixel(fixture, WIDTH / 2 - 2, HEIGHT / 2 - 2, 0xffffff);
}

/* A quick guest: all but the newest frame may be skipped, and every one comes back. */
static void every_frame_is_released(void **state)
{
	struct fixture *fixture = *state;
	struct test_frame *frames = g_new0(struct test_frame, 50);

	for (unsigned i = 0; i < 50; i++) {
		init_frame(fixture, &frames[i]);
		for (unsigned j = 0; j < WIDTH * HEIGHT; j++) {
			frames[i].pixels[j] = i;
		}
		display_present(fixture->display, 0, &frames[i].base, NULL);
	}
	wait_for(fixture, &fixture->released, 50);
	expect_pixel(fixture, 5, 5, 49);
	g_free(frames);
}

/* Textures. */

static void texture_is_shown(void **state)
{
	struct fixture *fixture = *state;
	struct egl *egl = fixture->display->egl;
	struct test_frame frame;
	GLuint texture = 0;

	assert_non_null(egl);
	assert_true(fixture->display->accepts & DISPLAY_IMAGE_TEXTURE);
	EGLContext context = egl_context_create(egl, 0, 0, false);
	assert_true(egl_make_current(egl, context));
	init_frame(fixture, &frame);
	glGenTextures(1, &texture);
	glBindTexture(GL_TEXTURE_2D, texture);
	for (unsigned inverted = 0; inverted <= 1; inverted++) {
		for (unsigned y = 0; y < HEIGHT; y++) {
			unsigned row = inverted ? HEIGHT - 1 - y : y;
			if (y == 0) {
				glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, WIDTH, HEIGHT, 0, GL_BGRA,
						GL_UNSIGNED_BYTE, NULL);
			}
			glTexSubImage2D(GL_TEXTURE_2D, 0, 0, (GLint)row, WIDTH, 1, GL_BGRA,
					GL_UNSIGNED_BYTE, frame.pixels + y * WIDTH);
		}
		glFinish();
		frame.base.kind = DISPLAY_IMAGE_TEXTURE;
		frame.base.texture = texture;
		frame.base.y_inverted = inverted;
		display_present(fixture->display, 0, &frame.base, NULL);
		wait_for(fixture, &fixture->released, inverted + 1);
		expect_quadrants(fixture, WIDTH, HEIGHT);
		display_disable(fixture->display, 0);
		expect_pixel(fixture, 2, 2, 0);
	}
	glDeleteTextures(1, &texture);
	assert_true(egl_make_current(egl, EGL_NO_CONTEXT));
	egl_context_destroy(egl, context);
}

/* Input. */

static void send_event(struct fixture *fixture, XEvent *event, long mask)
{
	Window window = find_window(fixture->x);

	event->xany.display = fixture->x;
	event->xany.window = window;
	if (event->type != ClientMessage) {
		event->xkey.root = DefaultRootWindow(fixture->x);
		event->xkey.same_screen = True;
		event->xkey.time = CurrentTime;
	}
	XSendEvent(fixture->x, window, True, mask, event);
	XFlush(fixture->x);
}

/* Takes the first count inputs. */
static struct display_input *take_inputs(struct fixture *fixture, unsigned count)
{
	struct timespec end = patience();
	bool in_time = true;

	pthread_mutex_lock(&fixture->lock);
	while (fixture->inputs->len < count && in_time) {
		in_time = wait_until(fixture, &end);
	}
	unsigned len = fixture->inputs->len;
	struct display_input *inputs = g_memdup2(fixture->inputs->data, len * sizeof(*inputs));
	g_array_set_size(fixture->inputs, 0);
	pthread_mutex_unlock(&fixture->lock);
	if (len < count) {
		fail_msg("%u inputs, not %u", len, count);
	}
	return inputs;
}

static void expect_inputs(
		struct fixture *fixture, const struct display_input *expected, unsigned count)
{
	g_autofree struct display_input *inputs = take_inputs(fixture, count);

	for (unsigned i = 0; i < count; i++) {
		if (memcmp(&inputs[i], &expected[i], sizeof(*inputs)) != 0) {
			fail_msg("input %u: kind %u, code %u, value %d", i, inputs[i].kind,
					inputs[i].code, inputs[i].value);
		}
	}
}

static void keys_arrive_as_linux_codes(void **state)
{
	static const struct display_input expected[] = {
			{DISPLAY_INPUT_KEY, KEY_Q, 1},
			{DISPLAY_INPUT_SYNC, 0, 0},
			{DISPLAY_INPUT_KEY, KEY_Q, 0},
			{DISPLAY_INPUT_SYNC, 0, 0},
	};
	struct fixture *fixture = *state;
	XEvent event = {.xkey = {.type = KeyPress}};

	event.xkey.keycode = XKeysymToKeycode(fixture->x, XK_q);
	XSetInputFocus(fixture->x, find_window(fixture->x), RevertToParent, CurrentTime);
	XSync(fixture->x, False);
	send_event(fixture, &event, KeyPressMask);
	event.type = KeyRelease;
	send_event(fixture, &event, KeyReleaseMask);
	expect_inputs(fixture, expected, G_N_ELEMENTS(expected));
}

static void pointer_is_absolute(void **state)
{
	static const struct display_input expected[] = {
			{DISPLAY_INPUT_ABS, ABS_X, 0x7fff},
			{DISPLAY_INPUT_ABS, ABS_Y, 0x7fff * 30 / (HEIGHT - 1)},
			{DISPLAY_INPUT_SYNC, 0, 0},
	};
	struct fixture *fixture = *state;
	XEvent event = {.xmotion = {.type = MotionNotify, .x = WIDTH - 1, .y = 30}};

	send_event(fixture, &event, PointerMotionMask);
	expect_inputs(fixture, expected, G_N_ELEMENTS(expected));
}

static void buttons_and_wheel(void **state)
{
	static const struct display_input expected[] = {
			{DISPLAY_INPUT_KEY, BTN_RIGHT, 1},
			{DISPLAY_INPUT_SYNC, 0, 0},
			{DISPLAY_INPUT_KEY, BTN_RIGHT, 0},
			{DISPLAY_INPUT_SYNC, 0, 0},
			{DISPLAY_INPUT_REL, REL_WHEEL, 1},
			{DISPLAY_INPUT_SYNC, 0, 0},
	};
	struct fixture *fixture = *state;
	XEvent event = {.xmotion = {.type = MotionNotify, .x = 10, .y = 10}};

	send_event(fixture, &event, PointerMotionMask);
	g_free(take_inputs(fixture, 3));
	event = (XEvent){.xbutton = {.type = ButtonPress, .x = 10, .y = 10, .button = Button3}};
	send_event(fixture, &event, ButtonPressMask);
	event.type = ButtonRelease;
	send_event(fixture, &event, ButtonReleaseMask);
	event.type = ButtonPress;
	event.xbutton.button = Button4;
	send_event(fixture, &event, ButtonPressMask);
	expect_inputs(fixture, expected, G_N_ELEMENTS(expected));
}

static void closing_the_last_window_is_told(void **state)
{
	struct fixture *fixture = *state;
	XEvent event = {.xclient = {.type = ClientMessage, .format = 32}};

	event.xclient.message_type = XInternAtom(fixture->x, "WM_PROTOCOLS", False);
	event.xclient.data.l[0] = (long)XInternAtom(fixture->x, "WM_DELETE_WINDOW", False);
	send_event(fixture, &event, NoEventMask);
	wait_for(fixture, &fixture->closed, 1);
}

static void resizing_asks_for_a_mode(void **state)
{
	struct fixture *fixture = *state;
	struct test_frame frame;

	init_frame(fixture, &frame);
	display_present(fixture->display, 0, &frame.base, NULL);
	wait_for(fixture, &fixture->released, 1);
	XResizeWindow(fixture->x, find_window(fixture->x), 200, 150);
	XFlush(fixture->x);
	wait_for(fixture, &fixture->mode_width, 200);
	wait_for(fixture, &fixture->mode_height, 150);
	expect_quadrants(fixture, 200, 150); /* scaled until the guest follows */
}

static void cursors_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	struct display_cursor *cursor = g_new0(struct display_cursor, 1);
	struct test_frame frame;

	cursor->width = 64;
	cursor->height = 64;
	cursor->hot_x = 1000; /* guests say anything */
	display_set_cursor(fixture->display, 0, cursor);
	display_move_cursor(fixture->display, 0, -5, 100000);
	display_set_cursor(fixture->display, 0, NULL);
	display_set_cursor(fixture->display, 0, cursor);
	g_free(cursor);
	init_frame(fixture, &frame);
	display_present(fixture->display, 0, &frame.base, NULL);
	wait_for(fixture, &fixture->released, 1);
	expect_quadrants(fixture, WIDTH, HEIGHT);
}

static void no_window_system_is_an_error(void **state)
{
	struct display_events events = {handle_input, handle_mode, handle_closed};
	const struct display_config config = {
			.title = "test", .heads = 1, .width = 64, .height = 64, .events = &events};
	g_autofree char *name = g_strdup(g_getenv("DISPLAY"));
	g_autoptr(GError) error = NULL;

	(void)state;
	g_unsetenv("DISPLAY");
	assert_null(display_create("sdl", &config, &error));
	assert_non_null(error);
	g_setenv("DISPLAY", name, TRUE);
}

#define PIXEL_TEST(name) cmocka_unit_test_setup_teardown(name, setup_pixels, teardown)
#define TEXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, setup_textures, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			PIXEL_TEST(frame_is_shown_and_released_once),
			PIXEL_TEST(inverted_frame_is_upright),
			PIXEL_TEST(only_damage_is_taken_over),
			PIXEL_TEST(part_of_an_image_is_shown),
			PIXEL_TEST(every_frame_is_released),
			PIXEL_TEST(keys_arrive_as_linux_codes),
			PIXEL_TEST(pointer_is_absolute),
			PIXEL_TEST(buttons_and_wheel),
			PIXEL_TEST(closing_the_last_window_is_told),
			PIXEL_TEST(resizing_asks_for_a_mode),
			PIXEL_TEST(cursors_come_and_go),
			TEXTURE_TEST(texture_is_shown),
			TEXTURE_TEST(frame_is_shown_and_released_once),
			TEXTURE_TEST(only_damage_is_taken_over),
			TEXTURE_TEST(resizing_asks_for_a_mode),
			cmocka_unit_test(no_window_system_is_an_error),
	};
	pid_t server = start_server();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	return failed;
}
