/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/bytes.h"
#include "tests/harness/gpu_guest.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static void test_create_2d(void **state)
{
	static const struct {
		const char *name;
		uint32_t id, format, width, height, expect;
	} rows[] = {
			{"id 0 is reserved", 0, BGRX, 4, 4,
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"id in use", 1, BGRX, 4, 4, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"id in use, all else wrong", 1, 0, 0, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"format 0", 2, 0, 4, 4, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"format of 3D", 2, 5, 4, 4, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"no width", 2, BGRX, 0, 4, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"no height", 2, BGRX, 4, 0, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"absurd", 2, BGRX, UINT32_MAX, UINT32_MAX,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"too wide", 2, BGRX, 16385, 1, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"beyond the limit", 2, BGRX, 16384, 16384,
					VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY},
			{"good", 2, BGRX, 16384, 1, OK},
			{"any id", UINT32_MAX, BGRX, 1, 1, OK},
	};
	(void)state;

	for (enum guest_kind kind = GUEST_2D; kind <= GUEST_FAKE_3D; kind++) {
		struct gpu_guest *guest = gpu_guest_create(kind, NULL);

		assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
		for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
			uint32_t reply = guest_create_2d(guest, rows[i].id, rows[i].format,
					rows[i].width, rows[i].height);
			if (reply != rows[i].expect) {
				print_error("%s\n", rows[i].name);
			}
			assert_int_equal(reply, rows[i].expect);
		}
		gpu_guest_destroy(guest);
	}
}

static void test_unref(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	struct gpu_statistics statistics;
	(void)state;

	assert_int_equal(guest_unref(guest, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(guest_unref(guest, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	guest_make_image(guest, 1, 4, 4); /* with backing: unref gives it back */
	assert_int_equal(guest->mapped, 1);
	assert_int_equal(guest_unref(guest, 1), OK);
	assert_int_equal(guest->mapped, 0);
	assert_int_equal(guest_unref(guest, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	gpu_get_statistics(guest->gpu, &statistics);
	assert_int_equal(statistics.resources, 0);
	assert_int_equal(statistics.host_bytes, 0);
	gpu_guest_destroy(guest);
}

struct attach {
	struct virtio_gpu_resource_cmd fixed;
	struct virtio_gpu_mem_entry entries[4];
};

static struct attach attach_of(uint32_t id, uint32_t count)
{
	return (struct attach){
			{{.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING}, id, count}, {{0}}};
}

static void test_attach_and_detach(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	struct attach a = attach_of(1, 1);
	(void)state;

	a.entries[0] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE, 64, 0};
	assert_int_equal(gpu_guest_do(guest, a), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(guest_detach(guest, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	assert_int_equal(guest_detach(guest, 1), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(gpu_guest_do(guest, a), OK);
	assert_int_equal(gpu_guest_do(guest, a), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(guest->mapped, 1);
	assert_int_equal(guest_detach(guest, 1), OK);
	assert_int_equal(guest->mapped, 0);
	assert_int_equal(guest->unmapped_written, 0);
	assert_int_equal(gpu_guest_do(guest, a), OK);
	gpu_guest_destroy(guest);
}

static void test_attach_refused(void **state)
{
	static const struct {
		const char *name;
		uint32_t count;
		struct virtio_gpu_mem_entry entries[3];
		uint32_t expect;
	} rows[] = {
			{"no entries", 0, {{0}}, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"empty entries", 2, {{GUEST_RAM_BASE, 0, 0}, {0, 0, 0}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"outside RAM", 1, {{0x1000, 64, 0}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"the second is", 2, {{GUEST_RAM_BASE, 64, 0}, {0x1000, 64, 0}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"beyond the end", 1, {{GUEST_RAM_BASE + GUEST_RAM_SIZE - 8, 16, 0}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps", 1, {{UINT64_MAX - 3, 64, 0}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps in two", 2, {{UINT64_MAX - 63, 64, 0}, {0, 64, 0}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"more entries than bytes", 5, {{GUEST_RAM_BASE, 64, 0}},
					VIRTIO_GPU_RESP_ERR_UNSPEC},
			{"more than the limit", 4097, {{GUEST_RAM_BASE, 64, 0}},
					VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY},
			{"absurd", UINT32_MAX, {{GUEST_RAM_BASE, 64, 0}},
					VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY},
	};
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	(void)state;

	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct attach a = attach_of(1, rows[i].count);
		memcpy(a.entries, rows[i].entries, sizeof(rows[i].entries));
		uint32_t reply = gpu_guest_do(guest, a);
		if (reply != rows[i].expect) {
			print_error("%s\n", rows[i].name);
		}
		assert_int_equal(reply, rows[i].expect);
		assert_int_equal(guest->mapped, 0);
	}
	gpu_guest_destroy(guest);
}

/* Pieces that continue each other become one mapping; the picture comes out whole either way. */
static void test_scattered_backing(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	const struct virtio_gpu_rect all = {0, 0, 4, 4};
	struct attach a = attach_of(1, 4);
	(void)state;

	for (unsigned i = 0; i < 16; i++) {
		/* 10, 20 and 34 bytes at three places; the last two pieces are neighbours. */
		uint8_t pixel[4] = {
				(uint8_t)i, (uint8_t)(i + 1), (uint8_t)(i + 2), (uint8_t)(i + 3)};
		for (unsigned b = 0; b < 4; b++) {
			unsigned at = i * 4 + b;
			unsigned place = at < 10   ? 4096 + at
					 : at < 30 ? 100 + at - 10
						   : 8192 + at - 30;
			guest->ram[place] = pixel[b];
		}
	}
	a.entries[0] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 4096, 10, 0};
	a.entries[1] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 100, 20, 0};
	a.entries[2] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 8192, 14, 0};
	a.entries[3] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 8206, 20, 0};
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	assert_int_equal(gpu_guest_do(guest, a), OK);
	assert_int_equal(guest->mapped, 3);
	assert_int_equal(guest_transfer(guest, 1, all, 0), OK);
	assert_int_equal(guest_set_scanout(guest, 0, 1, all), OK);
	assert_int_equal(guest_flush(guest, 1, all), OK);
	for (uint32_t i = 0; i < 16; i++) {
		assert_int_equal(recording_display_pixel(guest->display, 0, i % 4, i / 4),
				i | (i + 1) << 8 | (i + 2) << 16 | (i + 3) << 24);
	}
	gpu_guest_destroy(guest);
}

/* What is refused does not reach the renderer. */
static void assert_no_transfer(struct gpu_guest *guest, uint32_t reply)
{
	if (guest->fake) {
		g_autofree char *log = fake_renderer_take_log(guest->fake);
		assert_true(reply == OK || strstr(log, "transfer") == NULL);
	}
}

static void test_transfer_2d_refused(void **state)
{
	static const struct {
		const char *name;
		uint32_t id;
		struct virtio_gpu_rect rect;
		uint64_t offset;
		uint32_t expect;
	} rows[] = {
			{"unknown id", 9, {0, 0, 4, 4}, 0, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"no backing", 2, {0, 0, 4, 4}, 0, VIRTIO_GPU_RESP_ERR_UNSPEC},
			{"too wide", 1, {0, 0, 5, 4}, 0, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"too high", 1, {0, 0, 4, 5}, 0, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"to the right", 1, {4, 0, 1, 1}, 0, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps", 1, {1, 0, UINT32_MAX, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps down", 1, {0, UINT32_MAX, 1, 2}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"offset", 1, {0, 0, 4, 4}, 1, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"offset of a row", 1, {0, 3, 4, 1}, 52,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"absurd offset", 1, {0, 0, 1, 1}, UINT64_MAX,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"empty, far off", 1, {0, 0, 0, 0}, 65,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"empty", 1, {0, 0, 0, 0}, 64, OK},
			{"empty at the end", 1, {4, 4, 0, 0}, 0, OK},
			{"last row", 1, {0, 3, 4, 1}, 48, OK},
			{"last pixel", 1, {3, 3, 1, 1}, 60, OK},
			{"all", 1, {0, 0, 4, 4}, 0, OK},
	};
	(void)state;

	for (enum guest_kind kind = GUEST_2D; kind <= GUEST_FAKE_3D; kind++) {
		struct gpu_guest *guest = gpu_guest_create(kind, NULL);

		guest_make_image(guest, 1, 4, 4);
		assert_int_equal(guest_create_2d(guest, 2, BGRX, 4, 4), OK);
		if (guest->fake) {
			g_free(fake_renderer_take_log(guest->fake));
		}
		for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
			uint32_t reply = guest_transfer(
					guest, rows[i].id, rows[i].rect, rows[i].offset);
			if (reply != rows[i].expect) {
				print_error("%s\n", rows[i].name);
			}
			assert_int_equal(reply, rows[i].expect);
			assert_no_transfer(guest, reply);
		}
		gpu_guest_destroy(guest);
	}
}

static void test_uuids(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_2D, NULL);
	struct virtio_gpu_resource_cmd request = {
			{.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID}, 1, 0};
	struct virtio_gpu_resp_resource_uuid a, again, b;
	(void)state;

	assert_int_equal(gpu_guest_call(guest, &request, sizeof(request), &a, sizeof(a)),
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(guest_create_2d(guest, 1, BGRX, 4, 4), OK);
	assert_int_equal(guest_create_2d(guest, 2, BGRX, 4, 4), OK);
	assert_int_equal(gpu_guest_call(guest, &request, sizeof(request), &a, sizeof(a)),
			VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_int_equal(gpu_guest_call(guest, &request, sizeof(request), &again, sizeof(again)),
			VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	request.resource_id = 2;
	assert_int_equal(gpu_guest_call(guest, &request, sizeof(request), &b, sizeof(b)),
			VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_memory_equal(a.uuid, again.uuid, 16);
	assert_memory_not_equal(a.uuid, b.uuid, 16);
	assert_int_equal(a.uuid[6] >> 4, 4);
	gpu_guest_destroy(guest);
}

static struct virtio_gpu_resource_create_3d create_3d_of(uint32_t id)
{
	return (struct virtio_gpu_resource_create_3d){
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
			.resource_id = id,
			.target = 2,
			.format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
			.width = 16,
			.height = 16,
			.depth = 1,
			.array_size = 1,
			.last_level = 2,
	};
}

static void test_create_3d(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	struct virtio_gpu_resource_create_3d create = create_3d_of(1);
	(void)state;

	assert_int_equal(gpu_guest_do(guest, create), OK);
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	create.resource_id = 0;
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	create.resource_id = 2;
	create.depth = 0;
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	create.depth = UINT32_MAX;
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	create.depth = 1;
	fake_renderer_fail(guest->fake, "resource_create", VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(gpu_guest_do(guest, create), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(gpu_guest_do(guest, create), OK);
	gpu_guest_destroy(guest);
}

static void test_transfer_3d(void **state)
{
	static const struct {
		const char *name;
		uint32_t ctx, id, level;
		struct virtio_gpu_box box;
		uint64_t offset;
		uint32_t expect;
	} rows[] = {
			{"unknown context", 7, 1, 0, {0, 0, 0, 1, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID},
			{"unknown resource", 1, 7, 0, {0, 0, 0, 1, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"not attached", 2, 1, 0, {0, 0, 0, 1, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"no such level", 1, 1, 3, {0, 0, 0, 1, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"absurd level", 1, 1, UINT32_MAX, {0, 0, 0, 1, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wider than the level", 1, 1, 1, {0, 0, 0, 9, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wraps", 1, 1, 0, {1, 0, 0, UINT32_MAX, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"layers", 1, 1, 0, {0, 0, 1, 1, 1, 1}, 0,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"offset", 1, 1, 0, {0, 0, 0, 1, 1, 1}, 1025,
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"no backing", 1, 2, 0, {0, 0, 0, 1, 1, 1}, 0, VIRTIO_GPU_RESP_ERR_UNSPEC},
			{"good", 1, 1, 0, {0, 0, 0, 16, 16, 1}, 0, OK},
			{"a level", 1, 1, 2, {0, 0, 0, 4, 4, 1}, 0, OK},
			{"of no context", 0, 1, 0, {15, 15, 0, 1, 1, 1}, 0, OK},
	};
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	(void)state;

	for (uint32_t id = 1; id <= 2; id++) {
		const struct virtio_gpu_resource_create_3d create = create_3d_of(id);
		assert_int_equal(gpu_guest_do(guest, create), OK);
		assert_int_equal(guest_ctx(guest, VIRTIO_GPU_CMD_CTX_CREATE, id), OK);
		assert_int_equal(guest_ctx_resource(
						 guest, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, id),
				OK);
	}
	assert_int_equal(guest_attach(guest, 1, 0, 1024), OK);
	for (size_t i = 0; i < G_N_ELEMENTS(rows) * 2; i++) {
		size_t n = i / 2;
		const struct virtio_gpu_transfer_host_3d request = {
				.hdr = {.type = i % 2 == 0 ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D
							   : VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
						.ctx_id = rows[n].ctx},
				.box = rows[n].box,
				.offset = rows[n].offset,
				.resource_id = rows[n].id,
				.level = rows[n].level,
		};
		uint32_t reply = gpu_guest_do(guest, request);
		if (reply != rows[n].expect) {
			print_error("%s\n", rows[n].name);
		}
		assert_int_equal(reply, rows[n].expect);
	}
	gpu_guest_destroy(guest);
}

/* What the device writes reaches the dirty log before the reply. */
static void test_transfer_from_host_reports_writes(void **state)
{
	struct gpu_guest *guest = gpu_guest_create(GUEST_FAKE_3D, NULL);
	const struct virtio_gpu_resource_create_3d create = create_3d_of(1);
	struct attach a = attach_of(1, 2);
	struct virtio_gpu_transfer_host_3d request = {
			.hdr.type = VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
			.box = {0, 0, 0, 1, 1, 1},
			.offset = 600,
			.resource_id = 1};
	(void)state;

	a.entries[0] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 0x3000, 512, 0};
	a.entries[1] = (struct virtio_gpu_mem_entry){GUEST_RAM_BASE + 0x1000, 512, 0};
	assert_int_equal(gpu_guest_do(guest, create), OK);
	assert_int_equal(gpu_guest_do(guest, a), OK);
	assert_int_equal(gpu_guest_do(guest, request), OK);
	assert_int_equal(guest->written_guest, GUEST_RAM_BASE + 0x1000 + 88);
	assert_int_equal(guest->written_len, 512 - 88);
	/* A failed transfer may have written as well. */
	guest->written_len = 0;
	request.offset = 0;
	fake_renderer_fail(guest->fake, "transfer_from_host", VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(gpu_guest_do(guest, request), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(guest->written_len, 512);
	assert_int_equal(guest_detach(guest, 1), OK);
	assert_int_equal(guest->unmapped_written, 2);
	gpu_guest_destroy(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_create_2d),
			cmocka_unit_test(test_unref),
			cmocka_unit_test(test_attach_and_detach),
			cmocka_unit_test(test_attach_refused),
			cmocka_unit_test(test_scattered_backing),
			cmocka_unit_test(test_transfer_2d_refused),
			cmocka_unit_test(test_uuids),
			cmocka_unit_test(test_create_3d),
			cmocka_unit_test(test_transfer_3d),
			cmocka_unit_test(test_transfer_from_host_reports_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
