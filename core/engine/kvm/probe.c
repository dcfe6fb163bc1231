/* SPDX-License-Identifier: MIT */
/*
 * Tells a /dev/kvm that runs guest code on the processor from one that emulates it instruction by
 * instruction: that one is slower than our own CPU and stops at instructions it does not know. A
 * small 64-bit guest is timed at a loop, and has to get through cmpxchg16b, which kernels use.
 */
#include "core/base/fd.h"
#include "core/engine/kvm/vm.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define RAM_SIZE 0x10000u
#define PML4_AT 0x1000u
#define PDPT_AT 0x2000u
#define PD_AT 0x3000u
#define CODE_AT 0x4000u
#define DATA_AT 0x5000u
#define PAGE_PRESENT_WRITABLE 3u
#define PAGE_LARGE BIT(7)

#define LOOPS 5000u /* as the code has it; two instructions each */
/*
 * Emulation takes two milliseconds and more for the loop, a processor some microseconds, even one
 * that is emulated a level further down some tens. The best of a few tries is not disturbed by
 * what else runs on the host.
 */
#define FAST_ENOUGH_NS 700000
#define TRIES 4u

/* Each out is a step done; the loop comes over and over. */
static const uint8_t code[] = {
		0xf0, 0x48, 0x0f, 0xc7, 0x0e, /* lock cmpxchg16b [rsi] */
		0xe6, 0x10, /* out 0x10, al */
		0xb9, 0x88, 0x13, 0x00, 0x00, /* again: mov ecx, 5000 */
		0xff, 0xc9, /* inner: dec ecx */
		0x75, 0xfc, /* jnz inner */
		0xe6, 0x11, /* out 0x11, al */
		0xeb, 0xf3, /* jmp again */
};

struct prober {
	int kvm, vm, vcpu;
	uint8_t *ram;
	struct kvm_run *run;
	size_t run_size;
};

static void prober_finish(struct prober *prober)
{
	if (prober->run) {
		munmap(prober->run, prober->run_size);
	}
	fd_close(&prober->vcpu);
	fd_close(&prober->vm);
	fd_close(&prober->kvm);
	if (prober->ram) {
		munmap(prober->ram, RAM_SIZE);
	}
}

static void *map(size_t size, int fd, int flags)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void fill_ram(uint8_t *ram)
{
	const uint64_t tables[][2] = {
			{PML4_AT, PDPT_AT | PAGE_PRESENT_WRITABLE},
			{PDPT_AT, PD_AT | PAGE_PRESENT_WRITABLE},
			{PD_AT, PAGE_PRESENT_WRITABLE | PAGE_LARGE},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
		memcpy(ram + tables[i][0], &tables[i][1], sizeof(uint64_t));
	}
	memcpy(ram + CODE_AT, code, sizeof(code));
}

static bool enter_long_mode(struct prober *prober)
{
	struct kvm_regs regs = {.rip = CODE_AT, .rsi = DATA_AT, .rflags = X86_FLAG_FIXED};
	struct kvm_sregs sregs;

	if (ioctl(prober->vcpu, KVM_GET_SREGS, &sregs) < 0) {
		return false;
	}
	sregs.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
	sregs.cr3 = PML4_AT;
	sregs.cr4 = X86_CR4_PAE;
	sregs.efer = X86_EFER_LME | X86_EFER_LMA;
	sregs.cs = (struct kvm_segment){.limit = UINT32_MAX,
			.selector = 8,
			.type = 11,
			.present = 1,
			.s = 1,
			.l = 1,
			.g = 1};
	sregs.ds = (struct kvm_segment){.limit = UINT32_MAX,
			.selector = 16,
			.type = 3,
			.present = 1,
			.s = 1,
			.db = 1,
			.g = 1};
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	return ioctl(prober->vcpu, KVM_SET_SREGS, &sregs) == 0 &&
	       ioctl(prober->vcpu, KVM_SET_REGS, &regs) == 0;
}

/* The guest's processor is told of cmpxchg16b and long mode: all that the host has. */
static bool set_cpuid(struct prober *prober, GError **error)
{
	g_autofree struct kvm_cpuid2 *cpuid = kvm_cpuid_supported(prober->kvm, error);

	if (!cpuid) {
		return false;
	}
	if (ioctl(prober->vcpu, KVM_SET_CPUID2, cpuid) < 0) {
		set_error_errno(error, "/dev/kvm: CPUID");
		return false;
	}
	return true;
}

static bool prober_init(struct prober *prober, GError **error)
{
	prober->kvm = kvm_open(error);
	if (prober->kvm < 0) {
		return false;
	}
	int run_size = ioctl(prober->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	prober->run_size = (size_t)MAX(run_size, 0);
	prober->ram = map(RAM_SIZE, -1, MAP_SHARED | MAP_ANONYMOUS);
	if (prober->ram) {
		fill_ram(prober->ram);
	}
	struct kvm_userspace_memory_region region = {
			.memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)prober->ram};
	prober->vm = ioctl(prober->kvm, KVM_CREATE_VM, 0);
	if (!prober->ram || prober->vm < 0 ||
			ioctl(prober->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
		set_error_errno(error, "/dev/kvm: trying a VM");
		return false;
	}
	prober->vcpu = ioctl(prober->vm, KVM_CREATE_VCPU, 0);
	if (prober->vcpu >= 0) {
		prober->run = map(prober->run_size, prober->vcpu, MAP_SHARED);
	}
	if (!prober->run || !enter_long_mode(prober)) {
		set_error_errno(error, "/dev/kvm: trying a vCPU");
		return false;
	}
	return set_cpuid(prober, error);
}

/* Runs to the next out; false if something else came. */
static bool run_step(struct prober *prober, unsigned port, int64_t *ret_ns)
{
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	int ret = ioctl(prober->vcpu, KVM_RUN, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	*ret_ns = (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec -
		  before.tv_nsec;
	return ret == 0 && prober->run->exit_reason == KVM_EXIT_IO && prober->run->io.port == port;
}

static bool try_guest(struct prober *prober, GError **error)
{
	int64_t best = INT64_MAX, ns;

	if (!run_step(prober, 0x10, &ns)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS,
				"/dev/kvm emulates each instruction and does not know cmpxchg16b, "
				"which stock kernels use (exit %u)",
				prober->run->exit_reason);
		return false;
	}
	for (unsigned i = 0; i < TRIES && best > FAST_ENOUGH_NS; i++) {
		if (!run_step(prober, 0x11, &ns)) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS,
					"/dev/kvm does not run a simple 64-bit loop (exit %u)",
					prober->run->exit_reason);
			return false;
		}
		best = MIN(best, ns);
	}
	if (best > FAST_ENOUGH_NS) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS,
				"/dev/kvm emulates each instruction: %.1f million a second",
				2000.0 * LOOPS / (double)best);
		return false;
	}
	return true;
}

bool kvm_probe(GError **error)
{
	struct prober prober = {.kvm = -1, .vm = -1, .vcpu = -1};
	bool ok = prober_init(&prober, error) && try_guest(&prober, error);

	prober_finish(&prober);
	return ok;
}
