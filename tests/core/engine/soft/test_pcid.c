/* SPDX-License-Identifier: MIT */
/* Address spaces that stay in the TLB while others run: which entries a guest may count on to be gone, and which are kept. */
#include "core/engine/soft/exec.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/view.h"
#include "tests/core/engine/soft/fixture.h"

#define GP X86_VECTOR_GP
#define NOTHING (-1)

#define P BIT(0)
#define W BIT(1)
#define U BIT(2)
#define G BIT(8)

/* Pages under test, in the tables of all PCIDs. */
#define LOCAL UINT64_C(0x10000)
#define GLOBAL UINT64_C(0x11000)
#define PTE(page) (FIXTURE_PAGE_TABLE + 8 * ((page) >> 12))

#define DESCRIPTOR UINT64_C(0x20000) /* INVPCID's operand */

#define KEEP X86_CR3_KEEP

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

static void enter(struct fixture *f)
{
	fixture_enter_long_mode(f, 0);
	cpu_set_cr4(f->cpu, f->cpu->cr4 | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMAP);
}

/* How a page is reached: each way has entries of its own. */
enum way {
	WAY_USER_READ,
	WAY_USER_WRITE,
	WAY_USER_FETCH,
	WAY_SUPERVISOR_READ, /* with EFLAGS.AC */
	WAY_SUPERVISOR_WRITE,
	WAY_COUNT,
};

static const char *const way_names[] = {"user reads", "user writes", "user fetches",
		"supervisor reads", "supervisor writes"};

static void become(struct cpu *cpu, bool user)
{
	cpu->cpl = user ? 3 : 0;
	cpu->rflags = X86_FLAG_FIXED | (user ? 0 : X86_FLAG_AC);
	cpu_update_mode(cpu);
}

/* Whether the page can be reached. */
static G_NO_INLINE bool reach(struct cpu *cpu, uint64_t page, enum way way)
{
	const uint8_t *host;
	int vector;

	become(cpu, way < WAY_SUPERVISOR_READ);
	if (way == WAY_USER_FETCH) {
		vector = FAULT_OF(cpu, (void)mmu_translate_fetch(cpu, page, &host));
	} else if (way == WAY_USER_READ || way == WAY_SUPERVISOR_READ) {
		vector = FAULT_OF(cpu, (void)mmu_load8(cpu, page));
	} else {
		vector = FAULT_OF(cpu, mmu_store8(cpu, page, 1));
	}
	assert_true(vector == NOTHING || vector == X86_VECTOR_PF);
	become(cpu, false);
	return vector == NOTHING;
}

static G_NO_INLINE int move_to_cr(struct cpu *cpu, unsigned reg, uint64_t value)
{
	const struct insn insn = {.reg = (uint8_t)reg, .rm = X86_RCX};

	cpu->regs[X86_RCX] = value;
	return FAULT_OF(cpu, exec_mov_to_cr(cpu, &insn));
}

static void load_cr3(struct cpu *cpu, uint64_t low)
{
	assert_int_equal(move_to_cr(cpu, 3, FIXTURE_PML4 | low), NOTHING);
	assert_int_equal(cpu->cr3, FIXTURE_PML4 | (low & ~KEEP));
	assert_ptr_equal(cpu->tlb, &cpu[cpu->slot].tlbs[cpu->tlb_set]);
}

static G_NO_INLINE int invpcid(struct fixture *f, uint64_t type, uint64_t pcid, uint64_t linear)
{
	const struct insn insn = {.reg = X86_RCX,
			.base = X86_RDX,
			.index = INSN_REG_NONE,
			.is_memory = true,
			.address_size = 8,
			.segment = X86_DS};

	f->cpu->regs[X86_RCX] = type;
	f->cpu->regs[X86_RDX] = DESCRIPTOR;
	fixture_put64(f, DESCRIPTOR, pcid);
	fixture_put64(f, DESCRIPTOR + 8, linear);
	return FAULT_OF(f->cpu, exec_invpcid(f->cpu, &insn));
}

enum operation {
	LOAD_CR3, /* value: its low bits and bit 63 */
	SET_CR4, /* value: what is cleared */
	INVLPG, /* value: where */
	INVPCID_0,
	INVPCID_1,
	INVPCID_2,
	INVPCID_3, /* value: PCID; of the page LOCAL */
	FLUSH, /* as other parts of the engine do */
};

/* PCID 1 reached both pages, then PCID 2 did, and is the current one; then the tables are empty. */
static const struct {
	const char *name;
	enum operation operation;
	uint64_t value;
	/* Known afterwards: of PCID 1 the local page and the global one, of PCID 2. */
	enum {
		GONE,
		KEPT,
		MAY_BE, /* a flush may take more than it must */
	} local_1,
			global_1, local_2, global_2;
} cases[] = {
		{"the same, kept", LOAD_CR3, 2 | KEEP, KEPT, KEPT, KEPT, KEPT},
		{"the same", LOAD_CR3, 2, KEPT, KEPT, GONE, KEPT},
		{"another, kept", LOAD_CR3, 1 | KEEP, KEPT, KEPT, KEPT, KEPT},
		{"another", LOAD_CR3, 1, GONE, KEPT, KEPT, KEPT},
		{"a new one, kept", LOAD_CR3, 3 | KEEP, KEPT, KEPT, KEPT, KEPT},
		{"a new one", LOAD_CR3, 3, KEPT, KEPT, KEPT, KEPT},
		{"INVLPG", INVLPG, LOCAL + 5, MAY_BE, KEPT, GONE, KEPT},
		{"INVLPG, global", INVLPG, GLOBAL + 5, KEPT, GONE, KEPT, GONE},
		{"INVPCID 0", INVPCID_0, 2, KEPT, KEPT, GONE, KEPT},
		{"INVPCID 0 of another", INVPCID_0, 1, GONE, KEPT, KEPT, KEPT},
		{"INVPCID 0 of an unknown", INVPCID_0, 77, KEPT, KEPT, KEPT, KEPT},
		{"INVPCID 1", INVPCID_1, 2, KEPT, KEPT, GONE, KEPT},
		{"INVPCID 1 of another", INVPCID_1, 1, GONE, KEPT, KEPT, KEPT},
		{"INVPCID 1 of an unknown", INVPCID_1, 77, KEPT, KEPT, KEPT, KEPT},
		{"INVPCID 2", INVPCID_2, 0, GONE, GONE, GONE, GONE},
		{"INVPCID 3", INVPCID_3, 0, GONE, KEPT, GONE, KEPT},
		{"CR4.PGE cleared", SET_CR4, X86_CR4_PGE, GONE, GONE, GONE, GONE},
		{"a flush of everything", FLUSH, 0, GONE, GONE, GONE, GONE},
};

static void operate(struct fixture *f, enum operation operation, uint64_t value)
{
	struct cpu *cpu = f->cpu;

	switch (operation) {
	case LOAD_CR3:
		load_cr3(cpu, value);
		break;
	case SET_CR4:
		assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 & ~value), NOTHING);
		break;
	case INVLPG:
		mmu_flush_page(cpu, value);
		break;
	case INVPCID_0:
	case INVPCID_1:
	case INVPCID_2:
	case INVPCID_3:
		assert_int_equal(invpcid(f, operation - INVPCID_0, value, LOCAL), NOTHING);
		break;
	case FLUSH:
		mmu_flush_all(cpu);
		break;
	}
}

static void fill_and_forget(struct fixture *f, enum way way)
{
	enter(f);
	fixture_put64(f, PTE(LOCAL), LOCAL | P | W | U);
	fixture_put64(f, PTE(GLOBAL), GLOBAL | P | W | U | G);
	for (uint64_t pcid = 1; pcid <= 2; pcid++) {
		load_cr3(f->cpu, pcid);
		assert_true(reach(f->cpu, LOCAL, way) && reach(f->cpu, GLOBAL, way));
	}
	fixture_put64(f, PTE(LOCAL), 0);
	fixture_put64(f, PTE(GLOBAL), 0);
}

static void check_case(struct fixture *f, size_t i, enum way way)
{
	struct cpu *cpu = f->cpu;
	unsigned expect[4] = {
			cases[i].local_1, cases[i].global_1, cases[i].local_2, cases[i].global_2};

	for (unsigned k = 0; k < 4; k++) {
		bool global = k % 2;
		if (expect[k] == MAY_BE || (global && way == WAY_USER_FETCH && expect[k] == KEPT)) {
			continue; /* what users fetch is not kept where other pages are not */
		}
		load_cr3(cpu, (1 + k / 2) | KEEP);
		if (reach(cpu, global ? GLOBAL : LOCAL, way) != expect[k]) {
			fail_msg("%s: %s, %s page of PCID %u: not %u", cases[i].name,
					way_names[way], global ? "global" : "local", 1 + k / 2,
					expect[k]);
		}
	}
}

static void test_what_is_kept(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		for (enum way way = 0; way < WAY_COUNT; way++) {
			fill_and_forget(f, way);
			operate(f, cases[i].operation, cases[i].value);
			check_case(f, i, way);
		}
	}
}

/* INVLPG leaves other address spaces alone, but for global pages near there, in that half of what can be addressed. */
static void test_page_of_one(void **state)
{
	struct fixture *f = *state;

	enter(f);
	for (uint64_t pcid = 1; pcid <= 2; pcid++) {
		load_cr3(f->cpu, pcid | KEEP);
		assert_true(reach(f->cpu, LOCAL, WAY_USER_READ));
	}
	fixture_put64(f, PTE(LOCAL), 0);
	mmu_flush_page(f->cpu, LOCAL);
	assert_false(reach(f->cpu, LOCAL, WAY_USER_READ));
	load_cr3(f->cpu, 1 | KEEP);
	assert_true(reach(f->cpu, LOCAL, WAY_USER_READ));
}

/* Where the host has no memory for more slots everything is forgotten, but what CR3's bit 63 asks for with the same PCID. */
static void test_one_slot(void **state)
{
	struct fixture *f = *state;

	f->cpu->slot_count = 1;
	for (enum way way = 0; way < WAY_COUNT; way++) {
		fill_and_forget(f, way);
		load_cr3(f->cpu, 2 | KEEP);
		assert_true(reach(f->cpu, LOCAL, way));
		load_cr3(f->cpu, 1 | KEEP);
		assert_false(reach(f->cpu, LOCAL, way));
		load_cr3(f->cpu, 2 | KEEP);
		assert_false(reach(f->cpu, LOCAL, way));
	}
	f->cpu->slot_count = TLB_SLOTS;
}

/* The supervisor's set is there once: other PCIDs know nothing of what is not global. */
static void test_supervisors_set(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	enter(f);
	f->ram[0x30000] = 3;
	f->ram[0x40000] = 4;
	for (unsigned global = 0; global < 2; global++) {
		uint64_t flags = P | W | (global ? G : 0);
		fixture_put64(f, PTE(LOCAL), 0x30000 | flags);
		load_cr3(cpu, 1);
		cpu->rflags = X86_FLAG_FIXED;
		cpu_update_mode(cpu);
		assert_int_equal(cpu->tlb_set, TLB_SUPERVISOR);
		assert_int_equal(mmu_load8(cpu, LOCAL), 3);
		fixture_put64(f, PTE(LOCAL), 0x40000 | flags);
		load_cr3(cpu, 1 | KEEP);
		assert_int_equal(mmu_load8(cpu, LOCAL), 3);
		load_cr3(cpu, 2 | KEEP);
		assert_int_equal(mmu_load8(cpu, LOCAL), global ? 3 : 4);
	}
}

/* More PCIDs than slots: that which was left longest ago is forgotten, and its successor knows nothing of it. */
static void test_slots_reused(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	for (enum way way = 0; way < WAY_COUNT; way++) {
		enter(f);
		fixture_put64(f, PTE(LOCAL), LOCAL | P | W | U);
		for (uint64_t pcid = 1; pcid <= TLB_SLOTS; pcid++) {
			load_cr3(cpu, pcid | KEEP);
			assert_true(reach(cpu, LOCAL, way));
		}
		load_cr3(cpu, 1 | KEEP);
		fixture_put64(f, PTE(LOCAL), 0);
		load_cr3(cpu, 0xfff | KEEP);
		assert_false(reach(cpu, LOCAL, way));
		for (uint64_t pcid = 1; pcid <= TLB_SLOTS; pcid++) {
			if (pcid != 2) {
				load_cr3(cpu, pcid | KEEP);
				assert_true(reach(cpu, LOCAL, way));
			}
		}
		load_cr3(cpu, 2 | KEEP);
		assert_false(reach(cpu, LOCAL, way));
	}
}

static unsigned count_writes(struct cpu *cpu, unsigned *ret_reads)
{
	unsigned writes = 0;

	*ret_reads = 0;
	for (unsigned slot = 0; slot < TLB_SLOTS; slot++) {
		for (unsigned set = 0; set < TLB_SET_COUNT; set++) {
			const struct tlb *tlb = &cpu[slot].tlbs[set];
			bool shared = set == TLB_SUPERVISOR || set == TLB_ALIGNED;
			for (unsigned i = 0; i < TLB_ENTRIES && !(shared && slot > 0); i++) {
				bool seen = cpu->slots[slot].pcid != TLB_NO_PCID || slot == 0;
				writes += seen && !TLB_IS_INVALID(tlb->write[i].tag);
				*ret_reads += seen && !TLB_IS_INVALID(tlb->read[i].tag);
			}
		}
	}
	return writes;
}

/* A page gets code: no store may go past the MMU, in no address space, however often it is asked for. */
static void test_writes_dropped(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	unsigned reads;

	enter(f);
	mmu_flush_all(cpu);
	for (unsigned round = 0; round < 4; round++) {
		/* In the last one the logs are too short. */
		unsigned times = round == 3 ? TLB_LOG_LENGTH + 1 : 1;
		for (uint64_t pcid = 1; pcid <= 3; pcid++) {
			load_cr3(cpu, pcid | KEEP);
			for (unsigned i = 0; i < times; i++) {
				struct tlb *tlb = cpu_tlb(cpu, TLB_USER);
				tlb->write[tlb_index(LOCAL)].tag = TLB_INVALID(tlb_index(LOCAL));
				assert_true(reach(cpu, LOCAL, WAY_USER_WRITE));
			}
			assert_true(reach(cpu, GLOBAL, WAY_SUPERVISOR_WRITE));
			cpu->rflags = X86_FLAG_FIXED;
			cpu_update_mode(cpu);
			fixture_put64(f, PTE(LOCAL + 0x5000), (LOCAL + 0x5000) | P | W | G);
			mmu_store8(cpu, LOCAL + 0x5000, 1);
		}
		assert_int_equal(count_writes(cpu, &reads), 7);
		mmu_drop_writes(cpu);
		assert_int_equal(count_writes(cpu, &reads), 0);
		assert_int_equal(reads, 7);
		if (round == 1) {
			mmu_flush_all(cpu);
		}
	}
	fixture_code_page = LOCAL;
	for (uint64_t pcid = 1; pcid <= 3; pcid++) {
		load_cr3(cpu, pcid | KEEP);
		assert_true(reach(cpu, LOCAL, WAY_USER_WRITE));
		assert_int_equal(fixture_code_writes, pcid);
	}
}

/* Targets of jumps hold for as long as the number of their slot: it comes back with the slot, and never for another reason. */
static void test_fetch_epochs(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	uint64_t epochs[3], supervisors;

	enter(f);
	supervisors = cpu->fetch_epoch[0];
	for (uint64_t pcid = 1; pcid <= 2; pcid++) {
		load_cr3(cpu, pcid);
		assert_true(reach(cpu, LOCAL, WAY_USER_FETCH));
		epochs[pcid] = cpu->fetch_epoch[1];
		cpu->jumps_epoch[1] = cpu->fetch_epoch[1];
	}
	assert_int_not_equal(epochs[1], epochs[2]);
	load_cr3(cpu, 1 | KEEP);
	assert_int_equal(cpu->fetch_epoch[1], epochs[1]);
	assert_int_equal(cpu->jumps_epoch[1], epochs[1]);
	assert_int_equal(invpcid(f, 0, 2, LOCAL), NOTHING);
	assert_int_equal(cpu->fetch_epoch[1], epochs[1]);
	load_cr3(cpu, 2 | KEEP);
	assert_true(cpu->fetch_epoch[1] > epochs[2]);
	assert_int_equal(cpu->jumps_epoch[1], epochs[2]);
	assert_int_equal(cpu->fetch_epoch[0], supervisors);
}

/* By its reserved values. */
static const struct {
	const char *name;
	uint64_t type, pcid, linear;
	bool pcide;
	unsigned cpl;
	int vector;
} invpcids[] = {
		{"a page", 0, 5, LOCAL, true, 0, NOTHING},
		{"type", 4, 0, LOCAL, true, 0, GP},
		{"type, upper half", BIT(32), 0, LOCAL, true, 0, GP},
		{"PCID of 13 bits", 2, BIT(12), 0, true, 0, GP},
		{"upper bits", 3, BIT(63), 0, true, 0, GP},
		{"not canonical", 0, 0, BIT(47), true, 0, GP},
		{"not canonical, no matter", 1, 0, BIT(47), true, 0, NOTHING},
		{"PCID without PCIDE", 0, 1, LOCAL, false, 0, GP},
		{"PCID without PCIDE", 1, 1, LOCAL, false, 0, GP},
		{"PCID 0 without PCIDE", 1, 0, LOCAL, false, 0, NOTHING},
		{"PCID without PCIDE, no matter", 2, 1, LOCAL, false, 0, NOTHING},
		{"the user's", 2, 0, 0, true, 3, GP},
};

static void test_invpcid_faults(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < G_N_ELEMENTS(invpcids); i++) {
		enter(f);
		if (!invpcids[i].pcide) {
			cpu_set_cr4(f->cpu, f->cpu->cr4 & ~X86_CR4_PCIDE);
		}
		f->cpu->rflags |= X86_FLAG_AC; /* its operand is a user's page here */
		f->cpu->cpl = (uint8_t)invpcids[i].cpl;
		cpu_update_mode(f->cpu);
		int vector = invpcid(f, invpcids[i].type, invpcids[i].pcid, invpcids[i].linear);
		if (vector != invpcids[i].vector) {
			fail_msg("%s: vector %d", invpcids[i].name, vector);
		}
	}
}

/* SDM vol. 3, 4.10.1 */
static void test_control_registers(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fixture_enter_long_mode(f, 0);
	assert_int_equal(move_to_cr(cpu, 3, FIXTURE_PML4 | KEEP), GP);
	assert_int_equal(move_to_cr(cpu, 3, FIXTURE_PML4 | 8), NOTHING);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 | X86_CR4_PCIDE), GP);
	assert_int_equal(move_to_cr(cpu, 3, FIXTURE_PML4), NOTHING);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 | X86_CR4_PCIDE), NOTHING);
	assert_int_equal(move_to_cr(cpu, 3, FIXTURE_PML4 | KEEP | 0xfff), NOTHING);
	assert_int_equal(cpu->cr3, FIXTURE_PML4 | 0xfff);
	assert_int_equal(move_to_cr(cpu, 3, FIXTURE_PML4 | BIT(62)), GP);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 | X86_CR4_PGE), NOTHING);

	/* Compatibility mode may end paging, but not then. */
	cpu->seg[X86_CS].attributes &= ~(uint32_t)X86_SEG_L;
	cpu_update_mode(cpu);
	assert_int_equal(move_to_cr(cpu, 0, X86_CR0_PE), GP);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 & ~X86_CR4_PCIDE), NOTHING);
	assert_int_equal(move_to_cr(cpu, 0, X86_CR0_PE), NOTHING);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 | X86_CR4_PCIDE), GP);

	cpu_features_set(&cpu->features, CPU_FEATURE_PCID, false);
	fixture_enter_long_mode(f, 0);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 | X86_CR4_PCIDE), GP);
}

/* Without PCIDs nothing of them stays. */
static void test_pcide_cleared(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;

	fill_and_forget(f, WAY_USER_READ);
	load_cr3(cpu, 0);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 & ~X86_CR4_PCIDE), NOTHING);
	assert_int_equal(move_to_cr(cpu, 4, cpu->cr4 | X86_CR4_PCIDE), NOTHING);
	load_cr3(cpu, 2 | KEEP);
	assert_false(reach(cpu, LOCAL, WAY_USER_READ));
	assert_false(reach(cpu, GLOBAL, WAY_USER_READ));
}

/* INIT and a restored state know nothing of the past, whichever slot they come in. */
static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	struct x86_state saved;

	f->ram[LOCAL] = 9;
	fill_and_forget(f, WAY_USER_READ);
	cpu_get_state(cpu, &saved);
	assert_int_equal(saved.cr3 & X86_CR3_PCID, 2);
	saved.cr3 = FIXTURE_PML4 | 1;
	cpu_set_state(cpu, &saved);
	assert_false(reach(cpu, LOCAL, WAY_USER_READ));
	assert_int_equal(cpu->slots[cpu->slot].pcid, 1);
	load_cr3(cpu, 2 | KEEP);
	assert_false(reach(cpu, LOCAL, WAY_USER_READ));

	cpu_reset(cpu, true);
	assert_int_equal(cpu->slots[cpu->slot].pcid, 0);
	assert_int_equal(mmu_load8(cpu, LOCAL), 9); /* no paging */
}

static uint64_t by_gs(size_t offset)
{
	uint64_t value;

	__asm__ volatile("movq %%gs:(%1), %0" : "=r"(value) : "r"(offset) : "memory");
	return value;
}

/* What translated code sees: the current slot's own sets, and everything else as it is. */
static void check_view(struct cpu *cpu, uint64_t pcid)
{
	size_t entry = offsetof(struct cpu, tlbs[TLB_USER].read[tlb_index(LOCAL)].tag);

	load_cr3(cpu, pcid | KEEP);
	view_use(cpu);
	assert_int_equal(by_gs(entry), cpu[cpu->slot].tlbs[TLB_USER].read[tlb_index(LOCAL)].tag);
	assert_int_equal(TLB_IS_INVALID(by_gs(entry)), pcid % 2 == 0);
	cpu->regs[X86_RBX] = 0x1234 + pcid;
	assert_int_equal(by_gs(offsetof(struct cpu, regs[X86_RBX])), 0x1234 + pcid);
	cpu->tlbs[TLB_SUPERVISOR].read[7].tag = pcid << 32;
	assert_int_equal(by_gs(offsetof(struct cpu, tlbs[TLB_SUPERVISOR].read[7].tag)), pcid << 32);
	assert_int_equal(by_gs(offsetof(struct cpu, tlbs[TLB_ALIGNED].read[7].tag)),
			cpu->tlbs[TLB_ALIGNED].read[7].tag);
}

static void test_views(void **state)
{
	struct fixture *f = *state;
	struct cpu *cpu = f->cpu;
	bool fsgsbase = cpu->fsgsbase;

	enter(f);
	assert_int_equal(cpu->slot_count, TLB_SLOTS);
	for (uint64_t pcid = 1; pcid < TLB_SLOTS; pcid += 2) {
		load_cr3(cpu, pcid | KEEP);
		assert_true(reach(cpu, LOCAL, WAY_USER_READ));
	}
	for (uint64_t pcid = 0; pcid < TLB_SLOTS; pcid++) {
		check_view(cpu, pcid);
		cpu->fsgsbase = false;
		check_view(cpu, TLB_SLOTS - 1 - pcid);
		cpu->fsgsbase = fsgsbase;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_what_is_kept),
			TEST(test_page_of_one),
			TEST(test_one_slot),
			TEST(test_supervisors_set),
			TEST(test_slots_reused),
			TEST(test_writes_dropped),
			TEST(test_fetch_epochs),
			TEST(test_invpcid_faults),
			TEST(test_control_registers),
			TEST(test_pcide_cleared),
			TEST(test_reset),
			TEST(test_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
