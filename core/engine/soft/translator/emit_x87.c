/* SPDX-License-Identifier: MIT */
/*
 * x87 and MMX: the host's registers are the guest's from the first such instruction on (x87.h), so that they are emitted as they
 * are. The instruction pointer that a guest sees is stored where the block is left, the data pointer with each operand.
 */
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/translator/unit.h"

void unit_want_x87(struct unit *u)
{
	const struct host_op cmp = {.opcode = 0x80, .imm_size = 1};
	struct slow_path *slow;

	if (u->x87) {
		return;
	}
	if (u->live) {
		unit_emit_flags_out(u);
	}
	emit_op(u->e, &cmp, ALU_CMP, STATE(x87_resident));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_EQUAL), u->live);
	if (u->live) {
		unit_emit_flags_in(u);
	}
	slow = &u->slow[u->slow_count - 1];
	slow->brings_in_x87 = true;
	slow->loaded = u->loaded;
	slow->back = u->e->at;
	u->x87 = true;
}

static void emit_memory_form(struct unit *u)
{
	const struct host_op op = {.opcode = u->shape.opcode};

	emit_op(u->e, &op, u->shape.extension,
			unit_emit_memory_operand(
					u, u->shape.rm_size, u->shape.rm_use & SHAPE_WRITE));
	if (u->shape.x87_pointer) {
		unit_emit_offset(u, 0);
		emit_store(u->e, STATE(fx.fdp), HOST_R14);
	}
}

void insn_emit_x87(struct unit *u)
{
	const struct insn *insn = u->insn;

	unit_want_x87(u);
	if (insn->is_memory) {
		emit_memory_form(u);
	} else {
		if (insn->map == INSN_MAP_0F) {
			emit8(u->e, 0x0f);
		}
		emit8(u->e, insn->opcode);
		if (insn->opcode >= 0xd8 && insn->opcode <= 0xdf) {
			emit8(u->e, insn->modrm);
		}
	}
	if (u->shape.x87_pointer) {
		u->x87_pointer = u->offset;
	}
}

void insn_emit_fldcw(struct unit *u)
{
	const struct host_op movzx = {.map = INSN_MAP_0F, .opcode = 0xb7};
	const struct host_op not = {.opcode = 0xf7};
	const struct host_op test = {.opcode = 0xf6, .imm_size = 1, .imm = FCW_MASKS};
	const struct host_op fldcw = {.opcode = 0xd9};

	unit_want_x87(u);
	(void)unit_emit_memory_operand(u, 2, false);
	if (u->live) {
		unit_emit_flags_out(u);
	}
	emit_op(u->e, &movzx, HOST_R15, host_memory(HOST_R14, HOST_NONE, 0, 0));
	emit_op(u->e, &not, 2, host_register(HOST_R15));
	emit_op(u->e, &test, 0, host_register(HOST_R15));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_NOT_EQUAL), u->live);
	if (u->live) {
		unit_emit_flags_in(u);
	}
	emit_op(u->e, &fldcw, 5, host_memory(HOST_R14, HOST_NONE, 0, 0));
	/* On the slow path it has been taken out, and may have to stay out. */
	u->x87 = false;
}
