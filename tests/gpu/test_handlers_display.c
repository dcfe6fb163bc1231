/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static const struct virtio_gpu_ctrl_hdr info_request = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO};

static struct gpu_guest *setup(unsigned scanouts)
{
	struct gpu_config config = guest_default_config;

	config.scanouts = scanouts;
	return gpu_guest_create(GUEST_2D, &config);
}

static void test_display_info(void **state)
{
	struct gpu_guest *guest = setup(3);
	struct virtio_gpu_resp_display_info info;
	(void)state;

	assert_int_equal(gpu_guest_call(guest, &info_request, sizeof(info_request), &info,
					 sizeof(info)),
			VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].enabled, 1);
	assert_int_equal(info.pmodes[0].r.width, 64);
	assert_int_equal(info.pmodes[0].r.height, 48);
	for (unsigned i = 1; i < 16; i++) {
		assert_int_equal(info.pmodes[i].enabled, 0);
	}

	gpu_set_mode(guest->gpu, 2, 100, 200);
	assert_int_equal(gpu_guest_call(guest, &info_request, sizeof(info_request), &info,
					 sizeof(info)),
			VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[1].enabled, 0);
	assert_int_equal(info.pmodes[2].enabled, 1);
	assert_int_equal(info.pmodes[2].r.x, 64); /* to the right of head 0 */
	assert_int_equal(info.pmodes[2].r.width, 100);
	assert_int_equal(info.pmodes[2].r.height, 200);
	gpu_guest_destroy(guest);
}

static uint32_t get_edid(
		struct gpu_guest *guest, uint32_t scanout, struct virtio_gpu_resp_edid *reply)
{
	const struct virtio_gpu_get_edid request = {{.type = VIRTIO_GPU_CMD_GET_EDID}, scanout, 0};

	return gpu_guest_call(guest, &request, sizeof(request), reply, sizeof(*reply));
}

static unsigned edid_width(const struct virtio_gpu_resp_edid *reply)
{
	return reply->edid[56] | (reply->edid[58] >> 4) << 8;
}

static void test_edid(void **state)
{
	struct gpu_guest *guest = setup(2);
	struct virtio_gpu_resp_edid reply;
	(void)state;

	assert_int_equal(get_edid(guest, 0, &reply), VIRTIO_GPU_RESP_OK_EDID);
	assert_int_equal(reply.size, 128);
	assert_int_equal(edid_width(&reply), 64);
	for (unsigned i = 128; i < sizeof(reply.edid); i++) {
		assert_int_equal(reply.edid[i], 0);
	}
	assert_int_equal(get_edid(guest, 1, &reply), VIRTIO_GPU_RESP_OK_EDID); /* not connected */
	assert_int_equal(get_edid(guest, 2, &reply), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(get_edid(guest, UINT32_MAX, &reply),
			VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	gpu_set_mode(guest->gpu, 0, 1234, 800);
	assert_int_equal(get_edid(guest, 0, &reply), VIRTIO_GPU_RESP_OK_EDID);
	assert_int_equal(edid_width(&reply), 1234);
	gpu_guest_destroy(guest);
}

static void test_edid_is_optional(void **state)
{
	struct gpu_config config = guest_default_config;
	struct virtio_gpu_resp_edid reply;
	(void)state;

	config.edid = false;
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, &config);
	assert_int_equal(gpu_features(guest->gpu) & BIT(VIRTIO_GPU_F_EDID), 0);
	assert_int_equal(get_edid(guest, 0, &reply), VIRTIO_GPU_RESP_ERR_UNSPEC);
	gpu_guest_destroy(guest);
}

static void test_set_scanout_refused(void **state)
{
	static const struct {
		const char *name;
		uint32_t scanout, id;
		struct virtio_gpu_rect rect;
		uint32_t expect;
	} rows[] = {
			{"no such scanout", 2, 1, {0, 0, 8, 8},
					VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID},
			{"far out", UINT32_MAX, 0, {0, 0, 8, 8},
					VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID},
			{"unknown resource", 0, 9, {0, 0, 8, 8},
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"too wide", 0, 1, {0, 0, 9, 8}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"too far right", 0, 1, {1, 0, 8, 8},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"too far down", 0, 1, {0, 8, 1, 1}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps", 0, 1, {UINT32_MAX, 0, 2, 1},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"no width", 0, 1, {0, 0, 0, 8}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"no height", 0, 1, {0, 0, 8, 0}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"all of it", 0, 1, {0, 0, 8, 8}, OK},
			{"one pixel", 1, 1, {7, 7, 1, 1}, OK},
			{"off, whatever the rectangle", 1, 0, {9, 9, 9, 9}, OK},
	};
	struct gpu_guest *guest = setup(2);
	(void)state;

	guest_make_image(guest, 1, 8, 8);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint32_t reply = guest_set_scanout(
				guest, rows[i].scanout, rows[i].id, rows[i].rect);
		if (reply != rows[i].expect) {
			print_error("%s\n", rows[i].name);
		}
		assert_int_equal(reply, rows[i].expect);
	}
	gpu_guest_destroy(guest);
}

static void test_flush_refused(void **state)
{
	static const struct {
		const char *name;
		uint32_t id;
		struct virtio_gpu_rect rect;
		uint32_t expect;
	} rows[] = {
			{"unknown resource", 9, {0, 0, 8, 8},
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"id 0", 0, {0, 0, 8, 8}, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"too wide", 1, {0, 0, 9, 8}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps", 1, {0, UINT32_MAX, 1, 2}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"empty", 1, {8, 8, 0, 0}, OK},
			{"all of it", 1, {0, 0, 8, 8}, OK},
	};
	struct gpu_guest *guest = setup(2);
	(void)state;

	guest_make_image(guest, 1, 8, 8);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){0, 0, 8, 8}), OK);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint32_t reply = guest_flush(guest, rows[i].id, rows[i].rect);
		if (reply != rows[i].expect) {
			print_error("%s\n", rows[i].name);
		}
		assert_int_equal(reply, rows[i].expect);
	}
	assert_int_equal(recording_display_head(guest->display, 0).presented, 1);
	gpu_guest_destroy(guest);
}

/* 3D resources that are no plain image: other targets, formats, sample counts. */
static void test_scanout_of_what_is_no_image(void **state)
{
	static const struct {
		uint32_t target, format, samples, expect;
	} rows[] = {
			{2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0, OK},
			{5, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 1, OK},
			{0, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{3, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 4,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{2, 31, 0, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
	};
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	for (uint32_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct virtio_gpu_resource_create_3d create = {
				.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
				.resource_id = i + 1,
				.target = rows[i].target,
				.format = rows[i].format,
				.width = 8,
				.height = 8,
				.depth = 1,
				.array_size = 1,
				.nr_samples = rows[i].samples,
		};
		assert_int_equal(gpu_guest_do(guest, create), OK);
		assert_int_equal(guest_set_scanout(guest, 0, i + 1,
						 (struct virtio_gpu_rect){0, 0, 8, 8}),
				rows[i].expect);
	}
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_display_info),
			cmocka_unit_test(test_edid),
			cmocka_unit_test(test_edid_is_optional),
			cmocka_unit_test(test_set_scanout_refused),
			cmocka_unit_test(test_flush_refused),
			cmocka_unit_test(test_scanout_of_what_is_no_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
