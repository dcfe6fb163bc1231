/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI, modern only (virtio 1.3, 4.1): MSI-X in BAR 1, the register structures in a BAR
 * of 16 KiB (BAR 4 unless the device wants it elsewhere). Embedded first in every virtio-*-pci
 * device.
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_H
#define HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

struct virtio_pci {
	struct pci_device pci;
	struct virtio_device *device;
	struct io_region registers;
	unsigned access_capability; /* VIRTIO_PCI_CAP_PCI_CFG's offset */

	/* guest-visible; guarded by device->lock */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t isr;
};

/* class_code: 24 bits. device was initialized with virtio_device_init(). */
bool virtio_pci_realize(struct virtio_pci *transport, struct machine *machine,
		struct virtio_device *device, uint32_t class_code, GError **error);
void virtio_pci_unrealize(struct virtio_pci *transport);
void virtio_pci_reset(struct virtio_pci *transport);

#endif
