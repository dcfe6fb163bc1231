/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/msr.h"

#include "core/base/log.h"
#include "core/engine/soft/apic.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/walk.h"

#include <inttypes.h>

#define MSR_PLATFORM_ID 0x17u
#define MSR_SMI_COUNT 0x34u
#define MSR_PPIN_CTL 0x4eu
#define MSR_PLATFORM_INFO 0xceu
#define MSR_MISC_FEATURES_ENABLES 0x140u
#define MSR_MTRR_PHYSBASE0 0x200u
#define MSR_MTRR_PHYSMASK7 0x20fu
#define MSR_MTRR_FIX64K 0x250u
#define MSR_MTRR_FIX16K_80000 0x258u
#define MSR_MTRR_FIX16K_A0000 0x259u
#define MSR_MTRR_FIX4K_FIRST 0x268u
#define MSR_MTRR_FIX4K_LAST 0x26fu
#define MSR_MC0_CTL 0x400u
#define MSR_MC_LAST 0x47fu
#define MSR_OC_MAILBOX 0x150u
#define MSR_RAPL_POWER_UNIT 0x606u
#define MSR_PACKAGE_ENERGY_STATUS 0x611u
#define MSR_DRAM_ENERGY_STATUS 0x619u
#define MSR_PP0_ENERGY_STATUS 0x639u
#define MSR_PP1_ENERGY_STATUS 0x641u
#define MSR_PLATFORM_ENERGY_STATUS 0x64du
#define MSR_AMD_DE_CFG 0xc0011029u

/* Eight variable ranges, fixed ranges, write combining. */
#define MTRRCAP (8 | BIT(8) | BIT(10))
#define FEATURE_CONTROL_LOCKED BIT(0)
#define MICROCODE_REVISION UINT64_C(0x2b000643)

/*
 * Flaws of real processors that this one does not have: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY,
 * SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO,
 * GDS_NO, RFDS_NO, ITS_NO.
 */
#define ARCH_CAPABILITIES \
	(BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | \
			BIT(15) | BIT(20) | BIT(24) | BIT(26) | BIT(27) | BIT(62))

#define SPEC_CTRL_VALID (BIT(0) | BIT(1) | BIT(2) | BIT(10)) /* IBRS, STIBP, SSBD, BHI_DIS_S */
#define MISC_ENABLE_READ_ONLY (BIT(7) | BIT(11) | BIT(12))

static int mtrr_fixed_index(uint32_t msr)
{
	switch (msr) {
	case MSR_MTRR_FIX64K:
		return 0;
	case MSR_MTRR_FIX16K_80000:
		return 1;
	case MSR_MTRR_FIX16K_A0000:
		return 2;
	default:
		return msr >= MSR_MTRR_FIX4K_FIRST && msr <= MSR_MTRR_FIX4K_LAST
				       ? (int)(msr - MSR_MTRR_FIX4K_FIRST) + 3
				       : -1;
	}
}

/* The register's home, where it is no more than storage; NULL if there is more to it. */
__attribute__((nonnull)) static uint64_t *plain_register(struct cpu *cpu, uint32_t msr)
{
	if (msr >= MSR_MTRR_PHYSBASE0 && msr <= MSR_MTRR_PHYSMASK7) {
		uint32_t index = (msr - MSR_MTRR_PHYSBASE0) / 2;
		return msr & 1 ? &cpu->msr.mtrr_mask[index] : &cpu->msr.mtrr_base[index];
	}
	if (mtrr_fixed_index(msr) >= 0) {
		return &cpu->msr.mtrr_fixed[mtrr_fixed_index(msr)];
	}
	switch (msr) {
	case X86_MSR_SYSENTER_CS:
		return &cpu->msr.sysenter_cs;
	case X86_MSR_SYSENTER_ESP:
		return &cpu->msr.sysenter_esp;
	case X86_MSR_SYSENTER_EIP:
		return &cpu->msr.sysenter_eip;
	case X86_MSR_STAR:
		return &cpu->msr.star;
	case X86_MSR_LSTAR:
		return &cpu->msr.lstar;
	case X86_MSR_CSTAR:
		return &cpu->msr.cstar;
	case X86_MSR_SFMASK:
		return &cpu->msr.sfmask;
	case X86_MSR_KERNEL_GS_BASE:
		return &cpu->msr.kernel_gs_base;
	case X86_MSR_FS_BASE:
		return &cpu->seg[X86_FS].base;
	case X86_MSR_GS_BASE:
		return &cpu->seg[X86_GS].base;
	case X86_MSR_TSC_AUX:
		return &cpu->msr.tsc_aux;
	case X86_MSR_PAT:
		return &cpu->msr.pat;
	case X86_MSR_MTRR_DEF_TYPE:
		return &cpu->msr.mtrr_def_type;
	case X86_MSR_SPEC_CTRL:
		return &cpu->msr.spec_ctrl;
	case X86_MSR_MISC_ENABLE:
		return &cpu->msr.misc_enable;
	case X86_MSR_MCG_STATUS:
		return &cpu->msr.mcg_status;
	default:
		return NULL;
	}
}

/* Without which the register is not there. */
static enum cpu_feature register_feature(uint32_t msr)
{
	if (msr >= MSR_MTRR_PHYSBASE0 && msr <= MSR_MTRR_PHYSMASK7) {
		return CPU_FEATURE_MTRR;
	}
	switch (msr) {
	case X86_MSR_SYSENTER_CS:
	case X86_MSR_SYSENTER_ESP:
	case X86_MSR_SYSENTER_EIP:
		return CPU_FEATURE_SEP;
	case X86_MSR_STAR:
	case X86_MSR_LSTAR:
	case X86_MSR_CSTAR:
	case X86_MSR_SFMASK:
		return CPU_FEATURE_SYSCALL;
	case X86_MSR_TSC_ADJUST:
		return CPU_FEATURE_TSC_ADJUST;
	case X86_MSR_TSC_DEADLINE:
		return CPU_FEATURE_TSC_DEADLINE;
	case X86_MSR_PAT:
		return CPU_FEATURE_PAT;
	case X86_MSR_MTRRCAP:
	case X86_MSR_MTRR_DEF_TYPE:
		return CPU_FEATURE_MTRR;
	case X86_MSR_SPEC_CTRL:
	case X86_MSR_PRED_CMD:
		return CPU_FEATURE_SPEC_CTRL;
	case X86_MSR_ARCH_CAPABILITIES:
		return CPU_FEATURE_ARCH_CAPABILITIES;
	default:
		return mtrr_fixed_index(msr) >= 0 ? CPU_FEATURE_MTRR : CPU_FEATURE_NONE;
	}
}

static bool has_register(const struct cpu *cpu, uint32_t msr)
{
	enum cpu_feature feature = register_feature(msr);

	if (msr == X86_MSR_TSC_AUX) {
		return cpu_has(cpu, CPU_FEATURE_RDTSCP) || cpu_has(cpu, CPU_FEATURE_RDPID);
	}
	return feature == CPU_FEATURE_NONE || cpu_has(cpu, feature);
}

static bool is_apic_register(uint32_t msr)
{
	return msr == X86_MSR_APIC_BASE || msr == X86_MSR_TSC_DEADLINE ||
	       (msr >= X86_MSR_X2APIC_FIRST && msr <= X86_MSR_X2APIC_LAST);
}

/* Registers that Linux looks for on every processor like this one, ready for their absence. */
static bool is_looked_for(uint32_t msr)
{
	switch (msr) {
	case MSR_RAPL_POWER_UNIT:
	case MSR_PACKAGE_ENERGY_STATUS:
	case MSR_DRAM_ENERGY_STATUS:
	case MSR_PP0_ENERGY_STATUS:
	case MSR_PP1_ENERGY_STATUS:
	case MSR_PLATFORM_ENERGY_STATUS:
	case MSR_AMD_DE_CFG:
	case MSR_OC_MAILBOX:
		return true;
	default:
		return false;
	}
}

bool msr_read(struct cpu *cpu, uint32_t msr, uint64_t *ret_value)
{
	const uint64_t *plain = plain_register(cpu, msr);

	assert(cpu);
	if (!has_register(cpu, msr)) {
		return false;
	}
	if (plain) {
		*ret_value = *plain;
		return true;
	}
	if (is_apic_register(msr)) {
		return cpu->apic && apic_msr_read(cpu->apic, msr, ret_value);
	}
	if (pv_is_msr(msr)) {
		return pv_msr_read(cpu, msr, ret_value);
	}
	switch (msr) {
	case X86_MSR_EFER:
		*ret_value = cpu->efer;
		return true;
	case X86_MSR_TSC:
		*ret_value = cpu_tsc(cpu);
		return true;
	case X86_MSR_TSC_ADJUST:
		*ret_value = (uint64_t)cpu->tsc_adjust;
		return true;
	case X86_MSR_MTRRCAP:
		*ret_value = MTRRCAP;
		return true;
	case X86_MSR_ARCH_CAPABILITIES:
		*ret_value = ARCH_CAPABILITIES;
		return true;
	case X86_MSR_FEATURE_CONTROL:
		*ret_value = FEATURE_CONTROL_LOCKED;
		return true;
	case X86_MSR_BIOS_SIGN_ID:
		*ret_value = MICROCODE_REVISION << 32;
		return true;
	case MSR_PPIN_CTL:
		*ret_value = 1; /* locked, without a serial number */
		return true;
	case X86_MSR_MCG_CAP: /* no banks */
	case MSR_SMI_COUNT:
	case MSR_PLATFORM_ID:
	case MSR_PLATFORM_INFO:
	case MSR_MISC_FEATURES_ENABLES:
		*ret_value = 0;
		return true;
	default:
		if (!is_looked_for(msr)) {
			guest_error("cpu %u: rdmsr of unknown register 0x%x at 0x%" PRIx64,
					cpu->index, msr, cpu->rip);
		}
		return false;
	}
}

/*
 * A memory type each byte: uncacheable, write combining, write through, write protected, write
 * back; UC- in the PAT.
 */
static bool memory_types_valid(uint64_t value, bool is_pat)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned type = (value >> (8 * i)) & 0xff;
		if (type > 7 || type == 2 || type == 3 || (type == 7 && !is_pat)) {
			return false;
		}
	}
	return true;
}

static bool mtrr_range_valid(uint32_t msr, uint64_t value)
{
	uint64_t reserved = ~(BIT(WALK_PHYSICAL_BITS) - 1);

	if (msr & 1) {
		return !(value & (reserved | 0x7ff));
	}
	return !(value & (reserved | 0xf00)) && memory_types_valid(value & 0xff, false);
}

static bool plain_value_valid(uint32_t msr, uint64_t value)
{
	if (msr >= MSR_MTRR_PHYSBASE0 && msr <= MSR_MTRR_PHYSMASK7) {
		return mtrr_range_valid(msr, value);
	}
	if (mtrr_fixed_index(msr) >= 0) {
		return memory_types_valid(value, false);
	}
	switch (msr) {
	case X86_MSR_LSTAR:
	case X86_MSR_CSTAR:
	case X86_MSR_FS_BASE:
	case X86_MSR_GS_BASE:
	case X86_MSR_KERNEL_GS_BASE:
	case X86_MSR_SYSENTER_ESP:
	case X86_MSR_SYSENTER_EIP:
		return linear_is_canonical(value);
	case X86_MSR_SFMASK:
	case X86_MSR_TSC_AUX:
		return value >> 32 == 0;
	case X86_MSR_PAT:
		return memory_types_valid(value, true);
	case X86_MSR_MTRR_DEF_TYPE:
		return !(value & ~UINT64_C(0xcff)) && memory_types_valid(value & 0xff, false);
	case X86_MSR_SPEC_CTRL:
		return !(value & ~(uint64_t)SPEC_CTRL_VALID);
	default:
		return true;
	}
}

static void write_plain(struct cpu *cpu, uint32_t msr, uint64_t *plain, uint64_t value)
{
	if (msr == X86_MSR_MISC_ENABLE) {
		value = (value & ~(uint64_t)MISC_ENABLE_READ_ONLY) |
			(*plain & MISC_ENABLE_READ_ONLY);
	}
	*plain = value;
	if (msr == X86_MSR_FS_BASE) {
		cpu->seg_base[X86_FS] = value;
	} else if (msr == X86_MSR_GS_BASE) {
		cpu->seg_base[X86_GS] = value;
	}
}

static uint64_t efer_valid(const struct cpu *cpu)
{
	return (cpu_has(cpu, CPU_FEATURE_SYSCALL) ? X86_EFER_SCE : 0) |
	       (cpu_has(cpu, CPU_FEATURE_LM) ? X86_EFER_LME | X86_EFER_LMA : 0) |
	       (cpu_has(cpu, CPU_FEATURE_NX) ? X86_EFER_NXE : 0);
}

static bool write_efer(struct cpu *cpu, uint64_t value)
{
	bool toggles_lme = (value ^ cpu->efer) & X86_EFER_LME;

	if ((value & ~efer_valid(cpu)) || (toggles_lme && (cpu->cr0 & X86_CR0_PG))) {
		return false;
	}
	cpu_set_efer(cpu, (value & ~(uint64_t)X86_EFER_LMA) | (cpu->efer & X86_EFER_LMA));
	return true;
}

/* The TSC moves by delta; TSC_ADJUST counts all such moves. */
static void move_tsc(struct cpu *cpu, int64_t delta)
{
	cpu->tsc_offset = (int64_t)((uint64_t)cpu->tsc_offset + (uint64_t)delta);
	__atomic_store_n(&cpu->tsc_adjust, (int64_t)((uint64_t)cpu->tsc_adjust + (uint64_t)delta),
			__ATOMIC_RELAXED);
	if (cpu->apic) {
		apic_tsc_changed(cpu->apic);
	}
	pv_tsc_changed(cpu);
}

bool msr_write(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t *plain = plain_register(cpu, msr);

	assert(cpu);
	if (!has_register(cpu, msr)) {
		return false;
	}
	if (plain) {
		if (!plain_value_valid(msr, value)) {
			return false;
		}
		write_plain(cpu, msr, plain, value);
		return true;
	}
	if (msr == X86_MSR_APIC_BASE && (value & APIC_BASE_EXTENDED) &&
			!cpu_has(cpu, CPU_FEATURE_X2APIC)) {
		return false;
	}
	if (is_apic_register(msr)) {
		return cpu->apic && apic_msr_write(cpu->apic, msr, value);
	}
	if (pv_is_msr(msr)) {
		return pv_msr_write(cpu, msr, value);
	}
	switch (msr) {
	case X86_MSR_EFER:
		return write_efer(cpu, value);
	case X86_MSR_TSC:
		move_tsc(cpu, (int64_t)(value - cpu_tsc(cpu)));
		return true;
	case X86_MSR_TSC_ADJUST:
		move_tsc(cpu, (int64_t)(value - (uint64_t)cpu->tsc_adjust));
		return true;
	case X86_MSR_PRED_CMD:
		return !(value & ~UINT64_C(1));
	case X86_MSR_BIOS_SIGN_ID:
		return true; /* written before it is read; the revision stays */
	case MSR_MISC_FEATURES_ENABLES:
		return value == 0;
	default:
		if (!is_looked_for(msr)) {
			guest_error("cpu %u: wrmsr of unknown register 0x%x at 0x%" PRIx64,
					cpu->index, msr, cpu->rip);
		}
		return false;
	}
}
