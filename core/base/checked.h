/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on numbers that came from a guest. Every helper returns false where the true result
 * does not fit and writes its result only on success.
 */
#ifndef CORE_BASE_CHECKED_H
#define CORE_BASE_CHECKED_H

#include "core/base/base.h"

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	uint64_t sum;
	if (__builtin_add_overflow(a, b, &sum)) {
		return false;
	}
	*ret_sum = sum;
	return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret_product)
{
	uint64_t product;
	if (__builtin_mul_overflow(a, b, &product)) {
		return false;
	}
	*ret_product = product;
	return true;
}

/* Whether [offset, offset + len) lies inside [0, size). */
static inline bool range_within(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

/* Whether two half-open ranges share a byte. Neither may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len > 0 && b_len > 0 && a < b + b_len && b < a + a_len;
}

/* A rectangle in pixels, origin top left. */
struct rect {
	uint32_t x, y, width, height;
};

/* Whether r lies inside an image of width x height pixels. An empty rectangle inside it does. */
static inline bool rect_within(const struct rect *r, uint32_t width, uint32_t height)
{
	return range_within(r->x, r->width, width) && range_within(r->y, r->height, height);
}

static inline bool rect_empty(const struct rect *r)
{
	return r->width == 0 || r->height == 0;
}

#endif
