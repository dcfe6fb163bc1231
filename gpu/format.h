/* SPDX-License-Identifier: MIT */
/*
 * The eight pixel formats of 2D resources, each four bytes a pixel, and the one place where an image's size is computed from a
 * guest's numbers.
 */
#ifndef GPU_FORMAT_H
#define GPU_FORMAT_H

#include "core/base/base.h"
#include "core/virtio/virtio_gpu.h"
#include "display/display.h"

#define GPU_BYTES_PER_PIXEL 4u

/* Pixels each way beyond which no image is made: what renderers and file formats take. */
#define GPU_MAX_IMAGE_SIZE 16384u

/* The memory order of format (enum virtio_gpu_format). False if it is not one of the eight. */
bool gpu_format_to_pixel(uint32_t format, enum pixel_format *ret_pixel);

/* Bytes of a tight width x height image. False for an empty one, or one larger than GPU_MAX_IMAGE_SIZE. */
bool pixel_image_size(uint32_t width, uint32_t height, uint64_t *ret_bytes);

/*
 * Converts width x height pixels to BGRA with straight alpha, as cursors are; formats without alpha become opaque. Both
 * strides are bytes, multiples of 4.
 */
void pixel_convert_to_bgra(enum pixel_format format, uint32_t width, uint32_t height,
		const void *src, uint32_t src_stride, void *dst, uint32_t dst_stride);

/* Blends cursor (straight alpha) over a BGRA image so that its hotspot is at x, y. */
void pixel_blend_cursor(void *bgra, uint32_t width, uint32_t height, uint32_t stride,
		const struct display_cursor *cursor, int32_t x, int32_t y);

#endif
