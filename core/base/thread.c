/* SPDX-License-Identifier: MIT */
#include "core/base/thread.h"

#include <signal.h>
#include <urcu.h>

struct start {
	char name[16];
	void (*fn)(void *opaque);
	void *opaque;
};

static void *thread_start(void *arg)
{
	struct start start = *(struct start *)arg;

	g_free(arg);
	(void)pthread_setname_np(pthread_self(), start.name); /* a missing name is harmless */
	thread_register();
	start.fn(start.opaque);
	thread_unregister();
	return NULL;
}

bool thread_create(pthread_t *ret_thread, const char *name, void (*fn)(void *opaque), void *opaque,
		GError **error)
{
	struct start *start = g_new0(struct start, 1);
	sigset_t all, old;

	g_strlcpy(start->name, name, sizeof(start->name));
	start->fn = fn;
	start->opaque = opaque;

	sigfillset(&all);
	/*
	 * Faults are delivered to the thread that made them; blocking those would kill the process.
	 */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGSYS);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int ret = pthread_create(ret_thread, NULL, thread_start, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret != 0) {
		g_free(start);
		g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(ret),
				"thread '%s': %s", name, g_strerror(ret));
		return false;
	}
	return true;
}

void thread_register(void)
{
	rcu_register_thread();
}

void thread_unregister(void)
{
	rcu_unregister_thread();
}
