/* SPDX-License-Identifier: MIT */
#include "tests/harness/gpu_guest.h"

#include "core/base/iov.h"

#include <stdio.h>
#include <unistd.h>

#define HEADER_LEN sizeof(struct virtio_gpu_ctrl_hdr)

const struct gpu_config guest_default_config = {
		.scanouts = 1,
		.width = 64,
		.height = 48,
		.edid = true,
		.limits =
				{
						.host_bytes = 64 * MiB,
						.contexts = 8,
						.resources = 64,
						.request_bytes = 64 * KiB,
						.shader_bytes = 64 * KiB,
						.hang_ms = 60000,
				},
};

static struct gpu_guest *guest_from(struct gpu_client *client)
{
	return container_of(client, struct gpu_guest, client);
}

static void guest_completed(struct gpu_client *client, struct gpu_request *base, size_t written)
{
	struct gpu_guest *guest = guest_from(client);
	struct guest_request *request = container_of(base, struct guest_request, base);

	pthread_mutex_lock(&guest->lock);
	assert(!request->done);
	assert(written <= request->in_len);
	request->done = true;
	request->written = written;
	request->order = ++guest->completions;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

static bool guest_map(struct gpu_client *client, uint64_t address, size_t len,
		struct gpu_mapping *ret_mapping)
{
	struct gpu_guest *guest = guest_from(client);

	if (address < GUEST_RAM_BASE ||
			!range_within(address - GUEST_RAM_BASE, len, GUEST_RAM_SIZE)) {
		return false;
	}
	pthread_mutex_lock(&guest->lock);
	guest->mapped++;
	pthread_mutex_unlock(&guest->lock);
	*ret_mapping = (struct gpu_mapping){
			guest->ram + (address - GUEST_RAM_BASE), len, address, guest};
	return true;
}

static void guest_unmap(struct gpu_client *client, struct gpu_mapping *mapping, bool written)
{
	struct gpu_guest *guest = guest_from(client);

	assert(mapping->client == guest);
	pthread_mutex_lock(&guest->lock);
	assert(guest->mapped > 0);
	guest->mapped--;
	guest->unmapped_written += written;
	pthread_mutex_unlock(&guest->lock);
	if (guest->fake) {
		fake_renderer_note(guest->fake, "unmap");
	}
}

static void guest_written(struct gpu_client *client, uint64_t address, size_t len)
{
	struct gpu_guest *guest = guest_from(client);

	pthread_mutex_lock(&guest->lock);
	guest->written_guest = address;
	guest->written_len = len;
	pthread_mutex_unlock(&guest->lock);
}

static void guest_config_changed(struct gpu_client *client)
{
	struct gpu_guest *guest = guest_from(client);

	pthread_mutex_lock(&guest->lock);
	guest->config_changes++;
	pthread_mutex_unlock(&guest->lock);
}

static void guest_lost(struct gpu_client *client, const char *reason)
{
	struct gpu_guest *guest = guest_from(client);

	pthread_mutex_lock(&guest->lock);
	assert(!guest->lost);
	guest->lost = reason;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

static const struct gpu_client_impl guest_client_impl = {
		.completed = guest_completed,
		.map = guest_map,
		.unmap = guest_unmap,
		.written = guest_written,
		.config_changed = guest_config_changed,
		.lost = guest_lost,
};

struct gpu_guest *gpu_guest_create(enum guest_kind kind, const struct gpu_config *config)
{
	static const struct gpu_backend_impl *const impls[] = {
			[GUEST_2D] = &gpu_backend_2d,
			[GUEST_FAKE_3D] = &fake_backend_3d,
			[GUEST_FAKE_PLAIN] = &fake_backend_3d_plain,
	};
	struct gpu_guest *guest = g_new0(struct gpu_guest, 1);
	g_autoptr(GError) error = NULL;

	guest->client.impl = &guest_client_impl;
	guest->ram = g_malloc0(GUEST_RAM_SIZE);
	pthread_mutex_init(&guest->lock, NULL);
	pthread_cond_init(&guest->changed, NULL);
	guest->display = recording_display_create();
	if (kind != GUEST_2D) {
		guest->fake = fake_renderer_create();
	}
	guest->gpu = gpu_create_with_backend(config ? config : &guest_default_config, impls[kind],
			&guest->display->base, &guest->client, &error);
	if (!guest->gpu) {
		g_error("%s", error->message);
	}
	return guest;
}

void gpu_guest_destroy(struct gpu_guest *guest)
{
	gpu_destroy(guest->gpu, 60000);
	assert(guest->mapped == 0);
	recording_display_destroy(guest->display);
	if (guest->fake) {
		fake_renderer_destroy(guest->fake);
	}
	pthread_mutex_destroy(&guest->lock);
	pthread_cond_destroy(&guest->changed);
	g_free(guest->dump_error);
	g_free(guest->ram);
	g_free(guest);
}

static unsigned scatter(struct iovec *iov, unsigned max, uint8_t *buf, size_t len, size_t chunk)
{
	unsigned count = 0;
	size_t done = 0;

	while (done < len) {
		size_t n = chunk == 0 || count == max - 1 ? len - done : MIN(chunk, len - done);
		iov[count++] = (struct iovec){buf + done, n};
		done += n;
	}
	return count;
}

struct guest_request *gpu_guest_send(
		struct gpu_guest *guest, unsigned queue, const void *out, size_t len, size_t in_len)
{
	struct guest_request *request = g_new0(struct guest_request, 1);

	/* Exact sizes, so that the sanitizer sees every step too far. */
	request->out = g_memdup2(out, len);
	request->in = g_malloc(in_len);
	request->in_len = in_len;
	if (in_len > 0) {
		memset(request->in, 0xee, in_len);
	}
	request->base.queue = queue;
	request->base.readable = request->readable;
	request->base.readable_count = scatter(request->readable, G_N_ELEMENTS(request->readable),
			request->out, len, guest->chunk);
	request->base.writable = request->writable;
	request->base.writable_count = scatter(request->writable, G_N_ELEMENTS(request->writable),
			request->in, in_len, guest->chunk);
	gpu_submit(guest->gpu, &request->base);
	return request;
}

bool gpu_guest_is_done(struct gpu_guest *guest, struct guest_request *request)
{
	pthread_mutex_lock(&guest->lock);
	bool done = request->done;
	pthread_mutex_unlock(&guest->lock);
	return done;
}

uint32_t gpu_guest_wait(struct gpu_guest *guest, struct guest_request *request)
{
	pthread_mutex_lock(&guest->lock);
	while (!request->done) {
		pthread_cond_wait(&guest->changed, &guest->lock);
	}
	pthread_mutex_unlock(&guest->lock);
	return request->written >= HEADER_LEN ? guest_request_reply(request)->type : 0;
}

const struct virtio_gpu_ctrl_hdr *guest_request_reply(const struct guest_request *request)
{
	return (const struct virtio_gpu_ctrl_hdr *)request->in;
}

void guest_request_free(struct guest_request *request)
{
	assert(request->done);
	g_free(request->out);
	g_free(request->in);
	g_free(request);
}

static uint32_t call(struct gpu_guest *guest, unsigned queue, const void *out, size_t len, void *in,
		size_t in_len)
{
	struct guest_request *request = gpu_guest_send(guest, queue, out, len, in_len);
	uint32_t type = gpu_guest_wait(guest, request);

	if (in) {
		memcpy(in, request->in, request->written);
	}
	guest_request_free(request);
	return type;
}

uint32_t gpu_guest_call(
		struct gpu_guest *guest, const void *out, size_t len, void *in, size_t in_len)
{
	return call(guest, VIRTIO_GPU_QUEUE_CONTROL, out, len, in, in_len);
}

uint32_t gpu_guest_cursor(struct gpu_guest *guest, const void *out, size_t len)
{
	return call(guest, VIRTIO_GPU_QUEUE_CURSOR, out, len, NULL, HEADER_LEN);
}

void gpu_guest_sync(struct gpu_guest *guest)
{
	/* Any command that the worker answers will do; this one has no effect. */
	(void)guest_unref(guest, UINT32_MAX);
}

static void handle_reset_done(void *opaque)
{
	struct gpu_guest *guest = opaque;

	pthread_mutex_lock(&guest->lock);
	guest->resets++;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

void gpu_guest_reset_start(struct gpu_guest *guest)
{
	guest->resets_started++;
	gpu_reset(guest->gpu, handle_reset_done, guest);
}

void gpu_guest_reset_wait(struct gpu_guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	while (guest->resets < guest->resets_started) {
		pthread_cond_wait(&guest->changed, &guest->lock);
	}
	pthread_mutex_unlock(&guest->lock);
}

void gpu_guest_reset(struct gpu_guest *guest)
{
	gpu_guest_reset_start(guest);
	gpu_guest_reset_wait(guest);
}

static void handle_dumped(void *opaque, const GError *error)
{
	struct gpu_guest *guest = opaque;

	pthread_mutex_lock(&guest->lock);
	guest->dumped = true;
	g_free(guest->dump_error);
	guest->dump_error = error ? g_strdup(error->message) : NULL;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

int gpu_guest_screendump(struct gpu_guest *guest, unsigned head, bool cursor)
{
	char path[] = "/tmp/oriel-screendump-XXXXXX";
	int fd = mkstemp(path);

	assert(fd >= 0);
	(void)unlink(path);
	guest->dumped = false;
	gpu_screendump(guest->gpu, head, cursor, dup(fd), handle_dumped, guest);
	pthread_mutex_lock(&guest->lock);
	while (!guest->dumped) {
		pthread_cond_wait(&guest->changed, &guest->lock);
	}
	bool failed = guest->dump_error != NULL;
	pthread_mutex_unlock(&guest->lock);
	if (failed) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

const char *gpu_guest_wait_lost(struct gpu_guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	while (!guest->lost) {
		pthread_cond_wait(&guest->changed, &guest->lock);
	}
	const char *reason = guest->lost;
	pthread_mutex_unlock(&guest->lock);
	return reason;
}

uint32_t guest_create_2d(struct gpu_guest *guest, uint32_t id, uint32_t format, uint32_t width,
		uint32_t height)
{
	const struct virtio_gpu_resource_create_2d request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
			.resource_id = id,
			.format = format,
			.width = width,
			.height = height,
	};

	return gpu_guest_do(guest, request);
}

static uint32_t resource_command(struct gpu_guest *guest, uint32_t type, uint32_t ctx, uint32_t id)
{
	const struct virtio_gpu_resource_cmd request = {
			.hdr = {.type = type, .ctx_id = ctx}, .resource_id = id};

	return gpu_guest_do(guest, request);
}

uint32_t guest_unref(struct gpu_guest *guest, uint32_t id)
{
	return resource_command(guest, VIRTIO_GPU_CMD_RESOURCE_UNREF, 0, id);
}

uint32_t guest_attach(struct gpu_guest *guest, uint32_t id, uint64_t offset, uint32_t len)
{
	const struct {
		struct virtio_gpu_resource_cmd fixed;
		struct virtio_gpu_mem_entry entry;
	} request = {
			{{.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING}, id, 1},
			{GUEST_RAM_BASE + offset, len, 0},
	};

	return gpu_guest_do(guest, request);
}

uint32_t guest_detach(struct gpu_guest *guest, uint32_t id)
{
	return resource_command(guest, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 0, id);
}

uint32_t guest_transfer(
		struct gpu_guest *guest, uint32_t id, struct virtio_gpu_rect rect, uint64_t offset)
{
	const struct virtio_gpu_transfer_to_host_2d request = {
			.hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
			.r = rect,
			.offset = offset,
			.resource_id = id,
	};

	return gpu_guest_do(guest, request);
}

uint32_t guest_set_scanout(
		struct gpu_guest *guest, uint32_t scanout, uint32_t id, struct virtio_gpu_rect rect)
{
	const struct virtio_gpu_set_scanout request = {
			.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT,
			.r = rect,
			.scanout_id = scanout,
			.resource_id = id,
	};

	return gpu_guest_do(guest, request);
}

uint32_t guest_flush(struct gpu_guest *guest, uint32_t id, struct virtio_gpu_rect rect)
{
	const struct virtio_gpu_resource_flush request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, .r = rect, .resource_id = id};

	return gpu_guest_do(guest, request);
}

uint32_t guest_ctx(struct gpu_guest *guest, uint32_t command, uint32_t ctx)
{
	const struct virtio_gpu_ctx_create create = {
			.hdr = {.type = command, .ctx_id = ctx}, .nlen = 4, .debug_name = "test"};

	if (command == VIRTIO_GPU_CMD_CTX_CREATE) {
		return gpu_guest_do(guest, create);
	}
	return gpu_guest_do(guest, create.hdr);
}

uint32_t guest_ctx_resource(struct gpu_guest *guest, uint32_t command, uint32_t ctx, uint32_t id)
{
	return resource_command(guest, command, ctx, id);
}

struct guest_request *guest_send_fence(
		struct gpu_guest *guest, uint32_t ctx, int ring, uint64_t fence_id)
{
	struct virtio_gpu_cmd_submit request = {
			.hdr =
					{
							.type = VIRTIO_GPU_CMD_SUBMIT_3D,
							.flags = VIRTIO_GPU_FLAG_FENCE,
							.fence_id = fence_id,
							.ctx_id = ctx,
					},
	};

	if (ring >= 0) {
		request.hdr.flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
		request.hdr.ring_idx = (uint8_t)ring;
	}
	return gpu_guest_send(
			guest, VIRTIO_GPU_QUEUE_CONTROL, &request, sizeof(request), HEADER_LEN);
}

void guest_make_image(struct gpu_guest *guest, uint32_t id, uint32_t width, uint32_t height)
{
	const struct virtio_gpu_rect whole = {0, 0, width, height};
	uint32_t ret;

	ret = guest_create_2d(guest, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, width, height);
	assert(ret == VIRTIO_GPU_RESP_OK_NODATA);
	ret = guest_attach(guest, id, 0, width * height * 4);
	assert(ret == VIRTIO_GPU_RESP_OK_NODATA);
	ret = guest_transfer(guest, id, whole, 0);
	assert(ret == VIRTIO_GPU_RESP_OK_NODATA);
}
