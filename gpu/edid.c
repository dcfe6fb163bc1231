/* SPDX-License-Identifier: MIT */
#include "gpu/edid.h"

#include "core/base/bytes.h"

#include <stdio.h>

enum {
	BASE_VENDOR = 8,
	BASE_PRODUCT = 10,
	BASE_SERIAL = 12,
	BASE_YEAR = 17,
	BASE_VERSION = 18,
	BASE_INPUT = 20,
	BASE_WIDTH_CM = 21,
	BASE_HEIGHT_CM = 22,
	BASE_GAMMA = 23,
	BASE_FEATURES = 24,
	BASE_CHROMATICITY = 25,
	BASE_STANDARD_TIMINGS = 38,
	BASE_DESCRIPTORS = 54,
	BASE_EXTENSIONS = 126,
	BASE_CHECKSUM = 127,
};

#define STANDARD_TIMING_BYTES 16
#define DESCRIPTOR_SIZE 18
#define DESCRIPTOR_COUNT 4
#define DESCRIPTOR_NAME 0xfc
#define DESCRIPTOR_SERIAL 0xff
#define DESCRIPTOR_DUMMY 0x10
#define DESCRIPTOR_TEXT 13

#define DETAILED_MAX_PIXELS 4095u /* 12 bits */
#define DETAILED_MAX_CLOCK 65535u /* 16 bits of 10 kHz */
#define DETAILED_DIGITAL_SEPARATE 0x18u
#define DETAILED_HSYNC_POSITIVE 0x02u

#define DISPLAYID_TAG 0x70
#define DISPLAYID_VERSION 0x12
#define DISPLAYID_TYPE1_TAG 0x03
#define DISPLAYID_TYPE1_SIZE 20
#define DISPLAYID_PREFERRED 0x80
#define DISPLAYID_HSYNC_POSITIVE 0x8000

/* CVT 1.2 with reduced blanking, version 1. */
#define CVT_RB_HFRONT 48u
#define CVT_RB_HSYNC 32u
#define CVT_RB_HBLANK 160u
#define CVT_RB_VFRONT 3u
#define CVT_RB_MIN_VBACK 6u
#define CVT_RB_VBLANK_US 460u
#define CVT_CLOCK_STEP 25u /* 0.25 MHz in 10 kHz */

/* Pixels and lines of one mode. */
struct timing {
	uint32_t clock; /* 10 kHz */
	uint32_t hactive, hblank, hfront, hsync;
	uint32_t vactive, vblank, vfront, vsync;
};

/* CVT tells the aspect ratio by the width of the vertical sync. */
static uint32_t cvt_vsync(uint32_t width, uint32_t height)
{
	if (width * 3 == height * 4) {
		return 4;
	}
	if (width * 9 == height * 16) {
		return 5;
	}
	if (width * 10 == height * 16) {
		return 6;
	}
	if (width * 4 == height * 5 || width * 9 == height * 15) {
		return 7;
	}
	return 10;
}

static void timing_compute(struct timing *t, uint32_t width, uint32_t height)
{
	const uint32_t frame_us = 1000000 / EDID_REFRESH_HZ;

	t->hactive = width;
	t->hblank = CVT_RB_HBLANK;
	t->hfront = CVT_RB_HFRONT;
	t->hsync = CVT_RB_HSYNC;
	t->vactive = height;
	t->vfront = CVT_RB_VFRONT;
	t->vsync = cvt_vsync(width, height);
	/* Lines that last at least 460 us; a line lasts (frame - 460 us) / height. */
	t->vblank = CVT_RB_VBLANK_US * height / (frame_us - CVT_RB_VBLANK_US) + 1;
	t->vblank = MAX(t->vblank, t->vfront + t->vsync + CVT_RB_MIN_VBACK);
	uint64_t hz = (uint64_t)(width + t->hblank) * (height + t->vblank) * EDID_REFRESH_HZ;
	t->clock = (uint32_t)(hz / 10000 / CVT_CLOCK_STEP) * CVT_CLOCK_STEP;
	t->clock = MAX(t->clock, CVT_CLOCK_STEP); /* tiny modes run faster */
}

static bool timing_fits_descriptor(const struct timing *t)
{
	return t->hactive <= DETAILED_MAX_PIXELS && t->vactive <= DETAILED_MAX_PIXELS &&
	       t->clock <= DETAILED_MAX_CLOCK;
}

/* Millimetres at 100 dots an inch. */
static uint32_t millimetres(uint32_t pixels)
{
	return MIN(pixels * 254 / 1000, DETAILED_MAX_PIXELS);
}

static uint8_t high_nibbles(uint32_t a, uint32_t b)
{
	return (uint8_t)(((a >> 8) & 0xf) << 4 | ((b >> 8) & 0xf));
}

static void descriptor_put_timing(uint8_t *d, const struct timing *t)
{
	uint32_t width_mm = millimetres(t->hactive), height_mm = millimetres(t->vactive);

	le16_store(d, (uint16_t)t->clock);
	d[2] = (uint8_t)t->hactive;
	d[3] = (uint8_t)t->hblank;
	d[4] = high_nibbles(t->hactive, t->hblank);
	d[5] = (uint8_t)t->vactive;
	d[6] = (uint8_t)t->vblank;
	d[7] = high_nibbles(t->vactive, t->vblank);
	d[8] = (uint8_t)t->hfront;
	d[9] = (uint8_t)t->hsync;
	d[10] = (uint8_t)((t->vfront & 0xf) << 4 | (t->vsync & 0xf));
	d[11] = 0; /* high bits of the four above: all small */
	d[12] = (uint8_t)width_mm;
	d[13] = (uint8_t)height_mm;
	d[14] = high_nibbles(width_mm, height_mm);
	d[17] = DETAILED_DIGITAL_SEPARATE | DETAILED_HSYNC_POSITIVE;
}

/* Text ends with a line feed and is padded with blanks, unless it fills its field. */
static void descriptor_put_text(uint8_t *d, uint8_t tag, const char *text)
{
	size_t len = strlen(text);

	memset(d, 0, DESCRIPTOR_SIZE);
	d[3] = tag;
	for (size_t i = 0; i < DESCRIPTOR_TEXT; i++) {
		d[5 + i] = (uint8_t)(i < len ? text[i] : i == len ? '\n' : ' ');
	}
}

static void put_checksum(uint8_t *block, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len - 1; i++) {
		sum = (uint8_t)(sum + block[i]);
	}
	block[len - 1] = (uint8_t)-sum;
}

static void put_identity(uint8_t *b, unsigned head)
{
	static const uint8_t magic[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
	/* "ORL" in three five-bit letters, big endian. */
	const uint16_t vendor = ('O' - '@') << 10 | ('R' - '@') << 5 | ('L' - '@');

	memcpy(b, magic, sizeof(magic));
	b[BASE_VENDOR] = vendor >> 8;
	b[BASE_VENDOR + 1] = vendor & 0xff;
	le16_store(b + BASE_PRODUCT, 1);
	le32_store(b + BASE_SERIAL, head + 1);
	b[BASE_YEAR] = 2024 - 1990;
	b[BASE_VERSION] = 1;
	b[BASE_VERSION + 1] = 4;
}

static void put_properties(uint8_t *b, const struct timing *t)
{
	/* sRGB's primaries and white point as ten-bit fractions. */
	static const uint8_t srgb[10] = {
			0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};

	b[BASE_INPUT] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
	b[BASE_WIDTH_CM] = (uint8_t)MIN(MAX(millimetres(t->hactive) / 10, 1), 255);
	b[BASE_HEIGHT_CM] = (uint8_t)MIN(MAX(millimetres(t->vactive) / 10, 1), 255);
	b[BASE_GAMMA] = 220 - 100;
	/* sRGB; the first timing is native. Not continuous: guests must not infer further modes. */
	b[BASE_FEATURES] = 0x06;
	memcpy(b + BASE_CHROMATICITY, srgb, sizeof(srgb));
	memset(b + BASE_STANDARD_TIMINGS, 0x01, STANDARD_TIMING_BYTES); /* unused */
}

static void put_descriptors(uint8_t *b, unsigned head, const struct timing *t)
{
	uint8_t *d = b + BASE_DESCRIPTORS;
	uint8_t *end = d + DESCRIPTOR_COUNT * DESCRIPTOR_SIZE;
	char serial[DESCRIPTOR_TEXT + 1];

	if (timing_fits_descriptor(t)) {
		descriptor_put_timing(d, t);
		d += DESCRIPTOR_SIZE;
	}
	descriptor_put_text(d, DESCRIPTOR_NAME, "Oriel");
	d += DESCRIPTOR_SIZE;
	(void)snprintf(serial, sizeof(serial), "head %u", head % 100);
	descriptor_put_text(d, DESCRIPTOR_SERIAL, serial);
	d += DESCRIPTOR_SIZE;
	for (; d < end; d += DESCRIPTOR_SIZE) {
		memset(d, 0, DESCRIPTOR_SIZE);
		d[3] = DESCRIPTOR_DUMMY;
	}
}

/* DisplayID 1.2, 4.4.1: type I detailed timing; every field is one less than its value. */
static void put_displayid(uint8_t *block, const struct timing *t)
{
	uint8_t *section = block + 1, *data = section + 4, *d = data + 3;
	uint32_t clock = t->clock - 1;

	block[0] = DISPLAYID_TAG;
	section[0] = DISPLAYID_VERSION;
	section[1] = 3 + DISPLAYID_TYPE1_SIZE;
	section[2] = 0x03; /* a monitor */
	data[0] = DISPLAYID_TYPE1_TAG;
	data[1] = 0;
	data[2] = DISPLAYID_TYPE1_SIZE;

	d[0] = (uint8_t)clock;
	d[1] = (uint8_t)(clock >> 8);
	d[2] = (uint8_t)(clock >> 16);
	d[3] = DISPLAYID_PREFERRED;
	le16_store(d + 4, (uint16_t)(t->hactive - 1));
	le16_store(d + 6, (uint16_t)(t->hblank - 1));
	le16_store(d + 8, (uint16_t)((t->hfront - 1) | DISPLAYID_HSYNC_POSITIVE));
	le16_store(d + 10, (uint16_t)(t->hsync - 1));
	le16_store(d + 12, (uint16_t)(t->vactive - 1));
	le16_store(d + 14, (uint16_t)(t->vblank - 1));
	le16_store(d + 16, (uint16_t)(t->vfront - 1));
	le16_store(d + 18, (uint16_t)(t->vsync - 1));

	put_checksum(section, 4 + 3 + DISPLAYID_TYPE1_SIZE + 1);
	put_checksum(block, EDID_BLOCK_SIZE);
}

size_t edid_build(unsigned head, uint32_t width, uint32_t height, uint8_t ret_edid[EDID_MAX_SIZE])
{
	struct timing timing;
	size_t size = EDID_BLOCK_SIZE;

	timing_compute(&timing, CLAMP(width, 1, EDID_MAX_PIXELS),
			CLAMP(height, 1, EDID_MAX_PIXELS));
	memset(ret_edid, 0, EDID_MAX_SIZE);
	put_identity(ret_edid, head);
	put_properties(ret_edid, &timing);
	put_descriptors(ret_edid, head, &timing);
	if (!timing_fits_descriptor(&timing)) {
		ret_edid[BASE_EXTENSIONS] = 1;
		put_displayid(ret_edid + EDID_BLOCK_SIZE, &timing);
		size += EDID_BLOCK_SIZE;
	}
	put_checksum(ret_edid, EDID_BLOCK_SIZE);
	return size;
}
