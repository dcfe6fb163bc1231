/* SPDX-License-Identifier: MIT */
/* What a checker knows of a resource: how large it is and what it is for. */
#ifndef GPU_STREAM_RESOURCE_H
#define GPU_STREAM_RESOURCE_H

#include "core/base/base.h"
#include "core/virtio/virtio_gpu.h"

struct stream_resource {
	uint32_t target; /* enum virgl_target */
	uint32_t bind; /* enum virgl_bind */
	uint32_t width, height, depth;
	uint32_t array_size, last_level;
};

/* Width, height and depth (layers of arrays, faces of cubes) of one level, in pixels. */
void stream_level_size(const struct stream_resource *resource, uint32_t level,
		struct virtio_gpu_box *ret_box);

/* Whether the resource has that level and the box lies inside it. An empty box inside it does. */
bool stream_box_within(const struct stream_resource *resource, uint32_t level,
		const struct virtio_gpu_box *box);

/* Whether it is a buffer of the GPU's, not only memory that commands copy from and to. */
bool stream_resource_is_buffer(const struct stream_resource *resource);

#endif
