/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/emit_block.h"

#include "core/engine/soft/translator/unit.h"

/* True if the block ends here. */
static bool emit_insn(struct unit *u)
{
	switch ((enum shape_kind)u->shape.kind) {
	case SHAPE_MODRM:
		insn_emit_modrm(u);
		return false;
	case SHAPE_IMPLICIT:
		insn_emit_implicit(u);
		return false;
	case SHAPE_SHORT:
		insn_emit_short(u);
		return false;
	case SHAPE_NOTHING:
		return false;
	case SHAPE_LEA:
		insn_emit_lea(u);
		return false;
	case SHAPE_DIVIDE:
		insn_emit_divide(u);
		return false;
	case SHAPE_PUSH:
		insn_emit_push(u);
		return false;
	case SHAPE_POP:
		insn_emit_pop(u);
		return false;
	case SHAPE_LEAVE:
		insn_emit_leave(u);
		return false;
	case SHAPE_X87:
		insn_emit_x87(u);
		return false;
	case SHAPE_FLDCW:
		insn_emit_fldcw(u);
		return false;
	case SHAPE_PUSHF:
		insn_emit_pushf(u);
		return false;
	case SHAPE_CLI:
		insn_emit_cli(u);
		return false;
	case SHAPE_SWAPGS:
		insn_emit_swapgs(u);
		return false;
	case SHAPE_STI:
		insn_emit_sti(u);
		return true;
	case SHAPE_JCC:
		insn_emit_jcc(u);
		return true;
	case SHAPE_JMP:
		insn_emit_jmp(u);
		return true;
	case SHAPE_CALL:
		insn_emit_call(u);
		return true;
	case SHAPE_RET:
		insn_emit_ret(u);
		return true;
	case SHAPE_JMP_INDIRECT:
		insn_emit_jmp_indirect(u);
		return true;
	case SHAPE_CALL_INDIRECT:
		insn_emit_call_indirect(u);
		return true;
	case SHAPE_CALL_OUT:
	default: {
		bool last = u->insn->flags & INSN_FLAG_ENDS_BLOCK;
		unit_settle(u);
		u->loaded = 0;
		u->x87 = false;
		unit_emit_call_out(u, u->insn, u->offset, last);
		return last;
	}
	}
}

/* Which flags from before each instruction are needed by it or after it. */
static void find_live(struct unit *u, bool sse)
{
	const struct block *block = u->block;
	struct shape *shapes = u->shapes;
	uint16_t needed = X86_FLAGS_ARITH;

	for (unsigned i = block->count; i-- > 0;) {
		shape_of(&block->insns[i], &shapes[i]);
		if (!insn_is_emitted(&block->insns[i], &shapes[i]) || (shapes[i].sse && !sse) ||
				(shapes[i].privileged && u->set == TLB_USER)) {
			shapes[i] = (struct shape){
					.kind = SHAPE_CALL_OUT, .flags_read = X86_FLAGS_ARITH};
		}
		needed = (uint16_t)((needed & ~shapes[i].flags_written) | shapes[i].flags_read);
		u->needed[i] = needed;
	}
}

/* Sets page_rip to what lies offset before the address in r14. CODE_FAR_BYTES long. */
static void emit_far_entry(struct unit *u)
{
	const uint8_t *begin = u->e->at;

	emit8(u->e, 0x4d);
	emit8(u->e, 0x8d);
	emit8(u->e, 0xb6);
	emit32(u->e, (uint32_t) - (int32_t)u->offset);
	emit_store(u->e, STATE(page_rip), HOST_R14);
	assert(u->e->full || u->e->at - begin == CODE_FAR_BYTES);
}

/* In front of each far entry. */
struct header {
	uint16_t xmms; /* loaded by the near entry */
	uint16_t warm; /* where the warm entry is, from the far one */
	uint8_t pad[12];
};

/* Room at a near entry for the exit that block_emit_dead_end() makes of it. */
#define DEAD_END_MAX 32
#define JMP_BYTES 5
#define NOP 0x90

/* XMM registers that are read before they are written, up to where they may have to be loaded again. */
static uint16_t entry_xmms(const struct block *block, const struct shape *shapes)
{
	unsigned needed = 0, written = 0;

	for (unsigned i = 0; i < block->count && shapes[i].kind != SHAPE_CALL_OUT; i++) {
		unsigned reads = 0, writes = 0;
		insn_xmms(&block->insns[i], &shapes[i], &reads, &writes);
		needed |= reads & ~written;
		written |= writes;
	}
	return (uint16_t)needed;
}

/* The large tables are filled in as far as they are used. */
static void unit_start(struct unit *u, struct code *code, struct emitter *emitter,
		const struct block *block)
{
	u->e = emitter;
	u->code = code;
	u->block = block;
	u->offset = (uint32_t)PAGE_OFFSET(block->physical);
	u->index = u->slow_count = 0;
	u->loaded = u->dirty = 0;
	u->apart = u->x87 = false;
	u->x87_pointer = UNIT_NO_OFFSET;
}

/* Near and warm entry. */
static void emit_entry_xmms(struct unit *u, struct header *header, const uint8_t *far_entry)
{
	const uint8_t *near_entry = u->e->at;

	for (unsigned reg = 0; reg < 16; reg++) {
		if (header->xmms & BIT(reg)) {
			unit_emit_xmm(u, 0x28, reg);
		}
	}
	while (header->xmms && !u->e->full && u->e->at - near_entry < DEAD_END_MAX) {
		emit8(u->e, NOP);
	}
	u->loaded = header->xmms;
	header->warm = (uint16_t)(u->e->at - far_entry);
}

/* The instruction at u->offset, and what its slow paths come back to. True if the block ends here. */
static bool emit_at(struct unit *u, unsigned index)
{
	unsigned first_slow = u->slow_count;

	u->index = index;
	u->insn = &u->block->insns[index];
	u->shape = u->shapes[index];
	u->live = u->needed[index] != 0;
	if (emit_insn(u)) {
		return true;
	}
	for (unsigned k = first_slow; k < u->slow_count; k++) {
		if (!u->slow[k].brings_in_x87 && !u->slow[k].apart) {
			u->slow[k].back = u->e->at;
			u->slow[k].loaded = u->loaded;
			u->slow[k].x87 = u->x87;
		}
	}
	u->offset += u->insn->length;
	return false;
}

/* The slow path of operands that were checked together comes back behind the last. */
static void end_merge(struct unit *u, unsigned index)
{
	for (unsigned k = 0; k < u->slow_count; k++) {
		if (u->slow[k].apart && u->slow[k].last == index) {
			u->slow[k].back = u->e->at;
		}
	}
}

static void emit_body(struct unit *u)
{
	for (unsigned i = 0; i < u->block->count; i++) {
		unsigned merge = u->plan.insns[i].merge;
		if (emit_at(u, i)) {
			return;
		}
		if (merge != MERGE_NONE && u->plan.merges[merge].last == i) {
			end_merge(u, i);
		}
	}
	unit_settle(u);
	unit_emit_next(u, u->offset);
}

/* From the first to the last of operands that were checked together, each by itself. */
static void emit_apart(struct unit *u, const struct slow_path *slow)
{
	emit_here(u->e, slow->from);
	if (slow->flags_in_rax) {
		unit_emit_flags_in(u);
	}
	u->apart = true;
	u->offset = slow->offset;
	u->loaded = slow->loaded_before;
	u->dirty = slow->dirty;
	u->x87 = slow->x87_before;
	u->x87_pointer = slow->x87_pointer;
	for (unsigned i = slow->first; i <= slow->last; i++) {
		if (emit_at(u, i)) {
			return;
		}
	}
	emit_jmp_to(u->e, slow->back);
}

/* Those of emit_apart() among them. */
static void emit_slow_paths(struct unit *u)
{
	for (unsigned i = 0; i < u->slow_count; i++) {
		if (u->slow[i].apart) {
			emit_apart(u, &u->slow[i]);
		} else {
			unit_emit_slow_path(u, &u->slow[i]);
		}
	}
}

uint8_t *block_emit(struct code *code, struct emitter *emitter, const struct block *block,
		unsigned set, bool sse)
{
	struct unit u;
	struct header *header = (struct header *)(void *)emitter->at;
	uint8_t *far_entry = emitter->at + sizeof(*header);

	unit_start(&u, code, emitter, block);
	u.set = set;
	find_live(&u, sse);
	merge_plan(block, u.shapes, &u.plan);
	*header = (struct header){.xmms = entry_xmms(block, u.shapes)};
	emitter->at = far_entry;
	emit_far_entry(&u);
	emit_entry_xmms(&u, header, far_entry);
	emit_body(&u);
	emit_slow_paths(&u);
	return emitter->full ? NULL : far_entry;
}

void block_emit_link(struct code *code, uint8_t *site, const uint8_t *far_entry)
{
	struct header header;
	uint16_t loaded = code_site_xmms(site);

	memcpy(&header, code_writable(code, far_entry) - sizeof(header), sizeof(header));
	const uint8_t *target = far_entry + (header.xmms & ~loaded ? CODE_FAR_BYTES : header.warm);
	int32_t distance = (int32_t)(target - (code_executable(code, site) + 4));
	memcpy(site, &distance, sizeof(distance));
}

void block_emit_dead_end(struct code *code, const struct block *block, uint8_t *far_entry)
{
	uint8_t *near_entry = far_entry + CODE_FAR_BYTES;
	struct emitter e = {.at = near_entry, .end = near_entry + DEAD_END_MAX};
	struct header header;

	/* What led here goes on through here: to the block's successor, when there is one. */
	code_emit_site(code, &e, (uint32_t)PAGE_OFFSET(block->physical), 0);
	assert(!e.full);
	memcpy(&header, far_entry - sizeof(header), sizeof(header));
	if (header.warm != CODE_FAR_BYTES) {
		e = (struct emitter){.at = far_entry + header.warm,
				.end = far_entry + header.warm + JMP_BYTES};
		emit_jmp_to(&e, near_entry);
	}
}
