/* SPDX-License-Identifier: MIT */
/* -display and -screendump. */
#include "core/control/options_internal.h"

#include <math.h>
#include <string.h>

#define MAX_SECONDS 1000000.0

static const char *const display_names[] = {"none", "sdl", "egl-headless", NULL};
static const char *const gl_names[] = {"off", "on", "core", "es", NULL};

struct display_properties {
	unsigned gl; /* index into gl_names */
	char *render_node;
};

static const struct property none_properties[] = {{NULL}};
static const struct property sdl_properties[] = {
		{"gl", PROPERTY_ENUM, offsetof(struct display_properties, gl), "on",
				.values = gl_names},
		{NULL},
};
static const struct property egl_headless_properties[] = {
		{"rendernode", PROPERTY_STRING, offsetof(struct display_properties, render_node)},
		{NULL},
};

/* In the order of display_names. */
static const struct {
	enum option_display_kind kind;
	const struct property *properties;
} displays[] = {
		{OPTION_DISPLAY_NONE, none_properties},
		{OPTION_DISPLAY_SDL, sdl_properties},
		{OPTION_DISPLAY_EGL_HEADLESS, egl_headless_properties},
};

static bool parse_display(struct option_display *display, const char *name,
		const struct keyval *keyval, GError **error)
{
	struct display_properties properties = {.gl = 0};
	unsigned index = 0;

	while (display_names[index] && g_strcmp0(name, display_names[index]) != 0) {
		index++;
	}
	if (!display_names[index]) {
		return option_set_unknown(error, "display", name ? name : "", display_names);
	}
	const struct property *table = displays[index].properties;
	properties_set_defaults(&properties, table);
	if (!option_set_properties(&properties, table, keyval, error)) {
		properties_clear(&properties, table);
		return false;
	}
	*display = (struct option_display){.kind = displays[index].kind,
			.gl = properties.gl != 0,
			.render_node = properties.render_node};
	return true;
}

bool option_handle_display(struct parse *parse, const char *argument, GError **error)
{
	struct option_display display;
	struct keyval keyval;

	if (option_is_help(argument)) {
		g_autofree char *list = g_strjoinv("\n  ", (char **)(uintptr_t)display_names);
		parse->text = g_strdup_printf("Displays:\n  %s\n", list);
		return true;
	}
	if (!keyval_parse(argument, &keyval, error)) {
		return false;
	}
	g_autofree char *name = g_steal_pointer(&keyval.head);
	bool ok = parse_display(&display, name, &keyval, error);
	keyval_clear(&keyval);
	if (ok) {
		g_free(parse->options->display.render_node);
		parse->options->display = display;
	}
	return ok;
}

/* "exit", "serial:TEXT", "time:SECONDS" or "frame:N". */
static bool parse_when(struct option_screendump *screendump, const char *when, GError **error)
{
	const char *colon = strchr(when, ':');
	const char *value = colon ? colon + 1 : "";
	char *end = NULL;
	guint64 frame;

	if (strcmp(when, "exit") == 0) {
		screendump->when = OPTION_SCREENDUMP_EXIT;
		return true;
	}
	if (g_str_has_prefix(when, "serial:") && value[0] != '\0') {
		screendump->when = OPTION_SCREENDUMP_SERIAL;
		screendump->text = g_strdup(value);
		return true;
	}
	if (g_str_has_prefix(when, "time:") && g_ascii_isdigit(value[0])) {
		double seconds = g_ascii_strtod(value, &end);
		if (*end == '\0' && isfinite(seconds) && seconds <= MAX_SECONDS) {
			screendump->when = OPTION_SCREENDUMP_TIME;
			screendump->time_ns = (int64_t)(seconds * 1e9);
			return true;
		}
	}
	if (g_str_has_prefix(when, "frame:") &&
			g_ascii_string_to_unsigned(value, 10, 1, UINT32_MAX, &frame, NULL)) {
		screendump->when = OPTION_SCREENDUMP_FRAME;
		screendump->frame = frame;
		return true;
	}
	return option_set_bad(error,
			"when: '%s' is not exit, serial:TEXT, time:SECONDS or frame:N (N from 1 on)",
			when);
}

struct screendump_properties {
	char *file, *when;
	uint32_t head;
};

static const struct property screendump_table[] = {
		{"file", PROPERTY_STRING, offsetof(struct screendump_properties, file)},
		{"head", PROPERTY_UINT32, offsetof(struct screendump_properties, head), .min = 0,
				.max = 15},
		{"when", PROPERTY_STRING, offsetof(struct screendump_properties, when), "exit"},
		{NULL},
};

void option_screendump_clear(struct option_screendump *screendump)
{
	g_free(screendump->file);
	g_free(screendump->text);
}

bool option_handle_screendump(struct parse *parse, const char *argument, GError **error)
{
	struct screendump_properties properties;
	struct option_screendump screendump = {.file = NULL};

	properties_set_defaults(&properties, screendump_table);
	bool ok = option_parse_object(&properties, screendump_table, argument, "file", error);
	if (ok && (!properties.file || properties.file[0] == '\0')) {
		ok = option_set_bad(error, "'%s' names no file (file=PATH)", argument);
	}
	ok = ok && parse_when(&screendump, properties.when, error);
	if (ok) {
		screendump.file = g_strdup(properties.file);
		screendump.head = properties.head;
		g_array_append_val(parse->options->screendumps, screendump);
	}
	properties_clear(&properties, screendump_table);
	return ok;
}
