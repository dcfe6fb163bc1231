/* SPDX-License-Identifier: MIT */
#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/boot/protocol.h"
#include "tests/harness/kernel_image.h"
#include "tests/harness/test.h"

#include <glib/gstdio.h>
#include <string.h>

#define MAGIC 0x1badb002u
#define HEADER(flags) MAGIC, (flags), 0u - MAGIC - (flags)
#define ADDRESSES 0x10000u

struct fixture {
	struct guest_memory *memory;
	char *module;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	auto_fd int fd = memfd_create_sized("test", 8 * MiB, NULL);

	f->memory = guest_memory_create();
	assert_true(guest_memory_add(f->memory, 0, 0xa0000, fd, 0, 0, NULL));
	assert_true(guest_memory_add(f->memory, MiB, 7 * MiB, fd, MiB, 0, NULL));
	auto_fd int module = g_file_open_tmp("oriel-module-XXXXXX", &f->module, NULL);
	assert_true(fd_write_all(module, "environment", 11, NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_memory_destroy(f->memory);
	g_unlink(f->module);
	g_free(f->module);
	g_free(f);
	return 0;
}

static void read_guest(struct fixture *f, uint64_t guest, void *buf, size_t len)
{
	assert_true(guest_memory_read(f->memory, guest, buf, len));
}

static void expect_text(struct fixture *f, uint64_t guest, const char *expected)
{
	char text[256] = "";

	read_guest(f, guest, text, strlen(expected) + 1);
	assert_string_equal(text, expected);
}

/* An ELF file of 32 bits with the header at the start of its code, as kvm-unit-tests and Xen have it. */
static struct boot_image *elf_image(bool is_32bit, bool pvh)
{
	static const uint32_t code[] = {HEADER(2), 0x90909090};
	const struct kernel_image kernel = {
			.is_32bit = is_32bit,
			.entry = 0x40000c,
			.segment_count = 1,
			.segments = {{0x400000, 0x400000, code, sizeof(code), 0x1000}},
			.pvh = pvh,
			.pvh_entry = 0x400000,
	};
	g_autoptr(GBytes) file = kernel_image_elf(&kernel);
	g_autoptr(GError) error = NULL;
	struct boot_image *image = boot_image_parse("test.flat", file, &error);

	if (!image) {
		fail_msg("%s", error->message);
	}
	return image;
}

static void test_elf(void **state)
{
	struct fixture *f = *state;
	struct boot_modules *modules = boot_modules_open(f->module, NULL);
	const struct boot_config config = {.command_line = "a b", .modules = modules};
	struct boot_image *image = elf_image(true, false);
	struct x86_state cpu;
	uint32_t info[29], module[4];
	struct {
		uint32_t size;
		uint64_t start, len;
		uint32_t type;
	} __attribute__((packed)) map[3];
	char text[12] = "";

	assert_string_equal(boot_image_protocol(image), "multiboot");
	assert_true(boot_image_place(image, f->memory, &config, &cpu, NULL));
	assert_int_equal(cpu.rip, 0x40000c);
	assert_int_equal(cpu.regs[X86_RAX], 0x2badb002);
	assert_int_equal(cpu.cr0, X86_CR0_PE | X86_CR0_ET);

	read_guest(f, cpu.regs[X86_RBX], info, sizeof(info));
	assert_int_equal(info[0], 1 | 4 | 8 | 0x40 | 0x200);
	assert_int_equal(info[1], 639);
	assert_int_equal(info[2], 7 * 1024);
	expect_text(f, info[4], "test.flat a b");
	assert_int_equal(info[5], 1);
	read_guest(f, info[6], module, sizeof(module));
	assert_int_equal(module[0], 8 * MiB - 0x1000);
	assert_int_equal(module[1] - module[0], 11);
	expect_text(f, module[2], f->module);
	read_guest(f, module[0], text, 11);
	assert_string_equal(text, "environment");
	assert_int_equal(info[11], sizeof(map));
	read_guest(f, info[12], map, sizeof(map));
	assert_true(map[0].size == 20 && map[0].start == 0 && map[0].len == 0x9fc00 &&
			map[0].type == 1);
	assert_true(map[1].start == 0x9fc00 && map[1].type == 2);
	assert_true(map[2].start == MiB && map[2].len == 7 * MiB && map[2].type == 1);
	expect_text(f, info[16], "oriel");
	boot_modules_close(modules);
	boot_image_destroy(image);
}

static void test_64bit_elf_and_no_arguments(void **state)
{
	struct fixture *f = *state;
	const struct boot_config config = {NULL};
	struct boot_image *image = elf_image(false, true); /* multiboot wins over PVH */
	struct x86_state cpu;
	uint32_t info[29];

	assert_string_equal(boot_image_protocol(image), "multiboot");
	assert_true(boot_image_place(image, f->memory, &config, &cpu, NULL));
	assert_int_equal(cpu.rip, 0x40000c);
	read_guest(f, cpu.regs[X86_RBX], info, sizeof(info));
	expect_text(f, info[4], "test.flat");
	assert_int_equal(info[0] & 8, 0);
	boot_image_destroy(image);
}

/* A flat file whose header says where it goes: 0x20 bytes before the header are skipped. */
static void test_addresses(void **state)
{
	struct fixture *f = *state;
	const struct boot_config config = {NULL};
	struct x86_state cpu;
	uint32_t file[24] = {[0] = 0x11111111, [8] = 0x22222222};
	const uint32_t header[] = {
			HEADER(ADDRESSES | 3), 0x200028, 0x200020, 0x200050, 0x201000, 0x200048};
	uint32_t word;

	memcpy(&file[10], header, sizeof(header)); /* at 0x28, so that loading begins at 0x20 */
	file[18] = 0x33333333;
	g_autoptr(GBytes) bytes = g_bytes_new(file, sizeof(file));
	struct boot_image *image = boot_image_parse("flat", bytes, NULL);
	assert_non_null(image);
	word = 0x55555555;
	assert_true(guest_memory_write(f->memory, 0x200ffc, &word, 4));
	assert_true(boot_image_place(image, f->memory, &config, &cpu, NULL));
	assert_int_equal(cpu.rip, 0x200048);
	read_guest(f, 0x200020, &word, 4);
	assert_int_equal(word, 0x22222222);
	read_guest(f, 0x200048, &word, 4);
	assert_int_equal(word, 0x33333333);
	read_guest(f, 0x200ffc, &word, 4);
	assert_int_equal(word, 0);
	boot_image_destroy(image);
}

static void test_bad_headers(void **state)
{
	static const struct {
		const char *name;
		uint32_t words[8];
		const char *says; /* NULL: no header at all */
	} rows[] = {
			{"no magic", {0x12345678}, NULL},
			{"wrong checksum", {MAGIC, 0, 0}, NULL},
			{"unknown demand", {HEADER(0x10)}, "demands features 0x10"},
			{"no ELF file, no addresses", {HEADER(3)}, "names no addresses"},
			{"loads from before the file",
					{HEADER(ADDRESSES), 0x200100, 0x200000, 0, 0, 0},
					"before the file's start"},
			{"loads behind the header",
					{HEADER(ADDRESSES), 0x200000, 0x200004, 0, 0, 0},
					"before the file's start"},
			{"ends before it begins",
					{HEADER(ADDRESSES), 0x200000, 0x200000, 0x1fffff, 0, 0},
					"ends before"},
			{"more than the file has",
					{HEADER(ADDRESSES), 0x200000, 0x200000, 0x200021, 0, 0},
					"beyond the file's end"},
			{"zeroes end too early",
					{HEADER(ADDRESSES), 0x200000, 0x200000, 0x200010, 0x20000f,
							0},
					"end of zeroes"},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct elf_image elf = {.segment_count = 0};
		g_autoptr(GError) error = NULL;
		bool ok = multiboot_detect((const uint8_t *)rows[i].words, sizeof(rows[i].words),
				&elf, &error);
		bool as_expected = rows[i].says ? error && strstr(error->message, rows[i].says)
						: !error;
		if (ok || !as_expected) {
			fail_msg("%s: %s", rows[i].name, error ? error->message : "no error");
		}
	}
}

/* The header counts only in the first 8 KiB, and is not read beyond the file. */
static void test_where_headers_are(void **state)
{
	const uint32_t header[] = {HEADER(ADDRESSES)};
	struct elf_image elf = {.segment_count = 0};

	(void)state;
	for (unsigned at = 8180; at <= 8188; at += 4) {
		g_autofree uint8_t *data = g_malloc0(at + sizeof(header));
		g_autoptr(GError) error = NULL;
		memcpy(data + at, header, sizeof(header));
		assert_false(multiboot_detect(data, at + sizeof(header), &elf, &error));
		assert_true((at == 8180) == (error && strstr(error->message, "cut short")));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_elf),
			TEST(test_64bit_elf_and_no_arguments),
			TEST(test_addresses),
			cmocka_unit_test(test_bad_headers),
			cmocka_unit_test(test_where_headers_are),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
