/* SPDX-License-Identifier: MIT */
/* Code that compilers made: the executable segments of 64-bit ELF files. */
#ifndef TESTS_CORE_ENGINE_SOFT_REAL_CODE_H
#define TESTS_CORE_ENGINE_SOFT_REAL_CODE_H

#include "core/base/base.h"

/* size bytes, to be mapped at address. */
typedef void real_code_fn(const uint8_t *bytes, size_t size, uint64_t address, void *data);

/* Calls visit with each segment. False if there is no such file, or none of that kind. */
bool real_code_visit(const char *path, real_code_fn *visit, void *data);

typedef void real_code_path_fn(const char *path, void *data);

/* Calls visit with each library that this program runs with, libc among them. */
void real_code_libraries(real_code_path_fn *visit, void *data);

/* Calls visit with Mesa's drivers, where they are installed: they are one library. */
void real_code_drivers(real_code_path_fn *visit, void *data);

#endif
