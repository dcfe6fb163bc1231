/* SPDX-License-Identifier: MIT */
/*
 * MC146818A real-time clock at 0x70/0x71 (Motorola data sheet; ICH9 datasheet, 13.6): time of day in
 * UTC, periodic, alarm and update-ended interrupts on input 8, 128 bytes of memory with the century
 * at 0x32. Time is the host's when the machine is made, follows the machine's clock from then on and
 * is changed by setting it. Left out: daylight saving, the square wave, the upper bank at 0x72, NMI
 * masking; a written day of the week is forgotten: it follows from the date.
 */
#include "hw/pc/rtc.h"

#include "core/base/clock.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#include <time.h>

#define RTC_GSI 8
#define RTC_MEMORY 128
#define NS_PER_SEC INT64_C(1000000000)
#define SECONDS_PER_DAY 86400
#define CRYSTAL_HZ 32768
/* The data sheet's warning time before the registers change. They change at once here. */
#define UPDATE_WARNING_NS 244000
/* After the divider chain is let go, the first update comes half a second later. */
#define DIVIDER_START_NS (NS_PER_SEC / 2)

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

#define INDEX_MASK 0x7f /* bit 7 masks NMIs, of which there are none */
#define A_UPDATE_IN_PROGRESS 0x80
#define A_DIVIDER_RESET 0x60 /* both bits */
#define A_RATE 0x0f
#define B_24_HOUR 0x02
#define B_BINARY 0x04
#define B_SQUARE_WAVE 0x08
#define B_UPDATE_INTERRUPT 0x10 /* and the flags in C at the same places */
#define B_ALARM_INTERRUPT 0x20
#define B_PERIODIC_INTERRUPT 0x40
#define B_INTERRUPTS (B_UPDATE_INTERRUPT | B_ALARM_INTERRUPT | B_PERIODIC_INTERRUPT)
#define B_SET 0x80
#define C_IRQ 0x80
#define D_VALID 0x80
#define ALARM_ANY 0xc0 /* two top bits set: any value matches */

struct rtc {
	struct device base;
	struct machine *machine;
	struct io_region ports;
	struct timer wake; /* for the next flag that interrupts */

	struct {
		uint64_t base; /* seconds since 1970; 0: the host's time */
	} config;

	GMutex lock;

	/* guest-visible; guarded by lock */
	uint8_t index;
	uint8_t memory[RTC_MEMORY];
	/* The divider chain counts nanoseconds: the machine's clock plus phase, 0..NS_PER_SEC. */
	int64_t phase;
	int64_t offset; /* seconds since 1970 when the divider chain was at 0 */

	int64_t seen; /* of the divider: flags up to here are in C; guarded by lock */
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

static int64_t divider_now(const struct rtc *rtc)
{
	return clock_now(rtc->machine->clock) + rtc->phase;
}

static int64_t now_seconds(const struct rtc *rtc)
{
	return divider_now(rtc) / NS_PER_SEC + rtc->offset;
}

static bool divider_stopped(const struct rtc *rtc)
{
	return (rtc->memory[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* The time registers hold what the guest writes and do not move. */
static bool time_stopped(const struct rtc *rtc)
{
	return (rtc->memory[REG_B] & B_SET) || divider_stopped(rtc);
}

static bool is_time(unsigned index)
{
	return index == REG_SECONDS || index == REG_MINUTES || index == REG_HOURS ||
	       (index >= REG_WEEKDAY && index <= REG_YEAR) || index == REG_CENTURY;
}

static void store_time(struct rtc *rtc)
{
	time_t now = (time_t)now_seconds(rtc);
	struct tm tm;

	gmtime_r(&now, &tm);
	/* A guest can set dates outside the four digits; then only these digits remain. */
	unsigned year = (unsigned)(((tm.tm_year + 1900) % 10000 + 10000) % 10000);
	rtc->memory[REG_SECONDS] = encode(rtc, (unsigned)tm.tm_sec);
	rtc->memory[REG_MINUTES] = encode(rtc, (unsigned)tm.tm_min);
	rtc->memory[REG_HOURS] = encode_hour(rtc, (unsigned)tm.tm_hour);
	rtc->memory[REG_WEEKDAY] = encode(rtc, (unsigned)tm.tm_wday + 1);
	rtc->memory[REG_DAY] = encode(rtc, (unsigned)tm.tm_mday);
	rtc->memory[REG_MONTH] = encode(rtc, (unsigned)tm.tm_mon + 1);
	rtc->memory[REG_YEAR] = encode(rtc, year % 100);
	rtc->memory[REG_CENTURY] = encode(rtc, year / 100);
}

/* The time registers, as the guest set them, are the time from now on. */
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

	rtc->offset = timegm(&tm) - divider_now(rtc) / NS_PER_SEC;
}

static bool alarm_field_matches(uint8_t alarm, uint8_t value)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || alarm == value;
}

/* Whether the alarm goes off at a second since 1970. */
static bool alarm_matches(const struct rtc *rtc, int64_t second)
{
	unsigned of_day = (unsigned)((second % SECONDS_PER_DAY + SECONDS_PER_DAY) %
				     SECONDS_PER_DAY);
	const uint8_t *memory = rtc->memory;

	return alarm_field_matches(memory[REG_SECONDS_ALARM], encode(rtc, of_day % 60)) &&
	       alarm_field_matches(memory[REG_MINUTES_ALARM], encode(rtc, of_day / 60 % 60)) &&
	       alarm_field_matches(memory[REG_HOURS_ALARM], encode_hour(rtc, of_day / 3600));
}

/* The periodic interrupt's period in cycles of the crystal; 0: off. */
static int64_t period_cycles(const struct rtc *rtc)
{
	unsigned rate = rtc->memory[REG_A] & A_RATE;

	/* Rates 1 and 2 are those of 8 and 9 with the usual time base. */
	return rate == 0 ? 0 : INT64_C(1) << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static int64_t cycles_of_ns(int64_t ns)
{
	return ns / NS_PER_SEC * CRYSTAL_HZ + ns % NS_PER_SEC * CRYSTAL_HZ / NS_PER_SEC;
}

static int64_t ns_of_cycles(int64_t cycles)
{
	return cycles / CRYSTAL_HZ * NS_PER_SEC +
	       (cycles % CRYSTAL_HZ * NS_PER_SEC + CRYSTAL_HZ - 1) / CRYSTAL_HZ;
}

/* Raises the flags of what has happened since the last look. Before every look and change. */
static void catch_up_locked(struct rtc *rtc)
{
	int64_t now = divider_now(rtc), seen = rtc->seen, period = period_cycles(rtc);
	uint8_t *flags = &rtc->memory[REG_C];

	rtc->seen = now;
	if (now <= seen || divider_stopped(rtc)) {
		return;
	}
	if (period > 0 && cycles_of_ns(now) / period != cycles_of_ns(seen) / period) {
		*flags |= B_PERIODIC_INTERRUPT;
	}
	int64_t second = seen / NS_PER_SEC, last = now / NS_PER_SEC;
	if (time_stopped(rtc) || second == last) {
		return;
	}
	*flags |= B_UPDATE_INTERRUPT;
	/* After a day the same times of day come again. */
	second = MAX(second, last - SECONDS_PER_DAY);
	while (!(*flags & B_ALARM_INTERRUPT) && second < last) {
		second++;
		if (alarm_matches(rtc, second + rtc->offset)) {
			*flags |= B_ALARM_INTERRUPT;
		}
	}
}

/* When a flag that interrupts may rise next, in the divider's time; CLOCK_NEVER: not soon. */
static int64_t next_wake(const struct rtc *rtc)
{
	uint8_t wanted = rtc->memory[REG_B] & (uint8_t)~rtc->memory[REG_C];
	int64_t now = divider_now(rtc), period = period_cycles(rtc);
	int64_t next = CLOCK_NEVER;

	if (divider_stopped(rtc)) {
		return CLOCK_NEVER;
	}
	if ((wanted & B_PERIODIC_INTERRUPT) && period > 0) {
		next = ns_of_cycles((cycles_of_ns(now) / period + 1) * period);
	}
	if ((wanted & (B_UPDATE_INTERRUPT | B_ALARM_INTERRUPT)) && !time_stopped(rtc)) {
		next = MIN(next, (now / NS_PER_SEC + 1) * NS_PER_SEC);
	}
	return next;
}

/* After every change: drives the interrupt and sets the alarm clock for the next one. */
static void update_locked(struct rtc *rtc)
{
	uint8_t *flags = &rtc->memory[REG_C];
	bool level = rtc->memory[REG_B] & *flags & B_INTERRUPTS;

	*flags = (uint8_t)((*flags & B_INTERRUPTS) | (level ? C_IRQ : 0));
	machine_set_gsi(rtc->machine, RTC_GSI, level);
	int64_t next = next_wake(rtc);
	if (next == CLOCK_NEVER) {
		timer_cancel(&rtc->wake);
	} else {
		timer_arm(&rtc->wake, next - rtc->phase);
	}
}

static void handle_wake(struct timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, wake);

	g_mutex_lock(&rtc->lock);
	catch_up_locked(rtc);
	update_locked(rtc);
	g_mutex_unlock(&rtc->lock);
}

static bool update_in_progress(const struct rtc *rtc)
{
	return !time_stopped(rtc) &&
	       NS_PER_SEC - divider_now(rtc) % NS_PER_SEC <= UPDATE_WARNING_NS;
}

static uint8_t read_locked(struct rtc *rtc)
{
	unsigned index = rtc->index;

	catch_up_locked(rtc);
	if (is_time(index) && !time_stopped(rtc)) {
		store_time(rtc);
	}
	update_locked(rtc);
	uint8_t value = rtc->memory[index];
	if (index == REG_A && update_in_progress(rtc)) {
		value |= A_UPDATE_IN_PROGRESS;
	} else if (index == REG_C) {
		rtc->memory[REG_C] = 0;
		update_locked(rtc);
	}
	return value;
}

/* Writes A or B, which may stop time or let it go on. */
static void write_control(struct rtc *rtc, unsigned index, uint8_t value)
{
	bool time_was_stopped = time_stopped(rtc), divider_was_stopped = divider_stopped(rtc);

	if (!time_was_stopped) {
		store_time(rtc);
	}
	rtc->memory[index] = value;
	if (divider_was_stopped && !divider_stopped(rtc)) {
		int64_t phase = DIVIDER_START_NS - clock_now(rtc->machine->clock) % NS_PER_SEC;
		rtc->phase = (phase + NS_PER_SEC) % NS_PER_SEC;
		rtc->seen = divider_now(rtc);
	}
	if (time_was_stopped && !time_stopped(rtc)) {
		take_time(rtc);
	}
}

static void write_locked(struct rtc *rtc, uint8_t value)
{
	unsigned index = rtc->index;

	catch_up_locked(rtc);
	switch (index) {
	case REG_A:
		write_control(rtc, REG_A, value & (uint8_t)~A_UPDATE_IN_PROGRESS);
		break;
	case REG_B:
		write_control(rtc, REG_B, value);
		break;
	case REG_C:
	case REG_D:
		break; /* read-only */
	default:
		if (!is_time(index) || time_stopped(rtc)) {
			rtc->memory[index] = value;
		} else {
			store_time(rtc);
			rtc->memory[index] = value;
			take_time(rtc);
		}
		break;
	}
	update_locked(rtc);
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
		rtc->index = value & INDEX_MASK;
	} else {
		write_locked(rtc, (uint8_t)value);
	}
	g_mutex_unlock(&rtc->lock);
}

/* Lets the clock show the configured time, or the host's to the nanosecond. */
static void set_to_base(struct rtc *rtc)
{
	struct timespec time = {.tv_sec = (time_t)rtc->config.base};
	int64_t now = clock_now(rtc->machine->clock);

	if (rtc->config.base == 0) {
		clock_gettime(CLOCK_REALTIME, &time);
	}
	rtc->phase = (time.tv_nsec - now % NS_PER_SEC + NS_PER_SEC) % NS_PER_SEC;
	rtc->seen = divider_now(rtc);
	rtc->offset = time.tv_sec - rtc->seen / NS_PER_SEC;
}

static bool rtc_realize(struct device *device, struct machine *machine, GError **error)
{
	struct rtc *rtc = rtc_of(device);
	(void)error;

	rtc->machine = machine;
	g_mutex_init(&rtc->lock);
	timer_init(&rtc->wake, machine->clock, handle_wake);
	rtc->memory[REG_A] = 0x26;
	rtc->memory[REG_B] = B_24_HOUR;
	rtc->memory[REG_D] = D_VALID;
	set_to_base(rtc);
	rtc->ports = (struct io_region){.name = "rtc",
			.size = 2,
			.byte_wide = true,
			.read = rtc_read,
			.write = rtc_write};
	address_space_add(machine->ports, 0x70, &rtc->ports);
	return true;
}

static void rtc_unrealize(struct device *device)
{
	struct rtc *rtc = rtc_of(device);

	timer_cancel(&rtc->wake);
	address_space_remove(&rtc->ports);
	g_mutex_clear(&rtc->lock);
}

/* The battery keeps time and memory; a reset only forbids interrupts. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = rtc_of(device);

	g_mutex_lock(&rtc->lock);
	catch_up_locked(rtc);
	rtc->memory[REG_B] &= (uint8_t) ~(B_INTERRUPTS | B_SQUARE_WAVE);
	rtc->memory[REG_C] = 0;
	rtc->index = 0;
	update_locked(rtc);
	g_mutex_unlock(&rtc->lock);
}

static const struct property rtc_properties[] = {
		{.name = "base",
				.type = PROPERTY_UINT64,
				.offset = offsetof(struct rtc, config.base),
				.default_value = "0",
				.max = UINT64_C(253402300799),
				.help = "time at the start, in seconds since 1970; 0: the host's"},
		{0},
};

const struct device_class rtc_class = {
		.name = "mc146818rtc",
		.description = "MC146818 real-time clock",
		.size = sizeof(struct rtc),
		.properties = rtc_properties,
		.internal = true,
		.realize = rtc_realize,
		.unrealize = rtc_unrealize,
		.reset = rtc_reset,
};
