/* SPDX-License-Identifier: MIT */
#include "core/engine/irqchip.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"

#include <unistd.h>

struct fixture {
	struct irqchip irqchip;
	struct irq_pump *pump;
	GAsyncQueue *sent; /* address + data of each message, never 0 */
	gint hooks; /* calls of before_send */
};

static void send_msi(struct irqchip *irqchip, uint64_t address, uint32_t data)
{
	struct fixture *f = container_of(irqchip, struct fixture, irqchip);

	g_async_queue_push(f->sent, GSIZE_TO_POINTER(address + data));
}

static const struct irqchip_impl fake_impl = {.name = "fake", .send_msi = send_msi};

static void before_send(void *opaque)
{
	struct fixture *f = opaque;

	g_atomic_int_inc(&f->hooks);
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->irqchip.impl = &fake_impl;
	f->sent = g_async_queue_new();
	f->pump = irq_pump_create(&f->irqchip, before_send, f, NULL);
	assert_non_null(f->pump);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	irq_pump_destroy(f->pump);
	g_async_queue_unref(f->sent);
	g_free(f);
	return 0;
}

static uint64_t next_message(struct fixture *f)
{
	return GPOINTER_TO_SIZE(g_async_queue_pop(f->sent));
}

static void test_sends(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = eventfd_create(NULL), b = eventfd_create(NULL);
	struct irq_route *to_a = irq_pump_route_create(f->pump, a, NULL);
	struct irq_route *to_b = irq_pump_route_create(f->pump, b, NULL);

	irq_pump_route_set(f->pump, to_a, 0xfee00000, 0x41, false);
	irq_pump_route_set(f->pump, to_b, 0xfee01000, 0x42, false);
	eventfd_signal(a);
	assert_int_equal(next_message(f), 0xfee00041);
	eventfd_signal(b);
	assert_int_equal(next_message(f), 0xfee01042);
	assert_int_equal(g_atomic_int_get(&f->hooks), 2);
	/* elsewhere from now on */
	irq_pump_route_set(f->pump, to_a, 0xfee02000, 0x43, false);
	eventfd_signal(a);
	assert_int_equal(next_message(f), 0xfee02043);
	irq_pump_route_destroy(f->pump, to_a);
	irq_pump_route_destroy(f->pump, to_b);
	irq_pump_route_destroy(f->pump, NULL);
}

static void test_masked(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = eventfd_create(NULL), other = eventfd_create(NULL);
	struct irq_route *route = irq_pump_route_create(f->pump, fd, NULL);
	struct irq_route *barrier = irq_pump_route_create(f->pump, other, NULL);

	irq_pump_route_set(f->pump, barrier, 0x1000, 1, false);
	irq_pump_route_set(f->pump, route, 0x2000, 2, true);
	eventfd_signal(fd);
	/* The pump has been round twice: the masked one would have come. */
	for (unsigned i = 0; i < 2; i++) {
		eventfd_signal(other);
		assert_int_equal(next_message(f), 0x1001);
	}
	irq_pump_route_set(f->pump, route, 0x2000, 2, false);
	assert_int_equal(next_message(f), 0x2002);
	assert_int_equal(g_async_queue_length(f->sent), 0);
	irq_pump_route_destroy(f->pump, route);
	irq_pump_route_destroy(f->pump, barrier);
}

/* A new route leads nowhere, one that is gone neither; the fd keeps its signal. */
static void test_unset_and_destroyed(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = eventfd_create(NULL), other = eventfd_create(NULL);
	struct irq_route *route = irq_pump_route_create(f->pump, fd, NULL);
	struct irq_route *barrier = irq_pump_route_create(f->pump, other, NULL);

	irq_pump_route_set(f->pump, barrier, 0x1000, 1, false);
	eventfd_signal(fd);
	eventfd_signal(other);
	assert_int_equal(next_message(f), 0x1001);
	irq_pump_route_destroy(f->pump, route);
	eventfd_signal(other);
	assert_int_equal(next_message(f), 0x1001);
	assert_int_equal(eventfd_take(fd), 1);
	irq_pump_route_destroy(f->pump, barrier);
}

static void test_bad_fd(void **state)
{
	struct fixture *f = *state;
	g_autoptr(GError) error = NULL;
	auto_fd int fd = eventfd_create(NULL);

	assert_null(irq_pump_route_create(f->pump, -1, &error));
	assert_non_null(error);
	struct irq_route *route = irq_pump_route_create(f->pump, fd, NULL);
	assert_null(irq_pump_route_create(f->pump, fd, NULL)); /* one route an eventfd */
	irq_pump_route_destroy(f->pump, route);
}

struct race {
	int fd;
	gint done;
};

static void signal_until_done(void *opaque)
{
	struct race *race = opaque;

	while (!g_atomic_int_get(&race->done)) {
		eventfd_signal(race->fd);
	}
}

static void test_destroy_while_signalled(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = eventfd_create(NULL);
	struct race race = {.fd = fd};
	pthread_t thread;

	assert_true(thread_create(&thread, "signaller", signal_until_done, &race, NULL));
	for (unsigned i = 0; i < 300; i++) {
		struct irq_route *route = irq_pump_route_create(f->pump, fd, NULL);
		irq_pump_route_set(f->pump, route, 0x1000, i, false);
		assert_int_equal(next_message(f) & ~UINT64_C(0xfff), 0x1000);
		irq_pump_route_destroy(f->pump, route);
	}
	g_atomic_int_set(&race.done, 1);
	pthread_join(thread, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_sends),
			TEST(test_masked),
			TEST(test_unset_and_destroyed),
			TEST(test_bad_fd),
			TEST(test_destroy_while_signalled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
