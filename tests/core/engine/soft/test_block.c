/* SPDX-License-Identifier: MIT */
/*
 * The memory for decoded code: young blocks go, hot ones stay, and what is left out of them is decoded again as it was.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/fake_machine.h"

#include "core/engine/soft/block.h"
#include "core/engine/soft/interp.h"

#include <string.h>

#define CODE UINT64_C(0x10000)
#define CODE_SIZE (4 * GUEST_PAGE_SIZE)
#define FIELD UINT64_C(0x40000000)
#define FIELD_SIZE (64 * KiB)

struct setup {
	struct fake_machine *fake;
	struct cpu *cpu;
	struct block_cache *blocks;
	uint8_t code[CODE_SIZE];
	uint8_t field[FIELD_SIZE];
};

static int start(void **state)
{
	struct setup *setup = g_new0(struct setup, 1);

	setup->fake = fake_machine_create();
	setup->cpu = setup->fake->cpu;
	setup->blocks = setup->cpu->blocks;
	fake_machine_add(setup->fake, CODE, CODE_SIZE, setup->code, true);
	fake_machine_add(setup->fake, FIELD, FIELD_SIZE, setup->field, true);
	memset(setup->field, 0x90, FIELD_SIZE);
	memcpy(setup->field + FIELD_SIZE - 2, "\x0f\x0b", 2);
	*state = setup;
	return 0;
}

static int stop(void **state)
{
	struct setup *setup = *state;

	fake_machine_destroy(setup->fake);
	g_free(setup);
	return 0;
}

/* Runs from rip to the UD2 at end. */
static void run(struct setup *setup, uint64_t rip, uint64_t end)
{
	setup->cpu->request = 0;
	setup->cpu->rip = rip;
	cpu_run(setup->cpu);
	assert_int_equal(setup->cpu->fault.vector, X86_VECTOR_UD);
	assert_int_equal(setup->cpu->rip, end);
}

/* More than all young blocks at once. */
static void run_field(struct setup *setup)
{
	run(setup, FIELD, FIELD + FIELD_SIZE - 2);
}

static uint64_t decoded_by(struct setup *setup, uint64_t rip, uint64_t end)
{
	uint64_t before = setup->blocks->decoded;

	run(setup, rip, end);
	return setup->blocks->decoded - before;
}

static uint64_t forgotten(const struct setup *setup)
{
	return setup->cpu->stats.values[STAT_BLOCKS_FORGOTTEN];
}

#define LOAD(setup, offset, ...) \
	do { \
		static const uint8_t bytes_[] = {__VA_ARGS__}; \
		memcpy((setup)->code + (offset), bytes_, sizeof(bytes_)); \
	} while (0)

#define LOOP_END (CODE + 9)

/* Two blocks: one that loops and one that ends. */
static void load_loop(struct setup *setup, unsigned times)
{
	LOAD(setup, 0, 0x48, 0xff, 0xc0, /* inc rax */
			0x48, 0xff, 0xc9, /* dec rcx */
			0x75, 0xf8, /* jnz inc */
			0x90, 0x0f, 0x0b);
	setup->cpu->regs[X86_RAX] = 0;
	setup->cpu->regs[X86_RCX] = times;
}

static void test_young_go(void **state)
{
	struct setup *setup = *state;
	uint64_t clears = setup->blocks->clears;

	load_loop(setup, 2);
	assert_int_equal(decoded_by(setup, CODE, LOOP_END), 2);
	setup->cpu->regs[X86_RCX] = 1;
	assert_int_equal(decoded_by(setup, CODE, LOOP_END), 0);
	run_field(setup);
	assert_true(forgotten(setup) > 0);
	/* Nothing is left that would keep others from writing there. */
	assert_true(code_admits_writer(setup->cpu, CODE));
	setup->cpu->regs[X86_RCX] = 2;
	assert_int_equal(decoded_by(setup, CODE, LOOP_END), 2);
	assert_int_equal(setup->cpu->regs[X86_RAX], 5);
	assert_int_equal(setup->blocks->clears, clears);
}

static void test_hot_stay(void **state)
{
	struct setup *setup = *state;
	const struct block *block;

	load_loop(setup, 2 * BLOCK_HOT);
	run(setup, CODE, LOOP_END);
	block = block_lookup(setup->cpu, CODE);
	assert_true(block->kept);
	assert_false(block_lookup(setup->cpu, CODE + 8)->kept);
	run_field(setup);
	run_field(setup);
	assert_ptr_equal(block_lookup(setup->cpu, CODE), block);
	setup->cpu->regs[X86_RCX] = 3;
	assert_int_equal(decoded_by(setup, CODE, LOOP_END), 1);
	assert_int_equal(setup->cpu->regs[X86_RAX], 2 * BLOCK_HOT + 3);
	/* It is as well known by its page: a store finds it. */
	mmu_store8(setup->cpu, CODE + 2, 0xc8);
	assert_true(block->dead);
	setup->cpu->regs[X86_RCX] = 1;
	run(setup, CODE, LOOP_END);
	assert_int_equal(setup->cpu->regs[X86_RAX], 2 * BLOCK_HOT + 2);
}

/* No pass leaves anything for the next one to find, yet each block is decoded only so often. */
static void test_loop_larger_than_the_ring(void **state)
{
	struct setup *setup = *state;
	uint64_t before;

	for (unsigned pass = 0; pass <= BLOCK_HOT; pass++) {
		run_field(setup);
	}
	/* But for some that others were taken for, by how hot they had been. */
	before = forgotten(setup);
	assert_true(decoded_by(setup, FIELD, FIELD + FIELD_SIZE - 2) < FIELD_SIZE / 64 / 8);
	assert_true(forgotten(setup) - before < FIELD_SIZE / 64 / 8);
}

static void test_no_room_to_keep(void **state)
{
	struct setup *setup = *state;
	uint64_t clears = setup->blocks->clears;

	/* Each block so often before the next one: 5 bytes, loop to themselves, then jump on. */
	for (unsigned i = 0; i < CODE_SIZE / 8 - 1; i++) {
		memcpy(setup->code + 8 * i, "\xff\xc9\x75\xfc\xb1\x50\x66\x90", 8);
	}
	memcpy(setup->code + CODE_SIZE - 8, "\x0f\x0b", 2);
	for (unsigned round = 0; setup->blocks->clears == clears; round++) {
		assert_true(round < 100);
		setup->cpu->regs[X86_RCX] = 80;
		/* Overwritten, they are decoded and kept once more, elsewhere. */
		for (unsigned i = 0; i < CODE_SIZE / 8 - 1; i++) {
			mmu_store8(setup->cpu, CODE + 8 * i + 5, (uint8_t)(0x50 + round % 2));
		}
		run(setup, CODE, CODE + CODE_SIZE - 8);
	}
	assert_true(setup->cpu->stats.values[STAT_CLEARS_BLOCKS] == 1);
}

#define PIECES 64u

/* Blocks of a page, one of which goes on in the next, come, become kept and are overwritten, in any order. */
static void test_pages(void **state)
{
	struct setup *setup = *state;
	bool there[PIECES] = {false};
	const uint64_t first = CODE + GUEST_PAGE_SIZE - PIECES * 8ul;
	uint64_t killed;
	uint32_t random = 1;

	for (unsigned i = 0; i < PIECES; i++) {
		memcpy(setup->code + (first - CODE) + 8ul * i, "\x90\x90\x90\xc3\x90\x90\x90\xb8",
				8);
	}
	for (unsigned turn = 0; turn < 1000; turn++) {
		random = random * 1664525 + 1013904223;
		unsigned i = (random >> 8) % PIECES;
		uint64_t at = first + 8ul * i + (i == PIECES - 1 ? 7 : 0);
		if (random >> 30 == 3) {
			killed = setup->blocks->killed;
			/* Of the one that straddles by turns: its first page, its second. */
			mmu_store8(setup->cpu, at + (i == PIECES - 1 ? turn % 2 : 0),
					i == PIECES - 1 && turn % 2 == 0 ? 0xb8 : 0x90);
			assert_int_equal(setup->blocks->killed - killed, there[i]);
			there[i] = false;
		} else {
			struct block *block = block_lookup(setup->cpu, at);
			there[i] = true;
			if (random >> 30 == 2) {
				block_keep(setup->cpu, block, i == PIECES - 1 || turn % 2);
			}
		}
	}
	assert_int_equal(setup->cpu->stats.values[STAT_BLOCKS_FORGOTTEN], 0);
	for (unsigned page = 0; page < 2; page++) {
		assert_false(code_admits_writer(setup->cpu, CODE + page * GUEST_PAGE_SIZE));
	}
	killed = setup->blocks->killed;
	code_written(setup->cpu, CODE, GUEST_PAGE_SIZE);
	for (unsigned i = 0; i < PIECES; i++) {
		killed += there[i];
	}
	assert_int_equal(setup->blocks->killed, killed);
	for (unsigned page = 0; page < 2; page++) {
		assert_true(code_admits_writer(setup->cpu, CODE + page * GUEST_PAGE_SIZE));
	}
}

static void assert_same_insns(const struct insn *a, const struct insn *b, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_memory_equal(&a[i], &b[i], sizeof(*a));
	}
}

/* Those that are to be translated lose their instructions, and have them again as they were. */
static void test_expansion(void **state)
{
	struct setup *setup = *state;
	struct block *blocks[2];
	struct insn insns[2][4];

	LOAD(setup, 0, 0x66, 0x0f, 0x6f, 0xc1, /* movdqa xmm0, xmm1 */
			0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, /* mov rax, imm */
			0xf0, 0x89, 0xc0, /* a lock that is not allowed */
			0x0f, 0x0b);
	LOAD(setup, 0x20, 0x48, 0x8b, 0x84, 0xcb, 0x40, 0, 0, 0, /* mov rax, [rbx+rcx*8+64] */
			0x48, 0x01, 0xd0, /* add rax, rdx */
			0xe8, 0x10, 0, 0, 0); /* call */
	for (unsigned i = 0; i < 2; i++) {
		const struct block *young = block_lookup(setup->cpu, CODE + 0x20 * i);
		assert_int_equal(young->count, 3);
		memcpy(insns[i], young->insns, 3 * sizeof(struct insn));
		blocks[i] = block_keep(
				setup->cpu, block_lookup(setup->cpu, CODE + 0x20 * i), false);
		assert_true(young->dead);
		assert_ptr_equal(block_lookup(setup->cpu, CODE + 0x20 * i), blocks[i]);
	}
	assert_null(blocks[0]->insns);
	for (unsigned turn = 0; turn < 4; turn++) {
		struct block *block = blocks[turn % 2];
		assert_same_insns(block_insns(setup->cpu, block), insns[turn % 2], 3);
		assert_null(blocks[(turn + 1) % 2]->insns);
	}
	/* So does decoding another block. */
	(void)block_lookup(setup->cpu, CODE + 0x100);
	assert_null(blocks[1]->insns);
	assert_same_insns(block_insns(setup->cpu, blocks[1]), insns[1], 3);
}

static void test_called_out(void **state)
{
	struct setup *setup = *state;
	static uint8_t bytes[BLOCK_CALLED_OUT + 64];
	static const uint8_t add[] = {0x48, 0x01, 0xd8, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};
	static const uint8_t longest[] = {
			0x66, 0x66, 0x66, 0x66, 0xc7, 0x84, 0x25, 1, 2, 3, 4, 5, 6};
	const struct insn *insn;

	memcpy(bytes, add, sizeof(add));
	memcpy(bytes + BLOCK_CALLED_OUT, add, 3);
	insn = block_called_out(setup->cpu, bytes);
	assert_int_equal(insn->length, 3);
	assert_int_equal(insn->opcode, 0x01);
	/* Known by its own bytes, wherever they are. */
	assert_ptr_equal(block_called_out(setup->cpu, bytes + BLOCK_CALLED_OUT), insn);
	assert_int_equal(setup->blocks->called_out[(uintptr_t)bytes % BLOCK_CALLED_OUT].bytes[0] >>
					 24,
			UINT64_C(0x9090909090));
	bytes[2] = 0xd9;
	assert_int_equal(block_called_out(setup->cpu, bytes)->rm, X86_RCX);
	/* More than eight bytes: each one counts. */
	memcpy(bytes, longest, sizeof(longest));
	assert_int_equal(block_called_out(setup->cpu, bytes)->length, sizeof(longest));
	for (unsigned i = 7; i < sizeof(longest); i++) {
		bytes[i] ^= 0x10;
		insn = block_called_out(setup->cpu, bytes);
		int32_t disp;
		memcpy(&disp, bytes + 7, sizeof(disp));
		assert_int_equal(insn->disp, disp);
		assert_int_equal((uint16_t)insn->imm, bytes[11] | bytes[12] << 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_young_go, start, stop),
			cmocka_unit_test_setup_teardown(test_hot_stay, start, stop),
			cmocka_unit_test_setup_teardown(
					test_loop_larger_than_the_ring, start, stop),
			cmocka_unit_test_setup_teardown(test_no_room_to_keep, start, stop),
			cmocka_unit_test_setup_teardown(test_pages, start, stop),
			cmocka_unit_test_setup_teardown(test_expansion, start, stop),
			cmocka_unit_test_setup_teardown(test_called_out, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
