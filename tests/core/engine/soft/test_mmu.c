/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/engine/soft/walk.h"

#include <inttypes.h>

#define P BIT(0)
#define W BIT(1)
#define U BIT(2)
#define A BIT(5)
#define D BIT(6)
#define PS BIT(7)
#define G BIT(8)
#define NX BIT(63)

#define PF_P X86_PF_PRESENT
#define PF_W X86_PF_WRITE
#define PF_U X86_PF_USER
#define PF_R X86_PF_RESERVED
#define PF_I X86_PF_FETCH

#define NO_FAULT (-1)

/* The page under test. */
#define PAGE UINT64_C(0x10000)
#define PTE (FIXTURE_PAGE_TABLE + 8 * (PAGE >> 12))

static int setup(void **state)
{
	*state = fixture_create(NULL);
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

static G_NO_INLINE int access_page(struct cpu *cpu, uint64_t linear, enum mmu_access access)
{
	const uint8_t *host;
	int vector;

	switch (access) {
	case MMU_READ:
		vector = FAULT_OF(cpu, (void)mmu_load8(cpu, linear));
		break;
	case MMU_WRITE:
		vector = FAULT_OF(cpu, mmu_store8(cpu, linear, 1));
		break;
	case MMU_FETCH:
	default:
		vector = FAULT_OF(cpu, (void)mmu_translate_fetch(cpu, linear, &host));
		break;
	}
	assert_true(vector == -1 || vector == X86_VECTOR_PF);
	return vector == -1 ? NO_FAULT : (int)cpu->fault.error;
}

/* One access each, long mode: which error code, and what the entry looks like afterwards. */
static const struct {
	const char *name;
	uint64_t pte; /* flags */
	uint64_t pde;
	enum mmu_access access;
	unsigned cpl;
	uint64_t cr0_clear, cr4_set, efer_clear, rflags;
	int expect; /* error code */
	uint64_t expect_pte; /* flags */
} cases[] = {
		{"kernel read", P | W, P | W | U, MMU_READ, 0, 0, 0, 0, 0, NO_FAULT, P | W | A},
		{"kernel write sets dirty", P | W, P | W | U, MMU_WRITE, 0, 0, 0, 0, 0, NO_FAULT,
				P | W | A | D},
		{"not present", 0, P | W | U, MMU_READ, 0, 0, 0, 0, 0, 0, 0},
		{"not present, user write", W | U, P | W | U, MMU_WRITE, 3, 0, 0, 0, 0, PF_W | PF_U,
				W | U},
		{"user on kernel page", P | W, P | W | U, MMU_READ, 3, 0, 0, 0, 0, PF_P | PF_U,
				P | W},
		{"user through kernel directory", P | W | U, P | W, MMU_READ, 3, 0, 0, 0, 0,
				PF_P | PF_U, P | W | U},
		{"user write to read-only", P | U, P | W | U, MMU_WRITE, 3, 0, 0, 0, 0,
				PF_P | PF_U | PF_W, P | U},
		{"user write, read-only directory", P | W | U, P | U, MMU_WRITE, 3, 0, 0, 0, 0,
				PF_P | PF_U | PF_W, P | W | U},
		{"kernel write to read-only, WP", P, P | W | U, MMU_WRITE, 0, 0, 0, 0, 0,
				PF_P | PF_W, P},
		{"kernel write to read-only, no WP", P, P | W | U, MMU_WRITE, 0, X86_CR0_WP, 0, 0,
				0, NO_FAULT, P | A | D},
		{"fetch", P, P | W | U, MMU_FETCH, 0, 0, 0, 0, 0, NO_FAULT, P | A},
		{"fetch from NX", P | NX, P | W | U, MMU_FETCH, 0, 0, 0, 0, 0, PF_P | PF_I, P | NX},
		{"fetch through NX directory", P | U, P | W | U | NX, MMU_FETCH, 3, 0, 0, 0, 0,
				PF_P | PF_U | PF_I, P | U},
		{"read from NX", P | NX, P | W | U, MMU_READ, 0, 0, 0, 0, 0, NO_FAULT, P | NX | A},
		{"NX without NXE is reserved", P | NX, P | W | U, MMU_READ, 0, 0, 0, X86_EFER_NXE,
				0, PF_P | PF_R, P | NX},
		{"fetch code bit needs NXE or SMEP", 0, P | W | U, MMU_FETCH, 0, 0, 0, X86_EFER_NXE,
				0, 0, 0},
		{"address beyond the processor's", P | BIT(WALK_PHYSICAL_BITS), P | W | U, MMU_READ,
				0, 0, 0, 0, 0, PF_P | PF_R, P | BIT(WALK_PHYSICAL_BITS)},
		{"SMEP: kernel fetch of user page", P | U, P | W | U, MMU_FETCH, 0, 0, X86_CR4_SMEP,
				0, 0, PF_P | PF_I, P | U},
		{"SMEP: user fetch of user page", P | U, P | W | U, MMU_FETCH, 3, 0, X86_CR4_SMEP,
				0, 0, NO_FAULT, P | U | A},
		{"SMAP: kernel read of user page", P | U, P | W | U, MMU_READ, 0, 0, X86_CR4_SMAP,
				0, 0, PF_P, P | U},
		{"SMAP with AC", P | U, P | W | U, MMU_READ, 0, 0, X86_CR4_SMAP, 0, X86_FLAG_AC,
				NO_FAULT, P | U | A},
		{"SMAP: kernel page", P, P | W | U, MMU_READ, 0, 0, X86_CR4_SMAP, 0, 0, NO_FAULT,
				P | A},
		{"kernel read of user page", P | U, P | W | U, MMU_READ, 0, 0, 0, 0, 0, NO_FAULT,
				P | U | A},
};

static void test_walks(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		fixture_enter_long_mode(f, cases[i].cpl);
		fixture_put64(f, PTE, PAGE | cases[i].pte);
		fixture_put64(f, FIXTURE_PD, FIXTURE_PAGE_TABLE | cases[i].pde);
		cpu_set_cr0(cpu, cpu->cr0 & ~cases[i].cr0_clear);
		cpu_set_cr4(cpu, cpu->cr4 | cases[i].cr4_set);
		cpu_set_efer(cpu, cpu->efer & ~cases[i].efer_clear);
		cpu_set_rflags(cpu, cases[i].rflags);
		mmu_flush_all(cpu);
		int error = access_page(cpu, PAGE + 5, cases[i].access);
		if (error != cases[i].expect ||
				(fixture_get64(f, PTE) & ~(PAGE)) != cases[i].expect_pte) {
			fail_msg("%s: error %d, expected %d; entry 0x%" PRIx64, cases[i].name,
					error, cases[i].expect, fixture_get64(f, PTE));
		}
		if (error != NO_FAULT) {
			assert_int_equal(cpu->cr2, PAGE + 5);
		} else {
			assert_true(fixture_get64(f, FIXTURE_PD) & A);
			/* And again through the TLB. */
			assert_int_equal(access_page(cpu, PAGE + 5, cases[i].access), NO_FAULT);
		}
	}
}

/* A read fills the TLB; the first write still has to set the dirty bit. */
static void test_dirty_after_read(void **state)
{
	struct fixture *f = *state;

	fixture_enter_long_mode(f, 0);
	assert_int_equal(access_page(f->cpu, PAGE, MMU_READ), NO_FAULT);
	assert_false(fixture_get64(f, PTE) & D);
	assert_int_equal(access_page(f->cpu, PAGE, MMU_WRITE), NO_FAULT);
	assert_true(fixture_get64(f, PTE) & D);
	assert_int_equal(f->cpu->tlb->write[tlb_index(PAGE)].tag, PAGE);
}

static void test_large_pages(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 0);
	fixture_put64(f, 0x212345, 0x77);
	fixture_put64(f, FIXTURE_PD + 8, 0x200000 | P | W | PS);
	assert_int_equal(mmu_load8(cpu, 0x212345), 0x77);
	assert_int_equal(fixture_get64(f, FIXTURE_PD + 8), 0x200000 | P | W | PS | A);
	/* INVLPG anywhere in it drops all of it. */
	fixture_put64(f, FIXTURE_PD + 8, 0);
	assert_int_equal(mmu_load8(cpu, 0x212345), 0x77);
	mmu_flush_page(cpu, 0x3ff000);
	assert_int_equal(access_page(cpu, 0x212345, MMU_READ), 0);
	/* Address bits below the page's size are reserved. */
	fixture_put64(f, FIXTURE_PD + 8, 0x202000 | P | W | PS);
	assert_int_equal(access_page(cpu, 0x212345, MMU_READ), PF_P | PF_R);
	/* 1 GiB, mapping physical 0 at 1 GiB. */
	fixture_put64(f, FIXTURE_PDPT + 8, P | W | PS);
	assert_int_equal(mmu_load8(cpu, GiB + 0x212345), 0x77);
	fixture_put64(f, FIXTURE_PDPT + 8, BIT(29) | P | W | PS);
	mmu_flush_all(cpu);
	assert_int_equal(access_page(cpu, GiB, MMU_READ), PF_P | PF_R);
	/* There are no larger ones. */
	fixture_put64(f, FIXTURE_PML4 + 8, P | W | PS);
	assert_int_equal(access_page(cpu, UINT64_C(1) << 39, MMU_READ), PF_P | PF_R);
}

static void test_two_levels(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_protected_mode(f, 0);
	fixture_put32(f, 0x1000, 0x2000 | P | W | U);
	fixture_put32(f, 0x2000 + 4 * 0x10, 0x30000 | P | W);
	fixture_put32(f, 0x1004, 0x0 | P | W | PS); /* 4 MiB at 4 MiB, or a table at 0 */
	fixture_put64(f, 0x30008, 0x55);
	cpu_set_cr3(cpu, 0x1000);
	cpu_set_cr4(cpu, X86_CR4_PSE);
	cpu_set_cr0(cpu, X86_CR0_PE | X86_CR0_PG | X86_CR0_WP);
	assert_int_equal(mmu_load8(cpu, 0x10008), 0x55);
	assert_int_equal(fixture_get32(f, 0x2000 + 4 * 0x10), 0x30000 | P | W | A);
	assert_int_equal(mmu_load8(cpu, 0x400000 + 0x30008), 0x55);
	/* PSE-36 reaches beyond 4 GiB, where there is nothing; bit 21 stays reserved. */
	fixture_put32(f, 0x1004, (1u << 13) | P | W | PS);
	mmu_flush_all(cpu);
	assert_int_equal(mmu_load8(cpu, 0x430008), 0xff);
	fixture_put32(f, 0x1004, (1u << 21) | P | W | PS);
	assert_int_equal(access_page(cpu, 0x430008, MMU_READ), PF_P | PF_R);
	/* Without PSE the bit means nothing. */
	fixture_put32(f, 0x1004, 0x2000 | P | W | PS);
	cpu_set_cr4(cpu, 0);
	assert_int_equal(mmu_load8(cpu, 0x410008), 0x55);
	assert_int_equal(access_page(cpu, 0x20000, MMU_FETCH), 0); /* no NX, no SMEP: no I bit */
}

static void test_pae(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_protected_mode(f, 3);
	fixture_put64(f, 0x1020, 0x2000 | P);
	fixture_put64(f, 0x2000, 0x3000 | P | W | U);
	fixture_put64(f, 0x3000 + 8 * 0x10, 0x30000 | P | W | U);
	fixture_put64(f, 0x30008, 0x55);
	cpu_set_cr3(cpu, 0x1020);
	cpu_set_cr4(cpu, X86_CR4_PAE);
	cpu_set_cr0(cpu, X86_CR0_PE | X86_CR0_PG | X86_CR0_WP);
	assert_int_equal(mmu_load8(cpu, 0x10008), 0x55);
	assert_int_equal(fixture_get64(f, 0x1020), 0x2000 | P); /* no accessed bit there */
	/* Bits that long mode ignores are reserved here. */
	fixture_put64(f, 0x3000 + 8 * 0x10, 0x30000 | P | W | U | BIT(52));
	mmu_flush_all(cpu);
	assert_int_equal(access_page(cpu, 0x10008, MMU_READ), PF_P | PF_R | PF_U);
	fixture_put64(f, 0x1020, 0x2000 | P | W);
	assert_int_equal(access_page(cpu, 0x10008, MMU_READ), PF_P | PF_R | PF_U);
	assert_int_equal(access_page(cpu, 0x40000000, MMU_READ), PF_U);
}

static void test_page_crossing(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	const uint64_t edge = PAGE + GUEST_PAGE_SIZE - 3;
	uint8_t buf[16] = {0};

	fixture_enter_long_mode(f, 0);
	/* The second page is elsewhere in physical memory. */
	fixture_put64(f, PTE + 8, 0x50000 | P | W);
	mmu_store64(cpu, edge, UINT64_C(0x8877665544332211));
	assert_int_equal(mmu_load64(cpu, edge), UINT64_C(0x8877665544332211));
	assert_int_equal(f->ram[edge + 2], 0x33);
	assert_int_equal(f->ram[0x50000], 0x44);
	assert_int_equal(f->ram[0x50004], 0x88);
	mmu_load_bytes(cpu, edge, buf, 8);
	assert_int_equal(buf[7], 0x88);
	/* A store that faults on its second page writes nothing, and names that page. */
	fixture_put64(f, PTE + 8, 0x50000 | P);
	mmu_flush_all(cpu);
	assert_int_equal(FAULT_OF(cpu, mmu_store64(cpu, edge, 0)), X86_VECTOR_PF);
	assert_int_equal(cpu->cr2, PAGE + GUEST_PAGE_SIZE);
	assert_int_equal(cpu->fault.error, PF_P | PF_W);
	assert_int_equal(f->ram[edge], 0x11);
	assert_int_equal(FAULT_OF(cpu, mmu_store_bytes(cpu, edge, buf, 16)), X86_VECTOR_PF);
	assert_int_equal(f->ram[edge], 0x11);
	assert_int_equal(FAULT_OF(cpu, (void)mmu_host_write(cpu, edge, 8)), X86_VECTOR_PF);
	assert_int_equal(FAULT_OF(cpu, mmu_probe_write(cpu, edge, 8)), X86_VECTOR_PF);
	assert_null(mmu_host_read(cpu, edge, 8));
	assert_int_equal(mmu_load64(cpu, edge), UINT64_C(0x8877665544332211));
}

static void test_flushes(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 0);
	cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_PGE);
	fixture_put64(f, PTE, PAGE | P | W | G);
	(void)mmu_load8(cpu, PAGE);
	(void)mmu_load8(cpu, PAGE + 0x1000);
	fixture_put64(f, PTE, 0);
	fixture_put64(f, PTE + 8, 0);
	/* A load of CR3 spares global pages, INVLPG and changes of CR4.PGE do not. */
	cpu_set_cr3(cpu, cpu->cr3);
	assert_int_equal(access_page(cpu, PAGE, MMU_READ), NO_FAULT);
	assert_int_equal(access_page(cpu, PAGE + 0x1000, MMU_READ), 0);
	mmu_flush_page(cpu, PAGE + 5);
	assert_int_equal(access_page(cpu, PAGE, MMU_READ), 0);
	fixture_put64(f, PTE, PAGE | P | W | G);
	(void)mmu_load8(cpu, PAGE);
	fixture_put64(f, PTE, 0);
	cpu_set_cr4(cpu, cpu->cr4 & ~(uint64_t)X86_CR4_PGE);
	assert_int_equal(access_page(cpu, PAGE, MMU_READ), 0);
}

/* True if what was known of code, the user's or the supervisor's, is to be looked up anew since the last call. */
static bool fetches_forgotten(const struct cpu *cpu, bool user)
{
	static uint64_t seen[2];
	bool forgotten = cpu->fetch_epoch[user] != seen[user];

	seen[user] = cpu->fetch_epoch[user];
	return forgotten;
}

/* What was known of code stays as long as no page of it can have changed. */
static void test_flushes_of_code(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	const uint64_t data = PAGE + 0x1000, user = PAGE + 0x2000;

	fixture_enter_long_mode(f, 0);
	cpu_set_cr4(cpu, cpu->cr4 | X86_CR4_PGE);
	fixture_put64(f, PTE, PAGE | P | G);
	fixture_put64(f, PTE + 8, data | P | W);
	fixture_put64(f, PTE + 16, user | P | U | G);
	assert_int_equal(access_page(cpu, PAGE, MMU_FETCH), NO_FAULT);
	assert_int_equal(access_page(cpu, data, MMU_READ), NO_FAULT);
	cpu->cpl = 3;
	assert_int_equal(access_page(cpu, user, MMU_FETCH), NO_FAULT);
	cpu->cpl = 0;
	(void)fetches_forgotten(cpu, false);
	(void)fetches_forgotten(cpu, true);

	mmu_flush_page(cpu, data);
	assert_false(fetches_forgotten(cpu, false) || fetches_forgotten(cpu, true));
	mmu_flush_page(cpu, user + 8);
	assert_false(fetches_forgotten(cpu, false));
	assert_true(fetches_forgotten(cpu, true));
	cpu_set_cr3(cpu, cpu->cr3);
	assert_false(fetches_forgotten(cpu, false));
	assert_true(fetches_forgotten(cpu, true));
	mmu_flush_page(cpu, PAGE);
	assert_true(fetches_forgotten(cpu, false));
	assert_false(fetches_forgotten(cpu, true));

	/* A page that is not global goes with CR3, once. */
	assert_int_equal(access_page(cpu, data, MMU_FETCH), NO_FAULT);
	cpu_set_cr3(cpu, cpu->cr3);
	assert_true(fetches_forgotten(cpu, false));
	cpu_set_cr3(cpu, cpu->cr3);
	assert_false(fetches_forgotten(cpu, false));
	/* The user's are fetched anew after it, though global, and known again. */
	(void)fetches_forgotten(cpu, true);
	cpu->cpl = 3;
	assert_int_equal(access_page(cpu, user, MMU_FETCH), NO_FAULT);
	cpu->cpl = 0;
	mmu_flush_page(cpu, user);
	assert_true(fetches_forgotten(cpu, true));
}

/* More fills than the log holds: nothing may survive. */
static void test_flush_after_overflow(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 0);
	for (unsigned round = 0; round < 12; round++) {
		for (uint64_t page = 0; page < 512; page++) {
			(void)mmu_load8(cpu, page * GUEST_PAGE_SIZE);
			mmu_store8(cpu, 0x100000, 0);
			cpu->tlb->read[tlb_index(page * GUEST_PAGE_SIZE)].tag = TLB_INVALID(
					tlb_index(page * GUEST_PAGE_SIZE));
		}
	}
	(void)mmu_load8(cpu, PAGE);
	mmu_flush_non_global(cpu);
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		assert_true(TLB_IS_INVALID(cpu->tlb->read[i].tag));
		assert_true(TLB_IS_INVALID(cpu->tlb->write[i].tag));
	}
}

static void test_code_pages(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 0);
	mmu_store8(cpu, PAGE, 1);
	assert_int_equal(cpu->tlb->write[tlb_index(PAGE)].tag, PAGE);
	/* The page gets code: no write goes past the MMU from now on. */
	fixture_code_page = PAGE;
	mmu_drop_writes(cpu);
	assert_true(TLB_IS_INVALID(cpu->tlb->write[tlb_index(PAGE)].tag));
	mmu_store8(cpu, PAGE, 2);
	mmu_store8(cpu, PAGE, 3);
	assert_int_equal(fixture_code_writes, 2);
	assert_int_equal(f->ram[PAGE], 3);
	assert_null(mmu_host_write(cpu, PAGE, 1));
	assert_int_equal(mmu_load8(cpu, PAGE), 3);
	assert_int_equal(cpu->tlb->read[tlb_index(PAGE)].tag, PAGE);
}

static uint64_t seen_offset, seen_value;
static unsigned seen_accesses;

static uint64_t device_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)size;
	seen_accesses++;
	return offset;
}

static void device_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	(void)region;
	(void)size;
	seen_accesses++;
	seen_offset = offset;
	seen_value = value;
}

static void test_devices(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct io_region region = {.name = "device",
			.size = 0x1000,
			.read = device_read,
			.write = device_write};

	address_space_add(f->space, 0x800000, &region);
	fixture_enter_long_mode(f, 0);
	fixture_put64(f, PTE, 0x800000 | P | W);
	assert_int_equal(mmu_load32(cpu, PAGE + 0x20), 0x20);
	mmu_store32(cpu, PAGE + 0x30, 0x1234);
	assert_int_equal(seen_offset, 0x30);
	assert_int_equal(seen_value, 0x1234);
	assert_int_equal(seen_accesses, 2);
	assert_null(mmu_host_read(cpu, PAGE, 4));
	assert_null(mmu_host_write(cpu, PAGE, 4));
	/* A store that faults beyond the device does not reach it. */
	fixture_put64(f, PTE + 8, 0);
	seen_accesses = 0;
	assert_int_equal(FAULT_OF(cpu, mmu_store32(cpu, PAGE + 0xffe, 0)), X86_VECTOR_PF);
	assert_int_equal(seen_accesses, 0);
	/* Nothing there at all. */
	fixture_put64(f, PTE + 8, 0x900000 | P | W);
	assert_int_equal(mmu_load64(cpu, PAGE + 0x1000), UINT64_MAX);
	address_space_remove(&region);
}

static void test_rom(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	g_autoptr(GError) error = NULL;
	int fd = memfd_create_sized("rom", GUEST_PAGE_SIZE, &error);

	assert_true(address_space_add_ram(
			f->space, 0x800000, GUEST_PAGE_SIZE, fd, 0, GUEST_REGION_ROM, &error));
	fd_close(&fd);
	fixture_enter_long_mode(f, 0);
	fixture_put64(f, PTE, 0x800000 | P | W);
	mmu_store32(cpu, PAGE, 0x1234);
	assert_int_equal(mmu_load32(cpu, PAGE), 0);
	assert_null(mmu_host_write(cpu, PAGE, 4));
	assert_non_null(mmu_host_read(cpu, PAGE, 4));
	address_space_remove_ram(f->space, 0x800000);
}

static void test_alignment_check(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 3);
	cpu_set_cr0(cpu, cpu->cr0 | X86_CR0_AM);
	assert_int_equal(FAULT_OF(cpu, (void)mmu_load32(cpu, PAGE + 2)), -1);
	cpu_set_rflags(cpu, X86_FLAG_AC);
	assert_int_equal(FAULT_OF(cpu, (void)mmu_load32(cpu, PAGE + 2)), X86_VECTOR_AC);
	assert_int_equal(FAULT_OF(cpu, (void)mmu_load16(cpu, PAGE + 2)), -1);
	assert_int_equal(FAULT_OF(cpu, (void)mmu_load16(cpu, PAGE + 2)), -1);
	assert_int_equal(FAULT_OF(cpu, mmu_store64(cpu, PAGE + 4, 0)), X86_VECTOR_AC);
	assert_int_equal(FAULT_OF(cpu, (void)mmu_host_write(cpu, PAGE + 4, 8)), X86_VECTOR_AC);
}

static void test_debug_translation(void **state)
{
	struct fixture *f = *state;
	uint64_t physical;

	fixture_enter_long_mode(f, 3);
	fixture_put64(f, PTE, 0x30000 | P);
	assert_true(mmu_translate_debug(f->cpu, PAGE + 7, &physical));
	assert_int_equal(physical, 0x30007);
	assert_int_equal(fixture_get64(f, PTE), 0x30000 | P);
	assert_false(mmu_translate_debug(f->cpu, GiB, &physical));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_walks, setup, teardown),
			cmocka_unit_test_setup_teardown(test_dirty_after_read, setup, teardown),
			cmocka_unit_test_setup_teardown(test_large_pages, setup, teardown),
			cmocka_unit_test_setup_teardown(test_two_levels, setup, teardown),
			cmocka_unit_test_setup_teardown(test_pae, setup, teardown),
			cmocka_unit_test_setup_teardown(test_page_crossing, setup, teardown),
			cmocka_unit_test_setup_teardown(test_flushes, setup, teardown),
			cmocka_unit_test_setup_teardown(test_flushes_of_code, setup, teardown),
			cmocka_unit_test_setup_teardown(test_flush_after_overflow, setup, teardown),
			cmocka_unit_test_setup_teardown(test_code_pages, setup, teardown),
			cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
			cmocka_unit_test_setup_teardown(test_rom, setup, teardown),
			cmocka_unit_test_setup_teardown(test_alignment_check, setup, teardown),
			cmocka_unit_test_setup_teardown(test_debug_translation, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
