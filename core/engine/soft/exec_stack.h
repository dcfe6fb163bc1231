/* SPDX-License-Identifier: MIT */
/*
 * The stack as instructions use it: SS:rSP with a pointer of cpu->stack_size bytes. Nothing here
 * changes rSP before the access has succeeded.
 */
#ifndef CORE_ENGINE_SOFT_EXEC_STACK_H
#define CORE_ENGINE_SOFT_EXEC_STACK_H

#include "core/engine/soft/operand.h"

/* Any mode; size is 2, 4 or 8. */
void exec_push(struct cpu *cpu, uint64_t value, unsigned size);

/* The value offset bytes above the stack pointer. */
uint64_t exec_peek(struct cpu *cpu, uint64_t offset, unsigned size);

/* Adds to the stack pointer, as far as it is wide. */
void exec_stack_move(struct cpu *cpu, uint64_t bytes);

void exec_push64_slow(struct cpu *cpu, uint64_t value);
uint64_t exec_peek64_slow(struct cpu *cpu);

/* 64-bit mode only. A page of the TLB is canonical, so a hit needs no check. */
static inline void exec_push64(struct cpu *cpu, uint64_t value)
{
	uint64_t linear = cpu->regs[X86_RSP] - 8;
	const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)];

	if (likely(tlb_hit(entry, linear, 8))) {
		memcpy((void *)tlb_host(entry, linear), &value, 8);
		cpu->regs[X86_RSP] = linear;
	} else {
		exec_push64_slow(cpu, value);
	}
}

static inline uint64_t exec_peek64(struct cpu *cpu)
{
	uint64_t linear = cpu->regs[X86_RSP];
	const struct tlb_entry *entry = &cpu->tlb->read[tlb_index(linear)];
	uint64_t value;

	if (likely(tlb_hit(entry, linear, 8))) {
		memcpy(&value, (const void *)tlb_host(entry, linear), 8);
		return value;
	}
	return exec_peek64_slow(cpu);
}

#endif
