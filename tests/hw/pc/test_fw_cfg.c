/* SPDX-License-Identifier: MIT */
#include "hw/pc/fw_cfg.h"

#include "core/base/thread.h"
#include "core/device/device.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#define SELECTOR 0x510
#define DATA 0x511
#define RAM (UINT64_C(1) << 20)

static uint64_t item(struct fake_machine *fake, uint16_t key, unsigned len)
{
	uint64_t value = 0;

	fake_port_write(fake, SELECTOR, key, 2);
	for (unsigned i = 0; i < len; i++) {
		value |= (uint64_t)fake_in8(fake, DATA) << 8 * i;
	}
	return value;
}

static void test_items(void **state)
{
	struct fake_machine *fake = fake_machine_create(RAM);
	struct device *device = device_create(&fw_cfg_class);
	(void)state;

	assert_true(device_realize(device, &fake->machine, NULL));
	device_reset(device);
	assert_int_equal(item(fake, 0x00, 4), 0x554d4551); /* "QEMU" */
	assert_int_equal(fake_in8(fake, DATA), 0); /* beyond the end */
	assert_int_equal(item(fake, 0x01, 4), 1);
	assert_int_equal(item(fake, 0x03, 8), RAM);
	assert_int_equal(item(fake, 0x05, 2), 1);
	assert_int_equal(item(fake, 0x1234, 4), 0); /* no such item */
	item(fake, 0x00, 2);
	assert_int_equal(item(fake, 0x00, 1), 'Q'); /* selecting starts anew */
	device_destroy(device);
	fake_machine_destroy(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_items)};

	thread_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
