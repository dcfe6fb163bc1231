/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/live_xmms.h"

#include "core/engine/soft/translator/emit_block.h"

/* Blocks looked at one behind the other, where they are not translated yet. */
#define LOOKAHEAD 3

struct uses {
	unsigned needed, written;
};

static void add_insn(struct uses *uses, const struct insn *insn, const struct shape *shape)
{
	unsigned reads = 0, writes = 0;

	insn_xmms(insn, shape, &reads, &writes);
	uses->needed |= reads & ~uses->written;
	uses->written |= writes;
}

/* Whether the block is left by jumps to known blocks, not by the table of targets, which leads to where everything is loaded. */
static bool leads_on(const struct block *block)
{
	struct shape last;

	shape_of(&block->insns[block->count - 1], &last);
	return last.kind < SHAPE_STI || last.kind == SHAPE_JCC || last.kind == SHAPE_JMP;
}

static unsigned live_out(const struct unit *u, const struct block *block, unsigned depth);

static unsigned live_in(const struct unit *u, const struct block *block, unsigned depth)
{
	uint32_t translation = block->translation[u->set];
	struct uses uses = {0};

	if (translation) {
		return block_entry_xmms(u->code, code_base(u->code) + translation);
	}
	if (!block->insns) {
		return 0;
	}
	for (unsigned i = 0; i < block->count; i++) {
		if (block->insns[i].insn_class == INSN_CLASS_SSE) {
			struct shape shape;
			shape_of(&block->insns[i], &shape);
			add_insn(&uses, &block->insns[i], &shape);
		}
	}
	return uses.needed | (live_out(u, block, depth) & ~uses.written);
}

static unsigned live_out(const struct unit *u, const struct block *block, unsigned depth)
{
	unsigned needed = 0;

	if (depth == 0 || !u->block->links || !block->insns || !leads_on(block)) {
		return 0;
	}
	for (unsigned i = 0; i < BLOCK_SUCCESSORS; i++) {
		const struct block *next = block_successor(block, i, u->block->links->epoch);
		if (next) {
			needed |= live_in(u, next, depth - 1);
		}
	}
	return needed;
}

uint16_t live_xmms(const struct unit *u)
{
	const struct block *block = u->block;
	struct uses uses = {0};

	for (unsigned i = 0; i < block->count; i++) {
		if (u->shapes[i].kind == SHAPE_CALL_OUT) {
			return (uint16_t)uses.needed; /* they have to be loaded again behind it */
		}
		add_insn(&uses, &block->insns[i], &u->shapes[i]);
	}
	return (uint16_t)(uses.needed | (live_out(u, block, LOOKAHEAD) & ~uses.written));
}
