/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/walk.h"

#include "core/memory/guest_memory.h"

#include <urcu.h>

#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITABLE BIT(1)
#define ENTRY_USER BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_GLOBAL BIT(8)
#define ENTRY_NX BIT(63)

#define PHYSICAL_MASK (BIT(WALK_PHYSICAL_BITS) - 1)
#define ADDRESS_MASK (PHYSICAL_MASK & ~(GUEST_PAGE_SIZE - 1))
#define RESERVED_PHYSICAL ((BIT(52) - 1) & ~PHYSICAL_MASK)

/*
 * Bits of a large page's entry that would be address bits below its size: PAT is bit 12, the rest
 * must be zero.
 */
#define LARGE_RESERVED(shift) ((BIT(shift) - 1) & ~(BIT(13) - 1))

enum step {
	STEP_DONE,
	STEP_FAULT,
	STEP_RETRY, /* another processor changed an entry under us */
};

/* A walk in progress. */
struct walker {
	struct cpu *cpu;
	uint64_t linear;
	const struct walk_request *request;
	struct walk *result;
	uint32_t error;

	unsigned shift; /* the current level translates linear from this bit up */
	unsigned entry_size; /* bytes: 8, or 4 without PAE */
	uint64_t table;
	uint64_t entry, entry_physical;
	bool user, writable, executable; /* accumulated */
};

void *walk_ram_page(struct cpu *cpu, uint64_t physical, unsigned *ret_flags)
{
	rcu_read_lock();
	void *host = guest_memory_page(cpu->memory, physical & ~(GUEST_PAGE_SIZE - 1), ret_flags);
	rcu_read_unlock();
	return host;
}

static void load_entry(struct walker *w)
{
	unsigned flags;
	unsigned index_bits = w->entry_size == 8 ? 9 : 10;
	uint64_t index = (w->linear >> w->shift) & (BIT(index_bits) - 1);

	w->entry_physical = w->table + index * w->entry_size;
	uint8_t *page = walk_ram_page(w->cpu, w->entry_physical, &flags);
	if (!page) {
		w->entry = mmu_physical_load(w->cpu, w->entry_physical, w->entry_size);
		return;
	}
	void *place = page + (w->entry_physical & (GUEST_PAGE_SIZE - 1));
	w->entry = w->entry_size == 8 ? __atomic_load_n((uint64_t *)place, __ATOMIC_RELAXED)
				      : __atomic_load_n((uint32_t *)place, __ATOMIC_RELAXED);
}

/* Sets accessed or dirty bits, unless the entry is no longer what was loaded: then false. */
static bool mark_entry(struct walker *w, uint64_t bits)
{
	unsigned flags;

	if ((w->entry & bits) == bits || w->request->quiet) {
		return true;
	}
	uint8_t *page = walk_ram_page(w->cpu, w->entry_physical, &flags);
	if (!page) {
		mmu_physical_store(w->cpu, w->entry_physical, w->entry | bits, w->entry_size);
		return true;
	}
	if (flags & GUEST_REGION_ROM) {
		return true;
	}
	void *place = page + (w->entry_physical & (GUEST_PAGE_SIZE - 1));
	if (w->entry_size == 8) {
		uint64_t old = w->entry;
		return __atomic_compare_exchange_n((uint64_t *)place, &old, w->entry | bits, false,
				__ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	uint32_t old = (uint32_t)w->entry;
	return __atomic_compare_exchange_n((uint32_t *)place, &old, (uint32_t)(w->entry | bits),
			false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static bool is_leaf(const struct walker *w)
{
	if (w->shift == 12) {
		return true;
	}
	if (!(w->entry & ENTRY_LARGE) || w->shift > 30) {
		return false;
	}
	return w->entry_size == 8 || (w->cpu->cr4 & X86_CR4_PSE);
}

static uint64_t reserved_bits(const struct walker *w, bool leaf)
{
	if (w->entry_size == 4) {
		/* PSE-36: bits 13-20 are physical address bits 32-39. */
		return leaf && w->shift == 22 ? BIT(21) : 0;
	}
	uint64_t reserved = RESERVED_PHYSICAL;
	if (!(w->cpu->efer & X86_EFER_NXE)) {
		reserved |= ENTRY_NX;
	}
	if (!cpu_long_mode(w->cpu)) {
		reserved |= BIT(63) - BIT(52);
	}
	if (leaf && w->shift > 12) {
		reserved |= LARGE_RESERVED(w->shift);
	}
	if (w->shift == 39 || (w->shift == 30 && !cpu_has(w->cpu, CPU_FEATURE_PDPE1GB))) {
		reserved |= ENTRY_LARGE;
	}
	return reserved;
}

static uint64_t leaf_physical(const struct walker *w)
{
	uint64_t size_mask = BIT(w->shift) - 1;
	uint64_t base = w->entry & PHYSICAL_MASK & ~size_mask;

	if (w->entry_size == 4 && w->shift == 22) {
		base |= ((w->entry >> 13) & 0xff) << 32;
	}
	return (base | (w->linear & size_mask)) & ~(GUEST_PAGE_SIZE - 1);
}

static bool is_allowed(const struct walker *w)
{
	const struct walk_request *request = w->request;
	const struct cpu *cpu = w->cpu;

	if (request->quiet) {
		return true;
	}
	if (request->access == MMU_FETCH && !w->executable) {
		return false;
	}
	if (request->user) {
		return w->user && (w->writable || request->access != MMU_WRITE);
	}
	if (w->user && request->access == MMU_FETCH && (cpu->cr4 & X86_CR4_SMEP)) {
		return false;
	}
	if (w->user && request->access != MMU_FETCH && request->smap) {
		return false;
	}
	return request->access != MMU_WRITE || w->writable || !(cpu->cr0 & X86_CR0_WP);
}

static enum step fault(struct walker *w, uint32_t error)
{
	const struct cpu *cpu = w->cpu;

	w->error = error | (w->request->user ? X86_PF_USER : 0);
	if (w->request->access == MMU_WRITE) {
		w->error |= X86_PF_WRITE;
	}
	bool has_nx = (cpu->cr4 & X86_CR4_PAE) && (cpu->efer & X86_EFER_NXE);
	if (w->request->access == MMU_FETCH && (has_nx || (cpu->cr4 & X86_CR4_SMEP))) {
		w->error |= X86_PF_FETCH;
	}
	return STEP_FAULT;
}

static enum step finish(struct walker *w)
{
	struct walk *result = w->result;
	uint64_t bits = ENTRY_ACCESSED;

	if (!is_allowed(w)) {
		return fault(w, X86_PF_PRESENT);
	}
	if (w->request->access == MMU_WRITE) {
		bits |= ENTRY_DIRTY;
	}
	if (!mark_entry(w, bits)) {
		return STEP_RETRY;
	}
	result->physical = leaf_physical(w);
	result->page_mask = ~(BIT(w->shift) - 1);
	result->user = w->user;
	result->writable = w->writable;
	result->dirty = (w->entry | bits) & ENTRY_DIRTY;
	result->global = (w->entry & ENTRY_GLOBAL) && (w->cpu->cr4 & X86_CR4_PGE);
	return STEP_DONE;
}

/*
 * The page directory pointers of 32-bit PAE paging have a format of their own: neither permissions
 * nor accessed bit.
 */
static enum step walk_pae_root(struct walker *w)
{
	w->table = w->cpu->cr3 & 0xffffffe0u;
	w->linear = (uint32_t)w->linear;
	load_entry(w);
	if (!(w->entry & ENTRY_PRESENT)) {
		return fault(w, 0);
	}
	if (w->entry & (~PHYSICAL_MASK | 0x1e6)) {
		return fault(w, X86_PF_PRESENT | X86_PF_RESERVED);
	}
	w->table = w->entry & ADDRESS_MASK;
	w->shift -= 9;
	return STEP_DONE;
}

static enum step walk_tables(struct walker *w)
{
	unsigned level_bits = w->entry_size == 8 ? 9 : 10;

	for (;;) {
		load_entry(w);
		if (!(w->entry & ENTRY_PRESENT)) {
			return fault(w, 0);
		}
		bool leaf = is_leaf(w);
		if (w->entry & reserved_bits(w, leaf)) {
			return fault(w, X86_PF_PRESENT | X86_PF_RESERVED);
		}
		w->user = w->user && (w->entry & ENTRY_USER);
		w->writable = w->writable && (w->entry & ENTRY_WRITABLE);
		w->executable = w->executable && (w->entry_size == 4 || !(w->entry & ENTRY_NX));
		if (leaf) {
			return finish(w);
		}
		if (!mark_entry(w, ENTRY_ACCESSED)) {
			return STEP_RETRY;
		}
		w->table = w->entry & ADDRESS_MASK;
		w->shift -= level_bits;
	}
}

static enum step walk_once(struct walker *w)
{
	const struct cpu *cpu = w->cpu;

	w->user = w->writable = w->executable = true;
	if (cpu_long_mode(cpu)) {
		w->shift = 39;
		w->entry_size = 8;
		w->table = cpu->cr3 & ADDRESS_MASK;
	} else if (cpu->cr4 & X86_CR4_PAE) {
		w->shift = 30;
		w->entry_size = 8;
		enum step step = walk_pae_root(w);
		if (step != STEP_DONE) {
			return step;
		}
	} else {
		w->shift = 22;
		w->entry_size = 4;
		w->table = cpu->cr3 & 0xfffff000u;
		w->linear = (uint32_t)w->linear;
	}
	return walk_tables(w);
}

bool walk_linear(struct cpu *cpu, uint64_t linear, const struct walk_request *request,
		struct walk *ret, uint32_t *ret_error)
{
	struct walker w = {.cpu = cpu, .linear = linear, .request = request, .result = ret};
	enum step step;

	if (!(cpu->cr0 & X86_CR0_PG)) {
		*ret = (struct walk){
				.physical = (uint32_t)linear & ~(GUEST_PAGE_SIZE - 1),
				.page_mask = ~(GUEST_PAGE_SIZE - 1),
				.user = true,
				.writable = true,
				.dirty = true,
		};
		return true;
	}
	do {
		step = walk_once(&w);
	} while (step == STEP_RETRY);
	if (step == STEP_FAULT) {
		*ret_error = w.error;
		return false;
	}
	return true;
}
