/* SPDX-License-Identifier: MIT */
/* What stands in for block_ring.c where liburing is missing. */
#include "core/block/block_ring.h"

struct block_ring *block_ring_create(unsigned depth, int done_fd, GError **error)
{
	(void)depth;
	(void)done_fd;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "io_uring: not built in");
	return NULL;
}

void block_ring_destroy(struct block_ring *ring)
{
	assert(!ring);
}

bool block_ring_submit(struct block_ring *ring, int fd, struct block_request *request)
{
	(void)ring;
	(void)fd;
	(void)request;
	return false;
}

bool block_ring_commit(struct block_ring *ring)
{
	(void)ring;
	return true;
}

struct block_request *block_ring_reap(struct block_ring *ring, int *ret_result)
{
	(void)ring;
	(void)ret_result;
	return NULL;
}
