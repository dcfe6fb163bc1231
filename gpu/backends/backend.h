/* SPDX-License-Identifier: MIT */
/*
 * What renders: 2d (pixman) or virgl (virglrenderer), a fake one in tests, others later. Every call
 * comes from the GPU's worker thread, the only owner of the renderer. Functions that do what a
 * guest asked return 0 or the virtio error code to reply (VIRTIO_GPU_RESP_ERR_*).
 *
 * The GPU has already checked what it can know: ids exist, rectangles lie inside resources, limits
 * hold. A back end checks what only it can know, and trusts no stream.
 */
#ifndef GPU_BACKENDS_BACKEND_H
#define GPU_BACKENDS_BACKEND_H

#include "core/base/base.h"
#include "core/base/checked.h"
#include "core/virtio/virtio_gpu.h"
#include "display/display.h"
#include "gpu/gpu.h"

#include <sys/uio.h>

struct gpu_backend;

/* A resource as its creator described it: both CREATE_2D and CREATE_3D end here. */
struct gpu_resource_desc {
	uint32_t id;
	uint32_t target; /* enum pipe_texture_target */
	uint32_t format; /* enum virtio_gpu_format for 2D; any virgl format for 3D */
	uint32_t bind; /* VIRGL_BIND_* */
	uint32_t width, height, depth;
	uint32_t array_size, last_level, nr_samples;
	uint32_t flags;
	bool is_2d; /* created by CREATE_2D */
};

struct gpu_transfer {
	uint32_t ctx_id; /* 0: none */
	uint32_t resource_id;
	uint32_t level;
	struct virtio_gpu_box box;
	uint64_t offset; /* bytes into the backing */
	uint32_t stride, layer_stride; /* bytes; 0: tight */
};

/* One fence timeline: the global one (ctx 0) or a context's ring. */
struct gpu_timeline_id {
	uint32_t ctx_id;
	uint8_t ring;
	bool global;
};

/* What the back end reports while poll or any other call runs, on the worker thread. */
struct gpu_backend_events {
	/* Every fence with a sequence number <= seq on this timeline has signalled. */
	void (*fence_signalled)(struct gpu_backend_events *events, struct gpu_timeline_id timeline,
			uint64_t seq);
};

struct gpu_backend_config {
	struct display *display; /* its egl, if any, is where GL contexts come from */
	const struct gpu_limits *limits;
	struct gpu_backend_events *events;
};

struct gpu_backend_impl {
	const char *name;
	bool is_3d; /* offers contexts, capsets, streams */
	bool context_init; /* honours ctx_create's context_init, and fences on every ring */

	struct gpu_backend *(*create)(const struct gpu_backend_config *config, GError **error);
	/* Gives back everything. Reset is destroy + create. */
	void (*destroy)(struct gpu_backend *backend);

	/* Readable when poll has something to do; -1: never. Ask again after every create. */
	int (*poll_fd)(struct gpu_backend *backend);
	void (*poll)(struct gpu_backend *backend);

	unsigned (*capset_count)(struct gpu_backend *backend);
	bool (*capset_info)(struct gpu_backend *backend, unsigned index, uint32_t *ret_id,
			uint32_t *ret_version, uint32_t *ret_size);
	/* Fills size bytes (as capset_info gave) for a known id and version. */
	bool (*capset)(struct gpu_backend *backend, uint32_t id, uint32_t version, void *buf);

	uint32_t (*ctx_create)(struct gpu_backend *backend, uint32_t ctx_id, uint32_t context_init,
			const char *name);
	void (*ctx_destroy)(struct gpu_backend *backend, uint32_t ctx_id);
	void (*ctx_attach)(struct gpu_backend *backend, uint32_t ctx_id, uint32_t resource_id);
	void (*ctx_detach)(struct gpu_backend *backend, uint32_t ctx_id, uint32_t resource_id);
	/* size is a multiple of 4; words is a private copy. */
	uint32_t (*submit)(
			struct gpu_backend *backend, uint32_t ctx_id, uint32_t *words, size_t size);

	/*
	 * Bytes of host memory the resource will take; false if no such resource can exist. For the
	 * accounting.
	 */
	bool (*resource_size)(struct gpu_backend *backend, const struct gpu_resource_desc *desc,
			uint64_t *ret_bytes);
	uint32_t (*resource_create)(
			struct gpu_backend *backend, const struct gpu_resource_desc *desc);
	void (*resource_destroy)(struct gpu_backend *backend, uint32_t resource_id);
	/* iov stays valid until detach. */
	uint32_t (*backing_attach)(struct gpu_backend *backend, uint32_t resource_id,
			struct iovec *iov, unsigned count);
	void (*backing_detach)(struct gpu_backend *backend, uint32_t resource_id);

	uint32_t (*transfer_to_host)(
			struct gpu_backend *backend, const struct gpu_transfer *transfer);
	uint32_t (*transfer_from_host)(
			struct gpu_backend *backend, const struct gpu_transfer *transfer);

	/*
	 * Signals seq on the timeline once all work submitted before has completed. Sequence
	 * numbers of a timeline grow.
	 */
	uint32_t (*fence)(
			struct gpu_backend *backend, struct gpu_timeline_id timeline, uint64_t seq);

	/*
	 * Copies rect of a single-level 2D resource, rows top down, into buf as *ret_format. stride
	 * in bytes.
	 */
	uint32_t (*read_pixels)(struct gpu_backend *backend, uint32_t resource_id,
			const struct rect *rect, void *buf, uint32_t stride,
			enum pixel_format *ret_format);

	/*
	 * What a display may show directly without a copy: fills kind, format, image size, pixels
	 * or texture, y_inverted. False if the resource can only be read. The image stays good
	 * until the resource is destroyed.
	 */
	bool (*scanout_image)(struct gpu_backend *backend, uint32_t resource_id, uint32_t accepts,
			struct display_frame *ret_frame);
};

struct gpu_backend {
	const struct gpu_backend_impl *impl;
};

extern const struct gpu_backend_impl gpu_backend_2d;
extern const struct gpu_backend_impl gpu_backend_virgl; /* only where built with virglrenderer */

#endif
