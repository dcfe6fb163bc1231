/* SPDX-License-Identifier: MIT */
/*
 * Entry to interrupt and exception handlers: what the processor does with an IDT entry, in each
 * mode. vCPU thread.
 */
#ifndef CORE_ENGINE_SOFT_EVENT_H
#define CORE_ENGINE_SOFT_EVENT_H

#include "core/engine/soft/interrupt.h"

struct event {
	uint8_t vector;
	enum interrupt_kind kind;
	bool redirectable; /* INT n: subject to IOPL and redirection in virtual-8086 mode */
	bool has_error; /* error is pushed, except in real mode */
	uint32_t error;
	uint64_t return_rip;
};

/*
 * Enters the event's handler: next_rip is its first instruction. Raises what goes wrong; then
 * nothing has changed.
 */
void event_enter(struct cpu *cpu, const struct event *event);

#endif
