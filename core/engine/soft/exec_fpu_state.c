/* SPDX-License-Identifier: MIT */
/*
 * Loads and stores of whole register files: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, EMMS. SDM vol. 1, 10.5; vol. 2.
 *
 * FCS and FDS read as zero, as on processors with CPUID.7:EBX[13]. FXSAVE's bytes from 416 on are not written.
 */
#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"

/* What an image holds of use: XMM8-15 exist only in 64-bit mode. */
#define IMAGE_SIZE 512
#define SIZE_64 offsetof(struct cpu_fx, reserved1)
#define SIZE_32 offsetof(struct cpu_fx, xmm[8])
#define SIZE_X87 offsetof(struct cpu_fx, xmm)

/* Bytes of the image that are saved and restored. */
static size_t image_bytes(const struct cpu *cpu)
{
	if (!(cpu->cr4 & X86_CR4_OSFXSR)) {
		return SIZE_X87;
	}
	return cpu->mode == INSN_MODE_64 ? SIZE_64 : SIZE_32;
}

static uint64_t image_linear(struct cpu *cpu, const struct insn *insn, enum mmu_access access)
{
	uint64_t linear;

	fpu_check_x87(cpu, false); /* the same #NM; exceptions that pend are part of the image */
	linear = operand_linear(cpu, insn, IMAGE_SIZE, access);
	fpu_check_alignment(cpu, linear, 16);
	return linear;
}

void fpu_make_image(const struct cpu *cpu, const struct insn *insn, struct cpu_fx *ret_image)
{
	*ret_image = cpu->fx;
	ret_image->reserved0 = 0;
	ret_image->mxcsr_mask = MXCSR_VALID;
	if (!(insn->prefixes & INSN_PREFIX_REX_W)) {
		ret_image->fip = (uint32_t)ret_image->fip;
		ret_image->fdp = (uint32_t)ret_image->fdp;
	}
	for (unsigned i = 0; i < 8; i++) {
		memset(ret_image->st[i] + 10, 0, 6);
	}
}

void fpu_take_x87(struct cpu *cpu, const struct insn *insn, const struct cpu_fx *image)
{
	struct cpu_fx *fx = &cpu->fx;

	fx->fcw = (uint16_t)((image->fcw & FCW_VALID) | FCW_FIXED);
	fx->fsw = image->fsw;
	fx->ftw = image->ftw;
	fx->fop = image->fop & FOP_VALID;
	fx->fip = insn->prefixes & INSN_PREFIX_REX_W ? image->fip : (uint32_t)image->fip;
	fx->fdp = insn->prefixes & INSN_PREFIX_REX_W ? image->fdp : (uint32_t)image->fdp;
	for (unsigned i = 0; i < 8; i++) {
		memcpy(fx->st[i], image->st[i], 10);
	}
	fpu_update_pending(fx);
}

static void exec_fxsave(struct cpu *cpu, const struct insn *insn)
{
	uint64_t linear = image_linear(cpu, insn, MMU_WRITE);
	struct cpu_fx image;

	fpu_make_image(cpu, insn, &image);
	mmu_probe_write(cpu, linear, IMAGE_SIZE);
	mmu_store_bytes(cpu, linear, &image, image_bytes(cpu));
}

static void exec_fxrstor(struct cpu *cpu, const struct insn *insn)
{
	uint64_t linear = image_linear(cpu, insn, MMU_READ);
	struct cpu_fx image;
	struct cpu_fx *fx = &cpu->fx;

	mmu_load_bytes(cpu, linear, &image, IMAGE_SIZE);
	if (cpu->cr4 & X86_CR4_OSFXSR) {
		if (image.mxcsr & ~MXCSR_VALID) {
			cpu_raise_gp(cpu);
		}
		fx->mxcsr = image.mxcsr;
		memcpy(fx->xmm, image.xmm, image_bytes(cpu) - SIZE_X87);
	}
	fpu_take_x87(cpu, insn, &image);
}

static void exec_ldmxcsr(struct cpu *cpu, const struct insn *insn)
{
	uint32_t mxcsr;

	fpu_check_sse(cpu);
	mxcsr = mmu_load32(cpu, operand_linear(cpu, insn, 4, MMU_READ));
	if (mxcsr & ~MXCSR_VALID) {
		cpu_raise_gp(cpu);
	}
	cpu->fx.mxcsr = mxcsr;
}

static void exec_stmxcsr(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	mmu_store32(cpu, operand_linear(cpu, insn, 4, MMU_WRITE), cpu->fx.mxcsr);
}

static void exec_emms(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	cpu->fx.ftw = 0;
}

bool exec_bind_fpu_state(struct insn *insn)
{
	static insn_exec_fn *const group_15[8] = {
			exec_fxsave, exec_fxrstor, exec_ldmxcsr, exec_stmxcsr};

	if (insn->map != INSN_MAP_0F) {
		return false;
	}
	if (insn->opcode == 0x77) {
		insn->exec = exec_emms;
		return true;
	}
	if (insn->opcode == 0xae && insn->is_memory && group_15[(insn->modrm >> 3) & 7]) {
		insn->exec = group_15[(insn->modrm >> 3) & 7];
		return true;
	}
	return false;
}
