/* SPDX-License-Identifier: MIT */
/*
 * What the files of gpu/ share: the GPU itself and the work its thread does. Three owners: constant after creation; guarded
 * by a lock; the worker's alone.
 */
#ifndef GPU_STATE_H
#define GPU_STATE_H

#include "core/base/base.h"
#include "core/base/checked.h"
#include "gpu/backends/backend.h"
#include "gpu/gpu.h"

#include <pthread.h>
#include <stdatomic.h>

struct gpu_command;
struct gpu_resource;

#define GPU_MAX_CAPSETS 16
#define GPU_FRAMES_PER_HEAD 2

/* Something the worker is to do, in order. Embed it. */
struct gpu_work {
	struct gpu_work *next; /* the inbox's */
	void (*run)(struct gpu *gpu, struct gpu_work *work);
	/* Instead of run: a device reset or the end overtook it. May be NULL: run even so (reset itself). */
	void (*drop)(struct gpu *gpu, struct gpu_work *work);
};

struct gpu_capset {
	uint32_t id, version, size;
};

/* An image on its way to the display, or a buffer waiting to become one. */
struct gpu_frame {
	struct display_frame base;
	struct gpu *gpu;
	bool released; /* guarded by gpu->lock: by the display, not yet seen by the worker */

	/* The worker's. */
	bool in_flight;
	uint64_t serial; /* the newest flush it shows */
	uint8_t *pixels; /* a copy of the head's pixels; may be NULL */
	uint64_t pixels_size; /* bytes, charged to the host byte limit */
	uint32_t width, height; /* of pixels */
	struct rect stale; /* what pixels lacks, in pixels of the head */
	struct gpu_resource *resource; /* whose image is shown without a copy; NULL with pixels */
};

/* What a head showed when it was switched off. */
struct gpu_kept {
	uint8_t *pixels; /* NULL: nothing is kept */
	uint64_t size; /* bytes, charged to the host byte limit */
	uint32_t width, height;
	enum pixel_format format;
};

struct gpu_head {
	/* The worker's. */
	struct gpu_resource *resource; /* NULL: the scanout is off */
	struct rect source; /* inside the resource */
	bool unshown; /* resource or source changed since the last flush */
	struct rect damage; /* flushed, not yet presented; in pixels of the head */
	uint64_t damage_serial; /* the newest flush in damage */
	uint64_t released_serial; /* the newest flush that was presented and released */
	struct gpu_frame frames[GPU_FRAMES_PER_HEAD];
	struct gpu_kept kept; /* with config.keep_last: until the head shows something again */

	/* Guarded by gpu->lock. */
	uint32_t mode_width, mode_height; /* 0x0: nothing connected */

	/* Guarded by gpu->cursor_lock. */
	struct {
		uint64_t update; /* counts UPDATE_CURSOR */
		bool visible;
		int32_t x, y; /* of the hotspot */
		struct display_cursor image; /* valid while visible */
	} cursor;
};

/* The queue stands still until all work before has signalled, then goes on with then(). */
struct gpu_barrier {
	uint64_t seq; /* 0: none */
	bool signalled;
	void (*then)(struct gpu *gpu, void *opaque);
	void (*cancel)(struct gpu *gpu, void *opaque); /* instead of then: reset or the end */
	void *opaque;
};

struct gpu {
	/* Constant after creation. */
	const struct gpu_backend_impl *impl;
	struct gpu_config config; /* .backend is not kept */
	struct display *display;
	struct gpu_client *client;
	uint64_t features;
	struct gpu_capset capsets[GPU_MAX_CAPSETS];
	unsigned capset_count;
	int wake_fd;
	pthread_t thread;
	bool serving, in_ready; /* the worker's: in its loop, in the client's ready() */

	pthread_mutex_t lock; /* taken last; nothing is called with it held */
	pthread_cond_t changed; /* of the worker's phase */
	struct gpu_work *inbox, **inbox_tail; /* guarded by lock */
	bool frames_released; /* guarded by lock: some frame's released is set */
	bool quit; /* guarded by lock */
	enum {
		GPU_STARTING,
		GPU_RUNNING,
		GPU_FAILED,
		GPU_FINISHED,
	} phase; /* guarded by lock */
	GError *start_error; /* guarded by lock until phase is GPU_FAILED */
	uint32_t events; /* guarded by lock */

	/*
	 * Orders what the service thread and the worker tell the display about cursors, so it is held over those calls: the
	 * display only posts them and never calls back.
	 */
	pthread_mutex_t cursor_lock;

	atomic_uint resets_pending;
	atomic_bool lost;

	/* The worker's. */
	struct gpu_backend *backend; /* NULL: the renderer could not be restarted */
	struct gpu_backend_events backend_events;
	bool backend_used; /* since it was created */
	struct gpu_work *backlog; /* taken from the inbox */
	GHashTable *resources; /* id -> struct gpu_resource */
	GQueue doomed; /* struct gpu_resource: without an id, still shown by the display */
	GHashTable *contexts; /* id -> struct gpu_context */
	struct gpu_head heads[VIRTIO_GPU_MAX_SCANOUTS];
	uint64_t sequence; /* the last fence's; never starts again */
	unsigned fences_pending; /* issued, not signalled; the barrier's not counted */
	GQueue global_timeline; /* struct gpu_command */
	GQueue flushes; /* struct gpu_command: replies wait for a frame or a deadline, in order of deadline */
	uint64_t flush_serial;
	struct gpu_barrier barrier;
	GQueue retired; /* struct gpu_command: reply is due */

	/* Written by one thread each, read by any. */
	struct {
		atomic_uint_fast64_t commands, errors, fences, frames, host_bytes;
		atomic_uint contexts, resources;
		atomic_int_fast64_t busy_since_us; /* the worker is inside the renderer */
		atomic_int_fast64_t
				fences_since_us; /* fences are outstanding and none has signalled */
	} stats;
};

/* Accounts bytes of host memory that a guest makes us use; false beyond the limit. Worker. */
bool gpu_charge(struct gpu *gpu, uint64_t bytes);
void gpu_uncharge(struct gpu *gpu, uint64_t bytes);

/* Tells the client once that the renderer is beyond repair; reason is a static string. Any thread. */
void gpu_lose(struct gpu *gpu, const char *reason);

#endif
