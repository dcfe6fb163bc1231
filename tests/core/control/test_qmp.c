/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/control/chardev.h"
#include "core/control/qmp.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
	char *path;
	struct chardev *chardev;
	struct qmp *qmp;
	int client;
	GString *received;
	struct qmp_call *later; /* of the command "slow" */
	unsigned runs;
};

static void run_add(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct fixture *f = opaque;
	JsonNode *node = json_node_new(JSON_NODE_VALUE);

	f->runs++;
	json_node_set_int(node, json_object_get_int_member_with_default(arguments, "a", 0) + 1);
	qmp_return(call, node);
}

static void run_slow(void *opaque, struct qmp_call *call, JsonObject *arguments)
{
	struct fixture *f = opaque;
	(void)arguments;

	f->later = call;
}

static const struct qmp_command commands[] = {{"add", run_add}, {"slow", run_slow}, {NULL, NULL}};

static void connect_client(struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
	f->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(f->client, (struct sockaddr *)&address, sizeof(address)), 0);
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	g_autofree char *folder = g_dir_make_tmp("oriel-qmp-XXXXXX", NULL);
	g_autofree char *spec = NULL;

	f->path = g_build_filename(folder, "socket", NULL);
	spec = g_strdup_printf("unix:%s,server=on,wait=off", f->path);
	f->chardev = chardev_open(spec, NULL);
	assert_non_null(f->chardev);
	f->received = g_string_new(NULL);
	f->qmp = qmp_create(f->chardev, "1.2.3", commands, f);
	connect_client(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qmp_destroy(f->qmp);
	if (f->later) {
		qmp_return(f->later, NULL); /* nobody hears it, nothing breaks */
	}
	chardev_close(f->chardev);
	fd_close(&f->client);
	(void)unlink(f->path);
	g_autofree char *folder = g_path_get_dirname(f->path);
	(void)rmdir(folder);
	g_string_free(f->received, TRUE);
	g_free(f->path);
	g_free(f);
	return 0;
}

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->client, text, strlen(text)), strlen(text));
}

/* Runs the main context until text has come; what came before it is forgotten. */
static void expect(struct fixture *f, const char *text)
{
	for (unsigned i = 0; i < 1000; i++) {
		char *at = strstr(f->received->str, text);
		char data[4096];
		if (at) {
			g_string_erase(f->received, 0,
					at - f->received->str + (gssize)strlen(text));
			return;
		}
		while (g_main_context_iteration(NULL, FALSE)) {
		}
		ssize_t n = read(f->client, data, sizeof(data));
		if (n > 0) {
			g_string_append_len(f->received, data, n);
		} else {
			g_usleep(1000);
		}
	}
	fail_msg("'%s' did not come; there is '%s'", text, f->received->str);
}

static void negotiate(struct fixture *f)
{
	expect(f, "{\"QMP\":{\"version\":{\"qemu\":{\"major\":1,\"minor\":2,\"micro\":3},");
	say(f, "{\"execute\":\"qmp_capabilities\"}");
	expect(f, "{\"return\":{}}\r\n");
}

static void test_negotiation_comes_first(void **state)
{
	struct fixture *f = *state;

	expect(f, "\"QMP\"");
	say(f, "{\"execute\":\"add\"}");
	expect(f, "CommandNotFound");
	assert_int_equal(f->runs, 0);
	say(f, "{\"execute\":\"qmp_capabilities\",\"id\":7}");
	expect(f, "{\"return\":{},\"id\":7}");
	say(f, "{\"execute\":\"qmp_capabilities\"}");
	expect(f, "already complete");
}

static void test_commands(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	say(f, "{\"execute\":\"add\",\"arguments\":{\"a\":41},\"id\":{\"x\":[1]}}");
	expect(f, "{\"return\":42,\"id\":{\"x\":[1]}}");
	/* two in one write, one in two */
	say(f, "{\"execute\":\"add\"}{\"execute\":\"add\",\"arguments\":{\"a\":1}} {\"exec");
	expect(f, "{\"return\":1}\r\n{\"return\":2}\r\n");
	say(f, "ute\":\"query-commands\"}");
	expect(f, "[{\"name\":\"add\"},{\"name\":\"slow\"}]");
	say(f, "{\"execute\":\"none-such\",\"id\":\"}{\"}");
	expect(f, "The command none-such has not been found\"},\"id\":\"}{\"}");
}

static void test_answers_and_events_later(void **state)
{
	struct fixture *f = *state;

	qmp_event(f->qmp, "EARLY", NULL); /* nobody negotiated: not sent */
	negotiate(f);
	assert_null(strstr(f->received->str, "EARLY"));
	say(f, "{\"execute\":\"slow\",\"id\":1}{\"execute\":\"add\"}");
	expect(f, "{\"return\":1}");
	qmp_event(f->qmp, "STOP", NULL);
	expect(f, "\"event\":\"STOP\"}");
	qmp_fail(g_steal_pointer(&f->later), "it was %s", "too late");
	expect(f, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"it was too late\"},\"id\":1}");
}

static void test_bad_input(void **state)
{
	static const char *const rows[] = {
			"[1,2]",
			"{\"execute\":5}",
			"{\"arguments\":{}}",
			"{\"execute\":\"add\",\"arguments\":[]}",
			"{\"execute\" \"add\"}",
			"{\"execute\":\"\xff\xfe\"}",
			"}",
			"nonsense ",
	};
	struct fixture *f = *state;

	negotiate(f);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		say(f, rows[i]);
		expect(f, "\"class\":\"GenericError\"");
	}
	assert_int_equal(f->runs, 0);
	say(f, "{\"execute\":\"add\"}");
	expect(f, "{\"return\":1}");
}

static void test_huge_and_deep(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	for (unsigned i = 0; i < 100; i++) {
		say(f, "[");
	}
	for (unsigned i = 0; i < 100; i++) {
		say(f, "]");
	}
	expect(f, "too long or too deep");
	say(f, "{\"execute\":\"");
	for (unsigned i = 0; i < 100; i++) {
		char block[1001];
		memset(block, 'x', 1000);
		block[1000] = '\0';
		say(f, block);
		while (g_main_context_iteration(NULL, FALSE)) {
		}
	}
	say(f, "\"}");
	expect(f, "too long or too deep");
	say(f, "{\"execute\":\"add\"}");
	expect(f, "{\"return\":1}");
}

static void test_reconnection(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	say(f, "{\"exec");
	fd_close(&f->client);
	for (unsigned i = 0; i < 50; i++) {
		while (g_main_context_iteration(NULL, FALSE)) {
		}
		g_usleep(1000);
	}
	connect_client(f);
	negotiate(f);
	say(f, "{\"execute\":\"add\"}");
	expect(f, "{\"return\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(
					test_negotiation_comes_first, setup, teardown),
			cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_answers_and_events_later, setup, teardown),
			cmocka_unit_test_setup_teardown(test_bad_input, setup, teardown),
			cmocka_unit_test_setup_teardown(test_huge_and_deep, setup, teardown),
			cmocka_unit_test_setup_teardown(test_reconnection, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
