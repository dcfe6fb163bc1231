/* SPDX-License-Identifier: MIT */
/*
 * The commands of gdb's remote protocol ("Packets", "General Query Packets" and "vCont" in its
 * manual). What is not here is answered with an empty packet, and gdb does without it.
 */
#include "core/control/gdb.h"

#include "core/base/log.h"
#include "core/control/gdb_link.h"
#include "core/control/gdb_regs.h"

#include <stdlib.h>
#include <string.h>

#define INT3 0xccu
#define MAX_BREAKPOINTS 1024
#define MAX_MEMORY (GDB_PACKET_SIZE / 2 - 16) /* bytes in one packet, in hex */
#define SIGNAL_INT 2u
#define SIGNAL_TRAP 5u

enum resume_action {
	RESUME_HOLD, /* stands still while others run */
	RESUME_CONTINUE,
	RESUME_STEP,
};

struct gdb_breakpoint {
	uint64_t linear, physical;
	uint8_t original; /* the byte that int3 has replaced */
};

struct gdb_stub {
	struct gdb_link_user link_user;
	struct gdb_link *link;
	struct engine *engine;
	struct gdb_control *control; /* may be NULL */

	bool connected;
	bool stopped; /* the guest stands still for the debugger */
	bool knows_swbreak; /* the debugger understands that reason of a stop */
	struct vcpu *selected; /* by Hg and every stop: registers and memory are its */
	unsigned last_signal; /* why it stopped */
	bool last_swbreak;
	enum resume_action actions[ENGINE_MAX_VCPUS]; /* of the last resume */
	GArray *breakpoints; /* struct gdb_breakpoint */
	char *description;
};

static void reply(struct gdb_stub *stub, const char *text)
{
	gdb_link_send(stub->link, text);
}

static void reply_ok(struct gdb_stub *stub, bool ok)
{
	reply(stub, ok ? "OK" : "E01");
}

static unsigned thread_id(const struct vcpu *vcpu)
{
	return vcpu->index + 1; /* 0 and -1 mean "any" and "all" */
}

/* The vCPU a thread id names; "0" and "-1" are the selected one. NULL if there is none. */
static struct vcpu *find_thread(const struct gdb_stub *stub, const char *text)
{
	long id = strtol(text, NULL, 16);

	if (id == 0 || id == -1) {
		return stub->selected;
	}
	return id > 0 && id <= (long)stub->engine->config.vcpus ? stub->engine->vcpus[id - 1]
								: NULL;
}

/*
 * Guest memory.
 */

static bool translate(struct gdb_stub *stub, uint64_t linear, uint64_t *ret_physical)
{
	const struct engine_impl *impl = stub->engine->impl;

	return impl->vcpu_translate && impl->vcpu_translate(stub->selected, linear, ret_physical);
}

static struct guest_memory *memory_of(const struct gdb_stub *stub)
{
	return address_space_memory(stub->engine->config.memory);
}

/* What remains of len from linear on in its page. */
static size_t within_page(uint64_t linear, size_t len)
{
	return MIN(len, (size_t)(GUEST_PAGE_SIZE - linear % GUEST_PAGE_SIZE));
}

static struct gdb_breakpoint *find_breakpoint(const struct gdb_stub *stub, uint64_t linear)
{
	for (unsigned i = 0; i < stub->breakpoints->len; i++) {
		struct gdb_breakpoint *breakpoint = &g_array_index(
				stub->breakpoints, struct gdb_breakpoint, i);
		if (breakpoint->linear == linear) {
			return breakpoint;
		}
	}
	return NULL;
}

/* Reads as much as there is; returns how much. Breakpoints do not show. */
static size_t read_memory(struct gdb_stub *stub, uint64_t linear, uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = within_page(linear + done, len - done);
		uint64_t physical;
		if (!translate(stub, linear + done, &physical) ||
				!guest_memory_read(memory_of(stub), physical, data + done, piece)) {
			break;
		}
		done += piece;
	}
	for (unsigned i = 0; i < stub->breakpoints->len; i++) {
		const struct gdb_breakpoint *breakpoint = &g_array_index(
				stub->breakpoints, struct gdb_breakpoint, i);
		if (breakpoint->linear - linear < done) {
			data[breakpoint->linear - linear] = breakpoint->original;
		}
	}
	return done;
}

/* Breakpoints stay; what is written in their place comes to light when they go. */
static bool write_memory(struct gdb_stub *stub, uint64_t linear, uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < stub->breakpoints->len; i++) {
		struct gdb_breakpoint *breakpoint = &g_array_index(
				stub->breakpoints, struct gdb_breakpoint, i);
		if (breakpoint->linear - linear < len) {
			breakpoint->original = data[breakpoint->linear - linear];
			data[breakpoint->linear - linear] = INT3;
		}
	}
	for (size_t done = 0; done < len;) {
		size_t piece = within_page(linear + done, len - done);
		uint64_t physical;
		if (!translate(stub, linear + done, &physical) ||
				!guest_memory_write(
						memory_of(stub), physical, data + done, piece)) {
			return false;
		}
		done += piece;
	}
	return true;
}

static bool add_breakpoint(struct gdb_stub *stub, uint64_t linear)
{
	struct gdb_breakpoint breakpoint = {.linear = linear};
	const uint8_t int3 = INT3;

	if (find_breakpoint(stub, linear)) {
		return true;
	}
	if (stub->breakpoints->len >= MAX_BREAKPOINTS ||
			!translate(stub, linear, &breakpoint.physical) ||
			!guest_memory_read(memory_of(stub), breakpoint.physical,
					&breakpoint.original, 1) ||
			!guest_memory_write(memory_of(stub), breakpoint.physical, &int3, 1)) {
		return false;
	}
	g_array_append_val(stub->breakpoints, breakpoint);
	return true;
}

/* Takes the int3 away, unless the guest has written something else in its place. */
static void restore_byte(struct gdb_stub *stub, const struct gdb_breakpoint *breakpoint)
{
	uint8_t now;

	if (guest_memory_read(memory_of(stub), breakpoint->physical, &now, 1) && now == INT3) {
		(void)guest_memory_write(memory_of(stub), breakpoint->physical,
				&breakpoint->original, 1); /* fails if the RAM is gone */
	}
}

static bool remove_breakpoint(struct gdb_stub *stub, uint64_t linear)
{
	struct gdb_breakpoint *breakpoint = find_breakpoint(stub, linear);

	if (!breakpoint) {
		return false;
	}
	restore_byte(stub, breakpoint);
	g_array_remove_index_fast(stub->breakpoints,
			(guint)(breakpoint -
					(struct gdb_breakpoint *)(void *)stub->breakpoints->data));
	return true;
}

static void remove_all_breakpoints(struct gdb_stub *stub)
{
	for (unsigned i = 0; i < stub->breakpoints->len; i++) {
		restore_byte(stub, &g_array_index(stub->breakpoints, struct gdb_breakpoint, i));
	}
	g_array_set_size(stub->breakpoints, 0);
}

/*
 * Stopping and going on.
 */

static void stop_machine(struct gdb_stub *stub)
{
	if (stub->control) {
		stub->control->stop(stub->control);
	} else {
		engine_stop(stub->engine);
	}
	stub->stopped = true;
}

static void start_machine(struct gdb_stub *stub)
{
	stub->stopped = false;
	if (stub->control) {
		stub->control->start(stub->control);
	} else {
		engine_start(stub->engine);
	}
}

/* Tells the engine what actions say; takes effect when the machine starts. */
static void apply_actions(struct gdb_stub *stub)
{
	const struct engine_impl *impl = stub->engine->impl;
	unsigned breakpoints = stub->breakpoints->len > 0 ? VCPU_DEBUG_BREAKPOINTS : 0;

	for (unsigned i = 0; i < stub->engine->config.vcpus; i++) {
		struct vcpu *vcpu = stub->engine->vcpus[i];
		unsigned step = stub->actions[i] == RESUME_STEP ? VCPU_DEBUG_SINGLE_STEP : 0;
		if (impl->vcpu_set_debug && !impl->vcpu_set_debug(vcpu, breakpoints | step)) {
			log_warn("gdb: vCPU %u stops neither at breakpoints nor after a step", i);
		}
		engine_hold(vcpu, stub->actions[i] == RESUME_HOLD);
	}
}

static void resume(struct gdb_stub *stub)
{
	apply_actions(stub);
	start_machine(stub);
}

static void set_actions(struct gdb_stub *stub, enum resume_action action)
{
	for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
		stub->actions[i] = action;
	}
}

/* When the guest goes on it will be as if there had been no debugger. */
static void let_go(struct gdb_stub *stub)
{
	if (!stub->stopped) {
		stop_machine(stub);
	}
	remove_all_breakpoints(stub);
	set_actions(stub, RESUME_CONTINUE);
	apply_actions(stub);
}

static void report_stop(struct gdb_stub *stub)
{
	g_autofree char *text = g_strdup_printf("T%02xthread:%x;%s", stub->last_signal,
			thread_id(stub->selected),
			stub->last_swbreak && stub->knows_swbreak ? "swbreak:;" : "");

	reply(stub, text);
}

static uint64_t linear_rip(const struct x86_state *state)
{
	bool flat = (state->efer & X86_EFER_LMA) && (state->seg[X86_CS].attributes & X86_SEG_L);

	return flat ? state->rip : (uint32_t)(state->seg[X86_CS].base + state->rip);
}

/* Whether a vCPU at rip stands at an int3 that is the guest's own: a probe of its kernel, say. */
static bool at_foreign_breakpoint(struct gdb_stub *stub, uint64_t rip)
{
	uint8_t byte;

	return !find_breakpoint(stub, rip) && read_memory(stub, rip, &byte, 1) == 1 && byte == INT3;
}

bool gdb_stub_vcpu_stopped(struct gdb_stub *stub, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct x86_state state;

	if (reason != VCPU_EXIT_DEBUG) {
		return false;
	}
	if (stub->stopped) {
		return true; /* another one stopped at the same time; this one will come here again */
	}
	stop_machine(stub);
	if (!stub->connected) {
		start_machine(stub); /* it stopped just before the debugger went */
		return true;
	}
	stub->selected = vcpu;
	vcpu_get_state(vcpu, &state);
	uint64_t rip = linear_rip(&state);
	if (at_foreign_breakpoint(stub, rip) && stub->engine->impl->vcpu_pass_breakpoint) {
		stub->engine->impl->vcpu_pass_breakpoint(vcpu);
		if (stub->actions[vcpu->index] != RESUME_STEP) {
			start_machine(stub);
			return true;
		}
	}
	stub->last_signal = SIGNAL_TRAP;
	stub->last_swbreak = find_breakpoint(stub, rip) != NULL &&
			     stub->actions[vcpu->index] != RESUME_STEP;
	report_stop(stub);
	return true;
}

static void handle_interrupt(struct gdb_link_user *user)
{
	struct gdb_stub *stub = container_of(user, struct gdb_stub, link_user);

	if (!stub->stopped) {
		stop_machine(stub);
		stub->last_signal = SIGNAL_INT;
		stub->last_swbreak = false;
		report_stop(stub);
	}
}

/*
 * Commands. arguments is what follows the command's name.
 */

static void command_reason(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	report_stop(stub);
}

static void command_get_registers(struct gdb_stub *stub, const char *arguments)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct x86_state state;
	(void)arguments;

	vcpu_get_state(stub->selected, &state);
	gdb_regs_append_all(&state, text);
	reply(stub, text->str);
}

static void command_set_registers(struct gdb_stub *stub, const char *arguments)
{
	struct x86_state state;

	vcpu_get_state(stub->selected, &state);
	bool ok = gdb_regs_set_all(&state, arguments);
	if (ok) {
		vcpu_set_state(stub->selected, &state);
	}
	reply_ok(stub, ok);
}

static void command_get_register(struct gdb_stub *stub, const char *arguments)
{
	g_autoptr(GString) text = g_string_new(NULL);
	unsigned long number = strtoul(arguments, NULL, 16);
	struct x86_state state;

	vcpu_get_state(stub->selected, &state);
	bool ok = number <= UINT_MAX && gdb_regs_append(&state, (unsigned)number, text);
	reply(stub, ok ? text->str : "E01");
}

static void command_set_register(struct gdb_stub *stub, const char *arguments)
{
	char *end;
	unsigned long number = strtoul(arguments, &end, 16);
	const char *value = end + 1;
	struct x86_state state;

	vcpu_get_state(stub->selected, &state);
	bool ok = *end == '=' && number <= UINT_MAX &&
		  gdb_regs_set(&state, (unsigned)number, &value);
	if (ok) {
		vcpu_set_state(stub->selected, &state);
	}
	reply_ok(stub, ok);
}

/* "ADDRESS,LENGTH" with what may follow at *ret_rest; false if it is not that. */
static bool parse_range(const char *text, uint64_t *ret_address, size_t *ret_len, char **ret_rest)
{
	char *end;
	uint64_t address = g_ascii_strtoull(text, &end, 16);

	if (end == text || *end != ',') {
		return false;
	}
	const char *length = end + 1;
	uint64_t len = g_ascii_strtoull(length, &end, 16);
	if (end == length || len > MAX_MEMORY) {
		return false;
	}
	*ret_address = address;
	*ret_len = (size_t)len;
	*ret_rest = end;
	return true;
}

static void command_read_memory(struct gdb_stub *stub, const char *arguments)
{
	g_autoptr(GString) text = g_string_new(NULL);
	uint8_t data[MAX_MEMORY];
	uint64_t address;
	size_t len;
	char *rest;

	if (!parse_range(arguments, &address, &len, &rest)) {
		reply_ok(stub, false);
		return;
	}
	size_t done = read_memory(stub, address, data, len);
	for (size_t i = 0; i < done; i++) {
		g_string_append_printf(text, "%02x", data[i]);
	}
	reply(stub, done > 0 || len == 0 ? text->str : "E14");
}

static bool parse_hex(const char *text, uint8_t *data, size_t len)
{
	if (strlen(text) != 2 * len) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		int high = g_ascii_xdigit_value(text[2 * i]);
		int low = g_ascii_xdigit_value(text[2 * i + 1]);
		if (high < 0 || low < 0) {
			return false;
		}
		data[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

static void command_write_memory(struct gdb_stub *stub, const char *arguments)
{
	uint8_t data[MAX_MEMORY];
	uint64_t address;
	size_t len;
	char *rest;

	reply_ok(stub, parse_range(arguments, &address, &len, &rest) && *rest == ':' &&
					parse_hex(rest + 1, data, len) &&
					write_memory(stub, address, data, len));
}

/* "TYPE,ADDRESS,KIND": software and hardware execution breakpoints are the same to us. */
static void change_breakpoint(struct gdb_stub *stub, const char *arguments,
		bool (*change)(struct gdb_stub *stub, uint64_t linear))
{
	uint64_t address;
	size_t kind;
	char *rest;

	if ((arguments[0] != '0' && arguments[0] != '1') || arguments[1] != ',') {
		reply(stub, ""); /* watchpoints: gdb steps instead */
		return;
	}
	reply_ok(stub, parse_range(arguments + 2, &address, &kind, &rest) && change(stub, address));
}

static void command_insert_breakpoint(struct gdb_stub *stub, const char *arguments)
{
	change_breakpoint(stub, arguments, add_breakpoint);
}

static void command_remove_breakpoint(struct gdb_stub *stub, const char *arguments)
{
	change_breakpoint(stub, arguments, remove_breakpoint);
}

/* The selected vCPU does it, the others run; an address to go on from is not sent by today's gdb. */
static void resume_selected(struct gdb_stub *stub, enum resume_action action)
{
	set_actions(stub, RESUME_CONTINUE);
	stub->actions[stub->selected->index] = action;
	resume(stub);
}

static void command_continue(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	resume_selected(stub, RESUME_CONTINUE);
}

static void command_step(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	resume_selected(stub, RESUME_STEP);
}

static void command_list_actions(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	reply(stub, "vCont;c;C;s;S");
}

/* One action of vCont, "c[:THREAD]": for those threads that have none yet. False if it is bad. */
static bool add_action(struct gdb_stub *stub, const char *text, bool taken[])
{
	const char *thread = strchr(text, ':');
	bool all = !thread || strcmp(thread, ":-1") == 0;
	struct vcpu *vcpu = all ? NULL : find_thread(stub, thread + 1);
	enum resume_action action;

	switch (text[0]) {
	case 'c':
	case 'C':
		action = RESUME_CONTINUE;
		break;
	case 's':
	case 'S':
		action = RESUME_STEP;
		break;
	default:
		return false;
	}
	if (!all && !vcpu) {
		return false;
	}
	for (unsigned i = 0; i < stub->engine->config.vcpus; i++) {
		if (!taken[i] && (all || vcpu->index == i)) {
			stub->actions[i] = action;
			taken[i] = true;
		}
	}
	return true;
}

static void command_resume(struct gdb_stub *stub, const char *arguments)
{
	g_auto(GStrv) actions = g_strsplit(arguments, ";", -1);
	bool taken[ENGINE_MAX_VCPUS] = {0};

	set_actions(stub, RESUME_HOLD);
	for (unsigned i = 0; actions[i]; i++) {
		if (!add_action(stub, actions[i], taken)) {
			reply_ok(stub, false);
			return;
		}
	}
	resume(stub);
}

static void command_select_thread(struct gdb_stub *stub, const char *arguments)
{
	struct vcpu *vcpu = arguments[0] ? find_thread(stub, arguments + 1) : NULL;

	/* "Hc" is what c and s are for; gdb uses vCont, which names its threads. */
	if (vcpu && arguments[0] == 'g') {
		stub->selected = vcpu;
	}
	reply_ok(stub, vcpu);
}

static void command_thread_alive(struct gdb_stub *stub, const char *arguments)
{
	reply_ok(stub, find_thread(stub, arguments));
}

static void command_current_thread(struct gdb_stub *stub, const char *arguments)
{
	char text[16];
	(void)arguments;

	g_snprintf(text, sizeof(text), "QC%x", thread_id(stub->selected));
	reply(stub, text);
}

static void command_first_threads(struct gdb_stub *stub, const char *arguments)
{
	g_autoptr(GString) text = g_string_new("m");
	(void)arguments;

	for (unsigned i = 0; i < stub->engine->config.vcpus; i++) {
		g_string_append_printf(
				text, "%s%x", i > 0 ? "," : "", thread_id(stub->engine->vcpus[i]));
	}
	reply(stub, text->str);
}

static void command_more_threads(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	reply(stub, "l");
}

static void command_thread_info(struct gdb_stub *stub, const char *arguments)
{
	struct vcpu *vcpu = find_thread(stub, arguments);
	g_autofree char *info = NULL;
	g_autoptr(GString) text = g_string_new(NULL);

	if (!vcpu) {
		reply_ok(stub, false);
		return;
	}
	info = g_strdup_printf("vCPU %u", vcpu->index);
	for (const char *c = info; *c; c++) {
		g_string_append_printf(text, "%02x", (unsigned)*c);
	}
	reply(stub, text->str);
}

static void command_supported(struct gdb_stub *stub, const char *arguments)
{
	g_autofree char *text = g_strdup_printf("PacketSize=%x;qXfer:features:read+;swbreak+;"
						"vContSupported+;QStartNoAckMode+",
			GDB_PACKET_SIZE);

	stub->knows_swbreak = strstr(arguments, "swbreak+") != NULL;
	reply(stub, text);
}

static void command_no_acks(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	gdb_link_stop_acks(stub->link);
	reply_ok(stub, true);
}

/* "OFFSET,LENGTH": a piece of the target's description, in front of it whether it is the last. */
static void command_description(struct gdb_stub *stub, const char *arguments)
{
	uint64_t offset;
	size_t len;
	char *rest;

	if (!parse_range(arguments, &offset, &len, &rest) || offset > strlen(stub->description)) {
		reply_ok(stub, false);
		return;
	}
	const char *from = stub->description + offset;
	g_autofree char *text = g_strdup_printf(
			"%c%.*s", strlen(from) > len ? 'm' : 'l', (int)len, from);
	reply(stub, text);
}

static void command_attached(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	reply(stub, "1"); /* so that leaving detaches instead of killing */
}

static void command_detach(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	reply_ok(stub, true);
	gdb_link_hang_up(stub->link);
}

static void quit(struct gdb_stub *stub)
{
	gdb_link_hang_up(stub->link);
	if (stub->control && stub->control->quit) {
		stub->control->quit(stub->control);
	}
}

static void command_kill(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	quit(stub);
}

static void command_kill_process(struct gdb_stub *stub, const char *arguments)
{
	(void)arguments;
	reply_ok(stub, true);
	quit(stub);
}

/* By the longest name first, where one begins with another. */
static const struct {
	const char *name;
	void (*handle)(struct gdb_stub *stub, const char *arguments);
} commands[] = {
		{"?", command_reason},
		{"g", command_get_registers},
		{"G", command_set_registers},
		{"p", command_get_register},
		{"P", command_set_register},
		{"m", command_read_memory},
		{"M", command_write_memory},
		{"Z", command_insert_breakpoint},
		{"z", command_remove_breakpoint},
		{"c", command_continue},
		{"C", command_continue},
		{"s", command_step},
		{"S", command_step},
		{"vCont?", command_list_actions},
		{"vCont;", command_resume},
		{"vKill", command_kill_process},
		{"k", command_kill},
		{"D", command_detach},
		{"H", command_select_thread},
		{"T", command_thread_alive},
		{"qC", command_current_thread},
		{"qfThreadInfo", command_first_threads},
		{"qsThreadInfo", command_more_threads},
		{"qThreadExtraInfo,", command_thread_info},
		{"qSupported", command_supported},
		{"QStartNoAckMode", command_no_acks},
		{"qXfer:features:read:target.xml:", command_description},
		{"qAttached", command_attached},
};

static void handle_packet(struct gdb_link_user *user, char *packet)
{
	struct gdb_stub *stub = container_of(user, struct gdb_stub, link_user);

	if (!stub->stopped) {
		return; /* only ^C may come while the guest runs */
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (g_str_has_prefix(packet, commands[i].name)) {
			commands[i].handle(stub, packet + strlen(commands[i].name));
			return;
		}
	}
	reply(stub, "");
}

static void handle_connected(struct gdb_link_user *user)
{
	struct gdb_stub *stub = container_of(user, struct gdb_stub, link_user);

	log_info("gdb: a debugger has stopped the guest");
	stub->connected = true;
	stub->selected = stub->engine->vcpus[0];
	stub->last_signal = SIGNAL_TRAP;
	stub->last_swbreak = stub->knows_swbreak = false;
	stop_machine(stub);
}

static void handle_disconnected(struct gdb_link_user *user)
{
	struct gdb_stub *stub = container_of(user, struct gdb_stub, link_user);

	log_info("gdb: the debugger has let the guest go");
	stub->connected = false;
	let_go(stub);
	start_machine(stub);
}

struct gdb_stub *gdb_stub_create(const char *address, struct engine *engine, GError **error)
{
	struct gdb_stub *stub = g_new0(struct gdb_stub, 1);

	stub->engine = engine;
	stub->link_user = (struct gdb_link_user){
			.connected = handle_connected,
			.packet = handle_packet,
			.interrupt = handle_interrupt,
			.disconnected = handle_disconnected,
	};
	stub->breakpoints = g_array_new(FALSE, FALSE, sizeof(struct gdb_breakpoint));
	stub->description = gdb_regs_description();
	stub->selected = engine->vcpus[0];
	stub->link = gdb_link_create(address, &stub->link_user, error);
	if (!stub->link) {
		gdb_stub_destroy(stub);
		return NULL;
	}
	return stub;
}

void gdb_stub_destroy(struct gdb_stub *stub)
{
	if (!stub) {
		return;
	}
	gdb_link_destroy(stub->link);
	if (stub->connected) {
		let_go(stub);
	}
	g_array_unref(stub->breakpoints);
	g_free(stub->description);
	g_free(stub);
}

void gdb_stub_set_control(struct gdb_stub *stub, struct gdb_control *control)
{
	stub->control = control;
}

unsigned gdb_stub_port(const struct gdb_stub *stub)
{
	return gdb_link_port(stub->link);
}
