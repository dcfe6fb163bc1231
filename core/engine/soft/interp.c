/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/interp.h"

#include "core/base/log.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/mxcsr.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/trace.h"
#include "core/engine/soft/translator/code.h"
#include "core/engine/soft/translator/lockstep.h"
#include "core/engine/soft/translator/translate.h"
#include "core/engine/soft/view.h"

/* Values that sigsetjmp() returns: cpu_raise*() gives any other but 0. */
#define UNWIND_RESTART 2

/* Everything beside the address that decides which block lies there. */
static inline uint64_t jump_context(const struct cpu *cpu)
{
	bool user = cpu->cpl == 3;

	return cpu->fetch_epoch[user] << 3 | (uint64_t)cpu->mode << 1 | user;
}

static inline struct block_jump *jump_slot(struct block_cache *cache, uint64_t linear)
{
	return &cache->jumps[(linear ^ linear >> 12) & (BLOCK_JUMPS - 1)];
}

static struct block *enter_slow(struct cpu *cpu, uint64_t linear)
{
	struct block_cache *cache = cpu->blocks;
	struct block_jump *jump = jump_slot(cache, linear);
	struct block *block = block_lookup(cpu, linear);

	if (!block->straddles) {
		jump->linear = linear;
		jump->context = jump_context(cpu);
		jump->block = block;
	}
	return block;
}

/* The block at cpu->rip. */
static inline struct block *enter(struct cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;
	uint64_t linear = block_linear(cpu, cpu->rip);
	const struct block_jump *jump = jump_slot(cache, linear);

	cache->running = NULL;
	if (likely(jump->linear == linear && jump->context == jump_context(cpu) &&
			    block_fresh(jump->block))) {
		return jump->block;
	}
	return enter_slow(cpu, linear);
}

struct block *interp_enter(struct cpu *cpu)
{
	return enter(cpu);
}

/* Remembers that next follows block, if both are sure to be mapped together. */
static void link_blocks(
		const struct cpu *cpu, struct block *block, uint64_t block_rip, struct block *next)
{
	uint64_t from = block_linear(cpu, block_rip), to = block_linear(cpu, cpu->rip);
	struct block_links *links = block->links;

	if (((from ^ to) & ~(GUEST_PAGE_SIZE - 1)) || next->straddles || block->dead || !links) {
		return;
	}
	if (block->kept && !next->kept) {
		return;
	}
	if (!block->kept && links->epoch != cpu->blocks->epoch) {
		links->epoch = cpu->blocks->epoch;
		block_forget_successors(links);
	}
	for (unsigned i = 0; i < BLOCK_SUCCESSORS; i++) {
		if (links->successor_delta[i] == BLOCK_NO_DELTA || links->successor[i]->dead) {
			links->successor_delta[i] = (int16_t)(cpu->rip - block_rip);
			links->successor[i] = next;
			return;
		}
	}
}

/* The block at cpu->rip, which the given block led to. */
static inline struct block *follow(struct cpu *cpu, struct block *block)
{
	struct block_cache *cache = cpu->blocks;
	const struct block_links *links = block->links;
	uint64_t rip = cache->running_rip;
	uint32_t epoch = cache->epoch;
	int64_t delta = (int64_t)(cpu->rip - rip);
	struct block *next;

	if (likely(links && (block->kept || links->epoch == epoch))) {
		for (unsigned i = 0; i < BLOCK_SUCCESSORS; i++) {
			if (links->successor_delta[i] == delta &&
					likely(block_fresh(links->successor[i]))) {
				return links->successor[i];
			}
		}
	}
	next = enter(cpu);
	if (likely(cache->epoch == epoch)) {
		link_blocks(cpu, block, rip, next);
	}
	return next;
}

/* Runs the block, which starts at cpu->rip. Leaves cpu->rip at the next instruction. */
static inline void run_block(struct cpu *cpu, struct block *block)
{
	struct block_cache *cache = cpu->blocks;
	const struct insn *insn = block_insns(cpu, block);
	uint64_t rip = cpu->rip;
	unsigned count;

	cache->running = block;
	cache->running_rip = rip;
	cache->end = insn + block->count;
	cpu->next_rip = rip + block->bytes;
	do {
		cpu->rip = rip;
		insn->exec(cpu, insn);
		rip += insn->length;
		insn++;
	} while (insn < cache->end);
	count = (unsigned)(insn - block->insns);
	cpu->instructions += count;
	/* A block that killed itself stops early. */
	cpu->rip = likely(count == block->count) ? cpu->next_rip : rip;
}

void interp_run_block(struct cpu *cpu, struct block *block)
{
	run_block(cpu, block);
	cpu->blocks->running = NULL;
}

/* Addresses of code end where CS does; 64-bit mode has its own rule, see block_lookup(). */
static inline uint64_t code_limit(const struct cpu *cpu)
{
	return cpu->mode == INSN_MODE_64 ? UINT64_MAX : cpu->seg[X86_CS].limit;
}

/*
 * The first instruction of the block at cpu->rip, alone: under a debugger's eye, or close to CS's
 * limit.
 */
static void run_one(struct cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;
	const struct insn *insn;
	struct block *block;

	if (cpu->mode != INSN_MODE_64) {
		cpu->rip = (uint32_t)cpu->rip;
		if (cpu->rip > code_limit(cpu)) {
			cpu_raise_gp(cpu);
		}
	}
	block = enter(cpu);
	insn = block_insns(cpu, block);
	if (cpu->rip + insn->length - 1 > code_limit(cpu)) {
		cpu_raise_gp(cpu);
	}
	cache->running = block;
	cache->running_rip = cpu->rip;
	cache->end = insn + 1;
	cpu->next_rip = cpu->rip + insn->length;
	insn->exec(cpu, insn);
	cpu->instructions++;
	cpu->rip = cpu->next_rip;
	cache->running = NULL;
}

static void step_finish(struct cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;

	cache->stepping = false;
	interrupt_after_instruction(cpu, cache->step_flags, cache->step_shadow);
}

static void step(struct cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;

	cache->step_flags = cpu->rflags;
	cache->step_shadow = cpu->interrupt_shadow;
	if (cache->step_shadow != INTERRUPT_SHADOW_STACK) {
		interrupt_before_instruction(cpu);
	}
	cache->stepping = true;
	run_one(cpu);
	step_finish(cpu);
}

/* A young block is going to be interpreted; one that has often been is kept. NULL if there is no room for it. */
static struct block *interpreted_again(struct cpu *cpu, struct block *block)
{
	if (block->heat < BLOCK_HOT) {
		block->heat++;
		return block;
	}
	return block_keep(cpu, block, true);
}

/* Block after block, until something wants to be looked at. */
static void run_blocks(struct cpu *cpu)
{
	uint64_t limit = code_limit(cpu);
	struct block *block = cpu->rip <= limit ? enter(cpu) : NULL;

	while (likely(block && cpu->rip + block->bytes - 1 <= limit)) {
		struct block *moved = block; /* so that block may stay in a register */
		const uint8_t *translation =
				cpu->translator ? translator_find(cpu->translator, &moved) : NULL;
		block = moved;
		if (translation && unlikely(cpu->lockstep)) {
			lockstep_run(cpu, block, translation);
			return;
		}
		if (translation) {
			if (!translator_run(cpu->translator, translation)) {
				return;
			}
			block = enter(cpu);
			continue;
		}
		if (!block->kept) {
			block = interpreted_again(cpu, block);
		}
		if (unlikely(cpu->blocks->full)) {
			block_cache_clear(cpu->blocks);
			return;
		}
		run_block(cpu, block);
		if (unlikely(!block->chains || __atomic_load_n(&cpu->request, __ATOMIC_RELAXED))) {
			cpu->blocks->running = NULL;
			return;
		}
		block = follow(cpu, block);
	}
	run_one(cpu);
}

/* One block, which -d exec wants to see. */
static __attribute__((noinline, cold)) void run_traced(struct cpu *cpu)
{
	uint64_t limit = code_limit(cpu);

	trace_exec(cpu);
	struct block *block = cpu->rip <= limit ? enter(cpu) : NULL;
	if (!block || cpu->rip + block->bytes - 1 > limit) {
		run_one(cpu);
		return;
	}
	interp_run_block(cpu, block);
}

uint64_t interp_instructions(const struct cpu *cpu)
{
	const struct block_cache *cache = cpu->blocks;
	const struct block *block = cache->running;
	uint64_t rip = cache->running_rip;
	unsigned count = 0;

	if (!block) {
		return cpu->instructions;
	}
	while (count < block->count && rip != cpu->rip) {
		rip += block->insns[count].length;
		count++;
	}
	return cpu->instructions + (count < block->count ? count : 0);
}

_Noreturn void interp_restart(struct cpu *cpu)
{
	siglongjmp(cpu->unwind, UNWIND_RESTART);
}

/* Accounts for the block that an instruction left in the middle. */
static void unwound(struct cpu *cpu)
{
	cpu->instructions = interp_instructions(cpu);
	cpu->blocks->running = NULL;
	mxcsr_take_out(cpu);
}

/* False to leave the run loop. */
static bool attend(struct cpu *cpu)
{
	const uint32_t leave = CPU_REQUEST_EXIT | CPU_REQUEST_RESET | CPU_REQUEST_INIT;

	for (;;) {
		smp_attend(cpu);
		if (__atomic_load_n(&cpu->request, __ATOMIC_RELAXED) & CPU_REQUEST_CODE) {
			__atomic_fetch_and(&cpu->request, ~(uint32_t)CPU_REQUEST_CODE,
					__ATOMIC_SEQ_CST);
			block_cache_review(cpu);
		}
		if (interrupt_poll(cpu) != INTERRUPT_STOP) {
			return true;
		}
		if (cpu->activity != CPU_HALTED ||
				(__atomic_load_n(&cpu->request, __ATOMIC_RELAXED) & leave)) {
			return false;
		}
		cpu_wait(cpu);
	}
}

void cpu_run(struct cpu *cpu)
{
	if (cpu->translator) {
		view_use(cpu);
	}
	int reason = sigsetjmp(cpu->unwind, 0);

	if (reason != 0) {
		unwound(cpu);
		if (cpu->lockstep && lockstep_unwound(cpu, reason == UNWIND_RESTART)) {
			/* It is as if the block had not begun, or has ended. */
		} else if (reason != UNWIND_RESTART) {
			cpu->blocks->stepping = false;
			interrupt_deliver_fault(cpu);
		} else if (cpu->blocks->stepping) {
			step_finish(cpu);
		}
	}
	for (;;) {
		if (unlikely(__atomic_load_n(&cpu->request, __ATOMIC_ACQUIRE) ||
				    cpu->activity != CPU_ACTIVE)) {
			if (!attend(cpu)) {
				return;
			}
		}
		if (unlikely(interrupt_stepping(cpu))) {
			step(cpu);
		} else if (log_wants(LOG_ITEM_EXEC)) {
			run_traced(cpu);
		} else {
			run_blocks(cpu);
		}
	}
}
