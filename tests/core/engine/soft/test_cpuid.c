/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/cpuid.h"
#include "core/engine/soft/exec_system.h"

#include <cpuid.h>

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

/* What must be there, and what must not because nothing executes it. */
static const struct {
	const char *name;
	uint32_t leaf;
	char reg; /* a, b, c, d */
	unsigned bit;
	bool expect;
} bits[] = {
		{"FPU", 1, 'd', 0, true},
		{"TSC", 1, 'd', 4, true},
		{"MSR", 1, 'd', 5, true},
		{"PAE", 1, 'd', 6, true},
		{"CX8", 1, 'd', 8, true},
		{"APIC", 1, 'd', 9, true},
		{"SEP", 1, 'd', 11, true},
		{"PGE", 1, 'd', 13, true},
		{"CMOV", 1, 'd', 15, true},
		{"PAT", 1, 'd', 16, true},
		{"FXSR", 1, 'd', 24, true},
		{"SSE2", 1, 'd', 26, true},
		{"hyper-threading", 1, 'd', 28, false},
		{"MONITOR", 1, 'c', 3, false},
		{"VMX", 1, 'c', 5, false},
		{"SMX", 1, 'c', 6, false},
		{"CX16", 1, 'c', 13, true},
		{"PCID", 1, 'c', 17, true},
		{"x2APIC", 1, 'c', 21, true},
		{"TSC deadline", 1, 'c', 24, true},
		{"OSXSAVE", 1, 'c', 27, false},
		{"hypervisor", 1, 'c', 31, true},
		{"FSGSBASE", 7, 'b', 0, true},
		{"HLE", 7, 'b', 4, false},
		{"SMEP", 7, 'b', 7, true},
		{"INVPCID", 7, 'b', 10, true},
		{"RTM", 7, 'b', 11, false},
		{"AVX512F", 7, 'b', 16, false},
		{"SMAP", 7, 'b', 20, true},
		{"UMIP", 7, 'c', 2, true},
		{"PKU", 7, 'c', 3, false},
		{"LA57", 7, 'c', 16, false},
		{"RDPID", 7, 'c', 22, true},
		{"SPEC_CTRL", 7, 'd', 26, true},
		{"ARCH_CAPABILITIES", 7, 'd', 29, true},
		{"LAHF", 0x80000001, 'c', 0, true},
		{"SVM", 0x80000001, 'c', 2, false},
		{"NX", 0x80000001, 'd', 20, true},
		{"1 GiB pages", 0x80000001, 'd', 26, true},
		{"RDTSCP", 0x80000001, 'd', 27, true},
		{"long mode", 0x80000001, 'd', 29, true},
		{"invariant TSC", 0x80000007, 'd', 8, true},
};

static uint32_t pick(const struct cpuid_result *result, char reg)
{
	switch (reg) {
	case 'a':
		return result->eax;
	case 'b':
		return result->ebx;
	case 'c':
		return result->ecx;
	default:
		return result->edx;
	}
}

static void test_features(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < G_N_ELEMENTS(bits); i++) {
		struct cpuid_result result = cpuid_query(f->cpu, bits[i].leaf, 0);
		bool set = (pick(&result, bits[i].reg) >> bits[i].bit) & 1;
		if (set != bits[i].expect) {
			fail_msg("%s is %d", bits[i].name, set);
		}
	}
}

/* Instructions that run natively are offered only where the host has them. */
static void test_native_features(void **state)
{
	static const struct {
		uint32_t leaf;
		char reg;
		uint32_t mask;
	} native[] = {
			{1, 'c',
					1u << 0 | 1u << 1 | 1u << 9 | 1u << 12 | 1u << 19 |
							1u << 20 | 1u << 23 | 1u << 25 | 1u << 28 |
							1u << 29 | 1u << 30},
			{7, 'b', 1u << 3 | 1u << 5 | 1u << 8 | 1u << 18 | 1u << 19 | 1u << 29},
			{0x80000001, 'c', 1u << 5},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < G_N_ELEMENTS(native); i++) {
		struct cpuid_result host, result = cpuid_query(f->cpu, native[i].leaf, 0);
		__cpuid_count(native[i].leaf, 0, host.eax, host.ebx, host.ecx, host.edx);
		assert_int_equal(pick(&result, native[i].reg) & native[i].mask,
				pick(&host, native[i].reg) & native[i].mask);
	}
}

static void test_identity(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct cpuid_result result = cpuid_query(cpu, 0, 0);

	assert_memory_equal(&result.ebx, "Genu", 4);
	assert_memory_equal(&result.edx, "ineI", 4);
	assert_memory_equal(&result.ecx, "ntel", 4);
	assert_int_equal(result.eax, 0x16);
	result = cpuid_query(cpu, 1, 0);
	assert_int_equal((result.eax >> 8) & 15, 6);
	assert_int_equal(result.eax, cpu->regs[X86_RDX]); /* as reset leaves it */
	result = cpuid_query(cpu, 0x40000000, 0);
	assert_int_equal(result.eax, 0x40000010);
	/* Beyond the last basic leaf, the last one answers. */
	struct cpuid_result last = cpuid_query(cpu, 0x16, 0);
	result = cpuid_query(cpu, 0x1234, 0);
	assert_memory_equal(&result, &last, sizeof(result));
	result = cpuid_query(cpu, 0x80000008, 0);
	assert_int_equal(result.eax, 48 << 8 | 40);
}

static void test_frequencies(void **state)
{
	struct fixture *f = *state;
	struct cpuid_result result = cpuid_query(f->cpu, 0x15, 0);

	assert_int_equal((uint64_t)result.ecx * result.ebx / result.eax, f->cpu->tsc_hz);
	result = cpuid_query(f->cpu, 0x40000010, 0);
	assert_int_equal(result.eax, f->cpu->tsc_hz / 1000);
	f->cpu->tsc_hz = UINT64_C(5000000000);
	result = cpuid_query(f->cpu, 0x15, 0);
	assert_int_equal((uint64_t)result.ecx * result.ebx / result.eax, f->cpu->tsc_hz);
	assert_true(cpuid_host_tsc_hz() > 100000000);
	assert_int_equal(cpuid_host_tsc_hz(), cpuid_host_tsc_hz());
}

static void test_processor_state(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	uint64_t base;

	cpu->index = 5;
	assert_int_equal(cpuid_query(cpu, 1, 0).ebx >> 24, 5);
	assert_int_equal(cpuid_query(cpu, 0xb, 0).edx, 5);
	assert_int_equal(cpuid_query(cpu, 0xb, 2).ecx, 2); /* no such level */
	cpu->index = 0;
	/* An APIC that is off is not there. */
	assert_true(apic_msr_read(cpu->apic, X86_MSR_APIC_BASE, &base));
	assert_true(apic_msr_write(cpu->apic, X86_MSR_APIC_BASE, base & ~APIC_BASE_ENABLED));
	assert_int_equal(cpuid_query(cpu, 1, 0).edx & (1u << 9), 0);
	/* SYSCALL exists in 64-bit mode only. */
	assert_int_equal(cpuid_query(cpu, 0x80000001, 0).edx & (1u << 11), 0);
	fixture_enter_long_mode(f, 0);
	assert_int_not_equal(cpuid_query(cpu, 0x80000001, 0).edx & (1u << 11), 0);
	assert_int_equal(cpuid_query(cpu, 7, 2).edx, 1u << 4);
	assert_int_equal(cpuid_query(cpu, 7, 1).edx, 0);
	assert_int_equal(cpuid_query(cpu, 4, 0).eax & 31, 1);
	assert_int_equal(cpuid_query(cpu, 4, 9).eax & 31, 0);
}

static void test_xsave(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct cpuid_result result;

	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVE, false);
	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVEOPT, false);
	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVEC, false);
	cpu_features_set(&cpu->features, CPU_FEATURE_XGETBV1, false);
	cpu_features_set(&cpu->features, CPU_FEATURE_AVX, false);
	result = cpuid_query(cpu, 0xd, 0);
	assert_int_equal(result.eax, 0);
	assert_false(cpu_cr4_valid(cpu, X86_CR4_OSXSAVE));
	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVE, true);
	assert_true(cpu_cr4_valid(cpu, X86_CR4_OSXSAVE));
	result = cpuid_query(cpu, 0xd, 0);
	assert_int_equal(result.eax, 3);
	assert_int_equal(result.ebx, 576);
	assert_int_equal(result.ecx, 576);
	assert_int_equal(cpuid_query(cpu, 0xd, 2).eax, 0);
	cpu_features_set(&cpu->features, CPU_FEATURE_AVX, true);
	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVEOPT, true);
	result = cpuid_query(cpu, 0xd, 0);
	assert_int_equal(result.eax, 7);
	assert_int_equal(result.ebx, 576); /* what XCR0 has */
	assert_int_equal(result.ecx, 832);
	result = cpuid_query(cpu, 0xd, 1);
	assert_int_equal(result.eax, 1);
	result = cpuid_query(cpu, 0xd, 2);
	assert_int_equal(result.eax, 256);
	assert_int_equal(result.ebx, 576);
	cpu->xcr0 = 7;
	assert_int_equal(cpuid_query(cpu, 0xd, 0).ebx, 832);
	assert_int_equal(cpuid_query(cpu, 1, 0).ecx & 1u << 27, 0);
	cpu_set_cr4(cpu, X86_CR4_OSXSAVE);
	assert_int_not_equal(cpuid_query(cpu, 1, 0).ecx & 1u << 27, 0);
	cpu_reset(cpu, true);
	assert_int_equal(cpu->xcr0, 7); /* INIT leaves it */
	cpu_reset(cpu, false);
	assert_int_equal(cpu->xcr0, 1);
}

/* False if it faulted. */
static bool execute(struct cpu *cpu, insn_exec_fn *exec)
{
	const struct insn insn = {.length = 3};

	if (sigsetjmp(cpu->unwind, 0) != 0) {
		return false;
	}
	exec(cpu, &insn);
	return true;
}

/* XSETBV takes what makes sense; XGETBV gives it back. */
static void test_xcr0(void **state)
{
	static const struct {
		uint64_t value;
		bool valid;
	} rows[] = {{1, true}, {3, true}, {7, true}, {0, false}, {2, false}, {5, false},
			{15, false}, {UINT64_C(1) << 63 | 1, false}};
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVE, true);
	cpu_features_set(&cpu->features, CPU_FEATURE_AVX, true);
	fixture_enter_long_mode(f, 0);
	assert_false(execute(cpu, exec_xgetbv));
	assert_int_equal(cpu->fault.vector, X86_VECTOR_UD); /* not before CR4 says so */
	cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_OSXSAVE);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		cpu->regs[X86_RAX] = (uint32_t)rows[i].value;
		cpu->regs[X86_RDX] = rows[i].value >> 32;
		cpu->regs[X86_RCX] = 0;
		bool valid = execute(cpu, exec_xsetbv);
		if (valid) {
			assert_true(execute(cpu, exec_xgetbv));
			assert_int_equal(cpu->regs[X86_RAX], rows[i].value);
			assert_int_equal(cpu->regs[X86_RDX], 0);
		} else {
			assert_int_equal(cpu->fault.vector, X86_VECTOR_GP);
		}
		assert_int_equal(valid, rows[i].valid);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_features, setup, teardown),
			cmocka_unit_test_setup_teardown(test_native_features, setup, teardown),
			cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
			cmocka_unit_test_setup_teardown(test_frequencies, setup, teardown),
			cmocka_unit_test_setup_teardown(test_processor_state, setup, teardown),
			cmocka_unit_test_setup_teardown(test_xsave, setup, teardown),
			cmocka_unit_test_setup_teardown(test_xcr0, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
