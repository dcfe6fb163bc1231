/* SPDX-License-Identifier: MIT */
/* The lists of system calls as tables; docs/sandbox.md shows the same, which a test checks. */
#ifndef CORE_SANDBOX_LISTS_H
#define CORE_SANDBOX_LISTS_H

#include "core/sandbox/sandbox.h"

enum sandbox_verdict {
	SANDBOX_ALLOW,
	SANDBOX_REFUSE, /* fails with EPERM: libraries try it and go on without */
	SANDBOX_MISSING, /* fails with ENOSYS: there is an older call that can be checked */
	SANDBOX_KILL, /* only an intruder does this */
};

/* What an argument must be for the entry to hold: (argument & mask) == value. mask 0: whatever it is. */
struct sandbox_check {
	unsigned argument;
	uint64_t mask, value;
	bool own_pid; /* value is the process's own number */
	const char *text; /* for the document */
};

struct sandbox_entry {
	const char *calls; /* names with spaces between them; NULL ends a table */
	const char *why;
	enum sandbox_verdict verdict;
	unsigned group; /* enum sandbox_group; 0: none */
	struct sandbox_check check;
};

struct sandbox_table {
	const char *title; /* in the document */
	const struct sandbox_entry *entries;
};

#define SANDBOX_MAX_TABLES 7

/* The tables of each part, the first entry for a call before later ones without a check; NULL ends a row. */
extern const struct sandbox_table *const sandbox_parts[SANDBOX_PARTS][SANDBOX_MAX_TABLES];

/* Every table, in the document's order; NULL ends it. */
extern const struct sandbox_table *const sandbox_tables[];

/* What the run time of a sanitizer does although it kills elsewhere. */
extern const struct sandbox_table sandbox_sanitizer;

/* The newest call that was there when the lists were written: later ones are answered with ENOSYS. */
#define SANDBOX_NEWEST_CALL 450

#endif
