/* SPDX-License-Identifier: MIT */
/*
 * National Semiconductor PC16550D. Bytes are sent at once, whatever the divisor; the transmitter is
 * always empty when the guest looks. Left out: line errors, the receive time-out as an event of its
 * own (data below the trigger level interrupts at once, which drivers cannot tell apart).
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
#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_TRANSMIT 0x02
#define IIR_RECEIVE 0x04
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVE 0x02
#define LCR_DLAB 0x80
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY 0x60 /* holding register and shifter */
#define MSR_DELTA 0x0f
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

struct serial {
	struct device base;
	struct machine *machine;
	struct io_region ports;
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

/* The highest pending interrupt as the IIR shows it. */
static uint8_t interrupt_id(const struct serial *serial)
{
	if ((serial->regs.ier & IER_RECEIVE) && (serial->regs.lsr & LSR_DATA)) {
		return IIR_RECEIVE;
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

	machine_set_gsi(serial->machine, serial->config.gsi, level);
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
		value = serial->regs.lsr | LSR_EMPTY;
		serial->regs.lsr &= (uint8_t)~LSR_OVERRUN;
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
	serial->regs.fcr = value & (0xc0 | FCR_ENABLE);
}

/* Returns whether the byte is to be sent to the host. */
static bool write_locked(struct serial *serial, unsigned reg, uint8_t value)
{
	bool dlab = serial->regs.lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab) {
			serial->regs.divisor = (uint16_t)((serial->regs.divisor & 0xff00) | value);
			return false;
		}
		serial->regs.transmit_pending = true;
		if (serial->regs.mcr & MCR_LOOP) {
			fifo_put(serial, value);
			return false;
		}
		return true;
	case REG_IER:
		if (dlab) {
			serial->regs.divisor = (uint16_t)((serial->regs.divisor & 0x00ff) |
							  value << 8);
			return false;
		}
		/* Enabling it while the transmitter is empty, which it always is, interrupts. */
		if ((value & IER_TRANSMIT) && !(serial->regs.ier & IER_TRANSMIT)) {
			serial->regs.transmit_pending = true;
		}
		serial->regs.ier = value & 0x0f;
		return false;
	case REG_IIR_FCR:
		write_fcr(serial, value);
		return false;
	case REG_LCR:
		serial->regs.lcr = value;
		return false;
	case REG_MCR:
		serial->regs.mcr = value & 0x1f;
		update_modem_locked(serial);
		return false;
	case REG_SCRATCH:
		serial->regs.scratch = value;
		return false;
	default:
		return false; /* line and modem status are read-only */
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
	uint8_t byte = (uint8_t)value;
	(void)size;

	g_mutex_lock(&serial->lock);
	bool send = write_locked(serial, (unsigned)offset, byte);
	update_interrupt_locked(serial);
	g_mutex_unlock(&serial->lock);
	/* Without the lock: a slow terminal must not hold up who looks at the registers. */
	if (send) {
		chardev_write(serial->config.chardev, &byte, 1);
	}
}

static bool serial_realize(struct device *device, struct machine *machine, GError **error)
{
	struct serial *serial = serial_of(device);
	(void)error;

	assert(serial->config.chardev);
	serial->machine = machine;
	g_mutex_init(&serial->lock);
	serial->ports = (struct io_region){.name = "serial",
			.size = REG_COUNT,
			.read = serial_read,
			.write = serial_write};
	serial->user = (struct chardev_user){
			.can_receive = handle_can_receive,
			.receive = handle_receive,
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
