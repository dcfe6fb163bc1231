/* SPDX-License-Identifier: MIT */
/*
 * XSAVE, XSAVEOPT, XSAVEC, XRSTOR: x87, SSE and AVX state in one image. SDM vol. 1, chapter 13.
 *
 * x87 and SSE state always counts as in use; AVX state does if any upper half is not zero. XSAVEOPT
 * takes no state for unmodified.
 */
#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"

#define COMPACTED BIT(63)
#define IMAGE_MAX (FPU_AVX_OFFSET + FPU_AVX_SIZE)
#define IMAGE_ALIGNMENT 64

/* At FPU_HEADER_OFFSET. */
struct header {
	uint64_t states; /* XSTATE_BV: which the image has */
	uint64_t layout; /* XCOMP_BV */
	uint64_t reserved[6];
};
_Static_assert(FPU_HEADER_OFFSET + sizeof(struct header) == FPU_AVX_OFFSET, "XSAVE image");

static unsigned vector_registers(const struct cpu *cpu)
{
	return cpu->mode == INSN_MODE_64 ? 16 : 8;
}

/* States asked for in edx:eax, of those that the guest's system has enabled. Raises what comes before memory is looked at. */
static uint64_t requested_states(struct cpu *cpu)
{
	uint64_t mask = (uint32_t)cpu->regs[X86_RAX] | cpu->regs[X86_RDX] << 32;

	if (!(cpu->cr4 & X86_CR4_OSXSAVE)) {
		cpu_raise_ud(cpu);
	}
	if (cpu->cr0 & X86_CR0_TS) {
		cpu_raise(cpu, X86_VECTOR_NM);
	}
	return mask & cpu->xcr0;
}

static uint64_t image_linear(
		struct cpu *cpu, const struct insn *insn, uint64_t states, enum mmu_access access)
{
	uint64_t linear = operand_linear(cpu, insn, fpu_image_size(states), access);

	fpu_check_alignment(cpu, linear, IMAGE_ALIGNMENT);
	return linear;
}

/* Writes what XSAVE's kin share: the states, without the header. mxcsr says whether MXCSR goes, too. */
static void store_states(struct cpu *cpu, const struct insn *insn, uint64_t linear, uint64_t states,
		bool mxcsr)
{
	const size_t x87_registers = offsetof(struct cpu_fx, st);
	const uint64_t common = X86_XCR0_X87 | X86_XCR0_SSE;
	struct cpu_fx image;

	fpu_make_image(cpu, insn, &image);
	if ((states & common) == common && mxcsr && vector_registers(cpu) == 16) {
		mmu_store_bytes(cpu, linear, &image, offsetof(struct cpu_fx, reserved1));
		states &= ~common;
		mxcsr = false;
	}
	if (states & X86_XCR0_X87) {
		mmu_store_bytes(cpu, linear, &image, offsetof(struct cpu_fx, mxcsr));
		mmu_store_bytes(cpu, linear + x87_registers, image.st, sizeof(image.st));
	}
	if (mxcsr) {
		mmu_store_bytes(cpu, linear + offsetof(struct cpu_fx, mxcsr), &image.mxcsr,
				2 * sizeof(image.mxcsr));
	}
	if (states & X86_XCR0_SSE) {
		mmu_store_bytes(cpu, linear + offsetof(struct cpu_fx, xmm), image.xmm,
				vector_registers(cpu) * sizeof(image.xmm[0]));
	}
	if (states & X86_XCR0_AVX) {
		mmu_store_bytes(cpu, linear + FPU_AVX_OFFSET, cpu->ymm_high,
				vector_registers(cpu) * sizeof(cpu->ymm_high[0]));
	}
}

static void exec_xsave(struct cpu *cpu, const struct insn *insn)
{
	bool optimizes = ((insn->modrm >> 3) & 7) == 6; /* XSAVEOPT */
	uint64_t states = requested_states(cpu), in_use = fpu_states_in_use(cpu);
	uint64_t linear = image_linear(cpu, insn, states, MMU_WRITE), old;

	mmu_probe_write(cpu, linear, fpu_image_size(states));
	mmu_load_bytes(cpu, linear + FPU_HEADER_OFFSET, &old, sizeof(old));
	store_states(cpu, insn, linear, optimizes ? states & in_use : states,
			states & (X86_XCR0_SSE | X86_XCR0_AVX));
	old = (old & ~states) | (states & in_use);
	mmu_store_bytes(cpu, linear + FPU_HEADER_OFFSET, &old, sizeof(old));
}

static void exec_xsavec(struct cpu *cpu, const struct insn *insn)
{
	uint64_t states = requested_states(cpu), in_use = fpu_states_in_use(cpu);
	uint64_t linear = image_linear(cpu, insn, states, MMU_WRITE);
	const uint64_t header[2] = {states & in_use, states | COMPACTED};

	mmu_probe_write(cpu, linear, fpu_image_size(states));
	store_states(cpu, insn, linear, states & in_use, states & X86_XCR0_SSE);
	mmu_store_bytes(cpu, linear + FPU_HEADER_OFFSET, header, sizeof(header));
}

/* Raises #GP for a header that no XSAVE could have written. */
static void check_header(struct cpu *cpu, const struct header *header)
{
	bool compacted = header->layout & COMPACTED;
	uint64_t reserved = compacted ? 0 : header->layout | header->reserved[0];

	for (unsigned i = 0; compacted && i < G_N_ELEMENTS(header->reserved); i++) {
		reserved |= header->reserved[i];
	}
	if (reserved || (header->states & ~cpu->xcr0)) {
		cpu_raise_gp(cpu);
	}
	if (compacted && ((header->layout & ~COMPACTED & ~cpu->xcr0) ||
					 (header->states & ~header->layout) ||
					 !cpu_has(cpu, CPU_FEATURE_XSAVEC))) {
		cpu_raise_gp(cpu);
	}
}

/* What the image says of MXCSR, in the standard form whenever SSE or AVX state is asked for. */
static uint32_t find_mxcsr(struct cpu *cpu, uint64_t requested, const struct header *header,
		const struct cpu_fx *image)
{
	bool compacted = header->layout & COMPACTED;
	uint64_t with = compacted ? X86_XCR0_SSE : X86_XCR0_SSE | X86_XCR0_AVX;

	if (!(requested & with)) {
		return cpu->fx.mxcsr;
	}
	if (compacted && !(header->states & X86_XCR0_SSE)) {
		return MXCSR_INIT;
	}
	if (image->mxcsr & ~MXCSR_VALID) {
		cpu_raise_gp(cpu);
	}
	return image->mxcsr;
}

static void exec_xrstor(struct cpu *cpu, const struct insn *insn)
{
	uint64_t requested = requested_states(cpu);
	uint64_t linear = image_linear(cpu, insn, requested, MMU_READ);
	uint8_t bytes[IMAGE_MAX] __attribute__((aligned(IMAGE_ALIGNMENT)));
	const struct cpu_fx *image = (const void *)bytes;
	const struct header *header = (const void *)(bytes + FPU_HEADER_OFFSET);

	mmu_load_bytes(cpu, linear, bytes, FPU_AVX_OFFSET);
	check_header(cpu, header);
	uint64_t loaded = requested & header->states;
	if (loaded & X86_XCR0_AVX) {
		mmu_load_bytes(cpu, linear + FPU_AVX_OFFSET, bytes + FPU_AVX_OFFSET, FPU_AVX_SIZE);
	}
	cpu->fx.mxcsr = find_mxcsr(cpu, requested, header, image);
	if (loaded & X86_XCR0_X87) {
		fpu_take_x87(cpu, insn, image);
	} else if (requested & X86_XCR0_X87) {
		fpu_init(&cpu->fx);
		memset(cpu->fx.st, 0, sizeof(cpu->fx.st));
	}
	size_t size = vector_registers(cpu) * sizeof(cpu->fx.xmm[0]);
	if (loaded & X86_XCR0_SSE) {
		memcpy(cpu->fx.xmm, image->xmm, size);
	} else if (requested & X86_XCR0_SSE) {
		memset(cpu->fx.xmm, 0, size);
	}
	if (loaded & X86_XCR0_AVX) {
		memcpy(cpu->ymm_high, bytes + FPU_AVX_OFFSET, size);
	} else if (requested & X86_XCR0_AVX) {
		memset(cpu->ymm_high, 0, size);
	}
}

bool exec_bind_xsave(struct insn *insn)
{
	static insn_exec_fn *const group_15[8] = {
			[4] = exec_xsave, [5] = exec_xrstor, [6] = exec_xsave};
	unsigned extension = (insn->modrm >> 3) & 7;

	if (insn->map != INSN_MAP_0F || !insn->is_memory) {
		return false;
	}
	if (insn->opcode == 0xae && group_15[extension]) {
		insn->exec = group_15[extension];
		return true;
	}
	if (insn->opcode == 0xc7 && extension == 4) {
		insn->exec = exec_xsavec;
		return true;
	}
	return false;
}
