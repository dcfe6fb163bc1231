/* SPDX-License-Identifier: MIT */
#include "display/pixel.h"

#include <string.h>

const struct pixel_layout pixel_layouts[PIXEL_FORMAT_COUNT] = {
		[PIXEL_BGRA] = {2, 1, 0},
		[PIXEL_BGRX] = {2, 1, 0},
		[PIXEL_ARGB] = {1, 2, 3},
		[PIXEL_XRGB] = {1, 2, 3},
		[PIXEL_RGBA] = {0, 1, 2},
		[PIXEL_XBGR] = {3, 2, 1},
		[PIXEL_ABGR] = {3, 2, 1},
		[PIXEL_RGBX] = {0, 1, 2},
};

void pixel_row_to_bgrx(uint32_t *to, const void *from, uint32_t count, enum pixel_format format)
{
	const struct pixel_layout layout = pixel_layouts[format];
	const uint8_t *bytes = from;

	if (format == PIXEL_BGRA || format == PIXEL_BGRX) {
		memcpy(to, from, (size_t)count * 4);
		return;
	}
	for (uint32_t i = 0; i < count; i++, bytes += 4) {
		to[i] = (uint32_t)bytes[layout.r] << 16 | (uint32_t)bytes[layout.g] << 8 |
			bytes[layout.b];
	}
}

void pixel_row_to_rgb(uint8_t *to, const void *from, uint32_t count, enum pixel_format format)
{
	const struct pixel_layout layout = pixel_layouts[format];
	const uint8_t *bytes = from;

	for (uint32_t i = 0; i < count; i++, to += 3, bytes += 4) {
		to[0] = bytes[layout.r];
		to[1] = bytes[layout.g];
		to[2] = bytes[layout.b];
	}
}
