/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/event.h"

#include "core/engine/soft/mmu.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/segment.h"
#include "core/engine/soft/stack.h"
#include "core/engine/soft/task.h"

#define ERROR_EXT 1u
#define ERROR_IDT 2u

/* Cleared on entry whatever the gate; interrupt gates clear IF too. */
#define FLAGS_CLEARED (X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM)

/* An IDT entry of protected or long mode, and the handler's code segment once checked. */
struct gate {
	unsigned type; /* enum descriptor_type */
	unsigned dpl;
	unsigned ist; /* long mode */
	bool present;
	uint16_t selector;
	uint64_t offset;
	struct descriptor code;
	unsigned cpl; /* the handler's */
};

static uint32_t ext_of(const struct event *event)
{
	return event->kind == INTERRUPT_SOFTWARE ? 0 : ERROR_EXT;
}

static uint32_t idt_error(const struct event *event)
{
	return event->vector * 8u | ERROR_IDT | ext_of(event);
}

/*
 * RFLAGS as the handler finds it on its stack: faults are to be resumed without tripping over a
 * breakpoint again.
 */
static uint64_t pushed_flags(const struct cpu *cpu, const struct event *event)
{
	if (event->kind == INTERRUPT_FAULT && event->vector != X86_VECTOR_DB) {
		return cpu->rflags | X86_FLAG_RF;
	}
	if (event->kind == INTERRUPT_EXTERNAL || event->kind == INTERRUPT_NMI) {
		return cpu->rflags;
	}
	return cpu->rflags & ~(uint64_t)X86_FLAG_RF;
}

static struct gate parse_gate(uint64_t raw, uint64_t upper)
{
	return (struct gate){
			.type = (raw >> 40) & 31, /* with the S bit: no gate has it set */
			.dpl = (raw >> 45) & 3,
			.ist = (raw >> 32) & 7,
			.present = (raw >> 47) & 1,
			.selector = (uint16_t)(raw >> 16),
			.offset = (raw & 0xffff) | ((raw >> 32) & 0xffff0000) | upper << 32,
	};
}

static bool is_gate_type(unsigned type, bool long_mode)
{
	switch (type) {
	case DESCRIPTOR_INTERRUPT_GATE:
	case DESCRIPTOR_TRAP_GATE:
		return true;
	case DESCRIPTOR_TASK_GATE:
	case DESCRIPTOR_INTERRUPT_GATE16:
	case DESCRIPTOR_TRAP_GATE16:
		return !long_mode;
	default:
		return false;
	}
}

static struct gate read_gate(struct cpu *cpu, const struct event *event)
{
	bool long_mode = cpu_long_mode(cpu);
	unsigned size = long_mode ? 16 : 8;
	uint64_t offset = (uint64_t)event->vector * size;
	uint64_t raw, upper = 0;

	if (offset + size - 1 > cpu->idtr.limit) {
		cpu_raise_error(cpu, X86_VECTOR_GP, idt_error(event));
	}
	raw = mmu_load_supervisor(cpu, cpu->idtr.base + offset, 8);
	if (long_mode) {
		upper = mmu_load_supervisor(cpu, cpu->idtr.base + offset + 8, 8);
	}
	struct gate gate = parse_gate(raw, upper);
	if (!is_gate_type(gate.type, long_mode)) {
		cpu_raise_error(cpu, X86_VECTOR_GP, idt_error(event));
	}
	if (event->kind == INTERRUPT_SOFTWARE && gate.dpl < cpu->cpl) {
		cpu_raise_error(cpu, X86_VECTOR_GP, idt_error(event));
	}
	if (!gate.present) {
		cpu_raise_error(cpu, X86_VECTOR_NP, idt_error(event));
	}
	return gate;
}

/* Checks the handler's code segment and finds the privilege level it runs at. */
static void read_code(struct cpu *cpu, const struct event *event, struct gate *gate)
{
	uint32_t error = (gate->selector & ~3u) | ext_of(event);
	struct descriptor *code = &gate->code;

	if (SELECTOR_NULL(gate->selector)) {
		cpu_raise_error(cpu, X86_VECTOR_GP, ext_of(event));
	}
	if (!descriptor_read(cpu, gate->selector, code) || !descriptor_is_code(code) ||
			descriptor_dpl(code) > cpu->cpl) {
		cpu_raise_error(cpu, X86_VECTOR_GP, error);
	}
	if (!descriptor_present(code)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, error);
	}
	gate->cpl = descriptor_is_conforming(code) ? cpu->cpl : descriptor_dpl(code);
	if (cpu_v8086(cpu) && gate->cpl != 0) {
		cpu_raise_error(cpu, X86_VECTOR_GP, error);
	}
}

static bool is_interrupt_gate(const struct gate *gate)
{
	return gate->type == DESCRIPTOR_INTERRUPT_GATE || gate->type == DESCRIPTOR_INTERRUPT_GATE16;
}

/* Everything can fault before this; nothing after it. */
static void commit(struct cpu *cpu, const struct gate *gate, const struct stack *stack)
{
	struct x86_segment cs = descriptor_segment(&gate->code, gate->selector);

	cpu->rflags &= ~(uint64_t)FLAGS_CLEARED;
	if (is_interrupt_gate(gate)) {
		cpu->rflags &= ~(uint64_t)X86_FLAG_IF;
	}
	cpu->seg[X86_SS] = stack->ss;
	cpu->regs[X86_RSP] = stack->pointer;
	segment_set_cs(cpu, &cs, gate->cpl);
	cpu->next_rip = gate->offset;
	cpu_update_mode(cpu);
}

static struct stack long_stack(struct cpu *cpu, const struct event *event, const struct gate *gate)
{
	struct stack stack = stack_current(cpu);

	stack.wide = true;
	stack.error = ext_of(event);
	stack.cpl = gate->cpl;
	if (gate->ist != 0 || gate->cpl != cpu->cpl) {
		stack.pointer = task_inner_rsp(cpu, gate->cpl, gate->ist, ext_of(event));
	}
	if (gate->cpl != cpu->cpl) {
		stack.ss = segment_null((uint16_t)gate->cpl);
		stack.ss.attributes |= gate->cpl << X86_SEG_DPL_SHIFT;
	}
	stack.pointer &= ~(uint64_t)15;
	return stack;
}

static void enter_long(struct cpu *cpu, const struct event *event)
{
	struct gate gate = read_gate(cpu, event);

	read_code(cpu, event, &gate);
	if ((gate.code.raw & (BIT(53) | BIT(54))) != BIT(53)) {
		cpu_raise_error(cpu, X86_VECTOR_GP, (gate.selector & ~3u) | ext_of(event));
	}
	struct stack stack = long_stack(cpu, event, &gate);
	stack_push(&stack, cpu->seg[X86_SS].selector, 8);
	stack_push(&stack, cpu->regs[X86_RSP], 8);
	stack_push(&stack, pushed_flags(cpu, event), 8);
	stack_push(&stack, cpu->seg[X86_CS].selector, 8);
	stack_push(&stack, event->return_rip, 8);
	if (event->has_error) {
		stack_push(&stack, event->error, 8);
	}
	if (!linear_is_canonical(gate.offset)) {
		cpu_raise_error(cpu, X86_VECTOR_GP, ext_of(event));
	}
	descriptor_set_accessed(cpu, &gate.code);
	commit(cpu, &gate, &stack);
}

static struct stack inner_stack(struct cpu *cpu, const struct event *event, unsigned cpl)
{
	const struct segment_blame blame = {.vector = X86_VECTOR_TS, .ext = ext_of(event)};
	uint32_t esp;
	uint16_t ss;

	task_inner_stack(cpu, cpl, ext_of(event), &esp, &ss);
	return (struct stack){
			.cpu = cpu,
			.ss = segment_fetch_stack(cpu, ss, cpl, blame),
			.pointer = esp,
			.cpl = cpl,
			.error = (ss & ~3u) | ext_of(event),
	};
}

static void push_v8086_segments(struct cpu *cpu, struct stack *stack, unsigned size)
{
	stack_push(stack, cpu->seg[X86_GS].selector, size);
	stack_push(stack, cpu->seg[X86_FS].selector, size);
	stack_push(stack, cpu->seg[X86_DS].selector, size);
	stack_push(stack, cpu->seg[X86_ES].selector, size);
}

static void clear_v8086_segments(struct cpu *cpu)
{
	cpu->seg[X86_GS] = segment_null(0);
	cpu->seg[X86_FS] = segment_null(0);
	cpu->seg[X86_DS] = segment_null(0);
	cpu->seg[X86_ES] = segment_null(0);
}

static void enter_protected(struct cpu *cpu, const struct event *event)
{
	struct gate gate = read_gate(cpu, event);
	bool v8086 = cpu_v8086(cpu);

	if (gate.type == DESCRIPTOR_TASK_GATE) {
		task_switch(cpu, gate.selector, TASK_INTERRUPT, event->return_rip,
				event->has_error ? &event->error : NULL, ext_of(event));
		return;
	}
	read_code(cpu, event, &gate);
	unsigned size = gate.type >= DESCRIPTOR_INTERRUPT_GATE ? 4 : 2;
	struct stack stack = stack_current(cpu);
	stack.error = ext_of(event);
	if (gate.cpl != cpu->cpl) {
		stack = inner_stack(cpu, event, gate.cpl);
		if (v8086) {
			push_v8086_segments(cpu, &stack, size);
		}
		stack_push(&stack, cpu->seg[X86_SS].selector, size);
		stack_push(&stack, cpu->regs[X86_RSP], size);
	}
	stack_push(&stack, pushed_flags(cpu, event), size);
	stack_push(&stack, cpu->seg[X86_CS].selector, size);
	stack_push(&stack, event->return_rip, size);
	if (event->has_error) {
		stack_push(&stack, event->error, size);
	}
	gate.offset = size == 4 ? (uint32_t)gate.offset : (uint16_t)gate.offset;
	struct x86_segment cs = descriptor_segment(&gate.code, gate.selector);
	if (gate.offset > cs.limit) {
		cpu_raise_error(cpu, X86_VECTOR_GP, ext_of(event));
	}
	descriptor_set_accessed(cpu, &gate.code);
	if (v8086) {
		clear_v8086_segments(cpu);
	}
	commit(cpu, &gate, &stack);
}

/*
 * Through the vector table at the bottom of memory: real mode, and redirected interrupts of
 * virtual-8086 mode.
 */
static void enter_table(struct cpu *cpu, uint64_t table, const struct event *event, uint64_t flags)
{
	uint32_t target = (uint32_t)mmu_load_supervisor(cpu, table + event->vector * 4u, 4);
	struct stack stack = stack_current(cpu);

	stack_push(&stack, flags, 2);
	stack_push(&stack, cpu->seg[X86_CS].selector, 2);
	stack_push(&stack, event->return_rip, 2);
	cpu->regs[X86_RSP] = stack.pointer;
	cpu->seg[X86_CS] = cpu_v8086(cpu) ? segment_v8086((uint16_t)(target >> 16))
					  : segment_real(&cpu->seg[X86_CS],
							    (uint16_t)(target >> 16));
	cpu->next_rip = (uint16_t)target;
}

static void enter_real(struct cpu *cpu, const struct event *event)
{
	if (event->vector * 4u + 3 > cpu->idtr.limit) {
		cpu_raise_error(cpu, X86_VECTOR_GP, idt_error(event));
	}
	enter_table(cpu, cpu->idtr.base, event, cpu->rflags);
	cpu->rflags &= ~(uint64_t)(X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF);
	cpu_update_mode(cpu);
}

/* With CR4.VME the 8086 program handles some interrupts itself; its IF is VIF unless IOPL is 3. */
static void enter_redirected(struct cpu *cpu, const struct event *event)
{
	uint64_t flags = cpu->rflags, cleared = X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF;

	if (cpu_iopl(cpu) < 3) {
		flags |= X86_FLAG_IOPL;
		flags &= ~(uint64_t)X86_FLAG_IF;
		flags |= cpu->rflags & X86_FLAG_VIF ? X86_FLAG_IF : 0;
		cleared |= X86_FLAG_VIF;
	} else {
		cleared |= X86_FLAG_IF;
	}
	enter_table(cpu, 0, event, flags);
	cpu->rflags &= ~cleared;
	cpu_update_mode(cpu);
}

void event_enter(struct cpu *cpu, const struct event *event)
{
	if (!cpu_protected(cpu)) {
		enter_real(cpu, event);
	} else if (cpu_long_mode(cpu)) {
		enter_long(cpu, event);
	} else if (event->redirectable && cpu_v8086(cpu) && (cpu->cr4 & X86_CR4_VME) &&
			task_redirects_interrupt(cpu, event->vector)) {
		enter_redirected(cpu, event);
	} else if (event->redirectable && cpu_v8086(cpu) && cpu_iopl(cpu) < 3) {
		cpu_raise_gp(cpu);
	} else {
		enter_protected(cpu, event);
	}
}
