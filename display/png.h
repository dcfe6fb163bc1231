/* SPDX-License-Identifier: MIT */
/* PNG files of what a head shows. */
#ifndef DISPLAY_PNG_H
#define DISPLAY_PNG_H

#include "display/display.h"

/*
 * Writes width x height pixels (rows top down, stride bytes apart) to fd as an 8-bit RGB PNG. Alpha
 * is dropped.
 */
bool png_write(int fd, enum pixel_format format, uint32_t width, uint32_t height,
		const void *pixels, uint32_t stride, GError **error);

#endif
