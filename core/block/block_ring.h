/* SPDX-License-Identifier: MIT */
/*
 * Plain reads, writes and flushes through io_uring; used inside core/block only. Without liburing
 * it is never there.
 */
#ifndef CORE_BLOCK_BLOCK_RING_H
#define CORE_BLOCK_BLOCK_RING_H

#include "core/block/block_impl.h"

struct block_ring;

/*
 * A ring for depth requests, NULL if the host does not allow it (many containers do not).
 * done_fd is signalled when requests are done; it stays the caller's.
 */
struct block_ring *block_ring_create(unsigned depth, int done_fd, GError **error);
void block_ring_destroy(struct block_ring *ring); /* no request may be left; may be NULL */

/* Takes a request on a file; false if there is no room until the next commit. */
bool block_ring_submit(struct block_ring *ring, int fd, struct block_request *request);

/* Sets off what was submitted; false if the host could not take all of it: try again later. */
bool block_ring_commit(struct block_ring *ring);

/* The next request that is done: *ret_result is a byte count or a negative errno value. */
struct block_request *block_ring_reap(struct block_ring *ring, int *ret_result);

#endif
