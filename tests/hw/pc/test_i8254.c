/* SPDX-License-Identifier: MIT */
#include "hw/pc/i8254.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define HZ INT64_C(1193182)
#define SECOND INT64_C(1000000000)
#define CONTROL 0x43
#define PORT61 0x61
#define GATE2 0x01
#define OUT2 0x20

#define LOW_BYTE 0x10
#define HIGH_BYTE 0x20
#define BOTH_BYTES 0x30
#define MODE(n) ((n) << 1)
#define BCD 0x01
#define LATCH(channel) ((channel) << 6)
#define READ_BACK(channels, what) (0xc0 | (channels) << 1 | (what))
#define BACK_STATUS 0x20 /* bits that are zero are wanted */
#define BACK_COUNT 0x10
#define BACK_BOTH 0x00
#define OUTPUT 0x80
#define NULL_COUNT 0x40

struct fixture {
	struct fake_machine *fake;
	struct device *pit;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->pit = fake_machine_device(&i8254_class, NULL);
	bool ok = device_realize(f->pit, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(f->pit);
	(void)fake_machine_take_rises(f->fake, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->pit);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

/* Lets the timer's own clock tick so often. */
static void ticks(struct fixture *f, int64_t count)
{
	int64_t now = clock_now(f->fake->machine.clock);
	int64_t tick = now / SECOND * HZ + now % SECOND * HZ / SECOND + count;
	int64_t then = tick / HZ * SECOND + (tick % HZ * SECOND + HZ - 1) / HZ;

	fake_machine_run(f->fake, then - now);
}

static void control(struct fixture *f, unsigned channel, uint8_t bits)
{
	fake_out8(f->fake, CONTROL, (uint8_t)(channel << 6 | bits));
}

static void count(struct fixture *f, unsigned channel, uint16_t value)
{
	fake_out8(f->fake, 0x40 + channel, (uint8_t)value);
	fake_out8(f->fake, 0x40 + channel, (uint8_t)(value >> 8));
}

/* Sets a mode and a count, which is loaded with the next tick. */
static void program(struct fixture *f, unsigned channel, unsigned mode, uint16_t value)
{
	control(f, channel, (uint8_t)(BOTH_BYTES | MODE(mode)));
	count(f, channel, value);
	ticks(f, 1);
}

static uint16_t read_both(struct fixture *f, unsigned channel)
{
	uint8_t low = fake_in8(f->fake, 0x40 + channel);

	return (uint16_t)(low | fake_in8(f->fake, 0x40 + channel) << 8);
}

static uint16_t latched(struct fixture *f, unsigned channel)
{
	fake_out8(f->fake, CONTROL, (uint8_t)LATCH(channel));
	return read_both(f, channel);
}

static uint8_t status(struct fixture *f, unsigned channel)
{
	fake_out8(f->fake, CONTROL, (uint8_t)READ_BACK(1 << channel, BACK_STATUS));
	return fake_in8(f->fake, 0x40 + channel);
}

static bool output(struct fixture *f, unsigned channel)
{
	return status(f, channel) & OUTPUT;
}

static void gate(struct fixture *f, bool on)
{
	fake_out8(f->fake, PORT61, on ? GATE2 : 0);
}

static void test_mode0(void **state)
{
	struct fixture *f = *state;

	control(f, 0, BOTH_BYTES | MODE(0));
	assert_false(output(f, 0));
	assert_false(fake_machine_gsi(f->fake, 0));
	count(f, 0, 1000);
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 1000);
	ticks(f, 999);
	assert_int_equal(latched(f, 0), 1);
	assert_false(output(f, 0));
	assert_false(fake_machine_gsi(f->fake, 0));
	ticks(f, 1);
	assert_true(output(f, 0));
	assert_true(fake_machine_gsi(f->fake, 0));
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 0xffff); /* it goes on counting */
	ticks(f, 200000);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	/* A new count starts over; its first byte already lowers the output. */
	fake_out8(f->fake, 0x40, 10);
	assert_false(fake_machine_gsi(f->fake, 0));
	ticks(f, 100);
	assert_false(output(f, 0));
	fake_out8(f->fake, 0x40, 0);
	ticks(f, 11);
	assert_true(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
}

static void test_mode0_gate(void **state)
{
	struct fixture *f = *state;

	gate(f, false);
	program(f, 2, 0, 100);
	ticks(f, 50);
	assert_int_equal(latched(f, 2), 100);
	gate(f, true);
	ticks(f, 40);
	assert_int_equal(latched(f, 2), 60);
	gate(f, false);
	ticks(f, 1000);
	assert_int_equal(latched(f, 2), 60);
	assert_int_equal(fake_in8(f->fake, PORT61) & OUT2, 0);
	gate(f, true);
	ticks(f, 59);
	assert_int_equal(fake_in8(f->fake, PORT61) & OUT2, 0);
	ticks(f, 1);
	assert_int_equal(fake_in8(f->fake, PORT61) & OUT2, OUT2);
}

static void test_mode1(void **state)
{
	struct fixture *f = *state;

	program(f, 2, 1, 10);
	ticks(f, 100);
	assert_true(output(f, 2)); /* waits for its trigger */
	gate(f, true);
	assert_true(output(f, 2));
	ticks(f, 1);
	assert_false(output(f, 2));
	gate(f, false); /* no matter */
	ticks(f, 9);
	assert_false(output(f, 2));
	ticks(f, 1);
	assert_true(output(f, 2));
	/* Triggered again in the middle. */
	gate(f, true);
	ticks(f, 6);
	gate(f, false);
	gate(f, true);
	ticks(f, 10);
	assert_false(output(f, 2));
	ticks(f, 1);
	assert_true(output(f, 2));
	/* A new count waits for the next trigger. */
	count(f, 2, 3);
	assert_int_equal(status(f, 2) & NULL_COUNT, NULL_COUNT);
	gate(f, false);
	gate(f, true);
	ticks(f, 3);
	assert_false(output(f, 2));
	ticks(f, 1);
	assert_true(output(f, 2));
}

static void test_mode2(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 1193);
	assert_int_equal(latched(f, 0), 1193);
	ticks(f, 1191);
	assert_int_equal(latched(f, 0), 2);
	assert_true(output(f, 0));
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 1);
	assert_false(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 1193);
	assert_true(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	ticks(f, 1193 * 1000);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1000);
}

/* A count written while a period runs is that of the next one. */
static void test_mode2_new_count(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 1000);
	ticks(f, 400);
	count(f, 0, 500);
	assert_int_equal(status(f, 0) & NULL_COUNT, NULL_COUNT);
	ticks(f, 599);
	assert_int_equal(latched(f, 0), 1);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 500);
	assert_int_equal(status(f, 0) & NULL_COUNT, 0);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	ticks(f, 500 * 3);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 3);
}

static void test_mode2_gate(void **state)
{
	struct fixture *f = *state;

	gate(f, true);
	program(f, 2, 2, 10);
	ticks(f, 9);
	assert_false(output(f, 2));
	gate(f, false); /* raises the output at once */
	assert_true(output(f, 2));
	ticks(f, 30);
	assert_true(output(f, 2));
	gate(f, true); /* starts anew */
	ticks(f, 1);
	assert_int_equal(latched(f, 2), 10);
	ticks(f, 9);
	assert_false(output(f, 2));
}

static void test_mode3(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 3, 1000);
	assert_int_equal(latched(f, 0), 1000);
	assert_true(output(f, 0));
	ticks(f, 499);
	assert_int_equal(latched(f, 0), 2);
	assert_true(output(f, 0));
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 1000);
	assert_false(output(f, 0));
	ticks(f, 500);
	assert_true(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	ticks(f, 1000 * 100);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 100);
	assert_true(fake_machine_gsi(f->fake, 0));
}

static void test_mode3_odd(void **state)
{
	static const struct {
		uint16_t count;
		bool output;
	} steps[] = {{4, 1}, {2, 1}, {0, 1}, {4, 0}, {2, 0}, {4, 1}, {2, 1}, {0, 1}, {4, 0}};
	struct fixture *f = *state;

	gate(f, true);
	program(f, 2, 3, 5);
	for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
		assert_int_equal(latched(f, 2), steps[i].count);
		assert_int_equal(output(f, 2), steps[i].output);
		ticks(f, 1);
	}
}

/* In mode 3 a new count takes over at the next half. */
static void test_mode3_new_count(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 3, 1000);
	ticks(f, 100);
	count(f, 0, 600);
	ticks(f, 399);
	assert_true(output(f, 0));
	ticks(f, 1);
	assert_false(output(f, 0));
	assert_int_equal(latched(f, 0), 600);
	ticks(f, 299);
	assert_false(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
	ticks(f, 1);
	assert_true(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	/* In the low half likewise. */
	ticks(f, 300 + 100);
	count(f, 0, 200);
	ticks(f, 200);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	ticks(f, 200);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
}

static void test_mode4(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 4, 100);
	(void)fake_machine_take_rises(f->fake, 0);
	ticks(f, 99);
	assert_true(output(f, 0));
	ticks(f, 1);
	assert_false(output(f, 0));
	ticks(f, 1);
	assert_true(output(f, 0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	ticks(f, 200000);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
	/* The next count starts by itself: this is how one-shot timers use it. */
	count(f, 0, 50);
	ticks(f, 20);
	count(f, 0, 50);
	ticks(f, 51);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
	ticks(f, 1);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
}

static void test_mode5(void **state)
{
	struct fixture *f = *state;

	program(f, 2, 5, 10);
	ticks(f, 50);
	assert_true(output(f, 2));
	gate(f, true);
	ticks(f, 1 + 9);
	assert_true(output(f, 2));
	ticks(f, 1);
	assert_false(output(f, 2));
	ticks(f, 1);
	assert_true(output(f, 2));
}

static void test_bcd(void **state)
{
	struct fixture *f = *state;

	control(f, 0, BOTH_BYTES | MODE(2) | BCD);
	count(f, 0, 0x1000);
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 0x1000);
	ticks(f, 1);
	assert_int_equal(latched(f, 0), 0x0999);
	ticks(f, 999);
	assert_int_equal(latched(f, 0), 0x1000);
	/* 0 is 10000. */
	control(f, 0, BOTH_BYTES | MODE(0) | BCD);
	count(f, 0, 0);
	ticks(f, 2);
	assert_int_equal(latched(f, 0), 0x9999);
	ticks(f, 10000);
	assert_int_equal(latched(f, 0), 0x9999);
	assert_true(output(f, 0));
}

static void test_access(void **state)
{
	struct fixture *f = *state;

	control(f, 2, LOW_BYTE | MODE(0));
	gate(f, true);
	fake_out8(f->fake, 0x42, 0x80);
	ticks(f, 1 + 0x10);
	assert_int_equal(fake_in8(f->fake, 0x42), 0x70);
	assert_int_equal(fake_in8(f->fake, 0x42), 0x70);
	control(f, 2, HIGH_BYTE | MODE(0));
	fake_out8(f->fake, 0x42, 0x80);
	ticks(f, 1 + 0x100);
	assert_int_equal(fake_in8(f->fake, 0x42), 0x7f);
	assert_int_equal(fake_in8(f->fake, CONTROL), 0);
}

static void test_latch(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 0);
	assert_int_equal(latched(f, 0), 0);
	ticks(f, 0x1234);
	fake_out8(f->fake, CONTROL, LATCH(0));
	ticks(f, 0x1111);
	fake_out8(f->fake, CONTROL, LATCH(0)); /* ignored: the first has not been read */
	assert_int_equal(fake_in8(f->fake, 0x40), (uint8_t)-0x1234);
	ticks(f, 0x1111);
	assert_int_equal(fake_in8(f->fake, 0x40), (uint8_t)(-0x1234 >> 8));
	assert_int_equal(read_both(f, 0), (uint16_t)-0x3456);
}

static void test_read_back(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 0x1000);
	control(f, 1, LOW_BYTE | MODE(4) | BCD);
	/* All at once; the status comes first, then the count. */
	fake_out8(f->fake, CONTROL, READ_BACK(7, BACK_BOTH));
	ticks(f, 100);
	fake_out8(f->fake, CONTROL, READ_BACK(7, BACK_BOTH)); /* ignored */
	assert_int_equal(fake_in8(f->fake, 0x40), OUTPUT | BOTH_BYTES | MODE(2));
	assert_int_equal(read_both(f, 0), 0x1000);
	assert_int_equal(fake_in8(f->fake, 0x41), OUTPUT | NULL_COUNT | LOW_BYTE | MODE(4) | BCD);
	/* The mode is shown as it was written. */
	control(f, 0, BOTH_BYTES | MODE(6));
	assert_int_equal(status(f, 0), OUTPUT | NULL_COUNT | BOTH_BYTES | MODE(6));
	count(f, 0, 10);
	assert_int_equal(status(f, 0) & NULL_COUNT, NULL_COUNT); /* until the next tick */
	ticks(f, 1);
	assert_int_equal(status(f, 0) & NULL_COUNT, 0);
	ticks(f, 3);
	fake_out8(f->fake, CONTROL, READ_BACK(1, BACK_COUNT));
	assert_int_equal(read_both(f, 0), 7);
}

/* Shortest periods must not keep the host busy for ever. */
static void test_storm(void **state)
{
	static const uint16_t counts[] = {1, 2, 3, 119};
	struct fixture *f = *state;

	for (unsigned mode = 2; mode <= 3; mode++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
			program(f, 0, mode, counts[i]);
			(void)fake_machine_take_rises(f->fake, 0);
			fake_machine_run(f->fake, SECOND);
			unsigned rises = fake_machine_take_rises(f->fake, 0);
			assert_in_range(rises, 5000, 10000);
		}
	}
}

/* A timer that comes late makes one edge, and the next ones are in time again. */
static void test_late(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 1000);
	clock_advance(f->fake->machine.clock, 5 * SECOND);
	clock_run_timers(f->fake->machine.clock);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	ticks(f, 1000);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	/* One that is overtaken by a new mode still made its edge. */
	clock_advance(f->fake->machine.clock, SECOND);
	control(f, 0, BOTH_BYTES | MODE(0));
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 1);
	assert_false(fake_machine_gsi(f->fake, 0));
	clock_run_timers(f->fake->machine.clock);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
}

static void test_port61(void **state)
{
	struct fixture *f = *state;
	unsigned toggles = 0;

	fake_out8(f->fake, PORT61, 0xff);
	assert_int_equal(fake_in8(f->fake, PORT61) & ~0x30, 0x0f);
	fake_out8(f->fake, PORT61, 0x02);
	assert_int_equal(fake_in8(f->fake, PORT61) & ~0x30, 0x02);
	uint8_t last = fake_in8(f->fake, PORT61);
	for (unsigned i = 0; i < 1000; i++) {
		fake_machine_run(f->fake, 1000);
		uint8_t value = fake_in8(f->fake, PORT61);
		toggles += (value ^ last) >> 4 & 1;
		last = value;
	}
	assert_in_range(toggles, 66, 67); /* every 15 us */
}

static void test_words(void **state)
{
	struct fixture *f = *state;

	/* The low byte to channel 2, the high one to the control port. */
	gate(f, true);
	control(f, 2, LOW_BYTE | MODE(0));
	fake_port_write(f->fake, 0x42, (LATCH(2) << 8) | 0x20, 2);
	ticks(f, 5);
	assert_int_equal(fake_port_read(f->fake, 0x42, 2), 0x0020);
	assert_int_equal(fake_in8(f->fake, 0x42), 0x20 - 4);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 1000);
	program(f, 2, 0, 10);
	fake_out8(f->fake, PORT61, 0x03);
	device_reset(f->pit);
	(void)fake_machine_take_rises(f->fake, 0);
	fake_machine_run(f->fake, SECOND);
	assert_int_equal(fake_machine_take_rises(f->fake, 0), 0);
	assert_int_equal(clock_next_deadline(f->fake->machine.clock), CLOCK_NEVER);
	assert_int_equal(fake_in8(f->fake, PORT61) & 0x0f, 0);
	assert_int_equal(status(f, 0), OUTPUT | NULL_COUNT | BOTH_BYTES | MODE(3));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_mode0),
			TEST(test_mode0_gate),
			TEST(test_mode1),
			TEST(test_mode2),
			TEST(test_mode2_new_count),
			TEST(test_mode2_gate),
			TEST(test_mode3),
			TEST(test_mode3_odd),
			TEST(test_mode3_new_count),
			TEST(test_mode4),
			TEST(test_mode5),
			TEST(test_bcd),
			TEST(test_access),
			TEST(test_latch),
			TEST(test_read_back),
			TEST(test_storm),
			TEST(test_late),
			TEST(test_port61),
			TEST(test_words),
			TEST(test_reset),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
