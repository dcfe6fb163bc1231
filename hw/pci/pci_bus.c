/* SPDX-License-Identifier: MIT */
/* The root bus: which device is where, configuration cycles, INTx wiring, addresses at start. */
#include "hw/pci/pci_bus.h"

#include "core/base/bytes.h"
#include "core/base/checked.h"
#include "core/base/log.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci_regs.h"

#define DEVFN_COUNT 256

struct pci_bus {
	struct machine *machine;
	char *name;
	uint32_t reserved_slots; /* a bit a slot */
	unsigned (*route)(void *opaque, unsigned devfn, unsigned pin);
	void *route_opaque;

	GMutex lock;
	struct pci_device *devices[DEVFN_COUNT]; /* guarded by lock */
	bool driven[DEVFN_COUNT]; /* the device asserts its pin; guarded by lock */
	unsigned gsi_users[MACHINE_GSI_COUNT]; /* devices that assert it; guarded by lock */
};

static unsigned route_by_slot(void *opaque, unsigned devfn, unsigned pin)
{
	(void)opaque;
	return 16 + (PCI_SLOT(devfn) + pin) % 4;
}

struct pci_bus *pci_bus_create(struct machine *machine, const char *name)
{
	struct pci_bus *bus = g_new0(struct pci_bus, 1);

	bus->machine = machine;
	bus->name = g_strdup(name);
	bus->route = route_by_slot;
	g_mutex_init(&bus->lock);
	return bus;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus) {
		return;
	}
	for (unsigned i = 0; i < DEVFN_COUNT; i++) {
		assert(!bus->devices[i]);
	}
	g_mutex_clear(&bus->lock);
	g_free(bus->name);
	g_free(bus);
}

void pci_bus_set_route(struct pci_bus *bus,
		unsigned (*route)(void *opaque, unsigned devfn, unsigned pin), void *opaque)
{
	bus->route = route;
	bus->route_opaque = opaque;
}

void pci_bus_reserve(struct pci_bus *bus, unsigned slot)
{
	assert(slot < PCI_SLOT_COUNT);
	bus->reserved_slots |= 1u << slot;
}

struct pci_device *pci_bus_device(struct pci_bus *bus, unsigned devfn)
{
	g_mutex_lock(&bus->lock);
	struct pci_device *device = devfn < DEVFN_COUNT ? bus->devices[devfn] : NULL;
	g_mutex_unlock(&bus->lock);
	return device;
}

static int first_free_locked(const struct pci_bus *bus)
{
	for (unsigned slot = 0; slot < PCI_SLOT_COUNT; slot++) {
		bool used = bus->reserved_slots & (1u << slot);
		for (unsigned function = 0; function < 8; function++) {
			used = used || bus->devices[PCI_DEVFN(slot, function)];
		}
		if (!used) {
			return PCI_DEVFN(slot, 0);
		}
	}
	return -1;
}

static bool place_locked(struct pci_bus *bus, struct pci_device *device, GError **error)
{
	int devfn = device->devfn;

	if (devfn < 0) {
		devfn = first_free_locked(bus);
	}
	if (devfn < 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "no free slot on %s",
				bus->name);
		return false;
	}
	assert(devfn < DEVFN_COUNT);
	if (bus->devices[devfn]) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
				"slot %02x.%x of %s is taken by %s; give another addr= or none",
				PCI_SLOT(devfn), PCI_FUNCTION(devfn), bus->name,
				device_name(&bus->devices[devfn]->base));
		return false;
	}
	bus->devices[devfn] = device;
	device->devfn = devfn;
	return true;
}

bool pci_bus_attach(struct pci_bus *bus, struct pci_device *device, GError **error)
{
	g_mutex_lock(&bus->lock);
	bool ok = place_locked(bus, device, error);
	g_mutex_unlock(&bus->lock);
	if (ok) {
		device->bus = bus;
		g_free(device->base.path);
		device->base.path = g_strdup_printf("%s/%02x.%x", bus->name,
				PCI_SLOT(device->devfn), PCI_FUNCTION(device->devfn));
	}
	return ok;
}

void pci_bus_detach(struct pci_device *device)
{
	struct pci_bus *bus = device->bus;

	g_mutex_lock(&bus->lock);
	bus->devices[device->devfn] = NULL;
	g_mutex_unlock(&bus->lock);
}

void pci_bus_drive_intx(struct pci_bus *bus, struct pci_device *device, bool level)
{
	unsigned pin = device->config[PCI_INTERRUPT_PIN];

	if (pin == 0) {
		return;
	}
	unsigned gsi = bus->route(bus->route_opaque, (unsigned)device->devfn, pin - 1);
	assert(gsi < MACHINE_GSI_COUNT);

	/* The lock is held while the line changes: two devices must not overtake each other. */
	g_mutex_lock(&bus->lock);
	if (bus->driven[device->devfn] != level) {
		bus->driven[device->devfn] = level;
		unsigned *users = &bus->gsi_users[gsi];
		*users += level ? 1 : -1;
		if (*users == (level ? 1 : 0)) {
			machine_set_gsi(bus->machine, gsi, level);
		}
	}
	g_mutex_unlock(&bus->lock);
}

/* Whether a configuration cycle reaches anything. */
static bool cycle_valid(unsigned bus_number, unsigned devfn, unsigned offset, unsigned len)
{
	return bus_number == 0 && devfn < DEVFN_COUNT && (len == 1 || len == 2 || len == 4) &&
	       offset % len == 0 && range_within(offset, len, PCIE_CONFIG_SIZE);
}

uint32_t pci_config_read(struct pci_bus *bus, unsigned bus_number, unsigned devfn, unsigned offset,
		unsigned len)
{
	struct pci_device *device = NULL;

	if (cycle_valid(bus_number, devfn, offset, len)) {
		device = pci_bus_device(bus, devfn);
	}
	if (!device) {
		return len >= 4 ? UINT32_MAX : (uint32_t)(BIT(8 * len) - 1);
	}
	return pci_device_config_read(device, offset, len);
}

void pci_config_write(struct pci_bus *bus, unsigned bus_number, unsigned devfn, unsigned offset,
		uint32_t value, unsigned len)
{
	struct pci_device *device = NULL;

	if (cycle_valid(bus_number, devfn, offset, len)) {
		device = pci_bus_device(bus, devfn);
	}
	if (device) {
		pci_device_config_write(device, offset, value, len);
	}
}

void pci_bus_assign_resources(struct pci_bus *bus, uint64_t mmio_base, uint64_t mmio_end,
		uint64_t mmio64_base, uint64_t mmio64_end, uint16_t io_base)
{
	struct pci_windows windows = {
			.mmio = mmio_base,
			.mmio_end = mmio_end,
			.mmio64 = mmio64_base,
			.mmio64_end = mmio64_end,
			.io = io_base,
	};

	for (unsigned devfn = 0; devfn < DEVFN_COUNT; devfn++) {
		struct pci_device *device = pci_bus_device(bus, devfn);
		if (!device) {
			continue;
		}
		pci_device_assign_bars(device, &windows);
		unsigned pin = device->config[PCI_INTERRUPT_PIN];
		if (pin > 0) {
			device->config[PCI_INTERRUPT_LINE] = (uint8_t)bus->route(
					bus->route_opaque, devfn, pin - 1);
		}
	}
}
