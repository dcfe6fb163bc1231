/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/cpu.h"

#include "core/base/clock.h"
#include "core/engine/soft/apic.h"
#include "core/engine/soft/cpuid.h"
#include "core/engine/soft/debug.h"
#include "core/engine/soft/features.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/view.h"
#include "core/engine/soft/walk.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#define CR0_DEFINED \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
			X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* Changes of these make cached translations wrong. */
#define CR0_PAGING (X86_CR0_PE | X86_CR0_WP | X86_CR0_PG)
#define CR4_PAGING \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP)

#define RFLAGS_DEFINED \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_IOPL | X86_FLAG_NT | \
			X86_FLAG_RF | X86_FLAG_VM | X86_FLAG_AC | X86_FLAG_VIF | X86_FLAG_VIP | \
			X86_FLAG_ID)

#define PAT_DEFAULT UINT64_C(0x0007040600070406)
#define MISC_ENABLE_DEFAULT (BIT(0) | BIT(11) | BIT(12)) /* fast strings; no BTS, no PEBS */
/*
 * Everything write-back, as firmware leaves it: guests entered without firmware take disabled MTRRs
 * for a sign that they have no page attribute table either.
 */
#define MTRR_DEF_TYPE_DEFAULT (BIT(11) | 6)
#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_MASK 0xffffu

#define ATTRIBUTES_DATA (uint32_t)(X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED)
#define ATTRIBUTES_LDT (uint32_t)(X86_SEG_P | 2)
#define ATTRIBUTES_TSS (uint32_t)(X86_SEG_P | 11)

/* Bits of CR4 and the features without which they are reserved. */
static const struct {
	uint64_t bits;
	enum cpu_feature feature;
} cr4_features[] = {
		{X86_CR4_PCE, CPU_FEATURE_NONE},
		{X86_CR4_VME | X86_CR4_PVI, CPU_FEATURE_VME},
		{X86_CR4_TSD, CPU_FEATURE_TSC},
		{X86_CR4_DE, CPU_FEATURE_DE},
		{X86_CR4_PSE, CPU_FEATURE_PSE},
		{X86_CR4_PAE, CPU_FEATURE_PAE},
		{X86_CR4_MCE, CPU_FEATURE_MCE},
		{X86_CR4_PGE, CPU_FEATURE_PGE},
		{X86_CR4_OSFXSR, CPU_FEATURE_FXSR},
		{X86_CR4_OSXMMEXCPT, CPU_FEATURE_SSE},
		{X86_CR4_UMIP, CPU_FEATURE_UMIP},
		{X86_CR4_FSGSBASE, CPU_FEATURE_FSGSBASE},
		{X86_CR4_PCIDE, CPU_FEATURE_PCID},
		{X86_CR4_OSXSAVE, CPU_FEATURE_XSAVE},
		{X86_CR4_SMEP, CPU_FEATURE_SMEP},
		{X86_CR4_SMAP, CPU_FEATURE_SMAP},
};

static uint64_t cr4_offered(const struct cpu *cpu)
{
	uint64_t offered = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(cr4_features); i++) {
		enum cpu_feature feature = cr4_features[i].feature;
		if (feature == CPU_FEATURE_NONE || cpu_has(cpu, feature)) {
			offered |= cr4_features[i].bits;
		}
	}
	return offered;
}

struct cpu *cpu_create(unsigned index, struct guest_memory *memory, struct address_space *space,
		struct address_space *ports, struct clock *clock)
{
	struct cpu *cpu = view_create();

	cpu->index = index;
	cpu->count = 1;
	cpu->features = features_offer()->standard;
	cpu->identity = features_offer()->identity;
	cpu->memory = memory;
	cpu->space = space;
	cpu->ports = ports;
	cpu->clock = clock;
	cpu->tsc_hz = cpuid_host_tsc_hz();
	cpu->tsc_base = __rdtsc();
	cpu->apic_page = UINT64_MAX;
	for (unsigned i = 0; i < TLB_PART_COUNT; i++) {
		/* Nothing in the tables is valid yet. */
		cpu->tlb_parts[i].log[0].count = TLB_LOG_LENGTH + 1;
	}
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		cpu->tlbs[TLB_ALIGNED].read[i].tag = TLB_INVALID(i);
		cpu->tlbs[TLB_ALIGNED].write[i].tag = TLB_INVALID(i);
	}
	for (unsigned i = 0; i < TLB_SLOTS; i++) {
		cpu->slots[i].pcid = TLB_NO_PCID;
	}
	cpu_reset(cpu, false);
	return cpu;
}

void cpu_destroy(struct cpu *cpu)
{
	view_destroy(cpu);
}

_Noreturn static void raise_fault(struct cpu *cpu, uint8_t vector, bool has_error, uint32_t error)
{
	cpu->fault.vector = vector;
	cpu->fault.has_error = has_error;
	cpu->fault.error = error;
	siglongjmp(cpu->unwind, 1);
}

void cpu_raise(struct cpu *cpu, enum x86_vector vector)
{
	raise_fault(cpu, (uint8_t)vector, false, 0);
}

void cpu_raise_error(struct cpu *cpu, enum x86_vector vector, uint32_t error)
{
	raise_fault(cpu, (uint8_t)vector, true, error);
}

void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
	cpu->cr2 = linear;
	raise_fault(cpu, X86_VECTOR_PF, true, error);
}

static void futex(uint32_t *word, int operation, uint32_t value)
{
	/* Wakes of nobody and waits that end early are both fine: callers look again. */
	(void)syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

void cpu_request(struct cpu *cpu, uint32_t requests)
{
	if (requests & CPU_REQUEST_NMI) {
		__atomic_fetch_add(&cpu->nmi_queued, 1, __ATOMIC_SEQ_CST);
	}
	__atomic_fetch_or(&cpu->request, requests, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST)) {
		futex(&cpu->sleeping, FUTEX_WAKE, 1);
	}
}

void cpu_wait(struct cpu *cpu)
{
	smp_leave(cpu);
	pv_leave(cpu);
	for (;;) {
		__atomic_store_n(&cpu->sleeping, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&cpu->request, __ATOMIC_SEQ_CST)) {
			break;
		}
		futex(&cpu->sleeping, FUTEX_WAIT, 1);
	}
	__atomic_store_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST);
	pv_enter(cpu);
	smp_enter(cpu);
}

uint64_t cpu_tsc(const struct cpu *cpu)
{
	uint64_t now;

	if (cpu->tsc_virtual) {
		now = (uint64_t)((unsigned __int128)clock_now(cpu->clock) * cpu->tsc_hz /
				 1000000000u);
	} else {
		/* Not before what the guest read earlier: its clocks on two vCPUs must agree. */
		__asm__ volatile("lfence" ::: "memory");
		now = __rdtsc();
	}
	return now + (uint64_t)cpu->tsc_offset;
}

/* A 4 GiB segment that allows every access its register is used for. */
static bool is_flat(const struct x86_segment *seg)
{
	uint32_t needed = X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE;
	uint32_t forbidden = X86_SEG_CODE | X86_SEG_EXPAND_DOWN | X86_SEG_UNUSABLE;

	return seg->limit == UINT32_MAX && (seg->attributes & (needed | forbidden)) == needed;
}

static uint8_t find_checked_segments(const struct cpu *cpu)
{
	uint8_t checked = 0;

	if (cpu->mode == INSN_MODE_64) {
		return 0;
	}
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		if (!is_flat(&cpu->seg[i])) {
			checked |= (uint8_t)(1u << i);
		}
	}
	return checked;
}

static enum tlb_set find_tlb_set(const struct cpu *cpu)
{
	if (cpu->cpl == 3) {
		bool aligned = (cpu->rflags & X86_FLAG_AC) && (cpu->cr0 & X86_CR0_AM);
		return aligned ? TLB_ALIGNED : TLB_USER;
	}
	bool smap = (cpu->cr4 & X86_CR4_SMAP) && !(cpu->rflags & X86_FLAG_AC);
	return smap ? TLB_SUPERVISOR : TLB_SUPERVISOR_AC;
}

void cpu_update_mode(struct cpu *cpu)
{
	uint32_t cs = cpu->seg[X86_CS].attributes;

	if (cpu_long_mode(cpu) && (cs & X86_SEG_L)) {
		cpu->mode = INSN_MODE_64;
		cpu->stack_size = 8;
	} else {
		cpu->mode = cs & X86_SEG_DB ? INSN_MODE_32 : INSN_MODE_16;
		cpu->stack_size = cpu->seg[X86_SS].attributes & X86_SEG_DB ? 4 : 2;
	}
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		bool based = cpu->mode != INSN_MODE_64 || i == X86_FS || i == X86_GS;
		cpu->seg_base[i] = based ? cpu->seg[i].base : 0;
	}
	cpu->segments_checked = find_checked_segments(cpu);
	cpu_use_tlb(cpu, find_tlb_set(cpu));
}

static void reset_segments(struct cpu *cpu)
{
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		cpu->seg[i] = (struct x86_segment){.limit = 0xffff, .attributes = ATTRIBUTES_DATA};
	}
	cpu->seg[X86_CS].selector = 0xf000;
	cpu->seg[X86_CS].base = 0xffff0000;
	cpu->seg[X86_CS].attributes |= X86_SEG_CODE;
	cpu->ldtr = (struct x86_segment){.limit = 0xffff, .attributes = ATTRIBUTES_LDT};
	cpu->tr = (struct x86_segment){.limit = 0xffff, .attributes = ATTRIBUTES_TSS};
	cpu->gdtr = (struct x86_table){.limit = 0xffff};
	cpu->idtr = (struct x86_table){.limit = 0xffff};
}

/* What power-up sets and INIT leaves alone. */
static void reset_power_up(struct cpu *cpu)
{
	memset(&cpu->fx, 0, sizeof(cpu->fx));
	cpu->fx.fcw = 0x40;
	cpu->fx.ftw = 0xff;
	cpu->fx.mxcsr = MXCSR_DEFAULT;
	cpu->fx.mxcsr_mask = MXCSR_MASK;
	memset(cpu->ymm_high, 0, sizeof(cpu->ymm_high));
	cpu->xcr0 = X86_XCR0_X87;
	memset(&cpu->msr, 0, sizeof(cpu->msr));
	cpu->msr.pat = PAT_DEFAULT;
	cpu->msr.mtrr_def_type = MTRR_DEF_TYPE_DEFAULT;
	cpu->msr.misc_enable = MISC_ENABLE_DEFAULT;
	cpu->cr0 = X86_CR0_CD | X86_CR0_NW;
	cpu->tsc_adjust = 0;
	cpu->tsc_offset = cpu->tsc_virtual ? 0 : -(int64_t)cpu->tsc_base;
}

void cpu_reset(struct cpu *cpu, bool init)
{
	if (!init) {
		reset_power_up(cpu);
	}
	memset(cpu->regs, 0, sizeof(cpu->regs));
	cpu->regs[X86_RDX] = cpu_identity_signature(&cpu->identity);
	cpu->rip = cpu->next_rip = 0xfff0;
	cpu->rflags = X86_FLAG_FIXED;
	reset_segments(cpu);
	cpu->cr0 = (cpu->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
	cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
	cpu->efer = 0;
	memset(cpu->dr, 0, sizeof(cpu->dr));
	cpu->dr[6] = DEBUG_DR6_FIXED;
	cpu->dr[7] = DEBUG_DR7_FIXED;
	cpu->cpl = 0;
	cpu->interrupt_shadow = 0;
	cpu->nmi_blocked = false;
	cpu->nmi_pending = 0;
	cpu->debug_pending = 0;
	cpu->delivery.active = false;
	cpu->activity = cpu->index == 0 ? CPU_ACTIVE : CPU_WAIT_FOR_SIPI;
	pv_reset(cpu);
	cpu_update_mode(cpu);
	mmu_flush_all(cpu);
}

void cpu_start_at(struct cpu *cpu, uint8_t vector)
{
	cpu->seg[X86_CS].selector = (uint16_t)(vector << 8);
	cpu->seg[X86_CS].base = (uint32_t)vector << 12;
	cpu->rip = cpu->next_rip = 0;
	cpu->activity = CPU_ACTIVE;
	cpu_update_mode(cpu);
}

bool cpu_cr0_valid(const struct cpu *cpu, uint64_t value)
{
	bool enables_paging = (value & X86_CR0_PG) && !(cpu->cr0 & X86_CR0_PG);

	if (value >> 32 || ((value & X86_CR0_PG) && !(value & X86_CR0_PE)) ||
			((value & X86_CR0_NW) && !(value & X86_CR0_CD))) {
		return false;
	}
	if (enables_paging && (cpu->efer & X86_EFER_LME)) {
		return (cpu->cr4 & X86_CR4_PAE) && !(cpu->seg[X86_CS].attributes & X86_SEG_L);
	}
	return (value & X86_CR0_PG) || (cpu->mode != INSN_MODE_64 && !(cpu->cr4 & X86_CR4_PCIDE));
}

bool cpu_cr3_valid(const struct cpu *cpu, uint64_t value)
{
	uint64_t reserved = ~(BIT(WALK_PHYSICAL_BITS) - 1);

	return !(value & reserved & ~(cpu->cr4 & X86_CR4_PCIDE ? X86_CR3_KEEP : 0));
}

bool cpu_cr4_valid(const struct cpu *cpu, uint64_t value)
{
	if (value & ~cr4_offered(cpu)) {
		return false;
	}
	if ((value & ~cpu->cr4 & X86_CR4_PCIDE) &&
			(!cpu_long_mode(cpu) || (cpu->cr3 & X86_CR3_PCID))) {
		return false;
	}
	return (value & X86_CR4_PAE) || !cpu_long_mode(cpu);
}

void cpu_set_cr0(struct cpu *cpu, uint64_t value)
{
	uint64_t changed = cpu->cr0 ^ value;

	cpu->cr0 = (value & CR0_DEFINED) | X86_CR0_ET;
	if (changed & X86_CR0_PG) {
		bool long_mode = (value & X86_CR0_PG) && (cpu->efer & X86_EFER_LME);
		cpu->efer = long_mode ? cpu->efer | X86_EFER_LMA : cpu->efer & ~X86_EFER_LMA;
	}
	if (changed & CR0_PAGING) {
		mmu_flush_all(cpu);
	}
	cpu_update_mode(cpu);
}

void cpu_set_cr3(struct cpu *cpu, uint64_t value)
{
	bool keep = (cpu->cr4 & X86_CR4_PCIDE) && (value & X86_CR3_KEEP);

	cpu->cr3 = value & ~X86_CR3_KEEP;
	mmu_switch(cpu, keep);
}

void cpu_set_cr4(struct cpu *cpu, uint64_t value)
{
	uint64_t changed = cpu->cr4 ^ value;

	cpu->cr4 = value;
	if (changed & CR4_PAGING) {
		mmu_flush_all(cpu);
	}
	cpu_update_mode(cpu);
}

void cpu_set_efer(struct cpu *cpu, uint64_t value)
{
	uint64_t changed = cpu->efer ^ value;

	cpu->efer = value;
	if (changed & X86_EFER_NXE) {
		mmu_flush_all(cpu);
	}
	cpu_update_mode(cpu);
}

void cpu_set_rflags(struct cpu *cpu, uint64_t value)
{
	uint64_t old = cpu->rflags;

	cpu->rflags = (value & RFLAGS_DEFINED) | X86_FLAG_FIXED;
	if ((old ^ cpu->rflags) & (X86_FLAG_AC | X86_FLAG_VM)) {
		cpu_update_mode(cpu);
	}
	if (cpu->rflags & ~old & X86_FLAG_IF) {
		interrupt_enabled(cpu);
	}
}

void cpu_get_state(const struct cpu *cpu, struct x86_state *ret_state)
{
	struct x86_state state = {
			.rip = cpu->rip,
			.rflags = cpu->rflags,
			.ldtr = cpu->ldtr,
			.tr = cpu->tr,
			.gdtr = cpu->gdtr,
			.idtr = cpu->idtr,
			.cr0 = cpu->cr0,
			.cr2 = cpu->cr2,
			.cr3 = cpu->cr3,
			.cr4 = cpu->cr4,
			.cr8 = cpu->apic ? apic_get_tpr(cpu->apic) >> 4 : 0,
			.efer = cpu->efer,
	};

	memcpy(state.regs, cpu->regs, sizeof(state.regs));
	memcpy(state.seg, cpu->seg, sizeof(state.seg));
	memcpy(state.dr, cpu->dr, sizeof(state.dr));
	*ret_state = state;
}

static uint8_t state_cpl(const struct x86_state *state)
{
	if (!(state->cr0 & X86_CR0_PE)) {
		return 0;
	}
	if (state->rflags & X86_FLAG_VM) {
		return 3;
	}
	return (state->seg[X86_SS].attributes >> X86_SEG_DPL_SHIFT) & 3;
}

void cpu_set_state(struct cpu *cpu, const struct x86_state *state)
{
	memcpy(cpu->regs, state->regs, sizeof(cpu->regs));
	memcpy(cpu->seg, state->seg, sizeof(cpu->seg));
	memcpy(cpu->dr, state->dr, sizeof(cpu->dr));
	cpu->rip = cpu->next_rip = state->rip;
	cpu->rflags = (state->rflags & RFLAGS_DEFINED) | X86_FLAG_FIXED;
	cpu->ldtr = state->ldtr;
	cpu->tr = state->tr;
	cpu->gdtr = state->gdtr;
	cpu->idtr = state->idtr;
	cpu->cr0 = (state->cr0 & CR0_DEFINED) | X86_CR0_ET;
	cpu->cr2 = state->cr2;
	cpu->cr3 = state->cr3;
	cpu->cr4 = state->cr4 & cr4_offered(cpu);
	cpu->efer = state->efer;
	cpu->cpl = state_cpl(state);
	cpu->interrupt_shadow = 0;
	cpu->delivery.active = false;
	if (cpu->activity == CPU_HALTED) {
		cpu->activity = CPU_ACTIVE;
	}
	if (cpu->apic) {
		apic_set_tpr(cpu->apic, (uint8_t)(state->cr8 << 4));
	}
	cpu_update_mode(cpu);
	mmu_flush_all(cpu);
	interrupt_recheck(cpu);
}
