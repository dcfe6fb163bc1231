/* SPDX-License-Identifier: MIT */
/* Commands about capability sets, contexts and streams (virtio 1.3, 5.7.6.8). Offered with a 3D renderer only. */
#include "gpu/context.h"
#include "gpu/handlers.h"
#include "gpu/resource.h"

/* Submitting thread: capability sets are constant. */
uint32_t gpu_handle_get_capset_info(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t index = command->wire.get_capset_info.capset_index;

	if (index >= gpu->capset_count) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, "no such capset");
	}
	const struct virtio_gpu_resp_capset_info reply = {
			.capset_id = gpu->capsets[index].id,
			.capset_max_version = gpu->capsets[index].version,
			.capset_max_size = gpu->capsets[index].size,
	};
	(void)gpu_command_put_payload(command, &reply.capset_id, sizeof(reply) - sizeof(reply.hdr));
	return VIRTIO_GPU_RESP_OK_CAPSET_INFO;
}

static const struct gpu_capset *capset_find(const struct gpu *gpu, uint32_t id)
{
	for (unsigned i = 0; i < gpu->capset_count; i++) {
		if (gpu->capsets[i].id == id) {
			return &gpu->capsets[i];
		}
	}
	return NULL;
}

uint32_t gpu_handle_get_capset(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_get_capset *request = &command->wire.get_capset;
	const struct gpu_capset *capset = capset_find(gpu, request->capset_id);

	if (!capset || request->capset_version > capset->version) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"no such capset, or no such version of it");
	}
	g_autofree uint8_t *data = g_malloc0(capset->size);
	if (!gpu->impl->capset(gpu->backend, capset->id, request->capset_version, data)) {
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	}
	if (!gpu_command_put_payload(command, data, capset->size)) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "no room for the reply");
	}
	return VIRTIO_GPU_RESP_OK_CAPSET;
}

static uint32_t context_init_check(
		const struct gpu *gpu, struct gpu_command *command, uint32_t *ret_context_init)
{
	uint32_t context_init = command->wire.ctx_create.context_init;
	uint32_t id = context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK;

	if ((gpu->features & BIT(VIRTIO_GPU_F_CONTEXT_INIT)) == 0) {
		*ret_context_init = 0; /* padding to drivers that do not know the feature */
		return 0;
	}
	if (context_init != id || (id != 0 && !capset_find(gpu, id))) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"context_init names no capset");
	}
	*ret_context_init = context_init;
	return 0;
}

uint32_t gpu_handle_ctx_create(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_ctx_create *request = &command->wire.ctx_create;
	char name[sizeof(request->debug_name) + 1] = "";
	uint32_t context_init = 0, id = request->hdr.ctx_id;

	if (id == 0 || gpu_context_find(gpu, id)) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, "id 0, or in use");
	}
	if (request->nlen > sizeof(request->debug_name)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"name longer than its field");
	}
	uint32_t error = context_init_check(gpu, command, &context_init);
	if (error != 0) {
		return error;
	}
	memcpy(name, request->debug_name, request->nlen);
	error = gpu_context_create(gpu, id, context_init, name);
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA : error;
}

/* The context that the header names, or NULL with *ret_error set to the refusal. */
static struct gpu_context *find(struct gpu *gpu, struct gpu_command *command, uint32_t *ret_error)
{
	struct gpu_context *context = gpu_context_find(gpu, command->wire.hdr.ctx_id);

	if (!context) {
		*ret_error = gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, "no such context");
	}
	return context;
}

uint32_t gpu_handle_ctx_destroy(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t error = 0;
	struct gpu_context *context = find(gpu, command, &error);

	if (!context) {
		return error;
	}
	gpu_context_destroy(gpu, context);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Context and resource of the two commands below; false with *ret_error set to the refusal. */
static bool find_both(struct gpu *gpu, struct gpu_command *command,
		struct gpu_context **ret_context, uint32_t *ret_error)
{
	struct gpu_context *context = find(gpu, command, ret_error);

	if (!context) {
		return false;
	}
	if (!gpu_resource_find(gpu, command->wire.resource.resource_id)) {
		*ret_error = gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
				"no such resource");
		return false;
	}
	*ret_context = context;
	return true;
}

uint32_t gpu_handle_ctx_attach_resource(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_context *context;
	uint32_t error = 0;

	if (!find_both(gpu, command, &context, &error)) {
		return error;
	}
	error = gpu_context_attach(gpu, context, command->wire.resource.resource_id);
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA : error;
}

uint32_t gpu_handle_ctx_detach_resource(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_context *context;
	uint32_t error = 0;

	if (!find_both(gpu, command, &context, &error)) {
		return error;
	}
	gpu_context_detach(gpu, context, command->wire.resource.resource_id);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_handle_submit_3d(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t error = 0, size = command->wire.submit.size;
	struct gpu_context *context = find(gpu, command, &error);

	if (!context) {
		return error;
	}
	if (size % sizeof(uint32_t) != 0) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"stream is not whole words");
	}
	if (size > gpu->config.limits.request_bytes) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
				"stream longer than the limit allows");
	}
	if (!range_within(command->type->request_len, size, command->readable)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC, "request cut short");
	}
	if (size == 0) {
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	g_autofree uint32_t *words = g_try_malloc(size);
	if (!words) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
				"no memory for the stream");
	}
	if (!gpu_command_get_payload(command, words, size)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC, "request cut short");
	}
	error = gpu->impl->submit(gpu->backend, context->id, words, size);
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA : error;
}
