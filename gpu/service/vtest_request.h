/* SPDX-License-Identifier: MIT */
/*
 * Virtio commands that the vtest server sends to the GPU, each with all its buffers in one
 * allocation.
 */
#ifndef GPU_SERVICE_VTEST_REQUEST_H
#define GPU_SERVICE_VTEST_REQUEST_H

#include "gpu/gpu.h"

struct vtest_connection;

struct vtest_request {
	struct gpu_request base;
	struct vtest_connection *connection; /* NULL: the server's own */
	struct vtest_request *next; /* in the server's list of completed ones */
	bool fenced;

	struct iovec readable[2]; /* the command, and what follows it */
	struct iovec writable;
	void *payload; /* owned; may be NULL */
	union {
		struct virtio_gpu_ctrl_hdr hdr;
		struct virtio_gpu_ctx_create ctx_create;
		struct virtio_gpu_resource_cmd resource;
		struct virtio_gpu_resource_create_3d create_3d;
		struct virtio_gpu_transfer_host_3d transfer;
		struct virtio_gpu_cmd_submit submit;
		struct virtio_gpu_get_capset_info get_capset_info;
		struct virtio_gpu_get_capset get_capset;
	} command;
	_Alignas(8) uint8_t reply[]; /* struct virtio_gpu_ctrl_hdr and what follows it */
};

/*
 * A command of this type and length, zero but for its header, with room for a reply. Fill in, then
 * send.
 */
struct vtest_request *vtest_request_create(struct vtest_connection *connection, uint32_t type,
		uint32_t ctx_id, size_t command_len, size_t reply_len);
void vtest_request_destroy(struct vtest_request *request); /* may be NULL */

/* What follows the command; takes data (g_malloc). */
void vtest_request_set_payload(struct vtest_request *request, void *take_data, size_t len);

/* Completes when the work has, on the context's timeline. */
void vtest_request_set_fence(struct vtest_request *request, uint64_t fence_id);

/* Whether the GPU did it. */
bool vtest_request_succeeded(const struct vtest_request *request);

#endif
