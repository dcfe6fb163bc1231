/* SPDX-License-Identifier: MIT */
/*
 * Moves: MOV MOVZX MOVSX MOVSXD MOVBE MOVNTI LEA CMOVcc SETcc BSWAP CBW/CWD XLAT, and the
 * instructions that do nothing.
 */
#include "core/engine/soft/exec_integer.h"

static void do_nothing(struct cpu *cpu, const struct insn *insn)
{
	(void)cpu;
	(void)insn;
}

static void do_pause(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	smp_pause(cpu);
}

#define DEFINE_MOV(bits) \
	static void mov##bits##_rr(struct cpu *cpu, const struct insn *insn) \
	{ \
		reg_set##bits(cpu, insn, insn->rm, reg_get##bits(cpu, insn, insn->reg)); \
	} \
	static void mov##bits##_rm(struct cpu *cpu, const struct insn *insn) \
	{ \
		reg_set##bits(cpu, insn, insn->reg, memory_load##bits(cpu, insn)); \
	} \
	static void mov##bits##_mr(struct cpu *cpu, const struct insn *insn) \
	{ \
		memory_store##bits(cpu, insn, reg_get##bits(cpu, insn, insn->reg)); \
	} \
	static void mov##bits##_ri(struct cpu *cpu, const struct insn *insn) \
	{ \
		reg_set##bits(cpu, insn, insn->rm, (uint##bits##_t)insn->imm); \
	} \
	static void mov##bits##_mi(struct cpu *cpu, const struct insn *insn) \
	{ \
		memory_store##bits(cpu, insn, (uint##bits##_t)insn->imm); \
	} \
	static void mov##bits##_from_offset(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint64_t linear = operand_linear(cpu, insn, (bits) / 8, MMU_READ); \
		reg_set##bits(cpu, insn, X86_RAX, mmu_load##bits(cpu, linear)); \
	} \
	static void mov##bits##_to_offset(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint64_t linear = operand_linear(cpu, insn, (bits) / 8, MMU_WRITE); \
		mmu_store##bits(cpu, linear, reg_get##bits(cpu, insn, X86_RAX)); \
	}

DEFINE_MOV(8)
DEFINE_MOV(16)
DEFINE_MOV(32)
DEFINE_MOV(64)

/*
 * Widening: from type to a register of bits. Through a signed type of the destination's size where
 * the sign extends.
 */
#define DEFINE_EXTEND(name, from, from_type, to, to_type) \
	static void name##_r(struct cpu *cpu, const struct insn *insn) \
	{ \
		from_type value = (from_type)reg_get##from(cpu, insn, insn->rm); \
		reg_set##to(cpu, insn, insn->reg, (uint##to##_t)(to_type)value); \
	} \
	static void name##_m(struct cpu *cpu, const struct insn *insn) \
	{ \
		from_type value = (from_type)memory_load##from(cpu, insn); \
		reg_set##to(cpu, insn, insn->reg, (uint##to##_t)(to_type)value); \
	}

DEFINE_EXTEND(movzx8to16, 8, uint8_t, 16, uint16_t)
DEFINE_EXTEND(movzx8to32, 8, uint8_t, 32, uint32_t)
DEFINE_EXTEND(movzx8to64, 8, uint8_t, 64, uint64_t)
DEFINE_EXTEND(movzx16to16, 16, uint16_t, 16, uint16_t)
DEFINE_EXTEND(movzx16to32, 16, uint16_t, 32, uint32_t)
DEFINE_EXTEND(movzx16to64, 16, uint16_t, 64, uint64_t)
DEFINE_EXTEND(movsx8to16, 8, int8_t, 16, int16_t)
DEFINE_EXTEND(movsx8to32, 8, int8_t, 32, int32_t)
DEFINE_EXTEND(movsx8to64, 8, int8_t, 64, int64_t)
DEFINE_EXTEND(movsx16to16, 16, int16_t, 16, int16_t)
DEFINE_EXTEND(movsx16to32, 16, int16_t, 32, int32_t)
DEFINE_EXTEND(movsx16to64, 16, int16_t, 64, int64_t)
DEFINE_EXTEND(movsx32to32, 32, int32_t, 32, int32_t)
DEFINE_EXTEND(movsx32to64, 32, int32_t, 64, int64_t)

static insn_exec_fn *extend_bind(const struct insn *insn)
{
	/* By the low bit of the opcode (16-bit source), operand size, register or memory. */
	static insn_exec_fn *const zero[2][3][2] = {
			{{movzx8to16_r, movzx8to16_m}, {movzx8to32_r, movzx8to32_m},
					{movzx8to64_r, movzx8to64_m}},
			{{movzx16to16_r, movzx16to16_m}, {movzx16to32_r, movzx16to32_m},
					{movzx16to64_r, movzx16to64_m}},
	};
	static insn_exec_fn *const sign[2][3][2] = {
			{{movsx8to16_r, movsx8to16_m}, {movsx8to32_r, movsx8to32_m},
					{movsx8to64_r, movsx8to64_m}},
			{{movsx16to16_r, movsx16to16_m}, {movsx16to32_r, movsx16to32_m},
					{movsx16to64_r, movsx16to64_m}},
	};
	unsigned size = size_index(insn) - 1, memory = insn->is_memory ? 1 : 0;

	return insn->opcode < 0xbe ? zero[insn->opcode & 1][size][memory]
				   : sign[insn->opcode & 1][size][memory];
}

/* MOVSXD moves 16 bits with a 16-bit operand size. */
static insn_exec_fn *movsxd_bind(const struct insn *insn)
{
	static insn_exec_fn *const table[3][2] = {
			{movsx16to16_r, movsx16to16_m},
			{movsx32to32_r, movsx32to32_m},
			{movsx32to64_r, movsx32to64_m},
	};
	return table[size_index(insn) - 1][insn->is_memory ? 1 : 0];
}

static void lea64(struct cpu *cpu, const struct insn *insn)
{
	uint64_t offset = (uint64_t)(int64_t)insn->disp;

	if (likely(insn->base < X86_REG_COUNT)) {
		offset += cpu->regs[insn->base];
	} else if (insn->base == INSN_BASE_RIP) {
		offset += cpu->rip + insn->length;
	}
	if (insn->index != INSN_REG_NONE) {
		offset += cpu->regs[insn->index] << insn->scale;
	}
	cpu->regs[insn->reg] = offset;
}

static void lea(struct cpu *cpu, const struct insn *insn)
{
	reg_set(cpu, insn, insn->reg, operand_offset(cpu, insn), insn->operand_size);
}

/*
 * The source is read, and the upper half of a 32-bit destination cleared, whatever the condition.
 */
#define DEFINE_CMOV_SIZE(cc, bits) \
	static void cmov##bits##_##cc(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t value = rm_get##bits(cpu, insn); \
		if (!condition_holds(cpu->rflags, cc)) { \
			value = reg_get##bits(cpu, insn, insn->reg); \
		} \
		reg_set##bits(cpu, insn, insn->reg, value); \
	}
#define DEFINE_CONDITION(cc) \
	DEFINE_CMOV_SIZE(cc, 16) \
	DEFINE_CMOV_SIZE(cc, 32) \
	DEFINE_CMOV_SIZE(cc, 64) \
	static void setcc_##cc(struct cpu *cpu, const struct insn *insn) \
	{ \
		rm_set8(cpu, insn, condition_holds(cpu->rflags, cc)); \
	}

DEFINE_CONDITION(0)
DEFINE_CONDITION(1)
DEFINE_CONDITION(2)
DEFINE_CONDITION(3)
DEFINE_CONDITION(4)
DEFINE_CONDITION(5)
DEFINE_CONDITION(6)
DEFINE_CONDITION(7)
DEFINE_CONDITION(8)
DEFINE_CONDITION(9)
DEFINE_CONDITION(10)
DEFINE_CONDITION(11)
DEFINE_CONDITION(12)
DEFINE_CONDITION(13)
DEFINE_CONDITION(14)
DEFINE_CONDITION(15)

#define CONDITIONS(name) \
	{ \
		name##_0, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, \
				name##_8, name##_9, name##_10, name##_11, name##_12, name##_13, \
				name##_14, name##_15 \
	}

static insn_exec_fn *const cmov_table[3][16] = {
		CONDITIONS(cmov16),
		CONDITIONS(cmov32),
		CONDITIONS(cmov64),
};

static insn_exec_fn *const setcc_table[16] = CONDITIONS(setcc);

/* With a 16-bit operand the result is undefined; processors give 0. */
static void bswap(struct cpu *cpu, const struct insn *insn)
{
	switch (insn->operand_size) {
	case 2:
		reg_set16(cpu, insn, insn->rm, 0);
		break;
	case 4:
		cpu->regs[insn->rm] = __builtin_bswap32((uint32_t)cpu->regs[insn->rm]);
		break;
	default:
		cpu->regs[insn->rm] = __builtin_bswap64(cpu->regs[insn->rm]);
		break;
	}
}

static void movbe(struct cpu *cpu, const struct insn *insn)
{
	bool load = insn->opcode == 0xf0;

	switch (insn->operand_size) {
	case 2:
		if (load) {
			reg_set16(cpu, insn, insn->reg,
					__builtin_bswap16(memory_load16(cpu, insn)));
		} else {
			memory_store16(cpu, insn,
					__builtin_bswap16((uint16_t)cpu->regs[insn->reg]));
		}
		break;
	case 4:
		if (load) {
			cpu->regs[insn->reg] = __builtin_bswap32(memory_load32(cpu, insn));
		} else {
			memory_store32(cpu, insn,
					__builtin_bswap32((uint32_t)cpu->regs[insn->reg]));
		}
		break;
	default:
		if (load) {
			cpu->regs[insn->reg] = __builtin_bswap64(memory_load64(cpu, insn));
		} else {
			memory_store64(cpu, insn, __builtin_bswap64(cpu->regs[insn->reg]));
		}
		break;
	}
}

/* CBW CWDE CDQE: the lower half of rAX into all of it. */
static void extend_accumulator(struct cpu *cpu, const struct insn *insn)
{
	switch (insn->operand_size) {
	case 2:
		reg_set16(cpu, insn, X86_RAX, (uint16_t)(int8_t)cpu->regs[X86_RAX]);
		break;
	case 4:
		cpu->regs[X86_RAX] = (uint32_t)(int16_t)cpu->regs[X86_RAX];
		break;
	default:
		cpu->regs[X86_RAX] = (uint64_t)(int32_t)cpu->regs[X86_RAX];
		break;
	}
}

/* CWD CDQ CQO: the sign of rAX into all of rDX. */
static void extend_into_rdx(struct cpu *cpu, const struct insn *insn)
{
	unsigned sign_bit = insn->operand_size * 8 - 1;
	uint64_t sign = -((cpu->regs[X86_RAX] >> sign_bit) & 1);

	reg_set(cpu, insn, X86_RDX, sign, insn->operand_size);
}

static void xlat(struct cpu *cpu, const struct insn *insn)
{
	uint64_t offset = cpu->regs[X86_RBX] + (uint8_t)cpu->regs[X86_RAX];
	uint64_t linear;

	if (insn->address_size == 4) {
		offset = (uint32_t)offset;
	} else if (insn->address_size == 2) {
		offset = (uint16_t)offset;
	}
	linear = segment_linear(cpu, insn->segment, offset, 1, MMU_READ);
	*(uint8_t *)&cpu->regs[X86_RAX] = mmu_load8(cpu, linear);
}

#define MOV_SIZES(form) \
	{ \
		mov8_##form, mov16_##form, mov32_##form, mov64_##form \
	}

enum mov_form { MOV_RR, MOV_RM, MOV_MR, MOV_RI, MOV_MI, MOV_FROM_OFFSET, MOV_TO_OFFSET };

static insn_exec_fn *const mov_table[][4] = {
		[MOV_RR] = MOV_SIZES(rr),
		[MOV_RM] = MOV_SIZES(rm),
		[MOV_MR] = MOV_SIZES(mr),
		[MOV_RI] = MOV_SIZES(ri),
		[MOV_MI] = MOV_SIZES(mi),
		[MOV_FROM_OFFSET] = MOV_SIZES(from_offset),
		[MOV_TO_OFFSET] = MOV_SIZES(to_offset),
};

/* A load from a register is a store to one with the operands the other way round. */
static insn_exec_fn *mov_bind(struct insn *insn)
{
	unsigned size = size_index(insn);
	uint8_t reg = insn->reg;

	if (insn->opcode & 2) {
		if (insn->is_memory) {
			return mov_table[MOV_RM][size];
		}
		insn->reg = insn->rm;
		insn->rm = reg;
		return mov_table[MOV_RR][size];
	}
	return mov_table[insn->is_memory ? MOV_MR : MOV_RR][size];
}

static insn_exec_fn *move_find_legacy(struct insn *insn)
{
	unsigned size = size_index(insn);

	switch (insn->opcode) {
	case 0x63:
		return movsxd_bind(insn);
	case 0x88 ... 0x8b:
		return mov_bind(insn);
	case 0x8d:
		return insn->address_size == 8 && insn->operand_size == 8 ? lea64 : lea;
	case 0x90:
		if (insn->rm != X86_RAX) {
			return NULL;
		}
		return insn->prefixes & INSN_PREFIX_REP ? do_pause : do_nothing;
	case 0x98:
		return extend_accumulator;
	case 0x99:
		return extend_into_rdx;
	case 0xa0 ... 0xa1:
		return mov_table[MOV_FROM_OFFSET][size];
	case 0xa2 ... 0xa3:
		return mov_table[MOV_TO_OFFSET][size];
	case 0xb0 ... 0xbf:
		return mov_table[MOV_RI][size];
	case 0xc6 ... 0xc7:
		return mov_table[insn->is_memory ? MOV_MI : MOV_RI][size];
	case 0xd7:
		return xlat;
	default:
		return NULL;
	}
}

static insn_exec_fn *move_find_0f(struct insn *insn)
{
	switch (insn->opcode) {
	case 0x0d: /* PREFETCHW */
	case 0x18 ... 0x1f: /* PREFETCHh, ENDBR, NOP */
		return do_nothing;
	case 0x40 ... 0x4f:
		return cmov_table[size_index(insn) - 1][insn->opcode & 15];
	case 0x90 ... 0x9f:
		return setcc_table[insn->opcode & 15];
	case 0xb6 ... 0xb7:
	case 0xbe ... 0xbf:
		return extend_bind(insn);
	case 0xc3: /* MOVNTI: a store like any other, for one processor */
		return mov_table[MOV_MR][size_index(insn)];
	case 0xc8 ... 0xcf:
		return bswap;
	default:
		return NULL;
	}
}

insn_exec_fn *exec_move_find(struct insn *insn)
{
	switch (insn->map) {
	case INSN_MAP_LEGACY:
		return move_find_legacy(insn);
	case INSN_MAP_0F:
		return move_find_0f(insn);
	case INSN_MAP_0F38:
		if ((insn->opcode == 0xf0 || insn->opcode == 0xf1) &&
				!(insn->prefixes & INSN_PREFIX_REPNE)) {
			return movbe;
		}
		return NULL;
	default:
		return NULL;
	}
}
