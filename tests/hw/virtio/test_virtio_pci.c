/* SPDX-License-Identifier: MIT */
#include "hw/virtio/virtio_pci.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "hw/pci/pci_regs.h"
#include "tests/harness/test.h"
#include "tests/harness/toy_virtio.h"
#include "tests/harness/virtio_driver.h"

#include <string.h>

#define SLOT PCI_DEVFN(3, 0)
#define GSI (16 + 3)
#define RINGS 0x10000u
#define RINGS_STEP 0x10000u
#define DATA 0x80000u
#define RING_SIZE 16
#define REGISTER_BAR 4
#define REGISTERS_SIZE 0x4000u
#define NEEDS_RESET 64u

struct fixture {
	struct fake_machine *fake;
	struct toy_virtio *toy;
	struct virtio_driver driver;
	struct driver_queue queues[TOY_VIRTIO_QUEUES];
};

static struct fixture *setup_class(const struct device_class *device_class)
{
	struct fixture *f = g_new0(struct fixture, 1);
	struct device *device = fake_machine_device(device_class, "addr", "3", NULL);

	f->fake = fake_machine_create(MiB);
	assert_true(device_realize(device, &f->fake->machine, NULL));
	device_reset(device);
	f->toy = container_of(device, struct toy_virtio, transport.pci.base);
	fake_machine_assign(f->fake);
	virtio_driver_init(&f->driver, f->fake, SLOT);
	return f;
}

static int setup(void **state)
{
	*state = setup_class(&toy_virtio_class);
	return 0;
}

static int setup_external(void **state)
{
	*state = setup_class(&toy_virtio_external_class);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->toy ? &f->toy->transport.pci.base : NULL);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static uint64_t get(struct fixture *f, unsigned offset, unsigned size)
{
	return virtio_driver_common_read(&f->driver, offset, size);
}

static void set(struct fixture *f, unsigned offset, uint64_t value, unsigned size)
{
	virtio_driver_common_write(&f->driver, offset, value, size);
}

static void setup_queues(struct fixture *f)
{
	for (unsigned i = 0; i < TOY_VIRTIO_QUEUES; i++) {
		driver_queue_init(&f->queues[i], f->fake->machine.ram, RINGS + i * RINGS_STEP,
				RING_SIZE);
		virtio_driver_setup_queue(&f->driver, i, &f->queues[i]);
	}
}

static void bring_up(struct fixture *f, bool msix)
{
	assert_true(virtio_driver_negotiate(&f->driver, BIT(TOY_VIRTIO_FEATURE)));
	if (msix) {
		virtio_driver_enable_msix(&f->driver, TOY_VIRTIO_QUEUES + 1);
	}
	setup_queues(f);
	virtio_driver_ok(&f->driver);
}

/* One turn of the loop that handles kicks, if there is something to handle. */
static void turn(void)
{
	while (g_main_context_iteration(NULL, FALSE)) {
	}
}

static void add_request(struct fixture *f, unsigned queue)
{
	const struct driver_buffer buffer = {DATA, 4, true};

	driver_queue_add(&f->queues[queue], &buffer, 1);
}

static bool answered(struct fixture *f, unsigned queue)
{
	uint32_t head, len;

	return driver_queue_take_used(&f->queues[queue], &head, &len);
}

static void expect_msi(struct fixture *f, unsigned vector)
{
	struct fake_msi msi = {0};

	assert_true(fake_machine_take_msi(f->fake, &msi));
	assert_int_equal(msi.data, DRIVER_MSI_DATA + vector);
}

static void expect_no_msi(struct fixture *f)
{
	struct fake_msi msi;

	assert_false(fake_machine_take_msi(f->fake, &msi));
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_config_read(f->fake, SLOT, PCI_VENDOR_ID, 4), 0x106a1af4);
	assert_int_equal(fake_config_read(f->fake, SLOT, PCI_REVISION_ID, 1), 1);
	assert_int_equal(get(f, DRIVER_COMMON_NUM_QUEUES, 2), TOY_VIRTIO_QUEUES);
	assert_int_equal(virtio_driver_offered(&f->driver),
			BIT(TOY_VIRTIO_FEATURE) | BIT(VIRTIO_F_VERSION_1) |
					BIT(VIRTIO_F_RING_INDIRECT_DESC) |
					BIT(VIRTIO_F_RING_EVENT_IDX));
	set(f, DRIVER_COMMON_DEVICE_FEATURE_SELECT, 2, 4);
	assert_int_equal(get(f, DRIVER_COMMON_DEVICE_FEATURE, 4), 0);
	set(f, DRIVER_COMMON_DEVICE_FEATURE_SELECT, UINT32_MAX, 4);
	assert_int_equal(get(f, DRIVER_COMMON_DEVICE_FEATURE, 4), 0);
	assert_int_equal(get(f, DRIVER_COMMON_DEVICE_FEATURE_SELECT, 4), UINT32_MAX);
}

static void test_features(void **state)
{
	struct fixture *f = *state;

	assert_true(virtio_driver_negotiate(&f->driver, BIT(TOY_VIRTIO_FEATURE)));
	assert_int_equal(f->toy->device.negotiated,
			BIT(TOY_VIRTIO_FEATURE) | BIT(VIRTIO_F_VERSION_1));
	/* settled: no later change */
	set(f, DRIVER_COMMON_FEATURE_SELECT, 0, 4);
	set(f, DRIVER_COMMON_FEATURE, 0, 4);
	assert_int_equal(get(f, DRIVER_COMMON_FEATURE, 4), BIT(TOY_VIRTIO_FEATURE));
	/* what was not offered */
	assert_false(virtio_driver_negotiate(&f->driver, BIT(6)));
	assert_false(virtio_driver_negotiate(&f->driver, BIT(VIRTIO_F_ACCESS_PLATFORM)));
	/* a selector without bits */
	virtio_driver_reset(&f->driver);
	set(f, DRIVER_COMMON_FEATURE_SELECT, 2, 4);
	set(f, DRIVER_COMMON_FEATURE, UINT32_MAX, 4);
	assert_int_equal(f->toy->device.negotiated, 0);
	/* a legacy driver */
	set(f, DRIVER_COMMON_STATUS, 3, 1);
	set(f, DRIVER_COMMON_STATUS, 11, 1);
	assert_int_equal(virtio_driver_status(&f->driver), 3);
}

static void test_queue_registers(void **state)
{
	static const uint16_t bad_sizes[] = {0, 3, 129, 256, 0x8000, 0xffff};
	struct fixture *f = *state;

	assert_true(virtio_driver_negotiate(&f->driver, 0));
	set(f, DRIVER_COMMON_QUEUE_SELECT, 1, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_SIZE, 2), TOY_VIRTIO_QUEUE_SIZE);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_sizes); i++) {
		set(f, DRIVER_COMMON_QUEUE_SIZE, bad_sizes[i], 2);
		assert_int_equal(get(f, DRIVER_COMMON_QUEUE_SIZE, 2), TOY_VIRTIO_QUEUE_SIZE);
	}
	set(f, DRIVER_COMMON_QUEUE_SIZE, 8, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_SIZE, 2), 8);
	for (unsigned offset = DRIVER_COMMON_QUEUE_DESC; offset <= DRIVER_COMMON_QUEUE_DEVICE;
			offset += 8) {
		set(f, offset, UINT64_C(0x123456789abcdef0), 8);
		assert_int_equal(get(f, offset, 8), UINT64_C(0x123456789abcdef0));
		set(f, offset + 4, 0x11111111, 4);
		set(f, offset, 0x22222222, 4);
		assert_int_equal(get(f, offset, 8), UINT64_C(0x1111111122222222));
		assert_int_equal(get(f, offset + 4, 4), 0x11111111);
	}
	/* each queue has its own */
	set(f, DRIVER_COMMON_QUEUE_SELECT, 2, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_DESC, 8), 0);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_NOTIFY_OFF, 2), 2);
	/* enabled: settled */
	set(f, DRIVER_COMMON_QUEUE_SELECT, 1, 2);
	set(f, DRIVER_COMMON_QUEUE_ENABLE, 1, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_ENABLE, 2), 1);
	set(f, DRIVER_COMMON_QUEUE_ENABLE, 0, 2);
	set(f, DRIVER_COMMON_QUEUE_SIZE, 4, 2);
	set(f, DRIVER_COMMON_QUEUE_DESC, 0, 8);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_ENABLE, 2), 1);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_SIZE, 2), 8);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_DESC, 8), UINT64_C(0x1111111122222222));
	/* a reset unsettles */
	virtio_driver_reset(&f->driver);
	set(f, DRIVER_COMMON_QUEUE_SELECT, 1, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_ENABLE, 2), 0);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_SIZE, 2), TOY_VIRTIO_QUEUE_SIZE);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_DESC, 8), 0);
}

static void test_no_such_queue(void **state)
{
	static const uint16_t selects[] = {TOY_VIRTIO_QUEUES, 8, 0xffff};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(selects); i++) {
		set(f, DRIVER_COMMON_QUEUE_SELECT, selects[i], 2);
		assert_int_equal(get(f, DRIVER_COMMON_QUEUE_SELECT, 2), selects[i]);
		for (unsigned offset = DRIVER_COMMON_QUEUE_SIZE; offset < 56; offset += 2) {
			set(f, offset, 1, 2);
			assert_int_equal(get(f, offset, 2),
					offset == DRIVER_COMMON_QUEUE_VECTOR ? 0xffff : 0);
		}
	}
}

static void test_vectors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, DRIVER_COMMON_CONFIG_VECTOR, 2), VIRTIO_NO_VECTOR);
	set(f, DRIVER_COMMON_CONFIG_VECTOR, TOY_VIRTIO_QUEUES, 2);
	assert_int_equal(get(f, DRIVER_COMMON_CONFIG_VECTOR, 2), TOY_VIRTIO_QUEUES);
	set(f, DRIVER_COMMON_CONFIG_VECTOR, TOY_VIRTIO_QUEUES + 1, 2);
	assert_int_equal(get(f, DRIVER_COMMON_CONFIG_VECTOR, 2), VIRTIO_NO_VECTOR);
	set(f, DRIVER_COMMON_QUEUE_VECTOR, 0xfffe, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_VECTOR, 2), VIRTIO_NO_VECTOR);
	set(f, DRIVER_COMMON_QUEUE_VECTOR, 2, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_VECTOR, 2), 2);
}

static void test_requests(void **state)
{
	struct fixture *f = *state;

	bring_up(f, true);
	assert_int_equal(f->toy->starts, 1);
	for (unsigned i = 0; i < TOY_VIRTIO_QUEUES; i++) {
		add_request(f, i);
		virtio_driver_kick(&f->driver, i);
		turn();
		assert_true(answered(f, i));
		assert_int_equal(fake_read8(f->fake, DATA), i + 1);
		expect_msi(f, i + 1);
		expect_no_msi(f);
	}
}

/* What waits when the driver says DRIVER_OK gets no kick of its own. */
static void test_early_requests(void **state)
{
	struct fixture *f = *state;

	assert_true(virtio_driver_negotiate(&f->driver, 0));
	setup_queues(f);
	add_request(f, 1);
	virtio_driver_kick(&f->driver, 1);
	turn();
	assert_false(answered(f, 1));
	virtio_driver_ok(&f->driver);
	turn();
	assert_true(answered(f, 1));
}

static void test_status(void **state)
{
	struct fixture *f = *state;

	bring_up(f, false);
	/* no bit goes but by a reset, and nothing starts twice */
	set(f, DRIVER_COMMON_STATUS, 1, 1);
	assert_int_equal(virtio_driver_status(&f->driver), 15);
	set(f, DRIVER_COMMON_STATUS, 15, 1);
	assert_int_equal(f->toy->starts, 1);
	set(f, DRIVER_COMMON_STATUS, 128, 1);
	assert_int_equal(virtio_driver_status(&f->driver), 143);
	/* queues are settled even if they are not enabled */
	virtio_driver_reset(&f->driver);
	assert_int_equal(f->toy->stops, 1);
	assert_true(virtio_driver_negotiate(&f->driver, 0));
	virtio_driver_ok(&f->driver);
	setup_queues(f);
	set(f, DRIVER_COMMON_QUEUE_SELECT, 0, 2);
	assert_int_equal(get(f, DRIVER_COMMON_QUEUE_ENABLE, 2), 0);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_int_equal(f->toy->kicks, 0);
	/* a reset of what does not run */
	virtio_driver_reset(&f->driver);
	virtio_driver_reset(&f->driver);
	assert_int_equal(f->toy->stops, 2);
}

static void expect_gave_up(struct fixture *f)
{
	assert_true(virtio_driver_status(&f->driver) & NEEDS_RESET);
	expect_msi(f, DRIVER_CONFIG_VECTOR);
	expect_no_msi(f);
	bring_up(f, true);
	assert_int_equal(virtio_driver_status(&f->driver), 15);
	add_request(f, 0);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(answered(f, 0));
	expect_msi(f, 1);
}

static void test_gives_up(void **state)
{
	static const uint64_t bad_rings[] = {1, 0xfffffff0, UINT64_MAX - 15, MiB - 16};
	struct fixture *f = *state;

	virtio_driver_enable_msix(&f->driver, TOY_VIRTIO_QUEUES + 1);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_rings); i++) {
		/* the last queue is wrong: those before it have been set up */
		assert_true(virtio_driver_negotiate(&f->driver, 0));
		f->queues[2].config.desc = bad_rings[i];
		for (unsigned queue = 0; queue < TOY_VIRTIO_QUEUES; queue++) {
			if (queue != 2) {
				driver_queue_init(&f->queues[queue], f->fake->machine.ram,
						RINGS + queue * RINGS_STEP, RING_SIZE);
			}
			f->queues[queue].config.size = RING_SIZE;
			virtio_driver_setup_queue(&f->driver, queue, &f->queues[queue]);
		}
		virtio_driver_ok(&f->driver);
		expect_gave_up(f);
	}
	/* a chain that leaves RAM */
	const struct driver_buffer outside = {2 * MiB, 4, true};
	driver_queue_add(&f->queues[0], &outside, 1);
	virtio_driver_kick(&f->driver, 0);
	turn();
	expect_gave_up(f);
	/* DRIVER_OK too early */
	virtio_driver_reset(&f->driver);
	set(f, DRIVER_COMMON_CONFIG_VECTOR, DRIVER_CONFIG_VECTOR, 2);
	set(f, DRIVER_COMMON_STATUS, 7, 1);
	expect_gave_up(f);
	/* a device that cannot */
	f->toy->refuse_start = true;
	bring_up(f, true);
	f->toy->refuse_start = false;
	expect_gave_up(f);
}

static void set_register_bar(struct fixture *f, uint64_t address)
{
	fake_config_write(f->fake, SLOT, PCI_BAR0 + 4 * REGISTER_BAR, (uint32_t)address, 4);
	fake_config_write(f->fake, SLOT, PCI_BAR0 + 4 * REGISTER_BAR + 4, (uint32_t)(address >> 32),
			4);
}

/* The doorbells move with the BAR. */
static void test_bar_moves(void **state)
{
	struct fixture *f = *state;
	const uint64_t old = f->driver.structures[DRIVER_CAP_NOTIFY];

	bring_up(f, true);
	set_register_bar(f, 0xe0000000);
	fake_mmio_write(f->fake, old, 0, 2);
	turn();
	unsigned before = f->toy->kicks;
	add_request(f, 0);
	fake_mmio_write(f->fake, old, 0, 2);
	turn();
	assert_int_equal(f->toy->kicks, before);
	virtio_driver_init(&f->driver, f->fake, SLOT);
	assert_int_equal(f->driver.structures[DRIVER_CAP_COMMON], 0xe0000000);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(answered(f, 0));
	/* decoding off and on again */
	fake_config_write(f->fake, SLOT, PCI_COMMAND, 0, 2);
	assert_int_equal(get(f, DRIVER_COMMON_STATUS, 1), 0xff);
	fake_config_write(f->fake, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(get(f, DRIVER_COMMON_STATUS, 1), 15);
}

static void test_doorbells(void **state)
{
	struct fixture *f = *state;
	const uint64_t notify = f->driver.structures[DRIVER_CAP_NOTIFY];

	bring_up(f, true);
	turn();
	f->toy->kicks = 0;
	for (unsigned size = 1; size <= 8; size *= 2) {
		fake_mmio_write(f->fake, notify + 4, UINT64_MAX, size);
		turn();
	}
	assert_int_equal(f->toy->kicks, 4);
	/* inside a doorbell; where no queue is */
	fake_mmio_write(f->fake, notify + 6, 0, 2);
	turn();
	assert_int_equal(f->toy->kicks, 5);
	fake_mmio_write(f->fake, notify + 4 * TOY_VIRTIO_QUEUES, 0, 2);
	fake_mmio_write(f->fake, notify + 0xffc, 0, 4);
	turn();
	assert_int_equal(f->toy->kicks, 5);
	assert_int_equal(fake_mmio_read(f->fake, notify, 4), 0);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;

	bring_up(f, false);
	add_request(f, 0);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(fake_machine_gsi(f->fake, GSI));
	virtio_config_changed(&f->toy->device);
	assert_int_equal(virtio_driver_isr(&f->driver), 3);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(virtio_driver_isr(&f->driver), 0);
	/* a reset takes the line down */
	virtio_config_changed(&f->toy->device);
	assert_true(fake_machine_gsi(f->fake, GSI));
	virtio_driver_reset(&f->driver);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(virtio_driver_isr(&f->driver), 0);
	expect_no_msi(f);
}

static void test_config_change(void **state)
{
	struct fixture *f = *state;
	const uint64_t generation = get(f, DRIVER_COMMON_GENERATION, 1);

	virtio_config_changed(&f->toy->device); /* nobody to tell yet */
	expect_no_msi(f);
	bring_up(f, true);
	virtio_config_changed(&f->toy->device);
	expect_msi(f, DRIVER_CONFIG_VECTOR);
	assert_int_equal(get(f, DRIVER_COMMON_GENERATION, 1), generation + 2);
	set(f, DRIVER_COMMON_CONFIG_VECTOR, VIRTIO_NO_VECTOR, 2);
	virtio_config_changed(&f->toy->device);
	expect_no_msi(f);
	assert_false(fake_machine_gsi(f->fake, GSI));
}

static void test_device_config(void **state)
{
	struct fixture *f = *state;
	const uint64_t config = f->driver.structures[DRIVER_CAP_DEVICE];

	fake_mmio_write(f->fake, config + 8, UINT64_C(0x1122334455667788), 8);
	assert_int_equal(fake_mmio_read(f->fake, config + 8, 2), 0x7788);
	assert_int_equal(fake_mmio_read(f->fake, config + 12, 8), 0x11223344);
	assert_int_equal(fake_mmio_read(f->fake, config + 16, 8), 0);
	fake_mmio_write(f->fake, config + 15, UINT64_MAX, 8);
	assert_int_equal(fake_mmio_read(f->fake, config + 15, 8), 0xff);
	fake_mmio_write(f->fake, config + 0xfff, UINT64_MAX, 8);
	(void)fake_mmio_read(f->fake, config + 0xffd, 8);
}

/* 4.1.4.9 */
static uint32_t window_read(struct fixture *f, uint8_t bar, uint32_t offset, uint32_t len)
{
	const unsigned cap = f->driver.capabilities[DRIVER_CAP_PCI];

	fake_config_write(f->fake, SLOT, cap + 4, bar, 1);
	fake_config_write(f->fake, SLOT, cap + 8, offset, 4);
	fake_config_write(f->fake, SLOT, cap + 12, len, 4);
	return fake_config_read(f->fake, SLOT, cap + 16, len == 1 || len == 2 ? len : 4);
}

static void window_write(struct fixture *f, uint32_t offset, uint32_t len, uint32_t value)
{
	const unsigned cap = f->driver.capabilities[DRIVER_CAP_PCI];

	fake_config_write(f->fake, SLOT, cap + 4, REGISTER_BAR, 1);
	fake_config_write(f->fake, SLOT, cap + 8, offset, 4);
	fake_config_write(f->fake, SLOT, cap + 12, len, 4);
	fake_config_write(f->fake, SLOT, cap + 16, value, len);
}

static void test_access_window(void **state)
{
	struct fixture *f = *state;

	fake_config_write(f->fake, SLOT, PCI_COMMAND, 0, 2);
	window_write(f, DRIVER_COMMON_STATUS, 1, 3);
	assert_int_equal(f->toy->device.status, 3);
	assert_int_equal(window_read(f, REGISTER_BAR, DRIVER_COMMON_STATUS, 1), 3);
	assert_int_equal(window_read(f, REGISTER_BAR, DRIVER_COMMON_NUM_QUEUES, 2),
			TOY_VIRTIO_QUEUES);
	window_write(f, 0x2000, 4, 0x12345678);
	assert_int_equal(window_read(f, REGISTER_BAR, 0x2000, 4), 0x12345678);
	/* somewhere else, nowhere, askew, of odd lengths: what was last in the window stays */
	fake_config_write(f->fake, SLOT, f->driver.capabilities[DRIVER_CAP_PCI] + 12, 0, 4);
	fake_config_write(f->fake, SLOT, f->driver.capabilities[DRIVER_CAP_PCI] + 16, 0xabcd, 4);
	assert_int_equal(window_read(f, 1, 0x2000, 4), 0xabcd);
	assert_int_equal(window_read(f, 0xff, 0x2000, 4), 0xabcd);
	assert_int_equal(window_read(f, REGISTER_BAR, REGISTERS_SIZE, 4), 0xabcd);
	assert_int_equal(window_read(f, REGISTER_BAR, UINT32_MAX - 3, 4), 0xabcd);
	assert_int_equal(window_read(f, REGISTER_BAR, 0x2002, 4), 0xabcd);
	assert_int_equal(window_read(f, REGISTER_BAR, 0x2000, 3), 0xabcd);
	assert_int_equal(window_read(f, REGISTER_BAR, 0x2000, UINT32_MAX), 0xabcd);
	assert_int_equal(window_read(f, REGISTER_BAR, REGISTERS_SIZE - 4, 4), 0);
}

/* Every register, every size, with values no driver writes: nothing but a reset is needed after it. */
static void test_any_access(void **state)
{
	static const uint64_t values[] = {
			0, 1, 0xff, 0xffff, UINT32_MAX, UINT64_MAX, 0x8040201008040201};
	struct fixture *f = *state;
	const uint64_t base = f->driver.structures[DRIVER_CAP_COMMON];

	for (unsigned v = 0; v < G_N_ELEMENTS(values); v++) {
		bring_up(f, true);
		for (unsigned offset = 0; offset < REGISTERS_SIZE; offset++) {
			for (unsigned size = 1; size <= 8; size *= 2) {
				(void)fake_mmio_read(f->fake, base + offset, size);
				fake_mmio_write(f->fake, base + offset, values[v], size);
			}
			if (offset % 256 == 0) {
				turn();
			}
		}
		struct fake_msi msi;
		while (fake_machine_take_msi(f->fake, &msi)) {
		}
	}
	bring_up(f, true);
	add_request(f, 0);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(answered(f, 0));
}

static void test_reset_is_fresh(void **state)
{
	struct fixture *f = *state;
	uint8_t fresh[PCIE_CONFIG_SIZE];
	uint64_t registers[56];

	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		registers[i] = get(f, i, 1);
	}
	device_reset(&f->toy->transport.pci.base);
	for (unsigned i = 0; i < sizeof(fresh); i++) {
		fresh[i] = (uint8_t)fake_config_read(f->fake, SLOT, i, 1);
	}
	fake_machine_assign(f->fake);
	bring_up(f, true);
	(void)window_read(f, REGISTER_BAR, DRIVER_COMMON_NUM_QUEUES, 2);
	device_reset(&f->toy->transport.pci.base);
	assert_int_equal(f->toy->stops, 1);
	for (unsigned i = 0; i < sizeof(fresh); i++) {
		assert_int_equal(fake_config_read(f->fake, SLOT, i, 1), fresh[i]);
	}
	fake_machine_assign(f->fake);
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		assert_int_equal(get(f, i, 1), registers[i]);
	}
}

/* It goes while it runs, and its slot can be taken again. */
static void test_unrealize(void **state)
{
	struct fixture *f = *state;

	bring_up(f, true);
	add_request(f, 0);
	virtio_driver_kick(&f->driver, 0);
	device_destroy(&f->toy->transport.pci.base);
	f->toy = NULL;
	turn();
	assert_false(answered(f, 0));
	assert_int_equal(fake_config_read(f->fake, SLOT, 0, 4), UINT32_MAX);
	assert_int_equal(get(f, DRIVER_COMMON_STATUS, 1), 0xff);

	struct device *device = fake_machine_device(&toy_virtio_class, "addr", "3", NULL);
	assert_true(device_realize(device, &f->fake->machine, NULL));
	struct device *second = fake_machine_device(&toy_virtio_class, "addr", "3", NULL);
	g_autoptr(GError) error = NULL;
	assert_false(device_realize(second, &f->fake->machine, &error));
	device_destroy(second);
	device_destroy(device);
}

/*
 * Queues that another process serves.
 */

static void call(struct fixture *f, unsigned queue)
{
	eventfd_signal(f->toy->device.queues[queue].call_fd);
}

static void test_external_direct(void **state)
{
	struct fixture *f = *state;

	bring_up(f, true);
	/* kicks are not taken here; those for what waited have been given */
	for (unsigned i = 0; i < TOY_VIRTIO_QUEUES; i++) {
		assert_int_equal(eventfd_take(f->toy->device.queues[i].kick_fd), 1);
		virtio_driver_kick(&f->driver, i);
		assert_int_equal(eventfd_take(f->toy->device.queues[i].kick_fd), 1);
		call(f, i);
		assert_int_equal(fake_machine_run_routes(f->fake), 1);
		expect_msi(f, i + 1);
	}
	turn();
	expect_no_msi(f);
	/* after a reset calls lead nowhere */
	virtio_driver_reset(&f->driver);
	assert_int_equal(f->fake->routes->len, 0);
	call(f, 0);
	turn();
	expect_no_msi(f);
}

static void test_external_intx(void **state)
{
	struct fixture *f = *state;

	bring_up(f, false);
	assert_int_equal(f->fake->routes->len, 0);
	call(f, 1);
	turn();
	assert_true(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(virtio_driver_isr(&f->driver), 1);
	assert_false(fake_machine_gsi(f->fake, GSI));
}

/* A vector for two queues can have one eventfd only; the loop does the other. */
static void test_external_shared_vector(void **state)
{
	struct fixture *f = *state;

	assert_true(virtio_driver_negotiate(&f->driver, 0));
	virtio_driver_enable_msix(&f->driver, TOY_VIRTIO_QUEUES + 1);
	setup_queues(f);
	for (unsigned i = 0; i < TOY_VIRTIO_QUEUES; i++) {
		set(f, DRIVER_COMMON_QUEUE_SELECT, i, 2);
		set(f, DRIVER_COMMON_QUEUE_VECTOR, 1, 2);
	}
	virtio_driver_ok(&f->driver);
	assert_int_equal(f->fake->routes->len, 1);
	for (unsigned i = 0; i < TOY_VIRTIO_QUEUES; i++) {
		call(f, i);
		(void)fake_machine_run_routes(f->fake);
		turn();
		expect_msi(f, 1);
		expect_no_msi(f);
	}
}

static void test_external_no_routes(void **state)
{
	struct fixture *f = *state;

	f->fake->refuse_routes = true;
	bring_up(f, true);
	call(f, 2);
	turn();
	expect_msi(f, 3);
}

/* Vectors and MSI-X itself may change while the device runs. */
static void test_external_changes(void **state)
{
	struct fixture *f = *state;

	bring_up(f, true);
	set(f, DRIVER_COMMON_QUEUE_SELECT, 0, 2);
	set(f, DRIVER_COMMON_QUEUE_VECTOR, VIRTIO_NO_VECTOR, 2);
	call(f, 0);
	assert_int_equal(fake_machine_run_routes(f->fake), 0);
	turn();
	expect_no_msi(f);
	set(f, DRIVER_COMMON_QUEUE_VECTOR, 1, 2);
	call(f, 0);
	assert_int_equal(fake_machine_run_routes(f->fake), 1);
	expect_msi(f, 1);

	fake_config_write(f->fake, SLOT, f->driver.msix + PCI_MSIX_CONTROL, 0, 2);
	assert_int_equal(f->fake->routes->len, 0);
	call(f, 0);
	turn();
	assert_true(fake_machine_gsi(f->fake, GSI));
	(void)virtio_driver_isr(&f->driver);
	fake_config_write(f->fake, SLOT, f->driver.msix + PCI_MSIX_CONTROL, PCI_MSIX_CONTROL_ENABLE,
			2);
	assert_int_equal(f->fake->routes->len, TOY_VIRTIO_QUEUES);
	call(f, 0);
	assert_int_equal(fake_machine_run_routes(f->fake), 1);
	expect_msi(f, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define EXTERNAL(name) cmocka_unit_test_setup_teardown(name, setup_external, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_identity),
			TEST(test_features),
			TEST(test_queue_registers),
			TEST(test_no_such_queue),
			TEST(test_vectors),
			TEST(test_requests),
			TEST(test_early_requests),
			TEST(test_status),
			TEST(test_gives_up),
			TEST(test_bar_moves),
			TEST(test_doorbells),
			TEST(test_intx),
			TEST(test_config_change),
			TEST(test_device_config),
			TEST(test_access_window),
			TEST(test_any_access),
			TEST(test_reset_is_fresh),
			TEST(test_unrealize),
			EXTERNAL(test_status),
			EXTERNAL(test_external_direct),
			EXTERNAL(test_external_intx),
			EXTERNAL(test_external_shared_vector),
			EXTERNAL(test_external_no_routes),
			EXTERNAL(test_external_changes),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
