/* SPDX-License-Identifier: MIT */
/*
 * The run loop of the software CPU: runs decoded blocks one after the other, looks at cpu->request
 * between them, and has faults delivered. What happens between instructions is interrupt.h's, what
 * instructions do is exec.h's. vCPU thread.
 */
#ifndef CORE_ENGINE_SOFT_INTERP_H
#define CORE_ENGINE_SOFT_INTERP_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/cpu.h"

/*
 * Executes from cpu->rip until interrupt_poll() says stop for another reason than HLT; while the
 * CPU halts the thread sleeps. cpu->rip is the next instruction afterwards. Not reentrant; faults
 * inside are taken by cpu->unwind.
 */
void cpu_run(struct cpu *cpu);

/*
 * Leaves the current instruction undone in part, to look at cpu->request and then to execute it
 * again: for string instructions, which keep their progress in registers. Does not return.
 */
_Noreturn void interp_restart(struct cpu *cpu);

/* The block at cpu->rip, fresh; decoded if need be. May raise what the fetch deserves. */
struct block *interp_enter(struct cpu *cpu);

/* Runs the block, which starts at cpu->rip, and leaves rip at the next instruction. */
void interp_run_block(struct cpu *cpu, struct block *block);

/* Instructions interpreted so far, those of the block under way included. */
uint64_t interp_instructions(const struct cpu *cpu);

/* Whether a string instruction has to stop between two of its steps. */
static inline bool interp_wanted(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->request, __ATOMIC_RELAXED) || (cpu->rflags & X86_FLAG_TF);
}

#endif
