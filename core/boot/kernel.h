/* SPDX-License-Identifier: MIT */
/*
 * Kernels the machine starts by itself, without firmware: Linux bzImages (decompressed here, which is many times
 * quicker than in the guest), ELF kernels with a PVH entry, and multiboot images, each plain or compressed.
 *
 * Loading needs no machine and takes up to a second of decompression: boot_loader_start() does it on a thread of its own while the
 * rest starts. Placing puts everything into guest RAM and says how the boot CPU begins; it may be repeated after a reset.
 *
 * Guest-physical memory below 1 MiB: [0, 0x1000) and [0x9fc00, 0x100000) are left alone, for BIOS data and ACPI tables.
 * The command line and the tables handed over go from 0x8000 up, modules (initrd) as high as possible.
 *
 * Errors are one line that names the file and what would be accepted.
 */
#ifndef CORE_BOOT_KERNEL_H
#define CORE_BOOT_KERNEL_H

#include "core/base/base.h"
#include "core/engine/x86.h"
#include "core/memory/guest_memory.h"

#define BOOT_MAX_KERNEL_SIZE GiB /* of the file, and of what it decompresses to */
#define BOOT_MAX_COMMAND_LINE (64 * KiB) /* with its final zero */
#define BOOT_MAX_MODULES 16

struct boot_image;
struct boot_loader;
struct boot_modules;

/* The types of ranges in the memory map, as ACPI numbers them (E820). */
enum boot_range_type {
	BOOT_RANGE_RAM = 1,
	BOOT_RANGE_RESERVED = 2,
	BOOT_RANGE_ACPI = 3,
	BOOT_RANGE_NVS = 4,
};

struct boot_range {
	uint64_t start, size; /* guest-physical */
	uint32_t type; /* enum boot_range_type */
};

/* Reads and understands the kernel at path. Any thread. */
struct boot_image *boot_image_load(const char *path, GError **error);

/* Likewise for contents that are in memory; name stands for the path. */
struct boot_image *boot_image_parse(const char *name, GBytes *contents, GError **error);

void boot_image_destroy(struct boot_image *image); /* may be NULL */

/* "PVH" or "multiboot", for messages. */
const char *boot_image_protocol(const struct boot_image *image);

/* Loads on a thread of its own; join gives the result and frees the loader. Never NULL. */
struct boot_loader *boot_loader_start(const char *path);
struct boot_image *boot_loader_join(struct boot_loader *loader, GError **error);

/*
 * Opens what -initrd names: a file, or for kernels that take several modules "file arguments,file arguments". A name that is
 * a file as it stands is taken as one.
 */
struct boot_modules *boot_modules_open(const char *list, GError **error);
void boot_modules_close(struct boot_modules *modules); /* may be NULL */

struct boot_config {
	const char *command_line; /* may be NULL */
	const struct boot_modules *modules; /* may be NULL */
	uint64_t rsdp; /* address of the ACPI RSDP; 0: none, or where the kernel searches for it */
	const struct boot_range *
			reserved; /* what the memory map shall say besides RAM; RAM in it is not touched */
	unsigned reserved_count;
};

/*
 * Puts kernel, modules, command line and tables into RAM. *ret_state is how the boot CPU starts. Fails where something
 * does not fit. vCPUs stand still.
 */
bool boot_image_place(const struct boot_image *image, struct guest_memory *memory,
		const struct boot_config *config, struct x86_state *ret_state, GError **error);

#endif
