/* SPDX-License-Identifier: MIT */
/* INC DEC NEG NOT, in all sizes, on registers and memory. */
#include "core/engine/soft/exec_integer.h"

/* INC and DEC leave CF alone, NOT leaves all flags alone: so they are loaded before. */
#define DEFINE_UNARY(op, bits, suffix) \
	static inline uint##bits##_t unary_##op##bits(uint64_t *flags, uint##bits##_t value) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__(ASM_FLAGS_IN #op suffix " %[value]" ASM_FLAGS_OUT \
				: [value] "+&r"(value), "+&a"(ax) \
				: \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
		return value; \
	} \
	static inline void unary_locked_##op##bits(uint64_t *flags, uint##bits##_t *value) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__ volatile(ASM_FLAGS_IN "lock; " #op suffix " %[value]" ASM_FLAGS_OUT \
				 : [value] "+m"(*value), "+&a"(ax) \
				 : \
				 : "cc", "memory"); \
		*flags = flags_merge(*flags, ax); \
	} \
	static void op##bits##_register(struct cpu *cpu, const struct insn *insn) \
	{ \
		reg_set##bits(cpu, insn, insn->rm, \
				unary_##op##bits(&cpu->rflags, \
						reg_get##bits(cpu, insn, insn->rm))); \
	} \
	static void op##bits##_memory(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint64_t linear, flags = cpu->rflags; \
		bool locked = insn_is_locked(insn); \
		uint##bits##_t *host = locked ? memory_locked##bits(cpu, insn, &linear) \
					      : memory_change##bits(cpu, insn, &linear); \
		uint##bits##_t value; \
		if (unlikely(!host)) { \
			value = unary_##op##bits(&flags, mmu_load##bits(cpu, linear)); \
			mmu_store##bits(cpu, linear, value); \
		} else if (locked) { \
			unary_locked_##op##bits(&flags, host); \
		} else { \
			memcpy(&value, host, sizeof(value)); \
			value = unary_##op##bits(&flags, value); \
			memcpy(host, &value, sizeof(value)); \
		} \
		cpu->rflags = flags; \
	}

#define DEFINE_UNARY_SIZES(op) \
	DEFINE_UNARY(op, 8, "b") \
	DEFINE_UNARY(op, 16, "w") \
	DEFINE_UNARY(op, 32, "l") \
	DEFINE_UNARY(op, 64, "q")

DEFINE_UNARY_SIZES(inc)
DEFINE_UNARY_SIZES(dec)
DEFINE_UNARY_SIZES(not )
DEFINE_UNARY_SIZES(neg)

#define UNARY_SIZES(op) \
	{ \
		{op##8_register, op##8_memory}, {op##16_register, op##16_memory}, \
				{op##32_register, op##32_memory}, \
		{ \
			op##64_register, op##64_memory \
		} \
	}

enum unary_op { UNARY_INC, UNARY_DEC, UNARY_NOT, UNARY_NEG };

static insn_exec_fn *const unary_table[4][4][2] = {
		UNARY_SIZES(inc),
		UNARY_SIZES(dec),
		UNARY_SIZES(not ),
		UNARY_SIZES(neg),
};

static insn_exec_fn *unary_bind(const struct insn *insn, enum unary_op op)
{
	return unary_table[op][size_index(insn)][insn->is_memory ? 1 : 0];
}

insn_exec_fn *exec_unary_find(struct insn *insn)
{
	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0x40 ... 0x47:
		return unary_bind(insn, UNARY_INC);
	case 0x48 ... 0x4f:
		return unary_bind(insn, UNARY_DEC);
	case 0xf6 ... 0xf7:
		if (modrm_reg(insn) == 2 || modrm_reg(insn) == 3) {
			return unary_bind(insn, modrm_reg(insn) == 2 ? UNARY_NOT : UNARY_NEG);
		}
		return NULL;
	case 0xfe ... 0xff:
		return modrm_reg(insn) < 2 ? unary_bind(insn, (enum unary_op)modrm_reg(insn))
					   : NULL;
	default:
		return NULL;
	}
}
