/* SPDX-License-Identifier: MIT */
/* Who lies where in guest RAM while a kernel is being placed. One thread. */
#ifndef CORE_BOOT_LAYOUT_H
#define CORE_BOOT_LAYOUT_H

#include "core/base/base.h"
#include "core/boot/kernel.h"

#define LAYOUT_LOW_START UINT64_C(0x8000) /* where tables are put first */

struct layout {
	struct guest_memory *memory;
	GArray *ram; /* struct boot_range: usable RAM, ascending, merged */
	GArray *map; /* struct boot_range: the memory map, ascending */
	GArray *taken; /* struct boot_range, in no order */
};

/* RAM is what memory holds less the reserved ranges and the end of the first MiB. */
void layout_init(struct layout *layout, struct guest_memory *memory,
		const struct boot_range *reserved, unsigned reserved_count);
void layout_finish(struct layout *layout);

/* Whether all of it is usable RAM. size > 0. */
bool layout_is_ram(const struct layout *layout, uint64_t start, uint64_t size);

/* Marks a range as taken, so that nothing is put there. */
void layout_take(struct layout *layout, uint64_t start, uint64_t size);

/* Finds and takes the lowest free place from LAYOUT_LOW_START on, below 4 GiB. align: a power of two. size > 0. */
bool layout_find_low(struct layout *layout, uint64_t size, uint64_t align, uint64_t *ret_start);

/* Finds and takes the highest free place, page-aligned, that ends at or below limit. size > 0. */
bool layout_find_high(struct layout *layout, uint64_t size, uint64_t limit, uint64_t *ret_start);

/* Puts len bytes into a place found low; the error names what. */
bool layout_put(struct layout *layout, const char *what, const void *data, size_t len,
		uint64_t *ret_start, GError **error);

#endif
