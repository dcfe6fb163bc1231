/* SPDX-License-Identifier: MIT */
#include "tests/harness/options_fixture.h"

static void test_sandbox(void **state)
{
	static const struct {
		const char *line;
		struct sandbox_config sandbox;
	} rows[] = {
			{"", {true, false, 0}},
			{"-sandbox|on", {true, true, 0}},
			{"-sandbox|off", {false, false, 0}},
			{"-sandbox|enable=off", {false, false, 0}},
			{"-sandbox|on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
					{true, true, 0}},
			{"-sandbox|on,obsolete=allow", {true, true, SANDBOX_OBSOLETE}},
			{"-sandbox|on,elevateprivileges=allow",
					{true, true, SANDBOX_ELEVATE_PRIVILEGES}},
			{"-sandbox|on,elevateprivileges=children",
					{true, true, SANDBOX_ELEVATE_PRIVILEGES}},
			{"-sandbox|on,spawn=allow", {true, true, SANDBOX_SPAWN}},
			{"-sandbox|resourcecontrol=allow", {true, true, SANDBOX_RESOURCE_CONTROL}},
			{"-sandbox|off|-sandbox|on", {true, true, 0}},
			{"-sandbox|on,spawn=allow|-sandbox|off", {false, false, 0}},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct options options;
		parse_good(rows[i].line, &options);
		if (options.sandbox.on != rows[i].sandbox.on ||
				options.sandbox.required != rows[i].sandbox.required ||
				options.sandbox.allowed != rows[i].sandbox.allowed) {
			fail_msg("%s", rows[i].line);
		}
		options_clear(&options);
	}
}

static void test_bad(void **state)
{
	static const struct bad_line rows[] = {
			{"-sandbox", "-sandbox: needs an argument: on|off[,obsolete=allow|deny]"
				     "[,elevateprivileges=allow|deny|children][,spawn=allow|deny]"
				     "[,resourcecontrol=allow|deny]"},
			{"-sandbox|maybe", "-sandbox: enable: 'maybe' is not on or off"},
			{"-sandbox|on,spawn=never",
					"-sandbox: spawn: 'never' is not one of deny, allow"},
			{"-sandbox|on,elevateprivileges=x",
					"-sandbox: elevateprivileges: 'x' is not one of deny, allow, children"},
			{"-sandbox|on,swpan=deny",
					"-sandbox: no property 'swpan' (there is: enable, obsolete, "
					"elevateprivileges, spawn, resourcecontrol)"},
			{"-sandbxo|on", "-sandbxo: no such option; did you mean -sandbox?"},
	};

	(void)state;
	expect_bad(rows, G_N_ELEMENTS(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_sandbox),
			cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
