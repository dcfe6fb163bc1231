/* SPDX-License-Identifier: MIT */
#include "core/control/terminal.h"

#include "tests/harness/test.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char *filter(const char *typed)
{
	g_autofree uint8_t *data = (uint8_t *)g_strdup(typed);
	size_t len = strlen(typed);
	bool left = terminal_filter(data, &len);

	assert_int_equal(left, len > 0);
	return g_strndup((const char *)data, len);
}

#define assert_filtered(typed, expected) \
	do { \
		g_autofree char *text_ = filter(typed); \
		assert_string_equal(text_, expected); \
	} while (0)

static void count_quit(void *opaque)
{
	++*(unsigned *)opaque;
}

static void test_escapes(void **state)
{
	unsigned quits = 0;
	(void)state;

	assert_filtered("plain\r\x03\x1a", "plain\r\x03\x1a");
	assert_filtered("\x01x", ""); /* nobody has said what to do */
	terminal_set_quit(count_quit, &quits);
	assert_filtered("a\x01xb", "ab");
	assert_int_equal(quits, 1);
	assert_filtered("\x01"
			"a|\x01\x01",
			"\x01|\x01");
	assert_filtered("\x01q", ""); /* unknown: nothing */
	/* The escape and its key may come apart. */
	assert_filtered("1\x01", "1");
	assert_filtered("x2", "2");
	assert_int_equal(quits, 2);
	assert_filtered("", "");
	terminal_set_quit(NULL, NULL);
}

static void test_not_a_terminal(void **state)
{
	int stdin_copy = dup(STDIN_FILENO);
	int null = open("/dev/null", O_RDONLY);
	(void)state;

	dup2(null, STDIN_FILENO);
	assert_false(terminal_take());
	terminal_release();
	dup2(stdin_copy, STDIN_FILENO);
	close(stdin_copy);
	close(null);
}

/* How a process that holds the terminal ends. */
enum ending {
	ENDING_RELEASE,
	ENDING_EXIT,
	ENDING_RAISE,
	ENDING_ABORT,
	ENDING_FAULT,
	ENDING_CHAINED
};

struct ending_case {
	const char *name;
	enum ending ending;
	int signal_number; /* 0: an exit with status 7 */
};

static struct sigaction next_handler;

/* A handler of somebody who came later and does not know the fault: an engine's. */
static void pass_on(int signal_number)
{
	next_handler.sa_handler(signal_number);
}

static void end(const struct ending_case *how)
{
	const struct sigaction mine = {.sa_handler = pass_on};

	switch (how->ending) {
	case ENDING_RELEASE:
		terminal_release();
		_exit(7);
	case ENDING_EXIT:
		exit(7);
	case ENDING_ABORT:
		abort();
	case ENDING_FAULT:
		raise(SIGSEGV);
		break;
	case ENDING_CHAINED:
		sigaction(how->signal_number, &mine, &next_handler);
		raise(how->signal_number);
		break;
	case ENDING_RAISE:
	default:
		raise(how->signal_number);
		break;
	}
	_exit(1);
}

static bool is_raw(const struct termios *modes)
{
	return !(modes->c_lflag & (ICANON | ECHO | ISIG));
}

static void run_child(int slave, int ready, int go, const struct ending_case *how)
{
	const struct rlimit no_core = {0};
	char byte = 0;

	setrlimit(RLIMIT_CORE, &no_core);
	alarm(60); /* a hang ends as a wrong signal */
	setsid();
	dup2(slave, STDIN_FILENO);
	ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	for (int i = 1; i < SIGRTMIN; i++) {
		(void)signal(i, SIG_DFL); /* cmocka has handlers of its own */
	}
	if (!terminal_take() || terminal_take() || write(ready, &byte, 1) != 1 ||
			read(go, &byte, 1) != 1) {
		_exit(1);
	}
	end(how);
}

static void test_ending(void **state)
{
	const struct ending_case *how = *state;
	struct termios before, taken, after;
	int master, slave, ready[2], go[2], status;
	char byte = 0;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	tcgetattr(slave, &before);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		run_child(slave, ready[1], go[0], how);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	tcgetattr(slave, &taken);
	assert_true(is_raw(&taken) && !is_raw(&before));
	assert_int_equal(taken.c_oflag & OPOST, OPOST);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (how->signal_number) {
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), how->signal_number);
	} else {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 7);
	}
	tcgetattr(slave, &after);
	assert_memory_equal(&after, &before, sizeof(after));
	close(master);
	close(slave);
	close(ready[0]);
	close(go[0]);
	close(go[1]);
}

static struct ending_case endings[] = {
		{"released", ENDING_RELEASE, 0},
		{"exit", ENDING_EXIT, 0},
		{"abort", ENDING_ABORT, SIGABRT},
		{"fault", ENDING_FAULT, SIGSEGV},
		{"SIGTERM", ENDING_RAISE, SIGTERM},
		{"SIGINT", ENDING_RAISE, SIGINT},
		{"SIGHUP", ENDING_RAISE, SIGHUP},
		{"SIGQUIT", ENDING_RAISE, SIGQUIT},
		{"SIGFPE passed on by another handler", ENDING_CHAINED, SIGFPE},
};

int main(void)
{
	struct CMUnitTest tests[2 + G_N_ELEMENTS(endings)] = {
			cmocka_unit_test(test_escapes),
			cmocka_unit_test(test_not_a_terminal),
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(endings); i++) {
		tests[2 + i] = (struct CMUnitTest){.name = endings[i].name,
				.test_func = test_ending,
				.initial_state = &endings[i]};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
