/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/emit.h"

#include "core/engine/soft/decode.h"

#include <string.h>

#define REX 0x40
#define REX_W 0x08
#define REX_R 0x04
#define REX_X 0x02
#define REX_B 0x01

static void emit_bytes(struct emitter *emitter, const void *bytes, size_t len)
{
	if ((size_t)(emitter->end - emitter->at) < len) {
		emitter->full = true;
		return;
	}
	memcpy(emitter->at, bytes, len);
	emitter->at += len;
}

void emit8(struct emitter *emitter, uint8_t value)
{
	emit_bytes(emitter, &value, sizeof(value));
}

void emit32(struct emitter *emitter, uint32_t value)
{
	emit_bytes(emitter, &value, sizeof(value));
}

void emit64(struct emitter *emitter, uint64_t value)
{
	emit_bytes(emitter, &value, sizeof(value));
}

static unsigned rex_of(const struct host_op *op, unsigned reg, const struct host_rm *rm)
{
	unsigned rex = op->rex ? REX : 0;

	rex |= op->rex_w ? REX | REX_W : 0;
	rex |= reg & 8 ? REX | REX_R : 0;
	if (rm->reg != HOST_NONE) {
		return rex | (rm->reg & 8 ? REX | REX_B : 0);
	}
	rex |= rm->base != HOST_NONE && (rm->base & 8) ? REX | REX_B : 0;
	rex |= rm->index != HOST_NONE && (rm->index & 8) ? REX | REX_X : 0;
	return rex;
}

/* ModRM, SIB and displacement of a memory operand. */
static void emit_memory(struct emitter *emitter, unsigned reg, const struct host_rm *rm)
{
	unsigned field = (reg & 7) << 3;
	unsigned index = rm->index == HOST_NONE ? 4 : rm->index & 7;

	assert(rm->index != HOST_RSP);
	if (rm->base == HOST_NONE) {
		emit8(emitter, (uint8_t)(field | 4));
		emit8(emitter, (uint8_t)(rm->scale << 6 | index << 3 | 5));
		emit32(emitter, (uint32_t)rm->disp);
		return;
	}
	unsigned base = rm->base & 7;
	bool short_disp = rm->disp >= INT8_MIN && rm->disp <= INT8_MAX;
	unsigned mod = rm->disp == 0 && base != 5 ? 0 : short_disp ? 1 : 2;
	if (rm->index != HOST_NONE || base == 4) {
		emit8(emitter, (uint8_t)(mod << 6 | field | 4));
		emit8(emitter, (uint8_t)(rm->scale << 6 | index << 3 | base));
	} else {
		emit8(emitter, (uint8_t)(mod << 6 | field | base));
	}
	if (mod == 1) {
		emit8(emitter, (uint8_t)rm->disp);
	} else if (mod == 2) {
		emit32(emitter, (uint32_t)rm->disp);
	}
}

static void emit_opcode(struct emitter *emitter, const struct host_op *op)
{
	if (op->map != INSN_MAP_LEGACY) {
		emit8(emitter, 0x0f);
	}
	if (op->map == INSN_MAP_0F38) {
		emit8(emitter, 0x38);
	} else if (op->map == INSN_MAP_0F3A) {
		emit8(emitter, 0x3a);
	}
	emit8(emitter, op->opcode);
}

void emit_op(struct emitter *emitter, const struct host_op *op, unsigned reg, struct host_rm rm)
{
	unsigned rex = rex_of(op, reg, &rm);

	if (op->lock) {
		emit8(emitter, 0xf0);
	}
	if (rm.reg == HOST_NONE && rm.gs) {
		emit8(emitter, 0x65);
	}
	if (op->opsize) {
		emit8(emitter, 0x66);
	}
	if (op->prefix) {
		emit8(emitter, op->prefix);
	}
	if (rex) {
		emit8(emitter, (uint8_t)rex);
	}
	emit_opcode(emitter, op);
	if (rm.reg != HOST_NONE) {
		emit8(emitter, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm.reg & 7)));
	} else {
		emit_memory(emitter, reg, &rm);
	}
	emit_bytes(emitter, &op->imm, op->imm_size);
}

/* The shorter prefix has neither VEX.X nor VEX.B nor VEX.W, and one map. */
static void emit_vex_prefix(
		struct emitter *emitter, const struct host_vex *op, unsigned rex, unsigned vvvv)
{
	unsigned last = (~vvvv & 15) << 3 | (op->is_256 ? 4u : 0u) | op->prefix;
	unsigned rxb = (~rex & (REX_R | REX_X | REX_B)) << 5;

	if (op->map == INSN_MAP_0F && !op->wide && !(rex & (REX_X | REX_B))) {
		emit8(emitter, 0xc5);
		emit8(emitter, (uint8_t)((rxb & 0x80) | last));
		return;
	}
	emit8(emitter, 0xc4);
	emit8(emitter, (uint8_t)(rxb | op->map));
	emit8(emitter, (uint8_t)((op->wide ? 0x80u : 0u) | last));
}

void emit_vex(struct emitter *emitter, const struct host_vex *op, unsigned reg, unsigned vvvv,
		struct host_rm rm)
{
	const struct host_op none = {.map = op->map};

	_Static_assert(INSN_MAP_0F == 1 && INSN_MAP_0F38 == 2 && INSN_MAP_0F3A == 3, "VEX.mmmmm");
	if (rm.reg == HOST_NONE && rm.gs) {
		emit8(emitter, 0x65);
	}
	emit_vex_prefix(emitter, op, rex_of(&none, reg, &rm), vvvv);
	emit8(emitter, op->opcode);
	if (rm.reg != HOST_NONE) {
		emit8(emitter, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm.reg & 7)));
	} else {
		emit_memory(emitter, reg, &rm);
	}
	emit_bytes(emitter, &op->imm, op->imm_size);
}

static void emit_simple(
		struct emitter *emitter, uint8_t opcode, bool wide, unsigned reg, struct host_rm rm)
{
	const struct host_op op = {.opcode = opcode, .rex_w = wide};

	emit_op(emitter, &op, reg, rm);
}

void emit_load(struct emitter *emitter, unsigned reg, struct host_rm rm)
{
	emit_simple(emitter, 0x8b, true, reg, rm);
}

void emit_store(struct emitter *emitter, struct host_rm rm, unsigned reg)
{
	emit_simple(emitter, 0x89, true, reg, rm);
}

void emit_load16(struct emitter *emitter, unsigned reg, struct host_rm rm)
{
	const struct host_op movzx = {.map = INSN_MAP_0F, .opcode = 0xb7};

	emit_op(emitter, &movzx, reg, rm);
}

void emit_load32(struct emitter *emitter, unsigned reg, struct host_rm rm)
{
	emit_simple(emitter, 0x8b, false, reg, rm);
}

void emit_store32(struct emitter *emitter, struct host_rm rm, unsigned reg)
{
	emit_simple(emitter, 0x89, false, reg, rm);
}

void emit_store_imm(struct emitter *emitter, struct host_rm rm, int32_t value)
{
	const struct host_op op = {
			.opcode = 0xc7, .rex_w = true, .imm_size = 4, .imm = (uint32_t)value};

	emit_op(emitter, &op, 0, rm);
}

void emit_lea(struct emitter *emitter, unsigned reg, struct host_rm rm)
{
	emit_simple(emitter, 0x8d, true, reg, rm);
}

void emit_mov_imm(struct emitter *emitter, unsigned reg, uint64_t value)
{
	bool high = reg & 8;

	if (value <= UINT32_MAX) {
		if (high) {
			emit8(emitter, REX | REX_B);
		}
		emit8(emitter, (uint8_t)(0xb8 | (reg & 7)));
		emit32(emitter, (uint32_t)value);
	} else if ((int64_t)value == (int32_t)value) {
		emit_store_imm(emitter, host_register(reg), (int32_t)value);
	} else {
		emit8(emitter, (uint8_t)(REX | REX_W | (high ? REX_B : 0)));
		emit8(emitter, (uint8_t)(0xb8 | (reg & 7)));
		emit64(emitter, value);
	}
}

void emit_alu_imm(struct emitter *emitter, unsigned extension, unsigned reg, int32_t value)
{
	bool byte = value >= INT8_MIN && value <= INT8_MAX;
	const struct host_op op = {.opcode = byte ? 0x83 : 0x81,
			.rex_w = true,
			.imm_size = byte ? 1 : 4,
			.imm = (uint32_t)value};

	emit_op(emitter, &op, extension, host_register(reg));
}

void emit_alu(struct emitter *emitter, unsigned extension, unsigned reg, struct host_rm rm)
{
	emit_simple(emitter, (uint8_t)(extension << 3 | 3), true, reg, rm);
}

void emit_flags_out(struct emitter *emitter)
{
	const struct host_op seto = {.map = INSN_MAP_0F, .opcode = 0x90};

	emit8(emitter, 0x9f);
	emit_op(emitter, &seto, 0, host_register(HOST_RAX));
}

void emit_flags_in(struct emitter *emitter)
{
	/* Adding 127 to a byte that is 0 or 1 overflows for 1. */
	emit8(emitter, 0x04);
	emit8(emitter, 0x7f);
	emit8(emitter, 0x9e);
}

uint8_t *emit_jcc(struct emitter *emitter, unsigned condition)
{
	emit8(emitter, 0x0f);
	emit8(emitter, (uint8_t)(0x80 | condition));
	emit32(emitter, 0);
	return emitter->at - 4;
}

uint8_t *emit_jmp(struct emitter *emitter)
{
	emit8(emitter, 0xe9);
	emit32(emitter, 0);
	return emitter->at - 4;
}

uint8_t *emit_jrcxz(struct emitter *emitter)
{
	emit8(emitter, 0xe3);
	emit8(emitter, 0);
	return emitter->at - 1;
}

void emit_here(struct emitter *emitter, uint8_t *from)
{
	int32_t distance = (int32_t)(emitter->at - (from + 4));

	if (!emitter->full) {
		memcpy(from, &distance, sizeof(distance));
	}
}

void emit_here8(struct emitter *emitter, uint8_t *from)
{
	if (!emitter->full) {
		assert(emitter->at - (from + 1) <= INT8_MAX);
		*from = (uint8_t)(emitter->at - (from + 1));
	}
}

void emit_jcc_to(struct emitter *emitter, unsigned condition, const uint8_t *target)
{
	emit8(emitter, 0x0f);
	emit8(emitter, (uint8_t)(0x80 | condition));
	emit32(emitter, (uint32_t)(target - (emitter->at + 4)));
}

void emit_jmp_to(struct emitter *emitter, const uint8_t *target)
{
	emit8(emitter, 0xe9);
	emit32(emitter, (uint32_t)(target - (emitter->at + 4)));
}

void emit_call_to(struct emitter *emitter, const uint8_t *target)
{
	emit8(emitter, 0xe8);
	emit32(emitter, (uint32_t)(target - (emitter->at + 4)));
}

void emit_jmp_indirect(struct emitter *emitter, struct host_rm rm)
{
	emit_simple(emitter, 0xff, false, 4, rm);
}
