/* SPDX-License-Identifier: MIT */
/*
 * Arguments of the form "head,key=value,key=value", as QEMU writes them: two commas stand for one in a value, a key alone means
 * "on". The head is what comes before the first comma if it has no "=".
 */
#ifndef CORE_CONTROL_KEYVAL_H
#define CORE_CONTROL_KEYVAL_H

#include "core/base/base.h"

struct keyval_pair {
	char *key, *value;
};

struct keyval {
	char *head; /* NULL: none was given */
	unsigned count;
	struct keyval_pair *pairs;
};

/* False for an empty key or item. Clear *ret_keyval in the end. */
bool keyval_parse(const char *text, struct keyval *ret_keyval, GError **error);
void keyval_clear(struct keyval *keyval);

/* The last value of a key, NULL if there is none. */
const char *keyval_get(const struct keyval *keyval, const char *key);

/* Takes every pair of a key out and returns the last value (owned by the caller), NULL if there is none. */
char *keyval_take(struct keyval *keyval, const char *key);

#endif
