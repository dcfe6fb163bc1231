/* SPDX-License-Identifier: MIT */
/*
 * Taking entries out of the software TLB. A flush costs what was filled since the last one, not
 * what the TLB could hold.
 */
#include "core/engine/soft/mmu.h"

#define LOG_LOCAL 0
#define LOG_GLOBAL 1
#define LARGEST_PAGE GiB

static void clear_slot(struct cpu *cpu, unsigned slot)
{
	unsigned set = slot / TLB_ENTRIES;
	unsigned index = slot % TLB_ENTRIES;

	if (set < TLB_SET_COUNT) {
		cpu->tlbs[set].read[index].tag = TLB_INVALID(index);
		cpu->tlbs[set].write[index].tag = TLB_INVALID(index);
		return;
	}
	slot -= TLB_SET_COUNT * TLB_ENTRIES;
	cpu->tlb_fetch[slot / TLB_FETCH_ENTRIES][slot % TLB_FETCH_ENTRIES].tag = TLB_FETCH_INVALID;
}

static void clear_tables(struct cpu *cpu)
{
	for (unsigned set = 0; set < TLB_SET_COUNT; set++) {
		for (unsigned i = 0; i < TLB_ENTRIES; i++) {
			cpu->tlbs[set].read[i].tag = TLB_INVALID(i);
			cpu->tlbs[set].write[i].tag = TLB_INVALID(i);
		}
	}
	memset(cpu->tlb_fetch, 0xff, sizeof(cpu->tlb_fetch));
	cpu->tlb_log[LOG_LOCAL].count = 0;
	cpu->tlb_log[LOG_GLOBAL].count = 0;
	cpu->tlb_large_count = 0;
}

static bool log_overflowed(const struct tlb_log *log)
{
	return log->count > TLB_LOG_SLOTS;
}

static void clear_logged(struct cpu *cpu, unsigned which)
{
	struct tlb_log *log = &cpu->tlb_log[which];

	for (uint32_t i = 0; i < log->count; i++) {
		clear_slot(cpu, log->slots[i]);
	}
	log->count = 0;
}

static void forget_fetches(struct cpu *cpu)
{
	cpu->fetch_epoch[0]++;
	cpu->fetch_epoch[1]++;
	memset(cpu->fetched, 0, sizeof(cpu->fetched));
	cpu->fetched_local = false;
}

void mmu_flush_all(struct cpu *cpu)
{
	stats_count(&cpu->stats, STAT_TLB_FLUSHES);
	forget_fetches(cpu);
	if (log_overflowed(&cpu->tlb_log[LOG_LOCAL]) || log_overflowed(&cpu->tlb_log[LOG_GLOBAL])) {
		clear_tables(cpu);
		return;
	}
	clear_logged(cpu, LOG_LOCAL);
	clear_logged(cpu, LOG_GLOBAL);
	cpu->tlb_large_count = 0;
}

static void forget_local_large_pages(struct cpu *cpu)
{
	uint32_t kept = 0;

	if (cpu->tlb_large_count > TLB_LARGE_PAGES) {
		return; /* stays "more than the table holds" */
	}
	for (uint32_t i = 0; i < cpu->tlb_large_count; i++) {
		if (cpu->tlb_large[i].global) {
			cpu->tlb_large[kept++] = cpu->tlb_large[i];
		}
	}
	cpu->tlb_large_count = kept;
}

void mmu_flush_non_global(struct cpu *cpu)
{
	stats_count(&cpu->stats, STAT_TLB_FLUSHES_LOCAL);
	if (log_overflowed(&cpu->tlb_log[LOG_LOCAL])) {
		forget_fetches(cpu);
		clear_tables(cpu);
		return;
	}
	/* The kernel's code is in global pages: what is known of it stays. */
	cpu->fetch_epoch[1]++;
	memset(cpu->fetched[1], 0, sizeof(cpu->fetched[1]));
	if (cpu->fetched_local) {
		cpu->fetch_epoch[0]++;
		cpu->fetched_local = false;
	}
	clear_logged(cpu, LOG_LOCAL);
	forget_local_large_pages(cpu);
}

/* Most pages are not code: nothing that is known of code changes with them. */
static void flush_fetch(struct cpu *cpu, uint64_t linear)
{
	unsigned bit = tlb_fetch_bit(linear);

	for (unsigned set = 0; set < 2; set++) {
		cpu->tlb_fetch[set][(linear >> 12) % TLB_FETCH_ENTRIES].tag = TLB_FETCH_INVALID;
		if (cpu->fetched[set][bit / 64] & BIT(bit % 64)) {
			cpu->fetch_epoch[set]++;
		}
	}
}

static void clear_matching(struct tlb_entry *entries, uint64_t base, uint64_t mask)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		if ((entries[i].tag & mask) == base) {
			entries[i].tag = TLB_INVALID(i);
		}
	}
}

/* Drops every entry of an aligned range of linear addresses. */
static void flush_range(struct cpu *cpu, uint64_t base, uint64_t mask)
{
	cpu->fetch_epoch[0]++;
	cpu->fetch_epoch[1]++;
	for (unsigned set = 0; set < TLB_ALIGNED; set++) {
		clear_matching(cpu->tlbs[set].read, base, mask);
		clear_matching(cpu->tlbs[set].write, base, mask);
	}
	for (unsigned set = 0; set < 2; set++) {
		for (unsigned i = 0; i < TLB_FETCH_ENTRIES; i++) {
			if ((cpu->tlb_fetch[set][i].tag & mask) == base) {
				cpu->tlb_fetch[set][i].tag = TLB_FETCH_INVALID;
			}
		}
	}
}

void mmu_flush_page(struct cpu *cpu, uint64_t linear)
{
	unsigned index = tlb_index(linear);

	stats_count(&cpu->stats, STAT_TLB_FLUSHES_PAGE);
	for (unsigned set = 0; set < TLB_ALIGNED; set++) {
		cpu->tlbs[set].read[index].tag = TLB_INVALID(index);
		cpu->tlbs[set].write[index].tag = TLB_INVALID(index);
	}
	flush_fetch(cpu, linear);
	if (cpu->tlb_large_count > TLB_LARGE_PAGES) {
		flush_range(cpu, linear & ~(LARGEST_PAGE - 1), ~(LARGEST_PAGE - 1));
		return;
	}
	for (uint32_t i = 0; i < cpu->tlb_large_count; i++) {
		const struct tlb_large_page *large = &cpu->tlb_large[i];
		if ((linear & large->mask) == large->base) {
			flush_range(cpu, large->base, large->mask);
		}
	}
}

static void drop_logged_writes(struct cpu *cpu, const struct tlb_log *log)
{
	for (uint32_t i = 0; i < log->count; i++) {
		unsigned set = log->slots[i] / TLB_ENTRIES, index = log->slots[i] % TLB_ENTRIES;
		if (set < TLB_SET_COUNT) {
			cpu->tlbs[set].write[index].tag = TLB_INVALID(index);
		}
	}
}

void mmu_drop_writes(struct cpu *cpu)
{
	if (log_overflowed(&cpu->tlb_log[LOG_LOCAL]) || log_overflowed(&cpu->tlb_log[LOG_GLOBAL])) {
		for (unsigned slot = 0; slot < TLB_SET_COUNT * TLB_ENTRIES; slot++) {
			unsigned index = slot % TLB_ENTRIES;
			cpu->tlbs[slot / TLB_ENTRIES].write[index].tag = TLB_INVALID(index);
		}
		return;
	}
	drop_logged_writes(cpu, &cpu->tlb_log[LOG_LOCAL]);
	drop_logged_writes(cpu, &cpu->tlb_log[LOG_GLOBAL]);
}
