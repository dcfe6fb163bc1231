/* SPDX-License-Identifier: MIT */
/* The tables as a system finds them: searched, checked, walked. */
#include "hw/pc/smbios.h"

#include "core/base/bytes.h"
#include "core/base/thread.h"
#include "tests/harness/fake_machine.h"
#include "tests/harness/test.h"

#include <string.h>

struct fixture {
	struct fake_machine *fake;
	uint8_t *area; /* a copy of what lies from SMBIOS_BASE on */
};

static void place(struct fixture *f, unsigned vcpus, uint64_t ram_size)
{
	const struct smbios_config config = {.vcpus = vcpus, .ram_size = ram_size};

	assert_true(smbios_place(f->fake->machine.ram, &config));
	fake_read(f->fake, SMBIOS_BASE, f->area, SMBIOS_SIZE);
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fake = fake_machine_create(MiB);
	f->area = g_malloc(SMBIOS_SIZE);
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

/* The entry point: every 16 bytes up to 1 MiB. */
static const uint8_t *find_entry(struct fixture *f)
{
	for (size_t offset = 0; offset + 24 <= SMBIOS_SIZE; offset += 16) {
		const uint8_t *entry = f->area + offset;
		uint8_t sum = 0;
		if (memcmp(entry, "_SM3_", 5) != 0) {
			continue;
		}
		for (unsigned i = 0; i < entry[6]; i++) {
			sum = (uint8_t)(sum + entry[i]);
		}
		assert_int_equal(sum, 0);
		return entry;
	}
	fail_msg("no entry point");
	return NULL;
}

static const uint8_t *next_structure(const uint8_t *structure)
{
	const uint8_t *at = structure + structure[1];

	while (le16_load(at) != 0) {
		at++;
	}
	return at + 2;
}

/* The structure of a type; there is one. */
static const uint8_t *find(struct fixture *f, uint8_t type, unsigned length)
{
	const uint8_t *entry = find_entry(f), *found = NULL;
	const uint8_t *at = f->area + (le64_load(entry + 16) - SMBIOS_BASE);
	const uint8_t *end = at + le32_load(entry + 12);

	for (; at < end; at = next_structure(at)) {
		assert_true(at[1] >= 4);
		if (at[0] == type) {
			assert_null(found);
			found = at;
		}
		if (at[0] == 127) {
			assert_ptr_equal(next_structure(at), end);
		}
	}
	assert_ptr_equal(at, end);
	assert_non_null(found);
	assert_int_equal(found[1], length);
	return found;
}

static const char *text(const uint8_t *structure, unsigned offset)
{
	const char *at = (const char *)structure + structure[1];

	assert_int_not_equal(structure[offset], 0);
	for (unsigned i = 1; i < structure[offset]; i++) {
		assert_int_not_equal(*at, 0);
		at += strlen(at) + 1;
	}
	return at;
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	place(f, 1, GiB);
	assert_int_equal(find_entry(f)[7], 3);
	const uint8_t *firmware = find(f, 0, 26);
	assert_string_equal(text(firmware, 4), "Oriel");
	assert_int_equal(strlen(text(firmware, 8)), strlen("MM/DD/YYYY"));
	assert_int_equal(firmware[0x13] & BIT(4), BIT(4)); /* a virtual machine */
	const uint8_t *system = find(f, 1, 27);
	assert_string_equal(text(system, 4), "Oriel");
	assert_string_equal(text(system, 5), "Oriel PC (Q35 + ICH9)");
	assert_string_equal(text(find(f, 3, 22), 4), "Oriel");
	(void)find(f, 32, 11);
	(void)find(f, 127, 4);
}

static void test_processor(void **state)
{
	static const struct {
		unsigned vcpus;
		uint8_t cores;
		uint16_t characteristics;
	} rows[] = {{1, 1, 0x4}, {4, 4, 0xc}, {300, 255, 0xc}};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		place(f, rows[i].vcpus, GiB);
		const uint8_t *processor = find(f, 4, 48);
		assert_int_equal(processor[0x23], rows[i].cores);
		assert_int_equal(le16_load(processor + 0x26), rows[i].characteristics);
		assert_int_equal(le16_load(processor + 0x2a), rows[i].vcpus);
	}
}

static void test_memory(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t array_kib;
		uint64_t array_extended;
		uint16_t device;
		uint32_t device_extended; /* MiB */
		uint32_t last_kib;
		uint64_t last_byte;
	} rows[] = {
			{MiB, 1024, 0, 1, 0, 1023, 0},
			{512 * MiB, 512 * 1024, 0, 512, 0, 512 * 1024 - 1, 0},
			{32766 * MiB, 32766 * 1024, 0, 32766, 0, 32766 * 1024 - 1, 0},
			{32767 * MiB, 32767 * 1024, 0, 0x7fff, 32767, 32767 * 1024 - 1, 0},
			{64 * GiB, 64 << 20, 0, 0x7fff, 65536, (64 << 20) - 1, 0},
			{2048 * GiB, 0x80000000, 2048 * GiB, 0x7fff, 2 << 20, 0x7fffffff, 0},
			{8192 * GiB, 0x80000000, 8192 * GiB, 0x7fff, 8 << 20, 0xffffffff,
					8192 * GiB - 1},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		place(f, 1, rows[i].size);
		const uint8_t *array = find(f, 16, 23), *device = find(f, 17, 40);
		const uint8_t *range = find(f, 19, 31);
		assert_int_equal(le32_load(array + 7), rows[i].array_kib);
		assert_int_equal(le64_load(array + 15), rows[i].array_extended);
		assert_int_equal(le16_load(device + 4), le16_load(array + 2)); /* its handle */
		assert_int_equal(le16_load(device + 12), rows[i].device);
		assert_int_equal(le32_load(device + 28), rows[i].device_extended);
		assert_int_equal(le32_load(range + 8), rows[i].last_kib);
		assert_int_equal(le64_load(range + 23), rows[i].last_byte);
	}
}

static void test_no_room(void **state)
{
	const struct smbios_config config = {.vcpus = 1, .ram_size = 64 * KiB};
	struct fake_machine *small = fake_machine_create(64 * KiB);
	(void)state;

	assert_false(smbios_place(small->machine.ram, &config));
	fake_machine_destroy(small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_identity),
			TEST(test_processor),
			TEST(test_memory),
			TEST(test_no_room),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
