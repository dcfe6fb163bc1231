/* SPDX-License-Identifier: MIT */
/*
 * The software CPU behind the engine interface: one struct cpu a vCPU thread, local APICs of our
 * own, and a code map that devices' writes reach.
 *
 * RAM that is taken away stays mapped until the engine ends, because a vCPU may use an old
 * translation until it has seen the flush that it is asked for.
 */
#include "core/engine/soft/soft.h"

#include "core/base/log.h"
#include "core/engine/soft/apic.h"
#include "core/engine/soft/block.h"
#include "core/engine/soft/cpu.h"
#include "core/engine/soft/features.h"
#include "core/engine/soft/interp.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/native.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/translator/lockstep.h"
#include "core/engine/soft/translator/translate.h"

#include <x86intrin.h>

/*
 * Decoded instructions that a vCPU keeps, in bytes. A third of it boots as quickly, but a shell that starts programs in a
 * loop then fills it dozens of times a second, and translations go with it. Many vCPUs have less, because they share the host's memory as
 * well as the work.
 */
#define DECODED_SIZE (16 * MiB)
#define DECODED_SIZE_ALL (4 * DECODED_SIZE)

/* Less would hardly hold what one system call leads through. */
#define TRANSLATED_SIZE_MIN (256 * KiB)

struct soft_engine {
	struct engine base;
	struct irqchip irqchip;
	struct irq_pump *pump;
	struct apic_host apic_host;
	struct apic_bus *bus;
	struct code_map *code;
	struct smp *smp;
	struct guest_write_hook write_hook;
	struct address_space_listener listener;
	struct perf_map *perf_map; /* may be NULL */
	uint64_t tsc_base; /* of the host, when the guest's was 0 */
	GMutex lock;
	GPtrArray *cpus; /* struct cpu; guarded by lock */
	GArray *kept; /* struct guest_mapping: all RAM there is and was; guarded by lock */
};

struct soft_vcpu {
	struct vcpu base;
	struct cpu *cpu;
};

static struct soft_engine *soft_engine_from(struct engine *engine)
{
	assert(engine->impl == &soft_engine);
	return container_of(engine, struct soft_engine, base);
}

static struct soft_vcpu *soft_vcpu_from(struct vcpu *vcpu)
{
	assert(vcpu->engine->impl == &soft_engine);
	return container_of(vcpu, struct soft_vcpu, base);
}

static int soft_acknowledge(struct apic_host *host)
{
	struct soft_engine *soft = container_of(host, struct soft_engine, apic_host);
	struct irqchip_board *board = soft->base.config.board;

	return board ? board->pic_acknowledge(board) : -1;
}

static void soft_eoi(struct apic_host *host, uint8_t vector)
{
	struct soft_engine *soft = container_of(host, struct soft_engine, apic_host);
	struct irqchip_board *board = soft->base.config.board;

	if (board) {
		board->eoi(board, vector);
	}
}

static void soft_send_msi(struct irqchip *irqchip, uint64_t address, uint32_t data)
{
	struct soft_engine *soft = container_of(irqchip, struct soft_engine, irqchip);

	apic_bus_deliver(soft->bus, address, data);
}

static void soft_set_extint(struct irqchip *irqchip, bool level)
{
	struct soft_engine *soft = container_of(irqchip, struct soft_engine, irqchip);

	apic_bus_set_extint(soft->bus, level);
}

static struct irq_route *soft_route_create(struct irqchip *irqchip, int fd, GError **error)
{
	struct soft_engine *soft = container_of(irqchip, struct soft_engine, irqchip);

	return irq_pump_route_create(soft->pump, fd, error);
}

static void soft_route_set(struct irqchip *irqchip, struct irq_route *route, uint64_t address,
		uint32_t data, bool masked)
{
	struct soft_engine *soft = container_of(irqchip, struct soft_engine, irqchip);

	irq_pump_route_set(soft->pump, route, address, data, masked);
}

static void soft_route_destroy(struct irqchip *irqchip, struct irq_route *route)
{
	struct soft_engine *soft = container_of(irqchip, struct soft_engine, irqchip);

	irq_pump_route_destroy(soft->pump, route);
}

static const struct irqchip_impl soft_irqchip_impl = {
		.name = "soft",
		.send_msi = soft_send_msi,
		.set_extint = soft_set_extint,
		.route_create = soft_route_create,
		.route_set = soft_route_set,
		.route_destroy = soft_route_destroy,
};

static void soft_memory_written(struct guest_write_hook *hook, uint64_t guest, uint64_t len)
{
	struct soft_engine *soft = container_of(hook, struct soft_engine, write_hook);

	if (code_map_written(soft->code, guest, len)) {
		smp_settle(soft->smp, CPU_REQUEST_CODE);
	}
}

static void soft_ram_add(
		struct address_space_listener *listener, const struct guest_region_info *info)
{
	struct soft_engine *soft = container_of(listener, struct soft_engine, listener);
	struct guest_memory *memory = address_space_memory(soft->base.config.memory);
	struct guest_mapping mapping;

	if (guest_memory_map(memory, info->guest, info->size, GUEST_READ, &mapping)) {
		g_mutex_lock(&soft->lock);
		g_array_append_val(soft->kept, mapping);
		g_mutex_unlock(&soft->lock);
	}
	smp_request(soft->smp, NULL, CPU_REQUEST_TLB_FLUSH);
}

static void soft_ram_del(
		struct address_space_listener *listener, const struct guest_region_info *info)
{
	struct soft_engine *soft = container_of(listener, struct soft_engine, listener);

	code_map_written(soft->code, info->guest, info->size);
	smp_request(soft->smp, NULL, CPU_REQUEST_TLB_FLUSH);
}

/* Code that another process overwrote must be decoded anew before the guest hears of it. */
static void soft_sync_writes(void *opaque)
{
	struct soft_engine *soft = opaque;
	struct engine_events *events = soft->base.config.events;

	if (events->sync_writes) {
		events->sync_writes(events);
	}
}

static void destroy_cpu(void *opaque)
{
	struct cpu *cpu = opaque;

	apic_destroy(cpu->apic);
	block_cache_destroy(cpu->blocks);
	translator_destroy(cpu->translator);
	lockstep_stop(cpu);
	cpu_destroy(cpu);
}

static void create_perf_map(struct soft_engine *soft)
{
	g_autoptr(GError) error = NULL;

	soft->perf_map = perf_map_create(&error);
	if (!soft->perf_map) {
		log_warn("%s: perf will not know translated code by name", error->message);
	}
}

static bool soft_init(struct engine *engine, GError **error)
{
	struct soft_engine *soft = soft_engine_from(engine);
	struct guest_memory *memory = address_space_memory(engine->config.memory);

	g_mutex_init(&soft->lock);
	soft->cpus = g_ptr_array_new_with_free_func(destroy_cpu);
	soft->kept = g_array_new(FALSE, FALSE, sizeof(struct guest_mapping));
	soft->irqchip.impl = &soft_irqchip_impl;
	soft->irqchip.board = engine->config.board;
	soft->apic_host = (struct apic_host){.acknowledge = soft_acknowledge, .eoi = soft_eoi};
	soft->bus = apic_bus_create(&soft->apic_host);
	soft->code = code_map_create();
	soft->smp = smp_create();
	soft->tsc_base = __rdtsc();
	native_prepare();
	if (engine->config.perf_map) {
		create_perf_map(soft);
	}
	soft->pump = irq_pump_create(&soft->irqchip, soft_sync_writes, soft, error);
	if (!soft->pump) {
		return false;
	}
	soft->write_hook.written = soft_memory_written;
	guest_memory_set_write_hook(memory, &soft->write_hook);
	soft->listener = (struct address_space_listener){
			.ram_add = soft_ram_add,
			.ram_del = soft_ram_del,
	};
	address_space_add_listener(engine->config.memory, &soft->listener);
	engine->irqchip = &soft->irqchip;
	return true;
}

static void soft_finish(struct engine *engine)
{
	struct soft_engine *soft = soft_engine_from(engine);
	struct guest_memory *memory = address_space_memory(engine->config.memory);

	if (soft->listener.ram_add) {
		address_space_remove_listener(engine->config.memory, &soft->listener);
		guest_memory_set_write_hook(memory, NULL);
	}
	for (guint i = 0; soft->kept && i < soft->kept->len; i++) {
		guest_mapping_unmap(memory, &g_array_index(soft->kept, struct guest_mapping, i), 0);
	}
	irq_pump_destroy(soft->pump);
	for (guint i = 0; soft->cpus && i < soft->cpus->len && log_wants(LOG_ITEM_STATS); i++) {
		stats_log_call_outs(&((struct cpu *)g_ptr_array_index(soft->cpus, i))->stats, i);
	}
	if (soft->cpus) {
		g_ptr_array_free(soft->cpus, TRUE);
	}
	apic_bus_destroy(soft->bus);
	code_map_destroy(soft->code);
	smp_destroy(soft->smp);
	perf_map_destroy(soft->perf_map);
	if (soft->kept) {
		g_array_free(soft->kept, TRUE);
		g_mutex_clear(&soft->lock);
	}
}

static void soft_offer(struct engine *engine, struct cpu_offer *ret_offer)
{
	(void)engine;
	*ret_offer = *features_offer();
}

/* Bytes of translated code for each vCPU. */
static size_t translated_size(const struct engine_config *config)
{
	return MAX(config->tb_size / config->vcpus, TRANSLATED_SIZE_MIN);
}

static bool soft_vcpu_init(struct vcpu *vcpu, GError **error)
{
	struct soft_engine *soft = soft_engine_from(vcpu->engine);
	const struct engine_config *config = &vcpu->engine->config;
	struct cpu *cpu = cpu_create(vcpu->index, address_space_memory(config->memory),
			config->memory, config->ports, config->clock);

	(void)error;
	cpu->engine = soft;
	cpu->count = config->vcpus;
	cpu->features = vcpu->engine->cpu_features;
	cpu->identity = vcpu->engine->cpu_identity;
	cpu->tsc_base = soft->tsc_base;
	cpu->blocks = block_cache_create(
			soft->code, MIN(DECODED_SIZE, DECODED_SIZE_ALL / config->vcpus));
	cpu->self = cpu;
	cpu->fsgsbase = cpu->fsgsbase && !config->no_fsgsbase;
	cpu->perf_map = soft->perf_map;
	if (config->tb_size) {
		cpu->translator = translator_create(cpu, translated_size(config));
		cpu->blocks->translator = cpu->translator;
		if (!cpu->translator) {
			log_warn("no memory for translated code: the guest's code is interpreted");
		} else if (config->check_translation) {
			lockstep_start(cpu);
		}
	}
	g_mutex_lock(&soft->lock);
	apic_create(soft->bus, cpu);
	g_ptr_array_add(soft->cpus, cpu);
	smp_add(soft->smp, cpu);
	g_mutex_unlock(&soft->lock);
	__atomic_store_n(&soft_vcpu_from(vcpu)->cpu, cpu, __ATOMIC_RELEASE);
	return true;
}

/* The processor stays until the engine ends: others may still send it interrupts and kick it. */
static void soft_vcpu_finish(struct vcpu *vcpu)
{
	(void)vcpu;
}

/* Requests that reach a vCPU between two stretches of guest code. */
static void take_init(struct cpu *cpu)
{
	__atomic_fetch_and(&cpu->request, ~(uint32_t)(CPU_REQUEST_INIT | CPU_REQUEST_NMI),
			__ATOMIC_SEQ_CST);
	apic_reset(cpu->apic, true);
	cpu_reset(cpu, true);
}

static void take_sipi(struct cpu *cpu)
{
	__atomic_fetch_and(&cpu->request, ~(uint32_t)CPU_REQUEST_SIPI, __ATOMIC_SEQ_CST);
	if (cpu->activity == CPU_WAIT_FOR_SIPI) {
		cpu_start_at(cpu, apic_sipi_vector(cpu->apic));
	}
}

/* The vCPU is inside. */
static enum vcpu_exit run(struct cpu *cpu)
{
	for (;;) {
		cpu_run(cpu);
		if (unlikely(lockstep_failed(cpu))) {
			return VCPU_EXIT_ERROR;
		}
		uint32_t request = __atomic_load_n(&cpu->request, __ATOMIC_ACQUIRE);
		if (cpu->debugger_stop) {
			cpu->debugger_stop = false;
			return VCPU_EXIT_DEBUG;
		}
		if (request & CPU_REQUEST_EXIT) {
			__atomic_fetch_and(&cpu->request, ~(uint32_t)CPU_REQUEST_EXIT,
					__ATOMIC_SEQ_CST);
			return VCPU_EXIT_KICKED;
		}
		if (request & CPU_REQUEST_INIT) {
			take_init(cpu);
		} else if (request & CPU_REQUEST_SIPI) {
			take_sipi(cpu);
		} else if (cpu->activity == CPU_SHUTDOWN) {
			return VCPU_EXIT_SHUTDOWN;
		} else if (cpu->activity == CPU_WAIT_FOR_SIPI) {
			cpu_wait(cpu);
		}
	}
}

static enum vcpu_exit soft_vcpu_run(struct vcpu *vcpu)
{
	struct cpu *cpu = soft_vcpu_from(vcpu)->cpu;

	pv_resume(cpu);
	smp_enter(cpu);
	enum vcpu_exit reason = run(cpu);
	smp_attend(cpu);
	smp_leave(cpu);
	pv_leave(cpu);
	return reason;
}

static void soft_vcpu_kick(struct vcpu *vcpu)
{
	/* NULL: not begun yet, or never going to */
	struct cpu *cpu = __atomic_load_n(&soft_vcpu_from(vcpu)->cpu, __ATOMIC_ACQUIRE);

	if (cpu) {
		cpu_request(cpu, CPU_REQUEST_EXIT);
	}
}

static void soft_vcpu_reset(struct vcpu *vcpu)
{
	struct cpu *cpu = soft_vcpu_from(vcpu)->cpu;

	__atomic_store_n(&cpu->request, 0, __ATOMIC_SEQ_CST);
	block_cache_clear(cpu->blocks);
	apic_reset(cpu->apic, false);
	cpu_reset(cpu, false);
}

static void soft_vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state)
{
	cpu_get_state(soft_vcpu_from(vcpu)->cpu, ret_state);
}

static void soft_vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
	cpu_set_state(soft_vcpu_from(vcpu)->cpu, state);
}

static bool soft_vcpu_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *ret_physical)
{
	return mmu_translate_debug(soft_vcpu_from(vcpu)->cpu, linear, ret_physical);
}

static bool soft_vcpu_set_debug(struct vcpu *vcpu, unsigned flags)
{
	struct cpu *cpu = soft_vcpu_from(vcpu)->cpu;

	cpu->debugger_step = flags & VCPU_DEBUG_SINGLE_STEP;
	cpu->debugger_breakpoints = flags & VCPU_DEBUG_BREAKPOINTS;
	return true;
}

static void soft_vcpu_pass_breakpoint(struct vcpu *vcpu)
{
	soft_vcpu_from(vcpu)->cpu->debugger_pass_breakpoint = true;
}

/* What the vCPU has of tables, beside its registers. */
static uint64_t tlb_bytes(const struct cpu *cpu)
{
	return sizeof(cpu->tlbs) + sizeof(cpu->tlb_parts) +
	       (cpu->slot_count - 1) * 2 * sizeof(struct tlb);
}

enum soft_stat {
	SOFT_STAT_RAM_BYTES,
	SOFT_STAT_COUNT,
};

static const struct engine_stat soft_stats[] = {
		[SOFT_STAT_RAM_BYTES] = {.name = "ram_bytes_reserved",
				.type = ENGINE_STAT_INSTANT,
				.unit = ENGINE_STAT_BYTES},
		[SOFT_STAT_COUNT] = {0},
};

/* Address space of the host, RAM that is gone included; how much of it is backed is the host's to say. */
static void soft_read_stats(struct engine *engine, uint64_t *ret_values)
{
	struct soft_engine *soft = soft_engine_from(engine);
	uint64_t reserved = 0;

	g_mutex_lock(&soft->lock);
	for (guint i = 0; i < soft->kept->len; i++) {
		reserved += g_array_index(soft->kept, struct guest_mapping, i).len;
	}
	g_mutex_unlock(&soft->lock);
	ret_values[SOFT_STAT_RAM_BYTES] = reserved;
}

static void soft_vcpu_read_stats(struct vcpu *vcpu, uint64_t *ret_values)
{
	/* NULL: not begun yet */
	const struct cpu *cpu = __atomic_load_n(&soft_vcpu_from(vcpu)->cpu, __ATOMIC_ACQUIRE);

	if (!cpu) {
		memset(ret_values, 0, STAT_COUNT * sizeof(*ret_values));
		return;
	}
	stats_read(&cpu->stats, ret_values);
	ret_values[STAT_INSTRUCTIONS] = __atomic_load_n(&cpu->instructions, __ATOMIC_RELAXED);
	ret_values[STAT_BLOCK_BYTES] = block_cache_size(cpu->blocks);
	ret_values[STAT_CODE_BYTES] = cpu->translator ? translated_size(&vcpu->engine->config) : 0;
	ret_values[STAT_TLB_BYTES] = tlb_bytes(cpu);
	ret_values[STAT_TABLE_BYTES] = sizeof(struct block_cache) +
				       (cpu->translator ? translator_table_bytes() : 0);
}

const struct engine_impl soft_engine = {
		.name = "soft",
		.size = sizeof(struct soft_engine),
		.vcpu_size = sizeof(struct soft_vcpu),
		.init = soft_init,
		.finish = soft_finish,
		.offer = soft_offer,
		.vcpu_init = soft_vcpu_init,
		.vcpu_finish = soft_vcpu_finish,
		.vcpu_run = soft_vcpu_run,
		.vcpu_kick = soft_vcpu_kick,
		.vcpu_reset = soft_vcpu_reset,
		.vcpu_get_state = soft_vcpu_get_state,
		.vcpu_set_state = soft_vcpu_set_state,
		.vcpu_translate = soft_vcpu_translate,
		.vcpu_set_debug = soft_vcpu_set_debug,
		.vcpu_pass_breakpoint = soft_vcpu_pass_breakpoint,
		.stats = soft_stats,
		.vcpu_stats = stats_table,
		.read_stats = soft_read_stats,
		.vcpu_read_stats = soft_vcpu_read_stats,
};
