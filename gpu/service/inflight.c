/* SPDX-License-Identifier: MIT */
#include "gpu/service/inflight.h"

#include "core/base/checked.h"
#include "core/base/fd.h"

#include <stdlib.h>
#include <sys/mman.h>

#define INFLIGHT_VERSION 1
#define INFLIGHT_ALIGNMENT 64

/* Layout of vhost-user.rst, "inflight I/O tracking", split virtqueue. */
struct desc_state {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};
_Static_assert(sizeof(struct desc_state) == 16, "vhost-user inflight");

struct region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct desc_state desc[];
};
_Static_assert(sizeof(struct region) == 16, "vhost-user inflight");

struct inflight_queue {
	struct region *region;
	unsigned size;
	uint64_t counter; /* of the next request */
};

struct inflight {
	void *map;
	size_t map_size;
	unsigned queues;
	struct inflight_queue queue[];
};

static size_t queue_bytes(unsigned queue_size)
{
	size_t bytes = sizeof(struct region) + queue_size * sizeof(struct desc_state);

	return (bytes + INFLIGHT_ALIGNMENT - 1) & ~(size_t)(INFLIGHT_ALIGNMENT - 1);
}

size_t inflight_size(unsigned queues, unsigned queue_size)
{
	return queues * queue_bytes(queue_size);
}

struct inflight *inflight_map(int fd, uint64_t size, uint64_t offset, unsigned queues,
		unsigned queue_size, GError **error)
{
	size_t needed = inflight_size(queues, queue_size);

	if (size < needed || offset % GUEST_PAGE_SIZE != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"inflight region of %" G_GUINT64_FORMAT
				" bytes at %" G_GUINT64_FORMAT ": %zu bytes at a page are needed",
				size, offset, needed);
		return NULL;
	}
	void *map = mmap(NULL, needed, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (map == MAP_FAILED) {
		set_error_errno(error, "inflight region");
		return NULL;
	}
	struct inflight *inflight = g_malloc0(
			sizeof(*inflight) + queues * sizeof(inflight->queue[0]));
	inflight->map = map;
	inflight->map_size = needed;
	inflight->queues = queues;
	for (unsigned i = 0; i < queues; i++) {
		struct region *region = (struct region *)((char *)map +
							  i * queue_bytes(queue_size));
		if (region->version == 0) {
			region->version = INFLIGHT_VERSION;
			region->desc_num = (uint16_t)queue_size;
		}
		inflight->queue[i].region = region;
		inflight->queue[i].size = queue_size;
		inflight->queue[i].counter = 1;
	}
	return inflight;
}

void inflight_unmap(struct inflight *inflight)
{
	if (!inflight) {
		return;
	}
	munmap(inflight->map, inflight->map_size);
	g_free(inflight);
}

struct inflight_queue *inflight_queue_at(struct inflight *inflight, unsigned index)
{
	assert(index < inflight->queues);
	return &inflight->queue[index];
}

void inflight_begin(struct inflight_queue *queue, uint16_t head)
{
	assert(head < queue->size);
	queue->region->desc[head].counter = queue->counter++;
	__atomic_store_n(&queue->region->desc[head].inflight, 1, __ATOMIC_RELEASE);
}

void inflight_pushing(struct inflight_queue *queue, uint16_t head)
{
	__atomic_store_n(&queue->region->last_batch_head, head, __ATOMIC_RELEASE);
}

void inflight_end(struct inflight_queue *queue, uint16_t head, uint16_t used_idx)
{
	assert(head < queue->size);
	__atomic_store_n(&queue->region->desc[head].inflight, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&queue->region->used_idx, used_idx, __ATOMIC_RELEASE);
}

static int by_counter(const void *a, const void *b, void *opaque)
{
	const struct inflight_queue *queue = opaque;
	uint64_t left = queue->region->desc[*(const uint16_t *)a].counter;
	uint64_t right = queue->region->desc[*(const uint16_t *)b].counter;

	return left < right ? -1 : left > right;
}

unsigned inflight_recover(struct inflight_queue *queue, uint16_t used_idx, uint16_t *heads)
{
	struct region *region = queue->region;
	unsigned count = 0;

	/* Died between publishing the used index and clearing the mark: that one was answered. */
	if (region->used_idx != used_idx && region->last_batch_head < queue->size) {
		region->desc[region->last_batch_head].inflight = 0;
		region->used_idx = used_idx;
	}
	for (unsigned i = 0; i < queue->size; i++) {
		if (region->desc[i].inflight) {
			heads[count++] = (uint16_t)i;
			queue->counter = MAX(queue->counter, region->desc[i].counter + 1);
		}
	}
	qsort_r(heads, count, sizeof(*heads), by_counter, queue);
	return count;
}
