/* SPDX-License-Identifier: MIT */
#include "hw/pc/ich9_tco.h"

#include "core/base/thread.h"
#include "hw/pc/ich9.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define TCO 0x660
#define RELOAD (TCO + 0x00)
#define DATA_IN (TCO + 0x02)
#define STATUS1 (TCO + 0x04)
#define STATUS2 (TCO + 0x06)
#define CONTROL1 (TCO + 0x08)
#define CONTROL2 (TCO + 0x0a)
#define MESSAGE (TCO + 0x0c)
#define PROGRESS (TCO + 0x0e)
#define IRQ_SELECT (TCO + 0x10)
#define INITIAL (TCO + 0x12)
#define GCS UINT64_C(0xfed1f410)

#define TIMEOUT 0x0008
#define SECOND_TIMEOUT 0x0002
#define HALT 0x0800
#define LOCK 0x1000
#define NO_REBOOT 0x20
#define TICK_NS INT64_C(600000000)

struct fixture {
	struct fake_machine *fake;
	struct device *lpc;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->lpc = fake_machine_device(&ich9_lpc_class, NULL);
	bool ok = device_realize(f->lpc, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(f->lpc);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->lpc);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static uint16_t in16(struct fixture *f, uint64_t port)
{
	return (uint16_t)fake_port_read(f->fake, port, 2);
}

static void out16(struct fixture *f, uint64_t port, uint16_t value)
{
	fake_port_write(f->fake, port, value, 2);
}

static unsigned take_resets(struct fixture *f)
{
	struct fake_event event;
	unsigned count = 0;

	while (fake_machine_take_event(f->fake, &event)) {
		assert_int_equal(event.event, MACHINE_EVENT_RESET);
		count++;
	}
	return count;
}

/* As a driver does it: a time, loaded, NO_REBOOT cleared, running. */
static void start(struct fixture *f, uint16_t ticks)
{
	fake_mmio_write(f->fake, GCS, 0, 4);
	out16(f, INITIAL, ticks);
	out16(f, RELOAD, 1);
	out16(f, CONTROL1, 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(in16(f, RELOAD), 4);
		assert_int_equal(in16(f, STATUS1), 0);
		assert_int_equal(in16(f, STATUS2), 0);
		assert_int_equal(in16(f, CONTROL1), HALT);
		assert_int_equal(in16(f, INITIAL), 4);
		assert_int_equal(fake_port_read(f->fake, IRQ_SELECT, 1), 3);
		assert_int_equal(fake_mmio_read(f->fake, GCS, 4), NO_REBOOT);
		fake_machine_run(f->fake, 100 * TICK_NS); /* it does not run */
		assert_int_equal(in16(f, RELOAD), 4);
		assert_int_equal(in16(f, STATUS1), 0);
		start(f, 10);
		fake_machine_run(f->fake, 11 * TICK_NS);
		assert_int_equal(in16(f, STATUS1), TIMEOUT);
		device_reset(f->lpc);
	}
	assert_int_equal(take_resets(f), 0);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;

	out16(f, DATA_IN, 0x1234);
	fake_out8(f->fake, MESSAGE, 0x56);
	fake_out8(f->fake, MESSAGE + 1, 0x78);
	fake_out8(f->fake, PROGRESS, 0x9a);
	out16(f, CONTROL2, 0xffff);
	out16(f, INITIAL, 0xffff);
	fake_out8(f->fake, IRQ_SELECT, 0xfe);
	assert_int_equal(in16(f, DATA_IN), 0x1234);
	assert_int_equal(in16(f, MESSAGE), 0x7856);
	assert_int_equal(in16(f, PROGRESS), 0x9a);
	assert_int_equal(in16(f, CONTROL2), 0x003e);
	assert_int_equal(in16(f, INITIAL), 0x03ff);
	assert_int_equal(in16(f, IRQ_SELECT), 2);
	fake_out8(f->fake, INITIAL, 0x55);
	assert_int_equal(in16(f, INITIAL), 0x0355);
	assert_int_equal(fake_port_read(f->fake, DATA_IN + 1, 4), 0x12); /* and the status */
	fake_port_write(f->fake, DATA_IN + 1, 0x77, 4);
	assert_int_equal(in16(f, DATA_IN), 0x7734);
	assert_int_equal(in16(f, TCO + 0x14), 0);
	/* The lock stays locked. */
	out16(f, CONTROL1, 0xffff);
	assert_int_equal(in16(f, CONTROL1), 0x1a00);
	out16(f, CONTROL1, HALT);
	assert_int_equal(in16(f, CONTROL1), LOCK | HALT);
}

static void test_chipset(void **state)
{
	struct fixture *f = *state;

	fake_mmio_write(f->fake, GCS, 0xffffffdf, 4);
	assert_int_equal(fake_mmio_read(f->fake, GCS, 4), 0);
	fake_mmio_write(f->fake, GCS - 4, UINT64_C(0x20) << 32, 8);
	assert_int_equal(fake_mmio_read(f->fake, GCS, 1), NO_REBOOT);
	assert_int_equal(fake_mmio_read(f->fake, GCS - 4, 8), UINT64_C(0x20) << 32);
	fake_mmio_write(f->fake, GCS + 1, 0, 1); /* not that byte */
	fake_mmio_write(f->fake, GCS - 4, 0, 4);
	assert_int_equal(fake_mmio_read(f->fake, GCS, 4), NO_REBOOT);
	assert_int_equal(fake_mmio_read(f->fake, ICH9_RCBA, 4), 0);
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;

	start(f, 10);
	assert_int_equal(in16(f, RELOAD), 10);
	fake_machine_run(f->fake, 3 * TICK_NS);
	assert_int_equal(in16(f, RELOAD), 7);
	fake_machine_run(f->fake, 7 * TICK_NS - 1);
	assert_int_equal(in16(f, STATUS1), 0);
	assert_int_equal(in16(f, RELOAD), 1);
	fake_machine_run(f->fake, 1);
	assert_int_equal(in16(f, STATUS1), TIMEOUT);
	assert_int_equal(in16(f, RELOAD), 10); /* it starts over */
	fake_machine_run(f->fake, 10 * TICK_NS - 1);
	assert_int_equal(in16(f, STATUS2), 0);
	assert_int_equal(take_resets(f), 0);
	fake_machine_run(f->fake, 1);
	assert_int_equal(in16(f, STATUS2), SECOND_TIMEOUT);
	assert_int_equal(take_resets(f), 1);
	out16(f, STATUS1, 0xffff);
	out16(f, STATUS2, 0xffff);
	assert_int_equal(in16(f, STATUS1), 0);
	assert_int_equal(in16(f, STATUS2), 0);
}

static void test_reload(void **state)
{
	struct fixture *f = *state;

	start(f, 10);
	for (unsigned i = 0; i < 5; i++) {
		fake_machine_run(f->fake, 15 * TICK_NS); /* expires once */
		assert_int_equal(in16(f, STATUS1), TIMEOUT);
		out16(f, STATUS1, TIMEOUT);
		fake_out8(f->fake, RELOAD, 0);
	}
	assert_int_equal(in16(f, STATUS2), 0);
	/* A new time counts from the next load on; too short a one is the shortest. */
	out16(f, INITIAL, 0);
	assert_int_equal(in16(f, RELOAD), 10);
	out16(f, RELOAD, 1);
	assert_int_equal(in16(f, RELOAD), 4);
	assert_int_equal(take_resets(f), 0);
}

static void test_halt(void **state)
{
	struct fixture *f = *state;

	start(f, 10);
	fake_machine_run(f->fake, 4 * TICK_NS);
	out16(f, CONTROL1, HALT);
	fake_machine_run(f->fake, 100 * TICK_NS);
	assert_int_equal(in16(f, RELOAD), 6);
	out16(f, CONTROL1, 0);
	fake_machine_run(f->fake, 6 * TICK_NS - 1);
	assert_int_equal(in16(f, STATUS1), 0);
	fake_machine_run(f->fake, 1);
	assert_int_equal(in16(f, STATUS1), TIMEOUT);
	/* Loaded while it is halted. */
	out16(f, CONTROL1, HALT);
	out16(f, INITIAL, 20);
	out16(f, RELOAD, 1);
	fake_machine_run(f->fake, 100 * TICK_NS);
	assert_int_equal(in16(f, RELOAD), 20);
	assert_int_equal(take_resets(f), 0);
}

static void test_no_reboot(void **state)
{
	struct fixture *f = *state;

	start(f, 10);
	fake_mmio_write(f->fake, GCS, NO_REBOOT, 4);
	fake_machine_run(f->fake, 100 * TICK_NS);
	assert_int_equal(in16(f, STATUS2), SECOND_TIMEOUT);
	assert_int_equal(take_resets(f), 0);
	fake_mmio_write(f->fake, GCS, 0, 4);
	fake_machine_run(f->fake, 10 * TICK_NS);
	assert_int_equal(take_resets(f), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_reset),
			TEST(test_registers),
			TEST(test_chipset),
			TEST(test_expiry),
			TEST(test_reload),
			TEST(test_halt),
			TEST(test_no_reboot),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
