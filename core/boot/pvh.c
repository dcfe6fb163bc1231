/* SPDX-License-Identifier: MIT */
/* The PVH boot ABI of Xen (docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h). */
#include "core/boot/modules.h"
#include "core/boot/protocol.h"

#include <string.h>

#define START_MAGIC 0x336ec578u

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist;
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memmap; /* from version 1 on */
	uint32_t memmap_entries;
	uint32_t reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "hvm_start_info");

struct modlist_entry {
	uint64_t start, size;
	uint64_t cmdline;
	uint64_t reserved;
};
_Static_assert(sizeof(struct modlist_entry) == 32, "hvm_modlist_entry");

struct memmap_entry {
	uint64_t start, size;
	uint32_t type;
	uint32_t reserved;
};
_Static_assert(sizeof(struct memmap_entry) == 24, "hvm_memmap_table_entry");

static bool put_modules(const struct boot_image *image, struct layout *layout,
		const struct boot_modules *modules, struct start_info *info, GError **error)
{
	struct modlist_entry list[BOOT_MAX_MODULES] = {0};

	for (unsigned i = 0; i < modules->count; i++) {
		const struct boot_module *module = &modules->modules[i];
		list[i].size = module->size;
		if (!module_place(module, layout, image->module_limit, &list[i].start, error) ||
				!layout_put(layout, "module's command line", module->command_line,
						strlen(module->command_line) + 1, &list[i].cmdline,
						error)) {
			return false;
		}
	}
	info->nr_modules = modules->count;
	return layout_put(layout, "module list", list, modules->count * sizeof(list[0]),
			&info->modlist, error);
}

static bool put_memory_map(struct layout *layout, struct start_info *info, GError **error)
{
	g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(struct memmap_entry));

	for (unsigned i = 0; i < layout->map->len; i++) {
		const struct boot_range *range = &g_array_index(layout->map, struct boot_range, i);
		struct memmap_entry entry = {range->start, range->size, range->type, 0};
		g_array_append_val(entries, entry);
	}
	info->memmap_entries = entries->len;
	return layout_put(layout, "memory map", entries->data,
			entries->len * sizeof(struct memmap_entry), &info->memmap, error);
}

static bool pvh_place(const struct boot_image *image, struct layout *layout,
		const struct boot_config *config, struct x86_state *ret_state, GError **error)
{
	struct start_info info = {.magic = START_MAGIC, .version = 1, .rsdp = config->rsdp};
	const char *command_line = config->command_line ? config->command_line : "";
	uint64_t address;

	if (!layout_put(layout, "command line", command_line, strlen(command_line) + 1,
			    &info.cmdline, error) ||
			(config->modules && !put_modules(image, layout, config->modules, &info,
							    error)) ||
			!put_memory_map(layout, &info, error) ||
			!layout_put(layout, "start info", &info, sizeof(info), &address, error) ||
			!boot_flat32(layout, image->elf.pvh_entry, ret_state, error)) {
		return false;
	}
	ret_state->regs[X86_RBX] = address;
	return true;
}

const struct boot_protocol boot_protocol_pvh = {.name = "PVH", .place = pvh_place};
