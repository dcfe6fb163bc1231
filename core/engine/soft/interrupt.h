/* SPDX-License-Identifier: MIT */
/*
 * Interrupts and exceptions of the software CPU: delivery in every mode, the rules for faults
 * during delivery, and what the run loop does between instructions. SDM vol. 3, chapters 6 and 17.
 * vCPU thread.
 *
 * The run loop's duties:
 * - sigsetjmp(cpu->unwind, 0) before anything here runs; whenever it returns again, call
 *   interrupt_deliver_fault(). Delivery that faults itself unwinds there too, and is told apart by
 *   cpu->delivery.
 * - before each block: if cpu->request is not 0, call interrupt_poll(); it may raise.
 * - if interrupt_stepping() says so: one instruction at a time, interrupt_before_instruction(), the
 *   instruction, cpu->rip moved on, interrupt_after_instruction(). Each may raise.
 */
#ifndef CORE_ENGINE_SOFT_INTERRUPT_H
#define CORE_ENGINE_SOFT_INTERRUPT_H

#include "core/engine/soft/cpu.h"

/*
 * Where an event comes from decides about privilege checks, the saved RF and the EXT bit of nested
 * error codes.
 */
enum interrupt_kind {
	INTERRUPT_EXTERNAL,
	INTERRUPT_NMI,
	INTERRUPT_FAULT, /* an exception reported at the instruction itself */
	INTERRUPT_TRAP, /* an exception reported after the instruction: #DB by TF or watchpoint */
	INTERRUPT_SOFTWARE, /* INT3, INTO: the gate's DPL counts */
	INTERRUPT_INT, /* INT n: the same, and IOPL and redirection count in virtual-8086 mode */
	INTERRUPT_ICEBP, /* INT1: as software, but without the DPL check */
};

/* Values of cpu->interrupt_shadow. */
#define INTERRUPT_SHADOW_STI 1
#define INTERRUPT_SHADOW_STACK 2 /* MOV SS, POP SS: holds back debug traps as well */

/* What interrupt_poll() tells the run loop. */
enum interrupt_result {
	INTERRUPT_RUN, /* execute at cpu->rip, which may have changed */
	/* leave the run loop: exit, reset, INIT, HLT or shutdown; the request bits still say why */
	INTERRUPT_STOP,
};

/*
 * Delivers cpu->fault, or what it makes together with the event in cpu->delivery. May raise;
 * shutdown is an activity.
 */
void interrupt_deliver_fault(struct cpu *cpu);

/*
 * Looks at cpu->request: flushes, debug traps, NMI, interrupts. While cpu->interrupt_shadow holds
 * interrupts off it leaves them pending; the run loop executes one instruction then, clears the
 * shadow and asks again.
 */
enum interrupt_result interrupt_poll(struct cpu *cpu);

/*
 * INT n and its kin: return address is cpu->next_rip. Sets cpu->next_rip to the handler. May raise.
 */
void interrupt_software(struct cpu *cpu, uint8_t vector, enum interrupt_kind kind);

/* CR8 or something else than IF changed so that something held back may be deliverable now. */
static inline void interrupt_recheck(struct cpu *cpu)
{
	__atomic_fetch_or(&cpu->request, CPU_REQUEST_INTERRUPT, __ATOMIC_RELAXED);
}

/* IF has become 1. */
static inline void interrupt_enabled(struct cpu *cpu)
{
	if (cpu->interrupt_held) {
		cpu->interrupt_held = false;
		interrupt_recheck(cpu);
	}
}

/* Whether single-stepping or breakpoints need the run loop's attention at each instruction. */
static inline bool interrupt_stepping(const struct cpu *cpu)
{
	return (cpu->rflags & (X86_FLAG_TF | X86_FLAG_RF)) || (cpu->dr[7] & 0xff) ||
	       cpu->interrupt_shadow || cpu->debugger_step;
}

/* Raises #DB if an instruction breakpoint matches cpu->rip and RF is clear. */
void interrupt_before_instruction(struct cpu *cpu);

/*
 * After a completed instruction, cpu->rip already at the next: flags_before and shadow_before are
 * RFLAGS and interrupt_shadow as the instruction began. Clears RF and an old shadow; delivers the
 * single-step trap and watchpoint hits.
 */
void interrupt_after_instruction(struct cpu *cpu, uint64_t flags_before, uint8_t shadow_before);

#endif
