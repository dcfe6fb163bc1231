/* SPDX-License-Identifier: MIT */
/*
 * A virtio device that answers every request by adding one to each byte: toy-virtio handles its queues itself,
 * toy-virtio-external leaves them to the test, which is then the other process.
 */
#ifndef TESTS_HARNESS_TOY_VIRTIO_H
#define TESTS_HARNESS_TOY_VIRTIO_H

#include "hw/virtio/virtio_pci.h"

#define TOY_VIRTIO_QUEUES 3
#define TOY_VIRTIO_QUEUE_SIZE 128
#define TOY_VIRTIO_FEATURE 5 /* the only bit of its own */
#define TOY_VIRTIO_CONFIG_SIZE 16u

struct toy_virtio {
	struct virtio_pci transport;
	struct virtio_device device;
	uint8_t config[TOY_VIRTIO_CONFIG_SIZE];
	unsigned starts, stops, kicks;
	bool refuse_start;
};

extern const struct device_class toy_virtio_class;
extern const struct device_class toy_virtio_external_class;

#endif
