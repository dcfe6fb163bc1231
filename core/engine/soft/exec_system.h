/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files that execute system instructions: their entry points, for the table in
 * exec_system.c, and helpers.
 */
#ifndef CORE_ENGINE_SOFT_EXEC_SYSTEM_H
#define CORE_ENGINE_SOFT_EXEC_SYSTEM_H

#include "core/engine/soft/exec.h"
#include "core/engine/soft/operand.h"

/* exec_far.c, exec_iret.c */
insn_exec_fn exec_far_immediate; /* CALL and JMP ptr16:16/32 */
insn_exec_fn exec_far_memory; /* CALL and JMP m16:16/32/64 */
insn_exec_fn exec_far_return;
insn_exec_fn exec_iret;

/* exec_syscall.c */
insn_exec_fn exec_syscall;
insn_exec_fn exec_sysret;
insn_exec_fn exec_sysenter;
insn_exec_fn exec_sysexit;
insn_exec_fn exec_swapgs;
insn_exec_fn exec_fsgsbase;

/* exec_io.c */
insn_exec_fn exec_in;
insn_exec_fn exec_out;
insn_exec_fn exec_ins;
insn_exec_fn exec_outs;

/* exec_control.c */
insn_exec_fn exec_mov_from_cr;
insn_exec_fn exec_mov_to_cr;
insn_exec_fn exec_mov_from_dr;
insn_exec_fn exec_mov_to_dr;
insn_exec_fn exec_clts;
insn_exec_fn exec_lmsw;
insn_exec_fn exec_smsw;
insn_exec_fn exec_rdmsr;
insn_exec_fn exec_wrmsr;
insn_exec_fn exec_invlpg;
insn_exec_fn exec_invpcid;
insn_exec_fn exec_invd;
insn_exec_fn exec_hlt;
insn_exec_fn exec_hypercall;
insn_exec_fn exec_rdtsc;
insn_exec_fn exec_rdtscp;
insn_exec_fn exec_rdpid;
insn_exec_fn exec_rdpmc;
insn_exec_fn exec_cpuid;
insn_exec_fn exec_xgetbv;
insn_exec_fn exec_xsetbv;

/* exec_interrupt.c */
insn_exec_fn exec_cli;
insn_exec_fn exec_sti;
insn_exec_fn exec_pushf;
insn_exec_fn exec_popf;
insn_exec_fn exec_clac;
insn_exec_fn exec_stac;
insn_exec_fn exec_int;
insn_exec_fn exec_int3;
insn_exec_fn exec_into;
insn_exec_fn exec_icebp;

/* exec_segment.c */
insn_exec_fn exec_mov_from_segment;
insn_exec_fn exec_mov_to_segment;
insn_exec_fn exec_push_segment;
insn_exec_fn exec_pop_segment;
insn_exec_fn exec_load_far_pointer; /* LES, LDS, LSS, LFS, LGS */
insn_exec_fn exec_store_table; /* SGDT, SIDT */
insn_exec_fn exec_load_table; /* LGDT, LIDT */
insn_exec_fn exec_store_selector; /* SLDT, STR */
insn_exec_fn exec_lldt;
insn_exec_fn exec_ltr;
insn_exec_fn exec_lar;
insn_exec_fn exec_lsl;
insn_exec_fn exec_verify; /* VERR, VERW */
insn_exec_fn exec_arpl;

/* Flags that a 16, 32 or 64-bit POPF or IRET at this privilege level may change. */
uint64_t flags_changeable(const struct cpu *cpu, unsigned size);

static inline uint64_t reg_get(const struct cpu *cpu, unsigned reg, unsigned size)
{
	uint64_t value = cpu->regs[reg];

	return size == 8 ? value : value & (BIT(8 * size) - 1);
}

/* Writes of 4 bytes clear the upper half, narrower ones keep the rest. */
static inline void reg_set(struct cpu *cpu, unsigned reg, uint64_t value, unsigned size)
{
	if (size == 8) {
		cpu->regs[reg] = value;
	} else if (size == 4) {
		cpu->regs[reg] = (uint32_t)value;
	} else {
		uint64_t mask = BIT(8 * size) - 1;
		cpu->regs[reg] = (cpu->regs[reg] & ~mask) | (value & mask);
	}
}

/* Loads and stores of size 1, 2, 4 or 8 with the TLB in line. */
static inline uint64_t memory_load(struct cpu *cpu, uint64_t linear, unsigned size)
{
	switch (size) {
	case 1:
		return mmu_load8(cpu, linear);
	case 2:
		return mmu_load16(cpu, linear);
	case 4:
		return mmu_load32(cpu, linear);
	default:
		return mmu_load64(cpu, linear);
	}
}

static inline void memory_store(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		mmu_store8(cpu, linear, (uint8_t)value);
		break;
	case 2:
		mmu_store16(cpu, linear, (uint16_t)value);
		break;
	case 4:
		mmu_store32(cpu, linear, (uint32_t)value);
		break;
	default:
		mmu_store64(cpu, linear, value);
		break;
	}
}

/* The stack pointer moved by distance, in the stack's width. */
static inline uint64_t stack_offset(const struct cpu *cpu, int64_t distance)
{
	uint64_t pointer = cpu->regs[X86_RSP] + (uint64_t)distance;

	return cpu->stack_size == 8 ? pointer : pointer & (BIT(8 * cpu->stack_size) - 1);
}

static inline void system_push(struct cpu *cpu, uint64_t value, unsigned size)
{
	uint64_t offset = stack_offset(cpu, -(int64_t)size);

	memory_store(cpu, segment_linear(cpu, X86_SS, offset, size, MMU_WRITE), value, size);
	reg_set(cpu, X86_RSP, offset, cpu->stack_size);
}

/* The value on top of the stack; system_drop() takes it off once nothing can fault any more. */
static inline uint64_t system_top(struct cpu *cpu, unsigned size)
{
	uint64_t offset = stack_offset(cpu, 0);

	return memory_load(cpu, segment_linear(cpu, X86_SS, offset, size, MMU_READ), size);
}

static inline void system_drop(struct cpu *cpu, unsigned size)
{
	reg_set(cpu, X86_RSP, stack_offset(cpu, size), cpu->stack_size);
}

/* A 16-bit register or memory operand. */
static inline uint16_t operand_read16(struct cpu *cpu, const struct insn *insn)
{
	if (insn->is_memory) {
		return mmu_load16(cpu, operand_linear(cpu, insn, 2, MMU_READ));
	}
	return (uint16_t)cpu->regs[insn->rm];
}

/* Memory gets 16 bits, a register its operand size, zero-extended. */
static inline void operand_write16(struct cpu *cpu, const struct insn *insn, uint64_t value)
{
	if (insn->is_memory) {
		mmu_store16(cpu, operand_linear(cpu, insn, 2, MMU_WRITE), (uint16_t)value);
	} else {
		reg_set(cpu, insn->rm, value, insn->operand_size);
	}
}

static inline void require_cpl0(struct cpu *cpu)
{
	if (unlikely(cpu->cpl != 0)) {
		cpu_raise_gp(cpu);
	}
}

/* UMIP: descriptor tables and the machine status are secrets. */
static inline void require_umip(struct cpu *cpu)
{
	if (unlikely((cpu->cr4 & X86_CR4_UMIP) && cpu->cpl != 0)) {
		cpu_raise_gp(cpu);
	}
}

/* Instructions that exist in protected mode only. */
static inline void require_protected(struct cpu *cpu)
{
	if (!cpu_protected(cpu) || cpu_v8086(cpu)) {
		cpu_raise_ud(cpu);
	}
}

#endif
