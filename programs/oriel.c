/* SPDX-License-Identifier: MIT */
/*
 * oriel, the machine: command line in, parts wired. With devices.c the only file that knows every
 * part of this half.
 */
#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/boot/kernel.h"
#include "core/control/chardev.h"
#include "core/control/options.h"
#include "core/control/terminal.h"
#include "core/engine/engines.h"
#include "core/engine/kvm/kvm.h"
#include "core/engine/soft/soft.h"
#include "core/sandbox/sandbox.h"
#include "hw/pc/pc.h"
#include "programs/debugger.h"
#include "programs/devices.h"
#include "programs/monitor.h"
#include "programs/screendump.h"
#include "programs/stats.h"

#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

const struct engine_impl *const engine_impls[] = {&kvm_engine, &soft_engine, NULL};

struct program {
	struct options options;
	GMainLoop *loop;
	struct boot_loader *loader;
	struct chardev *serials[PC_SERIAL_COUNT];
	struct devices *devices;
	struct virtio_gpu_host host;
	struct pc *pc;
	struct pc_events pc_events;
	struct screendumps *screendumps;
	struct monitor *monitor;
	struct monitor_host monitor_host;
	struct debugger *debugger; /* NULL: none was asked for */
	bool screendump_failed;
	int status; /* of the process */
};

static void quit(struct program *program, int status)
{
	program->status = status;
	g_main_loop_quit(program->loop);
}

/*
 * Puts the kernel and its modules in their places. They are given back at once: a decompressed kernel is large,
 * and a reset is rare enough to read the files again.
 */
static bool power_up(struct program *program, struct boot_image *take_kernel, GError **error)
{
	struct boot_modules *modules = NULL;
	bool ok = true;

	if (program->options.initrd) {
		modules = boot_modules_open(program->options.initrd, error);
		ok = modules != NULL;
	}
	if (ok) {
		const struct pc_boot boot = {
				.kernel = take_kernel,
				.modules = modules,
				.command_line = program->options.append,
		};
		ok = pc_reset(program->pc, &boot, error);
	}
	boot_modules_close(modules);
	boot_image_destroy(take_kernel);
	return ok;
}

static void reset(struct program *program)
{
	g_autoptr(GError) error = NULL;

	if (program->options.no_reboot) {
		quit(program, EXIT_SUCCESS);
		return;
	}
	pc_stop(program->pc);
	struct boot_image *kernel = boot_image_load(program->options.kernel, &error);
	if (!kernel || !power_up(program, kernel, &error)) {
		log_error("%s", error->message);
		quit(program, EXIT_FAILURE);
		return;
	}
	pc_start(program->pc);
}

static void handle_event(struct pc_events *events, enum machine_event event, int status)
{
	struct program *program = container_of(events, struct program, pc_events);

	monitor_event(program->monitor, event);
	switch (event) {
	case MACHINE_EVENT_POWEROFF:
		quit(program, status);
		break;
	case MACHINE_EVENT_RESET:
		reset(program);
		break;
	case MACHINE_EVENT_PANICKED:
		log_warn("the guest panicked; it goes on as its kernel decides");
		break;
	default:
		break;
	}
}

static void handle_vcpu_stopped(struct pc_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct program *program = container_of(events, struct program, pc_events);

	if (debugger_vcpu_stopped(program->debugger, vcpu, reason)) {
		return;
	}
	if (reason == VCPU_EXIT_SHUTDOWN) {
		log_info("vCPU %u: triple fault, the machine is reset", vcpu->index);
		reset(program);
	} else if (reason == VCPU_EXIT_ERROR) {
		log_error("vCPU %u cannot go on", vcpu->index);
		quit(program, EXIT_FAILURE);
	}
}

static void handle_input(struct virtio_gpu_host *host, const struct control_input *input)
{
	struct program *program = container_of(host, struct program, host);

	devices_input(program->devices, input);
}

static void handle_window_closed(struct virtio_gpu_host *host)
{
	quit(container_of(host, struct program, host), EXIT_SUCCESS);
}

static void handle_monitor_quit(struct monitor_host *host)
{
	quit(container_of(host, struct program, monitor_host), EXIT_SUCCESS);
}

static void handle_monitor_reset(struct monitor_host *host)
{
	reset(container_of(host, struct program, monitor_host));
}

static void handle_picture_failed(struct virtio_gpu_host *host)
{
	quit(container_of(host, struct program, host), EXIT_FAILURE);
}

static void handle_terminal_quit(void *opaque)
{
	quit(opaque, EXIT_SUCCESS);
}

static void handle_debugger_quit(void *opaque)
{
	quit(opaque, EXIT_SUCCESS);
}

static gboolean handle_signal(gpointer opaque)
{
	quit(opaque, EXIT_SUCCESS);
	return G_SOURCE_CONTINUE;
}

/*
 * Before the machine runs there is nothing to bring to an end, and the main thread may wait for a peer of a socket:
 * the process ends at once, but not by the signal. Async-signal-safe.
 */
static void handle_early_signal(int signal_number)
{
	(void)signal_number;
	terminal_release(); /* NOLINT(bugprone-signal-handler): it may be */
	_exit(EXIT_SUCCESS);
}

static void catch_early_signals(void)
{
	(void)signal(SIGINT, handle_early_signal); /* it cannot fail for these */
	(void)signal(SIGTERM, handle_early_signal);
	(void)signal(SIGHUP, handle_early_signal);
}

static bool open_serials(struct program *program, GError **error)
{
	const GPtrArray *specs = program->options.serials;

	for (unsigned i = 0; i < specs->len && i < PC_SERIAL_COUNT; i++) {
		if (strcmp(specs->pdata[i], "none") == 0) {
			continue;
		}
		program->serials[i] = chardev_open(specs->pdata[i], error);
		if (!program->serials[i]) {
			g_prefix_error(error, "-serial: ");
			return false;
		}
	}
	if (specs->len == 0 && (!program->options.no_defaults || program->options.no_graphic)) {
		program->serials[0] = chardev_open("stdio", error);
		return program->serials[0] != NULL;
	}
	return true;
}

static bool check_memory(const struct options *options, GError **error)
{
	struct sysinfo info;

	if (sysinfo(&info) == 0 && options->memory > (uint64_t)info.totalram * info.mem_unit) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"-m %" G_GUINT64_FORMAT "M: the host has only %" G_GUINT64_FORMAT
				"M",
				options->memory / MiB,
				(uint64_t)info.totalram * info.mem_unit / MiB);
		return false;
	}
	return true;
}

static bool create_machine(struct program *program, GError **error)
{
	const struct options *options = &program->options;
	g_autofree char *reason = NULL;
	struct pc_config config = {
			.accel = options->accel,
			.ram_size = options->memory,
			.vcpus = options->cpus,
			.clock = CLOCK_KIND_HOST,
			.tb_size = options->translate == OPTION_TRANSLATE_OFF ? 0
									      : options->tb_size,
			.no_fsgsbase = options->no_fsgsbase,
			.check_translation = options->translate == OPTION_TRANSLATE_CHECK,
			.cpu = options->cpu,
			.perf_map = options->perf_map,
			.events = &program->pc_events,
	};

	program->pc_events = (struct pc_events){
			.event = handle_event,
			.vcpu_stopped = handle_vcpu_stopped,
	};
	memcpy(config.serial, program->serials, sizeof(config.serial));
	if (!config.accel) {
		config.accel = engine_default(&reason);
		log_info("%s", reason);
	}
	if (strcmp(config.accel, soft_engine.name) != 0 &&
			log_wants(LOG_ITEM_EXEC | LOG_ITEM_IN_ASM | LOG_ITEM_STATS)) {
		log_warn("-d exec, in_asm, stats: only -accel soft can show them");
	}
	program->pc = pc_create(&config, error);
	return program->pc && devices_realize(program->devices, program->pc, error);
}

/* The kernel was being decompressed meanwhile. */
static bool boot(struct program *program, GError **error)
{
	struct boot_image *kernel = boot_loader_join(g_steal_pointer(&program->loader), error);

	return kernel && power_up(program, kernel, error);
}

/* Options that are no mistake for sure, but do nothing here. */
static void warn_of_idle_options(const struct options *options, bool gpu)
{
	if (options->start_paused && !options->gdb && !options->qmp) {
		log_warn("-S: neither -gdb nor -qmp is there to let the machine go on");
	}
	if (!gpu && (options->display.kind == OPTION_DISPLAY_SDL ||
				    options->display.kind == OPTION_DISPLAY_EGL_HEADLESS)) {
		log_warn("-display: there is no GPU to show (-device virtio-gpu-gl-pci)");
	}
}

static bool start(struct program *program, GError **error)
{
	struct options *options = &program->options;

	if (!options->kernel) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
				"-kernel FILE is needed: there is no firmware to boot anything else");
		return false;
	}
	if (!check_memory(options, error)) {
		return false;
	}
	program->host = (struct virtio_gpu_host){
			.input = handle_input,
			.closed = handle_window_closed,
			.failed = handle_picture_failed,
	};
	program->loader = boot_loader_start(options->kernel);
	program->devices = devices_create(options, &program->host, error);
	if (!program->devices || !open_serials(program, error) ||
			!screendumps_check(options, devices_outputs(program->devices),
					program->serials[0] != NULL, error) ||
			!create_machine(program, error) || !boot(program, error)) {
		return false;
	}
	struct picture *picture = devices_picture(program->devices);
	warn_of_idle_options(options, picture != NULL);
	if (picture) {
		program->screendumps = screendumps_create(
				options, picture, program->serials[0], &program->screendump_failed);
	}
	if (options->qmp) {
		program->monitor_host = (struct monitor_host){
				.quit = handle_monitor_quit,
				.reset = handle_monitor_reset,
		};
		program->monitor = monitor_create(options->qmp, program->pc, picture, options->name,
				&program->monitor_host, error);
		if (!program->monitor) {
			return false;
		}
	}
	if (options->gdb) {
		program->debugger = debugger_create(
				options->gdb, program->pc, handle_debugger_quit, program, error);
		return program->debugger != NULL;
	}
	return true;
}

static bool run(struct program *program, GError **error)
{
	terminal_set_quit(handle_terminal_quit, program);
	/* From here on instead of handle_early_signal(). */
	g_unix_signal_add(SIGINT, handle_signal, program);
	g_unix_signal_add(SIGTERM, handle_signal, program);
	g_unix_signal_add(SIGHUP, handle_signal, program);
	if (!sandbox_enter(SANDBOX_MACHINE, error)) {
		return false;
	}
	if (!program->options.start_paused) {
		pc_start(program->pc);
	}
	g_main_loop_run(program->loop);
	pc_stop(program->pc);
	stats_log(pc_machine(program->pc)->engine);
	if (program->screendumps) {
		screendumps_finish(program->screendumps);
	}
	if (program->screendump_failed && program->status == EXIT_SUCCESS) {
		program->status = EXIT_FAILURE;
	}
	return true;
}

static void finish(struct program *program)
{
	monitor_destroy(program->monitor);
	debugger_destroy(program->debugger);
	pc_destroy(program->pc);
	devices_destroy(program->devices);
	screendumps_destroy(program->screendumps);
	if (program->loader) {
		boot_image_destroy(boot_loader_join(program->loader, NULL));
	}
	for (unsigned i = 0; i < PC_SERIAL_COUNT; i++) {
		chardev_close(program->serials[i]);
	}
	options_clear(&program->options);
	g_main_loop_unref(program->loop);
}

/* True: run. False: *ret_status is how the process ends. */
static bool parse(struct program *program, int argc, char **argv, int *ret_status)
{
	const struct options_context context = {
			.program = argv[0],
			.version = "oriel " ORIEL_VERSION,
			.classes = device_classes,
			.accels = engine_names(),
			.max_cpus = ENGINE_MAX_VCPUS,
	};
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;

	switch (options_parse(&context, argc, argv, &program->options, &text, &error)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_TEXT:
		fputs(text, stdout);
		*ret_status = EXIT_SUCCESS;
		return false;
	case OPTIONS_ERROR:
	default:
		log_error("%s", error->message);
		*ret_status = EXIT_FAILURE;
		return false;
	}
	log_set_items(program->options.log_items);
	if (program->options.log_file && !log_set_file(program->options.log_file, false, &error)) {
		g_prefix_error(&error, "-D: ");
		log_error("%s", error->message);
		*ret_status = EXIT_FAILURE;
		return false;
	}
	if (!sandbox_init(&program->options.sandbox, true, &error)) {
		log_error("%s", error->message);
		*ret_status = EXIT_FAILURE;
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct program program = {.status = EXIT_SUCCESS};
	g_autoptr(GError) error = NULL;
	int status;

	setlocale(LC_CTYPE, "");
	log_init("oriel", LOG_LEVEL_INFO);
	thread_register();
	if (!parse(&program, argc, argv, &status)) {
		options_clear(&program.options);
		return status;
	}
	program.loop = g_main_loop_new(NULL, FALSE);
	catch_early_signals();
	if (!start(&program, &error) || !run(&program, &error)) {
		log_error("%s", error->message);
		program.status = EXIT_FAILURE;
	}
	finish(&program);
	return program.status;
}
