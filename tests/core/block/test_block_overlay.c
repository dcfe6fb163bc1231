/* SPDX-License-Identifier: MIT */
#include "core/block/block.h"

#include "core/base/thread.h"
#include "tests/core/block/image_file.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CLUSTER 65536u
#define SIZE (4 * CLUSTER + 1000) /* the last cluster is short, the last sector too */
#define ROUNDED (4 * CLUSTER + 1024)

struct fixture {
	struct image_file *image;
	struct block *block;
	uint8_t expect[ROUNDED]; /* what the guest should see */
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->image = image_file_create(SIZE);
	f->block = image_file_open(f->image, NULL, "snapshot", "on", NULL);
	assert_non_null(f->block);
	for (unsigned i = 0; i < SIZE; i++) {
		f->expect[i] = image_byte(i);
	}
	*state = f;
	return 0;
}

/* Whatever a test did, the image is as it was. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	g_autofree char *content = NULL;
	gsize len;

	block_close(f->block);
	assert_true(g_file_get_contents(f->image->path, &content, &len, NULL));
	assert_int_equal(len, SIZE);
	for (unsigned i = 0; i < SIZE; i++) {
		assert_int_equal((uint8_t)content[i], image_byte(i));
	}
	image_file_destroy(f->image);
	g_free(f);
	return 0;
}

static void check(struct fixture *f)
{
	g_autofree uint8_t *buf = g_malloc(ROUNDED);

	assert_int_equal(image_read(f->block, 0, buf, ROUNDED), 0);
	assert_memory_equal(buf, f->expect, ROUNDED);
}

static void write_at(struct fixture *f, uint64_t offset, uint8_t value, uint64_t len)
{
	assert_int_equal(image_fill(f->block, offset, value, len), 0);
	memset(f->expect + offset, value, len);
}

static void zero_at(struct fixture *f, uint64_t offset, uint64_t len)
{
	assert_int_equal(image_request(f->block, BLOCK_WRITE_ZEROES, offset, len), 0);
	memset(f->expect + offset, 0, len);
}

static void test_untouched(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(block_size(f->block), ROUNDED);
	assert_false(block_is_read_only(f->block));
	assert_true(block_unmaps(f->block));
	check(f);
}

static void test_writes(void **state)
{
	static const struct {
		uint64_t offset, len;
	} writes[] = {
			{512, 512}, /* inside a cluster */
			{0, 512}, /* the same cluster again */
			{CLUSTER - 512, 1024}, /* across two, one of them there */
			{2 * CLUSTER, CLUSTER}, /* a whole one */
			{3 * CLUSTER + 100, 1}, /* a byte */
			{0, ROUNDED}, /* all */
			{4 * CLUSTER + 512, 512}, /* the end */
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
		write_at(f, writes[i].offset, (uint8_t)(0x80 + i), writes[i].len);
		check(f);
	}
	assert_int_equal(image_request(f->block, BLOCK_FLUSH, 0, 0), 0);
}

static void test_runs(void **state)
{
	struct fixture *f = *state;

	/* clusters 1 and 3 are there: one write meets all kinds of runs */
	write_at(f, CLUSTER + 7, 1, 9);
	write_at(f, 3 * CLUSTER + 7, 2, 9);
	write_at(f, 100, 3, 4 * CLUSTER);
	check(f);
}

static void test_last_sector(void **state)
{
	struct fixture *f = *state;

	/* the cluster is filled from a file that ends before the sector does */
	write_at(f, 4 * CLUSTER, 0x44, 512);
	check(f);
}

static void test_zeroes(void **state)
{
	struct fixture *f = *state;

	zero_at(f, 1000, 500);
	check(f);
	write_at(f, 2 * CLUSTER, 7, CLUSTER);
	zero_at(f, 2 * CLUSTER + 10, CLUSTER);
	check(f);
	zero_at(f, 0, ROUNDED);
	check(f);
	write_at(f, CLUSTER / 2, 8, CLUSTER);
	check(f);
}

static void test_discard(void **state)
{
	struct fixture *f = *state;
	g_autofree uint8_t *buf = g_malloc(ROUNDED);

	write_at(f, CLUSTER, 5, CLUSTER);
	assert_int_equal(image_request(f->block, BLOCK_DISCARD, 0, 3 * CLUSTER), 0);
	/* what was never written stays; what was is undefined, but not an error */
	assert_int_equal(image_read(f->block, 0, buf, ROUNDED), 0);
	assert_memory_equal(buf, f->expect, CLUSTER);
	assert_memory_equal(buf + 2 * CLUSTER, f->expect + 2 * CLUSTER, ROUNDED - 2 * CLUSTER);
	write_at(f, CLUSTER, 6, CLUSTER);
	check(f);
}

static void test_random(void **state)
{
	struct fixture *f = *state;
	g_autoptr(GRand) rand = g_rand_new_with_seed(42);

	for (unsigned i = 0; i < 200; i++) {
		uint32_t offset = (uint32_t)g_rand_int_range(rand, 0, ROUNDED);
		uint32_t len = (uint32_t)g_rand_int_range(
				rand, 1, (gint32)MIN(ROUNDED - offset, 2 * CLUSTER) + 1);
		if (i % 4 == 0) {
			zero_at(f, offset, len);
		} else {
			write_at(f, offset, (uint8_t)i, len);
		}
		if (i % 20 == 0) {
			check(f);
		}
	}
	check(f);
}

/* Many threads fill parts of the same clusters: none loses what another wrote. */
struct writer {
	struct fixture *f;
	unsigned index;
	int error;
};

#define WRITERS 8

static void write_stripes(void *opaque)
{
	struct writer *writer = opaque;

	for (uint64_t at = writer->index * 512; at + 512 <= ROUNDED && !writer->error;
			at += WRITERS * 512) {
		writer->error = image_fill(writer->f->block, at, (uint8_t)(writer->index + 1), 512);
	}
}

static void test_parallel(void **state)
{
	struct fixture *f = *state;
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];

	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.f = f, .index = i};
		assert_true(thread_create(&threads[i], "writer", write_stripes, &writers[i], NULL));
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(writers[i].error, 0);
	}
	for (unsigned i = 0; i < ROUNDED; i++) {
		f->expect[i] = (uint8_t)(i / 512 % WRITERS + 1);
	}
	check(f);
}

/* No room for the temporary file: the write fails, and what was there stays. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, limit;

	write_at(f, 0, 9, 512);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = CLUSTER;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(image_fill(f->block, 2 * CLUSTER + 512, 1, 512), EFBIG);
	write_at(f, 512, 10, 512);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	check(f);
	write_at(f, 2 * CLUSTER + 512, 1, 512);
	check(f);
}

static void test_folder(void **state)
{
	struct fixture *f = *state;
	g_autofree char *none = g_build_filename(f->image->folder, "none", NULL);
	g_autoptr(GError) error = NULL;

	g_setenv("TMPDIR", none, TRUE);
	assert_null(image_file_open(f->image, &error, "snapshot", "on", NULL));
	g_unsetenv("TMPDIR");
	assert_non_null(strstr(error->message, "snapshot=on"));
	assert_non_null(strstr(error->message, none));
	/* nothing with a name is left in the folder: teardown removes it */
	g_setenv("TMPDIR", f->image->folder, TRUE);
	struct block *block = image_file_open(f->image, NULL, "snapshot", "on", NULL);
	g_unsetenv("TMPDIR");
	assert_non_null(block);
	assert_int_equal(image_fill(block, 0, 1, 512), 0);
	block_close(block);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	struct block *block = image_file_open(
			f->image, NULL, "snapshot", "on", "readonly", "on", NULL);

	assert_true(block_is_read_only(block));
	assert_int_equal(image_fill(block, 0, 1, 512), EROFS);
	block_close(block);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_untouched),
			TEST(test_writes),
			TEST(test_runs),
			TEST(test_last_sector),
			TEST(test_zeroes),
			TEST(test_discard),
			TEST(test_random),
			TEST(test_parallel),
			TEST(test_full),
			TEST(test_folder),
			TEST(test_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
