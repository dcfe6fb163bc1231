/* SPDX-License-Identifier: MIT */
/* The models there are, the syntax of -cpu, and what becomes of a choice where not everything can be had. */
#include "core/engine/cpu_model.h"

#include "core/base/log.h"
#include "core/base/nearest.h"

#include <string.h>

/* A model: another one and what it has more. */
struct cpu_model_info {
	const char *name;
	const char *description; /* for help */
	const char *base; /* may be NULL */
	const char *adds, *drops; /* flags with commas between them; may be NULL */
	const char *wishes; /* flags that are given where they can be, and not missed */
	unsigned family, model, stepping; /* family 0: the engine's own */
	const char *model_id; /* NULL: the engine's own */
};

#define PENTIUM_PRO \
	"fpu,de,pse,tsc,msr,pae,mce,cx8,apic,sep,pge,cmov,pat,mmx,fxsr,sse,sse2,mtrr,clflush,mca,pse36"
#define LEVEL_WISHES \
	"vme,x2apic,tsc-deadline,tsc-adjust,arat,nx,pdpe1gb,rdtscp,invtsc,smep,smap,umip,erms,fsrm," \
	"fsgsbase,rdrand,rdseed,rdpid,clflushopt,clwb,spec-ctrl,arch-capabilities,bhi-ctrl,ss," \
	"zero-fcs-fds,3dnowprefetch"

static const struct cpu_model_info models[] = {
		{"max", "all that the engine gives (default)"},
		{"host", "the host's processor, as far as the engine gives it"},
		{"qemu64", "a generic 64-bit processor", NULL,
				PENTIUM_PRO ",pni,cx16,syscall,nx,lm,lahf-lm", NULL, NULL, 15, 107,
				1, "QEMU Virtual CPU version 2.5+"},
		{"qemu32", "a generic 32-bit processor", NULL, PENTIUM_PRO ",pni",
				"mtrr,clflush,mca,pse36", NULL, 6, 6, 3,
				"QEMU Virtual CPU version 2.5+"},
		{"kvm64", "a generic 64-bit processor", NULL,
				PENTIUM_PRO ",vme,pni,cx16,syscall,nx,lm", NULL, NULL, 15, 6, 1,
				"Common KVM processor"},
		{"kvm32", "a generic 32-bit processor", NULL, PENTIUM_PRO ",vme,pni", NULL, NULL,
				15, 6, 1, "Common 32-bit KVM processor"},
		{"486", "Intel 80486", NULL, "fpu,vme,pse", NULL, NULL, 4, 8, 0, "486"},
		{"pentium", "Intel Pentium", "486", "de,tsc,msr,mce,cx8,mmx", NULL, NULL, 5, 4, 3,
				"pentium"},
		{"pentium2", "Intel Pentium II", "pentium",
				"pae,sep,mtrr,pge,mca,cmov,pat,pse36,fxsr", NULL, NULL, 6, 5, 2,
				"pentium2"},
		{"pentium3", "Intel Pentium III", "pentium2", "sse", NULL, NULL, 6, 7, 3,
				"pentium3"},
		{"x86-64-v1", "the instructions of the ABI's base level", NULL,
				PENTIUM_PRO ",syscall,lm", NULL, LEVEL_WISHES},
		{"x86-64-v2", "... of level 2: SSE4.2, POPCNT, CMPXCHG16B", "x86-64-v1",
				"cx16,lahf-lm,popcnt,pni,ssse3,sse4.1,sse4.2", NULL, LEVEL_WISHES},
		{"x86-64-v2-AES", "... and AES, PCLMULQDQ", "x86-64-v2", "aes,pclmulqdq", NULL,
				LEVEL_WISHES},
		{"x86-64-v3", "... of level 3: AVX2, BMI, FMA, F16C, MOVBE", "x86-64-v2",
				"avx,avx2,bmi1,bmi2,f16c,fma,abm,movbe,xsave", NULL,
				LEVEL_WISHES ",aes,pclmulqdq,xsaveopt,xsavec,xgetbv1"},
		{"x86-64-v4", "... of level 4: AVX-512", "x86-64-v3",
				"avx512f,avx512bw,avx512cd,avx512dq,avx512vl", NULL,
				LEVEL_WISHES ",aes,pclmulqdq,xsaveopt,xsavec,xgetbv1"},
		{"Conroe", "Intel Celeron_4x0 (Conroe/Merom Class Core 2)", NULL,
				PENTIUM_PRO ",vme,pni,ssse3,syscall,nx,lm,lahf-lm", NULL, NULL, 6,
				15, 3, "Intel Celeron_4x0 (Conroe/Merom Class Core 2)"},
		{"Penryn", "Intel Core 2 Duo P9xxx (Penryn Class Core 2)", "Conroe", "cx16,sse4.1",
				NULL, NULL, 6, 23, 3,
				"Intel Core 2 Duo P9xxx (Penryn Class Core 2)"},
		{"Nehalem", "Intel Core i7 9xx (Nehalem Class Core i7)", "Penryn", "sse4.2,popcnt",
				NULL, NULL, 6, 26, 3, "Intel Core i7 9xx (Nehalem Class Core i7)"},
		{"Westmere", "Westmere E56xx/L56xx/X56xx (Nehalem-C)", "Nehalem",
				"aes,pclmulqdq,arat", NULL, NULL, 6, 44, 1,
				"Westmere E56xx/L56xx/X56xx (Nehalem-C)"},
		{"SandyBridge", "Intel Xeon E312xx (Sandy Bridge)", "Westmere",
				"x2apic,tsc-deadline,xsave,avx,rdtscp,xsaveopt", NULL, NULL, 6, 42,
				1, "Intel Xeon E312xx (Sandy Bridge)"},
		{"IvyBridge", "Intel Xeon E3-12xx v2 (Ivy Bridge)", "SandyBridge",
				"f16c,rdrand,fsgsbase,smep,erms", NULL, NULL, 6, 58, 9,
				"Intel Xeon E3-12xx v2 (Ivy Bridge)"},
		{"Haswell-noTSX", "Intel Core Processor (Haswell, no TSX)", "IvyBridge",
				"fma,movbe,pcid,bmi1,avx2,bmi2,invpcid,abm", NULL, NULL, 6, 60, 1,
				"Intel Core Processor (Haswell, no TSX)"},
		{"Haswell", "Intel Core Processor (Haswell)", "Haswell-noTSX", "hle,rtm", NULL,
				NULL, 6, 60, 4, "Intel Core Processor (Haswell)"},
		{"Broadwell-noTSX", "Intel Core Processor (Broadwell, no TSX)", "Haswell-noTSX",
				"rdseed,adx,smap,3dnowprefetch", NULL, NULL, 6, 61, 2,
				"Intel Core Processor (Broadwell, no TSX)"},
		{"Broadwell", "Intel Core Processor (Broadwell)", "Broadwell-noTSX", "hle,rtm",
				NULL, NULL, 6, 61, 2, "Intel Core Processor (Broadwell)"},
		{"Skylake-Client-noTSX-IBRS", "Intel Core Processor (Skylake, IBRS, no TSX)",
				"Broadwell-noTSX", "xsavec,xgetbv1,spec-ctrl", NULL, NULL, 6, 94, 3,
				"Intel Core Processor (Skylake, IBRS, no TSX)"},
		{"Skylake-Client", "Intel Core Processor (Skylake)", "Broadwell", "xsavec,xgetbv1",
				NULL, NULL, 6, 94, 3, "Intel Core Processor (Skylake)"},
		{"Skylake-Server", "Intel Xeon Processor (Skylake)", "Skylake-Client",
				"clflushopt,clwb,pdpe1gb,avx512f,avx512dq,avx512bw,avx512cd,avx512vl,"
				"pku",
				NULL, NULL, 6, 85, 4, "Intel Xeon Processor (Skylake)"},
		{"Cascadelake-Server-noTSX", "Intel Xeon Processor (Cascadelake)", "Skylake-Server",
				"avx512vnni,spec-ctrl,ssbd,arch-capabilities", "hle,rtm", NULL, 6,
				85, 6, "Intel Xeon Processor (Cascadelake)"},
		{"Icelake-Server-noTSX", "Intel Xeon Processor (Icelake)",
				"Cascadelake-Server-noTSX",
				"avx512vbmi,umip,avx512vbmi2,gfni,vaes,vpclmulqdq,avx512bitalg,"
				"avx512-vpopcntdq,la57,wbnoinvd,sha-ni,rdpid,fsrm,avx512ifma",
				NULL, NULL, 6, 106, 6, "Intel Xeon Processor (Icelake)"},
		{"EPYC", "AMD EPYC Processor", NULL,
				PENTIUM_PRO
				",vme,rdrand,f16c,avx,xsave,aes,popcnt,movbe,sse4.2,sse4.1,cx16,fma,"
				"ssse3,pclmulqdq,pni,lm,rdtscp,pdpe1gb,fxsr-opt,mmxext,nx,syscall,"
				"osvw,3dnowprefetch,misalignsse,sse4a,abm,cr8legacy,lahf-lm,"
				"fsgsbase,bmi1,avx2,smep,bmi2,rdseed,adx,smap,clflushopt,sha-ni,"
				"xsaveopt,xsavec,xgetbv1,arat,ibpb",
				NULL, NULL, 23, 1, 2, "AMD EPYC Processor"},
		{"EPYC-Rome", "AMD EPYC-Rome Processor", "EPYC",
				"clwb,umip,rdpid,wbnoinvd,amd-stibp,clzero,xsaveerptr,perfctr-core",
				NULL, NULL, 23, 49, 0, "AMD EPYC-Rome Processor"},
		{"EPYC-Milan", "AMD EPYC-Milan Processor", "EPYC-Rome",
				"pcid,erms,invpcid,pku,fsrm,ibrs,amd-ssbd", NULL, NULL, 25, 1, 1,
				"AMD EPYC-Milan Processor"},
};

/* What an instruction set is built upon. What is needed comes before what needs it. */
static const struct {
	const char *flags, *needs;
} needs[] = {
		{"sse", "fxsr"},
		{"sse2", "sse"},
		{"pni,aes,pclmulqdq,sha-ni", "sse2"},
		{"ssse3", "pni"},
		{"sse4.1", "ssse3"},
		{"sse4.2", "sse4.1"},
		{"x2apic,tsc-deadline", "apic"},
		{"avx,pku,xsaveopt,xsavec,xgetbv1,xsaves,xfd", "xsave"},
		{"avx", "sse4.2"},
		{"avx2,fma,f16c,vaes,vpclmulqdq,avx-vnni", "avx"},
		{"avx512f", "avx2"},
		{"avx512dq,avx512ifma,avx512cd,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,"
		 "avx512bitalg,avx512-vpopcntdq,avx512-vp2intersect,avx512-bf16,avx512-fp16",
				"avx512f"},
		{"invpcid", "pcid"},
		{"lm", "pae"},
		{"pdpe1gb", "lm"},
};

enum { INFO_MAX, INFO_HOST };

static bool set_bad(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool set_bad(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
	return false;
}

static void features_add(struct cpu_features *features, const struct cpu_features *more)
{
	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		features->words[i] |= more->words[i];
	}
}

static void features_remove(struct cpu_features *features, const struct cpu_features *gone)
{
	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		features->words[i] &= ~gone->words[i];
	}
}

static struct cpu_features features_both(const struct cpu_features *a, const struct cpu_features *b)
{
	struct cpu_features both;

	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		both.words[i] = a->words[i] & b->words[i];
	}
	return both;
}

static bool features_any(const struct cpu_features *features)
{
	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		if (features->words[i]) {
			return true;
		}
	}
	return false;
}

/* Of our own lists; may be NULL. */
static struct cpu_features features_of_list(const char *list)
{
	struct cpu_features all = {0}, one;
	g_auto(GStrv) names = g_strsplit(list ? list : "", ",", -1);

	for (unsigned i = 0; names[i]; i++) {
		bool known = cpu_features_by_name(names[i], &one);
		assert(known);
		features_add(&all, &one);
	}
	return all;
}

static const struct cpu_model_info *find_model(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
		if (strcmp(models[i].name, name) == 0) {
			return &models[i];
		}
	}
	return NULL;
}

static struct cpu_features features_of_model(const struct cpu_model_info *info)
{
	struct cpu_features features = {0}, list;

	if (info->base) {
		features = features_of_model(find_model(info->base));
	}
	list = features_of_list(info->adds);
	features_add(&features, &list);
	list = features_of_list(info->drops);
	features_remove(&features, &list);
	return features;
}

const char *cpu_model_name(const struct cpu_model *model)
{
	return model->info ? model->info->name : models[INFO_MAX].name;
}

bool cpu_model_is_everything(const struct cpu_model *model)
{
	return !model->info || model->info == &models[INFO_MAX] ||
	       model->info == &models[INFO_HOST];
}

/*
 * The syntax.
 */
static bool set_unknown_model(const char *name, GError **error)
{
	const char *names[G_N_ELEMENTS(models) + 1] = {NULL};

	for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
		names[i] = models[i].name;
	}
	const char *near = nearest_name(name, names);
	return near ? set_bad(error, "no model '%s'; did you mean '%s'?", name, near)
		    : set_bad(error, "no model '%s'; '-cpu help' lists them", name);
}

static const char *const properties[] = {
		"check", "enforce", "kvm", "family", "model", "stepping", "model-id"};

static bool set_unknown_flag(const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (unsigned i = 0; i < CPU_WORD_COUNT * 32; i++) {
		if (cpu_feature_name(i)) {
			g_ptr_array_add(names, (char *)(uintptr_t)cpu_feature_name(i));
		}
	}
	for (size_t i = 0; i < G_N_ELEMENTS(properties); i++) {
		g_ptr_array_add(names, (char *)(uintptr_t)properties[i]);
	}
	g_ptr_array_add(names, NULL);
	const char *near = nearest_name(name, (const char *const *)names->pdata);
	return near ? set_bad(error, "no flag '%s'; did you mean '%s'?", name, near)
		    : set_bad(error, "no flag '%s'; '-cpu help' lists them", name);
}

static bool parse_switch(const char *name, const char *value, bool *ret_on, GError **error)
{
	static const char *const on[] = {"on", "true", "yes", "y", NULL};
	static const char *const off[] = {"off", "false", "no", "n", NULL};

	*ret_on = !value || g_strv_contains(on, value);
	return *ret_on || g_strv_contains(off, value) ||
	       set_bad(error, "%s: '%s' is not on or off", name, value);
}

/* The later of two words on the same flag counts. */
static bool switch_flag(struct cpu_model *model, const char *name, bool on, GError **error)
{
	struct cpu_features flag;

	if (!cpu_features_by_name(name, &flag)) {
		return set_unknown_flag(name, error);
	}
	features_add(on ? &model->plus : &model->minus, &flag);
	features_remove(on ? &model->minus : &model->plus, &flag);
	return true;
}

static bool parse_number(const char *name, const char *value, unsigned max, unsigned field,
		unsigned *number, struct cpu_model *model, GError **error)
{
	char *end = NULL;
	guint64 parsed = value && g_ascii_isdigit(value[0]) ? g_ascii_strtoull(value, &end, 0) : 0;

	if (!end || *end != '\0' || parsed > max) {
		return set_bad(error, "%s: '%s' is not a number from 0 to %u", name,
				value ? value : "", max);
	}
	*number = (unsigned)parsed;
	model->identity_set |= field;
	return true;
}

static bool set_model_id(struct cpu_model *model, const char *value, GError **error)
{
	if (!value || strlen(value) > CPU_MODEL_ID_MAX) {
		return set_bad(error, "model-id: a text of at most %d bytes is wanted",
				CPU_MODEL_ID_MAX);
	}
	g_strlcpy(model->identity.model_id, value, sizeof(model->identity.model_id));
	model->identity_set |= CPU_IDENTITY_MODEL_ID;
	return true;
}

/* A property with a value, or a flag. */
static bool parse_property(
		struct cpu_model *model, const char *name, const char *value, GError **error)
{
	struct cpu_identity *identity = &model->identity;
	bool on;

	if (strcmp(name, "family") == 0) {
		return parse_number(name, value, 15 + 255, CPU_IDENTITY_FAMILY, &identity->family,
				model, error);
	}
	if (strcmp(name, "model") == 0) {
		return parse_number(name, value, 255, CPU_IDENTITY_MODEL, &identity->model, model,
				error);
	}
	if (strcmp(name, "stepping") == 0) {
		return parse_number(name, value, 15, CPU_IDENTITY_STEPPING, &identity->stepping,
				model, error);
	}
	if (strcmp(name, "model-id") == 0) {
		return set_model_id(model, value, error);
	}
	if (!parse_switch(name, value, &on, error)) {
		return false;
	}
	if (strcmp(name, "check") == 0) {
		model->check = on ? CPU_MODEL_CHECK : CPU_MODEL_NO_CHECK;
	} else if (strcmp(name, "enforce") == 0) {
		model->check = on ? CPU_MODEL_ENFORCE : CPU_MODEL_CHECK;
	} else if (strcmp(name, "kvm") == 0) {
		model->hide_kvm = !on;
	} else {
		return switch_flag(model, name, on, error);
	}
	return true;
}

static bool parse_item(struct cpu_model *model, char *item, GError **error)
{
	char *value = strchr(item, '=');

	if (item[0] == '+' || item[0] == '-') {
		return switch_flag(model, item + 1, item[0] == '+', error);
	}
	if (value) {
		*value++ = '\0';
	}
	if (item[0] == '\0') {
		return set_bad(error, "a flag is missing before or after a comma");
	}
	return parse_property(model, item, value, error);
}

bool cpu_model_parse(const char *text, struct cpu_model *ret_model, GError **error)
{
	struct cpu_model model = {NULL};
	g_auto(GStrv) items = g_strsplit(text, ",", -1);

	if (!items[0] || items[0][0] == '\0') {
		return set_bad(error, "'%s' names no model; '-cpu help' lists them", text);
	}
	model.info = find_model(items[0]);
	if (!model.info) {
		return set_unknown_model(items[0], error);
	}
	for (unsigned i = 1; items[i]; i++) {
		if (!parse_item(&model, items[i], error)) {
			return false;
		}
	}
	*ret_model = model;
	return true;
}

char *cpu_model_help(void)
{
	GString *text = g_string_new("Models:\n");
	size_t line = 80;

	for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
		g_string_append_printf(text, "  %-26s %s\n", models[i].name, models[i].description);
	}
	g_string_append(text,
			"\nProperties: family=, model=, stepping=, model-id=; check, enforce, kvm=off"
			"\n\nFlags (+FLAG, -FLAG, FLAG=on|off):");
	for (unsigned i = 0; i < CPU_WORD_COUNT * 32; i++) {
		const char *name = cpu_feature_name(i);
		if (!name || i == CPU_FEATURE_KVM_CLOCK2) {
			continue;
		}
		if (line + strlen(name) > 78) {
			g_string_append(text, "\n ");
			line = 1;
		}
		g_string_append_printf(text, " %s", name);
		line += strlen(name) + 1;
	}
	g_string_append_c(text, '\n');
	return g_string_free(text, FALSE);
}

/*
 * What becomes of it.
 */

/* What is on for every model: it is of the machine, not of the processor. */
static void add_machine_features(struct cpu_features *features, const struct cpu_offer *offer)
{
	const enum cpu_feature always[] = {CPU_FEATURE_HYPERVISOR, CPU_FEATURE_X2APIC};

	features->words[CPU_WORD_KVM] |= offer->standard.words[CPU_WORD_KVM];
	for (size_t i = 0; i < G_N_ELEMENTS(always); i++) {
		if (cpu_features_has(&offer->standard, always[i])) {
			cpu_features_set(features, always[i], true);
		}
	}
}

/* What the model has by itself, possible or not. */
static struct cpu_features model_features(
		const struct cpu_model *model, const struct cpu_offer *offer)
{
	const struct cpu_model_info *info = model->info ? model->info : &models[INFO_MAX];

	if (info == &models[INFO_MAX]) {
		return offer->standard;
	}
	if (info == &models[INFO_HOST]) {
		return offer->host;
	}
	struct cpu_features features = features_of_model(info);
	struct cpu_features wishes = features_of_list(info->wishes);
	wishes = features_both(&wishes, &offer->standard);
	features_add(&features, &wishes);
	add_machine_features(&features, offer);
	return features;
}

/* Flags that were asked for bring what they need; false if just that was taken off. */
static bool add_needed(const struct cpu_model *model, struct cpu_features *plus, GError **error)
{
	for (size_t i = G_N_ELEMENTS(needs); i-- > 0;) {
		struct cpu_features flags = features_of_list(needs[i].flags);
		struct cpu_features needed = features_of_list(needs[i].needs);
		flags = features_both(&flags, plus);
		if (!features_any(&flags)) {
			continue;
		}
		struct cpu_features off = features_both(&needed, &model->minus);
		if (features_any(&off)) {
			g_autofree char *names = cpu_features_text(&flags);
			return set_bad(error, "-cpu: %s needs %s, which is switched off", names,
					needs[i].needs);
		}
		features_add(plus, &needed);
	}
	return true;
}

static void drop_dependents(struct cpu_features *features)
{
	for (size_t i = 0; i < G_N_ELEMENTS(needs); i++) {
		struct cpu_features needed = features_of_list(needs[i].needs);
		needed = features_both(&needed, features);
		if (!features_any(&needed)) {
			struct cpu_features gone = features_of_list(needs[i].flags);
			features_remove(features, &gone);
		}
	}
}

/* The flags of the command line, and what they need, must all be possible. */
static bool check_plus(
		const struct cpu_features *plus, const struct cpu_offer *offer, GError **error)
{
	struct cpu_features impossible = *plus;

	features_remove(&impossible, &offer->possible);
	if (!features_any(&impossible)) {
		return true;
	}
	struct cpu_features unknown = impossible;
	features_remove(&unknown, &offer->known);
	bool of_engine = features_any(&unknown);
	g_autofree char *names = cpu_features_text(of_engine ? &unknown : &impossible);
	return of_engine ? set_bad(error, "-cpu: %s does not have %s; -cpu max is what it has",
					   offer->engine, names)
			 : set_bad(error,
					   "-cpu: %s needs a host that has %s; -cpu max is what it has "
					   "on this one",
					   offer->engine, names);
}

static bool check_model(const struct cpu_model *model, const struct cpu_features *wanted,
		const struct cpu_offer *offer, GError **error)
{
	struct cpu_features missing = *wanted;

	features_remove(&missing, &offer->possible);
	features_remove(&missing, &model->minus);
	g_autofree char *names = cpu_features_text(&missing);
	if (names[0] == '\0' || model->check == CPU_MODEL_NO_CHECK) {
		return true;
	}
	if (model->check == CPU_MODEL_ENFORCE) {
		return set_bad(error, "-cpu %s,enforce: %s does not have %s", cpu_model_name(model),
				offer->engine, names);
	}
	log_warn("-cpu %s: without what %s does not have: %s", cpu_model_name(model), offer->engine,
			names);
	return true;
}

static struct cpu_identity model_identity(
		const struct cpu_model *model, const struct cpu_offer *offer)
{
	const struct cpu_model_info *info = model->info;
	struct cpu_identity identity = offer->identity;

	if (info && info->family) {
		identity.family = info->family;
		identity.model = info->model;
		identity.stepping = info->stepping;
		g_strlcpy(identity.model_id, info->model_id, sizeof(identity.model_id));
	}
	if (model->identity_set & CPU_IDENTITY_FAMILY) {
		identity.family = model->identity.family;
	}
	if (model->identity_set & CPU_IDENTITY_MODEL) {
		identity.model = model->identity.model;
	}
	if (model->identity_set & CPU_IDENTITY_STEPPING) {
		identity.stepping = model->identity.stepping;
	}
	if (model->identity_set & CPU_IDENTITY_MODEL_ID) {
		g_strlcpy(identity.model_id, model->identity.model_id, sizeof(identity.model_id));
	}
	return identity;
}

bool cpu_model_resolve(const struct cpu_model *model, const struct cpu_offer *offer,
		struct cpu_features *ret_features, struct cpu_identity *ret_identity,
		GError **error)
{
	struct cpu_features wanted = model_features(model, offer), plus = model->plus;

	if (!add_needed(model, &plus, error) || !check_plus(&plus, offer, error) ||
			!check_model(model, &wanted, offer, error)) {
		return false;
	}
	*ret_features = features_both(&wanted, &offer->possible);
	features_add(ret_features, &plus);
	features_remove(ret_features, &model->minus);
	drop_dependents(ret_features);
	if (model->hide_kvm) {
		ret_features->words[CPU_WORD_KVM] = 0;
	}
	*ret_identity = model_identity(model, offer);
	return true;
}

uint32_t cpu_identity_signature(const struct cpu_identity *identity)
{
	unsigned base = MIN(identity->family, 15);

	return (identity->family - base) << 20 | (identity->model >> 4) << 16 | base << 8 |
	       (identity->model & 15) << 4 | identity->stepping;
}
