/* SPDX-License-Identifier: MIT */
/*
 * Where a serial port's bytes go and come from on the host: nowhere, the terminal, a file, a pseudo
 * terminal, a socket. The terminal is put into raw mode while it is used and restored on every
 * exit, signals included. A guest is never held up: what the host cannot take at once is kept, up
 * to a limit, and sent by the main loop.
 */
#ifndef CORE_CONTROL_CHARDEV_H
#define CORE_CONTROL_CHARDEV_H

#include "core/base/base.h"

struct chardev;

/* The device's side. Called on the main thread, with no lock held. */
struct chardev_user {
	/* A peer is there now (sockets: for each connection). May be NULL. */
	void (*opened)(struct chardev_user *user);
	/* How many bytes may come now. Required if receive is set. */
	size_t (*can_receive)(struct chardev_user *user);
	/* may be NULL */
	void (*receive)(struct chardev_user *user, const uint8_t *data, size_t len);
	/* There is room again after chardev_write() returned false. May be NULL. */
	void (*writable)(struct chardev_user *user);
};

/*
 * Sees what the guest writes: waits for a text, copies a log. On the writing thread, one call at a
 * time, under a lock of the chardev: it must not call back.
 */
struct chardev_tap {
	void (*written)(struct chardev_tap *tap, const uint8_t *data, size_t len);
	struct chardev_tap *next; /* the chardev's */
};

/*
 * Opens what a -serial argument names: "null", "none", "stdio" (also "mon:stdio"; one at a time),
 * "file:PATH" (truncated), "pty", "unix:PATH[,server=on][,wait=off]",
 * "tcp:HOST:PORT[,server=on][,wait=off]". A server takes one peer at a time, and the next one when
 * that has gone; with wait=on (the default) it returns when the first is there. The error says what
 * is possible. Main thread.
 */
struct chardev *chardev_open(const char *spec, GError **error);
/* Sends what is kept, for a second at most, and closes. May be NULL. Main thread. */
void chardev_close(struct chardev *chardev);

/* NULL: nobody; what comes in waits. Main thread. */
void chardev_set_user(struct chardev *chardev, struct chardev_user *user);
void chardev_add_tap(struct chardev *chardev, struct chardev_tap *tap); /* before the guest runs */

/* The user can receive again after can_receive said 0. Any thread. */
void chardev_accept_input(struct chardev *chardev);

/*
 * Writes without waiting. False: it was taken, but the host is behind, and who goes on writing will
 * lose bytes; writable tells when it has caught up. Pseudo terminals, which may have no reader,
 * lose bytes without holding anybody up. Any thread.
 */
bool chardev_write(struct chardev *chardev, const uint8_t *data, size_t len);

/* For messages: "stdio", "/dev/pts/3". */
const char *chardev_name(const struct chardev *chardev);

#endif
