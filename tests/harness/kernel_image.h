/* SPDX-License-Identifier: MIT */
/* Makes small kernel files for tests: ELF images of either class, bzImages around any payload, multiboot headers. */
#ifndef TESTS_HARNESS_KERNEL_IMAGE_H
#define TESTS_HARNESS_KERNEL_IMAGE_H

#include "core/base/base.h"

#define KERNEL_IMAGE_MAX_SEGMENTS 4

struct kernel_image_segment {
	uint64_t virtual_address, address; /* physical */
	const void *data;
	uint64_t file_size, memory_size;
};

struct kernel_image {
	bool is_32bit;
	uint16_t machine; /* 0: x86-64, or i386 with is_32bit */
	uint16_t type; /* 0: executable */
	uint64_t entry;
	unsigned segment_count;
	struct kernel_image_segment segments[KERNEL_IMAGE_MAX_SEGMENTS];
	bool pvh;
	uint32_t pvh_entry;
};

/* Where the ELF file has its program headers, and the data of the first segment. */
#define KERNEL_IMAGE_PHDRS(image) ((image)->is_32bit ? 52u : 64u)
#define KERNEL_IMAGE_DATA 0x400u

GBytes *kernel_image_elf(const struct kernel_image *image);

/* A bzImage of boot protocol 2.15; initrd_max is the last address an initrd may have. */
GBytes *kernel_image_bzimage(const void *payload, size_t len, uint32_t initrd_max);

/* The data of contents and more at its end. */
GBytes *kernel_image_append(GBytes *contents, const void *more, size_t len);

#endif
