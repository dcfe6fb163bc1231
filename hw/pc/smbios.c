/* SPDX-License-Identifier: MIT */
/*
 * The structures that 6.2 requires, but for what does not exist here: caches, slots, and a UUID or
 * serial numbers, which nobody gave. The date is a fixed one, of this layout: systems work around
 * firmware that is older than what they know.
 */
#include "hw/pc/smbios.h"

#include "core/base/bytes.h"

#include <string.h>

#define ENTRY_SIZE 24
#define ENTRY_CHECKSUM 5
#define ENTRY_MAX_LENGTH 12
#define TABLE_OFFSET 32
#define LENGTH_OFFSET 1
#define HEADER_SIZE 4
#define MAKER "Oriel"
#define PRODUCT "Oriel PC (Q35 + ICH9)"
#define LAYOUT_VERSION "1"
#define LAYOUT_DATE "11/01/2026"

/* Handles: one structure of each type, numbered by type. */
#define HANDLE(type) ((uint16_t)(0x100 * (type)))
#define HANDLE_NONE 0xfffe

#define TYPE_FIRMWARE 0
#define TYPE_SYSTEM 1
#define TYPE_CHASSIS 3
#define TYPE_PROCESSOR 4
#define TYPE_MEMORY_ARRAY 16
#define TYPE_MEMORY_DEVICE 17
#define TYPE_MEMORY_RANGE 19
#define TYPE_BOOT 32
#define TYPE_END 127

/* Values that mean the same wherever they occur. */
#define OTHER 1
#define UNKNOWN 2
#define SAFE 3

struct builder {
	GByteArray *bytes;
	size_t start; /* of the structure that is open */
};

static void put(struct builder *b, uint64_t value, unsigned len)
{
	uint8_t bytes[8];

	le64_store(bytes, value);
	g_byte_array_append(b->bytes, bytes, len);
}

static void put8(struct builder *b, uint8_t value)
{
	put(b, value, 1);
}

static void put16(struct builder *b, uint16_t value)
{
	put(b, value, 2);
}

static void put32(struct builder *b, uint32_t value)
{
	put(b, value, 4);
}

static void begin(struct builder *b, uint8_t type)
{
	b->start = b->bytes->len;
	put8(b, type);
	put8(b, 0); /* length: finish() */
	put16(b, HANDLE(type));
}

/* Ends the formatted part, of length bytes, and appends the strings, one after the other: "a\0b\0". */
static void finish(struct builder *b, unsigned length, const char *strings)
{
	assert(b->bytes->len - b->start == length);
	b->bytes->data[b->start + LENGTH_OFFSET] = (uint8_t)length;
	if (!*strings) {
		put8(b, 0);
	}
	while (*strings) {
		size_t len = strlen(strings) + 1;
		g_byte_array_append(b->bytes, (const guint8 *)strings, (guint)len);
		strings += len;
	}
	put8(b, 0);
}

/* 7.1 */
static void add_firmware(struct builder *b)
{
	begin(b, TYPE_FIRMWARE);
	put8(b, 1); /* vendor */
	put8(b, 2); /* version */
	put16(b, 0); /* its segment: it has no code */
	put8(b, 3); /* date */
	put8(b, 0); /* 64 KiB */
	put(b, BIT(3), 8); /* characteristics are not listed */
	put8(b, BIT(0)); /* ACPI */
	put8(b, BIT(4)); /* a virtual machine */
	put32(b, 0xffffffff); /* no release numbers */
	put16(b, 0); /* extended size */
	finish(b, 26, MAKER "\0" LAYOUT_VERSION "\0" LAYOUT_DATE "\0");
}

/* 7.2 */
static void add_system(struct builder *b)
{
	begin(b, TYPE_SYSTEM);
	put8(b, 1); /* manufacturer */
	put8(b, 2); /* product */
	put8(b, 3); /* version */
	put8(b, 0); /* serial number */
	put(b, 0, 8); /* UUID: none */
	put(b, 0, 8);
	put8(b, 6); /* woken by the power switch */
	put8(b, 0); /* SKU */
	put8(b, 0); /* family */
	finish(b, 27, MAKER "\0" PRODUCT "\0" LAYOUT_VERSION "\0");
}

/* 7.4 */
static void add_chassis(struct builder *b)
{
	begin(b, TYPE_CHASSIS);
	put8(b, 1); /* manufacturer */
	put8(b, OTHER);
	put8(b, 0); /* version, serial number, asset tag */
	put8(b, 0);
	put8(b, 0);
	put8(b, SAFE); /* states at boot: as a whole, power, temperature */
	put8(b, SAFE);
	put8(b, SAFE);
	put8(b, UNKNOWN); /* security */
	put32(b, 0);
	put8(b, 0); /* height */
	put8(b, 0); /* power cords */
	put8(b, 0); /* no contained elements */
	put8(b, 0);
	put8(b, 0); /* SKU */
	finish(b, 22, MAKER "\0");
}

/* 7.5: one package; its cores are the vCPUs. */
static void add_processor(struct builder *b, unsigned vcpus)
{
	begin(b, TYPE_PROCESSOR);
	put8(b, 1); /* socket */
	put8(b, 3); /* a central processor */
	put8(b, OTHER); /* family */
	put8(b, 2); /* manufacturer */
	put(b, 0, 8); /* CPUID says what it is */
	put8(b, 0); /* version */
	put8(b, 0); /* voltage */
	put16(b, 0); /* clocks: external, maximum, current */
	put16(b, 0);
	put16(b, 0);
	put8(b, 0x41); /* populated, enabled */
	put8(b, OTHER); /* upgrade */
	put16(b, 0xffff); /* caches are not described */
	put16(b, 0xffff);
	put16(b, 0xffff);
	put8(b, 0); /* serial number, asset tag, part number */
	put8(b, 0);
	put8(b, 0);
	put8(b, (uint8_t)MIN(vcpus, 0xffu)); /* cores, enabled, threads */
	put8(b, (uint8_t)MIN(vcpus, 0xffu));
	put8(b, (uint8_t)MIN(vcpus, 0xffu));
	put16(b, BIT(2) | (vcpus > 1 ? BIT(3) : 0)); /* 64 bits, several cores */
	put16(b, OTHER);
	put16(b, (uint16_t)vcpus);
	put16(b, (uint16_t)vcpus);
	put16(b, (uint16_t)vcpus);
	finish(b, 48, "CPU 0\0" MAKER "\0");
}

/* 7.17, 7.18, 7.20: one array of one device that is all of RAM. */
static void add_memory(struct builder *b, uint64_t ram_size)
{
	const uint64_t kib = ram_size / KiB, mib = ram_size / MiB;

	begin(b, TYPE_MEMORY_ARRAY);
	put8(b, OTHER); /* where */
	put8(b, 3); /* system memory */
	put8(b, UNKNOWN); /* error correction: the host's */
	put32(b, kib < BIT(31) ? (uint32_t)kib : 0x80000000u);
	put16(b, HANDLE_NONE);
	put16(b, 1);
	put(b, kib < BIT(31) ? 0 : ram_size, 8);
	finish(b, 23, "");

	begin(b, TYPE_MEMORY_DEVICE);
	put16(b, HANDLE(TYPE_MEMORY_ARRAY));
	put16(b, HANDLE_NONE);
	put16(b, 64); /* widths, total and data */
	put16(b, 64);
	put16(b, mib == 0 ? (uint16_t)(0x8000 | kib) : (uint16_t)MIN(mib, UINT64_C(0x7fff)));
	put8(b, 9); /* DIMM */
	put8(b, 0); /* in no set */
	put8(b, 1); /* locator */
	put8(b, 0); /* bank */
	put8(b, 7); /* RAM */
	put16(b, BIT(1)); /* other */
	put16(b, 0); /* speed */
	put8(b, 2); /* manufacturer */
	put8(b, 0); /* serial number, asset tag, part number */
	put8(b, 0);
	put8(b, 0);
	put8(b, 0); /* rank */
	put32(b, mib < 0x7fff ? 0 : (uint32_t)mib);
	put16(b, 0); /* configured speed */
	put16(b, 0); /* voltages: minimum, maximum, configured */
	put16(b, 0);
	put16(b, 0);
	finish(b, 40, "DIMM 0\0" MAKER "\0");

	begin(b, TYPE_MEMORY_RANGE);
	put32(b, kib <= UINT32_MAX ? 0 : UINT32_MAX);
	put32(b, kib <= UINT32_MAX ? (uint32_t)(kib - 1) : UINT32_MAX);
	put16(b, HANDLE(TYPE_MEMORY_ARRAY));
	put8(b, 1); /* one device in a row */
	put(b, 0, 8);
	put(b, kib <= UINT32_MAX ? 0 : ram_size - 1, 8);
	finish(b, 31, "");
}

/* 7.33, 7.45 */
static void add_end(struct builder *b)
{
	begin(b, TYPE_BOOT);
	put(b, 0, 6);
	put8(b, 0); /* no errors */
	finish(b, 11, "");
	begin(b, TYPE_END);
	finish(b, HEADER_SIZE, "");
}

/* 5.2.2, the 64-bit entry point. */
static void make_entry(uint8_t entry[ENTRY_SIZE], uint32_t table_len)
{
	static const uint8_t anchor[5] = {'_', 'S', 'M', '3', '_'};
	uint8_t sum = 0;

	memset(entry, 0, ENTRY_SIZE);
	memcpy(entry, anchor, sizeof(anchor));
	entry[6] = ENTRY_SIZE;
	entry[7] = 3; /* version 3.3 */
	entry[8] = 3;
	entry[10] = 1; /* revision of this structure */
	le32_store(entry + ENTRY_MAX_LENGTH, table_len);
	le64_store(entry + 16, SMBIOS_BASE + TABLE_OFFSET);
	for (unsigned i = 0; i < ENTRY_SIZE; i++) {
		sum = (uint8_t)(sum + entry[i]);
	}
	entry[ENTRY_CHECKSUM] = (uint8_t)-sum;
}

bool smbios_place(struct guest_memory *memory, const struct smbios_config *config)
{
	struct builder b = {.bytes = g_byte_array_new()};
	uint8_t entry[ENTRY_SIZE];

	add_firmware(&b);
	add_system(&b);
	add_chassis(&b);
	add_processor(&b, config->vcpus);
	add_memory(&b, config->ram_size);
	add_end(&b);
	assert(TABLE_OFFSET + b.bytes->len <= SMBIOS_SIZE);
	make_entry(entry, b.bytes->len);
	bool ok = guest_memory_write(memory, SMBIOS_BASE, entry, sizeof(entry)) &&
		  guest_memory_write(
				  memory, SMBIOS_BASE + TABLE_OFFSET, b.bytes->data, b.bytes->len);
	g_byte_array_unref(b.bytes);
	return ok;
}
