/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "gpu/uuid.h"

static void test_random(void **state)
{
	uint8_t a[UUID_SIZE], b[UUID_SIZE];
	(void)state;

	for (unsigned i = 0; i < 100; i++) {
		uuid_generate(a);
		uuid_generate(b);
		assert_memory_not_equal(a, b, UUID_SIZE);
		assert_int_equal(a[6] >> 4, 4);
		assert_int_equal(a[8] >> 6, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
