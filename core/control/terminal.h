/* SPDX-License-Identifier: MIT */
/*
 * The controlling terminal as a guest's console: raw while it is taken, restored on every way out.
 * Ctrl-A is the escape: x ends the machine, a sends Ctrl-A, h helps.
 */
#ifndef CORE_CONTROL_TERMINAL_H
#define CORE_CONTROL_TERMINAL_H

#include "core/base/base.h"

/* Puts standard input into raw mode if it is a terminal; returns whether it is. */
bool terminal_take(void);

/* Restores it. Safe to call at any time, from signal handlers too, and more than once. */
void terminal_release(void);

/* What Ctrl-A x does; NULL: nothing. Main thread. */
void terminal_set_quit(void (*quit)(void *opaque), void *opaque);

/* Takes escapes out of typed bytes; false if nothing is left. Main thread. */
bool terminal_filter(uint8_t *data, size_t *len);

#endif
