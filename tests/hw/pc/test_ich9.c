/* SPDX-License-Identifier: MIT */
#include "hw/pc/ich9.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define DEVFN PCI_DEVFN(0x1f, 0)
#define STATUS ICH9_PM_BASE
#define ENABLE (ICH9_PM_BASE + 2)
#define SECOND INT64_C(1000000000)
#define TIMER_HZ INT64_C(3579545)

#define TIMER 0x0001
#define GLOBAL 0x0020
#define POWER_BUTTON 0x0100
#define RTC 0x0400
#define WAKE 0x8000
#define SCI_EN 0x0001
#define SLEEP_EN 0x2000

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

static uint16_t get(struct fixture *f, uint16_t port)
{
	return (uint16_t)fake_port_read(f->fake, port, 2);
}

static void set(struct fixture *f, uint16_t port, uint16_t value)
{
	fake_port_write(f->fake, port, value, 2);
}

static bool sci(struct fixture *f)
{
	return fake_machine_gsi(f->fake, ICH9_SCI_GSI);
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_config_read(f->fake, DEVFN, 0, 4), 0x29188086);
	assert_int_equal(fake_config_read(f->fake, DEVFN, 8, 4) >> 8, 0x060100);
	assert_int_equal(fake_config_read(f->fake, DEVFN, 0x40, 4), ICH9_PM_BASE | 1);
	fake_config_write(f->fake, DEVFN, 0x40, 0xffff, 4); /* stays where the tables say */
	assert_int_equal(fake_config_read(f->fake, DEVFN, 0x40, 4), ICH9_PM_BASE | 1);
	assert_int_equal(fake_config_read(f->fake, DEVFN, 0x44, 1), 0x80);
	assert_int_equal(fake_config_read(f->fake, DEVFN, 0x60, 4), 0x80808080);
	assert_int_equal(fake_config_read(f->fake, DEVFN, 0xf0, 4), 0xfed1c001);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	set(f, ENABLE, 0xffff);
	set(f, ICH9_PM1_CNT, 0x1c00);
	fake_port_write(f->fake, ICH9_GPE0 + 8, UINT64_MAX, 8);
	ich9_power_button(f->lpc);
	assert_true(sci(f));
	device_reset(f->lpc);
	assert_false(sci(f));
	assert_int_equal(get(f, STATUS), 0);
	assert_int_equal(get(f, ENABLE), 0);
	assert_int_equal(get(f, ICH9_PM1_CNT), SCI_EN);
	assert_int_equal(fake_port_read(f->fake, ICH9_GPE0, 8), 0);
	assert_int_equal(fake_port_read(f->fake, ICH9_GPE0 + 8, 8), 0);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;

	set(f, ENABLE, 0xffff);
	assert_int_equal(get(f, ENABLE), TIMER | GLOBAL | POWER_BUTTON | RTC);
	fake_out8(f->fake, ENABLE + 1, 0);
	assert_int_equal(get(f, ENABLE), TIMER | GLOBAL);
	/* One access over both. */
	fake_port_write(f->fake, STATUS, 0x0100ffff, 4);
	assert_int_equal(fake_port_read(f->fake, STATUS, 4), 0x01000000);
	set(f, ICH9_PM1_CNT, 0x0000); /* ACPI mode cannot be left */
	assert_int_equal(get(f, ICH9_PM1_CNT), SCI_EN);
	set(f, ICH9_PM1_CNT, 0xffff & ~SLEEP_EN);
	assert_int_equal(get(f, ICH9_PM1_CNT), 0x1c01);
	/* Enables of events without a source are kept. */
	fake_port_write(f->fake, ICH9_GPE0 + 8, UINT64_C(0x8877665544332211), 8);
	assert_int_equal(fake_port_read(f->fake, ICH9_GPE0 + 8, 8), UINT64_C(0x8877665544332211));
	assert_int_equal(fake_in8(f->fake, ICH9_GPE0 + 10), 0x33);
	assert_int_equal(fake_port_read(f->fake, ICH9_GPE0, 8), 0);
	assert_false(sci(f));
	assert_int_equal(fake_port_read(f->fake, ICH9_PM_BASE + 0x40, 4), 0);
}

static void test_power_button(void **state)
{
	struct fixture *f = *state;

	ich9_power_button(f->lpc); /* pressed before the system is ready: it will see it */
	assert_false(sci(f));
	assert_int_equal(get(f, STATUS), POWER_BUTTON);
	set(f, ENABLE, POWER_BUTTON);
	assert_true(sci(f));
	set(f, STATUS, (uint16_t)~POWER_BUTTON); /* clears all others */
	assert_true(sci(f));
	set(f, STATUS, POWER_BUTTON);
	assert_false(sci(f));
	assert_int_equal(get(f, STATUS), 0);
	ich9_power_button(f->lpc);
	assert_true(sci(f));
	fake_out8(f->fake, STATUS + 1, POWER_BUTTON >> 8);
	assert_false(sci(f));
}

static void test_timer(void **state)
{
	struct fixture *f = *state;

	uint32_t start = (uint32_t)fake_port_read(f->fake, ICH9_PM_TIMER, 4);
	fake_machine_run(f->fake, SECOND);
	assert_int_equal((uint32_t)fake_port_read(f->fake, ICH9_PM_TIMER, 4) - start, TIMER_HZ);
	uint32_t now = (uint32_t)fake_port_read(f->fake, ICH9_PM_TIMER, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(fake_in8(f->fake, ICH9_PM_TIMER + i), now >> 8 * i & 0xff);
	}
	assert_int_equal(get(f, ICH9_PM_TIMER + 1), now >> 8 & 0xffff);
	assert_int_equal(fake_port_read(f->fake, ICH9_PM_TIMER, 8), now);
	assert_int_equal(fake_port_read(f->fake, ICH9_PM1_CNT, 8), (uint64_t)now << 32 | SCI_EN);
	fake_port_write(f->fake, ICH9_PM_TIMER, 0, 4); /* read-only */
	assert_int_equal(fake_port_read(f->fake, ICH9_PM_TIMER, 4), now);
	/* It wraps at 32 bits: some 20 minutes. */
	fake_machine_run(f->fake, 1200 * SECOND);
	assert_int_equal(fake_port_read(f->fake, ICH9_PM_TIMER, 4),
			(uint32_t)(1201 * TIMER_HZ + start));
}

/* The status bit follows the highest bit of the timer: every 600 s. */
static void test_timer_status(void **state)
{
	static const int64_t half = ((INT64_C(1) << 31) * 1000000000 + TIMER_HZ - 1) / TIMER_HZ;
	struct fixture *f = *state;

	fake_machine_run(f->fake, half - 1);
	assert_int_equal(get(f, STATUS), 0);
	fake_machine_run(f->fake, 1);
	assert_int_equal(get(f, STATUS), TIMER);
	assert_false(sci(f));
	assert_int_equal(clock_next_deadline(f->fake->machine.clock), CLOCK_NEVER);
	set(f, STATUS, TIMER);
	assert_int_equal(get(f, STATUS), 0);
	set(f, ENABLE, TIMER);
	fake_machine_run(f->fake, half - 2);
	assert_false(sci(f));
	fake_machine_run(f->fake, 2);
	assert_true(sci(f));
	set(f, STATUS, TIMER);
	assert_false(sci(f));
	set(f, ENABLE, 0);
	fake_machine_run(f->fake, half);
	assert_false(sci(f));
}

static void test_sleep(void **state)
{
	struct fixture *f = *state;
	struct fake_event event;

	set(f, ICH9_PM1_CNT, 1 << 10 | SLEEP_EN); /* no state that the tables offer */
	assert_false(fake_machine_take_event(f->fake, &event));
	assert_int_equal(get(f, ICH9_PM1_CNT), 1 << 10 | SCI_EN);
	set(f, ICH9_PM1_CNT, 0);
	assert_false(fake_machine_take_event(f->fake, &event));
	set(f, ICH9_PM1_CNT, SLEEP_EN);
	assert_true(fake_machine_take_event(f->fake, &event));
	assert_int_equal(event.event, MACHINE_EVENT_POWEROFF);
	assert_int_equal(event.status, 0);
	assert_int_equal(get(f, ICH9_PM1_CNT), SCI_EN); /* the bit reads as zero */
	fake_out8(f->fake, ICH9_PM1_CNT + 1, SLEEP_EN >> 8);
	assert_true(fake_machine_take_event(f->fake, &event));
}

static void test_slot_taken(void **state)
{
	struct fixture *f = *state;
	struct device *second = fake_machine_device(&ich9_lpc_class, NULL);
	g_autoptr(GError) error = NULL;

	assert_false(device_realize(second, &f->fake->machine, &error));
	assert_non_null(error);
	device_destroy(second);
	assert_int_equal(get(f, ICH9_PM1_CNT), SCI_EN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_identity),
			TEST(test_reset),
			TEST(test_registers),
			TEST(test_power_button),
			TEST(test_timer),
			TEST(test_timer_status),
			TEST(test_sleep),
			TEST(test_slot_taken),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
