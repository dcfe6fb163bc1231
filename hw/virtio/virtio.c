/* SPDX-License-Identifier: MIT */
/*
 * What all virtio devices share: the life of queues between reset and DRIVER_OK (virtio 1.3, 3.1),
 * kicks, and giving up on a device whose driver broke the rules.
 */
#include "hw/virtio/virtio.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "hw/pc/machine.h"

#include <glib-unix.h>

bool virtio_device_init(struct virtio_device *device, const struct virtio_device_impl *impl,
		struct machine *machine, GError **error)
{
	assert(impl->queues >= 1 && impl->queues <= VIRTIO_MAX_QUEUES);
	device->impl = impl;
	device->machine = machine;
	g_mutex_init(&device->lock);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		device->queues[i] = (struct virtio_queue){
				.device = device,
				.kick_fd = -1,
				.call_fd = -1,
				.vector = VIRTIO_NO_VECTOR,
		};
	}
	for (unsigned i = 0; i < impl->queues; i++) {
		struct virtio_queue *queue = &device->queues[i];
		queue->size = impl->queue_size;
		queue->kick_fd = eventfd_create(error);
		if (queue->kick_fd < 0) {
			return false;
		}
		if (virtio_device_is_external(device)) {
			queue->call_fd = eventfd_create(error);
			if (queue->call_fd < 0) {
				return false;
			}
		}
	}
	return true;
}

void virtio_device_finish(struct virtio_device *device)
{
	if (!device->impl) {
		return;
	}
	for (unsigned i = 0; i < device->impl->queues; i++) {
		assert(!device->queues[i].vq && !device->queues[i].kick_source);
		fd_close(&device->queues[i].kick_fd);
		fd_close(&device->queues[i].call_fd);
	}
	g_mutex_clear(&device->lock);
	device->impl = NULL;
}

uint64_t virtio_device_offered(struct virtio_device *device)
{
	/* Kept once known: a device whose back end is away for a moment is asked again. */
	if (!device->offered) {
		device->offered = device->impl->features(device);
	}
	return device->offered | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_INDIRECT_DESC) |
	       BIT(VIRTIO_F_RING_EVENT_IDX);
}

static gboolean handle_kick(int fd, GIOCondition condition, gpointer opaque)
{
	struct virtio_queue *queue = opaque;
	struct virtio_device *device = queue->device;
	(void)condition;

	eventfd_take(fd);
	g_mutex_lock(&device->lock);
	/* A reset may have come between the kick and us. */
	if (virtio_device_healthy(device) && queue->vq) {
		unsigned index = (unsigned)(queue - device->queues);
		device->impl->kick(device, index);
		virtio_device_check_queue(device, index);
	}
	g_mutex_unlock(&device->lock);
	return G_SOURCE_CONTINUE;
}

static void watch_kicks(struct virtio_device *device, struct virtio_queue *queue)
{
	queue->kick_source = g_unix_fd_source_new(queue->kick_fd, G_IO_IN);
	g_source_set_callback(queue->kick_source, G_SOURCE_FUNC(handle_kick), queue, NULL);
	g_source_attach(queue->kick_source, device->context);
}

static void stop_queue(struct virtio_queue *queue)
{
	if (queue->kick_source) {
		g_source_destroy(queue->kick_source);
		g_source_unref(queue->kick_source);
		queue->kick_source = NULL;
	}
	virtqueue_destroy(queue->vq);
	queue->vq = NULL;
}

static bool start_queue(struct virtio_device *device, struct virtio_queue *queue)
{
	g_autoptr(GError) error = NULL;
	const struct virtqueue_config config = {
			.size = queue->size,
			.desc = queue->desc,
			.avail = queue->avail,
			.used = queue->used,
			.event_idx = device->negotiated & BIT(VIRTIO_F_RING_EVENT_IDX),
			.indirect = device->negotiated & BIT(VIRTIO_F_RING_INDIRECT_DESC),
	};

	queue->vq = virtqueue_create(device->machine->ram, &config, &error);
	if (!queue->vq) {
		virtio_device_broken(device, error->message);
		return false;
	}
	watch_kicks(device, queue);
	return true;
}

static void start(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->impl->queues; i++) {
		struct virtio_queue *queue = &device->queues[i];
		if (queue->enabled && !virtio_device_is_external(device) &&
				!start_queue(device, queue)) {
			return;
		}
	}
	if (virtio_device_is_external(device)) {
		device->route_calls(device, true);
	}
	if (!device->impl->start(device)) {
		virtio_device_broken(device, "the device could not start");
		return;
	}
	device->started = true;
	/* What the driver queued before DRIVER_OK gets no kick of its own. */
	for (unsigned i = 0; i < device->impl->queues; i++) {
		if (device->queues[i].enabled) {
			eventfd_signal(device->queues[i].kick_fd);
		}
	}
}

static void stop(struct virtio_device *device)
{
	if (device->started) {
		device->started = false;
		device->impl->stop(device);
	}
	if (virtio_device_is_external(device)) {
		device->route_calls(device, false);
	}
	for (unsigned i = 0; i < device->impl->queues; i++) {
		stop_queue(&device->queues[i]);
	}
}

static void reset(struct virtio_device *device)
{
	stop(device);
	device->status = 0;
	device->negotiated = 0;
	for (unsigned i = 0; i < device->impl->queues; i++) {
		struct virtio_queue *queue = &device->queues[i];
		queue->size = device->impl->queue_size;
		queue->vector = VIRTIO_NO_VECTOR;
		queue->enabled = false;
		queue->desc = queue->avail = queue->used = 0;
		eventfd_take(queue->kick_fd);
	}
}

void virtio_device_set_status(struct virtio_device *device, uint8_t status)
{
	uint8_t before = device->status;

	if (status == 0) {
		reset(device);
		return;
	}
	/* 2.1.1: a driver clears no bit but by a reset; a device that runs is not started again. */
	status |= before;
	/* virtio 1.3 3.1.1: FEATURES_OK sticks only if the device can live with the subset. */
	if ((status & VIRTIO_STATUS_FEATURES_OK) && !(before & VIRTIO_STATUS_FEATURES_OK) &&
			((device->negotiated & ~virtio_device_offered(device)) ||
					!(device->negotiated & BIT(VIRTIO_F_VERSION_1)))) {
		status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	}
	device->status = status;
	if ((status & VIRTIO_STATUS_DRIVER_OK) && !(before & VIRTIO_STATUS_DRIVER_OK)) {
		if (!(status & VIRTIO_STATUS_FEATURES_OK)) {
			virtio_device_broken(device, "DRIVER_OK without FEATURES_OK");
			return;
		}
		start(device);
	}
}

void virtio_notify(struct virtio_device *device, unsigned index)
{
	struct virtio_queue *queue = &device->queues[index];

	if (queue->vq && virtqueue_needs_notify(queue->vq)) {
		device->notify_queue(device, index);
	}
}

void virtio_config_changed(struct virtio_device *device)
{
	g_mutex_lock(&device->lock);
	device->config_generation++;
	if (device->status & VIRTIO_STATUS_DRIVER_OK) {
		device->notify_config(device);
	}
	g_mutex_unlock(&device->lock);
}

void virtio_device_broken(struct virtio_device *device, const char *reason)
{
	if (device->status & VIRTIO_STATUS_NEEDS_RESET) {
		return;
	}
	guest_error("virtio device %u: %s; it waits for a reset", device->impl->id, reason);
	device->status |= VIRTIO_STATUS_NEEDS_RESET;
	if (device->status & VIRTIO_STATUS_DRIVER_OK) {
		device->notify_config(device);
	}
}

void virtio_device_check_queue(struct virtio_device *device, unsigned index)
{
	const struct virtqueue *vq = device->queues[index].vq;
	const char *reason = vq ? virtqueue_broken(vq) : NULL;

	if (reason) {
		virtio_device_broken(device, reason);
	}
}
