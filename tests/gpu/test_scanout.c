/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "gpu/scanout.h"
#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static const struct gpu_timeline_id global = {.global = true};
static const struct virtio_gpu_rect whole = {0, 0, 16, 16};

static struct gpu_guest *setup(enum guest_kind kind)
{
	struct gpu_config config = guest_default_config;

	config.scanouts = 4;
	struct gpu_guest *guest = gpu_guest_create(kind, &config);
	for (uint32_t i = 0; i < 16 * 16; i++) {
		((uint32_t *)guest->ram)[i] = i;
	}
	guest_make_image(guest, 1, 16, 16);
	return guest;
}

static struct guest_request *send_flush(
		struct gpu_guest *guest, uint32_t id, struct virtio_gpu_rect rect)
{
	const struct virtio_gpu_resource_flush request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, .r = rect, .resource_id = id};

	return gpu_guest_send(guest, VIRTIO_GPU_QUEUE_CONTROL, &request, sizeof(request),
			sizeof(request.hdr));
}

static void assert_rect(struct rect r, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	assert_int_equal(r.x, x);
	assert_int_equal(r.y, y);
	assert_int_equal(r.width, width);
	assert_int_equal(r.height, height);
}

static void test_nothing_before_the_first_flush(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	assert_int_equal(guest_flush(guest, 1, whole), OK); /* shown nowhere */
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 0);
	/* The first flush shows all of the head, however little it names. */
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){3, 3, 1, 1}), OK);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.presented, 1);
	assert_rect(head.damage, 0, 0, 16, 16);
	assert_int_equal(recording_display_pixel(guest->display, 0, 15, 15), 255);
	gpu_guest_destroy(guest);
}

static void test_damage_is_honoured(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	uint32_t *ram = (uint32_t *)guest->ram;
	(void)state;

	/* The head shows 8x8 at 4, 4. */
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){4, 4, 8, 8}), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(recording_display_pixel(guest->display, 0, 0, 0), 4 * 16 + 4);

	/* Two pixels change, one of them is flushed: the other must not be seen. */
	ram[5 * 16 + 6] = 1000;
	ram[9 * 16 + 9] = 2000;
	assert_int_equal(guest_transfer(guest, 1, whole, 0), OK);
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){0, 5, 7, 1}), OK);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.presented, 2);
	assert_rect(head.damage, 0, 1, 3, 1);
	assert_int_equal(recording_display_pixel(guest->display, 0, 2, 1), 1000);
	assert_int_equal(recording_display_pixel(guest->display, 0, 5, 5), 9 * 16 + 9);

	/* Outside the head: nothing to do. */
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){0, 0, 4, 16}), OK);
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){5, 5, 0, 3}), OK);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 2);
	gpu_guest_destroy(guest);
}

static void test_overlapping_scanouts(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 1, 1, (struct virtio_gpu_rect){8, 8, 8, 8}), OK);
	assert_int_equal(guest_set_scanout(guest, 3, 1, (struct virtio_gpu_rect){0, 0, 9, 9}), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(recording_display_pixel(guest->display, 0, 8, 8), 8 * 16 + 8);
	assert_int_equal(recording_display_pixel(guest->display, 1, 0, 0), 8 * 16 + 8);
	assert_int_equal(recording_display_pixel(guest->display, 3, 8, 8), 8 * 16 + 8);

	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){7, 7, 2, 2}), OK);
	assert_rect(recording_display_head(guest->display, 0).damage, 7, 7, 2, 2);
	assert_rect(recording_display_head(guest->display, 1).damage, 0, 0, 1, 1);
	assert_rect(recording_display_head(guest->display, 3).damage, 7, 7, 2, 2);
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){15, 15, 1, 1}), OK);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 3);
	assert_int_equal(recording_display_head(guest->display, 1).presented, 3);
	assert_int_equal(recording_display_head(guest->display, 3).presented, 2);
	assert_int_equal(recording_display_head(guest->display, 2).presented, 0);
	gpu_guest_destroy(guest);
}

static void test_disabling(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	assert_int_equal(guest_set_scanout(guest, 0, 0, whole), OK); /* off already */
	assert_int_equal(recording_display_head(guest->display, 0).disabled, 0);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 1, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 0, (struct virtio_gpu_rect){0, 0, 0, 0}), OK);
	assert_int_equal(recording_display_head(guest->display, 0).disabled, 1);
	assert_int_equal(recording_display_head(guest->display, 1).disabled, 0);
	/* A resource that goes takes its heads with it. */
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_int_equal(recording_display_head(guest->display, 1).disabled, 1);
	gpu_guest_destroy(guest);
}

/* A flush is answered when its frame is released. */
static void test_reply_waits_for_the_release(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	struct guest_request *r = send_flush(guest, 1, whole);
	recording_display_wait(guest->display, 0, 1);
	recording_display_release(guest->display, 0);
	assert_int_equal(gpu_guest_wait(guest, r), OK);
	guest_request_free(r);
	gpu_guest_destroy(guest);
}

/* ... or after a refresh period, if the display keeps it: nobody waits for ever. */
static void test_reply_waits_no_longer_than_a_refresh(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	int64_t start = g_get_monotonic_time();
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_true(g_get_monotonic_time() - start >= GPU_REFRESH_US);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	/* Both frames are out: the third flush waits, and is answered all the same. */
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 2);
	gpu_guest_destroy(guest);
}

/* While the display holds both frames, flushes gather and the newest wins. */
static void test_newest_wins(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	uint32_t *ram = (uint32_t *)guest->ram;
	(void)state;

	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	for (uint32_t i = 0; i < 5; i++) {
		ram[i] = 100 + i;
		assert_int_equal(guest_transfer(guest, 1, whole, 0), OK);
		assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){i, 0, 1, 1}), OK);
	}
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.presented, 2);
	assert_int_equal(recording_display_pixel(guest->display, 0, 1, 0), 101);
	assert_int_equal(recording_display_pixel(guest->display, 0, 4, 0), 4);

	recording_display_release(guest->display, 0);
	recording_display_wait(guest->display, 0, 3);
	head = recording_display_head(guest->display, 0);
	assert_rect(head.damage, 2, 0, 3, 1);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(recording_display_pixel(guest->display, 0, i, 0), 100 + i);
	}
	gpu_guest_destroy(guest);
}

/* Sizes go up and down while frames of other sizes are out. */
static void test_sources_change_size(void **state)
{
	static const struct virtio_gpu_rect rects[] = {
			{0, 0, 16, 16}, {0, 0, 4, 4}, {8, 0, 8, 16}, {0, 0, 4, 4}, {1, 1, 15, 15}};
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	recording_display_hold(guest->display, true);
	for (unsigned n = 0; n < 40; n++) {
		const struct virtio_gpu_rect r = rects[n * 7 % G_N_ELEMENTS(rects)];

		assert_int_equal(guest_set_scanout(guest, 0, 1, r), OK);
		struct guest_request *flush = send_flush(guest, 1, whole);
		if (n >= 2) {
			recording_display_release(guest->display, 0);
		}
		recording_display_wait(guest->display, 0, n + 1);
		struct recorded_head head = recording_display_head(guest->display, 0);
		assert_int_equal(head.source.width, r.width);
		assert_int_equal(recording_display_pixel(
						 guest->display, 0, r.width - 1, r.height - 1),
				(r.y + r.height - 1) * 16 + r.x + r.width - 1);
		assert_int_equal(gpu_guest_wait(guest, flush), OK);
		guest_request_free(flush);
	}
	gpu_guest_destroy(guest);
}

/* Two frames take turns; each lacks what the other was shown with, and gets it. */
static void test_frames_take_turns(void **state)
{
	struct gpu_guest *guest = setup(GUEST_2D);
	uint32_t *ram = (uint32_t *)guest->ram;
	(void)state;

	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	for (uint32_t n = 0; n < 20; n++) {
		ram[n * 12] = 1000 + n;
		assert_int_equal(guest_transfer(guest, 1, whole, 0), OK);
		struct guest_request *flush = send_flush(
				guest, 1, (struct virtio_gpu_rect){n * 12 % 16, n * 12 / 16, 1, 1});
		if (n >= 2) {
			recording_display_release(guest->display, 0);
		}
		recording_display_wait(guest->display, 0, n + 1);
		for (uint32_t i = 0; i < 256; i++) {
			bool changed = i % 12 == 0 && i / 12 <= n;
			assert_int_equal(recording_display_pixel(guest->display, 0, i % 16, i / 16),
					changed ? 1000 + i / 12 : i);
		}
		assert_int_equal(gpu_guest_wait(guest, flush), OK);
		guest_request_free(flush);
	}
	gpu_guest_destroy(guest);
}

/* Damage of a large source must not reach into the frames of a small one that comes after it. */
static void test_large_source_between_small_ones(void **state)
{
	const struct virtio_gpu_rect small = {2, 2, 4, 4};
	struct gpu_guest *guest = setup(GUEST_2D);
	(void)state;

	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, small), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK); /* both frames are 4x4, and out */
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, small), OK);
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){3, 3, 1, 1}), OK);
	recording_display_release(guest->display, 0);
	recording_display_wait(guest->display, 0, 3);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_rect(head.source, 0, 0, 4, 4);
	assert_rect(head.damage, 0, 0, 4, 4);
	assert_int_equal(recording_display_pixel(guest->display, 0, 3, 3), 5 * 16 + 5);
	gpu_guest_destroy(guest);
}

/* Nothing is read or shown before the work before it has signalled. */
static void test_publishing_waits_for_the_renderer(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D);
	(void)state;

	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	fake_renderer_hold_fences(guest->fake, true);
	g_free(fake_renderer_take_log(guest->fake));
	struct guest_request *flush = send_flush(guest, 1, whole);
	fake_renderer_wait_fences(guest->fake, global, 1);
	g_autofree char *before = fake_renderer_take_log(guest->fake);
	assert_string_equal(before, "fence global\n");
	assert_int_equal(recording_display_head(guest->display, 0).presented, 0);
	/* What comes after the flush comes after its picture, too. */
	const struct virtio_gpu_resource_cmd unref = {
			{.type = VIRTIO_GPU_CMD_RESOURCE_UNREF}, 1, 0};
	struct guest_request *after = gpu_guest_send(
			guest, VIRTIO_GPU_QUEUE_CONTROL, &unref, sizeof(unref), sizeof(unref.hdr));
	fake_renderer_signal(guest->fake, global, 1);
	assert_int_equal(gpu_guest_wait(guest, flush), OK);
	assert_int_equal(gpu_guest_wait(guest, after), OK);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 1);
	assert_int_equal(recording_display_pixel(guest->display, 0, 15, 15), 255);
	guest_request_free(flush);
	guest_request_free(after);
	gpu_guest_destroy(guest);
}

/* A fenced flush that waits for its frame does not hold up later fences of its timeline. */
static void test_fenced_flush(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D);
	const struct virtio_gpu_resource_flush request = {
			.hdr = {.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
					.flags = VIRTIO_GPU_FLAG_FENCE,
					.fence_id = 1},
			.r = whole,
			.resource_id = 1};
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	recording_display_hold(guest->display, true);
	fake_renderer_hold_fences(guest->fake, true);
	struct guest_request *flush = gpu_guest_send(guest, VIRTIO_GPU_QUEUE_CONTROL, &request,
			sizeof(request), sizeof(request.hdr));
	struct guest_request *later = guest_send_fence(guest, 1, -1, 2);
	fake_renderer_wait_fences(guest->fake, global, 2); /* the flush's own and the picture's */
	fake_renderer_signal(guest->fake, global, 2);
	recording_display_wait(guest->display, 0, 1);
	fake_renderer_wait_fences(guest->fake, global, 1);
	fake_renderer_signal(guest->fake, global, 1);
	assert_int_equal(gpu_guest_wait(guest, later), OK);
	assert_int_equal(gpu_guest_wait(guest, flush), OK);
	assert_int_equal(guest_request_reply(flush)->fence_id, 1);
	assert_true(flush->order < later->order);
	guest_request_free(flush);
	guest_request_free(later);
	gpu_guest_destroy(guest);
}

static void test_renderer_cannot_read(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D);
	(void)state;

	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	fake_renderer_fail(guest->fake, "read_pixels", VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(guest_flush(guest, 1, whole), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 0);
	/* The next one repaints everything. */
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){0, 0, 1, 1}), OK);
	assert_rect(recording_display_head(guest->display, 0).damage, 0, 0, 16, 16);
	gpu_guest_destroy(guest);
}

static void test_frames_count_as_host_memory(void **state)
{
	struct gpu_config config = guest_default_config;
	struct gpu_statistics before, after;
	(void)state;

	config.limits.host_bytes = 3 * 256 * 256 * 4;
	config.scanouts = 4;
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, &config);
	const struct virtio_gpu_rect big = {0, 0, 256, 256};
	guest_make_image(guest, 1, 256, 256);
	gpu_get_statistics(guest->gpu, &before);
	assert_int_equal(guest_set_scanout(guest, 0, 1, big), OK);
	assert_int_equal(guest_set_scanout(guest, 1, 1, big), OK);
	/* Image and one frame fit, another does not. */
	assert_int_equal(guest_flush(guest, 1, big), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(recording_display_head(guest->display, 0).presented, 1);
	assert_int_equal(recording_display_head(guest->display, 1).presented, 0);
	assert_int_equal(guest_set_scanout(guest, 0, 0, big), OK);
	assert_int_equal(guest_flush(guest, 1, big), OK);
	assert_int_equal(guest_set_scanout(guest, 1, 0, big), OK);
	gpu_get_statistics(guest->gpu, &after);
	assert_int_equal(before.host_bytes, after.host_bytes);
	gpu_guest_destroy(guest);
}

/* A texture that is shown outlives its resource until the display lets go. */
static void test_textures(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D);
	(void)state;

	guest->display->base.accepts |= DISPLAY_IMAGE_TEXTURE;
	fake_renderer_textures(guest->fake, true);
	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){2, 3, 8, 9}), OK);
	struct guest_request *flush = send_flush(guest, 1, whole);
	recording_display_wait(guest->display, 0, 1);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.kind, DISPLAY_IMAGE_TEXTURE);
	assert_int_equal(head.texture, 1);
	assert_rect(head.source, 2, 3, 8, 9);
	assert_int_equal(gpu_guest_wait(guest, flush), OK);
	guest_request_free(flush);

	/* Another resource on the head, so that the display is not told to let go. */
	assert_int_equal(guest_create_2d(guest, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 4, 4), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 2, (struct virtio_gpu_rect){0, 0, 4, 4}), OK);
	g_free(fake_renderer_take_log(guest->fake));
	assert_int_equal(guest_unref(guest, 1), OK);
	g_autofree char *held = fake_renderer_take_log(guest->fake);
	assert_null(strstr(held, "resource_destroy"));
	recording_display_release(guest->display, 0);
	gpu_guest_sync(guest);
	gpu_guest_sync(guest);
	g_autofree char *released = fake_renderer_take_log(guest->fake);
	assert_non_null(strstr(released, "resource_destroy 1\n"));

	/* A guest that uses the id again does not wait for the display. */
	assert_int_equal(guest_create_2d(guest, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 4, 4), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){0, 0, 4, 4}), OK);
	assert_int_equal(guest_flush(guest, 1, (struct virtio_gpu_rect){0, 0, 4, 4}), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 2, (struct virtio_gpu_rect){0, 0, 4, 4}), OK);
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_int_equal(guest_create_2d(guest, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 4, 4), OK);
	g_autofree char *again = fake_renderer_take_log(guest->fake);
	assert_non_null(strstr(again, "resource_destroy 1\nresource_create 1 "));
	gpu_guest_destroy(guest);
}

/* A display that shows nothing is told of frames, and nothing is read for them. */
static void test_nobody_looks(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D);
	(void)state;

	guest->display->base.accepts |= DISPLAY_IMAGE_NONE;
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){2, 3, 8, 9}), OK);
	g_free(fake_renderer_take_log(guest->fake));
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.presented, 1);
	assert_int_equal(head.kind, DISPLAY_IMAGE_NONE);
	assert_rect(head.source, 0, 0, 8, 9);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_null(strstr(log, "read_pixels"));
	gpu_guest_destroy(guest);
}

/* Frames that the display holds through a reset come back to heads that know nothing of them. */
static void test_reset_with_frames_in_flight(void **state)
{
	struct gpu_guest *guest = setup(GUEST_FAKE_3D);
	struct gpu_statistics statistics;
	(void)state;

	recording_display_hold(guest->display, true);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 1, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	gpu_guest_reset(guest);
	assert_int_equal(recording_display_head(guest->display, 0).disabled, 1);
	assert_int_equal(recording_display_head(guest->display, 1).disabled, 1);
	gpu_guest_sync(guest);
	gpu_guest_sync(guest);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.host_bytes, 0);
	gpu_guest_destroy(guest);
}

/* The last picture is read when the head goes off, not before; it counts, and goes with the next frame. */
static void test_last_picture_is_kept(void **state)
{
	struct gpu_config config = guest_default_config;
	struct gpu_statistics statistics;
	uint64_t before;
	(void)state;

	config.keep_last = true;
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, &config);
	guest_make_image(guest, 1, 16, 16);
	gpu_get_statistics(guest->gpu, &statistics);
	before = statistics.host_bytes;
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	g_free(fake_renderer_take_log(guest->fake));
	assert_int_equal(guest_set_scanout(guest, 0, 0, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 0, whole), OK);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "read_pixels 1 0,0+16x16\n");
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.host_bytes, before + 16 * 16 * 4);

	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	fake_renderer_fail(guest->fake, "read_pixels", VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(guest_set_scanout(guest, 0, 0, whole), OK); /* no picture, no harm */
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.host_bytes, before);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_nothing_before_the_first_flush),
			cmocka_unit_test(test_damage_is_honoured),
			cmocka_unit_test(test_overlapping_scanouts),
			cmocka_unit_test(test_disabling),
			cmocka_unit_test(test_reply_waits_for_the_release),
			cmocka_unit_test(test_reply_waits_no_longer_than_a_refresh),
			cmocka_unit_test(test_newest_wins),
			cmocka_unit_test(test_sources_change_size),
			cmocka_unit_test(test_frames_take_turns),
			cmocka_unit_test(test_large_source_between_small_ones),
			cmocka_unit_test(test_publishing_waits_for_the_renderer),
			cmocka_unit_test(test_fenced_flush),
			cmocka_unit_test(test_renderer_cannot_read),
			cmocka_unit_test(test_frames_count_as_host_memory),
			cmocka_unit_test(test_textures),
			cmocka_unit_test(test_nobody_looks),
			cmocka_unit_test(test_reset_with_frames_in_flight),
			cmocka_unit_test(test_last_picture_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
