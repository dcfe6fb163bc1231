/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

static void test_picture(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 8, 4};
	(void)state;

	((uint32_t *)guest->ram)[9] = 0x11223344;
	guest_make_image(guest, 1, 8, 4);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(guest_flush(guest, 1, all), VIRTIO_GPU_RESP_OK_NODATA);
	struct recorded_head head = recording_display_head(guest->display, 0);
	assert_int_equal(head.presented, 1);
	assert_int_equal(head.format, PIXEL_BGRX);
	assert_int_equal(recording_display_pixel(guest->display, 0, 1, 1), 0x11223344);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_picture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
