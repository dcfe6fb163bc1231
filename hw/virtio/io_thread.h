/* SPDX-License-Identifier: MIT */
/*
 * A thread with a main context of its own, where a device handles kicks and completions: what it
 * waits for delays neither vCPUs nor the main loop.
 */
#ifndef HW_VIRTIO_IO_THREAD_H
#define HW_VIRTIO_IO_THREAD_H

#include "core/base/base.h"

struct io_thread;

/* name is at most 15 bytes. */
struct io_thread *io_thread_create(const char *name, GError **error);

/*
 * Waits until the thread has ended; callbacks that run finish first, no other starts. May be NULL.
 */
void io_thread_destroy(struct io_thread *thread);

/* Attach sources here; any thread. */
GMainContext *io_thread_context(struct io_thread *thread);

#endif
