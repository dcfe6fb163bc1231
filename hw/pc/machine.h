/* SPDX-License-Identifier: MIT */
/*
 * The machine that devices are realized into: what the board offers to them. Built by pc_create()
 * (hw/pc/pc.h).
 */
#ifndef HW_PC_MACHINE_H
#define HW_PC_MACHINE_H

#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/engine/engine.h"
#include "core/memory/address_space.h"

struct pci_bus;

/*
 * The legacy and I/O APIC inputs of the PC: 0-15 ISA (8259 and I/O APIC), 16-23 PCI (I/O APIC
 * only).
 */
#define MACHINE_GSI_COUNT 24

enum machine_event {
	MACHINE_EVENT_POWEROFF, /* ACPI S5, or the debug-exit port */
	MACHINE_EVENT_RESET, /* reset register, 0xcf9, keyboard controller, triple fault */
	MACHINE_EVENT_PANICKED, /* pvpanic */
};

/* A device whose memory accesses are made by another process. */
struct external_writer {
	/* Hands what was written since the last call to guest_memory_written(). Any thread. */
	void (*sync)(struct external_writer *writer);
	struct external_writer *next; /* the machine's */
};

struct machine {
	struct address_space *memory, *ports;
	struct guest_memory *ram;
	struct clock *clock;
	struct engine *engine;
	struct irqchip *irqchip; /* the engine's */
	struct pci_bus *pci; /* the root bus */

	GMutex writers_lock;
	struct external_writer *writers; /* guarded by writers_lock */

	/* Level of an input. Any thread, no device lock needed. */
	void (*set_gsi)(struct machine *machine, unsigned gsi, bool level);
	/*
	 * Something the main loop must act on; status is the exit status of a debug exit. Returns
	 * at once, and the guest runs on until the main loop gets to it; an event that is already
	 * waiting there is not queued again. Any thread, also with a device lock held.
	 */
	void (*event)(struct machine *machine, enum machine_event event, int status);

	GMutex line_lock; /* taken after device locks, before interrupt controllers' */
	unsigned line_users[MACHINE_GSI_COUNT]; /* machine_lines that are high; guarded by it */
};

/* A device's part of an input that it shares: the input is high while any of them drives it. */
struct machine_line {
	struct machine *machine;
	unsigned gsi;
	bool level; /* guarded by machine->line_lock */
};

static inline void machine_set_gsi(struct machine *machine, unsigned gsi, bool level)
{
	assert(gsi < MACHINE_GSI_COUNT);
	machine->set_gsi(machine, gsi, level);
}

/* While it is there, the writer is asked before interrupts that come from outside. Any thread. */
static inline void machine_add_writer(struct machine *machine, struct external_writer *writer)
{
	g_mutex_lock(&machine->writers_lock);
	writer->next = machine->writers;
	machine->writers = writer;
	g_mutex_unlock(&machine->writers_lock);
}

static inline void machine_remove_writer(struct machine *machine, struct external_writer *writer)
{
	g_mutex_lock(&machine->writers_lock);
	struct external_writer **link = &machine->writers;
	while (*link && *link != writer) {
		link = &(*link)->next;
	}
	if (*link) {
		*link = writer->next;
	}
	g_mutex_unlock(&machine->writers_lock);
}

static inline void machine_line_set(struct machine_line *line, bool level)
{
	struct machine *machine = line->machine;

	g_mutex_lock(&machine->line_lock);
	if (line->level != level) {
		line->level = level;
		unsigned *users = &machine->line_users[line->gsi];
		*users += level ? 1 : -1;
		if (*users == (level ? 1 : 0)) {
			machine_set_gsi(machine, line->gsi, level);
		}
	}
	g_mutex_unlock(&machine->line_lock);
}

#endif
