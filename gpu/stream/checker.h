/* SPDX-License-Identifier: MIT */
/* The inside of a checker, for the files that check groups of commands. */
#ifndef GPU_STREAM_CHECKER_H
#define GPU_STREAM_CHECKER_H

#include "core/virtio/virgl.h"
#include "gpu/stream/check.h"

struct shader_upload {
	uint32_t handle; /* 0: none in progress */
	uint32_t offset, total; /* bytes, whole words */
};

/* Where a sub-context keeps hold of resources, by kind; a kind's slots follow each other. */
enum slot {
	SLOT_VERTEX_BUFFER = 0,
	SLOT_INDEX_BUFFER = SLOT_VERTEX_BUFFER + VIRGL_MAX_VERTEX_ELEMENTS,
	SLOT_ATOMIC_BUFFER,
	SLOT_STREAMOUT_TARGET = SLOT_ATOMIC_BUFFER + VIRGL_MAX_ATOMIC_BUFFERS,
	SLOT_SURFACE = SLOT_STREAMOUT_TARGET +
		       VIRGL_MAX_STREAMOUT_TARGETS, /* depth, then colours */
	/* a row a shader stage: */
	SLOT_UNIFORM_BUFFER = SLOT_SURFACE + 1 + VIRGL_MAX_COLOR_BUFFERS,
	SLOT_SHADER_BUFFER = SLOT_UNIFORM_BUFFER +
			     VIRGL_SHADER_STAGE_COUNT * VIRGL_MAX_CONSTANT_BUFFERS,
	SLOT_SHADER_IMAGE = SLOT_SHADER_BUFFER +
			    VIRGL_SHADER_STAGE_COUNT * VIRGL_MAX_SHADER_BUFFERS,
	SLOT_SAMPLER_VIEW = SLOT_SHADER_IMAGE + VIRGL_SHADER_STAGE_COUNT * VIRGL_MAX_SHADER_IMAGES,
	SLOT_COUNT = SLOT_SAMPLER_VIEW + VIRGL_SHADER_STAGE_COUNT * VIRGL_MAX_SAMPLER_VIEWS,
};

struct stream_object {
	enum virgl_object kind;
	struct stream_resource *resource; /* held; may be NULL */
	uint32_t vertex_buffers; /* of vertex elements: bit mask of the slots they read */
};

struct sub_context {
	uint32_t id;
	GHashTable *objects; /* handle -> struct stream_object, owned */
	struct shader_upload uploads[VIRGL_SHADER_STAGE_COUNT];
	struct stream_resource *slots[SLOT_COUNT]; /* held; NULL: nothing bound */
	uint32_t vertex_buffers; /* slots that the bound vertex elements read */
};

struct stream_checker {
	struct stream_limits limits;
	struct stream_resources *resources;
	GHashTable *subs; /* id -> struct sub_context */
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

/* Each returns NULL, or what is wrong. The length fits the table in check.c. */
typedef const char *check_fn(struct stream_checker *checker, struct command *command);

/* check_object.c */
check_fn check_create_object, check_bind_object, check_destroy_object;
check_fn check_bind_shader, check_link_shader;
check_fn check_create_sub_ctx, check_set_sub_ctx, check_destroy_sub_ctx;

/* check_state.c */
check_fn check_viewports, check_scissors, check_framebuffer;
check_fn check_vertex_buffers, check_index_buffer, check_constants, check_uniform_buffer;
check_fn check_sampler_views, check_sampler_states;
check_fn check_shader_buffers, check_shader_images, check_atomic_buffers;
check_fn check_streamout_targets;
check_fn check_query, check_query_buffer, check_render_condition;
check_fn check_draw, check_grid;

/* check_transfer.c */
check_fn check_inline_write, check_transfer, check_copy_transfer;
check_fn check_copy_region, check_blit, check_clear_texture, check_memory_info;

struct sub_context *sub_context_create(struct stream_checker *checker, uint32_t id);
void sub_context_destroy(struct stream_checker *checker, struct sub_context *sub);

/* NULL for handle 0 and for what is not of this kind. */
struct stream_object *object_find(
		const struct stream_checker *checker, uint32_t handle, unsigned kind);
/* Whether handle is an object of this kind, or 0 for none. */
bool object_is(const struct stream_checker *checker, uint32_t handle, unsigned kind);

/* Binds a resource (NULL: nothing) to a slot of the current sub-context. */
void slot_set(struct stream_checker *checker, unsigned slot, struct stream_resource *resource);

/* The resource of an id; NULL if there is none. */
struct stream_resource *resource_find(const struct stream_checker *checker, uint32_t id);

/* Makes the command one that does nothing. */
void command_neutralise(struct command *command);

#endif
