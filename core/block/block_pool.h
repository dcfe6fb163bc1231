/* SPDX-License-Identifier: MIT */
/* Threads that carry block requests out one by one; used inside core/block only. */
#ifndef CORE_BLOCK_BLOCK_POOL_H
#define CORE_BLOCK_BLOCK_POOL_H

#include "core/block/block_impl.h"

struct block_pool;

/* done_fd is signalled when the first of some requests is done; it stays the caller's. */
struct block_pool *block_pool_create(struct block *block, int done_fd);
void block_pool_destroy(struct block_pool *pool); /* no request may be left; may be NULL */

/* Starts threads as they are needed; with none at all the request fails with EAGAIN. */
void block_pool_submit(struct block_pool *pool, struct block_request *request);

/* The requests that are done, linked by next, oldest first; NULL if there are none. */
struct block_request *block_pool_take_done(struct block_pool *pool);

#endif
