/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/stats.h"

#include "core/base/log.h"

#include <inttypes.h>

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
		[STAT_BLOCKS_FORGOTTEN] = COUNTER("blocks_forgotten"),
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
		[STAT_TLB_SWITCHES] = COUNTER("tlb_switches"),
		[STAT_CODE_EXITS_LOOKUP] = COUNTER("code_exits_lookup"),
		[STAT_CODE_EXITS_LINK] = COUNTER("code_exits_link"),
		[STAT_CODE_EXITS_ATTEND] = COUNTER("code_exits_attend"),
		[STAT_CALL_OUTS] = COUNTER("call_outs"),
		[STAT_LOCKSTEP_COMPARED] = COUNTER("lockstep_compared"),
		[STAT_LOCKSTEP_NOT_COMPARED] = COUNTER("lockstep_not_compared"),
		[STAT_LOCKSTEP_REPEATED] = COUNTER("lockstep_repeated"),
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

#define CALL_OUTS_LOGGED 10

static const char *const maps[STATS_MAPS] = {
		[INSN_MAP_LEGACY] = "",
		[INSN_MAP_0F] = "0f ",
		[INSN_MAP_0F38] = "0f 38 ",
		[INSN_MAP_0F3A] = "0f 3a ",
};

/* The opcode with most call-outs below the given count, or as many and a higher number; UINT_MAX if there is none. */
static unsigned next_most(const uint64_t *counts, unsigned after)
{
	unsigned best = UINT_MAX;

	for (unsigned i = 0; i < STATS_MAPS * 256; i++) {
		bool later = after == UINT_MAX || counts[i] < counts[after] ||
			     (counts[i] == counts[after] && i > after);
		if (counts[i] > 0 && later && (best == UINT_MAX || counts[i] > counts[best])) {
			best = i;
		}
	}
	return best;
}

void stats_log_call_outs(const struct stats *stats, unsigned cpu)
{
	const uint64_t *counts = stats->call_outs[0];
	unsigned at = UINT_MAX;

	for (unsigned i = 0; i < CALL_OUTS_LOGGED; i++) {
		at = next_most(counts, at);
		if (at == UINT_MAX) {
			return;
		}
		log_item(LOG_ITEM_STATS, "stats: cpu %u: call_outs of %s%02x %" PRIu64, cpu,
				maps[at / 256], at % 256, counts[at]);
	}
}
