/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/unit.h"

static void emit_stack_move(struct unit *u, int32_t bytes)
{
	emit_lea(u->e, HOST_R13, host_memory(HOST_R13, HOST_NONE, 0, bytes));
}

/* Where the host has the new top of the stack. */
static struct host_rm emit_push_address(struct unit *u)
{
	if (unit_joins(u)) {
		return unit_joined(u);
	}
	emit_lea(u->e, HOST_R14, host_memory(HOST_R13, HOST_NONE, 0, -8 - unit_below(u)));
	return unit_emit_translate(u, 8, true);
}

/* What scratch[2] has. */
static void emit_push_scratch(struct unit *u)
{
	struct host_rm top = emit_push_address(u);

	emit_load(u->e, HOST_R15, STATE(scratch[2]));
	emit_store(u->e, top, HOST_R15);
	emit_stack_move(u, -8);
}

static void emit_push_memory(struct unit *u)
{
	emit_load(u->e, HOST_R14, unit_emit_memory_operand(u, 8, false));
	emit_store(u->e, STATE(scratch[2]), HOST_R14);
	emit_push_scratch(u);
}

void insn_emit_push(struct unit *u)
{
	if (u->insn->is_memory) {
		emit_push_memory(u);
		return;
	}
	struct host_rm top = emit_push_address(u);
	if (u->shape.rm_use) {
		emit_store(u->e, top, unit_reg_in(u, u->insn->rm, HOST_R15));
	} else {
		emit_store_imm(u->e, top, (int32_t)u->insn->imm);
	}
	emit_stack_move(u, -8);
}

/* The arithmetic flags are the host's, the others those of the guest's state. */
void insn_emit_pushf(struct unit *u)
{
	const struct host_op movzx8 = {.map = INSN_MAP_0F, .opcode = 0xb6, .rex = true};
	const struct host_op shift11 = {.opcode = 0xc1, .imm_size = 1, .imm = 11};
	const struct host_op shift8 = {.opcode = 0xc1, .imm_size = 1, .imm = 8};
	const int32_t others = ~(int32_t)(X86_FLAGS_ARITH | X86_FLAG_VM | X86_FLAG_RF);

	/* OF is in AL, the low byte of the flags in AH. */
	unit_emit_flags_out(u);
	emit_op(u->e, &movzx8, HOST_R15, host_register(HOST_RAX));
	emit_op(u->e, &shift11, 4, host_register(HOST_R15));
	emit_store32(u->e, host_register(HOST_R14), HOST_RAX);
	emit_op(u->e, &shift8, 5, host_register(HOST_R14));
	emit_op(u->e, &movzx8, HOST_R14, host_register(HOST_R14));
	emit_alu(u->e, ALU_OR, HOST_R15, host_register(HOST_R14));
	emit_load(u->e, HOST_R14, STATE(rflags));
	emit_alu_imm(u->e, ALU_AND, HOST_R14, others);
	emit_alu(u->e, ALU_OR, HOST_R15, host_register(HOST_R14));
	emit_store(u->e, STATE(scratch[2]), HOST_R15);
	unit_emit_flags_in(u);
	emit_push_scratch(u);
}

/* Where the host has 8 bytes at what a register points at. */
static struct host_rm emit_pointed_at(struct unit *u, unsigned host)
{
	if (unit_joins(u)) {
		return unit_joined(u);
	}
	emit_lea(u->e, HOST_R14, host_memory(host, HOST_NONE, 0, -unit_below(u)));
	return unit_emit_translate(u, 8, false);
}

void insn_emit_pop(struct unit *u)
{
	unsigned host = code_home(u->insn->rm) == HOST_NONE ? HOST_R15 : code_home(u->insn->rm);

	emit_load(u->e, host, emit_pointed_at(u, HOST_R13));
	if (u->insn->rm != X86_RSP) {
		emit_stack_move(u, 8);
	}
	unit_reg_to(u, u->insn->rm, host);
}

void insn_emit_leave(struct unit *u)
{
	struct host_rm top = emit_pointed_at(u, HOST_RBP);

	emit_lea(u->e, HOST_R13, host_memory(HOST_RBP, HOST_NONE, 0, 8));
	emit_load(u->e, HOST_RBP, top);
}

/* Looks whether anything is requested, without touching the flags; if so, leaves for target. */
static void emit_poll(struct unit *u, uint32_t target)
{
	uint8_t *quiet;

	emit_store(u->e, host_register(HOST_R15), HOST_RCX);
	emit_load32(u->e, HOST_RCX, STATE(request));
	quiet = emit_jrcxz(u->e);
	emit_store(u->e, host_register(HOST_RCX), HOST_R15);
	if (unit_flags_stored(u)) {
		unit_emit_flags_load(u);
	}
	unit_emit_zero_upper(u);
	emit_mov_imm(u->e, HOST_R14, target);
	emit_jmp_to(u->e, code_attend(u->code));
	emit_here8(u->e, quiet);
	emit_store(u->e, host_register(HOST_RCX), HOST_R15);
}

/* Goes on at an offset from the current page; back at or before insn with a look at requests. */
static void emit_chain(struct unit *u, int64_t target, int32_t stack_moved)
{
	if (target < 0 || target >= (int64_t)GUEST_PAGE_SIZE) {
		if (!unit_flags_stored(u)) {
			unit_emit_flags_store(u);
		}
		unit_emit_zero_upper(u);
		unit_emit_rip(u, HOST_R14, target);
		emit_store_imm(u->e, STATE(branch), stack_moved * 65536 + (int32_t)u->offset);
		code_emit_lookup(u->code, u->e);
		return;
	}
	if (target <= u->offset) {
		emit_poll(u, (uint32_t)target);
	}
	code_emit_site(u->code, u->e, (uint32_t)target,
			(struct code_site){.flags_stored = unit_flags_stored(u),
					.upper = unit_uses_upper(u),
					.loaded = u->loaded});
}

static int64_t next_offset(const struct unit *u)
{
	return (int64_t)u->offset + u->insn->length;
}

static int64_t branch_offset(const struct unit *u)
{
	return next_offset(u) + (int64_t)u->insn->imm;
}

bool insn_stores_flags(const struct insn *insn, const struct shape *shape, uint32_t offset)
{
	int64_t target = (int64_t)offset + insn->length + (int64_t)insn->imm;

	switch ((enum shape_kind)shape->kind) {
	case SHAPE_RET:
	case SHAPE_JMP_INDIRECT:
	case SHAPE_CALL_INDIRECT:
	case SHAPE_CALL:
		return true;
	case SHAPE_JMP:
		return target < 0 || target >= (int64_t)GUEST_PAGE_SIZE;
	default:
		return false;
	}
}

/* To what follows, which is no jump back, and not this instruction's fault if there are no addresses any more. */
void unit_emit_next(struct unit *u, int64_t next)
{
	uint32_t offset = u->offset;

	u->offset = (uint32_t)(next < (int64_t)GUEST_PAGE_SIZE ? next - 1 : next);
	emit_chain(u, next, 0);
	u->offset = offset;
}

/* What has to be seen to at a request: a branch there, with all registers as they are. */
static uint8_t *emit_requested(struct unit *u)
{
	uint8_t *quiet, *requested;

	emit_store(u->e, host_register(HOST_R15), HOST_RCX);
	emit_load32(u->e, HOST_RCX, STATE(request));
	quiet = emit_jrcxz(u->e);
	emit_store(u->e, host_register(HOST_RCX), HOST_R15);
	requested = emit_jmp(u->e);
	emit_here8(u->e, quiet);
	emit_store(u->e, host_register(HOST_RCX), HOST_R15);
	return requested;
}

/* A block that is dead is left here: who makes it so requests something. */
static void emit_loop(struct unit *u)
{
	uint8_t *taken = emit_jcc(u->e, u->insn->opcode & 15), *requested;
	struct halves others = halves_without(u->dirty, u->carried);

	unit_settle(u);
	unit_emit_next(u, next_offset(u));
	emit_here(u->e, taken);
	unit_store_vectors(u, others);
	requested = emit_requested(u);
	emit_jmp_to(u->e, u->again);
	emit_here(u->e, requested);
	unit_store_many_vectors(u, u->carried);
	unit_emit_zero_upper(u);
	emit_mov_imm(u->e, HOST_R14, (uint32_t)branch_offset(u));
	emit_jmp_to(u->e, code_attend(u->code));
}

void insn_emit_jcc(struct unit *u)
{
	if (u->again) {
		emit_loop(u);
		return;
	}
	unit_settle(u);
	uint8_t *taken = emit_jcc(u->e, u->insn->opcode & 15);

	unit_emit_next(u, next_offset(u));
	emit_here(u->e, taken);
	emit_chain(u, branch_offset(u), 0);
}

/* Stores the address of the next instruction; rsp moves. */
static void emit_push_return(struct unit *u)
{
	struct host_rm top = emit_push_address(u);

	unit_emit_rip(u, HOST_R15, next_offset(u));
	emit_store(u->e, top, HOST_R15);
	emit_stack_move(u, -8);
}

/* To the address in r14; should it turn out not to be canonical, as if nothing had been done. */
static void emit_indirect(struct unit *u, int32_t stack_moved)
{
	unit_emit_zero_upper(u);
	emit_store_imm(u->e, STATE(branch), stack_moved * 65536 + (int32_t)u->offset);
	code_emit_lookup(u->code, u->e);
}

void insn_emit_ret(struct unit *u)
{
	int32_t bytes = 8 + (int32_t)(uint16_t)(u->insn->opcode == 0xc2 ? u->insn->imm : 0);

	unit_settle(u);
	emit_load(u->e, HOST_R14, emit_pointed_at(u, HOST_R13));
	emit_stack_move(u, bytes);
	emit_indirect(u, bytes);
}

/* r14 = the operand of an indirect branch. */
static void emit_branch_operand(struct unit *u)
{
	if (u->insn->is_memory) {
		emit_load(u->e, HOST_R14, unit_emit_memory_operand(u, 8, false));
	} else {
		unsigned host = unit_reg_in(u, u->insn->rm, HOST_R14);
		if (host != HOST_R14) {
			emit_store(u->e, host_register(HOST_R14), host);
		}
	}
}

void insn_emit_call_indirect(struct unit *u)
{
	unit_settle(u);
	emit_branch_operand(u);
	emit_store(u->e, STATE(scratch[2]), HOST_R14);
	emit_push_return(u);
	emit_load(u->e, HOST_R14, STATE(scratch[2]));
	emit_indirect(u, -8);
}

void insn_emit_jmp(struct unit *u)
{
	unit_settle(u);
	emit_chain(u, branch_offset(u), 0);
}

void insn_emit_call(struct unit *u)
{
	unit_settle(u);
	emit_push_return(u);
	emit_chain(u, branch_offset(u), -8);
}

void insn_emit_jmp_indirect(struct unit *u)
{
	unit_settle(u);
	emit_branch_operand(u);
	emit_indirect(u, 0);
}
