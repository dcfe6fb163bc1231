/* SPDX-License-Identifier: MIT */
/*
 * x86-64 instruction decoder: bytes in, struct insn out. It knows encodings, not meanings: which prefixes and bytes
 * belong to an instruction, what its operands are, and whether the encoding exists at all. Mode- and
 * privilege-dependent faults (#GP, #NM, LOCK on a register, ...) that follow from the encoding alone are decided
 * here; those that depend on processor state are the executor's.
 *
 * Covers the legacy map, 0F, 0F38 and 0F3A with every instruction of x86-64-v1, MMX to SSE4.2, AES, PCLMULQDQ,
 * SHA, BMI (VEX GPR forms), ADX and the system instructions; VEX/EVEX vector instructions decode as undefined.
 * SDM vol. 2, chapters 2-5 and appendix A.
 */
#ifndef CORE_ENGINE_SOFT_DECODE_H
#define CORE_ENGINE_SOFT_DECODE_H

#include "core/base/base.h"

#define INSN_MAX_BYTES 15

/* Processor mode as far as decoding depends on it. */
enum insn_mode {
	INSN_MODE_16,
	INSN_MODE_32,
	INSN_MODE_64,
};

/* Opcode maps. */
enum insn_map {
	INSN_MAP_LEGACY, /* one byte */
	INSN_MAP_0F,
	INSN_MAP_0F38,
	INSN_MAP_0F3A,
};

enum insn_prefix {
	INSN_PREFIX_LOCK = 1 << 0,
	INSN_PREFIX_REP = 1 << 1, /* F3, the last of F2/F3 wins */
	INSN_PREFIX_REPNE = 1 << 2, /* F2 */
	INSN_PREFIX_OPSIZE = 1 << 3, /* 66 */
	INSN_PREFIX_ADDRSIZE = 1 << 4, /* 67 */
	INSN_PREFIX_REX = 1 << 5, /* any REX: selects spl..dil instead of ah..bh */
	INSN_PREFIX_REX_W = 1 << 6,
	INSN_PREFIX_VEX = 1 << 7,
	INSN_PREFIX_SEGMENT = 1 << 8,
};

/* How an instruction belongs to the executor; the fine distinction is map + opcode (+ modrm.reg for groups). */
enum insn_class {
	INSN_CLASS_UNDEFINED, /* raises #UD */
	INSN_CLASS_INTEGER, /* general registers, memory, control flow, strings */
	INSN_CLASS_SYSTEM, /* privileged, descriptor, I/O, interrupts, far transfers, fences, CPUID */
	INSN_CLASS_X87, /* D8-DF, WAIT, EMMS excluded */
	INSN_CLASS_MMX, /* any instruction that touches an MMX register */
	INSN_CLASS_SSE, /* any instruction that touches an XMM register, MXCSR loads and stores included */
};

#define INSN_REG_NONE 0xff

struct cpu;
struct insn;

/* Executes one instruction; filled in by the interpreter, unused by the decoder. */
typedef void insn_exec_fn(struct cpu *cpu, const struct insn *insn);

/*
 * One decoded instruction. 48 bytes, so that a block of them stays in few cache lines.
 * Operands: reg is modrm.reg (REX.R applied); rm is the register of a register form (REX.B applied); a memory form has
 * base, index, scale, disp, segment. Short forms with the register in the opcode (push, pop, xchg, mov imm, bswap)
 * put it in rm, REX.B applied, with is_memory false.
 */
struct insn {
	insn_exec_fn *exec;
	void *native; /* the executor's: a thunk that runs this instruction on the host, or NULL */
	uint64_t imm; /* sign- or zero-extended as the instruction wants it; branch displacement; moffs address */
	int32_t disp; /* of the memory operand, sign-extended to 32 bits; 16-bit forms wrap at use */
	uint16_t prefixes; /* enum insn_prefix */
	uint8_t length; /* bytes, 1..15 */
	uint8_t map; /* enum insn_map */
	uint8_t opcode; /* the last opcode byte */
	uint8_t modrm; /* raw byte, 0 if the instruction has none */
	uint8_t insn_class; /* enum insn_class */
	uint8_t operand_size; /* bytes: 1, 2, 4, 8; what the integer executor uses (defaults, 66, REX.W, d64/f64 applied) */
	uint8_t address_size; /* bytes: 2, 4, 8 */
	uint8_t segment; /* enum x86_segment_reg of the memory operand after overrides and rbp/rsp defaults */
	uint8_t reg; /* 0..15 */
	uint8_t rm; /* 0..15; register forms only */
	uint8_t base; /* 0..15, INSN_REG_NONE, or INSN_BASE_RIP */
	uint8_t index; /* 0..15 or INSN_REG_NONE */
	uint8_t scale; /* 0..3: index << scale */
	uint8_t is_memory; /* modrm names memory (or moffs, then base and index are NONE and imm is the address) */
	uint8_t vex_reg; /* VEX.vvvv, for BMI */
	uint8_t memory_size; /* bytes the memory operand spans for SSE, MMX and x87 forms (1..108); 0: operand_size */
	uint8_t imm2; /* second immediate: ENTER's nesting level, far pointer's selector is in imm bits 32-47 instead */
	uint8_t flags; /* enum insn_flag */
};

#define INSN_BASE_RIP 0xfe

_Static_assert(sizeof(struct insn) == 48, "three quarters of a cache line");

enum insn_flag {
	INSN_FLAG_ENDS_BLOCK =
			1
			<< 0, /* branch, far transfer, HLT, CR/MSR writes: anything after which the next address or
					* the mode is not simply the next byte */
	INSN_FLAG_WRITES_MEMORY =
			1
			<< 1, /* the modrm memory operand is written (for read-modify-write decisions) */
	INSN_FLAG_READS_MEMORY = 1 << 2,
	INSN_FLAG_BYTE_OP =
			1 << 3, /* operand_size is 1 and 8-bit register naming applies to reg/rm */
};

enum decode_result {
	DECODE_OK,
	DECODE_UNDEFINED, /* no such instruction, a LOCK that is not allowed, ...: raise #UD. length is valid */
	DECODE_TOO_LONG, /* more than 15 bytes: raise #GP(0) */
	DECODE_NEED_BYTES, /* the instruction does not end inside the given bytes */
};

/*
 * Decodes the instruction at bytes, of which at most size are valid. Writes insn (exec and native NULL) on DECODE_OK
 * and DECODE_UNDEFINED. Pure function; any thread.
 */
enum decode_result insn_decode(
		struct insn *insn, enum insn_mode mode, const uint8_t *bytes, size_t size);

#endif
