/* SPDX-License-Identifier: MIT */
/* Rendering contexts: their ids, what is attached to them, and their fence timelines. Worker thread. */
#ifndef GPU_CONTEXT_H
#define GPU_CONTEXT_H

#include "gpu/state.h"

struct gpu_context {
	uint32_t id;
	GHashTable *attached; /* resource ids */
	GQueue timelines[VIRTIO_GPU_MAX_RINGS]; /* struct gpu_command */
};

/* NULL if there is none. */
struct gpu_context *gpu_context_find(struct gpu *gpu, uint32_t id);

/* Returns 0 or the virtio error. id has been found free. name ends with a NUL. */
uint32_t gpu_context_create(struct gpu *gpu, uint32_t id, uint32_t context_init, const char *name);

/* Its own fences are due; nobody else's are. */
void gpu_context_destroy(struct gpu *gpu, struct gpu_context *context);

/* Both do nothing if it is so already. attach returns 0 or the virtio error. */
uint32_t gpu_context_attach(struct gpu *gpu, struct gpu_context *context, uint32_t resource_id);
void gpu_context_detach(struct gpu *gpu, struct gpu_context *context, uint32_t resource_id);
bool gpu_context_attached(const struct gpu_context *context, uint32_t resource_id);

/* The resource is going away: detaches it everywhere. */
void gpu_contexts_forget_resource(struct gpu *gpu, uint32_t resource_id);

/* All contexts are gone, with the renderer: their fences are due. */
void gpu_contexts_clear(struct gpu *gpu);

#endif
