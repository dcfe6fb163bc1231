/* SPDX-License-Identifier: MIT */
/*
 * What a process and its threads may ask of the kernel once they run (seccomp). Each part of the program has a list of the
 * system calls that it needs; docs/sandbox.md shows the lists. It is a state of the process, as the log is.
 *
 * A call that no list of a thread has ends the process with SIGSYS, after a line that names it; in the picture it fails with
 * EPERM, said once a call, because nobody knows all that GL drivers try. Calls that only an intruder makes kill at once.
 */
#ifndef CORE_SANDBOX_SANDBOX_H
#define CORE_SANDBOX_SANDBOX_H

#include "core/base/base.h"

/* Whose list. A thread that enters one part after another may do what all of their lists have. */
enum sandbox_part {
	SANDBOX_MACHINE, /* the whole of oriel, all threads */
	SANDBOX_VCPU, /* a thread that executes the guest's code */
	SANDBOX_PICTURE, /* the whole of oriel-gpu, all threads */
	SANDBOX_WINDOW, /* the same where it has windows */
	SANDBOX_PARTS
};

/* Calls that nothing here makes, but that -sandbox may give back to the whole of a process: bits. */
enum sandbox_group {
	SANDBOX_OBSOLETE = 1 << 0,
	SANDBOX_ELEVATE_PRIVILEGES = 1 << 1,
	SANDBOX_SPAWN = 1 << 2,
	SANDBOX_RESOURCE_CONTROL = 1 << 3,
};

struct sandbox_config {
	bool on;
	bool required; /* where it cannot be, that is an error, not a warning */
	unsigned allowed; /* enum sandbox_group */
};

/*
 * What sandbox_enter() will do; without this call, nothing. Where the kernel or a container forbids it, config->on becomes false
 * with a warning, or it is an error. Else no program that is executed from here on gains privileges, and other processes
 * of the user cannot look into this one if it is the machine. Before threads start.
 */
bool sandbox_init(struct sandbox_config *config, bool machine, GError **error);

/*
 * From here on the calling thread (VCPU) or the whole process (the other parts; call it once, on the main thread) may do what
 * the part's list has, for ever. False if the kernel refuses after all.
 */
bool sandbox_enter(enum sandbox_part part, GError **error);

#endif
