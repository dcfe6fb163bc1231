/* SPDX-License-Identifier: MIT */
/*
 * The engine as a whole: a guest (guest.S) from real mode to ring 3 and back, with a running clock.
 */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/engine/engine.h"
#include "core/engine/engines.h"
#include "core/engine/soft/soft.h"

#include <poll.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#define GUEST_BASE 0x8000
#define RAM_SIZE (4 * MiB)
#define REPORT 0x500
#define DEADLINE_MS 60000

extern const uint8_t guest_code[], guest_code_end[];

const struct engine_impl *const engine_impls[] = {&soft_engine, NULL};

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

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return 0;
}

/* REPORT and, one above it, DONE. */
static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct machine *m = container_of(region, struct machine, port);

	(void)size;
	if (offset == 1) {
		eventfd_signal(m->done);
	} else if (m->report_count < G_N_ELEMENTS(m->reports)) {
		m->reports[m->report_count++] = (uint32_t)value;
	}
}

static void stopped(struct engine_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct machine *m = container_of(events, struct machine, events);

	(void)vcpu;
	m->stopped = reason;
	eventfd_signal(m->done);
}

static int start(void **state, uint64_t tb_size)
{
	struct machine *m = g_new0(struct machine, 1);
	g_autoptr(GError) error = NULL;
	auto_fd int fd = memfd_create_sized("test", RAM_SIZE, &error);

	m->clock = clock_create(CLOCK_KIND_HOST, &error);
	m->memory = guest_memory_create();
	m->space = address_space_create("memory", m->memory);
	m->ports = address_space_create("ports", NULL);
	m->done = eventfd_create(&error);
	m->port = (struct io_region){
			.name = "report", .size = 8, .read = port_read, .write = port_write};
	address_space_add(m->ports, REPORT, &m->port);
	assert_true(address_space_add_ram(m->space, 0, RAM_SIZE, fd, 0, 0, &error));
	m->events.vcpu_stopped = stopped;
	struct engine_config config = {
			.vcpus = 1,
			.memory = m->space,
			.ports = m->ports,
			.clock = m->clock,
			.events = &m->events,
			.tb_size = tb_size,
	};
	m->engine = engine_create("soft", &config, &error);
	assert_non_null(m->engine);
	*state = m;
	return 0;
}

static int setup(void **state)
{
	return start(state, 0);
}

static int setup_translated(void **state)
{
	return start(state, MiB);
}

static int teardown(void **state)
{
	struct machine *m = *state;

	engine_stop(m->engine);
	engine_destroy(m->engine);
	address_space_remove(&m->port);
	address_space_remove_ram(m->space, 0);
	address_space_destroy(m->ports);
	address_space_destroy(m->space);
	guest_memory_destroy(m->memory);
	fd_close(&m->done);
	clock_destroy(m->clock);
	g_free(m);
	return 0;
}

/* Real mode at offset of segment 0. */
static void enter_real(struct machine *m, uint64_t offset)
{
	struct x86_state cpu;

	vcpu_get_state(m->engine->vcpus[0], &cpu);
	cpu.seg[X86_CS].selector = 0;
	cpu.seg[X86_CS].base = 0;
	cpu.rip = offset;
	vcpu_set_state(m->engine->vcpus[0], &cpu);
}

/* Runs timers, as the main loop does, until the guest is done. */
static void run(struct machine *m)
{
	struct pollfd fds[] = {
			{.fd = m->done, .events = POLLIN},
			{.fd = clock_fd(m->clock), .events = POLLIN},
	};

	engine_start(m->engine);
	for (;;) {
		assert_int_not_equal(poll(fds, G_N_ELEMENTS(fds), DEADLINE_MS), 0);
		if (fds[0].revents) {
			break;
		}
		clock_run_timers(m->clock);
	}
	eventfd_take(m->done);
	engine_stop(m->engine);
}

static void test_boot(void **state)
{
	static const uint32_t expected[] = {
			0x16, /* real mode */
			0x21, /* and an interrupt there */
			0x32, /* protected mode */
			0x64, /* long mode */
			0xe03, /* INT3 */
			0xe06, /* UD2 */
			0x10000123, 0xe0e, 0, /* page fault: CR2, vector, error code */
			0x51, /* system call */
			0xe0d, 0, /* CLI in ring 3: #GP(0) */
			0x52, /* second system call */
			0x40, 0x70, /* APIC timer, behind HLT */
			0x40, 0x71, /* TSC deadline */
			0x72, 0x73, /* 32-bit code in long mode and back */
			0x74, /* an instruction patched just before */
	};
	struct machine *m = *state;

	assert_true(guest_memory_write(
			m->memory, GUEST_BASE, guest_code, (size_t)(guest_code_end - guest_code)));
	enter_real(m, GUEST_BASE);
	run(m);
	for (unsigned i = 0; i < MIN(m->report_count, G_N_ELEMENTS(expected)); i++) {
		if (m->reports[i] != expected[i]) {
			fail_msg("report %u is 0x%x instead of 0x%x", i, m->reports[i],
					expected[i]);
		}
	}
	assert_int_equal(m->report_count, G_N_ELEMENTS(expected));
}

static void test_triple_fault(void **state)
{
	/* lidt of an empty table, then ud2 */
	static const uint8_t code[] = {0x0f, 0x01, 0x1e, 0x00, 0x90, 0x0f, 0x0b};
	struct machine *m = *state;

	assert_true(guest_memory_write(m->memory, GUEST_BASE, code, sizeof(code)));
	enter_real(m, GUEST_BASE);
	run(m);
	assert_int_equal(m->stopped, VCPU_EXIT_SHUTDOWN);
	/* The machine resets it, and it starts over. */
	engine_reset(m->engine);
	struct x86_state cpu;
	vcpu_get_state(m->engine->vcpus[0], &cpu);
	assert_int_equal(cpu.rip, 0xfff0);
	assert_int_equal(cpu.seg[X86_CS].base, 0xffff0000);
}

/* Long mode at ring 0, the first 2 MiB mapped to themselves. */
static void enter_long(struct machine *m, uint64_t rip)
{
	static const uint64_t entries[] = {0x2003, 0x3003, 0x83};
	struct x86_state cpu;

	for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
		assert_true(guest_memory_write(
				m->memory, 0x1000 + 0x1000 * i, &entries[i], sizeof(entries[i])));
	}
	vcpu_get_state(m->engine->vcpus[0], &cpu);
	cpu.seg[X86_CS] = (struct x86_segment){.limit = UINT32_MAX,
			.attributes = X86_SEG_P | X86_SEG_S | X86_SEG_G | X86_SEG_L | 11,
			.selector = 8};
	cpu.cr3 = 0x1000;
	cpu.cr4 = X86_CR4_PAE;
	cpu.efer = X86_EFER_LME | X86_EFER_LMA;
	cpu.cr0 = X86_CR0_PE | X86_CR0_PG;
	cpu.rip = rip;
	cpu.regs[X86_RSP] = 0x7000;
	vcpu_set_state(m->engine->vcpus[0], &cpu);
}

static uint32_t load32(struct machine *m, uint64_t address)
{
	uint32_t value;

	assert_true(guest_memory_read(m->memory, address, &value, sizeof(value)));
	return value;
}

/* Waits until the guest has counted on: it has come around since. */
static void wait_rounds(struct machine *m, uint64_t counter, uint32_t rounds)
{
	uint32_t begin = load32(m, counter);

	while (load32(m, counter) - begin < rounds) {
		g_thread_yield();
	}
}

/*
 * Code that a device writes while it runs: from then on the new bytes count. Not for ThreadSanitizer, to which memory that a
 * guest and a device both use is a race.
 */
G_GNUC_UNUSED static void test_code_written_by_others(void **state)
{
	static const uint8_t code[] = {0xe8, 0xfb, 0x0f, 0x00, 0x00, /* call 0x9000 */
			0x89, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00, /* mov [0xa000], eax */
			0xff, 0x04, 0x25, 0x08, 0xa0, 0x00, 0x00, /* inc dword [0xa008] */
			0xeb, 0xeb}; /* jmp to the call */
	static const uint8_t function[] = {
			0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, 0 */
	struct machine *m = *state;

	assert_true(guest_memory_write(m->memory, GUEST_BASE, code, sizeof(code)));
	assert_true(guest_memory_write(m->memory, 0x9000, function, sizeof(function)));
	enter_long(m, GUEST_BASE);
	engine_start(m->engine);
	for (uint32_t value = 1; value < 100; value++) {
		wait_rounds(m, 0xa008, 50);
		assert_true(guest_memory_write(m->memory, 0x9004, &value, sizeof(value)));
		/* The processor may be ahead of what it has stored, by the depth of the host's store buffer. */
		wait_rounds(m, 0xa008, 10);
		assert_int_equal(load32(m, 0xa000), value);
	}
	engine_stop(m->engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot, setup_translated, teardown),
		cmocka_unit_test_setup_teardown(test_triple_fault, setup, teardown),
#if !__has_feature(thread_sanitizer)
		cmocka_unit_test_setup_teardown(test_code_written_by_others, setup, teardown),
		cmocka_unit_test_setup_teardown(
				test_code_written_by_others, setup_translated, teardown),
#endif
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
