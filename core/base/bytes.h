/* SPDX-License-Identifier: MIT */
/* Little-endian loads and stores at any alignment. The host is x86-64, so they are plain copies. */
#ifndef CORE_BASE_BYTES_H
#define CORE_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t le16_load(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t le32_load(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t le64_load(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void le16_store(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void le32_store(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void le64_store(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* The low len (1, 2, 4 or 8) bytes at p as a number, and back: what register accesses carry. */
static inline uint64_t le_load(const void *p, unsigned len)
{
	uint64_t v = 0;
	memcpy(&v, p, len);
	return v;
}

static inline void le_store(void *p, uint64_t v, unsigned len)
{
	memcpy(p, &v, len);
}

#endif
