/* SPDX-License-Identifier: MIT */
/*
 * Every SSE, MMX and x87 instruction the decoder knows, against the host CPU: registers, flags, MXCSR, x87 state, memory,
 * faults. ORIEL_TEST_CASES sets how many cases each encoding gets, ORIEL_TEST_SEED where they start.
 */
#include "tests/core/engine/soft/native_fixture.h"

#include "core/engine/soft/native.h"

#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DEFAULT_CASES 4
#define WINDOW_BEFORE 64
#define WINDOW_SIZE 1024 /* of memory around the operand: set at random, compared afterwards */

struct test {
	struct oracle *oracle;
	struct native_fixture *fixture;
	uint64_t random;
	unsigned cases;
	bool mode_32;
	bool ymm; /* the host has AVX */
	uint64_t ran, faulted;

	uint8_t bytes[ORACLE_MAX_INSN];
	size_t len;
	struct insn insn;
	uint64_t operand; /* address */
	size_t window; /* offset in memory */
	struct oracle_state state; /* before; then as the oracle left it */
	struct oracle_fault fault; /* the oracle's */
};

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static struct test *open_test(void)
{
	struct test *test = g_new0(struct test, 1);

	test->random = number_from_environment("ORIEL_TEST_SEED", 1);
	test->cases = (unsigned)number_from_environment("ORIEL_TEST_CASES", DEFAULT_CASES);
	/* cmocka has changed the handler since the last test; the oracle passes on what is not its own. */
	native_catch_sigfpe();
	test->oracle = oracle_create(NULL);
	assert_non_null(test->oracle);
	test->fixture = native_fixture_create(oracle_data_address(test->oracle));
	test->ymm = __builtin_cpu_supports("avx");
	return test;
}

static void close_test(struct test *test)
{
	native_fixture_destroy(test->fixture);
	oracle_destroy(test->oracle);
	g_free(test);
}

static G_GNUC_PRINTF(2, 3) void fail_case(const struct test *test, const char *format, ...)
{
	char text[ORACLE_MAX_INSN * 3 + 1] = "", what[256];
	va_list args;

	for (size_t i = 0; i < test->len; i++) {
		(void)snprintf(text + 3 * i, 4, "%02x ", test->bytes[i]);
	}
	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	fail_msg("%s(operand at %#" G_GINT64_MODIFIER "x): %s", text,
			test->operand - oracle_data_address(test->oracle), what);
}

/* An address such that the operand lies well, badly, across a border, or nowhere. */
static uint64_t choose_address(struct test *test)
{
	static const unsigned borders[] = {ORACLE_PAGE_RW1, ORACLE_PAGE_RO, ORACLE_PAGE_ABSENT0,
			ORACLE_PAGE_RW2, ORACLE_PAGE_ABSENT1};
	uint64_t base = oracle_data_address(test->oracle);
	uint64_t value = native_random(&test->random);
	uint64_t offset = value >> 32;

	switch (value % 16) {
	case 0: /* around a border */
		return base + borders[offset % G_N_ELEMENTS(borders)] * ORACLE_PAGE_SIZE -
		       (offset >> 8) % 32;
	case 1: /* up to one, aligned */
		return base + borders[offset % G_N_ELEMENTS(borders)] * ORACLE_PAGE_SIZE -
		       (offset >> 8) % 9 * 16;
	case 2:
		return base + ORACLE_PAGE_RO * ORACLE_PAGE_SIZE + offset % 2048 * 2;
	case 3:
		return (value >> 8) % 64 || test->mode_32 ? base + 128 + offset % 1024
							  : UINT64_C(1) << 47;
	case 4:
	case 5:
	case 6: /* unaligned */
		return base + 128 + offset % 1024;
	default:
		return base + 128 + offset % 64 * 16;
	}
}

static bool is_image(const struct insn *insn)
{
	return insn->map == INSN_MAP_0F && insn->opcode == 0xae && (insn->modrm & 0x38) < 0x10;
}

/* XSAVE and its kin, XRSTOR. */
static bool is_xsave(const struct insn *insn)
{
	unsigned extension = (insn->modrm >> 3) & 7;

	return insn->map == INSN_MAP_0F && insn->insn_class == INSN_CLASS_SSE && insn->is_memory &&
	       ((insn->opcode == 0xae && extension >= 4) || insn->opcode == 0xc7);
}

/* CPUs differ in whether VEX.W makes general registers wide outside 64-bit mode; the SDM says it does not. */
static bool width_varies(const struct insn *insn)
{
	const uint8_t *opcodes = (const uint8_t *)(insn->map == INSN_MAP_0F ? "\x2a\x2c\x2d\x6e\x7e"
									    : "\x16\x22");

	return insn->insn_class == INSN_CLASS_AVX && insn->map != INSN_MAP_0F38 &&
	       (insn->prefixes & INSN_PREFIX_REX_W) &&
	       strchr((const char *)opcodes, insn->opcode) != NULL;
}

static bool is_gather(const struct insn *insn)
{
	return insn->insn_class == INSN_CLASS_AVX && insn->map == INSN_MAP_0F38 &&
	       (insn->opcode & 0xfc) == 0x90;
}

/* Images and x87 environments. */
static bool is_long(const struct insn *insn)
{
	return is_image(insn) || is_xsave(insn) ||
	       (insn->insn_class == INSN_CLASS_X87 && insn->memory_size > 10);
}

/* An image that XRSTOR takes mostly, in the one form or the other. */
static void random_image(uint64_t *random, uint8_t *image)
{
	uint64_t value = native_random(random);
	uint64_t header[8] = {value >> 8 & 7};
	struct oracle_fx fx;

	native_random_fx(random, &fx);
	fx.mxcsr |= value % 16 ? 0 : 0x40000;
	memcpy(image, &fx, sizeof(fx));
	if (value >> 16 & 1) {
		header[1] = BIT(63) | (value >> 24 & 7) | header[0];
	}
	if ((value >> 32) % 16 == 0) {
		header[value >> 40 & 7] |= BIT(value >> 48 & 63);
	}
	memcpy(image + 512, header, sizeof(header));
}

/* Random memory around the operand, such that it makes sense as any of the types it may be read as. */
static void fill_memory(struct test *test)
{
	uint64_t offset = test->operand - oracle_data_address(test->oracle);
	uint8_t window[WINDOW_SIZE + 16];
	uint8_t *operand = window + WINDOW_BEFORE;
	struct oracle_fx fx;

	test->window = MIN(
			MAX(offset, WINDOW_BEFORE) - WINDOW_BEFORE, ORACLE_DATA_SIZE - WINDOW_SIZE);
	for (size_t i = 0; i < WINDOW_SIZE; i += 16) {
		native_random_xmm(&test->random, window + i);
	}
	if (test->insn.insn_class == INSN_CLASS_X87) {
		native_random_st(&test->random, operand + (native_random(&test->random) & 31));
		native_random_st(&test->random, operand);
	} else if (is_image(&test->insn)) {
		native_random_fx(&test->random, &fx);
		fx.mxcsr |= native_random(&test->random) % 16 ? 0 : 0x40000;
		fx.fsw ^= (uint16_t)(native_random(&test->random) &
				     0x8080); /* follow from others */
		memcpy(operand, &fx, sizeof(fx));
	} else if (is_xsave(&test->insn)) {
		random_image(&test->random, operand);
	} else if (test->insn.opcode == 0xae) {
		uint32_t mxcsr = (uint32_t)native_random(&test->random) & 0xffff;
		mxcsr |= native_random(&test->random) % 16 ? 0 : 0x40000;
		memcpy(operand, &mxcsr, sizeof(mxcsr));
	}
	memcpy(oracle_data(test->oracle) + test->window, window, WINDOW_SIZE);
	memcpy(test->fixture->memory + test->window, window, WINDOW_SIZE);
}

static uint64_t random_register(uint64_t *random)
{
	uint64_t value = native_random(random);

	switch (value >> 60) {
	case 0:
		return value & 1 ? 0 : UINT64_C(1) << 63;
	case 1:
	case 2:
		return value % 20;
	case 3:
		return 0 - value % 20;
	case 4:
		return UINT64_C(1) << (value % 64);
	default:
		return value << 4;
	}
}

/* CPUs differ in whether CVTPI2PS from memory switches x87 to MMX. */
static bool x87_varies(const struct insn *insn)
{
	return insn->map == INSN_MAP_0F && insn->opcode == 0x2a && insn->is_memory &&
	       native_prefix(insn) == NATIVE_PREFIX_NONE;
}

/* Some CPUs switch x87 to MMX before its store faults. */
static bool is_maskmovq(const struct insn *insn)
{
	return insn->map == INSN_MAP_0F && insn->opcode == 0xf7 &&
	       native_prefix(insn) == NATIVE_PREFIX_NONE;
}

/* CPUs differ in whether SHA instructions want their memory aligned. */
static bool alignment_varies(const struct insn *insn)
{
	return (insn->map == INSN_MAP_0F38 && insn->opcode >= 0xc8 && insn->opcode <= 0xcd) ||
	       (insn->map == INSN_MAP_0F3A && insn->opcode == 0xcc);
}

/* Distances that mostly stay near the operand, as long as they are from it. */
static void choose_indices(struct test *test)
{
	unsigned number = test->insn.index, size = test->insn.opcode & 1 ? 8 : 4;

	for (unsigned i = 0; i < 32; i += size) {
		uint64_t value = native_random(&test->random);
		/* CPUs differ in what they make of distances of 64 bits outside 64-bit mode. */
		bool near = value % 64 || test->mode_32;
		int64_t distance = near ? (int64_t)(value >> 32 & 63) - 8
					: (int64_t)(value & ~(BIT(63) | BIT(31)));
		uint8_t *half = i < 16 ? test->state.fx.xmm[number] : test->state.ymm_high[number];
		memcpy(half + i % 16, &distance, size);
	}
}

static void choose_state(struct test *test)
{
	struct oracle_state *state = &test->state;

	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		state->regs[i] = random_register(&test->random);
		if (test->mode_32) {
			state->regs[i] = i < 8 ? (uint32_t)state->regs[i] : 0;
		}
	}
	test->operand = choose_address(test);
	if (alignment_varies(&test->insn)) {
		test->operand &= ~UINT64_C(15);
	}
	if (is_gather(&test->insn) && test->operand >> 40) {
		test->operand = oracle_data_address(
				test->oracle); /* who knows what is around there */
	}
	if (is_xsave(&test->insn)) {
		test->operand &= ~(native_random(&test->random) % 8 ? UINT64_C(63) : 31);
		state->regs[X86_RAX] = native_random(&test->random) & 7;
		state->regs[X86_RDX] = 0;
	}
	state->regs[X86_RBX] = test->operand;
	state->regs[X86_R11] = test->operand;
	state->regs[X86_RDI] = test->operand;
	state->rflags = native_random(&test->random) & X86_FLAGS_ARITH;
	native_random_fx(&test->random, &state->fx);
	for (unsigned i = 0; i < 16; i++) {
		native_random_xmm(&test->random, state->ymm_high[i]);
	}
	if (is_gather(&test->insn)) {
		choose_indices(test);
	}
	if (x87_varies(&test->insn)) {
		state->fx.fsw = 0;
	}
	fill_memory(test);
}

static void give_state(struct test *test)
{
	struct cpu *cpu = test->fixture->cpu;

	memcpy(cpu->regs, test->state.regs, sizeof(cpu->regs));
	memcpy(&cpu->fx, &test->state.fx, sizeof(cpu->fx));
	memcpy(cpu->ymm_high, test->state.ymm_high, sizeof(cpu->ymm_high));
	cpu->fx.mxcsr_mask = 0xffff;
	cpu->rflags = test->state.rflags | X86_FLAG_FIXED;
	cpu->rip = oracle_code_address(test->oracle);
	cpu->mode = test->mode_32 ? INSN_MODE_32 : INSN_MODE_64;
}

static void compare_fault(const struct test *test)
{
	const struct oracle_fault *ours = &test->fixture->fault;
	const struct oracle_fault *theirs = &test->fault;

	if (ours->vector != theirs->vector) {
		fail_case(test, "vector %u, CPU says %u", ours->vector, theirs->vector);
	}
	if (theirs->vector != X86_VECTOR_PF || is_long(&test->insn)) {
		return; /* CPUs differ in which of two bad pages of a long operand they name */
	}
	if (ours->error != theirs->error) {
		fail_case(test, "page fault error %#x, CPU says %#x", ours->error, theirs->error);
	}
	if (ours->address != theirs->address) {
		fail_case(test,
				"page fault address %#" G_GINT64_MODIFIER
				"x, CPU says %#" G_GINT64_MODIFIER "x",
				ours->address, theirs->address);
	}
}

static void compare_x87(const struct test *test)
{
	const struct cpu_fx *ours = &test->fixture->cpu->fx;
	const struct oracle_fx *theirs = &test->state.fx;

	if (ours->fcw != theirs->fcw || ours->fsw != theirs->fsw || ours->ftw != theirs->ftw) {
		fail_case(test, "x87 control %#x status %#x tags %#x, CPU says %#x %#x %#x",
				ours->fcw, ours->fsw, ours->ftw, theirs->fcw, theirs->fsw,
				theirs->ftw);
	}
	for (unsigned i = 0; i < 8; i++) {
		if (memcmp(ours->st[i], theirs->st[i], 10) != 0) {
			fail_case(test, "ST%u", i);
		}
	}
	/* Some CPUs have the pointers only while an exception pends. */
	if (theirs->fip && (ours->fip != theirs->fip || ours->fop != theirs->fop)) {
		fail_case(test,
				"FIP %#" G_GINT64_MODIFIER
				"x FOP %#x, CPU says %#" G_GINT64_MODIFIER "x %#x",
				ours->fip, ours->fop, theirs->fip, theirs->fop);
	}
	if (theirs->fdp && ours->fdp != theirs->fdp) {
		fail_case(test, "FDP");
	}
}

static void compare_state(const struct test *test)
{
	const struct cpu *cpu = test->fixture->cpu;
	const struct oracle_state *theirs = &test->state;
	bool faulted = test->fault.vector != ORACLE_NO_FAULT;

	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		if (cpu->regs[i] != theirs->regs[i]) {
			fail_case(test,
					"register %u is %#" G_GINT64_MODIFIER
					"x, CPU says %#" G_GINT64_MODIFIER "x",
					i, cpu->regs[i], theirs->regs[i]);
		}
	}
	for (unsigned i = 0; i < (test->mode_32 ? 8 : 16); i++) {
		if (memcmp(cpu->fx.xmm[i], theirs->fx.xmm[i], 16) != 0) {
			fail_case(test, "XMM%u", i);
		}
		if (test->ymm && memcmp(cpu->ymm_high[i], theirs->ymm_high[i], 16) != 0) {
			fail_case(test, "YMM%u, upper half", i);
		}
	}
	if ((cpu->rflags ^ theirs->rflags) & X86_FLAGS_ARITH) {
		fail_case(test, "flags %#x, CPU says %#x", (unsigned)cpu->rflags,
				(unsigned)theirs->rflags);
	}
	if (cpu->fx.mxcsr != theirs->fx.mxcsr) {
		fail_case(test, "MXCSR %#x, CPU says %#x", cpu->fx.mxcsr, theirs->fx.mxcsr);
	}
	if (!x87_varies(&test->insn) && !(is_maskmovq(&test->insn) && faulted)) {
		compare_x87(test);
	}
}

/* What FXSAVE and XSAVE write and the engine need not: the host's MXCSR_MASK, XMM8-15 outside 64-bit mode. */
static void forgive_image(const struct test *test)
{
	uint64_t offset = test->operand - oracle_data_address(test->oracle);
	uint8_t *theirs = oracle_data(test->oracle) + offset;
	const uint8_t *ours = test->fixture->memory + offset;

	memcpy(theirs + offsetof(struct oracle_fx, mxcsr_mask),
			ours + offsetof(struct oracle_fx, mxcsr_mask), sizeof(uint32_t));
	if (test->mode_32) {
		memcpy(theirs + offsetof(struct oracle_fx, xmm[8]),
				ours + offsetof(struct oracle_fx, xmm[8]), 8 * 16);
	}
	if (test->mode_32 && is_xsave(&test->insn)) {
		memcpy(theirs + 576 + 8 * 16, ours + 576 + 8 * 16, 8 * 16);
	}
}

static void compare_memory(const struct test *test)
{
	const uint8_t *theirs = oracle_data(test->oracle);

	bool image = is_image(&test->insn) || is_xsave(&test->insn);

	if (image && !(test->insn.modrm & 8) && test->fault.vector == ORACLE_NO_FAULT) {
		forgive_image(test);
	}
	if (memcmp(test->fixture->memory + test->window, theirs + test->window, WINDOW_SIZE) != 0) {
		fail_case(test, "memory");
	}
}

static void run_case(struct test *test)
{
	choose_state(test);
	give_state(test);
	native_fixture_fill_tlb(test->fixture, native_random(&test->random) & 1);
	(void)native_fixture_run(test->fixture, test->bytes, test->len);
	(void)oracle_run(test->oracle, test->bytes, test->len, &test->state,
			ORACLE_FX | (test->ymm ? ORACLE_YMM : 0), &test->fault);
	test->ran++;
	test->faulted += test->fault.vector != ORACLE_NO_FAULT;
	compare_fault(test);
	compare_state(test);
	compare_memory(test);
}

/* One spelling of an instruction. modrm: register form, or memory at [rbx]. */
struct encoding {
	uint8_t prefix; /* 0: none */
	uint8_t map; /* enum insn_map */
	uint8_t opcode;
	uint8_t modrm;
	bool wide;
	bool vex, is_256; /* a VEX prefix with all there is of prefix and map in it */
	uint8_t sib; /* if modrm says so */
};

/* A VEX prefix of three bytes; vvvv at random, or no register. */
static size_t spell_vex(struct test *test, const struct encoding *encoding, bool has_register)
{
	static const uint8_t maps[] = {[INSN_MAP_0F] = 1, [INSN_MAP_0F38] = 2, [INSN_MAP_0F3A] = 3};
	unsigned pp = encoding->prefix == 0x66	 ? 1
		      : encoding->prefix == 0xf3 ? 2
		      : encoding->prefix	 ? 3
						 : 0;
	uint64_t value = native_random(&test->random);
	unsigned inverted = test->mode_32 ? 0xe0 : 0x40 | (value & 0xa0);
	unsigned vvvv = !has_register ? 15 : test->mode_32 ? 8 | (value >> 8 & 7) : value >> 8 & 15;

	test->bytes[0] = 0xc4;
	test->bytes[1] = (uint8_t)(inverted | maps[encoding->map]);
	test->bytes[2] = (uint8_t)((encoding->wide ? 0x80 : 0) | vvvv << 3 |
				   (encoding->is_256 ? 4 : 0) | pp);
	test->bytes[3] = encoding->opcode;
	test->bytes[4] = encoding->modrm;
	test->bytes[5] = encoding->sib;
	size_t len = encoding->sib ? 6 : 5;
	/* CPUs differ in whether the highest bit of a register's number counts outside 64-bit mode. */
	bool fourth = encoding->map == INSN_MAP_0F3A && encoding->opcode >> 4 == 4;
	test->bytes[len++] = (uint8_t)(value >> 16 & (fourth && test->mode_32 ? 0x7f : 0xff));
	return len;
}

/* Puts the bytes together, with REX.R and REX.B at random. */
static void spell(struct test *test, const struct encoding *encoding)
{
	uint64_t value = native_random(&test->random);
	uint8_t rex = test->mode_32 ? 0 : (uint8_t)((value & 5) | (encoding->wide ? 8 : 0));
	size_t len = 0;

	if (encoding->prefix) {
		test->bytes[len++] = encoding->prefix;
	}
	if (rex) {
		test->bytes[len++] = 0x40 | rex;
	}
	if (encoding->map != INSN_MAP_LEGACY) {
		test->bytes[len++] = 0x0f;
	}
	if (encoding->map == INSN_MAP_0F38) {
		test->bytes[len++] = 0x38;
	} else if (encoding->map == INSN_MAP_0F3A) {
		test->bytes[len++] = 0x3a;
	}
	test->bytes[len++] = encoding->opcode;
	test->bytes[len++] = encoding->modrm;
	test->bytes[len++] = (uint8_t)(value >> 8); /* an immediate, if there is one */
	test->len = len;
}

/* In whichever way it exists. */
static void spell_avx(struct test *test, const struct encoding *encoding)
{
	enum insn_mode mode = test->mode_32 ? INSN_MODE_32 : INSN_MODE_64;

	test->len = spell_vex(test, encoding, true);
	if (insn_decode(&test->insn, mode, test->bytes, test->len) != DECODE_OK) {
		test->len = spell_vex(test, encoding, false);
	}
}

static bool decode_native(struct test *test)
{
	enum insn_mode mode = test->mode_32 ? INSN_MODE_32 : INSN_MODE_64;

	if (insn_decode(&test->insn, mode, test->bytes, test->len) != DECODE_OK ||
			test->insn.insn_class < INSN_CLASS_X87) {
		return false;
	}
	test->len = test->insn.length;
	return true;
}

static void run_encoding(struct test *test, const struct encoding *encoding)
{
	for (unsigned i = 0; i < test->cases; i++) {
		if (encoding->vex) {
			spell_avx(test, encoding);
		} else {
			spell(test, encoding);
		}
		if (!decode_native(test) || (test->mode_32 && width_varies(&test->insn))) {
			return;
		}
		run_case(test);
	}
}

static void run_opcode(struct test *test, enum insn_map map, unsigned opcode)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
	struct encoding encoding = {.map = (uint8_t)map, .opcode = (uint8_t)opcode};

	if (map == INSN_MAP_0F && (opcode == 0x38 || opcode == 0x3a)) {
		return; /* the way into other maps */
	}
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(prefixes); i++) {
		encoding.prefix = prefixes[i / 2];
		encoding.wide = i & 1;
		for (unsigned reg = 0; reg < 64; reg += 8) {
			encoding.modrm = (uint8_t)(reg | X86_RBX);
			run_encoding(test, &encoding);
			for (unsigned rm = 0; rm < 8; rm++) {
				encoding.modrm = (uint8_t)(0xc0 | reg | rm);
				run_encoding(test, &encoding);
			}
		}
	}
}

/* With AVX's prefix. Gathers have [rbx + vector index]. */
static void run_avx_opcode(struct test *test, enum insn_map map, unsigned opcode)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
	bool gather = map == INSN_MAP_0F38 && (opcode & 0xfc) == 0x90;
	struct encoding encoding = {.map = (uint8_t)map, .opcode = (uint8_t)opcode, .vex = true};

	for (unsigned i = 0; i < 4 * G_N_ELEMENTS(prefixes); i++) {
		encoding.prefix = prefixes[i / 4];
		encoding.wide = i & 1;
		encoding.is_256 = i & 2;
		for (unsigned reg = 0; reg < 64; reg += 8) {
			encoding.modrm = (uint8_t)(reg | (gather ? X86_RSP : X86_RBX));
			encoding.sib = gather ? (uint8_t)(0x40 | ((reg + 8) & 0x38) | X86_RBX) : 0;
			run_encoding(test, &encoding);
			encoding.sib = 0;
			for (unsigned rm = 0; rm < 8 && !gather; rm++) {
				encoding.modrm = (uint8_t)(0xc0 | reg | rm);
				run_encoding(test, &encoding);
			}
		}
	}
}

struct sweep {
	enum insn_map map;
	unsigned first, last; /* opcodes */
	unsigned factor; /* for more cases an encoding */
	uint64_t encodings; /* there are at least */
	bool mode_32;
	bool avx;
};

static void run_sweep(const struct sweep *sweep)
{
	struct test *test = open_test();

	test->cases *= sweep->factor;
	test->mode_32 = sweep->mode_32;
	for (unsigned opcode = sweep->first; opcode <= sweep->last; opcode++) {
		if (sweep->avx) {
			run_avx_opcode(test, sweep->map, opcode);
		} else {
			run_opcode(test, sweep->map, opcode);
		}
	}
	print_message("%" G_GUINT64_FORMAT " cases, %" G_GUINT64_FORMAT " of them faults\n",
			test->ran, test->faulted);
	assert_true(test->ran >= sweep->encodings * test->cases);
	assert_true(test->faulted > 0);
	close_test(test);
}

static void test_x87(void **state)
{
	(void)state;
	run_sweep(&(const struct sweep){INSN_MAP_LEGACY, 0xd8, 0xdf, 16, 3000, false});
}

static void test_0f(void **state)
{
	(void)state;
	run_sweep(&(const struct sweep){INSN_MAP_0F, 0x00, 0xff, 1, 20000, false});
}

static void test_0f38(void **state)
{
	(void)state;
	run_sweep(&(const struct sweep){INSN_MAP_0F38, 0x00, 0xff, 1, 5000, false});
}

static void test_0f3a(void **state)
{
	(void)state;
	run_sweep(&(const struct sweep){INSN_MAP_0F3A, 0x00, 0xff, 1, 2000, false});
}

static void test_x87_32bit(void **state)
{
	(void)state;
	run_sweep(&(const struct sweep){INSN_MAP_LEGACY, 0xd8, 0xdf, 4, 3000, true});
}

static void test_0f_32bit(void **state)
{
	(void)state;
	run_sweep(&(const struct sweep){INSN_MAP_0F, 0x00, 0xff, 1, 20000, true});
}

static bool host_lacks_avx(void)
{
	unsigned eax, ebx, ecx, edx;

	/* F16C: a name that clang's builtin does not know. */
	return !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
	       !__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_F16C);
}

static void test_avx(void **state)
{
	(void)state;
	if (host_lacks_avx()) {
		skip();
	}
	run_sweep(&(const struct sweep){INSN_MAP_0F, 0x00, 0xff, 1, 20000, false, true});
	run_sweep(&(const struct sweep){INSN_MAP_0F38, 0x00, 0xef, 1, 10000, false, true});
	run_sweep(&(const struct sweep){INSN_MAP_0F3A, 0x00, 0xef, 1, 4000, false, true});
}

static void test_avx_32bit(void **state)
{
	(void)state;
	if (host_lacks_avx()) {
		skip();
	}
	run_sweep(&(const struct sweep){INSN_MAP_0F, 0x00, 0xff, 1, 20000, true, true});
	run_sweep(&(const struct sweep){INSN_MAP_0F38, 0x00, 0xef, 1, 10000, true, true});
	run_sweep(&(const struct sweep){INSN_MAP_0F3A, 0x00, 0xef, 1, 4000, true, true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_x87),
			cmocka_unit_test(test_0f),
			cmocka_unit_test(test_0f38),
			cmocka_unit_test(test_0f3a),
			cmocka_unit_test(test_x87_32bit),
			cmocka_unit_test(test_0f_32bit),
			cmocka_unit_test(test_avx),
			cmocka_unit_test(test_avx_32bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
