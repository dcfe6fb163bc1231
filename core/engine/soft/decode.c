/* SPDX-License-Identifier: MIT */
/*
 * The decoder: prefixes, opcode, ModRM, immediate, in the order they lie in memory, driven by
 * decode_tables.h. Bytes are read without looking whether they are there: an instruction that may
 * reach past the caller's bytes is copied in front of zeros first, and its length tells afterwards.
 */
#include "core/engine/soft/decode.h"

#include "core/engine/soft/avx.h"
#include "core/engine/soft/decode_tables.h"
#include "core/engine/soft/native.h"
#include "core/engine/x86.h"

#include <string.h>

/*
 * What an instruction can reach after 15 prefixes: 3 opcode bytes, ModRM, SIB, 4 or 8 of
 * displacement and immediate.
 */
#define REACH (INSN_MAX_BYTES + 3 + 2 + 4 + 8)

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

#define NO_SEGMENT 0xff

struct cursor {
	const uint8_t *next;
	uint32_t prefixes; /* enum insn_prefix */
	uint32_t rex; /* REX_*, also from VEX */
	uint8_t segment; /* override, or NO_SEGMENT */
	bool long64;
	bool bad_vex; /* VEX with a prefix it does not go with */
	bool vex_register; /* VEX.vvvv names one, if only by mistake */
	struct decode_entry avx; /* what avx.h says of the instruction, as a row of the tables */
};

enum prefix_kind {
	PREFIX_NOT,
	PREFIX_FLAG, /* sets a bit */
	PREFIX_REPEAT, /* the last one counts */
	PREFIX_SEGMENT,
	PREFIX_LEGACY_SEGMENT, /* not in 64-bit mode */
};

static const struct {
	uint8_t kind; /* enum prefix_kind */
	uint8_t value; /* enum insn_prefix or enum x86_segment_reg */
} prefix_table[256] = {
		[0x26] = {PREFIX_LEGACY_SEGMENT, X86_ES},
		[0x2e] = {PREFIX_LEGACY_SEGMENT, X86_CS},
		[0x36] = {PREFIX_LEGACY_SEGMENT, X86_SS},
		[0x3e] = {PREFIX_LEGACY_SEGMENT, X86_DS},
		[0x64] = {PREFIX_SEGMENT, X86_FS},
		[0x65] = {PREFIX_SEGMENT, X86_GS},
		[0x66] = {PREFIX_FLAG, INSN_PREFIX_OPSIZE},
		[0x67] = {PREFIX_FLAG, INSN_PREFIX_ADDRSIZE},
		[0xf0] = {PREFIX_FLAG, INSN_PREFIX_LOCK},
		[0xf2] = {PREFIX_REPEAT, INSN_PREFIX_REPNE},
		[0xf3] = {PREFIX_REPEAT, INSN_PREFIX_REP},
};

static void take_prefix(struct cursor *at)
{
	unsigned value = prefix_table[*at->next].value;

	switch ((enum prefix_kind)prefix_table[*at->next].kind) {
	case PREFIX_FLAG:
		at->prefixes |= value;
		break;
	case PREFIX_REPEAT:
		at->prefixes &= ~(uint32_t)(INSN_PREFIX_REP | INSN_PREFIX_REPNE);
		at->prefixes |= value;
		break;
	case PREFIX_LEGACY_SEGMENT:
		if (at->long64) {
			break;
		}
		__attribute__((fallthrough));
	case PREFIX_SEGMENT:
		at->segment = (uint8_t)value;
		at->prefixes |= INSN_PREFIX_SEGMENT;
		break;
	case PREFIX_NOT:
	default:
		assert(false);
	}
	at->next++;
}

static inline bool is_rex(const struct cursor *at)
{
	return at->long64 && (*at->next & 0xf0) == 0x40;
}

/*
 * Leaves the cursor at the opcode. False if there are so many prefixes that no instruction can
 * follow. A REX that something other than the opcode follows counts for nothing.
 */
static inline bool take_prefixes(struct cursor *at, const uint8_t *start)
{
	unsigned rex;

	do {
		while (prefix_table[*at->next].kind != PREFIX_NOT) {
			take_prefix(at);
			if (at->next - start >= INSN_MAX_BYTES) {
				return false;
			}
		}
		rex = is_rex(at) ? *at->next : 0;
		at->next += rex != 0;
		if (at->next - start >= INSN_MAX_BYTES) {
			return false;
		}
	} while (unlikely(prefix_table[*at->next].kind != PREFIX_NOT || is_rex(at)));

	at->rex = rex & 0xf;
	at->prefixes |= rex ? (uint32_t)INSN_PREFIX_REX : 0;
	at->prefixes |= (rex & REX_W) * (INSN_PREFIX_REX_W / REX_W);
	return true;
}

static inline unsigned mandatory_prefix(uint32_t prefixes)
{
	static const uint8_t by_prefixes[8] = {
			[0] = DECODE_PREFIX_NONE,
			[INSN_PREFIX_OPSIZE >> 1] = DECODE_PREFIX_66,
			[INSN_PREFIX_REP >> 1] = DECODE_PREFIX_F3,
			[(INSN_PREFIX_REP | INSN_PREFIX_OPSIZE) >> 1] = DECODE_PREFIX_F3,
			[INSN_PREFIX_REPNE >> 1] = DECODE_PREFIX_F2,
			[(INSN_PREFIX_REPNE | INSN_PREFIX_OPSIZE) >> 1] = DECODE_PREFIX_F2,
	};

	return by_prefixes[(prefixes >> 1) & 7];
}

/* The cursor is at the second byte of a VEX prefix. */
static void take_vex_prefix(struct cursor *at, struct insn *insn, unsigned *ret_map, bool *ret_wide)
{
	static const uint16_t mandatory[4] = {
			[DECODE_PREFIX_66] = INSN_PREFIX_OPSIZE,
			[DECODE_PREFIX_F3] = INSN_PREFIX_REP,
			[DECODE_PREFIX_F2] = INSN_PREFIX_REPNE,
	};
	bool three_bytes = at->next[-1] == 0xc4;
	unsigned first = *at->next++, last = first;
	uint32_t rex = first & 0x80 ? 0 : REX_R;

	*ret_map = 1;
	if (three_bytes) {
		last = *at->next++;
		*ret_map = first & 0x1f;
		rex = ((~first >> 5) & 7) | (last & 0x80 ? REX_W : 0);
	}
	*ret_wide = last & 4;
	bool vex_w = three_bytes && (last & 0x80);
	at->bad_vex = at->prefixes & (INSN_PREFIX_LOCK | INSN_PREFIX_REP | INSN_PREFIX_REPNE |
						     INSN_PREFIX_OPSIZE | INSN_PREFIX_REX);
	/* Outside 64-bit mode there are eight registers and W means nothing. */
	at->rex = at->long64 ? rex : 0;
	insn->vex_reg = (uint8_t)((~last >> 3) & (at->long64 ? 15 : 7));
	at->vex_register = ~last & 0x78;
	at->prefixes &= (uint32_t)(INSN_PREFIX_SEGMENT | INSN_PREFIX_ADDRSIZE);
	at->prefixes |= INSN_PREFIX_VEX | mandatory[last & 3] | (vex_w ? INSN_PREFIX_REX_W : 0) |
			(*ret_wide ? INSN_PREFIX_VEX_L : 0);
}

/* Puts a row of avx.h into the terms of the tables. */
static void describe_avx(
		struct decode_entry *entry, const struct avx_desc *desc, bool is_256, bool wide)
{
	bool to_memory = desc->form == AVX_FORM_MR || desc->form == AVX_FORM_MVR;
	bool no_register = desc->form == AVX_FORM_RM || desc->form == AVX_FORM_MR;
	unsigned memory = to_memory ? DECODE_WRITES : DECODE_READS;

	*entry = (struct decode_entry){
			.insn_class = INSN_CLASS_AVX,
			.size = DECODE_SIZE_Y,
			.immediate = desc->flags & AVX_FLAG_IMM8 ? DECODE_IMM_U8 : DECODE_IMM_NONE,
			.memory = (uint8_t)avx_memory_size(desc, is_256, wide),
			.flags = (uint16_t)((no_register ? DECODE_NO_VEX_REGISTER : 0) |
					    (desc->flags & AVX_FLAG_GATHER ? DECODE_VECTOR_INDEX
									   : 0) |
					    (desc->flags & AVX_FLAG_ZERO ? 0
									 : DECODE_MODRM | memory)),
	};
}

/*
 * Instructions on general registers are in tables of their own, opcodes F0-FF of two maps, without
 * the vector length bit; the others in that of avx.h.
 */
static const struct decode_entry *take_vex(struct cursor *at, struct insn *insn)
{
	static const struct decode_entry undefined = {.insn_class = INSN_CLASS_UNDEFINED};
	static const uint8_t maps[4] = {[1] = INSN_MAP_0F, INSN_MAP_0F38, INSN_MAP_0F3A};
	unsigned map;
	bool is_256;

	take_vex_prefix(at, insn, &map, &is_256);
	insn->opcode = *at->next++;
	insn->map = map < 4 ? maps[map] : INSN_MAP_0F;
	if (map == 0 || map > 3) {
		return &undefined;
	}
	if (map > 1 && insn->opcode >= 0xf0) {
		const struct decode_entry *table = map == 2 ? decode_vex_0f38 : decode_vex_0f3a;
		return is_256 ? &undefined : &table[insn->opcode & 15];
	}
	bool wide = at->prefixes & INSN_PREFIX_REX_W;
	const struct avx_key key = {
			.map = insn->map,
			.prefix = (uint8_t)mandatory_prefix(at->prefixes),
			.opcode = insn->opcode,
			.modrm = *at->next,
			.wide = wide,
			.is_256 = is_256,
	};
	const struct avx_desc *desc = avx_lookup(&key);
	if (!desc) {
		return &undefined;
	}
	describe_avx(&at->avx, desc, is_256, wide);
	return &at->avx;
}

static inline const struct decode_entry *take_escaped(struct cursor *at, struct insn *insn)
{
	unsigned opcode = *at->next++;

	insn->map = INSN_MAP_0F;
	insn->opcode = (uint8_t)opcode;
	if (unlikely((opcode & 0xfd) == 0x38)) {
		insn->map = opcode == 0x38 ? INSN_MAP_0F38 : INSN_MAP_0F3A;
		insn->opcode = *at->next++;
		return opcode == 0x38 ? &decode_0f38[insn->opcode] : &decode_0f3a[insn->opcode];
	}
	return &decode_0f[opcode];
}

/* Takes the opcode and follows the tables to the row that describes the instruction. */
static inline const struct decode_entry *take_opcode(struct cursor *at, struct insn *insn)
{
	const struct decode_entry *entry;
	unsigned opcode = *at->next++;

	if (opcode == 0x0f) {
		entry = take_escaped(at, insn);
	} else if (unlikely((opcode & 0xfe) == 0xc4 && (at->long64 || *at->next >= 0xc0))) {
		entry = take_vex(at, insn);
	} else {
		insn->map = INSN_MAP_LEGACY;
		insn->opcode = (uint8_t)opcode;
		entry = &decode_legacy[opcode];
	}
	if (entry->group) {
		unsigned modrm = *at->next; /* looked at only where there is one */
		unsigned selector = (unsigned)at->long64 << DECODE_SELECT_MODE_64 |
				    mandatory_prefix(at->prefixes) << DECODE_SELECT_PREFIX |
				    modrm << DECODE_SELECT_RM |
				    (unsigned)(modrm >= 0xc0) << DECODE_SELECT_MOD_3;
		do {
			entry = &entry->group[selector >> entry->select_shift & entry->select_mask];
		} while (entry->group);
	}
	return entry;
}

/* Takes length (0 to 4) bytes, sign-extended. */
static inline int32_t take_displacement(struct cursor *at, unsigned length)
{
	uint32_t value;
	unsigned unused = 32 - 8 * length;

	memcpy(&value, at->next, sizeof(value));
	at->next += length;
	return (int32_t)((int64_t)((uint64_t)value << 32 << unused) >> 32 >> unused);
}

static uint8_t take_memory_16(struct cursor *at, struct insn *insn)
{
	static const struct {
		uint8_t base, index, segment;
	} forms[8] = {
			{X86_RBX, X86_RSI, X86_DS},
			{X86_RBX, X86_RDI, X86_DS},
			{X86_RBP, X86_RSI, X86_SS},
			{X86_RBP, X86_RDI, X86_SS},
			{X86_RSI, INSN_REG_NONE, X86_DS},
			{X86_RDI, INSN_REG_NONE, X86_DS},
			{X86_RBP, INSN_REG_NONE, X86_SS},
			{X86_RBX, INSN_REG_NONE, X86_DS},
	};
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

	if (mod == 0 && rm == 6) {
		insn->disp = take_displacement(at, 2);
		return X86_DS;
	}
	insn->base = forms[rm].base;
	insn->index = forms[rm].index;
	insn->disp = take_displacement(at, mod);
	return forms[rm].segment;
}

/* Returns the segment the operand is in unless a prefix says otherwise. */
static inline uint8_t take_memory(struct cursor *at, struct insn *insn, bool vector_index)
{
	static const uint8_t displacement[4] = {0, 1, 4, 0};
	unsigned mod = insn->modrm >> 6, base = insn->modrm & 7;
	bool has_sib = base == 4;

	if (has_sib) {
		unsigned sib = *at->next++;
		unsigned index = (sib >> 3 & 7) | (at->rex & REX_X) << 2;
		base = sib & 7;
		bool no_index = index == X86_RSP && !vector_index;
		insn->index = (uint8_t)(no_index ? INSN_REG_NONE : index);
		insn->scale = (uint8_t)(no_index ? 0 : sib >> 6);
	}
	if (mod == 0 && base == 5) {
		insn->disp = take_displacement(at, 4);
		if (!has_sib && at->long64) {
			insn->base = INSN_BASE_RIP;
		}
		return X86_DS;
	}
	base |= (at->rex & REX_B) << 3;
	insn->base = (uint8_t)base;
	insn->disp = take_displacement(at, displacement[mod]);
	return (base & ~1u) == X86_RSP ? X86_SS : X86_DS;
}

static inline void take_modrm(struct cursor *at, struct insn *insn, unsigned entry_flags)
{
	unsigned modrm = *at->next++;
	uint8_t segment;

	insn->modrm = (uint8_t)modrm;
	insn->reg = (uint8_t)((modrm >> 3 & 7) | (at->rex & REX_R) << 1);
	if (modrm >= 0xc0 || entry_flags & DECODE_IGNORE_MOD) {
		insn->rm = (uint8_t)((modrm & 7) | (at->rex & REX_B) << 3);
		return;
	}
	insn->is_memory = true;
	segment = likely(insn->address_size != 2)
				  ? take_memory(at, insn, entry_flags & DECODE_VECTOR_INDEX)
				  : take_memory_16(at, insn);
	if (at->segment == NO_SEGMENT) {
		insn->segment = segment;
	}
}

static unsigned operand_size(unsigned size, enum insn_mode mode, uint32_t prefixes)
{
	/* By mode, prefix 66, REX.W. */
	static const uint8_t sizes[DECODE_SIZE_COUNT][3][2][2] = {
			[DECODE_SIZE_V] = {{{2, 2}, {4, 4}}, {{4, 4}, {2, 2}}, {{4, 8}, {2, 8}}},
			[DECODE_SIZE_B] = {{{1, 1}, {1, 1}}, {{1, 1}, {1, 1}}, {{1, 1}, {1, 1}}},
			[DECODE_SIZE_Z] = {{{2, 2}, {4, 4}}, {{4, 4}, {2, 2}}, {{4, 4}, {2, 4}}},
			[DECODE_SIZE_Y] = {{{4, 4}, {4, 4}}, {{4, 4}, {4, 4}}, {{4, 8}, {4, 8}}},
			[DECODE_SIZE_D64] = {{{2, 2}, {4, 4}}, {{4, 4}, {2, 2}}, {{8, 8}, {2, 8}}},
			[DECODE_SIZE_F64] = {{{2, 2}, {4, 4}}, {{4, 4}, {2, 2}}, {{8, 8}, {8, 8}}},
			[DECODE_SIZE_MODE] = {{{4, 4}, {4, 4}}, {{4, 4}, {4, 4}}, {{8, 8}, {8, 8}}},
	};

	return sizes[size][mode][!!(prefixes & INSN_PREFIX_OPSIZE)]
		    [!!(prefixes & INSN_PREFIX_REX_W)];
}

static unsigned address_size(enum insn_mode mode, uint32_t prefixes)
{
	static const uint8_t sizes[3][2] = {{2, 4}, {4, 2}, {8, 4}};

	return sizes[mode][!!(prefixes & INSN_PREFIX_ADDRSIZE)];
}

/*
 * The immediates that are more than a number, and the moffs operand. raw holds the next eight
 * bytes.
 */
static void take_odd_immediate(
		struct cursor *at, struct insn *insn, enum decode_immediate kind, uint64_t raw)
{
	switch (kind) {
	case DECODE_IMM_OFFSET:
		insn->is_memory = true;
		insn->imm = raw & (UINT64_MAX >> (64 - 8 * insn->address_size));
		at->next += insn->address_size;
		break;
	case DECODE_IMM_FAR:
		if (insn->operand_size == 2) {
			insn->imm = (raw & 0xffff) | (raw & 0xffff0000) << 16;
			at->next += 4;
		} else {
			insn->imm = raw & UINT64_C(0xffffffffffff);
			at->next += 6;
		}
		break;
	case DECODE_IMM_ENTER:
		insn->imm = (uint16_t)raw;
		insn->imm2 = (uint8_t)(raw >> 16);
		at->next += 3;
		break;
	default:
		assert(false);
	}
}

static inline void take_immediate(struct cursor *at, struct insn *insn, enum decode_immediate kind)
{
	/* By operand size. */
	static const uint8_t lengths[DECODE_IMM_COUNT][9] = {
			[DECODE_IMM_U8] = {1, 1, 1, 1, 1, 1, 1, 1, 1},
			[DECODE_IMM_S8] = {1, 1, 1, 1, 1, 1, 1, 1, 1},
			[DECODE_IMM_U16] = {2, 2, 2, 2, 2, 2, 2, 2, 2},
			[DECODE_IMM_Z] = {[2] = 2, [4] = 4, [8] = 4},
			[DECODE_IMM_V] = {[2] = 2, [4] = 4, [8] = 8},
	};
	uint64_t raw;
	unsigned length, unused;

	memcpy(&raw, at->next, sizeof(raw));
	if (unlikely(kind >= DECODE_IMM_OFFSET)) {
		take_odd_immediate(at, insn, kind, raw);
		return;
	}
	length = lengths[kind][insn->operand_size];
	assert(length > 0);
	unused = 64 - 8 * length;
	raw <<= unused;
	insn->imm = kind == DECODE_IMM_S8 || kind == DECODE_IMM_Z
				    ? (uint64_t)((int64_t)raw >> unused)
				    : raw >> unused;
	at->next += length;
}

/* The length of memory where it follows from a rule (enum decode_memory). */
static unsigned memory_size(unsigned rule, const struct insn *insn, bool long64)
{
	switch ((enum decode_memory)rule) {
	case DECODE_MEMORY_FAR:
		return insn->operand_size + 2;
	case DECODE_MEMORY_PAIR:
		return 2 * insn->operand_size;
	case DECODE_MEMORY_TABLE:
		return long64 ? 10 : 6;
	case DECODE_MEMORY_ENVIRONMENT:
		return insn->operand_size == 2 ? 14 : 28;
	case DECODE_MEMORY_X87_STATE:
		return insn->operand_size == 2 ? 94 : 108;
	default:
		return 0;
	}
}

/* What few instructions need. True if an encoding that has a row is undefined all the same. */
static bool check_rarities(
		const struct cursor *at, struct insn *insn, const struct decode_entry *entry)
{
	if (entry->flags & DECODE_STRING && at->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE)) {
		insn->flags |= INSN_FLAG_ENDS_BLOCK;
	}
	if (at->prefixes & INSN_PREFIX_LOCK &&
			!(entry->flags & DECODE_LOCKABLE && insn->is_memory)) {
		return true;
	}
	if (entry->flags & DECODE_CONTROL_REGISTER) {
		return !(BIT(insn->reg) & (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8)));
	}
	if (entry->flags & DECODE_DEBUG_REGISTER) {
		return insn->reg >= 8;
	}
	if (entry->flags & DECODE_VECTOR_INDEX &&
			((insn->modrm & 7) != 4 || insn->address_size == 2)) {
		return true;
	}
	return at->bad_vex || (entry->flags & DECODE_NO_VEX_REGISTER && at->vex_register);
}

/* Whether the instruction exists in this mode and this form. */
static inline bool is_allowed(
		const struct cursor *at, struct insn *insn, const struct decode_entry *entry)
{
	const unsigned rarities = DECODE_STRING | DECODE_CONTROL_REGISTER | DECODE_DEBUG_REGISTER |
				  DECODE_NO_VEX_REGISTER;
	unsigned forbidden = at->long64 ? DECODE_NO_64 : DECODE_ONLY_64;

	forbidden |= insn->is_memory ? DECODE_NO_MEMORY : DECODE_NO_REGISTER;
	if (unlikely(entry->flags & rarities ||
			    at->prefixes & (INSN_PREFIX_LOCK | INSN_PREFIX_VEX)) &&
			check_rarities(at, insn, entry)) {
		return false;
	}
	return likely(!(entry->flags & forbidden));
}

/* All that follows the prefixes. */
static inline void decode_body(struct cursor *at, struct insn *insn, enum insn_mode mode)
{
	const unsigned register_flags = INSN_FLAG_ENDS_BLOCK;
	const unsigned memory_flags = INSN_FLAG_ENDS_BLOCK | INSN_FLAG_READS_MEMORY |
				      INSN_FLAG_WRITES_MEMORY;
	const struct decode_entry *entry = take_opcode(at, insn);

	insn->prefixes = (uint16_t)at->prefixes;
	insn->insn_class = entry->insn_class;
	insn->operand_size = (uint8_t)operand_size(entry->size, mode, at->prefixes);
	insn->address_size = (uint8_t)address_size(mode, at->prefixes);
	insn->segment = at->segment == NO_SEGMENT ? X86_DS : at->segment;
	insn->base = INSN_REG_NONE;
	insn->index = INSN_REG_NONE;
	if (entry->flags & DECODE_MODRM) {
		take_modrm(at, insn, entry->flags);
	} else if (entry->flags & DECODE_OPCODE_REGISTER) {
		insn->rm = (uint8_t)((insn->opcode & 7) | (at->rex & REX_B) << 3);
	}
	if (entry->immediate != DECODE_IMM_NONE) {
		take_immediate(at, insn, (enum decode_immediate)entry->immediate);
	}
	if (insn->is_memory) {
		insn->memory_size = likely(entry->memory < DECODE_MEMORY_FIRST_RULE)
						    ? entry->memory
						    : (uint8_t)memory_size(entry->memory, insn,
								      at->long64);
	}
	insn->flags = (uint8_t)(entry->flags & (insn->is_memory ? memory_flags : register_flags));
	insn->flags |= entry->size == DECODE_SIZE_B ? INSN_FLAG_BYTE_OP : 0;
	if (unlikely(!is_allowed(at, insn, entry))) {
		insn->insn_class = INSN_CLASS_UNDEFINED;
	}
}

enum decode_result insn_decode(
		struct insn *insn, enum insn_mode mode, const uint8_t *bytes, size_t size)
{
	uint8_t padded[REACH];
	struct cursor at = {.segment = NO_SEGMENT, .long64 = mode == INSN_MODE_64};
	size_t length = INSN_MAX_BYTES + 1;

	if (unlikely(size < REACH)) {
		memset(padded, 0, sizeof(padded));
		memcpy(padded, bytes, size);
		bytes = padded;
	}
	at.next = bytes;
	memset(insn, 0, sizeof(*insn));
	if (likely(take_prefixes(&at, bytes))) {
		decode_body(&at, insn, mode);
		length = (size_t)(at.next - bytes);
	}
	if (unlikely(length > INSN_MAX_BYTES || length > size)) {
		return size < INSN_MAX_BYTES && length > size ? DECODE_NEED_BYTES : DECODE_TOO_LONG;
	}
	insn->length = (uint8_t)length;
	return insn->insn_class == INSN_CLASS_UNDEFINED ? DECODE_UNDEFINED : DECODE_OK;
}
