/* SPDX-License-Identifier: MIT */
#include "hw/pc/pc_testdev.h"

#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#include <sys/resource.h>

#define LATCH 0xe0
#define FLUSH 0xe4
#define BYTE_LATCH 0xe8
#define INPUT 0x2000
#define CONTENTS 0x600dda7a
#define REGISTERS UINT64_C(0xff000000)

struct fixture {
	struct fake_machine *fake;
	struct device *testdev;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->testdev = fake_machine_device(&pc_testdev_class, NULL);
	bool ok = device_realize(f->testdev, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(f->testdev);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->testdev);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static void test_latch(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_port_read(f->fake, LATCH, 4), 0);
	fake_port_write(f->fake, LATCH, 0x12345678, 4);
	assert_int_equal(fake_port_read(f->fake, LATCH, 4), 0x12345678);
	assert_int_equal(fake_port_read(f->fake, LATCH, 2), 0x5678);
	assert_int_equal(fake_port_read(f->fake, LATCH + 2, 1), 0x34);
	fake_port_write(f->fake, LATCH + 1, 0xabcd, 2);
	assert_int_equal(fake_port_read(f->fake, BYTE_LATCH, 4), 0x12abcd78);
	fake_port_write(f->fake, BYTE_LATCH, 0x55667788, 4);
	fake_out8(f->fake, BYTE_LATCH + 3, 0x99);
	assert_int_equal(fake_port_read(f->fake, LATCH, 4), 0x99667788);
	device_reset(f->testdev);
	assert_int_equal(fake_port_read(f->fake, LATCH, 4), 0);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_mmio_read(f->fake, REGISTERS, 8), 0);
	fake_mmio_write(f->fake, REGISTERS, 0x1122334455667788, 8);
	fake_mmio_write(f->fake, REGISTERS + 3, 0xabcd, 2);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS, 8), 0x112233abcd667788);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS + 3, 1), 0xcd);
	fake_mmio_write(f->fake, REGISTERS + 0xfffc, 0xdeadbeef, 4);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS + 0xfffc, 4), 0xdeadbeef);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS + 0xfffe, 4), 0xffffdead);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS + 0x10000, 4), 0xffffffff);
	device_reset(f->testdev);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS, 8), 0);
	assert_int_equal(fake_mmio_read(f->fake, REGISTERS + 0xfffc, 4), 0);
}

static void test_inputs(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_in8(f->fake, INPUT + 5), 0xff);
	for (unsigned gsi = 0; gsi < MACHINE_GSI_COUNT; gsi++) {
		assert_false(fake_machine_gsi(f->fake, gsi));
		fake_out8(f->fake, INPUT + gsi, 1);
		fake_out8(f->fake, INPUT + gsi, 0x80); /* it is high */
		assert_true(fake_machine_gsi(f->fake, gsi));
		assert_int_equal(fake_machine_take_rises(f->fake, gsi), 1);
		fake_out8(f->fake, INPUT + gsi, 0);
		assert_false(fake_machine_gsi(f->fake, gsi));
	}
	fake_port_write(f->fake, INPUT + 20, 0x01000100, 4);
	assert_false(fake_machine_gsi(f->fake, 20));
	assert_true(fake_machine_gsi(f->fake, 21));
	assert_true(fake_machine_gsi(f->fake, 23));
	fake_out8(f->fake, INPUT + MACHINE_GSI_COUNT, 1); /* there is none */
	device_reset(f->testdev);
	assert_false(fake_machine_gsi(f->fake, 21));
	assert_false(fake_machine_gsi(f->fake, 23));
}

/* Page faults of this thread while it reads four bytes of RAM that hold CONTENTS. */
static long faults_of_read(struct fixture *f, uint64_t guest)
{
	struct rusage before, after;
	uint32_t value = 0;

	assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
	fake_read(f->fake, guest, &value, sizeof(value));
	assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
	assert_int_equal(value, CONTENTS);
	return after.ru_minflt - before.ru_minflt;
}

static void test_flush(void **state)
{
	struct fixture *f = *state;
	uint32_t value = CONTENTS;

	fake_write(f->fake, 0x3ffc, &value, sizeof(value));
	fake_write(f->fake, 0x4abc, &value, sizeof(value));
	assert_int_equal(fake_port_read(f->fake, FLUSH, 4), 0xffffffff);
	assert_int_equal(faults_of_read(f, 0x4abc), 0);
	fake_port_write(f->fake, FLUSH, 0x4abc, 4);
	/* The page is mapped anew and has kept its contents. */
	assert_int_not_equal(faults_of_read(f, 0x4abc), 0);
	assert_int_equal(faults_of_read(f, 0x4abc), 0);
	(void)faults_of_read(f, 0x3ffc);
	/* Not pages of RAM, not four bytes. */
	fake_port_write(f->fake, FLUSH, MiB, 4);
	fake_port_write(f->fake, FLUSH, 0xffffffff, 4);
	fake_out8(f->fake, FLUSH, 0);
	fake_port_write(f->fake, FLUSH + 2, 0x4000, 2);
}

static void test_two(void **state)
{
	struct fixture *f = *state;
	struct fake_machine *fake = fake_machine_create(MiB);
	struct device *other = fake_machine_device(&pc_testdev_class, NULL);

	assert_true(device_realize(other, &fake->machine, NULL));
	device_reset(other);
	fake_port_write(f->fake, LATCH, 1, 4);
	fake_out8(f->fake, INPUT + 3, 1);
	assert_int_equal(fake_port_read(fake, LATCH, 4), 0);
	assert_false(fake_machine_gsi(fake, 3));
	device_destroy(other);
	assert_int_equal(fake_port_read(fake, LATCH, 4), 0xffffffff);
	assert_int_equal(fake_mmio_read(fake, REGISTERS, 4), 0xffffffff);
	fake_machine_destroy(fake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_latch),
			TEST(test_registers),
			TEST(test_inputs),
			TEST(test_flush),
			TEST(test_two),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
