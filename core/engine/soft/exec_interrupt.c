/* SPDX-License-Identifier: MIT */
/*
 * The interrupt flag and its virtual twin, whole-flags moves, software interrupts. SDM vol. 2; vol.
 * 3, 21.3 and 21.4.
 */
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"

/* What POPF changes at any privilege level. */
#define FLAGS_FREE \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID)

/* How CLI, STI, PUSHF and POPF treat the interrupt flag here. */
enum interrupt_flag_access {
	ACCESS_REAL, /* the flag itself */
	ACCESS_VIRTUAL, /* VIF instead */
	ACCESS_DENIED,
};

static enum interrupt_flag_access interrupt_flag_access(const struct cpu *cpu)
{
	if (!cpu_protected(cpu)) {
		return ACCESS_REAL;
	}
	if (cpu_v8086(cpu)) {
		if (cpu_iopl(cpu) == 3) {
			return ACCESS_REAL;
		}
		return cpu->cr4 & X86_CR4_VME ? ACCESS_VIRTUAL : ACCESS_DENIED;
	}
	if (cpu->cpl <= cpu_iopl(cpu)) {
		return ACCESS_REAL;
	}
	return cpu->cpl == 3 && (cpu->cr4 & X86_CR4_PVI) ? ACCESS_VIRTUAL : ACCESS_DENIED;
}

uint64_t flags_changeable(const struct cpu *cpu, unsigned size)
{
	uint64_t mask = FLAGS_FREE;

	if (cpu->cpl <= cpu_iopl(cpu)) {
		mask |= X86_FLAG_IF;
	}
	if (cpu->cpl == 0) {
		mask |= X86_FLAG_IOPL;
	}
	return size == 2 ? mask & 0xffff : mask;
}

void exec_cli(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	switch (interrupt_flag_access(cpu)) {
	case ACCESS_REAL:
		cpu->rflags &= ~(uint64_t)X86_FLAG_IF;
		break;
	case ACCESS_VIRTUAL:
		cpu->rflags &= ~(uint64_t)X86_FLAG_VIF;
		break;
	case ACCESS_DENIED:
		cpu_raise_gp(cpu);
	}
}

void exec_sti(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	switch (interrupt_flag_access(cpu)) {
	case ACCESS_REAL:
		if (!(cpu->rflags & X86_FLAG_IF)) {
			cpu->rflags |= X86_FLAG_IF;
			cpu->interrupt_shadow = INTERRUPT_SHADOW_STI;
			interrupt_enabled(cpu);
		}
		break;
	case ACCESS_VIRTUAL:
		if (cpu->rflags & X86_FLAG_VIP) {
			cpu_raise_gp(cpu);
		}
		cpu->rflags |= X86_FLAG_VIF;
		break;
	case ACCESS_DENIED:
		cpu_raise_gp(cpu);
	}
}

void exec_pushf(struct cpu *cpu, const struct insn *insn)
{
	uint64_t flags = cpu->rflags & ~(uint64_t)(X86_FLAG_VM | X86_FLAG_RF);

	if (unlikely(cpu_v8086(cpu) && cpu_iopl(cpu) < 3)) {
		if (!(cpu->cr4 & X86_CR4_VME) || insn->operand_size != 2) {
			cpu_raise_gp(cpu);
		}
		flags &= ~(uint64_t)X86_FLAG_IF;
		flags |= X86_FLAG_IOPL | (cpu->rflags & X86_FLAG_VIF ? X86_FLAG_IF : 0);
	}
	system_push(cpu, flags, insn->operand_size);
}

/* POPF of a virtual-8086 program that may not change IF but has a VIF. */
static uint64_t virtual_popf(struct cpu *cpu, uint64_t value)
{
	uint64_t mask = FLAGS_FREE & 0xffff;

	if ((value & X86_FLAG_TF) || ((value & X86_FLAG_IF) && (cpu->rflags & X86_FLAG_VIP))) {
		cpu_raise_gp(cpu);
	}
	uint64_t flags = (cpu->rflags & ~mask & ~(uint64_t)X86_FLAG_VIF) | (value & mask);
	return flags | (value & X86_FLAG_IF ? X86_FLAG_VIF : 0);
}

void exec_popf(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = system_top(cpu, insn->operand_size);
	uint64_t flags;

	if (unlikely(cpu_v8086(cpu) && cpu_iopl(cpu) < 3)) {
		if (!(cpu->cr4 & X86_CR4_VME) || insn->operand_size != 2) {
			cpu_raise_gp(cpu);
		}
		flags = virtual_popf(cpu, value);
	} else {
		uint64_t mask = flags_changeable(cpu, insn->operand_size);
		flags = (cpu->rflags & ~mask) | (value & mask);
		if (insn->operand_size > 2 && !cpu_v8086(cpu)) {
			flags &= ~(uint64_t)(X86_FLAG_VIF | X86_FLAG_VIP);
		}
	}
	system_drop(cpu, insn->operand_size);
	cpu_set_rflags(cpu, flags & ~(uint64_t)X86_FLAG_RF);
}

static void set_ac(struct cpu *cpu, bool ac)
{
	if (cpu->cpl != 0) {
		cpu_raise_ud(cpu);
	}
	cpu->rflags = ac ? cpu->rflags | X86_FLAG_AC : cpu->rflags & ~(uint64_t)X86_FLAG_AC;
	bool smap = cpu->cr4 & X86_CR4_SMAP;
	cpu_use_tlb(cpu, smap && !ac ? TLB_SUPERVISOR : TLB_SUPERVISOR_AC);
}

void exec_clac(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	set_ac(cpu, false);
}

void exec_stac(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	set_ac(cpu, true);
}

void exec_int(struct cpu *cpu, const struct insn *insn)
{
	interrupt_software(cpu, (uint8_t)insn->imm, INTERRUPT_INT);
}

void exec_int3(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	if (cpu->debugger_breakpoints && !cpu->debugger_pass_breakpoint) {
		cpu->next_rip = cpu->rip;
		cpu->debugger_stop = true;
		interrupt_recheck(cpu);
		return;
	}
	cpu->debugger_pass_breakpoint = false;
	interrupt_software(cpu, X86_VECTOR_BP, INTERRUPT_SOFTWARE);
}

void exec_into(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	if (cpu->rflags & X86_FLAG_OF) {
		interrupt_software(cpu, X86_VECTOR_OF, INTERRUPT_SOFTWARE);
	}
}

void exec_icebp(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	interrupt_software(cpu, X86_VECTOR_DB, INTERRUPT_ICEBP);
}
