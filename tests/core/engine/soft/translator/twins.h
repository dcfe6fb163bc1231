/* SPDX-License-Identifier: MIT */
/*
 * Blocks of instructions in a fake machine, interpreted and translated from the same state, with what came of it compared.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_TRANSLATOR_TWINS_H
#define TESTS_CORE_ENGINE_SOFT_TRANSLATOR_TWINS_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/translator/emit_block.h"
#include "tests/core/engine/soft/differ.h"

/*
 * Translations are begun at all of their entries, but for those that come with the guest's vectors in the host's registers
 * where ThreadSanitizer's calls change these.
 */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if __has_feature(thread_sanitizer)
#define TWINS_FEWER_ENTRIES true
#else
#define TWINS_FEWER_ENTRIES false
#endif

/* Code memory and what else translations need; GS is the processor's from then on. */
void translated_start(struct cpu *cpu);
void translated_stop(void);

/* Translations made since the start. */
uint64_t translated_blocks(void);

/* The far entry of a translation; NULL: it cannot be translated. */
const uint8_t *translate(struct cpu *cpu, const struct block *block);

/* Host code: what all translations share, and the last of them from its far entry on, if it came about; nothing but instructions. */
const uint8_t *translated_stubs(size_t *ret_len);
const uint8_t *translated_last(size_t *ret_len);

/* Runs it from cpu->rip, up to where another block begins. False with cpu->fault if it faulted. */
bool run_translation(struct cpu *cpu, const uint8_t *far_entry, enum block_entry begin);

/* An empty block at cpu->rip with room for BLOCK_MAX_INSNS instructions; one at a time. */
struct block *block_at(const struct cpu *cpu);
void block_add(struct block *block, const uint8_t *bytes, size_t len);

/* Flags that are not kept for the case that the instruction faults: it, or one behind it, writes all of them. */
uint64_t lost_flags(const struct block *block, unsigned at);

/* What a block did. */
struct outcome {
	bool ok;
	uint64_t regs[X86_REG_COUNT];
	uint64_t rip, rflags, cr2;
	uint8_t vector;
	uint32_t error;
	struct cpu_fx fx;
	uint8_t ymm_high[16][16];
	uint8_t memory[ORACLE_DATA_SIZE];
};

struct twins {
	struct differ differ;
	struct outcome before, interpreted, translated;
	bool addresses; /* in all registers, else in most */
	bool avx; /* random upper halves, else they are as they were */
	bool x87; /* random registers, nothing unmasked */
	unsigned alignment; /* bytes, of most addresses in registers; 0: none */
	uint64_t refused; /* blocks that cannot be translated */
	uint64_t finished; /* by the interpreter, because the translation was left in the middle */
	uint64_t begun[BLOCK_ENTRIES]; /* by the entry that the translation was begun at */
	enum block_entry begin; /* of the last one */
};

/*
 * Starts all of the above, at addresses that are the same each time: what the oracle says is not asked. A 64-bit system that lets
 * programs use x87 and SSE, whose exceptions are masked.
 */
void twins_start(struct twins *twins);
void twins_stop(struct twins *twins);

/* Makes an instruction, to stand at rip; its length, or 0 for another try. */
typedef unsigned random_insn_fn(struct differ *differ, uint64_t rip, uint8_t *bytes);

/* Runs many blocks of 2 to 8 such instructions both ways. Differences are counted in differ, and reported. */
void twins_run(struct twins *twins, random_insn_fn *random_insn, unsigned blocks);

/* Random registers and flags; cpu->rip stays. */
void twins_random_state(struct twins *twins);

/* How memory answers: through the TLB or not, as a device; turns of 64 with some page or other having code. */
void twins_random_memory(struct twins *twins, uint64_t turn);

/*
 * Runs the block both ways from the processor's and the memory's state, the translation begun at any of its entries. bytes are its
 * source, for the report of a difference. True if it ran to its end.
 */
bool twins_compare(struct twins *twins, const struct block *block, const uint8_t *bytes);

#endif
