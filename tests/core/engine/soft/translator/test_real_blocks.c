/* SPDX-License-Identifier: MIT */
/*
 * Blocks that compilers made, translated and interpreted: of libc and Mesa, or of the files that are named, kernels among them.
 * Registers, data and what RIP names are made up, so that most blocks run to their end.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/real_code.h"
#include "tests/core/engine/soft/translator/twins.h"

#include "core/engine/soft/features.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native.h"
#include "core/engine/soft/translator/shape.h"

#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* As block.c bounds its own. */
#define BLOCK_BYTES_MAX 512u

#define MXCSR_ROUNDING_SHIFT 13

#define LIBC_RUNS 4
#define MESA_RUNS 2
#define MESA_ONE_OF 12

struct sweep {
	struct twins twins;
	ZydisDecoder decoder;
	GHashTable *seen; /* hashes of blocks */
	unsigned one_of; /* so many distinct blocks is run: which, their hashes say */
	unsigned runs; /* of each */
	uint64_t blocks, distinct, taken; /* taken: those that were run */
	uint64_t ended; /* of these: ran to their end at least once */
	uint64_t insns, emitted; /* of all runs; emitted: not called out */
	uint64_t baseline; /* runs of blocks that are of x86-64-v1's instructions alone */
	uint64_t host_insns, host_alien; /* emitted for these; and not of x86-64-v1 */
};

/* One block of real code. */
struct piece {
	const uint8_t *bytes;
	size_t len;
	uint64_t address;
};

/* What x86-64-v1 is made of, and LAHF and SAHF, which all its processors but the first have. */
static bool is_baseline(const ZydisDecodedInstruction *insn)
{
	switch (insn->meta.isa_set) {
	case ZYDIS_ISA_SET_I86:
	case ZYDIS_ISA_SET_I186:
	case ZYDIS_ISA_SET_I286PROTECTED:
	case ZYDIS_ISA_SET_I286REAL:
	case ZYDIS_ISA_SET_I386:
	case ZYDIS_ISA_SET_I486:
	case ZYDIS_ISA_SET_I486REAL:
	case ZYDIS_ISA_SET_PENTIUMREAL:
	case ZYDIS_ISA_SET_PENTIUMMMX:
	case ZYDIS_ISA_SET_PPRO:
	case ZYDIS_ISA_SET_FAT_NOP:
	case ZYDIS_ISA_SET_PREFETCH_NOP:
	case ZYDIS_ISA_SET_PAUSE:
	case ZYDIS_ISA_SET_CMOV:
	case ZYDIS_ISA_SET_FCMOV:
	case ZYDIS_ISA_SET_X87:
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
	case ZYDIS_ISA_SET_LONGMODE:
	case ZYDIS_ISA_SET_LAHF:
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSEMXCSR:
	case ZYDIS_ISA_SET_SSE_PREFETCH:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE2MMX:
		return true;
	default:
		return false;
	}
}

/* Host code is what any x86-64 host can run. */
static void check_host_code(struct sweep *sweep, const uint8_t *code, size_t len)
{
	ZydisDecodedInstruction insn;

	for (size_t at = 0; at < len; at += insn.length) {
		ZyanStatus status = ZydisDecoderDecodeInstruction(
				&sweep->decoder, NULL, code + at, len - at, &insn);
		assert_true(ZYAN_SUCCESS(status));
		sweep->host_insns++;
		if (!is_baseline(&insn) && sweep->host_alien++ < 4) {
			print_error("emitted: %s\n", ZydisMnemonicGetString(insn.mnemonic));
		}
	}
}

/* Whether both ways can run it here, and with the same outcome. */
static bool is_runnable(const struct insn *insn)
{
	enum cpu_feature feature = features_needed(insn, INSN_MODE_64);

	if (insn->insn_class == INSN_CLASS_SYSTEM || insn->insn_class == INSN_CLASS_UNDEFINED) {
		return false;
	}
	return feature == CPU_FEATURE_NONE ||
	       (feature != CPU_FEATURE_RDRAND && feature != CPU_FEATURE_RDSEED &&
			       cpu_features_has(&features_offer()->possible, feature));
}

/* Bytes of what insn_decode() does not know. */
static size_t length_of(const struct sweep *sweep, const uint8_t *bytes, size_t size)
{
	ZydisDecodedInstruction insn;

	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
			       &sweep->decoder, NULL, bytes, size, &insn))
			       ? insn.length
			       : 1;
}

/*
 * The instructions from there on that are a block as block.c makes them, or end before one that cannot be run. Returns how far it
 * is to the next.
 */
static size_t cut(const struct sweep *sweep, struct piece *piece, size_t size)
{
	size_t room = GUEST_PAGE_SIZE - (piece->address & (GUEST_PAGE_SIZE - 1));
	size_t limit = MIN(MIN(room, size), BLOCK_BYTES_MAX);

	piece->len = 0;
	for (unsigned count = 0; count < BLOCK_MAX_INSNS; count++) {
		const uint8_t *at = piece->bytes + piece->len;
		struct insn insn;

		if (insn_decode(&insn, INSN_MODE_64, at, limit - piece->len) != DECODE_OK) {
			break;
		}
		if (!is_runnable(&insn)) {
			return piece->len + insn.length;
		}
		piece->len += insn.length;
		if (insn.flags & INSN_FLAG_ENDS_BLOCK) {
			break;
		}
	}
	return piece->len ? piece->len : length_of(sweep, piece->bytes, size);
}

/* True the first time. */
static bool is_new(struct sweep *sweep, const struct piece *piece, uint64_t *ret_hash)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < piece->len; i++) {
		hash = (hash ^ piece->bytes[i]) * UINT64_C(0x100000001b3);
	}
	*ret_hash = hash;
	return g_hash_table_add(sweep->seen, (void *)(uintptr_t)hash);
}

/* Where most things are: 64 bytes aligned, with writable pages around. */
static uint64_t some_place(struct differ *differ)
{
	if (differ_below(differ, 8) == 0) {
		return differ_address(differ);
	}
	return differ->data + 1024 + (differ_below(differ, 2 * ORACLE_PAGE_SIZE - 2048) & ~63u);
}

/* Words that lead on, small numbers and what else there is. */
static void fill_memory(struct differ *differ)
{
	for (size_t at = 0; at < ORACLE_DATA_SIZE; at += 8) {
		uint64_t kind = differ_below(differ, 4);
		uint64_t value = kind < 2    ? some_place(differ)
				 : kind == 2 ? differ_below(differ, 64)
					     : differ_value(differ);
		memcpy(differ->memory + at, &value, sizeof(value));
	}
}

static bool is_segmented(const struct insn *insn)
{
	return insn->segment == X86_FS || insn->segment == X86_GS;
}

/* An operand whose address is in the instruction gets one that there is here. */
static void move_operand(struct sweep *sweep, const struct insn *insn, uint64_t rip, uint8_t *bytes)
{
	struct differ *differ = &sweep->twins.differ;
	ZydisDecodedInstruction zydis;
	uint32_t disp;

	if (!insn->is_memory || insn->base < X86_REG_COUNT) {
		return;
	}
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
			    &sweep->decoder, NULL, bytes, insn->length, &zydis)) ||
			zydis.raw.disp.size != 32) {
		return;
	}
	disp = (uint32_t)some_place(differ);
	if (insn->base == INSN_BASE_RIP) {
		disp -= (uint32_t)(rip + insn->length);
	} else if (is_segmented(insn)) {
		disp = (uint32_t)insn->disp & 0x3ff;
	}
	memcpy(bytes + zydis.raw.disp.offset, &disp, sizeof(disp));
}

/* Registers that the block has addresses in before it changes them: so that they lead to where something is. */
static void aim(struct differ *differ, const struct block *block)
{
	struct cpu *cpu = differ->fake->cpu;
	unsigned aimed = 0;

	cpu->regs[X86_RSP] = some_place(differ);
	for (unsigned i = 0; i < block->count; i++) {
		const struct insn *insn = &block->insns[i];

		if (!insn->is_memory || differ_below(differ, 16) == 0) {
			continue;
		}
		if (insn->base < X86_REG_COUNT && !(aimed & BIT(insn->base))) {
			uint64_t base = is_segmented(insn) ? cpu->seg_base[insn->segment] : 0;
			aimed |= (unsigned)BIT(insn->base);
			cpu->regs[insn->base] = some_place(differ) - base -
						(uint64_t)(insn->disp & ~15);
		}
		if (insn->index < X86_REG_COUNT && !(aimed & BIT(insn->index))) {
			aimed |= (unsigned)BIT(insn->index);
			cpu->regs[insn->index] = differ_below(differ, 16);
		}
	}
}

/* The piece as a block at cpu->rip. True if it is of x86-64-v1's instructions alone. */
static bool make_block(struct sweep *sweep, struct block *block, uint8_t *bytes, size_t len)
{
	bool baseline = true;

	for (size_t at = 0; at < len;) {
		ZydisDecodedInstruction zydis;
		struct insn insn;
		struct shape shape;

		assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes + at, len - at), DECODE_OK);
		move_operand(sweep, &insn, block->physical + at, bytes + at);
		block_add(block, bytes + at, insn.length);
		baseline &= ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&sweep->decoder, NULL,
					    bytes + at, insn.length, &zydis)) &&
			    is_baseline(&zydis);
		shape_of(&block->insns[block->count - 1], &shape);
		sweep->insns++;
		sweep->emitted += shape.kind != SHAPE_CALL_OUT;
		at += insn.length;
	}
	return baseline;
}

/* Once, anywhere that is as far into a page. */
static bool run_piece(struct sweep *sweep, const struct piece *piece)
{
	struct twins *twins = &sweep->twins;
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;
	uint8_t bytes[BLOCK_BYTES_MAX];
	struct block *block;
	bool baseline, ended;

	cpu->rip = (differ_below(differ, 1 << 18) << 12) | (piece->address & (GUEST_PAGE_SIZE - 1));
	block = block_at(cpu);
	memcpy(bytes, piece->bytes, piece->len);
	baseline = make_block(sweep, block, bytes, piece->len);
	if (differ->cases % 64 == 0) {
		fill_memory(differ);
	}
	twins_random_memory(twins, differ->cases);
	twins_random_state(twins);
	cpu->seg_base[X86_FS] = cpu->seg_base[X86_GS] = differ->data + 2048;
	cpu->fx.mxcsr = MXCSR_INIT | (uint32_t)differ_below(differ, 4) << MXCSR_ROUNDING_SHIFT;
	aim(differ, block);
	ended = twins_compare(twins, block, bytes);
	if (baseline) {
		size_t len;
		const uint8_t *code = translated_last(&len);
		sweep->baseline++;
		check_host_code(sweep, code, len);
	}
	return ended;
}

/* Without some of its first instructions, as where a jump leads into it. */
static struct piece end_of(struct differ *differ, const struct piece *piece)
{
	struct piece end = *piece;
	struct insn insn;

	while (differ_below(differ, 4)) {
		assert_int_equal(insn_decode(&insn, INSN_MODE_64, end.bytes, end.len), DECODE_OK);
		if (insn.length == end.len) {
			return *piece;
		}
		end.bytes += insn.length;
		end.len -= insn.length;
		end.address += insn.length;
	}
	return end;
}

/* The first time all of it. */
static void visit_piece(struct sweep *sweep, const struct piece *piece)
{
	uint64_t hash;
	bool ended = false;

	sweep->blocks++;
	if (!is_new(sweep, piece, &hash)) {
		return;
	}
	sweep->distinct++;
	if ((hash >> 32) % sweep->one_of != 0) {
		return;
	}
	sweep->taken++;
	for (unsigned i = 0; i < sweep->runs; i++) {
		struct piece end = i ? end_of(&sweep->twins.differ, piece) : *piece;
		ended |= run_piece(sweep, &end);
	}
	sweep->ended += ended;
}

static void visit_segment(const uint8_t *bytes, size_t size, uint64_t address, void *data)
{
	struct sweep *sweep = data;

	for (size_t at = 0; at < size;) {
		struct piece piece = {.bytes = bytes + at, .address = address + at};
		at += cut(sweep, &piece, size - at);
		if (piece.len) {
			visit_piece(sweep, &piece);
		}
	}
}

static struct sweep *sweep_start(unsigned one_of, unsigned runs)
{
	struct sweep *sweep = g_new0(struct sweep, 1);
	struct twins *twins = &sweep->twins;
	const uint8_t *stubs;
	struct cpu *cpu;
	size_t len;

	twins_start(twins);
	cpu = twins->differ.fake->cpu;
	cpu->features = features_offer()->possible;
	cpu->cr4 |= X86_CR4_OSXSAVE;
	cpu->xcr0 = fpu_states(cpu);
	cpu->avx_native = twins->avx = fpu_avx_unchecked(cpu);
	native_catch_sigfpe(); /* for blocks that unmask exceptions; the oracle has it else */
	twins->alignment = 32;
	twins->x87 = true;
	(void)ZydisDecoderInit(&sweep->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	sweep->seen = g_hash_table_new(NULL, NULL);
	sweep->one_of = one_of;
	sweep->runs = runs;
	stubs = translated_stubs(&len);
	check_host_code(sweep, stubs, len);
	return sweep;
}

static void sweep_stop(struct sweep *sweep)
{
	twins_stop(&sweep->twins);
	g_hash_table_destroy(sweep->seen);
}

static void report(const struct sweep *sweep, const char *path)
{
	const struct twins *twins = &sweep->twins;
	const struct differ *differ = &twins->differ;

	print_message("%s: %" PRIu64 " blocks, %" PRIu64 " distinct, %" PRIu64 " run, %" PRIu64
		      " of them to the end\n",
			path, sweep->blocks, sweep->distinct, sweep->taken, sweep->ended);
	print_message("%" PRIu64 " runs, %" PRIu64 " with a fault, %" PRIu64 " not translated, "
		      "%" PRIu64 " left in the middle, %" PRIu64 " of x86-64-v1\n",
			differ->cases, differ->faults, twins->refused, twins->finished,
			sweep->baseline);
	print_message("%" PRIu64 " instructions, %" PRIu64 " not called out; %" PRIu64
		      " of the host for x86-64-v1\n",
			sweep->insns, sweep->emitted, sweep->host_insns);
}

/* A test that does next to nothing is not to pass. least: blocks. */
static void assert_much(struct sweep *sweep, uint64_t least)
{
	const struct twins *twins = &sweep->twins;
	const struct differ *differ = &twins->differ;

	assert_true(sweep->taken >= least);
	assert_int_equal(differ->cases + twins->refused, sweep->taken * sweep->runs);
	assert_true(twins->refused < differ->cases / 1000);
	assert_true(sweep->ended > sweep->taken / 10 * 8);
	assert_true(differ->cases - differ->faults > differ->cases / 10 * 7);
	assert_true(differ->faults > differ->cases / 100);
	assert_true(sweep->emitted > sweep->insns / 10 * 9);
	assert_true(sweep->baseline > differ->cases / 10 * 7);
	for (unsigned i = 0; i < BLOCK_ENTRIES && !TWINS_FEWER_ENTRIES; i++) {
		assert_true(twins->begun[i] > differ->cases / BLOCK_ENTRIES / 10 * 9);
	}
	g_free(sweep);
}

static struct sweep *sweep_file(const char *path, unsigned one_of, unsigned runs)
{
	struct sweep *sweep = sweep_start(one_of, runs);

	assert_true(real_code_visit(path, visit_segment, sweep));
	sweep_stop(sweep);
	report(sweep, path);
	assert_int_equal(sweep->twins.differ.differences, 0);
	assert_int_equal(sweep->host_alien, 0);
	assert_true(sweep->ended > sweep->taken / 2);
	return sweep;
}

static void take_libc(const char *path, void *data)
{
	const char **ret_path = data;

	if (strstr(path, "/libc.so")) {
		*ret_path = path;
	}
}

static void test_libc(void **state)
{
	const char *path = NULL;

	(void)state;
	real_code_libraries(take_libc, &path);
	assert_non_null(path);
	assert_much(sweep_file(path, 1, LIBC_RUNS), 30000);
}

static void take_first(const char *path, void *data)
{
	char **ret_path = data;

	if (!*ret_path) {
		*ret_path = g_strdup(path);
	}
}

static void test_mesa(void **state)
{
	g_autofree char *path = NULL;

	(void)state;
	real_code_drivers(take_first, &path);
	assert_non_null(path);
	assert_much(sweep_file(path, MESA_ONE_OF, MESA_RUNS), 10000);
}

/* What is not run above, most of it a kernel's: translated for the supervisor, and looked at. */
static void test_system(void **state)
{
	static const uint8_t insns[][3] = {{0x9c}, {0x0f, 0x31}, {0x0f, 0xae, 0xe8},
			{0x0f, 0xae, 0xf0}, {0xfc}, {0xfa}, {0x0f, 0x20, 0xd0}, {0x0f, 0x01, 0xf8},
			{0xfb}};
	struct sweep *sweep = sweep_start(1, 1);
	struct cpu *cpu = sweep->twins.differ.fake->cpu;
	uint64_t alien;

	(void)state;
	cpu_use_tlb(cpu, TLB_SUPERVISOR);
	cpu->rip = sweep->twins.differ.code;
	for (size_t i = 0; i < G_N_ELEMENTS(insns); i++) {
		struct block *block = block_at(cpu);
		const uint8_t *code;
		struct shape shape;
		size_t len;

		block_add(block, insns[i], sizeof(insns[i]));
		shape_of(&block->insns[0], &shape);
		assert_int_not_equal(shape.kind, SHAPE_CALL_OUT);
		assert_non_null(translate(cpu, block));
		code = translated_last(&len);
		check_host_code(sweep, code, len);
	}
	alien = sweep->host_alien;
	sweep_stop(sweep);
	g_free(sweep);
	assert_int_equal(alien, 0);
}

/* All blocks of the files that the program was given. */
static char **files;

static void test_files(void **state)
{
	(void)state;
	for (char **file = files; *file; file++) {
		g_free(sweep_file(*file, 1, 1));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest usual[] = {
			cmocka_unit_test(test_libc),
			cmocka_unit_test(test_mesa),
			cmocka_unit_test(test_system),
	};
	const struct CMUnitTest given[] = {
			cmocka_unit_test(test_files),
	};

	files = argv + 1;
	return argc > 1 ? cmocka_run_group_tests(given, NULL, NULL)
			: cmocka_run_group_tests(usual, NULL, NULL);
}
