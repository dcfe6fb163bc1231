/* SPDX-License-Identifier: MIT */
/* What somebody meant who mistyped a name. */
#ifndef CORE_BASE_NEAREST_H
#define CORE_BASE_NEAREST_H

#include "core/base/base.h"

/*
 * The candidate nearest to name by edit distance, NULL if none is near. candidates is NULL-
 * terminated.
 */
const char *nearest_name(const char *name, const char *const *candidates);

#endif
