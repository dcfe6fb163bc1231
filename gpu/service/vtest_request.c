/* SPDX-License-Identifier: MIT */
#include "gpu/service/vtest_request.h"

struct vtest_request *vtest_request_create(struct vtest_connection *connection, uint32_t type,
		uint32_t ctx_id, size_t command_len, size_t reply_len)
{
	struct vtest_request *request = g_malloc0(sizeof(*request) + reply_len);

	assert(command_len <= sizeof(request->command));
	assert(reply_len >= sizeof(struct virtio_gpu_ctrl_hdr));
	request->connection = connection;
	request->command.hdr.type = type;
	request->command.hdr.ctx_id = ctx_id;
	request->readable[0] = (struct iovec){&request->command, command_len};
	request->writable = (struct iovec){request->reply, reply_len};
	request->base = (struct gpu_request){
			.queue = VIRTIO_GPU_QUEUE_CONTROL,
			.readable = request->readable,
			.readable_count = 1,
			.writable = &request->writable,
			.writable_count = 1,
	};
	return request;
}

void vtest_request_destroy(struct vtest_request *request)
{
	if (request) {
		g_free(request->payload);
		g_free(request);
	}
}

void vtest_request_set_payload(struct vtest_request *request, void *take_data, size_t len)
{
	assert(!request->payload);
	request->payload = take_data;
	request->readable[1] = (struct iovec){take_data, len};
	request->base.readable_count = len > 0 ? 2 : 1;
}

void vtest_request_set_fence(struct vtest_request *request, uint64_t fence_id)
{
	request->fenced = true;
	request->command.hdr.flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;
	request->command.hdr.fence_id = fence_id;
}

bool vtest_request_succeeded(const struct vtest_request *request)
{
	uint32_t type = ((const struct virtio_gpu_ctrl_hdr *)request->reply)->type;

	return type >= VIRTIO_GPU_RESP_OK_NODATA && type < VIRTIO_GPU_RESP_ERR_UNSPEC;
}
