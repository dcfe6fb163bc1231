/* SPDX-License-Identifier: MIT */
/*
 * Requests that are plain operations on one file go through io_uring; all others, and all if there
 * is no io_uring, go to the pool's threads. What io_uring does not finish (short transfers at the
 * end of a file) the pool carries out again from the start.
 */
#include "core/block/block_impl.h"
#include "core/block/block_pool.h"
#include "core/block/block_ring.h"

#include "core/base/checked.h"
#include "core/base/fd.h"
#include "core/base/log.h"

#include <errno.h>
#include <poll.h>

struct block_queue {
	struct block *block;
	struct block_pool *pool;
	struct block_ring *ring; /* NULL: none */
	int done_fd;
	unsigned depth, in_flight;
};

struct block_queue *block_queue_create(struct block *block, unsigned depth, GError **error)
{
	g_autoptr(GError) no_ring = NULL;

	assert(depth > 0);
	int done_fd = eventfd_create(error);
	if (done_fd < 0) {
		return NULL;
	}
	struct block_queue *queue = g_new0(struct block_queue, 1);
	queue->block = block;
	queue->depth = depth;
	queue->done_fd = done_fd;
	queue->pool = block_pool_create(block, done_fd);
	if (block->aio != BLOCK_AIO_THREADS) {
		queue->ring = block_ring_create(depth, done_fd, &no_ring);
	}
	if (no_ring && block->aio == BLOCK_AIO_IO_URING) {
		g_propagate_prefixed_error(error, g_steal_pointer(&no_ring),
				"%s: aio=io_uring does not work here (aio=auto uses threads): ",
				block_name(block));
		block_queue_destroy(queue);
		return NULL;
	}
	return queue;
}

void block_queue_destroy(struct block_queue *queue)
{
	if (!queue) {
		return;
	}
	assert(queue->in_flight == 0);
	block_ring_destroy(queue->ring);
	block_pool_destroy(queue->pool);
	fd_close(&queue->done_fd);
	g_free(queue);
}

const char *block_queue_engine(const struct block_queue *queue)
{
	return queue->ring ? "io_uring" : "threads";
}

int block_queue_fd(const struct block_queue *queue)
{
	return queue->done_fd;
}

bool block_queue_full(const struct block_queue *queue)
{
	return queue->in_flight >= queue->depth;
}

unsigned block_queue_in_flight(const struct block_queue *queue)
{
	return queue->in_flight;
}

/* The file on which io_uring can do the request, -1 if it cannot. */
static int ring_fd(const struct block_queue *queue, const struct block_request *request)
{
	struct block *block = queue->block;
	bool plain = request->op == BLOCK_FLUSH ||
		     ((request->op == BLOCK_READ || request->op == BLOCK_WRITE) &&
				     request->len > 0 && request->iov_count <= BLOCK_MAX_SEGMENTS &&
				     range_within(request->offset, request->len, block->size));

	if (!queue->ring || !plain || (request->op == BLOCK_WRITE && block->read_only)) {
		return -1;
	}
	return block->impl->plain_fd(block, request);
}

void block_queue_submit(struct block_queue *queue, struct block_request *request)
{
	assert(!block_queue_full(queue) && request->done);
	queue->in_flight++;
	int fd = ring_fd(queue, request);
	if (fd < 0 || !block_ring_submit(queue->ring, fd, request)) {
		block_pool_submit(queue->pool, request);
	}
}

void block_queue_commit(struct block_queue *queue)
{
	if (queue->ring && !block_ring_commit(queue->ring)) {
		/* The host is short of something: block_queue_reap() tries again. */
		eventfd_signal(queue->done_fd);
	}
}

static void finish(struct block_queue *queue, struct block_request *request, int error)
{
	queue->in_flight--;
	request->done(request, error);
}

/* What io_uring made of a request; false if the pool has to do it. */
static bool settle(struct block_queue *queue, struct block_request *request, int result)
{
	if (request->op == BLOCK_FLUSH && result != -EAGAIN && result != -EINTR) {
		finish(queue, request, block_flush_result(queue->block, result < 0 ? -result : 0));
		return true;
	}
	if (result >= 0 && (uint64_t)result == request->len) {
		finish(queue, request, 0);
		return true;
	}
	if (result < 0 && result != -EAGAIN && result != -EINTR) {
		finish(queue, request, -result);
		return true;
	}
	return false;
}

static unsigned reap_ring(struct block_queue *queue)
{
	struct block_request *request;
	unsigned count = 0;
	int result;

	while (queue->ring && (request = block_ring_reap(queue->ring, &result))) {
		if (settle(queue, request, result)) {
			count++;
		} else {
			block_pool_submit(queue->pool, request);
		}
	}
	return count;
}

static unsigned reap_pool(struct block_queue *queue)
{
	struct block_request *request = block_pool_take_done(queue->pool);
	unsigned count = 0;

	while (request) {
		struct block_request *next = request->next;
		finish(queue, request, request->error);
		count++;
		request = next;
	}
	return count;
}

unsigned block_queue_reap(struct block_queue *queue)
{
	eventfd_take(queue->done_fd);
	block_queue_commit(queue);
	return reap_ring(queue) + reap_pool(queue);
}

void block_queue_drain(struct block_queue *queue)
{
	struct pollfd poll_fd = {.fd = queue->done_fd, .events = POLLIN};

	block_queue_commit(queue);
	block_queue_reap(queue);
	while (queue->in_flight > 0) {
		(void)poll(&poll_fd, 1, -1); /* a signal only makes us look once more */
		block_queue_reap(queue);
	}
}
