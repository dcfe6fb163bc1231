/* SPDX-License-Identifier: MIT */
#include "core/base/nearest.h"

#include <limits.h>
#include <string.h>

#define NAME_MAX_COMPARED 63 /* longer names are compared no further */

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned rows[3][NAME_MAX_COMPARED + 1];
	size_t a_len = MIN(strlen(a), NAME_MAX_COMPARED);
	size_t b_len = MIN(strlen(b), NAME_MAX_COMPARED);

	for (unsigned j = 0; j <= b_len; j++) {
		rows[0][j] = j;
	}
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
				best = MIN(best, above2[j - 2] + 1);
			}
			row[j] = best;
		}
	}
	return rows[a_len % 3][b_len];
}

const char *nearest_name(const char *name, const char *const *candidates)
{
	const char *nearest = NULL;
	unsigned least = UINT_MAX;
	size_t len = MIN(strlen(name), NAME_MAX_COMPARED);

	for (; len > 0 && *candidates; candidates++) {
		unsigned distance = edit_distance(name, *candidates);
		bool begins = len >= 3 && g_str_has_prefix(*candidates, name);
		bool goes_on = len >= 3 && g_str_has_prefix(name, *candidates);
		if (!begins && !goes_on && distance > MAX(1, len / 3)) {
			continue;
		}
		/* Who left the end away meant this one, however long the end is. */
		unsigned rank = begins ? distance : distance + NAME_MAX_COMPARED;
		if (rank < least) {
			nearest = *candidates;
			least = rank;
		}
	}
	return nearest;
}
