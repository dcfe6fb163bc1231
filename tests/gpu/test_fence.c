/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static const struct gpu_timeline_id global = {.global = true};

static struct gpu_timeline_id ring_of(uint32_t ctx, uint8_t ring)
{
	return (struct gpu_timeline_id){.ctx_id = ctx, .ring = ring};
}

/* Two contexts, fences held. */
static struct gpu_guest *setup(void)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 2), OK);
	fake_renderer_hold_fences(guest->fake, true);
	return guest;
}

static void finish(struct gpu_guest *guest, struct guest_request **requests, unsigned count)
{
	gpu_guest_destroy(guest);
	for (unsigned i = 0; i < count; i++) {
		guest_request_free(requests[i]);
	}
}

static void test_reply_echoes(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[2];
	(void)state;

	r[0] = guest_send_fence(guest, 1, -1, 0x1122334455667788);
	r[1] = guest_send_fence(guest, 2, 63, 9);
	fake_renderer_wait_fences(guest->fake, ring_of(2, 63), 1);
	assert_false(gpu_guest_is_done(guest, r[0]));
	assert_false(gpu_guest_is_done(guest, r[1]));
	fake_renderer_signal(guest->fake, global, 1);
	fake_renderer_signal(guest->fake, ring_of(2, 63), 1);
	assert_int_equal(gpu_guest_wait(guest, r[0]), OK);
	assert_int_equal(gpu_guest_wait(guest, r[1]), OK);

	const struct virtio_gpu_ctrl_hdr *reply = guest_request_reply(r[0]);
	assert_int_equal(reply->flags, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(reply->fence_id, 0x1122334455667788);
	assert_int_equal(reply->ctx_id, 1);
	assert_int_equal(reply->ring_idx, 0);
	reply = guest_request_reply(r[1]);
	assert_int_equal(reply->flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	assert_int_equal(reply->fence_id, 9);
	assert_int_equal(reply->ctx_id, 2);
	assert_int_equal(reply->ring_idx, 63);
	finish(guest, r, 2);
}

/* One fence on each of four timelines; each signal answers its own and no other, whatever the guest's ids. */
static void test_timelines_are_apart(void **state)
{
	const struct gpu_timeline_id ids[] = {global, ring_of(1, 0), ring_of(1, 5), ring_of(2, 0)};
	struct gpu_guest *guest = setup();
	struct guest_request *r[4];
	(void)state;

	r[0] = guest_send_fence(guest, 1, -1, 100);
	r[1] = guest_send_fence(guest, 1, 0, 1);
	r[2] = guest_send_fence(guest, 1, 5, 7);
	r[3] = guest_send_fence(guest, 2, 0, UINT64_MAX);
	fake_renderer_wait_fences(guest->fake, ids[3], 1);
	for (int i = 3; i >= 0; i--) {
		fake_renderer_signal(guest->fake, ids[i], 1);
		assert_int_equal(gpu_guest_wait(guest, r[i]), OK);
		gpu_guest_sync(guest);
		for (int other = 0; other < i; other++) {
			assert_false(gpu_guest_is_done(guest, r[other]));
		}
	}
	finish(guest, r, 4);
}

static void test_one_signal_answers_all_before(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[5];
	(void)state;

	for (unsigned i = 0; i < 5; i++) {
		r[i] = guest_send_fence(guest, 1, 0, 10 + i);
	}
	fake_renderer_wait_fences(guest->fake, ring_of(1, 0), 5);
	fake_renderer_signal(guest->fake, ring_of(1, 0), 3); /* one event, for the third */
	assert_int_equal(gpu_guest_wait(guest, r[2]), OK);
	gpu_guest_sync(guest);
	assert_true(gpu_guest_is_done(guest, r[0]) && gpu_guest_is_done(guest, r[1]));
	assert_false(gpu_guest_is_done(guest, r[3]) || gpu_guest_is_done(guest, r[4]));
	assert_true(r[0]->order < r[1]->order && r[1]->order < r[2]->order);
	fake_renderer_signal(guest->fake, ring_of(1, 0), 2);
	assert_int_equal(gpu_guest_wait(guest, r[4]), OK);
	finish(guest, r, 5);
}

/* On a ring, completion answers all outstanding ids up to its own; on the global timeline ids mean nothing. */
static void test_ids_out_of_order(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[6];
	(void)state;

	r[0] = guest_send_fence(guest, 1, 3, 50);
	r[1] = guest_send_fence(guest, 1, 3, 20); /* later, smaller: goes with it */
	r[2] = guest_send_fence(guest, 1, 3, 51); /* stays */
	r[3] = guest_send_fence(guest, 2, -1, 50);
	r[4] = guest_send_fence(guest, 2, -1, 20);
	r[5] = guest_send_fence(guest, 2, -1, 20);
	fake_renderer_wait_fences(guest->fake, global, 3);
	fake_renderer_signal(guest->fake, ring_of(1, 3), 1);
	fake_renderer_signal(guest->fake, global, 1);
	assert_int_equal(gpu_guest_wait(guest, r[3]), OK);
	gpu_guest_sync(guest);
	assert_true(gpu_guest_is_done(guest, r[0]) && gpu_guest_is_done(guest, r[1]));
	assert_false(gpu_guest_is_done(guest, r[2]));
	assert_false(gpu_guest_is_done(guest, r[4]) || gpu_guest_is_done(guest, r[5]));
	fake_renderer_signal(
			guest->fake, ring_of(1, 3), 2); /* 20's own comes late and harms nobody */
	fake_renderer_signal(guest->fake, global, 2);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(gpu_guest_wait(guest, r[i]), OK);
	}
	finish(guest, r, 6);
}

static void test_destroying_a_context(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[5];
	(void)state;

	r[0] = guest_send_fence(guest, 1, 0, 1);
	r[1] = guest_send_fence(guest, 1, 9, 2);
	r[2] = guest_send_fence(guest, 2, 0, 1);
	r[3] = guest_send_fence(guest, 2, 9, 1);
	r[4] = guest_send_fence(guest, 1, -1, 1); /* context 1's stream on the global timeline */
	fake_renderer_wait_fences(guest->fake, global, 1);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_DESTROY, 1), OK);
	assert_int_equal(gpu_guest_wait(guest, r[0]), OK);
	assert_int_equal(gpu_guest_wait(guest, r[1]), OK);
	gpu_guest_sync(guest);
	for (unsigned i = 2; i < 5; i++) {
		assert_false(gpu_guest_is_done(guest, r[i]));
	}

	/* A late signal for the old context does not touch a new one of the same id. */
	uint64_t old = fake_renderer_last_seq(guest->fake);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	struct guest_request *fresh = guest_send_fence(guest, 1, 0, 1);
	gpu_guest_sync(guest);
	fake_renderer_signal_seq(guest->fake, ring_of(1, 0), old);
	fake_renderer_signal_seq(guest->fake, ring_of(77, 0), UINT64_MAX);
	fake_renderer_signal(guest->fake, ring_of(2, 0), 1);
	assert_int_equal(gpu_guest_wait(guest, r[2]), OK);
	assert_false(gpu_guest_is_done(guest, fresh));
	fake_renderer_signal_seq(guest->fake, ring_of(1, 0), UINT64_MAX);
	fake_renderer_signal(guest->fake, ring_of(2, 9), 1);
	fake_renderer_signal(guest->fake, global, 1);
	assert_int_equal(gpu_guest_wait(guest, fresh), OK);
	assert_int_equal(gpu_guest_wait(guest, r[3]), OK);
	assert_int_equal(gpu_guest_wait(guest, r[4]), OK);
	gpu_guest_destroy(guest);
	guest_request_free(fresh);
	for (unsigned i = 0; i < 5; i++) {
		guest_request_free(r[i]);
	}
}

/* CTX_DESTROY fenced on a ring of the context it destroys: answered when all work has completed. */
static void test_destroy_fenced_on_its_own_ring(void **state)
{
	struct gpu_guest *guest = setup();
	const struct virtio_gpu_ctrl_hdr destroy = {
			.type = VIRTIO_GPU_CMD_CTX_DESTROY,
			.flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX,
			.fence_id = 5,
			.ctx_id = 1,
			.ring_idx = 2,
	};
	struct guest_request *r[2];
	(void)state;

	r[0] = guest_send_fence(guest, 1, 2, 4);
	r[1] = gpu_guest_send(guest, VIRTIO_GPU_QUEUE_CONTROL, &destroy, sizeof(destroy),
			sizeof(destroy));
	assert_int_equal(gpu_guest_wait(guest, r[0]), OK);
	fake_renderer_wait_fences(guest->fake, global, 1);
	assert_false(gpu_guest_is_done(guest, r[1]));
	fake_renderer_signal(guest->fake, global, 1);
	assert_int_equal(gpu_guest_wait(guest, r[1]), OK);
	assert_int_equal(guest_request_reply(r[1])->ring_idx, 2);
	finish(guest, r, 2);
}

/* An error's fence waits too: drivers take a completed fence for everything before it. */
static void test_errors_keep_the_order(void **state)
{
	struct gpu_guest *guest = setup();
	const struct {
		struct virtio_gpu_cmd_submit fixed;
		uint32_t words[1];
	} bad = {{{.type = VIRTIO_GPU_CMD_SUBMIT_3D,
				  .flags = VIRTIO_GPU_FLAG_FENCE,
				  .fence_id = 2,
				  .ctx_id = 1},
				 .size = 4},
			{FAKE_STREAM_FAIL}};
	const struct virtio_gpu_ctrl_hdr unknown = {
			.type = 0x0999, .flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 3};
	struct guest_request *r[3];
	(void)state;

	r[0] = guest_send_fence(guest, 1, -1, 1);
	r[1] = gpu_guest_send(guest, VIRTIO_GPU_QUEUE_CONTROL, &bad, sizeof(bad), 24);
	r[2] = gpu_guest_send(guest, VIRTIO_GPU_QUEUE_CONTROL, &unknown, sizeof(unknown), 24);
	fake_renderer_wait_fences(guest->fake, global, 3);
	assert_false(gpu_guest_is_done(guest, r[1]) || gpu_guest_is_done(guest, r[2]));
	fake_renderer_signal(guest->fake, global, 3);
	assert_int_equal(gpu_guest_wait(guest, r[1]), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(gpu_guest_wait(guest, r[2]), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(guest_request_reply(r[1])->flags, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(guest_request_reply(r[1])->fence_id, 2);
	assert_int_equal(guest_request_reply(r[2])->fence_id, 3);
	assert_true(r[0]->order < r[1]->order && r[1]->order < r[2]->order);
	finish(guest, r, 3);
}

static void test_fence_that_cannot_be_made(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[3];
	(void)state;

	/* Alone on its timeline: answered at once, as an error. */
	fake_renderer_fail(guest->fake, "fence", VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	r[0] = guest_send_fence(guest, 1, 0, 1);
	assert_int_equal(gpu_guest_wait(guest, r[0]), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	/* Behind another: with it. */
	r[1] = guest_send_fence(guest, 1, 0, 2);
	gpu_guest_sync(guest);
	fake_renderer_fail(guest->fake, "fence", VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	r[2] = guest_send_fence(guest, 1, 0, 3);
	gpu_guest_sync(guest);
	assert_false(gpu_guest_is_done(guest, r[2]));
	fake_renderer_signal(guest->fake, ring_of(1, 0), 1);
	assert_int_equal(gpu_guest_wait(guest, r[1]), OK);
	assert_int_equal(gpu_guest_wait(guest, r[2]), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	finish(guest, r, 3);
}

static void test_rings_that_are_none(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[2];
	(void)state;

	fake_renderer_hold_fences(guest->fake, false);
	r[0] = guest_send_fence(guest, 1, 64, 1);
	assert_int_equal(gpu_guest_wait(guest, r[0]), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	r[1] = guest_send_fence(guest, 3, 0, 1);
	assert_int_equal(gpu_guest_wait(guest, r[1]), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(guest_request_reply(r[1])->flags,
			VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	finish(guest, r, 2);
}

/* Without CONTEXT_INIT the ring flag means nothing and is not echoed. */
static void test_rings_are_not_offered(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_PLAIN, NULL);
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	fake_renderer_hold_fences(guest->fake, true);
	struct guest_request *r = guest_send_fence(guest, 1, 5, 1);
	fake_renderer_wait_fences(guest->fake, global, 1);
	fake_renderer_signal(guest->fake, global, 1);
	assert_int_equal(gpu_guest_wait(guest, r), OK);
	assert_int_equal(guest_request_reply(r)->flags, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(guest_request_reply(r)->ring_idx, 0);
	finish(guest, &r, 1);
}

static void test_reset_completes_fences(void **state)
{
	struct gpu_guest *guest = setup();
	struct guest_request *r[3];
	(void)state;

	r[0] = guest_send_fence(guest, 1, 0, 1);
	r[1] = guest_send_fence(guest, 1, -1, 1);
	fake_renderer_wait_fences(guest->fake, global, 1);
	gpu_guest_reset(guest);
	assert_true(gpu_guest_is_done(guest, r[0]) && gpu_guest_is_done(guest, r[1]));
	assert_int_equal(r[0]->written, 0);

	/* Fences work afterwards, and numbers from before do not touch them. */
	uint64_t old = fake_renderer_last_seq(guest->fake);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	r[2] = guest_send_fence(guest, 1, 0, 1);
	fake_renderer_wait_fences(guest->fake, ring_of(1, 0), 1);
	fake_renderer_signal_seq(guest->fake, ring_of(1, 0), old);
	gpu_guest_sync(guest);
	gpu_guest_sync(guest);
	assert_false(gpu_guest_is_done(guest, r[2]));
	fake_renderer_signal(guest->fake, ring_of(1, 0), 1);
	assert_int_equal(gpu_guest_wait(guest, r[2]), OK);
	finish(guest, r, 3);
}

static void test_statistics_see_fences(void **state)
{
	struct gpu_guest *guest = setup();
	struct gpu_statistics statistics;
	struct guest_request *r;
	(void)state;

	gpu_get_statistics(guest->gpu, &statistics);
	uint64_t before = statistics.fences;
	r = guest_send_fence(guest, 1, 0, 1);
	fake_renderer_wait_fences(guest->fake, ring_of(1, 0), 1);
	gpu_guest_sync(guest);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.fences, before);
	assert_true(statistics.busy_since_us != 0);
	fake_renderer_signal(guest->fake, ring_of(1, 0), 1);
	assert_int_equal(gpu_guest_wait(guest, r), OK);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.fences, before + 1);
	finish(guest, &r, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_reply_echoes),
			cmocka_unit_test(test_timelines_are_apart),
			cmocka_unit_test(test_one_signal_answers_all_before),
			cmocka_unit_test(test_ids_out_of_order),
			cmocka_unit_test(test_destroying_a_context),
			cmocka_unit_test(test_destroy_fenced_on_its_own_ring),
			cmocka_unit_test(test_errors_keep_the_order),
			cmocka_unit_test(test_fence_that_cannot_be_made),
			cmocka_unit_test(test_rings_that_are_none),
			cmocka_unit_test(test_rings_are_not_offered),
			cmocka_unit_test(test_reset_completes_fences),
			cmocka_unit_test(test_statistics_see_fences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
