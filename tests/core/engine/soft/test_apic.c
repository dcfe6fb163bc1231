/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/interrupt.h"

/* MMIO offsets. */
#define ID 0x20
#define VERSION 0x30
#define TPR 0x80
#define PPR 0xa0
#define EOI 0xb0
#define LDR 0xd0
#define DFR 0xe0
#define SPURIOUS 0xf0
#define ISR 0x100
#define TMR 0x180
#define IRR 0x200
#define ESR 0x280
#define ICR_LOW 0x300
#define ICR_HIGH 0x310
#define LVT_TIMER 0x320
#define LVT_LINT0 0x350
#define LVT_LINT1 0x360
#define LVT_ERROR 0x370
#define TIMER_INITIAL 0x380
#define TIMER_CURRENT 0x390
#define TIMER_DIVIDE 0x3e0

#define MASKED (1u << 16)
#define DIVIDE_BY_1 0xb

#define MSI(destination, bits) (0xfee00000u | (destination) << 12 | (bits))
#define MSI_LOGICAL 4u
#define LEVEL (1u << 15)

/* A board that counts, and hands out 8259 vectors. */
struct board {
	struct apic_host host;
	int extint; /* vector, -1: none */
	unsigned eois;
	uint8_t eoi_vector;
};

struct world {
	struct fixture *f;
	struct board board;
	struct cpu *other; /* APIC id 1 */
};

static int acknowledge(struct apic_host *host)
{
	struct board *board = container_of(host, struct board, host);

	return board->extint;
}

static void eoi(struct apic_host *host, uint8_t vector)
{
	struct board *board = container_of(host, struct board, host);

	board->eois++;
	board->eoi_vector = vector;
}

static int setup(void **state)
{
	struct world *w = g_new0(struct world, 1);

	w->board.host = (struct apic_host){.acknowledge = acknowledge, .eoi = eoi};
	w->f = fixture_create(&w->board.host);
	w->other = cpu_create(1, w->f->memory, w->f->space, w->f->ports, w->f->clock);
	w->other->tsc_virtual = true;
	w->other->tsc_hz = w->f->cpu->tsc_hz;
	apic_create(w->f->bus, w->other);
	apic_mmio_write(w->f->cpu->apic, SPURIOUS, 0x1ff, 4);
	apic_mmio_write(w->other->apic, SPURIOUS, 0x1ff, 4);
	apic_mmio_write(w->f->cpu->apic, LVT_LINT0, MASKED, 4);
	w->f->cpu->request = w->other->request = 0;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	apic_destroy(w->other->apic);
	cpu_destroy(w->other);
	fixture_destroy(w->f);
	g_free(w);
	return 0;
}

static uint32_t get(struct cpu *cpu, uint32_t offset)
{
	return apic_mmio_read(cpu->apic, offset, 4);
}

static void set(struct cpu *cpu, uint32_t offset, uint32_t value)
{
	apic_mmio_write(cpu->apic, offset, value, 4);
}

/* The vector that is delivered now, -1 for none. */
static int take(struct cpu *cpu)
{
	return apic_has_interrupt(cpu->apic) ? apic_take_interrupt(cpu->apic) : -1;
}

static void advance(struct world *w, int64_t ns)
{
	clock_advance(w->f->clock, ns);
	clock_run_timers(w->f->clock);
}

static void test_reset_state(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;
	uint64_t base;

	apic_reset(w->other->apic, false);
	assert_int_equal(get(w->other, ID), 1 << 24);
	assert_int_equal(get(w->other, VERSION), 0x50014);
	assert_int_equal(get(w->other, DFR), 0xffffffff);
	assert_int_equal(get(w->other, SPURIOUS), 0xff);
	assert_int_equal(get(w->other, LVT_LINT0), MASKED);
	assert_int_equal(get(w->other, LVT_TIMER), MASKED);
	assert_true(apic_msr_read(cpu->apic, X86_MSR_APIC_BASE, &base));
	assert_int_equal(base, APIC_BASE_DEFAULT | APIC_BASE_BSP | APIC_BASE_ENABLED);
	assert_true(apic_msr_read(w->other->apic, X86_MSR_APIC_BASE, &base));
	assert_int_equal(base, APIC_BASE_DEFAULT | APIC_BASE_ENABLED);
	assert_int_equal(w->other->apic_page, APIC_BASE_DEFAULT);
}

static void test_priorities(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x41);
	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x62);
	assert_true(cpu->request & CPU_REQUEST_INTERRUPT);
	assert_int_equal(w->other->request, 0);
	assert_int_equal(get(cpu, IRR + 0x20), 1u << 1);
	assert_int_equal(get(cpu, IRR + 0x30), 1u << 2);
	assert_int_equal(take(cpu), 0x62);
	assert_int_equal(get(cpu, ISR + 0x30), 1u << 2);
	assert_int_equal(get(cpu, PPR), 0x60);
	/* Lower and equal classes wait until the end of this one. */
	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x6f);
	assert_int_equal(take(cpu), -1);
	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x70);
	assert_int_equal(take(cpu), 0x70);
	set(cpu, EOI, 0);
	assert_int_equal(take(cpu), -1);
	set(cpu, EOI, 0);
	assert_int_equal(take(cpu), 0x6f);
	set(cpu, EOI, 0);
	/* The task priority holds back its own class. */
	set(cpu, TPR, 0x40);
	assert_int_equal(take(cpu), -1);
	cpu->request = 0;
	set(cpu, TPR, 0x3f);
	assert_true(cpu->request & CPU_REQUEST_INTERRUPT);
	assert_int_equal(take(cpu), 0x41);
	set(cpu, EOI, 0);
	assert_int_equal(w->board.eois, 0);
	set(cpu, EOI, 0); /* none in service: nothing happens */
	assert_int_equal(take(cpu), -1);
}

static void test_level_eoi(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x55 | LEVEL);
	assert_int_equal(get(cpu, TMR + 0x20), 1u << 0x15);
	assert_int_equal(take(cpu), 0x55);
	set(cpu, EOI, 0);
	assert_int_equal(w->board.eois, 1);
	assert_int_equal(w->board.eoi_vector, 0x55);
	/* The same vector by edge. */
	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x55);
	assert_int_equal(take(cpu), 0x55);
	set(cpu, EOI, 0);
	assert_int_equal(w->board.eois, 1);
}

static void test_extint(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	w->board.extint = 0x08;
	apic_bus_set_extint(w->f->bus, true);
	assert_int_equal(take(cpu), -1); /* LINT0 is masked */
	set(cpu, LVT_LINT0, 0x700);
	assert_int_equal(take(cpu), 0x08);
	assert_int_equal(get(cpu, ISR), 0); /* not the APIC's business */
	/* It goes away between request and acknowledge. */
	w->board.extint = -1;
	assert_int_equal(take(cpu), -1);
	w->board.extint = 0x09;
	apic_bus_set_extint(w->f->bus, false);
	assert_int_equal(take(cpu), -1);
	/* Without an APIC the wire leads to the processor. */
	apic_bus_set_extint(w->f->bus, true);
	set(cpu, LVT_LINT0, MASKED);
	assert_true(apic_msr_write(cpu->apic, X86_MSR_APIC_BASE, APIC_BASE_DEFAULT));
	assert_true(cpu->apic_page == UINT64_MAX);
	assert_int_equal(take(cpu), 0x09);
}

static const struct {
	const char *name;
	bool extended; /* x2APIC mode */
	uint32_t ldr[2], dfr;
	uint32_t address; /* MSI */
	uint32_t data;
	unsigned expect; /* bit per APIC */
} deliveries[] = {
		{"physical 0", false, {0, 0}, 0xffffffff, MSI(0, 0), 0x50, 1},
		{"physical 1", false, {0, 0}, 0xffffffff, MSI(1, 0), 0x50, 2},
		{"physical, nobody", false, {0, 0}, 0xffffffff, MSI(2, 0), 0x50, 0},
		{"physical, everybody", false, {0, 0}, 0xffffffff, MSI(0xff, 0), 0x50, 3},
		{"flat, one", false, {1u << 24, 2u << 24}, 0xffffffff, MSI(2, MSI_LOGICAL), 0x50,
				2},
		{"flat, both", false, {1u << 24, 2u << 24}, 0xffffffff, MSI(3, MSI_LOGICAL), 0x50,
				3},
		{"flat, none", false, {1u << 24, 2u << 24}, 0xffffffff, MSI(4, MSI_LOGICAL), 0x50,
				0},
		{"flat, lowest priority", false, {1u << 24, 2u << 24}, 0xffffffff,
				MSI(3, MSI_LOGICAL), 0x150, 1},
		{"cluster", false, {0x11u << 24, 0x21u << 24}, 0x0fffffff, MSI(0x21, MSI_LOGICAL),
				0x50, 2},
		{"all clusters", false, {0x11u << 24, 0x21u << 24}, 0x0fffffff,
				MSI(0xf1, MSI_LOGICAL), 0x50, 3},
		{"x2APIC physical", true, {0, 0}, 0, MSI(1, 0), 0x50, 2},
		{"x2APIC logical", true, {0, 0}, 0, MSI(3, MSI_LOGICAL), 0x50, 3},
		{"reserved vector", false, {0, 0}, 0xffffffff, MSI(0, 0), 0x0f, 0},
		{"SMI is not ours", false, {0, 0}, 0xffffffff, MSI(0, 0), 0x250, 0},
};

static void test_destinations(void **state)
{
	struct world *w = *state;
	struct cpu *cpus[] = {w->f->cpu, w->other};

	for (size_t i = 0; i < G_N_ELEMENTS(deliveries); i++) {
		unsigned reached = 0;
		for (unsigned n = 0; n < 2; n++) {
			uint64_t base = APIC_BASE_DEFAULT | APIC_BASE_ENABLED;
			apic_reset(cpus[n]->apic, false);
			set(cpus[n], SPURIOUS, 0x1ff);
			set(cpus[n], LDR, deliveries[i].ldr[n]);
			set(cpus[n], DFR, deliveries[i].dfr);
			if (deliveries[i].extended) {
				assert_true(apic_msr_write(cpus[n]->apic, X86_MSR_APIC_BASE,
						base | APIC_BASE_EXTENDED));
			}
		}
		apic_bus_deliver(w->f->bus, deliveries[i].address, deliveries[i].data);
		for (unsigned n = 0; n < 2; n++) {
			reached |= take(cpus[n]) == 0x50 ? 1u << n : 0;
		}
		if (reached != deliveries[i].expect) {
			fail_msg("%s: reached %u, expected %u", deliveries[i].name, reached,
					deliveries[i].expect);
		}
	}
}

static void test_lowest_priority_prefers_idle(void **state)
{
	struct world *w = *state;

	set(w->f->cpu, LDR, 1u << 24);
	set(w->other, LDR, 2u << 24);
	set(w->f->cpu, TPR, 0x20);
	apic_bus_deliver(w->f->bus, MSI(3, MSI_LOGICAL), 0x150);
	assert_int_equal(take(w->f->cpu), -1);
	assert_int_equal(take(w->other), 0x50);
}

static void test_ipis(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, ICR_HIGH, 1u << 24);
	set(cpu, ICR_LOW, 0x4000 | 0x51);
	assert_int_equal(take(w->other), 0x51);
	assert_int_equal(get(cpu, ICR_LOW), 0x4051);
	set(w->other, EOI, 0);
	set(cpu, ICR_LOW, 0x44052); /* self */
	assert_int_equal(take(cpu), 0x52);
	assert_int_equal(take(w->other), -1);
	set(cpu, EOI, 0);
	set(cpu, ICR_LOW, 0x84053); /* all */
	assert_int_equal(take(cpu), 0x53);
	assert_int_equal(take(w->other), 0x53);
	set(cpu, EOI, 0);
	set(w->other, EOI, 0);
	set(cpu, ICR_LOW, 0xc4054); /* all but self */
	assert_int_equal(take(cpu), -1);
	assert_int_equal(take(w->other), 0x54);
	/* INIT, its de-assertion, SIPI, NMI. */
	w->other->request = 0;
	set(cpu, ICR_LOW, 0xc4500);
	assert_int_equal(w->other->request, CPU_REQUEST_INIT);
	w->other->request = 0;
	set(cpu, ICR_LOW, 0xc8500);
	assert_int_equal(w->other->request, 0);
	set(cpu, ICR_LOW, 0xc4699);
	assert_int_equal(w->other->request, CPU_REQUEST_SIPI);
	assert_int_equal(apic_sipi_vector(w->other->apic), 0x99);
	w->other->request = 0;
	set(cpu, ICR_LOW, 0xc4400);
	assert_int_equal(w->other->request, CPU_REQUEST_NMI);
}

static void test_errors(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, LVT_ERROR, 0xfe);
	set(cpu, ICR_LOW, 0x44005); /* vector 5 cannot be sent */
	assert_int_equal(take(cpu), 0xfe);
	set(cpu, EOI, 0);
	assert_int_equal(get(cpu, ESR), 0); /* latched by a write */
	set(cpu, ESR, 0);
	assert_int_equal(get(cpu, ESR), 1u << 5);
	set(cpu, ESR, 0);
	assert_int_equal(get(cpu, ESR), 0);
	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x03);
	(void)get(cpu, 0x3f0); /* no such register */
	set(cpu, ESR, 0);
	assert_int_equal(get(cpu, ESR), 1u << 6 | 1u << 7);
	/* Odd accesses do nothing. */
	apic_mmio_write(cpu->apic, TPR + 1, 0xff, 1);
	apic_mmio_write(cpu->apic, TPR, 0xff, 8);
	assert_int_equal(get(cpu, TPR), 0);
	assert_int_equal(apic_mmio_read(cpu->apic, TPR + 2, 8), 0);
	assert_int_equal(apic_mmio_read(cpu->apic, VERSION + 2, 1), 5);
}

static void test_software_disable(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, LVT_TIMER, 0x40);
	set(cpu, SPURIOUS, 0xff);
	assert_int_equal(get(cpu, LVT_TIMER), 0x40 | MASKED);
	set(cpu, LVT_TIMER, 0x40); /* cannot be unmasked now */
	assert_int_equal(get(cpu, LVT_TIMER), 0x40 | MASKED);
	apic_bus_deliver(w->f->bus, MSI(0, 0), 0x50);
	assert_int_equal(take(cpu), -1);
	set(cpu, SPURIOUS, 0x1ff);
	assert_int_equal(take(cpu), -1);
}

static void test_lint1_nmi(void **state)
{
	struct world *w = *state;

	apic_bus_nmi(w->f->bus);
	assert_int_equal(w->f->cpu->request & CPU_REQUEST_NMI, 0);
	set(w->f->cpu, LVT_LINT1, 0x400);
	apic_bus_nmi(w->f->bus);
	assert_true(w->f->cpu->request & CPU_REQUEST_NMI);
}

static void test_one_shot_timer(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, TIMER_DIVIDE, DIVIDE_BY_1);
	set(cpu, LVT_TIMER, 0x40);
	set(cpu, TIMER_INITIAL, 1000000); /* 1 ms at 1 GHz */
	advance(w, 400000);
	assert_int_equal(get(cpu, TIMER_CURRENT), 600000);
	assert_int_equal(take(cpu), -1);
	advance(w, 599999);
	assert_int_equal(take(cpu), -1);
	advance(w, 1);
	assert_int_equal(take(cpu), 0x40);
	assert_int_equal(get(cpu, TIMER_CURRENT), 0);
	assert_int_equal(get(cpu, TIMER_INITIAL), 1000000);
	set(cpu, EOI, 0);
	advance(w, 5000000);
	assert_int_equal(take(cpu), -1);
	/* Dividers; a count that is stopped; a masked entry. */
	set(cpu, TIMER_DIVIDE, 0x3); /* by 16 */
	set(cpu, TIMER_INITIAL, 1000);
	advance(w, 15999);
	assert_int_equal(take(cpu), -1);
	advance(w, 1);
	assert_int_equal(take(cpu), 0x40);
	set(cpu, EOI, 0);
	set(cpu, TIMER_INITIAL, 1000);
	set(cpu, TIMER_INITIAL, 0);
	assert_true(clock_next_deadline(w->f->clock) == CLOCK_NEVER);
	set(cpu, LVT_TIMER, 0x40 | MASKED);
	set(cpu, TIMER_INITIAL, 1000);
	advance(w, 16000);
	assert_int_equal(take(cpu), -1);
}

/* A period that is too short is lengthened each time, not only once. */
static void test_shortest_period(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, TIMER_DIVIDE, DIVIDE_BY_1);
	set(cpu, LVT_TIMER, 0x20040);
	set(cpu, TIMER_INITIAL, 1);
	advance(w, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(clock_next_deadline(w->f->clock), clock_now(w->f->clock) + 50000);
		advance(w, 50000);
	}
}

static void test_periodic_timer(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, TIMER_DIVIDE, DIVIDE_BY_1);
	set(cpu, LVT_TIMER, 0x20040);
	set(cpu, TIMER_INITIAL, 1000000);
	for (unsigned i = 0; i < 3; i++) {
		advance(w, 999999);
		assert_int_equal(take(cpu), -1);
		advance(w, 1);
		assert_int_equal(take(cpu), 0x40);
		set(cpu, EOI, 0);
	}
	/* Periods that were missed are lost, the rhythm is kept. */
	advance(w, 3500000);
	assert_int_equal(take(cpu), 0x40);
	set(cpu, EOI, 0);
	assert_int_equal(take(cpu), -1);
	/* One-shot from here: counts on to the end, once. */
	set(cpu, LVT_TIMER, 0x40);
	advance(w, 1000000);
	assert_int_equal(take(cpu), 0x40);
	set(cpu, EOI, 0);
	assert_true(clock_next_deadline(w->f->clock) == CLOCK_NEVER);
	/*
	 * Run down before the timer thread noticed: over all the same, and its interrupt is not
	 * lost.
	 */
	set(cpu, TIMER_INITIAL, 1000000);
	clock_advance(w->f->clock, 1000000);
	assert_int_equal(get(cpu, TIMER_CURRENT), 0);
	set(cpu, LVT_TIMER, 0x20040);
	assert_int_equal(get(cpu, TIMER_CURRENT), 0);
	assert_int_equal(take(cpu), 0x40);
	set(cpu, EOI, 0);
	assert_true(clock_next_deadline(w->f->clock) == CLOCK_NEVER);
	/* No period is too short for the host. */
	set(cpu, LVT_TIMER, 0x20040);
	set(cpu, TIMER_INITIAL, 1);
	advance(w, 1);
	int64_t next = clock_next_deadline(w->f->clock);
	assert_true(next >= clock_now(w->f->clock) + 1);
	advance(w, 1000000);
	assert_true(clock_next_deadline(w->f->clock) > clock_now(w->f->clock));
}

static void test_tsc_deadline(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;
	uint64_t value;

	/* Not in this mode: the register reads as zero and ignores writes. */
	assert_true(apic_msr_write(cpu->apic, X86_MSR_TSC_DEADLINE, 100));
	assert_true(apic_msr_read(cpu->apic, X86_MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	set(cpu, LVT_TIMER, 0x40040);
	uint64_t deadline = cpu_tsc(cpu) + 1000000;
	assert_true(apic_msr_write(cpu->apic, X86_MSR_TSC_DEADLINE, deadline));
	assert_true(apic_msr_read(cpu->apic, X86_MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, deadline);
	advance(w, 999999);
	assert_int_equal(take(cpu), -1);
	advance(w, 1);
	assert_int_equal(take(cpu), 0x40);
	set(cpu, EOI, 0);
	assert_true(apic_msr_read(cpu->apic, X86_MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	/* In the past: at once. Zero disarms. */
	assert_true(apic_msr_write(cpu->apic, X86_MSR_TSC_DEADLINE, 1));
	assert_int_equal(take(cpu), 0x40);
	set(cpu, EOI, 0);
	assert_true(apic_msr_write(cpu->apic, X86_MSR_TSC_DEADLINE, cpu_tsc(cpu) + 100));
	assert_true(apic_msr_write(cpu->apic, X86_MSR_TSC_DEADLINE, 0));
	assert_true(clock_next_deadline(w->f->clock) == CLOCK_NEVER);
	/* A TSC that moves takes the deadline with it. */
	assert_true(apic_msr_write(cpu->apic, X86_MSR_TSC_DEADLINE, cpu_tsc(cpu) + 1000));
	cpu->tsc_offset += 500;
	apic_tsc_changed(cpu->apic);
	advance(w, 500);
	assert_int_equal(take(cpu), 0x40);
}

static void test_x2apic(void **state)
{
	struct world *w = *state;
	struct apic *apic = w->other->apic;
	uint64_t value, base = APIC_BASE_DEFAULT | APIC_BASE_ENABLED;

	assert_false(apic_msr_read(apic, 0x802, &value)); /* not in xAPIC mode */
	assert_true(apic_msr_write(apic, X86_MSR_APIC_BASE, base | APIC_BASE_EXTENDED));
	assert_true(w->other->apic_page == UINT64_MAX);
	assert_true(apic_msr_read(apic, 0x802, &value));
	assert_int_equal(value, 1);
	assert_true(apic_msr_read(apic, 0x80d, &value));
	assert_int_equal(value, 2);
	assert_false(apic_msr_write(apic, 0x802, 3)); /* read-only */
	assert_false(apic_msr_read(apic, 0x80e, &value)); /* no DFR */
	assert_false(apic_msr_read(apic, 0x80b, &value)); /* write-only */
	assert_false(apic_msr_write(apic, 0x80b, 1));
	assert_false(apic_msr_write(apic, 0x808, 0x100));
	assert_false(apic_msr_write(apic, 0x831, 0)); /* one register of 64 bits instead */
	/* Self IPI, and an IPI by the whole register. */
	assert_true(apic_msr_write(apic, 0x83f, 0x61));
	assert_int_equal(take(w->other), 0x61);
	assert_true(apic_msr_write(apic, 0x80b, 0));
	assert_true(apic_msr_write(apic, 0x830, 0x4062));
	assert_int_equal(take(w->f->cpu), 0x62);
	/* Ways back: only by switching it off. */
	assert_false(apic_msr_write(apic, X86_MSR_APIC_BASE, base));
	assert_false(apic_msr_write(
			apic, X86_MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_EXTENDED));
	assert_true(apic_msr_write(apic, X86_MSR_APIC_BASE, APIC_BASE_DEFAULT));
	assert_false(apic_msr_write(apic, X86_MSR_APIC_BASE, base | APIC_BASE_EXTENDED));
	assert_true(apic_msr_write(apic, X86_MSR_APIC_BASE, base));
	assert_int_equal(w->other->apic_page, APIC_BASE_DEFAULT);
	assert_false(apic_msr_write(apic, X86_MSR_APIC_BASE, base | 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_reset_state, setup, teardown),
			cmocka_unit_test_setup_teardown(test_priorities, setup, teardown),
			cmocka_unit_test_setup_teardown(test_level_eoi, setup, teardown),
			cmocka_unit_test_setup_teardown(test_extint, setup, teardown),
			cmocka_unit_test_setup_teardown(test_destinations, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_lowest_priority_prefers_idle, setup, teardown),
			cmocka_unit_test_setup_teardown(test_ipis, setup, teardown),
			cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
			cmocka_unit_test_setup_teardown(test_software_disable, setup, teardown),
			cmocka_unit_test_setup_teardown(test_lint1_nmi, setup, teardown),
			cmocka_unit_test_setup_teardown(test_one_shot_timer, setup, teardown),
			cmocka_unit_test_setup_teardown(test_periodic_timer, setup, teardown),
			cmocka_unit_test_setup_teardown(test_shortest_period, setup, teardown),
			cmocka_unit_test_setup_teardown(test_tsc_deadline, setup, teardown),
			cmocka_unit_test_setup_teardown(test_x2apic, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
