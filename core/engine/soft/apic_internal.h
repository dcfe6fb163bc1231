/* SPDX-License-Identifier: MIT */
/*
 * What the local APIC's three files share: registers (apic.c), timer (apic_timer.c), messages
 * (apic_bus.c).
 */
#ifndef CORE_ENGINE_SOFT_APIC_INTERNAL_H
#define CORE_ENGINE_SOFT_APIC_INTERNAL_H

#include "core/engine/soft/apic.h"

#define APIC_VERSION 0x14u
#define APIC_MMIO_SIZE 0x400u
#define APIC_NO_VECTOR 256u

/* Register numbers: MMIO offset / 16, or x2APIC MSR - 800H. */
enum apic_register {
	APIC_REG_ID = 0x02,
	APIC_REG_VERSION = 0x03,
	APIC_REG_TPR = 0x08,
	APIC_REG_APR = 0x09,
	APIC_REG_PPR = 0x0a,
	APIC_REG_EOI = 0x0b,
	APIC_REG_LDR = 0x0d,
	APIC_REG_DFR = 0x0e,
	APIC_REG_SPURIOUS = 0x0f,
	APIC_REG_ISR = 0x10,
	APIC_REG_TMR = 0x18,
	APIC_REG_IRR = 0x20,
	APIC_REG_ERROR = 0x28,
	APIC_REG_ICR_LOW = 0x30,
	APIC_REG_ICR_HIGH = 0x31,
	APIC_REG_LVT_FIRST = 0x32,
	APIC_REG_LVT_LAST = 0x37,
	APIC_REG_TIMER_INITIAL = 0x38,
	APIC_REG_TIMER_CURRENT = 0x39,
	APIC_REG_TIMER_DIVIDE = 0x3e,
	APIC_REG_SELF_IPI = 0x3f,
};

/* The local vector table, in register order. */
enum apic_lvt {
	APIC_LVT_TIMER,
	APIC_LVT_THERMAL,
	APIC_LVT_PERFORMANCE,
	APIC_LVT_LINT0,
	APIC_LVT_LINT1,
	APIC_LVT_ERROR,
	APIC_LVT_COUNT,
};

#define APIC_LVT_MASKED (1u << 16)
#define APIC_TIMER_MODE (3u << 17)
#define APIC_TIMER_ONE_SHOT (0u << 17)
#define APIC_TIMER_PERIODIC (1u << 17)
#define APIC_TIMER_TSC_DEADLINE (2u << 17)

#define APIC_SPURIOUS_ENABLED (1u << 8)

#define APIC_ERROR_SENT_VECTOR (1u << 5)
#define APIC_ERROR_RECEIVED_VECTOR (1u << 6)
#define APIC_ERROR_REGISTER (1u << 7)

/* Delivery modes of LVT entries, ICR and messages. */
#define APIC_DELIVERY_MODE(word) (((word) >> 8) & 7)
enum apic_delivery {
	APIC_DELIVERY_FIXED = 0,
	APIC_DELIVERY_LOWEST = 1,
	APIC_DELIVERY_SMI = 2,
	APIC_DELIVERY_NMI = 4,
	APIC_DELIVERY_INIT = 5,
	APIC_DELIVERY_SIPI = 6,
	APIC_DELIVERY_EXTINT = 7,
};

#define APIC_ICR_LOGICAL (1u << 11)
#define APIC_ICR_PENDING (1u << 12)
#define APIC_ICR_ASSERT (1u << 14)
#define APIC_ICR_LEVEL (1u << 15)
#define APIC_ICR_SHORTHAND(icr) (((icr) >> 18) & 3)
enum apic_shorthand {
	APIC_SHORTHAND_NONE,
	APIC_SHORTHAND_SELF,
	APIC_SHORTHAND_ALL,
	APIC_SHORTHAND_OTHERS,
};

struct apic {
	struct cpu *cpu;
	struct apic_bus *bus;

	uint64_t base; /* IA32_APIC_BASE */
	uint32_t id; /* as the register reads: bits 24-31 in xAPIC mode */
	uint32_t logical_id;
	uint32_t format; /* DFR */
	uint32_t spurious;
	uint32_t error, error_pending; /* error_pending: atomic */
	uint64_t icr;
	uint8_t tpr;
	uint8_t sipi_vector; /* atomic */
	uint32_t lvt[APIC_LVT_COUNT]; /* read by other threads */
	uint32_t irr[8], isr[8], tmr[8]; /* irr, tmr: atomic */

	uint32_t timer_initial; /* changed under run.lock */
	uint32_t timer_divide; /* as the register reads; changed under run.lock */
	struct timer timer;
	struct {
		GMutex lock;
		int64_t start; /* clock time of the last reload; guarded by lock */
		uint64_t count; /* ticks from start to the interrupt, 0: stopped; guarded by lock */
		uint64_t deadline; /* IA32_TSC_DEADLINE, 0: none; guarded by lock */
	} run;
};

/* Any thread. */
void apic_accept(struct apic *apic, uint8_t vector, bool level);
void apic_fire_lvt(struct apic *apic, enum apic_lvt which);
bool apic_software_enabled(const struct apic *apic);

/* apic_timer.c, vCPU thread. The timer counts at the TSC's rate divided by the divider. */
void apic_timer_init(struct apic *apic);
void apic_timer_stop(struct apic *apic);
void apic_timer_start(struct apic *apic, uint32_t initial);
void apic_timer_set_divide(struct apic *apic, uint32_t value);
void apic_timer_mode_changed(struct apic *apic, uint32_t old, uint32_t new);
uint32_t apic_timer_current(struct apic *apic);
uint64_t apic_timer_get_deadline(struct apic *apic);
void apic_timer_set_deadline(struct apic *apic, uint64_t deadline);

/* apic_bus.c */
void apic_bus_send_ipi(struct apic_bus *bus, struct apic *from, uint64_t icr);
void apic_bus_eoi(struct apic_bus *bus, uint8_t vector);
bool apic_bus_extint(const struct apic_bus *bus);
int apic_bus_acknowledge(struct apic_bus *bus);

#endif
