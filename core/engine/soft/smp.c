/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/smp.h"

#include "core/engine/engine.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/mxcsr.h"

/* PAUSEs of a vCPU before another thread has a turn. */
#define PAUSES 16

/* Looks at another vCPU before its host thread may be what one waits for. */
#define SPINS 1000

struct smp {
	/* Held by the vCPU that purges or excludes; only those outside wait for it. */
	GMutex lock;
	unsigned count; /* atomic: vCPUs only come */
	struct cpu *cpus[ENGINE_MAX_VCPUS];
};

struct smp *smp_create(void)
{
	struct smp *smp = g_new0(struct smp, 1);

	g_mutex_init(&smp->lock);
	return smp;
}

void smp_destroy(struct smp *smp)
{
	if (smp) {
		g_mutex_clear(&smp->lock);
		g_free(smp);
	}
}

void smp_add(struct smp *smp, struct cpu *cpu)
{
	g_mutex_lock(&smp->lock);
	assert(smp->count < ENGINE_MAX_VCPUS);
	smp->cpus[smp->count] = cpu;
	__atomic_store_n(&smp->count, smp->count + 1, __ATOMIC_RELEASE);
	g_mutex_unlock(&smp->lock);
	cpu->smp = smp;
}

static unsigned count_cpus(const struct smp *smp)
{
	return smp ? __atomic_load_n(&smp->count, __ATOMIC_ACQUIRE) : 0;
}

static uint32_t requested(struct cpu *cpu)
{
	return __atomic_load_n(&cpu->request, __ATOMIC_SEQ_CST);
}

static bool is_inside(struct cpu *cpu)
{
	return __atomic_load_n(&cpu->inside, __ATOMIC_SEQ_CST);
}

static void taken_up(struct cpu *cpu, uint32_t requests)
{
	__atomic_fetch_and(&cpu->request, ~requests, __ATOMIC_SEQ_CST);
}

/* Without waking it: one that halts will look. */
static void ask(struct cpu *cpu, uint32_t requests)
{
	__atomic_fetch_or(&cpu->request, requests, __ATOMIC_SEQ_CST);
}

static void pause_thread(unsigned spins)
{
	if (spins < SPINS) {
		__builtin_ia32_pause();
	} else {
		g_thread_yield();
	}
}

static void wait_until_taken_up(struct cpu *cpu, uint32_t requests)
{
	for (unsigned spins = 0; is_inside(cpu) && (requested(cpu) & requests); spins++) {
		pause_thread(spins);
	}
}

static void wait_until_outside(struct cpu *cpu)
{
	for (unsigned spins = 0; is_inside(cpu); spins++) {
		pause_thread(spins);
	}
}

void smp_leave(struct cpu *cpu)
{
	mxcsr_take_out(cpu);
	__atomic_store_n(&cpu->inside, 0, __ATOMIC_RELEASE);
}

/* Takes up what must be before the vCPU touches memory. */
static __attribute__((noinline, cold)) void enter_slow(struct cpu *cpu)
{
	uint32_t request;

	while ((request = requested(cpu)) & (CPU_REQUEST_PURGE | CPU_REQUEST_PAUSE)) {
		if (request & CPU_REQUEST_PURGE) {
			mmu_drop_writes(cpu);
			taken_up(cpu, CPU_REQUEST_PURGE);
		} else {
			smp_leave(cpu);
			g_mutex_lock(&cpu->smp->lock);
			g_mutex_unlock(&cpu->smp->lock);
			__atomic_store_n(&cpu->inside, 1, __ATOMIC_SEQ_CST);
		}
	}
}

void smp_enter(struct cpu *cpu)
{
	__atomic_store_n(&cpu->inside, 1, __ATOMIC_SEQ_CST);
	if (unlikely(requested(cpu) & (CPU_REQUEST_PURGE | CPU_REQUEST_PAUSE))) {
		enter_slow(cpu);
	}
}

void smp_request(struct smp *smp, const struct cpu *except, uint32_t requests)
{
	for (unsigned i = 0; i < count_cpus(smp); i++) {
		if (smp->cpus[i] != except) {
			ask(smp->cpus[i], requests);
		}
	}
}

void smp_settle(struct smp *smp, uint32_t requests)
{
	smp_request(smp, NULL, requests);
	for (unsigned i = 0; i < count_cpus(smp); i++) {
		wait_until_taken_up(smp->cpus[i], requests);
	}
}

/* The calling vCPU is outside, and purges alone. */
static void purge_others(struct cpu *cpu, uint16_t writers)
{
	struct smp *smp = cpu->smp;

	for (unsigned i = 0; i < smp->count; i++) {
		struct cpu *other = smp->cpus[i];
		if (other != cpu && (writers & smp_writer_bit(other))) {
			ask(other, CPU_REQUEST_PURGE);
		}
	}
	for (unsigned i = 0; i < smp->count; i++) {
		if (smp->cpus[i] != cpu) {
			wait_until_taken_up(smp->cpus[i], CPU_REQUEST_PURGE);
		}
	}
}

void smp_purge_writers(struct cpu *cpu, uint16_t *writers)
{
	uint16_t seen = smp_writer_bit(cpu);

	if (count_cpus(cpu->smp) > 1) {
		smp_leave(cpu);
		g_mutex_lock(&cpu->smp->lock);
		seen = __atomic_load_n(writers, __ATOMIC_SEQ_CST);
		purge_others(cpu, seen);
		__atomic_fetch_and(writers, (uint16_t)~seen, __ATOMIC_SEQ_CST);
		g_mutex_unlock(&cpu->smp->lock);
		smp_enter(cpu);
	}
	mmu_drop_writes(cpu);
	__atomic_fetch_and(writers, (uint16_t)~seen, __ATOMIC_SEQ_CST);
}

void smp_exclude(struct cpu *cpu)
{
	struct smp *smp = cpu->smp;

	if (count_cpus(smp) < 2 || cpu->exclusive) {
		return;
	}
	smp_leave(cpu);
	g_mutex_lock(&smp->lock);
	smp_request(smp, cpu, CPU_REQUEST_PAUSE);
	for (unsigned i = 0; i < smp->count; i++) {
		if (smp->cpus[i] != cpu) {
			wait_until_outside(smp->cpus[i]);
		}
	}
	cpu->exclusive = true;
	ask(cpu, CPU_REQUEST_READMIT);
	smp_enter(cpu);
}

void smp_pause(struct cpu *cpu)
{
	if (count_cpus(cpu->smp) < 2 || ++cpu->pauses % PAUSES != 0) {
		__builtin_ia32_pause();
		return;
	}
	smp_leave(cpu);
	g_thread_yield();
	smp_enter(cpu);
}

static void readmit(struct cpu *cpu)
{
	struct smp *smp = cpu->smp;

	for (unsigned i = 0; i < smp->count; i++) {
		taken_up(smp->cpus[i], CPU_REQUEST_PAUSE);
	}
	taken_up(cpu, CPU_REQUEST_READMIT);
	cpu->exclusive = false;
	g_mutex_unlock(&smp->lock);
}

void smp_attend(struct cpu *cpu)
{
	if (cpu->exclusive) {
		readmit(cpu);
	}
	if (requested(cpu) & (CPU_REQUEST_PURGE | CPU_REQUEST_PAUSE)) {
		enter_slow(cpu);
	}
}
