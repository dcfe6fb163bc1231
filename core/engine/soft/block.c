/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/block.h"

#include "core/base/log.h"
#include "core/engine/soft/exec.h"
#include "core/engine/soft/features.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/trace.h"
#include "core/engine/soft/translator/translate.h"
#include "core/engine/soft/walk.h"

#include <inttypes.h>
#include <string.h>

/*
 * Guest-physical addresses have at most this many bits; the map is a tree of two levels over the
 * page numbers.
 */
#define PHYSICAL_BITS 48
#define MAP_CHUNK_BITS 15
#define MAP_CHUNKS (1u << (PHYSICAL_BITS - 12 - MAP_CHUNK_BITS))

/* Bytes that one block is decoded from at most. */
#define BLOCK_SOURCE_MAX 512u
#define BLOCK_SPACE \
	(sizeof(struct block) + BLOCK_MAX_INSNS * sizeof(struct insn) + BLOCK_SOURCE_MAX + 64)

#define LINE_SHIFT 6 /* 64 lines a page, one bit each */

/* All atomic. */
struct code_entry {
	uint32_t generation;
	uint16_t users; /* caches that have blocks from the page */
	uint16_t writers; /* vCPUs that may have write entries of it: smp_writer_bit() */
};

/* Pages with code that were written lately, for those whose code it is. */
#define WRITTEN_PAGES 64u

struct code_map {
	struct code_entry *chunks[MAP_CHUNKS]; /* atomic; made when first needed */
	GMutex lock;
	uint64_t written_count; /* guarded by lock */
	uint64_t written[WRITTEN_PAGES]; /* the last ones, by count; guarded by lock */
};

/* A guest-physical page with blocks, as one cache sees it. */
struct code_page {
	uint64_t physical;
	uint64_t lines; /* those that blocks cover, or have covered */
	GPtrArray *blocks; /* struct block, those that begin here and those that end here */
	struct code_page *next;
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

static struct code_entry *map_peek(struct code_map *map, uint64_t physical)
{
	uint64_t number = physical >> 12;
	struct code_entry *chunk;

	if (physical >> PHYSICAL_BITS) {
		return NULL;
	}
	chunk = __atomic_load_n(&map->chunks[number >> MAP_CHUNK_BITS], __ATOMIC_ACQUIRE);
	return chunk ? &chunk[number & ((1u << MAP_CHUNK_BITS) - 1)] : NULL;
}

static struct code_entry *map_get(struct code_map *map, uint64_t physical)
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

/* The bytes are there; who has code from the page is yet to be asked to look. */
static void note_written(struct code_map *map, struct code_entry *entry, uint64_t page)
{
	__atomic_fetch_add(&entry->generation, 1, __ATOMIC_SEQ_CST);
	g_mutex_lock(&map->lock);
	map->written[map->written_count++ % WRITTEN_PAGES] = page;
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
		struct code_entry *entry = map_peek(map, page);
		if (entry && __atomic_load_n(&entry->users, __ATOMIC_RELAXED)) {
			note_written(map, entry, page);
			found = true;
		}
		if (page == last) {
			return found;
		}
	}
}

static inline unsigned page_slot(uint64_t physical)
{
	return (physical >> 12) & ((1u << BLOCK_PAGE_HASH_BITS) - 1);
}

static struct code_page *page_find(const struct block_cache *cache, uint64_t physical)
{
	struct code_page *page = cache->pages[page_slot(physical)];

	physical &= ~(GUEST_PAGE_SIZE - 1);
	while (page && page->physical != physical) {
		page = page->next;
	}
	return page;
}

static struct code_page *page_get(struct cpu *cpu, uint64_t physical)
{
	struct block_cache *cache = cpu->blocks;
	struct code_page *page = page_find(cache, physical);
	struct code_page **slot = &cache->pages[page_slot(physical)];

	if (page) {
		return page;
	}
	page = g_new0(struct code_page, 1);
	page->physical = physical & ~(GUEST_PAGE_SIZE - 1);
	page->blocks = g_ptr_array_new();
	page->next = *slot;
	*slot = page;
	/* The mark first, the writers and then the bytes second; code_admits_writer() does it the other way round. */
	struct code_entry *entry = map_get(cache->map, physical);
	__atomic_fetch_add(&entry->users, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&entry->writers, __ATOMIC_SEQ_CST)) {
		smp_purge_writers(cpu, &entry->writers);
	}
	return page;
}

static void page_free(struct block_cache *cache, struct code_page *page)
{
	__atomic_fetch_sub(&map_get(cache->map, page->physical)->users, 1, __ATOMIC_SEQ_CST);
	g_ptr_array_free(page->blocks, TRUE);
	g_free(page);
}

static void page_drop(struct block_cache *cache, struct code_page *page)
{
	struct code_page **link = &cache->pages[page_slot(page->physical)];

	while (*link != page) {
		link = &(*link)->next;
	}
	*link = page->next;
	page_free(cache, page);
}

static uint64_t line_mask(uint64_t physical, size_t len)
{
	unsigned first = (physical & (GUEST_PAGE_SIZE - 1)) >> LINE_SHIFT;
	unsigned last = ((physical + len - 1) & (GUEST_PAGE_SIZE - 1)) >> LINE_SHIFT;

	return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

struct block_cache *block_cache_create(struct code_map *map, size_t size)
{
	struct block_cache *cache = g_new0(struct block_cache, 1);

	cache->map = map;
	cache->arena = g_malloc(size);
	cache->arena_size = size;
	block_cache_clear(cache);
	return cache;
}

void block_cache_clear(struct block_cache *cache)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cache->pages); i++) {
		while (cache->pages[i]) {
			struct code_page *page = cache->pages[i];
			cache->pages[i] = page->next;
			page_free(cache, page);
		}
	}
	memset(cache->hash, 0, sizeof(cache->hash));
	for (size_t i = 0; i < BLOCK_JUMPS; i++) {
		cache->jumps[i].context = BLOCK_NO_CONTEXT;
	}
	if (cache->translator) {
		translator_clear(cache->translator);
	}
	cache->full = false;
	cache->arena_used = 0;
	cache->running = NULL;
	cache->clears++;
}

/* The page was written since: the block stands if its own bytes, which begin at host, are the same. */
static bool first_page_fresh(struct block *block, const uint8_t *host)
{
	uint32_t generation = __atomic_load_n(block->generation_now, __ATOMIC_ACQUIRE);
	size_t room = GUEST_PAGE_SIZE - (block->physical & (GUEST_PAGE_SIZE - 1));

	if (generation == block->generation) {
		return true;
	}
	block->generation = generation;
	return memcmp(block->source, host, MIN(room, block->bytes)) == 0;
}

void block_cache_destroy(struct block_cache *cache)
{
	if (!cache) {
		return;
	}
	block_cache_clear(cache);
	g_free(cache->arena);
	g_free(cache);
}

static struct block **hash_slot(struct block_cache *cache, uint64_t physical, unsigned mode)
{
	uint64_t key = (physical * 4 + mode) * UINT64_C(0x9e3779b97f4a7c15);

	return &cache->hash[key >> (64 - BLOCK_HASH_BITS)];
}

static void block_forget(struct block_cache *cache, struct block *block)
{
	struct block **link = hash_slot(cache, block->physical, block->mode);

	while (*link != block) {
		link = &(*link)->hash_next;
	}
	*link = block->hash_next;
}

static void block_leave_page(struct block_cache *cache, struct block *block, uint64_t physical)
{
	struct code_page *page = page_find(cache, physical);

	g_ptr_array_remove_fast(page->blocks, block);
	if (page->blocks->len == 0) {
		page_drop(cache, page);
	}
}

/*
 * Its memory stays until everything is cleared: the run loop may stand in it, and others may lead
 * to it.
 */
static void block_kill(struct block_cache *cache, struct block *block)
{
	block->dead = true;
	if (cache->translator) {
		translator_kill(cache->translator, block);
	}
	cache->killed++;
	block_forget(cache, block);
	block_leave_page(cache, block, block->physical);
	if (block->second_page) {
		block_leave_page(cache, block, block->second_page);
	}
	if (block == cache->running) {
		cache->end = block->insns;
	}
}

static bool block_overlaps(const struct block *block, uint64_t physical, size_t len)
{
	size_t first_bytes = block->bytes;

	if (block->second_page) {
		first_bytes = GUEST_PAGE_SIZE - (block->physical & (GUEST_PAGE_SIZE - 1));
		if (physical < block->second_page + block->bytes - first_bytes &&
				block->second_page < physical + len) {
			return true;
		}
	}
	return physical < block->physical + first_bytes && block->physical < physical + len;
}

static void page_written(struct cpu *cpu, uint64_t physical, size_t len)
{
	struct block_cache *cache = cpu->blocks;
	struct code_page *page = page_find(cache, physical);
	struct code_entry *entry = map_peek(cache->map, physical);
	unsigned own = page ? 1 : 0;

	if (entry && __atomic_load_n(&entry->users, __ATOMIC_SEQ_CST) > own) {
		note_written(cache->map, entry, physical & ~(GUEST_PAGE_SIZE - 1));
		smp_request(cpu->smp, cpu, CPU_REQUEST_CODE);
	}
	if (!page || !(page->lines & line_mask(physical, len))) {
		return;
	}
	for (unsigned i = 0; page && i < page->blocks->len;) {
		struct block *block = g_ptr_array_index(page->blocks, i);
		if (block_overlaps(block, physical, len)) {
			/* Takes it off the list; with the last one the page goes. */
			block_kill(cache, block);
			stats_count(&cpu->stats, STAT_BLOCKS_OVERWRITTEN);
			page = page_find(cache, physical);
		} else {
			i++;
		}
	}
}

/* Blocks that lie in two pages are never translated, and compared when they are next looked up. */
static bool still_holds(struct block *block, const uint8_t *page)
{
	return block->second_page ||
	       (page && first_page_fresh(block, page + (block->physical & (GUEST_PAGE_SIZE - 1))));
}

static void review_page(struct cpu *cpu, uint64_t physical)
{
	struct block_cache *cache = cpu->blocks;
	struct code_page *page = page_find(cache, physical);
	unsigned flags;
	const uint8_t *host = walk_ram_page(cpu, physical, &flags);

	for (unsigned i = 0; page && i < page->blocks->len;) {
		struct block *block = g_ptr_array_index(page->blocks, i);
		if (still_holds(block, host)) {
			i++;
		} else {
			block_kill(cache, block);
			page = page_find(cache, physical);
		}
	}
}

static void review_all(struct cpu *cpu)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cpu->blocks->pages); i++) {
		for (struct code_page *page = cpu->blocks->pages[i], *next; page; page = next) {
			next = page->next;
			review_page(cpu, page->physical);
		}
	}
}

/* Copies what was written since the last time; UINT_MAX if that is more than is known. */
static unsigned take_written(struct block_cache *cache, uint64_t pages[WRITTEN_PAGES])
{
	struct code_map *map = cache->map;
	uint64_t since;

	g_mutex_lock(&map->lock);
	since = map->written_count - cache->reviewed;
	for (unsigned i = 0; i < MIN(since, WRITTEN_PAGES); i++) {
		pages[i] = map->written[(cache->reviewed + i) % WRITTEN_PAGES];
	}
	cache->reviewed = map->written_count;
	g_mutex_unlock(&map->lock);
	return since <= WRITTEN_PAGES ? (unsigned)since : UINT_MAX;
}

void block_cache_review(struct cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;
	uint64_t written[WRITTEN_PAGES];
	unsigned count = take_written(cache, written);

	if (!cache->translator) {
		return;
	}
	if (count <= WRITTEN_PAGES) {
		for (unsigned i = 0; i < count; i++) {
			review_page(cpu, written[i]);
		}
		return;
	}
	review_all(cpu);
}

void code_written(struct cpu *cpu, uint64_t physical, size_t len)
{
	while (len > 0) {
		size_t room = GUEST_PAGE_SIZE - (physical & (GUEST_PAGE_SIZE - 1));
		size_t part = MIN(room, len);
		page_written(cpu, physical, part);
		physical += part;
		len -= part;
	}
}

bool code_admits_writer(struct cpu *cpu, uint64_t physical_page)
{
	struct code_entry *entry = map_get(cpu->blocks->map, physical_page);
	uint16_t bit = smp_writer_bit(cpu);

	if (!(__atomic_load_n(&entry->writers, __ATOMIC_SEQ_CST) & bit)) {
		__atomic_fetch_or(&entry->writers, bit, __ATOMIC_SEQ_CST);
	}
	return __atomic_load_n(&entry->users, __ATOMIC_SEQ_CST) == 0;
}

static bool insn_may_chain(const struct insn *insn)
{
	return insn->insn_class != INSN_CLASS_SYSTEM && insn->insn_class != INSN_CLASS_UNDEFINED;
}

/* Makes of a decoded instruction what this processor makes of it. */
static void take_insn(const struct cpu *cpu, struct insn *insn, enum decode_result result)
{
	if (result == DECODE_UNDEFINED ||
			!features_apply(&cpu->features, (enum insn_mode)cpu->mode, insn)) {
		insn->insn_class = INSN_CLASS_UNDEFINED;
		insn->flags |= INSN_FLAG_ENDS_BLOCK;
	}
	exec_bind(insn);
}

/*
 * Decodes what follows the block's instructions so far until the block is full. Says why it ended.
 */
static enum decode_result decode_insns(
		const struct cpu *cpu, struct block *block, const uint8_t *bytes, size_t size)
{
	while (block->count < BLOCK_MAX_INSNS) {
		struct insn *insn = &block->insns[block->count];
		enum decode_result result = insn_decode(insn, (enum insn_mode)block->mode,
				bytes + block->bytes, size - block->bytes);
		if (result != DECODE_OK && result != DECODE_UNDEFINED) {
			return result;
		}
		take_insn(cpu, insn, result);
		block->bytes = (uint16_t)(block->bytes + insn->length);
		block->count++;
		if (!insn_may_chain(insn)) {
			block->chains = false;
		}
		if (insn->flags & INSN_FLAG_ENDS_BLOCK) {
			break;
		}
	}
	return DECODE_OK;
}

static void block_init(struct block *block, struct cpu *cpu, uint64_t physical)
{
	struct code_entry *entry = map_get(cpu->blocks->map, physical);

	memset(block, 0, sizeof(*block));
	block->physical = physical;
	block->mode = cpu->mode;
	block->chains = true;
	block->generation_now = &entry->generation;
	block->generation = __atomic_load_n(block->generation_now, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < BLOCK_SUCCESSORS; i++) {
		block->successor_delta[i] = BLOCK_NO_DELTA;
	}
}

static void block_commit(struct cpu *cpu, struct block *block, const uint8_t *source)
{
	struct block_cache *cache = cpu->blocks;
	struct block **slot = hash_slot(cache, block->physical, block->mode);
	size_t size = sizeof(*block) + block->count * sizeof(struct insn) + block->bytes;
	struct code_page *page = page_find(cache, block->physical);
	size_t first_bytes = block->bytes;

	block->source = (uint8_t *)&block->insns[block->count];
	memcpy(block->source, source, block->bytes);
	cache->arena_used += (size + 63) & ~(size_t)63;
	block->hash_next = *slot;
	*slot = block;
	if (block->second_page) {
		struct code_page *second = page_find(cache, block->second_page);
		first_bytes = GUEST_PAGE_SIZE - (block->physical & (GUEST_PAGE_SIZE - 1));
		second->lines |= line_mask(block->second_page, block->bytes - first_bytes);
		g_ptr_array_add(second->blocks, block);
	}
	page->lines |= line_mask(block->physical, first_bytes);
	g_ptr_array_add(page->blocks, block);
	cache->decoded++;
	stats_count(&cpu->stats, STAT_BLOCKS_DECODED);
	stats_set(&cpu->stats, STAT_BLOCK_BYTES_USED, cache->arena_used);
}

static uint64_t next_page(const struct cpu *cpu, uint64_t linear)
{
	uint64_t next = (linear & ~(GUEST_PAGE_SIZE - 1)) + GUEST_PAGE_SIZE;

	return cpu->mode == INSN_MODE_64 ? next : (uint32_t)next;
}

/*
 * The block's first instruction does not end in its page: fetches the rest, decodes that one
 * instruction.
 */
static enum decode_result decode_straddling(struct cpu *cpu, struct block *block, uint64_t linear,
		uint8_t *source, size_t first_bytes)
{
	const uint8_t *host;
	uint64_t physical = mmu_translate_fetch(cpu, next_page(cpu, linear), &host);
	enum decode_result result;
	size_t size = INSN_MAX_BYTES;

	if (!host) {
		return DECODE_UNDEFINED;
	}
	page_get(cpu, physical);
	block->second_page = physical;
	block->second_generation_now = &map_get(cpu->blocks->map, physical)->generation;
	block->second_generation = __atomic_load_n(block->second_generation_now, __ATOMIC_SEQ_CST);
	memcpy(source + first_bytes, host, size - first_bytes);
	result = insn_decode(&block->insns[0], (enum insn_mode)block->mode, source, size);
	if (result != DECODE_OK && result != DECODE_UNDEFINED) {
		return DECODE_TOO_LONG;
	}
	take_insn(cpu, &block->insns[0], result);
	block->bytes = block->insns[0].length;
	block->count = 1;
	block->chains = insn_may_chain(&block->insns[0]);
	return DECODE_OK;
}

/* Pages that were taken up for a block which did not come about. */
static void pages_release(struct block_cache *cache, uint64_t first, uint64_t second)
{
	struct code_page *page = page_find(cache, first);

	if (page && page->blocks->len == 0) {
		page_drop(cache, page);
	}
	page = second ? page_find(cache, second) : NULL;
	if (page && page->blocks->len == 0) {
		page_drop(cache, page);
	}
}

static struct block *block_decode(
		struct cpu *cpu, uint64_t linear, uint64_t physical, const uint8_t *host)
{
	struct block_cache *cache = cpu->blocks;
	size_t room = GUEST_PAGE_SIZE - (linear & (GUEST_PAGE_SIZE - 1));
	size_t size = MIN(room, BLOCK_SOURCE_MAX);
	uint8_t source[BLOCK_SOURCE_MAX + INSN_MAX_BYTES];
	struct block *block;
	enum decode_result result;

	if (cache->arena_used + BLOCK_SPACE > cache->arena_size) {
		block_cache_clear(cache);
		stats_count(&cpu->stats, STAT_CLEARS_BLOCKS);
	}
	block = (struct block *)(void *)(cache->arena + cache->arena_used);
	if (room < INSN_MAX_BYTES && insn_decode(&block->insns[0], (enum insn_mode)cpu->mode, host,
						     room) == DECODE_NEED_BYTES) {
		/* A page fault on the rest is to come before anything is taken up. */
		const uint8_t *ignored;
		(void)mmu_translate_fetch(cpu, next_page(cpu, linear), &ignored);
	}
	page_get(cpu, physical);
	block_init(block, cpu, physical);
	memcpy(source, host, size);
	result = decode_insns(cpu, block, source, size);
	if (block->count == 0 && result == DECODE_NEED_BYTES && room < INSN_MAX_BYTES) {
		result = decode_straddling(cpu, block, linear, source, room);
	}
	if (block->count == 0) {
		pages_release(cache, physical, block->second_page);
		if (result == DECODE_UNDEFINED) {
			cpu_raise_ud(cpu);
		}
		cpu_raise_gp(cpu); /* more than 15 bytes */
	}
	block_commit(cpu, block, source);
	if (log_wants(LOG_ITEM_IN_ASM)) {
		trace_block(cpu, block, linear);
	}
	return block;
}

/*
 * Whether the instruction's second part is still what was decoded, in this address space. May raise
 * #PF.
 */
static bool second_page_fresh(struct cpu *cpu, struct block *block, uint64_t linear)
{
	size_t first_bytes = GUEST_PAGE_SIZE - (linear & (GUEST_PAGE_SIZE - 1));
	uint32_t generation;
	const uint8_t *host;

	if (mmu_translate_fetch(cpu, next_page(cpu, linear), &host) != block->second_page ||
			!host) {
		return false;
	}
	generation = __atomic_load_n(block->second_generation_now, __ATOMIC_ACQUIRE);
	if (generation == block->second_generation) {
		return true;
	}
	block->second_generation = generation;
	return memcmp(block->source + first_bytes, host, block->bytes - first_bytes) == 0;
}

struct block *block_lookup(struct cpu *cpu, uint64_t linear)
{
	struct block_cache *cache = cpu->blocks;
	const uint8_t *host;
	uint64_t physical;
	struct block *block;

	if (cpu->mode == INSN_MODE_64 && unlikely(!linear_is_canonical(linear))) {
		cpu_raise_gp(cpu);
	}
	physical = mmu_translate_fetch(cpu, linear, &host);
	if (unlikely(!host)) {
		guest_error("execution outside RAM, at physical 0x%" PRIx64, physical);
		cpu_raise_ud(cpu);
	}
	block = *hash_slot(cache, physical, cpu->mode);
	while (block && (block->physical != physical || block->mode != cpu->mode)) {
		block = block->hash_next;
	}
	if (block) {
		if (first_page_fresh(block, host) &&
				(!block->second_page || second_page_fresh(cpu, block, linear))) {
			return block;
		}
		block_kill(cache, block);
		stats_count(&cpu->stats, STAT_BLOCKS_STALE);
	}
	return block_decode(cpu, linear, physical, host);
}
