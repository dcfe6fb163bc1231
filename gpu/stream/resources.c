/* SPDX-License-Identifier: MIT */
#include "gpu/stream/resources.h"

#include "core/virtio/virgl.h"

/* Ids at word first of a command, and every step words after it where step is not 0. */
struct place {
	uint8_t first, step;
};

/* At most two places in a command; first 0: none (word 0 is the header). */
static const struct place places[VIRGL_COMMAND_COUNT][2] = {
		[VIRGL_SET_VERTEX_BUFFERS] = {{3, 3}},
		[VIRGL_DRAW_VBO] = {{15, 0}, {20, 0}},
		[VIRGL_RESOURCE_INLINE_WRITE] = {{1, 0}},
		[VIRGL_SET_INDEX_BUFFER] = {{1, 0}},
		[VIRGL_BLIT] = {{4, 0}, {13, 0}},
		[VIRGL_RESOURCE_COPY_REGION] = {{1, 0}, {6, 0}},
		[VIRGL_SET_UNIFORM_BUFFER] = {{5, 0}},
		[VIRGL_SET_SHADER_BUFFERS] = {{5, 3}},
		[VIRGL_SET_SHADER_IMAGES] = {{7, 5}},
		[VIRGL_LAUNCH_GRID] = {{7, 0}},
		[VIRGL_SET_ATOMIC_BUFFERS] = {{4, 3}},
		[VIRGL_GET_QUERY_RESULT_QBO] = {{2, 0}},
		[VIRGL_TRANSFER3D] = {{1, 0}},
		[VIRGL_COPY_TRANSFER3D] = {{1, 0}, {12, 0}},
		[VIRGL_CLEAR_TEXTURE] = {{1, 0}},
		[VIRGL_GET_MEMORY_INFO] = {{1, 0}},
};

/* The same of CREATE_OBJECT, by kind. */
static const struct place object_places[VIRGL_OBJECT_COUNT] = {
		[VIRGL_OBJECT_SAMPLER_VIEW] = {2, 0},
		[VIRGL_OBJECT_SURFACE] = {2, 0},
		[VIRGL_OBJECT_MSAA_SURFACE] = {2, 0},
		[VIRGL_OBJECT_STREAMOUT_TARGET] = {2, 0},
		[VIRGL_OBJECT_QUERY] = {4, 0},
};

static bool visit_place(uint32_t *words, uint32_t len, const struct place *place,
		stream_resource_fn *fn, void *opaque)
{
	if (place->first == 0) {
		return true;
	}
	for (uint32_t i = place->first; i <= len; i += place->step) {
		if (words[i] != 0 && !fn(&words[i], opaque)) {
			return false;
		}
		if (place->step == 0) {
			break;
		}
	}
	return true;
}

static bool visit_command(uint32_t *words, uint32_t len, stream_resource_fn *fn, void *opaque)
{
	unsigned command = VIRGL_HEADER_COMMAND(words[0]), kind = VIRGL_HEADER_OBJECT(words[0]);

	if (command == VIRGL_CREATE_OBJECT) {
		return kind >= VIRGL_OBJECT_COUNT ||
		       visit_place(words, len, &object_places[kind], fn, opaque);
	}
	if (command >= VIRGL_COMMAND_COUNT) {
		return true;
	}
	return visit_place(words, len, &places[command][0], fn, opaque) &&
	       visit_place(words, len, &places[command][1], fn, opaque);
}

bool stream_visit_resources(uint32_t *words, size_t count, stream_resource_fn *fn, void *opaque)
{
	size_t at = 0;

	while (at < count) {
		uint32_t len = VIRGL_HEADER_WORDS(words[at]);
		if (len >= count - at || !visit_command(words + at, len, fn, opaque)) {
			return false;
		}
		at += 1 + len;
	}
	return true;
}
