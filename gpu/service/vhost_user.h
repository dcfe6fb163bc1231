/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user back end: brings a front end's virtqueues to the GPU (QEMU's docs/interop/vhost-
 * user.rst). The front end is our machine or another monitor; nothing it sends is trusted. Runs on
 * the main context of the calling thread (the service thread); completions come from the GPU's
 * worker.
 */
#ifndef GPU_SERVICE_VHOST_USER_H
#define GPU_SERVICE_VHOST_USER_H

#include "core/base/base.h"
#include "gpu/gpu.h"

struct vhost_user_backend;

struct vhost_user_backend_events {
	/* The front end is gone (the socket closed); error says why, NULL for an orderly end. */
	void (*disconnected)(struct vhost_user_backend_events *events, const GError *error);
	/* The renderer is lost: see gpu_client_impl.lost. From any thread. */
	void (*lost)(struct vhost_user_backend_events *events, const char *reason);
};

/*
 * Takes the connected socket. The GPU is attached afterwards, so that it can name this as its
 * client; messages are handled from then on.
 */
struct vhost_user_backend *vhost_user_backend_create(
		int take_socket, struct vhost_user_backend_events *events);
struct gpu_client *vhost_user_backend_client(struct vhost_user_backend *backend);
void vhost_user_backend_attach(struct vhost_user_backend *backend, struct gpu *gpu);

/* After gpu_destroy(): no request is in flight any more. May be NULL. */
void vhost_user_backend_destroy(struct vhost_user_backend *backend);

#endif
