/* SPDX-License-Identifier: MIT */
/*
 * The registers of an x86-64 processor as gdb numbers and describes them ("Target Description
 * Format" and "Standard Target Features" in its manual). gdb insists on x87 and SSE registers:
 * engines do not show those, so they are described, and said to be unavailable.
 */
#ifndef CORE_CONTROL_GDB_REGS_H
#define CORE_CONTROL_GDB_REGS_H

#include "core/base/base.h"
#include "core/engine/x86.h"

/* The description of the target, in XML. g_free() it. */
char *gdb_regs_description(void);

/* Appends a register's value as gdb wants it, in hex. False if there is no such register. */
bool gdb_regs_append(const struct x86_state *state, unsigned number, GString *text);

/* Appends all of them, in order. */
void gdb_regs_append_all(const struct x86_state *state, GString *text);

/*
 * Sets a register from the hex at *text and moves *text behind it. What is unavailable is passed
 * over. False if there is no such register or the hex is bad or short.
 */
bool gdb_regs_set(struct x86_state *state, unsigned number, const char **text);

/* Likewise all of them. */
bool gdb_regs_set_all(struct x86_state *state, const char *text);

#endif
