/* SPDX-License-Identifier: MIT */
#include "gpu/gpu.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "gpu/command.h"
#include "gpu/edid.h"
#include "gpu/fence.h"
#include "gpu/scanout.h"
#include "gpu/screendump.h"
#include "gpu/state.h"
#include "gpu/worker.h"

const struct gpu_limits gpu_default_limits = {
		.host_bytes = 1 * GiB,
		.contexts = 128,
		.resources = 16384,
		.request_bytes = 8 * MiB,
		.shader_bytes = 1 * MiB,
		.hang_ms = 15000,
};

static bool config_check(const struct gpu_config *config, GError **error)
{
	if (config->scanouts < 1 || config->scanouts > VIRTIO_GPU_MAX_SCANOUTS) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"GPU with %u scanouts: 1 to %u are possible", config->scanouts,
				VIRTIO_GPU_MAX_SCANOUTS);
		return false;
	}
	if (config->width < 1 || config->width > EDID_MAX_PIXELS || config->height < 1 ||
			config->height > EDID_MAX_PIXELS) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"GPU mode %ux%u: 1x1 to %ux%u are possible", config->width,
				config->height, EDID_MAX_PIXELS, EDID_MAX_PIXELS);
		return false;
	}
	return true;
}

static void init_locks(struct gpu *gpu)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&gpu->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&gpu->lock, NULL);
	pthread_mutex_init(&gpu->cursor_lock, NULL);
}

/* The worker has ended, or never ran. */
static void gpu_free(struct gpu *gpu)
{
	gpu_scanouts_finish(gpu);
	g_hash_table_unref(gpu->resources);
	g_hash_table_unref(gpu->contexts);
	g_clear_error(&gpu->start_error);
	fd_close(&gpu->wake_fd);
	pthread_cond_destroy(&gpu->changed);
	pthread_mutex_destroy(&gpu->lock);
	pthread_mutex_destroy(&gpu->cursor_lock);
	g_free(gpu);
}

static uint64_t features(const struct gpu *gpu)
{
	uint64_t bits = BIT(VIRTIO_GPU_F_RESOURCE_UUID);

	if (gpu->config.edid) {
		bits |= BIT(VIRTIO_GPU_F_EDID);
	}
	if (gpu->impl->is_3d) {
		bits |= BIT(VIRTIO_GPU_F_VIRGL);
	}
	if (gpu->impl->is_3d && gpu->impl->context_init) {
		bits |= BIT(VIRTIO_GPU_F_CONTEXT_INIT);
	}
	return bits;
}

struct gpu *gpu_create_with_backend(const struct gpu_config *config,
		const struct gpu_backend_impl *impl, struct display *display,
		struct gpu_client *client, GError **error)
{
	if (!config_check(config, error)) {
		return NULL;
	}
	struct gpu *gpu = g_new0(struct gpu, 1);
	gpu->impl = impl;
	gpu->config = *config;
	gpu->config.backend = NULL;
	gpu->display = display;
	gpu->client = client;
	gpu->features = features(gpu);
	gpu->inbox_tail = &gpu->inbox;
	gpu->backend_events.fence_signalled = gpu_fence_handle_signalled;
	gpu->resources = g_hash_table_new(NULL, NULL);
	gpu->contexts = g_hash_table_new(NULL, NULL);
	gpu->heads[0].mode_width = config->width;
	gpu->heads[0].mode_height = config->height;
	gpu_scanouts_init(gpu);
	init_locks(gpu);

	gpu->wake_fd = eventfd_create(error);
	if (gpu->wake_fd < 0 || !worker_start(gpu, error)) {
		gpu_free(gpu);
		return NULL;
	}
	return gpu;
}

bool gpu_destroy(struct gpu *gpu, unsigned deadline_ms)
{
	if (!gpu) {
		return true;
	}
	if (!worker_stop(gpu, deadline_ms)) {
		return false;
	}
	gpu_free(gpu);
	return true;
}

uint64_t gpu_features(const struct gpu *gpu)
{
	return gpu->features;
}

void gpu_submit(struct gpu *gpu, struct gpu_request *request)
{
	gpu_command_submit(gpu, request);
}

void gpu_reset(struct gpu *gpu, void (*done)(void *opaque), void *opaque)
{
	worker_post_reset(gpu, done, opaque);
}

void gpu_get_config(struct gpu *gpu, struct virtio_gpu_config *ret_config)
{
	struct virtio_gpu_config config = {
			.num_scanouts = gpu->config.scanouts,
			.num_capsets = gpu->capset_count,
	};

	pthread_mutex_lock(&gpu->lock);
	config.events_read = gpu->events;
	pthread_mutex_unlock(&gpu->lock);
	*ret_config = config;
}

void gpu_clear_events(struct gpu *gpu, uint32_t events)
{
	pthread_mutex_lock(&gpu->lock);
	gpu->events &= ~events;
	pthread_mutex_unlock(&gpu->lock);
}

void gpu_set_mode(struct gpu *gpu, unsigned head, uint32_t width, uint32_t height)
{
	bool gone = width == 0 || height == 0;

	if (head >= gpu->config.scanouts || width > EDID_MAX_PIXELS || height > EDID_MAX_PIXELS) {
		log_warn("head %u cannot become %ux%u: it stays as it is", head, width, height);
		return;
	}
	pthread_mutex_lock(&gpu->lock);
	gpu->heads[head].mode_width = gone ? 0 : width;
	gpu->heads[head].mode_height = gone ? 0 : height;
	gpu->events |= VIRTIO_GPU_EVENT_DISPLAY;
	pthread_mutex_unlock(&gpu->lock);
	gpu->client->impl->config_changed(gpu->client);
}

void gpu_screendump(struct gpu *gpu, unsigned head, bool cursor, int take_fd,
		void (*done)(void *opaque, const GError *error), void *opaque)
{
	gpu_screendump_post(gpu, head, cursor, take_fd, done, opaque);
}

void gpu_get_statistics(struct gpu *gpu, struct gpu_statistics *ret_statistics)
{
	int64_t busy = atomic_load(&gpu->stats.busy_since_us);
	int64_t fences = atomic_load(&gpu->stats.fences_since_us);

	*ret_statistics = (struct gpu_statistics){
			.commands = atomic_load(&gpu->stats.commands),
			.errors = atomic_load(&gpu->stats.errors),
			.fences = atomic_load(&gpu->stats.fences),
			.frames = atomic_load(&gpu->stats.frames),
			.host_bytes = atomic_load(&gpu->stats.host_bytes),
			.contexts = atomic_load(&gpu->stats.contexts),
			.resources = atomic_load(&gpu->stats.resources),
			.busy_since_us = busy != 0 && fences != 0 ? MIN(busy, fences)
								  : busy + fences,
	};
}

bool gpu_check_hang(struct gpu *gpu)
{
	struct gpu_statistics statistics;

	gpu_get_statistics(gpu, &statistics);
	if (statistics.busy_since_us == 0 ||
			g_get_monotonic_time() - statistics.busy_since_us <=
					(int64_t)gpu->config.limits.hang_ms * 1000) {
		return false;
	}
	gpu_lose(gpu, "the renderer hangs");
	return true;
}

void gpu_lose(struct gpu *gpu, const char *reason)
{
	if (!atomic_exchange(&gpu->lost, true)) {
		gpu->client->impl->lost(gpu->client, reason);
	}
}
