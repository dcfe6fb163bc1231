/* SPDX-License-Identifier: MIT */
/* IRET in every mode. SDM vol. 2. */
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/far.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/segment.h"
#include "core/engine/soft/stack.h"
#include "core/engine/soft/task.h"

#define TSS_LINK 0

/* RF comes back with IRET, unlike POPF. */
static uint64_t merge_flags(const struct cpu *cpu, uint64_t value, unsigned size, unsigned cpl)
{
	uint64_t mask = flags_changeable(cpu, size);

	if (size > 2) {
		mask |= X86_FLAG_RF;
		if (cpl == 0) {
			mask |= X86_FLAG_VIF | X86_FLAG_VIP;
		}
	}
	return (cpu->rflags & ~mask) | (value & mask);
}

static void unblock_nmi(struct cpu *cpu)
{
	cpu->nmi_blocked = false;
	if (cpu->nmi_pending) {
		interrupt_recheck(cpu);
	}
}

static void iret_real(struct cpu *cpu, unsigned size)
{
	struct stack stack = stack_current(cpu);
	uint64_t offset = stack_pop(&stack, size);
	uint16_t selector = (uint16_t)stack_pop(&stack, size);
	uint64_t flags = stack_pop(&stack, size);
	struct x86_segment cs = cpu_v8086(cpu) ? segment_v8086(selector)
					       : segment_real(&cpu->seg[X86_CS], selector);

	if (offset > cs.limit) {
		cpu_raise_gp(cpu);
	}
	cpu->regs[X86_RSP] = stack.pointer;
	cpu->seg[X86_CS] = cs;
	cpu->next_rip = offset;
	cpu_set_rflags(cpu, merge_flags(cpu, flags, size, 3));
	cpu_update_mode(cpu);
	unblock_nmi(cpu);
}

/* With CR4.VME and IOPL below 3, 16-bit IRET of a virtual-8086 program works on VIF. */
static void iret_v8086_virtual(struct cpu *cpu)
{
	struct stack stack = stack_current(cpu);
	uint64_t offset = stack_pop(&stack, 2);
	uint16_t selector = (uint16_t)stack_pop(&stack, 2);
	uint64_t flags = stack_pop(&stack, 2);
	uint64_t mask = flags_changeable(cpu, 2) & ~(uint64_t)(X86_FLAG_IF | X86_FLAG_IOPL);

	if ((flags & X86_FLAG_TF) || ((flags & X86_FLAG_IF) && (cpu->rflags & X86_FLAG_VIP))) {
		cpu_raise_gp(cpu);
	}
	uint64_t merged = (cpu->rflags & ~mask & ~(uint64_t)X86_FLAG_VIF) | (flags & mask);
	merged |= flags & X86_FLAG_IF ? X86_FLAG_VIF : 0;
	cpu->regs[X86_RSP] = stack.pointer;
	cpu->seg[X86_CS] = segment_v8086(selector);
	cpu->next_rip = offset;
	cpu_set_rflags(cpu, merged);
	cpu_update_mode(cpu);
}

static void iret_v8086(struct cpu *cpu, unsigned size)
{
	if (cpu_iopl(cpu) == 3) {
		iret_real(cpu, size);
	} else if ((cpu->cr4 & X86_CR4_VME) && size == 2) {
		iret_v8086_virtual(cpu);
	} else {
		cpu_raise_gp(cpu);
	}
}

/* From a protected-mode monitor back into its virtual-8086 program. */
static void iret_to_v8086(
		struct cpu *cpu, struct stack *stack, uint64_t offset, uint16_t cs, uint64_t flags)
{
	static const uint8_t order[] = {X86_ES, X86_DS, X86_FS, X86_GS};
	uint64_t rsp = stack_pop(stack, 4);
	uint16_t ss = (uint16_t)stack_pop(stack, 4);
	uint16_t data[G_N_ELEMENTS(order)];

	for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
		data[i] = (uint16_t)stack_pop(stack, 4);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
		cpu->seg[order[i]] = segment_v8086(data[i]);
	}
	cpu->seg[X86_CS] = segment_v8086(cs);
	cpu->seg[X86_SS] = segment_v8086(ss);
	cpu->regs[X86_RSP] = rsp;
	cpu->next_rip = (uint16_t)offset;
	cpu->cpl = 3;
	cpu_set_rflags(cpu, flags);
	cpu_update_mode(cpu);
	unblock_nmi(cpu);
}

static void iret_to_task(struct cpu *cpu)
{
	uint16_t link = (uint16_t)mmu_load_supervisor(cpu, cpu->tr.base + TSS_LINK, 2);

	task_switch(cpu, link, TASK_RETURN, cpu->next_rip, NULL, 0);
	unblock_nmi(cpu);
}

static void iret_protected(struct cpu *cpu, unsigned size)
{
	struct stack stack = stack_current(cpu);
	bool long64 = cpu->mode == INSN_MODE_64;
	uint64_t offset = stack_pop(&stack, size);
	uint16_t selector = (uint16_t)stack_pop(&stack, size);
	uint64_t flags = stack_pop(&stack, size);

	if ((flags & X86_FLAG_VM) && size == 4 && cpu->cpl == 0 && !cpu_long_mode(cpu)) {
		iret_to_v8086(cpu, &stack, offset, selector, flags);
		return;
	}
	struct descriptor code = far_return_code(cpu, selector);
	far_check_offset(cpu, &code, offset);
	unsigned cpl = SELECTOR_RPL(selector);
	bool with_stack = long64 || cpl != cpu->cpl;
	struct x86_segment ss = cpu->seg[X86_SS];
	uint64_t rsp = stack.pointer;
	if (with_stack) {
		rsp = stack_pop(&stack, size);
		ss = far_return_stack(cpu, (uint16_t)stack_pop(&stack, size), cpl, &code);
	}
	uint64_t merged = merge_flags(cpu, flags, size, cpu->cpl);
	far_return_commit(cpu, &code, selector, offset, with_stack ? &ss : NULL, rsp);
	cpu_set_rflags(cpu, merged);
	unblock_nmi(cpu);
}

void exec_iret(struct cpu *cpu, const struct insn *insn)
{
	if (!cpu_protected(cpu)) {
		iret_real(cpu, insn->operand_size);
	} else if (cpu_v8086(cpu)) {
		iret_v8086(cpu, insn->operand_size);
	} else if (cpu->rflags & X86_FLAG_NT) {
		if (cpu_long_mode(cpu)) {
			cpu_raise_gp(cpu);
		}
		iret_to_task(cpu);
	} else {
		iret_protected(cpu, insn->operand_size);
	}
}
