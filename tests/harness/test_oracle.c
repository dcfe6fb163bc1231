/* SPDX-License-Identifier: MIT */
#include "tests/harness/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define RUN(oracle, state, flags, fault, ...) \
	oracle_run((oracle), (const uint8_t[]){__VA_ARGS__}, \
			sizeof((const uint8_t[]){__VA_ARGS__}), (state), (flags), (fault))

/*
 * In each test, not in a set-up function: cmocka takes the signals into its own hands around every test and fixture.
 */
static struct oracle *open_oracle(void)
{
	g_autoptr(GError) error = NULL;
	struct oracle *oracle = oracle_create(&error);

	assert_non_null(oracle);
	return oracle;
}

/* Every register distinct, so that a mix-up shows. */
static void distinct(struct oracle_state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		state->regs[i] = 0x0101010101010101u * (i + 1);
	}
	state->fx.fcw = 0x37f;
	state->fx.mxcsr = 0x1f80;
	for (unsigned i = 0; i < 16; i++) {
		memset(state->fx.xmm[i], (int)i + 0x40, 16);
	}
}

static void test_registers_pass_through(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state, before;
	struct oracle_fault fault;

	(void)data;
	distinct(&state);
	state.rflags = X86_FLAG_CF | X86_FLAG_DF | X86_FLAG_OF;
	before = state;
	assert_true(RUN(oracle, &state, ORACLE_FX, &fault, 0x90));
	assert_int_equal(fault.vector, ORACLE_NO_FAULT);
	assert_memory_equal(state.regs, before.regs, sizeof(state.regs));
	assert_memory_equal(state.fx.xmm, before.fx.xmm, sizeof(state.fx.xmm));
	assert_int_equal(state.fx.mxcsr, 0x1f80);
	assert_int_equal(state.rflags, X86_FLAG_CF | X86_FLAG_DF | X86_FLAG_OF | X86_FLAG_FIXED);
	assert_int_equal(state.rip, oracle_code_address(oracle) + 1);
	oracle_destroy(oracle);
}

static void test_arithmetic(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state;
	struct oracle_fault fault;

	(void)data;
	distinct(&state);
	state.regs[X86_RSP] = UINT64_MAX;
	state.regs[X86_R15] = 1;
	assert_true(RUN(oracle, &state, 0, &fault, 0x4c, 0x01, 0xfc)); /* add rsp, r15 */
	assert_int_equal(state.regs[X86_RSP], 0);
	assert_int_equal(state.rflags,
			X86_FLAG_FIXED | X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF);
	assert_int_equal(state.regs[X86_R15], 1);
	oracle_destroy(oracle);
}

static void test_xmm_and_mxcsr(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state;
	struct oracle_fault fault;
	const double one = 1.0, three = 3.0;

	(void)data;
	distinct(&state);
	memcpy(state.fx.xmm[9], &one, 8);
	memcpy(state.fx.xmm[3], &three, 8);
	/* divsd xmm9, xmm3 */
	assert_true(RUN(oracle, &state, ORACLE_FX, &fault, 0xf2, 0x44, 0x0f, 0x5e, 0xcb));
	assert_int_equal(state.fx.mxcsr, 0x1fa0);
	assert_memory_equal(state.fx.xmm[9], &(const double){1.0 / 3.0}, 8);
	state.fx.mxcsr = 0x0f80; /* precision unmasked */
	memcpy(state.fx.xmm[9], &one, 8);
	assert_false(RUN(oracle, &state, ORACLE_FX, &fault, 0xf2, 0x44, 0x0f, 0x5e, 0xcb));
	assert_int_equal(fault.vector, X86_VECTOR_XM);
	assert_int_equal(state.fx.mxcsr, 0x0fa0);
	assert_memory_equal(state.fx.xmm[9], &one, 8);
	assert_int_equal(state.rip, oracle_code_address(oracle));
	oracle_destroy(oracle);
}

static void test_x87(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state;
	struct oracle_fault fault;
	const long double one = 1.0L;

	(void)data;
	distinct(&state);
	assert_true(RUN(oracle, &state, ORACLE_FX, &fault, 0xd9, 0xe8)); /* fld1 */
	assert_int_equal(state.fx.ftw, 0x80);
	assert_memory_equal(state.fx.st[0], &one, 10);
	state.fx.fcw = 0x360; /* everything unmasked */
	state.fx.fsw = 0x3800 | 0x8081; /* an exception pends */
	assert_false(RUN(oracle, &state, ORACLE_FX, &fault, 0xd9, 0xe8));
	assert_int_equal(fault.vector, X86_VECTOR_MF);
	/* The host survives with its own control words. */
	assert_true((volatile long double){1.0L} / (volatile long double){3.0L} > 0.3L);
	oracle_destroy(oracle);
}

static void test_memory_and_page_faults(void **data)
{
	struct oracle *oracle = open_oracle();
	uint8_t *alias = oracle_data(oracle);
	uint64_t base = oracle_data_address(oracle);
	struct oracle_state state;
	struct oracle_fault fault;
	const uint64_t value = 0x1122334455667788;

	(void)data;
	memset(alias, 0, ORACLE_DATA_SIZE);
	distinct(&state);
	/* mov [rax], rcx across two read-write pages */
	state.regs[X86_RAX] = base + ORACLE_PAGE_SIZE - 3;
	state.regs[X86_RCX] = value;
	assert_true(RUN(oracle, &state, 0, &fault, 0x48, 0x89, 0x08));
	assert_memory_equal(alias + ORACLE_PAGE_SIZE - 3, &value, 8);
	/* into the read-only page */
	state.regs[X86_RAX] = base + ORACLE_PAGE_RO * ORACLE_PAGE_SIZE - 3;
	assert_false(RUN(oracle, &state, 0, &fault, 0x48, 0x89, 0x08));
	assert_int_equal(fault.vector, X86_VECTOR_PF);
	assert_int_equal(fault.error, X86_PF_PRESENT | X86_PF_WRITE | X86_PF_USER);
	assert_int_equal(fault.address, base + ORACLE_PAGE_RO * ORACLE_PAGE_SIZE);
	assert_int_equal(alias[ORACLE_PAGE_RO * ORACLE_PAGE_SIZE - 1], 0);
	/* mov rcx, [rax] across the edge of the absent page */
	state.regs[X86_RAX] = base + ORACLE_PAGE_ABSENT1 * ORACLE_PAGE_SIZE - 1;
	assert_false(RUN(oracle, &state, 0, &fault, 0x48, 0x8b, 0x08));
	assert_int_equal(fault.vector, X86_VECTOR_PF);
	assert_int_equal(fault.error, X86_PF_USER);
	assert_int_equal(fault.address, base + ORACLE_PAGE_ABSENT1 * ORACLE_PAGE_SIZE);
	assert_int_equal(state.regs[X86_RCX], value);
	oracle_destroy(oracle);
}

static const struct {
	const char *name;
	uint8_t bytes[ORACLE_MAX_INSN];
	size_t len;
	uint64_t rax, rsp;
	uint8_t vector;
} faults[] = {
		{"div by zero", {0xf7, 0xf0}, 2, 0, 1, X86_VECTOR_DE},
		{"int3", {0xcc}, 1, 0, 0, X86_VECTOR_BP},
		{"ud2", {0x0f, 0x0b}, 2, 0, 0, X86_VECTOR_UD},
		{"hlt", {0xf4}, 1, 0, 0, X86_VECTOR_GP},
		{"non-canonical data", {0x8b, 0x00}, 2, UINT64_C(1) << 62, 0, X86_VECTOR_GP},
		{"non-canonical stack", {0x50}, 1, 0, UINT64_C(1) << 62, X86_VECTOR_SS},
		{"misaligned movaps", {0x0f, 0x28, 0x00}, 3, 1, 0, X86_VECTOR_GP},
		{"null", {0x8b, 0x00}, 2, 8, 0, X86_VECTOR_PF},
};

static void test_faults(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state;
	struct oracle_fault fault;

	(void)data;
	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
		distinct(&state);
		state.regs[X86_RAX] = faults[i].rax;
		state.regs[X86_RSP] = faults[i].rsp;
		if (oracle_run(oracle, faults[i].bytes, faults[i].len, &state, 0, &fault) ||
				fault.vector != faults[i].vector) {
			fail_msg("%s: vector %u", faults[i].name, fault.vector);
		}
		assert_int_equal(state.regs[X86_RAX], faults[i].rax);
		assert_int_equal(state.regs[X86_RSP], faults[i].rsp);
		assert_int_equal(state.regs[X86_R15], 0x1010101010101010);
	}
	oracle_destroy(oracle);
}

static void test_branches(void **data)
{
	struct oracle *oracle = open_oracle();
	uint64_t code = oracle_code_address(oracle);
	struct oracle_state state;
	struct oracle_fault fault;

	(void)data;
	distinct(&state);
	assert_true(RUN(oracle, &state, 0, &fault, 0xeb, 0x40)); /* jmp +0x40 */
	assert_int_equal(state.rip, code + 0x42);
	assert_true(RUN(oracle, &state, 0, &fault, 0xeb, 0x80)); /* jmp -0x80 */
	assert_int_equal(state.rip, code + 2 - 0x80);
	distinct(&state);
	assert_true(RUN(oracle, &state, 0, &fault, 0x74, 0x40)); /* jz +0x40, not taken */
	assert_int_equal(state.rip, code + 2);
	state.regs[X86_RSP] = oracle_data_address(oracle) + 64;
	assert_true(RUN(oracle, &state, 0, &fault, 0xe8, 0x00, 0x01, 0x00, 0x00)); /* call */
	assert_int_equal(state.rip, code + 5 + 0x100);
	assert_memory_equal(oracle_data(oracle) + 56, &(const uint64_t){code + 5}, 8);
	oracle_destroy(oracle);
}

static void test_gs_base(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state;
	struct oracle_fault fault;

	(void)data;
	distinct(&state);
	memset(oracle_data(oracle), 0x5a, 64);
	assert_true(oracle_set_gs_base(oracle, oracle_data_address(oracle)));
	state.regs[X86_RAX] = 16;
	assert_true(RUN(oracle, &state, 0, &fault, 0x65, 0x8b, 0x08)); /* mov ecx, gs:[rax] */
	assert_int_equal(state.regs[X86_RCX], 0x5a5a5a5a);
	assert_true(oracle_set_gs_base(oracle, 0));
	oracle_destroy(oracle);
}

/* Instructions of every length in turn: nothing of the one before is left behind. */
static void test_lengths(void **data)
{
	struct oracle *oracle = open_oracle();
	struct oracle_state state;
	struct oracle_fault fault;

	(void)data;
	for (unsigned round = 0; round < 200; round++) {
		uint8_t bytes[ORACLE_MAX_INSN];
		size_t len = (round * 7) % ORACLE_MAX_INSN + 1;
		memset(bytes, 0x66, sizeof(bytes));
		bytes[len - 1] = 0x90;
		distinct(&state);
		assert_true(oracle_run(oracle, bytes, len, &state, 0, &fault));
		assert_int_equal(state.rip, oracle_code_address(oracle) + len);
		assert_int_equal(state.regs[X86_R8], 0x0909090909090909);
	}
	oracle_destroy(oracle);
}

static void test_32bit(void **data)
{
	struct oracle *oracle = open_oracle();
	uint64_t code = oracle_code_address(oracle), base = oracle_data_address(oracle);
	struct oracle_state state;
	struct oracle_fault fault;

	(void)data;
	distinct(&state);
	state.regs[X86_RAX] = 0xffffffff0000000f;
	assert_true(RUN(oracle, &state, ORACLE_32BIT, &fault, 0x27)); /* daa */
	assert_int_equal(state.regs[X86_RAX], 0x15);
	assert_int_equal(state.rflags & X86_FLAG_AF, X86_FLAG_AF);
	assert_int_equal(state.regs[X86_RCX], 0x02020202);
	assert_int_equal(state.regs[X86_R9], 0);
	assert_int_equal(state.rip, code + 1);
	assert_true(RUN(oracle, &state, ORACLE_32BIT, &fault, 0x40)); /* inc eax */
	assert_int_equal(state.regs[X86_RAX], 0x16);
	assert_true(RUN(oracle, &state, ORACLE_32BIT, &fault, 0xeb, 0x40)); /* jmp +0x40 */
	assert_int_equal(state.rip, code + 0x42);
	state.regs[X86_RSP] = base + 64;
	assert_true(RUN(oracle, &state, ORACLE_32BIT | ORACLE_FX, &fault, 0x60)); /* pusha */
	assert_int_equal(state.regs[X86_RSP], base + 32);
	assert_int_equal(oracle_data(oracle)[32 + 24], 0x02); /* ecx */
	state.regs[X86_RSP] = base + ORACLE_PAGE_RO * ORACLE_PAGE_SIZE + 16;
	assert_false(RUN(oracle, &state, ORACLE_32BIT, &fault, 0x60));
	assert_int_equal(fault.vector, X86_VECTOR_PF);
	assert_int_equal(state.rip, code);
	assert_false(RUN(oracle, &state, ORACLE_32BIT, &fault, 0xd4, 0x00)); /* aam 0 */
	assert_int_equal(fault.vector, X86_VECTOR_DE);
	state.regs[X86_RBP] = 7;
	assert_true(RUN(oracle, &state, 0, &fault, 0x4c, 0x89,
			0xed)); /* mov rbp, r13: 64-bit again */
	assert_int_equal(state.regs[X86_RBP], 0);
	oracle_destroy(oracle);
}

static void test_two_in_turn(void **data)
{
	struct oracle_state state;
	struct oracle_fault fault;
	struct oracle *oracle;

	(void)data;
	for (unsigned i = 0; i < 2; i++) {
		oracle = oracle_create(NULL);
		assert_non_null(oracle);
		distinct(&state);
		assert_false(RUN(oracle, &state, 0, &fault, 0x0f, 0x0b));
		oracle_destroy(oracle);
	}
	oracle_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_registers_pass_through),
			cmocka_unit_test(test_arithmetic),
			cmocka_unit_test(test_xmm_and_mxcsr),
			cmocka_unit_test(test_x87),
			cmocka_unit_test(test_memory_and_page_faults),
			cmocka_unit_test(test_faults),
			cmocka_unit_test(test_branches),
			cmocka_unit_test(test_gs_base),
			cmocka_unit_test(test_lengths),
			cmocka_unit_test(test_32bit),
			cmocka_unit_test(test_two_in_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
