/* SPDX-License-Identifier: MIT */
/*
 * What the host CPU cannot be asked in user mode: whether x87, MMX and SSE instructions are allowed by CR0 and CR4, what
 * the guest sees as instruction and data pointers, the formats of other modes.
 */
#include "tests/core/engine/soft/native_fixture.h"

#include "core/base/bytes.h"
#include "core/engine/soft/exec.h"
#include "core/engine/soft/native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define DATA UINT64_C(0x7f0000000000)
#define CODE UINT64_C(0x401234567890)

#define EM X86_CR0_EM
#define TS X86_CR0_TS
#define MP X86_CR0_MP
#define NE X86_CR0_NE
#define NO_FAULT ORACLE_NO_FAULT
#define UD X86_VECTOR_UD
#define NM X86_VECTOR_NM
#define MF X86_VECTOR_MF

#define RUN(fixture, ...) \
	native_fixture_run((fixture), (const uint8_t[]){__VA_ARGS__}, \
			sizeof((const uint8_t[]){__VA_ARGS__}))

static struct native_fixture *open_fixture(void)
{
	struct native_fixture *fixture = native_fixture_create(DATA);

	native_catch_sigfpe(); /* cmocka takes the signal into its own hands for each test */
	fixture->cpu->rip = CODE;
	fixture->cpu->regs[X86_RBX] = DATA;
	return fixture;
}

/* One row an instruction, with memory at [rbx]; what each state of the control registers makes of it. */
static const struct {
	const char *name;
	uint8_t bytes[8], len;
	uint8_t em, ts, em_ts, mp_ts, no_osfxsr, pending;
} checks[] = {
		{"fld1", {0xd9, 0xe8}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"fld m64", {0xdd, 0x03}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"fst m64", {0xdd, 0x13}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"fldcw", {0xd9, 0x2b}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"fldenv", {0xd9, 0x23}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"frstor", {0xdd, 0x23}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"fnop", {0xd9, 0xd0}, 2, NM, NM, NM, NM, NO_FAULT, MF},
		{"fwait", {0x9b}, 1, NO_FAULT, NO_FAULT, NO_FAULT, NM, NO_FAULT, MF},
		{"fninit", {0xdb, 0xe3}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fnclex", {0xdb, 0xe2}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fnstcw", {0xd9, 0x3b}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fnstsw", {0xdd, 0x3b}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fnstsw ax", {0xdf, 0xe0}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fnstenv", {0xd9, 0x33}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fnsave", {0xdd, 0x33}, 2, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fxsave", {0x0f, 0xae, 0x03}, 3, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"fxrstor", {0x0f, 0xae, 0x0b}, 3, NM, NM, NM, NM, NO_FAULT, NO_FAULT},
		{"emms", {0x0f, 0x77}, 2, UD, NM, UD, NM, NO_FAULT, MF},
		{"paddb mm", {0x0f, 0xfc, 0xca}, 3, UD, NM, UD, NM, NO_FAULT, MF},
		{"movq mm", {0x0f, 0x6f, 0xca}, 3, UD, NM, UD, NM, NO_FAULT, MF},
		{"movd m, mm", {0x0f, 0x7e, 0x0b}, 3, UD, NM, UD, NM, NO_FAULT, MF},
		{"movq2dq", {0xf3, 0x0f, 0xd6, 0xca}, 4, UD, NM, UD, NM, UD, MF},
		{"cvtps2pi", {0x0f, 0x2d, 0xca}, 3, UD, NM, UD, NM, UD, MF},
		{"addps", {0x0f, 0x58, 0xca}, 3, UD, NM, UD, NM, UD, NO_FAULT},
		{"addps m", {0x0f, 0x58, 0x0b}, 3, UD, NM, UD, NM, UD, NO_FAULT},
		{"paddb", {0x66, 0x0f, 0xfc, 0xca}, 4, UD, NM, UD, NM, UD, NO_FAULT},
		{"movaps m", {0x0f, 0x29, 0x0b}, 3, UD, NM, UD, NM, UD, NO_FAULT},
		{"pxor", {0x66, 0x0f, 0xef, 0xc0}, 4, UD, NM, UD, NM, UD, NO_FAULT},
		{"pextrb m", {0x66, 0x0f, 0x3a, 0x14, 0x0b, 1}, 6, UD, NM, UD, NM, UD, NO_FAULT},
		{"maskmovdqu", {0x66, 0x0f, 0xf7, 0xca}, 4, UD, NM, UD, NM, UD, NO_FAULT},
		{"ldmxcsr", {0x0f, 0xae, 0x13}, 3, UD, NM, UD, NM, UD, NO_FAULT},
		{"stmxcsr", {0x0f, 0xae, 0x1b}, 3, UD, NM, UD, NM, UD, NO_FAULT},
};

static void check(const char *name, const char *state, size_t row, uint64_t cr0, uint64_t cr4,
		bool pending, unsigned expected)
{
	struct native_fixture *fixture = open_fixture();

	fixture->cpu->cr0 = X86_CR0_PE | X86_CR0_PG | cr0;
	fixture->cpu->cr4 = cr4;
	fixture->cpu->regs[X86_RDI] = DATA;
	if (pending) {
		fixture->cpu->fx.fcw = 0x340;
		fixture->cpu->fx.fsw = 0x8081;
	}
	(void)native_fixture_run(fixture, checks[row].bytes, checks[row].len);
	if (fixture->fault.vector != expected) {
		fail_msg("%s with %s: vector %u instead of %u", name, state, fixture->fault.vector,
				expected);
	}
	native_fixture_destroy(fixture);
}

static void test_control_registers(void **state)
{
	const uint64_t cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(checks); i++) {
		const char *name = checks[i].name;
		check(name, "nothing", i, NE, cr4, false, NO_FAULT);
		check(name, "EM", i, NE | EM, cr4, false, checks[i].em);
		check(name, "TS", i, NE | TS, cr4, false, checks[i].ts);
		check(name, "EM, TS", i, NE | EM | TS, cr4, false, checks[i].em_ts);
		check(name, "MP, TS", i, NE | MP | TS, cr4, false, checks[i].mp_ts);
		check(name, "MP, EM", i, NE | MP | EM, cr4, false, checks[i].em);
		check(name, "OSFXSR = 0", i, NE, 0, false, checks[i].no_osfxsr);
		check(name, "a pending exception", i, NE, cr4, true, checks[i].pending);
	}
}

/* Without CR0.NE nothing is raised; the instruction goes on, the exception stays pending. */
static void test_pending_without_ne(void **state)
{
	struct native_fixture *fixture = open_fixture();
	struct cpu_fx *fx = &fixture->cpu->fx;
	uint64_t stored;

	(void)state;
	fixture->cpu->cr0 &= ~X86_CR0_NE;
	fx->fcw = 0x340;
	fx->fsw = 0x8084; /* divide by zero */
	assert_true(RUN(fixture, 0x9b));
	assert_true(RUN(fixture, 0xd9, 0xe8)); /* fld1 */
	assert_true(RUN(fixture, 0xdd, 0x1b)); /* fstp m64 */
	assert_true(RUN(fixture, 0x0f, 0xfc, 0xca)); /* paddb mm */
	memcpy(&stored, fixture->memory, 8);
	assert_int_equal(stored, 0x3ff0000000000000);
	assert_int_equal(fx->fcw, 0x340);
	assert_int_equal(fx->fsw, 0x8084);
	native_fixture_destroy(fixture);
}

static void test_simd_exceptions_need_osxmmexcpt(void **state)
{
	struct native_fixture *fixture = open_fixture();

	(void)state;
	fixture->cpu->fx.mxcsr = 0x1d80; /* divide by zero unmasked */
	memset(fixture->cpu->fx.xmm[1], 0x3f, 16);
	assert_false(RUN(fixture, 0x0f, 0x5e, 0xca)); /* divps xmm1, xmm2 = 0 */
	assert_int_equal(fixture->fault.vector, X86_VECTOR_XM);
	assert_int_equal(fixture->cpu->fx.mxcsr, 0x1d84);
	fixture->cpu->cr4 &= ~X86_CR4_OSXMMEXCPT;
	assert_false(RUN(fixture, 0x0f, 0x5e, 0xca));
	assert_int_equal(fixture->fault.vector, X86_VECTOR_UD);
	assert_int_equal(fixture->cpu->fx.xmm[1][0], 0x3f);
	native_fixture_destroy(fixture);
}

/* fld, fadd, fxsave64: the guest's addresses, none of the host's. */
static void test_pointers_are_the_guests(void **state)
{
	struct native_fixture *fixture = open_fixture();
	struct cpu *cpu = fixture->cpu;

	(void)state;
	cpu->fx.fop = 0x123;
	cpu->regs[X86_RBX] = DATA + 24;
	assert_true(RUN(fixture, 0xdd, 0x03)); /* fld m64 */
	cpu->rip = CODE + 2;
	assert_true(RUN(fixture, 0xd8, 0xc0)); /* fadd st0, st0 */
	cpu->rip = CODE + 4;
	assert_true(RUN(fixture, 0xd9, 0xd0)); /* fnop is not a numeric instruction */
	cpu->regs[X86_RBX] = DATA + 512;
	assert_true(RUN(fixture, 0x48, 0x0f, 0xae, 0x03)); /* fxsave64 */
	assert_int_equal(le64_load(fixture->memory + 512 + 8), CODE + 2);
	assert_int_equal(le64_load(fixture->memory + 512 + 16), DATA + 24);
	assert_int_equal(le16_load(fixture->memory + 512 + 6), 0x123);
	assert_int_equal(le32_load(fixture->memory + 512 + 28), 0xffff);
	assert_true(RUN(fixture, 0x0f, 0xae, 0x03)); /* fxsave: 32 bits, no selectors */
	assert_int_equal(le64_load(fixture->memory + 512 + 8), (uint32_t)(CODE + 2));
	assert_int_equal(le64_load(fixture->memory + 512 + 16), (uint32_t)(DATA + 24));
	native_fixture_destroy(fixture);
}

static void test_opcode_is_that_of_an_exception(void **state)
{
	struct native_fixture *fixture = open_fixture();
	struct cpu_fx *fx = &fixture->cpu->fx;

	(void)state;
	assert_true(RUN(fixture, 0xd9, 0xe8)); /* fld1 */
	assert_int_equal(fx->fop, 0);
	fx->fcw = 0x360;
	assert_true(RUN(fixture, 0xd9, 0xc7)); /* fld st7, empty */
	assert_int_equal(fx->fop, 0x1c7);
	assert_int_equal(fx->fsw & 0x80ff, 0x80c1); /* pending: invalid, stack */
	assert_false(RUN(fixture, 0xd9, 0xe8));
	assert_int_equal(fixture->fault.vector, X86_VECTOR_MF);
	native_fixture_destroy(fixture);
}

static void set_pointers(struct cpu_fx *fx)
{
	fx->fcw = 0x37f;
	fx->fsw = 0x3000; /* TOP 6 */
	fx->ftw = 0xc0;
	fx->fop = 0x5a5;
	fx->fip = 0xabcd1234;
	fx->fdp = 0x98765432;
	memset(fx->st, 0, sizeof(fx->st)); /* ST0 is zero, ST1 infinity */
	fx->st[1][7] = 0x80;
	memset(fx->st[1] + 8, 0x7f, 2);
	fx->st[1][8] = 0xff;
}

/* SDM vol. 1, figures 8-9 to 8-12: FNSTENV in each format, and FLDENV of it. */
static const struct {
	const char *name;
	uint64_t cr0;
	uint8_t mode, bytes[4], len, image_len;
	uint8_t image[28];
	uint64_t fip, fdp, fop; /* what FLDENV brings back */
} environments[] = {
		{"32-bit protected", X86_CR0_PE, INSN_MODE_32, {0xd9, 0x33}, 2, 28,
				{0x7f, 0x03, 0xff, 0xff, 0x00, 0x30, 0xff, 0xff, 0xff, 0x9f, 0xff,
						0xff, 0x34, 0x12, 0xcd, 0xab, 0, 0, 0xa5, 0x05,
						0x32, 0x54, 0x76, 0x98, 0, 0, 0xff, 0xff},
				0xabcd1234, 0x98765432, 0x5a5},
		{"16-bit protected", X86_CR0_PE, INSN_MODE_16, {0xd9, 0x37}, 2, 14,
				{0x7f, 0x03, 0x00, 0x30, 0xff, 0x9f, 0x34, 0x12, 0, 0, 0x32, 0x54},
				0x1234, 0x5432, 0},
		{"16-bit real", 0, INSN_MODE_16, {0xd9, 0x37}, 2, 14,
				{0x7f, 0x03, 0x00, 0x30, 0xff, 0x9f, 0x34, 0x12, 0xa5, 0xd5, 0x32,
						0x54, 0x00, 0x60},
				0xd1234, 0x65432, 0x5a5},
		{"32-bit real", 0, INSN_MODE_16, {0x66, 0xd9, 0x37}, 3, 28,
				{0x7f, 0x03, 0xff, 0xff, 0x00, 0x30, 0xff, 0xff, 0xff, 0x9f, 0xff,
						0xff, 0x34, 0x12, 0xff, 0xff, 0xa5, 0xd5, 0xbc,
						0x0a, 0x32, 0x54, 0xff, 0xff, 0x00, 0x60, 0x87,
						0x09},
				0xabcd1234, 0x98765432, 0x5a5},
};

static void test_environments(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(environments); i++) {
		struct native_fixture *fixture = native_fixture_create(0x8000);
		struct cpu_fx *fx = &fixture->cpu->fx;
		struct cpu_fx before;
		uint8_t load[4];

		fixture->cpu->cr0 = X86_CR0_NE | environments[i].cr0;
		fixture->cpu->efer = 0;
		fixture->cpu->mode = environments[i].mode;
		fixture->cpu->regs[X86_RBX] = 0x8000;
		set_pointers(fx);
		before = *fx;
		memset(fixture->memory, 0xee, 64);
		assert_true(native_fixture_run(
				fixture, environments[i].bytes, environments[i].len));
		if (memcmp(fixture->memory, environments[i].image, environments[i].image_len) !=
				0) {
			fail_msg("%s", environments[i].name);
		}
		assert_int_equal(fixture->memory[environments[i].image_len], 0xee);
		memset(fx, 0, sizeof(*fx));
		memcpy(fx->st, before.st, sizeof(fx->st));
		memcpy(load, environments[i].bytes, sizeof(load));
		load[environments[i].len - 1] &= 0xef; /* /6 to /4 */
		assert_true(native_fixture_run(fixture, load, environments[i].len));
		assert_int_equal(fx->fip, environments[i].fip);
		assert_int_equal(fx->fdp, environments[i].fdp);
		assert_int_equal(fx->fop, environments[i].fop);
		assert_int_equal(fx->fcw, before.fcw);
		assert_int_equal(fx->fsw, before.fsw);
		assert_int_equal(fx->ftw, before.ftw);
		native_fixture_destroy(fixture);
	}
}

static void test_state_of_32_bit_mode(void **state)
{
	struct native_fixture *fixture = native_fixture_create(0x8000);
	struct cpu *cpu = fixture->cpu;

	(void)state;
	cpu->mode = INSN_MODE_32;
	cpu->efer = 0;
	cpu->regs[X86_RBX] = 0x8000;
	memset(cpu->fx.xmm, 0x11, sizeof(cpu->fx.xmm));
	memset(fixture->memory, 0x22, 512);
	assert_true(RUN(fixture, 0x0f, 0xae, 0x03)); /* fxsave */
	assert_int_equal(fixture->memory[160 + 127], 0x11);
	assert_int_equal(fixture->memory[160 + 128], 0x22);
	memset(fixture->memory + 160, 0x33, 256);
	assert_true(RUN(fixture, 0x0f, 0xae, 0x0b)); /* fxrstor */
	assert_int_equal(cpu->fx.xmm[7][15], 0x33);
	assert_int_equal(cpu->fx.xmm[8][0], 0x11);
	cpu->cr4 = 0; /* only x87 is saved and restored */
	memset(fixture->memory, 0x44, 512);
	assert_true(RUN(fixture, 0x0f, 0xae, 0x03));
	assert_int_equal(fixture->memory[159], 0);
	assert_int_equal(fixture->memory[160], 0x44);
	assert_true(RUN(fixture, 0x0f, 0xae, 0x0b));
	assert_int_equal(cpu->fx.xmm[0][0], 0x33);
	native_fixture_destroy(fixture);
}

static void test_mxcsr_reserved_bits(void **state)
{
	struct native_fixture *fixture = open_fixture();
	const uint32_t valid = 0xffff;

	(void)state;
	for (unsigned bit = 16; bit < 32; bit++) {
		uint32_t value = UINT32_C(1) << bit | 0x1f80;
		memset(fixture->memory, 0, 512);
		memcpy(fixture->memory, &value, 4);
		assert_false(RUN(fixture, 0x0f, 0xae, 0x13)); /* ldmxcsr */
		assert_int_equal(fixture->fault.vector, X86_VECTOR_GP);
		memcpy(fixture->memory + 24, &value, 4);
		assert_false(RUN(fixture, 0x0f, 0xae, 0x0b)); /* fxrstor */
		assert_int_equal(fixture->fault.vector, X86_VECTOR_GP);
		assert_int_equal(fixture->cpu->fx.mxcsr, 0x1f80);
	}
	memcpy(fixture->memory, &valid, 4);
	assert_true(RUN(fixture, 0x0f, 0xae, 0x13));
	assert_int_equal(fixture->cpu->fx.mxcsr, 0xffff);
	native_fixture_destroy(fixture);
}

static void check_host_state(void)
{
	uint32_t mxcsr, environment[7];
	uint16_t fcw, fsw;

	__asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tfnstsw %2\n\tfnstenv %3\n\tfldcw %1"
			 : "=m"(mxcsr), "=m"(fcw), "=m"(fsw), "=m"(environment));
	assert_int_equal(mxcsr & 0xffc0, 0x1f80);
	assert_int_equal(fcw, 0x37f);
	assert_int_equal(fsw & 0xb880, 0); /* TOP 0, nothing pending */
	assert_int_equal(environment[2] & 0xffff, 0xffff); /* all registers empty */
}

/* Whatever the guest does to rounding, masks and the register stack, the host's own stay as the ABI wants them. */
static void test_host_state_is_kept(void **state)
{
	struct native_fixture *fixture = open_fixture();
	struct cpu_fx *fx = &fixture->cpu->fx;

	(void)state;
	fx->mxcsr = 0x6fbf;
	assert_true(RUN(fixture, 0x0f, 0x58, 0xca)); /* addps */
	check_host_state();
	fx->fcw = 0xc40;
	fx->fsw = 0x3800;
	assert_true(RUN(fixture, 0xd8, 0xc1)); /* fadd of empty registers: pends */
	assert_true(fx->fsw & 0x80);
	check_host_state();
	fx->fcw = 0xf7f;
	fx->fsw = 0x3800;
	fx->ftw = 0xff;
	assert_true(RUN(fixture, 0xd9, 0xc1)); /* fld st1: overflow, masked */
	assert_int_equal(fx->fsw & 0xff, 0x41);
	check_host_state();
	fx->fsw = 0;
	assert_true(RUN(fixture, 0x0f, 0xfc, 0xca)); /* paddb mm */
	check_host_state();
	fx->mxcsr = 0x6000;
	memset(fx->xmm, 0x7f, sizeof(fx->xmm));
	assert_false(RUN(fixture, 0x0f, 0x2d, 0xca)); /* cvtps2pi, invalid */
	assert_int_equal(fixture->fault.vector, X86_VECTOR_XM);
	check_host_state();
	native_fixture_destroy(fixture);
}

#define THREADS 4

static gpointer bind_everything(gpointer data)
{
	struct insn *insns = data;

	for (unsigned i = 0; i < 256; i++) {
		const uint8_t pshufd[] = {0x66, 0x0f, 0x70, 0xca, (uint8_t)i};
		enum decode_result result = insn_decode(
				&insns[i], INSN_MODE_64, pshufd, sizeof(pshufd));
		assert(result == DECODE_OK);
		(void)result;
		exec_bind(&insns[i]);
	}
	return NULL;
}

/* Equal instructions share a thunk, also when several CPUs ask for it at once. */
static void test_thunks_are_shared(void **state)
{
	static struct insn insns[THREADS][256];
	GThread *threads[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i] = g_thread_new("bind", bind_everything, insns[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		(void)g_thread_join(threads[i]);
	}
	for (unsigned i = 0; i < 256; i++) {
		assert_non_null(insns[0][i].native);
		for (unsigned j = 1; j < THREADS; j++) {
			assert_ptr_equal(insns[j][i].native, insns[0][i].native);
		}
		assert_ptr_not_equal(insns[0][i].native, insns[0][(i + 1) % 256].native);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_control_registers),
			cmocka_unit_test(test_pending_without_ne),
			cmocka_unit_test(test_simd_exceptions_need_osxmmexcpt),
			cmocka_unit_test(test_pointers_are_the_guests),
			cmocka_unit_test(test_opcode_is_that_of_an_exception),
			cmocka_unit_test(test_environments),
			cmocka_unit_test(test_state_of_32_bit_mode),
			cmocka_unit_test(test_mxcsr_reserved_bits),
			cmocka_unit_test(test_host_state_is_kept),
			cmocka_unit_test(test_thunks_are_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
