/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fake_machine.h"

#include "core/engine/soft/block.h"
#include "core/engine/soft/exec.h"
#include "core/engine/soft/interp.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/operand.h"
#include "core/engine/soft/view.h"
#include "core/engine/soft/walk.h"

#define PAGE_MASK (GUEST_PAGE_SIZE - 1)

static struct fake_machine *machine;

struct fake_machine *fake_machine_create(void)
{
	struct fake_machine *fake = g_new0(struct fake_machine, 1);

	assert(!machine);
	machine = fake;
	fake->cpu = view_create();
	fake->map = code_map_create();
	fake->cpu->blocks = block_cache_create(fake->map, 5 * MiB);
	cpu_use_tlb(fake->cpu, TLB_USER);
	fake->cpu->rflags = X86_FLAG_FIXED;
	fake->cpu->cpl = 3;
	memset(&fake->cpu->features, 0xff, sizeof(fake->cpu->features));
	fake->fill_tlb = true;
	fake_machine_mode(fake, INSN_MODE_64);
	mmu_flush_all(fake->cpu);
	return fake;
}

void fake_machine_destroy(struct fake_machine *fake)
{
	block_cache_destroy(fake->cpu->blocks);
	code_map_destroy(fake->map);
	view_destroy(fake->cpu);
	g_free(fake);
	machine = NULL;
}

void fake_machine_add(struct fake_machine *fake, uint64_t linear, size_t size, uint8_t *host,
		bool writable)
{
	assert(fake->range_count < FAKE_MAX_RANGES);
	fake->ranges[fake->range_count++] = (struct fake_range){
			.linear = linear, .size = size, .host = host, .writable = writable};
}

void fake_machine_mode(struct fake_machine *fake, enum insn_mode mode)
{
	static const uint8_t stack_size[] = {
			[INSN_MODE_16] = 2, [INSN_MODE_32] = 4, [INSN_MODE_64] = 8};

	fake->cpu->mode = (uint8_t)mode;
	fake->cpu->stack_size = stack_size[mode];
	fake->cpu->seg[X86_CS].limit = mode == INSN_MODE_16 ? 0xffff : UINT32_MAX;
}

bool fake_machine_execute(struct fake_machine *fake, const uint8_t *bytes, size_t len)
{
	struct cpu *cpu = fake->cpu;
	struct insn insn;

	assert(insn_decode(&insn, (enum insn_mode)cpu->mode, bytes, len) == DECODE_OK);
	exec_bind(&insn);
	cpu->next_rip = cpu->rip + insn.length;
	if (sigsetjmp(cpu->unwind, 0) != 0) {
		return false;
	}
	insn.exec(cpu, &insn);
	cpu->rip = cpu->next_rip;
	return true;
}

/* What cpu.c does. */

_Noreturn void cpu_raise(struct cpu *cpu, enum x86_vector vector)
{
	cpu->fault.vector = (uint8_t)vector;
	cpu->fault.has_error = false;
	cpu->fault.error = 0;
	siglongjmp(cpu->unwind, 1);
}

_Noreturn void cpu_raise_error(struct cpu *cpu, enum x86_vector vector, uint32_t error)
{
	cpu->fault.vector = (uint8_t)vector;
	cpu->fault.has_error = true;
	cpu->fault.error = error;
	siglongjmp(cpu->unwind, 1);
}

_Noreturn void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
	cpu->cr2 = linear;
	cpu_raise_error(cpu, X86_VECTOR_PF, error);
}

void cpu_request(struct cpu *cpu, uint32_t requests)
{
	__atomic_fetch_or(&cpu->request, requests, __ATOMIC_SEQ_CST);
}

void cpu_wait(struct cpu *cpu)
{
	cpu_request(cpu, CPU_REQUEST_EXIT);
}

/* What interrupt.c does. */

void interrupt_deliver_fault(struct cpu *cpu)
{
	machine->faults++;
	if (machine->deliver) {
		machine->deliver(machine);
	} else {
		cpu_request(cpu, CPU_REQUEST_EXIT);
	}
}

enum interrupt_result interrupt_poll(struct cpu *cpu)
{
	uint32_t requests = __atomic_exchange_n(&cpu->request, 0, __ATOMIC_SEQ_CST);

	machine->polls++;
	if (machine->polls == machine->poll_limit) {
		return INTERRUPT_STOP;
	}
	return requests & CPU_REQUEST_EXIT ? INTERRUPT_STOP : INTERRUPT_RUN;
}

void interrupt_before_instruction(struct cpu *cpu)
{
	(void)cpu;
}

void interrupt_after_instruction(struct cpu *cpu, uint64_t flags_before, uint8_t shadow_before)
{
	cpu->rflags &= ~X86_FLAG_RF;
	if (shadow_before) {
		cpu->interrupt_shadow = 0;
	}
	if (flags_before & X86_FLAG_TF) {
		cpu_raise(cpu, X86_VECTOR_DB);
	}
}

void exec_bind_system(struct insn *insn)
{
	insn->exec = exec_undefined;
}

uint64_t segment_check(struct cpu *cpu, unsigned segment, uint64_t offset, size_t len,
		enum mmu_access access)
{
	(void)offset;
	(void)len;
	(void)access;
	cpu_raise_error(cpu, segment == X86_SS ? X86_VECTOR_SS : X86_VECTOR_GP, 0);
}

/* What mmu.c does. */

static const struct fake_range *range_find(uint64_t linear)
{
	for (unsigned i = 0; i < machine->range_count; i++) {
		const struct fake_range *range = &machine->ranges[i];
		if (linear - range->linear < range->size) {
			return range;
		}
	}
	return NULL;
}

static const struct fake_range *range_for(struct cpu *cpu, uint64_t linear, enum mmu_access access)
{
	const struct fake_range *range = range_find(linear);
	uint32_t error = X86_PF_USER | (access == MMU_WRITE ? X86_PF_WRITE : 0) |
			 (access == MMU_FETCH ? X86_PF_FETCH : 0);

	if (!range) {
		cpu_raise_page_fault(cpu, linear, error);
	}
	if (access == MMU_WRITE && !range->writable) {
		cpu_raise_page_fault(cpu, linear, error | X86_PF_PRESENT);
	}
	return range;
}

static void tlb_fill(struct cpu *cpu, const struct fake_range *range, uint64_t linear, bool write)
{
	struct tlb_entry *entry = write ? &cpu->tlb->write[tlb_index(linear)]
					: &cpu->tlb->read[tlb_index(linear)];
	uint64_t page = linear & ~PAGE_MASK;

	if (!machine->fill_tlb || range->device || (write && !code_admits_writer(cpu, page))) {
		return;
	}
	entry->tag = page;
	entry->page = (uint64_t)(uintptr_t)range->host - range->linear + entry->tag;
}

/* Raises the fault of the first page before that of the second. */
static void check_pages(struct cpu *cpu, uint64_t linear, size_t len, enum mmu_access access)
{
	uint64_t last = (linear + len - 1) & ~PAGE_MASK;
	const struct fake_range *range = range_for(cpu, linear, access);

	if (range->device && machine->touched) {
		machine->touched(machine);
	}
	tlb_fill(cpu, range, linear, access == MMU_WRITE);
	if (last != (linear & ~PAGE_MASK)) {
		tlb_fill(cpu, range_for(cpu, last, access), last, access == MMU_WRITE);
	}
}

void mmu_load_bytes(struct cpu *cpu, uint64_t linear, void *buf, size_t len)
{
	check_pages(cpu, linear, len, MMU_READ);
	for (size_t i = 0; i < len; i++) {
		const struct fake_range *range = range_find(linear + i);
		((uint8_t *)buf)[i] = range->host[linear + i - range->linear];
	}
}

void mmu_store_bytes(struct cpu *cpu, uint64_t linear, const void *buf, size_t len)
{
	check_pages(cpu, linear, len, MMU_WRITE);
	for (size_t i = 0; i < len; i++) {
		const struct fake_range *range = range_find(linear + i);
		range->host[linear + i - range->linear] = ((const uint8_t *)buf)[i];
	}
	code_written(cpu, linear, len);
}

uint64_t mmu_load_slow(struct cpu *cpu, uint64_t linear, unsigned size)
{
	uint64_t value = 0;

	mmu_load_bytes(cpu, linear, &value, size);
	return value;
}

void mmu_store_slow(struct cpu *cpu, uint64_t linear, uint64_t value, unsigned size)
{
	mmu_store_bytes(cpu, linear, &value, size);
}

void mmu_probe_write(struct cpu *cpu, uint64_t linear, size_t len)
{
	check_pages(cpu, linear, len, MMU_WRITE);
}

static void *host_address(struct cpu *cpu, uint64_t linear, size_t len, enum mmu_access access)
{
	const struct fake_range *range = range_for(cpu, linear, access);

	if (((linear + len - 1) ^ linear) & ~PAGE_MASK || range->device) {
		return NULL;
	}
	if (access == MMU_WRITE && !code_admits_writer(cpu, linear & ~PAGE_MASK)) {
		return NULL;
	}
	return &range->host[linear - range->linear];
}

void *mmu_host_write(struct cpu *cpu, uint64_t linear, size_t len)
{
	return host_address(cpu, linear, len, MMU_WRITE);
}

const void *mmu_host_read(struct cpu *cpu, uint64_t linear, size_t len)
{
	return host_address(cpu, linear, len, MMU_READ);
}

uint64_t mmu_translate_fetch(struct cpu *cpu, uint64_t linear, const uint8_t **ret_host)
{
	const struct fake_range *range = range_for(cpu, linear, MMU_FETCH);

	*ret_host = &range->host[linear - range->linear];
	return linear;
}

void *walk_ram_page(struct cpu *cpu, uint64_t physical, unsigned *ret_flags)
{
	const struct fake_range *range = range_find(physical);

	(void)cpu;
	*ret_flags = 0;
	return range && !range->device ? &range->host[physical - range->linear] : NULL;
}

void mmu_flush_all(struct cpu *cpu)
{
	for (unsigned set = 0; set < TLB_SET_COUNT; set++) {
		for (unsigned i = 0; i < TLB_ENTRIES; i++) {
			cpu->tlbs[set].read[i].tag = TLB_INVALID(i);
			cpu->tlbs[set].write[i].tag = TLB_INVALID(i);
		}
	}
	cpu->fetch_epoch[0]++;
	cpu->fetch_epoch[1]++;
}

void mmu_drop_writes(struct cpu *cpu)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		cpu->tlb->write[i].tag = TLB_INVALID(i);
	}
}
