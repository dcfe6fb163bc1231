/* SPDX-License-Identifier: MIT */
#include "core/boot/layout.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"

#include <inttypes.h>
#include <string.h>

struct fixture {
	struct guest_memory *memory;
	struct layout layout;
};

/* The usual board: 640 KiB, ROM, RAM up to 16 MiB, and 1 MiB at 4 GiB. */
static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	auto_fd int fd = memfd_create_sized("test", 32 * MiB, NULL);

	f->memory = guest_memory_create();
	assert_true(guest_memory_add(f->memory, 0, 0xa0000, fd, 0, 0, NULL));
	assert_true(guest_memory_add(
			f->memory, 0xe0000, 0x20000, fd, 0xe0000, GUEST_REGION_ROM, NULL));
	assert_true(guest_memory_add(f->memory, MiB, 7 * MiB, fd, MiB, 0, NULL));
	assert_true(guest_memory_add(f->memory, 8 * MiB, 8 * MiB, fd, 8 * MiB, 0, NULL));
	assert_true(guest_memory_add(f->memory, 4 * GiB, MiB, fd, 16 * MiB, 0, NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_memory_destroy(f->memory);
	g_free(f);
	return 0;
}

static char *map_text(const struct layout *layout)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < layout->map->len; i++) {
		const struct boot_range *range = &g_array_index(layout->map, struct boot_range, i);
		g_string_append_printf(text, "%" PRIx64 "+%" PRIx64 ":%u ", range->start,
				range->size, range->type);
	}
	return g_string_free(text, FALSE);
}

static void test_map(void **state)
{
	static const struct boot_range reserved[] = {
			{0xe0000, 0x20000, BOOT_RANGE_RESERVED}, /* is reserved anyway */
			{0xb0000000, 0x10000000, BOOT_RANGE_RESERVED}, /* no RAM there */
			{15 * MiB, MiB, BOOT_RANGE_ACPI}, /* the end of a region */
			{5 * MiB, MiB, BOOT_RANGE_NVS}, /* the middle of one */
	};
	struct fixture *f = *state;

	layout_init(&f->layout, f->memory, reserved, G_N_ELEMENTS(reserved));
	g_autofree char *text = map_text(&f->layout);
	assert_string_equal(text, "0+9fc00:1 9fc00+60400:2 100000+400000:1 500000+100000:4 "
				  "600000+900000:1 f00000+100000:3 b0000000+10000000:2 "
				  "100000000+100000:1 ");
	assert_true(layout_is_ram(&f->layout, MiB, 4 * MiB));
	assert_false(layout_is_ram(&f->layout, MiB, 4 * MiB + 1));
	assert_true(layout_is_ram(&f->layout, 0x9fbff, 1));
	assert_false(layout_is_ram(&f->layout, 0x9fbff, 2));
	assert_false(layout_is_ram(&f->layout, 0xe0000, 1));
	assert_false(layout_is_ram(&f->layout, 15 * MiB, 1));
	assert_false(layout_is_ram(&f->layout, UINT64_MAX, 2));
	layout_finish(&f->layout);
}

static void test_regions_merge(void **state)
{
	struct fixture *f = *state;

	layout_init(&f->layout, f->memory, NULL, 0);
	assert_true(layout_is_ram(&f->layout, 7 * MiB, 2 * MiB));
	layout_finish(&f->layout);
}

static void test_find_low(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	layout_init(&f->layout, f->memory, NULL, 0);
	assert_true(layout_find_low(&f->layout, 10, 16, &start));
	assert_int_equal(start, 0x8000);
	assert_true(layout_find_low(&f->layout, 10, 16, &start));
	assert_int_equal(start, 0x8010);
	layout_take(&f->layout, 0x9000, 0x1000);
	assert_true(layout_find_low(&f->layout, 0x1000, 0x1000, &start));
	assert_int_equal(start, 0xa000);
	/* too large for what is left below 640 KiB */
	assert_true(layout_find_low(&f->layout, 0x95000, 0x1000, &start));
	assert_int_equal(start, MiB);
	/* never above 4 GiB */
	layout_take(&f->layout, 2 * MiB, 14 * MiB);
	layout_take(&f->layout, MiB, MiB);
	layout_take(&f->layout, 0x8000, 0x98000);
	assert_false(layout_find_low(&f->layout, 1, 1, &start));
	layout_finish(&f->layout);
}

static void test_find_high(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	layout_init(&f->layout, f->memory, NULL, 0);
	assert_true(layout_find_high(&f->layout, 0x1001, 2 * GiB, &start));
	assert_int_equal(start, 16 * MiB - 0x2000);
	assert_true(layout_find_high(&f->layout, 0x1000, 2 * GiB, &start));
	assert_int_equal(start, 16 * MiB - 0x3000);
	assert_true(layout_find_high(&f->layout, 0x1000, 4 * MiB, &start));
	assert_int_equal(start, 4 * MiB - 0x1000);
	assert_true(layout_find_high(&f->layout, 0x1000, UINT64_MAX, &start));
	assert_int_equal(start, 4 * GiB + MiB - 0x1000);
	/* below a kernel in the middle */
	layout_take(&f->layout, 2 * MiB, 14 * MiB);
	assert_true(layout_find_high(&f->layout, MiB, 2 * GiB, &start));
	assert_int_equal(start, MiB);
	assert_false(layout_find_high(&f->layout, MiB, 2 * GiB, &start));
	assert_false(layout_find_high(&f->layout, UINT64_MAX, 2 * GiB, &start));
	assert_false(layout_find_high(&f->layout, 0x1000, 0x8fff, &start));
	layout_finish(&f->layout);
}

static void test_put(void **state)
{
	struct fixture *f = *state;
	uint64_t start;
	char text[6];
	g_autoptr(GError) error = NULL;

	layout_init(&f->layout, f->memory, NULL, 0);
	assert_true(layout_put(&f->layout, "greeting", "hello", 6, &start, NULL));
	assert_true(guest_memory_read(f->memory, start, text, 6));
	assert_string_equal(text, "hello");
	g_autofree char *huge = g_malloc0(16 * MiB);
	assert_false(layout_put(&f->layout, "elephant", huge, 16 * MiB, &start, &error));
	assert_string_equal(error->message, "no RAM left for the elephant (16777216 bytes)");
	layout_finish(&f->layout);
}

static void test_no_memory_at_all(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	guest_memory_clear(f->memory);
	layout_init(&f->layout, f->memory, NULL, 0);
	assert_false(layout_find_low(&f->layout, 1, 1, &start));
	assert_false(layout_find_high(&f->layout, 1, UINT64_MAX, &start));
	layout_finish(&f->layout);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_map),
			TEST(test_regions_merge),
			TEST(test_find_low),
			TEST(test_find_high),
			TEST(test_put),
			TEST(test_no_memory_at_all),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
