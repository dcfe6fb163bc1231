/* SPDX-License-Identifier: MIT */
#include "core/boot/modules.h"

#include "core/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static bool open_file(struct boot_module *module, GError **error)
{
	struct stat st;

	module->fd = open(module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (module->fd < 0 || fstat(module->fd, &st) < 0) {
		set_error_errno(error, "-initrd '%s'", module->path);
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"-initrd '%s': not a regular file", module->path);
		return false;
	}
	if (st.st_size == 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"-initrd '%s': the file is empty", module->path);
		return false;
	}
	module->size = (uint64_t)st.st_size;
	return true;
}

/* item is "path" or "path arguments". */
static bool open_module(struct boot_module *module, const char *item, GError **error)
{
	size_t path_len = strlen(item);

	if (!g_file_test(item, G_FILE_TEST_EXISTS) && strchr(item, ' ')) {
		path_len = (size_t)(strchr(item, ' ') - item);
	}
	module->path = g_strndup(item, path_len);
	module->command_line = g_strdup(item);
	return open_file(module, error);
}

/* Splits at commas; two commas stand for one. */
static GPtrArray *split_list(const char *list)
{
	GPtrArray *items = g_ptr_array_new_with_free_func(g_free);
	GString *item = g_string_new(NULL);

	for (const char *at = list; *at; at++) {
		if (at[0] == ',' && at[1] == ',') {
			at++;
		} else if (at[0] == ',') {
			g_ptr_array_add(items, g_string_free(item, FALSE));
			item = g_string_new(NULL);
			continue;
		}
		g_string_append_c(item, *at);
	}
	g_ptr_array_add(items, g_string_free(item, FALSE));
	return items;
}

struct boot_modules *boot_modules_open(const char *list, GError **error)
{
	struct boot_modules *modules = g_new0(struct boot_modules, 1);
	g_autoptr(GPtrArray) items = NULL;

	for (unsigned i = 0; i < BOOT_MAX_MODULES; i++) {
		modules->modules[i].fd = -1;
	}
	if (g_file_test(list, G_FILE_TEST_EXISTS)) {
		items = g_ptr_array_new_with_free_func(g_free);
		g_ptr_array_add(items, g_strdup(list));
	} else {
		items = split_list(list);
	}
	if (items->len > BOOT_MAX_MODULES) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"-initrd: %u modules; at most %d are possible", items->len,
				BOOT_MAX_MODULES);
		goto fail;
	}
	for (unsigned i = 0; i < items->len; i++) {
		modules->count++;
		if (!open_module(&modules->modules[i], items->pdata[i], error)) {
			goto fail;
		}
	}
	return modules;

fail:
	boot_modules_close(modules);
	return NULL;
}

void boot_modules_close(struct boot_modules *modules)
{
	if (!modules) {
		return;
	}
	for (unsigned i = 0; i < modules->count; i++) {
		fd_close(&modules->modules[i].fd);
		g_free(modules->modules[i].path);
		g_free(modules->modules[i].command_line);
	}
	g_free(modules);
}

static bool read_into(const struct boot_module *module, struct guest_memory *memory, uint64_t start,
		GError **error)
{
	uint64_t done = 0;

	while (done < module->size) {
		struct guest_mapping mapping;
		bool mapped = guest_memory_map_some(
				memory, start + done, module->size - done, GUEST_WRITE, &mapping);
		assert(mapped); /* the layout is made of RAM */
		uint64_t len = mapping.len;
		bool ok = fd_pread_all(module->fd, mapping.host, len, (off_t)done, error);
		guest_mapping_unmap(memory, &mapping, len);
		if (!ok) {
			g_prefix_error(error, "-initrd '%s': ", module->path);
			return false;
		}
		done += len;
	}
	return true;
}

bool module_place(const struct boot_module *module, struct layout *layout, uint64_t limit,
		uint64_t *ret_start, GError **error)
{
	if (!layout_find_high(layout, module->size, limit, ret_start)) {
		g_autofree char *size = g_format_size_full(module->size, G_FORMAT_SIZE_IEC_UNITS);
		g_autofree char *below = g_format_size_full(limit, G_FORMAT_SIZE_IEC_UNITS);
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
				"-initrd '%s': its %s do not fit into the RAM that the kernel leaves free below %s; "
				"give the guest more with -m",
				module->path, size, below);
		return false;
	}
	return read_into(module, layout->memory, *ret_start, error);
}
