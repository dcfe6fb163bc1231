/* SPDX-License-Identifier: MIT */
/*
 * Two-operand arithmetic: ADD OR ADC SBB AND SUB XOR CMP TEST, one function for each operation,
 * size and form. The host's own instruction does the work and gives the flags, and on memory it
 * works in place.
 */
#include "core/engine/soft/exec_integer.h"

/* Prepares CF for adc and sbb. */
#define CARRY_NONE ""
#define CARRY_IN "btl $0, %k[flags]\n\t"

/*
 * alu_*: the operation on values; alu_memory_*: on host memory, alu_locked_*: atomically. All
 * change *flags.
 */
#define DEFINE_OPERATION(op, bits, suffix, carry) \
	static inline uint##bits##_t alu_##op##bits( \
			uint64_t *flags, uint##bits##_t dst, uint##bits##_t src) \
	{ \
		uint64_t ax; \
		__asm__(carry #op suffix " %[src], %[dst]" ASM_FLAGS_OUT \
				: [dst] "+&r"(dst), "=&a"(ax) \
				: [src] "r"(src), [flags] "r"(*flags) \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
		return dst; \
	} \
	static inline void alu_memory_##op##bits( \
			uint64_t *flags, uint##bits##_t *dst, uint##bits##_t src) \
	{ \
		uint64_t ax; \
		__asm__ volatile(carry #op suffix " %[src], %[dst]" ASM_FLAGS_OUT \
				 : [dst] "+m"(*dst), "=&a"(ax) \
				 : [src] "r"(src), [flags] "r"(*flags) \
				 : "cc"); \
		*flags = flags_merge(*flags, ax); \
	} \
	static inline void alu_locked_##op##bits( \
			uint64_t *flags, uint##bits##_t *dst, uint##bits##_t src) \
	{ \
		uint64_t ax; \
		__asm__ volatile(carry "lock; " #op suffix " %[src], %[dst]" ASM_FLAGS_OUT \
				 : [dst] "+m"(*dst), "=&a"(ax) \
				 : [src] "r"(src), [flags] "r"(*flags) \
				 : "cc", "memory"); \
		*flags = flags_merge(*flags, ax); \
	}

/* CMP and TEST leave their operand alone. */
#define DEFINE_COMPARISON(op, bits, suffix) \
	static inline void alu_##op##bits(uint64_t *flags, uint##bits##_t dst, uint##bits##_t src) \
	{ \
		uint64_t ax; \
		__asm__(#op suffix " %[src], %[dst]" ASM_FLAGS_OUT \
				: "=&a"(ax) \
				: [dst] "r"(dst), [src] "r"(src) \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
	}

/*
 * Forms, by destination and source: rr (rm, reg), mr (memory, reg), rm (reg, memory), ri (rm,
 * immediate), mi (memory, immediate); lr and li are mr and mi with a LOCK prefix.
 */
#define DEFINE_TO_MEMORY(name, op, bits, kind, find, source) \
	static void name(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint64_t linear, flags = cpu->rflags; \
		uint##bits##_t *host = find##bits(cpu, insn, &linear); \
		if (likely(host)) { \
			alu_##kind##op##bits(&flags, host, (uint##bits##_t)(source)); \
		} else { \
			uint##bits##_t value = mmu_load##bits(cpu, linear); \
			value = alu_##op##bits(&flags, value, (uint##bits##_t)(source)); \
			mmu_store##bits(cpu, linear, value); \
		} \
		cpu->rflags = flags; \
	}

#define DEFINE_OPERATION_FORMS(op, bits) \
	static void op##bits##_rr(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = reg_get##bits(cpu, insn, insn->reg); \
		uint##bits##_t dst = reg_get##bits(cpu, insn, insn->rm); \
		reg_set##bits(cpu, insn, insn->rm, alu_##op##bits(&cpu->rflags, dst, src)); \
	} \
	static void op##bits##_rm(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = memory_load##bits(cpu, insn); \
		uint##bits##_t dst = reg_get##bits(cpu, insn, insn->reg); \
		reg_set##bits(cpu, insn, insn->reg, alu_##op##bits(&cpu->rflags, dst, src)); \
	} \
	static void op##bits##_ri(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t dst = reg_get##bits(cpu, insn, insn->rm); \
		reg_set##bits(cpu, insn, insn->rm, \
				alu_##op##bits(&cpu->rflags, dst, (uint##bits##_t)insn->imm)); \
	} \
	DEFINE_TO_MEMORY(op##bits##_mr, op, bits, memory_, memory_change, \
			reg_get##bits(cpu, insn, insn->reg)) \
	DEFINE_TO_MEMORY(op##bits##_mi, op, bits, memory_, memory_change, insn->imm) \
	DEFINE_TO_MEMORY(op##bits##_lr, op, bits, locked_, memory_locked, \
			reg_get##bits(cpu, insn, insn->reg)) \
	DEFINE_TO_MEMORY(op##bits##_li, op, bits, locked_, memory_locked, insn->imm)

#define DEFINE_COMPARISON_FORMS(op, bits) \
	static void op##bits##_rr(struct cpu *cpu, const struct insn *insn) \
	{ \
		alu_##op##bits(&cpu->rflags, reg_get##bits(cpu, insn, insn->rm), \
				reg_get##bits(cpu, insn, insn->reg)); \
	} \
	static void op##bits##_rm(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = memory_load##bits(cpu, insn); \
		alu_##op##bits(&cpu->rflags, reg_get##bits(cpu, insn, insn->reg), src); \
	} \
	static void op##bits##_ri(struct cpu *cpu, const struct insn *insn) \
	{ \
		alu_##op##bits(&cpu->rflags, reg_get##bits(cpu, insn, insn->rm), \
				(uint##bits##_t)insn->imm); \
	} \
	static void op##bits##_mr(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t dst = memory_load##bits(cpu, insn); \
		alu_##op##bits(&cpu->rflags, dst, reg_get##bits(cpu, insn, insn->reg)); \
	} \
	static void op##bits##_mi(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t dst = memory_load##bits(cpu, insn); \
		alu_##op##bits(&cpu->rflags, dst, (uint##bits##_t)insn->imm); \
	}

#define DEFINE_ALL_SIZES(op, carry) \
	DEFINE_OPERATION(op, 8, "b", carry) \
	DEFINE_OPERATION(op, 16, "w", carry) \
	DEFINE_OPERATION(op, 32, "l", carry) \
	DEFINE_OPERATION(op, 64, "q", carry) \
	DEFINE_OPERATION_FORMS(op, 8) \
	DEFINE_OPERATION_FORMS(op, 16) \
	DEFINE_OPERATION_FORMS(op, 32) \
	DEFINE_OPERATION_FORMS(op, 64)

#define DEFINE_COMPARISON_ALL_SIZES(op) \
	DEFINE_COMPARISON(op, 8, "b") \
	DEFINE_COMPARISON(op, 16, "w") \
	DEFINE_COMPARISON(op, 32, "l") \
	DEFINE_COMPARISON(op, 64, "q") \
	DEFINE_COMPARISON_FORMS(op, 8) \
	DEFINE_COMPARISON_FORMS(op, 16) \
	DEFINE_COMPARISON_FORMS(op, 32) \
	DEFINE_COMPARISON_FORMS(op, 64)

DEFINE_ALL_SIZES(add, CARRY_NONE)
DEFINE_ALL_SIZES(or, CARRY_NONE)
DEFINE_ALL_SIZES(adc, CARRY_IN)
DEFINE_ALL_SIZES(sbb, CARRY_IN)
DEFINE_ALL_SIZES(and, CARRY_NONE)
DEFINE_ALL_SIZES(sub, CARRY_NONE)
DEFINE_ALL_SIZES(xor, CARRY_NONE)
DEFINE_COMPARISON_ALL_SIZES(cmp)
DEFINE_COMPARISON_ALL_SIZES(test)

enum alu_form { FORM_RR, FORM_RM, FORM_RI, FORM_MR, FORM_MI, FORM_LR, FORM_LI, FORM_COUNT };

#define FORMS(op, bits) \
	{ \
		op##bits##_rr, op##bits##_rm, op##bits##_ri, op##bits##_mr, op##bits##_mi, \
				op##bits##_lr, op##bits##_li \
	}
#define COMPARISON_FORMS(op, bits) \
	{ \
		op##bits##_rr, op##bits##_rm, op##bits##_ri, op##bits##_mr, op##bits##_mi, NULL, \
				NULL \
	}
#define SIZES(forms, op) \
	{ \
		forms(op, 8), forms(op, 16), forms(op, 32), forms(op, 64) \
	}

#define ALU_TEST 8

/* In the order of the opcodes, then TEST. */
static insn_exec_fn *const alu_table[9][4][FORM_COUNT] = {
		SIZES(FORMS, add),
		SIZES(FORMS, or),
		SIZES(FORMS, adc),
		SIZES(FORMS, sbb),
		SIZES(FORMS, and),
		SIZES(FORMS, sub),
		SIZES(FORMS, xor),
		SIZES(COMPARISON_FORMS, cmp),
		SIZES(COMPARISON_FORMS, test),
};

/*
 * Accumulator forms become immediate forms, "reg, rm" becomes "rm, reg" where both are registers.
 */
static insn_exec_fn *alu_bind(struct insn *insn, unsigned op, enum alu_form form)
{
	uint8_t reg = insn->reg;

	if (form == FORM_RM && !insn->is_memory) {
		insn->reg = insn->rm;
		insn->rm = reg;
		form = FORM_RR;
	} else if (form == FORM_RR && insn->is_memory) {
		form = insn_is_locked(insn) ? FORM_LR : FORM_MR;
	} else if (form == FORM_RI && insn->is_memory) {
		form = insn_is_locked(insn) ? FORM_LI : FORM_MI;
	}
	return alu_table[op][size_index(insn)][form];
}

insn_exec_fn *exec_alu_find(struct insn *insn)
{
	static const enum alu_form forms[6] = {
			FORM_RR, FORM_RR, FORM_RM, FORM_RM, FORM_RI, FORM_RI};

	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	if (insn->opcode < 0x40 && (insn->opcode & 7) < 6) {
		if (insn->opcode & 4) {
			insn->rm = X86_RAX;
		}
		return alu_bind(insn, insn->opcode >> 3, forms[insn->opcode & 7]);
	}
	switch (insn->opcode) {
	case 0x80 ... 0x83:
		return alu_bind(insn, modrm_reg(insn), FORM_RI);
	case 0x84 ... 0x85:
		return alu_bind(insn, ALU_TEST, FORM_RR);
	case 0xa8 ... 0xa9:
		insn->rm = X86_RAX;
		return alu_bind(insn, ALU_TEST, FORM_RI);
	case 0xf6 ... 0xf7:
		return modrm_reg(insn) < 2 ? alu_bind(insn, ALU_TEST, FORM_RI) : NULL;
	default:
		return NULL;
	}
}
