/* SPDX-License-Identifier: MIT */
/*
 * The host CPU as oracle: runs one 64-bit or 32-bit instruction natively, with all registers, flags and memory given, and says what
 * became of them, or which fault it raised. Registers are really loaded, rsp included; faults are caught as signals on
 * an alternate stack. 0.1 us a case, about 2 us where it faults.
 *
 * The caller must not give it instructions that leave its control: syscall, sysenter, far jumps that succeed, wrfsbase, loads
 * of segment registers that succeed.
 *
 * One oracle at a time a process, used by the thread that made it: it owns the signal handlers of SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL and SIGTRAP while it lives. It passes on signals that are not its own. Make
 * it inside the test, not in a fixture: cmocka changes the handlers around both.
 */
#ifndef TESTS_HARNESS_ORACLE_H
#define TESTS_HARNESS_ORACLE_H

#include "core/engine/x86.h"

/* FXSAVE64 image. */
struct oracle_fx {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0;
	uint16_t fop;
	uint64_t fip, fdp; /* host-dependent: some CPUs keep them only while an exception is pending */
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t reserved1[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct oracle_fx) == 512, "FXSAVE image");

struct oracle_state {
	uint64_t regs[X86_REG_COUNT];
	uint64_t rflags; /* X86_FLAGS_ARITH and DF count; the others are set as user space needs them */
	uint64_t rip; /* out only: after the instruction; where it stands if it faulted */
	struct oracle_fx
			fx; /* used only with ORACLE_FX; MXCSR bits that the host reserves must be clear */
	uint8_t ymm_high[16][16]; /* upper halves of YMM; used only with ORACLE_YMM */
};

enum oracle_flag {
	ORACLE_FX = 1 << 0, /* load and report x87, MMX, XMM, MXCSR; otherwise left alone */
	/*
	 * Run in 32-bit protected mode (compatibility mode) at privilege level 3 with flat CS, DS, ES and SS; FS and GS
	 * are not usable. Only the low halves of the first eight registers count; the others read as zero afterwards.
	 */
	ORACLE_32BIT = 1 << 1,
	ORACLE_YMM = 1
		     << 2, /* with ORACLE_FX: the upper halves of YMM, too. The host must have AVX */
};

#define ORACLE_NO_FAULT 0xff

struct oracle_fault {
	uint8_t vector; /* enum x86_vector, ORACLE_NO_FAULT */
	uint32_t error; /* error code as the CPU pushed it; X86_PF_USER is set in page faults */
	uint64_t address; /* of page faults: CR2 */
};

/*
 * The data pages, at consecutive addresses from oracle_data_address(). Each border that an access can straddle is
 * there: read-write to read-write, read-write to read-only, read-only to absent, read-write to absent.
 */
enum oracle_page {
	ORACLE_PAGE_RW0,
	ORACLE_PAGE_RW1,
	ORACLE_PAGE_RO,
	ORACLE_PAGE_ABSENT0,
	ORACLE_PAGE_RW2,
	ORACLE_PAGE_ABSENT1,
	ORACLE_PAGE_COUNT,
};

#define ORACLE_MAX_INSN 15
#define ORACLE_PAGE_SIZE 4096u
#define ORACLE_DATA_SIZE (ORACLE_PAGE_COUNT * ORACLE_PAGE_SIZE)

struct oracle;

/* NULL with an error if the memory cannot be had. All addresses are below 2 GiB, the data pages after the code. */
struct oracle *oracle_create(GError **error);
void oracle_destroy(struct oracle *oracle);

/*
 * Where the instruction is run: struct oracle_state.rip before it. 2 KiB on either side are filled with int3; a branch that
 * goes there is reported as completed, with rip its target (the seven bytes after the instruction are not usable).
 */
uint64_t oracle_code_address(const struct oracle *oracle);

/* Address of the first data page as the instruction sees it. */
uint64_t oracle_data_address(const struct oracle *oracle);

/* A second mapping of the ORACLE_DATA_SIZE bytes, writable whatever the page is. */
uint8_t *oracle_data(struct oracle *oracle);

/* Sets the base of GS, which user space is free to use; 0 at first. */
bool oracle_set_gs_base(struct oracle *oracle, uint64_t base);

/*
 * Runs the instruction (1 to 15 bytes) on state. True if it completed. On a fault state holds what the fault left behind and
 * *ret_fault says which it was; ret_fault is always written.
 */
bool oracle_run(struct oracle *oracle, const uint8_t *bytes, size_t len, struct oracle_state *state,
		unsigned flags, struct oracle_fault *ret_fault);

#endif
