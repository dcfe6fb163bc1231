/* SPDX-License-Identifier: MIT */
/*
 * Flags by themselves (CLC STC CMC CLD STD LAHF SAHF SALC), decimal arithmetic of 32-bit modes,
 * random numbers.
 */
#include "core/engine/soft/exec_integer.h"

#define SAHF_FLAGS (X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_AF | X86_FLAG_PF | X86_FLAG_CF)

static void clc(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu->rflags &= ~X86_FLAG_CF;
}

static void stc(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu->rflags |= X86_FLAG_CF;
}

static void cmc(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu->rflags ^= X86_FLAG_CF;
}

static void cld(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu->rflags &= ~X86_FLAG_DF;
}

static void std(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu->rflags |= X86_FLAG_DF;
}

static void set_al(struct cpu *cpu, uint8_t value)
{
	*(uint8_t *)&cpu->regs[X86_RAX] = value;
}

static void set_ah(struct cpu *cpu, uint8_t value)
{
	((uint8_t *)&cpu->regs[X86_RAX])[1] = value;
}

static void lahf(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	set_ah(cpu, (uint8_t)cpu->rflags);
}

static void sahf(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu->rflags = (cpu->rflags & ~SAHF_FLAGS) | (cpu->regs[X86_RAX] >> 8 & SAHF_FLAGS);
}

static void salc(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	set_al(cpu, cpu->rflags & X86_FLAG_CF ? 0xff : 0);
}

/* SF, ZF and PF of an 8-bit result. */
static uint64_t result_flags(uint8_t value)
{
	return (value & 0x80 ? X86_FLAG_SF : 0) | (value ? 0 : X86_FLAG_ZF) |
	       (__builtin_parity(value) ? 0 : X86_FLAG_PF);
}

static void set_flags(struct cpu *cpu, uint64_t flags)
{
	cpu->rflags = (cpu->rflags & ~X86_FLAGS_ARITH) | flags;
}

/* DAA (27) and DAS (2F). OF is undefined; zero here. */
static void decimal_adjust(struct cpu *cpu, const struct insn *insn)
{
	uint8_t before = (uint8_t)cpu->regs[X86_RAX], al = before;
	bool subtract = insn->opcode == 0x2f, carry = cpu->rflags & X86_FLAG_CF;
	uint64_t flags = 0;

	if ((al & 15) > 9 || (cpu->rflags & X86_FLAG_AF)) {
		flags |= X86_FLAG_AF;
		if (subtract && (carry || al < 6)) {
			flags |= X86_FLAG_CF;
		}
		al = (uint8_t)(subtract ? al - 6 : al + 6);
	}
	if (before > 0x99 || carry) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		flags |= X86_FLAG_CF;
	}
	set_al(cpu, al);
	set_flags(cpu, flags | result_flags(al));
}

/* AAA (37) and AAS (3F). OF, SF, ZF and PF are undefined: here they are those of al. */
static void ascii_adjust(struct cpu *cpu, const struct insn *insn)
{
	uint16_t ax = (uint16_t)cpu->regs[X86_RAX];
	uint64_t flags = 0;

	if ((ax & 15) > 9 || (cpu->rflags & X86_FLAG_AF)) {
		ax = (uint16_t)(insn->opcode == 0x3f ? ax - 0x106 : ax + 0x106);
		flags = X86_FLAG_AF | X86_FLAG_CF;
	}
	ax &= 0xff0f;
	reg_set16(cpu, insn, X86_RAX, ax);
	set_flags(cpu, flags | result_flags((uint8_t)ax));
}

static void aam(struct cpu *cpu, const struct insn *insn)
{
	uint8_t al = (uint8_t)cpu->regs[X86_RAX], base = (uint8_t)insn->imm;

	if (base == 0) {
		cpu_raise(cpu, X86_VECTOR_DE);
	}
	set_ah(cpu, al / base);
	set_al(cpu, al % base);
	set_flags(cpu, result_flags(al % base));
}

static void aad(struct cpu *cpu, const struct insn *insn)
{
	uint16_t ax = (uint16_t)cpu->regs[X86_RAX];
	uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)insn->imm);

	reg_set16(cpu, insn, X86_RAX, al);
	set_flags(cpu, result_flags(al));
}

/*
 * RDRAND and RDSEED say by CF whether there was a number; CPUID offers them only where the host has
 * them.
 */
#define DEFINE_RANDOM(op) \
	static void op(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint64_t value; \
		bool good; \
		__asm__ volatile(#op " %[value]" : [value] "=r"(value), "=@ccc"(good) : : "cc"); \
		reg_set(cpu, insn, insn->rm, good ? value : 0, insn->operand_size); \
		set_flags(cpu, good ? X86_FLAG_CF : 0); \
	}

DEFINE_RANDOM(rdrand)
DEFINE_RANDOM(rdseed)

static insn_exec_fn *flags_find_legacy(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x27:
	case 0x2f:
		return decimal_adjust;
	case 0x37:
	case 0x3f:
		return ascii_adjust;
	case 0x9e:
		return sahf;
	case 0x9f:
		return lahf;
	case 0xd4:
		return aam;
	case 0xd5:
		return aad;
	case 0xd6:
		return salc;
	case 0xf5:
		return cmc;
	case 0xf8:
		return clc;
	case 0xf9:
		return stc;
	case 0xfc:
		return cld;
	case 0xfd:
		return std;
	default:
		return NULL;
	}
}

insn_exec_fn *exec_flags_find(struct insn *insn)
{
	if (insn->map == INSN_MAP_LEGACY) {
		return flags_find_legacy(insn);
	}
	if (insn->map == INSN_MAP_0F && insn->opcode == 0xc7 && !insn->is_memory) {
		if (modrm_reg(insn) == 6) {
			return rdrand;
		}
		return modrm_reg(insn) == 7 ? rdseed : NULL;
	}
	return NULL;
}
