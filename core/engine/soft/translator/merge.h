/* SPDX-License-Identifier: MIT */
/*
 * Which memory operands of a block share one look into the TLB: those that lie a known distance apart, as in a stack frame or a
 * structure. The first checks for all of them, with r14 left at the lowest byte; the others use r14. Should the look fail, or
 * the bytes lie in two pages, all of them are checked one by one in a copy. Pure functions.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_MERGE_H
#define CORE_ENGINE_SOFT_TRANSLATOR_MERGE_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/translator/shape.h"

#define MERGE_NONE 0xff

struct merge {
	uint8_t first, last; /* instructions, by index */
	uint16_t size; /* bytes, from the lowest to the last */
	bool write; /* some of it is written */
	uint8_t aligned; /* bytes that the lowest must be aligned to; 0: none */
};

struct merge_plan {
	unsigned count;
	struct merge merges[BLOCK_MAX_INSNS / 2];
	struct merge_insn {
		uint8_t merge; /* that its operand belongs to, or MERGE_NONE */
		uint16_t offset; /* of the operand, from the lowest byte */
	} insns[BLOCK_MAX_INSNS];
};

void merge_plan(const struct block *block, const struct shape *shapes, struct merge_plan *ret_plan);

#endif
