/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/task.h"

#include "core/base/log.h"
#include "core/engine/soft/debug.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/segment.h"
#include "core/engine/soft/stack.h"

/* The 32-bit TSS (SDM vol. 3, figure 8-2). */
enum tss_offset {
	TSS_LINK = 0x00,
	TSS_STACKS = 0x04,
	TSS_CR3 = 0x1c,
	TSS_EIP = 0x20,
	TSS_EFLAGS = 0x24,
	TSS_REGS = 0x28,
	TSS_SEGMENTS = 0x48,
	TSS_LDT = 0x60,
	TSS_TRAP = 0x64,
	TSS_IO_MAP = 0x66,
	TSS_SIZE = 0x68,
};

/* The 64-bit TSS. */
#define TSS64_RSP0 0x04u
#define TSS64_IST1 0x24u

#define TSS16_STACKS 0x02u

#define DR7_LOCAL (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(8))

struct tss {
	uint32_t cr3, eip, eflags;
	uint32_t regs[8];
	uint16_t segments[X86_SEGMENT_COUNT]; /* in TSS order, which is enum x86_segment_reg's */
	uint16_t ldt;
	bool trap;
};

static bool is_tss32(const struct cpu *cpu)
{
	unsigned type = cpu->tr.attributes & X86_SEG_TYPE_MASK;

	return type == DESCRIPTOR_TSS_AVAILABLE || type == DESCRIPTOR_TSS_BUSY;
}

static uint64_t load(struct cpu *cpu, const struct x86_segment *tss, uint32_t offset, unsigned size)
{
	return mmu_load_supervisor(cpu, tss->base + offset, size);
}

static void store(struct cpu *cpu, const struct x86_segment *tss, uint32_t offset, uint64_t value,
		unsigned size)
{
	mmu_store_supervisor(cpu, tss->base + offset, value, size);
}

void task_inner_stack(
		struct cpu *cpu, unsigned cpl, uint32_t ext, uint32_t *ret_esp, uint16_t *ret_ss)
{
	unsigned size = is_tss32(cpu) ? 4 : 2;
	uint32_t offset = (size == 4 ? TSS_STACKS : TSS16_STACKS) + cpl * size * 2;

	if (offset + size + 1 > cpu->tr.limit) {
		cpu_raise_error(cpu, X86_VECTOR_TS, (cpu->tr.selector & ~3u) | ext);
	}
	*ret_esp = (uint32_t)load(cpu, &cpu->tr, offset, size);
	*ret_ss = (uint16_t)load(cpu, &cpu->tr, offset + size, 2);
}

uint64_t task_inner_rsp(struct cpu *cpu, unsigned cpl, unsigned ist, uint32_t ext)
{
	uint32_t offset = ist ? TSS64_IST1 + 8 * (ist - 1) : TSS64_RSP0 + 8 * cpl;

	if (offset + 7 > cpu->tr.limit) {
		cpu_raise_error(cpu, X86_VECTOR_TS, (cpu->tr.selector & ~3u) | ext);
	}
	uint64_t rsp = load(cpu, &cpu->tr, offset, 8);
	if (!linear_is_canonical(rsp)) {
		cpu_raise_error(cpu, X86_VECTOR_SS, ext);
	}
	return rsp;
}

bool task_io_allowed(struct cpu *cpu, uint16_t port, unsigned size)
{
	const struct x86_segment *tss = &cpu->tr;

	if (!is_tss32(cpu) || tss->limit < TSS_SIZE - 1) {
		return false;
	}
	uint32_t offset = (uint32_t)load(cpu, tss, TSS_IO_MAP, 2) + port / 8u;
	if (offset + 1 > tss->limit) {
		return false;
	}
	uint64_t map = load(cpu, tss, offset, 2);
	return !((map >> (port % 8)) & ((1u << size) - 1));
}

bool task_redirects_interrupt(struct cpu *cpu, uint8_t vector)
{
	const struct x86_segment *tss = &cpu->tr;

	if (!is_tss32(cpu) || tss->limit < TSS_SIZE - 1) {
		return false;
	}
	uint32_t offset = (uint32_t)load(cpu, tss, TSS_IO_MAP, 2) - 32 + vector / 8u;
	if (offset > tss->limit) {
		return false;
	}
	return !((load(cpu, tss, offset, 1) >> (vector % 8)) & 1);
}

/* The new task's TSS descriptor, checked. */
static struct descriptor fetch_tss(
		struct cpu *cpu, uint16_t selector, enum task_reason reason, uint32_t ext)
{
	enum x86_vector vector = reason == TASK_RETURN ? X86_VECTOR_TS : X86_VECTOR_GP;
	unsigned wanted = reason == TASK_RETURN ? DESCRIPTOR_TSS_BUSY : DESCRIPTOR_TSS_AVAILABLE;
	uint32_t error = (selector & ~3u) | ext;
	struct descriptor desc;

	if ((selector & SELECTOR_TI) || SELECTOR_NULL(selector) ||
			!descriptor_read(cpu, selector, &desc) || descriptor_is_segment(&desc)) {
		cpu_raise_error(cpu, vector, error);
	}
	if (descriptor_type(&desc) != wanted) {
		if (descriptor_type(&desc) == (wanted & 3)) {
			guest_error("cpu: task switch to a 16-bit TSS is not implemented");
		}
		cpu_raise_error(cpu, vector, error);
	}
	if (!descriptor_present(&desc)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, error);
	}
	if (descriptor_segment(&desc, selector).limit < TSS_SIZE - 1) {
		cpu_raise_error(cpu, X86_VECTOR_TS, error);
	}
	return desc;
}

static struct tss load_tss(struct cpu *cpu, const struct x86_segment *seg)
{
	struct tss tss = {
			.cr3 = (uint32_t)load(cpu, seg, TSS_CR3, 4),
			.eip = (uint32_t)load(cpu, seg, TSS_EIP, 4),
			.eflags = (uint32_t)load(cpu, seg, TSS_EFLAGS, 4),
			.ldt = (uint16_t)load(cpu, seg, TSS_LDT, 2),
			.trap = load(cpu, seg, TSS_TRAP, 2) & 1,
	};

	for (unsigned i = 0; i < 8; i++) {
		tss.regs[i] = (uint32_t)load(cpu, seg, TSS_REGS + 4 * i, 4);
	}
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		tss.segments[i] = (uint16_t)load(cpu, seg, TSS_SEGMENTS + 4 * i, 2);
	}
	return tss;
}

static void save_task(struct cpu *cpu, uint64_t return_rip, uint64_t flags)
{
	store(cpu, &cpu->tr, TSS_EIP, return_rip, 4);
	store(cpu, &cpu->tr, TSS_EFLAGS, flags, 4);
	for (unsigned i = 0; i < 8; i++) {
		store(cpu, &cpu->tr, TSS_REGS + 4 * i, cpu->regs[i], 4);
	}
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		store(cpu, &cpu->tr, TSS_SEGMENTS + 4 * i, cpu->seg[i].selector, 2);
	}
}

static void release_old_tss(struct cpu *cpu)
{
	struct descriptor desc;

	if (descriptor_read(cpu, cpu->tr.selector, &desc)) {
		descriptor_set_busy(cpu, &desc, false);
	}
}

/* The registers that need no checks; segments hold their selectors and are unusable for now. */
static void adopt_registers(struct cpu *cpu, const struct tss *tss)
{
	for (unsigned i = 0; i < 8; i++) {
		cpu->regs[i] = tss->regs[i];
	}
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		cpu->seg[i] = segment_null(tss->segments[i]);
	}
	cpu->ldtr = segment_null(tss->ldt);
	cpu->rip = cpu->next_rip = tss->eip;
	cpu_set_rflags(cpu, tss->eflags);
	cpu->cr0 |= X86_CR0_TS;
	if (cpu->cr0 & X86_CR0_PG) {
		cpu_set_cr3(cpu, tss->cr3);
	}
	debug_set_dr7(cpu, cpu->dr[7] & ~DR7_LOCAL);
}

static struct x86_segment fetch_code(struct cpu *cpu, uint16_t selector)
{
	unsigned rpl = SELECTOR_RPL(selector);
	struct descriptor desc;

	if (SELECTOR_NULL(selector) || !descriptor_read(cpu, selector, &desc) ||
			!descriptor_is_code(&desc)) {
		cpu_raise_error(cpu, X86_VECTOR_TS, selector & ~3u);
	}
	bool allowed = descriptor_is_conforming(&desc) ? descriptor_dpl(&desc) <= rpl
						       : descriptor_dpl(&desc) == rpl;
	if (!allowed) {
		cpu_raise_error(cpu, X86_VECTOR_TS, selector & ~3u);
	}
	if (!descriptor_present(&desc)) {
		cpu_raise_error(cpu, X86_VECTOR_NP, selector & ~3u);
	}
	descriptor_set_accessed(cpu, &desc);
	return descriptor_segment(&desc, selector);
}

static void adopt_v8086_segments(struct cpu *cpu, const struct tss *tss)
{
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		cpu->seg[i] = segment_v8086(tss->segments[i]);
	}
	cpu->cpl = 3;
	cpu_update_mode(cpu);
}

/* In the new task's context: what is wrong with it is its own fault. */
static void adopt_segments(struct cpu *cpu, const struct tss *tss)
{
	static const uint8_t data[] = {X86_ES, X86_DS, X86_FS, X86_GS};
	const struct segment_blame blame = {.vector = X86_VECTOR_TS};

	cpu->ldtr = segment_fetch_ldt(cpu, tss->ldt, blame);
	if (tss->eflags & X86_FLAG_VM) {
		adopt_v8086_segments(cpu, tss);
		return;
	}
	unsigned cpl = SELECTOR_RPL(tss->segments[X86_CS]);
	struct x86_segment cs = fetch_code(cpu, tss->segments[X86_CS]);
	segment_set_cs(cpu, &cs, cpl);
	cpu_update_mode(cpu);
	cpu->seg[X86_SS] = segment_fetch_stack(cpu, tss->segments[X86_SS], cpl, blame);
	for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
		cpu->seg[data[i]] = segment_fetch_data(cpu, tss->segments[data[i]], cpl, blame);
	}
	cpu_update_mode(cpu);
	if (tss->eip > cs.limit) {
		cpu_raise_gp(cpu);
	}
}

static void push_error(struct cpu *cpu, uint32_t error)
{
	struct stack stack = stack_current(cpu);

	stack_push(&stack, error, 4);
	cpu->regs[X86_RSP] = stack.pointer;
}

void task_switch(struct cpu *cpu, uint16_t selector, enum task_reason reason, uint64_t return_rip,
		const uint32_t *error, uint32_t ext)
{
	struct descriptor desc = fetch_tss(cpu, selector, reason, ext);
	struct x86_segment new_tr = descriptor_segment(&desc, selector);
	bool nested = reason == TASK_CALL || reason == TASK_INTERRUPT;
	uint64_t old_flags = cpu->rflags;
	uint32_t pushed = error ? *error : 0; /* a fault below may overwrite what error points at */
	struct tss tss = load_tss(cpu, &new_tr);

	if (reason == TASK_RETURN) {
		old_flags &= ~(uint64_t)X86_FLAG_NT;
	}
	save_task(cpu, return_rip, old_flags);
	if (nested) {
		store(cpu, &new_tr, TSS_LINK, cpu->tr.selector, 2);
		tss.eflags |= X86_FLAG_NT;
	} else {
		release_old_tss(cpu);
	}
	if (reason != TASK_RETURN) {
		descriptor_set_busy(cpu, &desc, true);
	}
	cpu->tr = descriptor_segment(&desc, selector);
	adopt_registers(cpu, &tss);
	adopt_segments(cpu, &tss);
	if (error) {
		push_error(cpu, pushed);
	}
	if (tss.trap) {
		cpu->debug_pending |= DEBUG_DR6_BT;
		interrupt_recheck(cpu);
	}
}
