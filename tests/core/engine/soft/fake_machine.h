/* SPDX-License-Identifier: MIT */
/*
 * A processor without its system half, for tests of the executors and the run loop: a few ranges of
 * linear addresses, physical addresses equal to them, no privileges, faults that are kept instead
 * of delivered.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_FAKE_MACHINE_H
#define TESTS_CORE_ENGINE_SOFT_FAKE_MACHINE_H

#include "core/engine/soft/cpu.h"
#include "core/engine/soft/mmu.h"

struct code_map;

struct fake_range {
	uint64_t linear; /* and physical */
	size_t size; /* bytes, whole pages */
	uint8_t *host; /* borrowed */
	bool writable;
	bool device; /* never handed out as a host address */
};

#define FAKE_MAX_RANGES 8

struct fake_machine {
	struct cpu *cpu;
	struct code_map *map;
	struct fake_range ranges[FAKE_MAX_RANGES];
	unsigned range_count;
	bool fill_tlb; /* else every access takes the slow path */
	unsigned faults; /* delivered so far; the last one is in cpu->fault */
	unsigned polls; /* of requests; what was requested is then forgotten */
	unsigned poll_limit; /* the run loop is stopped after so many, if not 0 */
	void (*touched)(struct fake_machine *fake); /* a device was accessed; may be NULL */
	/* Called where a fault would be delivered; by default it asks the run loop to stop. */
	void (*deliver)(struct fake_machine *fake);
};

/* In 64-bit mode, at CPL 3, no ranges. One machine at a time. */
struct fake_machine *fake_machine_create(void);
void fake_machine_destroy(struct fake_machine *fake);

void fake_machine_add(struct fake_machine *fake, uint64_t linear, size_t size, uint8_t *host,
		bool writable);
void fake_machine_mode(struct fake_machine *fake, enum insn_mode mode);

/*
 * Executes one instruction at cpu->rip outside the run loop. True if it completed, else cpu->fault
 * says why not.
 */
bool fake_machine_execute(struct fake_machine *fake, const uint8_t *bytes, size_t len);

#endif
