/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU counts. Nothing here is on the way of translated code that runs undisturbed: each event counted costs
 * hundreds of instructions anyway. A vCPU writes its own numbers; any thread may read them.
 */
#ifndef CORE_ENGINE_SOFT_STATS_H
#define CORE_ENGINE_SOFT_STATS_H

#include "core/engine/engine.h"
#include "core/engine/soft/decode.h"

/* In the order of stats_table. */
enum stat {
	STAT_BLOCKS_DECODED,
	STAT_BLOCKS_TRANSLATED,
	STAT_BLOCKS_OVERWRITTEN,
	STAT_BLOCKS_STALE,
	STAT_BLOCKS_FORGOTTEN,
	STAT_TRANSLATIONS_DROPPED,
	STAT_CLEARS_BLOCKS,
	STAT_CLEARS_CODE,
	STAT_CLEARS_SSE,
	STAT_INSTRUCTIONS,
	STAT_TLB_READ_MISSES, /* this and the next two in the order of enum mmu_access */
	STAT_TLB_WRITE_MISSES,
	STAT_TLB_FETCH_MISSES,
	STAT_TLB_FLUSHES,
	STAT_TLB_FLUSHES_LOCAL,
	STAT_TLB_FLUSHES_PAGE,
	STAT_TLB_SWITCHES,
	STAT_CODE_EXITS_LOOKUP, /* this and the next two in the order of enum code_exit */
	STAT_CODE_EXITS_LINK,
	STAT_CODE_EXITS_ATTEND,
	STAT_CALL_OUTS,
	STAT_LOCKSTEP_COMPARED,
	STAT_LOCKSTEP_NOT_COMPARED,
	STAT_LOCKSTEP_REPEATED,
	STAT_INTERRUPTS,
	STAT_NMIS,
	STAT_EXCEPTIONS,
	STAT_PAGE_FAULTS,
	STAT_HALTS,
	STAT_HYPERCALLS,
	STAT_BLOCK_BYTES_USED,
	STAT_BLOCK_BYTES,
	STAT_CODE_BYTES_USED,
	STAT_CODE_BYTES,
	STAT_TLB_BYTES,
	STAT_TABLE_BYTES,
	STAT_COUNT,
};

/* Opcode maps that call-outs are counted in. */
#define STATS_MAPS 4

struct stats {
	uint64_t values[STAT_COUNT]; /* by enum stat; written by the vCPU, atomically */
	uint64_t call_outs[STATS_MAPS]
			  [256]; /* by map and opcode; the vCPU's only, until it is gone */
};

/* What they are called; NULL ends it. */
extern const struct engine_stat stats_table[STAT_COUNT + 1];

static inline void stats_set(struct stats *stats, enum stat which, uint64_t value)
{
	__atomic_store_n(&stats->values[which], value, __ATOMIC_RELAXED);
}

static inline void stats_count(struct stats *stats, enum stat which)
{
	stats_set(stats, which, stats->values[which] + 1);
}

/* An instruction that translated code has executed for it. */
static inline void stats_call_out(struct stats *stats, const struct insn *insn)
{
	stats_count(stats, STAT_CALL_OUTS);
	stats->call_outs[insn->map % STATS_MAPS][insn->opcode]++;
}

/* Lines of -d stats: the instructions that were called out most. The vCPU runs no more. */
void stats_log_call_outs(const struct stats *stats, unsigned cpu);

/* Any thread. ret_values: STAT_COUNT of them. */
void stats_read(const struct stats *stats, uint64_t *ret_values);

#endif
