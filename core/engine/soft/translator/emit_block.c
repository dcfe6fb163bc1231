/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/emit_block.h"

#include "core/engine/soft/translator/shape.h"

#define STATE(field) host_state(offsetof(struct cpu, field))
#define PAGE_OFFSET(address) ((address) & (GUEST_PAGE_SIZE - 1))

/* ALU operations, as opcode extensions. */
enum alu {
	ALU_ADD = 0,
	ALU_AND = 4,
	ALU_SUB = 5,
	ALU_CMP = 7,
};

#define CONDITION_NOT_EQUAL 5
#define CONDITION_ABOVE 7

/* A way out of the straight line: the instruction is executed by the interpreter's function. */
struct slow_path {
	uint8_t *from; /* the branch's displacement */
	uint8_t *back; /* where to go on; NULL: the instruction ends the block */
	const struct insn *insn;
	uint32_t offset; /* of the instruction in its page */
	bool flags_in_rax; /* with rax in scratch[1] */
	uint16_t dirty; /* XMM registers to be stored before */
	uint16_t loaded; /* XMM registers to be loaded after */
};

struct unit {
	struct emitter *e;
	struct code *code;
	unsigned set;
	const struct insn *insn; /* being translated */
	struct shape shape;
	uint32_t offset; /* of insn in its page */
	bool live; /* some flag from before insn is needed by it or later */
	uint16_t loaded; /* XMM registers that the host has */
	uint16_t dirty; /* of these, newer than those of the guest's state */
	unsigned slow_count;
	struct slow_path slow[2 * BLOCK_MAX_INSNS];
};

/* The guest register in a host register: its home, or loaded into the given one. */
static unsigned reg_in(struct unit *u, unsigned reg, unsigned scratch)
{
	unsigned host = code_home(reg);

	if (host == HOST_NONE) {
		emit_load(u->e, scratch, code_reg_state(reg));
		return scratch;
	}
	return host;
}

static void reg_to(struct unit *u, unsigned reg, unsigned host)
{
	if (code_home(reg) == HOST_NONE) {
		emit_store(u->e, code_reg_state(reg), host);
	} else if (code_home(reg) != host) {
		emit_store(u->e, host_register(code_home(reg)), host);
	}
}

static void emit_rip(struct unit *u, unsigned host, int64_t offset)
{
	emit_load(u->e, host, STATE(page_rip));
	while (offset != 0) {
		int32_t part = (int32_t)CLAMP(offset, INT32_MIN, INT32_MAX);
		emit_lea(u->e, host, host_memory(host, HOST_NONE, 0, part));
		offset -= part;
	}
}

/* r14 = the offset part of the memory operand. Uses r15. Flags stay. */
static void emit_offset(struct unit *u)
{
	const struct insn *insn = u->insn;
	unsigned base = HOST_NONE, index = HOST_NONE;

	if (insn->base == INSN_BASE_RIP) {
		emit_rip(u, HOST_R14, (int64_t)u->offset + insn->length + insn->disp);
		return;
	}
	if (insn->base != INSN_REG_NONE) {
		base = reg_in(u, insn->base, HOST_R14);
	}
	if (insn->index != INSN_REG_NONE) {
		index = reg_in(u, insn->index, HOST_R15);
	}
	if (base == HOST_NONE && index == HOST_NONE) {
		emit_mov_imm(u->e, HOST_R14, (uint64_t)(int64_t)insn->disp);
	} else {
		emit_lea(u->e, HOST_R14, host_memory(base, index, insn->scale, insn->disp));
	}
}

static bool is_moffs(const struct insn *insn)
{
	return insn->map == INSN_MAP_LEGACY && insn->opcode >= 0xa0 && insn->opcode <= 0xa3;
}

/* r14 = the linear address of the memory operand. */
static void emit_linear(struct unit *u)
{
	unsigned segment = u->insn->segment;

	emit_offset(u);
	if (segment == X86_FS || segment == X86_GS) {
		emit_load(u->e, HOST_R15,
				host_state(offsetof(struct cpu, seg_base) +
						segment * sizeof(uint64_t)));
		emit_lea(u->e, HOST_R14, host_memory(HOST_R14, HOST_R15, 0, 0));
	}
}

/* MOVAPS between an XMM register and its place in the guest's state: 28 loads, 29 stores. */
static void emit_xmm(struct unit *u, uint8_t opcode, unsigned reg)
{
	const struct host_op op = {.map = INSN_MAP_0F, .opcode = opcode};

	emit_op(u->e, &op, reg, host_state(offsetof(struct cpu, fx.xmm) + reg * 16));
}

static void emit_xmms(struct unit *u, uint8_t opcode, uint16_t which)
{
	for (unsigned reg = 0; reg < 16; reg++) {
		if (which & BIT(reg)) {
			emit_xmm(u, opcode, reg);
		}
	}
}

/* Brings the guest's state up to date: before whatever leaves the translation. */
static void store_xmms(struct unit *u)
{
	emit_xmms(u, 0x29, u->dirty);
	u->dirty = 0;
}

static void add_slow(struct unit *u, uint8_t *from, bool flags_in_rax)
{
	assert(u->slow_count < G_N_ELEMENTS(u->slow));
	u->slow[u->slow_count++] = (struct slow_path){.from = from,
			.insn = u->insn,
			.offset = u->offset,
			.flags_in_rax = flags_in_rax,
			.dirty = u->dirty};
}

static size_t tlb_offset(const struct unit *u, bool write)
{
	return offsetof(struct cpu, tlbs) + u->set * sizeof(struct tlb) +
	       (write ? offsetof(struct tlb, write) : offsetof(struct tlb, read));
}

/* r14, a linear address, becomes the host's; or the slow path is taken. Uses r15. */
static void emit_translate(struct unit *u, unsigned size, bool write)
{
	struct emitter *e = u->e;
	const struct host_op shr = {.opcode = 0xc1, .imm_size = 1, .imm = 8};
	const struct host_op and = {.opcode = 0x81, .imm_size = 4, .imm = (TLB_ENTRIES - 1) << 4};
	const struct host_op cmp = {.opcode = 0x81,
			.rex_w = true,
			.imm_size = 4,
			.imm = (uint32_t)(GUEST_PAGE_SIZE - size)};
	const struct host_op test = {
			.opcode = 0xf6, .imm_size = 1, .imm = (uint8_t)(u->shape.aligned - 1)};
	size_t table = tlb_offset(u, write);

	if (u->live) {
		emit_store(e, STATE(scratch[1]), HOST_RAX);
		emit_flags_out(e);
	}
	/* Entries are 16 bytes. */
	emit_load32(e, HOST_R15, host_register(HOST_R14));
	emit_op(e, &shr, 5, host_register(HOST_R15));
	emit_op(e, &and, 4, host_register(HOST_R15));
	emit_alu(e, ALU_SUB, HOST_R14,
			host_state_at(HOST_R15, table + offsetof(struct tlb_entry, tag)));
	emit_op(e, &cmp, ALU_CMP, host_register(HOST_R14));
	add_slow(u, emit_jcc(e, CONDITION_ABOVE), u->live);
	if (u->shape.aligned > 1) {
		/* Pages are aligned: the offset tells. */
		emit_op(e, &test, 0, host_register(HOST_R14));
		add_slow(u, emit_jcc(e, CONDITION_NOT_EQUAL), u->live);
	}
	emit_alu(e, ALU_ADD, HOST_R14,
			host_state_at(HOST_R15, table + offsetof(struct tlb_entry, page)));
	if (u->live) {
		emit_flags_in(e);
		emit_load(e, HOST_RAX, STATE(scratch[1]));
	}
}

static void emit_memory_operand(struct unit *u, unsigned size, bool write)
{
	emit_linear(u);
	emit_translate(u, size, write);
}

static void emit_call_out(struct unit *u, const struct insn *insn, uint32_t offset, bool last)
{
	emit_mov_imm(u->e, HOST_R14, offset);
	emit_mov_imm(u->e, HOST_R15, (uint64_t)(uintptr_t)insn);
	emit_call_to(u->e, last ? code_call_out_last(u->code) : code_call_out(u->code));
}

/* AH, CH, DH, BH. */
static bool is_high_byte(const struct insn *insn, unsigned reg, unsigned size)
{
	return size == 1 && reg >= 4 && reg < 8 && !(insn->prefixes & INSN_PREFIX_REX);
}

/*
 * Instructions that name one of AH to BH can be emitted only without REX: with both operands registers that have low
 * numbers in the host, too.
 */
static bool high_bytes_fit(const struct insn *insn, const struct shape *shape)
{
	bool reg_high = shape->reg_use && is_high_byte(insn, insn->reg, shape->reg_size);
	bool rm_high = !insn->is_memory && is_high_byte(insn, insn->rm, shape->rm_size);

	if (!reg_high && !rm_high) {
		return true;
	}
	if (insn->is_memory || (insn->prefixes & INSN_PREFIX_REX) || insn->operand_size == 8) {
		return false;
	}
	if (shape->reg_use && !reg_high &&
			(code_home(insn->reg) == HOST_NONE || code_home(insn->reg) >= 4)) {
		return false;
	}
	return rm_high || (code_home(insn->rm) != HOST_NONE && code_home(insn->rm) < 4);
}

/* A host register for an operand; what it is before the instruction is there if it matters. */
static unsigned operand_in(
		struct unit *u, unsigned reg, unsigned use, unsigned size, unsigned scratch)
{
	if (is_high_byte(u->insn, reg, size)) {
		return reg;
	}
	if (code_home(reg) != HOST_NONE) {
		return code_home(reg);
	}
	if ((use & SHAPE_READ) || size < 4) {
		emit_load(u->e, scratch, code_reg_state(reg));
	}
	return scratch;
}

static void operand_out(struct unit *u, unsigned reg, unsigned use, unsigned host)
{
	if ((use & SHAPE_WRITE) && code_home(reg) == HOST_NONE) {
		emit_store(u->e, code_reg_state(reg), host);
	}
}

/* Low bytes of rbp, rsi, rdi, which without REX would be CH to BH. */
static bool needs_rex(const struct unit *u, unsigned reg, unsigned host, unsigned size)
{
	return size == 1 && host >= 4 && host < 8 && !is_high_byte(u->insn, reg, size);
}

/* An XMM register as an operand: in the host's from now on. */
static unsigned xmm_in(struct unit *u, unsigned reg, unsigned use)
{
	if ((use & SHAPE_READ) && !(u->loaded & BIT(reg))) {
		emit_xmm(u, 0x28, reg);
	}
	u->loaded |= (uint16_t)BIT(reg);
	u->dirty |= (uint16_t)(use & SHAPE_WRITE ? BIT(reg) : 0);
	return reg;
}

static void emit_modrm(struct unit *u)
{
	const struct insn *insn = u->insn;
	const struct shape *shape = &u->shape;
	struct host_op op = {
			.map = insn->map,
			.opcode = shape->opcode,
			.prefix = shape->prefix,
			.opsize = shape->opsize,
			.rex_w = shape->rex_w,
			.lock = shape->lock,
			.imm_size = shape->imm_size,
			.imm = insn->imm,
	};
	unsigned reg = shape->extension, rm_use = shape->rm_use;
	struct host_rm rm;

	if (shape->reg_xmm && insn->reg == insn->rm) {
		rm_use |= shape->reg_use; /* what one only writes the other reads */
	}
	if (insn->is_memory) {
		emit_memory_operand(u, shape->rm_size, shape->rm_use & SHAPE_WRITE);
		rm = host_memory(HOST_R14, HOST_NONE, 0, 0);
	} else {
		rm = host_register(shape->rm_xmm ? xmm_in(u, insn->rm, rm_use)
						 : operand_in(u, insn->rm, shape->rm_use,
								   shape->rm_size, HOST_R14));
		op.rex |= needs_rex(u, insn->rm, rm.reg, shape->rm_size);
	}
	if (shape->xmm0_use) {
		(void)xmm_in(u, 0, shape->xmm0_use);
	}
	if (shape->reg_use && shape->reg_xmm) {
		reg = xmm_in(u, insn->reg, shape->reg_use);
	} else if (shape->reg_use) {
		reg = operand_in(u, insn->reg, shape->reg_use, shape->reg_size, HOST_R15);
		op.rex |= needs_rex(u, insn->reg, reg, shape->reg_size);
	}
	emit_op(u->e, &op, reg, rm);
	if (shape->reg_use && !shape->reg_xmm) {
		operand_out(u, insn->reg, shape->reg_use, reg);
	}
	if (!insn->is_memory && !shape->rm_xmm) {
		operand_out(u, insn->rm, shape->rm_use, rm.reg);
	}
}

static void emit_implicit(struct unit *u)
{
	if (u->insn->operand_size == 2) {
		emit8(u->e, 0x66);
	} else if (u->insn->operand_size == 8) {
		emit8(u->e, 0x48);
	}
	emit8(u->e, u->insn->opcode);
}

static void emit_bswap(struct unit *u)
{
	unsigned host = reg_in(u, u->insn->rm, HOST_R14);
	unsigned rex = (u->insn->operand_size == 8 ? 0x48 : 0) | (host & 8 ? 0x41 : 0);

	if (rex) {
		emit8(u->e, (uint8_t)rex);
	}
	emit8(u->e, 0x0f);
	emit8(u->e, (uint8_t)(0xc8 | (host & 7)));
	reg_to(u, u->insn->rm, host);
}

static void emit_short(struct unit *u)
{
	const struct insn *insn = u->insn;

	if (insn->map == INSN_MAP_0F) {
		emit_bswap(u);
		return;
	}
	if (insn->operand_size >= 4) {
		unsigned host = code_home(insn->rm) == HOST_NONE ? HOST_R14 : code_home(insn->rm);
		emit_mov_imm(u->e, host, insn->operand_size == 8 ? insn->imm : (uint32_t)insn->imm);
		reg_to(u, insn->rm, host);
		return;
	}
	struct host_op op = {.opcode = insn->operand_size == 1 ? 0xc6 : 0xc7,
			.opsize = insn->operand_size == 2,
			.imm_size = insn->operand_size,
			.imm = insn->imm};
	unsigned host = operand_in(u, insn->rm, SHAPE_CHANGE, insn->operand_size, HOST_R14);
	op.rex = needs_rex(u, insn->rm, host, insn->operand_size);
	emit_op(u->e, &op, 0, host_register(host));
	operand_out(u, insn->rm, SHAPE_WRITE, host);
}

static void emit_lea_insn(struct unit *u)
{
	const struct insn *insn = u->insn;
	unsigned host = code_home(insn->reg) == HOST_NONE ? HOST_R14 : code_home(insn->reg);
	const struct host_op mov32 = {.opcode = 0x8b};

	emit_offset(u);
	if (insn->operand_size == 4) {
		emit_op(u->e, &mov32, host, host_register(HOST_R14));
	} else if (host != HOST_R14) {
		emit_store(u->e, host_register(host), HOST_R14);
	}
	reg_to(u, insn->reg, host);
}

static void emit_stack_move(struct unit *u, int32_t bytes)
{
	emit_lea(u->e, HOST_R13, host_memory(HOST_R13, HOST_NONE, 0, bytes));
}

/* r14 = host address of the new top of the stack. */
static void emit_push_address(struct unit *u)
{
	emit_lea(u->e, HOST_R14, host_memory(HOST_R13, HOST_NONE, 0, -8));
	emit_translate(u, 8, true);
}

static void emit_push(struct unit *u)
{
	const struct host_rm top = host_memory(HOST_R14, HOST_NONE, 0, 0);

	emit_push_address(u);
	if (u->shape.rm_use) {
		emit_store(u->e, top, reg_in(u, u->insn->rm, HOST_R15));
	} else {
		emit_store_imm(u->e, top, (int32_t)u->insn->imm);
	}
	emit_stack_move(u, -8);
}

static void emit_top_address(struct unit *u)
{
	emit_store(u->e, host_register(HOST_R14), HOST_R13);
	emit_translate(u, 8, false);
}

static void emit_pop(struct unit *u)
{
	unsigned host = code_home(u->insn->rm) == HOST_NONE ? HOST_R15 : code_home(u->insn->rm);

	emit_top_address(u);
	emit_load(u->e, host, host_memory(HOST_R14, HOST_NONE, 0, 0));
	if (u->insn->rm != X86_RSP) {
		emit_stack_move(u, 8);
	}
	reg_to(u, u->insn->rm, host);
}

static void emit_leave(struct unit *u)
{
	emit_store(u->e, host_register(HOST_R14), HOST_RBP);
	emit_translate(u, 8, false);
	emit_lea(u->e, HOST_R13, host_memory(HOST_RBP, HOST_NONE, 0, 8));
	emit_load(u->e, HOST_RBP, host_memory(HOST_R14, HOST_NONE, 0, 0));
}

/* Looks whether anything is requested, without touching the flags; if so, leaves for target. */
static void emit_poll(struct unit *u, uint32_t target)
{
	uint8_t *quiet;

	emit_store(u->e, host_register(HOST_R15), HOST_RCX);
	emit_load32(u->e, HOST_RCX, STATE(request));
	quiet = emit_jrcxz(u->e);
	emit_store(u->e, host_register(HOST_RCX), HOST_R15);
	emit_mov_imm(u->e, HOST_R14, target);
	emit_jmp_to(u->e, code_attend(u->code));
	emit_here8(u->e, quiet);
	emit_store(u->e, host_register(HOST_RCX), HOST_R15);
}

/* Goes on at an offset from the current page; back at or before insn with a look at requests. */
static void emit_chain(struct unit *u, int64_t target, int32_t stack_moved)
{
	uint8_t *site;

	if (target < 0 || target >= (int64_t)GUEST_PAGE_SIZE) {
		emit_rip(u, HOST_R14, target);
		emit_store_imm(u->e, STATE(branch), stack_moved * 65536 + (int32_t)u->offset);
		emit_jmp_to(u->e, code_lookup(u->code));
		return;
	}
	if (target <= u->offset) {
		emit_poll(u, (uint32_t)target);
	}
	site = emit_jmp(u->e);
	emit_mov_imm(u->e, HOST_R14, (uint64_t)target);
	emit_mov_imm(u->e, HOST_R15, (uint64_t)(uintptr_t)site);
	emit_jmp_to(u->e, code_link(u->code));
}

static int64_t next_offset(const struct unit *u)
{
	return (int64_t)u->offset + u->insn->length;
}

static int64_t branch_offset(const struct unit *u)
{
	return next_offset(u) + (int64_t)u->insn->imm;
}

/* To what follows, which is no jump back, and not this instruction's fault if there are no addresses any more. */
static void emit_next(struct unit *u, int64_t next)
{
	uint32_t offset = u->offset;

	u->offset = (uint32_t)(next < (int64_t)GUEST_PAGE_SIZE ? next - 1 : next);
	emit_chain(u, next, 0);
	u->offset = offset;
}

static void emit_jcc_insn(struct unit *u)
{
	uint8_t *taken = emit_jcc(u->e, u->insn->opcode & 15);

	emit_next(u, next_offset(u));
	emit_here(u->e, taken);
	emit_chain(u, branch_offset(u), 0);
}

/* Stores the address of the next instruction; rsp moves. */
static void emit_push_return(struct unit *u)
{
	emit_push_address(u);
	emit_rip(u, HOST_R15, next_offset(u));
	emit_store(u->e, host_memory(HOST_R14, HOST_NONE, 0, 0), HOST_R15);
	emit_stack_move(u, -8);
}

/* To the address in r14; should it turn out not to be canonical, as if nothing had been done. */
static void emit_indirect(struct unit *u, int32_t stack_moved)
{
	emit_store_imm(u->e, STATE(branch), stack_moved * 65536 + (int32_t)u->offset);
	emit_jmp_to(u->e, code_lookup(u->code));
}

static void emit_ret(struct unit *u)
{
	int32_t bytes = 8 + (int32_t)(uint16_t)(u->insn->opcode == 0xc2 ? u->insn->imm : 0);

	emit_top_address(u);
	emit_load(u->e, HOST_R14, host_memory(HOST_R14, HOST_NONE, 0, 0));
	emit_stack_move(u, bytes);
	emit_indirect(u, bytes);
}

/* r14 = the operand of an indirect branch. */
static void emit_branch_operand(struct unit *u)
{
	if (u->insn->is_memory) {
		emit_memory_operand(u, 8, false);
		emit_load(u->e, HOST_R14, host_memory(HOST_R14, HOST_NONE, 0, 0));
	} else {
		unsigned host = reg_in(u, u->insn->rm, HOST_R14);
		if (host != HOST_R14) {
			emit_store(u->e, host_register(HOST_R14), host);
		}
	}
}

static void emit_call_indirect(struct unit *u)
{
	emit_branch_operand(u);
	emit_store(u->e, STATE(scratch[2]), HOST_R14);
	emit_push_return(u);
	emit_load(u->e, HOST_R14, STATE(scratch[2]));
	emit_indirect(u, -8);
}

/* Whether the shape is emitted in line for this instruction. */
static bool is_emitted(const struct insn *insn, const struct shape *shape)
{
	switch ((enum shape_kind)shape->kind) {
	case SHAPE_CALL_OUT:
		return false;
	case SHAPE_MODRM:
	case SHAPE_SHORT:
		return high_bytes_fit(insn, shape) && !(insn->is_memory && is_moffs(insn));
	case SHAPE_LEA:
		return insn->operand_size >= 4;
	case SHAPE_PUSH:
		return !insn->is_memory && (insn->map != INSN_MAP_LEGACY || insn->opcode != 0xff);
	case SHAPE_POP:
		return !insn->is_memory;
	case SHAPE_RET:
		/* What it pops has to fit beside an offset in cpu->branch. */
		return insn->opcode != 0xc2 || insn->imm < GUEST_PAGE_SIZE;
	default:
		return true;
	}
}

/* True if the block ends here. */
static bool emit_insn(struct unit *u)
{
	switch ((enum shape_kind)u->shape.kind) {
	case SHAPE_MODRM:
		emit_modrm(u);
		return false;
	case SHAPE_IMPLICIT:
		emit_implicit(u);
		return false;
	case SHAPE_SHORT:
		emit_short(u);
		return false;
	case SHAPE_NOTHING:
		return false;
	case SHAPE_LEA:
		emit_lea_insn(u);
		return false;
	case SHAPE_PUSH:
		emit_push(u);
		return false;
	case SHAPE_POP:
		emit_pop(u);
		return false;
	case SHAPE_LEAVE:
		emit_leave(u);
		return false;
	case SHAPE_JCC:
		store_xmms(u);
		emit_jcc_insn(u);
		return true;
	case SHAPE_JMP:
		store_xmms(u);
		emit_chain(u, branch_offset(u), 0);
		return true;
	case SHAPE_CALL:
		store_xmms(u);
		emit_push_return(u);
		emit_chain(u, branch_offset(u), -8);
		return true;
	case SHAPE_RET:
		store_xmms(u);
		emit_ret(u);
		return true;
	case SHAPE_JMP_INDIRECT:
		store_xmms(u);
		emit_branch_operand(u);
		emit_indirect(u, 0);
		return true;
	case SHAPE_CALL_INDIRECT:
		store_xmms(u);
		emit_call_indirect(u);
		return true;
	case SHAPE_CALL_OUT:
	default: {
		bool last = u->insn->flags & INSN_FLAG_ENDS_BLOCK;
		store_xmms(u);
		u->loaded = 0;
		emit_call_out(u, u->insn, u->offset, last);
		return last;
	}
	}
}

static void emit_slow_paths(struct unit *u)
{
	for (unsigned i = 0; i < u->slow_count; i++) {
		const struct slow_path *slow = &u->slow[i];
		emit_here(u->e, slow->from);
		if (slow->flags_in_rax) {
			emit_flags_in(u->e);
			emit_load(u->e, HOST_RAX, STATE(scratch[1]));
		}
		emit_xmms(u, 0x29, slow->dirty);
		emit_call_out(u, slow->insn, slow->offset, !slow->back);
		emit_xmms(u, 0x28, slow->loaded);
		if (slow->back) {
			emit_jmp_to(u->e, slow->back);
		}
	}
}

/* Which flags from before each instruction are needed by it or after it. */
static void find_live(const struct block *block, bool sse, struct shape *shapes, uint16_t *live)
{
	uint16_t needed = X86_FLAGS_ARITH;

	for (unsigned i = block->count; i-- > 0;) {
		shape_of(&block->insns[i], &shapes[i]);
		if (!is_emitted(&block->insns[i], &shapes[i]) || (shapes[i].sse && !sse)) {
			shapes[i] = (struct shape){
					.kind = SHAPE_CALL_OUT, .flags_read = X86_FLAGS_ARITH};
		}
		needed = (uint16_t)((needed & ~shapes[i].flags_written) | shapes[i].flags_read);
		live[i] = needed;
	}
}

/* Sets page_rip to what lies offset before the address in r14. CODE_FAR_BYTES long. */
static void emit_far_entry(struct unit *u)
{
	const uint8_t *begin = u->e->at;

	emit8(u->e, 0x4d);
	emit8(u->e, 0x8d);
	emit8(u->e, 0xb6);
	emit32(u->e, (uint32_t) - (int32_t)u->offset);
	emit_store(u->e, STATE(page_rip), HOST_R14);
	assert(u->e->full || u->e->at - begin == CODE_FAR_BYTES);
}

bool block_emit(struct code *code, struct emitter *emitter, const struct block *block, unsigned set,
		bool sse)
{
	struct shape shapes[BLOCK_MAX_INSNS];
	uint16_t live[BLOCK_MAX_INSNS];
	struct unit u = {.e = emitter, .code = code, .set = set};
	bool ended = false;

	find_live(block, sse, shapes, live);
	u.offset = (uint32_t)PAGE_OFFSET(block->physical);
	emit_far_entry(&u);
	for (unsigned i = 0; i < block->count; i++) {
		u.insn = &block->insns[i];
		u.shape = shapes[i];
		u.live = live[i] != 0;
		unsigned first_slow = u.slow_count;
		ended = emit_insn(&u);
		for (unsigned k = first_slow; k < u.slow_count && !ended; k++) {
			u.slow[k].back = emitter->at;
			u.slow[k].loaded = u.loaded;
		}
		if (!ended) {
			u.offset += u.insn->length;
		}
	}
	if (!ended) {
		store_xmms(&u);
		emit_next(&u, u.offset);
	}
	emit_slow_paths(&u);
	return !emitter->full;
}

void block_emit_link(struct code *code, uint8_t *site, const uint8_t *target)
{
	int32_t distance = (int32_t)(target - (code_executable(code, site) + 4));

	memcpy(site, &distance, sizeof(distance));
}

void block_emit_dead_end(struct code *code, const struct block *block, uint8_t *far_entry)
{
	struct emitter e = {
			.at = far_entry + CODE_FAR_BYTES, .end = far_entry + CODE_FAR_BYTES + 32};
	uint8_t *site = emit_jmp(&e);

	/* What led here goes on through here: to the block's successor, when there is one. */
	emit_mov_imm(&e, HOST_R14, PAGE_OFFSET(block->physical));
	emit_mov_imm(&e, HOST_R15, (uint64_t)(uintptr_t)site);
	emit_jmp_to(&e, code_link(code));
	assert(!e.full);
}
