/* SPDX-License-Identifier: MIT */
#include "guest-drivers/bare/gallium.h"

#define MAX_PAYLOAD 0xffffu /* words that a header can announce */

/* Freestanding: no libc to lean on. */
static void copy_bytes(void *to, const void *from, size_t len)
{
	uint8_t *restrict t = to;
	const uint8_t *restrict f = from;

	for (size_t i = 0; i < len; i++) {
		t[i] = f[i];
	}
}

static uint32_t float_bits(float value)
{
	uint32_t bits;

	copy_bytes(&bits, &value, sizeof(bits));
	return bits;
}

/*
 * Begins a command of len payload words; NULL if it does not fit. The words are the caller's to
 * fill.
 */
static uint32_t *begin(struct gallium *g, unsigned command, unsigned object, size_t len)
{
	if (g->overflow || len > MAX_PAYLOAD || g->capacity - g->count < len + 1) {
		g->overflow = true;
		return NULL;
	}
	uint32_t *words = g->words + g->count;
	words[0] = VIRGL_HEADER(command, object, len);
	g->count += len + 1;
	return words + 1;
}

static void emit(struct gallium *g, unsigned command, unsigned object, const uint32_t *payload,
		size_t len)
{
	uint32_t *words = begin(g, command, object, len);

	if (words) {
		copy_bytes(words, payload, len * sizeof(*payload));
	}
}

static void emit1(struct gallium *g, unsigned command, unsigned object, uint32_t word)
{
	emit(g, command, object, &word, 1);
}

void gallium_init(struct gallium *g, uint32_t *words, size_t capacity)
{
	g->words = words;
	g->count = 0;
	g->capacity = capacity;
	g->overflow = false;
}

void gallium_create_sub_ctx(struct gallium *g, uint32_t id)
{
	emit1(g, VIRGL_CREATE_SUB_CTX, 0, id);
}

void gallium_set_sub_ctx(struct gallium *g, uint32_t id)
{
	emit1(g, VIRGL_SET_SUB_CTX, 0, id);
}

void gallium_destroy_sub_ctx(struct gallium *g, uint32_t id)
{
	emit1(g, VIRGL_DESTROY_SUB_CTX, 0, id);
}

void gallium_create_surface(struct gallium *g, uint32_t handle, uint32_t resource, uint32_t format)
{
	const uint32_t payload[] = {handle, resource, format, 0 /* level */, 0 /* layers */};

	emit(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, payload, 5);
}

void gallium_create_sampler_view(
		struct gallium *g, uint32_t handle, uint32_t resource, uint32_t format)
{
	const uint32_t swizzle = 0 | 1 << 3 | 2 << 6 |
				 3 << 9; /* red, green, blue, alpha as they are */
	const uint32_t target = (uint32_t)VIRGL_TARGET_2D << 24;
	const uint32_t payload[] = {handle, resource, format | target, 0, 0, swizzle};

	emit(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SAMPLER_VIEW, payload, 6);
}

void gallium_create_sampler_state(struct gallium *g, uint32_t handle)
{
	const uint32_t clamp_to_edge = 2, no_mip = 2;
	const uint32_t state = clamp_to_edge | clamp_to_edge << 3 | clamp_to_edge << 6 |
			       no_mip << 11;
	const uint32_t payload[9] = {handle, state};

	emit(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SAMPLER_STATE, payload, 9);
}

void gallium_create_blend(struct gallium *g, uint32_t handle)
{
	uint32_t payload[3 + VIRGL_MAX_COLOR_BUFFERS] = {handle};

	for (unsigned i = 0; i < VIRGL_MAX_COLOR_BUFFERS; i++) {
		payload[3 + i] = 0xfu << 27; /* all channels */
	}
	emit(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_BLEND, payload, sizeof(payload) / 4);
}

void gallium_create_dsa(struct gallium *g, uint32_t handle, bool depth_test)
{
	const uint32_t less = 1;
	const uint32_t payload[5] = {handle, depth_test ? 1 | 1 << 1 | less << 2 : 0};

	emit(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_DSA, payload, 5);
}

void gallium_create_rasterizer(struct gallium *g, uint32_t handle)
{
	const uint32_t depth_clip = 1u << 1, half_pixel_center = 1u << 29,
		       bottom_edge_rule = 1u << 30;
	uint32_t payload[9] = {handle, depth_clip | half_pixel_center | bottom_edge_rule};

	payload[2] = float_bits(1.0f); /* point size */
	payload[5] = float_bits(1.0f); /* line width */
	emit(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_RASTERIZER, payload, 9);
}

void gallium_create_shader(
		struct gallium *g, uint32_t handle, enum virgl_shader_stage stage, const char *text)
{
	size_t len = 0;

	while (text[len] != '\0') {
		len++;
	}
	len++; /* the renderer wants the terminator */

	const size_t text_words = (len + 3) / 4;
	uint32_t *words = begin(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + text_words);
	if (!words) {
		return;
	}
	words[0] = handle;
	words[1] = stage;
	words[2] = (uint32_t)len;
	words[3] = (uint32_t)len; /* tokens: no text has more than characters */
	words[4] = 0; /* stream outputs */
	words[4 + text_words] = 0;
	copy_bytes(words + 5, text, len);
}

void gallium_create_vertex_elements(struct gallium *g, uint32_t handle,
		const struct gallium_vertex_element *elements, uint32_t count)
{
	uint32_t *words = begin(g, VIRGL_CREATE_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS,
			1 + (size_t)count * 4);

	if (!words) {
		return;
	}
	*words++ = handle;
	for (uint32_t i = 0; i < count; i++) {
		*words++ = elements[i].offset;
		*words++ = 0; /* per vertex, not per instance */
		*words++ = elements[i].buffer;
		*words++ = elements[i].format;
	}
}

void gallium_destroy_object(struct gallium *g, enum virgl_object kind, uint32_t handle)
{
	emit1(g, VIRGL_DESTROY_OBJECT, kind, handle);
}

void gallium_bind_object(struct gallium *g, enum virgl_object kind, uint32_t handle)
{
	emit1(g, VIRGL_BIND_OBJECT, kind, handle);
}

void gallium_bind_shader(struct gallium *g, uint32_t handle, enum virgl_shader_stage stage)
{
	const uint32_t payload[] = {handle, stage};

	emit(g, VIRGL_BIND_SHADER, 0, payload, 2);
}

void gallium_bind_sampler_state(struct gallium *g, enum virgl_shader_stage stage, uint32_t handle)
{
	const uint32_t payload[] = {stage, 0 /* first slot */, handle};

	emit(g, VIRGL_BIND_SAMPLER_STATES, 0, payload, 3);
}

void gallium_set_sampler_view(struct gallium *g, enum virgl_shader_stage stage, uint32_t handle)
{
	const uint32_t payload[] = {stage, 0 /* first slot */, handle};

	emit(g, VIRGL_SET_SAMPLER_VIEWS, 0, payload, 3);
}

void gallium_set_framebuffer(
		struct gallium *g, const uint32_t *surfaces, uint32_t count, uint32_t zsurface)
{
	uint32_t *words = begin(g, VIRGL_SET_FRAMEBUFFER_STATE, 0, 2 + (size_t)count);

	if (words) {
		words[0] = count;
		words[1] = zsurface;
		copy_bytes(words + 2, surfaces, count * sizeof(*surfaces));
	}
}

void gallium_set_viewport(struct gallium *g, float width, float height, bool y_0_top)
{
	const uint32_t payload[] = {
			0, /* first viewport */
			float_bits(width / 2),
			float_bits(y_0_top ? height / 2 : -height / 2),
			float_bits(0.5f),
			float_bits(width / 2),
			float_bits(height / 2),
			float_bits(0.5f),
	};

	emit(g, VIRGL_SET_VIEWPORT_STATE, 0, payload, 7);
}

void gallium_set_vertex_buffer(
		struct gallium *g, uint32_t resource, uint32_t stride, uint32_t offset)
{
	const uint32_t payload[] = {stride, offset, resource};

	emit(g, VIRGL_SET_VERTEX_BUFFERS, 0, payload, 3);
}

void gallium_set_constants(struct gallium *g, enum virgl_shader_stage stage, const float *values,
		uint32_t count)
{
	uint32_t *words = begin(g, VIRGL_SET_CONSTANT_BUFFER, 0, 2 + (size_t)count);

	if (words) {
		words[0] = stage;
		words[1] = 0; /* buffer 0 is the one that is sent in line */
		copy_bytes(words + 2, values, count * sizeof(*values));
	}
}

void gallium_clear(struct gallium *g, uint32_t buffers, const float color[4], double depth)
{
	uint32_t payload[8] = {buffers};

	for (unsigned i = 0; i < 4; i++) {
		payload[1 + i] = float_bits(color[i]);
	}
	copy_bytes(payload + 5, &depth, sizeof(depth));
	emit(g, VIRGL_CLEAR, 0, payload, 8);
}

void gallium_write_buffer(struct gallium *g, uint32_t resource, uint32_t offset, const void *data,
		uint32_t len)
{
	const size_t data_words = ((size_t)len + 3) / 4;
	uint32_t *words = begin(g, VIRGL_RESOURCE_INLINE_WRITE, 0, 11 + data_words);

	if (!words) {
		return;
	}
	/* resource, level, usage, stride, layer stride, then the box */
	const uint32_t header[11] = {resource, 0, 0, 0, 0, offset, 0, 0, len, 1, 1};
	copy_bytes(words, header, sizeof(header));
	if (data_words > 0) {
		words[10 + data_words] = 0;
	}
	copy_bytes(words + 11, data, len);
}

void gallium_draw(
		struct gallium *g, enum gallium_primitive primitive, uint32_t first, uint32_t count)
{
	const uint32_t payload[12] = {
			[0] = first,
			[1] = count,
			[2] = primitive,
			[4] = 1, /* instances */
			[9] = 0, /* lowest and */
			[10] = 0xffffffffu, /* highest index */
	};

	emit(g, VIRGL_DRAW_VBO, 0, payload, 12);
}
