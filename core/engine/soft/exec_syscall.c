/* SPDX-License-Identifier: MIT */
/* Fast system calls and the segment bases of 64-bit mode. SDM vol. 2. */
#include "core/engine/soft/debug.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/segment.h"

/* Flat segments as these instructions make them, without looking at descriptors. */
#define ATTRIBUTES_FLAT \
	(uint32_t)(X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED | X86_SEG_G)
#define ATTRIBUTES_STACK (uint32_t)(ATTRIBUTES_FLAT | X86_SEG_DB)

#define SYSRET_FLAGS UINT64_C(0x3c7fd7)

static struct x86_segment flat_segment(uint16_t selector, uint32_t attributes, unsigned dpl)
{
	return (struct x86_segment){
			.limit = UINT32_MAX,
			.attributes = attributes | dpl << X86_SEG_DPL_SHIFT,
			.selector = (uint16_t)((selector & ~3u) | dpl),
	};
}

/* Flat code at the selector, flat stack at stack_selector, at this privilege level. */
static void set_flat(struct cpu *cpu, uint64_t selector, uint64_t stack_selector, unsigned cpl,
		bool wide)
{
	uint32_t code = ATTRIBUTES_FLAT | X86_SEG_CODE | (wide ? X86_SEG_L : X86_SEG_DB);
	struct x86_segment cs = flat_segment((uint16_t)selector, code, cpl);

	segment_set_cs(cpu, &cs, cpl);
	cpu->seg[X86_SS] = flat_segment((uint16_t)stack_selector, ATTRIBUTES_STACK, cpl);
	cpu_update_mode(cpu);
}

/* Without the trap that follows an instruction which began with TF set, if TF is now clear. */
static void set_entry_flags(struct cpu *cpu, uint64_t flags)
{
	if (cpu->rflags & ~flags & X86_FLAG_TF) {
		cpu->debug_pending |= DEBUG_NO_STEP;
	}
	cpu_set_rflags(cpu, flags);
}

void exec_syscall(struct cpu *cpu, const struct insn *insn)
{
	uint64_t selector = (cpu->msr.star >> 32) & 0xffff;

	(void)insn;
	if (!(cpu->efer & X86_EFER_SCE) || cpu->mode != INSN_MODE_64) {
		cpu_raise_ud(cpu);
	}
	cpu->regs[X86_RCX] = cpu->next_rip;
	cpu->regs[X86_R11] = cpu->rflags & ~(uint64_t)X86_FLAG_RF;
	cpu->next_rip = cpu->msr.lstar;
	set_flat(cpu, selector, selector + 8, 0, true);
	set_entry_flags(cpu, cpu->rflags & ~cpu->msr.sfmask & ~(uint64_t)X86_FLAG_RF);
}

void exec_sysret(struct cpu *cpu, const struct insn *insn)
{
	bool wide = insn->prefixes & INSN_PREFIX_REX_W;
	uint64_t selector = cpu->msr.star >> 48;
	uint64_t target = cpu->regs[X86_RCX];

	if (!(cpu->efer & X86_EFER_SCE) || cpu->mode != INSN_MODE_64) {
		cpu_raise_ud(cpu);
	}
	require_cpl0(cpu);
	if (wide && !linear_is_canonical(target)) {
		cpu_raise_gp(cpu);
	}
	cpu->next_rip = wide ? target : (uint32_t)target;
	set_flat(cpu, wide ? selector + 16 : selector, selector + 8, 3, wide);
	cpu_set_rflags(cpu, cpu->regs[X86_R11] & SYSRET_FLAGS);
	if (cpu->rflags & X86_FLAG_TF) {
		/* Unlike IRET, it is itself single-stepped by the flag that it sets. */
		cpu->debug_pending |= DEBUG_DR6_BS;
		interrupt_recheck(cpu);
	}
}

void exec_sysenter(struct cpu *cpu, const struct insn *insn)
{
	uint64_t selector = cpu->msr.sysenter_cs & 0xfffc;
	bool wide = cpu_long_mode(cpu);

	(void)insn;
	if (!cpu_protected(cpu) || selector == 0) {
		cpu_raise_gp(cpu);
	}
	cpu->regs[X86_RSP] = wide ? cpu->msr.sysenter_esp : (uint32_t)cpu->msr.sysenter_esp;
	cpu->next_rip = wide ? cpu->msr.sysenter_eip : (uint32_t)cpu->msr.sysenter_eip;
	cpu_set_rflags(cpu, cpu->rflags & ~(uint64_t)(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF));
	set_flat(cpu, selector, selector + 8, 0, wide);
}

void exec_sysexit(struct cpu *cpu, const struct insn *insn)
{
	bool wide = insn->prefixes & INSN_PREFIX_REX_W;
	uint64_t selector = cpu->msr.sysenter_cs & 0xfffc;
	uint64_t rip = cpu->regs[X86_RDX], rsp = cpu->regs[X86_RCX];

	if (!cpu_protected(cpu) || selector == 0) {
		cpu_raise_gp(cpu);
	}
	require_cpl0(cpu);
	if (wide && (!linear_is_canonical(rip) || !linear_is_canonical(rsp))) {
		cpu_raise_gp(cpu);
	}
	cpu->regs[X86_RSP] = wide ? rsp : (uint32_t)rsp;
	cpu->next_rip = wide ? rip : (uint32_t)rip;
	selector += wide ? 32 : 16;
	set_flat(cpu, selector, selector + 8, 3, wide);
}

void exec_swapgs(struct cpu *cpu, const struct insn *insn)
{
	uint64_t base = cpu->seg[X86_GS].base;

	(void)insn;
	require_cpl0(cpu);
	cpu->seg[X86_GS].base = cpu->seg_base[X86_GS] = cpu->msr.kernel_gs_base;
	cpu->msr.kernel_gs_base = base;
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: ModRM.reg 0 to 3. */
void exec_fsgsbase(struct cpu *cpu, const struct insn *insn)
{
	unsigned which = (insn->modrm >> 3) & 3;
	unsigned segment = which & 1 ? X86_GS : X86_FS;

	if (!(cpu->cr4 & X86_CR4_FSGSBASE)) {
		cpu_raise_ud(cpu);
	}
	if (which < 2) {
		reg_set(cpu, insn->rm, cpu->seg[segment].base, insn->operand_size);
		return;
	}
	uint64_t base = reg_get(cpu, insn->rm, insn->operand_size);
	if (!linear_is_canonical(base)) {
		cpu_raise_gp(cpu);
	}
	cpu->seg[segment].base = cpu->seg_base[segment] = base;
}
