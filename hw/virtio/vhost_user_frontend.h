/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user front end: makes a virtio device's queues those of a back end in another process
 * (QEMU's docs/interop/vhost-user.rst). Calls block for the answer, but never longer than a time-
 * out; after any failure the back end is to be replaced and connected anew.
 *
 * Not thread-safe: the device's lock guards it.
 */
#ifndef HW_VIRTIO_VHOST_USER_FRONTEND_H
#define HW_VIRTIO_VHOST_USER_FRONTEND_H

#include "core/base/base.h"
#include "hw/virtio/virtio.h"

struct vhost_user_frontend;

struct vhost_user_frontend_events {
	/* The back end's configuration space changed. Main thread, no lock held. */
	void (*config_changed)(struct vhost_user_frontend_events *events);
};

struct vhost_user_frontend *vhost_user_frontend_create(
		struct virtio_device *device, struct vhost_user_frontend_events *events);
void vhost_user_frontend_destroy(struct vhost_user_frontend *frontend); /* may be NULL */

/* Talks to a new back end: features, protocol, channels. Takes the socket. */
bool vhost_user_frontend_connect(
		struct vhost_user_frontend *frontend, int take_socket, GError **error);
bool vhost_user_frontend_connected(const struct vhost_user_frontend *frontend);
void vhost_user_frontend_disconnect(struct vhost_user_frontend *frontend);

/* Device features of the back end, ring features left out. After connect. */
uint64_t vhost_user_frontend_features(const struct vhost_user_frontend *frontend);

/* The driver is ready: hands over memory and the enabled queues. Also after a reconnection. */
bool vhost_user_frontend_start(struct vhost_user_frontend *frontend, GError **error);

/*
 * The driver reset the device: nothing of it is left in the back end when this returns. Also while
 * not connected.
 */
bool vhost_user_frontend_stop(struct vhost_user_frontend *frontend, GError **error);

bool vhost_user_frontend_get_config(struct vhost_user_frontend *frontend, unsigned offset,
		void *buf, unsigned len, GError **error);
bool vhost_user_frontend_set_config(struct vhost_user_frontend *frontend, unsigned offset,
		const void *buf, unsigned len, GError **error);

/*
 * Hands every page that the back end wrote since the last call to guest_memory_written(): for
 * engines that keep decoded code. Any thread.
 */
void vhost_user_frontend_sync_log(struct vhost_user_frontend *frontend);

#endif
