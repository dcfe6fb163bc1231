/* SPDX-License-Identifier: MIT */
/*
 * Stacks that may not be the current one: frames of interrupts, far calls, returns and task
 * switches. Nothing of the processor's state changes until the caller commits the pointer. vCPU
 * thread.
 */
#ifndef CORE_ENGINE_SOFT_STACK_H
#define CORE_ENGINE_SOFT_STACK_H

#include "core/engine/soft/cpu.h"

struct stack {
	struct cpu *cpu;
	struct x86_segment ss;
	uint64_t pointer; /* whole register; the part above the stack's width is kept */
	unsigned cpl; /* whose accesses these are */
	bool wide; /* 64-bit: flat, canonical */
	uint32_t error; /* of the #SS that a bad access raises */
};

/* The current stack. */
struct stack stack_current(struct cpu *cpu);

/* Pushes and pops size (2, 4 or 8) bytes. Raise #SS or #PF. */
void stack_push(struct stack *stack, uint64_t value, unsigned size);
uint64_t stack_pop(struct stack *stack, unsigned size);

/* The value at distance bytes above the pointer. */
uint64_t stack_peek(struct stack *stack, unsigned distance, unsigned size);

/* Moves the pointer up without looking. */
void stack_release(struct stack *stack, uint64_t bytes);

#endif
