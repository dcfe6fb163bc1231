/* SPDX-License-Identifier: MIT */
/*
 * The architectural state of an x86-64 processor and the bits of its registers: what every engine,
 * the boot code, the debugger and save/restore agree on. Names are those of the Intel SDM.
 */
#ifndef CORE_ENGINE_X86_H
#define CORE_ENGINE_X86_H

#include "core/base/base.h"

enum x86_reg {
	X86_RAX,
	X86_RCX,
	X86_RDX,
	X86_RBX,
	X86_RSP,
	X86_RBP,
	X86_RSI,
	X86_RDI,
	X86_R8,
	X86_R9,
	X86_R10,
	X86_R11,
	X86_R12,
	X86_R13,
	X86_R14,
	X86_R15,
	X86_REG_COUNT,
};

enum x86_segment_reg {
	X86_ES,
	X86_CS,
	X86_SS,
	X86_DS,
	X86_FS,
	X86_GS,
	X86_SEGMENT_COUNT,
};

#define X86_FLAG_CF BIT(0)
#define X86_FLAG_FIXED BIT(1) /* always one */
#define X86_FLAG_PF BIT(2)
#define X86_FLAG_AF BIT(4)
#define X86_FLAG_ZF BIT(6)
#define X86_FLAG_SF BIT(7)
#define X86_FLAG_TF BIT(8)
#define X86_FLAG_IF BIT(9)
#define X86_FLAG_DF BIT(10)
#define X86_FLAG_OF BIT(11)
#define X86_FLAG_IOPL (BIT(12) | BIT(13))
#define X86_FLAG_IOPL_SHIFT 12
#define X86_FLAG_NT BIT(14)
#define X86_FLAG_RF BIT(16)
#define X86_FLAG_VM BIT(17)
#define X86_FLAG_AC BIT(18)
#define X86_FLAG_VIF BIT(19)
#define X86_FLAG_VIP BIT(20)
#define X86_FLAG_ID BIT(21)
#define X86_FLAGS_ARITH \
	(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF)

#define X86_CR0_PE BIT(0)
#define X86_CR0_MP BIT(1)
#define X86_CR0_EM BIT(2)
#define X86_CR0_TS BIT(3)
#define X86_CR0_ET BIT(4)
#define X86_CR0_NE BIT(5)
#define X86_CR0_WP BIT(16)
#define X86_CR0_AM BIT(18)
#define X86_CR0_NW BIT(29)
#define X86_CR0_CD BIT(30)
#define X86_CR0_PG BIT(31)

#define X86_CR3_PCID UINT64_C(0xfff) /* with CR4.PCIDE */
#define X86_CR3_KEEP BIT(63) /* the same: of the value that is loaded, not of CR3 */

#define X86_CR4_VME BIT(0)
#define X86_CR4_PVI BIT(1)
#define X86_CR4_TSD BIT(2)
#define X86_CR4_DE BIT(3)
#define X86_CR4_PSE BIT(4)
#define X86_CR4_PAE BIT(5)
#define X86_CR4_MCE BIT(6)
#define X86_CR4_PGE BIT(7)
#define X86_CR4_PCE BIT(8)
#define X86_CR4_OSFXSR BIT(9)
#define X86_CR4_OSXMMEXCPT BIT(10)
#define X86_CR4_UMIP BIT(11)
#define X86_CR4_LA57 BIT(12)
#define X86_CR4_FSGSBASE BIT(16)
#define X86_CR4_PCIDE BIT(17)
#define X86_CR4_OSXSAVE BIT(18)
#define X86_CR4_SMEP BIT(20)
#define X86_CR4_SMAP BIT(21)

#define X86_EFER_SCE BIT(0)
#define X86_EFER_LME BIT(8)
#define X86_EFER_LMA BIT(10)
#define X86_EFER_NXE BIT(11)

/* XCR0 */
#define X86_XCR0_X87 BIT(0)
#define X86_XCR0_SSE BIT(1)
#define X86_XCR0_AVX BIT(2)

enum x86_vector {
	X86_VECTOR_DE = 0,
	X86_VECTOR_DB = 1,
	X86_VECTOR_NMI = 2,
	X86_VECTOR_BP = 3,
	X86_VECTOR_OF = 4,
	X86_VECTOR_BR = 5,
	X86_VECTOR_UD = 6,
	X86_VECTOR_NM = 7,
	X86_VECTOR_DF = 8,
	X86_VECTOR_TS = 10,
	X86_VECTOR_NP = 11,
	X86_VECTOR_SS = 12,
	X86_VECTOR_GP = 13,
	X86_VECTOR_PF = 14,
	X86_VECTOR_MF = 16,
	X86_VECTOR_AC = 17,
	X86_VECTOR_MC = 18,
	X86_VECTOR_XM = 19,
};

/* Page fault error code (SDM vol. 3, 4.7). */
#define X86_PF_PRESENT BIT(0)
#define X86_PF_WRITE BIT(1)
#define X86_PF_USER BIT(2)
#define X86_PF_RESERVED BIT(3)
#define X86_PF_FETCH BIT(4)

/*
 * Segment attributes as in bits 8-23 of a descriptor's second word, shifted down by 8 (as in VMX
 * access rights).
 */
#define X86_SEG_TYPE_MASK 0xfu
#define X86_SEG_ACCESSED BIT(0)
#define X86_SEG_WRITABLE BIT(1) /* data; readable for code */
#define X86_SEG_EXPAND_DOWN BIT(2) /* data; conforming for code */
#define X86_SEG_CODE BIT(3)
#define X86_SEG_S BIT(4) /* code or data, not system */
#define X86_SEG_DPL_SHIFT 5
#define X86_SEG_P BIT(7)
#define X86_SEG_AVL BIT(12)
#define X86_SEG_L BIT(13)
#define X86_SEG_DB BIT(14)
#define X86_SEG_G BIT(15)
#define X86_SEG_UNUSABLE BIT(16) /* a null selector was loaded */

struct x86_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint32_t attributes; /* X86_SEG_* */
	uint16_t selector;
};

struct x86_table {
	uint64_t base;
	uint16_t limit;
};

/*
 * The register file that debuggers, boot code and save/restore read and write while a vCPU stands
 * still.
 */
struct x86_state {
	uint64_t regs[X86_REG_COUNT];
	uint64_t rip;
	uint64_t rflags;
	struct x86_segment seg[X86_SEGMENT_COUNT];
	struct x86_segment ldtr, tr;
	struct x86_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t efer;
	uint64_t dr[8];
};

#define X86_MSR_TSC 0x10u
#define X86_MSR_APIC_BASE 0x1bu
#define X86_MSR_FEATURE_CONTROL 0x3au
#define X86_MSR_TSC_ADJUST 0x3bu
#define X86_MSR_SPEC_CTRL 0x48u
#define X86_MSR_PRED_CMD 0x49u
#define X86_MSR_BIOS_SIGN_ID 0x8bu
#define X86_MSR_MTRRCAP 0xfeu
#define X86_MSR_ARCH_CAPABILITIES 0x10au
#define X86_MSR_SYSENTER_CS 0x174u
#define X86_MSR_SYSENTER_ESP 0x175u
#define X86_MSR_SYSENTER_EIP 0x176u
#define X86_MSR_MCG_CAP 0x179u
#define X86_MSR_MCG_STATUS 0x17au
#define X86_MSR_MISC_ENABLE 0x1a0u
#define X86_MSR_PAT 0x277u
#define X86_MSR_MTRR_DEF_TYPE 0x2ffu
#define X86_MSR_TSC_DEADLINE 0x6e0u
#define X86_MSR_X2APIC_FIRST 0x800u
#define X86_MSR_X2APIC_LAST 0x8ffu
#define X86_MSR_EFER 0xc0000080u
#define X86_MSR_STAR 0xc0000081u
#define X86_MSR_LSTAR 0xc0000082u
#define X86_MSR_CSTAR 0xc0000083u
#define X86_MSR_SFMASK 0xc0000084u
#define X86_MSR_FS_BASE 0xc0000100u
#define X86_MSR_GS_BASE 0xc0000101u
#define X86_MSR_KERNEL_GS_BASE 0xc0000102u
#define X86_MSR_TSC_AUX 0xc0000103u

#endif
