/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/code_map.h"

/*
 * Guest-physical addresses have at most this many bits; the map is a tree of two levels over the
 * page numbers.
 */
#define PHYSICAL_BITS 48
#define MAP_CHUNK_BITS 15
#define MAP_CHUNKS (1u << (PHYSICAL_BITS - 12 - MAP_CHUNK_BITS))

struct code_map {
	struct code_entry *chunks[MAP_CHUNKS]; /* atomic; made when first needed */
	GMutex lock;
	uint64_t written_count; /* guarded by lock */
	uint64_t written[CODE_MAP_WRITTEN]; /* the last ones, by count; guarded by lock */
};

struct code_map *code_map_create(void)
{
	struct code_map *map = g_new0(struct code_map, 1);

	g_mutex_init(&map->lock);
	return map;
}

void code_map_destroy(struct code_map *map)
{
	if (!map) {
		return;
	}
	for (size_t i = 0; i < MAP_CHUNKS; i++) {
		g_free(map->chunks[i]);
	}
	g_mutex_clear(&map->lock);
	g_free(map);
}

struct code_entry *code_map_peek(struct code_map *map, uint64_t physical)
{
	uint64_t number = physical >> 12;
	struct code_entry *chunk;

	if (physical >> PHYSICAL_BITS) {
		return NULL;
	}
	chunk = __atomic_load_n(&map->chunks[number >> MAP_CHUNK_BITS], __ATOMIC_ACQUIRE);
	return chunk ? &chunk[number & ((1u << MAP_CHUNK_BITS) - 1)] : NULL;
}

struct code_entry *code_map_get(struct code_map *map, uint64_t physical)
{
	uint64_t number = physical >> 12;
	struct code_entry **slot = &map->chunks[number >> MAP_CHUNK_BITS];
	struct code_entry *chunk, *other = NULL;

	assert(!(physical >> PHYSICAL_BITS));
	chunk = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (!chunk) {
		chunk = g_new0(struct code_entry, 1u << MAP_CHUNK_BITS);
		if (!__atomic_compare_exchange_n(slot, &other, chunk, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_ACQUIRE)) {
			g_free(chunk);
			chunk = other;
		}
	}
	return &chunk[number & ((1u << MAP_CHUNK_BITS) - 1)];
}

void code_map_note_written(struct code_map *map, struct code_entry *entry, uint64_t page)
{
	__atomic_fetch_add(&entry->generation, 1, __ATOMIC_SEQ_CST);
	g_mutex_lock(&map->lock);
	map->written[map->written_count++ % CODE_MAP_WRITTEN] = page;
	g_mutex_unlock(&map->lock);
}

bool code_map_written(struct code_map *map, uint64_t physical, uint64_t len)
{
	uint64_t page = physical & ~(GUEST_PAGE_SIZE - 1);
	uint64_t last;
	bool found = false;

	if (len == 0) {
		return false;
	}
	last = (physical + len - 1) & ~(GUEST_PAGE_SIZE - 1);
	/*
	 * The bytes come first, the question who decoded them second; block_decode() does it the
	 * other way round.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (;; page += GUEST_PAGE_SIZE) {
		struct code_entry *entry = code_map_peek(map, page);
		if (entry && __atomic_load_n(&entry->users, __ATOMIC_RELAXED)) {
			code_map_note_written(map, entry, page);
			found = true;
		}
		if (page == last) {
			return found;
		}
	}
}

unsigned code_map_take_written(
		struct code_map *map, uint64_t *since, uint64_t ret_pages[CODE_MAP_WRITTEN])
{
	uint64_t count;

	g_mutex_lock(&map->lock);
	count = map->written_count - *since;
	for (unsigned i = 0; i < MIN(count, CODE_MAP_WRITTEN); i++) {
		ret_pages[i] = map->written[(*since + i) % CODE_MAP_WRITTEN];
	}
	*since = map->written_count;
	g_mutex_unlock(&map->lock);
	return count <= CODE_MAP_WRITTEN ? (unsigned)count : UINT_MAX;
}
