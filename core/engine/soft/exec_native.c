/* SPDX-License-Identifier: MIT */
/* SSE and MMX instructions that run as thunks: operands in, the host's own instruction, results out. See native.h. */
#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native.h"

static void run_op(struct cpu *cpu, const struct native_op *op, void *reg, const void *rm)
{
	uint64_t rdx = cpu->regs[X86_RDX];

	if (!(op->flags & NATIVE_FLAG_MXCSR) ||
			likely((cpu->fx.mxcsr & MXCSR_MASKS) == MXCSR_MASKS)) {
		(void)op->run(reg, rm, rdx, 0, cpu);
	} else if (!native_run_unmasked(op, reg, rm, rdx, 0, cpu)) {
		fpu_raise_simd(cpu);
	}
}

static void *register_operand(struct cpu *cpu, enum native_kind kind, unsigned index)
{
	switch (kind) {
	case NATIVE_KIND_XMM:
		return cpu->fx.xmm[index];
	case NATIVE_KIND_MM:
		return cpu->fx.st[index & 7];
	case NATIVE_KIND_GPR:
		return &cpu->regs[index];
	default:
		return NULL;
	}
}

/* Bytes the memory operand has; MOVD and the like go by the operand size. */
static size_t memory_bytes(const struct insn *insn)
{
	return insn->memory_size ? insn->memory_size : insn->operand_size;
}

static const void *memory_source(struct cpu *cpu, const struct insn *insn,
		const struct native_op *op, struct fpu_bounce *bounce)
{
	size_t size = memory_bytes(insn);
	uint64_t linear = operand_linear(cpu, insn, size, MMU_READ);

	if (size == 16 && !(op->flags & NATIVE_FLAG_UNALIGNED)) {
		fpu_check_alignment(cpu, linear, 16);
	}
	return fpu_read(cpu, linear, size, bounce);
}

/* xmm, xmm: the common kind. */
static void exec_xmm_reg(struct cpu *cpu, const struct insn *insn)
{
	const struct native_op *op = insn->native;

	fpu_check_sse(cpu);
	(void)op->run(cpu->fx.xmm[insn->reg], cpu->fx.xmm[insn->rm], 0, 0, cpu);
}

static void exec_xmm_reg_float(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	run_op(cpu, insn->native, cpu->fx.xmm[insn->reg], cpu->fx.xmm[insn->rm]);
}

/* Everything else without MMX registers whose memory operand, if it has one, is read. */
static void exec_sse(struct cpu *cpu, const struct insn *insn)
{
	const struct native_op *op = insn->native;
	struct fpu_bounce bounce;
	const void *rm;

	fpu_check_sse(cpu);
	rm = insn->is_memory ? memory_source(cpu, insn, op, &bounce)
			     : register_operand(cpu, op->rm_kind, insn->rm);
	run_op(cpu, op, register_operand(cpu, op->reg_kind, insn->reg), rm);
}

/* PEXTR? and EXTRACTPS to memory. */
static void exec_sse_store(struct cpu *cpu, const struct insn *insn)
{
	const struct native_op *op = insn->native;
	uint8_t result[FPU_OPERAND_MAX] = {0};
	uint64_t linear;

	fpu_check_sse(cpu);
	linear = operand_linear(cpu, insn, memory_bytes(insn), MMU_WRITE);
	(void)op->run(cpu->fx.xmm[insn->reg], result, 0, 0, cpu);
	fpu_write(cpu, linear, result, memory_bytes(insn));
}

static void exec_mmx(struct cpu *cpu, const struct insn *insn)
{
	const struct native_op *op = insn->native;
	struct fpu_bounce bounce;
	const void *rm = NULL;

	if (op->reg_kind == NATIVE_KIND_XMM || op->rm_kind == NATIVE_KIND_XMM) {
		fpu_check_sse(cpu);
	}
	fpu_check_mmx(cpu);
	if (insn->is_memory) {
		rm = memory_source(cpu, insn, op, &bounce);
	}
	fpu_enter_mmx(cpu);
	if (!insn->is_memory) {
		rm = register_operand(cpu, op->rm_kind, insn->rm);
	}
	run_op(cpu, op, register_operand(cpu, op->reg_kind, insn->reg), rm);
}

static insn_exec_fn *choose_exec(const struct insn *insn, const struct native_op *op)
{
	if (op->reg_kind == NATIVE_KIND_MM || op->rm_kind == NATIVE_KIND_MM) {
		/* CVTPI2PD from memory is the one that leaves x87 alone. */
		bool no_mmx = insn->is_memory && op->reg_kind == NATIVE_KIND_XMM &&
			      native_prefix(insn) == NATIVE_PREFIX_66;
		return no_mmx ? exec_sse : exec_mmx;
	}
	if (insn->is_memory && (op->flags & NATIVE_FLAG_TO_RM)) {
		return exec_sse_store;
	}
	if (insn->is_memory || op->reg_kind != NATIVE_KIND_XMM || op->rm_kind != NATIVE_KIND_XMM ||
			(op->flags & NATIVE_FLAG_RAX_RDX)) {
		return exec_sse;
	}
	return op->flags & NATIVE_FLAG_MXCSR ? exec_xmm_reg_float : exec_xmm_reg;
}

static void bind_vector(struct insn *insn)
{
	const struct native_desc *desc = native_lookup(insn);
	const struct native_op *op;

	if (!desc || !native_has_feature(desc->feature) ||
			(insn->is_memory && insn->memory_size > FPU_OPERAND_MAX)) {
		return;
	}
	op = native_op_get(insn, desc);
	if (op) {
		insn->native = (void *)(uintptr_t)op;
		insn->exec = choose_exec(insn, op);
	}
}

void exec_bind_native(struct insn *insn)
{
	insn->exec = exec_undefined;
	if (insn->insn_class == INSN_CLASS_X87) {
		(void)exec_bind_x87(insn);
	} else if (!exec_bind_fpu_state(insn) && !exec_bind_xsave(insn) &&
			!exec_bind_sse_move(insn)) {
		bind_vector(insn);
	}
}
