/* SPDX-License-Identifier: MIT */
/* Commands about resources, their backing and transfers (virtio 1.3, 5.7.6.8). */
#include "gpu/context.h"
#include "gpu/format.h"
#include "gpu/handlers.h"
#include "gpu/resource.h"

/* enum pipe_texture_target and VIRGL_BIND_*: what a 2D resource is to a 3D renderer. */
#define TARGET_TEXTURE_2D 2
#define TARGET_TEXTURE_3D 3
#define BIND_RENDER_TARGET (1u << 1)

/* The resource, or NULL with *ret_error set to the refusal. */
static struct gpu_resource *find(
		struct gpu *gpu, struct gpu_command *command, uint32_t id, uint32_t *ret_error)
{
	struct gpu_resource *resource = gpu_resource_find(gpu, id);

	if (!resource) {
		*ret_error = gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
				"no such resource");
	}
	return resource;
}

static uint32_t create(
		struct gpu *gpu, struct gpu_command *command, const struct gpu_resource_desc *desc)
{
	uint32_t error = gpu_resource_create(gpu, desc);

	if (error == 0) {
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	switch (error) {
	case VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID:
		return gpu_command_refuse(command, error, "id 0, or in use");
	case VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY:
		return gpu_command_refuse(command, error, "more than the limit or the host allows");
	default:
		return gpu_command_refuse(command, error, "no such resource can exist");
	}
}

uint32_t gpu_handle_resource_create_2d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_create_2d *request = &command->wire.create_2d;
	const struct gpu_resource_desc desc = {
			.id = request->resource_id,
			.target = TARGET_TEXTURE_2D,
			.format = request->format,
			.bind = BIND_RENDER_TARGET,
			.width = request->width,
			.height = request->height,
			.depth = 1,
			.array_size = 1,
			.flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP,
			.is_2d = true,
	};
	enum pixel_format pixel;
	uint64_t bytes;

	/* The id first: it is what drivers get wrong most easily. */
	if (desc.id != 0 && !gpu_resource_find(gpu, desc.id)) {
		if (!gpu_format_to_pixel(desc.format, &pixel)) {
			return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
					"not a 2D format");
		}
		if (!pixel_image_size(desc.width, desc.height, &bytes)) {
			return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
					"empty, or too wide or high");
		}
	}
	return create(gpu, command, &desc);
}

uint32_t gpu_handle_resource_create_3d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_create_3d *request = &command->wire.create_3d;
	const struct gpu_resource_desc desc = {
			.id = request->resource_id,
			.target = request->target,
			.format = request->format,
			.bind = request->bind,
			.width = request->width,
			.height = request->height,
			.depth = request->depth,
			.array_size = request->array_size,
			.last_level = request->last_level,
			.nr_samples = request->nr_samples,
			.flags = request->flags,
	};

	return create(gpu, command, &desc);
}

uint32_t gpu_handle_resource_unref(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t error = 0;
	struct gpu_resource *resource = find(
			gpu, command, command->wire.resource.resource_id, &error);

	if (!resource) {
		return error;
	}
	gpu_resource_destroy(gpu, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_handle_attach_backing(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t error = 0, count = command->wire.resource.argument;
	uint64_t bytes = (uint64_t)count * sizeof(struct virtio_gpu_mem_entry);
	struct gpu_resource *resource = find(
			gpu, command, command->wire.resource.resource_id, &error);

	if (!resource) {
		return error;
	}
	if (gpu_resource_has_backing(resource)) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "the resource has a backing");
	}
	if (bytes > gpu->config.limits.request_bytes) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
				"more entries than the limit allows");
	}
	if (!range_within(command->type->request_len, bytes, command->readable)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC, "request cut short");
	}
	g_autofree struct virtio_gpu_mem_entry *entries = g_try_malloc(bytes);
	if (count > 0 && !entries) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
				"no memory for the entries");
	}
	if (!gpu_command_get_payload(command, entries, bytes)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC, "request cut short");
	}
	error = gpu_resource_attach_backing(gpu, resource, entries, count);
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA
			  : gpu_command_refuse(command, error, "empty, or not guest memory");
}

uint32_t gpu_handle_detach_backing(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t error = 0;
	struct gpu_resource *resource = find(
			gpu, command, command->wire.resource.resource_id, &error);

	if (!resource) {
		return error;
	}
	if (!gpu_resource_has_backing(resource)) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "the resource has no backing");
	}
	gpu_resource_detach_backing(gpu, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_handle_assign_uuid(struct gpu *gpu, struct gpu_command *command)
{
	uint32_t error = 0;
	struct gpu_resource *resource = find(
			gpu, command, command->wire.resource.resource_id, &error);

	if (!resource) {
		return error;
	}
	if (!resource->has_uuid) {
		uuid_generate(resource->uuid);
		resource->has_uuid = true;
	}
	(void)gpu_command_put_payload(command, resource->uuid, sizeof(resource->uuid));
	return VIRTIO_GPU_RESP_OK_RESOURCE_UUID;
}

/* Whether rows of a rectangle, stride bytes apart from offset on, lie inside size bytes. */
static bool rows_within(
		uint64_t offset, uint64_t stride, const struct virtio_gpu_rect *r, uint64_t size)
{
	uint64_t extent, row = (uint64_t)r->width * GPU_BYTES_PER_PIXEL;

	if (r->width == 0 || r->height == 0) {
		return offset <= size;
	}
	/* Sizes are at most GPU_MAX_IMAGE_SIZE each: nothing here overflows. */
	extent = stride * (r->height - 1) + row;
	return range_within(offset, extent, size);
}

uint32_t gpu_handle_transfer_to_host_2d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_transfer_to_host_2d *request = &command->wire.transfer_2d;
	const struct virtio_gpu_rect *r = &request->r;
	struct rect rect = {r->x, r->y, r->width, r->height};
	uint32_t error = 0;
	struct gpu_resource *resource = find(gpu, command, request->resource_id, &error);

	if (!resource) {
		return error;
	}
	if (!gpu_resource_is_image(resource)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"not an image of four bytes a pixel");
	}
	if (!rect_within(&rect, resource->desc.width, resource->desc.height)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"rectangle outside the resource");
	}
	if (!gpu_resource_has_backing(resource)) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "the resource has no backing");
	}
	/* The backing is laid out as the whole image. */
	uint32_t stride = resource->desc.width * GPU_BYTES_PER_PIXEL;
	if (!rows_within(request->offset, stride, r, resource->backing.size)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"rectangle outside the backing");
	}
	if (rect_empty(&rect)) {
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	const struct gpu_transfer transfer = {
			.resource_id = request->resource_id,
			.box = {r->x, r->y, 0, r->width, r->height, 1},
			.offset = request->offset,
			.stride = stride,
	};
	error = gpu->impl->transfer_to_host(gpu->backend, &transfer);
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA : error;
}

/* Size of a mipmap level. */
static uint32_t minify(uint32_t size, uint32_t level)
{
	return MAX(size >> MIN(level, 31), 1);
}

/* Whether box lies inside a level of the resource. Layers of arrays and cubes count in z. */
static bool box_within(const struct gpu_resource_desc *desc, const struct virtio_gpu_box *box,
		uint32_t level)
{
	uint32_t depth = desc->target == TARGET_TEXTURE_3D ? minify(desc->depth, level)
							   : MAX(desc->array_size, 1);

	return level <= desc->last_level &&
	       range_within(box->x, box->width, minify(desc->width, level)) &&
	       range_within(box->y, box->height, minify(desc->height, level)) &&
	       range_within(box->z, box->depth, depth);
}

/* What both directions check; on success *ret_transfer is what the renderer is to do. Returns 0 or the error. */
static uint32_t transfer_3d_check(struct gpu *gpu, struct gpu_command *command,
		struct gpu_resource **ret_resource, struct gpu_transfer *ret_transfer)
{
	const struct virtio_gpu_transfer_host_3d *request = &command->wire.transfer_3d;
	uint32_t error = 0, ctx_id = request->hdr.ctx_id;
	struct gpu_context *context = gpu_context_find(gpu, ctx_id);

	if (ctx_id != 0 && !context) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, "no such context");
	}
	struct gpu_resource *resource = find(gpu, command, request->resource_id, &error);
	if (!resource) {
		return error;
	}
	if (context && !gpu_context_attached(context, request->resource_id)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
				"the resource is not attached to the context");
	}
	if (!box_within(&resource->desc, &request->box, request->level)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"box outside the resource");
	}
	if (!gpu_resource_has_backing(resource)) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "the resource has no backing");
	}
	if (request->offset > resource->backing.size) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"offset outside the backing");
	}
	*ret_resource = resource;
	*ret_transfer = (struct gpu_transfer){
			.ctx_id = ctx_id,
			.resource_id = request->resource_id,
			.level = request->level,
			.box = request->box,
			.offset = request->offset,
			.stride = request->stride,
			.layer_stride = request->layer_stride,
	};
	return 0;
}

uint32_t gpu_handle_transfer_to_host_3d(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_resource *resource = NULL;
	struct gpu_transfer transfer = {0};

	uint32_t error = transfer_3d_check(gpu, command, &resource, &transfer);
	if (error == 0) {
		error = gpu->impl->transfer_to_host(gpu->backend, &transfer);
	}
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA : error;
}

uint32_t gpu_handle_transfer_from_host_3d(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_resource *resource = NULL;
	struct gpu_transfer transfer = {0};

	uint32_t error = transfer_3d_check(gpu, command, &resource, &transfer);
	if (error != 0) {
		return error;
	}
	error = gpu->impl->transfer_from_host(gpu->backend, &transfer);
	/*
	 * How far the renderer wrote depends on formats that only it knows, and a failure may come half way: everything from offset
	 * on counts as written.
	 */
	gpu_resource_backing_written(gpu, resource, transfer.offset, UINT64_MAX);
	return error == 0 ? VIRTIO_GPU_RESP_OK_NODATA : error;
}
