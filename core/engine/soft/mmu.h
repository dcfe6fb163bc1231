/* SPDX-License-Identifier: MIT */
/*
 * The software CPU's memory management: linear addresses to guest memory through the software TLB,
 * page table walks with accessed and dirty bits, devices behind it. Every access raises the page
 * fault it deserves and then does not return. Addresses here are linear; segmentation is in
 * operand.h. SDM vol. 3, chapter 4.
 */
#ifndef CORE_ENGINE_SOFT_MMU_H
#define CORE_ENGINE_SOFT_MMU_H

#include "core/engine/soft/cpu.h"

#include <string.h>

enum mmu_access {
	MMU_READ,
	MMU_WRITE,
	MMU_FETCH,
};

/*
 * The slow paths: TLB misses, page crossings, devices. size is 1, 2, 4 or 8. Supervisor: as CPL 0
 * whatever the CPL.
 */
uint64_t mmu_load_slow(struct cpu *cpu, uint64_t linear, unsigned size);
void mmu_store_slow(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size);

/* Implicit supervisor accesses: descriptor tables, TSS, interrupt stack frames. */
uint64_t mmu_load_supervisor(struct cpu *cpu, uint64_t linear, unsigned size);
void mmu_store_supervisor(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size);

/*
 * Stack frames of a privilege level that is not yet, or no longer, the current one: explicit
 * accesses as that CPL makes them.
 */
uint64_t mmu_load_as(struct cpu *cpu, unsigned cpl, uint64_t linear, unsigned size);
void mmu_store_as(struct cpu *cpu, unsigned cpl, uint64_t linear, uint64_t value, unsigned size);

/*
 * Any length: for FXSAVE images, SSE operands and the like. A store that faults on its second page
 * writes nothing.
 */
void mmu_load_bytes(struct cpu *cpu, uint64_t linear, void *buf, size_t len);
void mmu_store_bytes(struct cpu *cpu, uint64_t linear, const void *buf, size_t len);

/* Raises the fault that a write of len bytes (at most a page) would raise, else does nothing. */
void mmu_probe_write(struct cpu *cpu, uint64_t linear, size_t len);

/*
 * For read-modify-write and string instructions: the host address of [linear, linear + len), when
 * all of it is RAM in one page that may be written (or read) at once; NULL if not (after raising
 * any fault). The address is good until the next call that can change mappings; never keep it
 * across instructions.
 */
void *mmu_host_write(struct cpu *cpu, uint64_t linear, size_t len);
const void *mmu_host_read(struct cpu *cpu, uint64_t linear, size_t len);

/*
 * Fetch translation: the guest-physical address that linear's instruction bytes come from, and
 * their host address in *ret_host, or NULL if they are not in RAM. Raises #PF.
 */
uint64_t mmu_translate_fetch(struct cpu *cpu, uint64_t linear, const uint8_t **ret_host);

/* Debugger's view: translates without faults or A/D bits. False if not mapped. */
bool mmu_translate_debug(struct cpu *cpu, uint64_t linear, uint64_t *ret_physical);

/*
 * Decoded code, as far as stores must know of it; the block cache implements both. A page it covers
 * gets no write entries in the TLB, so that every store into it is reported.
 */

/*
 * The vCPU is about to write to the page by other means than code_written(), now or by a write entry. False if it must not:
 * there is code.
 */
bool code_admits_writer(struct cpu *cpu, uint64_t physical_page);
void code_written(struct cpu *cpu, uint64_t physical, size_t len);

/*
 * Reads and writes of guest-physical memory by the processor itself: RAM, ROM, devices, its own
 * APIC page.
 */
uint64_t mmu_physical_load(struct cpu *cpu, uint64_t physical, unsigned size);
void mmu_physical_store(struct cpu *cpu, uint64_t physical, uint64_t value, unsigned size);

/* Everything, of all address spaces. */
void mmu_flush_all(struct cpu *cpu);

/* What is not global: of the current address space, of the one with a PCID, of all. */
void mmu_flush_non_global(struct cpu *cpu);
void mmu_flush_pcid(struct cpu *cpu, uint16_t pcid);
void mmu_flush_all_non_global(struct cpu *cpu);

/* A page of the current address space, global or not; one of that with a PCID. */
void mmu_flush_page(struct cpu *cpu, uint64_t linear);
void mmu_flush_pcid_page(struct cpu *cpu, uint16_t pcid, uint64_t linear);

/* CR3 was loaded. keep: what is known of its PCID still holds. */
void mmu_switch(struct cpu *cpu, bool keep);

/* That of the current address space. */
static inline uint16_t mmu_pcid(const struct cpu *cpu)
{
	return cpu->cr4 & X86_CR4_PCIDE ? cpu->cr3 & X86_CR3_PCID : 0;
}

/* Takes away all write entries, of all address spaces: a page that one may lead to now holds decoded code. */
void mmu_drop_writes(struct cpu *cpu);

/* Which bit of tlb_part.fetched stands for a page. */
static inline unsigned tlb_fetch_bit(uint64_t linear)
{
	return (unsigned)((linear >> 12 ^ linear >> 24) % FETCH_FILTER_BITS);
}

static inline unsigned tlb_index(uint64_t linear)
{
	return (linear >> 12) & (TLB_ENTRIES - 1);
}

/* The entry hits if the last byte lies in the same page as the tag, and the first one too. */
static inline bool tlb_hit(const struct tlb_entry *entry, uint64_t linear, unsigned size)
{
	return ((linear + size - 1) & ~(GUEST_PAGE_SIZE - 1)) == entry->tag &&
	       (linear & ~(GUEST_PAGE_SIZE - 1)) == entry->tag;
}

/* Where the host has a linear address that the entry is for. */
static inline uint8_t *tlb_host(const struct tlb_entry *entry, uint64_t linear)
{
	return (uint8_t *)(uintptr_t)(entry->page + (linear & (GUEST_PAGE_SIZE - 1)));
}

#define MMU_DEFINE_ACCESS(bits) \
	static inline uint##bits##_t mmu_load##bits(struct cpu *cpu, uint64_t linear) \
	{ \
		const struct tlb_entry *entry = &cpu->tlb->read[tlb_index(linear)]; \
		if (likely(tlb_hit(entry, linear, (bits) / 8))) { \
			uint##bits##_t value; \
			memcpy(&value, (const void *)tlb_host(entry, linear), (bits) / 8); \
			return value; \
		} \
		return (uint##bits##_t)mmu_load_slow(cpu, linear, (bits) / 8); \
	} \
	static inline void mmu_store##bits(struct cpu *cpu, uint64_t linear, uint##bits##_t value) \
	{ \
		const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)]; \
		if (likely(tlb_hit(entry, linear, (bits) / 8))) { \
			memcpy((void *)tlb_host(entry, linear), &value, (bits) / 8); \
			return; \
		} \
		mmu_store_slow(cpu, linear, value, (bits) / 8); \
	}

MMU_DEFINE_ACCESS(8)
MMU_DEFINE_ACCESS(16)
MMU_DEFINE_ACCESS(32)
MMU_DEFINE_ACCESS(64)

#endif
