/* SPDX-License-Identifier: MIT */
/* Scatter-gather lists. Offsets and lengths are bytes; a short copy is the caller's to notice. */
#ifndef CORE_BASE_IOV_H
#define CORE_BASE_IOV_H

#include "core/base/base.h"

#include <sys/uio.h>

/* Bytes in the whole list. */
size_t iov_size(const struct iovec *iov, unsigned count);

/* Copies up to len bytes at offset out of the list into buf; returns what was copied. */
size_t iov_to_buf(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len);

/* Copies up to len bytes of buf into the list at offset; returns what was copied. */
size_t iov_from_buf(const struct iovec *iov, unsigned count, size_t offset, const void *buf,
		size_t len);

/* Sets up to len bytes of the list at offset to value; returns what was set. */
size_t iov_fill(const struct iovec *iov, unsigned count, size_t offset, uint8_t value, size_t len);

/*
 * Describes [offset, offset + len) of src in dst, which has room for max entries. Returns the
 * entries used, or -1 where the range is not inside src or does not fit.
 */
int iov_slice(struct iovec *dst, unsigned max, const struct iovec *src, unsigned count,
		size_t offset, size_t len);

#endif
