/* SPDX-License-Identifier: MIT */
/* A guest whose every shader is nonsense: the renderer complains of each, and the host's log stays readable. */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/virtio/virgl.h"
#include "tests/harness/triangle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHADERS 500
#define WORDS 256

extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)); at++) {
		n++;
	}
	return n;
}

/* Each in a context of its own: the one that is refused spoils the context. */
static void send_shaders(struct picture_client *client)
{
	static uint32_t words[WORDS];
	struct gallium g;

	for (uint32_t i = 0; i < SHADERS; i++) {
		const uint32_t ctx = 10 + i % 50;
		const struct virtio_gpu_ctrl_hdr destroy = {
				.type = VIRTIO_GPU_CMD_CTX_DESTROY, .ctx_id = ctx};
		assert_int_equal(picture_client_context(client, ctx), VIRTIO_GPU_RESP_OK_NODATA);
		gallium_init(&g, words, WORDS);
		gallium_create_shader(&g, 1, VIRGL_SHADER_VERTEX,
				"VERT\nDCL \033[2J nonsense\nPROPERTY NONSENSE 1\n");
		(void)picture_client_submit(client, ctx, words, g.count);
		assert_int_equal(picture_client_call(client, VIRTIO_GPU_QUEUE_CONTROL, &destroy,
						 sizeof(destroy), NULL, 0, NULL, 0),
				VIRTIO_GPU_RESP_OK_NODATA);
	}
}

static void play_flood(void)
{
	const char *const arguments[] = {"--xres=256", "--yres=256", NULL};
	g_autofree char *path = NULL, *text = NULL;
	g_autoptr(GError) error = NULL;
	auto_fd int log = g_file_open_tmp("oriel-flood-XXXXXX", &path, NULL);
	auto_fd int original = dup(STDERR_FILENO);

	(void)dup2(log, STDERR_FILENO);
	struct picture_client *client = picture_client_start(arguments, &error);
	(void)dup2(original, STDERR_FILENO);
	assert_non_null(client);
	int64_t start_us = g_get_monotonic_time();
	send_shaders(client);
	assert_int_equal(picture_client_stop(client), 0);
	unsigned seconds = (unsigned)((g_get_monotonic_time() - start_us) / G_USEC_PER_SEC) + 1;

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	(void)unlink(path);
	/* Of libraries 20 lines at once; of each of our places that report faults, five; then one a second. */
	assert_in_range(count(text, "oriel-gpu: library: "), 1, 20 + 2 * seconds);
	assert_in_range(count(text, "\n"), 1, 60 + 10 * seconds);
	assert_null(strchr(text, '\033'));
}

static void test_flood(void **state)
{
	(void)state;
	if (__sanitizer_print_stack_trace) {
		skip(); /* nothing is thinned out there */
	}
	play_flood();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
