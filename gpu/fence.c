/* SPDX-License-Identifier: MIT */
#include "gpu/fence.h"

#include "gpu/command.h"
#include "gpu/context.h"

/* The hang detection's second eye: work that was handed over and makes no progress. */
static void note_progress(struct gpu *gpu)
{
	bool waiting = gpu->fences_pending > 0 ||
		       (gpu->barrier.seq != 0 && !gpu->barrier.signalled);

	atomic_store(&gpu->stats.fences_since_us, waiting ? g_get_monotonic_time() : 0);
}

static void retire(struct gpu *gpu, GQueue *timeline, GList *link)
{
	struct gpu_command *command = link->data;

	if (!command->signalled) {
		gpu->fences_pending--;
	}
	if (command->flush_waiting) {
		command->flush_waiting = false;
		g_queue_remove(&gpu->flushes, command);
	}
	command->timeline = NULL;
	g_queue_delete_link(timeline, link);
	g_queue_push_tail(&gpu->retired, command);
}

/*
 * virtio 5.7.6.7: completion of a fence on a ring answers all outstanding commands with ids up to its own, whatever
 * order the ids came in.
 */
static void retire_ring_ids(struct gpu *gpu, GQueue *timeline, uint64_t max_id)
{
	for (GList *link = timeline->head, *next; link; link = next) {
		struct gpu_command *command = link->data;

		next = link->next;
		if (command->wire.hdr.fence_id <= max_id) {
			retire(gpu, timeline, link);
		}
	}
}

/* Retires what is complete, and what came before it: a flush that still waits for its frame must not hold up later work. */
static void advance(struct gpu *gpu, GQueue *timeline)
{
	GList *last = NULL;
	uint64_t max_id = 0;
	bool done = false;

	for (GList *link = timeline->head; link; link = link->next) {
		struct gpu_command *command = link->data;

		if (!command->signalled) {
			break;
		}
		if (!command->flush_waiting) {
			last = link;
		}
	}
	while (last && !done) {
		GList *link = timeline->head;
		struct gpu_command *command = link->data;

		done = link == last;
		max_id = MAX(max_id, command->wire.hdr.fence_id);
		retire(gpu, timeline, link);
	}
	if (done && timeline != &gpu->global_timeline) {
		retire_ring_ids(gpu, timeline, max_id);
	}
}

static void signal_timeline(struct gpu *gpu, GQueue *timeline, uint64_t seq)
{
	for (GList *link = timeline->head; link; link = link->next) {
		struct gpu_command *command = link->data;

		if (command->seq > seq) {
			break;
		}
		if (!command->signalled) {
			command->signalled = true;
			gpu->fences_pending--;
			atomic_fetch_add(&gpu->stats.fences, 1);
		}
	}
	advance(gpu, timeline);
}

static GQueue *timeline_find(struct gpu *gpu, const struct gpu_timeline_id *id)
{
	if (id->global) {
		return &gpu->global_timeline;
	}
	struct gpu_context *context = gpu_context_find(gpu, id->ctx_id);
	return context && id->ring < VIRTIO_GPU_MAX_RINGS ? &context->timelines[id->ring] : NULL;
}

void gpu_fence_handle_signalled(
		struct gpu_backend_events *events, struct gpu_timeline_id id, uint64_t seq)
{
	struct gpu *gpu = container_of(events, struct gpu, backend_events);
	GQueue *timeline = timeline_find(gpu, &id);

	if (timeline) {
		signal_timeline(gpu, timeline, seq);
	}
	if (id.global && gpu->barrier.seq != 0 && gpu->barrier.seq <= seq) {
		gpu->barrier.signalled = true;
	}
	note_progress(gpu);
}

static struct gpu_timeline_id timeline_id(struct gpu *gpu, const struct gpu_command *command)
{
	const struct virtio_gpu_ctrl_hdr *hdr = &command->wire.hdr;

	/* Where the context is no more (CTX_DESTROY itself) or never was, waiting for everything is right too. */
	if (!gpu_command_has_ring(gpu, command) || !gpu_context_find(gpu, hdr->ctx_id) ||
			hdr->ring_idx >= VIRTIO_GPU_MAX_RINGS) {
		return (struct gpu_timeline_id){.global = true};
	}
	return (struct gpu_timeline_id){.ctx_id = hdr->ctx_id, .ring = hdr->ring_idx};
}

/* Without a fence of its own a command is due with its predecessor. */
static void fence_failed(struct gpu *gpu, struct gpu_command *command, uint32_t error)
{
	GQueue *timeline = command->timeline;

	if (command->reply < VIRTIO_GPU_RESP_ERR_UNSPEC) {
		command->reply = error;
	}
	if (!timeline) {
		return; /* retired from inside the call */
	}
	GList *link = timeline->tail;
	assert(link->data == command);
	struct gpu_command *before = link->prev ? link->prev->data : NULL;
	if (before && !before->signalled) {
		command->seq = before->seq;
	} else {
		signal_timeline(gpu, timeline, command->seq);
		note_progress(gpu);
	}
}

void gpu_fence_add(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_timeline_id id = timeline_id(gpu, command);
	GQueue *timeline = timeline_find(gpu, &id);

	command->seq = ++gpu->sequence;
	command->timeline = timeline;
	if (gpu->fences_pending++ == 0) {
		note_progress(gpu);
	}
	g_queue_push_tail(timeline, command);

	uint32_t error = gpu->impl->fence(gpu->backend, id, command->seq);
	if (error != 0) {
		fence_failed(gpu, command, error);
	}
}

void gpu_fence_flush_done(struct gpu *gpu, struct gpu_command *command)
{
	command->flush_waiting = false;
	if (command->timeline) {
		advance(gpu, command->timeline);
	} else {
		g_queue_push_tail(&gpu->retired, command);
	}
}

void gpu_fence_drain(struct gpu *gpu, GQueue *timeline)
{
	while (timeline->head) {
		retire(gpu, timeline, timeline->head);
	}
	note_progress(gpu);
}

void gpu_barrier_start(struct gpu *gpu, void (*then)(struct gpu *gpu, void *opaque),
		void (*cancel)(struct gpu *gpu, void *opaque), void *opaque)
{
	uint64_t seq = ++gpu->sequence;

	assert(gpu->barrier.seq == 0);
	gpu->barrier = (struct gpu_barrier){
			.seq = seq, .then = then, .cancel = cancel, .opaque = opaque};
	if (gpu->fences_pending == 0) {
		note_progress(gpu);
	}
	struct gpu_timeline_id global = {.global = true};
	if (gpu->impl->fence(gpu->backend, global, seq) != 0) {
		gpu->barrier.signalled = true; /* a picture too early rather than none */
	}
}

static struct gpu_barrier barrier_take(struct gpu *gpu)
{
	struct gpu_barrier barrier = gpu->barrier;

	gpu->barrier = (struct gpu_barrier){0};
	note_progress(gpu);
	return barrier;
}

void gpu_barrier_finish(struct gpu *gpu)
{
	struct gpu_barrier barrier = barrier_take(gpu);

	assert(barrier.signalled);
	barrier.then(gpu, barrier.opaque);
}

void gpu_barrier_cancel(struct gpu *gpu)
{
	if (gpu->barrier.seq != 0) {
		struct gpu_barrier barrier = barrier_take(gpu);
		barrier.cancel(gpu, barrier.opaque);
	}
}
