/* SPDX-License-Identifier: MIT */
/* Each scene plays in a child, whose standard error is a file that is looked at afterwards. */
#include "core/base/stderr_filter.h"

#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLOOD 20000

extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

static int output = -1; /* the file, for scenes that look at it themselves */

/* Returns what the scene wrote; *ret_status is its wait status. */
static char *play_in_child(void (*scene)(void), int *ret_status)
{
	g_autofree char *path = NULL;
	auto_fd int fd = g_file_open_tmp("oriel-stderr-XXXXXX", &path, NULL);
	char *text = NULL;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = {0};
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)dup2(fd, STDERR_FILENO);
		output = fd;
		/* cmocka's own would turn a signal into a failed test of the child. */
		(void)signal(SIGSEGV, SIG_DFL);
		(void)signal(SIGABRT, SIG_DFL);
		log_init("child", LOG_LEVEL_INFO);
		if (!stderr_filter_start(NULL)) {
			_exit(99);
		}
		scene();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, ret_status, 0), pid);
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	(void)unlink(path);
	return text;
}

static char *play(void (*scene)(void), int *ret_status)
{
	if (__sanitizer_print_stack_trace) {
		skip(); /* nothing is filtered there */
	}
	return play_in_child(scene, ret_status);
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)); at++) {
		n++;
	}
	return n;
}

/* What a shader full of nonsense makes of the renderer. */
static void flood(void)
{
	for (unsigned i = 0; i < FLOOD; i++) {
		fprintf(stderr, "TGSI: syntax error in line %u\n", i);
	}
}

static void scene_flood(void)
{
	log_info("first");
	flood();
	log_info("second");
	log_warn("third");
	stderr_filter_stop();
	fprintf(stderr, "past the filter\n");
}

static void test_flood(void **state)
{
	int status;
	g_autofree char *text = play(scene_flood, &status);
	(void)state;

	assert_int_equal(status, 0);
	/* A slow machine may see a second begin; never hundreds of them. */
	assert_in_range(count(text, "library: TGSI"), STDERR_FILTER_BURST,
			STDERR_FILTER_BURST + 200);
	assert_in_range(count(text, "more were not shown"), 1, 200);
	assert_true(g_str_has_prefix(text, "child: first\n"));
	const char *second = strstr(text, "child: second\nchild: warning: third\n");
	assert_non_null(second);
	assert_true(g_str_has_suffix(text, "past the filter\n"));
}

static void scene_text(void)
{
	g_autofree char *wide = g_strnfill(5 * STDERR_FILTER_LINE, 'x');

	fprintf(stderr, "red \033[31malert\a\r\n\n\ttab\n%s\n", wide);
	fprintf(stderr, "no end");
	stderr_filter_stop();
}

static void test_text(void **state)
{
	int status;
	g_autofree char *text = play(scene_text, &status);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	(void)state;

	assert_int_equal(status, 0);
	assert_int_equal(g_strv_length(lines), 5);
	assert_string_equal(lines[0], "child: library: red ?[31malert?");
	assert_string_equal(lines[1], "child: library:  tab");
	assert_int_equal(strlen(lines[2]), strlen("child: library: ") + STDERR_FILTER_LINE);
	assert_string_equal(lines[3], "child: library: no end");
}

/* A parser that never writes a line feed; nothing comes after it. */
static void scene_quiet(void)
{
	char text[256] = "";

	fprintf(stderr, "Expected register");
	while (!strstr(text, "library: Expected register\n")) {
		(void)sched_yield();
		assert(pread(output, text, sizeof(text) - 1, 0) >= 0);
	}
	_exit(0);
}

static void test_quiet(void **state)
{
	int status;
	g_autofree char *text = play(scene_quiet, &status);
	(void)state;

	assert_int_equal(status, 0);
	assert_non_null(strstr(text, "child: library: Expected register"));
}

static void scene_abort(void)
{
	flood();
	fprintf(stderr, "last words\n");
	abort();
}

/* The words have no end, and the thread has taken them already. */
static void scene_fault(void)
{
	int left;

	flood();
	fprintf(stderr, "last words");
	do {
		assert(ioctl(STDERR_FILENO, FIONREAD, &left) == 0);
	} while (left > 0);
	(void)raise(SIGSEGV);
	_exit(98);
}

static void test_crash(void **state)
{
	static const struct {
		void (*scene)(void);
		int signal;
	} rows[] = {{scene_abort, SIGABRT}, {scene_fault, SIGSEGV}};
	(void)state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		int status;
		g_autofree char *text = play(rows[i].scene, &status);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), rows[i].signal);
		assert_non_null(strstr(text, "last words"));
	}
}

static void scene_exit(void)
{
	flood();
	fprintf(stderr, "LLVM ERROR: giving up\n");
	exit(7);
}

/* A library that ends the process. */
static void test_exit(void **state)
{
	int status;
	g_autofree char *text = play(scene_exit, &status);
	(void)state;

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_non_null(strstr(text, "LLVM ERROR: giving up"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_flood),
			cmocka_unit_test(test_text),
			cmocka_unit_test(test_quiet),
			cmocka_unit_test(test_crash),
			cmocka_unit_test(test_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
