/* SPDX-License-Identifier: MIT */
/*
 * What shapes say of instructions against the host CPU: flags and registers that they do not read have no influence on
 * anything, flags that they write are written whatever the operands.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/differ.h"

#include "core/engine/soft/exec.h"
#include "core/engine/soft/translator/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_REPORTS 8

/* What the oracle made of a case. */
struct outcome {
	bool ok;
	struct oracle_state state;
	uint8_t memory[ORACLE_DATA_SIZE];
};

static uint8_t memory_before[ORACLE_DATA_SIZE];
static struct outcome first, second;
static uint64_t claims, described;

static void run(struct differ *differ, const uint8_t *bytes, size_t len,
		const struct oracle_state *before, struct outcome *ret_outcome)
{
	struct oracle_fault fault;

	memcpy(oracle_data(differ->oracle), memory_before, ORACLE_DATA_SIZE);
	ret_outcome->state = *before;
	ret_outcome->ok = oracle_run(differ->oracle, bytes, len, &ret_outcome->state, 0, &fault);
	memcpy(ret_outcome->memory, oracle_data(differ->oracle), ORACLE_DATA_SIZE);
}

static void report(struct differ *differ, const uint8_t *bytes, size_t len, const char *what,
		const struct shape *shape)
{
	if (differ->differences++ >= MAX_REPORTS) {
		return;
	}
	fprintf(stderr, "%s:", what);
	for (size_t i = 0; i < len; i++) {
		fprintf(stderr, " %02x", bytes[i]);
	}
	fprintf(stderr, "; reads %03x, writes %03x; flags %03" PRIx64 " and %03" PRIx64 "\n",
			shape->flags_read, shape->flags_written,
			first.state.rflags & X86_FLAGS_ARITH,
			second.state.rflags & X86_FLAGS_ARITH);
}

/* Other flags that are not read: the same but for these flags themselves. */
static void check_flags(struct differ *differ, const uint8_t *bytes, size_t len,
		const struct oracle_state *before, const struct shape *shape)
{
	struct oracle_state other = *before;
	uint64_t compared = shape->flags_written | (uint64_t)shape->flags_read | X86_FLAG_DF;

	other.rflags ^= X86_FLAGS_ARITH & ~(uint64_t)shape->flags_read;
	run(differ, bytes, len, &other, &second);
	if (first.ok != second.ok || first.state.rip != second.state.rip ||
			memcmp(first.state.regs, second.state.regs, sizeof(other.regs)) != 0 ||
			memcmp(first.memory, second.memory, ORACLE_DATA_SIZE) != 0) {
		report(differ, bytes, len, "depends on flags", shape);
	} else if (first.ok && ((first.state.rflags ^ second.state.rflags) & compared)) {
		report(differ, bytes, len, "flags not written", shape);
	}
	claims++;
}

/* Another value in a register that is written, not read. */
static void check_register(struct differ *differ, const uint8_t *bytes, size_t len,
		const struct oracle_state *before, const struct shape *shape, unsigned reg)
{
	struct oracle_state other = *before;

	other.regs[reg] = differ_random(differ);
	run(differ, bytes, len, &other, &second);
	if (!first.ok || !second.ok) {
		return;
	}
	if (memcmp(first.state.regs, second.state.regs, sizeof(other.regs)) != 0 ||
			memcmp(first.memory, second.memory, ORACLE_DATA_SIZE) != 0 ||
			((first.state.rflags ^ second.state.rflags) & DIFFER_FLAGS)) {
		report(differ, bytes, len, "depends on a register", shape);
	}
	claims++;
}

static bool is_address(const struct insn *insn, unsigned reg)
{
	return insn->is_memory && (insn->base == reg || insn->index == reg);
}

/* The register that modrm.rm is or is part of. */
static unsigned rm_register(const struct insn *insn, const struct shape *shape)
{
	bool high = shape->rm_size == 1 && !(insn->prefixes & INSN_PREFIX_REX);

	return high && insn->rm >= 4 && insn->rm < 8 ? insn->rm - 4u : insn->rm;
}

/* Only writing: 32 and 64 bits, which leave nothing of what was there. */
static bool only_written(unsigned use, unsigned size)
{
	return use == SHAPE_WRITE && size >= 4;
}

static void compare(struct differ *differ, const uint8_t *bytes, size_t len,
		const struct oracle_state *before)
{
	struct shape shape;
	struct insn insn;

	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, len), DECODE_OK);
	exec_bind(&insn);
	shape_of(&insn, &shape);
	differ->cases++;
	if (shape.kind == SHAPE_CALL_OUT) {
		return;
	}
	described++;
	memcpy(memory_before, oracle_data(differ->oracle), ORACLE_DATA_SIZE);
	run(differ, bytes, len, before, &first);
	check_flags(differ, bytes, len, before, &shape);
	if (shape.reg_use && only_written(shape.reg_use, insn.operand_size) &&
			!is_address(&insn, insn.reg) &&
			(insn.is_memory || insn.reg != rm_register(&insn, &shape))) {
		check_register(differ, bytes, len, before, &shape, insn.reg);
	}
	if (!insn.is_memory && only_written(shape.rm_use, shape.rm_size) &&
			!(shape.reg_use && insn.reg == insn.rm)) {
		check_register(differ, bytes, len, before, &shape, insn.rm);
	}
	memcpy(oracle_data(differ->oracle), memory_before, ORACLE_DATA_SIZE);
}

static void try_map(const uint8_t *escape, size_t escape_len)
{
	struct differ differ;

	differ_start(&differ);
	differ.compare = compare;
	claims = described = 0;
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, escape, escape_len, opcode, 2);
	}
	differ_stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(described > 10000);
	assert_true(claims > described);
}

static void test_legacy(void **state)
{
	(void)state;
	try_map((const uint8_t *)"", 0);
}

static void test_0f(void **state)
{
	static const uint8_t escape[] = {0x0f};

	(void)state;
	try_map(escape, sizeof(escape));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_legacy),
			cmocka_unit_test(test_0f),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
