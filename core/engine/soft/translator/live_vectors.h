/* SPDX-License-Identifier: MIT */
/*
 * Which vector registers a block should be entered with: those it reads before it writes them, and those that the blocks it leads to
 * read, because what comes loaded stays loaded. So a loop of several blocks keeps its vectors in the host's registers. vCPU thread
 * only.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_LIVE_VECTORS_H
#define CORE_ENGINE_SOFT_TRANSLATOR_LIVE_VECTORS_H

#include "core/engine/soft/translator/unit.h"

/* Of the block being translated. */
struct halves live_vectors(const struct unit *u);

#endif
