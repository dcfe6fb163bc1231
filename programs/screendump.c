/* SPDX-License-Identifier: MIT */
#include "programs/screendump.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/control/chardev.h"
#include "programs/picture_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FRAME_POLL_MS 10
#define FINISH_TIMEOUT_MS 10000

struct screendump {
	struct screendumps *dumps;
	const struct option_screendump *option;
	struct picture_file file; /* while it is under way */
	struct chardev_tap tap; /* SERIAL */
	GString *line; /* what the guest wrote last; the writing thread's */
	bool seen; /* the text came; the writing thread's */
	guint source; /* TIME, FRAME: what waits */
	bool taken;
};

struct screendumps {
	struct picture *picture;
	bool *failed;
	struct screendump *list;
	unsigned count;
	unsigned under_way;
};

static void dump_done(void *opaque, const GError *error)
{
	struct screendump *dump = opaque;

	dump->dumps->under_way--;
	picture_file_close(&dump->file, !error);
	if (error) {
		log_error("screendump '%s': %s", dump->option->file, error->message);
		*dump->dumps->failed = true;
	} else {
		log_info("screendump '%s'", dump->option->file);
	}
}

static void take(struct screendump *dump)
{
	const struct option_screendump *option = dump->option;

	if (dump->taken) {
		return;
	}
	dump->taken = true;
	dump->dumps->under_way++;
	int fd;
	g_autoptr(GError) error = NULL;
	if (!picture_file_open(&dump->file, option->file, &fd, &error)) {
		dump_done(dump, error);
		return;
	}
	picture_screendump(dump->dumps->picture, option->head, fd, dump_done, dump);
}

static gboolean take_now(gpointer opaque)
{
	struct screendump *dump = opaque;

	dump->source = 0;
	take(dump);
	return G_SOURCE_REMOVE;
}

static gboolean take_seen(gpointer opaque)
{
	take(opaque);
	return G_SOURCE_REMOVE;
}

/*
 * On the thread that writes: looks for the text in what the guest has written so far of this line.
 */
static void handle_written(struct chardev_tap *tap, const uint8_t *data, size_t len)
{
	struct screendump *dump = container_of(tap, struct screendump, tap);

	for (size_t i = 0; i < len && !dump->seen; i++) {
		if (data[i] == '\n' || dump->line->len > 4096) {
			g_string_truncate(dump->line, 0);
			continue;
		}
		g_string_append_c(dump->line, (char)data[i]);
		if (g_str_has_suffix(dump->line->str, dump->option->text)) {
			dump->seen = true;
			g_idle_add(take_seen, dump);
		}
	}
}

static gboolean ask_frames(gpointer opaque);

static void handle_frames(void *opaque, const struct control_statistics *statistics)
{
	struct screendump *dump = opaque;

	if (statistics && statistics->frames >= dump->option->frame) {
		take(dump);
	} else if (!dump->source) {
		dump->source = g_timeout_add(FRAME_POLL_MS, ask_frames, dump);
	}
}

static gboolean ask_frames(gpointer opaque)
{
	struct screendump *dump = opaque;

	dump->source = 0;
	if (picture_hello(dump->dumps->picture)) {
		picture_query_statistics(dump->dumps->picture, handle_frames, dump);
	} else {
		dump->source = g_timeout_add(FRAME_POLL_MS, ask_frames, dump);
	}
	return G_SOURCE_REMOVE;
}

static void arm(struct screendump *dump, struct chardev *serial)
{
	switch (dump->option->when) {
	case OPTION_SCREENDUMP_SERIAL:
		dump->line = g_string_new(NULL);
		dump->tap.written = handle_written;
		if (serial) {
			chardev_add_tap(serial, &dump->tap);
		}
		break;
	case OPTION_SCREENDUMP_TIME:
		dump->source = g_timeout_add(
				(guint)MIN(dump->option->time_ns / 1000000, (int64_t)G_MAXUINT),
				take_now, dump);
		break;
	case OPTION_SCREENDUMP_FRAME:
		dump->source = g_timeout_add(FRAME_POLL_MS, ask_frames, dump);
		break;
	case OPTION_SCREENDUMP_EXIT:
	default:
		break;
	}
}

/* Whether the file can be written, without making it. */
static bool check_path(const char *path, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);

	if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
		errno = EISDIR;
	} else if (access(path, W_OK) == 0 || (errno == ENOENT && access(folder, W_OK) == 0)) {
		return true;
	}
	set_error_errno(error, "-screendump: '%s'", path);
	return false;
}

static bool check_dump(
		const struct option_screendump *option, unsigned heads, bool serial, GError **error)
{
	if (heads == 0) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
				"-screendump: there is no GPU (-device virtio-gpu-gl-pci)");
		return false;
	}
	if (option->head >= heads) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"-screendump: there is no head %u; the GPU's max_outputs is %u",
				option->head, heads);
		return false;
	}
	if (option->when == OPTION_SCREENDUMP_SERIAL && !serial) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"-screendump: when=serial: there is no serial port (-serial)");
		return false;
	}
	return check_path(option->file, error);
}

bool screendumps_check(const struct options *options, unsigned heads, bool serial, GError **error)
{
	for (unsigned i = 0; i < options->screendumps->len; i++) {
		if (!check_dump(&g_array_index(options->screendumps, struct option_screendump, i),
				    heads, serial, error)) {
			return false;
		}
	}
	return true;
}

struct screendumps *screendumps_create(const struct options *options, struct picture *picture,
		struct chardev *serial, bool *failed)
{
	struct screendumps *dumps = g_new0(struct screendumps, 1);

	dumps->picture = picture;
	dumps->failed = failed;
	dumps->count = options->screendumps->len;
	dumps->list = g_new0(struct screendump, dumps->count);
	for (unsigned i = 0; i < dumps->count; i++) {
		struct screendump *dump = &dumps->list[i];
		dump->dumps = dumps;
		dump->file.fd = -1;
		dump->option = &g_array_index(options->screendumps, struct option_screendump, i);
		arm(dump, serial);
	}
	return dumps;
}

static gboolean give_up(gpointer opaque)
{
	*(bool *)opaque = true;
	return G_SOURCE_REMOVE;
}

void screendumps_finish(struct screendumps *dumps)
{
	bool late = false;

	for (unsigned i = 0; i < dumps->count; i++) {
		struct screendump *dump = &dumps->list[i];
		g_clear_handle_id(&dump->source, g_source_remove);
		if (dump->option->when == OPTION_SCREENDUMP_EXIT) {
			take(dump);
		} else if (!dump->taken) {
			log_error("screendump '%s': the guest ended before its time came",
					dump->option->file);
			*dumps->failed = true;
			dump->taken = true;
		}
	}
	guint timeout = g_timeout_add(FINISH_TIMEOUT_MS, give_up, &late);
	while (dumps->under_way > 0 && !late) {
		g_main_context_iteration(NULL, TRUE);
	}
	if (late) {
		log_error("screendump: no answer from the picture");
		*dumps->failed = true;
	} else {
		g_source_remove(timeout);
	}
}

void screendumps_destroy(struct screendumps *dumps)
{
	if (!dumps) {
		return;
	}
	for (unsigned i = 0; i < dumps->count; i++) {
		g_clear_handle_id(&dumps->list[i].source, g_source_remove);
		if (dumps->list[i].line) {
			g_string_free(dumps->list[i].line, TRUE);
		}
	}
	g_free(dumps->list);
	g_free(dumps);
}
