/* SPDX-License-Identifier: MIT */
/*
 * pvpanic at port 0x505 (QEMU's docs/specs/pvpanic): the guest reports that it panicked; one that
 * starts its crash kernel instead is left alone. isa-debug-exit: a write of v, anywhere in its
 * ports, ends the process with status (v << 1) | 1, for tests.
 */
#include "hw/pc/isa_debug.h"

#include "core/base/log.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define PVPANIC_PORT 0x505
#define PVPANIC_PANICKED 1u
#define PVPANIC_CRASH_LOADED 2u

struct pvpanic {
	struct device base;
	struct machine *machine;
	struct io_region port;
	gint reported; /* the machine has been told since the last reset; atomic */
};

struct debug_exit {
	struct device base;
	struct machine *machine;
	struct io_region port;
	struct {
		uint32_t iobase, iosize;
	} config;
};

static uint64_t pvpanic_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED; /* the events it understands */
}

static void pvpanic_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pvpanic *pvpanic = container_of(region, struct pvpanic, port);
	(void)offset;
	(void)size;

	if (value & PVPANIC_PANICKED) {
		/* A guest panics once; more often it only floods somebody's log. */
		if (g_atomic_int_compare_and_exchange(&pvpanic->reported, 0, 1)) {
			pvpanic->machine->event(pvpanic->machine, MACHINE_EVENT_PANICKED, 0);
		}
	} else if (value & PVPANIC_CRASH_LOADED) {
		guest_error("pvpanic: the guest panicked and starts its crash kernel");
	}
}

static bool pvpanic_realize(struct device *device, struct machine *machine, GError **error)
{
	struct pvpanic *pvpanic = container_of(device, struct pvpanic, base);
	(void)error;

	pvpanic->machine = machine;
	pvpanic->port = (struct io_region){
			.name = "pvpanic", .size = 1, .read = pvpanic_read, .write = pvpanic_write};
	address_space_add(machine->ports, PVPANIC_PORT, &pvpanic->port);
	return true;
}

static void pvpanic_unrealize(struct device *device)
{
	address_space_remove(&container_of(device, struct pvpanic, base)->port);
}

static void pvpanic_reset(struct device *device)
{
	g_atomic_int_set(&container_of(device, struct pvpanic, base)->reported, 0);
}

static uint64_t exit_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return UINT64_MAX; /* nothing drives the bus */
}

static void exit_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct debug_exit *debug_exit = container_of(region, struct debug_exit, port);
	(void)offset;
	(void)size;

	debug_exit->machine->event(debug_exit->machine, MACHINE_EVENT_POWEROFF,
			(int)(((value << 1) | 1) & 0xff));
}

static bool exit_realize(struct device *device, struct machine *machine, GError **error)
{
	struct debug_exit *debug_exit = container_of(device, struct debug_exit, base);
	(void)error;

	debug_exit->machine = machine;
	debug_exit->port = (struct io_region){.name = "isa-debug-exit",
			.size = debug_exit->config.iosize,
			.read = exit_read,
			.write = exit_write};
	address_space_add(machine->ports, debug_exit->config.iobase, &debug_exit->port);
	return true;
}

static void exit_unrealize(struct device *device)
{
	address_space_remove(&container_of(device, struct debug_exit, base)->port);
}

static void exit_reset(struct device *device)
{
	(void)device; /* it has no state */
}

static const struct property debug_exit_properties[] = {
		{.name = "iobase",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct debug_exit, config.iobase),
				.default_value = "0x501",
				.min = 1,
				.max = 0xfff8,
				.help = "first port"},
		{.name = "iosize",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct debug_exit, config.iosize),
				.default_value = "2",
				.min = 1,
				.max = 8,
				.help = "number of ports"},
		{0},
};

const struct device_class pvpanic_class = {
		.name = "pvpanic",
		.description = "tells when the guest panics",
		.bus = "isa",
		.size = sizeof(struct pvpanic),
		.realize = pvpanic_realize,
		.unrealize = pvpanic_unrealize,
		.reset = pvpanic_reset,
};

const struct device_class debug_exit_class = {
		.name = "isa-debug-exit",
		.description = "lets a test guest end the process with a status",
		.bus = "isa",
		.size = sizeof(struct debug_exit),
		.properties = debug_exit_properties,
		.realize = exit_realize,
		.unrealize = exit_unrealize,
		.reset = exit_reset,
};
