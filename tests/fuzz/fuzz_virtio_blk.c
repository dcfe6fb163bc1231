/* SPDX-License-Identifier: MIT */
/*
 * A guest that does anything to a disk: configuration cycles, registers, MSI-X tables, rings and requests, some of them as
 * a driver would. Input: operations of one byte and their arguments. Requests run on the disk's own threads meanwhile.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/thread.h"
#include "hw/pci/pci_regs.h"
#include "hw/virtio/virtio_blk_pci.h"
#include "tests/fuzz/fuzz.h"
#include "tests/harness/virtio_driver.h"

#define RAM_SIZE UINT64_C(0x20000)
#define RINGS UINT64_C(0x1000)
#define RING_SIZE 8
#define REQUESTS UINT64_C(0x4000) /* headers and ranges, then data and status bytes */
#define IMAGE_SIZE UINT64_C(0x30000)
#define SLOT PCI_DEVFN(3, 0)

struct target {
	struct fake_machine *fake;
	struct device *device;
	struct virtio_driver driver;
	struct driver_queue queue;
};

static struct block *open_image(void)
{
	struct block_options options;
	int fd = memfd_create_sized("image", IMAGE_SIZE, NULL);

	assert(fd >= 0);
	properties_set_defaults(&options, block_properties);
	options.file = g_strdup_printf("/proc/self/fd/%d", fd);
	options.discard = BLOCK_DISCARD_UNMAP;
	options.snapshot = true;
	struct block *block = block_open(&options, NULL);
	properties_clear(&options, block_properties);
	fd_close(&fd);
	assert(block);
	return block;
}

static struct target *target_once(void)
{
	static struct target target;

	if (!target.fake) {
		thread_register();
		/* What it says about bad guests is of no interest here. */
		bool ok = log_set_file("/dev/null", true, NULL);
		target.fake = fake_machine_create(RAM_SIZE);
		target.device = fake_machine_device(
				&virtio_blk_pci_class, "addr", "3", "serial", "fuzz", NULL);
		virtio_blk_pci_set_block(target.device, open_image());
		ok = ok && device_realize(target.device, &target.fake->machine, NULL);
		assert(ok);
	}
	return &target;
}

static unsigned take_size(struct fuzz_input *input, unsigned largest)
{
	unsigned size = 1u << (fuzz_take8(input) & 3);

	return MIN(size, largest);
}

static uint64_t take_value(struct fuzz_input *input)
{
	uint64_t value = fuzz_take16(input);

	switch (value >> 12) {
	case 0xf:
		return UINT64_MAX - (value & 0xff);
	case 0xe:
		return value << 32 | value;
	default:
		return value;
	}
}

/* Up to DRIVER_OK, as a driver does it. */
static void bring_up(struct target *target, struct fuzz_input *input)
{
	uint64_t features = fuzz_take16(input) & 0x7fff;

	device_reset(target->device);
	fake_machine_assign(target->fake);
	virtio_driver_init(&target->driver, target->fake, SLOT);
	features &= virtio_driver_offered(&target->driver);
	if (fuzz_take8(input) & 1) {
		features |= BIT(VIRTIO_F_RING_EVENT_IDX) | BIT(VIRTIO_F_RING_INDIRECT_DESC);
	}
	bool ok = virtio_driver_negotiate(&target->driver, features);
	assert(ok);
	virtio_driver_enable_msix(&target->driver, 2);
	driver_queue_init(&target->queue, target->fake->machine.ram, RINGS, RING_SIZE);
	virtio_driver_setup_queue(&target->driver, 0, &target->queue);
	virtio_driver_ok(&target->driver);
}

static void write_desc(struct target *target, struct fuzz_input *input)
{
	unsigned index = fuzz_take8(input) % (2 * RING_SIZE); /* the ring, or a table behind it */
	uint64_t addr = take_value(input);
	uint32_t len = (uint32_t)take_value(input);
	uint16_t flags = fuzz_take8(input) & 7, next = fuzz_take8(input) % 16;

	driver_table_write_desc(target->fake->machine.ram, index < RING_SIZE ? RINGS : REQUESTS,
			index % RING_SIZE, addr, len, flags, next);
}

/* A request with its parts in their places. */
static void queue_request(struct target *target, struct fuzz_input *input)
{
	const struct virtio_blk_header header = {
			.type = fuzz_take8(input) & 15, .sector = take_value(input) % 512};
	uint32_t data_len = fuzz_take8(input) * 256u;
	const struct virtio_blk_range range = {.sector = take_value(input),
			.num_sectors = (uint32_t)take_value(input),
			.flags = fuzz_take8(input) & 3};
	uint64_t data = REQUESTS + 0x1000;

	/* Nobody waits for answers: descriptors are used again, answered or not. */
	if (target->queue.free_count < 3) {
		for (uint16_t i = 0; i < RING_SIZE; i++) {
			target->queue.free[i] = i;
		}
		target->queue.free_count = RING_SIZE;
	}
	fake_write(target->fake, REQUESTS + 0x800, &header, sizeof(header));
	fake_write(target->fake, data, &range, sizeof(range));
	const bool in = header.type == VIRTIO_BLK_T_IN || header.type == VIRTIO_BLK_T_GET_ID;
	const struct driver_buffer buffers[] = {{REQUESTS + 0x800, sizeof(header), false},
			{data, data_len ? data_len : sizeof(range), in}, {REQUESTS, 1, true}};
	driver_queue_add(&target->queue, buffers, G_N_ELEMENTS(buffers));
}

static void kick(struct target *target)
{
	const struct virtio_blk_pci *blk = container_of(
			target->device, struct virtio_blk_pci, transport.pci.base);

	eventfd_signal(blk->device.queues[0].kick_fd);
	g_thread_yield();
}

static void operate(struct target *target, struct fuzz_input *input)
{
	struct fake_machine *fake = target->fake;
	const uint8_t operation = fuzz_take8(input);
	const uint16_t where = fuzz_take16(input);
	uint64_t value;
	unsigned size;

	switch (operation % 13) {
	case 0:
		size = take_size(input, 4);
		fake_config_write(fake, SLOT, where % 256 & ~(size - 1),
				(uint32_t)take_value(input), size);
		break;
	case 1:
		size = take_size(input, 4);
		(void)fake_config_read(fake, SLOT, where % PCIE_CONFIG_SIZE & ~(size - 1), size);
		break;
	case 2:
		fake_mmio_write(fake, target->driver.structures[DRIVER_CAP_COMMON] + where % 64,
				take_value(input), take_size(input, 8));
		break;
	case 3:
		fake_mmio_write(fake, target->driver.structures[DRIVER_CAP_COMMON] + where % 0x4000,
				take_value(input), take_size(input, 8));
		break;
	case 4:
		(void)fake_mmio_read(fake,
				target->driver.structures[DRIVER_CAP_COMMON] + where % 0x4000,
				take_size(input, 8));
		break;
	case 5:
		fake_mmio_write(fake, target->driver.msix_table + where % 0x1000, take_value(input),
				take_size(input, 8));
		break;
	case 6:
		value = take_value(input);
		(void)guest_memory_write(
				fake->machine.ram, where % RAM_SIZE, &value, take_size(input, 8));
		break;
	case 7:
		write_desc(target, input);
		break;
	case 8:
		driver_queue_make_available(&target->queue, where % RING_SIZE);
		break;
	case 9:
		bring_up(target, input);
		break;
	case 10:
		kick(target);
		break;
	default:
		queue_request(target, input);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	struct target *target = target_once();

	bring_up(target, &input);
	for (unsigned i = 0; i < 256 && input.left > 0; i++) {
		operate(target, &input);
	}
	device_reset(target->device);
	struct fake_msi msi;
	while (fake_machine_take_msi(target->fake, &msi)) {
	}
	return 0;
}
