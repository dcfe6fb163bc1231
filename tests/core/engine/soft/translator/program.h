/* SPDX-License-Identifier: MIT */
/*
 * Programs for a software vCPU in long mode with its run loop, MMU, interrupts and one device: each test of them is made to be
 * interpreted, translated, translated with so little memory for code that everything is dropped over and over, and
 * translated with each block compared.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_TRANSLATOR_PROGRAM_H
#define TESTS_CORE_ENGINE_SOFT_TRANSLATOR_PROGRAM_H

#include "core/engine/soft/block.h"
#include "tests/core/engine/soft/fixture.h"

/* Guest-physical layout; linear addresses are the same where nothing else is said. */
#define GDT UINT64_C(0x20000)
#define IDT UINT64_C(0x21000)
#define TSS UINT64_C(0x22000)
#define INNER_STACK UINT64_C(0x31000)
#define HANDLERS UINT64_C(0x38000)
#define CODE UINT64_C(0x40000) /* 16 pages */
#define DATA UINT64_C(0x60000) /* 16 pages */
#define STACK (DATA + 8 * GUEST_PAGE_SIZE)
#define ALIAS UINT64_C(0x100000) /* linear; mapped by tests */
#define DEVICE_PHYSICAL UINT64_C(0x800000)

#define SEL_CODE 0x08u
#define SEL_USER_DATA 0x1bu
#define SEL_USER_CODE 0x23u

/* Handlers write to the port that belongs to their vector. */
#define PORTS 0x60u

/* Raises #UD: what programs end with. */
#define STOP 0x0f, 0x0b

enum way {
	INTERPRETED,
	TRANSLATED,
	SMALL,
	CHECKED,
};

struct program {
	struct fixture *fixture;
	struct cpu *cpu;
	struct code_map *map;
	enum way way;
	struct io_region ports, device;
	unsigned vector; /* delivered last; 0xff: none */
	struct {
		uint64_t error, rip, cs, rflags, rsp, ss;
	} frame;
	uint32_t device_value;
	unsigned device_reads, device_writes;
};

/* cmocka's fixtures: *state is a struct program at CODE, ring 0, registers 0, stack STACK. */
int program_start_interpreted(void **state);
int program_start_translated(void **state);
int program_start_small(void **state);
int program_start_checked(void **state);
int program_stop(void **state);

/* Registers as at the start. */
void program_reset(struct program *p);

/* Runs on until something is delivered, which must be the given vector at the given address (UINT64_MAX: any). */
void program_run(struct program *p, unsigned vector, uint64_t rip);

/* A thread's function, of a struct program: waits until the guest is in translated code, then sends it an NMI. */
void *program_interrupt(void *opaque);

/* Fails unless the block there, which has been run, is translated; where it is not interpreted, or may have been dropped. */
void program_assert_translated(struct program *p, uint64_t linear);

/* Changes a page table entry of the first 2 MiB. */
void program_map(struct program *p, uint64_t linear, uint64_t entry);

#define LOAD(p, physical, ...) \
	do { \
		static const uint8_t bytes_[] = {__VA_ARGS__}; \
		memcpy((p)->fixture->ram + (physical), bytes_, sizeof(bytes_)); \
	} while (0)

/* All ways of a test, for an array of struct CMUnitTest. */
#define PROGRAM_WAY(name, way) \
	{ \
#name ", " #way, name, program_start_##way, program_stop, NULL \
	}
#define PROGRAM_UNCHECKED(name) \
	PROGRAM_WAY(name, interpreted), PROGRAM_WAY(name, translated), PROGRAM_WAY(name, small)

/* Checked, a block may be entered with the guest's vectors in the host's registers: ThreadSanitizer's calls change those. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if __has_feature(thread_sanitizer)
#define PROGRAM_TEST(name) PROGRAM_UNCHECKED(name)
#else
#define PROGRAM_TEST(name) PROGRAM_UNCHECKED(name), PROGRAM_WAY(name, checked)
#endif

#endif
