/* SPDX-License-Identifier: MIT */
#include "core/device/property.h"

#include "core/base/checked.h"
#include "core/base/nearest.h"

#include <inttypes.h>
#include <string.h>

static void *target_of(void *object, const struct property *property)
{
	return (char *)object + property->offset;
}

static bool set_bad_value(GError **error, const char *value, const char *accepted)
{
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "'%s' is not %s", value,
			accepted);
	return false;
}

/* All of text as a number: decimal, or hexadecimal with 0x. */
static bool parse_number(const char *text, uint64_t *ret_value)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	return g_ascii_string_to_unsigned(
			hex ? text + 2 : text, hex ? 16 : 10, 0, UINT64_MAX, ret_value, NULL);
}

static uint64_t suffix_unit(char suffix)
{
	switch (g_ascii_toupper(suffix)) {
	case 'B':
		return 1;
	case 'K':
		return KiB;
	case 'M':
		return MiB;
	case 'G':
		return GiB;
	case 'T':
		return GiB * 1024;
	default:
		return 0;
	}
}

bool parse_size(const char *text, uint64_t default_unit, uint64_t *ret_bytes, GError **error)
{
	static const char accepted[] = "a size: a whole number, with suffix K, M, G or T if wanted";
	size_t len = strlen(text);
	uint64_t unit = len > 0 ? suffix_unit(text[len - 1]) : 0;
	bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0;
	uint64_t number;

	/* The last digit of a hexadecimal number is no suffix. */
	bool has_suffix = unit != 0 && !(hex && g_ascii_isxdigit(text[len - 1]));
	g_autofree char *digits = g_strndup(text, has_suffix ? len - 1 : len);
	if (!parse_number(digits, &number)) {
		return set_bad_value(error, text, accepted);
	}
	if (!checked_mul(number, has_suffix ? unit : default_unit, ret_bytes)) {
		return set_bad_value(error, text, "a size that a 64-bit number can hold");
	}
	return true;
}

static bool parse_bool(const char *value, bool *ret_bool, GError **error)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes"};

	for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
		if (strcmp(value, words[i]) == 0) {
			*ret_bool = i % 2;
			return true;
		}
	}
	return set_bad_value(error, value, "on or off");
}

static bool in_range(const struct property *property, uint64_t number)
{
	bool limited = property->min != 0 || property->max != 0;

	return !limited || (number >= property->min && number <= property->max);
}

/* As a user would write it: with the largest suffix that leaves a whole number. */
static char *format_size(uint64_t bytes)
{
	static const char suffixes[] = {'K', 'M', 'G', 'T'};
	char suffix[2] = "";

	for (unsigned i = 0; i < G_N_ELEMENTS(suffixes) && bytes && bytes % KiB == 0; i++) {
		bytes /= KiB;
		suffix[0] = suffixes[i];
	}
	return g_strdup_printf("%" PRIu64 "%s", bytes, suffix);
}

/* The limits of a number in words, as its type and the table set them. */
static char *describe_range(const struct property *property)
{
	uint64_t max = property->max;

	if (property->min == 0 && max == 0) {
		max = property->type == PROPERTY_UINT32 ? UINT32_MAX : UINT64_MAX;
	}
	if (property->type == PROPERTY_SIZE) {
		g_autofree char *low = format_size(property->min);
		g_autofree char *high = format_size(max);
		return g_strdup_printf("from %s to %s", low, high);
	}
	return g_strdup_printf("from %" PRIu64 " to %" PRIu64, property->min, max);
}

static bool parse_limited(const struct property *property, const char *value, uint64_t *ret_number,
		GError **error)
{
	uint64_t number;
	bool fits = true;

	if (property->type == PROPERTY_SIZE) {
		if (!parse_size(value, 1, &number, error)) {
			return false;
		}
	} else {
		fits = parse_number(value, &number);
	}
	if (property->type == PROPERTY_UINT32 && fits) {
		fits = number <= UINT32_MAX;
	}
	if (!fits || !in_range(property, number)) {
		g_autofree char *range = describe_range(property);
		g_autofree char *accepted = g_strdup_printf("a %s %s",
				property->type == PROPERTY_SIZE ? "size" : "number", range);
		return set_bad_value(error, value, accepted);
	}
	*ret_number = number;
	return true;
}

/* "1f.7" or "1f": slot, then function, in hexadecimal. */
static bool parse_pci_address(const char *value, int32_t *ret_devfn, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(value, ".", 3);
	guint64 slot = 0, function = 0;
	unsigned count = g_strv_length(parts);
	bool ok = (count == 1 || count == 2) &&
		  g_ascii_string_to_unsigned(parts[0], 16, 0, 31, &slot, NULL);

	if (ok && count == 2) {
		ok = g_ascii_string_to_unsigned(parts[1], 16, 0, 7, &function, NULL);
	}
	if (!ok) {
		return set_bad_value(error, value,
				"a PCI address: slot[.function] in hexadecimal, 0 to 1f.7");
	}
	*ret_devfn = (int32_t)(slot << 3 | function);
	return true;
}

static bool parse_enum(const struct property *property, const char *value, unsigned *ret_index,
		GError **error)
{
	for (unsigned i = 0; property->values[i]; i++) {
		if (strcmp(property->values[i], value) == 0) {
			*ret_index = i;
			return true;
		}
	}
	g_autofree char *list = g_strjoinv(", ", (char **)(uintptr_t)property->values);
	g_autofree char *accepted = g_strdup_printf("one of %s", list);
	return set_bad_value(error, value, accepted);
}

static bool set_value(
		void *object, const struct property *property, const char *value, GError **error)
{
	void *target = target_of(object, property);
	uint64_t number;

	switch (property->type) {
	case PROPERTY_BOOL:
		return parse_bool(value, target, error);
	case PROPERTY_UINT32:
		if (!parse_limited(property, value, &number, error)) {
			return false;
		}
		*(uint32_t *)target = (uint32_t)number;
		return true;
	case PROPERTY_UINT64:
	case PROPERTY_SIZE:
		return parse_limited(property, value, target, error);
	case PROPERTY_STRING:
		g_free(*(char **)target);
		*(char **)target = g_strdup(value);
		return true;
	case PROPERTY_PCI_ADDRESS:
		return parse_pci_address(value, target, error);
	case PROPERTY_ENUM:
		return parse_enum(property, value, target, error);
	}
	return false;
}

static void set_default(void *object, const struct property *property)
{
	void *target = target_of(object, property);

	switch (property->type) {
	case PROPERTY_BOOL:
		*(bool *)target = false;
		break;
	case PROPERTY_UINT32:
	case PROPERTY_ENUM:
		*(uint32_t *)target = 0;
		break;
	case PROPERTY_UINT64:
	case PROPERTY_SIZE:
		*(uint64_t *)target = 0;
		break;
	case PROPERTY_STRING:
		*(char **)target = NULL;
		break;
	case PROPERTY_PCI_ADDRESS:
		*(int32_t *)target = -1;
		break;
	}
	if (property->default_value) {
		bool ok = set_value(object, property, property->default_value, NULL);
		assert(ok); /* the table contradicts itself */
	}
}

void properties_set_defaults(void *object, const struct property *table)
{
	for (; table && table->name; table++) {
		set_default(object, table);
	}
}

static bool set_unknown(const struct property *table, const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (; table && table->name; table++) {
		g_ptr_array_add(names, (char *)(uintptr_t)table->name);
	}
	g_ptr_array_add(names, NULL);
	const char *near = nearest_name(name, (const char *const *)names->pdata);
	g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
	if (near) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
				"no property '%s'; did you mean '%s'?", name, near);
	} else {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
				"no property '%s' (there is: %s)", name,
				names->len > 1 ? all : "none");
	}
	return false;
}

bool property_set(void *object, const struct property *table, const char *name, const char *value,
		GError **error)
{
	for (const struct property *property = table; property && property->name; property++) {
		if (strcmp(property->name, name) == 0) {
			bool ok = set_value(object, property, value, error);
			if (!ok) {
				g_prefix_error(error, "%s: ", name);
			}
			return ok;
		}
	}
	return set_unknown(table, name, error);
}

void properties_clear(void *object, const struct property *table)
{
	for (; table && table->name; table++) {
		if (table->type == PROPERTY_STRING) {
			g_clear_pointer((char **)target_of(object, table), g_free);
		}
	}
}

/* What values a property takes, for help. */
static char *describe_values(const struct property *property)
{
	switch (property->type) {
	case PROPERTY_BOOL:
		return g_strdup("on|off");
	case PROPERTY_UINT32:
	case PROPERTY_UINT64:
		return g_strdup("number");
	case PROPERTY_SIZE:
		return g_strdup("size");
	case PROPERTY_STRING:
		return g_strdup("text");
	case PROPERTY_PCI_ADDRESS:
		return g_strdup("slot[.function]");
	case PROPERTY_ENUM:
		return g_strjoinv("|", (char **)(uintptr_t)property->values);
	}
	return NULL;
}

char *properties_help(const struct property *table)
{
	GString *text = g_string_new(NULL);

	for (; table && table->name; table++) {
		g_autofree char *values = describe_values(table);
		g_autofree char *left = g_strdup_printf("%s=<%s>", table->name, values);
		g_string_append_printf(text, "  %-28s %s", left, table->help ? table->help : "");
		if (table->default_value) {
			g_string_append_printf(text, " (default: %s)", table->default_value);
		}
		if (table->min != 0 || table->max != 0) {
			g_autofree char *range = describe_range(table);
			g_string_append_printf(text, " [%s]", range);
		}
		g_string_append_c(text, '\n');
	}
	return g_string_free(text, FALSE);
}
