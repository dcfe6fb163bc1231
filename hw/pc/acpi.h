/* SPDX-License-Identifier: MIT */
/* The ACPI tables (ACPI 6.4, chapter 5) that describe the board, as they lie in guest memory. */
#ifndef HW_PC_ACPI_H
#define HW_PC_ACPI_H

#include "core/base/base.h"
#include "core/memory/guest_memory.h"

/* Where the tables go: below 1 MiB, where systems without other guidance search for them. */
#define ACPI_BASE UINT64_C(0xe0000)
#define ACPI_SIZE UINT64_C(0x10000)

struct acpi_config {
	unsigned vcpus;
	uint64_t mmio64_base, mmio64_size; /* the window for 64-bit BARs; whole MiB */
	unsigned serial_ports; /* a bit for each that there is: COM1 is bit 0 */
};

/*
 * Writes the tables. *ret_rsdp is the guest-physical address of the root pointer. False if guest
 * memory has no RAM there.
 */
bool acpi_place(struct guest_memory *memory, const struct acpi_config *config, uint64_t *ret_rsdp);

#endif
