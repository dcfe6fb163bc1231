/* SPDX-License-Identifier: MIT */
/*
 * The translator: blocks that have run often enough become host code. The interpreter stays for the rest: cold code, other
 * modes than 64-bit, instructions under a debugger's eye. vCPU thread only.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_TRANSLATE_H
#define CORE_ENGINE_SOFT_TRANSLATOR_TRANSLATE_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/perf_map.h"
#include "core/engine/soft/translator/emit_block.h"

struct translator;

/* One for each vCPU; code_size in bytes. NULL if the host gives no memory for code. */
struct translator *translator_create(struct cpu *cpu, size_t code_size);
void translator_destroy(struct translator *translator);

/* Bytes of its tables, beside the code. */
size_t translator_table_bytes(void);

/* Forgets all translations: the blocks they come from are being dropped. */
void translator_clear(struct translator *translator);

/* The far entry of the block's translation for a TLB set; NULL: none. */
const uint8_t *translator_entry(
		const struct translator *translator, const struct block *block, unsigned set);

/* A block is dead: no translation leads into it from now on. */
void translator_kill(struct translator *translator, struct block *block);

/*
 * The translation of a block for the processor's current privilege, made if it has run often enough; NULL: interpret it.
 * The block is fresh and at cpu->rip; a hot one moves to where it is kept.
 */
const uint8_t *translator_find(struct translator *translator, struct block **block);

/*
 * Runs translated code from the block at cpu->rip, whose translation is entry. Returns with rip at the next instruction;
 * false if the run loop has something to attend to. An exception unwinds to the run loop.
 */
bool translator_run(struct translator *translator, const uint8_t *entry);

/*
 * Runs that block alone, from its first instruction, begun the given way. Nothing is linked, so translated code is left where the
 * block ends, if not before. faults: a branch to no address raises #GP where it is; else rip is that address.
 */
void translator_run_alone(struct translator *translator, const uint8_t *far_entry,
		enum block_entry begin, bool faults);

#endif
