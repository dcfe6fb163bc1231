/* SPDX-License-Identifier: MIT */
#include "gpu/service/vtest_memory.h"

#include "core/base/checked.h"
#include "core/base/fd.h"

#include <sys/mman.h>

#define ADDRESS_SHIFT 32 /* a piece is at most 4 GiB */

struct piece {
	uint8_t *host;
	uint32_t size;
	unsigned references; /* one is the client's */
};

static void piece_free(void *data)
{
	struct piece *piece = data;

	(void)munmap(piece->host, piece->size); /* fails only for what is no mapping */
	g_free(piece);
}

void vtest_memory_init(struct vtest_memory *memory, uint64_t max_bytes)
{
	pthread_mutex_init(&memory->lock, NULL);
	memory->pieces = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, piece_free);
	memory->bytes = 0;
	memory->max_bytes = max_bytes;
}

void vtest_memory_finish(struct vtest_memory *memory)
{
	g_hash_table_destroy(memory->pieces);
	pthread_mutex_destroy(&memory->lock);
}

static bool reserve(struct vtest_memory *memory, uint32_t size)
{
	pthread_mutex_lock(&memory->lock);
	bool fits = size <= memory->max_bytes - memory->bytes;
	if (fits) {
		memory->bytes += size;
	}
	pthread_mutex_unlock(&memory->lock);
	return fits;
}

static void unreserve(struct vtest_memory *memory, uint32_t size)
{
	pthread_mutex_lock(&memory->lock);
	memory->bytes -= size;
	pthread_mutex_unlock(&memory->lock);
}

bool vtest_memory_add(struct vtest_memory *memory, uint32_t id, uint32_t size, int *ret_fd,
		GError **error)
{
	assert(size > 0);
	if (!reserve(memory, size)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
				"%u bytes of shared memory are beyond the limit", size);
		return false;
	}
	auto_fd int fd = memfd_create_sized("vtest-resource", size, error);
	void *host = MAP_FAILED;
	if (fd >= 0) {
		host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (host == MAP_FAILED) {
			set_error_errno(error, "shared memory of %u bytes", size);
		}
	}
	if (host == MAP_FAILED) {
		unreserve(memory, size);
		return false;
	}
	struct piece *piece = g_new0(struct piece, 1);
	piece->host = host;
	piece->size = size;
	piece->references = 1;
	pthread_mutex_lock(&memory->lock);
	assert(!g_hash_table_contains(memory->pieces, GUINT_TO_POINTER(id)));
	g_hash_table_insert(memory->pieces, GUINT_TO_POINTER(id), piece);
	pthread_mutex_unlock(&memory->lock);
	*ret_fd = fd_steal(&fd);
	return true;
}

static void drop_locked(struct vtest_memory *memory, uint32_t id)
{
	struct piece *piece = g_hash_table_lookup(memory->pieces, GUINT_TO_POINTER(id));

	if (piece && --piece->references == 0) {
		memory->bytes -= piece->size;
		g_hash_table_remove(memory->pieces, GUINT_TO_POINTER(id));
	}
}

void vtest_memory_remove(struct vtest_memory *memory, uint32_t id)
{
	pthread_mutex_lock(&memory->lock);
	drop_locked(memory, id);
	pthread_mutex_unlock(&memory->lock);
}

uint64_t vtest_memory_address(uint32_t id)
{
	return (uint64_t)id << ADDRESS_SHIFT;
}

bool vtest_memory_map(struct vtest_memory *memory, uint64_t guest, size_t len,
		struct gpu_mapping *ret_mapping)
{
	uint32_t id = (uint32_t)(guest >> ADDRESS_SHIFT);
	uint32_t offset = (uint32_t)guest;
	bool ok = false;

	pthread_mutex_lock(&memory->lock);
	struct piece *piece = g_hash_table_lookup(memory->pieces, GUINT_TO_POINTER(id));
	if (piece && range_within(offset, len, piece->size)) {
		piece->references++;
		*ret_mapping = (struct gpu_mapping){
				.host = piece->host + offset,
				.len = len,
				.guest = guest,
		};
		ok = true;
	}
	pthread_mutex_unlock(&memory->lock);
	return ok;
}

void vtest_memory_unmap(struct vtest_memory *memory, struct gpu_mapping *mapping)
{
	pthread_mutex_lock(&memory->lock);
	drop_locked(memory, (uint32_t)(mapping->guest >> ADDRESS_SHIFT));
	pthread_mutex_unlock(&memory->lock);
}
