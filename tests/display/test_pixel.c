/* SPDX-License-Identifier: MIT */
#include "display/pixel.h"
#include "tests/harness/test.h"

/* Red 0x11, green 0x22, blue 0x33, the fourth 0x44, in each memory order. */
static const uint8_t pixels[PIXEL_FORMAT_COUNT][8] = {
		[PIXEL_BGRA] = {0x33, 0x22, 0x11, 0x44, 3, 2, 1, 4},
		[PIXEL_BGRX] = {0x33, 0x22, 0x11, 0x44, 3, 2, 1, 4},
		[PIXEL_ARGB] = {0x44, 0x11, 0x22, 0x33, 4, 1, 2, 3},
		[PIXEL_XRGB] = {0x44, 0x11, 0x22, 0x33, 4, 1, 2, 3},
		[PIXEL_RGBA] = {0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4},
		[PIXEL_XBGR] = {0x44, 0x33, 0x22, 0x11, 4, 3, 2, 1},
		[PIXEL_ABGR] = {0x44, 0x33, 0x22, 0x11, 4, 3, 2, 1},
		[PIXEL_RGBX] = {0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4},
};

static void rows_become_bgrx(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PIXEL_FORMAT_COUNT; i++) {
		uint32_t row[3] = {0, 0, 0xdeadbeef};
		pixel_row_to_bgrx(row, pixels[i], 2, i);
		assert_int_equal(row[0] & 0xffffff, 0x112233);
		assert_int_equal(row[1] & 0xffffff, 0x010203);
		assert_int_equal(row[2], 0xdeadbeef);
	}
}

static void rows_become_rgb(void **state)
{
	static const uint8_t expect[7] = {0x11, 0x22, 0x33, 1, 2, 3, 0xee};

	(void)state;
	for (unsigned i = 0; i < PIXEL_FORMAT_COUNT; i++) {
		uint8_t row[7] = {0, 0, 0, 0, 0, 0, 0xee};
		pixel_row_to_rgb(row, pixels[i], 2, i);
		assert_memory_equal(row, expect, sizeof(expect));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(rows_become_bgrx),
			cmocka_unit_test(rows_become_rgb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
