/* SPDX-License-Identifier: MIT */
/* Guests in every mode, their accesses to devices, and all the ways a vCPU stops. */
#include "tests/core/engine/kvm/fixture.h"

#include <string.h>
#include <unistd.h>

static void test_real_mode_and_ports(void **state)
{
	struct machine_fixture *m = *state;

	load_guest(m, CODE_AT, real);
	enter_real(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 42, 2);
	expect(m, PORT_WRITTEN, 0, 'b', 1);
	for (const char *c = "hello"; *c; c++) {
		expect(m, PORT_WRITTEN, 0, (uint8_t)*c, 1);
	}
	expect_done(m);
	/* 42, and what the string input brought. */
	assert_int_equal(read_ram64(m, 0x5000), UINT64_C(0x65646362002a));
}

static void run_protected(struct machine_fixture *m, bool paged)
{
	uint64_t data = 0xfeedface;
	struct x86_state start;

	load_guest(m, CODE_AT, protected);
	write_ram(m, DATA_AT, &data, sizeof(data));
	enter_protected(m, paged);
	vcpu_get_state(m->engine->vcpus[0], &start);
	start.regs[X86_RSI] = paged ? 0x400000 + DATA_AT : DATA_AT;
	vcpu_set_state(m->engine->vcpus[0], &start);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0xfeedface, 4);
	expect_done(m);
	assert_int_equal(read_ram64(m, DATA_AT), UINT64_C(0x000055aafeedface));
}

static void test_protected_mode(void **state)
{
	run_protected(*state, false);
}

static void test_paged_protected_mode(void **state)
{
	need_hardware();
	run_protected(*state, true);
}

static void test_long_mode(void **state)
{
	struct machine_fixture *m = *state;

	load_guest(m, CODE_AT, long);
	enter_long(m);
	engine_start(m->engine);
	expect_done(m);
	assert_int_equal(read_ram64(m, DATA_AT), UINT64_C(0x3456789abcdef000));
	assert_int_equal(read_ram64(m, DATA_AT + 8), 0x12);
	assert_int_equal(read_ram64(m, DATA_AT + 16), UINT64_C(0x123456789abcdef0));
	assert_int_equal(read_ram64(m, DATA_AT + 24), UINT64_C(0x3456789abcdef000));
}

static void test_mmio(void **state)
{
	struct machine_fixture *m = *state;

	load_guest(m, CODE_AT, mmio);
	enter_long(m);
	engine_start(m->engine);
	expect(m, MMIO_WRITTEN, 0, 0x11, 1);
	expect(m, MMIO_WRITTEN, 2, 0x2222, 2);
	expect(m, MMIO_WRITTEN, 4, 0x44444444, 4);
	expect(m, MMIO_WRITTEN, 8, UINT64_C(0x8877665544332211), 8);
	/* Three bytes before the end of a page, one behind it. */
	expect(m, MMIO_WRITTEN, 0xffd, 0xa2a1, 2);
	expect(m, MMIO_WRITTEN, 0xfff, 0xa3, 1);
	expect(m, MMIO_WRITTEN, 0x1000, 0xa4, 1);
	expect(m, PORT_WRITTEN, 0, 0xc0de0004, 4);
	expect_done(m);
}

/* A vCPU that never leaves the guest by itself can be stopped, and goes on where it was. */
/*
 * Lets the vCPU run for a while, twice as long as the last time, so that it gets somewhere on however slow a host;
 * then stops it, looks, and starts it again.
 */
static void stop_soon(struct machine_fixture *m, unsigned *turn_us, struct x86_state *ret_state)
{
	g_usleep(*turn_us);
	*turn_us *= 2;
	engine_stop(m->engine);
	vcpu_get_state(m->engine->vcpus[0], ret_state);
	engine_start(m->engine);
}

static void test_stop_and_start(void **state)
{
	struct machine_fixture *m = *state;
	struct x86_state before, after;
	unsigned turn_us = 1;

	load_guest(m, CODE_AT, spin);
	enter_long(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0, 1);
	do {
		stop_soon(m, &turn_us, &before);
	} while (before.regs[X86_R15] == 0);
	do {
		stop_soon(m, &turn_us, &after);
	} while (after.regs[X86_R15] == before.regs[X86_R15]);
	assert_true(after.regs[X86_R15] > before.regs[X86_R15]);
	expect_nothing(m); /* it did not begin anew */
}

/* Kicks of a running machine stop nothing. */
static void test_kick(void **state)
{
	struct machine_fixture *m = *state;
	struct x86_state before, after;

	load_guest(m, CODE_AT, spin);
	enter_long(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0, 1);
	engine_stop(m->engine);
	vcpu_get_state(m->engine->vcpus[0], &before);
	engine_start(m->engine);
	for (unsigned i = 0; i < 1000; i++) {
		vcpu_kick(m->engine->vcpus[0]);
	}
	do {
		engine_stop(m->engine);
		vcpu_get_state(m->engine->vcpus[0], &after);
		engine_start(m->engine);
	} while (after.regs[X86_R15] == before.regs[X86_R15]);
	expect_nothing(m);
}

static void test_stop_while_halted(void **state)
{
	struct machine_fixture *m = *state;
	struct x86_state stopped;
	uint64_t after_hlt = CODE_AT + 7; /* mov, out, hlt */

	load_guest(m, CODE_AT, halt);
	enter_long(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0, 1);
	do {
		engine_stop(m->engine);
		vcpu_get_state(m->engine->vcpus[0], &stopped);
		engine_start(m->engine);
	} while (stopped.rip != after_hlt);
	for (unsigned i = 0; i < 10; i++) {
		engine_stop(m->engine);
		vcpu_get_state(m->engine->vcpus[0], &stopped);
		assert_int_equal(stopped.rip, after_hlt);
		engine_start(m->engine);
	}
}

static void test_triple_fault_and_reset(void **state)
{
	struct machine_fixture *m = *state;
	struct x86_state power_up, broken, after;
	auto_fd int fd = memfd_create_sized("test-rom", 0x1000, NULL);
	extern const uint8_t guest_reset_vector[], guest_reset_vector_end[];

	vcpu_get_state(m->engine->vcpus[0], &power_up);
	assert_int_equal(power_up.rip, 0xfff0);
	assert_int_equal(power_up.seg[X86_CS].base, 0xffff0000);
	assert_int_equal(power_up.seg[X86_CS].selector, 0xf000);
	assert_int_equal(power_up.cr0, X86_CR0_CD | X86_CR0_NW | X86_CR0_ET);
	assert_int_equal(power_up.rflags, X86_FLAG_FIXED);

	load_guest(m, CODE_AT, undefined);
	enter_long(m);
	vcpu_get_state(m->engine->vcpus[0], &broken);
	broken.idtr.limit = 0;
	broken.dr[0] = 0x1000;
	vcpu_set_state(m->engine->vcpus[0], &broken);
	engine_start(m->engine);
	expect_stopped(m, VCPU_EXIT_SHUTDOWN);
	engine_stop(m->engine);

	engine_reset(m->engine);
	vcpu_get_state(m->engine->vcpus[0], &after);
	assert_same_state(&after, &power_up);
	size_t len = (size_t)(guest_reset_vector_end - guest_reset_vector);
	assert_int_equal(pwrite(fd, guest_reset_vector, len, 0xff0), len);
	assert_true(address_space_add_ram(
			m->memory, 0xfffff000, 0x1000, fd, 0, GUEST_REGION_ROM, NULL));
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0x99, 1);
	engine_stop(m->engine);
	address_space_remove_ram(m->memory, 0xfffff000);
}

/* An instruction in a device's registers is nothing KVM can run. */
static void test_internal_error(void **state)
{
	struct machine_fixture *m = *state;

	load_guest(m, CODE_AT, lost);
	enter_long(m);
	engine_start(m->engine);
	expect_stopped(m, VCPU_EXIT_ERROR);
}

static void test_other_cpu_starts(void **state)
{
	struct machine_fixture *m = *state;

	load_guest(m, AP_AT, application_cpu);
	load_guest(m, CODE_AT, start_others);
	enter_long(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0x0102, 2);
	engine_stop(m->engine);
	/* After a reset it waits again. */
	engine_reset(m->engine);
	load_guest(m, CODE_AT, spin);
	enter_long(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0, 1);
	engine_stop(m->engine);
	expect_nothing(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

static int run(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_real_mode_and_ports),
			TEST(test_protected_mode),
			TEST(test_paged_protected_mode),
			TEST(test_long_mode),
			TEST(test_mmio),
			TEST(test_stop_and_start),
			TEST(test_kick),
			TEST(test_stop_while_halted),
			TEST(test_triple_fault_and_reset),
			TEST(test_internal_error),
			cmocka_unit_test_setup_teardown(
					test_other_cpu_starts, machine_setup_two, machine_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_tests_with_kvm(run);
}
