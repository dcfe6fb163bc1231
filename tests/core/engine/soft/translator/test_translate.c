/* SPDX-License-Identifier: MIT */
/*
 * Whole programs in the run loop: control flow to where there is something and to where there is nothing, privilege, devices,
 * vectors, requests.
 */
#include "tests/core/engine/soft/translator/program.h"

#include "core/base/bytes.h"
#include "core/base/thread.h"
#include "core/engine/soft/native.h"

static void test_loop(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0x48, 0x01, 0xc8, /* add rax, rcx */
			0x49, 0x01, 0xcd, /* add r13, rcx */
			0x49, 0x01, 0xce, /* add r14, rcx */
			0x4f, 0x8d, 0x3c, 0x2e, /* lea r15, [r14 + r13] */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xef, /* jnz add */
			STOP);
	program_run(s, X86_VECTOR_UD, CODE + 22);
	assert_int_equal(s->cpu->regs[X86_RAX], 500500);
	assert_int_equal(s->cpu->regs[X86_R13], 500500);
	assert_int_equal(s->cpu->regs[X86_R15], 1001000);
	assert_int_equal(s->frame.rsp, STACK);
	assert_int_equal(s->frame.rflags & X86_FLAGS_ARITH, X86_FLAG_ZF | X86_FLAG_PF);
	program_assert_translated(s, CODE + 5);
}

static void test_recursion(void **state)
{
	struct program *s = *state;

	/* rax += fib(rdi) */
	LOAD(s, CODE, 0xbf, 0x0f, 0x00, 0x00, 0x00, /* mov edi, 15 */
			0xe8, 0x02, 0x00, 0x00, 0x00, /* call fib */
			STOP, /* 10 */
			0x83, 0xff, 0x02, /* 12: fib: cmp edi, 2 */
			0x73, 0x04, /* jae 21 */
			0x48, 0x01, 0xf8, /* add rax, rdi */
			0xc3, /* ret */
			0x55, /* 21: push rbp */
			0x48, 0x89, 0xe5, /* mov rbp, rsp */
			0x57, /* push rdi */
			0xff, 0xcf, /* dec edi */
			0xe8, 0xeb, 0xff, 0xff, 0xff, /* call fib */
			0x5f, /* pop rdi */
			0x83, 0xef, 0x02, /* sub edi, 2 */
			0xe8, 0xe2, 0xff, 0xff, 0xff, /* call fib */
			0xc9, /* leave */
			0xc3); /* ret */
	program_run(s, X86_VECTOR_UD, CODE + 10);
	assert_int_equal(s->cpu->regs[X86_RAX], 610);
	assert_int_equal(s->frame.rsp, STACK);
	program_assert_translated(s, CODE + 12);
}

static void test_calls_across_pages(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xe8, 0xf6, 0x1f, 0x00, 0x00, /* call 0x2000 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz call */
			STOP);
	LOAD(s, CODE + 0x2000, 0x48, 0xff, 0xc0, /* inc rax */
			0xe9, 0xf8, 0x0f, 0x00, 0x00); /* jmp 0x3000 */
	LOAD(s, CODE + 0x3000, 0xe8, 0xf9, 0x0f, 0x00, 0x00, /* call 0x3ffe: runs into 0x4000 */
			0xc3);
	LOAD(s, CODE + 0x3ffe, 0xff, 0xc0, /* inc eax */
			0xff, 0xc0, 0xc2, 0x00, 0x00); /* inc eax; ret 0 */
	program_run(s, X86_VECTOR_UD, CODE + 14);
	assert_int_equal(s->cpu->regs[X86_RAX], 300);
	assert_int_equal(s->frame.rsp, STACK);
	program_assert_translated(s, CODE + 0x2000);
	program_assert_translated(s, CODE + 0x4000);
}

static void test_indirect(void **state)
{
	struct program *s = *state;

	/* Through a table of two, in turn; the second gives back 16 bytes of stack. */
	fixture_put64(s->fixture, DATA, CODE + 0x100);
	fixture_put64(s->fixture, DATA + 8, CODE + 0x1100);
	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x48, 0x89, 0xca, /* 5: mov rdx, rcx */
			0x83, 0xe2, 0x01, /* and edx, 1 */
			0x6a, 0x01, /* push 1 */
			0x6a, 0x01, /* push 1 */
			0xff, 0x14, 0xd5, 0x00, 0x00, 0x06, 0x00, /* call [rdx * 8 + DATA] */
			0x48, 0x8d, 0x35, 0x02, 0x00, 0x00, 0x00, /* lea rsi, [29 + 2] */
			0xff, 0xe6, /* 29: jmp rsi: what follows */
			0xff, 0xc9, /* 31: dec ecx */
			0x75, 0xe2, /* jnz 5 */
			STOP); /* 35 */
	LOAD(s, CODE + 0x100, 0x83, 0xc0, 0x01, /* add eax, 1 */
			0x41, 0x5f, /* pop r15 */
			0x41, 0x5e, 0x41, 0x5e, /* pop r14; pop r14 */
			0x41, 0xff, 0xe7); /* jmp r15 */
	LOAD(s, CODE + 0x1100, 0x05, 0x00, 0x01, 0x00, 0x00, /* add eax, 256 */
			0xc2, 0x10, 0x00); /* ret 16 */
	program_run(s, X86_VECTOR_UD, CODE + 35);
	assert_int_equal(s->cpu->regs[X86_RAX], 100 + 25600);
	assert_int_equal(s->frame.rsp, STACK);
}

/* A branch to what is in rbx, r13, at DATA and on the stack: 50 times to target, then to where no address is. */
static void run_not_canonical(struct program *s, const uint8_t *branch, size_t len, uint64_t target)
{
	const uint64_t at = CODE + 25;

	LOAD(s, CODE, 0xb9, 0x32, 0x00, 0x00, 0x00, /* mov ecx, 50 */
			0x48, 0x89, 0xe7, /* 5: mov rdi, rsp */
			0x53, /* push rbx */
			0x48, 0x89, 0x1c, 0x25, 0x00, 0x00, 0x06, 0x00, /* mov [DATA], rbx */
			0x4c, 0x8d, 0x24, 0x25, 0x00, 0x00, 0x06, 0x00); /* lea r12, [DATA] */
	memcpy(s->fixture->ram + at, branch, len);
	for (uint64_t place = CODE + 0x100; place <= CODE + 0x1100; place += 0x1000) {
		uint8_t tail[] = {0x48, 0x89, 0xfc, /* mov rsp, rdi */
				0xff, 0xc9, /* dec ecx */
				0x48, 0x0f, 0x44, 0xde, /* cmovz rbx, rsi */
				0x49, 0x89, 0xdd, /* mov r13, rbx */
				0xe9, 0, 0, 0, 0}; /* jmp 5 */
		int32_t distance = (int32_t)(CODE + 5 - (place + sizeof(tail)));
		memcpy(tail + sizeof(tail) - 4, &distance, 4);
		memcpy(s->fixture->ram + place, tail, sizeof(tail));
	}
	program_reset(s);
	s->cpu->regs[X86_RBX] = s->cpu->regs[X86_R13] = target;
	s->cpu->regs[X86_RSI] = BIT(47);
	program_run(s, X86_VECTOR_GP, at);
	assert_int_equal(s->frame.error, 0);
	assert_int_equal(s->frame.rsp, STACK - 8);
	assert_int_equal(s->cpu->regs[X86_RCX], 0);
}

static void test_not_canonical(void **state)
{
	static const struct {
		uint8_t len, bytes[8];
	} branches[] = {
			{2, {0xff, 0xe3}}, /* jmp rbx */
			{2, {0xff, 0xd3}}, /* call rbx */
			{3, {0x41, 0xff, 0xe5}}, /* jmp r13 */
			{3, {0x41, 0xff, 0xd5}}, /* call r13 */
			{4, {0x41, 0xff, 0x24, 0x24}}, /* jmp [r12] */
			{4, {0x41, 0xff, 0x14, 0x24}}, /* call [r12] */
			{3, {0xff, 0x24, 0x24}}, /* jmp [rsp] */
			{1, {0xc3}}, /* ret */
			{3, {0xc2, 0x20, 0x00}}, /* ret 32 */
			{3, {0xc2, 0x00, 0xf0}}, /* ret 0xf000 */
	};
	struct program *s = *state;

	for (size_t i = 0; i < G_N_ELEMENTS(branches); i++) {
		for (uint64_t target = CODE + 0x100; target <= CODE + 0x1100; target += 0x1000) {
			block_cache_clear(s->cpu->blocks);
			run_not_canonical(s, branches[i].bytes, branches[i].len, target);
		}
	}
}

static void set_system_calls(struct program *s, uint64_t handler)
{
	s->cpu->msr.star = UINT64_C(0x0010000800000000);
	s->cpu->msr.lstar = handler;
	s->cpu->msr.sfmask = 0;
}

/* A function that ring 0 may run and ring 3 may not: what it reads is the kernel's. */
static void test_privilege(void **state)
{
	struct program *s = *state;

	program_map(s, DATA, DATA | 3);
	fixture_put32(s->fixture, DATA, 5);
	set_system_calls(s, CODE + 0x100);
	LOAD(s, CODE, 0xb9, 0x00, 0x02, 0x04, 0x00, /* mov ecx, 0x200 */
			0xbd, 0x64, 0x00, 0x00, 0x00, /* mov ebp, 100 */
			0x41, 0xbb, 0x02, 0x00, 0x00, 0x00, /* mov r11d, 2: flags */
			0x48, 0x0f, 0x07); /* sysret */
	LOAD(s, CODE + 0x200, 0x0f, 0x05, /* syscall */
			0xff, 0xcd, /* dec ebp */
			0x75, 0xfa, /* jnz 0x200 */
			0xe8, 0xf5, 0x00, 0x00, 0x00, /* call 0x300 */
			STOP);
	LOAD(s, CODE + 0x100, 0xe8, 0xfb, 0x01, 0x00, 0x00, /* call 0x300 */
			0x48, 0x0f, 0x07); /* sysret */
	LOAD(s, CODE + 0x300, 0x03, 0x04, 0x25, 0x00, 0x00, 0x06, 0x00, /* add eax, [DATA] */
			0xc3);
	program_run(s, X86_VECTOR_PF, CODE + 0x300);
	assert_int_equal(s->frame.error, X86_PF_PRESENT | X86_PF_USER);
	assert_int_equal(s->cpu->cr2, DATA);
	assert_int_equal(s->frame.rsp, STACK - 8);
	assert_int_equal(s->frame.cs, SEL_USER_CODE);
	assert_int_equal(s->frame.ss, SEL_USER_DATA);
	assert_int_equal(s->cpu->regs[X86_RAX], 500);
}

/* All is the supervisor's but the page at DATA, and SMAP is on. */
static void prevent_access(struct program *s)
{
	for (uint64_t page = 0; page < 0x1ff000; page += GUEST_PAGE_SIZE) {
		program_map(s, page, page | (page == DATA ? 7 : 3));
	}
	cpu_set_cr4(s->cpu, s->cpu->cr4 | X86_CR4_SMAP);
	cpu_update_mode(s->cpu);
}

/* Supervisor code reads the user's memory with AC set, and not without. */
static void test_access_prevention(void **state)
{
	struct program *s = *state;

	prevent_access(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x01, 0xcb, /* stac */
			0xe8, 0xf3, 0x00, 0x00, 0x00, /* 8: call 0x100 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz 8 */
			0x0f, 0x01, 0xca, /* clac */
			0xe8, 0xe7, 0x00, 0x00, 0x00, /* call 0x100 */
			STOP);
	LOAD(s, CODE + 0x100, 0xff, 0xc0, /* inc eax */
			0x8b, 0x1c, 0x25, 0x00, 0x00, 0x06, 0x00, /* mov ebx, [DATA] */
			0xc3);
	program_run(s, X86_VECTOR_PF, CODE + 0x102);
	assert_int_equal(s->frame.error, X86_PF_PRESENT);
	assert_int_equal(s->cpu->regs[X86_RAX], 101);
}

/* The same inside one block, which is hot when the access that may not be comes. */
static void test_access_prevention_in_block(void **state)
{
	struct program *s = *state;

	prevent_access(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xbe, 0x00, 0x10, 0x06, 0x00, /* mov esi, DATA + 0x1000 */
			0xbf, 0x00, 0x00, 0x06, 0x00, /* mov edi, DATA */
			0x0f, 0x01, 0xcb, /* stac */
			0x8b, 0x1c, 0x25, 0x00, 0x00, 0x06, 0x00, /* 18: mov ebx, [DATA] */
			0x0f, 0x01, 0xca, /* clac */
			0x83, 0xf9, 0x01, /* cmp ecx, 1 */
			0x48, 0x0f, 0x44, 0xf7, /* cmove rsi, rdi */
			0x8b, 0x16, /* 35: mov edx, [rsi] */
			0x0f, 0x01, 0xcb, /* stac */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe6, /* jnz 18 */
			STOP);
	program_run(s, X86_VECTOR_PF, CODE + 35);
	assert_int_equal(s->frame.error, X86_PF_PRESENT);
	assert_int_equal(s->cpu->regs[X86_RCX], 1);
}

static void test_address_zero(void **state)
{
	struct program *s = *state;

	/* From 0 and back, by jmp and by ret. */
	LOAD(s, 0, 0xff, 0xc3, /* inc ebx */
			0xff, 0xe2); /* jmp rdx */
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x48, 0x8d, 0x15, 0x05, 0x00, 0x00, 0x00, /* 5: lea rdx, [17] */
			0x31, 0xc0, /* xor eax, eax */
			0x50, /* push rax */
			0xff, 0xe0, /* jmp rax */
			0x48, 0x8d, 0x15, 0x01, 0x00, 0x00, 0x00, /* 17: lea rdx, [25] */
			0xc3, /* ret */
			0xff, 0xc9, /* 25: dec ecx */
			0x75, 0xe8, /* jnz 5 */
			STOP);
	program_run(s, X86_VECTOR_UD, CODE + 29);
	assert_int_equal(s->cpu->regs[X86_RBX], 200);
	program_assert_translated(s, 0);
	program_map(s, 0, 0);
	program_reset(s);
	program_run(s, X86_VECTOR_PF, 0);
	assert_int_equal(s->frame.error, X86_PF_FETCH);
	assert_int_equal(s->cpu->cr2, 0);
	assert_int_equal(s->frame.rsp, STACK - 8);
	assert_int_equal(s->cpu->regs[X86_RBX], 0);
}

/* Falls, jumps, calls and returns into a page that is there, and then is not. */
static void test_unmapped(void **state)
{
	struct program *s = *state;
	const uint64_t next = CODE + 0x1000;

	LOAD(s, next, 0xff, 0xc0, /* inc eax */
			0x48, 0x89, 0xfc, /* mov rsp, rdi */
			0xff, 0xc9, /* dec ecx */
			0x74, 0x02, /* jz +2 */
			0xff, 0xe2, /* jmp rdx */
			STOP);
	LOAD(s, CODE + 0xffe, 0xff, 0xc5); /* inc ebp; falls */
	LOAD(s, CODE + 0x100, 0xe9, 0xfb, 0x0e, 0x00, 0x00); /* jmp next */
	LOAD(s, CODE + 0x200, 0xe8, 0xfb, 0x0d, 0x00, 0x00); /* call next */
	LOAD(s, CODE + 0x300, 0x56, 0xc3); /* push rsi; ret */
	LOAD(s, CODE + 0x400, 0x0f, 0x84, 0xfa, 0x0b, 0x00, 0x00, /* jz next */
			0x0f, 0x85, 0xf4, 0x0b, 0x00, 0x00); /* jnz next */
	static const struct {
		uint32_t entry, rsp;
	} ways[] = {{0xffe, 0}, {0x100, 0}, {0x200, 8}, {0x300, 0}, {0x400, 0}};
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		program_map(s, next, next | 7);
		program_reset(s);
		s->cpu->rip = s->cpu->regs[X86_RDX] = CODE + ways[i].entry;
		s->cpu->regs[X86_RSI] = next;
		s->cpu->regs[X86_RDI] = STACK;
		s->cpu->regs[X86_RCX] = 100;
		program_run(s, X86_VECTOR_UD, next + 11);
		assert_int_equal(s->cpu->regs[X86_RAX], 100);
		program_map(s, next, 0);
		program_reset(s);
		s->cpu->rip = CODE + ways[i].entry;
		s->cpu->regs[X86_RSI] = next;
		program_run(s, X86_VECTOR_PF, next);
		assert_int_equal(s->cpu->cr2, next);
		assert_int_equal(s->frame.rsp, STACK - ways[i].rsp);
		assert_int_equal(s->cpu->regs[X86_RAX], 0);
	}
}

/* The last page below where addresses end: running on is what no translation knows. */
static void test_end_of_addresses(void **state)
{
	struct program *s = *state;
	const uint64_t page = UINT64_C(0x7ffffffff000);

	/* The tables that lead to it. */
	fixture_put64(s->fixture, FIXTURE_PML4 + 8 * 255, 0x8007);
	fixture_put64(s->fixture, 0x8000 + 8 * 511, 0x9007);
	fixture_put64(s->fixture, 0x9000 + 8 * 511, 0xa007);
	fixture_put64(s->fixture, 0xa000 + 8 * 511, (CODE + 0x2000) | 7);
	LOAD(s, CODE + 0x2ff0, 0xff, 0xc9, /* 0xff0: dec ecx */
			0x0f, 0x85, 0xf8, 0xef, 0xff, 0xff, /* jnz 0xff0 */
			0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
	memcpy(s->fixture->ram + CODE + 0x2ff4, "\xf8\xff\xff\xff", 4);
	for (unsigned i = 0; i < 30; i++) {
		program_reset(s);
		s->cpu->rip = page + 0xff0;
		s->cpu->regs[X86_RCX] = 20;
		program_run(s, X86_VECTOR_GP, page + 0x1000);
		assert_int_equal(s->cpu->regs[X86_RCX], 0);
	}
	LOAD(s, CODE + 0x2f00, 0xe9, 0x00, 0x10, 0x00, 0x00); /* jmp too far */
	LOAD(s, CODE + 0x2f80, 0xe8, 0x00, 0x10, 0x00, 0x00); /* call too far */
	for (unsigned i = 0; i < 60; i++) {
		program_reset(s);
		s->cpu->rip = page + (i & 1 ? 0xf00 : 0xf80);
		program_run(s, X86_VECTOR_GP, s->cpu->rip);
		assert_int_equal(s->frame.rsp, STACK);
	}
}

static void test_device(void **state)
{
	struct program *s = *state;

	program_map(s, ALIAS, DEVICE_PHYSICAL | 7);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x01, 0x0e, /* 5: add [rsi], ecx */
			0x8b, 0x06, /* mov eax, [rsi] */
			0x89, 0x0c, 0x24, /* mov [rsp], ecx */
			0x48, 0x01, 0xc3, /* add rbx, rax */
			0x89, 0x06, /* mov [rsi], eax */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf0, /* jnz 5 */
			STOP);
	s->cpu->regs[X86_RSI] = ALIAS;
	s->cpu->regs[X86_RSP] = STACK - 64;
	program_run(s, X86_VECTOR_UD, CODE + 21);
	assert_int_equal(s->device_value, 5050);
	assert_int_equal(s->device_reads, 200);
	assert_int_equal(s->device_writes, 200);
	assert_int_equal(s->cpu->regs[X86_RAX], 5050);
	program_assert_translated(s, CODE + 5);
}

static void test_single_step(void **state)
{
	struct program *s = *state;

	/* Hot code under the eye of TF, from one instruction on. */
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x9c, /* 5: pushf */
			0x09, 0x04, 0x24, /* or [rsp], eax */
			0x9d, /* popf */
			0xff, 0xc3, /* inc ebx */
			0xff, 0xc3, /* inc ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf3, /* jnz 5 */
			0xb9, 0x01, 0x00, 0x00, 0x00, /* mov ecx, 1 */
			0xb8, 0x00, 0x01, 0x00, 0x00, /* mov eax, TF */
			0xeb, 0xe7, /* jmp 5 */
			STOP);
	program_run(s, X86_VECTOR_DB, CODE + 12);
	assert_int_equal(s->cpu->regs[X86_RBX], 201);
	assert_int_equal(s->frame.rsp, STACK);
}

/* MXCSR words at DATA: all exceptions masked, and none. Ones in xmm1, zero in xmm4. */
static void set_vectors(struct program *s)
{
	static const float one = 1.0f;

	cpu_set_cr4(s->cpu, s->cpu->cr4 | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT);
	memset(s->cpu->fx.xmm, 0, sizeof(s->cpu->fx.xmm));
	for (unsigned i = 0; i < 4; i++) {
		memcpy(&s->cpu->fx.xmm[1][4 * i], &one, sizeof(one));
	}
	s->cpu->fx.mxcsr = 0x1f80;
	fixture_put32(s->fixture, DATA, 0x1f80);
	fixture_put32(s->fixture, DATA + 4, 0);
	s->cpu->regs[X86_RSI] = DATA;
}

static void assert_sum(struct program *s, unsigned reg, float expected)
{
	for (unsigned i = 0; i < 4; i++) {
		float value;
		memcpy(&value, &s->cpu->fx.xmm[reg][4 * i], sizeof(value));
		assert_true(value == expected);
	}
}

/* Exceptions masked and not, in turn; then one that comes. */
static void test_vector_exceptions(void **state)
{
	struct program *s = *state;

	native_catch_sigfpe(); /* cmocka has taken it for this test */
	set_vectors(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x58, 0xc1, /* 5: addps xmm0, xmm1 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf9, /* jnz 5 */
			0xb1, 0x64, /* mov cl, 100 */
			0x0f, 0xae, 0x56, 0x04, /* 14: ldmxcsr [rsi + 4] */
			0x0f, 0x59, 0xc1, /* mulps xmm0, xmm1 */
			0x0f, 0xae, 0x16, /* ldmxcsr [rsi] */
			0x0f, 0x58, 0xc1, /* addps xmm0, xmm1 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xef, /* jnz 14 */
			0x0f, 0xae, 0x56, 0x04, /* ldmxcsr [rsi + 4] */
			0x0f, 0x58, 0xc1, /* addps xmm0, xmm1 */
			0x0f, 0x5e, 0xc4, /* 38: divps xmm0, xmm4 */
			STOP);
	program_run(s, X86_VECTOR_XM, CODE + 38);
	assert_int_equal(s->cpu->fx.mxcsr, 1 << 2); /* division by zero */
	assert_sum(s, 0, 201);
}

/* Hot code after CR0.TS has been set. */
/* Registers that stay in the host's around a loop, by ways that need some of them, others, and none. */
static void test_vectors_in_loop(void **state)
{
	struct program *s = *state;

	set_vectors(s);
	memset(s->cpu->fx.xmm, 0, sizeof(s->cpu->fx.xmm));
	s->cpu->fx.xmm[1][0] = 1;
	s->cpu->fx.xmm[2][0] = 2;
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x66, 0x0f, 0xd4, 0xc1, /* 5: paddq xmm0, xmm1 */
			0xff, 0xc9, /* dec ecx */
			0x74, 0x12, /* jz 31 */
			0xf6, 0xc1, 0x01, /* test cl, 1 */
			0x75, 0x0a, /* jnz 28 */
			0x66, 0x0f, 0xd4, 0xca, /* paddq xmm1, xmm2 */
			0x66, 0x0f, 0xeb, 0xc0, /* por xmm0, xmm0 */
			0xeb, 0xe9, /* jmp 5 */
			0xfc, /* 28: cld: called out */
			0xeb, 0xe6, /* jmp 5 */
			STOP);
	program_run(s, X86_VECTOR_UD, CODE + 31);
	assert_int_equal(le16_load(s->cpu->fx.xmm[0]), 5000);
	assert_int_equal(le16_load(s->cpu->fx.xmm[1]), 99);
	/* The block that all of them lead to goes away while they do. */
	program_reset(s);
	s->cpu->fx.xmm[1][0] = 1;
	s->cpu->fx.xmm[0][0] = s->cpu->fx.xmm[0][1] = 0;
	LOAD(s, CODE + 28, 0x90, 0xeb, 0xe6); /* nop; jmp 5 */
	LOAD(s, CODE + 5, 0x66, 0x0f, 0xfb, 0xc1); /* psubq xmm0, xmm1 */
	code_map_written(s->map, CODE, GUEST_PAGE_SIZE);
	cpu_request(s->cpu, CPU_REQUEST_CODE);
	program_run(s, X86_VECTOR_UD, CODE + 31);
	assert_int_equal(le16_load(s->cpu->fx.xmm[0]), 0x10000 - 5000);
}

/* Vectors that one block of a loop uses, another leaves alone, and a third changes by what is called out. */
static void test_vectors_between_blocks(void **state)
{
	struct program *s = *state;

	set_vectors(s);
	memset(s->cpu->fx.xmm, 0, sizeof(s->cpu->fx.xmm));
	s->cpu->fx.xmm[1][0] = 1;
	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0x0f, 0xae, 0x06, /* fxsave [rsi] */
			0x66, 0x0f, 0xd4, 0xc1, /* 8: paddq xmm0, xmm1 */
			0xf6, 0xc1, 0x03, /* test cl, 3 */
			0x75, 0x03, /* jnz 20 */
			0x0f, 0xae, 0x0e, /* fxrstor [rsi] */
			0xff, 0xc9, /* 20: dec ecx */
			0x75, 0xf0, /* jnz 8 */
			STOP); /* 24 */
	program_run(s, X86_VECTOR_UD, CODE + 24);
	assert_int_equal(le16_load(s->cpu->fx.xmm[0]), 3);
	assert_int_equal(le16_load(s->cpu->fx.xmm[1]), 1);
	program_assert_translated(s, CODE + 20);
}

static void test_no_vectors(void **state)
{
	struct program *s = *state;

	set_vectors(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x58, 0xc1, /* 5: addps xmm0, xmm1 */
			0xff, 0xc3, /* inc ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz 5 */
			0x0f, 0x20, 0xc0, /* mov rax, cr0 */
			0x83, 0xc8, 0x08, /* or eax, TS */
			0x0f, 0x22, 0xc0, /* mov cr0, rax */
			0xeb, 0xec); /* jmp 5 */
	program_run(s, X86_VECTOR_NM, CODE + 5);
	assert_sum(s, 0, 100);
	assert_int_equal(s->cpu->regs[X86_RBX], 100);
}

/* The return uses the look into the TLB of the load before it, and x87's pointer is written between the two. */
static void test_return_after_x87(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xdb, 0xe3, /* fninit */
			0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xe8, 0xf4, 0x00, 0x00, 0x00, /* 7: call 0x100 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz 7 */
			STOP); /* 16 */
	LOAD(s, CODE + 0x100, 0xd9, 0xe8, /* fld1 */
			0xdd, 0xd8, /* fstp st0 */
			0x48, 0x8b, 0x04, 0x24, /* mov rax, [rsp] */
			0xc3);
	program_run(s, X86_VECTOR_UD, CODE + 16);
	assert_int_equal(s->cpu->regs[X86_RAX], CODE + 12);
	assert_int_equal(s->frame.rsp, STACK);
}

static void test_endless_loops(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xeb, 0xfe); /* jmp $ */
	LOAD(s, CODE + 0x100, 0xeb, 0x02, 0x90, 0x90, 0x50, 0xc3); /* forwards; push rax; ret */
	LOAD(s, CODE + 0x200, 0xe9, 0xfb, 0x1d, 0x00, 0x00); /* another page and back */
	LOAD(s, CODE + 0x2000, 0xff, 0xe0); /* jmp rax */
	LOAD(s, CODE + 0x300, 0xff, 0xc3, 0x75, 0xfc, 0xeb, 0xfa); /* inc ebx; jnz; jmp */
	LOAD(s, CODE + 0x400, 0xff, 0xe0); /* jmp rax: to itself */
	LOAD(s, CODE + 0x500, 0xe8, 0x00, 0x00, 0x00, 0x00, /* call next */
			0x58, /* pop rax */
			0x48, 0x83, 0xe8, 0x05, /* sub rax, 5 */
			0xff, 0xe0); /* jmp rax */
	for (uint64_t offset = 0; offset <= 0x500; offset += 0x100) {
		program_reset(s);
		s->cpu->nmi_blocked = false;
		s->cpu->rip = s->cpu->regs[X86_RAX] = CODE + offset;
		s->cpu->page_rip = 0; /* translated code sets it */
		GThread *thread = g_thread_new("interrupt", program_interrupt, s);
		program_run(s, X86_VECTOR_NMI, UINT64_MAX);
		g_thread_join(thread);
		assert_true(s->frame.rip >= CODE && s->frame.rip < CODE + 0x2002);
		assert_true(s->frame.rsp == STACK || s->frame.rsp == STACK - 8);
	}
}

/* A division by zero in a hot loop: masked, and then not. */
static void test_x87_exceptions(void **state)
{
	struct program *s = *state;

	s->cpu->cr0 |= X86_CR0_NE;
	fixture_put32(s->fixture, DATA, 0x037b037f);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xbf, 0x00, 0x00, 0x06, 0x00, /* mov edi, DATA */
			0xbe, 0x02, 0x00, 0x06, 0x00, /* mov esi, DATA + 2 */
			0x83, 0xf9, 0x02, /* 15: cmp ecx, 2 */
			0x48, 0x0f, 0x44, 0xfe, /* cmove rdi, rsi */
			0xdb, 0xe3, /* fninit */
			0xd9, 0x2f, /* fldcw [rdi] */
			0xd9, 0xe8, /* fld1 */
			0xd9, 0xee, /* fldz */
			0xde, 0xf9, /* 30: fdivp */
			0x9b, /* 32: fwait */
			0xdd, 0xd8, /* fstp st0 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe8, /* jnz 15 */
			STOP);
	program_run(s, X86_VECTOR_MF, CODE + 32);
	assert_int_equal(s->cpu->regs[X86_RCX], 2);
	assert_int_equal(s->cpu->fx.fcw, 0x37b);
	assert_int_equal(s->cpu->fx.fip, CODE + 30);
	assert_int_equal(s->cpu->fx.fop, 0x6f9);
	assert_int_equal(s->cpu->fx.fsw & 0x84, 0x84);
	assert_false(s->cpu->x87_resident);
}

/* More blocks than SMALL has room for, several times around. */
static void test_many_blocks(void **state)
{
	struct program *s = *state;
	uint8_t *ram = s->fixture->ram + CODE;
	uint64_t at = 0;

	for (unsigned i = 0; i < 2000; i++) {
		/* Each in a place of its own: a load, a sum, a jump over 3 bytes. */
		static const uint8_t piece[] = {0x41, 0x03, 0x06, /* add eax, [r14] */
				0x45, 0x01, 0xef, /* add r15d, r13d */
				0x74, 0x03, /* jz +3 */
				0xeb, 0x01, /* jmp +1 */
				0xcc};
		memcpy(ram + at, piece, sizeof(piece));
		at += sizeof(piece);
	}
	memcpy(ram + at, "\xff\xc9\x0f\x85", 4);
	int32_t distance = -(int32_t)(at + 8);
	memcpy(ram + at + 4, &distance, 4);
	memcpy(ram + at + 8, "\x0f\x0b", 2);
	fixture_put32(s->fixture, DATA, 3);
	s->cpu->regs[X86_R13] = 1;
	s->cpu->regs[X86_R14] = DATA;
	s->cpu->regs[X86_RCX] = 150;
	uint64_t clears = s->cpu->blocks->clears;
	program_run(s, X86_VECTOR_UD, CODE + at + 8);
	assert_int_equal(s->cpu->regs[X86_RAX], 2000 * 150 * 3);
	assert_int_equal(s->cpu->regs[X86_R15], 2000 * 150);
	if (s->way == SMALL) {
		assert_true(s->cpu->blocks->clears > clears + 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			PROGRAM_TEST(test_loop),
			PROGRAM_TEST(test_recursion),
			PROGRAM_TEST(test_calls_across_pages),
			PROGRAM_TEST(test_indirect),
			PROGRAM_TEST(test_not_canonical),
			PROGRAM_TEST(test_privilege),
			PROGRAM_TEST(test_access_prevention),
			PROGRAM_TEST(test_access_prevention_in_block),
			PROGRAM_TEST(test_address_zero),
			PROGRAM_TEST(test_unmapped),
			PROGRAM_TEST(test_end_of_addresses),
			PROGRAM_TEST(test_device),
			PROGRAM_TEST(test_single_step),
			PROGRAM_TEST(test_vector_exceptions),
			PROGRAM_TEST(test_vectors_in_loop),
			PROGRAM_TEST(test_vectors_between_blocks),
			PROGRAM_TEST(test_no_vectors),
			PROGRAM_TEST(test_x87_exceptions),
			PROGRAM_TEST(test_return_after_x87),
			PROGRAM_TEST(test_endless_loops),
			PROGRAM_TEST(test_many_blocks),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
