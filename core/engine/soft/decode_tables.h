/* SPDX-License-Identifier: MIT */
/*
 * The opcode tables behind decode.h: constant data, one row an opcode, and the vocabulary its rows
 * are written in. Only decode.c reads them. A row either describes an instruction or selects among
 * further rows by something else in the encoding: a prefix, ModRM, the mode. SDM vol. 2, appendix
 * A.
 */
#ifndef CORE_ENGINE_SOFT_DECODE_TABLES_H
#define CORE_ENGINE_SOFT_DECODE_TABLES_H

#include "core/engine/soft/decode.h"

/* The first three are those of struct insn, for the memory form. */
enum decode_flag {
	DECODE_ENDS_BLOCK = INSN_FLAG_ENDS_BLOCK,
	DECODE_WRITES = INSN_FLAG_WRITES_MEMORY, /* the memory operand is written */
	DECODE_READS = INSN_FLAG_READS_MEMORY, /* the memory operand is read */
	DECODE_MODRM = 1 << 3, /* a ModRM byte follows the opcode */
	DECODE_LOCKABLE = 1 << 4, /* LOCK is allowed on the memory form */
	DECODE_NO_REGISTER = 1 << 5, /* the register form does not exist */
	DECODE_NO_MEMORY = 1 << 6, /* the memory form does not exist */
	DECODE_NO_64 = 1 << 7, /* not in 64-bit mode */
	DECODE_ONLY_64 = 1 << 8, /* only in 64-bit mode */
	DECODE_OPCODE_REGISTER = 1 << 9, /* the low three bits of the opcode name a register */
	DECODE_STRING = 1 << 10, /* ends a block when repeated: it may stop half-way */
	/* a register form whatever ModRM.mod says: moves to and from CRn and DRn */
	DECODE_IGNORE_MOD = 1 << 11,
	DECODE_CONTROL_REGISTER = 1 << 12, /* ModRM.reg must name a control register there is */
	DECODE_DEBUG_REGISTER = 1 << 13, /* no REX.R */
	DECODE_NO_VEX_REGISTER = 1 << 14, /* VEX.vvvv names nothing and must be 1111 */
	DECODE_VECTOR_INDEX = 1 << 15, /* memory must have a SIB byte, whose index names a vector */
};

/*
 * How the operand size follows from mode, prefix 66 and REX.W; the letters are those of the SDM
 * where it has one.
 */
enum decode_size {
	DECODE_SIZE_V, /* 2, 4, 8: the usual rule */
	DECODE_SIZE_B, /* 1 */
	DECODE_SIZE_Z, /* 2 or 4: REX.W asks for 8 and gets 4 */
	DECODE_SIZE_Y, /* 4, or 8 by REX.W; prefix 66 means something else */
	DECODE_SIZE_D64, /* 8 by default in 64-bit mode, 2 with prefix 66, never 4 */
	DECODE_SIZE_F64, /* always 8 in 64-bit mode */
	DECODE_SIZE_MODE, /* 8 in 64-bit mode, otherwise 4 */
	DECODE_SIZE_COUNT,
};

enum decode_immediate {
	DECODE_IMM_NONE,
	DECODE_IMM_U8, /* one byte, zero-extended */
	DECODE_IMM_S8, /* one byte, sign-extended */
	DECODE_IMM_U16, /* two bytes, zero-extended */
	DECODE_IMM_Z, /* two or four bytes by operand size, sign-extended */
	DECODE_IMM_V, /* two, four or eight bytes by operand size */
	DECODE_IMM_OFFSET, /* as many bytes as an address has: the operand is memory there */
	DECODE_IMM_FAR, /* offset by operand size, then a selector, put into bits 32-47 */
	DECODE_IMM_ENTER, /* two bytes, then one into imm2 */
	DECODE_IMM_COUNT,
};

/* decode_entry.memory is the operand's length in bytes, 0 for the operand size, or one of these. */
enum decode_memory {
	DECODE_MEMORY_FIRST_RULE = 0xf0,
	DECODE_MEMORY_FAR = DECODE_MEMORY_FIRST_RULE, /* operand size + 2 */
	DECODE_MEMORY_PAIR, /* twice the operand size */
	DECODE_MEMORY_TABLE, /* descriptor table register: 10 in 64-bit mode, otherwise 6 */
	DECODE_MEMORY_ENVIRONMENT, /* x87 environment: 14 or 28 */
	DECODE_MEMORY_X87_STATE, /* 94 or 108 */
};

/*
 * What rows select by, packed into a word so that a selecting row is no more than a shift and a
 * mask: bit 0 is set in 64-bit mode, bits 1-2 hold the mandatory prefix, bits 3-10 ModRM, bit 11
 * says whether ModRM.mod is 3.
 */
enum decode_selector {
	DECODE_SELECT_MODE_64 = 0,
	DECODE_SELECT_PREFIX = 1,
	DECODE_SELECT_RM = 3,
	DECODE_SELECT_REG = 6,
	DECODE_SELECT_MOD_3 = 11,
};

/* Mandatory prefix, numbered as in VEX.pp. F2 and F3 outweigh 66. */
enum decode_mandatory {
	DECODE_PREFIX_NONE,
	DECODE_PREFIX_66,
	DECODE_PREFIX_F3,
	DECODE_PREFIX_F2,
};

struct decode_entry {
	const struct decode_entry
			*group; /* rows this one selects among; NULL: it describes an instruction */
	uint16_t flags; /* enum decode_flag */
	uint8_t insn_class; /* enum insn_class */
	uint8_t size; /* enum decode_size */
	uint8_t immediate; /* enum decode_immediate */
	uint8_t memory; /* bytes or enum decode_memory */
	uint8_t select_shift; /* enum decode_selector */
	uint8_t select_mask;
};

extern const struct decode_entry decode_legacy[256];
extern const struct decode_entry decode_0f[256];
extern const struct decode_entry decode_0f38[256];
extern const struct decode_entry decode_0f3a[256];

/* The VEX-encoded instructions on general registers: opcodes F0-FF of two maps. */
extern const struct decode_entry decode_vex_0f38[16];
extern const struct decode_entry decode_vex_0f3a[16];

#endif
