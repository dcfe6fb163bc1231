/* SPDX-License-Identifier: MIT */
#include "core/sandbox/sandbox.h"

#include "core/base/log.h"
#include "core/sandbox/filter.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define MAX_CALL 512
#define BY_FILTER 1 /* SYS_SECCOMP, which the C library's headers lack */

/* The sandbox of this process: what a signal handler must find can be nowhere else. */
static struct {
	struct sandbox_config config;
	struct sock_fprog
			vcpu; /* len 0: vCPU threads have no list; constant once the machine's is in force */
	struct sigaction before;
	bool goes_on; /* a call that no list has fails, and the process goes on */
	uint8_t told[MAX_CALL]; /* by number of call: it was told that this one failed; atomic */
} sandbox;

static size_t append(char *line, size_t at, const char *text)
{
	for (; *text; text++) {
		line[at++] = *text;
	}
	return at;
}

/* Only what a signal handler may do. */
static void tell(int call, const char *consequence)
{
	char line[160], digits[16], *digit = digits + sizeof(digits) - 1;
	size_t len = append(line, 0, "sandbox: system call ");

	*digit = '\0';
	do {
		*--digit = (char)('0' + call % 10);
		call /= 10;
	} while (call > 0);
	len = append(line, len, digit);
	len = append(line, len, " is in no list (docs/sandbox.md); ");
	len = append(line, len, consequence);
	line[len++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written; /* there is nobody else to tell */
}

/* A call was trapped: the kernel did nothing, and what it would have answered is ours to say. */
static void handle_trapped(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *context = opaque;
	greg_t *answer = &context->uc_mcontext.gregs[REG_RAX];
	int saved = errno, call = info->si_syscall;

	if (info->si_code == BY_FILTER && call > SANDBOX_NEWEST_CALL) {
		*answer = -ENOSYS;
	} else if (info->si_code == BY_FILTER && sandbox.goes_on) {
		*answer = -EPERM;
		if (call >= 0 && call < MAX_CALL &&
				!__atomic_exchange_n(&sandbox.told[call], 1, __ATOMIC_RELAXED)) {
			tell(call, "it fails");
		}
	} else {
		if (info->si_code == BY_FILTER) {
			tell(call, "the program ends");
		}
		/* Whoever handled it before restores the terminal. It comes when this returns. */
		(void)sigaction(number, &sandbox.before, NULL);
		(void)raise(number);
	}
	errno = saved;
}

/* What libraries open at their first use, and could not later on a vCPU's thread. */
static void warm_up(void)
{
	tzset();
	(void)g_strerror(EACCES); /* the character set's tables */
}

static void catch_trapped(void)
{
	struct sigaction action = {.sa_sigaction = handle_trapped, .sa_flags = SA_SIGINFO};
	sigset_t set;

	sigemptyset(&action.sa_mask);
	(void)sigaction(SIGSYS, &action, &sandbox.before);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool sandbox_init(struct sandbox_config *config, bool machine, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (config->on && !filter_possible(&why)) {
		if (config->required) {
			g_propagate_prefixed_error(error, g_steal_pointer(&why), "sandbox: ");
			return false;
		}
		log_warn("%s: the program runs without a sandbox", why->message);
		config->on = false;
	}
	sandbox.config = *config;
	if (!config->on) {
		return true;
	}
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0,
			0); /* without it the filter is refused: told then */
	/* Not for a sanitizer, which looks for leaks by a process that looks into this one. */
	if (machine && !filter_with_sanitizer()) {
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* it cannot fail */
	}
	return true;
}

static bool enter_process(enum sandbox_part part, GError **error)
{
	struct sock_fprog program = {.len = 0};

	sandbox.goes_on = part == SANDBOX_PICTURE || part == SANDBOX_WINDOW;
	warm_up();
	catch_trapped();
	bool ok = filter_compile(part, sandbox.config.allowed, &program, error) &&
		  (part != SANDBOX_MACHINE ||
				  filter_compile(SANDBOX_VCPU, 0, &sandbox.vcpu, error)) &&
		  filter_install(&program, true, error);
	g_free(program.filter);
	return ok;
}

bool sandbox_enter(enum sandbox_part part, GError **error)
{
	if (!sandbox.config.on) {
		return true;
	}
	if (part == SANDBOX_VCPU) {
		return sandbox.vcpu.len == 0 || filter_install(&sandbox.vcpu, false, error);
	}
	return enter_process(part, error);
}
