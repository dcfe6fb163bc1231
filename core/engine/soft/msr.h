/* SPDX-License-Identifier: MIT */
/* Model-specific registers. vCPU thread. SDM vol. 4. */
#ifndef CORE_ENGINE_SOFT_MSR_H
#define CORE_ENGINE_SOFT_MSR_H

#include "core/engine/soft/cpu.h"

/*
 * False: no such register, or a value it cannot hold; the instruction raises #GP. Unknown registers
 * are logged.
 */
bool msr_read(struct cpu *cpu, uint32_t msr, uint64_t *ret_value);
bool msr_write(struct cpu *cpu, uint32_t msr, uint64_t value);

#endif
