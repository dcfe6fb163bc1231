/* SPDX-License-Identifier: MIT */
/*
 * The software CPU's processor state, and how instruction code raises exceptions. One struct cpu a
 * vCPU; everything in it belongs to the vCPU's thread unless a comment says otherwise.
 *
 * Control flow: instruction code that faults calls cpu_raise*(), which does not return: it unwinds
 * to the run loop, where the exception is delivered. So an instruction checks and reads everything
 * that can fault before it changes anything the guest can see. cpu->rip is the address of the
 * instruction being executed until it completes.
 */
#ifndef CORE_ENGINE_SOFT_CPU_H
#define CORE_ENGINE_SOFT_CPU_H

#include "core/engine/soft/decode.h"
#include "core/engine/x86.h"

#include <setjmp.h>

struct apic;
struct block_cache;
struct cpuid_table;
struct guest_memory;
struct soft_engine;

/*
 * The FXSAVE image (SDM vol. 1, 10.5.1): the home of x87, MMX, XMM and MXCSR while no native thunk
 * runs.
 */
struct cpu_fx {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0; /* abridged tag word */
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16]; /* in stack order; 10 bytes used of each */
	uint8_t xmm[16][16];
	uint8_t reserved1[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct cpu_fx) == 512, "FXSAVE image");

/*
 * The software TLB. Which set is in use follows from privilege: supervisor accesses may not touch
 * user pages under SMAP unless EFLAGS.AC is set, so they have two sets.
 */
enum tlb_set {
	TLB_SUPERVISOR,
	TLB_SUPERVISOR_AC, /* supervisor with EFLAGS.AC = 1, or without SMAP */
	TLB_USER,
	TLB_SET_COUNT,
};

#define TLB_BITS 10
#define TLB_ENTRIES (1u << TLB_BITS)
#define TLB_INVALID UINT64_MAX

/*
 * tag is the linear page address (bits 0-11 zero) or TLB_INVALID; host = linear + addend. An entry
 * is present only where the access may go straight to RAM: a write entry exists only when the page
 * is writable RAM, its dirty bit is set in the page tables, and no decoded code comes from it.
 */
struct tlb_entry {
	uint64_t tag;
	uint64_t addend;
};

struct tlb {
	struct tlb_entry read[TLB_ENTRIES];
	struct tlb_entry write[TLB_ENTRIES];
};

/* Why the run loop must look up; set by any thread with cpu_request(), taken by the vCPU. */
enum cpu_request {
	CPU_REQUEST_INTERRUPT =
			1 << 0, /* the local APIC or the 8259 may have something to deliver */
	CPU_REQUEST_NMI = 1 << 1,
	CPU_REQUEST_INIT = 1 << 2,
	CPU_REQUEST_SIPI = 1 << 3,
	CPU_REQUEST_EXIT = 1 << 4, /* return from the run loop: pause, debugger, shutdown */
	CPU_REQUEST_TLB_FLUSH = 1 << 5,
	CPU_REQUEST_RESET = 1 << 6,
};

enum cpu_activity {
	CPU_ACTIVE,
	CPU_HALTED, /* HLT: woken by interrupt, NMI, INIT */
	CPU_WAIT_FOR_SIPI,
	CPU_SHUTDOWN, /* triple fault */
};

struct cpu {
	/* Hot: what every instruction touches. */
	uint64_t regs[X86_REG_COUNT];
	uint64_t rip; /* of the current instruction, offset within CS */
	uint64_t next_rip; /* written by instructions that end a block; where execution goes on */
	/* complete, arithmetic flags computed eagerly; bit 1 set, bits 3, 5, 15 clear */
	uint64_t rflags;
	uint64_t seg_base
			/* effective bases: in 64-bit mode 0 but for FS and GS */
			[X86_SEGMENT_COUNT];
	struct tlb *tlb; /* &tlbs[current set] */
	uint32_t request; /* enum cpu_request; atomic, any thread */
	uint8_t mode; /* enum insn_mode: of CS */
	uint8_t stack_size; /* bytes a stack pointer has: 2, 4 or 8 */
	uint8_t cpl;
	uint8_t interrupt_shadow; /* 1 during the instruction after STI, MOV SS, POP SS */
	/* some data segment needs limit or type checks: not flat 32-bit, not 64-bit mode */
	bool segments_checked;
	uint64_t instructions; /* executed so far, this vCPU; statistics and virtual time */

	struct x86_segment seg[X86_SEGMENT_COUNT]; /* hidden parts included */
	struct x86_segment ldtr, tr;
	struct x86_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t efer;
	uint64_t dr[8];
	bool nmi_blocked; /* between NMI and IRET */
	enum cpu_activity activity;

	struct cpu_fx fx;

	struct {
		uint64_t star, lstar, cstar, sfmask;
		uint64_t kernel_gs_base;
		uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
		uint64_t pat, misc_enable, spec_ctrl, tsc_aux;
		uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
		uint64_t mcg_status;
	} msr;
	int64_t tsc_offset; /* guest TSC = host TSC (or virtual time) + this */
	int64_t tsc_adjust;

	/* The fault in flight between cpu_raise*() and the run loop. */
	sigjmp_buf unwind;
	struct {
		uint8_t vector;
		bool has_error;
		uint32_t error;
	} fault;

	unsigned index; /* 0..; also the initial APIC id */
	struct soft_engine *engine;
	struct apic *apic;
	struct block_cache *blocks;
	struct guest_memory *memory;

	struct tlb tlbs[TLB_SET_COUNT];
};

/* Raises an exception at the current instruction; does not return. */
_Noreturn void cpu_raise(struct cpu *cpu, enum x86_vector vector);
_Noreturn void cpu_raise_error(struct cpu *cpu, enum x86_vector vector, uint32_t error);
_Noreturn void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error);

#define cpu_raise_gp(cpu) cpu_raise_error((cpu), X86_VECTOR_GP, 0)
#define cpu_raise_ud(cpu) cpu_raise((cpu), X86_VECTOR_UD)

/* Sets request bits and wakes the vCPU if it halts. Any thread. */
void cpu_request(struct cpu *cpu, uint32_t requests);

/*
 * Recomputes mode, stack_size, seg_base, tlb set, segments_checked after a change of CS, SS, CR0,
 * CR4, EFER, CPL or AC.
 */
void cpu_update_mode(struct cpu *cpu);

/* Puts the processor into its power-up (init false) or INIT state (SDM vol. 3, table 10-1). */
void cpu_reset(struct cpu *cpu, bool init);

void cpu_get_state(const struct cpu *cpu, struct x86_state *ret_state);
void cpu_set_state(struct cpu *cpu, const struct x86_state *state);

static inline bool cpu_long_mode(const struct cpu *cpu)
{
	return cpu->efer & X86_EFER_LMA;
}

static inline bool cpu_protected(const struct cpu *cpu)
{
	return cpu->cr0 & X86_CR0_PE;
}

static inline bool cpu_v8086(const struct cpu *cpu)
{
	return cpu->rflags & X86_FLAG_VM;
}

static inline unsigned cpu_iopl(const struct cpu *cpu)
{
	return (cpu->rflags >> X86_FLAG_IOPL_SHIFT) & 3;
}

#endif
