/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/block_internal.h"

#define BLOCK_SPACE \
	(sizeof(struct block) + BLOCK_SOURCE_MAX + 8 + sizeof(struct block_links) + \
			BLOCK_MAX_INSNS * sizeof(struct insn))

/* One part in so many of the memory for decoded code is for young blocks. */
#define YOUNG_SHARE 12

/* Instructions are looked at by more bytes than the last one may have; see block_called_out(). */
#define KEPT_SLACK 16

void block_memory_create(struct block_cache *cache, size_t size)
{
	struct block_young *young = &cache->young;

	young->part_size = MAX(size / YOUNG_SHARE / BLOCK_YOUNG_PARTS, BLOCK_SPACE) & ~(size_t)7;
	young->memory = g_malloc(young->part_size * BLOCK_YOUNG_PARTS);
	cache->kept_size = size - young->part_size * BLOCK_YOUNG_PARTS;
	cache->kept = g_malloc(cache->kept_size);
}

void block_memory_destroy(struct block_cache *cache)
{
	g_free(cache->young.memory);
	g_free(cache->kept);
}

void block_memory_clear(struct block_cache *cache)
{
	memset(cache->young.used, 0, sizeof(cache->young.used));
	cache->kept_used = 0;
	cache->expanded = NULL;
}

size_t block_cache_size(const struct block_cache *cache)
{
	return cache->kept_size + cache->young.part_size * BLOCK_YOUNG_PARTS;
}

static struct block_warmth *warmth_of(
		struct block_cache *cache, uint64_t physical, unsigned mode, uint16_t *ret_tag)
{
	uint64_t key = block_hash_key(physical, mode);

	*ret_tag = key >> (64 - BLOCK_WARMTHS_BITS - 10) & 0x3ff;
	return &cache->warmths[key >> (64 - BLOCK_WARMTHS_BITS)];
}

/* The warmer of two blocks stays, and cools. */
static void warmth_remember(struct block_cache *cache, const struct block *block)
{
	uint16_t tag;
	struct block_warmth *warmth = warmth_of(cache, block->physical, block->mode, &tag);

	if (warmth->tag != tag && warmth->heat > block->heat) {
		warmth->heat--;
	} else {
		warmth->tag = tag & 0x3ff;
		warmth->heat = block->heat & 0x3f;
	}
}

uint8_t block_warmth(struct block_cache *cache, uint64_t physical, unsigned mode)
{
	uint16_t tag;
	const struct block_warmth *warmth = warmth_of(cache, physical, mode, &tag);

	return warmth->tag == tag ? warmth->heat : 0;
}

/* Bytes of a block with its source; behind them are its links and its instructions. */
static size_t bare_size(const struct block *block)
{
	return (sizeof(*block) + block->bytes + 7) & ~(size_t)7;
}

static size_t full_size(const struct block *block)
{
	return bare_size(block) + sizeof(struct block_links) + block->count * sizeof(struct insn);
}

/* Takes what is behind the block and its source. */
static void furnish(struct block *block, const struct block_links *links, const struct insn *insns)
{
	block->links = (struct block_links *)(void *)((uint8_t *)block + bare_size(block));
	block->insns = (struct insn *)(void *)(block->links + 1);
	*block->links = *links;
	memcpy(block->insns, insns, block->count * sizeof(struct insn));
}

size_t block_memory_used(const struct block_cache *cache)
{
	size_t sum = cache->kept_used;

	for (unsigned i = 0; i < BLOCK_YOUNG_PARTS; i++) {
		sum += cache->young.used[i];
	}
	return sum;
}

/* Drops the blocks of a part of the young ones. */
static void forget_part(struct cpu *cpu, unsigned part)
{
	struct block_cache *cache = cpu->blocks;
	uint8_t *begin = cache->young.memory + part * cache->young.part_size;
	uint8_t *end = begin + cache->young.used[part];

	for (uint8_t *at = begin; at < end;) {
		struct block *block = (struct block *)(void *)at;
		at += full_size(block);
		if (!block->dead) {
			warmth_remember(cache, block);
			block_unlink(cache, block);
			stats_count(&cpu->stats, STAT_BLOCKS_FORGOTTEN);
		}
	}
	for (size_t i = 0; i < BLOCK_JUMPS; i++) {
		const uint8_t *target = (const uint8_t *)cache->jumps[i].block;
		if (target >= begin && target < end) {
			cache->jumps[i].context = BLOCK_NO_CONTEXT;
		}
	}
	cache->young.used[part] = 0;
	cache->epoch++;
}

/* block: whose instructions are there from now on, or NULL. */
static void expansion_take(struct block_cache *cache, struct block *block)
{
	if (cache->expanded) {
		cache->expanded->insns = NULL;
	}
	cache->expanded = block;
	if (block) {
		block->insns = cache->expansion;
	}
}

struct block *block_young_begin(struct cpu *cpu)
{
	struct block_young *young = &cpu->blocks->young;

	if (young->used[young->part] + BLOCK_SPACE > young->part_size) {
		young->part = (young->part + 1) % BLOCK_YOUNG_PARTS;
		forget_part(cpu, young->part);
	}
	expansion_take(cpu->blocks, NULL);
	return (struct block *)(void *)(young->memory + young->part * young->part_size +
					young->used[young->part]);
}

void block_young_end(struct block_cache *cache, struct block *block)
{
	furnish(block, block->links, block->insns);
	cache->young.used[cache->young.part] += full_size(block);
}

void block_expand(struct cpu *cpu, struct block *block)
{
	const uint8_t *bytes = block->source;

	expansion_take(cpu->blocks, block);
	for (unsigned i = 0; i < block->count; i++) {
		block_decode_again(cpu, &block->insns[i], block->mode, bytes);
		bytes += block->insns[i].length;
	}
}

const struct insn *block_called_out_slow(struct cpu *cpu, const uint8_t *bytes)
{
	struct block_called_out *slot =
			&cpu->blocks->called_out[(uintptr_t)bytes % BLOCK_CALLED_OUT];

	memcpy(slot->bytes, bytes, sizeof(slot->bytes));
	block_decode_again(cpu, &slot->insn, INSN_MODE_64, bytes);
	return &slot->insn;
}

/* What leads to the block leads to its copy. */
static void replace_block(struct block_cache *cache, struct block *block, struct block *copy)
{
	*block_hash_link(cache, block) = copy;
	/* In this order: the pages stay taken. */
	block_pages_add(cache, copy);
	block_pages_remove(cache, block);
	block->dead = true;
	block->links->moved = copy;
}

struct block *block_keep(struct cpu *cpu, struct block *block, bool with_insns)
{
	struct block_cache *cache = cpu->blocks;
	struct block *copy = (struct block *)(void *)(cache->kept + cache->kept_used);
	size_t size = with_insns ? full_size(block) : bare_size(block);

	if (block->kept) {
		return block;
	}
	if (cache->kept_used + size + KEPT_SLACK > cache->kept_size) {
		if (!cache->full) {
			stats_count(&cpu->stats, STAT_CLEARS_BLOCKS);
		}
		cache->full = true;
		return NULL;
	}
	memcpy(copy, block, bare_size(block));
	copy->kept = true;
	if (with_insns) {
		furnish(copy, block->links, block->insns);
		block_forget_successors(copy->links);
	} else {
		expansion_take(cache, copy);
		memcpy(copy->insns, block->insns, block->count * sizeof(struct insn));
		copy->links = NULL;
	}
	cache->kept_used += size;
	replace_block(cache, block, copy);
	stats_set(&cpu->stats, STAT_BLOCK_BYTES_USED, block_memory_used(cache));
	return copy;
}
