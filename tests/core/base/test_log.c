/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <string.h>
#include <unistd.h>

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)); at++) {
		n++;
	}
	return n;
}

static void test_lines_and_rate_limit(void **state)
{
	g_autofree char *path = NULL;
	auto_fd int fd = g_file_open_tmp("oriel-log-XXXXXX", &path, NULL);
	g_autofree char *text = NULL;
	(void)state;

	log_init("tester", LOG_LEVEL_INFO);
	assert_true(log_set_file(path, NULL));
	log_info("hello %d", 1);
	log_warn("careful");
	log_debug("not shown");
	for (int i = 0; i < 1000; i++) {
		guest_error("bad number %d", i);
	}
	guest_error("another place");

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_non_null(strstr(text, "tester: hello 1\n"));
	assert_non_null(strstr(text, "tester: warning: careful\n"));
	assert_null(strstr(text, "not shown"));
	assert_in_range(count(text, "bad number"), 1, 20);
	assert_int_equal(count(text, "another place"), 1); /* each place has its own limit */
	(void)unlink(path);
}

static void test_unwritable_file(void **state)
{
	g_autoptr(GError) error = NULL;
	(void)state;

	assert_false(log_set_file("/nonexistent/log", &error));
	assert_non_null(strstr(error->message, "/nonexistent/log"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_unwritable_file),
			cmocka_unit_test(test_lines_and_rate_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
