/* SPDX-License-Identifier: MIT */
/*
 * Writes hostile command streams to a file that replay_streams sends from inside a guest:
 *
 *	make_streams FILE SEED FIRST COUNT
 *
 * Behind the COUNT random ones come two that would never end: a draw and a shader.
 */
#include "core/virtio/virgl.h"
#include "tests/harness/hostile_stream.h"
#include "tests/harness/triangle.h"
#include "tests/system/vm/streams.h"

#include <stdio.h>
#include <stdlib.h>

#define ENDLESS_WORDS 4096
#define ENDLESS_SHADER 77 /* a handle that the triangle does not use */

static const char endless_shader[] = "FRAG\n"
				     "DCL OUT[0], COLOR\n"
				     "DCL TEMP[0]\n"
				     "IMM[0] FLT32 { 0.5, 0.5, 0.5, 1.0 }\n"
				     "  0: MOV TEMP[0], IMM[0]\n"
				     "  1: BGNLOOP :4\n"
				     "  2: MUL TEMP[0], TEMP[0], IMM[0]\n"
				     "  3: ENDLOOP :1\n"
				     "  4: MOV OUT[0], TEMP[0]\n"
				     "  5: END\n";

static bool write_stream(FILE *file, uint32_t number, const struct good_stream *origin,
		const uint32_t *words, size_t count)
{
	const struct stream_header header = {
			.magic = STREAM_MAGIC,
			.number = number,
			.resources = origin->resource_count,
			.words = (uint32_t)count,
	};

	return fwrite(&header, sizeof(header), 1, file) == 1 &&
	       fwrite(origin->resources, sizeof(*origin->resources), origin->resource_count,
			       file) == origin->resource_count &&
	       fwrite(words, sizeof(*words), count, file) == count;
}

static void encode_endless_draw(struct gallium *g)
{
	triangle_encode(g);
	for (unsigned i = 0; i < 8; i++) {
		gallium_draw(g, GALLIUM_TRIANGLES, 0, 0x0fffffff);
	}
}

static void encode_endless_shader(struct gallium *g)
{
	triangle_encode(g);
	gallium_create_shader(g, ENDLESS_SHADER, VIRGL_SHADER_FRAGMENT, endless_shader);
	gallium_bind_shader(g, ENDLESS_SHADER, VIRGL_SHADER_FRAGMENT);
	gallium_draw(g, GALLIUM_TRIANGLES, 0, 3);
}

static bool write_endless(FILE *file, uint32_t number, const struct good_stream *triangle,
		void (*encode)(struct gallium *g))
{
	uint32_t words[ENDLESS_WORDS];
	struct gallium g;

	gallium_init(&g, words, G_N_ELEMENTS(words));
	encode(&g);
	assert(!g.overflow);
	return write_stream(file, number, triangle, words, g.count);
}

static bool write_all(FILE *file, struct hostile_maker *maker, uint32_t first, uint32_t count)
{
	const struct good_stream *triangle = hostile_maker_good(maker, 0);
	struct hostile_stream stream;

	for (uint32_t i = first; i < first + count; i++) {
		hostile_maker_make(maker, i, &stream);
		if (!write_stream(file, i, stream.origin, stream.words, stream.count)) {
			return false;
		}
	}
	return write_endless(file, first + count, triangle, encode_endless_draw) &&
	       write_endless(file, first + count + 1, triangle, encode_endless_shader);
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;

	if (argc != 5) {
		fprintf(stderr, "usage: make_streams FILE SEED FIRST COUNT\n");
		return 2;
	}
	struct hostile_maker *maker = hostile_maker_create(
			STREAM_DIRECTORY, strtoull(argv[2], NULL, 0), &error);
	if (!maker) {
		fprintf(stderr, "make_streams: %s\n", error->message);
		return 1;
	}
	FILE *file = fopen(argv[1], "wb");
	bool ok = file && write_all(file, maker, (uint32_t)strtoul(argv[3], NULL, 0),
					  (uint32_t)strtoul(argv[4], NULL, 0));
	ok = file && fclose(file) == 0 && ok;
	if (!ok) {
		perror(argv[1]);
	}
	hostile_maker_destroy(maker);
	return ok ? 0 : 1;
}
