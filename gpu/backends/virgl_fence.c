/* SPDX-License-Identifier: MIT */
#include "gpu/backends/virgl_fence.h"

#include <virgl/virglrenderer.h>

struct virgl_fence {
	struct gpu_timeline_id timeline;
	uint64_t seq;
	uint32_t id;
};

void virgl_fences_init(struct virgl_fences *fences, struct gpu_backend_events *events)
{
	*fences = (struct virgl_fences){.events = events};
	g_queue_init(&fences->pending);
}

void virgl_fences_finish(struct virgl_fences *fences)
{
	g_queue_clear_full(&fences->pending, g_free);
}

bool virgl_fences_issue_silent(struct virgl_fences *fences)
{
	if (virgl_renderer_create_fence((int)(fences->last_id + 1), 0) != 0) {
		return false;
	}
	fences->last_id++;
	return true;
}

bool virgl_fences_issue(
		struct virgl_fences *fences, const struct gpu_timeline_id *timeline, uint64_t seq)
{
	if (!virgl_fences_issue_silent(fences)) {
		return false;
	}
	struct virgl_fence *fence = g_new0(struct virgl_fence, 1);
	fence->timeline = *timeline;
	fence->seq = seq;
	fence->id = fences->last_id;
	g_queue_push_tail(&fences->pending, fence);
	return true;
}

/* Whether id a is b or was given out before it. */
static bool id_reached(uint32_t a, uint32_t b)
{
	return (int32_t)(b - a) >= 0;
}

void virgl_fences_retire(struct virgl_fences *fences, uint32_t id)
{
	if (!fences->retired || id_reached(fences->retired_id, id)) {
		fences->retired = true;
		fences->retired_id = id;
	}
}

void virgl_fences_report(struct virgl_fences *fences)
{
	struct virgl_fence *fence;

	if (!fences->retired) {
		return;
	}
	fences->retired = false;
	while ((fence = g_queue_peek_head(&fences->pending)) &&
			id_reached(fence->id, fences->retired_id)) {
		(void)g_queue_pop_head(&fences->pending);
		fences->events->fence_signalled(fences->events, fence->timeline, fence->seq);
		g_free(fence);
	}
}

void virgl_fences_context_destroyed(struct virgl_fences *fences, uint32_t ctx_id)
{
	GList *next;

	for (GList *link = fences->pending.head; link; link = next) {
		struct virgl_fence *fence = link->data;
		next = link->next;
		if (fence->timeline.global || fence->timeline.ctx_id != ctx_id) {
			continue;
		}
		g_queue_delete_link(&fences->pending, link);
		fences->events->fence_signalled(fences->events, fence->timeline, fence->seq);
		g_free(fence);
	}
	if (!g_queue_is_empty(&fences->pending)) {
		/* Without memory for it the next fence anybody makes does the same, only later. */
		(void)virgl_fences_issue_silent(fences);
	}
}
