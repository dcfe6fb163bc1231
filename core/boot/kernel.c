/* SPDX-License-Identifier: MIT */
#include "core/boot/kernel.h"

#include "core/base/bytes.h"
#include "core/base/checked.h"
#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/boot/decompress.h"
#include "core/boot/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

/* The setup header of bzImages (Linux, Documentation/arch/x86/boot.rst). */
#define SETUP_SECTS 0x1f1
#define SETUP_BOOT_FLAG 0x1fe /* 0xaa55 */
#define SETUP_MAGIC 0x202 /* "HdrS" */
#define SETUP_VERSION 0x206
#define SETUP_INITRD_MAX 0x22c /* the last byte an initrd may have, from 2.03 on */
#define SETUP_PAYLOAD_OFFSET 0x248 /* from 2.08 on */
#define SETUP_PAYLOAD_LENGTH 0x24c
#define SETUP_END 0x250

#define DEFAULT_MODULE_LIMIT (2 * GiB) /* what Linux allows unless it says otherwise */
#define ACCEPTED "a Linux bzImage, an ELF kernel with a PVH entry, or a multiboot image"

/*
 * What a file that is no kernel may be instead.
 */
static const struct {
	size_t offset;
	const char *magic;
	const char *what;
} known_files[] = {
		{0x38, "ARM\x64", "a Linux kernel for arm64"},
		{0x38, "RSC\x05", "a Linux kernel for riscv"},
		{0, "\x27\x05\x19\x56", "a U-Boot image"},
		{0, "MZ", "an EFI or Windows program"},
		{0, "QFI\xfb", "a qcow2 disk image"},
		{0, "KDMV", "a VMDK disk image"},
		{0, "070701", "a cpio archive (an initrd?)"},
		{0x8001, "CD001", "a CD image"},
		{0x101, "ustar", "a tar archive"},
		{0, "PK\x03\x04", "a zip archive"},
		{0, "!<arch>", "a Debian package or an archive"},
		{0, "\xed\xab\xee\xdb", "an RPM package"},
		{0, "#!", "a script"},
		{0x1fe, "\x55\xaa", "a disk or boot sector image"},
};

static bool is_text(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < MIN(len, 512); i++) {
		if (data[i] < 0x20 && !g_ascii_isspace((char)data[i])) {
			return false;
		}
	}
	return true;
}

static const char *describe(const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(known_files); i++) {
		size_t magic_len = strlen(known_files[i].magic);
		if (range_within(known_files[i].offset, magic_len, len) &&
				memcmp(data + known_files[i].offset, known_files[i].magic,
						magic_len) == 0) {
			return known_files[i].what;
		}
	}
	return is_text(data, len) ? "a text file" : "data of an unknown kind";
}

static bool set_not_a_kernel(GError **error, const char *looks_like)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
			"not a kernel but %s; wanted is " ACCEPTED, looks_like);
	return false;
}

/* An ELF kernel, a multiboot image or neither. Takes over contents on success. */
static bool accept_plain(struct boot_image *image, GBytes *contents, GError **error)
{
	size_t len;
	const uint8_t *data = g_bytes_get_data(contents, &len);
	GError *multiboot_error = NULL;
	bool is_elf = elf_detect(data, len);

	if (is_elf && !elf_parse(data, len, &image->elf, error)) {
		return false;
	}
	/* Multiboot first: Xen offers both, and its PVH entry is for running as a guest of Xen. */
	if (multiboot_detect(data, len, &image->elf, &multiboot_error)) {
		image->protocol = &boot_protocol_multiboot;
		image->module_limit = UINT32_MAX; /* addresses are of 32 bits, ends included */
	} else if (multiboot_error) {
		g_propagate_error(error, multiboot_error);
		return false;
	} else if (is_elf && image->elf.has_pvh_entry) {
		image->protocol = &boot_protocol_pvh;
	} else if (is_elf) {
		return set_not_a_kernel(error,
				"an ELF file without a PVH entry (a kernel built without "
				"CONFIG_PVH, or a program)");
	} else {
		return set_not_a_kernel(error, describe(data, len));
	}
	image->contents = g_bytes_ref(contents);
	return true;
}

static bool is_bzimage(const uint8_t *data, size_t len)
{
	return len >= SETUP_END && le16_load(data + SETUP_BOOT_FLAG) == 0xaa55 &&
	       memcmp(data + SETUP_MAGIC, "HdrS", 4) == 0;
}

static bool set_cut_short(GError **error, size_t len)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
			"a bzImage that is cut short after %zu bytes", len);
	return false;
}

/* A payload is decompressed at most once: what is in it must be the kernel. */
static bool accept_payload(
		struct boot_image *image, const uint8_t *data, size_t len, GError **error)
{
	g_autoptr(GBytes) contents = NULL;

	if (elf_detect(data, len)) {
		contents = g_bytes_new(data, len);
	} else {
		contents = decompress(compression_detect(data, len), data, len,
				BOOT_MAX_KERNEL_SIZE, error);
	}
	return contents && accept_plain(image, contents, error);
}

static bool accept_bzimage(
		struct boot_image *image, const uint8_t *data, size_t len, GError **error)
{
	unsigned version = le16_load(data + SETUP_VERSION);
	uint64_t setup_sectors = data[SETUP_SECTS] ? data[SETUP_SECTS] : 4;
	uint64_t offset = (setup_sectors + 1) * 512 + le32_load(data + SETUP_PAYLOAD_OFFSET);
	uint64_t payload = le32_load(data + SETUP_PAYLOAD_LENGTH);

	if (version < 0x208 || payload == 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"a bzImage of boot protocol %u.%02u; 2.08 or newer (Linux 2.6.26) is needed",
				version >> 8, version & 0xff);
		return false;
	}
	if (!range_within(offset, payload, len)) {
		return set_cut_short(error, len);
	}
	uint64_t limit = (uint64_t)le32_load(data + SETUP_INITRD_MAX) + 1;
	if (!accept_payload(image, data + offset, payload, error)) {
		return false;
	}
	image->module_limit = limit;
	return true;
}

struct boot_image *boot_image_parse(const char *name, GBytes *contents, GError **error)
{
	struct boot_image *image = g_new0(struct boot_image, 1);
	size_t len;
	const uint8_t *data = g_bytes_get_data(contents, &len);
	bool ok;

	image->name = g_strdup(name);
	image->module_limit = DEFAULT_MODULE_LIMIT;
	if (len == 0) {
		ok = set_not_a_kernel(error, "an empty file");
	} else if (is_bzimage(data, len)) {
		ok = accept_bzimage(image, data, len, error);
	} else if (compression_detect(data, len) != COMPRESSION_UNKNOWN) {
		ok = accept_payload(image, data, len, error);
	} else {
		ok = accept_plain(image, contents, error);
	}
	if (!ok) {
		g_prefix_error(error, "-kernel '%s': ", name);
		boot_image_destroy(image);
		return NULL;
	}
	return image;
}

static GBytes *read_file(const char *path, GError **error)
{
	struct stat st;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		set_error_errno(error, "-kernel '%s'", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > BOOT_MAX_KERNEL_SIZE) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"-kernel '%s': %s; wanted is " ACCEPTED, path,
				S_ISREG(st.st_mode) ? "larger than 1 GiB" : "not a regular file");
		return NULL;
	}
	size_t size = (size_t)st.st_size;
	g_autofree uint8_t *data = g_try_malloc(MAX(size, 1));
	if (!data) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
				"-kernel '%s': not enough memory", path);
		return NULL;
	}
	if (!fd_pread_all(fd, data, size, 0, error)) {
		g_prefix_error(error, "-kernel '%s': ", path);
		return NULL;
	}
	return g_bytes_new_take(g_steal_pointer(&data), size);
}

struct boot_image *boot_image_load(const char *path, GError **error)
{
	g_autoptr(GBytes) contents = read_file(path, error);

	return contents ? boot_image_parse(path, contents, error) : NULL;
}

void boot_image_destroy(struct boot_image *image)
{
	if (!image) {
		return;
	}
	g_clear_pointer(&image->contents, g_bytes_unref);
	g_free(image->name);
	g_free(image);
}

const char *boot_image_protocol(const struct boot_image *image)
{
	return image->protocol->name;
}

struct boot_loader {
	char *path;
	pthread_t thread;
	bool thread_started;
	struct boot_image *image; /* the thread's results */
	GError *error;
};

static void load(void *opaque)
{
	struct boot_loader *loader = opaque;

	loader->image = boot_image_load(loader->path, &loader->error);
}

struct boot_loader *boot_loader_start(const char *path)
{
	struct boot_loader *loader = g_new0(struct boot_loader, 1);

	loader->path = g_strdup(path);
	loader->thread_started = thread_create(&loader->thread, "boot-loader", load, loader, NULL);
	return loader;
}

struct boot_image *boot_loader_join(struct boot_loader *loader, GError **error)
{
	if (loader->thread_started) {
		pthread_join(loader->thread, NULL);
	} else {
		load(loader); /* late, but it works */
	}
	struct boot_image *image = loader->image;
	if (loader->error) {
		g_propagate_error(error, loader->error);
	}
	g_free(loader->path);
	g_free(loader);
	return image;
}

static void zero(struct guest_memory *memory, uint64_t start, uint64_t size)
{
	while (size > 0) {
		struct guest_mapping mapping;
		bool ok = guest_memory_map_some(memory, start, size, GUEST_WRITE, &mapping);
		assert(ok); /* was checked to be RAM */
		uint64_t len = mapping.len;
		memset(mapping.host, 0, len);
		guest_mapping_unmap(memory, &mapping, len);
		start += len;
		size -= len;
	}
}

static bool place_kernel(const struct boot_image *image, struct layout *layout, GError **error)
{
	const uint8_t *data = g_bytes_get_data(image->contents, NULL);
	uint64_t lowest = UINT64_MAX, highest = 0;

	for (unsigned i = 0; i < image->elf.segment_count; i++) {
		const struct elf_segment *segment = &image->elf.segments[i];
		if (!layout_is_ram(layout, segment->address, segment->memory_size)) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
					"it wants RAM from 0x%" PRIx64 " to 0x%" PRIx64
					", which the guest has not; give it more with -m",
					segment->address, segment->address + segment->memory_size);
			return false;
		}
		lowest = MIN(lowest, segment->address);
		highest = MAX(highest, segment->address + segment->memory_size);
	}
	for (unsigned i = 0; i < image->elf.segment_count; i++) {
		const struct elf_segment *segment = &image->elf.segments[i];
		bool ok = guest_memory_write(layout->memory, segment->address,
				data + segment->file_offset, segment->file_size);
		assert(ok);
		zero(layout->memory, segment->address + segment->file_size,
				segment->memory_size - segment->file_size);
	}
	layout_take(layout, lowest, highest - lowest);
	return true;
}

static struct x86_segment flat_segment(uint16_t selector, unsigned type)
{
	return (struct x86_segment){.base = 0,
			.limit = UINT32_MAX,
			.attributes = (uint32_t)(type | X86_SEG_S | X86_SEG_P | X86_SEG_DB |
						 X86_SEG_G | X86_SEG_ACCESSED),
			.selector = selector};
}

bool boot_flat32(struct layout *layout, uint32_t eip, struct x86_state *ret_state, GError **error)
{
	enum { CODE = 0x10, DATA = 0x18, TASK = 0x20 };
	/* Flat code and data of 4 GiB, and the task segment that PVH promises. */
	static const uint64_t gdt[] = {0, 0, UINT64_C(0x00cf9b000000ffff),
			UINT64_C(0x00cf93000000ffff), UINT64_C(0x00008b0000000067)};
	uint64_t gdt_address;

	if (!layout_put(layout, "descriptor table", gdt, sizeof(gdt), &gdt_address, error)) {
		return false;
	}
	struct x86_segment data = flat_segment(DATA, X86_SEG_WRITABLE);
	*ret_state = (struct x86_state){
			.rip = eip,
			.rflags = X86_FLAG_FIXED,
			.seg = {[X86_CS] = flat_segment(CODE, X86_SEG_CODE | X86_SEG_WRITABLE),
					[X86_DS] = data,
					[X86_ES] = data,
					[X86_SS] = data,
					[X86_FS] = data,
					[X86_GS] = data},
			.ldtr = {.attributes = X86_SEG_UNUSABLE},
			.tr = {.limit = 0x67, .attributes = X86_SEG_P | 0xb, .selector = TASK},
			.gdtr = {.base = gdt_address, .limit = sizeof(gdt) - 1},
			.idtr = {.base = 0, .limit = 0},
			.cr0 = X86_CR0_PE | X86_CR0_ET,
			.dr = {[6] = 0xffff0ff0, [7] = 0x400},
	};
	return true;
}

bool boot_image_place(const struct boot_image *image, struct guest_memory *memory,
		const struct boot_config *config, struct x86_state *ret_state, GError **error)
{
	struct layout layout;
	bool ok = false;

	if (config->command_line && strlen(config->command_line) >= BOOT_MAX_COMMAND_LINE) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"-append: longer than %u bytes",
				(unsigned)BOOT_MAX_COMMAND_LINE - 1);
		return false;
	}
	layout_init(&layout, memory, config->reserved, config->reserved_count);
	if (!place_kernel(image, &layout, error)) {
		g_prefix_error(error, "-kernel '%s': ", image->name);
	} else {
		ok = image->protocol->place(image, &layout, config, ret_state, error);
	}
	layout_finish(&layout);
	return ok;
}
