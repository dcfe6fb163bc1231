/* SPDX-License-Identifier: MIT */
/*
 * The 3D back end: virglrenderer 0.10.4 and later. Left out: blobs, venus and native contexts,
 * video. Its faults that are worked around here are named where it happens.
 */
#include "core/base/log.h"
#include "gpu/backends/virgl.h"

#include <errno.h>
#include <string.h>

#define MAX_OBJECTS 131072 /* of one context: about 64 MiB of the renderer's and our own records */
#define NAME_LENGTH 64

static const uint32_t capset_ids[] = {VIRTIO_GPU_CAPSET_VIRGL, VIRTIO_GPU_CAPSET_VIRGL2};

struct virgl_backend *virgl_from(struct gpu_backend *backend)
{
	assert(backend->impl == &gpu_backend_virgl);
	return container_of(backend, struct virgl_backend, base);
}

struct virgl_context *virgl_find_context(struct virgl_backend *virgl, uint32_t id)
{
	return g_hash_table_lookup(virgl->contexts, GUINT_TO_POINTER(id));
}

uint32_t virgl_error_of(int result)
{
	switch (result < 0 ? -result : result) {
	case 0:
		return 0;
	case ENOMEM:
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	case EINVAL:
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	default:
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	}
}

/* The renderer's callbacks. */

static void handle_fence(void *cookie, uint32_t id)
{
	struct virgl_backend *virgl = cookie;

	virgl_fences_retire(&virgl->fences, id);
}

static virgl_renderer_gl_context handle_create_context(
		void *cookie, int scanout, struct virgl_renderer_gl_ctx_param *param)
{
	struct virgl_backend *virgl = cookie;

	(void)scanout;
	return virgl_gl_take(&virgl->gl, param);
}

static void handle_destroy_context(void *cookie, virgl_renderer_gl_context context)
{
	struct virgl_backend *virgl = cookie;

	virgl_gl_destroy(&virgl->gl, context);
}

static int handle_make_current(void *cookie, int scanout, virgl_renderer_gl_context context)
{
	struct virgl_backend *virgl = cookie;

	(void)scanout;
	return virgl_gl_make_current(&virgl->gl, context) ? 0 : -1;
}

static void *handle_get_egl_display(void *cookie)
{
	struct virgl_backend *virgl = cookie;

	return egl_display(virgl->gl.egl);
}

static void G_GNUC_PRINTF(1, 0) handle_remark(const char *format, va_list args)
{
	g_autofree char *text = g_strdup_vprintf(format, args);

	log_debug("virglrenderer: %s", g_strchomp(text));
}

/* Once it runs, what the renderer prints is about what guests did wrong. */
static void G_GNUC_PRINTF(1, 0) handle_message(const char *format, va_list args)
{
	g_autofree char *text = g_strdup_vprintf(format, args);

	guest_error("virglrenderer: %s", g_strchomp(text));
}

/* Life. */

static void context_free(void *data)
{
	struct virgl_context *context = data;

	stream_checker_destroy(context->checker);
	g_free(context);
}

static void virgl_destroy(struct gpu_backend *backend)
{
	struct virgl_backend *virgl = virgl_from(backend);

	if (virgl->initialised) {
		virgl_renderer_cleanup(virgl);
		(void)egl_make_current(virgl->gl.egl, EGL_NO_CONTEXT); /* its contexts are gone */
	}
	virgl_gl_finish(&virgl->gl);
	virgl_fences_finish(&virgl->fences);
	g_hash_table_destroy(virgl->contexts);
	virgl_resources_finish(virgl);
	g_free(virgl);
}

static GQuark virgl_error_quark(void)
{
	return g_quark_from_static_string("oriel-virgl");
}

/*
 * The renderer learns some of its limits (the largest texture buffer) only while it describes itself, and takes them for 0 until then. A
 * driver that remembers the description from before a restart does not ask again.
 */
static void learn_limits(void)
{
	uint32_t version = 0, size = 0;

	virgl_renderer_get_cap_set(VIRTIO_GPU_CAPSET_VIRGL2, &version, &size);
	g_autofree void *capset = g_malloc0(size);
	virgl_renderer_fill_caps(VIRTIO_GPU_CAPSET_VIRGL2, version, capset);
}

static bool start_renderer(struct virgl_backend *virgl, GError **error)
{
	virgl->callbacks = (struct virgl_renderer_callbacks){
			.version = 4,
			.write_fence = handle_fence,
			.create_gl_context = handle_create_context,
			.destroy_gl_context = handle_destroy_context,
			.make_current = handle_make_current,
			.get_egl_display = handle_get_egl_display,
	};
	(void)virgl_set_debug_callback(handle_remark); /* the one before is the library's own */
	int result = virgl_renderer_init(virgl, VIRGL_RENDERER_THREAD_SYNC, &virgl->callbacks);
	if (result != 0) {
		g_set_error(error, virgl_error_quark(), 1,
				"virgl: the renderer does not start on '%s' (%d)",
				egl_renderer(virgl->gl.egl), result);
		return false;
	}
	virgl->initialised = true;
	learn_limits();
	(void)virgl_set_debug_callback(handle_message);
	if (virgl_renderer_get_poll_fd() < 0) {
		g_set_error(error, virgl_error_quark(), 1,
				"virgl: the renderer has no thread that waits for fences (is VIRGL_DISABLE_MT set?)");
		return false;
	}
	return true;
}

static struct gpu_backend *virgl_create(const struct gpu_backend_config *config, GError **error)
{
	if (!config->display->egl) {
		g_set_error(error, virgl_error_quark(), 1,
				"virgl: display '%s' was opened without GL",
				config->display->impl->name);
		return NULL;
	}
	struct virgl_backend *virgl = g_new0(struct virgl_backend, 1);
	virgl->base.impl = &gpu_backend_virgl;
	virgl->limits = config->limits;
	virgl->contexts = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, context_free);
	virgl_resources_init(virgl);
	virgl_gl_init(&virgl->gl, config->display->egl);
	virgl_fences_init(&virgl->fences, config->events);

	/* The renderer walks down from the newest version and cannot bear to find none. */
	EGLContext probe = egl_context_create(virgl->gl.egl, 3, 1, false);
	if (probe == EGL_NO_CONTEXT) {
		g_set_error(error, virgl_error_quark(), 1, "virgl: '%s' has no OpenGL 3.1",
				egl_renderer(virgl->gl.egl));
		virgl_destroy(&virgl->base);
		return NULL;
	}
	egl_context_destroy(virgl->gl.egl, probe);
	if (!start_renderer(virgl, error)) {
		virgl_destroy(&virgl->base);
		return NULL;
	}
	return &virgl->base;
}

static int virgl_poll_fd(struct gpu_backend *backend)
{
	(void)backend;
	return virgl_renderer_get_poll_fd();
}

static void virgl_poll(struct gpu_backend *backend)
{
	struct virgl_backend *virgl = virgl_from(backend);

	virgl_renderer_poll();
	virgl_fences_report(&virgl->fences);
}

/* Capability sets. */

static unsigned virgl_capset_count(struct gpu_backend *backend)
{
	(void)backend;
	return G_N_ELEMENTS(capset_ids);
}

static bool virgl_capset_info(struct gpu_backend *backend, unsigned index, uint32_t *ret_id,
		uint32_t *ret_version, uint32_t *ret_size)
{
	(void)backend;
	if (index >= G_N_ELEMENTS(capset_ids)) {
		return false;
	}
	*ret_id = capset_ids[index];
	virgl_renderer_get_cap_set(*ret_id, ret_version, ret_size);
	return true;
}

static bool virgl_capset(struct gpu_backend *backend, uint32_t id, uint32_t version, void *buf)
{
	uint32_t max_version = 0, size = 0;

	(void)backend;
	if (id != VIRTIO_GPU_CAPSET_VIRGL && id != VIRTIO_GPU_CAPSET_VIRGL2) {
		return false;
	}
	virgl_renderer_get_cap_set(id, &max_version, &size);
	if (version > max_version) {
		return false;
	}
	memset(buf, 0, size);
	/* It says there what GLSL it found, which is nobody's fault. */
	(void)virgl_set_debug_callback(handle_remark);
	virgl_renderer_fill_caps(id, version, buf);
	(void)virgl_set_debug_callback(handle_message);
	return true;
}

/* Contexts. */

static uint32_t virgl_ctx_create(struct gpu_backend *backend, uint32_t ctx_id,
		uint32_t context_init, const char *name)
{
	struct virgl_backend *virgl = virgl_from(backend);
	uint32_t capset = context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK;
	const struct stream_limits limits = {
			.shader_bytes = virgl->limits->shader_bytes,
			.sub_contexts = virgl->limits->contexts,
			.objects = MAX_OBJECTS,
	};

	assert(!virgl_find_context(virgl, ctx_id));
	if (context_init & ~VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	switch (capset) {
	case 0: /* a driver without CONTEXT_INIT */
		capset = VIRTIO_GPU_CAPSET_VIRGL2;
		break;
	case VIRTIO_GPU_CAPSET_VIRGL:
	case VIRTIO_GPU_CAPSET_VIRGL2:
		break;
	default:
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	if (!virgl_gl_reserve(&virgl->gl, 1)) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	int result = virgl_renderer_context_create_with_flags(
			ctx_id, capset, (uint32_t)strnlen(name, NAME_LENGTH), name);
	/* Else the new context stays current, and the next stream of another one fails. */
	virgl_renderer_force_ctx_0();
	if (result != 0) {
		return virgl_error_of(result);
	}
	struct virgl_context *context = g_new0(struct virgl_context, 1);
	context->id = ctx_id;
	context->checker = stream_checker_create(&limits, &virgl->stream_resources);
	g_hash_table_insert(virgl->contexts, GUINT_TO_POINTER(ctx_id), context);
	return 0;
}

static void virgl_ctx_destroy(struct gpu_backend *backend, uint32_t ctx_id)
{
	struct virgl_backend *virgl = virgl_from(backend);

	if (!g_hash_table_remove(virgl->contexts, GUINT_TO_POINTER(ctx_id))) {
		return;
	}
	virgl_renderer_context_destroy(ctx_id);
	virgl_renderer_force_ctx_0();
	virgl_fences_context_destroyed(&virgl->fences, ctx_id);
}

static void virgl_ctx_attach(struct gpu_backend *backend, uint32_t ctx_id, uint32_t resource_id)
{
	(void)backend;
	virgl_renderer_ctx_attach_resource((int)ctx_id, (int)resource_id);
}

static void virgl_ctx_detach(struct gpu_backend *backend, uint32_t ctx_id, uint32_t resource_id)
{
	(void)backend;
	virgl_renderer_ctx_detach_resource((int)ctx_id, (int)resource_id);
}

static uint32_t virgl_submit(
		struct gpu_backend *backend, uint32_t ctx_id, uint32_t *words, size_t size)
{
	struct virgl_backend *virgl = virgl_from(backend);
	struct virgl_context *context = virgl_find_context(virgl, ctx_id);
	struct stream_report report;
	size_t count = size / sizeof(*words);

	if (!context) {
		return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
	}
	if (count > INT32_MAX) {
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	bool good = stream_check(context->checker, words, count, &report);
	if (!good) {
		guest_error("context %u: %s at word %zu of %zu: %s", ctx_id, report.command,
				report.word, count, report.reason);
	}
	if (!virgl_gl_reserve(&virgl->gl, report.created_sub_contexts)) {
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}

	/* A bad stream runs up to its fault, so that checker and renderer know the same objects. */
	context->dirty = true;
	int result = virgl_renderer_submit_cmd(words, (int)ctx_id, (int)report.word);
	if (result != 0) {
		return virgl_error_of(result);
	}
	return good ? 0 : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

/* Fences. */

/*
 * Makes the context's GL context current: a fence stands behind the work of the current one only.
 */
static void switch_to(struct virgl_context *context)
{
	uint32_t nothing = 0;

	/* Fails for a context that the renderer has given up; then there is no work to wait for. */
	(void)virgl_renderer_submit_cmd(&nothing, (int)context->id, 0);
	context->dirty = false;
}

/*
 * Puts a fence behind the work of every context but the last, which stays current for the caller's
 * own.
 */
static void gather_all(struct virgl_backend *virgl)
{
	GHashTableIter iter;
	gpointer value;
	bool waiting = false;

	if (virgl->ctx0_dirty) {
		virgl_renderer_force_ctx_0();
		virgl->ctx0_dirty = false;
		waiting = true;
	}
	g_hash_table_iter_init(&iter, virgl->contexts);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct virgl_context *context = value;
		if (!context->dirty) {
			continue;
		}
		if (waiting) {
			/*
			 * Without memory for it the caller's own fence fails as well, and says so.
			 */
			(void)virgl_fences_issue_silent(&virgl->fences);
		}
		switch_to(context);
		waiting = true;
	}
}

static uint32_t virgl_fence(
		struct gpu_backend *backend, struct gpu_timeline_id timeline, uint64_t seq)
{
	struct virgl_backend *virgl = virgl_from(backend);

	if (timeline.global) {
		gather_all(virgl);
	} else {
		struct virgl_context *context = virgl_find_context(virgl, timeline.ctx_id);
		if (!context) {
			return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
		}
		switch_to(context);
	}
	return virgl_fences_issue(&virgl->fences, &timeline, seq)
			       ? 0
			       : VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
}

const struct gpu_backend_impl gpu_backend_virgl = {
		.name = "virgl",
		.is_3d = true,
		.context_init = true,
		.create = virgl_create,
		.destroy = virgl_destroy,
		.poll_fd = virgl_poll_fd,
		.poll = virgl_poll,
		.capset_count = virgl_capset_count,
		.capset_info = virgl_capset_info,
		.capset = virgl_capset,
		.ctx_create = virgl_ctx_create,
		.ctx_destroy = virgl_ctx_destroy,
		.ctx_attach = virgl_ctx_attach,
		.ctx_detach = virgl_ctx_detach,
		.submit = virgl_submit,
		.resource_size = virgl_resource_size,
		.resource_create = virgl_resource_create,
		.resource_destroy = virgl_resource_destroy,
		.backing_attach = virgl_backing_attach,
		.backing_detach = virgl_backing_detach,
		.transfer_to_host = virgl_transfer_to_host,
		.transfer_from_host = virgl_transfer_from_host,
		.fence = virgl_fence,
		.read_pixels = virgl_read_pixels,
		.scanout_image = virgl_scanout_image,
};
