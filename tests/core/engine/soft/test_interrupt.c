/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/debug.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"

/* Guest-physical (and linear) layout. */
#define GDT UINT64_C(0x20000)
#define IDT UINT64_C(0x21000)
#define TSS UINT64_C(0x22000)
#define STACK UINT64_C(0x30000)
#define INNER_STACK UINT64_C(0x31000)
#define IST_STACK UINT64_C(0x32000)
#define CODE UINT64_C(0x40000)

/* Handlers are told apart by address. */
#define HANDLER(vector) (UINT64_C(0x50000) + 16 * (vector))

enum {
	SEL_CODE = 0x08,
	SEL_DATA = 0x10,
	SEL_USER_CODE = 0x1b,
	SEL_USER_DATA = 0x23,
	SEL_CONFORMING = 0x28,
	SEL_CODE32 = 0x30,
	SEL_ABSENT = 0x38,
	SEL_TSS = 0x40, /* and 0x48 in long mode */
	GDT_LIMIT = 0x4f,
};

#define NOTHING (-1)

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

static void set_gdt(struct fixture *f, bool long_mode)
{
	uint64_t code = long_mode ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff);
	const uint64_t entries[] = {
			0,
			code,
			UINT64_C(0x00cf93000000ffff),
			code | BIT(45) | BIT(46),
			UINT64_C(0x00cff3000000ffff),
			code | BIT(42),
			UINT64_C(0x00cf9b000000ffff),
			code & ~BIT(47),
			UINT64_C(0x00008b0000000067) | (TSS & 0xffffff) << 16,
			0,
	};

	memcpy(f->ram + GDT, entries, sizeof(entries));
	f->cpu->gdtr = (struct x86_table){.base = GDT, .limit = GDT_LIMIT};
	f->cpu->tr = (struct x86_segment){.base = TSS,
			.limit = 0x67,
			.attributes = (uint32_t)X86_SEG_P | 11,
			.selector = SEL_TSS};
}

static void set_gate(struct fixture *f, unsigned vector, unsigned type, unsigned dpl,
		unsigned selector, unsigned ist)
{
	uint64_t offset = HANDLER(vector);
	uint64_t gate = (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
			(uint64_t)type << 40 | (uint64_t)dpl << 45 | BIT(47) | (offset >> 16) << 48;

	if (cpu_long_mode(f->cpu)) {
		fixture_put64(f, IDT + 16 * vector, gate);
		fixture_put64(f, IDT + 16 * vector + 8, 0);
	} else {
		fixture_put64(f, IDT + 8 * vector, gate);
	}
}

/* Long mode at a privilege level: all gates interrupt gates to ring 0. */
static void enter_long(struct fixture *f, unsigned cpl)
{
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, cpl);
	set_gdt(f, true);
	cpu->seg[X86_CS].selector = cpl ? SEL_USER_CODE : SEL_CODE;
	cpu->seg[X86_SS].selector = cpl ? SEL_USER_DATA : SEL_DATA;
	cpu->idtr = (struct x86_table){.base = IDT, .limit = 0xfff};
	for (unsigned i = 0; i < 256; i++) {
		set_gate(f, i, 14, 0, SEL_CODE, 0);
	}
	fixture_put64(f, TSS + 4, INNER_STACK);
	fixture_put64(f, TSS + 0x24, IST_STACK);
	cpu->regs[X86_RSP] = STACK - 4; /* not aligned */
	cpu->rip = CODE;
	cpu->next_rip = CODE + 2;
	cpu->rflags = X86_FLAG_FIXED | X86_FLAG_IF;
	cpu->request = 0;
}

static void enter_protected(struct fixture *f, unsigned cpl)
{
	struct cpu *cpu = f->cpu;

	fixture_enter_protected_mode(f, cpl);
	set_gdt(f, false);
	cpu->seg[X86_CS].selector = cpl ? SEL_USER_CODE : SEL_CODE;
	cpu->seg[X86_SS].selector = cpl ? SEL_USER_DATA : SEL_DATA;
	cpu->idtr = (struct x86_table){.base = IDT, .limit = 0x7ff};
	for (unsigned i = 0; i < 256; i++) {
		set_gate(f, i, 14, 0, SEL_CODE, 0);
	}
	fixture_put32(f, TSS + 4, INNER_STACK);
	fixture_put32(f, TSS + 8, SEL_DATA);
	cpu->regs[X86_RSP] = STACK;
	cpu->rip = CODE;
	cpu->next_rip = CODE + 2;
	cpu->rflags = X86_FLAG_FIXED | X86_FLAG_IF;
	cpu->request = 0;
}

static void set_fault(struct cpu *cpu, uint8_t vector, bool has_error, uint32_t error)
{
	cpu->fault.vector = vector;
	cpu->fault.has_error = has_error;
	cpu->fault.error = error;
}

/* Delivers as the run loop does, nested faults included. */
static G_NO_INLINE void deliver(struct cpu *cpu)
{
	(void)sigsetjmp(cpu->unwind, 0);
	interrupt_deliver_fault(cpu);
}

static void test_long_same_level(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	const uint64_t frame = (STACK - 16) - 6 * 8; /* aligned, six words */

	enter_long(f, 0);
	set_fault(cpu, X86_VECTOR_GP, true, 0x1234);
	deliver(cpu);
	assert_int_equal(cpu->rip, HANDLER(13));
	assert_int_equal(cpu->regs[X86_RSP], frame);
	assert_int_equal(fixture_get64(f, frame), 0x1234);
	assert_int_equal(fixture_get64(f, frame + 8), CODE);
	assert_int_equal(fixture_get64(f, frame + 16), SEL_CODE);
	assert_int_equal(fixture_get64(f, frame + 24), 2 | X86_FLAG_IF | X86_FLAG_RF);
	assert_int_equal(fixture_get64(f, frame + 32), STACK - 4);
	assert_int_equal(fixture_get64(f, frame + 40), SEL_DATA);
	assert_int_equal(cpu->rflags, X86_FLAG_FIXED);
	assert_int_equal(cpu->seg[X86_SS].selector, SEL_DATA);
	assert_false(cpu->delivery.active);
}

static void test_long_from_user(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_long(f, 3);
	set_gate(f, 6, 15, 0, SEL_CODE, 0); /* a trap gate leaves IF alone */
	set_fault(cpu, X86_VECTOR_UD, false, 0);
	deliver(cpu);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->regs[X86_RSP], INNER_STACK - 40);
	assert_int_equal(fixture_get64(f, INNER_STACK - 8), SEL_USER_DATA);
	assert_int_equal(fixture_get64(f, INNER_STACK - 32), SEL_USER_CODE);
	assert_int_equal(cpu->seg[X86_SS].selector, 0);
	assert_int_equal(cpu->seg[X86_CS].selector, SEL_CODE);
	assert_true(cpu->rflags & X86_FLAG_IF);
	assert_ptr_equal(cpu->tlb, &cpu->tlbs[TLB_SUPERVISOR_AC]);
	/* And back by IRET. */
	struct insn iret = {.operand_size = 8};
	assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
	assert_int_equal(cpu->next_rip, CODE);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->regs[X86_RSP], STACK - 4);
	assert_int_equal(cpu->seg[X86_SS].selector, SEL_USER_DATA);
	assert_true(cpu->rflags & X86_FLAG_RF);
	assert_ptr_equal(cpu->tlb, &cpu->tlbs[TLB_USER]);
}

static void test_interrupt_stack_table(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_long(f, 0);
	set_gate(f, 2, 14, 0, SEL_CODE, 1);
	set_fault(cpu, X86_VECTOR_NMI, false, 0);
	deliver(cpu);
	assert_int_equal(cpu->regs[X86_RSP], IST_STACK - 40);
	assert_int_equal(fixture_get64(f, IST_STACK - 16), STACK - 4);
}

/* What goes wrong on the way to a handler: a software interrupt through vector 0x80, at ring 3. */
static const struct {
	const char *name;
	unsigned type, dpl, selector;
	bool present;
	uint16_t idt_limit, tss_limit;
	enum interrupt_kind kind;
	int vector;
	uint32_t error;
} gates[] = {
		{"fine", 14, 3, SEL_CODE, true, 0xfff, 0x67, INTERRUPT_INT, NOTHING, 0},
		{"beyond the IDT", 14, 3, SEL_CODE, true, 0x807, 0x67, INTERRUPT_INT, X86_VECTOR_GP,
				0x402},
		{"gate for ring 0", 14, 0, SEL_CODE, true, 0xfff, 0x67, INTERRUPT_INT,
				X86_VECTOR_GP, 0x402},
		{"gate for ring 0, ICEBP", 14, 0, SEL_CODE, true, 0xfff, 0x67, INTERRUPT_ICEBP,
				NOTHING, 0},
		{"absent gate", 14, 3, SEL_CODE, false, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_NP,
				0x402},
		{"absent gate, ICEBP", 14, 3, SEL_CODE, false, 0xfff, 0x67, INTERRUPT_ICEBP,
				X86_VECTOR_NP, 0x403},
		{"not a gate", 12, 3, SEL_CODE, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_GP,
				0x402},
		{"16-bit gate", 6, 3, SEL_CODE, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_GP,
				0x402},
		{"null selector", 14, 3, 0, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_GP, 0},
		{"data segment", 14, 3, SEL_DATA, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_GP,
				SEL_DATA},
		{"beyond the GDT", 14, 3, 0x100, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_GP,
				0x100},
		{"32-bit code", 14, 3, SEL_CODE32, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_GP,
				SEL_CODE32},
		{"absent code", 14, 3, SEL_ABSENT, true, 0xfff, 0x67, INTERRUPT_INT, X86_VECTOR_NP,
				SEL_ABSENT},
		{"short TSS", 14, 3, SEL_CODE, true, 0xfff, 0x0a, INTERRUPT_INT, X86_VECTOR_TS,
				SEL_TSS},
		{"conforming code stays outside", 14, 3, SEL_CONFORMING, true, 0xfff, 0x0a,
				INTERRUPT_INT, NOTHING, 0},
};

static G_NO_INLINE int try_software(struct cpu *cpu, enum interrupt_kind kind)
{
	return FAULT_OF(cpu, interrupt_software(cpu, 0x80, kind));
}

static void test_gates(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(gates); i++) {
		enter_long(f, 3);
		set_gate(f, 0x80, gates[i].type, gates[i].dpl, gates[i].selector, 0);
		if (!gates[i].present) {
			uint64_t raw = fixture_get64(f, IDT + 0x800);
			fixture_put64(f, IDT + 0x800, raw & ~BIT(47));
		}
		cpu->idtr.limit = gates[i].idt_limit;
		cpu->tr.limit = gates[i].tss_limit;
		int vector = try_software(cpu, gates[i].kind);
		if (vector != gates[i].vector ||
				(vector != NOTHING && cpu->fault.error != gates[i].error)) {
			fail_msg("%s: vector %d, error 0x%x", gates[i].name, vector,
					cpu->fault.error);
		}
		if (vector == NOTHING) {
			assert_int_equal(cpu->next_rip, HANDLER(0x80));
			uint64_t frame = cpu->regs[X86_RSP];
			assert_int_equal(fixture_get64(f, frame), CODE + 2);
		} else {
			/* Nothing has changed. */
			assert_int_equal(cpu->cpl, 3);
			assert_int_equal(cpu->regs[X86_RSP], STACK - 4);
			assert_int_equal(cpu->next_rip, CODE + 2);
			cpu->delivery.active = false;
		}
	}
}

#define DE X86_VECTOR_DE
#define DB X86_VECTOR_DB
#define NMI X86_VECTOR_NMI
#define UD X86_VECTOR_UD
#define DF X86_VECTOR_DF
#define TS X86_VECTOR_TS
#define NP X86_VECTOR_NP
#define SS X86_VECTOR_SS
#define GP X86_VECTOR_GP
#define PF X86_VECTOR_PF

#define SHUTDOWN (-2)

/* The second fault arises while the first event is delivered. */
static const struct {
	uint8_t first;
	enum interrupt_kind kind;
	uint8_t second;
	int expect;
} nested[] = {
		{UD, INTERRUPT_FAULT, GP, GP},
		{UD, INTERRUPT_FAULT, PF, PF},
		{DE, INTERRUPT_FAULT, GP, DF},
		{GP, INTERRUPT_FAULT, NP, DF},
		{TS, INTERRUPT_FAULT, SS, DF},
		{GP, INTERRUPT_FAULT, PF, PF},
		{GP, INTERRUPT_FAULT, UD, UD},
		{PF, INTERRUPT_FAULT, PF, DF},
		{PF, INTERRUPT_FAULT, GP, DF},
		{PF, INTERRUPT_FAULT, UD, UD},
		{DB, INTERRUPT_TRAP, GP, GP},
		{0x80, INTERRUPT_EXTERNAL, GP, GP},
		{13, INTERRUPT_EXTERNAL, GP,
				GP}, /* an interrupt that happens to have that vector */
		{13, INTERRUPT_SOFTWARE, GP, GP},
		{NMI, INTERRUPT_NMI, PF, PF},
		{DF, INTERRUPT_FAULT, GP, SHUTDOWN},
		{DF, INTERRUPT_FAULT, PF, SHUTDOWN},
		{DF, INTERRUPT_FAULT, DF, SHUTDOWN},
};

static void test_double_faults(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(nested); i++) {
		enter_long(f, 0);
		cpu->delivery.active = true;
		cpu->delivery.vector = nested[i].first;
		cpu->delivery.kind = (uint8_t)nested[i].kind;
		set_fault(cpu, nested[i].second, nested[i].second != UD, 0x10);
		deliver(cpu);
		int result = cpu->activity == CPU_SHUTDOWN ? SHUTDOWN
							   : (int)(cpu->rip - HANDLER(0)) / 16;
		if (result != nested[i].expect) {
			fail_msg("row %zu: %d instead of %d", i, result, nested[i].expect);
		}
		if (result == DF) {
			assert_int_equal(fixture_get64(f, cpu->regs[X86_RSP]), 0);
		}
	}
}

/* The whole chain: a page fault whose handler's stack is not mapped, then the same for #DF. */
static void test_triple_fault(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_long(f, 3);
	fixture_put64(f, TSS + 4, 0x10000000);
	set_gate(f, DF, 14, 0, SEL_CODE, 1);
	set_fault(cpu, PF, true, 4);
	deliver(cpu);
	assert_int_equal(cpu->rip, HANDLER(DF));
	assert_int_equal(cpu->cr2, 0x10000000 - 8);
	assert_int_equal(cpu->regs[X86_RSP], IST_STACK - 48);
	enter_long(f, 3);
	fixture_put64(f, TSS + 4, 0x10000000);
	set_fault(cpu, PF, true, 4);
	deliver(cpu);
	assert_int_equal(cpu->activity, CPU_SHUTDOWN);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_STOP);
}

static void test_real_mode(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn iret = {.operand_size = 2};

	cpu_reset(cpu, false);
	cpu->seg[X86_CS].selector = 0x1000;
	cpu->seg[X86_CS].base = 0x10000;
	cpu->seg[X86_SS].selector = 0x2000;
	cpu->seg[X86_SS].base = 0x20000;
	cpu->regs[X86_RSP] = 0x12340002;
	cpu->rip = 0x55;
	cpu->rflags = X86_FLAG_FIXED | X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_CF;
	cpu_update_mode(cpu);
	fixture_put32(f, 4 * GP, 0x3000abcd);
	/* The stack wraps within its segment; no error code is pushed. */
	set_fault(cpu, GP, true, 0x10);
	deliver(cpu);
	assert_int_equal(cpu->rip, 0xabcd);
	assert_int_equal(cpu->seg[X86_CS].base, 0x30000);
	assert_int_equal(cpu->regs[X86_RSP], 0x1234fffc);
	assert_int_equal(fixture_get32(f, 0x2fffc), 0x10000055);
	assert_int_equal(fixture_get32(f, 0x20000) & 0xffff, 0x303);
	assert_int_equal(cpu->rflags, X86_FLAG_FIXED | X86_FLAG_CF);
	assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
	assert_int_equal(cpu->next_rip, 0x55);
	assert_int_equal(cpu->seg[X86_CS].selector, 0x1000);
	assert_int_equal(cpu->regs[X86_RSP], 0x12340002);
	assert_int_equal(cpu->rflags, X86_FLAG_FIXED | 0x301);
	/* A table too short for the vector ends in shutdown. */
	cpu->idtr.limit = 3;
	set_fault(cpu, GP, true, 0);
	deliver(cpu);
	assert_int_equal(cpu->activity, CPU_SHUTDOWN);
}

static void test_protected_inner(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn iret = {.operand_size = 4};

	enter_protected(f, 3);
	set_fault(cpu, GP, true, 0x1234);
	deliver(cpu);
	assert_int_equal(cpu->rip, HANDLER(GP));
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->regs[X86_RSP], INNER_STACK - 24);
	assert_int_equal(fixture_get32(f, INNER_STACK - 24), 0x1234);
	assert_int_equal(fixture_get32(f, INNER_STACK - 20), CODE);
	assert_int_equal(fixture_get32(f, INNER_STACK - 16), SEL_USER_CODE);
	assert_int_equal(fixture_get32(f, INNER_STACK - 8), STACK);
	assert_int_equal(fixture_get32(f, INNER_STACK - 4), SEL_USER_DATA);
	assert_int_equal(cpu->seg[X86_SS].selector, SEL_DATA);
	cpu->regs[X86_RSP] += 4;
	cpu->seg[X86_DS].selector = SEL_DATA;
	cpu->seg[X86_DS].attributes &= ~(3u << X86_SEG_DPL_SHIFT);
	assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->regs[X86_RSP], STACK);
	/* A data segment that ring 3 may not have is taken away. */
	assert_int_equal(cpu->seg[X86_DS].selector, 0);
	assert_true(cpu->seg[X86_DS].attributes & X86_SEG_UNUSABLE);
	/* A stack segment of the wrong level is the TSS's fault. */
	enter_protected(f, 3);
	fixture_put32(f, TSS + 8, SEL_USER_DATA);
	assert_int_equal(FAULT_OF(cpu, interrupt_software(cpu, 0x80, INTERRUPT_ICEBP)), TS);
	assert_int_equal(cpu->fault.error, (SEL_USER_DATA & ~3) | 1);
}

static void test_protected_16_bit_gate(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_protected(f, 0);
	set_gate(f, 0x80, 7, 0, SEL_CODE, 0);
	interrupt_software(cpu, 0x80, INTERRUPT_INT);
	assert_int_equal(cpu->next_rip, HANDLER(0x80) & 0xffff);
	assert_int_equal(cpu->regs[X86_RSP], STACK - 6);
	assert_true(cpu->rflags & X86_FLAG_IF);
}

static void enter_v8086(struct fixture *f, unsigned iopl)
{
	struct cpu *cpu = f->cpu;

	enter_protected(f, 3);
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		cpu->seg[i] = (struct x86_segment){
				.base = (0x4000u + i) << 4,
				.limit = 0xffff,
				.attributes = 0xf3,
				.selector = (uint16_t)(0x4000 + i),
		};
	}
	cpu->rflags |= X86_FLAG_VM | (uint64_t)iopl << X86_FLAG_IOPL_SHIFT;
	cpu->regs[X86_RSP] = 0x8000;
	cpu->rip = 0x10;
	cpu->next_rip = 0x12;
	cpu_update_mode(cpu);
}

static void test_v8086(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn iret = {.operand_size = 4};

	enter_v8086(f, 0);
	set_fault(cpu, UD, false, 0);
	deliver(cpu);
	assert_int_equal(cpu->cpl, 0);
	assert_false(cpu_v8086(cpu));
	assert_int_equal(cpu->regs[X86_RSP], INNER_STACK - 36);
	assert_int_equal(fixture_get32(f, INNER_STACK - 4), 0x4000 + X86_GS);
	assert_int_equal(fixture_get32(f, INNER_STACK - 16), 0x4000 + X86_ES);
	assert_int_equal(cpu->seg[X86_DS].selector, 0);
	assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
	assert_true(cpu_v8086(cpu));
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->seg[X86_FS].selector, 0x4000 + X86_FS);
	assert_int_equal(cpu->seg[X86_FS].base, (0x4000 + X86_FS) << 4);
	assert_int_equal(cpu->next_rip, 0x10);
	/* INT n is sensitive to IOPL, INT3 is not. */
	enter_v8086(f, 0);
	assert_int_equal(FAULT_OF(cpu, interrupt_software(cpu, 0x80, INTERRUPT_INT)), GP);
	assert_int_equal(cpu->fault.error, 0);
	cpu->delivery.active = false;
	set_gate(f, 3, 14, 3, SEL_CODE, 0);
	assert_int_equal(FAULT_OF(cpu, interrupt_software(cpu, 3, INTERRUPT_SOFTWARE)), NOTHING);
	enter_v8086(f, 3);
	set_gate(f, 0x80, 14, 3, SEL_CODE, 0);
	assert_int_equal(FAULT_OF(cpu, interrupt_software(cpu, 0x80, INTERRUPT_INT)), NOTHING);
	assert_int_equal(cpu->next_rip, HANDLER(0x80));
}

/* CR4.VME: the 8086 program's own handler, with VIF in the place of IF. */
static void test_v8086_redirection(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn iret = {.operand_size = 2};

	enter_v8086(f, 0);
	cpu_set_cr4(cpu, X86_CR4_VME);
	cpu->rflags |= X86_FLAG_VIF;
	cpu->tr.limit = 0x2fff;
	fixture_put32(f, TSS + 0x64, 0x88u << 16); /* I/O map at 0x88: redirection bits at 0x68 */
	memset(f->ram + TSS + 0x68, 0, 32);
	fixture_put32(f, 4 * 0x21, 0x5000abcd);
	interrupt_software(cpu, 0x21, INTERRUPT_INT);
	assert_int_equal(cpu->next_rip, 0xabcd);
	assert_int_equal(cpu->seg[X86_CS].selector, 0x5000);
	assert_true(cpu_v8086(cpu));
	assert_false(cpu->rflags & X86_FLAG_VIF);
	assert_true(cpu->rflags & X86_FLAG_IF);
	uint64_t stack = cpu->seg[X86_SS].base + 0x8000 - 6;
	assert_int_equal(fixture_get32(f, stack + 4) & 0xffff, 2 | X86_FLAG_IF | X86_FLAG_IOPL);
	assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
	assert_true(cpu->rflags & X86_FLAG_VIF);
	assert_int_equal(cpu->next_rip, 0x12);
	/* With its bit set the interrupt goes the usual way. */
	f->ram[TSS + 0x68 + 0x21 / 8] = 1u << (0x21 % 8);
	assert_int_equal(FAULT_OF(cpu, interrupt_software(cpu, 0x21, INTERRUPT_INT)), GP);
}

static void test_external(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_long(f, 0);
	apic_mmio_write(cpu->apic, 0xf0, 0x1ff, 4);
	cpu->request = 0;
	cpu->rflags &= ~(uint64_t)X86_FLAG_IF;
	apic_bus_deliver(f->bus, 0xfee00000, 0x50);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
	assert_int_equal(cpu->rip, CODE);
	assert_int_equal(cpu->request, 0); /* held back, not asked for all the time */
	/* STI: one more instruction. */
	struct insn sti = {0};
	exec_sti(cpu, &sti);
	assert_true(interrupt_stepping(cpu));
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
	assert_int_equal(cpu->rip, CODE);
	interrupt_after_instruction(cpu, cpu->rflags, 0); /* STI's own end */
	assert_int_equal(cpu->interrupt_shadow, INTERRUPT_SHADOW_STI);
	interrupt_after_instruction(cpu, cpu->rflags, INTERRUPT_SHADOW_STI);
	assert_int_equal(cpu->interrupt_shadow, 0);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
	assert_int_equal(cpu->rip, HANDLER(0x50));
	assert_false(cpu->rflags & X86_FLAG_IF);
}

static void test_halt(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn hlt = {0};

	enter_long(f, 0);
	apic_mmio_write(cpu->apic, 0xf0, 0x1ff, 4);
	exec_hlt(cpu, &hlt);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_STOP);
	assert_int_equal(cpu->request, 0);
	apic_bus_deliver(f->bus, 0xfee00000, 0x50);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
	assert_int_equal(cpu->activity, CPU_ACTIVE);
	assert_int_equal(cpu->rip, HANDLER(0x50));
	/* An NMI wakes it as well, interrupts disabled. */
	exec_hlt(cpu, &hlt);
	cpu_request(cpu, CPU_REQUEST_NMI);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
	assert_int_equal(cpu->rip, HANDLER(NMI));
	/* Requests that are the engine's are left to it. */
	cpu->request = 0;
	cpu_request(cpu, CPU_REQUEST_EXIT);
	assert_int_equal(interrupt_poll(cpu), INTERRUPT_STOP);
	assert_int_equal(cpu->request, CPU_REQUEST_EXIT);
}

static void test_nmi_blocking(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn iret = {.operand_size = 8};
	volatile unsigned delivered = 0; /* lives across sigsetjmp() */

	enter_long(f, 0);
	for (unsigned i = 0; i < 3; i++) {
		cpu_request(cpu, CPU_REQUEST_NMI);
	}
	/* One is delivered, one waits for IRET, the third is lost. */
	while (cpu->request) {
		cpu->rip = CODE;
		assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
		if (cpu->rip == HANDLER(NMI)) {
			delivered++;
			assert_true(cpu->nmi_blocked);
			assert_int_equal(interrupt_poll(cpu), INTERRUPT_RUN);
			assert_int_equal(cpu->rip, HANDLER(NMI));
			assert_int_equal(FAULT_OF(cpu, exec_iret(cpu, &iret)), NOTHING);
		}
	}
	assert_int_equal(delivered, 2);
	assert_false(cpu->nmi_blocked);
}

static void test_single_step(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_long(f, 0);
	cpu->rflags |= X86_FLAG_TF;
	cpu->rip = CODE + 2;
	interrupt_after_instruction(cpu, cpu->rflags, 0);
	assert_int_equal(cpu->rip, HANDLER(DB));
	assert_int_equal(cpu->dr[6], DEBUG_DR6_FIXED | DEBUG_DR6_BS);
	assert_false(cpu->rflags & X86_FLAG_TF);
	uint64_t frame = cpu->regs[X86_RSP];
	assert_int_equal(fixture_get64(f, frame), CODE + 2);
	assert_int_equal(fixture_get64(f, frame + 16), 2 | X86_FLAG_IF | X86_FLAG_TF);
	/* An instruction that sets TF is not stepped, and MOV SS holds the step back for good. */
	enter_long(f, 0);
	cpu->rflags |= X86_FLAG_TF;
	interrupt_after_instruction(cpu, X86_FLAG_FIXED, 0);
	assert_int_equal(cpu->rip, CODE);
	cpu->interrupt_shadow = INTERRUPT_SHADOW_STACK;
	interrupt_after_instruction(cpu, cpu->rflags, 0);
	assert_int_equal(cpu->rip, CODE);
	/* INT n enters its handler without a step. */
	cpu->interrupt_shadow = 0;
	uint64_t before = cpu->rflags;
	interrupt_software(cpu, 0x80, INTERRUPT_INT);
	cpu->rip = cpu->next_rip;
	interrupt_after_instruction(cpu, before, 0);
	assert_int_equal(cpu->rip, HANDLER(0x80));
	assert_int_equal(cpu->debug_pending, 0);
}

static void test_breakpoints(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter_long(f, 0);
	cpu->dr[1] = CODE;
	debug_set_dr7(cpu, 1u << 2);
	assert_true(interrupt_stepping(cpu));
	assert_int_equal(FAULT_OF(cpu, interrupt_before_instruction(cpu)), DB);
	assert_int_equal(cpu->dr[6], DEBUG_DR6_FIXED | 2);
	deliver(cpu);
	/*
	 * The pushed RF is clear for these, set for other faults; set, it suppresses the next hit.
	 */
	assert_false(fixture_get64(f, cpu->regs[X86_RSP] + 16) & X86_FLAG_RF);
	cpu->rip = CODE;
	cpu->rflags |= X86_FLAG_RF;
	assert_int_equal(FAULT_OF(cpu, interrupt_before_instruction(cpu)), NOTHING);
	interrupt_after_instruction(cpu, cpu->rflags, 0);
	assert_false(cpu->rflags & X86_FLAG_RF);
	/* Data: a write of the last byte of a two-byte area, a trap. */
	enter_long(f, 0);
	cpu->dr[6] = DEBUG_DR6_FIXED;
	cpu->dr[0] = 0x60002;
	debug_set_dr7(cpu, 1u | 1u << 16 | 1u << 18);
	mmu_store8(cpu, 0x60001, 0);
	(void)mmu_load16(cpu, 0x60002);
	assert_int_equal(cpu->debug_pending, 0);
	mmu_store8(cpu, 0x60003, 0);
	assert_int_equal(cpu->debug_pending, 1);
	interrupt_after_instruction(cpu, cpu->rflags, 0);
	assert_int_equal(cpu->rip, HANDLER(DB));
	assert_int_equal(cpu->dr[6], DEBUG_DR6_FIXED | 1);
	/* General detect: MOV to a debug register faults before it happens. */
	enter_long(f, 0);
	debug_set_dr7(cpu, DEBUG_DR7_GD);
	struct insn mov = {.reg = 0, .rm = X86_RAX};
	assert_int_equal(FAULT_OF(cpu, exec_mov_to_dr(cpu, &mov)), DB);
	assert_true(cpu->dr[6] & DEBUG_DR6_BD);
	assert_false(cpu->dr[7] & DEBUG_DR7_GD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_long_same_level, setup, teardown),
			cmocka_unit_test_setup_teardown(test_long_from_user, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_interrupt_stack_table, setup, teardown),
			cmocka_unit_test_setup_teardown(test_gates, setup, teardown),
			cmocka_unit_test_setup_teardown(test_double_faults, setup, teardown),
			cmocka_unit_test_setup_teardown(test_triple_fault, setup, teardown),
			cmocka_unit_test_setup_teardown(test_real_mode, setup, teardown),
			cmocka_unit_test_setup_teardown(test_protected_inner, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_protected_16_bit_gate, setup, teardown),
			cmocka_unit_test_setup_teardown(test_v8086, setup, teardown),
			cmocka_unit_test_setup_teardown(test_v8086_redirection, setup, teardown),
			cmocka_unit_test_setup_teardown(test_external, setup, teardown),
			cmocka_unit_test_setup_teardown(test_halt, setup, teardown),
			cmocka_unit_test_setup_teardown(test_nmi_blocking, setup, teardown),
			cmocka_unit_test_setup_teardown(test_single_step, setup, teardown),
			cmocka_unit_test_setup_teardown(test_breakpoints, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
