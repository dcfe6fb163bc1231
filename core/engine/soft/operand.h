/* SPDX-License-Identifier: MIT */
/*
 * Operands of decoded instructions: effective addresses, segmentation, registers by size. Shared by
 * all exec_*.c files.
 */
#ifndef CORE_ENGINE_SOFT_OPERAND_H
#define CORE_ENGINE_SOFT_OPERAND_H

#include "core/engine/soft/cpu.h"
#include "core/engine/soft/mmu.h"

/*
 * The slow half of operand_linear(): limits, types, null selectors, canonical form. Raises #GP or
 * #SS.
 */
uint64_t segment_check(struct cpu *cpu, unsigned segment, uint64_t offset, size_t len,
		enum mmu_access access);

/* The offset part of insn's memory operand, truncated to its address size. */
static inline uint64_t operand_offset(const struct cpu *cpu, const struct insn *insn)
{
	uint64_t offset = (uint64_t)(int64_t)insn->disp;

	if (insn->base == INSN_BASE_RIP) {
		offset += cpu->rip + insn->length;
	} else if (insn->base != INSN_REG_NONE) {
		offset += cpu->regs[insn->base];
	} else if (insn->index == INSN_REG_NONE && insn->modrm == 0 &&
			insn->map == INSN_MAP_LEGACY && insn->opcode >= 0xa0 &&
			insn->opcode <= 0xa3) {
		offset = insn->imm; /* moffs */
	}
	if (insn->index != INSN_REG_NONE) {
		offset += cpu->regs[insn->index] << insn->scale;
	}
	if (insn->address_size == 4) {
		return (uint32_t)offset;
	}
	return insn->address_size == 2 ? (uint16_t)offset : offset;
}

static inline bool linear_is_canonical(uint64_t linear)
{
	return (uint64_t)(((int64_t)(linear << 16)) >> 16) == linear;
}

/* Offset in segment to linear address, checked for an access of len bytes. Raises #GP or #SS. */
static inline uint64_t segment_linear(struct cpu *cpu, unsigned segment, uint64_t offset,
		size_t len, enum mmu_access access)
{
	if (likely(!(cpu->segments_checked & BIT(segment)))) {
		uint64_t linear = cpu->seg_base[segment] + offset;
		if (cpu->mode != INSN_MODE_64) {
			linear = (uint32_t)linear;
		} else if (unlikely(!linear_is_canonical(linear) ||
					   !linear_is_canonical(linear + len - 1))) {
			return segment_check(cpu, segment, offset, len, access);
		}
		return linear;
	}
	return segment_check(cpu, segment, offset, len, access);
}

/* Linear address of insn's memory operand of len bytes. Raises #GP or #SS. */
static inline uint64_t operand_linear(
		struct cpu *cpu, const struct insn *insn, size_t len, enum mmu_access access)
{
	return segment_linear(cpu, insn->segment, operand_offset(cpu, insn), len, access);
}

#endif
