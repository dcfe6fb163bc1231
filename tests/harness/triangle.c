/* SPDX-License-Identifier: MIT */
#include "tests/harness/triangle.h"

#include "core/virtio/virgl.h"

#include <stdlib.h>
#include <string.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define STREAM_WORDS 1024

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

void triangle_encode(struct gallium *g)
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
	const uint32_t surface = TRIANGLE_SURFACE;

	gallium_create_surface(g, TRIANGLE_SURFACE, TRIANGLE_TARGET, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_framebuffer(g, &surface, 1, 0);
	gallium_set_viewport(g, TRIANGLE_SIZE, TRIANGLE_SIZE, false);
	gallium_create_blend(g, TRIANGLE_BLEND);
	gallium_bind_object(g, VIRGL_OBJECT_BLEND, TRIANGLE_BLEND);
	gallium_create_dsa(g, TRIANGLE_DSA, false);
	gallium_bind_object(g, VIRGL_OBJECT_DSA, TRIANGLE_DSA);
	gallium_create_rasterizer(g, TRIANGLE_RASTERIZER);
	gallium_bind_object(g, VIRGL_OBJECT_RASTERIZER, TRIANGLE_RASTERIZER);
	gallium_create_shader(g, TRIANGLE_VERTEX_SHADER, VIRGL_SHADER_VERTEX, vertex_shader);
	gallium_bind_shader(g, TRIANGLE_VERTEX_SHADER, VIRGL_SHADER_VERTEX);
	gallium_create_shader(g, TRIANGLE_FRAGMENT_SHADER, VIRGL_SHADER_FRAGMENT, fragment_shader);
	gallium_bind_shader(g, TRIANGLE_FRAGMENT_SHADER, VIRGL_SHADER_FRAGMENT);
	gallium_create_vertex_elements(g, TRIANGLE_ELEMENTS, elements, G_N_ELEMENTS(elements));
	gallium_bind_object(g, VIRGL_OBJECT_VERTEX_ELEMENTS, TRIANGLE_ELEMENTS);
	gallium_write_buffer(g, TRIANGLE_VERTICES, 0, vertices, sizeof(vertices));
	gallium_set_vertex_buffer(g, TRIANGLE_VERTICES, sizeof(vertices[0]), 0);
	gallium_clear(g, VIRGL_CLEAR_COLOR0, blue, 1.0);
	gallium_draw(g, GALLIUM_TRIANGLES, 0, 3);
	assert(!g->overflow);
}

bool triangle_setup(struct picture_client *client, uint32_t ctx)
{
	return picture_client_context(client, ctx) == OK &&
	       picture_client_create_3d(client, ctx, TRIANGLE_TARGET, VIRGL_TARGET_2D,
			       VIRGL_FORMAT_B8G8R8A8_UNORM,
			       VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SCANOUT, TRIANGLE_SIZE,
			       TRIANGLE_SIZE) == OK &&
	       picture_client_create_3d(client, ctx, TRIANGLE_VERTICES, VIRGL_TARGET_BUFFER,
			       VIRGL_FORMAT_R8_UNORM, VIRGL_BIND_VERTEX_BUFFER, 4096, 1) == OK &&
	       picture_client_ctx_attach(client, ctx, TRIANGLE_TARGET) == OK &&
	       picture_client_ctx_attach(client, ctx, TRIANGLE_VERTICES) == OK &&
	       picture_client_attach_backing(client, TRIANGLE_TARGET, PICTURE_DATA,
			       TRIANGLE_SIZE * TRIANGLE_STRIDE) == OK;
}

bool triangle_draw(struct picture_client *client, uint32_t ctx)
{
	uint32_t words[STREAM_WORDS];
	struct gallium g;

	gallium_init(&g, words, STREAM_WORDS);
	triangle_encode(&g);
	return picture_client_submit(client, ctx, words, g.count) == OK;
}

static bool is_color(struct picture_client *client, uint32_t x, uint32_t y, uint8_t r, uint8_t g,
		uint8_t b)
{
	const uint8_t *pixel = client->ram + PICTURE_DATA + y * TRIANGLE_STRIDE + x * 4;

	return abs(pixel[0] - b) <= 3 && abs(pixel[1] - g) <= 3 && abs(pixel[2] - r) <= 3;
}

bool triangle_is_right(struct picture_client *client, uint32_t ctx)
{
	memset(client->ram + PICTURE_DATA, 0x55, TRIANGLE_SIZE * TRIANGLE_STRIDE);
	return picture_client_transfer_3d(client, false, ctx, TRIANGLE_TARGET, TRIANGLE_SIZE,
			       TRIANGLE_SIZE, TRIANGLE_STRIDE) == OK &&
	       is_color(client, 2, 2, 0, 0, 255) && is_color(client, 2, 253, 0, 0, 255) &&
	       is_color(client, 128, 240, 5, 250, 0) &&
	       is_color(client, 100, 20, 0, 0, 255); /* it is narrow at its top */
}

static uint32_t unref(struct picture_client *client, uint32_t id)
{
	const struct virtio_gpu_resource_cmd request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF, .resource_id = id};

	return picture_client_call(client, VIRTIO_GPU_QUEUE_CONTROL, &request, sizeof(request),
			NULL, 0, NULL, 0);
}

bool triangle_teardown(struct picture_client *client, uint32_t ctx)
{
	const struct virtio_gpu_ctrl_hdr request = {
			.type = VIRTIO_GPU_CMD_CTX_DESTROY, .ctx_id = ctx};

	return picture_client_call(client, VIRTIO_GPU_QUEUE_CONTROL, &request, sizeof(request),
			       NULL, 0, NULL, 0) == OK &&
	       unref(client, TRIANGLE_TARGET) == OK && unref(client, TRIANGLE_VERTICES) == OK;
}
