/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "gpu/command.h"
#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define HEADER_LEN sizeof(struct virtio_gpu_ctrl_hdr)

/* What the specification says about each command, apart from the device's own table. */
static const struct {
	uint32_t type;
	unsigned queue;
	size_t len, reply_len;
	bool needs_3d;
} commands[] = {
		{0x0100, 0, 24, 408, false},
		{0x0101, 0, 40, 24, false},
		{0x0102, 0, 32, 24, false},
		{0x0103, 0, 48, 24, false},
		{0x0104, 0, 48, 24, false},
		{0x0105, 0, 56, 24, false},
		{0x0106, 0, 32, 24, false},
		{0x0107, 0, 32, 24, false},
		{0x0108, 0, 32, 40, true},
		{0x0109, 0, 32, 24, true},
		{0x010a, 0, 32, 1056, false},
		{0x010b, 0, 32, 40, false},
		{0x0200, 0, 96, 24, true},
		{0x0201, 0, 24, 24, true},
		{0x0202, 0, 32, 24, true},
		{0x0203, 0, 32, 24, true},
		{0x0204, 0, 72, 24, true},
		{0x0205, 0, 72, 24, true},
		{0x0206, 0, 72, 24, true},
		{0x0207, 0, 32, 24, true},
		{0x0300, 1, 56, 24, false},
		{0x0301, 1, 56, 24, false},
};

static uint32_t call_on(struct gpu_guest *guest, unsigned queue, const void *out, size_t len,
		size_t room, size_t *ret_written)
{
	struct guest_request *request = gpu_guest_send(guest, queue, out, len, room);
	uint32_t type = gpu_guest_wait(guest, request);

	*ret_written = request->written;
	guest_request_free(request);
	return type;
}

static void test_table(void **state)
{
	unsigned known = 0;
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		const struct gpu_command_type *type = gpu_command_type_find(commands[i].type);

		assert_non_null(type);
		assert_int_equal(type->queue, commands[i].queue);
		assert_int_equal(type->request_len, commands[i].len);
		assert_int_equal(type->reply_len, commands[i].reply_len);
		assert_int_equal((type->features & BIT(VIRTIO_GPU_F_VIRGL)) != 0,
				commands[i].needs_3d);
		assert_true(type->submit || type->run);
	}
	for (uint32_t type = 0; type < 0x1300; type++) {
		known += gpu_command_type_find(type) != NULL;
	}
	assert_int_equal(known, G_N_ELEMENTS(commands));
}

/* Every command, cut short and too long, on both queues. */
static void check_lengths(enum guest_kind kind, size_t chunk)
{
	struct gpu_guest *guest = gpu_guest_create(kind, NULL);
	uint8_t request[128] = {0};
	size_t written;

	guest->chunk = chunk;
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		struct virtio_gpu_ctrl_hdr hdr = {.type = commands[i].type};
		bool offered = kind != GUEST_2D || !commands[i].needs_3d;

		memcpy(request, &hdr, sizeof(hdr));
		for (size_t len = 0; len <= commands[i].len + 8; len++) {
			uint32_t type = call_on(
					guest, commands[i].queue, request, len, 2048, &written);

			if (len < commands[i].len || !offered) {
				assert_int_equal(type, VIRTIO_GPU_RESP_ERR_UNSPEC);
				assert_int_equal(written, HEADER_LEN);
			} else {
				assert_int_not_equal(type, VIRTIO_GPU_RESP_ERR_UNSPEC);
				assert_true(written >= HEADER_LEN);
			}
			type = call_on(guest, !commands[i].queue, request, len, 2048, &written);
			assert_int_equal(type, VIRTIO_GPU_RESP_ERR_UNSPEC);
		}
	}
	gpu_guest_destroy(guest);
}

static void test_lengths(void **state)
{
	(void)state;

	check_lengths(GUEST_2D, 0);
	check_lengths(GUEST_FAKE_3D, 0);
	check_lengths(GUEST_FAKE_3D, 7);
}

/* A reply that does not fit is an error if that fits, else nothing; the command is not carried out. */
static void test_reply_room(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct virtio_gpu_resource_create_2d create = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
			.resource_id = 1,
			.format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
			.width = 1,
			.height = 1};
	size_t written;
	(void)state;

	for (size_t room = 0; room < HEADER_LEN; room++) {
		assert_int_equal(call_on(guest, 0, &create, sizeof(create), room, &written), 0);
		assert_int_equal(written, 0);
	}
	assert_int_equal(call_on(guest, 0, &create, sizeof(create), HEADER_LEN, &written), OK);
	assert_int_equal(written, HEADER_LEN);

	const struct virtio_gpu_ctrl_hdr info = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO};
	const struct virtio_gpu_get_edid edid = {{.type = VIRTIO_GPU_CMD_GET_EDID}, 0, 0};
	const struct virtio_gpu_get_capset capset = {
			{.type = VIRTIO_GPU_CMD_GET_CAPSET}, FAKE_CAPSET_ID, 1};
	const struct {
		const void *request;
		size_t len, reply_len;
		uint32_t reply;
	} sized[] = {
			{&info, sizeof(info), 408, VIRTIO_GPU_RESP_OK_DISPLAY_INFO},
			{&edid, sizeof(edid), 1056, VIRTIO_GPU_RESP_OK_EDID},
			{&capset, sizeof(capset), 24 + FAKE_CAPSET_SIZE, VIRTIO_GPU_RESP_OK_CAPSET},
	};
	for (size_t i = 0; i < G_N_ELEMENTS(sized); i++) {
		for (size_t room = 0; room <= sized[i].reply_len + 3; room++) {
			uint32_t type = call_on(
					guest, 0, sized[i].request, sized[i].len, room, &written);
			if (room >= sized[i].reply_len) {
				assert_int_equal(type, sized[i].reply);
				assert_int_equal(written, sized[i].reply_len);
			} else {
				assert_int_equal(type, room < HEADER_LEN ? 0 : 0x1200);
				assert_int_equal(written, room < HEADER_LEN ? 0 : HEADER_LEN);
			}
		}
	}
	gpu_guest_destroy(guest);
}

/* Drivers leave no room for replies on the cursor queue. */
static void test_cursor_without_reply(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_update_cursor move = {
			.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR, .pos = {0, 5, 6, 0}};
	size_t written;
	(void)state;

	assert_int_equal(call_on(guest, 1, &move, sizeof(move), 0, &written), 0);
	assert_int_equal(written, 0);
	assert_int_equal(recording_display_head(guest->display, 0).x, 5);
	gpu_guest_destroy(guest);
}

static void test_commands_that_are_none(void **state)
{
	/* Blob commands: their feature is not offered. */
	static const uint32_t types[] = {0, 0x00ff, 0x010c, 0x010d, 0x01ff, 0x0208, 0x0209, 0x0302,
			0x1100, 0x1200, UINT32_MAX};
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	uint8_t request[128] = {0};
	size_t written;
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		struct virtio_gpu_ctrl_hdr hdr = {.type = types[i], .ctx_id = 1};
		memcpy(request, &hdr, sizeof(hdr));
		for (unsigned queue = 0; queue < 2; queue++) {
			assert_int_equal(call_on(guest, queue, request, sizeof(request), 64,
							 &written),
					VIRTIO_GPU_RESP_ERR_UNSPEC);
			assert_int_equal(written, HEADER_LEN);
		}
	}
	gpu_guest_destroy(guest);
}

static void test_unfenced_replies_are_bare(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct virtio_gpu_ctrl_hdr request = {.type = VIRTIO_GPU_CMD_CTX_DESTROY,
			.flags = VIRTIO_GPU_FLAG_INFO_RING_IDX | 0xfff0,
			.fence_id = 77,
			.ctx_id = 3,
			.ring_idx = 2};
	const struct virtio_gpu_ctrl_hdr expect = {.type = VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID};
	struct virtio_gpu_ctrl_hdr reply;
	(void)state;

	(void)gpu_guest_call(guest, &request, sizeof(request), &reply, sizeof(reply));
	assert_memory_equal(&reply, &expect, sizeof(reply));
	gpu_guest_destroy(guest);
}

/* Answered on the spot, even while the renderer is busy for ever. */
static void test_queries_do_not_wait(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct {
		struct virtio_gpu_cmd_submit fixed;
		uint32_t words[1];
	} blocker = {{{.type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1}, 4, 0}, {FAKE_STREAM_BLOCK}};
	const struct virtio_gpu_ctrl_hdr info = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO};
	const struct virtio_gpu_get_edid edid = {{.type = VIRTIO_GPU_CMD_GET_EDID}, 0, 0};
	const struct virtio_gpu_update_cursor move = {
			.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR, .pos = {0, 5, 6, 0}};
	const struct virtio_gpu_update_cursor hide = {.hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR};
	uint8_t reply[1056];
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	struct guest_request *blocked = gpu_guest_send(guest, 0, &blocker, sizeof(blocker), 24);
	fake_renderer_wait_blocked(guest->fake);
	assert_int_equal(gpu_guest_call(guest, &info, sizeof(info), reply, sizeof(reply)),
			VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(gpu_guest_call(guest, &edid, sizeof(edid), reply, sizeof(reply)),
			VIRTIO_GPU_RESP_OK_EDID);
	assert_int_equal(gpu_guest_cursor(guest, &move, sizeof(move)), OK);
	assert_int_equal(gpu_guest_cursor(guest, &hide, sizeof(hide)), OK);
	assert_false(gpu_guest_is_done(guest, blocked));
	fake_renderer_unblock(guest->fake);
	assert_int_equal(gpu_guest_wait(guest, blocked), OK);
	guest_request_free(blocked);
	gpu_guest_destroy(guest);
}

/* Small numbers hit things that exist; large ones try the arithmetic. */
static uint32_t random_number(GRand *rand)
{
	switch (g_rand_int_range(rand, 0, 6)) {
	case 0:
		return g_rand_int(rand);
	case 1:
		return UINT32_MAX - (uint32_t)g_rand_int_range(rand, 0, 40);
	case 2:
		return 1u << g_rand_int_range(rand, 0, 32);
	default:
		return (uint32_t)g_rand_int_range(rand, 0, 5);
	}
}

/* Commands of random content, mostly of right form, some fenced, with resets in between. */
static void check_random(enum guest_kind kind, uint32_t seed)
{
	struct gpu_guest *guest = gpu_guest_create(kind, NULL);
	GRand *rand = g_rand_new_with_seed(seed);
	GQueue sent = G_QUEUE_INIT;

	for (unsigned n = 0; n < 4000; n++) {
		size_t i = (size_t)g_rand_int_range(rand, 0, G_N_ELEMENTS(commands));
		uint32_t words[40];

		for (unsigned w = 0; w < G_N_ELEMENTS(words); w++) {
			words[w] = random_number(rand);
		}
		if (words[8] == FAKE_STREAM_BLOCK) {
			words[8] = 0;
		}
		words[0] = commands[i].type;
		words[1] &= g_rand_boolean(rand) ? 3 : 0;
		words[5] &= 0x3f; /* the ring */
		size_t len = commands[i].len + 4 * (size_t)g_rand_int_range(rand, 0, 9);
		guest->chunk = (size_t)g_rand_int_range(rand, 0, 30);
		g_queue_push_tail(
				&sent, gpu_guest_send(guest, commands[i].queue, words, len, 1100));
		if (n % 500 == 499) {
			gpu_guest_reset(guest);
		}
		while (sent.length > 100) {
			struct guest_request *request = g_queue_pop_head(&sent);
			(void)gpu_guest_wait(guest, request);
			guest_request_free(request);
		}
	}
	g_rand_free(rand);
	gpu_guest_destroy(guest);
	for (struct guest_request *r; (r = g_queue_pop_head(&sent)) != NULL;) {
		guest_request_free(r);
	}
}

static void test_random_commands(void **state)
{
	(void)state;

	for (uint32_t seed = 1; seed <= 3; seed++) {
		check_random(GUEST_2D, seed);
		check_random(GUEST_FAKE_3D, seed);
		check_random(GUEST_FAKE_PLAIN, seed);
	}
}

static void test_random_bytes(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	GRand *rand = g_rand_new_with_seed(4);
	uint32_t words[32];
	size_t written;
	(void)state;

	for (unsigned n = 0; n < 20000; n++) {
		for (unsigned w = 0; w < G_N_ELEMENTS(words); w++) {
			words[w] = g_rand_int(rand);
		}
		words[1] &= ~VIRTIO_GPU_FLAG_FENCE;
		assert_int_equal(call_on(guest, n & 1, words, sizeof(words), 24, &written),
				VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	g_rand_free(rand);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_table),
			cmocka_unit_test(test_lengths),
			cmocka_unit_test(test_reply_room),
			cmocka_unit_test(test_cursor_without_reply),
			cmocka_unit_test(test_commands_that_are_none),
			cmocka_unit_test(test_unfenced_replies_are_bare),
			cmocka_unit_test(test_queries_do_not_wait),
			cmocka_unit_test(test_random_commands),
			cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
