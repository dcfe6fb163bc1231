/* SPDX-License-Identifier: MIT */
/*
 * What guests that run under KVM know how to use, offered under KVM's signature: the clock, steal
 * time, ends of interrupts without an exit, hypercalls for IPIs and for waking a halted processor,
 * and flushes of a sleeping processor's TLB that wait until it runs again. The layouts are those of
 * Linux's Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst.
 *
 * A vCPU writes its own structures only. Where they lie is the guest's word: each access asks
 * whether there is RAM, and is reported as a write of memory like a device's. On the vCPU's thread,
 * unless a comment says otherwise.
 */
#ifndef CORE_ENGINE_SOFT_PV_H
#define CORE_ENGINE_SOFT_PV_H

#include "core/base/base.h"

struct cpu;

/* A vCPU's share. Zero: nothing is enabled. */
struct pv {
	uint64_t wall_clock, system_time, steal_time, eoi; /* MSRs, as the guest wrote them */
	bool eoi_offered; /* the guest may finish the interrupt in service by clearing its bit */
	bool kicked; /* the next HLT does not halt */
	uint32_t asked; /* enum pv_request; atomic, any thread */
	int64_t run_start,
			used_start; /* when the vCPU last began to run: host time, CPU time; ns */
	uint64_t wanted, used; /* ns that it wanted to run, and that its thread did */
	uint64_t stolen, reported; /* ns of steal time, and how much of it the guest was told */
};

/* Whether the guest is offered any of it, by -cpu; else there are no signature, registers or hypercalls. */
bool pv_offered(const struct cpu *cpu);

/* Power-up and INIT: nothing is enabled, and memory is left alone. While the vCPU stands still. */
void pv_reset(struct cpu *cpu);

bool pv_is_msr(uint32_t msr);

/* Registers that pv_is_msr() knows. False: #GP. */
bool pv_msr_read(const struct cpu *cpu, uint32_t msr, uint64_t *ret_value);
bool pv_msr_write(struct cpu *cpu, uint32_t msr, uint64_t value);

/* VMCALL and VMMCALL: number in RAX, arguments in RBX, RCX, RDX, RSI, answer in RAX. */
void pv_hypercall(struct cpu *cpu);

/* The guest moved its TSC: its clocks are told. */
void pv_tsc_changed(struct cpu *cpu);

/*
 * The vCPU begins to run guest code, and stops to, while it is halted or the machine paused. What lies between two runs is
 * not steal time, and TLB flushes that were asked for meanwhile happen in pv_enter(). pv_resume() is pv_enter() after a
 * pause: the guest's watchdogs are told.
 */
void pv_enter(struct cpu *cpu);
void pv_resume(struct cpu *cpu);
void pv_leave(struct cpu *cpu);

/* An interrupt is about to be delivered: from time to time the guest is told its steal time. */
void pv_account(struct cpu *cpu);

/* Of wanted ns in which the vCPU was to run its thread ran for used. For pv.c and its test. */
void pv_note_run(struct cpu *cpu, uint64_t wanted, uint64_t used);

/* What other vCPUs asked with CPU_REQUEST_PV. */
void pv_attend(struct cpu *cpu);

/* Whether the processor was kicked since it last halted, so that HLT goes on at once. Asks once. */
bool pv_take_kick(struct cpu *cpu);

/*
 * An interrupt that needs no message to the I/O APIC came into service, and no other one waits: the
 * guest may finish it by clearing a bit in memory, if it enabled that.
 */
void pv_eoi_offer(struct cpu *cpu);

/*
 * While eoi_offered: true if the guest finished the interrupt. If it did not, revoke takes the offer
 * back, so that the guest writes to its APIC at the end.
 */
bool pv_eoi_taken(struct cpu *cpu, bool revoke);

#endif
