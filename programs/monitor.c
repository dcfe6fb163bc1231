/* SPDX-License-Identifier: MIT */
#include "programs/monitor.h"

#include "core/control/chardev.h"
#include "core/control/qmp.h"
#include "hw/pc/pc.h"
#include "hw/virtio/picture.h"
#include "programs/picture_file.h"
#include "programs/stats.h"

#include <string.h>

struct monitor {
	struct chardev *chardev;
	struct qmp *qmp;
	struct pc *pc;
	struct picture *picture;
	const char *name;
	struct monitor_host *host;
	bool started; /* the processors ran at some time */
};

static JsonNode *object_node(JsonObject *take_object)
{
	JsonNode *node = json_node_new(JSON_NODE_OBJECT);

	json_node_take_object(node, take_object);
	return node;
}

static void run_query_status(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	bool running = pc_running(monitor->pc);
	JsonObject *status = json_object_new();
	(void)arguments;

	monitor->started = monitor->started || running;
	json_object_set_boolean_member(status, "running", running);
	json_object_set_boolean_member(status, "singlestep", FALSE);
	json_object_set_string_member(status, "status",
			running		   ? "running"
			: monitor->started ? "paused"
					   : "prelaunch");
	qmp_return(call, object_node(status));
}

static void run_query_version(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	JsonObject *version = json_object_new();
	(void)opaque;
	(void)arguments;

	json_object_set_string_member(version, "package", "oriel " ORIEL_VERSION);
	qmp_return(call, object_node(version));
}

static void run_query_name(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	JsonObject *name = json_object_new();
	(void)arguments;

	if (monitor->name) {
		json_object_set_string_member(name, "name", monitor->name);
	}
	qmp_return(call, object_node(name));
}

static void run_query_kvm(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	JsonObject *kvm = json_object_new();
	const char *engine = pc_machine(monitor->pc)->engine->impl->name;
	(void)arguments;

	json_object_set_boolean_member(kvm, "enabled", strcmp(engine, "kvm") == 0);
	json_object_set_boolean_member(kvm, "present", TRUE);
	qmp_return(call, object_node(kvm));
}

/* Takes value; NULL: the error, which it takes too. */
static void answer(struct qmp_call *call, JsonNode *take_value, GError *take_error)
{
	g_autoptr(GError) error = take_error;

	if (take_value) {
		qmp_return(call, take_value);
	} else {
		qmp_fail(call, "%s", error->message);
	}
}

static void run_query_stats(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	GError *error = NULL;
	JsonNode *stats = stats_query(pc_machine(monitor->pc)->engine, arguments, &error);

	answer(call, stats, error);
}

static void run_query_stats_schemas(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	GError *error = NULL;
	JsonNode *schemas = stats_query_schemas(pc_machine(monitor->pc)->engine, arguments, &error);

	answer(call, schemas, error);
}

static void run_stop(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	(void)arguments;

	if (pc_running(monitor->pc)) {
		pc_stop(monitor->pc);
		monitor->started = true;
		qmp_event(monitor->qmp, "STOP", NULL);
	}
	qmp_return(call, NULL);
}

static void run_cont(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	(void)arguments;

	if (!pc_running(monitor->pc)) {
		pc_start(monitor->pc);
		qmp_event(monitor->qmp, "RESUME", NULL);
	}
	qmp_return(call, NULL);
}

static void run_quit(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	(void)arguments;

	qmp_return(call, NULL);
	monitor->host->quit(monitor->host);
}

static void run_system_reset(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	(void)arguments;

	qmp_return(call, NULL);
	monitor->host->reset(monitor->host);
}

static void run_system_powerdown(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	(void)arguments;

	pc_power_button(monitor->pc);
	qmp_return(call, NULL);
	qmp_event(monitor->qmp, "POWERDOWN", NULL);
}

struct monitor_dump {
	struct qmp_call *call;
	struct picture_file file;
};

static void screendump_done(void *opaque, const GError *error)
{
	struct monitor_dump *dump = opaque;

	picture_file_close(&dump->file, !error);
	if (error) {
		qmp_fail(dump->call, "screendump: %s", error->message);
	} else {
		qmp_return(dump->call, NULL);
	}
	g_free(dump);
}

/* The members of screendump's arguments; NULL and an answered call if they are wrong. */
static const char *screendump_file(struct qmp_call *call, JsonObject *arguments, unsigned *ret_head)
{
	JsonNode *filename = json_object_get_member(arguments, "filename");
	int64_t head = json_object_get_int_member_with_default(arguments, "head", 0);
	const char *format = json_object_get_string_member_with_default(arguments, "format", "png");

	if (!filename || json_node_get_value_type(filename) != G_TYPE_STRING) {
		qmp_fail(call, "Parameter 'filename' is missing");
		return NULL;
	}
	if (head < 0 || head > 15) {
		qmp_fail(call, "Parameter 'head' expects a number from 0 to 15");
		return NULL;
	}
	if (g_strcmp0(format, "png") != 0) {
		qmp_fail(call, "Parameter 'format' expects 'png'");
		return NULL;
	}
	*ret_head = (unsigned)head;
	return json_node_get_string(filename);
}

static void run_screendump(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct monitor *monitor = opaque;
	unsigned head;
	const char *file = screendump_file(call, arguments, &head);
	g_autoptr(GError) error = NULL;

	if (!file) {
		return;
	}
	if (!monitor->picture) {
		qmp_fail(call, "There is no GPU to take a screendump from");
		return;
	}
	struct monitor_dump *dump = g_new0(struct monitor_dump, 1);
	int fd;

	dump->call = call;
	if (!picture_file_open(&dump->file, file, &fd, &error)) {
		qmp_fail(call, "failed to open file '%s': %s", file, error->message);
		g_free(dump);
		return;
	}
	picture_screendump(monitor->picture, head, fd, screendump_done, dump);
}

static const struct qmp_command commands[] = {
		{"cont", run_cont},
		{"query-kvm", run_query_kvm},
		{"query-name", run_query_name},
		{"query-stats", run_query_stats},
		{"query-stats-schemas", run_query_stats_schemas},
		{"query-status", run_query_status},
		{"query-version", run_query_version},
		{"quit", run_quit},
		{"screendump", run_screendump},
		{"stop", run_stop},
		{"system_powerdown", run_system_powerdown},
		{"system_reset", run_system_reset},
		{NULL, NULL},
};

struct monitor *monitor_create(const char *spec, struct pc *pc, struct picture *picture,
		const char *name, struct monitor_host *host, GError **error)
{
	struct chardev *chardev = chardev_open(spec, error);

	if (!chardev) {
		g_prefix_error(error, "-qmp: ");
		return NULL;
	}
	struct monitor *monitor = g_new0(struct monitor, 1);
	*monitor = (struct monitor){
			.chardev = chardev,
			.pc = pc,
			.picture = picture,
			.name = name,
			.host = host,
	};
	monitor->qmp = qmp_create(chardev, ORIEL_VERSION, commands, monitor);
	return monitor;
}

void monitor_destroy(struct monitor *monitor)
{
	if (!monitor) {
		return;
	}
	qmp_destroy(monitor->qmp);
	chardev_close(monitor->chardev);
	g_free(monitor);
}

void monitor_event(struct monitor *monitor, enum machine_event event)
{
	static const char *const names[] = {
			[MACHINE_EVENT_POWEROFF] = "SHUTDOWN",
			[MACHINE_EVENT_RESET] = "RESET",
			[MACHINE_EVENT_PANICKED] = "GUEST_PANICKED",
	};

	if (monitor) {
		JsonObject *data = json_object_new();
		if (event == MACHINE_EVENT_PANICKED) {
			json_object_set_string_member(data, "action", "run");
		} else {
			json_object_set_boolean_member(data, "guest", TRUE);
		}
		qmp_event(monitor->qmp, names[event], data);
	}
}
