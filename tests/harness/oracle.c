/* SPDX-License-Identifier: MIT */
#include "tests/harness/oracle.h"

#include "core/base/fd.h"

#include <signal.h>
#include <string.h>
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/*
 * Layout of the oracle's memory. The stub is position-independent and finds the others by their distance.
 *
 *   00000  stub: loads the guest's registers, jumps to the instruction; saves them
 *   01000  int3 ... instruction, jmp to the stub's exit, int3 ...
 *   10000  context
 *   20000  data pages
 *
 * The code pages are writable where they are executed, on purpose: the CPU promises to see new code after a jump
 * only when it was written through the same linear address.
 */
#define STUB_OFFSET 0
#define INSN_OFFSET 0x1800
#define CODE_SIZE 0x2000
#define CONTEXT_OFFSET 0x10000
#define DATA_OFFSET 0x20000
#define REGION_SIZE (DATA_OFFSET + ORACLE_DATA_SIZE + ORACLE_PAGE_SIZE)
#define JMP_SIZE 5
#define FAR_JMP_SIZE 7 /* in 32-bit mode */

#define SIGNAL_STACK_SIZE (256 * KiB) /* AVX-512 and AMX frames are large */

/* Offsets known to the assembly below. */
#define CTX_RFLAGS 128
#define CTX_HOST_RSP 136
#define CTX_HOST_MXCSR 144
#define CTX_USE_FX 148
#define CTX_FAR_INSN 152
#define CTX_MODE_32 160
#define CTX_USE_YMM 164
#define CTX_FX 192
#define CTX_YMM 704

/* Linux's selectors. */
#define CS_64 0x33
#define CS_32 0x23
#define DS_FLAT 0x2b

struct context {
	uint64_t regs[X86_REG_COUNT];
	uint64_t rflags;
	uint64_t host_rsp;
	uint32_t host_mxcsr;
	uint32_t use_fx;
	struct {
		uint32_t offset;
		uint16_t selector;
	} far_insn; /* where 32-bit code starts */
	uint32_t mode_32;
	uint32_t use_ymm;
	struct oracle_fx fx;
	uint8_t ymm_high[16][16];
};
_Static_assert(offsetof(struct context, rflags) == CTX_RFLAGS, "layout");
_Static_assert(offsetof(struct context, host_rsp) == CTX_HOST_RSP, "layout");
_Static_assert(offsetof(struct context, host_mxcsr) == CTX_HOST_MXCSR, "layout");
_Static_assert(offsetof(struct context, use_fx) == CTX_USE_FX, "layout");
_Static_assert(offsetof(struct context, far_insn) == CTX_FAR_INSN, "layout");
_Static_assert(offsetof(struct context, mode_32) == CTX_MODE_32, "layout");
_Static_assert(offsetof(struct context, use_ymm) == CTX_USE_YMM, "layout");
_Static_assert(offsetof(struct context, fx) == CTX_FX, "layout");
_Static_assert(offsetof(struct context, ymm_high) == CTX_YMM, "layout");

struct oracle {
	uint8_t *region; /* as executed */
	uint8_t *data; /* the alias */
	struct context *context;
	void *signal_stack;
	stack_t old_stack;
	struct sigaction old_actions[5];
	uint8_t bytes[ORACLE_MAX_INSN]; /* what stands at INSN_OFFSET now */
	size_t len;
	bool mode_32; /* how it returns */

	/* Written by the signal handler. */
	struct oracle_fault fault;
	uint64_t rip;
};

static const int caught_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
_Static_assert(G_N_ELEMENTS(caught_signals) == 5, "old_actions");

/* The oracle that runs an instruction now; signal handlers have no argument of ours. */
static struct oracle *running;
static struct oracle *latest; /* the one there is */

#define STR2(x) #x
#define STR(x) STR2(x)
#define CTX(offset) "(oracle_stub + " STR(CONTEXT_OFFSET) " + " offset ")(%rip)"
/* clang-format off */
#define EACH_REG(OP) \
	OP("rax", "0") OP("rcx", "8") OP("rdx", "16") OP("rbx", "24") OP("rbp", "40") \
	OP("rsi", "48") OP("rdi", "56") OP("r8", "64") OP("r9", "72") OP("r10", "80") \
	OP("r11", "88") OP("r12", "96") OP("r13", "104") OP("r14", "112") OP("r15", "120") \
	OP("rsp", "32")
#define LOAD_REG(reg, offset) "	mov " CTX(offset) ", %" reg "\n"
#define SAVE_REG(reg, offset) "	mov %" reg ", " CTX(offset) "\n"

#define EACH_YMM(OP) \
	OP("0") OP("1") OP("2") OP("3") OP("4") OP("5") OP("6") OP("7") OP("8") OP("9") OP("10") \
	OP("11") OP("12") OP("13") OP("14") OP("15")
#define LOAD_YMM(n) \
	"	vinsertf128 $1, " CTX(STR(CTX_YMM) " + 16 * " n) ", %ymm" n ", %ymm" n "\n"
#define SAVE_YMM(n) "	vextractf128 $1, %ymm" n ", " CTX(STR(CTX_YMM) " + 16 * " n) "\n"

/* Copied into the region as a whole. Entered by a call; leaves by ret from any of its exits. */
extern const uint8_t oracle_stub[], oracle_stub_exit[], oracle_stub_abort[], oracle_stub_end[];
__asm__("	.text\n"
	"oracle_stub:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, " CTX(STR(CTX_HOST_RSP)) "\n"
	"	stmxcsr " CTX(STR(CTX_HOST_MXCSR)) "\n"
	"	cmpl $0, " CTX(STR(CTX_USE_FX)) "\n"
	"	je 1f\n"
	"	fxrstor64 " CTX(STR(CTX_FX)) "\n"
	"	cmpl $0, " CTX(STR(CTX_USE_YMM)) "\n"
	"	je 1f\n"
	EACH_YMM(LOAD_YMM)
	"1:	cmpl $0, " CTX(STR(CTX_MODE_32)) "\n"
	"	push " CTX(STR(CTX_RFLAGS)) "\n"
	"	jne 2f\n"
	"	popfq\n"
	EACH_REG(LOAD_REG)
	"	jmp oracle_stub + " STR(INSN_OFFSET) "\n"
	"2:	popfq\n"
	EACH_REG(LOAD_REG)
	"	ljmp *" CTX(STR(CTX_FAR_INSN)) "\n"
	"oracle_stub_exit:\n"
	EACH_REG(SAVE_REG)
	"	mov " CTX(STR(CTX_HOST_RSP)) ", %rsp\n"
	"	pushfq\n"
	"	pop " CTX(STR(CTX_RFLAGS)) "\n"
	"	cmpl $0, " CTX(STR(CTX_USE_FX)) "\n"
	"	je oracle_stub_abort\n"
	"	fxsave64 " CTX(STR(CTX_FX)) "\n"
	"	cmpl $0, " CTX(STR(CTX_USE_YMM)) "\n"
	"	je oracle_stub_abort\n"
	EACH_YMM(SAVE_YMM)
	"	vzeroupper\n"
	"oracle_stub_abort:\n" /* after a fault: the handler has taken the state, rsp is not ours yet */
	"	mov " CTX(STR(CTX_HOST_RSP)) ", %rsp\n"
	"	cld\n"
	"	cmpl $0, " CTX(STR(CTX_USE_FX)) "\n"
	"	je 3f\n"
	"	fninit\n"
	"	ldmxcsr " CTX(STR(CTX_HOST_MXCSR)) "\n"
	"3:	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n"
	"oracle_stub_end:\n");
/* clang-format on */

static const int greg_order[X86_REG_COUNT] = {
		REG_RAX,
		REG_RCX,
		REG_RDX,
		REG_RBX,
		REG_RSP,
		REG_RBP,
		REG_RSI,
		REG_RDI,
		REG_R8,
		REG_R9,
		REG_R10,
		REG_R11,
		REG_R12,
		REG_R13,
		REG_R14,
		REG_R15,
};

/* int3 in the filler is a branch target; the instruction itself may be int3, too. */
static bool is_branch_landing(const struct oracle *oracle, uint64_t trap, uint64_t rip)
{
	uint64_t offset = rip - 1 - (uintptr_t)oracle->region;

	return trap == X86_VECTOR_BP && offset >= ORACLE_PAGE_SIZE && offset < CODE_SIZE &&
	       (offset < INSN_OFFSET || offset >= INSN_OFFSET + oracle->len);
}

/* From a signal frame, which has the image of XSAVE in its standard form. */
static void take_ymm(struct context *context, const uint8_t *image)
{
	uint64_t states;

	memcpy(&states, image + 512, sizeof(states));
	if (states & X86_XCR0_AVX) {
		memcpy(context->ymm_high, image + 576, sizeof(context->ymm_high));
	} else {
		memset(context->ymm_high, 0, sizeof(context->ymm_high));
	}
}

static void take_state(struct oracle *oracle, const ucontext_t *uc)
{
	const greg_t *gregs = uc->uc_mcontext.gregs;
	uint64_t trap = (uint64_t)gregs[REG_TRAPNO];
	struct context *context = oracle->context;

	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		context->regs[i] = (uint64_t)gregs[greg_order[i]];
	}
	context->rflags = (uint64_t)gregs[REG_EFL];
	if (context->use_fx) {
		memcpy(&context->fx, uc->uc_mcontext.fpregs, offsetof(struct oracle_fx, reserved1));
	}
	if (context->use_ymm) {
		take_ymm(context, (const uint8_t *)uc->uc_mcontext.fpregs);
	}
	oracle->rip = (uint64_t)gregs[REG_RIP];
	if (is_branch_landing(oracle, trap, oracle->rip)) {
		oracle->rip--;
		oracle->fault.vector = ORACLE_NO_FAULT;
		return;
	}
	oracle->fault.vector = (uint8_t)trap;
	oracle->fault.error = (uint32_t)gregs[REG_ERR];
	oracle->fault.address = trap == X86_VECTOR_PF ? (uint64_t)gregs[REG_CR2] : 0;
}

/* To who had the signal before; if nobody, it happens again and kills. */
static void pass_on(int signal_number, siginfo_t *info, void *data)
{
	for (unsigned i = 0; latest && i < G_N_ELEMENTS(caught_signals); i++) {
		const struct sigaction *old = &latest->old_actions[i];
		if (caught_signals[i] == signal_number && (old->sa_flags & SA_SIGINFO)) {
			old->sa_sigaction(signal_number, info, data);
			return;
		}
	}
	(void)signal(signal_number, SIG_DFL);
}

static void handle_signal(int signal_number, siginfo_t *info, void *data)
{
	ucontext_t *uc = data;
	struct oracle *oracle = running;

	if (!oracle) {
		pass_on(signal_number, info, data);
		return;
	}
	take_state(oracle, uc);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)(oracle->region +
							     (oracle_stub_abort - oracle_stub));
	/* CS, GS, FS, SS share a register slot; 32-bit code has left its own CS there. */
	uc->uc_mcontext.gregs[REG_CSGSFS] = (uc->uc_mcontext.gregs[REG_CSGSFS] & ~(greg_t)0xffff) |
					    CS_64;
	uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)(X86_FLAG_DF | X86_FLAG_TF);
}

static bool catch_signals(struct oracle *oracle, GError **error)
{
	struct sigaction action = {
			.sa_sigaction = handle_signal,
			.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	stack_t stack = {.ss_size = SIGNAL_STACK_SIZE};

	latest = oracle;
	/* Touched before use: a page fault while the kernel writes the frame would replace the trap number in it. */
	oracle->signal_stack = g_malloc(SIGNAL_STACK_SIZE);
	memset(oracle->signal_stack, 0xa5, SIGNAL_STACK_SIZE);
	stack.ss_sp = oracle->signal_stack;
	if (sigaltstack(&stack, &oracle->old_stack) < 0) {
		set_error_errno(error, "sigaltstack");
		g_clear_pointer(&oracle->signal_stack, g_free);
		return false;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(caught_signals); i++) {
		int ret = sigaction(caught_signals[i], &action, &oracle->old_actions[i]);
		assert(ret == 0);
		(void)ret;
	}
	return true;
}

static void release_signals(struct oracle *oracle)
{
	if (!oracle->signal_stack) {
		return;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(caught_signals); i++) {
		(void)sigaction(caught_signals[i], &oracle->old_actions[i], NULL);
	}
	(void)sigaltstack(&oracle->old_stack, NULL);
	latest = NULL;
	g_free(oracle->signal_stack);
}

static bool map_at(uint8_t *where, size_t size, int prot, int flags, int fd, off_t offset)
{
	return mmap(where, size, prot, flags | MAP_FIXED, fd, offset) == where;
}

static bool map_region(struct oracle *oracle, int fd)
{
	static const int page_prot[ORACLE_PAGE_COUNT] = {
			[ORACLE_PAGE_RW0] = PROT_READ | PROT_WRITE,
			[ORACLE_PAGE_RW1] = PROT_READ | PROT_WRITE,
			[ORACLE_PAGE_RO] = PROT_READ,
			[ORACLE_PAGE_ABSENT0] = PROT_NONE,
			[ORACLE_PAGE_RW2] = PROT_READ | PROT_WRITE,
			[ORACLE_PAGE_ABSENT1] = PROT_NONE,
	};
	void *region = mmap(NULL, REGION_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT, -1, 0);
	void *data = mmap(NULL, ORACLE_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	oracle->region = region == MAP_FAILED ? NULL : region;
	oracle->data = data == MAP_FAILED ? NULL : data;
	if (!oracle->region || !oracle->data ||
			!map_at(oracle->region, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ||
			!map_at(oracle->region + CONTEXT_OFFSET, ORACLE_PAGE_SIZE,
					PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					0)) {
		return false;
	}
	for (unsigned i = 0; i < ORACLE_PAGE_COUNT; i++) {
		off_t offset = (off_t)i * ORACLE_PAGE_SIZE;
		if (!map_at(oracle->region + DATA_OFFSET + offset, ORACLE_PAGE_SIZE, page_prot[i],
				    MAP_SHARED | MAP_POPULATE, fd, offset)) {
			return false;
		}
	}
	return true;
}

struct oracle *oracle_create(GError **error)
{
	struct oracle *oracle = g_new0(struct oracle, 1);
	auto_fd int fd = memfd_create_sized("oracle", ORACLE_DATA_SIZE, error);

	if (fd < 0) {
		goto fail;
	}
	if (!map_region(oracle, fd)) {
		set_error_errno(error, "mapping the oracle's pages");
		goto fail;
	}
	oracle->context = (struct context *)(void *)(oracle->region + CONTEXT_OFFSET);
	memcpy(oracle->region + STUB_OFFSET, oracle_stub, (size_t)(oracle_stub_end - oracle_stub));
	memset(oracle->region + ORACLE_PAGE_SIZE, 0xcc, CODE_SIZE - ORACLE_PAGE_SIZE);
	oracle->context->far_insn.offset = (uint32_t)oracle_code_address(oracle);
	oracle->context->far_insn.selector = CS_32;
	/* 64-bit code does without DS and ES, 32-bit code does not. */
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(DS_FLAT));
	if (!catch_signals(oracle, error)) {
		goto fail;
	}
	return oracle;

fail:
	oracle_destroy(oracle);
	return NULL;
}

void oracle_destroy(struct oracle *oracle)
{
	if (!oracle) {
		return;
	}
	release_signals(oracle);
	if (oracle->region) {
		(void)munmap(oracle->region, REGION_SIZE);
	}
	if (oracle->data) {
		(void)munmap(oracle->data, ORACLE_DATA_SIZE);
	}
	g_free(oracle);
}

uint64_t oracle_code_address(const struct oracle *oracle)
{
	return (uintptr_t)oracle->region + INSN_OFFSET;
}

uint64_t oracle_data_address(const struct oracle *oracle)
{
	return (uintptr_t)oracle->region + DATA_OFFSET;
}

uint8_t *oracle_data(struct oracle *oracle)
{
	return oracle->data;
}

bool oracle_set_gs_base(struct oracle *oracle, uint64_t base)
{
	(void)oracle;
	return syscall(SYS_arch_prctl, ARCH_SET_GS, base) == 0;
}

/* The way back: jmp rel32, or jmp far out of 32-bit mode. */
static size_t place_return(uint8_t *place, uint64_t from, uint64_t exit, bool mode_32)
{
	uint32_t target = (uint32_t)(mode_32 ? exit : exit - from - JMP_SIZE);
	const uint16_t selector = CS_64;

	place[0] = mode_32 ? 0xea : 0xe9;
	memcpy(place + 1, &target, sizeof(target));
	if (!mode_32) {
		return JMP_SIZE;
	}
	memcpy(place + 5, &selector, sizeof(selector));
	return FAR_JMP_SIZE;
}

static void place_insn(struct oracle *oracle, const uint8_t *bytes, size_t len, bool mode_32)
{
	uint8_t *place = oracle->region + INSN_OFFSET;
	uint64_t exit = (uintptr_t)oracle->region + (uint64_t)(oracle_stub_exit - oracle_stub);
	size_t return_size;

	if (oracle->len == len && oracle->mode_32 == mode_32 &&
			memcmp(oracle->bytes, bytes, len) == 0) {
		return;
	}
	memcpy(place, bytes, len);
	return_size = place_return(place + len, oracle_code_address(oracle) + len, exit, mode_32);
	if (oracle->len + FAR_JMP_SIZE > len + return_size) {
		memset(place + len + return_size, 0xcc,
				oracle->len + FAR_JMP_SIZE - len - return_size);
	}
	memcpy(oracle->bytes, bytes, len);
	oracle->len = len;
	oracle->mode_32 = mode_32;
}

/* 32-bit code has eight registers of 32 bits. */
static void truncate_registers(uint64_t regs[X86_REG_COUNT])
{
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		regs[i] = i < 8 ? (uint32_t)regs[i] : 0;
	}
}

bool oracle_run(struct oracle *oracle, const uint8_t *bytes, size_t len, struct oracle_state *state,
		unsigned flags, struct oracle_fault *ret_fault)
{
	struct context *context = oracle->context;
	const uint64_t flag_mask = X86_FLAGS_ARITH | X86_FLAG_DF;

	assert(len >= 1 && len <= sizeof(oracle->bytes));
	place_insn(oracle, bytes, len, flags & ORACLE_32BIT);
	memcpy(context->regs, state->regs, sizeof(context->regs));
	context->mode_32 = flags & ORACLE_32BIT;
	if (context->mode_32) {
		truncate_registers(context->regs);
	}
	context->rflags = (state->rflags & flag_mask) | X86_FLAG_FIXED | X86_FLAG_IF;
	context->use_fx = flags & ORACLE_FX;
	context->use_ymm = flags & ORACLE_YMM;
	if (context->use_fx) {
		context->fx = state->fx;
	}
	if (context->use_ymm) {
		memcpy(context->ymm_high, state->ymm_high, sizeof(context->ymm_high));
	}
	oracle->fault = (struct oracle_fault){.vector = ORACLE_NO_FAULT};
	oracle->rip = oracle_code_address(oracle) + len;

	running = oracle;
	/* The compiler must not keep anything in memory or registers across it but what the ABI says. */
	((void (*)(void))(uintptr_t)(oracle->region + STUB_OFFSET))();
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	running = NULL;

	if (context->mode_32) {
		truncate_registers(context->regs);
	}
	memcpy(state->regs, context->regs, sizeof(context->regs));
	state->rflags = (context->rflags & flag_mask) | X86_FLAG_FIXED;
	state->rip = oracle->rip;
	if (context->use_fx) {
		state->fx = context->fx;
	}
	if (context->use_ymm) {
		memcpy(state->ymm_high, context->ymm_high, sizeof(state->ymm_high));
	}
	*ret_fault = oracle->fault;
	return oracle->fault.vector == ORACLE_NO_FAULT;
}
