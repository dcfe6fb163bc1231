/* SPDX-License-Identifier: MIT */
/*
 * Guest SSE, MMX and x87 instructions run by the host's own: for each distinct instruction a thunk, a few bytes of host code
 * that bring in the guest's registers, execute the instruction and store the results. Registers are renamed (the reg
 * operand becomes xmm1, mm1 or eax, the rm operand xmm2, mm2, ecx or [rsi]), so that few thunks serve all guest code.
 *
 * Thunks hold no guest state and live as long as the process; all engines share them. Any thread.
 */
#ifndef CORE_ENGINE_SOFT_NATIVE_H
#define CORE_ENGINE_SOFT_NATIVE_H

#include "core/engine/soft/cpu.h"

/*
 * Runs one instruction. reg and rm point at the operands: 16 bytes of XMM, 8 of MMX, 8 of a general register; rm may be
 * memory of the operand's size. rdx is the value the instruction finds in that register (PCMPESTR*); rdx and rcx of AVX's thunks
 * are native_avx.c's. Other state is
 * taken from and left in cpu: fx.mxcsr, fx.xmm[0], rflags, regs where they are implicit operands. Returns 0.
 */
typedef unsigned native_thunk_fn(
		void *reg, const void *rm, uint64_t rdx, uint64_t rcx, struct cpu *cpu);

/* What an operand is. */
enum native_kind {
	NATIVE_KIND_NONE, /* an opcode extension, or absent */
	NATIVE_KIND_XMM,
	NATIVE_KIND_MM,
	NATIVE_KIND_GPR,
	NATIVE_KIND_MM_XMM, /* in tables only: XMM with prefix 66, else MM */
};

enum native_flag {
	NATIVE_FLAG_MXCSR = 1 << 0, /* rounds, or raises SIMD exceptions */
	NATIVE_FLAG_RFLAGS = 1 << 1, /* writes the arithmetic flags */
	NATIVE_FLAG_TO_RM = 1 << 2, /* the rm operand is the destination, else reg */
	NATIVE_FLAG_UNALIGNED = 1 << 3, /* 16-byte memory operands need no alignment */
	NATIVE_FLAG_XMM0 = 1 << 4, /* reads xmm0, too */
	NATIVE_FLAG_TO_XMM0 = 1 << 5, /* writes xmm0: PCMP?STRM */
	NATIVE_FLAG_TO_RCX = 1 << 6, /* writes ecx: PCMP?STRI */
	NATIVE_FLAG_RAX_RDX = 1 << 7, /* reads (e/r)ax and (e/r)dx: PCMPESTR? */
	NATIVE_FLAG_REX_W = 1 << 8, /* REX.W makes another instruction of it */
	NATIVE_FLAG_IMM8 = 1 << 9,
	NATIVE_FLAG_X87 = 1 << 10, /* runs on the whole FXSAVE image */
	NATIVE_FLAG_READS_CARRY = 1 << 11, /* x87: FCMOVcc's CF, PF, ZF */
	NATIVE_FLAG_NO_DESTINATION = 1 << 12, /* flags only: COMIS?, PTEST */
};

/* An instruction the host can run; insn->native points at one. */
struct native_op {
	native_thunk_fn *run;
	uint8_t reg_kind, rm_kind; /* enum native_kind */
	uint16_t flags; /* enum native_flag */
};

/* A host CPU feature without which the instruction is undefined for the guest, too. */
enum native_feature {
	NATIVE_FEATURE_BASE, /* SSE2 and before: every host has them */
	NATIVE_FEATURE_SSE3,
	NATIVE_FEATURE_SSSE3,
	NATIVE_FEATURE_SSE41,
	NATIVE_FEATURE_SSE42,
	NATIVE_FEATURE_AES,
	NATIVE_FEATURE_PCLMUL,
	NATIVE_FEATURE_SHA,
	NATIVE_FEATURE_COUNT,
};

/* What a table row says of an SSE or MMX instruction. */
struct native_desc {
	uint8_t map; /* enum insn_map */
	uint8_t prefixes; /* bit set of 1 << enum native_prefix: the rows that exist */
	uint8_t first, last; /* opcodes */
	uint8_t reg_kind, rm_kind; /* enum native_kind, MM_XMM allowed */
	uint8_t feature; /* enum native_feature */
	uint16_t flags; /* enum native_flag */
};

/* The mandatory prefix. */
enum native_prefix {
	NATIVE_PREFIX_NONE,
	NATIVE_PREFIX_66,
	NATIVE_PREFIX_F3,
	NATIVE_PREFIX_F2,
};

/* Which mandatory prefix counts: F2 or F3 before 66. */
static inline enum native_prefix native_prefix(const struct insn *insn)
{
	if (insn->prefixes & INSN_PREFIX_REP) {
		return NATIVE_PREFIX_F3;
	}
	if (insn->prefixes & INSN_PREFIX_REPNE) {
		return NATIVE_PREFIX_F2;
	}
	return insn->prefixes & INSN_PREFIX_OPSIZE ? NATIVE_PREFIX_66 : NATIVE_PREFIX_NONE;
}

/* The row for an SSE or MMX instruction, or NULL if the tables lack it. native_table.c. */
const struct native_desc *native_lookup(const struct insn *insn);

/* Whether the host CPU has it. */
bool native_has_feature(enum native_feature feature);

/* Maps the code area; later the process may not be allowed to. Without this call it is done for the first op. */
void native_prepare(void);

/* The op for an SSE or MMX instruction with the row desc, for an x87 one with NULL; NULL when the code area is full. */
const struct native_op *native_op_get(const struct insn *insn, const struct native_desc *desc);

/*
 * Runs op with MXCSR as the guest has it, unmasked exceptions included. True if it completed; false if a SIMD exception
 * is to be raised: fx.mxcsr has its flags, no other state has changed.
 */
bool native_run_unmasked(const struct native_op *op, void *reg, const void *rm, uint64_t rdx,
		uint64_t rcx, struct cpu *cpu);

/*
 * Makes this process's SIGFPE handler the one that native_run_unmasked() needs; it passes on what is not its own to the handler
 * there was. Done when the first thunk is made; again only by programs that change the handler later.
 */
void native_catch_sigfpe(void);

#endif
