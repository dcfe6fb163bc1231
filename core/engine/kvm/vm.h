/* SPDX-License-Identifier: MIT */
/* What the files of this folder share: the objects of one VM. Only for them and their tests. */
#ifndef CORE_ENGINE_KVM_VM_H
#define CORE_ENGINE_KVM_VM_H

#include "core/engine/engine.h"

#include <linux/kvm.h>

/* Guest memory and doorbells as the kernel knows them (memory.c). */
struct kvm_slots {
	struct address_space_listener memory, ports;
	GArray *bases; /* uint64_t: guest address of each slot, SLOT_FREE; guarded by the space */
	unsigned max_slots;
	bool listening;
};

/* The kernel's local APICs and the ways to them (irqchip.c). */
struct kvm_apics {
	struct irqchip base;
	gint extint; /* level of the 8259's INTR; atomic */
	GMutex lock; /* guards what follows */
	uint64_t eoi_vectors[4];
	GPtrArray *routes; /* struct irq_route *, NULL where free; by GSI behind the pins */
	unsigned max_gsis;
};

struct kvm_vm {
	struct engine base;
	int kvm; /* /dev/kvm */
	int fd;
	size_t run_size; /* of a vCPU's shared page, bytes */
	struct kvm_cpuid2 *cpuid; /* what the host offers */
	uint32_t debug_flags; /* KVM_GUESTDBG_* the host knows */
	struct kvm_slots slots;
	struct kvm_apics apics;
};

/* A vCPU as it was created, which is how a processor powers up. */
struct kvm_power_up {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	uint32_t xsave[1024]; /* struct kvm_xsave as it was before AMX */
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_msrs *msrs;
};

struct kvm_cpu {
	struct vcpu base;
	int fd;
	struct kvm_run *run; /* shared with the kernel; touched by the vCPU's thread only */
	gint kicked; /* atomic */
	uint64_t exits; /* to us, since creation; vCPU thread */
	struct kvm_power_up power_up;
};

static inline struct kvm_vm *kvm_vm_of(struct engine *engine)
{
	return container_of(engine, struct kvm_vm, base);
}

static inline struct kvm_cpu *kvm_cpu_of(struct vcpu *vcpu)
{
	return container_of(vcpu, struct kvm_cpu, base);
}

/* Opens /dev/kvm and checks that it has all the engine needs; -1 with an error otherwise. */
int kvm_open(GError **error);

/* Whether KVM runs a stock kernel at the speed of hardware (probe.c). */
bool kvm_probe(GError **error);

/* memory.c */
bool kvm_slots_init(struct kvm_vm *vm, GError **error);
void kvm_slots_finish(struct kvm_vm *vm);

/* irqchip.c: init makes the local APICs; before vCPUs are. */
bool kvm_apics_init(struct kvm_vm *vm, GError **error);
void kvm_apics_finish(struct kvm_vm *vm);
/* The 8259's request to the boot CPU, if the guest takes it now. vCPU thread, before KVM_RUN. */
void kvm_offer_extint(struct kvm_cpu *cpu);

/* cpuid.c: what the host offers (g_free() it), and what a vCPU tells its guest. */
struct kvm_cpuid2 *kvm_cpuid_supported(int kvm, GError **error);
bool kvm_cpuid_set(struct kvm_cpu *cpu, GError **error);
void kvm_offer(struct engine *engine, struct cpu_offer *ret_offer);

/* state.c */
bool kvm_power_up_save(struct kvm_cpu *cpu, GError **error);
void kvm_vcpu_reset(struct vcpu *vcpu);
void kvm_vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state);
void kvm_vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state);
bool kvm_vcpu_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *ret_physical);
bool kvm_vcpu_set_debug(struct vcpu *vcpu, unsigned flags);
void kvm_vcpu_pass_breakpoint(struct vcpu *vcpu);
/* Logs the registers: for reports of what went wrong. */
void kvm_log_registers(struct kvm_cpu *cpu);

/* run.c */
enum vcpu_exit kvm_vcpu_run(struct vcpu *vcpu);
void kvm_vcpu_kick(struct vcpu *vcpu);
/* Makes the kick's signal known; on the vCPU's thread. */
bool kvm_kick_init(struct kvm_cpu *cpu, GError **error);

#endif
