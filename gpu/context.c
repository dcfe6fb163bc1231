/* SPDX-License-Identifier: MIT */
#include "gpu/context.h"

#include "gpu/fence.h"

/* What one attachment costs us, and the renderer about as much. */
#define ATTACHMENT_BYTES 64

struct gpu_context *gpu_context_find(struct gpu *gpu, uint32_t id)
{
	return g_hash_table_lookup(gpu->contexts, GUINT_TO_POINTER(id));
}

uint32_t gpu_context_create(struct gpu *gpu, uint32_t id, uint32_t context_init, const char *name)
{
	if (g_hash_table_size(gpu->contexts) >= gpu->config.limits.contexts) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	gpu->backend_used = true;
	uint32_t error = gpu->impl->ctx_create(gpu->backend, id, context_init, name);
	if (error != 0) {
		return error;
	}
	struct gpu_context *context = g_new0(struct gpu_context, 1);
	context->id = id;
	context->attached = g_hash_table_new(NULL, NULL);
	for (unsigned i = 0; i < VIRTIO_GPU_MAX_RINGS; i++) {
		g_queue_init(&context->timelines[i]);
	}
	g_hash_table_insert(gpu->contexts, GUINT_TO_POINTER(id), context);
	atomic_store(&gpu->stats.contexts, g_hash_table_size(gpu->contexts));
	return 0;
}

static void context_free(struct gpu *gpu, struct gpu_context *context)
{
	for (unsigned i = 0; i < VIRTIO_GPU_MAX_RINGS; i++) {
		gpu_fence_drain(gpu, &context->timelines[i]);
	}
	gpu_uncharge(gpu, (uint64_t)g_hash_table_size(context->attached) * ATTACHMENT_BYTES);
	g_hash_table_unref(context->attached);
	g_free(context);
}

void gpu_context_destroy(struct gpu *gpu, struct gpu_context *context)
{
	g_hash_table_remove(gpu->contexts, GUINT_TO_POINTER(context->id));
	atomic_store(&gpu->stats.contexts, g_hash_table_size(gpu->contexts));
	gpu->impl->ctx_destroy(gpu->backend, context->id);
	context_free(gpu, context);
}

uint32_t gpu_context_attach(struct gpu *gpu, struct gpu_context *context, uint32_t resource_id)
{
	if (gpu_context_attached(context, resource_id)) {
		return 0;
	}
	if (!gpu_charge(gpu, ATTACHMENT_BYTES)) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	g_hash_table_add(context->attached, GUINT_TO_POINTER(resource_id));
	gpu->impl->ctx_attach(gpu->backend, context->id, resource_id);
	return 0;
}

void gpu_context_detach(struct gpu *gpu, struct gpu_context *context, uint32_t resource_id)
{
	if (g_hash_table_remove(context->attached, GUINT_TO_POINTER(resource_id))) {
		gpu_uncharge(gpu, ATTACHMENT_BYTES);
		gpu->impl->ctx_detach(gpu->backend, context->id, resource_id);
	}
}

bool gpu_context_attached(const struct gpu_context *context, uint32_t resource_id)
{
	return g_hash_table_contains(context->attached, GUINT_TO_POINTER(resource_id));
}

void gpu_contexts_forget_resource(struct gpu *gpu, uint32_t resource_id)
{
	GHashTableIter iter;
	void *context;

	g_hash_table_iter_init(&iter, gpu->contexts);
	while (g_hash_table_iter_next(&iter, NULL, &context)) {
		gpu_context_detach(gpu, context, resource_id);
	}
}

void gpu_contexts_clear(struct gpu *gpu)
{
	GHashTableIter iter;
	void *context;

	g_hash_table_iter_init(&iter, gpu->contexts);
	while (g_hash_table_iter_next(&iter, NULL, &context)) {
		g_hash_table_iter_remove(&iter);
		context_free(gpu, context);
	}
	atomic_store(&gpu->stats.contexts, 0);
}
