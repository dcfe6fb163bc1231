/* SPDX-License-Identifier: MIT */
/*
 * Far jumps, calls and returns; call gates, task gates and TSSs as their targets. SDM vol. 3, 5.8.
 */
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/far.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/segment.h"
#include "core/engine/soft/stack.h"
#include "core/engine/soft/task.h"

/* A far transfer under way. */
struct transfer {
	bool call;
	uint16_t selector;
	uint64_t offset;
	unsigned size; /* of pushed values and of the offset: 2, 4 or 8 */
	struct descriptor code;
	unsigned cpl; /* at the target */
};

_Noreturn static void refuse(struct cpu *cpu, uint16_t selector)
{
	cpu_raise_error(cpu, X86_VECTOR_GP, selector & ~3u);
}

static bool is_wide(const struct cpu *cpu, const struct descriptor *code)
{
	return cpu_long_mode(cpu) && (code->raw & BIT(53));
}

/* The offset must lie within the target's limit, or be canonical in 64-bit code. */
void far_check_offset(struct cpu *cpu, const struct descriptor *code, uint64_t offset)
{
	if (is_wide(cpu, code)) {
		if (!linear_is_canonical(offset)) {
			cpu_raise_gp(cpu);
		}
	} else if (offset > descriptor_segment(code, 0).limit) {
		cpu_raise_gp(cpu);
	}
}

/* In long mode L and D must not both be set. */
static void check_code_bits(struct cpu *cpu, const struct descriptor *code, uint16_t selector)
{
	if (is_wide(cpu, code) && (code->raw & BIT(54))) {
		refuse(cpu, selector);
	}
}

static void commit(struct cpu *cpu, struct transfer *transfer, const struct stack *stack)
{
	descriptor_set_accessed(cpu, &transfer->code);
	struct x86_segment cs = descriptor_segment(&transfer->code, transfer->selector);

	if (stack) {
		cpu->seg[X86_SS] = stack->ss;
		cpu->regs[X86_RSP] = stack->pointer;
	}
	segment_set_cs(cpu, &cs, transfer->cpl);
	cpu->next_rip = transfer->offset;
	cpu_update_mode(cpu);
}

static void push_return(struct cpu *cpu, struct stack *stack, unsigned size)
{
	stack_push(stack, cpu->seg[X86_CS].selector, size);
	stack_push(stack, cpu->next_rip, size);
}

/* Real and virtual-8086 mode: no descriptors. */
static void transfer_real(struct cpu *cpu, const struct transfer *transfer)
{
	struct stack stack = stack_current(cpu);
	struct x86_segment cs = cpu_v8086(cpu) ? segment_v8086(transfer->selector)
					       : segment_real(&cpu->seg[X86_CS],
								 transfer->selector);

	if (transfer->offset > cs.limit) {
		cpu_raise_gp(cpu);
	}
	if (transfer->call) {
		push_return(cpu, &stack, transfer->size);
		cpu->regs[X86_RSP] = stack.pointer;
	}
	cpu->seg[X86_CS] = cs;
	cpu->next_rip = transfer->offset;
	cpu_update_mode(cpu);
}

static void transfer_direct(struct cpu *cpu, struct transfer *transfer)
{
	const struct descriptor *code = &transfer->code;
	unsigned dpl = descriptor_dpl(code);
	struct stack stack = stack_current(cpu);

	bool allowed = descriptor_is_conforming(code)
				       ? dpl <= cpu->cpl
				       : dpl == cpu->cpl && SELECTOR_RPL(transfer->selector) <=
									    cpu->cpl;
	if (!descriptor_is_code(code) || !allowed) {
		refuse(cpu, transfer->selector);
	}
	check_code_bits(cpu, code, transfer->selector);
	if (!descriptor_present(code)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, transfer->selector & ~3u);
	}
	far_check_offset(cpu, code, transfer->offset);
	transfer->cpl = cpu->cpl;
	if (transfer->call) {
		push_return(cpu, &stack, transfer->size);
	}
	commit(cpu, transfer, transfer->call ? &stack : NULL);
}

/* The stack of an inner level, with the old stack pointer and the gate's parameters on it. */
static struct stack inner_stack(struct cpu *cpu, const struct transfer *transfer, unsigned params)
{
	const struct segment_blame blame = {.vector = X86_VECTOR_TS};
	struct stack old = stack_current(cpu);
	struct stack stack = {.cpu = cpu, .cpl = transfer->cpl};

	if (cpu_long_mode(cpu)) {
		stack.wide = true;
		stack.pointer = task_inner_rsp(cpu, transfer->cpl, 0, 0);
		stack.ss = segment_null((uint16_t)transfer->cpl);
		stack.ss.attributes |= transfer->cpl << X86_SEG_DPL_SHIFT;
	} else {
		uint32_t esp;
		uint16_t ss;
		task_inner_stack(cpu, transfer->cpl, 0, &esp, &ss);
		stack.pointer = esp;
		stack.ss = segment_fetch_stack(cpu, ss, transfer->cpl, blame);
		stack.error = ss & ~3u;
	}
	stack_push(&stack, cpu->seg[X86_SS].selector, transfer->size);
	stack_push(&stack, cpu->regs[X86_RSP], transfer->size);
	for (unsigned i = params; i > 0; i--) {
		uint64_t param = stack_peek(&old, (i - 1) * transfer->size, transfer->size);
		stack_push(&stack, param, transfer->size);
	}
	return stack;
}

static void read_gate_target(struct cpu *cpu, struct transfer *transfer)
{
	struct descriptor *code = &transfer->code;

	if (SELECTOR_NULL(transfer->selector)) {
		cpu_raise_gp(cpu);
	}
	if (!descriptor_read(cpu, transfer->selector, code) || !descriptor_is_code(code) ||
			descriptor_dpl(code) > cpu->cpl ||
			(cpu_long_mode(cpu) && !is_wide(cpu, code))) {
		refuse(cpu, transfer->selector);
	}
	check_code_bits(cpu, code, transfer->selector);
	if (!transfer->call && !descriptor_is_conforming(code) &&
			descriptor_dpl(code) != cpu->cpl) {
		refuse(cpu, transfer->selector);
	}
	if (!descriptor_present(code)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, transfer->selector & ~3u);
	}
}

static void transfer_gate(struct cpu *cpu, struct transfer *transfer)
{
	struct descriptor *gate = &transfer->code;
	uint64_t raw = gate->raw;
	unsigned params = (raw >> 32) & 31;

	if (cpu_long_mode(cpu)) {
		if (!descriptor_read_upper(cpu, transfer->selector, gate) ||
				((gate->upper >> 40) & 0x1f)) {
			refuse(cpu, transfer->selector);
		}
		transfer->size = 8;
		params = 0;
	} else {
		transfer->size = descriptor_type(gate) == DESCRIPTOR_CALL_GATE ? 4 : 2;
	}
	transfer->offset = (raw & 0xffff) | ((raw >> 32) & 0xffff0000) | gate->upper << 32;
	if (transfer->size == 2) {
		transfer->offset = (uint16_t)transfer->offset;
	}
	transfer->selector = (uint16_t)(raw >> 16);
	read_gate_target(cpu, transfer);
	far_check_offset(cpu, &transfer->code, transfer->offset);
	bool inward = transfer->call && !descriptor_is_conforming(&transfer->code) &&
		      descriptor_dpl(&transfer->code) < cpu->cpl;
	transfer->cpl = inward ? descriptor_dpl(&transfer->code) : cpu->cpl;
	struct stack stack = inward ? inner_stack(cpu, transfer, params) : stack_current(cpu);
	if (transfer->call) {
		push_return(cpu, &stack, transfer->size);
	}
	commit(cpu, transfer, transfer->call ? &stack : NULL);
}

static void transfer_task(struct cpu *cpu, const struct transfer *transfer, uint16_t selector)
{
	task_switch(cpu, selector, transfer->call ? TASK_CALL : TASK_JUMP, cpu->next_rip, NULL, 0);
}

static void transfer_system(struct cpu *cpu, struct transfer *transfer)
{
	const struct descriptor *desc = &transfer->code;
	unsigned dpl = descriptor_dpl(desc), type = descriptor_type(desc);
	bool legacy = !cpu_long_mode(cpu);

	if (dpl < cpu->cpl || SELECTOR_RPL(transfer->selector) > dpl) {
		refuse(cpu, transfer->selector);
	}
	bool is_gate = type == DESCRIPTOR_CALL_GATE || (legacy && type == DESCRIPTOR_CALL_GATE16);
	bool is_task = legacy &&
		       (type == DESCRIPTOR_TASK_GATE || type == DESCRIPTOR_TSS_AVAILABLE ||
				       type == DESCRIPTOR_TSS16_AVAILABLE);
	if (!is_gate && !is_task) {
		refuse(cpu, transfer->selector);
	}
	if (!descriptor_present(desc)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, transfer->selector & ~3u);
	}
	if (is_gate) {
		transfer_gate(cpu, transfer);
	} else if (type == DESCRIPTOR_TASK_GATE) {
		transfer_task(cpu, transfer, (uint16_t)(desc->raw >> 16));
	} else {
		transfer_task(cpu, transfer, transfer->selector);
	}
}

static void far_transfer(struct cpu *cpu, struct transfer *transfer)
{
	if (!cpu_protected(cpu) || cpu_v8086(cpu)) {
		transfer_real(cpu, transfer);
		return;
	}
	if (SELECTOR_NULL(transfer->selector)) {
		cpu_raise_gp(cpu);
	}
	if (!descriptor_read(cpu, transfer->selector, &transfer->code)) {
		refuse(cpu, transfer->selector);
	}
	if (descriptor_is_segment(&transfer->code)) {
		transfer_direct(cpu, transfer);
	} else {
		transfer_system(cpu, transfer);
	}
}

void exec_far_immediate(struct cpu *cpu, const struct insn *insn)
{
	struct transfer transfer = {
			.call = insn->opcode == 0x9a,
			.selector = (uint16_t)(insn->imm >> 32),
			.offset = (uint32_t)insn->imm,
			.size = insn->operand_size,
	};

	far_transfer(cpu, &transfer);
}

void exec_far_memory(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t linear = operand_linear(cpu, insn, size + 2u, MMU_READ);
	struct transfer transfer = {
			.call = ((insn->modrm >> 3) & 7) == 3,
			.offset = memory_load(cpu, linear, size),
			.selector = mmu_load16(cpu, linear + size),
			.size = size,
	};

	far_transfer(cpu, &transfer);
}

static void return_real(struct cpu *cpu, struct stack *stack, unsigned size, uint64_t release)
{
	uint64_t offset = stack_pop(stack, size);
	uint16_t selector = (uint16_t)stack_pop(stack, size);
	struct x86_segment cs = cpu_v8086(cpu) ? segment_v8086(selector)
					       : segment_real(&cpu->seg[X86_CS], selector);

	if (offset > cs.limit) {
		cpu_raise_gp(cpu);
	}
	stack_release(stack, release);
	cpu->regs[X86_RSP] = stack->pointer;
	cpu->seg[X86_CS] = cs;
	cpu->next_rip = offset;
	cpu_update_mode(cpu);
}

struct descriptor far_return_code(struct cpu *cpu, uint16_t selector)
{
	unsigned rpl = SELECTOR_RPL(selector);
	struct descriptor code;

	if (SELECTOR_NULL(selector)) {
		cpu_raise_gp(cpu);
	}
	if (!descriptor_read(cpu, selector, &code) || !descriptor_is_code(&code) ||
			rpl < cpu->cpl) {
		refuse(cpu, selector);
	}
	bool allowed = descriptor_is_conforming(&code) ? descriptor_dpl(&code) <= rpl
						       : descriptor_dpl(&code) == rpl;
	if (!allowed) {
		refuse(cpu, selector);
	}
	check_code_bits(cpu, &code, selector);
	if (!descriptor_present(&code)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, selector & ~3u);
	}
	return code;
}

struct x86_segment far_return_stack(
		struct cpu *cpu, uint16_t selector, unsigned cpl, const struct descriptor *code)
{
	const struct segment_blame blame = {.vector = X86_VECTOR_GP};

	if (SELECTOR_NULL(selector) && is_wide(cpu, code) && cpl != 3 &&
			SELECTOR_RPL(selector) == cpl) {
		struct x86_segment ss = segment_null(selector);
		ss.attributes |= cpl << X86_SEG_DPL_SHIFT;
		return ss;
	}
	if (SELECTOR_NULL(selector)) {
		cpu_raise_gp(cpu);
	}
	return segment_fetch_stack(cpu, selector, cpl, blame);
}

void far_return_commit(struct cpu *cpu, struct descriptor *code, uint16_t selector, uint64_t offset,
		const struct x86_segment *ss, uint64_t rsp)
{
	unsigned cpl = SELECTOR_RPL(selector);
	bool outward = cpl > cpu->cpl;

	descriptor_set_accessed(cpu, code);
	struct x86_segment cs = descriptor_segment(code, selector);
	segment_set_cs(cpu, &cs, cpl);
	cpu->next_rip = offset;
	if (!ss || is_wide(cpu, code)) {
		cpu->regs[X86_RSP] = rsp;
	} else {
		reg_set(cpu, X86_RSP, rsp, ss->attributes & X86_SEG_DB ? 4 : 2);
	}
	if (ss) {
		cpu->seg[X86_SS] = *ss;
	}
	if (outward) {
		segment_drop_privileged(cpu);
	}
	cpu_update_mode(cpu);
}

static void return_protected(struct cpu *cpu, struct stack *stack, unsigned size, uint64_t release)
{
	uint64_t offset = stack_pop(stack, size);
	uint16_t selector = (uint16_t)stack_pop(stack, size);
	struct descriptor code = far_return_code(cpu, selector);
	unsigned cpl = SELECTOR_RPL(selector);

	far_check_offset(cpu, &code, offset);
	stack_release(stack, release);
	if (cpl == cpu->cpl) {
		far_return_commit(cpu, &code, selector, offset, NULL, stack->pointer);
		return;
	}
	uint64_t rsp = stack_pop(stack, size);
	uint16_t ss_selector = (uint16_t)stack_pop(stack, size);
	struct x86_segment ss = far_return_stack(cpu, ss_selector, cpl, &code);
	far_return_commit(cpu, &code, selector, offset, &ss, rsp);
	reg_set(cpu, X86_RSP, cpu->regs[X86_RSP] + release, cpu->stack_size);
}

/* RETF, with imm16 bytes of parameters to drop (CB: none). */
void exec_far_return(struct cpu *cpu, const struct insn *insn)
{
	struct stack stack = stack_current(cpu);
	uint64_t release = insn->opcode == 0xca ? (uint16_t)insn->imm : 0;

	if (!cpu_protected(cpu) || cpu_v8086(cpu)) {
		return_real(cpu, &stack, insn->operand_size, release);
	} else {
		return_protected(cpu, &stack, insn->operand_size, release);
	}
}
