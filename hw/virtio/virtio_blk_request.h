/* SPDX-License-Identifier: MIT */
/* Requests of a virtio block device, from chain to status byte; virtio_blk_pci.c's. */
#ifndef HW_VIRTIO_VIRTIO_BLK_REQUEST_H
#define HW_VIRTIO_VIRTIO_BLK_REQUEST_H

#include "hw/virtio/virtio_blk_pci.h"

#define VIRTIO_BLK_MAX_DISCARD_SECTORS 0x200000u
#define VIRTIO_BLK_MAX_ZEROES_SECTORS 0x40000u /* a host without a quick way writes them */

/* Sectors the guest sees: whole logical blocks. */
uint64_t virtio_blk_capacity(const struct virtio_blk_pci *blk);

/*
 * Carries the request out or submits it; takes the element. False if the chain has no place for a
 * status: the device is broken then. Lock held.
 */
bool virtio_blk_request_start(struct virtio_blk_pci *blk, struct virtqueue_element *take_element);

#endif
