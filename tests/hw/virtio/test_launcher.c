/* SPDX-License-Identifier: MIT */
#include "hw/virtio/launcher.h"

#include "core/base/fd.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
	struct launcher_events events;
	struct launcher *launcher;
	unsigned exits, losses;
	int status; /* of the last exit */
	int near[LAUNCHER_FDS]; /* what the program has the other ends of */
};

static void handle_exited(struct launcher_events *events, int status)
{
	struct fixture *fixture = container_of(events, struct fixture, events);

	fixture->exits++;
	fixture->status = status;
}

static void handle_lost(struct launcher_events *events)
{
	container_of(events, struct fixture, events)->losses++;
}

static struct fixture *open_fixture(const char *script)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t)script, NULL};

	fixture->events = (struct launcher_events){.exited = handle_exited, .lost = handle_lost};
	fixture->near[0] = fixture->near[1] = -1;
	fixture->launcher = launcher_create(argv, &fixture->events, NULL);
	assert_non_null(fixture->launcher);
	return fixture;
}

static void start(struct fixture *fixture)
{
	int far[LAUNCHER_FDS], ends[2];

	for (unsigned i = 0; i < LAUNCHER_FDS; i++) {
		fd_close(&fixture->near[i]);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		fixture->near[i] = ends[0];
		far[i] = ends[1];
	}
	assert_true(launcher_start(fixture->launcher, far, NULL));
	for (unsigned i = 0; i < LAUNCHER_FDS; i++) {
		fd_close(&far[i]);
	}
}

static void wait_exits(struct fixture *fixture, unsigned count)
{
	while (fixture->exits < count) {
		g_main_context_iteration(NULL, TRUE);
	}
	assert_int_equal(fixture->exits, count);
}

static void close_fixture(struct fixture *fixture)
{
	launcher_destroy(fixture->launcher);
	fd_close(&fixture->near[0]);
	fd_close(&fixture->near[1]);
	g_free(fixture);
}

/* What the program writes to its descriptor, until it or the text ends. */
static void expect_text(struct fixture *fixture, unsigned index, const char *text)
{
	char buf[64] = "";
	size_t len = 0;
	ssize_t n = 1;

	while (len < strlen(text) && n > 0) {
		n = read(fixture->near[index], buf + len, sizeof(buf) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	assert_string_equal(buf, text);
}

static void test_descriptors_and_status(void **state)
{
	/* Nothing of ours is open in it but the standard ones and the two. */
	struct fixture *fixture = open_fixture(
			"echo one >&3; echo two >&4; [ ! -e /proc/self/fd/5 ] && exit 7");
	(void)state;

	for (unsigned i = 1; i <= 3; i++) {
		start(fixture);
		expect_text(fixture, 0, "one\n");
		expect_text(fixture, 1, "two\n");
		wait_exits(fixture, i);
		assert_int_equal(fixture->status, 7 << 8);
	}
	close_fixture(fixture);
}

static void test_kill(void **state)
{
	struct fixture *fixture = open_fixture("trap '' TERM INT; echo up >&3; read nothing <&4");
	(void)state;

	launcher_kill(fixture->launcher); /* nobody there: no harm */
	start(fixture);
	expect_text(fixture, 0, "up\n");
	launcher_kill(fixture->launcher);
	wait_exits(fixture, 1);
	assert_int_equal(fixture->status, SIGKILL);
	close_fixture(fixture);
}

/* Signals that the machine ignores or blocks come to the program as they do to others. */
static void test_signals(void **state)
{
	struct fixture *fixture = open_fixture("kill -TERM $$; kill -HUP $$; exit 1");
	(void)state;

	start(fixture);
	wait_exits(fixture, 1);
	assert_int_equal(fixture->status, SIGTERM);
	close_fixture(fixture);
}

/* One that ends with its channels is waited for, one that does not is killed. */
static void test_end(void **state)
{
	static const char *const scripts[] = {"echo up >&3; read nothing <&4; exit 0",
			"echo up >&3; while :; do read nothing <&4; done"};
	(void)state;

	for (unsigned i = 0; i < G_N_ELEMENTS(scripts); i++) {
		struct fixture *fixture = open_fixture(scripts[i]);
		char c;
		start(fixture);
		expect_text(fixture, 0, "up\n");
		fd_close(&fixture->near[1]);
		launcher_destroy(fixture->launcher);
		fixture->launcher = NULL;
		assert_int_equal(read(fixture->near[0], &c, 1), 0); /* it is gone */
		assert_int_equal(fixture->exits + fixture->losses, 0);
		close_fixture(fixture);
	}
}

static void test_no_program(void **state)
{
	struct launcher_events events = {.exited = handle_exited, .lost = handle_lost};
	char *argv[] = {(char *)(uintptr_t) "/nonexistent/program", NULL};
	struct launcher *launcher = launcher_create(argv, &events, NULL);
	g_autoptr(GError) error = NULL;
	int fds[LAUNCHER_FDS] = {0, 1};
	(void)state;

	assert_non_null(launcher);
	for (unsigned i = 0; i < 2; i++) {
		g_clear_error(&error);
		assert_false(launcher_start(launcher, fds, &error));
		assert_string_equal(
				error->message, "/nonexistent/program: No such file or directory");
	}
	launcher_destroy(launcher);
	launcher_destroy(NULL);
}

/* The launcher's own death: its number is the parent of what it started. */
static void test_lost(void **state)
{
	struct fixture *fixture = open_fixture("echo $PPID >&3; read nothing <&4");
	g_autoptr(GError) error = NULL;
	char buf[32] = "";
	(void)state;

	start(fixture);
	assert_true(read(fixture->near[0], buf, sizeof(buf) - 1) > 0);
	assert_int_equal(kill((pid_t)g_ascii_strtoll(buf, NULL, 10), SIGKILL), 0);
	while (fixture->losses == 0) {
		g_main_context_iteration(NULL, TRUE);
	}
	launcher_kill(fixture->launcher);
	int fds[LAUNCHER_FDS] = {0, 1};
	assert_false(launcher_start(fixture->launcher, fds, &error));
	assert_string_equal(error->message, "/bin/sh: its launcher: Broken pipe");
	assert_int_equal(fixture->exits, 0);
	close_fixture(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_descriptors_and_status),
			cmocka_unit_test(test_kill),
			cmocka_unit_test(test_signals),
			cmocka_unit_test(test_end),
			cmocka_unit_test(test_no_program),
			cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
