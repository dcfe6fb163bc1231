/* SPDX-License-Identifier: MIT */
/*
 * Loaded before all libraries of a program under ThreadSanitizer, which does not see through glib's locks:
 * tells it when one is taken and given up, and what goes through a GAsyncQueue.
 */
#include <dlfcn.h>
#include <glib.h>

/* Part of every program that ThreadSanitizer is in; absent from others, such as a shell. */
void __tsan_mutex_pre_lock(void *address, unsigned flags) __attribute__((weak));
void __tsan_mutex_post_lock(void *address, unsigned flags, int recursion) __attribute__((weak));
int __tsan_mutex_pre_unlock(void *address, unsigned flags) __attribute__((weak));
void __tsan_mutex_post_unlock(void *address, unsigned flags) __attribute__((weak));
void __tsan_acquire(void *address) __attribute__((weak));
void __tsan_release(void *address) __attribute__((weak));

#define FLAG_TRY 0x10u
#define FLAG_TRY_FAILED 0x20u

#define REAL(function) \
	static __typeof__(&(function)) real; \
	if (!__atomic_load_n(&real, __ATOMIC_RELAXED)) { \
		__atomic_store_n(&real, (__typeof__(real))dlsym(RTLD_NEXT, #function), \
				__ATOMIC_RELAXED); \
	}

static void before_lock(void *lock, unsigned flags)
{
	if (__tsan_mutex_pre_lock) {
		__tsan_mutex_pre_lock(lock, flags);
	}
}

static void after_lock(void *lock, unsigned flags)
{
	if (__tsan_mutex_post_lock) {
		__tsan_mutex_post_lock(lock, flags, 1);
	}
}

static void before_unlock(void *lock)
{
	if (__tsan_mutex_pre_unlock) {
		__tsan_mutex_pre_unlock(lock, 0);
	}
}

static void after_unlock(void *lock)
{
	if (__tsan_mutex_post_unlock) {
		__tsan_mutex_post_unlock(lock, 0);
	}
}

void g_mutex_lock(GMutex *mutex)
{
	REAL(g_mutex_lock)
	before_lock(mutex, 0);
	real(mutex);
	after_lock(mutex, 0);
}

gboolean g_mutex_trylock(GMutex *mutex)
{
	REAL(g_mutex_trylock)
	before_lock(mutex, FLAG_TRY);
	gboolean taken = real(mutex);
	after_lock(mutex, taken ? FLAG_TRY : FLAG_TRY | FLAG_TRY_FAILED);
	return taken;
}

void g_mutex_unlock(GMutex *mutex)
{
	REAL(g_mutex_unlock)
	before_unlock(mutex);
	real(mutex);
	after_unlock(mutex);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
	REAL(g_cond_wait)
	before_unlock(mutex);
	after_unlock(mutex);
	real(cond, mutex);
	before_lock(mutex, 0);
	after_lock(mutex, 0);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
	REAL(g_cond_wait_until)
	before_unlock(mutex);
	after_unlock(mutex);
	gboolean signalled = real(cond, mutex, end_time);
	before_lock(mutex, 0);
	after_lock(mutex, 0);
	return signalled;
}

void g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
	REAL(g_async_queue_push)
	if (__tsan_release) {
		__tsan_release(queue);
	}
	real(queue, data);
}

static gpointer popped(GAsyncQueue *queue, gpointer data)
{
	if (__tsan_acquire) {
		__tsan_acquire(queue);
	}
	return data;
}

gpointer g_async_queue_pop(GAsyncQueue *queue)
{
	REAL(g_async_queue_pop)
	return popped(queue, real(queue));
}

gpointer g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout)
{
	REAL(g_async_queue_timeout_pop)
	return popped(queue, real(queue, timeout));
}

/* What belongs to sources goes from who attaches them to the loop that ends, here all of it at once. */
static char sources;

guint g_source_attach(GSource *source, GMainContext *context)
{
	REAL(g_source_attach)
	if (__tsan_release) {
		__tsan_release(&sources);
	}
	return real(source, context);
}

void g_main_loop_quit(GMainLoop *loop)
{
	REAL(g_main_loop_quit)
	if (__tsan_acquire) {
		__tsan_acquire(&sources);
	}
	real(loop);
}
