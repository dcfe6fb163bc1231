/* SPDX-License-Identifier: MIT */
#include "gpu/stream/resource.h"

#include "core/base/checked.h"
#include "core/virtio/virgl.h"

#define CUBE_FACES 6

static uint32_t level_edge(uint32_t edge, uint32_t level)
{
	uint32_t small = level < 32 ? edge >> level : 0;

	return small > 0 ? small : 1;
}

void stream_level_size(const struct stream_resource *resource, uint32_t level,
		struct virtio_gpu_box *ret_box)
{
	struct virtio_gpu_box box = {
			.width = level_edge(resource->width, level),
			.height = level_edge(resource->height, level),
			.depth = 1,
	};

	switch (resource->target) {
	case VIRGL_TARGET_BUFFER:
		box.width = resource->width;
		box.height = 1;
		break;
	case VIRGL_TARGET_1D:
		box.height = 1;
		break;
	case VIRGL_TARGET_3D:
		box.depth = level_edge(resource->depth, level);
		break;
	case VIRGL_TARGET_CUBE:
		box.depth = CUBE_FACES;
		break;
	case VIRGL_TARGET_1D_ARRAY:
		box.height = 1;
		box.depth = resource->array_size;
		break;
	case VIRGL_TARGET_2D_ARRAY:
	case VIRGL_TARGET_CUBE_ARRAY:
		box.depth = resource->array_size;
		break;
	default: /* 2D and RECT */
		break;
	}
	*ret_box = box;
}

bool stream_box_within(const struct stream_resource *resource, uint32_t level,
		const struct virtio_gpu_box *box)
{
	struct virtio_gpu_box outer;

	if (level > resource->last_level) {
		return false;
	}
	stream_level_size(resource, level, &outer);
	return range_within(box->x, box->width, outer.width) &&
	       range_within(box->y, box->height, outer.height) &&
	       range_within(box->z, box->depth, outer.depth);
}

bool stream_resource_is_buffer(const struct stream_resource *resource)
{
	return resource->target == VIRGL_TARGET_BUFFER && resource->bind != VIRGL_BIND_CUSTOM &&
	       resource->bind != VIRGL_BIND_STAGING;
}
