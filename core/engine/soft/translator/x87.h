/* SPDX-License-Identifier: MIT */
/*
 * The guest's x87 and MMX registers in the host's, while translated code runs. They are brought in when an instruction first
 * needs them and stay, from block to block, until something is called out or translated code is left. Only with every x87
 * exception masked and none pending: then nothing there can fault. vCPU thread only.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_X87_H
#define CORE_ENGINE_SOFT_TRANSLATOR_X87_H

#include "core/engine/soft/cpu.h"

/* Makes the host's registers the guest's; false if they may not be. The host's XMM registers become those of cpu->fx. */
bool x87_bring_in(struct cpu *cpu);

/* Back to cpu->fx. XMM registers and MXCSR stay as they are. */
void x87_take_out(struct cpu *cpu);

#endif
