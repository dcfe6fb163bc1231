/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/cpu_pieces.h"

#include "tests/fuzz/cpu_code.h"

#define MAX_PIECES 64

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
		GUEST_PT_32 + 4 * (GUEST_CODE >> 12), GUEST_GDT, GUEST_GDT + GUEST_SEL_TSS,
		GUEST_IDT, GUEST_IDT + 0xe0, GUEST_TSS, GUEST_TSS_OTHER, GUEST_LDT, GUEST_HANDLERS,
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
		/* CR4.PCIDE; another PCID, flushed or kept; INVPCID */
		PIECE(0x0f, 0x20, 0xe0, 0x0f, 0xba, 0xe8, 0x11, 0x0f, 0x22, 0xe0),
		PIECE(0x0f, 0x20, 0xd8, 0xb0, BYTE_, 0x0f, 0x22, 0xd8),
		PIECE(0x0f, 0x20, 0xd8, 0xb0, BYTE_, 0x48, 0x0f, 0xba, 0xe8, 0x3f, 0x0f, 0x22,
				0xd8),
		PIECE(0x66, 0x0f, 0x38, 0x82, 0x0f),
		PIECE(0xc7, 0x47, 0x04, 0x00, 0x00, 0x00, 0x00, 0xb0, BYTE_, 0x24, 0x03, 0x66, 0x0f,
				0x38, 0x82, 0x07),
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
		memcpy(w->ram + w->at, &value, size);
		w->at += size;
	}
}

static unsigned immediate_size(const struct writer *w)
{
	return w->width == 2 ? 2 : 4;
}

uint32_t guest_take_address(struct fuzz_input *input)
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

	return (uint16_t)(which % GUEST_SEL_LAST);
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
		emit(w, guest_take_address(w->input), immediate_size(w));
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
		emit(w, GUEST_PT + 8 * ((guest_take_address(w->input) >> 12) & 0x1ff),
				immediate_size(w));
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

void guest_write_code(uint8_t *ram, unsigned width, struct fuzz_input *input)
{
	struct writer w = {.ram = ram, .at = GUEST_CODE, .width = width, .input = input};

	for (unsigned i = 0; i < MAX_PIECES && input->left > 0; i++) {
		emit_piece(&w);
	}
	emit_end(&w);
}
