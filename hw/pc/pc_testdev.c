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

/* A range that keeps what was written. */
struct window {
	struct io_region region;
	GMutex *lock;
	uint8_t *bytes; /* guarded by lock */
};

struct pc_testdev {
	struct device base;
	struct machine *machine;
	struct window latch_port, byte_latch_port, registers_window;
	struct io_region flush_port, input_port;
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

static uint64_t window_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct window *window = container_of(region, struct window, region);

	g_mutex_lock(window->lock);
	uint64_t value = le_load(window->bytes + offset, size);
	g_mutex_unlock(window->lock);
	return value;
}

static void window_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct window *window = container_of(region, struct window, region);

	g_mutex_lock(window->lock);
	le_store(window->bytes + offset, value, size);
	g_mutex_unlock(window->lock);
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

static void add_window(struct pc_testdev *testdev, struct window *window,
		struct address_space *space, uint64_t address, struct io_region region)
{
	region.read = window_read;
	region.write = window_write;
	window->region = region;
	window->lock = &testdev->lock;
	address_space_add(space, address, &window->region);
}

static void add_windows(struct pc_testdev *testdev)
{
	struct address_space *ports = testdev->machine->ports;
	const uint64_t latch_size = sizeof(testdev->latch);

	testdev->latch_port.bytes = testdev->byte_latch_port.bytes = testdev->latch;
	testdev->registers_window.bytes = testdev->registers;
	add_window(testdev, &testdev->latch_port, ports, LATCH_PORT,
			(struct io_region){.name = "testdev-latch", .size = latch_size});
	add_window(testdev, &testdev->byte_latch_port, ports, BYTE_LATCH_PORT,
			(struct io_region){.name = "testdev-byte-latch",
					.size = latch_size,
					.byte_wide = true});
	add_window(testdev, &testdev->registers_window, testdev->machine->memory, REGISTERS_BASE,
			(struct io_region){.name = "testdev-registers", .size = REGISTERS_SIZE});
}

static void add_ports(struct pc_testdev *testdev)
{
	struct address_space *ports = testdev->machine->ports;

	testdev->flush_port = (struct io_region){.name = "testdev-flush",
			.size = 4,
			.read = nothing_read,
			.write = flush_write};
	testdev->input_port = (struct io_region){.name = "testdev-inputs",
			.size = MACHINE_GSI_COUNT,
			.byte_wide = true,
			.read = nothing_read,
			.write = input_write};
	address_space_add(ports, FLUSH_PORT, &testdev->flush_port);
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
	add_windows(testdev);
	add_ports(testdev);
	return true;
}

static void testdev_unrealize(struct device *device)
{
	struct pc_testdev *testdev = testdev_of(device);

	address_space_remove(&testdev->latch_port.region);
	address_space_remove(&testdev->flush_port);
	address_space_remove(&testdev->byte_latch_port.region);
	address_space_remove(&testdev->input_port);
	address_space_remove(&testdev->registers_window.region);
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
