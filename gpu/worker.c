/* SPDX-License-Identifier: MIT */
#include "gpu/worker.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "gpu/command.h"
#include "gpu/context.h"
#include "gpu/cursor.h"
#include "gpu/fence.h"
#include "gpu/resource.h"
#include "gpu/scanout.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define MAX_WATCHED 128 /* descriptors of the client */

struct reset_work {
	struct gpu_work base;
	void (*done)(void *opaque);
	void *opaque;
};

void worker_post(struct gpu *gpu, struct gpu_work *work)
{
	work->next = NULL;
	pthread_mutex_lock(&gpu->lock);
	bool wake = !gpu->inbox;
	*gpu->inbox_tail = work;
	gpu->inbox_tail = &work->next;
	pthread_mutex_unlock(&gpu->lock);
	bool here = pthread_equal(pthread_self(), gpu->thread) && gpu->in_ready;
	if (wake && !here) {
		eventfd_signal(gpu->wake_fd);
	}
}

/* From here to busy_end() the renderer may take as long as it likes; the watchdog looks at the clock. */
static void busy_begin(struct gpu *gpu)
{
	atomic_store(&gpu->stats.busy_since_us, g_get_monotonic_time());
}

static void busy_end(struct gpu *gpu)
{
	atomic_store(&gpu->stats.busy_since_us, 0);
}

static bool renderer_open(struct gpu *gpu, GError **error)
{
	const struct gpu_backend_config config = {
			.display = gpu->display,
			.limits = &gpu->config.limits,
			.events = &gpu->backend_events,
	};

	gpu->backend = gpu->impl->create(&config, error);
	gpu->backend_used = false;
	return gpu->backend != NULL;
}

static void renderer_close(struct gpu *gpu)
{
	if (gpu->backend) {
		gpu->impl->destroy(g_steal_pointer(&gpu->backend));
	}
}

/* Everything of the guest's is gone. Its requests are given back without a reply. */
static void forget_guest(struct gpu *gpu)
{
	gpu_scanouts_clear(gpu);
	gpu_cursors_clear(gpu);
	renderer_close(gpu); /* it uses what follows */
	gpu_contexts_clear(gpu);
	gpu_resources_clear(gpu);
	gpu_fence_drain(gpu, &gpu->global_timeline);
	assert(g_queue_is_empty(&gpu->flushes));
	gpu_commands_abandon_retired(gpu);
}

static void reset_run(struct gpu *gpu, struct gpu_work *work)
{
	struct reset_work *reset = container_of(work, struct reset_work, base);
	g_autoptr(GError) error = NULL;

	atomic_fetch_sub(&gpu->resets_pending, 1);
	if (gpu->backend_used) {
		forget_guest(gpu);
		if (!renderer_open(gpu, &error)) {
			gpu_lose(gpu, "the renderer did not start again after a device reset");
			g_free(reset);
			return;
		}
	} else {
		/* Firmware and kernel both reset what nobody used: a renderer's start can be saved. */
		gpu_cursors_clear(gpu);
		gpu_fence_drain(gpu, &gpu->global_timeline);
		gpu_commands_abandon_retired(gpu);
	}
	pthread_mutex_lock(&gpu->lock);
	gpu->events = 0;
	pthread_mutex_unlock(&gpu->lock);
	reset->done(reset->opaque);
	g_free(reset);
}

void worker_post_reset(struct gpu *gpu, void (*done)(void *opaque), void *opaque)
{
	struct reset_work *reset = g_new0(struct reset_work, 1);

	reset->base.run = reset_run;
	reset->done = done;
	reset->opaque = opaque;
	atomic_fetch_add(&gpu->resets_pending, 1);
	worker_post(gpu, &reset->base);
}

/* Moves the inbox to the backlog. Returns false when the thread is to end. */
static bool take_inbox(struct gpu *gpu)
{
	struct gpu_work **tail = &gpu->backlog;

	pthread_mutex_lock(&gpu->lock);
	bool quit = gpu->quit;
	if (gpu->inbox) {
		while (*tail) {
			tail = &(*tail)->next;
		}
		*tail = gpu->inbox;
		gpu->inbox = NULL;
		gpu->inbox_tail = &gpu->inbox;
	}
	pthread_mutex_unlock(&gpu->lock);
	return !quit;
}

static struct gpu_work *take_work(struct gpu *gpu)
{
	struct gpu_work *work = gpu->backlog;

	if (work) {
		gpu->backlog = work->next;
	}
	return work;
}

static void publish_then(struct gpu *gpu, void *opaque)
{
	(void)opaque;
	gpu_scanout_publish(gpu);
}

static void publish_cancel(struct gpu *gpu, void *opaque)
{
	(void)gpu; /* the reset turns the heads off and answers the flushes */
	(void)opaque;
}

/* Does one thing. False if there is nothing to do until something happens. */
static bool step(struct gpu *gpu)
{
	bool resetting = atomic_load(&gpu->resets_pending) > 0;

	if (atomic_load(&gpu->lost)) {
		return false;
	}
	if (gpu->barrier.seq != 0) {
		if (gpu->barrier.signalled) {
			gpu_barrier_finish(gpu);
			return true;
		}
		if (resetting) {
			gpu_barrier_cancel(gpu);
			return true;
		}
		return false;
	}
	if (!resetting && gpu_scanout_wants_publish(gpu)) {
		gpu_barrier_start(gpu, publish_then, publish_cancel, NULL);
		return true;
	}
	struct gpu_work *work = take_work(gpu);
	if (!work) {
		return false;
	}
	if (resetting && work->drop) {
		work->drop(gpu, work);
	} else {
		work->run(gpu, work);
	}
	return true;
}

/* Sleeps until something happens or deadline (g_get_monotonic_time()) comes. Returns whether the renderer has something to say. */
static bool wait_until(struct gpu *gpu, int64_t deadline)
{
	struct pollfd fds[2 + MAX_WATCHED] = {
			{.fd = gpu->wake_fd, .events = POLLIN},
			{.fd = gpu->backend ? gpu->impl->poll_fd(gpu->backend) : -1,
					.events = POLLIN},
	};
	const struct gpu_client_impl *client = gpu->client->impl;
	/* What it would bring has to wait for what is there. */
	unsigned watched = client->watch && gpu->serving && deadline != 0
					   ? client->watch(gpu->client, &fds[2], MAX_WATCHED)
					   : 0;
	struct timespec timeout = {0};
	int64_t us = 0;

	if (deadline != INT64_MAX && deadline > 0) {
		us = MAX(deadline - g_get_monotonic_time(), 0);
		timeout.tv_sec = us / G_USEC_PER_SEC;
		timeout.tv_nsec = us % G_USEC_PER_SEC * 1000;
	}
	int n = ppoll(fds, 2 + watched, deadline == INT64_MAX ? NULL : &timeout, NULL);
	if (n <= 0) {
		return false;
	}
	if (fds[0].revents != 0) {
		(void)eventfd_take(gpu->wake_fd); /* what it announces is under the lock */
	}
	if (watched > 0 && n > (fds[0].revents != 0) + (fds[1].revents != 0)) {
		gpu->in_ready = true;
		client->ready(gpu->client, &fds[2], watched);
		gpu->in_ready = false;
	}
	return fds[1].revents != 0;
}

static bool awaits_renderer(const struct gpu *gpu)
{
	return gpu->fences_pending > 0 || gpu->barrier.seq != 0;
}

static void serve(struct gpu *gpu)
{
	gpu->serving = true;
	while (take_inbox(gpu)) {
		gpu_scanout_collect(gpu);
		busy_begin(gpu);
		bool more = step(gpu);
		busy_end(gpu);
		gpu_scanout_expire(gpu, g_get_monotonic_time());
		gpu_commands_complete_retired(gpu);

		if (more && !awaits_renderer(gpu)) {
			continue; /* spares a system call for each command */
		}
		if (wait_until(gpu, more ? 0 : gpu_scanout_deadline(gpu))) {
			busy_begin(gpu);
			gpu->impl->poll(gpu->backend);
			busy_end(gpu);
			gpu_commands_complete_retired(gpu);
		}
	}
	gpu->serving = false;
}

/* Gives back everything that is somebody else's. */
static void wind_up(struct gpu *gpu)
{
	struct gpu_work *work;

	busy_begin(gpu);
	gpu_barrier_cancel(gpu);
	while ((work = take_work(gpu)) != NULL) {
		if (work->drop) {
			work->drop(gpu, work);
		} else {
			work->run(gpu, work);
		}
	}
	forget_guest(gpu);
	busy_end(gpu);
	while (gpu_scanout_collect(gpu), gpu_scanouts_in_flight(gpu) > 0) {
		(void)wait_until(gpu, INT64_MAX);
	}
}

static void set_phase(struct gpu *gpu, unsigned phase)
{
	pthread_mutex_lock(&gpu->lock);
	gpu->phase = phase;
	pthread_cond_broadcast(&gpu->changed);
	pthread_mutex_unlock(&gpu->lock);
}

static void take_capsets(struct gpu *gpu)
{
	unsigned count = gpu->impl->is_3d ? gpu->impl->capset_count(gpu->backend) : 0;

	for (unsigned i = 0; i < count && gpu->capset_count < GPU_MAX_CAPSETS; i++) {
		struct gpu_capset *capset = &gpu->capsets[gpu->capset_count];

		if (gpu->impl->capset_info(gpu->backend, i, &capset->id, &capset->version,
				    &capset->size)) {
			gpu->capset_count++;
		}
	}
}

static void worker_main(void *opaque)
{
	struct gpu *gpu = opaque;

	if (!renderer_open(gpu, &gpu->start_error)) {
		set_phase(gpu, GPU_FAILED);
		return;
	}
	take_capsets(gpu);
	set_phase(gpu, GPU_RUNNING);
	serve(gpu);
	wind_up(gpu);
	set_phase(gpu, GPU_FINISHED);
}

bool worker_start(struct gpu *gpu, GError **error)
{
	if (!thread_create(&gpu->thread, "gpu-worker", worker_main, gpu, error)) {
		return false;
	}
	pthread_mutex_lock(&gpu->lock);
	while (gpu->phase == GPU_STARTING) {
		pthread_cond_wait(&gpu->changed, &gpu->lock);
	}
	bool failed = gpu->phase == GPU_FAILED;
	pthread_mutex_unlock(&gpu->lock);
	if (failed) {
		pthread_join(gpu->thread, NULL);
		g_propagate_error(error, g_steal_pointer(&gpu->start_error));
		return false;
	}
	return true;
}

bool worker_stop(struct gpu *gpu, unsigned deadline_ms)
{
	struct timespec deadline;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += deadline_ms / 1000;
	deadline.tv_nsec += (long)(deadline_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&gpu->lock);
	gpu->quit = true;
	eventfd_signal(gpu->wake_fd);
	while (gpu->phase != GPU_FINISHED && ret != ETIMEDOUT) {
		ret = pthread_cond_timedwait(&gpu->changed, &gpu->lock, &deadline);
	}
	bool finished = gpu->phase == GPU_FINISHED;
	pthread_mutex_unlock(&gpu->lock);
	if (finished) {
		pthread_join(gpu->thread, NULL);
	} else {
		pthread_detach(gpu->thread);
	}
	return finished;
}
