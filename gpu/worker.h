/* SPDX-License-Identifier: MIT */
/*
 * The thread that owns the renderer. It sleeps in ppoll() on its inbox and the renderer's descriptor; the only timer is the
 * deadline of a flush that waits for its frame.
 */
#ifndef GPU_WORKER_H
#define GPU_WORKER_H

#include "gpu/state.h"

/* Starts the thread and waits until its renderer is open. False with an error if it cannot be; then no thread runs. */
bool worker_start(struct gpu *gpu, GError **error);

/*
 * Makes the thread finish everything and end. False if it has not by deadline_ms from now: it is left behind and the GPU
 * must not be freed.
 */
bool worker_stop(struct gpu *gpu, unsigned deadline_ms);

/* Hands over work, in order. Any thread. */
void worker_post(struct gpu *gpu, struct gpu_work *work);

/* Puts the reset in order behind what was posted before, all of which is dropped. Any thread. */
void worker_post_reset(struct gpu *gpu, void (*done)(void *opaque), void *opaque);

#endif
