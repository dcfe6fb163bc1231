/* SPDX-License-Identifier: MIT */
/* -cpu: what is understood, and what becomes of it with engines that have more or less. */
#include "tests/harness/test.h"

#include "core/engine/cpu_model.h"

#include <string.h>

#define EACH_FEATURE(i) (unsigned i = 0; (i) < CPU_WORD_COUNT * 32; (i)++)

/* An engine that has everything but what is named. */
static struct cpu_offer offer_without(const char *list)
{
	struct cpu_offer offer = {.engine = "the toy", .identity = {6, 1, 2, "Toy"}};
	g_auto(GStrv) names = g_strsplit(list, ",", -1);
	struct cpu_features one;

	memset(&offer.known, 0xff, sizeof(offer.known));
	offer.possible = offer.known;
	for (unsigned i = 0; names[i]; i++) {
		assert_true(cpu_features_by_name(names[i], &one));
		for
			EACH_FEATURE(j)
			{
				if (cpu_features_has(&one, j)) {
					cpu_features_set(&offer.possible, j, false);
				}
			}
	}
	offer.standard = offer.host = offer.possible;
	cpu_features_set(&offer.standard, CPU_FEATURE_PCOMMIT, false);
	return offer;
}

static bool resolve(const char *text, const struct cpu_offer *offer, struct cpu_features *features,
		struct cpu_identity *identity, GError **error)
{
	struct cpu_model model;
	struct cpu_identity ignored;

	if (!cpu_model_parse(text, &model, error)) {
		fail_msg("%s: %s", text, (*error)->message);
	}
	return cpu_model_resolve(&model, offer, features, identity ? identity : &ignored, error);
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		unsigned feature;
	} rows[] = {
			{"popcnt", CPU_FEATURE_POPCNT},
			{"sse4.1", CPU_FEATURE_SSE41},
			{"sse4_1", CPU_FEATURE_SSE41},
			{"sse4-2", CPU_FEATURE_SSE42},
			{"sse3", CPU_FEATURE_SSE3},
			{"lahf_lm", CPU_FEATURE_LAHF},
			{"lzcnt", CPU_FEATURE_LZCNT},
			{"abm", CPU_FEATURE_LZCNT},
			{"pcommit", CPU_FEATURE_PCOMMIT},
			{"xd", CPU_FEATURE_NX},
			{"kvm-pv-eoi", CPU_FEATURE_KVM_PV_EOI},
			{"kvm_pv_ipi", CPU_FEATURE_KVM_PV_IPI},
			{"invtsc", CPU_FEATURE_INVTSC},
	};
	struct cpu_features features;

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_true(cpu_features_by_name(rows[i].name, &features));
		assert_true(cpu_features_has(&features, rows[i].feature));
	}
	assert_true(cpu_features_by_name("kvmclock", &features));
	assert_int_equal(features.words[CPU_WORD_KVM], 1 << 0 | 1 << 3);
	assert_false(cpu_features_by_name("osxsave", &features));
	assert_false(cpu_features_by_name("", &features));
	assert_null(cpu_feature_name(CPU_FEATURE_NONE));
}

/* Every name stands for itself, so no two flags share one by accident. */
static void test_names_are_distinct(void **state)
{
	struct cpu_features features;

	(void)state;
	for
		EACH_FEATURE(i)
		{
			const char *name = cpu_feature_name(i);
			if (!name) {
				continue;
			}
			assert_true(cpu_features_by_name(name, &features));
		for
			EACH_FEATURE(j)
			{
				bool same = strcmp(name, "kvmclock") == 0
							    ? j == CPU_FEATURE_KVM_CLOCK ||
									      j == CPU_FEATURE_KVM_CLOCK2
							    : i == j;
				assert_int_equal(cpu_features_has(&features, j), same);
			}
		}
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
			{"", "'' names no model; '-cpu help' lists them"},
			{"Skylake-Clint",
					"no model 'Skylake-Clint'; did you mean 'Skylake-Client'?"},
			{"pdp11", "no model 'pdp11'; '-cpu help' lists them"},
			{"max,,+aes", "a flag is missing before or after a comma"},
			{"max,+", "no flag ''; '-cpu help' lists them"},
			{"max,+clfushopt", "no flag 'clfushopt'; did you mean 'clflushopt'?"},
			{"max,enforze", "no flag 'enforze'; did you mean 'enforce'?"},
			{"max,check=maybe", "check: 'maybe' is not on or off"},
			{"max,stepping=16", "stepping: '16' is not a number from 0 to 15"},
			{"max,family", "family: '' is not a number from 0 to 270"},
			{"max,model=-1", "model: '-1' is not a number from 0 to 255"},
			{"max,model-id=0123456789012345678901234567890123456789012345678",
					"model-id: a text of at most 47 bytes is wanted"},
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct cpu_model model;
		assert_false(cpu_model_parse(rows[i].text, &model, &error));
		assert_string_equal(error->message, rows[i].says);
	}
}

/* Every model of the help is one, and its flags are flags. */
static void test_models(void **state)
{
	struct cpu_offer offer = offer_without("");
	g_autofree char *help = cpu_model_help();
	g_auto(GStrv) lines = g_strsplit(help, "\n", -1);
	unsigned count = 0;

	(void)state;
	for (unsigned i = 1; lines[i][0] == ' '; i++, count++) {
		g_auto(GStrv) words = g_strsplit(lines[i] + 2, " ", 2);
		g_autofree char *text = g_strdup_printf("%s,enforce", words[0]);
		struct cpu_features features;
		assert_true(resolve(text, &offer, &features, NULL, NULL));
		assert_true(cpu_features_has(&features, CPU_FEATURE_HYPERVISOR));
	}
	assert_true(count > 20);
}

static void test_contents(void **state)
{
	static const struct {
		const char *text;
		unsigned feature;
		bool expect;
	} rows[] = {
			{"max", CPU_FEATURE_AVX512F, true},
			{"max", CPU_FEATURE_PCOMMIT, false},
			{"max,+pcommit", CPU_FEATURE_PCOMMIT, true},
			{"max,pcommit", CPU_FEATURE_PCOMMIT, true},
			{"max,pcommit=on", CPU_FEATURE_PCOMMIT, true},
			{"host", CPU_FEATURE_PCOMMIT, true},
			{"max,-popcnt", CPU_FEATURE_POPCNT, false},
			{"max,popcnt=off", CPU_FEATURE_POPCNT, false},
			{"max,-popcnt,+popcnt", CPU_FEATURE_POPCNT, true},
			{"max,+popcnt,-popcnt", CPU_FEATURE_POPCNT, false},
			{"max,-kvmclock", CPU_FEATURE_KVM_CLOCK2, false},
			{"max,kvm=off", CPU_FEATURE_KVM_PV_EOI, false},
			{"max,-xsave", CPU_FEATURE_AVX2, false}, /* it is built upon it */
			{"max,-sse4.1", CPU_FEATURE_SSE42, false},
			{"qemu64", CPU_FEATURE_CX16, true},
			{"qemu64", CPU_FEATURE_SSSE3, false},
			{"qemu64", CPU_FEATURE_KVM_CLOCK, true},
			{"qemu64", CPU_FEATURE_X2APIC, true},
			{"qemu64,+avx2", CPU_FEATURE_AVX, true}, /* it brings what it needs */
			{"qemu64,+avx2", CPU_FEATURE_XSAVE, true},
			{"qemu32", CPU_FEATURE_LM, false},
			{"486", CPU_FEATURE_TSC, false},
			{"486", CPU_FEATURE_X2APIC, false}, /* no APIC at all */
			{"Nehalem", CPU_FEATURE_POPCNT, true},
			{"Nehalem", CPU_FEATURE_AES, false},
			{"Westmere", CPU_FEATURE_AES, true},
			{"SandyBridge", CPU_FEATURE_AVX, true},
			{"Haswell", CPU_FEATURE_MOVBE, true},
			{"Haswell-noTSX", CPU_FEATURE(CPU_WORD_7_EBX, 11), false},
			{"Haswell", CPU_FEATURE(CPU_WORD_7_EBX, 11), true},
			{"Cascadelake-Server-noTSX", CPU_FEATURE(CPU_WORD_7_EBX, 11), false},
			{"x86-64-v2", CPU_FEATURE_SSE42, true},
			{"x86-64-v2", CPU_FEATURE_AVX, false},
			{"x86-64-v2", CPU_FEATURE_ARCH_CAPABILITIES, true},
			{"x86-64-v3", CPU_FEATURE_AVX2, true},
			{"EPYC-Rome", CPU_FEATURE_SHA, true},
			{"EPYC-Rome", CPU_FEATURE_INVPCID, false},
	};
	struct cpu_offer offer = offer_without("");

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct cpu_features features;
		print_message("%s\n", rows[i].text);
		assert_true(resolve(rows[i].text, &offer, &features, NULL, NULL));
		assert_int_equal(cpu_features_has(&features, rows[i].feature), rows[i].expect);
	}
}

static void test_not_everything(void **state)
{
	static const struct {
		const char *text, *says; /* NULL: it is given all the same */
	} rows[] = {
			{"Haswell,check=off", NULL},
			{"Haswell,enforce=off,check=off", NULL},
			{"Haswell,enforce",
					"-cpu Haswell,enforce: the toy does not have avx, avx2"},
			{"Haswell,-avx,-avx2,enforce", NULL},
			{"Haswell,+avx",
					"-cpu: the toy needs a host that has avx; -cpu max is what it has "
					"on this one"},
			{"max,+avx2", "-cpu: the toy needs a host that has avx, avx2; -cpu max is what "
				      "it has on this one"},
			{"max,+avx2,-avx", "-cpu: avx2 needs avx, which is switched off"},
			{"x86-64-v2,enforce", NULL}, /* what it only wishes for is not missed */
			{"max,enforce", NULL},
	};
	struct cpu_offer offer = offer_without("avx,avx2,rdpid");

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct cpu_features features;
		bool ok = resolve(rows[i].text, &offer, &features, NULL, &error);
		assert_int_equal(ok, !rows[i].says);
		if (ok) {
			assert_false(cpu_features_has(&features, CPU_FEATURE_AVX));
			assert_false(cpu_features_has(&features, CPU_FEATURE_F16C));
		} else {
			assert_string_equal(error->message, rows[i].says);
		}
	}
	offer.known = offer.possible;
	struct cpu_features features;
	g_autoptr(GError) error = NULL;
	assert_false(resolve("max,+avx", &offer, &features, NULL, &error));
	assert_string_equal(
			error->message, "-cpu: the toy does not have avx; -cpu max is what it has");
}

static void test_identity(void **state)
{
	static const struct {
		const char *text;
		uint32_t signature;
		const char *model_id;
	} rows[] = {
			{"max", 0x612, "Toy"},
			{"host", 0x612, "Toy"},
			{"x86-64-v2", 0x612, "Toy"},
			{"qemu64", 0x60fb1, "QEMU Virtual CPU version 2.5+"},
			{"Haswell", 0x306c4, "Intel Core Processor (Haswell)"},
			{"486", 0x480, "486"},
			{"EPYC-Milan", 0xa00f11, "AMD EPYC-Milan Processor"},
			{"Haswell,stepping=7", 0x306c7, "Intel Core Processor (Haswell)"},
			{"max,family=23,model=0x31,stepping=0,model-id=Own name", 0x830f10,
					"Own name"},
	};
	struct cpu_offer offer = offer_without("");

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct cpu_features features;
		struct cpu_identity identity;
		assert_true(resolve(rows[i].text, &offer, &features, &identity, NULL));
		assert_int_equal(cpu_identity_signature(&identity), rows[i].signature);
		assert_string_equal(identity.model_id, rows[i].model_id);
	}
}

/* Nothing chosen is max. */
static void test_default(void **state)
{
	const struct cpu_model nothing = {NULL};
	struct cpu_offer offer = offer_without("");
	struct cpu_features features;
	struct cpu_identity identity;

	(void)state;
	assert_true(cpu_model_resolve(&nothing, &offer, &features, &identity, NULL));
	assert_memory_equal(&features, &offer.standard, sizeof(features));
	assert_string_equal(cpu_model_name(&nothing), "max");
	assert_true(cpu_model_is_everything(&nothing));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_names),
			cmocka_unit_test(test_names_are_distinct),
			cmocka_unit_test(test_bad),
			cmocka_unit_test(test_models),
			cmocka_unit_test(test_contents),
			cmocka_unit_test(test_not_everything),
			cmocka_unit_test(test_identity),
			cmocka_unit_test(test_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
