/* SPDX-License-Identifier: MIT */
/*
 * Page table walks: every paging mode, permissions, accessed and dirty bits. SDM vol. 3, chapter 4.
 */
#ifndef CORE_ENGINE_SOFT_WALK_H
#define CORE_ENGINE_SOFT_WALK_H

#include "core/engine/soft/mmu.h"

/* Guest-physical addresses have this many bits (CPUID 80000008H). */
#define WALK_PHYSICAL_BITS 40

struct walk_request {
	enum mmu_access access;
	bool user; /* made at CPL 3, and not implicitly supervisor */
	bool smap; /* supervisor data accesses to user pages fault */
	bool quiet; /* a debugger's look: no checks, no accessed or dirty bits */
};

struct walk {
	uint64_t physical; /* of the 4 KiB page */
	uint64_t page_mask; /* linear & page_mask is where the page of the tables starts */
	bool user; /* all levels allow it */
	bool writable;
	bool dirty;
	bool global;
};

/* The host address of a guest-physical page and its GUEST_REGION_* flags; NULL if it is not RAM. */
void *walk_ram_page(struct cpu *cpu, uint64_t physical, unsigned *ret_flags);

/* True with *ret filled, or false with the page fault's error code. Raises nothing. */
bool walk_linear(struct cpu *cpu, uint64_t linear, const struct walk_request *request,
		struct walk *ret, uint32_t *ret_error);

#endif
