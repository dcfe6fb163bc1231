/* SPDX-License-Identifier: MIT */
/*
 * What -cpu says: which processor the guest is to see, as a model's name and flags that are put on or taken off, in QEMU's
 * spelling. The command line makes a choice (struct cpu_model), which means nothing yet; an engine says what it can give
 * (struct cpu_offer), and both together make the guest's features (struct cpu_features). Plain values; any thread.
 */
#ifndef CORE_ENGINE_CPU_MODEL_H
#define CORE_ENGINE_CPU_MODEL_H

#include "core/base/base.h"

/* The registers of CPUID that hold features: leaf, subleaf where there is one, register. */
enum cpu_word {
	CPU_WORD_1_ECX,
	CPU_WORD_1_EDX,
	CPU_WORD_6_EAX,
	CPU_WORD_7_EBX,
	CPU_WORD_7_ECX,
	CPU_WORD_7_EDX,
	CPU_WORD_7_1_EAX,
	CPU_WORD_7_1_EDX,
	CPU_WORD_7_2_EDX,
	CPU_WORD_D_1_EAX,
	CPU_WORD_EXTENDED_1_ECX, /* 80000001H */
	CPU_WORD_EXTENDED_1_EDX,
	CPU_WORD_EXTENDED_7_EDX, /* 80000007H */
	CPU_WORD_EXTENDED_8_EBX, /* 80000008H */
	CPU_WORD_EXTENDED_21_EAX, /* 80000021H */
	CPU_WORD_KVM, /* 40000001H EAX: what a guest of KVM's kind may use */
	CPU_WORD_COUNT,
};

/* Where CPUID has a word. */
struct cpu_word_place {
	uint32_t leaf, subleaf;
	uint8_t reg; /* 0 to 3: eax, ebx, ecx, edx */
};

extern const struct cpu_word_place cpu_word_places[CPU_WORD_COUNT];

/* A feature is a word and a bit in it. */
#define CPU_FEATURE(word, bit) ((unsigned)(word) << 5 | (bit))

/* Those that code asks for. */
enum cpu_feature {
	CPU_FEATURE_SSE3 = CPU_FEATURE(CPU_WORD_1_ECX, 0),
	CPU_FEATURE_PCLMULQDQ = CPU_FEATURE(CPU_WORD_1_ECX, 1),
	CPU_FEATURE_SSSE3 = CPU_FEATURE(CPU_WORD_1_ECX, 9),
	CPU_FEATURE_FMA = CPU_FEATURE(CPU_WORD_1_ECX, 12),
	CPU_FEATURE_CX16 = CPU_FEATURE(CPU_WORD_1_ECX, 13),
	CPU_FEATURE_PCID = CPU_FEATURE(CPU_WORD_1_ECX, 17),
	CPU_FEATURE_SSE41 = CPU_FEATURE(CPU_WORD_1_ECX, 19),
	CPU_FEATURE_SSE42 = CPU_FEATURE(CPU_WORD_1_ECX, 20),
	CPU_FEATURE_X2APIC = CPU_FEATURE(CPU_WORD_1_ECX, 21),
	CPU_FEATURE_MOVBE = CPU_FEATURE(CPU_WORD_1_ECX, 22),
	CPU_FEATURE_POPCNT = CPU_FEATURE(CPU_WORD_1_ECX, 23),
	CPU_FEATURE_TSC_DEADLINE = CPU_FEATURE(CPU_WORD_1_ECX, 24),
	CPU_FEATURE_AES = CPU_FEATURE(CPU_WORD_1_ECX, 25),
	CPU_FEATURE_XSAVE = CPU_FEATURE(CPU_WORD_1_ECX, 26),
	CPU_FEATURE_AVX = CPU_FEATURE(CPU_WORD_1_ECX, 28),
	CPU_FEATURE_F16C = CPU_FEATURE(CPU_WORD_1_ECX, 29),
	CPU_FEATURE_RDRAND = CPU_FEATURE(CPU_WORD_1_ECX, 30),
	CPU_FEATURE_HYPERVISOR = CPU_FEATURE(CPU_WORD_1_ECX, 31),

	CPU_FEATURE_FPU = CPU_FEATURE(CPU_WORD_1_EDX, 0),
	CPU_FEATURE_VME = CPU_FEATURE(CPU_WORD_1_EDX, 1),
	CPU_FEATURE_DE = CPU_FEATURE(CPU_WORD_1_EDX, 2),
	CPU_FEATURE_PSE = CPU_FEATURE(CPU_WORD_1_EDX, 3),
	CPU_FEATURE_TSC = CPU_FEATURE(CPU_WORD_1_EDX, 4),
	CPU_FEATURE_MSR = CPU_FEATURE(CPU_WORD_1_EDX, 5),
	CPU_FEATURE_PAE = CPU_FEATURE(CPU_WORD_1_EDX, 6),
	CPU_FEATURE_MCE = CPU_FEATURE(CPU_WORD_1_EDX, 7),
	CPU_FEATURE_CX8 = CPU_FEATURE(CPU_WORD_1_EDX, 8),
	CPU_FEATURE_APIC = CPU_FEATURE(CPU_WORD_1_EDX, 9),
	CPU_FEATURE_SEP = CPU_FEATURE(CPU_WORD_1_EDX, 11),
	CPU_FEATURE_MTRR = CPU_FEATURE(CPU_WORD_1_EDX, 12),
	CPU_FEATURE_PGE = CPU_FEATURE(CPU_WORD_1_EDX, 13),
	CPU_FEATURE_MCA = CPU_FEATURE(CPU_WORD_1_EDX, 14),
	CPU_FEATURE_CMOV = CPU_FEATURE(CPU_WORD_1_EDX, 15),
	CPU_FEATURE_PAT = CPU_FEATURE(CPU_WORD_1_EDX, 16),
	CPU_FEATURE_PSE36 = CPU_FEATURE(CPU_WORD_1_EDX, 17),
	CPU_FEATURE_CLFLUSH = CPU_FEATURE(CPU_WORD_1_EDX, 19),
	CPU_FEATURE_MMX = CPU_FEATURE(CPU_WORD_1_EDX, 23),
	CPU_FEATURE_FXSR = CPU_FEATURE(CPU_WORD_1_EDX, 24),
	CPU_FEATURE_SSE = CPU_FEATURE(CPU_WORD_1_EDX, 25),
	CPU_FEATURE_SSE2 = CPU_FEATURE(CPU_WORD_1_EDX, 26),
	CPU_FEATURE_SELF_SNOOP = CPU_FEATURE(CPU_WORD_1_EDX, 27),

	CPU_FEATURE_ARAT = CPU_FEATURE(CPU_WORD_6_EAX, 2),

	CPU_FEATURE_FSGSBASE = CPU_FEATURE(CPU_WORD_7_EBX, 0),
	CPU_FEATURE_TSC_ADJUST = CPU_FEATURE(CPU_WORD_7_EBX, 1),
	CPU_FEATURE_BMI1 = CPU_FEATURE(CPU_WORD_7_EBX, 3),
	CPU_FEATURE_AVX2 = CPU_FEATURE(CPU_WORD_7_EBX, 5),
	CPU_FEATURE_SMEP = CPU_FEATURE(CPU_WORD_7_EBX, 7),
	CPU_FEATURE_BMI2 = CPU_FEATURE(CPU_WORD_7_EBX, 8),
	CPU_FEATURE_ERMS = CPU_FEATURE(CPU_WORD_7_EBX, 9),
	CPU_FEATURE_INVPCID = CPU_FEATURE(CPU_WORD_7_EBX, 10),
	CPU_FEATURE_ZERO_FCS_FDS = CPU_FEATURE(CPU_WORD_7_EBX, 13),
	CPU_FEATURE_AVX512F = CPU_FEATURE(CPU_WORD_7_EBX, 16),
	CPU_FEATURE_RDSEED = CPU_FEATURE(CPU_WORD_7_EBX, 18),
	CPU_FEATURE_ADX = CPU_FEATURE(CPU_WORD_7_EBX, 19),
	CPU_FEATURE_SMAP = CPU_FEATURE(CPU_WORD_7_EBX, 20),
	CPU_FEATURE_PCOMMIT = CPU_FEATURE(CPU_WORD_7_EBX, 22),
	CPU_FEATURE_CLFLUSHOPT = CPU_FEATURE(CPU_WORD_7_EBX, 23),
	CPU_FEATURE_CLWB = CPU_FEATURE(CPU_WORD_7_EBX, 24),
	CPU_FEATURE_SHA = CPU_FEATURE(CPU_WORD_7_EBX, 29),

	CPU_FEATURE_UMIP = CPU_FEATURE(CPU_WORD_7_ECX, 2),
	CPU_FEATURE_PKU = CPU_FEATURE(CPU_WORD_7_ECX, 3),
	CPU_FEATURE_RDPID = CPU_FEATURE(CPU_WORD_7_ECX, 22),

	CPU_FEATURE_FSRM = CPU_FEATURE(CPU_WORD_7_EDX, 4),
	CPU_FEATURE_AMX_TILE = CPU_FEATURE(CPU_WORD_7_EDX, 24),
	CPU_FEATURE_SPEC_CTRL = CPU_FEATURE(CPU_WORD_7_EDX, 26),
	CPU_FEATURE_ARCH_CAPABILITIES = CPU_FEATURE(CPU_WORD_7_EDX, 29),

	CPU_FEATURE_BHI_CTRL = CPU_FEATURE(CPU_WORD_7_2_EDX, 4),

	CPU_FEATURE_XSAVEOPT = CPU_FEATURE(CPU_WORD_D_1_EAX, 0),
	CPU_FEATURE_XSAVEC = CPU_FEATURE(CPU_WORD_D_1_EAX, 1),
	CPU_FEATURE_XGETBV1 = CPU_FEATURE(CPU_WORD_D_1_EAX, 2),

	CPU_FEATURE_LAHF = CPU_FEATURE(CPU_WORD_EXTENDED_1_ECX, 0),
	CPU_FEATURE_LZCNT = CPU_FEATURE(CPU_WORD_EXTENDED_1_ECX, 5),
	CPU_FEATURE_PREFETCHW = CPU_FEATURE(CPU_WORD_EXTENDED_1_ECX, 8),

	CPU_FEATURE_SYSCALL = CPU_FEATURE(CPU_WORD_EXTENDED_1_EDX, 11),
	CPU_FEATURE_NX = CPU_FEATURE(CPU_WORD_EXTENDED_1_EDX, 20),
	CPU_FEATURE_PDPE1GB = CPU_FEATURE(CPU_WORD_EXTENDED_1_EDX, 26),
	CPU_FEATURE_RDTSCP = CPU_FEATURE(CPU_WORD_EXTENDED_1_EDX, 27),
	CPU_FEATURE_LM = CPU_FEATURE(CPU_WORD_EXTENDED_1_EDX, 29),

	CPU_FEATURE_INVTSC = CPU_FEATURE(CPU_WORD_EXTENDED_7_EDX, 8),

	CPU_FEATURE_KVM_CLOCK = CPU_FEATURE(CPU_WORD_KVM, 0),
	CPU_FEATURE_KVM_NOPIODELAY = CPU_FEATURE(CPU_WORD_KVM, 1),
	CPU_FEATURE_KVM_CLOCK2 = CPU_FEATURE(CPU_WORD_KVM, 3),
	CPU_FEATURE_KVM_ASYNCPF = CPU_FEATURE(CPU_WORD_KVM, 4),
	CPU_FEATURE_KVM_STEAL_TIME = CPU_FEATURE(CPU_WORD_KVM, 5),
	CPU_FEATURE_KVM_PV_EOI = CPU_FEATURE(CPU_WORD_KVM, 6),
	CPU_FEATURE_KVM_PV_UNHALT = CPU_FEATURE(CPU_WORD_KVM, 7),
	CPU_FEATURE_KVM_PV_TLB_FLUSH = CPU_FEATURE(CPU_WORD_KVM, 9),
	CPU_FEATURE_KVM_PV_IPI = CPU_FEATURE(CPU_WORD_KVM, 11),
	CPU_FEATURE_KVM_POLL_CONTROL = CPU_FEATURE(CPU_WORD_KVM, 12),
	CPU_FEATURE_KVM_PV_SCHED_YIELD = CPU_FEATURE(CPU_WORD_KVM, 13),
	CPU_FEATURE_KVM_MSI_EXT_DEST_ID = CPU_FEATURE(CPU_WORD_KVM, 15),
	CPU_FEATURE_KVM_CLOCK_STABLE = CPU_FEATURE(CPU_WORD_KVM, 24),

	CPU_FEATURE_NONE = CPU_FEATURE(CPU_WORD_COUNT, 0),
};

struct cpu_features {
	uint32_t words[CPU_WORD_COUNT];
};

static inline bool cpu_features_has(const struct cpu_features *features, enum cpu_feature feature)
{
	return (features->words[feature >> 5] >> (feature & 31)) & 1;
}

static inline void cpu_features_set(
		struct cpu_features *features, enum cpu_feature feature, bool on)
{
	uint32_t bit = 1u << (feature & 31);

	features->words[feature >> 5] = on ? features->words[feature >> 5] | bit
					   : features->words[feature >> 5] & ~bit;
}

/* The flag's name, NULL for a bit that has none. Two bits may share a name: kvmclock. */
const char *cpu_feature_name(unsigned feature);

/*
 * *ret_features is every bit of that name and no other. QEMU's other spellings are known, and '_' for '-'. False if there is
 * none.
 */
bool cpu_features_by_name(const char *name, struct cpu_features *ret_features);

/* The names with commas between them; the caller's. Bits without a name are left out. */
char *cpu_features_text(const struct cpu_features *features);

/* The model's name, length without NUL. CPUID's brand string has 48 bytes. */
#define CPU_MODEL_ID_MAX 47

/* What tells processors apart beside their features. */
struct cpu_identity {
	unsigned family, model, stepping;
	char model_id[CPU_MODEL_ID_MAX + 1]; /* brand string */
};

struct cpu_model_info;

enum cpu_model_check {
	CPU_MODEL_CHECK, /* what of the model cannot be given is left out, with a warning */
	CPU_MODEL_NO_CHECK, /* and without */
	CPU_MODEL_ENFORCE, /* then the machine does not start */
};

/* The user's choice; all zero is max. */
struct cpu_model {
	const struct cpu_model_info *info; /* NULL: max */
	struct cpu_features plus, minus; /* flags of the command line; disjoint */
	enum cpu_model_check check;
	bool hide_kvm; /* kvm=off: the hypervisor does not say that it is of KVM's kind */
	struct cpu_identity
			identity; /* what the command line says of it, in the place of the model's */
	unsigned identity_set; /* enum cpu_identity_field, bits */
};

enum cpu_identity_field {
	CPU_IDENTITY_FAMILY = 1 << 0,
	CPU_IDENTITY_MODEL = 1 << 1,
	CPU_IDENTITY_STEPPING = 1 << 2,
	CPU_IDENTITY_MODEL_ID = 1 << 3,
};

/* What an engine can give on this host. */
struct cpu_offer {
	const char *engine; /* "the software CPU": for messages */
	struct cpu_features known; /* what the engine could give on some host */
	struct cpu_features possible; /* on this one: what +flag may ask for */
	struct cpu_features standard; /* of max: all but what guests are better off without */
	struct cpu_features host; /* of host */
	struct cpu_identity identity; /* of whoever has no other: max, host */
};

/*
 * "MODEL[,+flag][,-flag][,flag=on|off][,family=N]..."; help is the caller's to look for. The error is one line: an unknown
 * name, with the nearest one there is.
 */
bool cpu_model_parse(const char *text, struct cpu_model *ret_model, GError **error);

/* All models and flags, for -cpu help; the caller's. */
char *cpu_model_help(void);

/* The model's name. */
const char *cpu_model_name(const struct cpu_model *model);

/* Whether it is max or host: all there is, bits without a name included. */
bool cpu_model_is_everything(const struct cpu_model *model);

/*
 * What the guest gets. Flags of the command line that cannot be given are an error, and so is, with enforce, anything of the
 * model; otherwise that is left out, and a warning says so once. A flag brings those that it needs.
 */
bool cpu_model_resolve(const struct cpu_model *model, const struct cpu_offer *offer,
		struct cpu_features *ret_features, struct cpu_identity *ret_identity,
		GError **error);

/* CPUID.1.EAX of that family, model and stepping. */
uint32_t cpu_identity_signature(const struct cpu_identity *identity);

#endif
