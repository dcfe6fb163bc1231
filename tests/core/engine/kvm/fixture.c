/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/kvm/fixture.h"

#include "core/base/thread.h"
#include "core/engine/engines.h"
#include "core/engine/kvm/kvm.h"
#include "core/engine/soft/soft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_TABLES_AT 0x1000u /* six pages */
#define GDT_AT 0x7000u
#define CODE_SELECTOR 8u
#define DATA_SELECTOR 16u
#define PATIENCE (60 * G_TIME_SPAN_SECOND) /* before a test fails */
#define EXIT_SKIP 77

#define CODE_ATTRIBUTES (X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_WRITABLE | X86_SEG_ACCESSED)
#define DATA_ATTRIBUTES (X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED)

const struct engine_impl *const engine_impls[] = {&kvm_engine, &soft_engine, NULL};

struct happened {
	enum happening what;
	uint64_t where, value;
	unsigned size;
};

static void happen(struct machine_fixture *m, enum happening what, uint64_t where, uint64_t value,
		unsigned size)
{
	struct happened *happened = g_new0(struct happened, 1);

	*happened = (struct happened){.what = what, .where = where, .value = value, .size = size};
	g_async_queue_push(m->happened, happened);
}

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct machine_fixture *m = container_of(region, struct machine_fixture, port_device);
	(void)offset;
	(void)size;

	return 'a' + (uint64_t)g_atomic_int_add(&m->reads, 1);
}

static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct machine_fixture *m = container_of(region, struct machine_fixture, port_device);

	if (offset == DONE_OFFSET) {
		value = 0;
		if (m->extint_on_write) {
			m->extint_on_write = false;
			m->engine->irqchip->impl->set_extint(m->engine->irqchip, true);
		}
	}
	happen(m, PORT_WRITTEN, offset, value, size);
}

static uint64_t mmio_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)size;
	return 0xc0de0000 + offset;
}

static void mmio_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct machine_fixture *m = container_of(region, struct machine_fixture, mmio_device);

	happen(m, MMIO_WRITTEN, offset, value, size);
}

static void vcpu_stopped(struct engine_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct machine_fixture *m = container_of(events, struct machine_fixture, events);

	if (m->stopped) {
		m->stopped(m, vcpu, reason);
		return;
	}
	happen(m, STOPPED, vcpu->index, reason, 0);
}

static uint8_t pic_acknowledge(struct irqchip_board *board)
{
	struct machine_fixture *m = container_of(board, struct machine_fixture, board);

	m->engine->irqchip->impl->set_extint(m->engine->irqchip, false);
	happen(m, ACKNOWLEDGED, 0, m->pic_vector, 0);
	return m->pic_vector;
}

static void board_eoi(struct irqchip_board *board, uint8_t vector)
{
	happen(container_of(board, struct machine_fixture, board), EOI, 0, vector, 0);
}

static void setup(struct machine_fixture *m, unsigned vcpus, const char *cpu)
{
	g_autoptr(GError) error = NULL;
	auto_fd int fd = memfd_create_sized("test-ram", RAM_SIZE, NULL);

	m->happened = g_async_queue_new_full(g_free);
	m->ram = guest_memory_create();
	m->memory = address_space_create("memory", m->ram);
	m->ports = address_space_create("ports", NULL);
	m->clock = clock_create(CLOCK_KIND_HOST, NULL);
	m->events.vcpu_stopped = vcpu_stopped;
	m->board = (struct irqchip_board){.pic_acknowledge = pic_acknowledge, .eoi = board_eoi};
	m->port_device = (struct io_region){
			.name = "port", .size = PORT_COUNT, .read = port_read, .write = port_write};
	m->mmio_device = (struct io_region){
			.name = "mmio", .size = MMIO_SIZE, .read = mmio_read, .write = mmio_write};
	assert_true(address_space_add_ram(m->memory, 0, RAM_SIZE, fd, 0, 0, &error));
	address_space_add(m->ports, PORT, &m->port_device);
	address_space_add(m->memory, MMIO, &m->mmio_device);

	struct engine_config config = {
			.vcpus = vcpus,
			.memory = m->memory,
			.ports = m->ports,
			.clock = m->clock,
			.board = &m->board,
			.events = &m->events,
	};
	assert_true(!cpu || cpu_model_parse(cpu, &config.cpu, &error));
	const char *name = getenv("ORIEL_ENGINE");
	m->engine = engine_create(name ? name : "kvm", &config, &error);
	if (!m->engine) {
		fail_msg("%s", error->message);
	}
}

int machine_setup(void **state)
{
	struct machine_fixture *m = g_new0(struct machine_fixture, 1);

	*state = m;
	setup(m, 1, NULL);
	return 0;
}

int machine_setup_two(void **state)
{
	struct machine_fixture *m = g_new0(struct machine_fixture, 1);

	*state = m;
	setup(m, 2, NULL);
	return 0;
}

int machine_setup_cpu(void **state, const char *cpu)
{
	struct machine_fixture *m = g_new0(struct machine_fixture, 1);

	*state = m;
	setup(m, 1, cpu);
	return 0;
}

int machine_teardown(void **state)
{
	struct machine_fixture *m = *state;

	engine_destroy(m->engine);
	address_space_remove(&m->mmio_device);
	address_space_remove(&m->port_device);
	address_space_remove_ram(m->memory, 0);
	address_space_destroy(m->ports);
	address_space_destroy(m->memory);
	guest_memory_destroy(m->ram);
	clock_destroy(m->clock);
	g_async_queue_unref(m->happened);
	g_free(m);
	return 0;
}

void write_ram(struct machine_fixture *m, uint64_t address, const void *data, size_t len)
{
	assert_true(guest_memory_write(m->ram, address, data, len));
}

uint64_t read_ram64(struct machine_fixture *m, uint64_t address)
{
	uint64_t value = 0;

	assert_true(guest_memory_read(m->ram, address, &value, sizeof(value)));
	return value;
}

static void write_ram64(struct machine_fixture *m, uint64_t address, uint64_t value)
{
	write_ram(m, address, &value, sizeof(value));
}

static void start_at_code(struct machine_fixture *m, struct x86_state *state)
{
	vcpu_get_state(m->engine->vcpus[0], state);
	state->rip = CODE_AT;
	state->regs[X86_RSP] = STACK_AT;
	state->rflags = X86_FLAG_FIXED;
}

static void set_segments(struct x86_state *state, struct x86_segment code, struct x86_segment data)
{
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		state->seg[i] = i == X86_CS ? code : data;
	}
}

void enter_real(struct machine_fixture *m)
{
	struct x86_state state;

	start_at_code(m, &state);
	state.regs[X86_RSP] = 0x7000;
	state.seg[X86_CS].base = 0;
	state.seg[X86_CS].selector = 0;
	vcpu_set_state(m->engine->vcpus[0], &state);
}

void enter_protected(struct machine_fixture *m, bool paged)
{
	const uint64_t pointer = (PAGE_TABLES_AT + 0x1000) | 1;
	/* Present, writable, 2 MiB each: twice the same. */
	const uint64_t directory[] = {0x83, 0x200083, 0x83, 0x200083};
	const uint32_t flat = (uint32_t)(X86_SEG_G | X86_SEG_DB);
	struct x86_state state;

	write_ram64(m, PAGE_TABLES_AT, pointer);
	write_ram(m, PAGE_TABLES_AT + 0x1000, directory, sizeof(directory));
	start_at_code(m, &state);
	set_segments(&state,
			(struct x86_segment){.limit = UINT32_MAX,
					.selector = CODE_SELECTOR,
					.attributes = CODE_ATTRIBUTES | flat},
			(struct x86_segment){.limit = UINT32_MAX,
					.selector = DATA_SELECTOR,
					.attributes = DATA_ATTRIBUTES | flat});
	state.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | (paged ? X86_CR0_PG : 0);
	state.cr3 = PAGE_TABLES_AT;
	state.cr4 = X86_CR4_PAE;
	vcpu_set_state(m->engine->vcpus[0], &state);
}

static void write_long_tables(struct machine_fixture *m)
{
	uint64_t pml4 = PAGE_TABLES_AT, pdpt = pml4 + 0x1000, directories = pdpt + 0x1000;

	write_ram64(m, pml4, pdpt | 3);
	for (unsigned gib = 0; gib < 4; gib++) {
		uint64_t directory = directories + gib * 0x1000;
		write_ram64(m, pdpt + gib * 8, directory | 3);
		for (uint64_t i = 0; i < 512; i++) {
			write_ram64(m, directory + i * 8, (gib * 512 + i) * 0x200000 | 0x83);
		}
	}
	write_ram64(m, directories + ALIAS_AT / 0x200000 * 8, 0x83);
	write_ram64(m, directories + HOLE_AT / 0x200000 * 8, 0);
	write_ram64(m, GDT_AT + CODE_SELECTOR, UINT64_C(0x00af9b000000ffff));
	write_ram64(m, GDT_AT + DATA_SELECTOR, UINT64_C(0x00cf93000000ffff));
	for (uint64_t vector = FIRST_HANDLER; vector <= LAST_HANDLER; vector++) {
		uint64_t handler = HANDLERS_AT + (vector - FIRST_HANDLER) * HANDLER_SIZE;
		/* A present interrupt gate; no handler lies above 64 KiB. */
		write_ram64(m, IDT_AT + vector * 16,
				handler | CODE_SELECTOR << 16 | UINT64_C(0x8e00) << 32);
	}
}

void enter_long(struct machine_fixture *m)
{
	struct x86_state state;

	write_long_tables(m);
	load_guest(m, HANDLERS_AT, handlers);
	start_at_code(m, &state);
	set_segments(&state,
			(struct x86_segment){.limit = UINT32_MAX,
					.selector = CODE_SELECTOR,
					.attributes = CODE_ATTRIBUTES |
						      (uint32_t)(X86_SEG_G | X86_SEG_L)},
			(struct x86_segment){.limit = UINT32_MAX,
					.selector = DATA_SELECTOR,
					.attributes = DATA_ATTRIBUTES |
						      (uint32_t)(X86_SEG_G | X86_SEG_DB)});
	state.gdtr = (struct x86_table){.base = GDT_AT, .limit = 23};
	state.idtr = (struct x86_table){.base = IDT_AT, .limit = 0xfff};
	state.cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
	state.cr3 = PAGE_TABLES_AT;
	state.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	state.efer = X86_EFER_LME | X86_EFER_LMA;
	vcpu_set_state(m->engine->vcpus[0], &state);
}

static void assert_same_segment(const struct x86_segment *a, const struct x86_segment *b)
{
	assert_int_equal(a->base, b->base);
	assert_int_equal(a->limit, b->limit);
	assert_int_equal(a->attributes, b->attributes);
	assert_int_equal(a->selector, b->selector);
}

void assert_same_state(const struct x86_state *a, const struct x86_state *b)
{
	assert_memory_equal(a->regs, b->regs, sizeof(a->regs));
	assert_int_equal(a->rip, b->rip);
	assert_int_equal(a->rflags, b->rflags);
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		assert_same_segment(&a->seg[i], &b->seg[i]);
	}
	assert_same_segment(&a->ldtr, &b->ldtr);
	assert_same_segment(&a->tr, &b->tr);
	assert_int_equal(a->gdtr.base, b->gdtr.base);
	assert_int_equal(a->gdtr.limit, b->gdtr.limit);
	assert_int_equal(a->idtr.base, b->idtr.base);
	assert_int_equal(a->idtr.limit, b->idtr.limit);
	assert_int_equal(a->cr0, b->cr0);
	assert_int_equal(a->cr2, b->cr2);
	assert_int_equal(a->cr3, b->cr3);
	assert_int_equal(a->cr4, b->cr4);
	assert_int_equal(a->cr8, b->cr8);
	assert_int_equal(a->efer, b->efer);
	assert_memory_equal(a->dr, b->dr, 4 * sizeof(a->dr[0]));
	assert_int_equal(a->dr[7], b->dr[7]);
}

void expect(struct machine_fixture *m, enum happening what, uint64_t where, uint64_t value,
		unsigned size)
{
	g_autofree struct happened *happened = g_async_queue_timeout_pop(
			m->happened, (guint64)PATIENCE);

	if (!happened) {
		fail_msg("nothing happened; expected %u at 0x%llx", what,
				(unsigned long long)where);
		return;
	}
	assert_int_equal(happened->what, what);
	assert_int_equal(happened->where, where);
	assert_int_equal(happened->value, value);
	assert_int_equal(happened->size, size);
}

void expect_done(struct machine_fixture *m)
{
	expect(m, PORT_WRITTEN, DONE_OFFSET, 0, 1);
}

void expect_stopped(struct machine_fixture *m, enum vcpu_exit reason)
{
	expect(m, STOPPED, 0, reason, 0);
}

void expect_nothing(struct machine_fixture *m)
{
	assert_int_equal(g_async_queue_length(m->happened), 0);
}

void need_hardware(void)
{
	if (!kvm_engine.probe(NULL)) {
		skip();
	}
}

int run_tests_with_kvm(int (*run)(void))
{
	if (access("/dev/kvm", R_OK | W_OK) != 0) {
		perror("/dev/kvm");
		return getenv("CI") ? EXIT_FAILURE : EXIT_SKIP;
	}
	if (getenv("ORIEL_TEST")) {
		cmocka_set_test_filter(getenv("ORIEL_TEST"));
	}
	thread_register();
	int ret = run();
	thread_unregister();
	return ret;
}
