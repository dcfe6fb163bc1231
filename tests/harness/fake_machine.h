/* SPDX-License-Identifier: MIT */
/*
 * A machine without CPUs, for tests of devices: guest RAM at 0, both address spaces, a PCI root bus,
 * a virtual clock, an interrupt controller that records what it is sent, the levels of the GSIs and
 * the machine's events. The test is the guest; it may do as vCPUs do from any registered thread.
 */
#ifndef TESTS_HARNESS_FAKE_MACHINE_H
#define TESTS_HARNESS_FAKE_MACHINE_H

#include "core/engine/irqchip.h"
#include "core/memory/guest_memory.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci.h"

struct fake_msi {
	uint64_t address;
	uint32_t data;
};

struct fake_event {
	enum machine_event event;
	int status;
};

struct irq_route {
	int fd;
	struct fake_msi message;
	bool masked;
};

struct fake_machine {
	struct machine machine;
	struct irqchip irqchip;
	GMutex lock; /* guards what follows */
	GCond changed;
	GArray *msis; /* struct fake_msi, not yet taken */
	GPtrArray *routes; /* struct irq_route */
	bool gsis[MACHINE_GSI_COUNT];
	unsigned gsi_rises[MACHINE_GSI_COUNT]; /* changes from low to high so far */
	unsigned gsi_changes;
	bool extint; /* the 8259s' request */
	uint64_t eoi_vectors[4]; /* as the I/O APIC named them last */
	GArray *events; /* struct fake_event, not yet taken */
	bool refuse_routes; /* route_create fails */
};

/* RAM of ram_size bytes at 0. */
struct fake_machine *fake_machine_create(uint64_t ram_size);
void fake_machine_destroy(struct fake_machine *fake);

/* A device of the class, with properties "name", "value", ..., NULL, not yet realized. */
struct device *fake_machine_device(const struct device_class *device_class, ...);

/* Gives BARs addresses (memory from 3 GiB, 64-bit from 64 GiB) and sets the bus-master bits. */
void fake_machine_assign(struct fake_machine *fake);

/* The next recorded message; false if there is none. */
bool fake_machine_take_msi(struct fake_machine *fake, struct fake_msi *ret_msi);
/* Waits for the next message and takes it. */
struct fake_msi fake_machine_wait_msi(struct fake_machine *fake);
/* Sends what signalled, unmasked routes lead to; returns how many. */
unsigned fake_machine_run_routes(struct fake_machine *fake);
/* Waits until the level of a GSI is so. */
void fake_machine_wait_gsi(struct fake_machine *fake, unsigned gsi, bool level);
bool fake_machine_gsi(struct fake_machine *fake, unsigned gsi);

/* How often the GSI has risen since the last call. */
unsigned fake_machine_take_rises(struct fake_machine *fake, unsigned gsi);
/* The next event; false if there is none. */
bool fake_machine_take_event(struct fake_machine *fake, struct fake_event *ret_event);

/* Lets time pass, every timer that comes due on the way running at its own time. */
void fake_machine_run(struct fake_machine *fake, int64_t ns);

/* Guest memory and registers, as a guest reads and writes them. */
uint64_t fake_port_read(struct fake_machine *fake, uint64_t port, unsigned size);
void fake_port_write(struct fake_machine *fake, uint64_t port, uint64_t value, unsigned size);
uint8_t fake_in8(struct fake_machine *fake, uint64_t port);
void fake_out8(struct fake_machine *fake, uint64_t port, uint8_t value);
void fake_write(struct fake_machine *fake, uint64_t guest, const void *buf, size_t len);
void fake_read(struct fake_machine *fake, uint64_t guest, void *buf, size_t len);
uint8_t fake_read8(struct fake_machine *fake, uint64_t guest);
uint64_t fake_mmio_read(struct fake_machine *fake, uint64_t address, unsigned size);
void fake_mmio_write(struct fake_machine *fake, uint64_t address, uint64_t value, unsigned size);

uint32_t fake_config_read(
		struct fake_machine *fake, unsigned devfn, unsigned offset, unsigned size);
void fake_config_write(struct fake_machine *fake, unsigned devfn, unsigned offset, uint32_t value,
		unsigned size);

#endif
