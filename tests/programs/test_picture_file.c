/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "programs/picture_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char *folder, *path;
};

static int setup(void **state)
{
	struct place *place = g_new0(struct place, 1);

	place->folder = g_dir_make_tmp("oriel-picture-XXXXXX", NULL);
	assert_non_null(place->folder);
	place->path = g_build_filename(place->folder, "picture", NULL);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	(void)unlink(place->path); /* most tests leave one */
	assert_int_equal(rmdir(place->folder), 0);
	g_free(place->folder);
	g_free(place->path);
	g_free(place);
	return 0;
}

/* Writes text as a picture's writer does, then ends. */
static void write_picture(const char *path, const char *text, bool written)
{
	struct picture_file file;
	int fd;

	assert_true(picture_file_open(&file, path, &fd, NULL));
	assert_true(fd_write_all(fd, text, strlen(text), NULL));
	fd_close(&fd);
	picture_file_close(&file, written);
	picture_file_close(&file, false); /* it is closed already */
}

static void assert_content(const char *path, const char *text)
{
	g_autofree char *content = NULL;

	assert_true(g_file_get_contents(path, &content, NULL, NULL));
	assert_string_equal(content, text);
}

static void test_new_file(void **state)
{
	const struct place *place = *state;

	write_picture(place->path, "half", false);
	assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
	write_picture(place->path, "picture", true);
	assert_content(place->path, "picture");
}

static void test_old_file(void **state)
{
	const struct place *place = *state;

	assert_true(g_file_set_contents(place->path, "older and longer", -1, NULL));
	write_picture(place->path, "", false);
	assert_content(place->path, "older and longer");
	write_picture(place->path, "picture", true);
	assert_content(place->path, "picture");
}

static void test_link(void **state)
{
	const struct place *place = *state;
	g_autofree char *target = g_build_filename(place->folder, "target", NULL);

	assert_true(g_file_set_contents(target, "old", -1, NULL));
	assert_int_equal(symlink(target, place->path), 0);
	write_picture(place->path, "picture", true);
	assert_true(g_file_test(place->path, G_FILE_TEST_IS_SYMLINK));
	assert_content(target, "picture");
	assert_int_equal(unlink(target), 0);
}

static void test_pipe_and_device(void **state)
{
	const struct place *place = *state;
	char text[16] = "";

	assert_int_equal(mkfifo(place->path, 0600), 0);
	auto_fd int reader = open(place->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	write_picture(place->path, "picture", true);
	assert_int_equal(read(reader, text, sizeof(text)), 7);
	assert_string_equal(text, "picture");
	write_picture(place->path, "", false);
	assert_true(g_file_test(place->path, G_FILE_TEST_EXISTS));
	write_picture("/dev/null", "picture", true);
}

static void test_no_folder(void **state)
{
	const struct place *place = *state;
	g_autofree char *path = g_build_filename(place->folder, "no", "picture", NULL);
	g_autoptr(GError) error = NULL;
	struct picture_file file;
	int fd;

	assert_false(picture_file_open(&file, path, &fd, &error));
	assert_string_equal(error->message, "open: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_new_file, setup, teardown),
			cmocka_unit_test_setup_teardown(test_old_file, setup, teardown),
			cmocka_unit_test_setup_teardown(test_link, setup, teardown),
			cmocka_unit_test_setup_teardown(test_pipe_and_device, setup, teardown),
			cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
