/* SPDX-License-Identifier: MIT */
/*
 * MC146818A real-time clock at 0x70/0x71: time of day in UTC, periodic, alarm and update-ended
 * interrupts on input 8, 128 bytes of memory. Time is the host's plus an offset that setting the
 * clock changes. Left out: daylight saving, the 12-hour alarm's "don't care" in hours beyond what
 * the data sheet defines.
 */
#include "hw/pc/rtc.h"

#include "core/base/clock.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#include <string.h>
#include <time.h>

#define RTC_GSI 8
#define RTC_MEMORY 128
#define NS_PER_SEC INT64_C(1000000000)

enum {
	REG_SECONDS,
	REG_SECONDS_ALARM,
	REG_MINUTES,
	REG_MINUTES_ALARM,
	REG_HOURS,
	REG_HOURS_ALARM,
	REG_WEEKDAY,
	REG_DAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_CENTURY = 0x32,
};

#define A_UPDATE_IN_PROGRESS 0x80
#define A_RATE 0x0f
#define B_24_HOUR 0x02
#define B_BINARY 0x04
#define B_UPDATE_INTERRUPT 0x10
#define B_ALARM_INTERRUPT 0x20
#define B_PERIODIC_INTERRUPT 0x40
#define B_SET 0x80
#define C_IRQ 0x80
#define D_VALID 0x80
#define ALARM_ANY 0xc0 /* two top bits set: any value matches */

struct rtc {
	struct device base;
	struct machine *machine;
	struct io_region ports;
	struct timer second, periodic;
	int64_t base_seconds; /* UTC at clock time 0 */
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint8_t index;
	uint8_t memory[RTC_MEMORY];
	int64_t offset; /* seconds the guest set its clock ahead of the host's */
};

static struct rtc *rtc_of(struct device *device)
{
	assert(device->device_class == &rtc_class);
	return container_of(device, struct rtc, base);
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	return (uint8_t)(rtc->memory[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->memory[REG_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15u);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->memory[REG_B] & B_24_HOUR) {
		return encode(rtc, hour);
	}
	unsigned twelve = hour % 12 == 0 ? 12 : hour % 12;
	return (uint8_t)(encode(rtc, twelve) | (hour >= 12 ? 0x80 : 0));
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->memory[REG_B] & B_24_HOUR) {
		return decode(rtc, value);
	}
	return decode(rtc, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

static int64_t now_seconds(const struct rtc *rtc)
{
	return rtc->base_seconds + clock_now(rtc->machine->clock) / NS_PER_SEC + rtc->offset;
}

static void store_time(struct rtc *rtc)
{
	time_t now = (time_t)now_seconds(rtc);
	struct tm tm;

	gmtime_r(&now, &tm);
	rtc->memory[REG_SECONDS] = encode(rtc, (unsigned)tm.tm_sec);
	rtc->memory[REG_MINUTES] = encode(rtc, (unsigned)tm.tm_min);
	rtc->memory[REG_HOURS] = encode_hour(rtc, (unsigned)tm.tm_hour);
	rtc->memory[REG_WEEKDAY] = encode(rtc, (unsigned)tm.tm_wday + 1);
	rtc->memory[REG_DAY] = encode(rtc, (unsigned)tm.tm_mday);
	rtc->memory[REG_MONTH] = encode(rtc, (unsigned)tm.tm_mon + 1);
	rtc->memory[REG_YEAR] = encode(rtc, (unsigned)tm.tm_year % 100);
	rtc->memory[REG_CENTURY] = encode(rtc, (unsigned)(tm.tm_year + 1900) / 100);
}

/* The guest set its clock: what it wrote becomes an offset from the host's. */
static void take_time(struct rtc *rtc)
{
	struct tm tm = {
			.tm_sec = (int)decode(rtc, rtc->memory[REG_SECONDS]),
			.tm_min = (int)decode(rtc, rtc->memory[REG_MINUTES]),
			.tm_hour = (int)decode_hour(rtc, rtc->memory[REG_HOURS]),
			.tm_mday = (int)decode(rtc, rtc->memory[REG_DAY]),
			.tm_mon = (int)decode(rtc, rtc->memory[REG_MONTH]) - 1,
			.tm_year = (int)(decode(rtc, rtc->memory[REG_CENTURY]) * 100 +
						   decode(rtc, rtc->memory[REG_YEAR])) -
				   1900,
	};
	int64_t set = timegm(&tm);

	rtc->offset += set - now_seconds(rtc);
}

static void raise_locked(struct rtc *rtc, uint8_t cause)
{
	rtc->memory[REG_C] |= cause;
	if (rtc->memory[REG_B] & rtc->memory[REG_C] &
			(B_UPDATE_INTERRUPT | B_ALARM_INTERRUPT | B_PERIODIC_INTERRUPT)) {
		rtc->memory[REG_C] |= C_IRQ;
		machine_set_gsi(rtc->machine, RTC_GSI, true);
	}
}

static bool alarm_matches(const struct rtc *rtc, unsigned alarm, unsigned time)
{
	uint8_t value = rtc->memory[alarm];

	return (value & ALARM_ANY) == ALARM_ANY || value == rtc->memory[time];
}

/* The clock ticks for the guest only while an interrupt of its wants to hear of it. */
static void arm_second_locked(struct rtc *rtc)
{
	if (!(rtc->memory[REG_B] & (B_UPDATE_INTERRUPT | B_ALARM_INTERRUPT)) ||
			(rtc->memory[REG_B] & B_SET)) {
		timer_cancel(&rtc->second);
		return;
	}
	int64_t now = clock_now(rtc->machine->clock);
	timer_arm(&rtc->second, now - now % NS_PER_SEC + NS_PER_SEC);
}

static void handle_second(struct timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, second);

	g_mutex_lock(&rtc->lock);
	store_time(rtc);
	raise_locked(rtc, B_UPDATE_INTERRUPT);
	if (alarm_matches(rtc, REG_SECONDS_ALARM, REG_SECONDS) &&
			alarm_matches(rtc, REG_MINUTES_ALARM, REG_MINUTES) &&
			alarm_matches(rtc, REG_HOURS_ALARM, REG_HOURS)) {
		raise_locked(rtc, B_ALARM_INTERRUPT);
	}
	arm_second_locked(rtc);
	g_mutex_unlock(&rtc->lock);
}

static void arm_periodic_locked(struct rtc *rtc)
{
	unsigned rate = rtc->memory[REG_A] & A_RATE;

	if (rate == 0 || !(rtc->memory[REG_B] & B_PERIODIC_INTERRUPT)) {
		timer_cancel(&rtc->periodic);
		return;
	}
	/* Rates 1 and 2 are those of 8 and 9 with the usual 32 kHz time base. */
	unsigned shift = rate <= 2 ? rate + 7 : rate;
	int64_t period = NS_PER_SEC * (INT64_C(1) << (shift - 1)) / 32768;
	int64_t now = clock_now(rtc->machine->clock);
	timer_arm(&rtc->periodic, now - now % period + period);
}

static void handle_periodic(struct timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, periodic);

	g_mutex_lock(&rtc->lock);
	raise_locked(rtc, B_PERIODIC_INTERRUPT);
	arm_periodic_locked(rtc);
	g_mutex_unlock(&rtc->lock);
}

static uint8_t read_locked(struct rtc *rtc)
{
	unsigned index = rtc->index;
	uint8_t value;

	if ((index <= REG_YEAR || index == REG_CENTURY) &&
			!(index <= REG_HOURS_ALARM && index % 2) && !(rtc->memory[REG_B] & B_SET)) {
		store_time(rtc);
	}
	value = rtc->memory[index];
	if (index == REG_C) {
		rtc->memory[REG_C] = 0;
		machine_set_gsi(rtc->machine, RTC_GSI, false);
	}
	return value;
}

static void write_locked(struct rtc *rtc, uint8_t value)
{
	unsigned index = rtc->index;
	bool was_set = rtc->memory[REG_B] & B_SET;
	bool is_time = (index <= REG_YEAR && !(index <= REG_HOURS_ALARM && index % 2)) ||
		       index == REG_CENTURY;

	switch (index) {
	case REG_A:
		rtc->memory[REG_A] = value & (uint8_t)~A_UPDATE_IN_PROGRESS;
		arm_periodic_locked(rtc);
		break;
	case REG_B:
		if (!was_set) {
			store_time(rtc);
		}
		rtc->memory[REG_B] = value;
		if (was_set && !(value & B_SET)) {
			take_time(rtc);
		}
		raise_locked(rtc, 0);
		arm_periodic_locked(rtc);
		arm_second_locked(rtc);
		break;
	case REG_C:
	case REG_D:
		break; /* read-only */
	default:
		if (is_time && !was_set) {
			store_time(rtc);
		}
		rtc->memory[index] = value;
		if (is_time && !was_set) {
			take_time(rtc);
		}
		break;
	}
}

static uint64_t rtc_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct rtc *rtc = container_of(region, struct rtc, ports);
	uint8_t value = 0xff; /* the index cannot be read back */
	(void)size;

	if (offset == 1) {
		g_mutex_lock(&rtc->lock);
		value = read_locked(rtc);
		g_mutex_unlock(&rtc->lock);
	}
	return value;
}

static void rtc_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct rtc *rtc = container_of(region, struct rtc, ports);
	(void)size;

	g_mutex_lock(&rtc->lock);
	if (offset == 0) {
		rtc->index = value &
			     (RTC_MEMORY - 1); /* bit 7 masks NMIs, of which there are none */
	} else {
		write_locked(rtc, (uint8_t)value);
	}
	g_mutex_unlock(&rtc->lock);
}

static bool rtc_realize(struct device *device, struct machine *machine, GError **error)
{
	struct rtc *rtc = rtc_of(device);
	(void)error;

	rtc->machine = machine;
	rtc->base_seconds = time(NULL) - clock_now(machine->clock) / NS_PER_SEC;
	g_mutex_init(&rtc->lock);
	timer_init(&rtc->second, machine->clock, handle_second);
	timer_init(&rtc->periodic, machine->clock, handle_periodic);
	rtc->memory[REG_A] = 0x26;
	rtc->memory[REG_B] = B_24_HOUR;
	rtc->memory[REG_D] = D_VALID;
	rtc->ports = (struct io_region){
			.name = "rtc", .size = 2, .read = rtc_read, .write = rtc_write};
	address_space_add(machine->ports, 0x70, &rtc->ports);
	return true;
}

static void rtc_unrealize(struct device *device)
{
	struct rtc *rtc = rtc_of(device);

	timer_cancel(&rtc->second);
	timer_cancel(&rtc->periodic);
	address_space_remove(&rtc->ports);
	g_mutex_clear(&rtc->lock);
}

/* The battery keeps the memory; a reset only forbids interrupts. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = rtc_of(device);

	g_mutex_lock(&rtc->lock);
	rtc->memory[REG_B] &= (uint8_t) ~(
			B_PERIODIC_INTERRUPT | B_ALARM_INTERRUPT | B_UPDATE_INTERRUPT);
	rtc->memory[REG_C] = 0;
	rtc->index = 0;
	machine_set_gsi(rtc->machine, RTC_GSI, false);
	timer_cancel(&rtc->second);
	timer_cancel(&rtc->periodic);
	g_mutex_unlock(&rtc->lock);
}

const struct device_class rtc_class = {
		.name = "mc146818rtc",
		.description = "MC146818 real-time clock",
		.size = sizeof(struct rtc),
		.internal = true,
		.realize = rtc_realize,
		.unrealize = rtc_unrealize,
		.reset = rtc_reset,
};
