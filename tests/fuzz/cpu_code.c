/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/cpu_code.h"

#define MAX_PIECES 64
#define MAX_POKES 8
#define ROUNDS 40 /* enough that code is translated, and runs translated */

#define SEL_CODE_64 0x08u
#define SEL_DATA 0x10u
#define SEL_CODE_32 0x18u
#define SEL_USER_CODE_32 0x23u
#define SEL_USER_DATA 0x2bu
#define SEL_USER_CODE_64 0x33u
#define SEL_CODE_16 0x38u
#define SEL_DATA_16 0x40u
#define SEL_TSS 0x60u
#define SEL_TSS_OTHER 0x70u
#define SEL_LDT 0x80u
#define SEL_CALL_GATE 0x90u
#define SEL_LAST 0xc0u

static const uint64_t descriptors[] = {
		0, UINT64_C(0x00af9b000000ffff), /* 64-bit code */
		UINT64_C(0x00cf93000000ffff), UINT64_C(0x00cf9b000000ffff), /* 32-bit code */
		UINT64_C(0x00cffb000000ffff), /* the same of the user; SYSRET's order */
		UINT64_C(0x00cff3000000ffff), UINT64_C(0x00affb000000ffff),
		UINT64_C(0x00009b010000ffff), /* 16-bit code and data */
		UINT64_C(0x000093020000ffff), UINT64_C(0x00cf970000000fff), /* expand-down */
		UINT64_C(0x00cf1b000000ffff), /* absent */
		UINT64_C(0x00cf9f000000ffff), /* conforming */
};

/* What addresses are made of: pages with something about them, and their ends. */
static const uint32_t places[] = {
		GUEST_CODE, GUEST_CODE + 0xffd, GUEST_CODE + 0x1000, GUEST_CODE_ALIAS,
		GUEST_CODE_ALIAS + 0xfff, GUEST_DATA, GUEST_DATA + 0xffc, GUEST_DATA + 0x1fff,
		GUEST_READ_ONLY, GUEST_READ_ONLY - 4, GUEST_ABSENT, GUEST_ABSENT - 2,
		GUEST_NOT_CODE, GUEST_SUPERVISOR, GUEST_SUPERVISOR - 1, GUEST_DEVICE_ALIAS,
		GUEST_DEVICE_ALIAS - 3, GUEST_GLOBAL, GUEST_STACK - 64, GUEST_INNER_STACK - 64,
		GUEST_DEVICE, GUEST_DEVICE - 1, GUEST_NOTHING, GUEST_ROM,
		GUEST_ROM + GUEST_ROM_SIZE - 4, GUEST_RAM_SIZE - 3, GUEST_APIC + 0x300,
		GUEST_APIC + 0xf0, GUEST_APIC + 0x320, GUEST_APIC + 0x380, GUEST_APIC + 0xffe,
		GUEST_PML4, GUEST_PDPT, GUEST_PD, GUEST_PT + 8 * (GUEST_CODE >> 12),
		GUEST_PT + 8 * (GUEST_DATA >> 12), GUEST_PT + 8 * (GUEST_STACK >> 12), GUEST_PD_32,
		GUEST_PT_32 + 4 * (GUEST_CODE >> 12), GUEST_GDT, GUEST_GDT + SEL_TSS, GUEST_IDT,
		GUEST_IDT + 0xe0, GUEST_TSS, GUEST_TSS_OTHER, GUEST_LDT, GUEST_HANDLERS,
		GUEST_START, 0, 0x7fffffff, 0x80000000, 0xfffffffe,
		0xc0010000, /* sign-extended the kernel's half, which shows the first GiB again */
};

static const uint32_t values[] = {0, 1, 2, 0x10, 0x7fffffff, 0x80000000, 0xffffffff, 0x200, 0x100,
		0x40000, 0x1ff, 0xc4610, 0xc4500, 0x4021, 0x44021, 0x80000011, 0x20, 0x6f0,
		0x50000};

static const uint32_t registers[] = {X86_MSR_TSC, X86_MSR_APIC_BASE, X86_MSR_TSC_ADJUST,
		X86_MSR_SPEC_CTRL, X86_MSR_PRED_CMD, X86_MSR_SYSENTER_CS, X86_MSR_SYSENTER_ESP,
		X86_MSR_SYSENTER_EIP, X86_MSR_MISC_ENABLE, X86_MSR_PAT, X86_MSR_MTRR_DEF_TYPE,
		0x200, 0x201, 0x250, X86_MSR_TSC_DEADLINE, 0x802, 0x808, 0x80b, 0x80f, 0x828, 0x830,
		0x832, 0x838, 0x83e, 0x83f, X86_MSR_EFER, X86_MSR_STAR, X86_MSR_LSTAR,
		X86_MSR_CSTAR, X86_MSR_SFMASK, X86_MSR_FS_BASE, X86_MSR_GS_BASE,
		X86_MSR_KERNEL_GS_BASE, X86_MSR_TSC_AUX, 0x11, 0x12, 0x4b564d00, 0x4b564d01,
		0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06, 0x4b564d07};

/* In pieces, where the input decides. */
enum hole {
	BYTE_ = 0x100, /* anything */
	ADDR_, /* a place, as wide as an immediate number */
	VALUE_, /* a number of that width */
	SEL_, /* a selector, 16 bits */
	SELECTOR_, /* a selector as wide as an immediate number */
	MSR_, /* a register's number, 32 bits */
	NEAR_, /* a displacement that leads somewhere near the instruction */
	ENTRY_, /* where a page table has the entry of a place */
	WIDE_, /* REX.W where there is such a thing */
	LONG_, /* the prefix that makes operands 32 bits in 16-bit code */
	PREFIX_, /* a prefix, or none */
};

#define PIECE_MAX 24

/* Ended by -1: all but code for 16 bits is meant for any mode, and does something else there. */
#define PIECE(...) \
	{ \
		__VA_ARGS__, -1 \
	}

static const int16_t pieces[][PIECE_MAX] = {
		/* registers */
		PIECE(0xbf, ADDR_),
		PIECE(0xbe, ADDR_),
		PIECE(0xbb, ADDR_),
		PIECE(0xbc, ADDR_),
		PIECE(0xb8, VALUE_),
		PIECE(0xb9, VALUE_),
		PIECE(0xba, VALUE_),
		PIECE(0xb1, BYTE_),
		PIECE(WIDE_, 0xc7, 0xc7, ADDR_),
		PIECE(WIDE_, 0xc7, 0xc0, VALUE_),
		PIECE(WIDE_, 0xc1, 0xe0, BYTE_),
		/* memory */
		PIECE(PREFIX_, WIDE_, 0x89, 0x07),
		PIECE(PREFIX_, WIDE_, 0x8b, 0x06),
		PIECE(PREFIX_, WIDE_, 0x01, 0x47, BYTE_),
		PIECE(PREFIX_, 0x88, 0x07),
		PIECE(0xc7, 0x07, VALUE_),
		PIECE(0x80, 0x37, BYTE_),
		PIECE(PREFIX_, 0x0f, 0xab, 0x07),
		PIECE(0xf0, WIDE_, 0x01, 0x07),
		PIECE(0xf0, WIDE_, 0x0f, 0xb1, 0x0f),
		PIECE(0xf0, WIDE_, 0x0f, 0xc7, 0x0f),
		PIECE(0xf0, 0x0f, 0xba, 0x2f, BYTE_),
		PIECE(WIDE_, 0x87, 0x07),
		PIECE(0xf0, 0xff, 0x47, BYTE_),
		PIECE(0xf0, WIDE_, 0x0f, 0xc1, 0x47, BYTE_),
		/* code that changes */
		PIECE(0xc6, 0x05, NEAR_, BYTE_),
		PIECE(0xc7, 0x05, NEAR_, VALUE_),
		PIECE(0xf0, 0xff, 0x05, NEAR_),
		PIECE(0x8d, 0x3d, NEAR_, 0xaa),
		PIECE(0x80, 0x35, NEAR_, BYTE_),
		/* strings */
		PIECE(PREFIX_, 0xf3, 0xa4),
		PIECE(PREFIX_, 0xf3, WIDE_, 0xa5),
		PIECE(PREFIX_, 0xf3, WIDE_, 0xab),
		PIECE(0xb9, VALUE_, 0xf3, 0xaa),
		PIECE(PREFIX_, 0xf3, 0xa6),
		PIECE(PREFIX_, 0xf2, 0xae),
		PIECE(PREFIX_, WIDE_, 0xad),
		PIECE(PREFIX_, 0xa4),
		PIECE(0xf3, 0x6c),
		PIECE(0xf3, 0x6f),
		PIECE(0xfd),
		PIECE(0xfc),
		/* ports */
		PIECE(0xe4, BYTE_),
		PIECE(0xed),
		PIECE(0xef),
		/* jumps */
		PIECE(0xeb, BYTE_),
		PIECE(0x75, BYTE_),
		PIECE(0x72, BYTE_),
		PIECE(0xe2, BYTE_),
		PIECE(0xe3, BYTE_),
		PIECE(0xff, 0xe7),
		PIECE(0xff, 0xd6),
		PIECE(0xff, 0x27),
		PIECE(0xff, 0x17),
		PIECE(0x68, ADDR_, 0xc3),
		PIECE(0xc3),
		PIECE(0xc2, SEL_),
		PIECE(0xe8, NEAR_),
		PIECE(0xe9, NEAR_),
		/* far */
		PIECE(0xc7, 0x07, ADDR_, 0xc7, 0x47, 0x04, SELECTOR_, 0xff, 0x2f),
		PIECE(0xc7, 0x07, ADDR_, 0xc7, 0x47, 0x04, SELECTOR_, 0xff, 0x1f),
		PIECE(0xea, ADDR_, SEL_),
		PIECE(0x9a, ADDR_, SEL_),
		PIECE(0x68, SELECTOR_, 0x68, ADDR_, WIDE_, 0xcb),
		PIECE(0x68, SELECTOR_, 0x68, ADDR_, WIDE_, 0xca, SEL_),
		PIECE(0x68, SELECTOR_, 0x68, ADDR_, 0x68, VALUE_, 0x68, SELECTOR_, 0x68, ADDR_,
				WIDE_, 0xcf),
		PIECE(0x9c, 0x68, SELECTOR_, 0x68, ADDR_, WIDE_, 0xcf),
		PIECE(0xcf),
		PIECE(0xcd, BYTE_),
		PIECE(0xcc),
		PIECE(0xce),
		PIECE(0xf1),
		PIECE(0x0f, 0x05),
		PIECE(WIDE_, 0x0f, 0x07),
		PIECE(0x0f, 0x34),
		PIECE(WIDE_, 0x0f, 0x35),
		/* stack and flags */
		PIECE(PREFIX_, 0x50),
		PIECE(PREFIX_, 0x5f),
		PIECE(0x68, VALUE_, 0x9d),
		PIECE(0x9c, 0x80, 0x0c, 0x24, BYTE_, 0x9d),
		PIECE(0x9c, 0x80, 0x74, 0x24, 0x01, BYTE_, 0x9d),
		PIECE(0xc8, SEL_, BYTE_),
		PIECE(0xc9),
		PIECE(0x60),
		PIECE(0x61),
		PIECE(0xfa),
		PIECE(0xfb),
		PIECE(0xf4),
		PIECE(0xfb, 0xf4),
		PIECE(0x0f, 0x01, 0xca),
		PIECE(0x0f, 0x01, 0xcb),
		/* segments */
		PIECE(0xb8, SELECTOR_, 0x8e, BYTE_),
		PIECE(0xb8, SELECTOR_, 0x8e, 0xd0),
		PIECE(0xb8, SELECTOR_, 0x8e, 0xd8),
		PIECE(0xb8, SELECTOR_, 0x8e, 0xe8),
		PIECE(0x17),
		PIECE(0x0f, 0xa1),
		PIECE(0x0f, 0xb2, 0x27),
		PIECE(0xb8, SELECTOR_, 0x0f, 0x00, 0xd0),
		PIECE(0xb8, SELECTOR_, 0x0f, 0x00, 0xd8),
		PIECE(0xb8, SELECTOR_, 0x0f, 0x02, 0xc8),
		PIECE(0xb8, SELECTOR_, 0x0f, 0x03, 0xc8),
		PIECE(0x0f, 0x00, BYTE_),
		PIECE(0x0f, 0x01, BYTE_),
		PIECE(0x0f, 0x01, 0x17),
		PIECE(0x0f, 0x01, 0x1f),
		PIECE(0x0f, 0x01, 0xf0),
		PIECE(0x0f, 0x01, 0xf8),
		PIECE(0xf3, WIDE_, 0x0f, 0xae, BYTE_),
		/* control: a bit turned over, a register loaded */
		PIECE(0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xf8, BYTE_, 0x0f, 0x22, 0xc0),
		PIECE(0x0f, 0x20, 0xe0, 0x0f, 0xba, 0xf8, BYTE_, 0x0f, 0x22, 0xe0),
		PIECE(0x0f, 0x20, 0xe0, LONG_, 0x0d, 0x00, 0x02, 0x04, 0x00, 0x0f, 0x22, 0xe0),
		PIECE(LONG_, 0x31, 0xc9, LONG_, 0x31, 0xd2, 0xb0, 0x07, 0x0f, 0x01, 0xd1),
		PIECE(0xb8, ADDR_, 0x0f, 0x22, 0xd8),
		PIECE(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8),
		PIECE(0xb8, VALUE_, 0x0f, 0x22, BYTE_),
		PIECE(0x0f, 0x20, BYTE_),
		PIECE(0xb8, ADDR_, 0x0f, 0x23, 0xc0),
		PIECE(0xb8, VALUE_, 0x0f, 0x23, 0xf8),
		PIECE(0x0f, 0x23, BYTE_),
		PIECE(0x0f, 0x21, BYTE_),
		PIECE(LONG_, 0xb9, MSR_, 0x0f, 0x32),
		PIECE(LONG_, 0xb9, MSR_, 0xb8, ADDR_, 0x31, 0xd2, 0x0f, 0x30),
		PIECE(LONG_, 0xb9, MSR_, 0xb8, VALUE_, 0x0f, 0x30),
		PIECE(LONG_, 0xb9, MSR_, 0x0f, 0x32, 0x0f, 0xba, 0xf8, BYTE_, 0x0f, 0x30),
		PIECE(0x0f, 0x30),
		PIECE(0x0f, 0x32),
		/* page tables */
		PIECE(0xbf, ENTRY_, 0x80, 0x37, BYTE_),
		PIECE(0xbf, ENTRY_, 0x80, 0x77, 0x01, BYTE_),
		PIECE(0xbf, ENTRY_, 0xc7, 0x07, VALUE_),
		PIECE(0xbf, ENTRY_, 0x80, 0x37, BYTE_, 0xbf, ADDR_, 0x0f, 0x01, 0x3f),
		PIECE(0x0f, 0x01, 0x3f),
		/* local APIC: on, timer, interrupts to oneself and others */
		PIECE(0xbf, ADDR_, 0xb8, VALUE_, 0x89, 0x07),
		PIECE(LONG_, 0xbf, 0xf0, 0x00, 0xe0, 0xfe, 0xc7, 0x07, 0xff, 0x01, 0x00, 0x00),
		PIECE(LONG_, 0xbf, 0x00, 0x03, 0xe0, 0xfe, 0xc7, 0x07, BYTE_, BYTE_, BYTE_, 0x00),
		PIECE(LONG_, 0xbf, 0x20, 0x03, 0xe0, 0xfe, 0xc7, 0x07, BYTE_, 0x00, BYTE_, 0x00,
				0xc7, 0x47, 0x60, VALUE_),
		/* x87, MMX, SSE, AVX and their state */
		PIECE(0xd8, BYTE_),
		PIECE(0xd9, BYTE_),
		PIECE(0xda, BYTE_),
		PIECE(0xdb, BYTE_),
		PIECE(0xdc, BYTE_),
		PIECE(0xdd, BYTE_),
		PIECE(0xde, BYTE_),
		PIECE(0xdf, BYTE_),
		PIECE(0x9b),
		PIECE(0xdb, 0xe3),
		PIECE(0x68, VALUE_, 0xd9, 0x2c, 0x24),
		PIECE(0x68, VALUE_, 0x0f, 0xae, 0x14, 0x24),
		PIECE(PREFIX_, 0x0f, BYTE_, BYTE_),
		PIECE(0x66, 0x0f, BYTE_, BYTE_),
		PIECE(0xf3, 0x0f, BYTE_, BYTE_),
		PIECE(0xf2, 0x0f, BYTE_, BYTE_),
		PIECE(PREFIX_, 0x0f, 0x38, BYTE_, BYTE_),
		PIECE(0x66, 0x0f, 0x3a, BYTE_, BYTE_, BYTE_),
		PIECE(0xc5, BYTE_, BYTE_, BYTE_),
		PIECE(0xc4, BYTE_, BYTE_, BYTE_, BYTE_),
		PIECE(0xc4, 0xe2, BYTE_, BYTE_, 0x07),
		PIECE(0xc4, 0xe3, BYTE_, BYTE_, 0x07, BYTE_),
		PIECE(WIDE_, 0x0f, 0xae, 0x07),
		PIECE(WIDE_, 0x0f, 0xae, 0x0e),
		PIECE(WIDE_, 0x0f, 0xae, 0x27),
		PIECE(WIDE_, 0x0f, 0xae, 0x2e),
		PIECE(WIDE_, 0x0f, 0xc7, 0x27),
		PIECE(0x0f, 0xae, BYTE_),
		PIECE(0x0f, 0x01, 0xd0),
		/* the rest */
		PIECE(0x0f, 0xa2),
		PIECE(0x0f, 0x31),
		PIECE(0x0f, 0x01, 0xf9),
		PIECE(0x0f, 0x33),
		PIECE(0x0f, 0xc7, BYTE_),
		PIECE(0x0f, 0x01, 0xc8),
		PIECE(0xf3, 0x90),
		PIECE(0x0f, 0x09),
		PIECE(0x0f, 0x0b),
		PIECE(0xb8, VALUE_, 0x0f, 0x01, 0xc1),
		PIECE(0xb0, BYTE_, 0x0f, 0x01, 0xd9),
		PIECE(PREFIX_, PREFIX_, BYTE_, BYTE_, BYTE_),
		PIECE(0xf7, BYTE_, BYTE_),
};

unsigned guest_width(enum guest_mode mode)
{
	switch (mode) {
	case GUEST_LONG:
	case GUEST_LONG_USER:
		return 8;
	case GUEST_PROTECTED_16:
	case GUEST_REAL:
	case GUEST_V8086:
		return 2;
	default:
		return 4;
	}
}

static bool is_long(enum guest_mode mode)
{
	return mode <= GUEST_COMPATIBLE_USER;
}

unsigned guest_start_page(enum guest_mode mode)
{
	return (unsigned)((is_long(mode) ? GUEST_START : GUEST_CODE) >> 12);
}

static void put(uint8_t *ram, uint64_t at, uint64_t value, unsigned size)
{
	memcpy(ram + at, &value, size);
}

/* Code under way. */
struct writer {
	uint8_t *ram;
	uint64_t at;
	unsigned width;
	struct fuzz_input *input;
};

static void emit(struct writer *w, uint64_t value, unsigned size)
{
	if (w->at + size <= GUEST_CODE + GUEST_CODE_SIZE) {
		put(w->ram, w->at, value, size);
		w->at += size;
	}
}

static unsigned immediate_size(const struct writer *w)
{
	return w->width == 2 ? 2 : 4;
}

/* Somewhere in a place, mostly where it begins. */
static uint32_t take_address(struct fuzz_input *input)
{
	uint32_t place = places[fuzz_take8(input) % G_N_ELEMENTS(places)];
	uint8_t offset = fuzz_take8(input);

	return place + (offset & 0x80 ? offset & 0x7f : 0);
}

static uint32_t take_value(struct fuzz_input *input)
{
	uint8_t which = fuzz_take8(input);

	if (which < G_N_ELEMENTS(values)) {
		return values[which];
	}
	return which & 0x80 ? fuzz_take16(input) | (uint32_t)fuzz_take16(input) << 16 : which;
}

static uint16_t take_selector(struct fuzz_input *input)
{
	uint8_t which = fuzz_take8(input);

	return (uint16_t)(which % SEL_LAST);
}

static uint32_t take_register(struct fuzz_input *input)
{
	uint8_t which = fuzz_take8(input);

	return which < 0xf0 ? registers[which % G_N_ELEMENTS(registers)]
			    : (uint32_t)(which & 7) << 29 | fuzz_take16(input);
}

static void emit_near(struct writer *w)
{
	int8_t offset = (int8_t)fuzz_take8(w->input);

	if (w->width == 8) {
		emit(w, (uint64_t)(int64_t)offset, 4);
	} else {
		emit(w, w->at + (uint64_t)(int64_t)offset, immediate_size(w));
	}
}

static void emit_prefix(struct writer *w)
{
	static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0,
			0xf2, 0xf3, 0x41, 0x4f};
	uint8_t which = fuzz_take8(w->input) & 31;

	if (which < G_N_ELEMENTS(prefixes)) {
		emit(w, prefixes[which], 1);
	}
}

static void emit_hole(struct writer *w, enum hole hole)
{
	switch (hole) {
	case BYTE_:
		emit(w, fuzz_take8(w->input), 1);
		break;
	case ADDR_:
		emit(w, take_address(w->input), immediate_size(w));
		break;
	case VALUE_:
		emit(w, take_value(w->input), immediate_size(w));
		break;
	case SEL_:
		emit(w, take_selector(w->input), 2);
		break;
	case SELECTOR_:
		emit(w, take_selector(w->input), immediate_size(w));
		break;
	case MSR_:
		emit(w, take_register(w->input), 4);
		break;
	case NEAR_:
		emit_near(w);
		break;
	case ENTRY_:
		emit(w, GUEST_PT + 8 * ((take_address(w->input) >> 12) & 0x1ff), immediate_size(w));
		break;
	case WIDE_:
		emit(w, 0x48, w->width == 8);
		break;
	case LONG_:
		emit(w, 0x66, w->width == 2);
		break;
	case PREFIX_:
		emit_prefix(w);
		break;
	}
}

static void emit_piece(struct writer *w)
{
	unsigned which = fuzz_take8(w->input);

	if (which < G_N_ELEMENTS(pieces)) {
		for (unsigned i = 0; i < PIECE_MAX && pieces[which][i] >= 0; i++) {
			if (pieces[which][i] < 0x100) {
				emit(w, (uint64_t)pieces[which][i], 1);
			} else {
				emit_hole(w, (enum hole)pieces[which][i]);
			}
		}
		return;
	}
	for (unsigned i = 0; i <= (which & 7); i++) {
		emit(w, fuzz_take8(w->input), 1);
	}
}

/* Round it goes, then the machine is told that it is over; after that it halts, or goes into the unknown. */
static void emit_end(struct writer *w)
{
	static const uint8_t decrement[3][3] = {{0xff, 0x0e}, {0xff, 0x0d}, {0xff, 0x0c, 0x25}};
	unsigned size = immediate_size(w);

	emit(w, decrement[w->width / 4][0], 1);
	emit(w, decrement[w->width / 4][1], 1);
	emit(w, decrement[w->width / 4][2], w->width == 8);
	emit(w, GUEST_ROUNDS, size);
	emit(w, 0x850f, 2); /* jnz */
	emit(w, GUEST_CODE - (w->at + size), size);
	emit(w, 0xe6, 1);
	emit(w, GUEST_PORTS + GUEST_VECTORS, 1);
	emit(w, 0xf4, 1);
}

static void build_tables_64(uint8_t *ram)
{
	put(ram, GUEST_PML4, GUEST_PDPT | 7, 8);
	put(ram, GUEST_PML4 + 511 * 8, GUEST_PDPT | 7, 8);
	put(ram, GUEST_PDPT, GUEST_PD | 7, 8);
	put(ram, GUEST_PDPT + 3 * 8, GUEST_PD_HIGH | 7, 8);
	put(ram, GUEST_PDPT + 511 * 8, GUEST_PD | 7, 8);
	put(ram, GUEST_PDPT_PAE, GUEST_PD | 1, 8);
	put(ram, GUEST_PDPT_PAE + 3 * 8, GUEST_PD_HIGH | 1, 8);
	put(ram, GUEST_PD, GUEST_PT | 7, 8);
	put(ram, GUEST_PD + 8, 0x87, 8); /* a large page: all again */
	put(ram, GUEST_PD_HIGH + ((GUEST_APIC >> 21) & 511) * 8, GUEST_APIC | 0x87, 8);
}

static void build_tables(uint8_t *ram)
{
	build_tables_64(ram);
	put(ram, GUEST_PD_32, GUEST_PT_32 | 7, 4);
	put(ram, GUEST_PD_32 + 4, 0x87, 4);
	put(ram, GUEST_PD_32 + (GUEST_APIC >> 22) * 4, (GUEST_APIC & ~UINT64_C(0x3fffff)) | 0x87,
			4);
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t entry = i << 12 | 7;
		switch (i << 12) {
		case GUEST_READ_ONLY:
			entry = i << 12 | 5;
			break;
		case GUEST_ABSENT:
			entry = i << 12 | 6;
			break;
		case GUEST_NOT_CODE:
			entry |= BIT(63);
			break;
		case GUEST_SUPERVISOR:
			entry = i << 12 | 3;
			break;
		case GUEST_DEVICE_ALIAS:
			entry = GUEST_DEVICE | 7;
			break;
		case GUEST_GLOBAL:
			entry |= 0x100;
			break;
		case GUEST_CODE_ALIAS:
			entry = GUEST_CODE | 7;
			break;
		default:
			break;
		}
		put(ram, GUEST_PT + 8 * i, entry, 8);
		put(ram, GUEST_PT_32 + 4 * i, entry, 4);
	}
}

static uint64_t system_descriptor(uint64_t base, uint64_t limit, uint64_t type)
{
	return (limit & 0xffff) | (base & 0xffffff) << 16 | (type | 0x80) << 40 |
	       ((limit >> 16) & 0xf) << 48 | (base >> 24) << 56;
}

static void build_descriptors(uint8_t *ram, enum guest_mode mode)
{
	uint64_t code = is_long(mode) ? SEL_CODE_64 : SEL_CODE_32;

	memcpy(ram + GUEST_GDT, descriptors, sizeof(descriptors));
	put(ram, GUEST_GDT + SEL_TSS, system_descriptor(GUEST_TSS, 0x100, 11), 8);
	put(ram, GUEST_GDT + SEL_TSS_OTHER, system_descriptor(GUEST_TSS_OTHER, 0x100, 9), 8);
	put(ram, GUEST_GDT + SEL_LDT, system_descriptor(GUEST_LDT, 0xff, 2), 8);
	put(ram, GUEST_GDT + SEL_CALL_GATE,
			(GUEST_CODE & 0xffff) | code << 16 | UINT64_C(0xec01) << 40 |
					(GUEST_CODE >> 16) << 48,
			8);
	put(ram, GUEST_GDT + 0xa0, (uint64_t)SEL_TSS_OTHER << 16 | UINT64_C(0xe5) << 40, 8);
	put(ram, GUEST_GDT + 0xa8, system_descriptor(GUEST_TSS_16, 0x2b, 1), 8);
	put(ram, GUEST_GDT + 0xb0, UINT64_C(0x0040f3020000000f), 8); /* a small one */
	memcpy(ram + GUEST_LDT, descriptors, sizeof(descriptors));
}

static void build_task(uint8_t *ram)
{
	static const uint16_t segments[] = {
			SEL_DATA, SEL_CODE_32, SEL_DATA, SEL_DATA, 0, 0, SEL_LDT};
	uint64_t at = GUEST_TSS_OTHER;

	put(ram, at + 4, GUEST_INNER_STACK, 4);
	put(ram, at + 8, SEL_DATA, 2);
	put(ram, at + 0x1c, GUEST_PD_32, 4);
	put(ram, at + 0x20, GUEST_CODE, 4);
	put(ram, at + 0x24, X86_FLAG_FIXED, 4);
	put(ram, at + 0x38, GUEST_STACK, 4);
	for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
		put(ram, at + 0x48 + 4 * i, segments[i], 2);
	}
	put(ram, at + 0x66, 0x68, 2);
	put(ram, GUEST_TSS_16 + 2, GUEST_INNER_STACK & 0xffff, 2);
	put(ram, GUEST_TSS_16 + 4, SEL_DATA, 2);
	put(ram, GUEST_TSS_16 + 0x10, X86_FLAG_FIXED, 2);
	put(ram, GUEST_TSS_16 + 0x1a, 0x8000, 2);
	put(ram, GUEST_TSS_16 + 0x22, SEL_DATA_16, 2);
	put(ram, GUEST_TSS_16 + 0x24, SEL_CODE_16, 2);
	put(ram, GUEST_TSS_16 + 0x26, SEL_DATA_16, 2);
	put(ram, GUEST_TSS_16 + 0x28, SEL_DATA_16, 2);
	put(ram, GUEST_TSS_16 + 0x2a, SEL_LDT, 2);
}

/* The current task: inner stacks, and all ports allowed. */
static void build_current_task(uint8_t *ram, enum guest_mode mode)
{
	if (is_long(mode)) {
		for (unsigned i = 0; i < 3; i++) {
			put(ram, GUEST_TSS + 4 + 8 * i, GUEST_INNER_STACK, 8);
		}
		for (unsigned i = 0; i < 7; i++) {
			put(ram, GUEST_TSS + 0x24 + 8 * i, GUEST_INNER_STACK - 0x400 * (i + 1), 8);
		}
	} else {
		for (unsigned i = 0; i < 3; i++) {
			put(ram, GUEST_TSS + 4 + 8 * i, GUEST_INNER_STACK, 4);
			put(ram, GUEST_TSS + 8 + 8 * i, SEL_DATA, 2);
		}
	}
	put(ram, GUEST_TSS + 0x66, 0x68, 2);
}

static bool has_error_code(unsigned vector)
{
	return vector == X86_VECTOR_DF || (vector >= X86_VECTOR_TS && vector <= X86_VECTOR_PF) ||
	       vector == X86_VECTOR_AC;
}

/* Says which it was, and goes on a byte further. */
static void build_handler(uint8_t *code, unsigned vector, bool wide)
{
	static const uint8_t drop[] = {0x48, 0x83, 0xc4, 0x08},
			     next[] = {0x48, 0x83, 0x04, 0x24, 1}, end[] = {0x48, 0xcf};

	*code++ = 0xe6;
	*code++ = (uint8_t)(GUEST_PORTS + vector);
	if (has_error_code(vector)) {
		memcpy(code, drop + !wide, sizeof(drop) - !wide);
		code += sizeof(drop) - !wide;
		code[-1] = wide ? 8 : 4;
	}
	memcpy(code, next + !wide, sizeof(next) - !wide);
	code += sizeof(next) - !wide;
	memcpy(code, end + !wide, sizeof(end) - !wide);
}

/* An interrupt's: ends it at the local APIC. */
static void build_interrupt_handler(uint8_t *code, bool wide)
{
	static const uint8_t wide_end[] = {
			0xc7, 0x04, 0x25, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0x48, 0xcf};
	static const uint8_t end[] = {0xc7, 0x05, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0xcf};

	memcpy(code, wide ? wide_end : end, wide ? sizeof(wide_end) : sizeof(end));
}

static void build_interrupts(uint8_t *ram, enum guest_mode mode)
{
	bool wide = is_long(mode);
	unsigned size = wide ? 16 : 8;
	uint64_t code = wide ? SEL_CODE_64 : SEL_CODE_32;

	for (unsigned i = 0; i < 256; i++) {
		uint64_t handler = GUEST_HANDLERS + 16 * MIN(i, GUEST_VECTORS);
		uint64_t type = i >= GUEST_VECTORS || i == 3 || i == 4 ? 0xee : 0x8e;
		uint64_t stack = wide && (i == X86_VECTOR_DF || i == 2) ? 1 + (i == 2) : 0;
		put(ram, GUEST_IDT + i * size,
				(handler & 0xffff) | code << 16 | stack << 32 |
						(type - (i & 1)) << 40 | (handler >> 16) << 48,
				8);
		if (i < GUEST_VECTORS) {
			build_handler(ram + handler, i, wide);
		}
	}
	build_interrupt_handler(ram + GUEST_HANDLERS + 16 * GUEST_VECTORS, wide);
	if (!wide) {
		put(ram, GUEST_IDT + 0x30 * 8, (uint64_t)SEL_TSS_OTHER << 16 | UINT64_C(0xe5) << 40,
				8);
	}
}

/* One handler for all vectors, in the first 64 KiB. */
static void build_real_interrupts(uint8_t *ram)
{
	static const uint8_t handler[] = {
			0xe6, GUEST_PORTS, 0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf};

	for (unsigned i = 0; i < 256; i++) {
		put(ram, 4 * i, GUEST_HANDLERS, 4);
	}
	memcpy(ram + GUEST_HANDLERS, handler, sizeof(handler));
}

/* The second vCPU enters long mode and runs the same code. */
static void build_start(uint8_t *ram)
{
	static const uint8_t code[] = {
			0xfa, 0x66, 0xb8, 0xb0, 0x02, 0, 0, 0x0f, 0x22, 0xe0, /* cr4 */
			0x66, 0xb8, 0x00, 0x10, 0, 0, 0x0f, 0x22, 0xd8, /* cr3: GUEST_PML4 */
			0x66, 0xb9, 0x80, 0, 0, 0xc0, 0x66, 0x31, 0xd2, /* efer */
			0x66, 0xb8, 0x01, 0x09, 0, 0, 0x0f, 0x30, /* with long mode */
			0x66, 0xbc, 0x00, 0x38, 0x03, 0, /* esp: pages below the other's */
			0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0x00, /* lgdt */
			0x2e, 0x66, 0x0f, 0x01, 0x1e, 0x88, 0x00, /* lidt */
			0x66, 0xb8, 0x33, 0x00, 0x01, 0x80, 0x0f, 0x22, 0xc0, /* cr0 */
			0x66, 0xbf, 0x00, 0x00, 0x02, 0x00, /* edi: GUEST_DATA */
			0x66, 0xbe, 0x40, 0x00, 0x01, 0x00, /* esi: in the code */
			0x66, 0xea, 0x00, 0x00, 0x01, 0x00, SEL_CODE_64, 0x00, /* to GUEST_CODE */
	};

	memcpy(ram + GUEST_START, code, sizeof(code));
	put(ram, GUEST_START + 0x80, SEL_LAST - 1, 2);
	put(ram, GUEST_START + 0x82, GUEST_GDT, 4);
	put(ram, GUEST_START + 0x88, 0xfff, 2);
	put(ram, GUEST_START + 0x8a, GUEST_IDT, 4);
}

static void set_segments(struct x86_state *state, enum guest_mode mode)
{
	static const uint16_t code[GUEST_MODES] = {SEL_CODE_64, SEL_USER_CODE_64, SEL_USER_CODE_32,
			SEL_CODE_32, SEL_USER_CODE_32, SEL_CODE_16, GUEST_CODE >> 4,
			GUEST_CODE >> 4};
	unsigned cpl = mode == GUEST_V8086 ? 3 : code[mode] & 3;
	uint32_t present = (uint32_t)(X86_SEG_P | X86_SEG_S) | (uint32_t)cpl << X86_SEG_DPL_SHIFT;
	unsigned width = guest_width(mode);
	bool narrow = width == 2;

	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		state->seg[i] = (struct x86_segment){.limit = narrow ? 0xffff : UINT32_MAX,
				.attributes = present | 3 | (narrow ? 0 : X86_SEG_G | X86_SEG_DB),
				.selector = narrow ? 0
						   : (uint16_t)(cpl ? SEL_USER_DATA : SEL_DATA)};
	}
	state->seg[X86_CS].selector = code[mode];
	state->seg[X86_CS].base = narrow ? GUEST_CODE : 0;
	state->seg[X86_CS].attributes |= X86_SEG_CODE;
	if (mode == GUEST_V8086) {
		state->seg[X86_CS].attributes &= ~(uint32_t)X86_SEG_CODE;
	}
	if (width == 8) {
		state->seg[X86_CS].attributes ^= X86_SEG_DB | X86_SEG_L;
	}
	state->tr = (struct x86_segment){.base = GUEST_TSS,
			.limit = 0x100,
			.attributes = (uint32_t)X86_SEG_P | 11,
			.selector = SEL_TSS};
	state->ldtr = (struct x86_segment){.base = GUEST_LDT,
			.limit = 0xff,
			.attributes = (uint32_t)X86_SEG_P | 2,
			.selector = SEL_LDT};
}

static void set_control(struct x86_state *state, enum guest_mode mode, unsigned how)
{
	unsigned paging = is_long(mode) ? 3 : (how & 3) == 3 ? 1 : how & 3;

	state->cr4 = X86_CR4_OSFXSR | X86_CR4_PGE | X86_CR4_PSE | (how & 4 ? X86_CR4_VME : 0) |
		     (how & 8 ? X86_CR4_SMEP | X86_CR4_SMAP : 0);
	if (mode == GUEST_REAL) {
		return;
	}
	state->cr0 = X86_CR0_PE | X86_CR0_NE | X86_CR0_WP | (how & 16 ? X86_CR0_AM : 0);
	state->efer = X86_EFER_SCE | X86_EFER_NXE;
	if (paging > 0) {
		state->cr0 |= X86_CR0_PG;
		state->cr3 = paging == 1 ? GUEST_PD_32 : paging == 2 ? GUEST_PDPT_PAE : GUEST_PML4;
	}
	if (paging > 1) {
		state->cr4 |= X86_CR4_PAE;
	}
	if (paging == 3) {
		state->efer |= X86_EFER_LME | X86_EFER_LMA;
	}
	/* With SMAP the supervisor would not get far: its pages are the user's. */
	if (mode == GUEST_LONG || mode == GUEST_PROTECTED || mode == GUEST_PROTECTED_16) {
		state->cr4 &= ~(uint64_t)(X86_CR4_SMEP | X86_CR4_SMAP);
	}
}

static void set_state(struct x86_state *state, enum guest_mode mode, struct fuzz_input *input)
{
	unsigned how = fuzz_take8(input), flags = fuzz_take8(input);
	bool narrow = guest_width(mode) == 2;

	set_segments(state, mode);
	set_control(state, mode, how);
	state->gdtr = (struct x86_table){.base = GUEST_GDT, .limit = SEL_LAST - 1};
	state->idtr = (struct x86_table){
			.base = mode == GUEST_REAL ? 0 : GUEST_IDT, .limit = 0xfff};
	state->rip = narrow ? 0 : GUEST_CODE;
	state->rflags = X86_FLAG_FIXED | (flags & 1 ? X86_FLAG_IF : 0) |
			(flags & 2 ? X86_FLAG_AC : 0) | (flags & 4 ? X86_FLAG_IOPL : 0) |
			(flags & 8 ? X86_FLAG_DF : 0) | (flags & 16 ? X86_FLAG_NT : 0) |
			((flags & 0xe0) == 0xe0 ? X86_FLAG_TF : 0) |
			(mode == GUEST_V8086 ? X86_FLAG_VM : 0);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		state->regs[i] = take_address(input);
	}
	state->regs[X86_RCX] &= 0xff;
	state->regs[X86_RSP] = narrow ? 0xe000 : GUEST_STACK;
}

static void poke(uint8_t *ram, struct fuzz_input *input)
{
	uint64_t at = take_address(input);
	uint8_t bytes[8];

	fuzz_take(input, bytes, sizeof(bytes));
	if (at + sizeof(bytes) <= GUEST_RAM_SIZE) {
		memcpy(ram + at, bytes, sizeof(bytes));
	}
}

void guest_build(uint8_t *ram, enum guest_mode mode, struct fuzz_input *input,
		struct x86_state *state)
{
	struct writer w = {
			.ram = ram, .at = GUEST_CODE, .width = guest_width(mode), .input = input};

	memset(ram, 0, GUEST_RAM_SIZE);
	build_tables(ram);
	build_descriptors(ram, mode);
	build_task(ram);
	build_current_task(ram, mode);
	if (mode == GUEST_REAL) {
		build_real_interrupts(ram);
	} else {
		build_interrupts(ram, mode);
	}
	build_start(ram);
	put(ram, GUEST_ROUNDS, ROUNDS, 4);
	set_state(state, mode, input);
	for (unsigned i = fuzz_take8(input) % (MAX_POKES + 1); i > 0; i--) {
		poke(ram, input);
	}
	for (unsigned i = 0; i < MAX_PIECES && input->left > 0; i++) {
		emit_piece(&w);
	}
	emit_end(&w);
}
