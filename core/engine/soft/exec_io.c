/* SPDX-License-Identifier: MIT */
/* IN, OUT and their string forms. SDM vol. 1, chapter 19. */
#include "core/engine/soft/debug.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/task.h"
#include "core/memory/address_space.h"

static void require_port(struct cpu *cpu, uint16_t port, unsigned size)
{
	bool privileged = !cpu_protected(cpu) || (cpu->cpl <= cpu_iopl(cpu) && !cpu_v8086(cpu));

	if (!privileged && !task_io_allowed(cpu, port, size)) {
		cpu_raise_gp(cpu);
	}
}

static uint64_t port_read(struct cpu *cpu, uint16_t port, unsigned size)
{
	debug_note_io(cpu, port, size);
	smp_leave(cpu);
	uint64_t value = address_space_read(cpu->ports, port, size);
	smp_enter(cpu);
	return value;
}

static void port_write(struct cpu *cpu, uint16_t port, uint64_t value, unsigned size)
{
	debug_note_io(cpu, port, size);
	smp_leave(cpu);
	address_space_write(cpu->ports, port, value, size);
	smp_enter(cpu);
}

/* E4-E7 have the port in the instruction, EC-EF in DX. */
static uint16_t port_of(const struct cpu *cpu, const struct insn *insn)
{
	return insn->opcode & 8 ? (uint16_t)cpu->regs[X86_RDX] : (uint8_t)insn->imm;
}

void exec_in(struct cpu *cpu, const struct insn *insn)
{
	uint16_t port = port_of(cpu, insn);

	require_port(cpu, port, insn->operand_size);
	reg_set(cpu, X86_RAX, port_read(cpu, port, insn->operand_size), insn->operand_size);
}

void exec_out(struct cpu *cpu, const struct insn *insn)
{
	uint16_t port = port_of(cpu, insn);

	require_port(cpu, port, insn->operand_size);
	port_write(cpu, port, reg_get(cpu, X86_RAX, insn->operand_size), insn->operand_size);
}

static bool is_repeated(const struct insn *insn)
{
	return insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE);
}

static void advance(struct cpu *cpu, const struct insn *insn, unsigned reg)
{
	uint64_t step = insn->operand_size;

	if (cpu->rflags & X86_FLAG_DF) {
		step = -step;
	}
	reg_set(cpu, reg, cpu->regs[reg] + step, insn->address_size);
}

static void ins_once(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint16_t port = (uint16_t)cpu->regs[X86_RDX];
	uint64_t offset = reg_get(cpu, X86_RDI, insn->address_size);
	uint64_t linear = segment_linear(cpu, X86_ES, offset, size, MMU_WRITE);

	mmu_probe_write(cpu, linear, size); /* a port must not be read for nothing */
	memory_store(cpu, linear, port_read(cpu, port, size), size);
	advance(cpu, insn, X86_RDI);
}

static void outs_once(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t offset = reg_get(cpu, X86_RSI, insn->address_size);
	uint64_t linear = segment_linear(cpu, insn->segment, offset, size, MMU_READ);

	port_write(cpu, (uint16_t)cpu->regs[X86_RDX], memory_load(cpu, linear, size), size);
	advance(cpu, insn, X86_RSI);
}

/* A repetition that something interrupts is executed again for the rest, from the same RIP. */
static void repeat(struct cpu *cpu, const struct insn *insn,
		void (*once)(struct cpu *cpu, const struct insn *insn))
{
	require_port(cpu, (uint16_t)cpu->regs[X86_RDX], insn->operand_size);
	if (!is_repeated(insn)) {
		once(cpu, insn);
		return;
	}
	while (reg_get(cpu, X86_RCX, insn->address_size) != 0) {
		once(cpu, insn);
		reg_set(cpu, X86_RCX, cpu->regs[X86_RCX] - 1, insn->address_size);
		if (reg_get(cpu, X86_RCX, insn->address_size) == 0) {
			break;
		}
		if (__atomic_load_n(&cpu->request, __ATOMIC_RELAXED) || interrupt_stepping(cpu)) {
			cpu->next_rip = cpu->rip;
			break;
		}
	}
}

void exec_ins(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, ins_once);
}

void exec_outs(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, outs_once);
}
