/* SPDX-License-Identifier: MIT */
/* Shapes of the x87 instructions. Those that load or store all state, or could see pointers, are called out. */
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/translator/shape.h"

#define COMPARED (X86_FLAG_ZF | X86_FLAG_PF | X86_FLAG_CF)

/* FNSTCW, FNSTSW: no-wait instructions that leave the pointers. */
static bool is_state_store(const struct insn *insn)
{
	return insn->is_memory && (insn->opcode == 0xd9 || insn->opcode == 0xdd) &&
	       ((insn->modrm >> 3) & 7) == 7;
}

static void shape_memory(struct shape *shape, const struct insn *insn)
{
	unsigned extension = (insn->modrm >> 3) & 7;

	if (insn->opcode == 0xd9 && extension == 5) {
		shape->kind = SHAPE_FLDCW;
	} else if (insn->native || (is_state_store(insn) && insn->opcode == 0xd9) ||
			(is_state_store(insn) && insn->memory_size == 2)) {
		shape->kind = SHAPE_X87;
	} else {
		return;
	}
	shape->x87 = true;
	shape->x87_pointer = insn->native != NULL;
	shape->opcode = insn->opcode;
	shape->extension = (uint8_t)extension;
	shape->rm_use = insn->flags & INSN_FLAG_WRITES_MEMORY ? SHAPE_WRITE : SHAPE_READ;
	shape->rm_size = insn->memory_size ? insn->memory_size : 2;
}

static void shape_register(struct shape *shape, const struct insn *insn)
{
	bool control = (insn->opcode == 0xd9 && insn->modrm == 0xd0) || /* FNOP */
		       (insn->opcode == 0xdb && insn->modrm == 0xe2) || /* FNCLEX */
		       (insn->opcode == 0xdf && insn->modrm == 0xe0); /* FNSTSW AX */

	if (!insn->native && !control) {
		return;
	}
	shape->kind = SHAPE_X87;
	shape->x87 = true;
	shape->x87_pointer = !control;
	if ((insn->opcode == 0xda || insn->opcode == 0xdb) && insn->modrm < 0xe0) {
		shape->flags_read = COMPARED; /* FCMOVcc */
	} else if ((insn->opcode == 0xdb || insn->opcode == 0xdf) && insn->modrm >= 0xe8) {
		shape->flags_written = COMPARED; /* FCOMI and its kin */
	}
}

void shape_of_x87(const struct insn *insn, struct shape *shape)
{
	if (insn->opcode == 0x9b) {
		shape->kind = SHAPE_X87;
		shape->x87 = true;
	} else if (insn->is_memory) {
		shape_memory(shape, insn);
	} else {
		shape_register(shape, insn);
	}
}
