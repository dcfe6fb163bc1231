/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/cpu_code.h"

#include "tests/fuzz/cpu_pieces.h"

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
#define SEL_TSS_OTHER 0x70u
#define SEL_LDT 0x80u
#define SEL_CALL_GATE 0x90u

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
	put(ram, GUEST_GDT + GUEST_SEL_TSS, system_descriptor(GUEST_TSS, 0x100, 11), 8);
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
	put(ram, GUEST_START + 0x80, GUEST_SEL_LAST - 1, 2);
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
			.selector = GUEST_SEL_TSS};
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
	state->gdtr = (struct x86_table){.base = GUEST_GDT, .limit = GUEST_SEL_LAST - 1};
	state->idtr = (struct x86_table){
			.base = mode == GUEST_REAL ? 0 : GUEST_IDT, .limit = 0xfff};
	state->rip = narrow ? 0 : GUEST_CODE;
	state->rflags = X86_FLAG_FIXED | (flags & 1 ? X86_FLAG_IF : 0) |
			(flags & 2 ? X86_FLAG_AC : 0) | (flags & 4 ? X86_FLAG_IOPL : 0) |
			(flags & 8 ? X86_FLAG_DF : 0) | (flags & 16 ? X86_FLAG_NT : 0) |
			((flags & 0xe0) == 0xe0 ? X86_FLAG_TF : 0) |
			(mode == GUEST_V8086 ? X86_FLAG_VM : 0);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		state->regs[i] = guest_take_address(input);
	}
	state->regs[X86_RCX] &= 0xff;
	state->regs[X86_RSP] = narrow ? 0xe000 : GUEST_STACK;
}

static void poke(uint8_t *ram, struct fuzz_input *input)
{
	uint64_t at = guest_take_address(input);
	uint8_t bytes[8];

	fuzz_take(input, bytes, sizeof(bytes));
	if (at + sizeof(bytes) <= GUEST_RAM_SIZE) {
		memcpy(ram + at, bytes, sizeof(bytes));
	}
}

void guest_build(uint8_t *ram, enum guest_mode mode, struct fuzz_input *input,
		struct x86_state *state)
{
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
	guest_write_code(ram, guest_width(mode), input);
}
