/* SPDX-License-Identifier: MIT */
#include "tests/harness/recording_display.h"

#include "core/base/bytes.h"

static struct recording_display *recording_from(struct display *display)
{
	return container_of(display, struct recording_display, base);
}

/* Reads the pixels here, on whatever thread: the frame is the display's until released. */
static void record_frame(struct recorded_head *head, const struct display_frame *frame)
{
	uint32_t width = frame->source.width, height = frame->source.height;

	head->kind = frame->kind;
	head->format = frame->format;
	head->image_width = frame->image_width;
	head->image_height = frame->image_height;
	head->source = frame->source;
	head->texture = frame->texture;
	g_clear_pointer(&head->pixels, g_free);
	if (frame->kind != DISPLAY_IMAGE_PIXELS) {
		return;
	}
	head->pixels = g_malloc((size_t)width * height * 4);
	for (uint32_t y = 0; y < height; y++) {
		memcpy(head->pixels + (size_t)y * width * 4,
				(const uint8_t *)frame->pixels +
						(size_t)(frame->source.y + y) * frame->stride +
						(size_t)frame->source.x * 4,
				(size_t)width * 4);
	}
}

static void recording_present(struct display *display, unsigned number, struct display_frame *frame,
		const struct rect *damage)
{
	struct recording_display *r = recording_from(display);
	struct recorded_head *head = &r->heads[number];

	pthread_mutex_lock(&r->lock);
	bool hold = r->hold;
	record_frame(head, frame);
	head->damage = damage ? *damage : (struct rect){0, 0, UINT32_MAX, UINT32_MAX};
	head->presented++;
	head->enabled = true;
	if (hold) {
		assert(head->held_count < RECORDING_MAX_HELD);
		head->held[head->held_count++] = frame;
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	if (!hold) {
		frame->released(frame);
	}
}

/* Takes the oldest held frame, NULL if none is. */
static struct display_frame *take_held_locked(struct recorded_head *head)
{
	struct display_frame *frame = head->held[0];

	if (head->held_count == 0) {
		return NULL;
	}
	head->held_count--;
	memmove(head->held, head->held + 1, head->held_count * sizeof(head->held[0]));
	return frame;
}

static void release_all(struct recording_display *r, unsigned number)
{
	struct display_frame *frame;

	do {
		pthread_mutex_lock(&r->lock);
		frame = take_held_locked(&r->heads[number]);
		pthread_mutex_unlock(&r->lock);
		if (frame) {
			frame->released(frame);
		}
	} while (frame);
}

static void recording_disable(struct display *display, unsigned number)
{
	struct recording_display *r = recording_from(display);

	pthread_mutex_lock(&r->lock);
	r->heads[number].disabled++;
	r->heads[number].enabled = false;
	pthread_mutex_unlock(&r->lock);
	release_all(r, number);
}

static void recording_set_cursor(
		struct display *display, unsigned number, const struct display_cursor *cursor)
{
	struct recording_display *r = recording_from(display);
	struct recorded_head *head = &r->heads[number];

	pthread_mutex_lock(&r->lock);
	head->cursors_set++;
	head->cursor_visible = cursor != NULL;
	if (cursor) {
		head->cursor = *cursor;
	}
	pthread_mutex_unlock(&r->lock);
}

static void recording_move_cursor(struct display *display, unsigned number, int32_t x, int32_t y)
{
	struct recording_display *r = recording_from(display);

	pthread_mutex_lock(&r->lock);
	r->heads[number].moves++;
	r->heads[number].x = x;
	r->heads[number].y = y;
	pthread_mutex_unlock(&r->lock);
}

static void recording_destroy(struct display *display)
{
	recording_display_destroy(recording_from(display));
}

static const struct display_impl recording_impl = {
		.name = "recording",
		.accepts = DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE,
		.present = recording_present,
		.disable = recording_disable,
		.set_cursor = recording_set_cursor,
		.move_cursor = recording_move_cursor,
		.destroy = recording_destroy,
};

struct recording_display *recording_display_create(void)
{
	struct recording_display *r = g_new0(struct recording_display, 1);

	r->base.impl = &recording_impl;
	r->base.accepts = DISPLAY_IMAGE_PIXELS;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	return r;
}

void recording_display_destroy(struct recording_display *r)
{
	for (unsigned i = 0; i < DISPLAY_MAX_HEADS; i++) {
		release_all(r, i);
		g_free(r->heads[i].pixels);
	}
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->changed);
	g_free(r);
}

void recording_display_hold(struct recording_display *r, bool hold)
{
	pthread_mutex_lock(&r->lock);
	r->hold = hold;
	pthread_mutex_unlock(&r->lock);
}

void recording_display_release(struct recording_display *r, unsigned head)
{
	pthread_mutex_lock(&r->lock);
	struct display_frame *frame = take_held_locked(&r->heads[head]);
	pthread_mutex_unlock(&r->lock);
	assert(frame);
	frame->released(frame);
}

void recording_display_wait(struct recording_display *r, unsigned head, unsigned count)
{
	pthread_mutex_lock(&r->lock);
	while (r->heads[head].presented < count) {
		pthread_cond_wait(&r->changed, &r->lock);
	}
	pthread_mutex_unlock(&r->lock);
}

struct recorded_head recording_display_head(struct recording_display *r, unsigned head)
{
	pthread_mutex_lock(&r->lock);
	struct recorded_head copy = r->heads[head];
	pthread_mutex_unlock(&r->lock);
	return copy;
}

uint32_t recording_display_pixel(struct recording_display *r, unsigned head, uint32_t x, uint32_t y)
{
	pthread_mutex_lock(&r->lock);
	const struct recorded_head *h = &r->heads[head];
	assert(h->pixels && x < h->source.width && y < h->source.height);
	uint32_t pixel = le32_load(h->pixels + ((size_t)y * h->source.width + x) * 4);
	pthread_mutex_unlock(&r->lock);
	return pixel;
}
