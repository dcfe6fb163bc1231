/* SPDX-License-Identifier: MIT */
/*
 * What all vCPUs of a machine know of its code: for each guest-physical page, whether blocks come from it and how often it was
 * written since (its generation). A block is run only while its page has the generation that it was decoded from. Any thread.
 */
#ifndef CORE_ENGINE_SOFT_CODE_MAP_H
#define CORE_ENGINE_SOFT_CODE_MAP_H

#include "core/base/base.h"

struct code_map;

/* All atomic. */
struct code_entry {
	uint32_t generation;
	uint16_t users; /* caches that have blocks from the page */
	uint16_t writers; /* vCPUs that may have write entries of it: smp_writer_bit() */
};

struct code_map *code_map_create(void);
void code_map_destroy(struct code_map *map);

/* A page's entry; it stays where it is. code_map_peek(): NULL if nobody ever asked for one thereabouts. */
struct code_entry *code_map_get(struct code_map *map, uint64_t physical);
struct code_entry *code_map_peek(struct code_map *map, uint64_t physical);

/*
 * Memory was written by a device or by another process. Any thread; after the bytes are there. True if there was code.
 */
bool code_map_written(struct code_map *map, uint64_t physical, uint64_t len);

/* The page's bytes changed; who has code from it is yet to be asked to look. */
void code_map_note_written(struct code_map *map, struct code_entry *entry, uint64_t page);

/* Pages with code that were written lately, for those whose code it is. */
#define CODE_MAP_WRITTEN 64u

/* Copies what was written since *since, which is brought up to date; UINT_MAX if that is more than is known. */
unsigned code_map_take_written(
		struct code_map *map, uint64_t *since, uint64_t ret_pages[CODE_MAP_WRITTEN]);

#endif
