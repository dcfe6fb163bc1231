/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/control/gdb_regs.h"

#include <stdlib.h>
#include <string.h>

#define RIP 16
#define EFLAGS 17
#define GS 23
#define ST0 24
#define CR0 59
#define EFER 64

static struct x86_state some_state(void)
{
	struct x86_state state = {
			.rip = UINT64_C(0xffffffff81000123),
			.rflags = 0x246,
			.cr0 = 0x80050033,
			.efer = 0xd01,
	};

	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		state.regs[i] = UINT64_C(0x0123456789abcd00) + i;
	}
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		state.seg[i].selector = (uint16_t)(8 * i + 3);
		state.seg[i].base = UINT64_C(0x7f0000000000) + i;
	}
	return state;
}

static char *value_of(const struct x86_state *state, unsigned number)
{
	GString *text = g_string_new(NULL);

	assert_true(gdb_regs_append(state, number, text));
	return g_string_free(text, FALSE);
}

static void test_values(void **unused)
{
	static const struct {
		unsigned number;
		const char *value;
	} expected[] = {
			{0, "00cdab8967452301"}, /* rax */
			{1, "03cdab8967452301"}, /* rbx, which the processor numbers 3 */
			{6, "05cdab8967452301"}, /* rbp */
			{RIP, "23010081ffffffff"},
			{EFLAGS, "46020000"},
			{GS, "2b000000"},
			{ST0, "xxxxxxxxxxxxxxxxxxxx"},
			{58, "05000000007f0000"}, /* gs_base */
			{CR0, "3300058000000000"},
			{EFER, "010d000000000000"},
	};
	const struct x86_state state = some_state();
	g_autoptr(GString) none = g_string_new(NULL);
	(void)unused;

	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
		g_autofree char *value = value_of(&state, expected[i].number);
		assert_string_equal(value, expected[i].value);
	}
	assert_false(gdb_regs_append(&state, EFER + 1, none));
	assert_false(gdb_regs_append(&state, UINT_MAX, none));
	assert_int_equal(none->len, 0);
}

/* What is read can be written; what is described has the length of what is read. */
static void test_round_trip(void **unused)
{
	const struct x86_state state = some_state();
	struct x86_state copy = {0};
	g_autoptr(GString) all = g_string_new(NULL), again = g_string_new(NULL);
	g_autofree char *description = gdb_regs_description();
	size_t bits = 0;
	(void)unused;

	gdb_regs_append_all(&state, all);
	assert_true(gdb_regs_set_all(&copy, all->str));
	gdb_regs_append_all(&copy, again);
	assert_string_equal(all->str, again->str);
	assert_memory_equal(copy.regs, state.regs, sizeof(copy.regs));
	assert_int_equal(copy.seg[X86_FS].base, state.seg[X86_FS].base);

	for (const char *c = description; (c = strstr(c, "bitsize=\"")); c++) {
		bits += strtoul(c + strlen("bitsize=\""), NULL, 10);
	}
	assert_int_equal(all->len, bits / 4);
}

/* Nothing changes when something is wrong. */
static void test_bad_values(void **unused)
{
	struct x86_state state = some_state();
	g_autoptr(GString) all = g_string_new(NULL);
	(void)unused;

	gdb_regs_append_all(&state, all);
	memset(all->str, '0', 16);
	all->str[all->len - 1] = 'z';
	assert_false(gdb_regs_set_all(&state, all->str));
	g_string_truncate(all, all->len - 2);
	assert_false(gdb_regs_set_all(&state, all->str));
	assert_false(gdb_regs_set_all(&state, ""));
	assert_int_equal(state.regs[X86_RAX], UINT64_C(0x0123456789abcd00));

	const char *text = "0011";
	assert_false(gdb_regs_set(&state, RIP, &text));
	text = "0000000000000000";
	assert_false(gdb_regs_set(&state, EFER + 1, &text));
	assert_true(gdb_regs_set(&state, RIP, &text));
	assert_int_equal(state.rip, 0);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_values),
			cmocka_unit_test(test_round_trip),
			cmocka_unit_test(test_bad_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
