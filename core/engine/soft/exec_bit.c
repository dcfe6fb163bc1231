/* SPDX-License-Identifier: MIT */
/* Single bits (BT BTS BTR BTC) and counting them (BSF BSR TZCNT LZCNT POPCNT). */
#include "core/engine/soft/exec_integer.h"

#define DEFINE_BIT(op, bits, suffix) \
	static inline uint##bits##_t bit_##op##bits( \
			uint64_t *flags, uint##bits##_t value, uint##bits##_t bit) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__(ASM_FLAGS_IN #op suffix " %[bit], %[value]" ASM_FLAGS_OUT \
				: [value] "+&r"(value), "+&a"(ax) \
				: [bit] "r"(bit) \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
		return value; \
	}
#define DEFINE_BIT_LOCKED(op, bits, suffix) \
	static inline void bit_locked_##op##bits( \
			uint64_t *flags, uint##bits##_t *value, uint##bits##_t bit) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__ volatile(ASM_FLAGS_IN "lock; " #op suffix \
					      " %[bit], %[value]" ASM_FLAGS_OUT \
				 : [value] "+m"(*value), "+&a"(ax) \
				 : [bit] "r"((uint##bits##_t)(bit & ((bits)-1))) \
				 : "cc", "memory"); \
		*flags = flags_merge(*flags, ax); \
	}

/*
 * With the bit number in a register, memory is a string of bits around the address: signed, in
 * operands.
 */
#define DEFINE_BIT_LINEAR(bits) \
	static uint64_t bit_linear##bits(struct cpu *cpu, const struct insn *insn, \
			uint##bits##_t bit, enum mmu_access access) \
	{ \
		uint64_t offset = operand_offset(cpu, insn); \
		if (insn->opcode != 0xba) { \
			offset += (uint64_t)((int64_t)(int##bits##_t)bit / (bits) - \
						  ((int##bits##_t)bit % (bits) < 0 ? 1 : 0)) * \
				  ((bits) / 8); \
		} \
		if (insn->address_size != 8) { \
			offset = insn->address_size == 4 ? (uint32_t)offset : (uint16_t)offset; \
		} \
		return segment_linear(cpu, insn->segment, offset, (bits) / 8, access); \
	}

#define DEFINE_BT_FORMS(bits) \
	static void bt##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t bit = (uint##bits##_t)( \
				insn->opcode == 0xba ? insn->imm : cpu->regs[insn->reg]); \
		uint##bits##_t value; \
		if (insn->is_memory) { \
			value = mmu_load##bits(cpu, bit_linear##bits(cpu, insn, bit, MMU_READ)); \
		} else { \
			value = reg_get##bits(cpu, insn, insn->rm); \
		} \
		(void)bit_bt##bits(&cpu->rflags, value, bit); \
	}

#define DEFINE_BIT_FORMS(op, bits) \
	static void op##bits##_memory( \
			struct cpu *cpu, const struct insn *insn, uint##bits##_t bit) \
	{ \
		uint64_t linear = bit_linear##bits(cpu, insn, bit, MMU_WRITE); \
		uint64_t flags = cpu->rflags; \
		uint##bits##_t *host = linear_change(cpu, linear, (bits) / 8), value; \
		bool locked = insn_is_locked(insn); \
		if (locked && !(host && lock_is_cheap(host, (bits) / 8))) { \
			smp_exclude(cpu); \
			host = NULL; \
		} \
		if (!host) { \
			value = bit_##op##bits(&flags, mmu_load##bits(cpu, linear), bit); \
			mmu_store##bits(cpu, linear, value); \
		} else if (locked) { \
			bit_locked_##op##bits(&flags, host, bit); \
		} else { \
			memcpy(&value, host, sizeof(value)); \
			value = bit_##op##bits(&flags, value, bit); \
			memcpy(host, &value, sizeof(value)); \
		} \
		cpu->rflags = flags; \
	} \
	static void op##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t bit = (uint##bits##_t)( \
				insn->opcode == 0xba ? insn->imm : cpu->regs[insn->reg]); \
		if (insn->is_memory) { \
			op##bits##_memory(cpu, insn, bit); \
		} else { \
			uint##bits##_t value = reg_get##bits(cpu, insn, insn->rm); \
			reg_set##bits(cpu, insn, insn->rm, \
					bit_##op##bits(&cpu->rflags, value, bit)); \
		} \
	}

#define DEFINE_CHANGE(op, bits, suffix) \
	DEFINE_BIT(op, bits, suffix) \
	DEFINE_BIT_LOCKED(op, bits, suffix) \
	DEFINE_BIT_FORMS(op, bits)

#define DEFINE_BIT_SIZE(bits, suffix) \
	DEFINE_BIT_LINEAR(bits) \
	DEFINE_BIT(bt, bits, suffix) \
	DEFINE_BT_FORMS(bits) \
	DEFINE_CHANGE(bts, bits, suffix) \
	DEFINE_CHANGE(btr, bits, suffix) \
	DEFINE_CHANGE(btc, bits, suffix)

DEFINE_BIT_SIZE(16, "w")
DEFINE_BIT_SIZE(32, "l")
DEFINE_BIT_SIZE(64, "q")

/*
 * All of the destination register goes through the host instruction: BSF and BSR of zero leave it
 * as it is. TZCNT and LZCNT are BSF and BSR on a host that does not know them, as they are for its
 * guest then.
 */
#define DEFINE_COUNT_SIZE(op, bits, operands) \
	static void op##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = rm_get##bits(cpu, insn); \
		uint64_t dst = cpu->regs[insn->reg], ax = flags_pack(cpu->rflags); \
		__asm__(ASM_FLAGS_IN #op " " operands ASM_FLAGS_OUT \
				: [dst] "+&r"(dst), "+&a"(ax) \
				: [src] "r"(src) \
				: "cc"); \
		cpu->regs[insn->reg] = dst; \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
	}
#define DEFINE_COUNT(op) \
	DEFINE_COUNT_SIZE(op, 16, "%w[src], %w[dst]") \
	DEFINE_COUNT_SIZE(op, 32, "%k[src], %k[dst]") \
	DEFINE_COUNT_SIZE(op, 64, "%q[src], %q[dst]")

DEFINE_COUNT(bsf)
DEFINE_COUNT(bsr)
DEFINE_COUNT(tzcnt)
DEFINE_COUNT(lzcnt)
DEFINE_COUNT(popcnt)

#define COUNT_SIZES(op) \
	{ \
		op##16, op##32, op##64 \
	}

insn_exec_fn *exec_bit_find(struct insn *insn)
{
	static insn_exec_fn *const bit_table[4][3] = {
			COUNT_SIZES(bt), COUNT_SIZES(bts), COUNT_SIZES(btr), COUNT_SIZES(btc)};
	static insn_exec_fn *const count_table[5][3] = {COUNT_SIZES(bsf), COUNT_SIZES(bsr),
			COUNT_SIZES(tzcnt), COUNT_SIZES(lzcnt), COUNT_SIZES(popcnt)};
	unsigned size;

	if (insn->map != INSN_MAP_0F) {
		return NULL;
	}
	size = size_index(insn) - 1;
	switch (insn->opcode) {
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
		return bit_table[(insn->opcode >> 3) & 3][size];
	case 0xb8:
		return count_table[4][size];
	case 0xba:
		return bit_table[modrm_reg(insn) & 3][size];
	case 0xbc ... 0xbd:
		return count_table[(insn->prefixes & INSN_PREFIX_REP ? 2 : 0) + (insn->opcode & 1)]
				  [size];
	default:
		return NULL;
	}
}
