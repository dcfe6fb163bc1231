/* SPDX-License-Identifier: MIT */
#include "core/control/keyval.h"

#include <string.h>

/* Splits at single commas and joins double ones. */
static GPtrArray *split(const char *text)
{
	GPtrArray *items = g_ptr_array_new_with_free_func(g_free);
	GString *item = g_string_new(NULL);

	for (const char *at = text; *at; at++) {
		if (at[0] == ',' && at[1] == ',') {
			at++;
		} else if (at[0] == ',') {
			g_ptr_array_add(items, g_string_free(item, FALSE));
			item = g_string_new(NULL);
			continue;
		}
		g_string_append_c(item, *at);
	}
	g_ptr_array_add(items, g_string_free(item, FALSE));
	return items;
}

static bool set_empty(GError **error, const char *text)
{
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
			"'%s': something is missing before or after a comma or '=' (in a value, write ',,' for a comma)",
			text);
	return false;
}

bool keyval_parse(const char *text, struct keyval *ret_keyval, GError **error)
{
	g_autoptr(GPtrArray) items = split(text);
	struct keyval keyval = {.pairs = g_new0(struct keyval_pair, items->len)};

	for (unsigned i = 0; i < items->len; i++) {
		const char *item = items->pdata[i];
		const char *equals = strchr(item, '=');
		if (item[0] == '\0' || equals == item) {
			keyval_clear(&keyval);
			return set_empty(error, text);
		}
		if (i == 0 && !equals) {
			keyval.head = g_strdup(item);
			continue;
		}
		keyval.pairs[keyval.count++] = (struct keyval_pair){
				.key = equals ? g_strndup(item, (gsize)(equals - item))
					      : g_strdup(item),
				.value = g_strdup(equals ? equals + 1 : "on"),
		};
	}
	*ret_keyval = keyval;
	return true;
}

static void pair_clear(struct keyval_pair *pair)
{
	g_free(pair->key);
	g_free(pair->value);
}

void keyval_clear(struct keyval *keyval)
{
	for (unsigned i = 0; i < keyval->count; i++) {
		pair_clear(&keyval->pairs[i]);
	}
	g_clear_pointer(&keyval->pairs, g_free);
	g_clear_pointer(&keyval->head, g_free);
	keyval->count = 0;
}

const char *keyval_get(const struct keyval *keyval, const char *key)
{
	for (unsigned i = keyval->count; i > 0; i--) {
		if (strcmp(keyval->pairs[i - 1].key, key) == 0) {
			return keyval->pairs[i - 1].value;
		}
	}
	return NULL;
}

char *keyval_take(struct keyval *keyval, const char *key)
{
	char *value = g_strdup(keyval_get(keyval, key));
	unsigned kept = 0;

	for (unsigned i = 0; i < keyval->count; i++) {
		if (strcmp(keyval->pairs[i].key, key) == 0) {
			pair_clear(&keyval->pairs[i]);
		} else {
			keyval->pairs[kept++] = keyval->pairs[i];
		}
	}
	keyval->count = kept;
	return value;
}
