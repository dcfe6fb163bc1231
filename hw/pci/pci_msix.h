/* SPDX-License-Identifier: MIT */
/* MSI-X hooks of the configuration space; used inside hw/pci only. Device lock held for _locked. */
#ifndef HW_PCI_PCI_MSIX_H
#define HW_PCI_PCI_MSIX_H

#include "hw/pci/pci.h"

void msix_config_written_locked(struct pci_device *device, unsigned offset, unsigned len);
void msix_reset_locked(struct pci_device *device);
void msix_finish(struct pci_device *device);

#endif
