/* SPDX-License-Identifier: MIT */
#include "hw/pc/acpi.h"

#include "core/base/bytes.h"
#include "hw/pc/dsdt.h"
#include "hw/pc/ich9.h"
#include "hw/pc/machine.h"
#include "hw/pc/q35.h"

#include <string.h>

#define HEADER_SIZE 36
#define HEADER_LENGTH 4
#define HEADER_CHECKSUM 9
#define OEM_ID "ORIEL "
#define OEM_TABLE_ID "ORIELPC "

#define LAPIC_BASE 0xfee00000u
#define IOAPIC_BASE 0xfec00000u

/* The place holders in dsdt.asl: of the 64-bit window, and of the set of serial ports. */
#define DSDT_WINDOW_MIN UINT64_C(0x1122334455667000)
#define DSDT_WINDOW_MAX UINT64_C(0x2233445566778fff)
#define DSDT_WINDOW_LEN UINT64_C(0x1111111111112000)
#define DSDT_SERIAL_PORTS UINT64_C(0x33445566778899aa)

/* The tables as they will lie at ACPI_BASE. */
struct builder {
	GByteArray *bytes;
};

static uint64_t address_of(size_t offset)
{
	return ACPI_BASE + offset;
}

static void put8(struct builder *b, uint8_t value)
{
	g_byte_array_append(b->bytes, &value, 1);
}

static void put16(struct builder *b, uint16_t value)
{
	g_byte_array_append(b->bytes, (const guint8 *)&value, sizeof(value));
}

static void put32(struct builder *b, uint32_t value)
{
	g_byte_array_append(b->bytes, (const guint8 *)&value, sizeof(value));
}

static void put64(struct builder *b, uint64_t value)
{
	g_byte_array_append(b->bytes, (const guint8 *)&value, sizeof(value));
}

static void put_zeros(struct builder *b, size_t count)
{
	while (count-- > 0) {
		put8(b, 0);
	}
}

static void align(struct builder *b, size_t alignment)
{
	while (b->bytes->len % alignment != 0) {
		put8(b, 0);
	}
}

static uint8_t checksum(const uint8_t *bytes, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum = (uint8_t)(sum + bytes[i]);
	}
	return (uint8_t)-sum;
}

/* Opens a table; returns its offset for finish_table(). */
static size_t begin_table(struct builder *b, const char *signature, uint8_t revision)
{
	align(b, 64);
	size_t start = b->bytes->len;
	g_byte_array_append(b->bytes, (const guint8 *)signature, 4);
	put32(b, 0); /* length: finish_table() */
	put8(b, revision);
	put8(b, 0); /* checksum */
	g_byte_array_append(b->bytes, (const guint8 *)OEM_ID, 6);
	g_byte_array_append(b->bytes, (const guint8 *)OEM_TABLE_ID, 8);
	put32(b, 1);
	g_byte_array_append(b->bytes, (const guint8 *)"ORIL", 4);
	put32(b, 1);
	assert(b->bytes->len - start == HEADER_SIZE);
	return start;
}

static uint64_t finish_table(struct builder *b, size_t start)
{
	uint8_t *table = b->bytes->data + start;
	uint32_t len = (uint32_t)(b->bytes->len - start);

	le32_store(table + HEADER_LENGTH, len);
	table[HEADER_CHECKSUM] = 0;
	table[HEADER_CHECKSUM] = checksum(table, len);
	return address_of(start);
}

/* Replaces the one occurrence of a place holder. */
static void patch64(uint8_t *aml, size_t len, uint64_t holder, uint64_t value)
{
	uint8_t *at = memmem(aml, len, &holder, sizeof(holder));

	assert(at);
	le64_store(at, value);
}

static uint64_t add_dsdt(struct builder *b, const struct acpi_config *config)
{
	align(b, 64);
	size_t start = b->bytes->len;
	size_t len = sizeof(dsdt_aml_code);

	g_byte_array_append(b->bytes, dsdt_aml_code, (guint)len);
	uint8_t *aml = b->bytes->data + start;
	patch64(aml, len, DSDT_WINDOW_MIN, config->mmio64_base);
	patch64(aml, len, DSDT_WINDOW_MAX, config->mmio64_base + config->mmio64_size - 1);
	patch64(aml, len, DSDT_WINDOW_LEN, config->mmio64_size);
	patch64(aml, len, DSDT_SERIAL_PORTS, config->serial_ports);
	aml[HEADER_CHECKSUM] = 0;
	aml[HEADER_CHECKSUM] = checksum(aml, len);
	return address_of(start);
}

static uint64_t add_facs(struct builder *b)
{
	align(b, 64);
	size_t start = b->bytes->len;

	g_byte_array_append(b->bytes, (const guint8 *)"FACS", 4);
	put32(b, 64);
	put_zeros(b, 24);
	put8(b, 2); /* version */
	put_zeros(b, 64 - 33);
	return address_of(start);
}

/* A generic address structure in I/O space (5.2.3.2). */
static void put_io_address(struct builder *b, uint8_t bits, uint8_t access, uint16_t port)
{
	put8(b, 1);
	put8(b, bits);
	put8(b, 0);
	put8(b, access);
	put64(b, port);
}

/* 5.2.9. SMI_CMD is 0: the hardware is always in ACPI mode. */
static uint64_t add_fadt(struct builder *b, uint64_t facs, uint64_t dsdt)
{
	const uint32_t flags = BIT(0) /* WBINVD */ | BIT(2) /* C1 */ |
			       BIT(5) /* no sleep button */ | BIT(6) /* no RTC wake-up */ |
			       BIT(8) /* 32-bit timer */ | BIT(10) /* reset register */;
	size_t start = begin_table(b, "FACP", 6);

	put32(b, (uint32_t)facs);
	put32(b, (uint32_t)dsdt);
	put8(b, 0);
	put8(b, 1); /* preferred profile: desktop */
	put16(b, ICH9_SCI_GSI);
	put32(b, 0); /* SMI_CMD */
	put_zeros(b, 4); /* ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT */
	put32(b, ICH9_PM_BASE); /* PM1a_EVT */
	put32(b, 0);
	put32(b, ICH9_PM1_CNT);
	put32(b, 0);
	put32(b, 0); /* PM2_CNT */
	put32(b, ICH9_PM_TIMER);
	put32(b, ICH9_GPE0);
	put32(b, 0);
	put8(b, 4); /* lengths: PM1_EVT, PM1_CNT, PM2_CNT, PM_TMR, GPE0, GPE1 */
	put8(b, 2);
	put8(b, 0);
	put8(b, 4);
	put8(b, ICH9_GPE0_LEN);
	put8(b, 0);
	put8(b, 0); /* GPE1_BASE */
	put8(b, 0); /* CST_CNT */
	put16(b, 0xfff); /* C2 and C3 are not supported */
	put16(b, 0xfff);
	put_zeros(b, 2 + 2 + 1 + 1 + 1 + 1); /* flush, duty, alarms */
	put8(b, 0x32); /* century register of the RTC */
	put16(b, BIT(0) | BIT(2)); /* legacy devices on the LPC; no VGA */
	put8(b, 0);
	put32(b, flags);
	put_io_address(b, 8, 1, Q35_RESET_PORT);
	put8(b, Q35_RESET_VALUE);
	put16(b, 0); /* ARM boot flags */
	put8(b, 0); /* minor version */
	put64(b, facs);
	put64(b, dsdt);
	put_io_address(b, 32, 2, ICH9_PM_BASE);
	put_zeros(b, 12);
	put_io_address(b, 16, 2, ICH9_PM1_CNT);
	put_zeros(b, 12);
	put_zeros(b, 12);
	put_io_address(b, 32, 3, ICH9_PM_TIMER);
	put_io_address(b, ICH9_GPE0_LEN * 8, 1, ICH9_GPE0);
	put_zeros(b, 12);
	put_zeros(b, 24); /* sleep control and status */
	put64(b, 0); /* hypervisor vendor */
	assert(b->bytes->len - start == 276);
	return finish_table(b, start);
}

static void put_override(struct builder *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	put8(b, 2);
	put8(b, 10);
	put8(b, 0); /* ISA */
	put8(b, irq);
	put32(b, gsi);
	put16(b, flags);
}

/* 5.2.12. */
static uint64_t add_madt(struct builder *b, const struct acpi_config *config)
{
	size_t start = begin_table(b, "APIC", 5);

	put32(b, LAPIC_BASE);
	put32(b, 1); /* there is a pair of 8259s */
	for (unsigned i = 0; i < config->vcpus; i++) {
		put8(b, 0);
		put8(b, 8);
		put8(b, (uint8_t)i);
		put8(b, (uint8_t)i);
		put32(b, 1); /* enabled */
	}
	put8(b, 1);
	put8(b, 12);
	put8(b, 0); /* the I/O APIC's id, as its register has it after a reset */
	put8(b, 0);
	put32(b, IOAPIC_BASE);
	put32(b, 0);
	put_override(b, 0, 2, 0); /* the timer is wired to input 2 */
	put_override(b, ICH9_SCI_GSI, ICH9_SCI_GSI, 0xd); /* level, active high */
	put8(b, 4); /* LINT1 of all is NMI */
	put8(b, 6);
	put8(b, 0xff);
	put16(b, 0);
	put8(b, 1);
	return finish_table(b, start);
}

/* PCI Firmware 3.2, 4.1.2. */
static uint64_t add_mcfg(struct builder *b)
{
	size_t start = begin_table(b, "MCFG", 1);

	put64(b, 0);
	put64(b, Q35_ECAM_BASE);
	put16(b, 0);
	put8(b, 0);
	put8(b, 0xff);
	put32(b, 0);
	return finish_table(b, start);
}

static uint64_t add_xsdt(struct builder *b, const uint64_t *tables, unsigned count)
{
	size_t start = begin_table(b, "XSDT", 1);

	for (unsigned i = 0; i < count; i++) {
		put64(b, tables[i]);
	}
	return finish_table(b, start);
}

/* The 32-bit table of old systems. */
static uint64_t add_rsdt(struct builder *b, const uint64_t *tables, unsigned count)
{
	size_t start = begin_table(b, "RSDT", 1);

	for (unsigned i = 0; i < count; i++) {
		put32(b, (uint32_t)tables[i]);
	}
	return finish_table(b, start);
}

/* 5.2.5.3: a checksum over the first 20 bytes, another over all 36. */
static uint64_t add_rsdp(struct builder *b, uint64_t rsdt, uint64_t xsdt)
{
	align(b, 16);
	size_t start = b->bytes->len;

	g_byte_array_append(b->bytes, (const guint8 *)"RSD PTR ", 8);
	put8(b, 0);
	g_byte_array_append(b->bytes, (const guint8 *)OEM_ID, 6);
	put8(b, 2);
	put32(b, (uint32_t)rsdt);
	put32(b, 36);
	put64(b, xsdt);
	put32(b, 0);
	uint8_t *rsdp = b->bytes->data + start;
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, 36);
	return address_of(start);
}

bool acpi_place(struct guest_memory *memory, const struct acpi_config *config, uint64_t *ret_rsdp)
{
	struct builder b = {.bytes = g_byte_array_new()};
	uint64_t tables[3];

	uint64_t facs = add_facs(&b);
	uint64_t dsdt = add_dsdt(&b, config);
	tables[0] = add_fadt(&b, facs, dsdt);
	tables[1] = add_madt(&b, config);
	tables[2] = add_mcfg(&b);
	uint64_t rsdt = add_rsdt(&b, tables, G_N_ELEMENTS(tables));
	uint64_t xsdt = add_xsdt(&b, tables, G_N_ELEMENTS(tables));
	uint64_t rsdp = add_rsdp(&b, rsdt, xsdt);

	assert(b.bytes->len <= ACPI_SIZE);
	bool ok = guest_memory_write(memory, ACPI_BASE, b.bytes->data, b.bytes->len);
	g_byte_array_unref(b.bytes);
	if (ok) {
		*ret_rsdp = rsdp;
	}
	return ok;
}
