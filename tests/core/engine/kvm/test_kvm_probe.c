/* SPDX-License-Identifier: MIT */
/*
 * Whether this /dev/kvm counts as working. ORIEL_KVM says what is known of it: "works" or "emulates"; where it is
 * unset, the answer only has to be the same every time.
 */
#include "tests/core/engine/kvm/fixture.h"

#include "core/engine/kvm/kvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_verdict(void **state)
{
	const char *known = getenv("ORIEL_KVM");
	g_autoptr(GError) error = NULL;
	bool works = kvm_engine.probe(&error);
	(void)state;

	assert_int_equal(works, !error);
	print_message("%s\n", works ? "works" : error->message);
	if (known) {
		assert_int_equal(works, strcmp(known, "works") == 0);
	}
	if (known && !works) {
		assert_non_null(strstr(error->message, "emulates each instruction"));
	}
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(kvm_engine.probe(NULL), works);
	}
}

/* Whatever the probe says, who asks for KVM gets it. */
static void test_asked_for(void **state)
{
	struct machine_fixture *m = *state;

	load_guest(m, CODE_AT, halt);
	enter_real(m);
	engine_start(m->engine);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_verdict),
			cmocka_unit_test_setup_teardown(
					test_asked_for, machine_setup, machine_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_tests_with_kvm(run);
}
