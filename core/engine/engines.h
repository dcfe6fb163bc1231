/* SPDX-License-Identifier: MIT */
/* The engines built into this program, best first; the last one always works. */
#ifndef CORE_ENGINE_ENGINES_H
#define CORE_ENGINE_ENGINES_H

#include "core/engine/engine.h"

#define ENGINE_MAX_IMPLS 4

extern const struct engine_impl *const engine_impls[]; /* NULL-terminated; defined beside main() */

#endif
