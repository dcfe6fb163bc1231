/* SPDX-License-Identifier: MIT */
/* Resources of the virgl back end: what they take, how they are filled, read and shown. */
#include "core/base/iov.h"
#include "core/virtio/virgl.h"
#include "gpu/backends/virgl.h"
#include "gpu/backends/virgl_format.h"

#define MAX_TRANSFER INT32_MAX /* bytes; the renderer calculates in 32 bits */
#define MAX_TEXEL 32 /* bytes of the largest format */

static struct virgl_resource *find_resource(struct virgl_backend *virgl, uint32_t id)
{
	return g_hash_table_lookup(virgl->resources, GUINT_TO_POINTER(id));
}

/* What checkers ask. */

static struct stream_resource *handle_find(struct stream_resources *resources, uint32_t id)
{
	struct virgl_backend *virgl = container_of(
			resources, struct virgl_backend, stream_resources);
	struct virgl_resource *resource = find_resource(virgl, id);

	return resource ? &resource->stream : NULL;
}

static void handle_hold(struct stream_resources *resources, struct stream_resource *stream)
{
	struct virgl_resource *resource = container_of(stream, struct virgl_resource, stream);

	(void)resources;
	resource->holds++;
}

/* The renderer gives the memory of a resource back. */
static void resource_free(struct virgl_backend *virgl, struct virgl_resource *resource)
{
	virgl->bytes -= resource->bytes;
	g_free(resource);
}

static void handle_release(struct stream_resources *resources, struct stream_resource *stream)
{
	struct virgl_backend *virgl = container_of(
			resources, struct virgl_backend, stream_resources);
	struct virgl_resource *resource = container_of(stream, struct virgl_resource, stream);

	assert(resource->holds > 0);
	if (--resource->holds == 0 && resource->gone) {
		resource_free(virgl, resource);
	}
}

void virgl_resources_init(struct virgl_backend *virgl)
{
	virgl->resources = g_hash_table_new(g_direct_hash, g_direct_equal);
	virgl->stream_resources = (struct stream_resources){
			.find = handle_find,
			.hold = handle_hold,
			.release = handle_release,
	};
}

void virgl_resources_finish(struct virgl_backend *virgl)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, virgl->resources);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		resource_free(virgl, value);
	}
	assert(virgl->bytes == 0);
	g_hash_table_destroy(virgl->resources);
}

bool virgl_resource_size(struct gpu_backend *backend, const struct gpu_resource_desc *desc,
		uint64_t *ret_bytes)
{
	(void)backend;
	return virgl_resource_bytes(desc, ret_bytes);
}

/* Fills in what CREATE_2D leaves open. */
static void complete_2d(struct gpu_resource_desc *desc)
{
	desc->target = VIRGL_TARGET_2D;
	desc->bind = VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER_VIEW;
	desc->depth = 1;
	desc->array_size = 1;
	desc->last_level = 0;
	desc->nr_samples = 0;
	desc->flags = 0;
	/* The renderer knows these bytes only by the name with alpha. */
	if (desc->format == VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM) {
		desc->format = VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM;
	}
}

uint32_t virgl_resource_create(struct gpu_backend *backend, const struct gpu_resource_desc *desc)
{
	struct virgl_backend *virgl = virgl_from(backend);
	struct gpu_resource_desc full = *desc;
	uint64_t bytes;

	assert(!find_resource(virgl, desc->id));
	if (desc->is_2d) {
		complete_2d(&full);
	}
	if (!virgl_resource_bytes(&full, &bytes)) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	/* The GPU's accounting knows nothing of what is destroyed and yet held. */
	if (bytes > virgl->limits->host_bytes - virgl->bytes) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	struct virgl_renderer_resource_create_args args = {
			.handle = full.id,
			.target = full.target,
			.format = full.format,
			.bind = full.bind,
			.width = full.width,
			.height = full.height,
			.depth = full.depth,
			.array_size = full.array_size,
			.last_level = full.last_level,
			.nr_samples = full.nr_samples,
			.flags = full.flags,
	};
	int result = virgl_renderer_resource_create(&args, NULL, 0);
	if (result != 0) {
		return virgl_error_of(result);
	}
	struct virgl_resource *resource = g_new0(struct virgl_resource, 1);
	resource->desc = full;
	resource->format = desc->format;
	resource->bytes = bytes;
	virgl_stream_resource(&full, &resource->stream);
	virgl->bytes += bytes;
	g_hash_table_insert(virgl->resources, GUINT_TO_POINTER(desc->id), resource);
	return 0;
}

void virgl_resource_destroy(struct gpu_backend *backend, uint32_t resource_id)
{
	struct virgl_backend *virgl = virgl_from(backend);
	struct virgl_resource *resource = find_resource(virgl, resource_id);

	if (!resource) {
		return;
	}
	(void)g_hash_table_steal(virgl->resources, GUINT_TO_POINTER(resource_id));
	virgl_renderer_resource_unref(resource_id);
	resource->gone = true;
	if (resource->holds == 0) {
		resource_free(virgl, resource);
	}
}

uint32_t virgl_backing_attach(struct gpu_backend *backend, uint32_t resource_id, struct iovec *iov,
		unsigned count)
{
	struct virgl_resource *resource = find_resource(virgl_from(backend), resource_id);

	if (!resource) {
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	}
	if (resource->backing > 0 || count > INT32_MAX) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	int result = virgl_renderer_resource_attach_iov((int)resource_id, iov, (int)count);
	if (result == 0) {
		resource->backing = iov_size(iov, count);
	}
	return virgl_error_of(result);
}

void virgl_backing_detach(struct gpu_backend *backend, uint32_t resource_id)
{
	struct virgl_resource *resource = find_resource(virgl_from(backend), resource_id);

	if (resource) {
		/* The list is the caller's. */
		virgl_renderer_resource_detach_iov((int)resource_id, NULL, NULL);
		resource->backing = 0;
	}
}

/* Transfers. */

/* What the renderer checks too, but in 32 bits. */
static bool transfer_fits(
		const struct virgl_resource *resource, const struct gpu_transfer *transfer)
{
	const struct virtio_gpu_box *box = &transfer->box;
	uint64_t last;

	if (!stream_box_within(&resource->stream, transfer->level, box) || box->width == 0 ||
			box->height == 0 || box->depth == 0) {
		return false;
	}
	unsigned texel = resource->desc.target == VIRGL_TARGET_BUFFER ? 1 : MAX_TEXEL;
	if ((uint64_t)box->width * box->height > MAX_TRANSFER / texel / box->depth) {
		return false;
	}
	/* Where the last row begins; its length is the renderer's to check. */
	last = (uint64_t)(box->depth - 1) * transfer->layer_stride +
	       (uint64_t)(box->height - 1) * transfer->stride;
	return last <= MAX_TRANSFER && range_within(transfer->offset, last, resource->backing);
}

/* Returns the resource if the transfer may go to the renderer; else NULL and the error to reply. */
static struct virgl_resource *prepare_transfer(struct virgl_backend *virgl,
		const struct gpu_transfer *transfer, struct gpu_transfer *ret_full,
		uint32_t *ret_error)
{
	struct virgl_resource *resource = find_resource(virgl, transfer->resource_id);
	struct virgl_context *context = NULL;

	if (!resource) {
		*ret_error = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
		return NULL;
	}
	if (transfer->ctx_id != 0) {
		context = virgl_find_context(virgl, transfer->ctx_id);
		if (!context) {
			*ret_error = VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
			return NULL;
		}
	}
	if (!transfer_fits(resource, transfer)) {
		*ret_error = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		return NULL;
	}
	*ret_full = *transfer;
	if (resource->desc.is_2d && transfer->stride == 0) {
		ret_full->stride = resource->desc.width * 4;
	}
	if (context) {
		context->dirty = true;
	} else {
		virgl->ctx0_dirty = true;
	}
	return resource;
}

uint32_t virgl_transfer_to_host(struct gpu_backend *backend, const struct gpu_transfer *transfer)
{
	struct gpu_transfer full;
	uint32_t error = 0;

	if (!prepare_transfer(virgl_from(backend), transfer, &full, &error)) {
		return error;
	}
	return virgl_error_of(virgl_renderer_transfer_write_iov(full.resource_id, full.ctx_id,
			(int)full.level, full.stride, full.layer_stride,
			(struct virgl_box *)&full.box, full.offset, NULL, 0));
}

uint32_t virgl_transfer_from_host(struct gpu_backend *backend, const struct gpu_transfer *transfer)
{
	struct gpu_transfer full;
	uint32_t error = 0;

	if (!prepare_transfer(virgl_from(backend), transfer, &full, &error)) {
		return error;
	}
	return virgl_error_of(virgl_renderer_transfer_read_iov(full.resource_id, full.ctx_id,
			full.level, full.stride, full.layer_stride, (struct virgl_box *)&full.box,
			full.offset, NULL, 0));
}

/* Pictures. */

/* Whether a scanout can show it: one level of plain 2D in one of the eight formats. */
static bool is_picture(const struct virgl_resource *resource, enum pixel_format *ret_format)
{
	const struct gpu_resource_desc *desc = &resource->desc;

	return (desc->target == VIRGL_TARGET_2D || desc->target == VIRGL_TARGET_RECT) &&
	       desc->nr_samples <= 1 && virgl_pixel_format(resource->format, ret_format);
}

uint32_t virgl_read_pixels(struct gpu_backend *backend, uint32_t resource_id,
		const struct rect *rect, void *buf, uint32_t stride, enum pixel_format *ret_format)
{
	struct virgl_resource *resource = find_resource(virgl_from(backend), resource_id);

	if (!resource) {
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	}
	if (!is_picture(resource, ret_format) ||
			!rect_within(rect, resource->desc.width, resource->desc.height)) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	if (rect_empty(rect)) {
		return 0;
	}
	struct virtio_gpu_box box = {rect->x, rect->y, 0, rect->width, rect->height, 1};
	struct iovec iov = {
			.iov_base = buf,
			.iov_len = (size_t)(rect->height - 1) * stride + (size_t)rect->width * 4,
	};
	return virgl_error_of(virgl_renderer_transfer_read_iov(
			resource_id, 0, 0, stride, 0, (struct virgl_box *)&box, 0, &iov, 1));
}

bool virgl_scanout_image(struct gpu_backend *backend, uint32_t resource_id, uint32_t accepts,
		struct display_frame *ret_frame)
{
	struct virgl_resource *resource = find_resource(virgl_from(backend), resource_id);
	struct virgl_renderer_resource_info info;

	if (!(accepts & DISPLAY_IMAGE_TEXTURE) || !resource ||
			!is_picture(resource, &ret_frame->format) ||
			resource->desc.target != VIRGL_TARGET_2D) {
		return false;
	}
	if (virgl_renderer_resource_get_info((int)resource_id, &info) != 0 || info.tex_id == 0) {
		return false;
	}
	ret_frame->kind = DISPLAY_IMAGE_TEXTURE;
	ret_frame->image_width = resource->desc.width;
	ret_frame->image_height = resource->desc.height;
	ret_frame->texture = info.tex_id;
	ret_frame->y_inverted = resource->desc.flags & VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP;
	return true;
}
