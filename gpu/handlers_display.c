/* SPDX-License-Identifier: MIT */
/* Commands about modes, monitors and what heads show (virtio 1.3, 5.7.6.8). */
#include "gpu/edid.h"
#include "gpu/handlers.h"
#include "gpu/resource.h"
#include "gpu/scanout.h"

/* Heads stand side by side, in their order. Submitting thread. */
uint32_t gpu_handle_get_display_info(struct gpu *gpu, struct gpu_command *command)
{
	struct virtio_gpu_display_one modes[VIRTIO_GPU_MAX_SCANOUTS] = {0};
	uint32_t x = 0;

	pthread_mutex_lock(&gpu->lock);
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		const struct gpu_head *head = &gpu->heads[i];

		if (head->mode_width > 0) {
			modes[i].enabled = 1;
			modes[i].r = (struct virtio_gpu_rect){
					x, 0, head->mode_width, head->mode_height};
			x += head->mode_width;
		}
	}
	pthread_mutex_unlock(&gpu->lock);
	(void)gpu_command_put_payload(
			command, modes, sizeof(modes)); /* the table saw to the room */
	return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

/* Submitting thread. */
uint32_t gpu_handle_get_edid(struct gpu *gpu, struct gpu_command *command)
{
	struct virtio_gpu_resp_edid reply = {0};
	uint32_t number = command->wire.get_edid.scanout;

	if (number >= gpu->config.scanouts) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, "no such scanout");
	}
	pthread_mutex_lock(&gpu->lock);
	uint32_t width = gpu->heads[number].mode_width, height = gpu->heads[number].mode_height;
	pthread_mutex_unlock(&gpu->lock);
	if (width == 0) {
		/* Drivers ask for monitors that are not connected, too. */
		width = gpu->config.width;
		height = gpu->config.height;
	}
	_Static_assert(EDID_MAX_SIZE <= VIRTIO_GPU_EDID_MAX, "an EDID fits the reply");
	reply.size = (uint32_t)edid_build(number, width, height, reply.edid);
	(void)gpu_command_put_payload(command, &reply.size, sizeof(reply) - sizeof(reply.hdr));
	return VIRTIO_GPU_RESP_OK_EDID;
}

uint32_t gpu_handle_set_scanout(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_set_scanout *request = &command->wire.set_scanout;
	struct rect source = {request->r.x, request->r.y, request->r.width, request->r.height};

	if (request->scanout_id >= gpu->config.scanouts) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, "no such scanout");
	}
	struct gpu_head *head = &gpu->heads[request->scanout_id];
	if (request->resource_id == 0) {
		gpu_scanout_disable(gpu, head);
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);
	if (!resource) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
				"no such resource");
	}
	if (!gpu_resource_is_image(resource)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"the resource cannot be shown");
	}
	if (rect_empty(&source) ||
			!rect_within(&source, resource->desc.width, resource->desc.height)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"rectangle empty or outside the resource");
	}
	gpu_scanout_set(gpu, head, resource, &source);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_handle_resource_flush(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_flush *request = &command->wire.flush;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);
	struct rect rect = {request->r.x, request->r.y, request->r.width, request->r.height};

	if (!resource) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
				"no such resource");
	}
	if (!rect_within(&rect, resource->desc.width, resource->desc.height)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"rectangle outside the resource");
	}
	(void)gpu_scanout_flush(
			gpu, resource, &rect, command); /* it marks a command that must wait */
	return VIRTIO_GPU_RESP_OK_NODATA;
}
