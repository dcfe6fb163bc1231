/* SPDX-License-Identifier: MIT */
/* Any file as -kernel: parsed, and placed where it was accepted. */
#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/boot/kernel.h"
#include "tests/fuzz/fuzz.h"

#define RAM_SIZE (4 * MiB)

static struct guest_memory *memory_once(void)
{
	static struct guest_memory *memory;

	if (!memory) {
		auto_fd int fd = memfd_create_sized("fuzz", RAM_SIZE, NULL);
		thread_register();
		memory = guest_memory_create();
		bool ok = guest_memory_add(memory, 0, RAM_SIZE, fd, 0, 0, NULL);
		assert(ok);
	}
	return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct boot_config config = {.command_line = "quiet"};
	struct guest_memory *memory = memory_once();
	g_autoptr(GBytes) contents = g_bytes_new(data, size);
	g_autoptr(GError) error = NULL;
	struct boot_image *image = boot_image_parse("fuzz", contents, &error);
	struct x86_state state;

	assert(!image == (error != NULL));
	if (image) {
		bool ok = boot_image_place(image, memory, &config, &state, NULL);
		assert(!ok || state.gdtr.base < RAM_SIZE);
		boot_image_destroy(image);
	}
	return 0;
}
