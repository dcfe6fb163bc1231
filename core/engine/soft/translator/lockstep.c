/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/lockstep.h"

#include "core/base/log.h"
#include "core/engine/soft/interp.h"
#include "core/engine/soft/translator/shape.h"
#include "core/engine/soft/translator/store_log.h"
#include "core/engine/soft/translator/translate.h"

#include <inttypes.h>

/* Attempts of a block before it is said to differ. */
#define TRIES 4

/* Differences of registers that are shown. */
#define SHOWN 8

#define NUMBER_BYTES 10 /* of a place of fx.st */

/* What a block may change beside memory. */
struct field {
	const char *name;
	uint16_t offset, size;
	bool compared;
};

#define FIELD(member, is_compared) \
	{ \
		.name = #member, .offset = (uint16_t)offsetof(struct cpu, member), \
		.size = (uint16_t)sizeof(((struct cpu *)NULL)->member), .compared = (is_compared) \
	}

/* Beside rflags and fx. Not compared: what translated code leaves to be seen to when interrupts are looked at. */
static const struct field fields[] = {
		FIELD(regs, true),
		FIELD(rip, true),
		FIELD(seg_base, true),
		FIELD(tlb, true),
		FIELD(tlb_set, true),
		FIELD(mode, true),
		FIELD(stack_size, true),
		FIELD(cpl, true),
		FIELD(interrupt_shadow, false),
		FIELD(interrupt_held, false),
		FIELD(segments_checked, true),
		FIELD(seg, true),
		FIELD(cr2, true),
		FIELD(debug_pending, true),
		FIELD(ymm_high, true),
		FIELD(msr.kernel_gs_base, true),
		FIELD(fault, true),
};

#define STATE_BYTES 1024

struct state {
	struct cpu_fx fx;
	uint64_t rflags;
	uint8_t bytes[STATE_BYTES]; /* fields, one behind the other */
};

struct lockstep {
	struct state before, interpreted, translated;
	struct store_log *log;
	struct block *block;
	const uint8_t *entry;
	uint64_t rip; /* of block */
	uint64_t turn; /* says how the translation is begun: random numbers, the same in each run */
	uint64_t tried_rip;
	unsigned tries; /* of the block there, in vain */
	bool faulted; /* the interpreter did */
	bool failed;
};

static void state_take(const struct cpu *cpu, struct state *state)
{
	size_t at = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		memcpy(state->bytes + at, (const uint8_t *)cpu + fields[i].offset, fields[i].size);
		at += fields[i].size;
	}
	assert(at <= sizeof(state->bytes));
	state->rflags = cpu->rflags;
	state->fx = cpu->fx;
}

static void state_put(struct cpu *cpu, const struct state *state)
{
	size_t at = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		memcpy((uint8_t *)cpu + fields[i].offset, state->bytes + at, fields[i].size);
		at += fields[i].size;
	}
	cpu->rflags = state->rflags;
	cpu->fx = state->fx;
}

void lockstep_start(struct cpu *cpu)
{
	cpu->lockstep = g_new0(struct lockstep, 1);
	cpu->lockstep->log = store_log_create();
	cpu->lockstep->tried_rip = UINT64_MAX;
	cpu->store_log = cpu->lockstep->log;
}

void lockstep_stop(struct cpu *cpu)
{
	if (cpu->lockstep) {
		store_log_destroy(cpu->lockstep->log);
		g_free(cpu->lockstep);
		cpu->lockstep = NULL;
		cpu->store_log = NULL;
	}
}

bool lockstep_failed(const struct cpu *cpu)
{
	return cpu->lockstep && cpu->lockstep->failed;
}

/* System instructions that change nothing but what is in fields and in memory. */
static bool is_undoable_system(const struct insn *insn)
{
	struct shape shape;

	shape_of(insn, &shape);
	switch ((enum shape_kind)shape.kind) {
	case SHAPE_PUSHF:
	case SHAPE_FENCE:
	case SHAPE_READ_CR2:
	case SHAPE_CLI:
	case SHAPE_SWAPGS:
	case SHAPE_STI:
		return true;
	default:
		break;
	}
	if (insn->map == INSN_MAP_0F) {
		return insn->opcode == 0x01 && (insn->modrm & 0xfe) == 0xca; /* CLAC, STAC */
	}
	/* POPF, MOV from a segment register */
	return insn->map == INSN_MAP_LEGACY && (insn->opcode == 0x9d || insn->opcode == 0x8c);
}

/* RDRAND, RDSEED. */
static bool is_random(const struct insn *insn)
{
	return insn->map == INSN_MAP_0F && insn->opcode == 0xc7 && !insn->is_memory;
}

static bool is_undoable(const struct insn *insn)
{
	switch ((enum insn_class)insn->insn_class) {
	case INSN_CLASS_UNDEFINED:
		return false;
	case INSN_CLASS_SYSTEM:
		return is_undoable_system(insn);
	case INSN_CLASS_INTEGER:
		return !is_random(insn);
	default:
		/* XRSTOR and its kin may take XCR0's state away: rare, and called out. */
		return insn->insn_class != INSN_CLASS_SSE || insn->map != INSN_MAP_0F ||
		       insn->opcode != 0xae || ((insn->modrm >> 3) & 7) < 4;
	}
}

static bool is_comparable(struct block *block)
{
	if (block->lockstep == BLOCK_LOCKSTEP_UNKNOWN) {
		block->lockstep = BLOCK_LOCKSTEP_TWICE;
		for (unsigned i = 0; i < block->count; i++) {
			if (!is_undoable(&block->insns[i])) {
				block->lockstep = BLOCK_LOCKSTEP_ONCE;
			}
		}
	}
	return block->lockstep == BLOCK_LOCKSTEP_TWICE;
}

/* Index of the instruction at rip; 0 if there is none, too. */
static unsigned left_at(const struct lockstep *lockstep, uint64_t rip)
{
	const struct block *block = lockstep->block;
	uint64_t at = lockstep->rip;

	for (unsigned i = 0; i < block->count; i++) {
		if (at == rip) {
			return i;
		}
		at += block->insns[i].length;
	}
	return 0;
}

/* Flags that translated code does not keep for the case of a fault at an instruction: it, or those behind it, write them. */
static uint64_t lost_flags(const struct lockstep *lockstep, uint64_t rip)
{
	const struct block *block = lockstep->block;
	uint16_t needed = X86_FLAGS_ARITH;

	for (unsigned i = block->count; i-- > left_at(lockstep, rip);) {
		struct shape shape;
		shape_of(&block->insns[i], &shape);
		needed = (uint16_t)((needed & ~shape.flags_written) | shape.flags_read);
	}
	return X86_FLAGS_ARITH & ~(uint64_t)needed;
}

static uint64_t different_flags(const struct lockstep *lockstep, uint64_t rip)
{
	uint64_t lost = lockstep->faulted ? lost_flags(lockstep, rip) : 0;

	return (lockstep->interpreted.rflags ^ lockstep->translated.rflags) & ~lost;
}

static bool same_fx(const struct cpu_fx *a, const struct cpu_fx *b)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(a->st); i++) {
		if (memcmp(a->st[i], b->st[i], NUMBER_BYTES) != 0) {
			return false;
		}
	}
	return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->fop == b->fop &&
	       a->fip == b->fip && a->fdp == b->fdp && a->mxcsr == b->mxcsr &&
	       memcmp(a->xmm, b->xmm, sizeof(a->xmm)) == 0;
}

/* Whether both left the same; cpu has what the translation left. */
static bool is_same(const struct cpu *cpu, struct lockstep *lockstep)
{
	const struct state *a = &lockstep->interpreted, *b = &lockstep->translated;
	struct store_difference ignored;
	size_t at = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		if (fields[i].compared &&
				memcmp(a->bytes + at, b->bytes + at, fields[i].size) != 0) {
			return false;
		}
		at += fields[i].size;
	}
	return !different_flags(lockstep, cpu->rip) && same_fx(&a->fx, &b->fx) &&
	       !store_log_compare(lockstep->log, &ignored);
}

/*
 * Translated code was left, perhaps in the middle of the block: after an instruction that changes which translations hold, or
 * because of a request. Then the rest is interpreted. The middle may be where the block leads to, too.
 */
static void finish(struct cpu *cpu, struct lockstep *lockstep, uint64_t end)
{
	const struct block *block = lockstep->block;
	unsigned i = left_at(lockstep, cpu->rip);
	uint64_t rip = cpu->rip;

	if (i == 0) {
		return;
	}
	state_take(cpu, &lockstep->translated);
	if (rip == end && !lockstep->faulted && is_same(cpu, lockstep)) {
		return;
	}
	cpu->next_rip = lockstep->rip + block->bytes;
	for (; i < block->count; i++) {
		cpu->rip = rip;
		block->insns[i].exec(cpu, &block->insns[i]);
		rip += block->insns[i].length;
	}
	cpu->rip = cpu->next_rip;
}

static void report_field(const struct field *field, const uint8_t *a, const uint8_t *b)
{
	unsigned shown = 0;

	for (size_t at = 0; at < field->size && shown < SHOWN; at += 8) {
		uint64_t interpreted = 0, translated = 0;
		size_t len = MIN(field->size - at, sizeof(interpreted));
		memcpy(&interpreted, a + at, len);
		memcpy(&translated, b + at, len);
		if (interpreted != translated) {
			shown++;
			log_error("lockstep: %s[%zu]: interpreted 0x%" PRIx64
				  ", translated 0x%" PRIx64,
					field->name, at / 8, interpreted, translated);
		}
	}
}

/* All ways in turn, whatever the guest does; the same one for another attempt. */
static enum block_entry begin_of(const struct lockstep *lockstep)
{
	return (enum block_entry)((lockstep->turn >> 32) * BLOCK_ENTRIES >> 32);
}

static void report_code(const struct cpu *cpu, const struct lockstep *lockstep)
{
	static const char *const entries[BLOCK_ENTRIES] = {
			"far", "stored", "stored warm", "near", "warm"};
	const struct block *block = lockstep->block;
	g_autoptr(GString) text = g_string_new(NULL);
	unsigned at = 0;

	for (unsigned i = 0; i < block->count; i++) {
		for (unsigned k = 0; k < block->insns[i].length; k++) {
			g_string_append_printf(text, "%02x", block->source[at++]);
		}
		g_string_append_c(text, ' ');
	}
	log_error("lockstep: cpu %u: the translation of the block at 0x%" PRIx64
		  ", CPL %u, begun at its %s entry, differs from the interpreter: %s",
			cpu->index, lockstep->rip, cpu->cpl, entries[begin_of(lockstep)],
			text->str);
}

static void report_memory(const struct lockstep *lockstep)
{
	struct store_difference difference;

	if (!store_log_compare(lockstep->log, &difference)) {
		return;
	}
	if (difference.stray) {
		log_error("lockstep: memory: only the translation stores at %p of the host",
				(const void *)difference.host);
	} else {
		log_error("lockstep: memory at %p of the host: interpreted 0x%02x, translated 0x%02x",
				(const void *)difference.host, difference.recorded,
				difference.replayed);
	}
}

static void report_fx(const struct cpu_fx *a, const struct cpu_fx *b)
{
	static const struct field field = {.name = "fx", .size = sizeof(*a)};

	if (!same_fx(a, b)) {
		report_field(&field, (const uint8_t *)a, (const uint8_t *)b);
	}
}

/* fault: the translation raised one. */
static void report(const struct cpu *cpu, const struct lockstep *lockstep, bool fault)
{
	const struct state *a = &lockstep->interpreted, *b = &lockstep->translated;
	uint64_t flags = different_flags(lockstep, cpu->rip);
	size_t at = 0;

	report_code(cpu, lockstep);
	if (fault != lockstep->faulted) {
		log_error("lockstep: only the %s raises an exception, %u",
				fault ? "translation" : "interpreter", cpu->fault.vector);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		if (fields[i].compared) {
			report_field(&fields[i], a->bytes + at, b->bytes + at);
		}
		at += fields[i].size;
	}
	report_fx(&a->fx, &b->fx);
	if (flags) {
		log_error("lockstep: flags: interpreted 0x%" PRIx64 ", translated 0x%" PRIx64,
				a->rflags, b->rflags);
	}
	report_memory(lockstep);
}

/* Back to before the block: it is run again, or the vCPU ends here. */
static void differ(struct cpu *cpu, bool fault)
{
	struct lockstep *lockstep = cpu->lockstep;

	lockstep->tries = lockstep->tried_rip == lockstep->rip ? lockstep->tries + 1 : 1;
	lockstep->tried_rip = lockstep->rip;
	stats_count(&cpu->stats, STAT_LOCKSTEP_REPEATED);
	if (lockstep->tries == TRIES) {
		report(cpu, lockstep, fault);
		lockstep->failed = true;
		cpu_request(cpu, CPU_REQUEST_EXIT);
	}
	store_log_put_old(lockstep->log);
	state_put(cpu, &lockstep->before);
}

/* Both were run. False if they differ: then it is as if neither had been. */
static bool compare(struct cpu *cpu, bool fault)
{
	struct lockstep *lockstep = cpu->lockstep;

	store_log_idle(lockstep->log);
	state_take(cpu, &lockstep->translated);
	if (fault != lockstep->faulted || !is_same(cpu, lockstep)) {
		differ(cpu, fault);
		return false;
	}
	if (lockstep->tried_rip == lockstep->rip) {
		lockstep->tried_rip = UINT64_MAX;
	}
	lockstep->turn = lockstep->turn * UINT64_C(6364136223846793005) +
			 UINT64_C(1442695040888963407);
	stats_count(&cpu->stats, STAT_LOCKSTEP_COMPARED);
	return true;
}

/* The interpreter has run the block, and cpu has what it left. */
static void run_translated(struct cpu *cpu)
{
	struct lockstep *lockstep = cpu->lockstep;
	uint64_t end = cpu->rip;

	state_take(cpu, &lockstep->interpreted);
	store_log_undo(lockstep->log);
	state_put(cpu, &lockstep->before);
	store_log_replay(lockstep->log);
	translator_run_alone(
			cpu->translator, lockstep->entry, begin_of(lockstep), lockstep->faulted);
	finish(cpu, lockstep, end);
	(void)compare(cpu, false);
}

static void accept(struct cpu *cpu)
{
	store_log_idle(cpu->lockstep->log);
	stats_count(&cpu->stats, STAT_LOCKSTEP_NOT_COMPARED);
}

void lockstep_run(struct cpu *cpu, struct block *block, const uint8_t *entry)
{
	struct lockstep *lockstep = cpu->lockstep;

	(void)block_insns(cpu, block);
	if (!is_comparable(block)) {
		stats_count(&cpu->stats, STAT_LOCKSTEP_NOT_COMPARED);
		interp_run_block(cpu, block);
		return;
	}
	lockstep->block = block;
	lockstep->entry = entry;
	lockstep->rip = cpu->rip;
	lockstep->faulted = false;
	state_take(cpu, &lockstep->before);
	store_log_begin(lockstep->log);
	interp_run_block(cpu, block);
	if (!store_log_complete(lockstep->log)) {
		accept(cpu);
		return;
	}
	run_translated(cpu);
}

bool lockstep_unwound(struct cpu *cpu, bool restart)
{
	struct lockstep *lockstep = cpu->lockstep;

	switch (store_log_phase(lockstep->log)) {
	case STORE_LOG_RECORD:
		if (restart || !store_log_complete(lockstep->log)) {
			accept(cpu);
			return false;
		}
		lockstep->faulted = true;
		run_translated(cpu);
		return true; /* one that did not fault: taken back */
	case STORE_LOG_REPLAY:
		if (restart) {
			/* Someone wants the vCPU to look up, which the interpreter came too early for. */
			store_log_idle(lockstep->log);
			store_log_put_old(lockstep->log);
			state_put(cpu, &lockstep->before);
			stats_count(&cpu->stats, STAT_LOCKSTEP_REPEATED);
			return true;
		}
		return !compare(cpu, true);
	case STORE_LOG_IDLE:
	default:
		return false;
	}
}
