/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/code.h"

#include "core/engine/soft/block.h"
#include "core/engine/soft/code_memory.h"
#include "core/engine/soft/exec.h"
#include "core/engine/soft/exec_integer.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/mxcsr.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/translator/x87.h"

#include <string.h>

typedef uint32_t code_enter_fn(struct cpu *cpu, const uint8_t *entry);

struct code {
	struct code_memory memory;
	size_t used, stubs; /* stubs: bytes taken by what is always there */
	const uint8_t *enter, *call_out, *call_out_last, *bring_in_x87, *missed, *lookup, *link,
			*link_stored, *attend;
};

#define STATE(field) host_state(offsetof(struct cpu, field))
#define CONDITION_ZERO 4
#define CONDITION_NOT_ZERO 5
#define INT3 0xcc

/* Whether the executor looks at fx.mxcsr, or runs host code that does. */
static bool wants_mxcsr(const struct insn *insn)
{
	return insn->insn_class != INSN_CLASS_INTEGER && insn->insn_class != INSN_CLASS_SYSTEM;
}

static void execute(struct cpu *cpu, const struct insn *insn)
{
	if (unlikely(cpu->x87_resident)) {
		x87_take_out(cpu);
	}
	if (wants_mxcsr(insn)) {
		mxcsr_take_out(cpu);
	}
	cpu->interrupt_shadow = 0; /* of an instruction before this one */
	cpu->rflags = flags_merge(cpu->rflags, cpu->packed_flags);
	stats_call_out(&cpu->stats, insn);
	insn->exec(cpu, insn);
	cpu->packed_flags = (uint16_t)flags_pack(cpu->rflags);
	mxcsr_bring_in(cpu);
}

/* What emit_call_out() does after an instruction. */
enum outcome {
	OUTCOME_NEXT, /* goes on behind it */
	OUTCOME_LEAVE, /* leaves: rip is where to go on */
	OUTCOME_JUMP, /* goes on at rip in translated code, if there is any */
};

/* Translations hold for one TLB set, which STAC and CLAC change, and for one state of SSE. */
static bool same_translations(const struct cpu *cpu)
{
	return !__atomic_load_n(&cpu->request, __ATOMIC_RELAXED) && !fpu_native_changed(cpu);
}

/*
 * The run loop has to look at each instruction. The shadow of STI does not count: nothing is delivered before the next look at
 * requests, and the run loop executes an instruction first where it finds a shadow then.
 */
static bool watched(const struct cpu *cpu)
{
	return (cpu->rflags & (X86_FLAG_TF | X86_FLAG_RF)) || (cpu->dr[7] & 0xff) ||
	       cpu->interrupt_shadow == INTERRUPT_SHADOW_STACK || cpu->debugger_step;
}

/*
 * After an instruction that may have changed anything: to another translation, with nothing for the run loop to see to. The
 * tables of jumps know the way if mappings are what they were.
 */
static enum outcome jump_or_leave(struct cpu *cpu)
{
	bool user = cpu->tlb_set == TLB_USER;

	if (!same_translations(cpu) || !code_holds(cpu) || watched(cpu) ||
			cpu->activity != CPU_ACTIVE ||
			cpu->fetch_epoch[user] != cpu->jumps_epoch[user] ||
			!linear_is_canonical(cpu->rip)) {
		return OUTCOME_LEAVE;
	}
	cpu->jumps = cpu->jumps_of[cpu->tlb_set];
	return OUTCOME_JUMP;
}

/* Executes an instruction for translated code. The state is in cpu, flags packed. */
static uint32_t call_out(struct cpu *cpu, const uint8_t *bytes)
{
	const struct insn *insn = block_called_out(cpu, bytes);
	const struct tlb *tlb = cpu->tlb;

	execute(cpu, insn);
	if (likely(cpu->tlb == tlb && same_translations(cpu))) {
		return OUTCOME_NEXT;
	}
	cpu->rip += insn->length;
	return jump_or_leave(cpu);
}

static uint32_t call_out_last(struct cpu *cpu, const uint8_t *bytes)
{
	const struct insn *insn = block_called_out(cpu, bytes);

	cpu->next_rip = cpu->rip + insn->length;
	execute(cpu, insn);
	cpu->rip = cpu->next_rip;
	return jump_or_leave(cpu);
}

/*
 * An instruction needs the guest's x87 state in the host's registers. Where it cannot be, the instruction is executed here, and
 * execution goes on elsewhere, because those that follow count on it.
 */
static uint32_t bring_in_x87(struct cpu *cpu, const uint8_t *bytes)
{
	if (likely(x87_bring_in(cpu))) {
		return OUTCOME_NEXT;
	}
	return call_out_last(cpu, bytes);
}

static void emit_save_registers(struct emitter *e)
{
	for (unsigned reg = 0; reg < X86_REG_COUNT; reg++) {
		if (code_home(reg) != HOST_NONE) {
			emit_store(e, code_reg_state(reg), code_home(reg));
		}
	}
}

static void emit_save(struct emitter *e)
{
	emit_save_registers(e);
	emit_flags_out(e);
	const struct host_op store16 = {.opcode = 0x89, .opsize = true};
	emit_op(e, &store16, HOST_RAX, STATE(packed_flags));
}

static void emit_restore(struct emitter *e)
{
	emit_load16(e, HOST_RAX, STATE(packed_flags));
	emit_flags_in(e);
	for (unsigned reg = 0; reg < X86_REG_COUNT; reg++) {
		if (code_home(reg) != HOST_NONE) {
			emit_load(e, code_home(reg), code_reg_state(reg));
		}
	}
}

/* rip = page_rip + r14, which is an offset in its low half, signed. */
static void emit_set_rip(struct emitter *e)
{
	const struct host_op movsxd = {.opcode = 0x63, .rex_w = true};

	emit_op(e, &movsxd, HOST_R14, host_register(HOST_R14));
	emit_alu(e, 0, HOST_R14, STATE(page_rip));
	emit_store(e, STATE(rip), HOST_R14);
}

static const uint8_t pushed[] = {HOST_RBX, HOST_RBP, HOST_R12, HOST_R13, HOST_R14, HOST_R15};

/* Inside, rsp is 8 beyond a multiple of 16, as where a function begins. */
static void emit_enter(struct emitter *e)
{
	for (size_t i = 0; i < G_N_ELEMENTS(pushed); i++) {
		if (pushed[i] & 8) {
			emit8(e, 0x41);
		}
		emit8(e, (uint8_t)(0x50 | (pushed[i] & 7)));
	}
	emit_store(e, STATE(scratch[0]), HOST_RSI);
	emit_load(e, HOST_R14, STATE(rip));
	emit_restore(e);
	emit_jmp_indirect(e, STATE(scratch[0]));
}

/* State is in cpu; returns the reason. */
static void emit_leave(struct emitter *e, enum code_exit reason)
{
	emit_mov_imm(e, HOST_RAX, reason);
	for (size_t i = G_N_ELEMENTS(pushed); i-- > 0;) {
		if (pushed[i] & 8) {
			emit8(e, 0x41);
		}
		emit8(e, (uint8_t)(0x58 | (pushed[i] & 7)));
	}
	emit8(e, 0xc3);
}

/* Called: r14 and r15 as for code_call_out(). lookup: where to look for r14. */
static void emit_call_out(struct emitter *e, const uint8_t *lookup,
		uint32_t (*function)(struct cpu *, const uint8_t *))
{
	const struct host_op test = {.opcode = 0x85};
	const struct host_op cmp = {.opcode = 0x83, .imm_size = 1, .imm = OUTCOME_LEAVE};
	const struct host_op call = {.opcode = 0xff};
	uint8_t *elsewhere, *leave;

	emit_save(e);
	emit_set_rip(e);
	emit_load(e, HOST_RDI, STATE(self));
	emit_store(e, host_register(HOST_RSI), HOST_R15);
	emit_mov_imm(e, HOST_RAX, (uint64_t)(uintptr_t)function);
	emit_op(e, &call, 2, host_register(HOST_RAX));
	emit_op(e, &test, HOST_RAX, host_register(HOST_RAX));
	elsewhere = emit_jcc(e, CONDITION_NOT_ZERO);
	emit_restore(e);
	emit8(e, 0xc3);
	emit_here(e, elsewhere);
	emit_alu_imm(e, 0, HOST_RSP, 8);
	emit_op(e, &cmp, 7, host_register(HOST_RAX));
	leave = emit_jcc(e, CONDITION_ZERO);
	emit_load(e, HOST_R14, STATE(rip));
	emit_restore(e);
	emit_jmp_to(e, lookup);
	emit_here(e, leave);
	emit_leave(e, CODE_EXIT_ATTEND);
}

/* Flags are in packed_flags. */
static void emit_lookup(struct emitter *e, const uint8_t *missed)
{
	const struct host_op lea = {.opcode = 0x8d};
	const struct host_op and = {.opcode = 0x81,
			.imm_size = 4,
			.imm = (CODE_JUMPS - 1) * sizeof(struct code_jump)};
	const struct host_op cmp_imm = {.opcode = 0x83, .imm_size = 1};
	const struct host_op cmp = {.opcode = 0x3b, .rex_w = true};

	emit_op(e, &cmp_imm, 7, STATE(request));
	emit_jcc_to(e, CONDITION_NOT_ZERO, missed);
	/* code_jump_index(), in bytes */
	emit_op(e, &lea, HOST_R15, host_memory(HOST_NONE, HOST_R14, 2, 0));
	emit_op(e, &and, 4, host_register(HOST_R15));
	emit_alu(e, 0, HOST_R15, STATE(jumps));
	emit_op(e, &cmp, HOST_R14, host_memory(HOST_R15, HOST_NONE, 0, 0));
	emit_jcc_to(e, CONDITION_NOT_ZERO, missed);
	emit_jmp_indirect(e, host_memory(HOST_R15, HOST_NONE, 0, 8));
}

/* Where it finds nothing. */
static void emit_missed(struct emitter *e)
{
	emit_store(e, STATE(rip), HOST_R14);
	emit_save_registers(e);
	emit_leave(e, CODE_EXIT_LOOKUP);
}

static void emit_exit(struct emitter *e, enum code_exit reason, bool flags_stored)
{
	const struct host_op movzx = {.map = INSN_MAP_0F, .opcode = 0xb7};

	if (flags_stored) {
		emit_save_registers(e);
	} else {
		emit_save(e);
	}
	emit_op(e, &movzx, HOST_R14,
			host_register(HOST_R14)); /* the rest of it describes the site */
	emit_set_rip(e);
	emit_store(e, STATE(exit_site), HOST_R15);
	emit_leave(e, reason);
}

static void emit_stubs(struct code *code)
{
	struct emitter e = {.at = code->memory.writable,
			.end = code->memory.writable + code->memory.size};

	code->enter = e.at;
	emit_enter(&e);
	code->missed = e.at;
	emit_missed(&e);
	code->lookup = e.at;
	emit_lookup(&e, code->missed);
	code->call_out = e.at;
	emit_call_out(&e, code->lookup, call_out);
	code->call_out_last = e.at;
	emit_call_out(&e, code->lookup, call_out_last);
	code->bring_in_x87 = e.at;
	emit_call_out(&e, code->lookup, bring_in_x87);
	code->link = e.at;
	emit_exit(&e, CODE_EXIT_LINK, false);
	code->link_stored = e.at;
	emit_exit(&e, CODE_EXIT_LINK, true);
	code->attend = e.at;
	emit_exit(&e, CODE_EXIT_ATTEND, false);
	/* Nothing leads here. */
	while ((size_t)(e.at - code->memory.writable) % 64 != 0) {
		emit8(&e, INT3);
	}
	assert(!e.full);
	code->stubs = (size_t)(e.at - code->memory.writable);
}

struct code *code_create(const char *name, size_t size)
{
	struct code *code = g_new0(struct code, 1);

	if (!code_memory_map(name, size, &code->memory, NULL)) {
		g_free(code);
		return NULL;
	}
	emit_stubs(code);
	code_clear(code);
	return code;
}

void code_destroy(struct code *code)
{
	if (code) {
		code_memory_unmap(&code->memory);
		g_free(code);
	}
}

void code_clear(struct code *code)
{
	code->used = code->stubs;
}

bool code_begin(struct code *code, struct emitter *ret_emitter)
{
	if (code->memory.size - code->used < CODE_BLOCK_MAX) {
		return false;
	}
	*ret_emitter = (struct emitter){.at = code->memory.writable + code->used,
			.end = code->memory.writable + code->used + CODE_BLOCK_MAX};
	return true;
}

void code_end(struct code *code, const struct emitter *emitter)
{
	code->used = ((size_t)(emitter->at - code->memory.writable) + 15) & ~(size_t)15;
}

size_t code_used(const struct code *code)
{
	return code->used;
}

const uint8_t *code_base(const struct code *code)
{
	return code->memory.executable;
}

const uint8_t *code_executable(const struct code *code, const uint8_t *writable)
{
	return code->memory.executable + (writable - code->memory.writable);
}

uint8_t *code_writable(const struct code *code, const uint8_t *executable)
{
	return code->memory.writable + (executable - code->memory.executable);
}

const uint8_t *code_call_out(const struct code *code)
{
	return code->call_out;
}

const uint8_t *code_call_out_last(const struct code *code)
{
	return code->call_out_last;
}

const uint8_t *code_bring_in_x87(const struct code *code)
{
	return code->bring_in_x87;
}

void code_emit_lookup(const struct code *code, struct emitter *emitter)
{
	emit_lookup(emitter, code->missed);
}

/* Behind the displacement: movabs r14, of which all but 16 bits are the struct code_site. */
#define SITE_DESCRIPTION (4 + 2)
#define SITE_FLAGS_STORED BIT(16)
#define SITE_UPPER BIT(17)
#define SITE_LOW_SHIFT 32
#define SITE_HIGH_SHIFT 48

static const uint8_t vzeroupper[] = {0xc5, 0xf8, 0x77};

void code_emit_zero_upper(struct emitter *e)
{
	for (size_t i = 0; i < sizeof(vzeroupper); i++) {
		emit8(e, vzeroupper[i]);
	}
}

void code_keep_upper(uint8_t *site)
{
	static const uint8_t nop[sizeof(vzeroupper)] = {0x0f, 0x1f, 0x00};
	uint8_t *at = site - 1 - sizeof(vzeroupper);

	memcpy(at, nop, sizeof(nop));
}

void code_emit_site(const struct code *code, struct emitter *e, uint32_t offset,
		struct code_site description)
{
	uint8_t *site;

	if (description.upper) {
		code_emit_zero_upper(e);
	}
	site = emit_jmp(e);
	emit8(e, 0x49);
	emit8(e, 0xbe);
	emit64(e, offset | (description.flags_stored ? SITE_FLAGS_STORED : 0) |
					(description.upper ? SITE_UPPER : 0) |
					(uint64_t)description.loaded.low << SITE_LOW_SHIFT |
					(uint64_t)description.loaded.high << SITE_HIGH_SHIFT);
	emit_mov_imm(e, HOST_R15, (uint64_t)(uintptr_t)site);
	emit_jmp_to(e, description.flags_stored ? code->link_stored : code->link);
}

struct code_site code_site_at(const uint8_t *site)
{
	uint64_t bits;

	memcpy(&bits, site + SITE_DESCRIPTION, sizeof(bits));
	return (struct code_site){
			.flags_stored = bits & SITE_FLAGS_STORED,
			.upper = bits & SITE_UPPER,
			.loaded = {(uint16_t)(bits >> SITE_LOW_SHIFT),
					(uint16_t)(bits >> SITE_HIGH_SHIFT)},
	};
}

const uint8_t *code_attend(const struct code *code)
{
	return code->attend;
}

enum code_exit code_run(struct code *code, struct cpu *cpu, const uint8_t *entry)
{
	code_enter_fn *enter = (code_enter_fn *)(uintptr_t)code_executable(code, code->enter);
	uint32_t reason;

	cpu->packed_flags = (uint16_t)flags_pack(cpu->rflags);
	mxcsr_bring_in(cpu);
	reason = enter(cpu, entry);
	if (cpu->x87_resident) {
		x87_take_out(cpu);
	}
	mxcsr_take_out(cpu);
	cpu->rflags = flags_merge(cpu->rflags, cpu->packed_flags);
	return (enum code_exit)reason;
}
