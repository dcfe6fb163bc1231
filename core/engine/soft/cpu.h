/* SPDX-License-Identifier: MIT */
/*
 * The software CPU's processor state, and how instruction code raises exceptions. One struct cpu a
 * vCPU; everything in it belongs to the vCPU's thread unless a comment says otherwise.
 *
 * Control flow: instruction code that faults calls cpu_raise*(), which does not return: it unwinds
 * to the run loop, where the exception is delivered. So an instruction checks and reads everything
 * that can fault before it changes anything the guest can see. cpu->rip is the address of the
 * instruction being executed until it completes.
 */
#ifndef CORE_ENGINE_SOFT_CPU_H
#define CORE_ENGINE_SOFT_CPU_H

#include "core/engine/cpu_model.h"
#include "core/engine/soft/decode.h"
#include "core/engine/soft/pv.h"
#include "core/engine/soft/stats.h"
#include "core/engine/x86.h"

#include <setjmp.h>

struct address_space;
struct apic;
struct block_cache;
struct clock;
struct guest_memory;
struct lockstep;
struct smp;
struct perf_map;
struct soft_engine;
struct store_log;

/*
 * The FXSAVE image (SDM vol. 1, 10.5.1): the home of x87, MMX, XMM and MXCSR while no native thunk
 * runs.
 */
struct cpu_fx {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0; /* abridged tag word */
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16]; /* in stack order; 10 bytes used of each */
	uint8_t xmm[16][16];
	uint8_t reserved1[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct cpu_fx) == 512, "FXSAVE image");

/*
 * The software TLB. Which set is in use follows from privilege: supervisor accesses may not touch
 * user pages under SMAP unless EFLAGS.AC is set, so they have two sets.
 *
 * Those that may lead to user pages there are once for each address space (PCID) that the guest comes back to, for each of the
 * first few: a slot. Translated code finds the TLB at fixed distances from GS, so a slot is a view of struct cpu: the same pages
 * of memory, mapped once more, but for those of these two sets, which each view has of its own. C code has one pointer, that to
 * the first view, where everything is but the other slots' sets; cpu_tlb() is where those of the current slot are. To go to another
 * slot is to let GS point at its view.
 */
enum tlb_set {
	TLB_SUPERVISOR,
	TLB_SUPERVISOR_AC, /* supervisor with EFLAGS.AC = 1, or without SMAP */
	TLB_USER,
	/*
	 * User with alignment checks on: never holds anything, so that the slow path sees every
	 * access.
	 */
	TLB_ALIGNED,
	TLB_SET_COUNT,
};

/* Kernels have their data here and there, and what lies this many pages apart cannot be known at the same time. */
#define TLB_BITS 12
#define TLB_ENTRIES (1u << TLB_BITS)
/*
 * What an empty entry has for a tag: not canonical, and of an address that belongs to another entry, so that a
 * difference from it is never small.
 */
#define TLB_INVALID(index) (BIT(63) | (uint64_t)((index) ^ 1) << 12)
#define TLB_IS_INVALID(tag) ((tag) >> 48 == 0x8000)
#define TLB_FETCH_INVALID UINT64_MAX

/*
 * tag is the linear page address (bits 0-11 zero) or TLB_INVALID; page is where the host has it. An entry
 * is present only where the access may go straight to RAM: a write entry exists only when the page
 * is writable RAM, its dirty bit is set in the page tables, and no decoded code comes from it.
 */
struct tlb_entry {
	uint64_t tag;
	uint64_t page;
};

struct tlb {
	struct tlb_entry read[TLB_ENTRIES];
	struct tlb_entry write[TLB_ENTRIES];
};

/* Address spaces that are kept: as many as Linux tells apart on a processor. */
#define TLB_SLOTS 6u
#define TLB_NO_PCID UINT16_MAX

/* Instruction fetches, for mmu_translate_fetch(). */
#define TLB_FETCH_ENTRIES 256u

struct tlb_fetch {
	uint64_t tag; /* as in struct tlb_entry */
	uint64_t physical; /* of the page */
	const uint8_t *host; /* of the page; NULL if it is not RAM */
};

#define FETCH_FILTER_BITS 4096u

/*
 * Which entries have been filled since the last flush, so that a flush clears those and not the
 * whole tables. Global pages have a log of their own, because most flushes spare them.
 */
#define TLB_LOG_LENGTH 4096u

struct tlb_log {
	uint32_t count; /* above TLB_LOG_LENGTH: more than the log holds, flush everything */
	uint16_t places[TLB_LOG_LENGTH];
};

/* Large pages in the TLB: INVLPG anywhere in one drops all of it. */
#define TLB_LARGE_PAGES 32u

struct tlb_large_page {
	uint64_t base, mask;
	bool global;
};

/* Of a part's log: table by table, then the fetches. */
#define TLB_PLACE_FETCH (2 * TLB_ENTRIES)

/* What is known of the entries of one or two sets, and the fetches that go with them; tlb.c's and mmu.c's. */
struct tlb_part {
	struct tlb_log log[2]; /* [1]: global pages */
	struct tlb_log writes; /* write entries that were made since the last time all were dropped */
	struct tlb_large_page large[TLB_LARGE_PAGES];
	uint32_t large_count; /* above TLB_LARGE_PAGES: more than the table holds */
	/* Of global pages, perhaps: in the lower half of the address space, in the upper one. */
	bool has_global[2];
	bool fetched_local; /* a supervisor's fetch was from a page that is not global */
	/* Pages that were fetched from since the last flush, a bit each by tlb_fetch_bit(), and perhaps others. */
	uint64_t fetched[FETCH_FILTER_BITS / 64];
	struct tlb_fetch fetch[TLB_FETCH_ENTRIES];
};

/* The supervisor's set has one; so has each slot with its two sets, from TLB_PART_SLOTS on. */
enum {
	TLB_PART_SUPERVISOR,
	TLB_PART_SLOTS,
	TLB_PART_COUNT = TLB_PART_SLOTS + TLB_SLOTS,
};

struct tlb_slot {
	uint16_t pcid; /* TLB_NO_PCID: nothing in it */
	uint64_t used; /* the switch that last led here, counted */
	uint64_t fetch_epoch, jumps_epoch; /* the user's, while another slot is the current one */
	const void *jumps; /* the user's table of targets; translate.c's */
};

/* Why the run loop must look up; set by any thread with cpu_request(), taken by the vCPU. */
enum cpu_request {
	CPU_REQUEST_INTERRUPT =
			1 << 0, /* the local APIC or the 8259 may have something to deliver */
	CPU_REQUEST_NMI = 1 << 1,
	CPU_REQUEST_INIT = 1 << 2,
	CPU_REQUEST_SIPI = 1 << 3,
	CPU_REQUEST_EXIT = 1 << 4, /* return from the run loop: pause, debugger, shutdown */
	CPU_REQUEST_TLB_FLUSH = 1 << 5,
	CPU_REQUEST_RESET = 1 << 6,
	CPU_REQUEST_CODE = 1 << 7, /* translated code may be out of date */
	/* smp.c's */
	CPU_REQUEST_PURGE = 1 << 8, /* drop the TLB's write entries */
	CPU_REQUEST_PAUSE = 1 << 9, /* stay outside while another is exclusive */
	CPU_REQUEST_READMIT = 1 << 10, /* of itself: let the others in again */
	CPU_REQUEST_PV = 1 << 11, /* pv_attend() */
};

enum cpu_activity {
	CPU_ACTIVE,
	CPU_HALTED, /* HLT: woken by interrupt, NMI, INIT */
	CPU_WAIT_FOR_SIPI,
	CPU_SHUTDOWN, /* triple fault */
};

struct cpu { /* NOLINT(clang-analyzer-optin.performance.Padding): what is hot comes first */
	/* Hot: what every instruction touches. */
	uint64_t regs[X86_REG_COUNT];
	uint64_t rip; /* of the current instruction, offset within CS */
	uint64_t next_rip; /* written by instructions that end a block; where execution goes on */
	/* complete, arithmetic flags computed eagerly; bit 1 set, bits 3, 5, 15 clear */
	uint64_t rflags;
	uint64_t seg_base
			/* effective bases: in 64-bit mode 0 but for FS and GS */
			[X86_SEGMENT_COUNT];
	struct tlb *tlb; /* of tlb_set; cpu_use_tlb() */
	uint32_t request; /* enum cpu_request; atomic, any thread */
	uint8_t mode; /* enum insn_mode: of CS */
	uint8_t stack_size; /* bytes a stack pointer has: 2, 4 or 8 */
	uint8_t cpl;
	/* INTERRUPT_SHADOW_* during the instruction after STI, MOV SS, POP SS */
	uint8_t interrupt_shadow;
	bool interrupt_held; /* an interrupt may wait for IF; owned by interrupt.c */
	/* bit per enum x86_segment_reg: needs limit or type checks; 0 in 64-bit mode */
	uint8_t segments_checked;
	uint8_t tlb_set; /* enum tlb_set: the one in use */
	uint8_t slot; /* the current one */

	/* Translated code's; translator/code.h. */
	struct cpu *self;
	uint64_t page_rip; /* of the page that execution is in */
	uint64_t scratch[3];
	const void *jumps; /* targets of jumps between pages, of the current TLB set */
	const void *jumps_of[TLB_ALIGNED]; /* the same by TLB set */
	uint64_t jumps_epoch[2]; /* fetch_epoch when these were last known to be right */
	uint64_t branch; /* the branch under way: how rsp moved << 16, offset in its page */
	uint32_t inside; /* atomic: smp.h */
	uint16_t packed_flags; /* arithmetic flags as flags_pack() has them */
	/* SSE instructions need no checks: XMM and MXCSR may be the host's. */
	bool sse_native;
	bool avx_native; /* the same of AVX instructions */
	bool mxcsr_resident; /* the host's MXCSR is the guest's, and fx.mxcsr is out of date; mxcsr.h */
	bool x87_resident; /* the host's x87 registers are the guest's, and fx.st is out of date */

	uint64_t instructions; /* interpreted so far, this vCPU: translated ones are not counted */

	struct x86_segment seg[X86_SEGMENT_COUNT]; /* hidden parts included */
	struct x86_segment ldtr, tr;
	struct x86_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t efer;
	uint64_t dr[8];
	bool nmi_blocked; /* between NMI and IRET */
	uint8_t nmi_pending; /* taken from nmi_queued; one is kept while blocked, else two */
	uint32_t nmi_queued; /* atomic: NMIs that arrived and were not looked at */
	uint32_t debug_pending; /* DR6 bits of the #DB trap due after this instruction */
	enum cpu_activity activity;

	struct cpu_fx fx;
	uint8_t ymm_high[16][16]; /* upper halves of YMM0-15; the lower ones are fx.xmm */
	uint64_t xcr0; /* which state XSAVE saves and AVX may use: X86_XCR0_* */

	struct {
		uint64_t star, lstar, cstar, sfmask;
		uint64_t kernel_gs_base;
		uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
		uint64_t pat, misc_enable, spec_ctrl, tsc_aux;
		uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
		uint64_t mcg_status;
	} msr;
	int64_t tsc_offset; /* guest TSC = host TSC (or virtual time) + this */
	int64_t tsc_adjust; /* written by the vCPU, read by others */
	struct pv pv;
	struct stats stats;

	/* The fault in flight between cpu_raise*() and the run loop. */
	sigjmp_buf unwind;
	struct {
		uint8_t vector;
		bool has_error;
		uint32_t error;
	} fault;

	/*
	 * The event being delivered: a fault meanwhile makes a double fault of some. Owned by
	 * interrupt.c.
	 */
	struct {
		bool active;
		uint8_t vector;
		uint8_t kind; /* enum interrupt_kind */
	} delivery;

	bool debugger_step; /* stop after each instruction, with debugger_stop set */
	bool debugger_breakpoints; /* stop at INT3, with debugger_stop set */
	bool debugger_pass_breakpoint; /* but not at the next one */
	bool debugger_stop;

	uint64_t tsc_hz; /* of the guest's TSC */
	uint64_t tsc_base; /* of the host, when the guest's starts at 0; the same for all vCPUs */
	bool tsc_virtual; /* the TSC follows clock, not the host's TSC */
	struct clock *clock;

	uint32_t sleeping; /* futex: 1 while the vCPU waits in cpu_wait() */
	unsigned index; /* 0..; also the initial APIC id */
	unsigned count; /* of vCPUs in the machine */
	/* What the guest was promised; constant while it runs. */
	struct cpu_features features;
	struct cpu_identity identity;
	struct soft_engine *engine;
	struct smp *smp; /* NULL: the only one */
	bool exclusive; /* others are kept outside */
	uint32_t pauses; /* instructions executed */
	struct apic *apic;
	struct block_cache *blocks;
	struct translator *translator; /* NULL: everything is interpreted */
	struct lockstep *lockstep; /* NULL: translations are not checked */
	struct store_log *store_log; /* lockstep's; NULL: stores need not be undone */
	struct perf_map *perf_map; /* NULL: perf is not to know of translations */
	uint64_t exit_site; /* the jump that translated code was left by */
	struct guest_memory *memory;
	struct address_space *space, *ports;

	/*
	 * Guest-physical address of the local APIC's registers, UINT64_MAX in x2APIC mode and
	 * while it is off.
	 */
	uint64_t apic_page;
	/*
	 * Changes when a mmu_translate_fetch() answer may be out of date, to a number that was none before; [0] supervisor, [1]
	 * user, in the current slot.
	 */
	uint64_t fetch_epoch[2];
	uint64_t epochs; /* numbers given */
	uint64_t switches; /* from slot to slot, counted for tlb_slot.used */
	unsigned slot_count; /* 1 to TLB_SLOTS */
	bool fsgsbase; /* GS can be set without the kernel */
	struct tlb_slot slots[TLB_SLOTS];
	struct tlb_part tlb_parts[TLB_PART_COUNT];
	struct tlb tlbs[TLB_SET_COUNT] __attribute__((aligned(GUEST_PAGE_SIZE)));
};
/* What views share, and what each has of its own. */
_Static_assert(sizeof(struct tlb) % GUEST_PAGE_SIZE == 0, "sets begin at pages");
_Static_assert(sizeof(struct cpu) % GUEST_PAGE_SIZE == 0, "views begin at pages");
_Static_assert(TLB_USER == TLB_SUPERVISOR_AC + 1, "sets of a slot are neighbours");

/* Raises an exception at the current instruction; does not return. */
_Noreturn void cpu_raise(struct cpu *cpu, enum x86_vector vector);
_Noreturn void cpu_raise_error(struct cpu *cpu, enum x86_vector vector, uint32_t error);
_Noreturn void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error);

#define cpu_raise_gp(cpu) cpu_raise_error((cpu), X86_VECTOR_GP, 0)
#define cpu_raise_ud(cpu) cpu_raise((cpu), X86_VECTOR_UD)

/* Sets request bits and wakes the vCPU if it halts. Any thread. */
void cpu_request(struct cpu *cpu, uint32_t requests);

/*
 * Recomputes mode, stack_size, seg_base, tlb set, segments_checked after a change of CS, SS, CR0,
 * CR4, EFER, CPL or AC.
 */
void cpu_update_mode(struct cpu *cpu);

/* The current slot's. */
static inline struct tlb *cpu_tlb(struct cpu *cpu, enum tlb_set set)
{
	return &cpu[cpu->slot].tlbs[set];
}

static inline void cpu_use_tlb(struct cpu *cpu, enum tlb_set set)
{
	cpu->tlb_set = (uint8_t)set;
	cpu->tlb = cpu_tlb(cpu, set);
}

/* Puts the processor into its power-up (init false) or INIT state (SDM vol. 3, table 10-1). */
void cpu_reset(struct cpu *cpu, bool init);

/*
 * Allocates what a vCPU needs and powers it up, with the features of max; memory, spaces and clock
 * are borrowed. The APIC is the caller's.
 */
struct cpu *cpu_create(unsigned index, struct guest_memory *memory, struct address_space *space,
		struct address_space *ports, struct clock *clock);
void cpu_destroy(struct cpu *cpu);

/* Blocks the vCPU's thread until a request bit is set. */
void cpu_wait(struct cpu *cpu);

/* The guest's time-stamp counter now. */
uint64_t cpu_tsc(const struct cpu *cpu);

/*
 * Changes of control registers with all their side effects (mode, TLB). The checks that raise #GP
 * are the callers': cpu_cr0_valid() and cpu_cr4_valid() say whether MOV to CR may load the value
 * now, cpu_cr3_valid() whether it may be loaded there. Bit 63 of CR3's value asks to keep what is in the TLB.
 */
bool cpu_cr0_valid(const struct cpu *cpu, uint64_t value);
bool cpu_cr3_valid(const struct cpu *cpu, uint64_t value);
bool cpu_cr4_valid(const struct cpu *cpu, uint64_t value);
void cpu_set_cr0(struct cpu *cpu, uint64_t value);
void cpu_set_cr3(struct cpu *cpu, uint64_t value);
void cpu_set_cr4(struct cpu *cpu, uint64_t value);
void cpu_set_efer(struct cpu *cpu, uint64_t value);

/* Replaces RFLAGS whole (fixed bits applied) and does what follows from new IF, TF, VM and AC. */
void cpu_set_rflags(struct cpu *cpu, uint64_t value);

/* What a SIPI does: real mode at vector * 4 KiB. */
void cpu_start_at(struct cpu *cpu, uint8_t vector);

void cpu_get_state(const struct cpu *cpu, struct x86_state *ret_state);
void cpu_set_state(struct cpu *cpu, const struct x86_state *state);

static inline bool cpu_has(const struct cpu *cpu, enum cpu_feature feature)
{
	return cpu_features_has(&cpu->features, feature);
}

static inline bool cpu_long_mode(const struct cpu *cpu)
{
	return cpu->efer & X86_EFER_LMA;
}

static inline bool cpu_protected(const struct cpu *cpu)
{
	return cpu->cr0 & X86_CR0_PE;
}

static inline bool cpu_v8086(const struct cpu *cpu)
{
	return cpu->rflags & X86_FLAG_VM;
}

static inline unsigned cpu_iopl(const struct cpu *cpu)
{
	return (cpu->rflags >> X86_FLAG_IOPL_SHIFT) & 3;
}

#endif
