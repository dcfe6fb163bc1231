/* SPDX-License-Identifier: MIT */
/*
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR, SHLD SHRD. A count of zero leaves the flags
 * alone, a count above one leaves some undefined: the host instruction runs on the guest's flags
 * and decides.
 */
#include "core/engine/soft/exec_integer.h"

#define DEFINE_SHIFT(op, bits, suffix) \
	static inline uint##bits##_t shift_##op##bits( \
			uint64_t *flags, uint##bits##_t value, uint8_t count) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__(ASM_FLAGS_IN #op suffix " %%cl, %[value]" ASM_FLAGS_OUT \
				: [value] "+&r"(value), "+&a"(ax) \
				: "c"(count) \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
		return value; \
	} \
	static void op##bits##_register(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t value = reg_get##bits(cpu, insn, insn->rm); \
		reg_set##bits(cpu, insn, insn->rm, \
				shift_##op##bits(&cpu->rflags, value, (uint8_t)insn->imm)); \
	} \
	static void op##bits##_register_cl(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t value = reg_get##bits(cpu, insn, insn->rm); \
		uint8_t count = (uint8_t)cpu->regs[X86_RCX]; \
		reg_set##bits(cpu, insn, insn->rm, shift_##op##bits(&cpu->rflags, value, count)); \
	} \
	static void op##bits##_memory(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint8_t count = (uint8_t)(insn->opcode >= 0xd2 ? cpu->regs[X86_RCX] : insn->imm); \
		uint64_t linear, flags = cpu->rflags; \
		uint##bits##_t *host = memory_change##bits(cpu, insn, &linear), value; \
		if (likely(host)) { \
			memcpy(&value, host, sizeof(value)); \
			value = shift_##op##bits(&flags, value, count); \
			memcpy(host, &value, sizeof(value)); \
		} else { \
			value = shift_##op##bits(&flags, mmu_load##bits(cpu, linear), count); \
			mmu_store##bits(cpu, linear, value); \
		} \
		cpu->rflags = flags; \
	}

#define DEFINE_SHIFT_SIZES(op) \
	DEFINE_SHIFT(op, 8, "b") \
	DEFINE_SHIFT(op, 16, "w") \
	DEFINE_SHIFT(op, 32, "l") \
	DEFINE_SHIFT(op, 64, "q")

DEFINE_SHIFT_SIZES(rol)
DEFINE_SHIFT_SIZES(ror)
DEFINE_SHIFT_SIZES(rcl)
DEFINE_SHIFT_SIZES(rcr)
DEFINE_SHIFT_SIZES(shl)
DEFINE_SHIFT_SIZES(shr)
DEFINE_SHIFT_SIZES(sar)

#define SHIFT_FORMS(op, bits) \
	{ \
		op##bits##_register, op##bits##_register_cl, op##bits##_memory \
	}
#define SHIFT_SIZES(op) \
	{ \
		SHIFT_FORMS(op, 8), SHIFT_FORMS(op, 16), SHIFT_FORMS(op, 32), SHIFT_FORMS(op, 64) \
	}

/* By ModRM.reg; 6 is SAL, the same as SHL. */
static insn_exec_fn *const shift_table[8][4][3] = {
		SHIFT_SIZES(rol),
		SHIFT_SIZES(ror),
		SHIFT_SIZES(rcl),
		SHIFT_SIZES(rcr),
		SHIFT_SIZES(shl),
		SHIFT_SIZES(shr),
		SHIFT_SIZES(shl),
		SHIFT_SIZES(sar),
};

#define DEFINE_DOUBLE_SHIFT(op, bits, suffix) \
	static inline uint##bits##_t double_##op##bits( \
			uint64_t *flags, uint##bits##_t value, uint##bits##_t fill, uint8_t count) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__(ASM_FLAGS_IN #op suffix " %%cl, %[fill], %[value]" ASM_FLAGS_OUT \
				: [value] "+&r"(value), "+&a"(ax) \
				: [fill] "r"(fill), "c"(count) \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
		return value; \
	} \
	static void op##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint8_t count = (uint8_t)(insn->opcode & 1 ? cpu->regs[X86_RCX] : insn->imm); \
		uint##bits##_t fill = reg_get##bits(cpu, insn, insn->reg), value; \
		uint64_t linear, flags = cpu->rflags; \
		uint##bits##_t *host; \
		if (!insn->is_memory) { \
			value = reg_get##bits(cpu, insn, insn->rm); \
			value = double_##op##bits(&cpu->rflags, value, fill, count); \
			reg_set##bits(cpu, insn, insn->rm, value); \
			return; \
		} \
		host = memory_change##bits(cpu, insn, &linear); \
		if (likely(host)) { \
			memcpy(&value, host, sizeof(value)); \
			value = double_##op##bits(&flags, value, fill, count); \
			memcpy(host, &value, sizeof(value)); \
		} else { \
			value = mmu_load##bits(cpu, linear); \
			value = double_##op##bits(&flags, value, fill, count); \
			mmu_store##bits(cpu, linear, value); \
		} \
		cpu->rflags = flags; \
	}

DEFINE_DOUBLE_SHIFT(shld, 16, "w")
DEFINE_DOUBLE_SHIFT(shld, 32, "l")
DEFINE_DOUBLE_SHIFT(shld, 64, "q")
DEFINE_DOUBLE_SHIFT(shrd, 16, "w")
DEFINE_DOUBLE_SHIFT(shrd, 32, "l")
DEFINE_DOUBLE_SHIFT(shrd, 64, "q")

insn_exec_fn *exec_shift_find(struct insn *insn)
{
	static insn_exec_fn *const shld_table[3] = {shld16, shld32, shld64};
	static insn_exec_fn *const shrd_table[3] = {shrd16, shrd32, shrd64};
	unsigned size = size_index(insn), form;

	if (insn->map == INSN_MAP_0F) {
		if ((insn->opcode & ~1u) == 0xa4) {
			return shld_table[size - 1];
		}
		return (insn->opcode & ~1u) == 0xac ? shrd_table[size - 1] : NULL;
	}
	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0xd0 ... 0xd1:
		insn->imm = 1;
		__attribute__((fallthrough));
	case 0xc0 ... 0xc1:
	case 0xd2 ... 0xd3:
		form = insn->is_memory ? 2 : insn->opcode >= 0xd2;
		return shift_table[modrm_reg(insn)][size][form];
	default:
		return NULL;
	}
}
