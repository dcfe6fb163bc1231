/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/shape.h"

#include "core/engine/x86.h"

#define CF X86_FLAG_CF
#define ZF X86_FLAG_ZF
#define OF X86_FLAG_OF
#define ALL X86_FLAGS_ARITH
#define REPEATED (INSN_PREFIX_REP | INSN_PREFIX_REPNE)

/* By condition code, without its lowest bit. */
static const uint16_t condition_flags[8] = {
		X86_FLAG_OF,
		X86_FLAG_CF,
		X86_FLAG_ZF,
		X86_FLAG_CF | X86_FLAG_ZF,
		X86_FLAG_SF,
		X86_FLAG_PF,
		X86_FLAG_SF | X86_FLAG_OF,
		X86_FLAG_SF | X86_FLAG_OF | X86_FLAG_ZF,
};

static uint16_t condition_reads(unsigned opcode)
{
	return condition_flags[(opcode & 15) >> 1];
}

static bool has_prefix(const struct insn *insn, unsigned prefixes)
{
	return insn->prefixes & prefixes;
}

/* An instruction with modrm and operands of operand_size. */
static void modrm(struct shape *shape, const struct insn *insn, unsigned reg_use, unsigned rm_use)
{
	shape->kind = SHAPE_MODRM;
	shape->opsize = insn->operand_size == 2;
	shape->rex_w = insn->operand_size == 8;
	shape->opcode = insn->opcode;
	shape->extension = (insn->modrm >> 3) & 7;
	shape->reg_use = (uint8_t)reg_use;
	shape->rm_use = (uint8_t)rm_use;
	shape->reg_size = shape->rm_size = insn->operand_size;
}

static void flags(struct shape *shape, unsigned reads, unsigned writes)
{
	shape->flags_read = (uint16_t)reads;
	shape->flags_written = (uint16_t)writes;
}

static uint8_t imm_bytes(const struct insn *insn)
{
	return insn->operand_size == 8 ? 4 : insn->operand_size;
}

/* ADC (2) and SBB (3) read the carry. */
static void alu_flags(struct shape *shape, unsigned operation)
{
	flags(shape, operation == 2 || operation == 3 ? CF : 0, ALL);
}

static void shape_alu(struct shape *shape, const struct insn *insn)
{
	unsigned operation = insn->opcode >> 3, form = insn->opcode & 7;
	unsigned destination = operation == 7 ? SHAPE_READ : SHAPE_CHANGE;

	if (form >= 6) {
		return;
	}
	if (form < 2) {
		modrm(shape, insn, SHAPE_READ, destination);
	} else if (form < 4 && insn->is_memory) {
		modrm(shape, insn, destination, SHAPE_READ);
	} else if (form < 4) {
		/* exec_bind() has exchanged the two registers. */
		modrm(shape, insn, SHAPE_READ, destination);
		shape->opcode = insn->opcode ^ 2;
	} else {
		/* AL or rAX with an immediate, in the form that has modrm. */
		modrm(shape, insn, 0, destination);
		shape->opcode = form == 4 ? 0x80 : 0x81;
		shape->extension = (uint8_t)operation;
		shape->imm_size = imm_bytes(insn);
	}
	alu_flags(shape, operation);
}

static void shape_alu_imm(struct shape *shape, const struct insn *insn)
{
	unsigned operation = (insn->modrm >> 3) & 7;

	modrm(shape, insn, 0, operation == 7 ? SHAPE_READ : SHAPE_CHANGE);
	shape->imm_size = insn->opcode == 0x81 ? imm_bytes(insn) : 1;
	alu_flags(shape, operation);
}

static void shape_shift(struct shape *shape, const struct insn *insn)
{
	unsigned operation = (insn->modrm >> 3) & 7;
	bool by_imm = insn->opcode < 0xd0, by_one = insn->opcode >= 0xd0 && insn->opcode < 0xd2;
	unsigned count = by_one ? 1 : (unsigned)insn->imm & (insn->operand_size == 8 ? 63 : 31);
	unsigned written = operation < 4 ? CF : ALL;

	modrm(shape, insn, 0, SHAPE_CHANGE);
	shape->imm_size = by_imm ? 1 : 0;
	/* A count of 0 leaves all flags; rotates by more than 1 leave OF undefined. */
	flags(shape, operation == 2 || operation == 3 ? CF : 0,
			(by_imm || by_one) && count != 0 ? written : 0);
}

static void shape_group3(struct shape *shape, const struct insn *insn)
{
	switch ((insn->modrm >> 3) & 7) {
	case 0:
	case 1:
		modrm(shape, insn, 0, SHAPE_READ);
		shape->extension = 0;
		shape->imm_size = imm_bytes(insn);
		flags(shape, 0, ALL);
		break;
	case 2:
		modrm(shape, insn, 0, SHAPE_CHANGE);
		break;
	case 3:
		modrm(shape, insn, 0, SHAPE_CHANGE);
		flags(shape, 0, ALL);
		break;
	case 4:
	case 5:
		modrm(shape, insn, 0, SHAPE_READ);
		flags(shape, 0, CF | OF);
		break;
	default:
		modrm(shape, insn, 0, SHAPE_READ);
		shape->kind = insn->operand_size >= 4 ? SHAPE_DIVIDE : SHAPE_CALL_OUT;
		break;
	}
}

static void shape_group5(struct shape *shape, const struct insn *insn)
{
	switch ((insn->modrm >> 3) & 7) {
	case 0:
	case 1:
		modrm(shape, insn, 0, SHAPE_CHANGE);
		flags(shape, 0, ALL & ~CF);
		break;
	case 2:
		shape->kind = SHAPE_CALL_INDIRECT;
		break;
	case 4:
		shape->kind = SHAPE_JMP_INDIRECT;
		break;
	case 6:
		shape->kind = SHAPE_PUSH;
		break;
	default:
		return;
	}
	if (shape->kind != SHAPE_MODRM) {
		shape->rm_use = SHAPE_READ;
		shape->rm_size = 8;
		if (insn->operand_size != 8) {
			shape->kind = SHAPE_CALL_OUT;
		}
	}
}

static void shape_test_accumulator(struct shape *shape, const struct insn *insn)
{
	modrm(shape, insn, 0, SHAPE_READ);
	shape->opcode = insn->opcode == 0xa8 ? 0xf6 : 0xf7;
	shape->extension = 0;
	shape->imm_size = imm_bytes(insn);
	flags(shape, 0, ALL);
}

/* The stack and the like: only with the operand size of 64-bit mode. */
static void wide_only(struct shape *shape, const struct insn *insn, enum shape_kind kind)
{
	if (insn->operand_size == 8) {
		shape->kind = (uint8_t)kind;
	}
}

static void shape_legacy_high(struct shape *shape, const struct insn *insn)
{
	switch (insn->opcode) {
	case 0xc0:
	case 0xc1:
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		shape_shift(shape, insn);
		break;
	case 0xc2:
	case 0xc3:
		wide_only(shape, insn, SHAPE_RET);
		break;
	case 0xc6:
	case 0xc7:
		modrm(shape, insn, 0, SHAPE_WRITE);
		shape->extension = 0;
		shape->imm_size = imm_bytes(insn);
		break;
	case 0xc9:
		wide_only(shape, insn, SHAPE_LEAVE);
		break;
	case 0xe8:
		wide_only(shape, insn, SHAPE_CALL);
		break;
	case 0xe9:
	case 0xeb:
		wide_only(shape, insn, SHAPE_JMP);
		break;
	case 0xfc:
		shape->kind = SHAPE_CLD;
		break;
	case 0xf5:
		shape->kind = SHAPE_IMPLICIT;
		flags(shape, CF, CF);
		break;
	case 0xf8:
	case 0xf9:
		shape->kind = SHAPE_IMPLICIT;
		flags(shape, 0, CF);
		break;
	case 0xf6:
	case 0xf7:
		shape_group3(shape, insn);
		break;
	case 0xfe:
	case 0xff:
		shape_group5(shape, insn);
		break;
	default:
		break;
	}
}

static void shape_legacy_middle(struct shape *shape, const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x63:
		modrm(shape, insn, SHAPE_WRITE, SHAPE_READ);
		shape->rm_size = 4;
		if (insn->operand_size != 8) {
			shape->kind = SHAPE_CALL_OUT;
		}
		break;
	case 0x68:
	case 0x6a:
		wide_only(shape, insn, SHAPE_PUSH);
		break;
	case 0x69:
	case 0x6b:
		modrm(shape, insn, SHAPE_WRITE, SHAPE_READ);
		shape->imm_size = insn->opcode == 0x69 ? imm_bytes(insn) : 1;
		flags(shape, 0, CF | OF);
		break;
	case 0x80:
	case 0x81:
	case 0x83:
		shape_alu_imm(shape, insn);
		break;
	case 0x84:
	case 0x85:
		modrm(shape, insn, SHAPE_READ, SHAPE_READ);
		flags(shape, 0, ALL);
		break;
	case 0x86:
	case 0x87:
		modrm(shape, insn, SHAPE_CHANGE, SHAPE_CHANGE);
		break;
	case 0x88:
	case 0x89:
		modrm(shape, insn, SHAPE_READ, SHAPE_WRITE);
		break;
	case 0x8a:
	case 0x8b:
		if (insn->is_memory) {
			modrm(shape, insn, SHAPE_WRITE, SHAPE_READ);
		} else {
			/* As in shape_alu(). */
			modrm(shape, insn, SHAPE_READ, SHAPE_WRITE);
			shape->opcode = insn->opcode ^ 2;
		}
		break;
	case 0x8d:
		shape->kind = SHAPE_LEA;
		break;
	case 0x90:
		/* With REX.B it is XCHG, with REP it is PAUSE. */
		if (insn->rm == 0 && !(insn->prefixes & INSN_PREFIX_REP)) {
			shape->kind = SHAPE_NOTHING;
		}
		break;
	case 0x98:
	case 0x99:
		shape->kind = SHAPE_IMPLICIT;
		break;
	case 0xa8:
	case 0xa9:
		shape_test_accumulator(shape, insn);
		break;
	default:
		break;
	}
}

static void shape_legacy(struct shape *shape, const struct insn *insn)
{
	unsigned opcode = insn->opcode;

	if (opcode < 0x40) {
		shape_alu(shape, insn);
	} else if (opcode >= 0x50 && opcode < 0x60) {
		wide_only(shape, insn, opcode < 0x58 ? SHAPE_PUSH : SHAPE_POP);
		shape->rm_use = SHAPE_READ;
	} else if (opcode >= 0x70 && opcode < 0x80) {
		shape->kind = SHAPE_JCC;
		flags(shape, condition_reads(opcode), 0);
	} else if (opcode >= 0xb0 && opcode < 0xc0) {
		shape->kind = SHAPE_SHORT;
		shape->rm_use = SHAPE_WRITE;
		shape->rm_size = insn->operand_size;
		shape->imm_size = insn->operand_size;
	} else if (opcode < 0xc0) {
		shape_legacy_middle(shape, insn);
	} else {
		shape_legacy_high(shape, insn);
	}
}

static void shape_bit_scan(struct shape *shape, const struct insn *insn)
{
	bool counted = has_prefix(insn, INSN_PREFIX_REP);

	if (has_prefix(insn, INSN_PREFIX_REPNE)) {
		return;
	}
	/* BSF and BSR of 0 leave the destination. */
	modrm(shape, insn, counted ? SHAPE_WRITE : SHAPE_CHANGE, SHAPE_READ);
	shape->prefix = counted ? 0xf3 : 0;
	flags(shape, 0, insn->opcode == 0xb8 ? ALL : counted ? CF | ZF : ZF);
}

static void shape_bit_test(struct shape *shape, const struct insn *insn, unsigned operation)
{
	unsigned use = operation == 0 ? SHAPE_READ : SHAPE_CHANGE;

	if (insn->opcode == 0xba) {
		modrm(shape, insn, 0, use);
		shape->imm_size = 1;
	} else if (!insn->is_memory) {
		modrm(shape, insn, SHAPE_READ, use);
	} else {
		return; /* the bit may lie far from the operand */
	}
	flags(shape, 0, CF);
}

/* CMPXCHG8B, CMPXCHG16B */
static void shape_compare_pair(struct shape *shape, const struct insn *insn)
{
	if (!insn->is_memory || ((insn->modrm >> 3) & 7) != 1 || insn->operand_size < 4) {
		return;
	}
	modrm(shape, insn, 0, SHAPE_CHANGE);
	shape->rm_size = (uint8_t)(2 * insn->operand_size);
	shape->aligned = shape->rm_size;
	flags(shape, 0, ZF);
}

static void shape_0f_high(struct shape *shape, const struct insn *insn)
{
	switch (insn->opcode) {
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
		shape_bit_test(shape, insn, (insn->opcode >> 3) & 3);
		/* BT is a3: its bits 3 and 4 are 0. */
		break;
	case 0xba:
		if (insn->modrm & 0x20) {
			shape_bit_test(shape, insn, (insn->modrm >> 3) & 3);
		}
		break;
	case 0xa4:
	case 0xa5:
	case 0xac:
	case 0xad:
		modrm(shape, insn, SHAPE_READ, SHAPE_CHANGE);
		shape->imm_size = insn->opcode & 1 ? 0 : 1;
		break;
	case 0xaf:
		modrm(shape, insn, SHAPE_CHANGE, SHAPE_READ);
		flags(shape, 0, CF | OF);
		break;
	case 0xb0:
	case 0xb1:
		modrm(shape, insn, SHAPE_READ, SHAPE_CHANGE);
		flags(shape, 0, ALL);
		break;
	case 0xb6:
	case 0xb7:
	case 0xbe:
	case 0xbf:
		modrm(shape, insn, SHAPE_WRITE, SHAPE_READ);
		shape->rm_size = insn->opcode & 1 ? 2 : 1;
		break;
	case 0xb8:
	case 0xbc:
	case 0xbd:
		if (insn->opcode != 0xb8 || has_prefix(insn, INSN_PREFIX_REP)) {
			shape_bit_scan(shape, insn);
		}
		break;
	case 0xc0:
	case 0xc1:
		modrm(shape, insn, SHAPE_CHANGE, SHAPE_CHANGE);
		flags(shape, 0, ALL);
		break;
	case 0xc7:
		shape_compare_pair(shape, insn);
		break;
	default:
		break;
	}
}

static void shape_0f(struct shape *shape, const struct insn *insn)
{
	unsigned opcode = insn->opcode;

	if (opcode >= 0x40 && opcode < 0x50) {
		modrm(shape, insn, SHAPE_CHANGE, SHAPE_READ);
		flags(shape, condition_reads(opcode), 0);
	} else if (opcode >= 0x80 && opcode < 0x90) {
		shape->kind = SHAPE_JCC;
		flags(shape, condition_reads(opcode), 0);
	} else if (opcode >= 0x90 && opcode < 0xa0) {
		modrm(shape, insn, 0, SHAPE_WRITE);
		shape->extension = 0;
		flags(shape, condition_reads(opcode), 0);
	} else if (opcode == 0x0d || (opcode >= 0x18 && opcode < 0x20)) {
		shape->kind = SHAPE_NOTHING;
	} else if (opcode >= 0xc8 && opcode < 0xd0 && insn->operand_size >= 4) {
		shape->kind = SHAPE_SHORT;
		shape->rm_use = SHAPE_CHANGE;
		shape->rm_size = insn->operand_size;
	} else {
		shape_0f_high(shape, insn);
	}
}

static void shape_system(struct shape *shape, const struct insn *insn)
{
	if (insn->map == INSN_MAP_0F && insn->opcode == 0x01 && insn->modrm == 0xf8) {
		shape->kind = SHAPE_SWAPGS;
	} else if (insn->map == INSN_MAP_LEGACY && insn->opcode == 0xfa) {
		shape->kind = SHAPE_CLI;
	} else if (insn->map == INSN_MAP_LEGACY && insn->opcode == 0xfb) {
		shape->kind = SHAPE_STI;
	} else if (insn->map == INSN_MAP_LEGACY && insn->opcode == 0x9c) {
		wide_only(shape, insn, SHAPE_PUSHF);
		flags(shape, ALL, 0);
		return;
	} else if (insn->map == INSN_MAP_0F && insn->opcode == 0x31) {
		shape->kind = SHAPE_RDTSC;
		return;
	} else if (insn->map == INSN_MAP_0F && insn->opcode == 0xae && !insn->is_memory &&
			insn->modrm >= 0xe8 && !has_prefix(insn, REPEATED | INSN_PREFIX_OPSIZE)) {
		shape->kind = SHAPE_FENCE;
		return;
	} else if (insn->map == INSN_MAP_0F && insn->opcode == 0x20 &&
			((insn->modrm >> 3) & 7) == 2 && !(insn->reg & 8)) {
		shape->kind = SHAPE_READ_CR2;
	}
	shape->privileged = true;
}

/* LOCK, and XCHG with memory: atomic. */
static bool is_atomic(const struct insn *insn)
{
	return insn->is_memory &&
	       (has_prefix(insn, INSN_PREFIX_LOCK) ||
			       (insn->map == INSN_MAP_LEGACY && (insn->opcode & 0xfe) == 0x86));
}

void shape_of(const struct insn *insn, struct shape *ret_shape)
{
	struct shape shape = {.kind = SHAPE_CALL_OUT};

	if (insn->insn_class == INSN_CLASS_INTEGER && !has_prefix(insn, INSN_PREFIX_VEX) &&
			(!insn->is_memory || insn->address_size == 8)) {
		if (insn->map == INSN_MAP_LEGACY) {
			shape_legacy(&shape, insn);
		} else if (insn->map == INSN_MAP_0F) {
			shape_0f(&shape, insn);
		}
	}
	if (insn->insn_class == INSN_CLASS_MMX && (!insn->is_memory || insn->address_size == 8)) {
		shape_of_mmx(insn, &shape);
	}
	if (insn->insn_class == INSN_CLASS_X87 && (!insn->is_memory || insn->address_size == 8)) {
		shape_of_x87(insn, &shape);
	}
	if (insn->insn_class == INSN_CLASS_SYSTEM) {
		shape_system(&shape, insn);
	}
	if (insn->insn_class == INSN_CLASS_SSE && (!insn->is_memory || insn->address_size == 8)) {
		shape_of_sse(insn, &shape);
	}
	if (insn->insn_class == INSN_CLASS_INTEGER && has_prefix(insn, INSN_PREFIX_VEX) &&
			(!insn->is_memory || insn->address_size == 8)) {
		shape_of_bmi(insn, &shape);
	}
	if (insn->insn_class == INSN_CLASS_AVX && (!insn->is_memory || insn->address_size == 8)) {
		shape_of_avx(insn, &shape);
	}
	if (is_atomic(insn) && shape.kind == SHAPE_MODRM) {
		/* One that crosses cache lines would stop all of the host. */
		shape.lock = has_prefix(insn, INSN_PREFIX_LOCK);
		shape.aligned = shape.rm_size;
	}
	if (shape.kind == SHAPE_CALL_OUT) {
		shape = (struct shape){.kind = SHAPE_CALL_OUT, .flags_read = ALL};
	}
	*ret_shape = shape;
}
