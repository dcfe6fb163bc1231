/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/checked.h"

static void test_add(void **state)
{
	uint64_t sum = 7;
	(void)state;

	assert_true(checked_add(1, 2, &sum));
	assert_int_equal(sum, 3);
	assert_false(checked_add(UINT64_MAX, 1, &sum));
	assert_int_equal(sum, 3); /* untouched on failure */
}

static void test_mul(void **state)
{
	uint64_t product = 7;
	(void)state;

	assert_true(checked_mul(UINT32_MAX, UINT32_MAX, &product));
	assert_true(product == UINT64_C(0xfffffffe00000001));
	assert_false(checked_mul(UINT64_C(1) << 33, UINT64_C(1) << 31, &product));
	assert_true(product == UINT64_C(0xfffffffe00000001));
}

static void test_range_within(void **state)
{
	static const struct {
		uint64_t offset, len, size;
		bool within;
	} rows[] = {
			{0, 0, 0, true},
			{0, 1, 0, false},
			{10, 0, 10, true},
			{11, 0, 10, false},
			{4, 6, 10, true},
			{4, 7, 10, false},
			{UINT64_MAX, 2, 10, false},
			{1, UINT64_MAX, UINT64_MAX, false},
	};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		assert_int_equal(range_within(rows[i].offset, rows[i].len, rows[i].size),
				rows[i].within);
	}
}

static void test_rect_within(void **state)
{
	static const struct {
		struct rect r;
		bool within;
	} rows[] = {
			{{0, 0, 64, 32}, true},
			{{63, 31, 1, 1}, true},
			{{63, 31, 2, 1}, false},
			{{UINT32_MAX, 0, 2, 1}, false},
			{{0, 0, UINT32_MAX, UINT32_MAX}, false},
			{{64, 32, 0, 0}, true},
	};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		assert_int_equal(rect_within(&rows[i].r, 64, 32), rows[i].within);
	}
}

static void test_ranges_overlap(void **state)
{
	(void)state;
	assert_true(ranges_overlap(0, 10, 9, 1));
	assert_false(ranges_overlap(0, 10, 10, 1));
	assert_false(ranges_overlap(5, 0, 0, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_add),
			cmocka_unit_test(test_mul),
			cmocka_unit_test(test_range_within),
			cmocka_unit_test(test_rect_within),
			cmocka_unit_test(test_ranges_overlap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
