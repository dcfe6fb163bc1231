/* SPDX-License-Identifier: MIT */
/* A disk image in a folder of its own, for tests of core/block. */
#ifndef TESTS_CORE_BLOCK_IMAGE_FILE_H
#define TESTS_CORE_BLOCK_IMAGE_FILE_H

#include "core/block/block.h"

struct image_file {
	char *folder, *path;
	uint64_t size;
};

/* size bytes, the n-th of which is image_byte(n). */
struct image_file *image_file_create(uint64_t size);
void image_file_destroy(struct image_file *image);

static inline uint8_t image_byte(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 512 + offset / 65536);
}

/* What the file holds now. */
uint8_t image_file_read(const struct image_file *image, uint64_t offset);

/* Opened with properties "name", "value", ..., NULL. */
struct block *image_file_open(const struct image_file *image, GError **error, ...);

/* One request that must succeed; returns the error otherwise. */
int image_read(struct block *block, uint64_t offset, void *buf, uint64_t len);
int image_write(struct block *block, uint64_t offset, const void *buf, uint64_t len);
int image_fill(struct block *block, uint64_t offset, uint8_t value, uint64_t len);
int image_request(struct block *block, enum block_op op, uint64_t offset, uint64_t len);

#endif
