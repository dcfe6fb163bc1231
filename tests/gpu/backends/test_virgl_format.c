/* SPDX-License-Identifier: MIT */
#include "gpu/backends/virgl_format.h"
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"

static const struct {
	const char *name;
	struct gpu_resource_desc desc;
	uint64_t at_least, at_most; /* bytes; 0, 0: no such resource */
} sizes[] = {
		{"buffer",
				{.target = VIRGL_TARGET_BUFFER,
						.format = VIRGL_FORMAT_R8_UNORM,
						.width = 1 << 20},
				1 << 20, (1 << 20) + 8192},
		{"largest buffer",
				{.target = VIRGL_TARGET_BUFFER,
						.format = VIRGL_FORMAT_R8_UNORM,
						.width = INT32_MAX},
				INT32_MAX, (uint64_t)INT32_MAX + 8192},
		{"buffer of 2 GiB",
				{.target = VIRGL_TARGET_BUFFER,
						.format = VIRGL_FORMAT_R8_UNORM,
						.width = 1u << 31},
				0, 0},
		{"full HD", {.target = VIRGL_TARGET_2D, .format = 1, .width = 1920, .height = 1080},
				1920 * 1080 * 4, 1920 * 1080 * 4 + 8192},
		{"one texel", {.target = VIRGL_TARGET_2D, .format = 1, .width = 1, .height = 1},
				256, 8192},
		{"all its levels",
				{.target = VIRGL_TARGET_2D,
						.format = 1,
						.width = 1024,
						.height = 1024,
						.last_level = 10},
				(1024 * 1024 * 4) / 3 * 4, (1024 * 1024 * 4) / 3 * 4 + 16384},
		{"four samples",
				{.target = VIRGL_TARGET_2D,
						.format = 1,
						.width = 64,
						.height = 64,
						.nr_samples = 4},
				64 * 64 * 16, 64 * 64 * 16 + 8192},
		{"cube",
				{.target = VIRGL_TARGET_CUBE,
						.format = 1,
						.width = 64,
						.height = 64,
						.array_size = 6},
				64 * 64 * 24, 64 * 64 * 24 + 8192},
		{"array",
				{.target = VIRGL_TARGET_2D_ARRAY,
						.format = 1,
						.width = 64,
						.height = 64,
						.array_size = 10},
				64 * 64 * 40, 64 * 64 * 40 + 8192},
		{"3D",
				{.target = VIRGL_TARGET_3D,
						.format = 1,
						.width = 64,
						.height = 64,
						.depth = 64},
				64 * 64 * 64 * 4, 64 * 64 * 64 * 4 + 8192},
		{"largest 3D does not wrap",
				{.target = VIRGL_TARGET_3D,
						.format = 31,
						.width = 16384,
						.height = 16384,
						.depth = 16384},
				UINT64_C(16384) * 16384 * 16384 * 16, UINT64_MAX},
		{"largest array of the most samples does not wrap",
				{.target = VIRGL_TARGET_2D_ARRAY,
						.format = 31,
						.width = 16384,
						.height = 16384,
						.array_size = 2048,
						.nr_samples = 32},
				UINT64_C(16384) * 16384 * 2048 * 32 * 16, UINT64_MAX},
		{"DXT1", {.target = VIRGL_TARGET_2D, .format = 105, .width = 256, .height = 256},
				256 * 256 / 2, 256 * 256 / 2 + 8192},
		{"three channels take four",
				{.target = VIRGL_TARGET_2D,
						.format = 66,
						.width = 64,
						.height = 64},
				64 * 64 * 4, 64 * 64 * 4 + 8192},
		{"too wide", {.target = VIRGL_TARGET_2D, .format = 1, .width = 16385, .height = 1},
				0, 0},
		{"too many layers",
				{.target = VIRGL_TARGET_2D_ARRAY,
						.format = 1,
						.width = 1,
						.height = 1,
						.array_size = 2049},
				0, 0},
		{"too many levels",
				{.target = VIRGL_TARGET_2D,
						.format = 1,
						.width = 1,
						.height = 1,
						.last_level = 15},
				0, 0},
		{"33 samples",
				{.target = VIRGL_TARGET_2D,
						.format = 1,
						.width = 1,
						.height = 1,
						.nr_samples = 33},
				0, 0},
		{"no width", {.target = VIRGL_TARGET_2D, .format = 1, .height = 1}, 0, 0},
		{"no target", {.target = VIRGL_TARGET_COUNT, .format = 1, .width = 1, .height = 1},
				0, 0},
		{"format 0", {.target = VIRGL_TARGET_2D, .width = 1, .height = 1}, 0, 0},
		{"a hole among the formats",
				{.target = VIRGL_TARGET_2D, .format = 73, .width = 1, .height = 1},
				0, 0},
		{"format beyond",
				{.target = VIRGL_TARGET_2D,
						.format = VIRGL_FORMAT_COUNT,
						.width = 1,
						.height = 1},
				0, 0},
};

static void sizes_are_accounted(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		uint64_t bytes = 0;
		bool exists = virgl_resource_bytes(&sizes[i].desc, &bytes);
		if (exists != (sizes[i].at_most > 0) || bytes < sizes[i].at_least ||
				bytes > sizes[i].at_most) {
			fail_msg("%s: %" G_GUINT64_FORMAT " bytes", sizes[i].name, bytes);
		}
	}
}

static void only_scanout_formats_have_an_order(void **state)
{
	enum pixel_format format;

	(void)state;
	assert_true(virgl_pixel_format(VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, &format));
	assert_int_equal(format, PIXEL_RGBX);
	assert_false(virgl_pixel_format(VIRGL_FORMAT_R32_FLOAT, &format));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(sizes_are_accounted),
			cmocka_unit_test(only_scanout_formats_have_an_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
