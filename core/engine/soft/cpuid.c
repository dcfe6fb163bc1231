/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/cpuid.h"

#include "core/engine/soft/apic.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/walk.h"

#include <cpuid.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#define LEAF_BASIC_LAST 0x16u
#define LEAF_HYPERVISOR 0x40000000u
#define LEAF_HYPERVISOR_TIMING 0x40000010u
#define LEAF_EXTENDED 0x80000000u
#define LEAF_EXTENDED_LAST 0x80000008u

#define LINEAR_BITS 48

/* Bits that follow the processor's state. */
#define F1_ECX_OSXSAVE BIT(27)
#define F1_EDX_APIC BIT(9)
#define F1_EDX_HTT BIT(28) /* more than one logical processor in the package */
#define FX1_EDX_SYSCALL BIT(11)

/* From CPUID, where the processor or the host's hypervisor says it. */
static uint64_t tsc_hz_from_cpuid(void)
{
	unsigned eax, ebx, ecx, edx;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & BIT(31))) {
		__cpuid(LEAF_HYPERVISOR, eax, ebx, ecx, edx);
		if (eax >= LEAF_HYPERVISOR_TIMING && eax < LEAF_HYPERVISOR + 0x1000) {
			__cpuid(LEAF_HYPERVISOR_TIMING, eax, ebx, ecx, edx);
			if (eax > 0) {
				return (uint64_t)eax * 1000;
			}
		}
		return 0;
	}
	if (__get_cpuid_count(0x15, 0, &eax, &ebx, &ecx, &edx) && eax && ebx && ecx) {
		return (uint64_t)ecx * ebx / eax;
	}
	return 0;
}

static int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Counter and clock read close together: of several tries the one that took least. */
static void sample(uint64_t *ret_tsc, int64_t *ret_ns)
{
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc();
		int64_t ns = monotonic_ns();
		uint64_t after = __rdtsc();
		if (after - before < shortest) {
			shortest = after - before;
			*ret_tsc = before + shortest / 2;
			*ret_ns = ns;
		}
	}
}

static uint64_t measure_tsc_hz(void)
{
	const int64_t duration_ns = 10000000;
	uint64_t first_tsc = 0, last_tsc = 0;
	int64_t first_ns = 0, last_ns = 0;

	sample(&first_tsc, &first_ns);
	do {
		sample(&last_tsc, &last_ns);
	} while (last_ns - first_ns < duration_ns);
	return (uint64_t)((unsigned __int128)(last_tsc - first_tsc) * 1000000000u /
			  (uint64_t)(last_ns - first_ns));
}

uint64_t cpuid_host_tsc_hz(void)
{
	static uint64_t hz;
	static gsize ready;

	if (g_once_init_enter(&ready)) {
		hz = tsc_hz_from_cpuid();
		if (hz == 0) {
			hz = measure_tsc_hz();
		}
		g_once_init_leave(&ready, 1);
	}
	return hz;
}

/* Three registers of four characters each. */
static struct cpuid_result text(uint32_t eax, const char characters[12], bool vendor_order)
{
	uint32_t words[3];

	memcpy(words, characters, sizeof(words));
	return (struct cpuid_result){
			.eax = eax,
			.ebx = words[0],
			.ecx = vendor_order ? words[2] : words[1],
			.edx = vendor_order ? words[1] : words[2],
	};
}

static struct cpuid_result leaf_features(const struct cpu *cpu)
{
	struct cpuid_result result = {
			.eax = cpu_identity_signature(&cpu->identity),
			.ebx = (cpu->index & 0xff) << 24 | (cpu->count & 0xff) << 16 |
			       8 << 8 /* CLFLUSH: 64 bytes */,
			.ecx = cpu->features.words[CPU_WORD_1_ECX],
			.edx = cpu->features.words[CPU_WORD_1_EDX],
	};

	if (cpu->cr4 & X86_CR4_OSXSAVE) {
		result.ecx |= (uint32_t)F1_ECX_OSXSAVE;
	}
	if (cpu->count > 1) {
		result.edx |= (uint32_t)F1_EDX_HTT;
	}
	if (cpu->apic && !apic_enabled(cpu->apic)) {
		result.edx &= ~(uint32_t)F1_EDX_APIC;
	}
	return result;
}

static struct cpuid_result leaf_structured(const struct cpu *cpu, uint32_t subleaf)
{
	const uint32_t *words = cpu->features.words;

	switch (subleaf) {
	case 0:
		return (struct cpuid_result){
				.eax = 2, /* last subleaf */
				.ebx = words[CPU_WORD_7_EBX],
				.ecx = words[CPU_WORD_7_ECX],
				.edx = words[CPU_WORD_7_EDX],
		};
	case 1:
		return (struct cpuid_result){
				.eax = words[CPU_WORD_7_1_EAX], .edx = words[CPU_WORD_7_1_EDX]};
	case 2:
		return (struct cpuid_result){.edx = words[CPU_WORD_7_2_EDX]};
	default:
		return (struct cpuid_result){0};
	}
}

/* Deterministic cache parameters: type, level, ways, sets. Line size is 64 bytes. */
static struct cpuid_result leaf_cache(const struct cpu *cpu, uint32_t subleaf)
{
	static const struct {
		uint32_t type, level, ways, sets;
	} caches[] = {
			{1, 1, 8, 64}, /* data, 32 KiB */
			{2, 1, 8, 64}, /* instructions, 32 KiB */
			{3, 2, 16, 1024}, /* unified, 1 MiB */
			{3, 3, 16, 16384}, /* unified, 16 MiB */
	};

	if (subleaf >= G_N_ELEMENTS(caches)) {
		return (struct cpuid_result){0};
	}
	return (struct cpuid_result){
			.eax = caches[subleaf].type | caches[subleaf].level << 5 | 1 << 8 |
			       (caches[subleaf].level == 3 ? cpu->count - 1 : 0) << 14 |
			       (cpu->count - 1) << 26,
			.ebx = (caches[subleaf].ways - 1) << 22 | 63,
			.ecx = caches[subleaf].sets - 1,
	};
}

/* What XSAVE saves, and where. SDM vol. 1, 13.2. */
static struct cpuid_result leaf_xsave(const struct cpu *cpu, uint32_t subleaf)
{
	uint64_t states = fpu_states(cpu);
	bool compacts = cpu_has(cpu, CPU_FEATURE_XSAVEC);

	if (!cpu_has(cpu, CPU_FEATURE_XSAVE)) {
		return (struct cpuid_result){0};
	}
	switch (subleaf) {
	case 0:
		return (struct cpuid_result){
				.eax = (uint32_t)states,
				.ebx = fpu_image_size(cpu->xcr0),
				.ecx = fpu_image_size(states),
		};
	case 1:
		return (struct cpuid_result){
				.eax = cpu->features.words[CPU_WORD_D_1_EAX],
				.ebx = compacts ? fpu_image_size(cpu->xcr0) : 0,
		};
	case 2:
		return states & X86_XCR0_AVX ? (struct cpuid_result){.eax = FPU_AVX_SIZE,
							       .ebx = FPU_AVX_OFFSET}
					     : (struct cpuid_result){0};
	default:
		return (struct cpuid_result){0};
	}
}

/* Extended topology: one package, in which every vCPU is a core of its own. */
static struct cpuid_result leaf_topology(const struct cpu *cpu, uint32_t subleaf)
{
	struct cpuid_result result = {.ecx = subleaf & 0xff, .edx = cpu->index};

	if (subleaf == 0) {
		result.ebx = 1;
		result.ecx |= 1 << 8; /* SMT level */
	} else if (subleaf == 1) {
		result.eax = 8; /* bits of the APIC id below the package */
		result.ebx = cpu->count;
		result.ecx |= 2 << 8; /* core level */
	}
	return result;
}

/*
 * The crystal runs at the TSC's rate: so the TSC's frequency is exact for guests that multiply, and
 * the APIC timer, which counts crystal ticks, has the same rate.
 */
static struct cpuid_result leaf_tsc(const struct cpu *cpu)
{
	if (cpu->tsc_hz > UINT32_MAX) {
		return (struct cpuid_result){
				.eax = 2, .ebx = 4, .ecx = (uint32_t)(cpu->tsc_hz / 2)};
	}
	return (struct cpuid_result){.eax = 1, .ebx = 1, .ecx = (uint32_t)cpu->tsc_hz};
}

static struct cpuid_result leaf_brand(const struct cpu *cpu, uint32_t part)
{
	_Static_assert(sizeof(cpu->identity.model_id) == 3 * sizeof(struct cpuid_result),
			"brand string");
	struct cpuid_result result;

	memcpy(&result, cpu->identity.model_id + 16 * part, sizeof(result));
	return result;
}

static struct cpuid_result query_basic(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 0:
		return text(LEAF_BASIC_LAST, "GenuineIntel", true);
	case 1:
		return leaf_features(cpu);
	case 2:
		return (struct cpuid_result){.eax = 0x00feff01}; /* see leaf 4 */
	case 4:
		return leaf_cache(cpu, subleaf);
	case 6:
		return (struct cpuid_result){.eax = cpu->features.words[CPU_WORD_6_EAX]};
	case 7:
		return leaf_structured(cpu, subleaf);
	case 0xb:
		return leaf_topology(cpu, subleaf);
	case 0xd:
		return leaf_xsave(cpu, subleaf);
	case 0x15:
		return leaf_tsc(cpu);
	case 0x16:
		return (struct cpuid_result){.eax = (uint32_t)(cpu->tsc_hz / 1000000)};
	default:
		return (struct cpuid_result){0};
	}
}

static struct cpuid_result query_hypervisor(const struct cpu *cpu, uint32_t leaf)
{
	switch (leaf) {
	case LEAF_HYPERVISOR:
		return text(LEAF_HYPERVISOR_TIMING,
				pv_offered(cpu) ? "KVMKVMKVM\0\0" : "OrielOriel\0", false);
	case LEAF_HYPERVISOR + 1:
		return (struct cpuid_result){.eax = cpu->features.words[CPU_WORD_KVM]};
	case LEAF_HYPERVISOR_TIMING:
		return (struct cpuid_result){.eax = (uint32_t)(cpu->tsc_hz / 1000),
				.ebx = (uint32_t)(cpu->tsc_hz / 1000)};
	default:
		return (struct cpuid_result){0};
	}
}

static struct cpuid_result query_extended(const struct cpu *cpu, uint32_t leaf)
{
	struct cpuid_result result = {0};

	switch (leaf) {
	case LEAF_EXTENDED:
		result.eax = LEAF_EXTENDED_LAST;
		break;
	case LEAF_EXTENDED + 1:
		result.ecx = cpu->features.words[CPU_WORD_EXTENDED_1_ECX];
		result.edx = cpu->features.words[CPU_WORD_EXTENDED_1_EDX];
		if (cpu->mode != INSN_MODE_64) {
			result.edx &= ~(uint32_t)FX1_EDX_SYSCALL; /* it exists in 64-bit mode only */
		}
		break;
	case LEAF_EXTENDED + 2:
	case LEAF_EXTENDED + 3:
	case LEAF_EXTENDED + 4:
		result = leaf_brand(cpu, leaf - LEAF_EXTENDED - 2);
		break;
	case LEAF_EXTENDED + 6:
		result.ecx = 1024 << 16 | 8 << 12 | 64; /* L2: 1 MiB, 16 ways, 64-byte lines */
		break;
	case LEAF_EXTENDED + 7:
		result.edx = cpu->features.words[CPU_WORD_EXTENDED_7_EDX];
		break;
	case LEAF_EXTENDED + 8:
		result.eax = LINEAR_BITS << 8 | WALK_PHYSICAL_BITS;
		result.ebx = cpu->features.words[CPU_WORD_EXTENDED_8_EBX];
		break;
	default:
		break;
	}
	return result;
}

struct cpuid_result cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
	if (leaf >= LEAF_HYPERVISOR && leaf <= LEAF_HYPERVISOR_TIMING) {
		return query_hypervisor(cpu, leaf);
	}
	if (leaf >= LEAF_EXTENDED && leaf <= LEAF_EXTENDED_LAST) {
		return query_extended(cpu, leaf);
	}
	if (leaf > LEAF_BASIC_LAST) {
		leaf = LEAF_BASIC_LAST; /* out of range: the last basic leaf answers */
	}
	return query_basic(cpu, leaf, subleaf);
}
