/* SPDX-License-Identifier: MIT */
/*
 * What CPUID tells the guest: what KVM says the host offers, with the numbers of the host's own
 * topology replaced. All vCPUs are cores of one package with a thread each; the APIC id is the
 * index.
 */
#include "core/base/fd.h"
#include "core/engine/kvm/vm.h"

#include <errno.h>
#include <sys/ioctl.h>

#define MAX_ENTRIES 1024
#define EXTRA_ENTRIES (1 + TOPOLOGY_SUBLEAVES) /* made here */

#define LEAF1_ECX_X2APIC BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR BIT(31)
#define LEAF_TOPOLOGY 0xbu
#define LEAF_TOPOLOGY_V2 0x1fu
#define TOPOLOGY_SUBLEAVES 3
#define LEVEL_SMT 1u
#define LEVEL_CORE 2u
#define HYPERVISOR_BASE 0x40000000u
#define HYPERVISOR_TIMING 0x40000010u
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
		entry->ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_HYPERVISOR;
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
	bool deadline = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	int tsc_khz = ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0);

	for (unsigned i = 0; i < count; i++) {
		uint32_t function = vm->cpuid->entries[i].function;
		if (function == LEAF_TOPOLOGY || function == LEAF_TOPOLOGY_V2) {
			continue;
		}
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];
		*entry = vm->cpuid->entries[i];
		adjust(entry, cpu->base.index, vm->base.config.vcpus);
		if (entry->function == 1 && deadline) {
			entry->ecx |= LEAF1_ECX_TSC_DEADLINE;
		}
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
