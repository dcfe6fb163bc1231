/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/log.h"
#include "core/engine/soft/stats.h"

#include <stdio.h>

static void test_table(void **state)
{
	(void)state;
	assert_true(STAT_COUNT <= ENGINE_MAX_STATS);
	for (unsigned i = 0; i < STAT_COUNT; i++) {
		assert_non_null(stats_table[i].name);
		for (unsigned k = 0; k < i; k++) {
			assert_string_not_equal(stats_table[i].name, stats_table[k].name);
		}
	}
	assert_null(stats_table[STAT_COUNT].name);
}

static void test_values(void **state)
{
	struct stats stats = {0};
	uint64_t values[STAT_COUNT];

	(void)state;
	stats_count(&stats, STAT_HALTS);
	stats_count(&stats, STAT_HALTS);
	stats_set(&stats, STAT_TLB_BYTES, 7);
	stats_read(&stats, values);
	for (unsigned i = 0; i < STAT_COUNT; i++) {
		assert_int_equal(values[i], i == STAT_HALTS ? 2 : i == STAT_TLB_BYTES ? 7 : 0);
	}
}

static char *log_of(const struct stats *stats)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	log_set_stream(stream);
	log_set_items(LOG_ITEM_STATS);
	stats_log_call_outs(stats, 3);
	log_set_items(0);
	log_set_stream(NULL);
	(void)fclose(stream);
	return text;
}

static void call_out(struct stats *stats, enum insn_map map, uint8_t opcode, unsigned times)
{
	struct insn insn = {.map = (uint8_t)map, .opcode = opcode};

	for (unsigned i = 0; i < times; i++) {
		stats_call_out(stats, &insn);
	}
}

static void test_call_outs(void **state)
{
	struct stats stats = {0};
	g_autofree char *none = log_of(&stats);

	(void)state;
	assert_string_equal(none, "");
	call_out(&stats, INSN_MAP_0F, 0x30, 5);
	call_out(&stats, INSN_MAP_LEGACY, 0x89, 7);
	call_out(&stats, INSN_MAP_LEGACY, 0x8b, 5);
	call_out(&stats, INSN_MAP_0F38, 0x00, 1);
	call_out(&stats, INSN_MAP_0F3A, 0xff, 2);
	assert_int_equal(stats.values[STAT_CALL_OUTS], 20);
	g_autofree char *few = log_of(&stats);
	assert_string_equal(few, "stats: cpu 3: call_outs of 89 7\n"
				 "stats: cpu 3: call_outs of 8b 5\n"
				 "stats: cpu 3: call_outs of 0f 30 5\n"
				 "stats: cpu 3: call_outs of 0f 3a ff 2\n"
				 "stats: cpu 3: call_outs of 0f 38 00 1\n");
	/* The first ten. */
	for (unsigned i = 0; i < 20; i++) {
		call_out(&stats, INSN_MAP_LEGACY, (uint8_t)(0x10 + i), 100 - i);
	}
	g_autofree char *many = log_of(&stats);
	g_auto(GStrv) lines = g_strsplit(many, "\n", -1);
	assert_int_equal(g_strv_length(lines), 11);
	assert_string_equal(lines[0], "stats: cpu 3: call_outs of 10 100");
	assert_string_equal(lines[9], "stats: cpu 3: call_outs of 19 91");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_table),
			cmocka_unit_test(test_values),
			cmocka_unit_test(test_call_outs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
