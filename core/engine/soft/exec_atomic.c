/* SPDX-License-Identifier: MIT */
/*
 * XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B: as the host's locked instruction wherever the operand is
 * plain memory.
 */
#include "core/engine/soft/exec_integer.h"

/* XCHG with memory is locked with or without the prefix; so is XADD here. */
#define DEFINE_EXCHANGES(bits, suffix) \
	static void xchg##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t value = reg_get##bits(cpu, insn, insn->reg), old; \
		uint##bits##_t *host; \
		uint64_t linear; \
		if (!insn->is_memory) { \
			old = reg_get##bits(cpu, insn, insn->rm); \
			reg_set##bits(cpu, insn, insn->rm, value); \
			reg_set##bits(cpu, insn, insn->reg, old); \
			return; \
		} \
		host = memory_locked##bits(cpu, insn, &linear); \
		if (likely(host)) { \
			__asm__ volatile("xchg %[value], %[memory]" \
					 : [value] "+r"(value), [memory] "+m"(*host) \
					 : \
					 : "memory"); \
			old = value; \
		} else { \
			old = mmu_load##bits(cpu, linear); \
			mmu_store##bits(cpu, linear, value); \
		} \
		reg_set##bits(cpu, insn, insn->reg, old); \
	} \
	/* The flags of an addition; the destination's old value goes to the register. */ \
	static void xadd##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t value = reg_get##bits(cpu, insn, insn->reg), sum; \
		uint##bits##_t *host = NULL; \
		uint64_t linear = 0, flags; \
		if (insn->is_memory) { \
			host = memory_locked##bits(cpu, insn, &linear); \
			sum = host ? 0 : mmu_load##bits(cpu, linear); \
		} else { \
			sum = reg_get##bits(cpu, insn, insn->rm); \
		} \
		if (likely(host)) { \
			__asm__ volatile( \
					"lock; xadd" suffix " %[value], %[memory]" ASM_FLAGS_OUT \
					: [value] "+&r"(value), [memory] "+m"(*host), "=&a"(flags) \
					: \
					: "cc", "memory"); \
			reg_set##bits(cpu, insn, insn->reg, value); \
		} else { \
			__asm__("xadd" suffix " %[value], %[sum]" ASM_FLAGS_OUT \
					: [value] "+&r"(value), [sum] "+&r"(sum), "=&a"(flags) \
					: \
					: "cc"); \
			if (insn->is_memory) { \
				mmu_store##bits(cpu, linear, sum); \
				reg_set##bits(cpu, insn, insn->reg, value); \
			} else { \
				reg_set##bits(cpu, insn, insn->reg, value); \
				reg_set##bits(cpu, insn, insn->rm, sum); \
			} \
		} \
		cpu->rflags = flags_merge(cpu->rflags, flags); \
	}

/* rax cannot hold the comparand and lahf's flags at once: it is moved out between. */
#define ASM_CMPXCHG(prefix, suffix, reg_a) \
	"mov %[accumulator], %%" reg_a "\n\t" prefix "cmpxchg" suffix \
	" %[value], %[dst]\n\tmov %%" reg_a ", %[accumulator]" ASM_FLAGS_OUT

#define DEFINE_CMPXCHG(bits, suffix, reg_a) \
	static void cmpxchg##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		uint##bits##_t accumulator = reg_get##bits(cpu, insn, X86_RAX); \
		uint##bits##_t value = reg_get##bits(cpu, insn, insn->reg), dst = 0; \
		uint##bits##_t *host = NULL; \
		uint64_t linear = 0, ax; \
		if (insn->is_memory) { \
			host = memory_locked##bits(cpu, insn, &linear); \
		} \
		if (likely(host)) { \
			__asm__ volatile(ASM_CMPXCHG("lock; ", suffix, reg_a) \
					 : [accumulator] "+&r"(accumulator), [dst] "+m"(*host), \
					 "=&a"(ax) \
					 : [value] "r"(value) \
					 : "cc", "memory"); \
		} else { \
			dst = insn->is_memory ? mmu_load##bits(cpu, linear) \
					      : reg_get##bits(cpu, insn, insn->rm); \
			__asm__(ASM_CMPXCHG("", suffix, reg_a) \
					: [accumulator] "+&r"(accumulator), [dst] "+&r"(dst), \
					"=&a"(ax) \
					: [value] "r"(value) \
					: "cc"); \
			if (insn->is_memory) { \
				mmu_store##bits(cpu, linear, dst); \
			} \
		} \
		cpu->rflags = flags_merge(cpu->rflags, ax); \
		/* Only the side that the comparison sends a value to is written. */ \
		if (!(cpu->rflags & X86_FLAG_ZF)) { \
			reg_set##bits(cpu, insn, X86_RAX, accumulator); \
		} else if (!insn->is_memory) { \
			reg_set##bits(cpu, insn, insn->rm, dst); \
		} \
	}

DEFINE_EXCHANGES(8, "b")
DEFINE_EXCHANGES(16, "w")
DEFINE_EXCHANGES(32, "l")
DEFINE_EXCHANGES(64, "q")
DEFINE_CMPXCHG(8, "b", "al")
DEFINE_CMPXCHG(16, "w", "ax")
DEFINE_CMPXCHG(32, "l", "eax")
DEFINE_CMPXCHG(64, "q", "rax")

/* Short form: rAX and the register in the opcode. */
static void xchg_accumulator(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t value = cpu->regs[X86_RAX];

	reg_set(cpu, insn, X86_RAX, cpu->regs[insn->rm], size);
	reg_set(cpu, insn, insn->rm, value, size);
}

/* ZF says whether the pair was exchanged; the other flags stay. */
static void cmpxchg8b(struct cpu *cpu, const struct insn *insn)
{
	uint64_t expected = cpu->regs[X86_RDX] << 32 | (uint32_t)cpu->regs[X86_RAX],
		 seen = expected;
	uint64_t desired = cpu->regs[X86_RCX] << 32 | (uint32_t)cpu->regs[X86_RBX], linear;
	uint64_t *host = memory_locked64(cpu, insn, &linear);
	bool equal;

	if (likely(host)) {
		equal = __atomic_compare_exchange_n(
				host, &seen, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else {
		seen = mmu_load64(cpu, linear);
		equal = seen == expected;
		mmu_store64(cpu, linear, equal ? desired : seen);
	}
	if (equal) {
		cpu->rflags |= X86_FLAG_ZF;
	} else {
		cpu->rflags &= ~X86_FLAG_ZF;
		cpu->regs[X86_RAX] = (uint32_t)seen;
		cpu->regs[X86_RDX] = seen >> 32;
	}
}

/* The pair in one go, on a host address that is aligned to it. */
static bool pair_exchange(uint64_t *host, uint64_t seen[2], const uint64_t desired[2])
{
	bool equal;

	__asm__ volatile("lock; cmpxchg16b %[pair]"
			 : [pair] "+m"(*(unsigned __int128 *)(void *)host), "+a"(seen[0]),
			 "+d"(seen[1]), "=@ccz"(equal)
			 : "b"(desired[0]), "c"(desired[1])
			 : "memory");
	return equal;
}

/* Not aligned to 16 bytes: #GP. So it never crosses a page. */
static void cmpxchg16b(struct cpu *cpu, const struct insn *insn)
{
	uint64_t linear = operand_linear(cpu, insn, 16, MMU_WRITE);
	uint64_t seen[2] = {cpu->regs[X86_RAX], cpu->regs[X86_RDX]};
	uint64_t desired[2] = {cpu->regs[X86_RBX], cpu->regs[X86_RCX]};
	uint64_t *host;
	bool equal;

	if (linear & 15) {
		cpu_raise_gp(cpu);
	}
	host = linear_change(cpu, linear, 16);
	if (likely(host)) {
		equal = pair_exchange(host, seen, desired);
	} else {
		smp_exclude(cpu);
		uint64_t low = mmu_load64(cpu, linear), high = mmu_load64(cpu, linear + 8);
		equal = low == seen[0] && high == seen[1];
		mmu_store64(cpu, linear, equal ? desired[0] : low);
		mmu_store64(cpu, linear + 8, equal ? desired[1] : high);
		seen[0] = low;
		seen[1] = high;
	}
	if (equal) {
		cpu->rflags |= X86_FLAG_ZF;
	} else {
		cpu->rflags &= ~X86_FLAG_ZF;
		cpu->regs[X86_RAX] = seen[0];
		cpu->regs[X86_RDX] = seen[1];
	}
}

#define ATOMIC_SIZES(op) \
	{ \
		op##8, op##16, op##32, op##64 \
	}

insn_exec_fn *exec_atomic_find(struct insn *insn)
{
	static insn_exec_fn *const xchg_table[4] = ATOMIC_SIZES(xchg);
	static insn_exec_fn *const xadd_table[4] = ATOMIC_SIZES(xadd);
	static insn_exec_fn *const cmpxchg_table[4] = ATOMIC_SIZES(cmpxchg);
	unsigned size = size_index(insn);

	if (insn->map == INSN_MAP_LEGACY) {
		switch (insn->opcode) {
		case 0x86 ... 0x87:
			return xchg_table[size];
		case 0x90 ... 0x97:
			return xchg_accumulator;
		default:
			return NULL;
		}
	}
	if (insn->map != INSN_MAP_0F) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0xb0 ... 0xb1:
		return cmpxchg_table[size];
	case 0xc0 ... 0xc1:
		return xadd_table[size];
	case 0xc7:
		if (!insn->is_memory || modrm_reg(insn) != 1) {
			return NULL;
		}
		return insn->operand_size == 8 ? cmpxchg16b : cmpxchg8b;
	default:
		return NULL;
	}
}
