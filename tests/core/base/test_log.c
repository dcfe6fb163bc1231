/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <fcntl.h>
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
	assert_true(log_set_file(path, false, NULL));
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

	assert_false(log_set_file("/nonexistent/log", false, &error));
	assert_non_null(strstr(error->message, "/nonexistent/log"));
}

static void test_items(void **state)
{
	static const char *const bad[] = {"", "int,", ",int", "int,exek", "INT", "help"};
	uint32_t items = 0;
	(void)state;

	assert_true(log_parse_items("int,exec,int", &items, NULL));
	assert_int_equal(items, LOG_ITEM_INT | LOG_ITEM_EXEC);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *unknown = NULL;
		items = 77;
		assert_false(log_parse_items(bad[i], &items, &unknown));
		assert_non_null(unknown);
		assert_int_equal(items, 77);
	}
	for (const struct log_item_info *item = log_items; item->name; item++) {
		assert_true(log_parse_items(item->name, &items, NULL));
		assert_int_equal(items, item->bit);
		assert_non_null(item->help);
	}
}

static unsigned evaluated;

static unsigned evaluate(void)
{
	return ++evaluated;
}

static void test_item_lines(void **state)
{
	g_autofree char *path = NULL;
	auto_fd int fd = g_file_open_tmp("oriel-log-XXXXXX", &path, NULL);
	g_autofree char *text = NULL;
	(void)state;

	assert_true(log_set_file(path, true, NULL));
	log_item(LOG_ITEM_INT, "int: %u", evaluate());
	assert_int_equal(evaluated, 0);
	log_set_items(LOG_ITEM_INT | LOG_ITEM_GUEST_ERRORS);
	log_item(LOG_ITEM_INT, "int: %u", evaluate());
	log_item(LOG_ITEM_EXEC, "exec: %u", evaluate());
	assert_int_equal(evaluated, 1);
	for (int i = 0; i < 1000; i++) {
		guest_error("bad number %d", i);
	}
	log_debug("not shown");
	log_set_items(LOG_ITEM_DEBUG);
	log_debug("shown");
	log_set_items(0);

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_true(g_str_has_prefix(text, "int: 1\n")); /* nobody's name before it */
	assert_null(strstr(text, "exec"));
	assert_int_equal(count(text, "bad number"), 1000); /* all of them were asked for */
	assert_null(strstr(text, "not shown"));
	assert_non_null(strstr(text, "debug: shown\n"));
	(void)unlink(path);
}

/* Two programs may write to one file. */
static void test_append(void **state)
{
	g_autofree char *path = NULL;
	auto_fd int made = g_file_open_tmp("oriel-log-XXXXXX", &path, NULL);
	auto_fd int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	g_autofree char *text = NULL, *fresh = NULL;
	(void)state;

	log_init("tester", LOG_LEVEL_INFO);
	assert_int_equal(write(fd, "first\n", 6), 6);
	assert_true(log_set_file(path, true, NULL));
	log_info("second");
	assert_int_equal(write(fd, "third\n", 6), 6);
	log_info("fourth");
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_string_equal(text, "first\ntester: second\nthird\ntester: fourth\n");

	assert_true(log_set_file(path, false, NULL));
	log_info("fifth");
	assert_int_equal(write(fd, "sixth\n", 6), 6);
	log_info("seventh");
	assert_true(g_file_get_contents(path, &fresh, NULL, NULL));
	assert_string_equal(fresh, "tester: fifth\nsixth\ntester: seventh\n");
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_unwritable_file),
			cmocka_unit_test(test_lines_and_rate_limit),
			cmocka_unit_test(test_items),
			cmocka_unit_test(test_item_lines),
			cmocka_unit_test(test_append),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
