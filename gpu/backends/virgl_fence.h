/* SPDX-License-Identifier: MIT */
/*
 * Fences of virglrenderer, made to obey virtio's timelines. The renderer waits for its fences one
 * after the other in the order they were made, on a thread of its own, whatever context they belong
 * to. So all timelines share one sequence of 32-bit ids here: when an id has signalled, everything
 * before it has. That gives rings beyond 0, 64-bit sequence numbers and fences that outlive other
 * contexts, none of which the renderer has. Worker thread only.
 */
#ifndef GPU_BACKENDS_VIRGL_FENCE_H
#define GPU_BACKENDS_VIRGL_FENCE_H

#include "gpu/backends/backend.h"

struct virgl_fences {
	struct gpu_backend_events *events;
	GQueue pending; /* struct virgl_fence, oldest first */
	uint32_t last_id; /* of the renderer's fences; wraps */
	bool retired; /* an id has come in since the last report */
	uint32_t retired_id;
};

void virgl_fences_init(struct virgl_fences *fences, struct gpu_backend_events *events);
void virgl_fences_finish(struct virgl_fences *fences);

/*
 * Makes a fence after what the current GL context has been told so far. False if the renderer has
 * no memory for it.
 */
bool virgl_fences_issue(
		struct virgl_fences *fences, const struct gpu_timeline_id *timeline, uint64_t seq);

/* The same for nobody: it only keeps the sequence going. */
bool virgl_fences_issue_silent(struct virgl_fences *fences);

/* Called back by the renderer: id and all before it have signalled. Reports nothing yet. */
void virgl_fences_retire(struct virgl_fences *fences, uint32_t id);

/* Reports what has signalled. Outside of any call into the renderer. */
void virgl_fences_report(struct virgl_fences *fences);

/*
 * After a context was destroyed: reports its fences as signalled, and makes one more for the other
 * timelines, because the renderer forgets whichever fence it was waiting for at that moment.
 */
void virgl_fences_context_destroyed(struct virgl_fences *fences, uint32_t ctx_id);

#endif
