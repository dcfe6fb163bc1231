/* SPDX-License-Identifier: MIT */
/* Control and debug registers, MSRs, time, identification, HLT. SDM vol. 2. */
#include "core/engine/soft/apic.h"
#include "core/engine/soft/cpuid.h"
#include "core/engine/soft/debug.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/msr.h"

#define CR0_LMSW (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS)
#define DR6_WRITABLE UINT64_C(0xe00f)

static unsigned register_size(const struct cpu *cpu)
{
	return cpu->mode == INSN_MODE_64 ? 8 : 4;
}

void exec_mov_from_cr(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	require_cpl0(cpu);
	switch (insn->reg) {
	case 0:
		value = cpu->cr0;
		break;
	case 2:
		value = cpu->cr2;
		break;
	case 3:
		value = cpu->cr3;
		break;
	case 4:
		value = cpu->cr4;
		break;
	case 8:
		value = cpu->apic ? apic_get_tpr(cpu->apic) >> 4 : 0;
		break;
	default:
		cpu_raise_ud(cpu);
	}
	reg_set(cpu, insn->rm, value, register_size(cpu));
}

static void write_cr0(struct cpu *cpu, uint64_t value)
{
	if (!cpu_cr0_valid(cpu, value)) {
		cpu_raise_gp(cpu);
	}
	cpu_set_cr0(cpu, value);
}

void exec_mov_to_cr(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = reg_get(cpu, insn->rm, register_size(cpu));

	require_cpl0(cpu);
	switch (insn->reg) {
	case 0:
		write_cr0(cpu, value);
		break;
	case 2:
		cpu->cr2 = value;
		break;
	case 3:
		if (!cpu_cr3_valid(cpu, value)) {
			cpu_raise_gp(cpu);
		}
		cpu_set_cr3(cpu, value);
		break;
	case 4:
		if (!cpu_cr4_valid(cpu, value)) {
			cpu_raise_gp(cpu);
		}
		cpu_set_cr4(cpu, value);
		break;
	case 8:
		if (value > 15) {
			cpu_raise_gp(cpu);
		}
		if (cpu->apic) {
			apic_set_tpr(cpu->apic, (uint8_t)(value << 4));
		}
		break;
	default:
		cpu_raise_ud(cpu);
	}
}

/* Which debug register an instruction means, after the checks common to both directions. */
static unsigned debug_register(struct cpu *cpu, const struct insn *insn)
{
	unsigned reg = insn->reg;

	if (reg == 4 || reg == 5) {
		if (cpu->cr4 & X86_CR4_DE) {
			cpu_raise_ud(cpu);
		}
		reg += 2;
	}
	require_cpl0(cpu);
	if (cpu->dr[7] & DEBUG_DR7_GD) {
		cpu->dr[7] &= ~(uint64_t)DEBUG_DR7_GD;
		cpu->dr[6] = (cpu->dr[6] & ~DEBUG_DR6_HITS) | DEBUG_DR6_BD;
		cpu_raise(cpu, X86_VECTOR_DB);
	}
	return reg;
}

void exec_mov_from_dr(struct cpu *cpu, const struct insn *insn)
{
	unsigned reg = debug_register(cpu, insn);

	reg_set(cpu, insn->rm, cpu->dr[reg], register_size(cpu));
}

void exec_mov_to_dr(struct cpu *cpu, const struct insn *insn)
{
	unsigned reg = debug_register(cpu, insn);
	uint64_t value = reg_get(cpu, insn->rm, register_size(cpu));

	if (reg >= 6 && value >> 32) {
		cpu_raise_gp(cpu);
	}
	if (reg == 7) {
		debug_set_dr7(cpu, value);
	} else if (reg == 6) {
		cpu->dr[6] = (value & DR6_WRITABLE) | DEBUG_DR6_FIXED;
	} else {
		cpu->dr[reg] = value;
		debug_set_dr7(cpu, cpu->dr[7]);
	}
}

void exec_clts(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	require_cpl0(cpu);
	cpu->cr0 &= ~(uint64_t)X86_CR0_TS;
}

void exec_lmsw(struct cpu *cpu, const struct insn *insn)
{
	require_cpl0(cpu);
	uint64_t value = operand_read16(cpu, insn) & CR0_LMSW;
	uint64_t kept = cpu->cr0 & (~(uint64_t)CR0_LMSW | X86_CR0_PE);

	write_cr0(cpu, kept | value);
}

void exec_smsw(struct cpu *cpu, const struct insn *insn)
{
	require_umip(cpu);
	operand_write16(cpu, insn, cpu->cr0);
}

void exec_rdmsr(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	(void)insn;
	require_cpl0(cpu);
	if (!msr_read(cpu, (uint32_t)cpu->regs[X86_RCX], &value)) {
		cpu_raise_gp(cpu);
	}
	cpu->regs[X86_RAX] = (uint32_t)value;
	cpu->regs[X86_RDX] = value >> 32;
}

void exec_wrmsr(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = (uint32_t)cpu->regs[X86_RAX] | cpu->regs[X86_RDX] << 32;

	(void)insn;
	require_cpl0(cpu);
	if (!msr_write(cpu, (uint32_t)cpu->regs[X86_RCX], value)) {
		cpu_raise_gp(cpu);
	}
}

void exec_invlpg(struct cpu *cpu, const struct insn *insn)
{
	require_cpl0(cpu);
	uint64_t linear = cpu->seg_base[insn->segment] + operand_offset(cpu, insn);

	if (cpu->mode != INSN_MODE_64) {
		linear = (uint32_t)linear;
	}
	mmu_flush_page(cpu, linear);
}

/* What of the TLB INVPCID takes away. */
enum invpcid {
	INVPCID_PAGE, /* of a PCID; neither this nor the next touches global pages */
	INVPCID_CONTEXT, /* all of a PCID */
	INVPCID_ALL,
	INVPCID_ALL_LOCAL, /* all but global pages */
};

void exec_invpcid(struct cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl != 0) {
		cpu_raise_gp(cpu);
	}
	uint64_t type = reg_get(cpu, insn->reg, register_size(cpu));
	uint64_t descriptor = operand_linear(cpu, insn, 16, MMU_READ);
	uint64_t pcid = mmu_load64(cpu, descriptor);
	uint64_t linear = mmu_load64(cpu, descriptor + 8);

	if (type > INVPCID_ALL_LOCAL || (pcid & ~X86_CR3_PCID) ||
			(type <= INVPCID_CONTEXT && pcid != 0 && !(cpu->cr4 & X86_CR4_PCIDE)) ||
			(type == INVPCID_PAGE && !linear_is_canonical(linear))) {
		cpu_raise_gp(cpu);
	}
	switch ((enum invpcid)type) {
	case INVPCID_PAGE:
		mmu_flush_pcid_page(cpu, (uint16_t)pcid, linear);
		break;
	case INVPCID_CONTEXT:
		mmu_flush_pcid(cpu, (uint16_t)pcid);
		break;
	case INVPCID_ALL:
		mmu_flush_all(cpu);
		break;
	case INVPCID_ALL_LOCAL:
		mmu_flush_all_non_global(cpu);
		break;
	}
}

/* INVD, WBINVD: memory is always up to date here. */
void exec_invd(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	require_cpl0(cpu);
}

void exec_hlt(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	require_cpl0(cpu);
	if (!pv_take_kick(cpu)) {
		stats_count(&cpu->stats, STAT_HALTS);
		cpu->activity = CPU_HALTED;
	}
}

/* VMCALL and VMMCALL: guests try one of them, whatever CPUID says of the vendor. */
void exec_hypercall(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	if (!pv_offered(cpu)) {
		cpu_raise_ud(cpu);
	}
	pv_hypercall(cpu);
}

static void read_tsc(struct cpu *cpu)
{
	if ((cpu->cr4 & X86_CR4_TSD) && cpu->cpl != 0) {
		cpu_raise_gp(cpu);
	}
	uint64_t tsc = cpu_tsc(cpu);
	cpu->regs[X86_RAX] = (uint32_t)tsc;
	cpu->regs[X86_RDX] = tsc >> 32;
}

void exec_rdtsc(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	read_tsc(cpu);
}

void exec_rdtscp(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	read_tsc(cpu);
	cpu->regs[X86_RCX] = (uint32_t)cpu->msr.tsc_aux;
}

void exec_rdpid(struct cpu *cpu, const struct insn *insn)
{
	reg_set(cpu, insn->rm, (uint32_t)cpu->msr.tsc_aux, register_size(cpu));
}

/* There are no performance counters. */
void exec_rdpmc(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu_raise_gp(cpu);
}

void exec_xgetbv(struct cpu *cpu, const struct insn *insn)
{
	uint32_t index = (uint32_t)cpu->regs[X86_RCX];
	uint64_t value = cpu->xcr0;

	(void)insn;
	if (!(cpu->cr4 & X86_CR4_OSXSAVE)) {
		cpu_raise_ud(cpu);
	}
	if (index == 1 && cpu_has(cpu, CPU_FEATURE_XGETBV1)) {
		value &= fpu_states_in_use(cpu);
	} else if (index != 0) {
		cpu_raise_gp(cpu);
	}
	cpu->regs[X86_RAX] = (uint32_t)value;
	cpu->regs[X86_RDX] = value >> 32;
}

/* AVX's state without that of SSE, or none of x87, does not exist. */
void exec_xsetbv(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = (uint32_t)cpu->regs[X86_RAX] | cpu->regs[X86_RDX] << 32;

	(void)insn;
	if (!(cpu->cr4 & X86_CR4_OSXSAVE)) {
		cpu_raise_ud(cpu);
	}
	require_cpl0(cpu);
	if ((uint32_t)cpu->regs[X86_RCX] != 0 || (value & ~fpu_states(cpu)) ||
			!(value & X86_XCR0_X87) ||
			((value & X86_XCR0_AVX) && !(value & X86_XCR0_SSE))) {
		cpu_raise_gp(cpu);
	}
	cpu->xcr0 = value;
}

void exec_cpuid(struct cpu *cpu, const struct insn *insn)
{
	struct cpuid_result result = cpuid_query(
			cpu, (uint32_t)cpu->regs[X86_RAX], (uint32_t)cpu->regs[X86_RCX]);

	(void)insn;
	cpu->regs[X86_RAX] = result.eax;
	cpu->regs[X86_RBX] = result.ebx;
	cpu->regs[X86_RCX] = result.ecx;
	cpu->regs[X86_RDX] = result.edx;
}
