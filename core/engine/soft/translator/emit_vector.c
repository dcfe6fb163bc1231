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

/* Halves that are worth a pointer to them, from which displacements are short. */
#define MANY 5

/* The registers' places by a pointer to the eighth one's, or in what GS points at. */
static struct host_rm place(unsigned reg, size_t offset, bool pointed)
{
	return pointed ? host_memory(HOST_R15, HOST_NONE, 0, ((int)reg - 8) * 16)
		       : host_state(offset + reg * 16);
}

/* True with r15 the pointer, if the registers are many. */
static bool point(struct unit *u, uint16_t which, size_t offset)
{
	unsigned count = 0;

	for (unsigned reg = 0; reg < 16; reg++) {
		count += (which >> reg) & 1;
	}
	if (count < MANY) {
		return false;
	}
	emit_load(u->e, HOST_R15, STATE(self));
	emit_lea(u->e, HOST_R15,
			host_memory(HOST_R15, HOST_NONE, 0, (int32_t)(offset + (size_t)8 * 16)));
	return true;
}

static void emit_lows(struct unit *u, uint16_t which, uint8_t opcode, bool r15)
{
	const struct host_op movaps = {.map = INSN_MAP_0F, .opcode = opcode};
	const struct host_vex vmovaps = {.map = INSN_MAP_0F, .opcode = opcode};
	const size_t offset = offsetof(struct cpu, fx.xmm);
	bool pointed = r15 && point(u, which, offset);

	for (unsigned reg = 0; reg < 16; reg++) {
		if ((which & BIT(reg)) && u->vex) {
			emit_vex(u->e, &vmovaps, reg, 0, place(reg, offset, pointed));
		} else if (which & BIT(reg)) {
			emit_op(u->e, &movaps, reg, place(reg, offset, pointed));
		}
	}
}

static void emit_highs(struct unit *u, uint16_t which, uint8_t opcode, bool r15)
{
	const struct host_vex op = {.map = INSN_MAP_0F3A,
			.opcode = opcode,
			.prefix = 1,
			.is_256 = true,
			.imm_size = 1,
			.imm = 1};
	const size_t offset = offsetof(struct cpu, ymm_high);
	bool pointed = r15 && point(u, which, offset);

	for (unsigned reg = 0; reg < 16; reg++) {
		if (which & BIT(reg)) {
			emit_vex(u->e, &op, reg, opcode == VINSERTF128 ? reg : 0,
					place(reg, offset, pointed));
		}
	}
}

/*
 * Without instructions of 256 bits an upper half is in the host's only if VEX.128 has zeroed it, and loading the lower half does
 * so, too.
 */
static void load(struct unit *u, struct halves which, bool r15)
{
	emit_lows(u, which.low, MOVAPS_LOAD, r15);
	if (u->whole && which.high) {
		emit_highs(u, which.high, VINSERTF128, r15);
		u->upper = true;
	}
}

void unit_load_vectors(struct unit *u, struct halves which)
{
	load(u, which, false);
}

void unit_load_many_vectors(struct unit *u, struct halves which)
{
	load(u, which, true);
}

void unit_store_vectors(struct unit *u, struct halves which)
{
	emit_lows(u, which.low, MOVAPS_STORE, false);
	emit_highs(u, which.high, VEXTRACTF128, false);
}

void unit_store_many_vectors(struct unit *u, struct halves which)
{
	emit_lows(u, which.low, MOVAPS_STORE, true);
	emit_highs(u, which.high, VEXTRACTF128, true);
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
