/* SPDX-License-Identifier: MIT */
/*
 * A debugger's way to the guest: gdb's remote serial protocol over TCP, for every engine. Threads
 * are vCPUs and all of them stop together. Breakpoints are int3 instructions in guest memory, at
 * linear addresses. Everything runs on the main thread.
 *
 * Without a debugger connected the stub changes nothing. A machine that was not yet started waits
 * for the debugger's "continue".
 */
#ifndef CORE_CONTROL_GDB_H
#define CORE_CONTROL_GDB_H

#include "core/base/base.h"
#include "core/engine/engine.h"

struct gdb_stub;

/*
 * How the machine is stopped and started around what the debugger does: its clock stands still as
 * well.
 */
struct gdb_control {
	void (*stop)(struct gdb_control *control); /* vCPUs stand still when it returns */
	void (*start)(struct gdb_control *control);
	void (*quit)(struct gdb_control *control); /* the debugger's "kill"; may be NULL */
};

/*
 * Listens at "tcp:[HOST]:PORT". Without HOST it is this host only: whoever connects has the guest
 * in his hands. PORT 0 takes a free one.
 */
struct gdb_stub *gdb_stub_create(const char *address, struct engine *engine, GError **error);

/*
 * Takes the debugger's hands off the guest, which stands still if one was connected. Before the
 * engine is destroyed. May be NULL.
 */
void gdb_stub_destroy(struct gdb_stub *stub);

/* Without it the engine alone is stopped and started. Borrowed. Before the main loop runs. */
void gdb_stub_set_control(struct gdb_stub *stub, struct gdb_control *control);

/* A vCPU stopped (engine_events.vcpu_stopped, on the main thread). True if that was for us. */
bool gdb_stub_vcpu_stopped(struct gdb_stub *stub, struct vcpu *vcpu, enum vcpu_exit reason);

unsigned gdb_stub_port(const struct gdb_stub *stub);

#endif
