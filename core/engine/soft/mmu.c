/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/mmu.h"

#include "core/base/bytes.h"
#include "core/engine/soft/apic.h"
#include "core/engine/soft/debug.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/translator/store_log.h"
#include "core/engine/soft/walk.h"
#include "core/memory/address_space.h"
#include "core/memory/guest_memory.h"

#define PAGE_OFFSET(address) ((address) & (GUEST_PAGE_SIZE - 1))
#define PAGE_OF(address) ((address) & ~(GUEST_PAGE_SIZE - 1))

/* Where a linear address leads: to RAM at host, or to whatever answers at physical. */
struct place {
	uint8_t *host; /* NULL: not RAM */
	uint64_t physical;
	bool read_only; /* ROM: stores do nothing */
	bool code; /* stores must be reported */
};

/* Accesses of up to 8 bytes may lie in two pages. */
struct span {
	struct place part[2];
	unsigned len[2];
};

static struct tlb_part *slot_part(struct cpu *cpu)
{
	return &cpu->tlb_parts[TLB_PART_SLOTS + cpu->slot];
}

/* The set for explicit accesses at a privilege level. */
static unsigned set_for_cpl(const struct cpu *cpu, unsigned cpl)
{
	if (cpl == 3) {
		return TLB_USER;
	}
	bool smap = (cpu->cr4 & X86_CR4_SMAP) && !(cpu->rflags & X86_FLAG_AC);
	return smap ? TLB_SUPERVISOR : TLB_SUPERVISOR_AC;
}

static unsigned implicit_set(const struct cpu *cpu)
{
	return cpu->cr4 & X86_CR4_SMAP ? TLB_SUPERVISOR : TLB_SUPERVISOR_AC;
}

static bool set_is_user(unsigned set)
{
	return set == TLB_USER || set == TLB_ALIGNED;
}

static void log_fill(struct tlb_log *log, unsigned place)
{
	if (log->count < TLB_LOG_LENGTH) {
		log->places[log->count] = (uint16_t)place;
	}
	if (log->count <= TLB_LOG_LENGTH) {
		log->count++;
	}
}

static void note_large_page(struct tlb_part *part, uint64_t linear, const struct walk *walk)
{
	uint64_t base = linear & walk->page_mask;

	for (unsigned i = 0; i < MIN(part->large_count, TLB_LARGE_PAGES); i++) {
		if (part->large[i].base == base && part->large[i].mask == walk->page_mask) {
			return;
		}
	}
	if (part->large_count < TLB_LARGE_PAGES) {
		part->large[part->large_count] = (struct tlb_large_page){
				.base = base, .mask = walk->page_mask, .global = walk->global};
	}
	if (part->large_count <= TLB_LARGE_PAGES) {
		part->large_count++;
	}
}

/* For the flushes: there is an entry in the part now. */
static void note_fill(struct tlb_part *part, unsigned place, uint64_t linear,
		const struct walk *walk, bool kept_if_global)
{
	log_fill(&part->log[walk->global && kept_if_global], place);
	if (walk->global) {
		part->has_global[linear >> 63] = true;
	}
	if (walk->page_mask != ~(GUEST_PAGE_SIZE - 1)) {
		note_large_page(part, linear, walk);
	}
}

/* Walks the tables or raises the page fault. */
static void walk_or_raise(struct cpu *cpu, uint64_t linear, enum mmu_access access, unsigned set,
		struct walk *ret)
{
	struct walk_request request = {
			.access = access,
			.user = set_is_user(set),
			.smap = set == TLB_SUPERVISOR && (cpu->cr4 & X86_CR4_SMAP),
	};
	uint32_t error;

	if (!walk_linear(cpu, linear, &request, ret, &error)) {
		cpu_raise_page_fault(cpu, linear, error);
	}
}

static bool may_write(const struct cpu *cpu, unsigned set, const struct walk *walk)
{
	return walk->writable || (!set_is_user(set) && !(cpu->cr0 & X86_CR0_WP));
}

static void fill(struct cpu *cpu, unsigned set, uint64_t linear, const struct walk *walk,
		const struct place *place, bool writable)
{
	struct tlb *tlb = cpu_tlb(cpu, set);
	struct tlb_part *part = set == TLB_SUPERVISOR ? &cpu->tlb_parts[TLB_PART_SUPERVISOR]
						      : slot_part(cpu);
	uint64_t page = PAGE_OF(linear);
	unsigned index = tlb_index(linear);
	unsigned logged = (set == TLB_USER ? TLB_ENTRIES : 0) + index;
	struct tlb_entry entry = {
			.tag = page,
			.page = (uint64_t)(uintptr_t)place->host - PAGE_OFFSET(linear),
	};

	if (set == TLB_ALIGNED || debug_watches_page(cpu, page)) {
		return;
	}
	tlb->read[index] = entry;
	if (writable && unlikely(cpu->store_log)) {
		store_log_admit(cpu->store_log, &tlb->write[index], &entry);
	} else if (writable) {
		tlb->write[index] = entry;
		log_fill(&part->writes, logged);
	}
	note_fill(part, logged, linear, walk, true);
}

static struct place place_of(struct cpu *cpu, uint64_t physical)
{
	struct place place = {.physical = physical};
	unsigned flags;

	if (PAGE_OF(physical) == cpu->apic_page) {
		return place;
	}
	uint8_t *page = walk_ram_page(cpu, physical, &flags);
	if (page) {
		place.host = page + PAGE_OFFSET(physical);
		place.read_only = flags & GUEST_REGION_ROM;
	}
	return place;
}

static struct place translate(
		struct cpu *cpu, uint64_t linear, enum mmu_access access, unsigned set)
{
	struct walk walk;

	stats_count(&cpu->stats, STAT_TLB_READ_MISSES + access);
	walk_or_raise(cpu, linear, access, set, &walk);
	struct place place = place_of(cpu, walk.physical | PAGE_OFFSET(linear));
	if (place.host) {
		bool writable = walk.dirty && !place.read_only && may_write(cpu, set, &walk);
		place.code = writable && !code_admits_writer(cpu, walk.physical);
		fill(cpu, set, linear, &walk, &place, writable && !place.code);
	}
	return place;
}

/* The first byte of the page after linear's, as address arithmetic of the current mode sees it. */
static uint64_t next_page(const struct cpu *cpu, uint64_t linear)
{
	uint64_t next = PAGE_OF(linear) + GUEST_PAGE_SIZE;

	return next == BIT(32) && cpu->mode != INSN_MODE_64 ? 0 : next;
}

static struct span translate_span(struct cpu *cpu, uint64_t linear, unsigned size,
		enum mmu_access access, unsigned set)
{
	struct span span = {.len = {size, 0}};
	uint64_t room = GUEST_PAGE_SIZE - PAGE_OFFSET(linear);

	span.part[0] = translate(cpu, linear, access, set);
	if (size > room) {
		span.len[0] = (unsigned)room;
		span.len[1] = size - (unsigned)room;
		span.part[1] = translate(cpu, next_page(cpu, linear), access, set);
	}
	return span;
}

/* Copies that other processors see as one access, where the size allows it. */
static uint64_t host_load(const uint8_t *host, unsigned size)
{
	switch (size) {
	case 1:
		return *host;
	case 2:
		return le16_load(host);
	case 4:
		return le32_load(host);
	case 8:
		return le64_load(host);
	default:
		return le_load(host, size);
	}
}

static void host_store(uint8_t *host, uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		*host = (uint8_t)value;
		break;
	case 2:
		le16_store(host, (uint16_t)value);
		break;
	case 4:
		le32_store(host, (uint32_t)value);
		break;
	case 8:
		le64_store(host, value);
		break;
	default:
		le_store(host, value, size);
		break;
	}
}

static bool is_device_size(unsigned size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

/* A device may take its time, and ask for the vCPU. */
static uint64_t space_load(struct cpu *cpu, uint64_t physical, unsigned size)
{
	smp_leave(cpu);
	uint64_t value = address_space_read(cpu->space, physical, size);
	smp_enter(cpu);
	return value;
}

static void space_store(struct cpu *cpu, uint64_t physical, uint64_t value, unsigned size)
{
	smp_leave(cpu);
	address_space_write(cpu->space, physical, value, size);
	smp_enter(cpu);
}

static uint64_t device_load(struct cpu *cpu, uint64_t physical, unsigned size)
{
	uint64_t value = 0;

	if (PAGE_OF(physical) == cpu->apic_page) {
		return apic_mmio_read(cpu->apic, (uint32_t)PAGE_OFFSET(physical), size);
	}
	if (is_device_size(size)) {
		return space_load(cpu, physical, size);
	}
	for (unsigned i = 0; i < size; i++) {
		value |= (space_load(cpu, physical + i, 1) & 0xff) << (8 * i);
	}
	return value;
}

static void device_store(struct cpu *cpu, uint64_t physical, uint64_t value, unsigned size)
{
	if (PAGE_OF(physical) == cpu->apic_page) {
		apic_mmio_write(cpu->apic, (uint32_t)PAGE_OFFSET(physical), value, size);
		return;
	}
	if (is_device_size(size)) {
		space_store(cpu, physical, value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++) {
		space_store(cpu, physical + i, (uint8_t)(value >> (8 * i)), 1);
	}
}

static uint64_t place_load(struct cpu *cpu, const struct place *place, unsigned size)
{
	if (unlikely(cpu->store_log && !place->host)) {
		store_log_happened(cpu->store_log);
	}
	return place->host ? host_load(place->host, size) : device_load(cpu, place->physical, size);
}

static void log_store(struct cpu *cpu, const struct place *place, size_t size)
{
	if (!place->host || place->code) {
		store_log_happened(cpu->store_log);
	} else if (!place->read_only) {
		store_log_write(cpu->store_log, place->host, size);
	}
}

static void place_store(struct cpu *cpu, const struct place *place, uint64_t value, unsigned size)
{
	if (unlikely(cpu->store_log)) {
		log_store(cpu, place, size);
	}
	if (!place->host) {
		device_store(cpu, place->physical, value, size);
		return;
	}
	if (place->read_only) {
		return;
	}
	host_store(place->host, value, size);
	if (place->code) {
		code_written(cpu, place->physical, size);
	}
}

static uint64_t low_bytes(uint64_t value, unsigned size)
{
	return size >= 8 ? value : value & (BIT(8 * size) - 1);
}

static void before_access(struct cpu *cpu, unsigned set, uint64_t linear, unsigned size,
		enum mmu_access access)
{
	if (set == TLB_ALIGNED && (linear & (size - 1))) {
		cpu_raise_error(cpu, X86_VECTOR_AC, 0);
	}
	if (unlikely(cpu->dr[7] & 0xff)) {
		debug_note_access(cpu, linear, size, access == MMU_WRITE);
	}
}

static uint64_t load_in(struct cpu *cpu, unsigned set, uint64_t linear, unsigned size)
{
	before_access(cpu, set, linear, size, MMU_READ);
	struct span span = translate_span(cpu, linear, size, MMU_READ, set);
	uint64_t value = low_bytes(place_load(cpu, &span.part[0], span.len[0]), span.len[0]);
	if (span.len[1]) {
		value |= place_load(cpu, &span.part[1], span.len[1]) << (8 * span.len[0]);
	}
	return low_bytes(value, size);
}

static void store_in(struct cpu *cpu, unsigned set, uint64_t linear, uint64_t value, unsigned size)
{
	before_access(cpu, set, linear, size, MMU_WRITE);
	struct span span = translate_span(cpu, linear, size, MMU_WRITE, set);
	place_store(cpu, &span.part[0], low_bytes(value, span.len[0]), span.len[0]);
	if (span.len[1]) {
		place_store(cpu, &span.part[1], value >> (8 * span.len[0]), span.len[1]);
	}
}

uint64_t mmu_load_slow(struct cpu *cpu, uint64_t linear, unsigned size)
{
	return load_in(cpu, cpu->tlb_set, linear, size);
}

void mmu_store_slow(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size)
{
	store_in(cpu, cpu->tlb_set, linear, value, size);
}

static uint64_t load_fast(struct cpu *cpu, unsigned set, uint64_t linear, unsigned size)
{
	const struct tlb_entry *entry = &cpu_tlb(cpu, set)->read[tlb_index(linear)];

	if (tlb_hit(entry, linear, size)) {
		return host_load(tlb_host(entry, linear), size);
	}
	return load_in(cpu, set, linear, size);
}

static void store_fast(
		struct cpu *cpu, unsigned set, uint64_t linear, uint64_t value, unsigned size)
{
	const struct tlb_entry *entry = &cpu_tlb(cpu, set)->write[tlb_index(linear)];

	if (tlb_hit(entry, linear, size)) {
		host_store(tlb_host(entry, linear), value, size);
		return;
	}
	store_in(cpu, set, linear, value, size);
}

/*
 * System structures lie at full linear addresses in long mode, below 4 GiB (wrapping) outside it.
 */
static uint64_t system_linear(const struct cpu *cpu, uint64_t linear)
{
	return cpu_long_mode(cpu) ? linear : (uint32_t)linear;
}

uint64_t mmu_load_supervisor(struct cpu *cpu, uint64_t linear, unsigned size)
{
	return load_fast(cpu, implicit_set(cpu), system_linear(cpu, linear), size);
}

void mmu_store_supervisor(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size)
{
	store_fast(cpu, implicit_set(cpu), system_linear(cpu, linear), value, size);
}

uint64_t mmu_load_as(struct cpu *cpu, unsigned cpl, uint64_t linear, unsigned size)
{
	return load_fast(cpu, set_for_cpl(cpu, cpl), system_linear(cpu, linear), size);
}

void mmu_store_as(struct cpu *cpu, unsigned cpl, uint64_t linear, uint64_t value, unsigned size)
{
	store_fast(cpu, set_for_cpl(cpu, cpl), system_linear(cpu, linear), value, size);
}

void mmu_load_bytes(struct cpu *cpu, uint64_t linear, void *buf, size_t len)
{
	uint8_t *out = buf;

	while (len > 0) {
		size_t n = MIN(len, GUEST_PAGE_SIZE - PAGE_OFFSET(linear));
		const void *host = mmu_host_read(cpu, linear, n);
		if (host) {
			memcpy(out, host, n);
		} else {
			n = MIN(n, 8);
			le_store(out, load_in(cpu, cpu->tlb_set, linear, (unsigned)n), (unsigned)n);
		}
		out += n;
		len -= n;
		linear = PAGE_OFFSET(linear + n) ? linear + n : next_page(cpu, linear);
	}
}

static void probe_pages(struct cpu *cpu, uint64_t linear, size_t len)
{
	while (len > 0) {
		size_t n = MIN(len, GUEST_PAGE_SIZE - PAGE_OFFSET(linear));
		(void)translate(cpu, linear, MMU_WRITE, cpu->tlb_set);
		len -= n;
		linear = next_page(cpu, linear);
	}
}

void mmu_store_bytes(struct cpu *cpu, uint64_t linear, const void *buf, size_t len)
{
	const uint8_t *in = buf;

	if (len > GUEST_PAGE_SIZE - PAGE_OFFSET(linear)) {
		probe_pages(cpu, linear, len);
	}
	while (len > 0) {
		size_t n = MIN(len, GUEST_PAGE_SIZE - PAGE_OFFSET(linear));
		void *host = mmu_host_write(cpu, linear, n);
		if (host) {
			memcpy(host, in, n);
		} else {
			n = MIN(n, 8);
			store_in(cpu, cpu->tlb_set, linear, le_load(in, (unsigned)n), (unsigned)n);
		}
		in += n;
		len -= n;
		linear = PAGE_OFFSET(linear + n) ? linear + n : next_page(cpu, linear);
	}
}

void mmu_probe_write(struct cpu *cpu, uint64_t linear, size_t len)
{
	const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)];

	if (len > 0 && !(PAGE_OF(linear) == entry->tag &&
				       PAGE_OF(linear + len - 1) == entry->tag)) {
		probe_pages(cpu, linear, len);
	}
}

static uint8_t *host_range(struct cpu *cpu, uint64_t linear, size_t len, enum mmu_access access)
{
	unsigned set = cpu->tlb_set;

	if (set == TLB_ALIGNED && (len == 2 || len == 4 || len == 8) && (linear & (len - 1))) {
		cpu_raise_error(cpu, X86_VECTOR_AC, 0);
	}
	struct place place = translate(cpu, linear, access, set);
	if (len > GUEST_PAGE_SIZE - PAGE_OFFSET(linear)) {
		(void)translate(cpu, next_page(cpu, linear), access, set);
		return NULL;
	}
	if (debug_watches_page(cpu, PAGE_OF(linear))) {
		return NULL;
	}
	if (access == MMU_READ) {
		return place.host;
	}
	if (place.read_only || place.code) {
		return NULL;
	}
	if (unlikely(cpu->store_log && place.host)) {
		store_log_write(cpu->store_log, place.host, len);
	}
	return place.host;
}

void *mmu_host_write(struct cpu *cpu, uint64_t linear, size_t len)
{
	const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)];

	if (PAGE_OF(linear) == entry->tag && PAGE_OF(linear + len - 1) == entry->tag) {
		return (void *)tlb_host(entry, linear);
	}
	return host_range(cpu, linear, len, MMU_WRITE);
}

const void *mmu_host_read(struct cpu *cpu, uint64_t linear, size_t len)
{
	const struct tlb_entry *entry = &cpu->tlb->read[tlb_index(linear)];

	if (PAGE_OF(linear) == entry->tag && PAGE_OF(linear + len - 1) == entry->tag) {
		return (const void *)tlb_host(entry, linear);
	}
	return host_range(cpu, linear, len, MMU_READ);
}

static void note_fetch(struct tlb_part *part, uint64_t linear, bool global)
{
	unsigned bit = tlb_fetch_bit(linear);

	part->fetched[bit / 64] |= BIT(bit % 64);
	if (!global) {
		part->fetched_local = true;
	}
}

uint64_t mmu_translate_fetch(struct cpu *cpu, uint64_t linear, const uint8_t **ret_host)
{
	bool user = cpu->cpl == 3;
	unsigned index = (linear >> 12) % TLB_FETCH_ENTRIES;
	struct tlb_part *part = user ? slot_part(cpu) : &cpu->tlb_parts[TLB_PART_SUPERVISOR];
	struct tlb_fetch *entry = &part->fetch[index];

	if (unlikely(entry->tag != PAGE_OF(linear))) {
		struct walk walk;
		stats_count(&cpu->stats, STAT_TLB_FETCH_MISSES);
		walk_or_raise(cpu, linear, MMU_FETCH, user ? TLB_USER : TLB_SUPERVISOR_AC, &walk);
		struct place place = place_of(cpu, walk.physical);
		*entry = (struct tlb_fetch){.tag = PAGE_OF(linear),
				.physical = walk.physical,
				.host = place.host};
		/* Those of the user's all go with the flush of what is not global: see tlb.c. */
		note_fill(part, TLB_PLACE_FETCH + index, linear, &walk, !user);
		note_fetch(part, linear, walk.global);
	}
	*ret_host = entry->host ? entry->host + PAGE_OFFSET(linear) : NULL;
	return entry->physical | PAGE_OFFSET(linear);
}

bool mmu_translate_debug(struct cpu *cpu, uint64_t linear, uint64_t *ret_physical)
{
	struct walk_request request = {.access = MMU_READ, .quiet = true};
	struct walk walk;
	uint32_t error;

	if (!walk_linear(cpu, linear, &request, &walk, &error)) {
		return false;
	}
	*ret_physical = walk.physical | PAGE_OFFSET(linear);
	return true;
}

uint64_t mmu_physical_load(struct cpu *cpu, uint64_t physical, unsigned size)
{
	struct place place = place_of(cpu, physical);

	return place_load(cpu, &place, size);
}

void mmu_physical_store(struct cpu *cpu, uint64_t physical, uint64_t value, unsigned size)
{
	struct place place = place_of(cpu, physical);

	place.code = place.host && !place.read_only && !code_admits_writer(cpu, PAGE_OF(physical));
	place_store(cpu, &place, value, size);
}
