/* SPDX-License-Identifier: MIT */
/*
 * The sockets behind "unix:" and "tcp:" character devices: addresses, options, listening. Used by
 * chardev.c only. Main thread.
 */
#ifndef CORE_CONTROL_CHARDEV_SOCKET_H
#define CORE_CONTROL_CHARDEV_SOCKET_H

#include "core/base/base.h"

struct chardev_server;

/*
 * spec begins with "unix:" or "tcp:". A client: returns the connected socket. A server:
 * *ret_server is it; returns the first peer's socket if it was to be waited for, else -1. Failure:
 * -1, and *ret_server stays NULL.
 */
int chardev_socket_open(const char *spec, struct chardev_server **ret_server, GError **error);

/* From now on calls connected(opaque, fd) for every peer; it takes fd. */
void chardev_server_start(struct chardev_server *server, void (*connected)(void *opaque, int fd),
		void *opaque);

/* Stops listening and removes the socket from the file system. May be NULL. */
void chardev_server_destroy(struct chardev_server *server);

#endif
