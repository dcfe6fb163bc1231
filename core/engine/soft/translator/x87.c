/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/x87.h"

#include "core/engine/soft/fpu.h"

#include <string.h>

static bool may_be_resident(const struct cpu *cpu)
{
	return !(cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) && !(cpu->fx.fsw & FSW_ES) &&
	       (cpu->fx.fcw & FCW_MASKS) == FCW_MASKS;
}

bool x87_bring_in(struct cpu *cpu)
{
	uint32_t mxcsr;

	if (!may_be_resident(cpu)) {
		return false;
	}
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	__asm__ volatile("fxrstor64 %0" : : "m"(cpu->fx));
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	cpu->x87_resident = true;
	return true;
}

/* The pointers in the image are the guest's: translations keep them. */
void x87_take_out(struct cpu *cpu)
{
	static const uint16_t usual = FCW_INIT;
	struct cpu_fx image;

	__asm__ volatile("fxsave64 %0" : "=m"(image));
	/* Nothing is pending, so an empty stack is enough. */
	__asm__ volatile("emms; fldcw %0" : : "m"(usual));
	cpu->fx.fcw = image.fcw;
	cpu->fx.fsw = image.fsw;
	cpu->fx.ftw = image.ftw;
	memcpy(cpu->fx.st, image.st, sizeof(image.st));
	cpu->x87_resident = false;
}
