/* SPDX-License-Identifier: MIT */
/*
 * The picture against a guest that means no good. The renderer may die of what it is sent; then the successor answers what was in
 * flight with an error and draws as if nothing had been. Nothing else may suffer.
 *
 * ORIEL_HOSTILE_STREAMS, ORIEL_HOSTILE_SEED and ORIEL_HOSTILE_FIRST choose how many streams there are, and which.
 */
#include "tests/harness/test.h"

#include "core/virtio/virgl.h"
#include "tests/harness/hostile_stream.h"
#include "tests/harness/triangle.h"

#include <stdlib.h>
#include <string.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define CONTROL VIRTIO_GPU_QUEUE_CONTROL
#define DEFAULT_STREAMS 1000
#define CHECK_EVERY 25 /* streams that nothing seems to have come of */
#define CONTEXT 10 /* the hostile one; the triangle's is another */
#define TRIANGLE_CONTEXT 1
#define HANG_MS "2000"
#define HOST_MIB 192
#define RENDERER_MIB 192 /* the process itself, compilers at work included */
#define BACKING (UINT64_C(32) << 20) /* guest address of hostile resources' memory */
#define BACKING_SIZE (1u << 20)

enum fate {
	FATE_ACCEPTED,
	FATE_REFUSED,
	FATE_CRASHED,
	FATE_HUNG,
	FATE_COUNT,
};

static struct picture_client *start(void)
{
	g_autofree char *memory = g_strdup_printf("--max-hostmem=%u", HOST_MIB << 20);
	const char *arguments[] = {"--xres=256", "--yres=256", "--hang-time=" HANG_MS, memory,
			"--max-contexts=16", NULL};
	g_autoptr(GError) error = NULL;
	struct picture_client *client = picture_client_start(arguments, &error);

	if (!client) {
		fail_msg("%s", error->message);
	}
	return client;
}

static uint32_t number_from(const char *name, uint32_t otherwise)
{
	const char *text = g_getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

/* A request without an answer of interest. False if the renderer is gone. */
#define SEND(client, request) \
	(picture_client_call((client), CONTROL, &(request), sizeof(request), NULL, 0, NULL, 0) != 0)

static bool send_resource(struct picture_client *client, uint32_t type, uint32_t ctx, uint32_t id)
{
	const struct virtio_gpu_resource_cmd request = {
			.hdr = {.type = type, .ctx_id = ctx}, .resource_id = id};

	return SEND(client, request);
}

static bool create_resource(struct picture_client *client, const struct good_resource *resource)
{
	const struct virtio_gpu_resource_create_3d request = {
			.hdr = {.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, .ctx_id = CONTEXT},
			.resource_id = resource->id,
			.target = resource->target,
			.format = resource->format,
			.bind = resource->bind,
			.width = resource->width,
			.height = resource->height,
			.depth = resource->depth,
			.array_size = resource->array_size,
			.last_level = resource->last_level,
			.nr_samples = resource->nr_samples,
	};

	return SEND(client, request) &&
	       picture_client_attach_backing(client, resource->id, BACKING, BACKING_SIZE) != 0 &&
	       picture_client_ctx_attach(client, CONTEXT, resource->id) != 0;
}

static bool prepare(struct picture_client *client, const struct good_stream *good)
{
	bool alive = picture_client_context(client, CONTEXT) != 0;

	for (unsigned i = 0; alive && i < good->resource_count; i++) {
		alive = create_resource(client, &good->resources[i]);
	}
	return alive;
}

static bool clean_up(struct picture_client *client, const struct good_stream *good)
{
	const struct virtio_gpu_ctrl_hdr destroy = {
			.type = VIRTIO_GPU_CMD_CTX_DESTROY, .ctx_id = CONTEXT};
	bool alive = SEND(client, destroy);

	for (unsigned i = 0; alive && i < good->resource_count; i++) {
		alive = send_resource(
				client, VIRTIO_GPU_CMD_RESOURCE_UNREF, 0, good->resources[i].id);
	}
	return alive;
}

static unsigned post_submit(
		struct picture_client *client, uint32_t ctx, const uint32_t *words, size_t count)
{
	const struct virtio_gpu_cmd_submit request = {
			.hdr = {.type = VIRTIO_GPU_CMD_SUBMIT_3D,
					.flags = VIRTIO_GPU_FLAG_FENCE,
					.fence_id = ++client->next_fence,
					.ctx_id = ctx},
			.size = (uint32_t)count * 4,
	};

	return picture_client_post(client, CONTROL, &request, sizeof(request), words, count * 4,
			sizeof(struct virtio_gpu_ctrl_hdr));
}

/* Submits the stream and something harmless behind it. 0 if the renderer is gone, else the reply's type. */
static uint32_t submit(struct picture_client *client, const uint32_t *words, size_t count)
{
	struct virtio_gpu_ctrl_hdr reply = {0}, second;
	unsigned slot = post_submit(client, CONTEXT, words, count);
	unsigned behind = post_submit(client, CONTEXT, NULL, 0);

	if (!picture_client_wait(client, CONTROL, slot, &reply, sizeof(reply), 30000) ||
			!picture_client_wait(
					client, CONTROL, behind, &second, sizeof(second), 30000)) {
		return 0;
	}
	return reply.type;
}

static void assert_draws(struct picture_client *client)
{
	assert_true(triangle_setup(client, TRIANGLE_CONTEXT));
	assert_true(triangle_draw(client, TRIANGLE_CONTEXT));
	assert_true(triangle_is_right(client, TRIANGLE_CONTEXT));
	assert_true(triangle_teardown(client, TRIANGLE_CONTEXT));
}

/* The renderer is gone or hangs, and says so. A successor answers what was in flight. */
static enum fate replace(struct picture_client *client)
{
	uint64_t pending = client->slots;
	enum fate fate = client->lost ? FATE_HUNG : FATE_CRASHED;
	g_autoptr(GError) error = NULL;

	if (!client->lost) {
		assert_true(picture_client_wait_death(client, 0)); /* else nobody noticed a hang */
	}
	if (!picture_client_restart(client, &error)) {
		fail_msg("%s", error->message);
	}
	for (unsigned slot = 0; pending >> slot != 0; slot++) {
		struct virtio_gpu_ctrl_hdr reply;
		if ((pending & BIT(slot)) == 0) {
			continue;
		}
		assert_true(picture_client_wait(
				client, CONTROL, slot, &reply, sizeof(reply), 10000));
		/* The last ones may have been answered just before the end. */
		assert_true(reply.type == OK ||
				(reply.type >= VIRTIO_GPU_RESP_ERR_UNSPEC &&
						reply.type <= VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER));
	}
	assert_int_equal(client->slots, 0);
	return fate;
}

static enum fate attack(struct picture_client *client, const struct hostile_stream *stream)
{
	uint32_t reply = prepare(client, stream->origin)
					 ? submit(client, stream->words, stream->count)
					 : 0;

	if (reply == 0 || !clean_up(client, stream->origin)) {
		return replace(client);
	}
	return reply == OK ? FATE_ACCEPTED : FATE_REFUSED;
}

/* A start from streams that the renderer refuses would prove nothing. */
static void test_good_streams(void **state)
{
	struct picture_client *client = start();
	g_autoptr(GError) error = NULL;
	struct hostile_maker *maker = hostile_maker_create(STREAM_DIRECTORY, 0, &error);
	(void)state;

	assert_non_null(maker);
	for (unsigned i = 0; i < hostile_maker_good_count(maker); i++) {
		const struct good_stream *good = hostile_maker_good(maker, i);
		assert_true(prepare(client, good));
		print_message("%s\n", good->name);
		assert_int_equal(submit(client, good->words, good->count), OK);
		assert_true(clean_up(client, good));
	}
	hostile_maker_destroy(maker);
	assert_int_equal(picture_client_stop(client), 0);
}

static void assert_memory_is_bounded(struct picture_client *client)
{
	uint64_t mib = MAX(picture_client_resident(client) >> 20, client->peak_kib >> 10);

	assert_in_range(mib, 1, HOST_MIB + RENDERER_MIB);
}

static void print_tally(unsigned tally[HOSTILE_KIND_COUNT][FATE_COUNT])
{
	print_message("%-10s %9s %9s %9s %9s\n", "", "accepted", "refused", "crashed", "hung");
	for (unsigned i = 0; i < HOSTILE_KIND_COUNT; i++) {
		print_message("%-10s %9u %9u %9u %9u\n", hostile_kind_name(i),
				tally[i][FATE_ACCEPTED], tally[i][FATE_REFUSED],
				tally[i][FATE_CRASHED], tally[i][FATE_HUNG]);
	}
}

static void test_streams(void **state)
{
	struct picture_client *client = start();
	uint32_t first = number_from("ORIEL_HOSTILE_FIRST", 0);
	uint32_t count = number_from("ORIEL_HOSTILE_STREAMS", DEFAULT_STREAMS);
	uint32_t seed = number_from("ORIEL_HOSTILE_SEED", 1);
	unsigned tally[HOSTILE_KIND_COUNT][FATE_COUNT] = {0};
	g_autoptr(GError) error = NULL;
	struct hostile_maker *maker = hostile_maker_create(STREAM_DIRECTORY, seed, &error);
	(void)state;

	assert_non_null(maker);
	for (uint32_t i = first; i < first + count; i++) {
		struct hostile_stream stream;
		hostile_maker_make(maker, i, &stream);
		enum fate fate = attack(client, &stream);
		tally[stream.kind][fate]++;
		if (fate >= FATE_CRASHED) {
			print_message("seed %u, stream %u (%s, %s): %s\n", seed, i,
					hostile_kind_name(stream.kind), stream.origin->name,
					fate == FATE_HUNG ? "hung" : "crashed");
		}
		if (fate >= FATE_CRASHED || i % CHECK_EVERY == 0) {
			assert_draws(client);
		}
		assert_memory_is_bounded(client);
	}
	assert_draws(client);
	hostile_maker_destroy(maker);
	assert_int_equal(picture_client_stop(client), 0);
	print_tally(tally);
}

/* What the guest may ask for by one command that no host has. */
static const struct {
	const char *name;
	struct good_resource resource; /* id is filled in */
} absurd[] = {
		{"largest texture", {0, VIRGL_TARGET_2D, 1, 2, 16384, 16384, 1, 1, 0, 0}},
		{"beyond it", {0, VIRGL_TARGET_2D, 1, 2, 16385, 1, 1, 1, 0, 0}},
		{"all ones", {0, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u}},
		{"all zeros", {0}},
		{"largest buffer", {0, VIRGL_TARGET_BUFFER, 64, 16, INT32_MAX, 1, 1, 1, 0, 0}},
		{"beyond it", {0, VIRGL_TARGET_BUFFER, 64, 16, ~0u, 1, 1, 1, 0, 0}},
		{"deep", {0, VIRGL_TARGET_3D, 31, 8, 2048, 2048, 2048, 1, 0, 0}},
		{"many layers", {0, VIRGL_TARGET_2D_ARRAY, 31, 8, 4096, 4096, 1, 2048, 0, 0}},
		{"cubes", {0, VIRGL_TARGET_CUBE_ARRAY, 31, 8, 4096, 4096, 1, 2046, 12, 0}},
		{"many samples", {0, VIRGL_TARGET_2D, 1, 2, 8192, 8192, 1, 1, 0, 32}},
		{"more levels than sizes", {0, VIRGL_TARGET_2D, 1, 2, 4, 4, 1, 1, 14, 0}},
		{"no width", {0, VIRGL_TARGET_2D, 1, 2, 0, 64, 1, 1, 0, 0}},
		{"no height", {0, VIRGL_TARGET_2D, 1, 2, 64, 0, 1, 1, 0, 0}},
		{"no depth", {0, VIRGL_TARGET_3D, 1, 2, 64, 64, 0, 1, 0, 0}},
		{"no layers", {0, VIRGL_TARGET_2D_ARRAY, 1, 2, 64, 64, 1, 0, 0, 0}},
		{"depth as scanout", {0, VIRGL_TARGET_2D, 19, 1 << 18, 64, 64, 1, 1, 0, 0}},
		{"staging", {0, VIRGL_TARGET_BUFFER, 64, 1 << 19, 1 << 30, 1, 1, 1, 0, 0}},
		{"custom", {0, VIRGL_TARGET_BUFFER, 64, 1 << 17, 1 << 30, 1, 1, 1, 0, 0}},
};

/* Each twenty times over, then whatever exists goes. Nothing of it is worth a renderer's life, and none of it fits the limit. */
static void test_absurd_resources(void **state)
{
	struct picture_client *client = start();
	(void)state;

	for (unsigned i = 0; i < G_N_ELEMENTS(absurd); i++) {
		struct good_resource resource = absurd[i].resource;
		print_message("%s\n", absurd[i].name);
		assert_int_equal(picture_client_context(client, CONTEXT), OK);
		for (resource.id = 1; resource.id <= 20; resource.id++) {
			assert_true(create_resource(client, &resource));
		}
		assert_memory_is_bounded(client);
		for (uint32_t id = 1; id <= 20; id++) {
			assert_true(send_resource(client, VIRTIO_GPU_CMD_RESOURCE_UNREF, 0, id));
		}
		const struct virtio_gpu_ctrl_hdr destroy = {
				.type = VIRTIO_GPU_CMD_CTX_DESTROY, .ctx_id = CONTEXT};
		assert_true(SEND(client, destroy));
	}
	assert_draws(client);
	struct control_statistics statistics;
	assert_true(picture_client_statistics(client, &statistics));
	assert_int_equal(statistics.resources, 0);
	assert_int_equal(statistics.contexts, 0);
	assert_int_equal(statistics.host_bytes, 0);
	assert_int_equal(picture_client_stop(client), 0);
}

/* The triangle's state without its draw; more is appended. */
static void encode_state(struct gallium *g, uint32_t *words, size_t capacity)
{
	gallium_init(g, words, capacity);
	triangle_encode(g);
	assert_false(g->overflow);
}

/* More vertices than anybody can draw while somebody waits. */
static void test_endless_draw(void **state)
{
	struct picture_client *client = start();
	static uint32_t words[4096];
	struct gallium g;
	(void)state;

	assert_true(triangle_setup(client, CONTEXT));
	encode_state(&g, words, G_N_ELEMENTS(words));
	for (unsigned i = 0; i < 8; i++) {
		gallium_draw(&g, GALLIUM_TRIANGLES, 0, 0x7fffffff);
	}
	assert_false(g.overflow);
	int64_t begin = g_get_monotonic_time();
	assert_int_equal(submit(client, words, g.count), 0);
	print_message("noticed after %d ms\n", (int)((g_get_monotonic_time() - begin) / 1000));
	assert_true(client->lost);
	assert_int_equal(replace(client), FATE_HUNG);
	assert_draws(client);
	assert_memory_is_bounded(client);
	assert_int_equal(picture_client_stop(client), 0);
}

/* A loop without an end in a shader does the same. */
static void test_endless_shader(void **state)
{
	static const char text[] = "FRAG\n"
				   "DCL OUT[0], COLOR\n"
				   "DCL TEMP[0]\n"
				   "IMM[0] FLT32 { 0.5, 0.5, 0.5, 1.0 }\n"
				   "  0: MOV TEMP[0], IMM[0]\n"
				   "  1: BGNLOOP :4\n"
				   "  2: MUL TEMP[0], TEMP[0], IMM[0]\n"
				   "  3: ENDLOOP :1\n"
				   "  4: MOV OUT[0], TEMP[0]\n"
				   "  5: END\n";
	struct picture_client *client = start();
	static uint32_t words[4096];
	struct gallium g;
	(void)state;

	assert_true(triangle_setup(client, CONTEXT));
	encode_state(&g, words, G_N_ELEMENTS(words));
	gallium_create_shader(&g, 77, VIRGL_SHADER_FRAGMENT, text);
	gallium_bind_shader(&g, 77, VIRGL_SHADER_FRAGMENT);
	gallium_draw(&g, GALLIUM_TRIANGLES, 0, 3);
	assert_false(g.overflow);
	uint32_t reply = submit(client, words, g.count);
	if (reply == 0) {
		(void)replace(client);
	} else {
		/* The rasteriser bounds its loops, or a compiler saw through it. */
		assert_true(triangle_teardown(client, CONTEXT));
	}
	assert_draws(client);
	assert_int_equal(picture_client_stop(client), 0);
}

static char *long_shader(unsigned instructions)
{
	GString *text = g_string_new("FRAG\n"
				     "DCL IN[0], GENERIC[0], PERSPECTIVE\n"
				     "DCL OUT[0], COLOR\n"
				     "DCL TEMP[0..15]\n");

	for (unsigned i = 0; i < 16; i++) {
		g_string_append_printf(text, "MOV TEMP[%u], IN[0]\n", i);
	}
	for (unsigned i = 0; i < instructions; i++) {
		g_string_append_printf(text, "MAD TEMP[%u],TEMP[%u].yzwx,IN[0],TEMP[%u]\n", i % 16,
				(i * 7 + 3) % 16, (i * 5 + 1) % 16);
	}
	g_string_append(text, "MOV OUT[0], TEMP[3]\nEND\n");
	return g_string_free(text, FALSE);
}

/* Its compilation takes longer than the watchdog's patience, or a good deal of it. */
static void test_long_shader(void **state)
{
	struct picture_client *client = start();
	g_autofree char *text = long_shader(10000);
	const size_t capacity = 110000;
	g_autofree uint32_t *words = g_new(uint32_t, capacity);
	struct gallium g;
	(void)state;

	assert_true(triangle_setup(client, CONTEXT));
	encode_state(&g, words, capacity);
	/* Long ones arrive in parts. */
	size_t length = strlen(text) + 1, part = 200000;
	for (size_t offset = 0; offset < length; offset += part) {
		size_t n = MIN(part, length - offset), padded = (n + 3) / 4;
		uint32_t *at = words + g.count;
		assert_true(g.count + 6 + padded <= capacity);
		at[0] = VIRGL_HEADER(VIRGL_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + padded);
		at[1] = 77;
		at[2] = VIRGL_SHADER_FRAGMENT;
		at[3] = offset == 0 ? (uint32_t)length
				    : (uint32_t)offset | VIRGL_SHADER_CONTINUATION;
		at[4] = 150000; /* tokens */
		at[5] = 0;
		memset(at + 6, 0, padded * 4);
		memcpy(at + 6, text + offset, n);
		g.count += 6 + padded;
	}
	gallium_bind_shader(&g, 77, VIRGL_SHADER_FRAGMENT);
	gallium_draw(&g, GALLIUM_TRIANGLES, 0, 3);
	assert_false(g.overflow);
	int64_t begin = g_get_monotonic_time();
	uint32_t reply = submit(client, words, g.count);
	print_message("%zu bytes of text: reply 0x%x after %d ms\n", length, reply,
			(int)((g_get_monotonic_time() - begin) / 1000));
	if (reply == 0) {
		(void)replace(client);
	} else {
		assert_true(triangle_teardown(client, CONTEXT));
	}
	assert_draws(client);
	assert_memory_is_bounded(client);
	assert_int_equal(picture_client_stop(client), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_good_streams),
			cmocka_unit_test(test_absurd_resources),
			cmocka_unit_test(test_endless_draw),
			cmocka_unit_test(test_endless_shader),
			cmocka_unit_test(test_long_shader),
			cmocka_unit_test(test_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
