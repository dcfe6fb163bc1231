/* SPDX-License-Identifier: MIT */
#include "gpu/scanout.h"

#include "core/base/fd.h"
#include "gpu/command.h"
#include "gpu/fence.h"
#include "gpu/format.h"
#include "gpu/resource.h"

static unsigned head_index(const struct gpu *gpu, const struct gpu_head *head)
{
	return (unsigned)(head - gpu->heads);
}

static struct rect head_whole(const struct gpu_head *head)
{
	return (struct rect){0, 0, head->source.width, head->source.height};
}

/* The smallest rectangle around both. */
static void rect_add(struct rect *r, const struct rect *add)
{
	if (rect_empty(add)) {
		return;
	}
	if (rect_empty(r)) {
		*r = *add;
		return;
	}
	uint32_t right = MAX(r->x + r->width, add->x + add->width);
	uint32_t bottom = MAX(r->y + r->height, add->y + add->height);

	r->x = MIN(r->x, add->x);
	r->y = MIN(r->y, add->y);
	r->width = right - r->x;
	r->height = bottom - r->y;
}

/* The common part of two rectangles inside one image; empty if there is none. */
static struct rect rect_intersect(const struct rect *a, const struct rect *b)
{
	uint32_t left = MAX(a->x, b->x), top = MAX(a->y, b->y);
	uint32_t right = MIN(a->x + a->width, b->x + b->width);
	uint32_t bottom = MIN(a->y + a->height, b->y + b->height);

	if (left >= right || top >= bottom) {
		return (struct rect){0};
	}
	return (struct rect){left, top, right - left, bottom - top};
}

/* Whether a flush still waits for some head. */
static bool flush_done(const struct gpu *gpu, const struct gpu_command *command)
{
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		if ((command->flush_heads & BIT(i)) != 0 &&
				gpu->heads[i].released_serial < command->flush_serial) {
			return false;
		}
	}
	return true;
}

/* Answers flushes until one must go on waiting. Later ones wait for later frames. */
static void finish_flushes(struct gpu *gpu)
{
	for (GList *link = gpu->flushes.head, *next; link; link = next) {
		struct gpu_command *command = link->data;

		next = link->next;
		if (flush_done(gpu, command)) {
			g_queue_delete_link(&gpu->flushes, link);
			gpu_fence_flush_done(gpu, command);
			/* That may have answered others as well. */
			next = gpu->flushes.head;
		}
	}
}

/* The display holds none of the flushes so far: they were shown, overtaken or cannot be. */
static void head_settle(struct gpu_head *head)
{
	head->damage = (struct rect){0};
	head->released_serial = MAX(head->released_serial, head->damage_serial);
}

static void frame_drop_pixels(struct gpu *gpu, struct gpu_frame *frame)
{
	g_clear_pointer(&frame->pixels, g_free);
	gpu_uncharge(gpu, frame->pixels_size);
	frame->pixels_size = 0;
	frame->width = frame->height = 0;
}

static void head_drop_pixels(struct gpu *gpu, struct gpu_head *head)
{
	for (unsigned i = 0; i < GPU_FRAMES_PER_HEAD; i++) {
		if (!head->frames[i].in_flight) {
			frame_drop_pixels(gpu, &head->frames[i]);
		}
	}
}

static void head_drop_kept(struct gpu *gpu, struct gpu_head *head)
{
	g_free(head->kept.pixels);
	gpu_uncharge(gpu, head->kept.size);
	head->kept = (struct gpu_kept){0};
}

/* Best effort: where memory or the renderer fails, there is no last picture. */
static void head_keep(struct gpu *gpu, struct gpu_head *head)
{
	struct gpu_kept *kept = &head->kept;
	uint32_t width = head->source.width, height = head->source.height;
	uint64_t size;

	if (kept->pixels || !pixel_image_size(width, height, &size) || !gpu_charge(gpu, size)) {
		return; /* a kept one is newer than a source that was never flushed */
	}
	*kept = (struct gpu_kept){
			.pixels = g_try_malloc(size),
			.size = size,
			.width = width,
			.height = height,
			.format = PIXEL_BGRX,
	};
	if (!kept->pixels || gpu->impl->read_pixels(gpu->backend, head->resource->desc.id,
					     &head->source, kept->pixels,
					     width * GPU_BYTES_PER_PIXEL, &kept->format) != 0) {
		head_drop_kept(gpu, head);
	}
}

void gpu_scanout_set(struct gpu *gpu, struct gpu_head *head, struct gpu_resource *resource,
		const struct rect *source)
{
	if (head->resource == resource && memcmp(&head->source, source, sizeof(*source)) == 0) {
		return;
	}
	head_settle(head);
	head->resource = resource;
	head->source = *source;
	head->unshown = true;
	for (unsigned i = 0; i < GPU_FRAMES_PER_HEAD; i++) {
		head->frames[i].stale = head_whole(head); /* in pixels of the new source */
	}
	finish_flushes(gpu);
}

void gpu_scanout_disable(struct gpu *gpu, struct gpu_head *head)
{
	if (!head->resource) {
		return;
	}
	head_settle(head);
	head_drop_pixels(gpu, head);
	if (gpu->config.keep_last) {
		head_keep(gpu, head);
	}
	head->resource = NULL;
	head->unshown = false;
	display_disable(gpu->display, head_index(gpu, head));
	finish_flushes(gpu);
}

static void head_damage(struct gpu *gpu, struct gpu_head *head, const struct rect *rect)
{
	struct rect damage = {rect->x - head->source.x, rect->y - head->source.y, rect->width,
			rect->height};

	if (head->unshown) {
		damage = head_whole(head);
		head->unshown = false;
		head_drop_kept(gpu, head);
	}
	rect_add(&head->damage, &damage);
	for (unsigned i = 0; i < GPU_FRAMES_PER_HEAD; i++) {
		rect_add(&head->frames[i].stale, &damage);
	}
	head->damage_serial = gpu->flush_serial;
}

bool gpu_scanout_flush(struct gpu *gpu, const struct gpu_resource *resource,
		const struct rect *rect, struct gpu_command *command)
{
	gpu->flush_serial++;
	command->flush_heads = 0;
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		struct gpu_head *head = &gpu->heads[i];

		if (head->resource != resource) {
			continue;
		}
		struct rect common = rect_intersect(rect, &head->source);
		if (!rect_empty(&common)) {
			head_damage(gpu, head, &common);
			command->flush_heads |= (uint32_t)BIT(i);
		}
	}
	if (command->flush_heads == 0) {
		return false;
	}
	command->flush_serial = gpu->flush_serial;
	command->flush_deadline = INT64_MAX; /* set when it is published */
	command->flush_waiting = true;
	g_queue_push_tail(&gpu->flushes, command);
	return true;
}

static struct gpu_frame *head_free_frame(struct gpu_head *head)
{
	for (unsigned i = 0; i < GPU_FRAMES_PER_HEAD; i++) {
		if (!head->frames[i].in_flight) {
			return &head->frames[i];
		}
	}
	return NULL;
}

bool gpu_scanout_wants_publish(const struct gpu *gpu)
{
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		const struct gpu_head *head = &gpu->heads[i];

		if (!rect_empty(&head->damage) &&
				!(head->frames[0].in_flight && head->frames[1].in_flight)) {
			return true;
		}
	}
	return false;
}

/* Any thread. */
static void frame_handle_released(struct display_frame *base)
{
	struct gpu_frame *frame = container_of(base, struct gpu_frame, base);
	struct gpu *gpu = frame->gpu;
	int wake_fd = gpu->wake_fd;

	pthread_mutex_lock(&gpu->lock);
	frame->released = true;
	gpu->frames_released = true;
	/*
	 * Inside the lock: once it is released the worker may take the last frame and the GPU may
	 * go.
	 */
	eventfd_signal(wake_fd);
	pthread_mutex_unlock(&gpu->lock);
}

/* Makes room for a copy of the head's size. */
static bool frame_reserve(struct gpu *gpu, struct gpu_frame *frame, const struct gpu_head *head)
{
	uint32_t width = head->source.width, height = head->source.height;
	uint64_t size;

	if (frame->pixels && frame->width == width && frame->height == height) {
		return true;
	}
	frame_drop_pixels(gpu, frame);
	if (!pixel_image_size(width, height, &size) || !gpu_charge(gpu, size)) {
		return false;
	}
	frame->pixels = g_try_malloc(size);
	frame->pixels_size = size;
	frame->width = width;
	frame->height = height;
	frame->stale = head_whole(head);
	return frame->pixels != NULL;
}

static uint32_t frame_copy(struct gpu *gpu, struct gpu_frame *frame, const struct gpu_head *head)
{
	if (!frame_reserve(gpu, frame, head)) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	uint32_t stride = frame->width * GPU_BYTES_PER_PIXEL;
	struct rect stale = frame->stale;
	uint8_t *at = frame->pixels + (size_t)stale.y * stride +
		      (size_t)stale.x * GPU_BYTES_PER_PIXEL;
	assert(rect_within(&stale, frame->width, frame->height));
	struct rect from = {head->source.x + stale.x, head->source.y + stale.y, stale.width,
			stale.height};
	enum pixel_format format = PIXEL_BGRX;

	uint32_t error = gpu->impl->read_pixels(
			gpu->backend, head->resource->desc.id, &from, at, stride, &format);
	if (error != 0) {
		return error;
	}
	frame->base = (struct display_frame){
			.kind = DISPLAY_IMAGE_PIXELS,
			.format = format,
			.image_width = frame->width,
			.image_height = frame->height,
			.source = head_whole(head),
			.pixels = frame->pixels,
			.stride = stride,
			.released = frame_handle_released,
	};
	return 0;
}

/* The renderer's own image, where the display takes textures. */
static bool frame_borrow(struct gpu *gpu, struct gpu_frame *frame, const struct gpu_head *head)
{
	struct display_frame base = {0};

	if ((gpu->display->accepts & DISPLAY_IMAGE_TEXTURE) == 0 ||
			!gpu->impl->scanout_image(gpu->backend, head->resource->desc.id,
					DISPLAY_IMAGE_TEXTURE, &base)) {
		return false;
	}
	frame_drop_pixels(gpu, frame);
	base.source = head->source;
	base.released = frame_handle_released;
	frame->base = base;
	frame->resource = head->resource;
	frame->resource->frames++;
	return true;
}

/* Nothing at all, where nobody looks. */
static bool frame_omit(struct gpu *gpu, struct gpu_frame *frame, const struct gpu_head *head)
{
	if ((gpu->display->accepts & DISPLAY_IMAGE_NONE) == 0) {
		return false;
	}
	frame->base = (struct display_frame){
			.kind = DISPLAY_IMAGE_NONE,
			.image_width = head->source.width,
			.image_height = head->source.height,
			.source = head_whole(head),
			.released = frame_handle_released,
	};
	return true;
}

static uint32_t head_publish(struct gpu *gpu, struct gpu_head *head)
{
	struct gpu_frame *frame = head_free_frame(head);
	struct rect damage = head->damage;

	if (!frame_omit(gpu, frame, head) && !frame_borrow(gpu, frame, head)) {
		uint32_t error = frame_copy(gpu, frame, head);
		if (error != 0) {
			return error;
		}
	}
	frame->stale = (struct rect){0};
	frame->serial = head->damage_serial;
	frame->in_flight = true;
	head->damage = (struct rect){0};
	atomic_fetch_add(&gpu->stats.frames, 1);
	display_present(gpu->display, head_index(gpu, head), &frame->base, &damage);
	return 0;
}

/* Answers the flushes that waited for this head with the error. */
static void head_fail(struct gpu *gpu, struct gpu_head *head, uint32_t error)
{
	uint32_t bit = (uint32_t)BIT(head_index(gpu, head));

	for (GList *link = gpu->flushes.head; link; link = link->next) {
		struct gpu_command *command = link->data;
		if ((command->flush_heads & bit) != 0 &&
				command->flush_serial > head->released_serial) {
			command->reply = error;
		}
	}
	head->unshown = true;
	head_settle(head);
}

void gpu_scanout_publish(struct gpu *gpu)
{
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		struct gpu_head *head = &gpu->heads[i];

		if (!rect_empty(&head->damage) && head_free_frame(head)) {
			uint32_t error = head_publish(gpu, head);
			if (error != 0) {
				head_fail(gpu, head, error);
			}
		}
	}
	finish_flushes(gpu);
}

static void frame_take_back(struct gpu *gpu, unsigned head_number, unsigned frame_number)
{
	struct gpu_head *head = &gpu->heads[head_number];
	struct gpu_frame *frame = &head->frames[frame_number];

	assert(frame->in_flight);
	frame->in_flight = false;
	head->released_serial = MAX(head->released_serial, frame->serial);
	if (frame->resource) {
		gpu_resource_put_frame(gpu, g_steal_pointer(&frame->resource));
	}
	if (!head->resource) {
		frame_drop_pixels(gpu, frame);
	}
}

void gpu_scanout_collect(struct gpu *gpu)
{
	uint64_t released = 0; /* a bit for each frame */
	bool any;

	pthread_mutex_lock(&gpu->lock);
	if (gpu->frames_released) {
		gpu->frames_released = false;
		for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS * GPU_FRAMES_PER_HEAD; i++) {
			struct gpu_frame *frame = &gpu->heads[i / GPU_FRAMES_PER_HEAD]
								   .frames[i % GPU_FRAMES_PER_HEAD];
			if (frame->released) {
				frame->released = false;
				released |= BIT(i);
			}
		}
	}
	pthread_mutex_unlock(&gpu->lock);

	any = released != 0;
	for (unsigned i = 0; released != 0; i++, released >>= 1) {
		if ((released & 1) != 0) {
			frame_take_back(gpu, i / GPU_FRAMES_PER_HEAD, i % GPU_FRAMES_PER_HEAD);
		}
	}
	if (any) {
		finish_flushes(gpu);
	}
}

void gpu_scanout_expire(struct gpu *gpu, int64_t now)
{
	/* While nothing can be published, what is not published yet starts to wait too. */
	bool start = gpu->barrier.seq == 0 && !gpu_scanout_wants_publish(gpu);

	for (GList *link = gpu->flushes.head, *next; link; link = next) {
		struct gpu_command *command = link->data;

		next = link->next;
		if (command->flush_deadline == INT64_MAX) {
			command->flush_deadline = start ? now + GPU_REFRESH_US : INT64_MAX;
		} else if (command->flush_deadline <= now) {
			g_queue_delete_link(&gpu->flushes, link);
			gpu_fence_flush_done(gpu, command);
			next = gpu->flushes.head;
		}
	}
}

int64_t gpu_scanout_deadline(const struct gpu *gpu)
{
	int64_t earliest = INT64_MAX;

	for (const GList *link = gpu->flushes.head; link; link = link->next) {
		const struct gpu_command *command = link->data;
		earliest = MIN(earliest, command->flush_deadline);
	}
	return earliest;
}

void gpu_scanouts_forget_resource(struct gpu *gpu, const struct gpu_resource *resource)
{
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		if (gpu->heads[i].resource == resource) {
			gpu_scanout_disable(gpu, &gpu->heads[i]);
		}
	}
}

void gpu_scanouts_clear(struct gpu *gpu)
{
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		gpu_scanout_disable(gpu, &gpu->heads[i]);
	}
}

unsigned gpu_scanouts_in_flight(const struct gpu *gpu)
{
	unsigned count = 0;

	for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS * GPU_FRAMES_PER_HEAD; i++) {
		count += gpu->heads[i / GPU_FRAMES_PER_HEAD]
					 .frames[i % GPU_FRAMES_PER_HEAD]
					 .in_flight;
	}
	return count;
}

void gpu_scanouts_init(struct gpu *gpu)
{
	for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS * GPU_FRAMES_PER_HEAD; i++) {
		gpu->heads[i / GPU_FRAMES_PER_HEAD].frames[i % GPU_FRAMES_PER_HEAD].gpu = gpu;
	}
}

void gpu_scanouts_finish(struct gpu *gpu)
{
	assert(gpu_scanouts_in_flight(gpu) == 0);
	for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS; i++) {
		head_drop_pixels(gpu, &gpu->heads[i]);
		head_drop_kept(gpu, &gpu->heads[i]);
	}
}
