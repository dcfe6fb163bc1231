/* SPDX-License-Identifier: MIT */
/*
 * A software vCPU with RAM, an empty I/O space and a virtual clock, for tests of its system half.
 * Decoded code is a fake where fixture_code.c is linked: tests say which pages have some.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_FIXTURE_H
#define TESTS_CORE_ENGINE_SOFT_FIXTURE_H

#include "core/engine/soft/apic.h"
#include "core/engine/soft/cpu.h"
#include "core/engine/soft/mmu.h"
#include "core/memory/address_space.h"
#include "tests/harness/test.h"

#define FIXTURE_RAM_SIZE (4 * MiB)

struct fixture {
	struct clock *clock;
	struct guest_memory *memory;
	struct address_space *space, *ports;
	struct apic_bus *bus;
	struct cpu *cpu;
	uint8_t *ram; /* guest-physical 0 to FIXTURE_RAM_SIZE */
};

/* The page that code_admits_writer() says has decoded code, and what code_written() was told. */
extern uint64_t fixture_code_page;
extern unsigned fixture_code_writes;

struct fixture *fixture_create(struct apic_host *host);
void fixture_destroy(struct fixture *fixture);

static inline void fixture_put64(struct fixture *fixture, uint64_t physical, uint64_t value)
{
	memcpy(fixture->ram + physical, &value, sizeof(value));
}

static inline uint64_t fixture_get64(const struct fixture *fixture, uint64_t physical)
{
	uint64_t value;

	memcpy(&value, fixture->ram + physical, sizeof(value));
	return value;
}

static inline void fixture_put32(struct fixture *fixture, uint64_t physical, uint32_t value)
{
	memcpy(fixture->ram + physical, &value, sizeof(value));
}

static inline uint32_t fixture_get32(const struct fixture *fixture, uint64_t physical)
{
	uint32_t value;

	memcpy(&value, fixture->ram + physical, sizeof(value));
	return value;
}

/* Runs the statement; the value is the vector it raised, or -1. cpu->fault has the rest. */
#define FAULT_OF(cpu, statement) \
	({ \
		volatile int vector_ = -1; \
		if (sigsetjmp((cpu)->unwind, 0) == 0) { \
			statement; \
		} else { \
			vector_ = (cpu)->fault.vector; \
		} \
		vector_; \
	})

/*
 * Four-level tables at 0x1000 that map the first 2 MiB to itself in 4 KiB pages, user and writable,
 * page table at FIXTURE_PAGE_TABLE; long mode with flat 64-bit segments.
 */
#define FIXTURE_PML4 UINT64_C(0x1000)
#define FIXTURE_PDPT UINT64_C(0x2000)
#define FIXTURE_PD UINT64_C(0x3000)
#define FIXTURE_PAGE_TABLE UINT64_C(0x4000)
void fixture_enter_long_mode(struct fixture *fixture, unsigned cpl);

/* Flat 32-bit protected mode without paging. */
void fixture_enter_protected_mode(struct fixture *fixture, unsigned cpl);

#endif
