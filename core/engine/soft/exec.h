/* SPDX-License-Identifier: MIT */
/*
 * From decoded instructions to the functions that execute them. Each bind function sets insn->exec
 * (never NULL: at worst to exec_undefined) for the classes it owns; binding happens once, when a
 * block is decoded.
 *
 * An exec function runs with cpu->rip at its instruction. One that ends a block
 * (INSN_FLAG_ENDS_BLOCK) finds cpu->next_rip set to the following instruction and overwrites it to
 * branch; others leave next_rip alone.
 */
#ifndef CORE_ENGINE_SOFT_EXEC_H
#define CORE_ENGINE_SOFT_EXEC_H

#include "core/engine/soft/avx.h"
#include "core/engine/soft/cpu.h"

/* INSN_CLASS_INTEGER: exec_alu.c, exec_move.c, exec_string.c, exec_branch.c, ... */
void exec_bind_integer(struct insn *insn);

/* INSN_CLASS_SYSTEM: exec_system.c, exec_far.c, exec_io.c, ... */
void exec_bind_system(struct insn *insn);

/*
 * INSN_CLASS_X87, MMX, SSE: exec_native.c. May build a native thunk for the instruction, shared
 * between equal ones; thunks live as long as the engine. The CPU's checks (#NM, #UD by CR0/CR4,
 * #MF, #XM) are made at execution.
 */
void exec_bind_native(struct insn *insn);

/* Raises #UD. */
void exec_undefined(struct cpu *cpu, const struct insn *insn);

/* Dispatches to one of the above by class. insn->exec is valid afterwards. */
static inline void exec_bind(struct insn *insn)
{
	switch ((enum insn_class)insn->insn_class) {
	case INSN_CLASS_INTEGER:
		exec_bind_integer(insn);
		break;
	case INSN_CLASS_SYSTEM:
		exec_bind_system(insn);
		break;
	case INSN_CLASS_X87:
	case INSN_CLASS_MMX:
	case INSN_CLASS_SSE:
		exec_bind_native(insn);
		break;
	case INSN_CLASS_AVX:
		exec_bind_avx(insn);
		break;
	case INSN_CLASS_UNDEFINED:
	default:
		insn->exec = exec_undefined;
		break;
	}
}

#endif
