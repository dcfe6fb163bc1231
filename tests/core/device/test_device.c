/* SPDX-License-Identifier: MIT */
#include "core/device/device.h"

#include "tests/harness/test.h"

#include <string.h>

struct lamp {
	struct device base;
	char *colour;
	uint32_t watts;
	bool refuse;
	GString *log; /* the test's */
};

static bool lamp_realize(struct device *device, struct machine *machine, GError **error)
{
	struct lamp *lamp = container_of(device, struct lamp, base);

	assert_ptr_equal(machine, (struct machine *)0x1000);
	g_string_append(lamp->log, "realize ");
	device->path = g_strdup("room0/lamp");
	if (lamp->refuse) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "burnt out");
	}
	return !lamp->refuse;
}

static void lamp_unrealize(struct device *device)
{
	g_string_append(container_of(device, struct lamp, base)->log, "unrealize ");
}

static void lamp_reset(struct device *device)
{
	g_string_append(container_of(device, struct lamp, base)->log, "reset ");
}

static const struct property lamp_properties[] = {
		{"colour", PROPERTY_STRING, offsetof(struct lamp, colour), "white"},
		{"watts", PROPERTY_UINT32, offsetof(struct lamp, watts), "60", 1, 100},
		{NULL},
};

static const struct device_class lamp_class = {
		.name = "lamp",
		.description = "A lamp",
		.size = sizeof(struct lamp),
		.properties = lamp_properties,
		.realize = lamp_realize,
		.unrealize = lamp_unrealize,
		.reset = lamp_reset,
};

static struct lamp *lamp_new(GString *log)
{
	struct lamp *lamp = container_of(device_create(&lamp_class), struct lamp, base);

	lamp->log = log;
	return lamp;
}

static struct machine *const machine = (struct machine *)0x1000;

static void test_life(void **state)
{
	g_autoptr(GString) log = g_string_new(NULL);
	struct lamp *lamp = lamp_new(log);
	struct device *device = &lamp->base;

	(void)state;
	assert_string_equal(lamp->colour, "white");
	assert_string_equal(device_name(device), "lamp");
	assert_true(device_set_property(device, "watts", "40", NULL));
	assert_int_equal(lamp->watts, 40);
	assert_true(device_realize(device, machine, NULL));
	assert_true(device->realized);
	assert_string_equal(device_name(device), "room0/lamp");
	device->id = g_strdup("desk");
	assert_string_equal(device_name(device), "desk");
	device_reset(device);
	device_unrealize(device);
	assert_null(device->path);
	assert_true(device_realize(device, machine, NULL));
	device_destroy(device);
	assert_string_equal(log->str, "realize reset unrealize realize unrealize ");
	device_destroy(NULL);
}

static void test_realize_fails(void **state)
{
	g_autoptr(GString) log = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	struct lamp *lamp = lamp_new(log);

	(void)state;
	lamp->refuse = true;
	lamp->base.id = g_strdup("desk");
	assert_false(device_realize(&lamp->base, machine, &error));
	assert_string_equal(error->message, "desk: burnt out");
	assert_false(lamp->base.realized);
	device_destroy(&lamp->base);
	assert_string_equal(log->str, "realize unrealize ");
}

static void test_bad_properties(void **state)
{
	struct device *device = device_create(&lamp_class);
	g_autoptr(GError) unknown = NULL, bad = NULL;

	(void)state;
	assert_false(device_set_property(device, "watt", "1", &unknown));
	assert_string_equal(unknown->message, "lamp: no property 'watt'; did you mean 'watts'?");
	assert_false(device_set_property(device, "watts", "101", &bad));
	assert_string_equal(bad->message, "lamp: watts: '101' is not a number from 1 to 100");
	device_destroy(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_life),
			cmocka_unit_test(test_realize_fails),
			cmocka_unit_test(test_bad_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
