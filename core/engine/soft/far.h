/* SPDX-License-Identifier: MIT */
/*
 * What far returns and IRET have in common: checks of the code and stack that control returns to.
 * vCPU thread.
 */
#ifndef CORE_ENGINE_SOFT_FAR_H
#define CORE_ENGINE_SOFT_FAR_H

#include "core/engine/soft/segment.h"

/*
 * Raises #GP unless offset lies within the limit of code, or is canonical if that is 64-bit code.
 */
void far_check_offset(struct cpu *cpu, const struct descriptor *code, uint64_t offset);

/* The code segment that selector, popped from the stack, returns to. Raises #GP, #NP. */
struct descriptor far_return_code(struct cpu *cpu, uint16_t selector);

/*
 * The stack segment of privilege level cpl that is returned to together with code. Raises #GP, #SS.
 */
struct x86_segment far_return_stack(
		struct cpu *cpu, uint16_t selector, unsigned cpl, const struct descriptor *code);

/*
 * Goes there: CS, CPL, next_rip. With ss, that becomes SS and RSP is loaded in its width; without,
 * rsp is the whole new register. An outward return drops data segments. May raise #PF, before
 * anything changed.
 */
void far_return_commit(struct cpu *cpu, struct descriptor *code, uint16_t selector, uint64_t offset,
		const struct x86_segment *ss, uint64_t rsp);

#endif
