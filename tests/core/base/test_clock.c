/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/clock.h"

#include <poll.h>

struct recorder {
	struct timer timer;
	struct recorder *then_arm; /* armed by the callback, 10 ns later */
	unsigned fired;
	unsigned *order;
	unsigned place;
};

static void recorder_expired(struct timer *timer)
{
	struct recorder *r = container_of(timer, struct recorder, timer);

	r->fired++;
	r->place = ++*r->order;
	if (r->then_arm) {
		timer_arm(&r->then_arm->timer, clock_now(timer->clock) + 10);
	}
}

static bool readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	return poll(&pfd, 1, 1000) == 1;
}

static void test_virtual_time_stands_still(void **state)
{
	struct clock *clock = clock_create(CLOCK_KIND_VIRTUAL, NULL);
	(void)state;

	assert_int_equal(clock_now(clock), 0);
	clock_advance(clock, 1000);
	assert_int_equal(clock_now(clock), 1000);
	clock_destroy(clock);
}

static void test_timers_fire_in_order(void **state)
{
	struct clock *clock = clock_create(CLOCK_KIND_VIRTUAL, NULL);
	unsigned order = 0;
	struct recorder late = {.order = &order}, early = {.order = &order},
			chained = {.order = &order};
	(void)state;

	timer_init(&late.timer, clock, recorder_expired);
	timer_init(&early.timer, clock, recorder_expired);
	timer_init(&chained.timer, clock, recorder_expired);
	early.then_arm = &chained;
	timer_arm(&late.timer, 200);
	timer_arm(&early.timer, 100);
	assert_int_equal(clock_next_deadline(clock), 100);

	clock_run_timers(clock);
	assert_int_equal(early.fired + late.fired, 0);

	clock_advance(clock, 250);
	assert_true(readable(clock_fd(clock)));
	clock_run_timers(clock);
	assert_int_equal(early.place, 1);
	assert_int_equal(late.place, 2);
	assert_int_equal(chained.fired, 0); /* due at 260 */
	assert_true(timer_armed(&chained.timer));
	clock_advance(clock, 10);
	clock_run_timers(clock);
	assert_int_equal(chained.fired, 1);
	assert_int_equal(clock_next_deadline(clock), CLOCK_NEVER);
	clock_destroy(clock);
}

/* While it runs, the time comes that it sets itself. */
static void restless_expired(struct timer *timer)
{
	struct recorder *r = container_of(timer, struct recorder, timer);

	if (++r->fired < 100) {
		timer_arm(timer, clock_now(timer->clock) + 10);
		clock_advance(timer->clock, 20);
	}
}

static void test_a_timer_does_not_hold_the_others(void **state)
{
	struct clock *clock = clock_create(CLOCK_KIND_VIRTUAL, NULL);
	struct recorder a = {0};
	(void)state;

	timer_init(&a.timer, clock, restless_expired);
	timer_arm(&a.timer, 10);
	clock_advance(clock, 10);
	clock_run_timers(clock);
	assert_int_equal(a.fired, 1);
	assert_true(readable(clock_fd(clock)));
	clock_run_timers(clock);
	assert_int_equal(a.fired, 2);
	timer_cancel(&a.timer);
	clock_destroy(clock);
}

static void test_cancel_and_move(void **state)
{
	struct clock *clock = clock_create(CLOCK_KIND_VIRTUAL, NULL);
	unsigned order = 0;
	struct recorder a = {.order = &order}, b = {.order = &order};
	(void)state;

	timer_init(&a.timer, clock, recorder_expired);
	timer_init(&b.timer, clock, recorder_expired);
	timer_arm(&a.timer, 10);
	timer_arm(&b.timer, 20);
	timer_cancel(&a.timer);
	timer_cancel(&a.timer); /* harmless twice */
	timer_arm(&b.timer, 500);
	clock_advance(clock, 100);
	clock_run_timers(clock);
	assert_int_equal(order, 0);
	timer_cancel(&b.timer);
	clock_destroy(clock);
}

static void test_host_clock_stops(void **state)
{
	struct clock *clock = clock_create(CLOCK_KIND_HOST, NULL);
	(void)state;

	int64_t first = clock_now(clock);
	clock_stop(clock);
	int64_t frozen = clock_now(clock);
	assert_true(frozen >= first);
	g_usleep(2000);
	assert_int_equal(clock_now(clock), frozen);
	clock_continue(clock);
	assert_true(clock_now(clock) < frozen + 1000000000);
	clock_destroy(clock);
}

static void test_host_timer_wakes_the_fd(void **state)
{
	struct clock *clock = clock_create(CLOCK_KIND_HOST, NULL);
	unsigned order = 0;
	struct recorder a = {.order = &order};
	(void)state;

	timer_init(&a.timer, clock, recorder_expired);
	timer_arm(&a.timer, clock_now(clock) + 1000000);
	assert_true(readable(clock_fd(clock)));
	clock_run_timers(clock);
	assert_int_equal(a.fired, 1);
	clock_destroy(clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_virtual_time_stands_still),
			cmocka_unit_test(test_timers_fire_in_order),
			cmocka_unit_test(test_a_timer_does_not_hold_the_others),
			cmocka_unit_test(test_cancel_and_move),
			cmocka_unit_test(test_host_clock_stops),
			cmocka_unit_test(test_host_timer_wakes_the_fd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
