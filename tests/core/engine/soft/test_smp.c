/* SPDX-License-Identifier: MIT */
/*
 * Several vCPUs at once on what they share (guest_smp.S): interpreted, translated, and translated with hardly any memory for
 * code.
 */
#include "tests/core/engine/soft/guest_smp.h"
#include "tests/core/engine/soft/soft_machine.h"
#include "tests/harness/test.h"

#include "core/base/thread.h"

#define VCPUS 4

extern const uint8_t guest_smp[], guest_smp_end[];

static int setup_interpreted(void **state)
{
	*state = machine_start(VCPUS, 0);
	return 0;
}

static int setup_translated(void **state)
{
	*state = machine_start(VCPUS, 16 * MiB);
	return 0;
}

/* The least that the engine gives. */
static int setup_small(void **state)
{
	*state = machine_start(VCPUS, 1);
	return 0;
}

static int teardown(void **state)
{
	machine_stop(*state);
	return 0;
}

static void put32(struct machine *m, uint64_t address, uint32_t value)
{
	assert_true(guest_memory_write(m->memory, address, &value, sizeof(value)));
}

static uint64_t get64(struct machine *m, uint64_t address)
{
	uint64_t value;

	assert_true(guest_memory_read(m->memory, address, &value, sizeof(value)));
	return value;
}

static uint32_t get32(struct machine *m, uint64_t address)
{
	return (uint32_t)get64(m, address);
}

static void run_job(struct machine *m, uint32_t job, uint32_t count)
{
	static const uint8_t function[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov $0, %eax; ret */

	assert_true(guest_memory_write(
			m->memory, GUEST_BASE, guest_smp, (size_t)(guest_smp_end - guest_smp)));
	assert_true(guest_memory_write(m->memory, FUNCTION, function, sizeof(function)));
	put32(m, JOB, job);
	put32(m, PROCESSORS, VCPUS);
	put32(m, COUNT, count);
	machine_enter_real(m, GUEST_BASE);
	machine_run(m);
	assert_int_equal(get32(m, FINISHED), VCPUS);
	assert_int_equal(get32(m, ERRORS), 0);
}

static void test_locked(void **state)
{
	const uint32_t count = 2000, sum = VCPUS * count;
	struct machine *m = *state;

	run_job(m, JOB_LOCKED, count);
	assert_int_equal(get32(m, ONE_LINE), sum);
	assert_int_equal(get64(m, TWO_LINES), 2 * sum);
	assert_int_equal(get64(m, TWO_PAGES), 2 * sum);
	assert_int_equal(get32(m, BESIDE_CODE), sum | 1 << 27);
}

static void test_patched(void **state)
{
	struct machine *m = *state;

	run_job(m, JOB_PATCHED, 5000);
	assert_int_equal(get32(m, ROUND), 5000);
}

static void test_neighbours(void **state)
{
	run_job(*state, JOB_NEIGHBOURS, 5000);
}

static void test_page_table(void **state)
{
	const uint32_t count = 100000;
	struct machine *m = *state;

	run_job(m, JOB_PAGE_TABLE, count);
	assert_int_equal(get64(m, WINDOW_ENTRY) >> 52, count & 0x7ff);
	assert_int_equal(get64(m, WINDOW_ENTRY) & ~UINT64_C(0x60) & 0xfffffffffffff,
			WINDOW_PAGE | 3);
}

static void test_interrupts(void **state)
{
	const uint32_t count = 2000;
	struct machine *m = *state;

	run_job(m, JOB_INTERRUPTS, count);
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(get32(m, TAKEN + 4 * i), count);
	}
}

#define TEST_WAY(name, way) \
	{ \
#name ", " #way, name, setup_##way, teardown, NULL \
	}
#define TEST(name) TEST_WAY(name, interpreted), TEST_WAY(name, translated), TEST_WAY(name, small)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_locked),
			TEST(test_patched),
			TEST(test_neighbours),
			TEST(test_page_table),
			TEST(test_interrupts),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
