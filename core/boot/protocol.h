/* SPDX-License-Identifier: MIT */
/* What the boot protocols share: the image, its placing, the state of a CPU that starts in flat 32-bit mode. */
#ifndef CORE_BOOT_PROTOCOL_H
#define CORE_BOOT_PROTOCOL_H

#include "core/boot/elf_image.h"
#include "core/boot/kernel.h"
#include "core/boot/layout.h"

struct boot_protocol {
	const char *name;
	/* Puts modules and tables into RAM, where the kernel lies already. */
	bool (*place)(const struct boot_image *image, struct layout *layout,
			const struct boot_config *config, struct x86_state *ret_state,
			GError **error);
};

struct boot_image {
	char *name; /* the path, for messages */
	const struct boot_protocol *protocol;
	GBytes *contents; /* what the segments' offsets refer to */
	struct elf_image elf;
	uint64_t module_limit; /* modules end at or below */
};

extern const struct boot_protocol boot_protocol_pvh;
extern const struct boot_protocol boot_protocol_multiboot;

/*
 * Looks for a multiboot header in the first 8 KiB. If there is one, returns true; elf is changed where the header
 * says where to load. False without an error: there is none. False with an error: it asks for what we cannot give.
 */
bool multiboot_detect(const uint8_t *data, size_t len, struct elf_image *elf, GError **error);

/* Flat 32-bit protected mode without paging at eip; puts a descriptor table into RAM for segment loads. */
bool boot_flat32(struct layout *layout, uint32_t eip, struct x86_state *ret_state, GError **error);

#endif
