/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/thread.h"
#include "core/engine/soft/cpuid.h"
#include "core/engine/soft/exec_system.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/msr.h"
#include "core/memory/guest_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#define MSR_WALL_CLOCK 0x11
#define MSR_SYSTEM_TIME 0x12
#define MSR_WALL_CLOCK_NEW 0x4b564d00
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_ASYNC_PAGE_FAULT 0x4b564d02
#define MSR_STEAL_TIME 0x4b564d03
#define MSR_EOI 0x4b564d04

#define CALL_VAPIC_POLL_IRQ 1
#define CALL_KICK_CPU 5
#define CALL_CLOCK_PAIRING 9
#define CALL_SEND_IPI 10

#define NO_CALL (-1000)

/* APIC registers. */
#define MMIO_EOI 0xb0
#define MMIO_SPURIOUS 0xf0
#define MMIO_ISR 0x100

#define LEVEL (1u << 15)
#define MSI(destination) (0xfee00000u | (destination) << 12)

/* Where the tests' structures lie. */
#define CLOCK UINT64_C(0x100000)
#define OTHER_CLOCK UINT64_C(0x100040)
#define WALL UINT64_C(0x100080)
#define STEAL UINT64_C(0x1000c0)
#define EOI UINT64_C(0x100100)
#define OUTSIDE FIXTURE_RAM_SIZE

struct world {
	struct fixture *f;
	struct cpu *other; /* APIC id 1 */
	struct guest_write_hook hook;
	uint64_t written; /* the last range that the hook was told of */
	uint64_t written_len;
	unsigned writes;
	unsigned eois; /* that reached the I/O APIC */
	struct apic_host host;
};

static void written(struct guest_write_hook *hook, uint64_t guest, uint64_t len)
{
	struct world *w = container_of(hook, struct world, hook);

	w->written = guest;
	w->written_len = len;
	w->writes++;
}

static int acknowledge(struct apic_host *host)
{
	(void)host;
	return -1;
}

static void eoi(struct apic_host *host, uint8_t vector)
{
	(void)vector;
	container_of(host, struct world, host)->eois++;
}

static int setup(void **state)
{
	struct world *w = g_new0(struct world, 1);

	w->host = (struct apic_host){.acknowledge = acknowledge, .eoi = eoi};
	w->f = fixture_create(&w->host);
	w->other = cpu_create(1, w->f->memory, w->f->space, w->f->ports, w->f->clock);
	w->other->tsc_virtual = true;
	w->other->tsc_hz = w->f->cpu->tsc_hz;
	cpu_reset(w->other, false);
	apic_create(w->f->bus, w->other);
	apic_mmio_write(w->f->cpu->apic, MMIO_SPURIOUS, 0x1ff, 4);
	apic_mmio_write(w->other->apic, MMIO_SPURIOUS, 0x1ff, 4);
	w->f->cpu->request = w->other->request = 0;
	w->hook.written = written;
	guest_memory_set_write_hook(w->f->memory, &w->hook);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	guest_memory_set_write_hook(w->f->memory, NULL);
	apic_destroy(w->other->apic);
	cpu_destroy(w->other);
	fixture_destroy(w->f);
	g_free(w);
	return 0;
}

static void set(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	assert_true(msr_write(cpu, msr, value));
}

static void test_offered(void **state)
{
	struct world *w = *state;
	struct cpuid_result leaf = cpuid_query(w->f->cpu, 0x40000000, 0);

	assert_memory_equal(&leaf.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(leaf.eax, 0x40000010);
	leaf = cpuid_query(w->f->cpu, 0x40000001, 0);
	assert_int_equal(leaf.eax, 0x01000aeb);
	assert_int_equal(leaf.ebx, 0);
	assert_int_equal(leaf.ecx, 0);
	assert_int_equal(leaf.edx, 0); /* vCPUs may be preempted */
}

/* What -cpu takes away is not there. */
static void test_not_offered(void **state)
{
	static const struct {
		enum cpu_feature feature;
		uint32_t msr;
	} registers[] = {
			{CPU_FEATURE_KVM_CLOCK, MSR_SYSTEM_TIME},
			{CPU_FEATURE_KVM_CLOCK, MSR_WALL_CLOCK},
			{CPU_FEATURE_KVM_CLOCK2, MSR_SYSTEM_TIME_NEW},
			{CPU_FEATURE_KVM_CLOCK2, MSR_WALL_CLOCK_NEW},
			{CPU_FEATURE_KVM_STEAL_TIME, MSR_STEAL_TIME},
			{CPU_FEATURE_KVM_PV_EOI, MSR_EOI},
	};
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;
	uint64_t value;

	for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
		cpu_features_set(&cpu->features, registers[i].feature, false);
		assert_false(msr_read(cpu, registers[i].msr, &value));
		assert_false(msr_write(cpu, registers[i].msr, 0));
		cpu_features_set(&cpu->features, registers[i].feature, true);
		assert_true(msr_write(cpu, registers[i].msr, 0));
	}
	/* A clock that may differ between processors says so. */
	cpu_features_set(&cpu->features, CPU_FEATURE_KVM_CLOCK_STABLE, false);
	set(cpu, MSR_SYSTEM_TIME_NEW, CLOCK | 1);
	assert_int_equal(w->f->ram[CLOCK + 29], 0);
	/* kvm=off: somebody else's signature, and no hypercalls. */
	cpu->features.words[CPU_WORD_KVM] = 0;
	struct cpuid_result leaf = cpuid_query(cpu, 0x40000000, 0);
	assert_memory_not_equal(&leaf.ebx, "KVM", 3);
	assert_int_equal(leaf.eax, 0x40000010);
	assert_int_equal(cpuid_query(cpu, 0x40000001, 0).eax, 0);
	assert_int_equal(FAULT_OF(cpu, exec_hypercall(cpu, NULL)), X86_VECTOR_UD);
}

static const struct {
	const char *name;
	uint32_t msr;
	uint64_t value;
	bool accepted;
} values[] = {
		{"clock off", MSR_SYSTEM_TIME, 0, true},
		{"clock", MSR_SYSTEM_TIME, CLOCK | 1, true},
		{"clock, new", MSR_SYSTEM_TIME_NEW, CLOCK | 1, true},
		{"clock outside of RAM", MSR_SYSTEM_TIME_NEW, OUTSIDE | 1, true},
		{"clock partly outside of RAM", MSR_SYSTEM_TIME_NEW, (OUTSIDE - 16) | 1, true},
		{"clock at the end of addresses", MSR_SYSTEM_TIME_NEW, UINT64_MAX, true},
		{"clock, crooked", MSR_SYSTEM_TIME_NEW, (CLOCK + 0xffe) | 1, true},
		{"wall clock", MSR_WALL_CLOCK, WALL, true},
		{"wall clock, new", MSR_WALL_CLOCK_NEW, WALL, true},
		{"wall clock outside of RAM", MSR_WALL_CLOCK_NEW, OUTSIDE, true},
		{"wall clock at the end of addresses", MSR_WALL_CLOCK_NEW, UINT64_MAX, true},
		{"steal time", MSR_STEAL_TIME, STEAL | 1, true},
		{"steal time, reserved bits", MSR_STEAL_TIME, STEAL | 3, false},
		{"steal time, crooked", MSR_STEAL_TIME, (STEAL + 32) | 1, false},
		{"steal time outside of RAM", MSR_STEAL_TIME, OUTSIDE | 1, true},
		{"steal time at the end of addresses", MSR_STEAL_TIME, ~UINT64_C(0x3e), true},
		{"EOI", MSR_EOI, EOI | 1, true},
		{"EOI off", MSR_EOI, 0, true},
		{"EOI, crooked", MSR_EOI, EOI | 3, false},
		{"EOI outside of RAM", MSR_EOI, OUTSIDE | 1, false},
		{"EOI at the end of addresses", MSR_EOI, UINT64_MAX & ~UINT64_C(2), false},
		{"page faults to come are not offered", MSR_ASYNC_PAGE_FAULT, 0, false},
};

static void test_registers(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
		uint64_t before = 1, after = 2;
		bool readable = msr_read(cpu, values[i].msr, &before);
		if (msr_write(cpu, values[i].msr, values[i].value) != values[i].accepted) {
			fail_msg("%s", values[i].name);
		}
		assert_int_equal(msr_read(cpu, values[i].msr, &after), readable);
		if (readable) {
			assert_int_equal(after, values[i].accepted ? values[i].value : before);
		}
		/* None of it brings harm to who uses it afterwards. */
		pv_leave(cpu);
		pv_resume(cpu);
		clock_advance(w->f->clock, 5000000);
		pv_account(cpu);
		apic_bus_deliver(w->f->bus, MSI(0u), 0x50);
		if (apic_has_interrupt(cpu->apic)) {
			assert_int_equal(apic_take_interrupt(cpu->apic), 0x50);
		}
		apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	}
}

/* What a guest makes of its structure. */
static uint64_t guest_clock(const struct world *w, const struct cpu *cpu, uint64_t structure)
{
	uint64_t ticks = cpu_tsc(cpu) - fixture_get64(w->f, structure + 8);
	int8_t shift = (int8_t)w->f->ram[structure + 28];

	assert_int_equal(fixture_get32(w->f, structure) & 1, 0);
	ticks = shift >= 0 ? ticks << shift : ticks >> -shift;
	return (uint64_t)((unsigned __int128)ticks * fixture_get32(w->f, structure + 24) >> 32) +
	       fixture_get64(w->f, structure + 16);
}

static void assert_close(uint64_t a, uint64_t b)
{
	uint64_t distance = a > b ? a - b : b - a;

	if (distance > 10) { /* a tick of the slowest TSC here */
		fail_msg("%" PRIu64 " and %" PRIu64, a, b);
	}
}

static void test_clock(void **state)
{
	static const uint64_t frequencies[] = {100000000, 999999999, 1000000000, 1000000001,
			2000000000, 2596118000, 5000000000};
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	clock_advance(w->f->clock, 123456789);
	for (size_t i = 0; i < G_N_ELEMENTS(frequencies); i++) {
		uint32_t version = fixture_get32(w->f, CLOCK);
		cpu->tsc_hz = frequencies[i];
		set(cpu, i & 1 ? MSR_SYSTEM_TIME : MSR_SYSTEM_TIME_NEW, CLOCK | 1);
		assert_true(fixture_get32(w->f, CLOCK) > version);
		assert_true(fixture_get32(w->f, CLOCK + 24) >= 1u << 31);
		assert_close(guest_clock(w, cpu, CLOCK), (uint64_t)clock_now(w->f->clock));
		clock_advance(w->f->clock, 1000000007);
		assert_close(guest_clock(w, cpu, CLOCK), (uint64_t)clock_now(w->f->clock));
		assert_int_equal(w->f->ram[CLOCK + 29], 1); /* stable */
		assert_int_equal(w->written, CLOCK);
		assert_int_equal(w->written_len, 32);
	}
	/* Off. */
	uint32_t version = fixture_get32(w->f, CLOCK);
	set(cpu, MSR_SYSTEM_TIME_NEW, 0);
	pv_resume(cpu);
	set(cpu, X86_MSR_TSC_ADJUST, 5);
	assert_int_equal(fixture_get32(w->f, CLOCK), version);
}

static void test_clock_keeps_to_its_structure(void **state)
{
	struct world *w = *state;

	memset(w->f->ram + CLOCK - 8, 0xa5, 48);
	set(w->f->cpu, MSR_SYSTEM_TIME_NEW, CLOCK | 1);
	assert_true(fixture_get64(w->f, CLOCK - 8) == UINT64_C(0xa5a5a5a5a5a5a5a5));
	assert_true(fixture_get64(w->f, CLOCK + 32) == UINT64_C(0xa5a5a5a5a5a5a5a5));
	assert_int_equal(fixture_get32(w->f, CLOCK), 0xa5a5a5a6); /* what was there counts on */
}

static void test_moved_tsc(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, MSR_SYSTEM_TIME_NEW, CLOCK | 1);
	set(w->other, MSR_SYSTEM_TIME_NEW, OTHER_CLOCK | 1);
	clock_advance(w->f->clock, 77777);
	uint64_t before = guest_clock(w, cpu, CLOCK);
	set(cpu, X86_MSR_TSC, UINT64_C(1) << 60);
	assert_close(guest_clock(w, cpu, CLOCK), before);
	assert_int_equal(w->f->ram[CLOCK + 29], 0); /* the two TSCs do not agree */
	assert_true(w->other->request & CPU_REQUEST_PV);
	assert_int_equal(w->f->ram[OTHER_CLOCK + 29], 1);
	assert_int_equal(interrupt_poll(w->other), INTERRUPT_STOP); /* waits for a SIPI */
	assert_int_equal(w->f->ram[OTHER_CLOCK + 29], 0);
	assert_close(guest_clock(w, w->other, OTHER_CLOCK), before);
	/* The other one follows: they agree again. */
	uint64_t adjust;
	assert_true(msr_read(cpu, X86_MSR_TSC_ADJUST, &adjust));
	set(w->other, X86_MSR_TSC_ADJUST, adjust);
	assert_int_equal(w->f->ram[OTHER_CLOCK + 29], 1);
	pv_attend(cpu);
	assert_int_equal(w->f->ram[CLOCK + 29], 1);
	assert_close(guest_clock(w, cpu, CLOCK), before);
	assert_close(guest_clock(w, w->other, OTHER_CLOCK), before);
}

static void test_pause(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, MSR_SYSTEM_TIME_NEW, CLOCK | 1);
	pv_leave(cpu);
	pv_enter(cpu);
	assert_int_equal(w->f->ram[CLOCK + 29], 1);
	pv_leave(cpu);
	pv_resume(cpu);
	assert_int_equal(w->f->ram[CLOCK + 29], 3);
	pv_tsc_changed(cpu);
	assert_int_equal(w->f->ram[CLOCK + 29], 3); /* until the guest has seen it */
	w->f->ram[CLOCK + 29] = 1;
	pv_tsc_changed(cpu);
	assert_int_equal(w->f->ram[CLOCK + 29], 1);
}

static uint64_t realtime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void test_wall_clock(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, MSR_SYSTEM_TIME_NEW, CLOCK | 1);
	clock_advance(w->f->clock, INT64_C(3600000000000));
	uint64_t before = realtime();
	set(cpu, MSR_WALL_CLOCK_NEW, WALL);
	uint64_t after = realtime();
	uint64_t now = fixture_get32(w->f, WALL + 4) * UINT64_C(1000000000) +
		       fixture_get32(w->f, WALL + 8) + guest_clock(w, cpu, CLOCK);
	assert_true(now + 8 >= before && now <= after + 8);
	assert_int_equal(fixture_get32(w->f, WALL), 2);
	assert_int_equal(w->written, WALL);
	assert_int_equal(w->written_len, 12);
}

static void test_steal_time(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	/* What was stolen before anybody asked is not told. */
	pv_note_run(cpu, 1000, 400);
	fixture_put64(w->f, STEAL, 50);
	set(cpu, MSR_STEAL_TIME, STEAL | 1);
	uint64_t steal = fixture_get64(w->f, STEAL);
	assert_int_equal(steal, 50);
	pv_note_run(cpu, 3000000000, 1000000000);
	pv_leave(cpu);
	assert_int_equal(w->f->ram[STEAL + 16], 1);
	pv_enter(cpu);
	assert_int_equal(w->f->ram[STEAL + 16], 0);
	steal = fixture_get64(w->f, STEAL);
	/* The test's own run may have been disturbed. */
	assert_true(steal >= 50 + 2000000000);
	assert_int_equal(fixture_get32(w->f, STEAL + 8) & 1, 0);
	assert_true(fixture_get32(w->f, STEAL + 8) > 0);
	assert_int_equal(w->written, STEAL);
	assert_int_equal(w->written_len, 17);
	/* A thread that ran for longer than it was asked to, by a coarse clock: nothing is taken back. */
	pv_note_run(cpu, 0, 1000000000);
	pv_leave(cpu);
	pv_enter(cpu);
	assert_int_equal(fixture_get64(w->f, STEAL), steal);
	pv_note_run(cpu, 0, UINT64_C(1) << 40);
	pv_leave(cpu);
	pv_enter(cpu);
	assert_int_equal(fixture_get64(w->f, STEAL), steal);
	steal = fixture_get64(w->f, STEAL);
	pv_note_run(cpu, UINT64_C(1) << 39, 0);
	pv_leave(cpu);
	pv_enter(cpu);
	assert_int_equal(fixture_get64(w->f, STEAL), steal);
	/* Off: nobody may be told that it does not run. */
	set(cpu, MSR_STEAL_TIME, 0);
	pv_leave(cpu);
	assert_int_equal(w->f->ram[STEAL + 16], 0);
	assert_int_equal(fixture_get64(w->f, STEAL), steal);
}

/* A page that is in the TLB and that its table no longer maps. */
static void stale_page(struct world *w)
{
	fixture_put64(w->f, FIXTURE_PAGE_TABLE + 8 * 0x80, 0x80007);
	(void)mmu_load64(w->f->cpu, 0x80000);
	fixture_put64(w->f, FIXTURE_PAGE_TABLE + 8 * 0x80, 0);
	assert_int_equal(FAULT_OF(w->f->cpu, mmu_load64(w->f->cpu, 0x80000)), -1);
}

static void test_tlb_flush(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	fixture_enter_long_mode(w->f, 0);
	stale_page(w);
	set(cpu, MSR_STEAL_TIME, STEAL | 1);
	pv_leave(cpu);
	pv_enter(cpu);
	assert_int_equal(FAULT_OF(cpu, mmu_load64(cpu, 0x80000)), -1);
	pv_leave(cpu);
	/* As the guest does on another processor. */
	uint8_t preempted = 1;
	assert_true(__atomic_compare_exchange_n(&w->f->ram[STEAL + 16], &preempted, 3, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	pv_enter(cpu);
	assert_int_equal(w->f->ram[STEAL + 16], 0);
	assert_int_equal(FAULT_OF(cpu, mmu_load64(cpu, 0x80000)), X86_VECTOR_PF);
}

/* A vCPU that waits says so, and does what was asked meanwhile before it goes on. */
static void test_flush_in_sleep(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	fixture_enter_long_mode(w->f, 0);
	stale_page(w);
	set(cpu, MSR_STEAL_TIME, STEAL | 1);
	w->f->ram[STEAL + 16] = 3;
	cpu_request(cpu, CPU_REQUEST_EXIT);
	unsigned writes = w->writes;
	cpu_wait(cpu);
	assert_int_equal(w->f->ram[STEAL + 16], 0);
	assert_int_equal(w->writes, writes + 2);
}

static int take(struct cpu *cpu)
{
	return apic_has_interrupt(cpu->apic) ? apic_take_interrupt(cpu->apic) : -1;
}

static bool in_service(struct cpu *cpu, uint8_t vector)
{
	uint32_t offset = MMIO_ISR + vector / 32u * 16;

	return apic_mmio_read(cpu->apic, offset, 4) >> (vector % 32) & 1;
}

static void test_eoi(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	fixture_put32(w->f, EOI, 0xfffffffe);
	set(cpu, MSR_EOI, EOI | 1);
	assert_int_equal(fixture_get32(w->f, EOI), 0xfffffffe);
	apic_bus_deliver(w->f->bus, MSI(0u), 0x50);
	assert_int_equal(take(cpu), 0x50);
	assert_int_equal(fixture_get32(w->f, EOI), 0xffffffff);
	assert_int_equal(w->written, EOI);
	assert_int_equal(w->written_len, 1);
	/* Not before the guest is done. */
	assert_true(in_service(cpu, 0x50));
	assert_int_equal(fixture_get32(w->f, EOI), 0xffffffff);
	fixture_put32(w->f, EOI, 0xfffffffe);
	assert_false(in_service(cpu, 0x50));
	/* The next one of the same class is delivered without a word from the guest. */
	apic_bus_deliver(w->f->bus, MSI(0u), 0x51);
	assert_int_equal(take(cpu), 0x51);
	assert_int_equal(fixture_get32(w->f, EOI), 0xffffffff);
	fixture_put32(w->f, EOI, 0xfffffffe);
	apic_bus_deliver(w->f->bus, MSI(0u), 0x51);
	assert_int_equal(take(cpu), 0x51);
	assert_int_equal(w->eois, 0);
}

static void test_eoi_needed(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	set(cpu, MSR_EOI, EOI | 1);
	/* The I/O APIC wants to hear of it. */
	apic_bus_deliver(w->f->bus, MSI(0u), 0x55 | LEVEL);
	assert_int_equal(take(cpu), 0x55);
	assert_int_equal(fixture_get32(w->f, EOI), 0);
	apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	assert_int_equal(w->eois, 1);
	/* Another one waits for the end of this. */
	apic_bus_deliver(w->f->bus, MSI(0u), 0x60);
	apic_bus_deliver(w->f->bus, MSI(0u), 0x61);
	assert_int_equal(take(cpu), 0x61);
	assert_int_equal(fixture_get32(w->f, EOI), 0);
	assert_int_equal(take(cpu), -1);
	apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	assert_int_equal(take(cpu), 0x60);
	assert_int_equal(fixture_get32(w->f, EOI), 1);
	/* One comes meanwhile: the offer is taken back. */
	apic_bus_deliver(w->f->bus, MSI(0u), 0x61);
	assert_int_equal(take(cpu), -1);
	assert_int_equal(fixture_get32(w->f, EOI), 0);
	cpu->request = 0;
	apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	assert_true(cpu->request & CPU_REQUEST_INTERRUPT);
	assert_int_equal(take(cpu), 0x61);
	/* A higher one interrupts it: each has its own end. */
	assert_int_equal(fixture_get32(w->f, EOI), 1);
	apic_bus_deliver(w->f->bus, MSI(0u), 0x90);
	assert_int_equal(take(cpu), 0x90);
	assert_int_equal(fixture_get32(w->f, EOI), 1);
	fixture_put32(w->f, EOI, 0);
	assert_false(in_service(cpu, 0x90));
	assert_true(in_service(cpu, 0x61));
	apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	assert_false(in_service(cpu, 0x61));
}

static void test_eoi_ends(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;
	uint64_t base;

	set(cpu, MSR_EOI, EOI | 1);
	/* A guest that writes to the APIC all the same. */
	apic_bus_deliver(w->f->bus, MSI(0u), 0x50);
	assert_int_equal(take(cpu), 0x50);
	apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	assert_int_equal(fixture_get32(w->f, EOI), 0);
	assert_false(in_service(cpu, 0x50));
	/* A guest that turns it off in between. */
	apic_bus_deliver(w->f->bus, MSI(0u), 0x50);
	assert_int_equal(take(cpu), 0x50);
	set(cpu, MSR_EOI, 0);
	assert_int_equal(fixture_get32(w->f, EOI), 0);
	assert_true(in_service(cpu, 0x50));
	apic_mmio_write(cpu->apic, MMIO_EOI, 0, 4);
	assert_false(in_service(cpu, 0x50));
	/* And one that turns the APIC off. */
	set(cpu, MSR_EOI, EOI | 1);
	apic_bus_deliver(w->f->bus, MSI(0u), 0x50);
	assert_int_equal(take(cpu), 0x50);
	assert_true(apic_msr_read(cpu->apic, X86_MSR_APIC_BASE, &base));
	set(cpu, X86_MSR_APIC_BASE, base & ~APIC_BASE_ENABLED);
	assert_int_equal(fixture_get32(w->f, EOI), 0);
}

static void test_reset(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	for (int init = 0; init < 2; init++) {
		set(cpu, MSR_SYSTEM_TIME_NEW, CLOCK | 1);
		set(cpu, MSR_WALL_CLOCK_NEW, WALL);
		set(cpu, MSR_STEAL_TIME, STEAL | 1);
		set(cpu, MSR_EOI, EOI | 1);
		apic_mmio_write(cpu->apic, MMIO_SPURIOUS, 0x1ff, 4);
		apic_bus_deliver(w->f->bus, MSI(0u), 0x50);
		assert_int_equal(take(cpu), 0x50);
		unsigned writes = w->writes;
		apic_reset(cpu->apic, init);
		cpu_reset(cpu, init);
		/* Memory may be another program's by now. */
		pv_leave(cpu);
		pv_resume(cpu);
		assert_int_equal(w->writes, writes);
		for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
			uint64_t value = 0;
			(void)msr_read(cpu, values[i].msr, &value);
			assert_int_equal(value, 0);
		}
	}
}

static int64_t call(
		struct cpu *cpu, uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	cpu->regs[X86_RAX] = number;
	cpu->regs[X86_RBX] = a;
	cpu->regs[X86_RCX] = b;
	cpu->regs[X86_RDX] = c;
	cpu->regs[X86_RSI] = d;
	pv_hypercall(cpu);
	assert_int_equal(cpu->regs[X86_RBX], a);
	return (int64_t)cpu->regs[X86_RAX];
}

static const struct {
	const char *name;
	bool narrow; /* not in 64-bit mode */
	uint64_t number, low, high, first, icr;
	int64_t expect;
	unsigned reached; /* bit per processor */
} calls[] = {
		{"no such call", false, 99, 0, 0, 0, 0, NO_CALL, 0},
		{"no such call either", false, UINT64_C(1) << 32 | CALL_SEND_IPI, 3, 0, 0, 0x50,
				NO_CALL, 0},
		{"poll", false, CALL_VAPIC_POLL_IRQ, 0, 0, 0, 0, 0, 0},
		{"clock pairing", false, CALL_CLOCK_PAIRING, 0, 0, 0, 0, NO_CALL, 0},
		{"IPI to nobody", false, CALL_SEND_IPI, 0, 0, 0, 0x50, 0, 0},
		{"IPI to one", false, CALL_SEND_IPI, 2, 0, 0, 0x50, 1, 2},
		{"IPI to both", false, CALL_SEND_IPI, 3, 0, 0, 0x50, 2, 3},
		{"IPI to those there are", false, CALL_SEND_IPI, UINT64_MAX, UINT64_MAX, 0, 0x50, 2,
				3},
		{"IPI from 1 on", false, CALL_SEND_IPI, 3, 0, 1, 0x50, 1, 2},
		{"IPI from below 0 on", false, CALL_SEND_IPI, 0, 1, -UINT64_C(64), 0x50, 0, 0},
		{"IPI beyond", false, CALL_SEND_IPI, UINT64_MAX, UINT64_MAX, 2, 0x50, 0, 0},
		{"lowest priority", false, CALL_SEND_IPI, 2, 0, 0, 0x150, 1, 2},
		{"logical destination", false, CALL_SEND_IPI, 3, 0, 0, 0x850, -EINVAL, 0},
		{"shorthand", false, CALL_SEND_IPI, 3, 0, 0, 0x40050, -EINVAL, 0},
		{"narrow IPI", true, CALL_SEND_IPI, 3, 0, 0, 0x50, 2, 3},
		{"narrow IPI, upper half", true, UINT64_C(1) << 32 | CALL_SEND_IPI, 0, 3,
				UINT64_C(0xfeed0000ffffffe0), 0x50, 0, 0},
};

static void test_hypercalls(void **state)
{
	struct world *w = *state;
	struct cpu *cpus[] = {w->f->cpu, w->other};

	for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
		unsigned reached = 0;
		if (calls[i].narrow) {
			fixture_enter_protected_mode(w->f, 0);
		} else {
			fixture_enter_long_mode(w->f, 0);
		}
		int64_t expect = calls[i].narrow ? (uint32_t)calls[i].expect : calls[i].expect;
		int64_t answer = call(cpus[0], calls[i].number, calls[i].low, calls[i].high,
				calls[i].first, calls[i].icr);
		for (unsigned n = 0; n < 2; n++) {
			reached |= take(cpus[n]) == 0x50 ? 1u << n : 0;
			apic_mmio_write(cpus[n]->apic, MMIO_EOI, 0, 4);
		}
		if (answer != expect || reached != calls[i].reached) {
			fail_msg("%s: %" PRId64 ", reached %u", calls[i].name, answer, reached);
		}
	}
	/* An APIC that software has not enabled hears NMIs and nothing else. */
	apic_mmio_write(w->other->apic, MMIO_SPURIOUS, 0xff, 4);
	assert_int_equal(call(cpus[0], CALL_SEND_IPI, 3, 0, 0, 0x50), 1);
	w->other->request = 0;
	assert_int_equal(call(cpus[0], CALL_SEND_IPI, 2, 0, 0, 0x400), 1);
	assert_int_equal(w->other->request, CPU_REQUEST_NMI);
	/* Not without the feature. */
	fixture_enter_long_mode(w->f, 0);
	cpu_features_set(&cpus[0]->features, CPU_FEATURE_KVM_PV_IPI, false);
	assert_int_equal(call(cpus[0], CALL_SEND_IPI, 3, 0, 0, 0x50), NO_CALL);
	cpu_features_set(&cpus[0]->features, CPU_FEATURE_KVM_PV_UNHALT, false);
	assert_int_equal(call(cpus[0], CALL_KICK_CPU, 0, 1, 0, 0), NO_CALL);
	/* The kernel's only. */
	fixture_enter_long_mode(w->f, 3);
	assert_int_equal(call(cpus[0], CALL_SEND_IPI, 3, 0, 0, 0x50), -EPERM);
	assert_int_equal(call(cpus[0], 99, 0, 0, 0, 0), -EPERM);
}

static void halt(struct cpu *cpu)
{
	exec_hlt(cpu, NULL);
}

static void test_kick(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu, *other = w->other;

	fixture_enter_long_mode(w->f, 0);
	cpu_start_at(other, 0x10);
	/* One that is halted goes on, with interrupts off as well. */
	halt(other);
	assert_int_equal(other->activity, CPU_HALTED);
	assert_int_equal(call(cpu, CALL_KICK_CPU, 0, 7, 0, 0), 0); /* nobody */
	assert_int_equal(other->request, 0);
	assert_int_equal(call(cpu, CALL_KICK_CPU, 0, 1, 0, 0), 0);
	assert_int_equal(interrupt_poll(other), INTERRUPT_RUN);
	assert_int_equal(other->activity, CPU_ACTIVE);
	assert_int_equal(other->request, 0);
	halt(other);
	assert_int_equal(other->activity, CPU_HALTED);
	/* One that is about to halt does not, once. */
	other->activity = CPU_ACTIVE;
	assert_int_equal(call(cpu, CALL_KICK_CPU, 0, 1, 0, 0), 0);
	assert_int_equal(interrupt_poll(other), INTERRUPT_RUN);
	halt(other);
	assert_int_equal(other->activity, CPU_ACTIVE);
	halt(other);
	assert_int_equal(other->activity, CPU_HALTED);
	/* It is no interrupt: the boot processor was not disturbed. */
	assert_int_equal(cpu->activity, CPU_ACTIVE);
	assert_int_equal(cpu->request & CPU_REQUEST_PV, 0);
}

/* Whoever is not allowed to is told so, and goes on. */
static void test_instruction(void **state)
{
	struct world *w = *state;
	struct cpu *cpu = w->f->cpu;

	fixture_enter_long_mode(w->f, 3);
	cpu->regs[X86_RAX] = CALL_VAPIC_POLL_IRQ;
	assert_int_equal(FAULT_OF(cpu, exec_hypercall(cpu, NULL)), -1);
	assert_int_equal((int64_t)cpu->regs[X86_RAX], -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_offered, setup, teardown),
			cmocka_unit_test_setup_teardown(test_not_offered, setup, teardown),
			cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
			cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_clock_keeps_to_its_structure, setup, teardown),
			cmocka_unit_test_setup_teardown(test_moved_tsc, setup, teardown),
			cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
			cmocka_unit_test_setup_teardown(test_wall_clock, setup, teardown),
			cmocka_unit_test_setup_teardown(test_steal_time, setup, teardown),
			cmocka_unit_test_setup_teardown(test_tlb_flush, setup, teardown),
			cmocka_unit_test_setup_teardown(test_flush_in_sleep, setup, teardown),
			cmocka_unit_test_setup_teardown(test_eoi, setup, teardown),
			cmocka_unit_test_setup_teardown(test_eoi_needed, setup, teardown),
			cmocka_unit_test_setup_teardown(test_eoi_ends, setup, teardown),
			cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
			cmocka_unit_test_setup_teardown(test_hypercalls, setup, teardown),
			cmocka_unit_test_setup_teardown(test_kick, setup, teardown),
			cmocka_unit_test_setup_teardown(test_instruction, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
