/* SPDX-License-Identifier: MIT */
/*
 * PCI and PCI Express as devices see it: configuration space, BARs, INTx, MSI and MSI-X, the root
 * bus. PCI Local Bus 3.0 and PCI Express Base 4.0. Configuration accesses come from vCPU threads; a
 * device's configuration space is guarded by its lock.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "core/device/device.h"
#include "core/memory/address_space.h"

#define PCI_CONFIG_SIZE 256u
#define PCIE_CONFIG_SIZE 4096u
#define PCI_BAR_COUNT 6
#define PCI_SLOT_COUNT 32
#define PCI_DEVFN(slot, function) (((slot) << 3) | (function))
#define PCI_SLOT(devfn) ((unsigned)(devfn) >> 3)
#define PCI_FUNCTION(devfn) ((unsigned)(devfn)&7)

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_IO,
	PCI_BAR_MEMORY32,
	PCI_BAR_MEMORY64, /* takes two BARs */
	PCI_BAR_MEMORY64_PREFETCHABLE,
};

struct machine;
struct pci_bus;
struct pci_device;
struct msix;

struct pci_bar {
	enum pci_bar_kind kind;
	struct io_region *
			/*
			 * the device's; its size is a power of two, at least 16 (memory) or 4 (I/O)
			 */
			region;
};

/* What a device class sets before pci_device_realize(). */
struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class, subclass, programming interface */
	bool multifunction;
};

/* Embedded first in every PCI device. */
struct pci_device {
	struct device base;
	struct machine *machine;
	struct pci_bus *bus; /* NULL until realized */
	int32_t devfn; /* property addr; -1: the first free slot */

	GMutex lock; /* guards config and what a class puts under it */
	uint8_t config[PCIE_CONFIG_SIZE];
	uint8_t writable[PCIE_CONFIG_SIZE]; /* bits the guest may write */
	uint8_t write_clears[PCIE_CONFIG_SIZE]; /* bits cleared by writing 1 */
	struct pci_bar bars[PCI_BAR_COUNT];
	uint16_t next_capability_offset; /* where pci_add_capability puts the next one */
	struct msix *msix; /* NULL: none */
	bool intx_level;

	/*
	 * Called after the generic code stored a write, without the lock; offset and len as the
	 * guest wrote them (1, 2, 4 bytes). May be NULL.
	 */
	void (*config_written)(struct pci_device *device, unsigned offset, unsigned len);
	/*
	 * Called before the generic code reads, without the lock, to refresh config. May be NULL.
	 */
	void (*config_reading)(struct pci_device *device, unsigned offset, unsigned len);
};

/*
 * The properties every PCI device has: addr. A class's table lists it through this macro, for its
 * object type.
 */
#define PCI_DEVICE_PROPERTIES(object, member) \
	{ \
		.name = "addr", .type = PROPERTY_PCI_ADDRESS, \
		.offset = offsetof(object, member.devfn), \
		.help = "slot[.function] on the root bus, hexadecimal; default: first free slot" \
	}

/*
 * Puts the device on the machine's root bus. Fails if its slot is taken or none is free: the error
 * names both devices.
 */
bool pci_device_realize(struct pci_device *device, struct machine *machine,
		const struct pci_identity *identity, GError **error);
void pci_device_unrealize(struct pci_device *device);
/*
 * Takes the device out of the guest's reach: when this returns no vCPU is inside its callbacks and
 * none will be. For what must be stopped before pci_device_unrealize(), which does it otherwise.
 */
void pci_device_withdraw(struct pci_device *device);
/* BARs unmapped, command register cleared, MSI-X off. */
void pci_device_reset(struct pci_device *device);

/*
 * During realize, after pci_device_realize(). region must outlive the device. 64-bit kinds take bar
 * and bar + 1.
 */
void pci_add_bar(struct pci_device *device, unsigned bar, enum pci_bar_kind kind,
		struct io_region *region);

/*
 * Appends a capability of size bytes (header included); returns its offset. The caller fills config
 * and writable.
 */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned size);

/* Asserts or releases INTA. Any thread; honours the command register's disable bit. */
void pci_set_intx(struct pci_device *device, bool level);

/*
 * MSI-X with vectors entries: the table and pending bits live in a region of their own, placed in
 * bar (which becomes a 32-bit memory BAR of 4 KiB or more).
 */
bool msix_init(struct pci_device *device, unsigned vectors, unsigned bar, GError **error);
bool msix_enabled(struct pci_device *device);
/* Whether a configuration write of len bytes at offset may have switched MSI-X on or off. */
bool msix_control_written(const struct pci_device *device, unsigned offset, unsigned len);
/*
 * Sends vector's message, or sets its pending bit while masked. Any thread. Out of range: nothing.
 */
void msix_notify(struct pci_device *device, unsigned vector);
/*
 * Lets an eventfd send a vector's message by the shortest way (irq_route). The fd stays the
 * caller's; at most one a vector. Masks and table writes are followed. NULL fd (-1) takes it away.
 */
bool msix_set_eventfd(struct pci_device *device, unsigned vector, int fd, GError **error);

/* The root bus. route tells which GSI a device's pin (0 INTA .. 3 INTD) drives. */
struct pci_bus *pci_bus_create(struct machine *machine, const char *name);
void pci_bus_destroy(struct pci_bus *bus);
void pci_bus_set_route(struct pci_bus *bus,
		unsigned (*route)(void *opaque, unsigned devfn, unsigned pin), void *opaque);
/* Reserves a slot so that automatic placement leaves it free (slot 2: graphics). */
void pci_bus_reserve(struct pci_bus *bus, unsigned slot);
/* The device at devfn, NULL if none. */
struct pci_device *pci_bus_device(struct pci_bus *bus, unsigned devfn);

/*
 * Configuration cycles from the host bridge: bus 0 only; absent devices read all ones. len 1, 2 or
 * 4, aligned.
 */
uint32_t pci_config_read(struct pci_bus *bus, unsigned bus_number, unsigned devfn, unsigned offset,
		unsigned len);
void pci_config_write(struct pci_bus *bus, unsigned bus_number, unsigned devfn, unsigned offset,
		uint32_t value, unsigned len);

/*
 * Without firmware nobody assigns BARs before the kernel runs: gives every BAR an address (and the
 * interrupt line), as firmware would. At reset, before the boot CPU starts.
 */
void pci_bus_assign_resources(struct pci_bus *bus, uint64_t mmio_base, uint64_t mmio_end,
		uint64_t mmio64_base, uint64_t mmio64_end, uint16_t io_base);

#endif
