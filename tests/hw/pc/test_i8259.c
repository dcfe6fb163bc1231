/* SPDX-License-Identifier: MIT */
#include "hw/pc/i8259.h"

#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define MASTER 0x20
#define SLAVE 0xa0
#define ELCR 0x4d0

#define ICW1 0x11 /* cascaded, ICW4 follows */
#define MASTER_BASE 0x30
#define SLAVE_BASE 0x70

#define NONSPECIFIC_EOI 0x20
#define SPECIFIC_EOI 0x60
#define ROTATE_EOI 0xa0
#define ROTATE_SPECIFIC_EOI 0xe0
#define SET_PRIORITY 0xc0
#define ROTATE_AEOI_SET 0x80
#define ROTATE_AEOI_CLEAR 0x00
#define READ_IRR 0x0a
#define READ_ISR 0x0b
#define POLL 0x0c
#define SPECIAL_MASK_SET 0x68
#define SPECIAL_MASK_CLEAR 0x48

#define ICW4_8086 0x01
#define ICW4_AUTO_EOI 0x02
#define ICW4_SPECIAL_NESTED 0x10

struct fixture {
	struct fake_machine *fake;
	struct device *pics;
};

static void init_pic(struct fixture *f, uint16_t port, uint8_t base, uint8_t icw4)
{
	fake_out8(f->fake, port, ICW1);
	fake_out8(f->fake, port + 1, base);
	fake_out8(f->fake, port + 1, port == MASTER ? 4 : 2);
	fake_out8(f->fake, port + 1, icw4);
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->pics = fake_machine_device(&i8259_class, NULL);
	bool ok = device_realize(f->pics, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(f->pics);
	init_pic(f, MASTER, MASTER_BASE, ICW4_8086);
	init_pic(f, SLAVE, SLAVE_BASE, ICW4_8086);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->pics);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static void drive(struct fixture *f, unsigned input)
{
	i8259_set_input(f->pics, input, true);
}

static void release(struct fixture *f, unsigned input)
{
	i8259_set_input(f->pics, input, false);
}

static uint8_t status(struct fixture *f, uint16_t port, uint8_t which)
{
	fake_out8(f->fake, port, which);
	return fake_in8(f->fake, port);
}

/* The CPU is interrupted and fetches the vector. */
static void assert_interrupt(struct fixture *f, uint8_t vector)
{
	assert_true(f->fake->extint);
	assert_int_equal(i8259_acknowledge(f->pics), vector);
}

static void assert_quiet(struct fixture *f)
{
	assert_false(f->fake->extint);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	fake_port_write(f->fake, ELCR, 0xffff, 2);
	drive(f, 3);
	drive(f, 8);
	assert_true(f->fake->extint);
	device_reset(f->pics);
	assert_quiet(f);
	assert_int_equal(fake_in8(f->fake, MASTER + 1), 0xff);
	assert_int_equal(fake_in8(f->fake, SLAVE + 1), 0xff);
	assert_int_equal(status(f, MASTER, READ_IRR), 0);
	assert_int_equal(status(f, MASTER, READ_ISR), 0);
	assert_int_equal(fake_port_read(f->fake, ELCR, 2), 0);
}

static void test_vectors(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 2) {
			continue;
		}
		drive(f, i);
		assert_interrupt(f, (uint8_t)(i < 8 ? MASTER_BASE + i : SLAVE_BASE + i - 8));
		assert_quiet(f);
		release(f, i);
		if (i >= 8) {
			fake_out8(f->fake, SLAVE, NONSPECIFIC_EOI);
		}
		fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
		assert_int_equal(status(f, MASTER, READ_ISR), 0);
		assert_int_equal(status(f, SLAVE, READ_ISR), 0);
		assert_quiet(f);
	}
}

static void test_mask(void **state)
{
	struct fixture *f = *state;

	fake_out8(f->fake, MASTER + 1, 0x10);
	assert_int_equal(fake_in8(f->fake, MASTER + 1), 0x10);
	drive(f, 4);
	assert_quiet(f);
	assert_int_equal(status(f, MASTER, READ_IRR), 0x10);
	fake_out8(f->fake, MASTER + 1, 0);
	assert_interrupt(f, MASTER_BASE + 4);
	/* Masking the cascade silences the slave. */
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	fake_out8(f->fake, MASTER + 1, 0x04);
	drive(f, 12);
	assert_quiet(f);
	fake_out8(f->fake, MASTER + 1, 0);
	assert_interrupt(f, SLAVE_BASE + 4);
}

static void test_nesting(void **state)
{
	struct fixture *f = *state;

	drive(f, 5);
	assert_interrupt(f, MASTER_BASE + 5);
	drive(f, 6); /* lower: waits */
	assert_quiet(f);
	drive(f, 3); /* higher */
	assert_interrupt(f, MASTER_BASE + 3);
	drive(f, 9); /* higher still: the slave is input 2 */
	assert_interrupt(f, SLAVE_BASE + 1);
	assert_int_equal(status(f, MASTER, READ_ISR), 0x2c);
	assert_int_equal(status(f, SLAVE, READ_ISR), 0x02);
	fake_out8(f->fake, SLAVE, NONSPECIFIC_EOI);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_int_equal(status(f, MASTER, READ_ISR), 0x28);
	fake_out8(f->fake, MASTER, SPECIFIC_EOI | 5); /* out of turn */
	assert_int_equal(status(f, MASTER, READ_ISR), 0x08);
	assert_quiet(f);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_interrupt(f, MASTER_BASE + 6);
}

static void test_spurious(void **state)
{
	struct fixture *f = *state;

	drive(f, 4);
	assert_true(f->fake->extint);
	release(f, 4); /* gone before it is acknowledged */
	assert_quiet(f);
	assert_int_equal(i8259_acknowledge(f->pics), MASTER_BASE + 7);
	assert_int_equal(status(f, MASTER, READ_ISR), 0); /* no EOI is due */
	drive(f, 12);
	release(f, 12);
	assert_quiet(f);
	/* Masked after the request: likewise. */
	drive(f, 4);
	fake_out8(f->fake, MASTER + 1, 0xff);
	assert_int_equal(i8259_acknowledge(f->pics), MASTER_BASE + 7);
	fake_out8(f->fake, MASTER + 1, 0);
	assert_interrupt(f, MASTER_BASE + 4);
}

static void test_edge(void **state)
{
	struct fixture *f = *state;

	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_quiet(f); /* high, but it did not rise */
	drive(f, 4);
	assert_quiet(f);
	release(f, 4);
	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4);
	/* Two edges while in service are one request. */
	release(f, 4);
	drive(f, 4);
	release(f, 4);
	drive(f, 4);
	assert_quiet(f);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_interrupt(f, MASTER_BASE + 4);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_quiet(f);
}

static void test_level(void **state)
{
	struct fixture *f = *state;

	fake_out8(f->fake, ELCR, 0xff);
	fake_out8(f->fake, ELCR + 1, 0xff);
	assert_int_equal(fake_in8(f->fake, ELCR), 0xf8); /* timer, keyboard and cascade: edge */
	assert_int_equal(fake_in8(f->fake, ELCR + 1), 0xde); /* clock and coprocessor too */
	drive(f, 11);
	assert_interrupt(f, SLAVE_BASE + 3);
	assert_int_equal(status(f, SLAVE, READ_IRR), 0x08);
	fake_out8(f->fake, SLAVE, NONSPECIFIC_EOI);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_interrupt(f, SLAVE_BASE + 3); /* still high: again */
	release(f, 11);
	fake_out8(f->fake, SLAVE, NONSPECIFIC_EOI);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_quiet(f);
}

static void test_switch_to_level(void **state)
{
	struct fixture *f = *state;

	drive(f, 5);
	assert_interrupt(f, MASTER_BASE + 5);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_quiet(f);
	fake_out8(f->fake, ELCR, 0x20); /* now what counts is that it is high */
	assert_interrupt(f, MASTER_BASE + 5);
}

static void test_rotation(void **state)
{
	struct fixture *f = *state;

	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4);
	fake_out8(f->fake, MASTER, ROTATE_EOI); /* 4 is the lowest now, 5 the highest */
	drive(f, 3);
	drive(f, 5);
	assert_interrupt(f, MASTER_BASE + 5);
	assert_quiet(f);
	fake_out8(f->fake, MASTER, ROTATE_SPECIFIC_EOI | 5);
	assert_interrupt(f, MASTER_BASE + 3);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	fake_out8(f->fake, MASTER, SET_PRIORITY | 0); /* 1 is the highest, 0 the lowest */
	release(f, 3);
	drive(f, 0);
	drive(f, 7);
	assert_interrupt(f, MASTER_BASE + 7);
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_interrupt(f, MASTER_BASE + 0);
}

static void test_auto_eoi(void **state)
{
	struct fixture *f = *state;

	init_pic(f, MASTER, MASTER_BASE, ICW4_8086 | ICW4_AUTO_EOI);
	drive(f, 4);
	drive(f, 6);
	assert_interrupt(f, MASTER_BASE + 4);
	assert_int_equal(status(f, MASTER, READ_ISR), 0);
	assert_interrupt(f, MASTER_BASE + 6);
	assert_quiet(f);
	fake_out8(f->fake, MASTER, ROTATE_AEOI_SET);
	release(f, 4);
	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4); /* the lowest from now on */
	release(f, 4);
	release(f, 6);
	drive(f, 4);
	drive(f, 6);
	assert_interrupt(f, MASTER_BASE + 6);
	fake_out8(f->fake, MASTER, ROTATE_AEOI_CLEAR);
	assert_interrupt(f, MASTER_BASE + 4);
	release(f, 4);
	release(f, 6);
	drive(f, 6);
	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4); /* 6 stayed the lowest */
}

/* With automatic EOI a slave keeps requesting: its next request must reach the master as an edge. */
static void test_auto_eoi_of_the_slave(void **state)
{
	struct fixture *f = *state;

	init_pic(f, MASTER, MASTER_BASE, ICW4_8086 | ICW4_AUTO_EOI);
	init_pic(f, SLAVE, SLAVE_BASE, ICW4_8086 | ICW4_AUTO_EOI);
	drive(f, 9);
	drive(f, 10);
	assert_interrupt(f, SLAVE_BASE + 1);
	assert_interrupt(f, SLAVE_BASE + 2);
	assert_quiet(f);
}

static void test_special_mask(void **state)
{
	struct fixture *f = *state;

	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4);
	fake_out8(f->fake, MASTER + 1, 0x10); /* its own level masked ... */
	drive(f, 6);
	assert_quiet(f);
	fake_out8(f->fake, MASTER, SPECIAL_MASK_SET); /* ... no longer holds lower ones up */
	assert_interrupt(f, MASTER_BASE + 6);
	/* A non-specific EOI means what is not masked. */
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	assert_int_equal(status(f, MASTER, READ_ISR), 0x10);
	drive(f, 7);
	fake_out8(f->fake, MASTER, SPECIAL_MASK_CLEAR);
	assert_quiet(f);
	fake_out8(f->fake, MASTER, SPECIFIC_EOI | 4);
	assert_interrupt(f, MASTER_BASE + 7);
}

static void test_special_nested(void **state)
{
	struct fixture *f = *state;

	/* Without it a second request of the slave waits for the master's EOI. */
	drive(f, 12);
	assert_interrupt(f, SLAVE_BASE + 4);
	drive(f, 9);
	assert_quiet(f);
	init_pic(f, SLAVE, SLAVE_BASE, ICW4_8086);
	init_pic(f, MASTER, MASTER_BASE, ICW4_8086 | ICW4_SPECIAL_NESTED);
	release(f, 9);
	release(f, 12);
	drive(f, 12);
	assert_interrupt(f, SLAVE_BASE + 4);
	drive(f, 9);
	assert_interrupt(f, SLAVE_BASE + 1);
	/* But not what is lower than the slave. */
	drive(f, 5);
	assert_quiet(f);
}

static void test_poll(void **state)
{
	struct fixture *f = *state;

	fake_out8(f->fake, MASTER, POLL);
	assert_int_equal(fake_in8(f->fake, MASTER) & 0x80, 0);
	drive(f, 5);
	fake_out8(f->fake, MASTER, POLL);
	assert_int_equal(fake_in8(f->fake, MASTER), 0x85);
	assert_quiet(f);
	assert_int_equal(status(f, MASTER, READ_ISR), 0x20);
	/* Only the next read is a poll, at either port. */
	fake_out8(f->fake, MASTER, NONSPECIFIC_EOI);
	drive(f, 12);
	fake_out8(f->fake, SLAVE, POLL);
	assert_int_equal(fake_in8(f->fake, SLAVE + 1), 0x84);
	assert_int_equal(fake_in8(f->fake, SLAVE + 1), 0);
	assert_quiet(f);
}

static void test_initialization_words(void **state)
{
	struct fixture *f = *state;

	/* Single: no ICW3. Without ICW4 its functions are off. */
	init_pic(f, MASTER, MASTER_BASE, ICW4_8086 | ICW4_AUTO_EOI);
	fake_out8(f->fake, MASTER, 0x12);
	fake_out8(f->fake, MASTER + 1, 0x47); /* the low three bits are the input's */
	fake_out8(f->fake, MASTER + 1, 0xef); /* already the mask */
	assert_int_equal(fake_in8(f->fake, MASTER + 1), 0xef);
	drive(f, 4);
	assert_interrupt(f, 0x44);
	assert_int_equal(status(f, MASTER, READ_ISR), 0x10);
	/* Single with ICW4. */
	fake_out8(f->fake, MASTER, 0x13);
	fake_out8(f->fake, MASTER + 1, 0x50);
	fake_out8(f->fake, MASTER + 1, ICW4_8086 | ICW4_AUTO_EOI);
	release(f, 4);
	drive(f, 4);
	assert_interrupt(f, 0x54);
	assert_int_equal(status(f, MASTER, READ_ISR), 0);
	/* ICW1 starts over in the middle of a sequence. */
	fake_out8(f->fake, MASTER, ICW1);
	fake_out8(f->fake, MASTER + 1, 0x60);
	init_pic(f, MASTER, MASTER_BASE, ICW4_8086);
	fake_out8(f->fake, MASTER + 1, 0xaa);
	assert_int_equal(fake_in8(f->fake, MASTER + 1), 0xaa);
}

static void test_icw1_clears(void **state)
{
	struct fixture *f = *state;

	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4);
	drive(f, 5);
	fake_out8(f->fake, MASTER + 1, 0x80);
	fake_out8(f->fake, MASTER, SET_PRIORITY | 3);
	fake_out8(f->fake, MASTER, SPECIAL_MASK_SET);
	fake_out8(f->fake, MASTER, READ_ISR);
	init_pic(f, MASTER, MASTER_BASE, ICW4_8086);
	assert_int_equal(fake_in8(f->fake, MASTER + 1), 0); /* no mask */
	assert_int_equal(fake_in8(f->fake, MASTER), 0); /* the IRR; inputs must rise anew */
	assert_int_equal(status(f, MASTER, READ_ISR), 0);
	assert_quiet(f);
	release(f, 4);
	drive(f, 4);
	assert_interrupt(f, MASTER_BASE + 4); /* the order of priorities is the usual one */
	drive(f, 3);
	assert_interrupt(f, MASTER_BASE + 3);
}

static void test_words(void **state)
{
	struct fixture *f = *state;

	/* A word is a byte to each port: ICW1 with ICW2, as some systems write them. */
	fake_port_write(f->fake, MASTER, 0x5011, 2);
	fake_out8(f->fake, MASTER + 1, 4);
	fake_port_write(f->fake, MASTER, 0x0100 | READ_ISR, 2);
	assert_int_equal(fake_port_read(f->fake, MASTER, 2), 0);
	drive(f, 1);
	assert_interrupt(f, 0x51);
	assert_int_equal(fake_port_read(f->fake, MASTER, 2), 0x02);
}

static void test_two(void **state)
{
	struct fixture *f = *state;
	void *other_state;

	setup(&other_state);
	struct fixture *other = other_state;
	drive(other, 4);
	assert_quiet(f);
	assert_true(other->fake->extint);
	teardown(&other_state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_reset),
			TEST(test_vectors),
			TEST(test_mask),
			TEST(test_nesting),
			TEST(test_spurious),
			TEST(test_edge),
			TEST(test_level),
			TEST(test_switch_to_level),
			TEST(test_rotation),
			TEST(test_auto_eoi),
			TEST(test_auto_eoi_of_the_slave),
			TEST(test_special_mask),
			TEST(test_special_nested),
			TEST(test_poll),
			TEST(test_initialization_words),
			TEST(test_icw1_clears),
			TEST(test_words),
			TEST(test_two),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
