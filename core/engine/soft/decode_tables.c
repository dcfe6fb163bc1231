/* SPDX-License-Identifier: MIT */
/*
 * The opcode tables. A row names the class of an instruction and lists what is special about it, in
 * short forms close to those of the SDM (vol. 2, appendix A):
 *
 *	INT, SYS, X87, MMX, SSE (flags, attributes...)	an instruction of that class
 *	UD, UDE						no instruction, without and with ModRM
 *	BY_REG, BY_RM, BY_MOD, BY_PREFIX, BY_MODE	rows to select among
 *
 * What this processor does not offer (XSAVES, VMX, SVM, SSE4a, 3DNow!, CET, MPX, TSX, ...) is
 * undefined, or the no-operation its encoding was before.
 */
#include "core/engine/soft/decode_tables.h"

/* Flags. E: ModRM. R, W: its memory is read, written. */
#define E DECODE_MODRM
#define R DECODE_READS
#define W DECODE_WRITES
#define RW (R | W)
#define LOCK DECODE_LOCKABLE
#define MEM DECODE_NO_REGISTER
#define REG DECODE_NO_MEMORY
#define NO64 DECODE_NO_64
#define ONLY64 DECODE_ONLY_64
#define SHORT DECODE_OPCODE_REGISTER
#define END DECODE_ENDS_BLOCK
#define STRING DECODE_STRING

/* Attributes: operand sizes, immediates, the length of memory where it is not the operand size. */
#define B .size = DECODE_SIZE_B
#define Z .size = DECODE_SIZE_Z
#define Y .size = DECODE_SIZE_Y
#define D64 .size = DECODE_SIZE_D64
#define F64 .size = DECODE_SIZE_F64
#define MODE .size = DECODE_SIZE_MODE
#define IB .immediate = DECODE_IMM_U8
#define IS .immediate = DECODE_IMM_S8
#define IW .immediate = DECODE_IMM_U16
#define IZ .immediate = DECODE_IMM_Z
#define IV .immediate = DECODE_IMM_V
#define MOFFS .immediate = DECODE_IMM_OFFSET
#define M(length) .memory = (length)
#define M_FAR M(DECODE_MEMORY_FAR)
#define M_PAIR M(DECODE_MEMORY_PAIR)
#define M_TABLE M(DECODE_MEMORY_TABLE)

/* Instructions. */
#define INSN(class, bits, ...) \
	{ \
		.insn_class = (class), .flags = (bits), ##__VA_ARGS__ \
	}
#define INT(bits, ...) INSN(INSN_CLASS_INTEGER, bits, ##__VA_ARGS__)
#define SYS(bits, ...) INSN(INSN_CLASS_SYSTEM, bits, ##__VA_ARGS__)
#define X87(bits, ...) INSN(INSN_CLASS_X87, bits, ##__VA_ARGS__)
#define MMX(bits, ...) INSN(INSN_CLASS_MMX, E | (bits), Y, ##__VA_ARGS__)
#define SSE(bits, ...) INSN(INSN_CLASS_SSE, E | (bits), Y, ##__VA_ARGS__)
#define UD INSN(INSN_CLASS_UNDEFINED, 0)
#define UDE INSN(INSN_CLASS_UNDEFINED, E)

/*
 * Rows to select among: memory, registers; the eight values of ModRM.reg or ModRM.rm; no mandatory
 * prefix, 66, F3, F2; 16 and 32-bit mode, 64-bit mode.
 */
#define SELECT(by, count, ...) \
	{ \
		.group = (const struct decode_entry[count]){__VA_ARGS__}, .select_shift = (by), \
		.select_mask = (count)-1 \
	}
#define BY_MOD(...) SELECT(DECODE_SELECT_MOD_3, 2, __VA_ARGS__)
#define BY_REG(...) SELECT(DECODE_SELECT_REG, 8, __VA_ARGS__)
#define BY_RM(...) SELECT(DECODE_SELECT_RM, 8, __VA_ARGS__)
#define BY_PREFIX(...) SELECT(DECODE_SELECT_PREFIX, 4, __VA_ARGS__)
#define BY_MODE(...) SELECT(DECODE_SELECT_MODE_64, 2, __VA_ARGS__)

/* Common selections by prefix. */
#define ONLY_NP(np) BY_PREFIX(np, UDE, UDE, UDE)
#define ONLY_66(p66) BY_PREFIX(UDE, p66, UDE, UDE)
#define NP_66(np, p66) BY_PREFIX(np, p66, UDE, UDE)
#define MMX_SSE NP_66(MMX(R, M(8)), SSE(R, M(16)))
#define SSE_66(length) ONLY_66(SSE(R, M(length)))
#define PS_PD NP_66(SSE(R, M(16)), SSE(R, M(16)))
#define PS_PD_SS_SD BY_PREFIX(SSE(R, M(16)), SSE(R, M(16)), SSE(R, M(4)), SSE(R, M(8)))

#define ALU(opcode, access) \
	[(opcode)] = INT(E | (access), B), [(opcode) + 1] = INT(E | (access)), \
	[(opcode) + 2] = INT(E | R, B), [(opcode) + 3] = INT(E | R), \
	[(opcode) + 4] = INT(0, B, IB), [(opcode) + 5] = INT(0, IZ)

/* Add, or, adc, sbb, and, sub, xor, cmp. */
#define GROUP_1(...) \
	BY_REG(INT(E | RW | LOCK, __VA_ARGS__), INT(E | RW | LOCK, __VA_ARGS__), \
			INT(E | RW | LOCK, __VA_ARGS__), INT(E | RW | LOCK, __VA_ARGS__), \
			INT(E | RW | LOCK, __VA_ARGS__), INT(E | RW | LOCK, __VA_ARGS__), \
			INT(E | RW | LOCK, __VA_ARGS__), INT(E | R, __VA_ARGS__))

#define SEGMENT_PUSH SYS(NO64)
#define SEGMENT_POP SYS(NO64 | END)

const struct decode_entry decode_legacy[256] = {
		ALU(0x00, RW | LOCK),
		[0x06] = SEGMENT_PUSH,
		[0x07] = SEGMENT_POP,
		ALU(0x08, RW | LOCK),
		[0x0e] = SEGMENT_PUSH,
		ALU(0x10, RW | LOCK),
		[0x16] = SEGMENT_PUSH,
		[0x17] = SEGMENT_POP,
		ALU(0x18, RW | LOCK),
		[0x1e] = SEGMENT_PUSH,
		[0x1f] = SEGMENT_POP,
		ALU(0x20, RW | LOCK),
		[0x27] = INT(NO64), /* DAA */
		ALU(0x28, RW | LOCK),
		[0x2f] = INT(NO64), /* DAS */
		ALU(0x30, RW | LOCK),
		[0x37] = INT(NO64), /* AAA */
		ALU(0x38, R),
		[0x3f] = INT(NO64), /* AAS */
		[0x40 ... 0x4f] = INT(SHORT), /* INC, DEC */
		[0x50 ... 0x5f] = INT(SHORT, D64), /* PUSH, POP */
		[0x60 ... 0x61] = INT(NO64), /* PUSHA, POPA */
		[0x62] = INT(E | R | MEM | NO64, M_PAIR), /* BOUND */
		[0x63] = BY_MODE(SYS(E | RW, M(2)), /* ARPL */
				INT(E | R, M(4))), /* MOVSXD */
		[0x68] = INT(0, D64, IZ), /* PUSH */
		[0x69] = INT(E | R, IZ), /* IMUL */
		[0x6a] = INT(0, D64, IS), /* PUSH */
		[0x6b] = INT(E | R, IS), /* IMUL */
		[0x6c] = SYS(STRING, B), /* INS */
		[0x6d] = SYS(STRING, Z),
		[0x6e] = SYS(END, B), /* OUTS */
		[0x6f] = SYS(END, Z),
		[0x70 ... 0x7f] = INT(END, F64, IS), /* Jcc */
		[0x80] = GROUP_1(B, IB),
		[0x81] = GROUP_1(IZ),
		[0x82] = BY_MODE(GROUP_1(B, IB), UD),
		[0x83] = GROUP_1(IS),
		[0x84] = INT(E | R, B), /* TEST */
		[0x85] = INT(E | R),
		[0x86] = INT(E | RW | LOCK, B), /* XCHG */
		[0x87] = INT(E | RW | LOCK),
		[0x88] = INT(E | W, B), /* MOV */
		[0x89] = INT(E | W),
		[0x8a] = INT(E | R, B),
		[0x8b] = INT(E | R),
		/* MOV to and from segment registers: there are six, and CS cannot be loaded. */
		[0x8c] = BY_REG(SYS(E | W, M(2)), SYS(E | W, M(2)), SYS(E | W, M(2)),
				SYS(E | W, M(2)), SYS(E | W, M(2)), SYS(E | W, M(2)), UDE, UDE),
		[0x8d] = INT(E | MEM), /* LEA */
		[0x8e] = BY_REG(SYS(E | R | END, M(2)), UDE, SYS(E | R | END, M(2)),
				SYS(E | R | END, M(2)), SYS(E | R | END, M(2)),
				SYS(E | R | END, M(2)), UDE, UDE),
		[0x8f] = BY_REG(INT(E | W, D64), UDE, UDE, UDE, UDE, UDE, UDE, UDE), /* POP */
		[0x90 ... 0x97] = INT(SHORT), /* XCHG with rAX; NOP, PAUSE */
		[0x98 ... 0x99] = INT(0), /* CBW, CWD and their kin */
		[0x9a] = SYS(END | NO64, .immediate = DECODE_IMM_FAR), /* CALL */
		[0x9b] = X87(0), /* FWAIT */
		[0x9c] = SYS(0, D64), /* PUSHF */
		[0x9d] = SYS(END, D64), /* POPF */
		[0x9e ... 0x9f] = INT(0), /* SAHF, LAHF */
		[0xa0] = INT(R, B, MOFFS), /* MOV */
		[0xa1] = INT(R, MOFFS),
		[0xa2] = INT(W, B, MOFFS),
		[0xa3] = INT(W, MOFFS),
		[0xa4] = INT(STRING, B), /* MOVS */
		[0xa5] = INT(STRING),
		[0xa6] = INT(STRING, B), /* CMPS */
		[0xa7] = INT(STRING),
		[0xa8] = INT(0, B, IB), /* TEST */
		[0xa9] = INT(0, IZ),
		[0xaa] = INT(STRING, B), /* STOS */
		[0xab] = INT(STRING),
		[0xac] = INT(STRING, B), /* LODS */
		[0xad] = INT(STRING),
		[0xae] = INT(STRING, B), /* SCAS */
		[0xaf] = INT(STRING),
		[0xb0 ... 0xb7] = INT(SHORT, B, IB), /* MOV */
		[0xb8 ... 0xbf] = INT(SHORT, IV),
/* Rotates and shifts. */
#define GROUP_2(...) INT(E | RW, __VA_ARGS__)
		[0xc0] = GROUP_2(B, IB),
		[0xc1] = GROUP_2(IB),
		[0xc2] = INT(END, F64, IW), /* RET */
		[0xc3] = INT(END, F64),
		[0xc4 ... 0xc5] = SYS(E | R | MEM | NO64 | END, M_FAR), /* LES, LDS */
		[0xc6] = BY_REG(INT(E | W, B, IB), UDE, UDE, UDE, UDE, UDE, UDE, UDE), /* MOV */
		[0xc7] = BY_REG(INT(E | W, IZ), UDE, UDE, UDE, UDE, UDE, UDE, UDE),
		[0xc8] = INT(0, D64, .immediate = DECODE_IMM_ENTER),
		[0xc9] = INT(0, D64), /* LEAVE */
		[0xca] = SYS(END, IW), /* RET far */
		[0xcb] = SYS(END),
		[0xcc] = SYS(END), /* INT3 */
		[0xcd] = SYS(END, IB), /* INT */
		[0xce] = SYS(END | NO64), /* INTO */
		[0xcf] = SYS(END), /* IRET */
		[0xd0] = GROUP_2(B),
		[0xd1] = INT(E | RW),
		[0xd2] = GROUP_2(B),
		[0xd3] = INT(E | RW),
		[0xd4 ... 0xd5] = INT(NO64, IB), /* AAM, AAD */
		[0xd6] = INT(NO64), /* SALC */
		[0xd7] = INT(0), /* XLAT */
		[0xd8] = BY_MOD(X87(E | R, M(4)), X87(E)),
		[0xd9] = BY_MOD(BY_REG(X87(E | R, M(4)), UDE, X87(E | W, M(4)), X87(E | W, M(4)),
						X87(E | R, M(DECODE_MEMORY_ENVIRONMENT)),
						X87(E | R, M(2)),
						X87(E | W, M(DECODE_MEMORY_ENVIRONMENT)),
						X87(E | W, M(2))),
				BY_REG(X87(E), X87(E),
						BY_RM(X87(E), UDE, UDE, UDE, UDE, UDE, UDE, UDE),
						X87(E),
						BY_RM(X87(E), X87(E), UDE, UDE, X87(E), X87(E), UDE,
								UDE),
						BY_RM(X87(E), X87(E), X87(E), X87(E), X87(E),
								X87(E), X87(E), UDE),
						X87(E), X87(E))),
		[0xda] = BY_MOD(X87(E | R, M(4)),
				BY_REG(X87(E), X87(E), X87(E), X87(E), UDE,
						BY_RM(UDE, X87(E), UDE, UDE, UDE, UDE, UDE, UDE),
						UDE, UDE)),
		[0xdb] = BY_MOD(BY_REG(X87(E | R, M(4)), X87(E | W, M(4)), X87(E | W, M(4)),
						X87(E | W, M(4)), UDE, X87(E | R, M(10)), UDE,
						X87(E | W, M(10))),
				BY_REG(X87(E), X87(E), X87(E), X87(E),
						BY_RM(X87(E), X87(E), X87(E), X87(E), X87(E), UDE,
								UDE, UDE),
						X87(E), X87(E), UDE)),
		[0xdc] = BY_MOD(X87(E | R, M(8)), X87(E)),
		[0xdd] = BY_MOD(BY_REG(X87(E | R, M(8)), X87(E | W, M(8)), X87(E | W, M(8)),
						X87(E | W, M(8)),
						X87(E | R, M(DECODE_MEMORY_X87_STATE)), UDE,
						X87(E | W, M(DECODE_MEMORY_X87_STATE)),
						X87(E | W, M(2))),
				BY_REG(X87(E), X87(E), X87(E), X87(E), X87(E), X87(E), UDE, UDE)),
		[0xde] = BY_MOD(X87(E | R, M(2)),
				BY_REG(X87(E), X87(E), X87(E),
						BY_RM(UDE, X87(E), UDE, UDE, UDE, UDE, UDE, UDE),
						X87(E), X87(E), X87(E), X87(E))),
		[0xdf] = BY_MOD(BY_REG(X87(E | R, M(2)), X87(E | W, M(2)), X87(E | W, M(2)),
						X87(E | W, M(2)), X87(E | R, M(10)),
						X87(E | R, M(8)), X87(E | W, M(10)),
						X87(E | W, M(8))),
				BY_REG(X87(E), X87(E), X87(E), X87(E),
						BY_RM(X87(E), UDE, UDE, UDE, UDE, UDE, UDE, UDE),
						X87(E), X87(E), UDE)),
		[0xe0 ... 0xe3] = INT(END, F64, IS), /* LOOP, JCXZ */
		[0xe4] = SYS(0, B, IB), /* IN */
		[0xe5] = SYS(0, Z, IB),
		[0xe6] = SYS(END, B, IB), /* OUT */
		[0xe7] = SYS(END, Z, IB),
		[0xe8] = INT(END, F64, IZ), /* CALL */
		[0xe9] = INT(END, F64, IZ), /* JMP */
		[0xea] = SYS(END | NO64, .immediate = DECODE_IMM_FAR),
		[0xeb] = INT(END, F64, IS),
		[0xec] = SYS(0, B), /* IN */
		[0xed] = SYS(0, Z),
		[0xee] = SYS(END, B), /* OUT */
		[0xef] = SYS(END, Z),
		[0xf1] = SYS(END), /* INT1 */
		[0xf4] = SYS(END), /* HLT */
		[0xf5] = INT(0), /* CMC */
/* TEST twice, NOT, NEG, MUL, IMUL, DIV, IDIV. */
#define GROUP_3(immediate, ...) \
	BY_REG(INT(E | R, immediate, ##__VA_ARGS__), INT(E | R, immediate, ##__VA_ARGS__), \
			INT(E | RW | LOCK, ##__VA_ARGS__), INT(E | RW | LOCK, ##__VA_ARGS__), \
			INT(E | R, ##__VA_ARGS__), INT(E | R, ##__VA_ARGS__), \
			INT(E | R, ##__VA_ARGS__), INT(E | R, ##__VA_ARGS__))
		[0xf6] = GROUP_3(IB, B),
		[0xf7] = GROUP_3(IZ),
		[0xf8 ... 0xf9] = INT(0), /* CLC, STC */
		[0xfa] = SYS(0), /* CLI */
		[0xfb] = SYS(END), /* STI */
		[0xfc ... 0xfd] = INT(0), /* CLD, STD */
		[0xfe] = BY_REG(INT(E | RW | LOCK, B), INT(E | RW | LOCK, B), UDE, UDE, UDE, UDE,
				UDE, UDE),
		/* INC, DEC, CALL, CALL far, JMP, JMP far, PUSH */
		[0xff] = BY_REG(INT(E | RW | LOCK), INT(E | RW | LOCK), INT(E | R | END, F64),
				SYS(E | R | MEM | END, M_FAR), INT(E | R | END, F64),
				SYS(E | R | MEM | END, M_FAR), INT(E | R, D64), UDE),
};

/* SLDT, STR, LLDT, LTR, VERR, VERW. */
#define GROUP_6 \
	BY_REG(SYS(E | W, M(2)), SYS(E | W, M(2)), SYS(E | R, M(2)), SYS(E | R, M(2)), \
			SYS(E | R, M(2)), SYS(E | R, M(2)), UDE, UDE)

/* SGDT, SIDT, LGDT, LIDT, SMSW, LMSW, INVLPG; VMCALL; CLAC, STAC; XGETBV, XSETBV; VMMCALL; SWAPGS, RDTSCP. */
#define GROUP_7 \
	BY_MOD(BY_REG(SYS(E | W, F64, M_TABLE), SYS(E | W, F64, M_TABLE), \
			       SYS(E | R, F64, M_TABLE), SYS(E | R, F64, M_TABLE), \
			       SYS(E | W, M(2)), UDE, SYS(E | R | END, M(2)), SYS(E | END, B)), \
			BY_REG(BY_RM(UDE, ONLY_NP(SYS(E | END)), UDE, UDE, UDE, UDE, UDE, UDE), \
					BY_RM(UDE, UDE, ONLY_NP(SYS(E)), ONLY_NP(SYS(E)), UDE, \
							UDE, UDE, UDE), \
					BY_RM(ONLY_NP(SYS(E)), ONLY_NP(SYS(E | END)), UDE, UDE, \
							UDE, UDE, UDE, UDE), \
					BY_RM(UDE, SYS(E | END), UDE, UDE, UDE, UDE, UDE, UDE), \
					SYS(E), UDE, SYS(E | END), \
					BY_RM(SYS(E | ONLY64), SYS(E), UDE, UDE, UDE, UDE, UDE, \
							UDE)))

/* CMPXCHG8B and CMPXCHG16B, XSAVEC; RDRAND, RDSEED, RDPID. */
#define GROUP_9 \
	BY_MOD(BY_REG(UDE, INT(E | RW | LOCK, Y, M_PAIR), UDE, UDE, ONLY_NP(SSE(W)), UDE, UDE, \
			       UDE), \
			BY_REG(UDE, UDE, UDE, UDE, UDE, UDE, NP_66(INT(E), INT(E)), \
					BY_PREFIX(INT(E), INT(E), SYS(E, MODE), UDE)))

/* PSRL, PSRA, PSLL by an immediate; shifts of whole registers. */
#define SHIFT NP_66(MMX(REG, IB), SSE(REG, IB))
#define SHIFT_66 ONLY_66(SSE(REG, IB))
#define GROUP_12 BY_REG(UDE, UDE, SHIFT, UDE, SHIFT, UDE, SHIFT, UDE)
#define GROUP_14 BY_REG(UDE, UDE, SHIFT, SHIFT_66, UDE, UDE, SHIFT, SHIFT_66)

/* FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, XSAVE, XRSTOR, XSAVEOPT, CLWB, CLFLUSH, CLFLUSHOPT; RDFSBASE and kin, fences, PCOMMIT. */
#define PCOMMIT BY_RM(SYS(E), UDE, UDE, UDE, UDE, UDE, UDE, UDE)
#define FSGSBASE BY_PREFIX(UDE, UDE, SYS(E | ONLY64, Y), UDE)
#define GROUP_15 \
	BY_MOD(BY_REG(ONLY_NP(SSE(W)), ONLY_NP(SSE(R)), ONLY_NP(SSE(R, M(4))), \
			       ONLY_NP(SSE(W, M(4))), ONLY_NP(SSE(RW)), ONLY_NP(SSE(R)), \
			       NP_66(SSE(RW), SYS(E, Y)), NP_66(SYS(E, Y), SYS(E, Y))), \
			BY_REG(FSGSBASE, FSGSBASE, FSGSBASE, FSGSBASE, UDE, ONLY_NP(SYS(E)), \
					ONLY_NP(SYS(E)), NP_66(SYS(E), PCOMMIT)))

#define HINT_NOP INT(E)
#define MOV_CR(bits) SYS(E | DECODE_IGNORE_MOD | DECODE_CONTROL_REGISTER | (bits), MODE)
#define MOV_DR(bits) SYS(E | DECODE_IGNORE_MOD | DECODE_DEBUG_REGISTER | (bits), MODE)

const struct decode_entry decode_0f[256] = {
		[0x00] = GROUP_6,
		[0x01] = GROUP_7,
		[0x02 ... 0x03] = SYS(E | R, M(2)), /* LAR, LSL */
		[0x05] = SYS(END | ONLY64, F64), /* SYSCALL */
		[0x06] = SYS(END), /* CLTS */
		[0x07] = SYS(END | ONLY64), /* SYSRET */
		[0x08 ... 0x09] = SYS(0), /* INVD, WBINVD */
		[0x0d] = HINT_NOP, /* PREFETCHW */
		[0x10] = PS_PD_SS_SD, /* MOVUPS, MOVSS */
		[0x11] = BY_PREFIX(SSE(W, M(16)), SSE(W, M(16)), SSE(W, M(4)), SSE(W, M(8))),
		/* MOVLPS, MOVHLPS, MOVLPD, MOVSLDUP, MOVDDUP */
		[0x12] = BY_PREFIX(SSE(R, M(8)), SSE(R | MEM, M(8)), SSE(R, M(16)), SSE(R, M(8))),
		[0x13] = NP_66(SSE(W | MEM, M(8)), SSE(W | MEM, M(8))),
		[0x14 ... 0x15] = PS_PD, /* UNPCKLPS, UNPCKHPS */
		/* MOVHPS, MOVLHPS, MOVHPD, MOVSHDUP */
		[0x16] = BY_PREFIX(SSE(R, M(8)), SSE(R | MEM, M(8)), SSE(R, M(16)), UDE),
		[0x17] = NP_66(SSE(W | MEM, M(8)), SSE(W | MEM, M(8))),
		[0x18 ... 0x1f] = HINT_NOP, /* PREFETCHh, ENDBR64, NOP */
		[0x20] = MOV_CR(0),
		[0x21] = MOV_DR(0),
		[0x22] = MOV_CR(END),
		[0x23] = MOV_DR(END),
		[0x28] = PS_PD, /* MOVAPS */
		[0x29] = NP_66(SSE(W, M(16)), SSE(W, M(16))),
		/* CVTPI2PS, CVTSI2SS */
		[0x2a] = BY_PREFIX(MMX(R, M(8)), MMX(R, M(8)), SSE(R), SSE(R)),
		[0x2b] = NP_66(SSE(W | MEM, M(16)), SSE(W | MEM, M(16))), /* MOVNTPS */
		/* CVTTPS2PI, CVTTSS2SI and without truncation */
		[0x2c ... 0x2d] = BY_PREFIX(
				MMX(R, M(8)), MMX(R, M(16)), SSE(R, M(4)), SSE(R, M(8))),
		[0x2e ... 0x2f] = NP_66(SSE(R, M(4)), SSE(R, M(8))), /* UCOMISS, COMISS */
		[0x30] = SYS(END), /* WRMSR */
		[0x31 ... 0x33] = SYS(0), /* RDTSC, RDMSR, RDPMC */
		[0x34 ... 0x35] = SYS(END), /* SYSENTER, SYSEXIT */
		[0x40 ... 0x4f] = INT(E | R), /* CMOVcc */
		[0x50] = NP_66(SSE(REG), SSE(REG)), /* MOVMSKPS */
		[0x51] = PS_PD_SS_SD, /* SQRT */
		[0x52 ... 0x53] = BY_PREFIX(SSE(R, M(16)), UDE, SSE(R, M(4)), UDE), /* RSQRT, RCP */
		[0x54 ... 0x57] = PS_PD, /* AND, ANDN, OR, XOR */
		[0x58 ... 0x59] = PS_PD_SS_SD, /* ADD, MUL */
		[0x5a] = BY_PREFIX(SSE(R, M(8)), SSE(R, M(16)), SSE(R, M(4)),
				SSE(R, M(8))), /* CVTPS2PD */
		[0x5b] = BY_PREFIX(SSE(R, M(16)), SSE(R, M(16)), SSE(R, M(16)), UDE), /* CVTDQ2PS */
		[0x5c ... 0x5f] = PS_PD_SS_SD, /* SUB, MIN, DIV, MAX */
		[0x60 ... 0x62] = NP_66(MMX(R, M(4)), SSE(R, M(16))), /* PUNPCKL */
		[0x63 ... 0x6b] = MMX_SSE, /* PACK, PCMPGT, PUNPCKH */
		[0x6c ... 0x6d] = SSE_66(16), /* PUNPCKLQDQ, PUNPCKHQDQ */
		[0x6e] = NP_66(MMX(R), SSE(R)), /* MOVD */
		[0x6f] = BY_PREFIX(
				MMX(R, M(8)), SSE(R, M(16)), SSE(R, M(16)), UDE), /* MOVQ, MOVDQA */
		/* PSHUFW, PSHUFD, PSHUFHW, PSHUFLW */
		[0x70] = BY_PREFIX(MMX(R, M(8), IB), SSE(R, M(16), IB), SSE(R, M(16), IB),
				SSE(R, M(16), IB)),
		[0x71 ... 0x72] = GROUP_12,
		[0x73] = GROUP_14,
		[0x74 ... 0x76] = MMX_SSE, /* PCMPEQ */
		[0x77] = BY_PREFIX(INSN(INSN_CLASS_MMX, 0), UD, UD, UD), /* EMMS */
		[0x7c ... 0x7d] = BY_PREFIX(
				UDE, SSE(R, M(16)), UDE, SSE(R, M(16))), /* HADD, HSUB */
		[0x7e] = BY_PREFIX(MMX(W), SSE(W), SSE(R, M(8)), UDE), /* MOVD, MOVQ */
		[0x7f] = BY_PREFIX(
				MMX(W, M(8)), SSE(W, M(16)), SSE(W, M(16)), UDE), /* MOVQ, MOVDQA */
		[0x80 ... 0x8f] = INT(END, F64, IZ), /* Jcc */
		[0x90 ... 0x9f] = INT(E | W, B), /* SETcc */
		[0xa0] = SYS(0, D64), /* PUSH FS */
		[0xa1] = SYS(END, D64),
		[0xa2] = SYS(0), /* CPUID */
		[0xa3] = INT(E | R), /* BT */
		[0xa4] = INT(E | RW, IB), /* SHLD */
		[0xa5] = INT(E | RW),
		[0xa8] = SYS(0, D64), /* PUSH GS */
		[0xa9] = SYS(END, D64),
		[0xab] = INT(E | RW | LOCK), /* BTS */
		[0xac] = INT(E | RW, IB), /* SHRD */
		[0xad] = INT(E | RW),
		[0xae] = GROUP_15,
		[0xaf] = INT(E | R), /* IMUL */
		[0xb0] = INT(E | RW | LOCK, B), /* CMPXCHG */
		[0xb1] = INT(E | RW | LOCK),
		[0xb2] = SYS(E | R | MEM | END, M_FAR), /* LSS */
		[0xb3] = INT(E | RW | LOCK), /* BTR */
		[0xb4 ... 0xb5] = SYS(E | R | MEM | END, M_FAR), /* LFS, LGS */
		[0xb6] = INT(E | R, M(1)), /* MOVZX */
		[0xb7] = INT(E | R, M(2)),
		[0xb8] = BY_PREFIX(UD, UD, INT(E | R), UD), /* POPCNT */
		[0xb9] = UDE, /* UD1 */
		[0xba] = BY_REG(UDE, UDE, UDE, UDE, INT(E | R, IB), INT(E | RW | LOCK, IB),
				INT(E | RW | LOCK, IB),
				INT(E | RW | LOCK, IB)), /* BT, BTS, BTR, BTC */
		[0xbb] = INT(E | RW | LOCK), /* BTC */
		[0xbc ... 0xbd] = INT(E | R), /* BSF, TZCNT; BSR, LZCNT */
		[0xbe] = INT(E | R, M(1)), /* MOVSX */
		[0xbf] = INT(E | R, M(2)),
		[0xc0] = INT(E | RW | LOCK, B), /* XADD */
		[0xc1] = INT(E | RW | LOCK),
		/* CMPPS */
		[0xc2] = BY_PREFIX(SSE(R, M(16), IB), SSE(R, M(16), IB), SSE(R, M(4), IB),
				SSE(R, M(8), IB)),
		[0xc3] = ONLY_NP(INT(E | W | MEM, Y)), /* MOVNTI */
		[0xc4] = NP_66(MMX(R, M(2), IB), SSE(R, M(2), IB)), /* PINSRW */
		[0xc5] = NP_66(MMX(REG, IB), SSE(REG, IB)), /* PEXTRW */
		[0xc6] = NP_66(SSE(R, M(16), IB), SSE(R, M(16), IB)), /* SHUFPS */
		[0xc7] = GROUP_9,
		[0xc8 ... 0xcf] = INT(SHORT), /* BSWAP */
		[0xd0] = BY_PREFIX(UDE, SSE(R, M(16)), UDE, SSE(R, M(16))), /* ADDSUB */
		[0xd1 ... 0xd5] = MMX_SSE,
		[0xd6] = BY_PREFIX(
				UDE, SSE(W, M(8)), MMX(REG), MMX(REG)), /* MOVQ, MOVQ2DQ, MOVDQ2Q */
		[0xd7] = NP_66(MMX(REG), SSE(REG)), /* PMOVMSKB */
		[0xd8 ... 0xe5] = MMX_SSE,
		/* CVTTPD2DQ, CVTDQ2PD, CVTPD2DQ */
		[0xe6] = BY_PREFIX(UDE, SSE(R, M(16)), SSE(R, M(8)), SSE(R, M(16))),
		[0xe7] = NP_66(MMX(W | MEM, M(8)), SSE(W | MEM, M(16))), /* MOVNTQ, MOVNTDQ */
		[0xe8 ... 0xef] = MMX_SSE,
		[0xf0] = BY_PREFIX(UDE, UDE, UDE, SSE(R | MEM, M(16))), /* LDDQU */
		[0xf1 ... 0xf6] = MMX_SSE,
		[0xf7] = NP_66(MMX(REG), SSE(REG)), /* MASKMOVQ, MASKMOVDQU */
		[0xf8 ... 0xfe] = MMX_SSE,
		[0xff] = UDE, /* UD0 */
};

const struct decode_entry decode_0f38[256] = {
		[0x00 ... 0x0b] = MMX_SSE, /* PSHUFB, PHADD, PMADDUBSW, PHSUB, PSIGN, PMULHRSW */
		[0x10] = SSE_66(16), /* PBLENDVB */
		[0x14 ... 0x15] = SSE_66(16), /* BLENDVPS, BLENDVPD */
		[0x17] = SSE_66(16), /* PTEST */
		[0x1c ... 0x1e] = MMX_SSE, /* PABS */
		/* PMOVSX */
		[0x20] = SSE_66(8),
		[0x21] = SSE_66(4),
		[0x22] = SSE_66(2),
		[0x23] = SSE_66(8),
		[0x24] = SSE_66(4),
		[0x25] = SSE_66(8),
		[0x28 ... 0x29] = SSE_66(16), /* PMULDQ, PCMPEQQ */
		[0x2a] = ONLY_66(SSE(R | MEM, M(16))), /* MOVNTDQA */
		[0x2b] = SSE_66(16), /* PACKUSDW */
		/* PMOVZX */
		[0x30] = SSE_66(8),
		[0x31] = SSE_66(4),
		[0x32] = SSE_66(2),
		[0x33] = SSE_66(8),
		[0x34] = SSE_66(4),
		[0x35] = SSE_66(8),
		[0x37 ... 0x41] = SSE_66(16), /* PCMPGTQ, PMIN, PMAX, PMULLD, PHMINPOSUW */
		[0x82] = ONLY_66(SYS(E | R | MEM | END, MODE, M(16))), /* INVPCID */
		[0xc8 ... 0xcd] = ONLY_NP(SSE(R, M(16))), /* SHA */
		[0xdb ... 0xdf] = SSE_66(16), /* AES */
		/* MOVBE, CRC32 */
		[0xf0] = BY_PREFIX(INT(E | R | MEM), INT(E | R | MEM), UDE, INT(E | R, Y, M(1))),
		[0xf1] = BY_PREFIX(INT(E | W | MEM), INT(E | W | MEM), UDE, INT(E | R)),
		[0xf6] = BY_PREFIX(UDE, INT(E | R, Y), INT(E | R, Y), UDE), /* ADCX, ADOX */
};

#define SSE_66_IB(length) ONLY_66(SSE(R, M(length), IB))

const struct decode_entry decode_0f3a[256] = {
		[0x08 ... 0x09] = SSE_66_IB(16), /* ROUNDPS, ROUNDPD */
		[0x0a] = SSE_66_IB(4),
		[0x0b] = SSE_66_IB(8),
		[0x0c ... 0x0e] = SSE_66_IB(16), /* BLENDPS, BLENDPD, PBLENDW */
		[0x0f] = NP_66(MMX(R, M(8), IB), SSE(R, M(16), IB)), /* PALIGNR */
		[0x14] = ONLY_66(SSE(W, M(1), IB)), /* PEXTRB */
		[0x15] = ONLY_66(SSE(W, M(2), IB)), /* PEXTRW */
		[0x16] = ONLY_66(SSE(W, IB)), /* PEXTRD */
		[0x17] = ONLY_66(SSE(W, M(4), IB)), /* EXTRACTPS */
		[0x20] = SSE_66_IB(1), /* PINSRB */
		[0x21] = SSE_66_IB(4), /* INSERTPS */
		[0x22] = ONLY_66(SSE(R, IB)), /* PINSRD */
		[0x40 ... 0x42] = SSE_66_IB(16), /* DPPS, DPPD, MPSADBW */
		[0x44] = SSE_66_IB(16), /* PCLMULQDQ */
		[0x60 ... 0x63] = SSE_66_IB(16), /* PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI */
		[0xcc] = ONLY_NP(SSE(R, M(16), IB)), /* SHA1RNDS4 */
		[0xdf] = SSE_66_IB(16), /* AESKEYGENASSIST */
};

#define BMI INT(E | R, Y)
#define BMI_NO_VEX_REGISTER(...) INT(E | R | DECODE_NO_VEX_REGISTER, Y, ##__VA_ARGS__)

const struct decode_entry decode_vex_0f38[16] = {
		[0x2] = ONLY_NP(BMI), /* ANDN */
		[0x3] = BY_REG(UDE, ONLY_NP(BMI), ONLY_NP(BMI), ONLY_NP(BMI), UDE, UDE, UDE,
				UDE), /* BLS */
		[0x5] = BY_PREFIX(BMI, UDE, BMI, BMI), /* BZHI, PEXT, PDEP */
		[0x6] = BY_PREFIX(UDE, UDE, UDE, BMI), /* MULX */
		[0x7] = BY_PREFIX(BMI, BMI, BMI, BMI), /* BEXTR, SHLX, SARX, SHRX */
};

const struct decode_entry decode_vex_0f3a[16] = {
		[0x0] = BY_PREFIX(UDE, UDE, UDE, BMI_NO_VEX_REGISTER(IB)), /* RORX */
};
