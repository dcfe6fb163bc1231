/* SPDX-License-Identifier: MIT */
/*
 * Threads as this program makes them: named, and registered as readers of the published tables
 * (RCU).
 */
#ifndef CORE_BASE_THREAD_H
#define CORE_BASE_THREAD_H

#include "core/base/base.h"

#include <pthread.h>

/*
 * Starts a thread that runs fn(opaque). name is at most 15 bytes and shows in top and gdb. All
 * signals are blocked in it, so that they arrive at the main thread. Join it with pthread_join().
 */
bool thread_create(pthread_t *ret_thread, const char *name, void (*fn)(void *opaque), void *opaque,
		GError **error);

/* Registers the calling thread as an RCU reader: for main() and threads that a library started. */
void thread_register(void);
void thread_unregister(void);

#endif
