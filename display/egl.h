/* SPDX-License-Identifier: MIT */
/*
 * The one EGLDisplay of the process and its contexts, which all share objects. Opened on a render
 * node through GBM where there is one, else surfaceless (Mesa's software rasteriser), or handed
 * over by a window system.
 */
#ifndef DISPLAY_EGL_H
#define DISPLAY_EGL_H

#include "core/base/base.h"

#include <epoxy/egl.h>

struct egl;

/*
 * render_node NULL: the first that works, else surfaceless. A named node that is not one is an
 * error.
 */
struct egl *egl_open(const char *render_node, GError **error);

/*
 * Takes a display that a window system initialised; config is its framebuffer configuration. The
 * context that is current on the calling thread, if any, joins the share group.
 */
struct egl *egl_adopt(EGLDisplay display, EGLConfig config, GError **error);
void egl_close(struct egl *egl); /* may be NULL */

EGLDisplay egl_display(const struct egl *egl);

/*
 * A context of the share group, desktop GL of the given version (major 0: the best there is; GLES
 * if gles). NULL quietly if the driver has none. Any thread.
 */
EGLContext egl_context_create(struct egl *egl, int major, int minor, bool gles);
void egl_context_destroy(struct egl *egl, EGLContext context);

/* Makes the context current on the calling thread, without a surface. */
bool egl_make_current(struct egl *egl, EGLContext context);

/* GL_RENDERER, for logs; valid as long as egl. */
const char *egl_renderer(const struct egl *egl);

/*
 * Whether rendering is done by the CPU (llvmpipe, softpipe): then pixels are quicker than textures.
 */
bool egl_is_software(const struct egl *egl);

#endif
