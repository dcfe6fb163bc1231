/* SPDX-License-Identifier: MIT */
#include "gpu/stream/check.h"

#include "gpu/stream/checker.h"

void command_neutralise(struct command *command)
{
	command->words[0] = VIRGL_HEADER(VIRGL_NOP, 0, command->len);
}

/* Debugging switches of the renderer are the host's. */
static const char *neutralise(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	command_neutralise(command);
	return NULL;
}

static const char *check_string_marker(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	return command->words[1] <= (command->len - 1) * 4 ? NULL
							   : "marker longer than its command";
}

static const char *refuse(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	(void)command;
	return "not offered to guests";
}

#define ANY_LENGTH UINT16_MAX

/* Payload words: min + any number of steps, at most max. check may be NULL. */
static const struct {
	const char *name;
	uint16_t min, max, step;
	check_fn *check;
} commands[VIRGL_COMMAND_COUNT] = {
		[VIRGL_NOP] = {"NOP", 0, ANY_LENGTH, 1, NULL},
		[VIRGL_CREATE_OBJECT] = {"CREATE_OBJECT", 1, ANY_LENGTH, 1, check_create_object},
		[VIRGL_BIND_OBJECT] = {"BIND_OBJECT", 1, 1, 1, check_bind_object},
		[VIRGL_DESTROY_OBJECT] = {"DESTROY_OBJECT", 1, 1, 1, check_destroy_object},
		[VIRGL_SET_VIEWPORT_STATE] = {"SET_VIEWPORT_STATE", 1, ANY_LENGTH, 6,
				check_viewports},
		[VIRGL_SET_FRAMEBUFFER_STATE] = {"SET_FRAMEBUFFER_STATE", 2, 10, 1,
				check_framebuffer},
		[VIRGL_SET_VERTEX_BUFFERS] = {"SET_VERTEX_BUFFERS", 0, 96, 3, check_vertex_buffers},
		[VIRGL_CLEAR] = {"CLEAR", 8, 8, 1, NULL},
		[VIRGL_DRAW_VBO] = {"DRAW_VBO", 12, 20, 1, check_draw},
		[VIRGL_RESOURCE_INLINE_WRITE] = {"RESOURCE_INLINE_WRITE", 12, ANY_LENGTH, 1,
				check_inline_write},
		[VIRGL_SET_SAMPLER_VIEWS] = {"SET_SAMPLER_VIEWS", 2, 130, 1, check_sampler_views},
		[VIRGL_SET_INDEX_BUFFER] = {"SET_INDEX_BUFFER", 1, 3, 2, check_index_buffer},
		[VIRGL_SET_CONSTANT_BUFFER] = {"SET_CONSTANT_BUFFER", 2, ANY_LENGTH, 1,
				check_constants},
		[VIRGL_SET_STENCIL_REF] = {"SET_STENCIL_REF", 1, 1, 1, NULL},
		[VIRGL_SET_BLEND_COLOR] = {"SET_BLEND_COLOR", 4, 4, 1, NULL},
		[VIRGL_SET_SCISSOR_STATE] = {"SET_SCISSOR_STATE", 1, ANY_LENGTH, 2, check_scissors},
		[VIRGL_BLIT] = {"BLIT", 21, 21, 1, check_blit},
		[VIRGL_RESOURCE_COPY_REGION] = {"RESOURCE_COPY_REGION", 13, 13, 1,
				check_copy_region},
		[VIRGL_BIND_SAMPLER_STATES] = {"BIND_SAMPLER_STATES", 2, 34, 1,
				check_sampler_states},
		[VIRGL_BEGIN_QUERY] = {"BEGIN_QUERY", 1, 1, 1, check_query},
		[VIRGL_END_QUERY] = {"END_QUERY", 1, 1, 1, check_query},
		[VIRGL_GET_QUERY_RESULT] = {"GET_QUERY_RESULT", 2, 2, 1, check_query},
		[VIRGL_SET_POLYGON_STIPPLE] = {"SET_POLYGON_STIPPLE", 32, 32, 1, NULL},
		[VIRGL_SET_CLIP_STATE] = {"SET_CLIP_STATE", 32, 32, 1, NULL},
		[VIRGL_SET_SAMPLE_MASK] = {"SET_SAMPLE_MASK", 1, 1, 1, NULL},
		[VIRGL_SET_STREAMOUT_TARGETS] = {"SET_STREAMOUT_TARGETS", 1,
				1 + VIRGL_MAX_STREAMOUT_TARGETS, 1, check_streamout_targets},
		[VIRGL_SET_RENDER_CONDITION] = {"SET_RENDER_CONDITION", 3, 3, 1,
				check_render_condition},
		[VIRGL_SET_UNIFORM_BUFFER] = {"SET_UNIFORM_BUFFER", 5, 5, 1, check_uniform_buffer},
		[VIRGL_SET_SUB_CTX] = {"SET_SUB_CTX", 1, 1, 1, check_set_sub_ctx},
		[VIRGL_CREATE_SUB_CTX] = {"CREATE_SUB_CTX", 1, 1, 1, check_create_sub_ctx},
		[VIRGL_DESTROY_SUB_CTX] = {"DESTROY_SUB_CTX", 1, 1, 1, check_destroy_sub_ctx},
		[VIRGL_BIND_SHADER] = {"BIND_SHADER", 2, 2, 1, check_bind_shader},
		[VIRGL_SET_TESS_STATE] = {"SET_TESS_STATE", 6, 6, 1, NULL},
		[VIRGL_SET_MIN_SAMPLES] = {"SET_MIN_SAMPLES", 1, 1, 1, NULL},
		[VIRGL_SET_SHADER_BUFFERS] = {"SET_SHADER_BUFFERS", 2, 98, 3, check_shader_buffers},
		[VIRGL_SET_SHADER_IMAGES] = {"SET_SHADER_IMAGES", 2, 162, 5, check_shader_images},
		[VIRGL_MEMORY_BARRIER] = {"MEMORY_BARRIER", 1, 1, 1, NULL},
		[VIRGL_LAUNCH_GRID] = {"LAUNCH_GRID", 8, 8, 1, check_grid},
		[VIRGL_SET_FRAMEBUFFER_STATE_NO_ATTACH] = {"SET_FRAMEBUFFER_STATE_NO_ATTACH", 2, 2,
				1, NULL},
		[VIRGL_TEXTURE_BARRIER] = {"TEXTURE_BARRIER", 1, 1, 1, NULL},
		[VIRGL_SET_ATOMIC_BUFFERS] = {"SET_ATOMIC_BUFFERS", 1, 97, 3, check_atomic_buffers},
		[VIRGL_SET_DEBUG_FLAGS] = {"SET_DEBUG_FLAGS", 0, ANY_LENGTH, 1, neutralise},
		[VIRGL_GET_QUERY_RESULT_QBO] = {"GET_QUERY_RESULT_QBO", 6, 6, 1,
				check_query_buffer},
		[VIRGL_TRANSFER3D] = {"TRANSFER3D", 13, 13, 1, check_transfer},
		[VIRGL_END_TRANSFERS] = {"END_TRANSFERS", 0, ANY_LENGTH, 1, NULL},
		[VIRGL_COPY_TRANSFER3D] = {"COPY_TRANSFER3D", 14, 14, 1, check_copy_transfer},
		[VIRGL_SET_TWEAKS] = {"SET_TWEAKS", 2, 2, 1, NULL},
		[VIRGL_CLEAR_TEXTURE] = {"CLEAR_TEXTURE", 12, 12, 1, check_clear_texture},
		/*
		 * These create resources behind the accounting; they come with blobs, which are not
		 * offered.
		 */
		[VIRGL_PIPE_RESOURCE_CREATE] = {"PIPE_RESOURCE_CREATE", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_PIPE_RESOURCE_SET_TYPE] = {"PIPE_RESOURCE_SET_TYPE", 0, ANY_LENGTH, 1,
				refuse},
		[VIRGL_GET_MEMORY_INFO] = {"GET_MEMORY_INFO", 1, 1, 1, check_memory_info},
		[VIRGL_SEND_STRING_MARKER] = {"SEND_STRING_MARKER", 2, ANY_LENGTH, 1,
				check_string_marker},
		[VIRGL_LINK_SHADER] = {"LINK_SHADER", 6, 6, 1, check_link_shader},
		[VIRGL_CREATE_VIDEO_CODEC] = {"CREATE_VIDEO_CODEC", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_DESTROY_VIDEO_CODEC] = {"DESTROY_VIDEO_CODEC", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_CREATE_VIDEO_BUFFER] = {"CREATE_VIDEO_BUFFER", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_DESTROY_VIDEO_BUFFER] = {"DESTROY_VIDEO_BUFFER", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_BEGIN_FRAME] = {"BEGIN_FRAME", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_DECODE_MACROBLOCK] = {"DECODE_MACROBLOCK", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_DECODE_BITSTREAM] = {"DECODE_BITSTREAM", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_ENCODE_BITSTREAM] = {"ENCODE_BITSTREAM", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_END_FRAME] = {"END_FRAME", 0, ANY_LENGTH, 1, refuse},
};

struct stream_checker *stream_checker_create(
		const struct stream_limits *limits, struct stream_resources *resources)
{
	struct stream_checker *checker = g_new0(struct stream_checker, 1);

	checker->limits = *limits;
	checker->resources = resources;
	checker->subs = g_hash_table_new(g_direct_hash, g_direct_equal);
	checker->current = sub_context_create(checker, 0);
	return checker;
}

void stream_checker_destroy(struct stream_checker *checker)
{
	GHashTableIter iter;
	gpointer value;

	if (!checker) {
		return;
	}
	g_hash_table_iter_init(&iter, checker->subs);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		sub_context_destroy(checker, value);
	}
	g_hash_table_destroy(checker->subs);
	g_free(checker);
}

static const char *check_command(struct stream_checker *checker, uint32_t *words, size_t left,
		struct stream_report *report)
{
	unsigned id = VIRGL_HEADER_COMMAND(words[0]);
	struct command command = {
			.words = words,
			.len = VIRGL_HEADER_WORDS(words[0]),
			.object = VIRGL_HEADER_OBJECT(words[0]),
	};

	if (id >= VIRGL_COMMAND_COUNT) {
		return "no such command";
	}
	report->command = commands[id].name;
	if (command.len >= left) {
		return "command longer than the stream";
	}
	if (command.len < commands[id].min || command.len > commands[id].max ||
			(command.len - commands[id].min) % commands[id].step != 0) {
		return "command of the wrong length";
	}
	return commands[id].check ? commands[id].check(checker, &command) : NULL;
}

bool stream_check(struct stream_checker *checker, uint32_t *words, size_t count,
		struct stream_report *ret_report)
{
	struct stream_report report = {.command = "?"};

	checker->created_sub_contexts = 0;
	while (report.word < count && !report.reason) {
		uint32_t len = VIRGL_HEADER_WORDS(words[report.word]);

		report.reason = check_command(
				checker, words + report.word, count - report.word, &report);
		if (!report.reason) {
			report.word += 1 + len;
		}
	}
	report.created_sub_contexts = checker->created_sub_contexts;
	*ret_report = report;
	return !report.reason;
}
