/* SPDX-License-Identifier: MIT */
/*
 * What CPUID tells the guest: what KVM says the host offers, as far as -cpu has it, with the numbers
 * of the host's own topology replaced. All vCPUs are cores of one package with a thread each; the APIC id is the
 * index.
 */
#include "core/base/fd.h"
#include "core/engine/kvm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define MAX_ENTRIES 1024
#define EXTRA_ENTRIES (1 + TOPOLOGY_SUBLEAVES) /* made here */

#define LEAF_TOPOLOGY 0xbu
#define LEAF_TOPOLOGY_V2 0x1fu
#define TOPOLOGY_SUBLEAVES 3
#define LEVEL_SMT 1u
#define LEVEL_CORE 2u
#define HYPERVISOR_BASE 0x40000000u
#define HYPERVISOR_TIMING 0x40000010u
#define HYPERVISOR_FEATURES 0x40000001u
#define LEAF_EXTENDED_1 0x80000001u
#define LEAF_BRAND_FIRST 0x80000002u
#define LEAF_BRAND_LAST 0x80000004u
#define LEAF_XSAVE 0xdu
#define XSAVE_LEGACY_SIZE 576u /* bytes: the FXSAVE image and the header */
/* AMD's processors repeat these bits of CPUID.1.EDX in CPUID.80000001H.EDX. */
#define AMD_COPIES 0x0183f3ffu
#define APIC_BUS_KHZ 1000000u /* KVM's local APIC timer counts nanoseconds */

struct kvm_cpuid2 *kvm_cpuid_supported(int kvm, GError **error)
{
	for (unsigned count = 128; count <= MAX_ENTRIES; count *= 2) {
		g_autofree struct kvm_cpuid2 *cpuid = g_malloc0(
				sizeof(*cpuid) + count * sizeof(cpuid->entries[0]));
		cpuid->nent = count;
		if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
			return g_steal_pointer(&cpuid);
		}
		if (errno != E2BIG) {
			break;
		}
	}
	set_error_errno(error, "/dev/kvm: CPUID");
	return NULL;
}

static uint32_t *entry_register(struct kvm_cpuid_entry2 *entry, unsigned reg)
{
	uint32_t *const registers[] = {&entry->eax, &entry->ebx, &entry->ecx, &entry->edx};

	return registers[reg];
}

static struct kvm_cpuid_entry2 *find_entry(
		struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		if (entry->function == leaf && (!indexed || entry->index == subleaf)) {
			return entry;
		}
	}
	return NULL;
}

static void read_identity(struct kvm_cpuid2 *cpuid, struct cpu_identity *identity)
{
	const struct kvm_cpuid_entry2 *first = find_entry(cpuid, 1, 0);
	uint32_t signature = first ? first->eax : 0;

	identity->family = (signature >> 8) & 15;
	identity->model = (signature >> 4) & 15;
	identity->stepping = signature & 15;
	if (identity->family == 6 || identity->family == 15) {
		identity->model |= ((signature >> 16) & 15) << 4;
	}
	if (identity->family == 15) {
		identity->family += (signature >> 20) & 0xff;
	}
	for (uint32_t leaf = LEAF_BRAND_FIRST; leaf <= LEAF_BRAND_LAST; leaf++) {
		const struct kvm_cpuid_entry2 *entry = find_entry(cpuid, leaf, 0);
		if (entry) {
			memcpy(identity->model_id + 16 * (leaf - LEAF_BRAND_FIRST), &entry->eax,
					16);
		}
	}
	identity->model_id[CPU_MODEL_ID_MAX] = '\0';
}

void kvm_offer(struct engine *engine, struct cpu_offer *ret_offer)
{
	struct kvm_vm *vm = kvm_vm_of(engine);
	struct cpu_offer offer = {.engine = "KVM"};

	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		const struct cpu_word_place *place = &cpu_word_places[i];
		struct kvm_cpuid_entry2 *entry = find_entry(vm->cpuid, place->leaf, place->subleaf);
		offer.possible.words[i] = entry ? *entry_register(entry, place->reg) : 0;
	}
	/* KVM leaves to us to say so. */
	cpu_features_set(&offer.possible, CPU_FEATURE_X2APIC, true);
	cpu_features_set(&offer.possible, CPU_FEATURE_HYPERVISOR, true);
	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0) {
		cpu_features_set(&offer.possible, CPU_FEATURE_TSC_DEADLINE, true);
	}
	offer.known = offer.standard = offer.host = offer.possible;
	read_identity(vm->cpuid, &offer.identity);
	*ret_offer = offer;
}

/* State that XSAVE does not save for who has not got it: bits of XCR0. */
static uint64_t states_left_out(const struct cpu_features *features)
{
	static const struct {
		uint64_t states;
		enum cpu_feature feature;
	} table[] = {
			{BIT(2), CPU_FEATURE_AVX},
			{BIT(3) | BIT(4), (enum cpu_feature)CPU_FEATURE(
							  CPU_WORD_7_EBX, 14)}, /* MPX */
			{BIT(5) | BIT(6) | BIT(7), CPU_FEATURE_AVX512F},
			{BIT(9), CPU_FEATURE_PKU},
			{BIT(17) | BIT(18), CPU_FEATURE_AMX_TILE},
	};
	uint64_t left_out = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		left_out |= cpu_features_has(features, table[i].feature) ? 0 : table[i].states;
	}
	return left_out;
}

/* Bytes of the largest XSAVE image. */
static uint32_t xsave_size(struct kvm_cpuid2 *host, uint64_t left_out)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (uint32_t i = 2; i < 63; i++) {
		const struct kvm_cpuid_entry2 *entry = find_entry(host, LEAF_XSAVE, i);
		bool of_user = entry && !(entry->ecx & 1);
		if (of_user && !(left_out & BIT(i)) && entry->ebx + entry->eax > size) {
			size = entry->ebx + entry->eax;
		}
	}
	return size;
}

/* False if the entry is of a state that the guest has not got. */
static bool filter_xsave(struct kvm_cpuid_entry2 *entry, const struct kvm_vm *vm)
{
	const struct cpu_features *features = &vm->base.cpu_features;
	uint64_t left_out = states_left_out(features);

	if (!cpu_features_has(features, CPU_FEATURE_XSAVE)) {
		return false;
	}
	if (entry->index == 0) {
		entry->eax &= (uint32_t)~left_out;
		entry->ecx = xsave_size(vm->cpuid, left_out);
	} else if (entry->index == 1) {
		return true;
	}
	return entry->index == 0 || entry->index > 62 || !(left_out & BIT(entry->index));
}

/* Leaves that describe a feature which has no bit among the words, or has none of its own. */
static bool has_leaf(const struct kvm_vm *vm, uint32_t leaf)
{
	const struct cpu_features *features = &vm->base.cpu_features;

	switch (leaf) {
	case 0xa: /* performance counters */
		return cpu_model_is_everything(&vm->base.config.cpu);
	case 0x12: /* SGX */
		return cpu_features_has(features, CPU_FEATURE(CPU_WORD_7_EBX, 2));
	case 0x14: /* processor trace */
		return cpu_features_has(features, CPU_FEATURE(CPU_WORD_7_EBX, 25));
	case 0x1d: /* AMX */
	case 0x1e:
		return cpu_features_has(features, CPU_FEATURE_AMX_TILE);
	case HYPERVISOR_FEATURES:
		return features->words[CPU_WORD_KVM] != 0;
	default:
		return true;
	}
}

static void filter_words(struct kvm_cpuid_entry2 *entry, const struct cpu_features *features)
{
	bool copies = entry->function == LEAF_EXTENDED_1 && (entry->edx & 1);

	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		const struct cpu_word_place *place = &cpu_word_places[i];
		bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		if (place->leaf == entry->function &&
				place->subleaf == (indexed ? entry->index : 0)) {
			*entry_register(entry, place->reg) = features->words[i];
		}
	}
	if (copies) {
		entry->edx &= ~AMD_COPIES;
		entry->edx |= features->words[CPU_WORD_1_EDX] & AMD_COPIES;
	}
}

/* Makes of the host's entry what -cpu wants of it; false if the guest has no such leaf. */
static bool filter(struct kvm_cpuid_entry2 *entry, const struct kvm_vm *vm)
{
	const struct cpu_identity *identity = &vm->base.cpu_identity;
	static const char other_hypervisor[12] = "OrielOriel";
	uint32_t leaf = entry->function;

	if (!has_leaf(vm, leaf)) {
		return false;
	}
	filter_words(entry, &vm->base.cpu_features);
	if (leaf == 1) {
		entry->eax = cpu_identity_signature(identity);
	} else if (leaf == LEAF_XSAVE) {
		return filter_xsave(entry, vm);
	} else if (leaf >= LEAF_BRAND_FIRST && leaf <= LEAF_BRAND_LAST) {
		memcpy(&entry->eax, identity->model_id + 16 * (leaf - LEAF_BRAND_FIRST), 16);
	} else if (leaf == HYPERVISOR_BASE && vm->base.cpu_features.words[CPU_WORD_KVM] == 0) {
		memcpy(&entry->ebx, other_hypervisor, sizeof(other_hypervisor));
	}
	return true;
}

/* Bits an APIC id needs for count cores. */
static unsigned id_bits(unsigned count)
{
	return count > 1 ? 32 - (unsigned)__builtin_clz(count - 1) : 0;
}

static uint32_t with_field(uint32_t value, unsigned shift, unsigned bits, uint32_t field)
{
	uint32_t mask = (uint32_t)((BIT(bits) - 1) << shift);

	return (value & ~mask) | ((field << shift) & mask);
}

/* Leaf 0xb, a subleaf for each level of the topology and one that ends them. */
static void add_topology(struct kvm_cpuid2 *cpuid, unsigned id, unsigned count)
{
	static const uint32_t level_types[TOPOLOGY_SUBLEAVES] = {LEVEL_SMT, LEVEL_CORE};

	for (uint32_t i = 0; i < TOPOLOGY_SUBLEAVES; i++) {
		bool core = level_types[i] == LEVEL_CORE;
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
				.function = LEAF_TOPOLOGY,
				.index = i,
				.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
				.eax = core ? id_bits(count) : 0,
				.ebx = core ? count : level_types[i],
				.ecx = i | level_types[i] << 8,
				.edx = id,
		};
	}
}

/* Leaf 4 and 0x8000001d: the last-level cache is everyone's, the others a core's own. */
static void set_cache(struct kvm_cpuid_entry2 *entry, unsigned count)
{
	unsigned level = (entry->eax >> 5) & 7;

	if (entry->eax & 0x1f) {
		entry->eax = with_field(entry->eax, 14, 12, level >= 3 ? count - 1 : 0);
	}
}

static void adjust(struct kvm_cpuid_entry2 *entry, unsigned id, unsigned count)
{
	switch (entry->function) {
	case 1:
		entry->ebx = with_field(entry->ebx, 24, 8, id);
		entry->ebx = with_field(entry->ebx, 16, 8, count);
		entry->edx = with_field(entry->edx, 28, 1, count > 1);
		break;
	case 4:
		set_cache(entry, 1u << id_bits(count));
		if (entry->eax & 0x1f) {
			entry->eax = with_field(entry->eax, 26, 6, (1u << id_bits(count)) - 1);
		}
		break;
	case HYPERVISOR_BASE:
		entry->eax = HYPERVISOR_TIMING;
		break;
	case 0x80000008:
		entry->ecx = with_field(entry->ecx, 12, 4, id_bits(count));
		entry->ecx = with_field(entry->ecx, 0, 8, count - 1);
		break;
	case 0x8000001d:
		set_cache(entry, count);
		break;
	case 0x8000001e:
		entry->eax = id;
		entry->ebx = id & 0xff;
		entry->ecx = 0;
		break;
	default:
		break;
	}
}

bool kvm_cpuid_set(struct kvm_cpu *cpu, GError **error)
{
	struct kvm_vm *vm = kvm_vm_of(cpu->base.engine);
	unsigned count = vm->cpuid->nent;
	g_autofree struct kvm_cpuid2 *cpuid = g_malloc0(
			sizeof(*cpuid) + (count + EXTRA_ENTRIES) * sizeof(cpuid->entries[0]));
	int tsc_khz = ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0);

	for (unsigned i = 0; i < count; i++) {
		uint32_t function = vm->cpuid->entries[i].function;
		if (function == LEAF_TOPOLOGY || function == LEAF_TOPOLOGY_V2) {
			continue;
		}
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];
		*entry = vm->cpuid->entries[i];
		if (!filter(entry, vm)) {
			cpuid->nent--;
			continue;
		}
		adjust(entry, cpu->base.index, vm->base.config.vcpus);
	}
	add_topology(cpuid, cpu->base.index, vm->base.config.vcpus);
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
			.function = HYPERVISOR_TIMING,
			.eax = tsc_khz > 0 ? (uint32_t)tsc_khz : 0,
			.ebx = APIC_BUS_KHZ,
	};
	if (ioctl(cpu->fd, KVM_SET_CPUID2, cpuid) < 0) {
		set_error_errno(error, "/dev/kvm: CPUID of vCPU %u", cpu->base.index);
		return false;
	}
	return true;
}
