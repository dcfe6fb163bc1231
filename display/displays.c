/* SPDX-License-Identifier: MIT */
/*
 * The table of displays. Each program has its own copy of this file, so that it links no more than it shows:
 * HAVE_GL and HAVE_SDL say what that is.
 */
#include "display/displays.h"

#include <string.h>

static GQuark display_error_quark(void)
{
	return g_quark_from_static_string("oriel-display");
}

#define DISPLAY_ERROR_NAME 1

/* create NULL: known, but not in this program. */
static const struct {
	const char *name;
	struct display *(*create)(const struct display_config *config, GError **error);
} displays[] = {
		{"none", none_display_create},
#ifdef HAVE_GL
		{"egl-headless", egl_headless_display_create},
#else
		{"egl-headless", NULL},
#endif
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
