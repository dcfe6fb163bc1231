/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/merge.h"

#include "core/engine/soft/translator/code.h"

/* Most bytes from the first to the last: the more, the more often they lie in two pages. */
#define SPAN_MAX 256

/* Farther than this from what it was, a register's value is taken for another. */
#define DISTANCE_MAX (1 << 20)

/* What a register has: some value that no other id stands for, and a known distance. */
struct value {
	unsigned id;
	int32_t distance;
};

/* One memory operand. */
struct access {
	struct value at;
	uint8_t size;
	uint8_t aligned; /* as in struct shape */
	bool write;
};

struct planner {
	const struct block *block;
	const struct shape *shapes;
	struct merge_plan *plan;
	struct value regs[X86_REG_COUNT];
	unsigned next_id;
	/* The operands that r14 is near; count 0: none. */
	struct {
		unsigned count, first, last, id;
		int32_t low, high; /* distances */
		bool write;
		unsigned aligned; /* bytes that some are aligned to at most; 0: none is */
		unsigned phase; /* of those, distance from a multiple of that */
	} open;
	int32_t distances[BLOCK_MAX_INSNS]; /* of the operands in open, by instruction */
	bool member[BLOCK_MAX_INSNS];
};

static void forget(struct planner *p, unsigned reg)
{
	p->regs[reg] = (struct value){.id = p->next_id++};
}

static void forget_all(struct planner *p)
{
	for (unsigned reg = 0; reg < X86_REG_COUNT; reg++) {
		forget(p, reg);
	}
}

static void put(struct planner *p, unsigned reg, struct value value, int64_t distance)
{
	int64_t sum = value.distance + distance;

	if (sum < -DISTANCE_MAX || sum > DISTANCE_MAX) {
		forget(p, reg);
	} else {
		p->regs[reg] = (struct value){.id = value.id, .distance = (int32_t)sum};
	}
}

/* Writes down what is open, if it is worth it. */
static void close_open(struct planner *p)
{
	struct merge_plan *plan = p->plan;

	if (p->open.count > 1) {
		if (p->open.aligned) {
			p->open.low -= (int32_t)(((unsigned)p->open.low - p->open.phase) %
						 p->open.aligned);
		}
		struct merge *merge = &plan->merges[plan->count];
		*merge = (struct merge){.first = (uint8_t)p->open.first,
				.last = (uint8_t)p->open.last,
				.size = (uint16_t)(p->open.high - p->open.low),
				.write = p->open.write,
				.aligned = (uint8_t)p->open.aligned};
		for (unsigned i = p->open.first; i <= p->open.last; i++) {
			if (p->member[i]) {
				plan->insns[i].merge = (uint8_t)plan->count;
				plan->insns[i].offset = (uint16_t)(p->distances[i] - p->open.low);
			}
		}
		plan->count++;
	}
	p->open.count = 0;
}

static unsigned phase_of(const struct access *access, unsigned aligned)
{
	return (unsigned)access->at.distance % aligned;
}

/* Whether all can be aligned as they are to be. */
static bool aligns(const struct planner *p, const struct access *access)
{
	unsigned both = MIN(p->open.aligned, access->aligned);

	return both == 0 || p->open.phase % both == phase_of(access, both);
}

/* Whether one look can do for what is open and another operand. */
static bool fits(const struct planner *p, const struct access *access)
{
	int32_t low = access->at.distance, high = low + access->size;

	return p->open.count > 0 && p->open.id == access->at.id &&
	       MAX(high, p->open.high) - MIN(low, p->open.low) <= SPAN_MAX && aligns(p, access);
}

static void add_access(struct planner *p, unsigned i, const struct access *access)
{
	int32_t low = access->at.distance, high = low + access->size;

	if (fits(p, access)) {
		p->open.count++;
		p->open.low = MIN(low, p->open.low);
		p->open.high = MAX(high, p->open.high);
		p->open.write |= access->write;
	} else {
		close_open(p);
		p->open.count = 1;
		p->open.first = i;
		p->open.id = access->at.id;
		p->open.low = low;
		p->open.high = high;
		p->open.write = access->write;
		p->open.aligned = 0;
	}
	if (access->aligned > p->open.aligned) {
		p->open.aligned = access->aligned;
		p->open.phase = phase_of(access, access->aligned);
	}
	p->open.last = i;
	p->member[i] = true;
	p->distances[i] = low;
}

/* A memory operand of modrm that is a register and a distance, and has nothing else to it. */
static bool is_simple(const struct insn *insn, const struct shape *shape)
{
	return insn->is_memory && insn->base < X86_REG_COUNT && insn->index == INSN_REG_NONE &&
	       insn->segment != X86_FS && insn->segment != X86_GS && !shape->lock && !shape->x87 &&
	       (!shape->aligned || shape->sse); /* vectors alone */
}

/* The instruction's operand, if it is the only one, and at a known distance from a register's value. */
static bool access_of(const struct planner *p, const struct insn *insn, const struct shape *shape,
		struct access *ret)
{
	bool modrm = false;
	unsigned base = X86_RSP;
	int64_t distance = 0;

	*ret = (struct access){.size = 8};
	switch ((enum shape_kind)shape->kind) {
	case SHAPE_MODRM:
	case SHAPE_VEX:
	case SHAPE_VEX_GENERAL:
		modrm = true;
		break;
	case SHAPE_PUSH:
	case SHAPE_CALL:
		distance = -8;
		ret->write = true;
		break;
	case SHAPE_POP:
	case SHAPE_RET:
		break;
	case SHAPE_LEAVE:
		base = X86_RBP;
		break;
	default:
		return false;
	}
	if (modrm) {
		base = insn->base;
		distance = insn->disp;
		ret->size = shape->rm_size;
		ret->write = shape->rm_use & SHAPE_WRITE;
		ret->aligned = shape->aligned;
	}
	if (modrm ? !is_simple(insn, shape) : insn->is_memory) {
		return false;
	}
	distance += p->regs[base].distance;
	if (distance < -DISTANCE_MAX || distance > DISTANCE_MAX) {
		return false;
	}
	ret->at = (struct value){.id = p->regs[base].id, .distance = (int32_t)distance};
	return true;
}

/* Whether r14 is the same after an instruction without memory operand. */
static bool keeps_r14(const struct insn *insn, const struct shape *shape)
{
	switch ((enum shape_kind)shape->kind) {
	case SHAPE_MODRM:
		return !insn->is_memory && !shape->x87 &&
		       (!shape->reg_use || shape->reg_xmm || shape->rm_xmm ||
				       code_home(insn->reg) != HOST_NONE ||
				       code_home(insn->rm) != HOST_NONE);
	case SHAPE_VEX:
		return !insn->is_memory;
	case SHAPE_VEX_GENERAL:
		return !insn->is_memory &&
		       (!(shape->vex_use & SHAPE_READ) ||
				       code_home(insn->vex_reg & 15) != HOST_NONE ||
				       code_home(insn->rm) != HOST_NONE);
	case SHAPE_LEA:
		return insn->base == INSN_REG_NONE || insn->index == INSN_REG_NONE ||
		       insn->base == INSN_BASE_RIP || code_home(insn->base) != HOST_NONE ||
		       code_home(insn->index) != HOST_NONE;
	case SHAPE_IMPLICIT:
	case SHAPE_SHORT:
	case SHAPE_NOTHING:
	case SHAPE_ZERO_UPPER:
		return true;
	default:
		return false;
	}
}

/* A general register that modrm names as a byte may be the second of another. */
static void forget_named(struct planner *p, unsigned reg, unsigned size)
{
	forget(p, reg);
	if (size == 1) {
		forget(p, reg & 3);
	}
}

static void note_modrm(struct planner *p, const struct insn *insn, const struct shape *shape)
{
	bool wide = insn->operand_size == 8 && insn->map == INSN_MAP_LEGACY;
	bool by_imm = wide && (shape->opcode == 0x81 || shape->opcode == 0x83);

	if (!insn->is_memory && wide && shape->opcode == 0x89) {
		p->regs[insn->rm] = p->regs[insn->reg];
		return;
	}
	if (!insn->is_memory && by_imm && (shape->extension == 0 || shape->extension == 5)) {
		int64_t distance = (int64_t)insn->imm;
		if (distance < -DISTANCE_MAX || distance > DISTANCE_MAX) {
			forget(p, insn->rm);
			return;
		}
		put(p, insn->rm, p->regs[insn->rm], shape->extension == 0 ? distance : -distance);
		return;
	}
	if ((shape->reg_use & SHAPE_WRITE) && !shape->reg_xmm && !shape->reg_mm) {
		forget_named(p, insn->reg, shape->reg_size);
	}
	if ((shape->rm_use & SHAPE_WRITE) && !insn->is_memory && !shape->rm_xmm && !shape->rm_mm) {
		forget_named(p, insn->rm, shape->rm_size);
	}
}

/* MUL, CMPXCHG, PCMPISTRI and their like write these without naming them. */
static bool writes_unnamed(const struct insn *insn)
{
	if (insn->map == INSN_MAP_LEGACY) {
		return insn->opcode >= 0x90;
	}
	return insn->map != INSN_MAP_0F || (insn->opcode >= 0xb0 && insn->opcode <= 0xb1) ||
	       insn->opcode == 0xc7;
}

/* What registers have after the instruction. */
static void note_registers(struct planner *p, const struct insn *insn, const struct shape *shape)
{
	struct value rbp = p->regs[X86_RBP];

	switch ((enum shape_kind)shape->kind) {
	case SHAPE_NOTHING:
	case SHAPE_ZERO_UPPER:
		return;
	case SHAPE_PUSH:
		put(p, X86_RSP, p->regs[X86_RSP], -8);
		return;
	case SHAPE_POP:
		put(p, X86_RSP, p->regs[X86_RSP], 8);
		forget(p, insn->rm);
		return;
	case SHAPE_LEAVE:
		put(p, X86_RSP, rbp, 8);
		forget(p, X86_RBP);
		return;
	case SHAPE_LEA:
		if (insn->operand_size == 8 && insn->base < X86_REG_COUNT &&
				insn->index == INSN_REG_NONE) {
			put(p, insn->reg, p->regs[insn->base], insn->disp);
		} else {
			forget(p, insn->reg);
		}
		return;
	case SHAPE_SHORT:
		forget_named(p, insn->rm, insn->operand_size);
		return;
	case SHAPE_VEX_GENERAL:
		if (shape->reg_use) {
			forget(p, insn->reg);
		}
		if (shape->vex_use & SHAPE_WRITE) {
			forget(p, insn->vex_reg & 15);
		}
		return;
	case SHAPE_VEX:
		note_modrm(p, insn, shape);
		if (!shape->flags_written) {
			return; /* else it may be VPCMPISTRI */
		}
		break;
	case SHAPE_MODRM:
		note_modrm(p, insn, shape);
		break;
	case SHAPE_IMPLICIT:
		break;
	default:
		forget_all(p);
		return;
	}
	if (shape->kind == SHAPE_IMPLICIT || writes_unnamed(insn)) {
		forget(p, X86_RAX);
		forget(p, X86_RCX);
		forget(p, X86_RDX);
	}
}

void merge_plan(const struct block *block, const struct shape *shapes, struct merge_plan *ret_plan)
{
	struct planner p = {.block = block, .shapes = shapes, .plan = ret_plan};
	struct access access;

	ret_plan->count = 0;
	forget_all(&p);
	for (unsigned i = 0; i < block->count; i++) {
		const struct insn *insn = &block->insns[i];
		ret_plan->insns[i].merge = MERGE_NONE;
		ret_plan->insns[i].offset = 0;
		if (access_of(&p, insn, &shapes[i], &access)) {
			add_access(&p, i, &access);
		} else if (!keeps_r14(insn, &shapes[i])) {
			close_open(&p);
		}
		note_registers(&p, insn, &shapes[i]);
	}
	close_open(&p);
}
