/* SPDX-License-Identifier: MIT */
/*
 * What the x87, MMX and SSE executors share: may the instruction run at all, where its memory operand is, and the register
 * stack in the FXSAVE image. SDM vol. 1, chapters 8-11; vol. 3, 2.5 and table 14-1.
 */
#ifndef CORE_ENGINE_SOFT_FPU_H
#define CORE_ENGINE_SOFT_FPU_H

#include "core/engine/soft/cpu.h"
#include "core/engine/soft/operand.h"

#define FSW_ES BIT(7) /* an unmasked exception is pending */
#define FSW_BUSY BIT(15) /* always as ES */
#define FSW_EXCEPTIONS 0x3fu
#define FSW_CONDITIONS 0x4700u /* C0-C3 */
#define FSW_TOP_SHIFT 11
#define FSW_TOP (7u << FSW_TOP_SHIFT)
#define FCW_MASKS 0x3fu
#define FCW_INIT 0x37fu
#define FCW_VALID 0x1f3fu /* what can be written; bit 12 does nothing */
#define FCW_FIXED 0x40u /* reads as one */
#define FOP_VALID 0x7ffu

#define MXCSR_MASKS 0x1f80u
#define MXCSR_VALID \
	0xffffu /* what MXCSR_MASK tells the guest; AMD's misaligned mode is not offered */
#define MXCSR_INIT 0x1f80u

/* The image of XSAVE: what FXSAVE writes, the header, the upper halves of YMM. SDM vol. 1, 13.4. */
#define FPU_HEADER_OFFSET 512u
#define FPU_AVX_OFFSET 576u
#define FPU_AVX_SIZE 256u

#define FPU_OPERAND_MAX 32 /* bytes of the longest memory operand that a thunk takes */

/* A copy of a memory operand, aligned as the host instruction may demand. */
struct fpu_bounce {
	uint8_t bytes[FPU_OPERAND_MAX];
} __attribute__((aligned(FPU_OPERAND_MAX)));

/* State that XSAVE can save for this guest: X86_XCR0_*. */
static inline uint64_t fpu_states(const struct cpu *cpu)
{
	uint64_t states = X86_XCR0_X87 | X86_XCR0_SSE;

	return cpu_has(cpu, CPU_FEATURE_AVX) ? states | X86_XCR0_AVX : states;
}

/* Which states are not as XRSTOR would initialise them; those that nobody keeps track of count. */
static inline uint64_t fpu_states_in_use(const struct cpu *cpu)
{
	static const uint8_t zeros[sizeof(cpu->ymm_high)];
	uint64_t states = X86_XCR0_X87 | X86_XCR0_SSE;

	return memcmp(cpu->ymm_high, zeros, sizeof(zeros)) == 0 ? states : states | X86_XCR0_AVX;
}

/* Bytes of the image that has these states. */
static inline uint32_t fpu_image_size(uint64_t states)
{
	return states & X86_XCR0_AVX ? FPU_AVX_OFFSET + FPU_AVX_SIZE : FPU_AVX_OFFSET;
}

struct xmm {
	uint64_t low, high;
};

/* The slow halves of the checks below: find out which exception it is and raise it, if any. fpu.c. */
void fpu_refuse_sse(struct cpu *cpu);
void fpu_refuse_x87(struct cpu *cpu, bool waits);
void fpu_refuse_mmx(struct cpu *cpu);

/* An unmasked x87 exception is pending at a waiting instruction: #MF, or what stands for it without CR0.NE. */
void fpu_pending_exception(struct cpu *cpu);

/* #UD, #NM for an instruction on XMM registers or MXCSR. */
static inline void fpu_check_sse(struct cpu *cpu)
{
	if (unlikely((cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) || !(cpu->cr4 & X86_CR4_OSFXSR))) {
		fpu_refuse_sse(cpu);
	}
}

/* Whether SSE instructions can run on the host without a look: allowed, and all exceptions masked. */
static inline bool fpu_sse_unchecked(const struct cpu *cpu)
{
	return !(cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) && (cpu->cr4 & X86_CR4_OSFXSR) &&
	       (cpu->fx.mxcsr & MXCSR_MASKS) == MXCSR_MASKS;
}

/* The same for instructions with a VEX prefix. */
static inline bool fpu_avx_unchecked(const struct cpu *cpu)
{
	const uint64_t states = X86_XCR0_SSE | X86_XCR0_AVX;

	return fpu_sse_unchecked(cpu) && (cpu->cr4 & X86_CR4_OSXSAVE) &&
	       (cpu->xcr0 & states) == states;
}

/* Whether this is not what translations count on any more. */
static inline bool fpu_native_changed(const struct cpu *cpu)
{
	return cpu->sse_native != fpu_sse_unchecked(cpu) ||
	       cpu->avx_native != fpu_avx_unchecked(cpu);
}

/* #NM, #MF for an x87 instruction; one of the no-wait kind ignores pending exceptions. */
static inline void fpu_check_x87(struct cpu *cpu, bool waits)
{
	if (unlikely((cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) || (waits && (cpu->fx.fsw & FSW_ES)))) {
		fpu_refuse_x87(cpu, waits);
	}
}

/* #UD, #NM, #MF for an MMX instruction. */
static inline void fpu_check_mmx(struct cpu *cpu)
{
	if (unlikely((cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) || (cpu->fx.fsw & FSW_ES))) {
		fpu_refuse_mmx(cpu);
	}
}

/* Raises the SIMD exception that fx.mxcsr tells of: #XM, or #UD where the OS does not handle it. */
_Noreturn void fpu_raise_simd(struct cpu *cpu);

/* Turns the register stack so that top is at TOP: st[] is in stack order, ftw in physical order. */
void fpu_set_top(struct cpu_fx *fx, unsigned top);

/* ES and B follow from the exception flags and the masks. */
void fpu_update_pending(struct cpu_fx *fx);

/* FNINIT. */
void fpu_init(struct cpu_fx *fx);

/* What every MMX instruction but EMMS does to the x87 state: TOP 0, all registers in use. */
static inline void fpu_enter_mmx(struct cpu *cpu)
{
	if (unlikely(cpu->fx.fsw & FSW_TOP)) {
		fpu_set_top(&cpu->fx, 0);
	}
	cpu->fx.ftw = 0xff;
}

/* The low 8 bytes of st[n] are MMX register n once TOP is 0. */
static inline void fpu_write_mm(struct cpu *cpu, unsigned index, uint64_t value)
{
	memcpy(cpu->fx.st[index], &value, sizeof(value));
	memset(cpu->fx.st[index] + 8, 0xff, 2);
}

/* #GP(0) unless the operand is aligned to size, a power of two. */
static inline void fpu_check_alignment(struct cpu *cpu, uint64_t linear, size_t size)
{
	if (unlikely(linear & (size - 1))) {
		cpu_raise_gp(cpu);
	}
}

/*
 * The size bytes at linear: in RAM if they lie in one page that the TLB knows, else read into bounce. Raises #PF. Good until
 * the next access to guest memory.
 */
static inline const void *fpu_read(
		struct cpu *cpu, uint64_t linear, size_t size, struct fpu_bounce *bounce)
{
	const struct tlb_entry *entry = &cpu->tlb->read[tlb_index(linear)];

	if (likely(tlb_hit(entry, linear, (unsigned)size))) {
		return (const void *)tlb_host(entry, linear);
	}
	mmu_load_bytes(cpu, linear, bounce->bytes, size);
	return bounce->bytes;
}

/* Writes size bytes; all or none. Raises #PF. */
static inline void fpu_write(struct cpu *cpu, uint64_t linear, const void *value, size_t size)
{
	const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)];

	if (likely(tlb_hit(entry, linear, (unsigned)size))) {
		memcpy((void *)tlb_host(entry, linear), value, size);
		return;
	}
	mmu_store_bytes(cpu, linear, value, size);
}

/* Executors in other files; each returns false if the instruction is not its own. */
bool exec_bind_sse_move(struct insn *insn);
bool exec_bind_fpu_state(struct insn *insn);
bool exec_bind_x87(struct insn *insn);
bool exec_bind_xsave(struct insn *insn);

/* The FXSAVE image as insn writes it: FXSAVE, XSAVE and kin. */
void fpu_make_image(const struct cpu *cpu, const struct insn *insn, struct cpu_fx *ret_image);

/* Takes the x87 part of an image that insn loaded. */
void fpu_take_x87(struct cpu *cpu, const struct insn *insn, const struct cpu_fx *image);

#endif
