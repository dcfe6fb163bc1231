/* SPDX-License-Identifier: MIT */
/* The virgl back end's inside: contexts and fences in backend_virgl.c, resources in virgl_resource.c. */
#ifndef GPU_BACKENDS_VIRGL_H
#define GPU_BACKENDS_VIRGL_H

#include "gpu/backends/backend.h"
#include "gpu/backends/virgl_fence.h"
#include "gpu/backends/virgl_gl.h"
#include "gpu/stream/check.h"

struct virgl_context {
	uint32_t id;
	struct stream_checker *checker;
	bool dirty; /* has work that no fence stands behind */
};

struct virgl_resource {
	struct gpu_resource_desc desc; /* format as the renderer knows it */
	uint32_t format; /* as the guest knows it */
	uint64_t backing; /* bytes; 0: none attached */
	struct stream_resource stream;
	uint64_t bytes; /* of host memory */
	unsigned holds; /* by objects and bindings of contexts */
	bool gone; /* destroyed by the guest; its memory lives until nothing holds it */
};

struct virgl_backend {
	struct gpu_backend base;
	const struct gpu_limits *limits;
	struct virgl_gl gl;
	struct virgl_fences fences;
	GHashTable *contexts; /* id -> struct virgl_context, owned */
	GHashTable *resources; /* id -> struct virgl_resource, owned */
	struct stream_resources stream_resources;
	uint64_t bytes; /* of host memory, of all resources that the renderer still has */
	bool ctx0_dirty; /* transfers outside of any context */

	struct virgl_renderer_callbacks callbacks;
	bool initialised;
};

struct virgl_backend *virgl_from(struct gpu_backend *backend);
struct virgl_context *virgl_find_context(struct virgl_backend *virgl, uint32_t id);

/* What a guest is told about an errno of the renderer's, whichever sign it has. */
uint32_t virgl_error_of(int result);

/* What checkers are told about resources. */
void virgl_resources_init(struct virgl_backend *virgl);
void virgl_resources_finish(struct virgl_backend *virgl); /* no context is left */

/* Members of gpu_backend_impl. */
bool virgl_resource_size(struct gpu_backend *backend, const struct gpu_resource_desc *desc,
		uint64_t *ret_bytes);
uint32_t virgl_resource_create(struct gpu_backend *backend, const struct gpu_resource_desc *desc);
void virgl_resource_destroy(struct gpu_backend *backend, uint32_t resource_id);
uint32_t virgl_backing_attach(struct gpu_backend *backend, uint32_t resource_id, struct iovec *iov,
		unsigned count);
void virgl_backing_detach(struct gpu_backend *backend, uint32_t resource_id);
uint32_t virgl_transfer_to_host(struct gpu_backend *backend, const struct gpu_transfer *transfer);
uint32_t virgl_transfer_from_host(struct gpu_backend *backend, const struct gpu_transfer *transfer);
uint32_t virgl_read_pixels(struct gpu_backend *backend, uint32_t resource_id,
		const struct rect *rect, void *buf, uint32_t stride, enum pixel_format *ret_format);
bool virgl_scanout_image(struct gpu_backend *backend, uint32_t resource_id, uint32_t accepts,
		struct display_frame *ret_frame);

#endif
