/* SPDX-License-Identifier: MIT */
/* What is recorded of stores, taken back, and compared with the same stores once more. */
#include "core/engine/soft/translator/store_log.h"

#include "core/engine/soft/mmu.h"
#include "tests/harness/test.h"

static uint8_t memory[2 * GUEST_PAGE_SIZE];

static int start(void **state)
{
	memset(memory, 0, sizeof(memory));
	*state = store_log_create();
	return 0;
}

static int stop(void **state)
{
	store_log_destroy(*state);
	return 0;
}

static void store(struct store_log *log, size_t at, uint8_t value, size_t len)
{
	store_log_write(log, memory + at, len);
	memset(memory + at, value, len);
}

static void test_undo(void **state)
{
	struct store_log *log = *state;
	struct store_difference difference;

	store(log, 0, 9, 8); /* before it begins */
	store_log_begin(log);
	store(log, 0, 1, 8);
	store(log, 4, 2, 8);
	store(log, 100, 3, 1);
	assert_true(store_log_complete(log));
	store_log_undo(log);
	assert_int_equal(memory[0], 9);
	assert_int_equal(memory[4], 9);
	assert_int_equal(memory[8], 0);
	assert_int_equal(memory[100], 0);
	store_log_replay(log);
	assert_true(store_log_compare(log, &difference));
	assert_ptr_equal(difference.host, memory);
	assert_int_equal(difference.recorded, 1);
	assert_int_equal(difference.replayed, 9);
	store_log_put_new(log);
	assert_false(store_log_compare(log, &difference));
	assert_int_equal(memory[3], 1);
	assert_int_equal(memory[4], 2);
	store_log_put_old(log);
	assert_int_equal(memory[4], 9);
}

static void test_stray(void **state)
{
	struct store_log *log = *state;
	struct store_difference difference;

	store_log_begin(log);
	store(log, 16, 1, 8);
	store_log_undo(log);
	store_log_replay(log);
	store(log, 16, 1, 8);
	assert_false(store_log_compare(log, &difference));
	store(log, 20, 1, 8);
	assert_true(store_log_compare(log, &difference));
	assert_true(difference.stray);
	assert_ptr_equal(difference.host, memory + 20);
}

/* More than it holds, in bytes or in number; or something that is not a store. */
static void test_incomplete(void **state)
{
	struct store_log *log = *state;

	store_log_begin(log);
	for (unsigned i = 0; i < 16; i++) {
		store(log, 0, 1, GUEST_PAGE_SIZE);
	}
	assert_true(store_log_complete(log));
	store(log, 0, 1, 1);
	assert_false(store_log_complete(log));
	store_log_begin(log);
	for (unsigned i = 0; i < 4096; i++) {
		store(log, 0, 1, 1);
	}
	assert_true(store_log_complete(log));
	store(log, 0, 1, 1);
	assert_false(store_log_complete(log));
	store_log_begin(log);
	assert_true(store_log_complete(log));
	store_log_happened(log);
	assert_false(store_log_complete(log));
}

/* The TLB has entries of what was written while that is done again, and at no other time. */
static void test_entries(void **state)
{
	struct store_log *log = *state;
	struct tlb_entry slot = {.tag = TLB_INVALID(3)};
	struct tlb_entry entry = {.tag = 0x3000, .page = (uint64_t)(uintptr_t)memory};

	store_log_admit(log, &slot, &entry);
	store_log_begin(log);
	store_log_idle(log);
	assert_int_equal(slot.tag, TLB_INVALID(3));
	store_log_begin(log);
	store_log_admit(log, &slot, &entry);
	assert_int_equal(slot.tag, TLB_INVALID(3));
	store_log_undo(log);
	store_log_replay(log);
	assert_int_equal(slot.tag, entry.tag);
	assert_int_equal(slot.page, entry.page);
	store_log_idle(log);
	assert_int_equal(slot.tag, TLB_INVALID(3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_undo, start, stop),
			cmocka_unit_test_setup_teardown(test_stray, start, stop),
			cmocka_unit_test_setup_teardown(test_incomplete, start, stop),
			cmocka_unit_test_setup_teardown(test_entries, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
