/* SPDX-License-Identifier: MIT */
#include "core/device/property.h"

#include "tests/harness/test.h"

#include <string.h>

struct object {
	bool flag, on_by_default;
	uint32_t small, limited;
	uint64_t large, size;
	char *text, *preset;
	int32_t address;
	unsigned colour;
};

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct property table[] = {
		{"flag", PROPERTY_BOOL, offsetof(struct object, flag), .help = "a flag"},
		{"on-by-default", PROPERTY_BOOL, offsetof(struct object, on_by_default), "on"},
		{"small", PROPERTY_UINT32, offsetof(struct object, small), "7"},
		{"limited", PROPERTY_UINT32, offsetof(struct object, limited), "4", 1, 16,
				.help = "queues"},
		{"large", PROPERTY_UINT64, offsetof(struct object, large)},
		{"size", PROPERTY_SIZE, offsetof(struct object, size), "1M", 4096, GiB},
		{"text", PROPERTY_STRING, offsetof(struct object, text)},
		{"preset", PROPERTY_STRING, offsetof(struct object, preset), "as before"},
		{"addr", PROPERTY_PCI_ADDRESS, offsetof(struct object, address)},
		{"colour", PROPERTY_ENUM, offsetof(struct object, colour), "green",
				.values = colours},
		{NULL},
};

static void test_defaults(void **state)
{
	struct object object;

	(void)state;
	memset(&object, 0xa5, sizeof(object));
	properties_set_defaults(&object, table);
	assert_false(object.flag);
	assert_true(object.on_by_default);
	assert_int_equal(object.small, 7);
	assert_int_equal(object.limited, 4);
	assert_int_equal(object.large, 0);
	assert_int_equal(object.size, MiB);
	assert_null(object.text);
	assert_string_equal(object.preset, "as before");
	assert_int_equal(object.address, -1);
	assert_int_equal(object.colour, 1);
	properties_clear(&object, table);
	assert_null(object.preset);
	properties_set_defaults(&object, NULL);
}

static void test_set(void **state)
{
	struct object object;

	(void)state;
	properties_set_defaults(&object, table);
	assert_true(property_set(&object, table, "flag", "on", NULL));
	assert_true(object.flag);
	assert_true(property_set(&object, table, "flag", "no", NULL));
	assert_false(object.flag);
	assert_true(property_set(&object, table, "small", "4294967295", NULL));
	assert_int_equal(object.small, UINT32_MAX);
	assert_true(property_set(&object, table, "limited", "0x10", NULL));
	assert_int_equal(object.limited, 16);
	assert_true(property_set(&object, table, "large", "18446744073709551615", NULL));
	assert_int_equal(object.large, UINT64_MAX);
	assert_true(property_set(&object, table, "size", "1G", NULL));
	assert_int_equal(object.size, GiB);
	assert_true(property_set(&object, table, "text", "", NULL));
	assert_string_equal(object.text, "");
	assert_true(property_set(&object, table, "text", "twice", NULL));
	assert_string_equal(object.text, "twice");
	assert_true(property_set(&object, table, "addr", "1f.7", NULL));
	assert_int_equal(object.address, 0xff);
	assert_true(property_set(&object, table, "addr", "02", NULL));
	assert_int_equal(object.address, 0x10);
	assert_true(property_set(&object, table, "colour", "blue", NULL));
	assert_int_equal(object.colour, 2);
	properties_clear(&object, table);
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} rows[] = {
			{"flag", "maybe", "flag: 'maybe' is not on or off"},
			{"flag", "", "flag: '' is not on or off"},
			{"small", "4294967296",
					"'4294967296' is not a number from 0 to 4294967295"},
			{"small", "-1", "'-1' is not a number from 0"},
			{"small", "+1", "is not a number"},
			{"small", " 1", "is not a number"},
			{"small", "1x", "is not a number"},
			{"small", "0x", "is not a number"},
			{"small", "", "is not a number"},
			{"limited", "0", "limited: '0' is not a number from 1 to 16"},
			{"limited", "17", "limited: '17' is not a number from 1 to 16"},
			{"large", "18446744073709551616",
					"is not a number from 0 to 18446744073709551615"},
			{"size", "1X", "'1X' is not a size: a whole number, with suffix K, M, G or T"},
			{"size", "M", "'M' is not a size"},
			{"size", "1.5G", "'1.5G' is not a size"},
			{"size", "4095", "'4095' is not a size from 4K to 1G"},
			{"size", "99999999999999T", "that a 64-bit number can hold"},
			{"addr", "20", "'20' is not a PCI address: slot[.function] in hexadecimal, 0 to 1f.7"},
			{"addr", "1.8", "PCI address"},
			{"addr", "1.2.3", "PCI address"},
			{"addr", "", "PCI address"},
			{"addr", "-1", "PCI address"},
			{"colour", "pink", "colour: 'pink' is not one of red, green, blue"},
			{"colur", "red", "no property 'colur'; did you mean 'colour'?"},
			{"zzz", "1", "no property 'zzz' (there is: flag, on-by-default, small"},
	};
	struct object object;

	(void)state;
	properties_set_defaults(&object, table);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct object before = object;
		bool ok = property_set(&object, table, rows[i].name, rows[i].value, &error);
		if (ok || !strstr(error->message, rows[i].says)) {
			fail_msg("%s=%s: %s", rows[i].name, rows[i].value,
					ok ? "accepted" : error->message);
		}
		assert_memory_equal(&before, &object, sizeof(object));
	}
	properties_clear(&object, table);
	g_autoptr(GError) error = NULL;
	assert_false(property_set(&object, NULL, "x", "y", &error));
	assert_string_equal(error->message, "no property 'x' (there is: none)");
}

static void test_help(void **state)
{
	g_autofree char *help = properties_help(table);

	(void)state;
	assert_non_null(strstr(help, "  flag=<on|off>                a flag\n"));
	assert_non_null(strstr(help,
			"  limited=<number>             queues (default: 4) [from 1 to 16]\n"));
	assert_non_null(strstr(help, "colour=<red|green|blue>"));
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t unit, bytes;
	} rows[] = {
			{"0", MiB, 0},
			{"512", MiB, 512 * MiB},
			{"512", 1, 512},
			{"512M", KiB, 512 * MiB},
			{"2g", MiB, 2 * GiB},
			{"4k", 1, 4096},
			{"1T", 1, 1024 * GiB},
			{"100B", MiB, 100},
			{"0x10", 1, 16},
			{"0x1b", 1, 0x1b},
			{"0x10M", 1, 16 * MiB},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t bytes = 1;
		if (!parse_size(rows[i].text, rows[i].unit, &bytes, NULL) ||
				bytes != rows[i].bytes) {
			fail_msg("%s: %llu", rows[i].text, (unsigned long long)bytes);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_defaults),
			cmocka_unit_test(test_set),
			cmocka_unit_test(test_bad_values),
			cmocka_unit_test(test_help),
			cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
