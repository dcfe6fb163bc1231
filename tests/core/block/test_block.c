/* SPDX-License-Identifier: MIT */
#include "core/block/block.h"

#include "tests/core/block/image_file.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (256 * KiB)

static int setup(void **state)
{
	*state = image_file_create(SIZE);
	return 0;
}

static int teardown(void **state)
{
	image_file_destroy(*state);
	return 0;
}

static void expect_original(struct block *block, uint64_t offset, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);

	assert_int_equal(image_read(block, offset, buf, len), 0);
	for (uint64_t i = 0; i < len; i++) {
		assert_int_equal(buf[i], image_byte(offset + i));
	}
}

static void expect_all(struct block *block, uint64_t offset, uint8_t value, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);

	assert_int_equal(image_read(block, offset, buf, len), 0);
	for (uint64_t i = 0; i < len; i++) {
		assert_int_equal(buf[i], value);
	}
}

static void test_read_write(void **state)
{
	struct image_file *image = *state;
	struct block *block = image_file_open(image, NULL, "id", "d0", NULL);

	assert_int_equal(block_size(block), SIZE);
	assert_string_equal(block_name(block), "d0");
	assert_string_equal(block_id(block), "d0");
	assert_false(block_is_read_only(block));
	assert_false(block_unmaps(block));
	expect_original(block, 0, SIZE);
	assert_int_equal(image_fill(block, 1000, 0x5a, 2000), 0);
	expect_original(block, 0, 1000);
	expect_all(block, 1000, 0x5a, 2000);
	expect_original(block, 3000, SIZE - 3000);
	assert_int_equal(image_request(block, BLOCK_FLUSH, 0, 0), 0);
	block_close(block);
	assert_int_equal(image_file_read(image, 1000), 0x5a);
}

static void test_scattered(void **state)
{
	struct block *block = image_file_open(*state, NULL, NULL);
	uint8_t buf[600];
	const struct iovec iov[] = {{buf + 500, 100}, {buf, 1}, {buf + 1, 499}};
	const struct block_request request = {
			.op = BLOCK_READ, .offset = 4096, .len = 600, .iov = iov, .iov_count = 3};

	assert_int_equal(block_perform(block, &request), 0);
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(buf[i], image_byte(4196 + i));
	}
	assert_int_equal(buf[500], image_byte(4096));
	block_close(block);
}

static void test_limits(void **state)
{
	struct block *block = image_file_open(*state, NULL, "discard", "unmap", NULL);
	uint8_t buf[512];
	struct block_request many = {.op = BLOCK_READ, .iov_count = BLOCK_MAX_SEGMENTS + 1};

	assert_int_equal(image_read(block, SIZE - 511, buf, 512), EINVAL);
	assert_int_equal(image_read(block, SIZE, buf, 512), EINVAL);
	assert_int_equal(image_read(block, UINT64_MAX, buf, 512), EINVAL);
	assert_int_equal(image_write(block, SIZE - 1, buf, 2), EINVAL);
	assert_int_equal(image_request(block, BLOCK_DISCARD, SIZE - 1, 2), EINVAL);
	assert_int_equal(image_request(block, BLOCK_WRITE_ZEROES, 1, UINT64_MAX), EINVAL);
	assert_int_equal(block_perform(block, &many), EINVAL);
	assert_int_equal(image_read(block, SIZE, buf, 0), 0);
	block_close(block);
}

static void test_read_only(void **state)
{
	struct block *block = image_file_open(
			*state, NULL, "readonly", "on", "discard", "unmap", NULL);

	assert_true(block_is_read_only(block));
	assert_false(block_unmaps(block));
	assert_int_equal(image_fill(block, 0, 1, 512), EROFS);
	assert_int_equal(image_request(block, BLOCK_DISCARD, 0, 512), EROFS);
	assert_int_equal(image_request(block, BLOCK_WRITE_ZEROES, 0, 512), EROFS);
	assert_int_equal(image_request(block, BLOCK_FLUSH, 0, 0), 0);
	expect_original(block, 0, 512);
	block_close(block);
}

static void test_zeroes_and_discard(void **state)
{
	struct block *block = image_file_open(*state, NULL, "discard", "unmap", NULL);

	assert_true(block_unmaps(block));
	assert_int_equal(image_request(block, BLOCK_WRITE_ZEROES, 3000, 70000), 0);
	expect_original(block, 0, 3000);
	expect_all(block, 3000, 0, 70000);
	expect_original(block, 73000, 1000);
	assert_int_equal(image_request(block, BLOCK_WRITE_ZEROES, 0, 0), 0);
	assert_int_equal(image_request(block, BLOCK_DISCARD, 131072, 65536), 0);
	expect_original(block, 131072 - 512, 512);
	expect_original(block, 131072 + 65536, 512);
	block_close(block);

	/* ignored unless it was asked for */
	block = image_file_open(*state, NULL, NULL);
	assert_int_equal(image_request(block, BLOCK_DISCARD, 200000, 4096), 0);
	expect_original(block, 200000, 4096);
	assert_int_equal(image_request(block, BLOCK_WRITE_ZEROES, 200000, 4096), 0);
	expect_all(block, 200000, 0, 4096);
	block_close(block);
}

/* A file that ends inside a sector: the rest of it reads as zeroes and can be written. */
static void test_odd_size(void **state)
{
	(void)state;
	struct image_file *image = image_file_create(1000);
	struct block *block = image_file_open(image, NULL, NULL);
	uint8_t buf[1024];

	assert_int_equal(block_size(block), 1024);
	assert_int_equal(image_read(block, 0, buf, 1024), 0);
	assert_int_equal(buf[999], image_byte(999));
	assert_int_equal(buf[1000], 0);
	assert_int_equal(buf[1023], 0);
	assert_int_equal(image_fill(block, 512, 9, 512), 0);
	expect_all(block, 512, 9, 512);
	block_close(block);
	image_file_destroy(image);
}

/* A file that shrinks under us has lost data: that is an error, not zeroes. */
static void test_shrunk(void **state)
{
	struct image_file *image = *state;
	struct block *block = image_file_open(image, NULL, NULL);
	uint8_t buf[1024];

	assert_int_equal(truncate(image->path, 8192), 0);
	assert_int_equal(image_read(block, 8192 - 512, buf, 1024), EIO);
	assert_int_equal(image_read(block, 8192 - 512, buf, 512), 0);
	block_close(block);
}

static void test_empty(void **state)
{
	(void)state;
	struct image_file *image = image_file_create(0);
	struct block *block = image_file_open(image, NULL, NULL);
	uint8_t byte;

	assert_int_equal(block_size(block), 0);
	assert_int_equal(image_read(block, 0, &byte, 1), EINVAL);
	block_close(block);
	image_file_destroy(image);
}

static void test_open_errors(void **state)
{
	struct image_file *image = *state;
	struct block_options options;
	g_autoptr(GError) error = NULL;

	properties_set_defaults(&options, block_properties);
	assert_null(block_open(&options, &error));
	assert_non_null(strstr(error->message, "file="));
	g_clear_error(&error);
	options.file = g_strdup_printf("%s/none", image->folder);
	assert_null(block_open(&options, &error));
	assert_non_null(strstr(error->message, "none"));
	g_clear_error(&error);
	g_free(options.file);
	options.file = g_strdup(image->folder);
	assert_null(block_open(&options, &error));
	g_clear_error(&error);
	g_free(options.file);
	options.file = g_strdup("/dev/null");
	assert_null(block_open(&options, &error));
	assert_non_null(strstr(error->message, "neither a file nor a block device"));
	assert_false(property_set(&options, block_properties, "format", "qcow2", NULL));
	properties_clear(&options, block_properties);
}

/* A full disk, as far as a test can have one: the file may not grow. */
static void test_host_error(void **state)
{
	struct image_file *image = *state;
	struct rlimit before, limit;

	assert_int_equal(truncate(image->path, 0), 0);
	assert_int_equal(truncate(image->path, SIZE), 0);
	struct block *block = image_file_open(image, NULL, NULL);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = SIZE / 2;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(image_fill(block, SIZE / 2, 1, 4096), EFBIG);
	/* partly possible: the error counts, what came before it was written */
	assert_int_equal(image_fill(block, SIZE / 2 - 4096, 1, 8192), EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	expect_all(block, SIZE / 2 - 4096, 1, 4096);
	assert_int_equal(image_fill(block, SIZE / 2, 1, 4096), 0);
	block_close(block);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_read_write),
			TEST(test_scattered),
			TEST(test_limits),
			TEST(test_read_only),
			TEST(test_zeroes_and_discard),
			TEST(test_odd_size),
			TEST(test_shrunk),
			TEST(test_empty),
			TEST(test_open_errors),
			TEST(test_host_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
