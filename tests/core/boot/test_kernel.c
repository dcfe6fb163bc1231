/* SPDX-License-Identifier: MIT */
#include "core/boot/kernel.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/kernel_image.h"
#include "tests/harness/test.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

struct fixture {
	char *folder;
	struct guest_memory *memory;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	auto_fd int fd = memfd_create_sized("test", 8 * MiB, NULL);

	f->folder = g_dir_make_tmp("oriel-kernel-XXXXXX", NULL);
	f->memory = guest_memory_create();
	assert_true(guest_memory_add(f->memory, 0, 8 * MiB, fd, 0, 0, NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "kernel", NULL);

	g_unlink(path);
	g_rmdir(f->folder);
	g_free(f->folder);
	guest_memory_destroy(f->memory);
	g_free(f);
	return 0;
}

static GBytes *pvh_kernel(uint64_t address, uint64_t memory_size)
{
	const struct kernel_image kernel = {
			.segment_count = 1,
			.segments = {{address, address, "kernel", 6, memory_size}},
			.pvh = true,
			.pvh_entry = (uint32_t)address,
	};

	return kernel_image_elf(&kernel);
}

static GBytes *compress(GBytes *contents, const void *tail, size_t tail_len)
{
	size_t len;
	const void *data = g_bytes_get_data(contents, &len);
	g_autofree char *out = g_malloc(ZSTD_compressBound(len));
	size_t n = ZSTD_compress(out, ZSTD_compressBound(len), data, len, 1);

	g_autoptr(GBytes) packed = g_bytes_new(out, n);
	return kernel_image_append(packed, tail, tail_len);
}

static GBytes *bzimage(GBytes *payload, uint32_t initrd_max)
{
	size_t len;
	const void *data = g_bytes_get_data(payload, &len);

	return kernel_image_bzimage(data, len, initrd_max);
}

static void expect_boots(struct fixture *f, const char *name, GBytes *file)
{
	const struct boot_config config = {NULL};
	struct x86_state cpu;
	g_autoptr(GError) error = NULL;
	char text[6];
	struct boot_image *image = boot_image_parse(name, file, &error);

	if (!image || !boot_image_place(image, f->memory, &config, &cpu, &error)) {
		fail_msg("%s: %s", name, error->message);
	}
	assert_int_equal(cpu.rip, 0x100000);
	assert_true(guest_memory_read(f->memory, 0x100000, text, 6));
	assert_memory_equal(text, "kernel", 6);
	boot_image_destroy(image);
}

static void test_forms(void **state)
{
	struct fixture *f = *state;
	g_autoptr(GBytes) plain = pvh_kernel(0x100000, 0x1000);
	g_autoptr(GBytes) packed = compress(plain, "\x00\x10\x00\x00", 4);
	g_autoptr(GBytes) bz_plain = bzimage(plain, 0x7fffffff);
	g_autoptr(GBytes) bz_packed = bzimage(packed, 0x7fffffff);
	g_autoptr(GBytes) bz_signed = kernel_image_append(bz_packed, "signature", 9);

	expect_boots(f, "plain", plain);
	expect_boots(f, "compressed", packed);
	expect_boots(f, "bzImage, not compressed", bz_plain);
	expect_boots(f, "bzImage", bz_packed);
	expect_boots(f, "bzImage with something behind it", bz_signed);
}

static void test_not_kernels(void **state)
{
	static const struct {
		const char *name;
		const char *contents;
		size_t len;
		size_t offset; /* of contents in a file of zeroes of 36 KiB; 0: contents are the file */
		const char *says;
	} rows[] = {
			{"empty", "", 0, 0,
					"not a kernel but an empty file; wanted is a Linux bzImage, an ELF"},
			{"script", "#!/bin/sh\n", 10, 0, "not a kernel but a script;"},
			{"text", "Hello, world\n", 13, 0, "not a kernel but a text file;"},
			{"data", "\1\2\3\4", 4, 0, "not a kernel but data of an unknown kind;"},
			{"EFI", "MZ\x90\0\0\0", 6, 0, "an EFI or Windows program"},
			{"arm64", "ARM\x64", 4, 0x38, "a Linux kernel for arm64"},
			{"qcow2", "QFI\xfb", 4, 0, "a qcow2 disk image"},
			{"CD", "CD001", 5, 0x8001, "a CD image"},
			{"disk", "\x55\xaa", 2, 0x1fe, "a disk or boot sector image"},
			{"cpio", "070701", 6, 0, "a cpio archive (an initrd?)"},
			{"bzip2", "BZh91AY&SY", 10, 0,
					"compressed with bzip2, which is not supported"},
			{"gzip cut short", "\x1f\x8b\x08\0\0\0\0\0", 8, 0, "cut short"},
			{"ELF cut short",
					"\x7f"
					"ELF\2\1\1",
					7, 0, "broken ELF file: the header is cut short"},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		size_t len = rows[i].offset ? 36 * KiB : rows[i].len;
		g_autofree char *data = g_malloc0(len + 1);
		memcpy(data + rows[i].offset, rows[i].contents, rows[i].len);
		g_autoptr(GBytes) file = g_bytes_new(data, len);
		g_autoptr(GError) error = NULL;
		struct boot_image *image = boot_image_parse("x", file, &error);
		if (image || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, image ? "accepted" : error->message);
		}
		assert_true(g_str_has_prefix(error->message, "-kernel 'x': "));
		assert_null(strchr(error->message, '\n'));
	}
}

static void expect_refused(const char *name, GBytes *file, const char *says)
{
	g_autoptr(GError) error = NULL;
	struct boot_image *image = boot_image_parse("x", file, &error);

	if (image || !strstr(error->message, says)) {
		fail_msg("%s: %s", name, image ? "accepted" : error->message);
	}
}

static void test_elf_without_entry(void **state)
{
	const struct kernel_image kernel = {
			.segment_count = 1, .segments = {{0x100000, 0x100000, "program", 7, 7}}};
	g_autoptr(GBytes) file = kernel_image_elf(&kernel);
	g_autoptr(GBytes) packed = bzimage(file, 0x7fffffff);

	(void)state;
	expect_refused("program", file, "an ELF file without a PVH entry (a kernel built without");
	expect_refused("bzImage of it", packed, "an ELF file without a PVH entry");
}

static void test_bad_bzimages(void **state)
{
	static const struct {
		const char *name;
		size_t offset;
		uint32_t value;
		unsigned len;
		const char *says;
	} rows[] = {
			{"old protocol", 0x206, 0x0207, 2,
					"a bzImage of boot protocol 2.07; 2.08 or newer"},
			{"no payload", 0x24c, 0, 4, "2.08 or newer"},
			{"payload beyond", 0x248, 0x10000, 4, "cut short after"},
			{"payload far beyond", 0x248, 0xffffffff, 4, "cut short after"},
			{"payload too long", 0x24c, 0x10000, 4, "cut short after"},
			{"payload of 4 GiB", 0x24c, 0xffffffff, 4, "cut short after"},
			{"setup too long", 0x1f1, 255, 1, "cut short after"},
			{"payload of nothing known", 0x248, 0, 4,
					"compressed with an unknown format"},
	};
	g_autoptr(GBytes) kernel = pvh_kernel(0x100000, 6);
	g_autoptr(GBytes) packed = compress(kernel, "", 0);

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GBytes) good = bzimage(packed, 0x7fffffff);
		size_t len;
		uint8_t *data = g_bytes_unref_to_data(g_steal_pointer(&good), &len);
		memcpy(data + rows[i].offset, &rows[i].value, rows[i].len);
		g_autoptr(GBytes) bad = g_bytes_new_take(data, len);
		expect_refused(rows[i].name, bad, rows[i].says);
	}
	/* every length: nothing is read beyond the end */
	g_autoptr(GBytes) good = bzimage(packed, 0x7fffffff);
	for (size_t n = 1; n < g_bytes_get_size(good); n++) {
		g_autofree uint8_t *part = g_memdup2(g_bytes_get_data(good, NULL), n);
		g_autoptr(GBytes) file = g_bytes_new(part, n);
		assert_null(boot_image_parse("x", file, NULL));
	}
}

static void expect_no_place(
		struct fixture *f, GBytes *file, const struct boot_config *config, const char *says)
{
	struct boot_image *image = boot_image_parse("x", file, NULL);
	struct x86_state cpu;
	g_autoptr(GError) error = NULL;

	assert_non_null(image);
	assert_false(boot_image_place(image, f->memory, config, &cpu, &error));
	if (!strstr(error->message, says)) {
		fail_msg("%s", error->message);
	}
	boot_image_destroy(image);
}

static void test_does_not_fit(void **state)
{
	struct fixture *f = *state;
	const struct boot_config config = {NULL};
	g_autofree char *endless = g_strnfill(BOOT_MAX_COMMAND_LINE, 'x');
	const struct boot_config long_line = {.command_line = endless};
	g_autoptr(GBytes) beyond = pvh_kernel(64 * MiB, 6);
	g_autoptr(GBytes) over_the_end = pvh_kernel(7 * MiB, 2 * MiB);
	g_autoptr(GBytes) over_rom = pvh_kernel(0x90000, 0x20000);
	g_autoptr(GBytes) endless_zeroes = pvh_kernel(MiB, UINT64_MAX - MiB);
	g_autoptr(GBytes) fits = pvh_kernel(MiB, 7 * MiB);

	expect_no_place(f, beyond, &config,
			"-kernel 'x': it wants RAM from 0x4000000 to 0x4000006, which the guest has not");
	expect_no_place(f, over_the_end, &config, "it wants RAM from 0x700000 to 0x900000");
	expect_no_place(f, over_rom, &config, "it wants RAM from 0x90000 to 0xb0000");
	expect_no_place(f, endless_zeroes, &config, "it wants RAM from 0x100000");
	expect_no_place(f, fits, &long_line, "-append: longer than 65535 bytes");
	endless[BOOT_MAX_COMMAND_LINE - 1] = '\0';
	struct boot_image *image = boot_image_parse("x", fits, NULL);
	struct x86_state cpu;
	assert_true(boot_image_place(image, f->memory, &long_line, &cpu, NULL));
	boot_image_destroy(image);
}

/* A bzImage says how high its initrd may lie. */
static void test_initrd_limit(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "kernel", NULL);
	g_autoptr(GBytes) kernel = pvh_kernel(MiB, 6);
	g_autoptr(GBytes) file = bzimage(kernel, 4 * MiB - 1);
	g_autoptr(GBytes) tight = bzimage(kernel, 0x1fff);
	struct x86_state cpu;
	uint64_t module, start;

	assert_true(g_file_set_contents(path, "initrd", 6, NULL));
	struct boot_modules *modules = boot_modules_open(path, NULL);
	const struct boot_config config = {.modules = modules};
	struct boot_image *image = boot_image_parse("x", file, NULL);
	assert_true(boot_image_place(image, f->memory, &config, &cpu, NULL));
	assert_true(guest_memory_read(f->memory, cpu.regs[X86_RBX] + 16, &module, 8));
	assert_true(guest_memory_read(f->memory, module, &start, 8));
	assert_int_equal(start, 4 * MiB - 0x1000);
	boot_image_destroy(image);
	expect_no_place(f, tight, &config,
			"do not fit into the RAM that the kernel leaves free below 8.0");
	boot_modules_close(modules);
}

static void test_files(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "kernel", NULL);
	g_autoptr(GBytes) kernel = pvh_kernel(MiB, 6);
	g_autoptr(GError) missing = NULL, folder = NULL, fifo = NULL, from_loader = NULL;

	assert_null(boot_image_load(path, &missing));
	assert_true(g_str_has_suffix(missing->message, "/kernel': No such file or directory"));
	assert_null(boot_image_load(f->folder, &folder));
	assert_non_null(strstr(folder->message, "not a regular file"));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(boot_image_load(path, &fifo));
	assert_non_null(strstr(fifo->message, "not a regular file"));
	g_unlink(path);
	assert_null(boot_loader_join(boot_loader_start(path), &from_loader));
	assert_non_null(strstr(from_loader->message, "No such file"));

	assert_true(g_file_set_contents(path, g_bytes_get_data(kernel, NULL),
			(gssize)g_bytes_get_size(kernel), NULL));
	struct boot_image *image = boot_loader_join(boot_loader_start(path), NULL);
	assert_non_null(image);
	boot_image_destroy(image);
	boot_image_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_forms),
			TEST(test_not_kernels),
			TEST(test_elf_without_entry),
			TEST(test_bad_bzimages),
			TEST(test_does_not_fit),
			TEST(test_initrd_limit),
			TEST(test_files),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
