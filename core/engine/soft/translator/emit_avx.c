/* SPDX-License-Identifier: MIT */
/* Instructions with a VEX prefix: the same, with vectors where they were, and the rest renamed. */
#include "core/engine/soft/translator/unit.h"

/* A general register, in r15 if nowhere else: results are 32 or 64 bits, so nothing of what it was is needed. */
static unsigned general_in(struct unit *u, unsigned reg, unsigned use)
{
	if (use & SHAPE_READ) {
		return unit_reg_in(u, reg, HOST_R15);
	}
	return code_home(reg) == HOST_NONE ? HOST_R15 : code_home(reg);
}

static void general_out(struct unit *u, unsigned reg, unsigned use, unsigned host)
{
	if (use & SHAPE_WRITE) {
		unit_reg_to(u, reg, host);
	}
}

void insn_emit_vex(struct unit *u)
{
	const struct insn *insn = u->insn;
	const struct shape *shape = &u->shape;
	const struct host_vex op = {
			.map = insn->map,
			.opcode = shape->opcode,
			.prefix = shape->vex_prefix,
			.wide = shape->rex_w,
			.is_256 = shape->whole,
			.imm_size = shape->imm_size,
			.imm = (uint8_t)insn->imm,
	};
	unsigned reg = shape->extension;
	struct host_rm rm;

	if (insn->is_memory) {
		rm = unit_emit_memory_operand(u, shape->rm_size, shape->rm_use & SHAPE_WRITE);
	} else {
		rm = host_register(
				shape->rm_xmm ? insn->rm : general_in(u, insn->rm, shape->rm_use));
	}
	if (shape->reg_use) {
		reg = shape->reg_xmm ? insn->reg : general_in(u, insn->reg, shape->reg_use);
	}
	unit_want_vectors(u);
	emit_vex(u->e, &op, reg, shape->vex_use ? insn->vex_reg & 15 : 0, rm);
	if (shape->reg_use && !shape->reg_xmm) {
		general_out(u, insn->reg, shape->reg_use, reg);
	}
	if (!insn->is_memory && !shape->rm_xmm) {
		general_out(u, insn->rm, shape->rm_use, rm.reg);
	}
}

/*
 * Only where the ModRM operand and VEX.vvvv are sources and neither has a place in the host is r14 used; merge.c counts on that. A
 * result may take the place of a source.
 */
void insn_emit_vex_general(struct unit *u)
{
	const struct insn *insn = u->insn;
	const struct shape *shape = &u->shape;
	const struct host_vex op = {
			.map = insn->map,
			.opcode = shape->opcode,
			.prefix = shape->vex_prefix,
			.wide = shape->rex_w,
			.imm_size = shape->imm_size,
			.imm = (uint8_t)insn->imm,
	};
	unsigned reg = shape->extension, vex = 0, named = insn->vex_reg & 15;
	struct host_rm rm;

	if (insn->is_memory) {
		rm = unit_emit_memory_operand(u, shape->rm_size, false);
	} else {
		bool both = (shape->vex_use & SHAPE_READ) && code_home(named) == HOST_NONE;
		rm = host_register(unit_reg_in(u, insn->rm, both ? HOST_R14 : HOST_R15));
	}
	if (shape->vex_use) {
		vex = general_in(u, named, shape->vex_use);
	}
	if (shape->reg_use) {
		reg = general_in(u, insn->reg, shape->reg_use);
	}
	emit_vex(u->e, &op, reg, vex, rm);
	general_out(u, named, shape->vex_use, vex);
	general_out(u, insn->reg, shape->reg_use, reg);
}

/* A host register that has nothing of the guest's; the last one is emptied if there is none. */
static unsigned free_vector(struct unit *u)
{
	const struct halves last = {BIT(15), 0};

	for (unsigned reg = 0; reg < 16; reg++) {
		if (!(u->loaded.low & BIT(reg))) {
			return reg;
		}
	}
	unit_store_vectors(u, (struct halves){u->dirty.low & last.low, 0});
	u->dirty = halves_without(u->dirty, last);
	u->loaded = halves_without(u->loaded, last);
	return 15;
}

/* The guest's are in its state then, and zero. */
void insn_emit_zero_upper(struct unit *u)
{
	const struct host_vex vxorps = {.map = INSN_MAP_0F, .opcode = 0x57};
	const struct host_vex store = {.map = INSN_MAP_0F, .opcode = 0x29, .is_256 = true};
	unsigned zero;

	u->dirty.high = u->loaded.high = 0;
	zero = free_vector(u);
	code_emit_zero_upper(u->e);
	u->upper = false;
	emit_vex(u->e, &vxorps, zero, zero, host_register(zero));
	for (size_t at = 0; at < sizeof(((struct cpu *)NULL)->ymm_high); at += 32) {
		emit_vex(u->e, &store, zero, 0, host_state(offsetof(struct cpu, ymm_high) + at));
	}
}
