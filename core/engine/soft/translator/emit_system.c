/* SPDX-License-Identifier: MIT */
/* Instructions on what is neither in registers nor in memory: IF, DF, GS, time. */
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/translator/unit.h"

/* An instruction on the byte of cpu->rflags that IF and DF are in. */
static void emit_on_flags(struct unit *u, uint8_t opcode, unsigned extension, uint8_t imm)
{
	const struct host_op op = {.opcode = opcode, .imm_size = 1, .imm = imm};

	emit_op(u->e, &op, extension, host_state(offsetof(struct cpu, rflags) + 1));
}

/* Clears one of them. */
static void emit_clear(struct unit *u, unsigned flag)
{
	if (u->live) {
		unit_emit_flags_out(u);
	}
	emit_on_flags(u, 0x80, ALU_AND, (uint8_t) ~(flag >> 8));
	if (u->live) {
		unit_emit_flags_in(u);
	}
}

void insn_emit_cli(struct unit *u)
{
	emit_clear(u, X86_FLAG_IF);
}

void insn_emit_cld(struct unit *u)
{
	emit_clear(u, X86_FLAG_DF);
}

/* Called out if an interrupt may wait for IF. */
void insn_emit_sti(struct unit *u)
{
	const struct host_op cmp = {.opcode = 0x80, .imm_size = 1};
	const struct host_op mov = {.opcode = 0xc6, .imm_size = 1, .imm = INTERRUPT_SHADOW_STI};
	uint8_t *done;

	unit_settle(u);
	if (u->live) {
		unit_emit_flags_out(u);
	}
	emit_on_flags(u, 0xf6, 0, X86_FLAG_IF >> 8);
	done = emit_jcc(u->e, CONDITION_NOT_EQUAL);
	emit_op(u->e, &cmp, ALU_CMP, STATE(interrupt_held));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_NOT_EQUAL), u->live);
	emit_on_flags(u, 0x80, ALU_OR, X86_FLAG_IF >> 8);
	emit_op(u->e, &mov, 0, STATE(interrupt_shadow));
	emit_here(u->e, done);
	if (u->live) {
		unit_emit_flags_in(u);
	}
	unit_emit_next(u, (int64_t)u->offset + u->insn->length);
}

void insn_emit_swapgs(struct unit *u)
{
	const size_t gs = X86_GS * sizeof(uint64_t);

	emit_load(u->e, HOST_R14, host_state(offsetof(struct cpu, seg_base) + gs));
	emit_load(u->e, HOST_R15, STATE(msr.kernel_gs_base));
	emit_store(u->e, STATE(msr.kernel_gs_base), HOST_R14);
	emit_store(u->e, host_state(offsetof(struct cpu, seg_base) + gs), HOST_R15);
	emit_store(u->e, STATE(seg[X86_GS].base), HOST_R15);
}

void insn_emit_fence(struct unit *u)
{
	emit8(u->e, 0x0f);
	emit8(u->e, 0xae);
	emit8(u->e, u->insn->modrm);
}

/* rax and rdx get the halves of rdx:rax plus the guest's offset. */
static void emit_guest_tsc(struct unit *u)
{
	const struct host_op shift32 = {.opcode = 0xc1, .rex_w = true, .imm_size = 1, .imm = 32};

	emit_op(u->e, &shift32, 4, host_register(HOST_RDX));
	emit_alu(u->e, ALU_OR, HOST_RAX, host_register(HOST_RDX));
	emit_alu(u->e, ALU_ADD, HOST_RAX, STATE(tsc_offset));
	emit_store(u->e, host_register(HOST_RDX), HOST_RAX);
	emit_op(u->e, &shift32, 5, host_register(HOST_RDX));
	emit_store32(u->e, host_register(HOST_RAX), HOST_RAX);
}

/* A guest that wants it behind what it read before says so itself, with a fence that is the host's, too. */
void insn_emit_rdtsc(struct unit *u)
{
	const struct host_op cmp = {.opcode = 0x80, .imm_size = 1};
	const struct host_op test = {.opcode = 0xf6, .imm_size = 1, .imm = X86_CR4_TSD};

	if (u->live) {
		unit_emit_flags_out(u);
	}
	emit_op(u->e, &cmp, ALU_CMP, STATE(tsc_virtual));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_NOT_EQUAL), u->live);
	emit_op(u->e, &test, 0, STATE(cr4));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_NOT_EQUAL), u->live);
	if (u->live) {
		emit_store32(u->e, host_register(HOST_R15), HOST_RAX);
	}
	emit8(u->e, 0x0f);
	emit8(u->e, 0x31);
	emit_guest_tsc(u);
	if (u->live) {
		emit_store(u->e, host_register(HOST_R14), HOST_RAX);
		emit_store32(u->e, host_register(HOST_RAX), HOST_R15);
		emit_flags_in(u->e);
		emit_store(u->e, host_register(HOST_RAX), HOST_R14);
	}
}
