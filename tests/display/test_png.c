/* SPDX-License-Identifier: MIT */
#include "display/png.h"
#include "tests/harness/test.h"

#include "core/base/fd.h"

#include <png.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <string.h>
#include <unistd.h>

/* One pixel, red 0x11, green 0x22, blue 0x33, alpha 0x44, in each memory order. */
static const struct {
	const char *name;
	uint8_t bytes[4];
} formats[PIXEL_FORMAT_COUNT] = {
		[PIXEL_BGRA] = {"BGRA", {0x33, 0x22, 0x11, 0x44}},
		[PIXEL_BGRX] = {"BGRX", {0x33, 0x22, 0x11, 0x44}},
		[PIXEL_ARGB] = {"ARGB", {0x44, 0x11, 0x22, 0x33}},
		[PIXEL_XRGB] = {"XRGB", {0x44, 0x11, 0x22, 0x33}},
		[PIXEL_RGBA] = {"RGBA", {0x11, 0x22, 0x33, 0x44}},
		[PIXEL_XBGR] = {"XBGR", {0x44, 0x33, 0x22, 0x11}},
		[PIXEL_ABGR] = {"ABGR", {0x44, 0x33, 0x22, 0x11}},
		[PIXEL_RGBX] = {"RGBX", {0x11, 0x22, 0x33, 0x44}},
};

static int file_create(void)
{
	int fd = memfd_create("png", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* What libpng itself makes of the file, as 8-bit RGB. */
static uint8_t *read_back(int fd, uint32_t *ret_width, uint32_t *ret_height)
{
	png_image image = {.version = PNG_IMAGE_VERSION};

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	FILE *file = fdopen(dup(fd), "rb");
	assert_non_null(file);
	assert_true(png_image_begin_read_from_stdio(&image, file));
	image.format = PNG_FORMAT_RGB;
	uint8_t *pixels = g_malloc(PNG_IMAGE_SIZE(image));
	assert_true(png_image_finish_read(&image, NULL, pixels, 0, NULL));
	fclose(file);
	*ret_width = image.width;
	*ret_height = image.height;
	return pixels;
}

static void every_format_keeps_its_colours(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PIXEL_FORMAT_COUNT; i++) {
		g_autoptr(GError) error = NULL;
		uint32_t width, height;
		auto_fd int fd = file_create();

		assert_true(png_write(fd, i, 1, 1, formats[i].bytes, 4, &error));
		g_autofree uint8_t *pixels = read_back(fd, &width, &height);
		if (pixels[0] != 0x11 || pixels[1] != 0x22 || pixels[2] != 0x33) {
			fail_msg("%s: %02x %02x %02x", formats[i].name, pixels[0], pixels[1],
					pixels[2]);
		}
	}
}

static void stride_and_row_order(void **state)
{
	/* 2x3 pixels in rows of 5. */
	uint32_t source[15];
	uint32_t width, height;
	auto_fd int fd = file_create();

	(void)state;
	memset(source, 0xff, sizeof(source));
	for (unsigned y = 0; y < 3; y++) {
		for (unsigned x = 0; x < 2; x++) {
			source[y * 5 + x] = (y << 16) | (x << 8) | 0x80;
		}
	}
	assert_true(png_write(fd, PIXEL_BGRX, 2, 3, source, 20, NULL));
	g_autofree uint8_t *pixels = read_back(fd, &width, &height);
	assert_int_equal(width, 2);
	assert_int_equal(height, 3);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(pixels[i * 3], i / 2);
		assert_int_equal(pixels[i * 3 + 1], i % 2);
		assert_int_equal(pixels[i * 3 + 2], 0x80);
	}
}

static void full_disk_is_an_error(void **state)
{
	static uint32_t source[64 * 64];
	g_autoptr(GError) error = NULL;
	auto_fd int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_false(png_write(fd, PIXEL_BGRX, 64, 64, source, 256, &error));
	assert_non_null(error);
	assert_int_equal(error->code, G_FILE_ERROR_NOSPC);
}

static void empty_image_is_an_error(void **state)
{
	static const uint32_t pixel;
	g_autoptr(GError) error = NULL;
	auto_fd int fd = file_create();

	(void)state;
	assert_false(png_write(fd, PIXEL_BGRX, 0, 0, &pixel, 0, &error));
	assert_non_null(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(every_format_keeps_its_colours),
			cmocka_unit_test(stride_and_row_order),
			cmocka_unit_test(full_disk_is_an_error),
			cmocka_unit_test(empty_image_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
