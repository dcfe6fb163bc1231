/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as the debugger sees it: by linear addresses, through a vCPU's page tables, and
 * without the breakpoints that are in it. The vCPUs stand still. Main thread.
 */
#ifndef CORE_CONTROL_GDB_MEMORY_H
#define CORE_CONTROL_GDB_MEMORY_H

#include "core/base/base.h"
#include "core/engine/engine.h"

#define GDB_INT3 0xccu

struct gdb_memory {
	struct guest_memory *memory; /* borrowed */
	GArray *breakpoints; /* struct gdb_breakpoint */
};

void gdb_memory_init(struct gdb_memory *memory, struct guest_memory *guest_memory);
void gdb_memory_finish(struct gdb_memory *memory); /* leaves breakpoints where they are */

/* Reads as much as there is; returns how much, in bytes. */
size_t gdb_memory_read(struct gdb_memory *memory, struct vcpu *vcpu, uint64_t linear, uint8_t *data,
		size_t len);

/*
 * Writes; false if not all of it is writable RAM. Breakpoints stay: what is written in their place
 * comes to light when they go. data is changed.
 */
bool gdb_memory_write(struct gdb_memory *memory, struct vcpu *vcpu, uint64_t linear, uint8_t *data,
		size_t len);

/* Puts an int3 there; true also if there is one of ours. */
bool gdb_memory_add_breakpoint(struct gdb_memory *memory, struct vcpu *vcpu, uint64_t linear);

/* False if there is none. */
bool gdb_memory_remove_breakpoint(struct gdb_memory *memory, uint64_t linear);
void gdb_memory_remove_breakpoints(struct gdb_memory *memory); /* all of them */

bool gdb_memory_has_breakpoint(const struct gdb_memory *memory, uint64_t linear);
bool gdb_memory_has_breakpoints(const struct gdb_memory *memory); /* any */

#endif
