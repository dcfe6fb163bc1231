/* SPDX-License-Identifier: MIT */
/*
 * Where resources are named in virgl command streams: for whoever must give them other names
 * (several clients that all count from 1) or know which ones a stream uses.
 */
#ifndef GPU_STREAM_RESOURCES_H
#define GPU_STREAM_RESOURCES_H

#include "core/base/base.h"

/* Sees one resource id, never 0, and may change it. False ends the visit. */
typedef bool stream_resource_fn(uint32_t *id, void *opaque);

/*
 * Visits every resource id of a stream in order. Commands that are unknown or cut short are
 * skipped: a checker speaks about those. False if fn was, or if a command reaches beyond the
 * stream.
 */
bool stream_visit_resources(uint32_t *words, size_t count, stream_resource_fn *fn, void *opaque);

#endif
