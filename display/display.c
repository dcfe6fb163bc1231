/* SPDX-License-Identifier: MIT */
#include "display/display.h"

#include "display/displays.h"

#include <string.h>

static GQuark display_error_quark(void)
{
	return g_quark_from_static_string("oriel-display");
}

#define DISPLAY_ERROR_NAME 1

/* create NULL: known, but not in this build. */
static const struct {
	const char *name;
	struct display *(*create)(const struct display_config *config, GError **error);
} displays[] = {
		{"none", none_display_create},
		{"egl-headless", egl_headless_display_create},
#ifdef HAVE_SDL
		{"sdl", sdl_display_create},
#else
		{"sdl", NULL},
#endif
};

static void check_impl(const struct display_impl *impl)
{
	assert(impl->present && impl->disable && impl->set_cursor && impl->move_cursor);
	assert(impl->destroy && impl->name);
	assert(impl->accepts & DISPLAY_IMAGE_PIXELS);
	(void)impl;
}

struct display *display_create(
		const char *name, const struct display_config *config, GError **error)
{
	assert(config->heads >= 1 && config->heads <= DISPLAY_MAX_HEADS);
	for (unsigned i = 0; i < G_N_ELEMENTS(displays); i++) {
		if (strcmp(name, displays[i].name) != 0) {
			continue;
		}
		if (!displays[i].create) {
			g_set_error(error, display_error_quark(), DISPLAY_ERROR_NAME,
					"display '%s' is not in this build", name);
			return NULL;
		}
		struct display *display = displays[i].create(config, error);
		if (display) {
			check_impl(display->impl);
		}
		return display;
	}

	g_autoptr(GString) names = g_string_new(NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(displays); i++) {
		g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", displays[i].name);
	}
	g_set_error(error, display_error_quark(), DISPLAY_ERROR_NAME,
			"no display '%s'; there are: %s", name, names->str);
	return NULL;
}

void display_destroy(struct display *display)
{
	if (display) {
		display->impl->destroy(display);
	}
}

void display_present(struct display *display, unsigned head, struct display_frame *frame,
		const struct rect *damage)
{
	assert(frame->released);
	assert(frame->kind & display->accepts);
	assert(rect_within(&frame->source, frame->image_width, frame->image_height));
	display->impl->present(display, head, frame, damage);
}

void display_disable(struct display *display, unsigned head)
{
	display->impl->disable(display, head);
}

void display_set_cursor(struct display *display, unsigned head, const struct display_cursor *cursor)
{
	assert(!cursor || (size_t)cursor->width * cursor->height <= G_N_ELEMENTS(cursor->pixels));
	display->impl->set_cursor(display, head, cursor);
}

void display_move_cursor(struct display *display, unsigned head, int32_t x, int32_t y)
{
	display->impl->move_cursor(display, head, x, y);
}
