/* SPDX-License-Identifier: MIT */
#include "gpu/backends/virgl_gl.h"

void virgl_gl_init(struct virgl_gl *gl, struct egl *egl)
{
	*gl = (struct virgl_gl){.egl = egl, .reserve = g_ptr_array_new()};
}

void virgl_gl_finish(struct virgl_gl *gl)
{
	if (!gl->reserve) {
		return;
	}
	for (unsigned i = 0; i < gl->reserve->len; i++) {
		egl_context_destroy(gl->egl, g_ptr_array_index(gl->reserve, i));
	}
	g_ptr_array_free(gl->reserve, TRUE);
	gl->reserve = NULL;
}

bool virgl_gl_reserve(struct virgl_gl *gl, unsigned count)
{
	while (gl->reserve->len < count) {
		EGLContext context = egl_context_create(gl->egl, gl->major, gl->minor, false);
		if (context == EGL_NO_CONTEXT) {
			return false;
		}
		g_ptr_array_add(gl->reserve, context);
	}
	return true;
}

void *virgl_gl_take(struct virgl_gl *gl, const struct virgl_renderer_gl_ctx_param *param)
{
	bool same = param->major_ver == gl->major && param->minor_ver == gl->minor;

	if (same && gl->reserve->len > 0) {
		return g_ptr_array_steal_index_fast(gl->reserve, gl->reserve->len - 1);
	}
	EGLContext context = egl_context_create(gl->egl, param->major_ver, param->minor_ver, false);
	if (context != EGL_NO_CONTEXT) {
		gl->major = param->major_ver;
		gl->minor = param->minor_ver;
	}
	return context;
}

void virgl_gl_destroy(struct virgl_gl *gl, void *context)
{
	if (context) {
		egl_context_destroy(gl->egl, context);
	}
}

bool virgl_gl_make_current(struct virgl_gl *gl, void *context)
{
	return egl_make_current(gl->egl, context);
}
