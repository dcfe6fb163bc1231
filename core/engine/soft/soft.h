/* SPDX-License-Identifier: MIT */
/* The software CPU as an engine: -accel soft. */
#ifndef CORE_ENGINE_SOFT_SOFT_H
#define CORE_ENGINE_SOFT_SOFT_H

#include "core/engine/engine.h"

extern const struct engine_impl soft_engine;

#endif
