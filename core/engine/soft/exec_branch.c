/* SPDX-License-Identifier: MIT */
/*
 * Near transfers of control: Jcc JMP CALL RET LOOP JCXZ, and BOUND. A target outside the code
 * segment, or not canonical, raises #GP at the branch, before anything has changed. In 64-bit mode
 * their operand size is always 8, elsewhere 2 or 4.
 */
#include "core/engine/soft/exec_integer.h"

/* Where a branch to target goes; checked. */
static uint64_t branch_target(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (insn->operand_size == 8) {
		if (unlikely(!linear_is_canonical(target))) {
			cpu_raise_gp(cpu);
		}
		return target;
	}
	target = insn->operand_size == 2 ? (uint16_t)target : (uint32_t)target;
	if (unlikely(target > cpu->seg[X86_CS].limit)) {
		cpu_raise_gp(cpu);
	}
	return target;
}

static inline void branch_relative(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = cpu->next_rip + insn->imm;

	if (likely(insn->operand_size == 8 && linear_is_canonical(target))) {
		cpu->next_rip = target;
	} else {
		cpu->next_rip = branch_target(cpu, insn, target);
	}
}

#define DEFINE_JCC(cc) \
	static void jcc_##cc(struct cpu *cpu, const struct insn *insn) \
	{ \
		if (condition_holds(cpu->rflags, cc)) { \
			branch_relative(cpu, insn); \
		} \
	}

DEFINE_JCC(0)
DEFINE_JCC(1)
DEFINE_JCC(2)
DEFINE_JCC(3)
DEFINE_JCC(4)
DEFINE_JCC(5)
DEFINE_JCC(6)
DEFINE_JCC(7)
DEFINE_JCC(8)
DEFINE_JCC(9)
DEFINE_JCC(10)
DEFINE_JCC(11)
DEFINE_JCC(12)
DEFINE_JCC(13)
DEFINE_JCC(14)
DEFINE_JCC(15)

static insn_exec_fn *const jcc_table[16] = {jcc_0, jcc_1, jcc_2, jcc_3, jcc_4, jcc_5, jcc_6, jcc_7,
		jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15};

static void jmp_relative(struct cpu *cpu, const struct insn *insn)
{
	branch_relative(cpu, insn);
}

static void call_relative64(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = branch_target(cpu, insn, cpu->next_rip + insn->imm);

	exec_push64(cpu, cpu->next_rip);
	cpu->next_rip = target;
}

static void call_relative(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = branch_target(cpu, insn, cpu->next_rip + insn->imm);

	exec_push(cpu, cpu->next_rip, insn->operand_size);
	cpu->next_rip = target;
}

static inline uint64_t indirect_target(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target;

	switch (insn->operand_size) {
	case 2:
		target = rm_get16(cpu, insn);
		break;
	case 4:
		target = rm_get32(cpu, insn);
		break;
	default:
		target = rm_get64(cpu, insn);
		break;
	}
	return branch_target(cpu, insn, target);
}

static void call_indirect(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = indirect_target(cpu, insn);

	exec_push(cpu, cpu->next_rip, insn->operand_size);
	cpu->next_rip = target;
}

static void jmp_indirect(struct cpu *cpu, const struct insn *insn)
{
	cpu->next_rip = indirect_target(cpu, insn);
}

static void ret64(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = branch_target(cpu, insn, exec_peek64(cpu));

	cpu->regs[X86_RSP] += 8;
	cpu->next_rip = target;
}

/* The immediate is the number of bytes of arguments to drop. */
static void ret(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = branch_target(cpu, insn, exec_peek(cpu, 0, insn->operand_size));

	exec_stack_move(cpu, insn->operand_size + (insn->opcode == 0xc2 ? (uint16_t)insn->imm : 0));
	cpu->next_rip = target;
}

/* The count register is as wide as an address. */
static uint64_t counter_mask(const struct insn *insn)
{
	return insn->address_size == 8 ? UINT64_MAX : BIT(insn->address_size * 8) - 1;
}

static void jcxz(struct cpu *cpu, const struct insn *insn)
{
	if ((cpu->regs[X86_RCX] & counter_mask(insn)) == 0) {
		branch_relative(cpu, insn);
	}
}

/* LOOPNE, LOOPE, LOOP: opcodes E0, E1, E2. */
static void loop(struct cpu *cpu, const struct insn *insn)
{
	uint64_t count = (cpu->regs[X86_RCX] - 1) & counter_mask(insn);
	bool zero = cpu->rflags & X86_FLAG_ZF;

	if (count != 0 && (insn->opcode == 0xe2 || zero == (insn->opcode == 0xe1))) {
		branch_relative(cpu, insn);
	}
	reg_set(cpu, insn, X86_RCX, count, insn->address_size);
}

/* Signed bounds, lower first. */
static void bound(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t linear = operand_linear(cpu, insn, size * 2u, MMU_READ);
	int64_t index, lower, upper;

	if (size == 2) {
		lower = (int16_t)mmu_load16(cpu, linear);
		upper = (int16_t)mmu_load16(cpu, linear + size);
		index = (int16_t)cpu->regs[insn->reg];
	} else {
		lower = (int32_t)mmu_load32(cpu, linear);
		upper = (int32_t)mmu_load32(cpu, linear + size);
		index = (int32_t)cpu->regs[insn->reg];
	}
	if (index < lower || index > upper) {
		cpu_raise(cpu, X86_VECTOR_BR);
	}
}

insn_exec_fn *exec_branch_find(struct insn *insn)
{
	bool wide = insn->operand_size == 8;

	if (insn->map == INSN_MAP_0F) {
		return insn->opcode >= 0x80 && insn->opcode <= 0x8f ? jcc_table[insn->opcode & 15]
								    : NULL;
	}
	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0x62:
		return bound;
	case 0x70 ... 0x7f:
		return jcc_table[insn->opcode & 15];
	case 0xc2:
		return ret;
	case 0xc3:
		return wide ? ret64 : ret;
	case 0xe0 ... 0xe2:
		return loop;
	case 0xe3:
		return jcxz;
	case 0xe8:
		return wide ? call_relative64 : call_relative;
	case 0xe9:
	case 0xeb:
		return jmp_relative;
	case 0xff:
		if (modrm_reg(insn) == 2) {
			return call_indirect;
		}
		return modrm_reg(insn) == 4 ? jmp_indirect : NULL;
	default:
		return NULL;
	}
}
