/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/native_fixture.h"

#include "core/engine/soft/exec.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/operand.h"

#include <stdlib.h>
#include <string.h>

static struct native_fixture *current;

static const struct {
	bool read, write;
} page_access[ORACLE_PAGE_COUNT] = {
		[ORACLE_PAGE_RW0] = {true, true},
		[ORACLE_PAGE_RW1] = {true, true},
		[ORACLE_PAGE_RO] = {true, false},
		[ORACLE_PAGE_RW2] = {true, true},
};

/* The parts of the engine that executors call, as far as these tests need them. */

_Noreturn static void caught(struct cpu *cpu, unsigned vector, uint32_t error, uint64_t address)
{
	current->fault = (struct oracle_fault){(uint8_t)vector, error, address};
	siglongjmp(cpu->unwind, 1);
}

void cpu_raise(struct cpu *cpu, enum x86_vector vector)
{
	caught(cpu, vector, 0, 0);
}

void cpu_raise_error(struct cpu *cpu, enum x86_vector vector, uint32_t error)
{
	caught(cpu, vector, error, 0);
}

void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
	caught(cpu, X86_VECTOR_PF, error, linear);
}

void exec_undefined(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu_raise_ud(cpu);
}

void exec_bind_integer(struct insn *insn)
{
	insn->exec = exec_undefined;
}

void exec_bind_system(struct insn *insn)
{
	insn->exec = exec_undefined;
}

uint64_t segment_check(struct cpu *cpu, unsigned segment, uint64_t offset, size_t len,
		enum mmu_access access)
{
	(void)offset;
	(void)len;
	(void)access;
	cpu_raise_error(cpu, segment == X86_SS ? X86_VECTOR_SS : X86_VECTOR_GP, 0);
}

/* The byte of memory at linear, after the fault that an access to it deserves. */
static uint8_t *byte_at(struct cpu *cpu, uint64_t linear, bool write)
{
	uint64_t offset = linear - current->data_address;
	unsigned page = (unsigned)(offset / ORACLE_PAGE_SIZE);
	uint32_t error = X86_PF_USER | (write ? X86_PF_WRITE : 0);

	if (offset >= ORACLE_DATA_SIZE || !page_access[page].read) {
		cpu_raise_page_fault(cpu, linear, error);
	}
	if (write && !page_access[page].write) {
		cpu_raise_page_fault(cpu, linear, error | X86_PF_PRESENT);
	}
	return &current->memory[offset];
}

void mmu_load_bytes(struct cpu *cpu, uint64_t linear, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		((uint8_t *)buf)[i] = *byte_at(cpu, linear + i, false);
	}
}

void mmu_probe_write(struct cpu *cpu, uint64_t linear, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		(void)byte_at(cpu, linear + i, true);
	}
}

void mmu_store_bytes(struct cpu *cpu, uint64_t linear, const void *buf, size_t len)
{
	mmu_probe_write(cpu, linear, len);
	for (size_t i = 0; i < len; i++) {
		*byte_at(cpu, linear + i, true) = ((const uint8_t *)buf)[i];
	}
}

uint64_t mmu_load_slow(struct cpu *cpu, uint64_t linear, unsigned size)
{
	uint64_t value = 0;

	mmu_load_bytes(cpu, linear, &value, size);
	return value;
}

void mmu_store_slow(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size)
{
	mmu_store_bytes(cpu, linear, &value, size);
}

static void *aligned_zeros(size_t alignment, size_t size)
{
	void *memory = NULL;
	int ret = posix_memalign(&memory, alignment, size);

	assert(ret == 0);
	(void)ret;
	return memset(memory, 0, size);
}

struct native_fixture *native_fixture_create(uint64_t data_address)
{
	struct native_fixture *fixture = g_new0(struct native_fixture, 1);

	fixture->cpu = aligned_zeros(_Alignof(struct cpu), sizeof(struct cpu));
	fixture->memory = aligned_zeros(ORACLE_PAGE_SIZE, ORACLE_DATA_SIZE);
	fixture->data_address = data_address;
	fixture->cpu->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_NE | X86_CR0_PG;
	fixture->cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	fixture->cpu->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
	memset(&fixture->cpu->features, 0xff, sizeof(fixture->cpu->features));
	fixture->cpu->efer = X86_EFER_LME | X86_EFER_LMA;
	fixture->cpu->mode = INSN_MODE_64;
	fixture->cpu->stack_size = 8;
	fixture->cpu->cpl = 3;
	fixture->cpu->rflags = X86_FLAG_FIXED;
	fixture->cpu->fx.fcw = 0x37f;
	fixture->cpu->fx.mxcsr = 0x1f80;
	fixture->cpu->fx.mxcsr_mask = 0xffff;
	cpu_use_tlb(fixture->cpu, TLB_USER);
	for (unsigned set = 0; set < TLB_SET_COUNT; set++) {
		for (unsigned i = 0; i < TLB_ENTRIES; i++) {
			fixture->cpu->tlbs[set].read[i].tag = TLB_INVALID(i);
			fixture->cpu->tlbs[set].write[i].tag = TLB_INVALID(i);
		}
	}
	current = fixture;
	return fixture;
}

void native_fixture_destroy(struct native_fixture *fixture)
{
	if (fixture) {
		free(fixture->cpu);
		free(fixture->memory);
		g_free(fixture);
		current = NULL;
	}
}

void native_fixture_fill_tlb(struct native_fixture *fixture, bool fill)
{
	struct tlb *tlb = fixture->cpu->tlb;

	for (unsigned page = 0; page < ORACLE_PAGE_COUNT; page++) {
		uint64_t linear = fixture->data_address + page * ORACLE_PAGE_SIZE;
		struct tlb_entry entry = {
				.tag = linear,
				.page = (uintptr_t)fixture->memory + page * ORACLE_PAGE_SIZE,
		};
		struct tlb_entry invalid = {.tag = TLB_INVALID(tlb_index(linear))};
		tlb->read[tlb_index(linear)] = fill && page_access[page].read ? entry : invalid;
		tlb->write[tlb_index(linear)] = fill && page_access[page].write ? entry : invalid;
	}
}

bool native_fixture_run(struct native_fixture *fixture, const uint8_t *bytes, size_t len)
{
	struct cpu *cpu = fixture->cpu;
	struct insn insn;

	fixture->fault = (struct oracle_fault){.vector = ORACLE_NO_FAULT};
	if (insn_decode(&insn, cpu->mode, bytes, len) != DECODE_OK || insn.length != len) {
		fixture->fault.vector = X86_VECTOR_UD;
		return false;
	}
	exec_bind(&insn);
	if (sigsetjmp(cpu->unwind, 0) == 0) {
		insn.exec(cpu, &insn);
		return true;
	}
	return false;
}

uint64_t native_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static const uint32_t edges32[] = {
		0,
		0x80000000,
		1,
		0x80000001,
		0x007fffff,
		0x00800000,
		0x3f800000,
		0xbf800000,
		0x7f7fffff,
		0x7f800000,
		0xff800000,
		0x7fc00000,
		0x7f800001,
		0xffffffff,
		0x4f000000,
		0xcf000000,
		0x3effffff,
		0x3f000000,
		0x4b7fffff,
		0x7fffffff,
		0x00ff00ff,
		0x80008000,
};
static const uint64_t edges64[] = {
		0,
		0x8000000000000000,
		1,
		0x800fffffffffffff,
		0x0010000000000000,
		0x3ff0000000000000,
		0xbff0000000000000,
		0x7fefffffffffffff,
		0x7ff0000000000000,
		0xfff0000000000000,
		0x7ff8000000000000,
		0x7ff0000000000001,
		0xffffffffffffffff,
		0x41e0000000000000,
		0xc1e0000000000000,
		0x43e0000000000000,
		0xc3e0000000000000,
		0x3fe0000000000000,
		0x3fdfffffffffffff,
		0x3810000000000000,
		0x380fffffe0000000,
		0x47f0000000000000,
		0x7fffffffffffffff,
		0x3ca0000000000000,
};
static const struct {
	uint16_t exponent;
	uint64_t mantissa;
} edges80[] = {
		{0, 0},
		{0x8000, 0},
		{0, 1},
		{0, 0x8000000000000000},
		{1, 0x8000000000000000},
		{0x3fff, 0x8000000000000000},
		{0xbfff, 0x8000000000000000},
		{0x7ffe, 0xffffffffffffffff},
		{0x7fff, 0x8000000000000000},
		{0xffff, 0x8000000000000000},
		{0x7fff, 0xc000000000000000},
		{0x7fff, 0x8000000000000001},
		{0xffff, 0xc000000000000000},
		{0x3fff, 0},
		{0x7fff, 0},
		{0x3ffe, 0xffffffffffffffff},
		{0x401e, 0x8000000000000000},
		{0x403e, 0x8000000000000000},
		{0xc03e, 0x8000000000000000},
		{0x4000, 0xc90fdaa22168c235},
		{0x3fbe, 0x8000000000000000},
		{0x3c01, 0x8000000000000000},
		{0x43fe, 0xfffffffffffff800},
		{0x3f81, 0x8000000000000000},
		{0x407f, 0x8000000000000000},
		{0x403a, 0xde0b6b3a763fffe0},
		{0x4002, 0xa000000000000000},
};

void native_random_xmm(uint64_t *random, uint8_t xmm[16])
{
	uint64_t kind = native_random(random) % 8;

	for (unsigned i = 0; i < 16; i += 4) {
		uint64_t value = native_random(random);
		if (kind < 3) {
			value = edges32[value % G_N_ELEMENTS(edges32)];
		} else if (kind == 3) { /* near one: sums and products stay finite */
			value = 0x3f800000 + (value % 0x1000000) - 0x800000;
		}
		memcpy(xmm + i, &value, 4);
	}
	for (unsigned i = 0; kind >= 4 && kind < 7 && i < 16; i += 8) {
		uint64_t value = native_random(random);
		if (kind == 4) {
			value = 0x3ff0000000000000 + (value >> 8);
		} else {
			value = edges64[value % G_N_ELEMENTS(edges64)];
		}
		memcpy(xmm + i, &value, 8);
	}
}

void native_random_st(uint64_t *random, uint8_t st[16])
{
	uint64_t mantissa = native_random(random);
	uint64_t value = native_random(random);
	uint16_t exponent = (uint16_t)value;
	size_t edge = (value >> 16) % G_N_ELEMENTS(edges80);

	if (value >> 60 < 9) {
		exponent = edges80[edge].exponent;
		mantissa = edges80[edge].mantissa;
	} else if (value >> 60 < 14) {
		exponent = (uint16_t)((value & 0x8000) | (0x3fff - 40 + (value & 0xfff) % 80));
		mantissa |= UINT64_C(1) << 63;
	}
	memset(st, 0, 16);
	memcpy(st, &mantissa, 8);
	memcpy(st + 8, &exponent, 2);
}

void native_random_fx(uint64_t *random, struct oracle_fx *fx)
{
	uint64_t value = native_random(random);

	memset(fx, 0, sizeof(*fx));
	fx->fcw = (uint16_t)((value & 0x1f3f) | 0x40 | (value >> 60 < 11 ? 0x3f : 0));
	fx->fsw = (uint16_t)((value >> 16) & 0x7f7f);
	if (value >> 61 & 1 || value >> 60 >= 14) {
		fx->fsw &= (uint16_t)~0x7f; /* nothing pends */
	}
	if (fx->fsw & ~fx->fcw & 0x3f) {
		fx->fsw |= 0x8080;
	}
	fx->ftw = value >> 32 & 3 ? 0xff : (uint8_t)(value >> 40);
	value = native_random(random);
	fx->mxcsr = (uint32_t)((value & 0xffff) | (value >> 60 < 11 ? 0x1f80 : 0));
	if (value >> 59 & 1) {
		fx->mxcsr &= ~0x8040u; /* FZ and DAZ hide denormals */
	}
	for (unsigned i = 0; i < 8; i++) {
		native_random_st(random, fx->st[i]);
	}
	for (unsigned i = 0; i < 16; i++) {
		native_random_xmm(random, fx->xmm[i]);
	}
}
