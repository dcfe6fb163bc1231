/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/engine/soft/code_memory.h"
#include "core/engine/soft/perf_map.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[32];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	(void)unlink(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static void test_lines(void **state)
{
	g_autoptr(GError) error = NULL;
	struct perf_map *map = perf_map_create(&error);
	g_autofree char *text = NULL;
	char long_name[200];

	(void)state;
	assert_non_null(map);
	perf_map_add(map, (void *)0x7f0000001000, 0x240, "entry");
	perf_map_add_block(map, (void *)0x7f0000001240, 77, UINT64_C(0xffffffff81000000));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	perf_map_add(map, (void *)0x7f0000002000, 1, long_name); /* left out whole */
	/* Nobody asked for one. */
	perf_map_add(NULL, (void *)0x1000, 1, "none");
	perf_map_add_block(NULL, (void *)0x1000, 1, 0);
	perf_map_destroy(map);
	perf_map_destroy(NULL);
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_string_equal(text, "7f0000001000 240 entry\n"
				  "7f0000001240 4d guest-0xffffffff81000000\n");
}

/* A link that somebody else left in /tmp is not written through. */
static void test_link(void **state)
{
	g_autofree char *folder = g_dir_make_tmp("perf-map-XXXXXX", NULL);
	g_autofree char *target = g_build_filename(folder, "target", NULL);
	g_autoptr(GError) error = NULL;
	struct stat status;

	(void)state;
	assert_true(g_file_set_contents(target, "mine", -1, NULL));
	assert_int_equal(symlink(target, path), 0);
	struct perf_map *map = perf_map_create(&error);
	assert_non_null(map);
	perf_map_add(map, path, 1, "entry");
	perf_map_destroy(map);
	g_autofree char *text = NULL;
	assert_true(g_file_get_contents(target, &text, NULL, NULL));
	assert_string_equal(text, "mine");
	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(status.st_mode & 0777, 0600);
	(void)unlink(target);
	(void)rmdir(folder);
}

static void test_refused(void **state)
{
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_null(perf_map_create(&error));
	assert_non_null(strstr(error->message, path));
	assert_int_equal(rmdir(path), 0);
}

/* The memory that perf asks its map about is in no file of its own; else all of it is the same. */
static void test_memory(void **state)
{
	static const uint8_t code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
	static const char *const names[] = {"named", NULL};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *maps = NULL;
		struct code_memory memory;
		assert_true(code_memory_map(names[i], 64 * KiB, &memory, &error));
		memcpy(memory.writable + 4096, code, sizeof(code));
		int (*function)(void) = (int (*)(void))(uintptr_t)(memory.executable + 4096);
		assert_int_equal(function(), 42);
		assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
		g_autofree char *line = g_strdup_printf("%lx-", (unsigned long)memory.executable);
		const char *found = strstr(maps, line);
		assert_non_null(found);
		g_autofree char *mapping = g_strndup(found, strcspn(found, "\n"));
		assert_non_null(strstr(mapping, "r-xs"));
		assert_non_null(strstr(mapping, names[i] ? "memfd:named" : "/dev/zero"));
		code_memory_unmap(&memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
			cmocka_unit_test_setup_teardown(test_link, setup, teardown),
			cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
			cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
