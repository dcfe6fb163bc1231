/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/live_vectors.h"

#include "core/engine/soft/translator/emit_block.h"

/* Blocks looked at one behind the other, where they are not translated yet. */
#define LOOKAHEAD 3

struct uses {
	struct halves needed, written;
	bool whole;
};

static void add_insn(struct uses *uses, const struct insn *insn, const struct shape *shape)
{
	struct vector_use use = insn_vectors(insn, shape);

	uses->needed = halves_join(uses->needed, halves_without(use.reads, uses->written));
	uses->written = halves_join(uses->written, use.writes);
	uses->whole |= shape->whole || shape->kind == SHAPE_ZERO_UPPER;
}

/* Upper halves are zeroed before blocks that have no use for them. */
static struct halves sum_up(const struct uses *uses, struct halves behind)
{
	struct halves all = halves_join(uses->needed, halves_without(behind, uses->written));

	if (!uses->whole) {
		all.high = 0;
	}
	return all;
}

/* Whether the block is left by jumps to known blocks, not by the table of targets, which leads to where everything is loaded. */
static bool leads_on(const struct block *block)
{
	struct shape last;

	shape_of(&block->insns[block->count - 1], &last);
	return last.kind < SHAPE_STI || last.kind == SHAPE_JCC || last.kind == SHAPE_JMP;
}

static struct halves live_out(const struct unit *u, const struct block *block, unsigned depth);

static struct halves live_in(const struct unit *u, const struct block *block, unsigned depth)
{
	uint32_t translation = block->translation[u->set];
	struct uses uses = {0};

	if (translation) {
		return block_entry_vectors(u->code, code_base(u->code) + translation);
	}
	if (!block->insns) {
		return uses.needed;
	}
	for (unsigned i = 0; i < block->count; i++) {
		unsigned class = block->insns[i].insn_class;
		if (class == INSN_CLASS_SSE || class == INSN_CLASS_AVX) {
			struct shape shape;
			shape_of(&block->insns[i], &shape);
			add_insn(&uses, &block->insns[i], &shape);
		}
	}
	return sum_up(&uses, live_out(u, block, depth));
}

static struct halves live_out(const struct unit *u, const struct block *block, unsigned depth)
{
	struct halves needed = {0};

	if (depth == 0 || !u->block->links || !block->insns || !leads_on(block)) {
		return needed;
	}
	for (unsigned i = 0; i < BLOCK_SUCCESSORS; i++) {
		const struct block *next = block_successor(block, i, u->block->links->epoch);
		if (next) {
			needed = halves_join(needed, live_in(u, next, depth - 1));
		}
	}
	return needed;
}

struct halves live_vectors(const struct unit *u)
{
	const struct block *block = u->block;
	struct uses uses = {0};

	for (unsigned i = 0; i < block->count; i++) {
		if (u->shapes[i].kind == SHAPE_CALL_OUT) {
			/* They have to be loaded again behind it. */
			uses.whole = u->whole;
			return sum_up(&uses, (struct halves){0});
		}
		add_insn(&uses, &block->insns[i], &u->shapes[i]);
	}
	return sum_up(&uses, live_out(u, block, LOOKAHEAD));
}
