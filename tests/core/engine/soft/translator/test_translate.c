/* SPDX-License-Identifier: MIT */
/*
 * Whole programs in the run loop, each interpreted, translated, and translated with so little memory for code that everything
 * is dropped over and over: control flow, code that changes, mappings that change, privilege, requests.
 */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/block.h"
#include "core/engine/soft/interp.h"
#include "core/engine/soft/native.h"
#include "core/engine/soft/translator/code.h"
#include "core/engine/soft/translator/translate.h"

#include <inttypes.h>

/* Guest-physical layout; linear addresses are the same where nothing else is said. */
#define GDT UINT64_C(0x20000)
#define IDT UINT64_C(0x21000)
#define TSS UINT64_C(0x22000)
#define INNER_STACK UINT64_C(0x31000)
#define HANDLERS UINT64_C(0x38000)
#define CODE UINT64_C(0x40000) /* 16 pages */
#define DATA UINT64_C(0x60000) /* 16 pages */
#define STACK (DATA + 8 * GUEST_PAGE_SIZE)
#define ALIAS UINT64_C(0x100000) /* linear; mapped by tests */
#define DEVICE_PHYSICAL UINT64_C(0x800000)
#define BIG UINT64_C(0x200000) /* physical, not mapped */

#define SEL_CODE 0x08u
#define SEL_USER_DATA 0x1bu
#define SEL_USER_CODE 0x23u

/* Handlers write to the port that belongs to their vector. */
#define PORTS 0x60u

/* Raises #UD: what programs end with. */
#define STOP 0x0f, 0x0b

enum way {
	INTERPRETED,
	TRANSLATED,
	SMALL,
};

struct setup {
	struct fixture *fixture;
	struct cpu *cpu;
	struct code_map *map;
	enum way way;
	struct io_region ports, device;
	unsigned vector; /* delivered last; 0xff: none */
	struct {
		uint64_t error, rip, cs, rflags, rsp, ss;
	} frame;
	uint32_t device_value;
	unsigned device_reads, device_writes;
};

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return 0;
}

static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct setup *s = container_of(region, struct setup, ports);

	(void)value;
	(void)size;
	s->vector = (unsigned)offset;
	cpu_request(s->cpu, CPU_REQUEST_EXIT);
}

static uint64_t device_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct setup *s = container_of(region, struct setup, device);

	(void)offset;
	(void)size;
	s->device_reads++;
	return s->device_value;
}

static void device_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct setup *s = container_of(region, struct setup, device);

	(void)offset;
	(void)size;
	s->device_writes++;
	s->device_value = (uint32_t)value;
}

static void set_tables(struct fixture *f)
{
	static const uint64_t gdt[] = {0, UINT64_C(0x00af9b000000ffff),
			UINT64_C(0x00cf93000000ffff), UINT64_C(0x00cff3000000ffff),
			UINT64_C(0x00affb000000ffff)};

	memcpy(f->ram + GDT, gdt, sizeof(gdt));
	f->cpu->gdtr = (struct x86_table){.base = GDT, .limit = sizeof(gdt) - 1};
	f->cpu->idtr = (struct x86_table){.base = IDT, .limit = 32 * 16 - 1};
	f->cpu->tr = (struct x86_segment){.base = TSS,
			.limit = 0x67,
			.attributes = (uint32_t)X86_SEG_P | 11,
			.selector = 0x40};
	fixture_put64(f, TSS + 4, INNER_STACK);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t handler = HANDLERS + 16 * i;
		fixture_put64(f, IDT + 16 * i,
				(handler & 0xffff) | SEL_CODE << 16 | UINT64_C(0x8e) << 40 |
						(handler >> 16) << 48);
		fixture_put64(f, IDT + 16 * i + 8, 0);
		f->ram[handler] = 0xe6; /* out PORTS + vector, al */
		f->ram[handler + 1] = (uint8_t)(PORTS + i);
	}
}

static void reset_state(struct setup *s)
{
	struct cpu *cpu = s->cpu;

	memset(cpu->regs, 0, sizeof(cpu->regs));
	cpu->regs[X86_RSP] = STACK;
	cpu->rip = CODE;
	cpu->rflags = X86_FLAG_FIXED;
	cpu->request = 0;
}

static int start(void **state, enum way way)
{
	struct setup *s = g_new0(struct setup, 1);
	struct fixture *f = fixture_create(NULL);

	s->fixture = f;
	s->cpu = f->cpu;
	s->way = way;
	fixture_enter_long_mode(f, 0);
	s->cpu->seg[X86_CS].selector = SEL_CODE;
	set_tables(f);
	s->ports = (struct io_region){
			.name = "vectors", .size = 32, .read = port_read, .write = port_write};
	address_space_add(f->ports, PORTS, &s->ports);
	s->device = (struct io_region){.name = "device",
			.size = GUEST_PAGE_SIZE,
			.read = device_read,
			.write = device_write};
	address_space_add(f->space, DEVICE_PHYSICAL, &s->device);
	s->map = code_map_create();
	s->cpu->blocks = block_cache_create(s->map);
	s->cpu->self = s->cpu;
	if (way != INTERPRETED) {
		s->cpu->translator = translator_create(
				s->cpu, way == SMALL ? 2 * CODE_BLOCK_MAX : 4 * MiB);
		assert_non_null(s->cpu->translator);
		s->cpu->blocks->translator = s->cpu->translator;
	}
	reset_state(s);
	*state = s;
	return 0;
}

static int start_interpreted(void **state)
{
	return start(state, INTERPRETED);
}

static int start_translated(void **state)
{
	return start(state, TRANSLATED);
}

static int start_small(void **state)
{
	return start(state, SMALL);
}

static int stop(void **state)
{
	struct setup *s = *state;

	block_cache_destroy(s->cpu->blocks);
	translator_destroy(s->cpu->translator);
	code_map_destroy(s->map);
	address_space_remove(&s->ports);
	address_space_remove(&s->device);
	fixture_destroy(s->fixture);
	g_free(s);
	return 0;
}

static void take_frame(struct setup *s)
{
	uint64_t rsp = s->cpu->regs[X86_RSP];
	bool has_error = s->vector == X86_VECTOR_DF ||
			 (s->vector >= X86_VECTOR_TS && s->vector <= X86_VECTOR_PF);

	s->frame.error = 0;
	if (has_error) {
		s->frame.error = fixture_get64(s->fixture, rsp);
		rsp += 8;
	}
	s->frame.rip = fixture_get64(s->fixture, rsp);
	s->frame.cs = fixture_get64(s->fixture, rsp + 8);
	s->frame.rflags = fixture_get64(s->fixture, rsp + 16);
	s->frame.rsp = fixture_get64(s->fixture, rsp + 24);
	s->frame.ss = fixture_get64(s->fixture, rsp + 32);
}

/* Runs on until something is delivered, which must be the given vector at the given address. */
static void run_on(struct setup *s, unsigned vector, uint64_t rip)
{
	s->vector = 0xff;
	cpu_run(s->cpu);
	assert_int_equal(s->cpu->activity, CPU_ACTIVE);
	__atomic_fetch_and(&s->cpu->request, ~(uint32_t)CPU_REQUEST_EXIT, __ATOMIC_SEQ_CST);
	take_frame(s);
	assert_int_equal(s->vector, vector);
	if (rip != UINT64_MAX) {
		assert_int_equal(s->frame.rip, rip);
	}
}

static void run(struct setup *s, unsigned vector, uint64_t rip)
{
	run_on(s, vector, rip);
}

/* That the block there has been translated. It has been run. */
static void assert_translated(struct setup *s, uint64_t linear)
{
	if (s->way == TRANSLATED) {
		assert_non_null(block_lookup(s->cpu, linear)
						->translation[s->cpu->tlb - s->cpu->tlbs]);
	}
}

static void map_page(struct setup *s, uint64_t linear, uint64_t entry)
{
	fixture_put64(s->fixture, FIXTURE_PAGE_TABLE + 8 * (linear >> 12), entry);
	mmu_flush_page(s->cpu, linear);
}

#define LOAD(s, physical, ...) \
	do { \
		static const uint8_t bytes_[] = {__VA_ARGS__}; \
		memcpy((s)->fixture->ram + (physical), bytes_, sizeof(bytes_)); \
	} while (0)

static void test_loop(void **state)
{
	struct setup *s = *state;

	LOAD(s, CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0x48, 0x01, 0xc8, /* add rax, rcx */
			0x49, 0x01, 0xcd, /* add r13, rcx */
			0x49, 0x01, 0xce, /* add r14, rcx */
			0x4f, 0x8d, 0x3c, 0x2e, /* lea r15, [r14 + r13] */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xef, /* jnz add */
			STOP);
	run(s, X86_VECTOR_UD, CODE + 22);
	assert_int_equal(s->cpu->regs[X86_RAX], 500500);
	assert_int_equal(s->cpu->regs[X86_R13], 500500);
	assert_int_equal(s->cpu->regs[X86_R15], 1001000);
	assert_int_equal(s->frame.rsp, STACK);
	assert_int_equal(s->frame.rflags & X86_FLAGS_ARITH, X86_FLAG_ZF | X86_FLAG_PF);
	assert_translated(s, CODE + 5);
}

static void test_recursion(void **state)
{
	struct setup *s = *state;

	/* rax += fib(rdi) */
	LOAD(s, CODE, 0xbf, 0x0f, 0x00, 0x00, 0x00, /* mov edi, 15 */
			0xe8, 0x02, 0x00, 0x00, 0x00, /* call fib */
			STOP, /* 10 */
			0x83, 0xff, 0x02, /* 12: fib: cmp edi, 2 */
			0x73, 0x04, /* jae 21 */
			0x48, 0x01, 0xf8, /* add rax, rdi */
			0xc3, /* ret */
			0x55, /* 21: push rbp */
			0x48, 0x89, 0xe5, /* mov rbp, rsp */
			0x57, /* push rdi */
			0xff, 0xcf, /* dec edi */
			0xe8, 0xeb, 0xff, 0xff, 0xff, /* call fib */
			0x5f, /* pop rdi */
			0x83, 0xef, 0x02, /* sub edi, 2 */
			0xe8, 0xe2, 0xff, 0xff, 0xff, /* call fib */
			0xc9, /* leave */
			0xc3); /* ret */
	run(s, X86_VECTOR_UD, CODE + 10);
	assert_int_equal(s->cpu->regs[X86_RAX], 610);
	assert_int_equal(s->frame.rsp, STACK);
	assert_translated(s, CODE + 12);
}

static void test_calls_across_pages(void **state)
{
	struct setup *s = *state;

	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0xe8, 0xf6, 0x1f, 0x00, 0x00, /* call 0x2000 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz call */
			STOP);
	LOAD(s, CODE + 0x2000, 0x48, 0xff, 0xc0, /* inc rax */
			0xe9, 0xf8, 0x0f, 0x00, 0x00); /* jmp 0x3000 */
	LOAD(s, CODE + 0x3000, 0xe8, 0xf9, 0x0f, 0x00, 0x00, /* call 0x3ffe: runs into 0x4000 */
			0xc3);
	LOAD(s, CODE + 0x3ffe, 0xff, 0xc0, /* inc eax */
			0xff, 0xc0, 0xc2, 0x00, 0x00); /* inc eax; ret 0 */
	run(s, X86_VECTOR_UD, CODE + 14);
	assert_int_equal(s->cpu->regs[X86_RAX], 300);
	assert_int_equal(s->frame.rsp, STACK);
	assert_translated(s, CODE + 0x2000);
	assert_translated(s, CODE + 0x4000);
}

static void test_indirect(void **state)
{
	struct setup *s = *state;

	/* Through a table of two, in turn; the second gives back 16 bytes of stack. */
	fixture_put64(s->fixture, DATA, CODE + 0x100);
	fixture_put64(s->fixture, DATA + 8, CODE + 0x1100);
	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x48, 0x89, 0xca, /* 5: mov rdx, rcx */
			0x83, 0xe2, 0x01, /* and edx, 1 */
			0x6a, 0x01, /* push 1 */
			0x6a, 0x01, /* push 1 */
			0xff, 0x14, 0xd5, 0x00, 0x00, 0x06, 0x00, /* call [rdx * 8 + DATA] */
			0x48, 0x8d, 0x35, 0x02, 0x00, 0x00, 0x00, /* lea rsi, [29 + 2] */
			0xff, 0xe6, /* 29: jmp rsi: what follows */
			0xff, 0xc9, /* 31: dec ecx */
			0x75, 0xe2, /* jnz 5 */
			STOP); /* 35 */
	LOAD(s, CODE + 0x100, 0x83, 0xc0, 0x01, /* add eax, 1 */
			0x41, 0x5f, /* pop r15 */
			0x41, 0x5e, 0x41, 0x5e, /* pop r14; pop r14 */
			0x41, 0xff, 0xe7); /* jmp r15 */
	LOAD(s, CODE + 0x1100, 0x05, 0x00, 0x01, 0x00, 0x00, /* add eax, 256 */
			0xc2, 0x10, 0x00); /* ret 16 */
	run(s, X86_VECTOR_UD, CODE + 35);
	assert_int_equal(s->cpu->regs[X86_RAX], 100 + 25600);
	assert_int_equal(s->frame.rsp, STACK);
}

/* A branch to what is in rbx, r13, at DATA and on the stack: 50 times to target, then to where no address is. */
static void run_not_canonical(struct setup *s, const uint8_t *branch, size_t len, uint64_t target)
{
	const uint64_t at = CODE + 25;

	LOAD(s, CODE, 0xb9, 0x32, 0x00, 0x00, 0x00, /* mov ecx, 50 */
			0x48, 0x89, 0xe7, /* 5: mov rdi, rsp */
			0x53, /* push rbx */
			0x48, 0x89, 0x1c, 0x25, 0x00, 0x00, 0x06, 0x00, /* mov [DATA], rbx */
			0x4c, 0x8d, 0x24, 0x25, 0x00, 0x00, 0x06, 0x00); /* lea r12, [DATA] */
	memcpy(s->fixture->ram + at, branch, len);
	for (uint64_t place = CODE + 0x100; place <= CODE + 0x1100; place += 0x1000) {
		uint8_t tail[] = {0x48, 0x89, 0xfc, /* mov rsp, rdi */
				0xff, 0xc9, /* dec ecx */
				0x48, 0x0f, 0x44, 0xde, /* cmovz rbx, rsi */
				0x49, 0x89, 0xdd, /* mov r13, rbx */
				0xe9, 0, 0, 0, 0}; /* jmp 5 */
		int32_t distance = (int32_t)(CODE + 5 - (place + sizeof(tail)));
		memcpy(tail + sizeof(tail) - 4, &distance, 4);
		memcpy(s->fixture->ram + place, tail, sizeof(tail));
	}
	reset_state(s);
	s->cpu->regs[X86_RBX] = s->cpu->regs[X86_R13] = target;
	s->cpu->regs[X86_RSI] = BIT(47);
	run(s, X86_VECTOR_GP, at);
	assert_int_equal(s->frame.error, 0);
	assert_int_equal(s->frame.rsp, STACK - 8);
	assert_int_equal(s->cpu->regs[X86_RCX], 0);
}

static void test_not_canonical(void **state)
{
	static const struct {
		uint8_t len, bytes[8];
	} branches[] = {
			{2, {0xff, 0xe3}}, /* jmp rbx */
			{2, {0xff, 0xd3}}, /* call rbx */
			{3, {0x41, 0xff, 0xe5}}, /* jmp r13 */
			{3, {0x41, 0xff, 0xd5}}, /* call r13 */
			{4, {0x41, 0xff, 0x24, 0x24}}, /* jmp [r12] */
			{4, {0x41, 0xff, 0x14, 0x24}}, /* call [r12] */
			{3, {0xff, 0x24, 0x24}}, /* jmp [rsp] */
			{1, {0xc3}}, /* ret */
			{3, {0xc2, 0x20, 0x00}}, /* ret 32 */
			{3, {0xc2, 0x00, 0xf0}}, /* ret 0xf000 */
	};
	struct setup *s = *state;

	for (size_t i = 0; i < G_N_ELEMENTS(branches); i++) {
		for (uint64_t target = CODE + 0x100; target <= CODE + 0x1100; target += 0x1000) {
			block_cache_clear(s->cpu->blocks);
			run_not_canonical(s, branches[i].bytes, branches[i].len, target);
		}
	}
}

/* What the programs below sum up: the byte patched at every 32nd of 200 rounds. */
static uint64_t patched_sum(uint64_t value, bool counts_down)
{
	uint64_t sum = 0;

	for (unsigned round = 200; round > 0; round--) {
		if (round % 32 == 0) {
			value = counts_down ? value - 1 : round;
		}
		sum += value;
	}
	return sum;
}

static void test_store_into_running_block(void **state)
{
	struct setup *s = *state;

	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x48, 0x89, 0xfa, /* 5: mov rdx, rdi */
			0xf6, 0xc1, 0x1f, /* test cl, 31 */
			0x48, 0x0f, 0x44, 0xd6, /* cmovz rdx, rsi */
			0x88, 0x0a, /* mov [rdx], cl */
			0xbb, 0x00, 0x00, 0x00, 0x00, /* 17: mov ebx, 0: cl by then */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xe9, /* jnz 5 */
			STOP); /* 28 */
	s->cpu->regs[X86_RSI] = CODE + 18;
	s->cpu->regs[X86_RDI] = DATA;
	run(s, X86_VECTOR_UD, CODE + 28);
	assert_int_equal(s->cpu->regs[X86_RAX], patched_sum(0, false));
}

/* Calls of a function, by way of another, that is patched when it has become hot. */
static void run_patching(struct setup *s, const uint8_t *patch, size_t len, bool counts_down)
{
	uint8_t *ram = s->fixture->ram + CODE;

	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0xf6, 0xc1, 0x1f, /* 5: test cl, 31 */
			0x75, 0x30, /* jnz 58 */
			0xe9, 0xf1, 0x01, 0x00, 0x00); /* jmp 0x200: the patch */
	LOAD(s, CODE + 58, 0xe8, 0xc1, 0x00, 0x00, 0x00, /* call 0x100 */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xc0, /* jnz 5 */
			STOP); /* 69 */
	LOAD(s, CODE + 0x100, 0xeb, 0x0e); /* jmp 0x110 */
	LOAD(s, CODE + 0x110, 0xbb, 0x64, 0x00, 0x00, 0x00, /* mov ebx, 100: patched */
			0xc3);
	memcpy(ram + 0x200, patch, len);
	ram[0x200 + len] = 0xe9;
	int32_t distance = 58 - (int32_t)(0x200 + len + 5);
	memcpy(ram + 0x201 + len, &distance, 4);
	block_cache_clear(s->cpu->blocks);
	reset_state(s);
	run(s, X86_VECTOR_UD, CODE + 69);
	assert_int_equal(s->cpu->regs[X86_RAX], patched_sum(100, counts_down));
}

static void test_store_into_other_block(void **state)
{
	struct setup *s = *state;
	static const uint8_t byte[] = {
			0x88, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00}; /* mov [imm], cl */
	static const uint8_t wide[] = {0x89, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00}; /* ecx */
	static const uint8_t dec[] = {0xff, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00}; /* dec [imm] */
	static const uint8_t lock[] = {0xf0, 0xff, 0x0c, 0x25, 0x11, 0x01, 0x04, 0x00};
	static const uint8_t exchange[] = {0x89, 0xca, /* mov edx, ecx */
			0x87, 0x14, 0x25, 0x11, 0x01, 0x04, 0x00}; /* xchg [imm], edx */
	static const uint8_t string[] = {0x89, 0xc2, /* mov edx, eax */
			0x89, 0xc8, /* mov eax, ecx */
			0xbf, 0x11, 0x01, 0x04, 0x00, /* mov edi, imm */
			0xaa, /* stosb */
			0x89, 0xd0}; /* mov eax, edx */
	static const uint8_t push[] = {0x48, 0x89, 0xe7, /* mov rdi, rsp */
			0xbc, 0x19, 0x01, 0x04, 0x00, /* mov esp, imm + 8 */
			0x48, 0xba, 0x00, 0x00, 0x00, 0x00, 0xc3, 0, 0, 0, /* mov rdx, ret << 32 */
			0x48, 0x09, 0xca, /* or rdx, rcx */
			0x52, /* push rdx */
			0x48, 0x89, 0xfc}; /* mov rsp, rdi */

	run_patching(s, byte, sizeof(byte), false);
	run_patching(s, wide, sizeof(wide), false);
	run_patching(s, dec, sizeof(dec), true);
	run_patching(s, lock, sizeof(lock), true);
	run_patching(s, exchange, sizeof(exchange), false);
	run_patching(s, string, sizeof(string), false);
	run_patching(s, push, sizeof(push), false);
}

static void test_store_through_alias(void **state)
{
	struct setup *s = *state;
	static const uint8_t byte[] = {
			0x88, 0x0c, 0x25, 0x11, 0x01, 0x10, 0x00}; /* mov [imm], cl */

	map_page(s, ALIAS, CODE | 7);
	run_patching(s, byte, sizeof(byte), false);
}

/* One store, half of it in the page before the code. */
static void test_store_across_pages(void **state)
{
	struct setup *s = *state;

	LOAD(s, CODE + 0x100, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x48, 0x89, 0xca, /* 0x105: mov rdx, rcx */
			0x48, 0xc1, 0xe2, 0x28, /* shl rdx, 40 */
			0x48, 0x81, 0xca, 0x00, 0x00, 0x00, 0x00, /* or rdx, 0 */
			0x48, 0xbf, 0, 0, 0, 0, 0xb3, 0, 0,
			0, /* mov rdi, 0xb3 << 32: mov bl, imm */
			0x48, 0x09, 0xfa, /* or rdx, rdi */
			0x48, 0xbf, 0, 0, 0, 0, 0, 0, 0xc3, 0, /* mov rdi, ret */
			0x48, 0x09, 0xfa, /* or rdx, rdi */
			0x48, 0x89, 0x14, 0x25, 0xfc, 0xff, 0x03, 0x00, /* mov [CODE - 4], rdx */
			0xe8, 0xc6, 0xfe, 0xff, 0xff, /* call CODE */
			0x01, 0xd8, /* add eax, ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xc5, /* jnz 0x105 */
			STOP);
	LOAD(s, CODE, 0xb3, 0x00, 0xc3);
	s->cpu->rip = CODE + 0x100;
	run(s, X86_VECTOR_UD, CODE + 0x140);
	assert_int_equal(s->cpu->regs[X86_RAX], 5050);
}

static void test_mapping_changes(void **state)
{
	struct setup *s = *state;
	const uint64_t entry = FIXTURE_PAGE_TABLE + 8 * (ALIAS >> 12);

	/* The same address, two pages in turn. */
	LOAD(s, CODE + 0x2000, 0x83, 0xc0, 0x01, 0xc3); /* add eax, 1; ret */
	LOAD(s, CODE + 0x3000, 0x05, 0x00, 0x01, 0x00, 0x00, 0xc3); /* add eax, 256; ret */
	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x48, 0x89, 0x33, /* 5: mov [rbx], rsi */
			0x0f, 0x01, 0x3a, /* invlpg [rdx] */
			0xff, 0xd2, /* call rdx */
			0x48, 0x87, 0xf7, /* xchg rsi, rdi */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf1, /* jnz 5 */
			STOP);
	s->cpu->regs[X86_RBX] = entry;
	s->cpu->regs[X86_RDX] = ALIAS;
	s->cpu->regs[X86_RSI] = (CODE + 0x2000) | 7;
	s->cpu->regs[X86_RDI] = (CODE + 0x3000) | 7;
	run(s, X86_VECTOR_UD, CODE + 20);
	assert_int_equal(s->cpu->regs[X86_RAX], 25700);
}

static void test_address_spaces(void **state)
{
	struct setup *s = *state;
	uint8_t *ram = s->fixture->ram;

	/* A second address space, which differs at ALIAS and in the data page after it. */
	memcpy(ram + 0x8000, ram + FIXTURE_PML4, GUEST_PAGE_SIZE);
	memcpy(ram + 0x9000, ram + FIXTURE_PDPT, GUEST_PAGE_SIZE);
	memcpy(ram + 0xa000, ram + FIXTURE_PD, GUEST_PAGE_SIZE);
	memcpy(ram + 0xb000, ram + FIXTURE_PAGE_TABLE, GUEST_PAGE_SIZE);
	fixture_put64(s->fixture, 0x8000, 0x9007);
	fixture_put64(s->fixture, 0x9000, 0xa007);
	fixture_put64(s->fixture, 0xa000, 0xb007);
	fixture_put64(s->fixture, 0xb000 + 8 * (ALIAS >> 12), (CODE + 0x3000) | 7);
	fixture_put64(s->fixture, 0xb008 + 8 * (ALIAS >> 12), (DATA + 0x1000) | 7);
	map_page(s, ALIAS, (CODE + 0x2000) | 7);
	map_page(s, ALIAS + 0x1000, DATA | 7);
	/* The same bytes in both, but what they call and load differs. */
	LOAD(s, CODE + 0x2000, 0x03, 0x05, 0xfa, 0x0f, 0x00, 0x00, /* add eax, [ALIAS + 0x1000] */
			0xc3);
	LOAD(s, CODE + 0x3000, 0x03, 0x05, 0xfa, 0x0f, 0x00, 0x00, 0xff, 0xc5, /* and inc ebp */
			0xc3);
	fixture_put32(s->fixture, DATA, 1);
	fixture_put32(s->fixture, DATA + 0x1000, 256);
	LOAD(s, CODE, 0xb9, 0xc8, 0x00, 0x00, 0x00, /* mov ecx, 200 */
			0x0f, 0x22, 0xde, /* 5: mov cr3, rsi */
			0xff, 0xd2, /* call rdx */
			0x48, 0x87, 0xf7, /* xchg rsi, rdi */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf4, /* jnz 5 */
			STOP);
	s->cpu->regs[X86_RDX] = ALIAS;
	s->cpu->regs[X86_RSI] = FIXTURE_PML4;
	s->cpu->regs[X86_RDI] = 0x8000;
	run(s, X86_VECTOR_UD, CODE + 17);
	assert_int_equal(s->cpu->regs[X86_RAX], 25700);
	assert_int_equal(s->cpu->regs[X86_RBP], 100);
}

static void set_system_calls(struct setup *s, uint64_t handler)
{
	s->cpu->msr.star = UINT64_C(0x0010000800000000);
	s->cpu->msr.lstar = handler;
	s->cpu->msr.sfmask = 0;
}

/* A function that ring 0 may run and ring 3 may not: what it reads is the kernel's. */
static void test_privilege(void **state)
{
	struct setup *s = *state;

	map_page(s, DATA, DATA | 3);
	fixture_put32(s->fixture, DATA, 5);
	set_system_calls(s, CODE + 0x100);
	LOAD(s, CODE, 0xb9, 0x00, 0x02, 0x04, 0x00, /* mov ecx, 0x200 */
			0xbd, 0x64, 0x00, 0x00, 0x00, /* mov ebp, 100 */
			0x41, 0xbb, 0x02, 0x00, 0x00, 0x00, /* mov r11d, 2: flags */
			0x48, 0x0f, 0x07); /* sysret */
	LOAD(s, CODE + 0x200, 0x0f, 0x05, /* syscall */
			0xff, 0xcd, /* dec ebp */
			0x75, 0xfa, /* jnz 0x200 */
			0xe8, 0xf5, 0x00, 0x00, 0x00, /* call 0x300 */
			STOP);
	LOAD(s, CODE + 0x100, 0xe8, 0xfb, 0x01, 0x00, 0x00, /* call 0x300 */
			0x48, 0x0f, 0x07); /* sysret */
	LOAD(s, CODE + 0x300, 0x03, 0x04, 0x25, 0x00, 0x00, 0x06, 0x00, /* add eax, [DATA] */
			0xc3);
	run(s, X86_VECTOR_PF, CODE + 0x300);
	assert_int_equal(s->frame.error, X86_PF_PRESENT | X86_PF_USER);
	assert_int_equal(s->cpu->cr2, DATA);
	assert_int_equal(s->frame.rsp, STACK - 8);
	assert_int_equal(s->frame.cs, SEL_USER_CODE);
	assert_int_equal(s->frame.ss, SEL_USER_DATA);
	assert_int_equal(s->cpu->regs[X86_RAX], 500);
}

/* Supervisor code reads the user's memory with AC set, and not without. */
static void test_access_prevention(void **state)
{
	struct setup *s = *state;

	for (uint64_t page = 0; page < 0x1ff000; page += GUEST_PAGE_SIZE) {
		map_page(s, page, page | (page == DATA ? 7 : 3));
	}
	cpu_set_cr4(s->cpu, s->cpu->cr4 | X86_CR4_SMAP);
	cpu_update_mode(s->cpu);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x01, 0xcb, /* stac */
			0xe8, 0xf3, 0x00, 0x00, 0x00, /* 8: call 0x100 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz 8 */
			0x0f, 0x01, 0xca, /* clac */
			0xe8, 0xe7, 0x00, 0x00, 0x00, /* call 0x100 */
			STOP);
	LOAD(s, CODE + 0x100, 0xff, 0xc0, /* inc eax */
			0x8b, 0x1c, 0x25, 0x00, 0x00, 0x06, 0x00, /* mov ebx, [DATA] */
			0xc3);
	run(s, X86_VECTOR_PF, CODE + 0x102);
	assert_int_equal(s->frame.error, X86_PF_PRESENT);
	assert_int_equal(s->cpu->regs[X86_RAX], 101);
}

static void test_address_zero(void **state)
{
	struct setup *s = *state;

	/* From 0 and back, by jmp and by ret. */
	LOAD(s, 0, 0xff, 0xc3, /* inc ebx */
			0xff, 0xe2); /* jmp rdx */
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x48, 0x8d, 0x15, 0x05, 0x00, 0x00, 0x00, /* 5: lea rdx, [17] */
			0x31, 0xc0, /* xor eax, eax */
			0x50, /* push rax */
			0xff, 0xe0, /* jmp rax */
			0x48, 0x8d, 0x15, 0x01, 0x00, 0x00, 0x00, /* 17: lea rdx, [25] */
			0xc3, /* ret */
			0xff, 0xc9, /* 25: dec ecx */
			0x75, 0xe8, /* jnz 5 */
			STOP);
	run(s, X86_VECTOR_UD, CODE + 29);
	assert_int_equal(s->cpu->regs[X86_RBX], 200);
	assert_translated(s, 0);
	map_page(s, 0, 0);
	reset_state(s);
	run(s, X86_VECTOR_PF, 0);
	assert_int_equal(s->frame.error, X86_PF_FETCH);
	assert_int_equal(s->cpu->cr2, 0);
	assert_int_equal(s->frame.rsp, STACK - 8);
	assert_int_equal(s->cpu->regs[X86_RBX], 0);
}

/* Falls, jumps, calls and returns into a page that is there, and then is not. */
static void test_unmapped(void **state)
{
	struct setup *s = *state;
	const uint64_t next = CODE + 0x1000;

	LOAD(s, next, 0xff, 0xc0, /* inc eax */
			0x48, 0x89, 0xfc, /* mov rsp, rdi */
			0xff, 0xc9, /* dec ecx */
			0x74, 0x02, /* jz +2 */
			0xff, 0xe2, /* jmp rdx */
			STOP);
	LOAD(s, CODE + 0xffe, 0xff, 0xc5); /* inc ebp; falls */
	LOAD(s, CODE + 0x100, 0xe9, 0xfb, 0x0e, 0x00, 0x00); /* jmp next */
	LOAD(s, CODE + 0x200, 0xe8, 0xfb, 0x0d, 0x00, 0x00); /* call next */
	LOAD(s, CODE + 0x300, 0x56, 0xc3); /* push rsi; ret */
	LOAD(s, CODE + 0x400, 0x0f, 0x84, 0xfa, 0x0b, 0x00, 0x00, /* jz next */
			0x0f, 0x85, 0xf4, 0x0b, 0x00, 0x00); /* jnz next */
	static const struct {
		uint32_t entry, rsp;
	} ways[] = {{0xffe, 0}, {0x100, 0}, {0x200, 8}, {0x300, 0}, {0x400, 0}};
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		map_page(s, next, next | 7);
		reset_state(s);
		s->cpu->rip = s->cpu->regs[X86_RDX] = CODE + ways[i].entry;
		s->cpu->regs[X86_RSI] = next;
		s->cpu->regs[X86_RDI] = STACK;
		s->cpu->regs[X86_RCX] = 100;
		run(s, X86_VECTOR_UD, next + 11);
		assert_int_equal(s->cpu->regs[X86_RAX], 100);
		map_page(s, next, 0);
		reset_state(s);
		s->cpu->rip = CODE + ways[i].entry;
		s->cpu->regs[X86_RSI] = next;
		run(s, X86_VECTOR_PF, next);
		assert_int_equal(s->cpu->cr2, next);
		assert_int_equal(s->frame.rsp, STACK - ways[i].rsp);
		assert_int_equal(s->cpu->regs[X86_RAX], 0);
	}
}

/* The last page below where addresses end: running on is what no translation knows. */
static void test_end_of_addresses(void **state)
{
	struct setup *s = *state;
	const uint64_t page = UINT64_C(0x7ffffffff000);

	/* The tables that lead to it. */
	fixture_put64(s->fixture, FIXTURE_PML4 + 8 * 255, 0x8007);
	fixture_put64(s->fixture, 0x8000 + 8 * 511, 0x9007);
	fixture_put64(s->fixture, 0x9000 + 8 * 511, 0xa007);
	fixture_put64(s->fixture, 0xa000 + 8 * 511, (CODE + 0x2000) | 7);
	LOAD(s, CODE + 0x2ff0, 0xff, 0xc9, /* 0xff0: dec ecx */
			0x0f, 0x85, 0xf8, 0xef, 0xff, 0xff, /* jnz 0xff0 */
			0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
	memcpy(s->fixture->ram + CODE + 0x2ff4, "\xf8\xff\xff\xff", 4);
	for (unsigned i = 0; i < 30; i++) {
		reset_state(s);
		s->cpu->rip = page + 0xff0;
		s->cpu->regs[X86_RCX] = 20;
		run(s, X86_VECTOR_GP, page + 0x1000);
		assert_int_equal(s->cpu->regs[X86_RCX], 0);
	}
	LOAD(s, CODE + 0x2f00, 0xe9, 0x00, 0x10, 0x00, 0x00); /* jmp too far */
	LOAD(s, CODE + 0x2f80, 0xe8, 0x00, 0x10, 0x00, 0x00); /* call too far */
	for (unsigned i = 0; i < 60; i++) {
		reset_state(s);
		s->cpu->rip = page + (i & 1 ? 0xf00 : 0xf80);
		run(s, X86_VECTOR_GP, s->cpu->rip);
		assert_int_equal(s->frame.rsp, STACK);
	}
}

static void test_device(void **state)
{
	struct setup *s = *state;

	map_page(s, ALIAS, DEVICE_PHYSICAL | 7);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x01, 0x0e, /* 5: add [rsi], ecx */
			0x8b, 0x06, /* mov eax, [rsi] */
			0x89, 0x0c, 0x24, /* mov [rsp], ecx */
			0x48, 0x01, 0xc3, /* add rbx, rax */
			0x89, 0x06, /* mov [rsi], eax */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf0, /* jnz 5 */
			STOP);
	s->cpu->regs[X86_RSI] = ALIAS;
	s->cpu->regs[X86_RSP] = STACK - 64;
	run(s, X86_VECTOR_UD, CODE + 21);
	assert_int_equal(s->device_value, 5050);
	assert_int_equal(s->device_reads, 200);
	assert_int_equal(s->device_writes, 200);
	assert_int_equal(s->cpu->regs[X86_RAX], 5050);
	assert_translated(s, CODE + 5);
}

static void test_single_step(void **state)
{
	struct setup *s = *state;

	/* Hot code under the eye of TF, from one instruction on. */
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x9c, /* 5: pushf */
			0x09, 0x04, 0x24, /* or [rsp], eax */
			0x9d, /* popf */
			0xff, 0xc3, /* inc ebx */
			0xff, 0xc3, /* inc ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf3, /* jnz 5 */
			0xb9, 0x01, 0x00, 0x00, 0x00, /* mov ecx, 1 */
			0xb8, 0x00, 0x01, 0x00, 0x00, /* mov eax, TF */
			0xeb, 0xe7, /* jmp 5 */
			STOP);
	run(s, X86_VECTOR_DB, CODE + 12);
	assert_int_equal(s->cpu->regs[X86_RBX], 201);
	assert_int_equal(s->frame.rsp, STACK);
}

/* MXCSR words at DATA: all exceptions masked, and none. Ones in xmm1, zero in xmm4. */
static void set_vectors(struct setup *s)
{
	static const float one = 1.0f;

	cpu_set_cr4(s->cpu, s->cpu->cr4 | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT);
	memset(s->cpu->fx.xmm, 0, sizeof(s->cpu->fx.xmm));
	for (unsigned i = 0; i < 4; i++) {
		memcpy(&s->cpu->fx.xmm[1][4 * i], &one, sizeof(one));
	}
	s->cpu->fx.mxcsr = 0x1f80;
	fixture_put32(s->fixture, DATA, 0x1f80);
	fixture_put32(s->fixture, DATA + 4, 0);
	s->cpu->regs[X86_RSI] = DATA;
}

static void assert_sum(struct setup *s, unsigned reg, float expected)
{
	for (unsigned i = 0; i < 4; i++) {
		float value;
		memcpy(&value, &s->cpu->fx.xmm[reg][4 * i], sizeof(value));
		assert_true(value == expected);
	}
}

/* Exceptions masked and not, in turn; then one that comes. */
static void test_vector_exceptions(void **state)
{
	struct setup *s = *state;

	native_catch_sigfpe(); /* cmocka has taken it for this test */
	set_vectors(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x58, 0xc1, /* 5: addps xmm0, xmm1 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf9, /* jnz 5 */
			0xb1, 0x64, /* mov cl, 100 */
			0x0f, 0xae, 0x56, 0x04, /* 14: ldmxcsr [rsi + 4] */
			0x0f, 0x59, 0xc1, /* mulps xmm0, xmm1 */
			0x0f, 0xae, 0x16, /* ldmxcsr [rsi] */
			0x0f, 0x58, 0xc1, /* addps xmm0, xmm1 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xef, /* jnz 14 */
			0x0f, 0xae, 0x56, 0x04, /* ldmxcsr [rsi + 4] */
			0x0f, 0x58, 0xc1, /* addps xmm0, xmm1 */
			0x0f, 0x5e, 0xc4, /* 38: divps xmm0, xmm4 */
			STOP);
	run(s, X86_VECTOR_XM, CODE + 38);
	assert_int_equal(s->cpu->fx.mxcsr, 1 << 2); /* division by zero */
	assert_sum(s, 0, 201);
}

/* Hot code after CR0.TS has been set. */
static void test_no_vectors(void **state)
{
	struct setup *s = *state;

	set_vectors(s);
	LOAD(s, CODE, 0xb9, 0x64, 0x00, 0x00, 0x00, /* mov ecx, 100 */
			0x0f, 0x58, 0xc1, /* 5: addps xmm0, xmm1 */
			0xff, 0xc3, /* inc ebx */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz 5 */
			0x0f, 0x20, 0xc0, /* mov rax, cr0 */
			0x83, 0xc8, 0x08, /* or eax, TS */
			0x0f, 0x22, 0xc0, /* mov cr0, rax */
			0xeb, 0xec); /* jmp 5 */
	run(s, X86_VECTOR_NM, CODE + 5);
	assert_sum(s, 0, 100);
	assert_int_equal(s->cpu->regs[X86_RBX], 100);
}

/* Waits until the guest is in translated code, then interrupts it. */
static void *interrupt_it(void *opaque)
{
	struct setup *s = opaque;

	while (s->way != INTERPRETED && !__atomic_load_n(&s->cpu->in_code, __ATOMIC_SEQ_CST)) {
		g_thread_yield();
	}
	cpu_request(s->cpu, CPU_REQUEST_NMI);
	return NULL;
}

static void test_endless_loops(void **state)
{
	struct setup *s = *state;

	LOAD(s, CODE, 0xeb, 0xfe); /* jmp $ */
	LOAD(s, CODE + 0x100, 0xeb, 0x02, 0x90, 0x90, 0x50, 0xc3); /* forwards; push rax; ret */
	LOAD(s, CODE + 0x200, 0xe9, 0xfb, 0x1d, 0x00, 0x00); /* another page and back */
	LOAD(s, CODE + 0x2000, 0xff, 0xe0); /* jmp rax */
	LOAD(s, CODE + 0x300, 0xff, 0xc3, 0x75, 0xfc, 0xeb, 0xfa); /* inc ebx; jnz; jmp */
	LOAD(s, CODE + 0x400, 0xff, 0xe0); /* jmp rax: to itself */
	LOAD(s, CODE + 0x500, 0xe8, 0x00, 0x00, 0x00, 0x00, /* call next */
			0x58, /* pop rax */
			0x48, 0x83, 0xe8, 0x05, /* sub rax, 5 */
			0xff, 0xe0); /* jmp rax */
	for (uint64_t offset = 0; offset <= 0x500; offset += 0x100) {
		reset_state(s);
		s->cpu->nmi_blocked = false;
		s->cpu->rip = s->cpu->regs[X86_RAX] = CODE + offset;
		GThread *thread = g_thread_new("interrupt", interrupt_it, s);
		run(s, X86_VECTOR_NMI, UINT64_MAX);
		g_thread_join(thread);
		assert_true(s->frame.rip >= CODE && s->frame.rip < CODE + 0x2002);
		assert_true(s->frame.rsp == STACK || s->frame.rsp == STACK - 8);
	}
}

/* More blocks than SMALL has room for, several times around. */
static void test_many_blocks(void **state)
{
	struct setup *s = *state;
	uint8_t *ram = s->fixture->ram + CODE;
	uint64_t at = 0;

	for (unsigned i = 0; i < 2000; i++) {
		/* Each in a place of its own: a load, a sum, a jump over 3 bytes. */
		static const uint8_t piece[] = {0x41, 0x03, 0x06, /* add eax, [r14] */
				0x45, 0x01, 0xef, /* add r15d, r13d */
				0x74, 0x03, /* jz +3 */
				0xeb, 0x01, /* jmp +1 */
				0xcc};
		memcpy(ram + at, piece, sizeof(piece));
		at += sizeof(piece);
	}
	memcpy(ram + at, "\xff\xc9\x0f\x85", 4);
	int32_t distance = -(int32_t)(at + 8);
	memcpy(ram + at + 4, &distance, 4);
	memcpy(ram + at + 8, "\x0f\x0b", 2);
	fixture_put32(s->fixture, DATA, 3);
	s->cpu->regs[X86_R13] = 1;
	s->cpu->regs[X86_R14] = DATA;
	s->cpu->regs[X86_RCX] = 150;
	uint64_t clears = s->cpu->blocks->clears;
	run(s, X86_VECTOR_UD, CODE + at + 8);
	assert_int_equal(s->cpu->regs[X86_RAX], 2000 * 150 * 3);
	assert_int_equal(s->cpu->regs[X86_R15], 2000 * 150);
	if (s->way == SMALL) {
		assert_true(s->cpu->blocks->clears > clears + 5);
	}
}

int main(void)
{
#define WAY(name, way) \
	{ \
#name ", " #way, name, start_##way, stop, NULL \
	}
#define TEST(name) WAY(name, interpreted), WAY(name, translated), WAY(name, small)
	const struct CMUnitTest tests[] = {
			TEST(test_loop),
			TEST(test_recursion),
			TEST(test_calls_across_pages),
			TEST(test_indirect),
			TEST(test_not_canonical),
			TEST(test_store_into_running_block),
			TEST(test_store_into_other_block),
			TEST(test_store_through_alias),
			TEST(test_store_across_pages),
			TEST(test_mapping_changes),
			TEST(test_address_spaces),
			TEST(test_privilege),
			TEST(test_access_prevention),
			TEST(test_address_zero),
			TEST(test_unmapped),
			TEST(test_end_of_addresses),
			TEST(test_device),
			TEST(test_single_step),
			TEST(test_vector_exceptions),
			TEST(test_no_vectors),
			TEST(test_endless_loops),
			TEST(test_many_blocks),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
