/* SPDX-License-Identifier: MIT */
/*
 * Gallium (virgl) command streams written by hand, word by word: enough to clear, to draw and to
 * texture. Freestanding; the words go wherever the caller keeps them. A stream that does not fit
 * says so at the end and is cut at a whole command.
 */
#ifndef GUEST_DRIVERS_BARE_GALLIUM_H
#define GUEST_DRIVERS_BARE_GALLIUM_H

#include "core/virtio/virgl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gallium {
	uint32_t *words;
	size_t count, capacity; /* words */
	bool overflow; /* something did not fit and is missing */
};

void gallium_init(struct gallium *g, uint32_t *words, size_t capacity);

void gallium_create_sub_ctx(struct gallium *g, uint32_t id);
void gallium_set_sub_ctx(struct gallium *g, uint32_t id);
void gallium_destroy_sub_ctx(struct gallium *g, uint32_t id);

/* Objects. Handles are the caller's to choose, never 0. */
void gallium_create_surface(struct gallium *g, uint32_t handle, uint32_t resource, uint32_t format);
void gallium_create_sampler_view(
		struct gallium *g, uint32_t handle, uint32_t resource, uint32_t format);
/* Nearest filter, clamped to the edge. */
void gallium_create_sampler_state(struct gallium *g, uint32_t handle);
/* All colour channels written, no blending. */
void gallium_create_blend(struct gallium *g, uint32_t handle);
void gallium_create_dsa(struct gallium *g, uint32_t handle, bool depth_test);
/* No culling; pixel centres at half coordinates as OpenGL has them. */
void gallium_create_rasterizer(struct gallium *g, uint32_t handle);
/* text is TGSI. */
void gallium_create_shader(struct gallium *g, uint32_t handle, enum virgl_shader_stage stage,
		const char *text);

struct gallium_vertex_element {
	uint32_t offset; /* bytes into the vertex */
	uint32_t buffer; /* slot of SET_VERTEX_BUFFERS */
	uint32_t format; /* enum virgl_format */
};
void gallium_create_vertex_elements(struct gallium *g, uint32_t handle,
		const struct gallium_vertex_element *elements, uint32_t count);
void gallium_destroy_object(struct gallium *g, enum virgl_object kind, uint32_t handle);

/* State. */
void gallium_bind_object(struct gallium *g, enum virgl_object kind, uint32_t handle);
void gallium_bind_shader(struct gallium *g, uint32_t handle, enum virgl_shader_stage stage);
void gallium_bind_sampler_state(struct gallium *g, enum virgl_shader_stage stage, uint32_t handle);
void gallium_set_sampler_view(struct gallium *g, enum virgl_shader_stage stage, uint32_t handle);
/* zsurface 0: none. */
void gallium_set_framebuffer(
		struct gallium *g, const uint32_t *surfaces, uint32_t count, uint32_t zsurface);
/*
 * The whole image, with the top of the scene in its first row, as scanouts show it. y_0_top: the
 * resource was created with that flag, so its first row is the last one in GL.
 */
void gallium_set_viewport(struct gallium *g, float width, float height, bool y_0_top);
void gallium_set_vertex_buffer(
		struct gallium *g, uint32_t resource, uint32_t stride, uint32_t offset);
void gallium_set_constants(struct gallium *g, enum virgl_shader_stage stage, const float *values,
		uint32_t count);

/* Work. */
void gallium_clear(struct gallium *g, uint32_t buffers /* enum virgl_clear */, const float color[4],
		double depth);
/* Writes len bytes (rounded up to whole words) into a buffer resource at offset. */
void gallium_write_buffer(struct gallium *g, uint32_t resource, uint32_t offset, const void *data,
		uint32_t len);

enum gallium_primitive {
	GALLIUM_POINTS,
	GALLIUM_LINES,
	GALLIUM_TRIANGLES = 4,
	GALLIUM_TRIANGLE_STRIP = 5,
	GALLIUM_TRIANGLE_FAN = 6,
};
void gallium_draw(struct gallium *g, enum gallium_primitive primitive, uint32_t first,
		uint32_t count);

#endif
