/* SPDX-License-Identifier: MIT */
/*
 * Integer executors against the host CPU: every opcode with every ModRM.reg, size and prefix,
 * register and memory forms, edge-biased operands, memory at every kind of page border. Registers,
 * flags (undefined ones included), memory and faults must be the host's.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/differ.h"

static void test_legacy(void **state)
{
	struct differ differ;

	(void)state;
	differ_start(&differ);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, (const uint8_t *)"", 0, opcode, 6);
	}
	differ_stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 200000);
	assert_true(differ.faults > 10000);
}

static void test_0f(void **state)
{
	static const uint8_t escape[] = {0x0f};
	struct differ differ;

	(void)state;
	differ_start(&differ);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, escape, sizeof(escape), opcode, 6);
	}
	differ_stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 100000);
}

static void test_0f38(void **state)
{
	static const uint8_t escape[] = {0x0f, 0x38};
	struct differ differ;

	(void)state;
	differ_start(&differ);
	for (unsigned opcode = 0xf0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, escape, sizeof(escape), opcode, 10);
	}
	differ_stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 1000);
}

static void test_vex(void **state)
{
	struct differ differ;

	(void)state;
	if (!__builtin_cpu_supports("bmi2")) {
		skip();
	}
	differ_start(&differ);
	for (unsigned i = 0; i < 400000; i++) {
		uint8_t bytes[4] = {0xc4, 0x62, 0, 0xf0};
		bytes[1] = (uint8_t)((differ_random(&differ) & 0xe0) |
				     (2 + differ_below(&differ, 2)));
		bytes[2] = (uint8_t)(differ_random(&differ) & 0xfb);
		bytes[3] = (uint8_t)(0xf0 | differ_below(&differ, 16));
		differ_try_form(&differ, bytes, 4, (unsigned)differ_below(&differ, 8),
				differ_below(&differ, 2));
	}
	differ_stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_legacy),
			cmocka_unit_test(test_0f),
			cmocka_unit_test(test_0f38),
			cmocka_unit_test(test_vex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
