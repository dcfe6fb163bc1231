/* SPDX-License-Identifier: MIT */
/*
 * The vtest server: Mesa's virpipe in a program or container draws on the GPU through a socket.
 * Each connection is one virgl context; all share one GPU. For the GPU the server is a client like
 * any other: it sends virtio commands, and shared memory takes the place of guest memory. Nothing
 * that comes through the socket is trusted.
 */
#ifndef GPU_SERVICE_VTEST_H
#define GPU_SERVICE_VTEST_H

#include "core/base/base.h"
#include "gpu/gpu.h"

struct vtest_server;

/* Listens at path. A socket there that nobody listens on any more is replaced. limits is copied. */
struct vtest_server *vtest_server_create(
		const char *path, const struct gpu_limits *limits, GError **error);

/* What to create the GPU with. */
struct gpu_client *vtest_server_client(struct vtest_server *server);

/*
 * Serves until vtest_server_stop(): the calling thread waits, the GPU's worker does it. False with an error where the GPU has no
 * 3D, or is lost: then the process is to be replaced.
 */
bool vtest_server_run(struct vtest_server *server, struct gpu *gpu, GError **error);

/* Any thread, and signal handlers. */
void vtest_server_stop(struct vtest_server *server);

/* After gpu_destroy(). Removes the socket. May be NULL. */
void vtest_server_destroy(struct vtest_server *server);

#endif
