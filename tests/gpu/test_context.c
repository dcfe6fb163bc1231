/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static void test_limit(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const uint32_t limit = guest_default_config.limits.contexts;
	struct gpu_statistics statistics;
	(void)state;

	for (uint32_t id = 1; id <= limit; id++) {
		assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, id), OK);
	}
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, limit + 1),
			VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.contexts, limit);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_DESTROY, 3), OK);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, limit + 1), OK);
	gpu_guest_destroy(guest);
}

/* Attachments count as host memory, and are given back whichever side goes first. */
static void test_attachments_are_charged(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	struct gpu_statistics before, attached, after;
	(void)state;

	assert_int_equal(guest_create_2d(guest, 1, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 1, 1), OK);
	assert_int_equal(guest_create_2d(guest, 2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 1, 1), OK);
	gpu_get_statistics(guest->gpu, &before);
	for (uint32_t ctx = 1; ctx <= 2; ctx++) {
		assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, ctx), OK);
		for (uint32_t id = 1; id <= 2; id++) {
			assert_int_equal(guest_ctx_resource(guest,
							 VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, ctx,
							 id),
					OK);
		}
	}
	gpu_get_statistics(guest->gpu, &attached);
	assert_true(attached.host_bytes > before.host_bytes);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_DESTROY, 1), OK);
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_int_equal(guest_unref(guest, 2), OK);
	gpu_get_statistics(guest->gpu, &after);
	assert_int_equal(after.host_bytes, 0);
	assert_int_equal(after.contexts, 1);
	gpu_guest_destroy(guest);
}

static void test_attachment_beyond_the_limit(void **state)
{
	struct gpu_config config = guest_default_config;
	uint32_t id = 1;
	(void)state;

	config.limits.host_bytes = 4096;
	config.limits.resources = 1000;
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, &config);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	while (guest_create_2d(guest, id, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 1, 1) == OK) {
		id++;
	}
	uint32_t reply = OK;
	for (uint32_t i = 1; i < id && reply == OK; i++) {
		reply = guest_ctx_resource(guest, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, i);
	}
	assert_int_equal(reply, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_limit),
			cmocka_unit_test(test_attachments_are_charged),
			cmocka_unit_test(test_attachment_beyond_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
