/* SPDX-License-Identifier: MIT */
/*
 * The whole picture process, driven as a machine drives it: streams to pictures, crashes to restarts.
 */
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"
#include "guest-drivers/bare/gallium.h"
#include "tests/harness/picture_client.h"

#include <png.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SIZE 256u
#define STRIDE (SIZE * 4)
#define OK VIRTIO_GPU_RESP_OK_NODATA
#define STREAM_WORDS 8192

enum { TARGET = 1, VERTICES = 2 };
enum { SURFACE = 1, BLEND, DSA, RASTERIZER, VERTEX_SHADER, FRAGMENT_SHADER, ELEMENTS };

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

static const char vertex_shader[] = "VERT\n"
				    "DCL IN[0]\n"
				    "DCL IN[1]\n"
				    "DCL OUT[0], POSITION\n"
				    "DCL OUT[1], GENERIC[0]\n"
				    "  0: MOV OUT[0], IN[0]\n"
				    "  1: MOV OUT[1], IN[1]\n"
				    "  2: END\n";
static const char fragment_shader[] = "FRAG\n"
				      "DCL IN[0], GENERIC[0], PERSPECTIVE\n"
				      "DCL OUT[0], COLOR\n"
				      "  0: MOV OUT[0], IN[0]\n"
				      "  1: END\n";

/* A blue picture with a triangle in it: red at the top, green below on both sides. */
static void encode_triangle(struct gallium *g)
{
	static const struct gallium_vertex_element elements[] = {
			{0, 0, VIRGL_FORMAT_R32G32B32A32_FLOAT},
			{16, 0, VIRGL_FORMAT_R32G32B32A32_FLOAT},
	};
	static const float vertices[3][8] = {
			{0.0f, 0.9f, 0.0f, 1.0f, 1.0f, 0.0f, 0.0f, 1.0f},
			{-0.9f, -0.9f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 1.0f},
			{0.9f, -0.9f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 1.0f},
	};
	static const float blue[4] = {0, 0, 1, 1};
	const uint32_t surface = SURFACE;

	gallium_create_surface(g, SURFACE, TARGET, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_framebuffer(g, &surface, 1, 0);
	gallium_set_viewport(g, SIZE, SIZE, false);
	gallium_create_blend(g, BLEND);
	gallium_bind_object(g, VIRGL_OBJECT_BLEND, BLEND);
	gallium_create_dsa(g, DSA, false);
	gallium_bind_object(g, VIRGL_OBJECT_DSA, DSA);
	gallium_create_rasterizer(g, RASTERIZER);
	gallium_bind_object(g, VIRGL_OBJECT_RASTERIZER, RASTERIZER);
	gallium_create_shader(g, VERTEX_SHADER, VIRGL_SHADER_VERTEX, vertex_shader);
	gallium_bind_shader(g, VERTEX_SHADER, VIRGL_SHADER_VERTEX);
	gallium_create_shader(g, FRAGMENT_SHADER, VIRGL_SHADER_FRAGMENT, fragment_shader);
	gallium_bind_shader(g, FRAGMENT_SHADER, VIRGL_SHADER_FRAGMENT);
	gallium_create_vertex_elements(g, ELEMENTS, elements, G_N_ELEMENTS(elements));
	gallium_bind_object(g, VIRGL_OBJECT_VERTEX_ELEMENTS, ELEMENTS);
	gallium_write_buffer(g, VERTICES, 0, vertices, sizeof(vertices));
	gallium_set_vertex_buffer(g, VERTICES, sizeof(vertices[0]), 0);
	gallium_clear(g, VIRGL_CLEAR_COLOR0, blue, 1.0);
	gallium_draw(g, GALLIUM_TRIANGLES, 0, 3);
	assert_false(g->overflow);
}

static void setup_3d(struct picture_client *client, uint32_t ctx)
{
	assert_int_equal(picture_client_context(client, ctx), OK);
	assert_int_equal(picture_client_create_3d(client, ctx, TARGET, 2,
					 VIRGL_FORMAT_B8G8R8A8_UNORM,
					 VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SCANOUT, SIZE, SIZE),
			OK);
	assert_int_equal(picture_client_create_3d(client, ctx, VERTICES, 0, VIRGL_FORMAT_R8_UNORM,
					 VIRGL_BIND_VERTEX_BUFFER, 4096, 1),
			OK);
	assert_int_equal(picture_client_ctx_attach(client, ctx, TARGET), OK);
	assert_int_equal(picture_client_ctx_attach(client, ctx, VERTICES), OK);
	assert_int_equal(picture_client_attach_backing(client, TARGET, PICTURE_DATA, SIZE * STRIDE),
			OK);
}

static void draw_triangle(struct picture_client *client, uint32_t ctx)
{
	static uint32_t words[STREAM_WORDS];
	static uint8_t rgb[SIZE][SIZE][3];
	struct gallium g;

	setup_3d(client, ctx);
	gallium_init(&g, words, STREAM_WORDS);
	encode_triangle(&g);
	assert_int_equal(picture_client_submit(client, ctx, words, g.count), OK);
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

	setup_3d(client, 1);
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
