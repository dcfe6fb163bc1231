/* SPDX-License-Identifier: MIT */
/* Finds the executors of integer instructions, and the slow halves of their operands. */
#include "core/engine/soft/exec_integer.h"

#include "core/base/log.h"
#include "core/engine/soft/block.h"

#include <inttypes.h>

uint64_t reg_get(struct cpu *cpu, const struct insn *insn, unsigned number, unsigned size)
{
	switch (size) {
	case 1:
		return reg_get8(cpu, insn, number);
	case 2:
		return reg_get16(cpu, insn, number);
	case 4:
		return reg_get32(cpu, insn, number);
	default:
		return cpu->regs[number];
	}
}

void reg_set(struct cpu *cpu, const struct insn *insn, unsigned number, uint64_t value,
		unsigned size)
{
	switch (size) {
	case 1:
		reg_set8(cpu, insn, number, (uint8_t)value);
		break;
	case 2:
		reg_set16(cpu, insn, number, (uint16_t)value);
		break;
	case 4:
		reg_set32(cpu, insn, number, (uint32_t)value);
		break;
	default:
		cpu->regs[number] = value;
		break;
	}
}

uint64_t linear_load(struct cpu *cpu, uint64_t linear, unsigned size)
{
	switch (size) {
	case 1:
		return mmu_load8(cpu, linear);
	case 2:
		return mmu_load16(cpu, linear);
	case 4:
		return mmu_load32(cpu, linear);
	default:
		return mmu_load64(cpu, linear);
	}
}

void linear_store(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		mmu_store8(cpu, linear, (uint8_t)value);
		break;
	case 2:
		mmu_store16(cpu, linear, (uint16_t)value);
		break;
	case 4:
		mmu_store32(cpu, linear, (uint32_t)value);
		break;
	default:
		mmu_store64(cpu, linear, value);
		break;
	}
}

uint64_t memory_load_slow(struct cpu *cpu, const struct insn *insn, unsigned size)
{
	return linear_load(cpu, operand_linear(cpu, insn, size, MMU_READ), size);
}

void memory_store_slow(struct cpu *cpu, const struct insn *insn, uint64_t value, unsigned size)
{
	linear_store(cpu, operand_linear(cpu, insn, size, MMU_WRITE), value, size);
}

void *linear_change(struct cpu *cpu, uint64_t linear, unsigned size)
{
	void *host = mmu_host_write(cpu, linear, size);

	if (!host) {
		mmu_probe_write(cpu, linear, size);
	}
	return host;
}

void *memory_change_slow(
		struct cpu *cpu, const struct insn *insn, unsigned size, uint64_t *ret_linear)
{
	*ret_linear = operand_linear(cpu, insn, size, MMU_WRITE);
	return linear_change(cpu, *ret_linear, size);
}

/* UD0, UD1, UD2: meant to be undefined, as in BUG() and WARN() of Linux. */
static bool is_meant(const struct insn *insn)
{
	return insn->map == INSN_MAP_0F &&
	       (insn->opcode == 0x0b || insn->opcode == 0xb9 || insn->opcode == 0xff);
}

/* One line for each opcode: it may be the guest's fault, or something that we lack. */
static void report_undefined(struct cpu *cpu, const struct insn *insn, const char *what)
{
	uint8_t *seen = &cpu->blocks->undefined_seen[insn->map & 3][insn->opcode >> 3];
	uint8_t bit = (uint8_t)(1u << (insn->opcode & 7));

	if (*seen & bit || is_meant(insn)) {
		return;
	}
	*seen |= bit;
	guest_error("%s instruction at rip 0x%" PRIx64
		    ": map %u opcode 0x%02x modrm 0x%02x prefixes 0x%x mode %u",
			what, cpu->rip, (unsigned)insn->map, insn->opcode, insn->modrm,
			insn->prefixes, cpu->mode);
}

void exec_undefined(struct cpu *cpu, const struct insn *insn)
{
	report_undefined(cpu, insn, "undefined");
	cpu_raise_ud(cpu);
}

/* Decoded as existing, but nobody executes it. */
static void exec_missing(struct cpu *cpu, const struct insn *insn)
{
	report_undefined(cpu, insn, "missing");
	cpu_raise_ud(cpu);
}

void exec_bind_integer(struct insn *insn)
{
	static insn_exec_fn *(*const find[])(struct insn * insn) = {
			exec_alu_find,
			exec_move_find,
			exec_branch_find,
			exec_stack_find,
			exec_unary_find,
			exec_shift_find,
			exec_bit_find,
			exec_muldiv_find,
			exec_atomic_find,
			exec_string_find,
			exec_bmi_find,
			exec_flags_find,
	};

	insn->exec = NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(find) && !insn->exec; i++) {
		insn->exec = find[i](insn);
	}
	if (!insn->exec) {
		insn->exec = exec_missing;
	}
}
