/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/fd.h"

#include <fcntl.h>
#include <unistd.h>

static void test_auto_fd_closes(void **state)
{
	int seen;
	(void)state;
	{
		auto_fd int fd = eventfd_create(NULL);
		assert_true(fd >= 0);
		seen = fd;
	}
	assert_int_equal(fcntl(seen, F_GETFD), -1);
}

static void test_steal(void **state)
{
	auto_fd int fd = eventfd_create(NULL);
	(void)state;

	auto_fd int taken = fd_steal(&fd);
	assert_int_equal(fd, -1);
	assert_true(fcntl(taken, F_GETFD) >= 0);
}

static void test_eventfd(void **state)
{
	auto_fd int fd = eventfd_create(NULL);
	(void)state;

	assert_int_equal(eventfd_take(fd), 0);
	eventfd_signal(fd);
	eventfd_signal(fd);
	assert_int_equal(eventfd_take(fd), 2);
	assert_int_equal(eventfd_take(fd), 0);
}

static void test_pread_all(void **state)
{
	g_autoptr(GError) error = NULL;
	auto_fd int fd = memfd_create_sized("test", 8, NULL);
	char buf[8];
	(void)state;

	assert_int_equal(pwrite(fd, "abcdefgh", 8, 0), 8);
	assert_true(fd_pread_all(fd, buf, 4, 4, &error));
	assert_memory_equal(buf, "efgh", 4);
	assert_false(fd_pread_all(fd, buf, 4, 6, &error));
	assert_true(g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_IO));
}

static void test_memfd_size_is_sealed(void **state)
{
	auto_fd int fd = memfd_create_sized("test", 4096, NULL);
	(void)state;

	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 8192), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_auto_fd_closes),
			cmocka_unit_test(test_steal),
			cmocka_unit_test(test_eventfd),
			cmocka_unit_test(test_pread_all),
			cmocka_unit_test(test_memfd_size_is_sealed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
