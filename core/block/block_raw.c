/* SPDX-License-Identifier: MIT */
/* Raw images: a regular file or a block device holds the sectors one after the other. */
#include "core/block/block_impl.h"

#include "core/base/fd.h"
#include "core/base/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct block_raw {
	struct block base;
	int fd;
	bool is_device;
	uint64_t file_size; /* bytes; a file may end inside its last sector */
};

static struct block_raw *raw_of(struct block *block)
{
	return container_of(block, struct block_raw, base);
}

static int raw_readv(struct block *block, const struct iovec *iov, unsigned count, uint64_t offset,
		uint64_t len)
{
	const struct block_raw *raw = raw_of(block);
	uint64_t done;
	int error = block_file_readv(raw->fd, iov, count, offset, len, &done);

	if (error || done == len) {
		return error;
	}
	/* What the last sector lacks reads as zeroes; a file that shrank has lost something. */
	if (offset + done < raw->file_size) {
		return EIO;
	}
	(void)iov_fill(iov, count, done, 0, len - done);
	return 0;
}

static int raw_writev(struct block *block, const struct iovec *iov, unsigned count, uint64_t offset,
		uint64_t len, bool through)
{
	return block_file_writev(raw_of(block)->fd, iov, count, offset, len, through);
}

static int raw_flush(struct block *block)
{
	return fdatasync(raw_of(block)->fd) < 0 ? errno : 0;
}

static bool unsupported(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS || error == ENOTTY || error == EINVAL ||
	       error == ENODEV;
}

static int allocate(const struct block_raw *raw, int mode, uint64_t offset, uint64_t len)
{
	int ret;

	do {
		ret = fallocate(raw->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? errno : 0;
}

static int raw_discard(struct block *block, uint64_t offset, uint64_t len)
{
	const struct block_raw *raw = raw_of(block);
	int error;

	if (raw->is_device) {
		uint64_t range[2] = {offset, len};
		error = ioctl(raw->fd, BLKDISCARD, range) < 0 ? errno : 0;
	} else {
		error = allocate(raw, FALLOC_FL_PUNCH_HOLE, offset, len);
	}
	return unsupported(error) ? 0 : error; /* it is a hint */
}

static int raw_write_zeroes(
		struct block *block, uint64_t offset, uint64_t len, bool may_unmap, bool through)
{
	const struct block_raw *raw = raw_of(block);
	int error = EOPNOTSUPP;

	if (len == 0) {
		return 0;
	}
	if (may_unmap) {
		error = allocate(raw, FALLOC_FL_PUNCH_HOLE, offset, len);
	}
	if (unsupported(error)) {
		error = allocate(raw, FALLOC_FL_ZERO_RANGE, offset, len);
	}
	if (unsupported(error)) {
		return block_file_write_zeroes(raw->fd, offset, len, through);
	}
	return error ? error : through ? raw_flush(block) : 0;
}

static int raw_plain_fd(struct block *block, const struct block_request *request)
{
	(void)request;
	return raw_of(block)->fd;
}

static void raw_close(struct block *block)
{
	struct block_raw *raw = raw_of(block);

	fd_close(&raw->fd);
	g_free(raw);
}

static const struct block_impl raw_impl = {
		.readv = raw_readv,
		.writev = raw_writev,
		.flush = raw_flush,
		.discard = raw_discard,
		.write_zeroes = raw_write_zeroes,
		.plain_fd = raw_plain_fd,
		.close = raw_close,
};

static bool find_size(struct block_raw *raw, const char *file, GError **error)
{
	struct stat st;

	if (fstat(raw->fd, &st) < 0) {
		set_error_errno(error, "'%s'", file);
		return false;
	}
	if (S_ISBLK(st.st_mode)) {
		raw->is_device = true;
		if (ioctl(raw->fd, BLKGETSIZE64, &raw->file_size) < 0) {
			set_error_errno(error, "size of '%s'", file);
			return false;
		}
	} else if (S_ISREG(st.st_mode)) {
		raw->file_size = (uint64_t)st.st_size;
	} else {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"'%s' is neither a file nor a block device", file);
		return false;
	}
	raw->base.size = (raw->file_size + BLOCK_SECTOR - 1) & ~(BLOCK_SECTOR - 1);
	return true;
}

struct block *block_raw_create(int take_fd, const char *file, GError **error)
{
	struct block_raw *raw = g_new0(struct block_raw, 1);

	raw->base.impl = &raw_impl;
	raw->fd = take_fd;
	if (!find_size(raw, file, error)) {
		raw_close(&raw->base);
		return NULL;
	}
	raw->base.file = g_strdup(file);
	return &raw->base;
}
