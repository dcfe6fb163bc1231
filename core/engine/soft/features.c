/* SPDX-License-Identifier: MIT */
/* What is offered. Which instruction belongs to what is in insn_features.c. */
#include "core/engine/soft/features.h"

#include <cpuid.h>
#include <string.h>

/*
 * Programs compiled for several processors (target_clones and the like) tell by family and model alone what they may use. So the
 * model is the last of Intel's servers with AVX2 and without AVX-512, or the last one without AVX. Neither is on Linux's lists of
 * those whose flaws no bit of ARCH_CAPABILITIES declares absent, or which have registers that it looks for by model.
 */
#define OWN_FAMILY 6
#define BROADWELL_MODEL 0x4f
#define BROADWELL_STEPPING 1
#define WESTMERE_MODEL 0x2c
#define WESTMERE_STEPPING 2
#define OWN_NAME "Oriel software CPU"

#define F1_ECX_OSXSAVE BIT(27)

/* Done by the engine, or by what every x86-64 host has. */
static const enum cpu_feature emulated[] = {
		CPU_FEATURE_CX16,
		CPU_FEATURE_PCID,
		CPU_FEATURE_X2APIC,
		CPU_FEATURE_MOVBE,
		CPU_FEATURE_TSC_DEADLINE,
		CPU_FEATURE_HYPERVISOR,
		CPU_FEATURE_FPU,
		CPU_FEATURE_VME,
		CPU_FEATURE_DE,
		CPU_FEATURE_PSE,
		CPU_FEATURE_TSC,
		CPU_FEATURE_MSR,
		CPU_FEATURE_PAE,
		CPU_FEATURE_MCE,
		CPU_FEATURE_CX8,
		CPU_FEATURE_APIC,
		CPU_FEATURE_SEP,
		CPU_FEATURE_MTRR,
		CPU_FEATURE_PGE,
		CPU_FEATURE_MCA,
		CPU_FEATURE_CMOV,
		CPU_FEATURE_PAT,
		CPU_FEATURE_PSE36,
		CPU_FEATURE_CLFLUSH,
		CPU_FEATURE_MMX,
		CPU_FEATURE_FXSR,
		CPU_FEATURE_SSE,
		CPU_FEATURE_SSE2,
		CPU_FEATURE_SELF_SNOOP,
		CPU_FEATURE_ARAT,
		CPU_FEATURE_FSGSBASE,
		CPU_FEATURE_TSC_ADJUST,
		CPU_FEATURE_SMEP,
		CPU_FEATURE_ERMS,
		CPU_FEATURE_INVPCID,
		CPU_FEATURE_ZERO_FCS_FDS,
		CPU_FEATURE_SMAP,
		CPU_FEATURE_PCOMMIT,
		CPU_FEATURE_CLFLUSHOPT,
		CPU_FEATURE_CLWB,
		CPU_FEATURE_UMIP,
		CPU_FEATURE_RDPID,
		CPU_FEATURE_FSRM,
		CPU_FEATURE_SPEC_CTRL,
		CPU_FEATURE_ARCH_CAPABILITIES,
		/* without it guests clear branch histories in software, at each system call */
		CPU_FEATURE_BHI_CTRL,
		CPU_FEATURE_XSAVE,
		CPU_FEATURE_XSAVEOPT,
		CPU_FEATURE_XSAVEC,
		CPU_FEATURE_XGETBV1,
		CPU_FEATURE_LAHF,
		CPU_FEATURE_PREFETCHW,
		CPU_FEATURE_SYSCALL,
		CPU_FEATURE_NX,
		CPU_FEATURE_PDPE1GB,
		CPU_FEATURE_RDTSCP,
		CPU_FEATURE_LM,
		CPU_FEATURE_INVTSC,
		CPU_FEATURE_KVM_CLOCK,
		CPU_FEATURE_KVM_NOPIODELAY,
		CPU_FEATURE_KVM_CLOCK2,
		CPU_FEATURE_KVM_STEAL_TIME,
		CPU_FEATURE_KVM_PV_EOI,
		CPU_FEATURE_KVM_PV_UNHALT,
		CPU_FEATURE_KVM_PV_TLB_FLUSH,
		CPU_FEATURE_KVM_PV_IPI,
		CPU_FEATURE_KVM_CLOCK_STABLE,
};

/* Run by the host's processor, where it has them. */
static const enum cpu_feature native[] = {
		CPU_FEATURE_SSE3,
		CPU_FEATURE_PCLMULQDQ,
		CPU_FEATURE_SSSE3,
		CPU_FEATURE_SSE41,
		CPU_FEATURE_SSE42,
		CPU_FEATURE_POPCNT,
		CPU_FEATURE_AES,
		CPU_FEATURE_RDRAND,
		CPU_FEATURE_BMI1,
		CPU_FEATURE_BMI2,
		CPU_FEATURE_RDSEED,
		CPU_FEATURE_ADX,
		CPU_FEATURE_SHA,
		CPU_FEATURE_LZCNT,
		CPU_FEATURE_AVX,
		CPU_FEATURE_AVX2,
		CPU_FEATURE_FMA,
		CPU_FEATURE_F16C,
};

/* Only for who asks: it was withdrawn by its makers and is of no use to a guest. */
static const enum cpu_feature on_request[] = {
		CPU_FEATURE_PCOMMIT,
};

/* Where there is no AVX, these would save nothing that FXSAVE does not: for who asks, too. */
static const enum cpu_feature with_avx[] = {
		CPU_FEATURE_XSAVE,
		CPU_FEATURE_XSAVEOPT,
		CPU_FEATURE_XSAVEC,
		CPU_FEATURE_XGETBV1,
};

/* Of a host's processor that does not save upper halves of vectors, or whose system does not. */
static const enum cpu_feature upper_halves[] = {
		CPU_FEATURE_AVX,
		CPU_FEATURE_AVX2,
		CPU_FEATURE_FMA,
		CPU_FEATURE_F16C,
};

/* What programs take for granted on a Broadwell server, beside what is always there. */
static const enum cpu_feature of_broadwell[] = {
		CPU_FEATURE_SSE42,
		CPU_FEATURE_POPCNT,
		CPU_FEATURE_AES,
		CPU_FEATURE_PCLMULQDQ,
		CPU_FEATURE_RDRAND,
		CPU_FEATURE_BMI1,
		CPU_FEATURE_BMI2,
		CPU_FEATURE_LZCNT,
		CPU_FEATURE_AVX,
		CPU_FEATURE_AVX2,
		CPU_FEATURE_FMA,
		CPU_FEATURE_F16C,
};

/* Of -cpu host whatever the host says: they are of the engine and its machine, not of the host's processor. */
static const enum cpu_feature of_machine[] = {
		CPU_FEATURE_HYPERVISOR,
		CPU_FEATURE_X2APIC,
		CPU_FEATURE_TSC_DEADLINE,
		CPU_FEATURE_TSC_ADJUST,
		CPU_FEATURE_ARAT,
		CPU_FEATURE_INVTSC,
		CPU_FEATURE_SPEC_CTRL,
		CPU_FEATURE_ARCH_CAPABILITIES,
		CPU_FEATURE_BHI_CTRL,
		CPU_FEATURE_ZERO_FCS_FDS,
		CPU_FEATURE_SELF_SNOOP,
};

static bool host_saves_upper_halves(void)
{
	unsigned eax, ebx, ecx = 0, edx;
	uint32_t states;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & F1_ECX_OSXSAVE)) {
		return false;
	}
	__asm__("xgetbv" : "=a"(states), "=d"(edx) : "c"(0));
	return (states & X86_XCR0_SSE) && (states & X86_XCR0_AVX);
}

/* CPUID is slow on hosts that are guests themselves. */
static void read_host(struct cpu_features *ret_host)
{
	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		const struct cpu_word_place *place = &cpu_word_places[i];
		unsigned regs[4] = {0};
		if (i != CPU_WORD_KVM) {
			(void)__get_cpuid_count(place->leaf, place->subleaf, &regs[0], &regs[1],
					&regs[2], &regs[3]);
		}
		ret_host->words[i] = regs[place->reg];
	}
	for (size_t i = 0; i < G_N_ELEMENTS(upper_halves) && !host_saves_upper_halves(); i++) {
		cpu_features_set(ret_host, upper_halves[i], false);
	}
}

static void find_identity(struct cpu_offer *offer)
{
	bool broadwell = true;

	for (size_t i = 0; i < G_N_ELEMENTS(of_broadwell); i++) {
		broadwell = broadwell && cpu_features_has(&offer->standard, of_broadwell[i]);
	}
	offer->identity = broadwell ? (struct cpu_identity){OWN_FAMILY, BROADWELL_MODEL,
						      BROADWELL_STEPPING, OWN_NAME}
				    : (struct cpu_identity){OWN_FAMILY, WESTMERE_MODEL,
						      WESTMERE_STEPPING, OWN_NAME};
}

void features_make_offer(const struct cpu_features *host, struct cpu_offer *offer)
{
	*offer = (struct cpu_offer){.engine = "the software CPU"};
	for (size_t i = 0; i < G_N_ELEMENTS(emulated); i++) {
		cpu_features_set(&offer->known, emulated[i], true);
	}
	offer->possible = offer->known;
	for (size_t i = 0; i < G_N_ELEMENTS(native); i++) {
		cpu_features_set(&offer->known, native[i], true);
		cpu_features_set(&offer->possible, native[i], cpu_features_has(host, native[i]));
	}
	offer->standard = offer->possible;
	for (size_t i = 0; i < G_N_ELEMENTS(on_request); i++) {
		cpu_features_set(&offer->standard, on_request[i], false);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(with_avx); i++) {
		cpu_features_set(&offer->standard, with_avx[i],
				cpu_features_has(&offer->standard, CPU_FEATURE_AVX));
	}
	find_identity(offer);
	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		uint32_t mask = i == CPU_WORD_KVM ? UINT32_MAX : host->words[i];
		offer->host.words[i] = offer->standard.words[i] & mask;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(of_machine); i++) {
		cpu_features_set(&offer->host, of_machine[i],
				cpu_features_has(&offer->standard, of_machine[i]));
	}
}

const struct cpu_offer *features_offer(void)
{
	static struct cpu_offer offer;
	static gsize ready;

	if (g_once_init_enter(&ready)) {
		struct cpu_features host;
		read_host(&host);
		features_make_offer(&host, &offer);
		g_once_init_leave(&ready, 1);
	}
	return &offer;
}
