/* SPDX-License-Identifier: MIT */
/*
 * What answers at each guest-physical address or I/O port: RAM and devices. The machine has two,
 * memory and ports (ports have no RAM). Devices add io_regions; the higher priority wins where
 * regions overlap, the later one among equals, and RAM wins over all of them, as DRAM decoding does
 * in a chipset. The table is published whole and read without a lock.
 *
 * A change may be made from inside a device callback (a BAR that moves); the callback being left
 * may still run on other vCPUs until address_space_quiesce().
 */
#ifndef CORE_MEMORY_ADDRESS_SPACE_H
#define CORE_MEMORY_ADDRESS_SPACE_H

#include "core/base/base.h"
#include "core/memory/guest_memory.h"

struct address_space;

/* A range of registers. Embed it in the device; the callbacks get it back. */
struct io_region {
	const char *name; /* for logs; static */
	uint64_t size; /* bytes */
	/*
	 * offset is within the region; size is 1, 2, 4 or 8 and the access lies inside the region.
	 * Called on vCPU threads, several at once: the device takes its own lock. Both required.
	 */
	uint64_t (*read)(struct io_region *region, uint64_t offset, unsigned size);
	void (*write)(struct io_region *region, uint64_t offset, uint64_t value, unsigned size);

	/*
	 * Registers of eight bits on a bus of eight bits, as ISA devices have: wider accesses are
	 * split into bytes at rising offsets. Set before it is added.
	 */
	bool byte_wide;
	int priority; /* set before it is added */

	/* Owned by the address space. */
	struct address_space *space; /* NULL while not added */
	GPtrArray *eventfds; /* NULL: none */
	uint64_t base;
};

/*
 * What engines and vhost users keep in step with. All members may be NULL. Called with the change
 * lock held.
 */
struct address_space_listener {
	void (*begin)(struct address_space_listener *listener);
	void (*ram_add)(struct address_space_listener *listener,
			const struct guest_region_info *info);
	void (*ram_del)(struct address_space_listener *listener,
			const struct guest_region_info *info);
	void (*commit)(struct address_space_listener *listener);
	/*
	 * A write of size bytes (0: any size) at address now signals fd instead of leaving the
	 * guest.
	 */
	void (*eventfd_add)(struct address_space_listener *listener, uint64_t address,
			unsigned size, int fd);
	void (*eventfd_del)(struct address_space_listener *listener, uint64_t address,
			unsigned size, int fd);
	struct address_space_listener *next; /* owned by the address space */
};

/* memory may be NULL (ports). It is borrowed. */
struct address_space *address_space_create(const char *name, struct guest_memory *memory);
void address_space_destroy(struct address_space *space);

struct guest_memory *address_space_memory(struct address_space *space);

void address_space_add(struct address_space *space, uint64_t base, struct io_region *region);
void address_space_remove(struct io_region *region); /* no-op if not added */

/* RAM goes through the space, so that listeners hear of it. Arguments as for guest_memory_add(). */
bool address_space_add_ram(struct address_space *space, uint64_t guest, uint64_t size, int fd,
		uint64_t offset, unsigned flags, GError **error);
void address_space_remove_ram(struct address_space *space, uint64_t guest);

/* Adding a listener replays what is there. */
void address_space_add_listener(
		struct address_space *space, struct address_space_listener *listener);
void address_space_remove_listener(
		struct address_space *space, struct address_space_listener *listener);

/*
 * Makes a write to offset of a region signal fd instead of calling write. size 0: of any size. The
 * eventfd belongs to the region: it may be set before the region is added, and follows it when it
 * moves, until it is removed with the same arguments. fd is borrowed until then.
 */
void address_space_add_eventfd(struct io_region *region, uint64_t offset, unsigned size, int fd);
void address_space_remove_eventfd(struct io_region *region, uint64_t offset, unsigned size, int fd);

/*
 * A vCPU's access of 1, 2, 4 or 8 bytes; RAM included. The region that answers the first byte takes
 * all of it if it lies inside that region; else the access is split into bytes. Where nothing
 * answers, reads give all ones and writes do nothing. vCPU threads (registered RCU readers).
 */
uint64_t address_space_read(struct address_space *space, uint64_t address, unsigned size);
void address_space_write(
		struct address_space *space, uint64_t address, uint64_t value, unsigned size);

/*
 * Waits until no callback of a removed region runs any more. Never from a callback or with a
 * device's lock held.
 */
void address_space_quiesce(struct address_space *space);

#endif
