/* SPDX-License-Identifier: MIT */
#include "display/egl.h"
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/thread.h"

#include <epoxy/gl.h>
#include <unistd.h>

static struct egl *open_any(void)
{
	g_autoptr(GError) error = NULL;
	struct egl *egl = egl_open(NULL, &error);

	assert_null(error);
	assert_non_null(egl);
	return egl;
}

static void opens_without_a_gpu(void **state)
{
	struct egl *egl = open_any();

	(void)state;
	assert_non_null(egl_renderer(egl));
	assert_ptr_not_equal(egl_display(egl), EGL_NO_DISPLAY);
	if (access("/dev/dri", F_OK) != 0 && access("/dev/nvidiactl", F_OK) != 0) {
		assert_true(egl_is_software(egl));
	}
	egl_close(egl);
}

static void opens_again_after_close(void **state)
{
	(void)state;
	egl_close(open_any());
	egl_close(open_any());
	egl_close(NULL);
}

static void named_node_must_be_one(void **state)
{
	static const char *const paths[] = {"/dev/null", "/nonexistent/renderD128", "/dev"};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
		g_autoptr(GError) error = NULL;
		assert_null(egl_open(paths[i], &error));
		assert_non_null(error);
		assert_non_null(strstr(error->message, paths[i]));
	}
}

static void version_nobody_has_is_quietly_refused(void **state)
{
	struct egl *egl = open_any();

	(void)state;
	assert_ptr_equal(egl_context_create(egl, 9, 9, false), EGL_NO_CONTEXT);
	EGLContext context = egl_context_create(egl, 3, 1, false);
	assert_ptr_not_equal(context, EGL_NO_CONTEXT);
	egl_context_destroy(egl, context);
	egl_close(egl);
}

struct worker {
	struct egl *egl;
	GLuint texture;
	bool seen;
	bool current;
};

static void look_at_texture(void *opaque)
{
	struct worker *worker = opaque;
	EGLContext context = egl_context_create(worker->egl, 0, 0, false);

	worker->current = egl_make_current(worker->egl, context);
	worker->seen = glIsTexture(worker->texture);
	(void)egl_make_current(worker->egl, EGL_NO_CONTEXT);
	egl_context_destroy(worker->egl, context);
}

static void contexts_share_objects_across_threads(void **state)
{
	struct worker worker = {.egl = open_any()};
	EGLContext context = egl_context_create(worker.egl, 0, 0, false);
	pthread_t thread;

	(void)state;
	assert_true(egl_make_current(worker.egl, context));
	glGenTextures(1, &worker.texture);
	glBindTexture(GL_TEXTURE_2D, worker.texture);
	glFlush();
	assert_true(thread_create(&thread, "look", look_at_texture, &worker, NULL));
	pthread_join(thread, NULL);
	assert_true(worker.current);
	assert_true(worker.seen);
	assert_true(egl_make_current(worker.egl, EGL_NO_CONTEXT));
	egl_context_destroy(worker.egl, context);
	egl_close(worker.egl);
}

static void adopting_keeps_the_current_context(void **state)
{
	struct egl *owner = open_any();
	EGLContext context = egl_context_create(owner, 0, 0, false);
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_true(egl_make_current(owner, context));
	struct egl *guest = egl_adopt(egl_display(owner), EGL_NO_CONFIG_KHR, &error);
	assert_null(error);
	assert_ptr_equal(eglGetCurrentContext(), context);
	egl_close(guest);
	assert_ptr_equal(eglGetCurrentContext(), context);
	assert_true(egl_make_current(owner, EGL_NO_CONTEXT));
	egl_context_destroy(owner, context);
	egl_close(owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(opens_without_a_gpu),
			cmocka_unit_test(opens_again_after_close),
			cmocka_unit_test(named_node_must_be_one),
			cmocka_unit_test(version_nobody_has_is_quietly_refused),
			cmocka_unit_test(contexts_share_objects_across_threads),
			cmocka_unit_test(adopting_keeps_the_current_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
