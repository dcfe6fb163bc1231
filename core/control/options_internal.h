/* SPDX-License-Identifier: MIT */
/* What the files that handle options share. Handlers fill parse->options, or set parse->text where help was asked for. */
#ifndef CORE_CONTROL_OPTIONS_INTERNAL_H
#define CORE_CONTROL_OPTIONS_INTERNAL_H

#include "core/control/options.h"

struct parse {
	const struct options_context *context;
	struct options *options;
	char *text; /* set: this is what the user wanted */
};

/* Sets the error; returns false. */
bool option_set_bad(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* "no such thing 'x'; did you mean 'y'?", or else the list. Returns false. */
bool option_set_unknown(
		GError **error, const char *what, const char *name, const char *const *candidates);

void option_replace(char **target, const char *value);

/* Whether help was asked for instead of a value. */
bool option_is_help(const char *text);

/* Sets every pair of keyval in object by its table. */
bool option_set_properties(void *object, const struct property *table, const struct keyval *keyval,
		GError **error);

/* Parses argument into object by its table; head_key names the key that a head stands for (may be NULL). */
bool option_parse_object(void *object, const struct property *table, const char *argument,
		const char *head_key, GError **error);

bool option_handle_drive(struct parse *parse, const char *argument, GError **error);
bool option_handle_device(struct parse *parse, const char *argument, GError **error);
bool option_handle_display(struct parse *parse, const char *argument, GError **error);
bool option_handle_screendump(struct parse *parse, const char *argument, GError **error);
bool option_handle_sandbox(struct parse *parse, const char *argument, GError **error);

void option_drive_clear(struct option_drive *drive);
void option_device_clear(struct option_device *device);
void option_screendump_clear(struct option_screendump *screendump);

#endif
