/* SPDX-License-Identifier: MIT */
/* The files of -initrd: opened early, read straight into guest RAM when the kernel is placed. */
#ifndef CORE_BOOT_MODULES_H
#define CORE_BOOT_MODULES_H

#include "core/boot/layout.h"

struct boot_module {
	char *path;
	char *command_line; /* path and arguments, as boot loaders pass it */
	int fd;
	uint64_t size; /* bytes; more than 0 */
};

struct boot_modules {
	unsigned count;
	struct boot_module modules[BOOT_MAX_MODULES];
};

/* Reads a module into RAM, as high as possible but below limit. */
bool module_place(const struct boot_module *module, struct layout *layout, uint64_t limit,
		uint64_t *ret_start, GError **error);

#endif
