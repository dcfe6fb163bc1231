/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RATELIMIT_BURST 5
#define RATELIMIT_WINDOW_US G_USEC_PER_SEC

static struct {
	GMutex lock;
	const char *program; /* constant after log_init() */
	enum log_level level; /* constant after log_init() */
	FILE *file; /* NULL: none was asked for */
	FILE *stream; /* guarded by lock; in place of stderr where it is not NULL */
} log_state = {.program = "oriel", .level = LOG_LEVEL_INFO};

const struct log_item_info log_items[] = {
		{"guest_errors",
				"every fault of the guest that is reported, not only a few a second",
				LOG_ITEM_GUEST_ERRORS},
		{"unimp", "accesses that no device answers", LOG_ITEM_UNIMP},
		{"int", "interrupts and exceptions as they are delivered (kvm: what is handed to it)",
				LOG_ITEM_INT},
		{"cpu_reset", "the processors' state before each reset and at a triple fault",
				LOG_ITEM_CPU_RESET},
		{"exec", "the address of each block of code that runs (soft only)", LOG_ITEM_EXEC},
		{"in_asm", "the instructions of each block that is decoded (soft only)",
				LOG_ITEM_IN_ASM},
		{"stats", "what the software CPU has counted, when the program ends (soft only)",
				LOG_ITEM_STATS},
		{"debug", "what the program itself does", LOG_ITEM_DEBUG},
		{NULL, NULL, 0},
};

uint32_t log_wanted;

void log_set_items(uint32_t items)
{
	if (items & LOG_ITEM_DEBUG) {
		log_state.level = LOG_LEVEL_DEBUG;
	}
	__atomic_store_n(&log_wanted, items, __ATOMIC_RELAXED);
}

static uint32_t item_named(const char *name)
{
	for (const struct log_item_info *item = log_items; item->name; item++) {
		if (strcmp(item->name, name) == 0) {
			return item->bit;
		}
	}
	return 0;
}

bool log_parse_items(const char *list, uint32_t *ret_items, char **ret_unknown)
{
	g_auto(GStrv) names = g_strsplit(list, ",", -1);
	uint32_t items = 0;

	for (unsigned i = 0; names[i]; i++) {
		uint32_t bit = item_named(names[i]);
		if (!bit) {
			*ret_unknown = g_strdup(names[i]);
			return false;
		}
		items |= bit;
	}
	if (!items) {
		*ret_unknown = g_strdup("");
		return false;
	}
	*ret_items = items;
	return true;
}

void log_init(const char *program, enum log_level level)
{
	log_state.program = program;
	log_state.level = level;
}

bool log_set_file(const char *path, bool append, GError **error)
{
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC);
	int fd = open(path, flags, 0666);
	FILE *file = fd >= 0 ? fdopen(fd, "a") : NULL;
	if (!file) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
				"log file '%s': %s", path, g_strerror(errno));
		return false;
	}
	setvbuf(file, NULL, _IOLBF, 0);
	if (log_state.file) {
		(void)fclose(log_state.file); /* every line was written at once */
	}
	log_state.file = file;
	return true;
}

static FILE *output_locked(void)
{
	return log_state.file ? log_state.file : log_state.stream ? log_state.stream : stderr;
}

void log_set_stream(FILE *stream)
{
	g_mutex_lock(&log_state.lock);
	log_state.stream = stream;
	g_mutex_unlock(&log_state.lock);
}

static void write_line_locked(const char *tag, const char *text, unsigned suppressed)
{
	FILE *out = output_locked();

	if (suppressed > 0) {
		fprintf(out, "%s: %s%s (%u more were not shown)\n", log_state.program, tag, text,
				suppressed);
	} else {
		fprintf(out, "%s: %s%s\n", log_state.program, tag, text);
	}
}

void log_message(enum log_level level, const char *format, ...)
{
	static const char *const tags[] = {"", "warning: ", "", "debug: "};

	if (level > log_state.level) {
		return;
	}
	va_list args;
	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);

	g_mutex_lock(&log_state.lock);
	write_line_locked(tags[level], text, 0);
	g_mutex_unlock(&log_state.lock);
}

void log_item_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);

	g_mutex_lock(&log_state.lock);
	fprintf(output_locked(), "%s\n", text);
	g_mutex_unlock(&log_state.lock);
}

void log_foreign_line(const char *text, unsigned suppressed)
{
	g_mutex_lock(&log_state.lock);
	write_line_locked("library: ", text, suppressed);
	g_mutex_unlock(&log_state.lock);
}

bool ratelimit_allows(struct ratelimit *limit, unsigned burst, unsigned *ret_suppressed)
{
	int64_t now = g_get_monotonic_time();

	if (limit->count > 0 && now - limit->window_start_us >= RATELIMIT_WINDOW_US) {
		/* A new window after a full one lets a single line through. */
		limit->count = limit->count >= burst ? burst - 1 : 0;
		limit->window_start_us = now;
	}
	if (limit->count >= burst) {
		limit->suppressed++;
		return false;
	}
	if (limit->count == 0) {
		limit->window_start_us = now;
	}
	limit->count++;
	*ret_suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}

void log_guest_error(struct ratelimit *limit, const char *format, ...)
{
	unsigned suppressed = 0;

	g_mutex_lock(&log_state.lock);
	bool show = log_wants(LOG_ITEM_GUEST_ERRORS) ||
		    ratelimit_allows(limit, RATELIMIT_BURST, &suppressed);
	g_mutex_unlock(&log_state.lock);
	if (!show) {
		return;
	}
	va_list args;
	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);

	g_mutex_lock(&log_state.lock);
	write_line_locked("guest error: ", text, suppressed);
	g_mutex_unlock(&log_state.lock);
}
