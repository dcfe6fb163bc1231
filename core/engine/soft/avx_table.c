/* SPDX-License-Identifier: MIT */
/* The rows of avx.h, in the order of opcodes. SDM vol. 2, appendix A. */
#include "core/engine/soft/avx.h"

#include "core/engine/soft/native.h"

/* Mandatory prefixes of a row. */
#define NP BIT(NATIVE_PREFIX_NONE)
#define P66 BIT(NATIVE_PREFIX_66)
#define PF3 BIT(NATIVE_PREFIX_F3)
#define PF2 BIT(NATIVE_PREFIX_F2)
#define PS_PD (NP | P66)

#define RM AVX_FORM_RM
#define RVM AVX_FORM_RVM
#define MR AVX_FORM_MR
#define MVR AVX_FORM_MVR
#define VM AVX_FORM_VM
#define RVMR AVX_FORM_RVMR

#define FULL AVX_MEMORY_FULL
#define HALF AVX_MEMORY_HALF
#define QUARTER AVX_MEMORY_QUARTER
#define EIGHTH AVX_MEMORY_EIGHTH
#define WIDE AVX_MEMORY_WIDE

#define W0 AVX_FLAG_W0
#define W1 AVX_FLAG_W1
#define WIG (W0 | W1)
#define REG AVX_FLAG_REGISTER
#define MEM AVX_FLAG_MEMORY
#define ANY (REG | MEM)

/* Vectors of both lengths; of 128 bits; of 256; scalars, to which the length means nothing. */
#define V (AVX_FLAG_L0 | AVX_FLAG_L1 | WIG | ANY)
#define V_W0 (AVX_FLAG_L0 | AVX_FLAG_L1 | W0 | ANY)
#define V128 (AVX_FLAG_L0 | WIG | ANY)
#define V256_W0 (AVX_FLAG_L1 | W0 | ANY)
#define V256_W1 (AVX_FLAG_L1 | W1 | ANY)
#define SCALAR V

#define ONLY_REG(flags) ((flags) & ~(unsigned)MEM)
#define ONLY_MEM(flags) ((flags) & ~(unsigned)REG)

#define IMM AVX_FLAG_IMM8
#define FP AVX_FLAG_MXCSR
#define COMPARE AVX_FLAG_RFLAGS
#define G_REG AVX_FLAG_REG_GENERAL
#define G_RM AVX_FLAG_RM_GENERAL
#define ALIGNED AVX_FLAG_ALIGNED
#define INT AVX_FLAG_INTEGER
#define RM_128 AVX_FLAG_RM_128
#define EXT AVX_FLAG_EXTENSION
#define PCMPSTR AVX_FLAG_PCMPSTR

#define AVX CPU_FEATURE_AVX
#define AVX2 CPU_FEATURE_AVX2
#define FMA CPU_FEATURE_FMA
#define F16C CPU_FEATURE_F16C
#define AES CPU_FEATURE_AES
#define CLMUL CPU_FEATURE_PCLMULQDQ

#define MAP_0F INSN_MAP_0F
#define MAP_38 INSN_MAP_0F38
#define MAP_3A INSN_MAP_0F3A

/* Map, mandatory prefixes, first and last opcode, form, memory, ModRM.reg, feature, flags. */
static const struct avx_desc descs[] = {
		{MAP_0F, PS_PD, 0x10, 0x10, RM, FULL, 0, AVX, V}, /* VMOVUP? */
		{MAP_0F, PF3, 0x10, 0x10, RM, 4, 0, AVX, ONLY_MEM(SCALAR)}, /* VMOVSS */
		{MAP_0F, PF2, 0x10, 0x10, RM, 8, 0, AVX, ONLY_MEM(SCALAR)}, /* VMOVSD */
		{MAP_0F, PF3 | PF2, 0x10, 0x10, RVM, 0, 0, AVX, ONLY_REG(SCALAR)},
		{MAP_0F, PS_PD, 0x11, 0x11, MR, FULL, 0, AVX, V},
		{MAP_0F, PF3, 0x11, 0x11, MR, 4, 0, AVX, ONLY_MEM(SCALAR)},
		{MAP_0F, PF2, 0x11, 0x11, MR, 8, 0, AVX, ONLY_MEM(SCALAR)},
		{MAP_0F, PF3 | PF2, 0x11, 0x11, MVR, 0, 0, AVX, ONLY_REG(SCALAR)},
		{MAP_0F, NP, 0x12, 0x12, RVM, 8, 0, AVX, V128}, /* VMOVLPS, VMOVHLPS */
		{MAP_0F, P66, 0x12, 0x12, RVM, 8, 0, AVX, ONLY_MEM(V128)}, /* VMOVLPD */
		{MAP_0F, PF3, 0x12, 0x12, RM, FULL, 0, AVX, V}, /* VMOVSLDUP */
		{MAP_0F, PF2, 0x12, 0x12, RM, AVX_MEMORY_DUPLICATED, 0, AVX, V}, /* VMOVDDUP */
		{MAP_0F, PS_PD, 0x13, 0x13, MR, 8, 0, AVX, ONLY_MEM(V128)},
		{MAP_0F, PS_PD, 0x14, 0x15, RVM, FULL, 0, AVX, V}, /* VUNPCK */
		{MAP_0F, NP, 0x16, 0x16, RVM, 8, 0, AVX, V128}, /* VMOVHPS, VMOVLHPS */
		{MAP_0F, P66, 0x16, 0x16, RVM, 8, 0, AVX, ONLY_MEM(V128)}, /* VMOVHPD */
		{MAP_0F, PF3, 0x16, 0x16, RM, FULL, 0, AVX, V}, /* VMOVSHDUP */
		{MAP_0F, PS_PD, 0x17, 0x17, MR, 8, 0, AVX, ONLY_MEM(V128)},
		{MAP_0F, PS_PD, 0x28, 0x28, RM, FULL, 0, AVX, V | ALIGNED}, /* VMOVAP? */
		{MAP_0F, PS_PD, 0x29, 0x29, MR, FULL, 0, AVX, V | ALIGNED},
		{MAP_0F, PF3 | PF2, 0x2a, 0x2a, RVM, 0, 0, AVX, SCALAR | G_RM | FP}, /* VCVTSI2S? */
		{MAP_0F, PS_PD, 0x2b, 0x2b, MR, FULL, 0, AVX, ONLY_MEM(V) | ALIGNED}, /* VMOVNTP? */
		{MAP_0F, PF3, 0x2c, 0x2d, RM, 4, 0, AVX, SCALAR | G_REG | FP}, /* VCVTSS2SI */
		{MAP_0F, PF2, 0x2c, 0x2d, RM, 8, 0, AVX, SCALAR | G_REG | FP}, /* VCVTSD2SI */
		{MAP_0F, NP, 0x2e, 0x2f, RM, 4, 0, AVX, SCALAR | FP | COMPARE}, /* V?COMISS */
		{MAP_0F, P66, 0x2e, 0x2f, RM, 8, 0, AVX, SCALAR | FP | COMPARE}, /* V?COMISD */
		{MAP_0F, PS_PD, 0x50, 0x50, RM, 0, 0, AVX, ONLY_REG(V) | G_REG}, /* VMOVMSKP? */
		{MAP_0F, PS_PD, 0x51, 0x51, RM, FULL, 0, AVX, V | FP}, /* VSQRT */
		{MAP_0F, PF3, 0x51, 0x53, RVM, 4, 0, AVX, SCALAR | FP},
		{MAP_0F, PF2, 0x51, 0x51, RVM, 8, 0, AVX, SCALAR | FP},
		{MAP_0F, NP, 0x52, 0x53, RM, FULL, 0, AVX, V | FP}, /* VRSQRT, VRCP */
		{MAP_0F, PS_PD, 0x54, 0x57, RVM, FULL, 0, AVX, V}, /* VAND, VANDN, VOR, VXOR */
		{MAP_0F, PS_PD, 0x58, 0x59, RVM, FULL, 0, AVX, V | FP}, /* VADD, VMUL */
		{MAP_0F, PF3, 0x58, 0x5a, RVM, 4, 0, AVX, SCALAR | FP},
		{MAP_0F, PF2, 0x58, 0x5a, RVM, 8, 0, AVX, SCALAR | FP},
		{MAP_0F, NP, 0x5a, 0x5a, RM, HALF, 0, AVX, V | FP}, /* VCVTPS2PD */
		{MAP_0F, P66, 0x5a, 0x5a, RM, FULL, 0, AVX, V | FP}, /* VCVTPD2PS */
		{MAP_0F, NP | P66 | PF3, 0x5b, 0x5b, RM, FULL, 0, AVX, V | FP}, /* VCVTDQ2PS */
		{MAP_0F, PS_PD, 0x5c, 0x5f, RVM, FULL, 0, AVX, V | FP}, /* VSUB, VMIN, VDIV, VMAX */
		{MAP_0F, PF3, 0x5c, 0x5f, RVM, 4, 0, AVX, SCALAR | FP},
		{MAP_0F, PF2, 0x5c, 0x5f, RVM, 8, 0, AVX, SCALAR | FP},
		{MAP_0F, P66, 0x60, 0x6d, RVM, FULL, 0, AVX, V | INT}, /* VPUNPCK, VPACK, VPCMPGT */
		{MAP_0F, P66, 0x6e, 0x6e, RM, 0, 0, AVX, V128 | G_RM}, /* VMOVD, VMOVQ */
		{MAP_0F, P66, 0x6f, 0x6f, RM, FULL, 0, AVX, V | ALIGNED}, /* VMOVDQA */
		{MAP_0F, PF3, 0x6f, 0x6f, RM, FULL, 0, AVX, V}, /* VMOVDQU */
		{MAP_0F, P66 | PF3 | PF2, 0x70, 0x70, RM, FULL, 0, AVX,
				V | INT | IMM}, /* VPSHUFD */
		{MAP_0F, P66, 0x71, 0x72, VM, 0, 1 << 2 | 1 << 4 | 1 << 6, AVX,
				ONLY_REG(V) | INT | IMM | EXT}, /* shifts by an immediate */
		{MAP_0F, P66, 0x73, 0x73, VM, 0, 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7, AVX,
				ONLY_REG(V) | INT | IMM | EXT},
		{MAP_0F, P66, 0x74, 0x76, RVM, FULL, 0, AVX, V | INT}, /* VPCMPEQ */
		{MAP_0F, NP, 0x77, 0x77, RM, 0, 0, AVX, V | AVX_FLAG_ZERO}, /* VZEROUPPER */
		{MAP_0F, P66 | PF2, 0x7c, 0x7d, RVM, FULL, 0, AVX, V | FP}, /* VHADD, VHSUB */
		{MAP_0F, P66, 0x7e, 0x7e, MR, 0, 0, AVX, V128 | G_RM}, /* VMOVD, VMOVQ */
		{MAP_0F, PF3, 0x7e, 0x7e, RM, 8, 0, AVX, V128}, /* VMOVQ */
		{MAP_0F, P66, 0x7f, 0x7f, MR, FULL, 0, AVX, V | ALIGNED}, /* VMOVDQA */
		{MAP_0F, PF3, 0x7f, 0x7f, MR, FULL, 0, AVX, V}, /* VMOVDQU */
		{MAP_0F, NP, 0xae, 0xae, RM, 4, 1 << 2, AVX,
				ONLY_MEM(V128) | EXT | AVX_FLAG_MXCSR_MOVE}, /* VLDMXCSR */
		{MAP_0F, NP, 0xae, 0xae, MR, 4, 1 << 3, AVX,
				ONLY_MEM(V128) | EXT | AVX_FLAG_MXCSR_MOVE}, /* VSTMXCSR */
		{MAP_0F, PS_PD, 0xc2, 0xc2, RVM, FULL, 0, AVX, V | FP | IMM}, /* VCMP */
		{MAP_0F, PF3, 0xc2, 0xc2, RVM, 4, 0, AVX, SCALAR | FP | IMM},
		{MAP_0F, PF2, 0xc2, 0xc2, RVM, 8, 0, AVX, SCALAR | FP | IMM},
		{MAP_0F, P66, 0xc4, 0xc4, RVM, 2, 0, AVX, V128 | G_RM | IMM}, /* VPINSRW */
		{MAP_0F, P66, 0xc5, 0xc5, RM, 0, 0, AVX,
				ONLY_REG(V128) | G_REG | IMM}, /* VPEXTRW */
		{MAP_0F, PS_PD, 0xc6, 0xc6, RVM, FULL, 0, AVX, V | IMM}, /* VSHUFP? */
		{MAP_0F, P66 | PF2, 0xd0, 0xd0, RVM, FULL, 0, AVX, V | FP}, /* VADDSUB */
		{MAP_0F, P66, 0xd1, 0xd3, RVM, 16, 0, AVX, V | INT | RM_128}, /* VPSRL */
		{MAP_0F, P66, 0xd4, 0xd5, RVM, FULL, 0, AVX, V | INT}, /* VPADDQ, VPMULLW */
		{MAP_0F, P66, 0xd6, 0xd6, MR, 8, 0, AVX, V128}, /* VMOVQ */
		{MAP_0F, P66, 0xd7, 0xd7, RM, 0, 0, AVX, ONLY_REG(V) | INT | G_REG}, /* VPMOVMSKB */
		{MAP_0F, P66, 0xd8, 0xe0, RVM, FULL, 0, AVX, V | INT}, /* VPSUBUS ... VPAVGB */
		{MAP_0F, P66, 0xe1, 0xe2, RVM, 16, 0, AVX, V | INT | RM_128}, /* VPSRA */
		{MAP_0F, P66, 0xe3, 0xe5, RVM, FULL, 0, AVX, V | INT}, /* VPAVGW, VPMULH */
		{MAP_0F, P66 | PF2, 0xe6, 0xe6, RM, FULL, 0, AVX, V | FP}, /* VCVT?PD2DQ */
		{MAP_0F, PF3, 0xe6, 0xe6, RM, HALF, 0, AVX, V | FP}, /* VCVTDQ2PD */
		{MAP_0F, P66, 0xe7, 0xe7, MR, FULL, 0, AVX, ONLY_MEM(V) | ALIGNED}, /* VMOVNTDQ */
		{MAP_0F, P66, 0xe8, 0xef, RVM, FULL, 0, AVX, V | INT}, /* VPSUBS ... VPXOR */
		{MAP_0F, PF2, 0xf0, 0xf0, RM, FULL, 0, AVX, ONLY_MEM(V)}, /* VLDDQU */
		{MAP_0F, P66, 0xf1, 0xf3, RVM, 16, 0, AVX, V | INT | RM_128}, /* VPSLL */
		{MAP_0F, P66, 0xf4, 0xf6, RVM, FULL, 0, AVX, V | INT}, /* VPMULUDQ, VPSADBW */
		{MAP_0F, P66, 0xf7, 0xf7, RM, 0, 0, AVX,
				ONLY_REG(V128) | AVX_FLAG_MASKED_BYTES}, /* VMASKMOVDQU */
		{MAP_0F, P66, 0xf8, 0xfe, RVM, FULL, 0, AVX, V | INT}, /* VPSUB, VPADD */

		{MAP_38, P66, 0x00, 0x0b, RVM, FULL, 0, AVX, V | INT}, /* VPSHUFB ... VPMULHRSW */
		{MAP_38, P66, 0x0c, 0x0d, RVM, FULL, 0, AVX, V_W0}, /* VPERMILP? */
		{MAP_38, P66, 0x0e, 0x0f, RM, FULL, 0, AVX, V_W0 | COMPARE}, /* VTESTP? */
		{MAP_38, P66, 0x13, 0x13, RM, HALF, 0, F16C, V_W0 | FP}, /* VCVTPH2PS */
		{MAP_38, P66, 0x16, 0x16, RVM, FULL, 0, AVX2, V256_W0}, /* VPERMPS */
		{MAP_38, P66, 0x17, 0x17, RM, FULL, 0, AVX, V | COMPARE}, /* VPTEST */
		{MAP_38, P66, 0x18, 0x18, RM, 4, 0, AVX, ONLY_MEM(V_W0)}, /* VBROADCASTSS */
		{MAP_38, P66, 0x18, 0x18, RM, 0, 0, AVX2, ONLY_REG(V_W0) | RM_128},
		{MAP_38, P66, 0x19, 0x19, RM, 8, 0, AVX, ONLY_MEM(V256_W0)}, /* VBROADCASTSD */
		{MAP_38, P66, 0x19, 0x19, RM, 0, 0, AVX2, ONLY_REG(V256_W0) | RM_128},
		{MAP_38, P66, 0x1a, 0x1a, RM, 16, 0, AVX, ONLY_MEM(V256_W0)}, /* VBROADCASTF128 */
		{MAP_38, P66, 0x1c, 0x1e, RM, FULL, 0, AVX, V | INT}, /* VPABS */
		{MAP_38, P66, 0x20, 0x20, RM, HALF, 0, AVX, V | INT}, /* VPMOVSX */
		{MAP_38, P66, 0x21, 0x21, RM, QUARTER, 0, AVX, V | INT},
		{MAP_38, P66, 0x22, 0x22, RM, EIGHTH, 0, AVX, V | INT},
		{MAP_38, P66, 0x23, 0x23, RM, HALF, 0, AVX, V | INT},
		{MAP_38, P66, 0x24, 0x24, RM, QUARTER, 0, AVX, V | INT},
		{MAP_38, P66, 0x25, 0x25, RM, HALF, 0, AVX, V | INT},
		{MAP_38, P66, 0x28, 0x29, RVM, FULL, 0, AVX, V | INT}, /* VPMULDQ, VPCMPEQQ */
		{MAP_38, P66, 0x2a, 0x2a, RM, FULL, 0, AVX, ONLY_MEM(V) | INT | ALIGNED},
		{MAP_38, P66, 0x2b, 0x2b, RVM, FULL, 0, AVX, V | INT}, /* VPACKUSDW */
		{MAP_38, P66, 0x2c, 0x2d, RVM, FULL, 0, AVX,
				ONLY_MEM(V_W0) | AVX_FLAG_MASKED}, /* VMASKMOVP? */
		{MAP_38, P66, 0x2e, 0x2f, MVR, FULL, 0, AVX, ONLY_MEM(V_W0) | AVX_FLAG_MASKED},
		{MAP_38, P66, 0x30, 0x30, RM, HALF, 0, AVX, V | INT}, /* VPMOVZX */
		{MAP_38, P66, 0x31, 0x31, RM, QUARTER, 0, AVX, V | INT},
		{MAP_38, P66, 0x32, 0x32, RM, EIGHTH, 0, AVX, V | INT},
		{MAP_38, P66, 0x33, 0x33, RM, HALF, 0, AVX, V | INT},
		{MAP_38, P66, 0x34, 0x34, RM, QUARTER, 0, AVX, V | INT},
		{MAP_38, P66, 0x35, 0x35, RM, HALF, 0, AVX, V | INT},
		{MAP_38, P66, 0x36, 0x36, RVM, FULL, 0, AVX2, V256_W0}, /* VPERMD */
		{MAP_38, P66, 0x37, 0x40, RVM, FULL, 0, AVX, V | INT}, /* VPCMPGTQ ... VPMULLD */
		{MAP_38, P66, 0x41, 0x41, RM, FULL, 0, AVX, V128}, /* VPHMINPOSUW */
		{MAP_38, P66, 0x45, 0x45, RVM, FULL, 0, AVX2, V}, /* VPSRLV */
		{MAP_38, P66, 0x46, 0x46, RVM, FULL, 0, AVX2, V_W0}, /* VPSRAVD */
		{MAP_38, P66, 0x47, 0x47, RVM, FULL, 0, AVX2, V}, /* VPSLLV */
		{MAP_38, P66, 0x58, 0x58, RM, 4, 0, AVX2, V_W0 | RM_128}, /* VPBROADCASTD */
		{MAP_38, P66, 0x59, 0x59, RM, 8, 0, AVX2, V_W0 | RM_128}, /* VPBROADCASTQ */
		{MAP_38, P66, 0x5a, 0x5a, RM, 16, 0, AVX2, ONLY_MEM(V256_W0)}, /* VBROADCASTI128 */
		{MAP_38, P66, 0x78, 0x78, RM, 1, 0, AVX2, V_W0 | RM_128}, /* VPBROADCASTB */
		{MAP_38, P66, 0x79, 0x79, RM, 2, 0, AVX2, V_W0 | RM_128}, /* VPBROADCASTW */
		{MAP_38, P66, 0x8c, 0x8c, RVM, FULL, 0, AVX2,
				ONLY_MEM(V) | AVX_FLAG_MASKED}, /* VPMASKMOV */
		{MAP_38, P66, 0x8e, 0x8e, MVR, FULL, 0, AVX2, ONLY_MEM(V) | AVX_FLAG_MASKED},
		{MAP_38, P66, 0x90, 0x93, RVM, WIDE, 0, AVX2,
				ONLY_MEM(V) | AVX_FLAG_GATHER}, /* VPGATHER??, VGATHER?P? */
/* Fused multiplication: the operands in three orders. */
#define FMA_ORDER(row) \
	{MAP_38, P66, (row) + 6, (row) + 8, RVM, FULL, 0, FMA, V | FP}, \
			{MAP_38, P66, (row) + 9, (row) + 9, RVM, WIDE, 0, FMA, SCALAR | FP}, \
			{MAP_38, P66, (row) + 10, (row) + 10, RVM, FULL, 0, FMA, V | FP}, \
			{MAP_38, P66, (row) + 11, (row) + 11, RVM, WIDE, 0, FMA, SCALAR | FP}, \
			{MAP_38, P66, (row) + 12, (row) + 12, RVM, FULL, 0, FMA, V | FP}, \
			{MAP_38, P66, (row) + 13, (row) + 13, RVM, WIDE, 0, FMA, SCALAR | FP}, \
			{MAP_38, P66, (row) + 14, (row) + 14, RVM, FULL, 0, FMA, V | FP}, \
	{ \
		MAP_38, P66, (row) + 15, (row) + 15, RVM, WIDE, 0, FMA, SCALAR | FP \
	}
		FMA_ORDER(0x90), FMA_ORDER(0xa0), FMA_ORDER(0xb0),
		{MAP_38, P66, 0xdb, 0xdb, RM, FULL, 0, AES, V128}, /* VAESIMC */
		{MAP_38, P66, 0xdc, 0xdf, RVM, FULL, 0, AES, V128}, /* VAESENC ... VAESDECLAST */

		{MAP_3A, P66, 0x00, 0x01, RM, FULL, 0, AVX2, V256_W1 | IMM}, /* VPERMQ, VPERMPD */
		{MAP_3A, P66, 0x02, 0x02, RVM, FULL, 0, AVX2, V_W0 | IMM}, /* VPBLENDD */
		{MAP_3A, P66, 0x04, 0x05, RM, FULL, 0, AVX, V_W0 | IMM}, /* VPERMILP? */
		{MAP_3A, P66, 0x06, 0x06, RVM, FULL, 0, AVX, V256_W0 | IMM}, /* VPERM2F128 */
		{MAP_3A, P66, 0x08, 0x09, RM, FULL, 0, AVX, V | FP | IMM}, /* VROUNDP? */
		{MAP_3A, P66, 0x0a, 0x0a, RVM, 4, 0, AVX, SCALAR | FP | IMM}, /* VROUNDS? */
		{MAP_3A, P66, 0x0b, 0x0b, RVM, 8, 0, AVX, SCALAR | FP | IMM},
		{MAP_3A, P66, 0x0c, 0x0d, RVM, FULL, 0, AVX, V | IMM}, /* VBLENDP? */
		{MAP_3A, P66, 0x0e, 0x0f, RVM, FULL, 0, AVX,
				V | INT | IMM}, /* VPBLENDW, VPALIGNR */
		{MAP_3A, P66, 0x14, 0x14, MR, 1, 0, AVX, V128 | G_RM | IMM}, /* VPEXTRB */
		{MAP_3A, P66, 0x15, 0x15, MR, 2, 0, AVX, V128 | G_RM | IMM}, /* VPEXTRW */
		{MAP_3A, P66, 0x16, 0x16, MR, 0, 0, AVX, V128 | G_RM | IMM}, /* VPEXTRD */
		{MAP_3A, P66, 0x17, 0x17, MR, 4, 0, AVX, V128 | G_RM | IMM}, /* VEXTRACTPS */
		{MAP_3A, P66, 0x18, 0x18, RVM, 16, 0, AVX,
				V256_W0 | RM_128 | IMM}, /* VINSERTF128 */
		{MAP_3A, P66, 0x19, 0x19, MR, 16, 0, AVX,
				V256_W0 | RM_128 | IMM}, /* VEXTRACTF128 */
		{MAP_3A, P66, 0x1d, 0x1d, MR, HALF, 0, F16C, V_W0 | FP | IMM}, /* VCVTPS2PH */
		{MAP_3A, P66, 0x20, 0x20, RVM, 1, 0, AVX, V128 | G_RM | IMM}, /* VPINSRB */
		{MAP_3A, P66, 0x21, 0x21, RVM, 4, 0, AVX, V128 | IMM}, /* VINSERTPS */
		{MAP_3A, P66, 0x22, 0x22, RVM, 0, 0, AVX, V128 | G_RM | IMM}, /* VPINSRD */
		{MAP_3A, P66, 0x38, 0x38, RVM, 16, 0, AVX2, V256_W0 | RM_128 | IMM},
		{MAP_3A, P66, 0x39, 0x39, MR, 16, 0, AVX2, V256_W0 | RM_128 | IMM},
		{MAP_3A, P66, 0x40, 0x40, RVM, FULL, 0, AVX, V | FP | IMM}, /* VDPPS */
		{MAP_3A, P66, 0x41, 0x41, RVM, FULL, 0, AVX, V128 | FP | IMM}, /* VDPPD */
		{MAP_3A, P66, 0x42, 0x42, RVM, FULL, 0, AVX, V | INT | IMM}, /* VMPSADBW */
		{MAP_3A, P66, 0x44, 0x44, RVM, FULL, 0, CLMUL, V128 | IMM}, /* VPCLMULQDQ */
		{MAP_3A, P66, 0x46, 0x46, RVM, FULL, 0, AVX2, V256_W0 | IMM}, /* VPERM2I128 */
		{MAP_3A, P66, 0x4a, 0x4b, RVMR, FULL, 0, AVX, V_W0 | IMM}, /* VBLENDVP? */
		{MAP_3A, P66, 0x4c, 0x4c, RVMR, FULL, 0, AVX, V_W0 | INT | IMM}, /* VPBLENDVB */
		{MAP_3A, P66, 0x60, 0x63, RM, FULL, 0, AVX, V128 | PCMPSTR | IMM}, /* VPCMP?STR? */
		{MAP_3A, P66, 0xdf, 0xdf, RM, FULL, 0, AES, V128 | IMM}, /* VAESKEYGENASSIST */
};

static bool row_matches(const struct avx_desc *desc, const struct avx_key *key)
{
	const uint32_t wanted = (key->is_256 ? AVX_FLAG_L1 : AVX_FLAG_L0) |
				(key->wide ? AVX_FLAG_W1 : AVX_FLAG_W0) |
				(key->modrm >= 0xc0 ? AVX_FLAG_REGISTER : AVX_FLAG_MEMORY);

	if (desc->map != key->map || key->opcode < desc->first || key->opcode > desc->last ||
			!(desc->prefixes & (1u << key->prefix))) {
		return false;
	}
	if (desc->flags & AVX_FLAG_ZERO) {
		return true; /* what follows is no ModRM */
	}
	return (desc->flags & wanted) == wanted &&
	       (!(desc->flags & AVX_FLAG_EXTENSION) ||
			       (desc->extensions & (1u << ((key->modrm >> 3) & 7))));
}

const struct avx_desc *avx_lookup(const struct avx_key *key)
{
	for (size_t i = 0; i < G_N_ELEMENTS(descs); i++) {
		if (row_matches(&descs[i], key)) {
			return &descs[i];
		}
	}
	return NULL;
}

const struct avx_desc *avx_lookup_insn(const struct insn *insn)
{
	const struct avx_key key = {
			.map = insn->map,
			.prefix = (uint8_t)native_prefix(insn),
			.opcode = insn->opcode,
			.modrm = insn->modrm,
			.wide = insn->prefixes & INSN_PREFIX_REX_W,
			.is_256 = insn->prefixes & INSN_PREFIX_VEX_L,
	};

	return avx_lookup(&key);
}

unsigned avx_memory_size(const struct avx_desc *desc, bool is_256, bool wide)
{
	unsigned full = is_256 ? 32 : 16;

	switch (desc->memory) {
	case AVX_MEMORY_FULL:
		return full;
	case AVX_MEMORY_HALF:
		return full / 2;
	case AVX_MEMORY_QUARTER:
		return full / 4;
	case AVX_MEMORY_EIGHTH:
		return full / 8;
	case AVX_MEMORY_DUPLICATED:
		return is_256 ? 32 : 8;
	case AVX_MEMORY_WIDE:
		return wide ? 8 : 4;
	default:
		return desc->memory;
	}
}

enum cpu_feature avx_feature(const struct avx_desc *desc, const struct insn *insn)
{
	if ((desc->flags & AVX_FLAG_INTEGER) && (insn->prefixes & INSN_PREFIX_VEX_L)) {
		return CPU_FEATURE_AVX2;
	}
	return (enum cpu_feature)desc->feature;
}
