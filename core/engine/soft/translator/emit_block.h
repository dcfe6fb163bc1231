/* SPDX-License-Identifier: MIT */
/* One block of guest code as host code; see code.h for what holds while it runs. */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_EMIT_BLOCK_H
#define CORE_ENGINE_SOFT_TRANSLATOR_EMIT_BLOCK_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/translator/code.h"

/* Vector instructions that need no checks, as cpu->sse_native, cpu->avx_native; and what may be done with them. */
enum block_vectors {
	BLOCK_SSE = 1 << 0,
	BLOCK_AVX = 1 << 1,
	BLOCK_LOOPS = 1
		      << 2, /* a block that jumps to itself may do so without a look at what it is linked to */
};

static inline unsigned block_vectors_of(const struct cpu *cpu)
{
	return (cpu->sse_native ? BLOCK_SSE : 0u) | (cpu->avx_native ? BLOCK_AVX : 0u);
}

/*
 * Emits the block for accesses through the given TLB set; vectors: enum block_vectors. Returns its far entry (writable view), or
 * NULL if it does not fit.
 */
uint8_t *block_emit(struct code *code, struct emitter *emitter, const struct block *block,
		unsigned set, unsigned vectors);

/* Where a block may be begun; code.h. */
enum block_entry {
	BLOCK_ENTRY_FAR,
	BLOCK_ENTRY_STORED,
	BLOCK_ENTRY_STORED_WARM,
	BLOCK_ENTRY_NEAR,
	BLOCK_ENTRY_WARM,
	BLOCK_ENTRIES,
};

/* The entry of a translation with this far entry (executable view, as what is returned). */
const uint8_t *block_entry_of(struct code *code, const uint8_t *far_entry, enum block_entry which);

/* Vector registers that its warm entries have loaded. */
struct halves block_entry_vectors(struct code *code, const uint8_t *far_entry);

/* Makes the jump at site (writable view) lead to the translation with this far entry (executable view). */
void block_emit_link(struct code *code, uint8_t *site, const uint8_t *far_entry);

/* Overwrites the near entries of a translation (writable view of its far entry) with an exit to the block's first instruction. */
void block_emit_dead_end(struct code *code, const struct block *block, uint8_t *far_entry);

#endif
