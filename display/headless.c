/* SPDX-License-Identifier: MIT */
/*
 * Displays that show nothing. A frame is released at once, whatever its kind, and needs no image,
 * so nothing is ever copied for them; pictures are taken from the GPU when somebody asks. /
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
	egl_close(display->egl);
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

static const struct display_impl egl_headless_display_impl = {
		.name = "egl-headless",
		.accepts = DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE | DISPLAY_IMAGE_NONE,
		.present = headless_present,
		.disable = headless_disable,
		.set_cursor = headless_set_cursor,
		.move_cursor = headless_move_cursor,
		.destroy = headless_destroy,
};

static struct display *headless_create(
		const struct display_impl *impl, const char *render_node, bool gl, GError **error)
{
	struct egl *egl = NULL;

	if (gl) {
		egl = egl_open(render_node, error);
		if (!egl) {
			g_prefix_error(error, "display %s: ", impl->name);
			return NULL;
		}
	}
	struct display *display = g_new0(struct display, 1);
	display->impl = impl;
	display->egl = egl;
	display->accepts = gl ? impl->accepts : impl->accepts & ~DISPLAY_IMAGE_TEXTURE;
	return display;
}

struct display *none_display_create(const struct display_config *config, GError **error)
{
	return headless_create(&none_display_impl, config->render_node, config->gl, error);
}

struct display *egl_headless_display_create(const struct display_config *config, GError **error)
{
	return headless_create(&egl_headless_display_impl, config->render_node, true, error);
}
