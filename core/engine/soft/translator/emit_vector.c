/* SPDX-License-Identifier: MIT */
/*
 * The guest's vector registers in the host's, half by half: an instruction of 128 bits asks for lower halves only. A block that
 * works on 256 bits anywhere is entered by whoever comes with upper halves in use, and zeroes them before it goes where they may
 * not be: hosts are slow at SSE, whose instructions keep the upper half, while it is in use.
 */
#include "core/engine/soft/translator/unit.h"

#define MOVAPS_LOAD 0x28
#define MOVAPS_STORE 0x29
#define VINSERTF128 0x18
#define VEXTRACTF128 0x19

static void emit_low(struct unit *u, unsigned reg, uint8_t opcode, bool vex)
{
	const struct host_op movaps = {.map = INSN_MAP_0F, .opcode = opcode};
	const struct host_vex vmovaps = {.map = INSN_MAP_0F, .opcode = opcode};
	struct host_rm place = host_state(offsetof(struct cpu, fx.xmm) + reg * 16);

	if (vex) {
		emit_vex(u->e, &vmovaps, reg, 0, place);
	} else {
		emit_op(u->e, &movaps, reg, place);
	}
}

static void emit_high(struct unit *u, unsigned reg, uint8_t opcode)
{
	const struct host_vex op = {.map = INSN_MAP_0F3A,
			.opcode = opcode,
			.prefix = 1,
			.is_256 = true,
			.imm_size = 1,
			.imm = 1};

	emit_vex(u->e, &op, reg, opcode == VINSERTF128 ? reg : 0,
			host_state(offsetof(struct cpu, ymm_high) + reg * 16));
}

/*
 * Without instructions of 256 bits an upper half is in the host's only if VEX.128 has zeroed it, and loading the lower half does
 * so, too.
 */
void unit_load_vectors(struct unit *u, struct halves which)
{
	for (unsigned reg = 0; reg < 16; reg++) {
		if (which.low & BIT(reg)) {
			emit_low(u, reg, MOVAPS_LOAD, u->vex);
		}
		if ((which.high & BIT(reg)) && u->whole) {
			emit_high(u, reg, VINSERTF128);
			u->upper = true;
		}
	}
}

void unit_store_vectors(struct unit *u, struct halves which)
{
	for (unsigned reg = 0; reg < 16; reg++) {
		if (which.low & BIT(reg)) {
			emit_low(u, reg, MOVAPS_STORE, u->vex);
		}
		if (which.high & BIT(reg)) {
			emit_high(u, reg, VEXTRACTF128);
		}
	}
}

static void add_use(struct vector_use *all, unsigned reg, unsigned use, bool reads_high,
		bool writes_high)
{
	uint16_t bit = (uint16_t)BIT(reg);

	if (use & SHAPE_READ) {
		all->reads.low |= bit;
		all->reads.high |= reads_high ? bit : 0;
	}
	if (use & SHAPE_WRITE) {
		all->writes.low |= bit;
		all->writes.high |= writes_high ? bit : 0;
	}
}

/* A VEX prefix makes an instruction write all of a register, whatever it computes. */
struct vector_use insn_vectors(const struct insn *insn, const struct shape *shape)
{
	bool vex = shape->kind == SHAPE_VEX, whole = shape->whole;
	struct vector_use all = {{0}};

	if (shape->kind == SHAPE_ZERO_UPPER) {
		all.writes.high = UINT16_MAX;
	}
	if (shape->kind != SHAPE_MODRM && !vex) {
		return all;
	}
	if (shape->reg_xmm) {
		add_use(&all, insn->reg, shape->reg_use, whole, vex);
	}
	if (shape->rm_xmm) {
		add_use(&all, insn->rm, shape->rm_use, whole && !shape->rm_low, vex);
	}
	add_use(&all, insn->vex_reg & 15, shape->vex_use, whole, vex);
	add_use(&all, (insn->imm >> 4) & 15, shape->fourth ? SHAPE_READ : 0, whole, vex);
	add_use(&all, 0, shape->xmm0_use, whole, vex);
	return all;
}

void unit_want_vectors(struct unit *u)
{
	struct vector_use use = insn_vectors(u->insn, &u->shape);

	unit_load_vectors(u, halves_without(use.reads, u->loaded));
	u->loaded = halves_join(u->loaded, halves_join(use.reads, use.writes));
	u->dirty = halves_join(u->dirty, use.writes);
	u->upper |= u->shape.whole;
}

bool unit_uses_upper(const struct unit *u)
{
	return u->whole && u->upper;
}

void unit_emit_zero_upper(struct unit *u)
{
	if (unit_uses_upper(u)) {
		code_emit_zero_upper(u->e);
	}
}
