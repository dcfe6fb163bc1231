/* SPDX-License-Identifier: MIT */
/* -sandbox. */
#include "core/control/options_internal.h"

static const char *const choices[] = {"deny", "allow", NULL};
/* What QEMU distinguishes is one here: a filter goes with PR_SET_NO_NEW_PRIVS, so that no child gains anything. */
static const char *const privilege_choices[] = {"deny", "allow", "children", NULL};

struct sandbox_properties {
	bool enable;
	unsigned obsolete, elevate_privileges, spawn, resource_control; /* index into the choices */
};

static const struct property sandbox_table[] = {
		{"enable", PROPERTY_BOOL, offsetof(struct sandbox_properties, enable), "on"},
		{"obsolete", PROPERTY_ENUM, offsetof(struct sandbox_properties, obsolete), "deny",
				.values = choices},
		{"elevateprivileges", PROPERTY_ENUM,
				offsetof(struct sandbox_properties, elevate_privileges), "deny",
				.values = privilege_choices},
		{"spawn", PROPERTY_ENUM, offsetof(struct sandbox_properties, spawn), "deny",
				.values = choices},
		{"resourcecontrol", PROPERTY_ENUM,
				offsetof(struct sandbox_properties, resource_control), "deny",
				.values = choices},
		{NULL},
};

bool option_handle_sandbox(struct parse *parse, const char *argument, GError **error)
{
	struct sandbox_properties properties;

	properties_set_defaults(&properties, sandbox_table);
	if (!option_parse_object(&properties, sandbox_table, argument, "enable", error)) {
		return false;
	}
	parse->options->sandbox = (struct sandbox_config){
			.on = properties.enable,
			.required = properties.enable,
			.allowed = (properties.obsolete ? SANDBOX_OBSOLETE : 0) |
				   (properties.elevate_privileges ? SANDBOX_ELEVATE_PRIVILEGES
								  : 0) |
				   (properties.spawn ? SANDBOX_SPAWN : 0) |
				   (properties.resource_control ? SANDBOX_RESOURCE_CONTROL : 0),
	};
	return true;
}
