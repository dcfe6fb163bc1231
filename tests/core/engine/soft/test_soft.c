/* SPDX-License-Identifier: MIT */
/*
 * The engine as a whole: a guest (guest.S) from real mode to ring 3 and back, with a running clock.
 */
#include "tests/core/engine/soft/soft_machine.h"
#include "tests/harness/test.h"

#include "core/base/thread.h"
#include "core/engine/soft/soft.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#define GUEST_BASE 0x8000

extern const uint8_t guest_code[], guest_code_end[];

static int setup(void **state)
{
	*state = machine_start(1, 0);
	return 0;
}

static int setup_translated(void **state)
{
	*state = machine_start(1, MiB);
	return 0;
}

static int teardown(void **state)
{
	machine_stop(*state);
	return 0;
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
	machine_enter_real(m, GUEST_BASE);
	machine_run(m);
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
	machine_enter_real(m, GUEST_BASE);
	machine_run(m);
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

static void test_hypercalls(void **state)
{
	static const uint8_t code[] = {0xba, 0x00, 0x05, 0x00, 0x00, /* mov edx, REPORT */
			0xb8, 0x63, 0x00, 0x00, 0x00, /* mov eax, 99 */
			0x0f, 0x01, 0xc1, 0xef, /* vmcall; out dx, eax */
			0xb8, 0x01, 0x00, 0x00, 0x00, /* mov eax, 1: KVM_HC_VAPIC_POLL_IRQ */
			0x0f, 0x01, 0xd9, 0xef, /* vmmcall; out dx, eax */
			0xff, 0xc2, 0xef, 0xeb, 0xfe}; /* inc edx; out dx, eax; jmp to itself */
	struct machine *m = *state;

	assert_true(guest_memory_write(m->memory, GUEST_BASE, code, sizeof(code)));
	enter_long(m, GUEST_BASE);
	machine_run(m);
	assert_int_equal(m->report_count, 2);
	assert_int_equal((int32_t)m->reports[0], -1000);
	assert_int_equal(m->reports[1], 0);
}

/* A clock in the page that runs, over and over: whoever writes it must not wait for itself. */
static void test_structure_among_code(void **state)
{
	static const uint8_t code[] = {0xb9, 0x01, 0x4d, 0x56,
			0x4b, /* mov ecx, system time's MSR */
			0x31, 0xd2, /* xor edx, edx */
			0xbb, 0x64, 0x00, 0x00, 0x00, /* mov ebx, 100 */
			0xb8, 0x01, 0x81, 0x00, 0x00, /* mov eax, GUEST_BASE + 0x101 */
			0x0f, 0x30, 0xff, 0xcb, 0x75, 0xf5, /* wrmsr; dec ebx; jnz to the mov eax */
			0xba, 0x00, 0x05, 0x00, 0x00, /* mov edx, REPORT */
			0x8b, 0x04, 0x25, 0x00, 0x81, 0x00, 0x00, /* mov eax, [its version] */
			0xef, 0xff, 0xc2, 0xef, 0xeb, 0xfe}; /* out; inc edx; out; jmp to itself */
	struct machine *m = *state;

	assert_true(guest_memory_write(m->memory, GUEST_BASE, code, sizeof(code)));
	enter_long(m, GUEST_BASE);
	machine_run(m);
	assert_int_equal(m->report_count, 1);
	assert_int_equal(m->reports[0], 200);
}

/* A number that the engine tells of its vCPU. */
static uint64_t statistic(struct machine *m, const char *name)
{
	uint64_t values[ENGINE_MAX_STATS];

	soft_engine.vcpu_read_stats(m->engine->vcpus[0], values);
	for (unsigned i = 0; soft_engine.vcpu_stats[i].name; i++) {
		if (strcmp(soft_engine.vcpu_stats[i].name, name) == 0) {
			return values[i];
		}
	}
	fail_msg("no %s", name);
	return 0;
}

static void test_statistics(void **state)
{
	struct machine *m = *state;
	bool translated = m->engine->config.tb_size > 0;
	uint64_t values[ENGINE_MAX_STATS];

	assert_true(guest_memory_write(
			m->memory, GUEST_BASE, guest_code, (size_t)(guest_code_end - guest_code)));
	machine_enter_real(m, GUEST_BASE);
	machine_run(m);
	assert_true(statistic(m, "blocks_decoded") > 10);
	assert_true(statistic(m, "instructions_interpreted") > 100);
	assert_true(statistic(m, "tlb_read_misses") > 0);
	assert_true(statistic(m, "tlb_write_misses") > 0);
	assert_true(statistic(m, "tlb_fetch_misses") > 0);
	assert_true(statistic(m, "tlb_flushes") > 0);
	assert_true(statistic(m, "blocks_overwritten") > 0); /* the patched instruction */
	assert_int_equal(statistic(m, "interrupts"), 2); /* the two timers */
	assert_int_equal(statistic(m, "page_faults"), 1);
	assert_int_equal(statistic(m, "exceptions"), 2); /* UD2, CLI */
	assert_true(statistic(m, "halts") >= 1);
	assert_int_equal(statistic(m, "hypercalls"), 0);
	assert_true(statistic(m, "block_bytes_used") > 0);
	assert_true(statistic(m, "block_bytes") >= statistic(m, "block_bytes_used"));
	assert_int_equal(statistic(m, "code_bytes"), translated ? MiB : 0);
	assert_true(statistic(m, "tlb_bytes") > 0);
	assert_true(statistic(m, "table_bytes") > 0);
	soft_engine.read_stats(m->engine, values);
	assert_string_equal(soft_engine.stats[0].name, "ram_bytes_reserved");
	assert_int_equal(values[0], MACHINE_RAM_SIZE);
}

/* A loop is worth translating, and each turn of it asks to be attended to. */
static void test_translated_statistics(void **state)
{
	static const uint8_t code[] = {0xba, 0x00, 0x05, 0x00, 0x00, /* mov edx, REPORT */
			0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0xa2, /* cpuid */
			0xba, 0x00, 0x05, 0x00, 0x00, /* mov edx, REPORT */
			0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x89, 0xc8, 0xff, 0xc9, 0x75, 0xfa, /* mov eax, ecx; dec ecx; jnz */
			0x48, 0xff, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00, /* inc qword [0xa000] */
			0x81, 0x3c, 0x25, 0x00, 0xa0, 0x00, 0x00, 0x64, 0x00, 0x00,
			0x00, /* cmp, 100 */
			0x72, 0xd9, /* jb to the cpuid */
			0xff, 0xc2, 0xef, 0xeb, 0xfe}; /* inc edx; out dx, eax; jmp to itself */
	struct machine *m = *state;

	assert_true(guest_memory_write(m->memory, GUEST_BASE, code, sizeof(code)));
	enter_long(m, GUEST_BASE);
	machine_run(m);
	assert_true(statistic(m, "blocks_translated") >= 2);
	assert_true(statistic(m, "code_bytes_used") > 0);
	assert_true(statistic(m, "call_outs") >= 50);
	assert_true(statistic(m, "code_exits_link") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot, setup_translated, teardown),
		cmocka_unit_test_setup_teardown(test_triple_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hypercalls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_structure_among_code, setup, teardown),
		cmocka_unit_test_setup_teardown(
				test_structure_among_code, setup_translated, teardown),
		cmocka_unit_test_setup_teardown(test_statistics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_statistics, setup_translated, teardown),
		cmocka_unit_test_setup_teardown(
				test_translated_statistics, setup_translated, teardown),
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
