/* SPDX-License-Identifier: MIT */
/*
 * AVX: operands in, the host's own instruction, results out (native_avx.c); the few that touch memory element by element, in C.
 * SDM vol. 1, chapter 14; vol. 2, 2.4 (exceptions).
 */
#include "core/engine/soft/avx.h"
#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native_avx.h"

#define AVX_STATES (X86_XCR0_SSE | X86_XCR0_AVX)

/* #UD, #NM for an instruction with a VEX prefix. */
static inline void check_avx(struct cpu *cpu)
{
	bool enabled = (cpu->cr4 & X86_CR4_OSXSAVE) && (cpu->xcr0 & AVX_STATES) == AVX_STATES &&
		       (cpu->cr0 & X86_CR0_PE) && !cpu_v8086(cpu);

	if (unlikely(!enabled)) {
		cpu_raise_ud(cpu);
	}
	if (unlikely(cpu->cr0 & X86_CR0_TS)) {
		cpu_raise(cpu, X86_VECTOR_NM);
	}
}

static bool is_256(const struct insn *insn)
{
	return insn->prefixes & INSN_PREFIX_VEX_L;
}

static unsigned memory_bytes(const struct insn *insn)
{
	return insn->memory_size ? insn->memory_size : insn->operand_size;
}

/* Outside 64-bit mode there are eight registers, whatever the immediate says. */
static unsigned fourth_register(const struct cpu *cpu, const struct insn *insn)
{
	return (insn->imm >> 4) & (cpu->mode == INSN_MODE_64 ? 15 : 7);
}

static void run_op(struct cpu *cpu, const struct insn *insn, void *reg, const void *rm)
{
	const struct native_op *op = insn->native;
	bool string = insn->map == INSN_MAP_0F3A && (insn->opcode & 0xfc) == 0x60;
	uint64_t vex = string ? cpu->regs[X86_RDX]
			      : (uint64_t)(uintptr_t)cpu->fx.xmm[insn->vex_reg & 15];
	uint64_t fourth = (uint64_t)(uintptr_t)cpu->fx.xmm[fourth_register(cpu, insn)];

	if (!(op->flags & NATIVE_FLAG_MXCSR) ||
			likely((cpu->fx.mxcsr & MXCSR_MASKS) == MXCSR_MASKS)) {
		(void)op->run(reg, rm, vex, fourth, cpu);
	} else if (!native_run_unmasked(op, reg, rm, vex, fourth, cpu)) {
		fpu_raise_simd(cpu);
	}
}

/* Vectors in registers: the common kind. */
static void exec_registers(struct cpu *cpu, const struct insn *insn)
{
	check_avx(cpu);
	run_op(cpu, insn, cpu->fx.xmm[insn->reg], cpu->fx.xmm[insn->rm]);
}

static void exec_general_reg(struct cpu *cpu, const struct insn *insn)
{
	check_avx(cpu);
	run_op(cpu, insn, &cpu->regs[insn->reg], cpu->fx.xmm[insn->rm]);
}

static void exec_general_rm(struct cpu *cpu, const struct insn *insn)
{
	check_avx(cpu);
	run_op(cpu, insn, cpu->fx.xmm[insn->reg], &cpu->regs[insn->rm]);
}

static const void *memory_source(
		struct cpu *cpu, const struct insn *insn, bool aligned, struct fpu_bounce *bounce)
{
	unsigned size = memory_bytes(insn);
	uint64_t linear = operand_linear(cpu, insn, size, MMU_READ);

	if (aligned) {
		fpu_check_alignment(cpu, linear, size);
	}
	return fpu_read(cpu, linear, size, bounce);
}

static void exec_load(struct cpu *cpu, const struct insn *insn)
{
	struct fpu_bounce bounce;

	check_avx(cpu);
	run_op(cpu, insn, cpu->fx.xmm[insn->reg], memory_source(cpu, insn, false, &bounce));
}

static void exec_load_aligned(struct cpu *cpu, const struct insn *insn)
{
	struct fpu_bounce bounce;

	check_avx(cpu);
	run_op(cpu, insn, cpu->fx.xmm[insn->reg], memory_source(cpu, insn, true, &bounce));
}

static void exec_load_general(struct cpu *cpu, const struct insn *insn)
{
	struct fpu_bounce bounce;

	check_avx(cpu);
	run_op(cpu, insn, &cpu->regs[insn->reg], memory_source(cpu, insn, false, &bounce));
}

static void store(struct cpu *cpu, const struct insn *insn, bool aligned)
{
	uint8_t result[FPU_OPERAND_MAX] __attribute__((aligned(FPU_OPERAND_MAX))) = {0};
	unsigned size = memory_bytes(insn);

	check_avx(cpu);
	uint64_t linear = operand_linear(cpu, insn, size, MMU_WRITE);
	if (aligned) {
		fpu_check_alignment(cpu, linear, size);
	}
	if (((const struct native_op *)insn->native)->flags & NATIVE_FLAG_MXCSR) {
		mmu_probe_write(cpu, linear, size); /* VCVTPS2PH: its page fault comes first */
	}
	run_op(cpu, insn, cpu->fx.xmm[insn->reg], result);
	fpu_write(cpu, linear, result, size);
}

static void exec_store(struct cpu *cpu, const struct insn *insn)
{
	store(cpu, insn, false);
}

static void exec_store_aligned(struct cpu *cpu, const struct insn *insn)
{
	store(cpu, insn, true);
}

/* VZEROUPPER, VZEROALL. */
static void exec_zero(struct cpu *cpu, const struct insn *insn)
{
	size_t size = (cpu->mode == INSN_MODE_64 ? 16 : 8) * sizeof(cpu->fx.xmm[0]);

	check_avx(cpu);
	memset(cpu->ymm_high, 0, size);
	if (is_256(insn)) {
		memset(cpu->fx.xmm, 0, size);
	}
}

static void exec_mxcsr_move(struct cpu *cpu, const struct insn *insn)
{
	bool stores = ((insn->modrm >> 3) & 7) == 3;

	check_avx(cpu);
	uint64_t linear = operand_linear(cpu, insn, 4, stores ? MMU_WRITE : MMU_READ);
	if (stores) {
		mmu_store32(cpu, linear, cpu->fx.mxcsr);
		return;
	}
	uint32_t mxcsr = mmu_load32(cpu, linear);
	if (mxcsr & ~MXCSR_VALID) {
		cpu_raise_gp(cpu);
	}
	cpu->fx.mxcsr = mxcsr;
}

/* A register as one array of bytes. */
struct vector {
	uint8_t bytes[32];
};

static struct vector get_vector(const struct cpu *cpu, unsigned index)
{
	struct vector vector;

	memcpy(vector.bytes, cpu->fx.xmm[index], 16);
	memcpy(vector.bytes + 16, cpu->ymm_high[index], 16);
	return vector;
}

static void put_vector(struct cpu *cpu, unsigned index, const struct vector *vector)
{
	memcpy(cpu->fx.xmm[index], vector->bytes, 16);
	memcpy(cpu->ymm_high[index], vector->bytes + 16, 16);
}

/* Whether the element's sign bit is set. */
static bool is_chosen(const struct vector *mask, unsigned offset, unsigned size)
{
	return mask->bytes[offset + size - 1] & 0x80;
}

/* Of VMASKMOV and VPMASKMOV: VMASKMOVP? say their type by opcode. */
static unsigned masked_element(const struct insn *insn)
{
	bool wide = insn->opcode < 0x80 ? insn->opcode & 1 : insn->prefixes & INSN_PREFIX_REX_W;

	return wide ? 8 : 4;
}

static uint64_t address_wrap(const struct insn *insn, uint64_t offset)
{
	return insn->address_size == 8	 ? offset
	       : insn->address_size == 4 ? (uint32_t)offset
					 : (uint16_t)offset;
}

/* Of an element that many bytes behind the memory operand's first. */
static uint64_t element_linear(struct cpu *cpu, const struct insn *insn, unsigned distance,
		unsigned size, enum mmu_access access)
{
	uint64_t offset = address_wrap(insn, operand_offset(cpu, insn) + distance);

	return segment_linear(cpu, insn->segment, offset, size, access);
}

/* What the mask leaves out is neither read nor a fault. */
static void exec_masked_load(struct cpu *cpu, const struct insn *insn)
{
	unsigned element = masked_element(insn), bytes = is_256(insn) ? 32 : 16;
	struct vector result = {{0}};

	check_avx(cpu);
	struct vector mask = get_vector(cpu, insn->vex_reg);
	for (unsigned i = 0; i < bytes; i += element) {
		if (is_chosen(&mask, i, element)) {
			mmu_load_bytes(cpu, element_linear(cpu, insn, i, element, MMU_READ),
					result.bytes + i, element);
		}
	}
	put_vector(cpu, insn->reg, &result);
}

static void exec_masked_store(struct cpu *cpu, const struct insn *insn)
{
	unsigned element = masked_element(insn), bytes = is_256(insn) ? 32 : 16;

	check_avx(cpu);
	const struct vector mask = get_vector(cpu, insn->vex_reg);
	const struct vector value = get_vector(cpu, insn->reg);
	for (unsigned i = 0; i < bytes; i += element) {
		if (is_chosen(&mask, i, element)) {
			mmu_probe_write(cpu, element_linear(cpu, insn, i, element, MMU_WRITE),
					element);
		}
	}
	for (unsigned i = 0; i < bytes; i += element) {
		if (is_chosen(&mask, i, element)) {
			mmu_store_bytes(cpu, element_linear(cpu, insn, i, element, MMU_WRITE),
					value.bytes + i, element);
		}
	}
}

/* VMASKMOVDQU: at DS:rDI, which is looked at as a whole, whatever the mask. */
static void exec_masked_bytes(struct cpu *cpu, const struct insn *insn)
{
	uint64_t offset = address_wrap(insn, cpu->regs[X86_RDI]);

	check_avx(cpu);
	const struct vector value = get_vector(cpu, insn->reg);
	const struct vector mask = get_vector(cpu, insn->rm);
	uint64_t linear = segment_linear(cpu, insn->segment, offset, 16, MMU_WRITE);
	mmu_probe_write(cpu, linear, 16);
	for (unsigned i = 0; i < 16; i++) {
		if (is_chosen(&mask, i, 1)) {
			mmu_store8(cpu, linear + i, value.bytes[i]);
		}
	}
}

/* The address of one element of a gather. */
static uint64_t gather_linear(struct cpu *cpu, const struct insn *insn, const struct vector *index,
		unsigned number, unsigned element)
{
	bool wide_index = insn->opcode & 1;
	int64_t distance;
	struct insn base = *insn;

	if (wide_index) {
		memcpy(&distance, index->bytes + 8 * number, sizeof(distance));
	} else {
		int32_t narrow;
		memcpy(&narrow, index->bytes + 4 * number, sizeof(narrow));
		distance = narrow;
	}
	base.index = INSN_REG_NONE;
	uint64_t offset = operand_offset(cpu, &base) + ((uint64_t)distance << insn->scale);
	return segment_linear(cpu, insn->segment, address_wrap(insn, offset), element, MMU_READ);
}

/*
 * Elements come one by one, and each that has come is marked in the mask: so a fault in the middle can be returned from.
 */
static void exec_gather(struct cpu *cpu, const struct insn *insn)
{
	unsigned element = insn->prefixes & INSN_PREFIX_REX_W ? 8 : 4;
	unsigned wider = MAX(element, insn->opcode & 1 ? 8u : 4u);
	unsigned count = (is_256(insn) ? 32 : 16) / wider;
	const struct vector index = get_vector(cpu, insn->index);

	check_avx(cpu);
	if (insn->reg == insn->index || insn->reg == insn->vex_reg ||
			insn->index == insn->vex_reg) {
		cpu_raise_ud(cpu);
	}
	struct vector mask = get_vector(cpu, insn->vex_reg);
	struct vector result = get_vector(cpu, insn->reg);
	for (unsigned i = 0; i < count; i++) {
		if (is_chosen(&mask, element * i, element)) {
			uint64_t linear = gather_linear(cpu, insn, &index, i, element);
			mmu_load_bytes(cpu, linear, result.bytes + element * i, element);
		}
		memset(mask.bytes + element * i, 0, element);
		put_vector(cpu, insn->vex_reg, &mask);
		put_vector(cpu, insn->reg, &result);
	}
	memset(result.bytes + element * count, 0, sizeof(result) - element * count);
	put_vector(cpu, insn->reg, &result);
	memset(cpu->fx.xmm[insn->vex_reg], 0, 16);
	memset(cpu->ymm_high[insn->vex_reg], 0, 16);
}

/* What is done in C; NULL for a thunk. */
static insn_exec_fn *find_special(const struct avx_desc *desc)
{
	if (desc->flags & AVX_FLAG_ZERO) {
		return exec_zero;
	}
	if (desc->flags & AVX_FLAG_MXCSR_MOVE) {
		return exec_mxcsr_move;
	}
	if (desc->flags & AVX_FLAG_MASKED) {
		return desc->form == AVX_FORM_MVR ? exec_masked_store : exec_masked_load;
	}
	if (desc->flags & AVX_FLAG_MASKED_BYTES) {
		return exec_masked_bytes;
	}
	return desc->flags & AVX_FLAG_GATHER ? exec_gather : NULL;
}

static insn_exec_fn *choose_exec(const struct insn *insn, const struct avx_desc *desc)
{
	bool to_rm = desc->form == AVX_FORM_MR || desc->form == AVX_FORM_MVR;
	bool aligned = desc->flags & AVX_FLAG_ALIGNED;

	if (!insn->is_memory) {
		return desc->flags & AVX_FLAG_REG_GENERAL  ? exec_general_reg
		       : desc->flags & AVX_FLAG_RM_GENERAL ? exec_general_rm
							   : exec_registers;
	}
	if (to_rm) {
		return aligned ? exec_store_aligned : exec_store;
	}
	if (desc->flags & AVX_FLAG_REG_GENERAL) {
		return exec_load_general;
	}
	return aligned ? exec_load_aligned : exec_load;
}

void exec_bind_avx(struct insn *insn)
{
	const struct avx_desc *desc = avx_lookup_insn(insn);
	const struct native_op *op;

	insn->exec = desc ? find_special(desc) : exec_undefined;
	if (insn->exec) {
		return;
	}
	op = native_avx_get(insn, desc);
	insn->native = (void *)(uintptr_t)op;
	insn->exec = op ? choose_exec(insn, desc) : exec_undefined;
}
