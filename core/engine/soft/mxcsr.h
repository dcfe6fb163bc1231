/* SPDX-License-Identifier: MIT */
/*
 * The guest's MXCSR in the host's: while translated code runs that counts on it, and while the engine's own code runs in the
 * middle of that, which does not touch vectors. It is taken out before instructions that look at fx.mxcsr, before code that is
 * not the engine's (devices), and when a fault unwinds. vCPU thread only.
 */
#ifndef CORE_ENGINE_SOFT_MXCSR_H
#define CORE_ENGINE_SOFT_MXCSR_H

#include "core/engine/soft/cpu.h"

static inline void mxcsr_bring_in(struct cpu *cpu)
{
	if (cpu->sse_native && !cpu->mxcsr_resident) {
		__asm__ volatile("ldmxcsr %0" : : "m"(cpu->fx.mxcsr));
		cpu->mxcsr_resident = true;
	}
}

static inline void mxcsr_take_out(struct cpu *cpu)
{
	static const uint32_t usual = 0x1f80;

	if (cpu->mxcsr_resident) {
		__asm__ volatile("stmxcsr %0" : "=m"(cpu->fx.mxcsr));
		__asm__ volatile("ldmxcsr %0" : : "m"(usual));
		cpu->mxcsr_resident = false;
	}
}

#endif
