/* SPDX-License-Identifier: MIT */
/*
 * The whole picture process, driven as a machine drives it: streams to pictures, crashes to
 * restarts. /
 */
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"
#include "tests/harness/triangle.h"

#include <png.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SIZE TRIANGLE_SIZE
#define STRIDE TRIANGLE_STRIDE
#define OK VIRTIO_GPU_RESP_OK_NODATA
#define STREAM_WORDS 1024

enum { TARGET = TRIANGLE_TARGET, SURFACE = TRIANGLE_SURFACE };

static struct picture_client *start(const char *backend)
{
	g_autofree char *option = g_strdup_printf("--backend=%s", backend);
	const char *arguments[] = {option, "--xres=256", "--yres=256", "--hang-time=3000", NULL};
	g_autoptr(GError) error = NULL;
	struct picture_client *client = picture_client_start(arguments, &error);

	if (!client) {
		fail_msg("%s", error->message);
	}
	return client;
}

/* A screendump's pixels, RGB; width and height must be SIZE. */
static void dump(struct picture_client *client, uint8_t rgb[SIZE][SIZE][3])
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	int fd = g_file_open_tmp("oriel-picture-XXXXXX.png", &path, NULL);

	close(fd);
	if (!picture_client_screendump(client, 0, path, &error)) {
		fail_msg("%s", error->message);
	}
	assert_true(png_image_begin_read_from_file(&image, path));
	assert_int_equal(image.width, SIZE);
	assert_int_equal(image.height, SIZE);
	image.format = PNG_FORMAT_RGB;
	assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
	unlink(path);
}

static void assert_color(const uint8_t pixel[3], uint8_t r, uint8_t g, uint8_t b)
{
	const uint8_t expect[3] = {r, g, b};

	for (unsigned i = 0; i < 3; i++) {
		assert_in_range(pixel[i], MAX(expect[i], 3) - 3, MIN(expect[i], 252) + 3);
	}
}

static void test_2d_pixels(void **state)
{
	struct picture_client *client = start("2d");
	uint32_t *pixels = (uint32_t *)(void *)(client->ram + PICTURE_DATA);
	static uint8_t rgb[SIZE][SIZE][3];
	(void)state;

	for (uint32_t i = 0; i < SIZE * SIZE; i++) {
		pixels[i] = 0xff000000 | (i % SIZE) << 16 | (i / SIZE) << 8 | 0x40;
	}
	assert_int_equal(picture_client_create_2d(
					 client, 7, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, SIZE, SIZE),
			OK);
	assert_int_equal(picture_client_attach_backing(client, 7, PICTURE_DATA, SIZE * STRIDE), OK);
	assert_int_equal(picture_client_transfer_2d(client, 7, SIZE, SIZE), OK);
	assert_int_equal(picture_client_set_scanout(client, 0, 7, SIZE, SIZE), OK);
	assert_int_equal(picture_client_flush(client, 7, SIZE, SIZE), OK);
	dump(client, rgb);
	assert_color(rgb[0][0], 0, 0, 0x40);
	assert_color(rgb[10][200], 200, 10, 0x40);
	assert_color(rgb[255][1], 1, 255, 0x40);
	assert_int_equal(picture_client_stop(client), 0);
}

static void draw_triangle(struct picture_client *client, uint32_t ctx)
{
	static uint8_t rgb[SIZE][SIZE][3];

	assert_true(triangle_setup(client, ctx));
	assert_true(triangle_draw(client, ctx));
	assert_int_equal(picture_client_set_scanout(client, 0, TARGET, SIZE, SIZE), OK);
	assert_int_equal(picture_client_flush(client, TARGET, SIZE, SIZE), OK);
	dump(client, rgb);
	assert_color(rgb[2][2], 0, 0, 255);
	assert_color(rgb[253][2], 0, 0, 255);
	assert_color(rgb[240][128], 5, 250, 0);
	assert_true(rgb[20][128][0] > 220 && rgb[20][128][2] < 10);
	assert_color(rgb[20][100], 0, 0, 255); /* the triangle is narrow at its top */
}

static void test_stream_to_picture(void **state)
{
	struct picture_client *client = start("virgl");
	(void)state;

	draw_triangle(client, 1);
	assert_int_equal(picture_client_stop(client), 0);
}

static void test_read_back(void **state)
{
	struct picture_client *client = start("virgl");
	static uint32_t words[STREAM_WORDS];
	static const float color[4] = {0.0f, 1.0f, 0.0f, 1.0f};
	const uint32_t surface = SURFACE;
	struct gallium g;
	(void)state;

	assert_true(triangle_setup(client, 1));
	gallium_init(&g, words, STREAM_WORDS);
	gallium_create_surface(&g, SURFACE, TARGET, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_framebuffer(&g, &surface, 1, 0);
	gallium_clear(&g, VIRGL_CLEAR_COLOR0, color, 1.0);
	assert_int_equal(picture_client_submit(client, 1, words, g.count), OK);
	memset(client->ram + PICTURE_DATA, 0x55, SIZE * STRIDE);
	assert_int_equal(picture_client_transfer_3d(client, false, 1, TARGET, SIZE, SIZE, STRIDE),
			OK);
	for (uint32_t i = 0; i < SIZE * SIZE; i++) {
		uint32_t pixel;
		memcpy(&pixel, client->ram + PICTURE_DATA + i * 4, 4);
		assert_int_equal(pixel, 0xff00ff00);
	}
	assert_int_equal(picture_client_stop(client), 0);
}

static void test_reset_forgets_everything(void **state)
{
	struct picture_client *client = start("virgl");
	g_autoptr(GError) error = NULL;
	(void)state;

	draw_triangle(client, 1);
	assert_true(picture_client_reset(client, &error));
	assert_int_equal(picture_client_flush(client, TARGET, SIZE, SIZE),
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	draw_triangle(client, 1);
	assert_int_equal(picture_client_stop(client), 0);
}

/* A picture that dies in the middle is replaced: what it had taken is answered with an error. */
static void test_killed_and_replaced(void **state)
{
	struct picture_client *client = start("virgl");
	g_autoptr(GError) error = NULL;
	(void)state;

	draw_triangle(client, 1);
	kill(client->pid, SIGSTOP);
	const struct virtio_gpu_resource_flush request = {
			.hdr = {.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
					.flags = VIRTIO_GPU_FLAG_FENCE,
					.fence_id = 77},
			.resource_id = TARGET,
	};
	unsigned slot = picture_client_post(client, VIRTIO_GPU_QUEUE_CONTROL, &request,
			sizeof(request), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
	assert_true(picture_client_restart(client, &error));
	struct virtio_gpu_ctrl_hdr reply;
	assert_true(picture_client_wait(
			client, VIRTIO_GPU_QUEUE_CONTROL, slot, &reply, sizeof(reply), 10000));
	assert_in_range(reply.type, VIRTIO_GPU_RESP_ERR_UNSPEC,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(reply.flags, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(reply.fence_id, 77);
	draw_triangle(client, 1);
	assert_int_equal(picture_client_stop(client), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_2d_pixels),
			cmocka_unit_test(test_stream_to_picture),
			cmocka_unit_test(test_read_back),
			cmocka_unit_test(test_reset_forgets_everything),
			cmocka_unit_test(test_killed_and_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
