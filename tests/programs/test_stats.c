/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/log.h"
#include "core/engine/engines.h"
#include "programs/stats.h"

#include <stdio.h>
#include <string.h>

#define VCPUS 2

static const struct engine_stat vm_table[] = {
		{"ram", ENGINE_STAT_INSTANT, ENGINE_STAT_BYTES},
		{0},
};

static const struct engine_stat vcpu_table[] = {
		{"exits", ENGINE_STAT_CUMULATIVE, ENGINE_STAT_NUMBER},
		{"used", ENGINE_STAT_INSTANT, ENGINE_STAT_BYTES},
		{0},
};

static void read_stats(struct engine *engine, uint64_t *ret_values)
{
	(void)engine;
	ret_values[0] = 1 * GiB;
}

static void vcpu_read_stats(struct vcpu *vcpu, uint64_t *ret_values)
{
	ret_values[0] = 10 + vcpu->index;
	ret_values[1] = 0;
}

static const struct engine_impl counting = {
		.name = "counting",
		.stats = vm_table,
		.vcpu_stats = vcpu_table,
		.read_stats = read_stats,
		.vcpu_read_stats = vcpu_read_stats,
};
static const struct engine_impl silent = {.name = "silent"};

const struct engine_impl *const engine_impls[] = {&counting, &silent, NULL};

struct world {
	struct vcpu vcpu[VCPUS];
	struct vcpu *vcpus[VCPUS];
	struct engine engine;
};

static void init(struct world *w, const struct engine_impl *impl)
{
	*w = (struct world){
			.engine = {.impl = impl, .config = {.vcpus = VCPUS}, .vcpus = w->vcpus},
	};
	for (unsigned i = 0; i < VCPUS; i++) {
		w->vcpu[i] = (struct vcpu){.engine = &w->engine, .index = i};
		w->vcpus[i] = &w->vcpu[i];
	}
}

/* The answer as text, or the error's message. arguments is JSON with ' for quotes. */
static char *ask(struct world *w, const char *arguments, bool schemas)
{
	g_autofree char *quoted = g_strdelimit(g_strdup(arguments), "'", '"');
	g_autoptr(JsonNode) node = json_from_string(quoted, NULL);
	g_autoptr(GError) error = NULL;
	JsonObject *object = json_node_get_object(node);
	g_autoptr(JsonNode) result = schemas ? stats_query_schemas(&w->engine, object, &error)
					     : stats_query(&w->engine, object, &error);

	assert_true(!result == !!error);
	return result ? g_strdelimit(json_to_string(result, FALSE), "\"", '\'')
		      : g_strdup(error->message);
}

#define CPU(n, exits) "{'provider':'counting','qom-path':'/machine/cpu[" n "]','stats':[" exits "]}"
#define EXITS(n) "{'name':'exits','value':" n "}"
#define USED "{'name':'used','value':0}"

static const struct {
	const char *arguments, *expect;
} queries[] = {
		{"{'target':'vm'}",
				"[{'provider':'counting','stats':[{'name':'ram','value':1073741824}"
				"]}]"},
		{"{'target':'vcpu'}", "[" CPU("0", EXITS("10") "," USED) "," CPU(
						      "1", EXITS("11") "," USED) "]"},
		{"{'target':'vcpu','vcpus':['/machine/cpu[1]']}",
				"[" CPU("1", EXITS("11") "," USED) "]"},
		{"{'target':'vcpu','vcpus':['/machine/cpu[2]']}", "[]"},
		{"{'target':'vcpu','vcpus':[]}", "[]"},
		{"{'target':'vcpu','providers':[]}", "[]"},
		{"{'target':'vcpu','providers':[{'provider':'silent'}]}", "[]"},
		{"{'target':'vcpu','providers':[{'provider':'silent'},{'provider':'counting','names':['exits']}]}",
				"[" CPU("0", EXITS("10")) "," CPU("1", EXITS("11")) "]"},
		{"{'target':'vcpu','providers':[{'provider':'counting','names':['ram','other']}]}",
				"[]"},
		{"{}", "Parameter 'target' expects vm or vcpu"},
		{"{'target':5}", "Parameter 'target' expects vm or vcpu"},
		{"{'target':'cryptodev'}", "Parameter 'target' expects vm or vcpu"},
		{"{'target':'vcpu','vcpus':'/machine/cpu[1]'}",
				"Parameter 'vcpus' expects a list of strings"},
		{"{'target':'vcpu','vcpus':[5]}", "Parameter 'vcpus' expects a list of strings"},
		{"{'target':'vm','providers':{}}",
				"Parameter 'providers' expects a list of objects"},
		{"{'target':'vm','providers':['counting']}",
				"Parameter 'providers' expects a list of objects"},
		{"{'target':'vm','providers':[{}]}",
				"Parameter 'provider' expects the name of an engine"},
		{"{'target':'vm','providers':[{'provider':'tcg'}]}",
				"Parameter 'provider' expects the name of an engine"},
		{"{'target':'vm','providers':[{'provider':'counting','names':[[]]}]}",
				"Parameter 'names' expects a list of strings"},
};

static void test_query(void **state)
{
	struct world w;

	(void)state;
	init(&w, &counting);
	for (size_t i = 0; i < G_N_ELEMENTS(queries); i++) {
		g_autofree char *answer = ask(&w, queries[i].arguments, false);
		assert_string_equal(answer, queries[i].expect);
	}
}

static const struct {
	const char *arguments, *expect;
} schemas[] = {
		{"{}", "[{'provider':'counting','target':'vm','stats':["
		       "{'name':'ram','type':'instant','unit':'bytes','exponent':0}]},"
		       "{'provider':'counting','target':'vcpu','stats':["
		       "{'name':'exits','type':'cumulative','exponent':0},"
		       "{'name':'used','type':'instant','unit':'bytes','exponent':0}]}]"},
		{"{'provider':'silent'}", "[]"},
		{"{'provider':'tcg'}", "Parameter 'provider' expects the name of an engine"},
};

static void test_schemas(void **state)
{
	struct world w;

	(void)state;
	init(&w, &counting);
	for (size_t i = 0; i < G_N_ELEMENTS(schemas); i++) {
		g_autofree char *answer = ask(&w, schemas[i].arguments, true);
		assert_string_equal(answer, schemas[i].expect);
	}
}

static void test_nothing_counted(void **state)
{
	struct world w;

	(void)state;
	init(&w, &silent);
	g_autofree char *vm = ask(&w, "{'target':'vm'}", false);
	g_autofree char *vcpu = ask(&w, "{'target':'vcpu'}", false);
	g_autofree char *none = ask(&w, "{}", true);
	assert_string_equal(vm, "[]");
	assert_string_equal(vcpu, "[]");
	assert_string_equal(none, "[]");
	log_set_items(LOG_ITEM_STATS);
	stats_log(&w.engine);
	log_set_items(0);
}

static void test_log(void **state)
{
	g_autofree char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	struct world w;

	(void)state;
	init(&w, &counting);
	log_set_stream(stream);
	stats_log(&w.engine); /* nobody wants it */
	log_set_items(LOG_ITEM_STATS);
	stats_log(&w.engine);
	log_set_items(0);
	log_set_stream(NULL);
	(void)fclose(stream);
	/* What is 0 is left out. */
	assert_string_equal(text, "stats: vm: ram 1073741824\n"
				  "stats: cpu 0: exits 10\n"
				  "stats: cpu 1: exits 11\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_query),
			cmocka_unit_test(test_schemas),
			cmocka_unit_test(test_nothing_counted),
			cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
