/* SPDX-License-Identifier: MIT */
/* Programs that keep vectors of 256 bits in registers from block to block, or the upper halves only, or neither. */
#include "tests/core/engine/soft/translator/program.h"

#include "core/base/bytes.h"
#include "core/engine/soft/fpu.h"

static bool host_has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static void enable(struct program *s)
{
	struct cpu *cpu = s->cpu;

	if (!host_has_avx2()) {
		skip();
	}
	cpu_features_set(&cpu->features, CPU_FEATURE_XSAVE, true);
	cpu_features_set(&cpu->features, CPU_FEATURE_AVX, true);
	cpu_features_set(&cpu->features, CPU_FEATURE_AVX2, true);
	cpu->cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXSAVE;
	cpu->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
	cpu->fx.fcw = FCW_INIT;
	cpu_update_mode(cpu);
}

/* Of a register, the 64-bit element. */
static uint64_t element(const struct program *s, unsigned reg, unsigned index)
{
	const uint8_t *half = index < 2 ? s->cpu->fx.xmm[reg] : s->cpu->ymm_high[reg];

	return le64_load(half + 8 * (index & 1));
}

static void assert_vector(const struct program *s, unsigned reg, uint64_t low, uint64_t high)
{
	assert_int_equal(element(s, reg, 0), low);
	assert_int_equal(element(s, reg, 1), low);
	assert_int_equal(element(s, reg, 2), high);
	assert_int_equal(element(s, reg, 3), high);
}

/* One block that leads to itself: its registers stay where they are. */
static void test_loop(void **state)
{
	struct program *s = *state;

	enable(s);
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xc5, 0xed, 0x76, 0xd2, /* vpcmpeqd ymm2, ymm2, ymm2: -1 */
			0xc5, 0xf5, 0xfb, 0xca, /* 9: vpsubq ymm1, ymm1, ymm2 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf8, /* jnz 9 */
			STOP); /* 17 */
	program_run(s, X86_VECTOR_UD, CODE + 17);
	assert_vector(s, 1, 1000, 1000);
	assert_vector(s, 2, UINT64_MAX, UINT64_MAX);
	program_assert_translated(s, CODE + 9);
}

/* The second block has SSE only, the third one needs the upper halves that the first has left. */
static void test_sse_between(void **state)
{
	struct program *s = *state;

	enable(s);
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xc5, 0xed, 0x76, 0xd2, /* vpcmpeqd ymm2, ymm2, ymm2 */
			0xc5, 0xf5, 0xfb, 0xca, /* 9: vpsubq ymm1, ymm1, ymm2 */
			0xeb, 0x00, /* jmp 15 */
			0x66, 0x0f, 0xd4, 0xc9, /* 15: paddq xmm1, xmm1 */
			0x66, 0x0f, 0xfb, 0xca, /* psubq xmm1, xmm2 */
			0x66, 0x0f, 0x73, 0xd1, 0x01, /* psrlq xmm1, 1 */
			0xeb, 0x00, /* jmp 30 */
			0xc5, 0xf5, 0xfb, 0xca, /* 30: vpsubq ymm1, ymm1, ymm2 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe3, /* jnz 9 */
			STOP); /* 38 */
	program_run(s, X86_VECTOR_UD, CODE + 38);
	assert_vector(s, 1, 2000, 2000);
	program_assert_translated(s, CODE + 15);
	program_assert_translated(s, CODE + 30);
}

/* VEX.128 zeroes upper halves on the way, in memory and in registers that the next block takes. */
static void test_short_between(void **state)
{
	struct program *s = *state;

	enable(s);
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xc5, 0xed, 0x76, 0xd2, /* vpcmpeqd ymm2, ymm2, ymm2 */
			0xc5, 0xfd, 0x6f, 0xda, /* 9: vmovdqa ymm3, ymm2 */
			0xc5, 0xfd, 0x6f, 0xe2, /* vmovdqa ymm4, ymm2 */
			0xeb, 0x00, /* jmp 19 */
			0xc5, 0xe1, 0xd4, 0xda, /* 19: vpaddq xmm3, xmm3, xmm2 */
			0x66, 0x0f, 0xd4, 0xe2, /* paddq xmm4, xmm2 */
			0xeb, 0x00, /* jmp 29 */
			0xc5, 0xf5, 0xd4, 0xcb, /* 29: vpaddq ymm1, ymm1, ymm3 */
			0xc5, 0xd5, 0xd4, 0xec, /* vpaddq ymm5, ymm5, ymm4 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe0, /* jnz 9 */
			STOP); /* 41 */
	program_run(s, X86_VECTOR_UD, CODE + 41);
	assert_vector(s, 1, (uint64_t)-2000, 0);
	assert_vector(s, 5, (uint64_t)-2000, (uint64_t)-1000);
	assert_vector(s, 3, (uint64_t)-2, 0);
	assert_vector(s, 4, (uint64_t)-2, UINT64_MAX);
}

/* A function that leaves as compilers have it, called from another page. */
static void test_zeroed(void **state)
{
	struct program *s = *state;

	enable(s);
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xe8, 0xf6, 0x0f, 0x00, 0x00, /* 5: call 0x1000 */
			0x66, 0x0f, 0xfb, 0xca, /* psubq xmm1, xmm2 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf3, /* jnz 5 */
			STOP); /* 18 */
	LOAD(s, CODE + 0x1000, 0xc5, 0xed, 0x76, 0xd2, /* vpcmpeqd ymm2, ymm2, ymm2 */
			0xc5, 0xf5, 0xfb, 0xca, /* vpsubq ymm1, ymm1, ymm2 */
			0xc5, 0xf8, 0x77, /* vzeroupper */
			0xc3); /* ret */
	program_run(s, X86_VECTOR_UD, CODE + 18);
	assert_vector(s, 1, 2000, 0);
	assert_vector(s, 2, UINT64_MAX, 0);
	program_assert_translated(s, CODE + 0x1000);
}

/* All registers are in use: one makes room. */
static void test_zeroed_full(void **state)
{
	struct program *s = *state;
	uint8_t *code;

	enable(s);
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00); /* mov ecx, 1000 */
	code = s->fixture->ram + CODE + 5;
	for (unsigned reg = 0; reg < 16; reg++) { /* vpcmpeqd ymm, ymm, ymm */
		const uint8_t bytes[] = {0xc4, (uint8_t)(reg & 8 ? 0x41 : 0xe1),
				(uint8_t)((~reg & 15) << 3 | 5), 0x76,
				(uint8_t)(0xc0 | (reg & 7) << 3 | (reg & 7))};
		memcpy(code, bytes, sizeof(bytes));
		code += sizeof(bytes);
	}
	LOAD(s, CODE + 85, 0xc5, 0xf8, 0x77, /* vzeroupper */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xa7, /* jnz 5 */
			STOP); /* 92 */
	program_run(s, X86_VECTOR_UD, CODE + 92);
	for (unsigned reg = 0; reg < 16; reg++) {
		assert_vector(s, reg, UINT64_MAX, 0);
	}
}

/* The guest's system takes AVX away, and gives it back: instructions are undefined meanwhile, whatever was translated. */
static void test_taken_away(void **state)
{
	struct program *s = *state;

	enable(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xc5, 0xed, 0x76, 0xd2, /* 5: vpcmpeqd ymm2, ymm2, ymm2 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf8, /* jnz 5 */
			STOP); /* 13 */
	program_run(s, X86_VECTOR_UD, CODE + 13);
	program_reset(s);
	s->cpu->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE;
	program_run(s, X86_VECTOR_UD, CODE + 5);
	program_reset(s);
	s->cpu->xcr0 |= X86_XCR0_AVX;
	s->cpu->cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
	program_run(s, X86_VECTOR_UD, CODE + 5);
	program_reset(s);
	s->cpu->cr4 |= X86_CR4_OSXSAVE;
	s->cpu->cr0 |= X86_CR0_TS;
	program_run(s, X86_VECTOR_NM, CODE + 5);
	program_reset(s);
	s->cpu->cr0 &= ~(uint64_t)X86_CR0_TS;
	program_run(s, X86_VECTOR_UD, CODE + 13);
	program_assert_translated(s, CODE + 5);
}

/* What a loop has in registers while it turns is there when it faults: at the first page that is missing. */
static void test_fault_in_loop(void **state)
{
	const unsigned turns = 3 * GUEST_PAGE_SIZE / 32;
	struct program *s = *state;

	enable(s);
	for (unsigned i = 0; i < turns * 4; i++) {
		fixture_put64(s->fixture, DATA + 8 * (uint64_t)i, 1);
	}
	program_map(s, DATA + 3 * GUEST_PAGE_SIZE, 0);
	LOAD(s, CODE, 0xba, 0x00, 0x00, 0x06, 0x00, /* mov edx, DATA */
			0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xc5, 0xf5, 0xd4, 0x0a, /* 10: vpaddq ymm1, ymm1, [rdx] */
			0xc5, 0xe1, 0xd4, 0xda, /* vpaddq xmm3, xmm3, xmm2 */
			0x48, 0x83, 0xc2, 0x20, /* add rdx, 32 */
			0xc5, 0xf5, 0xfa, 0xe1, /* vpsubd ymm4, ymm1, ymm1 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xec, /* jnz 10 */
			STOP);
	s->cpu->fx.xmm[2][0] = s->cpu->fx.xmm[2][8] = 2;
	s->cpu->ymm_high[3][0] = s->cpu->ymm_high[4][0] = 1;
	program_run(s, X86_VECTOR_PF, CODE + 10);
	assert_vector(s, 1, turns, turns);
	assert_vector(s, 3, 2 * turns, 0);
	assert_vector(s, 4, 0, 0);
	assert_int_equal(s->cpu->regs[X86_RCX], 1000 - turns);
	/* At the first turn nothing is zeroed yet. */
	program_reset(s);
	program_map(s, DATA, 0);
	s->cpu->rip = CODE + 10;
	s->cpu->regs[X86_RDX] = DATA;
	s->cpu->ymm_high[3][0] = 1;
	s->cpu->ymm_high[4][8] = 1;
	program_run(s, X86_VECTOR_PF, CODE + 10);
	assert_vector(s, 1, turns, turns);
	assert_int_equal(element(s, 3, 2), 1);
	assert_int_equal(element(s, 4, 3), 1);
}

/* The same of SSE, whose upper halves nobody touches. */
static void test_fault_in_sse_loop(void **state)
{
	struct program *s = *state;

	enable(s);
	fixture_put64(s->fixture, DATA, 1);
	program_map(s, DATA + GUEST_PAGE_SIZE, 0);
	LOAD(s, CODE, 0xba, 0x00, 0x00, 0x06, 0x00, /* mov edx, DATA */
			0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0x66, 0x0f, 0xd4, 0x0a, /* 10: paddq xmm1, [rdx] */
			0x66, 0x0f, 0xd4, 0xda, /* paddq xmm3, xmm2 */
			0x48, 0x83, 0xc2, 0x10, /* add rdx, 16 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf0, /* jnz 10 */
			STOP);
	s->cpu->fx.xmm[2][0] = s->cpu->fx.xmm[2][8] = 1;
	s->cpu->ymm_high[1][0] = s->cpu->ymm_high[3][0] = 7;
	program_run(s, X86_VECTOR_PF, CODE + 10);
	assert_int_equal(element(s, 1, 0), 1);
	assert_int_equal(element(s, 3, 1), GUEST_PAGE_SIZE / 16);
	assert_int_equal(element(s, 1, 2), 7);
	assert_int_equal(element(s, 3, 2), 7);
}

/* VEX.128 alone: upper halves are zero from the first turn on. */
static void test_fault_in_short_loop(void **state)
{
	struct program *s = *state;

	enable(s);
	program_map(s, DATA + GUEST_PAGE_SIZE, 0);
	LOAD(s, CODE, 0xba, 0x00, 0x00, 0x06, 0x00, /* mov edx, DATA */
			0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xc5, 0xf1, 0xd4, 0x0a, /* 10: vpaddq xmm1, xmm1, [rdx] */
			0xc5, 0xe1, 0xd4, 0xda, /* vpaddq xmm3, xmm3, xmm2 */
			0x48, 0x83, 0xc2, 0x10, /* add rdx, 16 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf0, /* jnz 10 */
			STOP);
	s->cpu->fx.xmm[2][0] = s->cpu->fx.xmm[2][8] = 1;
	for (unsigned way = 0; way < 2; way++) {
		program_reset(s);
		s->cpu->rip = way ? CODE + 10 : CODE;
		s->cpu->regs[X86_RDX] = DATA;
		memset(s->cpu->fx.xmm[3], 0, sizeof(s->cpu->fx.xmm[3]));
		s->cpu->ymm_high[1][0] = s->cpu->ymm_high[3][0] = 7;
		program_run(s, X86_VECTOR_PF, CODE + 10);
		assert_vector(s, 3, GUEST_PAGE_SIZE / 16, 0);
		assert_int_equal(element(s, 1, 2), 0);
	}
}

/* A loop without end counts in registers; where it is interrupted all counts are the same. */
static void test_interrupted_loop(void **state)
{
	struct program *s = *state;
	GThread *thread;

	enable(s);
	LOAD(s, CODE, 0xc5, 0xed, 0x76, 0xd2, /* vpcmpeqd ymm2, ymm2, ymm2 */
			0x31, 0xc0, /* xor eax, eax */
			0xc5, 0xf5, 0xfb, 0xca, /* 6: vpsubq ymm1, ymm1, ymm2 */
			0x48, 0xff, 0xc0, /* inc rax */
			0x75, 0xf7); /* jnz 6 */
	s->cpu->page_rip = 0;
	thread = g_thread_new("interrupt", program_interrupt, s);
	program_run(s, X86_VECTOR_NMI, UINT64_MAX);
	g_thread_join(thread);
	uint64_t turns = s->cpu->regs[X86_RAX];
	if (s->frame.rip == CODE + 10) {
		turns++;
	}
	assert_vector(s, 1, turns, turns);
}

/* A loop that changes itself after a while. */
static void test_loop_changed(void **state)
{
	struct program *s = *state;

	enable(s);
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0xbb, 0x00, 0x00, 0x06, 0x00, /* mov ebx, DATA */
			0xba, 0x1d, 0x00, 0x04, 0x00, /* mov edx, CODE + 29 */
			0xc5, 0xed, 0x76, 0xd2, /* vpcmpeqd ymm2, ymm2, ymm2 */
			0x81, 0xf9, 0xf4, 0x01, 0x00, 0x00, /* 19: cmp ecx, 500 */
			0x0f, 0x44, 0xda, /* cmove ebx, edx */
			0xc5, 0xf5, 0xfb,
			0xca, /* 28: vpsubq or, with d4, vpaddq ymm1, ymm1, ymm2 */
			0xc6, 0x43, 0x01, 0xd4, /* mov byte [rbx + 1], d4h */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xeb, /* jnz 19 */
			STOP); /* 40 */
	program_run(s, X86_VECTOR_UD, CODE + 40);
	/* 501 turns up, the one that changed it among them, 499 down */
	assert_vector(s, 1, 2, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			PROGRAM_TEST(test_loop),
			PROGRAM_TEST(test_sse_between),
			PROGRAM_TEST(test_short_between),
			PROGRAM_TEST(test_zeroed),
			PROGRAM_TEST(test_zeroed_full),
			PROGRAM_TEST(test_taken_away),
			PROGRAM_TEST(test_fault_in_loop),
			PROGRAM_TEST(test_fault_in_sse_loop),
			PROGRAM_TEST(test_fault_in_short_loop),
			PROGRAM_TEST(test_interrupted_loop),
			PROGRAM_TEST(test_loop_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
