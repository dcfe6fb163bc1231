/* SPDX-License-Identifier: MIT */
#include "core/block/block_impl.h"

#include "core/base/checked.h"
#include "core/base/fd.h"

#include <errno.h>
#include <fcntl.h>

static const char *const interfaces[] = {"virtio", "none", NULL};
static const char *const formats[] = {"raw", NULL};
static const char *const aios[] = {"auto", "threads", "io_uring", NULL};
static const char *const discards[] = {"ignore", "unmap", NULL};

const struct property block_properties[] = {
		{.name = "file",
				.type = PROPERTY_STRING,
				.offset = offsetof(struct block_options, file),
				.help = "image file or block device"},
		{.name = "id",
				.type = PROPERTY_STRING,
				.offset = offsetof(struct block_options, id),
				.help = "name for -device drive="},
		{.name = "if",
				.type = PROPERTY_ENUM,
				.offset = offsetof(struct block_options, interface),
				.values = interfaces,
				.default_value = "virtio",
				.help = "what the disk is attached to"},
		{.name = "format",
				.type = PROPERTY_ENUM,
				.offset = offsetof(struct block_options, format),
				.values = formats,
				.default_value = "raw",
				.help = "format of the image"},
		{.name = "aio",
				.type = PROPERTY_ENUM,
				.offset = offsetof(struct block_options, aio),
				.values = aios,
				.default_value = "auto",
				.help = "how the host is asked"},
		{.name = "discard",
				.type = PROPERTY_ENUM,
				.offset = offsetof(struct block_options, discard),
				.values = discards,
				.default_value = "ignore",
				.help = "whether the guest may free space of the image"},
		{.name = "readonly",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct block_options, read_only),
				.default_value = "off",
				.help = "the guest may not write"},
		{.name = "snapshot",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct block_options, snapshot),
				.default_value = "off",
				.help = "what the guest writes is thrown away at the end"},
		{.name = "locking",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct block_options, locking),
				.default_value = "on",
				.help = "keep other programs from writing to the image"},
		{0},
};

static int open_file(const struct block_options *options, bool writable, GError **error)
{
	int fd = open(options->file, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0) {
		bool refused = errno == EACCES || errno == EROFS || errno == EPERM;
		set_error_errno(error, "cannot open '%s' for %s%s", options->file,
				writable ? "writing" : "reading",
				writable && refused ? " (readonly=on or snapshot=on only read it)"
						    : "");
		return -1;
	}
	if (options->locking && !block_lock_image(fd, options->file, writable, error)) {
		fd_close(&fd);
	}
	return fd;
}

struct block *block_open(const struct block_options *options, GError **error)
{
	bool writable = !options->read_only && !options->snapshot;

	if (!options->file || !options->file[0]) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"a drive needs file=, the image");
		return NULL;
	}
	int fd = open_file(options, writable, error);
	if (fd < 0) {
		return NULL;
	}
	struct block *block = block_raw_create(fd, options->file, error);
	if (!block) {
		return NULL;
	}
	block->read_only = !writable;
	block->unmaps = writable && options->discard == BLOCK_DISCARD_UNMAP;
	if (options->snapshot) {
		block = block_overlay_create(block, error);
		if (!block) {
			return NULL;
		}
		block->read_only = options->read_only;
	}
	block->id = g_strdup(options->id);
	block->aio = options->aio;
	return block;
}

void block_close(struct block *block)
{
	if (!block) {
		return;
	}
	g_free(block->file);
	g_free(block->id);
	block->impl->close(block);
}

const char *block_name(const struct block *block)
{
	return block->id ? block->id : block->file;
}

const char *block_id(const struct block *block)
{
	return block->id;
}

uint64_t block_size(const struct block *block)
{
	return block->size;
}

bool block_is_read_only(const struct block *block)
{
	return block->read_only;
}

bool block_unmaps(const struct block *block)
{
	return block->unmaps;
}

int block_flush_result(struct block *block, int error)
{
	if (error) {
		(void)g_atomic_int_compare_and_exchange(&block->flush_error, 0, error);
	}
	return g_atomic_int_get(&block->flush_error);
}

static int check(const struct block *block, const struct block_request *request)
{
	if (request->op == BLOCK_FLUSH) {
		return 0;
	}
	if (request->op != BLOCK_READ && block->read_only) {
		return EROFS;
	}
	bool ok = range_within(request->offset, request->len, block->size) &&
		  request->iov_count <= BLOCK_MAX_SEGMENTS;
	return ok ? 0 : EINVAL;
}

int block_perform(struct block *block, const struct block_request *request)
{
	const struct block_impl *impl = block->impl;
	int error = check(block, request);

	if (error) {
		return error;
	}
	switch (request->op) {
	case BLOCK_READ:
		return impl->readv(block, request->iov, request->iov_count, request->offset,
				request->len);
	case BLOCK_WRITE:
		return impl->writev(block, request->iov, request->iov_count, request->offset,
				request->len, request->through);
	case BLOCK_FLUSH:
		return block_flush_result(block, impl->flush ? impl->flush(block) : 0);
	case BLOCK_DISCARD:
		return block->unmaps ? impl->discard(block, request->offset, request->len) : 0;
	case BLOCK_WRITE_ZEROES:
		return impl->write_zeroes(block, request->offset, request->len,
				request->may_unmap && block->unmaps, request->through);
	}
	return ENOTSUP;
}
