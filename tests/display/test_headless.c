/* SPDX-License-Identifier: MIT */
#include "display/display.h"
#include "tests/harness/test.h"
#include "display/egl.h"

#include <string.h>

static const struct display_config config_2d = {
		.title = "test", .heads = 2, .width = 64, .height = 48};
static const struct display_config config_gl = {
		.title = "test", .heads = 1, .width = 64, .height = 48, .gl = true};

struct counted_frame {
	struct display_frame base;
	unsigned released;
};

static void count_release(struct display_frame *frame)
{
	struct counted_frame *counted = container_of(frame, struct counted_frame, base);

	counted->released++;
}

static struct display *create(const char *name, const struct display_config *config)
{
	g_autoptr(GError) error = NULL;
	struct display *display = display_create(name, config, &error);

	assert_null(error);
	assert_non_null(display);
	assert_string_equal(display->impl->name, name);
	return display;
}

static void frames_are_released_once(void **state)
{
	struct display *display = create("none", &config_2d);
	uint32_t pixels[4] = {0};
	struct counted_frame frame = {
			.base = {.kind = DISPLAY_IMAGE_PIXELS,
					.image_width = 2,
					.image_height = 2,
					.source = {0, 0, 2, 2},
					.pixels = pixels,
					.stride = 8,
					.released = count_release},
	};

	(void)state;
	display_present(display, 0, &frame.base, NULL);
	assert_int_equal(frame.released, 1);
	display_set_cursor(display, 0, NULL);
	display_move_cursor(display, 0, -3, 5);
	display_disable(display, 0);
	assert_int_equal(frame.released, 1);
	display_destroy(display);
	display_destroy(NULL);
}

static void none_has_gl_only_when_asked(void **state)
{
	struct display *plain = create("none", &config_2d);
	struct display *gl = create("none", &config_gl);

	(void)state;
	assert_null(plain->egl);
	assert_int_equal(plain->accepts, DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_NONE);
	assert_non_null(gl->egl);
	assert_int_equal(gl->accepts,
			DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE | DISPLAY_IMAGE_NONE);
	display_destroy(plain);
	display_destroy(gl);
}

static void egl_headless_always_has_gl(void **state)
{
	struct display *display = create("egl-headless", &config_2d);

	(void)state;
	assert_non_null(display->egl);
	display_destroy(display);
}

static void bad_render_node_is_named(void **state)
{
	struct display_config config = config_gl;
	g_autoptr(GError) error = NULL;

	(void)state;
	config.render_node = "/dev/null";
	assert_null(display_create("egl-headless", &config, &error));
	assert_non_null(error);
	assert_non_null(strstr(error->message, "/dev/null"));
}

static void unknown_name_lists_the_known(void **state)
{
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_null(display_create("gtk", &config_2d, &error));
	assert_non_null(error);
	assert_non_null(strstr(error->message, "egl-headless"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(frames_are_released_once),
			cmocka_unit_test(none_has_gl_only_when_asked),
			cmocka_unit_test(egl_headless_always_has_gl),
			cmocka_unit_test(bad_render_node_is_named),
			cmocka_unit_test(unknown_name_lists_the_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
