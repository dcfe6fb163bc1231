/* SPDX-License-Identifier: MIT */
#include "core/block/block.h"

#include "core/block/block_impl.h"
#include "tests/core/block/image_file.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE (4 * MiB)
#define DEPTH 32
#define STEP 8192

/* What every test is run with. */
struct variant {
	const char *aio;
	const char *snapshot;
};

struct test_request {
	struct block_request io;
	struct iovec iov;
	uint8_t buf[STEP];
	unsigned done;
	int error;
};

struct fixture {
	struct image_file *image;
	struct block *block;
	struct block_queue *queue;
	struct test_request requests[DEPTH];
};

static void handle_done(struct block_request *io, int error)
{
	struct test_request *request = container_of(io, struct test_request, io);

	request->done++;
	request->error = error;
}

static void close_fixture(struct fixture *f)
{
	block_queue_destroy(f->queue);
	block_close(f->block);
	image_file_destroy(f->image);
	g_free(f);
}

/* NULL if the host has no io_uring. */
static struct fixture *open_fixture(void **state, const char *read_only)
{
	const struct variant *variant = *state;
	struct fixture *f = g_new0(struct fixture, 1);

	f->image = image_file_create(SIZE - 100);
	f->block = image_file_open(f->image, NULL, "aio", variant->aio, "snapshot",
			variant->snapshot, "readonly", read_only, NULL);
	assert_non_null(f->block);
	f->queue = block_queue_create(f->block, DEPTH, NULL);
	if (!f->queue) {
		assert_string_equal(variant->aio, "io_uring");
		close_fixture(f);
		skip();
	}
	assert_string_equal(block_queue_engine(f->queue), variant->aio);
	return f;
}

static struct test_request *prepare(
		struct fixture *f, unsigned index, enum block_op op, uint64_t offset, uint64_t len)
{
	struct test_request *request = &f->requests[index];

	request->iov = (struct iovec){.iov_base = request->buf, .iov_len = len};
	request->io = (struct block_request){.op = op,
			.offset = offset,
			.len = len,
			.iov = &request->iov,
			.iov_count = 1,
			.done = handle_done};
	request->done = 0;
	request->error = -1;
	return request;
}

static void wait_one(struct fixture *f)
{
	struct pollfd poll_fd = {.fd = block_queue_fd(f->queue), .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, -1), 1);
	(void)block_queue_reap(f->queue);
}

static int run(struct fixture *f, struct test_request *request)
{
	block_queue_submit(f->queue, &request->io);
	block_queue_commit(f->queue);
	while (!request->done) {
		wait_one(f);
	}
	assert_int_equal(request->done, 1);
	return request->error;
}

static void test_each(void **state)
{
	struct fixture *f = open_fixture(state, "off");
	struct test_request *request = prepare(f, 0, BLOCK_READ, 12345, 700);

	assert_int_equal(run(f, request), 0);
	for (unsigned i = 0; i < 700; i++) {
		assert_int_equal(request->buf[i], image_byte(12345 + i));
	}
	request = prepare(f, 0, BLOCK_WRITE, 512, 1024);
	memset(request->buf, 0x33, 1024);
	request->io.through = true;
	assert_int_equal(run(f, request), 0);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_FLUSH, 0, 0)), 0);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_WRITE_ZEROES, 1024, 512)), 0);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_DISCARD, 65536, 512)), 0);
	request = prepare(f, 0, BLOCK_READ, 0, 2048);
	assert_int_equal(run(f, request), 0);
	assert_int_equal(request->buf[511], image_byte(511));
	assert_int_equal(request->buf[512], 0x33);
	assert_int_equal(request->buf[1024], 0);
	assert_int_equal(request->buf[1535], 0);
	assert_int_equal(request->buf[1536], image_byte(1536));
	/* past the end of the file, inside its last sector */
	request = prepare(f, 0, BLOCK_READ, SIZE - 512, 512);
	memset(request->buf, 0xff, 512);
	assert_int_equal(run(f, request), 0);
	assert_int_equal(request->buf[411], image_byte(SIZE - 101));
	assert_int_equal(request->buf[412], 0);
	assert_int_equal(request->buf[511], 0);
	assert_int_equal(block_queue_in_flight(f->queue), 0);
	close_fixture(f);
}

static void test_errors(void **state)
{
	struct fixture *f = open_fixture(state, "on");

	assert_int_equal(run(f, prepare(f, 0, BLOCK_READ, SIZE - 511, 512)), EINVAL);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_READ, UINT64_MAX, 512)), EINVAL);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_WRITE, 0, 512)), EROFS);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_READ, 0, 0)), 0);
	assert_int_equal(truncate(f->image->path, 4096), 0);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_READ, 8192, 512)), EIO);
	close_fixture(f);
}

static void test_many(void **state)
{
	struct fixture *f = open_fixture(state, "off");

	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < DEPTH; i++) {
			assert_false(block_queue_full(f->queue));
			struct test_request *request = prepare(f, i,
					round % 3 == 0 ? BLOCK_WRITE : BLOCK_READ,
					i * UINT64_C(100000), STEP);
			memset(request->buf, round % 3 == 0 ? (int)(round + i) : 0, STEP);
			block_queue_submit(f->queue, &request->io);
		}
		assert_true(block_queue_full(f->queue));
		if (round % 2 == 0) {
			block_queue_drain(f->queue); /* commits by itself */
		} else {
			block_queue_commit(f->queue);
		}
		while (block_queue_in_flight(f->queue) > 0) {
			wait_one(f);
		}
		for (unsigned i = 0; i < DEPTH; i++) {
			assert_int_equal(f->requests[i].done, 1);
			assert_int_equal(f->requests[i].error, 0);
			assert_int_equal(f->requests[i].buf[STEP - 1],
					(uint8_t)(round - round % 3 + i));
		}
	}
	close_fixture(f);
}

static void test_drain_nothing(void **state)
{
	struct fixture *f = open_fixture(state, "off");

	block_queue_drain(f->queue);
	block_queue_commit(f->queue);
	assert_int_equal(block_queue_reap(f->queue), 0);
	close_fixture(f);
}

/* After a flush failed nobody knows what is on the disk: no later one may claim it. */
static void test_failed_flush(void **state)
{
	struct fixture *f = open_fixture(state, "off");

	assert_int_equal(run(f, prepare(f, 0, BLOCK_FLUSH, 0, 0)), 0);
	assert_int_equal(block_flush_result(f->block, ENOSPC), ENOSPC);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_FLUSH, 0, 0)), ENOSPC);
	assert_int_equal(block_flush_result(f->block, EIO), ENOSPC);
	assert_int_equal(run(f, prepare(f, 0, BLOCK_READ, 0, 512)), 0);
	close_fixture(f);
}

/*
 * Where a container forbids io_uring, auto does without it and a forced choice says so. Comes last:
 * there is no way back.
 */
static void test_forbidden(void **state)
{
	struct sock_filter filter[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = G_N_ELEMENTS(filter), .filter = filter};
	struct image_file *image = image_file_create(4096);
	g_autoptr(GError) error = NULL;
	(void)state;

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
	struct block *block = image_file_open(image, NULL, "aio", "io_uring", NULL);
	assert_null(block_queue_create(block, DEPTH, &error));
	assert_non_null(strstr(error->message, "io_uring"));
	block_close(block);
	block = image_file_open(image, NULL, NULL);
	struct block_queue *queue = block_queue_create(block, DEPTH, NULL);
	assert_string_equal(block_queue_engine(queue), "threads");
	block_queue_destroy(queue);
	block_close(block);
	image_file_destroy(image);
}

#define TESTS(variant) \
	cmocka_unit_test_prestate(test_each, (variant)), \
			cmocka_unit_test_prestate(test_errors, (variant)), \
			cmocka_unit_test_prestate(test_many, (variant)), \
			cmocka_unit_test_prestate(test_drain_nothing, (variant)), \
			cmocka_unit_test_prestate(test_failed_flush, (variant))

int main(void)
{
	struct variant threads = {"threads", "off"}, ring = {"io_uring", "off"};
	struct variant threads_snapshot = {"threads", "on"}, ring_snapshot = {"io_uring", "on"};
	const struct CMUnitTest tests[] = {TESTS(&threads), TESTS(&ring), TESTS(&threads_snapshot),
			TESTS(&ring_snapshot), cmocka_unit_test(test_forbidden)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
