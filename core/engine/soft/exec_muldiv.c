/* SPDX-License-Identifier: MIT */
/*
 * MUL IMUL DIV IDIV. The flags that they leave undefined are the host's, from the guest's flags
 * before.
 */
#include "core/engine/soft/exec_integer.h"

/*
 * The host instruction on rdx:rax, which passes the flags by way of ax: low and high are moved in
 * once the flags are loaded and out before they are fetched.
 */
#define ASM_WIDE(op, reg_a, reg_d) \
	__asm__(ASM_FLAGS_IN "mov %[low], %%" reg_a "\n\tmov %[high], %%" reg_d "\n\t" op \
			     " %[src]\n\tmov %%" reg_a ", %[low]\n\tmov %%" reg_d \
			     ", %[high]" ASM_FLAGS_OUT \
			: [low] "+&r"(low), [high] "+&r"(high), "+&a"(ax) \
			: [src] "r"(src) \
			: "rdx", "cc")

#define DEFINE_WIDE(op, bits, suffix, reg_a, reg_d) \
	static void wide_##op##bits(struct cpu *cpu, const struct insn *insn, uint##bits##_t src) \
	{ \
		uint##bits##_t low = (uint##bits##_t)cpu->regs[X86_RAX]; \
		uint##bits##_t high = (uint##bits##_t)cpu->regs[X86_RDX]; \
		uint64_t ax = flags_pack(cpu->rflags); \
		ASM_WIDE(#op suffix, reg_a, reg_d); \
		reg_set##bits(cpu, insn, X86_RAX, low); \
		reg_set##bits(cpu, insn, X86_RDX, high); \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
	}
#define DEFINE_WIDE_OPERATION(op) \
	DEFINE_WIDE(op, 16, "w", "ax", "dx") \
	DEFINE_WIDE(op, 32, "l", "eax", "edx") \
	DEFINE_WIDE(op, 64, "q", "rax", "rdx") \
	/* The 8-bit form has its result, or its dividend, in ax alone. */ \
	static void wide_##op##8(struct cpu * cpu, const struct insn *insn, uint8_t src) \
	{ \
		uint16_t low = (uint16_t)cpu->regs[X86_RAX]; \
		uint64_t ax = flags_pack(cpu->rflags); \
		__asm__(ASM_FLAGS_IN "mov %[low], %%ax\n\t" #op \
				     "b %[src]\n\tmov %%ax, %[low]" ASM_FLAGS_OUT \
				: [low] "+&r"(low), "+&a"(ax) \
				: [src] "r"(src) \
				: "cc"); \
		reg_set16(cpu, insn, X86_RAX, low); \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
	}

DEFINE_WIDE_OPERATION(mul)
DEFINE_WIDE_OPERATION(imul)
DEFINE_WIDE_OPERATION(div)
DEFINE_WIDE_OPERATION(idiv)

/* Whether the quotient fits into bits of its own; src is not 0. */
static bool div_fits(uint64_t high, uint64_t src)
{
	return high < src;
}

/*
 * The same of a signed division: the dividend is high:low, both of the given number of bits,
 * sign-extended here.
 */
static bool idiv_fits(int64_t high, uint64_t low, int64_t src, unsigned bits)
{
	uint64_t mask = bits == 64 ? UINT64_MAX : BIT(bits) - 1;
	uint64_t magnitude_high = (uint64_t)high & mask, magnitude_low = low & mask;
	uint64_t divisor = src < 0 ? -(uint64_t)src & mask : (uint64_t)src;
	uint64_t quotient, limit = BIT(bits - 1);
	unsigned __int128 dividend;

	if (high < 0) {
		magnitude_low = -magnitude_low & mask;
		magnitude_high = (~magnitude_high + (magnitude_low == 0)) & mask;
	}
	if (magnitude_high >= divisor) {
		return false;
	}
	dividend = (unsigned __int128)magnitude_high << bits | magnitude_low;
	if (bits < 64) {
		quotient = (uint64_t)dividend / divisor;
	} else {
		uint64_t remainder = magnitude_high;
		quotient = magnitude_low;
		__asm__("divq %[divisor]"
				: "+a"(quotient), "+d"(remainder)
				: [divisor] "r"(divisor)
				: "cc");
	}
	return (high < 0) != (src < 0) ? quotient <= limit : quotient < limit;
}

#define DEFINE_GROUP(bits) \
	static void mul##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		wide_mul##bits(cpu, insn, rm_get##bits(cpu, insn)); \
	} \
	static void imul##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		wide_imul##bits(cpu, insn, rm_get##bits(cpu, insn)); \
	}

DEFINE_GROUP(8)
DEFINE_GROUP(16)
DEFINE_GROUP(32)
DEFINE_GROUP(64)

#define DEFINE_DIVISIONS(bits) \
	static void div##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = rm_get##bits(cpu, insn); \
		if (!div_fits((uint##bits##_t)cpu->regs[X86_RDX], src)) { \
			cpu_raise(cpu, X86_VECTOR_DE); \
		} \
		wide_div##bits(cpu, insn, src); \
	} \
	static void idiv##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = rm_get##bits(cpu, insn); \
		if (!idiv_fits((int##bits##_t)cpu->regs[X86_RDX], cpu->regs[X86_RAX], \
				    (int##bits##_t)src, bits)) { \
			cpu_raise(cpu, X86_VECTOR_DE); \
		} \
		wide_idiv##bits(cpu, insn, src); \
	}

DEFINE_DIVISIONS(16)
DEFINE_DIVISIONS(32)
DEFINE_DIVISIONS(64)

static void div8(struct cpu *cpu, const struct insn *insn)
{
	uint8_t src = rm_get8(cpu, insn);

	if (!div_fits((uint8_t)(cpu->regs[X86_RAX] >> 8), src)) {
		cpu_raise(cpu, X86_VECTOR_DE);
	}
	wide_div8(cpu, insn, src);
}

static void idiv8(struct cpu *cpu, const struct insn *insn)
{
	uint8_t src = rm_get8(cpu, insn);
	uint64_t ax = cpu->regs[X86_RAX];

	if (!idiv_fits((int8_t)(ax >> 8), ax, (int8_t)src, 8)) {
		cpu_raise(cpu, X86_VECTOR_DE);
	}
	wide_idiv8(cpu, insn, src);
}

/* IMUL with two and three operands. */
#define DEFINE_IMUL(bits, suffix) \
	static inline uint##bits##_t multiply##bits( \
			uint64_t *flags, uint##bits##_t dst, uint##bits##_t src) \
	{ \
		uint64_t ax = flags_pack(*flags); \
		__asm__(ASM_FLAGS_IN "imul" suffix " %[src], %[dst]" ASM_FLAGS_OUT \
				: [dst] "+&r"(dst), "+&a"(ax) \
				: [src] "r"(src) \
				: "cc"); \
		*flags = flags_merge(*flags, ax); \
		return dst; \
	} \
	static void imul##bits##_register(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = rm_get##bits(cpu, insn); \
		uint##bits##_t dst = reg_get##bits(cpu, insn, insn->reg); \
		reg_set##bits(cpu, insn, insn->reg, multiply##bits(&cpu->rflags, dst, src)); \
	} \
	static void imul##bits##_immediate(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = rm_get##bits(cpu, insn); \
		uint##bits##_t factor = (uint##bits##_t)insn->imm; \
		reg_set##bits(cpu, insn, insn->reg, multiply##bits(&cpu->rflags, src, factor)); \
	}

DEFINE_IMUL(16, "w")
DEFINE_IMUL(32, "l")
DEFINE_IMUL(64, "q")

insn_exec_fn *exec_muldiv_find(struct insn *insn)
{
	static insn_exec_fn *const group[4][4] = {
			{mul8, mul16, mul32, mul64},
			{imul8, imul16, imul32, imul64},
			{div8, div16, div32, div64},
			{idiv8, idiv16, idiv32, idiv64},
	};
	static insn_exec_fn *const two[3] = {imul16_register, imul32_register, imul64_register};
	static insn_exec_fn *const three[3] = {
			imul16_immediate, imul32_immediate, imul64_immediate};
	unsigned size = size_index(insn);

	if (insn->map == INSN_MAP_0F && insn->opcode == 0xaf) {
		return two[size - 1];
	}
	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0x69:
	case 0x6b:
		return three[size - 1];
	case 0xf6 ... 0xf7:
		return modrm_reg(insn) >= 4 ? group[modrm_reg(insn) - 4][size] : NULL;
	default:
		return NULL;
	}
}
