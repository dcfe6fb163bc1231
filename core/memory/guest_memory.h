/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as devices and CPUs see it: which guest-physical ranges are RAM, and where that RAM
 * is in our address space. Both halves have one: the machine's holds its own memfd, the picture's
 * what vhost-user announced.
 *
 * Every access is map, use, unmap(bytes written). A mapping keeps its memory alive, even if the
 * region is removed meanwhile; nobody keeps a host pointer beyond its mapping. Writes reach the
 * dirty hooks (migration log, the software CPU's code) in unmap, so before any completion becomes
 * visible to the guest.
 *
 * Thread-safe. Readers take no lock: the table is published and replaced whole. Threads that read
 * or write guest memory are registered RCU readers (core/base/thread.h).
 */
#ifndef CORE_MEMORY_GUEST_MEMORY_H
#define CORE_MEMORY_GUEST_MEMORY_H

#include "core/base/base.h"

#include <sys/uio.h>

struct guest_memory;
struct guest_region;

enum guest_access {
	GUEST_READ, /* the device reads guest memory */
	GUEST_WRITE,
};

enum guest_region_flag {
	GUEST_REGION_ROM = 1 << 0, /* writes by CPUs and devices do nothing */
};

/* Where a piece of guest memory is right now. Plain value; do not copy while mapped. */
struct guest_mapping {
	void *host;
	uint64_t guest; /* guest-physical */
	size_t len; /* bytes */
	enum guest_access access;
	struct guest_region *region; /* a reference */
};

/*
 * Told of every range that devices wrote, before its completion is visible. Called on the writing
 * thread.
 */
struct guest_write_hook {
	void (*written)(struct guest_write_hook *hook, uint64_t guest, uint64_t len);
};

struct guest_memory *guest_memory_create(void);
void guest_memory_destroy(struct guest_memory *memory); /* no mapping may be left */

/*
 * Adds RAM: size bytes of fd at offset appear at guest. Maps them shared. fd is duplicated. Page-
 * aligned, not overlapping another region. flags: enum guest_region_flag.
 */
bool guest_memory_add(struct guest_memory *memory, uint64_t guest, uint64_t size, int fd,
		uint64_t offset, unsigned flags, GError **error);

/*
 * Removes the region that starts at guest; its memory stays until the last mapping is gone. False
 * if there is none.
 */
bool guest_memory_remove(struct guest_memory *memory, uint64_t guest);
void guest_memory_clear(struct guest_memory *memory);

/* At most one hook; NULL removes it. Before devices run. */
void guest_memory_set_write_hook(struct guest_memory *memory, struct guest_write_hook *hook);

/*
 * Maps [guest, guest + len): false unless all of it is RAM inside one region (writable for
 * GUEST_WRITE). len > 0.
 */
bool guest_memory_map(struct guest_memory *memory, uint64_t guest, size_t len,
		enum guest_access access, struct guest_mapping *ret_mapping);

/*
 * Maps as much of [guest, guest + len) as its region holds: for ranges that cross regions. False if
 * guest is not RAM.
 */
bool guest_memory_map_some(struct guest_memory *memory, uint64_t guest, size_t len,
		enum guest_access access, struct guest_mapping *ret_mapping);

/* Ends the mapping; written bytes from its start were changed (0 for reads). */
void guest_mapping_unmap(
		struct guest_memory *memory, struct guest_mapping *mapping, size_t written);

/*
 * Copies; false (and nothing copied) unless the whole range is RAM, for writes writable RAM. May
 * cross regions.
 */
bool guest_memory_read(struct guest_memory *memory, uint64_t guest, void *buf, size_t len);
bool guest_memory_write(struct guest_memory *memory, uint64_t guest, const void *buf, size_t len);

/*
 * Says that a range was written behind the mappings' back (by a vhost-user back end, a CPU engine).
 */
void guest_memory_written(struct guest_memory *memory, uint64_t guest, uint64_t len);

/* The published table, as far as guest_memory_page() looks at it. */
struct guest_range {
	uint64_t guest, size;
	uint8_t *host;
	unsigned flags; /* enum guest_region_flag */
	struct guest_region *region;
};

struct guest_table {
	unsigned count;
	struct guest_range ranges[]; /* by guest address */
};

/* What struct guest_memory begins with. */
struct guest_memory_published {
	struct guest_table *table; /* never NULL; replaced whole */
};

/*
 * For CPU engines, on a registered RCU reader thread inside rcu_read_lock(): the host address of
 * one guest page (4 KiB aligned guest), NULL if it is not RAM. *ret_flags gets the region's flags:
 * 0 is plain RAM. The address stays good until the engine was told, by the address space's
 * listener, that the region is gone.
 */
static inline void *guest_memory_page(
		struct guest_memory *memory, uint64_t guest, unsigned *ret_flags)
{
	struct guest_memory_published *published = (struct guest_memory_published *)memory;
	const struct guest_table *table = __atomic_load_n(&published->table, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < table->count; i++) {
		const struct guest_range *range = &table->ranges[i];
		if (guest - range->guest < range->size) {
			*ret_flags = range->flags;
			return range->host + (guest - range->guest);
		}
	}
	return NULL;
}

/*
 * Calls visit for each region, lowest first: guest-physical address, size, fd, offset, host
 * address, flags.
 */
struct guest_region_info {
	uint64_t guest, size;
	int fd; /* borrowed */
	uint64_t offset;
	void *host;
	unsigned flags;
};
void guest_memory_foreach(struct guest_memory *memory,
		void (*visit)(const struct guest_region_info *info, void *opaque), void *opaque);

/* Bytes of RAM in all regions. */
uint64_t guest_memory_size(struct guest_memory *memory);

#endif
