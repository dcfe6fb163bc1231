/* SPDX-License-Identifier: MIT */
/*
 * /tmp/perf-PID.map, in which perf looks for the names of code that is in no file: a line for each translated block, named
 * by its guest address. Where code was dropped and other code made in its place, both have a line, and perf takes either.
 * Any thread.
 */
#ifndef CORE_ENGINE_SOFT_PERF_MAP_H
#define CORE_ENGINE_SOFT_PERF_MAP_H

#include "core/base/base.h"

struct perf_map;

/* Replaces what an earlier process of the same number left; the file stays. */
struct perf_map *perf_map_create(GError **error);
void perf_map_destroy(struct perf_map *map); /* may be NULL */

/* The two do nothing if map is NULL. size in bytes; the name has no spaces. */
void perf_map_add(struct perf_map *map, const void *code, size_t size, const char *name);
void perf_map_add_block(struct perf_map *map, const void *code, size_t size, uint64_t guest);

#endif
