/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/decode_oracle.h"

#include "core/engine/soft/features.h"
#include "core/engine/x86.h"

#include <stdio.h>

#define MAX_REPORTS 20

/* What the processor offers; encodings of any other extension have to be undefined. */
static const bool offered[ZYDIS_ISA_EXT_MAX_VALUE + 1] = {
		[ZYDIS_ISA_EXT_ADOX_ADCX] = true,
		[ZYDIS_ISA_EXT_AES] = true,
		[ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH] = true,
		[ZYDIS_ISA_EXT_AVX] = true,
		[ZYDIS_ISA_EXT_AVX2] = true,
		[ZYDIS_ISA_EXT_AVX2GATHER] = true,
		[ZYDIS_ISA_EXT_AVXAES] = true,
		[ZYDIS_ISA_EXT_F16C] = true,
		[ZYDIS_ISA_EXT_FMA] = true,
		[ZYDIS_ISA_EXT_BASE] = true,
		[ZYDIS_ISA_EXT_BMI1] = true,
		[ZYDIS_ISA_EXT_BMI2] = true,
		[ZYDIS_ISA_EXT_CLFLUSHOPT] = true,
		[ZYDIS_ISA_EXT_CLFSH] = true,
		[ZYDIS_ISA_EXT_CLWB] = true,
		[ZYDIS_ISA_EXT_INVPCID] = true,
		[ZYDIS_ISA_EXT_LONGMODE] = true,
		[ZYDIS_ISA_EXT_LZCNT] = true,
		[ZYDIS_ISA_EXT_MMX] = true,
		[ZYDIS_ISA_EXT_MOVBE] = true,
		[ZYDIS_ISA_EXT_PAUSE] = true,
		[ZYDIS_ISA_EXT_PCLMULQDQ] = true,
		[ZYDIS_ISA_EXT_PREFETCHWT1] = true,
		[ZYDIS_ISA_EXT_RDPID] = true,
		[ZYDIS_ISA_EXT_RDRAND] = true,
		[ZYDIS_ISA_EXT_RDSEED] = true,
		[ZYDIS_ISA_EXT_RDTSCP] = true,
		[ZYDIS_ISA_EXT_RDWRFSGS] = true,
		[ZYDIS_ISA_EXT_SHA] = true,
		[ZYDIS_ISA_EXT_SMAP] = true,
		[ZYDIS_ISA_EXT_SSE] = true,
		[ZYDIS_ISA_EXT_SSE2] = true,
		[ZYDIS_ISA_EXT_SSE3] = true,
		[ZYDIS_ISA_EXT_SSE4] = true,
		[ZYDIS_ISA_EXT_SSSE3] = true,
		[ZYDIS_ISA_EXT_X87] = true,
		[ZYDIS_ISA_EXT_XSAVE] = true,
		[ZYDIS_ISA_EXT_XSAVEC] = true,
		[ZYDIS_ISA_EXT_XSAVEOPT] = true,
};

static bool is_offered(const ZydisDecodedInstruction *zydis)
{
	switch (zydis->mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		return false; /* meant to be undefined */
	case ZYDIS_MNEMONIC_RSM:
		return false; /* there is no system management mode */
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMMCALL:
		return true; /* hypercalls: there is something to call */
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSRET:
		return zydis->machine_mode == ZYDIS_MACHINE_MODE_LONG_64; /* as on Intel's */
	default:
		return offered[zydis->meta.isa_ext];
	}
}

/* Hints, whose operand size means nothing. */
static bool is_hint(const ZydisDecodedInstruction *zydis)
{
	return zydis->opcode_map == ZYDIS_OPCODE_MAP_0F &&
	       (zydis->opcode == 0x0d || (zydis->opcode & 0xf8) == 0x18);
}

/*
 * Whether the memory operand is an address that is not loaded from or stored to as far as we are
 * concerned.
 */
static bool only_names_memory(
		const ZydisDecodedInstruction *zydis, const ZydisDecodedOperand *operand)
{
	switch (zydis->mnemonic) {
	case ZYDIS_MNEMONIC_INVLPG:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		return true;
	default:
		return operand->mem.type != ZYDIS_MEMOP_TYPE_MEM || is_hint(zydis);
	}
}

/*
 * The operand size in bits that struct insn should have. Zydis' is that of prefix 66 and the mode
 * also where these mean something else: with mandatory prefixes, and for registers of a fixed size.
 */
static unsigned expected_operand_width(const ZydisDecodedInstruction *zydis)
{
	bool long64 = zydis->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
	unsigned width = zydis->operand_width;

	switch (zydis->mnemonic) {
	case ZYDIS_MNEMONIC_INSD:
	case ZYDIS_MNEMONIC_OUTSD:
		return 32;
	case ZYDIS_MNEMONIC_RDPID:
		return long64 ? 64 : 32;
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_ADCX:
	case ZYDIS_MNEMONIC_ADOX:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_MOVNTI:
		return MAX(width, 32);
	case ZYDIS_MNEMONIC_CRC32:
		return zydis->opcode == 0xf0 ? MAX(width, 32) : width;
	default:
		return zydis->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? MAX(width, 32) : width;
	}
}

/* CPU_FEATURE_NONE + 1: this says nothing of it. */
#define FEATURE_UNKNOWN (CPU_FEATURE_NONE + 1)

static unsigned expected_feature_of_set(ZydisISASet set)
{
	static const struct {
		uint16_t set, feature;
	} table[] = {
			{ZYDIS_ISA_SET_ADOX_ADCX, CPU_FEATURE_ADX},
			{ZYDIS_ISA_SET_AES, CPU_FEATURE_AES},
			{ZYDIS_ISA_SET_AVX, CPU_FEATURE_AVX},
			{ZYDIS_ISA_SET_AVX2, CPU_FEATURE_AVX2},
			{ZYDIS_ISA_SET_AVX2GATHER, CPU_FEATURE_AVX2},
			{ZYDIS_ISA_SET_AVXAES, CPU_FEATURE_AES},
			{ZYDIS_ISA_SET_BMI1, CPU_FEATURE_BMI1},
			{ZYDIS_ISA_SET_BMI2, CPU_FEATURE_BMI2},
			{ZYDIS_ISA_SET_CLFLUSHOPT, CPU_FEATURE_CLFLUSHOPT},
			{ZYDIS_ISA_SET_CLFSH, CPU_FEATURE_CLFLUSH},
			{ZYDIS_ISA_SET_CLWB, CPU_FEATURE_CLWB},
			{ZYDIS_ISA_SET_CMOV, CPU_FEATURE_CMOV},
			{ZYDIS_ISA_SET_CMPXCHG16B, CPU_FEATURE_CX16},
			{ZYDIS_ISA_SET_F16C, CPU_FEATURE_F16C},
			{ZYDIS_ISA_SET_FCMOV, CPU_FEATURE_CMOV},
			{ZYDIS_ISA_SET_FMA, CPU_FEATURE_FMA},
			{ZYDIS_ISA_SET_FXSAVE, CPU_FEATURE_FXSR},
			{ZYDIS_ISA_SET_FXSAVE64, CPU_FEATURE_FXSR},
			{ZYDIS_ISA_SET_I386, CPU_FEATURE_NONE},
			{ZYDIS_ISA_SET_I86, CPU_FEATURE_NONE},
			{ZYDIS_ISA_SET_INVPCID, CPU_FEATURE_INVPCID},
			{ZYDIS_ISA_SET_MOVBE, CPU_FEATURE_MOVBE},
			{ZYDIS_ISA_SET_PCLMULQDQ, CPU_FEATURE_PCLMULQDQ},
			{ZYDIS_ISA_SET_PENTIUMMMX, CPU_FEATURE_MMX},
			{ZYDIS_ISA_SET_POPCNT, CPU_FEATURE_POPCNT},
			{ZYDIS_ISA_SET_RDPID, CPU_FEATURE_RDPID},
			{ZYDIS_ISA_SET_RDRAND, CPU_FEATURE_RDRAND},
			{ZYDIS_ISA_SET_RDSEED, CPU_FEATURE_RDSEED},
			{ZYDIS_ISA_SET_RDTSCP, CPU_FEATURE_RDTSCP},
			{ZYDIS_ISA_SET_RDWRFSGS, CPU_FEATURE_FSGSBASE},
			{ZYDIS_ISA_SET_SHA, CPU_FEATURE_SHA},
			{ZYDIS_ISA_SET_SMAP, CPU_FEATURE_SMAP},
			{ZYDIS_ISA_SET_SSE, CPU_FEATURE_SSE},
			{ZYDIS_ISA_SET_SSE2, CPU_FEATURE_SSE2},
			{ZYDIS_ISA_SET_SSE2MMX, CPU_FEATURE_SSE2},
			{ZYDIS_ISA_SET_SSE3, CPU_FEATURE_SSE3},
			{ZYDIS_ISA_SET_SSE3X87, CPU_FEATURE_SSE3},
			{ZYDIS_ISA_SET_SSE4, CPU_FEATURE_SSE41},
			{ZYDIS_ISA_SET_SSE42, CPU_FEATURE_SSE42},
			{ZYDIS_ISA_SET_SSEMXCSR, CPU_FEATURE_SSE},
			{ZYDIS_ISA_SET_SSSE3, CPU_FEATURE_SSSE3},
			{ZYDIS_ISA_SET_SSSE3MMX, CPU_FEATURE_SSSE3},
			{ZYDIS_ISA_SET_X87, CPU_FEATURE_FPU},
			{ZYDIS_ISA_SET_XSAVE, CPU_FEATURE_XSAVE},
			{ZYDIS_ISA_SET_XSAVEC, CPU_FEATURE_XSAVEC},
			{ZYDIS_ISA_SET_XSAVEOPT, CPU_FEATURE_XSAVEOPT},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		if (table[i].set == set) {
			return table[i].feature;
		}
	}
	return FEATURE_UNKNOWN;
}

/* Zydis' opinion, but where it is not that of the SDM. */
static unsigned expected_feature(const ZydisDecodedInstruction *zydis)
{
	bool mmx = zydis->meta.isa_set == ZYDIS_ISA_SET_PENTIUMMMX;

	switch (zydis->mnemonic) {
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MOVNTQ:
	case ZYDIS_MNEMONIC_PAVGB:
	case ZYDIS_MNEMONIC_PAVGW:
	case ZYDIS_MNEMONIC_PEXTRW:
	case ZYDIS_MNEMONIC_PINSRW:
	case ZYDIS_MNEMONIC_PMAXSW:
	case ZYDIS_MNEMONIC_PMAXUB:
	case ZYDIS_MNEMONIC_PMINSW:
	case ZYDIS_MNEMONIC_PMINUB:
	case ZYDIS_MNEMONIC_PMULHUW:
	case ZYDIS_MNEMONIC_PSADBW:
	case ZYDIS_MNEMONIC_PSHUFW: /* SSE brought them to MMX registers */
		return mmx ? (unsigned)CPU_FEATURE_SSE
			   : expected_feature_of_set(zydis->meta.isa_set);
	case ZYDIS_MNEMONIC_VPCLMULQDQ:
		return CPU_FEATURE_PCLMULQDQ;
	case ZYDIS_MNEMONIC_TZCNT:
	case ZYDIS_MNEMONIC_LZCNT:
		return CPU_FEATURE_NONE; /* another instruction for who has them not */
	case ZYDIS_MNEMONIC_SAHF:
	case ZYDIS_MNEMONIC_LAHF:
		return zydis->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 ? CPU_FEATURE_LAHF
									 : CPU_FEATURE_NONE;
	default:
		return expected_feature_of_set(zydis->meta.isa_set);
	}
}

static bool is_pcommit(const struct insn *insn)
{
	return insn->map == INSN_MAP_0F && insn->opcode == 0xae && insn->modrm == 0xf8 &&
	       (insn->prefixes & INSN_PREFIX_OPSIZE);
}

void decode_oracle_init(struct decode_oracle *oracle, enum insn_mode mode)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} modes[] = {
			[INSN_MODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
			[INSN_MODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
			[INSN_MODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};

	*oracle = (struct decode_oracle){.mode = mode};
	(void)ZydisDecoderInit(&oracle->decoder, modes[mode].mode, modes[mode].stack);
	/* Extensions that took over encodings of no-operations are not offered. */
	(void)ZydisDecoderEnableMode(&oracle->decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	(void)ZydisDecoderEnableMode(&oracle->decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	(void)ZydisDecoderEnableMode(&oracle->decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

/* The memory operand that ModRM or a moffs address names, or NULL. */
static const ZydisDecodedOperand *memory_operand(
		const ZydisDecodedInstruction *zydis, const ZydisDecodedOperand *operands)
{
	for (unsigned i = 0; i < zydis->operand_count; i++) {
		ZydisOperandEncoding encoding = operands[i].encoding;

		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
				(encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
						encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64)) {
			return &operands[i];
		}
	}
	return NULL;
}

static unsigned register_number(ZydisRegister reg, unsigned none)
{
	if (reg == ZYDIS_REGISTER_NONE) {
		return none;
	}
	if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_IP) {
		return INSN_BASE_RIP;
	}
	return (unsigned)ZydisRegisterGetId(reg);
}

/*
 * Zydis 4.0 sees a base and no displacement in [disp32 + index] when prefix 67 and REX.B come
 * together.
 */
static bool is_misread(const ZydisDecodedInstruction *zydis)
{
	return zydis->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && zydis->address_width == 32 &&
	       zydis->raw.rex.B && zydis->raw.modrm.mod == 0 && zydis->raw.modrm.rm == 4 &&
	       zydis->raw.sib.base == 5;
}

static const char *address_difference(const struct insn *insn, const ZydisDecodedInstruction *zydis,
		const ZydisDecodedOperand *operand)
{
	const ZydisDecodedOperandMem *mem = &operand->mem;
	bool moffs = operand->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64;
	unsigned scale = mem->index == ZYDIS_REGISTER_NONE ? 1 : mem->scale;

	if (register_number(mem->index, INSN_REG_NONE) != insn->index ||
			scale != 1u << insn->scale) {
		return "index";
	}
	if (is_misread(zydis)) {
		return insn->base == INSN_REG_NONE ? NULL : "base";
	}
	if (register_number(mem->base, INSN_REG_NONE) != insn->base) {
		return "base";
	}
	/* Zydis sign-extends all displacements, also addresses. */
	if (moffs ? ((uint64_t)mem->disp.value ^ insn->imm) << (64 - 8 * insn->address_size) != 0
		  : mem->disp.value != insn->disp) {
		return "displacement";
	}
	if (mem->type == ZYDIS_MEMOP_TYPE_MEM &&
			register_number(mem->segment, INSN_REG_NONE) != insn->segment) {
		return "segment";
	}
	return NULL;
}

static const char *access_difference(const struct insn *insn, const ZydisDecodedInstruction *zydis,
		const ZydisDecodedOperand *operand)
{
	unsigned size = insn->memory_size ? insn->memory_size : insn->operand_size;
	bool reads = operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	bool writes = operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	bool image = operand->size >= 8 * 512; /* does not fit into memory_size */

	if (only_names_memory(zydis, operand)) {
		reads = writes = false;
	} else if (operand->size != 8 * size && !image) {
		return "memory size";
	}
	if (reads != (bool)(insn->flags & INSN_FLAG_READS_MEMORY)) {
		return "reading";
	}
	return writes != (bool)(insn->flags & INSN_FLAG_WRITES_MEMORY) ? "writing" : NULL;
}

static const char *register_difference(const struct insn *insn, const ZydisDecodedOperand *operand)
{
	unsigned number;

	switch (ZydisRegisterGetClass(operand->reg.value)) {
	case ZYDIS_REGCLASS_GPR8:
		/* AH to DH come between BL and SPL in Zydis' numbering. */
		number = (unsigned)operand->reg.value - ZYDIS_REGISTER_AL;
		number = number >= 8 ? number - 4 : number;
		break;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_CONTROL:
	case ZYDIS_REGCLASS_DEBUG:
		number = (unsigned)ZydisRegisterGetId(operand->reg.value);
		break;
	default:
		return NULL;
	}
	switch (operand->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		return number == insn->reg ? NULL : "reg";
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
	case ZYDIS_OPERAND_ENCODING_OPCODE:
		return number == insn->rm ? NULL : "rm";
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		return number == insn->vex_reg ? NULL : "vvvv";
	default:
		return NULL;
	}
}

/* The registers that an instruction touches say which class it is in. */
static const char *class_difference(const struct insn *insn, const ZydisDecodedInstruction *zydis,
		const ZydisDecodedOperand *operands)
{
	bool mmx = insn->insn_class == INSN_CLASS_MMX;
	bool sse = insn->insn_class == INSN_CLASS_SSE;
	bool avx = insn->insn_class == INSN_CLASS_AVX;
	bool x87;

	for (unsigned i = 0; i < zydis->operand_count; i++) {
		ZydisRegisterClass class = operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER
							   ? ZydisRegisterGetClass(
									     operands[i].reg.value)
							   : ZYDIS_REGCLASS_INVALID;
		if ((class == ZYDIS_REGCLASS_MMX && !mmx) ||
				(class == ZYDIS_REGCLASS_XMM && !sse && !mmx && !avx) ||
				(class == ZYDIS_REGCLASS_YMM && !avx)) {
			return "class";
		}
	}
	x87 = zydis->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	      ((zydis->opcode & 0xf8) == 0xd8 || zydis->opcode == 0x9b);
	return x87 == (insn->insn_class == INSN_CLASS_X87) ? NULL : "class";
}

/* Immediates are compared as far as the operand size goes. */
static const char *immediate_difference(
		const struct insn *insn, const ZydisDecodedInstruction *zydis)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned size = zydis->raw.imm[i].size;
		uint64_t value = zydis->raw.imm[i].value.u;
		uint64_t ours = i ? insn->imm2 : insn->imm;
		if (size == 0) {
			continue;
		}
		if (i == 1 && zydis->mnemonic != ZYDIS_MNEMONIC_ENTER) {
			ours = insn->imm >> 32; /* a far pointer's selector */
		}
		ours &= UINT64_MAX >> (64 - size);
		value &= UINT64_MAX >> (64 - size);
		if (ours != value) {
			return "immediate";
		}
	}
	return NULL;
}

static const char *find_difference(const struct insn *insn, const ZydisDecodedInstruction *zydis,
		const ZydisDecodedOperand *operands)
{
	const ZydisDecodedOperand *memory = memory_operand(zydis, operands);
	unsigned feature = expected_feature(zydis);
	const char *what = NULL;

	if (insn->length != zydis->length) {
		return "length";
	}
	if (insn->opcode != zydis->opcode) {
		return "opcode";
	}
	if (insn->address_size * 8 != zydis->address_width) {
		return "address size";
	}
	if ((insn->insn_class == INSN_CLASS_INTEGER || insn->insn_class == INSN_CLASS_SYSTEM) &&
			!is_hint(zydis) &&
			insn->operand_size * 8 != expected_operand_width(zydis)) {
		return "operand size";
	}
	if (!memory != !insn->is_memory) {
		return "memory form";
	}
	if (zydis->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
			!(insn->flags & INSN_FLAG_ENDS_BLOCK)) {
		return "end of block";
	}
	if (feature != FEATURE_UNKNOWN &&
			feature != features_needed(insn,
						   zydis->machine_mode == ZYDIS_MACHINE_MODE_LONG_64
								   ? INSN_MODE_64
								   : INSN_MODE_32)) {
		return "feature";
	}
	what = class_difference(insn, zydis, operands);
	if (memory && !what) {
		what = address_difference(insn, zydis, memory);
		what = what ? what : access_difference(insn, zydis, memory);
	}
	for (unsigned i = 0; i < zydis->operand_count && !what; i++) {
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			what = register_difference(insn, &operands[i]);
		}
	}
	return what ? what : immediate_difference(insn, zydis);
}

static void report(struct decode_oracle *oracle, const char *what, const char *mnemonic,
		const uint8_t *bytes, size_t size)
{
	static const unsigned bits[] = {16, 32, 64};
	char hex[3 * INSN_MAX_BYTES + 1] = "";
	size_t n = 0;

	for (size_t i = 0; i < MIN(size, INSN_MAX_BYTES); i++) {
		n += (size_t)snprintf(hex + n, sizeof(hex) - n, "%02x ", bytes[i]);
	}
	if (oracle->different++ < MAX_REPORTS) {
		(void)fprintf(stderr, "%u bit: %s: %s: %s\n", bits[oracle->mode], mnemonic, what,
				hex);
	}
}

size_t decode_oracle_check(struct decode_oracle *oracle, const uint8_t *bytes, size_t size)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zydis;
	struct insn insn;
	enum decode_result result = insn_decode(&insn, oracle->mode, bytes, size);
	ZyanStatus status = ZydisDecoderDecodeFull(&oracle->decoder, bytes, size, &zydis, operands);
	bool exists = ZYAN_SUCCESS(status) && is_offered(&zydis);
	const char *mnemonic = ZYAN_SUCCESS(status) ? ZydisMnemonicGetString(zydis.mnemonic) : "-";

	if (result == DECODE_OK && exists) {
		const char *what = find_difference(&insn, &zydis, operands);
		if (what) {
			report(oracle, what, mnemonic, bytes, size);
		} else {
			oracle->agreed++;
		}
	} else if (result == DECODE_OK && is_pcommit(&insn)) {
		oracle->undefined++; /* Zydis has forgotten it */
	} else if (result == DECODE_OK) {
		report(oracle, "decodes, but should not", mnemonic, bytes, size);
	} else if (exists) {
		report(oracle, "does not decode", mnemonic, bytes, size);
	} else {
		oracle->undefined++;
	}
	return ZYAN_SUCCESS(status) ? zydis.length : 1;
}
