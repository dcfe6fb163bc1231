/* SPDX-License-Identifier: MIT */
/*
 * The SMBIOS tables (DMTF DSP0134, 3.3) that name the machine to those who ask what they run on, as
 * they lie in guest memory.
 */
#ifndef HW_PC_SMBIOS_H
#define HW_PC_SMBIOS_H

#include "core/base/base.h"
#include "core/memory/guest_memory.h"

/* The part of the first MiB in which systems that were not started by UEFI look. */
#define SMBIOS_BASE UINT64_C(0xf0000)
#define SMBIOS_SIZE UINT64_C(0x10000)

struct smbios_config {
	unsigned vcpus;
	uint64_t ram_size; /* bytes, a multiple of 1 KiB */
};

/* Writes the tables. False if guest memory has no RAM there. */
bool smbios_place(struct guest_memory *memory, const struct smbios_config *config);

#endif
