/* SPDX-License-Identifier: MIT */
/*
 * ELF executables as far as booting needs them: segments to load, entry, the Xen notes. 32 and 64 bits, x86 only.
 * System V ABI, chapters 4 and 5. The file is not trusted. Any thread.
 */
#ifndef CORE_BOOT_ELF_IMAGE_H
#define CORE_BOOT_ELF_IMAGE_H

#include "core/base/base.h"

#define ELF_MAX_SEGMENTS 32

struct elf_segment {
	uint64_t address; /* guest-physical */
	uint64_t file_offset, file_size; /* inside the file */
	uint64_t memory_size; /* at least file_size; the rest is zeroes. address + memory_size does not wrap */
};

struct elf_image {
	bool is_64bit;
	uint64_t entry; /* as the header has it: virtual */
	uint64_t entry_physical; /* by the segment that holds entry; entry if none does */
	unsigned segment_count;
	struct elf_segment segments[ELF_MAX_SEGMENTS];
	bool has_pvh_entry;
	uint32_t pvh_entry; /* physical; XEN_ELFNOTE_PHYS32_ENTRY */
};

bool elf_detect(const uint8_t *data, size_t len);

/* The error says what the file is instead, or where it is broken. */
bool elf_parse(const uint8_t *data, size_t len, struct elf_image *ret_image, GError **error);

#endif
