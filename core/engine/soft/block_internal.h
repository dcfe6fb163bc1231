/* SPDX-License-Identifier: MIT */
/* What the parts of the block cache know of each other: block.c, block_page.c, block_memory.c. vCPU thread. */
#ifndef CORE_ENGINE_SOFT_BLOCK_INTERNAL_H
#define CORE_ENGINE_SOFT_BLOCK_INTERNAL_H

#include "core/engine/soft/block.h"

/* Bytes that one block is decoded from at most. */
#define BLOCK_SOURCE_MAX 512u

/* block.c: by address and mode. */
uint64_t block_hash_key(uint64_t physical, unsigned mode);
struct block **block_hash_slot(struct block_cache *cache, uint64_t physical, unsigned mode);

/* What points to the block, a slot or a block with the same one. */
struct block **block_hash_link(struct block_cache *cache, const struct block *block);

/* Nothing finds it any more. */
void block_unlink(struct block_cache *cache, struct block *block);

/* Its bytes changed. Its memory stays for a while: the run loop may stand in it, and others may lead to it. */
void block_kill(struct block_cache *cache, struct block *block);

/* Whether the block, whose page may have been written since, is what its bytes at host say; of its first page. */
bool block_holds(struct block *block, const uint8_t *host);

/* Bytes that were decoded before, with the same result. */
void block_decode_again(
		const struct cpu *cpu, struct insn *insn, unsigned mode, const uint8_t *bytes);

/* block_page.c: by page. The page's first use here tells the code map. */
void block_page_take(struct cpu *cpu, uint64_t physical);

/* A page that was taken for a block which did not come about. */
void block_page_release(struct block_cache *cache, uint64_t physical);
void block_pages_clear(struct block_cache *cache);

/* The block's links are there. It is added to the page or pages that it lies in, which are taken. */
void block_pages_add(struct block_cache *cache, struct block *block);
void block_pages_remove(struct block_cache *cache, struct block *block);

/* block_memory.c: where blocks live. */
void block_memory_create(struct block_cache *cache, size_t size);
void block_memory_destroy(struct block_cache *cache);
void block_memory_clear(struct block_cache *cache);
size_t block_memory_used(const struct block_cache *cache);

/* Room for the largest block among the young ones; some of those may be forgotten for it. Its instructions go to the expansion. */
struct block *block_young_begin(struct cpu *cpu);

/* Keeps the young block; its links and instructions are copied to where they stay. */
void block_young_end(struct block_cache *cache, struct block *block);

/* How hot the block was before it was forgotten. */
uint8_t block_warmth(struct block_cache *cache, uint64_t physical, unsigned mode);

#endif
