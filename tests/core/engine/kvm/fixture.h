/* SPDX-License-Identifier: MIT */
/*
 * A machine for the KVM tests: 4 MiB of RAM, a port device and a memory device that report what they are asked, and
 * an engine (kvm, or what ORIEL_ENGINE in the environment names). What happens is queued in the order it happens; a
 * test says what it expects next.
 */
#ifndef TESTS_CORE_ENGINE_KVM_FIXTURE_H
#define TESTS_CORE_ENGINE_KVM_FIXTURE_H

#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/engine/engine.h"

/* As in guests.S. */
#define AP_AT 0x8000u
#define CODE_AT 0x9000u
#define HANDLERS_AT 0xa000u
#define FIRST_HANDLER 0x30u
#define LAST_HANDLER 0x5fu
#define HANDLER_SIZE 8u
#define IDT_AT 0x10000u
#define STACK_AT 0x20000u
#define DATA_AT 0x30000u
#define ALIAS_AT 0x600000u
#define HOLE_AT 0x800000u
#define RAM_SIZE UINT64_C(0x400000)
#define PORT 0x100u
#define PORT_COUNT 16u
#define DONE_OFFSET 0xfu /* of the port that guests write to when they are done */
#define MMIO UINT64_C(0xd0000000)
#define MMIO_SIZE 0x2000u
#define ROM UINT64_C(0x10000000)
#define LATE_RAM UINT64_C(0x40000000)

enum happening {
	PORT_WRITTEN, /* offset, value, size */
	MMIO_WRITTEN,
	STOPPED, /* cpu, value: enum vcpu_exit */
	EOI, /* value: vector */
	ACKNOWLEDGED, /* by the 8259: value: vector */
};

struct machine_fixture {
	struct guest_memory *ram;
	struct address_space *memory, *ports;
	struct clock *clock;
	struct engine *engine;
	struct engine_events events;
	struct irqchip_board board;
	struct io_region port_device, mmio_device;
	GAsyncQueue *happened; /* struct happened * */
	gint reads; /* of the port device */
	uint8_t pic_vector; /* what the 8259 answers */
	/* Called instead of queueing STOPPED; on the vCPU's thread. May be NULL. */
	void (*stopped)(struct machine_fixture *m, struct vcpu *vcpu, enum vcpu_exit reason);
	bool extint_on_write; /* a write to the done port raises the 8259's line */
};

/*
 * The test program's main(): ends it where there is no KVM. ORIEL_TEST in the environment names the tests to run (a
 * pattern).
 */
int run_tests_with_kvm(int (*run)(void));

/* Skips the test where KVM emulates: for what only processors can do. */
void need_hardware(void);

/* cmocka's; one vCPU, or two. */
int machine_setup(void **state);
int machine_setup_two(void **state);
/* With a processor as -cpu describes it. */
int machine_setup_cpu(void **state, const char *cpu);
int machine_teardown(void **state);

/* Copies a guest of guests.S to address. */
#define load_guest(m, address, name) \
	do { \
		extern const uint8_t guest_##name[], guest_##name##_end[]; \
		write_ram(m, address, guest_##name, (size_t)(guest_##name##_end - guest_##name)); \
	} while (0)
void write_ram(struct machine_fixture *m, uint64_t address, const void *data, size_t len);
uint64_t read_ram64(struct machine_fixture *m, uint64_t address);

/* Sets the boot CPU to start at CODE_AT in a mode, everything else as after a reset. */
void enter_real(struct machine_fixture *m);
void enter_protected(struct machine_fixture *m, bool paged); /* paged: 0-4 MiB is also at 4 MiB */
/* 0-4 GiB one to one, but ALIAS_AT is 0 again and HOLE_AT nothing (2 MiB each); gates for the handlers. */
void enter_long(struct machine_fixture *m);

/* All registers but DR4-6 are the same. */
void assert_same_state(const struct x86_state *a, const struct x86_state *b);

/* The next thing that happens is this. */
void expect(struct machine_fixture *m, enum happening what, uint64_t where, uint64_t value,
		unsigned size);
void expect_done(struct machine_fixture *m);
void expect_stopped(struct machine_fixture *m, enum vcpu_exit reason);
void expect_nothing(struct machine_fixture *m); /* so far */

#endif
