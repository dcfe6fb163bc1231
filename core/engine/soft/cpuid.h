/* SPDX-License-Identifier: MIT */
/* What CPUID says: the features that the guest was given (features.h), and the machine around them. */
#ifndef CORE_ENGINE_SOFT_CPUID_H
#define CORE_ENGINE_SOFT_CPUID_H

#include "core/engine/soft/cpu.h"

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};

/*
 * Leaf and subleaf as vCPU cpu sees them: APIC id and the bits that mirror control registers filled
 * in.
 */
struct cpuid_result cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf);

/* How fast the host's TSC runs, Hz; measured once if the host does not say. Any thread. */
uint64_t cpuid_host_tsc_hz(void);

#endif
