/* SPDX-License-Identifier: MIT */
/*
 * What the program says on stderr. Levels: error (we gave up), warn (degraded; the text says what
 * happens instead), info (a few lines a run), debug. Faults of the guest have a channel of their
 * own, guest_error(), which is rate-limited for each place that reports. All calls are thread-safe.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include "core/base/base.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Lets through burst messages, then one a second; counts what it holds back. */
struct ratelimit {
	int64_t window_start_us; /* CLOCK_MONOTONIC; guarded by the log's lock */
	unsigned count;
	unsigned suppressed;
};

/*
 * Sets the program name that starts every line and the highest level shown. Call before threads
 * start.
 */
void log_init(const char *program, enum log_level level);

/* Sends the lines to the file at path instead of stderr. Call before threads start. */
bool log_set_file(const char *path, GError **error);

void log_message(enum log_level level, const char *format, ...) G_GNUC_PRINTF(2, 3);
void log_guest_error(struct ratelimit *limit, const char *format, ...) G_GNUC_PRINTF(2, 3);

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_message(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Reports something a guest did wrong. Cheap to call from anywhere a guest can reach. */
#define guest_error(...) \
	do { \
		static struct ratelimit limit_; \
		log_guest_error(&limit_, __VA_ARGS__); \
	} while (0)

#endif
