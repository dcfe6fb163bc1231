/* SPDX-License-Identifier: MIT */
#include "core/boot/elf_image.h"

#include "core/base/bytes.h"
#include "core/base/checked.h"

#include <elf.h>
#include <inttypes.h>

#define MAX_PROGRAM_HEADERS 128
#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* Both classes, widened. */
struct header {
	uint16_t type, machine;
	uint64_t entry, phoff;
	uint16_t phentsize, phnum;
};

struct program_header {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

static bool set_broken(GError **error, const char *what)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "broken ELF file: %s", what);
	return false;
}

bool elf_detect(const uint8_t *data, size_t len)
{
	return len >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_AARCH64:
		return "arm64";
	case EM_ARM:
		return "arm";
	case EM_RISCV:
		return "riscv";
	case EM_PPC:
	case EM_PPC64:
		return "powerpc";
	case EM_S390:
		return "s390";
	default:
		return "another architecture";
	}
}

static bool read_header(const uint8_t *data, size_t len, bool is_64bit, struct header *ret_header)
{
	if (is_64bit) {
		Elf64_Ehdr h;
		if (len < sizeof(h)) {
			return false;
		}
		memcpy(&h, data, sizeof(h));
		*ret_header = (struct header){h.e_type, h.e_machine, h.e_entry, h.e_phoff,
				h.e_phentsize, h.e_phnum};
	} else {
		Elf32_Ehdr h;
		if (len < sizeof(h)) {
			return false;
		}
		memcpy(&h, data, sizeof(h));
		*ret_header = (struct header){h.e_type, h.e_machine, h.e_entry, h.e_phoff,
				h.e_phentsize, h.e_phnum};
	}
	return true;
}

static bool check_header(const struct header *header, size_t len, bool is_64bit, GError **error)
{
	if (header->machine != EM_X86_64 && header->machine != EM_386) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"an ELF file for %s, not for x86", machine_name(header->machine));
		return false;
	}
	/* Xen and kernels are ET_EXEC; position-independent ones load where their segments say. */
	if (header->type != ET_EXEC && header->type != ET_DYN) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"an ELF file that is no executable (an object file or a core dump)");
		return false;
	}
	if (header->phentsize != (is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr))) {
		return set_broken(error, "program headers of the wrong size");
	}
	if (header->phnum == 0 || header->phnum > MAX_PROGRAM_HEADERS) {
		return set_broken(error, "no program headers, or too many");
	}
	if (!range_within(header->phoff, (uint64_t)header->phnum * header->phentsize, len)) {
		return set_broken(error, "the program headers lie beyond the end of the file");
	}
	return true;
}

/* Program header index, which check_header() found to be inside the file. */
static struct program_header read_program_header(
		const uint8_t *data, const struct header *header, bool is_64bit, unsigned index)
{
	const uint8_t *at = data + header->phoff + (size_t)index * header->phentsize;

	if (is_64bit) {
		Elf64_Phdr h;
		memcpy(&h, at, sizeof(h));
		return (struct program_header){h.p_type, h.p_offset, h.p_vaddr, h.p_paddr,
				h.p_filesz, h.p_memsz, h.p_align};
	}
	Elf32_Phdr h;
	memcpy(&h, at, sizeof(h));
	return (struct program_header){h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz,
			h.p_memsz, h.p_align};
}

static bool add_segment(struct elf_image *image, const struct program_header *ph, size_t len,
		GError **error)
{
	uint64_t end;

	if (ph->memsz == 0) {
		return true;
	}
	if (!range_within(ph->offset, ph->filesz, len)) {
		return set_broken(error, "a segment lies beyond the end of the file (cut short?)");
	}
	if (ph->filesz > ph->memsz || !checked_add(ph->paddr, ph->memsz, &end)) {
		return set_broken(error, "a segment of impossible size");
	}
	if (image->segment_count == ELF_MAX_SEGMENTS) {
		return set_broken(error, "too many segments");
	}
	if (image->entry - ph->vaddr < ph->memsz) {
		image->entry_physical = ph->paddr + (image->entry - ph->vaddr);
	}
	image->segments[image->segment_count++] = (struct elf_segment){.address = ph->paddr,
			.file_offset = ph->offset,
			.file_size = ph->filesz,
			.memory_size = ph->memsz};
	return true;
}

/* Looks through one PT_NOTE segment for the PVH entry. Notes that make no sense end the search: they are not needed. */
static void scan_notes(struct elf_image *image, const uint8_t *data, size_t len, uint64_t align)
{
	size_t mask = align == 8 ? 7 : 3;
	size_t at = 0;

	while (len - at >= 12) {
		uint64_t name_size = le32_load(data + at);
		uint64_t desc_size = le32_load(data + at + 4);
		uint32_t type = le32_load(data + at + 8);
		uint64_t name = at + 12;
		uint64_t desc = (name + name_size + mask) & ~(uint64_t)mask;
		if (!range_within(desc, desc_size, len)) {
			return;
		}
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && name_size == 4 &&
				memcmp(data + name, "Xen", 4) == 0 && desc_size >= 4) {
			image->has_pvh_entry = true;
			image->pvh_entry = le32_load(data + desc);
			return;
		}
		uint64_t next = (desc + desc_size + mask) & ~(uint64_t)mask;
		if (next > len) {
			return;
		}
		at = next;
	}
}

bool elf_parse(const uint8_t *data, size_t len, struct elf_image *ret_image, GError **error)
{
	struct header header;

	if (!elf_detect(data, len) || len <= EI_DATA ||
			(data[EI_CLASS] != ELFCLASS32 && data[EI_CLASS] != ELFCLASS64) ||
			data[EI_DATA] != ELFDATA2LSB) {
		return set_broken(error, "neither 32 nor 64 bits little-endian");
	}
	struct elf_image image = {.is_64bit = data[EI_CLASS] == ELFCLASS64};
	if (!read_header(data, len, image.is_64bit, &header)) {
		return set_broken(error, "the header is cut short");
	}
	if (!check_header(&header, len, image.is_64bit, error)) {
		return false;
	}
	image.entry = image.entry_physical = header.entry;
	for (unsigned i = 0; i < header.phnum; i++) {
		struct program_header ph = read_program_header(data, &header, image.is_64bit, i);
		if (ph.type == PT_LOAD && !add_segment(&image, &ph, len, error)) {
			return false;
		}
		if (ph.type == PT_NOTE && range_within(ph.offset, ph.filesz, len)) {
			scan_notes(&image, data + ph.offset, ph.filesz, ph.align);
		}
	}
	if (image.segment_count == 0) {
		return set_broken(error, "nothing in it to load");
	}
	*ret_image = image;
	return true;
}
