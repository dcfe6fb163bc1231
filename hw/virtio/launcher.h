/* SPDX-License-Identifier: MIT */
/*
 * Starts and restarts one program on behalf of a process that may not do so itself: a process of its own, forked before the
 * machine runs, that knows the program's arguments and can be asked for nothing else. It is the program's parent; when the
 * machine has gone, in whatever way, it ends the program and itself.
 *
 * Main thread, but for launcher_kill().
 */
#ifndef HW_VIRTIO_LAUNCHER_H
#define HW_VIRTIO_LAUNCHER_H

#include "core/base/base.h"

struct launcher;

/* The descriptors that the program finds. */
#define LAUNCHER_FIRST_FD 3
#define LAUNCHER_FDS 2

struct launcher_events {
	/* The program ended; status is as waitpid() gives it. */
	void (*exited)(struct launcher_events *events, int status);
	/* The launcher itself died: nothing more can be started. */
	void (*lost)(struct launcher_events *events);
};

/* argv[0] is a path; argv is copied, events borrowed. Starts nothing yet. */
struct launcher *launcher_create(char **argv, struct launcher_events *events, GError **error);

/* Starts the program with the descriptors (borrowed) at its LAUNCHER_FIRST_FD and on. None may run. */
bool launcher_start(struct launcher *launcher, const int fds[LAUNCHER_FDS], GError **error);

/* Sends the program that runs now SIGKILL, if one runs. Any thread. */
void launcher_kill(struct launcher *launcher);

/*
 * Gives a program that runs two seconds to end by itself, then kills it. No event comes any more. launcher may be NULL.
 */
void launcher_destroy(struct launcher *launcher);

#endif
