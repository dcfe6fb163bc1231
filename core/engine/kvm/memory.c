/* SPDX-License-Identifier: MIT */
/*
 * Keeps the kernel's view of guest memory and of doorbells in step with the address spaces. Where
 * the kernel refuses a doorbell nothing is lost: the write leaves the guest and the address space
 * rings it.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/engine/kvm/vm.h"

#include <errno.h>
#include <sys/ioctl.h>

#define SLOT_FREE UINT64_MAX

static struct kvm_vm *vm_of_memory(struct address_space_listener *listener)
{
	return container_of(listener, struct kvm_vm, slots.memory);
}

/* The slot that holds a region starting at base, or a new one; max_slots if there is none. */
static unsigned find_slot(struct kvm_slots *slots, uint64_t base)
{
	for (unsigned i = 0; i < slots->bases->len; i++) {
		if (g_array_index(slots->bases, uint64_t, i) == base) {
			return i;
		}
	}
	return slots->max_slots;
}

static unsigned take_slot(struct kvm_slots *slots, uint64_t base)
{
	unsigned slot = find_slot(slots, SLOT_FREE);

	if (slot < slots->max_slots) {
		g_array_index(slots->bases, uint64_t, slot) = base;
	} else if (slots->bases->len < slots->max_slots) {
		slot = slots->bases->len;
		g_array_append_val(slots->bases, base);
	}
	return slot;
}

static void memory_ram_add(
		struct address_space_listener *listener, const struct guest_region_info *info)
{
	struct kvm_vm *vm = vm_of_memory(listener);
	unsigned slot = take_slot(&vm->slots, info->guest);
	struct kvm_userspace_memory_region region = {
			.slot = slot,
			.flags = info->flags & GUEST_REGION_ROM ? KVM_MEM_READONLY : 0,
			.guest_phys_addr = info->guest,
			.memory_size = info->size,
			.userspace_addr = (uintptr_t)info->host,
	};

	if (slot == vm->slots.max_slots) {
		errno = ENOSPC;
	} else if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) == 0) {
		return;
	} else {
		int saved = errno;
		g_array_index(vm->slots.bases, uint64_t, slot) = SLOT_FREE;
		errno = saved;
	}
	log_error("kvm: the guest does not get its memory at 0x%llx, 0x%llx bytes: %s",
			(unsigned long long)info->guest, (unsigned long long)info->size,
			g_strerror(errno));
}

static void memory_ram_del(
		struct address_space_listener *listener, const struct guest_region_info *info)
{
	struct kvm_vm *vm = vm_of_memory(listener);
	unsigned slot = find_slot(&vm->slots, info->guest);
	struct kvm_userspace_memory_region region = {.slot = slot, .guest_phys_addr = info->guest};

	if (slot == vm->slots.max_slots) {
		return;
	}
	int ret = ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
	assert(ret == 0); /* deleting a slot that is there cannot fail */
	g_array_index(vm->slots.bases, uint64_t, slot) = SLOT_FREE;
}

static void set_ioeventfd(
		struct kvm_vm *vm, uint64_t address, unsigned size, int fd, unsigned flags)
{
	struct kvm_ioeventfd ioeventfd = {.addr = address, .len = size, .fd = fd, .flags = flags};

	if (ioctl(vm->fd, KVM_IOEVENTFD, &ioeventfd) < 0) {
		log_debug("kvm: doorbell at 0x%llx stays with us: %s", (unsigned long long)address,
				g_strerror(errno));
	}
}

static void memory_eventfd_add(
		struct address_space_listener *listener, uint64_t address, unsigned size, int fd)
{
	set_ioeventfd(vm_of_memory(listener), address, size, fd, 0);
}

static void memory_eventfd_del(
		struct address_space_listener *listener, uint64_t address, unsigned size, int fd)
{
	set_ioeventfd(vm_of_memory(listener), address, size, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static void ports_eventfd_add(
		struct address_space_listener *listener, uint64_t address, unsigned size, int fd)
{
	struct kvm_vm *vm = container_of(listener, struct kvm_vm, slots.ports);

	set_ioeventfd(vm, address, size, fd, KVM_IOEVENTFD_FLAG_PIO);
}

static void ports_eventfd_del(
		struct address_space_listener *listener, uint64_t address, unsigned size, int fd)
{
	struct kvm_vm *vm = container_of(listener, struct kvm_vm, slots.ports);

	set_ioeventfd(vm, address, size, fd, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN);
}

bool kvm_slots_init(struct kvm_vm *vm, GError **error)
{
	struct kvm_slots *slots = &vm->slots;
	int max = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

	if (max <= 0) {
		set_error_errno(error, "/dev/kvm: number of memory slots");
		return false;
	}
	slots->max_slots = (unsigned)max;
	slots->bases = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	slots->memory = (struct address_space_listener){
			.ram_add = memory_ram_add,
			.ram_del = memory_ram_del,
			.eventfd_add = memory_eventfd_add,
			.eventfd_del = memory_eventfd_del,
	};
	slots->ports = (struct address_space_listener){
			.eventfd_add = ports_eventfd_add,
			.eventfd_del = ports_eventfd_del,
	};
	address_space_add_listener(vm->base.config.memory, &slots->memory);
	address_space_add_listener(vm->base.config.ports, &slots->ports);
	slots->listening = true;
	return true;
}

void kvm_slots_finish(struct kvm_vm *vm)
{
	struct kvm_slots *slots = &vm->slots;

	if (slots->listening) {
		address_space_remove_listener(vm->base.config.ports, &slots->ports);
		address_space_remove_listener(vm->base.config.memory, &slots->memory);
		slots->listening = false;
	}
	g_clear_pointer(&slots->bases, g_array_unref);
}
