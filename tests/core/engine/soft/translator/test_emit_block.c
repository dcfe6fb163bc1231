/* SPDX-License-Identifier: MIT */
/*
 * Translated instructions against the host CPU and against the interpreter: alone and in the middle of blocks, with and
 * without the TLB's help, with every register in every role.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/differ.h"

#include "core/engine/soft/exec.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/translator/emit_block.h"
#include "core/engine/soft/translator/shape.h"

#include <stdio.h>
#include <string.h>

#define CODE_SIZE (1 * MiB)
#define JUMPS 65536u

struct jump {
	uint64_t minus;
	const uint8_t *entry;
};

/* What stands for struct translator here: no block leads to another. */
struct translated {
	struct code *code;
	struct jump *jumps;
	uint64_t blocks;
};

static struct translated translated;

static void translated_start(struct cpu *cpu)
{
	translated.code = code_create(CODE_SIZE);
	assert_non_null(translated.code);
	translated.jumps = g_new0(struct jump, JUMPS);
	translated.jumps[0].minus = 1;
	translated.blocks = 0;
	cpu->self = cpu;
	cpu->jumps = translated.jumps;
	code_set_gs(cpu);
}

static void translated_stop(void)
{
	code_destroy(translated.code);
	g_free(translated.jumps);
}

/* The far entry of a translation, as the processor would run it. */
static const uint8_t *translate(struct cpu *cpu, const struct block *block)
{
	struct emitter emitter;
	const uint8_t *begin;

	if (!code_begin(translated.code, &emitter)) {
		code_clear(translated.code);
		assert_true(code_begin(translated.code, &emitter));
	}
	begin = emitter.at;
	if (!block_emit(translated.code, &emitter, block, (unsigned)(cpu->tlb - cpu->tlbs),
			    cpu->sse_native)) {
		return NULL;
	}
	code_end(translated.code, &emitter);
	translated.blocks++;
	return code_executable(translated.code, begin);
}

/* Runs it, up to where another block begins. False with cpu->fault if it faulted. */
static bool run_translation(struct cpu *cpu, const uint8_t *entry)
{
	if (sigsetjmp(cpu->unwind, 0) != 0) {
		return false;
	}
	(void)code_run(translated.code, cpu, entry);
	if (!linear_is_canonical(cpu->rip)) {
		int64_t branch = (int64_t)cpu->branch;
		cpu->regs[X86_RSP] -= (uint64_t)(branch >> 16);
		cpu->rip = cpu->page_rip + (branch & 0xffff);
		cpu_raise_gp(cpu);
	}
	return true;
}

/* Flags that are not kept for the case that the instruction faults: it, or one behind it, writes all of them. */
static uint64_t lost_flags(const struct block *block, unsigned at)
{
	uint16_t needed = X86_FLAGS_ARITH;

	for (unsigned i = block->count; i-- > at;) {
		struct shape shape;
		shape_of(&block->insns[i], &shape);
		needed = (uint16_t)((needed & ~shape.flags_written) | shape.flags_read);
	}
	return X86_FLAGS_ARITH & ~(uint64_t)needed;
}

/* An empty block at cpu->rip with room for BLOCK_MAX_INSNS instructions; one at a time. */
static struct block *block_at(const struct cpu *cpu)
{
	static uint64_t storage[(sizeof(struct block) + BLOCK_MAX_INSNS * sizeof(struct insn)) / 8];
	struct block *block = (struct block *)storage;

	memset(block, 0, sizeof(*block));
	block->physical = cpu->rip;
	block->mode = INSN_MODE_64;
	return block;
}

static void block_add(struct block *block, const uint8_t *bytes, size_t len)
{
	struct insn *insn = &block->insns[block->count++];

	assert(insn_decode(insn, INSN_MODE_64, bytes, len) == DECODE_OK);
	exec_bind(insn);
	block->bytes = (uint16_t)(block->bytes + insn->length);
}

/* struct differ's execute(). */
static bool execute_translated(struct differ *differ, const uint8_t *bytes, size_t len)
{
	struct cpu *cpu = differ->fake->cpu;
	struct block *block = block_at(cpu);
	const uint8_t *entry;

	block_add(block, bytes, len);
	differ->fault_flags = lost_flags(block, 0);
	entry = translate(cpu, block);
	if (!entry) {
		return fake_machine_execute(differ->fake, bytes, len);
	}
	return run_translation(cpu, entry);
}

static void start(struct differ *differ)
{
	differ_start(differ);
	translated_start(differ->fake->cpu);
	differ->execute = execute_translated;
}

static void stop(struct differ *differ)
{
	differ_stop(differ);
	translated_stop();
}

static void test_legacy(void **state)
{
	struct differ differ;

	(void)state;
	start(&differ);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, (const uint8_t *)"", 0, opcode, 4);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 100000);
	assert_true(differ.faults > 10000);
	assert_true(translated.blocks > 100000);
}

static void test_0f(void **state)
{
	static const uint8_t escape[] = {0x0f};
	struct differ differ;

	(void)state;
	start(&differ);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		differ_try_opcode(&differ, escape, sizeof(escape), opcode, 4);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_legacy),
			cmocka_unit_test(test_0f),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
