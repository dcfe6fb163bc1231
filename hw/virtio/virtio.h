/* SPDX-License-Identifier: MIT */
/*
 * A virtio device behind a transport: features, status, configuration space, queues. The transport
 * (virtio-pci) owns registers and interrupts; the device owns what its queues mean. virtio 1.3,
 * chapters 2, 3 and 4.1.
 *
 * Threads: every call of the transport's comes with device->lock held, on vCPU threads; kick on the
 * device's loop thread. Lock order: this lock, then the PCI device's.
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "core/base/base.h"
#include "core/virtio/virtqueue.h"

#define VIRTIO_MAX_QUEUES 8
#define VIRTIO_NO_VECTOR 0xffff

#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER 2
#define VIRTIO_STATUS_DRIVER_OK 4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED 128

struct machine;
struct virtio_device;
struct virtio_pci;

struct virtio_device_impl {
	uint16_t id; /* VIRTIO_ID_* */
	unsigned queues; /* 1..VIRTIO_MAX_QUEUES */
	uint16_t queue_size; /* the most a queue may have, power of two */

	/* Device-specific feature bits, asked when a driver first looks. The ring's are added. */
	uint64_t (*features)(struct virtio_device *device);
	/* Inside the configuration structure or beyond it (reads zero, writes nothing). */
	void (*config_read)(struct virtio_device *device, unsigned offset, void *buf, unsigned len);
	void (*config_write)(struct virtio_device *device, unsigned offset, const void *buf,
			unsigned len); /* may be NULL */
	/*
	 * DRIVER_OK: queues are configured; virtqueues exist unless external. False: needs reset.
	 */
	bool (*start)(struct virtio_device *device);
	/* Reset or unrealize: no more DMA and no more notifications when this returns. */
	void (*stop)(struct virtio_device *device);
	/*
	 * The driver kicked a queue; on the loop thread (virtio_device.context). NULL for devices
	 * whose queues are served outside (vhost-user): they take kick_fd and call_fd instead.
	 */
	void (*kick)(struct virtio_device *device, unsigned queue);
};

struct virtio_queue {
	struct virtio_device *device;
	uint16_t size; /* what the driver chose */
	uint16_t vector; /* MSI-X, VIRTIO_NO_VECTOR: none */
	bool enabled;
	uint64_t desc, avail, used;
	int kick_fd; /* signalled by the driver's notify write */
	int call_fd; /* external queues: signalled by the back end, leads to the MSI-X vector */
	struct virtqueue *vq; /* in-process queues, between start and stop */
	GSource *kick_source, *call_source; /* watches; NULL: none */
};

/* Guarded by lock, but for what init sets. */
struct virtio_device {
	const struct virtio_device_impl *impl;
	struct machine *machine;
	GMainContext *context; /* where kicks are handled; NULL: the main thread's */
	GMutex lock;
	uint64_t offered; /* feature bits; 0 until virtio_device_offered() was asked */
	uint64_t negotiated;
	uint8_t status;
	uint8_t config_generation;
	bool started;
	struct virtio_queue queues[VIRTIO_MAX_QUEUES];

	struct virtio_pci *transport;
	/* The transport's: raise a queue's or the configuration interrupt. Lock held. */
	void (*notify_queue)(struct virtio_device *device, unsigned queue);
	void (*notify_config)(struct virtio_device *device);
	/* The transport's, for external queues: leads call_fd to the queue's vector. Lock held. */
	void (*route_calls)(struct virtio_device *device, bool on);
};

/* Sets up what the transport needs of a device; finish is tolerant of a failed init. */
bool virtio_device_init(struct virtio_device *device, const struct virtio_device_impl *impl,
		struct machine *machine, GError **error);
void virtio_device_finish(struct virtio_device *device);

/* The feature bits the device offers, those of its rings included. Lock held. */
uint64_t virtio_device_offered(struct virtio_device *device);

/* The transport's: status register writes. 0 resets; DRIVER_OK starts. Lock held. */
void virtio_device_set_status(struct virtio_device *device, uint8_t status);

/* Whether the queues are served by another process. */
static inline bool virtio_device_is_external(const struct virtio_device *device)
{
	return !device->impl->kick;
}

/* Interrupts the driver if it wants to know of what was pushed on this queue. Lock held. */
void virtio_notify(struct virtio_device *device, unsigned queue);

/* The configuration space changed: a new generation, and an interrupt. Takes the lock. */
void virtio_config_changed(struct virtio_device *device);

/*
 * Gives the device up until the driver resets it, after a broken queue; logs why. No kick is
 * handled until then. Lock held.
 */
void virtio_device_broken(struct virtio_device *device, const char *reason);

/*
 * Gives the device up if this queue is broken. Done after every kick; for devices that pop
 * elsewhere. Lock held.
 */
void virtio_device_check_queue(struct virtio_device *device, unsigned queue);

/* Whether the device works: started and not given up. Lock held. */
static inline bool virtio_device_healthy(const struct virtio_device *device)
{
	return device->started && !(device->status & VIRTIO_STATUS_NEEDS_RESET);
}

#endif
