/* SPDX-License-Identifier: MIT */
/*
 * Blocks with vector instructions that have a VEX prefix, among those that have none, translated and interpreted: upper halves
 * that are loaded, stored, zeroed or left alone.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/translator/twins.h"

#include "core/engine/soft/avx.h"
#include "core/engine/soft/features.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native.h"
#include "core/engine/soft/translator/emit_block.h"
#include "core/engine/soft/translator/shape.h"

#include <string.h>

#define MXCSR_ROUNDING_SHIFT 13

/* VEX.mmmmm, VEX.pp and an opcode, in one number. */
#define KEYS (3 * 4 * 256)

/* What the instructions of random_insn() may be. */
static struct {
	unsigned legacy, integer; /* of 16 */
	bool bmi; /* most of integer */
	bool whole; /* of 256 bits, else of 128 */
	uint64_t emitted;
	unsigned count, keys[KEYS]; /* those that exist */
	bool seen[KEYS][2]; /* emitted, by VEX.L */
} kind;

static unsigned spell_integer(struct differ *differ, uint8_t *bytes)
{
	static const uint8_t choices[][3] = {{0x48, 0x89, 2}, {0x48, 0x8b, 2}, {0x48, 0x01, 2},
			{0x48, 0x11, 2}, {0x0f, 0xb6, 2}, {0xd7, 0, 1}, {0xaa, 0, 1}, {0x56, 0, 1},
			{0x5e, 0, 1}};
	const uint8_t *choice = choices[differ_below(differ, G_N_ELEMENTS(choices))];

	memcpy(bytes, choice, choice[2]);
	return choice[2];
}

/* BMI1, BMI2. */
static unsigned spell_general(struct differ *differ, uint8_t *bytes)
{
	static const struct {
		uint8_t map, prefix, opcode;
	} choices[] = {{2, 0, 0xf2}, {2, 0, 0xf3}, {2, 0, 0xf5}, {2, 2, 0xf5}, {2, 3, 0xf5},
			{2, 3, 0xf6}, {2, 0, 0xf7}, {2, 1, 0xf7}, {2, 2, 0xf7}, {2, 3, 0xf7},
			{3, 3, 0xf0}};
	size_t choice = differ_below(differ, G_N_ELEMENTS(choices));

	bytes[0] = 0xc4;
	bytes[1] = (uint8_t)(differ_below(differ, 8) << 5 | choices[choice].map);
	bytes[2] = (uint8_t)((differ_below(differ, 32) << 3) | choices[choice].prefix);
	if (choices[choice].map == 3) {
		bytes[2] |= 0x78;
	}
	if (choices[choice].map == 2 && differ_below(differ, 2)) {
		bytes[1] &= 0xdf; /* r13 to r15, two of them */
		bytes[2] &= 0x97;
	}
	bytes[3] = choices[choice].opcode;
	return 4;
}

static unsigned spell_legacy(struct differ *differ, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};
	unsigned prefix = prefixes[differ_below(differ, 4)], len = 0;

	if (prefix) {
		bytes[len++] = (uint8_t)prefix;
	}
	if (differ_below(differ, 2)) {
		bytes[len++] = (uint8_t)(0x40 | differ_below(differ, 16));
	}
	bytes[len++] = 0x0f;
	bytes[len++] = (uint8_t)differ_below(differ, 256);
	return len;
}

static struct avx_key key_of(unsigned number)
{
	return (struct avx_key){.map = (uint8_t)(1 + number / 1024),
			.prefix = (uint8_t)(number / 256 % 4),
			.opcode = (uint8_t)number};
}

static unsigned number_of(const struct insn *insn, const struct shape *shape)
{
	return (insn->map - 1u) * 1024 + shape->vex_prefix * 256u + insn->opcode;
}

/* Whether it exists with either length, and something else. */
static bool exists(unsigned number, bool is_256)
{
	struct avx_key key = key_of(number);

	for (unsigned i = 0; i < 64; i++) {
		key.wide = i & 1;
		key.is_256 = is_256;
		key.modrm = (uint8_t)(i >> 1 << 3);
		const struct avx_desc *desc = avx_lookup(&key);
		const unsigned called_out = AVX_FLAG_MXCSR_MOVE | AVX_FLAG_MASKED |
					    AVX_FLAG_MASKED_BYTES | AVX_FLAG_GATHER;
		if (desc && !(desc->flags & called_out) &&
				!((desc->flags & AVX_FLAG_ZERO) && is_256)) {
			return true;
		}
	}
	return false;
}

/* VZEROUPPER more often than by chance. */
static unsigned spell_vex(struct differ *differ, uint8_t *bytes)
{
	const struct avx_key key = key_of(kind.keys[differ_below(differ, kind.count)]);
	unsigned last = ((unsigned)differ_below(differ, 256) & (kind.whole ? 0xfc : 0xf8)) |
			key.prefix;
	unsigned len = 0;

	if (differ_below(differ, 16) == 0) {
		memcpy(bytes, "\xc5\xf8\x77", 3);
		return 3;
	}
	if (differ_below(differ, 2) == 0) {
		last |= 0x78; /* vvvv names nothing */
	}
	if (differ_below(differ, 16) == 0) {
		bytes[len++] = 0x67; /* called out if it names memory */
	}
	if (key.map == INSN_MAP_0F && differ_below(differ, 2)) {
		bytes[len++] = 0xc5;
	} else {
		bytes[len++] = 0xc4;
		bytes[len++] = (uint8_t)(differ_below(differ, 8) << 5 | key.map);
	}
	bytes[len++] = (uint8_t)last;
	bytes[len++] = key.opcode;
	return len;
}

static unsigned spell(struct differ *differ, uint8_t *bytes, enum insn_class *ret_class)
{
	unsigned choice = (unsigned)differ_below(differ, 16);

	if (choice < kind.integer) {
		*ret_class = INSN_CLASS_INTEGER;
		return kind.bmi && differ_below(differ, 4) ? spell_general(differ, bytes)
							   : spell_integer(differ, bytes);
	}
	if (choice < kind.integer + kind.legacy) {
		*ret_class = INSN_CLASS_SSE;
		return spell_legacy(differ, bytes);
	}
	*ret_class = INSN_CLASS_AVX;
	return spell_vex(differ, bytes);
}

static unsigned random_modrm(struct differ *differ)
{
	unsigned modrm = (unsigned)differ_below(differ, 256);

	if (modrm >> 6 == 2 || differ_below(differ, 4) == 0) {
		modrm |= 0xc0;
	}
	if (modrm < 0xc0 && (modrm & 7) == 4) {
		modrm ^= 1;
	}
	if (differ_below(differ, kind.bmi ? 2 : 8) == 0) {
		modrm = (modrm & 0x38) | 0x43; /* [rbx + disp8]: near the others */
	}
	return modrm;
}

static void note(const struct insn *insn)
{
	struct shape shape;

	shape_of(insn, &shape);
	if (insn->insn_class == INSN_CLASS_AVX && shape.kind != SHAPE_CALL_OUT) {
		kind.emitted++;
		kind.seen[number_of(insn, &shape)][shape.whole] = true;
	}
}

static unsigned random_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	enum insn_class class;
	unsigned len = spell(differ, bytes, &class);
	struct insn insn;

	bytes[len] = (uint8_t)random_modrm(differ);
	for (unsigned i = 1; i < 12; i++) {
		bytes[len + i] = (uint8_t)differ_value(differ);
	}
	if (differ_below(differ, 16)) {
		bytes[len + 1] &= 0xe0;
	}
	if (insn_decode(&insn, INSN_MODE_64, bytes, INSN_MAX_BYTES) != DECODE_OK ||
			insn.opcode != bytes[len - 1] || insn.insn_class != class ||
			(insn.map == INSN_MAP_0F &&
					insn.opcode == 0xae)) { /* LDMXCSR may end translated code */
		return 0;
	}
	if (insn.is_memory && insn.base == INSN_BASE_RIP) {
		uint32_t distance = (uint32_t)(differ_address(differ) - rip - insn.length);
		memcpy(&bytes[len + 1], &distance, sizeof(distance));
	}
	note(&insn);
	return insn.length;
}

static void run(struct twins *twins, uint32_t mxcsr, bool native, unsigned blocks)
{
	struct cpu *cpu = twins->differ.fake->cpu;

	cpu->fx.mxcsr = mxcsr;
	cpu->sse_native = cpu->avx_native = native;
	twins_run(twins, random_insn, blocks);
}

/* Every row was emitted, with each length. */
static void check_all_seen(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		for (unsigned is_256 = 0; is_256 < 2; is_256++) {
			if (exists(i, is_256)) {
				assert_true(kind.seen[i][is_256]);
			}
		}
	}
}

static bool host_has(enum cpu_feature feature)
{
	return cpu_features_has(&features_offer()->possible, feature);
}

static bool host_lacks_avx(void)
{
	return !host_has(CPU_FEATURE_AVX2) || !host_has(CPU_FEATURE_FMA) ||
	       !host_has(CPU_FEATURE_F16C);
}

static struct twins *start(void)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct cpu *cpu;

	differ_start(&twins->differ);
	native_catch_sigfpe();
	cpu = twins->differ.fake->cpu;
	translated_start(cpu);
	cpu->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
	cpu->fx.fcw = 0x37f;
	twins->avx = true;
	twins->addresses = true;
	twins->alignment = 32;
	memset(&kind, 0, sizeof(kind));
	for (unsigned i = 0; i < KEYS; i++) {
		if (exists(i, false) || exists(i, true)) {
			kind.keys[kind.count++] = i;
		}
	}
	return twins;
}

static void stop(struct twins *twins)
{
	translated_stop();
	differ_stop(&twins->differ);
	assert_int_equal(twins->differ.differences, 0);
	assert_int_equal(twins->refused, 0);
	assert_true(twins->differ.cases - twins->differ.faults > twins->differ.cases / 8);
	g_free(twins);
}

static void test_whole(void **state)
{
	struct twins *twins;

	(void)state;
	if (host_lacks_avx()) {
		skip();
	}
	twins = start();
	kind.whole = true;
	kind.integer = 2;
	for (uint32_t rounding = 0; rounding < 4; rounding++) {
		run(twins, MXCSR_INIT | rounding << MXCSR_ROUNDING_SHIFT, true, 10000);
	}
	assert_true(kind.emitted > 100000);
	check_all_seen();
	stop(twins);
}

static void test_among_sse(void **state)
{
	struct twins *twins;

	(void)state;
	if (host_lacks_avx()) {
		skip();
	}
	twins = start();
	kind.legacy = 7;
	kind.integer = 2;
	run(twins, MXCSR_INIT, true, 20000);
	kind.whole = true;
	run(twins, MXCSR_INIT, true, 20000);

	stop(twins);
}

static void test_general(void **state)
{
	struct twins *twins;

	(void)state;
	if (host_lacks_avx() || !host_has(CPU_FEATURE_BMI1) || !host_has(CPU_FEATURE_BMI2)) {
		skip();
	}
	twins = start();
	kind.integer = 12;
	kind.bmi = kind.whole = true;
	run(twins, MXCSR_INIT, true, 40000);
	stop(twins);
}

/* Exceptions not masked: everything is called out. */
static void test_unmasked(void **state)
{
	struct twins *twins;

	(void)state;
	if (host_lacks_avx()) {
		skip();
	}
	twins = start();
	kind.whole = true;
	kind.legacy = kind.integer = 2;
	run(twins, 0, false, 5000);
	stop(twins);
}

/* Instructions with a VEX prefix on vectors in the host code of many blocks. */
static unsigned count_emitted(struct twins *twins, unsigned vectors)
{
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;
	struct code *code = code_create("test", 1 * MiB);
	struct emitter emitter;
	unsigned found = 0;

	assert_non_null(code);
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t bytes[INSN_MAX_BYTES + 32];
		struct block *block = block_at(cpu);
		struct insn insn;
		code_clear(code);
		assert_true(code_begin(code, &emitter));
		while (block->count < 8) {
			unsigned len = random_insn(differ, cpu->rip + block->bytes, bytes);
			if (len) {
				block_add(block, bytes, len);
			}
		}
		const uint8_t *at = block_emit(code, &emitter, block, 0, vectors);
		for (; at && at < emitter.at; at += insn.length) {
			assert_int_equal(insn_decode(&insn, INSN_MODE_64, at, INSN_MAX_BYTES),
					DECODE_OK);
			found += insn.insn_class == INSN_CLASS_AVX;
		}
	}
	code_destroy(code);
	return found;
}

/* A host without AVX runs nothing of it. */
static void test_none_emitted(void **state)
{
	struct twins *twins;

	(void)state;
	if (host_lacks_avx()) {
		skip(); /* thunks are made for the instructions, though none is run */
	}
	twins = start();
	kind.whole = true;
	kind.legacy = kind.integer = 4;
	assert_int_equal(count_emitted(twins, BLOCK_SSE), 0);
	assert_int_equal(count_emitted(twins, 0), 0);
	assert_true(count_emitted(twins, BLOCK_SSE | BLOCK_AVX) > 10000);
	translated_stop();
	differ_stop(&twins->differ);
	g_free(twins);
}

/* All registers in use around each of many operands in memory, and flags: that fits, too. */
static void test_largest(void **state)
{
	static const uint8_t load[] = {
			0xc5, 0xfc, 0x28, 0x04, 0x0b}; /* vmovaps ymm0, [rbx + rcx] */
	struct twins *twins;
	struct block *block;

	(void)state;
	if (host_lacks_avx()) {
		skip();
	}
	twins = start();
	struct cpu *cpu = twins->differ.fake->cpu;
	cpu->rip = twins->differ.code;
	cpu->sse_native = cpu->avx_native = true;
	block = block_at(cpu);
	for (unsigned reg = 0; reg < 16; reg++) { /* vpcmpeqd ymm, ymm, ymm */
		const uint8_t bytes[] = {0xc4, (uint8_t)(reg & 8 ? 0x41 : 0xe1),
				(uint8_t)((~reg & 15) << 3 | 5), 0x76,
				(uint8_t)(0xc0 | (reg & 7) << 3 | (reg & 7))};
		block_add(block, bytes, sizeof(bytes));
	}
	while (block->count < BLOCK_MAX_INSNS) {
		block_add(block, load, sizeof(load));
	}
	assert_non_null(translate(cpu, block));
	translated_stop();
	differ_stop(&twins->differ);
	g_free(twins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_whole),
			cmocka_unit_test(test_among_sse),
			cmocka_unit_test(test_general),
			cmocka_unit_test(test_unmasked),
			cmocka_unit_test(test_none_emitted),
			cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
