/* SPDX-License-Identifier: MIT */
/*
 * Intel Q35 memory controller hub (3 Series datasheet), as far as operating systems look at it: its
 * identity, the configuration ports (PCI Local Bus 3.0, 3.2.2.3.2) and the extended configuration
 * window at a fixed place. Left out: PAM, SMRAM and DRAM registers, which only firmware needs.
 */
#include "hw/pc/q35.h"

#include "core/base/bytes.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_ADDRESS_ENABLE 0x80000000u
#define PCIEXBAR 0x60
#define PCIEXBAR_ENABLE 1u

struct q35_host {
	struct pci_device pci;
	struct io_region address_port, data_port, ecam;
	GMutex address_lock;
	uint32_t address; /* guest-visible; guarded by address_lock */
};

static struct q35_host *host_of(struct device *device)
{
	assert(device->device_class == &q35_host_class);
	return container_of(device, struct q35_host, pci.base);
}

static uint64_t address_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, address_port);

	g_mutex_lock(&host->address_lock);
	uint32_t address = host->address;
	g_mutex_unlock(&host->address_lock);
	return offset == 0 && size == 4 ? address : 0xffffffff;
}

static void address_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, address_port);

	/* Narrower writes are to other registers that share the ports. */
	if (offset == 0 && size == 4) {
		g_mutex_lock(&host->address_lock);
		host->address = (uint32_t)value & ~3u;
		g_mutex_unlock(&host->address_lock);
	}
}

/* Bus, function and register of a cycle through the data port; false while it is disabled. */
static bool decode_cycle(struct q35_host *host, uint64_t offset, unsigned *ret_bus,
		unsigned *ret_devfn, unsigned *ret_register)
{
	g_mutex_lock(&host->address_lock);
	uint32_t address = host->address;
	g_mutex_unlock(&host->address_lock);
	*ret_bus = (address >> 16) & 0xff;
	*ret_devfn = (address >> 8) & 0xff;
	*ret_register = (address & 0xfc) + (unsigned)offset;
	return address & CONFIG_ADDRESS_ENABLE;
}

static uint64_t data_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, data_port);
	unsigned bus, devfn, reg;

	if (!decode_cycle(host, offset, &bus, &devfn, &reg)) {
		return UINT64_MAX;
	}
	return pci_config_read(host->pci.bus, bus, devfn, reg, size);
}

static void data_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, data_port);
	unsigned bus, devfn, reg;

	if (decode_cycle(host, offset, &bus, &devfn, &reg)) {
		pci_config_write(host->pci.bus, bus, devfn, reg, (uint32_t)value, size);
	}
}

static uint64_t ecam_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, ecam);

	return pci_config_read(host->pci.bus, (unsigned)(offset >> 20),
			(unsigned)(offset >> 12) & 0xff, offset & 0xfff, size);
}

static void ecam_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, ecam);

	pci_config_write(host->pci.bus, (unsigned)(offset >> 20), (unsigned)(offset >> 12) & 0xff,
			offset & 0xfff, (uint32_t)value, size);
}

static bool q35_realize(struct device *device, struct machine *machine, GError **error)
{
	static const struct pci_identity identity = {
			.vendor = 0x8086,
			.device = 0x29c0,
			.subsystem_vendor = 0x1af4,
			.subsystem = 0x1100,
			.class_code = 0x060000,
	};
	struct q35_host *host = host_of(device);

	g_mutex_init(&host->address_lock);
	host->pci.devfn = PCI_DEVFN(0, 0);
	if (!pci_device_realize(&host->pci, machine, &identity, error)) {
		return false;
	}
	le32_store(host->pci.config + PCIEXBAR, (uint32_t)Q35_ECAM_BASE | PCIEXBAR_ENABLE);
	host->address_port = (struct io_region){.name = "pci-address",
			.size = 4,
			.read = address_read,
			.write = address_write};
	host->data_port = (struct io_region){
			.name = "pci-data", .size = 4, .read = data_read, .write = data_write};
	host->ecam = (struct io_region){.name = "ecam",
			.size = Q35_ECAM_SIZE,
			.read = ecam_read,
			.write = ecam_write};
	address_space_add(machine->ports, CONFIG_ADDRESS, &host->address_port);
	address_space_add(machine->ports, CONFIG_ADDRESS + 4, &host->data_port);
	address_space_add(machine->memory, Q35_ECAM_BASE, &host->ecam);
	return true;
}

static void q35_unrealize(struct device *device)
{
	struct q35_host *host = host_of(device);

	address_space_remove(&host->address_port);
	address_space_remove(&host->data_port);
	address_space_remove(&host->ecam);
	pci_device_unrealize(&host->pci);
	g_mutex_clear(&host->address_lock);
}

static void q35_reset(struct device *device)
{
	struct q35_host *host = host_of(device);

	pci_device_reset(&host->pci);
	g_mutex_lock(&host->address_lock);
	host->address = 0;
	g_mutex_unlock(&host->address_lock);
}

const struct device_class q35_host_class = {
		.name = "q35-host",
		.description = "Q35 host bridge",
		.bus = "pci",
		.size = sizeof(struct q35_host),
		.internal = true,
		.realize = q35_realize,
		.unrealize = q35_unrealize,
		.reset = q35_reset,
};
