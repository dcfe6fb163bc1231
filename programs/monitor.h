/* SPDX-License-Identifier: MIT */
/* What QMP commands do to this machine. Main thread. */
#ifndef PROGRAMS_MONITOR_H
#define PROGRAMS_MONITOR_H

#include "core/base/base.h"
#include "hw/pc/machine.h"

struct monitor;
struct pc;
struct picture;

/* What only the program can do. */
struct monitor_host {
	void (*quit)(struct monitor_host *host);
	void (*reset)(struct monitor_host *host);
};

/* Opens the socket that spec names and serves it. name, picture may be NULL; all is borrowed. */
struct monitor *monitor_create(const char *spec, struct pc *pc, struct picture *picture,
		const char *name, struct monitor_host *host, GError **error);
void monitor_destroy(struct monitor *monitor); /* may be NULL */

/* Tells clients what happened to the machine. monitor may be NULL. */
void monitor_event(struct monitor *monitor, enum machine_event event);

#endif
