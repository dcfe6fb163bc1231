/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

/* A pixel that names its place, and the backing that holds it. */
static uint32_t pixel_at(uint32_t x, uint32_t y)
{
	return 0xc0000000 | y << 12 | x;
}

static void fill_ram(struct gpu_guest *guest, uint32_t width, uint32_t height)
{
	for (uint32_t i = 0; i < width * height; i++) {
		((uint32_t *)guest->ram)[i] = pixel_at(i % width, i / width);
	}
}

/* Bytes arrive as they are, whatever the format; the frame says which it is. */
static void test_formats(void **state)
{
	static const struct {
		uint32_t format;
		enum pixel_format pixel;
	} rows[] = {
			{VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, PIXEL_BGRA},
			{VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, PIXEL_BGRX},
			{VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, PIXEL_ARGB},
			{VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, PIXEL_XRGB},
			{VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, PIXEL_RGBA},
			{VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, PIXEL_XBGR},
			{VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, PIXEL_ABGR},
			{VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, PIXEL_RGBX},
	};
	const struct virtio_gpu_rect all = {0, 0, 7, 5};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);

		fill_ram(guest, 7, 5);
		assert_int_equal(guest_create_2d(guest, 1, rows[i].format, 7, 5), OK);
		assert_int_equal(guest_attach(guest, 1, 0, 7 * 5 * 4), OK);
		assert_int_equal(guest_transfer(guest, 1, all, 0), OK);
		assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
		assert_int_equal(guest_flush(guest, 1, all), OK);
		assert_int_equal(recording_display_head(guest->display, 0).format, rows[i].pixel);
		for (uint32_t n = 0; n < 35; n++) {
			assert_int_equal(recording_display_pixel(guest->display, 0, n % 7, n / 7),
					pixel_at(n % 7, n / 7));
		}
		gpu_guest_destroy(guest);
	}
}

/* Every rectangle of a small image, read at its own place of the backing: inside it changes, outside it does not. */
static void test_every_rectangle(void **state)
{
	enum { W = 6, H = 4 };
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, W, H};
	(void)state;

	assert_int_equal(guest_create_2d(guest, 1, BGRX, W, H), OK);
	assert_int_equal(guest_attach(guest, 1, 0, W * H * 4), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	for (uint32_t n = 0; n < W * H * (W + 1) * (H + 1); n++) {
		const struct virtio_gpu_rect r = {
				n % W, n / W % H, n / (W * H) % (W + 1), n / (W * H) / (W + 1)};
		if (r.x + r.width > W || r.y + r.height > H) {
			continue;
		}
		memset(guest->ram, 0, W * H * 4);
		assert_int_equal(guest_transfer(guest, 1, all, 0), OK);
		fill_ram(guest, W, H);
		assert_int_equal(guest_transfer(guest, 1, r, (r.y * W + r.x) * 4), OK);
		assert_int_equal(guest_flush(guest, 1, all), OK);
		for (uint32_t i = 0; i < W * H; i++) {
			uint32_t x = i % W, y = i / W;
			bool inside = x >= r.x && x < r.x + r.width && y >= r.y &&
				      y < r.y + r.height;
			assert_int_equal(recording_display_pixel(guest->display, 0, x, y),
					inside ? pixel_at(x, y) : 0);
		}
	}
	gpu_guest_destroy(guest);
}

/* Rows are a whole image's row apart, from whatever offset: also from a place that is not the rectangle's own. */
static void test_offsets(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 8, 8};
	(void)state;

	fill_ram(guest, 8, 16);
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 8, 8), OK);
	assert_int_equal(guest_attach(guest, 1, 0, 8 * 16 * 4), OK); /* twice as much as needed */
	assert_int_equal(guest_transfer(guest, 1, all, 0), OK);
	assert_int_equal(guest_transfer(guest, 1, (struct virtio_gpu_rect){2, 3, 3, 2},
					 (10 * 8 + 4) * 4),
			OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t x = i % 8, y = i / 8;
		bool inside = x >= 2 && x < 5 && y >= 3 && y < 5;
		assert_int_equal(recording_display_pixel(guest->display, 0, x, y),
				inside ? pixel_at(x + 2, y + 7) : pixel_at(x, y));
	}
	gpu_guest_destroy(guest);
}

/* A backing in pages, last page first, as guests have them. */
static void test_pages_in_any_order(void **state)
{
	enum { W = 100, H = 90, PAGES = (W * H * 4 + 4095) / 4096 };
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, W, H};
	struct {
		struct virtio_gpu_resource_cmd fixed;
		struct virtio_gpu_mem_entry entries[PAGES];
	} attach = {{{.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING}, 1, PAGES}, {{0}}};
	(void)state;

	for (uint32_t page = 0; page < PAGES; page++) {
		uint32_t *to = (uint32_t *)(guest->ram + (size_t)(PAGES - page) * 8192);

		attach.entries[page].addr = GUEST_RAM_BASE + (uint64_t)(PAGES - page) * 8192;
		attach.entries[page].length = 4096;
		for (uint32_t i = 0; i < 1024; i++) {
			to[i] = pixel_at((page * 1024 + i) % W, (page * 1024 + i) / W);
		}
	}
	assert_int_equal(guest_create_2d(guest, 1, BGRX, W, H), OK);
	assert_int_equal(gpu_guest_do(guest, attach), OK);
	assert_int_equal(guest_transfer(guest, 1, (struct virtio_gpu_rect){0, 0, 50, H}, 0), OK);
	assert_int_equal(guest_transfer(guest, 1, (struct virtio_gpu_rect){50, 0, 50, H}, 200), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	for (uint32_t i = 0; i < W * H; i++) {
		assert_int_equal(recording_display_pixel(guest->display, 0, i % W, i / W),
				pixel_at(i % W, i / W));
	}
	gpu_guest_destroy(guest);
}

/* New images are black, not what lay in memory. */
static void test_images_start_empty(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 4, 4};
	(void)state;

	memset(guest->ram, 0xff, 64);
	guest_make_image(guest, 1, 4, 4);
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	for (uint32_t i = 0; i < 16; i++) {
		assert_int_equal(recording_display_pixel(guest->display, 0, i % 4, i / 4), 0);
	}
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_formats),
			cmocka_unit_test(test_every_rectangle),
			cmocka_unit_test(test_offsets),
			cmocka_unit_test(test_pages_in_any_order),
			cmocka_unit_test(test_images_start_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
