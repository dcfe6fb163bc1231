/* SPDX-License-Identifier: MIT */
#include "hw/pci/pci.h"

#include "core/base/thread.h"
#include "hw/pci/pci_regs.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"
#include "tests/harness/toy_pci.h"

#include <string.h>

#define SLOT PCI_DEVFN(3, 0)
#define GSI (16 + 3)

struct fixture {
	struct fake_machine *fake;
	struct toy_pci *toy;
};

static struct toy_pci *add_toy(struct fixture *f, const char *addr)
{
	struct device *device = addr ? fake_machine_device(&toy_pci_class, "addr", addr, NULL)
				     : fake_machine_device(&toy_pci_class, NULL);

	assert_true(device_realize(device, &f->fake->machine, NULL));
	device_reset(device);
	return container_of(device, struct toy_pci, pci.base);
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->toy = add_toy(f, "3");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->toy ? &f->toy->pci.base : NULL);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static uint32_t get(struct fixture *f, unsigned offset, unsigned size)
{
	return fake_config_read(f->fake, SLOT, offset, size);
}

static void set(struct fixture *f, unsigned offset, uint32_t value, unsigned size)
{
	fake_config_write(f->fake, SLOT, offset, value, size);
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(get(f, PCI_REVISION_ID, 4), 0xff010207);
	assert_int_equal(get(f, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	assert_int_equal(get(f, PCI_VENDOR_ID + 1, 1), 0x12);
	assert_int_equal(get(f, PCI_HEADER_TYPE, 1), 0);
	/* read-only is read-only */
	for (unsigned offset = 0; offset < 0x10; offset += 4) {
		uint32_t before = get(f, offset, 4);
		set(f, offset, ~before, 4);
		if (offset != PCI_COMMAND && offset != PCI_CACHE_LINE_SIZE) {
			assert_int_equal(get(f, offset, 4), before);
		}
	}
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x0507);
}

static void test_absent(void **state)
{
	struct fixture *f = *state;
	struct pci_bus *bus = f->fake->machine.pci;

	assert_int_equal(pci_config_read(bus, 0, PCI_DEVFN(4, 0), 0, 4), UINT32_MAX);
	assert_int_equal(pci_config_read(bus, 0, PCI_DEVFN(3, 1), 0, 2), 0xffff);
	assert_int_equal(pci_config_read(bus, 1, SLOT, 0, 1), 0xff);
	assert_int_equal(pci_config_read(bus, 0, 4096, 0, 4), UINT32_MAX);
	/* cycles no bridge makes */
	assert_int_equal(pci_config_read(bus, 0, SLOT, 2, 4), UINT32_MAX);
	assert_int_equal(pci_config_read(bus, 0, SLOT, 4096, 4), UINT32_MAX);
	assert_int_equal(pci_config_read(bus, 0, SLOT, UINT32_MAX - 3, 4), UINT32_MAX);
	assert_int_equal(pci_config_read(bus, 0, SLOT, 0, 3), 0xffffff);
	pci_config_write(bus, 1, SLOT, PCI_COMMAND, 7, 2);
	pci_config_write(bus, 0, SLOT, PCI_COMMAND + 1, 7, 2);
	pci_config_write(bus, 0, PCI_DEVFN(9, 0), PCI_COMMAND, 7, 2);
	pci_config_write(bus, 0, SLOT, 4096, 7, 4);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0);
	assert_int_equal(pci_config_read(bus, 0, SLOT, 4092, 4), 0);
}

/* PCI 3.0, 6.2.5.1: write ones, read the size back. */
static void test_sizing(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		set(f, PCI_BAR0 + 4 * i, UINT32_MAX, 4);
	}
	assert_int_equal(get(f, PCI_BAR0, 4), ~(TOY_IO_SIZE - 1) | 1);
	assert_int_equal(get(f, PCI_BAR0 + 4, 4), ~(TOY_MEMORY_SIZE - 1));
	assert_int_equal(get(f, PCI_BAR0 + 8, 4), 0xc);
	assert_int_equal(get(f, PCI_BAR0 + 12, 4), 0xfffffffe);
	assert_int_equal(get(f, PCI_BAR0 + 16, 4), 0);
	assert_int_equal(get(f, PCI_BAR0 + 20, 4), 0xfffff000);
	/* nothing is mapped where sizing points, even if decoding is on */
	set(f, PCI_COMMAND, 7, 2);
	assert_null(f->toy->io.space);
	assert_null(f->toy->memory.space);
	assert_null(f->toy->memory64.space);
}

static void test_bars_follow(void **state)
{
	struct fixture *f = *state;
	struct address_space *memory = f->fake->machine.memory, *ports = f->fake->machine.ports;

	set(f, PCI_BAR0, 0xc000, 4);
	set(f, PCI_BAR0 + 4, 0xe0000000, 4);
	assert_int_equal(address_space_read(memory, 0xe0000010, 4), UINT32_MAX);
	set(f, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(address_space_read(memory, 0xe0000010, 4), 0x04030201);
	assert_int_equal(f->toy->last_offset, 0x10);
	assert_int_equal(address_space_read(ports, 0xc004, 2), 0xffff);
	set(f, PCI_COMMAND, PCI_COMMAND_IO, 2);
	assert_int_equal(address_space_read(memory, 0xe0000010, 4), UINT32_MAX);
	assert_int_equal(address_space_read(ports, 0xc004, 2), 0x0201);
	/* half of a move at a time */
	set(f, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
	set(f, PCI_BAR0 + 8, 0, 4);
	set(f, PCI_BAR0 + 12, 0x10, 4);
	address_space_write(memory, UINT64_C(0x1000000008), 0x55, 1);
	assert_int_equal(f->toy->last_offset, 8);
	set(f, PCI_BAR0 + 12, 0x20, 4);
	assert_int_equal(address_space_read(memory, UINT64_C(0x1000000008), 4), UINT32_MAX);
	assert_int_equal(address_space_read(memory, UINT64_C(0x20fffffff8), 8),
			UINT64_C(0x0807060504030201));
	/* byte by byte */
	set(f, PCI_BAR0 + 7, 0xd0, 1);
	assert_int_equal(address_space_read(memory, 0xd0000000, 1), 1);
	set(f, PCI_BAR0 + 1, 0xd0, 1);
	assert_int_equal(address_space_read(ports, 0xd000, 1), 1);
	set(f, PCI_COMMAND, 0, 2);
	assert_null(f->toy->io.space);
	assert_null(f->toy->memory.space);
	assert_null(f->toy->memory64.space);
}

/* A BAR over RAM, at the very top, over another device's: nothing breaks. */
static void test_hostile_addresses(void **state)
{
	static const uint32_t addresses[] = {0, 0x1000, 0xfffffff0, 0xffffe000, 0xffffc000,
			0x80000000, 0xfee00000, 0xfec00000};
	struct fixture *f = *state;
	struct toy_pci *other = add_toy(f, "4");

	set(f, PCI_COMMAND, 7, 2);
	fake_config_write(f->fake, PCI_DEVFN(4, 0), PCI_COMMAND, 7, 2);
	for (unsigned i = 0; i < G_N_ELEMENTS(addresses); i++) {
		for (unsigned bar = 0; bar < PCI_BAR_COUNT; bar++) {
			set(f, PCI_BAR0 + 4 * bar, addresses[i], 4);
			fake_config_write(f->fake, PCI_DEVFN(4, 0), PCI_BAR0 + 4 * bar,
					addresses[i], 4);
		}
		(void)fake_mmio_read(f->fake, addresses[i], 4);
		fake_mmio_write(f->fake, 0x1000, 0x1122334455667788, 8);
		assert_int_equal(fake_mmio_read(f->fake, 0x1000, 8), 0x1122334455667788);
	}
	device_destroy(&other->pci.base);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, PCI_INTERRUPT_PIN, 1), 1);
	pci_set_intx(&f->toy->pci, true);
	pci_set_intx(&f->toy->pci, true);
	assert_true(fake_machine_gsi(f->fake, GSI));
	assert_true(get(f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	/* disabled: the pin is released, the status stays */
	set(f, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_true(get(f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	set(f, PCI_COMMAND, 0, 2);
	assert_true(fake_machine_gsi(f->fake, GSI));
	pci_set_intx(&f->toy->pci, false);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(f->fake->gsi_changes, 4);
	/* a reset releases it */
	pci_set_intx(&f->toy->pci, true);
	device_reset(&f->toy->pci.base);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_false(get(f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	/* and so does its end */
	pci_set_intx(&f->toy->pci, true);
	device_destroy(&f->toy->pci.base);
	f->toy = NULL;
	assert_false(fake_machine_gsi(f->fake, GSI));
}

/* Devices four slots apart share a line: it is up while any drives it. */
static void test_shared_line(void **state)
{
	struct fixture *f = *state;
	struct toy_pci *other = add_toy(f, "7");

	pci_set_intx(&f->toy->pci, true);
	pci_set_intx(&other->pci, true);
	pci_set_intx(&f->toy->pci, false);
	assert_true(fake_machine_gsi(f->fake, GSI));
	pci_set_intx(&other->pci, false);
	assert_false(fake_machine_gsi(f->fake, GSI));
	assert_int_equal(f->fake->gsi_changes, 2);
	device_destroy(&other->pci.base);
}

static void test_capabilities(void **state)
{
	struct fixture *f = *state;
	unsigned cap = get(f, PCI_CAPABILITY_POINTER, 1);

	assert_true(get(f, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
	assert_int_equal(cap, PCI_FIRST_CAPABILITY);
	assert_int_equal(get(f, cap, 1), PCI_CAP_ID_MSIX);
	assert_int_equal(get(f, cap + 1, 1), 0);
	assert_int_equal(get(f, cap + PCI_MSIX_CONTROL, 2), TOY_VECTORS - 1);
	set(f, cap + PCI_MSIX_CONTROL, 0xffff, 2);
	assert_int_equal(get(f, cap + PCI_MSIX_CONTROL, 2), 0xc000 | (TOY_VECTORS - 1));
	set(f, cap, 0, 2);
	assert_int_equal(get(f, cap, 1), PCI_CAP_ID_MSIX);
}

static void test_placement(void **state)
{
	struct fixture *f = *state;
	struct toy_pci *toys[40] = {NULL};
	unsigned count = 0;
	g_autoptr(GError) error = NULL;

	pci_bus_reserve(f->fake->machine.pci, 2);
	for (;; count++) {
		struct device *device = fake_machine_device(&toy_pci_class, NULL);
		if (!device_realize(device, &f->fake->machine, &error)) {
			device_destroy(device);
			break;
		}
		toys[count] = container_of(device, struct toy_pci, pci.base);
		assert_int_not_equal(PCI_SLOT(toys[count]->pci.devfn), 2);
		assert_int_not_equal(PCI_SLOT(toys[count]->pci.devfn), 3);
	}
	assert_int_equal(count, PCI_SLOT_COUNT - 2);
	assert_non_null(strstr(error->message, "no free slot"));
	g_clear_error(&error);
	assert_string_equal(toys[0]->pci.base.path, "pci0/00.0");

	/* a slot by name: the reserved one is free for that, a taken one is not */
	struct toy_pci *reserved = add_toy(f, "2");
	struct device *taken = fake_machine_device(&toy_pci_class, "addr", "3.0", NULL);
	assert_false(device_realize(taken, &f->fake->machine, &error));
	assert_non_null(strstr(error->message, "03.0"));
	device_destroy(taken);
	device_destroy(&reserved->pci.base);
	for (unsigned i = 0; i < count; i++) {
		device_destroy(&toys[i]->pci.base);
	}
}

static uint64_t bar(struct fixture *f, unsigned devfn, unsigned index)
{
	return fake_config_read(f->fake, devfn, PCI_BAR0 + 4 * index, 4);
}

static void test_assign(void **state)
{
	struct fixture *f = *state;
	struct toy_pci *other = add_toy(f, "8");
	const unsigned devfn = PCI_DEVFN(8, 0);

	pci_bus_assign_resources(f->fake->machine.pci, 0xc0001000, 0xd0000000, 64 * GiB,
			64 * GiB + 2 * TOY_MEMORY64_SIZE, 0x1008);
	assert_int_equal(get(f, PCI_COMMAND, 2), 3);
	assert_int_equal(bar(f, SLOT, 0), 0x1021);
	assert_int_equal(bar(f, devfn, 0), 0x1041);
	assert_int_equal(bar(f, SLOT, 1), 0xc0002000);
	assert_int_equal(bar(f, SLOT, 5), 0xc0004000);
	assert_int_equal(bar(f, devfn, 1), 0xc0006000);
	assert_int_equal(bar(f, SLOT, 3), 0x10);
	assert_int_equal(bar(f, devfn, 3), 0x12);
	assert_int_equal(get(f, PCI_INTERRUPT_LINE, 1), GSI);
	assert_int_equal(fake_mmio_read(f->fake, 0xc0002000, 1), 1);
	assert_int_equal(f->toy->reads, 1);
	device_destroy(&other->pci.base);

	/* no room: what does not fit stays unmapped */
	device_reset(&f->toy->pci.base);
	pci_bus_assign_resources(
			f->fake->machine.pci, 0xc0001000, 0xc0002000, 64 * GiB, 64 * GiB, 0xfff0);
	assert_null(f->toy->memory.space);
	assert_null(f->toy->memory64.space);
	assert_null(f->toy->io.space);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	uint8_t fresh[PCIE_CONFIG_SIZE];

	for (unsigned i = 0; i < sizeof(fresh); i++) {
		fresh[i] = (uint8_t)get(f, i, 1);
	}
	for (unsigned i = 0; i < sizeof(fresh); i += 4) {
		set(f, i, UINT32_MAX, 4);
		set(f, i, 0x5a5a5a5a, 4);
	}
	pci_set_intx(&f->toy->pci, true);
	device_reset(&f->toy->pci.base);
	for (unsigned i = 0; i < sizeof(fresh); i++) {
		assert_int_equal(get(f, i, 1), fresh[i]);
	}
	assert_null(f->toy->memory.space);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_identity),
			TEST(test_absent),
			TEST(test_sizing),
			TEST(test_bars_follow),
			TEST(test_hostile_addresses),
			TEST(test_intx),
			TEST(test_shared_line),
			TEST(test_capabilities),
			TEST(test_placement),
			TEST(test_assign),
			TEST(test_reset),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
