/* SPDX-License-Identifier: MIT */
/*
 * EDID blocks of a monitor that has exactly one mode (VESA E-EDID 1.4). A mode that a detailed timing descriptor
 * cannot express (over 4095 pixels or 655.35 MHz) goes into a DisplayID 1.2 extension block.
 */
#ifndef GPU_EDID_H
#define GPU_EDID_H

#include "core/base/base.h"

#define EDID_BLOCK_SIZE 128
#define EDID_MAX_SIZE (2 * EDID_BLOCK_SIZE)
#define EDID_REFRESH_HZ 60u

/* Sizes of a mode outside 1..this are brought inside. */
#define EDID_MAX_PIXELS 16384u

/* Describes monitor number head, which prefers width x height at 60 Hz. Returns the bytes used, whole blocks. */
size_t edid_build(unsigned head, uint32_t width, uint32_t height, uint8_t ret_edid[EDID_MAX_SIZE]);

#endif
