/* SPDX-License-Identifier: MIT */
/* What CPUID says inside a guest of two vCPUs, and inside one with a processor of a model. */
#include "tests/core/engine/kvm/fixture.h"

#include <string.h>

#define ANSWERS_AT (DATA_AT + 0x1000)

struct answer {
	uint32_t eax, ebx, ecx, edx;
};

/* The questions end with leaf UINT32_MAX. */
static void ask(struct machine_fixture *m, const uint32_t (*questions)[2], size_t count,
		struct answer *ret_answers)
{
	load_guest(m, CODE_AT, cpuid);
	write_ram(m, DATA_AT, questions, count * sizeof(*questions));
	enter_long(m);
	engine_start(m->engine);
	expect_done(m);
	assert_true(guest_memory_read(
			m->ram, ANSWERS_AT, ret_answers, count * sizeof(*ret_answers)));
}

static int setup_model(void **state)
{
	return machine_setup_cpu(state, "Nehalem,-popcnt,stepping=5,kvm=off,check=off");
}

static void test_model(void **state)
{
	static const uint32_t questions[][2] = {
			{1, 0},
			{7, 0},
			{0xd, 0},
			{0x80000002, 0},
			{0x40000000, 0},
			{0x80000001, 0},
			{UINT32_MAX, 0},
	};
	struct answer answers[G_N_ELEMENTS(questions)];

	need_hardware(); /* a KVM that emulates may answer CPUID by itself */
	ask(*state, questions, G_N_ELEMENTS(questions), answers);
	assert_int_equal(answers[0].eax, 0x106a5);
	assert_false(answers[0].ecx & BIT(23)); /* POPCNT */
	assert_false(answers[0].ecx & BIT(28)); /* AVX */
	assert_true(answers[0].ecx & BIT(0)); /* SSE3 */
	assert_true(answers[0].ecx & BIT(31)); /* a hypervisor */
	assert_true(answers[0].edx & BIT(26)); /* SSE2 */
	assert_int_equal(answers[1].ebx, 0);
	assert_int_equal(answers[2].eax, 0);
	assert_memory_equal(&answers[3], "Intel Core i7 9x", 16);
	assert_memory_equal(&answers[4].ebx, "OrielOriel\0\0", 12);
	assert_true(answers[5].edx & BIT(29)); /* long mode */
	assert_false(answers[5].edx & BIT(27)); /* RDTSCP */
}

static void test_leaves(void **state)
{
	struct machine_fixture *m = *state;
	const uint32_t questions[][2] = {
			{1, 0},
			{0x40000000, 0},
			{0x40000010, 0},
			{0xb, 0},
			{0xb, 1},
			{0xb, 2},
			{0, 0},
			{UINT32_MAX, 0},
	};
	struct answer answers[G_N_ELEMENTS(questions)];

	ask(m, questions, G_N_ELEMENTS(questions), answers);
	assert_int_equal(answers[0].ebx >> 16, 0x0002); /* APIC id 0 of two */
	assert_true(answers[0].ecx & BIT(31)); /* a hypervisor */
	assert_true(answers[0].ecx & BIT(21)); /* x2APIC */
	assert_true(answers[0].ecx & BIT(24)); /* TSC deadline */
	assert_true(answers[0].edx & BIT(28)); /* more than one */
	assert_memory_equal(&answers[1].ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(answers[1].eax, 0x40000010);
	assert_int_equal(answers[2].ebx, 1000000);
	if (answers[6].eax >= 0xb) {
		assert_int_equal(answers[3].eax, 0);
		assert_int_equal(answers[3].ebx, 1);
		assert_int_equal(answers[3].ecx, 0x100);
		assert_int_equal(answers[4].eax, 1);
		assert_int_equal(answers[4].ebx, 2);
		assert_int_equal(answers[4].ecx, 0x201);
		assert_int_equal(answers[5].ebx, 0);
	}
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(
					test_leaves, machine_setup_two, machine_teardown),
			cmocka_unit_test_setup_teardown(test_model, setup_model, machine_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_tests_with_kvm(run);
}
