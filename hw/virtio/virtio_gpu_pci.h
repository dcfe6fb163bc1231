/* SPDX-License-Identifier: MIT */
/* virtio-gpu-pci and virtio-gpu-gl-pci: the guest's side of the picture. */
#ifndef HW_VIRTIO_VIRTIO_GPU_PCI_H
#define HW_VIRTIO_VIRTIO_GPU_PCI_H

#include "core/virtio/virtio_gpu.h"
#include "hw/pc/machine.h"
#include "hw/virtio/picture.h"
#include "hw/virtio/vhost_user_frontend.h"
#include "hw/virtio/virtio_pci.h"

/* Where input and the window's end go. Main thread; members may be NULL. */
struct virtio_gpu_host {
	void (*input)(struct virtio_gpu_host *host, const struct control_input *input);
	void (*closed)(struct virtio_gpu_host *host);
	void (*failed)(struct virtio_gpu_host *host); /* the picture could not start */
};

struct virtio_gpu_pci {
	struct virtio_pci transport;
	struct virtio_device device;

	struct {
		uint32_t max_outputs;
		uint32_t xres, yres; /* pixels */
		bool edid;
		uint64_t max_hostmem; /* bytes */
		uint32_t max_contexts, max_resources;
		uint64_t max_request, max_shader; /* bytes */
		uint32_t hang_time; /* milliseconds */
	} config;

	struct picture *picture;
	struct picture_events picture_events;
	struct virtio_gpu_host *host;
	struct vhost_user_frontend *frontend;
	struct vhost_user_frontend_events frontend_events;
	struct external_writer writer;
	uint64_t generation; /* the process the front end is connected to; guarded by device.lock */
	uint64_t rings_generation; /* the process that has the rings; guarded by device.lock */
	struct virtio_gpu_config space; /* last known configuration space; guarded by device.lock */
	gint space_stale; /* it may have changed since; atomic */
};

extern const struct device_class virtio_gpu_pci_class, virtio_gpu_gl_pci_class;

/* Whether the device is one of the two above. */
bool device_is_virtio_gpu(const struct device *device);

/*
 * Starts the process that serves the device; before realize, and as early as possible: it gets
 * ready while the machine is built.
 */
bool virtio_gpu_pci_start_picture(struct virtio_gpu_pci *gpu, const char *program,
		const char *const *arguments, struct virtio_gpu_host *host, GError **error);

#endif
