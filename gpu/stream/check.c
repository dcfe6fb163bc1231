/* SPDX-License-Identifier: MIT */
#include "gpu/stream/check.h"

#include "core/virtio/virgl.h"

#include <string.h>

/* A draw of more vertices than this is an attack: the largest real ones are a thousandth of it. */
#define MAX_DRAW_VERTICES (UINT64_C(1) << 32)
#define MAX_PRIMITIVE_MODE 14 /* patches */
#define MAX_SHADER_OUTPUTS 80

struct shader_upload {
	uint32_t handle; /* 0: none in progress */
	uint32_t offset, total; /* bytes, whole words */
};

struct sub_context {
	uint32_t id;
	GHashTable *objects; /* handle -> enum virgl_object */
	struct shader_upload uploads[VIRGL_SHADER_STAGE_COUNT];
};

struct stream_checker {
	struct stream_limits limits;
	GHashTable *subs; /* id -> struct sub_context, owned */
	struct sub_context *current;
	unsigned object_count;
	unsigned created_sub_contexts; /* by the stream being checked */
};

/* One command as it stands in the stream. */
struct command {
	uint32_t *words; /* words[0] is the header */
	uint32_t len; /* payload words */
	unsigned object; /* enum virgl_object, from the header */
};

typedef const char *check_fn(struct stream_checker *checker, struct command *command);

/* Sub-contexts. */

static void sub_context_destroy(void *data)
{
	struct sub_context *sub = data;

	g_hash_table_destroy(sub->objects);
	g_free(sub);
}

static struct sub_context *sub_context_create(struct stream_checker *checker, uint32_t id)
{
	struct sub_context *sub = g_new0(struct sub_context, 1);

	sub->id = id;
	sub->objects = g_hash_table_new(g_direct_hash, g_direct_equal);
	g_hash_table_insert(checker->subs, GUINT_TO_POINTER(id), sub);
	return sub;
}

static const char *check_create_sub_ctx(struct stream_checker *checker, struct command *command)
{
	uint32_t id = command->words[1];

	if (g_hash_table_contains(checker->subs, GUINT_TO_POINTER(id))) {
		return NULL; /* the renderer does nothing then, and so do guests count on */
	}
	if (g_hash_table_size(checker->subs) >= checker->limits.sub_contexts) {
		return "too many sub-contexts";
	}
	checker->current = sub_context_create(checker, id);
	checker->created_sub_contexts++;
	return NULL;
}

static const char *check_set_sub_ctx(struct stream_checker *checker, struct command *command)
{
	struct sub_context *sub = g_hash_table_lookup(
			checker->subs, GUINT_TO_POINTER(command->words[1]));

	if (!sub) {
		return "no such sub-context";
	}
	checker->current = sub;
	return NULL;
}

static const char *check_destroy_sub_ctx(struct stream_checker *checker, struct command *command)
{
	uint32_t id = command->words[1];
	struct sub_context *sub = g_hash_table_lookup(checker->subs, GUINT_TO_POINTER(id));

	if (id == 0 || !sub) {
		return "no such sub-context to destroy";
	}
	if (checker->current == sub) {
		checker->current = g_hash_table_lookup(checker->subs, GUINT_TO_POINTER(0));
	}
	checker->object_count -= g_hash_table_size(sub->objects);
	g_hash_table_remove(checker->subs, GUINT_TO_POINTER(id));
	return NULL;
}

/* Objects. */

static enum virgl_object object_kind(const struct stream_checker *checker, uint32_t handle)
{
	return GPOINTER_TO_UINT(
			g_hash_table_lookup(checker->current->objects, GUINT_TO_POINTER(handle)));
}

static const char *object_add(struct stream_checker *checker, uint32_t handle, unsigned kind)
{
	/* The renderer frees the old object while it may still be bound. */
	if (object_kind(checker, handle) != VIRGL_OBJECT_NULL) {
		return "object exists already";
	}
	if (checker->object_count >= checker->limits.objects) {
		return "too many objects";
	}
	checker->object_count++;
	g_hash_table_insert(checker->current->objects, GUINT_TO_POINTER(handle),
			GUINT_TO_POINTER(kind));
	return NULL;
}

/* Whether handle is an object of this kind, or 0 for none. */
static bool object_is(const struct stream_checker *checker, uint32_t handle, unsigned kind)
{
	return handle == 0 || object_kind(checker, handle) == kind;
}

static bool object_is_surface(const struct stream_checker *checker, uint32_t handle)
{
	return object_is(checker, handle, VIRGL_OBJECT_SURFACE) ||
	       object_is(checker, handle, VIRGL_OBJECT_MSAA_SURFACE);
}

static const char *check_streamout_outputs(const uint32_t *outputs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t output = outputs[i * 2];
		uint32_t first = (output >> 8) & 0x3, components = (output >> 10) & 0x7;

		if ((output & 0xff) >= MAX_SHADER_OUTPUTS ||
				((output >> 13) & 0x7) >= VIRGL_MAX_STREAMOUT_TARGETS ||
				first + components > 4) {
			return "stream output out of range";
		}
	}
	return NULL;
}

static const char *shader_begin(struct stream_checker *checker, struct shader_upload *upload,
		const struct command *command, uint32_t text_words)
{
	uint32_t length = command->words[3], tokens = command->words[4];
	const char *reason;

	if (upload->handle != 0) {
		return "shader begun while another is unfinished";
	}
	if (length == 0 || length > checker->limits.shader_bytes) {
		return "shader text longer than the limit";
	}
	/* Every token has at least a character of text, so more is a plain lie about memory. */
	if (tokens > length) {
		return "shader with more tokens than text";
	}
	if (text_words == 0 || text_words > (length + 3) / 4) {
		return "shader text does not fit its length";
	}
	reason = object_add(checker, command->words[1], VIRGL_OBJECT_SHADER);
	if (!reason && text_words < (length + 3) / 4) {
		upload->handle = command->words[1];
		upload->offset = text_words * 4;
		upload->total = (length + 3) / 4 * 4;
	}
	return reason;
}

static const char *shader_continue(
		struct shader_upload *upload, const struct command *command, uint32_t text_words)
{
	uint32_t offset = command->words[3] & ~VIRGL_SHADER_CONTINUATION;
	uint32_t tokens = command->words[4];

	if (upload->handle == 0 || upload->handle != command->words[1]) {
		return "part of a shader that was not begun";
	}
	if (offset != upload->offset || text_words == 0 ||
			text_words > (upload->total - upload->offset) / 4) {
		return "shader part out of place";
	}
	if (tokens > upload->total) {
		return "shader with more tokens than text";
	}
	upload->offset += text_words * 4;
	if (upload->offset == upload->total) {
		upload->handle = 0;
	}
	return NULL;
}

/*
 * handle, stage, length or offset, tokens, outputs (compute: local memory); per-buffer strides,
 * outputs; text.
 */
static const char *check_create_shader(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	uint32_t stage, outputs, header = 5;

	if (command->len < header) {
		return "shader header cut short";
	}
	stage = words[2];
	if (stage >= VIRGL_SHADER_STAGE_COUNT) {
		return "no such shader stage";
	}
	outputs = stage == VIRGL_SHADER_COMPUTE ? 0 : words[5];
	if (outputs > VIRGL_MAX_STREAMOUT_OUTPUTS) {
		return "too many stream outputs";
	}
	if (outputs > 0) {
		header += VIRGL_MAX_STREAMOUT_TARGETS + 2 * outputs;
	}
	if (command->len < header) {
		return "stream outputs cut short";
	}
	if (outputs > 0) {
		const char *reason = check_streamout_outputs(words + 10, outputs);
		if (reason) {
			return reason;
		}
	}
	if (words[3] & VIRGL_SHADER_CONTINUATION) {
		return shader_continue(
				&checker->current->uploads[stage], command, command->len - header);
	}
	return shader_begin(
			checker, &checker->current->uploads[stage], command, command->len - header);
}

static const char *check_vertex_elements(const struct command *command)
{
	if (command->len < 1 || (command->len - 1) % 4 != 0 ||
			(command->len - 1) / 4 > VIRGL_MAX_VERTEX_ELEMENTS) {
		return "wrong number of vertex elements";
	}
	for (uint32_t i = 1; i < command->len; i += 4) {
		if (command->words[i + 3] >= VIRGL_MAX_VERTEX_ELEMENTS) {
			return "vertex element of a buffer out of range";
		}
		if (command->words[i + 4] >= VIRGL_FORMAT_COUNT) {
			return "no such vertex format";
		}
	}
	return NULL;
}

static const char *check_create_object(struct stream_checker *checker, struct command *command)
{
	/* Payload words of each kind; 0 where it varies. */
	static const uint8_t sizes[VIRGL_OBJECT_COUNT] = {
			[VIRGL_OBJECT_BLEND] = 11,
			[VIRGL_OBJECT_RASTERIZER] = 9,
			[VIRGL_OBJECT_DSA] = 5,
			[VIRGL_OBJECT_SAMPLER_VIEW] = 6,
			[VIRGL_OBJECT_SAMPLER_STATE] = 9,
			[VIRGL_OBJECT_SURFACE] = 5,
			[VIRGL_OBJECT_QUERY] = 4,
			[VIRGL_OBJECT_STREAMOUT_TARGET] = 4,
			[VIRGL_OBJECT_MSAA_SURFACE] = 6,
	};
	unsigned kind = command->object;

	if (kind == VIRGL_OBJECT_NULL || kind >= VIRGL_OBJECT_COUNT) {
		return "no such kind of object";
	}
	if (command->words[1] == 0) {
		return "object 0 is none";
	}
	if (sizes[kind] != 0 && command->len != sizes[kind]) {
		return "object of the wrong size";
	}
	if (kind == VIRGL_OBJECT_SHADER) {
		return check_create_shader(checker, command);
	}
	if (kind == VIRGL_OBJECT_VERTEX_ELEMENTS) {
		const char *reason = check_vertex_elements(command);
		if (reason) {
			return reason;
		}
	}
	return object_add(checker, command->words[1], kind);
}

static const char *check_bind_object(struct stream_checker *checker, struct command *command)
{
	switch (command->object) {
	case VIRGL_OBJECT_BLEND:
	case VIRGL_OBJECT_DSA:
	case VIRGL_OBJECT_RASTERIZER:
	case VIRGL_OBJECT_VERTEX_ELEMENTS:
		break;
	default:
		return "this kind of object cannot be bound";
	}
	if (!object_is(checker, command->words[1], command->object)) {
		return "no such object to bind";
	}
	return NULL;
}

static const char *check_destroy_object(struct stream_checker *checker, struct command *command)
{
	uint32_t handle = command->words[1];

	if (g_hash_table_remove(checker->current->objects, GUINT_TO_POINTER(handle))) {
		checker->object_count--;
	}
	for (unsigned i = 0; i < VIRGL_SHADER_STAGE_COUNT; i++) {
		if (checker->current->uploads[i].handle == handle && handle != 0) {
			return "unfinished shader destroyed";
		}
	}
	return NULL;
}

static const char *check_bind_shader(struct stream_checker *checker, struct command *command)
{
	if (command->words[2] >= VIRGL_SHADER_STAGE_COUNT) {
		return "no such shader stage";
	}
	if (!object_is(checker, command->words[1], VIRGL_OBJECT_SHADER)) {
		return "no such shader";
	}
	for (unsigned i = 0; i < VIRGL_SHADER_STAGE_COUNT; i++) {
		if (command->words[1] != 0 &&
				checker->current->uploads[i].handle == command->words[1]) {
			return "unfinished shader bound";
		}
	}
	return NULL;
}

static const char *check_link_shader(struct stream_checker *checker, struct command *command)
{
	for (unsigned i = 0; i < VIRGL_SHADER_STAGE_COUNT; i++) {
		if (!object_is(checker, command->words[1 + i], VIRGL_OBJECT_SHADER)) {
			return "no such shader to link";
		}
	}
	return NULL;
}

/* State. */

static const char *check_viewports(struct stream_checker *checker, struct command *command)
{
	uint32_t count = (command->len - 1) / 6, start = command->words[1];

	(void)checker;
	if (count > VIRGL_MAX_VIEWPORTS || start > VIRGL_MAX_VIEWPORTS - count) {
		return "viewport out of range";
	}
	return NULL;
}

static const char *check_scissors(struct stream_checker *checker, struct command *command)
{
	uint32_t count = (command->len - 1) / 2, start = command->words[1];

	(void)checker;
	if (count > VIRGL_MAX_VIEWPORTS || start > VIRGL_MAX_VIEWPORTS - count) {
		return "scissor out of range";
	}
	return NULL;
}

static const char *check_framebuffer(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;

	if (words[1] > VIRGL_MAX_COLOR_BUFFERS || command->len != 2 + words[1]) {
		return "wrong number of colour buffers";
	}
	for (uint32_t i = 2; i <= command->len; i++) {
		if (!object_is_surface(checker, words[i])) {
			return "no such surface";
		}
	}
	return NULL;
}

/* stage, first slot, then each words an entry; at most max slots. */
static const char *check_slots(const struct command *command, uint32_t each, uint32_t max)
{
	uint32_t count = (command->len - 2) / each, start = command->words[2];

	if (command->words[1] >= VIRGL_SHADER_STAGE_COUNT) {
		return "no such shader stage";
	}
	if (count > max || start > max - count) {
		return "slot out of range";
	}
	return NULL;
}

static const char *check_sampler_views(struct stream_checker *checker, struct command *command)
{
	const char *reason = check_slots(command, 1, VIRGL_MAX_SAMPLER_VIEWS);

	for (uint32_t i = 3; !reason && i <= command->len; i++) {
		if (!object_is(checker, command->words[i], VIRGL_OBJECT_SAMPLER_VIEW)) {
			reason = "no such sampler view";
		}
	}
	return reason;
}

static const char *check_sampler_states(struct stream_checker *checker, struct command *command)
{
	const char *reason = check_slots(command, 1, VIRGL_MAX_SAMPLERS);

	for (uint32_t i = 3; !reason && i <= command->len; i++) {
		if (!object_is(checker, command->words[i], VIRGL_OBJECT_SAMPLER_STATE)) {
			reason = "no such sampler state";
		}
	}
	return reason;
}

static const char *check_shader_buffers(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	return check_slots(command, 3, VIRGL_MAX_SHADER_BUFFERS);
}

static const char *check_shader_images(struct stream_checker *checker, struct command *command)
{
	const char *reason = check_slots(command, 5, VIRGL_MAX_SHADER_IMAGES);

	(void)checker;
	for (uint32_t i = 3; !reason && i <= command->len; i += 5) {
		if (command->words[i] >= VIRGL_FORMAT_COUNT) {
			reason = "no such image format";
		}
	}
	return reason;
}

static const char *check_atomic_buffers(struct stream_checker *checker, struct command *command)
{
	uint32_t count = (command->len - 1) / 3, start = command->words[1];

	(void)checker;
	if (count > VIRGL_MAX_ATOMIC_BUFFERS || start > VIRGL_MAX_ATOMIC_BUFFERS - count) {
		return "atomic buffer out of range";
	}
	return NULL;
}

static const char *check_constants(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	return command->words[1] < VIRGL_SHADER_STAGE_COUNT ? NULL : "no such shader stage";
}

static const char *check_uniform_buffer(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	if (command->words[1] >= VIRGL_SHADER_STAGE_COUNT) {
		return "no such shader stage";
	}
	return command->words[2] < VIRGL_MAX_CONSTANT_BUFFERS ? NULL : "slot out of range";
}

static const char *check_streamout_targets(struct stream_checker *checker, struct command *command)
{
	for (uint32_t i = 2; i <= command->len; i++) {
		if (!object_is(checker, command->words[i], VIRGL_OBJECT_STREAMOUT_TARGET)) {
			return "no such stream-output target";
		}
	}
	return NULL;
}

static const char *check_query(struct stream_checker *checker, struct command *command)
{
	if (object_kind(checker, command->words[1]) != VIRGL_OBJECT_QUERY) {
		return "no such query";
	}
	return NULL;
}

static const char *check_render_condition(struct stream_checker *checker, struct command *command)
{
	if (!object_is(checker, command->words[1], VIRGL_OBJECT_QUERY)) {
		return "no such query";
	}
	return NULL;
}

static const char *check_draw(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	uint64_t instances = words[5] > 0 ? words[5] : 1;

	if (command->len != 12 && command->len != 14 && command->len != 20) {
		return "draw of the wrong size";
	}
	if (words[3] > MAX_PRIMITIVE_MODE) {
		return "no such primitive";
	}
	if (words[2] * instances > MAX_DRAW_VERTICES) {
		return "draw without an end";
	}
	if (!object_is(checker, words[12], VIRGL_OBJECT_STREAMOUT_TARGET)) {
		return "no such stream-output target";
	}
	return NULL;
}

static const char *check_index_buffer(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;

	(void)checker;
	if (command->len != (words[1] ? 3 : 1)) {
		return "index buffer of the wrong size";
	}
	if (words[1] && words[2] != 1 && words[2] != 2 && words[2] != 4) {
		return "no such index size";
	}
	return NULL;
}

/* Debugging switches of the renderer are the host's. */
static const char *neutralise(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	command->words[0] = VIRGL_HEADER(VIRGL_NOP, 0, command->len);
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
		[VIRGL_SET_VERTEX_BUFFERS] = {"SET_VERTEX_BUFFERS", 0, 96, 3, NULL},
		[VIRGL_CLEAR] = {"CLEAR", 8, 8, 1, NULL},
		[VIRGL_DRAW_VBO] = {"DRAW_VBO", 12, 20, 1, check_draw},
		[VIRGL_RESOURCE_INLINE_WRITE] = {"RESOURCE_INLINE_WRITE", 12, ANY_LENGTH, 1, NULL},
		[VIRGL_SET_SAMPLER_VIEWS] = {"SET_SAMPLER_VIEWS", 2, 130, 1, check_sampler_views},
		[VIRGL_SET_INDEX_BUFFER] = {"SET_INDEX_BUFFER", 1, 3, 2, check_index_buffer},
		[VIRGL_SET_CONSTANT_BUFFER] = {"SET_CONSTANT_BUFFER", 2, ANY_LENGTH, 1,
				check_constants},
		[VIRGL_SET_STENCIL_REF] = {"SET_STENCIL_REF", 1, 1, 1, NULL},
		[VIRGL_SET_BLEND_COLOR] = {"SET_BLEND_COLOR", 4, 4, 1, NULL},
		[VIRGL_SET_SCISSOR_STATE] = {"SET_SCISSOR_STATE", 1, ANY_LENGTH, 2, check_scissors},
		[VIRGL_BLIT] = {"BLIT", 21, 21, 1, NULL},
		[VIRGL_RESOURCE_COPY_REGION] = {"RESOURCE_COPY_REGION", 13, 13, 1, NULL},
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
		[VIRGL_LAUNCH_GRID] = {"LAUNCH_GRID", 8, 8, 1, NULL},
		[VIRGL_SET_FRAMEBUFFER_STATE_NO_ATTACH] = {"SET_FRAMEBUFFER_STATE_NO_ATTACH", 2, 2,
				1, NULL},
		[VIRGL_TEXTURE_BARRIER] = {"TEXTURE_BARRIER", 1, 1, 1, NULL},
		[VIRGL_SET_ATOMIC_BUFFERS] = {"SET_ATOMIC_BUFFERS", 1, 97, 3, check_atomic_buffers},
		[VIRGL_SET_DEBUG_FLAGS] = {"SET_DEBUG_FLAGS", 0, ANY_LENGTH, 1, neutralise},
		[VIRGL_GET_QUERY_RESULT_QBO] = {"GET_QUERY_RESULT_QBO", 6, 6, 1, check_query},
		[VIRGL_TRANSFER3D] = {"TRANSFER3D", 13, 13, 1, NULL},
		[VIRGL_END_TRANSFERS] = {"END_TRANSFERS", 0, ANY_LENGTH, 1, NULL},
		[VIRGL_COPY_TRANSFER3D] = {"COPY_TRANSFER3D", 14, 14, 1, NULL},
		[VIRGL_SET_TWEAKS] = {"SET_TWEAKS", 2, 2, 1, NULL},
		[VIRGL_CLEAR_TEXTURE] = {"CLEAR_TEXTURE", 12, 12, 1, NULL},
		/*
		 * These create resources behind the accounting; they come with blobs, which are not
		 * offered.
		 */
		[VIRGL_PIPE_RESOURCE_CREATE] = {"PIPE_RESOURCE_CREATE", 0, ANY_LENGTH, 1, refuse},
		[VIRGL_PIPE_RESOURCE_SET_TYPE] = {"PIPE_RESOURCE_SET_TYPE", 0, ANY_LENGTH, 1,
				refuse},
		[VIRGL_GET_MEMORY_INFO] = {"GET_MEMORY_INFO", 1, 1, 1, NULL},
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

struct stream_checker *stream_checker_create(const struct stream_limits *limits)
{
	struct stream_checker *checker = g_new0(struct stream_checker, 1);

	checker->limits = *limits;
	checker->subs = g_hash_table_new_full(
			g_direct_hash, g_direct_equal, NULL, sub_context_destroy);
	checker->current = sub_context_create(checker, 0);
	return checker;
}

void stream_checker_destroy(struct stream_checker *checker)
{
	if (checker) {
		g_hash_table_destroy(checker->subs);
		g_free(checker);
	}
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
