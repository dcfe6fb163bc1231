/* SPDX-License-Identifier: MIT */
/*
 * What the engine counts, for people and programs: the machine protocol's query-stats and query-stats-schemas in QEMU's
 * shape (its qapi/stats.json), and lines of the log. The provider is the engine's name. Main thread.
 */
#ifndef PROGRAMS_STATS_H
#define PROGRAMS_STATS_H

#include "core/engine/engine.h"

#include <json-glib/json-glib.h>

/* The answer to a command with these arguments; NULL with an error if they are wrong. */
JsonNode *stats_query(struct engine *engine, JsonObject *arguments, GError **error);
JsonNode *stats_query_schemas(const struct engine *engine, JsonObject *arguments, GError **error);

/* A line for each number that is not 0, if -d stats wants them. */
void stats_log(struct engine *engine);

#endif
