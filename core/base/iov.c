/* SPDX-License-Identifier: MIT */
#include "core/base/iov.h"

#include <string.h>

size_t iov_size(const struct iovec *iov, unsigned count)
{
	size_t size = 0;

	for (unsigned i = 0; i < count; i++) {
		size += iov[i].iov_len;
	}
	return size;
}

/* Calls visit for each piece of [offset, offset + len); returns the bytes visited. */
static inline size_t iov_walk(const struct iovec *iov, unsigned count, size_t offset, size_t len,
		void (*visit)(void *piece, size_t done, size_t n, void *opaque), void *opaque)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < len; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		size_t n = MIN(iov[i].iov_len - offset, len - done);
		visit((char *)iov[i].iov_base + offset, done, n, opaque);
		done += n;
		offset = 0;
	}
	return done;
}

static void visit_to_buf(void *piece, size_t done, size_t n, void *opaque)
{
	memcpy((char *)opaque + done, piece, n);
}

static void visit_from_buf(void *piece, size_t done, size_t n, void *opaque)
{
	memcpy(piece, (const char *)opaque + done, n);
}

static void visit_fill(void *piece, size_t done, size_t n, void *opaque)
{
	(void)done;
	memset(piece, *(const uint8_t *)opaque, n);
}

size_t iov_to_buf(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len)
{
	return iov_walk(iov, count, offset, len, visit_to_buf, buf);
}

size_t iov_from_buf(
		const struct iovec *iov, unsigned count, size_t offset, const void *buf, size_t len)
{
	return iov_walk(iov, count, offset, len, visit_from_buf, (void *)(uintptr_t)buf);
}

size_t iov_fill(const struct iovec *iov, unsigned count, size_t offset, uint8_t value, size_t len)
{
	return iov_walk(iov, count, offset, len, visit_fill, &value);
}

int iov_slice(struct iovec *dst, unsigned max, const struct iovec *src, unsigned count,
		size_t offset, size_t len)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count && len > 0; i++) {
		if (offset >= src[i].iov_len) {
			offset -= src[i].iov_len;
			continue;
		}
		if (used == max) {
			return -1;
		}
		size_t n = MIN(src[i].iov_len - offset, len);
		dst[used++] = (struct iovec){(char *)src[i].iov_base + offset, n};
		len -= n;
		offset = 0;
	}
	return len == 0 ? (int)used : -1;
}
