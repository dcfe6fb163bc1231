/* SPDX-License-Identifier: MIT */
/*
 * ICH9 TCO registers (ICH9 datasheet, 316972, 13.9) and, of the chipset configuration registers
 * (10.1), GCS with the NO_REBOOT bit. The timer counts down in ticks of 0.6 s; when it expires it
 * sets TIMEOUT and starts over, and when it expires again without having been reloaded the machine
 * is reset. Left out: SMIs, NMIs and interrupts of this block, intruder detection, what would
 * outlive a reset, and every other chipset configuration register (they read as zero).
 */
#include "hw/pc/ich9_tco.h"

#include "core/base/log.h"
#include "hw/pc/machine.h"

#define TICK_NS INT64_C(600000000)
#define MIN_TICKS 4 /* lower values are not to be used, 13.9.11 */

#define REG_RELOAD 0x00
#define REG_DATA_IN 0x02
#define REG_DATA_OUT 0x03
#define REG_STATUS1 0x04
#define REG_STATUS2 0x06
#define REG_CONTROL1 0x08
#define REG_CONTROL2 0x0a
#define REG_MESSAGE 0x0c
#define REG_PROGRESS 0x0e
#define REG_IRQ_SELECT 0x10
#define REG_INITIAL 0x12

#define STATUS1_TIMEOUT 0x0008
#define STATUS2_SECOND_TIMEOUT 0x0002
#define CONTROL1_LOCK 0x1000
#define CONTROL1_HALT 0x0800
#define CONTROL1_WRITABLE 0x1a00
#define CONTROL2_WRITABLE 0x003e
#define INITIAL_WRITABLE 0x03ff
#define IRQ_SELECT_RESET 0x03

#define REG_GCS 0x3410
#define GCS_NO_REBOOT 0x20u

static bool is_halted(const struct ich9_tco *tco)
{
	return tco->control1 & CONTROL1_HALT;
}

static void reload_locked(struct ich9_tco *tco)
{
	tco->left = MAX(tco->initial, MIN_TICKS) * TICK_NS;
	if (!is_halted(tco)) {
		tco->deadline = clock_now(tco->machine->clock) + tco->left;
		timer_arm(&tco->expiry, tco->deadline);
	}
}

static void set_control1_locked(struct ich9_tco *tco, uint16_t value)
{
	bool was_halted = is_halted(tco);
	int64_t now = clock_now(tco->machine->clock);

	tco->control1 = (value & CONTROL1_WRITABLE) | (tco->control1 & CONTROL1_LOCK);
	if (!was_halted && is_halted(tco)) {
		tco->left = MAX(tco->deadline - now, 0);
		timer_cancel(&tco->expiry);
	} else if (was_halted && !is_halted(tco)) {
		tco->deadline = now + tco->left;
		timer_arm(&tco->expiry, tco->deadline);
	}
}

static void handle_expiry(struct timer *timer)
{
	struct ich9_tco *tco = container_of(timer, struct ich9_tco, expiry);
	bool reset = false;

	g_mutex_lock(&tco->lock);
	/* Halted or reloaded in between: a later call will tell. */
	if (!is_halted(tco) && clock_now(tco->machine->clock) >= tco->deadline) {
		tco->status1 |= STATUS1_TIMEOUT;
		if (tco->expired_once) {
			tco->status2 |= STATUS2_SECOND_TIMEOUT;
			reset = !(tco->general_control & GCS_NO_REBOOT);
		}
		tco->expired_once = true;
		reload_locked(tco);
	}
	g_mutex_unlock(&tco->lock);
	if (reset) {
		log_warn("the guest's watchdog expired: it is reset");
		tco->machine->event(tco->machine, MACHINE_EVENT_RESET, 0);
	}
}

static uint16_t ticks_left(const struct ich9_tco *tco)
{
	int64_t left = is_halted(tco) ? tco->left : tco->deadline - clock_now(tco->machine->clock);

	return (uint16_t)((MAX(left, 0) + TICK_NS - 1) / TICK_NS);
}

/* The register at an even offset, as 16 bits. */
static uint16_t register_value(const struct ich9_tco *tco, uint64_t offset)
{
	switch (offset) {
	case REG_RELOAD:
		return ticks_left(tco);
	case REG_DATA_IN:
		return (uint16_t)(tco->data_in | tco->data_out << 8);
	case REG_STATUS1:
		return tco->status1;
	case REG_STATUS2:
		return tco->status2;
	case REG_CONTROL1:
		return tco->control1;
	case REG_CONTROL2:
		return tco->control2;
	case REG_MESSAGE:
		return (uint16_t)(tco->message[0] | tco->message[1] << 8);
	case REG_PROGRESS:
		return tco->progress;
	case REG_IRQ_SELECT:
		return tco->irq_select;
	case REG_INITIAL:
		return tco->initial;
	default:
		return 0;
	}
}

static uint64_t tco_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct ich9_tco *tco = container_of(region, struct ich9_tco, ports);
	uint64_t value = 0;

	g_mutex_lock(&tco->lock);
	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;
		uint64_t byte = register_value(tco, at & ~UINT64_C(1)) >> 8 * (at & 1) & 0xff;
		value |= byte << 8 * i;
	}
	g_mutex_unlock(&tco->lock);
	return value;
}

/* A 16-bit register with the bytes of mask replaced by value's. */
static uint16_t merge(uint16_t old, uint16_t value, uint16_t mask)
{
	return (uint16_t)((old & ~mask) | (value & mask));
}

/* A write to the register at an even offset, to the bytes that mask covers. */
static void write_register_locked(
		struct ich9_tco *tco, uint64_t offset, uint16_t value, uint16_t mask)
{
	const uint8_t low = (uint8_t)value, high = (uint8_t)(value >> 8);

	switch (offset) {
	case REG_RELOAD:
		tco->expired_once = false;
		reload_locked(tco);
		break;
	case REG_DATA_IN:
		tco->data_in = mask & 0xff ? low : tco->data_in;
		tco->data_out = mask >> 8 ? high : tco->data_out;
		break;
	case REG_STATUS1: /* write 1 to clear */
		tco->status1 &= (uint16_t) ~(value & mask);
		break;
	case REG_STATUS2:
		tco->status2 &= (uint16_t) ~(value & mask);
		break;
	case REG_CONTROL1:
		set_control1_locked(tco, merge(tco->control1, value, mask));
		break;
	case REG_CONTROL2:
		tco->control2 = merge(tco->control2, value, mask & CONTROL2_WRITABLE);
		break;
	case REG_MESSAGE:
		tco->message[0] = mask & 0xff ? low : tco->message[0];
		tco->message[1] = mask >> 8 ? high : tco->message[1];
		break;
	case REG_PROGRESS:
		tco->progress = mask & 0xff ? low : tco->progress;
		break;
	case REG_IRQ_SELECT:
		tco->irq_select = mask & 0xff ? low & 3 : tco->irq_select;
		break;
	case REG_INITIAL: /* counts from the next reload on */
		tco->initial = merge(tco->initial, value, mask & INITIAL_WRITABLE);
		break;
	default:
		break;
	}
}

static void tco_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct ich9_tco *tco = container_of(region, struct ich9_tco, ports);

	g_mutex_lock(&tco->lock);
	for (unsigned done = 0; done < size;) {
		uint64_t at = offset + done;
		uint16_t part = (uint16_t)(value >> 8 * done);
		if (at & 1) {
			write_register_locked(tco, at - 1, (uint16_t)(part << 8), 0xff00);
			done += 1;
		} else if (size - done == 1) {
			write_register_locked(tco, at, part, 0x00ff);
			done += 1;
		} else {
			write_register_locked(tco, at, part, 0xffff);
			done += 2;
		}
	}
	g_mutex_unlock(&tco->lock);
}

static uint64_t chipset_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct ich9_tco *tco = container_of(region, struct ich9_tco, chipset);
	uint64_t value = 0;

	g_mutex_lock(&tco->lock);
	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i - REG_GCS;
		uint64_t byte = at < 4 ? tco->general_control >> 8 * at & 0xff : 0;
		value |= byte << 8 * i;
	}
	g_mutex_unlock(&tco->lock);
	return value;
}

static void chipset_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct ich9_tco *tco = container_of(region, struct ich9_tco, chipset);

	g_mutex_lock(&tco->lock);
	if (offset <= REG_GCS && REG_GCS - offset < size) {
		tco->general_control = value >> 8 * (REG_GCS - offset) & GCS_NO_REBOOT;
	}
	g_mutex_unlock(&tco->lock);
}

void ich9_tco_realize(struct ich9_tco *tco, struct machine *machine)
{
	tco->machine = machine;
	g_mutex_init(&tco->lock);
	timer_init(&tco->expiry, machine->clock, handle_expiry);
	tco->ports = (struct io_region){
			.name = "tco", .size = ICH9_TCO_SIZE, .read = tco_read, .write = tco_write};
	tco->chipset = (struct io_region){.name = "rcba",
			.size = ICH9_RCBA_SIZE,
			.read = chipset_read,
			.write = chipset_write};
	address_space_add(machine->ports, ICH9_TCO_BASE, &tco->ports);
	address_space_add(machine->memory, ICH9_RCBA, &tco->chipset);
}

void ich9_tco_unrealize(struct ich9_tco *tco)
{
	address_space_remove(&tco->ports);
	address_space_remove(&tco->chipset);
	timer_cancel(&tco->expiry);
	g_mutex_clear(&tco->lock);
}

void ich9_tco_reset(struct ich9_tco *tco)
{
	g_mutex_lock(&tco->lock);
	timer_cancel(&tco->expiry);
	tco->status1 = tco->status2 = tco->control2 = 0;
	tco->control1 = CONTROL1_HALT;
	tco->initial = MIN_TICKS;
	tco->data_in = tco->data_out = tco->progress = 0;
	tco->message[0] = tco->message[1] = 0;
	tco->irq_select = IRQ_SELECT_RESET;
	tco->general_control = GCS_NO_REBOOT;
	tco->expired_once = false;
	reload_locked(tco);
	g_mutex_unlock(&tco->lock);
}
