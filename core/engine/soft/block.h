/* SPDX-License-Identifier: MIT */
/*
 * Decoded code. A block is a run of instructions inside one guest-physical page, decoded and bound
 * once; it is found again by physical address and mode. Each vCPU has its own cache (struct
 * block_cache, vCPU thread only); all vCPUs of a machine share a code map: for each guest-physical
 * page, whether blocks come from it and how often it was written since (its generation). A block is
 * run only while its page has the generation that it was decoded from.
 *
 * Two ways lead to a write: a store of a vCPU into a page with blocks takes the MMU's slow path and
 * is reported by code_written() (mmu.h); writes of devices are reported by code_map_written(), on
 * any thread.
 */
#ifndef CORE_ENGINE_SOFT_BLOCK_H
#define CORE_ENGINE_SOFT_BLOCK_H

#include "core/engine/soft/cpu.h"

struct code_map;

/* Most instructions in a block: bounds what one pass between two looks at cpu->request can take. */
#define BLOCK_MAX_INSNS 64

/* Room for the successors that a block remembers: a branch's two ways. */
#define BLOCK_SUCCESSORS 2

/* No distance between two addresses of a page. */
#define BLOCK_NO_DELTA INT64_MIN

/* What lockstep.c makes of a block. */
enum block_lockstep {
	BLOCK_LOCKSTEP_UNKNOWN,
	BLOCK_LOCKSTEP_TWICE, /* can be run, undone and run again */
	BLOCK_LOCKSTEP_ONCE,
};

struct block {
	uint64_t physical; /* guest-physical address of the first byte */
	const uint32_t *generation_now; /* the page's, in the code map; atomic */
	uint32_t generation; /* as decoded */
	uint16_t bytes; /* length of all instructions */
	uint8_t count; /* of instructions, at least one */
	uint8_t mode; /* enum insn_mode */
	bool dead; /* its bytes changed: not to be entered again */
	bool untranslatable; /* the translator will not have it */
	uint8_t lockstep; /* enum block_lockstep */
	uint8_t heat; /* how often it was interpreted, up to what makes it worth translating */
	const uint8_t *translation[TLB_ALIGNED]; /* by TLB set: far entries; NULL: none */
	/*
	 * After the last instruction execution goes on at next_rip with nothing else to see to: no
	 * change of mode, privilege or interrupt flag is possible.
	 */
	bool chains;
	/*
	 * The one instruction of this block goes on in this next page; physical address of that
	 * page, or 0.
	 */
	uint64_t second_page;
	const uint32_t *second_generation_now;
	uint32_t second_generation;

	/*
	 * Blocks of the same page that have followed, by distance of their first byte from this
	 * one's.
	 */
	int64_t successor_delta[BLOCK_SUCCESSORS];
	struct block *successor[BLOCK_SUCCESSORS];

	struct block *hash_next;
	uint8_t *source; /* the bytes it was decoded from, bytes of them */
	struct insn insns[];
};

/*
 * What the run loop touches of the cache. The entry is for a linear address as seen with context,
 * which names everything that can change what lies there: mode, privilege, translation.
 */
#define BLOCK_JUMPS 4096u
#define BLOCK_NO_CONTEXT UINT64_MAX

struct block_jump {
	uint64_t linear;
	uint64_t context;
	struct block *block;
};

#define BLOCK_HASH_BITS 15
#define BLOCK_PAGE_HASH_BITS 12

struct code_page;

struct block_cache {
	/*
	 * The run loop's: the block under way (NULL: none), where it started, and the instruction
	 * that it stops before.
	 */
	struct block *running;
	uint64_t running_rip;
	const struct insn *end;
	bool stepping; /* one instruction under the debugger's eye; what it started with: */
	uint8_t step_shadow;
	uint64_t step_flags;

	struct block_jump jumps[BLOCK_JUMPS];

	/* block.c's. */
	struct code_map *map;
	struct block *hash[1u << BLOCK_HASH_BITS];
	struct code_page *pages[1u << BLOCK_PAGE_HASH_BITS];
	uint8_t *arena; /* blocks live here until all of them are dropped at once */
	size_t arena_size, arena_used;
	uint64_t clears; /* how often everything was dropped: pointers from before are void */
	bool full; /* no room for code: everything is to be dropped between two blocks */
	struct translator *translator; /* NULL: none */
	uint64_t decoded, killed; /* blocks; statistics */
	uint64_t reviewed; /* how many of the map's written pages were looked at */

	/* By map and opcode: what raised #UD and was reported. exec_undefined()'s. */
	uint8_t undefined_seen[4][32];
};

struct code_map *code_map_create(void);
void code_map_destroy(struct code_map *map);

/*
 * Memory was written by a device or by another process. Any thread; after the bytes are there. True if there was code.
 */
bool code_map_written(struct code_map *map, uint64_t physical, uint64_t len);

/* size: bytes of decoded instructions that are kept, 64 KiB at least. */
struct block_cache *block_cache_create(struct code_map *map, size_t size);
void block_cache_destroy(struct block_cache *cache);

/* Forgets all blocks: for reset, restore and a debugger's breakpoints. Not while a block runs. */
void block_cache_clear(struct block_cache *cache);

/*
 * The block whose first byte is at linear, fresh; decoded if need be. Raises #PF, #GP (address not
 * canonical, instruction too long) as the fetch deserves. Valid until the next call, which may drop
 * everything (clears counts).
 */
struct block *block_lookup(struct cpu *cpu, uint64_t linear);

/* Drops the translations whose bytes were changed by others since the last time. */
void block_cache_review(struct cpu *cpu);

/* The cheap half: whether the block may be entered at once. */
static inline bool block_fresh(const struct block *block)
{
	return !block->dead &&
	       block->generation == __atomic_load_n(block->generation_now, __ATOMIC_ACQUIRE);
}

/* Where the instruction at rip is, as a linear address. */
static inline uint64_t block_linear(const struct cpu *cpu, uint64_t rip)
{
	uint64_t linear = cpu->seg_base[X86_CS] + rip;

	return cpu->mode == INSN_MODE_64 ? linear : (uint32_t)linear;
}

#endif
