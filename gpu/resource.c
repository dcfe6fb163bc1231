/* SPDX-License-Identifier: MIT */
#include "gpu/resource.h"

#include "gpu/context.h"
#include "gpu/format.h"
#include "gpu/scanout.h"

/* enum pipe_texture_target */
#define TARGET_TEXTURE_2D 2
#define TARGET_TEXTURE_RECT 5

bool gpu_charge(struct gpu *gpu, uint64_t bytes)
{
	uint64_t used = atomic_load(&gpu->stats.host_bytes), sum;

	if (!checked_add(used, bytes, &sum) || sum > gpu->config.limits.host_bytes) {
		return false;
	}
	atomic_store(&gpu->stats.host_bytes, sum); /* one writer */
	return true;
}

void gpu_uncharge(struct gpu *gpu, uint64_t bytes)
{
	uint64_t used = atomic_load(&gpu->stats.host_bytes);

	assert(bytes <= used);
	atomic_store(&gpu->stats.host_bytes, used - bytes);
}

struct gpu_resource *gpu_resource_find(struct gpu *gpu, uint32_t id)
{
	return g_hash_table_lookup(gpu->resources, GUINT_TO_POINTER(id));
}

static void count_resources(struct gpu *gpu)
{
	atomic_store(&gpu->stats.resources, g_hash_table_size(gpu->resources));
}

/* Gives up the renderer's part of a doomed resource whose id is wanted again; the display may show one odd frame. */
static void release_doomed_id(struct gpu *gpu, uint32_t id)
{
	for (GList *link = gpu->doomed.head; link; link = link->next) {
		struct gpu_resource *resource = link->data;
		if (resource->desc.id == id && !resource->orphaned) {
			gpu->impl->resource_destroy(gpu->backend, id);
			resource->orphaned = true;
		}
	}
}

uint32_t gpu_resource_create(struct gpu *gpu, const struct gpu_resource_desc *desc)
{
	uint64_t bytes;

	if (desc->id == 0 || gpu_resource_find(gpu, desc->id)) {
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	}
	if (!gpu->impl->resource_size(gpu->backend, desc, &bytes)) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	bytes += sizeof(struct gpu_resource);
	if (g_hash_table_size(gpu->resources) + gpu->doomed.length >=
					gpu->config.limits.resources ||
			!gpu_charge(gpu, bytes)) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	release_doomed_id(gpu, desc->id);
	gpu->backend_used = true;
	uint32_t error = gpu->impl->resource_create(gpu->backend, desc);
	if (error != 0) {
		gpu_uncharge(gpu, bytes);
		return error;
	}
	struct gpu_resource *resource = g_new0(struct gpu_resource, 1);
	resource->desc = *desc;
	resource->bytes = bytes;
	g_hash_table_insert(gpu->resources, GUINT_TO_POINTER(desc->id), resource);
	count_resources(gpu);
	return 0;
}

static void resource_free(struct gpu *gpu, struct gpu_resource *resource)
{
	if (!resource->orphaned) {
		gpu->impl->resource_destroy(gpu->backend, resource->desc.id);
	}
	gpu_uncharge(gpu, resource->bytes);
	g_free(resource);
}

static void resource_free_or_doom(struct gpu *gpu, struct gpu_resource *resource)
{
	if (resource->frames > 0) {
		g_queue_push_tail(&gpu->doomed, resource);
	} else {
		resource_free(gpu, resource);
	}
}

void gpu_resource_destroy(struct gpu *gpu, struct gpu_resource *resource)
{
	uint32_t id = resource->desc.id;

	gpu_scanouts_forget_resource(gpu, resource);
	gpu_contexts_forget_resource(gpu, id);
	if (gpu_resource_has_backing(resource)) {
		gpu_resource_detach_backing(gpu, resource);
	}
	g_hash_table_remove(gpu->resources, GUINT_TO_POINTER(id));
	count_resources(gpu);
	resource_free_or_doom(gpu, resource);
}

void gpu_resource_put_frame(struct gpu *gpu, struct gpu_resource *resource)
{
	assert(resource->frames > 0);
	resource->frames--;
	if (resource->frames == 0 && g_queue_remove(&gpu->doomed, resource)) {
		resource_free(gpu, resource);
	}
}

bool gpu_resource_has_backing(const struct gpu_resource *resource)
{
	return resource->backing.iov != NULL;
}

static void backing_unmap(struct gpu *gpu, struct gpu_resource *resource)
{
	/* Streams can write to backings (query results), which only the renderer knows of. */
	bool written = resource->backing.written || gpu->impl->is_3d;

	for (unsigned i = 0; i < resource->backing.count; i++) {
		gpu->client->impl->unmap(gpu->client, &resource->backing.mappings[i], written);
	}
	g_free(resource->backing.iov);
	g_free(resource->backing.mappings);
	gpu_uncharge(gpu, resource->backing.bytes);
	memset(&resource->backing, 0, sizeof(resource->backing));
}

/*
 * Merges entries that continue each other in guest memory, as most do, and drops empty ones. Returns what is left in
 * entries, lengths apart.
 */
static unsigned merge_entries(const struct virtio_gpu_mem_entry *entries, unsigned count,
		struct gpu_mapping *ret_runs)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count; i++) {
		struct gpu_mapping *last = used > 0 ? &ret_runs[used - 1] : NULL;

		if (entries[i].length == 0) {
			continue;
		}
		if (last && last->guest + last->len == entries[i].addr) {
			last->len += entries[i].length;
		} else {
			ret_runs[used].guest = entries[i].addr;
			ret_runs[used].len = entries[i].length;
			used++;
		}
	}
	return used;
}

static uint32_t backing_map(struct gpu *gpu, struct gpu_resource *resource, unsigned runs)
{
	struct gpu_mapping *mappings = resource->backing.mappings;

	for (unsigned i = 0; i < runs; i++) {
		uint64_t guest = mappings[i].guest, end;
		size_t len = mappings[i].len;

		if (!checked_add(guest, len, &end) ||
				!gpu->client->impl->map(gpu->client, guest, len, &mappings[i])) {
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		}
		resource->backing.iov[i] = (struct iovec){mappings[i].host, len};
		resource->backing.size += len;
		resource->backing.count = i + 1;
	}
	return 0;
}

uint32_t gpu_resource_attach_backing(struct gpu *gpu, struct gpu_resource *resource,
		const struct virtio_gpu_mem_entry *entries, unsigned count)
{
	uint64_t bytes = (uint64_t)count * (sizeof(struct iovec) + sizeof(struct gpu_mapping));

	assert(!gpu_resource_has_backing(resource));
	if (count == 0) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	if (!gpu_charge(gpu, bytes)) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	resource->backing.bytes = bytes;
	resource->backing.iov = g_try_new0(struct iovec, count);
	resource->backing.mappings = g_try_new0(struct gpu_mapping, count);

	uint32_t error = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	if (resource->backing.iov && resource->backing.mappings) {
		unsigned runs = merge_entries(entries, count, resource->backing.mappings);
		error = backing_map(gpu, resource, runs);
	}
	if (error == 0) {
		error = resource->backing.count == 0
					? VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
					: gpu->impl->backing_attach(gpu->backend, resource->desc.id,
							  resource->backing.iov,
							  resource->backing.count);
	}
	if (error != 0) {
		backing_unmap(gpu, resource);
	}
	return error;
}

void gpu_resource_detach_backing(struct gpu *gpu, struct gpu_resource *resource)
{
	assert(gpu_resource_has_backing(resource));
	gpu->impl->backing_detach(gpu->backend, resource->desc.id);
	backing_unmap(gpu, resource);
}

void gpu_resource_backing_written(
		struct gpu *gpu, struct gpu_resource *resource, uint64_t offset, uint64_t len)
{
	resource->backing.written = true;
	for (unsigned i = 0; i < resource->backing.count && len > 0; i++) {
		const struct gpu_mapping *mapping = &resource->backing.mappings[i];

		if (offset >= mapping->len) {
			offset -= mapping->len;
			continue;
		}
		size_t n = MIN(mapping->len - offset, len);
		gpu->client->impl->written(gpu->client, mapping->guest + offset, n);
		len -= n;
		offset = 0;
	}
}

bool gpu_resource_is_image(const struct gpu_resource *resource)
{
	const struct gpu_resource_desc *desc = &resource->desc;
	enum pixel_format pixel;
	uint64_t bytes;

	return (desc->target == TARGET_TEXTURE_2D || desc->target == TARGET_TEXTURE_RECT) &&
	       desc->nr_samples <= 1 && gpu_format_to_pixel(desc->format, &pixel) &&
	       pixel_image_size(desc->width, desc->height, &bytes);
}

void gpu_resources_clear(struct gpu *gpu)
{
	GHashTableIter iter;
	void *value;

	for (GList *link = gpu->doomed.head; link; link = link->next) {
		((struct gpu_resource *)link->data)->orphaned = true;
	}
	g_hash_table_iter_init(&iter, gpu->resources);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct gpu_resource *resource = value;

		g_hash_table_iter_remove(&iter);
		if (gpu_resource_has_backing(resource)) {
			backing_unmap(gpu, resource);
		}
		resource->orphaned = true;
		resource_free_or_doom(gpu, resource);
	}
	count_resources(gpu);
}
