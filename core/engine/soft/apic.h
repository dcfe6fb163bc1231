/* SPDX-License-Identifier: MIT */
/*
 * The local APIC of each vCPU and the bus between them: registers by MMIO (xAPIC) and MSR (x2APIC),
 * timer, inter-processor interrupts. SDM vol. 3, chapter 11 (advanced programmable interrupt
 * controller).
 *
 * Threads: registers belong to the vCPU's thread; whatever others send arrives in atomic request
 * bits (IRR) and cpu_request(). The timer fires on the thread that runs the clock's timers. Left
 * out: CMCI, performance counter and thermal interrupts (their entries can be written and never
 * fire), SMI, extended destinations.
 */
#ifndef CORE_ENGINE_SOFT_APIC_H
#define CORE_ENGINE_SOFT_APIC_H

#include "core/base/clock.h"

struct apic;
struct apic_bus;
struct cpu;

#define APIC_BASE_DEFAULT UINT64_C(0xfee00000)
#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_EXTENDED BIT(10) /* x2APIC mode */
#define APIC_BASE_ENABLED BIT(11)

/* What the board offers the APICs. Embed it in the device that owns the I/O APIC and the 8259. */
struct apic_host {
	/*
	 * Interrupt acknowledge: the vector that the 8259 has for us, or -1 if there is none after
	 * all. vCPU thread. Required.
	 */
	int (*acknowledge)(struct apic_host *host);
	/* A level-triggered vector was finished: for the I/O APICs. vCPU thread. Required. */
	void (*eoi)(struct apic_host *host, uint8_t vector);
};

/* host is borrowed and may be NULL: then there is neither 8259 nor I/O APIC. */
struct apic_bus *apic_bus_create(struct apic_host *host);
void apic_bus_destroy(struct apic_bus *bus); /* after its APICs */

/* Sends a message in MSI format (SDM vol. 3, 11.11): from devices and the I/O APIC. Any thread. */
void apic_bus_deliver(struct apic_bus *bus, uint64_t address, uint32_t data);

/* The level of the 8259's INT output, wired to LINT0 of every APIC. Any thread. */
void apic_bus_set_extint(struct apic_bus *bus, bool level);

/* A pulse on the NMI button, wired to LINT1 of every APIC. Any thread. */
void apic_bus_nmi(struct apic_bus *bus);

/*
 * Adds the vCPU's APIC to the bus, before any vCPU runs, and sets cpu->apic. The timer runs on
 * cpu->clock.
 */
struct apic *apic_create(struct apic_bus *bus, struct cpu *cpu);
void apic_destroy(struct apic *apic);

/*
 * Power-up state, or what INIT leaves (APIC_BASE and the ID stay). vCPU thread, or while it stands
 * still.
 */
void apic_reset(struct apic *apic, bool init);

/* Accesses to the register page, by the vCPU's thread. offset is within the page. */
uint32_t apic_mmio_read(struct apic *apic, uint32_t offset, unsigned size);
void apic_mmio_write(struct apic *apic, uint32_t offset, uint64_t value, unsigned size);

/* x2APIC registers 800H-8FFH, IA32_APIC_BASE and IA32_TSC_DEADLINE. False: #GP. */
bool apic_msr_read(struct apic *apic, uint32_t msr, uint64_t *ret_value);
bool apic_msr_write(struct apic *apic, uint32_t msr, uint64_t value);

uint8_t apic_get_tpr(const struct apic *apic);
void apic_set_tpr(struct apic *apic, uint8_t tpr);

uint32_t apic_id(const struct apic *apic);
bool apic_enabled(const struct apic *apic); /* by IA32_APIC_BASE */

/* The vector of the last SIPI. */
uint8_t apic_sipi_vector(const struct apic *apic);

/*
 * For the vCPU between instructions: whether an interrupt may be delivered now, as far as the APIC
 * is concerned; and taking it (from the 8259 first), -1 if it went away.
 */
bool apic_has_interrupt(struct apic *apic);
int apic_take_interrupt(struct apic *apic);

/* The TSC was moved: a TSC deadline has to be computed anew. */
void apic_tsc_changed(struct apic *apic);

/*
 * For pv.c. The processors on the bus one after the other, NULL after the last: complete before any vCPU runs. Sending
 * what the low half of an ICR says to the APICs whose bits are set, bit 0 of low being the ID first: gives how many it
 * reached. And taking back an offer to end an interrupt without a write to the APIC.
 */
struct cpu *apic_nth_cpu(const struct apic *apic, unsigned n);
unsigned apic_send_ipis(
		struct apic *from, uint32_t first, uint64_t low, uint64_t high, uint64_t icr);
void apic_settle_pv_eoi(struct apic *apic);

#endif
