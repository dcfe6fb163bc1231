/* SPDX-License-Identifier: MIT */
#include "core/base/nearest.h"

#include "tests/harness/test.h"

static void test_nearest(void **state)
{
	static const char *const names[] = {"virtio-blk-pci", "virtio-gpu-pci", "virtio-gpu-gl-pci",
			"virtio-rng-pci", "isa-debug-exit", NULL};
	static const struct {
		const char *name, *nearest;
	} rows[] = {
			{"virtio-gpu-pci", "virtio-gpu-pci"},
			{"virtio-gpu", "virtio-gpu-pci"},
			{"virtio-gpu-gl",
					"virtio-gpu-gl-pci"}, /* the beginning counts for more than letters */
			{"virtio-bkl-pci", "virtio-blk-pci"},
			{"isa-debugexit", "isa-debug-exit"},
			{"isa-debug-exit-and-more", "isa-debug-exit"},
			{"e1000", NULL},
			{"", NULL},
			{"xx", NULL},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *nearest = nearest_name(rows[i].name, names);
		if (g_strcmp0(nearest, rows[i].nearest) != 0) {
			fail_msg("%s: %s", rows[i].name, nearest ? nearest : "none");
		}
	}
	g_autofree char *endless = g_strnfill(100000, 'v');
	assert_null(nearest_name(endless, names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
