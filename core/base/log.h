/* SPDX-License-Identifier: MIT */
/*
 * What the program says on stderr. Levels: error (we gave up), warn (degraded; the text says what
 * happens instead), info (a few lines a run), debug. Faults of the guest have a channel of their
 * own, guest_error(), which is rate-limited for each place that reports. What -d names (log items) is
 * for whoever debugs a guest: every line of it is shown. All calls are thread-safe.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include "core/base/base.h"

#include <stdio.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Bits of what -d may name. */
enum log_item {
	LOG_ITEM_GUEST_ERRORS = 1 << 0,
	LOG_ITEM_UNIMP = 1 << 1,
	LOG_ITEM_INT = 1 << 2,
	LOG_ITEM_CPU_RESET = 1 << 3,
	LOG_ITEM_EXEC = 1 << 4,
	LOG_ITEM_IN_ASM = 1 << 5,
	LOG_ITEM_DEBUG = 1 << 6,
	LOG_ITEM_STATS = 1 << 7,
};

struct log_item_info {
	const char *name;
	const char *help; /* one line */
	uint32_t bit; /* enum log_item */
};

/* Every item; name NULL ends it. */
extern const struct log_item_info log_items[];

/* Bits of enum log_item; constant after log_set_items(). Read it with log_wants(). */
extern uint32_t log_wanted;

/* Whether somebody wants to see one of them (bits): one load and a branch, for places that run often. */
static inline bool log_wants(uint32_t item)
{
	return unlikely((__atomic_load_n(&log_wanted, __ATOMIC_RELAXED) & item) != 0);
}

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

/* Which items are shown: bits of enum log_item. Call before threads start. */
void log_set_items(uint32_t items);

/*
 * The bits that a list of names with commas between them names; false with *ret_unknown (a name of the
 * list, owned by the caller) where there is no such item.
 */
bool log_parse_items(const char *list, uint32_t *ret_items, char **ret_unknown);

/*
 * Sends the lines to the file at path instead of stderr. append keeps what is in it; other programs may
 * append to it at the same time either way. Call before threads start.
 */
bool log_set_file(const char *path, bool append, GError **error);

void log_message(enum log_level level, const char *format, ...) G_GNUC_PRINTF(2, 3);
void log_guest_error(struct ratelimit *limit, const char *format, ...) G_GNUC_PRINTF(2, 3);

/*
 * Whether one more message may be shown: burst at once, then one a second. *ret_suppressed is how many were
 * held back since the last one that was shown; written on true only. The caller serializes the calls.
 */
bool ratelimit_allows(struct ratelimit *limit, unsigned burst, unsigned *ret_suppressed);

/* A line that a library wrote, and how many before it are not shown. */
void log_foreign_line(const char *text, unsigned suppressed);

/* Where lines go while there is no log file; NULL: stderr. Borrowed. Any thread may be logging. */
void log_set_stream(FILE *stream);

/* A line of an item, without the program's name. Use log_item(). */
void log_item_line(const char *format, ...) G_GNUC_PRINTF(1, 2);

#define log_item(item, ...) \
	do { \
		if (log_wants(item)) { \
			log_item_line(__VA_ARGS__); \
		} \
	} while (0)

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
