/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/translate.h"

#include "core/engine/soft/fpu.h"
#include "core/engine/soft/interp.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/translator/code.h"
#include "core/engine/soft/translator/emit_block.h"

#include <sys/mman.h>

#define JUMPS_SIZE (CODE_JUMPS * sizeof(struct code_jump))
#define JUMP_LOG 8192u

struct translator {
	struct cpu *cpu;
	struct code *code;
	/* The supervisor's for each TLB set, then the user's for each slot. */
	struct jump_table {
		struct code_jump *jumps;
		uint32_t count; /* logged; above JUMP_LOG: more than the log holds */
		uint16_t log[JUMP_LOG]; /* indices of jumps in use */
	} tables[TLB_USER + TLB_SLOTS];
};

/* What jumps in the current TLB set are looked up in. */
static struct jump_table *current_table(struct translator *translator)
{
	const struct cpu *cpu = translator->cpu;

	return &translator->tables[cpu->tlb_set + (cpu->tlb_set == TLB_USER ? cpu->slot : 0)];
}

static void clear_table(struct jump_table *table)
{
	if (table->count == 0) {
		return;
	}
	/* Cheaper than zeroes where few entries were in use, and the memory is the host's again. */
	(void)madvise(table->jumps, JUMPS_SIZE, MADV_DONTNEED);
	table->jumps[0].target = code_jump_never(0);
	table->count = 0;
}

static struct code_jump *table_create(void)
{
	void *table = mmap(NULL, JUMPS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	if (table == MAP_FAILED) {
		return NULL;
	}
	((struct code_jump *)table)[0].target = code_jump_never(0);
	return table;
}

struct translator *translator_create(struct cpu *cpu, size_t code_size)
{
	struct translator *translator = g_new0(struct translator, 1);
	bool complete = true;

	translator->cpu = cpu;
	translator->code = code_create(cpu->perf_map ? NULL : "translated-code", code_size);
	for (unsigned i = 0; i < G_N_ELEMENTS(translator->tables); i++) {
		struct code_jump *jumps = table_create();
		translator->tables[i].jumps = jumps;
		if (i < TLB_USER) {
			cpu->jumps_of[i] = jumps;
		} else {
			cpu->slots[i - TLB_USER].jumps = jumps;
		}
		complete = complete && jumps;
	}
	cpu->jumps_of[TLB_USER] = cpu->slots[cpu->slot].jumps;
	if (!translator->code || !complete) {
		translator_destroy(translator);
		return NULL;
	}
	perf_map_add(cpu->perf_map, code_base(translator->code), code_used(translator->code),
			"oriel-translator");
	return translator;
}

void translator_destroy(struct translator *translator)
{
	if (!translator) {
		return;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(translator->tables); i++) {
		if (translator->tables[i].jumps) {
			munmap(translator->tables[i].jumps, JUMPS_SIZE);
		}
	}
	code_destroy(translator->code);
	g_free(translator);
}

size_t translator_table_bytes(void)
{
	return sizeof(struct translator) + (TLB_USER + TLB_SLOTS) * JUMPS_SIZE;
}

void translator_clear(struct translator *translator)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(translator->tables); i++) {
		clear_table(&translator->tables[i]);
	}
	code_clear(translator->code);
}

const uint8_t *translator_entry(
		const struct translator *translator, const struct block *block, unsigned set)
{
	uint32_t offset = block->translation[set];

	return offset ? code_base(translator->code) + offset : NULL;
}

/* The near entry becomes a way out, to where the block began. */
void translator_kill(struct translator *translator, struct block *block)
{
	for (unsigned set = 0; set < TLB_ALIGNED; set++) {
		if (block->translation[set]) {
			cpu_request(translator->cpu, CPU_REQUEST_CODE);
			stats_count(&translator->cpu->stats, STAT_TRANSLATIONS_DROPPED);
			block_emit_dead_end(translator->code, block,
					code_writable(translator->code,
							translator_entry(translator, block, set)));
			block->translation[set] = 0;
		}
	}
}

static void flush_table(struct jump_table *table)
{
	if (table->count > JUMP_LOG) {
		clear_table(table);
		return;
	}
	for (uint32_t i = 0; i < table->count; i++) {
		table->jumps[table->log[i]].target = code_jump_never(table->log[i]);
	}
	table->count = 0;
}

/*
 * Mappings of the user's code, in the current slot, or of the supervisor's may have changed: targets of jumps between pages are
 * looked up anew.
 */
static void flush_jumps(struct translator *translator, bool user)
{
	if (user) {
		flush_table(&translator->tables[TLB_USER + translator->cpu->slot]);
		return;
	}
	for (unsigned set = 0; set < TLB_USER; set++) {
		flush_table(&translator->tables[set]);
	}
}

/* links: those that the block had before it was kept, for what is known of the blocks that follow. */
static const uint8_t *emit(struct translator *translator, struct emitter *emitter,
		struct block *block, struct block_links *links, unsigned set)
{
	struct cpu *cpu = translator->cpu;
	struct block_links *own = block->links;
	const uint8_t *entry;

	if (!own && links && links->epoch == cpu->blocks->epoch) {
		block->links = links;
	}
	entry = block_emit(translator->code, emitter, block, set,
			block_vectors_of(cpu) | (cpu->lockstep ? 0u : BLOCK_LOOPS));
	block->links = own;
	return entry;
}

const uint8_t *translator_find(struct translator *translator, struct block **block_at)
{
	struct block *block = *block_at;
	struct cpu *cpu = translator->cpu;
	unsigned set = cpu->tlb_set;

	if (!code_holds(cpu) || block->untranslatable) {
		return NULL;
	}
	if (unlikely(fpu_native_changed(cpu))) {
		cpu->sse_native = fpu_sse_unchecked(cpu);
		cpu->avx_native = fpu_avx_unchecked(cpu);
		stats_count(&cpu->stats, STAT_CLEARS_SSE);
		cpu->blocks->full = true;
		return NULL;
	}
	if (block->translation[set]) {
		return translator_entry(translator, block, set);
	}
	if (block->heat < BLOCK_HOT && !cpu->lockstep) {
		return NULL;
	}
	if (block->straddles) {
		block->untranslatable = true;
		return NULL;
	}
	block = block_keep(cpu, block, false);
	if (!block) {
		return NULL;
	}
	struct block_links *young_links = (*block_at)->links;
	*block_at = block;
	(void)block_insns(cpu, block);
	struct emitter emitter;
	if (!code_begin(translator->code, &emitter)) {
		stats_count(&cpu->stats, STAT_CLEARS_CODE);
		cpu->blocks->full = true;
		return NULL;
	}
	const uint8_t *begin = emitter.at;
	const uint8_t *entry = emit(translator, &emitter, block, young_links, set);
	if (!entry) {
		block->untranslatable = true;
		return NULL;
	}
	code_end(translator->code, &emitter);
	stats_count(&cpu->stats, STAT_BLOCKS_TRANSLATED);
	stats_set(&cpu->stats, STAT_CODE_BYTES_USED, code_used(translator->code));
	block->translation[set] = (uint32_t)(code_executable(translator->code, entry) -
					     code_base(translator->code));
	perf_map_add_block(cpu->perf_map, code_executable(translator->code, begin),
			(size_t)(emitter.at - begin), cpu->rip);
	return translator_entry(translator, block, set);
}

static void remember_jump(struct translator *translator, const uint8_t *entry)
{
	struct jump_table *table = current_table(translator);
	uint64_t target = translator->cpu->rip;
	unsigned index = code_jump_index(target);

	table->jumps[index] = (struct code_jump){.target = target, .entry = entry};
	if (table->count < JUMP_LOG) {
		table->log[table->count] = (uint16_t)index;
	}
	if (table->count <= JUMP_LOG) {
		table->count++;
	}
}

/* A branch that was taken to no address at all: undoes what it did to rsp, and raises #GP where it is. */
static _Noreturn void raise_at_branch(struct cpu *cpu)
{
	int64_t branch = (int64_t)cpu->branch;

	cpu->regs[X86_RSP] -= (uint64_t)(branch >> 16);
	cpu->rip = cpu->page_rip + (branch & 0xffff);
	cpu_raise_gp(cpu);
}

/* The guest's to the host's, which nothing here but translated code uses. */
static void load_xmms(const struct cpu *cpu)
{
#define LOAD(n) "movaps " #n "*16(%0), %%xmm" #n "\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(
			8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
			 :
			 : "r"(cpu->fx.xmm), "m"(cpu->fx));
#undef LOAD
}

static void load_upper_halves(const struct cpu *cpu)
{
#define LOAD(n) "vinsertf128 $1, " #n "*16(%0), %%ymm" #n ", %%ymm" #n "\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(
			8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
			 :
			 : "r"(cpu->ymm_high), "m"(cpu->ymm_high));
#undef LOAD
}

void translator_run_alone(struct translator *translator, const uint8_t *far_entry,
		enum block_entry begin, bool faults)
{
	struct cpu *cpu = translator->cpu;

	cpu->blocks->running = NULL;
	cpu->jumps = current_table(translator)->jumps;
	cpu->page_rip = cpu->rip & ~(GUEST_PAGE_SIZE - 1);
	const uint8_t *entry = block_entry_of(translator->code, far_entry, begin);
	if (begin == BLOCK_ENTRY_WARM || begin == BLOCK_ENTRY_STORED_WARM) {
		load_xmms(cpu);
		if (cpu->avx_native) {
			load_upper_halves(cpu);
		}
	}
	(void)code_run(translator->code, cpu, entry);
	if (unlikely(faults && !linear_is_canonical(cpu->rip))) {
		raise_at_branch(cpu);
	}
}

bool translator_run(struct translator *translator, const uint8_t *entry)
{
	struct cpu *cpu = translator->cpu;
	bool user = cpu->tlb_set == TLB_USER;

	if (cpu->jumps_epoch[user] != cpu->fetch_epoch[user]) {
		flush_jumps(translator, user);
		cpu->jumps_epoch[user] = cpu->fetch_epoch[user];
	}
	cpu->blocks->running = NULL;
	cpu->jumps = current_table(translator)->jumps;
	for (;;) {
		if (unlikely(__atomic_load_n(&cpu->request, __ATOMIC_ACQUIRE))) {
			return false;
		}
		enum code_exit reason = code_run(translator->code, cpu, entry);
		stats_count(&cpu->stats, STAT_CODE_EXITS_LOOKUP + reason);
		if (reason == CODE_EXIT_ATTEND ||
				__atomic_load_n(&cpu->request, __ATOMIC_RELAXED)) {
			return false;
		}
		if (unlikely(!linear_is_canonical(cpu->rip))) {
			raise_at_branch(cpu);
		}
		uint64_t clears = cpu->blocks->clears;
		uint8_t *site = (uint8_t *)(uintptr_t)cpu->exit_site;
		struct block *block = interp_enter(cpu);
		const uint8_t *next = translator_find(translator, &block);
		user = cpu->tlb_set == TLB_USER;
		if (cpu->blocks->clears != clears ||
				cpu->jumps_epoch[user] != cpu->fetch_epoch[user]) {
			return true;
		}
		if (!next) {
			return true;
		}
		if (reason == CODE_EXIT_LINK) {
			block_emit_link(translator->code, site, next);
		} else {
			remember_jump(translator, next);
		}
		entry = next;
	}
}
