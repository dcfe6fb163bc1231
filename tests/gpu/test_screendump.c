/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#include <png.h>
#include <stdio.h>
#include <unistd.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA

/* Reads the file as rows of RGB. */
static uint8_t *read_png(int take_fd, uint32_t *ret_width, uint32_t *ret_height)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	FILE *file;

	assert_int_equal(lseek(take_fd, 0, SEEK_SET), 0);
	file = fdopen(take_fd, "rb");
	assert_non_null(file);
	assert_true(png_image_begin_read_from_stdio(&image, file));
	image.format = PNG_FORMAT_RGB;
	uint8_t *rgb = g_malloc(PNG_IMAGE_SIZE(image));
	assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
	*ret_width = image.width;
	*ret_height = image.height;
	(void)fclose(file);
	return rgb;
}

/* The source's part of the resource, in right colours, for each format. */
static void test_picture(void **state)
{
	static const uint32_t formats[] = {VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
			VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM,
			VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM,
			VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM,
			VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM};
	static const char *const orders[] = {
			"BGRA", "BGRX", "ARGB", "XRGB", "RGBA", "XBGR", "ABGR", "RGBX"};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
		uint32_t width, height;

		for (unsigned n = 0; n < 16; n++) {
			for (unsigned b = 0; b < 4; b++) {
				char c = orders[i][b];
				guest->ram[n * 4 + b] = (uint8_t)(c == 'R'   ? 100 + n
								  : c == 'G' ? 150 + n
								  : c == 'B' ? 200 + n
									     : 0);
			}
		}
		assert_int_equal(guest_create_2d(guest, 1, formats[i], 4, 4), OK);
		assert_int_equal(guest_attach(guest, 1, 0, 64), OK);
		assert_int_equal(guest_transfer(guest, 1, (struct virtio_gpu_rect){0, 0, 4, 4}, 0),
				OK);
		assert_int_equal(guest_set_scanout(
						 guest, 0, 1, (struct virtio_gpu_rect){1, 1, 3, 2}),
				OK);
		int fd = gpu_guest_screendump(guest, 0, true);
		assert_true(fd >= 0);
		g_autofree uint8_t *rgb = read_png(fd, &width, &height);
		assert_int_equal(width, 3);
		assert_int_equal(height, 2);
		for (unsigned n = 0; n < 6; n++) {
			unsigned at = (n / 3 + 1) * 4 + n % 3 + 1;
			assert_int_equal(rgb[n * 3], 100 + at);
			assert_int_equal(rgb[n * 3 + 1], 150 + at);
			assert_int_equal(rgb[n * 3 + 2], 200 + at);
		}
		gpu_guest_destroy(guest);
	}
}

static void test_cursor_on_it(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_update_cursor update = {.hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR,
			.pos = {0, 3, 2, 0},
			.resource_id = 2,
			.hot_x = 1,
			.hot_y = 1};
	uint32_t width, height;
	(void)state;

	guest_make_image(guest, 1, 8, 8); /* black */
	((uint32_t *)guest->ram)[0] = 0xff112233; /* the cursor's first pixel; the rest is clear */
	assert_int_equal(guest_create_2d(guest, 2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 64, 64), OK);
	assert_int_equal(guest_attach(guest, 2, 0, 64 * 64 * 4), OK);
	assert_int_equal(guest_transfer(guest, 2, (struct virtio_gpu_rect){0, 0, 64, 64}, 0), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){0, 0, 8, 8}), OK);
	assert_int_equal(gpu_guest_cursor(guest, &update, sizeof(update)), OK);
	for (unsigned i = 0; i < 2; i++) {
		bool cursor = i == 0;
		int fd = gpu_guest_screendump(guest, 0, cursor);
		assert_true(fd >= 0);
		g_autofree uint8_t *rgb = read_png(fd, &width, &height);
		for (unsigned n = 0; n < 64; n++) {
			bool there = cursor && n == 1 * 8 + 2; /* position less hot spot */
			assert_int_equal(rgb[n * 3], there ? 0x11 : 0);
			assert_int_equal(rgb[n * 3 + 1], there ? 0x22 : 0);
			assert_int_equal(rgb[n * 3 + 2], there ? 0x33 : 0);
		}
	}
	gpu_guest_destroy(guest);
}

static void test_refused(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(gpu_guest_screendump(guest, 0, false), -1);
	assert_string_equal(guest->dump_error, "head 0: it shows nothing");
	assert_int_equal(gpu_guest_screendump(guest, 1, false), -1);
	assert_string_equal(guest->dump_error, "head 1: there is no such head");
	assert_int_equal(gpu_guest_screendump(guest, UINT_MAX, false), -1);
	guest_make_image(guest, 1, 8, 8);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){0, 0, 8, 8}), OK);
	fake_renderer_fail(guest->fake, "read_pixels", VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(gpu_guest_screendump(guest, 0, false), -1);
	assert_string_equal(guest->dump_error, "head 0: the renderer cannot read the picture");
	int fd = gpu_guest_screendump(guest, 0, false);
	assert_true(fd >= 0);
	(void)close(fd);
	gpu_guest_destroy(guest);
}

static void assert_shades(struct gpu_guest *guest, uint8_t red, uint32_t side)
{
	uint32_t width, height;
	int fd = gpu_guest_screendump(guest, 0, true);

	assert_true(fd >= 0);
	g_autofree uint8_t *rgb = read_png(fd, &width, &height);
	assert_int_equal(width, side);
	assert_int_equal(height, side);
	for (size_t i = 0; i < (size_t)side * side; i++) {
		assert_int_equal(rgb[i * 3], red);
		assert_int_equal(rgb[i * 3 + 1], 0x22);
		assert_int_equal(rgb[i * 3 + 2], 0x33);
	}
}

static void make_shade(struct gpu_guest *guest, uint32_t id, uint8_t red)
{
	for (unsigned i = 0; i < 64; i++) {
		((uint32_t *)guest->ram)[i] = (uint32_t)red << 16 | 0x2233;
	}
	guest_make_image(guest, id, 8, 8);
}

/* What the head showed when it was switched off, however that came, until it shows something again. */
static void test_last_picture(void **state)
{
	const struct virtio_gpu_rect whole = {0, 0, 8, 8}, part = {2, 2, 4, 4};
	struct gpu_config config = guest_default_config;
	(void)state;

	config.keep_last = true;
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, &config);
	assert_int_equal(gpu_guest_screendump(guest, 0, true), -1);
	assert_string_equal(guest->dump_error, "head 0: it shows nothing");

	make_shade(guest, 1, 0x10);
	assert_int_equal(guest_set_scanout(guest, 0, 1, part), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 0, (struct virtio_gpu_rect){0}), OK);
	assert_shades(guest, 0x10, 4);
	assert_shades(guest, 0x10, 4);
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_shades(guest, 0x10, 4);

	/* A source that was never flushed was never seen. */
	make_shade(guest, 2, 0x20);
	assert_int_equal(guest_set_scanout(guest, 0, 2, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 0, (struct virtio_gpu_rect){0}), OK);
	assert_shades(guest, 0x10, 4);

	assert_int_equal(guest_set_scanout(guest, 0, 2, whole), OK);
	assert_int_equal(guest_flush(guest, 2, whole), OK);
	assert_int_equal(guest_unref(guest, 2), OK);
	assert_shades(guest, 0x20, 8);

	make_shade(guest, 3, 0x30);
	assert_int_equal(guest_set_scanout(guest, 0, 3, whole), OK);
	assert_int_equal(guest_flush(guest, 3, whole), OK);
	gpu_guest_reset(guest);
	assert_shades(guest, 0x30, 8);
	gpu_guest_destroy(guest);
}

static void test_nothing_kept_unasked(void **state)
{
	const struct virtio_gpu_rect whole = {0, 0, 8, 8};
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	(void)state;

	make_shade(guest, 1, 0x10);
	assert_int_equal(guest_set_scanout(guest, 0, 1, whole), OK);
	assert_int_equal(guest_flush(guest, 1, whole), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 0, (struct virtio_gpu_rect){0}), OK);
	assert_int_equal(gpu_guest_screendump(guest, 0, true), -1);
	assert_string_equal(guest->dump_error, "head 0: it shows nothing");
	gpu_guest_destroy(guest);
}

struct outcome {
	char *message; /* NULL: success, or not yet */
};

static void handle_done(void *opaque, const GError *error)
{
	struct outcome *outcome = opaque;

	outcome->message = g_strdup(error ? error->message : "success");
}

/* Waits for the renderer, and gives up when the device is reset meanwhile. */
static void test_reset_overtakes(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct gpu_timeline_id global = {.global = true};
	struct outcome waiting = {0}, queued = {0};
	(void)state;

	guest_make_image(guest, 1, 8, 8);
	assert_int_equal(guest_set_scanout(guest, 0, 1, (struct virtio_gpu_rect){0, 0, 8, 8}), OK);
	fake_renderer_hold_fences(guest->fake, true);
	gpu_screendump(guest->gpu, 0, false, dup(1), handle_done, &waiting);
	fake_renderer_wait_fences(guest->fake, global, 1);
	gpu_screendump(guest->gpu, 0, false, dup(1), handle_done, &queued);
	gpu_guest_reset(guest);
	assert_string_equal(waiting.message, "head 0: the device was reset");
	assert_string_equal(queued.message, "head 0: the device was reset");
	g_free(waiting.message);
	g_free(queued.message);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_picture),
			cmocka_unit_test(test_cursor_on_it),
			cmocka_unit_test(test_refused),
			cmocka_unit_test(test_last_picture),
			cmocka_unit_test(test_nothing_kept_unasked),
			cmocka_unit_test(test_reset_overtakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
