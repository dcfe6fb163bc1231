/* SPDX-License-Identifier: MIT */
#include "tests/harness/fake_backend.h"

#include "core/base/fd.h"
#include "gpu/format.h"

#include <pthread.h>

struct fence {
	struct gpu_timeline_id timeline;
	uint64_t seq;
};

struct fake_renderer {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int fd; /* readable while ready is not empty */
	bool hold_fences, textures; /* guarded by lock */
	GArray *waiting, *ready; /* struct fence; guarded by lock */
	uint64_t last_seq; /* guarded by lock */
	char *fail_call; /* guarded by lock */
	uint32_t fail_error; /* guarded by lock */
	bool blocked, unblock; /* guarded by lock */
	GString *log; /* guarded by lock */
};

struct fake_backend {
	struct gpu_backend base;
	struct gpu_backend_events *events;
	struct gpu_backend_events inner_events; /* of images: nothing to say */
	struct gpu_backend *images; /* the 2d back end */
	GHashTable *image_ids; /* resources that images has */
};

static struct fake_renderer *current; /* create() is given no other way to find it */

static struct fake_backend *fake_from(struct gpu_backend *backend)
{
	return container_of(backend, struct fake_backend, base);
}

/* Logs the call; returns the error it is to fail with, 0 for none. */
G_GNUC_PRINTF(2, 3) static uint32_t record(const char *call, const char *format, ...)
{
	uint32_t error = 0;
	va_list args;

	pthread_mutex_lock(&current->lock);
	g_string_append(current->log, call);
	va_start(args, format);
	g_string_append_vprintf(current->log, format, args);
	va_end(args);
	g_string_append_c(current->log, '\n');
	if (g_strcmp0(current->fail_call, call) == 0) {
		g_clear_pointer(&current->fail_call, g_free);
		error = current->fail_error;
	}
	pthread_cond_broadcast(&current->changed);
	pthread_mutex_unlock(&current->lock);
	return error;
}

static void ignore_signal(
		struct gpu_backend_events *events, struct gpu_timeline_id timeline, uint64_t seq)
{
	(void)events;
	(void)timeline;
	(void)seq;
}

static struct gpu_backend *create_with(const struct gpu_backend_impl *impl,
		const struct gpu_backend_config *config, GError **error)
{
	assert(current);
	if (record("create", "%s", "") != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "the fake does not start");
		return NULL;
	}
	struct fake_backend *b = g_new0(struct fake_backend, 1);
	b->base.impl = impl;
	b->events = config->events;
	b->inner_events.fence_signalled = ignore_signal;
	struct gpu_backend_config inner = *config;
	inner.events = &b->inner_events;
	b->images = gpu_backend_2d.create(&inner, error);
	b->image_ids = g_hash_table_new(NULL, NULL);
	return &b->base;
}

static struct gpu_backend *fake_create(const struct gpu_backend_config *config, GError **error)
{
	return create_with(&fake_backend_3d, config, error);
}

static struct gpu_backend *fake_create_plain(
		const struct gpu_backend_config *config, GError **error)
{
	return create_with(&fake_backend_3d_plain, config, error);
}

static void fake_destroy(struct gpu_backend *backend)
{
	struct fake_backend *b = fake_from(backend);

	(void)record("destroy", "%s", "");
	b->images->impl->destroy(b->images);
	g_hash_table_unref(b->image_ids);
	g_free(b);
	/* A real renderer's fences die with it. */
	pthread_mutex_lock(&current->lock);
	g_array_set_size(current->waiting, 0);
	g_array_set_size(current->ready, 0);
	pthread_mutex_unlock(&current->lock);
}

static int fake_poll_fd(struct gpu_backend *backend)
{
	(void)backend;
	return current->fd;
}

static void fake_poll(struct gpu_backend *backend)
{
	struct fake_backend *b = fake_from(backend);
	struct fence fence;
	bool some;

	(void)eventfd_take(current->fd);
	do {
		pthread_mutex_lock(&current->lock);
		some = current->ready->len > 0;
		if (some) {
			fence = g_array_index(current->ready, struct fence, 0);
			g_array_remove_index(current->ready, 0);
		}
		pthread_mutex_unlock(&current->lock);
		if (some) {
			b->events->fence_signalled(b->events, fence.timeline, fence.seq);
		}
	} while (some);
}

static unsigned fake_capset_count(struct gpu_backend *backend)
{
	(void)backend;
	return 1;
}

static bool fake_capset_info(struct gpu_backend *backend, unsigned index, uint32_t *ret_id,
		uint32_t *ret_version, uint32_t *ret_size)
{
	(void)backend;
	if (index > 0) {
		return false;
	}
	*ret_id = FAKE_CAPSET_ID;
	*ret_version = FAKE_CAPSET_VERSION;
	*ret_size = FAKE_CAPSET_SIZE;
	return true;
}

static bool fake_capset(struct gpu_backend *backend, uint32_t id, uint32_t version, void *buf)
{
	(void)backend;
	if (record("capset", " %u %u", id, version) != 0) {
		return false;
	}
	for (unsigned i = 0; i < FAKE_CAPSET_SIZE; i++) {
		((uint8_t *)buf)[i] = (uint8_t)(i + version);
	}
	return true;
}

static uint32_t fake_ctx_create(struct gpu_backend *backend, uint32_t ctx_id, uint32_t context_init,
		const char *name)
{
	(void)backend;
	return record("ctx_create", " %u %u %s", ctx_id, context_init, name);
}

static void fake_ctx_destroy(struct gpu_backend *backend, uint32_t ctx_id)
{
	(void)backend;
	(void)record("ctx_destroy", " %u", ctx_id);
}

static void fake_ctx_attach(struct gpu_backend *backend, uint32_t ctx_id, uint32_t resource_id)
{
	(void)backend;
	(void)record("ctx_attach", " %u %u", ctx_id, resource_id);
}

static void fake_ctx_detach(struct gpu_backend *backend, uint32_t ctx_id, uint32_t resource_id)
{
	(void)backend;
	(void)record("ctx_detach", " %u %u", ctx_id, resource_id);
}

static void block(void)
{
	pthread_mutex_lock(&current->lock);
	current->blocked = true;
	pthread_cond_broadcast(&current->changed);
	while (!current->unblock) {
		pthread_cond_wait(&current->changed, &current->lock);
	}
	current->blocked = false;
	current->unblock = false;
	pthread_mutex_unlock(&current->lock);
}

/* Sets the image's first pixel, through the front door. The resource loses its backing. */
static void fill(struct fake_backend *b, uint32_t resource_id, uint32_t pixel)
{
	const struct gpu_backend_impl *impl = b->images->impl;
	struct iovec iov = {&pixel, sizeof(pixel)};
	struct gpu_transfer transfer = {.resource_id = resource_id, .box = {0, 0, 0, 1, 1, 1}};

	if (g_hash_table_contains(b->image_ids, GUINT_TO_POINTER(resource_id))) {
		(void)impl->backing_attach(b->images, resource_id, &iov, 1);
		(void)impl->transfer_to_host(b->images, &transfer);
		impl->backing_detach(b->images, resource_id);
	}
}

static uint32_t fake_submit(
		struct gpu_backend *backend, uint32_t ctx_id, uint32_t *words, size_t size)
{
	uint32_t error = record("submit", " %u %zu 0x%x", ctx_id, size, words[0]);

	switch (words[0]) {
	case FAKE_STREAM_FAIL:
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	case FAKE_STREAM_BLOCK:
		block();
		break;
	case FAKE_STREAM_FILL:
		if (size >= 12) {
			fill(fake_from(backend), words[1], words[2]);
		}
		break;
	default:
		break;
	}
	return error;
}

static bool fake_resource_size(struct gpu_backend *backend, const struct gpu_resource_desc *desc,
		uint64_t *ret_bytes)
{
	uint64_t size;

	(void)backend;
	if (!pixel_image_size(desc->width, desc->height, &size) || desc->depth == 0 ||
			desc->array_size == 0 || desc->last_level > 14 ||
			!checked_mul(size, desc->depth, &size) ||
			!checked_mul(size, desc->array_size, &size)) {
		return false;
	}
	*ret_bytes = size;
	return true;
}

static uint32_t fake_resource_create(
		struct gpu_backend *backend, const struct gpu_resource_desc *desc)
{
	struct fake_backend *b = fake_from(backend);
	struct gpu_resource_desc image = *desc;
	enum pixel_format format;

	uint32_t error = record("resource_create", " %u %u %ux%u%s", desc->id, desc->format,
			desc->width, desc->height, desc->is_2d ? " 2d" : "");
	if (error == 0 && gpu_format_to_pixel(desc->format, &format)) {
		image.is_2d = true;
		error = b->images->impl->resource_create(b->images, &image);
		g_hash_table_add(b->image_ids, GUINT_TO_POINTER(desc->id));
	}
	return error;
}

static bool has_image(struct fake_backend *b, uint32_t resource_id)
{
	return g_hash_table_contains(b->image_ids, GUINT_TO_POINTER(resource_id));
}

static void fake_resource_destroy(struct gpu_backend *backend, uint32_t resource_id)
{
	struct fake_backend *b = fake_from(backend);

	(void)record("resource_destroy", " %u", resource_id);
	if (g_hash_table_remove(b->image_ids, GUINT_TO_POINTER(resource_id))) {
		b->images->impl->resource_destroy(b->images, resource_id);
	}
}

static uint32_t fake_backing_attach(struct gpu_backend *backend, uint32_t resource_id,
		struct iovec *iov, unsigned count)
{
	struct fake_backend *b = fake_from(backend);

	uint32_t error = record("backing_attach", " %u %u", resource_id, count);
	if (error == 0 && has_image(b, resource_id)) {
		error = b->images->impl->backing_attach(b->images, resource_id, iov, count);
	}
	return error;
}

static void fake_backing_detach(struct gpu_backend *backend, uint32_t resource_id)
{
	struct fake_backend *b = fake_from(backend);

	(void)record("backing_detach", " %u", resource_id);
	if (has_image(b, resource_id)) {
		b->images->impl->backing_detach(b->images, resource_id);
	}
}

static uint32_t fake_transfer_to_host(
		struct gpu_backend *backend, const struct gpu_transfer *transfer)
{
	struct fake_backend *b = fake_from(backend);
	const struct virtio_gpu_box *box = &transfer->box;

	uint32_t error = record("transfer_to_host", " %u %u %u,%u,%u+%ux%ux%u @%" G_GUINT64_FORMAT,
			transfer->ctx_id, transfer->resource_id, box->x, box->y, box->z, box->width,
			box->height, box->depth, transfer->offset);
	if (error == 0 && has_image(b, transfer->resource_id) && transfer->level == 0 &&
			(transfer->stride == 0 || transfer->stride >= box->width * 4)) {
		error = b->images->impl->transfer_to_host(b->images, transfer);
	}
	return error;
}

static uint32_t fake_transfer_from_host(
		struct gpu_backend *backend, const struct gpu_transfer *transfer)
{
	(void)backend;
	return record("transfer_from_host", " %u %u @%" G_GUINT64_FORMAT, transfer->ctx_id,
			transfer->resource_id, transfer->offset);
}

static uint32_t fake_fence(
		struct gpu_backend *backend, struct gpu_timeline_id timeline, uint64_t seq)
{
	const struct fence fence = {timeline, seq};

	(void)backend;
	uint32_t error = timeline.global ? record("fence", " global")
					 : record("fence", " %u:%u", timeline.ctx_id,
							   timeline.ring);
	if (error != 0) {
		return error;
	}
	pthread_mutex_lock(&current->lock);
	assert(seq > current->last_seq);
	current->last_seq = seq;
	g_array_append_val(current->hold_fences ? current->waiting : current->ready, fence);
	bool wake = !current->hold_fences;
	pthread_cond_broadcast(&current->changed);
	pthread_mutex_unlock(&current->lock);
	if (wake) {
		eventfd_signal(current->fd);
	}
	return 0;
}

static uint32_t fake_read_pixels(struct gpu_backend *backend, uint32_t resource_id,
		const struct rect *rect, void *buf, uint32_t stride, enum pixel_format *ret_format)
{
	struct fake_backend *b = fake_from(backend);

	uint32_t error = record("read_pixels", " %u %u,%u+%ux%u", resource_id, rect->x, rect->y,
			rect->width, rect->height);
	if (error != 0) {
		return error;
	}
	if (!has_image(b, resource_id)) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	return b->images->impl->read_pixels(b->images, resource_id, rect, buf, stride, ret_format);
}

static bool fake_scanout_image(struct gpu_backend *backend, uint32_t resource_id, uint32_t accepts,
		struct display_frame *ret_frame)
{
	(void)backend;
	pthread_mutex_lock(&current->lock);
	bool textures = current->textures && (accepts & DISPLAY_IMAGE_TEXTURE) != 0;
	pthread_mutex_unlock(&current->lock);
	if (textures) {
		ret_frame->kind = DISPLAY_IMAGE_TEXTURE;
		ret_frame->texture = resource_id;
		ret_frame->image_width = GPU_MAX_IMAGE_SIZE;
		ret_frame->image_height = GPU_MAX_IMAGE_SIZE;
	}
	return textures;
}

#define FAKE_COMMON \
	.is_3d = true, .destroy = fake_destroy, .poll_fd = fake_poll_fd, .poll = fake_poll, \
	.capset_count = fake_capset_count, .capset_info = fake_capset_info, .capset = fake_capset, \
	.ctx_create = fake_ctx_create, .ctx_destroy = fake_ctx_destroy, \
	.ctx_attach = fake_ctx_attach, .ctx_detach = fake_ctx_detach, .submit = fake_submit, \
	.resource_size = fake_resource_size, .resource_create = fake_resource_create, \
	.resource_destroy = fake_resource_destroy, .backing_attach = fake_backing_attach, \
	.backing_detach = fake_backing_detach, .transfer_to_host = fake_transfer_to_host, \
	.transfer_from_host = fake_transfer_from_host, .fence = fake_fence, \
	.read_pixels = fake_read_pixels, .scanout_image = fake_scanout_image

const struct gpu_backend_impl fake_backend_3d = {
		.name = "fake", .context_init = true, .create = fake_create, FAKE_COMMON};
const struct gpu_backend_impl fake_backend_3d_plain = {
		.name = "fake-plain", .create = fake_create_plain, FAKE_COMMON};

struct fake_renderer *fake_renderer_create(void)
{
	struct fake_renderer *fake = g_new0(struct fake_renderer, 1);

	assert(!current);
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	fake->fd = eventfd_create(NULL);
	fake->waiting = g_array_new(FALSE, FALSE, sizeof(struct fence));
	fake->ready = g_array_new(FALSE, FALSE, sizeof(struct fence));
	fake->log = g_string_new(NULL);
	current = fake;
	return fake;
}

void fake_renderer_destroy(struct fake_renderer *fake)
{
	assert(current == fake);
	current = NULL;
	fd_close(&fake->fd);
	g_array_unref(fake->waiting);
	g_array_unref(fake->ready);
	g_string_free(fake->log, TRUE);
	g_free(fake->fail_call);
	pthread_mutex_destroy(&fake->lock);
	pthread_cond_destroy(&fake->changed);
	g_free(fake);
}

void fake_renderer_hold_fences(struct fake_renderer *fake, bool hold)
{
	pthread_mutex_lock(&fake->lock);
	fake->hold_fences = hold;
	pthread_mutex_unlock(&fake->lock);
}

static bool same_timeline(const struct gpu_timeline_id *a, const struct gpu_timeline_id *b)
{
	return a->global == b->global &&
	       (a->global || (a->ctx_id == b->ctx_id && a->ring == b->ring));
}

static unsigned count_locked(struct fake_renderer *fake, const struct gpu_timeline_id *timeline)
{
	unsigned count = 0;

	for (guint i = 0; i < fake->waiting->len; i++) {
		count += same_timeline(
				&g_array_index(fake->waiting, struct fence, i).timeline, timeline);
	}
	return count;
}

void fake_renderer_wait_fences(
		struct fake_renderer *fake, struct gpu_timeline_id timeline, unsigned count)
{
	pthread_mutex_lock(&fake->lock);
	while (count_locked(fake, &timeline) < count) {
		pthread_cond_wait(&fake->changed, &fake->lock);
	}
	pthread_mutex_unlock(&fake->lock);
}

unsigned fake_renderer_fences(struct fake_renderer *fake, struct gpu_timeline_id timeline)
{
	pthread_mutex_lock(&fake->lock);
	unsigned count = count_locked(fake, &timeline);
	pthread_mutex_unlock(&fake->lock);
	return count;
}

void fake_renderer_signal(
		struct fake_renderer *fake, struct gpu_timeline_id timeline, unsigned count)
{
	struct fence last = {.timeline = timeline};

	pthread_mutex_lock(&fake->lock);
	assert(count > 0 && count_locked(fake, &timeline) >= count);
	for (guint i = 0; count > 0;) {
		struct fence *fence = &g_array_index(fake->waiting, struct fence, i);

		if (!same_timeline(&fence->timeline, &timeline)) {
			i++;
			continue;
		}
		last.seq = fence->seq;
		g_array_remove_index(fake->waiting, i);
		count--;
	}
	g_array_append_val(fake->ready, last);
	pthread_mutex_unlock(&fake->lock);
	eventfd_signal(fake->fd);
}

void fake_renderer_signal_seq(
		struct fake_renderer *fake, struct gpu_timeline_id timeline, uint64_t seq)
{
	const struct fence fence = {timeline, seq};

	pthread_mutex_lock(&fake->lock);
	g_array_append_val(fake->ready, fence);
	pthread_mutex_unlock(&fake->lock);
	eventfd_signal(fake->fd);
}

uint64_t fake_renderer_last_seq(struct fake_renderer *fake)
{
	pthread_mutex_lock(&fake->lock);
	uint64_t seq = fake->last_seq;
	pthread_mutex_unlock(&fake->lock);
	return seq;
}

void fake_renderer_fail(struct fake_renderer *fake, const char *call, uint32_t error)
{
	pthread_mutex_lock(&fake->lock);
	g_free(fake->fail_call);
	fake->fail_call = g_strdup(call);
	fake->fail_error = error;
	pthread_mutex_unlock(&fake->lock);
}

void fake_renderer_wait_blocked(struct fake_renderer *fake)
{
	pthread_mutex_lock(&fake->lock);
	while (!fake->blocked) {
		pthread_cond_wait(&fake->changed, &fake->lock);
	}
	pthread_mutex_unlock(&fake->lock);
}

void fake_renderer_unblock(struct fake_renderer *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->unblock = true;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

void fake_renderer_textures(struct fake_renderer *fake, bool on)
{
	pthread_mutex_lock(&fake->lock);
	fake->textures = on;
	pthread_mutex_unlock(&fake->lock);
}

void fake_renderer_note(struct fake_renderer *fake, const char *line)
{
	pthread_mutex_lock(&fake->lock);
	g_string_append_printf(fake->log, "%s\n", line);
	pthread_mutex_unlock(&fake->lock);
}

char *fake_renderer_take_log(struct fake_renderer *fake)
{
	pthread_mutex_lock(&fake->lock);
	char *text = g_strdup(fake->log->str);
	g_string_truncate(fake->log, 0);
	pthread_mutex_unlock(&fake->lock);
	return text;
}
