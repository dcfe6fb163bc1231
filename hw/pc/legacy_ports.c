/* SPDX-License-Identifier: MIT */
/*
 * What is left of the 8042 keyboard controller (IBM PC AT Technical Reference) at 0x60/0x64 and of
 * system control port A at 0x92 (ICH9 datasheet, 13.7.4): resetting the machine, and the A20 gate's
 * bit, which is kept but gates nothing: address line 20 is always open. No keyboard answers; the
 * ACPI tables say that there is no controller.
 */
#include "hw/pc/legacy_ports.h"

#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define PORT_DATA 0x60
#define PORT_STATUS 0x64
#define PORT_CONTROL_A 0x92

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_IDLE 0x14 /* self-test passed, keyboard not locked, nothing to read or to take */

#define COMMAND_READ_OUTPUT 0xd0
#define COMMAND_WRITE_OUTPUT 0xd1
#define COMMAND_DISABLE_A20 0xdd
#define COMMAND_ENABLE_A20 0xdf
#define COMMAND_PULSE 0xf0 /* the low bits are output lines, 0 is pulsed */

#define OUTPUT_NO_RESET 0x01 /* the processor's reset line, active low */
#define OUTPUT_A20 0x02
#define CONTROL_A_RESET 0x01
#define CONTROL_A_A20 0x02

struct legacy_ports {
	struct device base;
	struct machine *machine;
	struct io_region data, status, control_a_port;
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint8_t output_lines;
	uint8_t output; /* for the guest to read */
	bool output_full;
	bool lines_follow; /* the next data byte is for the output lines */
	uint8_t control_a;
};

static struct legacy_ports *ports_of(struct device *device)
{
	assert(device->device_class == &legacy_ports_class);
	return container_of(device, struct legacy_ports, base);
}

static void reset_machine(struct legacy_ports *ports)
{
	ports->machine->event(ports->machine, MACHINE_EVENT_RESET, 0);
}

static uint64_t data_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct legacy_ports *ports = container_of(region, struct legacy_ports, data);
	(void)offset;
	(void)size;

	g_mutex_lock(&ports->lock);
	uint8_t value = ports->output;
	ports->output_full = false;
	g_mutex_unlock(&ports->lock);
	return value;
}

static void data_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct legacy_ports *ports = container_of(region, struct legacy_ports, data);
	bool reset = false;
	(void)offset;
	(void)size;

	g_mutex_lock(&ports->lock);
	if (ports->lines_follow) {
		ports->lines_follow = false;
		ports->output_lines = (uint8_t)value | OUTPUT_NO_RESET;
		reset = !(value & OUTPUT_NO_RESET);
	}
	g_mutex_unlock(&ports->lock);
	if (reset) {
		reset_machine(ports);
	}
}

static uint64_t status_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct legacy_ports *ports = container_of(region, struct legacy_ports, status);
	(void)offset;
	(void)size;

	g_mutex_lock(&ports->lock);
	uint8_t value = STATUS_IDLE | (ports->output_full ? STATUS_OUTPUT_FULL : 0);
	g_mutex_unlock(&ports->lock);
	return value;
}

static void command_locked(struct legacy_ports *ports, uint8_t command)
{
	ports->lines_follow = command == COMMAND_WRITE_OUTPUT;
	switch (command) {
	case COMMAND_READ_OUTPUT:
		ports->output = ports->output_lines;
		ports->output_full = true;
		break;
	case COMMAND_DISABLE_A20:
		ports->output_lines &= (uint8_t)~OUTPUT_A20;
		break;
	case COMMAND_ENABLE_A20:
		ports->output_lines |= OUTPUT_A20;
		break;
	default:
		break; /* nobody is there to carry out the others */
	}
}

static void status_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct legacy_ports *ports = container_of(region, struct legacy_ports, status);
	(void)offset;
	(void)size;

	g_mutex_lock(&ports->lock);
	command_locked(ports, (uint8_t)value);
	g_mutex_unlock(&ports->lock);
	if ((value & COMMAND_PULSE) == COMMAND_PULSE && !(value & OUTPUT_NO_RESET)) {
		reset_machine(ports);
	}
}

static uint64_t control_a_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct legacy_ports *ports = container_of(region, struct legacy_ports, control_a_port);
	(void)offset;
	(void)size;

	g_mutex_lock(&ports->lock);
	uint8_t value = ports->control_a;
	g_mutex_unlock(&ports->lock);
	return value;
}

static void control_a_write(
		struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct legacy_ports *ports = container_of(region, struct legacy_ports, control_a_port);
	(void)offset;
	(void)size;

	g_mutex_lock(&ports->lock);
	bool reset = (value & ~ports->control_a) & CONTROL_A_RESET;
	ports->control_a = (uint8_t)value;
	g_mutex_unlock(&ports->lock);
	if (reset) {
		reset_machine(ports);
	}
}

static bool legacy_ports_realize(struct device *device, struct machine *machine, GError **error)
{
	struct legacy_ports *ports = ports_of(device);
	(void)error;

	ports->machine = machine;
	g_mutex_init(&ports->lock);
	ports->data = (struct io_region){
			.name = "8042-data", .size = 1, .read = data_read, .write = data_write};
	ports->status = (struct io_region){.name = "8042-status",
			.size = 1,
			.read = status_read,
			.write = status_write};
	ports->control_a_port = (struct io_region){.name = "port92",
			.size = 1,
			.read = control_a_read,
			.write = control_a_write};
	address_space_add(machine->ports, PORT_DATA, &ports->data);
	address_space_add(machine->ports, PORT_STATUS, &ports->status);
	address_space_add(machine->ports, PORT_CONTROL_A, &ports->control_a_port);
	return true;
}

static void legacy_ports_unrealize(struct device *device)
{
	struct legacy_ports *ports = ports_of(device);

	address_space_remove(&ports->data);
	address_space_remove(&ports->status);
	address_space_remove(&ports->control_a_port);
	g_mutex_clear(&ports->lock);
}

/* As firmware leaves it: address line 20 open. */
static void legacy_ports_reset(struct device *device)
{
	struct legacy_ports *ports = ports_of(device);

	g_mutex_lock(&ports->lock);
	ports->output_lines = OUTPUT_NO_RESET | OUTPUT_A20;
	ports->output = 0;
	ports->output_full = ports->lines_follow = false;
	ports->control_a = CONTROL_A_A20;
	g_mutex_unlock(&ports->lock);
}

const struct device_class legacy_ports_class = {
		.name = "legacy-ports",
		.description = "keyboard controller's reset, system control port A",
		.size = sizeof(struct legacy_ports),
		.internal = true,
		.realize = legacy_ports_realize,
		.unrealize = legacy_ports_unrealize,
		.reset = legacy_ports_reset,
};
