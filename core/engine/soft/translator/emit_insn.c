/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/unit.h"

/* AH, CH, DH, BH. */
static bool is_high_byte(const struct insn *insn, unsigned reg, unsigned size)
{
	return size == 1 && reg >= 4 && reg < 8 && !(insn->prefixes & INSN_PREFIX_REX);
}

/*
 * Instructions that name one of AH to BH can be emitted only without REX: with both operands registers that have low
 * numbers in the host, too.
 */
static bool high_bytes_fit(const struct insn *insn, const struct shape *shape)
{
	bool reg_high = shape->reg_use && is_high_byte(insn, insn->reg, shape->reg_size);
	bool rm_high = !insn->is_memory && is_high_byte(insn, insn->rm, shape->rm_size);

	if (!reg_high && !rm_high) {
		return true;
	}
	if (insn->is_memory || (insn->prefixes & INSN_PREFIX_REX) || insn->operand_size == 8) {
		return false;
	}
	if (shape->reg_use && !reg_high &&
			(code_home(insn->reg) == HOST_NONE || code_home(insn->reg) >= 4)) {
		return false;
	}
	return rm_high || (code_home(insn->rm) != HOST_NONE && code_home(insn->rm) < 4);
}

/* A host register for an operand; what it is before the instruction is there if it matters. */
static unsigned operand_in(
		struct unit *u, unsigned reg, unsigned use, unsigned size, unsigned scratch)
{
	if (is_high_byte(u->insn, reg, size)) {
		return reg;
	}
	if (code_home(reg) != HOST_NONE) {
		return code_home(reg);
	}
	if ((use & SHAPE_READ) || size < 4) {
		emit_load(u->e, scratch, code_reg_state(reg));
	}
	return scratch;
}

static void operand_out(struct unit *u, unsigned reg, unsigned use, unsigned host)
{
	if ((use & SHAPE_WRITE) && code_home(reg) == HOST_NONE) {
		emit_store(u->e, code_reg_state(reg), host);
	}
}

/* Low bytes of rbp, rsi, rdi, which without REX would be CH to BH. */
static bool needs_rex(const struct unit *u, unsigned reg, unsigned host, unsigned size)
{
	return size == 1 && host >= 4 && host < 8 && !is_high_byte(u->insn, reg, size);
}

/* r15 but where the other operand takes it; merge.c counts on that. */
static unsigned rm_scratch(const struct insn *insn, const struct shape *shape)
{
	bool other = shape->reg_use && !shape->reg_xmm && !shape->reg_mm &&
		     code_home(insn->reg) == HOST_NONE;

	return other ? HOST_R14 : HOST_R15;
}

void insn_emit_modrm(struct unit *u)
{
	const struct insn *insn = u->insn;
	const struct shape *shape = &u->shape;
	struct host_op op = {
			.map = insn->map,
			.opcode = shape->opcode,
			.prefix = shape->prefix,
			.opsize = shape->opsize,
			.rex_w = shape->rex_w,
			.lock = shape->lock,
			.imm_size = shape->imm_size,
			.imm = insn->imm,
	};
	unsigned reg = shape->extension;
	struct host_rm rm;

	if (shape->x87) {
		unit_want_x87(u);
	}
	if (insn->is_memory) {
		rm = unit_emit_memory_operand(u, shape->rm_size, shape->rm_use & SHAPE_WRITE);
	} else if (shape->rm_mm) {
		rm = host_register(insn->modrm & 7);
	} else {
		rm = host_register(shape->rm_xmm ? insn->rm
						 : operand_in(u, insn->rm, shape->rm_use,
								   shape->rm_size,
								   rm_scratch(insn, shape)));
		op.rex |= needs_rex(u, insn->rm, rm.reg, shape->rm_size);
	}
	unit_want_vectors(u);
	if (shape->reg_use && shape->reg_mm) {
		reg = (insn->modrm >> 3) & 7;
	} else if (shape->reg_use && shape->reg_xmm) {
		reg = insn->reg;
	} else if (shape->reg_use) {
		reg = operand_in(u, insn->reg, shape->reg_use, shape->reg_size, HOST_R15);
		op.rex |= needs_rex(u, insn->reg, reg, shape->reg_size);
	}
	emit_op(u->e, &op, reg, rm);
	if (shape->reg_use && !shape->reg_xmm && !shape->reg_mm) {
		operand_out(u, insn->reg, shape->reg_use, reg);
	}
	if (!insn->is_memory && !shape->rm_xmm && !shape->rm_mm) {
		operand_out(u, insn->rm, shape->rm_use, rm.reg);
	}
}

void insn_emit_implicit(struct unit *u)
{
	if (u->insn->operand_size == 2) {
		emit8(u->e, 0x66);
	} else if (u->insn->operand_size == 8) {
		emit8(u->e, 0x48);
	}
	emit8(u->e, u->insn->opcode);
}

static void emit_bswap(struct unit *u)
{
	unsigned host = unit_reg_in(u, u->insn->rm, HOST_R15);
	unsigned rex = (u->insn->operand_size == 8 ? 0x48 : 0) | (host & 8 ? 0x41 : 0);

	if (rex) {
		emit8(u->e, (uint8_t)rex);
	}
	emit8(u->e, 0x0f);
	emit8(u->e, (uint8_t)(0xc8 | (host & 7)));
	unit_reg_to(u, u->insn->rm, host);
}

void insn_emit_short(struct unit *u)
{
	const struct insn *insn = u->insn;

	if (insn->map == INSN_MAP_0F) {
		emit_bswap(u);
		return;
	}
	if (insn->operand_size >= 4) {
		unsigned host = code_home(insn->rm) == HOST_NONE ? HOST_R15 : code_home(insn->rm);
		emit_mov_imm(u->e, host, insn->operand_size == 8 ? insn->imm : (uint32_t)insn->imm);
		unit_reg_to(u, insn->rm, host);
		return;
	}
	struct host_op op = {.opcode = insn->operand_size == 1 ? 0xc6 : 0xc7,
			.opsize = insn->operand_size == 2,
			.imm_size = insn->operand_size,
			.imm = insn->imm};
	unsigned host = operand_in(u, insn->rm, SHAPE_CHANGE, insn->operand_size, HOST_R15);
	op.rex = needs_rex(u, insn->rm, host, insn->operand_size);
	emit_op(u->e, &op, 0, host_register(host));
	operand_out(u, insn->rm, SHAPE_WRITE, host);
}

void insn_emit_lea(struct unit *u)
{
	const struct insn *insn = u->insn;
	const struct host_op lea = {.opcode = 0x8d, .rex_w = insn->operand_size == 8};
	const struct host_op mov32 = {.opcode = 0x8b};
	unsigned host = code_home(insn->reg) == HOST_NONE ? HOST_R15 : code_home(insn->reg);
	unsigned base = HOST_NONE, index = HOST_NONE;

	if (insn->base == INSN_BASE_RIP) {
		unit_emit_rip(u, host, (int64_t)u->offset + insn->length + insn->disp);
		if (insn->operand_size == 4) {
			emit_op(u->e, &mov32, host, host_register(host));
		}
		unit_reg_to(u, insn->reg, host);
		return;
	}
	if (insn->base != INSN_REG_NONE) {
		base = unit_reg_in(u, insn->base, HOST_R15);
	}
	if (insn->index != INSN_REG_NONE) {
		index = unit_reg_in(u, insn->index, base == HOST_R15 ? HOST_R14 : HOST_R15);
	}
	emit_op(u->e, &lea, host, host_memory(base, index, insn->scale, insn->disp));
	unit_reg_to(u, insn->reg, host);
}

/* r14 = the divisor. */
static void emit_divisor(struct unit *u)
{
	if (u->insn->is_memory) {
		const struct host_op mov = {.opcode = 0x8b, .rex_w = u->shape.rex_w};
		emit_op(u->e, &mov, HOST_R14, unit_emit_memory_operand(u, u->shape.rm_size, false));
		return;
	}
	unsigned host = unit_reg_in(u, u->insn->rm, HOST_R14);
	if (host != HOST_R14) {
		emit_store(u->e, host_register(HOST_R14), host);
	}
}

/* To the slow path unless rdx is the sign of rax and the divisor neither 0 nor -1. */
static void emit_check_signed(struct unit *u)
{
	bool wide = u->shape.rex_w;
	const struct host_op sar = {
			.opcode = 0xc1, .rex_w = wide, .imm_size = 1, .imm = wide ? 63 : 31};
	const struct host_op cmp = {.opcode = 0x3b, .rex_w = wide};
	const struct host_op cmp_imm = {.opcode = 0x83, .rex_w = wide, .imm_size = 1, .imm = 1};

	if (u->live) {
		emit_load(u->e, HOST_R15, STATE(scratch[1]));
	} else {
		emit_store(u->e, host_register(HOST_R15), HOST_RAX);
	}
	emit_op(u->e, &sar, 7, host_register(HOST_R15));
	emit_op(u->e, &cmp, HOST_R15, host_register(HOST_RDX));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_NOT_EQUAL), u->live);
	emit_lea(u->e, HOST_R15, host_memory(HOST_R14, HOST_NONE, 0, 1));
	emit_op(u->e, &cmp_imm, ALU_CMP, host_register(HOST_R15));
	unit_add_slow(u, emit_jcc(u->e, CONDITION_BELOW_EQUAL), u->live);
}

void insn_emit_divide(struct unit *u)
{
	const struct host_op cmp = {.opcode = 0x3b, .rex_w = u->shape.rex_w};
	const struct host_op divide = {.opcode = 0xf7, .rex_w = u->shape.rex_w};

	emit_divisor(u);
	if (u->live) {
		unit_emit_flags_out(u);
	}
	if (u->shape.extension == 7) {
		emit_check_signed(u);
	} else {
		emit_op(u->e, &cmp, HOST_RDX, host_register(HOST_R14));
		unit_add_slow(u, emit_jcc(u->e, CONDITION_ABOVE_EQUAL), u->live);
	}
	if (u->live) {
		unit_emit_flags_in(u);
	}
	emit_op(u->e, &divide, u->shape.extension, host_register(HOST_R14));
}

static bool modrm_touches_flags(const struct insn *insn, const struct shape *shape)
{
	if (shape->sse || shape->x87 || shape->kind == SHAPE_VEX_GENERAL) {
		return shape->flags_read || shape->flags_written;
	}
	if (insn->map == INSN_MAP_0F) {
		/* MOVZX, MOVSX */
		return (insn->opcode & 0xf6) != 0xb6;
	}
	return !((insn->map == INSN_MAP_LEGACY && insn->opcode >= 0x86 && insn->opcode <= 0x8b) ||
			insn->opcode == 0x63 || insn->opcode == 0xc6 || insn->opcode == 0xc7);
}

bool insn_touches_flags(const struct insn *insn, const struct shape *shape)
{
	switch ((enum shape_kind)shape->kind) {
	case SHAPE_SHORT:
	case SHAPE_NOTHING:
	case SHAPE_LEA:
	case SHAPE_PUSH:
	case SHAPE_POP:
	case SHAPE_LEAVE:
	case SHAPE_SWAPGS:
	case SHAPE_ZERO_UPPER:
		return false;
	case SHAPE_MODRM:
	case SHAPE_VEX:
	case SHAPE_VEX_GENERAL:
		return modrm_touches_flags(insn, shape);
	default:
		return true;
	}
}

static bool is_moffs(const struct insn *insn)
{
	return insn->map == INSN_MAP_LEGACY && insn->opcode >= 0xa0 && insn->opcode <= 0xa3;
}

/* Whether the shape is emitted in line for this instruction. */
bool insn_is_emitted(const struct insn *insn, const struct shape *shape)
{
	switch ((enum shape_kind)shape->kind) {
	case SHAPE_CALL_OUT:
		return false;
	case SHAPE_MODRM:
	case SHAPE_SHORT:
		return high_bytes_fit(insn, shape) && !(insn->is_memory && is_moffs(insn));
	case SHAPE_LEA:
		return insn->operand_size >= 4;
	case SHAPE_PUSH:
		return insn->is_memory || insn->map != INSN_MAP_LEGACY || insn->opcode != 0xff;
	case SHAPE_POP:
		return !insn->is_memory;
	case SHAPE_RET:
		/* What it pops has to fit beside an offset in cpu->branch. */
		return insn->opcode != 0xc2 || insn->imm < GUEST_PAGE_SIZE;
	default:
		return true;
	}
}
