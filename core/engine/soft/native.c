/* SPDX-License-Identifier: MIT */
/*
 * Thunks: where they live and what they are made of. See native.h.
 *
 * The area is a memfd mapped twice, writable here and executable there. It never moves or shrinks; the number of distinct
 * instructions bounds it (about 60,000, most of them by their immediate byte), and a full area only means that an
 * instruction is not there. Code is written to a place that was never executed before, then published, so no CPU can
 * have an older idea of it.
 */
#include "core/engine/soft/native.h"

#include "core/base/log.h"
#include "core/engine/soft/code_memory.h"
#include "core/engine/soft/native_internal.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define AREA_SIZE (16 * MiB)
#define THUNK_ALIGN 32

/* As the ABI and the C library have them. */
#define HOST_MXCSR 0x1f80u
#define HOST_FCW 0x37fu

/* At the start of the area. */
struct area_header {
	uint32_t host_mxcsr;
	uint16_t host_fcw;
	uint8_t reserved[26];
	uint8_t abort[32]; /* where a SIMD exception goes on: restores the host, returns 1 */
};

/*
 * The one piece of state that all engines of the process share: code, which depends on no guest.
 * Everything but code is guarded by lock.
 */
static struct {
	GMutex lock;
	bool failed; /* no memory: said once */
	uint8_t *write; /* the same pages twice */
	const uint8_t *code;
	size_t used;
	GHashTable *ops; /* uint64_t key -> struct native_op, both never freed */
} area;

/* The thunk that runs now with exceptions unmasked; what the signal handler must know. */
static __thread struct cpu *unmasked_cpu;

static struct sigaction next_sigfpe;
static bool catching;

void native_emit(struct emitter *emitter, const uint8_t *bytes, size_t len)
{
	assert(emitter->len + len <= THUNK_MAX);
	memcpy(emitter->bytes + emitter->len, bytes, len);
	emitter->len += len;
}

void native_emit32(struct emitter *emitter, uint32_t value)
{
	native_emit(emitter, (const uint8_t *)&value, sizeof(value));
}

void native_emit_cpu(struct emitter *emitter, bool rex_w, const uint8_t *opcode, size_t opcode_len,
		unsigned reg, size_t offset)
{
	EMIT(emitter, (uint8_t)(0x41 | (rex_w ? 8 : 0)));
	native_emit(emitter, opcode, opcode_len);
	EMIT(emitter, (uint8_t)(0x80 | reg << 3));
	native_emit32(emitter, (uint32_t)offset);
}

/* The displacement, from rip after it, of a member of the area's header. */
static void emit_header_displacement(struct emitter *emitter, size_t member)
{
	native_emit32(emitter, (uint32_t)(member - (emitter->offset + emitter->len + 4)));
}

void native_emit_host_mxcsr(struct emitter *emitter)
{
	EMIT(emitter, 0x0f, 0xae, 0x15); /* ldmxcsr */
	emit_header_displacement(emitter, offsetof(struct area_header, host_mxcsr));
}

/*
 * Leaves the host an empty x87 stack with its own control word. FNINIT is slow, and needed only where a pending exception
 * would make the others fault; exception flags may stay, since they are masked.
 */
static void emit_host_x87(struct emitter *emitter)
{
	EMIT_CPU(emitter, false, 0, fx.fsw, 0xf6); /* test byte [fsw], ES */
	EMIT(emitter, 0x80);
	EMIT(emitter, 0x75, 10); /* jnz to fninit */
	EMIT(emitter, 0x0f, 0x77, 0xd9, 0x2d); /* emms; fldcw */
	emit_header_displacement(emitter, offsetof(struct area_header, host_fcw));
	EMIT(emitter, 0xeb, 2, 0xdb, 0xe3); /* jmp over fninit */
}

enum {
	POINTER_REG = 7, /* rdi */
	POINTER_RM = 6, /* rsi */
	REG_OPERAND = 1, /* xmm1, mm1; general: eax */
	RM_OPERAND = 2, /* xmm2, mm2; general: ecx */
	GPR_REG = 0,
	GPR_RM = 1,
};

/* Moves an operand between its host register and [pointer]. */
static void emit_transfer(struct emitter *emitter, enum native_kind kind, bool is_rm, bool store)
{
	unsigned pointer = is_rm ? POINTER_RM : POINTER_REG;
	unsigned vector = is_rm ? RM_OPERAND : REG_OPERAND;
	unsigned gpr = is_rm ? GPR_RM : GPR_REG;

	switch (kind) {
	case NATIVE_KIND_XMM: /* movups */
		EMIT(emitter, 0x0f, store ? 0x11 : 0x10, (uint8_t)(vector << 3 | pointer));
		break;
	case NATIVE_KIND_MM: /* movq; a written MMX register looks like a NaN to x87 */
		EMIT(emitter, 0x0f, store ? 0x7f : 0x6f, (uint8_t)(vector << 3 | pointer));
		if (store) {
			EMIT(emitter, 0x66, 0xc7, (uint8_t)(0x40 | pointer), 8, 0xff, 0xff);
		}
		break;
	case NATIVE_KIND_GPR:
		EMIT(emitter, 0x48, store ? 0x89 : 0x8b, (uint8_t)(gpr << 3 | pointer));
		break;
	default:
		break;
	}
}

void native_emit_save_flags(struct emitter *emitter)
{
	EMIT(emitter, 0x9c, 0x58); /* pushfq; pop rax */
	EMIT(emitter, 0x25); /* and eax, imm32 */
	native_emit32(emitter, X86_FLAGS_ARITH);
	EMIT_CPU(emitter, true, 4, rflags, 0x81); /* and qword [rflags], imm32 */
	native_emit32(emitter, ~(uint32_t)X86_FLAGS_ARITH);
	EMIT_CPU(emitter, true, 0, rflags, 0x09); /* or [rflags], rax */
}

/* The instruction itself with its renamed operands. */
static void emit_insn(struct emitter *emitter, const struct insn *insn, const struct native_op *op)
{
	static const uint8_t prefix_bytes[] = {0, 0x66, 0xf3, 0xf2};
	enum native_prefix prefix = native_prefix(insn);
	unsigned reg = op->reg_kind == NATIVE_KIND_NONE	 ? (insn->modrm >> 3) & 7
		       : op->reg_kind == NATIVE_KIND_GPR ? (unsigned)GPR_REG
							 : (unsigned)REG_OPERAND;
	unsigned rm = insn->is_memory		       ? (unsigned)POINTER_RM
		      : op->rm_kind == NATIVE_KIND_GPR ? (unsigned)GPR_RM
						       : (unsigned)RM_OPERAND;

	if (prefix != NATIVE_PREFIX_NONE) {
		EMIT(emitter, prefix_bytes[prefix]);
	}
	if ((op->flags & NATIVE_FLAG_REX_W) && (insn->prefixes & INSN_PREFIX_REX_W)) {
		EMIT(emitter, 0x48);
	}
	EMIT(emitter, 0x0f);
	if (insn->map == INSN_MAP_0F38) {
		EMIT(emitter, 0x38);
	} else if (insn->map == INSN_MAP_0F3A) {
		EMIT(emitter, 0x3a);
	}
	EMIT(emitter, insn->opcode, (uint8_t)((insn->is_memory ? 0 : 0xc0) | reg << 3 | rm));
	if (op->flags & NATIVE_FLAG_IMM8) {
		EMIT(emitter, (uint8_t)insn->imm);
	}
}

static void emit_load_operands(
		struct emitter *emitter, const struct insn *insn, const struct native_op *op)
{
	emit_transfer(emitter, op->reg_kind, false, false);
	if (!insn->is_memory) {
		emit_transfer(emitter, op->rm_kind, true, false);
	}
	if (op->flags & NATIVE_FLAG_XMM0) {
		EMIT_CPU(emitter, false, 0, fx.xmm, 0x0f, 0x10);
	}
	if (op->flags & NATIVE_FLAG_RAX_RDX) {
		EMIT_CPU(emitter, true, 0, regs[X86_RAX], 0x8b); /* rdx is there already */
	}
}

static void emit_store_results(
		struct emitter *emitter, const struct insn *insn, const struct native_op *op)
{
	if (op->flags & NATIVE_FLAG_TO_XMM0) {
		EMIT_CPU(emitter, false, 0, fx.xmm, 0x0f, 0x11);
	}
	if (op->flags & NATIVE_FLAG_TO_RCX) {
		EMIT_CPU(emitter, true, 1, regs[X86_RCX], 0x89);
	}
	if (!(op->flags & NATIVE_FLAG_NO_DESTINATION)) {
		bool to_rm = op->flags & NATIVE_FLAG_TO_RM;
		if (!to_rm) {
			emit_transfer(emitter, op->reg_kind, false, true);
		} else if (!insn->is_memory) {
			emit_transfer(emitter, op->rm_kind, true, true);
		}
	}
	if (op->flags & NATIVE_FLAG_RFLAGS) {
		native_emit_save_flags(emitter);
	}
}

void native_emit_return(struct emitter *emitter)
{
	EMIT(emitter, 0x31, 0xc0, 0xc3); /* xor eax, eax; ret */
}

static void emit_vector_thunk(
		struct emitter *emitter, const struct insn *insn, const struct native_op *op)
{
	if (op->flags & NATIVE_FLAG_MXCSR) {
		EMIT_CPU(emitter, false, 2, fx.mxcsr, 0x0f, 0xae); /* ldmxcsr */
	}
	emit_load_operands(emitter, insn, op);
	emit_insn(emitter, insn, op);
	emit_store_results(emitter, insn, op);
	if (op->flags & NATIVE_FLAG_MXCSR) {
		EMIT_CPU(emitter, false, 3, fx.mxcsr, 0x0f, 0xae); /* stmxcsr */
		native_emit_host_mxcsr(emitter);
	}
	if (op->reg_kind == NATIVE_KIND_MM || op->rm_kind == NATIVE_KIND_MM) {
		EMIT(emitter, 0x0f, 0x77); /* emms */
	}
	native_emit_return(emitter);
}

/*
 * x87 runs on the whole image. Nothing can fault here: no exception pends on entry, and one that the instruction
 * raises waits for the next x87 instruction, which does not look.
 */
static void emit_x87_thunk(
		struct emitter *emitter, const struct insn *insn, const struct native_op *op)
{
	EMIT_CPU(emitter, true, 1, fx, 0x0f, 0xae); /* fxrstor64 */
	if (op->flags & NATIVE_FLAG_READS_CARRY) {
		EMIT_CPU(emitter, false, 0, rflags, 0x8b); /* mov eax, [rflags] */
		EMIT(emitter, 0xc1, 0xe0, 8, 0x9e); /* shl eax, 8; sahf */
	}
	EMIT(emitter, insn->opcode);
	if (insn->is_memory) {
		EMIT(emitter, (uint8_t)((insn->modrm & 0x38) | POINTER_RM));
	} else {
		EMIT(emitter, insn->modrm);
	}
	if (op->flags & NATIVE_FLAG_RFLAGS) {
		native_emit_save_flags(emitter);
	}
	EMIT_CPU(emitter, true, 0, fx, 0x0f, 0xae); /* fxsave64 */
	emit_host_x87(emitter);
	native_emit_host_mxcsr(emitter);
	native_emit_return(emitter);
}

static void init_header_locked(void)
{
	struct area_header *header = (struct area_header *)(void *)area.write;
	struct emitter emitter = {
			.bytes = header->abort,
			.offset = offsetof(struct area_header, abort),
	};

	header->host_mxcsr = HOST_MXCSR;
	header->host_fcw = HOST_FCW;
	native_emit_host_mxcsr(&emitter);
	EMIT(&emitter, 0x0f, 0x77); /* emms */
	EMIT(&emitter, 0xb8, 1, 0, 0, 0, 0xc3); /* mov eax, 1; ret */
	assert(emitter.len <= sizeof(header->abort));
	area.used = sizeof(*header);
}

static bool open_area_locked(GError **error)
{
	struct code_memory memory;

	if (!code_memory_map("native-thunks", AREA_SIZE, &memory, error)) {
		return false;
	}
	area.write = memory.writable;
	area.code = memory.executable;
	area.ops = g_hash_table_new(g_int64_hash, g_int64_equal);
	init_header_locked();
	if (!catching) {
		native_catch_sigfpe();
	}
	return true;
}

static bool ensure_area_locked(void)
{
	g_autoptr(GError) error = NULL;

	if (area.code || area.failed) {
		return area.code;
	}
	if (!open_area_locked(&error)) {
		log_error("no SSE, MMX or x87 for guests: %s", error->message);
		area.failed = true;
	}
	return area.code;
}

/* Equal keys, equal thunks. */
static uint64_t op_key(const struct insn *insn, const struct native_op *op)
{
	uint64_t key = insn->opcode | (uint64_t)insn->map << 8 | (uint64_t)insn->is_memory << 10;
	unsigned extension = (insn->modrm >> 3) & 7;

	if (op->flags & NATIVE_FLAG_X87) {
		key |= BIT(11) | (uint64_t)extension << 12;
		return insn->is_memory ? key : key | (uint64_t)(insn->modrm & 7) << 16;
	}
	key |= (uint64_t)native_prefix(insn) << 20;
	if (op->reg_kind == NATIVE_KIND_NONE) {
		key |= (uint64_t)extension << 12;
	}
	if ((op->flags & NATIVE_FLAG_REX_W) && (insn->prefixes & INSN_PREFIX_REX_W)) {
		key |= BIT(22);
	}
	if (op->flags & NATIVE_FLAG_IMM8) {
		key |= (uint64_t)(uint8_t)insn->imm << 24;
	}
	return key;
}

static struct native_op describe(const struct insn *insn, const struct native_desc *desc)
{
	enum native_kind vector = native_prefix(insn) == NATIVE_PREFIX_66 ? NATIVE_KIND_XMM
									  : NATIVE_KIND_MM;
	struct native_op op = {.flags = NATIVE_FLAG_X87};

	if (desc) {
		op.reg_kind = desc->reg_kind == NATIVE_KIND_MM_XMM ? vector : desc->reg_kind;
		op.rm_kind = desc->rm_kind == NATIVE_KIND_MM_XMM ? vector : desc->rm_kind;
		op.flags = desc->flags;
	} else if (!insn->is_memory && (insn->opcode == 0xda || insn->opcode == 0xdb)) {
		unsigned extension = (insn->modrm >> 3) & 7;
		if (extension < 4) { /* FCMOVcc */
			op.flags |= NATIVE_FLAG_READS_CARRY;
		}
	}
	if (!desc && !insn->is_memory && (insn->opcode == 0xdb || insn->opcode == 0xdf) &&
			(insn->modrm >= 0xe8 && insn->modrm < 0xf8)) { /* F?COMI(P) */
		op.flags |= NATIVE_FLAG_RFLAGS;
	}
	return op;
}

static const struct native_op *build_locked(uint64_t key, const struct native_op *described,
		native_emit_fn *emit, const void *opaque)
{
	struct emitter emitter = {.bytes = area.write + area.used, .offset = area.used};
	struct native_op *op;
	uint64_t *stored_key;

	if (area.used + THUNK_MAX > AREA_SIZE) {
		return NULL;
	}
	emit(&emitter, opaque);
	op = g_new(struct native_op, 1);
	*op = *described;
	op->run = (native_thunk_fn *)(uintptr_t)(area.code + area.used);
	area.used += (emitter.len + THUNK_ALIGN - 1) & ~(size_t)(THUNK_ALIGN - 1);
	stored_key = g_new(uint64_t, 1);
	*stored_key = key;
	g_hash_table_insert(area.ops, stored_key, op);
	return op;
}

void native_prepare(void)
{
	g_mutex_lock(&area.lock);
	(void)ensure_area_locked(); /* it says why not, and that guests then have no such instructions */
	g_mutex_unlock(&area.lock);
}

static const struct native_op *get(uint64_t key, const struct native_op *described,
		native_emit_fn *emit, const void *opaque)
{
	const struct native_op *op = NULL;

	g_mutex_lock(&area.lock);
	if (ensure_area_locked()) {
		op = g_hash_table_lookup(area.ops, &key);
		if (!op) {
			op = build_locked(key, described, emit, opaque);
		}
	}
	g_mutex_unlock(&area.lock);
	return op;
}

const struct native_op *native_thunk_get(
		uint64_t key, uint16_t flags, native_emit_fn *emit, const void *opaque)
{
	const struct native_op described = {.flags = flags};

	assert(key & NATIVE_KEY_AVX);
	return get(key, &described, emit, opaque);
}

/* What emit_described() works on. */
struct request {
	const struct insn *insn;
	const struct native_op *op;
};

static void emit_described(struct emitter *emitter, const void *opaque)
{
	const struct request *request = opaque;

	if (request->op->flags & NATIVE_FLAG_X87) {
		emit_x87_thunk(emitter, request->insn, request->op);
	} else {
		emit_vector_thunk(emitter, request->insn, request->op);
	}
}

const struct native_op *native_op_get(const struct insn *insn, const struct native_desc *desc)
{
	const struct native_op described = describe(insn, desc);
	const struct request request = {insn, &described};

	return get(op_key(insn, &described), &described, emit_described, &request);
}

static void handle_sigfpe(int signal_number, siginfo_t *info, void *data)
{
	ucontext_t *uc = data;
	struct cpu *cpu = unmasked_cpu;
	uint64_t offset = (uint64_t)uc->uc_mcontext.gregs[REG_RIP] - (uintptr_t)area.code;

	if (cpu && offset < AREA_SIZE) {
		unmasked_cpu = NULL;
		cpu->fx.mxcsr = uc->uc_mcontext.fpregs->mxcsr;
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)(area.code +
								     offsetof(struct area_header,
										     abort));
	} else if (next_sigfpe.sa_flags & SA_SIGINFO) {
		next_sigfpe.sa_sigaction(signal_number, info, data);
	} else if (next_sigfpe.sa_handler != SIG_DFL && next_sigfpe.sa_handler != SIG_IGN) {
		next_sigfpe.sa_handler(signal_number);
	} else {
		(void)signal(signal_number, SIG_DFL); /* a bug: it happens again and kills us */
	}
}

void native_catch_sigfpe(void)
{
	struct sigaction action = {
			.sa_sigaction = handle_sigfpe,
			.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	struct sigaction old;

	catching = true;
	if (sigaction(SIGFPE, NULL, &old) == 0 && old.sa_sigaction != handle_sigfpe) {
		next_sigfpe = old;
		(void)sigaction(SIGFPE, &action, NULL);
	}
}

bool native_run_unmasked(const struct native_op *op, void *reg, const void *rm, uint64_t rdx,
		uint64_t rcx, struct cpu *cpu)
{
	unsigned raised;

	unmasked_cpu = cpu;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	raised = op->run(reg, rm, rdx, rcx, cpu);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	unmasked_cpu = NULL;
	return raised == 0;
}
