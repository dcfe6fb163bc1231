/* SPDX-License-Identifier: MIT */
/*
 * Translated code: the memory it lies in, how the run loop enters it, and how it comes back.
 *
 * While translated code runs, the guest's registers are the host's: rax to rdi and r8 to r12 by their own numbers, rsp in
 * r13; r13 to r15 stay in struct cpu, which GS points at. r14 and r15 are scratch, the host's rsp is the host's. The arithmetic
 * flags are in the host's. cpu->page_rip is the page that execution is in: addresses are sums of it and offsets known when
 * translating, because one translation serves wherever its physical page is mapped.
 *
 * From page to page, and wherever else the table of targets leads, flags are in cpu->packed_flags instead, because hardly any
 * block looks at them.
 *
 * A block has these entries. The far one takes the target's rip in r14 and sets page_rip; the stored one, behind that, is for jumps
 * inside a page that come with flags in packed_flags, calls; the near one is for other
 * jumps inside a page; it loads the XMM registers that the block reads before it writes them. The warm one is behind that, for
 * jumps that come with these registers loaded; so is the stored warm one, for those that have flags in packed_flags. Each vCPU has its own code; vCPU thread only.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_CODE_H
#define CORE_ENGINE_SOFT_TRANSLATOR_CODE_H

#include "core/engine/soft/cpu.h"
#include "core/engine/soft/translator/emit.h"

/* Most bytes a block can take; a translation starts only where as much is free. */
#define CODE_BLOCK_MAX (64 * KiB)

/* Why translated code came back. */
enum code_exit {
	CODE_EXIT_LOOKUP, /* rip is where no translation was found */
	CODE_EXIT_LINK, /* the same, and the jump at exit_site may be made to lead there */
	CODE_EXIT_ATTEND, /* a request, or an instruction after which there is something to see to */
};

/* Where a guest register lives while translated code runs; HOST_NONE: in struct cpu. */
static inline unsigned code_home(unsigned reg)
{
	return reg == X86_RSP ? HOST_R13 : reg < X86_R13 ? reg : HOST_NONE;
}

/* Its place in struct cpu. */
static inline struct host_rm code_reg_state(unsigned reg)
{
	return host_state(offsetof(struct cpu, regs) + reg * sizeof(uint64_t));
}

/*
 * Whether there is translated code for the state that the processor is in. CPL 1 and 2 are interpreted: the supervisor's
 * translations are for CPL 0.
 */
static inline bool code_holds(const struct cpu *cpu)
{
	return cpu->mode == INSN_MODE_64 && cpu->tlb_set != TLB_ALIGNED &&
	       (cpu->cpl == 0 || cpu->cpl == 3);
}

struct code;

/* name as in code_memory_map(), size in bytes. NULL with errno if the host gives no memory. */
struct code *code_create(const char *name, size_t size);
void code_destroy(struct code *code);

/* Forgets all translations. */
void code_clear(struct code *code);

/* Starts a translation; false if the memory is used up. Addresses are those of the writable view. */
bool code_begin(struct code *code, struct emitter *ret_emitter);

/* Keeps what was emitted. */
void code_end(struct code *code, const struct emitter *emitter);

size_t code_used(const struct code *code); /* bytes */
const uint8_t *code_base(const struct code *code); /* of the executable view */

/* The place in the executable view of one in the writable view. */
const uint8_t *code_executable(const struct code *code, const uint8_t *writable);
uint8_t *code_writable(const struct code *code, const uint8_t *executable);

/* Shared pieces that translations lead to, in the writable view. */
const uint8_t *code_call_out(const struct code *code); /* r14: offset from page_rip, r15: bytes */
const uint8_t *code_call_out_last(const struct code *code); /* the same for one that ends a block */
const uint8_t *code_bring_in_x87(
		const struct code *code); /* the same for one on x87 state, before it */
const uint8_t *code_attend(const struct code *code); /* r14: offset of the next instruction */

/* Vector registers, as bits, by halves: XMM, and what AVX adds to it. */
struct halves {
	uint16_t low, high;
};

/* What is in the first and not in the second. */
static inline struct halves halves_without(struct halves a, struct halves b)
{
	return (struct halves){(uint16_t)(a.low & ~b.low), (uint16_t)(a.high & ~b.high)};
}

static inline struct halves halves_join(struct halves a, struct halves b)
{
	return (struct halves){(uint16_t)(a.low | b.low), (uint16_t)(a.high | b.high)};
}

/* A jump inside a page that may be made to lead to a translation: until then it leaves. */
struct code_site {
	bool flags_stored; /* in packed_flags */
	bool upper; /* upper halves may be in use: VZEROUPPER is in front of it */
	struct halves loaded; /* the host has these then, as long as it is not for VZEROUPPER */
};

/* offset: of the target in its page. */
void code_emit_site(const struct code *code, struct emitter *emitter, uint32_t offset,
		struct code_site site);

/* The tables of targets: an entry each for every four bytes of 64 KiB, as two returns to the same four are rare. */
#define CODE_JUMPS 16384u

struct code_jump {
	uint64_t target;
	const uint8_t *entry; /* far */
};
_Static_assert(sizeof(struct code_jump) == 16,
		"code_jump_index() in bytes is four times the address");

static inline unsigned code_jump_index(uint64_t target)
{
	return target >> 2 & (CODE_JUMPS - 1);
}

/* What an empty entry has for a target: one that belongs to another entry. */
static inline uint64_t code_jump_never(unsigned index)
{
	return index == 0 ? 4 : 0;
}

/* A jump to the address in r14, or out of translated code. Each place has its own, which the host's branch prediction knows. */
void code_emit_lookup(const struct code *code, struct emitter *emitter);

/* What was said of the site there (writable view). */
struct code_site code_site_at(const uint8_t *site);

/* Takes the VZEROUPPER in front of a site away, which then leads to code that uses upper halves, too. */
void code_keep_upper(uint8_t *site);

/* The host's upper halves are zero from here on: what follows can do SSE without waiting for them. */
void code_emit_zero_upper(struct emitter *emitter);

/* Runs from an entry (executable view) until there is a reason to come back. GS must point at the current slot's view of cpu (view.h). */
enum code_exit code_run(struct code *code, struct cpu *cpu, const uint8_t *entry);

#endif
