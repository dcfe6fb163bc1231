/* SPDX-License-Identifier: MIT */
/* -drive and -device. */
#include "core/base/nearest.h"
#include "core/control/options_internal.h"

#include <string.h>

static bool id_is_free(const struct options *options, const char *id, GError **error)
{
	for (unsigned i = 0; i < options->drives->len; i++) {
		if (g_strcmp0(g_array_index(options->drives, struct option_drive, i).id, id) == 0) {
			return option_set_bad(error, "the id '%s' is that of a drive already", id);
		}
	}
	for (unsigned i = 0; i < options->devices->len; i++) {
		if (g_strcmp0(g_array_index(options->devices, struct option_device, i).id, id) ==
				0) {
			return option_set_bad(error, "the id '%s' is that of a device already", id);
		}
	}
	return true;
}

static const char *const drive_interfaces[] = {"virtio", "none", NULL};
static const char *const drive_formats[] = {"raw", NULL};
static const char *const drive_aios[] = {"auto", "threads", "io_uring", NULL};
static const char *const drive_discards[] = {"ignore", "unmap", "off", "on", NULL};
static const struct property drive_properties[] = {
		{"file", PROPERTY_STRING, offsetof(struct option_drive, file)},
		{"id", PROPERTY_STRING, offsetof(struct option_drive, id)},
		{"if", PROPERTY_ENUM, offsetof(struct option_drive, interface),
				.values = drive_interfaces},
		{"format", PROPERTY_ENUM, offsetof(struct option_drive, format),
				.values = drive_formats},
		{"aio", PROPERTY_ENUM, offsetof(struct option_drive, aio), .values = drive_aios},
		{"discard", PROPERTY_ENUM, offsetof(struct option_drive, discard),
				.values = drive_discards},
		{"snapshot", PROPERTY_BOOL, offsetof(struct option_drive, snapshot)},
		{"readonly", PROPERTY_BOOL, offsetof(struct option_drive, read_only)},
		{NULL},
};

void option_drive_clear(struct option_drive *drive)
{
	properties_clear(drive, drive_properties);
}

bool option_handle_drive(struct parse *parse, const char *argument, GError **error)
{
	struct option_drive drive = {.devices_before = parse->options->devices->len};

	properties_set_defaults(&drive, drive_properties);
	bool ok = option_parse_object(&drive, drive_properties, argument, NULL, error);

	if (ok && (!drive.file || drive.file[0] == '\0')) {
		ok = option_set_bad(error, "'%s' names no file (file=PATH)", argument);
	} else if (ok && drive.interface == OPTION_DRIVE_NONE && !drive.id) {
		ok = option_set_bad(error, "if=none needs an id=, for -device ...,drive=ID");
	}
	ok = ok && (!drive.id || id_is_free(parse->options, drive.id, error));
	if (!ok) {
		option_drive_clear(&drive);
		return false;
	}
	g_array_append_val(parse->options->drives, drive);
	return true;
}

static const struct device_class *find_class(
		const struct options_context *context, const char *name)
{
	for (unsigned i = 0; context->classes[i]; i++) {
		if (!context->classes[i]->internal &&
				strcmp(context->classes[i]->name, name) == 0) {
			return context->classes[i];
		}
	}
	return NULL;
}

static bool set_unknown_device(
		const struct options_context *context, const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (unsigned i = 0; context->classes[i]; i++) {
		if (!context->classes[i]->internal) {
			g_ptr_array_add(names, (char *)(uintptr_t)context->classes[i]->name);
		}
	}
	g_ptr_array_add(names, NULL);
	const char *near = nearest_name(name, (const char *const *)names->pdata);
	if (near) {
		return option_set_bad(error, "no device '%s'; did you mean '%s'?", name, near);
	}
	return option_set_bad(error, "no device '%s'; '-device help' lists them", name);
}

static char *devices_text(const struct options_context *context)
{
	GString *text = g_string_new(
			"Devices ('-device NAME,help' lists the properties of one):\n");

	for (unsigned i = 0; context->classes[i]; i++) {
		const struct device_class *device_class = context->classes[i];
		if (!device_class->internal) {
			g_string_append_printf(text, "  %-24s %s\n", device_class->name,
					device_class->description ? device_class->description : "");
		}
	}
	return g_string_free(text, FALSE);
}

static char *device_text(const struct device_class *device_class)
{
	g_autofree char *properties = properties_help(device_class->properties);
	const char *description = device_class->description ? device_class->description : "";

	return g_strdup_printf("%s: %s\n  %-28s %s\n%s", device_class->name, description,
			"id=<text>", "a name for messages and for later commands", properties);
}

struct device *option_device_create(const struct option_device *option, GError **error)
{
	struct device *device = device_create(option->device_class);

	device->id = g_strdup(option->id);
	for (unsigned i = 0; i < option->properties.count; i++) {
		const struct keyval_pair *pair = &option->properties.pairs[i];
		if (!device_set_property(device, pair->key, pair->value, error)) {
			device_destroy(device);
			return NULL;
		}
	}
	return device;
}

void option_device_clear(struct option_device *option)
{
	g_free(option->id);
	keyval_clear(&option->properties);
}

/* Takes over what keyval holds. */
static bool add_device(struct parse *parse, const struct device_class *device_class,
		struct keyval *keyval, GError **error)
{
	struct option_device option = {.device_class = device_class,
			.id = keyval_take(keyval, "id"),
			.properties = *keyval};

	*keyval = (struct keyval){NULL};
	struct device *trial = option_device_create(&option, error);
	device_destroy(trial);
	if (!trial || (option.id && !id_is_free(parse->options, option.id, error))) {
		option_device_clear(&option);
		return false;
	}
	g_array_append_val(parse->options->devices, option);
	return true;
}

bool option_handle_device(struct parse *parse, const char *argument, GError **error)
{
	struct keyval keyval;
	bool ok = true;

	if (!keyval_parse(argument, &keyval, error)) {
		return false;
	}
	g_autofree char *driver = keyval_take(&keyval, "driver");
	const char *name = keyval.head ? keyval.head : driver;
	const struct device_class *device_class = name ? find_class(parse->context, name) : NULL;
	if (!name) {
		ok = option_set_bad(error, "'%s' names no device", argument);
	} else if (option_is_help(name)) {
		parse->text = devices_text(parse->context);
	} else if (!device_class) {
		ok = set_unknown_device(parse->context, name, error);
	} else if (keyval_get(&keyval, "help") || keyval_get(&keyval, "?")) {
		parse->text = device_text(device_class);
	} else {
		g_clear_pointer(&keyval.head, g_free);
		ok = add_device(parse, device_class, &keyval, error);
	}
	keyval_clear(&keyval);
	return ok;
}
