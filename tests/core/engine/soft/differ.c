/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/differ.h"

#include "tests/harness/test.h"

#include "core/engine/soft/exec.h"
#include "core/engine/soft/operand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPORTS 8

/* xorshift64*: repeatable everywhere. */
uint64_t differ_random(struct differ *differ)
{
	differ->seed ^= differ->seed >> 12;
	differ->seed ^= differ->seed << 25;
	differ->seed ^= differ->seed >> 27;
	return differ->seed * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t differ_below(struct differ *differ, uint64_t limit)
{
	return (differ_random(differ) >> 16) % limit;
}

uint64_t differ_value(struct differ *differ)
{
	static const uint64_t edges[] = {0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 0x7f, 0x80, 0xff,
			0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
			0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX, UINT64_MAX - 1};

	switch (differ_below(differ, 4)) {
	case 0:
		return edges[differ_below(differ, G_N_ELEMENTS(edges))];
	case 1:
		return differ_random(differ) >> differ_below(differ, 64);
	default:
		return differ_random(differ);
	}
}

/* An address in the data pages, most often near a border. */
uint64_t differ_address(struct differ *differ)
{
	uint64_t border = differ_below(differ, ORACLE_PAGE_COUNT + 1) * ORACLE_PAGE_SIZE;

	switch (differ_below(differ, 4)) {
	case 0:
		return differ->data + border - differ_below(differ, 20) + differ_below(differ, 20);
	case 1:
		return differ->data + differ_below(differ, ORACLE_DATA_SIZE);
	default:
		return differ->data + differ_below(differ, 2 * ORACLE_PAGE_SIZE - 16);
	}
}

static void fill_memory(struct differ *differ)
{
	uint8_t *data = oracle_data(differ->oracle);

	for (size_t i = 0; i < ORACLE_DATA_SIZE; i += 8) {
		uint64_t value = differ_value(differ);
		memcpy(&data[i], &value, 8);
	}
	memcpy(differ->memory, data, ORACLE_DATA_SIZE);
}

static void report(const uint8_t *bytes, size_t len, const struct oracle_state *before,
		const struct oracle_state *host, const struct oracle_fault *fault,
		const struct cpu *cpu)
{
	fprintf(stderr, "instruction:");
	for (size_t i = 0; i < len; i++) {
		fprintf(stderr, " %02x", bytes[i]);
	}
	fprintf(stderr,
			"\nhost fault %u error %u address %" PRIx64
			"; ours %u error %u address %" PRIx64 "\n",
			fault->vector, fault->error, fault->address, cpu->fault.vector,
			cpu->fault.error, cpu->cr2);
	fprintf(stderr,
			"rip %" PRIx64 " %" PRIx64 ", flags %03" PRIx64 ": %03" PRIx64 " %03" PRIx64
			"\n",
			host->rip, cpu->rip, before->rflags & DIFFER_FLAGS,
			host->rflags & DIFFER_FLAGS, cpu->rflags & DIFFER_FLAGS);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		fprintf(stderr, "r%u %016" PRIx64 ": %016" PRIx64 " %016" PRIx64 "%s\n", i,
				before->regs[i], host->regs[i], cpu->regs[i],
				host->regs[i] != cpu->regs[i] ? " <--" : "");
	}
}

static void report_memory(struct differ *differ)
{
	const uint8_t *data = oracle_data(differ->oracle);
	unsigned shown = 0;

	for (size_t i = 0; i < ORACLE_DATA_SIZE && shown < 16; i++) {
		if (data[i] != differ->memory[i]) {
			fprintf(stderr, "memory %" PRIx64 ": %02x %02x\n", differ->data + i,
					data[i], differ->memory[i]);
			shown++;
		}
	}
}

/* Of addresses that are the kernel's Linux says that they are present, whether they are or not. */
static bool same_fault(const struct oracle_fault *fault, const struct cpu *cpu)
{
	uint32_t ignored = fault->address >> 47 ? X86_PF_PRESENT : 0;

	if (fault->vector != cpu->fault.vector) {
		return false;
	}
	if (fault->vector != X86_VECTOR_PF) {
		return fault->error == cpu->fault.error;
	}
	return ((fault->error ^ cpu->fault.error) & ~ignored) == 0 && fault->address == cpu->cr2;
}

static bool same(struct differ *differ, bool host_ok, bool ours_ok, const struct oracle_state *host,
		const struct oracle_fault *fault)
{
	const struct cpu *cpu = differ->fake->cpu;
	const uint8_t *data = oracle_data(differ->oracle);
	uint64_t flags = DIFFER_FLAGS & ~(host_ok ? 0 : differ->fault_flags);

	if (host_ok != ours_ok || host->rip != cpu->rip || ((host->rflags ^ cpu->rflags) & flags) ||
			memcmp(host->regs, cpu->regs, sizeof(cpu->regs)) != 0) {
		return false;
	}
	if (!host_ok && !same_fault(fault, cpu)) {
		return false;
	}
	return memcmp(data, differ->memory, ORACLE_DATA_SIZE) == 0;
}

static void compare_run(struct differ *differ, const uint8_t *bytes, size_t len,
		const struct oracle_state *before)
{
	struct oracle_state host = *before;
	struct cpu *cpu = differ->fake->cpu;
	struct oracle_fault fault;
	bool host_ok, ours_ok;

	memcpy(cpu->regs, before->regs, sizeof(cpu->regs));
	cpu->rflags = (before->rflags & DIFFER_FLAGS) | X86_FLAG_FIXED;
	cpu->rip = differ->code;
	cpu->fault.vector = ORACLE_NO_FAULT;
	cpu->fault.error = 0;
	differ->fake->fill_tlb = differ_below(differ, 2);
	if (differ_below(differ, 16) == 0) {
		mmu_flush_all(cpu);
	}
	host_ok = oracle_run(differ->oracle, bytes, len, &host, 0, &fault);
	ours_ok = differ->execute(differ, bytes, len);
	differ->cases++;
	differ->faults += !host_ok;
	if (!same(differ, host_ok, ours_ok, &host, &fault)) {
		if (differ->differences++ < MAX_REPORTS) {
			report(bytes, len, before, &host, &fault, cpu);
			report_memory(differ);
		}
		memcpy(differ->memory, oracle_data(differ->oracle), ORACLE_DATA_SIZE);
	}
}

static bool execute(struct differ *differ, const uint8_t *bytes, size_t len)
{
	return fake_machine_execute(differ->fake, bytes, len);
}

void differ_start(struct differ *differ)
{
	g_autoptr(GError) error = NULL;

	memset(differ, 0, sizeof(*differ));
	differ->seed = UINT64_C(0x9e3779b97f4a7c15);
	differ->execute = execute;
	differ->compare = compare_run;
	differ->oracle = oracle_create(&error);
	assert_non_null(differ->oracle);
	differ->data = oracle_data_address(differ->oracle);
	differ->code = oracle_code_address(differ->oracle);
	differ->memory = aligned_alloc(ORACLE_PAGE_SIZE, ORACLE_DATA_SIZE);
	assert_non_null(differ->memory);
	differ->fake = fake_machine_create();
	fake_machine_add(differ->fake, differ->data, 2 * ORACLE_PAGE_SIZE, differ->memory, true);
	fake_machine_add(differ->fake, differ->data + ORACLE_PAGE_RO * ORACLE_PAGE_SIZE,
			ORACLE_PAGE_SIZE, differ->memory + ORACLE_PAGE_RO * ORACLE_PAGE_SIZE,
			false);
	fake_machine_add(differ->fake, differ->data + ORACLE_PAGE_RW2 * ORACLE_PAGE_SIZE,
			ORACLE_PAGE_SIZE, differ->memory + ORACLE_PAGE_RW2 * ORACLE_PAGE_SIZE,
			true);
	fill_memory(differ);
}

void differ_stop(struct differ *differ)
{
	fake_machine_destroy(differ->fake);
	oracle_destroy(differ->oracle);
	free(differ->memory);
}

static bool is_string(const struct insn *insn)
{
	return insn->map == INSN_MAP_LEGACY &&
	       ((insn->opcode >= 0xa4 && insn->opcode <= 0xa7) ||
			       (insn->opcode >= 0xaa && insn->opcode <= 0xaf));
}

/* Bends the registers so that the instruction's memory is where something can be seen of it. */
static void aim(struct differ *differ, const struct insn *insn, struct oracle_state *state)
{
	struct cpu *cpu = differ->fake->cpu;
	unsigned base = insn->is_memory && insn->base < X86_REG_COUNT ? insn->base : insn->index;
	unsigned scale = base == insn->base ? 0 : insn->scale;

	state->regs[X86_RSP] = differ_address(differ);
	if ((insn->opcode & 0xfe) == 0xc8 || differ_below(differ, 2)) { /* ENTER, LEAVE */
		state->regs[X86_RBP] = differ_address(differ);
	}
	if (is_string(insn)) {
		state->regs[X86_RSI] = differ_address(differ);
		state->regs[X86_RDI] = differ_below(differ, 4)
						       ? differ_address(differ)
						       : state->regs[X86_RSI] +
									 differ_below(differ, 32) -
									 16;
		state->regs[X86_RCX] = differ_below(differ, 4) ? differ_below(differ, 40)
							       : differ_below(differ, 9000);
	}
	if (insn->opcode == 0xd7) {
		state->regs[X86_RBX] = differ_address(differ) - (uint8_t)state->regs[X86_RAX];
	}
	if (insn->is_memory && base < X86_REG_COUNT) {
		uint64_t wanted = differ_address(differ);
		state->regs[base] = 0;
		memcpy(cpu->regs, state->regs, sizeof(cpu->regs));
		cpu->rip = differ->code;
		wanted -= operand_offset(cpu, insn);
		/* The same register twice: as near as it goes. */
		state->regs[base] = insn->index == insn->base ? wanted / (1 + (1u << insn->scale))
							      : wanted >> scale;
	}
	/* Bit strings: not too far away, most of the time. */
	if (insn->map == INSN_MAP_0F && (insn->opcode & 0xe7) == 0xa3 && differ_below(differ, 8) &&
			insn->reg != base) {
		state->regs[insn->reg] = differ_below(differ, 4096) - 2048;
	}
}

/*
 * Whether the instruction's memory operand is in or beside the data pages, or where nothing can be:
 * elsewhere might be memory of this very process.
 */
static bool is_harmless(
		struct differ *differ, const struct insn *insn, const struct oracle_state *state)
{
	struct cpu *cpu = differ->fake->cpu;
	int64_t bit = (int64_t)state->regs[insn->reg];
	uint64_t linear;

	if (!insn->is_memory || (insn->map == INSN_MAP_LEGACY && insn->opcode == 0x8d)) {
		return true;
	}
	memcpy(cpu->regs, state->regs, sizeof(cpu->regs));
	cpu->rip = differ->code;
	linear = operand_offset(cpu, insn);
	if (insn->map == INSN_MAP_0F && (insn->opcode & 0xe7) == 0xa3) {
		bit = insn->operand_size == 2	? (int16_t)bit
		      : insn->operand_size == 4 ? (int32_t)bit
						: bit;
		linear += (uint64_t)(bit >> 3);
	}
	if (insn->address_size == 4) {
		linear = (uint32_t)linear;
	}
	return linear >> 47 || linear - (differ->data - 128) < ORACLE_DATA_SIZE + 256;
}

/* Whether the oracle can run it and the state decides all of its outcome. */
static bool can_compare(const struct insn *insn)
{
	/*
	 * Operand size prefixes on near branches: AMD's processors cut the target, Intel's and ours
	 * do not.
	 */
	if ((insn->flags & INSN_FLAG_ENDS_BLOCK) && !is_string(insn) &&
			(insn->prefixes & INSN_PREFIX_OPSIZE)) {
		return false;
	}
	if (insn->insn_class != INSN_CLASS_INTEGER) {
		return false;
	}
	/* AMD's processors read 32 bits for MOVSXD's 16. */
	if (insn->map == INSN_MAP_LEGACY && insn->opcode == 0x63 && insn->operand_size == 2) {
		return false;
	}
	/* On AMD's processors F2 turns LOOPE into LOOPNE, and F3 the other way. */
	if (insn->map == INSN_MAP_LEGACY && (insn->opcode & ~1u) == 0xe0 &&
			(insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE))) {
		return false;
	}
	/* PREFETCHW of a register is nothing to Intel's processors, undefined to AMD's. */
	if (insn->map == INSN_MAP_0F && insn->opcode == 0x0d && !insn->is_memory) {
		return false;
	}
	if (insn->map == INSN_MAP_0F && insn->opcode == 0xc7 && !insn->is_memory) {
		return false; /* random numbers */
	}
	/* Indirect branches only from registers that can be aimed: rsp is the stack. */
	if (insn->map == INSN_MAP_LEGACY && insn->opcode == 0xff) {
		unsigned reg = (insn->modrm >> 3) & 7;
		return reg < 2 || reg == 6 || (!insn->is_memory && insn->rm != X86_RSP);
	}
	return true;
}

/* Branches stay close to the instruction, where the oracle has prepared the ground. */
static void tame_branch(struct differ *differ, const struct insn *insn, uint8_t *bytes,
		struct oracle_state *state)
{
	unsigned opcode = insn->opcode;
	bool near = (insn->map == INSN_MAP_LEGACY && (opcode == 0xe8 || opcode == 0xe9)) ||
		    (insn->map == INSN_MAP_0F && opcode >= 0x80 && opcode <= 0x8f);
	int32_t distance = (int32_t)differ_below(differ, 1900) + 16;

	if (differ_below(differ, 2)) {
		distance = -distance;
	}
	if (near) {
		memcpy(&bytes[insn->length - 4], &distance, 4);
	} else if (insn->map == INSN_MAP_LEGACY &&
			((opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0xe0 && opcode <= 0xe3) ||
					opcode == 0xeb)) {
		bytes[insn->length - 1] = (uint8_t)(distance < 0 ? -20 - (distance & 63)
								 : 8 + (distance & 63));
	} else if (insn->map == INSN_MAP_LEGACY && opcode == 0xff && !insn->is_memory &&
			((insn->modrm >> 3) & 7) >= 2 && ((insn->modrm >> 3) & 7) != 6) {
		state->regs[insn->rm] = differ->code + (uint64_t)(int64_t)distance;
	} else if (insn->map == INSN_MAP_LEGACY && (opcode & ~1u) == 0xc2) {
		uint64_t target = differ->code + (uint64_t)(int64_t)distance;
		uint64_t at = state->regs[X86_RSP] - differ->data;
		if (at <= ORACLE_DATA_SIZE - 8) {
			memcpy(&oracle_data(differ->oracle)[at], &target, 8);
			memcpy(&differ->memory[at], &target, 8);
		}
	}
}

/* Where things are that random registers and bytes would miss. */
static void make_state(struct differ *differ, struct insn *insn, uint8_t *bytes, size_t opcode_len,
		struct oracle_state *state)
{
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		state->regs[i] = differ_value(differ);
	}
	state->rflags |= differ_random(differ) & X86_FLAGS_ARITH;
	if (differ_below(differ, 4) == 0) {
		state->rflags |= X86_FLAG_DF;
	}
	if (insn->is_memory && insn->base == INSN_BASE_RIP) {
		uint32_t distance = (uint32_t)(differ_address(differ) - differ->code -
					       insn->length);
		memcpy(&bytes[opcode_len + 1], &distance, sizeof(distance));
		(void)insn_decode(insn, INSN_MODE_64, bytes, ORACLE_MAX_INSN);
	}
	aim(differ, insn, state);
	tame_branch(differ, insn, bytes, state);
}

void differ_try(struct differ *differ, const uint8_t *given, size_t opcode_len, size_t len)
{
	uint8_t bytes[ORACLE_MAX_INSN + 32];
	struct oracle_state state = {.rflags = X86_FLAG_FIXED};
	enum decode_result result;
	struct insn insn;

	memcpy(bytes, given, len);
	for (size_t i = len; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)differ_value(differ);
	}
	if (bytes[opcode_len - 1] == 0xc8) {
		bytes[opcode_len + 1] &= 0x1f; /* ENTER: a stack that stays in the data pages */
	}
	result = insn_decode(&insn, INSN_MODE_64, bytes, ORACLE_MAX_INSN);
	/* Prefixes among the opcodes have moved everything. */
	if (result != DECODE_OK || !can_compare(&insn) || insn.opcode != bytes[opcode_len - 1]) {
		return;
	}
	make_state(differ, &insn, bytes, opcode_len, &state);
	if (is_harmless(differ, &insn, &state)) {
		differ->compare(differ, bytes, insn.length, &state);
	}
}

void differ_try_form(struct differ *differ, const uint8_t *opcode, size_t opcode_len, unsigned reg,
		bool memory)
{
	uint8_t bytes[ORACLE_MAX_INSN + 1];
	unsigned modrm = (unsigned)differ_below(differ, 256);

	modrm = (modrm & ~0x38u) | reg << 3;
	modrm = memory ? modrm & 0xbf : modrm | 0xc0;
	memcpy(bytes, opcode, opcode_len);
	bytes[opcode_len] = (uint8_t)modrm;
	differ_try(differ, bytes, opcode_len, opcode_len + 1);
}

void differ_try_opcode(struct differ *differ, const uint8_t *escape, size_t escape_len,
		unsigned opcode, unsigned rounds)
{
	static const uint8_t sets[][3] = {{0}, {0x66}, {0xf2}, {0xf3}, {0xf0}, {0x67}, {0x66, 0xf2},
			{0x66, 0xf3}, {0x66, 0xf0}, {0x67, 0xf3}};
	uint8_t bytes[16];

	for (unsigned set = 0; set < G_N_ELEMENTS(sets); set++) {
		for (unsigned round = 0; round < rounds * 32; round++) {
			unsigned rex = round & 1 ? 0x40 | (unsigned)differ_below(differ, 16) : 0;
			size_t len = 0;
			for (unsigned i = 0; i < 3 && sets[set][i]; i++) {
				bytes[len++] = sets[set][i];
			}
			if (rex) {
				bytes[len++] = (uint8_t)rex;
			}
			memcpy(&bytes[len], escape, escape_len);
			len += escape_len;
			bytes[len++] = (uint8_t)opcode;
			differ_try_form(differ, bytes, len, round >> 1 & 7, round >> 4 & 1);
		}
	}
}
