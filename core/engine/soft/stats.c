/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/stats.h"

#define COUNTER(text) \
	{ \
		.name = (text), .type = ENGINE_STAT_CUMULATIVE \
	}
#define BYTES(text) \
	{ \
		.name = (text), .type = ENGINE_STAT_INSTANT, .unit = ENGINE_STAT_BYTES \
	}

const struct engine_stat stats_table[STAT_COUNT + 1] = {
		[STAT_BLOCKS_DECODED] = COUNTER("blocks_decoded"),
		[STAT_BLOCKS_TRANSLATED] = COUNTER("blocks_translated"),
		[STAT_BLOCKS_OVERWRITTEN] = COUNTER("blocks_overwritten"),
		[STAT_BLOCKS_STALE] = COUNTER("blocks_stale"),
		[STAT_TRANSLATIONS_DROPPED] = COUNTER("translations_dropped"),
		[STAT_CLEARS_BLOCKS] = COUNTER("clears_blocks_full"),
		[STAT_CLEARS_CODE] = COUNTER("clears_code_full"),
		[STAT_CLEARS_SSE] = COUNTER("clears_sse_changed"),
		[STAT_INSTRUCTIONS] = COUNTER("instructions_interpreted"),
		[STAT_TLB_READ_MISSES] = COUNTER("tlb_read_misses"),
		[STAT_TLB_WRITE_MISSES] = COUNTER("tlb_write_misses"),
		[STAT_TLB_FETCH_MISSES] = COUNTER("tlb_fetch_misses"),
		[STAT_TLB_FLUSHES] = COUNTER("tlb_flushes"),
		[STAT_TLB_FLUSHES_LOCAL] = COUNTER("tlb_flushes_local"),
		[STAT_TLB_FLUSHES_PAGE] = COUNTER("tlb_flushes_page"),
		[STAT_CODE_EXITS_LOOKUP] = COUNTER("code_exits_lookup"),
		[STAT_CODE_EXITS_LINK] = COUNTER("code_exits_link"),
		[STAT_CODE_EXITS_ATTEND] = COUNTER("code_exits_attend"),
		[STAT_CALL_OUTS] = COUNTER("call_outs"),
		[STAT_INTERRUPTS] = COUNTER("interrupts"),
		[STAT_NMIS] = COUNTER("nmis"),
		[STAT_EXCEPTIONS] = COUNTER("exceptions"),
		[STAT_PAGE_FAULTS] = COUNTER("page_faults"),
		[STAT_HALTS] = COUNTER("halts"),
		[STAT_HYPERCALLS] = COUNTER("hypercalls"),
		[STAT_BLOCK_BYTES_USED] = BYTES("block_bytes_used"),
		[STAT_BLOCK_BYTES] = BYTES("block_bytes"),
		[STAT_CODE_BYTES_USED] = BYTES("code_bytes_used"),
		[STAT_CODE_BYTES] = BYTES("code_bytes"),
		[STAT_TLB_BYTES] = BYTES("tlb_bytes"),
		[STAT_TABLE_BYTES] = BYTES("table_bytes"),
		[STAT_COUNT] = {0},
};

void stats_read(const struct stats *stats, uint64_t *ret_values)
{
	for (unsigned i = 0; i < STAT_COUNT; i++) {
		ret_values[i] = __atomic_load_n(&stats->values[i], __ATOMIC_RELAXED);
	}
}
