/* SPDX-License-Identifier: MIT */
/*
 * Decoded code. A block is a run of instructions inside one guest-physical page, decoded and bound
 * once; it is found again by physical address and mode. Each vCPU has its own cache (struct
 * block_cache, vCPU thread only); what all of them know of a page is in the code map (code_map.h).
 *
 * Two ways lead to a write: a store of a vCPU into a page with blocks takes the MMU's slow path and
 * is reported by code_written() (mmu.h); writes of devices are reported by code_map_written(), on
 * any thread.
 */
#ifndef CORE_ENGINE_SOFT_BLOCK_H
#define CORE_ENGINE_SOFT_BLOCK_H

#include "core/engine/soft/code_map.h"
#include "core/engine/soft/cpu.h"

#include <string.h>

/* Most instructions in a block: bounds what one pass between two looks at cpu->request can take. */
#define BLOCK_MAX_INSNS 64

/* Room for the successors that a block remembers: a branch's two ways. */
#define BLOCK_SUCCESSORS 2

/* No distance between two addresses of a page. */
#define BLOCK_NO_DELTA INT16_MIN

/* Times that a block is interpreted before it is kept, and worth translating. */
#define BLOCK_HOT 32

/* What lockstep.c makes of a block. */
enum block_lockstep {
	BLOCK_LOCKSTEP_UNKNOWN,
	BLOCK_LOCKSTEP_TWICE, /* can be run, undone and run again */
	BLOCK_LOCKSTEP_ONCE,
};

struct block;

/* What only the interpreter needs of a block, beside its instructions. */
struct block_links {
	/*
	 * Blocks of the same page that have followed, by distance of their first byte from this
	 * one's; of a young block void unless the cache's epoch is still this one. Kept ones remember
	 * none but kept ones.
	 */
	uint32_t epoch;
	int16_t successor_delta[BLOCK_SUCCESSORS];
	struct block *successor[BLOCK_SUCCESSORS];
	struct block *moved; /* of a young block that is dead: where it is kept; or NULL */
	/* Of a block that straddles: the next page, and who else is there. */
	struct block *second_next;
	uint64_t second_page;
	const uint32_t *second_generation_now;
	uint32_t second_generation;
};

struct block {
	uint64_t physical; /* guest-physical address of the first byte */
	const uint32_t *generation_now; /* the page's, in the code map; atomic */
	uint32_t generation; /* as decoded */
	uint32_t translation[TLB_ALIGNED]; /* by TLB set: translator_entry(); 0: none */
	uint16_t bytes; /* length of all instructions */
	uint8_t count; /* of instructions, at least one */
	uint8_t mode : 2; /* enum insn_mode */
	uint8_t lockstep : 2; /* enum block_lockstep */
	uint8_t heat; /* how often it was interpreted, up to BLOCK_HOT */
	bool dead : 1; /* its bytes changed: not to be entered again */
	bool kept : 1; /* hot: stays until everything is dropped */
	bool straddles : 1; /* its one instruction goes on in the next page */
	bool untranslatable : 1; /* the translator will not have it */
	/*
	 * After the last instruction execution goes on at next_rip with nothing else to see to: no
	 * change of mode, privilege or interrupt flag is possible.
	 */
	bool chains : 1;
	struct block *hash_next;
	struct block *page_next; /* of those in its page */
	struct insn *insns; /* count of them; NULL: see block_insns() */
	struct block_links *links; /* NULL: it is kept to be translated */
	uint8_t source[]; /* the bytes it was decoded from, bytes of them */
};
_Static_assert(sizeof(struct block) == 72, "there are tens of thousands");

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

/*
 * Where new blocks live: a ring. Those in its oldest part go when room is needed, so code that runs a few times takes no
 * memory for long; a block that turns out to be hot is moved to where it is kept.
 */
#define BLOCK_YOUNG_PARTS 4u

struct block_young {
	uint8_t *memory;
	size_t part_size;
	size_t used[BLOCK_YOUNG_PARTS]; /* bytes of each */
	unsigned part; /* the newest one */
};

/* How hot blocks were that had to go, so that those of a loop larger than the ring are kept in the end. */
#define BLOCK_WARMTHS_BITS 15

struct block_warmth {
	uint16_t tag : 10; /* tells blocks with the same entry apart, most often */
	uint16_t heat : 6; /* 0: of no block */
};
_Static_assert(BLOCK_HOT < 64, "bits for heat");

/* Instructions that translated code had executed for it, decoded: found by where their bytes are kept. */
#define BLOCK_CALLED_OUT 1024u

struct block_called_out {
	uint64_t bytes[2]; /* the instruction's own, and what followed */
	struct insn insn;
};

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
	struct block_young young;
	uint8_t *kept; /* hot blocks live here until everything is dropped */
	size_t kept_size, kept_used;
	struct block_warmth warmths[1u << BLOCK_WARMTHS_BITS];
	uint64_t clears; /* how often everything was dropped: translations from before are void */
	uint32_t epoch; /* how often anything was dropped: pointers to blocks from before are void */
	struct block *expanded; /* the kept block whose instructions are in expansion; NULL: none */
	struct insn expansion[BLOCK_MAX_INSNS];
	struct block_called_out called_out[BLOCK_CALLED_OUT];
	bool full; /* no room for code: everything is to be dropped between two blocks */
	struct translator *translator; /* NULL: none */
	uint64_t decoded, killed; /* blocks; statistics */
	uint64_t reviewed; /* how many of the map's written pages were looked at */

	/* By map and opcode: what raised #UD and was reported. exec_undefined()'s. */
	uint8_t undefined_seen[4][32];
};

/* size: bytes of decoded code, 64 KiB at least. */
struct block_cache *block_cache_create(struct code_map *map, size_t size);
size_t block_cache_size(const struct block_cache *cache);
void block_cache_destroy(struct block_cache *cache);

/* Forgets all blocks: for reset, restore and a debugger's breakpoints. Not while a block runs. */
void block_cache_clear(struct block_cache *cache);

/*
 * The block whose first byte is at linear, fresh; decoded if need be. Raises #PF, #GP (address not
 * canonical, instruction too long) as the fetch deserves. Valid until the next call, which may drop
 * it (epoch counts).
 */
struct block *block_lookup(struct cpu *cpu, uint64_t linear);

/*
 * Moves a hot block to where it is kept and returns it there; the block itself if it is kept already. NULL if there is no
 * room: everything is to be dropped between two blocks. A block that has its instructions here is interpreted for ever; one
 * that is going to be translated has them until the next one is expanded.
 */
struct block *block_keep(struct cpu *cpu, struct block *block, bool with_insns);

/* Decodes a kept block's instructions again; block_insns() asks for it. */
void block_expand(struct cpu *cpu, struct block *block);

/*
 * The instruction whose bytes are kept there, of a block in 64-bit mode; at least 16 bytes can be read. Valid until the next
 * call.
 */
const struct insn *block_called_out_slow(struct cpu *cpu, const uint8_t *bytes);

/* Drops the translations whose bytes were changed by others since the last time. */
void block_cache_review(struct cpu *cpu);

/* The cheap half: whether the block may be entered at once. */
static inline bool block_fresh(const struct block *block)
{
	return !block->dead &&
	       block->generation == __atomic_load_n(block->generation_now, __ATOMIC_ACQUIRE);
}

/* The same, most often from what was decoded before. */
static inline const struct insn *block_called_out(struct cpu *cpu, const uint8_t *bytes)
{
	const struct block_called_out *known =
			&cpu->blocks->called_out[(uintptr_t)bytes % BLOCK_CALLED_OUT];
	uint64_t first, second;
	unsigned length = known->insn.length;

	memcpy(&first, bytes, sizeof(first));
	memcpy(&second, bytes + sizeof(first), sizeof(second));
	first ^= known->bytes[0];
	second ^= known->bytes[1];
	/* Bytes that follow the instruction may differ. */
	if (length <= 8 ? length && first << (64 - 8 * length) == 0
			: first == 0 && second << (128 - 8 * length) == 0) {
		return &known->insn;
	}
	return block_called_out_slow(cpu, bytes);
}

/* The block's instructions: there until another block's are asked for. */
static inline const struct insn *block_insns(struct cpu *cpu, struct block *block)
{
	if (unlikely(!block->insns)) {
		block_expand(cpu, block);
	}
	return block->insns;
}

/*
 * A block that has followed this one, as far as is known: NULL or alive. epoch: the cache's. For a block whose memory is sure to
 * be there.
 */
static inline const struct block *block_successor(
		const struct block *block, unsigned index, uint32_t epoch)
{
	const struct block_links *links = block->links;
	const struct block *next;

	if (!links || (!block->kept && links->epoch != epoch) ||
			links->successor_delta[index] == BLOCK_NO_DELTA) {
		return NULL;
	}
	next = links->successor[index];
	if (next->dead && !next->kept) {
		next = next->links->moved;
	}
	return next && !next->dead ? next : NULL;
}

static inline void block_forget_successors(struct block_links *links)
{
	for (unsigned i = 0; i < BLOCK_SUCCESSORS; i++) {
		links->successor_delta[i] = BLOCK_NO_DELTA;
	}
}

/* Where the instruction at rip is, as a linear address. */
static inline uint64_t block_linear(const struct cpu *cpu, uint64_t rip)
{
	uint64_t linear = cpu->seg_base[X86_CS] + rip;

	return cpu->mode == INSN_MODE_64 ? linear : (uint32_t)linear;
}

#endif
