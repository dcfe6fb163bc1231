/* SPDX-License-Identifier: MIT */
/* What the kernel is told of guest memory and of doorbells. */
#include "tests/core/engine/kvm/fixture.h"

#include "core/engine/kvm/vm.h"

#include <unistd.h>

static int memory_with(uint32_t value)
{
	int fd = memfd_create_sized("test", 0x1000, NULL);

	assert_int_equal(pwrite(fd, &value, sizeof(value), 0), sizeof(value));
	return fd;
}

static void test_rom(void **state)
{
	struct machine_fixture *m = *state;
	auto_fd int fd = memory_with(0x12345678);

	assert_true(address_space_add_ram(m->memory, ROM, 0x1000, fd, 0, GUEST_REGION_ROM, NULL));
	load_guest(m, CODE_AT, rom);
	enter_long(m);
	engine_start(m->engine);
	expect(m, PORT_WRITTEN, 0, 0x12345678, 4);
	expect(m, PORT_WRITTEN, 0, 0x12345678, 4);
	expect_done(m);
	engine_stop(m->engine);
	address_space_remove_ram(m->memory, ROM);
}

/* RAM that comes and goes under a running guest. */
static void test_ram_comes_and_goes(void **state)
{
	struct machine_fixture *m = *state;
	auto_fd int fd = memory_with(0xabcd);

	load_guest(m, CODE_AT, late_ram);
	for (unsigned i = 0; i < 3; i++) {
		enter_long(m);
		engine_start(m->engine);
		assert_true(address_space_add_ram(m->memory, LATE_RAM, 0x1000, fd, 0, 0, NULL));
		expect(m, PORT_WRITTEN, 0, 0xabcd, 4);
		address_space_remove_ram(m->memory, LATE_RAM);
		expect_done(m);
		engine_stop(m->engine);
	}
}

/* Doorbells ring in the kernel: only what they do not match reaches us. */
static void test_doorbells(void **state)
{
	struct machine_fixture *m = *state;
	struct kvm_cpu *cpu = kvm_cpu_of(m->engine->vcpus[0]);
	auto_fd int four = eventfd_create(NULL), any = eventfd_create(NULL),
		    port = eventfd_create(NULL);

	address_space_add_eventfd(&m->mmio_device, 0x100, 4, four);
	address_space_add_eventfd(&m->mmio_device, 0x200, 0, any);
	address_space_add_eventfd(&m->port_device, 8, 2, port);
	load_guest(m, CODE_AT, doorbells);
	enter_long(m);
	engine_start(m->engine);
	expect(m, MMIO_WRITTEN, 0x100, 8, 2);
	expect(m, PORT_WRITTEN, 8, 10, 1);
	expect_done(m);
	engine_stop(m->engine);
	assert_int_equal(cpu->exits, 3);
	assert_int_equal(eventfd_take(four), 1);
	assert_int_equal(eventfd_take(any), 2);
	assert_int_equal(eventfd_take(port), 1);

	address_space_remove_eventfd(&m->mmio_device, 0x100, 4, four);
	address_space_remove_eventfd(&m->mmio_device, 0x200, 0, any);
	address_space_remove_eventfd(&m->port_device, 8, 2, port);
	enter_long(m);
	engine_start(m->engine);
	expect(m, MMIO_WRITTEN, 0x100, 7, 4);
	expect(m, MMIO_WRITTEN, 0x100, 8, 2);
	expect(m, MMIO_WRITTEN, 0x200, 9, 1);
	expect(m, MMIO_WRITTEN, 0x200, 9, 4);
	expect(m, PORT_WRITTEN, 8, 10, 2);
	expect(m, PORT_WRITTEN, 8, 10, 1);
	expect_done(m);
	assert_int_equal(eventfd_take(four) + eventfd_take(any) + eventfd_take(port), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

static int run(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_rom),
			TEST(test_ram_comes_and_goes),
			TEST(test_doorbells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_tests_with_kvm(run);
}
