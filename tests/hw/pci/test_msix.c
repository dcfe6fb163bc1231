/* SPDX-License-Identifier: MIT */
#include "hw/pci/pci.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "hw/pci/pci_regs.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"
#include "tests/harness/toy_pci.h"

#define SLOT PCI_DEVFN(3, 0)
#define CAP PCI_FIRST_CAPABILITY
#define TABLE UINT64_C(0xe0000000)
#define PBA (TABLE + 0x800)

struct fixture {
	struct fake_machine *fake;
	struct toy_pci *toy;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	struct device *device = fake_machine_device(&toy_pci_class, "addr", "3", NULL);
	assert_true(device_realize(device, &f->fake->machine, NULL));
	device_reset(device);
	f->toy = container_of(device, struct toy_pci, pci.base);
	fake_config_write(f->fake, SLOT, PCI_BAR0 + 4 * TOY_MSIX_BAR, TABLE, 4);
	fake_config_write(f->fake, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(&f->toy->pci.base);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static void write_entry(struct fixture *f, unsigned vector, uint64_t address, uint32_t data,
		uint32_t control)
{
	uint64_t at = TABLE + vector * PCI_MSIX_ENTRY_SIZE;

	fake_mmio_write(f->fake, at, (uint32_t)address, 4);
	fake_mmio_write(f->fake, at + 4, address >> 32, 4);
	fake_mmio_write(f->fake, at + 8, data, 4);
	fake_mmio_write(f->fake, at + 12, control, 4);
}

static void set_control(struct fixture *f, uint32_t bits)
{
	fake_config_write(f->fake, SLOT, CAP + PCI_MSIX_CONTROL, bits, 2);
}

static void expect_msi(struct fixture *f, uint64_t address, uint32_t data)
{
	struct fake_msi msi = {0};

	assert_true(fake_machine_take_msi(f->fake, &msi));
	assert_int_equal(msi.address, address);
	assert_int_equal(msi.data, data);
}

static void expect_none(struct fixture *f)
{
	struct fake_msi msi;

	assert_false(fake_machine_take_msi(f->fake, &msi));
}

static uint64_t pending(struct fixture *f)
{
	return fake_mmio_read(f->fake, PBA, 8);
}

static void test_send(void **state)
{
	struct fixture *f = *state;

	write_entry(f, 1, UINT64_C(0x1fee01000), 0x4142, 0);
	msix_notify(&f->toy->pci, 1); /* not enabled: nothing, and nothing pending */
	expect_none(f);
	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	assert_true(msix_enabled(&f->toy->pci));
	expect_none(f);
	msix_notify(&f->toy->pci, 1);
	expect_msi(f, UINT64_C(0x1fee01000), 0x4142);
	msix_notify(&f->toy->pci, TOY_VECTORS);
	msix_notify(&f->toy->pci, UINT32_MAX);
	expect_none(f);
	assert_int_equal(pending(f), 0);
}

static void test_masks(void **state)
{
	struct fixture *f = *state;

	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	/* entries come up masked */
	assert_int_equal(fake_mmio_read(f->fake, TABLE + 12, 4), 1);
	msix_notify(&f->toy->pci, 0);
	msix_notify(&f->toy->pci, 0);
	msix_notify(&f->toy->pci, 3);
	expect_none(f);
	assert_int_equal(pending(f), 9);
	write_entry(f, 0, 0xfee00000, 0x50, 0);
	expect_msi(f, 0xfee00000, 0x50);
	expect_none(f);
	assert_int_equal(pending(f), 8);
	/* the whole function */
	set_control(f, PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASKALL);
	msix_notify(&f->toy->pci, 0);
	write_entry(f, 3, 0xfee00000, 0x53, 0);
	expect_none(f);
	assert_int_equal(pending(f), 9);
	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	expect_msi(f, 0xfee00000, 0x50);
	expect_msi(f, 0xfee00000, 0x53);
	expect_none(f);
	assert_int_equal(pending(f), 0);
}

/* What is neither an aligned word nor inside the table changes nothing. */
static void test_accesses(void **state)
{
	struct fixture *f = *state;

	write_entry(f, 0, 0xfee00000, 0x1234, 0);
	fake_mmio_write(f->fake, TABLE + 8, 0xff, 1);
	fake_mmio_write(f->fake, TABLE + 8, 0xffff, 2);
	fake_mmio_write(f->fake, TABLE + 6, UINT32_MAX, 4);
	fake_mmio_write(f->fake, TABLE + 4, UINT64_MAX, 8);
	assert_int_equal(fake_mmio_read(f->fake, TABLE + 8, 8), 0x1234);
	assert_int_equal(fake_mmio_read(f->fake, TABLE, 8), 0xfee00000);
	fake_mmio_write(f->fake, TABLE, UINT64_C(0x2fee00000), 8);
	assert_int_equal(fake_mmio_read(f->fake, TABLE, 8), UINT64_C(0x2fee00000));
	/* behind the last vector, the pending bits, the hole */
	fake_mmio_write(f->fake, TABLE + TOY_VECTORS * PCI_MSIX_ENTRY_SIZE, UINT32_MAX, 4);
	fake_mmio_write(f->fake, PBA, UINT64_MAX, 8);
	fake_mmio_write(f->fake, TABLE + 0xff8, UINT64_MAX, 8);
	assert_int_equal(fake_mmio_read(f->fake, TABLE + TOY_VECTORS * PCI_MSIX_ENTRY_SIZE, 4), 0);
	assert_int_equal(pending(f), 0);
	for (unsigned offset = 0; offset < 0x1000; offset++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			if (offset + size <= 0x1000) {
				(void)fake_mmio_read(f->fake, TABLE + offset, size);
			}
		}
	}
	assert_int_equal(fake_mmio_read(f->fake, TABLE + 0xff8, 8), 0);
}

static void test_eventfd(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = eventfd_create(NULL), second = eventfd_create(NULL);

	assert_true(msix_set_eventfd(&f->toy->pci, 2, fd, NULL));
	eventfd_signal(fd);
	assert_int_equal(fake_machine_run_routes(f->fake), 0);
	write_entry(f, 2, 0xfee02000, 0x60, 0);
	assert_int_equal(fake_machine_run_routes(f->fake), 0);
	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	assert_int_equal(fake_machine_run_routes(f->fake), 1);
	expect_msi(f, 0xfee02000, 0x60);
	/* new messages and masks are followed */
	write_entry(f, 2, 0xfee03000, 0x61, 0);
	eventfd_signal(fd);
	assert_int_equal(fake_machine_run_routes(f->fake), 1);
	expect_msi(f, 0xfee03000, 0x61);
	write_entry(f, 2, 0xfee03000, 0x61, 1);
	eventfd_signal(fd);
	assert_int_equal(fake_machine_run_routes(f->fake), 0);
	write_entry(f, 2, 0xfee03000, 0x61, 0);
	assert_int_equal(fake_machine_run_routes(f->fake), 1);
	set_control(f, 0);
	eventfd_signal(fd);
	assert_int_equal(fake_machine_run_routes(f->fake), 0);
	(void)eventfd_take(fd);
	/* another one instead; then none */
	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	assert_true(msix_set_eventfd(&f->toy->pci, 2, second, NULL));
	eventfd_signal(fd);
	assert_int_equal(fake_machine_run_routes(f->fake), 0);
	eventfd_signal(second);
	assert_int_equal(fake_machine_run_routes(f->fake), 1);
	assert_true(msix_set_eventfd(&f->toy->pci, 2, -1, NULL));
	assert_int_equal(f->fake->routes->len, 0);
	/* what is left at the end goes with the device */
	assert_true(msix_set_eventfd(&f->toy->pci, 0, fd, NULL));
}

static void test_no_route(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = eventfd_create(NULL);
	g_autoptr(GError) error = NULL;

	f->fake->refuse_routes = true;
	assert_false(msix_set_eventfd(&f->toy->pci, 0, fd, &error));
	assert_non_null(error);
	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	write_entry(f, 0, 0xfee00000, 0x50, 0);
	msix_notify(&f->toy->pci, 0);
	expect_msi(f, 0xfee00000, 0x50);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	write_entry(f, 1, 0xfee00000, 0x51, 0);
	msix_notify(&f->toy->pci, 0); /* masked: pending */
	device_reset(&f->toy->pci.base);
	assert_false(msix_enabled(&f->toy->pci));
	fake_config_write(f->fake, SLOT, PCI_BAR0 + 4 * TOY_MSIX_BAR, TABLE, 4);
	fake_config_write(f->fake, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(pending(f), 0);
	assert_int_equal(fake_mmio_read(f->fake, TABLE + 16, 8), 0);
	assert_int_equal(fake_mmio_read(f->fake, TABLE + 28, 4), 1);
	set_control(f, PCI_MSIX_CONTROL_ENABLE);
	expect_none(f);
}

static void test_too_many(void **state)
{
	struct fixture *f = *state;
	g_autoptr(GError) error = NULL;

	assert_false(msix_init(&f->toy->pci, 0, 4, &error));
	g_clear_error(&error);
	assert_false(msix_init(&f->toy->pci, 129, 4, &error));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_send),
			TEST(test_masks),
			TEST(test_accesses),
			TEST(test_eventfd),
			TEST(test_no_route),
			TEST(test_reset),
			TEST(test_too_many),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
