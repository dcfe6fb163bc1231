/* SPDX-License-Identifier: MIT */
/*
 * The vCPUs of a machine as they must agree: about memory that becomes code, and about accesses that all of them must see as
 * one.
 *
 * A vCPU is inside while it may touch guest memory by what its TLB holds, and outside while it waits: halted, standing still,
 * in a device's hands, or for the others. A request (cpu_request()) to one that is inside is taken up after the instruction or
 * block under way; one that is outside takes it up before it is inside again. So whoever changes what holds for vCPUs requests,
 * then waits until each has taken it up or is outside. Who waits is outside, which is why two that wait for each other go on.
 *
 * Nothing that a vCPU waits for outside may depend on a thread that waits in smp_settle() with a lock held that a vCPU takes
 * inside.
 */
#ifndef CORE_ENGINE_SOFT_SMP_H
#define CORE_ENGINE_SOFT_SMP_H

#include "core/engine/soft/cpu.h"

struct smp;

struct smp *smp_create(void);
void smp_destroy(struct smp *smp); /* may be NULL; vCPUs are gone or do not run */

/* Makes the vCPU one of the machine's, outside. Any thread, before one of them runs. */
void smp_add(struct smp *smp, struct cpu *cpu);

/* The calling vCPU is outside from here, inside from here. Not while it keeps a host address of guest memory. */
void smp_leave(struct cpu *cpu);
void smp_enter(struct cpu *cpu);

/* Requests of all vCPUs but one (which may be NULL); those that halt look at it when they wake. Any thread. */
void smp_request(struct smp *smp, const struct cpu *except, uint32_t requests);

/* The same, and waits until each of them has taken it up or is outside. Any thread; a vCPU's own only while it is outside. */
void smp_settle(struct smp *smp, uint32_t requests);

/*
 * Decoded code now comes from a page: returns when no vCPU can write to it but by code_written(). *writers has a bit
 * (smp_writer_bit()) for every vCPU that may have a write entry of the page; those that were made to drop it are taken out. Not
 * while the vCPU has excluded others.
 */
void smp_purge_writers(struct cpu *cpu, uint16_t *writers);

/* In a page's writers; some vCPUs share one if there are many. */
static inline uint16_t smp_writer_bit(const struct cpu *cpu)
{
	return (uint16_t)(1u << (cpu->index % 16));
}

/*
 * Until the vCPU next looks at its requests, it alone is inside: for locked accesses that the host's lock does not cover.
 * smp_exclude() may have to wait; host addresses of guest memory are void after it.
 */
void smp_exclude(struct cpu *cpu);

/* PAUSE: the vCPU waits for another, which may need the host's processor. */
void smp_pause(struct cpu *cpu);

/* Takes up what others ask of the vCPU here, and ends its own smp_exclude(). Between two blocks. */
void smp_attend(struct cpu *cpu);

#endif
