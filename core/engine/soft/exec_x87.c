/* SPDX-License-Identifier: MIT */
/*
 * x87. Arithmetic, loads and stores of numbers run natively on the whole register image; control instructions, which see the
 * instruction and data pointers, are done here, so that a guest never finds an address of ours in its environment.
 *
 * FIP is the guest's instruction of the last that was not control, FDP the offset of its last memory operand, FOP changes only
 * with an unmasked exception, as on processors since the Pentium 4; FCS and FDS read as zero. SDM vol. 1, 8.1.
 */
#include "core/engine/soft/exec.h"
#include "core/engine/soft/fpu.h"
#include "core/engine/soft/native.h"

#include "core/base/bytes.h"

#define ENVIRONMENT_16 14
#define ENVIRONMENT_32 28
#define REGISTER_BYTES 10
#define STATE_MAX (ENVIRONMENT_32 + 8 * REGISTER_BYTES)

/* An exception that keeps a store from being done when it is not masked: invalid, overflow, underflow. */
#define FSW_STOPS_STORE (BIT(0) | BIT(3) | BIT(4))

/*
 * Runs insn's thunk and puts the guest's own pointers where the host's would be. False if an exception kept the result from being
 * stored to memory.
 */
static bool run_native(struct cpu *cpu, const struct insn *insn, const void *memory)
{
	const struct native_op *op = insn->native;
	struct cpu_fx *fx = &cpu->fx;
	uint16_t fop = fx->fop;
	uint64_t fdp = fx->fdp;
	uint16_t fcw = fx->fcw;
	bool ignored = unlikely(fx->fsw & FSW_ES); /* CR0.NE = 0: see fpu_refuse_x87() */

	if (ignored) {
		fx->fcw |= FCW_MASKS;
	}
	(void)op->run(NULL, memory, 0, 0, cpu);
	fx->mxcsr_mask = MXCSR_VALID;
	fx->fip = cpu->rip;
	fx->fdp = fdp;
	fx->fop = fop;
	if (ignored) {
		fx->fcw = fcw;
		fpu_update_pending(fx);
		return true;
	}
	if (unlikely(fx->fsw & FSW_ES)) {
		fx->fop = (uint16_t)((insn->opcode & 7) << 8 | insn->modrm);
		return !(fx->fsw & ~fx->fcw & FSW_STOPS_STORE);
	}
	return true;
}

static void exec_x87_register(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_x87(cpu, true);
	(void)run_native(cpu, insn, NULL);
}

static void exec_x87_load(struct cpu *cpu, const struct insn *insn)
{
	struct fpu_bounce bounce;
	uint64_t linear;

	fpu_check_x87(cpu, true);
	linear = operand_linear(cpu, insn, insn->memory_size, MMU_READ);
	(void)run_native(cpu, insn, fpu_read(cpu, linear, insn->memory_size, &bounce));
	cpu->fx.fdp = operand_offset(cpu, insn);
}

static void exec_x87_store(struct cpu *cpu, const struct insn *insn)
{
	uint8_t result[FPU_OPERAND_MAX] = {0};
	uint64_t linear;
	bool stored;

	fpu_check_x87(cpu, true);
	linear = operand_linear(cpu, insn, insn->memory_size, MMU_WRITE);
	mmu_probe_write(cpu, linear, insn->memory_size);
	stored = run_native(cpu, insn, result);
	cpu->fx.fdp = operand_offset(cpu, insn);
	if (likely(stored)) {
		fpu_write(cpu, linear, result, insn->memory_size);
	}
}

static void exec_fwait(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	if ((cpu->cr0 & (X86_CR0_MP | X86_CR0_TS)) == (X86_CR0_MP | X86_CR0_TS)) {
		cpu_raise(cpu, X86_VECTOR_NM);
	}
	if (cpu->fx.fsw & FSW_ES) {
		fpu_pending_exception(cpu);
	}
}

static void exec_fnop(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	fpu_check_x87(cpu, true);
}

/* FNENI, FNDISI, FNSETPM: of the 8087 and 287, nothing since. */
static void exec_fnothing(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	fpu_check_x87(cpu, false);
}

static void exec_fnclex(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	fpu_check_x87(cpu, false);
	cpu->fx.fsw &= FSW_TOP | FSW_CONDITIONS;
}

static void exec_fninit(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	fpu_check_x87(cpu, false);
	fpu_init(&cpu->fx);
}

static void load_control(struct cpu_fx *fx, uint16_t fcw)
{
	fx->fcw = (uint16_t)((fcw & FCW_VALID) | FCW_FIXED);
	fpu_update_pending(fx);
}

static void exec_fldcw(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_x87(cpu, true);
	load_control(&cpu->fx, mmu_load16(cpu, operand_linear(cpu, insn, 2, MMU_READ)));
}

static void exec_fnstcw(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_x87(cpu, false);
	mmu_store16(cpu, operand_linear(cpu, insn, 2, MMU_WRITE), cpu->fx.fcw);
}

static void exec_fnstsw(struct cpu *cpu, const struct insn *insn)
{
	fpu_check_x87(cpu, false);
	mmu_store16(cpu, operand_linear(cpu, insn, 2, MMU_WRITE), cpu->fx.fsw);
}

static void exec_fnstsw_ax(struct cpu *cpu, const struct insn *insn)
{
	(void)insn;
	fpu_check_x87(cpu, false);
	cpu->regs[X86_RAX] = (cpu->regs[X86_RAX] & ~UINT64_C(0xffff)) | cpu->fx.fsw;
}

enum tag {
	TAG_VALID,
	TAG_ZERO,
	TAG_SPECIAL, /* NaN, infinity, denormal, unsupported */
	TAG_EMPTY,
};

static enum tag register_tag(const uint8_t number[REGISTER_BYTES])
{
	uint64_t mantissa = le64_load(number);
	unsigned exponent = le16_load(number + 8) & 0x7fff;

	if (exponent == 0) {
		return mantissa == 0 ? TAG_ZERO : TAG_SPECIAL;
	}
	return exponent == 0x7fff || !(mantissa & BIT(63)) ? TAG_SPECIAL : TAG_VALID;
}

/* The full tag word, two bits a physical register. */
static uint16_t full_tags(const struct cpu_fx *fx)
{
	unsigned top = (fx->fsw & FSW_TOP) >> FSW_TOP_SHIFT;
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		enum tag tag = fx->ftw & 1u << i ? register_tag(fx->st[(i - top) & 7]) : TAG_EMPTY;
		tags |= (unsigned)tag << 2 * i;
	}
	return (uint16_t)tags;
}

static uint8_t abridged_tags(uint16_t tags)
{
	unsigned in_use = 0;

	for (unsigned i = 0; i < 8; i++) {
		in_use |= (unsigned)((tags >> 2 * i & 3) != TAG_EMPTY) << i;
	}
	return (uint8_t)in_use;
}

/* Outside protected mode the environment has linear addresses and the opcode instead of selectors. */
static bool real_format(const struct cpu *cpu)
{
	return !cpu_protected(cpu) || cpu_v8086(cpu);
}

static size_t environment_size(const struct insn *insn)
{
	return insn->operand_size == 2 ? ENVIRONMENT_16 : ENVIRONMENT_32;
}

/* SDM vol. 1, figures 8-9 to 8-12. */
static void put_environment_16(const struct cpu *cpu, uint8_t *to)
{
	const struct cpu_fx *fx = &cpu->fx;
	bool real = real_format(cpu);

	le16_store(to, fx->fcw);
	le16_store(to + 2, fx->fsw);
	le16_store(to + 4, full_tags(fx));
	le16_store(to + 6, (uint16_t)fx->fip);
	le16_store(to + 8, real ? (uint16_t)((fx->fip >> 4 & 0xf000) | fx->fop) : 0);
	le16_store(to + 10, (uint16_t)fx->fdp);
	le16_store(to + 12, real ? (uint16_t)(fx->fdp >> 4 & 0xf000) : 0);
}

static void put_environment_32(const struct cpu *cpu, uint8_t *to)
{
	const struct cpu_fx *fx = &cpu->fx;
	const uint32_t high = 0xffff0000;

	le32_store(to, high | fx->fcw);
	le32_store(to + 4, high | fx->fsw);
	le32_store(to + 8, high | full_tags(fx));
	if (real_format(cpu)) {
		le32_store(to + 12, high | (uint16_t)fx->fip);
		le32_store(to + 16, (uint32_t)(fx->fip >> 16 & 0xffff) << 12 | fx->fop);
		le32_store(to + 20, high | (uint16_t)fx->fdp);
		le32_store(to + 24, (uint32_t)(fx->fdp >> 16 & 0xffff) << 12);
	} else {
		le32_store(to + 12, (uint32_t)fx->fip);
		le32_store(to + 16, (uint32_t)fx->fop << 16);
		le32_store(to + 20, (uint32_t)fx->fdp);
		le32_store(to + 24, high);
	}
}

static void put_environment(const struct cpu *cpu, const struct insn *insn, uint8_t *to)
{
	if (environment_size(insn) == ENVIRONMENT_16) {
		put_environment_16(cpu, to);
	} else {
		put_environment_32(cpu, to);
	}
}

static void get_pointers_16(struct cpu *cpu, const uint8_t *from)
{
	struct cpu_fx *fx = &cpu->fx;

	fx->fip = le16_load(from + 6);
	fx->fdp = le16_load(from + 10);
	fx->fop = 0;
	if (real_format(cpu)) {
		fx->fip |= (uint64_t)(le16_load(from + 8) & 0xf000) << 4;
		fx->fdp |= (uint64_t)(le16_load(from + 12) & 0xf000) << 4;
		fx->fop = le16_load(from + 8) & FOP_VALID;
	}
}

static void get_pointers_32(struct cpu *cpu, const uint8_t *from)
{
	struct cpu_fx *fx = &cpu->fx;

	if (real_format(cpu)) {
		fx->fip = le16_load(from + 12) | (le32_load(from + 16) >> 12 & 0xffff) << 16;
		fx->fdp = le16_load(from + 20) | (le32_load(from + 24) >> 12 & 0xffff) << 16;
		fx->fop = le16_load(from + 16) & FOP_VALID;
	} else {
		fx->fip = le32_load(from + 12);
		fx->fdp = le32_load(from + 20);
		fx->fop = le16_load(from + 18) & FOP_VALID;
	}
}

static void get_environment(struct cpu *cpu, const struct insn *insn, const uint8_t *from)
{
	struct cpu_fx *fx = &cpu->fx;
	bool narrow = environment_size(insn) == ENVIRONMENT_16;
	uint16_t fsw = le16_load(from + (narrow ? 2 : 4));

	fpu_set_top(fx, (fsw & FSW_TOP) >> FSW_TOP_SHIFT);
	fx->fsw = fsw;
	fx->ftw = abridged_tags(le16_load(from + (narrow ? 4 : 8)));
	if (narrow) {
		get_pointers_16(cpu, from);
	} else {
		get_pointers_32(cpu, from);
	}
	load_control(fx, le16_load(from));
}

static void exec_fnstenv(struct cpu *cpu, const struct insn *insn)
{
	size_t size = environment_size(insn);
	uint8_t buf[ENVIRONMENT_32];
	uint64_t linear;

	fpu_check_x87(cpu, false);
	linear = operand_linear(cpu, insn, size, MMU_WRITE);
	put_environment(cpu, insn, buf);
	mmu_store_bytes(cpu, linear, buf, size);
	load_control(&cpu->fx, cpu->fx.fcw | FCW_MASKS);
}

static void exec_fldenv(struct cpu *cpu, const struct insn *insn)
{
	size_t size = environment_size(insn);
	uint8_t buf[ENVIRONMENT_32];

	fpu_check_x87(cpu, true);
	mmu_load_bytes(cpu, operand_linear(cpu, insn, size, MMU_READ), buf, size);
	get_environment(cpu, insn, buf);
}

static void exec_fnsave(struct cpu *cpu, const struct insn *insn)
{
	size_t registers = environment_size(insn);
	size_t size = registers + 8 * REGISTER_BYTES;
	uint8_t buf[STATE_MAX];
	uint64_t linear;

	fpu_check_x87(cpu, false);
	linear = operand_linear(cpu, insn, size, MMU_WRITE);
	put_environment(cpu, insn, buf);
	for (size_t i = 0; i < 8; i++) {
		memcpy(buf + registers + i * REGISTER_BYTES, cpu->fx.st[i], REGISTER_BYTES);
	}
	mmu_store_bytes(cpu, linear, buf, size);
	fpu_init(&cpu->fx);
}

static void exec_frstor(struct cpu *cpu, const struct insn *insn)
{
	size_t registers = environment_size(insn);
	size_t size = registers + 8 * REGISTER_BYTES;
	uint8_t buf[STATE_MAX];

	fpu_check_x87(cpu, true);
	mmu_load_bytes(cpu, operand_linear(cpu, insn, size, MMU_READ), buf, size);
	get_environment(cpu, insn, buf);
	for (size_t i = 0; i < 8; i++) {
		memcpy(cpu->fx.st[i], buf + registers + i * REGISTER_BYTES, REGISTER_BYTES);
	}
}

/* The control instructions; NULL: a thunk. */
static insn_exec_fn *control_exec(const struct insn *insn)
{
	static insn_exec_fn *const d9_memory[8] = {
			[4] = exec_fldenv, [5] = exec_fldcw, [6] = exec_fnstenv, [7] = exec_fnstcw};
	static insn_exec_fn *const dd_memory[8] = {
			[4] = exec_frstor, [6] = exec_fnsave, [7] = exec_fnstsw};
	static insn_exec_fn *const db_e0[8] = {
			exec_fnothing, exec_fnothing, exec_fnclex, exec_fninit, exec_fnothing};
	unsigned extension = (insn->modrm >> 3) & 7;

	if (insn->opcode == 0x9b) {
		return exec_fwait;
	}
	if (insn->is_memory) {
		return insn->opcode == 0xd9   ? d9_memory[extension]
		       : insn->opcode == 0xdd ? dd_memory[extension]
					      : NULL;
	}
	if (insn->opcode == 0xdb && extension == 4) {
		return db_e0[insn->modrm & 7];
	}
	if (insn->opcode == 0xd9 && insn->modrm == 0xd0) {
		return exec_fnop;
	}
	return insn->opcode == 0xdf && insn->modrm == 0xe0 ? exec_fnstsw_ax : NULL;
}

bool exec_bind_x87(struct insn *insn)
{
	insn_exec_fn *exec = control_exec(insn);
	const struct native_op *op;

	if (exec) {
		insn->exec = exec;
		return true;
	}
	op = insn->is_memory && insn->memory_size > FPU_OPERAND_MAX ? NULL
								    : native_op_get(insn, NULL);
	if (!op) {
		return false;
	}
	insn->native = (void *)(uintptr_t)op;
	if (!insn->is_memory) {
		insn->exec = exec_x87_register;
	} else {
		insn->exec = insn->flags & INSN_FLAG_WRITES_MEMORY ? exec_x87_store : exec_x87_load;
	}
	return true;
}
