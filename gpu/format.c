/* SPDX-License-Identifier: MIT */
#include "gpu/format.h"

#include "core/base/checked.h"

#include <pixman.h>

bool gpu_format_to_pixel(uint32_t format, enum pixel_format *ret_pixel)
{
	switch (format) {
	case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
		*ret_pixel = PIXEL_BGRA;
		return true;
	case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
		*ret_pixel = PIXEL_BGRX;
		return true;
	case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
		*ret_pixel = PIXEL_ARGB;
		return true;
	case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
		*ret_pixel = PIXEL_XRGB;
		return true;
	case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
		*ret_pixel = PIXEL_RGBA;
		return true;
	case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
		*ret_pixel = PIXEL_XBGR;
		return true;
	case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
		*ret_pixel = PIXEL_ABGR;
		return true;
	case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
		*ret_pixel = PIXEL_RGBX;
		return true;
	default:
		return false;
	}
}

bool pixel_image_size(uint32_t width, uint32_t height, uint64_t *ret_bytes)
{
	if (width == 0 || height == 0 || width > GPU_MAX_IMAGE_SIZE ||
			height > GPU_MAX_IMAGE_SIZE) {
		return false;
	}
	*ret_bytes = (uint64_t)width * height * GPU_BYTES_PER_PIXEL;
	return true;
}

/* Pixman names formats from the most significant bit of a little-endian word down: the other way round. */
static const pixman_format_code_t pixman_formats[PIXEL_FORMAT_COUNT] = {
		[PIXEL_BGRA] = PIXMAN_a8r8g8b8,
		[PIXEL_BGRX] = PIXMAN_x8r8g8b8,
		[PIXEL_ARGB] = PIXMAN_b8g8r8a8,
		[PIXEL_XRGB] = PIXMAN_b8g8r8x8,
		[PIXEL_RGBA] = PIXMAN_a8b8g8r8,
		[PIXEL_XBGR] = PIXMAN_r8g8b8x8,
		[PIXEL_ABGR] = PIXMAN_r8g8b8a8,
		[PIXEL_RGBX] = PIXMAN_x8b8g8r8,
};

static pixman_image_t *image_wrap(pixman_format_code_t format, uint32_t width, uint32_t height,
		const void *pixels, uint32_t stride)
{
	pixman_image_t *image = pixman_image_create_bits_no_clear(format, (int)width, (int)height,
			(uint32_t *)(uintptr_t)pixels, (int)stride);

	assert(image);
	return image;
}

void pixel_convert_to_bgra(enum pixel_format format, uint32_t width, uint32_t height,
		const void *src, uint32_t src_stride, void *dst, uint32_t dst_stride)
{
	assert(format < PIXEL_FORMAT_COUNT);
	/* SRC never multiplies, so straight alpha stays straight. */
	pixman_image_t *from = image_wrap(pixman_formats[format], width, height, src, src_stride);
	pixman_image_t *to = image_wrap(PIXMAN_a8r8g8b8, width, height, dst, dst_stride);

	pixman_image_composite32(
			PIXMAN_OP_SRC, from, NULL, to, 0, 0, 0, 0, 0, 0, (int)width, (int)height);
	pixman_image_unref(to);
	pixman_image_unref(from);
}

/* Pixman's OVER wants colours multiplied by alpha. */
static uint32_t premultiply(uint32_t pixel)
{
	uint32_t alpha = pixel >> 24;
	uint32_t out = alpha << 24;

	for (unsigned shift = 0; shift < 24; shift += 8) {
		uint32_t channel = (pixel >> shift) & 0xff;
		out |= ((channel * alpha + 127) / 255) << shift;
	}
	return out;
}

void pixel_blend_cursor(void *bgra, uint32_t width, uint32_t height, uint32_t stride,
		const struct display_cursor *cursor, int32_t x, int32_t y)
{
	uint32_t premultiplied[G_N_ELEMENTS(cursor->pixels)];
	int64_t left = (int64_t)x - cursor->hot_x;
	int64_t top = (int64_t)y - cursor->hot_y;

	if (left >= width || top >= height || left + cursor->width <= 0 ||
			top + cursor->height <= 0) {
		return;
	}
	assert(cursor->width * cursor->height <= G_N_ELEMENTS(premultiplied));
	for (uint32_t i = 0; i < cursor->width * cursor->height; i++) {
		premultiplied[i] = premultiply(cursor->pixels[i]);
	}
	pixman_image_t *from = image_wrap(PIXMAN_a8r8g8b8, cursor->width, cursor->height,
			premultiplied, cursor->width * GPU_BYTES_PER_PIXEL);
	pixman_image_t *to = image_wrap(PIXMAN_x8r8g8b8, width, height, bgra, stride);

	pixman_image_composite32(PIXMAN_OP_OVER, from, NULL, to, 0, 0, 0, 0, (int)left, (int)top,
			(int)cursor->width, (int)cursor->height);
	pixman_image_unref(to);
	pixman_image_unref(from);
}
