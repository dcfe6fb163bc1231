/* SPDX-License-Identifier: MIT */
/*
 * When replies are due. Each timeline, the global one and every ring of every context, is a list of commands in the order they came;
 * the renderer knows them by sequence numbers of ours, so a guest's fence ids may be anything. Numbers are never
 * used twice, so a late signal for a context that is gone cannot touch its successor. Worker thread.
 */
#ifndef GPU_FENCE_H
#define GPU_FENCE_H

#include "gpu/state.h"

/* Sends the reply of a fenced command once all work so far has completed. The command is on its timeline from here. */
void gpu_fence_add(struct gpu *gpu, struct gpu_command *command);

/* The renderer's gpu_backend_events. */
void gpu_fence_handle_signalled(
		struct gpu_backend_events *events, struct gpu_timeline_id id, uint64_t seq);

/* A command waits for its frame no longer; its reply may be due. */
void gpu_fence_flush_done(struct gpu *gpu, struct gpu_command *command);

/* Everything on the timeline is due now: its context is gone. */
void gpu_fence_drain(struct gpu *gpu, GQueue *timeline);

/* Stops the queue until all work so far has signalled. One at a time. then runs from the worker's loop. */
void gpu_barrier_start(struct gpu *gpu, void (*then)(struct gpu *gpu, void *opaque),
		void (*cancel)(struct gpu *gpu, void *opaque), void *opaque);
void gpu_barrier_finish(struct gpu *gpu); /* it has signalled */
void gpu_barrier_cancel(struct gpu *gpu); /* no-op if there is none */

#endif
