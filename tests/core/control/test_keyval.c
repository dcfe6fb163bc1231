/* SPDX-License-Identifier: MIT */
#include "core/control/keyval.h"

#include "tests/harness/test.h"

#include <string.h>

/* "head;key:value;key:value". */
static char *as_text(const struct keyval *keyval)
{
	GString *text = g_string_new(keyval->head ? keyval->head : "-");

	for (unsigned i = 0; i < keyval->count; i++) {
		g_string_append_printf(
				text, ";%s:%s", keyval->pairs[i].key, keyval->pairs[i].value);
	}
	return g_string_free(text, FALSE);
}

static void test_good(void **state)
{
	static const struct {
		const char *text, *parsed;
	} rows[] = {
			{"sdl", "sdl"},
			{"sdl,gl=on", "sdl;gl:on"},
			{"sdl,gl", "sdl;gl:on"},
			{"file=a", "-;file:a"},
			{"file=a,,b,if=none", "-;file:a,b;if:none"},
			{"file=a,,,,b", "-;file:a,,b"},
			{"file=,id=x", "-;file:;id:x"},
			{"file=a=b", "-;file:a=b"},
			{"a,,b", "a,b"},
			{"x,a=1,a=2", "x;a:1;a:2"},
			{"file=,,", "-;file:,"},
			{"file=a,,,b=c", "-;file:a,;b:c"},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct keyval keyval;
		assert_true(keyval_parse(rows[i].text, &keyval, NULL));
		g_autofree char *text = as_text(&keyval);
		assert_string_equal(text, rows[i].parsed);
		keyval_clear(&keyval);
	}
}

static void test_bad(void **state)
{
	static const char *const rows[] = {"", "a,", ",a", "a,=b", "=b", "a,b=c,", "a, ,=", ",,,"};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct keyval keyval;
		g_autoptr(GError) error = NULL;
		if (keyval_parse(rows[i], &keyval, &error)) {
			fail_msg("'%s' was accepted", rows[i]);
		}
		assert_non_null(strstr(error->message, "something is missing"));
	}
}

static void test_get_and_take(void **state)
{
	struct keyval keyval;

	(void)state;
	assert_true(keyval_parse("x,id=a,b=1,id=c", &keyval, NULL));
	assert_string_equal(keyval_get(&keyval, "id"), "c");
	assert_null(keyval_get(&keyval, "x"));
	g_autofree char *id = keyval_take(&keyval, "id");
	assert_string_equal(id, "c");
	assert_null(keyval_take(&keyval, "id"));
	g_autofree char *text = as_text(&keyval);
	assert_string_equal(text, "x;b:1");
	keyval_clear(&keyval);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_good),
			cmocka_unit_test(test_bad),
			cmocka_unit_test(test_get_and_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
