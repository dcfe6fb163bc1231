/* SPDX-License-Identifier: MIT */
#include "core/boot/elf_image.h"

#include "tests/harness/kernel_image.h"
#include "tests/harness/test.h"

#include <elf.h>
#include <string.h>

static struct kernel_image example(bool is_32bit)
{
	return (struct kernel_image){
			.is_32bit = is_32bit,
			.entry = 0xc0100010,
			.segment_count = 2,
			.segments = {{0xc0100000, 0x100000, "code", 4, 4},
					{0xc0200000, 0x200000, "data", 4, 0x1000}},
			.pvh = true,
			.pvh_entry = 0x100020,
	};
}

static void test_both_classes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct kernel_image kernel = example(i);
		kernel.segments[0].memory_size = 0x20;
		g_autoptr(GBytes) file = kernel_image_elf(&kernel);
		struct elf_image image;
		size_t len;
		const uint8_t *data = g_bytes_get_data(file, &len);

		assert_true(elf_detect(data, len));
		assert_true(elf_parse(data, len, &image, NULL));
		assert_int_equal(image.is_64bit, i == 0);
		assert_int_equal(image.entry, 0xc0100010);
		assert_int_equal(image.entry_physical, 0x100010);
		assert_int_equal(image.segment_count, 2);
		assert_int_equal(image.segments[1].address, 0x200000);
		assert_memory_equal(data + image.segments[1].file_offset, "data", 4);
		assert_int_equal(image.segments[1].file_size, 4);
		assert_int_equal(image.segments[1].memory_size, 0x1000);
		assert_true(image.has_pvh_entry);
		assert_int_equal(image.pvh_entry, 0x100020);
	}
}

static void test_without_note(void **state)
{
	struct kernel_image kernel = example(false);
	struct elf_image image;
	size_t len;

	(void)state;
	kernel.pvh = false;
	kernel.entry = 0x1234; /* in no segment */
	g_autoptr(GBytes) file = kernel_image_elf(&kernel);
	const uint8_t *data = g_bytes_get_data(file, &len);
	assert_true(elf_parse(data, len, &image, NULL));
	assert_false(image.has_pvh_entry);
	assert_int_equal(image.entry_physical, 0x1234);
}

/* One change to a good file. */
static void test_broken(void **state)
{
	static const struct {
		const char *name;
		bool is_32bit;
		size_t offset;
		uint64_t value;
		unsigned len;
		const char *says;
	} rows[] = {
			{"magic", false, 0, 0, 1, "neither 32 nor 64"},
			{"class", false, EI_CLASS, 3, 1, "neither 32 nor 64"},
			{"big-endian", false, EI_DATA, ELFDATA2MSB, 1, "little-endian"},
			{"arm64", false, 18, EM_AARCH64, 2, "an ELF file for arm64, not for x86"},
			{"other machine", true, 18, 9999, 2, "for another architecture"},
			{"object file", false, 16, ET_REL, 2, "no executable"},
			{"core dump", false, 16, ET_CORE, 2, "no executable"},
			{"header size", false, 54, 32, 2, "wrong size"},
			{"no headers", false, 56, 0, 2, "no program headers"},
			{"many headers", false, 56, 0xffff, 2, "too many"},
			{"headers beyond", false, 32, 0x10000, 8, "headers lie beyond"},
			{"headers far beyond", false, 32, UINT64_MAX - 8, 8, "headers lie beyond"},
			{"headers beyond, 32 bits", true, 28, 0xfffffff0, 4, "headers lie beyond"},
			{"segment beyond", false, 64 + 8, 0x10000, 8, "a segment lies beyond"},
			{"segment offset wraps", false, 64 + 8, UINT64_MAX, 8,
					"a segment lies beyond"},
			{"segment too long", false, 64 + 32, UINT64_MAX, 8,
					"a segment lies beyond"},
			{"segment smaller in memory", false, 64 + 40, 3, 8, "impossible size"},
			{"segment wraps", false, 64 + 24, UINT64_MAX, 8, "impossible size"},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct kernel_image kernel = example(rows[i].is_32bit);
		g_autoptr(GBytes) file = kernel_image_elf(&kernel);
		size_t len;
		g_autofree uint8_t *data = g_bytes_unref_to_data(g_steal_pointer(&file), &len);
		struct elf_image image;
		g_autoptr(GError) error = NULL;
		memcpy(data + rows[i].offset, &rows[i].value, rows[i].len);
		bool ok = elf_parse(data, len, &image, &error);
		if (ok || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, ok ? "accepted" : error->message);
		}
	}
}

static void test_nothing_to_load(void **state)
{
	struct kernel_image kernel = {.segment_count = 1, .segments = {{0, 0, "", 0, 0}}};
	g_autoptr(GBytes) file = kernel_image_elf(&kernel);
	struct elf_image image;
	size_t len;
	const uint8_t *data = g_bytes_get_data(file, &len);
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_false(elf_parse(data, len, &image, &error));
	assert_non_null(strstr(error->message, "nothing in it to load"));
}

/* However little of the file there is, nothing is read beyond it (for the address sanitizer to see). */
static void test_cut_short(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct kernel_image kernel = example(i);
		g_autoptr(GBytes) file = kernel_image_elf(&kernel);
		size_t len;
		const uint8_t *data = g_bytes_get_data(file, &len);
		for (size_t n = 0; n < len; n++) {
			g_autofree uint8_t *part = g_memdup2(data, n);
			struct elf_image image;
			assert_false(elf_parse(part, n, &image, NULL));
		}
	}
}

static void test_bad_notes(void **state)
{
	static const struct {
		const char *name;
		size_t offset; /* in the notes */
		uint32_t value;
	} rows[] = {
			{"endless name", 0, 0xffffffff},
			{"endless value", 4, 0xffffffff},
			{"value past the end", 4, 32},
			{"Xen's name too long", 24, 0xfffffff0},
			{"Xen's value too short", 28, 3},
			{"another type", 32, 17},
			{"another name", 36, 0x6e6558},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct kernel_image kernel = example(false);
		g_autoptr(GBytes) file = kernel_image_elf(&kernel);
		size_t len;
		g_autofree uint8_t *data = g_bytes_unref_to_data(g_steal_pointer(&file), &len);
		struct elf_image image;
		uint32_t value = rows[i].value + (i == G_N_ELEMENTS(rows) - 1);
		memcpy(data + 0x300 + rows[i].offset, &value, sizeof(value));
		assert_true(elf_parse(data, len, &image, NULL));
		if (image.has_pvh_entry) {
			fail_msg("%s: found an entry", rows[i].name);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_both_classes),
			cmocka_unit_test(test_without_note),
			cmocka_unit_test(test_broken),
			cmocka_unit_test(test_nothing_to_load),
			cmocka_unit_test(test_cut_short),
			cmocka_unit_test(test_bad_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
