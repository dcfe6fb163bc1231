/* SPDX-License-Identifier: MIT */
/*
 * Command streams of a guest that means no good. Each is made from a seed and a number alone, so one that did damage can be made
 * again. Three kinds: good streams with a few changes, well-formed commands with senseless contents, noise. One thread.
 */
#ifndef TESTS_HARNESS_HOSTILE_STREAM_H
#define TESTS_HARNESS_HOSTILE_STREAM_H

#include "core/base/base.h"

/* A good stream to start from: what it needs, and itself. */
struct good_resource {
	uint32_t id, target, format, bind;
	uint32_t width, height, depth;
	uint32_t array_size, last_level, nr_samples;
};
_Static_assert(sizeof(struct good_resource) == 40, "as in files");

struct good_stream {
	char *name;
	struct good_resource *resources;
	unsigned resource_count;
	uint32_t *words;
	size_t count;
};

enum hostile_kind {
	HOSTILE_MUTATED,
	HOSTILE_SENSELESS,
	HOSTILE_NOISE,
	HOSTILE_KIND_COUNT,
};

struct hostile_stream {
	enum hostile_kind kind;
	const struct good_stream *origin; /* whose resources it needs */
	uint32_t *words; /* the maker's, until the next one is made */
	size_t count;
};

struct hostile_maker;

/*
 * The good streams are the bare guest's triangle and the files NAME.virgl in directory (may be NULL): a magic word, the number of
 * resources, struct good_resource for each, the stream.
 */
struct hostile_maker *hostile_maker_create(const char *directory, uint64_t seed, GError **error);
void hostile_maker_destroy(struct hostile_maker *maker); /* may be NULL */

/* The good streams themselves. */
unsigned hostile_maker_good_count(const struct hostile_maker *maker);
const struct good_stream *hostile_maker_good(const struct hostile_maker *maker, unsigned index);

void hostile_maker_make(
		struct hostile_maker *maker, unsigned number, struct hostile_stream *ret_stream);

const char *hostile_kind_name(enum hostile_kind kind);

#endif
