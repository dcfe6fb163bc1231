/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/iov.h"

struct fixture {
	char a[3], b[5];
	struct iovec iov[3];
};

static void fill(struct fixture *f)
{
	memcpy(f->a, "abc", 3);
	memcpy(f->b, "defgh", 5);
	f->iov[0] = (struct iovec){f->a, 3};
	f->iov[1] = (struct iovec){NULL, 0};
	f->iov[2] = (struct iovec){f->b, 5};
}

static void test_copies(void **state)
{
	struct fixture f;
	char buf[8] = "";
	(void)state;

	fill(&f);
	assert_int_equal(iov_size(f.iov, 3), 8);
	assert_int_equal(iov_to_buf(f.iov, 3, 2, buf, 4), 4);
	assert_memory_equal(buf, "cdef", 4);
	assert_int_equal(iov_to_buf(f.iov, 3, 6, buf, 8), 2); /* short */
	assert_int_equal(iov_to_buf(f.iov, 3, 9, buf, 1), 0);
	assert_int_equal(iov_from_buf(f.iov, 3, 1, "XYZ", 3), 3);
	assert_memory_equal(f.a, "aXY", 3);
	assert_memory_equal(f.b, "Zefgh", 5);
	assert_int_equal(iov_fill(f.iov, 3, 2, '.', 100), 6);
	assert_memory_equal(f.b, ".....", 5);
}

static void test_slice(void **state)
{
	struct fixture f;
	struct iovec out[2];
	(void)state;

	fill(&f);
	assert_int_equal(iov_slice(out, 2, f.iov, 3, 1, 4), 2);
	assert_ptr_equal(out[0].iov_base, f.a + 1);
	assert_int_equal(out[0].iov_len, 2);
	assert_ptr_equal(out[1].iov_base, f.b);
	assert_int_equal(out[1].iov_len, 2);
	assert_int_equal(iov_slice(out, 1, f.iov, 3, 1, 4), -1); /* no room */
	assert_int_equal(iov_slice(out, 2, f.iov, 3, 4, 5), -1); /* beyond the end */
	assert_int_equal(iov_slice(out, 2, f.iov, 3, 8, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_copies),
			cmocka_unit_test(test_slice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
