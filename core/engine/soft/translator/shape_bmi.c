/* SPDX-License-Identifier: MIT */
/* Shapes of the instructions on general registers with a VEX prefix: BMI1 and BMI2. */
#include "core/engine/soft/native.h"
#include "core/engine/soft/translator/code.h"
#include "core/engine/soft/translator/shape.h"

#define ZCO (X86_FLAG_ZF | X86_FLAG_CF | X86_FLAG_OF)

/* Flags that are undefined count as kept: some hosts do so. */
static void operands(struct shape *shape, unsigned reg_use, unsigned vex_use, unsigned flags)
{
	shape->kind = SHAPE_VEX_GENERAL;
	shape->reg_use = (uint8_t)reg_use;
	shape->vex_use = (uint8_t)vex_use;
	shape->flags_written = (uint16_t)flags;
}

static void shape_0f38(struct shape *shape, const struct insn *insn)
{
	switch (insn->opcode) {
	case 0xf2: /* ANDN */
		operands(shape, SHAPE_WRITE, SHAPE_READ, ZCO | X86_FLAG_SF);
		break;
	case 0xf3: /* BLSR, BLSMSK, BLSI */
		operands(shape, 0, SHAPE_WRITE, ZCO | X86_FLAG_SF);
		break;
	case 0xf5: /* BZHI, PEXT, PDEP */
		operands(shape, SHAPE_WRITE, SHAPE_READ,
				native_prefix(insn) == NATIVE_PREFIX_NONE ? ZCO | X86_FLAG_SF : 0);
		break;
	case 0xf6: /* MULX: two results, of which one has to have a place of its own */
		if (code_home(insn->vex_reg & 15) != HOST_NONE) {
			operands(shape, SHAPE_WRITE, SHAPE_WRITE, 0);
		}
		break;
	case 0xf7: /* BEXTR, SHLX, SARX, SHRX */
		operands(shape, SHAPE_WRITE, SHAPE_READ,
				native_prefix(insn) == NATIVE_PREFIX_NONE ? ZCO : 0);
		break;
	default:
		break;
	}
}

void shape_of_bmi(const struct insn *insn, struct shape *shape)
{
	if (insn->map == INSN_MAP_0F38) {
		shape_0f38(shape, insn);
	} else if (insn->map == INSN_MAP_0F3A && insn->opcode == 0xf0) { /* RORX */
		operands(shape, SHAPE_WRITE, 0, 0);
		shape->imm_size = 1;
	}
	shape->opcode = insn->opcode;
	shape->extension = (insn->modrm >> 3) & 7;
	shape->vex_prefix = (uint8_t)native_prefix(insn);
	shape->rex_w = insn->operand_size == 8;
	shape->rm_use = SHAPE_READ;
	shape->reg_size = shape->rm_size = insn->operand_size;
}
