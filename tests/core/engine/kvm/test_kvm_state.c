/* SPDX-License-Identifier: MIT */
/* Registers read and written from outside, and what the debugger needs. */
#include "tests/core/engine/kvm/fixture.h"

#include <cpuid.h>
#include <string.h>

/* Every register that is written is read back. */
static void test_round_trip(void **state)
{
	struct machine_fixture *m = *state;
	struct vcpu *vcpu = m->engine->vcpus[0];
	struct x86_state written, read;

	enter_long(m);
	vcpu_get_state(vcpu, &written);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		written.regs[i] = UINT64_C(0x1122334455667700) + i;
	}
	written.rip = UINT64_C(0xffffffff81000000);
	written.rflags = X86_FLAG_FIXED | X86_FLAG_CF | X86_FLAG_OF | X86_FLAG_IF;
	written.seg[X86_FS].base = UINT64_C(0x7fff12345678);
	written.seg[X86_GS].base = UINT64_C(0xffff888000001000);
	written.tr = (struct x86_segment){.base = 0x5000,
			.limit = 0x67,
			.selector = 0x18,
			.attributes = (uint32_t)X86_SEG_P | 11};
	written.idtr = (struct x86_table){.base = UINT64_C(0xffff888000002000), .limit = 0x7ff};
	written.cr2 = UINT64_C(0xdeadbeef000);
	written.cr8 = 5;
	for (unsigned i = 0; i < 4; i++) {
		written.dr[i] = 0x1000 * (i + 1);
	}
	written.dr[7] = 0x400 | 0x55;
	vcpu_set_state(vcpu, &written);
	vcpu_get_state(vcpu, &read);
	assert_same_state(&read, &written);
}

/* MSRs are at power-up as firmware leaves them, also after the guest has changed them. */
static void test_msrs(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t reset, other;
	} msrs[] = {
			{X86_MSR_MTRR_DEF_TYPE, 0x806, 0xc00},
			{0x250, 0, UINT64_C(0x0606060606060606)},
			{0x200, 0, 0x80000006},
			{X86_MSR_PAT, UINT64_C(0x0007040600070406), 0},
			{X86_MSR_LSTAR, 0, UINT64_C(0xffffffff81000000)},
			{X86_MSR_SYSENTER_EIP, 0, 0x1234},
			{X86_MSR_KERNEL_GS_BASE, 0, 0x1234},
	};
	struct machine_fixture *m = *state;

	load_guest(m, CODE_AT, msr);
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(msrs); i++) {
		uint64_t index = msrs[i / 2].index;
		write_ram(m, DATA_AT, &index, sizeof(index));
		write_ram(m, DATA_AT + 8, &msrs[i / 2].other, sizeof(uint64_t));
		enter_long(m);
		engine_start(m->engine);
		expect_done(m);
		engine_stop(m->engine);
		assert_int_equal(read_ram64(m, DATA_AT + 16), msrs[i / 2].reset);
		engine_reset(m->engine);
	}
}

static void test_translate(void **state)
{
	struct machine_fixture *m = *state;
	struct vcpu *vcpu = m->engine->vcpus[0];
	uint64_t physical = 0;

	enter_long(m);
	assert_true(vcpu->engine->impl->vcpu_translate(vcpu, ALIAS_AT + 0x12345, &physical));
	assert_int_equal(physical, 0x12345);
	assert_false(vcpu->engine->impl->vcpu_translate(vcpu, HOLE_AT + 0x12345, &physical));
}

static void set_debug(struct machine_fixture *m, unsigned flags)
{
	assert_true(m->engine->impl->vcpu_set_debug(m->engine->vcpus[0], flags));
}

static void expect_debug_stop_at(struct machine_fixture *m, uint64_t rip)
{
	struct x86_state state;

	engine_start(m->engine);
	expect_stopped(m, VCPU_EXIT_DEBUG);
	engine_stop(m->engine);
	vcpu_get_state(m->engine->vcpus[0], &state);
	assert_int_equal(state.rip, rip);
}

static void test_single_step(void **state)
{
	struct machine_fixture *m = *state;
	struct x86_state after;

	load_guest(m, CODE_AT, steps);
	enter_long(m);
	set_debug(m, VCPU_DEBUG_SINGLE_STEP);
	for (unsigned i = 1; i <= 3; i++) {
		expect_debug_stop_at(m, CODE_AT + 3 * i);
		vcpu_get_state(m->engine->vcpus[0], &after);
		assert_int_equal(after.rflags & X86_FLAG_TF, 0);
	}
	set_debug(m, 0);
	engine_start(m->engine);
	expect_done(m);
	engine_stop(m->engine);
	vcpu_get_state(m->engine->vcpus[0], &after);
	assert_int_equal(after.rflags & X86_FLAG_TF, 0);
}

/* QEMU's TCG, where it stands in for the processor, lets int3 through to the guest of its guest. */
static void need_int3_intercept(void)
{
	unsigned eax, signature[3];

	need_hardware();
	__cpuid(0x40000000, eax, signature[0], signature[1], signature[2]);
	if (memcmp(signature, "TCGTCGTCGTCG", sizeof(signature)) == 0) {
		skip();
	}
}

static void test_breakpoint(void **state)
{
	struct machine_fixture *m = *state;
	struct x86_state at;

	need_int3_intercept();

	load_guest(m, CODE_AT, breakpoint);
	enter_long(m);
	set_debug(m, VCPU_DEBUG_BREAKPOINTS);
	expect_debug_stop_at(m, CODE_AT + 1);
	vcpu_get_state(m->engine->vcpus[0], &at);
	at.rip++;
	vcpu_set_state(m->engine->vcpus[0], &at);
	engine_start(m->engine);
	expect_done(m);
}

/* Without a debugger int3 is the guest's: here it has no gate for it. */
static void test_breakpoint_of_the_guest(void **state)
{
	struct machine_fixture *m = *state;

	need_hardware();

	load_guest(m, CODE_AT, breakpoint);
	enter_long(m);
	engine_start(m->engine);
	expect_stopped(m, VCPU_EXIT_SHUTDOWN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

static int run(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_round_trip),
			TEST(test_msrs),
			TEST(test_translate),
			TEST(test_single_step),
			TEST(test_breakpoint),
			TEST(test_breakpoint_of_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_tests_with_kvm(run);
}
