/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/task.h"

#define GDT UINT64_C(0x20000)
#define IDT UINT64_C(0x21000)
#define OLD_TSS UINT64_C(0x22000)
#define NEW_TSS UINT64_C(0x23000)
#define STACK UINT64_C(0x30000)
#define NEW_STACK UINT64_C(0x31000)

/* Offsets in the TSS. */
#define LINK 0x00
#define EIP 0x20
#define EFLAGS 0x24
#define EAX 0x28
#define ESP 0x38
#define ES 0x48
#define CS 0x4c
#define SS 0x50
#define DS 0x54
#define FS 0x58
#define GS 0x5c
#define TRAP 0x64
#define IO_MAP 0x66

enum {
	SEL_CODE = 0x08,
	SEL_DATA = 0x10,
	SEL_OLD = 0x18,
	SEL_NEW = 0x20,
	SEL_GATE = 0x28, /* task gate to SEL_NEW */
	SEL_SHORT = 0x30, /* TSS with too low a limit */
	SEL_ABSENT = 0x38,
};

#define NOTHING (-1)

static int setup(void **state)
{
	struct fixture *f = fixture_create(NULL);
	const uint64_t entries[] = {
			0,
			UINT64_C(0x00cf9b000000ffff),
			UINT64_C(0x00cf93000000ffff),
			UINT64_C(0x00008b0000000067) | OLD_TSS << 16,
			UINT64_C(0x0000890000000067) | NEW_TSS << 16,
			UINT64_C(0x0000850000000000) | SEL_NEW << 16,
			UINT64_C(0x0000890000000066) | NEW_TSS << 16,
			UINT64_C(0x0000090000000067) | NEW_TSS << 16,
	};

	fixture_enter_protected_mode(f, 0);
	memcpy(f->ram + GDT, entries, sizeof(entries));
	f->cpu->gdtr = (struct x86_table){.base = GDT, .limit = sizeof(entries) - 1};
	f->cpu->idtr = (struct x86_table){.base = IDT, .limit = 0x7ff};
	f->cpu->tr = (struct x86_segment){.base = OLD_TSS,
			.limit = 0x67,
			.attributes = (uint32_t)X86_SEG_P | 11,
			.selector = SEL_OLD};
	fixture_put32(f, NEW_TSS + EIP, 0x4000);
	fixture_put32(f, NEW_TSS + EFLAGS, 2 | X86_FLAG_CF);
	fixture_put32(f, NEW_TSS + EAX, 0xabcd);
	fixture_put32(f, NEW_TSS + ESP, NEW_STACK);
	fixture_put32(f, NEW_TSS + CS, SEL_CODE);
	fixture_put32(f, NEW_TSS + SS, SEL_DATA);
	fixture_put32(f, NEW_TSS + DS, SEL_DATA);
	f->cpu->regs[X86_RAX] = 0x1111;
	f->cpu->regs[X86_RSP] = STACK;
	f->cpu->rip = 0x1000;
	f->cpu->next_rip = 0x1007;
	f->cpu->rflags = X86_FLAG_FIXED | X86_FLAG_ZF;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

static uint8_t access_byte(const struct fixture *f, unsigned selector)
{
	return f->ram[GDT + selector + 5];
}

static int transfer(struct cpu *cpu, bool call, unsigned selector)
{
	struct insn insn = {
			.opcode = call ? 0x9a : 0xea,
			.imm = (uint64_t)selector << 32,
			.operand_size = 4,
	};

	return FAULT_OF(cpu, exec_far_immediate(cpu, &insn));
}

static void test_jump(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	assert_int_equal(transfer(cpu, false, SEL_NEW), NOTHING);
	assert_int_equal(cpu->next_rip, 0x4000);
	assert_int_equal(cpu->regs[X86_RAX], 0xabcd);
	assert_int_equal(cpu->regs[X86_RSP], NEW_STACK);
	assert_int_equal(cpu->rflags, X86_FLAG_FIXED | X86_FLAG_CF);
	assert_int_equal(cpu->tr.selector, SEL_NEW);
	assert_true(cpu->cr0 & X86_CR0_TS);
	assert_true(cpu->seg[X86_ES].attributes & X86_SEG_UNUSABLE);
	assert_int_equal(access_byte(f, SEL_OLD), 0x89);
	assert_int_equal(access_byte(f, SEL_NEW), 0x8b);
	assert_int_equal(fixture_get32(f, OLD_TSS + EIP), 0x1007);
	assert_int_equal(fixture_get32(f, OLD_TSS + EAX), 0x1111);
	assert_int_equal(fixture_get32(f, OLD_TSS + EFLAGS), X86_FLAG_FIXED | X86_FLAG_ZF);
	assert_int_equal(fixture_get32(f, OLD_TSS + SS) & 0xffff, 16);
}

static void test_call_and_return(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn iret = {.operand_size = 4};

	cpu->seg[X86_CS].selector = SEL_CODE;
	assert_int_equal(transfer(cpu, true, SEL_GATE), NOTHING);
	assert_int_equal(cpu->next_rip, 0x4000);
	assert_true(cpu->rflags & X86_FLAG_NT);
	assert_int_equal(fixture_get32(f, NEW_TSS + LINK) & 0xffff, SEL_OLD);
	assert_int_equal(access_byte(f, SEL_OLD), 0x8b); /* still busy */
	/* It is not reentrant. */
	assert_int_equal(transfer(cpu, true, SEL_NEW), X86_VECTOR_GP);
	cpu->next_rip = 0x4010;
	assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
	assert_int_equal(cpu->next_rip, 0x1007);
	assert_int_equal(cpu->regs[X86_RAX], 0x1111);
	assert_int_equal(cpu->tr.selector, SEL_OLD);
	assert_int_equal(access_byte(f, SEL_NEW), 0x89);
	assert_int_equal(fixture_get32(f, NEW_TSS + EIP), 0x4010);
	assert_false(fixture_get32(f, NEW_TSS + EFLAGS) & X86_FLAG_NT);
}

static void test_interrupt_task(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_put64(f, IDT + 8 * 8, UINT64_C(0x0000850000000000) | SEL_NEW << 16);
	cpu->fault.vector = X86_VECTOR_DF;
	cpu->fault.has_error = true;
	cpu->fault.error = 0;
	fixture_put32(f, NEW_STACK - 4, 0xffffffff);
	interrupt_deliver_fault(cpu);
	assert_int_equal(cpu->rip, 0x4000);
	assert_int_equal(cpu->regs[X86_RSP], NEW_STACK - 4);
	assert_int_equal(fixture_get32(f, NEW_STACK - 4), 0);
	assert_int_equal(fixture_get32(f, OLD_TSS + EIP), 0x1000); /* the faulting instruction */
}

static const struct {
	const char *name;
	unsigned selector;
	uint32_t offset, value; /* changed in the new TSS, offset 0: nothing */
	int vector;
	uint32_t error;
	bool switched; /* blamed on the new task */
} bad[] = {
		{"limit", SEL_SHORT, 0, 0, X86_VECTOR_TS, SEL_SHORT, false},
		{"absent", SEL_ABSENT, 0, 0, X86_VECTOR_NP, SEL_ABSENT, false},
		{"busy", SEL_OLD, 0, 0, X86_VECTOR_GP, SEL_OLD, false},
		{"code is data", SEL_NEW, CS, SEL_DATA, X86_VECTOR_TS, SEL_DATA, true},
		{"null code", SEL_NEW, CS, 0, X86_VECTOR_TS, 0, true},
		{"code of the wrong level", SEL_NEW, CS, SEL_CODE | 3, X86_VECTOR_TS, SEL_CODE,
				true},
		{"stack is code", SEL_NEW, SS, SEL_CODE, X86_VECTOR_TS, SEL_CODE, true},
		{"null stack", SEL_NEW, SS, 0, X86_VECTOR_TS, 0, true},
		{"data is a gate", SEL_NEW, DS, SEL_GATE, X86_VECTOR_TS, SEL_GATE, true},
		{"LDT is a TSS", SEL_NEW, 0x60, SEL_NEW, X86_VECTOR_TS, SEL_NEW, true},
};

static void test_bad_tasks(void **state)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		teardown(state);
		setup(state);
		struct fixture *f = *state;
		struct cpu *cpu = f->cpu;
		if (bad[i].offset) {
			fixture_put32(f, NEW_TSS + bad[i].offset, bad[i].value);
		}
		int vector = transfer(cpu, false, bad[i].selector);
		if (vector != bad[i].vector || cpu->fault.error != bad[i].error) {
			fail_msg("%s: vector %d, error 0x%x", bad[i].name, vector,
					cpu->fault.error);
		}
		assert_int_equal(cpu->tr.selector, bad[i].switched ? SEL_NEW : SEL_OLD);
		assert_int_equal(cpu->rip, bad[i].switched ? 0x4000 : 0x1000);
	}
}

static void test_trap_flag(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_put64(f, IDT + 8, UINT64_C(0x00008f0000005000) | SEL_CODE << 16);
	fixture_put32(f, NEW_TSS + TRAP, 1);
	assert_int_equal(transfer(cpu, false, SEL_NEW), NOTHING);
	cpu->rip = cpu->next_rip;
	assert_true(cpu->request & CPU_REQUEST_INTERRUPT);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
	assert_int_equal(cpu->rip, 0x5000);
	assert_true(cpu->dr[6] & 0x8000);
}

static void test_io_map(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	cpu->tr.limit = 0x100;
	fixture_put32(f, OLD_TSS + TRAP, 0x80u << 16); /* the map begins at 0x80 */
	memset(f->ram + OLD_TSS + 0x80, 0, 0x80);
	assert_true(task_io_allowed(cpu, 0x60, 4));
	f->ram[OLD_TSS + 0x80 + 0x63 / 8] = 1u << (0x63 % 8);
	assert_true(task_io_allowed(cpu, 0x60, 2));
	assert_false(task_io_allowed(cpu, 0x60, 4));
	assert_false(task_io_allowed(cpu, 0x63, 1));
	/* Bits in two bytes. */
	f->ram[OLD_TSS + 0x80 + 0x68 / 8] = 1;
	assert_false(task_io_allowed(cpu, 0x67, 2));
	assert_true(task_io_allowed(cpu, 0x67, 1));
	/* The last byte of the map cannot be the TSS's last. */
	assert_true(task_io_allowed(cpu, (0x100 - 0x80) * 8 - 1, 1));
	assert_false(task_io_allowed(cpu, (0x100 - 0x80) * 8, 1));
	cpu->tr.attributes = (uint32_t)X86_SEG_P | 3; /* a 16-bit TSS has none */
	assert_false(task_io_allowed(cpu, 0, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_jump, setup, teardown),
			cmocka_unit_test_setup_teardown(test_call_and_return, setup, teardown),
			cmocka_unit_test_setup_teardown(test_interrupt_task, setup, teardown),
			cmocka_unit_test_setup_teardown(test_bad_tasks, setup, teardown),
			cmocka_unit_test_setup_teardown(test_trap_flag, setup, teardown),
			cmocka_unit_test_setup_teardown(test_io_map, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
