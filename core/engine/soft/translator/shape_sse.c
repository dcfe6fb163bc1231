/* SPDX-License-Identifier: MIT */
/* Shapes of the instructions on XMM and MMX registers. */
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native.h"
#include "core/engine/soft/translator/shape.h"

#define NP BIT(NATIVE_PREFIX_NONE)
#define P66 BIT(NATIVE_PREFIX_66)
#define PF3 BIT(NATIVE_PREFIX_F3)
#define PF2 BIT(NATIVE_PREFIX_F2)

#define MEMORY BIT(0) /* has a form with memory */
#define REGISTER BIT(1) /* has a form with a register */
#define ALIGNED BIT(2) /* memory of 16 bytes must be aligned */
#define MERGES BIT(3) /* the form with a register keeps the rest of the destination */
#define GENERAL BIT(4) /* modrm.rm names a general register */

/* What is not among the rows of native_table.c: moves, and logic that the interpreter does in C. */
static const struct move {
	uint8_t prefixes, first, last;
	uint8_t reg_use, rm_use;
	uint8_t size; /* of memory; 0: by the operand size */
	uint8_t flags;
} moves[] = {
		{NP | P66, 0x10, 0x10, SHAPE_WRITE, SHAPE_READ, 16, MEMORY | REGISTER},
		{PF3, 0x10, 0x10, SHAPE_WRITE, SHAPE_READ, 4, MEMORY | REGISTER | MERGES},
		{PF2, 0x10, 0x10, SHAPE_WRITE, SHAPE_READ, 8, MEMORY | REGISTER | MERGES},
		{NP | P66, 0x11, 0x11, SHAPE_READ, SHAPE_WRITE, 16, MEMORY | REGISTER},
		{PF3, 0x11, 0x11, SHAPE_READ, SHAPE_WRITE, 4, MEMORY | REGISTER | MERGES},
		{PF2, 0x11, 0x11, SHAPE_READ, SHAPE_WRITE, 8, MEMORY | REGISTER | MERGES},
		{NP, 0x12, 0x12, SHAPE_CHANGE, SHAPE_READ, 8, MEMORY | REGISTER},
		{P66, 0x12, 0x12, SHAPE_CHANGE, SHAPE_READ, 8, MEMORY},
		{NP | P66, 0x13, 0x13, SHAPE_READ, SHAPE_WRITE, 8, MEMORY},
		{NP, 0x16, 0x16, SHAPE_CHANGE, SHAPE_READ, 8, MEMORY | REGISTER},
		{P66, 0x16, 0x16, SHAPE_CHANGE, SHAPE_READ, 8, MEMORY},
		{NP | P66, 0x17, 0x17, SHAPE_READ, SHAPE_WRITE, 8, MEMORY},
		{NP | P66, 0x28, 0x28, SHAPE_WRITE, SHAPE_READ, 16, MEMORY | REGISTER | ALIGNED},
		{NP | P66, 0x29, 0x29, SHAPE_READ, SHAPE_WRITE, 16, MEMORY | REGISTER | ALIGNED},
		{NP | P66, 0x2b, 0x2b, SHAPE_READ, SHAPE_WRITE, 16, MEMORY | ALIGNED},
		{NP | P66, 0x54, 0x57, SHAPE_CHANGE, SHAPE_READ, 16, MEMORY | REGISTER | ALIGNED},
		{P66, 0x6e, 0x6e, SHAPE_WRITE, SHAPE_READ, 0, MEMORY | REGISTER | GENERAL},
		{P66, 0x6f, 0x6f, SHAPE_WRITE, SHAPE_READ, 16, MEMORY | REGISTER | ALIGNED},
		{PF3, 0x6f, 0x6f, SHAPE_WRITE, SHAPE_READ, 16, MEMORY | REGISTER},
		{P66, 0x7e, 0x7e, SHAPE_READ, SHAPE_WRITE, 0, MEMORY | REGISTER | GENERAL},
		{PF3, 0x7e, 0x7e, SHAPE_WRITE, SHAPE_READ, 8, MEMORY | REGISTER},
		{P66, 0x7f, 0x7f, SHAPE_READ, SHAPE_WRITE, 16, MEMORY | REGISTER | ALIGNED},
		{PF3, 0x7f, 0x7f, SHAPE_READ, SHAPE_WRITE, 16, MEMORY | REGISTER},
		{P66, 0xd6, 0xd6, SHAPE_READ, SHAPE_WRITE, 8, MEMORY | REGISTER},
		{P66, 0xe7, 0xe7, SHAPE_READ, SHAPE_WRITE, 16, MEMORY | ALIGNED},
		{PF2, 0xf0, 0xf0, SHAPE_WRITE, SHAPE_READ, 16, MEMORY},
};

static const struct move *move_find(const struct insn *insn)
{
	unsigned prefix = 1u << native_prefix(insn);

	for (size_t i = 0; i < G_N_ELEMENTS(moves) && insn->map == INSN_MAP_0F; i++) {
		const struct move *move = &moves[i];
		if (insn->opcode >= move->first && insn->opcode <= move->last &&
				(move->prefixes & prefix) &&
				(move->flags & (insn->is_memory ? MEMORY : REGISTER))) {
			return move;
		}
	}
	return NULL;
}

static void shape_common(struct shape *shape, const struct insn *insn)
{
	static const uint8_t prefix_bytes[] = {
			[NATIVE_PREFIX_F3] = 0xf3, [NATIVE_PREFIX_F2] = 0xf2};
	enum native_prefix prefix = native_prefix(insn);

	shape->kind = SHAPE_MODRM;
	shape->sse = true;
	shape->opcode = insn->opcode;
	shape->extension = (insn->modrm >> 3) & 7;
	shape->opsize = prefix == NATIVE_PREFIX_66;
	shape->prefix = prefix > NATIVE_PREFIX_66 ? prefix_bytes[prefix] : 0;
	shape->reg_size = shape->rm_size = 16;
}

static void shape_move(struct shape *shape, const struct insn *insn, const struct move *move)
{
	shape_common(shape, insn);
	shape->reg_use = move->reg_use;
	shape->rm_use = move->rm_use;
	if ((move->flags & MERGES) && !insn->is_memory) {
		shape->reg_use |= move->reg_use & SHAPE_WRITE ? SHAPE_READ : 0;
		shape->rm_use |= move->rm_use & SHAPE_WRITE ? SHAPE_READ : 0;
	}
	shape->reg_xmm = true;
	shape->rm_xmm = !(move->flags & GENERAL) && !insn->is_memory;
	shape->rex_w = (move->flags & GENERAL) && (insn->prefixes & INSN_PREFIX_REX_W);
	shape->aligned = (move->flags & ALIGNED) && insn->is_memory ? 16 : 0;
	shape->rm_size = move->size ? move->size : shape->rex_w ? 8 : 4;
}

static void shape_row(struct shape *shape, const struct insn *insn, const struct native_desc *desc)
{
	bool to_rm = desc->flags & NATIVE_FLAG_TO_RM;
	unsigned destination = desc->flags & NATIVE_FLAG_NO_DESTINATION ? SHAPE_READ : SHAPE_CHANGE;
	unsigned memory = insn->memory_size ? insn->memory_size : insn->operand_size;

	shape_common(shape, insn);
	shape->reg_use = (uint8_t)(to_rm ? SHAPE_READ : destination);
	shape->rm_use = (uint8_t)(to_rm ? destination : SHAPE_READ);
	if (desc->reg_kind == NATIVE_KIND_NONE) {
		shape->reg_use = 0;
	}
	shape->reg_xmm = desc->reg_kind != NATIVE_KIND_GPR && desc->reg_kind != NATIVE_KIND_NONE;
	shape->rm_xmm = desc->rm_kind != NATIVE_KIND_GPR && !insn->is_memory;
	shape->rex_w = (desc->flags & NATIVE_FLAG_REX_W) && (insn->prefixes & INSN_PREFIX_REX_W);
	shape->imm_size = desc->flags & NATIVE_FLAG_IMM8 ? 1 : 0;
	shape->rm_size = (uint8_t)(insn->is_memory ? memory : 8);
	if (insn->is_memory && (shape->rm_use & SHAPE_WRITE)) {
		shape->rm_use = SHAPE_WRITE;
	}
	if (insn->is_memory && memory == 16 && !(desc->flags & NATIVE_FLAG_UNALIGNED)) {
		shape->aligned = 16;
	}
	shape->xmm0_use = (desc->flags & NATIVE_FLAG_XMM0 ? SHAPE_READ : 0) |
			  (desc->flags & NATIVE_FLAG_TO_XMM0 ? SHAPE_CHANGE : 0);
	if (desc->flags & NATIVE_FLAG_RFLAGS) {
		shape->flags_written = X86_FLAGS_ARITH;
	}
}

static bool is_mm(unsigned kind, const struct insn *insn)
{
	return kind == NATIVE_KIND_MM ||
	       (kind == NATIVE_KIND_MM_XMM && native_prefix(insn) != NATIVE_PREFIX_66);
}

/* MOVD, MOVQ, MOVNTQ: what the interpreter does in C. False if it is something else. */
static bool shape_mmx_move(struct shape *shape, const struct insn *insn)
{
	bool general = insn->opcode == 0x6e || insn->opcode == 0x7e;
	bool load = insn->opcode == 0x6e || insn->opcode == 0x6f;

	if (insn->map != INSN_MAP_0F || native_prefix(insn) != NATIVE_PREFIX_NONE ||
			!(general || insn->opcode == 0x6f || insn->opcode == 0x7f ||
					insn->opcode == 0xe7)) {
		return false;
	}
	shape_common(shape, insn);
	shape->sse = false;
	shape->reg_mm = true;
	shape->rm_mm = !general && !insn->is_memory;
	shape->reg_use = load ? SHAPE_WRITE : SHAPE_READ;
	shape->rm_use = load ? SHAPE_READ : SHAPE_WRITE;
	shape->rex_w = general && (insn->prefixes & INSN_PREFIX_REX_W);
	shape->rm_size = general && !shape->rex_w ? 4 : 8;
	return true;
}

/* MOVDQ2Q, MOVQ2DQ. False if it is something else. */
static bool shape_mixed_move(struct shape *shape, const struct insn *insn)
{
	enum native_prefix prefix = native_prefix(insn);

	if (insn->map != INSN_MAP_0F || insn->opcode != 0xd6 ||
			(prefix != NATIVE_PREFIX_F2 && prefix != NATIVE_PREFIX_F3)) {
		return false;
	}
	shape_common(shape, insn);
	shape->reg_mm = shape->rm_xmm = prefix == NATIVE_PREFIX_F2;
	shape->rm_mm = shape->reg_xmm = !shape->reg_mm;
	shape->reg_use = SHAPE_WRITE;
	shape->rm_use = SHAPE_READ;
	return true;
}

void shape_of_mmx(const struct insn *insn, struct shape *shape)
{
	const struct native_desc *desc = native_lookup(insn);

	if (insn->map == INSN_MAP_0F && insn->opcode == 0x77) {
		shape->kind = SHAPE_X87;
		shape->x87 = true;
		return;
	}
	if (shape_mmx_move(shape, insn) || shape_mixed_move(shape, insn)) {
		shape->x87 = true;
		return;
	}
	if (!desc || !native_has_feature((enum native_feature)desc->feature) ||
			(insn->is_memory && desc->reg_kind == NATIVE_KIND_XMM)) {
		return;
	}
	shape_row(shape, insn, desc);
	shape->reg_mm = is_mm(desc->reg_kind, insn);
	shape->rm_mm = is_mm(desc->rm_kind, insn) && !insn->is_memory;
	shape->reg_xmm = shape->reg_xmm && !shape->reg_mm;
	shape->rm_xmm = shape->rm_xmm && !shape->rm_mm;
	shape->sse = desc->reg_kind == NATIVE_KIND_XMM || desc->rm_kind == NATIVE_KIND_XMM;
	shape->x87 = true;
}

void shape_of_sse(const struct insn *insn, struct shape *shape)
{
	const struct move *move = move_find(insn);
	const struct native_desc *desc = move ? NULL : native_lookup(insn);

	if (move) {
		shape_move(shape, insn, move);
	} else if (desc && native_has_feature(desc->feature) && !is_mm(desc->reg_kind, insn) &&
			!is_mm(desc->rm_kind, insn)) {
		shape_row(shape, insn, desc);
	}
}
