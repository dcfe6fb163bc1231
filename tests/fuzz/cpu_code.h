/* SPDX-License-Identifier: MIT */
/*
 * The guest that fuzz_cpu.c runs: memory with tables for every mode, and code (cpu_pieces.h). All of it can be written by the
 * guest.
 */
#ifndef TESTS_FUZZ_CPU_CODE_H
#define TESTS_FUZZ_CPU_CODE_H

#include "core/engine/x86.h"
#include "tests/fuzz/fuzz.h"

/* Guest-physical layout; linear addresses are the same but for what is said. Tables first. */
#define GUEST_RAM_SIZE UINT64_C(0x80000)
#define GUEST_PML4 UINT64_C(0x1000)
#define GUEST_PDPT UINT64_C(0x2000)
#define GUEST_PDPT_PAE UINT64_C(0x2800)
#define GUEST_PD UINT64_C(0x3000)
#define GUEST_PT UINT64_C(0x4000)
#define GUEST_PD_HIGH UINT64_C(0x5000) /* the fourth GiB: local APICs */
#define GUEST_PD_32 UINT64_C(0x6000) /* tables of two levels */
#define GUEST_PT_32 UINT64_C(0x7000)
#define GUEST_GDT UINT64_C(0x8000)
#define GUEST_IDT UINT64_C(0x9000)
#define GUEST_TSS UINT64_C(0xa000)
#define GUEST_TSS_OTHER UINT64_C(0xa800) /* to switch to */
#define GUEST_TSS_16 UINT64_C(0xac00)
#define GUEST_LDT UINT64_C(0xb000)
#define GUEST_HANDLERS UINT64_C(0xc000)
#define GUEST_ROUNDS UINT64_C(0xd000) /* 32 bits: how often the code is yet to run */
#define GUEST_START UINT64_C(0xf000) /* of the second vCPU, in real mode */
#define GUEST_CODE UINT64_C(0x10000)
#define GUEST_CODE_SIZE UINT64_C(0x4000)
#define GUEST_DATA UINT64_C(0x20000)
/* Pages with something about them, linear. */
#define GUEST_READ_ONLY UINT64_C(0x23000)
#define GUEST_ABSENT UINT64_C(0x24000)
#define GUEST_NOT_CODE UINT64_C(0x25000)
#define GUEST_SUPERVISOR UINT64_C(0x26000)
#define GUEST_DEVICE_ALIAS UINT64_C(0x27000)
#define GUEST_GLOBAL UINT64_C(0x28000)
#define GUEST_STACK UINT64_C(0x34000)
#define GUEST_INNER_STACK UINT64_C(0x3c000)
#define GUEST_CODE_ALIAS UINT64_C(0x40000)
#define GUEST_DEVICE UINT64_C(0xa0000)
#define GUEST_NOTHING UINT64_C(0xb0000)
#define GUEST_ROM UINT64_C(0xf0000)
#define GUEST_ROM_SIZE UINT64_C(0x10000)
#define GUEST_APIC UINT64_C(0xfee00000)

/* Handlers write to the port of their vector; the end of the code to the one behind them. */
#define GUEST_PORTS 0x60u
#define GUEST_VECTORS 32u

/* Selectors: of the TSS, and where the table ends. */
#define GUEST_SEL_TSS 0x60u
#define GUEST_SEL_LAST 0xc0u

enum guest_mode {
	GUEST_LONG,
	GUEST_LONG_USER,
	GUEST_COMPATIBLE_USER, /* 32-bit code in long mode */
	GUEST_PROTECTED,
	GUEST_PROTECTED_USER,
	GUEST_PROTECTED_16,
	GUEST_REAL,
	GUEST_V8086,
	GUEST_MODES,
};

/* Of the code that the guest begins with: 2, 4 or 8 bytes. */
unsigned guest_width(enum guest_mode mode);

/* Page number that a SIPI starts the second vCPU at. */
unsigned guest_start_page(enum guest_mode mode);

/*
 * Fills RAM with what the mode needs and code that the input describes, and *state, a vCPU's after reset, so that it begins
 * there.
 */
void guest_build(uint8_t *ram, enum guest_mode mode, struct fuzz_input *input,
		struct x86_state *state);

#endif
