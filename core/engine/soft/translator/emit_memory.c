/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/unit.h"

/* The guest register in a host register: its home, or loaded into the given one. */
unsigned unit_reg_in(struct unit *u, unsigned reg, unsigned scratch)
{
	unsigned host = code_home(reg);

	if (host == HOST_NONE) {
		emit_load(u->e, scratch, code_reg_state(reg));
		return scratch;
	}
	return host;
}

void unit_reg_to(struct unit *u, unsigned reg, unsigned host)
{
	if (code_home(reg) == HOST_NONE) {
		emit_store(u->e, code_reg_state(reg), host);
	} else if (code_home(reg) != host) {
		emit_store(u->e, host_register(code_home(reg)), host);
	}
}

void unit_emit_rip(struct unit *u, unsigned host, int64_t offset)
{
	emit_load(u->e, host, STATE(page_rip));
	while (offset != 0) {
		int32_t part = (int32_t)CLAMP(offset, INT32_MIN, INT32_MAX);
		emit_lea(u->e, host, host_memory(host, HOST_NONE, 0, part));
		offset -= part;
	}
}

/* r14 = the offset part of the memory operand. Uses r15. Flags stay. */
void unit_emit_offset(struct unit *u, int32_t below)
{
	const struct insn *insn = u->insn;
	unsigned base = HOST_NONE, index = HOST_NONE;

	if (insn->base == INSN_BASE_RIP) {
		unit_emit_rip(u, HOST_R14, (int64_t)u->offset + insn->length + insn->disp - below);
		return;
	}
	if (insn->base != INSN_REG_NONE) {
		base = unit_reg_in(u, insn->base, HOST_R14);
	}
	if (insn->index != INSN_REG_NONE) {
		index = unit_reg_in(u, insn->index, HOST_R15);
	}
	if (base == HOST_NONE && index == HOST_NONE) {
		emit_mov_imm(u->e, HOST_R14, (uint64_t)((int64_t)insn->disp - below));
	} else {
		emit_lea(u->e, HOST_R14, host_memory(base, index, insn->scale, insn->disp - below));
	}
}

/* r14 = the linear address of the memory operand. */
static void emit_linear(struct unit *u)
{
	unsigned segment = u->insn->segment;

	unit_emit_offset(u, unit_below(u));
	if (segment == X86_FS || segment == X86_GS) {
		emit_load(u->e, HOST_R15,
				host_state(offsetof(struct cpu, seg_base) +
						segment * sizeof(uint64_t)));
		emit_lea(u->e, HOST_R14, host_memory(HOST_R14, HOST_R15, 0, 0));
	}
}

/* fx.fip = the address of the x87 instruction at the offset, if there is one. */
static void emit_x87_pointer(struct unit *u, uint32_t offset)
{
	if (offset != UNIT_NO_OFFSET) {
		unit_emit_rip(u, HOST_R15, offset);
		emit_store(u->e, STATE(fx.fip), HOST_R15);
	}
}

void unit_settle(struct unit *u)
{
	unit_store_vectors(u, u->dirty);
	u->dirty = (struct halves){0};
	emit_x87_pointer(u, u->x87_pointer);
	u->x87_pointer = UNIT_NO_OFFSET;
}

void unit_add_slow(struct unit *u, uint8_t *from, bool flags_in_rax)
{
	assert(u->slow_count < G_N_ELEMENTS(u->slow));
	u->slow[u->slow_count++] = (struct slow_path){.from = from,
			.offset = u->offset,
			.flags_in_rax = flags_in_rax,
			.flags_stored = unit_flags_stored(u),
			.dirty = u->dirty,
			.x87_pointer = u->x87_pointer};
}

void unit_emit_flags_out(struct unit *u)
{
	emit_store(u->e, STATE(scratch[1]), HOST_RAX);
	emit_flags_out(u->e);
}

void unit_emit_flags_in(struct unit *u)
{
	emit_flags_in(u->e);
	emit_load(u->e, HOST_RAX, STATE(scratch[1]));
}

void unit_emit_flags_store(struct unit *u)
{
	const struct host_op store16 = {.opcode = 0x89, .opsize = true};

	emit_store(u->e, host_register(HOST_R15), HOST_RAX);
	emit_flags_out(u->e);
	emit_op(u->e, &store16, HOST_RAX, STATE(packed_flags));
	emit_store(u->e, host_register(HOST_RAX), HOST_R15);
}

void unit_emit_flags_load(struct unit *u)
{
	emit_store(u->e, host_register(HOST_R15), HOST_RAX);
	emit_load16(u->e, HOST_RAX, STATE(packed_flags));
	emit_flags_in(u->e);
	emit_store(u->e, host_register(HOST_RAX), HOST_R15);
}

static size_t tlb_offset(const struct unit *u, bool write)
{
	return offsetof(struct cpu, tlbs) + u->set * sizeof(struct tlb) +
	       (write ? offsetof(struct tlb, write) : offsetof(struct tlb, read));
}

static const struct merge *merge_at(const struct unit *u)
{
	unsigned merge = u->plan.insns[u->index].merge;

	return u->apart || merge == MERGE_NONE ? NULL : &u->plan.merges[merge];
}

bool unit_joins(const struct unit *u)
{
	const struct merge *merge = merge_at(u);

	return merge && merge->first != u->index;
}

struct host_rm unit_joined(const struct unit *u)
{
	return host_memory(HOST_R14, HOST_NONE, 0, u->plan.insns[u->index].offset);
}

int32_t unit_below(const struct unit *u)
{
	return merge_at(u) ? u->plan.insns[u->index].offset : 0;
}

static void add_operand_slow(struct unit *u, uint8_t *from)
{
	const struct merge *merge = merge_at(u);

	unit_add_slow(u, from, u->live);
	if (merge) {
		struct slow_path *slow = &u->slow[u->slow_count - 1];
		slow->apart = true;
		slow->first = merge->first;
		slow->last = merge->last;
		slow->loaded_before = u->loaded;
		slow->x87_before = u->x87;
	}
}

/* r14, a linear address, becomes the host's. Uses r15. */
static void emit_look_up(struct unit *u, unsigned size, unsigned aligned, bool write)
{
	struct emitter *e = u->e;
	const struct host_op shr = {.opcode = 0xc1, .imm_size = 1, .imm = 8};
	const struct host_op and = {.opcode = 0x81, .imm_size = 4, .imm = (TLB_ENTRIES - 1) << 4};
	const struct host_op cmp = {.opcode = 0x81,
			.rex_w = true,
			.imm_size = 4,
			.imm = (uint32_t)(GUEST_PAGE_SIZE - size)};
	const struct host_op test = {.opcode = 0xf6, .imm_size = 1, .imm = (uint8_t)(aligned - 1)};
	size_t table = tlb_offset(u, write);

	/* Entries are 16 bytes. */
	emit_load32(e, HOST_R15, host_register(HOST_R14));
	emit_op(e, &shr, 5, host_register(HOST_R15));
	emit_op(e, &and, 4, host_register(HOST_R15));
	emit_alu(e, ALU_SUB, HOST_R14,
			host_state_at(HOST_R15, table + offsetof(struct tlb_entry, tag)));
	emit_op(e, &cmp, ALU_CMP, host_register(HOST_R14));
	add_operand_slow(u, emit_jcc(e, CONDITION_ABOVE));
	if (aligned > 1) {
		/* Pages are aligned: the offset tells. */
		emit_op(e, &test, 0, host_register(HOST_R14));
		add_operand_slow(u, emit_jcc(e, CONDITION_NOT_EQUAL));
	}
	emit_alu(e, ALU_ADD, HOST_R14,
			host_state_at(HOST_R15, table + offsetof(struct tlb_entry, page)));
}

struct host_rm unit_emit_translate(struct unit *u, unsigned size, bool write)
{
	const struct merge *merge = merge_at(u);

	if (u->live) {
		unit_emit_flags_out(u);
	}
	if (merge) {
		emit_look_up(u, merge->size, merge->aligned, merge->write);
	} else {
		emit_look_up(u, size, u->shape.aligned, write);
	}
	if (u->live) {
		unit_emit_flags_in(u);
	}
	return host_memory(HOST_R14, HOST_NONE, 0, unit_below(u));
}

struct host_rm unit_emit_memory_operand(struct unit *u, unsigned size, bool write)
{
	if (unit_joins(u)) {
		return unit_joined(u);
	}
	emit_linear(u);
	return unit_emit_translate(u, size, write);
}

/* r14 and r15 as what is called out with an instruction takes them. */
static void emit_place(struct unit *u, uint32_t offset)
{
	const uint8_t *bytes = u->block->source + offset - PAGE_OFFSET(u->block->physical);

	emit_mov_imm(u->e, HOST_R14, offset);
	emit_mov_imm(u->e, HOST_R15, (uint64_t)(uintptr_t)bytes);
}

void unit_emit_call_out(struct unit *u, uint32_t offset, bool last)
{
	emit_place(u, offset);
	emit_call_to(u->e, last ? code_call_out_last(u->code) : code_call_out(u->code));
}

void unit_emit_slow_path(struct unit *u, const struct slow_path *slow)
{
	emit_here(u->e, slow->from);
	if (slow->flags_in_rax) {
		unit_emit_flags_in(u);
	}
	if (slow->flags_stored) {
		unit_emit_flags_load(u);
	}
	unit_store_many_vectors(u, slow->dirty);
	if (u->whole) {
		code_emit_zero_upper(u->e);
	}
	emit_x87_pointer(u, slow->x87_pointer);
	if (!slow->brings_in_x87) {
		unit_emit_call_out(u, slow->offset, !slow->back);
	}
	if (slow->brings_in_x87 || slow->x87) {
		emit_place(u, slow->offset);
		emit_call_to(u->e, code_bring_in_x87(u->code));
	}
	unit_load_many_vectors(u, slow->loaded);
	if (slow->back) {
		emit_jmp_to(u->e, slow->back);
	}
}
