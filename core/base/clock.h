/* SPDX-License-Identifier: MIT */
/*
 * Time as the guest's devices see it, in nanoseconds since the machine started. A host clock
 * follows CLOCK_MONOTONIC and can be stopped while the machine is paused; a virtual clock advances
 * only when told (by executed instructions, or by a test), which makes runs repeatable.
 *
 * Timers fire on the thread that calls clock_run_timers(): the machine's main loop, woken by
 * clock_fd(), or a test. A callback may arm or cancel any timer, its own included.
 */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include "core/base/base.h"

struct clock;

enum clock_kind {
	CLOCK_KIND_HOST,
	CLOCK_KIND_VIRTUAL,
};

#define CLOCK_NEVER INT64_MAX

struct clock *clock_create(enum clock_kind kind, GError **error);
void clock_destroy(struct clock *clock); /* no timer may be armed */

/* Nanoseconds since creation, pauses left out. Any thread. */
int64_t clock_now(struct clock *clock);

/* Virtual clocks only: moves time forward by ns. Does not run timers. Any thread. */
void clock_advance(struct clock *clock, int64_t ns);

/* Host clocks only: stops time and lets it go on. Nested calls are a bug. */
void clock_stop(struct clock *clock);
void clock_continue(struct clock *clock);

/* Readable when a timer is due; a virtual clock's becomes readable in clock_advance(). */
int clock_fd(struct clock *clock);

/* Runs every timer that is due, earliest first, and rearms clock_fd(). */
void clock_run_timers(struct clock *clock);

/* The earliest deadline, CLOCK_NEVER if no timer is armed. */
int64_t clock_next_deadline(struct clock *clock);

struct timer {
	struct clock *clock;
	void (*expired)(struct timer *timer);
	int64_t deadline; /* CLOCK_NEVER while not armed; guarded by the clock's lock */
	struct timer *next; /* armed timers by deadline; guarded by the clock's lock */
};

/* expired runs with no lock held. */
void timer_init(struct timer *timer, struct clock *clock, void (*expired)(struct timer *timer));

/* Arms or moves the timer to fire at deadline, in clock_now() units. Any thread. */
void timer_arm(struct timer *timer, int64_t deadline);

/* After this the callback does not start any more; it may still be running on the timer thread. */
void timer_cancel(struct timer *timer);

bool timer_armed(struct timer *timer);

#endif
