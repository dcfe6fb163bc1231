/* SPDX-License-Identifier: MIT */
/*
 * Blocks with x87 and MMX instructions among others, translated and interpreted: what the host's registers have, when they are
 * brought in and taken out, and the pointers that a guest finds in the saved state.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/translator/twins.h"

#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/translator/shape.h"

#include <string.h>

static uint64_t emitted;

static unsigned x87_insn(struct differ *differ, uint8_t *bytes)
{
	unsigned len = 0;

	if (differ_below(differ, 8) == 0) {
		bytes[len++] = (uint8_t)(0x40 | differ_below(differ, 16));
	}
	bytes[len++] = differ_below(differ, 16) ? (uint8_t)(0xd8 + differ_below(differ, 8)) : 0x9b;
	return len;
}

static unsigned mmx_insn(struct differ *differ, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {0, 0, 0, 0, 0x66, 0xf2, 0xf3};
	unsigned prefix = prefixes[differ_below(differ, sizeof(prefixes))], len = 0;

	if (prefix) {
		bytes[len++] = (uint8_t)prefix;
	}
	if (differ_below(differ, 4) == 0) {
		bytes[len++] = (uint8_t)(0x40 | differ_below(differ, 16));
	}
	bytes[len++] = 0x0f;
	bytes[len++] = (uint8_t)differ_below(differ, 256);
	return len;
}

static unsigned integer_insn(struct differ *differ, uint8_t *bytes)
{
	static const uint8_t choices[][3] = {{0x48, 0x89, 2}, {0x48, 0x8b, 2}, {0x48, 0x11, 2},
			{0x0f, 0x94, 2}, {0xd7, 0, 1}, {0x50, 0, 1}, {0x5e, 0, 1}};
	const uint8_t *choice = choices[differ_below(differ, G_N_ELEMENTS(choices))];

	memcpy(bytes, choice, choice[2]);
	return choice[2];
}

/* What loads a control word may unmask exceptions, and the block ends early. */
static bool loads_control(const struct insn *insn)
{
	unsigned extension = (insn->modrm >> 3) & 7;

	return (insn->insn_class == INSN_CLASS_X87 && insn->is_memory &&
			       ((insn->opcode == 0xd9 && (extension == 4 || extension == 5)) ||
					       (insn->opcode == 0xdd && extension == 4))) ||
	       (insn->map == INSN_MAP_0F && insn->opcode == 0xae);
}

static unsigned random_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	unsigned kind = (unsigned)differ_below(differ, 5);
	unsigned len = kind == 0   ? integer_insn(differ, bytes)
		       : kind == 1 ? mmx_insn(differ, bytes)
				   : x87_insn(differ, bytes);
	unsigned modrm = (unsigned)differ_below(differ, 256);
	struct shape shape;
	struct insn insn;

	modrm = modrm >> 6 == 2 ? modrm ^ 0xc0 : modrm;
	if (modrm < 0xc0 && (modrm & 7) == 4) {
		modrm ^= 1;
	}
	bytes[len] = (uint8_t)modrm;
	for (unsigned i = 1; i < 12; i++) {
		bytes[len + i] = (uint8_t)differ_value(differ);
	}
	if (insn_decode(&insn, INSN_MODE_64, bytes, INSN_MAX_BYTES) != DECODE_OK ||
			insn.opcode != bytes[len - 1] || loads_control(&insn) ||
			insn.insn_class == INSN_CLASS_SYSTEM ||
			(insn.map == INSN_MAP_0F && insn.opcode == 0xc7) || /* RDRAND */
			(insn.flags & INSN_FLAG_ENDS_BLOCK)) {
		return 0;
	}
	if (insn.is_memory && insn.base == INSN_BASE_RIP) {
		uint32_t distance = (uint32_t)(differ_address(differ) - rip - insn.length);
		memcpy(&bytes[len + 1], &distance, sizeof(distance));
	}
	exec_bind(&insn);
	shape_of(&insn, &shape);
	emitted += shape.x87;
	return insn.length;
}

static void test_blocks(void **state)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct differ *differ = &twins->differ;
	struct cpu *cpu;

	(void)state;
	twins_start(twins);
	cpu = differ->fake->cpu;
	twins->alignment = 8;
	twins->x87 = true;
	emitted = 0;
	twins_run(twins, random_insn, 150000);
	/* SSE with exceptions unmasked is called out; x87 is not. */
	cpu->fx.mxcsr = 0;
	cpu->sse_native = false;
	twins_run(twins, random_insn, 10000);
	twins_stop(twins);
	assert_int_equal(differ->differences, 0);
	assert_true(differ->cases > 150000);
	assert_true(differ->cases - differ->faults > 20000);
	assert_true(emitted > 100000);
	g_free(twins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
