/* SPDX-License-Identifier: MIT */
#include "hw/pc/isa_debug.h"

#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define PVPANIC 0x505
#define PANICKED 0x01
#define CRASH_LOADED 0x02

static struct device *add(struct fake_machine *fake, struct device *device)
{
	bool ok = device_realize(device, &fake->machine, NULL);

	assert_true(ok);
	device_reset(device);
	return device;
}

static void test_pvpanic(void **state)
{
	struct fake_machine *fake = fake_machine_create(MiB);
	struct fake_event event;
	(void)state;

	assert_int_equal(fake_in8(fake, PVPANIC), 0xff); /* how its absence looks */
	struct device *pvpanic = add(fake, fake_machine_device(&pvpanic_class, NULL));
	assert_int_equal(fake_in8(fake, PVPANIC), PANICKED | CRASH_LOADED);
	fake_out8(fake, PVPANIC, 0);
	fake_out8(fake, PVPANIC, CRASH_LOADED);
	fake_out8(fake, PVPANIC, 0xfc);
	assert_false(fake_machine_take_event(fake, &event));
	fake_out8(fake, PVPANIC, PANICKED);
	assert_true(fake_machine_take_event(fake, &event));
	assert_int_equal(event.event, MACHINE_EVENT_PANICKED);
	fake_out8(fake, PVPANIC, PANICKED); /* it has been said */
	assert_false(fake_machine_take_event(fake, &event));
	device_reset(pvpanic);
	fake_out8(fake, PVPANIC, PANICKED | CRASH_LOADED);
	assert_true(fake_machine_take_event(fake, &event));
	device_destroy(pvpanic);
	assert_int_equal(fake_in8(fake, PVPANIC), 0xff);
	fake_machine_destroy(fake);
}

static void assert_exit(struct fake_machine *fake, int status)
{
	struct fake_event event;

	assert_true(fake_machine_take_event(fake, &event));
	assert_int_equal(event.event, MACHINE_EVENT_POWEROFF);
	assert_int_equal(event.status, status);
	assert_false(fake_machine_take_event(fake, &event));
}

static void test_debug_exit(void **state)
{
	struct fake_machine *fake = fake_machine_create(MiB);
	struct fake_event event;
	(void)state;

	struct device *usual = add(fake, fake_machine_device(&debug_exit_class, NULL));
	struct device *other = add(fake, fake_machine_device(&debug_exit_class, "iobase", "0xf4",
							 "iosize", "4", NULL));
	assert_int_equal(fake_in8(fake, 0x501), 0xff);
	assert_int_equal(fake_port_read(fake, 0xf4, 4), 0xffffffff);
	fake_out8(fake, 0x501, 0);
	assert_exit(fake, 1);
	fake_out8(fake, 0x502, 0x10);
	assert_exit(fake, 0x21);
	fake_port_write(fake, 0xf4, 0x31, 4);
	assert_exit(fake, 0x63);
	fake_port_write(fake, 0xf6, 0xffff, 2);
	assert_exit(fake, 0xff);
	fake_port_write(fake, 0xf4, 0x80000000, 4);
	assert_exit(fake, 1);
	fake_out8(fake, 0x503, 0);
	fake_out8(fake, 0xf8, 0);
	assert_false(fake_machine_take_event(fake, &event));
	device_destroy(usual);
	device_destroy(other);
	fake_machine_destroy(fake);
}

static void test_bad_properties(void **state)
{
	static const char *const bad[][2] = {
			{"iobase", "0"},
			{"iobase", "0xfff9"},
			{"iobase", "-1"},
			{"iosize", "0"},
			{"iosize", "9"},
			{"iobase", "exit"},
			{"port", "1"},
	};
	(void)state;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct device *device = device_create(&debug_exit_class);
		g_autoptr(GError) error = NULL;
		assert_false(device_set_property(device, bad[i][0], bad[i][1], &error));
		assert_non_null(error);
		device_destroy(device);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_pvpanic),
			cmocka_unit_test(test_debug_exit),
			cmocka_unit_test(test_bad_properties),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
