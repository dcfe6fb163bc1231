/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/translator/program.h"

#include "core/engine/soft/interp.h"
#include "core/engine/soft/translator/code.h"
#include "core/engine/soft/translator/lockstep.h"
#include "core/engine/soft/translator/translate.h"

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return 0;
}

static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct program *p = container_of(region, struct program, ports);

	(void)value;
	(void)size;
	p->vector = (unsigned)offset;
	cpu_request(p->cpu, CPU_REQUEST_EXIT);
}

static uint64_t device_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct program *p = container_of(region, struct program, device);

	(void)offset;
	(void)size;
	p->device_reads++;
	return p->device_value;
}

static void device_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct program *p = container_of(region, struct program, device);

	(void)offset;
	(void)size;
	p->device_writes++;
	p->device_value = (uint32_t)value;
}

static void set_tables(struct fixture *f)
{
	static const uint64_t gdt[] = {0, UINT64_C(0x00af9b000000ffff),
			UINT64_C(0x00cf93000000ffff), UINT64_C(0x00cff3000000ffff),
			UINT64_C(0x00affb000000ffff)};

	memcpy(f->ram + GDT, gdt, sizeof(gdt));
	f->cpu->gdtr = (struct x86_table){.base = GDT, .limit = sizeof(gdt) - 1};
	f->cpu->idtr = (struct x86_table){.base = IDT, .limit = 32 * 16 - 1};
	f->cpu->tr = (struct x86_segment){.base = TSS,
			.limit = 0x67,
			.attributes = (uint32_t)X86_SEG_P | 11,
			.selector = 0x40};
	fixture_put64(f, TSS + 4, INNER_STACK);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t handler = HANDLERS + 16 * i;
		fixture_put64(f, IDT + 16 * i,
				(handler & 0xffff) | SEL_CODE << 16 | UINT64_C(0x8e) << 40 |
						(handler >> 16) << 48);
		fixture_put64(f, IDT + 16 * i + 8, 0);
		f->ram[handler] = 0xe6; /* out PORTS + vector, al */
		f->ram[handler + 1] = (uint8_t)(PORTS + i);
	}
}

void program_reset(struct program *p)
{
	struct cpu *cpu = p->cpu;

	memset(cpu->regs, 0, sizeof(cpu->regs));
	cpu->regs[X86_RSP] = STACK;
	cpu->rip = CODE;
	cpu->rflags = X86_FLAG_FIXED;
	cpu->request = 0;
}

static int start(void **state, enum way way)
{
	struct program *p = g_new0(struct program, 1);
	struct fixture *f = fixture_create(NULL);

	p->fixture = f;
	p->cpu = f->cpu;
	p->way = way;
	fixture_enter_long_mode(f, 0);
	p->cpu->seg[X86_CS].selector = SEL_CODE;
	set_tables(f);
	p->ports = (struct io_region){
			.name = "vectors", .size = 32, .read = port_read, .write = port_write};
	address_space_add(f->ports, PORTS, &p->ports);
	p->device = (struct io_region){.name = "device",
			.size = GUEST_PAGE_SIZE,
			.read = device_read,
			.write = device_write};
	address_space_add(f->space, DEVICE_PHYSICAL, &p->device);
	p->map = code_map_create();
	p->cpu->blocks = block_cache_create(p->map, 5 * MiB);
	p->cpu->self = p->cpu;
	if (way != INTERPRETED) {
		p->cpu->translator = translator_create(
				p->cpu, way == SMALL ? 2 * CODE_BLOCK_MAX : 4 * MiB);
		assert_non_null(p->cpu->translator);
		p->cpu->blocks->translator = p->cpu->translator;
	}
	if (way == CHECKED) {
		lockstep_start(p->cpu);
	}
	program_reset(p);
	*state = p;
	return 0;
}

int program_start_interpreted(void **state)
{
	return start(state, INTERPRETED);
}

int program_start_translated(void **state)
{
	return start(state, TRANSLATED);
}

int program_start_small(void **state)
{
	return start(state, SMALL);
}

int program_start_checked(void **state)
{
	return start(state, CHECKED);
}

int program_stop(void **state)
{
	struct program *p = *state;

	lockstep_stop(p->cpu);
	block_cache_destroy(p->cpu->blocks);
	translator_destroy(p->cpu->translator);
	code_map_destroy(p->map);
	address_space_remove(&p->ports);
	address_space_remove(&p->device);
	fixture_destroy(p->fixture);
	g_free(p);
	return 0;
}

static void take_frame(struct program *p)
{
	uint64_t rsp = p->cpu->regs[X86_RSP];
	bool has_error = p->vector == X86_VECTOR_DF ||
			 (p->vector >= X86_VECTOR_TS && p->vector <= X86_VECTOR_PF);

	p->frame.error = 0;
	if (has_error) {
		p->frame.error = fixture_get64(p->fixture, rsp);
		rsp += 8;
	}
	p->frame.rip = fixture_get64(p->fixture, rsp);
	p->frame.cs = fixture_get64(p->fixture, rsp + 8);
	p->frame.rflags = fixture_get64(p->fixture, rsp + 16);
	p->frame.rsp = fixture_get64(p->fixture, rsp + 24);
	p->frame.ss = fixture_get64(p->fixture, rsp + 32);
}

void program_run(struct program *p, unsigned vector, uint64_t rip)
{
	p->vector = 0xff;
	cpu_run(p->cpu);
	assert_false(lockstep_failed(p->cpu));
	assert_int_equal(p->cpu->activity, CPU_ACTIVE);
	__atomic_fetch_and(&p->cpu->request, ~(uint32_t)CPU_REQUEST_EXIT, __ATOMIC_SEQ_CST);
	take_frame(p);
	assert_int_equal(p->vector, vector);
	if (rip != UINT64_MAX) {
		assert_int_equal(p->frame.rip, rip);
	}
}

void *program_interrupt(void *opaque)
{
	struct program *p = opaque;

	while (p->way != INTERPRETED && !__atomic_load_n(&p->cpu->page_rip, __ATOMIC_SEQ_CST)) {
		g_thread_yield();
	}
	cpu_request(p->cpu, CPU_REQUEST_NMI);
	return NULL;
}

void program_assert_translated(struct program *p, uint64_t linear)
{
	if (p->way == TRANSLATED) {
		assert_int_not_equal(block_lookup(p->cpu, linear)->translation[p->cpu->tlb_set], 0);
	}
}

void program_map(struct program *p, uint64_t linear, uint64_t entry)
{
	fixture_put64(p->fixture, FIXTURE_PAGE_TABLE + 8 * (linear >> 12), entry);
	mmu_flush_page(p->cpu, linear);
}
