/* SPDX-License-Identifier: MIT */
/* Finds the executors of integer instructions, and the slow halves of their operands. */
#include "core/engine/soft/exec_integer.h"

#include "core/base/log.h"

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

void exec_undefined(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	cpu_raise_ud(cpu);
}

/* Decoded as existing, but nobody executes it: tell, so that it can be mended. */
static void exec_missing(struct cpu *cpu, const struct insn *insn)
{
	guest_error("instruction not implemented: map %u opcode 0x%02x modrm 0x%02x at rip 0x%" PRIx64,
			insn->map, insn->opcode, insn->modrm, cpu->rip);
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
