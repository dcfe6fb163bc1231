/* SPDX-License-Identifier: MIT */
/* Instructions that the guest was not given are undefined; those that it was given are not. */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/fake_machine.h"

#include "core/engine/soft/block.h"
#include "core/engine/soft/features.h"
#include "core/engine/soft/interp.h"

#include <string.h>

#define CODE UINT64_C(0x10000)
#define DATA UINT64_C(0x20000)

struct setup {
	struct fake_machine *fake;
	uint8_t *code;
};

/* Aligned as guest memory is. */
static uint8_t pages[2][GUEST_PAGE_SIZE] __attribute__((aligned(4096)));

static int start(void **state)
{
	struct setup *setup = g_new0(struct setup, 1);

	setup->fake = fake_machine_create();
	memset(pages, 0, sizeof(pages));
	setup->code = pages[0];
	fake_machine_add(setup->fake, CODE, GUEST_PAGE_SIZE, pages[0], true);
	fake_machine_add(setup->fake, DATA, GUEST_PAGE_SIZE, pages[1], true);
	*state = setup;
	return 0;
}

static int stop(void **state)
{
	struct setup *setup = *state;

	fake_machine_destroy(setup->fake);
	g_free(setup);
	return 0;
}

/* Runs the instruction and the UD2 behind it; true if it was the UD2 that ended it. */
static bool completes(struct setup *setup, const char *bytes, size_t size)
{
	struct cpu *cpu = setup->fake->cpu;

	memcpy(setup->code, bytes, size);
	memcpy(setup->code + size, "\x0f\x0b", 2);
	block_cache_clear(cpu->blocks);
	cpu->rip = CODE;
	cpu->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	cpu->fx.mxcsr = 0x1f80;
	cpu->regs[X86_RSI] = DATA;
	cpu->request = 0;
	cpu_run(cpu);
	assert_int_equal(cpu->fault.vector, X86_VECTOR_UD);
	return cpu->rip == CODE + size;
}

#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *name;
	const char *bytes;
	size_t size;
	enum cpu_feature feature;
} rows[] = {
		{"cmovz eax, ecx", BYTES("\x0f\x44\xc1"), CPU_FEATURE_CMOV},
		{"cmpxchg8b [rsi]", BYTES("\x0f\xc7\x0e"), CPU_FEATURE_CX8},
		{"cmpxchg16b [rsi]", BYTES("\x48\x0f\xc7\x0e"), CPU_FEATURE_CX16},
		{"popcnt eax, ecx", BYTES("\xf3\x0f\xb8\xc1"), CPU_FEATURE_POPCNT},
		{"movbe eax, [rsi]", BYTES("\x0f\x38\xf0\x06"), CPU_FEATURE_MOVBE},
		{"crc32 eax, cl", BYTES("\xf2\x0f\x38\xf0\xc1"), CPU_FEATURE_SSE42},
		{"adcx eax, ecx", BYTES("\x66\x0f\x38\xf6\xc1"), CPU_FEATURE_ADX},
		{"adox eax, ecx", BYTES("\xf3\x0f\x38\xf6\xc1"), CPU_FEATURE_ADX},
		{"andn eax, ecx, edx", BYTES("\xc4\xe2\x70\xf2\xc2"), CPU_FEATURE_BMI1},
		{"blsr eax, ecx", BYTES("\xc4\xe2\x78\xf3\xc9"), CPU_FEATURE_BMI1},
		{"bextr eax, ecx, edx", BYTES("\xc4\xe2\x68\xf7\xc1"), CPU_FEATURE_BMI1},
		{"bzhi eax, ecx, edx", BYTES("\xc4\xe2\x68\xf5\xc1"), CPU_FEATURE_BMI2},
		{"shlx eax, ecx, edx", BYTES("\xc4\xe2\x69\xf7\xc1"), CPU_FEATURE_BMI2},
		{"mulx eax, ecx, edx", BYTES("\xc4\xe2\x73\xf6\xc2"), CPU_FEATURE_BMI2},
		{"rorx eax, ecx, 3", BYTES("\xc4\xe3\x7b\xf0\xc1\x03"), CPU_FEATURE_BMI2},
		{"rdrand eax", BYTES("\x0f\xc7\xf0"), CPU_FEATURE_RDRAND},
		{"rdseed eax", BYTES("\x0f\xc7\xf8"), CPU_FEATURE_RDSEED},
		{"lahf", BYTES("\x9f"), CPU_FEATURE_LAHF},
		{"fld1", BYTES("\xd9\xe8"), CPU_FEATURE_FPU},
		{"fisttp word [rsi]", BYTES("\xdf\x0e"), CPU_FEATURE_SSE3},
		{"pxor mm0, mm1", BYTES("\x0f\xef\xc1"), CPU_FEATURE_MMX},
		{"pmaxub mm0, mm1", BYTES("\x0f\xde\xc1"), CPU_FEATURE_SSE},
		{"movups xmm0, [rsi]", BYTES("\x0f\x10\x06"), CPU_FEATURE_SSE},
		{"stmxcsr [rsi]", BYTES("\x0f\xae\x1e"), CPU_FEATURE_SSE},
		{"fxsave [rsi]", BYTES("\x0f\xae\x06"), CPU_FEATURE_FXSR},
		{"addss xmm0, xmm1", BYTES("\xf3\x0f\x58\xc1"), CPU_FEATURE_SSE},
		{"addsd xmm0, xmm1", BYTES("\xf2\x0f\x58\xc1"), CPU_FEATURE_SSE2},
		{"movdqu xmm0, [rsi]", BYTES("\xf3\x0f\x6f\x06"), CPU_FEATURE_SSE2},
		{"paddb xmm0, xmm1", BYTES("\x66\x0f\xfc\xc1"), CPU_FEATURE_SSE2},
		{"movnti [rsi], eax", BYTES("\x0f\xc3\x06"), CPU_FEATURE_SSE2},
		{"haddps xmm0, xmm1", BYTES("\xf2\x0f\x7c\xc1"), CPU_FEATURE_SSE3},
		{"movddup xmm0, xmm1", BYTES("\xf2\x0f\x12\xc1"), CPU_FEATURE_SSE3},
		{"pshufb xmm0, xmm1", BYTES("\x66\x0f\x38\x00\xc1"), CPU_FEATURE_SSSE3},
		{"palignr mm0, mm1, 1", BYTES("\x0f\x3a\x0f\xc1\x01"), CPU_FEATURE_SSSE3},
		{"pminud xmm0, xmm1", BYTES("\x66\x0f\x38\x3b\xc1"), CPU_FEATURE_SSE41},
		{"roundsd xmm0, xmm1, 1", BYTES("\x66\x0f\x3a\x0b\xc1\x01"), CPU_FEATURE_SSE41},
		{"pcmpgtq xmm0, xmm1", BYTES("\x66\x0f\x38\x37\xc1"), CPU_FEATURE_SSE42},
		{"pcmpistri xmm0, xmm1, 0", BYTES("\x66\x0f\x3a\x63\xc1\x00"), CPU_FEATURE_SSE42},
		{"aesenc xmm0, xmm1", BYTES("\x66\x0f\x38\xdc\xc1"), CPU_FEATURE_AES},
		{"pclmulqdq xmm0, xmm1, 0", BYTES("\x66\x0f\x3a\x44\xc1\x00"),
				CPU_FEATURE_PCLMULQDQ},
		{"sha1msg1 xmm0, xmm1", BYTES("\x0f\x38\xc9\xc1"), CPU_FEATURE_SHA},
};

/* Also where the host lacks one: what it cannot do natively must not be tried. */
static bool host_has(enum cpu_feature feature)
{
	return cpu_features_has(&features_offer()->possible, feature);
}

static void test_instructions(void **state)
{
	struct setup *setup = *state;
	struct cpu_features *features = &setup->fake->cpu->features;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct insn insn;
		print_message("%s\n", rows[i].name);
		assert_int_equal(insn_decode(&insn, INSN_MODE_64, (const uint8_t *)rows[i].bytes,
						 rows[i].size),
				DECODE_OK);
		memset(features, 0xff, sizeof(*features));
		assert_true(features_apply(features, INSN_MODE_64, &insn));
		/* Vectors and x87 are not of this processor. */
		if (insn.insn_class == INSN_CLASS_INTEGER && host_has(rows[i].feature)) {
			assert_true(completes(setup, rows[i].bytes, rows[i].size));
		}
		cpu_features_set(features, rows[i].feature, false);
		assert_false(completes(setup, rows[i].bytes, rows[i].size));
		assert_int_equal(setup->fake->cpu->rip, CODE);
	}
}

/* The system half is not here: these are asked about, not run. */
static void test_system_instructions(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t size;
		enum cpu_feature feature;
	} asked[] = {
			{"clflush [rsi]", BYTES("\x0f\xae\x3e"), CPU_FEATURE_CLFLUSH},
			{"clflushopt [rsi]", BYTES("\x66\x0f\xae\x3e"), CPU_FEATURE_CLFLUSHOPT},
			{"clwb [rsi]", BYTES("\x66\x0f\xae\x36"), CPU_FEATURE_CLWB},
			{"pcommit", BYTES("\x66\x0f\xae\xf8"), CPU_FEATURE_PCOMMIT},
			{"sfence", BYTES("\x0f\xae\xf8"), CPU_FEATURE_SSE},
			{"mfence", BYTES("\x0f\xae\xf0"), CPU_FEATURE_SSE2},
			{"rdfsbase rax", BYTES("\xf3\x48\x0f\xae\xc0"), CPU_FEATURE_FSGSBASE},
			{"wrgsbase rax", BYTES("\xf3\x48\x0f\xae\xd8"), CPU_FEATURE_FSGSBASE},
			{"rdtscp", BYTES("\x0f\x01\xf9"), CPU_FEATURE_RDTSCP},
			{"rdtsc", BYTES("\x0f\x31"), CPU_FEATURE_TSC},
			{"rdpid rax", BYTES("\xf3\x0f\xc7\xf8"), CPU_FEATURE_RDPID},
			{"clac", BYTES("\x0f\x01\xca"), CPU_FEATURE_SMAP},
			{"syscall", BYTES("\x0f\x05"), CPU_FEATURE_SYSCALL},
			{"sysenter", BYTES("\x0f\x34"), CPU_FEATURE_SEP},
			{"rdmsr", BYTES("\x0f\x32"), CPU_FEATURE_MSR},
			{"cpuid", BYTES("\x0f\xa2"), CPU_FEATURE_NONE},
			{"xgetbv", BYTES("\x0f\x01\xd0"), CPU_FEATURE_XSAVE},
			{"xsave [rsi]", BYTES("\x0f\xae\x26"), CPU_FEATURE_XSAVE},
			{"xsaveopt [rsi]", BYTES("\x0f\xae\x36"), CPU_FEATURE_XSAVEOPT},
			{"xsavec [rsi]", BYTES("\x0f\xc7\x26"), CPU_FEATURE_XSAVEC},
			{"vaddps xmm0, xmm1, xmm2", BYTES("\xc5\xf0\x58\xc2"), CPU_FEATURE_AVX},
			{"vpaddb xmm0, xmm1, xmm2", BYTES("\xc5\xf1\xfc\xc2"), CPU_FEATURE_AVX},
			{"vpaddb ymm0, ymm1, ymm2", BYTES("\xc5\xf5\xfc\xc2"), CPU_FEATURE_AVX2},
			{"vfmadd132ps xmm0, xmm1, xmm2", BYTES("\xc4\xe2\x71\x98\xc2"),
					CPU_FEATURE_FMA},
			{"vcvtph2ps xmm0, xmm1", BYTES("\xc4\xe2\x79\x13\xc1"), CPU_FEATURE_F16C},
			{"vaesenc xmm0, xmm1, xmm2", BYTES("\xc4\xe2\x71\xdc\xc2"),
					CPU_FEATURE_AES},
			{"swapgs", BYTES("\x0f\x01\xf8"), CPU_FEATURE_NONE},
	};
	struct cpu_features features;
	struct insn insn;

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(asked); i++) {
		print_message("%s\n", asked[i].name);
		assert_int_equal(insn_decode(&insn, INSN_MODE_64, (const uint8_t *)asked[i].bytes,
						 asked[i].size),
				DECODE_OK);
		assert_int_equal(features_needed(&insn, INSN_MODE_64), asked[i].feature);
		memset(&features, 0xff, sizeof(features));
		assert_true(features_apply(&features, INSN_MODE_64, &insn));
		if (asked[i].feature != CPU_FEATURE_NONE) {
			cpu_features_set(&features, asked[i].feature, false);
			assert_false(features_apply(&features, INSN_MODE_64, &insn));
		}
	}
}

/* What comes with a VEX prefix for vectors is not there without AVX, whatever else is. */
static void test_avx_needs_avx(void **state)
{
	static const uint8_t vaesenc[] = {0xc4, 0xe2, 0x71, 0xdc, 0xc2};
	struct cpu_features features;
	struct insn insn;

	(void)state;
	memset(&features, 0xff, sizeof(features));
	cpu_features_set(&features, CPU_FEATURE_AVX, false);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, vaesenc, sizeof(vaesenc)), DECODE_OK);
	assert_false(features_apply(&features, INSN_MODE_64, &insn));
}

/* LZCNT and TZCNT are other instructions for who has them not. */
static void test_bit_scans(void **state)
{
	struct setup *setup = *state;
	struct cpu *cpu = setup->fake->cpu;

	cpu->regs[X86_RCX] = 0x100;
	assert_true(completes(setup, BYTES("\xf3\x0f\xbd\xc1"))); /* lzcnt eax, ecx */
	assert_int_equal(cpu->regs[X86_RAX], 23);
	cpu_features_set(&cpu->features, CPU_FEATURE_LZCNT, false);
	assert_true(completes(setup, BYTES("\xf3\x0f\xbd\xc1")));
	assert_int_equal(cpu->regs[X86_RAX], 8);
	cpu->rflags &= ~(uint64_t)X86_FLAG_ZF;
	cpu->rflags |= X86_FLAG_CF;
	assert_true(completes(setup, BYTES("\xf3\x0f\xbc\xc1"))); /* tzcnt: clears CF */
	assert_false(cpu->rflags & X86_FLAG_CF);
	cpu->regs[X86_RCX] = 0;
	assert_true(completes(setup, BYTES("\xf3\x0f\xbc\xc1")));
	assert_int_equal(cpu->regs[X86_RAX], 32);
	cpu_features_set(&cpu->features, CPU_FEATURE_BMI1, false);
	assert_true(completes(setup, BYTES("\xf3\x0f\xbc\xc1"))); /* bsf: nothing found */
	assert_true(cpu->rflags & X86_FLAG_ZF);
}

static void test_offer(void **state)
{
	const struct cpu_offer *offer = features_offer();

	(void)state;
	for (unsigned i = 0; i < CPU_WORD_COUNT; i++) {
		assert_int_equal(offer->possible.words[i] & ~offer->known.words[i], 0);
		assert_int_equal(offer->standard.words[i] & ~offer->possible.words[i], 0);
		assert_int_equal(offer->host.words[i] & ~offer->standard.words[i], 0);
	}
	assert_true(cpu_features_has(&offer->possible, CPU_FEATURE_PCOMMIT));
	assert_false(cpu_features_has(&offer->standard, CPU_FEATURE_PCOMMIT));
	assert_true(cpu_features_has(&offer->standard, CPU_FEATURE_CLWB));
}

#define MODEL_WITH_AVX2 0x4f
#define MODEL_WITHOUT_AVX 0x2c

/* What a host has not is nothing that a guest can have, and its model is not one of those that have it. */
static void test_offer_without_avx(void **state)
{
	static const enum cpu_feature lost[] = {
			CPU_FEATURE_AVX, CPU_FEATURE_AVX2, CPU_FEATURE_FMA, CPU_FEATURE_F16C};
	struct cpu_features host;
	struct cpu_offer offer;

	(void)state;
	memset(&host, 0xff, sizeof(host));
	features_make_offer(&host, &offer);
	assert_int_equal(offer.identity.model, MODEL_WITH_AVX2);
	assert_true(cpu_features_has(&offer.standard, CPU_FEATURE_XSAVE));
	for (size_t i = 0; i < G_N_ELEMENTS(lost); i++) {
		assert_true(cpu_features_has(&offer.standard, lost[i]));
		cpu_features_set(&host, lost[i], false);
	}
	features_make_offer(&host, &offer);
	assert_int_equal(offer.identity.model, MODEL_WITHOUT_AVX);
	for (size_t i = 0; i < G_N_ELEMENTS(lost); i++) {
		assert_true(cpu_features_has(&offer.known, lost[i]));
		assert_false(cpu_features_has(&offer.possible, lost[i]));
	}
	assert_true(cpu_features_has(&offer.possible, CPU_FEATURE_XSAVE));
	assert_false(cpu_features_has(&offer.standard, CPU_FEATURE_XSAVE));
}

/* Programs compiled for the model would use what is not there. */
static void test_offer_without_bmi2(void **state)
{
	struct cpu_features host;
	struct cpu_offer offer;

	(void)state;
	memset(&host, 0xff, sizeof(host));
	cpu_features_set(&host, CPU_FEATURE_BMI2, false);
	features_make_offer(&host, &offer);
	assert_int_equal(offer.identity.model, MODEL_WITHOUT_AVX);
	assert_true(cpu_features_has(&offer.standard, CPU_FEATURE_AVX2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_instructions, start, stop),
			cmocka_unit_test(test_system_instructions),
			cmocka_unit_test(test_avx_needs_avx),
			cmocka_unit_test_setup_teardown(test_bit_scans, start, stop),
			cmocka_unit_test(test_offer),
			cmocka_unit_test(test_offer_without_avx),
			cmocka_unit_test(test_offer_without_bmi2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
