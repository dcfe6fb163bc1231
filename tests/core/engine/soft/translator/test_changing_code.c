/* SPDX-License-Identifier: MIT */
/*
 * Programs that change their code, by every kind of store and through other addresses, or what code is mapped.
 */
#include "tests/core/engine/soft/translator/program.h"

#include "core/base/thread.h"

/* What the programs below sum up: the byte patched at every 32nd of 200 rounds. */
static uint64_t patched_sum(uint64_t value, bool counts_down)
{
	uint64_t sum = 0;

	for (unsigned round = 200; round > 0; round--) {
		if (round % 32 == 0) {
			value = counts_down ? value - 1 : round;
		}
		sum += value;
	}
	return sum;
}

static void test_store_into_running_block(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x48, 0x89, 0xfa, /* 5: mov rdx, rdi */
			0xf6, 0xc1, 0x1f, /* test cl, 31 */
			0x48, 0x0f, 0x44, 0xd6, /* cmovz rdx, rsi */
			0x88, 0x0a, /* mov [rdx], cl */
			0xbb, 0x00, 0x00, 0x00, 0x00, /* 17: mov ebx, 0: cl by then */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe9, /* jnz 5 */
			STOP); /* 28 */
	s->cpu->regs[X86_RSI] = CODE + 18;
	s->cpu->regs[X86_RDI] = DATA;
	program_run(s, X86_VECTOR_UD, CODE + 28);
	assert_int_equal(s->cpu->regs[X86_RAX], patched_sum(0, false));
}

/* Calls of a function, by way of another, that is patched when it has become hot. */
static void run_patching(struct program *s, const uint8_t *patch, size_t len, bool counts_down)
{
	uint8_t *ram = s->fixture->ram + CODE;

	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0xf6, 0xc1, 0x1f, /* 5: test cl, 31 */
			0x75, 0x30, /* jnz 58 */
			0xe9, 0xf1, 0x01, 0x00, 0x00); /* jmp 0x200: the patch */
	LOAD(s, CODE + 58, 0xe8, 0xc1, 0x00, 0x00, 0x00, /* call 0x100 */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xc0, /* jnz 5 */
			STOP); /* 69 */
	LOAD(s, CODE + 0x100, 0xeb, 0x0e); /* jmp 0x110 */
	LOAD(s, CODE + 0x110, 0xbb, 0x64, 0x00, 0x00, 0x00, /* mov ebx, 100: patched */
			0xc3);
	memcpy(ram + 0x200, patch, len);
	ram[0x200 + len] = 0xe9;
	int32_t distance = 58 - (int32_t)(0x200 + len + 5);
	memcpy(ram + 0x201 + len, &distance, 4);
	block_cache_clear(s->cpu->blocks);
	program_reset(s);
	program_run(s, X86_VECTOR_UD, CODE + 69);
	assert_int_equal(s->cpu->regs[X86_RAX], patched_sum(100, counts_down));
}

static void test_store_into_other_block(void **state)
{
	struct program *s = *state;
	static const uint8_t byte[] = {
			0x88, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00}; /* mov [imm], cl */
	static const uint8_t wide[] = {0x89, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00}; /* ecx */
	static const uint8_t dec[] = {0xff, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00}; /* dec [imm] */
	static const uint8_t lock[] = {0xf0, 0xff, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00};
	static const uint8_t exchange[] = {0x89, 0xca, /* mov edx, ecx */
			0x87, 0x14, 0x25, 0x11, 0x01, 0x04, 0x00}; /* xchg [imm], edx */
	static const uint8_t string[] = {0x89, 0xc2, /* mov edx, eax */
			0x89, 0xc8, /* mov eax, ecx */
			0xbf, 0x11, 0x01, 0x04, 0x00, /* mov edi, imm */
			0xaa, /* stosb */
			0x89, 0xd0}; /* mov eax, edx */
	static const uint8_t push[] = {0x48, 0x89, 0xe7, /* mov rdi, rsp */
			0xbc, 0x19, 0x01, 0x04, 0x00, /* mov esp, imm + 8 */
			0x48, 0xba, 0x00, 0x00, 0x00, 0x00, 0xc3, 0, 0, 0, /* mov rdx, ret << 32 */
			0x48, 0x09, 0xca, /* or rdx, rcx */
			0x52, /* push rdx */
			0x48, 0x89, 0xfc}; /* mov rsp, rdi */

	run_patching(s, byte, sizeof(byte), false);
	run_patching(s, wide, sizeof(wide), false);
	run_patching(s, dec, sizeof(dec), true);
	run_patching(s, lock, sizeof(lock), true);
	run_patching(s, exchange, sizeof(exchange), false);
	run_patching(s, string, sizeof(string), false);
	run_patching(s, push, sizeof(push), false);
}

/* A block of one instruction, whose translation is hardly longer than the exit that replaces it. */
static void test_store_into_short_block(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0xf6, 0xc1, 0x1f, /* 5: test cl, 31 */
			0x75, 0x07, /* jnz 17 */
			0x88, 0x0c, 0x25, 0x04, 0x01, 0x04, 0x00, /* mov [0x104], cl */
			0xe8, 0xea, 0x00, 0x00, 0x00, /* 17: call 0x100 */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe9, /* jnz 5 */
			STOP); /* 28 */
	LOAD(s, CODE + 0x100, 0x0f, 0x01, 0x3c, 0x25, 0x00, 0x00, 0x06, 0x00, /* invlpg [DATA] */
			0xbb, 0x64, 0x00, 0x00, 0x00, /* mov ebx, 100 */
			0xc3);
	program_run(s, X86_VECTOR_UD, CODE + 28);
	assert_int_equal(s->cpu->regs[X86_RAX], 200 * 100);
}

static void test_store_through_alias(void **state)
{
	struct program *s = *state;
	static const uint8_t byte[] = {
			0x88, 0x0c, 0x25, 0x11, 0x01, 0x10, 0x00}; /* mov [imm], cl */

	program_map(s, ALIAS, CODE | 7);
	run_patching(s, byte, sizeof(byte), false);
}

/* One store, half of it in the page before the code. */
static void test_store_across_pages(void **state)
{
	struct program *s = *state;

	LOAD(s, CODE + 0x100, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x48, 0x89, 0xca, /* 0x105: mov rdx, rcx */
			0x48, 0xc1, 0xe2, 0x28, /* shl rdx, 40 */
			0x48, 0x81, 0xca, 0x00, 0x00, 0x00, 0x00, /* or rdx, 0 */
			0x48, 0xbf, 0, 0, 0, 0, 0xb3, 0, 0,
			0, /* mov rdi, 0xb3 << 32: mov bl, imm */
			0x48, 0x09, 0xfa, /* or rdx, rdi */
			0x48, 0xbf, 0, 0, 0, 0, 0, 0, 0xc3, 0, /* mov rdi, ret */
			0x48, 0x09, 0xfa, /* or rdx, rdi */
			0x48, 0x89, 0x14, 0x25, 0xfc, 0xff, 0x03, 0x00, /* mov [CODE - 4], rdx */
			0xe8, 0xc6, 0xfe, 0xff, 0xff, /* call CODE */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xc5, /* jnz 0x105 */
			STOP);
	LOAD(s, CODE, 0xb3, 0x00, 0xc3);
	s->cpu->rip = CODE + 0x100;
	program_run(s, X86_VECTOR_UD, CODE + 0x140);
	assert_int_equal(s->cpu->regs[X86_RAX], 5050);
}

static void test_mapping_changes(void **state)
{
	struct program *s = *state;
	const uint64_t entry = FIXTURE_PAGE_TABLE + 8 * (ALIAS >> 12);

	/* The same address, two pages in turn. */
	LOAD(s, CODE + 0x2000, 0x83, 0xc0, 0x01, 0xc3); /* add eax, 1; ret */
	LOAD(s, CODE + 0x3000, 0x05, 0x00, 0x01, 0x00, 0x00, 0xc3); /* add eax, 256; ret */
	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x48, 0x89, 0x33, /* 5: mov [rbx], rsi */
			0x0f, 0x01, 0x3a, /* invlpg [rdx] */
			0xff, 0xd2, /* call rdx */
			0x48, 0x87, 0xf7, /* xchg rsi, rdi */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf1, /* jnz 5 */
			STOP);
	s->cpu->regs[X86_RBX] = entry;
	s->cpu->regs[X86_RDX] = ALIAS;
	s->cpu->regs[X86_RSI] = (CODE + 0x2000) | 7;
	s->cpu->regs[X86_RDI] = (CODE + 0x3000) | 7;
	program_run(s, X86_VECTOR_UD, CODE + 20);
	assert_int_equal(s->cpu->regs[X86_RAX], 25700);
}

#define OTHER_PML4 UINT64_C(0x8000)

/* A second address space, which differs at ALIAS and in the data page after it. */
static void map_other(struct program *s)
{
	uint8_t *ram = s->fixture->ram;

	memcpy(ram + OTHER_PML4, ram + FIXTURE_PML4, GUEST_PAGE_SIZE);
	memcpy(ram + 0x9000, ram + FIXTURE_PDPT, GUEST_PAGE_SIZE);
	memcpy(ram + 0xa000, ram + FIXTURE_PD, GUEST_PAGE_SIZE);
	memcpy(ram + 0xb000, ram + FIXTURE_PAGE_TABLE, GUEST_PAGE_SIZE);
	fixture_put64(s->fixture, OTHER_PML4, 0x9007);
	fixture_put64(s->fixture, 0x9000, 0xa007);
	fixture_put64(s->fixture, 0xa000, 0xb007);
	fixture_put64(s->fixture, 0xb000 + 8 * (ALIAS >> 12), (CODE + 0x3000) | 7);
	fixture_put64(s->fixture, 0xb008 + 8 * (ALIAS >> 12), (DATA + 0x1000) | 7);
	program_map(s, ALIAS, (CODE + 0x2000) | 7);
	program_map(s, ALIAS + 0x1000, DATA | 7);
	fixture_put32(s->fixture, DATA, 1);
	fixture_put32(s->fixture, DATA + 0x1000, 256);
}

static void test_address_spaces(void **state)
{
	struct program *s = *state;

	map_other(s);
	/* The same bytes in both, but what they call and load differs. */
	LOAD(s, CODE + 0x2000, 0x03, 0x05, 0xfa, 0x0f, 0x00, 0x00, /* add eax, [ALIAS + 0x1000] */
			0xc3);
	LOAD(s, CODE + 0x3000, 0x03, 0x05, 0xfa, 0x0f, 0x00, 0x00, 0xff, 0xc5, /* and inc ebp */
			0xc3);
	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x0f, 0x22, 0xde, /* 5: mov cr3, rsi */
			0xff, 0xd2, /* call rdx */
			0x48, 0x87, 0xf7, /* xchg rsi, rdi */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf4, /* jnz 5 */
			STOP);
	s->cpu->regs[X86_RDX] = ALIAS;
	s->cpu->regs[X86_RSI] = FIXTURE_PML4;
	s->cpu->regs[X86_RDI] = OTHER_PML4;
	program_run(s, X86_VECTOR_UD, CODE + 17);
	assert_int_equal(s->cpu->regs[X86_RAX], 25700);
	assert_int_equal(s->cpu->regs[X86_RBP], 100);
}

static void load_user_program(struct program *s)
{
	/* The user's is at ALIAS, and calls there from the page before. */
	LOAD(s, CODE + 0x4000, 0xe8, 0xfb, 0x0f, 0x00, 0x00, /* call ALIAS */
			0x0f, 0x05); /* syscall */
	program_map(s, ALIAS - 0x1000, (CODE + 0x4000) | 7);
	LOAD(s, CODE + 0x2000, 0x03, 0x05, 0xfa, 0x0f, 0x00, 0x00, /* add eax, [ALIAS + 0x1000] */
			0xc3);
	LOAD(s, CODE + 0x3000, 0x03, 0x05, 0xfa, 0x0f, 0x00, 0x00, 0xff, 0xc5, /* and inc ebp */
			0xc3);
	LOAD(s, CODE, 0x0f, 0x22, 0xde, /* mov cr3, rsi */
			0x48, 0x89, 0xd1, /* mov rcx, rdx */
			0x41, 0xbb, 0x02, 0x00, 0x00, 0x00, /* mov r11d, 2 */
			0x48, 0x0f, 0x07, /* sysret */
			0x48, 0x87, 0xf7, /* 15: xchg rsi, rdi */
			0x4c, 0x87, 0xc7, /* xchg rdi, r8 */
			0xff, 0xcb, /* dec ebx */
			0x75, 0xe7, /* jnz 0 */
			STOP);
	s->cpu->msr.star = (uint64_t)SEL_CODE << 32 | UINT64_C(0x10) << 48;
	s->cpu->msr.lstar = CODE + 15;
}

/* Three user programs in turns, of which two have the same tables, with PCIDs that are kept: more of them than slots. */
static void test_pcids(void **state)
{
	struct program *s = *state;
	struct cpu *cpu = s->cpu;
	bool fsgsbase = cpu->fsgsbase;

	load_user_program(s);
	map_other(s);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t pcid = X86_CR3_KEEP | (1 + 3 * (i % 4));
		bool swapped = i / 2 % 2; /* slots are used again by those that have other tables */
		uint64_t one = swapped ? OTHER_PML4 : FIXTURE_PML4;
		uint64_t two = swapped ? FIXTURE_PML4 : OTHER_PML4;
		program_reset(s);
		cpu->cpl = 0;
		cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_PCIDE);
		cpu->fsgsbase = fsgsbase && i % 2 == 0;
		cpu->regs[X86_RDX] = ALIAS - 0x1000;
		cpu->regs[X86_RSI] = pcid + one;
		cpu->regs[X86_RDI] = pcid + two + 1;
		cpu->regs[X86_R8] = pcid + two + 2;
		cpu->regs[X86_RBX] = 150;
		program_run(s, X86_VECTOR_UD, CODE + 25);
		assert_int_equal(cpu->regs[X86_RAX], swapped ? 100 + 50 * 256 : 50 + 100 * 256);
		assert_int_equal(cpu->regs[X86_RBP], swapped ? 50 : 100);
	}
	assert_true(cpu->stats.values[STAT_TLB_SWITCHES] > 8 * 140);
}

/* CF from one function to where the next looks at it: by returns, calls and jumps, through blocks that do not touch it. */
static void test_flags_across_calls(void **state)
{
	struct program *s = *state;

	/* The second of three bytes of what two functions begin with: ADC, SUB, SBB of 0; only SUB does not look at CF. */
	static const struct {
		uint8_t insn;
		int64_t sum;
	} ways[] = {{0xe8, 0}, {0xd0, 100}, {0xe8, 0}, {0xd8, -100}};

	for (size_t k = 0; k < 2 * G_N_ELEMENTS(ways); k++) {
		size_t i = k % G_N_ELEMENTS(ways);
		unsigned carry = k >= G_N_ELEMENTS(ways);
		LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
				0xe8, 0x76, 0x00, 0x00, 0x00, /* 5: call 0x80 */
				0x48, 0x83, 0xd0, 0x00, /* adc rax, 0 */
				0xf9, /* stc or clc */
				0xe8, 0xec, 0x0f, 0x00, 0x00, /* call 0x1000 */
				0x48, 0x89, 0xf7, /* mov rdi, rsi */
				0xe8, 0x74, 0x00, 0x00, 0x00, /* call 0x90 */
				0xff, 0xc9, /* dec ecx */
				0x75, 0xe5, /* jnz 5 */
				STOP); /* 32 */
		LOAD(s, CODE + 0x80, 0xf9, 0xc3); /* stc; ret */
		LOAD(s, CODE + 0x90, 0x48, 0x83, 0xd3, 0x00, /* adc rbx, 0 */
				0x73, 0x02, 0x90, 0x90, /* jnc 0x98; nop; nop */
				0xc3); /* 0x98: ret */
		LOAD(s, CODE + 0x1000, 0x48, 0x83, 0xd6, 0x00, /* adc rsi, 0 */
				0xf9, /* the same */
				0xeb, 0x01, 0x90, /* jmp 0x1008 */
				0x48, 0x89, 0xc2, /* 0x1008: mov rdx, rax */
				0xc3);
		s->fixture->ram[CODE + 14] = s->fixture->ram[CODE + 0x1004] = 0xf8 + carry;
		s->fixture->ram[CODE + 0x92] = ways[i].insn + X86_RBX;
		s->fixture->ram[CODE + 0x1002] = ways[i].insn + X86_RSI;
		code_map_written(s->map, CODE, 2 * GUEST_PAGE_SIZE);
		program_reset(s);
		cpu_request(s->cpu, CPU_REQUEST_CODE);
		program_run(s, X86_VECTOR_UD, CODE + 32);
		assert_int_equal(s->cpu->regs[X86_RAX], 100);
		assert_int_equal(s->cpu->regs[X86_RBX], carry * ways[i].sum);
		assert_int_equal(s->cpu->regs[X86_RSI], carry * ways[i].sum);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			PROGRAM_TEST(test_flags_across_calls),
			PROGRAM_TEST(test_store_into_running_block),
			PROGRAM_TEST(test_store_into_other_block),
			PROGRAM_TEST(test_store_into_short_block),
			PROGRAM_TEST(test_store_through_alias),
			PROGRAM_TEST(test_store_across_pages),
			PROGRAM_TEST(test_mapping_changes),
			PROGRAM_TEST(test_address_spaces),
			PROGRAM_TEST(test_pcids),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
