/* SPDX-License-Identifier: MIT */
/*
 * x86-64 instruction decoder: bytes in, struct insn out. It knows encodings, not meanings: which
 * prefixes and bytes belong to an instruction, what its operands are, and whether the encoding
 * exists at all. Mode- and privilege-dependent faults (#GP, #NM, LOCK on a register, ...) that
 * follow from the encoding alone are decided here; those that depend on processor state are the
 * executor's.
 *
 * Covers the legacy map, 0F, 0F38 and 0F3A with every instruction of x86-64-v1, MMX to SSE4.2, AES,
 * PCLMULQDQ, SHA, BMI (VEX GPR forms), ADX, AVX, AVX2, FMA, F16C, XSAVE and the system
 * instructions; EVEX instructions decode as undefined. SDM vol. 2, chapters 2-5 and appendix A.
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
	INSN_PREFIX_REX_W = 1 << 6, /* also VEX.W */
	INSN_PREFIX_VEX = 1 << 7,
	INSN_PREFIX_SEGMENT = 1 << 8,
	INSN_PREFIX_VEX_L = 1 << 9, /* vectors of 256 bits */
};

/*
 * How an instruction belongs to the executor; the fine distinction is map + opcode (+ modrm.reg for
 * groups).
 */
enum insn_class {
	INSN_CLASS_UNDEFINED, /* raises #UD */
	/*
	 * General registers, memory, near control flow, strings; also BOUND, CMPXCHG8B/16B, MOVNTI,
	 * MOVBE, CRC32, RDRAND, RDSEED, BMI, ADX, PAUSE, prefetches and the other hints that do
	 * nothing.
	 */
	INSN_CLASS_INTEGER,
	/*
	 * Privileged and descriptor instructions; whatever loads, stores, pushes or pops a segment
	 * register; PUSHF, POPF, CLI, STI; I/O; INT n, INT3, INT1, INTO, IRET; far transfers,
	 * SYSCALL and its kin; fences, CLFLUSH, CLFLUSHOPT, CLWB; CPUID, RDTSC(P), RDPMC, RDPID,
	 * FSGSBASE, CLAC, STAC, INVPCID.
	 */
	INSN_CLASS_SYSTEM,
	INSN_CLASS_X87, /* D8-DF, WAIT */
	INSN_CLASS_MMX, /* touches an MMX register, even with an XMM register beside it; EMMS */
	/* touches XMM registers only; LDMXCSR, STMXCSR, FXSAVE, FXRSTOR, XSAVE and kin */
	INSN_CLASS_SSE,
	INSN_CLASS_AVX, /* vectors with a VEX prefix: avx.h */
};

#define INSN_REG_NONE 0xff

struct cpu;
struct insn;

/* Executes one instruction; filled in by the interpreter, unused by the decoder. */
typedef void insn_exec_fn(struct cpu *cpu, const struct insn *insn);

/*
 * One decoded instruction. 48 bytes, so that a block of them stays in few cache lines. Operands:
 * reg is modrm.reg (REX.R applied); rm is the register of a register form (REX.B applied); a memory
 * form has base, index, scale, disp, segment. Short forms with the register in the opcode (push,
 * pop, xchg, mov imm, bswap) put it in rm, REX.B applied, with is_memory false. Where modrm.reg is
 * part of the opcode or names a segment or MMX register, REX.R means nothing: look at modrm
 * instead. What the opcode implies (strings, XLAT, MASKMOVQ) does not count as a memory operand,
 * but segment is that of its DS:rSI, DS:rBX or DS:rDI after overrides.
 */
struct insn {
	insn_exec_fn *exec;
	void *native; /* the executor's: a thunk that runs this instruction on the host, or NULL */
	/*
	 * sign-extended to 64 bits, but zero-extended for MOV to a register and byte operations;
	 * branch displacement; moffs address
	 */
	uint64_t imm;
	/* of the memory operand, sign-extended to 32 bits; 16-bit forms wrap at use */
	int32_t disp;
	uint16_t prefixes; /* enum insn_prefix */
	uint8_t length; /* bytes, 1..15 */
	uint8_t map; /* enum insn_map */
	uint8_t opcode; /* the last opcode byte */
	uint8_t modrm; /* raw byte, 0 if the instruction has none */
	uint8_t insn_class; /* enum insn_class */
	/*
	 * bytes: 1, 2, 4, 8; what the integer executor uses (defaults, 66, REX.W, d64/f64 applied)
	 */
	uint8_t operand_size;
	uint8_t address_size; /* bytes: 2, 4, 8 */
	/* enum x86_segment_reg of the memory operand after overrides and rbp/rsp defaults */
	uint8_t segment;
	uint8_t reg; /* 0..15 */
	uint8_t rm; /* 0..15; register forms only */
	uint8_t base; /* 0..15, INSN_REG_NONE, or INSN_BASE_RIP */
	uint8_t index; /* 0..15 or INSN_REG_NONE; of a gather: a vector register */
	uint8_t scale; /* 0..3: index << scale */
	/* modrm names memory (or moffs, then base and index are NONE and imm is the address) */
	uint8_t is_memory;
	uint8_t vex_reg; /* VEX.vvvv */
	/*
	 * bytes the memory operand spans (1..108) where that is not operand_size, else 0; also 0
	 * for FXSAVE and FXRSTOR
	 */
	uint8_t memory_size;
	/*
	 * second immediate: ENTER's nesting level, far pointer's selector is in imm bits 32-47
	 * instead
	 */
	uint8_t imm2;
	uint8_t flags; /* enum insn_flag */
};

#define INSN_BASE_RIP 0xfe

_Static_assert(sizeof(struct insn) == 48, "three quarters of a cache line");

enum insn_flag {
	/*
	 * Anything after which the next address or the mode is not simply the next byte, or after
	 * which interrupts are to be looked at: branches, far transfers, HLT, writes to CRs, DRs
	 * and MSRs, segment loads, POPF, STI, OUT, INVLPG, and repeated string instructions, which
	 * may stop half-way.
	 */
	INSN_FLAG_ENDS_BLOCK = 1 << 0,
	/* the modrm memory operand is written, read; both for read-modify-write */
	INSN_FLAG_WRITES_MEMORY = 1 << 1,
	INSN_FLAG_READS_MEMORY = 1 << 2,
	/* operand_size is 1 and 8-bit register naming applies to reg/rm */
	INSN_FLAG_BYTE_OP = 1 << 3,
};

enum decode_result {
	DECODE_OK,
	/* no such instruction, a LOCK that is not allowed: raise #UD. length is what was read */
	DECODE_UNDEFINED,
	DECODE_TOO_LONG, /* more than 15 bytes: raise #GP(0) */
	DECODE_NEED_BYTES, /* the instruction does not end inside the given bytes */
};

/*
 * Decodes the instruction at bytes, of which at most size are valid. Writes insn (exec and native
 * NULL) on DECODE_OK and DECODE_UNDEFINED. Pure function; any thread.
 */
enum decode_result insn_decode(
		struct insn *insn, enum insn_mode mode, const uint8_t *bytes, size_t size);

#endif
