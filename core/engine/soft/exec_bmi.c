/* SPDX-License-Identifier: MIT */
/*
 * BMI1 and BMI2 on general registers (VEX-encoded), ADCX and ADOX, CRC32. They run as themselves:
 * the guest has them only where the host has. Operand sizes are 4 and 8.
 */
#include "core/engine/soft/exec_integer.h"

/*
 * Three operands: dst is ModRM.reg. %1 stands for the ModRM operand, %2 for VEX.vvvv; in AT&T
 * order.
 */
#define DEFINE_BMI_SIZE(op, bits, text) \
	static void op##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t rm = rm_get##bits(cpu, insn), dst; \
		uint##bits##_t vex = (uint##bits##_t)cpu->regs[insn->vex_reg & 15]; \
		uint64_t ax = flags_pack(cpu->rflags); \
		__asm__(ASM_FLAGS_IN #op " " text ASM_FLAGS_OUT \
				: [dst] "=&r"(dst), "+&a"(ax) \
				: [rm] "r"(rm), [vex] "r"(vex) \
				: "cc"); \
		reg_set##bits(cpu, insn, insn->reg, dst); \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
	}
#define DEFINE_BMI(op, text) \
	DEFINE_BMI_SIZE(op, 32, text) \
	DEFINE_BMI_SIZE(op, 64, text)

DEFINE_BMI(andn, "%[rm], %[vex], %[dst]")
DEFINE_BMI(pext, "%[rm], %[vex], %[dst]")
DEFINE_BMI(pdep, "%[rm], %[vex], %[dst]")
DEFINE_BMI(bzhi, "%[vex], %[rm], %[dst]")
DEFINE_BMI(bextr, "%[vex], %[rm], %[dst]")
DEFINE_BMI(shlx, "%[vex], %[rm], %[dst]")
DEFINE_BMI(sarx, "%[vex], %[rm], %[dst]")
DEFINE_BMI(shrx, "%[vex], %[rm], %[dst]")

/* BLSR BLSMSK BLSI: the destination is VEX.vvvv. */
#define DEFINE_BLS_SIZE(op, bits) \
	static void op##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t rm = rm_get##bits(cpu, insn), dst; \
		uint64_t ax = flags_pack(cpu->rflags); \
		__asm__(ASM_FLAGS_IN #op " %[rm], %[dst]" ASM_FLAGS_OUT \
				: [dst] "=&r"(dst), "+&a"(ax) \
				: [rm] "r"(rm) \
				: "cc"); \
		reg_set##bits(cpu, insn, insn->vex_reg & 15, dst); \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
	}
#define DEFINE_BLS(op) \
	DEFINE_BLS_SIZE(op, 32) \
	DEFINE_BLS_SIZE(op, 64)

DEFINE_BLS(blsr)
DEFINE_BLS(blsmsk)
DEFINE_BLS(blsi)

/*
 * No flags; the low half is written first, so that the high one stays where both name the same
 * register.
 */
static void mulx32(struct cpu *cpu, const struct insn *insn)
{
	uint64_t product = (uint64_t)rm_get32(cpu, insn) * (uint32_t)cpu->regs[X86_RDX];

	cpu->regs[insn->vex_reg & 15] = (uint32_t)product;
	cpu->regs[insn->reg] = product >> 32;
}

static void mulx64(struct cpu *cpu, const struct insn *insn)
{
	unsigned __int128 product = (unsigned __int128)rm_get64(cpu, insn) * cpu->regs[X86_RDX];

	cpu->regs[insn->vex_reg & 15] = (uint64_t)product;
	cpu->regs[insn->reg] = (uint64_t)(product >> 64);
}

static void rorx32(struct cpu *cpu, const struct insn *insn)
{
	uint32_t value = rm_get32(cpu, insn);
	unsigned count = insn->imm & 31;

	cpu->regs[insn->reg] = value >> count | value << (-count & 31);
}

static void rorx64(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = rm_get64(cpu, insn);
	unsigned count = insn->imm & 63;

	cpu->regs[insn->reg] = value >> count | value << (-count & 63);
}

/* Adds with a carry of their own: CF for ADCX, OF for ADOX. */
#define DEFINE_ADX_SIZE(op, bits) \
	static void op##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t src = rm_get##bits(cpu, insn); \
		uint##bits##_t dst = reg_get##bits(cpu, insn, insn->reg); \
		uint64_t ax = flags_pack(cpu->rflags); \
		__asm__(ASM_FLAGS_IN #op " %[src], %[dst]" ASM_FLAGS_OUT \
				: [dst] "+&r"(dst), "+&a"(ax) \
				: [src] "r"(src) \
				: "cc"); \
		reg_set##bits(cpu, insn, insn->reg, dst); \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
	}
#define DEFINE_ADX(op) \
	DEFINE_ADX_SIZE(op, 32) \
	DEFINE_ADX_SIZE(op, 64)

DEFINE_ADX(adcx)
DEFINE_ADX(adox)

/* The destination counts as 32 bits always; its upper half is cleared. Opcode F0 takes a byte. */
static void crc32(struct cpu *cpu, const struct insn *insn)
{
	uint32_t crc = (uint32_t)cpu->regs[insn->reg];
	uint64_t wide = crc;

	if (insn->opcode == 0xf0) {
		__asm__("crc32b %1, %0" : "+r"(crc) : "r"(rm_get8(cpu, insn)));
	} else if (insn->operand_size == 2) {
		__asm__("crc32w %1, %0" : "+r"(crc) : "r"(rm_get16(cpu, insn)));
	} else if (insn->operand_size == 4) {
		__asm__("crc32l %1, %0" : "+r"(crc) : "r"(rm_get32(cpu, insn)));
	} else {
		__asm__("crc32q %1, %0" : "+r"(wide) : "r"(rm_get64(cpu, insn)));
		crc = (uint32_t)wide;
	}
	cpu->regs[insn->reg] = crc;
}

#define PAIR(op) \
	{ \
		op##32, op##64 \
	}

enum vex_prefix { VEX_NONE, VEX_66, VEX_F3, VEX_F2, VEX_PREFIX_COUNT };

static enum vex_prefix mandatory_prefix(const struct insn *insn)
{
	if (insn->prefixes & INSN_PREFIX_REPNE) {
		return VEX_F2;
	}
	if (insn->prefixes & INSN_PREFIX_REP) {
		return VEX_F3;
	}
	return insn->prefixes & INSN_PREFIX_OPSIZE ? VEX_66 : VEX_NONE;
}

static insn_exec_fn *bmi_find_vex(const struct insn *insn)
{
	static insn_exec_fn *const bls[8][2] = {
			[1] = PAIR(blsr), [2] = PAIR(blsmsk), [3] = PAIR(blsi)};
	static insn_exec_fn *const f5[VEX_PREFIX_COUNT][2] = {
			[VEX_NONE] = PAIR(bzhi), [VEX_F3] = PAIR(pext), [VEX_F2] = PAIR(pdep)};
	static insn_exec_fn *const f7[VEX_PREFIX_COUNT][2] = {[VEX_NONE] = PAIR(bextr),
			[VEX_66] = PAIR(shlx),
			[VEX_F3] = PAIR(sarx),
			[VEX_F2] = PAIR(shrx)};
	bool wide = insn->operand_size == 8;

	if (insn->map == INSN_MAP_0F3A) {
		return insn->opcode != 0xf0 ? NULL : wide ? rorx64 : rorx32;
	}
	if (insn->map != INSN_MAP_0F38) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0xf2:
		return wide ? andn64 : andn32;
	case 0xf3:
		return bls[modrm_reg(insn)][wide];
	case 0xf5:
		return f5[mandatory_prefix(insn)][wide];
	case 0xf6:
		return wide ? mulx64 : mulx32;
	case 0xf7:
		return f7[mandatory_prefix(insn)][wide];
	default:
		return NULL;
	}
}

insn_exec_fn *exec_bmi_find(struct insn *insn)
{
	static insn_exec_fn *const adcx[2] = PAIR(adcx);
	static insn_exec_fn *const adox[2] = PAIR(adox);
	bool wide = insn->operand_size == 8;

	if (insn->prefixes & INSN_PREFIX_VEX) {
		return bmi_find_vex(insn);
	}
	if (insn->map != INSN_MAP_0F38) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0xf0 ... 0xf1:
		return insn->prefixes & INSN_PREFIX_REPNE ? crc32 : NULL;
	case 0xf6:
		return insn->prefixes & INSN_PREFIX_REP ? adox[wide] : adcx[wide];
	default:
		return NULL;
	}
}
