/* SPDX-License-Identifier: MIT */
#include "tests/core/block/image_file.h"

#include "core/base/fd.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

struct image_file *image_file_create(uint64_t size)
{
	struct image_file *image = g_new0(struct image_file, 1);
	g_autofree uint8_t *content = g_malloc(size + 1);

	image->folder = g_dir_make_tmp("oriel-test-XXXXXX", NULL);
	assert(image->folder);
	image->path = g_build_filename(image->folder, "disk.img", NULL);
	image->size = size;
	for (uint64_t i = 0; i < size; i++) {
		content[i] = image_byte(i);
	}
	bool ok = g_file_set_contents(image->path, (const char *)content, (gssize)size, NULL);
	assert(ok);
	return image;
}

void image_file_destroy(struct image_file *image)
{
	(void)unlink(image->path); /* a test may have done it */
	int ret = rmdir(image->folder);
	assert(ret == 0); /* nothing else was left there */
	g_free(image->path);
	g_free(image->folder);
	g_free(image);
}

uint8_t image_file_read(const struct image_file *image, uint64_t offset)
{
	auto_fd int fd = open(image->path, O_RDONLY | O_CLOEXEC);
	uint8_t byte;

	bool ok = fd >= 0 && fd_pread_all(fd, &byte, 1, (off_t)offset, NULL);
	assert(ok);
	return byte;
}

struct block *image_file_open(const struct image_file *image, GError **error, ...)
{
	struct block_options options;
	const char *name;
	va_list args;

	properties_set_defaults(&options, block_properties);
	options.file = g_strdup(image->path);
	va_start(args, error);
	while ((name = va_arg(args, const char *))) {
		bool ok = property_set(
				&options, block_properties, name, va_arg(args, const char *), NULL);
		assert(ok);
	}
	va_end(args);
	struct block *block = block_open(&options, error);
	properties_clear(&options, block_properties);
	return block;
}

static int transfer(struct block *block, enum block_op op, uint64_t offset, void *buf, uint64_t len)
{
	const struct iovec iov = {.iov_base = buf, .iov_len = len};
	const struct block_request request = {
			.op = op, .offset = offset, .len = len, .iov = &iov, .iov_count = 1};

	return block_perform(block, &request);
}

int image_read(struct block *block, uint64_t offset, void *buf, uint64_t len)
{
	return transfer(block, BLOCK_READ, offset, buf, len);
}

int image_write(struct block *block, uint64_t offset, const void *buf, uint64_t len)
{
	return transfer(block, BLOCK_WRITE, offset, (void *)(uintptr_t)buf, len);
}

int image_fill(struct block *block, uint64_t offset, uint8_t value, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len + 1);

	memset(buf, value, len);
	return image_write(block, offset, buf, len);
}

int image_request(struct block *block, enum block_op op, uint64_t offset, uint64_t len)
{
	const struct block_request request = {
			.op = op, .offset = offset, .len = len, .may_unmap = true};

	return block_perform(block, &request);
}
