/* SPDX-License-Identifier: MIT */
/*
 * Each situation in a process of its own, as a list is for ever. With --print the program writes the lists as docs/sandbox.md
 * shows them.
 */
#include "core/sandbox/sandbox.h"

#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/sandbox/filter.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define LISTS "\n## Lists\n"

/*
 * The document.
 */

static const char *verdict_text(enum sandbox_verdict verdict)
{
	static const char *const texts[] = {
			[SANDBOX_ALLOW] = "",
			[SANDBOX_REFUSE] = "fails with EPERM",
			[SANDBOX_MISSING] = "fails with ENOSYS",
			[SANDBOX_KILL] = "kills",
	};

	return texts[verdict];
}

static const char *group_text(unsigned group)
{
	return group == SANDBOX_OBSOLETE	     ? " unless `obsolete=allow`"
	       : group == SANDBOX_ELEVATE_PRIVILEGES ? " unless `elevateprivileges=allow`"
	       : group == SANDBOX_SPAWN		     ? " unless `spawn=allow`"
	       : group == SANDBOX_RESOURCE_CONTROL   ? " unless `resourcecontrol=allow`"
						     : "";
}

static void append_table(GString *text, const struct sandbox_table *table)
{
	g_string_append_printf(text,
			"\n### %s\n\n| calls | only | what happens | why |\n|---|---|---|---|\n",
			table->title);
	for (const struct sandbox_entry *entry = table->entries; entry->calls; entry++) {
		g_string_append_printf(text, "| %s | %s | %s%s | %s |\n", entry->calls,
				entry->check.mask ? entry->check.text : "",
				verdict_text(entry->verdict), group_text(entry->group), entry->why);
	}
}

static char *lists_text(void)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; sandbox_tables[i]; i++) {
		append_table(text, sandbox_tables[i]);
	}
	return g_string_free(text, FALSE);
}

static void test_document(void **state)
{
	g_autofree char *document = NULL, *lists = lists_text();

	(void)state;
	assert_true(g_file_get_contents(DOCUMENT, &document, NULL, NULL));
	const char *shown = strstr(document, LISTS);
	assert_non_null(shown);
	assert_string_equal(shown + strlen(LISTS), lists); /* test_sandbox --print writes them */
}

/* Every name is a call, and no list has an entry that an earlier one makes idle. */
static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; sandbox_tables[i]; i++) {
		for (const struct sandbox_entry *entry = sandbox_tables[i]->entries; entry->calls;
				entry++) {
			g_auto(GStrv) calls = g_strsplit(entry->calls, " ", 0);
			assert_true(entry->why && *entry->why);
			assert_true(!entry->check.mask || entry->check.text);
			for (char **call = calls; *call; call++) {
				if (seccomp_syscall_resolve_name(*call) < 0) {
					fail_msg("%s: no such call", *call);
				}
			}
		}
	}
}

static void test_programs(void **state)
{
	(void)state;
	for (unsigned part = 0; part < SANDBOX_PARTS; part++) {
		for (unsigned allowed = 0; allowed < 16; allowed++) {
			struct sock_fprog program;
			g_autoptr(GError) error = NULL;
			if (!filter_compile(part, allowed, &program, &error)) {
				fail_msg("%s", error->message);
			}
			assert_in_range(program.len, 50, BPF_MAXINSNS);
			g_free(program.filter);
		}
	}
}

/*
 * What threads may do. Each function is a child's: its exit status, 0 where all was as it should be.
 */

static int nothing(void)
{
	return 0;
}

static int call_mount(void)
{
	return syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) == -1 ? 0 : 1;
}

static int call_mlockall(void)
{
	return syscall(SYS_mlockall, 0) == -1 && errno == EPERM ? 0 : 1;
}

static int call_mlockall_often(void)
{
	return call_mlockall() | call_mlockall() | call_mlockall();
}

static int call_of_the_future(void)
{
	return syscall(1000) == -1 && errno == ENOSYS ? 0 : 1;
}

static int call_of_another_architecture(void)
{
	long number = 20; /* getpid, 32 bits */

	__asm__ volatile("int $0x80" : "+a"(number) : : "memory");
	return 1;
}

static int call_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS ? 0 : 1;
}

static int call_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		_exit(0);
	}
	return pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

static int call_execve(void)
{
	char *none[] = {NULL};

	execve("/nonexistent", none, none);
	return errno == ENOENT ? 0 : 1;
}

static int call_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1;
}

static int call_setuid(void)
{
	return setuid(getuid());
}

static int call_setpriority(void)
{
	return setpriority(PRIO_PROCESS, 0, 0) == 0 ? 0 : errno == EPERM ? 2 : 1;
}

static int call_sysfs(void)
{
	return syscall(SYS_sysfs, 3) > 0 ? 0 : 1;
}

static int call_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	return fd >= 0 ? 0 : errno == EPERM ? 2 : 1;
}

static int call_bind(void)
{
	return bind(0, NULL, 0);
}

static int call_unix_socket(void)
{
	return call_socket(AF_UNIX);
}

static int call_inet_socket(void)
{
	return call_socket(AF_INET);
}

static int map_code(void)
{
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return code != MAP_FAILED ? 0 : errno == EPERM ? 2 : 1;
}

static int make_code(void)
{
	void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED || mprotect(data, 4096, PROT_READ) < 0) {
		return 1;
	}
	return mprotect(data, 4096, PROT_READ | PROT_EXEC) == 0 ? 0 : errno == EPERM ? 2 : 1;
}

static int open_file(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? 0 : errno == EPERM ? 2 : 1;
}

static int signal_self(void)
{
	return (int)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0);
}

static int signal_parent(void)
{
	return (int)syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static int kill_parent(void)
{
	return kill(getppid(), 0);
}

static int set_terminal(void)
{
	struct termios modes;

	return tcgetattr(0, &modes) == -1 ? 0 : tcsetattr(0, TCSANOW, &modes);
}

static int type_at_terminal(void)
{
	char c = 'x';

	return ioctl(0, TIOCSTI, &c) == -1 ? 0 : 1;
}

static int ask_usage(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage);
}

static int raise_limit(void)
{
	struct rlimit limit = {0, 0};

	return prlimit(0, RLIMIT_CORE, NULL, &limit) == 0 ? prlimit(0, RLIMIT_CORE, &limit, NULL)
							  : 1;
}

static void count_up(void *opaque)
{
	++*(int *)opaque;
}

static int start_thread(void)
{
	pthread_t thread;
	int count = 0;

	if (!thread_create(&thread, "another", count_up, &count, NULL)) {
		return 1;
	}
	pthread_join(thread, NULL);
	return count == 1 ? 0 : 1;
}

static int work_of_vcpu(void)
{
	uint64_t one = 1;
	int fd = (int)syscall(SYS_eventfd2, 0, 0);
	g_autofree char *memory = g_malloc0(4 << 20);

	memory[1 << 20] = 1;
	return fd >= 0 && write(fd, &one, sizeof(one)) == sizeof(one) &&
					       read(fd, &one, sizeof(one)) == sizeof(one) &&
					       start_thread() == 0 && signal_self() == 0
			       ? 0
			       : 1;
}

/* A thread that was there before is to have the list too. */
static int other_fd[2];

static void wait_and_mount(void *opaque)
{
	char c;
	(void)opaque;

	if (read(other_fd[0], &c, 1) == 1) {
		_exit(call_mount());
	}
}

static int tell_other_thread(void)
{
	if (write(other_fd[1], "", 1) == 1) {
		(void)poll(NULL, 0, -1); /* until the process dies */
	}
	return 1;
}

#define MACHINE BIT(SANDBOX_MACHINE)
#define VCPU (BIT(SANDBOX_MACHINE) | BIT(SANDBOX_VCPU))
#define PICTURE BIT(SANDBOX_PICTURE)
#define WINDOW BIT(SANDBOX_WINDOW)
#define DIES SIGSYS
#define EXITS(status) ((status) << 8)

static const struct situation {
	const char *name;
	uint64_t parts; /* bits */
	int (*fn)(void);
	int status; /* as waitpid() gives it */
	unsigned allowed;
	const char *says; /* all that it says; NULL: nothing */
	bool plain; /* a sanitizer's run time makes this call */
} situations[] = {
		{"machine runs", MACHINE, nothing, EXITS(0)},
		{"machine mounts", MACHINE, call_mount, DIES},
		{"machine locks memory", MACHINE, call_mlockall, DIES,
				.says = "sandbox: system call 151 is in no list (docs/sandbox.md); the program ends\n"},
		{"machine calls the future", MACHINE, call_of_the_future, EXITS(0)},
		{"machine calls 32 bits", MACHINE, call_of_another_architecture, DIES},
		{"machine clones", MACHINE, call_clone3, EXITS(0), .plain = true},
		{"machine forks", MACHINE, call_fork, DIES, .plain = true},
		{"machine may fork", MACHINE, call_fork, EXITS(0), SANDBOX_SPAWN},
		{"machine executes", MACHINE, call_execve, DIES, .plain = true},
		{"machine may execute", MACHINE, call_execve, EXITS(0), SANDBOX_SPAWN},
		{"machine traces", MACHINE, call_ptrace, DIES, 15, .plain = true},
		{"machine changes user", MACHINE, call_setuid, DIES},
		{"machine may change user", MACHINE, call_setuid, EXITS(0),
				SANDBOX_ELEVATE_PRIVILEGES},
		{"machine hurries", MACHINE, call_setpriority, EXITS(2)},
		{"machine may hurry", MACHINE, call_setpriority, EXITS(0),
				SANDBOX_RESOURCE_CONTROL},
		{"machine is old", MACHINE, call_sysfs, DIES},
		{"machine may be old", MACHINE, call_sysfs, EXITS(0), SANDBOX_OBSOLETE},
		{"machine makes a socket", MACHINE, call_unix_socket, EXITS(2)},
		{"machine binds", MACHINE, call_bind, DIES,
				.says = "sandbox: system call 49 is in no list (docs/sandbox.md); the program ends\n"},
		{"machine maps code", MACHINE, map_code, EXITS(2), .plain = true},
		{"machine makes code", MACHINE, make_code, EXITS(2), .plain = true},
		{"machine opens", MACHINE, open_file, EXITS(0)},
		{"machine signals itself", MACHINE, signal_self, EXITS(0)},
		{"machine signals another", MACHINE, signal_parent, DIES, .plain = true,
				.says = "sandbox: system call 234 is in no list (docs/sandbox.md); the program ends\n"},
		{"machine kills", MACHINE, kill_parent, DIES, .plain = true,
				.says = "sandbox: system call 62 is in no list (docs/sandbox.md); the program ends\n"},
		{"machine sets its terminal", MACHINE, set_terminal, EXITS(0)},
		{"machine types", MACHINE, type_at_terminal, DIES, .plain = true,
				.says = "sandbox: system call 16 is in no list (docs/sandbox.md); the program ends\n"},
		{"machine asks", MACHINE, ask_usage, EXITS(0)},
		{"machine sets limits", MACHINE, raise_limit, DIES, .plain = true,
				.says = "sandbox: system call 302 is in no list (docs/sandbox.md); the program ends\n"},
		{"machine starts a thread", MACHINE, start_thread, EXITS(0)},
		{"a thread of before", MACHINE, tell_other_thread, DIES},
		{"vCPU works", VCPU, work_of_vcpu, EXITS(0)},
		{"vCPU opens", VCPU, open_file, EXITS(2), .plain = true},
		{"vCPU asks", VCPU, ask_usage, DIES,
				.says = "sandbox: system call 98 is in no list (docs/sandbox.md); the program ends\n"},
		{"vCPU may not fork", VCPU, call_fork, DIES, 15, .plain = true},
		{"vCPU alone is no sandbox", BIT(SANDBOX_VCPU), ask_usage, EXITS(0)},
		{"picture runs", PICTURE, start_thread, EXITS(0)},
		{"picture locks memory", PICTURE, call_mlockall_often, EXITS(0),
				.says = "sandbox: system call 151 is in no list (docs/sandbox.md); it fails\n"},
		{"picture makes code", PICTURE, make_code, EXITS(0)},
		{"picture executes", PICTURE, call_execve, DIES, .plain = true},
		{"picture makes a socket", PICTURE, call_unix_socket, EXITS(2),
				.says = "sandbox: system call 41 is in no list (docs/sandbox.md); it fails\n"},
		{"window makes a socket", WINDOW, call_unix_socket, EXITS(0)},
		{"window calls the world", WINDOW, call_inet_socket, EXITS(2),
				.says = "sandbox: system call 41 is in no list (docs/sandbox.md); it fails\n"},
};

_Noreturn static void enter_and_run(const struct situation *situation)
{
	const struct rlimit none = {0, 0};
	struct sandbox_config config = {
			.on = true, .required = true, .allowed = situation->allowed};
	pthread_t other;
	bool ok;

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGSYS, SIG_DFL); /* the test frame handles it */
	thread_register();
	ok = sandbox_init(&config, true, NULL) && pipe2(other_fd, O_CLOEXEC) == 0 &&
	     thread_create(&other, "other", wait_and_mount, NULL, NULL);
	for (unsigned part = 0; part < SANDBOX_PARTS; part++) {
		ok = ok && (!(situation->parts & BIT(part)) || sandbox_enter(part, NULL));
	}
	_exit(ok ? situation->fn() : 99);
}

/* The child's status; *ret_says is what it wrote to standard error, owned by the caller. */
static int run_child(void (*fn)(const void *), const void *argument, char **ret_says)
{
	GString *says = g_string_new(NULL);
	char buf[256];
	int ends[2], status;
	ssize_t n;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], STDERR_FILENO);
		fn(argument);
		_exit(98);
	}
	close(ends[1]);
	while ((n = read(ends[0], buf, sizeof(buf))) > 0) {
		g_string_append_len(says, buf, n);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*ret_says = g_string_free(says, FALSE);
	return status;
}

static void run_situation(const void *argument)
{
	enter_and_run(argument);
}

static void test_situations(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(situations); i++) {
		const struct situation *situation = &situations[i];
		g_autofree char *says = NULL;
		bool only_plain = situation->plain || situation->says ||
				  situation->status == EXITS(2);
		if (only_plain && filter_with_sanitizer()) {
			continue; /* only what kills is looked for there */
		}
		int status = run_child(run_situation, situation, &says) & ~0x80;
		if (status != situation->status ||
				strcmp(says, situation->says ? situation->says : "") != 0) {
			fail_msg("%s: status %#x, '%s'", situation->name, (unsigned)status, says);
		}
	}
}

/*
 * Before anything is entered.
 */

static void check_init(const void *argument)
{
	struct sandbox_config config = {.on = false};
	(void)argument;

	bool off = sandbox_init(&config, true, NULL) && sandbox_enter(SANDBOX_MACHINE, NULL) &&
		   call_mount() == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 &&
		   prctl(PR_GET_DUMPABLE) == 1;
	config.on = true;
	bool picture = sandbox_init(&config, false, NULL) &&
		       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE) == 1;
	bool machine = sandbox_init(&config, true, NULL) &&
		       prctl(PR_GET_DUMPABLE) == (filter_with_sanitizer() ? 1 : 0);
	_exit(off && picture && machine ? 0 : 1);
}

static void test_init(void **state)
{
	g_autofree char *says = NULL;

	(void)state;
	assert_int_equal(run_child(check_init, NULL, &says), 0);
	assert_string_equal(says, "");
}

/* A kernel or a container that has no such call. */
static void refuse_filters(void)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

	if (seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(seccomp), 0) < 0 ||
			seccomp_load(context) < 0) {
		_exit(97);
	}
	seccomp_release(context);
}

static void check_refused(const void *argument)
{
	struct sandbox_config config = *(const struct sandbox_config *)argument;
	g_autoptr(GError) error = NULL;

	refuse_filters();
	bool ok = sandbox_init(&config, true, &error);
	if (error) {
		fprintf(stderr, "%s\n", error->message);
	}
	_exit(!ok ? 1 : config.on || !sandbox_enter(SANDBOX_MACHINE, NULL) ? 2 : 0);
}

static void test_refused(void **state)
{
	const struct sandbox_config wanted = {.on = true},
				    required = {.on = true, .required = true};
	g_autofree char *warning = NULL, *error = NULL;

	(void)state;
	assert_int_equal(run_child(check_refused, &wanted, &warning), EXITS(0));
	assert_string_equal(warning,
			"test: warning: seccomp: Function not implemented: the program runs without a "
			"sandbox\n");
	assert_int_equal(run_child(check_refused, &required, &error), EXITS(1));
	assert_string_equal(error, "sandbox: seccomp: Function not implemented\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_names),
			cmocka_unit_test(test_programs),
			cmocka_unit_test(test_init),
			cmocka_unit_test(test_situations),
			cmocka_unit_test(test_refused),
			cmocka_unit_test(test_document),
	};

	if (argc == 2 && strcmp(argv[1], "--print") == 0) {
		g_autofree char *lists = lists_text();
		fputs(lists, stdout);
		return 0;
	}
	log_init("test", LOG_LEVEL_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
