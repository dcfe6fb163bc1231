/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/engine/soft/decode.h"
#include "core/engine/x86.h"
#include "tests/core/engine/soft/decode_oracle.h"
#include "tests/core/engine/soft/real_code.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define NONE INSN_REG_NONE
#define RIP INSN_BASE_RIP

/* The bytes of a case as a string, so that their number is known. */
#define BYTES(string) (const uint8_t *)(string), sizeof(string) - 1

/* Memory operands: base, index, scale, displacement, segment. */
static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t size;
	enum insn_mode mode;
	uint8_t base, index, scale;
	int32_t disp;
	uint8_t segment;
	uint8_t address_size;
} addresses[] = {
		{"[rax]", BYTES("\x8b\x00"), INSN_MODE_64, X86_RAX, NONE, 0, 0, X86_DS, 8},
		{"[rbp - 8]", BYTES("\x8b\x45\xf8"), INSN_MODE_64, X86_RBP, NONE, 0, -8, X86_SS, 8},
		{"[r13 - 8] is not of the stack", BYTES("\x41\x8b\x45\xf8"), INSN_MODE_64, X86_R13,
				NONE, 0, -8, X86_DS, 8},
		{"[rsp]", BYTES("\x8b\x04\x24"), INSN_MODE_64, X86_RSP, NONE, 0, 0, X86_SS, 8},
		{"[r12]", BYTES("\x41\x8b\x04\x24"), INSN_MODE_64, X86_R12, NONE, 0, 0, X86_DS, 8},
		{"[rax + r12 * 8]", BYTES("\x42\x8b\x04\xe0"), INSN_MODE_64, X86_RAX, X86_R12, 3, 0,
				X86_DS, 8},
		{"[rip + 0x12345678]", BYTES("\x8b\x05\x78\x56\x34\x12"), INSN_MODE_64, RIP, NONE,
				0, 0x12345678, X86_DS, 8},
		{"[eip + 1]", BYTES("\x67\x8b\x05\x01\x00\x00\x00"), INSN_MODE_64, RIP, NONE, 0, 1,
				X86_DS, 4},
		{"[-1] by SIB", BYTES("\x8b\x04\x25\xff\xff\xff\xff"), INSN_MODE_64, NONE, NONE, 0,
				-1, X86_DS, 8},
		{"[rbp * 2 + 4]: an index is not of the stack",
				BYTES("\x8b\x04\x6d\x04\x00\x00\x00"), INSN_MODE_64, NONE, X86_RBP,
				1, 4, X86_DS, 8},
		{"REX.B does not make a base of none",
				BYTES("\x67\x41\x8b\x04\x55\x04\x00\x00\x00"), INSN_MODE_64, NONE,
				X86_RDX, 1, 4, X86_DS, 4},
		{"fs:[0x28]", BYTES("\x64\x8b\x04\x25\x28\x00\x00\x00"), INSN_MODE_64, NONE, NONE,
				0, 0x28, X86_FS, 8},
		{"DS, ES, CS, SS change nothing in 64-bit mode", BYTES("\x3e\x8b\x45\x00"),
				INSN_MODE_64, X86_RBP, NONE, 0, 0, X86_SS, 8},
		{"nor do they undo FS", BYTES("\x64\x2e\x8b\x45\x00"), INSN_MODE_64, X86_RBP, NONE,
				0, 0, X86_FS, 8},
		{"32-bit ds:[ebp]", BYTES("\x3e\x8b\x45\x00"), INSN_MODE_32, X86_RBP, NONE, 0, 0,
				X86_DS, 4},
		{"32-bit [disp32] has no RIP", BYTES("\x8b\x05\x04\x00\x00\x00"), INSN_MODE_32,
				NONE, NONE, 0, 4, X86_DS, 4},
		{"the last segment prefix counts", BYTES("\x2e\x26\x8b\x00"), INSN_MODE_32, X86_RAX,
				NONE, 0, 0, X86_ES, 4},
		{"[bp + si - 1]", BYTES("\x8b\x42\xff"), INSN_MODE_16, X86_RBP, X86_RSI, 0, -1,
				X86_SS, 2},
		{"[0x8000]", BYTES("\x8b\x06\x00\x80"), INSN_MODE_16, NONE, NONE, 0, -0x8000,
				X86_DS, 2},
		{"[bp + 0]", BYTES("\x8b\x46\x00"), INSN_MODE_16, X86_RBP, NONE, 0, 0, X86_SS, 2},
		{"16-bit addresses in 32-bit mode", BYTES("\x67\x8b\x87\x01\x02"), INSN_MODE_32,
				X86_RBX, NONE, 0, 0x201, X86_DS, 2},
		{"32-bit addresses in 16-bit mode", BYTES("\x67\x8b\x44\x24\x10"), INSN_MODE_16,
				X86_RSP, NONE, 0, 16, X86_SS, 4},
		{"moffs", BYTES("\xa1\x01\x00\x00\x00\x00\x00\x00\x80"), INSN_MODE_64, NONE, NONE,
				0, 0, X86_DS, 8},
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
		struct insn insn;

		print_message("%s\n", addresses[i].name);
		assert_int_equal(insn_decode(&insn, addresses[i].mode, addresses[i].bytes,
						 addresses[i].size),
				DECODE_OK);
		assert_int_equal(insn.length, addresses[i].size);
		assert_true(insn.is_memory);
		assert_int_equal(insn.base, addresses[i].base);
		assert_int_equal(insn.index, addresses[i].index);
		assert_int_equal(insn.scale, addresses[i].scale);
		assert_int_equal(insn.disp, addresses[i].disp);
		assert_int_equal(insn.segment, addresses[i].segment);
		assert_int_equal(insn.address_size, addresses[i].address_size);
		assert_int_equal(insn.flags & INSN_FLAG_READS_MEMORY, INSN_FLAG_READS_MEMORY);
	}
}

/* Registers, sizes and immediates. */
static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t size;
	enum insn_mode mode;
	uint8_t map, opcode;
	uint8_t operand_size;
	uint8_t reg, rm;
	uint64_t imm;
} operands[] = {
		{"add r9d, eax", BYTES("\x41\x01\xc1"), INSN_MODE_64, 0, 0x01, 4, X86_RAX, X86_R9,
				0},
		{"mov r15, imm64", BYTES("\x49\xbf\x88\x77\x66\x55\x44\x33\x22\x91"), INSN_MODE_64,
				0, 0xbf, 8, 0, X86_R15, UINT64_C(0x9122334455667788)},
		{"mov eax, imm32 is not extended", BYTES("\xb8\xff\xff\xff\xff"), INSN_MODE_64, 0,
				0xb8, 4, 0, X86_RAX, 0xffffffff},
		{"mov ax, imm16", BYTES("\x66\xb8\xff\xff"), INSN_MODE_64, 0, 0xb8, 2, 0, X86_RAX,
				0xffff},
		{"mov rax, imm32 is", BYTES("\x48\xc7\xc0\xff\xff\xff\xff"), INSN_MODE_64, 0, 0xc7,
				8, 0, X86_RAX, UINT64_MAX},
		{"add eax, imm8", BYTES("\x83\xc0\x80"), INSN_MODE_64, 0, 0x83, 4, 0, X86_RAX,
				(uint64_t)-128},
		{"add al, imm8", BYTES("\x04\x80"), INSN_MODE_64, 0, 0x04, 1, 0, 0, 0x80},
		{"REX.W outweighs 66", BYTES("\x66\x48\x05\x01\x00\x00\x00"), INSN_MODE_64, 0, 0x05,
				8, 0, 0, 1},
		{"REX before 66 counts for nothing", BYTES("\x49\x66\x05\x01\x80"), INSN_MODE_64, 0,
				0x05, 2, 0, 0, (uint64_t)-32767},
		{"push r8", BYTES("\x41\x50"), INSN_MODE_64, 0, 0x50, 8, 0, X86_R8, 0},
		{"push r8w", BYTES("\x66\x41\x50"), INSN_MODE_64, 0, 0x50, 2, 0, X86_R8, 0},
		{"push imm16", BYTES("\x66\x68\x00\x80"), INSN_MODE_64, 0, 0x68, 2, 0, 0,
				(uint64_t)-32768},
		{"call ignores 66", BYTES("\x66\xe8\xfc\xff\xff\xff"), INSN_MODE_64, 0, 0xe8, 8, 0,
				0, (uint64_t)-4},
		{"but not in 32-bit mode", BYTES("\x66\xe8\xfc\xff"), INSN_MODE_32, 0, 0xe8, 2, 0,
				0, (uint64_t)-4},
		{"ret imm16", BYTES("\xc2\xff\xff"), INSN_MODE_64, 0, 0xc2, 8, 0, 0, 0xffff},
		{"jmp far 16:32", BYTES("\xea\x78\x56\x34\x12\x10\x80"), INSN_MODE_32, 0, 0xea, 4,
				0, 0, UINT64_C(0x801012345678)},
		{"jmp far 16:16", BYTES("\xea\x34\x92\x10\x80"), INSN_MODE_16, 0, 0xea, 2, 0, 0,
				UINT64_C(0x801000009234)},
		{"enter", BYTES("\xc8\x00\x80\x05"), INSN_MODE_64, 0, 0xc8, 8, 0, 0, 0x8000},
		{"in eax", BYTES("\x48\xe5\xff"), INSN_MODE_64, 0, 0xe5, 4, 0, 0, 0xff},
		{"inc in 32-bit mode, REX in 64-bit mode", BYTES("\x41"), INSN_MODE_32, 0, 0x41, 4,
				0, X86_RCX, 0},
		{"mov cr8, rax", BYTES("\x44\x0f\x22\xc0"), INSN_MODE_64, 1, 0x22, 8, 8, X86_RAX,
				0},
		{"mov to a CR knows registers only", BYTES("\x0f\x22\x18"), INSN_MODE_64, 1, 0x22,
				8, 3, X86_RAX, 0},
		{"crc32 edx, al", BYTES("\xf2\x0f\x38\xf0\xd0"), INSN_MODE_64, 2, 0xf0, 4, X86_RDX,
				X86_RAX, 0},
		{"crc32 edx, ax", BYTES("\x66\xf2\x0f\x38\xf1\xd0"), INSN_MODE_64, 2, 0xf1, 2,
				X86_RDX, X86_RAX, 0},
		{"adcx is not 16 bits wide", BYTES("\x66\x0f\x38\xf6\xd0"), INSN_MODE_64, 2, 0xf6,
				4, X86_RDX, X86_RAX, 0},
		{"rorx r8, r9, 3", BYTES("\xc4\x43\xfb\xf0\xc1\x03"), INSN_MODE_64, 3, 0xf0, 8,
				X86_R8, X86_R9, 3},
		{"the last of F2 and F3 counts", BYTES("\xf2\xf3\x0f\xb8\xd0"), INSN_MODE_64, 1,
				0xb8, 4, X86_RDX, X86_RAX, 0},
};

static void test_operands(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(operands); i++) {
		struct insn insn;

		print_message("%s\n", operands[i].name);
		assert_int_equal(insn_decode(&insn, operands[i].mode, operands[i].bytes,
						 operands[i].size),
				DECODE_OK);
		assert_int_equal(insn.length, operands[i].size);
		assert_int_equal(insn.map, operands[i].map);
		assert_int_equal(insn.opcode, operands[i].opcode);
		assert_int_equal(insn.operand_size, operands[i].operand_size);
		assert_int_equal(insn.reg, operands[i].reg);
		assert_int_equal(insn.rm, operands[i].rm);
		assert_int_equal(insn.imm, operands[i].imm);
		assert_false(insn.is_memory);
		assert_null(insn.exec);
		assert_null(insn.native);
	}
}

static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t size;
	enum insn_mode mode;
	enum decode_result result;
} existing[] = {
		{"lock add [rax], eax", BYTES("\xf0\x01\x00"), INSN_MODE_64, DECODE_OK},
		{"lock add eax, eax", BYTES("\xf0\x01\xc0"), INSN_MODE_64, DECODE_UNDEFINED},
		{"lock add eax, [rax]", BYTES("\xf0\x03\x00"), INSN_MODE_64, DECODE_UNDEFINED},
		{"lock cmp [rax], imm8", BYTES("\xf0\x83\x38\x00"), INSN_MODE_64, DECODE_UNDEFINED},
		{"lock mov", BYTES("\xf0\x89\x00"), INSN_MODE_64, DECODE_UNDEFINED},
		{"lock cmpxchg16b", BYTES("\xf0\x48\x0f\xc7\x08"), INSN_MODE_64, DECODE_OK},
		{"lea from a register", BYTES("\x8d\xc0"), INSN_MODE_64, DECODE_UNDEFINED},
		{"mov cs, ax", BYTES("\x8e\xc8"), INSN_MODE_64, DECODE_UNDEFINED},
		{"mov to the seventh segment register", BYTES("\x8e\xf0"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"mov cr1", BYTES("\x0f\x20\xc8"), INSN_MODE_64, DECODE_UNDEFINED},
		{"mov dr8", BYTES("\x44\x0f\x21\xc0"), INSN_MODE_64, DECODE_UNDEFINED},
		{"les in 32-bit mode", BYTES("\xc4\x00"), INSN_MODE_32, DECODE_OK},
		{"a VEX it is where les would name a register", BYTES("\xc4\xe3\x7b\xf0\xc1\x03"),
				INSN_MODE_32, DECODE_OK},
		{"rorx with vvvv", BYTES("\xc4\xe3\x73\xf0\xc1\x03"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"rorx with vector length", BYTES("\xc4\xe3\x7f\xf0\xc1\x03"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"66 before VEX", BYTES("\x66\xc4\xe3\x7b\xf0\xc1\x03"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"REX before VEX", BYTES("\x48\xc4\xe3\x7b\xf0\xc1\x03"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"vzeroupper", BYTES("\xc5\xf8\x77"), INSN_MODE_64, DECODE_OK},
		{"vzeroupper with vvvv", BYTES("\xc5\xf0\x77"), INSN_MODE_64, DECODE_UNDEFINED},
		{"vpaddb ymm", BYTES("\xc5\xf5\xfc\xc2"), INSN_MODE_64, DECODE_OK},
		{"vpermq without W", BYTES("\xc4\xe3\x7d\x00\xc1\x00"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"vpgatherdd without SIB", BYTES("\xc4\xe2\x75\x90\x00"), INSN_MODE_64,
				DECODE_UNDEFINED},
		{"vpgatherdd xmm0, [rax + xmm4], xmm1", BYTES("\xc4\xe2\x71\x90\x04\x20"),
				INSN_MODE_64, DECODE_OK},
		{"pcommit", BYTES("\x66\x0f\xae\xf8"), INSN_MODE_64, DECODE_OK},
		{"no pcommit", BYTES("\x66\x0f\xae\xf9"), INSN_MODE_64, DECODE_UNDEFINED},
		{"xgetbv", BYTES("\x0f\x01\xd0"), INSN_MODE_64, DECODE_OK},
		{"xsaves", BYTES("\x0f\xc7\x28"), INSN_MODE_64, DECODE_UNDEFINED},
		{"bound", BYTES("\x62\x00"), INSN_MODE_32, DECODE_OK},
		{"no bound, but EVEX", BYTES("\x62\xf1"), INSN_MODE_32, DECODE_UNDEFINED},
		{"salc", BYTES("\xd6"), INSN_MODE_32, DECODE_OK},
		{"nor salc", BYTES("\xd6"), INSN_MODE_64, DECODE_UNDEFINED},
		{"ud2", BYTES("\x0f\x0b"), INSN_MODE_64, DECODE_UNDEFINED},
		{"ud1 has ModRM", BYTES("\x0f\xb9\x40\x00"), INSN_MODE_64, DECODE_UNDEFINED},
		{"syscall", BYTES("\x0f\x05"), INSN_MODE_64, DECODE_OK},
		{"syscall outside 64-bit mode", BYTES("\x0f\x05"), INSN_MODE_32, DECODE_UNDEFINED},
		{"endbr64", BYTES("\xf3\x0f\x1e\xfa"), INSN_MODE_64, DECODE_OK},
		{"paddb mm with F3", BYTES("\xf3\x0f\xfc\xc0"), INSN_MODE_64, DECODE_UNDEFINED},
};

static void test_existing(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(existing); i++) {
		struct insn insn;

		print_message("%s\n", existing[i].name);
		assert_int_equal(insn_decode(&insn, existing[i].mode, existing[i].bytes,
						 existing[i].size),
				existing[i].result);
		assert_int_equal(insn.insn_class == INSN_CLASS_UNDEFINED,
				existing[i].result == DECODE_UNDEFINED);
		assert_in_range(insn.length, 1, existing[i].size);
		if (existing[i].result == DECODE_OK) {
			assert_int_equal(insn.length, existing[i].size);
		}
	}
}

static void test_memory_sizes(void **state)
{
	static const struct {
		const uint8_t *bytes;
		size_t size;
		uint8_t memory_size;
		uint8_t flags;
	} cases[] = {
			{BYTES("\x0f\xb6\x00"), 1, INSN_FLAG_READS_MEMORY}, /* movzx */
			{BYTES("\x0f\x01\x10"), 10, INSN_FLAG_READS_MEMORY}, /* lgdt */
			{BYTES("\x48\x0f\xc7\x08"), 16,
					INSN_FLAG_READS_MEMORY |
							INSN_FLAG_WRITES_MEMORY}, /* cmpxchg16b */
			{BYTES("\xff\x28"), 6,
					INSN_FLAG_READS_MEMORY |
							INSN_FLAG_ENDS_BLOCK}, /* jmp far */
			{BYTES("\xf3\x0f\x11\x00"), 4, INSN_FLAG_WRITES_MEMORY}, /* movss */
			{BYTES("\x0f\x12\x00"), 8, INSN_FLAG_READS_MEMORY}, /* movlps */
			{BYTES("\x66\x0f\x38\x22\x00"), 2, INSN_FLAG_READS_MEMORY}, /* pmovsxbq */
			{BYTES("\x66\x48\x0f\x6e\x00"), 0,
					INSN_FLAG_READS_MEMORY}, /* movq: operand size */
			{BYTES("\xdb\x28"), 10, INSN_FLAG_READS_MEMORY}, /* fld m80 */
			{BYTES("\xd9\x30"), 28, INSN_FLAG_WRITES_MEMORY}, /* fnstenv */
			{BYTES("\x66\xdd\x30"), 94, INSN_FLAG_WRITES_MEMORY}, /* fnsave */
			{BYTES("\x0f\xae\x00"), 0, INSN_FLAG_WRITES_MEMORY}, /* fxsave */
			{BYTES("\x48\x8d\x00"), 0, 0}, /* lea */
			{BYTES("\x0f\x18\x00"), 0, 0}, /* prefetchnta */
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct insn insn;

		assert_int_equal(insn_decode(&insn, INSN_MODE_64, cases[i].bytes, cases[i].size),
				DECODE_OK);
		assert_int_equal(insn.memory_size, cases[i].memory_size);
		assert_int_equal(insn.flags, cases[i].flags);
	}
}

static void test_ends_block(void **state)
{
	static const struct {
		const uint8_t *bytes;
		size_t size;
		bool ends;
	} cases[] = {
			{BYTES("\xc3"), true}, {BYTES("\xf4"), true}, /* hlt */
			{BYTES("\xfb"), true}, /* sti */
			{BYTES("\xfa"), false}, /* cli */
			{BYTES("\x0f\x22\xd8"), true}, /* mov cr3, rax */
			{BYTES("\x0f\x20\xd8"), false}, /* mov rax, cr3 */
			{BYTES("\x0f\x30"), true}, /* wrmsr */
			{BYTES("\x0f\x01\x38"), true}, /* invlpg */
			{BYTES("\xa4"), false}, /* movsb */
			{BYTES("\xf3\xa4"), true}, /* rep movsb */
			{BYTES("\xf3\x90"), false}, /* pause */
			{BYTES("\x8e\xd0"), true}, /* mov ss, ax */
			{BYTES("\x9d"), true}, /* popf */
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct insn insn;

		assert_int_equal(insn_decode(&insn, INSN_MODE_64, cases[i].bytes, cases[i].size),
				DECODE_OK);
		assert_int_equal(insn.flags & INSN_FLAG_ENDS_BLOCK,
				cases[i].ends ? INSN_FLAG_ENDS_BLOCK : 0);
	}
}

/* prefixes times 66, then mov [rax + disp32], imm16: nine bytes without prefix. */
static size_t long_instruction(uint8_t *bytes, size_t prefixes)
{
	static const uint8_t mov[] = {0xc7, 0x84, 0x20, 1, 2, 3, 4, 5, 6};

	memset(bytes, 0x66, prefixes);
	memcpy(bytes + prefixes, mov, sizeof(mov));
	return prefixes + sizeof(mov);
}

static void test_length_limit(void **state)
{
	uint8_t bytes[64];
	struct insn insn;
	size_t size;

	(void)state;
	size = long_instruction(bytes, 6);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, sizeof(bytes)), DECODE_OK);
	assert_int_equal(insn.length, 15);
	assert_int_equal(insn.imm, 0x605);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, size), DECODE_OK);
	assert_int_equal(insn.length, 15);

	size = long_instruction(bytes, 7);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, sizeof(bytes)), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, size), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, 15), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, 14), DECODE_NEED_BYTES);

	memset(bytes, 0xf3, sizeof(bytes));
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, sizeof(bytes)), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, 15), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, 14), DECODE_NEED_BYTES);
	memset(bytes, 0x48, sizeof(bytes));
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, sizeof(bytes)), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, 0), DECODE_NEED_BYTES);
}

/*
 * Every way of cutting an instruction short asks for more bytes, and none reads beyond those it was
 * given.
 */
static void check_cuts(enum insn_mode mode, uint8_t *page_end, const uint8_t *bytes)
{
	struct insn insn, again;
	enum decode_result result = insn_decode(&insn, mode, bytes, 64);

	if (result != DECODE_OK && result != DECODE_UNDEFINED) {
		assert_int_equal(result, DECODE_TOO_LONG);
		return;
	}
	memcpy(page_end - insn.length, bytes, insn.length);
	assert_int_equal(insn_decode(&again, mode, page_end - insn.length, insn.length), result);
	assert_memory_equal(&insn, &again, sizeof(insn));
	for (size_t cut = 1; cut <= insn.length; cut++) {
		memcpy(page_end - insn.length + cut, bytes, insn.length - cut);
		assert_int_equal(insn_decode(&again, mode, page_end - insn.length + cut,
						 insn.length - cut),
				DECODE_NEED_BYTES);
	}
}

static void test_cuts(void **state)
{
	uint8_t *pages = mmap(
			NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	(void)state;
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	for (unsigned i = 0; i < 100000; i++) {
		uint8_t bytes[64];

		for (size_t n = 0; n < sizeof(bytes); n += 4) {
			guint32 word = g_rand_int(rand);
			memcpy(bytes + n, &word, 4);
		}
		for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
			check_cuts(mode, pages + 4096, bytes);
		}
	}
	assert_int_equal(munmap(pages, 8192), 0);
}

static void assert_agreed(const struct decode_oracle *oracle)
{
	print_message("%" PRIu64 " agree, %" PRIu64 " undefined\n", oracle->agreed,
			oracle->undefined);
	assert_int_equal(oracle->different, 0);
	assert_true(oracle->agreed > 0);
}

/* Displacements, SIB and immediates that differ from case to case. */
static size_t add_tail(uint8_t *bytes, size_t n, unsigned seed)
{
	for (unsigned i = 0; i < 12; i++) {
		bytes[n++] = (uint8_t)(0x24 + 5 * seed + 0x31 * i);
	}
	return n;
}

static void sweep_opcodes(struct decode_oracle *oracle, const uint8_t *prefix, size_t prefix_size)
{
	static const uint8_t escapes[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};

	for (unsigned i = 0; i < 4 * 65536; i++) {
		uint8_t bytes[32];
		size_t n = prefix_size, escape_size = MIN(i >> 16, 2);

		memcpy(bytes, prefix, prefix_size);
		memcpy(bytes + n, escapes[i >> 16], escape_size);
		n += escape_size;
		bytes[n++] = (uint8_t)(i >> 8);
		bytes[n++] = (uint8_t)i;
		(void)decode_oracle_check(oracle, bytes, add_tail(bytes, n, i & 0xff));
	}
}

/*
 * All opcodes of one, two and three bytes, with every ModRM, with prefixes before them, in all
 * modes.
 */
static void test_sweep_opcodes(void **state)
{
	static const struct {
		uint8_t bytes[4];
		uint8_t size;
	} prefixes[] = {
			{{0}, 0},
			{{0x66}, 1},
			{{0xf3}, 1},
			{{0xf2}, 1},
			{{0xf0}, 1},
			{{0x67}, 1},
			{{0x64}, 1},
			{{0x26}, 1},
			{{0x48}, 1},
			{{0x47}, 1},
			{{0x4f}, 1},
			{{0x66, 0x48}, 2},
			{{0x48, 0x66}, 2},
			{{0x66, 0x67}, 2},
			{{0x66, 0xf3}, 2},
			{{0xf2, 0x66}, 2},
			{{0xf2, 0xf3}, 2},
			{{0xf3, 0xf2}, 2},
			{{0xf3, 0x4c}, 2},
			{{0xf2, 0x49}, 2},
			{{0xf0, 0x66}, 2},
			{{0x67, 0x4f}, 2},
			{{0x64, 0x2e}, 2},
			{{0x66, 0xf2, 0x4d}, 3},
			{{0x36, 0xf3, 0x67, 0x42}, 4},
	};

	(void)state;
	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		struct decode_oracle oracle;

		decode_oracle_init(&oracle, mode);
		for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
			sweep_opcodes(&oracle, prefixes[i].bytes, prefixes[i].size);
		}
		assert_agreed(&oracle);
	}
}

/* Every ModRM with every SIB, with all the bits of REX and both address sizes. */
static void test_sweep_addresses(void **state)
{
	static const uint8_t prefixes[] = {
			0x3e, 0x67, 0x65, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x4f};

	(void)state;
	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		struct decode_oracle oracle;

		decode_oracle_init(&oracle, mode);
		for (unsigned i = 0; i < G_N_ELEMENTS(prefixes) * 2 * 65536; i++) {
			uint8_t bytes[32] = {0x67};
			size_t n = i & 1;

			bytes[n++] = prefixes[i >> 17];
			bytes[n++] = 0x01;
			bytes[n++] = (uint8_t)(i >> 9);
			bytes[n++] = (uint8_t)(i >> 1);
			(void)decode_oracle_check(&oracle, bytes, add_tail(bytes, n, i >> 1));
		}
		assert_agreed(&oracle);
	}
}

/* All three-byte VEX prefixes before the opcodes that are not for vectors. */
static void test_sweep_vex(void **state)
{
	(void)state;
	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		struct decode_oracle oracle;

		decode_oracle_init(&oracle, mode);
		for (unsigned i = 0; i < 65536 * 16 * 4; i++) {
			uint8_t modrm = (uint8_t)(0x37 * (i >> 2) + 0x40 * (i & 3));
			uint8_t bytes[32] = {0xc4, (uint8_t)(i >> 14), (uint8_t)(i >> 6),
					(uint8_t)(0xf0 | (i >> 2 & 15)), modrm};

			(void)decode_oracle_check(&oracle, bytes, add_tail(bytes, 5, i));
		}
		for (unsigned i = 0; i < 65536; i++) {
			uint8_t bytes[32] = {0xc5, (uint8_t)(i >> 8), (uint8_t)i};

			(void)decode_oracle_check(&oracle, bytes, add_tail(bytes, 3, i));
		}
		assert_agreed(&oracle);
	}
}

/* Every opcode of the three maps with every last byte of a VEX prefix, and with ModRM of both kinds. */
static void test_sweep_vex_vectors(void **state)
{
	static const uint8_t second_bytes[] = {0xe1, 0xe2, 0xe3, 0x01, 0x02, 0x03};

	(void)state;
	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		struct decode_oracle oracle;

		decode_oracle_init(&oracle, mode);
		for (unsigned i = 0; i < 65536 * 4 * G_N_ELEMENTS(second_bytes); i++) {
			uint8_t modrm = (uint8_t)(0x37 * (i >> 2) + 0x40 * (i & 3));
			uint8_t bytes[32] = {0xc4, second_bytes[i >> 18], (uint8_t)(i >> 10),
					(uint8_t)(i >> 2), modrm};

			(void)decode_oracle_check(&oracle, bytes, add_tail(bytes, 5, i));
		}
		assert_agreed(&oracle);
	}
}

static void test_random(void **state)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(2);

	(void)state;
	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		struct decode_oracle oracle;

		decode_oracle_init(&oracle, mode);
		for (unsigned i = 0; i < 1000000; i++) {
			uint32_t words[8];

			for (size_t n = 0; n < G_N_ELEMENTS(words); n++) {
				words[n] = g_rand_int(rand);
			}
			(void)decode_oracle_check(
					&oracle, (uint8_t *)words, i & 1 ? sizeof(words) : i % 16);
		}
		assert_agreed(&oracle);
	}
}

/* One instruction after the other. */
static void sweep_segment(const uint8_t *bytes, size_t size, uint64_t address, void *data)
{
	struct decode_oracle *oracle = data;

	(void)address;
	for (size_t at = 0; at < size;) {
		at += decode_oracle_check(oracle, bytes + at, size - at);
	}
}

static void sweep_file(const char *path, void *data)
{
	struct decode_oracle oracle;

	(void)data;
	decode_oracle_init(&oracle, INSN_MODE_64);
	assert_true(real_code_visit(path, sweep_segment, &oracle));
	print_message("%s: ", path);
	assert_agreed(&oracle);
}

/*
 * This program, the libraries it runs with, libc among them, and Mesa's drivers where they are
 * installed.
 */
static void test_real_code(void **state)
{
	(void)state;
	sweep_file("/proc/self/exe", NULL);
	real_code_libraries(sweep_file, NULL);
	real_code_drivers(sweep_file, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_addresses),
			cmocka_unit_test(test_operands),
			cmocka_unit_test(test_existing),
			cmocka_unit_test(test_memory_sizes),
			cmocka_unit_test(test_ends_block),
			cmocka_unit_test(test_length_limit),
			cmocka_unit_test(test_cuts),
			cmocka_unit_test(test_sweep_opcodes),
			cmocka_unit_test(test_sweep_addresses),
			cmocka_unit_test(test_sweep_vex),
			cmocka_unit_test(test_sweep_vex_vectors),
			cmocka_unit_test(test_random),
			cmocka_unit_test(test_real_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
