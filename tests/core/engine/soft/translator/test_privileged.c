/* SPDX-License-Identifier: MIT */
/* What only kernels execute, and what ends a block without leaving translated code: IF, SWAPGS, PUSHF, system calls. */
#include "tests/core/engine/soft/translator/program.h"

#include "core/base/thread.h"
#include "core/engine/soft/interrupt.h"

static void test_interrupt_flag(void **state)
{
	struct program *s = *state;

	s->cpu->seg_base[X86_GS] = s->cpu->seg[X86_GS].base = 0x1000;
	s->cpu->msr.kernel_gs_base = 0x2000;
	fixture_put64(s->fixture, DATA, 7);
	LOAD(s, CODE, 0xb9, 0x65, 0x00, 0x00, 0x00, /* mov ecx, 101 */
			0xfb, /* 5: sti */
			0x39, 0xc0, /* cmp eax, eax */
			0x9c, 0x58, /* pushf; pop rax */
			0x38, 0xcd, /* cmp ch, cl: negative, below */
			0xfa, /* cli */
			0x9c, 0x41, 0x5d, /* pushf; pop r13 */
			0x0f, 0x01, 0xf8, /* swapgs */
			0xff, 0x34, 0x25, 0x00, 0x00, 0x06, 0x00, /* push [DATA] */
			0x5f, /* pop rdi */
			0x48, 0x01, 0xfe, /* add rsi, rdi */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe3, /* jnz 5 */
			STOP);
	program_run(s, X86_VECTOR_UD, CODE + 34);
	assert_int_equal(s->cpu->regs[X86_RAX],
			X86_FLAG_FIXED | X86_FLAG_IF | X86_FLAG_ZF | X86_FLAG_PF);
	assert_int_equal(s->cpu->regs[X86_R13] & (X86_FLAG_CF | X86_FLAG_SF | X86_FLAG_IF),
			X86_FLAG_CF | X86_FLAG_SF);
	assert_int_equal(s->cpu->regs[X86_RSI], 707);
	assert_int_equal(s->frame.rsp, STACK);
	assert_int_equal(s->frame.rflags & X86_FLAG_IF, 0);
	assert_int_equal(s->cpu->seg_base[X86_GS], 0x2000);
	assert_int_equal(s->cpu->seg[X86_GS].base, 0x2000);
	assert_int_equal(s->cpu->msr.kernel_gs_base, 0x1000);
	program_assert_translated(s, CODE + 6);
}

/* Something waits for IF: STI asks for a look, and what follows it is executed first. */
static void test_held_interrupt(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xfa, 0xfb, /* 5: cli; sti */
			0xff, 0xc0, /* inc eax */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf8, /* jnz 5 */
			STOP);
	program_run(s, X86_VECTOR_UD, CODE + 13);
	assert_int_equal(s->cpu->regs[X86_RAX], 100);
	for (unsigned i = 0; i < 3; i++) {
		program_reset(s);
		s->cpu->interrupt_held = true;
		s->cpu->nmi_pending = 1;
		s->cpu->nmi_blocked = false;
		program_run(s, X86_VECTOR_NMI, CODE + 9);
		assert_int_equal(s->cpu->regs[X86_RAX], 1);
		assert_false(s->cpu->interrupt_held);
	}
}

/* IF is found off by a look at requests: that is remembered. */
static void test_holds_interrupt(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, STOP);
	cpu_request(s->cpu, CPU_REQUEST_INTERRUPT);
	program_run(s, X86_VECTOR_UD, CODE);
	assert_true(s->cpu->interrupt_held);
	program_reset(s);
	s->cpu->rflags |= X86_FLAG_IF;
	cpu_request(s->cpu, CPU_REQUEST_INTERRUPT);
	program_run(s, X86_VECTOR_UD, CODE);
	assert_false(s->cpu->interrupt_held);
}

/* The same bytes by a program that may not: in ring 3, and in ring 1, which reads what ring 0 does. */
static void test_not_privileged(void **state)
{
	static const uint8_t insns[][3] = {{0xfa}, {0xfb}, {0x0f, 0x01, 0xf8}};
	struct program *s = *state;

	for (unsigned cpl = 1; cpl <= 3; cpl += 2) {
		for (size_t i = 0; i < G_N_ELEMENTS(insns); i++) {
			LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
					0xe8, 0x56, 0x00, 0x00, 0x00, /* 5: call 0x60 */
					0xff, 0xc9, /* dec ecx */
					0x75, 0xf7, /* jnz 5 */
					0xeb, 0x50); /* jmp 0x60 */
			LOAD(s, CODE + 0x60, 0x90, 0x90, 0x90, 0xc3);
			memcpy(s->fixture->ram + CODE + 0x60, insns[i], sizeof(insns[i]));
			program_reset(s);
			s->cpu->cpl = 0;
			cpu_update_mode(s->cpu);
			fixture_put64(s->fixture, STACK, CODE + 0x70);
			LOAD(s, CODE + 0x70, STOP);
			program_run(s, X86_VECTOR_UD, CODE + 0x70);
			program_reset(s);
			s->cpu->cpl = (uint8_t)cpl;
			cpu_update_mode(s->cpu);
			program_run(s, X86_VECTOR_GP, CODE + 0x60);
			s->cpu->cpl = 0;
			cpu_update_mode(s->cpu);
		}
	}
}

/* The time goes on, flags stay, and the rest of what is in line. */
static void test_time(void **state)
{
	struct program *s = *state;

	s->cpu->tsc_offset = INT64_C(1) << 62;
	s->cpu->cr2 = UINT64_C(0x123456789abc);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xfd, /* 5: std */
			0xf9, /* stc */
			0x0f, 0x31, /* rdtsc: flags are needed */
			0x48, 0x83, 0xd6, 0x00, /* adc rsi, 0 */
			0x48, 0x89, 0xd3, /* mov rbx, rdx */
			0xfc, /* cld */
			0x0f, 0xae, 0xf0, /* mfence */
			0x0f, 0x31, /* rdtsc: they are not */
			0x0f, 0x20, 0xd7, /* mov rdi, cr2 */
			0x41, 0x0f, 0x20, 0xd5, /* mov r13, cr2 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe4, /* jnz 5 */
			STOP);
	program_run(s, X86_VECTOR_UD, CODE + 33);
	assert_int_equal(s->cpu->regs[X86_RSI], 100);
	assert_true(s->cpu->regs[X86_RBX] >> 30 == 1 && s->cpu->regs[X86_RDX] >> 30 == 1);
	assert_true(s->cpu->regs[X86_RDX] >= s->cpu->regs[X86_RBX]);
	assert_int_equal(s->cpu->regs[X86_RAX] >> 32, 0);
	assert_int_equal(s->frame.rflags & X86_FLAG_DF, 0);
	assert_int_equal(s->cpu->regs[X86_RDI], s->cpu->cr2);
	assert_int_equal(s->cpu->regs[X86_R13], s->cpu->cr2);
	program_assert_translated(s, CODE + 5);
}

/* Not for programs if the kernel says so. */
static void test_time_denied(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x31, /* 5: rdtsc */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xfa, /* jnz 5 */
			0x0f, 0x20, 0xe0, /* mov rax, cr4: for the kernel alone */
			STOP);
	s->cpu->cpl = 3;
	cpu_update_mode(s->cpu);
	program_run(s, X86_VECTOR_GP, CODE + 11);
	program_reset(s);
	s->cpu->cr4 |= X86_CR4_TSD;
	s->cpu->cpl = 3;
	cpu_update_mode(s->cpu);
	program_run(s, X86_VECTOR_GP, CODE + 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			PROGRAM_TEST(test_interrupt_flag),
			PROGRAM_TEST(test_held_interrupt),
			PROGRAM_TEST(test_holds_interrupt),
			PROGRAM_TEST(test_not_privileged),
			PROGRAM_TEST(test_time),
			PROGRAM_TEST(test_time_denied),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
