/* SPDX-License-Identifier: MIT */
/* Multiboot 0.6.96 (version 1). Left out: video modes, symbol tables, drives, the APM table. */
#include "core/base/bytes.h"
#include "core/base/checked.h"
#include "core/boot/modules.h"
#include "core/boot/protocol.h"

#include <string.h>

#define HEADER_MAGIC 0x1badb002u
#define HEADER_SEARCH 8192 /* bytes from the start of the file that may hold the header */
#define LOADER_MAGIC 0x2badb002u

/* Bits of the header's flags; the low 16 are demands. */
#define FLAG_ALIGN_MODULES (1u << 0)
#define FLAG_MEMORY (1u << 1)
#define FLAG_VIDEO (1u << 2) /* a wish: without an answer the kernel goes on in text mode */
#define FLAG_DEMANDS 0xffffu
#define FLAG_ADDRESSES (1u << 16)

#define INFO_MEMORY (1u << 0)
#define INFO_COMMAND_LINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MEMORY_MAP (1u << 6)
#define INFO_LOADER_NAME (1u << 9)

struct header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr,
			entry_addr; /* FLAG_ADDRESSES */
};

struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
	uint32_t framebuffer[7];
};
_Static_assert(sizeof(struct info) == 116, "multiboot 3.3");

struct info_module {
	uint32_t start, end;
	uint32_t cmdline;
	uint32_t reserved;
};

struct info_memory {
	uint32_t size; /* of the rest of the entry */
	uint64_t start, len;
	uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct info_memory) == 24, "multiboot 3.3");

/* The offset of the header, or len if there is none. */
static size_t find_header(const uint8_t *data, size_t len)
{
	size_t end = MIN(len, HEADER_SEARCH);

	for (size_t at = 0; at + 12 <= end; at += 4) {
		uint32_t magic = le32_load(data + at);
		uint32_t flags = le32_load(data + at + 4);
		if (magic == HEADER_MAGIC && magic + flags + le32_load(data + at + 8) == 0) {
			return at;
		}
	}
	return len;
}

static bool set_broken(GError **error, const char *what)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "broken multiboot header: %s", what);
	return false;
}

/* The header itself says what goes where (3.1.3). */
static bool load_by_addresses(const struct header *header, size_t header_offset, size_t len,
		struct elf_image *elf, GError **error)
{
	uint64_t skipped = (uint64_t)header->header_addr - header->load_addr;

	if (header->load_addr > header->header_addr || skipped > header_offset) {
		return set_broken(error, "it loads from before the file's start");
	}
	uint64_t offset = header_offset - skipped;
	uint64_t size = header->load_end_addr ? (uint64_t)header->load_end_addr - header->load_addr
					      : len - offset;
	uint64_t end = header->bss_end_addr ? header->bss_end_addr : header->load_addr + size;
	if (header->load_end_addr && header->load_end_addr < header->load_addr) {
		return set_broken(error, "it ends before it begins");
	}
	if (!range_within(offset, size, len)) {
		return set_broken(error, "it loads from beyond the file's end (cut short?)");
	}
	if (end < header->load_addr + size || end == header->load_addr) {
		return set_broken(error, "its end of zeroes lies before that of its data");
	}
	memset(elf, 0, sizeof(*elf));
	elf->entry = elf->entry_physical = header->entry_addr;
	elf->segment_count = 1;
	elf->segments[0] = (struct elf_segment){.address = header->load_addr,
			.file_offset = offset,
			.file_size = size,
			.memory_size = end - header->load_addr};
	return true;
}

bool multiboot_detect(const uint8_t *data, size_t len, struct elf_image *elf, GError **error)
{
	struct header header = {0};
	size_t offset = find_header(data, len);

	if (offset == len) {
		return false;
	}
	memcpy(&header, data + offset, MIN(sizeof(header), len - offset));
	uint32_t unknown = header.flags & FLAG_DEMANDS &
			   ~(FLAG_ALIGN_MODULES | FLAG_MEMORY | FLAG_VIDEO);
	if (unknown) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"a multiboot image that demands features 0x%x, which multiboot 1 does not know",
				unknown);
		return false;
	}
	if (header.flags & FLAG_ADDRESSES) {
		if (len - offset < sizeof(header)) {
			return set_broken(error, "it is cut short");
		}
		return load_by_addresses(&header, offset, len, elf, error);
	}
	if (elf->segment_count == 0) {
		return set_broken(error, "it names no addresses, and the file is no ELF file");
	}
	if (elf->entry_physical > UINT32_MAX) {
		return set_broken(error, "the entry lies beyond 4 GiB");
	}
	return true;
}

static bool put_string(struct layout *layout, const char *what, const char *text,
		uint32_t *ret_start, GError **error)
{
	uint64_t start;

	if (!layout_put(layout, what, text, strlen(text) + 1, &start, error)) {
		return false;
	}
	*ret_start = (uint32_t)start; /* layout_put() stays below 4 GiB */
	return true;
}

static bool put_modules(const struct boot_image *image, struct layout *layout,
		const struct boot_modules *modules, struct info *info, GError **error)
{
	struct info_module list[BOOT_MAX_MODULES] = {0};
	uint64_t start;

	for (unsigned i = 0; i < modules->count; i++) {
		const struct boot_module *module = &modules->modules[i];
		if (!module_place(module, layout, image->module_limit, &start, error) ||
				!put_string(layout, "module's command line", module->command_line,
						&list[i].cmdline, error)) {
			return false;
		}
		list[i].start = (uint32_t)start;
		list[i].end = (uint32_t)(start + module->size);
	}
	if (!layout_put(layout, "module list", list, modules->count * sizeof(list[0]), &start,
			    error)) {
		return false;
	}
	info->flags |= INFO_MODULES;
	info->mods_count = modules->count;
	info->mods_addr = (uint32_t)start;
	return true;
}

static bool put_memory_map(struct layout *layout, struct info *info, GError **error)
{
	g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(struct info_memory));
	uint64_t start;

	for (unsigned i = 0; i < layout->map->len; i++) {
		const struct boot_range *range = &g_array_index(layout->map, struct boot_range, i);
		struct info_memory entry = {sizeof(entry) - sizeof(entry.size), range->start,
				range->size, range->type};
		g_array_append_val(entries, entry);
		if (range->type == BOOT_RANGE_RAM && range->start == 0) {
			info->mem_lower = (uint32_t)(MIN(range->size, MiB) / KiB);
		}
		if (range->type == BOOT_RANGE_RAM && range->start == MiB) {
			info->mem_upper = (uint32_t)(MIN(range->size, 4 * GiB - MiB) / KiB);
		}
	}
	size_t len = entries->len * sizeof(struct info_memory);
	if (!layout_put(layout, "memory map", entries->data, len, &start, error)) {
		return false;
	}
	info->flags |= INFO_MEMORY | INFO_MEMORY_MAP;
	info->mmap_addr = (uint32_t)start;
	info->mmap_length = (uint32_t)len;
	return true;
}

static bool multiboot_place(const struct boot_image *image, struct layout *layout,
		const struct boot_config *config, struct x86_state *ret_state, GError **error)
{
	struct info info = {.flags = INFO_COMMAND_LINE | INFO_LOADER_NAME};
	const char *arguments = config->command_line ? config->command_line : "";
	/* The image's name comes first, as boot loaders have it. */
	g_autofree char *command_line = g_strdup_printf(
			"%s%s%s", image->name, *arguments ? " " : "", arguments);
	uint64_t address;

	if (!put_string(layout, "command line", command_line, &info.cmdline, error) ||
			!put_string(layout, "loader's name", "oriel", &info.boot_loader_name,
					error) ||
			(config->modules && !put_modules(image, layout, config->modules, &info,
							    error)) ||
			!put_memory_map(layout, &info, error) ||
			!layout_put(layout, "multiboot information", &info, sizeof(info), &address,
					error) ||
			!boot_flat32(layout, (uint32_t)image->elf.entry_physical, ret_state,
					error)) {
		return false;
	}
	ret_state->regs[X86_RAX] = LOADER_MAGIC;
	ret_state->regs[X86_RBX] = address;
	return true;
}

const struct boot_protocol boot_protocol_multiboot = {
		.name = "multiboot", .place = multiboot_place};
