/* SPDX-License-Identifier: MIT */
#include "gpu/stream/resource.h"
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"

static const struct stream_resource volume = {
		.target = VIRGL_TARGET_3D, .width = 8, .height = 4, .depth = 2, .last_level = 3};
static const struct stream_resource cube = {
		.target = VIRGL_TARGET_CUBE, .width = 8, .height = 8, .depth = 1, .array_size = 6};
static const struct stream_resource array = {.target = VIRGL_TARGET_1D_ARRAY,
		.width = 8,
		.height = 1,
		.depth = 1,
		.array_size = 5};

static void levels_shrink_to_one(void **state)
{
	struct virtio_gpu_box box;

	(void)state;
	stream_level_size(&volume, 1, &box);
	assert_int_equal(box.width, 4);
	assert_int_equal(box.height, 2);
	assert_int_equal(box.depth, 1);
	stream_level_size(&volume, 40, &box);
	assert_int_equal(box.width, 1);
}

static const struct {
	const struct stream_resource *resource;
	uint32_t level;
	struct virtio_gpu_box box;
	bool within;
} boxes[] = {
		{&volume, 0, {0, 0, 0, 8, 4, 2}, true},
		{&volume, 3, {0, 0, 0, 1, 1, 1}, true},
		{&volume, 4, {0, 0, 0, 1, 1, 1}, false},
		{&volume, 0x80000000u, {0, 0, 0, 1, 1, 1}, false},
		{&volume, 0, {0, 0, 1, 8, 4, 2}, false},
		{&volume, 0, {0xffffffffu, 0, 0, 2, 1, 1}, false},
		{&volume, 0, {8, 4, 2, 0, 0, 0}, true},
		{&cube, 0, {0, 0, 5, 8, 8, 1}, true},
		{&cube, 0, {0, 0, 6, 8, 8, 1}, false},
		{&array, 0, {0, 0, 4, 8, 1, 1}, true},
		{&array, 0, {0, 1, 0, 8, 1, 1}, false},
};

static void boxes_lie_inside_or_not(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(boxes); i++) {
		if (stream_box_within(boxes[i].resource, boxes[i].level, &boxes[i].box) !=
				boxes[i].within) {
			fail_msg("row %u", i);
		}
	}
}

static void staging_memory_is_no_buffer(void **state)
{
	struct stream_resource resource = {.target = VIRGL_TARGET_BUFFER, .bind = 0, .width = 1};

	(void)state;
	assert_true(stream_resource_is_buffer(&resource));
	resource.bind = VIRGL_BIND_VERTEX_BUFFER | VIRGL_BIND_CUSTOM;
	assert_true(stream_resource_is_buffer(&resource));
	resource.bind = VIRGL_BIND_CUSTOM;
	assert_false(stream_resource_is_buffer(&resource));
	resource.bind = VIRGL_BIND_STAGING;
	assert_false(stream_resource_is_buffer(&resource));
	assert_false(stream_resource_is_buffer(&volume));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(levels_shrink_to_one),
			cmocka_unit_test(boxes_lie_inside_or_not),
			cmocka_unit_test(staging_memory_is_no_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
