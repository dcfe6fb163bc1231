/* SPDX-License-Identifier: MIT */
#include "gpu/stream/resources.h"
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"

#include <string.h>

/* Every word holds its own index; which of them are seen as resources? */
static const struct {
	const char *name;
	uint32_t header;
	uint32_t expect[5]; /* ends with 0 */
} commands[] = {
		{"surface", VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, 5), {2}},
		{"view", VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SAMPLER_VIEW, 6), {2}},
		{"stream output",
				VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_STREAMOUT_TARGET, 4),
				{2}},
		{"query", VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_QUERY, 4), {4}},
		{"blend", VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_BLEND, 11), {0}},
		{"kind beyond", VIRGL_HEADER(VIRGL_CREATE_OBJECT, 0xff, 11), {0}},
		{"vertex buffers", VIRGL_HEADER(VIRGL_SET_VERTEX_BUFFERS, 0, 9), {3, 6, 9}},
		{"plain draw", VIRGL_HEADER(VIRGL_DRAW_VBO, 0, 12), {0}},
		{"indirect draw", VIRGL_HEADER(VIRGL_DRAW_VBO, 0, 20), {15, 20}},
		{"inline write", VIRGL_HEADER(VIRGL_RESOURCE_INLINE_WRITE, 0, 12), {1}},
		{"index buffer", VIRGL_HEADER(VIRGL_SET_INDEX_BUFFER, 0, 3), {1}},
		{"blit", VIRGL_HEADER(VIRGL_BLIT, 0, 21), {4, 13}},
		{"copy", VIRGL_HEADER(VIRGL_RESOURCE_COPY_REGION, 0, 13), {1, 6}},
		{"uniform buffer", VIRGL_HEADER(VIRGL_SET_UNIFORM_BUFFER, 0, 5), {5}},
		{"shader buffers", VIRGL_HEADER(VIRGL_SET_SHADER_BUFFERS, 0, 8), {5, 8}},
		{"images", VIRGL_HEADER(VIRGL_SET_SHADER_IMAGES, 0, 12), {7, 12}},
		{"atomics", VIRGL_HEADER(VIRGL_SET_ATOMIC_BUFFERS, 0, 7), {4, 7}},
		{"grid", VIRGL_HEADER(VIRGL_LAUNCH_GRID, 0, 8), {7}},
		{"query buffer", VIRGL_HEADER(VIRGL_GET_QUERY_RESULT_QBO, 0, 6), {2}},
		{"transfer", VIRGL_HEADER(VIRGL_TRANSFER3D, 0, 13), {1}},
		{"copy transfer", VIRGL_HEADER(VIRGL_COPY_TRANSFER3D, 0, 14), {1, 12}},
		{"clear texture", VIRGL_HEADER(VIRGL_CLEAR_TEXTURE, 0, 12), {1}},
		{"memory info", VIRGL_HEADER(VIRGL_GET_MEMORY_INFO, 0, 1), {1}},
		{"clear", VIRGL_HEADER(VIRGL_CLEAR, 0, 8), {0}},
		{"unknown", VIRGL_HEADER(0xff, 0, 8), {0}},
		{"cut short", VIRGL_HEADER(VIRGL_BLIT, 0, 3), {0}},
};

struct seen {
	uint32_t ids[8];
	unsigned count;
};

static bool collect(uint32_t *id, void *opaque)
{
	struct seen *seen = opaque;

	assert_true(seen->count < G_N_ELEMENTS(seen->ids) - 1);
	seen->ids[seen->count++] = *id;
	*id += 1000;
	return true;
}

static void every_place_is_known(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		uint32_t words[32], len = VIRGL_HEADER_WORDS(commands[i].header);
		struct seen seen = {0};

		for (unsigned j = 1; j <= len; j++) {
			words[j] = j;
		}
		words[0] = commands[i].header;
		assert_true(stream_visit_resources(words, len + 1, collect, &seen));
		for (unsigned j = 0; j < G_N_ELEMENTS(commands[i].expect); j++) {
			if (seen.ids[j] != commands[i].expect[j]) {
				fail_msg("%s: word %u, not %u", commands[i].name, seen.ids[j],
						commands[i].expect[j]);
			}
			if (seen.ids[j] != 0) {
				assert_int_equal(words[seen.ids[j]], seen.ids[j] + 1000);
			}
		}
	}
}

static bool refuse_seven(uint32_t *id, void *opaque)
{
	(void)opaque;
	return *id != 7;
}

static void none_is_not_a_resource_and_refusal_ends_it(void **state)
{
	uint32_t words[] = {VIRGL_HEADER(VIRGL_SET_INDEX_BUFFER, 0, 1), 0,
			VIRGL_HEADER(VIRGL_SET_INDEX_BUFFER, 0, 1), 7};

	(void)state;
	assert_true(stream_visit_resources(words, 2, refuse_seven, NULL));
	assert_false(stream_visit_resources(words, 4, refuse_seven, NULL));
}

static void command_beyond_the_end_is_refused(void **state)
{
	uint32_t words[] = {VIRGL_HEADER(VIRGL_SET_VERTEX_BUFFERS, 0, 3), 0, 0, 1};
	struct seen seen = {0};

	(void)state;
	assert_false(stream_visit_resources(words, 3, collect, &seen));
	assert_int_equal(seen.count, 0);
	assert_true(stream_visit_resources(words, 0, collect, &seen));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(every_place_is_known),
			cmocka_unit_test(none_is_not_a_resource_and_refusal_ends_it),
			cmocka_unit_test(command_beyond_the_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
