/* SPDX-License-Identifier: MIT */
/*
 * What the translator has to know of an instruction to run it natively: how it is to be emitted, which operands it
 * reads and writes, and what it does to the arithmetic flags. Anything not listed is called out: executed by the
 * interpreter's function in the middle of translated code. 64-bit mode only. Pure functions.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_SHAPE_H
#define CORE_ENGINE_SOFT_TRANSLATOR_SHAPE_H

#include "core/engine/soft/decode.h"

enum shape_kind {
	SHAPE_CALL_OUT,
	SHAPE_MODRM, /* the same instruction with its operands renamed */
	SHAPE_IMPLICIT, /* no operands but rax, rdx and flags: the same bytes */
	SHAPE_SHORT, /* a register in the opcode: BSWAP, MOV with an immediate */
	SHAPE_NOTHING,
	SHAPE_LEA,
	SHAPE_DIVIDE, /* DIV, IDIV: called out where they could overflow */
	SHAPE_PUSH,
	SHAPE_POP,
	SHAPE_LEAVE,
	SHAPE_X87, /* the same instruction; memory is its only operand to be renamed */
	SHAPE_FLDCW, /* called out if it unmasks something */
	SHAPE_PUSHF,
	SHAPE_VEX, /* as MODRM, with a VEX prefix */
	SHAPE_VEX_GENERAL, /* the same on general registers */
	SHAPE_ZERO_UPPER, /* VZEROUPPER */
	SHAPE_RDTSC, /* called out if the guest's time is not the host's, or may not be read */
	SHAPE_FENCE,
	SHAPE_CLD,
	SHAPE_READ_CR2,
	SHAPE_CLI,
	SHAPE_SWAPGS,
	/* These end a block. */
	SHAPE_STI,
	SHAPE_JCC,
	SHAPE_JMP,
	SHAPE_CALL,
	SHAPE_RET,
	SHAPE_JMP_INDIRECT,
	SHAPE_CALL_INDIRECT,
};

enum shape_use {
	SHAPE_READ = 1,
	SHAPE_WRITE = 2,
	SHAPE_CHANGE = SHAPE_READ | SHAPE_WRITE,
};

struct shape {
	uint8_t kind; /* enum shape_kind */
	uint8_t opcode; /* MODRM: as emitted */
	uint8_t extension; /* MODRM: of the opcode, if reg_use is 0 */
	uint8_t prefix; /* MODRM: F2, F3 or 0 */
	uint8_t reg_use, rm_use; /* enum shape_use; 0: no operand of that kind */
	uint8_t reg_size, rm_size; /* bytes; rm_size is also what memory is accessed with */
	uint8_t imm_size; /* bytes */
	uint8_t aligned; /* bytes that the memory operand must be aligned to, or is called out; 0: none */
	bool opsize, rex_w; /* prefixes 66 and REX.W */
	bool lock;
	bool privileged; /* as described for CPL 0 only, else called out */
	bool sse; /* needs the host's SSE state to be the guest's */
	bool avx; /* and all of the vectors */
	bool x87; /* needs the host's x87 state to be the guest's */
	bool x87_pointer; /* the x87 instruction pointer becomes its address */
	bool reg_xmm, rm_xmm; /* the operand is an XMM register */
	bool reg_mm, rm_mm; /* the operand is an MMX register */
	/* VEX */
	uint8_t vex_prefix; /* VEX.pp */
	uint8_t vex_use; /* enum shape_use: VEX.vvvv */
	bool fourth; /* reads the vector that the immediate names */
	bool whole; /* vectors of 256 bits */
	bool rm_low; /* of rm even then the lower half only */
	uint8_t xmm0_use; /* enum shape_use: XMM0 as an operand that is not named */
	uint16_t flags_read,
			flags_written; /* arithmetic flags; written: always, whatever the operands */
};

void shape_of(const struct insn *insn, struct shape *ret_shape);

/* The same for INSN_CLASS_SSE, _MMX, _X87, _AVX, and _INTEGER with a VEX prefix; leaves *shape alone for what is called out. */
void shape_of_sse(const struct insn *insn, struct shape *shape);
void shape_of_mmx(const struct insn *insn, struct shape *shape);
void shape_of_x87(const struct insn *insn, struct shape *shape);
void shape_of_bmi(const struct insn *insn, struct shape *shape);
void shape_of_avx(const struct insn *insn, struct shape *shape);

#endif
