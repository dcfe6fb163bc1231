/* SPDX-License-Identifier: MIT */
/*
 * Taking entries out of the software TLB, and changing from one address space's slot to another's. A flush costs what was
 * filled since the last one, not what the TLB could hold; a change of slots costs the same however much they hold.
 */
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/view.h"

#define LOG_LOCAL 0
#define LOG_GLOBAL 1
#define LARGEST_PAGE GiB

static struct tlb_part *slot_part(struct cpu *cpu, unsigned slot)
{
	return &cpu->tlb_parts[TLB_PART_SLOTS + slot];
}

static bool is_supervisors(const struct cpu *cpu, const struct tlb_part *part)
{
	return part == &cpu->tlb_parts[TLB_PART_SUPERVISOR];
}

/* The part's sets, one behind the other. */
static struct tlb *part_sets(struct cpu *cpu, const struct tlb_part *part, unsigned *ret_count)
{
	if (is_supervisors(cpu, part)) {
		*ret_count = 1;
		return &cpu->tlbs[TLB_SUPERVISOR];
	}
	*ret_count = 2;
	return &cpu[part - &cpu->tlb_parts[TLB_PART_SLOTS]].tlbs[TLB_SUPERVISOR_AC];
}

/* Answers to fetches of the part's kind may be out of date. */
static void forget_fetches(struct cpu *cpu, const struct tlb_part *part)
{
	uint64_t epoch = ++cpu->epochs;

	if (is_supervisors(cpu, part)) {
		cpu->fetch_epoch[0] = epoch;
	} else if (part == slot_part(cpu, cpu->slot)) {
		cpu->fetch_epoch[1] = epoch;
	} else {
		cpu->slots[part - &cpu->tlb_parts[TLB_PART_SLOTS]].fetch_epoch = epoch;
	}
}

static void clear_place(struct tlb *sets, struct tlb_part *part, unsigned place)
{
	unsigned set = place / TLB_ENTRIES;
	unsigned index = place % TLB_ENTRIES;

	if (place >= TLB_PLACE_FETCH) {
		part->fetch[place - TLB_PLACE_FETCH].tag = TLB_FETCH_INVALID;
		return;
	}
	sets[set].read[index].tag = TLB_INVALID(index);
	sets[set].write[index].tag = TLB_INVALID(index);
}

/* All there is of a part. */
static void clear_part(struct cpu *cpu, struct tlb_part *part)
{
	unsigned count;
	struct tlb *sets = part_sets(cpu, part, &count);

	for (unsigned place = 0; place < count * TLB_ENTRIES; place++) {
		clear_place(sets, part, place);
	}
	memset(part->fetch, 0xff, sizeof(part->fetch));
	part->log[LOG_LOCAL].count = 0;
	part->log[LOG_GLOBAL].count = 0;
	part->writes.count = 0;
	part->large_count = 0;
	memset(part->has_global, 0, sizeof(part->has_global));
}

static bool log_overflowed(const struct tlb_log *log)
{
	return log->count > TLB_LOG_LENGTH;
}

static void clear_logged(struct cpu *cpu, struct tlb_part *part, unsigned which)
{
	struct tlb_log *log = &part->log[which];
	unsigned count;
	struct tlb *sets = part_sets(cpu, part, &count);

	for (uint32_t i = 0; i < log->count; i++) {
		clear_place(sets, part, log->places[i]);
	}
	log->count = 0;
}

static void flush_part(struct cpu *cpu, struct tlb_part *part)
{
	forget_fetches(cpu, part);
	memset(part->fetched, 0, sizeof(part->fetched));
	part->fetched_local = false;
	if (log_overflowed(&part->log[LOG_LOCAL]) || log_overflowed(&part->log[LOG_GLOBAL])) {
		clear_part(cpu, part);
		return;
	}
	clear_logged(cpu, part, LOG_LOCAL);
	clear_logged(cpu, part, LOG_GLOBAL);
	part->writes.count = 0;
	part->large_count = 0;
	memset(part->has_global, 0, sizeof(part->has_global));
}

void mmu_flush_all(struct cpu *cpu)
{
	stats_count(&cpu->stats, STAT_TLB_FLUSHES);
	flush_part(cpu, &cpu->tlb_parts[TLB_PART_SUPERVISOR]);
	for (unsigned slot = 0; slot < cpu->slot_count; slot++) {
		if (slot == cpu->slot || cpu->slots[slot].pcid != TLB_NO_PCID) {
			flush_part(cpu, slot_part(cpu, slot));
			cpu->slots[slot].pcid = TLB_NO_PCID;
		}
	}
	cpu->slots[cpu->slot].pcid = mmu_pcid(cpu);
}

static void forget_local_large_pages(struct tlb_part *part)
{
	uint32_t kept = 0;

	if (part->large_count > TLB_LARGE_PAGES) {
		return; /* stays "more than the table holds" */
	}
	for (uint32_t i = 0; i < part->large_count; i++) {
		if (part->large[i].global) {
			part->large[kept++] = part->large[i];
		}
	}
	part->large_count = kept;
}

static void flush_local(struct cpu *cpu, struct tlb_part *part)
{
	if (log_overflowed(&part->log[LOG_LOCAL])) {
		flush_part(cpu, part);
		return;
	}
	/* The kernel's code is in global pages: what is known of it stays. */
	if (!is_supervisors(cpu, part)) {
		forget_fetches(cpu, part);
		memset(part->fetched, 0, sizeof(part->fetched));
	} else if (part->fetched_local) {
		forget_fetches(cpu, part);
		part->fetched_local = false;
	}
	clear_logged(cpu, part, LOG_LOCAL);
	forget_local_large_pages(part);
}

void mmu_flush_non_global(struct cpu *cpu)
{
	stats_count(&cpu->stats, STAT_TLB_FLUSHES_LOCAL);
	flush_local(cpu, &cpu->tlb_parts[TLB_PART_SUPERVISOR]);
	flush_local(cpu, slot_part(cpu, cpu->slot));
}

void mmu_flush_pcid(struct cpu *cpu, uint16_t pcid)
{
	if (cpu->slots[cpu->slot].pcid == pcid) {
		mmu_flush_non_global(cpu);
		return;
	}
	for (unsigned slot = 0; slot < cpu->slot_count; slot++) {
		if (cpu->slots[slot].pcid == pcid) {
			stats_count(&cpu->stats, STAT_TLB_FLUSHES_LOCAL);
			flush_local(cpu, slot_part(cpu, slot));
		}
	}
}

void mmu_flush_all_non_global(struct cpu *cpu)
{
	mmu_flush_non_global(cpu);
	for (unsigned slot = 0; slot < cpu->slot_count; slot++) {
		if (slot != cpu->slot && cpu->slots[slot].pcid != TLB_NO_PCID) {
			flush_local(cpu, slot_part(cpu, slot));
		}
	}
}

/* Most pages are not code: nothing that is known of code changes with them. */
static void flush_fetch(struct cpu *cpu, struct tlb_part *part, uint64_t linear)
{
	unsigned bit = tlb_fetch_bit(linear);

	part->fetch[(linear >> 12) % TLB_FETCH_ENTRIES].tag = TLB_FETCH_INVALID;
	if (part->fetched[bit / 64] & BIT(bit % 64)) {
		forget_fetches(cpu, part);
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
static void flush_range(struct cpu *cpu, struct tlb_part *part, uint64_t base, uint64_t mask)
{
	unsigned count;
	struct tlb *sets = part_sets(cpu, part, &count);

	forget_fetches(cpu, part);
	for (unsigned set = 0; set < count; set++) {
		clear_matching(sets[set].read, base, mask);
		clear_matching(sets[set].write, base, mask);
	}
	for (unsigned i = 0; i < TLB_FETCH_ENTRIES; i++) {
		if ((part->fetch[i].tag & mask) == base) {
			part->fetch[i].tag = TLB_FETCH_INVALID;
		}
	}
}

static void flush_page(struct cpu *cpu, struct tlb_part *part, uint64_t linear)
{
	unsigned index = tlb_index(linear), count;
	struct tlb *sets = part_sets(cpu, part, &count);

	for (unsigned set = 0; set < count; set++) {
		clear_place(sets, part, set * TLB_ENTRIES + index);
	}
	flush_fetch(cpu, part, linear);
	if (part->large_count > TLB_LARGE_PAGES) {
		flush_range(cpu, part, linear & ~(LARGEST_PAGE - 1), ~(LARGEST_PAGE - 1));
		return;
	}
	for (uint32_t i = 0; i < part->large_count; i++) {
		const struct tlb_large_page *large = &part->large[i];
		if ((linear & large->mask) == large->base) {
			flush_range(cpu, part, large->base, large->mask);
		}
	}
}

void mmu_flush_page(struct cpu *cpu, uint64_t linear)
{
	stats_count(&cpu->stats, STAT_TLB_FLUSHES_PAGE);
	flush_page(cpu, &cpu->tlb_parts[TLB_PART_SUPERVISOR], linear);
	for (unsigned slot = 0; slot < cpu->slot_count; slot++) {
		struct tlb_part *part = slot_part(cpu, slot);
		/* Of other address spaces global pages go. */
		if (slot == cpu->slot || part->has_global[linear >> 63]) {
			flush_page(cpu, part, linear);
		}
	}
}

void mmu_flush_pcid_page(struct cpu *cpu, uint16_t pcid, uint64_t linear)
{
	stats_count(&cpu->stats, STAT_TLB_FLUSHES_PAGE);
	for (unsigned slot = 0; slot < cpu->slot_count; slot++) {
		if (cpu->slots[slot].pcid == pcid) {
			flush_page(cpu, slot_part(cpu, slot), linear);
		}
	}
	if (cpu->slots[cpu->slot].pcid == pcid) {
		flush_page(cpu, &cpu->tlb_parts[TLB_PART_SUPERVISOR], linear);
	}
}

/* The slot that has the PCID, else one that is free, else the one that was left longest ago. */
static unsigned find_slot(const struct cpu *cpu, uint16_t pcid)
{
	unsigned found = 0;
	uint64_t oldest = UINT64_MAX;

	for (unsigned slot = 0; slot < cpu->slot_count; slot++) {
		uint64_t used = cpu->slots[slot].used;
		if (cpu->slots[slot].pcid == pcid) {
			return slot;
		}
		if (cpu->slots[slot].pcid == TLB_NO_PCID) {
			used = 0;
		}
		if (used < oldest) {
			oldest = used;
			found = slot;
		}
	}
	return found;
}

/* What of the user's belongs to a slot, and is not its own memory. */
static void use_slot(struct cpu *cpu, unsigned slot)
{
	struct tlb_slot *from = &cpu->slots[cpu->slot], *to = &cpu->slots[slot];

	from->fetch_epoch = cpu->fetch_epoch[1];
	from->jumps_epoch = cpu->jumps_epoch[1];
	cpu->fetch_epoch[1] = to->fetch_epoch;
	cpu->jumps_epoch[1] = to->jumps_epoch;
	cpu->jumps_of[TLB_USER] = to->jumps;
	cpu->slot = (uint8_t)slot;
	cpu_use_tlb(cpu, cpu->tlb_set);
	if (cpu->translator) {
		view_use(cpu);
	}
}

void mmu_switch(struct cpu *cpu, bool keep)
{
	uint16_t pcid = mmu_pcid(cpu);
	unsigned slot = find_slot(cpu, pcid);

	keep = keep && cpu->slots[slot].pcid == pcid;
	if (keep && slot == cpu->slot) {
		return;
	}
	stats_count(&cpu->stats, keep ? STAT_TLB_SWITCHES : STAT_TLB_FLUSHES_LOCAL);
	/* Shared by all slots, so what is not global is the current one's. */
	flush_local(cpu, &cpu->tlb_parts[TLB_PART_SUPERVISOR]);
	if (!keep) {
		flush_local(cpu, slot_part(cpu, slot));
	}
	cpu->slots[slot].pcid = pcid;
	cpu->slots[slot].used = ++cpu->switches;
	if (slot != cpu->slot) {
		use_slot(cpu, slot);
	}
}

static void drop_writes(struct cpu *cpu, struct tlb_part *part)
{
	struct tlb_log *log = &part->writes;
	bool all = log_overflowed(log);
	unsigned count;
	struct tlb *sets = part_sets(cpu, part, &count);
	unsigned places = all ? count * TLB_ENTRIES : log->count;

	for (unsigned i = 0; i < places; i++) {
		unsigned place = all ? i : log->places[i];
		unsigned index = place % TLB_ENTRIES;
		sets[place / TLB_ENTRIES].write[index].tag = TLB_INVALID(index);
	}
	log->count = 0;
}

void mmu_drop_writes(struct cpu *cpu)
{
	for (unsigned i = 0; i < TLB_PART_COUNT; i++) {
		if (cpu->tlb_parts[i].writes.count > 0) {
			drop_writes(cpu, &cpu->tlb_parts[i]);
		}
	}
}
