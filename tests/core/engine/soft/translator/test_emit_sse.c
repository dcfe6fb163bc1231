/* SPDX-License-Identifier: MIT */
/*
 * Blocks with vector instructions, translated and interpreted: XMM registers that are loaded and stored around whatever
 * leaves the translation, MXCSR, alignment.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/translator/twins.h"

#include "core/engine/soft/fpu.h"
#include "core/engine/soft/translator/shape.h"

#include <string.h>

#define MXCSR_ROUNDING_SHIFT 13

static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};
static uint64_t emitted;

/* Among them instructions on general registers, stores and loads of theirs, and some that are called out. */
static unsigned integer_insn(struct differ *differ, uint8_t *bytes)
{
	static const uint8_t choices[][3] = {{0x48, 0x89, 2}, {0x48, 0x8b, 2}, {0x48, 0x01, 2},
			{0x48, 0x11, 2}, {0x0f, 0xb6, 2}, {0x0f, 0xb1, 2}, {0xd7, 0, 1},
			{0x9f, 0, 1}, {0xaa, 0, 1}, {0x56, 0, 1}, {0x5e, 0, 1}};
	const uint8_t *choice = choices[differ_below(differ, G_N_ELEMENTS(choices))];

	memcpy(bytes, choice, choice[2]);
	return choice[2];
}

static unsigned vector_insn(struct differ *differ, uint8_t *bytes)
{
	unsigned prefix = prefixes[differ_below(differ, 4)], len = 0;

	if (differ_below(differ, 8) == 0) {
		bytes[len++] = 0x67; /* called out if it names memory */
	}
	if (prefix) {
		bytes[len++] = (uint8_t)prefix;
	}
	if (differ_below(differ, 2)) {
		bytes[len++] = (uint8_t)(0x40 | differ_below(differ, 16));
	}
	bytes[len++] = 0x0f;
	if (differ_below(differ, 8) == 0) {
		bytes[len++] = differ_below(differ, 2) ? 0x38 : 0x3a;
	}
	bytes[len++] = (uint8_t)differ_below(differ, 256);
	return len;
}

/* Addresses are those of registers, with displacements that keep their alignment more often than not. */
static unsigned random_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	bool vector = differ_below(differ, 4);
	unsigned len = vector ? vector_insn(differ, bytes) : integer_insn(differ, bytes);
	unsigned modrm = (unsigned)differ_below(differ, 256);
	struct shape shape;
	struct insn insn;

	modrm = modrm >> 6 == 2 ? modrm ^ 0xc0 : modrm;
	if (modrm < 0xc0 && (modrm & 7) == 4) {
		modrm ^= 1;
	}
	if (differ_below(differ, 2)) {
		modrm = (modrm & 0x38) | 0x43; /* [rbx + disp8]: near the others */
	}
	bytes[len] = (uint8_t)modrm;
	for (unsigned i = 1; i < 12; i++) {
		bytes[len + i] = (uint8_t)differ_value(differ);
	}
	if (differ_below(differ, 16)) {
		bytes[len + 1] &= 0xf0;
	}
	if (insn_decode(&insn, INSN_MODE_64, bytes, INSN_MAX_BYTES) != DECODE_OK ||
			insn.opcode != bytes[len - 1] ||
			insn.opcode == 0xae || /* LDMXCSR may end translated code */
			insn.insn_class != (vector ? INSN_CLASS_SSE : INSN_CLASS_INTEGER)) {
		return 0;
	}
	if (insn.is_memory && insn.base == INSN_BASE_RIP) {
		uint32_t distance = (uint32_t)(differ_address(differ) - rip - insn.length);
		memcpy(&bytes[len + 1], &distance, sizeof(distance));
	}
	shape_of(&insn, &shape);
	emitted += vector && shape.kind != SHAPE_CALL_OUT;
	return insn.length;
}

static void run(struct twins *twins, uint32_t mxcsr, bool native, unsigned blocks)
{
	struct cpu *cpu = twins->differ.fake->cpu;

	cpu->fx.mxcsr = mxcsr;
	cpu->sse_native = native;
	twins_run(twins, random_insn, blocks);
}

static void test_blocks(void **state)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct differ *differ = &twins->differ;

	(void)state;
	twins_start(twins);
	twins->alignment = 16;
	emitted = 0;
	for (uint32_t rounding = 0; rounding < 4; rounding++) {
		run(twins, MXCSR_INIT | rounding << MXCSR_ROUNDING_SHIFT, true, 10000);
	}
	/* Exceptions not masked: everything is called out. */
	run(twins, 0, false, 5000);
	twins_stop(twins);
	assert_int_equal(differ->differences, 0);
	assert_true(differ->cases > 40000);
	assert_true(differ->cases - differ->faults > 5000);
	assert_true(emitted > 30000);
	g_free(twins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
