/* SPDX-License-Identifier: MIT */
/* Resources: their ids, what they cost the host, and the guest memory behind them. Worker thread. */
#ifndef GPU_RESOURCE_H
#define GPU_RESOURCE_H

#include "gpu/state.h"
#include "gpu/uuid.h"

struct gpu_resource {
	struct gpu_resource_desc desc;
	uint64_t bytes; /* charged for the image */

	struct {
		struct iovec *iov; /* NULL: no backing */
		struct gpu_mapping *mappings; /* one for each of iov */
		unsigned count;
		uint64_t size; /* bytes in all */
		uint64_t bytes; /* charged for the tables */
		bool written; /* the device has changed some of it */
	} backing;

	bool has_uuid;
	uint8_t uuid[UUID_SIZE];

	unsigned frames; /* in flight that show its image directly */
	bool orphaned; /* the renderer's part is gone already */
};

/* NULL if there is none. */
struct gpu_resource *gpu_resource_find(struct gpu *gpu, uint32_t id);

/* Returns 0 or the virtio error. */
uint32_t gpu_resource_create(struct gpu *gpu, const struct gpu_resource_desc *desc);

/* Takes it off heads and contexts, gives its backing back and frees it, once the display shows it no longer. */
void gpu_resource_destroy(struct gpu *gpu, struct gpu_resource *resource);

/* A frame no longer shows its image. */
void gpu_resource_put_frame(struct gpu *gpu, struct gpu_resource *resource);

/*
 * Maps the guest memory that entries describe; it has none yet. Entries of length 0 are skipped. Returns 0 or the
 * virtio error.
 */
uint32_t gpu_resource_attach_backing(struct gpu *gpu, struct gpu_resource *resource,
		const struct virtio_gpu_mem_entry *entries, unsigned count);
void gpu_resource_detach_backing(struct gpu *gpu, struct gpu_resource *resource); /* it has one */
bool gpu_resource_has_backing(const struct gpu_resource *resource);

/* Tells the client that the device wrote [offset, offset + len) of the backing; what lies outside is cut off. */
void gpu_resource_backing_written(
		struct gpu *gpu, struct gpu_resource *resource, uint64_t offset, uint64_t len);

/* Whether it is a plain image of four bytes a pixel, which 2D transfers, scanouts and cursors can use. */
bool gpu_resource_is_image(const struct gpu_resource *resource);

/* All resources are gone, with the renderer: frees them and gives their backing back. */
void gpu_resources_clear(struct gpu *gpu);

#endif
