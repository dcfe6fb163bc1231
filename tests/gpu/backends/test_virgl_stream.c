/* SPDX-License-Identifier: MIT */
/* Streams written by hand, rendered, read back and compared. */
#include "tests/gpu/backends/virgl_fixture.h"
#include "tests/harness/test.h"

#include <stdlib.h>
#include <string.h>

#define SIZE 64u
#define WORDS 4096

enum { TARGET = 10, VERTICES = 11, TEXTURE = 12 };

enum {
	SURFACE = 1,
	BLEND,
	DSA,
	RASTERIZER,
	VERTEX_SHADER,
	FRAGMENT_SHADER,
	ELEMENTS,
	VIEW,
	SAMPLER,
};

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
				      "DCL SAMP[0]\n"
				      "DCL SVIEW[0], 2D, FLOAT\n"
				      "  0: TEX OUT[0], IN[0], SAMP[0], 2D\n"
				      "  1: END\n";

static const uint32_t red = 0xffff0000, green = 0xff00ff00, blue = 0xff0000ff, white = 0xffffffff;

static void set_target(struct gallium *g, bool y_0_top)
{
	const uint32_t surface = SURFACE;

	gallium_create_surface(g, SURFACE, TARGET, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_framebuffer(g, &surface, 1, 0);
	gallium_set_viewport(g, SIZE, SIZE, y_0_top);
}

static void set_pipeline(struct gallium *g)
{
	static const struct gallium_vertex_element elements[] = {
			{0, 0, VIRGL_FORMAT_R32G32B32A32_FLOAT},
			{16, 0, VIRGL_FORMAT_R32G32_FLOAT},
	};

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
	gallium_create_sampler_view(g, VIEW, TEXTURE, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_sampler_view(g, VIRGL_SHADER_FRAGMENT, VIEW);
	gallium_create_sampler_state(g, SAMPLER);
	gallium_bind_sampler_state(g, VIRGL_SHADER_FRAGMENT, SAMPLER);
}

/* 2x2 texels: red, green; blue, white. */
static void fill_texture(struct virgl_fixture *fixture)
{
	uint32_t texels[4] = {red, green, blue, white};
	struct iovec iov = {texels, sizeof(texels)};
	const struct gpu_transfer transfer = {
			.resource_id = TEXTURE,
			.box = {0, 0, 0, 2, 2, 1},
			.stride = 8,
	};

	virgl_fixture_texture(fixture, TEXTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, 2, 2, 0);
	assert_int_equal(gpu_backend_virgl.backing_attach(fixture->backend, TEXTURE, &iov, 1), 0);
	assert_int_equal(gpu_backend_virgl.transfer_to_host(fixture->backend, &transfer), 0);
	gpu_backend_virgl.backing_detach(fixture->backend, TEXTURE);
}

static uint32_t pixel_at(const uint32_t *pixels, unsigned x, unsigned y)
{
	return pixels[y * SIZE + x];
}

static void assert_near(uint32_t pixel, uint32_t expected, const char *where)
{
	for (unsigned shift = 0; shift < 32; shift += 8) {
		int a = (pixel >> shift) & 0xff, b = (expected >> shift) & 0xff;
		if (abs(a - b) > 2) {
			fail_msg("%s: %08x, expected %08x", where, pixel, expected);
		}
	}
}

static void clear_fills_the_target(void **state)
{
	struct virgl_fixture *fixture = *state;
	const float color[4] = {1.0f, 0.5f, 0.25f, 1.0f};
	uint32_t words[WORDS];
	struct gallium g;
	enum pixel_format format;

	virgl_fixture_texture(fixture, TARGET, VIRGL_FORMAT_B8G8R8A8_UNORM, SIZE, SIZE, 0);
	gallium_init(&g, words, WORDS);
	set_target(&g, false);
	gallium_clear(&g, VIRGL_CLEAR_COLOR0, color, 1.0);
	assert_int_equal(virgl_fixture_submit(fixture, &g), 0);

	g_autofree uint32_t *pixels = virgl_fixture_read(fixture, TARGET, SIZE, SIZE, &format);
	virgl_fixture_png("virgl-clear", format, SIZE, SIZE, pixels);
	assert_int_equal(format, PIXEL_BGRA);
	for (unsigned i = 0; i < SIZE * SIZE; i++) {
		assert_near(pixels[i], 0xffff8040, "cleared pixel");
	}
}

/*
 * A triangle with corners at the top left, top right and bottom left of the picture, so the other
 * half keeps the background. The texture's four texels fall on its four quadrants, red at the top
 * left.
 */
static void draw_triangle(struct virgl_fixture *fixture, uint32_t flags)
{
	static const float vertices[3][6] = {
			{-1, 1, 0, 1, 0, 0},
			{1, 1, 0, 1, 1, 0},
			{-1, -1, 0, 1, 0, 1},
	};
	const float grey[4] = {0.2f, 0.2f, 0.2f, 1.0f};
	uint32_t words[WORDS];
	struct gallium g;

	virgl_fixture_texture(fixture, TARGET, VIRGL_FORMAT_B8G8R8A8_UNORM, SIZE, SIZE, flags);
	virgl_fixture_buffer(fixture, VERTICES, sizeof(vertices));
	fill_texture(fixture);
	gallium_init(&g, words, WORDS);
	gallium_create_sub_ctx(&g, 1);
	gallium_set_sub_ctx(&g, 1);
	set_target(&g, flags & VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP);
	set_pipeline(&g);
	gallium_write_buffer(&g, VERTICES, 0, vertices, sizeof(vertices));
	gallium_set_vertex_buffer(&g, VERTICES, sizeof(vertices[0]), 0);
	gallium_clear(&g, VIRGL_CLEAR_COLOR0, grey, 1.0);
	gallium_draw(&g, GALLIUM_TRIANGLES, 0, 3);
	assert_int_equal(virgl_fixture_submit(fixture, &g), 0);
}

static void check_triangle(struct virgl_fixture *fixture, const char *name)
{
	enum pixel_format format;
	g_autofree uint32_t *pixels = virgl_fixture_read(fixture, TARGET, SIZE, SIZE, &format);

	virgl_fixture_png(name, format, SIZE, SIZE, pixels);
	assert_near(pixel_at(pixels, 4, 4), red, "top left");
	assert_near(pixel_at(pixels, 50, 4), green, "top right");
	assert_near(pixel_at(pixels, 4, 50), blue, "bottom left");
	assert_near(pixel_at(pixels, 60, 60), 0xff333333, "background");
	assert_near(pixel_at(pixels, 34, 40), 0xff333333, "just beyond the edge");
	assert_near(pixel_at(pixels, 28, 28), red, "just inside the edge");
}

static void triangle_is_textured(void **state)
{
	draw_triangle(*state, 0);
	check_triangle(*state, "virgl-triangle");
}

/* The flag changes how the texture lies in GL, never what the guest sees. */
static void triangle_is_the_same_with_y_0_top(void **state)
{
	draw_triangle(*state, VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP);
	check_triangle(*state, "virgl-triangle-y0top");
}

static void part_of_a_picture_can_be_read(void **state)
{
	struct virgl_fixture *fixture = *state;
	const struct rect corner = {40, 2, 3, 2};
	uint32_t pixels[2 * 8];
	enum pixel_format format;

	draw_triangle(fixture, 0);
	memset(pixels, 0, sizeof(pixels));
	assert_int_equal(gpu_backend_virgl.read_pixels(
					 fixture->backend, TARGET, &corner, pixels, 8 * 4, &format),
			0);
	for (unsigned i = 0; i < 16; i++) {
		assert_near(pixels[i], i % 8 < 3 ? green : 0, "corner");
	}
}

#define STREAM_TEST(name) \
	cmocka_unit_test_setup_teardown(name, virgl_fixture_setup, virgl_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			STREAM_TEST(clear_fills_the_target),
			STREAM_TEST(triangle_is_textured),
			STREAM_TEST(triangle_is_the_same_with_y_0_top),
			STREAM_TEST(part_of_a_picture_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
