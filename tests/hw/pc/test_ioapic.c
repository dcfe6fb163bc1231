/* SPDX-License-Identifier: MIT */
#include "hw/pc/ioapic.h"

#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define BASE UINT64_C(0xfec00000)
#define SELECT (BASE + 0x00)
#define WINDOW (BASE + 0x10)
#define EOI (BASE + 0x40)
#define INPUTS 24

#define LEVEL UINT64_C(0x8000)
#define MASKED UINT64_C(0x10000)
#define REMOTE_IRR UINT64_C(0x4000)
#define LOGICAL UINT64_C(0x0800)
#define ACTIVE_LOW UINT64_C(0x2000)
#define DESTINATION(id) ((uint64_t)(id) << 56)

struct fixture {
	struct fake_machine *fake;
	struct device *ioapic;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->ioapic = fake_machine_device(&ioapic_class, NULL);
	bool ok = device_realize(f->ioapic, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(f->ioapic);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->ioapic);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static uint32_t get(struct fixture *f, uint8_t index)
{
	fake_mmio_write(f->fake, SELECT, index, 4);
	return (uint32_t)fake_mmio_read(f->fake, WINDOW, 4);
}

static void set(struct fixture *f, uint8_t index, uint32_t value)
{
	fake_mmio_write(f->fake, SELECT, index, 4);
	fake_mmio_write(f->fake, WINDOW, value, 4);
}

static uint64_t get_entry(struct fixture *f, unsigned input)
{
	return get(f, (uint8_t)(0x10 + 2 * input)) | (uint64_t)get(f, (uint8_t)(0x11 + 2 * input))
								     << 32;
}

static void set_entry(struct fixture *f, unsigned input, uint64_t entry)
{
	set(f, (uint8_t)(0x11 + 2 * input), (uint32_t)(entry >> 32));
	set(f, (uint8_t)(0x10 + 2 * input), (uint32_t)entry);
}

static void assert_msi(struct fixture *f, uint64_t address, uint32_t data)
{
	struct fake_msi msi;

	assert_true(fake_machine_take_msi(f->fake, &msi));
	assert_int_equal(msi.address, address);
	assert_int_equal(msi.data, data);
}

static void assert_silent(struct fixture *f)
{
	struct fake_msi msi;

	assert_false(fake_machine_take_msi(f->fake, &msi));
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	set(f, 0, 0x05000000);
	set_entry(f, 3, DESTINATION(1) | LEVEL | 0x33);
	device_reset(f->ioapic);
	assert_int_equal(fake_mmio_read(f->fake, SELECT, 4), 0);
	assert_int_equal(get(f, 0), 0);
	assert_int_equal(get(f, 1), 0x00170020);
	assert_int_equal(get(f, 2), 0);
	for (unsigned i = 0; i < INPUTS; i++) {
		assert_int_equal(get_entry(f, i), MASKED);
	}
	assert_int_equal(f->fake->eoi_vectors[0], 0);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;

	set(f, 0, UINT32_MAX);
	assert_int_equal(get(f, 0), 0x0f000000);
	assert_int_equal(get(f, 2), 0x0f000000); /* the arbitration id is loaded with it */
	set(f, 1, UINT32_MAX); /* read-only */
	assert_int_equal(get(f, 1), 0x00170020);
	set_entry(f, 23, UINT64_MAX);
	/* Delivery status, remote IRR and the reserved bits stay clear. */
	assert_int_equal(get_entry(f, 23), UINT64_C(0xff0000000001afff));
	/* Behind the last entry is nothing. */
	set(f, 0x40, UINT32_MAX);
	assert_int_equal(get(f, 0x40), 0);
	assert_int_equal(get(f, 0x0f), 0);
	assert_int_equal(fake_mmio_read(f->fake, BASE + 0x20, 4), 0);
}

static void test_widths(void **state)
{
	struct fixture *f = *state;

	fake_mmio_write(f->fake, SELECT, 0x10, 1);
	assert_int_equal(fake_mmio_read(f->fake, SELECT, 1), 0x10);
	/* A part of an entry cannot be written, and must not clear the rest. */
	fake_mmio_write(f->fake, WINDOW, 0x00018031, 4);
	fake_mmio_write(f->fake, WINDOW, 0x44, 1);
	fake_mmio_write(f->fake, WINDOW, 0x44, 2);
	assert_int_equal(get_entry(f, 0), MASKED | LEVEL | 0x31);
	fake_mmio_write(f->fake, WINDOW + 2, 0, 2);
	assert_int_equal(get_entry(f, 0), MASKED | LEVEL | 0x31);
	/* Of eight bytes the first four count. */
	fake_mmio_write(f->fake, SELECT, 0x10, 8);
	fake_mmio_write(f->fake, WINDOW, UINT64_C(0xffffffff00010042), 8);
	assert_int_equal(fake_mmio_read(f->fake, WINDOW, 8), 0x00010042);
}

static void test_edge(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 4, DESTINATION(2) | LOGICAL | 0x100 | 0x41);
	ioapic_set_input(f->ioapic, 4, true);
	assert_msi(f, 0xfee02004, 0x4141);
	ioapic_set_input(f->ioapic, 4, true); /* no edge */
	assert_silent(f);
	ioapic_eoi(f->ioapic, 0x41);
	assert_silent(f);
	assert_int_equal(get_entry(f, 4) & REMOTE_IRR, 0);
	ioapic_set_input(f->ioapic, 4, false);
	assert_silent(f);
	ioapic_set_input(f->ioapic, 4, true);
	assert_msi(f, 0xfee02004, 0x4141);
}

static void test_edges_at_a_masked_input_are_lost(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 4, MASKED | 0x41);
	ioapic_set_input(f->ioapic, 4, true);
	set_entry(f, 4, 0x41);
	assert_silent(f);
	ioapic_set_input(f->ioapic, 4, false);
	ioapic_set_input(f->ioapic, 4, true);
	assert_msi(f, 0xfee00000, 0x4041);
}

static void test_level(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 16, DESTINATION(1) | LEVEL | ACTIVE_LOW | 0x51);
	ioapic_set_input(f->ioapic, 16, true);
	assert_msi(f, 0xfee01000, 0xc051);
	assert_int_equal(get_entry(f, 16) & REMOTE_IRR, REMOTE_IRR);
	/* While it is in service nothing more is sent. */
	ioapic_set_input(f->ioapic, 16, false);
	ioapic_set_input(f->ioapic, 16, true);
	assert_silent(f);
	/* Still asserted at the EOI: again. */
	ioapic_eoi(f->ioapic, 0x51);
	assert_msi(f, 0xfee01000, 0xc051);
	ioapic_set_input(f->ioapic, 16, false);
	ioapic_eoi(f->ioapic, 0x50); /* another vector's */
	assert_int_equal(get_entry(f, 16) & REMOTE_IRR, REMOTE_IRR);
	ioapic_eoi(f->ioapic, 0x51);
	assert_int_equal(get_entry(f, 16) & REMOTE_IRR, 0);
	assert_silent(f);
}

static void test_level_masked(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 16, MASKED | LEVEL | 0x51);
	ioapic_set_input(f->ioapic, 16, true);
	assert_silent(f);
	set_entry(f, 16, LEVEL | 0x51); /* levels are not lost */
	assert_msi(f, 0xfee00000, 0xc051);
	/* Masked in service, as systems do that move an interrupt: the EOI must still come. */
	set_entry(f, 16, MASKED | LEVEL | 0x51);
	assert_int_equal(get_entry(f, 16) & REMOTE_IRR, REMOTE_IRR);
	assert_int_equal(f->fake->eoi_vectors[1], BIT(0x51 - 64));
	ioapic_eoi(f->ioapic, 0x51);
	assert_int_equal(get_entry(f, 16) & REMOTE_IRR, 0);
	assert_silent(f);
	set_entry(f, 16, LEVEL | 0x51);
	assert_msi(f, 0xfee00000, 0xc051);
}

static void test_shared_vector(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 16, LEVEL | 0x51);
	set_entry(f, 17, LEVEL | 0x51);
	ioapic_set_input(f->ioapic, 16, true);
	ioapic_set_input(f->ioapic, 17, true);
	assert_msi(f, 0xfee00000, 0xc051);
	assert_msi(f, 0xfee00000, 0xc051);
	ioapic_set_input(f->ioapic, 16, false);
	ioapic_eoi(f->ioapic, 0x51);
	assert_msi(f, 0xfee00000, 0xc051); /* 17's */
	assert_int_equal(get_entry(f, 16) & REMOTE_IRR, 0);
	assert_int_equal(get_entry(f, 17) & REMOTE_IRR, REMOTE_IRR);
}

static void test_eoi_register(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 20, LEVEL | 0x61);
	ioapic_set_input(f->ioapic, 20, true);
	assert_msi(f, 0xfee00000, 0xc061);
	ioapic_set_input(f->ioapic, 20, false);
	fake_mmio_write(f->fake, EOI, 0x61, 4);
	assert_int_equal(get_entry(f, 20) & REMOTE_IRR, 0);
	assert_int_equal(fake_mmio_read(f->fake, EOI, 4), 0);
}

/* A system that lost an EOI switches the entry to edge and back. */
static void test_switch_to_edge_clears_remote_irr(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 20, LEVEL | 0x61);
	ioapic_set_input(f->ioapic, 20, true);
	assert_msi(f, 0xfee00000, 0xc061);
	set_entry(f, 20, MASKED | 0x61);
	assert_int_equal(get_entry(f, 20), MASKED | 0x61);
	set_entry(f, 20, LEVEL | 0x61);
	assert_msi(f, 0xfee00000, 0xc061);
}

/* NMI, SMI, INIT and ExtINT have no EOI: they are edges whatever the trigger mode says. */
static void test_other_delivery_modes(void **state)
{
	static const uint32_t modes[] = {0x200, 0x400, 0x500, 0x700};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
		set_entry(f, 5, LEVEL | modes[i] | 0x20);
		ioapic_set_input(f->ioapic, 5, true);
		assert_msi(f, 0xfee00000, 0x4020 | modes[i]);
		assert_int_equal(get_entry(f, 5), LEVEL | modes[i] | 0x20);
		ioapic_set_input(f->ioapic, 5, false);
		assert_silent(f);
	}
	assert_int_equal(f->fake->eoi_vectors[0], 0);
}

static void test_eoi_vectors(void **state)
{
	struct fixture *f = *state;

	set_entry(f, 1, 0x21);
	set_entry(f, 16, LEVEL | 0x3f);
	set_entry(f, 17, LEVEL | 0x40);
	set_entry(f, 18, LEVEL | 0xff);
	assert_int_equal(f->fake->eoi_vectors[0], BIT(0x3f));
	assert_int_equal(f->fake->eoi_vectors[1], BIT(0));
	assert_int_equal(f->fake->eoi_vectors[2], 0);
	assert_int_equal(f->fake->eoi_vectors[3], BIT(63));
	set_entry(f, 16, 0x3f);
	assert_int_equal(f->fake->eoi_vectors[0], 0);
}

static void test_two(void **state)
{
	struct fixture *f = *state;
	void *other_state;

	setup(&other_state);
	struct fixture *other = other_state;
	set_entry(f, 4, 0x41);
	ioapic_set_input(other->ioapic, 4, true);
	ioapic_set_input(f->ioapic, 4, true);
	assert_silent(other);
	assert_msi(f, 0xfee00000, 0x4041);
	teardown(&other_state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_reset),
			TEST(test_registers),
			TEST(test_widths),
			TEST(test_edge),
			TEST(test_edges_at_a_masked_input_are_lost),
			TEST(test_level),
			TEST(test_level_masked),
			TEST(test_shared_vector),
			TEST(test_eoi_register),
			TEST(test_switch_to_edge_clears_remote_irr),
			TEST(test_other_delivery_modes),
			TEST(test_eoi_vectors),
			TEST(test_two),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
