/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "gpu/format.h"

static const struct {
	uint32_t format;
	enum pixel_format pixel;
	const char *order; /* of the bytes in memory */
} formats[] = {
		{VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, PIXEL_BGRA, "BGRA"},
		{VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, PIXEL_BGRX, "BGRX"},
		{VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, PIXEL_ARGB, "ARGB"},
		{VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, PIXEL_XRGB, "XRGB"},
		{VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, PIXEL_RGBA, "RGBA"},
		{VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, PIXEL_XBGR, "XBGR"},
		{VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, PIXEL_ABGR, "ABGR"},
		{VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, PIXEL_RGBX, "RGBX"},
};

static void test_names(void **state)
{
	enum pixel_format pixel;
	unsigned known = 0;
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		assert_true(gpu_format_to_pixel(formats[i].format, &pixel));
		assert_int_equal(pixel, formats[i].pixel);
	}
	for (uint32_t format = 0; format < 1000; format++) {
		known += gpu_format_to_pixel(format, &pixel);
	}
	assert_int_equal(known, 8);
	assert_false(gpu_format_to_pixel(UINT32_MAX, &pixel));
}

static void test_sizes(void **state)
{
	uint64_t bytes = 7;
	(void)state;

	assert_true(pixel_image_size(3, 5, &bytes));
	assert_int_equal(bytes, 60);
	assert_true(pixel_image_size(GPU_MAX_IMAGE_SIZE, GPU_MAX_IMAGE_SIZE, &bytes));
	assert_int_equal(bytes, UINT64_C(4) << 28);
	bytes = 7;
	assert_false(pixel_image_size(0, 5, &bytes));
	assert_false(pixel_image_size(5, 0, &bytes));
	assert_false(pixel_image_size(GPU_MAX_IMAGE_SIZE + 1, 1, &bytes));
	assert_false(pixel_image_size(1, GPU_MAX_IMAGE_SIZE + 1, &bytes));
	assert_false(pixel_image_size(UINT32_MAX, UINT32_MAX, &bytes));
	assert_int_equal(bytes, 7);
}

static uint8_t channel(char name, uint8_t alpha)
{
	switch (name) {
	case 'R':
		return 0x12;
	case 'G':
		return 0x34;
	case 'B':
		return 0x56;
	case 'A':
		return alpha;
	default:
		return 0x99; /* X: must not leak */
	}
}

static void test_conversion(void **state)
{
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		bool alpha = strchr(formats[i].order, 'A') != NULL;
		const uint8_t expect[4] = {0x56, 0x34, 0x12, alpha ? 0x20 : 0xff};
		uint8_t src[2][12], dst[2][8];

		memset(dst, 0, sizeof(dst));
		for (unsigned y = 0; y < 2; y++) {
			for (unsigned x = 0; x < 12; x++) {
				src[y][x] = channel(formats[i].order[x % 4], 0x20);
			}
		}
		pixel_convert_to_bgra(formats[i].pixel, 2, 2, src, 12, dst, 8);
		for (unsigned n = 0; n < 4; n++) {
			assert_memory_equal(&dst[n / 2][n % 2 * 4], expect, 4);
		}
	}
}

static void test_cursor_blend(void **state)
{
	struct display_cursor cursor = {.width = 64, .height = 64, .hot_x = 2, .hot_y = 1};
	uint32_t image[4 * 4];
	(void)state;

	for (unsigned i = 0; i < 16; i++) {
		image[i] = 0x00404040;
	}
	/* Row 0 of the cursor: opaque red, half green, nothing. */
	cursor.pixels[0] = 0xffff0000;
	cursor.pixels[1] = 0x8000ff00;
	cursor.pixels[2] = 0x00ffffff;
	pixel_blend_cursor(image, 4, 4, 16, &cursor, 3, 2);
	assert_int_equal(image[4 + 0] & 0xffffff, 0x404040);
	assert_int_equal(image[4 + 1] & 0xffffff, 0xff0000);
	/* Half of 0x40 below; straight alpha: 0xff at half is 0x80. */
	assert_int_equal(image[4 + 2] & 0xffffff, 0x20a020);
	assert_int_equal(image[4 + 3] & 0xffffff, 0x404040);

	uint32_t before[16];
	memcpy(before, image, sizeof(image));
	pixel_blend_cursor(image, 4, 4, 16, &cursor, 100, 0);
	pixel_blend_cursor(image, 4, 4, 16, &cursor, -63, 0);
	pixel_blend_cursor(image, 4, 4, 16, &cursor, INT32_MIN, INT32_MIN);
	pixel_blend_cursor(image, 4, 4, 16, &cursor, INT32_MAX, INT32_MAX);
	assert_memory_equal(image, before, sizeof(image));
	/* Cut off at the top left: pixel 2, 1 of the cursor lands on 0, 0. */
	cursor.pixels[64 + 2] = 0xff0000ff;
	pixel_blend_cursor(image, 4, 4, 16, &cursor, 0, 0);
	assert_int_equal(image[0] & 0xffffff, 0x0000ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_names),
			cmocka_unit_test(test_sizes),
			cmocka_unit_test(test_conversion),
			cmocka_unit_test(test_cursor_blend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
