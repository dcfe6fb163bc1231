/* SPDX-License-Identifier: MIT */
/*
 * The run loop and the block cache: counts, faults in the middle, chains, code that changes, code
 * across pages.
 */
#include "tests/harness/test.h"

#include "tests/core/engine/soft/fake_machine.h"

#include "core/engine/soft/block.h"
#include "core/engine/soft/interp.h"

#include <string.h>

#define CODE UINT64_C(0x10000)
#define CODE_SIZE (4 * GUEST_PAGE_SIZE)
#define DATA UINT64_C(0x80000)
#define DATA_SIZE (16 * GUEST_PAGE_SIZE)
#define DEVICE UINT64_C(0xa0000)

/* Raises #UD: what the programs here end with. */
#define STOP 0x0f, 0x0b

struct setup {
	struct fake_machine *fake;
	struct cpu *cpu;
	uint8_t code[CODE_SIZE];
	uint8_t data[DATA_SIZE];
	uint8_t device[GUEST_PAGE_SIZE];
};

static int start(void **state)
{
	struct setup *setup = g_new0(struct setup, 1);

	setup->fake = fake_machine_create();
	setup->cpu = setup->fake->cpu;
	fake_machine_add(setup->fake, CODE, CODE_SIZE, setup->code, true);
	fake_machine_add(setup->fake, DATA, DATA_SIZE, setup->data, true);
	fake_machine_add(setup->fake, DEVICE, GUEST_PAGE_SIZE, setup->device, true);
	setup->fake->ranges[2].device = true;
	setup->cpu->rip = CODE;
	setup->cpu->regs[X86_RSP] = DATA + DATA_SIZE;
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

/*
 * Runs from CODE until something is delivered, which must be an exception of the given vector at
 * the given address.
 */
static void run(struct setup *setup, enum x86_vector vector, uint64_t rip)
{
	unsigned faults = setup->fake->faults;

	setup->cpu->request = 0;
	cpu_run(setup->cpu);
	assert_int_equal(setup->fake->faults, faults + 1);
	assert_int_equal(setup->cpu->fault.vector, vector);
	assert_int_equal(setup->cpu->rip, rip);
}

#define LOAD(setup, offset, ...) \
	do { \
		static const uint8_t bytes_[] = {__VA_ARGS__}; \
		memcpy((setup)->code + (offset), bytes_, sizeof(bytes_)); \
	} while (0)

static void test_counts_loop(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx, 1000 */
			0x48, 0x01, 0xc8, /* add rax, rcx */
			0x83, 0xe9, 0x01, /* sub ecx, 1 */
			0x75, 0xf8, /* jnz add */
			STOP);
	run(setup, X86_VECTOR_UD, CODE + 13);
	assert_int_equal(setup->cpu->regs[X86_RAX], 500500);
	assert_int_equal(setup->cpu->instructions, 3001);
}

static void test_calls_across_pages(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0xb9, 0x0a, 0x00, 0x00, 0x00, /* mov ecx, 10 */
			0xe8, 0xf6, 0x1f, 0x00, 0x00, /* call 0x2000 */
			0xff, 0xc9, /* dec ecx */
			0x75, 0xf7, /* jnz call */
			STOP);
	LOAD(setup, 0x2000, 0x48, 0xff, 0xc0, 0xc3); /* inc rax; ret */
	run(setup, X86_VECTOR_UD, CODE + 14);
	assert_int_equal(setup->cpu->regs[X86_RAX], 10);
	assert_int_equal(setup->cpu->instructions, 51);
	assert_int_equal(setup->cpu->regs[X86_RSP], DATA + DATA_SIZE);
}

static void test_fault_in_the_middle(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0x48, 0xff, 0xc0, /* inc rax */
			0x48, 0xff, 0xc0, /* inc rax */
			0x48, 0x8b, 0x1c, 0x25, 0x10, 0x00, 0x00, 0x00, /* mov rbx, [0x10] */
			0x48, 0xff, 0xc0);
	run(setup, X86_VECTOR_PF, CODE + 6);
	assert_int_equal(setup->cpu->cr2, 0x10);
	assert_int_equal(setup->cpu->fault.error, X86_PF_USER);
	assert_int_equal(setup->cpu->regs[X86_RAX], 2);
	assert_int_equal(setup->cpu->instructions, 2);
}

static void test_fetch_fault(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0xb8, 0x00, 0x00, 0x70, 0x00, /* mov eax, 0x700000 */
			0xff, 0xe0); /* jmp rax */
	run(setup, X86_VECTOR_PF, 0x700000);
	assert_int_equal(setup->cpu->cr2, 0x700000);
	assert_int_equal(setup->cpu->fault.error, X86_PF_USER | X86_PF_FETCH);
	assert_int_equal(setup->cpu->instructions, 2);
}

static void test_target_not_canonical(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, /* mov rax, 1 << 63 */
			0xff, 0xd0); /* call rax */
	run(setup, X86_VECTOR_GP, CODE + 10);
	assert_int_equal(setup->cpu->regs[X86_RSP], DATA + DATA_SIZE);
}

static void test_store_into_running_block(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x07, /* mov byte [rip + 1], 7 */
			0xb8, 0x01, 0x00, 0x00, 0x00, /* mov eax, 1: 7 by then */
			STOP);
	run(setup, X86_VECTOR_UD, CODE + 12);
	assert_int_equal(setup->cpu->regs[X86_RAX], 7);
	assert_int_equal(setup->cpu->instructions, 2);
}

static void test_repeated_store_over_itself(void **state)
{
	struct setup *setup = *state;

	/* Fills what follows with inc eax (ff c0), up to the STOP at 32. */
	LOAD(setup, 0, 0x8d, 0x3d, 0x0a, 0x00, 0x00, 0x00, /* lea edi, [rip + 10] */
			0x66, 0xb8, 0xff, 0xc0, /* mov ax, 0xc0ff */
			0xb1, 0x08, /* mov cl, 8 */
			0xf3, 0x66, 0xab, /* rep stosw */
			0x90, STOP);
	LOAD(setup, 32, STOP);
	run(setup, X86_VECTOR_UD, CODE + 32);
	assert_int_equal(setup->cpu->regs[X86_RAX], 0xc0ff + 8);
	assert_int_equal(setup->cpu->instructions, 5 + 8);
}

static void test_device_writes_code(void **state)
{
	struct setup *setup = *state;
	uint64_t decoded;

	LOAD(setup, 0, 0xb8, 0x01, 0x00, 0x00, 0x00, STOP); /* mov eax, 1 */
	run(setup, X86_VECTOR_UD, CODE + 5);
	assert_int_equal(setup->cpu->regs[X86_RAX], 1);
	setup->code[1] = 2;
	code_map_written(setup->fake->map, CODE, 4096);
	setup->cpu->rip = CODE;
	run(setup, X86_VECTOR_UD, CODE + 5);
	assert_int_equal(setup->cpu->regs[X86_RAX], 2);
	/* The same bytes again: nothing is decoded anew. */
	decoded = setup->cpu->blocks->decoded;
	code_map_written(setup->fake->map, CODE, 4096);
	setup->cpu->rip = CODE;
	run(setup, X86_VECTOR_UD, CODE + 5);
	assert_int_equal(setup->cpu->blocks->decoded, decoded);
}

static void test_other_mapping(void **state)
{
	struct setup *setup = *state;

	LOAD(setup, 0, 0xe9, 0xfb, 0x1f, 0x00, 0x00); /* jmp 0x2000 */
	LOAD(setup, 0x2000, 0xb0, 0x01, STOP); /* mov al, 1 */
	run(setup, X86_VECTOR_UD, CODE + 0x2002);
	assert_int_equal(setup->cpu->regs[X86_RAX], 1);
	/*
	 * Not writable any more, not there any more: found out although the block is still known.
	 */
	setup->fake->ranges[0].size = 0x2000;
	mmu_flush_all(setup->cpu);
	setup->cpu->rip = CODE;
	run(setup, X86_VECTOR_PF, CODE + 0x2000);
}

static void test_instruction_across_pages(void **state)
{
	struct setup *setup = *state;

	setup->cpu->rip = CODE + 0xffd;
	LOAD(setup, 0xffd, 0xb8, 0x01, 0x00, 0x01, 0x00, STOP); /* mov eax, 0x10001 */
	run(setup, X86_VECTOR_UD, CODE + 0x1002);
	assert_int_equal(setup->cpu->regs[X86_RAX], 0x10001);
	assert_false(code_admits_writer(setup->cpu, CODE));
	assert_false(code_admits_writer(setup->cpu, CODE + 0x1000));
	/* A store into its second half, then a write behind the vCPU's back. */
	mmu_store8(setup->cpu, CODE + 0x1000, 2);
	setup->cpu->rip = CODE + 0xffd;
	run(setup, X86_VECTOR_UD, CODE + 0x1002);
	assert_int_equal(setup->cpu->regs[X86_RAX], 0x20001);
	setup->code[0x1001] = 1;
	code_map_written(setup->fake->map, CODE + 0x1001, 1);
	setup->cpu->rip = CODE + 0xffd;
	run(setup, X86_VECTOR_UD, CODE + 0x1002);
	assert_int_equal(setup->cpu->regs[X86_RAX], 0x1020001);
}

static void test_fault_on_second_page(void **state)
{
	struct setup *setup = *state;
	uint64_t rip = CODE + CODE_SIZE - 3;

	setup->cpu->rip = rip;
	LOAD(setup, CODE_SIZE - 3, 0xb8, 0x01, 0x00);
	run(setup, X86_VECTOR_PF, rip);
	assert_int_equal(setup->cpu->cr2, CODE + CODE_SIZE);
	assert_int_equal(setup->cpu->instructions, 0);
	assert_true(code_admits_writer(setup->cpu, CODE + CODE_SIZE - GUEST_PAGE_SIZE));
}

static void test_too_long(void **state)
{
	struct setup *setup = *state;

	memset(setup->code, 0x66, 15);
	setup->code[15] = 0x90;
	run(setup, X86_VECTOR_GP, CODE);
}

static void test_data_beside_code(void **state)
{
	struct setup *setup = *state;
	uint64_t killed;

	LOAD(setup, 0, 0xc7, 0x05, 0xf6, 0x01, 0x00, 0x00, 1, 2, 3, 4, /* mov dword [0x200], imm */
			STOP);
	killed = setup->cpu->blocks->killed;
	run(setup, X86_VECTOR_UD, CODE + 10);
	assert_memory_equal(&setup->code[0x200], "\1\2\3\4", 4);
	assert_int_equal(setup->cpu->blocks->killed, killed);
}

static void test_cache_overflow(void **state)
{
	struct setup *setup = *state;
	const size_t size = 4 * MiB;
	uint8_t *field = g_malloc(size);
	uint64_t epoch = setup->cpu->blocks->epoch;
	const uint64_t base = 0x40000000;

	memset(field, 0x90, size);
	memcpy(field + size - 2, "\x0f\x0b", 2);
	fake_machine_add(setup->fake, base, size, field, true);
	for (unsigned pass = 1; pass <= 2; pass++) {
		setup->cpu->rip = base;
		run(setup, X86_VECTOR_UD, base + size - 2);
		assert_int_equal(setup->cpu->instructions, pass * (size - 2));
	}
	assert_true(setup->cpu->blocks->epoch > epoch + 2 * BLOCK_YOUNG_PARTS);
	g_free(field);
}

/* Asks for attention at each access to the device page. */
static void touch_device(struct fake_machine *fake)
{
	cpu_request(fake->cpu, CPU_REQUEST_INTERRUPT);
}

static void test_string_is_interruptible(void **state)
{
	struct setup *setup = *state;

	setup->fake->touched = touch_device;
	for (unsigned i = 0; i < 64; i++) {
		setup->device[i] = (uint8_t)(i + 1);
	}
	setup->cpu->regs[X86_RSI] = DEVICE;
	setup->cpu->regs[X86_RDI] = DATA;
	setup->cpu->regs[X86_RCX] = 64;
	LOAD(setup, 0, 0xf3, 0xa4, STOP); /* rep movsb */
	run(setup, X86_VECTOR_UD, CODE + 2);
	assert_int_equal(setup->fake->polls, 64 + 1); /* once more to stop */
	assert_int_equal(setup->cpu->regs[X86_RCX], 0);
	assert_int_equal(setup->cpu->instructions, 1);
	assert_memory_equal(setup->data, setup->device, 64);
}

static void test_string_fault_is_exact(void **state)
{
	struct setup *setup = *state;

	memset(setup->data, 0x55, DATA_SIZE);
	setup->cpu->regs[X86_RSI] = DATA;
	setup->cpu->regs[X86_RDI] = DATA + DATA_SIZE - 0x1003;
	setup->cpu->regs[X86_RCX] = 0x1000;
	LOAD(setup, 0, 0x90, 0xf3, 0x66, 0xa5); /* nop; rep movsw */
	run(setup, X86_VECTOR_PF, CODE + 1);
	assert_int_equal(setup->cpu->cr2, DATA + DATA_SIZE);
	assert_int_equal(setup->cpu->regs[X86_RCX], 0x1000 - 0x801);
	assert_int_equal(setup->cpu->regs[X86_RSI], DATA + 0x1002);
	assert_int_equal(setup->cpu->regs[X86_RDI], DATA + DATA_SIZE - 1);
	assert_int_equal(setup->cpu->instructions, 1);
}

static void count_trap(struct fake_machine *fake)
{
	if (fake->cpu->fault.vector != X86_VECTOR_DB) {
		cpu_request(fake->cpu, CPU_REQUEST_EXIT);
	}
}

static void test_single_step(void **state)
{
	struct setup *setup = *state;

	setup->fake->deliver = count_trap;
	setup->cpu->rflags |= X86_FLAG_TF;
	setup->cpu->regs[X86_RDI] = DATA;
	setup->cpu->regs[X86_RCX] = 3;
	LOAD(setup, 0, 0x90, 0x90, 0xf3, 0xaa, STOP); /* nop; nop; rep stosb */
	setup->cpu->request = 0;
	cpu_run(setup->cpu);
	assert_int_equal(setup->fake->faults, 2 + 3 + 1);
	assert_int_equal(setup->cpu->fault.vector, X86_VECTOR_UD);
	assert_int_equal(setup->cpu->rip, CODE + 4);
	assert_int_equal(setup->cpu->instructions, 3);
}

static void test_request_leaves_loop(void **state)
{
	struct setup *setup = *state;

	setup->fake->touched = touch_device;
	setup->fake->poll_limit = 5;
	LOAD(setup, 0, 0xa0, 0x00, 0x00, 0x0a, 0, 0, 0, 0, 0, /* mov al, [DEVICE] */
			0xeb, 0xf5); /* jmp back */
	setup->cpu->request = 0;
	cpu_run(setup->cpu);
	assert_int_equal(setup->cpu->instructions, 10);
	assert_int_equal(setup->cpu->rip, CODE);
}

static void test_code_segment_limit(void **state)
{
	struct setup *setup = *state;

	/*
	 * 16-bit code that runs into its limit in the middle of a block, and one that branches
	 * beyond it.
	 */
	fake_machine_mode(setup->fake, INSN_MODE_16);
	setup->cpu->seg_base[X86_CS] = CODE;
	setup->cpu->seg[X86_CS].limit = 0x11;
	setup->cpu->rip = 0xe;
	LOAD(setup, 0xe, 0x40, 0x40, 0xb8, 0x01, 0x00); /* inc ax; inc ax; mov ax, 1 */
	run(setup, X86_VECTOR_GP, 0x10);
	assert_int_equal(setup->cpu->regs[X86_RAX], 2);
	LOAD(setup, 0, 0xeb, 0x10); /* jmp 0x12 */
	setup->cpu->rip = 0;
	run(setup, X86_VECTOR_GP, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
			TEST(test_counts_loop),
			TEST(test_calls_across_pages),
			TEST(test_fault_in_the_middle),
			TEST(test_fetch_fault),
			TEST(test_target_not_canonical),
			TEST(test_store_into_running_block),
			TEST(test_repeated_store_over_itself),
			TEST(test_device_writes_code),
			TEST(test_other_mapping),
			TEST(test_instruction_across_pages),
			TEST(test_fault_on_second_page),
			TEST(test_too_long),
			TEST(test_data_beside_code),
			TEST(test_cache_overflow),
			TEST(test_string_is_interruptible),
			TEST(test_string_fault_is_exact),
			TEST(test_single_step),
			TEST(test_request_leaves_loop),
			TEST(test_code_segment_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
