/* SPDX-License-Identifier: MIT */
#include "core/base/stderr_filter.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS 500 /* after which a flood is over, and a line without an end ends */
#define CRASH_WAIT_MS 100

static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

/* The filter of this process: what signal handlers must find can be nowhere else. */
static struct {
	bool runs;
	int original; /* the real standard error */
	int in; /* read end of the pipe; does not block */
	FILE *stream; /* on original: the log's */
	pthread_t thread;
	struct sigaction before[G_N_ELEMENTS(deadly)];

	/* The thread's. */
	struct ratelimit limit;
	char line[STDERR_FILTER_LINE + 1];
	size_t len; /* of line */
	char held[STDERR_FILTER_LINE + 1]; /* the last line that was held back */

	/* Atomic. */
	int busy; /* the thread has something in hand */
	int crashing; /* the thread takes nothing more */
} filter = {.original = -1, .in = -1};

/* Only a sanitizer's run time has it. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

static void finish_line(void)
{
	unsigned suppressed = 0;

	filter.line[filter.len] = '\0';
	if (filter.len > 0 && ratelimit_allows(&filter.limit, STDERR_FILTER_BURST, &suppressed)) {
		log_foreign_line(filter.line, suppressed);
	} else if (filter.len > 0) {
		memcpy(filter.held, filter.line, filter.len + 1);
	}
	filter.len = 0;
}

static void take(const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c == '\n') {
			finish_line();
		} else if (filter.len < STDERR_FILTER_LINE && c != '\r') {
			/* A guest's words are not to steer the terminal. */
			filter.line[filter.len++] = c == '\t'		   ? ' '
						    : c < ' ' || c == 0x7f ? '?'
									   : (char)c;
		}
	}
}

static void show_count(void)
{
	if (filter.limit.suppressed > 0) {
		log_foreign_line(filter.held, filter.limit.suppressed - 1);
		filter.limit.suppressed = 0;
	}
}

/* False at the pipe's end, and when the process is about to die. */
static bool take_some(void)
{
	char buf[4096];
	ssize_t n = -1;

	__atomic_store_n(&filter.busy, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&filter.crashing, __ATOMIC_SEQ_CST)) {
		n = read(filter.in, buf, sizeof(buf));
		if (n > 0) {
			take(buf, (size_t)n);
		}
	} else {
		n = 0;
	}
	__atomic_store_n(&filter.busy, 0, __ATOMIC_SEQ_CST);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void run(void *opaque)
{
	struct pollfd pfd = {.fd = filter.in, .events = POLLIN};

	(void)opaque;
	do {
		bool waiting = filter.len > 0 || filter.limit.suppressed > 0;
		if (poll(&pfd, 1, waiting ? QUIET_MS : -1) == 0) {
			finish_line(); /* some parsers write no line feed at all */
			show_count();
		}
	} while (take_some());
	if (!__atomic_load_n(&filter.crashing, __ATOMIC_SEQ_CST)) {
		finish_line();
		show_count();
	}
}

static void write_out(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(filter.original, bytes, len);
		if (n <= 0) {
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

/* The last words of an assertion or a library. Only what a signal handler may do. */
static void handle_crash(int number)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	char buf[4096];
	ssize_t n;

	__atomic_store_n(&filter.crashing, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < CRASH_WAIT_MS; i++) {
		if (!__atomic_load_n(&filter.busy, __ATOMIC_SEQ_CST)) {
			break;
		}
		(void)nanosleep(&moment, NULL);
	}
	if (filter.limit.suppressed > 0) {
		write_out(filter.held, strnlen(filter.held, STDERR_FILTER_LINE));
		write_out("\n", 1);
	}
	write_out(filter.line, MIN(filter.len, STDERR_FILTER_LINE));
	while ((n = read(filter.in, buf, sizeof(buf))) > 0) {
		write_out(buf, (size_t)n);
	}
	(void)raise(number); /* the action is the default again: it comes when this returns */
}

static void catch_crashes(void)
{
	struct sigaction action = {.sa_handler = handle_crash, .sa_flags = (int)SA_RESETHAND};

	for (unsigned i = 0; i < G_N_ELEMENTS(deadly); i++) {
		(void)sigaction(deadly[i], &action, &filter.before[i]);
	}
}

static void leave_crashes(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(deadly); i++) {
		(void)sigaction(deadly[i], &filter.before[i], NULL);
	}
}

static bool make_pipe(int *ret_out, GError **error)
{
	int ends[2];

	filter.original = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (filter.original < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		set_error_errno(error, "standard error");
		return false;
	}
	filter.in = ends[0];
	*ret_out = ends[1];
	(void)fcntl(filter.in, F_SETFL, O_RDONLY | O_NONBLOCK);
	filter.stream = fdopen(filter.original, "w");
	if (!filter.stream) {
		set_error_errno(error, "standard error");
		return false;
	}
	(void)setvbuf(filter.stream, NULL, _IOLBF, 0);
	return true;
}

static void close_all(void)
{
	if (filter.stream) {
		(void)fclose(filter.stream); /* every line was written at once */
		filter.stream = NULL;
		filter.original = -1;
	}
	fd_close(&filter.original);
	fd_close(&filter.in);
}

bool stderr_filter_start(GError **error)
{
	auto_fd int out = -1;

	assert(!filter.runs);
	if (__sanitizer_print_stack_trace) {
		return true;
	}
	if (!make_pipe(&out, error) || !thread_create(&filter.thread, "stderr", run, NULL, error)) {
		close_all();
		return false;
	}
	(void)fflush(stderr);
	log_set_stream(filter.stream);
	(void)dup2(out, STDERR_FILENO); /* both are open */
	catch_crashes();
	filter.runs = true;
	(void)atexit(stderr_filter_stop); /* a library may end us; more than once does no harm */
	return true;
}

void stderr_filter_stop(void)
{
	if (!filter.runs) {
		return;
	}
	filter.runs = false;
	(void)fflush(stderr);
	(void)dup2(filter.original,
			STDERR_FILENO); /* was the last writer: the thread sees the end */
	pthread_join(filter.thread, NULL);
	leave_crashes();
	log_set_stream(NULL);
	close_all();
}
