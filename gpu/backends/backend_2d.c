/* SPDX-License-Identifier: MIT */
/*
 * 2D without a renderer: every resource is an image in host memory, four bytes a pixel, in its own format. Transfers copy rows from
 * guest memory; whoever shows the image converts. All work is complete when a call returns.
 */
#include "gpu/backends/backend.h"

#include "gpu/format.h"

#include <sys/mman.h>

struct image {
	uint32_t width, height;
	enum pixel_format format;
	uint8_t *pixels; /* rows top down, tight */
	size_t size; /* bytes */
	struct iovec *iov; /* the backing; NULL: none */
	unsigned iov_count;
};

struct backend_2d {
	struct gpu_backend base;
	struct gpu_backend_events *events;
	GHashTable *images; /* id -> struct image */
};

static struct backend_2d *backend_2d_from(struct gpu_backend *backend)
{
	assert(backend->impl == &gpu_backend_2d);
	return container_of(backend, struct backend_2d, base);
}

static struct image *image_find(struct gpu_backend *backend, uint32_t id)
{
	struct backend_2d *b = backend_2d_from(backend);
	struct image *image = g_hash_table_lookup(b->images, GUINT_TO_POINTER(id));

	assert(image); /* the GPU knows which ids exist */
	return image;
}

static void image_free(void *data)
{
	struct image *image = data;

	if (image->pixels) {
		(void)munmap(image->pixels, image->size); /* our own mapping */
	}
	g_free(image);
}

static struct gpu_backend *backend_2d_create(
		const struct gpu_backend_config *config, GError **error)
{
	struct backend_2d *b = g_new0(struct backend_2d, 1);

	(void)error; /* nothing to fail */
	b->base.impl = &gpu_backend_2d;
	b->events = config->events;
	b->images = g_hash_table_new_full(NULL, NULL, NULL, image_free);
	return &b->base;
}

static void backend_2d_destroy(struct gpu_backend *backend)
{
	struct backend_2d *b = backend_2d_from(backend);

	g_hash_table_unref(b->images);
	g_free(b);
}

static int backend_2d_poll_fd(struct gpu_backend *backend)
{
	(void)backend;
	return -1;
}

static void backend_2d_poll(struct gpu_backend *backend)
{
	(void)backend;
}

static bool backend_2d_resource_size(struct gpu_backend *backend,
		const struct gpu_resource_desc *desc, uint64_t *ret_bytes)
{
	enum pixel_format format;

	(void)backend;
	return desc->is_2d && gpu_format_to_pixel(desc->format, &format) &&
	       pixel_image_size(desc->width, desc->height, ret_bytes);
}

static uint32_t backend_2d_resource_create(
		struct gpu_backend *backend, const struct gpu_resource_desc *desc)
{
	struct backend_2d *b = backend_2d_from(backend);
	struct image *image = g_new0(struct image, 1);
	uint64_t size;

	if (!gpu_format_to_pixel(desc->format, &image->format) ||
			!pixel_image_size(desc->width, desc->height, &size)) {
		image_free(image);
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	/* Not from the heap: pages cost nothing until they are drawn on, and go back at once. */
	void *pixels = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pixels == MAP_FAILED) {
		image_free(image);
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	image->width = desc->width;
	image->height = desc->height;
	image->pixels = pixels;
	image->size = size;
	g_hash_table_insert(b->images, GUINT_TO_POINTER(desc->id), image);
	return 0;
}

static void backend_2d_resource_destroy(struct gpu_backend *backend, uint32_t resource_id)
{
	g_hash_table_remove(backend_2d_from(backend)->images, GUINT_TO_POINTER(resource_id));
}

static uint32_t backend_2d_backing_attach(struct gpu_backend *backend, uint32_t resource_id,
		struct iovec *iov, unsigned count)
{
	struct image *image = image_find(backend, resource_id);

	image->iov = iov;
	image->iov_count = count;
	return 0;
}

static void backend_2d_backing_detach(struct gpu_backend *backend, uint32_t resource_id)
{
	struct image *image = image_find(backend, resource_id);

	image->iov = NULL;
	image->iov_count = 0;
}

/* A place in a backing that only moves forward, so that many rows over many pages stay one walk. */
struct reader {
	const struct iovec *iov;
	unsigned count;
	uint64_t offset; /* into iov[0] */
};

static bool reader_skip(struct reader *reader, uint64_t len)
{
	reader->offset += len;
	while (reader->count > 0 && reader->offset >= reader->iov->iov_len) {
		reader->offset -= reader->iov->iov_len;
		reader->iov++;
		reader->count--;
	}
	return reader->count > 0;
}

/* Copies len bytes and moves past them; false at the end of the backing. */
static bool reader_copy(struct reader *reader, uint8_t *to, size_t len)
{
	while (len > 0) {
		if (!reader_skip(reader, 0)) {
			return false;
		}
		size_t n = MIN(reader->iov->iov_len - reader->offset, len);
		memcpy(to, (const uint8_t *)reader->iov->iov_base + reader->offset, n);
		reader->offset += n;
		to += n;
		len -= n;
	}
	return true;
}

static uint32_t backend_2d_transfer_to_host(
		struct gpu_backend *backend, const struct gpu_transfer *transfer)
{
	const struct virtio_gpu_box *box = &transfer->box;
	struct image *image = image_find(backend, transfer->resource_id);
	struct reader reader = {image->iov, image->iov_count, 0};
	size_t stride = (size_t)image->width * GPU_BYTES_PER_PIXEL;
	size_t row = (size_t)box->width * GPU_BYTES_PER_PIXEL;
	uint64_t gap = (transfer->stride > 0 ? transfer->stride : stride) - row;
	uint8_t *to = image->pixels + box->y * stride + (size_t)box->x * GPU_BYTES_PER_PIXEL;

	assert(range_within(box->x, box->width, image->width));
	assert(range_within(box->y, box->height, image->height));
	(void)reader_skip(&reader, transfer->offset); /* copying finds out */
	for (uint32_t y = 0; y < box->height; y++, to += stride) {
		if (y > 0) {
			(void)reader_skip(&reader, gap);
		}
		if (!reader_copy(&reader, to, row)) {
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		}
	}
	return 0;
}

static uint32_t backend_2d_fence(
		struct gpu_backend *backend, struct gpu_timeline_id timeline, uint64_t seq)
{
	struct backend_2d *b = backend_2d_from(backend);

	b->events->fence_signalled(b->events, timeline, seq);
	return 0;
}

static uint32_t backend_2d_read_pixels(struct gpu_backend *backend, uint32_t resource_id,
		const struct rect *rect, void *buf, uint32_t stride, enum pixel_format *ret_format)
{
	const struct image *image = image_find(backend, resource_id);
	size_t image_stride = (size_t)image->width * GPU_BYTES_PER_PIXEL;
	const uint8_t *from = image->pixels + rect->y * image_stride +
			      (size_t)rect->x * GPU_BYTES_PER_PIXEL;
	uint8_t *to = buf;

	assert(rect_within(rect, image->width, image->height));
	for (uint32_t y = 0; y < rect->height; y++, from += image_stride, to += stride) {
		memcpy(to, from, (size_t)rect->width * GPU_BYTES_PER_PIXEL);
	}
	*ret_format = image->format;
	return 0;
}

static bool backend_2d_scanout_image(struct gpu_backend *backend, uint32_t resource_id,
		uint32_t accepts, struct display_frame *ret_frame)
{
	/* A display would read what the next transfer is writing. */
	(void)backend;
	(void)resource_id;
	(void)accepts;
	(void)ret_frame;
	return false;
}

/* What belongs to 3D is never called: is_3d is false. */
const struct gpu_backend_impl gpu_backend_2d = {
		.name = "2d",
		.create = backend_2d_create,
		.destroy = backend_2d_destroy,
		.poll_fd = backend_2d_poll_fd,
		.poll = backend_2d_poll,
		.resource_size = backend_2d_resource_size,
		.resource_create = backend_2d_resource_create,
		.resource_destroy = backend_2d_resource_destroy,
		.backing_attach = backend_2d_backing_attach,
		.backing_detach = backend_2d_backing_detach,
		.transfer_to_host = backend_2d_transfer_to_host,
		.fence = backend_2d_fence,
		.read_pixels = backend_2d_read_pixels,
		.scanout_image = backend_2d_scanout_image,
};
