/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static struct virtio_gpu_update_cursor update_of(uint32_t scanout, uint32_t id)
{
	return (struct virtio_gpu_update_cursor){
			.hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR,
			.pos = {scanout, 10, 20, 0},
			.resource_id = id,
			.hot_x = 3,
			.hot_y = 4,
	};
}

/* A 64x64 resource whose first row counts up. */
static struct gpu_guest *setup(enum guest_kind kind, uint32_t format)
{
	struct gpu_config config = guest_default_config;

	config.scanouts = 2;
	struct gpu_guest *guest = gpu_guest_create(kind, &config);
	for (uint32_t i = 0; i < 64; i++) {
		((uint32_t *)guest->ram)[i] = 0x80010203 + i * 0x01000000;
	}
	assert_int_equal(guest_create_2d(guest, 1, format, 64, 64), OK);
	assert_int_equal(guest_attach(guest, 1, 0, 64 * 64 * 4), OK);
	assert_int_equal(guest_transfer(guest, 1, (struct virtio_gpu_rect){0, 0, 64, 64}, 0), OK);
	return guest;
}

static void test_update(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	struct virtio_gpu_update_cursor update = update_of(1, 1);
	(void)state;

	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)), OK);
	struct recorded_head head = recording_display_head(guest->display, 1);
	assert_true(head.cursor_visible);
	assert_int_equal(head.cursor.width, 64);
	assert_int_equal(head.cursor.height, 64);
	assert_int_equal(head.cursor.hot_x, 3);
	assert_int_equal(head.cursor.hot_y, 4);
	assert_int_equal(head.cursor.pixels[0], 0x80010203);
	assert_int_equal(head.cursor.pixels[63], 0xbf010203);
	assert_int_equal(head.x, 10);
	assert_int_equal(head.y, 20);
	assert_false(recording_display_head(guest->display, 0).cursor_visible);

	/* The image is the display's own: what happens to the resource is no matter. */
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_true(recording_display_head(guest->display, 1).cursor_visible);

	update.resource_id = 0;
	update.hot_x = UINT32_MAX; /* of nothing */
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)), OK);
	assert_false(recording_display_head(guest->display, 1).cursor_visible);
	gpu_guest_destroy(guest);
}

static void test_move(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	struct virtio_gpu_update_cursor update = update_of(0, 1);
	struct virtio_gpu_update_cursor move = {
			.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR,
			.pos = {0, 100, (uint32_t)-7, 0},
			/* To be ignored. */
			.resource_id = 99,
			.hot_x = UINT32_MAX,
			.hot_y = UINT32_MAX,
	};
	(void)state;

	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)), OK);
	assert_int_equal(gpu_guest_cursor(guest, &move, sizeof(move)), OK);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.cursors_set, 1);
	assert_int_equal(head.cursor.hot_x, 3);
	assert_int_equal(head.x, 100);
	assert_int_equal(head.y, -7);
	move.resource_id = 0; /* does not hide */
	assert_int_equal(gpu_guest_cursor(guest, &move, sizeof(move)), OK);
	assert_true(recording_display_head(guest->display, 0).cursor_visible);
	move.pos.scanout_id = 2;
	assert_int_equal(gpu_guest_cursor(guest, &move, sizeof(move)),
			VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	gpu_guest_destroy(guest);
}

static void test_refused(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	(void)state;

	struct virtio_gpu_update_cursor update = update_of(2, 1);
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)),
			VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	update = update_of(0, 9);
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)),
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	update = update_of(0, 1);
	update.hot_x = 64;
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	update = update_of(0, 1);
	update.hot_y = UINT32_MAX;
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(guest_create_2d(guest, 2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 64, 63), OK);
	update = update_of(0, 2);
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(recording_display_head(guest->display, 0).cursors_set, 0);
	gpu_guest_destroy(guest);
}

static void test_renderer_cannot_read(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	const struct virtio_gpu_update_cursor update = update_of(0, 1);
	(void)state;

	fake_renderer_fail(guest->fake, "read_pixels", VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)),
			VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_false(recording_display_head(guest->display, 0).cursor_visible);
	gpu_guest_destroy(guest);
}

/* Without alpha it is opaque; other orders of bytes are turned. */
static void test_formats(void **state)
{
	static const struct {
		uint32_t format, expect;
	} rows[] = {
			{VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0x80010203},
			{VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 0xff010203},
			{VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, 0x03020180},
			{VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, 0xff020180},
			{VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, 0x80030201},
			{VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, 0xff800102},
			{VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, 0x03800102},
			{VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 0xff030201},
	};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct gpu_guest *guest = setup(GUEST_2D, rows[i].format);
		const struct virtio_gpu_update_cursor update = update_of(0, 1);

		assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)), OK);
		assert_int_equal(recording_display_head(guest->display, 0).cursor.pixels[0],
				rows[i].expect);
		gpu_guest_destroy(guest);
	}
}

/* An update that waits for a busy renderer is overtaken by a later one that hides the cursor. */
static void test_overtaken(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	const struct {
		struct virtio_gpu_cmd_submit fixed;
		uint32_t words[1];
	} blocker = {{{.type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1}, 4, 0}, {FAKE_STREAM_BLOCK}};
	struct virtio_gpu_update_cursor show = update_of(0, 1), hide = update_of(0, 0);
	(void)state;

	hide.pos.x = 33;
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	struct guest_request *blocked = gpu_guest_send(guest, 0, &blocker, sizeof(blocker), 24);
	fake_renderer_wait_blocked(guest->fake);
	struct guest_request *shown = gpu_guest_send(guest, 1, &show, sizeof(show), 24);
	assert_int_equal(gpu_guest_cursor(guest, &hide, sizeof(hide)), OK);
	fake_renderer_unblock(guest->fake);
	assert_int_equal(gpu_guest_wait(guest, shown), OK);
	assert_int_equal(gpu_guest_wait(guest, blocked), OK);
	assert_false(recording_display_head(guest->display, 0).cursor_visible);
	assert_int_equal(recording_display_head(guest->display, 0).x, 33);
	guest_request_free(shown);
	guest_request_free(blocked);
	gpu_guest_destroy(guest);
}

static void test_reset_hides(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	const struct virtio_gpu_update_cursor update = update_of(0, 1);
	(void)state;

	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)), OK);
	gpu_guest_reset(guest);
	assert_false(recording_display_head(guest->display, 0).cursor_visible);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_update),
			cmocka_unit_test(test_move),
			cmocka_unit_test(test_refused),
			cmocka_unit_test(test_renderer_cannot_read),
			cmocka_unit_test(test_formats),
			cmocka_unit_test(test_overtaken),
			cmocka_unit_test(test_reset_hides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
