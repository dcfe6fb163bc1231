/* SPDX-License-Identifier: MIT */
/* Processor state: reset, modes, control registers, MSRs, flags, system calls. */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/msr.h"

#define NOTHING (-1)
#define GP X86_VECTOR_GP
#define UD X86_VECTOR_UD

static int setup(void **state)
{
	*state = fixture_create(NULL);
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 3);
	cpu->msr.lstar = 0x1234;
	cpu->fx.xmm[3][0] = 7;
	cpu_reset(cpu, true);
	assert_int_equal(cpu->rip, 0xfff0);
	assert_int_equal(cpu->seg[X86_CS].selector, 0xf000);
	assert_int_equal(cpu->seg[X86_CS].base, 0xffff0000);
	assert_int_equal(cpu->seg[X86_DS].limit, 0xffff);
	assert_int_equal(cpu->rflags, 2);
	assert_int_equal(cpu->cr0, X86_CR0_ET); /* INIT keeps CD and NW, which were clear */
	assert_int_equal(cpu->cr4, 0);
	assert_int_equal(cpu->efer, 0);
	assert_int_equal(cpu->dr[6], 0xffff0ff0);
	assert_int_equal(cpu->dr[7], 0x400);
	assert_int_equal(cpu->mode, INSN_MODE_16);
	assert_int_equal(cpu->stack_size, 2);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->msr.lstar, 0x1234); /* INIT keeps MSRs and the FPU */
	assert_int_equal(cpu->fx.xmm[3][0], 7);
	cpu_reset(cpu, false);
	assert_int_equal(cpu->cr0, X86_CR0_ET | X86_CR0_CD | X86_CR0_NW);
	assert_int_equal(cpu->msr.lstar, 0);
	assert_int_equal(cpu->fx.xmm[3][0], 0);
	assert_int_equal(cpu->fx.fcw, 0x40);
	assert_int_equal(cpu->fx.mxcsr, 0x1f80);
	assert_int_equal(cpu_tsc(cpu), 0);
	cpu_start_at(cpu, 0x9a);
	assert_int_equal(cpu->seg[X86_CS].base, 0x9a000);
	assert_int_equal(cpu->rip, 0);
}

static void test_state_round_trip(void **state)
{
	struct fixture *f = *state;
	struct x86_state first, second;

	fixture_enter_long_mode(f, 3);
	f->cpu->regs[X86_R15] = 0x123456789abcdef0;
	f->cpu->seg[X86_GS].base = 0xffff888000000000;
	cpu_get_state(f->cpu, &first);
	first.cr8 = 5;
	cpu_reset(f->cpu, false);
	cpu_set_state(f->cpu, &first);
	cpu_get_state(f->cpu, &second);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(f->cpu->cpl, 3);
	assert_int_equal(f->cpu->mode, INSN_MODE_64);
	assert_true(f->cpu->seg_base[X86_GS] == 0xffff888000000000);
	assert_int_equal(f->cpu->seg_base[X86_DS], 0);
}

static const struct {
	const char *name;
	bool long_mode;
	unsigned reg;
	uint64_t value;
	int vector;
} control_writes[] = {
		{"paging without protection", false, 0, X86_CR0_PG, GP},
		{"NW without CD", false, 0, X86_CR0_PE | X86_CR0_NW, GP},
		{"reserved CR4 bit", false, 4, BIT(12), GP},
		{"VMX", false, 4, BIT(13), GP},
		{"OSXSAVE without XSAVE", false, 4, X86_CR4_OSXSAVE, GP},
		{"SMEP, SMAP, UMIP", true, 4,
				X86_CR4_PAE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_UMIP, NOTHING},
		{"PAE cleared in long mode", true, 4, 0, GP},
		{"paging off in 64-bit mode", true, 0, X86_CR0_PE, GP},
		{"upper half of CR0", true, 0, X86_CR0_PE | X86_CR0_PG | BIT(32), GP},
		{"CR3 beyond physical memory", true, 3, BIT(45), GP},
		{"CR3", true, 3, FIXTURE_PML4, NOTHING},
		{"CR8", true, 8, 15, NOTHING},
		{"CR8 too high", true, 8, 16, GP},
		{"CR2", true, 2, 0x1234567890, NOTHING},
};

static G_NO_INLINE int write_control(struct cpu *cpu, unsigned reg, uint64_t value)
{
	struct insn insn = {.reg = (uint8_t)reg, .rm = X86_RCX};

	cpu->regs[X86_RCX] = value;
	return FAULT_OF(cpu, exec_mov_to_cr(cpu, &insn));
}

static G_NO_INLINE int read_control(struct cpu *cpu, unsigned reg)
{
	struct insn insn = {.reg = (uint8_t)reg, .rm = X86_RCX};

	return FAULT_OF(cpu, exec_mov_from_cr(cpu, &insn));
}

static void test_control_registers(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVE, false);
	for (size_t i = 0; i < G_N_ELEMENTS(control_writes); i++) {
		if (control_writes[i].long_mode) {
			fixture_enter_long_mode(f, 0);
		} else {
			fixture_enter_protected_mode(f, 0);
		}
		int vector = write_control(cpu, control_writes[i].reg, control_writes[i].value);
		if (vector != control_writes[i].vector) {
			fail_msg("%s: vector %d", control_writes[i].name, vector);
		}
		if (vector == NOTHING) {
			assert_int_equal(read_control(cpu, control_writes[i].reg), NOTHING);
			assert_int_equal(cpu->regs[X86_RCX], control_writes[i].value);
		}
	}
	fixture_enter_long_mode(f, 3);
	assert_int_equal(write_control(cpu, 3, FIXTURE_PML4), GP);
	assert_int_equal(read_control(cpu, 0), GP);
}

static void test_long_mode_activation(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	uint64_t cr0 = X86_CR0_PE | X86_CR0_PG;

	fixture_enter_protected_mode(f, 0);
	assert_true(msr_write(cpu, X86_MSR_EFER, X86_EFER_LME));
	assert_int_equal(write_control(cpu, 0, cr0), GP); /* needs PAE */
	assert_int_equal(write_control(cpu, 4, X86_CR4_PAE), NOTHING);
	assert_int_equal(write_control(cpu, 0, cr0), NOTHING);
	assert_true(cpu_long_mode(cpu));
	assert_int_equal(cpu->mode, INSN_MODE_32);
	assert_false(msr_write(cpu, X86_MSR_EFER, 0)); /* LME is fixed while paging */
	assert_true(msr_write(cpu, X86_MSR_EFER, X86_EFER_LME | X86_EFER_NXE));
	assert_true(cpu->efer & X86_EFER_LMA); /* not to be written */
	assert_int_equal(write_control(cpu, 0, X86_CR0_PE), NOTHING);
	assert_false(cpu_long_mode(cpu));
}

static const struct {
	uint32_t msr;
	bool readable;
	uint64_t written;
	bool accepted;
} msrs[] = {
		{X86_MSR_LSTAR, true, 0xffff800000001000, true},
		{X86_MSR_LSTAR, true, 0x800000000000, false},
		{X86_MSR_KERNEL_GS_BASE, true, 0x7fffffffffff, true},
		{X86_MSR_FS_BASE, true, UINT64_C(1) << 63, false},
		{X86_MSR_STAR, true, 0x0023001000000000, true},
		{X86_MSR_SFMASK, true, 0x47700, true},
		{X86_MSR_SFMASK, true, 0x100000000, false},
		{X86_MSR_PAT, true, 0x0007040600070406, true},
		{X86_MSR_PAT, true, 0x0002040600070406, false},
		{X86_MSR_EFER, true, BIT(12), false},
		{X86_MSR_TSC_AUX, true, 3, true},
		{X86_MSR_SPEC_CTRL, true, 1, true},
		{X86_MSR_SPEC_CTRL, true, 0x80, false},
		{X86_MSR_PRED_CMD, false, 1, true},
		{X86_MSR_PRED_CMD, false, 2, false},
		{X86_MSR_MTRRCAP, true, 0, false},
		{X86_MSR_MTRR_DEF_TYPE, true, 0xc06, true},
		{X86_MSR_MTRR_DEF_TYPE, true, 0x1000, false},
		{0x200, true, 0x80000006, true},
		{0x200, true, 0x80000002, false},
		{0x201, true, 0xff80000800, true},
		{0x250, true, 0x0606060606060606, true},
		{0x250, true, 0x0602060606060606, false},
		{X86_MSR_ARCH_CAPABILITIES, true, 0, false},
		{X86_MSR_FEATURE_CONTROL, true, 1, false},
		{X86_MSR_MCG_CAP, true, 0, false},
		{0x12345678, false, 0, false},
		{0x606, false, 0, false},
		{0xc0011029, false, 0, false},
};

static void test_msrs(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	for (size_t i = 0; i < G_N_ELEMENTS(msrs); i++) {
		bool accepted = msr_write(f->cpu, msrs[i].msr, msrs[i].written);
		bool readable = msr_read(f->cpu, msrs[i].msr, &value);
		if (accepted != msrs[i].accepted || readable != msrs[i].readable ||
				(accepted && readable && value != msrs[i].written)) {
			fail_msg("row %zu, msr 0x%x", i, msrs[i].msr);
		}
	}
	/* The bases of FS and GS take effect at once. */
	fixture_enter_long_mode(f, 0);
	assert_true(msr_write(f->cpu, X86_MSR_GS_BASE, 0x5000));
	assert_int_equal(f->cpu->seg_base[X86_GS], 0x5000);
}

static void test_tsc(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	uint64_t value;

	clock_advance(f->clock, 5000);
	assert_int_equal(cpu_tsc(cpu), 5000);
	assert_true(msr_write(cpu, X86_MSR_TSC, 100));
	assert_int_equal(cpu_tsc(cpu), 100);
	assert_true(msr_read(cpu, X86_MSR_TSC_ADJUST, &value));
	assert_true(value == (uint64_t)-4900);
	assert_true(msr_write(cpu, X86_MSR_TSC_ADJUST, 0));
	assert_int_equal(cpu_tsc(cpu), 5000);
	/* CR4.TSD keeps it from ring 3. */
	struct insn insn = {0};
	fixture_enter_long_mode(f, 3);
	cpu->msr.tsc_aux = 9;
	assert_int_equal(FAULT_OF(cpu, exec_rdtscp(cpu, &insn)), NOTHING);
	assert_int_equal(cpu->regs[X86_RCX], 9);
	cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_TSD);
	assert_int_equal(FAULT_OF(cpu, exec_rdtsc(cpu, &insn)), GP);
}

/* POPF: what changes at which privilege. */
static const struct {
	unsigned cpl, iopl, size;
	uint64_t expect; /* after popping all ones over IOPL alone */
} popfs[] = {
		{0, 0, 8, 0x247fd7},
		{0, 0, 2, 0x7fd7},
		{3, 0, 8, 0x244dd7},
		{3, 3, 8, 0x247fd7},
		{3, 0, 2, 0x4dd7},
};

static void test_popf(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(popfs); i++) {
		struct insn insn = {.operand_size = (uint8_t)popfs[i].size};
		fixture_enter_long_mode(f, popfs[i].cpl);
		cpu->regs[X86_RSP] = 0x30000;
		fixture_put64(f, 0x30000, UINT64_MAX);
		cpu->rflags = X86_FLAG_FIXED | popfs[i].iopl << X86_FLAG_IOPL_SHIFT;
		exec_popf(cpu, &insn);
		if (cpu->rflags != popfs[i].expect) {
			fail_msg("row %zu: 0x%x", i, (unsigned)cpu->rflags);
		}
		assert_int_equal(cpu->regs[X86_RSP], 0x30000 + popfs[i].size);
	}
	/* PUSHF shows neither RF nor VM. */
	struct insn insn = {.operand_size = 8};
	cpu->rflags = X86_FLAG_FIXED | X86_FLAG_RF | X86_FLAG_CF;
	exec_pushf(cpu, &insn);
	assert_int_equal(fixture_get64(f, cpu->regs[X86_RSP]), X86_FLAG_FIXED | X86_FLAG_CF);
	/* CLI and STI above IOPL. */
	fixture_enter_long_mode(f, 3);
	assert_int_equal(FAULT_OF(cpu, exec_cli(cpu, &insn)), GP);
	assert_int_equal(FAULT_OF(cpu, exec_sti(cpu, &insn)), GP);
	cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_PVI);
	assert_int_equal(FAULT_OF(cpu, exec_sti(cpu, &insn)), NOTHING);
	assert_true(cpu->rflags & X86_FLAG_VIF);
	assert_false(cpu->rflags & X86_FLAG_IF);
}

static void test_system_calls(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn insn = {.prefixes = INSN_PREFIX_REX | INSN_PREFIX_REX_W};

	fixture_enter_long_mode(f, 3);
	cpu->msr.star = UINT64_C(0x0023001000000000);
	cpu->msr.lstar = 0xffffffff81000000;
	cpu->msr.sfmask = X86_FLAG_IF | X86_FLAG_DF;
	cpu->rflags = X86_FLAG_FIXED | X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_CF;
	cpu->next_rip = 0x4002;
	assert_int_equal(FAULT_OF(cpu, exec_syscall(cpu, &insn)), NOTHING);
	assert_true(cpu->next_rip == 0xffffffff81000000);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->seg[X86_CS].selector, 0x10);
	assert_int_equal(cpu->seg[X86_SS].selector, 0x18);
	assert_int_equal(cpu->regs[X86_RCX], 0x4002);
	assert_int_equal(cpu->regs[X86_R11], X86_FLAG_FIXED | 0x601);
	assert_int_equal(cpu->rflags, X86_FLAG_FIXED | X86_FLAG_CF);
	cpu->request = 0;
	cpu->interrupt_held = true;
	assert_int_equal(FAULT_OF(cpu, exec_sysret(cpu, &insn)), NOTHING);
	assert_int_equal(cpu->next_rip, 0x4002);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->seg[X86_CS].selector, 0x33);
	assert_int_equal(cpu->seg[X86_SS].selector, 0x2b);
	assert_int_equal(cpu->rflags, X86_FLAG_FIXED | 0x601);
	assert_true(cpu->request & CPU_REQUEST_INTERRUPT); /* IF came back */
	/* Only ring 0 returns, only to canonical addresses, only with SCE. */
	assert_int_equal(FAULT_OF(cpu, exec_sysret(cpu, &insn)), GP);
	fixture_enter_long_mode(f, 0);
	cpu->regs[X86_RCX] = UINT64_C(1) << 47;
	assert_int_equal(FAULT_OF(cpu, exec_sysret(cpu, &insn)), GP);
	cpu_set_efer(cpu, cpu->efer & ~(uint64_t)X86_EFER_SCE);
	assert_int_equal(FAULT_OF(cpu, exec_sysret(cpu, &insn)), UD);
	assert_int_equal(FAULT_OF(cpu, exec_syscall(cpu, &insn)), UD);
	/* To 32-bit user code. */
	fixture_enter_long_mode(f, 0);
	insn.prefixes = 0;
	cpu->regs[X86_RCX] = 0x123456789;
	cpu->regs[X86_R11] = X86_FLAG_FIXED;
	assert_int_equal(FAULT_OF(cpu, exec_sysret(cpu, &insn)), NOTHING);
	assert_int_equal(cpu->mode, INSN_MODE_32);
	assert_int_equal(cpu->next_rip, 0x23456789);
}

static void test_sysenter(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn insn = {0};

	fixture_enter_protected_mode(f, 3);
	assert_int_equal(FAULT_OF(cpu, exec_sysenter(cpu, &insn)), GP);
	cpu->msr.sysenter_cs = 0x60;
	cpu->msr.sysenter_esp = 0x7000;
	cpu->msr.sysenter_eip = 0x8000;
	cpu->rflags |= X86_FLAG_IF;
	assert_int_equal(FAULT_OF(cpu, exec_sysenter(cpu, &insn)), NOTHING);
	assert_int_equal(cpu->seg[X86_CS].selector, 0x60);
	assert_int_equal(cpu->seg[X86_SS].selector, 0x68);
	assert_int_equal(cpu->regs[X86_RSP], 0x7000);
	assert_int_equal(cpu->next_rip, 0x8000);
	assert_false(cpu->rflags & X86_FLAG_IF);
	cpu->regs[X86_RDX] = 0x4000;
	cpu->regs[X86_RCX] = 0x5000;
	assert_int_equal(FAULT_OF(cpu, exec_sysexit(cpu, &insn)), NOTHING);
	assert_int_equal(cpu->seg[X86_CS].selector, 0x73);
	assert_int_equal(cpu->seg[X86_SS].selector, 0x7b);
	assert_int_equal(cpu->regs[X86_RSP], 0x5000);
	assert_int_equal(FAULT_OF(cpu, exec_sysexit(cpu, &insn)), GP);
}

static uint64_t last_port_value;

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)size;
	return 0x11223344 + offset;
}

static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	last_port_value = value;
}

static void test_ports(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct io_region region = {
			.name = "port", .size = 16, .read = port_read, .write = port_write};
	struct insn in = {.opcode = 0xec, .operand_size = 1},
		    out = {.opcode = 0xe7, .imm = 0x40, .operand_size = 4};
	struct insn ins = {.opcode = 0x6d,
			.operand_size = 4,
			.address_size = 8,
			.prefixes = INSN_PREFIX_REP,
			.segment = X86_DS};

	address_space_add(f->ports, 0x40, &region);
	fixture_enter_long_mode(f, 0);
	cpu->regs[X86_RAX] = 0xaaaaaaaaaaaaaaaa;
	cpu->regs[X86_RDX] = 0x41;
	assert_int_equal(FAULT_OF(cpu, exec_in(cpu, &in)), NOTHING);
	assert_true(cpu->regs[X86_RAX] == 0xaaaaaaaaaaaaaa45);
	assert_int_equal(FAULT_OF(cpu, exec_out(cpu, &out)), NOTHING);
	assert_int_equal(last_port_value, 0xaaaaaa45);
	/* REP INS, stopped after each step while something is wanted. */
	cpu->regs[X86_RCX] = 3;
	cpu->regs[X86_RDI] = 0x5000;
	cpu->rip = 0x1000;
	cpu->next_rip = 0x1002;
	cpu->request = CPU_REQUEST_INTERRUPT;
	assert_int_equal(FAULT_OF(cpu, exec_ins(cpu, &ins)), NOTHING);
	assert_int_equal(cpu->regs[X86_RCX], 2);
	assert_int_equal(cpu->next_rip, 0x1000);
	cpu->request = 0;
	cpu->next_rip = 0x1002;
	assert_int_equal(FAULT_OF(cpu, exec_ins(cpu, &ins)), NOTHING);
	assert_int_equal(cpu->regs[X86_RCX], 0);
	assert_int_equal(cpu->regs[X86_RDI], 0x500c);
	assert_int_equal(cpu->next_rip, 0x1002);
	assert_int_equal(fixture_get32(f, 0x5008), 0x11223345);
	/* Ring 3 without IOPL or a bitmap. */
	fixture_enter_long_mode(f, 3);
	cpu->tr.limit = 0x67;
	assert_int_equal(FAULT_OF(cpu, exec_in(cpu, &in)), GP);
	cpu->rflags |= X86_FLAG_IOPL;
	assert_int_equal(FAULT_OF(cpu, exec_in(cpu, &in)), NOTHING);
	address_space_remove(&region);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
			cmocka_unit_test_setup_teardown(test_state_round_trip, setup, teardown),
			cmocka_unit_test_setup_teardown(test_control_registers, setup, teardown),
			cmocka_unit_test_setup_teardown(test_long_mode_activation, setup, teardown),
			cmocka_unit_test_setup_teardown(test_msrs, setup, teardown),
			cmocka_unit_test_setup_teardown(test_tsc, setup, teardown),
			cmocka_unit_test_setup_teardown(test_popf, setup, teardown),
			cmocka_unit_test_setup_teardown(test_system_calls, setup, teardown),
			cmocka_unit_test_setup_teardown(test_sysenter, setup, teardown),
			cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
