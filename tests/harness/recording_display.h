/* SPDX-License-Identifier: MIT */
/*
 * A display that shows nothing and remembers everything. Frames are released at once, or kept until the
 * test lets them go. Thread-safe.
 */
#ifndef TESTS_HARNESS_RECORDING_DISPLAY_H
#define TESTS_HARNESS_RECORDING_DISPLAY_H

#include "display/display.h"

#include <pthread.h>

#define RECORDING_MAX_HELD 8

struct recorded_head {
	unsigned presented, disabled, cursors_set, moves; /* calls so far */
	bool enabled;

	/* The last frame. */
	enum display_image_kind kind;
	enum pixel_format format;
	uint32_t image_width, image_height, texture;
	struct rect source, damage;
	uint8_t *pixels; /* a tight copy of source; NULL for textures */

	bool cursor_visible;
	struct display_cursor cursor;
	int32_t x, y;

	struct display_frame *held[RECORDING_MAX_HELD]; /* oldest first */
	unsigned held_count;
};

struct recording_display {
	struct display base;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hold; /* guarded by lock: keep frames */
	struct recorded_head heads[DISPLAY_MAX_HEADS]; /* guarded by lock */
};

struct recording_display *recording_display_create(void);

/* Releases what is held. The GPU is gone, or waits for it. */
void recording_display_destroy(struct recording_display *display);

void recording_display_hold(struct recording_display *display, bool hold);

/* Lets the oldest held frame of the head go; there is one. */
void recording_display_release(struct recording_display *display, unsigned head);

/* Waits until the head has been presented count times. */
void recording_display_wait(struct recording_display *display, unsigned head, unsigned count);

/* A copy of what is known of the head; its pixels stay the display's. */
struct recorded_head recording_display_head(struct recording_display *display, unsigned head);

/* The four bytes of a pixel of the last frame, as they lie in memory. */
uint32_t recording_display_pixel(
		struct recording_display *display, unsigned head, uint32_t x, uint32_t y);

#endif
