/* SPDX-License-Identifier: MIT */
/*
 * Thunks of AVX instructions. Registers are renamed: ModRM.reg becomes ymm1 or eax, ModRM.rm ymm2, ecx or [rsi], VEX.vvvv
 * ymm3, the fourth ymm0. A pointer to a vector is to its lower half, in cpu->fx; the upper one lies HIGH behind it. All
 * moves here are AVX's own, and VZEROUPPER comes last: mixing them with SSE would be slow.
 */
#include "core/engine/soft/native_avx.h"

#include "core/engine/soft/native_internal.h"

#define HIGH ((uint32_t)(offsetof(struct cpu, ymm_high) - offsetof(struct cpu, fx.xmm)))

/* Where a thunk finds its operands, and what it calls them. */
enum {
	REG_POINTER = 7, /* rdi */
	RM_POINTER = 6, /* rsi */
	VEX_POINTER = 2, /* rdx */
	FOURTH_POINTER = 1, /* rcx */
	REG_VECTOR = 1,
	RM_VECTOR = 2,
	VEX_VECTOR = 3,
	FOURTH_VECTOR = 0,
	REG_GENERAL = 0, /* eax */
	RM_GENERAL = 1, /* ecx */
};

/* What the emitter needs to know; also what tells thunks apart. */
struct request {
	const struct insn *insn;
	const struct avx_desc *desc;
};

static bool flag(const struct request *request, uint32_t flags)
{
	return request->desc->flags & flags;
}

/* Moves a whole vector between its host register and memory in two halves. */
static void emit_vector(struct emitter *emitter, unsigned vector, unsigned pointer, bool store)
{
	/* vmovups xmm, [pointer] */
	EMIT(emitter, 0xc5, 0xf8, store ? 0x11 : 0x10, (uint8_t)(vector << 3 | pointer));
	if (store) { /* vextractf128 [pointer + HIGH], ymm, 1 */
		EMIT(emitter, 0xc4, 0xe3, 0x7d, 0x19, (uint8_t)(0x80 | vector << 3 | pointer));
	} else { /* vinsertf128 ymm, ymm, [pointer + HIGH], 1 */
		EMIT(emitter, 0xc4, 0xe3, (uint8_t)(0x05 | (~vector & 15) << 3), 0x18,
				(uint8_t)(0x80 | vector << 3 | pointer));
	}
	native_emit32(emitter, HIGH);
	EMIT(emitter, 1);
}

static void emit_general(struct emitter *emitter, unsigned reg, unsigned pointer, bool store)
{
	EMIT(emitter, 0x48, store ? 0x89 : 0x8b, (uint8_t)(reg << 3 | pointer));
}

static bool uses_vex_register(const struct request *request)
{
	return request->desc->form != AVX_FORM_RM && request->desc->form != AVX_FORM_MR;
}

/* General registers last: they replace the pointers. */
static void emit_loads(struct emitter *emitter, const struct request *request)
{
	bool vex = uses_vex_register(request), memory = request->insn->is_memory;

	if (!flag(request, AVX_FLAG_REG_GENERAL | AVX_FLAG_EXTENSION)) {
		emit_vector(emitter, REG_VECTOR, REG_POINTER, false);
	}
	if (!memory && !flag(request, AVX_FLAG_RM_GENERAL)) {
		emit_vector(emitter, RM_VECTOR, RM_POINTER, false);
	}
	if (vex) {
		emit_vector(emitter, VEX_VECTOR, VEX_POINTER, false);
	}
	if (request->desc->form == AVX_FORM_RVMR) {
		emit_vector(emitter, FOURTH_VECTOR, FOURTH_POINTER, false);
	}
	if (!memory && flag(request, AVX_FLAG_RM_GENERAL)) {
		emit_general(emitter, RM_GENERAL, RM_POINTER, false);
	}
	if (flag(request, AVX_FLAG_PCMPSTR)) {
		EMIT_CPU(emitter, true, 0, regs[X86_RAX], 0x8b); /* rdx is there already */
	}
}

/* The instruction itself with its renamed operands. */
static void emit_insn(struct emitter *emitter, const struct request *request)
{
	static const uint8_t maps[] = {[INSN_MAP_0F] = 1, [INSN_MAP_0F38] = 2, [INSN_MAP_0F3A] = 3};
	const struct insn *insn = request->insn;
	unsigned vex = uses_vex_register(request) ? (unsigned)VEX_VECTOR : 0;
	unsigned reg = flag(request, AVX_FLAG_EXTENSION)     ? (insn->modrm >> 3) & 7
		       : flag(request, AVX_FLAG_REG_GENERAL) ? (unsigned)REG_GENERAL
							     : (unsigned)REG_VECTOR;
	unsigned rm = insn->is_memory			   ? (unsigned)RM_POINTER
		      : flag(request, AVX_FLAG_RM_GENERAL) ? (unsigned)RM_GENERAL
							   : (unsigned)RM_VECTOR;
	bool general = flag(request, AVX_FLAG_REG_GENERAL | AVX_FLAG_RM_GENERAL);
	/* General registers are wide in 64-bit mode only. */
	bool wide = general ? insn->operand_size == 8 : insn->prefixes & INSN_PREFIX_REX_W;
	bool fourth = request->desc->form == AVX_FORM_RVMR;

	EMIT(emitter, 0xc4, (uint8_t)(0xe0 | maps[insn->map]),
			(uint8_t)((wide ? 0x80 : 0) | (~vex & 15) << 3 |
					(insn->prefixes & INSN_PREFIX_VEX_L ? 4 : 0) |
					native_prefix(insn)),
			insn->opcode, (uint8_t)((insn->is_memory ? 0 : 0xc0) | reg << 3 | rm));
	if (flag(request, AVX_FLAG_IMM8)) {
		EMIT(emitter, fourth ? (uint8_t)(FOURTH_VECTOR << 4 | (insn->imm & 15))
				     : (uint8_t)insn->imm);
	}
}

/* VPCMP?STR?: the flags, and a mask in xmm0 or an index in ecx. */
static void emit_string_results(struct emitter *emitter, const struct request *request)
{
	if (request->insn->opcode & 1) {
		EMIT_CPU(emitter, true, 1, regs[X86_RCX], 0x89);
		return;
	}
	/* lea rdi, [r8 + fx.xmm] */
	EMIT(emitter, 0x49, 0x8d, 0xb8);
	native_emit32(emitter, offsetof(struct cpu, fx.xmm));
	emit_vector(emitter, 0, REG_POINTER, true);
}

static void emit_results(struct emitter *emitter, const struct request *request)
{
	if (flag(request, AVX_FLAG_PCMPSTR)) {
		emit_string_results(emitter, request);
	}
	if (flag(request, AVX_FLAG_RFLAGS | AVX_FLAG_PCMPSTR)) {
		native_emit_save_flags(emitter);
		return;
	}
	switch ((enum avx_form)request->desc->form) {
	case AVX_FORM_MR:
	case AVX_FORM_MVR:
		if (request->insn->is_memory) {
			break;
		}
		if (flag(request, AVX_FLAG_RM_GENERAL)) {
			emit_general(emitter, RM_GENERAL, RM_POINTER, true);
		} else {
			emit_vector(emitter, RM_VECTOR, RM_POINTER, true);
		}
		break;
	case AVX_FORM_VM:
		emit_vector(emitter, VEX_VECTOR, VEX_POINTER, true);
		break;
	default:
		if (flag(request, AVX_FLAG_REG_GENERAL)) {
			emit_general(emitter, REG_GENERAL, REG_POINTER, true);
		} else {
			emit_vector(emitter, REG_VECTOR, REG_POINTER, true);
		}
		break;
	}
}

static void emit_thunk(struct emitter *emitter, const void *opaque)
{
	const struct request *request = opaque;

	if (flag(request, AVX_FLAG_MXCSR)) {
		EMIT_CPU(emitter, false, 2, fx.mxcsr, 0x0f, 0xae); /* ldmxcsr */
	}
	emit_loads(emitter, request);
	emit_insn(emitter, request);
	emit_results(emitter, request);
	if (flag(request, AVX_FLAG_MXCSR)) {
		EMIT_CPU(emitter, false, 3, fx.mxcsr, 0x0f, 0xae); /* stmxcsr */
		native_emit_host_mxcsr(emitter);
	}
	EMIT(emitter, 0xc5, 0xf8, 0x77); /* vzeroupper */
	native_emit_return(emitter);
}

const struct native_op *native_avx_get(const struct insn *insn, const struct avx_desc *desc)
{
	const struct request request = {insn, desc};
	bool general = flag(&request, AVX_FLAG_REG_GENERAL | AVX_FLAG_RM_GENERAL);
	bool wide = general ? insn->operand_size == 8 : insn->prefixes & INSN_PREFIX_REX_W;
	/* What is left of the immediate beside the fourth register means nothing. */
	uint64_t imm = !flag(&request, AVX_FLAG_IMM8) ? 0
		       : desc->form == AVX_FORM_RVMR  ? insn->imm & 15
						      : insn->imm & 0xff;
	uint64_t key = NATIVE_KEY_AVX | insn->opcode | (uint64_t)insn->map << 8 |
		       (uint64_t)insn->is_memory << 10 | (uint64_t)native_prefix(insn) << 11 |
		       (insn->prefixes & INSN_PREFIX_VEX_L ? BIT(13) : 0) | (wide ? BIT(14) : 0) |
		       imm << 16;

	if (flag(&request, AVX_FLAG_EXTENSION)) {
		key |= (uint64_t)((insn->modrm >> 3) & 7) << 24;
	}
	return native_thunk_get(key, flag(&request, AVX_FLAG_MXCSR) ? NATIVE_FLAG_MXCSR : 0,
			emit_thunk, &request);
}
