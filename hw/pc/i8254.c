/* SPDX-License-Identifier: MIT */
/*
 * Intel 8254 programmable interval timer (Intel 231164) at 0x40-0x43 and the NMI status and control
 * port 0x61 (ICH9 datasheet, 13.7.1), whose bits gate channel 2 and show its output. All six modes,
 * BCD counting, latches and read-back. Counts and outputs are computed from the clock when somebody
 * looks; only channel 0, which interrupts, keeps a timer.
 *
 * The interrupt input is driven so that no tick is lost to a slow guest: it falls just before the
 * output rises again, not when the output falls. Left out: periods shorter than 100 us (such ticks
 * are thinned out), ticks that a busy host was late for, channel 1's refresh requests, the reasons
 * for NMIs in port 0x61.
 */
#include "hw/pc/i8254.h"

#include "core/base/clock.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define PIT_HZ INT64_C(1193182)
#define NS_PER_SEC INT64_C(1000000000)
#define PIT_GSI 0
#define PIT_MIN_PERIOD 120 /* ticks between two interrupts: 100 us */
#define REFRESH_NS 15085

#define PORT_CONTROL 3
#define CONTROL_READ_BACK 3
#define CONTROL_BCD 0x01
#define CONTROL_STATUS_BITS 0x3f /* what the status byte repeats */
#define READ_BACK_NO_COUNT 0x20
#define READ_BACK_NO_STATUS 0x10
#define ACCESS_LATCH 0
#define ACCESS_LOW 1
#define ACCESS_HIGH 2
#define ACCESS_BOTH 3
#define STATUS_OUTPUT 0x80
#define STATUS_NULL_COUNT 0x40

#define PORT61_GATE2 0x01
#define PORT61_SPEAKER 0x02
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH 0x10
#define PORT61_OUT2 0x20

/* Times are in ticks since the machine started. */
struct channel {
	/* guest-visible */
	uint8_t control; /* the last control word */
	bool gate;
	uint8_t write_low; /* first byte of a pair */
	bool write_second, read_second;
	bool count_latched, status_latched;
	uint16_t latched_count;
	uint8_t latched_status;

	uint32_t count; /* loaded into the counter, 1..0x10000; 0: none since the mode was set */
	uint32_t next_count; /* written but not loaded yet; 0: none */
	int64_t next_load; /* when it will be, in the periodic modes */
	int64_t start; /* when count was loaded */
	int64_t held; /* ticks it had counted when the gate stopped it; -1: it runs */
};

struct i8254 {
	struct device base;
	struct machine *machine;
	struct io_region ports, port61;
	struct timer tick;
	GMutex lock;

	/* guarded by lock */
	struct channel channels[3];
	uint8_t control61;
	bool line; /* the interrupt input */
	int64_t next_rise; /* of channel 0's output; CLOCK_NEVER: none */
};

static struct i8254 *i8254_of(struct device *device)
{
	assert(device->device_class == &i8254_class);
	return container_of(device, struct i8254, base);
}

/* When a tick begins. Split so that nothing overflows for centuries. */
static int64_t ns_of_tick(int64_t tick)
{
	return tick / PIT_HZ * NS_PER_SEC + (tick % PIT_HZ * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static int64_t now_ticks(const struct i8254 *pit)
{
	int64_t ns = clock_now(pit->machine->clock);

	return ns / NS_PER_SEC * PIT_HZ + ns % NS_PER_SEC * PIT_HZ / NS_PER_SEC;
}

/* 0..5; 6 and 7 mean 2 and 3. */
static unsigned mode_of(const struct channel *channel)
{
	unsigned mode = (channel->control >> 1) & 7;

	return mode > 5 ? mode & 3 : mode;
}

static unsigned access_of(const struct channel *channel)
{
	return (channel->control >> 4) & 3;
}

static bool is_periodic(const struct channel *channel)
{
	unsigned mode = mode_of(channel);

	return mode == 2 || mode == 3;
}

/* Modes 1 and 5 count only after a trigger at the gate. */
static bool is_triggered(const struct channel *channel)
{
	unsigned mode = mode_of(channel);

	return mode == 1 || mode == 5;
}

static int64_t elapsed(const struct channel *channel, int64_t now)
{
	return channel->held >= 0 ? channel->held : MAX(now - channel->start, 0);
}

/* How long mode 3's output is high in each period. */
static int64_t high_ticks(uint32_t count)
{
	return (count + 1) / 2;
}

static void load(struct channel *channel, uint32_t count, int64_t start)
{
	channel->count = count;
	channel->next_count = 0;
	channel->start = start;
	channel->held = -1;
}

/* Does what has come due by itself: a periodic channel goes over to its next count. */
static void settle(struct channel *channel, int64_t now)
{
	if (!is_periodic(channel) || channel->next_count == 0 || channel->held >= 0 ||
			now < channel->next_load) {
		return;
	}
	int64_t start = channel->next_load;
	bool half = (start - channel->start) % channel->count != 0;
	load(channel, channel->next_count, start);
	if (half) {
		channel->start -= high_ticks(channel->count); /* the low half comes next */
	}
}

static uint16_t as_read(const struct channel *channel, int64_t value)
{
	if (!(channel->control & CONTROL_BCD)) {
		return (uint16_t)value;
	}
	unsigned digits = (unsigned)((value % 10000 + 10000) % 10000);
	return (uint16_t)(digits / 1000 << 12 | digits / 100 % 10 << 8 | digits / 10 % 10 << 4 |
			  digits % 10);
}

static uint32_t as_written(const struct channel *channel, uint16_t value)
{
	uint32_t count = value;

	if (channel->control & CONTROL_BCD) {
		count = (value >> 12) * 1000u + ((value >> 8) & 15) * 100u +
			((value >> 4) & 15) * 10u + (value & 15);
		count = count == 0 ? 10000 : count;
	} else if (count == 0) {
		count = 0x10000;
	}
	/* 1 is not allowed in the periodic modes. */
	return is_periodic(channel) ? MAX(count, 2) : count;
}

/* What the counter holds. The channel is settled. */
static uint16_t count_of(const struct channel *channel, int64_t now)
{
	int64_t ticks = elapsed(channel, now), count = channel->count;

	if (count == 0) {
		return 0;
	}
	switch (mode_of(channel)) {
	case 2:
		return as_read(channel, count - ticks % count);
	case 3: {
		/* Each half counts down the even part by two. */
		int64_t phase = ticks % count, high = high_ticks(channel->count);
		return as_read(channel, (count & ~1) - 2 * (phase < high ? phase : phase - high));
	}
	default:
		return as_read(channel, count - ticks);
	}
}

/* The channel is settled. */
static bool output_of(const struct channel *channel, int64_t now)
{
	int64_t ticks = elapsed(channel, now), count = channel->count;
	unsigned mode = mode_of(channel);

	if (count == 0 || (channel->held < 0 && now < channel->start)) {
		return mode != 0;
	}
	switch (mode) {
	case 0:
	case 1:
		return ticks >= count;
	case 2:
		return channel->held >= 0 || ticks % count != count - 1;
	case 3:
		return channel->held >= 0 || ticks % count < high_ticks(channel->count);
	default: /* strobes: low for one tick */
		return ticks != count;
	}
}

/* When channel 0's output rises next after now; CLOCK_NEVER if it does not. It is settled. */
static int64_t rise_after(const struct channel *channel, int64_t now)
{
	int64_t count = channel->count, start = channel->start;

	if (count == 0) {
		return CLOCK_NEVER;
	}
	switch (mode_of(channel)) {
	case 0:
		return now < start + count ? start + count : CLOCK_NEVER;
	case 4:
		return now < start + count + 1 ? start + count + 1 : CLOCK_NEVER;
	default:
		break;
	}
	if (channel->next_count && (channel->next_load - start) % count != 0) {
		/* Mode 3 goes over in the middle of a period. */
		return channel->next_load + channel->next_count - high_ticks(channel->next_count);
	}
	int64_t ticks = MAX(now - start, 0) + (count < PIT_MIN_PERIOD ? PIT_MIN_PERIOD - 1 : 0);
	return start + (ticks / count + 1) * count;
}

static void drive_line_locked(struct i8254 *pit, bool level)
{
	if (pit->line != level) {
		pit->line = level;
		machine_set_gsi(pit->machine, PIT_GSI, level);
	}
}

/* Makes the edge that is due, if one is. Before every look at or change of channel 0. */
static void catch_up_locked(struct i8254 *pit, int64_t now)
{
	if (pit->next_rise <= now) {
		pit->next_rise = CLOCK_NEVER;
		drive_line_locked(pit, false);
		drive_line_locked(pit, true);
	}
}

/* After channel 0 changed or its timer fired. */
static void update_tick_locked(struct i8254 *pit, int64_t now)
{
	struct channel *channel = &pit->channels[0];

	catch_up_locked(pit, now);
	settle(channel, now);
	drive_line_locked(pit, mode_of(channel) != 0 || output_of(channel, now));
	pit->next_rise = rise_after(channel, now);
	if (pit->next_rise == CLOCK_NEVER) {
		timer_cancel(&pit->tick);
	} else {
		timer_arm(&pit->tick, ns_of_tick(pit->next_rise));
	}
}

static void handle_tick(struct timer *timer)
{
	struct i8254 *pit = container_of(timer, struct i8254, tick);

	g_mutex_lock(&pit->lock);
	update_tick_locked(pit, now_ticks(pit));
	g_mutex_unlock(&pit->lock);
}

/* A whole count was written. */
static void take_count(struct channel *channel, uint16_t value, int64_t now)
{
	uint32_t count = as_written(channel, value);

	if (is_triggered(channel)) {
		channel->next_count = count; /* the trigger loads it */
		return;
	}
	if (is_periodic(channel) && channel->count != 0 && now >= channel->start) {
		int64_t ticks = elapsed(channel, now), period = channel->count;
		int64_t base = ticks - ticks % period, high = high_ticks(channel->count);
		bool first_half = mode_of(channel) == 3 && ticks % period < high;
		channel->next_count = count;
		channel->next_load = channel->start + base + (first_half ? high : period);
		return;
	}
	load(channel, count, now + 1);
	channel->held = channel->gate ? -1 : 0;
}

static void write_count(struct channel *channel, uint8_t value, int64_t now)
{
	switch (access_of(channel)) {
	case ACCESS_LOW:
		take_count(channel, value, now);
		return;
	case ACCESS_HIGH:
		take_count(channel, (uint16_t)(value << 8), now);
		return;
	default:
		break;
	}
	if (channel->write_second) {
		take_count(channel, (uint16_t)(value << 8 | channel->write_low), now);
	} else {
		channel->write_low = value;
		if (mode_of(channel) == 0) {
			channel->count = 0; /* stops until the second byte */
		}
	}
	channel->write_second = !channel->write_second;
}

static void latch_count(struct channel *channel, int64_t now)
{
	if (!channel->count_latched) {
		channel->latched_count = count_of(channel, now);
		channel->count_latched = true;
		channel->read_second = false;
	}
}

static void latch_status(struct channel *channel, int64_t now)
{
	bool null_count = channel->count == 0 || channel->next_count != 0 ||
			  (channel->held < 0 && now < channel->start);

	if (!channel->status_latched) {
		channel->latched_status = (uint8_t)((output_of(channel, now) ? STATUS_OUTPUT : 0) |
						    (null_count ? STATUS_NULL_COUNT : 0) |
						    (channel->control & CONTROL_STATUS_BITS));
		channel->status_latched = true;
	}
}

static void read_back_locked(struct i8254 *pit, uint8_t value, int64_t now)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(pit->channels); i++) {
		struct channel *channel = &pit->channels[i];
		if (!(value & (2u << i))) {
			continue;
		}
		settle(channel, now);
		if (!(value & READ_BACK_NO_COUNT)) {
			latch_count(channel, now);
		}
		if (!(value & READ_BACK_NO_STATUS)) {
			latch_status(channel, now);
		}
	}
}

static void write_control_locked(struct i8254 *pit, uint8_t value, int64_t now)
{
	unsigned index = value >> 6;

	if (index == CONTROL_READ_BACK) {
		read_back_locked(pit, value, now);
		return;
	}
	struct channel *channel = &pit->channels[index];
	if (((value >> 4) & 3) == ACCESS_LATCH) {
		settle(channel, now);
		latch_count(channel, now);
		return;
	}
	*channel = (struct channel){.control = value, .gate = channel->gate, .held = -1};
}

static uint8_t read_count(struct channel *channel, int64_t now)
{
	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->latched_status;
	}
	uint16_t count = channel->count_latched ? channel->latched_count : count_of(channel, now);
	bool both = access_of(channel) == ACCESS_BOTH;
	bool high = access_of(channel) == ACCESS_HIGH || (both && channel->read_second);
	if (both) {
		channel->read_second = !channel->read_second;
	}
	if (!channel->read_second) {
		channel->count_latched = false;
	}
	return (uint8_t)(high ? count >> 8 : count);
}

static uint64_t pit_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct i8254 *pit = container_of(region, struct i8254, ports);
	uint8_t value = 0; /* the control word cannot be read */
	(void)size;

	g_mutex_lock(&pit->lock);
	if (offset != PORT_CONTROL) {
		int64_t now = now_ticks(pit);
		settle(&pit->channels[offset], now);
		value = read_count(&pit->channels[offset], now);
	}
	g_mutex_unlock(&pit->lock);
	return value;
}

static void pit_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8254 *pit = container_of(region, struct i8254, ports);
	(void)size;

	g_mutex_lock(&pit->lock);
	int64_t now = now_ticks(pit);
	catch_up_locked(pit, now);
	if (offset == PORT_CONTROL) {
		write_control_locked(pit, (uint8_t)value, now);
	} else {
		settle(&pit->channels[offset], now);
		write_count(&pit->channels[offset], (uint8_t)value, now);
	}
	update_tick_locked(pit, now);
	g_mutex_unlock(&pit->lock);
}

/* The gate stops modes 0 and 4 and lets them go on; all others it starts, 2 and 3 it also stops. */
static void set_gate(struct channel *channel, bool gate, int64_t now)
{
	bool was = channel->gate;

	channel->gate = gate;
	if (gate == was) {
		return;
	}
	settle(channel, now);
	if (!gate && !is_triggered(channel)) {
		channel->held = elapsed(channel, now);
	} else if (gate && (is_triggered(channel) || is_periodic(channel))) {
		uint32_t count = channel->next_count ? channel->next_count : channel->count;
		load(channel, count, now + 1);
	} else if (gate) {
		channel->start = now - MAX(channel->held, 0);
		channel->held = -1;
	}
}

static uint64_t port61_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct i8254 *pit = container_of(region, struct i8254, port61);
	(void)offset;
	(void)size;

	g_mutex_lock(&pit->lock);
	int64_t now = now_ticks(pit);
	settle(&pit->channels[2], now);
	uint8_t value = pit->control61;
	/* The refresh bit toggles with every request of channel 1: software counts it. */
	if (clock_now(pit->machine->clock) / REFRESH_NS % 2) {
		value |= PORT61_REFRESH;
	}
	if (output_of(&pit->channels[2], now)) {
		value |= PORT61_OUT2;
	}
	g_mutex_unlock(&pit->lock);
	return value;
}

static void port61_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8254 *pit = container_of(region, struct i8254, port61);
	(void)offset;
	(void)size;

	g_mutex_lock(&pit->lock);
	pit->control61 = value & PORT61_WRITABLE;
	set_gate(&pit->channels[2], value & PORT61_GATE2, now_ticks(pit));
	g_mutex_unlock(&pit->lock);
}

static bool i8254_realize(struct device *device, struct machine *machine, GError **error)
{
	struct i8254 *pit = i8254_of(device);
	(void)error;

	pit->machine = machine;
	pit->next_rise = CLOCK_NEVER;
	g_mutex_init(&pit->lock);
	timer_init(&pit->tick, machine->clock, handle_tick);
	pit->ports = (struct io_region){.name = "pit",
			.size = 4,
			.byte_wide = true,
			.read = pit_read,
			.write = pit_write};
	pit->port61 = (struct io_region){
			.name = "port61", .size = 1, .read = port61_read, .write = port61_write};
	address_space_add(machine->ports, 0x40, &pit->ports);
	address_space_add(machine->ports, 0x61, &pit->port61);
	return true;
}

static void i8254_unrealize(struct device *device)
{
	struct i8254 *pit = i8254_of(device);

	timer_cancel(&pit->tick);
	address_space_remove(&pit->ports);
	address_space_remove(&pit->port61);
	g_mutex_clear(&pit->lock);
}

/* The data sheet leaves the power-up state open: nothing counts until it is programmed. */
static void i8254_reset(struct device *device)
{
	struct i8254 *pit = i8254_of(device);

	g_mutex_lock(&pit->lock);
	for (unsigned i = 0; i < G_N_ELEMENTS(pit->channels); i++) {
		pit->channels[i] = (struct channel){
				.control = (uint8_t)(i << 6 | ACCESS_BOTH << 4 | 3 << 1),
				.gate = i != 2,
				.held = -1,
		};
	}
	pit->control61 = 0;
	pit->next_rise = CLOCK_NEVER;
	update_tick_locked(pit, now_ticks(pit));
	g_mutex_unlock(&pit->lock);
}

const struct device_class i8254_class = {
		.name = "i8254",
		.description = "8254 interval timer",
		.size = sizeof(struct i8254),
		.internal = true,
		.realize = i8254_realize,
		.unrealize = i8254_unrealize,
		.reset = i8254_reset,
};
