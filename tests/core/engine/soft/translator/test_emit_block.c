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

#include <inttypes.h>
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

/* Each ModRM with each REX, and what follows it at random. */
static void try_operands(struct differ *differ, const uint8_t *opcode, size_t opcode_len)
{
	for (unsigned rex = 0x3f; rex <= 0x4f; rex++) {
		for (unsigned modrm = 0; modrm < 256; modrm++) {
			uint8_t bytes[8];
			size_t len = 0;
			if (rex >= 0x40) {
				bytes[len++] = (uint8_t)rex;
			}
			memcpy(&bytes[len], opcode, opcode_len);
			len += opcode_len;
			bytes[len] = (uint8_t)modrm;
			differ_try(differ, bytes, len, len + 1);
		}
	}
}

static void test_operands_legacy(void **state)
{
	static const uint8_t opcodes[] = {0x00, 0x03, 0x0b, 0x11, 0x18, 0x22, 0x29, 0x38, 0x63,
			0x69, 0x6b, 0x80, 0x81, 0x83, 0x84, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b,
			0x8d, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd1, 0xd3, 0xf6, 0xf7, 0xfe, 0xff};
	struct differ differ;

	(void)state;
	start(&differ);
	for (size_t i = 0; i < G_N_ELEMENTS(opcodes); i++) {
		try_operands(&differ, &opcodes[i], 1);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 90000);
}

static void test_operands_0f(void **state)
{
	static const uint8_t opcodes[] = {0x44, 0x94, 0xa3, 0xa4, 0xa5, 0xab, 0xaf, 0xb0, 0xb1,
			0xb6, 0xb7, 0xba, 0xbc, 0xbe, 0xbf, 0xc0, 0xc1, 0xc8, 0xcd};
	struct differ differ;

	(void)state;
	start(&differ);
	for (size_t i = 0; i < G_N_ELEMENTS(opcodes); i++) {
		const uint8_t opcode[] = {0x0f, opcodes[i]};
		try_operands(&differ, opcode, sizeof(opcode));
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 50000);
}

/* Each base, index and scale. */
static void test_addresses(void **state)
{
	struct differ differ;

	(void)state;
	start(&differ);
	for (unsigned i = 0; i < 17u * 3 * 256; i++) {
		uint8_t bytes[4] = {(uint8_t)(0x3f + i % 17), i & 1 ? 0x8b : 0x89,
				(uint8_t)((i / 17 % 3) << 6 | differ_below(&differ, 8) << 3 | 4),
				(uint8_t)(i / 51)};
		bool rex = bytes[0] >= 0x40;
		differ_try(&differ, rex ? bytes : bytes + 1, rex ? 2 : 1, rex ? 4 : 3);
	}
	stop(&differ);
	assert_int_equal(differ.differences, 0);
	assert_true(differ.cases > 10000);
}

/* What a block did. */
struct outcome {
	bool ok;
	uint64_t regs[X86_REG_COUNT];
	uint64_t rip, rflags, cr2;
	uint8_t vector;
	uint32_t error;
	uint8_t memory[ORACLE_DATA_SIZE];
};

struct twins {
	struct differ differ;
	struct outcome interpreted, translated;
	uint8_t memory[ORACLE_DATA_SIZE];
	uint64_t refused; /* blocks that cannot be translated */
};

/* Runs a block as the run loop does. */
static void execute_block(struct cpu *cpu, const struct block *block)
{
	uint64_t rip = cpu->rip;

	cpu->next_rip = rip + block->bytes;
	for (unsigned i = 0; i < block->count; i++) {
		cpu->rip = rip;
		block->insns[i].exec(cpu, &block->insns[i]);
		rip += block->insns[i].length;
	}
	cpu->rip = cpu->next_rip;
}

static bool run_interpreted(struct cpu *cpu, const struct block *block)
{
	if (sigsetjmp(cpu->unwind, 0) != 0) {
		return false;
	}
	execute_block(cpu, block);
	return true;
}

static void take_outcome(struct twins *twins, bool ok, struct outcome *ret_outcome)
{
	const struct cpu *cpu = twins->differ.fake->cpu;

	ret_outcome->ok = ok;
	memcpy(ret_outcome->regs, cpu->regs, sizeof(cpu->regs));
	ret_outcome->rip = cpu->rip;
	ret_outcome->rflags = cpu->rflags;
	ret_outcome->cr2 = cpu->cr2;
	ret_outcome->vector = cpu->fault.vector;
	ret_outcome->error = cpu->fault.error;
	memcpy(ret_outcome->memory, twins->differ.memory, ORACLE_DATA_SIZE);
}

static unsigned insn_at(const struct block *block, uint64_t rip)
{
	uint64_t at = block->physical;
	unsigned i = 0;

	while (i + 1 < block->count && at != rip) {
		at += block->insns[i++].length;
	}
	return i;
}

/* A call to an address that is none has pushed before it turns out. */
static void ignore_pushed(struct twins *twins)
{
	uint64_t at = twins->interpreted.regs[X86_RSP] - 8 - twins->differ.data;

	for (unsigned i = 0; i < 8 && twins->interpreted.vector == X86_VECTOR_GP; i++) {
		if (at + i < ORACLE_DATA_SIZE) {
			twins->translated.memory[at + i] = twins->interpreted.memory[at + i];
		}
	}
}

static bool same_outcome(struct twins *twins, const struct block *block)
{
	const struct outcome *a = &twins->interpreted, *b = &twins->translated;
	uint64_t flags = DIFFER_FLAGS;

	if (!a->ok) {
		flags &= ~lost_flags(block, insn_at(block, a->rip));
		ignore_pushed(twins);
	}
	return a->ok == b->ok && a->rip == b->rip && ((a->rflags ^ b->rflags) & flags) == 0 &&
	       memcmp(a->regs, b->regs, sizeof(a->regs)) == 0 && a->vector == b->vector &&
	       a->error == b->error && a->cr2 == b->cr2 &&
	       memcmp(a->memory, b->memory, ORACLE_DATA_SIZE) == 0;
}

static void report_twins(struct twins *twins, const uint64_t *before, uint64_t flags,
		const struct block *block, const uint8_t *bytes)
{
	const struct outcome *a = &twins->interpreted, *b = &twins->translated;

	if (twins->differ.differences++ >= 4) {
		return;
	}
	for (unsigned i = 0, at = 0; i < block->count; at += block->insns[i++].length) {
		fprintf(stderr, "instruction %u at %x:", i, (unsigned)block->physical + at);
		for (unsigned k = 0; k < block->insns[i].length; k++) {
			fprintf(stderr, " %02x", bytes[at + k]);
		}
		fprintf(stderr, "\n");
	}
	fprintf(stderr,
			"interpreted, translated: ok %d %d, vector %u %u, error %x %x, cr2 %" PRIx64
			" %" PRIx64 "\n",
			a->ok, b->ok, a->vector, b->vector, a->error, b->error, a->cr2, b->cr2);
	fprintf(stderr, "rip %" PRIx64 " %" PRIx64 ", flags %" PRIx64 ": %" PRIx64 " %" PRIx64 "\n",
			a->rip, b->rip, flags, a->rflags, b->rflags);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		fprintf(stderr, "r%u %016" PRIx64 ": %016" PRIx64 " %016" PRIx64 "%s\n", i,
				before[i], a->regs[i], b->regs[i],
				a->regs[i] != b->regs[i] ? " <--" : "");
	}
	for (unsigned i = 0, shown = 0; i < ORACLE_DATA_SIZE && shown < 16; i++) {
		if (a->memory[i] != b->memory[i]) {
			fprintf(stderr, "memory %" PRIx64 ": %02x %02x\n", twins->differ.data + i,
					a->memory[i], b->memory[i]);
			shown++;
		}
	}
}

/* Runs the block both ways from the same state. */
static void compare_block(struct twins *twins, const struct block *block, const uint8_t *bytes)
{
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;
	uint64_t regs[X86_REG_COUNT], rip = cpu->rip, rflags = cpu->rflags;
	const uint8_t *entry = translate(cpu, block);

	if (!entry) {
		twins->refused++;
		return;
	}
	memcpy(regs, cpu->regs, sizeof(regs));
	memcpy(twins->memory, differ->memory, ORACLE_DATA_SIZE);
	cpu->cr2 = cpu->fault.error = cpu->fault.vector = 0;
	take_outcome(twins, run_interpreted(cpu, block), &twins->interpreted);
	memcpy(differ->memory, twins->memory, ORACLE_DATA_SIZE);
	memcpy(cpu->regs, regs, sizeof(regs));
	cpu->rip = rip;
	cpu->rflags = rflags;
	if (differ_below(differ, 4) == 0) {
		mmu_flush_all(cpu);
	}
	cpu->cr2 = cpu->fault.error = cpu->fault.vector = 0;
	take_outcome(twins, run_translation(cpu, entry), &twins->translated);
	differ->cases++;
	differ->faults += !twins->interpreted.ok;
	if (!same_outcome(twins, block)) {
		report_twins(twins, regs, rflags, block, bytes);
	}
}

/* An instruction that more often than not does something; its length, or 0. */
static unsigned random_insn(struct differ *differ, uint64_t rip, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x67, 0x2e};
	struct insn insn;
	unsigned len = 0;

	if (differ_below(differ, 4) == 0) {
		bytes[len++] = prefixes[differ_below(differ, sizeof(prefixes))];
	}
	if (differ_below(differ, 2)) {
		bytes[len++] = (uint8_t)(0x40 | differ_below(differ, 16));
	}
	if (differ_below(differ, 3) == 0) {
		bytes[len++] = 0x0f;
	}
	bytes[len++] = (uint8_t)differ_below(differ, 256);
	unsigned modrm = (unsigned)differ_below(differ, 256);
	/* Addresses with at most a short displacement; few indexes. */
	if (modrm >> 6 == 2) {
		modrm ^= 0xc0;
	}
	bytes[len++] = (uint8_t)modrm;
	for (unsigned i = 0; i < 12; i++) {
		bytes[len + i] = (uint8_t)differ_value(differ);
	}
	if (modrm < 0xc0 && (modrm & 7) == 4 && differ_below(differ, 4)) {
		bytes[len] = (uint8_t)((bytes[len] & 0xc7) | 0x20);
	}
	/* Prefixes among the opcodes have moved everything. */
	if (insn_decode(&insn, INSN_MODE_64, bytes, INSN_MAX_BYTES) != DECODE_OK ||
			insn.opcode != bytes[len - 2] || insn.map > INSN_MAP_0F ||
			insn.insn_class != INSN_CLASS_INTEGER ||
			(insn.map == INSN_MAP_0F && insn.opcode == 0xc7)) {
		return 0;
	}
	if (insn.is_memory && insn.base == INSN_BASE_RIP) {
		uint32_t distance = (uint32_t)(differ_address(differ) - rip - insn.length);
		memcpy(&bytes[len], &distance, sizeof(distance));
	}
	return insn.length;
}

static void random_block(struct twins *twins)
{
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;
	unsigned count = 2 + (unsigned)differ_below(differ, 7), len = 0;
	uint8_t bytes[16 * 32];
	struct block *block;

	cpu->rip = differ->code + differ_below(differ, 0x700);
	block = block_at(cpu);
	while (block->count < count) {
		unsigned part = random_insn(differ, cpu->rip + len, &bytes[len]);
		if (part) {
			block_add(block, &bytes[len], part);
			len += part;
			if (block->insns[block->count - 1].flags & INSN_FLAG_ENDS_BLOCK) {
				break;
			}
		}
	}
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		cpu->regs[i] = differ_below(differ, 3) ? differ_address(differ)
						       : differ_value(differ);
	}
	if (differ_below(differ, 2)) {
		cpu->regs[X86_RCX] &= 63;
	}
	cpu->rflags = X86_FLAG_FIXED | (differ_random(differ) & X86_FLAGS_ARITH);
	cpu->seg_base[X86_FS] = differ_below(differ, 64);
	cpu->seg_base[X86_GS] = differ_below(differ, 2) ? 0 : differ_value(differ);
	compare_block(twins, block, bytes);
}

/* A page that is decoded from: stores into it take the slow path and are reported. */
static void decode_somewhere(struct differ *differ)
{
	struct cpu *cpu = differ->fake->cpu;

	if (sigsetjmp(cpu->unwind, 0) == 0) {
		(void)block_lookup(cpu, differ_address(differ));
	}
}

static void test_blocks(void **state)
{
	struct twins *twins = g_new0(struct twins, 1);
	struct differ *differ = &twins->differ;

	(void)state;
	start(differ);
	for (unsigned i = 0; i < 60000; i++) {
		differ->fake->fill_tlb = differ_below(differ, 4);
		differ->fake->ranges[2].device = i & 64;
		if (i % 64 == 0) {
			mmu_flush_all(differ->fake->cpu);
			decode_somewhere(differ);
		}
		random_block(twins);
	}
	stop(differ);
	assert_int_equal(differ->differences, 0);
	assert_true(differ->cases > 50000);
	assert_true(differ->faults > 1000);
	assert_true(differ->cases - differ->faults > 10000);
	g_free(twins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_legacy),
			cmocka_unit_test(test_0f),
			cmocka_unit_test(test_operands_legacy),
			cmocka_unit_test(test_operands_0f),
			cmocka_unit_test(test_addresses),
			cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
