/* SPDX-License-Identifier: MIT */
/* A kind of image, and what all of them begin with; used inside core/block only. */
#ifndef CORE_BLOCK_BLOCK_IMPL_H
#define CORE_BLOCK_BLOCK_IMPL_H

#include "core/block/block.h"

/*
 * The operations wait, run on several threads at once, and return 0 or an errno value. Ranges were
 * checked against the size and, for writes, read_only.
 */
struct block_impl {
	int (*readv)(struct block *block, const struct iovec *iov, unsigned count, uint64_t offset,
			uint64_t len);
	int (*writev)(struct block *block, const struct iovec *iov, unsigned count, uint64_t offset,
			uint64_t len, bool through);
	int (*flush)(struct block *block); /* NULL: nothing to do */
	int (*discard)(struct block *block, uint64_t offset, uint64_t len);
	int (*write_zeroes)(struct block *block, uint64_t offset, uint64_t len, bool may_unmap,
			bool through);
	/*
	 * The file in which the read, write or flush is a plain one at the same offset, -1 if it is
	 * more than that. Does not wait.
	 */
	int (*plain_fd)(struct block *block, const struct block_request *request);
	void (*close)(struct block *block);
};

struct block {
	const struct block_impl *impl;
	char *file, *id; /* id may be NULL */
	uint64_t size;
	bool read_only, unmaps;
	enum block_aio aio;
	gint flush_error; /* of the first flush that failed; atomic */
};

/* An image as it is in a file or block device. Takes fd. */
struct block *block_raw_create(int take_fd, const char *file, GError **error);

/* A writable view of base, which it takes; what is written goes to a temporary file. */
struct block *block_overlay_create(struct block *take_base, GError **error);

/*
 * Locks the image as QEMU does. file is for the message. A file system without locks is no failure.
 */
bool block_lock_image(int fd, const char *file, bool writable, GError **error);

/*
 * Remembers that a flush failed: nobody knows what of the writes before it was kept, and the host
 * tells only once. Returns what the flush results in.
 */
int block_flush_result(struct block *block, int error);

/* Read or write all of iov at offset of a file. *ret_done says how far a read came. */
int block_file_readv(int fd, const struct iovec *iov, unsigned count, uint64_t offset, uint64_t len,
		uint64_t *ret_done);
int block_file_writev(int fd, const struct iovec *iov, unsigned count, uint64_t offset,
		uint64_t len, bool through);

/* Writes zeroes where the file knows no quicker way. */
int block_file_write_zeroes(int fd, uint64_t offset, uint64_t len, bool through);

#endif
