/* SPDX-License-Identifier: MIT */
/*
 * A block while its translation is emitted, and what the parts of the emitter use of each other: memory operands
 * (emit_memory.c), instructions that stay what they are (emit_insn.c), the stack and control flow (emit_branch.c). What
 * holds while the emitted code runs is in code.h; r14 and r15 are free between instructions.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_UNIT_H
#define CORE_ENGINE_SOFT_TRANSLATOR_UNIT_H

#include "core/engine/soft/block.h"
#include "core/engine/soft/translator/code.h"
#include "core/engine/soft/translator/merge.h"
#include "core/engine/soft/translator/shape.h"

/* A field of struct cpu, as an operand. */
#define STATE(field) host_state(offsetof(struct cpu, field))

/* ALU operations, as opcode extensions, and conditions of branches. */
enum unit_alu {
	ALU_ADD = 0,
	ALU_OR = 1,
	ALU_AND = 4,
	ALU_SUB = 5,
	ALU_CMP = 7,
};

enum unit_condition {
	CONDITION_ABOVE_EQUAL = 3,
	CONDITION_EQUAL = 4,
	CONDITION_NOT_EQUAL = 5,
	CONDITION_BELOW_EQUAL = 6,
	CONDITION_ABOVE = 7,
};

#define PAGE_OFFSET(address) ((address) & (GUEST_PAGE_SIZE - 1))

#define UNIT_SLOW_PATHS 4 /* that an instruction has at most */
#define UNIT_NO_OFFSET UINT32_MAX

/* A way out of the straight line: the instruction is executed by the interpreter's function. */
struct slow_path {
	uint8_t *from; /* the branch's displacement */
	uint8_t *back; /* where to go on; NULL: the instruction ends the block */
	uint32_t offset; /* of the instruction in its page */
	bool flags_in_rax; /* with rax in scratch[1] */
	bool flags_stored; /* in packed_flags */
	struct halves dirty; /* vector registers to be stored before */
	struct halves loaded; /* vector registers to be loaded after */
	bool brings_in_x87; /* it does no more than that, before the instruction */
	bool x87; /* it is brought in after */
	uint32_t x87_pointer; /* as in struct unit, to be stored before */
	/* Of operands that were checked together: instead of the above they are checked one by one. */
	bool apart;
	unsigned first, last; /* instructions, by index */
	struct halves loaded_before;
	bool x87_before;
};

struct unit {
	struct emitter *e;
	struct code *code;
	unsigned set;
	const struct block *block;
	struct shape shapes[BLOCK_MAX_INSNS];
	uint16_t needed[BLOCK_MAX_INSNS]; /* flags from before each instruction that it or later ones need */
	/*
	 * Flags are in packed_flags, not in the host's, while the instruction is executed: where it and its neighbours leave them
	 * alone but look into the TLB, and behind the last instruction that touches them if the block is left by the table of
	 * targets.
	 */
	bool stored[BLOCK_MAX_INSNS];
	struct merge_plan plan;
	unsigned index; /* of insn */
	bool apart; /* operands are not checked together */
	const struct insn *insn; /* being translated */
	struct shape shape;
	uint32_t offset; /* of insn in its page */
	bool live; /* some flag from before insn is needed by it or later */
	struct halves loaded; /* vector registers that the host has */
	struct halves dirty; /* of these, newer than those of the guest's state */
	bool vex; /* some instruction of the block has a VEX prefix and is on vectors */
	bool whole; /* on all of them, or is VZEROUPPER; else no upper half is in use */
	bool upper; /* some upper half may be; means nothing unless whole */
	/*
	 * Of a block that ends in a jump to its beginning: where that goes, NULL for other blocks; and what is loaded by all entries
	 * and may be dirty from then on, because it is written somewhere in it. So it is stored where the loop is left, not each time
	 * around.
	 */
	const uint8_t *again;
	struct halves carried;
	bool x87; /* the host has the guest's x87 state */
	uint32_t x87_pointer; /* offset of the last x87 instruction, if not known to the guest's state */
	unsigned slow_count;
	struct slow_path slow[2 * UNIT_SLOW_PATHS * BLOCK_MAX_INSNS];
};

/* The guest register in a host register: its home, or loaded into the given one. */
unsigned unit_reg_in(struct unit *u, unsigned reg, unsigned scratch);

/* The guest register gets what a host register has. */
void unit_reg_to(struct unit *u, unsigned reg, unsigned host);

/* host = the address of what lies offset from the current page. Flags stay. */
void unit_emit_rip(struct unit *u, unsigned host, int64_t offset);

/* r14 = the offset part of the memory operand, less below. Uses r15. Flags stay. */
void unit_emit_offset(struct unit *u, int32_t below);

/* Whether r14 is near the operand already: another was checked for both. Then unit_joined() is where it is. */
bool unit_joins(const struct unit *u);
struct host_rm unit_joined(const struct unit *u);

/* How far below its operand the instruction has to check from; 0 unless it checks for others. */
int32_t unit_below(const struct unit *u);

/* r14, unit_below() a linear address, becomes the host's; or the slow path is taken. Where the operand is. Uses r15. */
struct host_rm unit_emit_translate(struct unit *u, unsigned size, bool write);

/* The branch with the displacement at from takes the current instruction's slow path; flags_in_rax: with the flags saved. */
void unit_add_slow(struct unit *u, uint8_t *from, bool flags_in_rax);

/* The flags kept in rax, and its value elsewhere; and back. */
void unit_emit_flags_out(struct unit *u);
void unit_emit_flags_in(struct unit *u);

/* The flags to packed_flags, and back. Use r15. */
void unit_emit_flags_store(struct unit *u);
void unit_emit_flags_load(struct unit *u);

/* Whether they are there while the instruction under way is executed. */
static inline bool unit_flags_stored(const struct unit *u)
{
	return u->stored[u->index];
}

/* Where the host has the memory operand: near r14. Uses r15. */
struct host_rm unit_emit_memory_operand(struct unit *u, unsigned size, bool write);

/* Which vector registers an instruction takes as they are before it, and which it writes. */
struct vector_use {
	struct halves reads, writes;
};

/* Of an instruction that unit_want_vectors() is for. */
struct vector_use insn_vectors(const struct insn *insn, const struct shape *shape);

/* From the guest's state to the host's registers, an upper half with the lower one or behind it; and back. */
void unit_load_vectors(struct unit *u, struct halves which);
void unit_store_vectors(struct unit *u, struct halves which);

/* The same in less room, off the straight line. Use r15. */
void unit_load_many_vectors(struct unit *u, struct halves which);
void unit_store_many_vectors(struct unit *u, struct halves which);

/* The current instruction's vectors are the host's from here on. */
void unit_want_vectors(struct unit *u);

/* Whether the host's upper halves may be in use, and VZEROUPPER if so: before whatever leaves the translation. */
bool unit_uses_upper(const struct unit *u);
void unit_emit_zero_upper(struct unit *u);

/* Brings the guest's state up to date: before whatever leaves the translation. Flags and r14 stay. */
void unit_settle(struct unit *u);

/* The host's x87 state is the guest's from here on. */
void unit_want_x87(struct unit *u);

/* x87 instructions; emit_x87.c. */
void insn_emit_x87(struct unit *u);
void insn_emit_fldcw(struct unit *u);

/* Executes an instruction by the interpreter's function; last: it ends the block. */
void unit_emit_call_out(struct unit *u, uint32_t offset, bool last);

/* What the block's straight line branches to where the TLB does not help. */
void unit_emit_slow_path(struct unit *u, const struct slow_path *slow);

/* Whether the shape is emitted in line for this instruction. */
bool insn_is_emitted(const struct insn *insn, const struct shape *shape);

/* Whether an emitted instruction may read or write arithmetic flags. */
bool insn_touches_flags(const struct insn *insn, const struct shape *shape);

/* Instructions by shape; emit_insn.c. */
void insn_emit_modrm(struct unit *u);
void insn_emit_implicit(struct unit *u);
void insn_emit_short(struct unit *u);
void insn_emit_lea(struct unit *u);
void insn_emit_divide(struct unit *u);

/* With a VEX prefix; emit_avx.c. */
void insn_emit_vex(struct unit *u);
void insn_emit_vex_general(struct unit *u);
void insn_emit_zero_upper(struct unit *u);

/* The same of the stack; emit_branch.c. */
void insn_emit_push(struct unit *u);
void insn_emit_pop(struct unit *u);
void insn_emit_leave(struct unit *u);
void insn_emit_pushf(struct unit *u);

/* What a kernel's entries and locks are made of, and a few that programs have, too; emit_system.c. */
void insn_emit_cli(struct unit *u);
void insn_emit_cld(struct unit *u);
void insn_emit_swapgs(struct unit *u);
void insn_emit_rdtsc(struct unit *u);
void insn_emit_fence(struct unit *u);
void insn_emit_sti(struct unit *u); /* ends a block */

/* Ends of blocks; emit_branch.c. */
void insn_emit_jcc(struct unit *u);
void insn_emit_jmp(struct unit *u);
void insn_emit_call(struct unit *u);
void insn_emit_ret(struct unit *u);
void insn_emit_jmp_indirect(struct unit *u);
void insn_emit_call_indirect(struct unit *u);

/* Whether the block's last instruction wants flags in packed_flags: calls, returns, and what leads to the table of targets. */
bool insn_stores_flags(const struct insn *insn, const struct shape *shape, uint32_t offset);

/* To what follows the block, at an offset from its page. */
void unit_emit_next(struct unit *u, int64_t next);

#endif
