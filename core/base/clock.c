/* SPDX-License-Identifier: MIT */
#include "core/base/clock.h"

#include "core/base/fd.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC INT64_C(1000000000)

struct clock {
	enum clock_kind kind;
	GMutex lock;
	int64_t offset; /* now = monotonic - offset; guarded by lock */
	int64_t frozen_at; /* the time of a stopped or virtual clock; guarded by lock */
	bool stopped; /* guarded by lock */
	struct timer *armed; /* timer.next, earliest first; guarded by lock */
	int fd;
};

static int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static bool is_frozen_locked(const struct clock *clock)
{
	return clock->kind == CLOCK_KIND_VIRTUAL || clock->stopped;
}

static int64_t now_locked(const struct clock *clock)
{
	return is_frozen_locked(clock) ? clock->frozen_at : monotonic_ns() - clock->offset;
}

/* Makes fd readable at the first deadline: at once if that is past, never if time stands still. */
static void program_fd_locked(struct clock *clock)
{
	struct itimerspec when = {0};

	if (clock->armed) {
		int64_t deadline = clock->armed->deadline;
		int64_t left = deadline - now_locked(clock);
		if (left <= 0) {
			left = 1;
		} else if (is_frozen_locked(clock)) {
			left = 0;
		}
		when.it_value.tv_sec = left / NS_PER_SEC;
		when.it_value.tv_nsec = left % NS_PER_SEC;
	}
	int ret = timerfd_settime(clock->fd, 0, &when, NULL);
	assert(ret == 0);
}

struct clock *clock_create(enum clock_kind kind, GError **error)
{
	auto_fd int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0) {
		set_error_errno(error, "timerfd");
		return NULL;
	}
	struct clock *clock = g_new0(struct clock, 1);
	clock->kind = kind;
	g_mutex_init(&clock->lock);
	clock->offset = monotonic_ns();
	clock->fd = fd_steal(&fd);
	return clock;
}

void clock_destroy(struct clock *clock)
{
	if (!clock) {
		return;
	}
	assert(!clock->armed);
	fd_close(&clock->fd);
	g_mutex_clear(&clock->lock);
	g_free(clock);
}

int64_t clock_now(struct clock *clock)
{
	g_mutex_lock(&clock->lock);
	int64_t now = now_locked(clock);
	g_mutex_unlock(&clock->lock);
	return now;
}

void clock_advance(struct clock *clock, int64_t ns)
{
	assert(clock->kind == CLOCK_KIND_VIRTUAL && ns >= 0);
	g_mutex_lock(&clock->lock);
	clock->frozen_at += ns;
	if (clock->armed && clock->armed->deadline <= clock->frozen_at) {
		program_fd_locked(clock);
	}
	g_mutex_unlock(&clock->lock);
}

void clock_stop(struct clock *clock)
{
	g_mutex_lock(&clock->lock);
	assert(!clock->stopped);
	clock->frozen_at = now_locked(clock);
	clock->stopped = true;
	program_fd_locked(clock);
	g_mutex_unlock(&clock->lock);
}

void clock_continue(struct clock *clock)
{
	g_mutex_lock(&clock->lock);
	assert(clock->stopped);
	clock->offset = monotonic_ns() - clock->frozen_at;
	clock->stopped = false;
	program_fd_locked(clock);
	g_mutex_unlock(&clock->lock);
}

int clock_fd(struct clock *clock)
{
	return clock->fd;
}

void clock_run_timers(struct clock *clock)
{
	uint64_t expirations;
	ssize_t n = read(clock->fd, &expirations, sizeof(expirations));
	(void)n; /* spurious calls are allowed: the list says what is due */

	g_mutex_lock(&clock->lock);
	/* What is armed meanwhile has its turn the next time: others are served between. */
	int64_t now = now_locked(clock);
	while (clock->armed && clock->armed->deadline <= now) {
		struct timer *timer = clock->armed;
		clock->armed = timer->next;
		timer->next = NULL;
		timer->deadline = CLOCK_NEVER;
		g_mutex_unlock(&clock->lock);
		timer->expired(timer);
		g_mutex_lock(&clock->lock);
	}
	program_fd_locked(clock);
	g_mutex_unlock(&clock->lock);
}

int64_t clock_next_deadline(struct clock *clock)
{
	g_mutex_lock(&clock->lock);
	int64_t deadline = clock->armed ? clock->armed->deadline : CLOCK_NEVER;
	g_mutex_unlock(&clock->lock);
	return deadline;
}

void timer_init(struct timer *timer, struct clock *clock, void (*expired)(struct timer *timer))
{
	*timer = (struct timer){.clock = clock, .expired = expired, .deadline = CLOCK_NEVER};
}

static void unlink_locked(struct timer *timer)
{
	struct timer **link = &timer->clock->armed;

	while (*link && *link != timer) {
		link = &(*link)->next;
	}
	if (*link) {
		*link = timer->next;
	}
	timer->next = NULL;
	timer->deadline = CLOCK_NEVER;
}

void timer_arm(struct timer *timer, int64_t deadline)
{
	struct clock *clock = timer->clock;

	g_mutex_lock(&clock->lock);
	struct timer *first = clock->armed;
	unlink_locked(timer);
	timer->deadline = MIN(deadline, CLOCK_NEVER - 1);
	struct timer **link = &clock->armed;
	while (*link && (*link)->deadline <= timer->deadline) {
		link = &(*link)->next;
	}
	timer->next = *link;
	*link = timer;
	if (clock->armed != first || first == timer) {
		program_fd_locked(clock);
	}
	g_mutex_unlock(&clock->lock);
}

void timer_cancel(struct timer *timer)
{
	g_mutex_lock(&timer->clock->lock);
	unlink_locked(timer);
	g_mutex_unlock(&timer->clock->lock);
}

bool timer_armed(struct timer *timer)
{
	g_mutex_lock(&timer->clock->lock);
	bool armed = timer->deadline != CLOCK_NEVER;
	g_mutex_unlock(&timer->clock->lock);
	return armed;
}
