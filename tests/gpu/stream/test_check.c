/* SPDX-License-Identifier: MIT */
#include "gpu/stream/check.h"
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"
#include "guest-drivers/bare/gallium.h"

#include <string.h>

#define WORDS 4096

static const struct stream_limits limits = {.shader_bytes = 1024, .sub_contexts = 3, .objects = 8};

static const char shader[] =
		"VERT\nDCL IN[0]\nDCL OUT[0], POSITION\n  0: MOV OUT[0], IN[0]\n  1: END\n";

enum { TEXTURE = 100, BUFFER, CUSTOM, VOLUME, QUERIES, RESOURCE_COUNT = 5 };

/* Ids from TEXTURE on. */
struct resources {
	struct stream_resources base;
	struct stream_resource resources[RESOURCE_COUNT];
	int holds[RESOURCE_COUNT];
};

struct fixture {
	struct resources resources;
	struct stream_checker *checker;
	uint32_t words[WORDS];
	struct gallium g;
};

static struct stream_resource *handle_find(struct stream_resources *base, uint32_t id)
{
	struct resources *resources = container_of(base, struct resources, base);

	return id >= TEXTURE && id < TEXTURE + RESOURCE_COUNT ? &resources->resources[id - TEXTURE]
							      : NULL;
}

static void handle_hold(struct stream_resources *base, struct stream_resource *resource)
{
	struct resources *resources = container_of(base, struct resources, base);

	resources->holds[resource - resources->resources]++;
}

static void handle_release(struct stream_resources *base, struct stream_resource *resource)
{
	struct resources *resources = container_of(base, struct resources, base);

	resources->holds[resource - resources->resources]--;
}

static void init_resources(struct resources *resources)
{
	static const struct stream_resource all[RESOURCE_COUNT] = {
			{.target = VIRGL_TARGET_2D,
					.bind = VIRGL_BIND_RENDER_TARGET,
					.width = 64,
					.height = 32,
					.depth = 1,
					.array_size = 1,
					.last_level = 2},
			{.target = VIRGL_TARGET_BUFFER,
					.bind = VIRGL_BIND_VERTEX_BUFFER,
					.width = 256},
			{.target = VIRGL_TARGET_BUFFER, .bind = VIRGL_BIND_CUSTOM, .width = 256},
			{.target = VIRGL_TARGET_3D,
					.bind = VIRGL_BIND_SAMPLER_VIEW,
					.width = 8,
					.height = 8,
					.depth = 4},
			{.target = VIRGL_TARGET_BUFFER,
					.bind = VIRGL_BIND_QUERY_BUFFER,
					.width = 256},
	};

	*resources = (struct resources){.base = {handle_find, handle_hold, handle_release}};
	memcpy(resources->resources, all, sizeof(all));
}

static int setup(void **state)
{
	struct fixture *fixture = g_new0(struct fixture, 1);

	init_resources(&fixture->resources);
	fixture->checker = stream_checker_create(&limits, &fixture->resources.base);
	gallium_init(&fixture->g, fixture->words, WORDS);
	*state = fixture;
	return 0;
}

/* Whatever a test did, nothing is held once the context is gone. */
static int teardown(void **state)
{
	struct fixture *fixture = *state;

	stream_checker_destroy(fixture->checker);
	for (unsigned i = 0; i < RESOURCE_COUNT; i++) {
		assert_int_equal(fixture->resources.holds[i], 0);
	}
	g_free(fixture);
	return 0;
}

/* Checks what was written since the last time. */
static struct stream_report check(struct fixture *fixture)
{
	struct stream_report report;
	bool good = stream_check(fixture->checker, fixture->words, fixture->g.count, &report);

	assert_int_equal(good, report.reason == NULL);
	if (good) {
		assert_int_equal(report.word, fixture->g.count);
	}
	gallium_init(&fixture->g, fixture->words, WORDS);
	return report;
}

static void assert_good(struct fixture *fixture)
{
	struct stream_report report = check(fixture);

	if (report.reason) {
		fail_msg("%s: %s", report.command, report.reason);
	}
}

static void assert_bad(struct fixture *fixture, const char *reason)
{
	struct stream_report report = check(fixture);

	assert_non_null(report.reason);
	assert_string_equal(report.reason, reason);
}

static void put(struct fixture *fixture, const uint32_t *words, size_t count)
{
	memcpy(fixture->words + fixture->g.count, words, count * sizeof(*words));
	fixture->g.count += count;
}

static void empty_stream_is_good(void **state)
{
	assert_good(*state);
}

static void whole_scene_is_good(void **state)
{
	static const struct gallium_vertex_element element = {
			0, 0, VIRGL_FORMAT_R32G32B32A32_FLOAT};
	const uint32_t surface = 1;
	const float color[4] = {0};
	struct fixture *fixture = *state;
	struct gallium *g = &fixture->g;

	gallium_create_sub_ctx(g, 1);
	gallium_set_sub_ctx(g, 1);
	gallium_create_surface(g, surface, TEXTURE, 1);
	gallium_set_framebuffer(g, &surface, 1, 0);
	gallium_set_viewport(g, 16, 16, false);
	gallium_create_shader(g, 2, VIRGL_SHADER_VERTEX, shader);
	gallium_bind_shader(g, 2, VIRGL_SHADER_VERTEX);
	gallium_create_vertex_elements(g, 3, &element, 1);
	gallium_bind_object(g, VIRGL_OBJECT_VERTEX_ELEMENTS, 3);
	gallium_set_vertex_buffer(g, BUFFER, 16, 0);
	gallium_write_buffer(g, BUFFER, 0, color, sizeof(color));
	gallium_clear(g, VIRGL_CLEAR_COLOR0, color, 1.0);
	gallium_draw(g, GALLIUM_TRIANGLES, 0, 3);
	struct stream_report report = check(fixture);
	assert_null(report.reason);
	assert_int_equal(report.created_sub_contexts, 1);
}

/* One bad command each; the numbers are its words. */
static const struct {
	const char *name;
	uint32_t words[24];
	size_t count;
	const char *reason;
} bad_commands[] = {
		{"unknown", {VIRGL_HEADER(VIRGL_COMMAND_COUNT, 0, 0)}, 1, "no such command"},
		{"beyond the end", {VIRGL_HEADER(VIRGL_CLEAR, 0, 8)}, 4,
				"command longer than the stream"},
		{"longest at the end", {VIRGL_HEADER(VIRGL_NOP, 0, 0xffff)}, 1,
				"command longer than the stream"},
		{"short clear", {VIRGL_HEADER(VIRGL_CLEAR, 0, 7)}, 8,
				"command of the wrong length"},
		{"odd vertex buffers", {VIRGL_HEADER(VIRGL_SET_VERTEX_BUFFERS, 0, 4)}, 5,
				"command of the wrong length"},
		{"object without a handle",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_BLEND, 0)}, 1,
				"command of the wrong length"},
		{"object 0", {VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_DSA, 5), 0}, 6,
				"object 0 is none"},
		{"unknown kind", {VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_COUNT, 5), 1}, 6,
				"no such kind of object"},
		{"blend of the wrong size",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_BLEND, 5), 1}, 6,
				"object of the wrong size"},
		{"unbindable", {VIRGL_HEADER(VIRGL_BIND_OBJECT, VIRGL_OBJECT_QUERY, 1), 1}, 2,
				"this kind of object cannot be bound"},
		{"unknown blend", {VIRGL_HEADER(VIRGL_BIND_OBJECT, VIRGL_OBJECT_BLEND, 1), 1}, 2,
				"no such object to bind"},
		{"17 viewports from 1", {VIRGL_HEADER(VIRGL_SET_VIEWPORT_STATE, 0, 7), 16}, 8,
				"viewport out of range"},
		{"nine colour buffers", {VIRGL_HEADER(VIRGL_SET_FRAMEBUFFER_STATE, 0, 2), 9}, 3,
				"wrong number of colour buffers"},
		{"unknown surface", {VIRGL_HEADER(VIRGL_SET_FRAMEBUFFER_STATE, 0, 3), 1, 0, 7}, 4,
				"no such surface"},
		{"unknown query", {VIRGL_HEADER(VIRGL_BEGIN_QUERY, 0, 1), 7}, 2, "no such query"},
		{"unknown sub-context", {VIRGL_HEADER(VIRGL_SET_SUB_CTX, 0, 1), 7}, 2,
				"no such sub-context"},
		{"sub-context 0 stays", {VIRGL_HEADER(VIRGL_DESTROY_SUB_CTX, 0, 1), 0}, 2,
				"no such sub-context to destroy"},
		{"seventh stage", {VIRGL_HEADER(VIRGL_SET_CONSTANT_BUFFER, 0, 2), 6}, 3,
				"no such shader stage"},
		{"sampler slots wrap",
				{VIRGL_HEADER(VIRGL_SET_SAMPLER_VIEWS, 0, 3), 0, 0xffffffffu, 0}, 4,
				"slot out of range"},
		{"index size 3", {VIRGL_HEADER(VIRGL_SET_INDEX_BUFFER, 0, 3), BUFFER, 3, 0}, 4,
				"no such index size"},
		{"endless draw",
				{VIRGL_HEADER(VIRGL_DRAW_VBO, 0, 12), 0, 0xffffffffu, 4, 0,
						0xffffffffu},
				13, "draw without an end"},
		{"primitive 15", {VIRGL_HEADER(VIRGL_DRAW_VBO, 0, 12), 0, 3, 15, 0, 1}, 13,
				"no such primitive"},
		{"resources behind the accounting",
				{VIRGL_HEADER(VIRGL_PIPE_RESOURCE_CREATE, 0, 11)}, 12,
				"not offered to guests"},
		{"video", {VIRGL_HEADER(VIRGL_CREATE_VIDEO_CODEC, 0, 7)}, 8,
				"not offered to guests"},
		{"shader header cut",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 4), 1}, 5,
				"shader header cut short"},
		{"shader stage",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 6), 1, 6, 4,
						4, 0, 0},
				7, "no such shader stage"},
		{"shader text missing",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5), 1, 0, 4,
						4, 0},
				6, "shader text does not fit its length"},
		{"shader longer than the limit",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 6), 1, 0,
						1025, 4, 0, 0},
				7, "shader text longer than the limit"},
		{"more tokens than text",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 6), 1, 0, 4,
						0xffffffffu, 0, 0},
				7, "shader with more tokens than text"},
		{"stream outputs cut",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 6), 1, 0, 4,
						4, 1, 0},
				7, "stream outputs cut short"},
		{"stream output buffer 7",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 12), 1, 0,
						4, 4, 1, 0, 0, 0, 0, 7u << 13, 0, 0},
				13, "stream output out of range"},
		{"part without a beginning",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 6), 1, 0,
						VIRGL_SHADER_CONTINUATION | 4, 4, 0, 0},
				7, "part of a shader that was not begun"},
		{"vertex elements cut",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS, 4),
						1},
				5, "wrong number of vertex elements"},
		{"vertex buffer 32",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS, 5),
						1, 0, 0, 32, 31},
				6, "vertex element of a buffer out of range"},
		{"marker too long", {VIRGL_HEADER(VIRGL_SEND_STRING_MARKER, 0, 2), 5, 0}, 3,
				"marker longer than its command"},
		{"surface of nothing",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, 5), 1, 7,
						1},
				6, "no such resource for a surface"},
		{"surface of a buffer",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, 5), 1,
						BUFFER, 1},
				6, "no such resource for a surface"},
		{"surface of level 3",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, 5), 1,
						TEXTURE, 1, 3},
				6, "level or layers that the resource does not have"},
		{"view of a texture as a buffer",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SAMPLER_VIEW, 6), 1,
						TEXTURE, 1},
				7, "buffer seen as a texture, or the reverse"},
		{"stream output beyond the buffer",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_STREAMOUT_TARGET,
						 4),
						1, BUFFER, 0xffffff00u, 512},
				5, "no such buffer for stream output"},
		{"query without memory",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_QUERY, 4), 1, 0, 0,
						0},
				5, "no such buffer for a query"},
		{"query 14",
				{VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_QUERY, 4), 1, 14, 0,
						CUSTOM},
				5, "no such kind of query"},
		{"vertices from memory that is no buffer",
				{VIRGL_HEADER(VIRGL_SET_VERTEX_BUFFERS, 0, 3), 16, 0, CUSTOM}, 4,
				"no such buffer"},
		{"indices from nothing", {VIRGL_HEADER(VIRGL_SET_INDEX_BUFFER, 0, 3), 7, 2, 0}, 4,
				"no such buffer"},
		{"indexed draw without indices",
				{VIRGL_HEADER(VIRGL_DRAW_VBO, 0, 12), 0, 3, 4, 1, 1}, 13,
				"indexed draw without an index buffer"},
		{"commands beyond the buffer",
				{VIRGL_HEADER(VIRGL_DRAW_VBO, 0, 20), 0, 3, 4, 0,
						1, [15] = BUFFER, [16] = 250},
				21, "no such buffer of commands"},
		{"endless grid",
				{VIRGL_HEADER(VIRGL_LAUNCH_GRID, 0, 8), 1, 1, 1, 65536, 65536,
						65536},
				9, "grid without an end"},
		{"result beyond the buffer",
				{VIRGL_HEADER(VIRGL_GET_QUERY_RESULT_QBO, 0, 6), 1, QUERIES, 0, 2,
						250},
				7, "no such buffer for a query's result"},
		{"result at an address",
				{VIRGL_HEADER(VIRGL_GET_QUERY_RESULT_QBO, 0, 6), 1, CUSTOM, 0, 2,
						0},
				7, "no such buffer for a query's result"},
		{"negative level",
				{VIRGL_HEADER(VIRGL_TRANSFER3D, 0, 13), TEXTURE, 0x80000000u, 0, 0,
						0, 0, 0, 0, 1, 1, 1, 0, 1},
				14, "box outside the resource"},
		{"box beyond the level",
				{VIRGL_HEADER(VIRGL_TRANSFER3D, 0, 13), TEXTURE, 1, 0, 0, 0, 0, 0,
						0, 33, 1, 1, 0, 1},
				14, "box outside the resource"},
		{"third direction",
				{VIRGL_HEADER(VIRGL_TRANSFER3D, 0, 13), TEXTURE, 0, 0, 0, 0, 0, 0,
						0, 1, 1, 1, 0, 3},
				14, "no such direction"},
		{"layers 2 GiB apart",
				{VIRGL_HEADER(VIRGL_TRANSFER3D, 0, 13), VOLUME, 0, 0, 0,
						0x80000000u, 0, 0, 0, 1, 1, 2, 0, 1},
				14, "transfer too large"},
		{"no staging",
				{VIRGL_HEADER(VIRGL_COPY_TRANSFER3D, 0, 14), TEXTURE, 0, 0, 0, 0, 0,
						0, 0, 1, 1, 1, 7, 0, 0},
				15, "no such staging resource"},
		{"copy of nothing", {VIRGL_HEADER(VIRGL_RESOURCE_COPY_REGION, 0, 13), TEXTURE}, 14,
				"no such resource to copy"},
		{"copy between kinds",
				{VIRGL_HEADER(VIRGL_RESOURCE_COPY_REGION, 0, 13),
						TEXTURE, [6] = BUFFER},
				14, "copy between a buffer and a texture"},
		{"blit from far away",
				{VIRGL_HEADER(VIRGL_BLIT, 0, 21), 0, 0, 0, TEXTURE, 0, 1, 0, 0, 0,
						1, 1, 1, TEXTURE, 0, 1, 0, 0x7fffffffu, 0, 1, 1, 1},
				22, "blit out of range"},
		{"blit of layer 1",
				{VIRGL_HEADER(VIRGL_BLIT, 0, 21), 0, 0, 0, TEXTURE, 0, 1, 0, 0, 1,
						1, 1, 1, TEXTURE, 0, 1, 0, 0, 0, 1, 1, 1},
				22, "level or layers that the resource does not have"},
		{"clear outside",
				{VIRGL_HEADER(VIRGL_CLEAR_TEXTURE, 0, 12), TEXTURE, 0, 64, 0, 0, 1,
						1, 1},
				13, "box outside the resource"},
		{"memory information to nowhere", {VIRGL_HEADER(VIRGL_GET_MEMORY_INFO, 0, 1), 7}, 2,
				"no such resource to write to"},
};

static void bad_commands_are_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_commands); i++) {
		struct resources resources;
		init_resources(&resources);
		struct stream_checker *checker = stream_checker_create(&limits, &resources.base);
		struct stream_report report;
		uint32_t words[26] = {VIRGL_HEADER(VIRGL_NOP, 0, 1), 0};

		memcpy(words + 2, bad_commands[i].words, sizeof(bad_commands[i].words));
		bool good = stream_check(checker, words, bad_commands[i].count + 2, &report);
		if (good || strcmp(report.reason, bad_commands[i].reason) != 0 ||
				report.word != 2) {
			fail_msg("%s: %s at word %zu", bad_commands[i].name,
					good ? "accepted" : report.reason, report.word);
		}
		stream_checker_destroy(checker);
	}
}

static void handles_are_unique_in_a_sub_context(void **state)
{
	struct fixture *fixture = *state;
	struct gallium *g = &fixture->g;

	gallium_create_blend(g, 1);
	gallium_create_sub_ctx(g, 1);
	gallium_create_blend(g, 1); /* another table */
	assert_good(fixture);
	gallium_create_dsa(g, 1, false);
	assert_bad(fixture, "object exists already");
	gallium_destroy_object(g, VIRGL_OBJECT_BLEND, 1);
	gallium_create_dsa(g, 1, false);
	gallium_bind_object(g, VIRGL_OBJECT_DSA, 1);
	gallium_set_sub_ctx(g, 0);
	gallium_bind_object(g, VIRGL_OBJECT_BLEND, 1);
	assert_good(fixture);
	gallium_bind_object(g, VIRGL_OBJECT_DSA, 1);
	assert_bad(fixture, "no such object to bind");
}

static void objects_and_sub_contexts_are_limited(void **state)
{
	struct fixture *fixture = *state;
	struct gallium *g = &fixture->g;

	for (uint32_t i = 1; i <= limits.objects; i++) {
		gallium_create_blend(g, i);
	}
	assert_good(fixture);
	gallium_create_blend(g, 100);
	assert_bad(fixture, "too many objects");
	gallium_destroy_object(g, VIRGL_OBJECT_BLEND, 1);
	gallium_create_sub_ctx(g, 1); /* counts together with 0 */
	gallium_create_blend(g, 1);
	gallium_destroy_sub_ctx(g, 1); /* and its objects go with it */
	gallium_create_blend(g, 1);
	gallium_create_sub_ctx(g, 1);
	gallium_create_sub_ctx(g, 2);
	gallium_create_sub_ctx(g, 2); /* exists: nothing happens */
	assert_good(fixture);
	gallium_create_sub_ctx(g, 3);
	assert_bad(fixture, "too many sub-contexts");
}

/* One part of shader 1: header and count words of text. */
static void put_part(
		struct fixture *fixture, uint32_t handle, uint32_t offset_or_length, uint32_t count)
{
	const uint32_t header[] = {
			VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + count), handle,
			VIRGL_SHADER_FRAGMENT, offset_or_length, 8, 0};
	const uint32_t text[64] = {0};

	put(fixture, header, G_N_ELEMENTS(header));
	put(fixture, text, count);
}

static void shaders_arrive_in_parts(void **state)
{
	struct fixture *fixture = *state;

	put_part(fixture, 1, 30, 4); /* 30 bytes: 8 words, in 4 + 3 + 1 */
	assert_good(fixture);
	put_part(fixture, 1, VIRGL_SHADER_CONTINUATION | 16, 3);
	put_part(fixture, 1, VIRGL_SHADER_CONTINUATION | 28, 1);
	gallium_bind_shader(&fixture->g, 1, VIRGL_SHADER_FRAGMENT);
	assert_good(fixture);
	put_part(fixture, 1, VIRGL_SHADER_CONTINUATION | 32, 1);
	assert_bad(fixture, "part of a shader that was not begun");
}

static void shader_parts_must_fit(void **state)
{
	struct fixture *fixture = *state;

	put_part(fixture, 1, 30, 4);
	assert_good(fixture);
	put_part(fixture, 1, VIRGL_SHADER_CONTINUATION | 12, 1);
	assert_bad(fixture, "shader part out of place");
	put_part(fixture, 1, VIRGL_SHADER_CONTINUATION | 16, 5);
	assert_bad(fixture, "shader part out of place");
	put_part(fixture, 2, 30, 4);
	assert_bad(fixture, "shader begun while another is unfinished");
	gallium_bind_shader(&fixture->g, 1, VIRGL_SHADER_FRAGMENT);
	assert_bad(fixture, "unfinished shader bound");
	gallium_destroy_object(&fixture->g, VIRGL_OBJECT_SHADER, 1);
	assert_bad(fixture, "unfinished shader destroyed");
}

/* The renderer keeps the memory of what is bound or named by an object, destroyed or not. */
static void holds_follow_objects_and_bindings(void **state)
{
	struct fixture *fixture = *state;
	struct gallium *g = &fixture->g;
	const int *holds = fixture->resources.holds;
	const uint32_t surface = 1;

	gallium_create_surface(g, surface, TEXTURE, 1);
	gallium_create_sampler_view(g, 2, TEXTURE, 1);
	assert_good(fixture);
	assert_int_equal(holds[0], 2);
	gallium_set_framebuffer(g, &surface, 1, 0);
	gallium_set_sampler_view(g, VIRGL_SHADER_FRAGMENT, 2);
	gallium_set_sampler_view(g, VIRGL_SHADER_FRAGMENT, 2);
	gallium_set_vertex_buffer(g, BUFFER, 16, 0);
	assert_good(fixture);
	assert_int_equal(holds[0], 4);
	assert_int_equal(holds[1], 1);
	gallium_destroy_object(g, VIRGL_OBJECT_SURFACE, 1);
	gallium_destroy_object(g, VIRGL_OBJECT_SAMPLER_VIEW, 2);
	assert_good(fixture);
	assert_int_equal(holds[0], 2);
	gallium_set_framebuffer(g, NULL, 0, 0);
	gallium_set_sampler_view(g, VIRGL_SHADER_FRAGMENT, 0);
	gallium_set_vertex_buffer(g, 0, 0, 0);
	assert_good(fixture);
	assert_int_equal(holds[0], 0);
	assert_int_equal(holds[1], 0);

	gallium_create_sub_ctx(g, 1);
	gallium_create_surface(g, surface, TEXTURE, 1);
	gallium_set_framebuffer(g, &surface, 1, 0);
	gallium_destroy_sub_ctx(g, 1);
	assert_good(fixture);
	assert_int_equal(holds[0], 0);
}

static void draws_without_vertices_do_nothing(void **state)
{
	static const struct gallium_vertex_element element = {
			0, 2, VIRGL_FORMAT_R32G32B32A32_FLOAT};
	struct fixture *fixture = *state;
	struct gallium *g = &fixture->g;

	gallium_create_vertex_elements(g, 1, &element, 1);
	gallium_bind_object(g, VIRGL_OBJECT_VERTEX_ELEMENTS, 1);
	gallium_set_vertex_buffer(g, BUFFER, 16, 0); /* slot 0; slot 2 has none */
	assert_good(fixture);
	gallium_draw(g, GALLIUM_TRIANGLES, 0, 3);
	assert_good(fixture);
	assert_int_equal(VIRGL_HEADER_COMMAND(fixture->words[0]), VIRGL_NOP);
	gallium_bind_object(g, VIRGL_OBJECT_VERTEX_ELEMENTS, 0);
	assert_good(fixture);
	gallium_draw(g, GALLIUM_TRIANGLES, 0, 3);
	assert_good(fixture);
	assert_int_equal(VIRGL_HEADER_COMMAND(fixture->words[0]), VIRGL_DRAW_VBO);
}

static void copies_beyond_an_edge_do_nothing(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t words[] = {VIRGL_HEADER(VIRGL_RESOURCE_COPY_REGION, 0, 13), TEXTURE, 0, 60,
			0, 0, TEXTURE, 0, 0, 0, 0, 8, 8, 1};

	put(fixture, words, G_N_ELEMENTS(words));
	assert_good(fixture);
	assert_int_equal(VIRGL_HEADER_COMMAND(fixture->words[0]), VIRGL_NOP);
}

static void host_debugging_is_not_the_guests(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t words[] = {
			VIRGL_HEADER(VIRGL_SET_DEBUG_FLAGS, 0, 2), 0x41414141, 0x41414141};

	put(fixture, words, 3);
	assert_good(fixture);
	assert_int_equal(VIRGL_HEADER_COMMAND(fixture->words[0]), VIRGL_NOP);
	assert_int_equal(VIRGL_HEADER_WORDS(fixture->words[0]), 2);
}

static void noise_never_harms(void **state)
{
	struct fixture *fixture = *state;
	GRand *rand = g_rand_new_with_seed(1);

	for (unsigned i = 0; i < 20000; i++) {
		struct stream_report report;
		for (unsigned j = 0; j < 32; j++) {
			uint32_t word = g_rand_int(rand);
			/* Plausible headers, else nothing gets past the first one. */
			fixture->words[j] = j % 3 == 0	 ? word & 0x00171f3fu
					    : j % 3 == 1 ? TEXTURE + word % 6
							 : word & 0x1f;
		}
		(void)stream_check(fixture->checker, fixture->words, 32, &report);
		assert_true(report.word <= 32);
	}
	g_rand_free(rand);
}

#define CHECK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			CHECK_TEST(empty_stream_is_good),
			CHECK_TEST(whole_scene_is_good),
			CHECK_TEST(bad_commands_are_refused),
			CHECK_TEST(handles_are_unique_in_a_sub_context),
			CHECK_TEST(objects_and_sub_contexts_are_limited),
			CHECK_TEST(shaders_arrive_in_parts),
			CHECK_TEST(shader_parts_must_fit),
			CHECK_TEST(holds_follow_objects_and_bindings),
			CHECK_TEST(draws_without_vertices_do_nothing),
			CHECK_TEST(copies_beyond_an_edge_do_nothing),
			CHECK_TEST(host_debugging_is_not_the_guests),
			CHECK_TEST(noise_never_harms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
