/* SPDX-License-Identifier: MIT */
#include "programs/debugger.h"

#include "core/base/log.h"
#include "core/control/gdb.h"
#include "hw/pc/pc.h"

struct debugger {
	struct gdb_control control;
	struct gdb_stub *stub;
	struct pc *pc;
	void (*quit)(void *opaque);
	void *opaque;
};

static void debugger_stop(struct gdb_control *control)
{
	pc_stop(container_of(control, struct debugger, control)->pc);
}

static void debugger_start(struct gdb_control *control)
{
	pc_start(container_of(control, struct debugger, control)->pc);
}

static void debugger_quit(struct gdb_control *control)
{
	struct debugger *debugger = container_of(control, struct debugger, control);

	debugger->quit(debugger->opaque);
}

struct debugger *debugger_create(const char *address, struct pc *pc, void (*quit)(void *opaque),
		void *opaque, GError **error)
{
	struct gdb_stub *stub = gdb_stub_create(address, pc_machine(pc)->engine, error);

	if (!stub) {
		g_prefix_error(error, "-gdb: ");
		return NULL;
	}
	struct debugger *debugger = g_new0(struct debugger, 1);
	*debugger = (struct debugger){
			.control = {.stop = debugger_stop,
					.start = debugger_start,
					.quit = debugger_quit},
			.stub = stub,
			.pc = pc,
			.quit = quit,
			.opaque = opaque,
	};
	gdb_stub_set_control(stub, &debugger->control);
	log_info("waiting for a debugger at port %u", gdb_stub_port(stub));
	return debugger;
}

void debugger_destroy(struct debugger *debugger)
{
	if (debugger) {
		gdb_stub_destroy(debugger->stub);
		g_free(debugger);
	}
}

bool debugger_vcpu_stopped(struct debugger *debugger, struct vcpu *vcpu, enum vcpu_exit reason)
{
	return debugger && gdb_stub_vcpu_stopped(debugger->stub, vcpu, reason);
}
