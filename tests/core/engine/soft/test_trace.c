/* SPDX-License-Identifier: MIT */
/* The lines of -d int, exec and in_asm. */
#include "core/engine/soft/trace.h"

#include "tests/core/engine/soft/fake_machine.h"
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/engine/soft/interp.h"

#include <unistd.h>

#define CODE UINT64_C(0x10000)

static const uint8_t program[] = {
		0x90, /* 10000: nop */
		0xeb, 0x00, /* 10001: jmp 10003 */
		0x48, 0x31, 0xc0, /* 10003: xor rax,rax */
		0x0f, 0x0b, /* 10006: ud2 */
};

struct setup {
	struct fake_machine *fake;
	uint8_t code[GUEST_PAGE_SIZE];
	char *path; /* of the log */
};

static int start(void **state)
{
	struct setup *setup = g_new0(struct setup, 1);
	auto_fd int fd = g_file_open_tmp("oriel-trace-XXXXXX", &setup->path, NULL);

	memcpy(setup->code, program, sizeof(program));
	setup->fake = fake_machine_create();
	fake_machine_add(setup->fake, CODE, GUEST_PAGE_SIZE, setup->code, true);
	setup->fake->cpu->rip = CODE;
	assert_true(log_set_file(setup->path, false, NULL));
	*state = setup;
	return 0;
}

static int stop(void **state)
{
	struct setup *setup = *state;

	log_set_items(0);
	fake_machine_destroy(setup->fake);
	(void)unlink(setup->path);
	g_free(setup->path);
	g_free(setup);
	return 0;
}

static void expect_log(const struct setup *setup, const char *expected)
{
	g_autofree char *text = NULL;

	assert_true(g_file_get_contents(setup->path, &text, NULL, NULL));
	assert_string_equal(text, expected);
}

static void test_code(void **state)
{
	struct setup *setup = *state;

	log_set_items(LOG_ITEM_EXEC | LOG_ITEM_IN_ASM);
	cpu_run(setup->fake->cpu);
	assert_int_equal(setup->fake->faults, 1);
	assert_int_equal(setup->fake->cpu->instructions, 3);
	expect_log(setup, "exec: cpu 0: 0000:0000000000010000\n"
			  "in_asm: cpu 0: block of 2, 64 bits, at physical 0x10000\n"
			  "in_asm: 0000000000010000  90\n"
			  "in_asm: 0000000000010001  eb 00\n"
			  "exec: cpu 0: 0000:0000000000010003\n"
			  "in_asm: cpu 0: block of 2, 64 bits, at physical 0x10003\n"
			  "in_asm: 0000000000010003  48 31 c0\n"
			  "in_asm: 0000000000010006  0f 0b\n");
}

/* What is decoded already is run, but not shown again. */
static void test_again(void **state)
{
	struct setup *setup = *state;

	cpu_run(setup->fake->cpu);
	expect_log(setup, "");
	log_set_items(LOG_ITEM_EXEC | LOG_ITEM_IN_ASM);
	setup->fake->cpu->rip = CODE;
	setup->fake->cpu->request = 0;
	cpu_run(setup->fake->cpu);
	assert_int_equal(setup->fake->faults, 2);
	expect_log(setup, "exec: cpu 0: 0000:0000000000010000\n"
			  "exec: cpu 0: 0000:0000000000010003\n");
}

static void test_events(void **state)
{
	struct setup *setup = *state;
	struct cpu *cpu = setup->fake->cpu;
	const struct event fault = {.vector = X86_VECTOR_PF,
			.kind = INTERRUPT_FAULT,
			.has_error = true,
			.error = 2,
			.return_rip = 0x1234};
	const struct event timer = {
			.vector = 0xec, .kind = INTERRUPT_EXTERNAL, .return_rip = 0x5678};

	cpu->cr2 = 0xdead000;
	cpu->cpl = 3;
	cpu->seg[X86_CS].selector = 0x33;
	cpu->seg[X86_SS].selector = 0x2b;
	cpu->regs[X86_RSP] = 0x7000;
	trace_event(cpu, &fault);
	trace_event(cpu, &timer);
	expect_log(setup,
			"int: cpu 0: vector 0x0e fault error 0x0002 cr2 0xdead000 at 0033:0000000000001234 cpl "
			"3 rsp 002b:0000000000007000\n"
			"int: cpu 0: vector 0xec external at 0033:0000000000005678 cpl 3 rsp "
			"002b:0000000000007000\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_code, start, stop),
			cmocka_unit_test_setup_teardown(test_again, start, stop),
			cmocka_unit_test_setup_teardown(test_events, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
