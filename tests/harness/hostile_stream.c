/* SPDX-License-Identifier: MIT */
#include "tests/harness/hostile_stream.h"

#include "core/virtio/virgl.h"
#include "tests/harness/triangle.h"

#include <string.h>

#define MAGIC 0x4c475256u /* "VRGL" */
#define MAX_WORDS 65536 /* of one stream */
#define TRIANGLE_WORDS 1024
#define MAX_CHANGES 6
#define MAX_SENSELESS 24 /* commands */
#define MAX_NOISE 512 /* words */

struct hostile_maker {
	GPtrArray *good; /* struct good_stream, owned */
	uint64_t seed, state; /* of the random numbers */
	uint32_t *words;
	size_t count;
	size_t *starts; /* where the commands of words begin */
	size_t commands;
};

/* Random numbers: splitmix64. */

static uint64_t random64(struct hostile_maker *maker)
{
	uint64_t z = maker->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint32_t below(struct hostile_maker *maker, size_t n)
{
	return (uint32_t)(random64(maker) % n);
}

/* A number of the kind that programs trip over. */
static uint32_t odd_number(struct hostile_maker *maker)
{
	static const uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64,
			65, 127, 128, 255, 256, 1023, 1024, 4096, 16384, 65535, 65536, 0x7fffffff,
			0x80000000, 0xffffffff, 0xfffffffe, 0x7fc00000 /* not a number */,
			0x7f800000 /* infinity */, 0x3f800000 /* 1.0 */};

	return numbers[below(maker, G_N_ELEMENTS(numbers))];
}

static uint32_t senseless_word(struct hostile_maker *maker)
{
	switch (below(maker, 8)) {
	case 0:
		return (uint32_t)random64(maker);
	case 1:
		return odd_number(maker);
	default:
		return below(maker, 12); /* handles, slots and counts are small */
	}
}

/* Good streams. */

static void good_stream_free(void *data)
{
	struct good_stream *good = data;

	g_free(good->name);
	g_free(good->resources);
	g_free(good->words);
	g_free(good);
}

static void add_triangle(struct hostile_maker *maker)
{
	const struct good_resource resources[] = {
			{TRIANGLE_TARGET, VIRGL_TARGET_2D, VIRGL_FORMAT_B8G8R8A8_UNORM,
					VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER_VIEW,
					TRIANGLE_SIZE, TRIANGLE_SIZE, 1, 1, 0, 0},
			{TRIANGLE_VERTICES, VIRGL_TARGET_BUFFER, VIRGL_FORMAT_R8_UNORM,
					VIRGL_BIND_VERTEX_BUFFER, 4096, 1, 1, 1, 0, 0},
	};
	struct good_stream *good = g_new0(struct good_stream, 1);
	struct gallium g;

	good->name = g_strdup("triangle");
	good->resources = g_memdup2(resources, sizeof(resources));
	good->resource_count = G_N_ELEMENTS(resources);
	good->words = g_new(uint32_t, TRIANGLE_WORDS);
	gallium_init(&g, good->words, TRIANGLE_WORDS);
	triangle_encode(&g);
	good->count = g.count;
	g_ptr_array_add(maker->good, good);
}

static bool add_file(struct hostile_maker *maker, const char *path, GError **error)
{
	g_autofree char *contents = NULL;
	gsize size;
	uint32_t header[2];

	if (!g_file_get_contents(path, &contents, &size, error)) {
		return false;
	}
	if (size >= sizeof(header)) {
		memcpy(header, contents, sizeof(header));
	}
	size_t resources = size < sizeof(header) ? 0 : header[1] * sizeof(struct good_resource);
	if (size < sizeof(header) || header[0] != MAGIC || size % 4 != 0 ||
			resources > size - sizeof(header) || size / 4 > MAX_WORDS / 2) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: not a recorded stream",
				path);
		return false;
	}
	struct good_stream *good = g_new0(struct good_stream, 1);
	const char *at = contents + sizeof(header);
	good->name = g_path_get_basename(path);
	good->resource_count = header[1];
	good->resources = g_memdup2(at, resources);
	good->count = (size - sizeof(header) - resources) / 4;
	good->words = g_memdup2(at + resources, good->count * 4);
	g_ptr_array_add(maker->good, good);
	return true;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of their names, so that numbers mean the same everywhere. */
static bool add_directory(struct hostile_maker *maker, const char *directory, GError **error)
{
	g_autoptr(GDir) dir = g_dir_open(directory, 0, error);
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	const char *name;

	if (!dir) {
		return false;
	}
	while ((name = g_dir_read_name(dir))) {
		if (g_str_has_suffix(name, ".virgl")) {
			g_ptr_array_add(paths, g_build_filename(directory, name, NULL));
		}
	}
	g_ptr_array_sort(paths, compare_names);
	for (unsigned i = 0; i < paths->len; i++) {
		if (!add_file(maker, g_ptr_array_index(paths, i), error)) {
			return false;
		}
	}
	return true;
}

struct hostile_maker *hostile_maker_create(const char *directory, uint64_t seed, GError **error)
{
	struct hostile_maker *maker = g_new0(struct hostile_maker, 1);

	maker->good = g_ptr_array_new_with_free_func(good_stream_free);
	maker->seed = seed;
	maker->words = g_new(uint32_t, MAX_WORDS);
	maker->starts = g_new(size_t, MAX_WORDS);
	add_triangle(maker);
	if (directory && !add_directory(maker, directory, error)) {
		hostile_maker_destroy(maker);
		return NULL;
	}
	return maker;
}

void hostile_maker_destroy(struct hostile_maker *maker)
{
	if (maker) {
		g_ptr_array_unref(maker->good);
		g_free(maker->words);
		g_free(maker->starts);
		g_free(maker);
	}
}

unsigned hostile_maker_good_count(const struct hostile_maker *maker)
{
	return maker->good->len;
}

const struct good_stream *hostile_maker_good(const struct hostile_maker *maker, unsigned index)
{
	return g_ptr_array_index(maker->good, index);
}

/* Mutation. */

static void find_commands(struct hostile_maker *maker)
{
	maker->commands = 0;
	for (size_t at = 0; at < maker->count;) {
		maker->starts[maker->commands++] = at;
		at += 1 + VIRGL_HEADER_WORDS(maker->words[at]);
	}
}

/* Length of a command with its header; cut where the stream ends. */
static size_t command_size(const struct hostile_maker *maker, size_t start)
{
	return MIN(1 + VIRGL_HEADER_WORDS(maker->words[start]), maker->count - start);
}

static size_t pick_command(struct hostile_maker *maker)
{
	return maker->starts[below(maker, maker->commands)];
}

/* A word of a command, not its header if it has others. */
static uint32_t *pick_word(struct hostile_maker *maker)
{
	size_t start = pick_command(maker), size = command_size(maker, start);

	return &maker->words[start + (size > 1 ? 1 + below(maker, size - 1) : 0)];
}

static void remove_words(struct hostile_maker *maker, size_t at, size_t count)
{
	memmove(maker->words + at, maker->words + at + count, (maker->count - at - count) * 4);
	maker->count -= count;
}

/* from does not lie in the maker's words. */
static void insert_words(struct hostile_maker *maker, size_t at, const uint32_t *from, size_t count)
{
	if (count > MAX_WORDS - maker->count) {
		return;
	}
	memmove(maker->words + at + count, maker->words + at, (maker->count - at) * 4);
	memcpy(maker->words + at, from, count * 4);
	maker->count += count;
}

static void move_command(struct hostile_maker *maker, bool keep)
{
	size_t from = pick_command(maker), size = command_size(maker, from);
	g_autofree uint32_t *copy = g_memdup2(maker->words + from, size * 4);

	if (!keep) {
		remove_words(maker, from, size);
		find_commands(maker);
	}
	if (maker->commands > 0) {
		insert_words(maker, pick_command(maker), copy, size);
	}
}

/* A command of another good stream: its handles mean something else here. */
static void graft_command(struct hostile_maker *maker)
{
	const struct good_stream *other = hostile_maker_good(
			maker, below(maker, hostile_maker_good_count(maker)));
	size_t at = 0, skip = below(maker, other->count);

	while (at + 1 + VIRGL_HEADER_WORDS(other->words[at]) <= skip) {
		at += 1 + VIRGL_HEADER_WORDS(other->words[at]);
	}
	insert_words(maker, pick_command(maker), other->words + at,
			MIN(1 + VIRGL_HEADER_WORDS(other->words[at]), other->count - at));
}

/* Another number of payload words, which are there. */
static void resize_command(struct hostile_maker *maker)
{
	size_t start = pick_command(maker), size = command_size(maker, start);
	size_t want = MIN(below(maker, 2) ? below(maker, 24) : size + below(maker, 8), 0xffff);
	uint32_t *header = &maker->words[start];

	if (want + 1 < size) {
		remove_words(maker, start + 1 + want, size - 1 - want);
	} else {
		uint32_t more[32];
		size_t count = MIN(want + 1 - size, G_N_ELEMENTS(more));
		for (size_t i = 0; i < count; i++) {
			more[i] = senseless_word(maker);
		}
		insert_words(maker, start + size, more, count);
		want = size - 1 + count;
	}
	*header = (*header & 0xffff) | (uint32_t)want << 16;
}

/* A digit or letter of a shader's text. Falls back to a word where the stream has no shader. */
static void change_text(struct hostile_maker *maker)
{
	static const char letters[] = "0123456789[]().,-xyzw ABCDEFINOSTU\n";

	for (unsigned tries = 0; tries < 64; tries++) {
		size_t start = pick_command(maker), size = command_size(maker, start);
		uint32_t header = maker->words[start];
		if (VIRGL_HEADER_COMMAND(header) == VIRGL_CREATE_OBJECT &&
				VIRGL_HEADER_OBJECT(header) == VIRGL_OBJECT_SHADER && size > 8) {
			char *text = (char *)(maker->words + start + 6);
			text[below(maker, (size - 6) * 4)] =
					letters[below(maker, sizeof(letters) - 1)];
			return;
		}
	}
	*pick_word(maker) = odd_number(maker);
}

static void change_once(struct hostile_maker *maker)
{
	switch (below(maker, 12)) {
	case 0:
		*pick_word(maker) ^= 1u << below(maker, 32);
		break;
	case 1:
	case 2:
		*pick_word(maker) = odd_number(maker);
		break;
	case 3:
		*pick_word(maker) = senseless_word(maker);
		break;
	case 4:
		*pick_word(maker) = *pick_word(maker);
		break;
	case 5: {
		size_t start = pick_command(maker);
		remove_words(maker, start, command_size(maker, start));
		break;
	}
	case 6:
	case 7:
		move_command(maker, below(maker, 2));
		break;
	case 8:
		graft_command(maker);
		break;
	case 9:
		resize_command(maker);
		break;
	case 10:
		change_text(maker);
		break;
	default:
		maker->words[pick_command(maker)] ^= 1u << below(maker, 16);
		break;
	}
}

static void start_from(struct hostile_maker *maker, const struct good_stream *good)
{
	memcpy(maker->words, good->words, good->count * 4);
	maker->count = good->count;
	find_commands(maker);
}

static void mutate(struct hostile_maker *maker, const struct good_stream *good)
{
	unsigned changes = 1 + below(maker, 1 + below(maker, MAX_CHANGES)); /* rather few */

	start_from(maker, good);
	while (changes-- > 0 && maker->commands > 0) {
		change_once(maker);
		find_commands(maker);
	}
}

/* Well-formed commands. */

/* Payload words: first, and how many more each further entry takes. */
static const struct {
	uint8_t command, object, words, step;
} shapes[] = {
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_BLEND, 11, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_RASTERIZER, 9, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_DSA, 5, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 12, 1},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS, 1, 4},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SAMPLER_VIEW, 6, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SAMPLER_STATE, 9, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, 5, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_QUERY, 4, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_STREAMOUT_TARGET, 4, 0},
		{VIRGL_CREATE_OBJECT, VIRGL_OBJECT_MSAA_SURFACE, 6, 0},
		{VIRGL_BIND_OBJECT, VIRGL_OBJECT_BLEND, 1, 0},
		{VIRGL_BIND_OBJECT, VIRGL_OBJECT_RASTERIZER, 1, 0},
		{VIRGL_BIND_OBJECT, VIRGL_OBJECT_DSA, 1, 0},
		{VIRGL_BIND_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS, 1, 0},
		{VIRGL_DESTROY_OBJECT, VIRGL_OBJECT_SURFACE, 1, 0},
		{VIRGL_DESTROY_OBJECT, VIRGL_OBJECT_SHADER, 1, 0},
		{VIRGL_DESTROY_OBJECT, VIRGL_OBJECT_QUERY, 1, 0},
		{VIRGL_SET_VIEWPORT_STATE, 0, 7, 6},
		{VIRGL_SET_FRAMEBUFFER_STATE, 0, 2, 1},
		{VIRGL_SET_VERTEX_BUFFERS, 0, 3, 3},
		{VIRGL_CLEAR, 0, 8, 0},
		{VIRGL_DRAW_VBO, 0, 12, 0},
		{VIRGL_DRAW_VBO, 0, 20, 0},
		{VIRGL_RESOURCE_INLINE_WRITE, 0, 12, 1},
		{VIRGL_SET_SAMPLER_VIEWS, 0, 2, 1},
		{VIRGL_SET_INDEX_BUFFER, 0, 3, 0},
		{VIRGL_SET_CONSTANT_BUFFER, 0, 2, 1},
		{VIRGL_SET_STENCIL_REF, 0, 1, 0},
		{VIRGL_SET_BLEND_COLOR, 0, 4, 0},
		{VIRGL_SET_SCISSOR_STATE, 0, 3, 2},
		{VIRGL_BLIT, 0, 21, 0},
		{VIRGL_RESOURCE_COPY_REGION, 0, 13, 0},
		{VIRGL_BIND_SAMPLER_STATES, 0, 2, 1},
		{VIRGL_BEGIN_QUERY, 0, 1, 0},
		{VIRGL_END_QUERY, 0, 1, 0},
		{VIRGL_GET_QUERY_RESULT, 0, 2, 0},
		{VIRGL_SET_POLYGON_STIPPLE, 0, 32, 0},
		{VIRGL_SET_CLIP_STATE, 0, 32, 0},
		{VIRGL_SET_SAMPLE_MASK, 0, 1, 0},
		{VIRGL_SET_STREAMOUT_TARGETS, 0, 1, 1},
		{VIRGL_SET_RENDER_CONDITION, 0, 3, 0},
		{VIRGL_SET_UNIFORM_BUFFER, 0, 5, 0},
		{VIRGL_SET_SUB_CTX, 0, 1, 0},
		{VIRGL_CREATE_SUB_CTX, 0, 1, 0},
		{VIRGL_DESTROY_SUB_CTX, 0, 1, 0},
		{VIRGL_BIND_SHADER, 0, 2, 0},
		{VIRGL_SET_TESS_STATE, 0, 6, 0},
		{VIRGL_SET_MIN_SAMPLES, 0, 1, 0},
		{VIRGL_SET_SHADER_BUFFERS, 0, 5, 3},
		{VIRGL_SET_SHADER_IMAGES, 0, 7, 5},
		{VIRGL_MEMORY_BARRIER, 0, 1, 0},
		{VIRGL_LAUNCH_GRID, 0, 8, 0},
		{VIRGL_SET_FRAMEBUFFER_STATE_NO_ATTACH, 0, 2, 0},
		{VIRGL_TEXTURE_BARRIER, 0, 1, 0},
		{VIRGL_SET_ATOMIC_BUFFERS, 0, 4, 3},
		{VIRGL_SET_DEBUG_FLAGS, 0, 2, 0},
		{VIRGL_GET_QUERY_RESULT_QBO, 0, 6, 0},
		{VIRGL_TRANSFER3D, 0, 13, 0},
		{VIRGL_END_TRANSFERS, 0, 1, 0},
		{VIRGL_COPY_TRANSFER3D, 0, 14, 0},
		{VIRGL_SET_TWEAKS, 0, 2, 0},
		{VIRGL_CLEAR_TEXTURE, 0, 12, 0},
		{VIRGL_PIPE_RESOURCE_CREATE, 0, 11, 0},
		{VIRGL_PIPE_RESOURCE_SET_TYPE, 0, 8, 0},
		{VIRGL_GET_MEMORY_INFO, 0, 1, 0},
		{VIRGL_SEND_STRING_MARKER, 0, 2, 1},
		{VIRGL_LINK_SHADER, 0, 6, 0},
};

static void add_senseless(struct hostile_maker *maker)
{
	unsigned shape = below(maker, G_N_ELEMENTS(shapes));
	uint32_t words[1 + 255];
	size_t count = shapes[shape].words + (size_t)shapes[shape].step * below(maker, 6);

	words[0] = VIRGL_HEADER(shapes[shape].command, shapes[shape].object, count);
	for (size_t i = 1; i <= count; i++) {
		words[i] = senseless_word(maker);
	}
	insert_words(maker, maker->count, words, count + 1);
}

/* Half of them after a good stream, so that there is something to damage. */
static void make_senseless(struct hostile_maker *maker, const struct good_stream *good)
{
	unsigned commands = 1 + below(maker, MAX_SENSELESS);

	maker->count = 0;
	if (below(maker, 2)) {
		start_from(maker, good);
	}
	while (commands-- > 0) {
		add_senseless(maker);
	}
}

static void make_noise(struct hostile_maker *maker)
{
	maker->count = 1 + below(maker, MAX_NOISE);
	for (size_t i = 0; i < maker->count; i++) {
		maker->words[i] = (uint32_t)random64(maker);
	}
}

void hostile_maker_make(
		struct hostile_maker *maker, unsigned number, struct hostile_stream *ret_stream)
{
	maker->state = maker->seed * UINT64_C(0x2545f4914f6cdd1d) + number;
	unsigned dice = below(maker, 10);
	const struct good_stream *good = hostile_maker_good(
			maker, below(maker, hostile_maker_good_count(maker)));
	enum hostile_kind kind = dice < 6   ? HOSTILE_MUTATED
				 : dice < 9 ? HOSTILE_SENSELESS
					    : HOSTILE_NOISE;

	switch (kind) {
	case HOSTILE_MUTATED:
		mutate(maker, good);
		break;
	case HOSTILE_SENSELESS:
		make_senseless(maker, good);
		break;
	default:
		make_noise(maker);
		break;
	}
	*ret_stream = (struct hostile_stream){
			.kind = kind, .origin = good, .words = maker->words, .count = maker->count};
}

const char *hostile_kind_name(enum hostile_kind kind)
{
	static const char *const names[HOSTILE_KIND_COUNT] = {"mutated", "senseless", "noise"};

	return names[kind];
}
