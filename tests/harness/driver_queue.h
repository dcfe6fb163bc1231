/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a split virtqueue over guest memory, for tests: does what a driver does, and lets a test write
 * what no driver should. Everything lies in guest memory, nothing is checked. One thread.
 */
#ifndef TESTS_HARNESS_DRIVER_QUEUE_H
#define TESTS_HARNESS_DRIVER_QUEUE_H

#include "core/virtio/virtqueue.h"

#define DRIVER_DESC_NEXT 1u
#define DRIVER_DESC_WRITE 2u
#define DRIVER_DESC_INDIRECT 4u

struct driver_queue {
	struct guest_memory *memory;
	struct virtqueue_config
			config; /* hand it to virtqueue_create() or write it to the transport */
	uint64_t end; /* guest-physical; first byte behind the rings */
	uint16_t avail_idx; /* the next free slot */
	uint16_t last_used;
	uint16_t free[VIRTQUEUE_MAX_SIZE]; /* descriptors nobody uses */
	unsigned free_count;
	uint16_t chain_length[VIRTQUEUE_MAX_SIZE]; /* by head */
	uint16_t chain_next[VIRTQUEUE_MAX_SIZE]; /* by descriptor */
};

struct driver_buffer {
	uint64_t guest;
	uint32_t len;
	bool writable; /* by the device */
};

/* Lays empty rings of size descriptors out from base (page-aligned) on. Neither indirect nor event_idx: set config. */
void driver_queue_init(struct driver_queue *queue, struct guest_memory *memory, uint64_t base,
		uint16_t size);

/* Makes a chain of the buffers available; returns its head. */
uint16_t driver_queue_add(
		struct driver_queue *queue, const struct driver_buffer *buffers, unsigned count);

/* Likewise through an indirect table, which is written to guest memory at table. */
uint16_t driver_queue_add_indirect(struct driver_queue *queue, uint64_t table,
		const struct driver_buffer *buffers, unsigned count);

/* Takes the next completion, if there is one, and frees its descriptors. */
bool driver_queue_take_used(struct driver_queue *queue, uint32_t *ret_head, uint32_t *ret_len);

/* Whether the device wants a kick for what was made available since the index was old. */
bool driver_queue_kick_wanted(struct driver_queue *queue, uint16_t old);

/* Whether and when (event index) the driver wants interrupts. */
void driver_queue_set_no_interrupt(struct driver_queue *queue, bool no_interrupt);
void driver_queue_set_used_event(struct driver_queue *queue, uint16_t event);

/* The raw writes. */
void driver_queue_write_desc(struct driver_queue *queue, unsigned index, uint64_t addr,
		uint32_t len, uint16_t flags, uint16_t next);
void driver_table_write_desc(struct guest_memory *memory, uint64_t table, unsigned index,
		uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void driver_queue_make_available(struct driver_queue *queue, uint16_t head);
void driver_queue_set_avail_idx(struct driver_queue *queue, uint16_t idx);

#endif
