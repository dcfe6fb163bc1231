/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/soft_machine.h"

#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/engine/engines.h"
#include "core/engine/soft/soft.h"

#include <poll.h>

#define DEADLINE_MS 60000

const struct engine_impl *const engine_impls[] = {&soft_engine, NULL};

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)offset;
	(void)size;
	return 0;
}

/* REPORT and, one above it, DONE. */
static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct machine *m = container_of(region, struct machine, port);

	(void)size;
	if (offset == 1) {
		eventfd_signal(m->done);
	} else if (m->report_count < G_N_ELEMENTS(m->reports)) {
		m->reports[m->report_count++] = (uint32_t)value;
	}
}

static void stopped(struct engine_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct machine *m = container_of(events, struct machine, events);

	(void)vcpu;
	m->stopped = reason;
	eventfd_signal(m->done);
}

struct machine *machine_start(unsigned vcpus, uint64_t tb_size)
{
	struct machine *m = g_new0(struct machine, 1);
	g_autoptr(GError) error = NULL;
	auto_fd int fd = memfd_create_sized("test", MACHINE_RAM_SIZE, &error);

	m->clock = clock_create(CLOCK_KIND_HOST, &error);
	m->memory = guest_memory_create();
	m->space = address_space_create("memory", m->memory);
	m->ports = address_space_create("ports", NULL);
	m->done = eventfd_create(&error);
	m->port = (struct io_region){
			.name = "report", .size = 8, .read = port_read, .write = port_write};
	address_space_add(m->ports, MACHINE_REPORT, &m->port);
	assert_true(address_space_add_ram(m->space, 0, MACHINE_RAM_SIZE, fd, 0, 0, &error));
	m->events.vcpu_stopped = stopped;
	struct engine_config config = {
			.vcpus = vcpus,
			.memory = m->space,
			.ports = m->ports,
			.clock = m->clock,
			.events = &m->events,
			.tb_size = tb_size,
	};
	m->engine = engine_create("soft", &config, &error);
	assert_non_null(m->engine);
	return m;
}

void machine_stop(struct machine *m)
{
	engine_stop(m->engine);
	engine_destroy(m->engine);
	address_space_remove(&m->port);
	address_space_remove_ram(m->space, 0);
	address_space_destroy(m->ports);
	address_space_destroy(m->space);
	guest_memory_destroy(m->memory);
	fd_close(&m->done);
	clock_destroy(m->clock);
	g_free(m);
}

void machine_enter_real(struct machine *m, uint64_t offset)
{
	struct x86_state cpu;

	vcpu_get_state(m->engine->vcpus[0], &cpu);
	cpu.seg[X86_CS].selector = 0;
	cpu.seg[X86_CS].base = 0;
	cpu.rip = offset;
	vcpu_set_state(m->engine->vcpus[0], &cpu);
}

void machine_run(struct machine *m)
{
	struct pollfd fds[] = {
			{.fd = m->done, .events = POLLIN},
			{.fd = clock_fd(m->clock), .events = POLLIN},
	};

	engine_start(m->engine);
	for (;;) {
		assert_int_not_equal(poll(fds, G_N_ELEMENTS(fds), DEADLINE_MS), 0);
		if (fds[0].revents) {
			break;
		}
		clock_run_timers(m->clock);
	}
	eventfd_take(m->done);
	engine_stop(m->engine);
}
