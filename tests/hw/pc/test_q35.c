/* SPDX-License-Identifier: MIT */
#include "hw/pc/q35.h"

#include "core/base/thread.h"
#include "hw/pci/pci_regs.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define ADDRESS 0xcf8
#define DATA 0xcfc
#define ENABLE 0x80000000u
#define HOST_ID 0x29c08086u

/* A function with bytes to read and write. */
struct toy {
	struct pci_device pci;
};

static bool toy_realize(struct device *device, struct machine *machine, GError **error)
{
	static const struct pci_identity identity = {
			.vendor = 0x1234, .device = 0x5678, .class_code = 0x020000};
	struct toy *toy = container_of(device, struct toy, pci.base);

	if (!pci_device_realize(&toy->pci, machine, &identity, error)) {
		return false;
	}
	toy->pci.config[PCI_INTERRUPT_PIN] = 1;
	for (unsigned i = 0x40; i < PCIE_CONFIG_SIZE; i++) {
		toy->pci.config[i] = (uint8_t)(i ^ i >> 8);
		toy->pci.writable[i] = 0xff;
	}
	return true;
}

static void toy_unrealize(struct device *device)
{
	pci_device_unrealize(&container_of(device, struct toy, pci.base)->pci);
}

static void toy_reset(struct device *device)
{
	pci_device_reset(&container_of(device, struct toy, pci.base)->pci);
}

static const struct property toy_properties[] = {PCI_DEVICE_PROPERTIES(struct toy, pci), {0}};

static const struct device_class toy_class = {
		.name = "toy",
		.description = "a function",
		.size = sizeof(struct toy),
		.properties = toy_properties,
		.realize = toy_realize,
		.unrealize = toy_unrealize,
		.reset = toy_reset,
};

struct fixture {
	struct fake_machine *fake;
	struct device *host, *toy;
};

static struct device *add(struct fixture *f, struct device *device)
{
	bool ok = device_realize(device, &f->fake->machine, NULL);

	assert_true(ok);
	return device;
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->host = add(f, fake_machine_device(&q35_host_class, NULL));
	device_reset(f->host);
	f->toy = add(f, fake_machine_device(&toy_class, "addr", "3.1", NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->toy);
	device_destroy(f->host);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static uint32_t address_of(unsigned bus, unsigned slot, unsigned function, unsigned reg)
{
	return ENABLE | bus << 16 | slot << 11 | function << 8 | reg;
}

static uint64_t ecam_of(unsigned bus, unsigned slot, unsigned function, unsigned reg)
{
	return Q35_ECAM_BASE + (bus << 20 | slot << 15 | function << 12 | reg);
}

static uint8_t pattern(unsigned reg)
{
	return (uint8_t)(reg ^ reg >> 8);
}

static uint64_t pattern_of(unsigned reg, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		value |= (uint64_t)pattern(reg + i) << 8 * i;
	}
	return value;
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	fake_port_write(f->fake, ADDRESS, address_of(0, 0, 0, 0), 4);
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 4), ENABLE);
	assert_int_equal(fake_port_read(f->fake, DATA, 4), HOST_ID);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 0, 0, 0), 4), HOST_ID);
	/* The extended window: at its place, enabled, 256 buses; nobody moves it. */
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 0, 0, 0x60), 8), Q35_ECAM_BASE | 1);
	fake_mmio_write(f->fake, ecam_of(0, 0, 0, 0x60), 0, 8);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 0, 0, 0x60), 4), Q35_ECAM_BASE | 1);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 0, 0, 8), 4) >> 8, 0x060000);
}

static void test_address_register(void **state)
{
	struct fixture *f = *state;

	/* As systems probe for it: bytes pass by, reserved bits read as zero. */
	fake_out8(f->fake, 0xcfb, 0x01);
	fake_port_write(f->fake, ADDRESS, ENABLE, 4);
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 4), ENABLE);
	fake_out8(f->fake, ADDRESS, 0xff);
	fake_port_write(f->fake, ADDRESS, 0xffff, 2);
	fake_port_write(f->fake, ADDRESS + 2, 0xffff, 2);
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 4), ENABLE);
	fake_port_write(f->fake, ADDRESS, 0xffffffff, 4);
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 4), 0x80fffffc);
	assert_int_equal(fake_in8(f->fake, ADDRESS), 0xff);
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 2), 0xffff);
	/* Not enabled: no cycle. */
	fake_port_write(f->fake, ADDRESS, 0, 4);
	assert_int_equal(fake_port_read(f->fake, DATA, 4), 0xffffffff);
	assert_int_equal(fake_port_read(f->fake, DATA, 2), 0xffff);
	device_reset(f->host);
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 4), 0);
}

static void test_nobody_there(void **state)
{
	struct fixture *f = *state;

	fake_port_write(f->fake, ADDRESS, address_of(0, 4, 0, 0), 4);
	assert_int_equal(fake_port_read(f->fake, DATA, 4), 0xffffffff);
	fake_port_write(f->fake, DATA, 0, 4);
	fake_port_write(f->fake, ADDRESS, address_of(1, 0, 0, 0), 4);
	assert_int_equal(fake_port_read(f->fake, DATA, 2), 0xffff);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 0, 0), 4), 0xffffffff);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(1, 3, 1, 0x40), 8), UINT64_MAX);
	fake_mmio_write(f->fake, ecam_of(255, 31, 7, 0xff8), 0, 8);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(255, 31, 7, 0xff8), 8), UINT64_MAX);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(255, 31, 7, 0xfff), 1), 0xff);
}

/* Any size anywhere gives the bytes that are there. */
static void test_narrow_and_crooked(void **state)
{
	struct fixture *f = *state;

	for (unsigned offset = 0; offset < 4; offset++) {
		for (unsigned size = 1; size <= 4 && offset + size <= 4; size *= 2) {
			fake_port_write(f->fake, ADDRESS, address_of(0, 3, 1, 0x40), 4);
			assert_int_equal(fake_port_read(f->fake, DATA + offset, size),
					pattern_of(0x40 + offset, size));
		}
	}
	for (unsigned reg = 0x40; reg < 0x50; reg++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, reg), size),
					pattern_of(reg, size));
		}
	}
	/* Over the end of a function the next one answers: there is none. */
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, 0xffe), 4),
			0xffff0000 | pattern_of(0xffe, 2));
}

static void test_narrow_writes(void **state)
{
	struct fixture *f = *state;
	uint64_t expected = pattern_of(0x80, 8);

	fake_port_write(f->fake, ADDRESS, address_of(0, 3, 1, 0x80), 4);
	fake_out8(f->fake, DATA + 1, 0xaa);
	expected = (expected & ~UINT64_C(0xff00)) | 0xaa00;
	fake_port_write(f->fake, DATA + 2, 0xbbcc, 2);
	expected = (expected & ~UINT64_C(0xffff0000)) | 0xbbcc0000;
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, 0x80), 8), expected);
	fake_port_write(f->fake, DATA + 1, 0x1122, 2);
	expected = (expected & ~UINT64_C(0xffff00)) | 0x112200;
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, 0x80), 8), expected);
	fake_mmio_write(f->fake, ecam_of(0, 3, 1, 0x83), 0x99887766, 4);
	expected = (expected & ~UINT64_C(0xffffffff000000)) | UINT64_C(0x99887766) << 24;
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, 0x80), 8), expected);
	fake_mmio_write(f->fake, ecam_of(0, 3, 1, 0x80), UINT64_C(0x0102030405060708), 8);
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, 0x80), 8),
			UINT64_C(0x0102030405060708));
	/* The extended registers are reached by the window only. */
	assert_int_equal(fake_mmio_read(f->fake, ecam_of(0, 3, 1, 0xffc), 4), pattern_of(0xffc, 4));
}

static void test_reset_control(void **state)
{
	struct fixture *f = *state;
	struct fake_event event;

	fake_port_write(f->fake, ADDRESS, address_of(0, 3, 1, 0x40), 4);
	assert_int_equal(fake_in8(f->fake, Q35_RESET_PORT), 0);
	fake_out8(f->fake, Q35_RESET_PORT, 0x02); /* which kind; nothing happens yet */
	assert_int_equal(fake_in8(f->fake, Q35_RESET_PORT), 0x02);
	assert_false(fake_machine_take_event(f->fake, &event));
	fake_out8(f->fake, Q35_RESET_PORT, 0x06);
	assert_true(fake_machine_take_event(f->fake, &event));
	assert_int_equal(event.event, MACHINE_EVENT_RESET);
	fake_out8(f->fake, Q35_RESET_PORT, Q35_RESET_VALUE);
	assert_true(fake_machine_take_event(f->fake, &event));
	assert_int_equal(event.event, MACHINE_EVENT_RESET);
	assert_int_equal(fake_in8(f->fake, Q35_RESET_PORT), 0x0a);
	/* The address register on the same ports was not touched, and does not reset. */
	assert_int_equal(fake_port_read(f->fake, ADDRESS, 4), address_of(0, 3, 1, 0x40));
	fake_port_write(f->fake, ADDRESS, ENABLE | 0x0600, 4);
	assert_false(fake_machine_take_event(f->fake, &event));
	device_reset(f->host);
	assert_int_equal(fake_in8(f->fake, Q35_RESET_PORT), 0);
}

/* Functions on one input: it is high while any of them asks. */
static void test_shared_intx(void **state)
{
	struct fixture *f = *state;
	/* Slots 3 and 7 lead to the same input. */
	struct device *other = add(f, fake_machine_device(&toy_class, "addr", "7", NULL));
	struct pci_device *first = &container_of(f->toy, struct toy, pci.base)->pci;
	struct pci_device *second = &container_of(other, struct toy, pci.base)->pci;

	pci_set_intx(first, true);
	pci_set_intx(second, true);
	assert_true(fake_machine_gsi(f->fake, 19));
	pci_set_intx(first, false);
	assert_true(fake_machine_gsi(f->fake, 19));
	fake_config_write(f->fake, PCI_DEVFN(7, 0), PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	assert_false(fake_machine_gsi(f->fake, 19));
	fake_config_write(f->fake, PCI_DEVFN(7, 0), PCI_COMMAND, 0, 2);
	assert_true(fake_machine_gsi(f->fake, 19));
	device_reset(other);
	assert_false(fake_machine_gsi(f->fake, 19));
	device_destroy(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_identity),
			TEST(test_address_register),
			TEST(test_nobody_there),
			TEST(test_narrow_and_crooked),
			TEST(test_narrow_writes),
			TEST(test_reset_control),
			TEST(test_shared_intx),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
