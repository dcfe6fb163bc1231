/* SPDX-License-Identifier: MIT */
/*
 * One client of the vtest server: its socket, its context and its requests in flight. The GPU's
 * worker thread only.
 */
#ifndef GPU_SERVICE_VTEST_CONNECTION_H
#define GPU_SERVICE_VTEST_CONNECTION_H

#include "gpu/service/vtest_memory.h"
#include "gpu/service/vtest_request.h"

/* What connections share; the server's. */
struct vtest_shared {
	struct gpu *gpu;
	struct vtest_memory memory;
	struct gpu_limits limits;
	uint32_t last_resource; /* id given out last */
	GHashTable *resources; /* set of ids in use */
	void *capsets[2]; /* 1 and 2 */
	uint32_t capset_sizes[2]; /* bytes */
};

struct vtest_connection;

struct vtest_connection *vtest_connection_create(
		struct vtest_shared *shared, int take_fd, uint32_t ctx_id);

/* No request may be in flight. May be NULL. */
void vtest_connection_destroy(struct vtest_connection *connection);

/* The socket, or -1 while the connection is not to be read: it waits for the GPU, or is closing. */
int vtest_connection_poll_fd(const struct vtest_connection *connection);

/*
 * Reads and handles what the socket has. False: the client is gone or broke the protocol, close it.
 */
bool vtest_connection_read(struct vtest_connection *connection);

/*
 * A request of this connection's has completed; frees it, and answers a client that waits for it. True: the server is to
 * look whether it is broken or finished.
 */
bool vtest_connection_completed(struct vtest_connection *connection, struct vtest_request *request);

/* Whether what completed went wrong: close it. */
bool vtest_connection_broken(const struct vtest_connection *connection);

/* Gives back everything the client had; more requests, which complete later. */
void vtest_connection_close(struct vtest_connection *connection);

/* Whether it is closed and nothing is in flight: it can be destroyed. */
bool vtest_connection_finished(const struct vtest_connection *connection);

#endif
