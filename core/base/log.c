/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RATELIMIT_BURST 5
#define RATELIMIT_WINDOW_US G_USEC_PER_SEC

static struct {
	GMutex lock;
	const char *program; /* constant after log_init() */
	enum log_level level; /* constant after log_init() */
	FILE *file; /* NULL means stderr */
} log_state = {.program = "oriel", .level = LOG_LEVEL_INFO};

void log_init(const char *program, enum log_level level)
{
	log_state.program = program;
	log_state.level = level;
}

bool log_set_file(const char *path, GError **error)
{
	FILE *file = fopen(path, "we");
	if (!file) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
				"log file '%s': %s", path, g_strerror(errno));
		return false;
	}
	setvbuf(file, NULL, _IOLBF, 0);
	log_state.file = file;
	return true;
}

static void write_line(const char *tag, const char *text, unsigned suppressed)
{
	FILE *out = log_state.file ? log_state.file : stderr;

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
	write_line(tags[level], text, 0);
	g_mutex_unlock(&log_state.lock);
}

/* Returns whether the message may be shown; *ret_suppressed is what was held back before it. */
static bool ratelimit_allows_locked(struct ratelimit *limit, unsigned *ret_suppressed)
{
	int64_t now = g_get_monotonic_time();

	if (limit->count > 0 && now - limit->window_start_us >= RATELIMIT_WINDOW_US) {
		/* A new window after a full one lets a single line through. */
		limit->count = limit->count >= RATELIMIT_BURST ? RATELIMIT_BURST - 1 : 0;
		limit->window_start_us = now;
	}
	if (limit->count >= RATELIMIT_BURST) {
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
	bool show = ratelimit_allows_locked(limit, &suppressed);
	g_mutex_unlock(&log_state.lock);
	if (!show) {
		return;
	}
	va_list args;
	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);

	g_mutex_lock(&log_state.lock);
	write_line("guest error: ", text, suppressed);
	g_mutex_unlock(&log_state.lock);
}
