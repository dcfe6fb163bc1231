/* SPDX-License-Identifier: MIT */
/*
 * Keyboard and tablet, virtio-keyboard-pci and virtio-tablet-pci (virtio 1.3, 5.8). Events are
 * handed to the guest in frames, which end with a sync: a whole frame or nothing of it.
 */
#ifndef HW_VIRTIO_VIRTIO_INPUT_PCI_H
#define HW_VIRTIO_VIRTIO_INPUT_PCI_H

#include "hw/virtio/virtio_pci.h"

#define VIRTIO_INPUT_MAX_FRAME 32u /* events, the sync included */
#define VIRTIO_INPUT_ABS_MAX 0x7fff

/* As struct control_input (core/virtio/control.h) has it. */
enum virtio_input_kind {
	VIRTIO_INPUT_KEY, /* code KEY_* or BTN_*, value 1 down, 0 up */
	VIRTIO_INPUT_ABS, /* code ABS_X or ABS_Y, value 0..VIRTIO_INPUT_ABS_MAX */
	VIRTIO_INPUT_REL, /* code REL_WHEEL or REL_HWHEEL */
	VIRTIO_INPUT_SYNC, /* the frame is complete */
};

struct virtio_input_event {
	uint16_t type; /* EV_* */
	uint16_t code;
	uint32_t value;
};
_Static_assert(sizeof(struct virtio_input_event) == 8, "virtio 5.8.6");

struct virtio_input_pci {
	struct virtio_pci transport;
	struct virtio_device device;
	const struct virtio_input_model *model;

	/* guarded by device.lock */
	uint8_t select, subsel; /* guest-visible */
	struct virtio_input_event frame[VIRTIO_INPUT_MAX_FRAME];
	unsigned frame_count;
	bool frame_overflow; /* it does not fit: none of it is sent */
	/* Buffers taken for a frame that could not be sent; the next one uses them first. */
	struct virtqueue_element *spare[VIRTIO_INPUT_MAX_FRAME];
	unsigned spare_count;
	uint64_t dropped; /* frames */
};

extern const struct device_class virtio_keyboard_pci_class;
extern const struct device_class virtio_tablet_pci_class;

bool device_is_virtio_input(const struct device *device);

/*
 * Adds an event to the current frame, or ends and sends it. What the device has not (a keyboard has
 * no axes) it leaves out, so that every event may go to every device. Any thread; one at a time.
 */
void virtio_input_send(
		struct device *device, enum virtio_input_kind kind, uint16_t code, int32_t value);

#endif
