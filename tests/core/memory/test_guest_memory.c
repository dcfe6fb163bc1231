/* SPDX-License-Identifier: MIT */
#include "core/memory/guest_memory.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"

#include <string.h>
#include <urcu.h>

#define PAGE GUEST_PAGE_SIZE
#define HIGH (UINT64_C(1) << 40)

struct recorder {
	struct guest_write_hook hook;
	unsigned calls;
	uint64_t guest, len; /* of the last call */
};

struct fixture {
	struct guest_memory *memory;
	int fd;
	struct recorder recorder;
};

static void record(struct guest_write_hook *hook, uint64_t guest, uint64_t len)
{
	struct recorder *recorder = container_of(hook, struct recorder, hook);

	recorder->calls++;
	recorder->guest = guest;
	recorder->len = len;
}

/* Two regions that touch, [0, 4) and [4, 6) pages, a ROM page at 8, and two pages at HIGH. */
static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fd = memfd_create_sized("test", 16 * PAGE, NULL);
	f->memory = guest_memory_create();
	assert_true(guest_memory_add(f->memory, HIGH, 2 * PAGE, f->fd, 8 * PAGE, 0, NULL));
	assert_true(guest_memory_add(f->memory, 0, 4 * PAGE, f->fd, 0, 0, NULL));
	assert_true(guest_memory_add(f->memory, 4 * PAGE, 2 * PAGE, f->fd, 12 * PAGE, 0, NULL));
	assert_true(guest_memory_add(
			f->memory, 8 * PAGE, PAGE, f->fd, 6 * PAGE, GUEST_REGION_ROM, NULL));
	f->recorder.hook.written = record;
	guest_memory_set_write_hook(f->memory, &f->recorder.hook);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_memory_destroy(f->memory);
	fd_close(&f->fd);
	g_free(f);
	return 0;
}

static void test_bad_regions(void **state)
{
	static const struct {
		const char *name;
		uint64_t guest, size, offset;
		const char *says;
	} rows[] = {
			{"empty", 0x100000, 0, 0, "not whole pages"},
			{"odd start", 0x100001, PAGE, 0, "not whole pages"},
			{"odd size", 0x100000, PAGE + 1, 0, "not whole pages"},
			{"odd offset", 0x100000, PAGE, 8, "not whole pages"},
			{"wraps", UINT64_MAX - PAGE + 1, 2 * PAGE, 0, "runs past"},
			{"offset wraps", 0x100000, 2 * PAGE, UINT64_MAX - PAGE + 1, "runs past"},
			{"beyond any file", 0x100000, PAGE, UINT64_C(1) << 63, "runs past"},
			{"beyond the file", 0x100000, 2 * PAGE, 15 * PAGE,
					"the file holds only 65536 bytes"},
			{"same start", 0, PAGE, 0, "overlaps"},
			{"starts inside", 5 * PAGE, PAGE, 0, "overlaps"},
			{"ends inside", 7 * PAGE, 2 * PAGE, 0, "overlaps"},
			{"covers", HIGH - PAGE, 8 * PAGE, 0, "overlaps"},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		bool ok = guest_memory_add(f->memory, rows[i].guest, rows[i].size, f->fd,
				rows[i].offset, 0, &error);
		if (ok || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, ok ? "accepted" : error->message);
		}
	}
	assert_int_equal(guest_memory_size(f->memory), 9 * PAGE);
}

static void test_last_page_of_address_space(void **state)
{
	struct fixture *f = *state;
	uint64_t last = UINT64_MAX - PAGE + 1;
	char c = 'x';

	assert_true(guest_memory_add(f->memory, last, PAGE, f->fd, 0, 0, NULL));
	assert_true(guest_memory_write(f->memory, UINT64_MAX, &c, 1));
	assert_false(guest_memory_write(f->memory, UINT64_MAX, "ab", 2));
	assert_false(guest_memory_read(f->memory, UINT64_MAX, &(char[2]){0}, 2));
}

static void test_map(void **state)
{
	struct fixture *f = *state;
	struct guest_mapping m;
	char c;

	assert_true(guest_memory_map(f->memory, PAGE + 4, 8, GUEST_WRITE, &m));
	assert_int_equal(m.len, 8);
	memcpy(m.host, "12345678", 8);
	assert_int_equal(f->recorder.calls, 0);
	guest_mapping_unmap(f->memory, &m, 5);
	assert_int_equal(f->recorder.calls, 1);
	assert_int_equal(f->recorder.guest, PAGE + 4);
	assert_int_equal(f->recorder.len, 5);
	assert_true(guest_memory_read(f->memory, PAGE + 11, &c, 1));
	assert_int_equal(c, '8');

	assert_true(guest_memory_map(f->memory, 0, 4 * PAGE, GUEST_READ, &m));
	guest_mapping_unmap(f->memory, &m, 0);
	assert_int_equal(f->recorder.calls, 1);

	assert_false(guest_memory_map(f->memory, 0, 4 * PAGE + 1, GUEST_READ, &m));
	assert_false(guest_memory_map(f->memory, 0, 0, GUEST_READ, &m));
	assert_false(guest_memory_map(f->memory, 6 * PAGE, 1, GUEST_READ, &m));
	assert_false(guest_memory_map(f->memory, 8 * PAGE, 1, GUEST_WRITE, &m));
	assert_false(guest_memory_map(f->memory, UINT64_MAX, 2, GUEST_READ, &m));
	assert_false(guest_memory_map(f->memory, PAGE, SIZE_MAX, GUEST_READ, &m));
}

static void test_map_some(void **state)
{
	struct fixture *f = *state;
	struct guest_mapping m;

	assert_true(guest_memory_map_some(f->memory, 3 * PAGE, 2 * PAGE, GUEST_READ, &m));
	assert_int_equal(m.len, PAGE);
	guest_mapping_unmap(f->memory, &m, 0);
	assert_true(guest_memory_map_some(f->memory, 4 * PAGE, SIZE_MAX, GUEST_READ, &m));
	assert_int_equal(m.len, 2 * PAGE);
	guest_mapping_unmap(f->memory, &m, 0);
	assert_false(guest_memory_map_some(f->memory, 6 * PAGE, 1, GUEST_READ, &m));
}

static void test_copy_across_regions(void **state)
{
	struct fixture *f = *state;
	char out[8] = "";

	assert_true(guest_memory_write(f->memory, 4 * PAGE - 3, "abcdefg", 7));
	assert_int_equal(f->recorder.calls, 2);
	assert_int_equal(f->recorder.guest, 4 * PAGE);
	assert_int_equal(f->recorder.len, 4);
	assert_true(guest_memory_read(f->memory, 4 * PAGE - 3, out, 7));
	assert_string_equal(out, "abcdefg");
}

static void test_copy_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	char out[4] = "old";
	char was;

	assert_false(guest_memory_write(f->memory, 6 * PAGE - 1, "xy", 2));
	assert_true(guest_memory_read(f->memory, 6 * PAGE - 1, &was, 1));
	assert_int_equal(was, 0);
	assert_int_equal(f->recorder.calls, 0);
	assert_false(guest_memory_read(f->memory, 6 * PAGE - 1, out, 3));
	assert_string_equal(out, "old");
	assert_false(guest_memory_write(f->memory, 8 * PAGE, "x", 1));
	assert_true(guest_memory_read(f->memory, 8 * PAGE, out, 1));
	assert_int_equal(out[0], 0);
}

static void test_page(void **state)
{
	struct fixture *f = *state;
	unsigned flags = 99;
	struct guest_mapping m;

	rcu_read_lock();
	assert_true(guest_memory_map(f->memory, 5 * PAGE, 1, GUEST_READ, &m));
	assert_ptr_equal(guest_memory_page(f->memory, 5 * PAGE, &flags), m.host);
	assert_int_equal(flags, 0);
	guest_mapping_unmap(f->memory, &m, 0);
	assert_non_null(guest_memory_page(f->memory, 8 * PAGE, &flags));
	assert_int_equal(flags, GUEST_REGION_ROM);
	assert_null(guest_memory_page(f->memory, 6 * PAGE, &flags));
	assert_null(guest_memory_page(f->memory, HIGH + 2 * PAGE, &flags));
	rcu_read_unlock();
}

static void test_mapping_outlives_removal(void **state)
{
	struct fixture *f = *state;
	struct guest_mapping m;

	assert_true(guest_memory_map(f->memory, HIGH, 4, GUEST_WRITE, &m));
	assert_true(guest_memory_remove(f->memory, HIGH));
	assert_false(guest_memory_remove(f->memory, HIGH));
	rcu_barrier();
	memcpy(m.host, "here", 4);
	assert_false(guest_memory_read(f->memory, HIGH, &(char[1]){0}, 1));
	guest_mapping_unmap(f->memory, &m, 4);

	char out[4];
	assert_true(fd_pread_all(f->fd, out, 4, 8 * PAGE, NULL));
	assert_memory_equal(out, "here", 4);
}

static void check_order(const struct guest_region_info *info, void *opaque)
{
	static const uint64_t expected[] = {0, 4 * PAGE, 8 * PAGE, HIGH};
	static const uint64_t offsets[] = {0, 12 * PAGE, 6 * PAGE, 8 * PAGE};
	unsigned *at = opaque;

	assert_int_equal(info->guest, expected[*at]);
	assert_int_equal(info->offset, offsets[*at]);
	assert_int_equal(info->flags, *at == 2 ? GUEST_REGION_ROM : 0);
	assert_non_null(info->host);
	++*at;
}

static void test_foreach_and_clear(void **state)
{
	struct fixture *f = *state;
	unsigned count = 0;

	guest_memory_foreach(f->memory, check_order, &count);
	assert_int_equal(count, 4);
	guest_memory_clear(f->memory);
	assert_int_equal(guest_memory_size(f->memory), 0);
	guest_memory_clear(f->memory);
}

/* Readers and a thread that takes the region away and brings it back. */
struct race {
	struct guest_memory *memory;
	gint done;
	unsigned hits;
};

static void read_until_done(void *opaque)
{
	struct race *race = opaque;

	while (!g_atomic_int_get(&race->done) || race->hits == 0) {
		struct guest_mapping m;
		uint64_t value;
		if (guest_memory_map(race->memory, HIGH, 8, GUEST_READ, &m)) {
			memcpy(&value, m.host, 8);
			guest_mapping_unmap(race->memory, &m, 0);
			race->hits++;
		}
	}
}

static void test_readers_race_with_changes(void **state)
{
	struct fixture *f = *state;
	struct race races[2] = {{.memory = f->memory}, {.memory = f->memory}};
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++) {
		assert_true(thread_create(&threads[i], "reader", read_until_done, &races[i], NULL));
	}
	for (unsigned i = 0; i < 2000; i++) {
		assert_true(guest_memory_remove(f->memory, HIGH));
		assert_true(guest_memory_add(f->memory, HIGH, 2 * PAGE, f->fd, 8 * PAGE, 0, NULL));
	}
	for (unsigned i = 0; i < 2; i++) {
		g_atomic_int_set(&races[i].done, 1);
		pthread_join(threads[i], NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_bad_regions, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_last_page_of_address_space, setup, teardown),
			cmocka_unit_test_setup_teardown(test_map, setup, teardown),
			cmocka_unit_test_setup_teardown(test_map_some, setup, teardown),
			cmocka_unit_test_setup_teardown(test_copy_across_regions, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_copy_is_all_or_nothing, setup, teardown),
			cmocka_unit_test_setup_teardown(test_page, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_mapping_outlives_removal, setup, teardown),
			cmocka_unit_test_setup_teardown(test_foreach_and_clear, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_readers_race_with_changes, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
