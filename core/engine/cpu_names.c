/* SPDX-License-Identifier: MIT */
/* The names of CPUID's feature bits, as QEMU's users write them. SDM vol. 2, CPUID; APM vol. 3, appendix E. */
#include "core/engine/cpu_model.h"

#include <string.h>

enum { EAX, EBX, ECX, EDX };

const struct cpu_word_place cpu_word_places[CPU_WORD_COUNT] = {
		[CPU_WORD_1_ECX] = {1, 0, ECX},
		[CPU_WORD_1_EDX] = {1, 0, EDX},
		[CPU_WORD_6_EAX] = {6, 0, EAX},
		[CPU_WORD_7_EBX] = {7, 0, EBX},
		[CPU_WORD_7_ECX] = {7, 0, ECX},
		[CPU_WORD_7_EDX] = {7, 0, EDX},
		[CPU_WORD_7_1_EAX] = {7, 1, EAX},
		[CPU_WORD_7_1_EDX] = {7, 1, EDX},
		[CPU_WORD_7_2_EDX] = {7, 2, EDX},
		[CPU_WORD_D_1_EAX] = {0xd, 1, EAX},
		[CPU_WORD_EXTENDED_1_ECX] = {0x80000001, 0, ECX},
		[CPU_WORD_EXTENDED_1_EDX] = {0x80000001, 0, EDX},
		[CPU_WORD_EXTENDED_7_EDX] = {0x80000007, 0, EDX},
		[CPU_WORD_EXTENDED_8_EBX] = {0x80000008, 0, EBX},
		[CPU_WORD_EXTENDED_21_EAX] = {0x80000021, 0, EAX},
		[CPU_WORD_KVM] = {0x40000001, 0, EAX},
};

/*
 * Left without a name: bits that mirror the state of the processor or of the machine (OSXSAVE, OSPKE, HTT), and AMD's copies of
 * CPU_WORD_1_EDX in CPU_WORD_EXTENDED_1_EDX.
 */
static const char *const names[CPU_WORD_COUNT][32] = {
		[CPU_WORD_1_ECX] = {"pni", "pclmulqdq", "dtes64", "monitor", "ds-cpl", "vmx", "smx",
				"est", "tm2", "ssse3", "cid", NULL, "fma", "cx16", "xtpr", "pdcm",
				NULL, "pcid", "dca", "sse4.1", "sse4.2", "x2apic", "movbe",
				"popcnt", "tsc-deadline", "aes", "xsave", NULL, "avx", "f16c",
				"rdrand", "hypervisor"},
		[CPU_WORD_1_EDX] = {"fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8",
				"apic", NULL, "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36",
				"pn", "clflush", NULL, "ds", "acpi", "mmx", "fxsr", "sse", "sse2",
				"ss", NULL, "tm", "ia64", "pbe"},
		[CPU_WORD_6_EAX] = {[2] = "arat"},
		[CPU_WORD_7_EBX] = {"fsgsbase", "tsc-adjust", "sgx", "bmi1", "hle", "avx2",
				"fdp-excptn-only", "smep", "bmi2", "erms", "invpcid", "rtm", NULL,
				"zero-fcs-fds", "mpx", NULL, "avx512f", "avx512dq", "rdseed", "adx",
				"smap", "avx512ifma", "pcommit", "clflushopt", "clwb", "intel-pt",
				"avx512pf", "avx512er", "avx512cd", "sha-ni", "avx512bw",
				"avx512vl"},
		[CPU_WORD_7_ECX] = {NULL, "avx512vbmi", "umip", "pku", NULL, "waitpkg",
				"avx512vbmi2", NULL, "gfni", "vaes", "vpclmulqdq", "avx512vnni",
				"avx512bitalg", NULL, "avx512-vpopcntdq", NULL,
				"la57", [22] = "rdpid", [24] = "bus-lock-detect", [25] = "cldemote",
				[27] = "movdiri", [28] = "movdir64b", [30] = "sgxlc", [31] = "pks"},
		[CPU_WORD_7_EDX] = {[2] = "avx512-4vnniw",
				[3] = "avx512-4fmaps",
				[4] = "fsrm",
				[8] = "avx512-vp2intersect",
				[10] = "md-clear",
				[14] = "serialize",
				[16] = "tsx-ldtrk",
				[19] = "arch-lbr",
				[22] = "amx-bf16",
				[23] = "avx512-fp16",
				[24] = "amx-tile",
				[25] = "amx-int8",
				[26] = "spec-ctrl",
				[27] = "stibp",
				[28] = "flush-l1d",
				[29] = "arch-capabilities",
				[30] = "core-capability",
				[31] = "ssbd"},
		[CPU_WORD_7_1_EAX] = {[0] = "sha512",
				[1] = "sm3",
				[2] = "sm4",
				[4] = "avx-vnni",
				[5] = "avx512-bf16",
				[7] = "cmpccxadd",
				[10] = "fzrm",
				[11] = "fsrs",
				[12] = "fsrc",
				[17] = "fred",
				[18] = "lkgs",
				[19] = "wrmsrns",
				[21] = "amx-fp16",
				[23] = "avx-ifma",
				[26] = "lam"},
		[CPU_WORD_7_1_EDX] = {[4] = "avx-vnni-int8",
				[5] = "avx-ne-convert",
				[8] = "amx-complex",
				[10] = "avx-vnni-int16",
				[14] = "prefetchiti",
				[19] = "avx10"},
		[CPU_WORD_7_2_EDX] = {"intel-psfd", "ipred-ctrl", "rrsba-ctrl", "ddpd-u",
				"bhi-ctrl", "mcdt-no"},
		[CPU_WORD_D_1_EAX] = {"xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd"},
		[CPU_WORD_EXTENDED_1_ECX] = {"lahf-lm", "cmp-legacy", "svm", "extapic", "cr8legacy",
				"abm", "sse4a", "misalignsse", "3dnowprefetch", "osvw", "ibs",
				"xop", "skinit", "wdt", NULL, "lwp", "fma4", "tce", NULL,
				"nodeid-msr", NULL, "tbm", "topoext", "perfctr-core", "perfctr-nb"},
		[CPU_WORD_EXTENDED_1_EDX] = {[11] = "syscall",
				[19] = "mp",
				[20] = "nx",
				[22] = "mmxext",
				[25] = "fxsr-opt",
				[26] = "pdpe1gb",
				[27] = "rdtscp",
				[29] = "lm",
				[30] = "3dnowext",
				[31] = "3dnow"},
		[CPU_WORD_EXTENDED_7_EDX] = {[8] = "invtsc"},
		[CPU_WORD_EXTENDED_8_EBX] = {[0] = "clzero",
				[2] = "xsaveerptr",
				[4] = "rdpru",
				[9] = "wbnoinvd",
				[12] = "ibpb",
				[14] = "ibrs",
				[15] = "amd-stibp",
				[17] = "stibp-always-on",
				[24] = "amd-ssbd",
				[25] = "virt-ssbd",
				[26] = "amd-no-ssb",
				[28] = "amd-psfd"},
		[CPU_WORD_EXTENDED_21_EAX] = {[0] = "no-nested-data-bp",
				[2] = "lfence-always-serializing",
				[6] = "null-sel-clr-base",
				[8] = "auto-ibrs"},
		[CPU_WORD_KVM] = {"kvmclock", "kvm-nopiodelay", "kvm-mmu", "kvmclock",
				"kvm-asyncpf", "kvm-steal-time", "kvm-pv-eoi", "kvm-pv-unhalt",
				NULL, "kvm-pv-tlb-flush", "kvm-asyncpf-vmexit", "kvm-pv-ipi",
				"kvm-poll-control", "kvm-pv-sched-yield", "kvm-asyncpf-int",
				"kvm-msi-ext-dest-id", [24] = "kvmclock-stable-bit"},
};

/* What else a flag is called. */
static const struct {
	const char *alias, *name;
} aliases[] = {
		{"sse3", "pni"},
		{"pclmuldq", "pclmulqdq"},
		{"sse4-1", "sse4.1"},
		{"sse4-2", "sse4.2"},
		{"sse4", "sse4.2"},
		{"ffxsr", "fxsr-opt"},
		{"xd", "nx"},
		{"i64", "lm"},
		{"lzcnt", "abm"},
		{"sha", "sha-ni"},
		{"tsc-deadline-timer", "tsc-deadline"},
};

const char *cpu_feature_name(unsigned feature)
{
	return feature >> 5 < CPU_WORD_COUNT ? names[feature >> 5][feature & 31] : NULL;
}

bool cpu_features_by_name(const char *name, struct cpu_features *ret_features)
{
	g_autofree char *wanted = g_strdelimit(g_strdup(name), "_", '-');
	bool found = false;

	*ret_features = (struct cpu_features){0};
	for (size_t i = 0; i < G_N_ELEMENTS(aliases); i++) {
		if (strcmp(wanted, aliases[i].alias) == 0) {
			g_free(wanted);
			wanted = g_strdup(aliases[i].name);
		}
	}
	for (unsigned i = 0; i < CPU_WORD_COUNT * 32; i++) {
		const char *one = cpu_feature_name(i);
		if (one && strcmp(one, wanted) == 0) {
			cpu_features_set(ret_features, i, true);
			found = true;
		}
	}
	return found;
}

char *cpu_features_text(const struct cpu_features *features)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < CPU_WORD_COUNT * 32; i++) {
		const char *name = cpu_feature_name(i);
		if (name && cpu_features_has(features, i)) {
			g_string_append_printf(text, "%s%s", text->len ? ", " : "", name);
		}
	}
	return g_string_free(text, FALSE);
}
