/* SPDX-License-Identifier: MIT */
/*
 * The memory of a struct cpu, which is there once for each slot (cpu.h): views of the same pages, but for the sets of the TLB that
 * each slot has of its own.
 */
#ifndef CORE_ENGINE_SOFT_VIEW_H
#define CORE_ENGINE_SOFT_VIEW_H

#include "core/engine/soft/cpu.h"

/* All zero but slot_count, which is 1 if the host has no memory for more. Views of other slots follow the first: &cpu[slot]. */
struct cpu *view_create(void);
void view_destroy(struct cpu *cpu);

/* Makes the calling thread's GS point at the current slot's view, for translated code. */
void view_use(struct cpu *cpu);

#endif
