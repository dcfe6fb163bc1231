/* SPDX-License-Identifier: MIT */
#include "core/boot/modules.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"

#include <glib/gstdio.h>
#include <string.h>

struct fixture {
	char *folder;
	struct guest_memory *memory;
};

static char *path_of(struct fixture *f, const char *name)
{
	return g_build_filename(f->folder, name, NULL);
}

static void write_file(struct fixture *f, const char *name, const char *contents)
{
	g_autofree char *path = path_of(f, name);

	assert_true(g_file_set_contents(path, contents, -1, NULL));
}

static const char *const files[] = {"one", "two", "empty", "a,b", "with space"};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	auto_fd int fd = memfd_create_sized("test", 4 * MiB, NULL);

	f->folder = g_dir_make_tmp("oriel-modules-XXXXXX", NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
		write_file(f, files[i], strcmp(files[i], "empty") == 0 ? "" : files[i]);
	}
	f->memory = guest_memory_create();
	/* a border in the middle of where modules go */
	assert_true(guest_memory_add(f->memory, 0, 4 * MiB - 0x1000, fd, 0, 0, NULL));
	assert_true(guest_memory_add(
			f->memory, 4 * MiB - 0x1000, 0x1000, fd, 4 * MiB - 0x1000, 0, NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = path_of(f, files[i]);
		g_unlink(path);
	}
	g_rmdir(f->folder);
	g_free(f->folder);
	guest_memory_destroy(f->memory);
	g_free(f);
	return 0;
}

static void test_one(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = path_of(f, "one");
	struct boot_modules *modules = boot_modules_open(path, NULL);

	assert_non_null(modules);
	assert_int_equal(modules->count, 1);
	assert_string_equal(modules->modules[0].path, path);
	assert_string_equal(modules->modules[0].command_line, path);
	assert_int_equal(modules->modules[0].size, 3);
	boot_modules_close(modules);
	boot_modules_close(NULL);
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	g_autofree char *list = g_strdup_printf("%s/one console=hvc0 quiet,%s/two,%s/a,,b x",
			f->folder, f->folder, f->folder);
	struct boot_modules *modules = boot_modules_open(list, NULL);

	assert_non_null(modules);
	assert_int_equal(modules->count, 3);
	assert_true(g_str_has_suffix(modules->modules[0].path, "/one"));
	assert_true(g_str_has_suffix(modules->modules[0].command_line, "/one console=hvc0 quiet"));
	assert_true(g_str_has_suffix(modules->modules[1].command_line, "/two"));
	assert_true(g_str_has_suffix(modules->modules[2].path, "/a,b"));
	boot_modules_close(modules);
}

/* Names that are files as they stand need no escapes. */
static void test_odd_names(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 3; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = path_of(f, files[i]);
		struct boot_modules *modules = boot_modules_open(path, NULL);
		assert_non_null(modules);
		assert_int_equal(modules->count, 1);
		assert_string_equal(modules->modules[0].path, path);
		boot_modules_close(modules);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *list; /* %s: the folder */
		const char *says;
	} rows[] = {
			{"%s/missing", "/missing': No such file"},
			{"%s/one,%s/missing args", "/missing': No such file"},
			{"%s/empty", "/empty': the file is empty"},
			{"%s", "': not a regular file"},
			{"", "-initrd '': No such file"},
			{",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,", "No such file"},
			{"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "17 modules; at most 16"},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GString) list = g_string_new(rows[i].list);
		g_string_replace(list, "%s", f->folder, 0);
		g_autoptr(GError) error = NULL;
		struct boot_modules *modules = boot_modules_open(list->str, &error);
		if (modules || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].list, modules ? "accepted" : error->message);
		}
	}
}

static void test_place(void **state)
{
	struct fixture *f = *state;
	g_autofree char *contents = g_strnfill(0x1800, 'x');
	g_autofree char *read = g_malloc(0x1800);
	struct layout layout;
	uint64_t start;
	g_autoptr(GError) full = NULL, shrunk = NULL;

	contents[0x17ff] = 'y';
	g_autofree char *path = path_of(f, "one");
	assert_true(g_file_set_contents(path, contents, 0x1800, NULL));
	struct boot_modules *modules = boot_modules_open(path, NULL);
	layout_init(&layout, f->memory, NULL, 0);
	assert_true(module_place(&modules->modules[0], &layout, 2 * GiB, &start, NULL));
	assert_int_equal(start, 4 * MiB - 0x2000);
	assert_true(guest_memory_read(f->memory, start, read, 0x1800));
	assert_memory_equal(read, contents, 0x1800);

	modules->modules[0].size = 8 * MiB;
	assert_false(module_place(&modules->modules[0], &layout, 2 * GiB, &start, &full));
	assert_non_null(strstr(full->message, "do not fit into the RAM"));
	assert_non_null(strstr(full->message, "8.0"));
	modules->modules[0].size = 0x1801;
	assert_false(module_place(&modules->modules[0], &layout, 2 * GiB, &start, &shrunk));
	assert_non_null(strstr(shrunk->message, "unexpected end of file"));
	layout_finish(&layout);
	boot_modules_close(modules);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_one),
			TEST(test_list),
			TEST(test_odd_names),
			TEST(test_errors),
			TEST(test_place),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
