/* SPDX-License-Identifier: MIT */
/*
 * The VEX-encoded vector instructions: AVX, AVX2, FMA, F16C and the VEX forms of AES and PCLMULQDQ. One table serves the
 * decoder (what exists, how long its memory is) and the executor (which operands go where). SDM vol. 2, 2.3 and chapters 3-5.
 */
#ifndef CORE_ENGINE_SOFT_AVX_H
#define CORE_ENGINE_SOFT_AVX_H

#include "core/engine/soft/cpu.h"

/* Which operands there are, destination first: R is ModRM.reg, M ModRM.rm, V VEX.vvvv. */
enum avx_form {
	AVX_FORM_RM, /* vvvv names nothing */
	AVX_FORM_RVM,
	AVX_FORM_MR, /* vvvv names nothing */
	AVX_FORM_MVR,
	AVX_FORM_VM, /* ModRM.reg belongs to the opcode */
	AVX_FORM_RVMR, /* a fourth register is in the immediate's upper half */
};

/* Bytes of a memory operand, or how they follow from the vector's length. */
enum avx_memory {
	AVX_MEMORY_FIRST_RULE = 0xf0,
	AVX_MEMORY_FULL = AVX_MEMORY_FIRST_RULE, /* 16 or 32 */
	AVX_MEMORY_HALF,
	AVX_MEMORY_QUARTER,
	AVX_MEMORY_EIGHTH,
	AVX_MEMORY_DUPLICATED, /* VMOVDDUP: 8 or 32 */
	AVX_MEMORY_WIDE, /* 4, or 8 with VEX.W */
};

enum avx_flag {
	AVX_FLAG_L0 = 1 << 0, /* exists with 128 bits, or without regard to length */
	AVX_FLAG_L1 = 1 << 1, /* with 256 */
	AVX_FLAG_W0 = 1 << 2, /* exists with VEX.W = 0 */
	AVX_FLAG_W1 = 1 << 3,
	AVX_FLAG_REGISTER = 1 << 4, /* has a register form */
	AVX_FLAG_MEMORY = 1 << 5, /* has a memory form */
	AVX_FLAG_IMM8 = 1 << 6,
	AVX_FLAG_MXCSR = 1 << 7, /* rounds, or raises SIMD exceptions */
	AVX_FLAG_RFLAGS = 1 << 8, /* writes the arithmetic flags, and no register */
	AVX_FLAG_REG_GENERAL = 1 << 9, /* ModRM.reg names a general register */
	AVX_FLAG_RM_GENERAL = 1 << 10, /* ModRM.rm does */
	AVX_FLAG_ALIGNED = 1 << 11, /* memory must be */
	AVX_FLAG_INTEGER = 1 << 12, /* AVX2 with 256 bits */
	AVX_FLAG_RM_128 = 1 << 13, /* ModRM.rm is an XMM register whatever the length */
	AVX_FLAG_PCMPSTR = 1 << 14, /* implicit operands */
	AVX_FLAG_EXTENSION = 1 << 15, /* ModRM.reg tells instructions apart */
	/* What it does no thunk can do: executed in C. */
	AVX_FLAG_ZERO = 1 << 16, /* VZEROUPPER, VZEROALL: without ModRM */
	AVX_FLAG_MXCSR_MOVE = 1 << 17, /* VLDMXCSR, VSTMXCSR */
	AVX_FLAG_MASKED = 1 << 18, /* VMASKMOV, VPMASKMOV */
	AVX_FLAG_MASKED_BYTES = 1 << 19, /* VMASKMOVDQU */
	AVX_FLAG_GATHER = 1 << 20, /* the index register is a vector */
};

struct avx_desc {
	uint8_t map; /* enum insn_map */
	uint8_t prefixes; /* bit set of 1 << enum native_prefix, which is VEX.pp */
	uint8_t first, last; /* opcodes */
	uint8_t form; /* enum avx_form */
	uint8_t memory; /* bytes or enum avx_memory */
	uint8_t extensions; /* bit set of ModRM.reg, with AVX_FLAG_EXTENSION */
	uint16_t feature; /* enum cpu_feature, beside AVX */
	uint32_t flags; /* enum avx_flag */
};

/* A VEX prefix and what follows it. */
struct avx_key {
	uint8_t map; /* enum insn_map */
	uint8_t prefix; /* VEX.pp */
	uint8_t opcode, modrm;
	bool wide, is_256; /* VEX.W, VEX.L */
};

/* The row, or NULL if there is no such instruction. Pure. */
const struct avx_desc *avx_lookup(const struct avx_key *key);
const struct avx_desc *avx_lookup_insn(const struct insn *insn);

/* Bytes of the memory operand; 0: the operand size of a general register. */
unsigned avx_memory_size(const struct avx_desc *desc, bool is_256, bool wide);

/* What the instruction needs of CPUID beside AVX, which is the answer if there is nothing more. */
enum cpu_feature avx_feature(const struct avx_desc *desc, const struct insn *insn);

/* INSN_CLASS_AVX. */
void exec_bind_avx(struct insn *insn);

#endif
