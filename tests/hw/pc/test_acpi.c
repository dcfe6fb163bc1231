/* SPDX-License-Identifier: MIT */
/*
 * The tables as a system finds them: searched, checked, read field by field here, then taken apart
 * by iasl, and the DSDT's methods run by acpiexec where that is installed.
 */
#include "hw/pc/acpi.h"

#include "core/base/bytes.h"
#include "core/base/thread.h"
#include "hw/pc/ich9.h"
#include "hw/pc/q35.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX 8
#define IO_SPACE 1

static const struct acpi_config usual = {
		.vcpus = 2,
		.mmio64_base = UINT64_C(0x800000000),
		.mmio64_size = UINT64_C(0x800000000),
		.serial_ports = 0x5,
};

struct fixture {
	struct fake_machine *fake;
	uint8_t *area; /* a copy of what lies from ACPI_BASE on */
	uint64_t rsdp; /* as acpi_place() said */
};

static void place(struct fixture *f, const struct acpi_config *config)
{
	assert_true(acpi_place(f->fake->machine.ram, config, &f->rsdp));
	fake_read(f->fake, ACPI_BASE, f->area, ACPI_SIZE);
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->area = g_malloc(ACPI_SIZE);
	place(f, &usual);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_machine_destroy(f->fake);
	g_free(f->area);
	g_free(f);
	return 0;
}

static const uint8_t *at(struct fixture *f, uint64_t address)
{
	assert_in_range(address, ACPI_BASE, ACPI_BASE + ACPI_SIZE - 64);
	return f->area + (address - ACPI_BASE);
}

static uint8_t sum(const uint8_t *bytes, size_t len)
{
	uint8_t total = 0;

	for (size_t i = 0; i < len; i++) {
		total = (uint8_t)(total + bytes[i]);
	}
	return total;
}

/* As systems without other guidance do: every 16 bytes up to 1 MiB. */
static const uint8_t *find_rsdp(struct fixture *f)
{
	for (size_t offset = 0; offset + 36 <= ACPI_SIZE; offset += 16) {
		const uint8_t *rsdp = f->area + offset;
		if (memcmp(rsdp, "RSD PTR ", 8) == 0 && sum(rsdp, 20) == 0) {
			return rsdp;
		}
	}
	return NULL;
}

/* A table whose address is known: its signature and checksum are right. */
static const uint8_t *table(struct fixture *f, uint64_t address, const char *signature)
{
	const uint8_t *bytes = at(f, address);
	uint32_t len = le32_load(bytes + 4);

	assert_memory_equal(bytes, signature, 4);
	assert_in_range(len, 36, ACPI_SIZE - (address - ACPI_BASE));
	assert_int_equal(sum(bytes, len), 0);
	assert_memory_equal(bytes + 10, "ORIEL", 5);
	return bytes;
}

/* A table by its name in the XSDT; NULL if it is not there. */
static const uint8_t *find_table(struct fixture *f, const char *signature)
{
	const uint8_t *xsdt = table(f, le64_load(find_rsdp(f) + 24), "XSDT");
	unsigned count = (le32_load(xsdt + 4) - 36) / 8;

	for (unsigned i = 0; i < count; i++) {
		uint64_t address = le64_load(xsdt + 36 + 8 * i);
		if (memcmp(at(f, address), signature, 4) == 0) {
			return table(f, address, signature);
		}
	}
	return NULL;
}

static void test_root(void **state)
{
	struct fixture *f = *state;
	const uint8_t *rsdp = find_rsdp(f);

	assert_non_null(rsdp);
	assert_ptr_equal(rsdp, at(f, f->rsdp));
	assert_int_equal(rsdp[15], 2);
	assert_int_equal(le32_load(rsdp + 20), 36);
	assert_int_equal(sum(rsdp, 36), 0);
	/* Both lists name the same tables. */
	const uint8_t *rsdt = table(f, le32_load(rsdp + 16), "RSDT");
	const uint8_t *xsdt = table(f, le64_load(rsdp + 24), "XSDT");
	unsigned count = (le32_load(rsdt + 4) - 36) / 4;
	assert_int_equal((le32_load(xsdt + 4) - 36) / 8, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(le32_load(rsdt + 36 + 4 * i), le64_load(xsdt + 36 + 8 * i));
	}
	assert_non_null(find_table(f, "FACP"));
	assert_non_null(find_table(f, "APIC"));
	assert_non_null(find_table(f, "MCFG"));
}

static void assert_io(const uint8_t *address, unsigned bits, uint64_t port)
{
	assert_int_equal(address[0], IO_SPACE);
	assert_int_equal(address[1], bits);
	assert_int_equal(le64_load(address + 4), port);
}

static void test_fadt(void **state)
{
	struct fixture *f = *state;
	const uint8_t *fadt = find_table(f, "FACP");
	uint32_t flags = le32_load(fadt + 112);

	assert_int_equal(fadt[8], 6);
	assert_int_equal(le32_load(fadt + 4), 276);
	assert_int_equal(le32_load(fadt + 36), le64_load(fadt + 132)); /* FACS */
	assert_int_equal(le32_load(fadt + 40), le64_load(fadt + 140)); /* DSDT */
	assert_int_equal(le16_load(fadt + 46), ICH9_SCI_GSI);
	assert_int_equal(le32_load(fadt + 48), 0); /* no SMI: always in ACPI mode */
	assert_int_equal(le32_load(fadt + 56), ICH9_PM_BASE);
	assert_int_equal(le32_load(fadt + 64), ICH9_PM1_CNT);
	assert_int_equal(le32_load(fadt + 76), ICH9_PM_TIMER);
	assert_int_equal(le32_load(fadt + 80), ICH9_GPE0);
	assert_int_equal(fadt[88], 4);
	assert_int_equal(fadt[89], 2);
	assert_int_equal(fadt[91], 4);
	assert_int_equal(fadt[92], ICH9_GPE0_LEN);
	assert_int_equal(fadt[108], 0x32);
	assert_int_equal(le16_load(fadt + 109) & 0x2, 0); /* no 8042 */
	assert_true(flags & BIT(0));
	assert_false(flags & BIT(4)); /* there is a power button */
	assert_true(flags & BIT(8)); /* the timer has 32 bits */
	assert_true(flags & BIT(10)); /* the reset register works */
	assert_io(fadt + 116, 8, Q35_RESET_PORT);
	assert_int_equal(fadt[128], Q35_RESET_VALUE);
	assert_io(fadt + 148, 32, ICH9_PM_BASE);
	assert_io(fadt + 172, 16, ICH9_PM1_CNT);
	assert_io(fadt + 208, 32, ICH9_PM_TIMER);
	assert_io(fadt + 220, 8 * ICH9_GPE0_LEN, ICH9_GPE0);
	const uint8_t *facs = at(f, le64_load(fadt + 132));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(le32_load(facs + 4), 64);
	assert_int_equal(le64_load(fadt + 132) % 64, 0);
	assert_int_equal(facs[32], 2);
}

static void assert_madt(struct fixture *f, unsigned vcpus)
{
	const uint8_t *madt = find_table(f, "APIC");
	const uint8_t *entry = madt + 44, *end = madt + le32_load(madt + 4);
	unsigned local = 0, io = 0, overrides = 0, nmis = 0;

	assert_int_equal(le32_load(madt + 36), 0xfee00000);
	assert_int_equal(le32_load(madt + 40), 1);
	for (; entry < end; entry += entry[1]) {
		assert_in_range(entry[1], 2, end - entry);
		switch (entry[0]) {
		case 0:
			assert_int_equal(entry[2], local);
			assert_int_equal(entry[3], local);
			assert_int_equal(le32_load(entry + 4), 1);
			local++;
			break;
		case 1:
			assert_int_equal(le32_load(entry + 4), 0xfec00000);
			assert_int_equal(le32_load(entry + 8), 0);
			io++;
			break;
		case 2:
			if (entry[3] == 0) {
				assert_int_equal(le32_load(entry + 4), 2);
			} else {
				assert_int_equal(entry[3], ICH9_SCI_GSI);
				assert_int_equal(le32_load(entry + 4), ICH9_SCI_GSI);
				assert_int_equal(le16_load(entry + 8), 0xd);
			}
			overrides++;
			break;
		case 4:
			assert_int_equal(entry[2], 0xff);
			assert_int_equal(entry[5], 1);
			nmis++;
			break;
		default:
			fail_msg("MADT entry of type %u", entry[0]);
		}
	}
	assert_ptr_equal(entry, end);
	assert_int_equal(local, vcpus);
	assert_int_equal(io, 1);
	assert_int_equal(overrides, 2);
	assert_int_equal(nmis, 1);
}

static void test_madt(void **state)
{
	static const unsigned counts[] = {1, 2, 64};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
		struct acpi_config config = usual;
		config.vcpus = counts[i];
		place(f, &config);
		assert_madt(f, counts[i]);
	}
}

static void test_mcfg(void **state)
{
	struct fixture *f = *state;
	const uint8_t *mcfg = find_table(f, "MCFG");

	assert_int_equal(le32_load(mcfg + 4), 36 + 8 + 16);
	assert_int_equal(le64_load(mcfg + 44), Q35_ECAM_BASE);
	assert_int_equal(le16_load(mcfg + 52), 0);
	assert_int_equal(mcfg[54], 0);
	assert_int_equal(mcfg[55], Q35_ECAM_SIZE / MiB - 1);
}

static const uint8_t *dsdt_of(struct fixture *f)
{
	return table(f, le64_load(find_table(f, "FACP") + 140), "DSDT");
}

/* Runs a program in folder; its standard output and error. The status is asserted to be 0. */
static char *run_program(const char *folder, const char *const *argv)
{
	g_autoptr(GError) error = NULL;
	char *out = NULL, *err = NULL;
	int status;

	if (!g_spawn_sync(folder, (gchar **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err,
			    &status, &error)) {
		fail_msg("%s: %s", argv[0], error->message);
	}
	char *all = g_strconcat(out, err, NULL);
	if (!g_spawn_check_wait_status(status, NULL)) {
		fail_msg("%s: %s", argv[0], all);
	}
	g_free(out);
	g_free(err);
	return all;
}

static char *dump(const char *folder, const char *name, const uint8_t *bytes)
{
	char *path = g_build_filename(folder, name, NULL);

	assert_true(g_file_set_contents(path, (const char *)bytes, le32_load(bytes + 4), NULL));
	return path;
}

static void remove_folder(char *folder)
{
	const char *name;
	GDir *dir = g_dir_open(folder, 0, NULL);

	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		g_unlink(path);
	}
	g_dir_close(dir);
	g_rmdir(folder);
	g_free(folder);
}

static void assert_says(const char *text, const char *expected)
{
	if (!strstr(text, expected)) {
		fail_msg("no '%s' in:\n%s", expected, text);
	}
}

/* iasl understands every table, and compiles what it made of the DSDT without a complaint. */
static void test_disassembly(void **state)
{
	static const struct {
		const char *signature, *file, *source, *expected;
	} tables[] = {
			{"FACP", "facp.dat", "facp.dsl", "Reset Register Supported (V2) : 1"},
			{"APIC", "apic.dat", "apic.dsl", "[I/O APIC]"},
			{"MCFG", "mcfg.dat", "mcfg.dsl", "Base Address : 00000000B0000000"},
			{"DSDT", "dsdt.dat", "dsdt.dsl", "Name (SERP, 0x0000000000000005)"},
	};
	struct fixture *f = *state;
	char *folder = g_dir_make_tmp("acpi-XXXXXX", NULL);

	for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
		bool is_dsdt = strcmp(tables[i].signature, "DSDT") == 0;
		const uint8_t *bytes = is_dsdt ? dsdt_of(f) : find_table(f, tables[i].signature);
		G_GNUC_UNUSED g_autofree char *path = dump(folder, tables[i].file, bytes);
		const char *argv[] = {getenv("IASL"), "-d", tables[i].file, NULL};
		G_GNUC_UNUSED g_autofree char *output = run_program(folder, argv);
		g_autofree char *source_path = g_build_filename(folder, tables[i].source, NULL);
		g_autofree char *source = NULL;

		assert_true(g_file_get_contents(source_path, &source, NULL, NULL));
		assert_says(source, tables[i].expected);
		assert_null(strstr(source, "Invalid"));
	}
	g_autofree char *source_path = g_build_filename(folder, "dsdt.dsl", NULL);
	g_autofree char *source = NULL;
	assert_true(g_file_get_contents(source_path, &source, NULL, NULL));
	assert_says(source, "0x0000000800000000, // Range Minimum");
	assert_says(source, "0x0000000FFFFFFFFF, // Range Maximum");
	assert_says(source, "0x0000000800000000, // Length");
	const char *argv[] = {getenv("IASL"), "-p", "again", "dsdt.dsl", NULL};
	g_autofree char *output = run_program(folder, argv);
	assert_says(output, "0 Errors, 0 Warnings");
	remove_folder(folder);
}

/* Runs the DSDT: what its methods return is what a system will believe. */
static void test_methods(void **state)
{
	struct fixture *f = *state;
	const char *acpiexec = getenv("ACPIEXEC");

	if (!acpiexec || !*acpiexec) {
		skip();
	}
	char *folder = g_dir_make_tmp("acpi-XXXXXX", NULL);
	G_GNUC_UNUSED g_autofree char *path = dump(folder, "dsdt.dat", dsdt_of(f));
	static const struct {
		const char *command, *expected;
	} runs[] = {
			{"evaluate \\_SB.PCI0.ISA.COM1._STA", "[Integer] = 000000000000000F"},
			{"evaluate \\_SB.PCI0.ISA.COM2._STA", "[Integer] = 0000000000000000"},
			{"evaluate \\_SB.PCI0.ISA.COM3._STA", "[Integer] = 000000000000000F"},
			{"evaluate \\_SB.PCI0.ISA.COM4._STA", "[Integer] = 0000000000000000"},
			/* Slot 31, INTD: input 16 + (31 + 3) mod 4. */
			{"evaluate \\_SB.PCI0._PRT", "[Integer] = 00000000001FFFFF"},
			{"evaluate \\_S5", "[Package] Contains 4 Elements"},
	};
	for (unsigned i = 0; i < G_N_ELEMENTS(runs); i++) {
		const char *argv[] = {acpiexec, "-b", runs[i].command, "dsdt.dat", NULL};
		g_autofree char *output = run_program(folder, argv);
		assert_says(output, runs[i].expected);
		assert_null(strstr(output, "AE_"));
	}
	remove_folder(folder);
}

static void test_no_room(void **state)
{
	struct fake_machine *fake = fake_machine_create(ACPI_BASE);
	uint64_t rsdp = 1;
	(void)state;

	assert_false(acpi_place(fake->machine.ram, &usual, &rsdp));
	assert_int_equal(rsdp, 1);
	fake_machine_destroy(fake);
}

/* At a reset the same tables come again, byte for byte. */
static void test_repeatable(void **state)
{
	struct fixture *f = *state;
	g_autofree uint8_t *first = g_memdup2(f->area, ACPI_SIZE);

	place(f, &usual);
	assert_memory_equal(first, f->area, ACPI_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_root),
			TEST(test_fadt),
			TEST(test_madt),
			TEST(test_mcfg),
			TEST(test_disassembly),
			TEST(test_methods),
			cmocka_unit_test(test_no_room),
			TEST(test_repeatable),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
