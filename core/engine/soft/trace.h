/* SPDX-License-Identifier: MIT */
/*
 * What -d int, exec and in_asm show of the software CPU. The callers ask log_wants() first. vCPU
 * thread.
 */
#ifndef CORE_ENGINE_SOFT_TRACE_H
#define CORE_ENGINE_SOFT_TRACE_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/event.h"

/* The event is about to be delivered. */
void trace_event(const struct cpu *cpu, const struct event *event);

/* Code runs from cpu->rip on. */
void trace_exec(const struct cpu *cpu);

/* The block was decoded; it starts at the linear address. */
void trace_block(const struct cpu *cpu, const struct block *block, uint64_t linear);

#endif
