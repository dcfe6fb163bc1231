/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static struct gpu *create(const struct gpu_config *config, GError **error)
{
	static const struct gpu_client_impl impl; /* never called */
	static struct gpu_client client = {.impl = &impl};

	return gpu_create(config, NULL, &client, error);
}

static void test_bad_options(void **state)
{
	static const struct {
		const char *backend;
		unsigned scanouts;
		uint32_t width, height;
		const char *message;
	} rows[] = {
			{"3d", 1, 1, 1, "GPU back end '3d' is not in this build"},
			{NULL, 1, 1, 1, "GPU back end"},
			{"2d", 0, 1, 1, "GPU with 0 scanouts: 1 to 16 are possible"},
			{"2d", 17, 1, 1, "GPU with 17 scanouts: 1 to 16 are possible"},
			{"2d", 1, 0, 1, "GPU mode 0x1: 1x1 to 16384x16384 are possible"},
			{"2d", 1, 1, 16385, "GPU mode 1x16385: 1x1 to 16384x16384 are possible"},
	};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct gpu_config config = guest_default_config;
		g_autoptr(GError) error = NULL;

		config.backend = rows[i].backend;
		config.scanouts = rows[i].scanouts;
		config.width = rows[i].width;
		config.height = rows[i].height;
		assert_null(create(&config, &error));
		assert_non_null(strstr(error->message, rows[i].message));
	}
	gpu_destroy(NULL, 0);
}

static void test_by_name(void **state)
{
	struct recording_display *display = recording_display_create();
	static const struct gpu_client_impl impl; /* never called */
	struct gpu_client client = {.impl = &impl};
	struct gpu_config config = guest_default_config;
	g_autoptr(GError) error = NULL;
	(void)state;

	config.backend = "2d";
	struct gpu *gpu = gpu_create(&config, &display->base, &client, &error);
	assert_non_null(gpu);
	gpu_destroy(gpu, 60000);
	recording_display_destroy(display);
}

static void test_features(void **state)
{
	const uint64_t base = BIT(VIRTIO_GPU_F_EDID) | BIT(VIRTIO_GPU_F_RESOURCE_UUID);
	struct gpu_guest *guest;
	(void)state;

	guest = gpu_guest_create(GUEST_2D, NULL);
	assert_int_equal(gpu_features(guest->gpu), base);
	gpu_guest_destroy(guest);
	guest = gpu_guest_create(GUEST_FAKE_PLAIN, NULL);
	assert_int_equal(gpu_features(guest->gpu), base | BIT(VIRTIO_GPU_F_VIRGL));
	gpu_guest_destroy(guest);
	guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	assert_int_equal(gpu_features(guest->gpu),
			base | BIT(VIRTIO_GPU_F_VIRGL) | BIT(VIRTIO_GPU_F_CONTEXT_INIT));
	gpu_guest_destroy(guest);
}

static void test_config_and_modes(void **state)
{
	struct gpu_config options = guest_default_config;
	struct virtio_gpu_config config;
	(void)state;

	options.scanouts = 16;
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, &options);
	gpu_get_config(guest->gpu, &config);
	assert_int_equal(config.events_read, 0);
	assert_int_equal(config.events_clear, 0);
	assert_int_equal(config.num_scanouts, 16);
	assert_int_equal(config.num_capsets, 0);
	assert_int_equal(config.blob_alignment, 0);

	gpu_set_mode(guest->gpu, 15, 800, 600);
	assert_int_equal(guest->config_changes, 1);
	gpu_get_config(guest->gpu, &config);
	assert_int_equal(config.events_read, VIRTIO_GPU_EVENT_DISPLAY);
	gpu_clear_events(guest->gpu, ~VIRTIO_GPU_EVENT_DISPLAY);
	gpu_get_config(guest->gpu, &config);
	assert_int_equal(config.events_read, VIRTIO_GPU_EVENT_DISPLAY);
	gpu_clear_events(guest->gpu, VIRTIO_GPU_EVENT_DISPLAY);
	gpu_get_config(guest->gpu, &config);
	assert_int_equal(config.events_read, 0);

	/* The machine asks for what cannot be: nothing changes. */
	gpu_set_mode(guest->gpu, 16, 800, 600);
	gpu_set_mode(guest->gpu, 0, 16385, 600);
	assert_int_equal(guest->config_changes, 1);
	gpu_guest_destroy(guest);
}

static void test_heads_vanish(void **state)
{
	const struct virtio_gpu_ctrl_hdr request = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO};
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	struct virtio_gpu_resp_display_info info;
	(void)state;

	gpu_set_mode(guest->gpu, 0, 0, 0);
	(void)gpu_guest_call(guest, &request, sizeof(request), &info, sizeof(info));
	assert_int_equal(info.pmodes[0].enabled, 0);
	gpu_set_mode(guest->gpu, 0, 300, 200);
	(void)gpu_guest_call(guest, &request, sizeof(request), &info, sizeof(info));
	assert_int_equal(info.pmodes[0].enabled, 1);
	assert_int_equal(info.pmodes[0].r.width, 300);
	gpu_guest_destroy(guest);
}

static void test_statistics(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 8, 4};
	struct gpu_statistics statistics;
	(void)state;

	guest_make_image(guest, 1, 8, 4); /* three commands */
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	assert_int_equal(guest_unref(guest, 9), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.commands, 6);
	assert_int_equal(statistics.errors, 1);
	assert_int_equal(statistics.frames, 1);
	assert_int_equal(statistics.resources, 1);
	assert_int_equal(statistics.contexts, 0);
	assert_true(statistics.host_bytes >= 2 * 8 * 4 * 4); /* image and frame */
	gpu_guest_destroy(guest);
}

/* Two in one process do not know of each other. */
static void test_two_instances(void **state)
{
	struct gpu_guest *a = gpu_guest_create(GUEST_2D, NULL),
			 *b = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 2, 2};
	(void)state;

	*(uint32_t *)a->ram = 0x0a;
	*(uint32_t *)b->ram = 0x0b;
	guest_make_image(a, 1, 2, 2);
	guest_make_image(b, 1, 2, 2);
	assert_int_equal(guest_set_scanout(a, 0, 1, all), OK);
	assert_int_equal(guest_set_scanout(b, 0, 1, all), OK);
	assert_int_equal(guest_flush(a, 1, all), OK);
	assert_int_equal(guest_flush(b, 1, all), OK);
	gpu_guest_reset(a);
	assert_int_equal(guest_flush(b, 1, all), OK);
	assert_int_equal(recording_display_pixel(a->display, 0, 0, 0), 0x0a);
	assert_int_equal(recording_display_pixel(b->display, 0, 0, 0), 0x0b);
	gpu_guest_destroy(a);
	gpu_guest_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_bad_options),
			cmocka_unit_test(test_by_name),
			cmocka_unit_test(test_features),
			cmocka_unit_test(test_config_and_modes),
			cmocka_unit_test(test_heads_vanish),
			cmocka_unit_test(test_statistics),
			cmocka_unit_test(test_two_instances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
