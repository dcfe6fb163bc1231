/* SPDX-License-Identifier: MIT */
#include "core/engine/kvm/kvm.h"

#include "core/base/fd.h"
#include "core/engine/kvm/vm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/*
 * Intel processors without "unrestricted guest" need four pages of guest addresses for real mode.
 * Here they are clear of RAM, the APICs and 16 MiB of firmware below 4 GiB.
 */
#define IDENTITY_MAP_AT UINT64_C(0xfeffc000)
#define TSS_AT 0xfeffd000ul

static const struct {
	unsigned extension;
	const char *name;
} required[] = {
		{KVM_CAP_USER_MEMORY, "user memory"},
		{KVM_CAP_READONLY_MEM, "read-only memory"},
		{KVM_CAP_SPLIT_IRQCHIP, "a split irqchip"},
		{KVM_CAP_IRQ_ROUTING, "interrupt routing"},
		{KVM_CAP_IRQFD, "irqfd"},
		{KVM_CAP_SIGNAL_MSI, "MSIs"},
		{KVM_CAP_IOEVENTFD, "ioeventfd"},
		{KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
		{KVM_CAP_MP_STATE, "the vCPU run state"},
		{KVM_CAP_VCPU_EVENTS, "vCPU events"},
		{KVM_CAP_DEBUGREGS, "debug registers"},
		{KVM_CAP_EXT_CPUID, "CPUID"},
};

int kvm_open(GError **error)
{
	auto_fd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0) {
		set_error_errno(error, "/dev/kvm");
		return -1;
	}
	int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS,
				"/dev/kvm has API version %d, not %d", version, KVM_API_VERSION);
		return -1;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(required); i++) {
		if (ioctl(kvm, KVM_CHECK_EXTENSION, required[i].extension) <= 0) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS,
					"/dev/kvm lacks %s (extension %u)", required[i].name,
					required[i].extension);
			return -1;
		}
	}
	return fd_steal(&kvm);
}

static bool create_vm(struct kvm_vm *vm, GError **error)
{
	uint64_t identity_map = IDENTITY_MAP_AT;

	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0) {
		set_error_errno(error, "/dev/kvm: creating a VM");
		return false;
	}
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
			ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_AT) < 0) {
		set_error_errno(error, "/dev/kvm: placing the real-mode pages");
		return false;
	}
	return true;
}

static bool kvm_init(struct engine *engine, GError **error)
{
	struct kvm_vm *vm = kvm_vm_of(engine);

	vm->fd = -1;
	vm->kvm = kvm_open(error);
	if (vm->kvm < 0) {
		return false;
	}
	int max_vcpus = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (max_vcpus > 0 && engine->config.vcpus > (unsigned)max_vcpus) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"%u vCPUs are more than this host's %d", engine->config.vcpus,
				max_vcpus);
		return false;
	}
	int run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_size < (int)sizeof(struct kvm_run)) {
		set_error_errno(error, "/dev/kvm: size of the run page");
		return false;
	}
	vm->run_size = (size_t)run_size;
	int flags = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
	vm->debug_flags = flags > 0 ? (uint32_t)flags : 0;
	vm->cpuid = kvm_cpuid_supported(vm->kvm, error);
	return vm->cpuid && create_vm(vm, error) && kvm_apics_init(vm, error) &&
	       kvm_slots_init(vm, error);
}

static void kvm_finish(struct engine *engine)
{
	struct kvm_vm *vm = kvm_vm_of(engine);

	kvm_slots_finish(vm);
	kvm_apics_finish(vm);
	fd_close(&vm->fd);
	fd_close(&vm->kvm);
	g_clear_pointer(&vm->cpuid, g_free);
}

static bool kvm_vcpu_init(struct vcpu *vcpu, GError **error)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);
	struct kvm_vm *vm = kvm_vm_of(vcpu->engine);

	cpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu->index);
	if (cpu->fd < 0) {
		set_error_errno(error, "/dev/kvm: creating vCPU %u", vcpu->index);
		return false;
	}
	void *run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (run == MAP_FAILED) {
		set_error_errno(error, "/dev/kvm: run page of vCPU %u", vcpu->index);
		return false;
	}
	cpu->run = run;
	return kvm_kick_init(cpu, error) && kvm_cpuid_set(cpu, error) &&
	       kvm_power_up_save(cpu, error);
}

static void kvm_vcpu_finish(struct vcpu *vcpu)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);

	if (cpu->run) {
		munmap(cpu->run, kvm_vm_of(vcpu->engine)->run_size);
		cpu->run = NULL;
	}
	fd_close(&cpu->fd);
	g_clear_pointer(&cpu->power_up.msrs, g_free);
}

const struct engine_impl kvm_engine = {
		.name = "kvm",
		.size = sizeof(struct kvm_vm),
		.vcpu_size = sizeof(struct kvm_cpu),
		.probe = kvm_probe,
		.init = kvm_init,
		.finish = kvm_finish,
		.offer = kvm_offer,
		.vcpu_init = kvm_vcpu_init,
		.vcpu_finish = kvm_vcpu_finish,
		.vcpu_run = kvm_vcpu_run,
		.vcpu_kick = kvm_vcpu_kick,
		.vcpu_reset = kvm_vcpu_reset,
		.vcpu_get_state = kvm_vcpu_get_state,
		.vcpu_set_state = kvm_vcpu_set_state,
		.vcpu_translate = kvm_vcpu_translate,
		.vcpu_set_debug = kvm_vcpu_set_debug,
		.vcpu_pass_breakpoint = kvm_vcpu_pass_breakpoint,
};
