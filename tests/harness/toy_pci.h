/* SPDX-License-Identifier: MIT */
/* A PCI device that does nothing but count what reaches it: one BAR of each kind, MSI-X in BAR 5. */
#ifndef TESTS_HARNESS_TOY_PCI_H
#define TESTS_HARNESS_TOY_PCI_H

#include "hw/pci/pci.h"

#define TOY_IO_BAR 0
#define TOY_MEMORY_BAR 1
#define TOY_MEMORY64_BAR 2 /* and 3 */
#define TOY_MSIX_BAR 5
#define TOY_VECTORS 4
#define TOY_IO_SIZE 32u
#define TOY_MEMORY_SIZE 0x2000u
#define TOY_MEMORY64_SIZE (UINT64_C(1) << 33)

struct toy_pci {
	struct pci_device pci;
	struct io_region io, memory, memory64;
	unsigned reads, writes;
	uint64_t last_offset, last_value;
	unsigned last_size;
};

extern const struct device_class toy_pci_class;

#endif
