/* SPDX-License-Identifier: MIT */
/*
 * What the integer executors share: registers by size, memory operands with the TLB check in line,
 * flags taken from the host CPU. Only for core/engine/soft/exec_*.c.
 */
#ifndef CORE_ENGINE_SOFT_EXEC_INTEGER_H
#define CORE_ENGINE_SOFT_EXEC_INTEGER_H

#include "core/engine/soft/exec.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/exec_stack.h"

/* Index of an operand size of 1, 2, 4, 8 bytes in a table of four functions. */
static inline unsigned size_index(const struct insn *insn)
{
	return (unsigned)__builtin_ctz(insn->operand_size | 8u);
}

static inline unsigned modrm_reg(const struct insn *insn)
{
	return (insn->modrm >> 3) & 7;
}

/* Each returns the executor of an instruction of its group, or NULL if it is none of them. */
insn_exec_fn *exec_alu_find(struct insn *insn);
insn_exec_fn *exec_unary_find(struct insn *insn);
insn_exec_fn *exec_shift_find(struct insn *insn);
insn_exec_fn *exec_muldiv_find(struct insn *insn);
insn_exec_fn *exec_bit_find(struct insn *insn);
insn_exec_fn *exec_bmi_find(struct insn *insn);
insn_exec_fn *exec_move_find(struct insn *insn);
insn_exec_fn *exec_stack_find(struct insn *insn);
insn_exec_fn *exec_atomic_find(struct insn *insn);
insn_exec_fn *exec_string_find(struct insn *insn);
insn_exec_fn *exec_branch_find(struct insn *insn);
insn_exec_fn *exec_flags_find(struct insn *insn);

/*
 * Registers. 8-bit numbers 4 to 7 mean ah, ch, dh, bh without a REX prefix. A 32-bit result clears
 * the upper half; smaller ones leave the rest.
 */
static inline uint8_t *reg8_pointer(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	uint8_t *bytes = (uint8_t *)cpu->regs;

	if (number >= 4 && !(insn->prefixes & (INSN_PREFIX_REX | INSN_PREFIX_VEX)) && number < 8) {
		return &bytes[(number - 4) * 8 + 1];
	}
	return &bytes[number * 8];
}

static inline uint8_t reg_get8(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	return *reg8_pointer(cpu, insn, number);
}

static inline uint16_t reg_get16(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	(void)insn;
	return (uint16_t)cpu->regs[number];
}

static inline uint32_t reg_get32(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	(void)insn;
	return (uint32_t)cpu->regs[number];
}

static inline uint64_t reg_get64(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	(void)insn;
	return cpu->regs[number];
}

static inline void reg_set8(
		struct cpu *cpu, const struct insn *insn, unsigned number, uint8_t value)
{
	*reg8_pointer(cpu, insn, number) = value;
}

static inline void reg_set16(
		struct cpu *cpu, const struct insn *insn, unsigned number, uint16_t value)
{
	(void)insn;
	memcpy(&cpu->regs[number], &value, sizeof(value));
}

static inline void reg_set32(
		struct cpu *cpu, const struct insn *insn, unsigned number, uint32_t value)
{
	(void)insn;
	cpu->regs[number] = value;
}

static inline void reg_set64(
		struct cpu *cpu, const struct insn *insn, unsigned number, uint64_t value)
{
	(void)insn;
	cpu->regs[number] = value;
}

/* By a size known only at run time, for what is not hot. */
uint64_t reg_get(struct cpu *cpu, const struct insn *insn, unsigned number, unsigned size);
void reg_set(struct cpu *cpu, const struct insn *insn, unsigned number, uint64_t value,
		unsigned size);

/* Loads and stores of a size known only at run time. */
uint64_t linear_load(struct cpu *cpu, uint64_t linear, unsigned size);
void linear_store(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size);

/*
 * As mmu_host_write(), but where that gives NULL everything that a write there can raise has been
 * raised.
 */
void *linear_change(struct cpu *cpu, uint64_t linear, unsigned size);

/*
 * The memory operand's linear address where address_size is 8, so in 64-bit mode; not yet known to
 * be canonical.
 */
static inline uint64_t memory_linear64(const struct cpu *cpu, const struct insn *insn)
{
	uint64_t linear = (uint64_t)(int64_t)insn->disp + cpu->seg_base[insn->segment];

	if (likely(insn->base < X86_REG_COUNT)) {
		linear += cpu->regs[insn->base];
	} else if (insn->base == INSN_BASE_RIP) {
		linear += cpu->rip + insn->length;
	}
	if (insn->index != INSN_REG_NONE) {
		linear += cpu->regs[insn->index] << insn->scale;
	}
	return linear;
}

/* All the cases that the functions below leave out. */
uint64_t memory_load_slow(struct cpu *cpu, const struct insn *insn, unsigned size);
void memory_store_slow(struct cpu *cpu, const struct insn *insn, uint64_t value, unsigned size);
void *memory_change_slow(
		struct cpu *cpu, const struct insn *insn, unsigned size, uint64_t *ret_linear);

/*
 * A locked access across two cache lines stops all of the host's processors, and some hosts kill
 * for it: it is done without the lock instead, while the other vCPUs wait.
 */
static inline bool lock_is_cheap(const void *host, unsigned size)
{
	return ((uintptr_t)host & 63) + size <= 64;
}

/*
 * memory_load/store: the memory operand. A page of the TLB is canonical, so a hit needs no check.
 *
 * memory_change: for read-modify-write. The host address of the operand, writable; or NULL, with
 * all faults a write can raise raised: then *ret_linear is to be loaded, changed and stored by way
 * of mmu_load and mmu_store. memory_locked: the same for locked instructions; where it gives NULL, other vCPUs stand still.
 */
#define DEFINE_MEMORY(bits) \
	static inline uint##bits##_t memory_load##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		if (likely(insn->address_size == 8)) { \
			uint64_t linear = memory_linear64(cpu, insn); \
			const struct tlb_entry *entry = &cpu->tlb->read[tlb_index(linear)]; \
			if (likely(tlb_hit(entry, linear, (bits) / 8))) { \
				uint##bits##_t value; \
				memcpy(&value, (const void *)tlb_host(entry, linear), (bits) / 8); \
				return value; \
			} \
		} \
		return (uint##bits##_t)memory_load_slow(cpu, insn, (bits) / 8); \
	} \
	static inline void memory_store##bits( \
			struct cpu *cpu, const struct insn *insn, uint##bits##_t value) \
	{ \
		if (likely(insn->address_size == 8)) { \
			uint64_t linear = memory_linear64(cpu, insn); \
			const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)]; \
			if (likely(tlb_hit(entry, linear, (bits) / 8))) { \
				memcpy((void *)tlb_host(entry, linear), &value, (bits) / 8); \
				return; \
			} \
		} \
		memory_store_slow(cpu, insn, value, (bits) / 8); \
	} \
	static inline uint##bits##_t *memory_change##bits( \
			struct cpu *cpu, const struct insn *insn, uint64_t *ret_linear) \
	{ \
		if (likely(insn->address_size == 8)) { \
			uint64_t linear = memory_linear64(cpu, insn); \
			const struct tlb_entry *entry = &cpu->tlb->write[tlb_index(linear)]; \
			*ret_linear = linear; \
			if (likely(tlb_hit(entry, linear, (bits) / 8))) { \
				return (uint##bits##_t *)(void *)tlb_host(entry, linear); \
			} \
		} \
		return memory_change_slow(cpu, insn, (bits) / 8, ret_linear); \
	} \
	static inline uint##bits##_t *memory_locked##bits( \
			struct cpu *cpu, const struct insn *insn, uint64_t *ret_linear) \
	{ \
		uint##bits##_t *host = memory_change##bits(cpu, insn, ret_linear); \
		if (likely(host && lock_is_cheap(host, (bits) / 8))) { \
			return host; \
		} \
		smp_exclude(cpu); \
		return NULL; \
	}

DEFINE_MEMORY(8)
DEFINE_MEMORY(16)
DEFINE_MEMORY(32)
DEFINE_MEMORY(64)

/* modrm's register or memory operand, read. */
#define DEFINE_RM_GET(bits) \
	static inline uint##bits##_t rm_get##bits(struct cpu *cpu, const struct insn *insn) \
	{ \
		return insn->is_memory ? memory_load##bits(cpu, insn) \
				       : reg_get##bits(cpu, insn, insn->rm); \
	} \
	static inline void rm_set##bits( \
			struct cpu *cpu, const struct insn *insn, uint##bits##_t value) \
	{ \
		if (insn->is_memory) { \
			memory_store##bits(cpu, insn, value); \
		} else { \
			reg_set##bits(cpu, insn, insn->rm, value); \
		} \
	}

DEFINE_RM_GET(8)
DEFINE_RM_GET(16)
DEFINE_RM_GET(32)
DEFINE_RM_GET(64)

/*
 * Flags. The executors run the guest's operation as the same host instruction and fetch the
 * arithmetic flags by lahf and seto into ax, whose layout is: OF in bit 0, SF ZF AF PF CF in bits
 * 8-15 as in RFLAGS. Flags that the architecture leaves undefined are then those of the host.
 */
#define ASM_FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define ASM_FLAGS_IN "addb $0x7f, %%al\n\tsahf\n\t"

/* ax for ASM_FLAGS_IN. */
static inline uint64_t flags_pack(uint64_t rflags)
{
	return (rflags & 0xff) << 8 | ((rflags >> 11) & 1);
}

static inline uint64_t flags_merge(uint64_t rflags, uint64_t ax)
{
	return (rflags & ~X86_FLAGS_ARITH) | ((ax >> 8) & 0xff) | (ax & 0xff) << 11;
}

static inline bool insn_is_locked(const struct insn *insn)
{
	return insn->prefixes & INSN_PREFIX_LOCK;
}

/*
 * Whether the condition of jcc, setcc, cmovcc holds: the low four bits of the opcode. Given as a
 * constant it compiles to one test.
 */
static inline __attribute__((always_inline)) bool condition_holds(
		uint64_t flags, unsigned condition)
{
	bool holds = false;
	bool less = ((flags >> 7) ^ (flags >> 11)) & 1;

	switch (condition >> 1) {
	case 0:
		holds = flags & X86_FLAG_OF;
		break;
	case 1:
		holds = flags & X86_FLAG_CF;
		break;
	case 2:
		holds = flags & X86_FLAG_ZF;
		break;
	case 3:
		holds = flags & (X86_FLAG_CF | X86_FLAG_ZF);
		break;
	case 4:
		holds = flags & X86_FLAG_SF;
		break;
	case 5:
		holds = flags & X86_FLAG_PF;
		break;
	case 6:
		holds = less;
		break;
	default:
		holds = less || (flags & X86_FLAG_ZF);
		break;
	}
	return holds != (condition & 1);
}

#endif
