/* SPDX-License-Identifier: MIT */
/*
 * Who executes guest code: kvm, soft (our own CPU), later xen. The machine above is the same with
 * each of them, and a machine whose engine has no vCPU threads of ours must work.
 *
 * An engine dispatches memory and port accesses of its vCPUs to the machine's address spaces by
 * itself; what comes back from a vCPU is only what the machine must decide.
 */
#ifndef CORE_ENGINE_ENGINE_H
#define CORE_ENGINE_ENGINE_H

#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/engine/cpu_model.h"
#include "core/engine/irqchip.h"
#include "core/engine/x86.h"
#include "core/memory/address_space.h"

#include <pthread.h>

#define ENGINE_MAX_VCPUS 64

struct engine;
struct vcpu;

enum vcpu_exit {
	VCPU_EXIT_KICKED, /* vcpu_kick() was called: look at what is wanted */
	VCPU_EXIT_SHUTDOWN, /* triple fault */
	VCPU_EXIT_DEBUG, /* breakpoint or single step of the debugger */
	VCPU_EXIT_ERROR, /* the engine cannot go on; it has logged why */
};

/* What the engine tells the machine. Called on vCPU threads. */
struct engine_events {
	/*
	 * A vCPU stopped for good or for the debugger (SHUTDOWN, DEBUG, ERROR). The thread waits in
	 * the engine afterwards.
	 */
	void (*vcpu_stopped)(
			struct engine_events *events, struct vcpu *vcpu, enum vcpu_exit reason);
	/*
	 * Another process is about to interrupt the guest: what it wrote to guest memory is to be
	 * handed to guest_memory_written() first. For engines that keep decoded code; on their
	 * interrupt pump's thread. May be NULL.
	 */
	void (*sync_writes)(struct engine_events *events);
};

struct engine_config {
	unsigned vcpus; /* 1..ENGINE_MAX_VCPUS */
	struct address_space *memory, *ports;
	struct clock *clock;
	struct irqchip_board *board;
	struct engine_events *events;
	/* of the software CPU: bytes of translated code, for all vCPUs; 0: all is interpreted */
	uint64_t tb_size;
	/* of the software CPU with one vCPU: translations are compared with the interpreter; slow */
	bool check_translation;
	bool no_fsgsbase; /* of the software CPU: the host's WRGSBASE is not used */
	struct cpu_model cpu; /* which processor the guest is to see */
	bool perf_map; /* of the software CPU: perf shall know translated code by name */
};

enum vcpu_debug_flag {
	VCPU_DEBUG_SINGLE_STEP = 1 << 0,
	VCPU_DEBUG_BREAKPOINTS = 1 << 1, /* int3 goes to the debugger, not the guest */
};

enum engine_stat_type {
	ENGINE_STAT_CUMULATIVE, /* only grows */
	ENGINE_STAT_INSTANT,
};

enum engine_stat_unit {
	ENGINE_STAT_NUMBER,
	ENGINE_STAT_BYTES,
};

/* One of the numbers that an engine can tell about itself. */
struct engine_stat {
	const char *name; /* NULL ends a table */
	enum engine_stat_type type;
	enum engine_stat_unit unit;
};

/* No table of them is longer, its end not counted. */
#define ENGINE_MAX_STATS 64

struct engine_impl {
	const char *name; /* as in -accel */
	size_t size; /* of the engine object, which begins with struct engine */
	size_t vcpu_size; /* of the vCPU object, which begins with struct vcpu */

	/* Whether it can work here; the error says why not. May be NULL (always). */
	bool (*probe)(GError **error);
	/* Sets up the VM and engine->irqchip. Required. Tolerant finish. */
	bool (*init)(struct engine *engine, GError **error);
	void (*finish)(struct engine *engine);
	/* What guests' processors may have; after init. Required. */
	void (*offer)(struct engine *engine, struct cpu_offer *ret_offer);
	bool (*vcpu_init)(struct vcpu *vcpu, GError **error); /* on the vCPU's thread */
	void (*vcpu_finish)(struct vcpu *vcpu); /* on the vCPU's thread */
	/* Runs guest code until there is something to decide. */
	enum vcpu_exit (*vcpu_run)(struct vcpu *vcpu);
	/* Makes a running or halted vCPU return KICKED soon. Any thread. */
	void (*vcpu_kick)(struct vcpu *vcpu);
	/* Power-up state; the boot CPU ready to run, others waiting for SIPI. vCPU stands still. */
	void (*vcpu_reset)(struct vcpu *vcpu);
	/* vCPU stands still; any thread. */
	void (*vcpu_get_state)(struct vcpu *vcpu, struct x86_state *ret_state);
	void (*vcpu_set_state)(struct vcpu *vcpu, const struct x86_state *state);
	/* Linear to guest-physical as the vCPU's page tables say; for the debugger. */
	bool (*vcpu_translate)(struct vcpu *vcpu, uint64_t linear, uint64_t *ret_physical);
	/* flags: enum vcpu_debug_flag. */
	bool (*vcpu_set_debug)(struct vcpu *vcpu, unsigned flags);
	/*
	 * The int3 that the vCPU stands at is the guest's own: when it runs again the guest gets
	 * it, whatever the debug flags say. May be NULL.
	 */
	void (*vcpu_pass_breakpoint)(struct vcpu *vcpu);
	/*
	 * What it counts for the machine and for each vCPU, NULL: nothing; and the numbers, in the
	 * order of the table. Any thread, the machine running or not.
	 */
	const struct engine_stat *stats, *vcpu_stats;
	void (*read_stats)(struct engine *engine, uint64_t *ret_values);
	void (*vcpu_read_stats)(struct vcpu *vcpu, uint64_t *ret_values);
};

struct vcpu {
	struct engine *engine;
	unsigned index; /* 0 is the boot CPU; also the APIC id */
	pthread_t thread;
	bool thread_started;
	bool confined; /* the thread's own: it has its list of system calls */
	/* guarded by engine->lock */
	bool standing; /* not in vcpu_run */
	bool held; /* stands although the engine runs */
};

struct engine {
	const struct engine_impl *impl;
	struct engine_config config;
	struct irqchip *irqchip; /* set by init */
	/* What config.cpu comes to here; from before vCPUs are made. */
	struct cpu_features cpu_features;
	struct cpu_identity cpu_identity;
	struct vcpu **vcpus; /* config.vcpus of them */

	GMutex lock;
	GCond changed; /* standing, running, quit */
	bool running; /* vCPUs should execute; guarded by lock */
	unsigned stops; /* calls of engine_stop(); guarded by lock */
	bool quit; /* vCPU threads should end; guarded by lock */
};

/* Creates the named engine and its vCPU threads, standing still and reset. */
struct engine *engine_create(const char *name, const struct engine_config *config, GError **error);
void engine_destroy(struct engine *engine); /* stops everything; may be NULL */

/*
 * "kvm" where it really works, else "soft"; *ret_reason (owned by the caller) is one line saying
 * which and why. A /dev/kvm that only emulates instruction by instruction, or cannot run a stock
 * kernel, does not count as working.
 */
const char *engine_default(char **ret_reason);

/* NULL-terminated names of the engines built in. */
const char *const *engine_names(void);

/* Lets vCPUs run; stops them and waits until all stand still (not from a vCPU thread). */
void engine_start(struct engine *engine);
void engine_stop(struct engine *engine);

/* Whether a vCPU stays where it is when the others are started; while it stands still. */
void engine_hold(struct vcpu *vcpu, bool held);

/* Resets all vCPUs; they stand still. */
void engine_reset(struct engine *engine);

void vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state);
void vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state);
void vcpu_kick(struct vcpu *vcpu);

/* The vCPU whose thread this is, NULL on others. */
struct vcpu *vcpu_current(void);

#endif
