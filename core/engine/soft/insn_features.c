/* SPDX-License-Identifier: MIT */
/* Which feature an instruction belongs to. SDM vol. 2, the CPUID column of each instruction. */
#include "core/engine/soft/features.h"

#include "core/engine/soft/avx.h"

#define NONE CPU_FEATURE_NONE

static unsigned modrm_extension(const struct insn *insn)
{
	return (insn->modrm >> 3) & 7;
}

static bool has_prefix(const struct insn *insn, unsigned prefixes)
{
	return insn->prefixes & prefixes;
}

/* The mandatory prefix is F2 or F3. */
static bool is_repeated(const struct insn *insn)
{
	return has_prefix(insn, INSN_PREFIX_REP | INSN_PREFIX_REPNE);
}

static enum cpu_feature of_legacy(const struct insn *insn, enum insn_mode mode)
{
	if (insn->insn_class == INSN_CLASS_X87) {
		bool conditional = !insn->is_memory && (insn->opcode & 0xfe) == 0xda &&
				   modrm_extension(insn) < 4;
		bool truncating = insn->is_memory && modrm_extension(insn) == 1 &&
				  (insn->opcode == 0xdb || (insn->opcode & 0xfd) == 0xdd);
		return conditional  ? CPU_FEATURE_CMOV
		       : truncating ? CPU_FEATURE_SSE3
				    : CPU_FEATURE_FPU;
	}
	if ((insn->opcode & 0xfe) == 0x9e && mode == INSN_MODE_64) {
		return CPU_FEATURE_LAHF;
	}
	return NONE;
}

static enum cpu_feature of_group_7(const struct insn *insn)
{
	if (insn->is_memory) {
		return NONE;
	}
	switch (insn->modrm) {
	case 0xca:
	case 0xcb:
		return CPU_FEATURE_SMAP;
	case 0xd0:
	case 0xd1:
		return CPU_FEATURE_XSAVE;
	case 0xf9:
		return CPU_FEATURE_RDTSCP;
	default:
		return NONE;
	}
}

static enum cpu_feature of_group_9(const struct insn *insn)
{
	switch (modrm_extension(insn)) {
	case 1:
		return has_prefix(insn, INSN_PREFIX_REX_W) ? CPU_FEATURE_CX16 : CPU_FEATURE_CX8;
	case 4:
		return CPU_FEATURE_XSAVEC;
	case 6:
		return CPU_FEATURE_RDRAND;
	default:
		return has_prefix(insn, INSN_PREFIX_REP) ? CPU_FEATURE_RDPID : CPU_FEATURE_RDSEED;
	}
}

static enum cpu_feature of_group_15(const struct insn *insn)
{
	static const enum cpu_feature memory[8] = {CPU_FEATURE_FXSR, CPU_FEATURE_FXSR,
			CPU_FEATURE_SSE, CPU_FEATURE_SSE, CPU_FEATURE_XSAVE, CPU_FEATURE_XSAVE,
			CPU_FEATURE_XSAVEOPT, CPU_FEATURE_CLFLUSH};
	static const enum cpu_feature registers[8] = {CPU_FEATURE_FSGSBASE, CPU_FEATURE_FSGSBASE,
			CPU_FEATURE_FSGSBASE, CPU_FEATURE_FSGSBASE, NONE, CPU_FEATURE_SSE2,
			CPU_FEATURE_SSE2, CPU_FEATURE_SSE};
	unsigned extension = modrm_extension(insn);

	if (has_prefix(insn, INSN_PREFIX_OPSIZE) && extension == 6) {
		return CPU_FEATURE_CLWB;
	}
	if (has_prefix(insn, INSN_PREFIX_OPSIZE) && extension == 7) {
		return insn->is_memory ? CPU_FEATURE_CLFLUSHOPT : CPU_FEATURE_PCOMMIT;
	}
	return insn->is_memory ? memory[extension] : registers[extension];
}

/* What neither SSE nor MMX has to do with. */
static enum cpu_feature of_0f_general(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x01:
		return of_group_7(insn);
	case 0x05:
	case 0x07:
		return CPU_FEATURE_SYSCALL;
	case 0x30:
	case 0x32:
		return CPU_FEATURE_MSR;
	case 0x31:
		return CPU_FEATURE_TSC;
	case 0x34:
	case 0x35:
		return CPU_FEATURE_SEP;
	case 0x40 ... 0x4f:
		return CPU_FEATURE_CMOV;
	case 0xae:
		return of_group_15(insn);
	case 0xb8:
		return CPU_FEATURE_POPCNT;
	case 0xc3:
		return CPU_FEATURE_SSE2;
	case 0xc7:
		return of_group_9(insn);
	default:
		return NONE;
	}
}

/* SSE extended MMX by these. */
static enum cpu_feature of_mmx(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x2a:
	case 0x2c:
	case 0x2d:
		return has_prefix(insn, INSN_PREFIX_OPSIZE) ? CPU_FEATURE_SSE2 : CPU_FEATURE_SSE;
	case 0x70:
	case 0xc4:
	case 0xc5:
	case 0xd7:
	case 0xda:
	case 0xde:
	case 0xe0:
	case 0xe3:
	case 0xe4:
	case 0xe7:
	case 0xea:
	case 0xee:
	case 0xf6:
	case 0xf7:
		return CPU_FEATURE_SSE;
	case 0xd4:
	case 0xd6:
	case 0xf4:
	case 0xfb:
		return CPU_FEATURE_SSE2;
	default:
		return CPU_FEATURE_MMX;
	}
}

/* With prefix 66 or F2 it is SSE2 at least; without and with F3 it is SSE, but for the integers. */
static enum cpu_feature of_sse(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x12:
	case 0x16:
		return is_repeated(insn)		      ? CPU_FEATURE_SSE3
		       : has_prefix(insn, INSN_PREFIX_OPSIZE) ? CPU_FEATURE_SSE2
							      : CPU_FEATURE_SSE;
	case 0x7c:
	case 0x7d:
	case 0xd0:
	case 0xf0:
		return CPU_FEATURE_SSE3;
	case 0xae:
		return of_group_15(insn);
	case 0xc7:
		return of_group_9(insn);
	case 0x5a:
	case 0x5b:
	case 0x6f ... 0x70:
	case 0x7e ... 0x7f:
	case 0xe6:
		return CPU_FEATURE_SSE2;
	default:
		return has_prefix(insn, INSN_PREFIX_REPNE) ||
						       (has_prefix(insn, INSN_PREFIX_OPSIZE) &&
								       !has_prefix(insn,
										       INSN_PREFIX_REP))
				       ? CPU_FEATURE_SSE2
				       : CPU_FEATURE_SSE;
	}
}

static enum cpu_feature of_0f38(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x00 ... 0x0b:
	case 0x1c ... 0x1e:
		return CPU_FEATURE_SSSE3;
	case 0x37:
		return CPU_FEATURE_SSE42;
	case 0x82:
		return CPU_FEATURE_INVPCID;
	case 0xc8 ... 0xcd:
		return CPU_FEATURE_SHA;
	case 0xdb ... 0xdf:
		return CPU_FEATURE_AES;
	case 0xf0:
	case 0xf1:
		return has_prefix(insn, INSN_PREFIX_REPNE) ? CPU_FEATURE_SSE42 : CPU_FEATURE_MOVBE;
	case 0xf6:
		return CPU_FEATURE_ADX;
	default:
		return CPU_FEATURE_SSE41;
	}
}

static enum cpu_feature of_0f3a(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0x0f:
		return CPU_FEATURE_SSSE3;
	case 0x44:
		return CPU_FEATURE_PCLMULQDQ;
	case 0x60 ... 0x63:
		return CPU_FEATURE_SSE42;
	case 0xcc:
		return CPU_FEATURE_SHA;
	case 0xdf:
		return CPU_FEATURE_AES;
	default:
		return CPU_FEATURE_SSE41;
	}
}

/* On general registers. */
static enum cpu_feature of_vex(const struct insn *insn)
{
	bool bmi1 = insn->map == INSN_MAP_0F38 &&
		    (insn->opcode == 0xf2 || insn->opcode == 0xf3 ||
				    (insn->opcode == 0xf7 &&
						    !has_prefix(insn,
								    INSN_PREFIX_OPSIZE |
										    INSN_PREFIX_REP |
										    INSN_PREFIX_REPNE)));

	return bmi1 ? CPU_FEATURE_BMI1 : CPU_FEATURE_BMI2;
}

enum cpu_feature features_needed(const struct insn *insn, enum insn_mode mode)
{
	if (insn->map == INSN_MAP_LEGACY) {
		return of_legacy(insn, mode);
	}
	if (insn->insn_class == INSN_CLASS_AVX) {
		return avx_feature(avx_lookup_insn(insn), insn);
	}
	if (has_prefix(insn, INSN_PREFIX_VEX)) {
		return of_vex(insn);
	}
	if (insn->map == INSN_MAP_0F38) {
		return of_0f38(insn);
	}
	if (insn->map == INSN_MAP_0F3A) {
		return of_0f3a(insn);
	}
	switch ((enum insn_class)insn->insn_class) {
	case INSN_CLASS_MMX:
		return of_mmx(insn);
	case INSN_CLASS_SSE:
		return of_sse(insn);
	default:
		return of_0f_general(insn);
	}
}

/* An encoding that older processors execute as another instruction: the prefix means nothing. */
static void make_bit_scan(const struct cpu_features *features, struct insn *insn)
{
	bool lzcnt = insn->opcode == 0xbd;

	if (!cpu_features_has(features, lzcnt ? CPU_FEATURE_LZCNT : CPU_FEATURE_BMI1)) {
		insn->prefixes &= (uint16_t)~INSN_PREFIX_REP;
	}
}

bool features_apply(const struct cpu_features *features, enum insn_mode mode, struct insn *insn)
{
	enum cpu_feature needed = features_needed(insn, mode);

	if (insn->map == INSN_MAP_0F && (insn->opcode & 0xfe) == 0xbc) {
		make_bit_scan(features, insn);
	}
	if (insn->insn_class == INSN_CLASS_AVX && !cpu_features_has(features, CPU_FEATURE_AVX)) {
		return false;
	}
	return needed == CPU_FEATURE_NONE || cpu_features_has(features, needed);
}
