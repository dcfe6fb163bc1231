/* SPDX-License-Identifier: MIT */
/*
 * One virtqueue of a vhost-user back end: ring, kicks, requests in flight. Used inside gpu/service.
 */
#ifndef GPU_SERVICE_VHOST_USER_QUEUE_H
#define GPU_SERVICE_VHOST_USER_QUEUE_H

#include "core/base/base.h"
#include "core/memory/guest_memory.h"
#include "core/virtio/virtqueue.h"
#include "gpu/gpu.h"
#include "gpu/service/inflight.h"

struct vhost_user_queue {
	unsigned index; /* enum virtio_gpu_queue */
	struct gpu **gpu; /* the back end's; NULL inside until attached */

	/* What the front end set up; the service thread's. */
	struct virtqueue_config config;
	bool addresses_set, enabled;
	int kick_fd, err_fd;
	GSource *kick_source;

	GMutex lock;
	int call_fd; /* guarded by lock */
	struct virtqueue *vq; /* guarded by lock; NULL while stopped */
	struct inflight_queue *inflight; /* guarded by lock; NULL: not tracked */
	unsigned in_flight; /* guarded by lock */
	GPtrArray *retired; /* struct virtqueue: stopped with requests in flight; guarded by lock */
};

void vhost_user_queue_init(struct vhost_user_queue *queue, unsigned index, struct gpu **gpu);
void vhost_user_queue_finish(struct vhost_user_queue *queue);

/* Take the descriptors; -1: none. */
void vhost_user_queue_set_call(struct vhost_user_queue *queue, int take_fd);
void vhost_user_queue_set_err(struct vhost_user_queue *queue, int take_fd);

/*
 * Starts the ring if all it needs is there. False with an error if what the guest set up is wrong.
 */
bool vhost_user_queue_start(struct vhost_user_queue *queue, struct guest_memory *memory,
		int take_kick_fd, GError **error);

/*
 * No more requests are taken; those in flight complete without reaching the guest. Returns where
 * the ring would go on.
 */
uint16_t vhost_user_queue_stop(struct vhost_user_queue *queue);

/* No more requests are taken, those in flight still complete to the guest. */
void vhost_user_queue_pause(struct vhost_user_queue *queue);

/* The GPU's completion. Any thread. */
void vhost_user_queue_completed(struct gpu_request *request, size_t written);

#endif
