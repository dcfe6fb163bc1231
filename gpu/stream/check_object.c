/* SPDX-License-Identifier: MIT */
/* Sub-contexts and the objects in them. */
#include "gpu/stream/checker.h"

#define MAX_SHADER_OUTPUTS 80
#define MAX_QUERY_TYPE 13 /* pipeline statistics, one of them */

/* Sub-contexts. */

static void hold(struct stream_checker *checker, struct stream_resource *resource)
{
	if (resource) {
		checker->resources->hold(checker->resources, resource);
	}
}

static void release(struct stream_checker *checker, struct stream_resource *resource)
{
	if (resource) {
		checker->resources->release(checker->resources, resource);
	}
}

struct sub_context *sub_context_create(struct stream_checker *checker, uint32_t id)
{
	struct sub_context *sub = g_new0(struct sub_context, 1);

	sub->id = id;
	sub->objects = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
	g_hash_table_insert(checker->subs, GUINT_TO_POINTER(id), sub);
	return sub;
}

void sub_context_destroy(struct stream_checker *checker, struct sub_context *sub)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, sub->objects);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct stream_object *object = value;
		release(checker, object->resource);
	}
	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		release(checker, sub->slots[i]);
	}
	checker->object_count -= g_hash_table_size(sub->objects);
	g_hash_table_destroy(sub->objects);
	g_free(sub);
}

const char *check_create_sub_ctx(struct stream_checker *checker, struct command *command)
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

static struct sub_context *sub_context_find(struct stream_checker *checker, uint32_t id)
{
	return g_hash_table_lookup(checker->subs, GUINT_TO_POINTER(id));
}

const char *check_set_sub_ctx(struct stream_checker *checker, struct command *command)
{
	struct sub_context *sub = sub_context_find(checker, command->words[1]);

	if (!sub) {
		return "no such sub-context";
	}
	checker->current = sub;
	return NULL;
}

const char *check_destroy_sub_ctx(struct stream_checker *checker, struct command *command)
{
	uint32_t id = command->words[1];
	struct sub_context *sub = sub_context_find(checker, id);

	if (id == 0 || !sub) {
		return "no such sub-context to destroy";
	}
	if (checker->current == sub) {
		checker->current = sub_context_find(checker, 0);
	}
	g_hash_table_remove(checker->subs, GUINT_TO_POINTER(id));
	sub_context_destroy(checker, sub);
	return NULL;
}

void slot_set(struct stream_checker *checker, unsigned slot, struct stream_resource *resource)
{
	struct stream_resource *old = checker->current->slots[slot];

	assert(slot < SLOT_COUNT);
	if (old != resource) {
		hold(checker, resource);
		checker->current->slots[slot] = resource;
		release(checker, old);
	}
}

struct stream_resource *resource_find(const struct stream_checker *checker, uint32_t id)
{
	return id != 0 ? checker->resources->find(checker->resources, id) : NULL;
}

/* Objects. */

static struct stream_object *find(const struct stream_checker *checker, uint32_t handle)
{
	return g_hash_table_lookup(checker->current->objects, GUINT_TO_POINTER(handle));
}

struct stream_object *object_find(
		const struct stream_checker *checker, uint32_t handle, unsigned kind)
{
	struct stream_object *object = handle != 0 ? find(checker, handle) : NULL;

	return object && object->kind == kind ? object : NULL;
}

bool object_is(const struct stream_checker *checker, uint32_t handle, unsigned kind)
{
	return handle == 0 || object_find(checker, handle, kind);
}

static const char *object_add(struct stream_checker *checker, uint32_t handle, unsigned kind,
		struct stream_resource *resource)
{
	struct stream_object *object;

	/* The renderer frees the old object while it may still be bound. */
	if (find(checker, handle)) {
		return "object exists already";
	}
	if (checker->object_count >= checker->limits.objects) {
		return "too many objects";
	}
	object = g_new0(struct stream_object, 1);
	object->kind = kind;
	object->resource = resource;
	hold(checker, resource);
	checker->object_count++;
	g_hash_table_insert(checker->current->objects, GUINT_TO_POINTER(handle), object);
	return NULL;
}

/* Shaders. */

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
	reason = object_add(checker, command->words[1], VIRGL_OBJECT_SHADER, NULL);
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
static const char *create_shader(struct stream_checker *checker, struct command *command)
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
	struct shader_upload *upload = &checker->current->uploads[stage];
	if (words[3] & VIRGL_SHADER_CONTINUATION) {
		return shader_continue(upload, command, command->len - header);
	}
	return shader_begin(checker, upload, command, command->len - header);
}

static bool is_unfinished_shader(const struct stream_checker *checker, uint32_t handle)
{
	for (unsigned i = 0; i < VIRGL_SHADER_STAGE_COUNT; i++) {
		if (handle != 0 && checker->current->uploads[i].handle == handle) {
			return true;
		}
	}
	return false;
}

/* The others. */

static const char *create_vertex_elements(struct stream_checker *checker, struct command *command)
{
	uint32_t buffers = 0;
	const char *reason;

	if ((command->len - 1) % 4 != 0 || (command->len - 1) / 4 > VIRGL_MAX_VERTEX_ELEMENTS) {
		return "wrong number of vertex elements";
	}
	for (uint32_t i = 1; i < command->len; i += 4) {
		if (command->words[i + 3] >= VIRGL_MAX_VERTEX_ELEMENTS) {
			return "vertex element of a buffer out of range";
		}
		if (command->words[i + 4] >= VIRGL_FORMAT_COUNT) {
			return "no such vertex format";
		}
		buffers |= UINT32_C(1) << command->words[i + 3];
	}
	reason = object_add(checker, command->words[1], VIRGL_OBJECT_VERTEX_ELEMENTS, NULL);
	if (!reason) {
		find(checker, command->words[1])->vertex_buffers = buffers;
	}
	return reason;
}

/* Level, or first element; then layers, or last element. */
static const char *check_range(const struct stream_resource *resource, uint32_t level,
		uint32_t first_layer, uint32_t last_layer)
{
	const struct virtio_gpu_box box = {.z = first_layer, .depth = last_layer - first_layer + 1};

	if (resource->target == VIRGL_TARGET_BUFFER) {
		return NULL; /* elements: GL knows their size */
	}
	if (last_layer < first_layer || !stream_box_within(resource, level, &box)) {
		return "level or layers that the resource does not have";
	}
	return NULL;
}

static const char *create_surface(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	struct stream_resource *resource = resource_find(checker, words[2]);
	const char *reason;

	if (!resource || resource->target == VIRGL_TARGET_BUFFER) {
		return "no such resource for a surface";
	}
	if (words[3] == 0 || words[3] >= VIRGL_FORMAT_COUNT) {
		return "no such surface format";
	}
	reason = check_range(resource, words[4], words[5] & 0xffff, words[5] >> 16);
	return reason ? reason : object_add(checker, words[1], command->object, resource);
}

static const char *create_sampler_view(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	struct stream_resource *resource = resource_find(checker, words[2]);
	uint32_t format = words[3] & 0xffffff, target = words[3] >> 24;

	if (!resource) {
		return "no such resource for a view";
	}
	if (format == 0 || format >= VIRGL_FORMAT_COUNT || target >= VIRGL_TARGET_COUNT) {
		return "no such view";
	}
	if ((resource->target == VIRGL_TARGET_BUFFER) != (target == VIRGL_TARGET_BUFFER)) {
		return "buffer seen as a texture, or the reverse";
	}
	if (target == VIRGL_TARGET_BUFFER && !stream_resource_is_buffer(resource)) {
		return "no such resource for a view";
	}
	return object_add(checker, words[1], command->object, resource);
}

static const char *create_streamout_target(struct stream_checker *checker, struct command *command)
{
	struct stream_resource *resource = resource_find(checker, command->words[2]);
	uint64_t end = (uint64_t)command->words[3] + command->words[4];

	if (!resource || !stream_resource_is_buffer(resource) || end > resource->width) {
		return "no such buffer for stream output";
	}
	return object_add(checker, command->words[1], command->object, resource);
}

static const char *create_query(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	struct stream_resource *resource = resource_find(checker, words[4]);

	if ((words[2] & 0xffff) > MAX_QUERY_TYPE ||
			(words[2] >> 16) >= VIRGL_MAX_STREAMOUT_TARGETS + 8) {
		return "no such kind of query";
	}
	if (!resource || resource->target != VIRGL_TARGET_BUFFER) {
		return "no such buffer for a query";
	}
	return object_add(checker, words[1], command->object, resource);
}

const char *check_create_object(struct stream_checker *checker, struct command *command)
{
	/* Payload words; 0 where they vary. create NULL: nothing but the object. */
	static const struct {
		uint8_t size;
		check_fn *create;
	} kinds[VIRGL_OBJECT_COUNT] = {
			[VIRGL_OBJECT_BLEND] = {11, NULL},
			[VIRGL_OBJECT_RASTERIZER] = {9, NULL},
			[VIRGL_OBJECT_DSA] = {5, NULL},
			[VIRGL_OBJECT_SHADER] = {0, create_shader},
			[VIRGL_OBJECT_VERTEX_ELEMENTS] = {0, create_vertex_elements},
			[VIRGL_OBJECT_SAMPLER_VIEW] = {6, create_sampler_view},
			[VIRGL_OBJECT_SAMPLER_STATE] = {9, NULL},
			[VIRGL_OBJECT_SURFACE] = {5, create_surface},
			[VIRGL_OBJECT_QUERY] = {4, create_query},
			[VIRGL_OBJECT_STREAMOUT_TARGET] = {4, create_streamout_target},
			[VIRGL_OBJECT_MSAA_SURFACE] = {6, create_surface},
	};
	unsigned kind = command->object;

	if (kind == VIRGL_OBJECT_NULL || kind >= VIRGL_OBJECT_COUNT) {
		return "no such kind of object";
	}
	if (command->words[1] == 0) {
		return "object 0 is none";
	}
	if (kinds[kind].size != 0 && command->len != kinds[kind].size) {
		return "object of the wrong size";
	}
	return kinds[kind].create ? kinds[kind].create(checker, command)
				  : object_add(checker, command->words[1], kind, NULL);
}

const char *check_bind_object(struct stream_checker *checker, struct command *command)
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
	if (command->object == VIRGL_OBJECT_VERTEX_ELEMENTS) {
		struct stream_object *object = find(checker, command->words[1]);
		checker->current->vertex_buffers = object ? object->vertex_buffers : 0;
	}
	return NULL;
}

const char *check_destroy_object(struct stream_checker *checker, struct command *command)
{
	uint32_t handle = command->words[1];
	struct stream_object *object = find(checker, handle);

	if (is_unfinished_shader(checker, handle)) {
		return "unfinished shader destroyed";
	}
	if (object) {
		release(checker, object->resource);
		checker->object_count--;
		g_hash_table_remove(checker->current->objects, GUINT_TO_POINTER(handle));
	}
	return NULL;
}

const char *check_bind_shader(struct stream_checker *checker, struct command *command)
{
	if (command->words[2] >= VIRGL_SHADER_STAGE_COUNT) {
		return "no such shader stage";
	}
	if (!object_is(checker, command->words[1], VIRGL_OBJECT_SHADER)) {
		return "no such shader";
	}
	if (is_unfinished_shader(checker, command->words[1])) {
		return "unfinished shader bound";
	}
	return NULL;
}

const char *check_link_shader(struct stream_checker *checker, struct command *command)
{
	for (unsigned i = 0; i < VIRGL_SHADER_STAGE_COUNT; i++) {
		uint32_t handle = command->words[1 + i];
		if (!object_is(checker, handle, VIRGL_OBJECT_SHADER)) {
			return "no such shader to link";
		}
		if (is_unfinished_shader(checker, handle)) {
			return "unfinished shader linked";
		}
	}
	return NULL;
}
