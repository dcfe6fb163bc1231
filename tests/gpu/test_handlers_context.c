/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

static struct virtio_gpu_ctx_create create_of(uint32_t ctx)
{
	return (struct virtio_gpu_ctx_create){
			.hdr = {.type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = ctx}};
}

static void test_capsets(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	struct virtio_gpu_get_capset_info info = {{.type = VIRTIO_GPU_CMD_GET_CAPSET_INFO}, 0, 0};
	struct virtio_gpu_get_capset get = {
			{.type = VIRTIO_GPU_CMD_GET_CAPSET}, FAKE_CAPSET_ID, FAKE_CAPSET_VERSION};
	struct virtio_gpu_resp_capset_info reply;
	uint8_t data[24 + FAKE_CAPSET_SIZE];
	struct virtio_gpu_config config;
	(void)state;

	gpu_get_config(guest->gpu, &config);
	assert_int_equal(config.num_capsets, 1);
	assert_int_equal(gpu_guest_call(guest, &info, sizeof(info), &reply, sizeof(reply)),
			VIRTIO_GPU_RESP_OK_CAPSET_INFO);
	assert_int_equal(reply.capset_id, FAKE_CAPSET_ID);
	assert_int_equal(reply.capset_max_version, FAKE_CAPSET_VERSION);
	assert_int_equal(reply.capset_max_size, FAKE_CAPSET_SIZE);
	assert_int_equal(reply.padding, 0);
	info.capset_index = 1;
	assert_int_equal(gpu_guest_call(guest, &info, sizeof(info), &reply, sizeof(reply)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	info.capset_index = UINT32_MAX;
	assert_int_equal(gpu_guest_call(guest, &info, sizeof(info), &reply, sizeof(reply)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	for (uint32_t version = 0; version <= FAKE_CAPSET_VERSION; version++) {
		get.capset_version = version;
		assert_int_equal(gpu_guest_call(guest, &get, sizeof(get), data, sizeof(data)),
				VIRTIO_GPU_RESP_OK_CAPSET);
		assert_int_equal(data[24 + 50], 50 + version);
	}
	get.capset_version = FAKE_CAPSET_VERSION + 1;
	assert_int_equal(gpu_guest_call(guest, &get, sizeof(get), data, sizeof(data)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	get.capset_version = 1;
	get.capset_id = VIRTIO_GPU_CAPSET_VIRGL;
	assert_int_equal(gpu_guest_call(guest, &get, sizeof(get), data, sizeof(data)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	get.capset_id = FAKE_CAPSET_ID;
	fake_renderer_fail(guest->fake, "capset", 1);
	assert_int_equal(gpu_guest_call(guest, &get, sizeof(get), data, sizeof(data)),
			VIRTIO_GPU_RESP_ERR_UNSPEC);
	gpu_guest_destroy(guest);
}

static void test_create_and_destroy(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 0),
			VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_DESTROY, 1),
			VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1),
			VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, UINT32_MAX), OK);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_DESTROY, 1), OK);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_DESTROY, 1),
			VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	fake_renderer_fail(guest->fake, "ctx_create", VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1),
			VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	gpu_guest_destroy(guest);
}

static void test_names(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	struct virtio_gpu_ctx_create create = create_of(1);
	(void)state;

	memset(create.debug_name, 'x', sizeof(create.debug_name));
	create.nlen = 65;
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	create.nlen = UINT32_MAX;
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	create.nlen = 64; /* no room for a NUL */
	assert_int_equal(gpu_guest_do(guest, create), OK);
	create.hdr.ctx_id = 2;
	create.nlen = 2;
	assert_int_equal(gpu_guest_do(guest, create), OK);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_non_null(strstr(log, "ctx_create 2 0 xx\n"));
	gpu_guest_destroy(guest);
}

static void test_context_init(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	struct virtio_gpu_ctx_create create = create_of(1);
	(void)state;

	create.context_init = 9; /* a capset that is not offered */
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	create.context_init = 0x100 | FAKE_CAPSET_ID; /* beyond the mask */
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	create.context_init = FAKE_CAPSET_ID;
	assert_int_equal(gpu_guest_do(guest, create), OK);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_non_null(strstr(log, "ctx_create 1 2 \n"));
	gpu_guest_destroy(guest);

	/* Where the feature is not offered the field is padding. */
	guest = gpu_guest_create(GUEST_FAKE_PLAIN, NULL);
	create.context_init = UINT32_MAX;
	assert_int_equal(gpu_guest_do(guest, create), OK);
	g_autofree char *plain = fake_renderer_take_log(guest->fake);
	assert_non_null(strstr(plain, "ctx_create 1 0 \n"));
	gpu_guest_destroy(guest);
}

static void test_attach_and_detach(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const uint32_t attach = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE;
	const uint32_t detach = VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE;
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 2), OK);
	assert_int_equal(guest_create_2d(guest, 1, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 1, 1), OK);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t command = i == 0 ? attach : detach;
		assert_int_equal(guest_ctx_resource(guest, command, 9, 1),
				VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(guest_ctx_resource(guest, command, 0, 1),
				VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(guest_ctx_resource(guest, command, 9, 9),
				VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(guest_ctx_resource(guest, command, 1, 9),
				VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
		assert_int_equal(guest_ctx_resource(guest, command, 1, 0),
				VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	}
	g_free(fake_renderer_take_log(guest->fake));
	/* Twice is once, for the renderer. */
	assert_int_equal(guest_ctx_resource(guest, attach, 1, 1), OK);
	assert_int_equal(guest_ctx_resource(guest, attach, 1, 1), OK);
	assert_int_equal(guest_ctx_resource(guest, detach, 2, 1), OK);
	assert_int_equal(guest_ctx_resource(guest, attach, 2, 1), OK);
	assert_int_equal(guest_ctx_resource(guest, detach, 1, 1), OK);
	assert_int_equal(guest_ctx_resource(guest, detach, 1, 1), OK);
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "ctx_attach 1 1\nctx_attach 2 1\nctx_detach 1 1\n");
	/* A resource that goes is detached first. */
	assert_int_equal(guest_unref(guest, 1), OK);
	g_autofree char *gone = fake_renderer_take_log(guest->fake);
	assert_string_equal(gone, "ctx_detach 2 1\nresource_destroy 1\n");
	gpu_guest_destroy(guest);
}

struct submit {
	struct virtio_gpu_cmd_submit fixed;
	uint32_t words[4];
};

static void test_submit(void **state)
{
	static const struct {
		const char *name;
		uint32_t ctx, size, word, expect;
	} rows[] = {
			{"unknown context", 9, 4, 0, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID},
			{"context 0", 0, 4, 0, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID},
			{"odd size", 1, 6, 0, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"larger than the limit", 1, 64 * 1024 + 4, 0,
					VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY},
			{"absurd", 1, UINT32_MAX - 3, 0, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY},
			{"larger than the request", 1, 20, 0, VIRTIO_GPU_RESP_ERR_UNSPEC},
			{"the renderer fails", 1, 4, FAKE_STREAM_FAIL, VIRTIO_GPU_RESP_ERR_UNSPEC},
			{"empty", 1, 0, FAKE_STREAM_FAIL, OK},
			{"good", 1, 16, 5, OK},
			{"less than was sent", 1, 8, 5, OK},
	};
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), OK);
	g_free(fake_renderer_take_log(guest->fake));
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct submit request = {
				{{.type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = rows[i].ctx},
						rows[i].size, 0},
				{rows[i].word}};
		uint32_t reply = gpu_guest_do(guest, request);
		if (reply != rows[i].expect) {
			print_error("%s\n", rows[i].name);
		}
		assert_int_equal(reply, rows[i].expect);
	}
	g_autofree char *log = fake_renderer_take_log(guest->fake);
	assert_string_equal(log, "submit 1 4 0xfa110000\nsubmit 1 16 0x5\nsubmit 1 8 0x5\n");
	gpu_guest_destroy(guest);
}

static void test_nothing_of_this_in_2d(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	(void)state;

	assert_int_equal(gpu_features(guest->gpu),
			BIT(VIRTIO_GPU_F_EDID) | BIT(VIRTIO_GPU_F_RESOURCE_UUID));
	assert_int_equal(
			guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, 1), VIRTIO_GPU_RESP_ERR_UNSPEC);
	struct guest_request *fence = guest_send_fence(guest, 1, 0, 5);
	assert_int_equal(gpu_guest_wait(guest, fence), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(guest_request_reply(fence)->flags, VIRTIO_GPU_FLAG_FENCE);
	guest_request_free(fence);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_capsets),
			cmocka_unit_test(test_create_and_destroy),
			cmocka_unit_test(test_names),
			cmocka_unit_test(test_context_init),
			cmocka_unit_test(test_attach_and_detach),
			cmocka_unit_test(test_submit),
			cmocka_unit_test(test_nothing_of_this_in_2d),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
