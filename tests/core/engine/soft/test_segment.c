/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/segment.h"

#define GDT UINT64_C(0x20000)
#define LDT UINT64_C(0x21000)
#define TSS UINT64_C(0x22000)
#define STACK UINT64_C(0x30000)
#define INNER_STACK UINT64_C(0x31000)
#define TARGET UINT64_C(0x12345)

#define GP X86_VECTOR_GP
#define NP X86_VECTOR_NP
#define SS X86_VECTOR_SS
#define TS X86_VECTOR_TS
#define UD X86_VECTOR_UD
#define NOTHING (-1)

enum {
	CODE = 0x08,
	DATA = 0x10,
	CODE3 = 0x18,
	DATA3 = 0x20,
	CONFORMING = 0x28,
	READ_ONLY = 0x30,
	ABSENT_DATA = 0x38,
	ABSENT_CODE = 0x40,
	EXECUTE_ONLY = 0x48,
	EXPAND_DOWN = 0x50,
	LDT_ENTRY = 0x58,
	TSS_ENTRY = 0x68,
	GATE0 = 0x78, /* call gate for ring 0, to CODE */
	GATE3 = 0x88, /* for ring 3, two parameters */
	ABSENT_GATE = 0x98,
	LONG_AND_BIG = 0xa8,
	SMALL_CODE = 0xb0, /* limit 0xffff */
	GDT_SIZE = 0xb8,
	BEYOND = 0x200,
};

#define FLAT UINT64_C(0x00c000000000ffff)
#define ACCESS(bits) ((uint64_t)(bits) << 40)
#define LIMIT_HIGH UINT64_C(0x000f000000000000)

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

static void put(struct fixture *f, unsigned selector, uint64_t raw)
{
	fixture_put64(f, GDT + selector, raw);
}

static uint64_t call_gate(unsigned selector, unsigned dpl, unsigned params)
{
	return (TARGET & 0xffff) | (uint64_t)selector << 16 | (uint64_t)params << 32 |
	       ACCESS(0x8c | dpl << 5) | (TARGET >> 16) << 48;
}

static void set_tables(struct fixture *f, bool long_mode)
{
	struct cpu *cpu = f->cpu;
	/* Code: long or 32 bits wide. */
	uint64_t code = LIMIT_HIGH | (FLAT & ~(BIT(54) | BIT(53))) |
			(long_mode ? BIT(53) : BIT(54));
	uint64_t data = LIMIT_HIGH | FLAT;

	memset(f->ram + GDT, 0, GDT_SIZE);
	put(f, CODE, code | ACCESS(0x9a));
	put(f, DATA, data | ACCESS(0x92));
	put(f, CODE3, code | ACCESS(0xfa));
	put(f, DATA3, data | ACCESS(0xf2));
	put(f, CONFORMING, code | ACCESS(0x9e));
	put(f, READ_ONLY, data | ACCESS(0xf0));
	put(f, ABSENT_DATA, data | ACCESS(0x72));
	put(f, ABSENT_CODE, code | ACCESS(0x1a));
	put(f, EXECUTE_ONLY, code | ACCESS(0xf8));
	put(f, EXPAND_DOWN, (data & ~LIMIT_HIGH & ~UINT64_C(0xffff)) | ACCESS(0xf6) | 0x0f);
	put(f, LDT_ENTRY, LDT << 16 | ACCESS(0x82) | 0x0f);
	put(f, TSS_ENTRY, TSS << 16 | ACCESS(0x89) | 0x67);
	put(f, GATE0, call_gate(CODE, 0, 0));
	put(f, GATE3, call_gate(CODE, 3, 2));
	put(f, ABSENT_GATE, call_gate(CODE, 3, 0) & ~BIT(47));
	put(f, LONG_AND_BIG, code | BIT(53) | BIT(54) | ACCESS(0x9a));
	put(f, SMALL_CODE, (code & ~LIMIT_HIGH & ~BIT(55)) | ACCESS(0x9a));
	cpu->gdtr = (struct x86_table){.base = GDT, .limit = GDT_SIZE - 1};
	cpu->tr = (struct x86_segment){.base = TSS,
			.limit = 0x67,
			.attributes = (uint32_t)X86_SEG_P | 11,
			.selector = TSS_ENTRY};
	cpu->ldtr = segment_null(0);
	fixture_put32(f, TSS + 4, INNER_STACK);
	fixture_put32(f, TSS + 8, long_mode ? 0 : DATA);
	cpu->regs[X86_RSP] = STACK;
	cpu->rip = 0x1000;
	cpu->next_rip = 0x1007;
}

static void enter(struct fixture *f, bool long_mode, unsigned cpl)
{
	if (long_mode) {
		fixture_enter_long_mode(f, cpl);
	} else {
		fixture_enter_protected_mode(f, cpl);
	}
	set_tables(f, long_mode);
	f->cpu->seg[X86_CS].selector = (uint16_t)((cpl ? CODE3 : CODE) | cpl);
	f->cpu->seg[X86_SS].selector = (uint16_t)((cpl ? DATA3 : DATA) | cpl);
}

/* Loads of data and stack segments. */
static const struct {
	bool long_mode;
	unsigned cpl;
	unsigned segment;
	uint16_t selector;
	int vector;
	uint32_t error;
} loads[] = {
		{false, 0, X86_DS, DATA, NOTHING, 0},
		{false, 0, X86_DS, DATA3, NOTHING, 0},
		{false, 0, X86_DS, DATA3 | 3, NOTHING, 0},
		{false, 0, X86_DS, 0, NOTHING, 0},
		{false, 0, X86_DS, 3, NOTHING, 0},
		{false, 0, X86_ES, CODE, NOTHING, 0}, /* readable code */
		{false, 3, X86_ES, CONFORMING | 3, NOTHING, 0}, /* whatever its level */
		{false, 0, X86_DS, DATA | 3, GP, DATA}, /* RPL */
		{false, 3, X86_DS, DATA, GP, DATA}, /* CPL */
		{false, 3, X86_DS, DATA | 3, GP, DATA},
		{false, 3, X86_DS, EXECUTE_ONLY | 3, GP, EXECUTE_ONLY},
		{false, 0, X86_FS, TSS_ENTRY, GP, TSS_ENTRY},
		{false, 0, X86_FS, BEYOND, GP, BEYOND},
		{false, 0, X86_FS, DATA | 4, GP, DATA | 4}, /* there is no LDT */
		{false, 0, X86_GS, ABSENT_DATA, NP, ABSENT_DATA},
		{false, 0, X86_SS, DATA, NOTHING, 0},
		{false, 0, X86_SS, ABSENT_DATA, GP, ABSENT_DATA}, /* DPL 3 */
		{false, 3, X86_SS, ABSENT_DATA | 3, SS, ABSENT_DATA},
		{false, 0, X86_SS, 0, GP, 0},
		{false, 0, X86_SS, READ_ONLY, GP, READ_ONLY},
		{false, 3, X86_SS, READ_ONLY | 3, GP, READ_ONLY},
		{false, 0, X86_SS, CODE, GP, CODE},
		{false, 0, X86_SS, DATA3, GP, DATA3},
		{false, 3, X86_SS, DATA3, GP, DATA3}, /* RPL 0 */
		{true, 0, X86_SS, 0, NOTHING, 0},
		{true, 0, X86_SS, 1, GP, 0},
		{true, 3, X86_SS, 3, GP, 0},
		{true, 3, X86_FS, 0, NOTHING, 0},
};

static G_NO_INLINE int try_load(struct cpu *cpu, unsigned segment, uint16_t selector)
{
	return FAULT_OF(cpu, segment_load(cpu, segment, selector));
}

static void test_loads(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(loads); i++) {
		enter(f, loads[i].long_mode, loads[i].cpl);
		struct x86_segment before = cpu->seg[loads[i].segment];
		int vector = try_load(cpu, loads[i].segment, loads[i].selector);
		if (vector != loads[i].vector ||
				(vector != NOTHING && cpu->fault.error != loads[i].error)) {
			fail_msg("row %zu: vector %d, error 0x%x", i, vector, cpu->fault.error);
		}
		const struct x86_segment *now = &cpu->seg[loads[i].segment];
		if (vector != NOTHING) {
			assert_memory_equal(now, &before, sizeof(before));
			continue;
		}
		assert_int_equal(now->selector, loads[i].selector);
		if (SELECTOR_NULL(loads[i].selector)) {
			assert_true(now->attributes & X86_SEG_UNUSABLE);
		} else {
			/* The accessed bit, in the register and in memory. */
			assert_true(now->attributes & X86_SEG_ACCESSED);
			assert_true(fixture_get64(f, GDT + (loads[i].selector & ~7)) & BIT(40));
		}
	}
}

static void test_ldt_and_tr(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter(f, false, 0);
	segment_load_ldtr(cpu, LDT_ENTRY);
	assert_int_equal(cpu->ldtr.base, LDT);
	assert_int_equal(cpu->ldtr.limit, 15);
	fixture_put64(f, LDT + 8, LIMIT_HIGH | FLAT | ACCESS(0x92));
	assert_int_equal(FAULT_OF(cpu, segment_load(cpu, X86_DS, 0x0c)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_load(cpu, X86_DS, 0x14)), GP);
	assert_int_equal(FAULT_OF(cpu, segment_load_ldtr(cpu, DATA)), GP);
	assert_int_equal(FAULT_OF(cpu, segment_load_ldtr(cpu, LDT_ENTRY | 4)), GP);
	segment_load_tr(cpu, TSS_ENTRY);
	assert_int_equal((fixture_get64(f, GDT + TSS_ENTRY) >> 40) & 0xff, 0x8b);
	assert_int_equal(FAULT_OF(cpu, segment_load_tr(cpu, TSS_ENTRY)), GP); /* busy now */
	assert_int_equal(cpu->fault.error, TSS_ENTRY);
	assert_int_equal(FAULT_OF(cpu, segment_load_tr(cpu, 0)), GP);
	/* Long mode: 16 bytes, with the upper half of the base. */
	enter(f, true, 0);
	put(f, LDT_ENTRY + 8, 0xffff8000);
	segment_load_ldtr(cpu, LDT_ENTRY);
	assert_true(cpu->ldtr.base == (UINT64_C(0xffff800000000000) | LDT));
	put(f, LDT_ENTRY + 8, 0x00008000); /* not canonical */
	assert_int_equal(FAULT_OF(cpu, segment_load_ldtr(cpu, LDT_ENTRY)), GP);
	put(f, LDT_ENTRY + 8, UINT64_C(0x100) << 32); /* the type field is not zero */
	assert_int_equal(FAULT_OF(cpu, segment_load_ldtr(cpu, LDT_ENTRY)), GP);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter(f, false, 3);
	assert_int_equal(cpu->segments_checked, 1u << X86_CS);
	segment_load(cpu, X86_FS, EXPAND_DOWN | 3); /* limit 0xffff: valid above */
	assert_true(cpu->segments_checked & 1u << X86_FS);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_FS, 0xffff, 1, MMU_READ)), GP);
	assert_int_equal(
			FAULT_OF(cpu, segment_linear(cpu, X86_FS, 0x10000, 4, MMU_WRITE)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_FS, 0xfffffffe, 4, MMU_READ)), GP);
	segment_load(cpu, X86_GS, READ_ONLY | 3);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_GS, 0, 4, MMU_READ)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_GS, 0, 4, MMU_WRITE)), GP);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_CS, 0, 4, MMU_READ)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_CS, 0, 4, MMU_WRITE)), GP);
	segment_load(cpu, X86_ES, 0);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_ES, 0, 1, MMU_READ)), GP);
	cpu->seg[X86_SS].limit = 0xfff;
	cpu_update_mode(cpu);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_SS, 0xffc, 4, MMU_READ)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_SS, 0xffd, 4, MMU_READ)), SS);
	/* 64-bit mode: canonical addresses, to the last byte. */
	enter(f, true, 3);
	uint64_t edge = UINT64_C(0x7fffffffffff);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_DS, edge, 1, MMU_READ)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_DS, edge, 2, MMU_READ)), GP);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_SS, edge + 1, 1, MMU_READ)), SS);
	cpu_reset(cpu, false);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_DS, 0xffff, 1, MMU_READ)), NOTHING);
	assert_int_equal(FAULT_OF(cpu, segment_linear(cpu, X86_DS, 0xffff, 2, MMU_READ)), GP);
}

static G_NO_INLINE int far_transfer(struct cpu *cpu, bool call, unsigned selector, uint32_t offset)
{
	struct insn insn = {
			.opcode = call ? 0x9a : 0xea,
			.imm = (uint64_t)selector << 32 | offset,
			.operand_size = 4,
	};

	return FAULT_OF(cpu, exec_far_immediate(cpu, &insn));
}

static const struct {
	const char *name;
	bool long_mode;
	unsigned cpl;
	bool call;
	uint16_t selector;
	int vector;
	uint32_t error;
} transfers[] = {
		{"jump", false, 0, false, CODE, NOTHING, 0},
		{"call", false, 0, true, CODE, NOTHING, 0},
		{"ring 3", false, 3, true, CODE3 | 3, NOTHING, 0},
		{"conforming", false, 3, false, CONFORMING, NOTHING, 0},
		{"null", false, 0, false, 3, GP, 0},
		{"beyond the table", false, 0, false, BEYOND, GP, BEYOND},
		{"data", false, 0, false, DATA, GP, DATA},
		{"outward", false, 0, false, CODE3, GP, CODE3},
		{"inward", false, 3, false, CODE, GP, CODE},
		{"RPL above CPL", false, 0, false, CODE | 3, GP, CODE},
		{"absent", false, 0, false, ABSENT_CODE, NP, ABSENT_CODE},
		{"beyond the limit", false, 0, false, SMALL_CODE, GP, 0},
		{"LDT", false, 0, false, LDT_ENTRY, GP, LDT_ENTRY},
		{"gate", false, 0, true, GATE0, NOTHING, 0},
		{"gate above us", false, 3, true, GATE0, GP, GATE0},
		{"gate, RPL above DPL", false, 0, true, GATE0 | 3, GP, GATE0},
		{"absent gate", false, 3, true, ABSENT_GATE, NP, ABSENT_GATE},
		{"jump through a gate inward", false, 3, false, GATE3, GP, CODE},
		{"L and D", true, 0, false, LONG_AND_BIG, GP, LONG_AND_BIG},
		{"TSS in long mode", true, 0, false, TSS_ENTRY, GP, TSS_ENTRY},
};

static void test_far_transfers(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(transfers); i++) {
		enter(f, transfers[i].long_mode, transfers[i].cpl);
		int vector = far_transfer(cpu, transfers[i].call, transfers[i].selector, TARGET);
		if (vector != transfers[i].vector ||
				(vector != NOTHING && cpu->fault.error != transfers[i].error)) {
			fail_msg("%s: vector %d, error 0x%x", transfers[i].name, vector,
					cpu->fault.error);
		}
		if (vector != NOTHING) {
			assert_int_equal(cpu->next_rip, 0x1007);
			assert_int_equal(cpu->regs[X86_RSP], STACK);
			continue;
		}
		assert_int_equal(cpu->next_rip, TARGET);
		assert_int_equal(cpu->cpl, transfers[i].cpl);
		assert_int_equal(cpu->seg[X86_CS].selector & 3, cpu->cpl);
		if (transfers[i].call) {
			assert_int_equal(cpu->regs[X86_RSP], STACK - 8);
			assert_int_equal(fixture_get32(f, STACK - 8), 0x1007);
		}
	}
}

/* A call inward copies its parameters; the return drops them on both stacks. */
static void test_call_gate_inward(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn ret = {.opcode = 0xca, .operand_size = 4, .imm = 8};

	enter(f, false, 3);
	fixture_put32(f, STACK, 0x11111111);
	fixture_put32(f, STACK + 4, 0x22222222);
	assert_int_equal(far_transfer(cpu, true, GATE3, 0), NOTHING);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->next_rip, TARGET);
	assert_int_equal(cpu->regs[X86_RSP], INNER_STACK - 24);
	assert_int_equal(fixture_get32(f, INNER_STACK - 24), 0x1007);
	assert_int_equal(fixture_get32(f, INNER_STACK - 20), CODE3 | 3);
	assert_int_equal(fixture_get32(f, INNER_STACK - 16), 0x11111111);
	assert_int_equal(fixture_get32(f, INNER_STACK - 12), 0x22222222);
	assert_int_equal(fixture_get32(f, INNER_STACK - 8), STACK);
	assert_int_equal(fixture_get32(f, INNER_STACK - 4), DATA3 | 3);
	segment_load(cpu, X86_DS, DATA);
	assert_int_equal(FAULT_OF(cpu, exec_far_return(cpu, &ret)), NOTHING);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->next_rip, 0x1007);
	assert_int_equal(cpu->regs[X86_RSP], STACK + 8);
	assert_int_equal(cpu->seg[X86_DS].selector, 0);
	/* The 64-bit form: no parameters, null SS. */
	enter(f, true, 3);
	struct insn far = {.modrm = 3 << 3,
			.operand_size = 8,
			.is_memory = true,
			.segment = X86_DS,
			.base = INSN_REG_NONE,
			.index = INSN_REG_NONE,
			.disp = 0x5000,
			.address_size = 8};
	fixture_put64(f, 0x5008, GATE3);
	assert_int_equal(FAULT_OF(cpu, exec_far_memory(cpu, &far)), NOTHING);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->seg[X86_SS].selector, 0);
	assert_int_equal(cpu->regs[X86_RSP], INNER_STACK - 32);
	assert_int_equal(fixture_get64(f, INNER_STACK - 16), STACK);
}

static void test_real_mode(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	cpu_reset(cpu, false);
	segment_load(cpu, X86_DS, 0x1234);
	assert_int_equal(cpu->seg[X86_DS].base, 0x12340);
	assert_int_equal(cpu->seg[X86_DS].limit, 0xffff);
	cpu->regs[X86_RSP] = 0x100;
	cpu->next_rip = 0x20;
	struct insn call = {.opcode = 0x9a, .imm = UINT64_C(0x200000000456), .operand_size = 2};
	assert_int_equal(FAULT_OF(cpu, exec_far_immediate(cpu, &call)), NOTHING);
	assert_int_equal(cpu->seg[X86_CS].base, 0x20000);
	assert_int_equal(cpu->next_rip, 0x456);
	assert_int_equal(fixture_get32(f, 0xfc), 0xf0000020);
	struct insn ret = {.opcode = 0xcb, .operand_size = 2};
	assert_int_equal(FAULT_OF(cpu, exec_far_return(cpu, &ret)), NOTHING);
	assert_int_equal(cpu->seg[X86_CS].selector, 0xf000);
	assert_int_equal(cpu->next_rip, 0x20);
	/* Instructions that need protected mode. */
	struct insn lar = {.operand_size = 2};
	assert_int_equal(FAULT_OF(cpu, exec_lar(cpu, &lar)), UD);
	assert_int_equal(FAULT_OF(cpu, exec_lldt(cpu, &lar)), UD);
}

static const struct {
	unsigned cpl;
	uint16_t selector;
	bool lar, lsl, verr, verw;
} questions[] = {
		{0, DATA, true, true, true, true}, {3, DATA, false, false, false, false},
		{3, DATA3, true, true, true, true}, {0, DATA | 3, false, false, false, false},
		{3, CONFORMING, true, true, true, false}, {3, READ_ONLY, true, true, true, false},
		{3, EXECUTE_ONLY, true, true, false, false},
		{0, TSS_ENTRY, true, true, false, false}, {0, GATE0, true, false, false, false},
		{0, 0, false, false, false, false}, {0, BEYOND, false, false, false, false},
		{3, ABSENT_DATA, true, true, true, true}, /* presence is not asked for */
};

static G_NO_INLINE bool ask(struct cpu *cpu, insn_exec_fn *exec, unsigned modrm_reg)
{
	struct insn insn = {.operand_size = 4,
			.reg = X86_RCX,
			.rm = X86_RAX,
			.modrm = (uint8_t)(modrm_reg << 3)};

	assert_int_equal(FAULT_OF(cpu, exec(cpu, &insn)), NOTHING);
	return cpu->rflags & X86_FLAG_ZF;
}

static void test_questions(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(questions); i++) {
		enter(f, false, questions[i].cpl);
		cpu->regs[X86_RAX] = questions[i].selector;
		if (ask(cpu, exec_lar, 0) != questions[i].lar ||
				ask(cpu, exec_lsl, 0) != questions[i].lsl ||
				ask(cpu, exec_verify, 4) != questions[i].verr ||
				ask(cpu, exec_verify, 5) != questions[i].verw) {
			fail_msg("row %zu", i);
		}
	}
	enter(f, false, 0);
	cpu->regs[X86_RAX] = DATA3;
	(void)ask(cpu, exec_lar, 0);
	assert_int_equal(cpu->regs[X86_RCX], 0x00c0f200); /* limit bits 16-19 are not shown */
	(void)ask(cpu, exec_lsl, 0);
	assert_int_equal(cpu->regs[X86_RCX], 0xffffffff);
	/* ARPL raises RPL to that of the register. */
	struct insn arpl = {.rm = X86_RAX, .reg = X86_RCX};
	cpu->regs[X86_RAX] = 0x10;
	cpu->regs[X86_RCX] = 0x0b;
	exec_arpl(cpu, &arpl);
	assert_int_equal(cpu->regs[X86_RAX], 0x13);
	assert_true(cpu->rflags & X86_FLAG_ZF);
	exec_arpl(cpu, &arpl);
	assert_false(cpu->rflags & X86_FLAG_ZF);
}

static void test_table_registers(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct insn insn = {.is_memory = true,
			.base = INSN_REG_NONE,
			.index = INSN_REG_NONE,
			.disp = 0x5000,
			.address_size = 8,
			.operand_size = 8,
			.segment = X86_DS,
			.modrm = 2 << 3};

	enter(f, true, 0);
	fixture_put64(f, 0x5000, UINT64_C(0x123456780fff));
	exec_load_table(cpu, &insn);
	assert_int_equal(cpu->gdtr.limit, 0xfff);
	assert_int_equal(cpu->gdtr.base, 0x12345678);
	fixture_put64(f, 0x5008, 0x8000); /* not canonical */
	assert_int_equal(FAULT_OF(cpu, exec_load_table(cpu, &insn)), GP);
	insn.modrm = 0;
	exec_store_table(cpu, &insn);
	assert_int_equal(fixture_get64(f, 0x5002), 0x12345678);
	/* UMIP hides them from ring 3. */
	enter(f, true, 3);
	assert_int_equal(FAULT_OF(cpu, exec_store_table(cpu, &insn)), NOTHING);
	cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_UMIP);
	assert_int_equal(FAULT_OF(cpu, exec_store_table(cpu, &insn)), GP);
	assert_int_equal(FAULT_OF(cpu, exec_store_selector(cpu, &insn)), GP);
	assert_int_equal(FAULT_OF(cpu, exec_smsw(cpu, &insn)), GP);
	assert_int_equal(FAULT_OF(cpu, exec_load_table(cpu, &insn)), GP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_loads, setup, teardown),
			cmocka_unit_test_setup_teardown(test_ldt_and_tr, setup, teardown),
			cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
			cmocka_unit_test_setup_teardown(test_far_transfers, setup, teardown),
			cmocka_unit_test_setup_teardown(test_call_gate_inward, setup, teardown),
			cmocka_unit_test_setup_teardown(test_real_mode, setup, teardown),
			cmocka_unit_test_setup_teardown(test_questions, setup, teardown),
			cmocka_unit_test_setup_teardown(test_table_registers, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
