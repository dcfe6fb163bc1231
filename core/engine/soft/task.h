/* SPDX-License-Identifier: MIT */
/* Hardware task switches. SDM vol. 3, chapter 8. vCPU thread; outside long mode only. */
#ifndef CORE_ENGINE_SOFT_TASK_H
#define CORE_ENGINE_SOFT_TASK_H

#include "core/engine/soft/cpu.h"

enum task_reason {
	TASK_JUMP,
	TASK_CALL,
	TASK_RETURN, /* IRET with NT set */
	TASK_INTERRUPT, /* task gate in the IDT */
};

/*
 * Switches to the task whose TSS selector names; the old one will go on at return_rip. Leaves the
 * new EIP in next_rip. error, if not NULL, is pushed onto the new task's stack. ext is the EXT bit
 * of faults. May raise, before the switch in the old task, after it in the new one.
 */
void task_switch(struct cpu *cpu, uint16_t selector, enum task_reason reason, uint64_t return_rip,
		const uint32_t *error, uint32_t ext);

/* Stack pointer and selector for an inner privilege level, from the current TSS. Raises #TS. */
void task_inner_stack(
		struct cpu *cpu, unsigned cpl, uint32_t ext, uint32_t *ret_esp, uint16_t *ret_ss);

/* The same for long mode: RSP0-RSP2 (ist 0) or IST1-IST7. */
uint64_t task_inner_rsp(struct cpu *cpu, unsigned cpl, unsigned ist, uint32_t ext);

/* Whether the TSS's I/O permission bitmap lets size ports from port on through. */
bool task_io_allowed(struct cpu *cpu, uint16_t port, unsigned size);

/*
 * Whether software interrupts with this vector go to the 8086 program's own handler (CR4.VME, SDM
 * vol. 3, 21.3).
 */
bool task_redirects_interrupt(struct cpu *cpu, uint8_t vector);

#endif
