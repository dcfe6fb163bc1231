/* SPDX-License-Identifier: MIT */
/*
 * The ports and the memory of QEMU's device of the same name, as kvm-unit-tests use them:
 *
 * 0xe0-0xe3 four bytes that keep what was written, at any width
 * 0xe4 (four bytes) the page at this guest-physical address leaves the host's page tables; it keeps
 *   its contents and comes back with the next access
 * 0xe8-0xeb the bytes of 0xe0 again, on a bus of eight bits
 * 0x2000-0x2017 the level of interrupt input 0-23
 * 0xff000000-0xff00ffff 64 KiB of registers that keep what was written
 */
#include "hw/pc/pc_testdev.h"

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "hw/pc/machine.h"

#include <inttypes.h>
#include <sys/mman.h>

#define LATCH_PORT 0xe0
#define FLUSH_PORT 0xe4
#define BYTE_LATCH_PORT 0xe8
#define INPUT_PORT 0x2000
#define REGISTERS_BASE UINT64_C(0xff000000)
#define REGISTERS_SIZE (64 * KiB)

struct pc_testdev {
	struct device base;
	struct machine *machine;
	struct io_region latch_port, flush_port, byte_latch_port, input_port, registers_window;
	struct machine_line inputs[MACHINE_GSI_COUNT];
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint8_t latch[4];
	uint8_t registers[REGISTERS_SIZE];
};

static struct pc_testdev *testdev_of(struct device *device)
{
	assert(device->device_class == &pc_testdev_class);
	return container_of(device, struct pc_testdev, base);
}

static uint64_t load(struct pc_testdev *testdev, const uint8_t *at, unsigned size)
{
	g_mutex_lock(&testdev->lock);
	uint64_t value = le_load(at, size);
	g_mutex_unlock(&testdev->lock);
	return value;
}

static void store(struct pc_testdev *testdev, uint8_t *at, uint64_t value, unsigned size)
{
	g_mutex_lock(&testdev->lock);
	le_store(at, value, size);
	g_mutex_unlock(&testdev->lock);
}

static uint64_t latch_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, latch_port);

	return load(testdev, testdev->latch + offset, size);
}

static void latch_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, latch_port);

	store(testdev, testdev->latch + offset, value, size);
}

static uint64_t byte_latch_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, byte_latch_port);

	return load(testdev, testdev->latch + offset, size);
}

static void byte_latch_write(
		struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, byte_latch_port);

	store(testdev, testdev->latch + offset, value, size);
}

static uint64_t registers_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, registers_window);

	return load(testdev, testdev->registers + offset, size);
}

static void registers_write(
		struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, registers_window);

	store(testdev, testdev->registers + offset, value, size);
}

/* What only takes writes. */
static uint64_t nothing_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return UINT64_MAX;
}

static void flush_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, flush_port);
	uint64_t page = value & ~(GUEST_PAGE_SIZE - 1);
	struct guest_mapping mapping;

	if (offset != 0 || size != 4) {
		guest_error("pc-testdev: port 0x%x takes four bytes", FLUSH_PORT);
		return;
	}
	if (!guest_memory_map(testdev->machine->ram, page, GUEST_PAGE_SIZE, GUEST_READ, &mapping)) {
		guest_error("pc-testdev: 0x%" PRIx64 " is not RAM", page);
		return;
	}
	/*
	 * RAM is a file that is mapped shared, so this forgets where the page is, not what is in
	 * it: another thread may use it meanwhile. Best effort; tests do not see it fail.
	 */
	(void)madvise(mapping.host, GUEST_PAGE_SIZE, MADV_DONTNEED);
	guest_mapping_unmap(testdev->machine->ram, &mapping, 0);
}

static void input_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pc_testdev *testdev = container_of(region, struct pc_testdev, input_port);
	(void)size;

	machine_line_set(&testdev->inputs[offset], value != 0);
}

static void add_ports(struct pc_testdev *testdev)
{
	struct address_space *ports = testdev->machine->ports;

	testdev->latch_port = (struct io_region){.name = "testdev-latch",
			.size = sizeof(testdev->latch),
			.read = latch_read,
			.write = latch_write};
	testdev->flush_port = (struct io_region){.name = "testdev-flush",
			.size = 4,
			.read = nothing_read,
			.write = flush_write};
	testdev->byte_latch_port = (struct io_region){.name = "testdev-byte-latch",
			.size = sizeof(testdev->latch),
			.byte_wide = true,
			.read = byte_latch_read,
			.write = byte_latch_write};
	testdev->input_port = (struct io_region){.name = "testdev-inputs",
			.size = MACHINE_GSI_COUNT,
			.byte_wide = true,
			.read = nothing_read,
			.write = input_write};
	address_space_add(ports, LATCH_PORT, &testdev->latch_port);
	address_space_add(ports, FLUSH_PORT, &testdev->flush_port);
	address_space_add(ports, BYTE_LATCH_PORT, &testdev->byte_latch_port);
	address_space_add(ports, INPUT_PORT, &testdev->input_port);
}

static bool testdev_realize(struct device *device, struct machine *machine, GError **error)
{
	struct pc_testdev *testdev = testdev_of(device);
	(void)error;

	testdev->machine = machine;
	g_mutex_init(&testdev->lock);
	for (unsigned i = 0; i < MACHINE_GSI_COUNT; i++) {
		testdev->inputs[i] = (struct machine_line){.machine = machine, .gsi = i};
	}
	add_ports(testdev);
	testdev->registers_window = (struct io_region){.name = "testdev-registers",
			.size = REGISTERS_SIZE,
			.read = registers_read,
			.write = registers_write};
	address_space_add(machine->memory, REGISTERS_BASE, &testdev->registers_window);
	return true;
}

static void testdev_unrealize(struct device *device)
{
	struct pc_testdev *testdev = testdev_of(device);

	address_space_remove(&testdev->latch_port);
	address_space_remove(&testdev->flush_port);
	address_space_remove(&testdev->byte_latch_port);
	address_space_remove(&testdev->input_port);
	address_space_remove(&testdev->registers_window);
	g_mutex_clear(&testdev->lock);
}

static void testdev_reset(struct device *device)
{
	struct pc_testdev *testdev = testdev_of(device);

	g_mutex_lock(&testdev->lock);
	memset(testdev->latch, 0, sizeof(testdev->latch));
	memset(testdev->registers, 0, sizeof(testdev->registers));
	g_mutex_unlock(&testdev->lock);
	for (unsigned i = 0; i < MACHINE_GSI_COUNT; i++) {
		machine_line_set(&testdev->inputs[i], false);
	}
}

const struct device_class pc_testdev_class = {
		.name = "pc-testdev",
		.description = "ports, registers and interrupts for test suites",
		.bus = "isa",
		.size = sizeof(struct pc_testdev),
		.realize = testdev_realize,
		.unrealize = testdev_unrealize,
		.reset = testdev_reset,
};
