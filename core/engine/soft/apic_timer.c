/* SPDX-License-Identifier: MIT */
/* The local APIC's timer: one-shot, periodic, TSC deadline. SDM vol. 3, 11.5.4. */
#include "core/engine/soft/apic_internal.h"
#include "core/engine/soft/cpu.h"

#define NS_PER_SEC 1000000000u

/* A guest's shortest period: less would keep the timer thread busy with one machine. */
#define SHORTEST_PERIOD_NS 50000

static uint64_t ticks_to_ns(const struct apic *apic, uint64_t ticks)
{
	uint64_t hz = apic->cpu->tsc_hz;
	unsigned __int128 ns = ((unsigned __int128)ticks * NS_PER_SEC + hz - 1) / hz;

	return ns > INT64_MAX / 2 ? INT64_MAX / 2 : (uint64_t)ns;
}

static uint64_t ns_to_ticks(const struct apic *apic, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * apic->cpu->tsc_hz / NS_PER_SEC);
}

static unsigned divider(const struct apic *apic)
{
	unsigned code = (apic->timer_divide & 3) | (apic->timer_divide & 8) >> 1;

	return code == 7 ? 1 : 2u << code;
}

static uint32_t mode(const struct apic *apic)
{
	return __atomic_load_n(&apic->lvt[APIC_LVT_TIMER], __ATOMIC_RELAXED) & APIC_TIMER_MODE;
}

/* What a periodic timer starts anew with. */
static uint64_t reload_ticks_locked(const struct apic *apic)
{
	return (uint64_t)apic->timer_initial * divider(apic);
}

static void arm_deadline_locked(struct apic *apic)
{
	uint64_t now = cpu_tsc(apic->cpu);
	uint64_t left = apic->run.deadline > now ? apic->run.deadline - now : 0;

	timer_arm(&apic->timer, clock_now(apic->cpu->clock) + (int64_t)ticks_to_ns(apic, left));
}

/* The next period of a periodic timer, from where the last one ended; periods missed are lost. */
static void restart_locked(struct apic *apic)
{
	int64_t last = (int64_t)ticks_to_ns(apic, apic->run.count);
	int64_t now = clock_now(apic->cpu->clock);

	apic->run.count = reload_ticks_locked(apic);
	int64_t period = MAX((int64_t)ticks_to_ns(apic, apic->run.count), SHORTEST_PERIOD_NS);
	/* One that was lengthened ended later than its count says: reckoned by that it would always be due. */
	apic->run.start = last < SHORTEST_PERIOD_NS ? now
						    : MAX(apic->run.start + last, now - period);
	timer_arm(&apic->timer, MAX(apic->run.start + period, now + 1));
}

/* Says whether the timer interrupt is due, and sets up the next one of a periodic timer. */
static bool expire_locked(struct apic *apic)
{
	if (mode(apic) == APIC_TIMER_TSC_DEADLINE) {
		if (apic->run.deadline == 0) {
			return false;
		}
		if (cpu_tsc(apic->cpu) < apic->run.deadline) {
			arm_deadline_locked(
					/* the two clocks do not run at quite the same speed */
					apic);
			return false;
		}
		apic->run.deadline = 0;
		return true;
	}
	if (apic->run.count == 0) {
		return false;
	}
	if (mode(apic) == APIC_TIMER_PERIODIC) {
		restart_locked(apic);
	} else {
		apic->run.count = 0;
	}
	return true;
}

static void timer_expired(struct timer *timer)
{
	struct apic *apic = container_of(timer, struct apic, timer);

	g_mutex_lock(&apic->run.lock);
	bool due = expire_locked(apic);
	g_mutex_unlock(&apic->run.lock);
	if (due) {
		apic_fire_lvt(apic, APIC_LVT_TIMER);
	}
}

void apic_timer_init(struct apic *apic)
{
	g_mutex_init(&apic->run.lock);
	timer_init(&apic->timer, apic->cpu->clock, timer_expired);
}

static void stop_locked(struct apic *apic)
{
	apic->run.count = 0;
	apic->run.deadline = 0;
	timer_cancel(&apic->timer);
}

void apic_timer_stop(struct apic *apic)
{
	g_mutex_lock(&apic->run.lock);
	stop_locked(apic);
	g_mutex_unlock(&apic->run.lock);
}

static void start_locked(struct apic *apic)
{
	apic->run.start = clock_now(apic->cpu->clock);
	timer_arm(&apic->timer, apic->run.start + (int64_t)ticks_to_ns(apic, apic->run.count));
}

void apic_timer_start(struct apic *apic, uint32_t initial)
{
	if (mode(apic) == APIC_TIMER_TSC_DEADLINE) {
		return;
	}
	g_mutex_lock(&apic->run.lock);
	apic->timer_initial = initial;
	apic->run.count = reload_ticks_locked(apic);
	if (initial == 0) {
		timer_cancel(&apic->timer);
	} else {
		start_locked(apic);
	}
	g_mutex_unlock(&apic->run.lock);
}

static uint64_t elapsed_ticks_locked(const struct apic *apic)
{
	int64_t elapsed = clock_now(apic->cpu->clock) - apic->run.start;

	return ns_to_ticks(apic, (uint64_t)MAX(elapsed, 0));
}

void apic_timer_set_divide(struct apic *apic, uint32_t value)
{
	uint32_t current = apic_timer_current(apic);

	g_mutex_lock(&apic->run.lock);
	apic->timer_divide = value;
	if (apic->run.count > 0) {
		apic->run.count = (uint64_t)MAX(current, 1) * divider(apic);
		start_locked(apic);
	}
	g_mutex_unlock(&apic->run.lock);
}

/* A one-shot count that has run down, though its timer has not been seen to yet, is over. */
static bool end_one_shot_locked(struct apic *apic)
{
	if (apic->run.count == 0 || elapsed_ticks_locked(apic) < apic->run.count) {
		return false;
	}
	apic->run.count = 0;
	timer_cancel(&apic->timer);
	return true;
}

/* The two counting modes share their count; TSC deadline mode has nothing to do with it. */
void apic_timer_mode_changed(struct apic *apic, uint32_t old, uint32_t new)
{
	bool due = false;

	g_mutex_lock(&apic->run.lock);
	if ((old & APIC_TIMER_MODE) == APIC_TIMER_TSC_DEADLINE ||
			(new &APIC_TIMER_MODE) == APIC_TIMER_TSC_DEADLINE) {
		apic->timer_initial = 0;
		stop_locked(apic);
	} else if ((old & APIC_TIMER_MODE) == APIC_TIMER_ONE_SHOT) {
		due = end_one_shot_locked(apic);
	}
	g_mutex_unlock(&apic->run.lock);
	if (due) {
		apic_fire_lvt(apic, APIC_LVT_TIMER);
	}
}

uint32_t apic_timer_current(struct apic *apic)
{
	uint32_t current = 0;

	g_mutex_lock(&apic->run.lock);
	if (apic->run.count > 0) {
		uint64_t elapsed = elapsed_ticks_locked(apic);
		uint64_t left = apic->run.count > elapsed ? apic->run.count - elapsed : 0;
		uint64_t reload = reload_ticks_locked(apic);
		if (left == 0 && mode(apic) == APIC_TIMER_PERIODIC && reload > 0) {
			left = reload - (elapsed - apic->run.count) % reload;
		}
		current = (uint32_t)(left / divider(apic));
	}
	g_mutex_unlock(&apic->run.lock);
	return current;
}

uint64_t apic_timer_get_deadline(struct apic *apic)
{
	g_mutex_lock(&apic->run.lock);
	uint64_t deadline = mode(apic) == APIC_TIMER_TSC_DEADLINE ? apic->run.deadline : 0;
	g_mutex_unlock(&apic->run.lock);
	return deadline;
}

void apic_timer_set_deadline(struct apic *apic, uint64_t deadline)
{
	if (mode(apic) != APIC_TIMER_TSC_DEADLINE) {
		return;
	}
	g_mutex_lock(&apic->run.lock);
	apic->run.deadline = deadline;
	bool due = deadline != 0 && cpu_tsc(apic->cpu) >= deadline;
	if (due) {
		apic->run.deadline = 0;
	}
	if (apic->run.deadline != 0) {
		arm_deadline_locked(apic);
	} else {
		timer_cancel(&apic->timer);
	}
	g_mutex_unlock(&apic->run.lock);
	if (due) {
		apic_fire_lvt(apic, APIC_LVT_TIMER);
	}
}

void apic_tsc_changed(struct apic *apic)
{
	g_mutex_lock(&apic->run.lock);
	if (apic->run.deadline != 0) {
		arm_deadline_locked(apic);
	}
	g_mutex_unlock(&apic->run.lock);
}
