/* SPDX-License-Identifier: MIT */
/*
 * The moves and bitwise operations of SSE and MMX, which need no more of the host than memory copies: guest XMM and MMX
 * registers live in cpu->fx. The commonest vector instructions by far are here.
 */
#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native.h"

static inline struct xmm get_xmm(const struct cpu *cpu, unsigned index)
{
	struct xmm value;

	memcpy(&value, cpu->fx.xmm[index], sizeof(value));
	return value;
}

static inline void put_xmm(struct cpu *cpu, unsigned index, struct xmm value)
{
	memcpy(cpu->fx.xmm[index], &value, sizeof(value));
}

static inline uint64_t get_mm(const struct cpu *cpu, unsigned index)
{
	uint64_t value;

	memcpy(&value, cpu->fx.st[index & 7], sizeof(value));
	return value;
}

static inline struct xmm load16(struct cpu *cpu, const struct insn *insn, bool aligned)
{
	uint64_t linear = operand_linear(cpu, insn, 16, MMU_READ);
	struct fpu_bounce bounce;
	struct xmm value;

	if (aligned) {
		fpu_check_alignment(cpu, linear, 16);
	}
	memcpy(&value, fpu_read(cpu, linear, 16, &bounce), sizeof(value));
	return value;
}

static inline void store16(struct cpu *cpu, const struct insn *insn, bool aligned)
{
	uint64_t linear = operand_linear(cpu, insn, 16, MMU_WRITE);

	if (aligned) {
		fpu_check_alignment(cpu, linear, 16);
	}
	fpu_write(cpu, linear, cpu->fx.xmm[insn->reg], 16);
}

/* Names: x an XMM register, m memory, r a general register, p an MMX register; destination first. */

static void exec_move_x_x(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->reg, get_xmm(cpu, insn->rm));
}

/* The store opcodes with a register as rm. */
static void exec_move_x_x_reverse(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->rm, get_xmm(cpu, insn->reg));
}

static void exec_load16(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->reg, load16(cpu, insn, false));
}

static void exec_load16_aligned(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->reg, load16(cpu, insn, true));
}

static void exec_store16(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	store16(cpu, insn, false);
}

static void exec_store16_aligned(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	store16(cpu, insn, true);
}

/* MOVSS, MOVSD between registers: the rest of the destination stays. */
static void exec_merge4(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	memcpy(cpu->fx.xmm[insn->reg], cpu->fx.xmm[insn->rm], 4);
}

static void exec_merge4_reverse(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	memcpy(cpu->fx.xmm[insn->rm], cpu->fx.xmm[insn->reg], 4);
}

static void exec_merge8(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	memcpy(cpu->fx.xmm[insn->reg], cpu->fx.xmm[insn->rm], 8);
}

static void exec_merge8_reverse(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	memcpy(cpu->fx.xmm[insn->rm], cpu->fx.xmm[insn->reg], 8);
}

/* MOVSS, MOVD and MOVSD, MOVQ from memory: the rest of the register is cleared. */
static void exec_load4(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->reg,
			(struct xmm){mmu_load32(cpu, operand_linear(cpu, insn, 4, MMU_READ)), 0});
}

static void exec_load8(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->reg,
			(struct xmm){mmu_load64(cpu, operand_linear(cpu, insn, 8, MMU_READ)), 0});
}

static void exec_store4(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	mmu_store32(cpu, operand_linear(cpu, insn, 4, MMU_WRITE),
			(uint32_t)get_xmm(cpu, insn->reg).low);
}

static void exec_store8(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	mmu_store64(cpu, operand_linear(cpu, insn, 8, MMU_WRITE), get_xmm(cpu, insn->reg).low);
}

/* MOVQ between XMM registers. */
static void exec_movq_x_x(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->reg, (struct xmm){get_xmm(cpu, insn->rm).low, 0});
}

static void exec_movq_x_x_reverse(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	put_xmm(cpu, insn->rm, (struct xmm){get_xmm(cpu, insn->reg).low, 0});
}

/* MOVLPS, MOVLPD, MOVHPS, MOVHPD, MOVLHPS, MOVHLPS. */
static void exec_load_low(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	fpu_check_sse(cpu);
	value = mmu_load64(cpu, operand_linear(cpu, insn, 8, MMU_READ));
	memcpy(cpu->fx.xmm[insn->reg], &value, 8);
}

static void exec_load_high(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	fpu_check_sse(cpu);
	value = mmu_load64(cpu, operand_linear(cpu, insn, 8, MMU_READ));
	memcpy(cpu->fx.xmm[insn->reg] + 8, &value, 8);
}

static void exec_store_high(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	mmu_store64(cpu, operand_linear(cpu, insn, 8, MMU_WRITE), get_xmm(cpu, insn->reg).high);
}

static void exec_low_to_high(struct cpu *cpu, const struct insn *insn)
{
	uint64_t low;

	fpu_check_sse(cpu);
	low = get_xmm(cpu, insn->rm).low;
	memcpy(cpu->fx.xmm[insn->reg] + 8, &low, 8);
}

static void exec_high_to_low(struct cpu *cpu, const struct insn *insn)
{
	uint64_t high;

	fpu_check_sse(cpu);
	high = get_xmm(cpu, insn->rm).high;
	memcpy(cpu->fx.xmm[insn->reg], &high, 8);
}

/* MOVD, MOVQ between XMM and general registers. */
static void exec_mov_x_r(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = cpu->regs[insn->rm];

	fpu_check_sse(cpu);
	if (!(insn->prefixes & INSN_PREFIX_REX_W)) {
		value = (uint32_t)value;
	}
	put_xmm(cpu, insn->reg, (struct xmm){value, 0});
}

static void exec_mov_r_x(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = get_xmm(cpu, insn->reg).low;

	fpu_check_sse(cpu);
	if (!(insn->prefixes & INSN_PREFIX_REX_W)) {
		value = (uint32_t)value;
	}
	cpu->regs[insn->rm] = value;
}

static void exec_mov_x_m(struct cpu *cpu, const struct insn *insn)
{
	(insn->prefixes & INSN_PREFIX_REX_W ? exec_load8 : exec_load4)(cpu, insn);
}

static void exec_mov_m_x(struct cpu *cpu, const struct insn *insn)
{
	(insn->prefixes & INSN_PREFIX_REX_W ? exec_store8 : exec_store4)(cpu, insn);
}

/* AND, ANDN, OR, XOR of 16 bytes, in all their float and integer spellings. */
#define DEFINE_LOGIC(name, expression) \
	static inline struct xmm name(struct xmm a, struct xmm b) \
	{ \
		return (struct xmm){expression(a.low, b.low), expression(a.high, b.high)}; \
	} \
	static void exec_##name##_x_x(struct cpu *cpu, const struct insn *insn) \
	{ \
		fpu_check_sse(cpu); \
		put_xmm(cpu, insn->reg, name(get_xmm(cpu, insn->reg), get_xmm(cpu, insn->rm))); \
	} \
	static void exec_##name##_x_m(struct cpu *cpu, const struct insn *insn) \
	{ \
		fpu_check_sse(cpu); \
		put_xmm(cpu, insn->reg, name(get_xmm(cpu, insn->reg), load16(cpu, insn, true))); \
	}

#define AND(a, b) ((a) & (b))
#define ANDN(a, b) (~(a) & (b))
#define OR(a, b) ((a) | (b))
#define XOR(a, b) ((a) ^ (b))
DEFINE_LOGIC(and, AND)
DEFINE_LOGIC(andn, ANDN)
DEFINE_LOGIC(or, OR)
DEFINE_LOGIC(xor, XOR)

/* MASKMOVDQU, MASKMOVQ: the bytes of value whose mask byte has its top bit set, to DS:rDI. */
static void store_masked(struct cpu *cpu, const struct insn *insn, const uint8_t *value,
		const uint8_t *mask, size_t size)
{
	uint64_t offset = cpu->regs[X86_RDI];
	uint64_t linear;

	if (insn->address_size < 8) {
		offset &= insn->address_size == 4 ? UINT32_MAX : UINT16_MAX;
	}
	linear = segment_linear(cpu, insn->segment, offset, size, MMU_WRITE);
	mmu_probe_write(cpu, linear, size);
	for (size_t i = 0; i < size; i++) {
		if (mask[i] & 0x80) {
			mmu_store8(cpu, linear + i, value[i]);
		}
	}
}

static void exec_maskmovdqu(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	store_masked(cpu, insn, cpu->fx.xmm[insn->reg], cpu->fx.xmm[insn->rm], 16);
}

static void exec_maskmovq(struct cpu *cpu, const struct insn *insn)
{
	unsigned top;

	fpu_check_mmx(cpu);
	/* Registers by their physical numbers, before TOP changes: the store may fault. */
	top = (cpu->fx.fsw & FSW_TOP) >> FSW_TOP_SHIFT;
	store_masked(cpu, insn, cpu->fx.st[(insn->reg - top) & 7], cpu->fx.st[(insn->rm - top) & 7],
			8);
	fpu_enter_mmx(cpu);
}

static void exec_movq_p_p(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	fpu_write_mm(cpu, insn->reg & 7, get_mm(cpu, insn->rm));
}

static void exec_movq_p_p_reverse(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	fpu_write_mm(cpu, insn->rm & 7, get_mm(cpu, insn->reg));
}

static uint64_t mmx_load(struct cpu *cpu, const struct insn *insn, bool quad)
{
	uint64_t linear = operand_linear(cpu, insn, quad ? 8 : 4, MMU_READ);

	return quad ? mmu_load64(cpu, linear) : mmu_load32(cpu, linear);
}

/* A store may fault, and must not have changed TOP then. */
static void mmx_store(struct cpu *cpu, const struct insn *insn, bool quad)
{
	unsigned top = (cpu->fx.fsw & FSW_TOP) >> FSW_TOP_SHIFT;
	uint64_t value = get_mm(cpu, insn->reg - top);
	uint64_t linear = operand_linear(cpu, insn, quad ? 8 : 4, MMU_WRITE);

	if (quad) {
		mmu_store64(cpu, linear, value);
	} else {
		mmu_store32(cpu, linear, (uint32_t)value);
	}
	fpu_enter_mmx(cpu);
}

static void exec_movq_p_m(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	fpu_check_mmx(cpu);
	value = mmx_load(cpu, insn, true);
	fpu_enter_mmx(cpu);
	fpu_write_mm(cpu, insn->reg & 7, value);
}

static void exec_movq_m_p(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_mmx(cpu);
	mmx_store(cpu, insn, true);
}

static void exec_mov_p_r(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = cpu->regs[insn->rm];

	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	if (!(insn->prefixes & INSN_PREFIX_REX_W)) {
		value = (uint32_t)value;
	}
	fpu_write_mm(cpu, insn->reg & 7, value);
}

static void exec_mov_p_m(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	fpu_check_mmx(cpu);
	value = mmx_load(cpu, insn, insn->prefixes & INSN_PREFIX_REX_W);
	fpu_enter_mmx(cpu);
	fpu_write_mm(cpu, insn->reg & 7, value);
}

static void exec_mov_r_p(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	value = get_mm(cpu, insn->reg);
	if (!(insn->prefixes & INSN_PREFIX_REX_W)) {
		value = (uint32_t)value;
	}
	cpu->regs[insn->rm] = value;
}

static void exec_mov_m_p(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_mmx(cpu);
	mmx_store(cpu, insn, insn->prefixes & INSN_PREFIX_REX_W);
}

static void exec_movq2dq(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	put_xmm(cpu, insn->reg, (struct xmm){get_mm(cpu, insn->rm), 0});
}

static void exec_movdq2q(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_sse(cpu);
	fpu_check_mmx(cpu);
	fpu_enter_mmx(cpu);
	fpu_write_mm(cpu, insn->reg & 7, get_xmm(cpu, insn->rm).low);
}

#define NP BIT(NATIVE_PREFIX_NONE)
#define P66 BIT(NATIVE_PREFIX_66)
#define PF3 BIT(NATIVE_PREFIX_F3)
#define PF2 BIT(NATIVE_PREFIX_F2)

/* NULL: no such form, or one for a thunk. */
static const struct move {
	uint8_t map, prefixes, first, last;
	insn_exec_fn *reg_form, *memory_form;
} moves[] = {
		{INSN_MAP_0F, NP | P66, 0x10, 0x10, exec_move_x_x, exec_load16},
		{INSN_MAP_0F, PF3, 0x10, 0x10, exec_merge4, exec_load4},
		{INSN_MAP_0F, PF2, 0x10, 0x10, exec_merge8, exec_load8},
		{INSN_MAP_0F, NP | P66, 0x11, 0x11, exec_move_x_x_reverse, exec_store16},
		{INSN_MAP_0F, PF3, 0x11, 0x11, exec_merge4_reverse, exec_store4},
		{INSN_MAP_0F, PF2, 0x11, 0x11, exec_merge8_reverse, exec_store8},
		{INSN_MAP_0F, NP, 0x12, 0x12, exec_high_to_low, exec_load_low},
		{INSN_MAP_0F, P66, 0x12, 0x12, NULL, exec_load_low},
		{INSN_MAP_0F, NP | P66, 0x13, 0x13, NULL, exec_store8},
		{INSN_MAP_0F, NP, 0x16, 0x16, exec_low_to_high, exec_load_high},
		{INSN_MAP_0F, P66, 0x16, 0x16, NULL, exec_load_high},
		{INSN_MAP_0F, NP | P66, 0x17, 0x17, NULL, exec_store_high},
		{INSN_MAP_0F, NP | P66, 0x28, 0x28, exec_move_x_x, exec_load16_aligned},
		{INSN_MAP_0F, NP | P66, 0x29, 0x29, exec_move_x_x_reverse, exec_store16_aligned},
		{INSN_MAP_0F, NP | P66, 0x2b, 0x2b, NULL, exec_store16_aligned},
		{INSN_MAP_0F, NP | P66, 0x54, 0x54, exec_and_x_x, exec_and_x_m},
		{INSN_MAP_0F, NP | P66, 0x55, 0x55, exec_andn_x_x, exec_andn_x_m},
		{INSN_MAP_0F, NP | P66, 0x56, 0x56, exec_or_x_x, exec_or_x_m},
		{INSN_MAP_0F, NP | P66, 0x57, 0x57, exec_xor_x_x, exec_xor_x_m},
		{INSN_MAP_0F, NP, 0x6e, 0x6e, exec_mov_p_r, exec_mov_p_m},
		{INSN_MAP_0F, P66, 0x6e, 0x6e, exec_mov_x_r, exec_mov_x_m},
		{INSN_MAP_0F, NP, 0x6f, 0x6f, exec_movq_p_p, exec_movq_p_m},
		{INSN_MAP_0F, P66, 0x6f, 0x6f, exec_move_x_x, exec_load16_aligned},
		{INSN_MAP_0F, PF3, 0x6f, 0x6f, exec_move_x_x, exec_load16},
		{INSN_MAP_0F, NP, 0x7e, 0x7e, exec_mov_r_p, exec_mov_m_p},
		{INSN_MAP_0F, P66, 0x7e, 0x7e, exec_mov_r_x, exec_mov_m_x},
		{INSN_MAP_0F, PF3, 0x7e, 0x7e, exec_movq_x_x, exec_load8},
		{INSN_MAP_0F, NP, 0x7f, 0x7f, exec_movq_p_p_reverse, exec_movq_m_p},
		{INSN_MAP_0F, P66, 0x7f, 0x7f, exec_move_x_x_reverse, exec_store16_aligned},
		{INSN_MAP_0F, PF3, 0x7f, 0x7f, exec_move_x_x_reverse, exec_store16},
		{INSN_MAP_0F, P66, 0xd6, 0xd6, exec_movq_x_x_reverse, exec_store8},
		{INSN_MAP_0F, PF3, 0xd6, 0xd6, exec_movq2dq, NULL},
		{INSN_MAP_0F, PF2, 0xd6, 0xd6, exec_movdq2q, NULL},
		{INSN_MAP_0F, P66, 0xdb, 0xdb, exec_and_x_x, exec_and_x_m},
		{INSN_MAP_0F, P66, 0xdf, 0xdf, exec_andn_x_x, exec_andn_x_m},
		{INSN_MAP_0F, NP, 0xe7, 0xe7, NULL, exec_movq_m_p},
		{INSN_MAP_0F, P66, 0xe7, 0xe7, NULL, exec_store16_aligned},
		{INSN_MAP_0F, P66, 0xeb, 0xeb, exec_or_x_x, exec_or_x_m},
		{INSN_MAP_0F, P66, 0xef, 0xef, exec_xor_x_x, exec_xor_x_m},
		{INSN_MAP_0F, PF2, 0xf0, 0xf0, NULL, exec_load16},
		{INSN_MAP_0F, NP, 0xf7, 0xf7, exec_maskmovq, NULL},
		{INSN_MAP_0F, P66, 0xf7, 0xf7, exec_maskmovdqu, NULL},
		{INSN_MAP_0F38, P66, 0x2a, 0x2a, NULL, exec_load16_aligned},
};

bool exec_bind_sse_move(struct insn *insn)
{
	unsigned prefix = 1u << native_prefix(insn);

	for (size_t i = 0; i < G_N_ELEMENTS(moves); i++) {
		const struct move *move = &moves[i];
		insn_exec_fn *exec = insn->is_memory ? move->memory_form : move->reg_form;
		if (exec && move->map == insn->map && insn->opcode >= move->first &&
				insn->opcode <= move->last && (move->prefixes & prefix)) {
			insn->exec = exec;
			return true;
		}
	}
	return false;
}
