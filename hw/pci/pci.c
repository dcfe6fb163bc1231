/* SPDX-License-Identifier: MIT */
/*
 * Configuration space of a PCI function (PCI Local Bus 3.0, chapter 6): header type 0, BARs that
 * follow the command register, the capability list, INTx. Left out: expansion ROMs, header type 1.
 */
#include "hw/pci/pci.h"

#include "core/base/bytes.h"
#include "core/base/checked.h"
#include "core/base/log.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_msix.h"
#include "hw/pci/pci_regs.h"

#include <string.h>

static unsigned bar_offset(unsigned bar)
{
	return PCI_BAR0 + bar * 4;
}

static bool bar_is_64bit(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_MEMORY64 || bar->kind == PCI_BAR_MEMORY64_PREFETCHABLE;
}

/* Where the guest put a BAR; false while it is disabled or still being sized. */
static bool bar_address(const struct pci_device *device, unsigned index, uint64_t *ret_address)
{
	const struct pci_bar *bar = &device->bars[index];
	uint16_t command = le16_load(device->config + PCI_COMMAND);
	bool is_io = bar->kind == PCI_BAR_IO;

	if (!(command & (is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY))) {
		return false;
	}
	uint64_t address = le32_load(device->config + bar_offset(index)) & (is_io ? ~3u : ~15u);
	if (bar_is_64bit(bar)) {
		address |= (uint64_t)le32_load(device->config + bar_offset(index + 1)) << 32;
	}
	uint64_t limit = is_io ? 0x10000 : bar_is_64bit(bar) ? BIT(52) : BIT(32);
	/* All ones is what sizing writes; zero is where nobody has put it. */
	if (address == 0 || !range_within(address, bar->region->size, limit - 1)) {
		return false;
	}
	*ret_address = address;
	return true;
}

static void update_bars_locked(struct pci_device *device)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		struct pci_bar *bar = &device->bars[i];
		uint64_t address = 0;

		if (bar->kind == PCI_BAR_NONE) {
			continue;
		}
		bool mapped = bar_address(device, i, &address);
		if (bar->region->space && (!mapped || bar->region->base != address)) {
			address_space_remove(bar->region);
		}
		if (mapped && !bar->region->space) {
			address_space_add(bar->kind == PCI_BAR_IO ? device->machine->ports
								  : device->machine->memory,
					address, bar->region);
		}
	}
}

static void update_intx_locked(struct pci_device *device)
{
	uint16_t command = le16_load(device->config + PCI_COMMAND);
	uint16_t status = le16_load(device->config + PCI_STATUS);
	bool pending = device->intx_level;

	status = (uint16_t)(pending ? status | PCI_STATUS_INTERRUPT
				    : status & ~PCI_STATUS_INTERRUPT);
	le16_store(device->config + PCI_STATUS, status);
	if (device->bus) {
		pci_bus_drive_intx(device->bus, device,
				pending && !(command & PCI_COMMAND_INTX_DISABLE));
	}
}

static void init_header(struct pci_device *device, const struct pci_identity *identity)
{
	uint8_t *config = device->config;
	uint8_t *writable = device->writable;

	le16_store(config + PCI_VENDOR_ID, identity->vendor);
	le16_store(config + PCI_DEVICE_ID, identity->device);
	config[PCI_REVISION_ID] = identity->revision;
	config[PCI_CLASS_PROG] = identity->class_code & 0xff;
	le16_store(config + PCI_CLASS_PROG + 1, (uint16_t)(identity->class_code >> 8));
	config[PCI_HEADER_TYPE] = identity->multifunction ? PCI_HEADER_MULTIFUNCTION : 0;
	le16_store(config + PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor);
	le16_store(config + PCI_SUBSYSTEM_ID, identity->subsystem);

	le16_store(writable + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
							   PCI_COMMAND_MASTER | PCI_COMMAND_SERR |
							   PCI_COMMAND_INTX_DISABLE);
	writable[PCI_CACHE_LINE_SIZE] = 0xff;
	writable[PCI_INTERRUPT_LINE] = 0xff;
	device->next_capability_offset = PCI_FIRST_CAPABILITY;
}

bool pci_device_realize(struct pci_device *device, struct machine *machine,
		const struct pci_identity *identity, GError **error)
{
	device->machine = machine;
	g_mutex_init(&device->lock);
	init_header(device, identity);
	return pci_bus_attach(machine->pci, device, error);
}

void pci_device_withdraw(struct pci_device *device)
{
	if (!device->bus) {
		return;
	}
	pci_bus_detach(device);
	/* A configuration cycle that still runs may map a BAR: only then they go. */
	address_space_quiesce(device->machine->memory);
	pci_device_reset(device);
	address_space_quiesce(device->machine->memory);
	device->bus = NULL;
}

void pci_device_unrealize(struct pci_device *device)
{
	if (!device->machine) {
		return;
	}
	pci_device_withdraw(device);
	msix_finish(device);
	g_mutex_clear(&device->lock);
	device->machine = NULL;
}

void pci_device_reset(struct pci_device *device)
{
	g_mutex_lock(&device->lock);
	for (unsigned i = 0; i < PCI_FIRST_CAPABILITY; i++) {
		device->config[i] &= (uint8_t)~device->writable[i];
	}
	device->intx_level = false;
	msix_reset_locked(device);
	update_bars_locked(device);
	update_intx_locked(device);
	g_mutex_unlock(&device->lock);
}

void pci_add_bar(struct pci_device *device, unsigned index, enum pci_bar_kind kind,
		struct io_region *region)
{
	static const uint8_t type_bits[] = {
			[PCI_BAR_IO] = PCI_BAR_SPACE_IO,
			[PCI_BAR_MEMORY32] = 0,
			[PCI_BAR_MEMORY64] = PCI_BAR_MEMORY_TYPE_64,
			[PCI_BAR_MEMORY64_PREFETCHABLE] = PCI_BAR_MEMORY_TYPE_64 |
							  PCI_BAR_MEMORY_PREFETCH,
	};
	uint64_t mask = ~(region->size - 1);

	assert(index < PCI_BAR_COUNT && device->bars[index].kind == PCI_BAR_NONE);
	assert(region->size >= (kind == PCI_BAR_IO ? 4 : 16) &&
			!(region->size & (region->size - 1)));

	device->bars[index] = (struct pci_bar){.kind = kind, .region = region};
	device->config[bar_offset(index)] = type_bits[kind];
	le32_store(device->writable + bar_offset(index), (uint32_t)mask);
	if (bar_is_64bit(&device->bars[index])) {
		assert(index + 1 < PCI_BAR_COUNT && device->bars[index + 1].kind == PCI_BAR_NONE);
		le32_store(device->writable + bar_offset(index + 1), (uint32_t)(mask >> 32));
	}
}

unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned size)
{
	unsigned offset = device->next_capability_offset;

	assert(offset + size <= PCI_CONFIG_SIZE);
	device->config[offset] = id;
	device->config[offset + 1] = device->config[PCI_CAPABILITY_POINTER];
	device->config[PCI_CAPABILITY_POINTER] = (uint8_t)offset;
	device->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	device->next_capability_offset = (uint16_t)((offset + size + 3) & ~3u);
	return offset;
}

void pci_set_intx(struct pci_device *device, bool level)
{
	g_mutex_lock(&device->lock);
	if (device->intx_level != level) {
		device->intx_level = level;
		update_intx_locked(device);
	}
	g_mutex_unlock(&device->lock);
}

uint32_t pci_device_config_read(struct pci_device *device, unsigned offset, unsigned len)
{
	if (device->config_reading) {
		device->config_reading(device, offset, len);
	}
	g_mutex_lock(&device->lock);
	uint32_t value = (uint32_t)le_load(device->config + offset, len);
	g_mutex_unlock(&device->lock);
	return value;
}

void pci_device_config_write(
		struct pci_device *device, unsigned offset, uint32_t value, unsigned len)
{
	g_mutex_lock(&device->lock);
	for (unsigned i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)(value >> (8 * i));
		uint8_t *config = &device->config[offset + i];
		uint8_t mask = device->writable[offset + i];

		*config = (uint8_t)((*config & ~mask) | (byte & mask));
		*config &= (uint8_t) ~(byte & device->write_clears[offset + i]);
	}
	if (ranges_overlap(offset, len, PCI_COMMAND, 2)) {
		update_intx_locked(device);
	}
	if (ranges_overlap(offset, len, PCI_COMMAND, 2) ||
			ranges_overlap(offset, len, PCI_BAR0, 4 * PCI_BAR_COUNT)) {
		update_bars_locked(device);
	}
	msix_config_written_locked(device, offset, len);
	g_mutex_unlock(&device->lock);
	if (device->config_written) {
		device->config_written(device, offset, len);
	}
}

/* Gives one BAR the next naturally aligned address of a window; false if it does not fit. */
static bool take_window(uint64_t *next, uint64_t end, uint64_t size, uint64_t *ret_address)
{
	uint64_t address;

	if (!checked_add(*next, size - 1, &address)) {
		return false;
	}
	address &= ~(size - 1);
	if (address > end || size > end - address) {
		return false;
	}
	*next = address + size;
	*ret_address = address;
	return true;
}

void pci_device_assign_bars(struct pci_device *device, struct pci_windows *windows)
{
	uint16_t command = 0;

	g_mutex_lock(&device->lock);
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		const struct pci_bar *bar = &device->bars[i];
		uint64_t address;
		bool ok;

		if (bar->kind == PCI_BAR_NONE) {
			continue;
		}
		if (bar->kind == PCI_BAR_IO) {
			ok = take_window(&windows->io, 0x10000, bar->region->size, &address);
		} else if (bar->kind == PCI_BAR_MEMORY64_PREFETCHABLE) {
			ok = take_window(&windows->mmio64, windows->mmio64_end, bar->region->size,
					&address);
		} else {
			ok = take_window(&windows->mmio, windows->mmio_end, bar->region->size,
					&address);
		}
		if (!ok) {
			log_warn("%s: no address space left for BAR %u of %" G_GUINT64_FORMAT
				 " bytes",
					device_name(&device->base), i, bar->region->size);
			continue;
		}
		uint8_t *at = device->config + bar_offset(i);
		le32_store(at, (le32_load(at) & 15) | (uint32_t)address);
		if (bar_is_64bit(bar)) {
			le32_store(at + 4, (uint32_t)(address >> 32));
		}
		command |= bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	le16_store(device->config + PCI_COMMAND, command);
	update_bars_locked(device);
	g_mutex_unlock(&device->lock);
}
