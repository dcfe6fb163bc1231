/* SPDX-License-Identifier: MIT */
/*
 * Intel Q35 memory controller hub (3 Series datasheet, 316966), as far as operating systems look at
 * it: its identity, the configuration ports (PCI Local Bus 3.0, 3.2.2.3.2) and the extended
 * configuration window (PCI Express Base 4.0, 7.2.2) at a fixed place. The reset control register of
 * the ICH9 (ICH9 datasheet, 13.7.5) lies among the configuration ports and is modelled here, where
 * whole accesses are told from narrow ones. Left out: PAM, SMRAM and DRAM registers, which only
 * firmware needs; a reset of the CPU alone resets everything.
 */
#include "hw/pc/q35.h"

#include "core/base/bytes.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_ADDRESS_ENABLE 0x80000000u
#define CONFIG_ADDRESS_WRITABLE 0x80fffffcu
#define RESET_OFFSET (Q35_RESET_PORT - CONFIG_ADDRESS)
#define RESET_SYSTEM 0x02
#define RESET_CPU 0x04
#define RESET_FULL 0x08
#define PCIEXBAR 0x60
#define PCIEXBAR_ENABLE 1u

struct q35_host {
	struct pci_device pci;
	struct io_region address_port, data_port, ecam;
	GMutex address_lock;
	uint32_t address; /* guest-visible; guarded by address_lock, as is the next one */
	uint8_t reset_control;
};

static struct q35_host *host_of(struct device *device)
{
	assert(device->device_class == &q35_host_class);
	return container_of(device, struct q35_host, pci.base);
}

/*
 * Configuration accesses of any size and place: what is not one aligned access of four bytes or fewer
 * becomes several. offset is in the extended configuration window: bus, function, register.
 */
static unsigned cycle_size(uint64_t offset, unsigned size)
{
	if (size >= 4 && offset % 4 == 0) {
		return 4;
	}
	return size >= 2 && offset % 2 == 0 ? 2 : 1;
}

static uint64_t config_read(struct q35_host *host, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned done = 0, part; done < size; done += part) {
		uint64_t at = offset + done;
		part = cycle_size(at, size - done);
		uint64_t read = pci_config_read(host->pci.bus, (unsigned)(at >> 20),
				(unsigned)(at >> 12) & 0xff, at & 0xfff, part);
		value |= read << 8 * done;
	}
	return value;
}

static void config_write(struct q35_host *host, uint64_t offset, uint64_t value, unsigned size)
{
	for (unsigned done = 0, part; done < size; done += part) {
		uint64_t at = offset + done;
		part = cycle_size(at, size - done);
		pci_config_write(host->pci.bus, (unsigned)(at >> 20), (unsigned)(at >> 12) & 0xff,
				at & 0xfff, (uint32_t)(value >> 8 * done), part);
	}
}

/* Returns whether the machine is to be reset: at the rise of RST_CPU, which does not last. */
static bool write_reset_control_locked(struct q35_host *host, uint8_t value)
{
	host->reset_control = value & (RESET_SYSTEM | RESET_FULL);
	return value & RESET_CPU;
}

/*
 * Only an access of the whole address register is one; narrower ones are to other registers that
 * share its ports, of which there is one.
 */
static uint64_t address_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, address_port);
	uint64_t value = UINT64_MAX;

	g_mutex_lock(&host->address_lock);
	if (offset == 0 && size == 4) {
		value = host->address;
	} else if (offset == RESET_OFFSET && size == 1) {
		value = host->reset_control;
	}
	g_mutex_unlock(&host->address_lock);
	return value;
}

static void address_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, address_port);
	struct machine *machine = host->pci.machine;
	bool reset = false;

	g_mutex_lock(&host->address_lock);
	if (offset == 0 && size == 4) {
		host->address = (uint32_t)value & CONFIG_ADDRESS_WRITABLE;
	} else if (offset == RESET_OFFSET && size == 1) {
		reset = write_reset_control_locked(host, (uint8_t)value);
	}
	g_mutex_unlock(&host->address_lock);
	if (reset) {
		machine->event(machine, MACHINE_EVENT_RESET, 0);
	}
}

/* Where a cycle through the data port goes; false while it is disabled. */
static bool decode_cycle(struct q35_host *host, uint64_t offset, uint64_t *ret_offset)
{
	g_mutex_lock(&host->address_lock);
	uint32_t address = host->address;
	g_mutex_unlock(&host->address_lock);
	*ret_offset = (uint64_t)(address & 0xffff00) << 4 | ((address & 0xfc) + offset);
	return address & CONFIG_ADDRESS_ENABLE;
}

static uint64_t data_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, data_port);
	uint64_t at;

	return decode_cycle(host, offset, &at) ? config_read(host, at, size) : UINT64_MAX;
}

static void data_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct q35_host *host = container_of(region, struct q35_host, data_port);
	uint64_t at;

	if (decode_cycle(host, offset, &at)) {
		config_write(host, at, value, size);
	}
}

static uint64_t ecam_read(struct io_region *region, uint64_t offset, unsigned size)
{
	return config_read(container_of(region, struct q35_host, ecam), offset, size);
}

static void ecam_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	config_write(container_of(region, struct q35_host, ecam), offset, value, size);
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
	host->reset_control = 0;
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
