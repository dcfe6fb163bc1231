/* SPDX-License-Identifier: MIT */
#include "hw/virtio/virtio_input_pci.h"

#include "core/base/thread.h"
#include "tests/harness/test.h"
#include "tests/harness/virtio_driver.h"

#include <linux/input.h>
#include <string.h>

#define RINGS 0x10000u
#define STATUS_RINGS 0x20000u
#define EVENTS 0x100000u
#define RING_SIZE 16

struct fixture {
	struct fake_machine *fake;
	struct device *keyboard, *tablet;
	struct virtio_driver driver; /* of whichever brought up last */
	struct driver_queue queue, status;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(16 * MiB);
	f->keyboard = fake_machine_device(&virtio_keyboard_pci_class, "addr", "5", NULL);
	f->tablet = fake_machine_device(&virtio_tablet_pci_class, "addr", "6", NULL);
	assert_true(device_realize(f->keyboard, &f->fake->machine, NULL));
	assert_true(device_realize(f->tablet, &f->fake->machine, NULL));
	device_reset(f->keyboard);
	device_reset(f->tablet);
	fake_machine_assign(f->fake);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->keyboard);
	device_destroy(f->tablet);
	fake_machine_destroy(f->fake);
	g_free(f);
	return 0;
}

static void add_buffers(struct fixture *f, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		const struct driver_buffer buffer = {EVENTS + 8 * i, 8, true};
		driver_queue_add(&f->queue, &buffer, 1);
	}
}

/* Brings a device up with so many buffers in its event queue. */
static void bring_up(struct fixture *f, unsigned slot, unsigned buffers)
{
	virtio_driver_init(&f->driver, f->fake, PCI_DEVFN(slot, 0));
	assert_true(virtio_driver_negotiate(&f->driver, 0));
	virtio_driver_enable_msix(&f->driver, 3);
	driver_queue_init(&f->queue, f->fake->machine.ram, RINGS, RING_SIZE);
	driver_queue_init(&f->status, f->fake->machine.ram, STATUS_RINGS, RING_SIZE);
	virtio_driver_setup_queue(&f->driver, 0, &f->queue);
	virtio_driver_setup_queue(&f->driver, 1, &f->status);
	add_buffers(f, 0, buffers);
	virtio_driver_ok(&f->driver);
}

static void expect_event(struct fixture *f, unsigned index, uint16_t type, uint16_t code, int value)
{
	struct virtio_input_event event;
	uint32_t head, len;

	assert_true(driver_queue_take_used(&f->queue, &head, &len));
	assert_int_equal(len, sizeof(event));
	fake_read(f->fake, EVENTS + 8 * index, &event, sizeof(event));
	assert_int_equal(event.type, type);
	assert_int_equal(event.code, code);
	assert_int_equal((int32_t)event.value, value);
}

static void expect_nothing(struct fixture *f)
{
	uint32_t head, len;

	assert_false(driver_queue_take_used(&f->queue, &head, &len));
}

static uint8_t select_config(
		struct fixture *f, uint8_t select, uint8_t subsel, uint8_t payload[128])
{
	uint8_t config[136];

	virtio_driver_config_write(&f->driver, 0, select, 1);
	virtio_driver_config_write(&f->driver, 1, subsel, 1);
	virtio_driver_config_read(&f->driver, 0, config, sizeof(config));
	assert_int_equal(config[0], select);
	assert_int_equal(config[1], subsel);
	memcpy(payload, config + 8, 128);
	return config[2];
}

static bool bit_of(const uint8_t *bitmap, unsigned bit)
{
	return bitmap[bit / 8] & (1u << (bit % 8));
}

static void test_keyboard_config(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[128];

	virtio_driver_init(&f->driver, f->fake, PCI_DEVFN(5, 0));
	assert_int_equal(select_config(f, 1, 0, payload), strlen("Oriel Keyboard"));
	assert_memory_equal(payload, "Oriel Keyboard", 14);
	assert_int_equal(select_config(f, 3, 0, payload), 8);
	assert_int_equal(select_config(f, 0x11, EV_KEY, payload), 32);
	assert_false(bit_of(payload, 0));
	assert_true(bit_of(payload, KEY_A) && bit_of(payload, KEY_ESC) && bit_of(payload, 255));
	assert_int_equal(select_config(f, 0x11, EV_LED, payload), 1);
	assert_int_equal(payload[0], 7);
	assert_int_equal(select_config(f, 0x11, EV_REP, payload), 1);
	/* what it has not */
	assert_int_equal(select_config(f, 0x11, EV_ABS, payload), 0);
	assert_int_equal(select_config(f, 0x11, EV_SYN, payload), 0);
	assert_int_equal(select_config(f, 0x12, ABS_X, payload), 0);
	assert_int_equal(select_config(f, 0x10, 0, payload), 0);
	assert_int_equal(select_config(f, 0xff, 0xff, payload), 0);
	/* both selectors at once, and writes beyond them */
	virtio_driver_config_write(&f->driver, 0, 0x1101 | 0x11, 2);
	assert_int_equal(fake_mmio_read(f->fake, f->driver.structures[DRIVER_CAP_DEVICE], 2),
			0x1111);
	virtio_driver_config_write(&f->driver, 2, UINT64_MAX, 8);
	virtio_driver_config_write(&f->driver, 4088, UINT64_MAX, 8);
}

static void test_tablet_config(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[128];
	uint32_t abs[5];

	virtio_driver_init(&f->driver, f->fake, PCI_DEVFN(6, 0));
	assert_int_equal(select_config(f, 0x11, EV_KEY, payload), BTN_TASK / 8 + 1);
	assert_true(bit_of(payload, BTN_LEFT) && bit_of(payload, BTN_MIDDLE));
	assert_false(bit_of(payload, KEY_A));
	assert_int_equal(select_config(f, 0x11, EV_ABS, payload), 1);
	assert_int_equal(payload[0], 3);
	assert_int_equal(select_config(f, 0x11, EV_REL, payload), 2);
	assert_true(bit_of(payload, REL_WHEEL) && bit_of(payload, REL_HWHEEL));
	for (unsigned axis = ABS_X; axis <= ABS_Y; axis++) {
		assert_int_equal(select_config(f, 0x12, (uint8_t)axis, payload), sizeof(abs));
		memcpy(abs, payload, sizeof(abs));
		assert_int_equal(abs[0], 0);
		assert_int_equal(abs[1], 0x7fff);
	}
	assert_int_equal(select_config(f, 0x12, 2, payload), 0);
}

static void test_frame(void **state)
{
	struct fixture *f = *state;

	bring_up(f, 6, 8);
	virtio_input_send(f->tablet, VIRTIO_INPUT_ABS, ABS_X, 0x1234);
	virtio_input_send(f->tablet, VIRTIO_INPUT_ABS, ABS_Y, 0x7fff);
	virtio_input_send(f->tablet, VIRTIO_INPUT_REL, REL_WHEEL, -1);
	expect_nothing(f);
	virtio_input_send(f->tablet, VIRTIO_INPUT_SYNC, 0, 0);
	virtio_driver_wait(&f->driver, 0);
	expect_event(f, 0, EV_ABS, ABS_X, 0x1234);
	expect_event(f, 1, EV_ABS, ABS_Y, 0x7fff);
	expect_event(f, 2, EV_REL, REL_WHEEL, -1);
	expect_event(f, 3, EV_SYN, SYN_REPORT, 0);
	expect_nothing(f);
	struct fake_msi msi;
	assert_false(fake_machine_take_msi(f->fake, &msi));
}

/* Every event may go to every device; each takes what it has. */
static void test_foreign_events(void **state)
{
	struct fixture *f = *state;

	bring_up(f, 5, 8);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_ABS, ABS_X, 1);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_KEY, BTN_LEFT, 1);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_KEY, 0, 1);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_KEY, UINT16_MAX, 1);
	virtio_input_send(f->keyboard, (enum virtio_input_kind)77, KEY_A, 1);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_SYNC, 0, 0);
	expect_nothing(f);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_KEY, KEY_A, 1);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_SYNC, 0, 0);
	expect_event(f, 0, EV_KEY, KEY_A, 1);
	expect_event(f, 1, EV_SYN, SYN_REPORT, 0);
}

static void key(struct fixture *f, uint16_t code, int value)
{
	virtio_input_send(f->keyboard, VIRTIO_INPUT_KEY, code, value);
	virtio_input_send(f->keyboard, VIRTIO_INPUT_SYNC, 0, 0);
}

/* A frame that does not fit is dropped whole; what it had taken serves the next one. */
static void test_whole_frames(void **state)
{
	struct fixture *f = *state;

	bring_up(f, 5, 3);
	key(f, KEY_A, 1);
	key(f, KEY_B, 1); /* one buffer is left: not enough */
	expect_event(f, 0, EV_KEY, KEY_A, 1);
	expect_event(f, 1, EV_SYN, SYN_REPORT, 0);
	expect_nothing(f);
	add_buffers(f, 3, 1);
	key(f, KEY_C, 1);
	expect_event(f, 2, EV_KEY, KEY_C, 1);
	expect_event(f, 3, EV_SYN, SYN_REPORT, 0);
	expect_nothing(f);
}

static void test_long_frame(void **state)
{
	struct fixture *f = *state;

	bring_up(f, 5, RING_SIZE);
	for (unsigned i = 0; i < VIRTIO_INPUT_MAX_FRAME + 5; i++) {
		virtio_input_send(f->keyboard, VIRTIO_INPUT_KEY, KEY_A, i & 1);
	}
	virtio_input_send(f->keyboard, VIRTIO_INPUT_SYNC, 0, 0);
	expect_nothing(f);
	key(f, KEY_D, 1);
	expect_event(f, 0, EV_KEY, KEY_D, 1);
}

/* Nobody listens: not started, no queue, reset in between. */
static void test_not_started(void **state)
{
	struct fixture *f = *state;

	key(f, KEY_A, 1);
	virtio_driver_init(&f->driver, f->fake, PCI_DEVFN(5, 0));
	assert_true(virtio_driver_negotiate(&f->driver, 0));
	virtio_driver_ok(&f->driver); /* without queues */
	key(f, KEY_B, 1);
	bring_up(f, 5, 1);
	key(f, KEY_C, 1); /* takes the only buffer and finds no other */
	virtio_driver_reset(&f->driver);
	bring_up(f, 5, 2);
	key(f, KEY_E, 1);
	expect_event(f, 0, EV_KEY, KEY_E, 1);
	expect_event(f, 1, EV_SYN, SYN_REPORT, 0);
}

static void test_status_queue(void **state)
{
	struct fixture *f = *state;
	const struct virtio_input_event led = {.type = EV_LED, .code = LED_CAPSL, .value = 1};
	const struct driver_buffer buffer = {EVENTS + 0x1000, sizeof(led), false};
	uint32_t head, len;

	bring_up(f, 5, 0);
	fake_write(f->fake, buffer.guest, &led, sizeof(led));
	for (unsigned i = 0; i < 5; i++) {
		driver_queue_add(&f->status, &buffer, 1);
	}
	virtio_driver_kick(&f->driver, 1);
	for (unsigned i = 0; i < 5; i++) {
		while (!driver_queue_take_used(&f->status, &head, &len)) {
			g_main_context_iteration(NULL, TRUE);
		}
		assert_int_equal(len, 0);
	}
	virtio_driver_wait(&f->driver, 1);
}

static void test_bad_buffers(void **state)
{
	static const struct driver_buffer bad[] = {
			{EVENTS, 7, true}, {EVENTS, 8, false}, {UINT64_C(1) << 40, 8, true}};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		bring_up(f, 5, 1);
		driver_queue_add(&f->queue, &bad[i], 1);
		key(f, KEY_A, 1);
		assert_true(virtio_driver_status(&f->driver) & 64);
		expect_nothing(f);
		key(f, KEY_A, 0);
	}
	bring_up(f, 5, 2);
	key(f, KEY_A, 1);
	expect_event(f, 0, EV_KEY, KEY_A, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_keyboard_config),
			TEST(test_tablet_config),
			TEST(test_frame),
			TEST(test_foreign_events),
			TEST(test_whole_frames),
			TEST(test_long_frame),
			TEST(test_not_started),
			TEST(test_status_queue),
			TEST(test_bad_buffers),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
