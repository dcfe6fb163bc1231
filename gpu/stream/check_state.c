/* SPDX-License-Identifier: MIT */
/* What is bound where, and the commands that use it: draws, grids, queries. */
#include "gpu/stream/checker.h"

/* A draw of more vertices than this is an attack: real ones have a hundredth of it. */
#define MAX_DRAW_VERTICES (UINT64_C(1) << 28)
#define MAX_GRID_GROUPS (UINT64_C(1) << 32)
#define MAX_BLOCK_EDGE 65536
#define MAX_PRIMITIVE_MODE 14 /* patches */

const char *check_viewports(struct stream_checker *checker, struct command *command)
{
	uint32_t count = (command->len - 1) / 6, start = command->words[1];

	(void)checker;
	if (count > VIRGL_MAX_VIEWPORTS || start > VIRGL_MAX_VIEWPORTS - count) {
		return "viewport out of range";
	}
	return NULL;
}

const char *check_scissors(struct stream_checker *checker, struct command *command)
{
	uint32_t count = (command->len - 1) / 2, start = command->words[1];

	(void)checker;
	if (count > VIRGL_MAX_VIEWPORTS || start > VIRGL_MAX_VIEWPORTS - count) {
		return "scissor out of range";
	}
	return NULL;
}

static struct stream_object *find_surface(struct stream_checker *checker, uint32_t handle)
{
	struct stream_object *object = object_find(checker, handle, VIRGL_OBJECT_SURFACE);

	return object ? object : object_find(checker, handle, VIRGL_OBJECT_MSAA_SURFACE);
}

/* number of colour buffers, depth surface, colour surfaces */
const char *check_framebuffer(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	uint32_t count = words[1];

	if (count > VIRGL_MAX_COLOR_BUFFERS || command->len != 2 + count) {
		return "wrong number of colour buffers";
	}
	for (uint32_t i = 0; i <= VIRGL_MAX_COLOR_BUFFERS; i++) {
		uint32_t handle = i <= count ? words[2 + i] : 0;
		struct stream_object *surface = find_surface(checker, handle);
		if (handle != 0 && !surface) {
			return "no such surface";
		}
		slot_set(checker, SLOT_SURFACE + i, surface ? surface->resource : NULL);
	}
	return NULL;
}

/* Buffers. */

/* Binds a buffer by id, 0 for none. */
static const char *bind_buffer(struct stream_checker *checker, unsigned slot, uint32_t id)
{
	struct stream_resource *resource = resource_find(checker, id);

	if (id != 0 && (!resource || !stream_resource_is_buffer(resource))) {
		return "no such buffer";
	}
	slot_set(checker, slot, resource);
	return NULL;
}

/* stride, offset, buffer */
const char *check_vertex_buffers(struct stream_checker *checker, struct command *command)
{
	const char *reason = NULL;

	for (uint32_t i = 0; !reason && i < VIRGL_MAX_VERTEX_ELEMENTS; i++) {
		uint32_t id = i < command->len / 3 ? command->words[3 + i * 3] : 0;
		reason = bind_buffer(checker, SLOT_VERTEX_BUFFER + i, id);
	}
	return reason;
}

/* buffer, index size, offset */
const char *check_index_buffer(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;

	if (command->len != (words[1] ? 3 : 1)) {
		return "index buffer of the wrong size";
	}
	if (words[1] && words[2] != 1 && words[2] != 2 && words[2] != 4) {
		return "no such index size";
	}
	return bind_buffer(checker, SLOT_INDEX_BUFFER, words[1]);
}

const char *check_constants(struct stream_checker *checker, struct command *command)
{
	(void)checker;
	return command->words[1] < VIRGL_SHADER_STAGE_COUNT ? NULL : "no such shader stage";
}

/* stage, slot, offset, length, buffer */
const char *check_uniform_buffer(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;

	if (words[1] >= VIRGL_SHADER_STAGE_COUNT) {
		return "no such shader stage";
	}
	if (words[2] >= VIRGL_MAX_CONSTANT_BUFFERS) {
		return "slot out of range";
	}
	return bind_buffer(checker,
			SLOT_UNIFORM_BUFFER + words[1] * VIRGL_MAX_CONSTANT_BUFFERS + words[2],
			words[5]);
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

/* entries: offset, length, buffer */
const char *check_shader_buffers(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	const char *reason = check_slots(command, 3, VIRGL_MAX_SHADER_BUFFERS);

	for (uint32_t i = 0; !reason && i < (command->len - 2) / 3; i++) {
		unsigned slot = words[1] * VIRGL_MAX_SHADER_BUFFERS + words[2] + i;
		reason = bind_buffer(checker, SLOT_SHADER_BUFFER + slot, words[5 + i * 3]);
	}
	return reason;
}

/* first slot; entries: offset, length, buffer */
const char *check_atomic_buffers(struct stream_checker *checker, struct command *command)
{
	uint32_t count = (command->len - 1) / 3, start = command->words[1];
	const char *reason = NULL;

	if (count > VIRGL_MAX_ATOMIC_BUFFERS || start > VIRGL_MAX_ATOMIC_BUFFERS - count) {
		return "atomic buffer out of range";
	}
	for (uint32_t i = 0; !reason && i < count; i++) {
		reason = bind_buffer(
				checker, SLOT_ATOMIC_BUFFER + start + i, command->words[4 + i * 3]);
	}
	return reason;
}

/* Textures. */

const char *check_sampler_views(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	const char *reason = check_slots(command, 1, VIRGL_MAX_SAMPLER_VIEWS);

	if (reason) {
		return reason;
	}
	/* What lies beyond the last one is unbound. */
	for (uint32_t i = words[2]; i < VIRGL_MAX_SAMPLER_VIEWS; i++) {
		uint32_t at = 3 + i - words[2];
		uint32_t handle = at <= command->len ? words[at] : 0;
		struct stream_object *view = object_find(
				checker, handle, VIRGL_OBJECT_SAMPLER_VIEW);
		if (handle != 0 && !view) {
			return "no such sampler view";
		}
		slot_set(checker, SLOT_SAMPLER_VIEW + words[1] * VIRGL_MAX_SAMPLER_VIEWS + i,
				view ? view->resource : NULL);
	}
	return NULL;
}

const char *check_sampler_states(struct stream_checker *checker, struct command *command)
{
	const char *reason = check_slots(command, 1, VIRGL_MAX_SAMPLERS);

	for (uint32_t i = 3; !reason && i <= command->len; i++) {
		if (!object_is(checker, command->words[i], VIRGL_OBJECT_SAMPLER_STATE)) {
			reason = "no such sampler state";
		}
	}
	return reason;
}

/* entries: format, access, layers or offset, level or size, resource */
const char *check_shader_images(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	const char *reason = check_slots(command, 5, VIRGL_MAX_SHADER_IMAGES);

	for (uint32_t i = 0; !reason && i < (command->len - 2) / 5; i++) {
		const uint32_t *entry = words + 3 + i * 5;
		struct stream_resource *resource = resource_find(checker, entry[4]);
		bool buffer = resource && resource->target == VIRGL_TARGET_BUFFER;
		if (entry[0] >= VIRGL_FORMAT_COUNT) {
			return "no such image format";
		}
		if ((entry[4] != 0 && !resource) ||
				(buffer && !stream_resource_is_buffer(resource))) {
			return "no such resource for an image";
		}
		/* Mesa writes the level in the low byte of a union and leaves the rest as it was. */
		if (resource && !buffer && (entry[3] & 0xff) > resource->last_level) {
			return "image of a level that the resource does not have";
		}
		slot_set(checker,
				SLOT_SHADER_IMAGE + words[1] * VIRGL_MAX_SHADER_IMAGES + words[2] +
						i,
				resource);
	}
	return reason;
}

const char *check_streamout_targets(struct stream_checker *checker, struct command *command)
{
	for (uint32_t i = 0; i < VIRGL_MAX_STREAMOUT_TARGETS; i++) {
		uint32_t handle = 2 + i <= command->len ? command->words[2 + i] : 0;
		struct stream_object *target = object_find(
				checker, handle, VIRGL_OBJECT_STREAMOUT_TARGET);
		if (handle != 0 && !target) {
			return "no such stream-output target";
		}
		slot_set(checker, SLOT_STREAMOUT_TARGET + i, target ? target->resource : NULL);
	}
	return NULL;
}

/* Queries. */

const char *check_query(struct stream_checker *checker, struct command *command)
{
	return object_find(checker, command->words[1], VIRGL_OBJECT_QUERY) ? NULL : "no such query";
}

/* query, buffer, wait, kind of result, offset, index */
const char *check_query_buffer(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	struct stream_resource *resource = resource_find(checker, words[2]);
	unsigned bytes = words[4] <= 1 ? 4 : 8; /* 32-bit kinds come first */

	/* The renderer would take the offset into what is no buffer of the GPU's as an address. */
	if (!resource || !stream_resource_is_buffer(resource) ||
			(uint64_t)words[5] + bytes > resource->width) {
		return "no such buffer for a query's result";
	}
	return check_query(checker, command);
}

const char *check_render_condition(struct stream_checker *checker, struct command *command)
{
	return object_is(checker, command->words[1], VIRGL_OBJECT_QUERY) ? NULL : "no such query";
}

/* Work. */

/* A buffer of commands that the GPU reads itself; 0 for none. */
static const char *check_indirect(
		struct stream_checker *checker, uint32_t id, uint32_t offset, uint32_t bytes)
{
	struct stream_resource *resource = resource_find(checker, id);

	if (id == 0) {
		return NULL;
	}
	if (!resource || !stream_resource_is_buffer(resource) ||
			(uint64_t)offset + bytes > resource->width) {
		return "no such buffer of commands";
	}
	return NULL;
}

/* Whether every vertex element has a buffer to read. */
static bool has_vertices(const struct sub_context *sub)
{
	for (unsigned i = 0; i < VIRGL_MAX_VERTEX_ELEMENTS; i++) {
		if (sub->vertex_buffers & UINT32_C(1) << i && !sub->slots[SLOT_VERTEX_BUFFER + i]) {
			return false;
		}
	}
	return true;
}

const char *check_draw(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	uint64_t instances = words[5] > 0 ? words[5] : 1;
	const char *reason;

	if (command->len != 12 && command->len != 14 && command->len != 20) {
		return "draw of the wrong size";
	}
	if (words[3] > MAX_PRIMITIVE_MODE) {
		return "no such primitive";
	}
	if (words[2] * instances > MAX_DRAW_VERTICES) {
		return "draw without an end";
	}
	if (words[4] != 0 && !checker->current->slots[SLOT_INDEX_BUFFER]) {
		return "indexed draw without an index buffer";
	}
	if (!object_is(checker, words[12], VIRGL_OBJECT_STREAMOUT_TARGET)) {
		return "no such stream-output target";
	}
	if (command->len == 20) {
		reason = check_indirect(checker, words[15], words[16], 16);
		if (!reason) {
			reason = check_indirect(checker, words[20], words[19], 4);
		}
		if (reason) {
			return reason;
		}
	}
	/* The driver would take the offset into no buffer for an address of its own. */
	if (!has_vertices(checker->current)) {
		command_neutralise(command);
	}
	return NULL;
}

/* block, grid, buffer, offset */
const char *check_grid(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	uint64_t groups = 1;

	for (unsigned i = 0; i < 3; i++) {
		if (words[1 + i] > MAX_BLOCK_EDGE) {
			return "block out of range";
		}
		if (words[4 + i] > MAX_GRID_GROUPS / groups) {
			return "grid without an end";
		}
		groups = MAX(groups * words[4 + i], 1);
	}
	return check_indirect(checker, words[7], words[8], 12);
}
