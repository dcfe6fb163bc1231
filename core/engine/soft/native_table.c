/* SPDX-License-Identifier: MIT */
/*
 * The SSE and MMX instructions that run natively: which registers their operands are and what else they touch. Plain moves and
 * logic are executed in C (exec_sse_move.c) but for the few that have no other place. SDM vol. 2, appendix A.
 */
#include "core/engine/soft/native.h"

#include <cpuid.h>

/* Mandatory prefixes of a row. */
#define NP BIT(NATIVE_PREFIX_NONE)
#define P66 BIT(NATIVE_PREFIX_66)
#define PF3 BIT(NATIVE_PREFIX_F3)
#define PF2 BIT(NATIVE_PREFIX_F2)
#define ALL (NP | P66 | PF3 | PF2)

#define X NATIVE_KIND_XMM
#define M NATIVE_KIND_MM
#define MX NATIVE_KIND_MM_XMM
#define G NATIVE_KIND_GPR
#define NONE NATIVE_KIND_NONE

#define BASE NATIVE_FEATURE_BASE
#define SSE3 NATIVE_FEATURE_SSE3
#define SSSE3 NATIVE_FEATURE_SSSE3
#define SSE41 NATIVE_FEATURE_SSE41
#define SSE42 NATIVE_FEATURE_SSE42
#define AES NATIVE_FEATURE_AES
#define PCLMUL NATIVE_FEATURE_PCLMUL
#define SHA NATIVE_FEATURE_SHA

#define FP NATIVE_FLAG_MXCSR
#define IMM NATIVE_FLAG_IMM8
#define W NATIVE_FLAG_REX_W
#define TO_RM NATIVE_FLAG_TO_RM
#define COMPARE (NATIVE_FLAG_RFLAGS | NATIVE_FLAG_NO_DESTINATION)
#define PCMPSTR (NATIVE_FLAG_RFLAGS | NATIVE_FLAG_NO_DESTINATION | NATIVE_FLAG_UNALIGNED | IMM)
#define EXPLICIT (NATIVE_FLAG_RAX_RDX | W)

#define MAP_0F INSN_MAP_0F
#define MAP_38 INSN_MAP_0F38
#define MAP_3A INSN_MAP_0F3A

/* Map, mandatory prefixes, first and last opcode, reg, rm, feature, flags. */
static const struct native_desc descs[] = {
		{MAP_0F, PF3 | PF2, 0x12, 0x12, X, X, SSE3, 0}, /* MOVSLDUP, MOVDDUP */
		{MAP_0F, NP | P66, 0x14, 0x15, X, X, BASE, 0}, /* UNPCK */
		{MAP_0F, PF3, 0x16, 0x16, X, X, SSE3, 0}, /* MOVSHDUP */
		{MAP_0F, NP | P66, 0x2a, 0x2a, X, M, BASE, FP}, /* CVTPI2PS, CVTPI2PD */
		{MAP_0F, PF3 | PF2, 0x2a, 0x2a, X, G, BASE, FP | W}, /* CVTSI2SS, CVTSI2SD */
		{MAP_0F, NP | P66, 0x2c, 0x2d, M, X, BASE, FP}, /* CVTPS2PI, ... */
		{MAP_0F, PF3 | PF2, 0x2c, 0x2d, G, X, BASE, FP | W}, /* CVTSS2SI, ... */
		{MAP_0F, NP | P66, 0x2e, 0x2f, X, X, BASE, FP | COMPARE}, /* UCOMIS?, COMIS? */
		{MAP_0F, NP | P66, 0x50, 0x50, G, X, BASE, 0}, /* MOVMSKP? */
		{MAP_0F, ALL, 0x51, 0x51, X, X, BASE, FP}, /* SQRT */
		{MAP_0F, NP | PF3, 0x52, 0x53, X, X, BASE, FP}, /* RSQRT, RCP */
		{MAP_0F, ALL, 0x58, 0x5a, X, X, BASE, FP}, /* ADD, MUL, CVT */
		{MAP_0F, NP | P66 | PF3, 0x5b, 0x5b, X, X, BASE, FP}, /* CVTDQ2PS, ... */
		{MAP_0F, ALL, 0x5c, 0x5f, X, X, BASE, FP}, /* SUB, MIN, DIV, MAX */
		{MAP_0F, NP | P66, 0x60, 0x6b, MX, MX, BASE, 0}, /* PUNPCK, PACK, PCMPGT */
		{MAP_0F, P66, 0x6c, 0x6d, X, X, BASE, 0}, /* PUNPCK?QDQ */
		{MAP_0F, NP, 0x70, 0x70, M, M, BASE, IMM}, /* PSHUFW */
		{MAP_0F, P66 | PF3 | PF2, 0x70, 0x70, X, X, BASE, IMM}, /* PSHUFD, ... */
		{MAP_0F, NP | P66, 0x71, 0x73, NONE, MX, BASE, IMM | TO_RM}, /* shifts by imm */
		{MAP_0F, NP | P66, 0x74, 0x76, MX, MX, BASE, 0}, /* PCMPEQ */
		{MAP_0F, P66 | PF2, 0x7c, 0x7d, X, X, SSE3, FP}, /* HADD, HSUB */
		{MAP_0F, ALL, 0xc2, 0xc2, X, X, BASE, FP | IMM}, /* CMP */
		{MAP_0F, NP | P66, 0xc4, 0xc4, MX, G, BASE, IMM}, /* PINSRW */
		{MAP_0F, NP | P66, 0xc5, 0xc5, G, MX, BASE, IMM}, /* PEXTRW */
		{MAP_0F, NP | P66, 0xc6, 0xc6, X, X, BASE, IMM}, /* SHUFP? */
		{MAP_0F, P66 | PF2, 0xd0, 0xd0, X, X, SSE3, FP}, /* ADDSUB */
		{MAP_0F, NP | P66, 0xd1, 0xd5, MX, MX, BASE, 0}, /* PSRL, PADDQ, PMULLW */
		{MAP_0F, NP | P66, 0xd7, 0xd7, G, MX, BASE, 0}, /* PMOVMSKB */
		{MAP_0F, NP | P66, 0xd8, 0xe5, MX, MX, BASE, 0}, /* PSUBUS ... PMULHW */
		{MAP_0F, P66 | PF3 | PF2, 0xe6, 0xe6, X, X, BASE, FP}, /* CVT?PD2DQ, CVTDQ2PD */
		{MAP_0F, NP | P66, 0xe8, 0xef, MX, MX, BASE, 0}, /* PSUBS ... PXOR */
		{MAP_0F, NP | P66, 0xf1, 0xf6, MX, MX, BASE,
				0}, /* PSLL, PMULUDQ, PMADDWD, PSADBW */
		{MAP_0F, NP | P66, 0xf8, 0xfe, MX, MX, BASE, 0}, /* PSUB, PADD */

		{MAP_38, NP | P66, 0x00, 0x0b, MX, MX, SSSE3, 0}, /* PSHUFB ... PMULHRSW */
		{MAP_38, P66, 0x10, 0x10, X, X, SSE41, NATIVE_FLAG_XMM0}, /* PBLENDVB */
		{MAP_38, P66, 0x14, 0x15, X, X, SSE41, NATIVE_FLAG_XMM0}, /* BLENDVP? */
		{MAP_38, P66, 0x17, 0x17, X, X, SSE41, COMPARE}, /* PTEST */
		{MAP_38, NP | P66, 0x1c, 0x1e, MX, MX, SSSE3, 0}, /* PABS */
		{MAP_38, P66, 0x20, 0x25, X, X, SSE41, 0}, /* PMOVSX */
		{MAP_38, P66, 0x28, 0x29, X, X, SSE41, 0}, /* PMULDQ, PCMPEQQ */
		{MAP_38, P66, 0x2b, 0x2b, X, X, SSE41, 0}, /* PACKUSDW */
		{MAP_38, P66, 0x30, 0x35, X, X, SSE41, 0}, /* PMOVZX */
		{MAP_38, P66, 0x37, 0x37, X, X, SSE42, 0}, /* PCMPGTQ */
		{MAP_38, P66, 0x38, 0x41, X, X, SSE41, 0}, /* PMIN, PMAX, PMULLD, PHMINPOSUW */
		{MAP_38, NP, 0xc8, 0xca, X, X, SHA, 0}, /* SHA1NEXTE, SHA1MSG1, SHA1MSG2 */
		{MAP_38, NP, 0xcb, 0xcb, X, X, SHA, NATIVE_FLAG_XMM0}, /* SHA256RNDS2 */
		{MAP_38, NP, 0xcc, 0xcd, X, X, SHA, 0}, /* SHA256MSG1, SHA256MSG2 */
		{MAP_38, P66, 0xdb, 0xdf, X, X, AES, 0}, /* AESIMC, AESENC ... AESDECLAST */

		{MAP_3A, P66, 0x08, 0x0b, X, X, SSE41, FP | IMM}, /* ROUND */
		{MAP_3A, P66, 0x0c, 0x0e, X, X, SSE41, IMM}, /* BLENDP?, PBLENDW */
		{MAP_3A, NP | P66, 0x0f, 0x0f, MX, MX, SSSE3, IMM}, /* PALIGNR */
		{MAP_3A, P66, 0x14, 0x15, X, G, SSE41, IMM | TO_RM}, /* PEXTRB, PEXTRW */
		{MAP_3A, P66, 0x16, 0x16, X, G, SSE41, IMM | TO_RM | W}, /* PEXTRD, PEXTRQ */
		{MAP_3A, P66, 0x17, 0x17, X, G, SSE41, IMM | TO_RM}, /* EXTRACTPS */
		{MAP_3A, P66, 0x20, 0x20, X, G, SSE41, IMM}, /* PINSRB */
		{MAP_3A, P66, 0x21, 0x21, X, X, SSE41, IMM}, /* INSERTPS */
		{MAP_3A, P66, 0x22, 0x22, X, G, SSE41, IMM | W}, /* PINSRD, PINSRQ */
		{MAP_3A, P66, 0x40, 0x41, X, X, SSE41, FP | IMM}, /* DPP? */
		{MAP_3A, P66, 0x42, 0x42, X, X, SSE41, IMM}, /* MPSADBW */
		{MAP_3A, P66, 0x44, 0x44, X, X, PCLMUL, IMM}, /* PCLMULQDQ */
		{MAP_3A, P66, 0x60, 0x60, X, X, SSE42, PCMPSTR | EXPLICIT | NATIVE_FLAG_TO_XMM0},
		{MAP_3A, P66, 0x61, 0x61, X, X, SSE42, PCMPSTR | EXPLICIT | NATIVE_FLAG_TO_RCX},
		{MAP_3A, P66, 0x62, 0x62, X, X, SSE42, PCMPSTR | NATIVE_FLAG_TO_XMM0},
		{MAP_3A, P66, 0x63, 0x63, X, X, SSE42, PCMPSTR | NATIVE_FLAG_TO_RCX},
		{MAP_3A, NP, 0xcc, 0xcc, X, X, SHA, IMM}, /* SHA1RNDS4 */
		{MAP_3A, P66, 0xdf, 0xdf, X, X, AES, IMM}, /* AESKEYGENASSIST */
};

const struct native_desc *native_lookup(const struct insn *insn)
{
	unsigned prefix = 1u << native_prefix(insn);

	for (size_t i = 0; i < G_N_ELEMENTS(descs); i++) {
		const struct native_desc *desc = &descs[i];
		if (desc->map == insn->map && insn->opcode >= desc->first &&
				insn->opcode <= desc->last && (desc->prefixes & prefix)) {
			return desc;
		}
	}
	return NULL;
}

/* A bit for each enum native_feature. CPUID is slow where the host is itself a guest: asked once. */
static unsigned find_features(void)
{
	unsigned eax, ebx, ecx, edx;
	unsigned found = BIT(NATIVE_FEATURE_BASE);

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
		found |= (ecx & bit_SSE3 ? BIT(NATIVE_FEATURE_SSE3) : 0) |
			 (ecx & bit_SSSE3 ? BIT(NATIVE_FEATURE_SSSE3) : 0) |
			 (ecx & bit_SSE4_1 ? BIT(NATIVE_FEATURE_SSE41) : 0) |
			 (ecx & bit_SSE4_2 ? BIT(NATIVE_FEATURE_SSE42) : 0) |
			 (ecx & bit_AES ? BIT(NATIVE_FEATURE_AES) : 0) |
			 (ecx & bit_PCLMUL ? BIT(NATIVE_FEATURE_PCLMUL) : 0);
	}
	if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
		found |= ebx & bit_SHA ? BIT(NATIVE_FEATURE_SHA) : 0;
	}
	return found;
}

bool native_has_feature(enum native_feature feature)
{
	static gsize features;

	if (g_once_init_enter(&features)) {
		g_once_init_leave(&features, find_features());
	}
	return features & BIT(feature);
}
