/* SPDX-License-Identifier: MIT */
/* The handful of macros every file uses. */
#ifndef CORE_BASE_BASE_H
#define CORE_BASE_BASE_H

#include <assert.h>
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef NDEBUG
#error "Oriel's invariants are part of its safety: build without NDEBUG"
#endif

#define KiB UINT64_C(1024)
#define MiB (KiB * 1024)
#define GiB (MiB * 1024)

#define GUEST_PAGE_SIZE UINT64_C(4096)

/* The object of the given type whose member ptr points at. */
#define container_of(ptr, type, member) \
	({ \
		const __typeof__(((type *)0)->member) *member_ptr_ = (ptr); \
		(type *)((char *)(uintptr_t)member_ptr_ - offsetof(type, member)); \
	})

#define BIT(n) (UINT64_C(1) << (n))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
