/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static const struct {
	struct virtio_gpu_cmd_submit fixed;
	uint32_t words[1];
} blocker = {{{.type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1}, 4, 0}, {FAKE_STREAM_BLOCK}};

static const struct virtio_gpu_resource_cmd unref_1 = {
		{.type = VIRTIO_GPU_CMD_RESOURCE_UNREF}, 1, 0};

static struct guest_request *send_blocker(struct gpu_guest *guest)
{
	struct guest_request *blocked = gpu_guest_send(guest, 0, &blocker, sizeof(blocker), 24);

	fake_renderer_wait_blocked(guest->fake);
	return blocked;
}

static void test_in_order(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	struct guest_request *r[200];
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	struct guest_request *blocked = send_blocker(guest);
	for (unsigned i = 0; i < G_N_ELEMENTS(r); i++) {
		r[i] = gpu_guest_send(guest, 0, &unref_1, sizeof(unref_1), 24);
	}
	fake_renderer_unblock(guest->fake);
	for (unsigned i = 0; i < G_N_ELEMENTS(r); i++) {
		assert_int_equal(gpu_guest_wait(guest, r[i]),
				VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
		assert_true(r[i]->order > (i > 0 ? r[i - 1] : blocked)->order);
		guest_request_free(i > 0 ? r[i - 1] : blocked);
	}
	guest_request_free(r[G_N_ELEMENTS(r) - 1]);
	gpu_guest_destroy(guest);
}

static void test_reset(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 4, 4};
	struct gpu_statistics statistics;
	struct virtio_gpu_config config;
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	guest_make_image(guest, 1, 4, 4);
	assert_int_equal(guest_ctx_resource(guest, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 1), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	gpu_set_mode(guest->gpu, 0, 640, 480);
	g_free(fake_renderer_take_log(guest->fake));
	gpu_guest_reset(guest);
	assert_int_equal(guest->mapped, 0);
	assert_int_equal(recording_display_head(guest->display, 0).disabled, 1);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.resources, 0);
	assert_int_equal(statistics.contexts, 0);
	assert_int_equal(statistics.host_bytes, 0);
	gpu_get_config(guest->gpu, &config);
	assert_int_equal(config.events_read, 0);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "destroy\nunmap\ncreate\n");

	/* As good as new: the same ids, the same picture. */
	assert_int_equal(guest_unref(guest, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	guest_make_image(guest, 1, 4, 4);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 2);
	gpu_guest_destroy(guest);
}

/* A device that nobody used keeps its renderer. */
static void test_reset_of_the_unused(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	g_free(fake_renderer_take_log(guest->fake));
	gpu_guest_reset(guest);
	gpu_guest_reset(guest);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "");
	gpu_guest_destroy(guest);
}

/* What waits behind a slow command is not carried out any more. */
static void test_reset_drops_the_queue(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	guest_make_image(guest, 1, 4, 4);
	struct guest_request *blocked = send_blocker(guest);
	struct guest_request *dropped = gpu_guest_send(guest, 0, &unref_1, sizeof(unref_1), 24);
	g_free(fake_renderer_take_log(guest->fake));
	gpu_guest_reset_start(guest);
	fake_renderer_unblock(guest->fake);
	gpu_guest_reset_wait(guest);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "destroy\nunmap\ncreate\n");
	assert_true(gpu_guest_is_done(guest, blocked));
	assert_true(gpu_guest_is_done(guest, dropped));
	assert_int_equal(dropped->written, 0);
	guest_request_free(blocked);
	guest_request_free(dropped);
	gpu_guest_destroy(guest);
}

static void test_renderer_does_not_restart(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	fake_renderer_fail(guest->fake, "create", 1);
	gpu_reset(guest->gpu, NULL, NULL);
	assert_string_equal(gpu_guest_wait_lost(guest),
			"the renderer did not start again after a device reset");
	/* Nothing completes until the end. */
	struct guest_request *r = gpu_guest_send(guest, 0, &unref_1, sizeof(unref_1), 24);
	gpu_guest_destroy(guest);
	assert_int_equal(r->written, 0);
	guest_request_free(r);
}

static void test_renderer_does_not_start(void **state)
{
	struct recording_display *display = recording_display_create();
	struct fake_renderer *fake = fake_renderer_create();
	static const struct gpu_client_impl impl; /* never called */
	struct gpu_client client = {.impl = &impl};
	g_autoptr(GError) error = NULL;
	(void)state;

	fake_renderer_fail(fake, "create", 1);
	assert_null(gpu_create_with_backend(
			&guest_default_config, &fake_backend_3d, &display->base, &client, &error));
	assert_string_equal(error->message, "the fake does not start");
	fake_renderer_destroy(fake);
	recording_display_destroy(display);
}

/* Everything in flight comes back when the GPU goes. */
static void test_destroy_with_work_in_flight(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 4, 4};
	const struct virtio_gpu_resource_flush flush = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, .r = all, .resource_id = 1};
	const struct gpu_timeline_id global = {.global = true};
	struct guest_request *r[4];
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	guest_make_image(guest, 1, 4, 4);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	fake_renderer_hold_fences(guest->fake, true);
	recording_display_hold(guest->display, true);
	r[0] = guest_send_fence(guest, 1, 0, 1);
	r[1] = guest_send_fence(guest, 1, -1, 1);
	r[2] = gpu_guest_send(guest, 0, &flush, sizeof(flush), 24);
	r[3] = gpu_guest_send(guest, 0, &unref_1, sizeof(unref_1), 24);
	fake_renderer_wait_fences(guest->fake, global, 2);
	gpu_guest_destroy(guest);
	for (unsigned i = 0; i < 4; i++) {
		guest_request_free(r[i]); /* asserts that it came back */
	}
}

static void test_hang(void **state)
{
	struct gpu_config config = guest_default_config;
	struct gpu_statistics statistics;
	(void)state;

	config.limits.hang_ms = 1;
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, &config);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	struct guest_request *blocked = send_blocker(guest);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_true(statistics.busy_since_us != 0);
	while (!gpu_check_hang(guest->gpu)) {
		g_thread_yield();
	}
	assert_string_equal(gpu_guest_wait_lost(guest), "the renderer hangs");
	assert_true(gpu_check_hang(guest->gpu)); /* says so again, calls lost no more */
	fake_renderer_unblock(guest->fake);
	gpu_guest_destroy(guest);
	guest_request_free(blocked);
}

/* An endless draw: submitting it takes no time, but no fence signals any more. */
static void test_hang_of_fences(void **state)
{
	struct gpu_config config = guest_default_config;
	(void)state;

	config.limits.hang_ms = 50;
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, &config);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	assert_false(gpu_check_hang(guest->gpu));
	fake_renderer_hold_fences(guest->fake, true);
	struct guest_request *r = guest_send_fence(guest, 1, 0, 1);
	while (!gpu_check_hang(guest->gpu)) {
		g_thread_yield();
	}
	assert_string_equal(gpu_guest_wait_lost(guest), "the renderer hangs");
	gpu_guest_destroy(guest);
	guest_request_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_in_order),
			cmocka_unit_test(test_reset),
			cmocka_unit_test(test_reset_of_the_unused),
			cmocka_unit_test(test_reset_drops_the_queue),
			cmocka_unit_test(test_renderer_does_not_restart),
			cmocka_unit_test(test_renderer_does_not_start),
			cmocka_unit_test(test_destroy_with_work_in_flight),
			cmocka_unit_test(test_hang),
			cmocka_unit_test(test_hang_of_fences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
