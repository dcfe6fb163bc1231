/* SPDX-License-Identifier: MIT */
/*
 * Proves that /dev/kvm runs guest code on (emulated) hardware virtualisation: a real-mode guest of
 * a few instructions adds two numbers, writes the sum to a port and to memory, and halts.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE 0x2000u
#define CODE_AT 0x1000u
#define SUM_AT 0x1800u /* as the code below has it */
#define PORT 0xe9u

static const uint8_t code[] = {
		0x01, 0xd8, /* add ax, bx */
		0xa3, 0x00, 0x18, /* mov [0x1800], ax */
		0xba, 0xe9, 0x00, /* mov dx, 0xe9 */
		0xef, /* out dx, ax */
		0xf4, /* hlt */
};

static int check(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(1);
	}
	return ret;
}

static void *map(size_t size, int fd, const char *what)
{
	int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	check(memory == MAP_FAILED ? -1 : 0, what);
	return memory;
}

static void enter_real_mode(int vcpu)
{
	struct kvm_regs regs = {.rip = CODE_AT, .rax = 40, .rbx = 2, .rflags = 2};
	struct kvm_sregs sregs;

	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* Runs until the guest halts; returns what it wrote to the port, -1 when it wrote nothing. */
static int run_to_halt(int vcpu, struct kvm_run *run)
{
	int written = -1;

	for (;;) {
		check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_HLT) {
			return written;
		}
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT || run->io.size != 2) {
			fprintf(stderr, "unexpected exit %u\n", run->exit_reason);
			exit(1);
		}
		written = *(uint16_t *)((uint8_t *)run + run->io.data_offset);
	}
}

int main(void)
{
	int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	uint8_t *ram = map(RAM_SIZE, -1, "guest memory");
	struct kvm_userspace_memory_region region = {
			.memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram};
	int run_size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	int vcpu, written, stored;

	memcpy(ram + CODE_AT, code, sizeof code);
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	enter_real_mode(vcpu);
	written = run_to_halt(vcpu, map((size_t)run_size, vcpu, "kvm_run"));
	stored = ram[SUM_AT] | ram[SUM_AT + 1] << 8;
	printf("port %d memory %d\n", written, stored);
	return written == 42 && stored == 42 ? 0 : 1;
}
