/* SPDX-License-Identifier: MIT */
/* What is emitted, read back by Zydis. */
#include "tests/harness/test.h"

#include "core/engine/soft/decode.h"
#include "core/engine/soft/translator/emit.h"

#include <Zydis/Zydis.h>
#include <string.h>

static ZydisDecoder decoder;
static uint8_t buffer[64];
static struct emitter emitter;
static ZydisDecodedInstruction insn;
static ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

static int setup(void **state)
{
	(void)state;
	(void)ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return 0;
}

static void begin(void)
{
	memset(buffer, 0xcc, sizeof(buffer));
	emitter = (struct emitter){.at = buffer, .end = buffer + sizeof(buffer)};
}

/* The one instruction that has been emitted. */
static void decode(void)
{
	size_t len = (size_t)(emitter.at - buffer);

	assert_false(emitter.full);
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, buffer, len, &insn, operands)));
	assert_int_equal(insn.length, len);
}

static void assert_register(const ZydisDecodedOperand *operand, unsigned reg, unsigned bits)
{
	assert_int_equal(operand->type, ZYDIS_OPERAND_TYPE_REGISTER);
	assert_int_equal(ZydisRegisterGetId(operand->reg.value), reg);
	assert_int_equal(operand->size, bits);
}

static void assert_general(ZydisRegister value, unsigned reg)
{
	if (reg == HOST_NONE) {
		assert_int_equal(value, ZYDIS_REGISTER_NONE);
	} else {
		assert_int_equal(ZydisRegisterGetClass(value), ZYDIS_REGCLASS_GPR64);
		assert_int_equal(ZydisRegisterGetId(value), reg);
	}
}

static void assert_operand(const ZydisDecodedOperand *operand, struct host_rm rm, unsigned bits)
{
	if (rm.reg != HOST_NONE) {
		assert_register(operand, rm.reg, bits);
		return;
	}
	bool by_stack = rm.base == HOST_RSP || rm.base == HOST_RBP;
	assert_int_equal(operand->type, ZYDIS_OPERAND_TYPE_MEMORY);
	assert_int_equal(operand->size, bits);
	assert_general(operand->mem.base, rm.base);
	assert_general(operand->mem.index, rm.index);
	if (rm.index != HOST_NONE) {
		assert_int_equal(operand->mem.scale, 1u << rm.scale);
	}
	assert_int_equal(operand->mem.disp.has_displacement ? operand->mem.disp.value : 0, rm.disp);
	assert_int_equal(operand->mem.segment, rm.gs	  ? ZYDIS_REGISTER_GS
					       : by_stack ? ZYDIS_REGISTER_SS
							  : ZYDIS_REGISTER_DS);
}

static const int32_t displacements[] = {0, 1, -1, 127, 128, -128, -129, INT32_MAX, INT32_MIN};

static void each_memory(void (*check)(unsigned reg, struct host_rm rm))
{
	for (unsigned i = 0; i < 17 * 17 * 4 * G_N_ELEMENTS(displacements); i++) {
		unsigned base = i % 17, index = i / 17 % 17, scale = i / 289 % 4;
		struct host_rm rm = host_memory(base == 16 ? HOST_NONE : base,
				index == 16 ? HOST_NONE : index, scale, displacements[i / 1156]);
		if (index == HOST_RSP || (index == 16 && scale)) {
			continue;
		}
		check(i % 16, rm);
		rm.gs = true;
		check((i + 5) % 16, rm);
	}
	for (unsigned i = 0; i < 256; i++) {
		check(i % 16, host_register(i / 16));
	}
}

static void check_moves(unsigned reg, struct host_rm rm)
{
	begin();
	emit_load(&emitter, reg, rm);
	decode();
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_MOV);
	assert_register(&operands[0], reg, 64);
	assert_operand(&operands[1], rm, 64);
	begin();
	emit_store(&emitter, rm, reg);
	decode();
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_MOV);
	assert_operand(&operands[0], rm, 64);
	assert_register(&operands[1], reg, 64);
	begin();
	emit_load32(&emitter, reg, rm);
	decode();
	assert_register(&operands[0], reg, 32);
	assert_operand(&operands[1], rm, 32);
	begin();
	emit_store32(&emitter, rm, reg);
	decode();
	assert_operand(&operands[0], rm, 32);
	assert_register(&operands[1], reg, 32);
	begin();
	emit_store_imm(&emitter, rm, -2 - (int32_t)reg);
	decode();
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_MOV);
	assert_operand(&operands[0], rm, 64);
	assert_int_equal(operands[1].imm.value.s, -2 - (int32_t)reg);
}

static void check_other(unsigned reg, struct host_rm rm)
{
	static const ZydisMnemonic alu[] = {ZYDIS_MNEMONIC_ADD, ZYDIS_MNEMONIC_OR,
			ZYDIS_MNEMONIC_ADC, ZYDIS_MNEMONIC_SBB, ZYDIS_MNEMONIC_AND,
			ZYDIS_MNEMONIC_SUB, ZYDIS_MNEMONIC_XOR, ZYDIS_MNEMONIC_CMP};

	begin();
	emit_alu(&emitter, reg & 7, reg, rm);
	decode();
	assert_int_equal(insn.mnemonic, alu[reg & 7]);
	assert_register(&operands[0], reg, 64);
	assert_operand(&operands[1], rm, 64);
	begin();
	emit_jmp_indirect(&emitter, rm);
	decode();
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_JMP);
	assert_operand(&operands[0], rm, 64);
	if (rm.reg != HOST_NONE) {
		return;
	}
	begin();
	emit_lea(&emitter, reg, rm);
	decode();
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_LEA);
	assert_register(&operands[0], reg, 64);
	assert_general(operands[1].mem.base, rm.base);
	assert_int_equal(operands[1].mem.disp.value, rm.disp);
}

/* The parts of an operation beside its operands. */
static void check_parts(unsigned reg, struct host_rm rm)
{
	static const struct {
		struct host_op op;
		ZydisMnemonic mnemonic;
		unsigned reg_bits, rm_bits;
		bool reg_first;
	} rows[] = {
			{{.map = INSN_MAP_0F, .opcode = 0xb7}, ZYDIS_MNEMONIC_MOVZX, 32, 16, true},
			{{.map = INSN_MAP_0F, .opcode = 0xb6, .rex_w = true, .rex = true},
					ZYDIS_MNEMONIC_MOVZX, 64, 8, true},
			{{.opcode = 0x89, .opsize = true}, ZYDIS_MNEMONIC_MOV, 16, 16, false},
			{{.opcode = 0x88, .rex = true}, ZYDIS_MNEMONIC_MOV, 8, 8, false},
			{{.opcode = 0x69, .opsize = true, .imm_size = 2, .imm = 0x1234},
					ZYDIS_MNEMONIC_IMUL, 16, 16, true},
			{{.opcode = 0x6b, .imm_size = 1, .imm = 0x78}, ZYDIS_MNEMONIC_IMUL, 32, 32,
					true},
			{{.opcode = 0x69, .rex_w = true, .imm_size = 4, .imm = 0x12345678},
					ZYDIS_MNEMONIC_IMUL, 64, 64, true},
			{{.map = INSN_MAP_0F, .opcode = 0xb8, .prefix = 0xf3, .rex_w = true},
					ZYDIS_MNEMONIC_POPCNT, 64, 64, true},
			{{.map = INSN_MAP_0F, .opcode = 0xb8, .prefix = 0xf3, .opsize = true},
					ZYDIS_MNEMONIC_POPCNT, 16, 16, true},
			{{.map = INSN_MAP_0F38, .opcode = 0xf1, .prefix = 0xf2, .rex_w = true},
					ZYDIS_MNEMONIC_CRC32, 64, 64, true},
			{{.map = INSN_MAP_0F, .opcode = 0x58, .prefix = 0xf2}, ZYDIS_MNEMONIC_ADDSD,
					64, 64, true},
			{{.map = INSN_MAP_0F38, .opcode = 0x00, .opsize = true},
					ZYDIS_MNEMONIC_PSHUFB, 128, 128, true},
			{{.map = INSN_MAP_0F3A,
					 .opcode = 0x0f,
					 .opsize = true,
					 .imm_size = 1,
					 .imm = 9},
					ZYDIS_MNEMONIC_PALIGNR, 128, 128, true},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const ZydisDecodedOperand *named = &operands[rows[i].reg_first ? 0 : 1];
		begin();
		emit_op(&emitter, &rows[i].op, reg, rm);
		decode();
		assert_int_equal(insn.mnemonic, rows[i].mnemonic);
		assert_int_equal(named->type, ZYDIS_OPERAND_TYPE_REGISTER);
		if (rows[i].reg_bits > 8) {
			assert_register(named, reg, rows[i].reg_bits);
		}
		if (rm.reg == HOST_NONE) {
			assert_operand(&operands[rows[i].reg_first ? 1 : 0], rm, rows[i].rm_bits);
		}
		if (rows[i].op.imm_size) {
			assert_int_equal(operands[2].imm.value.u, rows[i].op.imm);
		}
	}
	if (rm.reg == HOST_NONE) {
		const struct host_op op = {.opcode = 0x01, .lock = true};
		begin();
		emit_op(&emitter, &op, reg, rm);
		decode();
		assert_true(insn.attributes & ZYDIS_ATTRIB_HAS_LOCK);
		assert_operand(&operands[0], rm, 32);
	}
}

static void test_operands(void **state)
{
	(void)state;
	each_memory(check_moves);
	each_memory(check_other);
	each_memory(check_parts);
}

/* With REX they are the low bytes of rsp to rdi. */
static void test_byte_registers(void **state)
{
	struct host_op op = {.opcode = 0x88};

	(void)state;
	for (unsigned reg = 0; reg < 16; reg++) {
		begin();
		op.rex = true;
		emit_op(&emitter, &op, reg, host_register(HOST_RAX));
		decode();
		static const ZydisRegister low[] = {ZYDIS_REGISTER_AL, ZYDIS_REGISTER_CL,
				ZYDIS_REGISTER_DL, ZYDIS_REGISTER_BL, ZYDIS_REGISTER_SPL,
				ZYDIS_REGISTER_BPL, ZYDIS_REGISTER_SIL, ZYDIS_REGISTER_DIL,
				ZYDIS_REGISTER_R8B, ZYDIS_REGISTER_R9B, ZYDIS_REGISTER_R10B,
				ZYDIS_REGISTER_R11B, ZYDIS_REGISTER_R12B, ZYDIS_REGISTER_R13B,
				ZYDIS_REGISTER_R14B, ZYDIS_REGISTER_R15B};
		assert_int_equal(operands[1].reg.value, low[reg]);
	}
	begin();
	op.rex = false;
	emit_op(&emitter, &op, 4, host_register(HOST_RBX));
	decode();
	assert_int_equal(operands[1].reg.value, ZYDIS_REGISTER_AH);
}

static void test_immediates(void **state)
{
	static const uint64_t values[] = {0, 1, 0x7f, 0x80, 0x7fffffff, 0x80000000, 0xffffffff,
			0x100000000, UINT64_MAX, UINT64_MAX - 0x7f, UINT64_MAX - 0x7fffffff,
			UINT64_MAX - 0x80000000, 0x123456789abcdef0};

	(void)state;
	for (unsigned reg = 0; reg < 16; reg++) {
		for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
			begin();
			emit_mov_imm(&emitter, reg, values[i]);
			decode();
			assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_MOV);
			/* 32 bits clear the rest. */
			assert_register(&operands[0], reg, values[i] <= UINT32_MAX ? 32 : 64);
			if (operands[0].size == 32) {
				assert_int_equal((uint32_t)operands[1].imm.value.u, values[i]);
			} else {
				assert_int_equal(operands[1].imm.value.u, values[i]);
			}
		}
		for (size_t i = 0; i < G_N_ELEMENTS(displacements); i++) {
			begin();
			emit_alu_imm(&emitter, 5, reg, displacements[i]);
			decode();
			assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_SUB);
			assert_register(&operands[0], reg, 64);
			assert_int_equal(operands[1].imm.value.s, displacements[i]);
		}
	}
}

static uint64_t branch_target(const uint8_t *at)
{
	ZyanU64 target = 0;

	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(
			&decoder, at, (size_t)(emitter.end - at), &insn, operands)));
	assert_true(ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(
			&insn, &operands[0], (ZyanU64)(uintptr_t)at, &target)));
	return target;
}

static void test_branches(void **state)
{
	(void)state;
	begin();
	uint8_t *conditional = emit_jcc(&emitter, 7);
	uint8_t *jump = emit_jmp(&emitter);
	uint8_t *counter = emit_jrcxz(&emitter);
	emit_jcc_to(&emitter, 5, buffer);
	emit_call_to(&emitter, buffer + 2);
	emit_jmp_to(&emitter, buffer + 3);
	uint64_t end = (uint64_t)(uintptr_t)emitter.at;
	emit_here(&emitter, conditional);
	emit_here(&emitter, jump);
	emit_here8(&emitter, counter);
	const uint8_t *at = buffer;
	assert_int_equal(branch_target(at), end);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_JNBE);
	at += insn.length;
	assert_int_equal(branch_target(at), end);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_JMP);
	at += insn.length;
	assert_int_equal(branch_target(at), end);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_JRCXZ);
	at += insn.length;
	assert_int_equal(branch_target(at), (uint64_t)(uintptr_t)buffer);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_JNZ);
	at += insn.length;
	assert_int_equal(branch_target(at), (uint64_t)(uintptr_t)buffer + 2);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_CALL);
	at += insn.length;
	assert_int_equal(branch_target(at), (uint64_t)(uintptr_t)buffer + 3);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_JMP);
	assert_ptr_equal(at + insn.length, emitter.at);
}

/* The arithmetic flags go to AX and back, whatever they are. */
static void test_flags(void **state)
{
	static const ZydisMnemonic expected[] = {ZYDIS_MNEMONIC_LAHF, ZYDIS_MNEMONIC_SETO,
			ZYDIS_MNEMONIC_ADD, ZYDIS_MNEMONIC_SAHF};
	const uint8_t *at = buffer;

	(void)state;
	begin();
	emit_flags_out(&emitter);
	emit_flags_in(&emitter);
	for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
		assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(
				&decoder, at, (size_t)(emitter.at - at), &insn, operands)));
		assert_int_equal(insn.mnemonic, expected[i]);
		at += insn.length;
	}
	assert_ptr_equal(at, emitter.at);
}

/* Nothing is written behind the end, and it is said. */
static void test_full(void **state)
{
	(void)state;
	for (size_t room = 0; room < 24 /* bytes of all three */; room++) {
		begin();
		emitter.end = buffer + room;
		uint8_t *from = emit_jmp(&emitter);
		emit_load(&emitter, HOST_R9, host_state_at(HOST_R12, 0x1234));
		emit_mov_imm(&emitter, HOST_R9, 0x123456789abcdef0);
		emit_here(&emitter, from);
		assert_true(emitter.full);
		assert_true(emitter.at <= emitter.end);
		for (size_t i = room; i < sizeof(buffer); i++) {
			assert_int_equal(buffer[i], 0xcc);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_operands),
			cmocka_unit_test(test_byte_registers),
			cmocka_unit_test(test_immediates),
			cmocka_unit_test(test_branches),
			cmocka_unit_test(test_flags),
			cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
