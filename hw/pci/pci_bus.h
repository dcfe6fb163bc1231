/* SPDX-License-Identifier: MIT */
/* Between a PCI device and its bus; used inside hw/pci only. */
#ifndef HW_PCI_PCI_BUS_H
#define HW_PCI_PCI_BUS_H

#include "hw/pci/pci.h"

/* Puts the device at its devfn, or at the first free slot; sets bus, devfn and path. */
bool pci_bus_attach(struct pci_bus *bus, struct pci_device *device, GError **error);
/* No configuration cycle finds the device any more; device->bus stays for its interrupt pin. */
void pci_bus_detach(struct pci_device *device);

/* The device drives its pin; the bus ORs what shares a GSI. Device lock held. */
void pci_bus_drive_intx(struct pci_bus *bus, struct pci_device *device, bool level);

uint32_t pci_device_config_read(struct pci_device *device, unsigned offset, unsigned len);
void pci_device_config_write(
		struct pci_device *device, unsigned offset, uint32_t value, unsigned len);

/* What is left of the address windows while resources are assigned. */
struct pci_windows {
	uint64_t mmio, mmio_end;
	uint64_t mmio64, mmio64_end;
	uint64_t io;
};
void pci_device_assign_bars(struct pci_device *device, struct pci_windows *windows);

#endif
