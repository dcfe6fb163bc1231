/* SPDX-License-Identifier: MIT */
#include "tests/harness/kernel_image.h"

#include <elf.h>
#include <string.h>

#define NOTE_OFFSET 0x300

/* The file so far, with room made for [offset, offset + len). */
static void put(GByteArray *file, size_t offset, const void *data, size_t len)
{
	if (file->len < offset + len) {
		size_t old = file->len;
		g_byte_array_set_size(file, (guint)(offset + len));
		memset(file->data + old, 0, file->len - old);
	}
	if (len > 0) {
		memcpy(file->data + offset, data, len);
	}
}

static void put_header(GByteArray *file, const struct kernel_image *image, unsigned headers)
{
	uint16_t type = image->type ? image->type : ET_EXEC;

	if (image->is_32bit) {
		Elf32_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1},
				.e_type = type,
				.e_machine = image->machine ? image->machine : EM_386,
				.e_version = 1,
				.e_entry = (uint32_t)image->entry,
				.e_phoff = sizeof(h),
				.e_ehsize = sizeof(h),
				.e_phentsize = sizeof(Elf32_Phdr),
				.e_phnum = (uint16_t)headers};
		put(file, 0, &h, sizeof(h));
	} else {
		Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
				.e_type = type,
				.e_machine = image->machine ? image->machine : EM_X86_64,
				.e_version = 1,
				.e_entry = image->entry,
				.e_phoff = sizeof(h),
				.e_ehsize = sizeof(h),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = (uint16_t)headers};
		put(file, 0, &h, sizeof(h));
	}
}

static void put_program_header(GByteArray *file, const struct kernel_image *image, unsigned index,
		uint32_t type, uint64_t offset, const struct kernel_image_segment *segment)
{
	if (image->is_32bit) {
		Elf32_Phdr h = {.p_type = type,
				.p_offset = (uint32_t)offset,
				.p_vaddr = (uint32_t)segment->virtual_address,
				.p_paddr = (uint32_t)segment->address,
				.p_filesz = (uint32_t)segment->file_size,
				.p_memsz = (uint32_t)segment->memory_size,
				.p_align = 4};
		put(file, sizeof(Elf32_Ehdr) + index * sizeof(h), &h, sizeof(h));
	} else {
		Elf64_Phdr h = {.p_type = type,
				.p_offset = offset,
				.p_vaddr = segment->virtual_address,
				.p_paddr = segment->address,
				.p_filesz = segment->file_size,
				.p_memsz = segment->memory_size,
				.p_align = 4};
		put(file, sizeof(Elf64_Ehdr) + index * sizeof(h), &h, sizeof(h));
	}
}

/* Another program's note, then Xen's. */
static void put_notes(GByteArray *file, const struct kernel_image *image, unsigned index)
{
	const struct {
		uint32_t other_name, other_size, other_type;
		char other[4], other_value[8];
		uint32_t name, size, type;
		char xen[4];
		uint32_t entry;
	} notes = {4, 6, 1, "GNU", "123456", 4, 4, 18, "Xen", image->pvh_entry};
	const struct kernel_image_segment segment = {
			.file_size = sizeof(notes), .memory_size = sizeof(notes)};

	put(file, NOTE_OFFSET, &notes, sizeof(notes));
	put_program_header(file, image, index, PT_NOTE, NOTE_OFFSET, &segment);
}

GBytes *kernel_image_elf(const struct kernel_image *image)
{
	GByteArray *file = g_byte_array_new();
	size_t offset = KERNEL_IMAGE_DATA;

	put_header(file, image, image->segment_count + (image->pvh ? 1 : 0));
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct kernel_image_segment *segment = &image->segments[i];
		put_program_header(file, image, i, PT_LOAD, offset, segment);
		put(file, offset, segment->data, segment->file_size);
		offset += segment->file_size;
	}
	if (image->pvh) {
		put_notes(file, image, image->segment_count);
	}
	return g_byte_array_free_to_bytes(file);
}

GBytes *kernel_image_bzimage(const void *payload, size_t len, uint32_t initrd_max)
{
	enum { SETUP_SECTORS = 2, PAYLOAD = 0x40 };
	GByteArray *file = g_byte_array_new();
	const uint8_t sectors = SETUP_SECTORS;
	const uint16_t boot_flag = 0xaa55, version = 0x020f;
	const uint32_t offset = PAYLOAD, length = (uint32_t)len;

	put(file, 0, "MZ", 2);
	put(file, 0x1f1, &sectors, 1);
	put(file, 0x1fe, &boot_flag, 2);
	put(file, 0x202, "HdrS", 4);
	put(file, 0x206, &version, 2);
	put(file, 0x22c, &initrd_max, 4);
	put(file, 0x248, &offset, 4);
	put(file, 0x24c, &length, 4);
	put(file, (SETUP_SECTORS + 1) * 512 + PAYLOAD, payload, len);
	return g_byte_array_free_to_bytes(file);
}

GBytes *kernel_image_append(GBytes *contents, const void *more, size_t len)
{
	size_t old;
	const void *data = g_bytes_get_data(contents, &old);
	GByteArray *file = g_byte_array_new();

	put(file, 0, data, old);
	put(file, old, more, len);
	return g_byte_array_free_to_bytes(file);
}
