/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/code_memory.h"

#include "core/base/fd.h"

#include <sys/mman.h>

/* The same, but that the kernel's own file for shared memory is behind it. */
static bool map_unnamed(size_t size, struct code_memory *ret_memory, GError **error)
{
	void *writable = mmap(
			NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (writable == MAP_FAILED) {
		set_error_errno(error, "mapping memory for code");
		return false;
	}
	/* An old size of 0 makes a second view of shared memory. */
	void *executable = mremap(writable, 0, size, MREMAP_MAYMOVE);
	if (executable == MAP_FAILED || mprotect(executable, size, PROT_READ | PROT_EXEC) < 0) {
		set_error_errno(error, "mapping memory for code executable");
		if (executable != MAP_FAILED) {
			(void)munmap(executable, size);
		}
		(void)munmap(writable, size);
		return false;
	}
	*ret_memory = (struct code_memory){
			.writable = writable, .executable = executable, .size = size};
	return true;
}

bool code_memory_map(const char *name, size_t size, struct code_memory *ret_memory, GError **error)
{
	if (!name) {
		return map_unnamed(size, ret_memory, error);
	}
	auto_fd int fd = memfd_create_sized(name, size, error);

	if (fd < 0) {
		return false;
	}
	void *writable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (writable == MAP_FAILED) {
		set_error_errno(error, "mapping %s", name);
		return false;
	}
	void *executable = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (executable == MAP_FAILED) {
		set_error_errno(error, "mapping %s executable", name);
		(void)munmap(writable, size);
		return false;
	}
	*ret_memory = (struct code_memory){
			.writable = writable, .executable = executable, .size = size};
	return true;
}

void code_memory_unmap(struct code_memory *memory)
{
	(void)munmap(memory->writable, memory->size);
	(void)munmap((void *)(uintptr_t)memory->executable, memory->size);
}
