/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/cpuid.h"

#include "core/engine/soft/apic.h"
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

/* Family 6, model 8FH (a server part with enhanced IBRS), stepping 8. */
#define SIGNATURE 0x000806f8u

/* CPUID.1 */
#define F1_ECX_ALWAYS \
	(BIT(13) /* CX16 */ | BIT(21) /* x2APIC */ | BIT(22) /* MOVBE */ | \
			BIT(24) /* deadline */ | BIT(31) /* hypervisor */)
#define F1_ECX_NATIVE \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(19) /* SSE4.1 */ | \
			BIT(20) /* SSE4.2 */ | BIT(23) /* POPCNT */ | BIT(25) /* AES */ | \
			BIT(30) /* RDRAND */)
#define F1_EDX \
	(BIT(0) /* FPU */ | BIT(1) /* VME */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | \
			BIT(4) /* TSC */ | BIT(5) /* MSR */ | BIT(6) /* PAE */ | \
			BIT(7) /* MCE */ | BIT(8) /* CX8 */ | BIT(9) /* APIC */ | \
			BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ | \
			BIT(14) /* MCA */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ | \
			BIT(17) /* PSE36 */ | BIT(19) /* CLFLUSH */ | BIT(23) /* MMX */ | \
			BIT(24) /* FXSR */ | BIT(25) /* SSE */ | BIT(26) /* SSE2 */ | \
			BIT(27) /* self snoop */)
#define F1_EDX_APIC BIT(9)
#define F1_EDX_HTT BIT(28) /* more than one logical processor in the package */

/* CPUID.7.0 */
#define F7_EBX_ALWAYS \
	(BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(7) /* SMEP */ | BIT(9) /* ERMS */ | \
			BIT(13) /* no FPU CS and DS */ | BIT(20) /* SMAP */ | \
			BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */)
#define F7_EBX_NATIVE \
	(BIT(3) /* BMI1 */ | BIT(8) /* BMI2 */ | BIT(18) /* RDSEED */ | BIT(19) /* ADX */ | \
			BIT(29) /* SHA */)
#define F7_ECX (BIT(2) /* UMIP */ | BIT(22) /* RDPID */)
#define F7_EDX \
	(BIT(4) /* FSRM */ | BIT(26) /* SPEC_CTRL, PRED_CMD */ | BIT(29) /* ARCH_CAPABILITIES */)

/* CPUID.7.2: without it guests clear branch histories in software, at each system call. */
#define F7_2_EDX BIT(4) /* BHI_CTRL */

/* CPUID.80000001H */
#define FX1_ECX_ALWAYS (BIT(0) /* LAHF */ | BIT(8) /* PREFETCHW */)
#define FX1_ECX_NATIVE BIT(5) /* LZCNT */
#define FX1_EDX \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | \
			BIT(27) /* RDTSCP */ | BIT(29) /* long mode */)

/* The host's answers that matter, asked once: CPUID is slow on hosts that are guests themselves. */
struct host_features {
	uint32_t f1_ecx, f7_ebx, fx1_ecx;
};

static const struct host_features *host_features(void)
{
	static struct host_features host;
	static gsize ready;

	if (g_once_init_enter(&ready)) {
		unsigned eax, ebx, ecx, edx;
		if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
			host.f1_ecx = ecx;
		}
		if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
			host.f7_ebx = ebx;
		}
		if (__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx)) {
			host.fx1_ecx = ecx;
		}
		g_once_init_leave(&ready, 1);
	}
	return &host;
}

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

uint32_t cpuid_signature(void)
{
	return SIGNATURE;
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
	const struct host_features *host = host_features();
	struct cpuid_result result = {
			.eax = SIGNATURE,
			.ebx = (cpu->index & 0xff) << 24 | (cpu->count & 0xff) << 16 |
			       8 << 8 /* CLFLUSH: 64 bytes */,
			.ecx = (uint32_t)(F1_ECX_ALWAYS | (F1_ECX_NATIVE & host->f1_ecx)),
			.edx = (uint32_t)F1_EDX,
	};

	if (cpu->count > 1) {
		result.edx |= (uint32_t)F1_EDX_HTT;
	}
	if (cpu->apic && !apic_enabled(cpu->apic)) {
		result.edx &= ~(uint32_t)F1_EDX_APIC;
	}
	return result;
}

static struct cpuid_result leaf_structured(uint32_t subleaf)
{
	if (subleaf == 2) {
		return (struct cpuid_result){.edx = (uint32_t)F7_2_EDX};
	}
	if (subleaf != 0) {
		return (struct cpuid_result){0};
	}
	return (struct cpuid_result){
			.eax = 2, /* last subleaf */
			.ebx = (uint32_t)(F7_EBX_ALWAYS |
					  (F7_EBX_NATIVE & host_features()->f7_ebx)),
			.ecx = (uint32_t)F7_ECX,
			.edx = (uint32_t)F7_EDX,
	};
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

static struct cpuid_result leaf_brand(uint32_t part)
{
	static const char brand[48] = "Oriel software CPU";
	struct cpuid_result result;

	memcpy(&result, brand + 16 * part, sizeof(result));
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
		return (struct cpuid_result){.eax = 1 << 2}; /* the APIC timer never stops */
	case 7:
		return leaf_structured(subleaf);
	case 0xb:
		return leaf_topology(cpu, subleaf);
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
		return text(LEAF_HYPERVISOR_TIMING, "OrielOriel\0", false);
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
		result.ecx = (uint32_t)(FX1_ECX_ALWAYS |
					(FX1_ECX_NATIVE & host_features()->fx1_ecx));
		result.edx = (uint32_t)FX1_EDX;
		if (cpu->mode != INSN_MODE_64) {
			result.edx &= ~(uint32_t)BIT(11); /* SYSCALL exists in 64-bit mode only */
		}
		break;
	case LEAF_EXTENDED + 2:
	case LEAF_EXTENDED + 3:
	case LEAF_EXTENDED + 4:
		result = leaf_brand(leaf - LEAF_EXTENDED - 2);
		break;
	case LEAF_EXTENDED + 6:
		result.ecx = 1024 << 16 | 8 << 12 | 64; /* L2: 1 MiB, 16 ways, 64-byte lines */
		break;
	case LEAF_EXTENDED + 7:
		result.edx = 1 << 8; /* invariant TSC */
		break;
	case LEAF_EXTENDED + 8:
		result.eax = LINEAR_BITS << 8 | WALK_PHYSICAL_BITS;
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
