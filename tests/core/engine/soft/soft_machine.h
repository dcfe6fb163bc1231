/* SPDX-License-Identifier: MIT */
/*
 * The software engine with memory, a clock and a port to report by, and nothing else.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_SOFT_MACHINE_H
#define TESTS_CORE_ENGINE_SOFT_SOFT_MACHINE_H

#include "core/engine/engine.h"
#include "core/memory/guest_memory.h"

#define MACHINE_RAM_SIZE (4 * MiB) /* from address 0 */
#define MACHINE_REPORT 0x500 /* 32-bit values; a write to the port after it ends the run */

struct machine {
	struct clock *clock;
	struct guest_memory *memory;
	struct address_space *space, *ports;
	struct io_region port;
	struct engine_events events;
	struct engine *engine;
	int done; /* eventfd */
	enum vcpu_exit stopped;
	uint32_t reports[64];
	unsigned report_count;
};

/* tb_size as in struct engine_config. Fails the test if it cannot. */
struct machine *machine_start(unsigned vcpus, uint64_t tb_size);
void machine_stop(struct machine *m);

/* The boot processor in real mode at offset of segment 0. */
void machine_enter_real(struct machine *m, uint64_t offset);

/* Runs timers, as the main loop does, until the guest is done or a vCPU stops. */
void machine_run(struct machine *m);

#endif
