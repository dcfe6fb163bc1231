/* SPDX-License-Identifier: MIT */
/*
 * National Semiconductor PC16550D. Bytes are sent at once, whatever the divisor; the transmitter is
 * empty again when the guest looks, unless the host cannot take any more. What came in below the
 * trigger level is a character time-out at once. Left out: line errors other than an overrun (which
 * only the loop can cause: the host waits), breaks, DMA modes.
 */
#include "hw/pc/serial.h"

#include "core/control/chardev.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#include <string.h>

#define FIFO_SIZE 16

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH, REG_COUNT };

#define IER_RECEIVE 0x01
#define IER_TRANSMIT 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IER_ALL 0x0f
#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_TRANSMIT 0x02
#define IIR_RECEIVE 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVE 0x02
#define FCR_TRIGGER_SHIFT 6
#define FCR_KEPT 0xc9 /* the bits that last */
#define LCR_DLAB 0x80
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_WRITABLE 0x1f
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY 0x60 /* holding register and shifter */
#define LSR_ERRORS LSR_OVERRUN
#define MSR_DELTA 0x0f
#define MSR_RI_ENDED 0x04
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

struct serial {
	struct device base;
	struct io_region ports;
	struct machine_line line;
	struct chardev_user user;

	struct {
		struct chardev *chardev;
		uint16_t port;
		unsigned gsi;
	} config;

	GMutex lock;

	/* guest-visible; guarded by lock */
	struct {
		uint8_t ier, fcr, lcr, mcr, lsr, msr, scratch;
		uint16_t divisor;
		bool transmit_full; /* the host takes no more */
		bool transmit_pending; /* the transmitter became empty and nobody was told */
		uint8_t fifo[FIFO_SIZE];
		unsigned fifo_used;
	} regs;
};

static struct serial *serial_of(struct device *device)
{
	assert(device->device_class == &serial_class);
	return container_of(device, struct serial, base);
}

void serial_configure(struct device *device, unsigned index, struct chardev *chardev)
{
	static const struct {
		uint16_t port;
		uint8_t gsi;
	} com[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
	struct serial *serial = serial_of(device);

	assert(index < G_N_ELEMENTS(com));
	serial->config.port = com[index].port;
	serial->config.gsi = com[index].gsi;
	serial->config.chardev = chardev;
}

/* How many bytes make a receive interrupt rather than a time-out. */
static unsigned trigger_level(const struct serial *serial)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return serial->regs.fcr & FCR_ENABLE ? levels[serial->regs.fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The highest pending interrupt as the IIR shows it. */
static uint8_t interrupt_id(const struct serial *serial)
{
	if ((serial->regs.ier & IER_LINE) && (serial->regs.lsr & LSR_ERRORS)) {
		return IIR_LINE;
	}
	if ((serial->regs.ier & IER_RECEIVE) && (serial->regs.lsr & LSR_DATA)) {
		return serial->regs.fifo_used >= trigger_level(serial) ? IIR_RECEIVE : IIR_TIMEOUT;
	}
	if ((serial->regs.ier & IER_TRANSMIT) && serial->regs.transmit_pending) {
		return IIR_TRANSMIT;
	}
	if ((serial->regs.ier & IER_MODEM) && (serial->regs.msr & MSR_DELTA)) {
		return IIR_MODEM;
	}
	return IIR_NONE;
}

static void update_interrupt_locked(struct serial *serial)
{
	/* OUT2 gates the interrupt line on a PC. */
	bool level = interrupt_id(serial) != IIR_NONE && (serial->regs.mcr & (MCR_OUT2 | MCR_LOOP));

	machine_line_set(&serial->line, level);
}

static size_t fifo_room(const struct serial *serial)
{
	unsigned size = serial->regs.fcr & FCR_ENABLE ? FIFO_SIZE : 1;

	return size > serial->regs.fifo_used ? size - serial->regs.fifo_used : 0;
}

static void fifo_put(struct serial *serial, uint8_t byte)
{
	if (fifo_room(serial) == 0) {
		serial->regs.lsr |= LSR_OVERRUN;
		return;
	}
	serial->regs.fifo[serial->regs.fifo_used++] = byte;
	serial->regs.lsr |= LSR_DATA;
}

static uint8_t fifo_get(struct serial *serial)
{
	uint8_t byte = serial->regs.fifo[0];

	if (serial->regs.fifo_used == 0) {
		return 0;
	}
	serial->regs.fifo_used--;
	memmove(serial->regs.fifo, serial->regs.fifo + 1, serial->regs.fifo_used);
	if (serial->regs.fifo_used == 0) {
		serial->regs.lsr &= (uint8_t)~LSR_DATA;
		chardev_accept_input(serial->config.chardev);
	}
	return byte;
}

static size_t handle_can_receive(struct chardev_user *user)
{
	struct serial *serial = container_of(user, struct serial, user);

	g_mutex_lock(&serial->lock);
	size_t room = serial->regs.mcr & MCR_LOOP ? 0 : fifo_room(serial);
	g_mutex_unlock(&serial->lock);
	return room;
}

static void handle_receive(struct chardev_user *user, const uint8_t *data, size_t len)
{
	struct serial *serial = container_of(user, struct serial, user);

	g_mutex_lock(&serial->lock);
	for (size_t i = 0; i < len; i++) {
		fifo_put(serial, data[i]);
	}
	update_interrupt_locked(serial);
	g_mutex_unlock(&serial->lock);
}

static void handle_writable(struct chardev_user *user)
{
	struct serial *serial = container_of(user, struct serial, user);

	g_mutex_lock(&serial->lock);
	if (serial->regs.transmit_full) {
		serial->regs.transmit_full = false;
		serial->regs.transmit_pending = true;
		update_interrupt_locked(serial);
	}
	g_mutex_unlock(&serial->lock);
}

/* In loop-back mode the modem outputs come back as inputs. */
static void update_modem_locked(struct serial *serial)
{
	uint8_t mcr = serial->regs.mcr;
	uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD;

	if (mcr & MCR_LOOP) {
		lines = (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
			(mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
	}
	uint8_t changed = (uint8_t)((serial->regs.msr ^ lines) >> 4);
	if (lines & MSR_RI) {
		changed &= (uint8_t)~MSR_RI_ENDED; /* a ring counts when it ends */
	}
	serial->regs.msr = (uint8_t)(lines | (serial->regs.msr & MSR_DELTA) | changed);
}

static uint8_t read_locked(struct serial *serial, unsigned reg)
{
	bool dlab = serial->regs.lcr & LCR_DLAB;
	uint8_t value;

	switch (reg) {
	case REG_DATA:
		return dlab ? (uint8_t)serial->regs.divisor : fifo_get(serial);
	case REG_IER:
		return dlab ? (uint8_t)(serial->regs.divisor >> 8) : serial->regs.ier;
	case REG_IIR_FCR:
		value = interrupt_id(serial);
		if (value == IIR_TRANSMIT) {
			serial->regs.transmit_pending = false;
		}
		return value | (serial->regs.fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case REG_LCR:
		return serial->regs.lcr;
	case REG_MCR:
		return serial->regs.mcr;
	case REG_LSR:
		value = serial->regs.lsr | (serial->regs.transmit_full ? 0 : LSR_EMPTY);
		serial->regs.lsr &= (uint8_t)~LSR_ERRORS;
		return value;
	case REG_MSR:
		value = serial->regs.msr;
		serial->regs.msr &= (uint8_t)~MSR_DELTA;
		return value;
	default:
		return serial->regs.scratch;
	}
}

static void write_fcr(struct serial *serial, uint8_t value)
{
	if ((value & FCR_CLEAR_RECEIVE) || ((value ^ serial->regs.fcr) & FCR_ENABLE)) {
		serial->regs.fifo_used = 0;
		serial->regs.lsr &= (uint8_t)~LSR_DATA;
		chardev_accept_input(serial->config.chardev);
	}
	/* Without the enable bit the others are not taken. */
	serial->regs.fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

/* The byte is on its way before the guest looks again: the transmitter is empty, full, empty. */
static void transmit_locked(struct serial *serial, uint8_t value)
{
	serial->regs.transmit_pending = false;
	update_interrupt_locked(serial);
	if (serial->regs.mcr & MCR_LOOP) {
		fifo_put(serial, value);
	} else {
		serial->regs.transmit_full = !chardev_write(serial->config.chardev, &value, 1);
	}
	serial->regs.transmit_pending = !serial->regs.transmit_full;
}

static void write_ier(struct serial *serial, uint8_t value)
{
	/* Enabling it while the transmitter is empty interrupts. */
	if ((value & IER_TRANSMIT) && !(serial->regs.ier & IER_TRANSMIT)) {
		serial->regs.transmit_pending = !serial->regs.transmit_full;
	}
	serial->regs.ier = value & IER_ALL;
}

static void write_mcr(struct serial *serial, uint8_t value)
{
	bool looped = serial->regs.mcr & MCR_LOOP;

	serial->regs.mcr = value & MCR_WRITABLE;
	update_modem_locked(serial);
	if (looped && !(value & MCR_LOOP)) {
		chardev_accept_input(serial->config.chardev);
	}
}

static void write_locked(struct serial *serial, unsigned reg, uint8_t value)
{
	bool dlab = serial->regs.lcr & LCR_DLAB;
	uint16_t divisor = serial->regs.divisor;

	switch (reg) {
	case REG_DATA:
		if (dlab) {
			serial->regs.divisor = (uint16_t)((divisor & 0xff00) | value);
		} else {
			transmit_locked(serial, value);
		}
		break;
	case REG_IER:
		if (dlab) {
			serial->regs.divisor = (uint16_t)((divisor & 0x00ff) | value << 8);
		} else {
			write_ier(serial, value);
		}
		break;
	case REG_IIR_FCR:
		write_fcr(serial, value);
		break;
	case REG_LCR:
		serial->regs.lcr = value;
		break;
	case REG_MCR:
		write_mcr(serial, value);
		break;
	case REG_SCRATCH:
		serial->regs.scratch = value;
		break;
	default:
		break; /* line and modem status are read-only */
	}
}

static uint64_t serial_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct serial *serial = container_of(region, struct serial, ports);
	(void)size;

	g_mutex_lock(&serial->lock);
	uint8_t value = read_locked(serial, (unsigned)offset);
	update_interrupt_locked(serial);
	g_mutex_unlock(&serial->lock);
	return value;
}

static void serial_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct serial *serial = container_of(region, struct serial, ports);
	(void)size;

	g_mutex_lock(&serial->lock);
	write_locked(serial, (unsigned)offset, (uint8_t)value);
	update_interrupt_locked(serial);
	g_mutex_unlock(&serial->lock);
}

static bool serial_realize(struct device *device, struct machine *machine, GError **error)
{
	struct serial *serial = serial_of(device);
	(void)error;

	assert(serial->config.chardev);
	g_mutex_init(&serial->lock);
	serial->line = (struct machine_line){.machine = machine, .gsi = serial->config.gsi};
	serial->ports = (struct io_region){.name = "serial",
			.size = REG_COUNT,
			.byte_wide = true,
			.read = serial_read,
			.write = serial_write};
	serial->user = (struct chardev_user){
			.can_receive = handle_can_receive,
			.receive = handle_receive,
			.writable = handle_writable,
	};
	address_space_add(machine->ports, serial->config.port, &serial->ports);
	chardev_set_user(serial->config.chardev, &serial->user);
	return true;
}

static void serial_unrealize(struct device *device)
{
	struct serial *serial = serial_of(device);

	chardev_set_user(serial->config.chardev, NULL);
	address_space_remove(&serial->ports);
	machine_line_set(&serial->line, false);
	g_mutex_clear(&serial->lock);
}

static void serial_reset(struct device *device)
{
	struct serial *serial = serial_of(device);

	g_mutex_lock(&serial->lock);
	memset(&serial->regs, 0, sizeof(serial->regs));
	serial->regs.divisor = 12;
	update_modem_locked(serial);
	serial->regs.msr &= (uint8_t)~MSR_DELTA;
	update_interrupt_locked(serial);
	g_mutex_unlock(&serial->lock);
	chardev_accept_input(serial->config.chardev);
}

const struct device_class serial_class = {
		.name = "isa-serial",
		.description = "16550A serial port",
		.bus = "isa",
		.size = sizeof(struct serial),
		.internal = true,
		.realize = serial_realize,
		.unrealize = serial_unrealize,
		.reset = serial_reset,
};
