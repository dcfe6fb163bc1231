/* SPDX-License-Identifier: MIT */
#include "hw/virtio/virtio_rng_pci.h"

#include "core/base/thread.h"
#include "tests/harness/test.h"
#include "tests/harness/virtio_driver.h"

#include <string.h>

#define RINGS 0x10000u
#define DATA 0x100000u
#define RING_SIZE 32

struct fixture {
	struct fake_machine *fake;
	struct device *device;
	struct virtio_driver driver;
	struct driver_queue queue;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(16 * MiB);
	f->device = fake_machine_device(&virtio_rng_pci_class, "addr", "4", NULL);
	assert_true(device_realize(f->device, &f->fake->machine, NULL));
	device_reset(f->device);
	fake_machine_assign(f->fake);
	virtio_driver_init(&f->driver, f->fake, PCI_DEVFN(4, 0));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->device);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static void bring_up(struct fixture *f)
{
	assert_true(virtio_driver_negotiate(&f->driver, 0));
	virtio_driver_enable_msix(&f->driver, 2);
	driver_queue_init(&f->queue, f->fake->machine.ram, RINGS, RING_SIZE);
	virtio_driver_setup_queue(&f->driver, 0, &f->queue);
	virtio_driver_ok(&f->driver);
}

static void turn(void)
{
	g_main_context_iteration(NULL, TRUE);
}

static bool all_zero(struct fixture *f, uint64_t guest, size_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);

	fake_read(f->fake, guest, buf, len);
	return buf[0] == 0 && memcmp(buf, buf + 1, len - 1) == 0;
}

static void test_fills(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer buffers[] = {{DATA, 24, true}, {DATA + 0x1000, 40, true}};
	uint32_t head, len;

	bring_up(f);
	driver_queue_add(&f->queue, buffers, 2);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(driver_queue_take_used(&f->queue, &head, &len));
	assert_int_equal(len, 64);
	assert_false(all_zero(f, DATA, 24));
	assert_false(all_zero(f, DATA + 0x1000, 40));
	assert_true(all_zero(f, DATA + 24, 0x1000 - 24));
	assert_true(all_zero(f, DATA + 0x1000 + 40, 64));
	virtio_driver_wait(&f->driver, 0);
}

/* However much is asked: each request gets a piece, each turn of the loop ends. */
static void test_bounded(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer large = {DATA, 8 * MiB, true};
	uint32_t head, len;
	unsigned answered = 0, turns = 0;

	bring_up(f);
	for (unsigned i = 0; i < RING_SIZE; i++) {
		driver_queue_add(&f->queue, &large, 1);
	}
	virtio_driver_kick(&f->driver, 0);
	while (answered < RING_SIZE) {
		turn();
		turns++;
		while (driver_queue_take_used(&f->queue, &head, &len)) {
			assert_int_equal(len, 4096);
			answered++;
		}
	}
	assert_int_equal(turns, 2);
	assert_true(all_zero(f, DATA + 4096, 4096));
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer readable = {DATA, 16, false};
	const struct driver_buffer good = {DATA, 16, true};
	uint32_t head, len;

	bring_up(f);
	driver_queue_add(&f->queue, &readable, 1);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(virtio_driver_status(&f->driver) & 64);
	assert_int_equal(fake_machine_wait_msi(f->fake).data, DRIVER_MSI_DATA);
	/* given up: kicks do nothing until the reset */
	driver_queue_add(&f->queue, &good, 1);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_false(driver_queue_take_used(&f->queue, &head, &len));
	bring_up(f);
	driver_queue_add(&f->queue, &good, 1);
	virtio_driver_kick(&f->driver, 0);
	turn();
	assert_true(driver_queue_take_used(&f->queue, &head, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_fills, setup, teardown),
			cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
			cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
