/* SPDX-License-Identifier: MIT */
#include "core/control/qmp.h"

#include "core/base/log.h"
#include "core/control/chardev.h"

#include <stdio.h>
#include <string.h>

struct qmp {
	struct chardev *chardev;
	struct chardev_user user;
	char *version;
	const struct qmp_command *table;
	void *opaque;
	bool negotiated;
	unsigned references; /* the owner's and one for each call */

	/* The message that is coming in. */
	GString *input;
	unsigned depth; /* braces and brackets that are open */
	bool in_string, escaped;
	bool skipping; /* too long or too deep: thrown away until it is over */
};

struct qmp_call {
	struct qmp *qmp;
	JsonNode *id; /* may be NULL */
};

static void qmp_unref(struct qmp *qmp)
{
	if (--qmp->references == 0) {
		g_string_free(qmp->input, TRUE);
		g_free(qmp->version);
		g_free(qmp);
	}
}

/* Sends an object as one line; takes it. */
static void send_object(struct qmp *qmp, JsonObject *take_object)
{
	g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

	json_node_take_object(node, take_object);
	if (qmp->chardev) {
		g_autofree char *text = json_to_string(node, FALSE);
		g_autofree char *line = g_strconcat(text, "\r\n", NULL);
		chardev_write(qmp->chardev, (const uint8_t *)line, strlen(line));
	}
}

static void add_id(JsonObject *object, JsonNode *id)
{
	if (id) {
		json_object_set_member(object, "id", json_node_copy(id));
	}
}

static void send_error(struct qmp *qmp, JsonNode *id, const char *error_class, const char *text)
{
	JsonObject *reply = json_object_new();
	JsonObject *error = json_object_new();

	json_object_set_string_member(error, "class", error_class);
	json_object_set_string_member(error, "desc", text);
	json_object_set_object_member(reply, "error", error);
	add_id(reply, id);
	send_object(qmp, reply);
}

static void call_free(struct qmp_call *call)
{
	if (call->id) {
		json_node_unref(call->id);
	}
	qmp_unref(call->qmp);
	g_free(call);
}

void qmp_return(struct qmp_call *take_call, JsonNode *take_value)
{
	JsonObject *reply = json_object_new();

	if (take_value) {
		json_object_set_member(reply, "return", take_value);
	} else {
		json_object_set_object_member(reply, "return", json_object_new());
	}
	add_id(reply, take_call->id);
	send_object(take_call->qmp, reply);
	call_free(take_call);
}

void qmp_fail(struct qmp_call *take_call, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	send_error(take_call->qmp, take_call->id, "GenericError", text);
	call_free(take_call);
}

void qmp_event(struct qmp *qmp, const char *name, JsonObject *take_data)
{
	if (!qmp || !qmp->negotiated) {
		if (take_data) {
			json_object_unref(take_data);
		}
		return;
	}
	int64_t now = g_get_real_time();
	JsonObject *event = json_object_new();
	JsonObject *stamp = json_object_new();
	json_object_set_int_member(stamp, "seconds", now / G_USEC_PER_SEC);
	json_object_set_int_member(stamp, "microseconds", now % G_USEC_PER_SEC);
	json_object_set_object_member(event, "timestamp", stamp);
	json_object_set_string_member(event, "event", name);
	if (take_data) {
		json_object_set_object_member(event, "data", take_data);
	}
	send_object(qmp, event);
}

static void greet(struct qmp *qmp)
{
	JsonObject *greeting = json_object_new(), *body = json_object_new();
	JsonObject *version = json_object_new(), *numbers = json_object_new();
	unsigned major = 0, minor = 0, micro = 0;

	/* The shape that clients expect: a version of QEMU's whose syntax this is, ours as package. */
	if (sscanf(qmp->version, "%u.%u.%u", &major, &minor, &micro) < 1) {
		major = 0;
	}
	json_object_set_int_member(numbers, "major", major);
	json_object_set_int_member(numbers, "minor", minor);
	json_object_set_int_member(numbers, "micro", micro);
	json_object_set_object_member(version, "qemu", numbers);
	json_object_set_string_member(version, "package", "oriel");
	json_object_set_object_member(body, "version", version);
	json_object_set_array_member(body, "capabilities", json_array_new());
	json_object_set_object_member(greeting, "QMP", body);
	send_object(qmp, greeting);
}

static const struct qmp_command *find_command(const struct qmp *qmp, const char *name)
{
	for (const struct qmp_command *command = qmp->table; command->name; command++) {
		if (strcmp(command->name, name) == 0) {
			return command;
		}
	}
	return NULL;
}

static void return_commands(struct qmp_call *call)
{
	JsonArray *list = json_array_new();
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);

	for (const struct qmp_command *command = call->qmp->table; command->name; command++) {
		JsonObject *entry = json_object_new();
		json_object_set_string_member(entry, "name", command->name);
		json_array_add_object_element(list, entry);
	}
	json_node_take_array(node, list);
	qmp_return(call, node);
}

static void run_command(struct qmp *qmp, JsonObject *request, JsonNode *id)
{
	const char *name = json_object_get_string_member(request, "execute");
	const struct qmp_command *command = find_command(qmp, name);
	bool negotiates = strcmp(name, "qmp_capabilities") == 0;

	if (negotiates == qmp->negotiated) {
		send_error(qmp, id, "CommandNotFound",
				negotiates ? "capabilities negotiation is already complete"
					   : "expecting capabilities negotiation with 'qmp_capabilities'");
		return;
	}
	struct qmp_call *call = g_new0(struct qmp_call, 1);
	call->qmp = qmp;
	call->id = id ? json_node_copy(id) : NULL;
	qmp->references++;
	if (negotiates) {
		qmp->negotiated = true;
		qmp_return(call, NULL);
	} else if (strcmp(name, "query-commands") == 0) {
		return_commands(call);
	} else if (!command) {
		g_autofree char *text = g_strdup_printf("The command %s has not been found", name);
		send_error(qmp, id, "CommandNotFound", text);
		call_free(call);
	} else if (json_object_has_member(request, "arguments")) {
		command->run(qmp->opaque, call,
				json_object_get_object_member(request, "arguments"));
	} else {
		g_autoptr(JsonObject) none = json_object_new();
		command->run(qmp->opaque, call, none);
	}
}

/* Whether the members have the types that the protocol wants. */
static const char *check_request(JsonNode *root)
{
	if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
		return "QMP input must be a JSON object";
	}
	JsonObject *request = json_node_get_object(root);
	JsonNode *execute = json_object_get_member(request, "execute");
	JsonNode *arguments = json_object_get_member(request, "arguments");
	if (!execute || json_node_get_value_type(execute) != G_TYPE_STRING) {
		return "QMP input lacks member 'execute', or it is not a string";
	}
	if (arguments && !JSON_NODE_HOLDS_OBJECT(arguments)) {
		return "QMP input member 'arguments' must be an object";
	}
	return NULL;
}

static void handle_message(struct qmp *qmp)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	g_autoptr(GError) error = NULL;

	if (!g_utf8_validate_len(qmp->input->str, qmp->input->len, NULL) ||
			!json_parser_load_from_data(
					parser, qmp->input->str, (gssize)qmp->input->len, &error)) {
		send_error(qmp, NULL, "GenericError", error ? "JSON parse error" : "not UTF-8");
		return;
	}
	JsonNode *root = json_parser_get_root(parser);
	const char *problem = check_request(root);
	JsonNode *id = NULL;
	if (root && JSON_NODE_HOLDS_OBJECT(root)) {
		id = json_object_get_member(json_node_get_object(root), "id");
	}
	if (problem) {
		send_error(qmp, id, "GenericError", problem);
	} else {
		run_command(qmp, json_node_get_object(root), id);
	}
}

/* The message is over, good or not. */
static void end_message(struct qmp *qmp)
{
	if (qmp->skipping) {
		send_error(qmp, NULL, "GenericError", "JSON message is too long or too deep");
	} else {
		handle_message(qmp);
	}
	g_string_truncate(qmp->input, 0);
	qmp->depth = 0;
	qmp->in_string = qmp->escaped = qmp->skipping = false;
}

/* Follows the structure just far enough to know where a message ends. */
static void take_byte(struct qmp *qmp, char byte)
{
	if (qmp->depth == 0 && byte != '{' && byte != '[') {
		if (!g_ascii_isspace(byte) && byte != '\0') {
			send_error(qmp, NULL, "GenericError",
					"JSON parse error: an object is expected");
		}
		return;
	}
	if (qmp->input->len >= QMP_MAX_MESSAGE || qmp->depth > QMP_MAX_DEPTH) {
		qmp->skipping = true;
	}
	if (!qmp->skipping) {
		g_string_append_c(qmp->input, byte);
	}
	if (qmp->in_string) {
		qmp->in_string = qmp->escaped || byte != '"';
		qmp->escaped = !qmp->escaped && byte == '\\';
	} else if (byte == '"') {
		qmp->in_string = true;
	} else if (byte == '{' || byte == '[') {
		qmp->depth++;
	} else if ((byte == '}' || byte == ']') && --qmp->depth == 0) {
		end_message(qmp);
	}
}

static size_t handle_can_receive(struct chardev_user *user)
{
	(void)user;
	return 4096;
}

static void handle_receive(struct chardev_user *user, const uint8_t *data, size_t len)
{
	struct qmp *qmp = container_of(user, struct qmp, user);

	for (size_t i = 0; i < len; i++) {
		take_byte(qmp, (char)data[i]);
	}
}

static void handle_opened(struct chardev_user *user)
{
	struct qmp *qmp = container_of(user, struct qmp, user);

	qmp->negotiated = false;
	g_string_truncate(qmp->input, 0);
	qmp->depth = 0;
	qmp->in_string = qmp->escaped = qmp->skipping = false;
	greet(qmp);
}

struct qmp *qmp_create(struct chardev *chardev, const char *version,
		const struct qmp_command *table, void *opaque)
{
	struct qmp *qmp = g_new0(struct qmp, 1);

	qmp->chardev = chardev;
	qmp->version = g_strdup(version);
	qmp->table = table;
	qmp->opaque = opaque;
	qmp->references = 1;
	qmp->input = g_string_new(NULL);
	qmp->user = (struct chardev_user){
			.opened = handle_opened,
			.can_receive = handle_can_receive,
			.receive = handle_receive,
	};
	chardev_set_user(chardev, &qmp->user);
	return qmp;
}

void qmp_destroy(struct qmp *qmp)
{
	if (!qmp) {
		return;
	}
	chardev_set_user(qmp->chardev, NULL);
	qmp->chardev = NULL;
	qmp_unref(qmp);
}
