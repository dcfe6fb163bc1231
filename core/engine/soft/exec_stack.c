/* SPDX-License-Identifier: MIT */
/* The stack: PUSH POP PUSHA POPA ENTER LEAVE. */
#include "core/engine/soft/exec_integer.h"

static inline uint64_t stack_mask(const struct cpu *cpu)
{
	return cpu->stack_size == 8 ? UINT64_MAX : BIT(cpu->stack_size * 8) - 1;
}

static void stack_set(struct cpu *cpu, uint64_t value)
{
	uint64_t mask = stack_mask(cpu);

	if (cpu->stack_size == 2) {
		value = (cpu->regs[X86_RSP] & ~mask) | (value & mask);
	}
	cpu->regs[X86_RSP] = value & (cpu->stack_size == 4 ? mask : UINT64_MAX);
}

static uint64_t stack_linear(
		struct cpu *cpu, uint64_t pointer, unsigned size, enum mmu_access access)
{
	return segment_linear(cpu, X86_SS, pointer & stack_mask(cpu), size, access);
}

void exec_push(struct cpu *cpu, uint64_t value, unsigned size)
{
	uint64_t pointer = cpu->regs[X86_RSP] - size;

	linear_store(cpu, stack_linear(cpu, pointer, size, MMU_WRITE), value, size);
	stack_set(cpu, pointer);
}

uint64_t exec_peek(struct cpu *cpu, uint64_t offset, unsigned size)
{
	uint64_t pointer = cpu->regs[X86_RSP] + offset;

	return linear_load(cpu, stack_linear(cpu, pointer, size, MMU_READ), size);
}

void exec_stack_move(struct cpu *cpu, uint64_t bytes)
{
	stack_set(cpu, cpu->regs[X86_RSP] + bytes);
}

void exec_push64_slow(struct cpu *cpu, uint64_t value)
{
	exec_push(cpu, value, 8);
}

uint64_t exec_peek64_slow(struct cpu *cpu)
{
	return exec_peek(cpu, 0, 8);
}

static void push64_register(struct cpu *cpu, const struct insn *insn)
{
	exec_push64(cpu, cpu->regs[insn->rm]);
}

static void push_register(struct cpu *cpu, const struct insn *insn)
{
	exec_push(cpu, cpu->regs[insn->rm], insn->operand_size);
}

static void push_immediate(struct cpu *cpu, const struct insn *insn)
{
	exec_push(cpu, insn->imm, insn->operand_size);
}

static void push_memory(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = linear_load(cpu, operand_linear(cpu, insn, insn->operand_size, MMU_READ),
			insn->operand_size);

	exec_push(cpu, value, insn->operand_size);
}

static void pop64_register(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = exec_peek64(cpu);

	cpu->regs[X86_RSP] += 8;
	cpu->regs[insn->rm] = value;
}

static void pop_register(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = exec_peek(cpu, 0, insn->operand_size);

	exec_stack_move(cpu, insn->operand_size);
	reg_set(cpu, insn, insn->rm, value, insn->operand_size);
}

/* An address that uses rSP is computed with rSP as it will be after the instruction. */
static void pop_memory(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t value = exec_peek(cpu, 0, size), before = cpu->regs[X86_RSP], after, offset;

	exec_stack_move(cpu, size);
	after = cpu->regs[X86_RSP];
	offset = operand_offset(cpu, insn);
	cpu->regs[X86_RSP] = before;
	linear_store(cpu, segment_linear(cpu, insn->segment, offset, size, MMU_WRITE), value, size);
	cpu->regs[X86_RSP] = after;
}

/* After a fault in the middle the instruction runs again and stores the same: rSP has not moved. */
static void pusha(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t pointer = cpu->regs[X86_RSP];

	for (unsigned i = 0; i < 8; i++) {
		pointer -= size;
		linear_store(cpu, stack_linear(cpu, pointer, size, MMU_WRITE), cpu->regs[i], size);
	}
	stack_set(cpu, pointer);
}

static void popa(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t values[8];

	for (unsigned i = 0; i < 8; i++) {
		values[7 - i] = exec_peek(cpu, i * size, size);
	}
	exec_stack_move(cpu, 8u * size);
	for (unsigned i = 0; i < 8; i++) {
		if (i != X86_RSP) {
			reg_set(cpu, insn, i, values[i], size);
		}
	}
}

/*
 * The frames of the nesting levels above are copied from the old frame, then the new frame's own
 * address follows.
 */
static void enter(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size, level = insn->imm2 & 31;
	uint64_t pointer = cpu->regs[X86_RSP] - size, source = cpu->regs[X86_RBP], frame;

	linear_store(cpu, stack_linear(cpu, pointer, size, MMU_WRITE), cpu->regs[X86_RBP], size);
	frame = pointer;
	for (unsigned i = 1; i < level; i++) {
		uint64_t value;
		source -= size;
		pointer -= size;
		value = linear_load(cpu, stack_linear(cpu, source, size, MMU_READ), size);
		linear_store(cpu, stack_linear(cpu, pointer, size, MMU_WRITE), value, size);
	}
	if (level > 0) {
		pointer -= size;
		linear_store(cpu, stack_linear(cpu, pointer, size, MMU_WRITE), frame, size);
	}
	pointer -= (uint16_t)insn->imm;
	/* The new top of the stack has to be writable. */
	mmu_probe_write(cpu, stack_linear(cpu, pointer, size, MMU_WRITE), size);
	stack_set(cpu, pointer);
	reg_set(cpu, insn, X86_RBP, frame, size);
}

/* rSP comes from rBP by the width of the stack, rBP from there by operand size. */
static void leave(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t pointer = cpu->regs[X86_RBP];
	uint64_t value = linear_load(cpu, stack_linear(cpu, pointer, size, MMU_READ), size);

	stack_set(cpu, pointer + size);
	reg_set(cpu, insn, X86_RBP, value, size);
}

insn_exec_fn *exec_stack_find(struct insn *insn)
{
	bool wide = insn->operand_size == 8;

	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0x50 ... 0x57:
		return wide ? push64_register : push_register;
	case 0x58 ... 0x5f:
		return wide ? pop64_register : pop_register;
	case 0x60:
		return pusha;
	case 0x61:
		return popa;
	case 0x68:
	case 0x6a:
		return push_immediate;
	case 0x8f:
		return insn->is_memory ? pop_memory : pop_register;
	case 0xc8:
		return enter;
	case 0xc9:
		return leave;
	case 0xff:
		if (modrm_reg(insn) != 6) {
			return NULL;
		}
		return insn->is_memory ? push_memory : push_register;
	default:
		return NULL;
	}
}
