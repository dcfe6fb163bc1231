/* SPDX-License-Identifier: MIT */
/* The entropy device, virtio-rng-pci (virtio 1.3, 5.4): random bytes of the host's kernel. */
#ifndef HW_VIRTIO_VIRTIO_RNG_PCI_H
#define HW_VIRTIO_VIRTIO_RNG_PCI_H

#include "hw/virtio/virtio_pci.h"

struct virtio_rng_pci {
	struct virtio_pci transport;
	struct virtio_device device;
};

extern const struct device_class virtio_rng_pci_class;

#endif
