/* SPDX-License-Identifier: MIT */
/*
 * Typed properties of devices, displays and the like, as tables: what `-device NAME,key=value` may
 * say. Parsing, `-device NAME,help` and range checks are derived from the table.
 */
#ifndef CORE_DEVICE_PROPERTY_H
#define CORE_DEVICE_PROPERTY_H

#include "core/base/base.h"

enum property_type {
	PROPERTY_BOOL, /* on, off; target bool */
	PROPERTY_UINT32,
	PROPERTY_UINT64,
	PROPERTY_SIZE, /* bytes, with suffix K, M, G, T; target uint64_t */
	PROPERTY_STRING, /* target char *, owned, g_free() */
	PROPERTY_PCI_ADDRESS, /* slot or slot.function in hexadecimal; target int32_t devfn, -1 unset */
	PROPERTY_ENUM, /* one of values; target unsigned, index into values */
};

/* An entry with name NULL ends a table. */
struct property {
	const char *name;
	enum property_type type;
	size_t offset; /* of the target within the object */
	const char *default_value; /* as a user would write it; NULL: zero, or NULL for strings */
	uint64_t min, max; /* of numbers; 0, 0: no limit beyond the type's */
	const char *const *values; /* of PROPERTY_ENUM; NULL-terminated */
	const char *help; /* one line, units included */
};

/* Sets every property of object to its default. */
void properties_set_defaults(void *object, const struct property *table);

/*
 * Sets one property; the error names the value and what would be accepted, or the nearest valid
 * name.
 */
bool property_set(void *object, const struct property *table, const char *name, const char *value,
		GError **error);

/* Frees the strings. */
void properties_clear(void *object, const struct property *table);

/* One line a property, for `-device NAME,help`: name, values, help, default, range. Owned by the caller. */
char *properties_help(const struct property *table);

/* Parses "4", "512M", "2G": bytes. default_unit multiplies a number without suffix. */
bool parse_size(const char *text, uint64_t default_unit, uint64_t *ret_bytes, GError **error);

#endif
