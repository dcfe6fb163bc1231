/* SPDX-License-Identifier: MIT */
/*
 * Instructions that 64-bit mode does not have, against the host CPU in compatibility mode: decimal
 * arithmetic, short INC and DEC, PUSHA and POPA, stacks of 32 bits. The instruction is reached by a
 * far call into the 32-bit code segment that Linux gives every process.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/fake_machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define USER_CODE32 0x23 /* Linux's selector */
/* 64-bit code needs no data segments, 32-bit code does: selector 0x2b. */
#define PAGE 4096u
#define COMPARED_FLAGS (X86_FLAGS_ARITH | X86_FLAG_DF)

/* Below 4 GiB; the 32-bit code addresses it by displacement. */
struct shared {
	uint8_t stub[512];
	uint8_t code[512];
	uint32_t before[8], after[8]; /* eax ecx edx ebx esp ebp esi edi */
	uint32_t flags_before, flags_after;
	uint32_t esp32; /* while the guest's is loaded */
	uint32_t far_pointer[2];
	uint64_t rsp64;
	uint8_t host_stack[1024]; /* of the far call */
	uint8_t stack[2048]; /* the instruction's */
};

struct host32 {
	struct shared *shared;
	size_t insn_at; /* in code[] */
};

static uint32_t address(const void *pointer)
{
	return (uint32_t)(uintptr_t)pointer;
}

static uint8_t *emit(uint8_t *at, const char *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

#define EMIT(at, literal) (at) = emit((at), (literal), sizeof(literal) - 1)

static uint8_t *emit32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

/*
 * 64-bit: saves what the ABI wants kept, moves to the low stack, calls the 32-bit code, comes back.
 */
static void write_stub(struct shared *shared)
{
	uint8_t *at = shared->stub;

	EMIT(at, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57"); /* push rbx rbp r12-r15 */
	EMIT(at, "\x48\x89\x24\x25"); /* mov [rsp64], rsp */
	at = emit32(at, address(&shared->rsp64));
	EMIT(at, "\xbc"); /* mov esp, host_stack's end */
	at = emit32(at, address(shared->host_stack + sizeof(shared->host_stack)));
	EMIT(at, "\xff\x1c\x25"); /* call far [far_pointer] */
	at = emit32(at, address(shared->far_pointer));
	EMIT(at, "\x48\x8b\x24\x25"); /* mov rsp, [rsp64] */
	at = emit32(at, address(&shared->rsp64));
	EMIT(at, "\xfc\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3"); /* cld; pop; ret */
	shared->far_pointer[0] = address(shared->code);
	shared->far_pointer[1] = USER_CODE32;
}

/*
 * 32-bit: loads flags and registers, runs the instruction, stores them. Returns where the
 * instruction stands.
 */
static size_t write_code(struct shared *shared, const uint8_t *insn, size_t len)
{
	static const uint8_t load[8] = {0x05, 0x0d, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d};
	uint8_t *at = shared->code;
	size_t insn_at;

	EMIT(at, "\x6a\x2b\x1f\x6a\x2b\x07"); /* push 0x2b; pop ds; push 0x2b; pop es */
	EMIT(at, "\xff\x35"); /* push [flags_before] */
	at = emit32(at, address(&shared->flags_before));
	EMIT(at, "\x9d\x89\x25"); /* popf; mov [esp32], esp */
	at = emit32(at, address(&shared->esp32));
	for (unsigned i = 0; i < 8; i++) {
		*at++ = 0x8b; /* mov reg, [before] */
		*at++ = load[i];
		at = emit32(at, address(&shared->before[i]));
	}
	insn_at = (size_t)(at - shared->code);
	at = emit(at, (const char *)insn, len);
	for (unsigned i = 0; i < 8; i++) {
		*at++ = 0x89;
		*at++ = load[i];
		at = emit32(at, address(&shared->after[i]));
	}
	EMIT(at, "\x8b\x25"); /* mov esp, [esp32] */
	at = emit32(at, address(&shared->esp32));
	EMIT(at, "\x9c\x8f\x05"); /* pushf; pop [flags_after] */
	at = emit32(at, address(&shared->flags_after));
	EMIT(at, "\xcb"); /* retf */
	return insn_at;
}

static void host_start(struct host32 *host)
{
	host->shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	assert_true(host->shared != MAP_FAILED);
	assert_true(sizeof(struct shared) <= 2 * PAGE);
	write_stub(host->shared);
}

static void host_load(struct host32 *host, const uint8_t *insn, size_t len)
{
	host->insn_at = write_code(host->shared, insn, len);
}

static void host_run(struct host32 *host)
{
	void (*stub)(void);
	void *entry = host->shared->stub;

	memcpy(&stub, &entry, sizeof(stub));
	__asm__ volatile("call *%0"
			 :
			 : "r"(stub)
			 : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
			 "r11");
}

struct pair {
	struct host32 host;
	uint32_t undefined; /* flags that do not count */
	struct fake_machine *fake; /* its memory stands at the addresses of the host's */
};

/* Kernels without 32-bit programs have no such segment. */
static bool host_has_code32(void)
{
	uint32_t rights = 0;
	bool good;

	__asm__("lar %[selector], %[rights]"
			: [rights] "+r"(rights), "=@ccz"(good)
			: [selector] "r"(USER_CODE32));
	return good && (rights >> 8 & X86_SEG_CODE) && (rights >> 8 & X86_SEG_DB);
}

static void pair_start(struct pair *pair)
{
	if (!host_has_code32()) {
		skip();
	}
	pair->undefined = 0;
	host_start(&pair->host);
	pair->fake = fake_machine_create();
	fake_machine_mode(pair->fake, INSN_MODE_32);
	fake_machine_add(pair->fake, address(pair->host.shared), 2 * PAGE, g_malloc0(2 * PAGE),
			true);
}

static void pair_stop(struct pair *pair)
{
	g_free(pair->fake->ranges[0].host);
	fake_machine_destroy(pair->fake);
	munmap(pair->host.shared, 2 * PAGE);
}

/* The instruction with shared->before and flags_before on both. */
static void pair_compare(struct pair *pair, const uint8_t *insn, size_t len)
{
	struct shared *shared = pair->host.shared;
	struct cpu *cpu = pair->fake->cpu;
	struct shared *ours = (struct shared *)(void *)pair->fake->ranges[0].host;

	memcpy(ours->stack, shared->stack, sizeof(ours->stack));
	for (unsigned i = 0; i < 8; i++) {
		cpu->regs[i] = shared->before[i];
	}
	cpu->rflags = (shared->flags_before & COMPARED_FLAGS) | X86_FLAG_FIXED;
	cpu->rip = address(shared->code) + pair->host.insn_at;
	host_run(&pair->host);
	assert_true(fake_machine_execute(pair->fake, insn, len));
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(cpu->regs[i], shared->after[i]);
	}
	assert_int_equal(cpu->rflags & COMPARED_FLAGS & ~pair->undefined,
			shared->flags_after & COMPARED_FLAGS & ~pair->undefined);
	assert_memory_equal(ours->stack, shared->stack, sizeof(ours->stack));
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

static void randomise(struct pair *pair, uint64_t *seed)
{
	struct shared *shared = pair->host.shared;

	for (unsigned i = 0; i < 8; i++) {
		shared->before[i] = (uint32_t)(next_random(seed) >> 32);
	}
	for (unsigned i = 0; i < sizeof(shared->stack); i++) {
		shared->stack[i] = (uint8_t)(next_random(seed) >> 32);
	}
	shared->before[X86_RSP] = address(shared->stack + 1024) + (next_random(seed) >> 60);
	shared->before[X86_RBP] = address(shared->stack + 1024) + (next_random(seed) >> 60);
	shared->flags_before = X86_FLAG_FIXED | X86_FLAG_IF |
			       ((uint32_t)(next_random(seed) >> 32) & X86_FLAGS_ARITH);
}

/* All values of ax, and of the flags that count. */
static void try_all_ax(struct pair *pair, const uint8_t *insn, size_t len)
{
	static const uint32_t flags[] = {
			0, X86_FLAG_CF, X86_FLAG_AF, X86_FLAG_CF | X86_FLAG_AF, X86_FLAGS_ARITH};
	struct shared *shared = pair->host.shared;
	uint64_t seed = 1;

	host_load(&pair->host, insn, len);
	randomise(pair, &seed);
	for (unsigned f = 0; f < G_N_ELEMENTS(flags); f++) {
		for (uint32_t ax = 0; ax < 0x10000; ax += 3) {
			shared->before[X86_RAX] = 0x12340000 | ax;
			shared->flags_before = flags[f] | X86_FLAG_FIXED | X86_FLAG_IF;
			pair_compare(pair, insn, len);
		}
	}
}

static void test_decimal(void **state)
{
#define UNDEFINED_ASCII (X86_FLAG_OF | X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_PF)
#define UNDEFINED_MULTIPLE (X86_FLAG_OF | X86_FLAG_AF | X86_FLAG_CF)
	static const struct {
		uint8_t bytes[2];
		size_t len;
		uint32_t undefined;
	} insns[] = {
			{{0x27}, 1, X86_FLAG_OF}, /* daa */
			{{0x2f}, 1, X86_FLAG_OF}, /* das */
			{{0x37}, 1, UNDEFINED_ASCII}, /* aaa */
			{{0x3f}, 1, UNDEFINED_ASCII}, /* aas */
			{{0xd6}, 1, 0}, /* salc */
			{{0xd4, 10}, 2, UNDEFINED_MULTIPLE}, /* aam */
			{{0xd4, 3}, 2, UNDEFINED_MULTIPLE},
			{{0xd4, 255}, 2, UNDEFINED_MULTIPLE},
			{{0xd5, 10}, 2, UNDEFINED_MULTIPLE}, /* aad */
			{{0xd5, 16}, 2, UNDEFINED_MULTIPLE},
			{{0xd5, 0}, 2, UNDEFINED_MULTIPLE},
	};
	struct pair pair;

	(void)state;
	pair_start(&pair);
	for (unsigned i = 0; i < G_N_ELEMENTS(insns); i++) {
		pair.undefined = insns[i].undefined;
		try_all_ax(&pair, insns[i].bytes, insns[i].len);
	}
	pair_stop(&pair);
}

static void test_stack(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} insns[] = {
#define ROW(literal) {literal, sizeof(literal) - 1}
			ROW("\x60"), ROW("\x61"), ROW("\x66\x60"),
			ROW("\x66\x61"), /* pusha, popa */
			ROW("\x50"), ROW("\x66\x53"), ROW("\x54"), ROW("\x58"), ROW("\x66\x5b"),
			ROW("\x5c"), ROW("\x68\x78\x56\x34\x92"), ROW("\x66\x68\x34\x92"),
			ROW("\x6a\x80"), ROW("\x66\x6a\x80"), /* push imm */
			ROW("\xff\x34\x24"),
			ROW("\x66\xff\x74\x24\x08"), /* push [esp], word [esp + 8] */
			ROW("\x8f\x04\x24"),
			ROW("\x66\x8f\x44\x24\x08"), /* pop [esp], word [esp + 8] */
			ROW("\xc9"), ROW("\x66\xc9"), /* leave */
			ROW("\xc8\x10\x00\x00"), ROW("\xc8\x20\x00\x01"), ROW("\xc8\x00\x00\x05"),
			ROW("\x66\xc8\x04\x00\x03"), /* enter */
			ROW("\x40"), ROW("\x47"), ROW("\x4b"), ROW("\x66\x48"), /* inc, dec */
			ROW("\x82\xc0\x85"), /* add al, imm, the other encoding */
			ROW("\x8d\x44\xb3\x12"), ROW("\x66\x8d\x44\xb3\x12"),
			ROW("\x67\x8d\x40\x12"), /* lea */
			ROW("\x67\x8d\x03"), ROW("\x67\x8d\x86\x00\x80"),
			ROW("\x67\x8d\x0e\x34\x12"), ROW("\x62\x04\x24"), /* bound eax, [esp] */
			ROW("\xe3\x00"), ROW("\x67\xe3\x00"), ROW("\xe2\x00"), ROW("\x67\xe2\x00"),
			ROW("\x67\xe0\x00"),
			ROW("\x67\xe1\x00"), /* jecxz, loop, to what follows anyway */
			ROW("\x66\x0f\xc8"), ROW("\x0f\xc9"), /* bswap */
			ROW("\x0f\xc7\x0c\x24"), ROW("\xf0\x0f\xc7\x0c\x24"), /* cmpxchg8b [esp] */
	};
	struct pair pair;
	uint64_t seed = 7;

	(void)state;
	pair_start(&pair);
	for (unsigned i = 0; i < G_N_ELEMENTS(insns); i++) {
		const uint8_t *bytes = (const uint8_t *)insns[i].bytes;
		host_load(&pair.host, bytes, insns[i].len);
		for (unsigned round = 0; round < 200; round++) {
			randomise(&pair, &seed);
			if (bytes[0] == 0x62) { /* inside the bounds */
				memcpy(pair.host.shared->stack + 1024, "\0\0\0\x80\xff\xff\xff\x7f",
						8);
				pair.host.shared->before[X86_RSP] = address(
						pair.host.shared->stack + 1024);
			}
			pair_compare(&pair, bytes, insns[i].len);
		}
	}
	pair_stop(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_decimal),
			cmocka_unit_test(test_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
