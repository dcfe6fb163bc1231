/* SPDX-License-Identifier: MIT */
/* From system instructions to the functions that execute them. SDM vol. 2, appendix A. */
#include "core/engine/soft/exec_system.h"

#include "core/base/log.h"

#include <inttypes.h>

/*
 * Fences, cache line flushes and write-backs: every access here is in order and coherent already.
 */
static void exec_fence(struct cpu *cpu, const struct insn *insn)
{
	(void)cpu;
	(void)insn;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* A translated RDTSC may follow. */
	__asm__ volatile("lfence" ::: "memory");
}

/* CLFLUSH and its kin check their operand as a load of one byte does. */
static void exec_flush_line(struct cpu *cpu, const struct insn *insn)
{
	(void)mmu_load8(cpu, operand_linear(cpu, insn, 1, MMU_READ));
}

static insn_exec_fn *const legacy[256] = {
		[0x06] = exec_push_segment,
		[0x07] = exec_pop_segment,
		[0x0e] = exec_push_segment,
		[0x16] = exec_push_segment,
		[0x17] = exec_pop_segment,
		[0x1e] = exec_push_segment,
		[0x1f] = exec_pop_segment,
		[0x63] = exec_arpl,
		[0x6c] = exec_ins,
		[0x6d] = exec_ins,
		[0x6e] = exec_outs,
		[0x6f] = exec_outs,
		[0x8c] = exec_mov_from_segment,
		[0x8e] = exec_mov_to_segment,
		[0x9a] = exec_far_immediate,
		[0x9c] = exec_pushf,
		[0x9d] = exec_popf,
		[0xc4] = exec_load_far_pointer,
		[0xc5] = exec_load_far_pointer,
		[0xca] = exec_far_return,
		[0xcb] = exec_far_return,
		[0xcc] = exec_int3,
		[0xcd] = exec_int,
		[0xce] = exec_into,
		[0xcf] = exec_iret,
		[0xe4] = exec_in,
		[0xe5] = exec_in,
		[0xe6] = exec_out,
		[0xe7] = exec_out,
		[0xea] = exec_far_immediate,
		[0xec] = exec_in,
		[0xed] = exec_in,
		[0xee] = exec_out,
		[0xef] = exec_out,
		[0xf1] = exec_icebp,
		[0xf4] = exec_hlt,
		[0xfa] = exec_cli,
		[0xfb] = exec_sti,
		[0xff] = exec_far_memory,
};

static insn_exec_fn *const escaped[256] = {
		[0x02] = exec_lar,
		[0x03] = exec_lsl,
		[0x05] = exec_syscall,
		[0x06] = exec_clts,
		[0x07] = exec_sysret,
		[0x08] = exec_invd,
		[0x09] = exec_invd,
		[0x20] = exec_mov_from_cr,
		[0x21] = exec_mov_from_dr,
		[0x22] = exec_mov_to_cr,
		[0x23] = exec_mov_to_dr,
		[0x30] = exec_wrmsr,
		[0x31] = exec_rdtsc,
		[0x32] = exec_rdmsr,
		[0x33] = exec_rdpmc,
		[0x34] = exec_sysenter,
		[0x35] = exec_sysexit,
		[0xa0] = exec_push_segment,
		[0xa1] = exec_pop_segment,
		[0xa2] = exec_cpuid,
		[0xa8] = exec_push_segment,
		[0xa9] = exec_pop_segment,
		[0xb2] = exec_load_far_pointer,
		[0xb4] = exec_load_far_pointer,
		[0xb5] = exec_load_far_pointer,
		[0xc7] = exec_rdpid,
};

static insn_exec_fn *find_group_6(const struct insn *insn)
{
	static insn_exec_fn *const group[8] = {exec_store_selector, exec_store_selector, exec_lldt,
			exec_ltr, exec_verify, exec_verify};

	return group[(insn->modrm >> 3) & 7];
}

static insn_exec_fn *find_group_7(const struct insn *insn)
{
	static insn_exec_fn *const memory[8] = {exec_store_table, exec_store_table, exec_load_table,
			exec_load_table, exec_smsw, NULL, exec_lmsw, exec_invlpg};

	if (insn->is_memory) {
		return memory[(insn->modrm >> 3) & 7];
	}
	switch (insn->modrm) {
	case 0xc1:
	case 0xd9:
		return exec_hypercall;
	case 0xca:
		return exec_clac;
	case 0xcb:
		return exec_stac;
	case 0xd0:
		return exec_xgetbv;
	case 0xd1:
		return exec_xsetbv;
	case 0xf8:
		return exec_swapgs;
	case 0xf9:
		return exec_rdtscp;
	default:
		break;
	}
	switch ((insn->modrm >> 3) & 7) {
	case 4:
		return exec_smsw;
	case 6:
		return exec_lmsw;
	default:
		return NULL;
	}
}

static insn_exec_fn *find_group_15(const struct insn *insn)
{
	if (insn->is_memory) {
		return exec_flush_line;
	}
	return ((insn->modrm >> 3) & 7) < 4 ? exec_fsgsbase : exec_fence;
}

static insn_exec_fn *find(const struct insn *insn)
{
	if (insn->map == INSN_MAP_LEGACY) {
		return legacy[insn->opcode];
	}
	if (insn->map != INSN_MAP_0F) {
		return exec_invpcid; /* the only one */
	}
	switch (insn->opcode) {
	case 0x00:
		return find_group_6(insn);
	case 0x01:
		return find_group_7(insn);
	case 0xae:
		return find_group_15(insn);
	default:
		return escaped[insn->opcode];
	}
}

void exec_bind_system(struct insn *insn)
{
	insn->exec = find(insn);
	if (!insn->exec) {
		insn->exec = exec_undefined;
	}
}
