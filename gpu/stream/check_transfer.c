/* SPDX-License-Identifier: MIT */
/* Commands that move texels. The renderer calculates with boxes in 32 signed bits. */
#include "gpu/stream/checker.h"

#define MAX_BYTES INT32_MAX /* of one transfer */
#define MAX_TEXEL 32 /* bytes of the largest format */
#define MAX_COORDINATE 32768 /* twice the largest texture: sums and differences stay small */

static struct virtio_gpu_box box_at(const uint32_t *words)
{
	return (struct virtio_gpu_box){words[0], words[1], words[2], words[3], words[4], words[5]};
}

/* resource, level, usage, stride, layer stride, box */
static const char *check_box(struct stream_checker *checker, const struct command *command)
{
	const uint32_t *words = command->words;
	const struct stream_resource *resource = resource_find(checker, words[1]);
	const struct virtio_gpu_box box = box_at(words + 6);
	uint64_t last;

	if (!resource) {
		return "no such resource to transfer";
	}
	if (!stream_box_within(resource, words[2], &box) || box.width == 0 || box.height == 0 ||
			box.depth == 0) {
		return "box outside the resource";
	}
	unsigned texel = resource->target == VIRGL_TARGET_BUFFER ? 1 : MAX_TEXEL;
	last = (uint64_t)(box.depth - 1) * words[5] + (uint64_t)(box.height - 1) * words[4];
	if ((uint64_t)box.width * box.height > MAX_BYTES / texel / box.depth || last > MAX_BYTES) {
		return "transfer too large";
	}
	return NULL;
}

const char *check_inline_write(struct stream_checker *checker, struct command *command)
{
	return check_box(checker, command);
}

/* as above; offset, direction */
const char *check_transfer(struct stream_checker *checker, struct command *command)
{
	if (command->words[13] != 1 && command->words[13] != 2) {
		return "no such direction";
	}
	if (command->words[12] > MAX_BYTES) {
		return "transfer too large";
	}
	return check_box(checker, command);
}

/* as above; staging resource, offset, flags */
const char *check_copy_transfer(struct stream_checker *checker, struct command *command)
{
	if (!resource_find(checker, command->words[12])) {
		return "no such staging resource";
	}
	if (command->words[13] > MAX_BYTES) {
		return "transfer too large";
	}
	return check_box(checker, command);
}

/*
 * to: resource, level, x, y, z; from: resource, level, box. Older guests copy beyond an edge while
 * a window is being resized: GL does nothing then, and so does this.
 */
const char *check_copy_region(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	const struct stream_resource *to = resource_find(checker, words[1]);
	const struct stream_resource *from = resource_find(checker, words[6]);
	struct virtio_gpu_box box = box_at(words + 8), target = box;

	if (!to || !from) {
		return "no such resource to copy";
	}
	if ((to->target == VIRGL_TARGET_BUFFER) != (from->target == VIRGL_TARGET_BUFFER)) {
		return "copy between a buffer and a texture";
	}
	if (to->target == VIRGL_TARGET_BUFFER &&
			(!stream_resource_is_buffer(to) || !stream_resource_is_buffer(from))) {
		return "no such buffer to copy";
	}
	if (words[2] > to->last_level || words[7] > from->last_level) {
		return "level that the resource does not have";
	}
	target.x = words[3];
	target.y = words[4];
	target.z = words[5];
	if (!stream_box_within(from, words[7], &box) || !stream_box_within(to, words[2], &target)) {
		command_neutralise(command);
	}
	return NULL;
}

static bool coordinates_small(const struct virtio_gpu_box *box)
{
	const int32_t values[] = {(int32_t)box->x, (int32_t)box->y, (int32_t)box->z,
			(int32_t)box->width, (int32_t)box->height, (int32_t)box->depth};

	for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
		if (values[i] < -MAX_COORDINATE || values[i] > MAX_COORDINATE) {
			return false;
		}
	}
	return true;
}

/* resource, level, format, box; extents may be negative, which mirrors. */
static const char *check_blit_side(struct stream_checker *checker, const uint32_t *words)
{
	const struct stream_resource *resource = resource_find(checker, words[0]);
	const struct virtio_gpu_box box = box_at(words + 3);
	struct virtio_gpu_box layers = {.z = box.z, .depth = box.depth};

	if (!resource || resource->target == VIRGL_TARGET_BUFFER) {
		return "no such texture to blit";
	}
	if (words[2] == 0 || words[2] >= VIRGL_FORMAT_COUNT) {
		return "no such blit format";
	}
	if (!coordinates_small(&box)) {
		return "blit out of range";
	}
	if ((int32_t)box.depth < 0) {
		layers.z = box.z + box.depth;
		layers.depth = -box.depth;
	}
	return stream_box_within(resource, words[1], &layers)
			       ? NULL
			       : "level or layers that the resource does not have";
}

const char *check_blit(struct stream_checker *checker, struct command *command)
{
	const char *reason = check_blit_side(checker, command->words + 4);

	return reason ? reason : check_blit_side(checker, command->words + 13);
}

/* texture, level, box, colour */
const char *check_clear_texture(struct stream_checker *checker, struct command *command)
{
	const uint32_t *words = command->words;
	const struct stream_resource *resource = resource_find(checker, words[1]);
	const struct virtio_gpu_box box = box_at(words + 3);

	if (!resource || resource->target == VIRGL_TARGET_BUFFER) {
		return "no such texture to clear";
	}
	return stream_box_within(resource, words[2], &box) ? NULL : "box outside the resource";
}

const char *check_memory_info(struct stream_checker *checker, struct command *command)
{
	return resource_find(checker, command->words[1]) ? NULL : "no such resource to write to";
}
