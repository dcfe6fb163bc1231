/* SPDX-License-Identifier: MIT */
#include "core/block/block.h"

#include "core/base/fd.h"
#include "tests/core/block/image_file.h"
#include "tests/harness/test.h"

#include <fcntl.h>
#include <string.h>

static int setup(void **state)
{
	*state = image_file_create(4096);
	return 0;
}

static int teardown(void **state)
{
	image_file_destroy(*state);
	return 0;
}

static void expect_refused(const struct image_file *image, const char *name, const char *word)
{
	g_autoptr(GError) error = NULL;

	assert_null(image_file_open(image, &error, name, "on", NULL));
	assert_non_null(strstr(error->message, word));
	assert_non_null(strstr(error->message, "disk.img"));
	assert_non_null(strstr(error->message, "another process"));
}

static void test_writer_excludes(void **state)
{
	struct block *writer = image_file_open(*state, NULL, NULL);

	assert_non_null(writer);
	expect_refused(*state, "locking", "\"write\" lock");
	expect_refused(*state, "readonly", "\"shared\" lock");
	expect_refused(*state, "snapshot", "\"shared\" lock");
	struct block *careless = image_file_open(*state, NULL, "locking", "off", NULL);
	assert_non_null(careless);
	block_close(careless);
	block_close(writer);
	writer = image_file_open(*state, NULL, NULL);
	assert_non_null(writer);
	block_close(writer);
}

static void test_readers_share(void **state)
{
	struct block *reader = image_file_open(*state, NULL, "readonly", "on", NULL);
	struct block *snapshot = image_file_open(*state, NULL, "snapshot", "on", NULL);

	assert_non_null(reader);
	assert_non_null(snapshot);
	expect_refused(*state, "locking", "\"write\" lock");
	block_close(reader);
	expect_refused(*state, "locking", "\"write\" lock");
	block_close(snapshot);
	struct block *writer = image_file_open(*state, NULL, NULL);
	assert_non_null(writer);
	block_close(writer);
}

/* The bytes that QEMU's tools lock: 100 reads consistently, 101 writes, 201 bears no writer. */
static int hold(const struct image_file *image, off_t byte)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int fd = open(image->path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	return fd;
}

static void test_others(void **state)
{
	auto_fd int writes = hold(*state, 101);
	expect_refused(*state, "locking", "\"write\" lock");
	expect_refused(*state, "readonly", "\"shared\" lock");
	fd_close(&writes);

	auto_fd int bears_no_writer = hold(*state, 201);
	expect_refused(*state, "locking", "\"write\" lock");
	struct block *reader = image_file_open(*state, NULL, "readonly", "on", NULL);
	assert_non_null(reader);
	block_close(reader);
	fd_close(&bears_no_writer);

	auto_fd int reads = hold(*state, 100);
	struct block *writer = image_file_open(*state, NULL, NULL);
	assert_non_null(writer);
	block_close(writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_writer_excludes),
			TEST(test_readers_share),
			TEST(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
