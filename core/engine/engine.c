/* SPDX-License-Identifier: MIT */
#include "core/engine/engine.h"

#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/engine/engines.h"
#include "core/sandbox/sandbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static __thread struct vcpu *current_vcpu;

struct vcpu *vcpu_current(void)
{
	return current_vcpu;
}

static const struct engine_impl *find_impl(const char *name)
{
	for (unsigned i = 0; engine_impls[i]; i++) {
		if (strcmp(engine_impls[i]->name, name) == 0) {
			return engine_impls[i];
		}
	}
	return NULL;
}

const char *const *engine_names(void)
{
	static const char *names[ENGINE_MAX_IMPLS + 1];

	for (unsigned i = 0; engine_impls[i]; i++) {
		names[i] = engine_impls[i]->name;
	}
	return names;
}

const char *engine_default(char **ret_reason)
{
	const char *chosen = NULL;
	g_autoptr(GString) reason = g_string_new(NULL);

	for (unsigned i = 0; engine_impls[i] && !chosen; i++) {
		const struct engine_impl *impl = engine_impls[i];
		g_autoptr(GError) error = NULL;
		if (!impl->probe || impl->probe(&error)) {
			chosen = impl->name;
		} else {
			g_string_append_printf(
					reason, "%s not used: %s", impl->name, error->message);
		}
	}
	assert(chosen); /* the last engine has no probe */
	*ret_reason = g_strdup_printf("accelerator %s%s%s%s", chosen, reason->len ? " (" : "",
			reason->str, reason->len ? ")" : "");
	return chosen;
}

/* Waits until the vCPU may run; false when its thread should end. */
static bool wait_to_run(struct vcpu *vcpu)
{
	struct engine *engine = vcpu->engine;

	g_mutex_lock(&engine->lock);
	while ((!engine->running || vcpu->held) && !engine->quit) {
		if (!vcpu->standing) {
			vcpu->standing = true;
			g_cond_broadcast(&engine->changed);
		}
		g_cond_wait(&engine->changed, &engine->lock);
	}
	bool run = !engine->quit;
	vcpu->standing = !run;
	g_mutex_unlock(&engine->lock);
	return run;
}

/* After a stop that the machine must decide: stands still until engine_stop() was called. */
static void park(struct vcpu *vcpu)
{
	struct engine *engine = vcpu->engine;

	g_mutex_lock(&engine->lock);
	vcpu->standing = true;
	g_cond_broadcast(&engine->changed);
	/* Counted, because the next start may come before this thread has woken from the stop. */
	unsigned stops = engine->stops;
	while (engine->running && engine->stops == stops && !engine->quit) {
		g_cond_wait(&engine->changed, &engine->lock);
	}
	g_mutex_unlock(&engine->lock);
}

/* For -d cpu_reset, in the order of the architecture's manuals. The vCPU stands still. */
static void log_state(struct vcpu *vcpu, const char *why)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
			"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	static const char segments[][3] = {"es", "cs", "ss", "ds", "fs", "gs"};
	g_autoptr(GString) text = g_string_new(NULL);
	struct x86_state s;

	vcpu_get_state(vcpu, &s);
	g_string_append_printf(text, "cpu_reset: cpu %u: %s", vcpu->index, why);
	for (unsigned i = 0; i < X86_REG_COUNT; i++) {
		g_string_append_printf(text, "%s%3s %016" PRIx64,
				i % 4 == 0 ? "\ncpu_reset: " : " ", names[i], s.regs[i]);
	}
	g_string_append_printf(
			text, "\ncpu_reset: rip %016" PRIx64 " rflags %08" PRIx64, s.rip, s.rflags);
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		g_string_append_printf(text,
				"\ncpu_reset: %s %04x base %016" PRIx64
				" limit %08x attributes %05x",
				segments[i], s.seg[i].selector, s.seg[i].base, s.seg[i].limit,
				s.seg[i].attributes);
	}
	g_string_append_printf(text, "\ncpu_reset: gdt %016" PRIx64 " %04x idt %016" PRIx64 " %04x",
			s.gdtr.base, s.gdtr.limit, s.idtr.base, s.idtr.limit);
	g_string_append_printf(text,
			"\ncpu_reset: cr0 %08" PRIx64 " cr2 %016" PRIx64 " cr3 %016" PRIx64
			" cr4 %08" PRIx64 " efer %04" PRIx64,
			s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
	log_item_line("%s", text->str);
}

/* Before its first guest instruction. False if that cannot be; it was said why. */
static bool confine(struct vcpu *vcpu)
{
	g_autoptr(GError) error = NULL;

	if (!vcpu->confined && !sandbox_enter(SANDBOX_VCPU, &error)) {
		log_error("vCPU %u: %s", vcpu->index, error->message);
		return false;
	}
	vcpu->confined = true;
	return true;
}

static void vcpu_main(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct engine *engine = vcpu->engine;
	const struct engine_impl *impl = engine->impl;
	g_autoptr(GError) error = NULL;

	current_vcpu = vcpu;
	if (!impl->vcpu_init(vcpu, &error)) {
		log_error("%s: vCPU %u: %s", impl->name, vcpu->index, error->message);
		engine->config.events->vcpu_stopped(engine->config.events, vcpu, VCPU_EXIT_ERROR);
		park(vcpu);
	} else {
		impl->vcpu_reset(vcpu);
		while (wait_to_run(vcpu)) {
			enum vcpu_exit reason = confine(vcpu) ? impl->vcpu_run(vcpu)
							      : VCPU_EXIT_ERROR;
			if (reason == VCPU_EXIT_SHUTDOWN && log_wants(LOG_ITEM_CPU_RESET)) {
				log_state(vcpu, "triple fault");
			}
			if (reason != VCPU_EXIT_KICKED) {
				engine->config.events->vcpu_stopped(
						engine->config.events, vcpu, reason);
				park(vcpu);
			}
		}
	}
	impl->vcpu_finish(vcpu);
}

static bool start_vcpus(struct engine *engine, GError **error)
{
	engine->vcpus = g_new0(struct vcpu *, engine->config.vcpus);
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		void *memory = NULL;
		/* Cache-line aligned: engines keep hot state and FXSAVE images in it. */
		if (posix_memalign(&memory, 64, engine->impl->vcpu_size) != 0) {
			g_error("out of memory");
		}
		memset(memory, 0, engine->impl->vcpu_size);
		engine->vcpus[i] = memory;
		engine->vcpus[i]->engine = engine;
		engine->vcpus[i]->index = i;
	}
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		struct vcpu *vcpu = engine->vcpus[i];
		char name[16];
		snprintf(name, sizeof(name), "vcpu-%u", i % 1000);
		if (!thread_create(&vcpu->thread, name, vcpu_main, vcpu, error)) {
			return false;
		}
		vcpu->thread_started = true;
	}
	engine_stop(engine); /* waits until all of them are ready */
	return true;
}

static bool choose_cpu(struct engine *engine, GError **error)
{
	struct cpu_offer offer = {NULL};

	engine->impl->offer(engine, &offer);
	return cpu_model_resolve(&engine->config.cpu, &offer, &engine->cpu_features,
			&engine->cpu_identity, error);
}

struct engine *engine_create(const char *name, const struct engine_config *config, GError **error)
{
	const struct engine_impl *impl = find_impl(name);
	bool cpu_chosen = true;

	if (!impl) {
		g_autofree char *known = g_strjoinv(", ", (char **)(uintptr_t)engine_names());
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"-accel %s: no such accelerator (known: %s)", name, known);
		return NULL;
	}
	struct engine *engine = g_malloc0(impl->size);
	engine->impl = impl;
	engine->config = *config;
	g_mutex_init(&engine->lock);
	g_cond_init(&engine->changed);
	if (!impl->init(engine, error) || !(cpu_chosen = choose_cpu(engine, error)) ||
			!start_vcpus(engine, error)) {
		if (cpu_chosen) {
			g_prefix_error(error, "-accel %s: ", name);
		}
		engine_destroy(engine);
		return NULL;
	}
	assert(engine->irqchip);
	return engine;
}

void engine_destroy(struct engine *engine)
{
	if (!engine) {
		return;
	}
	if (engine->vcpus) {
		/* They stand still before they end: who ends by itself cannot be kicked any more. */
		engine_stop(engine);
	}
	g_mutex_lock(&engine->lock);
	engine->quit = true;
	g_cond_broadcast(&engine->changed);
	g_mutex_unlock(&engine->lock);
	for (unsigned i = 0; engine->vcpus && i < engine->config.vcpus; i++) {
		if (engine->vcpus[i]->thread_started) {
			pthread_join(engine->vcpus[i]->thread, NULL);
		}
	}
	for (unsigned i = 0; engine->vcpus && i < engine->config.vcpus; i++) {
		free(engine->vcpus[i]);
	}
	engine->impl->finish(engine);
	g_free(engine->vcpus);
	g_cond_clear(&engine->changed);
	g_mutex_clear(&engine->lock);
	g_free(engine);
}

void engine_start(struct engine *engine)
{
	g_mutex_lock(&engine->lock);
	engine->running = true;
	g_cond_broadcast(&engine->changed);
	g_mutex_unlock(&engine->lock);
}

void engine_stop(struct engine *engine)
{
	assert(!vcpu_current());
	g_mutex_lock(&engine->lock);
	engine->running = false;
	engine->stops++;
	g_cond_broadcast(&engine->changed);
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		while (engine->vcpus[i]->thread_started && !engine->vcpus[i]->standing) {
			/* Not under the lock: an engine may need it to notice the kick. */
			g_mutex_unlock(&engine->lock);
			vcpu_kick(engine->vcpus[i]);
			g_mutex_lock(&engine->lock);
			if (!engine->vcpus[i]->standing) {
				gint64 soon = g_get_monotonic_time() + 10 * G_TIME_SPAN_MILLISECOND;
				(void)g_cond_wait_until(&engine->changed, &engine->lock, soon);
			}
		}
	}
	g_mutex_unlock(&engine->lock);
}

void engine_hold(struct vcpu *vcpu, bool held)
{
	struct engine *engine = vcpu->engine;

	g_mutex_lock(&engine->lock);
	assert(vcpu->standing);
	vcpu->held = held;
	g_cond_broadcast(&engine->changed);
	g_mutex_unlock(&engine->lock);
}

void engine_reset(struct engine *engine)
{
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		assert(engine->vcpus[i]->standing);
		if (log_wants(LOG_ITEM_CPU_RESET)) {
			log_state(engine->vcpus[i], "reset, before it");
		}
		engine->impl->vcpu_reset(engine->vcpus[i]);
	}
}

void vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state)
{
	vcpu->engine->impl->vcpu_get_state(vcpu, ret_state);
}

void vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
	vcpu->engine->impl->vcpu_set_state(vcpu, state);
}

void vcpu_kick(struct vcpu *vcpu)
{
	vcpu->engine->impl->vcpu_kick(vcpu);
}
