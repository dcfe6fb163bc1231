/* SPDX-License-Identifier: MIT */
/* gdb's hold on this machine. Main thread. */
#ifndef PROGRAMS_DEBUGGER_H
#define PROGRAMS_DEBUGGER_H

#include "core/base/base.h"
#include "core/engine/engine.h"

struct debugger;
struct pc;

/* Listens at "tcp:[HOST]:PORT". quit(opaque) is called when gdb kills the guest. pc is borrowed. */
struct debugger *debugger_create(const char *address, struct pc *pc, void (*quit)(void *opaque),
		void *opaque, GError **error);
void debugger_destroy(struct debugger *debugger); /* may be NULL */

/* True if the debugger takes care of it. debugger may be NULL. */
bool debugger_vcpu_stopped(struct debugger *debugger, struct vcpu *vcpu, enum vcpu_exit reason);

#endif
