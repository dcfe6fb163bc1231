/* SPDX-License-Identifier: MIT */
#include "gpu/backends/virgl_format.h"

#include "core/virtio/virgl.h"

#define ROW_ALIGNMENT 64 /* bytes; what llvmpipe pads rows to */
#define ROW_COUNT_ALIGNMENT 4 /* its rasteriser's blocks */
#define RESOURCE_OVERHEAD 4096 /* bytes: the renderer's and the driver's own bookkeeping */
#define MAX_BUFFER_BYTES INT32_MAX
#define MAX_LEVELS 15 /* of an edge of VIRGL_MAX_EDGE */
#define MAX_SAMPLES 32
#define MAX_LAYERS 2048

/*
 * Bytes of a pixel, or of a 4x4 block for the compressed ones; three channels as four; 0: no such
 * format.
 */
static const uint8_t block_bytes[VIRGL_FORMAT_COUNT] = {
		0, 4, 4, 4, 4, 2, 2, 2, 4, 1, 1, 1, 2, 2, 4, 4, /* 0 */
		4, 4, 4, 4, 4, 4, 4, 1, 8, 16, 32, 32, 4, 8, 16, 16, /* 16 */
		4, 8, 16, 16, 4, 8, 16, 16, 4, 8, 16, 16, 4, 8, 16, 16, /* 32 */
		2, 4, 8, 8, 2, 4, 8, 8, 2, 4, 8, 8, 2, 4, 8, 8, /* 48 */
		1, 2, 4, 4, 4, 1, 2, 4, 4, 0, 1, 2, 4, 4, 0, 0, /* 64 */
		0, 0, 1, 2, 4, 4, 0, 4, 8, 16, 16, 2, 4, 8, 8, 1, /* 80 */
		2, 4, 4, 4, 4, 4, 4, 4, 4, 8, 8, 16, 16, 8, 8, 16, /* 96 */
		16, 8, 8, 16, 16, 4, 4, 4, 2, 4, 2, 4, 4, 4, 8, 1, /* 112 */
		4, 4, 1, 4, 4, 2, 4, 2, 4, 4, 8, 1, 4, 2, 2, 8, /* 128 */
		8, 16, 16, 1, 1, 2, 1, 2, 2, 4, 2, 2, 2, 4, 2, 4, /* 144 */
		4, 8, 4, 2, 2, 2, 2, 2, 1, 1, 2, 2, 4, 4, 4, 4, /* 160 */
		4, 1, 2, 4, 4, 1, 2, 4, 4, 2, 4, 8, 8, 2, 4, 8, /* 176 */
		8, 4, 8, 16, 16, 4, 8, 16, 16, 1, 1, 1, 2, 1, 1, 1, /* 192 */
		2, 2, 2, 2, 4, 2, 2, 2, 4, 4, 4, 4, 8, 4, 4, 4, /* 208 */
		8, 4, 4, 4, 4, 4, 4, 4, 4, 4, 8, 8, 8, 8, 8, 16, /* 224 */
		16, 16, 2, 4, 4, 4, 8, 2, 2, 4, 4, 8, 8, 4, 2, 16, /* 240 */
		16, 16, 16, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, /* 256 */
		4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, /* 272 */
		4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, /* 288 */
		4, 4, 4, 0, 4, 0, 0, 2, 1, 2, 4, 4, 4, 4, 1, 2, /* 304 */
		2, 2, /* 320 */
};

/* DXT, RGTC, LATC and BPTC stay compressed; ETC and ASTC are expanded by drivers without them. */
static bool is_block_compressed(uint32_t format)
{
	return (format >= 105 && format <= 116) || (format >= 143 && format <= 146) ||
	       (format >= 255 && format <= 258);
}

static uint64_t align_up(uint64_t n, uint64_t alignment)
{
	return (n + alignment - 1) / alignment * alignment;
}

void virgl_stream_resource(
		const struct gpu_resource_desc *desc, struct stream_resource *ret_resource)
{
	*ret_resource = (struct stream_resource){
			.target = desc->target,
			.bind = desc->bind,
			.width = desc->width,
			.height = desc->height,
			.depth = desc->depth,
			.array_size = desc->array_size,
			.last_level = desc->last_level,
	};
}

static bool texture_exists(const struct gpu_resource_desc *desc)
{
	return desc->width >= 1 && desc->width <= VIRGL_MAX_EDGE &&
	       desc->height <= VIRGL_MAX_EDGE && desc->depth <= VIRGL_MAX_EDGE &&
	       desc->array_size <= MAX_LAYERS && desc->last_level < MAX_LEVELS &&
	       desc->nr_samples <= MAX_SAMPLES;
}

bool virgl_resource_bytes(const struct gpu_resource_desc *desc, uint64_t *ret_bytes)
{
	uint64_t total = RESOURCE_OVERHEAD;

	if (desc->target >= VIRGL_TARGET_COUNT || desc->format >= VIRGL_FORMAT_COUNT ||
			block_bytes[desc->format] == 0) {
		return false;
	}
	if (desc->target == VIRGL_TARGET_BUFFER) {
		if (desc->width > MAX_BUFFER_BYTES) {
			return false;
		}
		*ret_bytes = total + desc->width;
		return true;
	}
	if (!texture_exists(desc)) {
		return false;
	}

	/* The bounds above keep the sum far below 64 bits: depth and layers never meet. */
	struct stream_resource resource;
	virgl_stream_resource(desc, &resource);
	unsigned block = is_block_compressed(desc->format) ? 4 : 1;
	unsigned samples = desc->nr_samples > 1 ? desc->nr_samples : 1;
	for (uint32_t level = 0; level <= desc->last_level; level++) {
		struct virtio_gpu_box box;
		stream_level_size(&resource, level, &box);
		uint64_t row = (uint64_t)((box.width + block - 1) / block) *
			       block_bytes[desc->format];
		uint64_t rows = (box.height + block - 1) / block;
		total += align_up(row, ROW_ALIGNMENT) * align_up(rows, ROW_COUNT_ALIGNMENT) *
			 box.depth * samples;
	}
	*ret_bytes = total;
	return true;
}

bool virgl_pixel_format(uint32_t format, enum pixel_format *ret_format)
{
	static const struct {
		uint32_t format;
		enum pixel_format pixel;
	} formats[] = {
			{VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, PIXEL_BGRA},
			{VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, PIXEL_BGRX},
			{VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, PIXEL_ARGB},
			{VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, PIXEL_XRGB},
			{VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, PIXEL_RGBA},
			{VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, PIXEL_XBGR},
			{VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, PIXEL_ABGR},
			{VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, PIXEL_RGBX},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		if (formats[i].format == format) {
			*ret_format = formats[i].pixel;
			return true;
		}
	}
	return false;
}
