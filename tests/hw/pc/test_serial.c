/* SPDX-License-Identifier: MIT */
#include "hw/pc/serial.h"

#include "core/base/thread.h"
#include "core/control/chardev.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COM1 0x3f8
#define COM1_GSI 4
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };
#define FCR IIR

#define IER_RECEIVE 0x01
#define IER_TRANSMIT 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_TRANSMIT 0x02
#define IIR_RECEIVE 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVE 0x02
#define TRIGGER_8 0x80
#define DLAB 0x80
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY 0x60

struct fixture {
	struct fake_machine *fake;
	struct device *serial;
	struct chardev *chardev;
	char *folder, *path;
	int peer; /* what is at the other end of the line */
};

static struct device *add_port(struct fixture *f, unsigned index, struct chardev *chardev)
{
	struct device *serial = device_create(&serial_class);

	serial_configure(serial, index, chardev);
	bool ok = device_realize(serial, &f->fake->machine, NULL);
	assert_true(ok);
	device_reset(serial);
	return serial;
}

/* The main loop until nothing more happens by itself. */
static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE)) {
	}
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	f->fake = fake_machine_create(MiB);
	f->folder = g_dir_make_tmp("serial-XXXXXX", NULL);
	f->path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", f->path, ",server=on,wait=off", NULL);
	f->chardev = chardev_open(spec, NULL);
	assert_non_null(f->chardev);
	f->peer = socket(AF_UNIX, SOCK_STREAM, 0);
	g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
	assert_int_equal(connect(f->peer, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)fcntl(f->peer, F_SETFL, O_NONBLOCK);
	f->serial = add_port(f, 0, f->chardev);
	settle();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	device_destroy(f->serial);
	close(f->peer);
	chardev_close(f->chardev);
	fake_machine_destroy(f->fake);
	g_rmdir(f->folder);
	g_free(f->folder);
	g_free(f->path);
	g_free(f);
	return 0;
}

static uint8_t get(struct fixture *f, unsigned reg)
{
	return fake_in8(f->fake, COM1 + reg);
}

static void set(struct fixture *f, unsigned reg, uint8_t value)
{
	fake_out8(f->fake, COM1 + reg, value);
}

static bool interrupting(struct fixture *f)
{
	return fake_machine_gsi(f->fake, COM1_GSI);
}

static void type(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
	settle();
}

static void assert_sent(struct fixture *f, const char *text)
{
	char buffer[64] = {0};

	settle();
	ssize_t n = read(f->peer, buffer, sizeof(buffer) - 1);
	assert_int_equal(MAX(n, 0), strlen(text));
	assert_string_equal(buffer, text);
}

static void test_reset(void **state)
{
	static const uint8_t expected[] = {0, 0, IIR_NONE, 0, 0, LSR_EMPTY, 0xb0, 0};
	struct fixture *f = *state;

	type(f, "x");
	set(f, IER, 0x0f);
	set(f, FCR, FCR_ENABLE);
	set(f, LCR, 0x03);
	set(f, MCR, MCR_OUT2);
	set(f, SCRATCH, 0x55);
	device_reset(f->serial);
	assert_false(interrupting(f));
	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
		assert_int_equal(get(f, i), expected[i]);
	}
}

static void test_registers(void **state)
{
	struct fixture *f = *state;

	set(f, SCRATCH, 0xa5);
	assert_int_equal(get(f, SCRATCH), 0xa5);
	set(f, LCR, DLAB | 0x03);
	assert_int_equal(get(f, DATA), 12);
	set(f, DATA, 0x34);
	set(f, IER, 0x12);
	assert_int_equal(get(f, DATA), 0x34);
	assert_int_equal(get(f, IER), 0x12);
	set(f, LCR, 0x1b);
	assert_int_equal(get(f, LCR), 0x1b);
	assert_int_equal(get(f, IER), 0);
	set(f, IER, 0xff);
	assert_int_equal(get(f, IER), 0x0f);
	set(f, MCR, 0xff);
	assert_int_equal(get(f, MCR), 0x1f);
	set(f, MCR, 0);
	set(f, LSR, 0xff); /* read-only */
	set(f, MSR, 0xff);
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	assert_int_equal(get(f, MSR) & 0xf0, 0xb0);
	/* Without the enable bit FCR takes nothing. */
	set(f, FCR, 0xc0);
	assert_int_equal(get(f, IIR) & 0xf0, 0);
	set(f, FCR, 0xc1);
	assert_int_equal(get(f, IIR) & 0xf0, IIR_FIFO);
	assert_sent(f, "");
}

static void test_transmit(void **state)
{
	struct fixture *f = *state;

	set(f, DATA, 'h');
	set(f, DATA, 'i');
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	assert_sent(f, "hi");
	/* A word is two bytes to two registers. */
	fake_port_write(f->fake, COM1, 0x0021, 2);
	assert_sent(f, "!");
	assert_int_equal(fake_port_read(f->fake, COM1 + LSR, 2), 0xb000 | LSR_EMPTY);
}

static void test_transmit_interrupt(void **state)
{
	struct fixture *f = *state;

	set(f, MCR, MCR_OUT2);
	set(f, IER, IER_TRANSMIT); /* it is empty: at once */
	assert_true(interrupting(f));
	assert_int_equal(get(f, IIR), IIR_TRANSMIT);
	assert_false(interrupting(f)); /* reading it was the answer */
	assert_int_equal(get(f, IIR), IIR_NONE);
	/* Every byte makes an edge of its own, whether the last was answered or not. */
	(void)fake_machine_take_rises(f->fake, COM1_GSI);
	for (unsigned i = 0; i < 5; i++) {
		set(f, DATA, 'x');
		assert_true(interrupting(f));
	}
	assert_int_equal(fake_machine_take_rises(f->fake, COM1_GSI), 5);
	set(f, IER, 0);
	assert_false(interrupting(f));
	set(f, IER, IER_TRANSMIT);
	assert_true(interrupting(f));
	/* OUT2 is what connects the interrupt on a PC. */
	set(f, MCR, 0);
	assert_false(interrupting(f));
	set(f, MCR, MCR_OUT2);
	assert_true(interrupting(f));
}

static void test_receive(void **state)
{
	struct fixture *f = *state;

	set(f, MCR, MCR_OUT2);
	set(f, IER, IER_RECEIVE);
	assert_int_equal(get(f, DATA), 0);
	type(f, "abc"); /* without FIFO one at a time; nothing is overrun */
	assert_true(interrupting(f));
	assert_int_equal(get(f, LSR), LSR_EMPTY | LSR_DATA);
	assert_int_equal(get(f, IIR), IIR_RECEIVE);
	assert_int_equal(get(f, DATA), 'a');
	assert_false(interrupting(f));
	settle();
	assert_int_equal(get(f, DATA), 'b');
	settle();
	assert_int_equal(get(f, DATA), 'c');
	settle();
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	assert_int_equal(get(f, IIR), IIR_NONE);
}

static void test_fifo(void **state)
{
	struct fixture *f = *state;

	set(f, MCR, MCR_OUT2);
	set(f, FCR, FCR_ENABLE | TRIGGER_8);
	set(f, IER, IER_RECEIVE);
	type(f, "1234567");
	assert_true(interrupting(f)); /* fewer than 8: a time-out */
	assert_int_equal(get(f, IIR), IIR_FIFO | IIR_TIMEOUT);
	type(f, "8");
	assert_int_equal(get(f, IIR), IIR_FIFO | IIR_RECEIVE);
	type(f, "90abcdefghi"); /* 19: the last three wait outside */
	for (const char *c = "1234567890abcdef"; *c; c++) {
		assert_true(get(f, LSR) & LSR_DATA);
		assert_int_equal(get(f, DATA), *c);
	}
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	assert_false(interrupting(f));
	settle();
	assert_int_equal(get(f, DATA), 'g');
	/* Clearing throws away what is inside, and makes room. */
	set(f, FCR, FCR_ENABLE | FCR_CLEAR_RECEIVE);
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	type(f, "z");
	assert_int_equal(get(f, DATA), 'z');
	/* So does switching it off. */
	type(f, "lost");
	set(f, FCR, 0);
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	assert_int_equal(get(f, IIR), IIR_NONE);
}

static void test_loop(void **state)
{
	struct fixture *f = *state;

	set(f, MCR, MCR_LOOP);
	set(f, IER, IER_RECEIVE);
	set(f, DATA, 'x');
	assert_sent(f, ""); /* nothing leaves */
	assert_int_equal(get(f, IIR), IIR_RECEIVE);
	assert_int_equal(get(f, DATA), 'x');
	/* Nothing comes in; it does when the loop is opened. */
	type(f, "later");
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	set(f, MCR, 0);
	settle();
	assert_int_equal(get(f, DATA), 'l');
}

static void test_overrun(void **state)
{
	struct fixture *f = *state;

	set(f, MCR, MCR_LOOP);
	set(f, IER, IER_LINE | IER_RECEIVE);
	set(f, DATA, '1');
	assert_int_equal(get(f, IIR), IIR_RECEIVE);
	set(f, DATA, '2');
	assert_int_equal(get(f, IIR), IIR_LINE); /* comes first */
	assert_int_equal(get(f, LSR), LSR_EMPTY | LSR_DATA | LSR_OVERRUN);
	assert_int_equal(get(f, LSR), LSR_EMPTY | LSR_DATA);
	assert_int_equal(get(f, IIR), IIR_RECEIVE);
	assert_int_equal(get(f, DATA), '1');
	/* The FIFO holds sixteen. */
	set(f, FCR, FCR_ENABLE);
	for (unsigned i = 0; i < 17; i++) {
		assert_int_equal(get(f, LSR) & LSR_OVERRUN, 0);
		set(f, DATA, (uint8_t)i);
	}
	assert_int_equal(get(f, LSR) & LSR_OVERRUN, LSR_OVERRUN);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(get(f, DATA), i);
	}
	assert_int_equal(get(f, LSR), LSR_EMPTY);
}

static void test_modem_status(void **state)
{
	struct fixture *f = *state;

	/* As drivers look for a port: the outputs come back. */
	set(f, MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	assert_int_equal(get(f, MSR) & 0xf0, 0x90);
	set(f, MCR, MCR_LOOP);
	assert_int_equal(get(f, MSR), 0x09); /* both fell */
	assert_int_equal(get(f, MSR), 0x00); /* reading clears that */
	set(f, MCR, MCR_LOOP | MCR_DTR | MCR_RTS | MCR_OUT2);
	assert_int_equal(get(f, MSR), 0xbb);
	/* A ring counts when it ends. */
	set(f, IER, IER_MODEM);
	set(f, MCR, MCR_LOOP | MCR_DTR | MCR_RTS | MCR_OUT2 | MCR_OUT1);
	assert_int_equal(get(f, IIR), IIR_NONE);
	assert_int_equal(get(f, MSR), 0xf0);
	set(f, MCR, MCR_LOOP | MCR_DTR | MCR_RTS | MCR_OUT2);
	assert_int_equal(get(f, IIR), IIR_MODEM);
	assert_true(interrupting(f));
	assert_int_equal(get(f, MSR), 0xb4);
	assert_int_equal(get(f, IIR), IIR_NONE);
	assert_false(interrupting(f));
}

static void test_priorities(void **state)
{
	struct fixture *f = *state;

	set(f, MCR, MCR_LOOP);
	(void)get(f, MSR);
	set(f, IER, 0x0f);
	set(f, MCR, MCR_LOOP | MCR_RTS);
	set(f, DATA, '1');
	set(f, DATA, '2');
	assert_int_equal(get(f, IIR), IIR_LINE);
	(void)get(f, LSR);
	assert_int_equal(get(f, IIR), IIR_RECEIVE);
	(void)get(f, DATA);
	assert_int_equal(get(f, IIR), IIR_TRANSMIT);
	assert_int_equal(get(f, IIR), IIR_MODEM);
	(void)get(f, MSR);
	assert_int_equal(get(f, IIR), IIR_NONE);
}

/* A host that takes no more shows as a transmitter that stays full, and nothing is lost. */
static void test_slow_host(void **state)
{
	struct fixture *f = *state;
	unsigned sent = 0, got = 0;
	uint8_t byte;

	set(f, MCR, MCR_OUT2);
	set(f, IER, IER_TRANSMIT);
	while (get(f, LSR) & 0x20) {
		set(f, DATA, (uint8_t)sent++);
		assert_true(sent < 10000000);
	}
	assert_int_equal(get(f, LSR), 0);
	(void)get(f, IIR);
	assert_false(interrupting(f));
	set(f, IER, 0);
	set(f, IER, IER_TRANSMIT);
	assert_false(interrupting(f)); /* it is not empty */
	while (got < sent) {
		if (read(f->peer, &byte, 1) == 1) {
			assert_int_equal(byte, (uint8_t)got);
			got++;
		} else {
			g_main_context_iteration(NULL, TRUE);
		}
	}
	settle();
	assert_true(interrupting(f));
	assert_int_equal(get(f, LSR), LSR_EMPTY);
	assert_int_equal(get(f, IIR), IIR_TRANSMIT);
}

/* COM1 and COM3 share an input: it is high while either of them wants it. */
static void test_shared_interrupt(void **state)
{
	struct fixture *f = *state;
	struct chardev *null = chardev_open("null", NULL);
	struct device *third = add_port(f, 2, null);

	set(f, MCR, MCR_OUT2);
	fake_out8(f->fake, 0x3e8 + MCR, MCR_OUT2);
	set(f, IER, IER_TRANSMIT);
	fake_out8(f->fake, 0x3e8 + IER, IER_TRANSMIT);
	assert_true(interrupting(f));
	assert_int_equal(get(f, IIR), IIR_TRANSMIT);
	assert_true(interrupting(f));
	assert_int_equal(fake_in8(f->fake, 0x3e8 + IIR), IIR_TRANSMIT);
	assert_false(interrupting(f));
	/* A port that is taken away lets go. */
	fake_out8(f->fake, 0x3e8 + DATA, 'x');
	assert_true(interrupting(f));
	device_destroy(third);
	chardev_close(null);
	assert_false(interrupting(f));
}

static void test_ports(void **state)
{
	static const struct {
		uint16_t port;
		unsigned gsi;
	} com[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
	struct fixture *f = *state;
	struct chardev *null = chardev_open("null", NULL);

	for (unsigned i = 1; i < G_N_ELEMENTS(com); i++) {
		assert_int_equal(fake_in8(f->fake, com[i].port + SCRATCH), 0xff);
		struct device *port = add_port(f, i, null);
		fake_out8(f->fake, com[i].port + MCR, MCR_OUT2);
		fake_out8(f->fake, com[i].port + IER, IER_TRANSMIT);
		assert_true(fake_machine_gsi(f->fake, com[i].gsi));
		device_destroy(port);
		assert_false(fake_machine_gsi(f->fake, com[i].gsi));
	}
	chardev_close(null);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_reset),
			TEST(test_registers),
			TEST(test_transmit),
			TEST(test_transmit_interrupt),
			TEST(test_receive),
			TEST(test_fifo),
			TEST(test_loop),
			TEST(test_overrun),
			TEST(test_modem_status),
			TEST(test_priorities),
			TEST(test_slow_host),
			TEST(test_shared_interrupt),
			TEST(test_ports),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
