/* SPDX-License-Identifier: MIT */
/*
 * Shared memory between a vtest client and the GPU, in the place of guest memory: each piece has a
 * guest address range of its own. Counted, because the GPU maps pieces on its worker thread and may
 * keep them longer than the client.
 */
#ifndef GPU_SERVICE_VTEST_MEMORY_H
#define GPU_SERVICE_VTEST_MEMORY_H

#include "gpu/gpu.h"

#include <pthread.h>

struct vtest_memory {
	pthread_mutex_t lock;
	GHashTable *pieces; /* id -> struct piece; guarded by lock */
	uint64_t bytes, max_bytes; /* guarded by lock */
};

void vtest_memory_init(struct vtest_memory *memory, uint64_t max_bytes);
void vtest_memory_finish(struct vtest_memory *memory); /* drops what is left */

/* Makes a piece of size bytes under an id that is not in use. *ret_fd is the caller's. */
bool vtest_memory_add(struct vtest_memory *memory, uint32_t id, uint32_t size, int *ret_fd,
		GError **error);

/* The client needs it no more. Unknown ids do nothing. */
void vtest_memory_remove(struct vtest_memory *memory, uint32_t id);

/* Where piece id begins for the GPU. */
uint64_t vtest_memory_address(uint32_t id);

/* As gpu_client_impl has them. */
bool vtest_memory_map(struct vtest_memory *memory, uint64_t guest, size_t len,
		struct gpu_mapping *ret_mapping);
void vtest_memory_unmap(struct vtest_memory *memory, struct gpu_mapping *mapping);

#endif
