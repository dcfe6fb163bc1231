/* SPDX-License-Identifier: MIT */
/* Whole reads and writes of files: short ones go on, interrupted ones start again. */
#include "core/block/block_impl.h"

#include "core/base/iov.h"

#include <errno.h>

#define ZERO_CHUNK 65536u
#define ZERO_CHUNKS 16u

struct transfer {
	int fd;
	bool write, through;
};

static ssize_t transfer_some(const struct transfer *transfer, const struct iovec *iov,
		unsigned count, uint64_t offset)
{
	ssize_t n;

	do {
		n = transfer->write ? pwritev2(transfer->fd, iov, (int)count, (off_t)offset,
						      transfer->through ? RWF_DSYNC : 0)
				    : preadv(transfer->fd, iov, (int)count, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* Ends early, without an error, where a transfer comes to nothing: the end of the file. */
static int transfer_all(const struct transfer *transfer, const struct iovec *iov, unsigned count,
		uint64_t offset, uint64_t len, uint64_t *ret_done)
{
	struct iovec rest[BLOCK_MAX_SEGMENTS];
	uint64_t done = 0;

	assert(count <= BLOCK_MAX_SEGMENTS);
	*ret_done = 0;
	while (done < len) {
		ssize_t n = transfer_some(transfer, iov, count, offset + done);
		if (n <= 0) {
			return n < 0 ? errno : 0;
		}
		*ret_done = done += (uint64_t)n;
		if (done < len) {
			/* the list may already be rest itself: the rest lies further on in it */
			int used = iov_slice(rest, BLOCK_MAX_SEGMENTS, iov, count, (size_t)n,
					len - done);
			assert(used > 0);
			iov = rest;
			count = (unsigned)used;
		}
	}
	return 0;
}

int block_file_readv(int fd, const struct iovec *iov, unsigned count, uint64_t offset, uint64_t len,
		uint64_t *ret_done)
{
	const struct transfer transfer = {.fd = fd};

	return transfer_all(&transfer, iov, count, offset, len, ret_done);
}

int block_file_writev(int fd, const struct iovec *iov, unsigned count, uint64_t offset,
		uint64_t len, bool through)
{
	const struct transfer transfer = {.fd = fd, .write = true, .through = through};
	uint64_t done;
	int error = transfer_all(&transfer, iov, count, offset, len, &done);

	return error ? error : done < len ? EIO : 0;
}

int block_file_write_zeroes(int fd, uint64_t offset, uint64_t len, bool through)
{
	static const char zeroes[ZERO_CHUNK];
	struct iovec iov[ZERO_CHUNKS];
	int error = 0;

	while (len > 0 && error == 0) {
		uint64_t step = MIN(len, ZERO_CHUNK * ZERO_CHUNKS);
		unsigned count = 0;
		for (uint64_t at = 0; at < step; at += ZERO_CHUNK) {
			iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)zeroes,
					.iov_len = MIN(step - at, ZERO_CHUNK)};
		}
		error = block_file_writev(fd, iov, count, offset, step, through);
		offset += step;
		len -= step;
	}
	return error;
}
