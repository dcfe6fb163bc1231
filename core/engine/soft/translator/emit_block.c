/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/emit_block.h"

#include "core/engine/soft/translator/live_vectors.h"

static void emit_read_cr2(struct unit *u)
{
	emit_load(u->e, HOST_R15, STATE(cr2));
	unit_reg_to(u, u->insn->rm, HOST_R15);
}

static void emit_nothing(struct unit *u)
{
	(void)u;
}

/* What is not here is called out. */
static const struct emitted_kind {
	void (*emit)(struct unit *u);
	bool ends_block;
} emitted_kinds[] = {
		[SHAPE_MODRM] = {insn_emit_modrm},
		[SHAPE_IMPLICIT] = {insn_emit_implicit},
		[SHAPE_SHORT] = {insn_emit_short},
		[SHAPE_NOTHING] = {emit_nothing},
		[SHAPE_LEA] = {insn_emit_lea},
		[SHAPE_DIVIDE] = {insn_emit_divide},
		[SHAPE_PUSH] = {insn_emit_push},
		[SHAPE_POP] = {insn_emit_pop},
		[SHAPE_LEAVE] = {insn_emit_leave},
		[SHAPE_X87] = {insn_emit_x87},
		[SHAPE_FLDCW] = {insn_emit_fldcw},
		[SHAPE_PUSHF] = {insn_emit_pushf},
		[SHAPE_VEX] = {insn_emit_vex},
		[SHAPE_VEX_GENERAL] = {insn_emit_vex_general},
		[SHAPE_ZERO_UPPER] = {insn_emit_zero_upper},
		[SHAPE_RDTSC] = {insn_emit_rdtsc},
		[SHAPE_FENCE] = {insn_emit_fence},
		[SHAPE_CLD] = {insn_emit_cld},
		[SHAPE_READ_CR2] = {emit_read_cr2},
		[SHAPE_CLI] = {insn_emit_cli},
		[SHAPE_SWAPGS] = {insn_emit_swapgs},
		[SHAPE_STI] = {insn_emit_sti, true},
		[SHAPE_JCC] = {insn_emit_jcc, true},
		[SHAPE_JMP] = {insn_emit_jmp, true},
		[SHAPE_CALL] = {insn_emit_call, true},
		[SHAPE_RET] = {insn_emit_ret, true},
		[SHAPE_JMP_INDIRECT] = {insn_emit_jmp_indirect, true},
		[SHAPE_CALL_INDIRECT] = {insn_emit_call_indirect, true},
};

static bool emit_called_out(struct unit *u)
{
	bool last = u->insn->flags & INSN_FLAG_ENDS_BLOCK;

	unit_settle(u);
	unit_emit_zero_upper(u);
	u->loaded = (struct halves){0};
	u->upper = u->x87 = false;
	unit_emit_call_out(u, u->offset, last);
	return last;
}

/* True if the block ends here. */
static bool emit_insn(struct unit *u)
{
	const struct emitted_kind *kind = u->shape.kind < G_N_ELEMENTS(emitted_kinds)
							  ? &emitted_kinds[u->shape.kind]
							  : NULL;

	if (!kind || !kind->emit) {
		return emit_called_out(u);
	}
	kind->emit(u);
	return kind->ends_block;
}

static void find_shapes(struct unit *u, unsigned vectors)
{
	const struct block *block = u->block;

	for (unsigned i = 0; i < block->count; i++) {
		struct shape *shape = &u->shapes[i];
		shape_of(&block->insns[i], shape);
		if (!insn_is_emitted(&block->insns[i], shape) ||
				(shape->sse && !(vectors & BLOCK_SSE)) ||
				(shape->avx && !(vectors & BLOCK_AVX)) ||
				(shape->privileged && u->set == TLB_USER)) {
			*shape = (struct shape){
					.kind = SHAPE_CALL_OUT, .flags_read = X86_FLAGS_ARITH};
		}
		u->vex |= shape->avx;
		u->whole |= shape->whole || shape->kind == SHAPE_ZERO_UPPER;
	}
}

/* Flags that so many looks into the TLB would keep in rax one after the other go to packed_flags once. */
#define PARKED_LEAST 2

static bool looks_up(const struct unit *u, unsigned i)
{
	const struct merge_insn *planned = &u->plan.insns[i];

	if (planned->merge != MERGE_NONE && u->plan.merges[planned->merge].first != i) {
		return false;
	}
	switch ((enum shape_kind)u->shapes[i].kind) {
	case SHAPE_MODRM:
	case SHAPE_VEX:
	case SHAPE_VEX_GENERAL:
		return u->block->insns[i].is_memory;
	case SHAPE_PUSH:
	case SHAPE_POP:
	case SHAPE_LEAVE:
		return true;
	default:
		return false;
	}
}

/* Whether flags may stay in packed_flags while the instruction is executed. */
static bool leaves_flags(const struct unit *u, unsigned i)
{
	return u->shapes[i].kind == SHAPE_JMP ||
	       !insn_touches_flags(&u->block->insns[i], &u->shapes[i]);
}

/*
 * The instructions before end that leave the flags alone, back to the one returned. must: flags are to be in packed_flags behind
 * them.
 */
static unsigned find_run(struct unit *u, unsigned end, uint16_t needed, bool must)
{
	unsigned start = must ? end - 1 : end, looks = 0;

	while (start > 0 && leaves_flags(u, start - 1)) {
		start--;
	}
	for (unsigned i = start; i < end; i++) {
		looks += looks_up(u, i);
	}
	bool stored = must || (needed && looks >= PARKED_LEAST);
	for (unsigned i = start; i < end; i++) {
		u->stored[i] = stored;
		u->needed[i] = stored ? 0 : needed;
	}
	return start;
}

/* Which flags from before each instruction are needed by it or after it, and where they are meanwhile: see struct unit. */
static void find_flags(struct unit *u)
{
	const struct block *block = u->block;
	unsigned last = block->count - 1u;
	uint32_t offset = u->offset + block->bytes - block->insns[last].length;
	bool must = insn_stores_flags(&block->insns[last], &u->shapes[last], offset);
	uint16_t needed = X86_FLAGS_ARITH;

	for (unsigned i = find_run(u, block->count, needed, must); i-- > 0;) {
		const struct shape *shape = &u->shapes[i];
		needed = (uint16_t)((needed & ~shape->flags_written) | shape->flags_read);
		u->needed[i] = needed;
		u->stored[i] = false;
		i = find_run(u, i, needed, false);
	}
}

/* In front of each far entry. */
struct header {
	struct halves loaded; /* by the near entry */
	/*
	 * Where the entries are, from the far one, and how what comes with flags in packed_flags gets to the near one when the block is
	 * dead.
	 */
	uint16_t near, warm;
	uint32_t stored_warm;
	uint32_t dead : 31;
	uint32_t upper : 1; /* may be begun with upper halves in use */
};
_Static_assert(sizeof(struct header) == 16, "far entries are aligned");

/* Room at a near entry for the exit that block_emit_dead_end() makes of it. */
#define DEAD_END_MAX 40
#define JMP_BYTES 5
#define NOP 0x90

/* From the far entry: it goes on with the one for jumps inside the page that come with flags in packed_flags. */
#define STORED_ENTRY 16

/* Sets page_rip to what lies offset before the address in r14. STORED_ENTRY bytes. */
static void emit_page_rip(struct unit *u)
{
	/* lea r14, [r14 - offset], always as long */
	emit8(u->e, 0x4d);
	emit8(u->e, 0x8d);
	emit8(u->e, 0xb6);
	emit32(u->e, (uint32_t) - (int32_t)u->offset);
	emit_store(u->e, STATE(page_rip), HOST_R14);
}

/*
 * Whether the block is a loop of its own whose registers may stay where they are: nothing is called out on its straight line. The
 * interpreter has no say in it, so blocks that are compared with it are none.
 */
static bool is_loop(const struct unit *u, unsigned vectors)
{
	const struct block *block = u->block;
	unsigned last = block->count - 1u;

	if (!(vectors & BLOCK_LOOPS) || u->shapes[last].kind != SHAPE_JCC ||
			(int64_t)block->insns[last].imm != -(int64_t)block->bytes) {
		return false;
	}
	for (unsigned i = 0; i < last; i++) {
		const struct shape *shape = &u->shapes[i];
		if (shape->kind == SHAPE_CALL_OUT || shape->kind == SHAPE_ZERO_UPPER ||
				shape->x87) {
			return false;
		}
	}
	return true;
}

/* What is written anywhere; upper halves that are zeroed alone, in a block without 256 bits, are stored each time. */
static struct halves carried_vectors(const struct unit *u)
{
	struct halves carried = {0};

	for (unsigned i = 0; i < u->block->count; i++) {
		carried = halves_join(
				carried, insn_vectors(&u->block->insns[i], &u->shapes[i]).writes);
	}
	if (!u->whole) {
		carried.high = 0;
	}
	return carried;
}

/* The large tables are filled in as far as they are used. */
static void unit_start(struct unit *u, struct code *code, struct emitter *emitter,
		const struct block *block)
{
	u->e = emitter;
	u->code = code;
	u->block = block;
	u->offset = (uint32_t)PAGE_OFFSET(block->physical);
	u->index = u->slow_count = 0;
	u->loaded = u->dirty = u->carried = (struct halves){0};
	u->again = NULL;
	u->apart = u->x87 = u->vex = u->whole = u->upper = false;
	u->x87_pointer = UNIT_NO_OFFSET;
}

/* A jump can be put there later. */
static void emit_room(struct emitter *e)
{
	static const uint8_t nop[JMP_BYTES] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

	for (unsigned i = 0; i < sizeof(nop); i++) {
		emit8(e, nop[i]);
	}
}

/*
 * All entries. Flags come in packed_flags to the far one, in the host's to the others: what the block begins with is made the
 * same. Returns the displacement of the far one's jump around that, or NULL.
 */
static uint8_t *emit_entries(struct unit *u, struct header *header, const uint8_t *far_entry)
{
	uint8_t *bypass = NULL;

	emit_page_rip(u);
	assert(u->e->full || u->e->at - far_entry == STORED_ENTRY);
	if (u->stored[0]) {
		bypass = emit_jmp(u->e);
	} else if (u->needed[0]) {
		unit_emit_flags_load(u);
	} else {
		emit_room(u->e);
	}
	const uint8_t *near_entry = u->e->at;
	header->near = (uint16_t)(near_entry - far_entry);
	unit_load_vectors(u, header->loaded);
	while (u->e->at != near_entry && !u->e->full && u->e->at - near_entry < DEAD_END_MAX) {
		emit8(u->e, NOP);
	}
	u->loaded = header->loaded;
	u->dirty = u->carried;
	u->upper = true;
	header->warm = (uint16_t)(u->e->at - far_entry);
	if (u->stored[0]) {
		unit_emit_flags_store(u);
	}
	return bypass;
}

/* Flags to where they are while the instruction is executed. */
static void emit_flags_move(struct unit *u, unsigned index)
{
	if (u->stored[index - 1] && !u->stored[index]) {
		unit_emit_flags_load(u);
	} else if (!u->stored[index - 1] && u->stored[index] &&
			u->shapes[index - 1].kind != SHAPE_CALL_OUT) {
		unit_emit_flags_store(u);
	}
}

/* The instruction at u->offset, and what its slow paths come back to. True if the block ends here. */
static bool emit_at(struct unit *u, unsigned index)
{
	unsigned first_slow = u->slow_count;

	u->index = index;
	u->insn = &u->block->insns[index];
	u->shape = u->shapes[index];
	u->live = u->needed[index] != 0;
	if (emit_insn(u)) {
		return true;
	}
	for (unsigned k = first_slow; k < u->slow_count; k++) {
		if (!u->slow[k].brings_in_x87 && !u->slow[k].apart) {
			u->slow[k].back = u->e->at;
			u->slow[k].loaded = u->loaded;
			u->slow[k].x87 = u->x87;
		}
	}
	u->offset += u->insn->length;
	return false;
}

/* The slow path of operands that were checked together comes back behind the last. */
static void end_merge(struct unit *u, unsigned index)
{
	for (unsigned k = 0; k < u->slow_count; k++) {
		if (u->slow[k].apart && u->slow[k].last == index) {
			u->slow[k].back = u->e->at;
		}
	}
}

static void emit_body(struct unit *u)
{
	for (unsigned i = 0; i < u->block->count; i++) {
		unsigned merge = u->plan.insns[i].merge;
		if (i > 0) {
			emit_flags_move(u, i);
		}
		if (emit_at(u, i)) {
			return;
		}
		if (merge != MERGE_NONE && u->plan.merges[merge].last == i) {
			end_merge(u, i);
		}
	}
	unit_settle(u);
	unit_emit_next(u, u->offset);
}

/* From the first to the last of operands that were checked together, each by itself. */
static void emit_apart(struct unit *u, const struct slow_path *slow)
{
	emit_here(u->e, slow->from);
	if (slow->flags_in_rax) {
		unit_emit_flags_in(u);
	}
	u->apart = true;
	u->offset = slow->offset;
	u->loaded = slow->loaded_before;
	u->upper = true;
	u->dirty = slow->dirty;
	u->x87 = slow->x87_before;
	u->x87_pointer = slow->x87_pointer;
	for (unsigned i = slow->first; i <= slow->last; i++) {
		if (i > slow->first) {
			emit_flags_move(u, i);
		}
		if (emit_at(u, i)) {
			return;
		}
	}
	emit_jmp_to(u->e, slow->back);
}

/* Those of emit_apart() among them. */
static void emit_slow_paths(struct unit *u)
{
	for (unsigned i = 0; i < u->slow_count; i++) {
		if (u->slow[i].apart) {
			emit_apart(u, &u->slow[i]);
		} else {
			unit_emit_slow_path(u, &u->slow[i]);
		}
	}
}

/* What is not in front of the body, of the entries for jumps that come with flags in packed_flags. bypass: to the first, or NULL. */
static void emit_stored_entries(struct unit *u, struct header *header, const uint8_t *far_entry,
		uint8_t *bypass, const uint8_t *body)
{
	if (bypass) {
		emit_here(u->e, bypass);
		unit_load_vectors(u, header->loaded);
	} else if (header->warm == header->near) {
		header->stored_warm = STORED_ENTRY;
		return;
	}
	header->stored_warm = (uint32_t)(u->e->at - far_entry);
	if (!bypass && u->needed[0]) {
		unit_emit_flags_load(u);
	}
	emit_jmp_to(u->e, bypass ? body : far_entry + header->warm);
}

uint8_t *block_emit(struct code *code, struct emitter *emitter, const struct block *block,
		unsigned set, unsigned vectors)
{
	struct unit u;
	struct header *header = (struct header *)(void *)emitter->at;
	uint8_t *far_entry = emitter->at + sizeof(*header);

	unit_start(&u, code, emitter, block);
	u.set = set;
	find_shapes(&u, vectors);
	merge_plan(block, u.shapes, &u.plan);
	find_flags(&u);
	*header = (struct header){.upper = u.whole};
	if (vectors & BLOCK_SSE) {
		header->loaded = live_vectors(&u);
	}
	bool loops = is_loop(&u, vectors);
	if (loops) {
		u.carried = carried_vectors(&u);
		header->loaded = halves_join(header->loaded, u.carried);
	}
	emitter->at = far_entry;
	uint8_t *bypass = emit_entries(&u, header, far_entry);
	const uint8_t *body = emitter->at;
	u.again = loops ? far_entry + header->warm : NULL;
	emit_body(&u);
	emit_slow_paths(&u);
	/* The exit is not to overwrite what leads to it. */
	while (!emitter->full && emitter->at - far_entry < header->near + DEAD_END_MAX) {
		emit8(emitter, NOP);
	}
	emit_stored_entries(&u, header, far_entry, bypass, body);
	header->dead = (uint32_t)(emitter->at - far_entry) & INT32_MAX;
	unit_emit_flags_load(&u);
	emit_jmp_to(emitter, far_entry + header->near);
	return emitter->full ? NULL : far_entry;
}

static struct header header_of(const uint8_t *far_entry)
{
	struct header header;

	memcpy(&header, far_entry - sizeof(header), sizeof(header));
	return header;
}

const uint8_t *block_entry_of(struct code *code, const uint8_t *far_entry, enum block_entry which)
{
	struct header header = header_of(code_writable(code, far_entry));

	switch (which) {
	case BLOCK_ENTRY_STORED:
		return far_entry + STORED_ENTRY;
	case BLOCK_ENTRY_STORED_WARM:
		return far_entry + header.stored_warm;
	case BLOCK_ENTRY_NEAR:
		return far_entry + header.near;
	case BLOCK_ENTRY_WARM:
		return far_entry + header.warm;
	case BLOCK_ENTRY_FAR:
	default:
		return far_entry;
	}
}

struct halves block_entry_vectors(struct code *code, const uint8_t *far_entry)
{
	return header_of(code_writable(code, far_entry)).loaded;
}

void block_emit_link(struct code *code, uint8_t *site, const uint8_t *far_entry)
{
	struct header header = header_of(code_writable(code, far_entry));
	struct code_site description = code_site_at(site);
	struct halves missing = halves_without(header.loaded, description.loaded);
	bool warm = !missing.low && !missing.high;
	/* With nothing to load the stored entry is as good and has no jump. */
	bool stored_warm = warm && header.warm != header.near;
	enum block_entry entry = description.flags_stored
						 ? (stored_warm ? BLOCK_ENTRY_STORED_WARM
								: BLOCK_ENTRY_STORED)
						 : (warm ? BLOCK_ENTRY_WARM : BLOCK_ENTRY_NEAR);
	const uint8_t *target = block_entry_of(code, far_entry, entry);
	int32_t distance = (int32_t)(target - (code_executable(code, site) + 4));

	memcpy(site, &distance, sizeof(distance));
	if (description.upper && header.upper) {
		code_keep_upper(site);
	}
}

static void redirect(uint8_t *at, const uint8_t *target)
{
	struct emitter e = {.at = at, .end = at + JMP_BYTES};

	emit_jmp_to(&e, target);
}

void block_emit_dead_end(struct code *code, const struct block *block, uint8_t *far_entry)
{
	struct header header = header_of(far_entry);
	uint8_t *near_entry = far_entry + header.near;
	struct emitter e = {.at = near_entry, .end = near_entry + DEAD_END_MAX};
	const struct code_site site = {.upper = header.upper};

	assert(header.dead >= header.near + DEAD_END_MAX);
	/* What led here goes on through here: to the block's successor, when there is one. */
	code_emit_site(code, &e, (uint32_t)PAGE_OFFSET(block->physical), site);
	assert(!e.full);
	if (header.warm != header.near) {
		redirect(far_entry + header.warm, near_entry);
	}
	redirect(far_entry + STORED_ENTRY, far_entry + header.dead);
	redirect(far_entry + header.stored_warm, far_entry + header.dead);
}
