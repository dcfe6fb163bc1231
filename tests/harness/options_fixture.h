/* SPDX-License-Identifier: MIT */
/* A program with three accelerators and two devices, and what its command line says. */
#ifndef TESTS_HARNESS_OPTIONS_FIXTURE_H
#define TESTS_HARNESS_OPTIONS_FIXTURE_H

#include "core/control/options.h"
#include "tests/harness/test.h"

#include <string.h>

struct toy_device {
	struct device base;
	char *drive;
	uint32_t width;
	bool shiny;
};

static inline bool toy_realize(struct device *device, struct machine *machine, GError **error)
{
	(void)device, (void)machine, (void)error;
	return true;
}

static inline void toy_nothing(struct device *device)
{
	(void)device;
}

static const struct property toy_properties[] = {
		{"drive", PROPERTY_STRING, offsetof(struct toy_device, drive), .help = "the disk"},
		{"xres", PROPERTY_UINT32, offsetof(struct toy_device, width), "1280", 1, 16384,
				.help = "pixels"},
		{"shiny", PROPERTY_BOOL, offsetof(struct toy_device, shiny)},
		{NULL},
};

static const struct device_class toy_gpu = {.name = "virtio-gpu-pci",
		.description = "Graphics",
		.size = sizeof(struct toy_device),
		.properties = toy_properties,
		.realize = toy_realize,
		.unrealize = toy_nothing,
		.reset = toy_nothing};
static const struct device_class toy_blk = {.name = "virtio-blk-pci",
		.description = "A disk",
		.size = sizeof(struct toy_device),
		.properties = toy_properties,
		.realize = toy_realize,
		.unrealize = toy_nothing,
		.reset = toy_nothing};
static const struct device_class toy_board = {.name = "q35-host-bridge",
		.internal = true,
		.size = sizeof(struct toy_device),
		.realize = toy_realize,
		.unrealize = toy_nothing,
		.reset = toy_nothing};

static const struct device_class *const toy_classes[] = {&toy_board, &toy_blk, &toy_gpu, NULL};
static const char *const toy_accels[] = {"kvm", "xen", "soft", NULL};

static const struct options_context toy_context = {.program = "toy",
		.version = "Toy 1.0",
		.classes = toy_classes,
		.accels = toy_accels,
		.max_cpus = 64};

#define MAX_WORDS 64

/* Splits at '|'. text and error may be NULL where they are not expected. */
static inline enum options_result parse_line(
		const char *line, struct options *options, char **text, GError **error)
{
	g_autofree char *whole = g_strdup_printf("toy%s%s", *line ? "|" : "", line);
	g_auto(GStrv) words = g_strsplit(whole, "|", MAX_WORDS);

	return options_parse(&toy_context, (int)g_strv_length(words), words, options, text, error);
}

/* options must be cleared. */
static inline void parse_good(const char *line, struct options *options)
{
	g_autoptr(GError) error = NULL;
	char *text = NULL;

	if (parse_line(line, options, &text, &error) != OPTIONS_RUN) {
		fail_msg("%s: %s", line, error ? error->message : text);
	}
}

struct bad_line {
	const char *line;
	const char *says; /* the whole error */
};

static inline void expect_bad(const struct bad_line *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct options options;
		g_autoptr(GError) error = NULL;
		char *text = NULL;
		enum options_result result = parse_line(rows[i].line, &options, &text, &error);
		if (result != OPTIONS_ERROR || strcmp(error->message, rows[i].says) != 0) {
			fail_msg("%s: %s", rows[i].line, error ? error->message : "accepted");
		}
		assert_null(strchr(error->message, '\n'));
		options_clear(&options);
	}
}

/* The text contains says. */
static inline void expect_printed(const char *line, const char *says)
{
	struct options options;
	g_autofree char *text = NULL;
	enum options_result result = parse_line(line, &options, &text, NULL);

	if (result != OPTIONS_TEXT || !strstr(text, says)) {
		fail_msg("%s: %s", line, text ? text : "no text");
	}
	options_clear(&options);
}

#endif
