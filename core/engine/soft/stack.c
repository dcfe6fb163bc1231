/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/stack.h"

#include "core/engine/soft/mmu.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/segment.h"

static uint64_t pointer_mask(const struct stack *stack)
{
	if (stack->wide) {
		return UINT64_MAX;
	}
	return stack->ss.attributes & X86_SEG_DB ? UINT32_MAX : 0xffff;
}

static uint64_t moved(const struct stack *stack, uint64_t distance)
{
	uint64_t mask = pointer_mask(stack);

	if (mask == UINT32_MAX) {
		return (uint32_t)(stack->pointer + distance);
	}
	return (stack->pointer & ~mask) | ((stack->pointer + distance) & mask);
}

static uint64_t linear_of(struct stack *stack, uint64_t pointer, unsigned size)
{
	uint64_t offset = pointer & pointer_mask(stack);

	if (stack->wide) {
		if (!linear_is_canonical(offset) || !linear_is_canonical(offset + size - 1)) {
			cpu_raise_error(stack->cpu, X86_VECTOR_SS, stack->error);
		}
		return offset;
	}
	if (!segment_within(&stack->ss, offset, size)) {
		cpu_raise_error(stack->cpu, X86_VECTOR_SS, stack->error);
	}
	return (uint32_t)(stack->ss.base + offset);
}

struct stack stack_current(struct cpu *cpu)
{
	return (struct stack){
			.cpu = cpu,
			.ss = cpu->seg[X86_SS],
			.pointer = cpu->regs[X86_RSP],
			.cpl = cpu->cpl,
			.wide = cpu->mode == INSN_MODE_64,
	};
}

void stack_push(struct stack *stack, uint64_t value, unsigned size)
{
	uint64_t pointer = moved(stack, -(uint64_t)size);

	mmu_store_as(stack->cpu, stack->cpl, linear_of(stack, pointer, size), value, size);
	stack->pointer = pointer;
}

uint64_t stack_peek(struct stack *stack, unsigned distance, unsigned size)
{
	uint64_t linear = linear_of(stack, moved(stack, distance), size);

	return mmu_load_as(stack->cpu, stack->cpl, linear, size);
}

uint64_t stack_pop(struct stack *stack, unsigned size)
{
	uint64_t value = stack_peek(stack, 0, size);

	stack->pointer = moved(stack, size);
	return value;
}

void stack_release(struct stack *stack, uint64_t bytes)
{
	stack->pointer = moved(stack, bytes);
}
