/* SPDX-License-Identifier: MIT */
/* Shapes of the instructions on vectors with a VEX prefix, from the rows of avx_table.c. */
#include "core/engine/soft/avx.h"
#include "core/engine/soft/native.h"
#include "core/engine/soft/translator/shape.h"

/* What is done in C goes element by element, or changes more than registers. */
#define CALLED_OUT (AVX_FLAG_MXCSR_MOVE | AVX_FLAG_MASKED | AVX_FLAG_MASKED_BYTES | AVX_FLAG_GATHER)

static void shape_operands(
		struct shape *shape, const struct insn *insn, const struct avx_desc *desc)
{
	/* The destination of a fused multiplication is its third factor or summand. */
	unsigned destination = desc->feature == CPU_FEATURE_FMA ? SHAPE_CHANGE : SHAPE_WRITE;

	switch ((enum avx_form)desc->form) {
	case AVX_FORM_RM:
	case AVX_FORM_RVM:
	case AVX_FORM_RVMR:
		shape->reg_use = (uint8_t)destination;
		shape->rm_use = SHAPE_READ;
		break;
	case AVX_FORM_MR:
	case AVX_FORM_MVR:
		shape->reg_use = SHAPE_READ;
		shape->rm_use = SHAPE_WRITE;
		break;
	case AVX_FORM_VM:
		shape->rm_use = SHAPE_READ;
		shape->vex_use = SHAPE_WRITE;
		break;
	}
	if (desc->form == AVX_FORM_RVM || desc->form == AVX_FORM_MVR ||
			desc->form == AVX_FORM_RVMR) {
		shape->vex_use = SHAPE_READ;
	}
	shape->fourth = desc->form == AVX_FORM_RVMR;
	shape->reg_xmm = shape->reg_use && !(desc->flags & AVX_FLAG_REG_GENERAL);
	shape->rm_xmm = !insn->is_memory && !(desc->flags & AVX_FLAG_RM_GENERAL);
}

static void shape_results(struct shape *shape, const struct insn *insn, const struct avx_desc *desc)
{
	if (desc->flags & (AVX_FLAG_RFLAGS | AVX_FLAG_PCMPSTR)) {
		shape->reg_use = SHAPE_READ;
		shape->flags_written = X86_FLAGS_ARITH;
	}
	if ((desc->flags & AVX_FLAG_PCMPSTR) && !(insn->opcode & 1)) {
		shape->xmm0_use = SHAPE_WRITE; /* the mask; the index goes to rcx */
	}
}

void shape_of_avx(const struct insn *insn, struct shape *shape)
{
	const struct avx_desc *desc = avx_lookup_insn(insn);
	bool is_256 = insn->prefixes & INSN_PREFIX_VEX_L;

	if (!desc || (desc->flags & CALLED_OUT) || ((desc->flags & AVX_FLAG_ZERO) && is_256)) {
		return;
	}
	shape->sse = shape->avx = true;
	if (desc->flags & AVX_FLAG_ZERO) {
		shape->kind = SHAPE_ZERO_UPPER;
		return;
	}
	shape->kind = SHAPE_VEX;
	shape->opcode = insn->opcode;
	shape->extension = (insn->modrm >> 3) & 7;
	shape->vex_prefix = (uint8_t)native_prefix(insn);
	shape->rex_w = insn->prefixes & INSN_PREFIX_REX_W;
	shape->whole = is_256;
	shape->rm_low = desc->flags & AVX_FLAG_RM_128;
	shape->imm_size = desc->flags & AVX_FLAG_IMM8 ? 1 : 0;
	shape->reg_size = 8;
	shape->rm_size = insn->memory_size ? insn->memory_size : insn->operand_size;
	shape->aligned = insn->is_memory && (desc->flags & AVX_FLAG_ALIGNED) ? shape->rm_size : 0;
	shape_operands(shape, insn, desc);
	shape_results(shape, insn, desc);
}
