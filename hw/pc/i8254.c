/* SPDX-License-Identifier: MIT */
/*
 * Intel 8254 programmable interval timer at 0x40-0x43 and the NMI status and control port 0x61,
 * whose bits gate channel 2 and show its output. Outputs are computed from the clock when somebody
 * looks; only channel 0, which interrupts, keeps a timer. Left out: BCD counting (counts as
 * binary), the refresh channel's side effects.
 */
#include "hw/pc/i8254.h"

#include "core/base/clock.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define PIT_HZ INT64_C(1193182)
#define NS_PER_SEC INT64_C(1000000000)
#define PIT_GSI 0

#define CONTROL_READ_BACK 3
#define ACCESS_LATCH 0
#define ACCESS_LOW 1
#define ACCESS_HIGH 2
#define ACCESS_BOTH 3

#define PORT61_GATE2 0x01
#define PORT61_SPEAKER 0x02
#define PORT61_REFRESH 0x10
#define PORT61_OUT2 0x20

struct channel {
	/* guest-visible */
	uint32_t reload; /* 1..0x10000 */
	uint8_t mode; /* 0..5 */
	uint8_t access;
	uint8_t write_low; /* first byte of a pair */
	bool write_second, read_second;
	bool count_latched, status_latched;
	uint16_t latched_count;
	uint8_t latched_status;
	bool gate;
	bool loaded; /* a count was written since the mode was set */
	int64_t start; /* clock time at which the current count began */
};

struct i8254 {
	struct device base;
	struct machine *machine;
	struct io_region ports, port61;
	struct timer tick;
	GMutex lock;

	/* guarded by lock */
	struct channel channels[3];
	uint8_t speaker;
	bool out0; /* as the interrupt input saw it last */
};

static struct i8254 *i8254_of(struct device *device)
{
	assert(device->device_class == &i8254_class);
	return container_of(device, struct i8254, base);
}

static int64_t ticks_to_ns(int64_t ticks)
{
	/* Split so that nothing overflows for centuries. */
	return ticks / PIT_HZ * NS_PER_SEC + (ticks % PIT_HZ * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static int64_t ns_to_ticks(int64_t ns)
{
	return ns / NS_PER_SEC * PIT_HZ + ns % NS_PER_SEC * PIT_HZ / NS_PER_SEC;
}

static int64_t elapsed_ticks(const struct channel *channel, int64_t now)
{
	return ns_to_ticks(MAX(now - channel->start, 0));
}

static bool is_periodic(const struct channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

/* What the counting element holds. */
static uint16_t count_of(const struct channel *channel, int64_t now)
{
	int64_t ticks = elapsed_ticks(channel, now);

	if (!channel->loaded) {
		return 0;
	}
	if (channel->mode == 3) {
		/* The square wave counts down by two. */
		return (uint16_t)(channel->reload - (2 * ticks) % channel->reload);
	}
	if (channel->mode == 2) {
		return (uint16_t)(channel->reload - ticks % channel->reload);
	}
	return (uint16_t)(channel->reload - ticks);
}

static bool output_of(const struct channel *channel, int64_t now)
{
	int64_t ticks = elapsed_ticks(channel, now);

	if (!channel->loaded) {
		return channel->mode != 0;
	}
	switch (channel->mode) {
	case 0:
	case 1:
		return ticks >= channel->reload;
	case 2:
		return ticks % channel->reload != channel->reload - 1;
	case 3:
		return ticks % channel->reload < (channel->reload + 1) / 2;
	default: /* strobes: low for one tick */
		return ticks != channel->reload;
	}
}

/* When the output will change next, in clock time; CLOCK_NEVER if it stays. */
static int64_t next_change(const struct channel *channel, int64_t now)
{
	int64_t ticks = elapsed_ticks(channel, now);
	int64_t reload = channel->reload;
	int64_t next;

	if (!channel->loaded) {
		return CLOCK_NEVER;
	}
	if (is_periodic(channel)) {
		int64_t base = ticks - ticks % reload, phase = ticks % reload;
		int64_t edge = channel->mode == 2 ? reload - 1 : (reload + 1) / 2;
		next = base + (phase < edge ? edge : reload);
	} else if (ticks < reload) {
		next = reload;
	} else if (channel->mode >= 4 && ticks == reload) {
		next = reload + 1;
	} else {
		return CLOCK_NEVER;
	}
	return channel->start + ticks_to_ns(next);
}

/* Drives the interrupt input as channel 0's output is now, and wakes up for its next change. */
static void update_tick_locked(struct i8254 *pit)
{
	int64_t now = clock_now(pit->machine->clock);
	const struct channel *channel = &pit->channels[0];
	bool out = output_of(channel, now);

	if (out != pit->out0) {
		pit->out0 = out;
		machine_set_gsi(pit->machine, PIT_GSI, out);
	}
	int64_t next = next_change(channel, now);
	if (next == CLOCK_NEVER) {
		timer_cancel(&pit->tick);
	} else {
		timer_arm(&pit->tick, next);
	}
}

static void handle_tick(struct timer *timer)
{
	struct i8254 *pit = container_of(timer, struct i8254, tick);

	g_mutex_lock(&pit->lock);
	int64_t now = clock_now(pit->machine->clock);
	/* A pulse of one tick may be over before we wake up: it still is an edge. */
	if (is_periodic(&pit->channels[0]) && pit->out0 && output_of(&pit->channels[0], now)) {
		machine_set_gsi(pit->machine, PIT_GSI, false);
		pit->out0 = false;
	}
	update_tick_locked(pit);
	g_mutex_unlock(&pit->lock);
}

static void load_count_locked(struct i8254 *pit, unsigned index, uint16_t value)
{
	struct channel *channel = &pit->channels[index];

	channel->reload = value == 0 ? 0x10000 : value;
	if (channel->mode == 3 && channel->reload == 1) {
		channel->reload = 2; /* 1 is not allowed, and would divide by nothing */
	}
	channel->loaded = true;
	channel->start = clock_now(pit->machine->clock);
	if (index == 0) {
		update_tick_locked(pit);
	}
}

static void write_count_locked(struct i8254 *pit, unsigned index, uint8_t value)
{
	struct channel *channel = &pit->channels[index];

	switch (channel->access) {
	case ACCESS_LOW:
		load_count_locked(pit, index, value);
		break;
	case ACCESS_HIGH:
		load_count_locked(pit, index, (uint16_t)(value << 8));
		break;
	default:
		if (channel->write_second) {
			load_count_locked(pit, index, (uint16_t)(value << 8 | channel->write_low));
		} else {
			channel->write_low = value;
		}
		channel->write_second = !channel->write_second;
		break;
	}
}

static void latch_count(struct channel *channel, int64_t now)
{
	if (!channel->count_latched) {
		channel->latched_count = count_of(channel, now);
		channel->count_latched = true;
		channel->read_second = false;
	}
}

static void read_back_locked(struct i8254 *pit, uint8_t value)
{
	int64_t now = clock_now(pit->machine->clock);

	for (unsigned i = 0; i < 3; i++) {
		struct channel *channel = &pit->channels[i];
		if (!(value & (2u << i))) {
			continue;
		}
		if (!(value & 0x20)) {
			latch_count(channel, now);
		}
		if (!(value & 0x10) && !channel->status_latched) {
			channel->latched_status = (uint8_t)((output_of(channel, now) ? 0x80 : 0) |
							    (channel->loaded ? 0 : 0x40) |
							    channel->access << 4 |
							    channel->mode << 1);
			channel->status_latched = true;
		}
	}
}

static void write_control_locked(struct i8254 *pit, uint8_t value)
{
	unsigned index = value >> 6;
	uint8_t access = (value >> 4) & 3;

	if (index == CONTROL_READ_BACK) {
		read_back_locked(pit, value);
		return;
	}
	struct channel *channel = &pit->channels[index];
	if (access == ACCESS_LATCH) {
		latch_count(channel, clock_now(pit->machine->clock));
		return;
	}
	uint8_t mode = (value >> 1) & 7;
	channel->mode = mode > 5 ? mode & 3 : mode;
	channel->access = access;
	channel->loaded = false;
	channel->write_second = channel->read_second = false;
	channel->count_latched = channel->status_latched = false;
	channel->start = clock_now(pit->machine->clock);
	if (index == 0) {
		update_tick_locked(pit);
	}
}

static uint8_t read_count(struct channel *channel, int64_t now)
{
	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->latched_status;
	}
	uint16_t count = channel->count_latched ? channel->latched_count : count_of(channel, now);
	bool high = channel->access == ACCESS_HIGH ||
		    (channel->access == ACCESS_BOTH && channel->read_second);
	if (channel->access == ACCESS_BOTH) {
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
	uint8_t value = 0;
	(void)size;

	g_mutex_lock(&pit->lock);
	if (offset < 3) {
		value = read_count(&pit->channels[offset], clock_now(pit->machine->clock));
	}
	g_mutex_unlock(&pit->lock);
	return value;
}

static void pit_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8254 *pit = container_of(region, struct i8254, ports);
	(void)size;

	g_mutex_lock(&pit->lock);
	if (offset < 3) {
		write_count_locked(pit, (unsigned)offset, (uint8_t)value);
	} else {
		write_control_locked(pit, (uint8_t)value);
	}
	g_mutex_unlock(&pit->lock);
}

static uint64_t port61_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct i8254 *pit = container_of(region, struct i8254, port61);
	(void)offset;
	(void)size;

	g_mutex_lock(&pit->lock);
	int64_t now = clock_now(pit->machine->clock);
	uint8_t value = (pit->channels[2].gate ? PORT61_GATE2 : 0) | pit->speaker;
	/* The refresh bit toggles every 15 us: software counts it. */
	if (now / 15085 % 2) {
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
	struct channel *channel = &pit->channels[2];
	bool gate = value & PORT61_GATE2;
	(void)offset;
	(void)size;

	g_mutex_lock(&pit->lock);
	/* A rising gate starts the count anew in the modes that are triggered or periodic. */
	if (gate && !channel->gate && channel->mode != 0 && channel->mode != 4) {
		channel->start = clock_now(pit->machine->clock);
	}
	channel->gate = gate;
	pit->speaker = value & PORT61_SPEAKER;
	g_mutex_unlock(&pit->lock);
}

static bool i8254_realize(struct device *device, struct machine *machine, GError **error)
{
	struct i8254 *pit = i8254_of(device);
	(void)error;

	pit->machine = machine;
	g_mutex_init(&pit->lock);
	timer_init(&pit->tick, machine->clock, handle_tick);
	pit->ports = (struct io_region){
			.name = "pit", .size = 4, .read = pit_read, .write = pit_write};
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

static void i8254_reset(struct device *device)
{
	struct i8254 *pit = i8254_of(device);

	g_mutex_lock(&pit->lock);
	for (unsigned i = 0; i < 3; i++) {
		pit->channels[i] = (struct channel){
				.reload = 0x10000,
				.mode = 3,
				.access = ACCESS_BOTH,
				.gate = i != 2,
		};
	}
	pit->speaker = 0;
	update_tick_locked(pit);
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
