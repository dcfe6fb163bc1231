/* SPDX-License-Identifier: MIT */
/*
 * What a guest's virtio-pci driver does, for tests: finds the capabilities in configuration space, negotiates, sets queues
 * and MSI-X up, kicks. Everything goes through configuration cycles and BARs.
 */
#ifndef TESTS_HARNESS_VIRTIO_DRIVER_H
#define TESTS_HARNESS_VIRTIO_DRIVER_H

#include "tests/harness/driver_queue.h"
#include "tests/harness/fake_machine.h"

/* struct virtio_pci_common_cfg, virtio 1.3 4.1.4.3. */
enum {
	DRIVER_COMMON_DEVICE_FEATURE_SELECT = 0,
	DRIVER_COMMON_DEVICE_FEATURE = 4,
	DRIVER_COMMON_FEATURE_SELECT = 8,
	DRIVER_COMMON_FEATURE = 12,
	DRIVER_COMMON_CONFIG_VECTOR = 16,
	DRIVER_COMMON_NUM_QUEUES = 18,
	DRIVER_COMMON_STATUS = 20,
	DRIVER_COMMON_GENERATION = 21,
	DRIVER_COMMON_QUEUE_SELECT = 22,
	DRIVER_COMMON_QUEUE_SIZE = 24,
	DRIVER_COMMON_QUEUE_VECTOR = 26,
	DRIVER_COMMON_QUEUE_ENABLE = 28,
	DRIVER_COMMON_QUEUE_NOTIFY_OFF = 30,
	DRIVER_COMMON_QUEUE_DESC = 32,
	DRIVER_COMMON_QUEUE_DRIVER = 40,
	DRIVER_COMMON_QUEUE_DEVICE = 48,
};

/* Capability types, 4.1.4. */
enum {
	DRIVER_CAP_COMMON = 1,
	DRIVER_CAP_NOTIFY,
	DRIVER_CAP_ISR,
	DRIVER_CAP_DEVICE,
	DRIVER_CAP_PCI,
	DRIVER_CAP_COUNT,
};

#define DRIVER_MSI_ADDRESS UINT64_C(0xfee00000)
#define DRIVER_MSI_DATA 0x40u /* vector n sends DRIVER_MSI_DATA + n */
#define DRIVER_CONFIG_VECTOR 0u /* queue n has vector n + 1 */

struct virtio_driver {
	struct fake_machine *fake;
	unsigned devfn;
	unsigned capabilities[DRIVER_CAP_COUNT]; /* offsets in configuration space; 0: none */
	uint64_t structures[DRIVER_CAP_COUNT]; /* guest-physical */
	unsigned msix; /* the capability */
	uint64_t msix_table; /* guest-physical */
	uint32_t notify_multiplier;
};

/* Finds everything; BARs have been assigned. */
void virtio_driver_init(struct virtio_driver *driver, struct fake_machine *fake, unsigned devfn);

uint64_t virtio_driver_common_read(struct virtio_driver *driver, unsigned offset, unsigned size);
void virtio_driver_common_write(
		struct virtio_driver *driver, unsigned offset, uint64_t value, unsigned size);
void virtio_driver_config_read(
		struct virtio_driver *driver, unsigned offset, void *buf, unsigned len);
void virtio_driver_config_write(
		struct virtio_driver *driver, unsigned offset, uint64_t value, unsigned size);
uint8_t virtio_driver_status(struct virtio_driver *driver);
uint8_t virtio_driver_isr(struct virtio_driver *driver);

uint64_t virtio_driver_offered(struct virtio_driver *driver);
/* Reset, acknowledge, these features and VERSION_1, FEATURES_OK; whether that stuck. */
bool virtio_driver_negotiate(struct virtio_driver *driver, uint64_t features);

/* Unmasks count vectors and switches MSI-X on. */
void virtio_driver_enable_msix(struct virtio_driver *driver, unsigned count);

/* Gives the device a queue that was laid out; vectors as above if MSI-X is on. */
void virtio_driver_setup_queue(
		struct virtio_driver *driver, unsigned index, const struct driver_queue *queue);
void virtio_driver_ok(struct virtio_driver *driver);
void virtio_driver_reset(struct virtio_driver *driver);
void virtio_driver_kick(struct virtio_driver *driver, unsigned queue);

/* Waits for the interrupt of a queue: its MSI. */
void virtio_driver_wait(struct virtio_driver *driver, unsigned queue);

#endif
