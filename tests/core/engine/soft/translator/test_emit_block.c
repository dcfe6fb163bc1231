/* SPDX-License-Identifier: MIT */
/*
 * Translated instructions against the host CPU and against the interpreter: alone and in the middle of blocks, with and
 * without the TLB's help, with every register in every role.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/translator/twins.h"

#include <string.h>

/* struct differ's execute(). */
static bool execute_translated(struct differ *differ, const uint8_t *bytes, size_t len)
{
	struct cpu *cpu = differ->fake->cpu;
	struct block *block = block_at(cpu);
	const uint8_t *entry;

	block_add(block, bytes, len);
	differ->fault_flags = lost_flags(block, 0);
	entry = translate(cpu, block);
	if (!entry) {
		return fake_machine_execute(differ->fake, bytes, len);
	}
	return run_translation(cpu, entry, BLOCK_ENTRY_FAR);
}

static void start(struct differ *differ)
{
	differ_start(differ);
	translated_start(differ->fake->cpu);
	differ->execute = execute_translated;
}

static void stop(struct differ *differ)
{
	differ_stop(differ);
	translated_stop();
}

static void test_legacy(void **state)
{
	struct differ differ;

	(void)state;
	start(&differ);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, (const uint8_t *)"", 0, opcode, 4);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 100000);
	assert_true(differ.faults > 10000);
	assert_true(translated_blocks() > 100000);
}

static void test_0f(void **state)
{
	static const uint8_t escape[] = {0x0f};
	struct differ differ;

	(void)state;
	start(&differ);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, escape, sizeof(escape), opcode, 4);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 50000);
}

/* Each ModRM with each REX, and what follows it at random. */
static void try_operands(struct differ *differ, const uint8_t *opcode, size_t opcode_len)
{
	for (unsigned rex = 0x3f; rex <= 0x4f; rex++) {
		for (unsigned modrm = 0; modrm < 256; modrm++) {
			uint8_t bytes[8];
			size_t len = 0;
			if (rex >= 0x40) {
				bytes[len++] = (uint8_t)rex;
			}
			memcpy(&bytes[len], opcode, opcode_len);
			len += opcode_len;
			bytes[len] = (uint8_t)modrm;
			differ_try(differ, bytes, len, len + 1);
		}
	}
}

static void test_operands_legacy(void **state)
{
	static const uint8_t opcodes[] = {0x00, 0x03, 0x0b, 0x11, 0x18, 0x22, 0x29, 0x38, 0x63,
			0x69, 0x6b, 0x80, 0x81, 0x83, 0x84, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b,
			0x8d, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd1, 0xd3, 0xf6, 0xf7, 0xfe, 0xff};
	struct differ differ;

	(void)state;
	start(&differ);
	for (size_t i = 0; i < G_N_ELEMENTS(opcodes); i++) {
		try_operands(&differ, &opcodes[i], 1);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 90000);
}

static void test_operands_0f(void **state)
{
	static const uint8_t opcodes[] = {0x44, 0x94, 0xa3, 0xa4, 0xa5, 0xab, 0xaf, 0xb0, 0xb1,
			0xb6, 0xb7, 0xba, 0xbc, 0xbe, 0xbf, 0xc0, 0xc1, 0xc8, 0xcd};
	struct differ differ;

	(void)state;
	start(&differ);
	for (size_t i = 0; i < G_N_ELEMENTS(opcodes); i++) {
		const uint8_t opcode[] = {0x0f, opcodes[i]};
		try_operands(&differ, opcode, sizeof(opcode));
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 50000);
}

/* Each base, index and scale. */
static void test_addresses(void **state)
{
	struct differ differ;

	(void)state;
	start(&differ);
	for (unsigned i = 0; i < 17u * 3 * 256; i++) {
		uint8_t bytes[4] = {(uint8_t)(0x3f + i % 17), i & 1 ? 0x8b : 0x89,
				(uint8_t)((i / 17 % 3) << 6 | differ_below(&differ, 8) << 3 | 4),
				(uint8_t)(i / 51)};
		bool rex = bytes[0] >= 0x40;
		differ_try(&differ, rex ? bytes : bytes + 1, rex ? 2 : 1, rex ? 4 : 3);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 10000);
}

/* An instruction that more often than not does something; its length, or 0. */
static unsigned random_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x67, 0x2e};
	struct insn insn;
	unsigned len = 0;

	if (differ_below(differ, 4) == 0) {
		bytes[len++] = prefixes[differ_below(differ, sizeof(prefixes))];
	}
	if (differ_below(differ, 2)) {
		bytes[len++] = (uint8_t)(0x40 | differ_below(differ, 16));
	}
	if (differ_below(differ, 3) == 0) {
		bytes[len++] = 0x0f;
	}
	bytes[len++] = (uint8_t)differ_below(differ, 256);
	unsigned modrm = (unsigned)differ_below(differ, 256);
	/* Addresses with at most a short displacement; few indexes. */
	if (modrm >> 6 == 2) {
		modrm ^= 0xc0;
	}
	bytes[len++] = (uint8_t)modrm;
	for (unsigned i = 0; i < 12; i++) {
		bytes[len + i] = (uint8_t)differ_value(differ);
	}
	if (modrm < 0xc0 && (modrm & 7) == 4 && differ_below(differ, 4)) {
		bytes[len] = (uint8_t)((bytes[len] & 0xc7) | 0x20);
	}
	/* Prefixes among the opcodes have moved everything. */
	if (insn_decode(&insn, INSN_MODE_64, bytes, INSN_MAX_BYTES) != DECODE_OK ||
			insn.opcode != bytes[len - 2] || insn.map > INSN_MAP_0F ||
			insn.insn_class != INSN_CLASS_INTEGER ||
			(insn.map == INSN_MAP_0F && insn.opcode == 0xc7 && !insn.is_memory)) {
		return 0;
	}
	if (insn.is_memory && insn.base == INSN_BASE_RIP) {
		uint32_t distance = (uint32_t)(differ_address(differ) - rip - insn.length);
		memcpy(&bytes[len], &distance, sizeof(distance));
	}
	return insn.length;
}

static void test_blocks(void **state)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct differ *differ = &twins->differ;

	(void)state;
	twins_start(twins);
	twins_run(twins, random_insn, 60000);
	twins_stop(twins);
	assert_int_equal(differ->differences, 0);
	assert_true(differ->cases > 50000);
	assert_true(differ->faults > 1000);
	assert_true(differ->cases - differ->faults > 10000);
	g_free(twins);
}

/* Registers that much of this goes through: rax, rbx, rsp, rbp, r13. */
static unsigned few(struct differ *differ)
{
	static const uint8_t regs[] = {X86_RAX, X86_RBX, X86_RSP, X86_RBP, X86_R13};

	return regs[differ_below(differ, sizeof(regs))];
}

/* opcode reg, [base + disp8], or with registers only. */
static unsigned with_modrm(uint8_t *bytes, uint8_t opcode, unsigned reg, unsigned rm, int disp)
{
	unsigned len = 0;

	bytes[len++] = (uint8_t)(0x48 | (reg >> 3) << 2 | rm >> 3);
	bytes[len++] = opcode;
	bytes[len++] = (uint8_t)((disp ? 0x40 : 0xc0) | (reg & 7) << 3 | (rm & 7));
	if (disp && (rm & 7) == 4) {
		bytes[len++] = 0x24;
	}
	if (disp) {
		bytes[len++] = (uint8_t)disp;
	}
	return len;
}

static unsigned push_or_pop(struct differ *differ, uint8_t *bytes)
{
	unsigned reg = (unsigned)differ_below(differ, 16);

	bytes[0] = (uint8_t)(0x40 | reg >> 3);
	bytes[1] = (uint8_t)((differ_below(differ, 2) ? 0x50 : 0x58) | (reg & 7));
	return 2;
}

/* What moves registers: LEA, ADD and SUB, MOV, and what writes some without naming them. */
static unsigned mover(struct differ *differ, uint8_t *bytes, unsigned a, unsigned b, int disp)
{
	static const uint8_t opcodes[] = {0x89, 0x8b, 0x01, 0x31, 0x85, 0x11};
	unsigned len = 3;

	switch (differ_below(differ, 6)) {
	case 0:
		return with_modrm(bytes, 0x8d, a, b, disp);
	case 1:
		(void)with_modrm(bytes, 0x83, differ_below(differ, 2) ? 5 : 0, a, 0);
		bytes[len++] = (uint8_t)disp;
		return len;
	case 2:
		return with_modrm(bytes, 0xf7, 4, b, 0); /* mul */
	case 3:
		if (differ_below(differ, 2)) {
			memcpy(bytes, "\x48\x0f\xc7\x4b\x10", 5); /* cmpxchg16b [rbx + 16] */
			return 5;
		}
		memcpy(bytes, "\x48\x0f\xb1\xd9", 4); /* cmpxchg rcx, rbx */
		return 4;
	case 4:
		bytes[0] = 0xc9; /* leave */
		return 1;
	default:
		return with_modrm(bytes, opcodes[differ_below(differ, sizeof(opcodes))], a, b, 0);
	}
}

/* What looks into the TLB are merged over: stack frames and structures, with registers that move about between. */
static unsigned near_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	static const uint8_t opcodes[] = {0x89, 0x8b, 0x8b, 0x01, 0x03, 0x39, 0x63, 0x11, 0x88};
	unsigned a = few(differ), b = few(differ), any = (unsigned)differ_below(differ, 16);
	int disp = (int)differ_below(differ, 127) - 63;

	(void)rip;
	disp = disp ? disp : 8;
	switch (differ_below(differ, 4)) {
	case 0:
		return push_or_pop(differ, bytes);
	case 1:
		return mover(differ, bytes, a, b, disp);
	default:
		return with_modrm(bytes, opcodes[differ_below(differ, sizeof(opcodes))], any,
				differ_below(differ, 8) ? a : any, disp);
	}
}

static void test_near_blocks(void **state)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct differ *differ = &twins->differ;

	(void)state;
	twins_start(twins);
	twins->addresses = true;
	twins_run(twins, near_insn, 100000);
	twins_stop(twins);
	assert_int_equal(differ->differences, 0);
	assert_true(differ->cases > 90000);
	assert_true(differ->cases - differ->faults > 20000);
	g_free(twins);
}

/* Flags that wait while several looks into the TLB are made: writers, readers, and mostly loads and stores between them. */
static unsigned waiting_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	static const uint8_t writers[] = {0x01, 0x29, 0x31, 0x39, 0x85};
	static const uint8_t readers[] = {0x11, 0x19};
	unsigned a = (unsigned)differ_below(differ, 16), b = (unsigned)differ_below(differ, 16);
	int disp = (int)differ_below(differ, 64) - 32;

	(void)rip;
	switch (differ_below(differ, 8)) {
	case 0:
		return with_modrm(bytes, writers[differ_below(differ, sizeof(writers))], a, b, 0);
	case 1:
		return with_modrm(bytes, 0xff, differ_below(differ, 2), a, 0); /* inc, dec */
	case 2:
		return with_modrm(bytes, readers[differ_below(differ, 2)], a, b, 0);
	case 3:
		memcpy(bytes, "\x0f\x40\xc1", 3); /* cmovcc eax, ecx */
		bytes[1] |= (uint8_t)differ_below(differ, 16);
		return 3;
	case 4:
		return push_or_pop(differ, bytes);
	default:
		return with_modrm(bytes, differ_below(differ, 2) ? 0x89 : 0x8b, a, b,
				disp ? disp : 8);
	}
}

static void test_waiting_flags(void **state)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct differ *differ = &twins->differ;

	(void)state;
	twins_start(twins);
	twins->addresses = true;
	twins_run(twins, waiting_insn, 60000);
	twins_stop(twins);
	assert_int_equal(differ->differences, 0);
	assert_true(differ->cases > 50000);
	assert_true(differ->cases - differ->faults > 10000);
	g_free(twins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_legacy),
			cmocka_unit_test(test_0f),
			cmocka_unit_test(test_operands_legacy),
			cmocka_unit_test(test_operands_0f),
			cmocka_unit_test(test_addresses),
			cmocka_unit_test(test_blocks),
			cmocka_unit_test(test_near_blocks),
			cmocka_unit_test(test_waiting_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
