/* SPDX-License-Identifier: MIT */
/*
 * MSI-X (PCI Local Bus 3.0, 6.8.2): a table of messages and an array of pending bits in a BAR. A
 * vector may be fed by an eventfd, which then takes the engine's shortest way (irqfd).
 */
#include "hw/pci/pci_msix.h"

#include "core/base/bytes.h"
#include "core/base/checked.h"
#include "core/engine/irqchip.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci_regs.h"

#include <string.h>

#define MSIX_MAX_VECTORS 128
#define MSIX_BAR_SIZE 0x1000u
#define MSIX_PBA_OFFSET (MSIX_MAX_VECTORS * PCI_MSIX_ENTRY_SIZE)

#define ENTRY_ADDRESS 0
#define ENTRY_DATA 8
#define ENTRY_CONTROL 12
#define ENTRY_CONTROL_MASKED 1u

struct msix {
	struct io_region region;
	struct pci_device *device;
	unsigned capability; /* offset in configuration space */
	unsigned vectors;

	/* guarded by device->lock */
	uint8_t table[MSIX_MAX_VECTORS * PCI_MSIX_ENTRY_SIZE];
	uint64_t pending[MSIX_MAX_VECTORS / 64];
	struct irq_route *routes[MSIX_MAX_VECTORS];
};

static uint16_t control(const struct msix *msix)
{
	return le16_load(msix->device->config + msix->capability + PCI_MSIX_CONTROL);
}

static const uint8_t *entry_of(const struct msix *msix, unsigned vector)
{
	return msix->table + vector * PCI_MSIX_ENTRY_SIZE;
}

static bool is_enabled(const struct msix *msix)
{
	return control(msix) & PCI_MSIX_CONTROL_ENABLE;
}

static bool is_masked(const struct msix *msix, unsigned vector)
{
	return (control(msix) & PCI_MSIX_CONTROL_MASKALL) || !is_enabled(msix) ||
	       (le32_load(entry_of(msix, vector) + ENTRY_CONTROL) & ENTRY_CONTROL_MASKED);
}

static void send(const struct msix *msix, unsigned vector)
{
	const uint8_t *entry = entry_of(msix, vector);

	irqchip_send_msi(msix->device->machine->irqchip, le64_load(entry + ENTRY_ADDRESS),
			le32_load(entry + ENTRY_DATA));
}

/* After a change of masks, messages or the enable bit. */
static void update_vector_locked(struct msix *msix, unsigned vector)
{
	uint64_t bit = BIT(vector % 64);
	bool masked = is_masked(msix, vector);

	if (!masked && (msix->pending[vector / 64] & bit)) {
		msix->pending[vector / 64] &= ~bit;
		send(msix, vector);
	}
	if (msix->routes[vector]) {
		struct irqchip *irqchip = msix->device->machine->irqchip;
		const uint8_t *entry = entry_of(msix, vector);
		irqchip->impl->route_set(irqchip, msix->routes[vector],
				le64_load(entry + ENTRY_ADDRESS), le32_load(entry + ENTRY_DATA),
				masked);
	}
}

static uint64_t msix_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct msix *msix = container_of(region, struct msix, region);
	uint64_t value = 0;

	g_mutex_lock(&msix->device->lock);
	if (range_within(offset, size, sizeof(msix->table))) {
		value = le_load(msix->table + offset, size);
	} else if (offset >= MSIX_PBA_OFFSET &&
			range_within(offset - MSIX_PBA_OFFSET, size, sizeof(msix->pending))) {
		value = le_load((const uint8_t *)msix->pending + offset - MSIX_PBA_OFFSET, size);
	}
	g_mutex_unlock(&msix->device->lock);
	return value;
}

static void msix_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct msix *msix = container_of(region, struct msix, region);

	/* Only whole, aligned words of the table may be written; the pending bits are ours. */
	if ((size != 4 && size != 8) || offset % size != 0 ||
			!range_within(offset, size,
					(uint64_t)msix->vectors * PCI_MSIX_ENTRY_SIZE)) {
		return;
	}
	g_mutex_lock(&msix->device->lock);
	le_store(msix->table + offset, value, size);
	update_vector_locked(msix, (unsigned)(offset / PCI_MSIX_ENTRY_SIZE));
	g_mutex_unlock(&msix->device->lock);
}

bool msix_init(struct pci_device *device, unsigned vectors, unsigned bar, GError **error)
{
	if (vectors == 0 || vectors > MSIX_MAX_VECTORS) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"%u MSI-X vectors: 1 to %u are possible", vectors,
				MSIX_MAX_VECTORS);
		return false;
	}
	struct msix *msix = g_new0(struct msix, 1);
	msix->device = device;
	msix->vectors = vectors;
	msix->region = (struct io_region){
			.name = "msix",
			.size = MSIX_BAR_SIZE,
			.read = msix_read,
			.write = msix_write,
	};
	device->msix = msix;
	pci_add_bar(device, bar, PCI_BAR_MEMORY32, &msix->region);

	unsigned cap = pci_add_capability(device, PCI_CAP_ID_MSIX, PCI_MSIX_CAPABILITY_SIZE);
	msix->capability = cap;
	le16_store(device->config + cap + PCI_MSIX_CONTROL, (uint16_t)(vectors - 1));
	le16_store(device->writable + cap + PCI_MSIX_CONTROL,
			PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASKALL);
	le32_store(device->config + cap + PCI_MSIX_TABLE, bar);
	le32_store(device->config + cap + PCI_MSIX_PBA, MSIX_PBA_OFFSET | bar);
	for (unsigned i = 0; i < vectors; i++) {
		msix->table[i * PCI_MSIX_ENTRY_SIZE + ENTRY_CONTROL] = ENTRY_CONTROL_MASKED;
	}
	return true;
}

void msix_finish(struct pci_device *device)
{
	struct msix *msix = device->msix;

	if (!msix) {
		return;
	}
	for (unsigned i = 0; i < msix->vectors; i++) {
		(void)msix_set_eventfd(device, i, -1, NULL); /* taking away cannot fail */
	}
	device->msix = NULL;
	g_free(msix);
}

bool msix_control_written(const struct pci_device *device, unsigned offset, unsigned len)
{
	const struct msix *msix = device->msix;

	return msix && ranges_overlap(offset, len, msix->capability + PCI_MSIX_CONTROL, 2);
}

void msix_config_written_locked(struct pci_device *device, unsigned offset, unsigned len)
{
	struct msix *msix = device->msix;

	if (!msix_control_written(device, offset, len)) {
		return;
	}
	for (unsigned i = 0; i < msix->vectors; i++) {
		update_vector_locked(msix, i);
	}
}

void msix_reset_locked(struct pci_device *device)
{
	struct msix *msix = device->msix;

	if (!msix) {
		return;
	}
	memset(msix->table, 0, sizeof(msix->table));
	memset(msix->pending, 0, sizeof(msix->pending));
	uint8_t *at = device->config + msix->capability + PCI_MSIX_CONTROL;
	le16_store(at, (uint16_t)(msix->vectors - 1));
	for (unsigned i = 0; i < msix->vectors; i++) {
		msix->table[i * PCI_MSIX_ENTRY_SIZE + ENTRY_CONTROL] = ENTRY_CONTROL_MASKED;
		update_vector_locked(msix, i);
	}
}

bool msix_enabled(struct pci_device *device)
{
	bool enabled = false;

	g_mutex_lock(&device->lock);
	if (device->msix) {
		enabled = is_enabled(device->msix);
	}
	g_mutex_unlock(&device->lock);
	return enabled;
}

void msix_notify(struct pci_device *device, unsigned vector)
{
	struct msix *msix = device->msix;

	if (!msix || vector >= msix->vectors) {
		return;
	}
	g_mutex_lock(&device->lock);
	if (!is_masked(msix, vector)) {
		send(msix, vector);
	} else if (is_enabled(msix)) {
		msix->pending[vector / 64] |= BIT(vector % 64);
	}
	g_mutex_unlock(&device->lock);
}

bool msix_set_eventfd(struct pci_device *device, unsigned vector, int fd, GError **error)
{
	struct msix *msix = device->msix;
	struct irqchip *irqchip = device->machine->irqchip;
	bool ok = true;

	assert(msix && vector < msix->vectors);
	g_mutex_lock(&device->lock);
	if (msix->routes[vector]) {
		irqchip->impl->route_destroy(irqchip, msix->routes[vector]);
		msix->routes[vector] = NULL;
	}
	if (fd >= 0) {
		msix->routes[vector] = irqchip->impl->route_create(irqchip, fd, error);
		ok = msix->routes[vector] != NULL;
		update_vector_locked(msix, vector);
	}
	g_mutex_unlock(&device->lock);
	return ok;
}
