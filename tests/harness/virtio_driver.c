/* SPDX-License-Identifier: MIT */
#include "tests/harness/virtio_driver.h"

#include "hw/pci/pci_regs.h"

#include <string.h>

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u

static uint64_t bar_base(struct virtio_driver *driver, unsigned bar)
{
	unsigned at = PCI_BAR0 + 4 * bar;
	uint64_t base = fake_config_read(driver->fake, driver->devfn, at, 4);

	if (base & PCI_BAR_MEMORY_TYPE_64) {
		base |= (uint64_t)fake_config_read(driver->fake, driver->devfn, at + 4, 4) << 32;
	}
	return base & ~UINT64_C(15);
}

static void take_capability(struct virtio_driver *driver, unsigned cap)
{
	struct fake_machine *fake = driver->fake;
	unsigned devfn = driver->devfn;
	unsigned id = fake_config_read(fake, devfn, cap, 1);

	if (id == PCI_CAP_ID_MSIX) {
		uint32_t table = fake_config_read(fake, devfn, cap + PCI_MSIX_TABLE, 4);
		driver->msix = cap;
		driver->msix_table = bar_base(driver, table & 7) + (table & ~7u);
	} else if (id == PCI_CAP_ID_VENDOR) {
		unsigned type = fake_config_read(fake, devfn, cap + 3, 1);
		unsigned bar = fake_config_read(fake, devfn, cap + 4, 1);
		assert(type > 0 && type < DRIVER_CAP_COUNT && !driver->capabilities[type]);
		driver->capabilities[type] = cap;
		driver->structures[type] = bar_base(driver, bar) +
					   fake_config_read(fake, devfn, cap + 8, 4);
		if (type == DRIVER_CAP_NOTIFY) {
			driver->notify_multiplier = fake_config_read(fake, devfn, cap + 16, 4);
		}
	}
}

void virtio_driver_init(struct virtio_driver *driver, struct fake_machine *fake, unsigned devfn)
{
	memset(driver, 0, sizeof(*driver));
	driver->fake = fake;
	driver->devfn = devfn;
	assert(fake_config_read(fake, devfn, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
	for (unsigned cap = fake_config_read(fake, devfn, PCI_CAPABILITY_POINTER, 1); cap;
			cap = fake_config_read(fake, devfn, cap + 1, 1)) {
		take_capability(driver, cap);
	}
	for (unsigned i = 1; i < DRIVER_CAP_COUNT; i++) {
		assert(driver->capabilities[i]);
	}
}

uint64_t virtio_driver_common_read(struct virtio_driver *driver, unsigned offset, unsigned size)
{
	return fake_mmio_read(driver->fake, driver->structures[DRIVER_CAP_COMMON] + offset, size);
}

void virtio_driver_common_write(
		struct virtio_driver *driver, unsigned offset, uint64_t value, unsigned size)
{
	fake_mmio_write(driver->fake, driver->structures[DRIVER_CAP_COMMON] + offset, value, size);
}

void virtio_driver_config_read(
		struct virtio_driver *driver, unsigned offset, void *buf, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		((uint8_t *)buf)[i] = (uint8_t)fake_mmio_read(driver->fake,
				driver->structures[DRIVER_CAP_DEVICE] + offset + i, 1);
	}
}

void virtio_driver_config_write(
		struct virtio_driver *driver, unsigned offset, uint64_t value, unsigned size)
{
	fake_mmio_write(driver->fake, driver->structures[DRIVER_CAP_DEVICE] + offset, value, size);
}

uint8_t virtio_driver_status(struct virtio_driver *driver)
{
	return (uint8_t)virtio_driver_common_read(driver, DRIVER_COMMON_STATUS, 1);
}

uint8_t virtio_driver_isr(struct virtio_driver *driver)
{
	return (uint8_t)fake_mmio_read(driver->fake, driver->structures[DRIVER_CAP_ISR], 1);
}

uint64_t virtio_driver_offered(struct virtio_driver *driver)
{
	uint64_t features = 0;

	for (unsigned i = 0; i < 2; i++) {
		virtio_driver_common_write(driver, DRIVER_COMMON_DEVICE_FEATURE_SELECT, i, 4);
		features |= virtio_driver_common_read(driver, DRIVER_COMMON_DEVICE_FEATURE, 4)
			    << (32 * i);
	}
	return features;
}

bool virtio_driver_negotiate(struct virtio_driver *driver, uint64_t features)
{
	virtio_driver_reset(driver);
	virtio_driver_common_write(driver, DRIVER_COMMON_STATUS, STATUS_ACKNOWLEDGE, 1);
	virtio_driver_common_write(
			driver, DRIVER_COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 1);
	features |= BIT(VIRTIO_F_VERSION_1);
	for (unsigned i = 0; i < 2; i++) {
		virtio_driver_common_write(driver, DRIVER_COMMON_FEATURE_SELECT, i, 4);
		virtio_driver_common_write(
				driver, DRIVER_COMMON_FEATURE, (uint32_t)(features >> (32 * i)), 4);
	}
	virtio_driver_common_write(driver, DRIVER_COMMON_STATUS,
			STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK, 1);
	return virtio_driver_status(driver) & STATUS_FEATURES_OK;
}

void virtio_driver_enable_msix(struct virtio_driver *driver, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t entry = driver->msix_table + i * PCI_MSIX_ENTRY_SIZE;
		fake_mmio_write(driver->fake, entry, DRIVER_MSI_ADDRESS, 8);
		fake_mmio_write(driver->fake, entry + 8, DRIVER_MSI_DATA + i, 4);
		fake_mmio_write(driver->fake, entry + 12, 0, 4);
	}
	fake_config_write(driver->fake, driver->devfn, driver->msix + PCI_MSIX_CONTROL,
			PCI_MSIX_CONTROL_ENABLE, 2);
}

static bool msix_on(struct virtio_driver *driver)
{
	return fake_config_read(driver->fake, driver->devfn, driver->msix + PCI_MSIX_CONTROL, 2) &
	       PCI_MSIX_CONTROL_ENABLE;
}

void virtio_driver_setup_queue(
		struct virtio_driver *driver, unsigned index, const struct driver_queue *queue)
{
	const struct virtqueue_config *config = &queue->config;

	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_SELECT, index, 2);
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_SIZE, config->size, 2);
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_DESC, config->desc, 8);
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_DRIVER, (uint32_t)config->avail, 4);
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_DRIVER + 4, config->avail >> 32, 4);
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_DEVICE, config->used, 8);
	if (msix_on(driver)) {
		virtio_driver_common_write(
				driver, DRIVER_COMMON_CONFIG_VECTOR, DRIVER_CONFIG_VECTOR, 2);
		virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_VECTOR, index + 1, 2);
	}
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_ENABLE, 1, 2);
}

void virtio_driver_ok(struct virtio_driver *driver)
{
	uint8_t status = virtio_driver_status(driver);

	virtio_driver_common_write(driver, DRIVER_COMMON_STATUS, status | STATUS_DRIVER_OK, 1);
}

void virtio_driver_reset(struct virtio_driver *driver)
{
	virtio_driver_common_write(driver, DRIVER_COMMON_STATUS, 0, 1);
	assert(virtio_driver_status(driver) == 0);
}

void virtio_driver_kick(struct virtio_driver *driver, unsigned queue)
{
	virtio_driver_common_write(driver, DRIVER_COMMON_QUEUE_SELECT, queue, 2);
	uint64_t offset = virtio_driver_common_read(driver, DRIVER_COMMON_QUEUE_NOTIFY_OFF, 2) *
			  driver->notify_multiplier;
	fake_mmio_write(driver->fake, driver->structures[DRIVER_CAP_NOTIFY] + offset, queue, 2);
}

void virtio_driver_wait(struct virtio_driver *driver, unsigned queue)
{
	struct fake_msi msi = fake_machine_wait_msi(driver->fake);

	assert(msi.address == DRIVER_MSI_ADDRESS && msi.data == DRIVER_MSI_DATA + queue + 1);
}
