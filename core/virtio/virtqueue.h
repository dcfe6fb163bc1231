/* SPDX-License-Identifier: MIT */
/*
 * The device's side of a split virtqueue (virtio 1.3, 2.7): indirect descriptors, event index, and
 * every check on what the driver wrote. A chain that is wrong (loop, out of RAM, zero length, too
 * long, device-readable after device-writable) breaks the queue: pop returns NULL from then on and
 * virtqueue_broken() says why; the device asks for a reset (DEVICE_NEEDS_RESET) and the VM carries
 * on.
 *
 * Not thread-safe: the owner locks around the calls. Elements may be pushed in any order.
 */
#ifndef CORE_VIRTIO_VIRTQUEUE_H
#define CORE_VIRTIO_VIRTQUEUE_H

#include "core/base/base.h"
#include "core/memory/guest_memory.h"

#define VIRTQUEUE_MAX_SIZE 1024 /* descriptors; a power of two */
#define VIRTQUEUE_MAX_SEGMENTS 1024 /* iovecs in one chain, indirect ones included */

#define VIRTIO_F_NOTIFY_ON_EMPTY 24
#define VIRTIO_F_RING_INDIRECT_DESC 28
#define VIRTIO_F_RING_EVENT_IDX 29
#define VIRTIO_F_VERSION_1 32
#define VIRTIO_F_ACCESS_PLATFORM 33

struct virtqueue;

/* What a driver set up. Guest-physical addresses. */
struct virtqueue_config {
	uint16_t size; /* descriptors: a power of two, at most VIRTQUEUE_MAX_SIZE */
	uint64_t desc, avail, used;
	bool event_idx; /* VIRTIO_F_RING_EVENT_IDX was negotiated */
	bool indirect; /* VIRTIO_F_RING_INDIRECT_DESC was negotiated */
	uint16_t next_avail; /* where to go on; 0 at first */
	uint16_t next_used; /* likewise */
};

/* One request: a chain of buffers, mapped. readable comes from the driver, writable goes to it. */
struct virtqueue_element {
	uint16_t head;
	unsigned readable_count, writable_count;
	struct iovec *readable, *writable;
	size_t readable_size, writable_size; /* bytes */
	struct guest_mapping *mappings; /* readable ones first; virtqueue's */
};

/*
 * Checks the config and maps the rings. NULL with an error where the guest's numbers are wrong.
 * memory is borrowed.
 */
struct virtqueue *virtqueue_create(
		struct guest_memory *memory, const struct virtqueue_config *config, GError **error);

/* Elements not yet pushed must be abandoned first. */
void virtqueue_destroy(struct virtqueue *vq);

/* The next request, or NULL. Each must come back by push or abandon. */
struct virtqueue_element *virtqueue_pop(struct virtqueue *vq);

/*
 * The request with this head, although it is not the next: one that a predecessor of the device
 * took and did not answer. NULL if its chain is wrong.
 */
struct virtqueue_element *virtqueue_take(struct virtqueue *vq, uint16_t head);

/*
 * Completes the request: written bytes of its writable buffers, from the start. Frees the element.
 */
void virtqueue_push(struct virtqueue *vq, struct virtqueue_element *element, size_t written);

/* Frees the element without completing it (reset, tear-down). */
void virtqueue_abandon(struct virtqueue *vq, struct virtqueue_element *element);

/*
 * Whether the driver wants an interrupt for what was pushed since the last call
 * (VIRTIO_F_EVENT_IDX, 2.7.7).
 */
bool virtqueue_needs_notify(struct virtqueue *vq);

/*
 * Says whether the device wants kicks. virtqueue_enable_kicks() returns true if requests came
 * meanwhile: pop again before sleeping.
 */
void virtqueue_disable_kicks(struct virtqueue *vq);
bool virtqueue_enable_kicks(struct virtqueue *vq);

bool virtqueue_empty(struct virtqueue *vq);

/* The reason the queue was given up, NULL while it works. */
const char *virtqueue_broken(const struct virtqueue *vq);

/* Where a later virtqueue_create() would go on. */
uint16_t virtqueue_next_avail(const struct virtqueue *vq);
uint16_t virtqueue_next_used(const struct virtqueue *vq);

#endif
