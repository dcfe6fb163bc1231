/* SPDX-License-Identifier: MIT */
#include "hw/pc/legacy_ports.h"

#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define DATA 0x60
#define STATUS 0x64
#define CONTROL_A 0x92

struct fixture {
	struct fake_machine *fake;
	struct device *ports;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->ports = fake_machine_device(&legacy_ports_class, NULL);
	bool ok = device_realize(f->ports, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(f->ports);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->ports);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
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

static void test_pulse(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_in8(f->fake, STATUS) & 0x03, 0); /* takes a command, has nothing */
	fake_out8(f->fake, STATUS, 0xfe);
	assert_int_equal(take_resets(f), 1);
	fake_out8(f->fake, STATUS, 0xf0);
	assert_int_equal(take_resets(f), 1);
	/* Pulses of other lines, and of none. */
	fake_out8(f->fake, STATUS, 0xfd);
	fake_out8(f->fake, STATUS, 0xff);
	assert_int_equal(take_resets(f), 0);
	for (unsigned command = 0; command < 0xf0; command++) {
		fake_out8(f->fake, STATUS, (uint8_t)command);
	}
	assert_int_equal(take_resets(f), 0);
}

static void test_output_lines(void **state)
{
	struct fixture *f = *state;

	fake_out8(f->fake, STATUS, 0xd0);
	assert_int_equal(fake_in8(f->fake, STATUS) & 0x03, 0x01);
	assert_int_equal(fake_in8(f->fake, DATA), 0x03);
	assert_int_equal(fake_in8(f->fake, STATUS) & 0x03, 0);
	/* A20, as old systems open it; the bit is kept. */
	fake_out8(f->fake, STATUS, 0xd1);
	fake_out8(f->fake, DATA, 0xdd);
	fake_out8(f->fake, STATUS, 0xd0);
	assert_int_equal(fake_in8(f->fake, DATA), 0xdd);
	fake_out8(f->fake, STATUS, 0xdf);
	fake_out8(f->fake, STATUS, 0xd0);
	assert_int_equal(fake_in8(f->fake, DATA), 0xdf);
	fake_out8(f->fake, DATA, 0x00); /* for a keyboard that is not there */
	assert_int_equal(take_resets(f), 0);
	fake_out8(f->fake, STATUS, 0xd1);
	fake_out8(f->fake, DATA, 0x02);
	assert_int_equal(take_resets(f), 1);
	/* Another command in between takes the place of the data. */
	fake_out8(f->fake, STATUS, 0xd1);
	fake_out8(f->fake, STATUS, 0xff);
	fake_out8(f->fake, DATA, 0x00);
	assert_int_equal(take_resets(f), 0);
}

static void test_control_a(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_in8(f->fake, CONTROL_A), 0x02);
	fake_out8(f->fake, CONTROL_A, 0x00);
	assert_int_equal(fake_in8(f->fake, CONTROL_A), 0x00);
	fake_out8(f->fake, CONTROL_A, 0x5e);
	assert_int_equal(fake_in8(f->fake, CONTROL_A), 0x5e);
	assert_int_equal(take_resets(f), 0);
	fake_out8(f->fake, CONTROL_A, 0x03);
	assert_int_equal(take_resets(f), 1);
	fake_out8(f->fake, CONTROL_A, 0x03); /* it did not rise */
	assert_int_equal(take_resets(f), 0);
	fake_out8(f->fake, CONTROL_A, 0x02);
	fake_out8(f->fake, CONTROL_A, 0x01);
	assert_int_equal(take_resets(f), 1);
	device_reset(f->ports);
	assert_int_equal(fake_in8(f->fake, CONTROL_A), 0x02);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_pulse),
			TEST(test_output_lines),
			TEST(test_control_a),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
