/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/block_internal.h"

#include "core/base/log.h"
#include "core/engine/soft/exec.h"
#include "core/engine/soft/features.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/trace.h"
#include "core/engine/soft/translator/translate.h"

#include <inttypes.h>
#include <string.h>

struct block_cache *block_cache_create(struct code_map *map, size_t size)
{
	struct block_cache *cache = g_new0(struct block_cache, 1);

	cache->map = map;
	block_memory_create(cache, size);
	block_cache_clear(cache);
	return cache;
}

void block_cache_clear(struct block_cache *cache)
{
	block_pages_clear(cache);
	block_memory_clear(cache);
	memset(cache->hash, 0, sizeof(cache->hash));
	for (size_t i = 0; i < BLOCK_JUMPS; i++) {
		cache->jumps[i].context = BLOCK_NO_CONTEXT;
	}
	if (cache->translator) {
		translator_clear(cache->translator);
	}
	cache->full = false;
	cache->running = NULL;
	cache->clears++;
	cache->epoch++;
}

bool block_holds(struct block *block, const uint8_t *host)
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
	block_memory_destroy(cache);
	g_free(cache);
}

uint64_t block_hash_key(uint64_t physical, unsigned mode)
{
	return (physical * 4 + mode) * UINT64_C(0x9e3779b97f4a7c15);
}

struct block **block_hash_slot(struct block_cache *cache, uint64_t physical, unsigned mode)
{
	return &cache->hash[block_hash_key(physical, mode) >> (64 - BLOCK_HASH_BITS)];
}

struct block **block_hash_link(struct block_cache *cache, const struct block *block)
{
	struct block **link = block_hash_slot(cache, block->physical, block->mode);

	while (*link != block) {
		link = &(*link)->hash_next;
	}
	return link;
}

void block_unlink(struct block_cache *cache, struct block *block)
{
	block->dead = true;
	*block_hash_link(cache, block) = block->hash_next;
	block_pages_remove(cache, block);
}

void block_kill(struct block_cache *cache, struct block *block)
{
	if (cache->translator) {
		translator_kill(cache->translator, block);
	}
	cache->killed++;
	block_unlink(cache, block);
	if (block == cache->running) {
		cache->end = block->insns;
	}
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

void block_decode_again(
		const struct cpu *cpu, struct insn *insn, unsigned mode, const uint8_t *bytes)
{
	take_insn(cpu, insn, insn_decode(insn, (enum insn_mode)mode, bytes, INSN_MAX_BYTES));
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

/* Its links and instructions are elsewhere until it is committed. */
static void block_init(
		struct block *block, struct block_links *links, struct cpu *cpu, uint64_t physical)
{
	struct code_entry *entry = code_map_get(cpu->blocks->map, physical);

	memset(block, 0, sizeof(*block));
	block->physical = physical;
	block->mode = cpu->mode;
	block->chains = true;
	block->heat = block_warmth(cpu->blocks, physical, cpu->mode);
	block->generation_now = &entry->generation;
	block->generation = __atomic_load_n(block->generation_now, __ATOMIC_SEQ_CST);
	block->insns = cpu->blocks->expansion;
	block->links = links;
	memset(links, 0, sizeof(*links));
	links->epoch = cpu->blocks->epoch - 1;
}

static void block_commit(struct cpu *cpu, struct block *block, const uint8_t *source)
{
	struct block_cache *cache = cpu->blocks;
	struct block **slot = block_hash_slot(cache, block->physical, block->mode);

	memcpy(block->source, source, block->bytes);
	block_young_end(cache, block);
	block->hash_next = *slot;
	*slot = block;
	block_pages_add(cache, block);
	cache->decoded++;
	stats_count(&cpu->stats, STAT_BLOCKS_DECODED);
	stats_set(&cpu->stats, STAT_BLOCK_BYTES_USED, block_memory_used(cache));
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
	struct block_links *links = block->links;
	enum decode_result result;
	size_t size = INSN_MAX_BYTES;

	if (!host) {
		return DECODE_UNDEFINED;
	}
	block_page_take(cpu, physical);
	block->straddles = true;
	links->second_page = physical;
	links->second_generation_now = &code_map_get(cpu->blocks->map, physical)->generation;
	links->second_generation = __atomic_load_n(links->second_generation_now, __ATOMIC_SEQ_CST);
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

static struct block *block_decode(
		struct cpu *cpu, uint64_t linear, uint64_t physical, const uint8_t *host)
{
	struct block_cache *cache = cpu->blocks;
	size_t room = GUEST_PAGE_SIZE - (linear & (GUEST_PAGE_SIZE - 1));
	size_t size = MIN(room, BLOCK_SOURCE_MAX);
	uint8_t source[BLOCK_SOURCE_MAX + INSN_MAX_BYTES];
	struct block_links links;
	struct block *block;
	enum decode_result result;

	block = block_young_begin(cpu);
	if (room < INSN_MAX_BYTES && insn_decode(&cache->expansion[0], (enum insn_mode)cpu->mode,
						     host, room) == DECODE_NEED_BYTES) {
		/* A page fault on the rest is to come before anything is taken up. */
		const uint8_t *ignored;
		(void)mmu_translate_fetch(cpu, next_page(cpu, linear), &ignored);
	}
	block_page_take(cpu, physical);
	block_init(block, &links, cpu, physical);
	memcpy(source, host, size);
	result = decode_insns(cpu, block, source, size);
	if (block->count == 0 && result == DECODE_NEED_BYTES && room < INSN_MAX_BYTES) {
		result = decode_straddling(cpu, block, linear, source, room);
	}
	if (block->count == 0) {
		block_page_release(cache, physical);
		if (block->straddles) {
			block_page_release(cache, links.second_page);
		}
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
	struct block_links *links = block->links;
	uint32_t generation;
	const uint8_t *host;

	if (mmu_translate_fetch(cpu, next_page(cpu, linear), &host) != links->second_page ||
			!host) {
		return false;
	}
	generation = __atomic_load_n(links->second_generation_now, __ATOMIC_ACQUIRE);
	if (generation == links->second_generation) {
		return true;
	}
	links->second_generation = generation;
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
	block = *block_hash_slot(cache, physical, cpu->mode);
	while (block && (block->physical != physical || block->mode != cpu->mode)) {
		block = block->hash_next;
	}
	if (block) {
		if (block_holds(block, host) &&
				(!block->straddles || second_page_fresh(cpu, block, linear))) {
			return block;
		}
		block_kill(cache, block);
		stats_count(&cpu->stats, STAT_BLOCKS_STALE);
	}
	return block_decode(cpu, linear, physical, host);
}
