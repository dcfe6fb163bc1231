/* SPDX-License-Identifier: MIT */
/*
 * The debugger's stub over a real socket: by hand, command for command, and by gdb itself. The engine is the software
 * CPU, or what ORIEL_ENGINE names.
 */
#include "tests/core/engine/kvm/fixture.h"

#include "core/base/thread.h"
#include "core/control/gdb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define CONNECTION_CLOSED "closed"

struct fixture {
	struct machine_fixture *m;
	struct gdb_stub *stub;
	int client; /* -1: none */
	GString *received;
	bool acks;
};

struct stop {
	struct gdb_stub *stub;
	struct vcpu *vcpu;
	enum vcpu_exit reason;
};

static struct gdb_stub *stub_of_test; /* for vcpu_stopped, which knows only the machine */

static GAsyncQueue *stops; /* from the processors' threads to the main loop */

static gboolean deliver_stop(gpointer opaque)
{
	g_autofree struct stop *stop = g_async_queue_pop(opaque);

	if (stop->stub == stub_of_test) {
		(void)gdb_stub_vcpu_stopped(stop->stub, stop->vcpu, stop->reason);
	}
	return G_SOURCE_REMOVE;
}

static void vcpu_stopped(struct machine_fixture *m, struct vcpu *vcpu, enum vcpu_exit reason)
{
	struct stop *stop = g_new(struct stop, 1);
	(void)m;

	*stop = (struct stop){.stub = stub_of_test, .vcpu = vcpu, .reason = reason};
	g_async_queue_push(stops, stop);
	g_idle_add_full(G_PRIORITY_HIGH, deliver_stop, stops, NULL);
}

static int connect_to(unsigned port)
{
	const struct sockaddr_in address = {
			.sin_family = AF_INET,
			.sin_port = htons((uint16_t)port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	g_autoptr(GError) error = NULL;
	void *m;

	machine_setup_two(&m);
	f->m = m;
	f->stub = gdb_stub_create("tcp::0", f->m->engine, &error);
	assert_non_null(f->stub);
	stub_of_test = f->stub;
	f->m->stopped = vcpu_stopped;
	f->client = -1;
	f->received = g_string_new(NULL);
	f->acks = true;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *m = f->m;

	fd_close(&f->client);
	stub_of_test = NULL;
	gdb_stub_destroy(f->stub);
	machine_teardown(&m);
	g_string_free(f->received, TRUE);
	g_free(f);
	return 0;
}

static gboolean out_of_patience(gpointer opaque)
{
	*(bool *)opaque = true;
	return G_SOURCE_CONTINUE;
}

/* Runs the main loop until there is something to read, and takes it. False when the stub closed the connection. */
static bool receive(struct fixture *f)
{
	char data[4096];
	bool late = false;
	guint timer = g_timeout_add(PATIENCE_MS, out_of_patience, &late);
	ssize_t n;

	while ((n = recv(f->client, data, sizeof(data), MSG_DONTWAIT)) < 0 && errno == EAGAIN &&
			!late) {
		g_main_context_iteration(NULL, TRUE);
	}
	g_source_remove(timer);
	assert_false(late);
	if (n <= 0) {
		return false;
	}
	g_string_append_len(f->received, data, n);
	return true;
}

static void send_raw(struct fixture *f, const char *data, size_t len)
{
	assert_int_equal(send(f->client, data, len, MSG_NOSIGNAL), len);
}

static void send_packet(struct fixture *f, const char *content)
{
	g_autoptr(GString) frame = g_string_new("$");
	uint8_t sum = 0;

	for (const char *c = content; *c; c++) {
		sum = (uint8_t)(sum + (uint8_t)*c);
	}
	g_string_append_printf(frame, "%s#%02x", content, sum);
	send_raw(f, frame->str, frame->len);
}

/* The content of the next packet. */
static char *receive_packet(struct fixture *f)
{
	for (;;) {
		const char *start = strchr(f->received->str, '$');
		const char *end = start ? strchr(start, '#') : NULL;
		if (end && strlen(end) >= 3) {
			char *content = g_strndup(start + 1, (gsize)(end - start - 1));
			g_string_erase(f->received, 0, end + 3 - f->received->str);
			if (f->acks) {
				send_raw(f, "+", 1);
			}
			return content;
		}
		if (!receive(f)) {
			return g_strdup(CONNECTION_CLOSED);
		}
	}
}

static void expect_reply(struct fixture *f, const char *expected)
{
	g_autofree char *content = receive_packet(f);

	assert_string_equal(content, expected);
}

/* Sends a command and expects this answer. */
static void ask(struct fixture *f, const char *command, const char *expected)
{
	send_packet(f, command);
	expect_reply(f, expected);
}

static void attach(struct fixture *f)
{
	f->client = connect_to(gdb_stub_port(f->stub));
	ask(f, "qSupported:swbreak+;xmlRegisters=i386",
			"PacketSize=4000;qXfer:features:read+;swbreak+;vContSupported+;"
			"QStartNoAckMode+");
}

static gboolean look_again(gpointer opaque)
{
	(void)opaque;
	return G_SOURCE_CONTINUE;
}

/* Runs the main loop until the guest has done that many things. */
static void run_until_happened(struct fixture *f, int count)
{
	guint timer = g_timeout_add(1, look_again, NULL);

	while (g_async_queue_length(f->m->happened) < count) {
		g_main_context_iteration(NULL, TRUE);
	}
	g_source_remove(timer);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;
	struct x86_state registers;

	enter_long(f->m);
	attach(f);
	ask(f, "?", "T05thread:1;");
	ask(f, "p10", "0090000000000000"); /* rip */
	ask(f, "P1=efcdab8967452301", "OK"); /* rbx */
	ask(f, "p1", "efcdab8967452301");
	ask(f, "P7f=0000000000000000", "E01");
	ask(f, "p7f", "E01");
	ask(f, "P1", "E01");
	ask(f, "P1=12", "E01");
	ask(f, "p18", "xxxxxxxxxxxxxxxxxxxx"); /* st0 */
	vcpu_get_state(f->m->engine->vcpus[0], &registers);
	assert_int_equal(registers.regs[X86_RBX], UINT64_C(0x0123456789abcdef));

	/* All of them, there and back. */
	send_packet(f, "g");
	g_autofree char *all = receive_packet(f);
	assert_memory_equal(all + 16, "efcdab8967452301", 16);
	memcpy(all + 16, "1111111111111111", 16);
	g_autofree char *command = g_strdup_printf("G%s", all);
	ask(f, command, "OK");
	vcpu_get_state(f->m->engine->vcpus[0], &registers);
	assert_int_equal(registers.regs[X86_RBX], UINT64_C(0x1111111111111111));
	assert_int_equal(registers.rip, CODE_AT);
}

static void test_memory(void **state)
{
	struct fixture *f = *state;

	enter_long(f->m);
	attach(f);
	ask(f, "M30000,4:deadbeef", "OK");
	ask(f, "m30000,4", "deadbeef");
	assert_int_equal(read_ram64(f->m, DATA_AT), 0xefbeadde);
	/* By another way to the same page. */
	ask(f, "m630000,4", "deadbeef");
	/* Where nothing is, and as far as there is something. */
	ask(f, "m800000,4", "E14");
	ask(f, "M800000,1:00", "E01");
	ask(f, "M7ffffe,2:abcd", "OK");
	ask(f, "m7ffffe,8", "abcd");
	/* Over the end of a page. */
	ask(f, "M30ffe,4:01020304", "OK");
	ask(f, "m30ffe,4", "01020304");
	ask(f, "m30000", "E01");
	ask(f, "m30000,ffffffff", "E01");
	ask(f, "M30000,2:0", "E01");
	ask(f, "M30000,1:zz", "E01");
	/* A device is no memory: it would notice. */
	ask(f, "md0000000,4", "E14");
	expect_nothing(f->m);
}

static void test_breakpoint_and_step(void **state)
{
	struct fixture *f = *state;

	load_guest(f->m, CODE_AT, steps);
	enter_long(f->m);
	attach(f);
	ask(f, "Z0,9003,1", "OK");
	ask(f, "Z0,800000,1", "E01");
	ask(f, "Z2,9003,1", "");
	ask(f, "z0,9004,1", "E01");
	ask(f, "m9000,6", "48ffc048ffc0"); /* it does not show */
	assert_int_equal(read_ram64(f->m, CODE_AT) >> 24 & 0xff, 0xcc);
	ask(f, "vCont;c", "T05thread:1;swbreak:;");
	ask(f, "p10", "0390000000000000");
	ask(f, "p0", "0100000000000000");
	ask(f, "z0,9003,1", "OK");
	assert_int_equal(read_ram64(f->m, CODE_AT) >> 24 & 0xff, 0x48);
	ask(f, "vCont;s:1;c", "T05thread:1;");
	ask(f, "p10", "0690000000000000");
	ask(f, "s", "T05thread:1;");
	ask(f, "p0", "0300000000000000");
	expect_nothing(f->m);
	send_packet(f, "c");
	run_until_happened(f, 1);
	expect_done(f->m);
	send_raw(f, "\003", 1);
	expect_reply(f, "T02thread:1;");
}

/* What the debugger writes over its own breakpoint is there when that is gone. */
static void test_write_over_breakpoint(void **state)
{
	struct fixture *f = *state;

	enter_long(f->m);
	attach(f);
	ask(f, "M30000,4:11223344", "OK");
	ask(f, "Z0,30001,1", "OK");
	ask(f, "M30000,4:55667788", "OK");
	ask(f, "m30000,4", "55667788");
	assert_int_equal(read_ram64(f->m, DATA_AT) & 0xffffffff, 0x8877cc55);
	ask(f, "z0,30001,1", "OK");
	assert_int_equal(read_ram64(f->m, DATA_AT) & 0xffffffff, 0x88776655);
}

/* An int3 of the guest's own is the guest's, also while breakpoints are set. */
static void test_breakpoint_of_the_guest(void **state)
{
	struct fixture *f = *state;
	uint64_t gate;

	load_guest(f->m, CODE_AT, breakpoint);
	enter_long(f->m);
	gate = read_ram64(f->m, IDT_AT + FIRST_HANDLER * 16);
	write_ram(f->m, IDT_AT + X86_VECTOR_BP * 16, &gate, sizeof(gate));
	attach(f);
	ask(f, "Z0,30000,1", "OK");
	send_packet(f, "c");
	run_until_happened(f, 2);
	expect(f->m, PORT_WRITTEN, 0, FIRST_HANDLER, 1);
	expect_done(f->m);
	send_raw(f, "\003", 1);
	expect_reply(f, "T02thread:1;");
}

static void test_threads(void **state)
{
	struct fixture *f = *state;

	load_guest(f->m, CODE_AT, steps);
	enter_long(f->m);
	attach(f);
	ask(f, "qfThreadInfo", "m1,2");
	ask(f, "qsThreadInfo", "l");
	ask(f, "qC", "QC1");
	ask(f, "T2", "OK");
	ask(f, "T3", "E01");
	ask(f, "qThreadExtraInfo,2", "764350552031"); /* vCPU 1 */
	ask(f, "Hg2", "OK");
	ask(f, "p10", "f0ff000000000000");
	ask(f, "Hg3", "E01");
	ask(f, "Hg1", "OK");
	ask(f, "p10", "0090000000000000");
	ask(f, "vCont?", "vCont;c;C;s;S");
	ask(f, "vCont;x", "E01");
	ask(f, "vCont;s:9", "E01");
	/* Only the second runs, which waits to be started: the first stays where it is. */
	send_packet(f, "vCont;c:2");
	send_raw(f, "\003", 1);
	expect_reply(f, "T02thread:1;");
	ask(f, "p10", "0090000000000000");
	ask(f, "vCont;s:1", "T05thread:1;");
	ask(f, "p10", "0390000000000000");
}

/* Whoever goes leaves nothing behind, and the guest runs. */
static void leave(struct fixture *f, const char *command)
{
	load_guest(f->m, CODE_AT, steps);
	enter_long(f->m);
	attach(f);
	ask(f, "Z0,9003,1", "OK");
	if (command) {
		ask(f, command, "OK");
	} else {
		fd_close(&f->client);
	}
	run_until_happened(f, 1);
	expect_done(f->m);
	assert_int_equal(read_ram64(f->m, CODE_AT) >> 24 & 0xff, 0x48);
}

static void test_detach(void **state)
{
	leave(*state, "D");
}

static void test_connection_lost(void **state)
{
	leave(*state, NULL);
}

static void test_framing(void **state)
{
	struct fixture *f = *state;

	enter_long(f->m);
	attach(f);
	/* A bad checksum is asked for again; the answer too can be. */
	send_raw(f, "$p10#00", 7);
	do {
		assert_true(receive(f));
	} while (!strchr(f->received->str, '-'));
	g_string_truncate(f->received, 0);
	ask(f, "p10", "0090000000000000");
	send_raw(f, "-", 1);
	expect_reply(f, "0090000000000000");
	/* In pieces, with noise before it, and two at once. */
	send_raw(f, "garbage$p1", 10);
	send_raw(f, "0#d1$p10#d1", 11);
	expect_reply(f, "0090000000000000");
	expect_reply(f, "0090000000000000");
	ask(f, "QStartNoAckMode", "OK");
	f->acks = false;
	g_string_truncate(f->received, 0);
	send_packet(f, "qAttached");
	assert_true(receive(f));
	assert_int_equal(f->received->str[0], '$'); /* nothing acknowledged */
	expect_reply(f, "1");
	ask(f, "vMustReplyEmpty", "");
	ask(f, "", "");
}

static void test_description(void **state)
{
	struct fixture *f = *state;
	g_autoptr(GString) text = g_string_new(NULL);
	char last;

	attach(f);
	do {
		g_autofree char *command = g_strdup_printf(
				"qXfer:features:read:target.xml:%zx,100", text->len);
		send_packet(f, command);
		g_autofree char *piece = receive_packet(f);
		last = piece[0];
		g_string_append(text, piece + 1);
	} while (last == 'm');
	assert_int_equal(last, 'l');
	assert_true(g_str_has_prefix(text->str, "<?xml"));
	assert_true(g_str_has_suffix(text->str, "</target>"));
	ask(f, "qXfer:features:read:target.xml:ffffff,10", "E01");
	ask(f, "qXfer:features:read:other.xml:0,10", "");
}

static void test_too_long_packet(void **state)
{
	struct fixture *f = *state;
	g_autofree char *noise = g_malloc(64 * 1024);

	attach(f);
	memset(noise, '0', 64 * 1024);
	noise[0] = '$';
	send_raw(f, noise, 64 * 1024);
	while (receive(f)) {
		continue;
	}
}

static void test_second_debugger(void **state)
{
	struct fixture *f = *state;

	enter_long(f->m);
	attach(f);
	int first = f->client;
	f->client = connect_to(gdb_stub_port(f->stub));
	assert_false(receive(f));
	fd_close(&f->client);
	f->client = first;
	ask(f, "p10", "0090000000000000");
}

static void test_bad_address(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "tcp:", "tcp:1234", "udp::1", "tcp:::x", "tcp::"};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		assert_null(gdb_stub_create(bad[i], f->m->engine, &error));
		assert_non_null(error);
	}
	g_autofree char *taken = g_strdup_printf("tcp::%u", gdb_stub_port(f->stub));
	g_autoptr(GError) error = NULL;
	assert_null(gdb_stub_create(taken, f->m->engine, &error));
	assert_non_null(error);
}

/*
 * gdb itself.
 */

static void gdb_ended(GPid pid, gint status, gpointer opaque)
{
	gint *ret_status = opaque;

	g_spawn_close_pid(pid);
	*ret_status = status;
}

static const char *const gdb_commands[] = {
		"set pagination off",
		"set architecture i386:x86-64",
		"set remotetimeout 60",
		NULL, /* target remote */
		"break *0x9003",
		"continue",
		"printf \"at %#lx rax %ld\\n\", $rip, $rax",
		"set var $rax = 40",
		"stepi",
		"printf \"at %#lx rax %ld\\n\", $rip, $rax",
		"set var *(int *)0x30000 = 0x1234",
		"printf \"memory %#x code %#x\\n\", *(int *)0x630000, *(unsigned char *)0x9003",
		"printf \"cr3 %#lx fs_base %ld\\n\", $cr3, $fs_base",
		"info threads",
		"info registers xmm0",
		"detach",
};

static void test_real_gdb(void **state)
{
	struct fixture *f = *state;
	g_autofree char *gdb = g_find_program_in_path("gdb");
	g_autofree char *target = g_strdup_printf(
			"target remote 127.0.0.1:%u", gdb_stub_port(f->stub));
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	g_autofree char *output = NULL;
	gint status = -1, out = -1;
	GPid pid;

	if (!gdb) {
		assert_null(getenv("CI"));
		skip();
	}
	load_guest(f->m, CODE_AT, steps);
	enter_long(f->m);
	g_ptr_array_add(argv, gdb);
	g_ptr_array_add(argv, (void *)(uintptr_t) "-nx");
	g_ptr_array_add(argv, (void *)(uintptr_t) "-batch");
	for (unsigned i = 0; i < G_N_ELEMENTS(gdb_commands); i++) {
		g_ptr_array_add(argv, (void *)(uintptr_t) "-ex");
		g_ptr_array_add(argv,
				gdb_commands[i] ? (void *)(uintptr_t)gdb_commands[i] : target);
	}
	g_ptr_array_add(argv, NULL);
	assert_true(g_spawn_async_with_pipes(NULL, (char **)argv->pdata, NULL,
			G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &pid,
			NULL, &out, NULL, &error));
	g_child_watch_add(pid, gdb_ended, &status);
	while (status == -1) {
		g_main_context_iteration(NULL, TRUE);
	}
	GIOChannel *channel = g_io_channel_unix_new(out);
	g_io_channel_set_encoding(channel, NULL, NULL);
	g_io_channel_read_to_end(channel, &output, NULL, NULL);
	g_io_channel_unref(channel);
	fd_close(&out);

	static const char *const expected[] = {"at 0x9003 rax 1\n", "at 0x9006 rax 41\n",
			"memory 0x1234 code 0x48\n", "cr3 0x1000 fs_base 0\n", "vCPU 0", "vCPU 1",
			"<unavailable>", "detached"};
	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
		if (!strstr(output, expected[i])) {
			fail_msg("'%s' is not in what gdb said:\n%s", expected[i], output);
		}
	}
	assert_int_equal(status, 0);
	expect_done(f->m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_registers),
			TEST(test_memory),
			TEST(test_breakpoint_and_step),
			TEST(test_write_over_breakpoint),
			TEST(test_breakpoint_of_the_guest),
			TEST(test_threads),
			TEST(test_detach),
			TEST(test_connection_lost),
			TEST(test_framing),
			TEST(test_description),
			TEST(test_too_long_packet),
			TEST(test_second_debugger),
			TEST(test_bad_address),
			TEST(test_real_gdb),
	};

	g_setenv("ORIEL_ENGINE", "soft", FALSE);
	if (getenv("ORIEL_TEST")) {
		cmocka_set_test_filter(getenv("ORIEL_TEST"));
	}
	thread_register();
	stops = g_async_queue_new_full(g_free);
	int ret = cmocka_run_group_tests(tests, NULL, NULL);
	g_async_queue_unref(stops);
	thread_unregister();
	return ret;
}
