/* SPDX-License-Identifier: MIT */
/*
 * Where a serial port's bytes go and come from on the host: nowhere, the terminal, a file, a pseudo
 * terminal, a socket. The terminal is put into raw mode while it is used and restored on every
 * exit, signals included.
 */
#ifndef CORE_CONTROL_CHARDEV_H
#define CORE_CONTROL_CHARDEV_H

#include "core/base/base.h"

struct chardev;

/* The device's side. Called on the main thread. */
struct chardev_user {
	/* A peer is there now (sockets: for each connection). May be NULL. */
	void (*opened)(struct chardev_user *user);
	/* How many bytes may come now. Required if receive is set. */
	size_t (*can_receive)(struct chardev_user *user);
	/* may be NULL */
	void (*receive)(struct chardev_user *user, const uint8_t *data, size_t len);
};

/* Sees what the guest writes, on the writing thread: waits for a text, copies a log. */
struct chardev_tap {
	void (*written)(struct chardev_tap *tap, const uint8_t *data, size_t len);
	struct chardev_tap *next; /* the chardev's */
};

/*
 * Opens what a -serial argument names: "null", "none", "stdio" (also "mon:stdio"), "file:PATH",
 * "pty", "unix:PATH[,server=on][,wait=off]", "tcp:HOST:PORT[,server=on][,wait=off]". The error says
 * what is possible.
 */
struct chardev *chardev_open(const char *spec, GError **error);
void chardev_close(struct chardev *chardev); /* may be NULL */

void chardev_set_user(struct chardev *chardev, struct chardev_user *user);
void chardev_add_tap(struct chardev *chardev, struct chardev_tap *tap); /* before the guest runs */

/* The user can receive again after can_receive said 0. Any thread. */
void chardev_accept_input(struct chardev *chardev);

/*
 * Writes; what a peer that does not read would hold up is dropped, a terminal or file is waited
 * for. Any thread.
 */
void chardev_write(struct chardev *chardev, const uint8_t *data, size_t len);

/* For messages: "stdio", "/dev/pts/3". */
const char *chardev_name(const struct chardev *chardev);

#endif
