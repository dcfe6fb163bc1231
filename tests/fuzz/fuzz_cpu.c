/* SPDX-License-Identifier: MIT */
/*
 * A guest that does anything to the software CPU: code in every mode, with tables that it may write, a device, ROM, ports, and
 * interrupts and writes of devices while it runs. Input: how the machine is, then the pieces that its code is made of
 * (cpu_code.c). A run ends by itself, after some exceptions, or when its time is over.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/engine/engines.h"
#include "core/engine/soft/soft.h"
#include "core/memory/address_space.h"
#include "core/memory/guest_memory.h"
#include "tests/fuzz/cpu_code.h"

#include <poll.h>

/* Milliseconds; at the end of each something comes from outside. */
#define TICKS 3
#define MAX_EVENTS 400 /* writes to ports */
#define TRANSLATED_SIZE (256 * KiB) /* a vCPU */
#define SIPI 0x600u
#define TO_SECOND (GUEST_APIC | 1u << 12)

const struct engine_impl *const engine_impls[] = {&soft_engine, NULL};

struct target {
	struct clock *clock;
	struct guest_memory *memory;
	struct address_space *space, *ports;
	struct io_region port, device;
	struct engine_events events;
	struct engine *engine;
	uint8_t *ram;
	int done; /* eventfd */
	unsigned event_count; /* atomic */
	uint64_t device_value; /* atomic */
};

/* What machines there are: the input says which. */
static const struct {
	const char *cpu;
	unsigned vcpus;
	bool translate;
} kinds[] = {
		{"max", 1, true},
		{"max,+avx2,+fma,+f16c,+pcommit", 1, true},
		{"max,+avx2", 2, true},
		{"max,-smap,-x2apic", 1, false},
};

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned size)
{
	(void)region;
	(void)size;
	return offset;
}

/* The handlers', and at the end of the code: it is enough after a while. */
static void port_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct target *target = container_of(region, struct target, port);
	bool end = offset == GUEST_PORTS + GUEST_VECTORS;

	(void)value;
	(void)size;
	if (end || __atomic_add_fetch(&target->event_count, 1, __ATOMIC_RELAXED) > MAX_EVENTS) {
		eventfd_signal(target->done);
	}
}

static uint64_t device_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct target *target = container_of(region, struct target, device);

	(void)size;
	return __atomic_load_n(&target->device_value, __ATOMIC_RELAXED) + offset;
}

/* A device that may write to memory at once, code included. */
static void device_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct target *target = container_of(region, struct target, device);

	__atomic_store_n(&target->device_value, value, __ATOMIC_RELAXED);
	if (offset & 0x800) {
		(void)guest_memory_write(
				target->memory, GUEST_CODE + (offset & 0x7ff), &value, size);
	}
}

static void vcpu_stopped(struct engine_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct target *target = container_of(events, struct target, events);

	(void)vcpu;
	assert(reason == VCPU_EXIT_SHUTDOWN);
	eventfd_signal(target->done);
}

static void remember_ram(const struct guest_region_info *info, void *opaque)
{
	struct target *target = opaque;

	if (info->guest == 0) {
		target->ram = info->host;
	}
}

static void add_memory(struct target *target)
{
	static const uint8_t halt = 0xf4;
	auto_fd int ram = memfd_create_sized("ram", GUEST_RAM_SIZE, NULL);
	auto_fd int rom = memfd_create_sized("rom", GUEST_ROM_SIZE, NULL);
	bool ok = pwrite(rom, &halt, 1, 0xff0) == 1 &&
		  address_space_add_ram(target->space, 0, GUEST_RAM_SIZE, ram, 0, 0, NULL) &&
		  address_space_add_ram(target->space, GUEST_ROM, GUEST_ROM_SIZE, rom, 0,
				  GUEST_REGION_ROM, NULL);

	assert(ok);
	guest_memory_foreach(target->memory, remember_ram, target);
}

static void target_create(struct target *target, unsigned kind)
{
	struct engine_config config = {.vcpus = kinds[kind].vcpus,
			.events = &target->events,
			.tb_size = kinds[kind].translate ? kinds[kind].vcpus * TRANSLATED_SIZE : 0};
	bool ok = cpu_model_parse(kinds[kind].cpu, &config.cpu, NULL);

	assert(ok);
	target->clock = config.clock = clock_create(CLOCK_KIND_HOST, NULL);
	target->memory = guest_memory_create();
	target->space = config.memory = address_space_create("memory", target->memory);
	target->ports = config.ports = address_space_create("ports", NULL);
	target->done = eventfd_create(NULL);
	target->port = (struct io_region){
			.name = "ports", .size = 0x10000, .read = port_read, .write = port_write};
	address_space_add(target->ports, 0, &target->port);
	target->device = (struct io_region){.name = "device",
			.size = GUEST_PAGE_SIZE,
			.read = device_read,
			.write = device_write};
	address_space_add(target->space, GUEST_DEVICE, &target->device);
	add_memory(target);
	target->events.vcpu_stopped = vcpu_stopped;
	target->engine = engine_create("soft", &config, NULL);
	assert(target->engine);
}

static struct target *target_once(unsigned kind)
{
	static struct target targets[G_N_ELEMENTS(kinds)];
	static bool prepared;

	if (!prepared) {
		thread_register();
		/* What it says about bad guests is of no interest here. */
		bool ok = log_set_file("/dev/null", true, NULL);
		assert(ok);
		prepared = true;
	}
	if (!targets[kind].engine) {
		target_create(&targets[kind], kind);
	}
	return &targets[kind];
}

/* What devices and other processors do meanwhile. */
static void disturb(struct target *target, struct fuzz_input *input, unsigned which)
{
	uint16_t message = fuzz_take16(input);
	uint8_t bytes[4];

	if (which & 1) {
		irqchip_send_msi(target->engine->irqchip, GUEST_APIC | (which & 2 ? 0xff000 : 0),
				message);
	}
	if (which & 4) {
		fuzz_take(input, bytes, sizeof(bytes));
		(void)guest_memory_write(target->memory, GUEST_CODE + (message & 0xff), bytes,
				sizeof(bytes));
	}
	if (which & 8) {
		struct irqchip *irqchip = target->engine->irqchip;
		irqchip->impl->set_extint(irqchip, message & 1);
	}
}

static void run(struct target *target, struct fuzz_input *input, unsigned disturbances)
{
	struct pollfd fds[] = {
			{.fd = target->done, .events = POLLIN},
			{.fd = clock_fd(target->clock), .events = POLLIN},
	};
	int64_t end = clock_now(target->clock) + TICKS * INT64_C(1000000);

	engine_start(target->engine);
	while (clock_now(target->clock) < end) {
		int ready = poll(fds, G_N_ELEMENTS(fds), 1);
		if (fds[0].revents) {
			break;
		}
		clock_run_timers(target->clock);
		if (ready == 0) {
			disturb(target, input, disturbances);
		}
	}
	engine_stop(target->engine);
	target->engine->irqchip->impl->set_extint(target->engine->irqchip, false);
	eventfd_take(target->done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	unsigned how = fuzz_take8(&input), disturbances = fuzz_take8(&input);
	enum guest_mode mode = how % GUEST_MODES;
	struct target *target = target_once(how / GUEST_MODES % G_N_ELEMENTS(kinds));
	struct fuzz_input outside = {data, MIN(size, 64)};
	struct x86_state state;

	engine_reset(target->engine);
	target->event_count = 0;
	target->device_value = 0;
	vcpu_get_state(target->engine->vcpus[0], &state);
	guest_build(target->ram, mode, &input, &state);
	vcpu_set_state(target->engine->vcpus[0], &state);
	if (target->engine->config.vcpus > 1) {
		irqchip_send_msi(target->engine->irqchip, TO_SECOND, SIPI | guest_start_page(mode));
	}
	run(target, &outside, disturbances);
	return 0;
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define NEW_BYTES_MAX 96

/* Now and then much is new at once: a few bytes are no program. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	GRand *random = g_rand_new_with_seed(seed);

	if (g_rand_int_range(random, 0, 4) == 0) {
		size_t count = (size_t)g_rand_int_range(random, 1, NEW_BYTES_MAX);
		for (size_t end = MIN(size + count, max_size); size < end; size++) {
			data[size] = (uint8_t)g_rand_int(random);
		}
	} else {
		size = LLVMFuzzerMutate(data, size, max_size);
	}
	g_rand_free(random);
	return size;
}
#endif
