/* SPDX-License-Identifier: MIT */
#include "programs/stats.h"

#include "core/base/log.h"

#include <gio/gio.h>
#include <inttypes.h>
#include <string.h>

/* Names that QEMU's clients use for vCPUs are paths of objects; these are all there are. */
#define VCPU_PATH "/machine/cpu[%u]"

static JsonNode *array_node(JsonArray *take_array)
{
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);

	json_node_take_array(node, take_array);
	return node;
}

static bool set_bad(GError **error, const char *parameter, const char *expected)
{
	g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Parameter '%s' expects %s",
			parameter, expected);
	return false;
}

/* The text of a member or element; NULL if it is none. */
static const char *text_of(JsonNode *node)
{
	return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node)
								       : NULL;
}

/* A provider by name; *ret_ours says whether it is the engine. */
static bool check_provider(
		const struct engine *engine, JsonNode *node, bool *ret_ours, GError **error)
{
	const char *name = text_of(node);

	if (!name || !g_strv_contains(engine_names(), name)) {
		return set_bad(error, "provider", "the name of an engine");
	}
	*ret_ours = strcmp(name, engine->impl->name) == 0;
	return true;
}

/* Whether a list of texts is absent or holds the name. Other elements are of no interest. */
static bool listed(JsonArray *list, const char *name)
{
	for (guint i = 0; list && i < json_array_get_length(list); i++) {
		if (g_strcmp0(text_of(json_array_get_element(list, i)), name) == 0) {
			return true;
		}
	}
	return !list;
}

/* An optional member that is a list of texts; borrowed, NULL if it is not there. */
static bool get_texts(JsonObject *object, const char *name, JsonArray **ret_list, GError **error)
{
	JsonNode *node = json_object_get_member(object, name);
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

	if (node && !list) {
		return set_bad(error, name, "a list of strings");
	}
	for (guint i = 0; list && i < json_array_get_length(list); i++) {
		if (!text_of(json_array_get_element(list, i))) {
			return set_bad(error, name, "a list of strings");
		}
	}
	*ret_list = list;
	return true;
}

/* What of all there is was asked for. */
struct filter {
	bool vcpus; /* target: else the machine */
	JsonArray *paths; /* of vCPUs; NULL: all */
	bool wanted; /* the engine is among the providers */
	JsonArray *names; /* NULL: all */
};

static bool filter_providers(
		struct filter *filter, const struct engine *engine, JsonNode *node, GError **error)
{
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

	if (!list) {
		return set_bad(error, "providers", "a list of objects");
	}
	for (guint i = 0; i < json_array_get_length(list); i++) {
		JsonNode *item = json_array_get_element(list, i);
		JsonObject *object = JSON_NODE_HOLDS_OBJECT(item) ? json_node_get_object(item)
								  : NULL;
		JsonArray *names;
		bool ours;
		if (!object) {
			return set_bad(error, "providers", "a list of objects");
		}
		if (!check_provider(engine, json_object_get_member(object, "provider"), &ours,
				    error) ||
				!get_texts(object, "names", &names, error)) {
			return false;
		}
		if (ours) {
			filter->wanted = true;
			filter->names = names;
		}
	}
	return true;
}

static bool filter_init(struct filter *filter, const struct engine *engine, JsonObject *arguments,
		GError **error)
{
	const char *target = text_of(json_object_get_member(arguments, "target"));
	JsonNode *providers = json_object_get_member(arguments, "providers");

	if (g_strcmp0(target, "vm") != 0 && g_strcmp0(target, "vcpu") != 0) {
		return set_bad(error, "target", "vm or vcpu");
	}
	*filter = (struct filter){.vcpus = strcmp(target, "vcpu") == 0, .wanted = !providers};
	if (filter->vcpus && !get_texts(arguments, "vcpus", &filter->paths, error)) {
		return false;
	}
	return !providers || filter_providers(filter, engine, providers, error);
}

/* One result, if any of its numbers are wanted. path may be NULL. */
static void add_result(JsonArray *results, const struct engine *engine, const struct filter *filter,
		const struct engine_stat *table, const uint64_t *values, const char *path)
{
	JsonArray *stats = json_array_new();

	for (unsigned i = 0; table[i].name; i++) {
		if (listed(filter->names, table[i].name)) {
			JsonObject *stat = json_object_new();
			json_object_set_string_member(stat, "name", table[i].name);
			json_object_set_int_member(stat, "value", (int64_t)values[i]);
			json_array_add_object_element(stats, stat);
		}
	}
	if (json_array_get_length(stats) == 0) {
		json_array_unref(stats);
		return;
	}
	JsonObject *result = json_object_new();
	json_object_set_string_member(result, "provider", engine->impl->name);
	if (path) {
		json_object_set_string_member(result, "qom-path", path);
	}
	json_object_set_array_member(result, "stats", stats);
	json_array_add_object_element(results, result);
}

JsonNode *stats_query(struct engine *engine, JsonObject *arguments, GError **error)
{
	uint64_t values[ENGINE_MAX_STATS];
	struct filter filter;

	if (!filter_init(&filter, engine, arguments, error)) {
		return NULL;
	}
	JsonArray *results = json_array_new();
	if (filter.wanted && !filter.vcpus && engine->impl->stats) {
		engine->impl->read_stats(engine, values);
		add_result(results, engine, &filter, engine->impl->stats, values, NULL);
	}
	for (unsigned i = 0; filter.wanted && filter.vcpus && engine->impl->vcpu_stats &&
			     i < engine->config.vcpus;
			i++) {
		g_autofree char *path = g_strdup_printf(VCPU_PATH, i);
		if (listed(filter.paths, path)) {
			engine->impl->vcpu_read_stats(engine->vcpus[i], values);
			add_result(results, engine, &filter, engine->impl->vcpu_stats, values,
					path);
		}
	}
	return array_node(results);
}

static void add_schema(JsonArray *schemas, const struct engine *engine, const char *target,
		const struct engine_stat *table)
{
	static const char *const types[] = {
			[ENGINE_STAT_CUMULATIVE] = "cumulative",
			[ENGINE_STAT_INSTANT] = "instant",
	};
	JsonArray *stats = json_array_new();

	for (unsigned i = 0; table && table[i].name; i++) {
		JsonObject *stat = json_object_new();
		json_object_set_string_member(stat, "name", table[i].name);
		json_object_set_string_member(stat, "type", types[table[i].type]);
		if (table[i].unit == ENGINE_STAT_BYTES) {
			json_object_set_string_member(stat, "unit", "bytes");
		}
		json_object_set_int_member(stat, "exponent", 0);
		json_array_add_object_element(stats, stat);
	}
	JsonObject *schema = json_object_new();
	json_object_set_string_member(schema, "provider", engine->impl->name);
	json_object_set_string_member(schema, "target", target);
	json_object_set_array_member(schema, "stats", stats);
	json_array_add_object_element(schemas, schema);
}

JsonNode *stats_query_schemas(const struct engine *engine, JsonObject *arguments, GError **error)
{
	JsonNode *provider = json_object_get_member(arguments, "provider");
	bool ours = true;

	if (provider && !check_provider(engine, provider, &ours, error)) {
		return NULL;
	}
	JsonArray *schemas = json_array_new();
	if (ours && engine->impl->vcpu_stats) {
		add_schema(schemas, engine, "vm", engine->impl->stats);
		add_schema(schemas, engine, "vcpu", engine->impl->vcpu_stats);
	}
	return array_node(schemas);
}

static void log_table(const char *whose, const struct engine_stat *table, const uint64_t *values)
{
	for (unsigned i = 0; table[i].name; i++) {
		if (values[i] != 0) {
			log_item(LOG_ITEM_STATS, "stats: %s: %s %" PRIu64, whose, table[i].name,
					values[i]);
		}
	}
}

void stats_log(struct engine *engine)
{
	uint64_t values[ENGINE_MAX_STATS];

	if (!log_wants(LOG_ITEM_STATS) || !engine->impl->vcpu_stats) {
		return;
	}
	engine->impl->read_stats(engine, values);
	log_table("vm", engine->impl->stats, values);
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		g_autofree char *whose = g_strdup_printf("cpu %u", i);
		engine->impl->vcpu_read_stats(engine->vcpus[i], values);
		log_table(whose, engine->impl->vcpu_stats, values);
	}
}
