/* SPDX-License-Identifier: MIT */
/*
 * snapshot=on: what is written goes to a temporary file that nobody can open and that is gone with
 * us; a bit a cluster says which of the two files holds it. The bit is set after the data was
 * written and never cleared, so readers need no lock. Filling a cluster for the first time copies
 * what the write leaves of it, under a lock.
 */
#include "core/block/block_impl.h"

#include "core/base/fd.h"
#include "core/base/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CLUSTER UINT64_C(65536) /* bytes */

struct block_overlay {
	struct block base;
	struct block *lower; /* the image; only read */
	int fd; /* the temporary file, sparse, as large as the image */
	uint64_t *present; /* a bit a cluster; atomic */
	GMutex fill_lock; /* held from looking at an absent cluster to setting its bit */
};

static struct block_overlay *overlay_of(struct block *block)
{
	return container_of(block, struct block_overlay, base);
}

static bool is_present(const struct block_overlay *overlay, uint64_t cluster)
{
	uint64_t word = __atomic_load_n(&overlay->present[cluster / 64], __ATOMIC_ACQUIRE);

	return word & BIT(cluster % 64);
}

static void set_present(struct block_overlay *overlay, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++) {
		__atomic_fetch_or(&overlay->present[i / 64], BIT(i % 64), __ATOMIC_RELEASE);
	}
}

/* How far the range goes on in one of the two files, and in which. */
static uint64_t run_length(const struct block_overlay *overlay, uint64_t offset, uint64_t len,
		bool *ret_present)
{
	uint64_t cluster = offset / CLUSTER;
	uint64_t end = offset + len;
	bool present = is_present(overlay, cluster);

	do {
		cluster++;
	} while (cluster * CLUSTER < end && is_present(overlay, cluster) == present);
	*ret_present = present;
	return MIN(cluster * CLUSTER, end) - offset;
}

static int read_run(struct block_overlay *overlay, bool present, const struct iovec *iov,
		unsigned count, uint64_t offset, uint64_t len)
{
	uint64_t done;

	if (!present) {
		return overlay->lower->impl->readv(overlay->lower, iov, count, offset, len);
	}
	int error = block_file_readv(overlay->fd, iov, count, offset, len, &done);
	return error ? error : done < len ? EIO : 0;
}

static int overlay_readv(struct block *block, const struct iovec *iov, unsigned count,
		uint64_t offset, uint64_t len)
{
	struct block_overlay *overlay = overlay_of(block);
	struct iovec slice[BLOCK_MAX_SEGMENTS];
	int error = 0;

	for (uint64_t done = 0; done < len && error == 0;) {
		bool present;
		uint64_t run = run_length(overlay, offset + done, len - done, &present);
		int used = iov_slice(slice, BLOCK_MAX_SEGMENTS, iov, count, done, run);
		assert(used > 0);
		error = read_run(overlay, present, slice, (unsigned)used, offset + done, run);
		done += run;
	}
	return error;
}

/* Copies part of one cluster from the image. */
static int copy_up(struct block_overlay *overlay, uint64_t from, uint64_t to)
{
	if (from >= to) {
		return 0;
	}
	assert(to - from <= CLUSTER);
	g_autofree char *buf = g_malloc(CLUSTER);
	struct iovec iov = {.iov_base = buf, .iov_len = to - from};
	int error = overlay->lower->impl->readv(overlay->lower, &iov, 1, from, to - from);
	return error ? error : block_file_writev(overlay->fd, &iov, 1, from, to - from, false);
}

/* What a write to absent clusters leaves of the first and the last one. */
static int copy_edges(struct block_overlay *overlay, uint64_t offset, uint64_t end)
{
	uint64_t start = offset & ~(CLUSTER - 1);
	uint64_t stop = MIN((end + CLUSTER - 1) & ~(CLUSTER - 1), overlay->base.size);
	int error = copy_up(overlay, start, offset);

	return error ? error : copy_up(overlay, end, stop);
}

/* Writes data, or zeroes where iov is NULL, within clusters of one kind. */
static int write_data(struct block_overlay *overlay, const struct iovec *iov, unsigned count,
		uint64_t offset, uint64_t len)
{
	if (iov) {
		return block_file_writev(overlay->fd, iov, count, offset, len, false);
	}
	/* A hole in the temporary file reads as zeroes; every file system for it can make one. */
	if (fallocate(overlay->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			    (off_t)len) == 0) {
		return 0;
	}
	return block_file_write_zeroes(overlay->fd, offset, len, false);
}

/* Writes to the beginning of the range, at most len bytes; *ret_run says how many. */
static int write_run(struct block_overlay *overlay, const struct iovec *iov, unsigned count,
		uint64_t offset, uint64_t len, uint64_t *ret_run)
{
	struct iovec slice[BLOCK_MAX_SEGMENTS];
	bool present;
	int used = 0;

	*ret_run = run_length(overlay, offset, len, &present);
	if (!present) {
		g_mutex_lock(&overlay->fill_lock);
		/* somebody may have filled it before we had the lock */
		*ret_run = run_length(overlay, offset, len, &present);
		if (present) {
			g_mutex_unlock(&overlay->fill_lock);
		}
	}
	if (iov) {
		used = iov_slice(slice, BLOCK_MAX_SEGMENTS, iov, count, 0, *ret_run);
		assert(used > 0);
	}
	int error = present ? 0 : copy_edges(overlay, offset, offset + *ret_run);
	if (error == 0) {
		error = write_data(overlay, iov ? slice : NULL, (unsigned)used, offset, *ret_run);
	}
	if (!present) {
		if (error == 0) {
			set_present(overlay, offset / CLUSTER, (offset + *ret_run - 1) / CLUSTER);
		}
		g_mutex_unlock(&overlay->fill_lock);
	}
	return error;
}

static int overlay_writev(struct block *block, const struct iovec *iov, unsigned count,
		uint64_t offset, uint64_t len, bool through)
{
	struct block_overlay *overlay = overlay_of(block);
	struct iovec rest[BLOCK_MAX_SEGMENTS];
	uint64_t run;
	int error = 0;
	(void)through; /* it will be thrown away */

	for (uint64_t done = 0; done < len && error == 0; done += run) {
		int used = iov_slice(rest, BLOCK_MAX_SEGMENTS, iov, count, done, len - done);
		assert(used > 0);
		error = write_run(overlay, rest, (unsigned)used, offset + done, len - done, &run);
	}
	return error;
}

static int overlay_write_zeroes(
		struct block *block, uint64_t offset, uint64_t len, bool may_unmap, bool through)
{
	struct block_overlay *overlay = overlay_of(block);
	uint64_t run;
	int error = 0;
	(void)may_unmap;
	(void)through;

	for (uint64_t done = 0; done < len && error == 0; done += run) {
		error = write_run(overlay, NULL, 0, offset + done, len - done, &run);
	}
	return error;
}

/* Gives back what the temporary file holds of the range; the image keeps all it has. */
static int overlay_discard(struct block *block, uint64_t offset, uint64_t len)
{
	const struct block_overlay *overlay = overlay_of(block);

	for (uint64_t done = 0; done < len;) {
		bool present;
		uint64_t run = run_length(overlay, offset + done, len - done, &present);
		if (present) {
			(void)fallocate(overlay->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)(offset + done), (off_t)run); /* it is a hint */
		}
		done += run;
	}
	return 0;
}

static int overlay_plain_fd(struct block *block, const struct block_request *request)
{
	struct block_overlay *overlay = overlay_of(block);
	bool present;

	if (request->op == BLOCK_FLUSH || request->len == 0 ||
			run_length(overlay, request->offset, request->len, &present) <
					request->len) {
		return -1;
	}
	if (present) {
		return overlay->fd;
	}
	return request->op == BLOCK_READ ? overlay->lower->impl->plain_fd(overlay->lower, request)
					 : -1;
}

static void overlay_close(struct block *block)
{
	struct block_overlay *overlay = overlay_of(block);

	block_close(overlay->lower);
	fd_close(&overlay->fd);
	g_free(overlay->present);
	g_mutex_clear(&overlay->fill_lock);
	g_free(overlay);
}

static const struct block_impl overlay_impl = {
		.readv = overlay_readv,
		.writev = overlay_writev,
		.discard = overlay_discard,
		.write_zeroes = overlay_write_zeroes,
		.plain_fd = overlay_plain_fd,
		.close = overlay_close,
};

/* A file without a name in TMPDIR, else /var/tmp: /tmp may be in memory. */
static int open_temporary(uint64_t size, GError **error)
{
	const char *folder = g_getenv("TMPDIR");

	if (!folder || !folder[0]) {
		folder = "/var/tmp";
	}
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		/* a file system that knows no nameless files */
		g_autofree char *name = g_build_filename(folder, "oriel-snapshot-XXXXXX", NULL);
		fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0) {
			(void)unlink(name); /* at worst an empty name stays behind */
		}
	}
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		set_error_errno(error,
				"snapshot=on: no temporary file in %s (TMPDIR names another folder)",
				folder);
		fd_close(&fd);
	}
	return fd;
}

struct block *block_overlay_create(struct block *take_base, GError **error)
{
	struct block_overlay *overlay = g_new0(struct block_overlay, 1);
	uint64_t clusters = (take_base->size + CLUSTER - 1) / CLUSTER;

	overlay->base.impl = &overlay_impl;
	overlay->base.size = take_base->size;
	overlay->base.unmaps = true;
	overlay->lower = take_base;
	g_mutex_init(&overlay->fill_lock);
	overlay->fd = open_temporary(take_base->size, error);
	overlay->present = g_try_new0(uint64_t, clusters / 64 + 1);
	if (overlay->fd < 0 || !overlay->present) {
		if (overlay->fd >= 0) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
					"snapshot=on: no memory for an image of %" G_GUINT64_FORMAT
					" bytes",
					take_base->size);
		}
		overlay_close(&overlay->base);
		return NULL;
	}
	overlay->base.file = g_strdup(take_base->file);
	return &overlay->base;
}
