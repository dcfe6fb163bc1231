/* SPDX-License-Identifier: MIT */
/*
 * The disk, virtio-blk-pci. Requests are carried out on an I/O thread of its own and complete in
 * any order; what fails on the host fails in the guest (VIRTIO_BLK_S_IOERR) and nothing else does.
 */
#ifndef HW_VIRTIO_VIRTIO_BLK_PCI_H
#define HW_VIRTIO_VIRTIO_BLK_PCI_H

#include "core/block/block.h"
#include "hw/virtio/virtio_blk.h"
#include "hw/virtio/virtio_pci.h"

struct io_thread;

struct virtio_blk_pci {
	struct virtio_pci transport;
	struct virtio_device device;

	struct {
		char *drive; /* id of the block object; main's to look up */
		char *serial; /* may be NULL */
		uint32_t logical_block_size, physical_block_size; /* bytes */
		bool write_cache, discard, write_zeroes;
	} config;

	struct block *block; /* borrowed */
	struct io_thread *thread;
	GSource *done_source;

	/* guarded by device.lock */
	struct block_queue *queue;
	bool writeback; /* what the driver chose; guest-visible */
	bool quiesced;
};

extern const struct device_class virtio_blk_pci_class;

/* Before realize. block stays the caller's and must outlive the realized device. */
void virtio_blk_pci_set_block(struct device *device, struct block *block);

/* NULL: none was set. */
struct block *virtio_blk_pci_block(const struct device *device);

/* Property drive=, NULL if it was not given. */
const char *virtio_blk_pci_drive(const struct device *device);

#endif
