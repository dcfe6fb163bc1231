/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static void test_count_limit(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const uint32_t limit = guest_default_config.limits.resources;
	(void)state;

	for (uint32_t id = 1; id <= limit; id++) {
		assert_int_equal(guest_create_2d(guest, id, BGRX, 1, 1), OK);
	}
	assert_int_equal(guest_create_2d(guest, limit + 1, BGRX, 1, 1),
			VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 1, 1),
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(guest_unref(guest, 7), OK);
	assert_int_equal(guest_create_2d(guest, limit + 1, BGRX, 1, 1), OK);
	gpu_guest_destroy(guest);
}

static void test_byte_limit(void **state)
{
	struct gpu_config config = guest_default_config;
	struct gpu_statistics statistics;
	(void)state;

	config.limits.host_bytes = 3 * MiB;
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, &config);
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 512, 512), OK);
	assert_int_equal(guest_create_2d(guest, 2, BGRX, 512, 512), OK);
	assert_int_equal(guest_create_2d(guest, 3, BGRX, 512, 512),
			VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY); /* we need a few bytes as well */
	gpu_get_statistics(guest->gpu, &statistics);
	assert_in_range(statistics.host_bytes, 2 * MiB, 2 * MiB + 4096);
	assert_int_equal(statistics.resources, 2);
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_int_equal(guest_create_2d(guest, 3, BGRX, 512, 512), OK);
	gpu_guest_destroy(guest);
}

/* The tables of a backing are host memory that a guest makes us use. */
static void test_backing_is_charged(void **state)
{
	struct gpu_config config = guest_default_config;
	const unsigned count = 4000;
	struct gpu_statistics before, after;
	(void)state;

	config.limits.host_bytes = 64 * KiB;
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, &config);
	size_t len = sizeof(struct virtio_gpu_resource_cmd) +
		     count * sizeof(struct virtio_gpu_mem_entry);
	g_autofree uint8_t *buf = g_malloc0(len);
	struct virtio_gpu_resource_cmd *cmd = (struct virtio_gpu_resource_cmd *)buf;
	struct virtio_gpu_mem_entry *entries = (struct virtio_gpu_mem_entry *)(cmd + 1);

	*cmd = (struct virtio_gpu_resource_cmd){
			{.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING}, 1, count};
	for (unsigned i = 0; i < count; i++) {
		entries[i] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 64 * i, 16, 0};
	}
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	gpu_get_statistics(guest->gpu, &before);
	assert_int_equal(gpu_guest_call(guest, buf, len, NULL, 24),
			VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	gpu_get_statistics(guest->gpu, &after);
	assert_int_equal(before.host_bytes, after.host_bytes);
	cmd->argument = 100;
	assert_int_equal(gpu_guest_call(guest, buf, len, NULL, 24), OK);
	gpu_get_statistics(guest->gpu, &after);
	assert_true(after.host_bytes > before.host_bytes);
	assert_int_equal(guest_detach(guest, 1), OK);
	gpu_get_statistics(guest->gpu, &after);
	assert_int_equal(before.host_bytes, after.host_bytes);
	gpu_guest_destroy(guest);
}

/* The renderer refuses the backing: everything is as it was. */
static void test_attach_fails(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	fake_renderer_fail(guest->fake, "backing_attach", VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(guest_attach(guest, 1, 0, 64), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(guest->mapped, 0);
	assert_int_equal(guest_detach(guest, 1), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(guest_attach(guest, 1, 0, 64), OK);
	gpu_guest_destroy(guest);
}

/* Order of the renderer's part: off the contexts, off its backing, then gone. */
static void test_destruction(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	guest_make_image(guest, 1, 4, 4);
	assert_int_equal(guest_ctx_resource(guest, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 1), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){0, 0, 4, 4}), OK);
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){0, 0, 4, 4}), OK);
	g_free(fake_renderer_take_log(guest->fake));
	assert_int_equal(guest_unref(guest, 1), OK);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "ctx_detach 1 1\nbacking_detach 1\nunmap\nresource_destroy 1\n");
	assert_int_equal(recording_display_head(guest->display, 0).disabled, 1);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_count_limit),
			cmocka_unit_test(test_byte_limit),
			cmocka_unit_test(test_backing_is_charged),
			cmocka_unit_test(test_attach_fails),
			cmocka_unit_test(test_destruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
