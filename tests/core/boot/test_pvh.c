/* SPDX-License-Identifier: MIT */
/* What a PVH kernel finds in its memory and registers. */
#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/boot/kernel.h"
#include "tests/harness/kernel_image.h"
#include "tests/harness/test.h"

#include <glib/gstdio.h>
#include <string.h>

/* As the kernel reads it. */
struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct fixture {
	struct guest_memory *memory;
	struct boot_image *image;
	char *initrd;
};

static int setup(void **state)
{
	static const struct kernel_image kernel = {
			.entry = 0xffffffff81000000,
			.segment_count = 2,
			.segments = {{0xffffffff81000000, 0x100000, "kernel", 6, 6},
					{0xffffffff81100000, 0x200000, "data", 4, 0x2000}},
			.pvh = true,
			.pvh_entry = 0x100004,
	};
	struct fixture *f = g_new0(struct fixture, 1);
	auto_fd int fd = memfd_create_sized("test", 16 * MiB, NULL);
	g_autoptr(GBytes) file = kernel_image_elf(&kernel);

	f->memory = guest_memory_create();
	assert_true(guest_memory_add(f->memory, 0, 0xa0000, fd, 0, 0, NULL));
	assert_true(guest_memory_add(f->memory, MiB, 15 * MiB, fd, MiB, 0, NULL));
	f->image = boot_image_parse("kernel", file, NULL);
	assert_non_null(f->image);
	assert_string_equal(boot_image_protocol(f->image), "PVH");
	auto_fd int initrd = g_file_open_tmp("oriel-initrd-XXXXXX", &f->initrd, NULL);
	assert_true(fd_write_all(initrd, "initial ramdisk", 15, NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	boot_image_destroy(f->image);
	guest_memory_destroy(f->memory);
	g_unlink(f->initrd);
	g_free(f->initrd);
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

static void test_memory(void **state)
{
	static const struct boot_range ecam = {0xb0000000, 0x10000000, BOOT_RANGE_RESERVED};
	struct fixture *f = *state;
	struct boot_modules *modules = boot_modules_open(f->initrd, NULL);
	const struct boot_config config = {.command_line = "console=ttyS0",
			.modules = modules,
			.rsdp = 0xe0000,
			.reserved = &ecam,
			.reserved_count = 1};
	struct x86_state cpu;
	struct start_info info;
	uint64_t module[4];
	struct {
		uint64_t start, size;
		uint32_t type, reserved;
	} map[4];
	char text[16] = "";

	/* What was there before the kernel is gone, also where it has zeroes. */
	memset(text, 'x', sizeof(text));
	assert_true(guest_memory_write(f->memory, 0x201ff0, text, sizeof(text)));

	assert_true(boot_image_place(f->image, f->memory, &config, &cpu, NULL));
	boot_modules_close(modules);
	read_guest(f, 0x201ff0, text, sizeof(text));
	assert_int_equal(text[15], 0);
	expect_text(f, 0x200000, "data");

	read_guest(f, cpu.regs[X86_RBX], &info, sizeof(info));
	assert_int_equal(info.magic, 0x336ec578);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.rsdp, 0xe0000);
	expect_text(f, info.cmdline, "console=ttyS0");

	assert_int_equal(info.nr_modules, 1);
	read_guest(f, info.modlist, module, sizeof(module));
	assert_int_equal(module[0], 16 * MiB - 0x1000);
	assert_int_equal(module[1], 15);
	expect_text(f, module[2], f->initrd);
	read_guest(f, module[0], text, 15);
	assert_memory_equal(text, "initial ramdisk", 15);

	assert_int_equal(info.memmap_entries, 4);
	read_guest(f, info.memmap, map, sizeof(map));
	assert_true(map[0].start == 0 && map[0].size == 0x9fc00 && map[0].type == 1);
	assert_true(map[1].start == 0x9fc00 && map[1].size == 0x60400 && map[1].type == 2);
	assert_true(map[2].start == MiB && map[2].size == 15 * MiB && map[2].type == 1);
	assert_true(map[3].start == 0xb0000000 && map[3].size == 0x10000000 && map[3].type == 2);
}

static void test_cpu(void **state)
{
	struct fixture *f = *state;
	const struct boot_config config = {NULL};
	struct x86_state cpu;
	uint64_t gdt[5];

	assert_true(boot_image_place(f->image, f->memory, &config, &cpu, NULL));
	assert_int_equal(cpu.rip, 0x100004);
	assert_int_equal(cpu.cr0, X86_CR0_PE | X86_CR0_ET);
	assert_int_equal(cpu.cr4, 0);
	assert_int_equal(cpu.efer, 0);
	assert_int_equal(cpu.rflags, X86_FLAG_FIXED);
	assert_int_equal(cpu.seg[X86_CS].attributes, 0xc09b);
	assert_int_equal(cpu.seg[X86_CS].limit, UINT32_MAX);
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		assert_int_equal(cpu.seg[i].base, 0);
		assert_int_equal(cpu.seg[i].limit, UINT32_MAX);
		assert_int_equal(cpu.seg[i].attributes, i == X86_CS ? 0xc09b : 0xc093);
	}
	assert_int_equal(cpu.tr.limit, 0x67);
	assert_int_equal(cpu.tr.attributes, 0x8b);
	/* Loading the selectors again gives the same. */
	assert_int_equal(cpu.gdtr.limit, sizeof(gdt) - 1);
	read_guest(f, cpu.gdtr.base, gdt, sizeof(gdt));
	assert_int_equal(gdt[cpu.seg[X86_CS].selector / 8], 0x00cf9b000000ffff);
	assert_int_equal(gdt[cpu.seg[X86_DS].selector / 8], 0x00cf93000000ffff);
	assert_int_equal(gdt[cpu.tr.selector / 8], 0x00008b0000000067);
}

static void test_nothing_given(void **state)
{
	struct fixture *f = *state;
	const struct boot_config config = {NULL};
	struct x86_state cpu;
	struct start_info info;

	assert_true(boot_image_place(f->image, f->memory, &config, &cpu, NULL));
	read_guest(f, cpu.regs[X86_RBX], &info, sizeof(info));
	expect_text(f, info.cmdline, "");
	assert_int_equal(info.nr_modules, 0);
	assert_int_equal(info.rsdp, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_memory),
			TEST(test_cpu),
			TEST(test_nothing_given),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
