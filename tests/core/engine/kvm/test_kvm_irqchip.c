/* SPDX-License-Identifier: MIT */
/* Interrupts on every way into the guest. Its handlers write the vector to the port. */
#include "tests/core/engine/kvm/fixture.h"

#define MSI_ADDRESS 0xfee00000u /* the boot CPU */
#define MSI_LEVEL 0xc000u

static void start_waiting(struct machine_fixture *m)
{
	load_guest(m, CODE_AT, wait);
	enter_long(m);
	engine_start(m->engine);
	expect_done(m);
}

static void expect_vector(struct machine_fixture *m, uint8_t vector)
{
	expect(m, PORT_WRITTEN, 0, vector, 1);
}

static void test_msi_wakes(void **state)
{
	struct machine_fixture *m = *state;

	start_waiting(m);
	for (uint8_t vector = 0x40; vector <= LAST_HANDLER; vector++) {
		irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, vector);
		expect_vector(m, vector);
	}
	/* To an APIC that is not there. */
	irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS | 7 << 12, 0x41);
	irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, 0x42);
	expect_vector(m, 0x42);
}

static void set_route(
		struct machine_fixture *m, struct irq_route *route, uint8_t vector, bool masked)
{
	m->engine->irqchip->impl->route_set(m->engine->irqchip, route, MSI_ADDRESS, vector, masked);
}

static struct irq_route *create_route(struct machine_fixture *m, int fd)
{
	g_autoptr(GError) error = NULL;
	struct irq_route *route = m->engine->irqchip->impl->route_create(
			m->engine->irqchip, fd, &error);

	if (!route) {
		fail_msg("%s", error->message);
	}
	return route;
}

static void destroy_route(struct machine_fixture *m, struct irq_route *route)
{
	m->engine->irqchip->impl->route_destroy(m->engine->irqchip, route);
}

static void test_routes(void **state)
{
	struct machine_fixture *m = *state;
	auto_fd int first_fd = eventfd_create(NULL), second_fd = eventfd_create(NULL);
	struct irq_route *first = create_route(m, first_fd), *second = create_route(m, second_fd);

	set_route(m, first, 0x50, false);
	set_route(m, second, 0x51, false);
	start_waiting(m);
	eventfd_signal(first_fd);
	expect_vector(m, 0x50);
	eventfd_signal(second_fd);
	expect_vector(m, 0x51);
	/* One that moves leaves the other where it is. */
	set_route(m, first, 0x52, false);
	eventfd_signal(first_fd);
	expect_vector(m, 0x52);
	eventfd_signal(second_fd);
	expect_vector(m, 0x51);
	destroy_route(m, first);
	eventfd_signal(first_fd);
	eventfd_signal(second_fd);
	expect_vector(m, 0x51);
	assert_int_equal(eventfd_take(first_fd), 1);
	/* A place that became free is used again. */
	first = create_route(m, first_fd);
	set_route(m, first, 0x53, false);
	eventfd_signal(first_fd);
	expect_vector(m, 0x53);
	destroy_route(m, first);
	destroy_route(m, second);
}

static void test_masked_route(void **state)
{
	struct machine_fixture *m = *state;
	auto_fd int fd = eventfd_create(NULL);
	struct irq_route *route = create_route(m, fd);

	start_waiting(m);
	/* A new route leads nowhere. */
	eventfd_signal(fd);
	irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, 0x40);
	expect_vector(m, 0x40);
	set_route(m, route, 0x50, false);
	expect_vector(m, 0x50);
	for (unsigned i = 0; i < 3; i++) {
		set_route(m, route, 0x50, true);
		eventfd_signal(fd);
		eventfd_signal(fd);
		irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, 0x40);
		expect_vector(m, 0x40);
		/* Unmasked it comes once, by the way it has now. */
		set_route(m, route, (uint8_t)(0x51 + i), false);
		expect_vector(m, (uint8_t)(0x51 + i));
	}
	engine_stop(m->engine);
	expect_nothing(m);
	destroy_route(m, route);
}

static void test_bad_fd(void **state)
{
	struct machine_fixture *m = *state;
	g_autoptr(GError) error = NULL;

	assert_null(m->engine->irqchip->impl->route_create(m->engine->irqchip, -1, &error));
	assert_non_null(error);
}

static void set_eoi_vectors(struct machine_fixture *m, uint64_t high)
{
	const uint64_t vectors[4] = {0, high, 0, 0};

	m->engine->irqchip->impl->set_eoi_vectors(m->engine->irqchip, vectors);
}

/* Only the EOIs of level-triggered vectors come to the board. */
static void test_eoi(void **state)
{
	struct machine_fixture *m = *state;
	auto_fd int fd = eventfd_create(NULL);
	struct irq_route *route = create_route(m, fd);

	set_route(m, route, 0x55, false);
	start_waiting(m);
	set_eoi_vectors(m, BIT(0x50 - 64) | BIT(0x51 - 64));
	for (uint8_t vector = 0x50; vector <= 0x51; vector++) {
		irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, vector | MSI_LEVEL);
		expect_vector(m, vector);
		expect(m, EOI, 0, vector, 0);
	}
	irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, 0x52);
	expect_vector(m, 0x52);
	/* The routes are still there. */
	eventfd_signal(fd);
	expect_vector(m, 0x55);
	set_eoi_vectors(m, 0);
	irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, 0x53);
	expect_vector(m, 0x53);
	engine_stop(m->engine);
	expect_nothing(m);
	destroy_route(m, route);
}

/* The 8259's request wakes the boot CPU and is acknowledged when it is taken. */
static void test_extint(void **state)
{
	struct machine_fixture *m = *state;

	start_waiting(m);
	for (uint8_t vector = 0x30; vector < 0x34; vector++) {
		m->pic_vector = vector;
		m->engine->irqchip->impl->set_extint(m->engine->irqchip, true);
		expect(m, ACKNOWLEDGED, 0, vector, 0);
		expect_vector(m, vector);
	}
}

/* It waits as long as the guest has interrupts off. */
static void test_extint_waits(void **state)
{
	struct machine_fixture *m = *state;

	m->pic_vector = 0x35;
	m->extint_on_write = true;
	load_guest(m, CODE_AT, wait_late);
	enter_long(m);
	engine_start(m->engine);
	expect_done(m);
	expect_done(m);
	expect(m, ACKNOWLEDGED, 0, 0x35, 0);
	expect_vector(m, 0x35);
}

/* One that was withdrawn in time is never acknowledged. */
static void test_extint_withdrawn(void **state)
{
	struct machine_fixture *m = *state;

	m->engine->irqchip->impl->set_extint(m->engine->irqchip, true);
	m->engine->irqchip->impl->set_extint(m->engine->irqchip, false);
	start_waiting(m);
	irqchip_send_msi(m->engine->irqchip, MSI_ADDRESS, 0x40);
	expect_vector(m, 0x40);
	expect_nothing(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

static int run(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_msi_wakes),
			TEST(test_routes),
			TEST(test_masked_route),
			TEST(test_bad_fd),
			TEST(test_eoi),
			TEST(test_extint),
			TEST(test_extint_waits),
			TEST(test_extint_withdrawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_tests_with_kvm(run);
}
