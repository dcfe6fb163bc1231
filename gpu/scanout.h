/* SPDX-License-Identifier: MIT */
/*
 * From RESOURCE_FLUSH to a frame on the display. A flush adds damage to the heads that show the resource; once all work before it
 * has signalled, each head publishes. A frame is the renderer's own image where the display can show it, else a copy of
 * the damaged pixels, so that nothing tears and no thread reads what another writes. Each head has two frames: while the display
 * holds both, damage gathers and the newest wins. The flush is answered when its frames were released, or one
 * refresh period after they were published. Worker thread.
 */
#ifndef GPU_SCANOUT_H
#define GPU_SCANOUT_H

#include "gpu/state.h"

/* One refresh period, microseconds: the longest that a published flush waits for its reply. */
#define GPU_REFRESH_US (1000000 / 60)

/* Shows source, which lies inside the resource, from the next flush on. */
void gpu_scanout_set(struct gpu *gpu, struct gpu_head *head, struct gpu_resource *resource,
		const struct rect *source);

/* The head shows nothing any more. With config.keep_last its picture is read once, into head->kept. */
void gpu_scanout_disable(struct gpu *gpu, struct gpu_head *head);

/*
 * Adds rect of the resource to the damage of the heads that show it. True if the command's reply must wait; it is then on
 * gpu->flushes.
 */
bool gpu_scanout_flush(struct gpu *gpu, const struct gpu_resource *resource,
		const struct rect *rect, struct gpu_command *command);

/* Whether a head has damage and a frame to publish it with. */
bool gpu_scanout_wants_publish(const struct gpu *gpu);

/* Publishes what can be: all work before has signalled. */
void gpu_scanout_publish(struct gpu *gpu);

/* Takes back frames that the display has released. */
void gpu_scanout_collect(struct gpu *gpu);

/* Answers flushes whose time is up; now and the result are g_get_monotonic_time(), INT64_MAX if none waits. */
void gpu_scanout_expire(struct gpu *gpu, int64_t now);
int64_t gpu_scanout_deadline(const struct gpu *gpu);

/* The resource goes away: turns off the heads that show it. */
void gpu_scanouts_forget_resource(struct gpu *gpu, const struct gpu_resource *resource);

/* Turns all heads off and answers every flush. */
void gpu_scanouts_clear(struct gpu *gpu);

/* Frames that the display has not released yet. */
unsigned gpu_scanouts_in_flight(const struct gpu *gpu);

void gpu_scanouts_init(struct gpu *gpu);
void gpu_scanouts_finish(struct gpu *gpu); /* none is in flight */

#endif
