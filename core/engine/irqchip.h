/* SPDX-License-Identifier: MIT */
/*
 * Where interrupts go. The board's I/O APIC and 8259 (hw/pc) are ours with every engine; what
 * differs is who owns the local APICs: the software CPU, KVM (split irqchip), Xen. Calls from any
 * thread; they take no device lock.
 */
#ifndef CORE_ENGINE_IRQCHIP_H
#define CORE_ENGINE_IRQCHIP_H

#include "core/base/base.h"

struct irqchip;
struct irq_route;

/* What the local APICs ask of the board. Handed in once, before vCPUs run. Any thread. */
struct irqchip_board {
	/* The 8259 pair acknowledges: returns the vector of its highest request (INTA cycle). */
	uint8_t (*pic_acknowledge)(struct irqchip_board *board);
	/* A local APIC finished vector: level-triggered I/O APIC pins are looked at again. */
	void (*eoi)(struct irqchip_board *board, uint8_t vector);
};

struct irqchip_impl {
	const char *name;
	/*
	 * Sends one message-signalled interrupt: the I/O APIC's and MSI capabilities' way in.
	 * Required.
	 */
	void (*send_msi)(struct irqchip *irqchip, uint64_t address, uint32_t data);
	/* The 8259's INTR line to LINT0 of the boot CPU. Required. */
	void (*set_extint)(struct irqchip *irqchip, bool level);
	/*
	 * The vectors the I/O APIC uses with level trigger changed (one bit a vector); KVM must be
	 * told for EOIs. May be NULL.
	 */
	void (*set_eoi_vectors)(struct irqchip *irqchip, const uint64_t vectors[4]);
	/*
	 * An eventfd that sends this MSI whenever it is signalled, by the shortest way the engine
	 * has (KVM: irqfd). The fd stays the caller's. NULL with an error if it cannot. Required.
	 */
	struct irq_route *(*route_create)(struct irqchip *irqchip, int fd, GError **error);
	/* Where the route leads from now on; masked: signals are kept pending in the fd. */
	void (*route_set)(struct irqchip *irqchip, struct irq_route *route, uint64_t address,
			uint32_t data, bool masked);
	void (*route_destroy)(struct irqchip *irqchip, struct irq_route *route);
};

struct irqchip {
	const struct irqchip_impl *impl;
	struct irqchip_board *board;
};

static inline void irqchip_send_msi(struct irqchip *irqchip, uint64_t address, uint32_t data)
{
	irqchip->impl->send_msi(irqchip, address, data);
}

/*
 * Routes for engines without irqfd: a thread that waits on the eventfds and calls send_msi.
 * before_send (may be NULL) runs first: the place where writes of a vhost-user back end reach the
 * code cache.
 */
struct irq_pump;
struct irq_pump *irq_pump_create(struct irqchip *irqchip, void (*before_send)(void *opaque),
		void *opaque, GError **error);
void irq_pump_destroy(struct irq_pump *pump); /* may be NULL; no routes may be left */
struct irq_route *irq_pump_route_create(struct irq_pump *pump, int fd, GError **error);
void irq_pump_route_set(struct irq_pump *pump, struct irq_route *route, uint64_t address,
		uint32_t data, bool masked);
void irq_pump_route_destroy(struct irq_pump *pump, struct irq_route *route);

#endif
