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

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_good_streams),
			cmocka_unit_test(test_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
