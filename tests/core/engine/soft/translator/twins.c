/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/translator/twins.h"

#include "tests/harness/test.h"

#include "core/engine/soft/exec.h"
#include "core/engine/soft/exec_integer.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/mxcsr.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/translator/shape.h"
#include "core/engine/soft/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CODE_SIZE (1 * MiB)

/* Addresses of the data pages and of a page with code. */
#define DATA UINT64_C(0x40000000)
#define CODE UINT64_C(0x3ff00000)

/* What stands for struct translator here: no block leads to another. */
struct translated {
	struct code *code;
	struct code_jump *jumps;
	uint64_t blocks;
	const uint8_t *last; /* far entry of the last translation, executable view */
	size_t last_len;
	size_t stubs; /* bytes of what is shared by all of them */
	uint64_t noise; /* random numbers, the last one */
};

static struct translated translated;

void translated_start(struct cpu *cpu)
{
	translated = (struct translated){.code = code_create("test", CODE_SIZE),
			.jumps = g_new0(struct code_jump, CODE_JUMPS)};
	assert_non_null(translated.code);
	translated.jumps[0].target = code_jump_never(0);
	translated.stubs = code_used(translated.code);
	cpu->self = cpu;
	cpu->jumps = translated.jumps;
	cpu->jumps_of[TLB_USER] = translated.jumps;
	view_use(cpu);
}

void translated_stop(void)
{
	code_destroy(translated.code);
	g_free(translated.jumps);
}

uint64_t translated_blocks(void)
{
	return translated.blocks;
}

const uint8_t *translated_stubs(size_t *ret_len)
{
	*ret_len = translated.stubs;
	return code_base(translated.code);
}

const uint8_t *translated_last(size_t *ret_len)
{
	*ret_len = translated.last_len;
	return translated.last;
}

void twins_start(struct twins *twins)
{
	struct differ *differ = &twins->differ;
	struct fake_machine *fake;
	struct cpu *cpu;

	differ_start(differ);
	fake = differ->fake;
	for (unsigned i = 0; i < fake->range_count; i++) {
		fake->ranges[i].linear += DATA - differ->data;
	}
	differ->data = DATA;
	differ->code = CODE;
	cpu = fake->cpu;
	translated_start(cpu);
	cpu->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	cpu->fx.fcw = FCW_INIT;
	cpu->fx.mxcsr = MXCSR_INIT;
	cpu->sse_native = true;
}

void twins_stop(struct twins *twins)
{
	translated_stop();
	differ_stop(&twins->differ);
}

/* The far entry of a translation, as the processor would run it. */
const uint8_t *translate(struct cpu *cpu, const struct block *block)
{
	struct emitter emitter;
	const uint8_t *entry;

	translated.last_len = 0;
	if (!code_begin(translated.code, &emitter)) {
		code_clear(translated.code);
		assert_true(code_begin(translated.code, &emitter));
	}
	entry = block_emit(translated.code, &emitter, block, cpu->tlb_set, block_vectors_of(cpu));
	if (!entry) {
		return NULL;
	}
	code_end(translated.code, &emitter);
	translated.blocks++;
	translated.last = code_executable(translated.code, entry);
	translated.last_len = (size_t)(emitter.at - entry);
	return translated.last;
}

static uint64_t noise(void)
{
	translated.noise = translated.noise * UINT64_C(6364136223846793005) +
			   UINT64_C(1442695040888963407);
	return translated.noise;
}

static void load_xmms(const uint8_t xmms[16][16])
{
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(
			8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
			 :
			 : "r"(xmms), "m"(*(const uint8_t(*)[16][16])xmms));
#undef LOAD
}

static void load_upper_halves(const uint8_t halves[16][16])
{
#define LOAD(n) "vinsertf128 $1, " #n "*16(%0), %%ymm" #n ", %%ymm" #n "\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(
			8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
			 :
			 : "r"(halves), "m"(*(const uint8_t(*)[16][16])halves));
#undef LOAD
}

static bool is_warm(enum block_entry entry)
{
	return entry == BLOCK_ENTRY_WARM || entry == BLOCK_ENTRY_STORED_WARM;
}

static bool takes_host_flags(enum block_entry entry)
{
	return entry == BLOCK_ENTRY_WARM || entry == BLOCK_ENTRY_NEAR;
}

/*
 * Code that leads to an entry as jumps from other blocks do: flags are in the host's or in packed_flags, and something else in the
 * other of the two.
 */
static const uint8_t *emit_beginning(const uint8_t *far_entry, enum block_entry begin)
{
	const struct host_op store = {.opcode = 0xc7,
			.opsize = true,
			.imm_size = 2,
			.imm = flags_pack(noise() >> 32 & X86_FLAGS_ARITH)};
	const uint8_t *entry = block_entry_of(translated.code, far_entry, begin);
	struct emitter emitter;

	/* For this time only: the next translation overwrites it. */
	if (!code_begin(translated.code, &emitter)) {
		return entry;
	}
	const uint8_t *from = emitter.at;
	if (takes_host_flags(begin)) {
		emit_op(&emitter, &store, 0, host_state(offsetof(struct cpu, packed_flags)));
	} else {
		emit_mov_imm(&emitter, HOST_R15, noise());
		emit_alu_imm(&emitter, 0, HOST_R15, (int32_t)(noise() >> 32));
	}
	emit_jmp_to(&emitter, code_writable(translated.code, entry));
	return code_executable(translated.code, from);
}

static enum block_entry random_entry(struct differ *differ)
{
	enum block_entry entry;

	do {
		entry = (enum block_entry)differ_below(differ, BLOCK_ENTRIES);
	} while (TWINS_FEWER_ENTRIES && is_warm(entry));
	return entry;
}

static void enter(struct cpu *cpu, const uint8_t *far_entry, enum block_entry begin)
{
	const uint8_t *entry = emit_beginning(far_entry, begin);
	uint8_t others[16][16];

	memset(others, (uint8_t)noise(), sizeof(others));
	if (begin != BLOCK_ENTRY_FAR) {
		cpu->page_rip = cpu->rip & ~(GUEST_PAGE_SIZE - 1);
	}
	load_xmms(is_warm(begin) ? cpu->fx.xmm : others);
	if (cpu->avx_native) {
		load_upper_halves(is_warm(begin) ? cpu->ymm_high : others);
	}
	(void)code_run(translated.code, cpu, entry);
}

bool run_translation(struct cpu *cpu, const uint8_t *far_entry, enum block_entry begin)
{
	if (sigsetjmp(cpu->unwind, 0) != 0) {
		mxcsr_take_out(cpu);
		return false;
	}
	enter(cpu, far_entry, begin);
	if (!linear_is_canonical(cpu->rip)) {
		int64_t branch = (int64_t)cpu->branch;
		cpu->regs[X86_RSP] -= (uint64_t)(branch >> 16);
		cpu->rip = cpu->page_rip + (branch & 0xffff);
		cpu_raise_gp(cpu);
	}
	return true;
}

/* Flags that are not kept for the case that the instruction faults: it, or one behind it, writes all of them. */
uint64_t lost_flags(const struct block *block, unsigned at)
{
	uint16_t needed = X86_FLAGS_ARITH;

	for (unsigned i = block->count; i-- > at;) {
		struct shape shape;
		shape_of(&block->insns[i], &shape);
		needed = (uint16_t)((needed & ~shape.flags_written) | shape.flags_read);
	}
	return X86_FLAGS_ARITH & ~(uint64_t)needed;
}

/* Half of the blocks are taken to lead to the one before, so that they take along the vectors that it reads. */
static void lead_on(struct block *block)
{
	static struct block behind;
	static struct block_links links;

	block->links = &links;
	block_forget_successors(&links);
	if (translated.last && noise() >> 63) {
		for (unsigned set = 0; set < G_N_ELEMENTS(behind.translation); set++) {
			behind.translation[set] = (uint32_t)(translated.last -
							     code_base(translated.code));
		}
		links.successor[0] = &behind;
		links.successor_delta[0] = 0;
	}
}

/* An empty block at cpu->rip with room for BLOCK_MAX_INSNS instructions; one at a time. */
struct block *block_at(const struct cpu *cpu)
{
	static uint64_t storage[(sizeof(struct block) + BLOCK_MAX_INSNS * INSN_MAX_BYTES) / 8 + 2];
	static struct insn insns[BLOCK_MAX_INSNS];
	struct block *block = (struct block *)storage;

	memset(block, 0, sizeof(*block));
	block->physical = cpu->rip;
	block->mode = INSN_MODE_64;
	block->insns = insns;
	lead_on(block);
	return block;
}

void block_add(struct block *block, const uint8_t *bytes, size_t len)
{
	struct insn *insn = &block->insns[block->count++];

	assert(insn_decode(insn, INSN_MODE_64, bytes, len) == DECODE_OK);
	exec_bind(insn);
	memcpy(block->source + block->bytes, bytes, insn->length);
	block->bytes = (uint16_t)(block->bytes + insn->length);
}

/* Runs a block from its instruction at cpu->rip as the run loop does. */
static void execute_block(struct cpu *cpu, const struct block *block, unsigned first)
{
	uint64_t rip = cpu->rip;

	cpu->next_rip = block->physical + block->bytes;
	for (unsigned i = first; i < block->count; i++) {
		cpu->rip = rip;
		block->insns[i].exec(cpu, &block->insns[i]);
		rip += block->insns[i].length;
	}
	cpu->rip = cpu->next_rip;
}

static bool run_interpreted(struct cpu *cpu, const struct block *block, unsigned first)
{
	if (sigsetjmp(cpu->unwind, 0) != 0) {
		return false;
	}
	execute_block(cpu, block, first);
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
	ret_outcome->fx = cpu->fx;
	memcpy(ret_outcome->ymm_high, cpu->ymm_high, sizeof(cpu->ymm_high));
	memcpy(ret_outcome->memory, twins->differ.memory, ORACLE_DATA_SIZE);
}

static uint64_t insn_offset(const struct block *block, unsigned index)
{
	uint64_t offset = 0;

	for (unsigned i = 0; i < index; i++) {
		offset += block->insns[i].length;
	}
	return offset;
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

#define NUMBER_BYTES 10

static bool same_x87(const struct cpu_fx *a, const struct cpu_fx *b)
{
	for (unsigned i = 0; i < 8; i++) {
		if (memcmp(a->st[i], b->st[i], NUMBER_BYTES) != 0) {
			return false;
		}
	}
	return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->fop == b->fop &&
	       a->fip == b->fip && a->fdp == b->fdp;
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
	       a->error == b->error && a->cr2 == b->cr2 && a->fx.mxcsr == b->fx.mxcsr &&
	       memcmp(a->fx.xmm, b->fx.xmm, sizeof(a->fx.xmm)) == 0 &&
	       memcmp(a->ymm_high, b->ymm_high, sizeof(a->ymm_high)) == 0 &&
	       same_x87(&a->fx, &b->fx) && memcmp(a->memory, b->memory, ORACLE_DATA_SIZE) == 0;
}

static void report_x87(const struct cpu_fx *a, const struct cpu_fx *b)
{
	if (same_x87(a, b)) {
		return;
	}
	fprintf(stderr, "fcw %x %x, fsw %x %x, ftw %x %x, fop %x %x\n", a->fcw, b->fcw, a->fsw,
			b->fsw, a->ftw, b->ftw, a->fop, b->fop);
	fprintf(stderr, "fip %" PRIx64 " %" PRIx64 ", fdp %" PRIx64 " %" PRIx64 "\n", a->fip,
			b->fip, a->fdp, b->fdp);
	for (unsigned i = 0; i < 8; i++) {
		if (memcmp(a->st[i], b->st[i], NUMBER_BYTES) != 0) {
			fprintf(stderr, "st%u differs\n", i);
		}
	}
}

static void report_twins(struct twins *twins, const struct block *block, const uint8_t *bytes)
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
	fprintf(stderr, "begun at entry %u\n", twins->begin);
	fprintf(stderr,
			"interpreted, translated: ok %d %d, vector %u %u, error %x %x, cr2 %" PRIx64
			" %" PRIx64 "\n",
			a->ok, b->ok, a->vector, b->vector, a->error, b->error, a->cr2, b->cr2);
	fprintf(stderr, "rip %" PRIx64 " %" PRIx64 ", flags %" PRIx64 ": %" PRIx64 " %" PRIx64 "\n",
			a->rip, b->rip, twins->before.rflags, a->rflags, b->rflags);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		fprintf(stderr, "r%u %016" PRIx64 ": %016" PRIx64 " %016" PRIx64 "%s\n", i,
				twins->before.regs[i], a->regs[i], b->regs[i],
				a->regs[i] != b->regs[i] ? " <--" : "");
	}
	fprintf(stderr, "mxcsr %x: %x %x\n", twins->before.fx.mxcsr, a->fx.mxcsr, b->fx.mxcsr);
	report_x87(&a->fx, &b->fx);
	for (unsigned i = 0; i < 16; i++) {
		if (memcmp(a->fx.xmm[i], b->fx.xmm[i], 16) != 0) {
			fprintf(stderr, "xmm%u differs\n", i);
		}
		if (memcmp(a->ymm_high[i], b->ymm_high[i], 16) != 0) {
			fprintf(stderr, "the upper half of ymm%u differs\n", i);
		}
	}
	for (unsigned i = 0, shown = 0; i < ORACLE_DATA_SIZE && shown < 16; i++) {
		if (a->memory[i] != b->memory[i]) {
			fprintf(stderr, "memory %" PRIx64 ": %02x %02x\n", twins->differ.data + i,
					a->memory[i], b->memory[i]);
			shown++;
		}
	}
}

static void put_state(struct twins *twins, const struct outcome *state)
{
	struct cpu *cpu = twins->differ.fake->cpu;

	memcpy(cpu->regs, state->regs, sizeof(cpu->regs));
	cpu->rip = state->rip;
	cpu->rflags = state->rflags;
	cpu->fx = state->fx;
	memcpy(cpu->ymm_high, state->ymm_high, sizeof(cpu->ymm_high));
	memcpy(twins->differ.memory, state->memory, ORACLE_DATA_SIZE);
	cpu->cr2 = cpu->fault.error = cpu->fault.vector = 0;
}

/*
 * Translated code may be left in the middle of the block, after an instruction that changes which translations hold: then the
 * rest is interpreted. The middle may be where the block leads to, too.
 */
static bool run_translated(struct twins *twins, const struct block *block, const uint8_t *entry)
{
	struct cpu *cpu = twins->differ.fake->cpu;
	bool ok = run_translation(cpu, entry, twins->begin);
	unsigned left = insn_at(block, cpu->rip);
	bool same = twins->interpreted.ok && twins->interpreted.rip == cpu->rip;

	if (!ok || same || left == 0 || insn_offset(block, left) != cpu->rip - block->physical) {
		return ok;
	}
	twins->finished++;
	return run_interpreted(cpu, block, left);
}

bool twins_compare(struct twins *twins, const struct block *block, const uint8_t *bytes)
{
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;
	const uint8_t *entry = translate(cpu, block);

	if (!entry) {
		twins->refused++;
		return false;
	}
	take_outcome(twins, true, &twins->before);
	put_state(twins, &twins->before);
	take_outcome(twins, run_interpreted(cpu, block, 0), &twins->interpreted);
	put_state(twins, &twins->before);
	if (differ_below(differ, 4) == 0) {
		mmu_flush_all(cpu);
	}
	/* Whether a look at the tables of targets follows what is called out last. */
	if (differ_below(differ, 2)) {
		cpu->jumps_epoch[1] = cpu->fetch_epoch[1];
	}
	twins->begin = random_entry(differ);
	twins->begun[twins->begin]++;
	take_outcome(twins, run_translated(twins, block, entry), &twins->translated);
	differ->cases++;
	differ->faults += !twins->interpreted.ok;
	if (!same_outcome(twins, block)) {
		report_twins(twins, block, bytes);
	}
	return twins->interpreted.ok;
}

/* Any numbers, any stack, any rounding and precision; all exceptions masked. */
static void random_x87(struct differ *differ, struct cpu_fx *fx)
{
	const uint16_t conditions = 0x4700, top = 0x3800, seen = 0x7f;

	fx->fcw = (uint16_t)(0x7f | (differ_below(differ, 16) << 8));
	fx->fsw = (uint16_t)(differ_random(differ) & (conditions | top | seen));
	fx->ftw = (uint8_t)(differ_below(differ, 4) ? 0xff : differ_random(differ));
	fx->fop = (uint16_t)(differ_random(differ) & 0x7ff);
	fx->fip = differ_value(differ);
	fx->fdp = differ_value(differ);
	memset(fx->st, 0, sizeof(fx->st));
	for (unsigned i = 0; i < 8; i++) {
		uint64_t mantissa = differ_value(differ) | BIT(63);
		uint16_t exponent = (uint16_t)(0x3ff0 + differ_below(differ, 32));
		if (differ_below(differ, 8) == 0) {
			mantissa = differ_value(differ);
			exponent = (uint16_t)differ_value(differ);
		}
		memcpy(fx->st[i], &mantissa, sizeof(mantissa));
		memcpy(fx->st[i] + 8, &exponent, sizeof(exponent));
	}
}

void twins_random_state(struct twins *twins)
{
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;

	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		cpu->regs[i] = twins->addresses || differ_below(differ, 3) ? differ_address(differ)
									   : differ_value(differ);
		if (twins->alignment && differ_below(differ, 16)) {
			cpu->regs[i] &= ~(uint64_t)(twins->alignment - 1);
		}
	}
	if (differ_below(differ, 2)) {
		cpu->regs[X86_RCX] &= 63;
	}
	cpu->rflags = X86_FLAG_FIXED | (differ_random(differ) & X86_FLAGS_ARITH);
	cpu->seg_base[X86_FS] = differ_below(differ, 64);
	cpu->seg_base[X86_GS] = differ_below(differ, 2) ? 0 : differ_value(differ);
	for (unsigned i = 0; i < sizeof(cpu->fx.xmm) / 8; i++) {
		uint64_t value = differ_value(differ);
		memcpy((uint8_t *)cpu->fx.xmm + 8 * i, &value, sizeof(value));
	}
	for (unsigned i = 0; i < sizeof(cpu->ymm_high) / 8 && twins->avx; i++) {
		uint64_t value = differ_value(differ);
		memcpy((uint8_t *)cpu->ymm_high + 8 * i, &value, sizeof(value));
	}
	cpu->fx.mxcsr &= ~0x3fu; /* the exceptions that were seen */
	if (twins->x87) {
		random_x87(differ, &cpu->fx);
	}
}

static void random_block(struct twins *twins, random_insn_fn *random_insn)
{
	struct differ *differ = &twins->differ;
	struct cpu *cpu = differ->fake->cpu;
	unsigned count = 2 + (unsigned)differ_below(differ, 7), len = 0;
	uint8_t bytes[16 * 32] = {0};
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
	twins_random_state(twins);
	(void)twins_compare(twins, block, bytes);
}

/* A page that is decoded from: stores into it take the slow path and are reported. */
static void decode_somewhere(struct differ *differ)
{
	struct cpu *cpu = differ->fake->cpu;

	if (sigsetjmp(cpu->unwind, 0) == 0) {
		(void)block_lookup(cpu, differ_address(differ));
	}
}

void twins_random_memory(struct twins *twins, uint64_t turn)
{
	struct differ *differ = &twins->differ;

	differ->fake->fill_tlb = differ_below(differ, 4);
	differ->fake->ranges[2].device = turn & 64;
	if (turn % 64 == 0) {
		mmu_flush_all(differ->fake->cpu);
		decode_somewhere(differ);
	}
}

void twins_run(struct twins *twins, random_insn_fn *random_insn, unsigned blocks)
{
	for (unsigned i = 0; i < blocks; i++) {
		twins_random_memory(twins, i);
		random_block(twins, random_insn);
	}
}
