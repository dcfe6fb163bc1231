/* SPDX-License-Identifier: MIT */
/* Programs whose translations are right and are wrong: what the comparison with the interpreter makes of them. */
#include "tests/core/engine/soft/translator/program.h"

#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/interp.h"
#include "core/engine/soft/translator/lockstep.h"
#include "core/engine/soft/translator/translate.h"

#include <stdio.h>
#include <sys/mman.h>

#define TRANSLATION_MAX 4096u

static uint64_t count(const struct program *p, enum stat which)
{
	return p->cpu->stats.values[which];
}

/* Registers, flags, stores of each kind, XMM and x87 registers, and what ends in a fault. */
static void load_program(struct program *s)
{
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xba, 0x00, 0x00, 0x06, 0x00, /* mov edx, DATA */
			0x48, 0x01, 0xc8, /* 10: add rax, rcx */
			0x48, 0x89, 0x02, /* mov [rdx], rax */
			0xff, 0x42, 0x08, /* inc dword [rdx + 8] */
			0xf0, 0x48, 0x0f, 0xc1, 0x42, 0x10, /* lock xadd [rdx + 16], rax */
			0x66, 0x48, 0x0f, 0x6e, 0xc0, /* movq xmm0, rax */
			0x0f, 0x11, 0x42, 0x20, /* movups [rdx + 32], xmm0 */
			0xdf, 0x2a, /* fild qword [rdx] */
			0xdf, 0x7a, 0x30, /* fistp qword [rdx + 48] */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xdf, /* jnz 10 */
			STOP); /* 43 */
}

static void test_same(void **state)
{
	struct program *s = *state;

	load_program(s);
	s->cpu->cr4 |= X86_CR4_OSFXSR;
	s->cpu->fx.fcw = FCW_INIT;
	cpu_update_mode(s->cpu);
	program_run(s, X86_VECTOR_UD, CODE + 43);
	assert_true(count(s, STAT_LOCKSTEP_COMPARED) >= 100);
	assert_int_equal(count(s, STAT_LOCKSTEP_REPEATED), 0);
	assert_int_equal(fixture_get64(s->fixture, DATA + 8), 100);
}

/* Replaces bytes in the translation of the block at linear, which has been run. */
static void spoil(struct program *s, uint64_t linear, const uint8_t *from, const uint8_t *to,
		size_t len)
{
	const struct block *block = block_lookup(s->cpu, linear);
	const uint8_t *code = translator_entry(s->cpu->translator, block, s->cpu->tlb_set);
	uint8_t *page, *at;

	assert_non_null(code);
	at = memmem(code, TRANSLATION_MAX, from, len);
	assert_non_null(at);
	page = (uint8_t *)((uintptr_t)code & ~(uintptr_t)(GUEST_PAGE_SIZE - 1));
	assert_int_equal(
			mprotect(page, 3 * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	memcpy(at, to, len);
}

/* Runs the program once more; it must end before the block with a report that has the text. */
static void expect_report(struct program *s, uint64_t linear, const char *text)
{
	g_autofree char *lines = NULL;
	size_t size;
	FILE *stream = open_memstream(&lines, &size);

	program_reset(s);
	log_set_stream(stream);
	cpu_run(s->cpu);
	log_set_stream(NULL);
	(void)fclose(stream);
	assert_true(lockstep_failed(s->cpu));
	assert_int_equal(s->cpu->rip, linear);
	if (!strstr(lines, text)) {
		fail_msg("'%s' does not say '%s'", lines, text);
	}
}

static void test_wrong_register(void **state)
{
	static const uint8_t add[] = {0x48, 0x01, 0xc8}, sub[] = {0x48, 0x29, 0xc8};
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0x02, 0x00, 0x00, 0x00, /* mov ecx, 2 */
			0x48, 0x01, 0xc8, /* 5: add rax, rcx */
			0x85, 0xc9, /* test ecx, ecx */
			0x89, 0xd2, /* mov edx, edx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf5, /* jnz 5 */
			STOP); /* 16 */
	program_run(s, X86_VECTOR_UD, CODE + 16);
	spoil(s, CODE + 5, add, sub, sizeof(add));
	expect_report(s, CODE + 5, "regs[0]: interpreted 0x3, translated 0x1");
}

static void test_wrong_flags(void **state)
{
	static const uint8_t cmp[] = {0x39, 0xc8}, test[] = {0x85, 0xc8};
	struct program *s = *state;

	LOAD(s, CODE, 0xb9, 0x02, 0x00, 0x00, 0x00, /* mov ecx, 2 */
			0x39, 0xc8, /* cmp eax, ecx */
			0xe9, 0xf4, 0x0f, 0x00, 0x00, /* jmp 0x1000 */
			STOP);
	LOAD(s, CODE + 0x1000, STOP);
	program_run(s, X86_VECTOR_UD, CODE + 0x1000);
	spoil(s, CODE, cmp, test, sizeof(cmp));
	expect_report(s, CODE, "flags: interpreted 0x93, translated 0x46");
}

static void test_wrong_memory(void **state)
{
	static const uint8_t from[] = {0x78, 0x56, 0x34, 0x12}, to[] = {0x78, 0x56, 0x35, 0x12};
	struct program *s = *state;

	LOAD(s, CODE, 0xc7, 0x04, 0x25, 0x00, 0x00, 0x06, 0x00, 0x78, 0x56, 0x34,
			0x12, /* mov dword [DATA], 0x12345678 */
			0xe9, 0xf0, 0x0f, 0x00, 0x00); /* jmp 0x1000 */
	LOAD(s, CODE + 0x1000, STOP);
	program_run(s, X86_VECTOR_UD, CODE + 0x1000);
	spoil(s, CODE, from, to, sizeof(from));
	fixture_put64(s->fixture, DATA, 7);
	expect_report(s, CODE, "interpreted 0x34, translated 0x35");
	/* It is as it was before. */
	assert_int_equal(fixture_get64(s->fixture, DATA), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			PROGRAM_WAY(test_same, checked),
			PROGRAM_WAY(test_wrong_register, checked),
			PROGRAM_WAY(test_wrong_flags, checked),
			PROGRAM_WAY(test_wrong_memory, checked),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
