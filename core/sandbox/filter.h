/* SPDX-License-Identifier: MIT */
/* From a part's tables to the program that the kernel runs at each system call. */
#ifndef CORE_SANDBOX_FILTER_H
#define CORE_SANDBOX_FILTER_H

#include "core/sandbox/lists.h"

#include <linux/filter.h>

/*
 * The program of a part for this process, whose number is in it. allowed: groups that are given back (enum sandbox_group), which
 * vCPU threads never are. filter of *ret_program belongs to the caller (g_free()). Not thread-safe.
 */
bool filter_compile(enum sandbox_part part, unsigned allowed, struct sock_fprog *ret_program,
		GError **error);

/*
 * Whether this is a build with a sanitizer: its run time makes calls that no list can tell, so that only those that kill are
 * looked for, but for what it does itself.
 */
bool filter_with_sanitizer(void);

/* Whether the kernel and the container let processes filter their system calls; changes nothing. */
bool filter_possible(GError **error);

/*
 * Puts the program before the system calls of the calling thread, of all threads if everyone is set. The calling thread has
 * PR_SET_NO_NEW_PRIVS. Any thread.
 */
bool filter_install(const struct sock_fprog *program, bool everyone, GError **error);

#endif
