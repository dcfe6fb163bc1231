/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/real_code.h"

#include <elf.h>
#include <glob.h>
#include <link.h>
#include <string.h>

static bool is_elf64(const uint8_t *data, size_t size)
{
	return size >= sizeof(Elf64_Ehdr) && memcmp(data, ELFMAG, SELFMAG) == 0 &&
	       data[EI_CLASS] == ELFCLASS64;
}

static bool fits(uint64_t offset, uint64_t len, size_t size)
{
	return offset <= size && len <= size - offset;
}

bool real_code_visit(const char *path, real_code_fn *visit, void *data)
{
	g_autoptr(GMappedFile) file = g_mapped_file_new(path, false, NULL);
	const uint8_t *bytes = file ? (const uint8_t *)g_mapped_file_get_contents(file) : NULL;
	size_t size = file ? g_mapped_file_get_length(file) : 0;
	Elf64_Ehdr elf;

	if (!is_elf64(bytes, size)) {
		return false;
	}
	memcpy(&elf, bytes, sizeof(elf));
	for (size_t i = 0; i < elf.e_phnum; i++) {
		uint64_t at = elf.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr segment;

		if (!fits(at, sizeof(segment), size)) {
			return false;
		}
		memcpy(&segment, bytes + at, sizeof(segment));
		if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) &&
				fits(segment.p_offset, segment.p_filesz, size)) {
			visit(bytes + segment.p_offset, segment.p_filesz, segment.p_vaddr, data);
		}
	}
	return true;
}

struct libraries {
	real_code_path_fn *visit;
	void *data;
};

static int visit_object(struct dl_phdr_info *info, size_t size, void *data)
{
	const struct libraries *libraries = data;

	(void)size;
	if (info->dlpi_name[0] == '/') {
		libraries->visit(info->dlpi_name, libraries->data);
	}
	return 0;
}

void real_code_libraries(real_code_path_fn *visit, void *data)
{
	struct libraries libraries = {visit, data};

	(void)dl_iterate_phdr(visit_object, &libraries);
}

void real_code_drivers(real_code_path_fn *visit, void *data)
{
	/* Up to Mesa 24.2 each driver is a name of the library. */
	static const char *const patterns[] = {
			"/usr/lib/x86_64-linux-gnu/dri/swrast_dri.so",
			"/usr/lib/x86_64-linux-gnu/libgallium-*.so",
			"/usr/lib64/dri/swrast_dri.so",
			"/usr/lib64/libgallium-*.so",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
		glob_t found;

		if (glob(patterns[i], 0, NULL, &found) == 0) {
			for (size_t k = 0; k < found.gl_pathc; k++) {
				visit(found.gl_pathv[k], data);
			}
			globfree(&found);
		}
	}
}
