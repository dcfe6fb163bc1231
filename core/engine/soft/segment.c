/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/segment.h"

#include "core/engine/soft/mmu.h"
#include "core/engine/soft/operand.h"

#define DESCRIPTOR_ACCESSED BIT(40)
#define DESCRIPTOR_BUSY BIT(41)
#define DESCRIPTOR_G BIT(55)

#define ATTRIBUTES_V8086 (uint32_t)(X86_SEG_P | 3 << X86_SEG_DPL_SHIFT | X86_SEG_S | 3)

static unsigned segment_dpl(const struct x86_segment *seg)
{
	return (seg->attributes >> X86_SEG_DPL_SHIFT) & 3;
}

bool segment_within(const struct x86_segment *seg, uint64_t offset, uint64_t len)
{
	uint64_t last = offset + len - 1;
	uint32_t kind = X86_SEG_S | X86_SEG_CODE | X86_SEG_EXPAND_DOWN;

	if ((seg->attributes & kind) == (X86_SEG_S | X86_SEG_EXPAND_DOWN)) {
		uint64_t top = seg->attributes & X86_SEG_DB ? UINT32_MAX : 0xffff;
		return offset > seg->limit && last <= top;
	}
	return last <= seg->limit;
}

static bool access_allowed(const struct x86_segment *seg, enum mmu_access access)
{
	if ((seg->attributes & X86_SEG_UNUSABLE) || !(seg->attributes & X86_SEG_P)) {
		return false;
	}
	if (access == MMU_WRITE) {
		return (seg->attributes & (X86_SEG_CODE | X86_SEG_WRITABLE)) == X86_SEG_WRITABLE;
	}
	return !(seg->attributes & X86_SEG_CODE) || (seg->attributes & X86_SEG_WRITABLE);
}

uint64_t segment_check(struct cpu *cpu, unsigned segment, uint64_t offset, size_t len,
		enum mmu_access access)
{
	const struct x86_segment *seg = &cpu->seg[segment];
	enum x86_vector vector = segment == X86_SS ? X86_VECTOR_SS : X86_VECTOR_GP;

	if (cpu->mode == INSN_MODE_64) {
		uint64_t linear = cpu->seg_base[segment] + offset;
		if (!linear_is_canonical(linear) || !linear_is_canonical(linear + len - 1)) {
			cpu_raise_error(cpu, vector, 0);
		}
		return linear;
	}
	if (cpu_protected(cpu) && !cpu_v8086(cpu) && !access_allowed(seg, access)) {
		cpu_raise_error(cpu, vector, 0);
	}
	if (!segment_within(seg, offset, len)) {
		cpu_raise_error(cpu, vector, 0);
	}
	return (uint32_t)(seg->base + offset);
}

bool descriptor_read(struct cpu *cpu, uint16_t selector, struct descriptor *ret_desc)
{
	uint32_t index = SELECTOR_INDEX(selector);
	uint64_t base = cpu->gdtr.base;
	uint32_t limit = cpu->gdtr.limit;

	if (selector & SELECTOR_TI) {
		if (cpu->ldtr.attributes & X86_SEG_UNUSABLE) {
			return false;
		}
		base = cpu->ldtr.base;
		limit = cpu->ldtr.limit;
	}
	if (index + 7 > limit) {
		return false;
	}
	uint64_t linear = base + index;
	*ret_desc = (struct descriptor){
			.raw = mmu_load_supervisor(cpu, linear, 8),
			.linear = linear,
	};
	return true;
}

bool descriptor_read_upper(struct cpu *cpu, uint16_t selector, struct descriptor *desc)
{
	uint32_t limit = selector & SELECTOR_TI ? cpu->ldtr.limit : cpu->gdtr.limit;

	if (SELECTOR_INDEX(selector) + 15u > limit) {
		return false;
	}
	desc->upper = mmu_load_supervisor(cpu, desc->linear + 8, 8);
	return true;
}

void descriptor_set_accessed(struct cpu *cpu, struct descriptor *desc)
{
	if (!(desc->raw & DESCRIPTOR_ACCESSED)) {
		desc->raw |= DESCRIPTOR_ACCESSED;
		mmu_store_supervisor(cpu, desc->linear + 5, (uint8_t)(desc->raw >> 40), 1);
	}
}

void descriptor_set_busy(struct cpu *cpu, struct descriptor *desc, bool busy)
{
	desc->raw = busy ? desc->raw | DESCRIPTOR_BUSY : desc->raw & ~DESCRIPTOR_BUSY;
	mmu_store_supervisor(cpu, desc->linear + 5, (uint8_t)(desc->raw >> 40), 1);
}

struct x86_segment descriptor_segment(const struct descriptor *desc, uint16_t selector)
{
	uint32_t limit = (uint32_t)((desc->raw & 0xffff) | ((desc->raw >> 32) & 0xf0000));

	if (desc->raw & DESCRIPTOR_G) {
		limit = limit << 12 | 0xfff;
	}
	return (struct x86_segment){
			.base = ((desc->raw >> 16) & 0xffffff) | ((desc->raw >> 56) << 24) |
				desc->upper << 32,
			.limit = limit,
			.attributes = (uint32_t)(desc->raw >> 40) & 0xf0ff,
			.selector = selector,
	};
}

struct x86_segment segment_null(uint16_t selector)
{
	return (struct x86_segment){.attributes = X86_SEG_UNUSABLE, .selector = selector};
}

struct x86_segment segment_real(const struct x86_segment *old, uint16_t selector)
{
	struct x86_segment seg = *old;

	seg.selector = selector;
	seg.base = (uint32_t)selector << 4;
	return seg;
}

struct x86_segment segment_v8086(uint16_t selector)
{
	return (struct x86_segment){
			.base = (uint32_t)selector << 4,
			.limit = 0xffff,
			.attributes = ATTRIBUTES_V8086,
			.selector = selector,
	};
}

_Noreturn static void refuse(struct cpu *cpu, uint16_t selector, struct segment_blame blame)
{
	cpu_raise_error(cpu, blame.vector, (selector & ~3u) | blame.ext);
}

_Noreturn static void refuse_absent(struct cpu *cpu, enum x86_vector vector, uint16_t selector,
		struct segment_blame blame)
{
	cpu_raise_error(cpu, vector, (selector & ~3u) | blame.ext);
}

static bool is_readable(const struct descriptor *desc)
{
	return descriptor_is_segment(desc) && (!descriptor_is_code(desc) || (desc->raw & BIT(41)));
}

struct x86_segment segment_fetch_data(
		struct cpu *cpu, uint16_t selector, unsigned cpl, struct segment_blame blame)
{
	struct descriptor desc;

	if (SELECTOR_NULL(selector)) {
		return segment_null(selector);
	}
	if (!descriptor_read(cpu, selector, &desc) || !is_readable(&desc)) {
		refuse(cpu, selector, blame);
	}
	if (!descriptor_is_conforming(&desc) && (SELECTOR_RPL(selector) > descriptor_dpl(&desc) ||
								cpl > descriptor_dpl(&desc))) {
		refuse(cpu, selector, blame);
	}
	if (!descriptor_present(&desc)) {
		refuse_absent(cpu, X86_VECTOR_NP, selector, blame);
	}
	descriptor_set_accessed(cpu, &desc);
	return descriptor_segment(&desc, selector);
}

static struct x86_segment null_stack(
		struct cpu *cpu, uint16_t selector, unsigned cpl, struct segment_blame blame)
{
	if (cpu->mode != INSN_MODE_64 || cpl == 3 || SELECTOR_RPL(selector) != cpl) {
		cpu_raise_error(cpu, blame.vector, blame.ext);
	}
	struct x86_segment seg = segment_null(selector);
	seg.attributes |= cpl << X86_SEG_DPL_SHIFT;
	return seg;
}

struct x86_segment segment_fetch_stack(
		struct cpu *cpu, uint16_t selector, unsigned cpl, struct segment_blame blame)
{
	struct descriptor desc;

	if (SELECTOR_NULL(selector)) {
		return null_stack(cpu, selector, cpl, blame);
	}
	if (!descriptor_read(cpu, selector, &desc) || SELECTOR_RPL(selector) != cpl ||
			!descriptor_is_segment(&desc) || descriptor_is_code(&desc) ||
			!(desc.raw & BIT(41)) || descriptor_dpl(&desc) != cpl) {
		refuse(cpu, selector, blame);
	}
	if (!descriptor_present(&desc)) {
		refuse_absent(cpu, X86_VECTOR_SS, selector, blame);
	}
	descriptor_set_accessed(cpu, &desc);
	return descriptor_segment(&desc, selector);
}

void segment_load(struct cpu *cpu, unsigned segment, uint16_t selector)
{
	const struct segment_blame blame = {.vector = X86_VECTOR_GP};
	struct x86_segment seg;

	if (cpu_v8086(cpu)) {
		seg = segment_v8086(selector);
	} else if (!cpu_protected(cpu)) {
		seg = segment_real(&cpu->seg[segment], selector);
	} else if (segment == X86_SS) {
		seg = segment_fetch_stack(cpu, selector, cpu->cpl, blame);
	} else {
		seg = segment_fetch_data(cpu, selector, cpu->cpl, blame);
	}
	cpu->seg[segment] = seg;
	cpu_update_mode(cpu);
}

/* Long mode's system descriptors take two entries; the type field of the second must be zero. */
static bool read_system_upper(struct cpu *cpu, uint16_t selector, struct descriptor *desc)
{
	if (!cpu_long_mode(cpu)) {
		return true;
	}
	return descriptor_read_upper(cpu, selector, desc) && !((desc->upper >> 40) & 0x1f) &&
	       linear_is_canonical(descriptor_segment(desc, selector).base);
}

struct x86_segment segment_fetch_ldt(struct cpu *cpu, uint16_t selector, struct segment_blame blame)
{
	struct descriptor desc;

	if (SELECTOR_NULL(selector)) {
		return segment_null(selector);
	}
	if ((selector & SELECTOR_TI) || !descriptor_read(cpu, selector, &desc) ||
			descriptor_is_segment(&desc) || descriptor_type(&desc) != DESCRIPTOR_LDT) {
		refuse(cpu, selector, blame);
	}
	if (!descriptor_present(&desc)) {
		/* A task switch blames the TSS for it, LLDT the descriptor. */
		enum x86_vector vector = blame.vector == X86_VECTOR_TS ? X86_VECTOR_TS
								       : X86_VECTOR_NP;
		refuse_absent(cpu, vector, selector, blame);
	}
	if (!read_system_upper(cpu, selector, &desc)) {
		refuse(cpu, selector, blame);
	}
	return descriptor_segment(&desc, selector);
}

void segment_load_ldtr(struct cpu *cpu, uint16_t selector)
{
	cpu->ldtr = segment_fetch_ldt(
			cpu, selector, (struct segment_blame){.vector = X86_VECTOR_GP});
}

static bool is_available_tss(const struct cpu *cpu, const struct descriptor *desc)
{
	unsigned type = descriptor_type(desc);

	if (descriptor_is_segment(desc)) {
		return false;
	}
	return type == DESCRIPTOR_TSS_AVAILABLE ||
	       (type == DESCRIPTOR_TSS16_AVAILABLE && !cpu_long_mode(cpu));
}

void segment_load_tr(struct cpu *cpu, uint16_t selector)
{
	const struct segment_blame blame = {.vector = X86_VECTOR_GP};
	struct descriptor desc;

	if (SELECTOR_NULL(selector)) {
		cpu_raise_gp(cpu);
	}
	if ((selector & SELECTOR_TI) || !descriptor_read(cpu, selector, &desc) ||
			!is_available_tss(cpu, &desc)) {
		refuse(cpu, selector, blame);
	}
	if (!descriptor_present(&desc)) {
		refuse_absent(cpu, X86_VECTOR_NP, selector, blame);
	}
	if (!read_system_upper(cpu, selector, &desc)) {
		refuse(cpu, selector, blame);
	}
	descriptor_set_busy(cpu, &desc, true);
	cpu->tr = descriptor_segment(&desc, selector);
}

void segment_drop_privileged(struct cpu *cpu)
{
	static const uint8_t data[] = {X86_ES, X86_DS, X86_FS, X86_GS};

	for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
		struct x86_segment *seg = &cpu->seg[data[i]];
		uint32_t conforming = X86_SEG_CODE | X86_SEG_EXPAND_DOWN;
		if ((seg->attributes & X86_SEG_UNUSABLE) || SELECTOR_NULL(seg->selector) ||
				(seg->attributes & conforming) == conforming) {
			continue;
		}
		if (segment_dpl(seg) < cpu->cpl) {
			/* The base stays: in 64-bit mode that of FS or GS is still in use. */
			seg->selector = 0;
			seg->attributes = X86_SEG_UNUSABLE;
		}
	}
}

void segment_set_cs(struct cpu *cpu, const struct x86_segment *cs, unsigned cpl)
{
	cpu->seg[X86_CS] = *cs;
	cpu->seg[X86_CS].selector = (uint16_t)((cs->selector & ~3u) | cpl);
	cpu->cpl = (uint8_t)cpl;
}
