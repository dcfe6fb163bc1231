/* SPDX-License-Identifier: MIT */
#include "hw/virtio/io_thread.h"

#include "core/base/thread.h"

struct io_thread {
	GMainContext *context;
	GMainLoop *loop;
	pthread_t thread;
	bool started;
};

static void io_thread_main(void *opaque)
{
	struct io_thread *thread = opaque;

	g_main_context_push_thread_default(thread->context);
	g_main_loop_run(thread->loop);
	g_main_context_pop_thread_default(thread->context);
}

struct io_thread *io_thread_create(const char *name, GError **error)
{
	struct io_thread *thread = g_new0(struct io_thread, 1);

	thread->context = g_main_context_new();
	thread->loop = g_main_loop_new(thread->context, FALSE);
	thread->started = thread_create(&thread->thread, name, io_thread_main, thread, error);
	if (!thread->started) {
		io_thread_destroy(thread);
		return NULL;
	}
	return thread;
}

static gboolean quit(gpointer opaque)
{
	g_main_loop_quit(opaque);
	return G_SOURCE_REMOVE;
}

void io_thread_destroy(struct io_thread *thread)
{
	if (!thread) {
		return;
	}
	if (thread->started) {
		/* From inside the loop: a loop that has not started yet would not notice. */
		GSource *source = g_idle_source_new();
		g_source_set_priority(source, G_PRIORITY_HIGH);
		g_source_set_callback(source, quit, thread->loop, NULL);
		g_source_attach(source, thread->context);
		g_source_unref(source);
		pthread_join(thread->thread, NULL);
	}
	g_main_loop_unref(thread->loop);
	g_main_context_unref(thread->context);
	g_free(thread);
}

GMainContext *io_thread_context(struct io_thread *thread)
{
	return thread->context;
}
