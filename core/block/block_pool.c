/* SPDX-License-Identifier: MIT */
#include "core/block/block_pool.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/thread.h"

#include <errno.h>

#define MAX_THREADS 8

struct request_list {
	struct block_request *first, **end;
};

struct block_pool {
	struct block *block;
	int done_fd; /* borrowed */

	GMutex lock; /* guards what follows */
	GCond wake;
	struct request_list waiting, done;
	pthread_t threads[MAX_THREADS];
	unsigned thread_count, busy;
	unsigned waiting_count;
	bool ending;
};

static void list_init(struct request_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_append(struct request_list *list, struct block_request *request)
{
	request->next = NULL;
	*list->end = request;
	list->end = &request->next;
}

static struct block_request *list_take(struct request_list *list)
{
	struct block_request *request = list->first;

	list->first = request->next;
	if (!list->first) {
		list->end = &list->first;
	}
	return request;
}

struct block_pool *block_pool_create(struct block *block, int done_fd)
{
	struct block_pool *pool = g_new0(struct block_pool, 1);

	pool->block = block;
	pool->done_fd = done_fd;
	g_mutex_init(&pool->lock);
	g_cond_init(&pool->wake);
	list_init(&pool->waiting);
	list_init(&pool->done);
	return pool;
}

void block_pool_destroy(struct block_pool *pool)
{
	if (!pool) {
		return;
	}
	assert(!pool->waiting.first && !pool->done.first);
	g_mutex_lock(&pool->lock);
	pool->ending = true;
	g_cond_broadcast(&pool->wake);
	g_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++) {
		pthread_join(pool->threads[i], NULL);
	}
	g_cond_clear(&pool->wake);
	g_mutex_clear(&pool->lock);
	g_free(pool);
}

static void finish_locked(struct block_pool *pool, struct block_request *request, int error)
{
	bool was_empty = !pool->done.first;

	request->error = error;
	list_append(&pool->done, request);
	if (was_empty) {
		eventfd_signal(pool->done_fd);
	}
}

static void worker_main(void *opaque)
{
	struct block_pool *pool = opaque;

	g_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->waiting.first && !pool->ending) {
			g_cond_wait(&pool->wake, &pool->lock);
		}
		if (!pool->waiting.first) {
			break;
		}
		struct block_request *request = list_take(&pool->waiting);
		pool->waiting_count--;
		pool->busy++;
		g_mutex_unlock(&pool->lock);
		int error = block_perform(pool->block, request);
		g_mutex_lock(&pool->lock);
		pool->busy--;
		finish_locked(pool, request, error);
	}
	g_mutex_unlock(&pool->lock);
}

/* One more thread, unless there are enough; false if there is none at all. */
static bool add_thread_locked(struct block_pool *pool)
{
	g_autoptr(GError) error = NULL;

	if (pool->thread_count < MAX_THREADS) {
		if (thread_create(&pool->threads[pool->thread_count], "block-worker", worker_main,
				    pool, &error)) {
			pool->thread_count++;
		} else if (pool->thread_count == 0) {
			log_error("%s: %s", block_name(pool->block), error->message);
		}
	}
	return pool->thread_count > 0;
}

void block_pool_submit(struct block_pool *pool, struct block_request *request)
{
	g_mutex_lock(&pool->lock);
	if (pool->busy + pool->waiting_count >= pool->thread_count && !add_thread_locked(pool)) {
		finish_locked(pool, request, EAGAIN);
	} else {
		list_append(&pool->waiting, request);
		pool->waiting_count++;
		g_cond_signal(&pool->wake);
	}
	g_mutex_unlock(&pool->lock);
}

struct block_request *block_pool_take_done(struct block_pool *pool)
{
	g_mutex_lock(&pool->lock);
	struct block_request *first = pool->done.first;
	list_init(&pool->done);
	g_mutex_unlock(&pool->lock);
	return first;
}
