/* SPDX-License-Identifier: MIT */
/*
 * GL contexts for virglrenderer out of the display's EGL, so that its textures can be shown without
 * a copy. The renderer cannot bear a context that fails to appear, so they are made before it is
 * told to want them. Contexts are taken on the worker thread; the renderer's own thread makes them
 * current and destroys them too.
 */
#ifndef GPU_BACKENDS_VIRGL_GL_H
#define GPU_BACKENDS_VIRGL_GL_H

#include "display/egl.h"

#include <virgl/virglrenderer.h>

struct virgl_gl {
	struct egl *egl;
	GPtrArray *reserve; /* EGLContext, of the version asked for last */
	int major, minor;
};

void virgl_gl_init(struct virgl_gl *gl, struct egl *egl);
void virgl_gl_finish(struct virgl_gl *gl);

/* Makes sure that the next count contexts that the renderer asks for exist. */
bool virgl_gl_reserve(struct virgl_gl *gl, unsigned count);

/*
 * The renderer's callbacks. take returns NULL where the driver has no such version; destroy accepts
 * NULL.
 */
void *virgl_gl_take(struct virgl_gl *gl, const struct virgl_renderer_gl_ctx_param *param);
void virgl_gl_destroy(struct virgl_gl *gl, void *context);
bool virgl_gl_make_current(struct virgl_gl *gl, void *context);

#endif
