/* SPDX-License-Identifier: MIT */
/*
 * Host instructions as bytes: what the translator writes code with. An emitter appends to a buffer;
 * where that is full it goes on counting nothing and says so in full, so that callers look once, at
 * the end. Encodings: SDM vol. 2, chapter 2. Any thread, an emitter at a time.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_EMIT_H
#define CORE_ENGINE_SOFT_TRANSLATOR_EMIT_H

#include "core/base/base.h"

/* Host registers: numbers as in encodings. */
enum host_reg {
	HOST_RAX,
	HOST_RCX,
	HOST_RDX,
	HOST_RBX,
	HOST_RSP,
	HOST_RBP,
	HOST_RSI,
	HOST_RDI,
	HOST_R8,
	HOST_R9,
	HOST_R10,
	HOST_R11,
	HOST_R12,
	HOST_R13,
	HOST_R14,
	HOST_R15,
	HOST_NONE = 0xff,
};

struct emitter {
	uint8_t *at, *end;
	bool full;
};

/* What modrm.rm names: a register, or memory at base + (index << scale) + disp, in GS if gs. */
struct host_rm {
	uint8_t reg; /* HOST_NONE: memory */
	uint8_t base, index; /* HOST_NONE: none */
	uint8_t scale;
	bool gs;
	int32_t disp;
};

/* Everything of an instruction beside its operands. */
struct host_op {
	uint8_t map; /* enum insn_map */
	uint8_t opcode;
	uint8_t prefix; /* mandatory: 0, 0xf2 or 0xf3 */
	bool opsize; /* 66 */
	bool rex_w;
	bool lock;
	bool rex; /* a REX prefix even if nothing asks for it: spl, bpl, sil, dil */
	uint8_t imm_size; /* bytes: 0, 1, 2, 4 */
	uint64_t imm;
};

/* The same of an instruction with a VEX prefix. */
struct host_vex {
	uint8_t map; /* enum insn_map */
	uint8_t opcode;
	uint8_t prefix; /* VEX.pp */
	bool wide, is_256; /* VEX.W, VEX.L */
	uint8_t imm_size; /* bytes: 0, 1 */
	uint8_t imm;
};

static inline struct host_rm host_register(unsigned reg)
{
	return (struct host_rm){.reg = (uint8_t)reg};
}

static inline struct host_rm host_memory(
		unsigned base, unsigned index, unsigned scale, int32_t disp)
{
	return (struct host_rm){.reg = HOST_NONE,
			.base = (uint8_t)base,
			.index = (uint8_t)index,
			.scale = (uint8_t)scale,
			.disp = disp};
}

/* At an offset of what GS points to. */
static inline struct host_rm host_state(size_t offset)
{
	return (struct host_rm){.reg = HOST_NONE,
			.base = HOST_NONE,
			.index = HOST_NONE,
			.gs = true,
			.disp = (int32_t)offset};
}

/* The same, indexed by a register. */
static inline struct host_rm host_state_at(unsigned base, size_t offset)
{
	return (struct host_rm){.reg = HOST_NONE,
			.base = (uint8_t)base,
			.index = HOST_NONE,
			.gs = true,
			.disp = (int32_t)offset};
}

void emit8(struct emitter *emitter, uint8_t value);
void emit32(struct emitter *emitter, uint32_t value);
void emit64(struct emitter *emitter, uint64_t value);

/* An instruction with modrm; reg is a register's number or the opcode's extension. */
void emit_op(struct emitter *emitter, const struct host_op *op, unsigned reg, struct host_rm rm);

/* The same with a VEX prefix; vvvv is 0 where it names nothing. */
void emit_vex(struct emitter *emitter, const struct host_vex *op, unsigned reg, unsigned vvvv,
		struct host_rm rm);

/* 64-bit MOV between a register and memory or a register, and its relatives. */
void emit_load(struct emitter *emitter, unsigned reg, struct host_rm rm);
void emit_store(struct emitter *emitter, struct host_rm rm, unsigned reg);
void emit_load16(struct emitter *emitter, unsigned reg, struct host_rm rm); /* zero-extended */
void emit_load32(struct emitter *emitter, unsigned reg, struct host_rm rm);
void emit_store32(struct emitter *emitter, struct host_rm rm, unsigned reg);
void emit_store_imm(struct emitter *emitter, struct host_rm rm, int32_t value);
void emit_lea(struct emitter *emitter, unsigned reg, struct host_rm rm);
void emit_mov_imm(struct emitter *emitter, unsigned reg, uint64_t value);

/* A 64-bit ALU instruction of the 00-3F block, by its extension: 0 ADD, 5 SUB, 7 CMP, ... */
void emit_alu_imm(struct emitter *emitter, unsigned extension, unsigned reg, int32_t value);
void emit_alu(struct emitter *emitter, unsigned extension, unsigned reg, struct host_rm rm);

/* Flags to AX and back, in the layout of the integer executors: OF in bit 0 of AL, the rest in AH. */
void emit_flags_out(struct emitter *emitter);
void emit_flags_in(struct emitter *emitter);

/* Branches whose target comes later: each returns where its displacement is, for emit_here(). */
uint8_t *emit_jcc(struct emitter *emitter, unsigned condition);
uint8_t *emit_jmp(struct emitter *emitter);
uint8_t *emit_jrcxz(struct emitter *emitter);

/* The branch with the displacement at from goes to the current place: 32 bits, and 8 for JRCXZ. */
void emit_here(struct emitter *emitter, uint8_t *from);
void emit_here8(struct emitter *emitter, uint8_t *from);

/* Branches to a known place of the same buffer. */
void emit_jcc_to(struct emitter *emitter, unsigned condition, const uint8_t *target);
void emit_jmp_to(struct emitter *emitter, const uint8_t *target);
void emit_call_to(struct emitter *emitter, const uint8_t *target);

/* FF /4: an indirect jump. */
void emit_jmp_indirect(struct emitter *emitter, struct host_rm rm);

#endif
