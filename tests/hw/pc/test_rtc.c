/* SPDX-License-Identifier: MIT */
#include "hw/pc/rtc.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#include <time.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define GSI 8
#define BASE "951782399" /* Monday, 2000-02-28 23:59:59 */

enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	DAY,
	MONTH,
	YEAR
};
#define REG_A 0x0a
#define REG_B 0x0b
#define REG_C 0x0c
#define REG_D 0x0d
#define CENTURY 0x32

#define UIP 0x80
#define DIVIDER_RUNS 0x20
#define DIVIDER_RESET 0x70
#define RATE_1024 0x06
#define RATE_2 0x0f
#define B_24_HOUR 0x02
#define B_BINARY 0x04
#define UPDATE 0x10
#define ALARM 0x20
#define PERIODIC 0x40
#define SET 0x80
#define IRQ 0x80

struct fixture {
	struct fake_machine *fake;
	struct device *rtc;
};

static struct device *make(struct fixture *f, const char *base)
{
	struct device *rtc = fake_machine_device(&rtc_class, "base", base, NULL);
	bool ok = device_realize(rtc, &f->fake->machine, NULL);

	assert_true(ok);
	device_reset(rtc);
	return rtc;
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->rtc = make(f, BASE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->rtc);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static uint8_t get(struct fixture *f, uint8_t index)
{
	fake_out8(f->fake, 0x70, index);
	return fake_in8(f->fake, 0x71);
}

static void set(struct fixture *f, uint8_t index, uint8_t value)
{
	fake_out8(f->fake, 0x70, index);
	fake_out8(f->fake, 0x71, value);
}

static void assert_time(struct fixture *f, uint8_t hours, uint8_t minutes, uint8_t seconds)
{
	assert_int_equal(get(f, HOURS), hours);
	assert_int_equal(get(f, MINUTES), minutes);
	assert_int_equal(get(f, SECONDS), seconds);
}

static void assert_date(
		struct fixture *f, uint16_t year, uint8_t month, uint8_t day, uint8_t weekday)
{
	assert_int_equal(get(f, CENTURY), year >> 8);
	assert_int_equal(get(f, YEAR), year & 0xff);
	assert_int_equal(get(f, MONTH), month);
	assert_int_equal(get(f, DAY), day);
	assert_int_equal(get(f, WEEKDAY), weekday);
}

static void test_time(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, REG_A), DIVIDER_RUNS | RATE_1024);
	assert_int_equal(get(f, REG_B), B_24_HOUR);
	assert_int_equal(get(f, REG_D), 0x80);
	assert_time(f, 0x23, 0x59, 0x59);
	assert_date(f, 0x2000, 0x02, 0x28, 2);
	fake_machine_run(f->fake, SECOND - 1);
	assert_time(f, 0x23, 0x59, 0x59);
	fake_machine_run(f->fake, 1);
	assert_time(f, 0x00, 0x00, 0x00);
	assert_date(f, 0x2000, 0x02, 0x29, 3); /* a leap year */
	fake_machine_run(f->fake, 86400 * SECOND);
	assert_date(f, 0x2000, 0x03, 0x01, 4);
	assert_int_equal(fake_in8(f->fake, 0x70), 0xff);
}

static void test_formats(void **state)
{
	struct fixture *f = *state;

	set(f, REG_B, B_24_HOUR | B_BINARY);
	assert_time(f, 23, 59, 59);
	assert_int_equal(get(f, CENTURY), 20);
	set(f, REG_B, 0);
	assert_int_equal(get(f, HOURS), 0x91);
	set(f, REG_B, B_BINARY);
	assert_int_equal(get(f, HOURS), 0x80 | 11);
	fake_machine_run(f->fake, SECOND);
	assert_int_equal(get(f, HOURS), 12); /* midnight */
	fake_machine_run(f->fake, 12 * 3600 * SECOND);
	assert_int_equal(get(f, HOURS), 0x80 | 12); /* noon */
	set(f, REG_B, 0);
	assert_int_equal(get(f, HOURS), 0x92);
	/* Setting in that format. */
	set(f, HOURS, 0x12);
	set(f, REG_B, B_24_HOUR);
	assert_int_equal(get(f, HOURS), 0x00);
	set(f, REG_B, 0);
	set(f, HOURS, 0x83);
	set(f, REG_B, B_24_HOUR);
	assert_int_equal(get(f, HOURS), 0x15);
}

static void test_set(void **state)
{
	struct fixture *f = *state;

	fake_machine_run(f->fake, 300 * MS);
	set(f, REG_B, SET | B_24_HOUR);
	set(f, SECONDS, 0x30);
	set(f, MINUTES, 0x20);
	set(f, HOURS, 0x10);
	set(f, DAY, 0x31);
	set(f, MONTH, 0x12);
	set(f, YEAR, 0x99);
	set(f, CENTURY, 0x19);
	fake_machine_run(f->fake, 5 * SECOND); /* nothing moves meanwhile */
	assert_time(f, 0x10, 0x20, 0x30);
	set(f, REG_B, B_24_HOUR);
	assert_time(f, 0x10, 0x20, 0x30);
	assert_date(f, 0x1999, 0x12, 0x31, 6);
	/* The divider chain ran on: the next second comes as it would have. */
	fake_machine_run(f->fake, 699 * MS);
	assert_time(f, 0x10, 0x20, 0x30);
	fake_machine_run(f->fake, 1 * MS);
	assert_time(f, 0x10, 0x20, 0x31);
	/* Without SET the time goes on around what is written. */
	set(f, MINUTES, 0x59);
	fake_machine_run(f->fake, 29 * SECOND);
	assert_time(f, 0x11, 0x00, 0x00);
}

static void test_divider_reset(void **state)
{
	struct fixture *f = *state;

	/* As Linux sets a clock: half a second after the divider is let go the second changes. */
	fake_machine_run(f->fake, 123 * MS);
	set(f, REG_B, SET | B_24_HOUR);
	set(f, REG_A, DIVIDER_RESET | RATE_1024);
	set(f, SECONDS, 0x05);
	set(f, MINUTES, 0x00);
	set(f, HOURS, 0x01);
	set(f, REG_B, B_24_HOUR);
	fake_machine_run(f->fake, 10 * SECOND);
	assert_time(f, 0x01, 0x00, 0x05);
	set(f, REG_A, DIVIDER_RUNS | RATE_1024);
	fake_machine_run(f->fake, 499 * MS);
	assert_time(f, 0x01, 0x00, 0x05);
	fake_machine_run(f->fake, 1 * MS);
	assert_time(f, 0x01, 0x00, 0x06);
	fake_machine_run(f->fake, SECOND);
	assert_time(f, 0x01, 0x00, 0x07);
}

static void test_update_in_progress(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, REG_A) & UIP, 0);
	fake_machine_run(f->fake, SECOND - 244001);
	assert_int_equal(get(f, REG_A) & UIP, 0);
	fake_machine_run(f->fake, 1);
	assert_int_equal(get(f, REG_A) & UIP, UIP);
	set(f, REG_B, SET | B_24_HOUR);
	assert_int_equal(get(f, REG_A) & UIP, 0);
	set(f, REG_B, B_24_HOUR);
	fake_machine_run(f->fake, 244000);
	assert_int_equal(get(f, REG_A) & UIP, 0);
	set(f, REG_A, UIP | DIVIDER_RUNS | RATE_1024); /* read-only */
	assert_int_equal(get(f, REG_A), DIVIDER_RUNS | RATE_1024);
}

static void test_periodic(void **state)
{
	struct fixture *f = *state;

	set(f, REG_B, PERIODIC | B_24_HOUR);
	(void)get(f, REG_C);
	for (unsigned i = 0; i < 1024; i++) {
		fake_machine_run(f->fake, SECOND / 1024 + 1);
		assert_true(fake_machine_gsi(f->fake, GSI));
		assert_int_equal(get(f, REG_C) & (IRQ | PERIODIC), IRQ | PERIODIC);
		assert_false(fake_machine_gsi(f->fake, GSI));
		assert_int_equal(get(f, REG_C), 0);
	}
	/* Nobody reads the flag: the line stays high, and nobody is woken for nothing. */
	fake_machine_run(f->fake, 10 * SECOND);
	assert_true(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(clock_next_deadline(f->fake->machine.clock), CLOCK_NEVER);
	(void)get(f, REG_C);
	(void)fake_machine_take_rises(f->fake, GSI);
	set(f, REG_A, DIVIDER_RUNS | RATE_2);
	(void)get(f, REG_C);
	for (unsigned i = 0; i < 20; i++) {
		fake_machine_run(f->fake, SECOND / 2);
		(void)get(f, REG_C);
	}
	assert_int_equal(fake_machine_take_rises(f->fake, GSI), 20);
	set(f, REG_A, DIVIDER_RUNS);
	fake_machine_run(f->fake, SECOND);
	assert_false(fake_machine_gsi(f->fake, GSI));
	set(f, REG_A, DIVIDER_RESET | RATE_2);
	fake_machine_run(f->fake, 2 * SECOND);
	assert_false(fake_machine_gsi(f->fake, GSI));
}

/* Every rate by its flag. */
static void test_rates(void **state)
{
	struct fixture *f = *state;

	for (unsigned rate = 1; rate < 16; rate++) {
		int64_t hz = 32768 >> ((rate <= 2 ? rate + 7 : rate) - 1);
		unsigned count = 0;
		set(f, REG_A, (uint8_t)(DIVIDER_RUNS | rate));
		set(f, REG_B, PERIODIC | B_24_HOUR);
		(void)get(f, REG_C);
		(void)fake_machine_take_rises(f->fake, GSI);
		int64_t end = clock_now(f->fake->machine.clock) + SECOND;
		while (clock_next_deadline(f->fake->machine.clock) <= end) {
			int64_t left = clock_next_deadline(f->fake->machine.clock) -
				       clock_now(f->fake->machine.clock);
			fake_machine_run(f->fake, left);
			count++;
			assert_int_equal(get(f, REG_C) & PERIODIC, PERIODIC);
		}
		assert_int_equal(count, hz);
		fake_machine_run(f->fake, end - clock_now(f->fake->machine.clock));
	}
}

static void test_update_interrupt(void **state)
{
	struct fixture *f = *state;

	set(f, REG_B, UPDATE | B_24_HOUR);
	fake_machine_run(f->fake, SECOND - 1);
	assert_false(fake_machine_gsi(f->fake, GSI));
	fake_machine_run(f->fake, 1);
	assert_true(fake_machine_gsi(f->fake, GSI));
	/* Forbidding it releases the line; the flag stays. */
	set(f, REG_B, B_24_HOUR);
	assert_false(fake_machine_gsi(f->fake, GSI));
	set(f, REG_B, UPDATE | B_24_HOUR);
	assert_true(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(get(f, REG_C) & (IRQ | UPDATE), IRQ | UPDATE);
	assert_false(fake_machine_gsi(f->fake, GSI));
	set(f, REG_B, SET | UPDATE | B_24_HOUR); /* no updates while it is being set */
	fake_machine_run(f->fake, 3 * SECOND);
	assert_false(fake_machine_gsi(f->fake, GSI));
}

static void set_alarm(struct fixture *f, uint8_t hours, uint8_t minutes, uint8_t seconds)
{
	set(f, HOURS_ALARM, hours);
	set(f, MINUTES_ALARM, minutes);
	set(f, SECONDS_ALARM, seconds);
}

static void test_alarm(void **state)
{
	struct fixture *f = *state;

	set_alarm(f, 0x00, 0x01, 0x05);
	assert_int_equal(get(f, HOURS_ALARM), 0x00);
	assert_int_equal(get(f, MINUTES_ALARM), 0x01);
	assert_int_equal(get(f, SECONDS_ALARM), 0x05);
	set(f, REG_B, ALARM | B_24_HOUR);
	fake_machine_run(f->fake, 66 * SECOND - 1);
	assert_false(fake_machine_gsi(f->fake, GSI));
	fake_machine_run(f->fake, 1);
	assert_true(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(get(f, REG_C) & (IRQ | ALARM), IRQ | ALARM);
	fake_machine_run(f->fake, 86399 * SECOND);
	assert_false(fake_machine_gsi(f->fake, GSI));
	fake_machine_run(f->fake, SECOND); /* every day */
	assert_true(fake_machine_gsi(f->fake, GSI));
	(void)get(f, REG_C);
	/* Any hour, any minute. */
	(void)fake_machine_take_rises(f->fake, GSI);
	set_alarm(f, 0xff, 0xc0, 0x30);
	for (unsigned i = 0; i < 10; i++) {
		fake_machine_run(f->fake, 60 * SECOND);
		(void)get(f, REG_C);
	}
	assert_int_equal(fake_machine_take_rises(f->fake, GSI), 10);
	set_alarm(f, 0xff, 0xff, 0x77); /* never */
	fake_machine_run(f->fake, 86400 * SECOND);
	assert_false(fake_machine_gsi(f->fake, GSI));
}

/* The flags rise whether they interrupt or not: a guest may poll. */
static void test_polling(void **state)
{
	struct fixture *f = *state;

	set(f, REG_A, DIVIDER_RUNS | RATE_2);
	set_alarm(f, 0x00, 0x00, 0x02);
	(void)get(f, REG_C);
	assert_int_equal(clock_next_deadline(f->fake->machine.clock), CLOCK_NEVER);
	fake_machine_run(f->fake, 500 * MS);
	assert_int_equal(get(f, REG_C), PERIODIC);
	assert_int_equal(get(f, REG_C), 0);
	fake_machine_run(f->fake, 500 * MS);
	assert_int_equal(get(f, REG_C), PERIODIC | UPDATE);
	fake_machine_run(f->fake, 5 * SECOND);
	assert_int_equal(get(f, REG_C), PERIODIC | UPDATE | ALARM);
	assert_false(fake_machine_gsi(f->fake, GSI));
	/* Also after days. */
	fake_machine_run(f->fake, 3 * 86400 * SECOND);
	assert_int_equal(get(f, REG_C), PERIODIC | UPDATE | ALARM);
	/* Setting the clock past the alarm is no alarm. */
	set_alarm(f, 0x12, 0x00, 0x00);
	(void)get(f, REG_C);
	set(f, HOURS, 0x13);
	assert_int_equal(get(f, REG_C), 0);
}

static void test_nonsense(void **state)
{
	struct fixture *f = *state;

	/* Every byte anywhere, in every format, then a look at everything. */
	for (unsigned value = 0; value < 0x100; value++) {
		for (unsigned index = 0; index <= CENTURY; index++) {
			set(f, (uint8_t)index, (uint8_t)(value + index * 37));
		}
		for (unsigned index = 0; index < 0x100; index++) {
			(void)get(f, (uint8_t)index);
		}
		fake_machine_run(f->fake, 1500 * MS);
	}
	set(f, REG_A, DIVIDER_RUNS);
	set(f, REG_B, B_24_HOUR);
	set(f, MONTH, 0x00);
	set(f, CENTURY, 0x00);
	set(f, YEAR, 0x00);
	(void)get(f, YEAR);
	fake_machine_run(f->fake, SECOND);
	assert_in_range(get(f, MONTH), 0x01, 0x12);
}

static void test_memory_and_reset(void **state)
{
	struct fixture *f = *state;

	set(f, 0x40, 0x5a);
	set(f, 0x80 | 0x41, 0xa5); /* the bit that masks NMIs is none of the index */
	set(f, REG_B, 0x7f);
	fake_machine_run(f->fake, 2 * SECOND);
	assert_true(fake_machine_gsi(f->fake, GSI));
	device_reset(f->rtc);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(fake_in8(f->fake, 0x71), 0x01); /* index 0: the seconds, in binary */
	assert_int_equal(get(f, REG_B), 0x07);
	assert_int_equal(get(f, REG_C), 0);
	assert_int_equal(get(f, 0x40), 0x5a);
	assert_int_equal(get(f, 0x41), 0xa5);
	assert_int_equal(get(f, 0x7f), 0);
	set(f, REG_D, 0);
	assert_int_equal(get(f, REG_D), 0x80);
	/* A word is index and value in one. */
	fake_port_write(f->fake, 0x70, 0x7742, 2);
	assert_int_equal(get(f, 0x42), 0x77);
}

static void test_host_time(void **state)
{
	struct fixture *f = *state;
	time_t before = time(NULL);
	struct tm tm;

	device_destroy(f->rtc);
	f->rtc = make(f, "0");
	set(f, REG_B, B_24_HOUR | B_BINARY);
	set(f, REG_B, SET | B_24_HOUR | B_BINARY);
	tm = (struct tm){
			.tm_sec = get(f, SECONDS),
			.tm_min = get(f, MINUTES),
			.tm_hour = get(f, HOURS),
			.tm_mday = get(f, DAY),
			.tm_mon = get(f, MONTH) - 1,
			.tm_year = get(f, CENTURY) * 100 + get(f, YEAR) - 1900,
	};
	assert_in_range(timegm(&tm), before, time(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_time),
			TEST(test_formats),
			TEST(test_set),
			TEST(test_divider_reset),
			TEST(test_update_in_progress),
			TEST(test_periodic),
			TEST(test_rates),
			TEST(test_update_interrupt),
			TEST(test_alarm),
			TEST(test_polling),
			TEST(test_nonsense),
			TEST(test_memory_and_reset),
			TEST(test_host_time),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
