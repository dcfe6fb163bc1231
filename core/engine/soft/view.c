/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/view.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <asm/prctl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE BIT(1)

/* Where a sanitizer looks for leaks: it is to find what the processor's memory points at. */
__attribute__((weak)) void __lsan_register_root_region(const void *begin, size_t size); /* NOLINT */
__attribute__((weak)) void __lsan_unregister_root_region(
		const void *begin, size_t size); /* NOLINT */

/* In struct cpu: what a view has of its own, from OWN to OWN_END. */
#define OWN offsetof(struct cpu, tlbs[TLB_SUPERVISOR_AC])
#define OWN_END offsetof(struct cpu, tlbs[TLB_USER + 1])
_Static_assert(OWN % GUEST_PAGE_SIZE == 0 && OWN_END % GUEST_PAGE_SIZE == 0, "of whole pages");

static bool map_at(struct cpu *view, size_t from, size_t to, int fd, off_t offset)
{
	int flags = MAP_FIXED | MAP_SHARED;

	return from == to || mmap((uint8_t *)view + from, to - from, PROT_READ | PROT_WRITE, flags,
					     fd, offset) != MAP_FAILED;
}

/* Of the file the first sizeof(struct cpu) bytes are the first view, then come the others' own. */
static bool map_views(struct cpu *cpu, int fd)
{
	off_t own = sizeof(struct cpu);

	if (!map_at(cpu, 0, sizeof(struct cpu), fd, 0)) {
		return false;
	}
	for (unsigned slot = 1; slot < TLB_SLOTS; slot++) {
		if (!map_at(&cpu[slot], 0, OWN, fd, 0) ||
				!map_at(&cpu[slot], OWN, OWN_END, fd, own) ||
				!map_at(&cpu[slot], OWN_END, sizeof(struct cpu), fd, OWN_END)) {
			return false;
		}
		own += OWN_END - OWN;
	}
	return true;
}

static struct cpu *reserve(size_t size, int protection)
{
	void *memory = mmap(
			NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	g_assert(memory != MAP_FAILED);
	return memory;
}

static struct cpu *create_views(GError **error)
{
	size_t size = sizeof(struct cpu) + (TLB_SLOTS - 1) * (OWN_END - OWN);
	auto_fd int fd = memfd_create_sized("cpu", size, error);

	if (fd < 0) {
		return NULL;
	}
	struct cpu *cpu = reserve(TLB_SLOTS * sizeof(struct cpu), PROT_NONE);
	if (!map_views(cpu, fd)) {
		set_error_errno(error, "mapping views of the processor");
		(void)munmap(cpu, TLB_SLOTS * sizeof(struct cpu));
		return NULL;
	}
	cpu->slot_count = TLB_SLOTS;
	return cpu;
}

struct cpu *view_create(void)
{
	g_autoptr(GError) error = NULL;
	struct cpu *cpu = create_views(&error);

	if (!cpu) {
		log_warn("%s: changes of address spaces will cost more", error->message);
		cpu = reserve(sizeof(struct cpu), PROT_READ | PROT_WRITE);
		cpu->slot_count = 1;
	}
	if (__lsan_register_root_region) {
		__lsan_register_root_region(cpu, sizeof(struct cpu));
	}
	cpu->fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	return cpu;
}

void view_destroy(struct cpu *cpu)
{
	if (__lsan_unregister_root_region) {
		__lsan_unregister_root_region(cpu, sizeof(struct cpu));
	}
	(void)munmap(cpu, cpu->slot_count * sizeof(struct cpu));
}

void view_use(struct cpu *cpu)
{
	struct cpu *view = &cpu[cpu->slot];

	if (cpu->fsgsbase) {
		__asm__ volatile("wrgsbase %0" : : "r"(view));
	} else {
		(void)syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)(uintptr_t)view);
	}
}
