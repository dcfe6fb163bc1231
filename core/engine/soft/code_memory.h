/* SPDX-License-Identifier: MIT */
/*
 * Memory for code of our own making: the same pages mapped twice, one view to write, one to execute, so that nothing is ever both.
 * Any thread.
 */
#ifndef CORE_ENGINE_SOFT_CODE_MEMORY_H
#define CORE_ENGINE_SOFT_CODE_MEMORY_H

#include "core/base/base.h"

struct code_memory {
	uint8_t *writable;
	const uint8_t *executable;
	size_t size;
};

/*
 * Maps size bytes; name is what /proc shows. NULL: no file is behind it, as perf expects of code that it is to look up in a
 * map. False with nothing mapped if the host refuses.
 */
bool code_memory_map(const char *name, size_t size, struct code_memory *ret_memory, GError **error);
void code_memory_unmap(struct code_memory *memory);

#endif
