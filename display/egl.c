/* SPDX-License-Identifier: MIT */
#include "display/egl.h"

#include "core/base/fd.h"

#include <epoxy/gl.h>
#include <fcntl.h>
#include <gbm.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define RENDER_NODE_FIRST 128
#define RENDER_NODE_LAST 191

#define DRM_MAJOR 226 /* Linux, Documentation/admin-guide/devices.txt */

#define EGL_ERROR_CODE 1 /* the domain has one code: EGL does not work here */

struct egl {
	EGLDisplay display;
	EGLConfig config; /* EGL_NO_CONFIG_KHR: contexts need none */
	bool adopted; /* the display ends with its window system */
	int node_fd; /* -1 without a render node */
	struct gbm_device *gbm;

	EGLenum api; /* of root */
	EGLContext root; /* what all contexts share with; never current after egl_open() */
	char *renderer;
	bool software;
};

static GQuark egl_error_quark(void)
{
	return g_quark_from_static_string("oriel-egl");
}

static void set_error_egl(GError **error, const char *what)
{
	g_set_error(error, egl_error_quark(), EGL_ERROR_CODE, "EGL: %s (error 0x%x)", what,
			(unsigned)eglGetError());
}

static bool bind_api(EGLenum api)
{
	return eglQueryAPI() == api || eglBindAPI(api);
}

/* A context of api; major 0 leaves the version to the driver. */
static EGLContext create_context(
		struct egl *egl, EGLenum api, EGLContext share, int major, int minor)
{
	EGLint attributes[7];
	unsigned n = 0;

	if (!bind_api(api)) {
		return EGL_NO_CONTEXT;
	}
	if (major > 0) {
		attributes[n++] = EGL_CONTEXT_MAJOR_VERSION_KHR;
		attributes[n++] = major;
		attributes[n++] = EGL_CONTEXT_MINOR_VERSION_KHR;
		attributes[n++] = minor;
	} else if (api == EGL_OPENGL_ES_API) {
		attributes[n++] = EGL_CONTEXT_MAJOR_VERSION_KHR;
		attributes[n++] = 2;
	}
	attributes[n] = EGL_NONE;
	return eglCreateContext(egl->display, egl->config, share, attributes);
}

/* Whether GL_RENDERER names a rasteriser that runs on the CPU. */
static bool renderer_is_software(const char *renderer)
{
	static const char *const names[] = {
			"llvmpipe", "softpipe", "swrast", "Software Rasterizer"};

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		if (strstr(renderer, names[i])) {
			return true;
		}
	}
	return false;
}

/*
 * Creates the root context and asks it what it renders with; the caller's current context is kept.
 */
static bool create_root(struct egl *egl, GError **error)
{
	EGLDisplay old_display = eglGetCurrentDisplay();
	EGLContext old_context = eglGetCurrentContext();
	EGLSurface old_draw = eglGetCurrentSurface(EGL_DRAW);
	EGLSurface old_read = eglGetCurrentSurface(EGL_READ);

	EGLContext share = egl->adopted ? old_context : EGL_NO_CONTEXT;

	egl->api = EGL_OPENGL_API;
	egl->root = create_context(egl, EGL_OPENGL_API, share, 0, 0);
	if (egl->root == EGL_NO_CONTEXT) {
		egl->api = EGL_OPENGL_ES_API;
		egl->root = create_context(egl, EGL_OPENGL_ES_API, share, 0, 0);
	}
	if (egl->root == EGL_NO_CONTEXT) {
		set_error_egl(error, "no OpenGL context can be created");
		return false;
	}
	if (!egl_make_current(egl, egl->root)) {
		set_error_egl(error, "no OpenGL context works without a surface");
		return false;
	}
	egl->renderer = g_strdup((const char *)glGetString(GL_RENDERER));
	if (old_context != EGL_NO_CONTEXT) {
		(void)eglMakeCurrent(old_display, old_draw, old_read,
				old_context); /* it was current before */
	} else {
		(void)egl_make_current(egl, EGL_NO_CONTEXT); /* releasing does not fail */
	}
	if (!egl->renderer) {
		set_error_egl(error, "the driver does not name its renderer");
		return false;
	}
	egl->software = renderer_is_software(egl->renderer);
	return true;
}

static struct egl *egl_new(void)
{
	struct egl *egl = g_new0(struct egl, 1);

	egl->display = EGL_NO_DISPLAY;
	egl->root = EGL_NO_CONTEXT;
	egl->node_fd = -1;
	return egl;
}

/* Initialises egl->display, which may be none, and creates the root context. */
static bool start(struct egl *egl, const char *platform, GError **error)
{
	if (egl->display == EGL_NO_DISPLAY || !eglInitialize(egl->display, NULL, NULL)) {
		g_set_error(error, egl_error_quark(), EGL_ERROR_CODE, "EGL: no %s display",
				platform);
		egl->display = EGL_NO_DISPLAY;
		return false;
	}
	if (!epoxy_has_egl_extension(egl->display, "EGL_KHR_surfaceless_context")) {
		g_set_error(error, egl_error_quark(), EGL_ERROR_CODE,
				"EGL: the %s display needs a surface for every context", platform);
		return false;
	}
	egl->config = EGL_NO_CONFIG_KHR;
	if (!epoxy_has_egl_extension(egl->display, "EGL_KHR_no_config_context")) {
		static const EGLint any[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE};
		EGLint count = 0;
		if (!eglChooseConfig(egl->display, any, &egl->config, 1, &count) || count < 1) {
			set_error_egl(error, "no framebuffer configuration for OpenGL");
			return false;
		}
	}
	return create_root(egl, error);
}

/* GBM takes any file and falls back to the CPU; whoever names a node wants that node. */
static bool is_drm_node(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == DRM_MAJOR;
}

static struct egl *open_node(const char *path, GError **error)
{
	struct egl *egl = egl_new();

	egl->node_fd = open(path, O_RDWR | O_CLOEXEC);
	if (egl->node_fd < 0) {
		set_error_errno(error, "render node '%s'", path);
		goto fail;
	}
	if (!is_drm_node(egl->node_fd)) {
		g_set_error(error, egl_error_quark(), EGL_ERROR_CODE, "'%s' is not a render node",
				path);
		goto fail;
	}
	egl->gbm = gbm_create_device(egl->node_fd);
	if (!egl->gbm) {
		g_set_error(error, egl_error_quark(), EGL_ERROR_CODE,
				"render node '%s': not a DRM device that GBM knows", path);
		goto fail;
	}
	egl->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_GBM_KHR, egl->gbm, NULL);
	if (!start(egl, "GBM", error)) {
		g_prefix_error(error, "render node '%s': ", path);
		goto fail;
	}
	return egl;

fail:
	egl_close(egl);
	return NULL;
}

/* The first render node that a GPU, not the CPU, serves. */
static struct egl *open_any_node(void)
{
	for (unsigned i = RENDER_NODE_FIRST; i <= RENDER_NODE_LAST; i++) {
		char path[32];
		(void)g_snprintf(path, sizeof(path), "/dev/dri/renderD%u", i);
		if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
			continue;
		}
		struct egl *egl = open_node(path, NULL);
		if (egl && !egl->software) {
			return egl;
		}
		egl_close(egl);
	}
	return NULL;
}

/* A GPU whose driver has no GBM but lists its devices: some vendors' own EGL. */
static struct egl *open_any_device(void)
{
	EGLDeviceEXT devices[8];
	EGLint count = 0;

	if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_device") ||
			!eglQueryDevicesEXT(G_N_ELEMENTS(devices), devices, &count)) {
		return NULL;
	}
	for (EGLint i = 0; i < count; i++) {
		const char *extensions = eglQueryDeviceStringEXT(devices[i], EGL_EXTENSIONS);
		if (!extensions || strstr(extensions, "EGL_MESA_device_software")) {
			continue;
		}
		struct egl *egl = egl_new();
		egl->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_DEVICE_EXT, devices[i], NULL);
		if (start(egl, "device", NULL) && !egl->software) {
			return egl;
		}
		egl_close(egl);
	}
	return NULL;
}

static struct egl *open_surfaceless(GError **error)
{
	struct egl *egl = egl_new();

	if (epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_MESA_platform_surfaceless")) {
		egl->display = eglGetPlatformDisplayEXT(
				EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
	}
	if (!start(egl, "surfaceless", error)) {
		egl_close(egl);
		return NULL;
	}
	return egl;
}

struct egl *egl_open(const char *render_node, GError **error)
{
	if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_base")) {
		g_set_error(error, egl_error_quark(), EGL_ERROR_CODE,
				"EGL: the library is missing or too old to choose a platform");
		return NULL;
	}
	if (render_node) {
		return open_node(render_node, error);
	}
	struct egl *egl = open_any_node();
	if (!egl) {
		egl = open_any_device();
	}
	return egl ? egl : open_surfaceless(error);
}

struct egl *egl_adopt(EGLDisplay display, EGLConfig config, GError **error)
{
	struct egl *egl = egl_new();

	egl->display = display;
	egl->config = config;
	egl->adopted = true;
	if (!create_root(egl, error)) {
		egl_close(egl);
		return NULL;
	}
	return egl;
}

void egl_close(struct egl *egl)
{
	if (!egl) {
		return;
	}
	if (egl->root != EGL_NO_CONTEXT) {
		egl_context_destroy(egl, egl->root);
	}
	if (egl->display != EGL_NO_DISPLAY && !egl->adopted) {
		(void)eglTerminate(egl->display); /* fails only for what is no display */
	}
	if (egl->gbm) {
		gbm_device_destroy(egl->gbm);
	}
	fd_close(&egl->node_fd);
	g_free(egl->renderer);
	g_free(egl);
}

EGLDisplay egl_display(const struct egl *egl)
{
	return egl->display;
}

EGLContext egl_context_create(struct egl *egl, int major, int minor, bool gles)
{
	EGLenum api = gles ? EGL_OPENGL_ES_API : EGL_OPENGL_API;

	/* Only contexts of one API share objects. */
	if (api != egl->api) {
		return EGL_NO_CONTEXT;
	}
	return create_context(egl, api, egl->root, major, minor);
}

void egl_context_destroy(struct egl *egl, EGLContext context)
{
	(void)eglDestroyContext(egl->display, context); /* fails only for what is no context */
}

bool egl_make_current(struct egl *egl, EGLContext context)
{
	/* The API that is bound decides which context is released. */
	if (context == EGL_NO_CONTEXT && !bind_api(egl->api)) {
		return false;
	}
	return eglMakeCurrent(egl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, context);
}

const char *egl_renderer(const struct egl *egl)
{
	return egl->renderer;
}

bool egl_is_software(const struct egl *egl)
{
	return egl->software;
}
