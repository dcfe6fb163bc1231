/* SPDX-License-Identifier: MIT */
/* Where the channels stand in the four bytes of a pixel, and conversion of rows. */
#ifndef DISPLAY_PIXEL_H
#define DISPLAY_PIXEL_H

#include "display/display.h"

struct pixel_layout {
	uint8_t r, g, b; /* byte of the pixel, lowest address first */
};

extern const struct pixel_layout pixel_layouts[PIXEL_FORMAT_COUNT];

/*
 * Converts count pixels to BGRX, what most window systems have. The X byte is whatever it was, or
 * 0.
 */
void pixel_row_to_bgrx(uint32_t *to, const void *from, uint32_t count, enum pixel_format format);

/* Converts count pixels to three bytes each: red, green, blue. */
void pixel_row_to_rgb(uint8_t *to, const void *from, uint32_t count, enum pixel_format format);

#endif
