/* SPDX-License-Identifier: MIT */
/*
 * Displays that show nothing. A frame is released at once, whatever its kind, and needs no image,
 * so nothing is ever copied for them; pictures are taken from the GPU when somebody asks.
 * Without HAVE_GL nothing here needs EGL.
 */
#include "display/displays.h"
#include "display/egl.h"

static void headless_present(struct display *display, unsigned head, struct display_frame *frame,
		const struct rect *damage)
{
	(void)display;
	(void)head;
	(void)damage;
	frame->released(frame);
}

static void headless_disable(struct display *display, unsigned head)
{
	(void)display;
	(void)head;
}

static void headless_set_cursor(
		struct display *display, unsigned head, const struct display_cursor *cursor)
{
	(void)display;
	(void)head;
	(void)cursor;
}

static void headless_move_cursor(struct display *display, unsigned head, int32_t x, int32_t y)
{
	(void)display;
	(void)head;
	(void)x;
	(void)y;
}

static void headless_destroy(struct display *display)
{
#ifdef HAVE_GL
	egl_close(display->egl);
#endif
	g_free(display);
}

static const struct display_impl none_display_impl = {
		.name = "none",
		.accepts = DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE | DISPLAY_IMAGE_NONE,
		.present = headless_present,
		.disable = headless_disable,
		.set_cursor = headless_set_cursor,
		.move_cursor = headless_move_cursor,
		.destroy = headless_destroy,
};

static struct display *headless_new(const struct display_impl *impl, struct egl *take_egl)
{
	struct display *display = g_new0(struct display, 1);

	display->impl = impl;
	display->egl = take_egl;
	display->accepts = take_egl ? impl->accepts : impl->accepts & ~DISPLAY_IMAGE_TEXTURE;
	return display;
}

#ifdef HAVE_GL
static const struct display_impl egl_headless_display_impl = {
		.name = "egl-headless",
		.accepts = DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE | DISPLAY_IMAGE_NONE,
		.present = headless_present,
		.disable = headless_disable,
		.set_cursor = headless_set_cursor,
		.move_cursor = headless_move_cursor,
		.destroy = headless_destroy,
};

static struct display *headless_gl_create(
		const struct display_impl *impl, const char *render_node, GError **error)
{
	struct egl *egl = egl_open(render_node, error);

	if (!egl) {
		g_prefix_error(error, "display %s: ", impl->name);
		return NULL;
	}
	return headless_new(impl, egl);
}

struct display *none_display_create(const struct display_config *config, GError **error)
{
	return config->gl ? headless_gl_create(&none_display_impl, config->render_node, error)
			  : headless_new(&none_display_impl, NULL);
}

struct display *egl_headless_display_create(const struct display_config *config, GError **error)
{
	return headless_gl_create(&egl_headless_display_impl, config->render_node, error);
}
#else
struct display *none_display_create(const struct display_config *config, GError **error)
{
	if (config->gl) {
		g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
				"display none: GL is not in this program");
		return NULL;
	}
	return headless_new(&none_display_impl, NULL);
}
#endif
