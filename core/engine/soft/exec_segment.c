/* SPDX-License-Identifier: MIT */
/* Segment registers, descriptor tables, questions about descriptors. SDM vol. 2. */
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/segment.h"

#define LAR_MASK UINT64_C(0x00f0ff00) /* access rights as in the descriptor's second word */

static void load_segment(struct cpu *cpu, unsigned segment, uint16_t selector)
{
	segment_load(cpu, segment, selector);
	if (segment == X86_SS) {
		cpu->interrupt_shadow = INTERRUPT_SHADOW_STACK;
	}
}

void exec_mov_from_segment(struct cpu *cpu, const struct insn *insn)
{
	operand_write16(cpu, insn, cpu->seg[insn->reg & 7].selector);
}

void exec_mov_to_segment(struct cpu *cpu, const struct insn *insn)
{
	load_segment(cpu, insn->reg & 7, operand_read16(cpu, insn));
}

/* 06, 0E, 16, 1E (and one more: POP); 0F A0 and A8: bits 3-5 of the opcode. */
static unsigned segment_in_opcode(const struct insn *insn)
{
	return (insn->opcode >> 3) & 7;
}

void exec_push_segment(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector = cpu->seg[segment_in_opcode(insn)].selector;

	if (insn->operand_size != 4) {
		system_push(cpu, selector, insn->operand_size);
		return;
	}
	/* The stack pointer moves by four, but only two bytes are written. */
	uint64_t offset = stack_offset(cpu, -4);
	mmu_store16(cpu, segment_linear(cpu, X86_SS, offset, 2, MMU_WRITE), selector);
	reg_set(cpu, X86_RSP, offset, cpu->stack_size);
}

void exec_pop_segment(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector = (uint16_t)system_top(cpu, 2);
	uint8_t old_stack_size = cpu->stack_size;
	uint64_t pointer = stack_offset(cpu, insn->operand_size);

	load_segment(cpu, segment_in_opcode(insn), selector);
	reg_set(cpu, X86_RSP, pointer, old_stack_size);
}

static unsigned far_pointer_segment(const struct insn *insn)
{
	if (insn->map == INSN_MAP_LEGACY) {
		return insn->opcode == 0xc4 ? X86_ES : X86_DS;
	}
	switch (insn->opcode) {
	case 0xb2:
		return X86_SS;
	case 0xb4:
		return X86_FS;
	default:
		return X86_GS;
	}
}

void exec_load_far_pointer(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t linear = operand_linear(cpu, insn, size + 2u, MMU_READ);
	uint64_t offset = memory_load(cpu, linear, size);
	uint16_t selector = mmu_load16(cpu, linear + size);

	segment_load(cpu, far_pointer_segment(insn), selector);
	reg_set(cpu, insn->reg, offset, size);
}

void exec_store_table(struct cpu *cpu, const struct insn *insn)
{
	const struct x86_table *table = ((insn->modrm >> 3) & 7) == 0 ? &cpu->gdtr : &cpu->idtr;
	unsigned size = cpu->mode == INSN_MODE_64 ? 8 : 4;
	uint8_t image[10];

	require_umip(cpu);
	uint64_t linear = operand_linear(cpu, insn, size + 2u, MMU_WRITE);
	memcpy(image, &table->limit, 2);
	memcpy(image + 2, &table->base, 8);
	mmu_store_bytes(cpu, linear, image, size + 2u);
}

void exec_load_table(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = cpu->mode == INSN_MODE_64 ? 8 : 4;

	require_cpl0(cpu);
	uint64_t linear = operand_linear(cpu, insn, size + 2u, MMU_READ);
	uint16_t limit = mmu_load16(cpu, linear);
	uint64_t base = memory_load(cpu, linear + 2, size);
	if (insn->operand_size == 2 && cpu->mode != INSN_MODE_64) {
		base &= 0xffffff;
	}
	if (!linear_is_canonical(base)) {
		cpu_raise_gp(cpu);
	}
	struct x86_table *table = ((insn->modrm >> 3) & 7) == 2 ? &cpu->gdtr : &cpu->idtr;
	*table = (struct x86_table){.base = base, .limit = limit};
}

void exec_store_selector(struct cpu *cpu, const struct insn *insn)
{
	require_protected(cpu);
	require_umip(cpu);
	bool tr = ((insn->modrm >> 3) & 7) == 1;
	operand_write16(cpu, insn, tr ? cpu->tr.selector : cpu->ldtr.selector);
}

void exec_lldt(struct cpu *cpu, const struct insn *insn)
{
	require_protected(cpu);
	require_cpl0(cpu);
	segment_load_ldtr(cpu, operand_read16(cpu, insn));
}

void exec_ltr(struct cpu *cpu, const struct insn *insn)
{
	require_protected(cpu);
	require_cpl0(cpu);
	segment_load_tr(cpu, operand_read16(cpu, insn));
}

/* Whether privilege allows looking at the descriptor. */
static bool is_visible(const struct cpu *cpu, uint16_t selector, const struct descriptor *desc)
{
	unsigned dpl = descriptor_dpl(desc);

	return descriptor_is_conforming(desc) || (cpu->cpl <= dpl && SELECTOR_RPL(selector) <= dpl);
}

static bool has_access_rights(const struct cpu *cpu, const struct descriptor *desc, bool want_limit)
{
	if (descriptor_is_segment(desc)) {
		return true;
	}
	switch (descriptor_type(desc)) {
	case DESCRIPTOR_LDT:
	case DESCRIPTOR_TSS_AVAILABLE:
	case DESCRIPTOR_TSS_BUSY:
		return true;
	case DESCRIPTOR_TSS16_AVAILABLE:
	case DESCRIPTOR_TSS16_BUSY:
		return !cpu_long_mode(cpu);
	case DESCRIPTOR_CALL_GATE:
		return !want_limit;
	case DESCRIPTOR_CALL_GATE16:
	case DESCRIPTOR_TASK_GATE:
		return !want_limit && !cpu_long_mode(cpu);
	default:
		return false;
	}
}

/* Finds the descriptor for LAR and LSL and sets ZF; false if they have nothing to say. */
static bool inspect(struct cpu *cpu, const struct insn *insn, bool want_limit,
		struct descriptor *ret_desc)
{
	require_protected(cpu);
	uint16_t selector = operand_read16(cpu, insn);
	bool found = !SELECTOR_NULL(selector) && descriptor_read(cpu, selector, ret_desc) &&
		     has_access_rights(cpu, ret_desc, want_limit) &&
		     is_visible(cpu, selector, ret_desc);

	cpu->rflags = found ? cpu->rflags | X86_FLAG_ZF : cpu->rflags & ~(uint64_t)X86_FLAG_ZF;
	return found;
}

void exec_lar(struct cpu *cpu, const struct insn *insn)
{
	struct descriptor desc;

	if (inspect(cpu, insn, false, &desc)) {
		reg_set(cpu, insn->reg, (desc.raw >> 32) & LAR_MASK, insn->operand_size);
	}
}

void exec_lsl(struct cpu *cpu, const struct insn *insn)
{
	struct descriptor desc;

	if (inspect(cpu, insn, true, &desc)) {
		reg_set(cpu, insn->reg, descriptor_segment(&desc, 0).limit, insn->operand_size);
	}
}

void exec_verify(struct cpu *cpu, const struct insn *insn)
{
	bool write = ((insn->modrm >> 3) & 7) == 5;
	struct descriptor desc;

	require_protected(cpu);
	uint16_t selector = operand_read16(cpu, insn);
	bool ok = !SELECTOR_NULL(selector) && descriptor_read(cpu, selector, &desc) &&
		  descriptor_is_segment(&desc) && is_visible(cpu, selector, &desc);
	if (ok && write) {
		ok = !descriptor_is_code(&desc) && (desc.raw & BIT(41));
	} else if (ok) {
		ok = !descriptor_is_code(&desc) || (desc.raw & BIT(41));
	}
	cpu->rflags = ok ? cpu->rflags | X86_FLAG_ZF : cpu->rflags & ~(uint64_t)X86_FLAG_ZF;
}

void exec_arpl(struct cpu *cpu, const struct insn *insn)
{
	require_protected(cpu);
	uint16_t selector = operand_read16(cpu, insn);
	unsigned rpl = SELECTOR_RPL((uint16_t)cpu->regs[insn->reg]);

	if (SELECTOR_RPL(selector) >= rpl) {
		cpu->rflags &= ~(uint64_t)X86_FLAG_ZF;
		return;
	}
	selector = (uint16_t)((selector & ~3u) | rpl);
	if (insn->is_memory) {
		mmu_store16(cpu, operand_linear(cpu, insn, 2, MMU_WRITE), selector);
	} else {
		reg_set(cpu, insn->rm, selector, 2);
	}
	cpu->rflags |= X86_FLAG_ZF;
}
