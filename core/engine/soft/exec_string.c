/* SPDX-License-Identifier: MIT */
/*
 * MOVS STOS LODS SCAS CMPS with and without repetition. Repeated ones go a stretch at a time: as
 * far as both operands stay inside their pages the host's own string instruction does it on host
 * addresses, which is right for operands that overlap, too. Registers are brought up to date after
 * each stretch, so faults and interrupts find exact counts.
 */
#include "core/engine/soft/exec_integer.h"
#include "core/engine/soft/interp.h"

#define REPEATED (INSN_PREFIX_REP | INSN_PREFIX_REPNE)

static uint64_t address_mask(const struct insn *insn)
{
	return insn->address_size == 8 ? UINT64_MAX : BIT(insn->address_size * 8) - 1;
}

static void advance(struct cpu *cpu, const struct insn *insn, unsigned reg, uint64_t count)
{
	uint64_t bytes = count * insn->operand_size;

	if (cpu->rflags & X86_FLAG_DF) {
		bytes = -bytes;
	}
	reg_set(cpu, insn, reg, cpu->regs[reg] + bytes, insn->address_size);
}

/* One side of a string instruction: register, segment, and where it stands. */
struct side {
	unsigned reg;
	uint64_t linear;
	uint64_t room; /* elements that can be handled at once on this side; at least 1 */
};

/* Raises what the first element deserves. */
static struct side side_at(struct cpu *cpu, const struct insn *insn, unsigned reg, unsigned segment,
		enum mmu_access access)
{
	unsigned size = insn->operand_size;
	uint64_t offset = cpu->regs[reg] & address_mask(insn), to_wrap;
	struct side side = {.reg = reg, .room = 1};

	side.linear = segment_linear(cpu, segment, offset, size, access);
	if (cpu->segments_checked || (cpu->rflags & (X86_FLAG_DF | X86_FLAG_TF))) {
		return side;
	}
	side.room = (GUEST_PAGE_SIZE - (side.linear & (GUEST_PAGE_SIZE - 1))) / size;
	to_wrap = (address_mask(insn) - offset) / size;
	side.room = MIN(side.room, to_wrap);
	if (side.room == 0) {
		side.room = 1;
	}
	return side;
}

static struct side source(struct cpu *cpu, const struct insn *insn)
{
	return side_at(cpu, insn, X86_RSI, insn->segment, MMU_READ);
}

static struct side destination(struct cpu *cpu, const struct insn *insn, enum mmu_access access)
{
	return side_at(cpu, insn, X86_RDI, X86_ES, access);
}

/*
 * Handles up to count elements, at least one; says how many. Registers other than the count are
 * brought up to date.
 */
typedef uint64_t stretch_fn(struct cpu *cpu, const struct insn *insn, uint64_t count);

static uint64_t movs_stretch(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	struct side src = source(cpu, insn), dst = destination(cpu, insn, MMU_WRITE);
	unsigned size = insn->operand_size;
	uint64_t n = MIN(count, MIN(src.room, dst.room)), left;
	const void *from = n > 1 ? mmu_host_read(cpu, src.linear, n * size) : NULL;
	void *to = from ? mmu_host_write(cpu, dst.linear, n * size) : NULL;

	if (!to) {
		n = 1;
		linear_store(cpu, dst.linear, linear_load(cpu, src.linear, size), size);
	} else {
		left = n;
		switch (size) {
		case 1:
			__asm__ volatile("rep movsb"
					 : "+S"(from), "+D"(to), "+c"(left)
					 :
					 : "memory");
			break;
		case 2:
			__asm__ volatile("rep movsw"
					 : "+S"(from), "+D"(to), "+c"(left)
					 :
					 : "memory");
			break;
		case 4:
			__asm__ volatile("rep movsl"
					 : "+S"(from), "+D"(to), "+c"(left)
					 :
					 : "memory");
			break;
		default:
			__asm__ volatile("rep movsq"
					 : "+S"(from), "+D"(to), "+c"(left)
					 :
					 : "memory");
			break;
		}
	}
	advance(cpu, insn, X86_RSI, n);
	advance(cpu, insn, X86_RDI, n);
	return n;
}

static uint64_t stos_stretch(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	struct side dst = destination(cpu, insn, MMU_WRITE);
	unsigned size = insn->operand_size;
	uint64_t n = MIN(count, dst.room), value = cpu->regs[X86_RAX], left;
	void *to = n > 1 ? mmu_host_write(cpu, dst.linear, n * size) : NULL;

	if (!to) {
		n = 1;
		linear_store(cpu, dst.linear, value, size);
	} else {
		left = n;
		switch (size) {
		case 1:
			__asm__ volatile("rep stosb"
					 : "+D"(to), "+c"(left)
					 : "a"(value)
					 : "memory");
			break;
		case 2:
			__asm__ volatile("rep stosw"
					 : "+D"(to), "+c"(left)
					 : "a"(value)
					 : "memory");
			break;
		case 4:
			__asm__ volatile("rep stosl"
					 : "+D"(to), "+c"(left)
					 : "a"(value)
					 : "memory");
			break;
		default:
			__asm__ volatile("rep stosq"
					 : "+D"(to), "+c"(left)
					 : "a"(value)
					 : "memory");
			break;
		}
	}
	advance(cpu, insn, X86_RDI, n);
	return n;
}

static uint64_t lods_stretch(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	struct side src = source(cpu, insn);
	uint64_t value = linear_load(cpu, src.linear, insn->operand_size);

	(void)count;
	reg_set(cpu, insn, X86_RAX, value, insn->operand_size);
	advance(cpu, insn, X86_RSI, 1);
	return 1;
}

/* Flags of left - right. */
static void compare(struct cpu *cpu, uint64_t left, uint64_t right, unsigned size)
{
	uint64_t ax;

	switch (size) {
	case 1:
		__asm__("cmpb %b2, %b1" ASM_FLAGS_OUT : "=&a"(ax) : "r"(left), "r"(right) : "cc");
		break;
	case 2:
		__asm__("cmpw %w2, %w1" ASM_FLAGS_OUT : "=&a"(ax) : "r"(left), "r"(right) : "cc");
		break;
	case 4:
		__asm__("cmpl %k2, %k1" ASM_FLAGS_OUT : "=&a"(ax) : "r"(left), "r"(right) : "cc");
		break;
	default:
		__asm__("cmpq %q2, %q1" ASM_FLAGS_OUT : "=&a"(ax) : "r"(left), "r"(right) : "cc");
		break;
	}
	cpu->rflags = flags_merge(cpu->rflags, ax);
}

/*
 * Host comparison of strings: stops where the guest's would. n is not 0, so flags are always set.
 */
#define HOST_COMPARE(op, ...) \
	do { \
		if (insn->prefixes & INSN_PREFIX_REPNE) { \
			__asm__ volatile("repne " op ASM_FLAGS_OUT __VA_ARGS__); \
		} else { \
			__asm__ volatile("repe " op ASM_FLAGS_OUT __VA_ARGS__); \
		} \
	} while (0)

#define SCAS(op) HOST_COMPARE(op, : "+D"(at), "+c"(left), "+a"(ax) : : "cc", "memory")
#define CMPS(op) HOST_COMPARE(op, : "+S"(from), "+D"(at), "+c"(left), "=&a"(ax) : : "cc", "memory")

static uint64_t scas_stretch(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	struct side dst = destination(cpu, insn, MMU_READ);
	unsigned size = insn->operand_size;
	uint64_t n = MIN(count, dst.room), ax = cpu->regs[X86_RAX], left;
	const void *at = n > 1 ? mmu_host_read(cpu, dst.linear, n * size) : NULL;

	if (!at) {
		n = 1;
		compare(cpu, ax, linear_load(cpu, dst.linear, size), size);
	} else {
		left = n;
		switch (size) {
		case 1:
			SCAS("scasb");
			break;
		case 2:
			SCAS("scasw");
			break;
		case 4:
			SCAS("scasl");
			break;
		default:
			SCAS("scasq");
			break;
		}
		cpu->rflags = flags_merge(cpu->rflags, ax);
		n -= left;
	}
	advance(cpu, insn, X86_RDI, n);
	return n;
}

static uint64_t cmps_stretch(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	struct side src = source(cpu, insn), dst = destination(cpu, insn, MMU_READ);
	unsigned size = insn->operand_size;
	uint64_t n = MIN(count, MIN(src.room, dst.room)), ax, left;
	const void *from = n > 1 ? mmu_host_read(cpu, src.linear, n * size) : NULL;
	const void *at = from ? mmu_host_read(cpu, dst.linear, n * size) : NULL;

	if (!at) {
		uint64_t value = linear_load(cpu, src.linear, size);
		n = 1;
		compare(cpu, value, linear_load(cpu, dst.linear, size), size);
	} else {
		left = n;
		switch (size) {
		case 1:
			CMPS("cmpsb");
			break;
		case 2:
			CMPS("cmpsw");
			break;
		case 4:
			CMPS("cmpsl");
			break;
		default:
			CMPS("cmpsq");
			break;
		}
		cpu->rflags = flags_merge(cpu->rflags, ax);
		n -= left;
	}
	advance(cpu, insn, X86_RSI, n);
	advance(cpu, insn, X86_RDI, n);
	return n;
}

/* Whether a repeated comparison goes on after an element that left the flags as they are. */
static bool comparison_continues(const struct cpu *cpu, const struct insn *insn)
{
	bool equal = cpu->rflags & X86_FLAG_ZF;

	return equal == !(insn->prefixes & INSN_PREFIX_REPNE);
}

static inline void repeat(
		struct cpu *cpu, const struct insn *insn, stretch_fn *stretch, bool comparison)
{
	uint64_t count;

	if (!(insn->prefixes & REPEATED)) {
		(void)stretch(cpu, insn, 1);
		return;
	}
	count = cpu->regs[X86_RCX] & address_mask(insn);
	while (count != 0) {
		count -= stretch(cpu, insn, count);
		reg_set(cpu, insn, X86_RCX, count, insn->address_size);
		if (count == 0 || (comparison && !comparison_continues(cpu, insn))) {
			break;
		}
		if (interp_wanted(cpu)) {
			interp_restart(cpu);
		}
	}
}

static void movs(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, movs_stretch, false);
}

static void stos(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, stos_stretch, false);
}

static void lods(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, lods_stretch, false);
}

static void scas(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, scas_stretch, true);
}

static void cmps(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, cmps_stretch, true);
}

insn_exec_fn *exec_string_find(struct insn *insn)
{
	if (insn->map != INSN_MAP_LEGACY) {
		return NULL;
	}
	switch (insn->opcode) {
	case 0xa4 ... 0xa5:
		return movs;
	case 0xa6 ... 0xa7:
		return cmps;
	case 0xaa ... 0xab:
		return stos;
	case 0xac ... 0xad:
		return lods;
	case 0xae ... 0xaf:
		return scas;
	default:
		return NULL;
	}
}
