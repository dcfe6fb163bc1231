/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/interrupt.h"

#include "core/base/log.h"
#include "core/engine/soft/apic.h"
#include "core/engine/soft/debug.h"
#include "core/engine/soft/event.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/trace.h"

#include <inttypes.h>

/*
 * How exceptions combine when the second arises while the first is delivered (SDM vol. 3, tables
 * 6-4 and 6-5).
 */
enum fault_class {
	CLASS_BENIGN,
	CLASS_CONTRIBUTORY,
	CLASS_PAGE_FAULT,
	CLASS_DOUBLE_FAULT,
};

static enum fault_class class_of(uint8_t vector)
{
	switch (vector) {
	case X86_VECTOR_DE:
	case X86_VECTOR_TS:
	case X86_VECTOR_NP:
	case X86_VECTOR_SS:
	case X86_VECTOR_GP:
		return CLASS_CONTRIBUTORY;
	case X86_VECTOR_PF:
		return CLASS_PAGE_FAULT;
	case X86_VECTOR_DF:
		return CLASS_DOUBLE_FAULT;
	default:
		return CLASS_BENIGN;
	}
}

static void shut_down(struct cpu *cpu)
{
	guest_error("cpu %u: triple fault at 0x%" PRIx64 ":0x%" PRIx64
		    ", vector %u, cr2 0x%" PRIx64,
			cpu->index, (uint64_t)cpu->seg[X86_CS].selector, cpu->rip,
			cpu->fault.vector, cpu->cr2);
	cpu->delivery.active = false;
	cpu->activity = CPU_SHUTDOWN;
}

/* Delivers the event; the processor continues at cpu->rip. */
static void deliver(struct cpu *cpu, const struct event *event)
{
	cpu->delivery.active = true;
	cpu->delivery.vector = event->vector;
	cpu->delivery.kind = (uint8_t)event->kind;
	if (log_wants(LOG_ITEM_INT)) {
		trace_event(cpu, event);
	}
	event_enter(cpu, event);
	cpu->delivery.active = false;
	cpu->interrupt_shadow = 0;
}

static bool is_hardware_exception(uint8_t kind)
{
	return kind == INTERRUPT_FAULT || kind == INTERRUPT_TRAP;
}

/*
 * Turns the fault in flight into a double fault if it belongs to an earlier one. False: shut down.
 */
static bool combine(struct cpu *cpu)
{
	enum fault_class first, second;

	if (!cpu->delivery.active || !is_hardware_exception(cpu->delivery.kind)) {
		return true;
	}
	first = class_of(cpu->delivery.vector);
	second = class_of(cpu->fault.vector);
	if (first == CLASS_DOUBLE_FAULT) {
		return second == CLASS_BENIGN;
	}
	if ((first == CLASS_CONTRIBUTORY && second == CLASS_CONTRIBUTORY) ||
			(first == CLASS_PAGE_FAULT && second != CLASS_BENIGN)) {
		cpu->fault.vector = X86_VECTOR_DF;
		cpu->fault.has_error = true;
		cpu->fault.error = 0;
	}
	return true;
}

void interrupt_deliver_fault(struct cpu *cpu)
{
	if (!combine(cpu)) {
		shut_down(cpu);
		return;
	}
	struct event event = {
			.vector = cpu->fault.vector,
			.kind = INTERRUPT_FAULT,
			.has_error = cpu->fault.has_error,
			.error = cpu->fault.error,
			.return_rip = cpu->rip,
	};
	cpu->debug_pending = 0;
	stats_count(&cpu->stats,
			event.vector == X86_VECTOR_PF ? STAT_PAGE_FAULTS : STAT_EXCEPTIONS);
	deliver(cpu, &event);
	cpu->rip = cpu->next_rip;
}

void interrupt_software(struct cpu *cpu, uint8_t vector, enum interrupt_kind kind)
{
	struct event event = {
			.vector = vector,
			.kind = kind == INTERRUPT_INT ? INTERRUPT_SOFTWARE : kind,
			.redirectable = kind == INTERRUPT_INT,
			.return_rip = cpu->next_rip,
	};

	bool stepping = cpu->rflags & X86_FLAG_TF;

	if (kind == INTERRUPT_ICEBP && (cpu->debug_pending & ~DEBUG_NO_STEP)) {
		/* What MOV SS held back is reported together with it. */
		cpu->dr[6] = (cpu->dr[6] & ~DEBUG_DR6_HITS) | cpu->debug_pending;
		cpu->debug_pending = 0;
	}
	deliver(cpu, &event);
	if (stepping) {
		cpu->debug_pending |= DEBUG_NO_STEP;
	}
}

static void deliver_between(struct cpu *cpu, uint8_t vector, enum interrupt_kind kind)
{
	struct event event = {
			.vector = vector,
			.kind = kind,
			.return_rip = cpu->rip,
	};

	cpu->activity = CPU_ACTIVE;
	deliver(cpu, &event);
	cpu->rip = cpu->next_rip;
}

static void deliver_debug_trap(struct cpu *cpu)
{
	cpu->dr[6] = (cpu->dr[6] & ~DEBUG_DR6_HITS) | cpu->debug_pending;
	cpu->dr[7] &= ~(uint64_t)DEBUG_DR7_GD;
	cpu->debug_pending = 0;
	deliver_between(cpu, X86_VECTOR_DB, INTERRUPT_TRAP);
}

static void forget_request(struct cpu *cpu, uint32_t requests)
{
	__atomic_fetch_and(&cpu->request, ~requests, __ATOMIC_SEQ_CST);
}

/* True if an NMI was delivered. */
static bool poll_nmi(struct cpu *cpu, uint32_t request)
{
	if (request & CPU_REQUEST_NMI) {
		forget_request(cpu, CPU_REQUEST_NMI);
		uint32_t arrived = __atomic_exchange_n(&cpu->nmi_queued, 0, __ATOMIC_SEQ_CST);
		uint32_t pending = MIN(
				cpu->nmi_pending + MIN(arrived, 2), cpu->nmi_blocked ? 1 : 2);
		cpu->nmi_pending = (uint8_t)pending;
	}
	if (cpu->nmi_pending == 0 || cpu->nmi_blocked) {
		return false;
	}
	cpu->nmi_pending--;
	cpu->nmi_blocked = true;
	stats_count(&cpu->stats, STAT_NMIS);
	deliver_between(cpu, X86_VECTOR_NMI, INTERRUPT_NMI);
	return true;
}

static void poll_interrupt(struct cpu *cpu)
{
	/* The request goes first: what arrives from now on sets it again. */
	forget_request(cpu, CPU_REQUEST_INTERRUPT);
	cpu->interrupt_held = !(cpu->rflags & X86_FLAG_IF);
	if (cpu->interrupt_held || !cpu->apic || !apic_has_interrupt(cpu->apic)) {
		return;
	}
	pv_account(cpu);
	int vector = apic_take_interrupt(cpu->apic);
	if (vector >= 0) {
		stats_count(&cpu->stats, STAT_INTERRUPTS);
		deliver_between(cpu, (uint8_t)vector, INTERRUPT_EXTERNAL);
	}
}

/* The requests that the engine, outside the run loop, has to see to. */
static bool must_leave(struct cpu *cpu, uint32_t request)
{
	if (request & CPU_REQUEST_SIPI && cpu->activity != CPU_WAIT_FOR_SIPI) {
		forget_request(cpu, CPU_REQUEST_SIPI);
		request &= ~(uint32_t)CPU_REQUEST_SIPI;
	}
	return (request & (CPU_REQUEST_EXIT | CPU_REQUEST_RESET | CPU_REQUEST_INIT |
					  CPU_REQUEST_SIPI)) ||
	       cpu->debugger_stop || cpu->activity == CPU_WAIT_FOR_SIPI ||
	       cpu->activity == CPU_SHUTDOWN;
}

enum interrupt_result interrupt_poll(struct cpu *cpu)
{
	uint32_t request = __atomic_load_n(&cpu->request, __ATOMIC_ACQUIRE);

	if (request & CPU_REQUEST_TLB_FLUSH) {
		forget_request(cpu, CPU_REQUEST_TLB_FLUSH);
		mmu_flush_all(cpu);
	}
	if (request & CPU_REQUEST_PV) {
		forget_request(cpu, CPU_REQUEST_PV);
		pv_attend(cpu);
	}
	if (must_leave(cpu, request)) {
		return INTERRUPT_STOP;
	}
	if (cpu->interrupt_shadow && cpu->activity == CPU_ACTIVE) {
		return INTERRUPT_RUN;
	}
	cpu->interrupt_shadow = 0;
	if (cpu->debug_pending & ~DEBUG_NO_STEP) {
		deliver_debug_trap(cpu);
	}
	if (!poll_nmi(cpu, request) && (request & CPU_REQUEST_INTERRUPT)) {
		poll_interrupt(cpu);
	}
	return cpu->activity == CPU_ACTIVE ? INTERRUPT_RUN : INTERRUPT_STOP;
}

void interrupt_before_instruction(struct cpu *cpu)
{
	uint64_t linear = cpu->seg_base[X86_CS] + cpu->rip;
	uint32_t hits;

	if (cpu->rflags & X86_FLAG_RF) {
		return;
	}
	if (cpu->mode != INSN_MODE_64) {
		linear = (uint32_t)linear;
	}
	hits = debug_instruction_match(cpu, linear);
	if (hits) {
		cpu->dr[6] = (cpu->dr[6] & ~DEBUG_DR6_HITS) | hits;
		cpu->dr[7] &= ~(uint64_t)DEBUG_DR7_GD;
		cpu_raise(cpu, X86_VECTOR_DB);
	}
}

void interrupt_after_instruction(struct cpu *cpu, uint64_t flags_before, uint8_t shadow_before)
{
	bool stack_shadow = cpu->interrupt_shadow == INTERRUPT_SHADOW_STACK && !shadow_before;
	bool step = (flags_before & X86_FLAG_TF) && !(cpu->debug_pending & DEBUG_NO_STEP);

	if (shadow_before) {
		cpu->interrupt_shadow = 0;
	}
	if (flags_before & X86_FLAG_RF) {
		cpu->rflags &= ~(uint64_t)X86_FLAG_RF;
	}
	if (cpu->debugger_step) {
		cpu->debugger_stop = true;
		interrupt_recheck(cpu);
	}
	cpu->debug_pending &= ~(uint32_t)DEBUG_NO_STEP;
	if (stack_shadow) {
		return; /* held back together with interrupts, and the single step is lost */
	}
	if (step) {
		cpu->debug_pending |= DEBUG_DR6_BS;
	}
	if (cpu->debug_pending) {
		deliver_debug_trap(cpu);
	}
}
