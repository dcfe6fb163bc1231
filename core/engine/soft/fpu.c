/* SPDX-License-Identifier: MIT */
/* What the x87, MMX and SSE executors share. See fpu.h. */
#include "core/engine/soft/fpu.h"

#include "core/base/log.h"

#include <inttypes.h>

void fpu_refuse_sse(struct cpu *cpu)
{
	if ((cpu->cr0 & X86_CR0_EM) || !(cpu->cr4 & X86_CR4_OSFXSR)) {
		cpu_raise_ud(cpu);
	}
	cpu_raise(cpu, X86_VECTOR_NM);
}

/*
 * Without CR0.NE the processor signals FERR# and the board sends IRQ 13. That wire does not exist here: the exception stays
 * pending and the instruction goes on as with IGNNE# asserted.
 */
void fpu_pending_exception(struct cpu *cpu)
{
	if (cpu->cr0 & X86_CR0_NE) {
		cpu_raise(cpu, X86_VECTOR_MF);
	}
	guest_error("x87 exception at %#" PRIx64 " with CR0.NE = 0: ignored", cpu->rip);
}

void fpu_refuse_x87(struct cpu *cpu, bool waits)
{
	if (cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) {
		cpu_raise(cpu, X86_VECTOR_NM);
	}
	if (waits) {
		fpu_pending_exception(cpu);
	}
}

void fpu_refuse_mmx(struct cpu *cpu)
{
	if (cpu->cr0 & X86_CR0_EM) {
		cpu_raise_ud(cpu);
	}
	if (cpu->cr0 & X86_CR0_TS) {
		cpu_raise(cpu, X86_VECTOR_NM);
	}
	fpu_pending_exception(cpu);
}

void fpu_raise_simd(struct cpu *cpu)
{
	cpu_raise(cpu, cpu->cr4 & X86_CR4_OSXMMEXCPT ? X86_VECTOR_XM : X86_VECTOR_UD);
}

void fpu_set_top(struct cpu_fx *fx, unsigned top)
{
	unsigned old = (fx->fsw & FSW_TOP) >> FSW_TOP_SHIFT;
	uint8_t turned[8][16];

	for (unsigned i = 0; i < 8; i++) {
		memcpy(turned[i], fx->st[(top + i - old) & 7], sizeof(turned[i]));
	}
	memcpy(fx->st, turned, sizeof(turned));
	fx->fsw = (uint16_t)((fx->fsw & ~FSW_TOP) | top << FSW_TOP_SHIFT);
}

void fpu_update_pending(struct cpu_fx *fx)
{
	fx->fsw &= (uint16_t) ~(FSW_ES | FSW_BUSY);
	if (fx->fsw & ~fx->fcw & FSW_EXCEPTIONS) {
		fx->fsw |= FSW_ES | FSW_BUSY;
	}
}

void fpu_init(struct cpu_fx *fx)
{
	fpu_set_top(fx, 0);
	fx->fcw = FCW_INIT;
	fx->fsw = 0;
	fx->ftw = 0;
	fx->fop = 0;
	fx->fip = 0;
	fx->fdp = 0;
}
