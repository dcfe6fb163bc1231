/* SPDX-License-Identifier: MIT */
#include "core/control/chardev.h"

#include "core/base/fd.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* A device that takes up to room bytes and remembers them. */
struct fake_user {
	struct chardev_user base;
	GString *received;
	size_t room;
	unsigned writable;
};

struct fixture {
	char *folder;
	struct fake_user user;
};

static size_t can_receive(struct chardev_user *user)
{
	return container_of(user, struct fake_user, base)->room;
}

static void receive(struct chardev_user *user, const uint8_t *data, size_t len)
{
	struct fake_user *fake = container_of(user, struct fake_user, base);

	assert_true(len > 0 && len <= fake->room);
	fake->room -= len;
	g_string_append_len(fake->received, (const char *)data, (gssize)len);
}

static void writable(struct chardev_user *user)
{
	container_of(user, struct fake_user, base)->writable++;
}

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->folder = g_dir_make_tmp("chardev-XXXXXX", NULL);
	assert_non_null(f->folder);
	f->user = (struct fake_user){
			.base = {.can_receive = can_receive,
					.receive = receive,
					.writable = writable},
			.received = g_string_new(NULL),
			.room = SIZE_MAX,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	g_string_free(f->user.received, TRUE);
	assert_int_equal(g_rmdir(f->folder), 0); /* nothing was left behind */
	g_free(f->folder);
	g_free(f);
	return 0;
}

/* The main loop until nothing more happens by itself. */
static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE)) {
	}
}

static void wait_received(struct fixture *f, const char *text)
{
	while (f->user.received->len < strlen(text)) {
		g_main_context_iteration(NULL, TRUE);
	}
	assert_string_equal(f->user.received->str, text);
	g_string_truncate(f->user.received, 0);
}

static bool send_text(struct chardev *chardev, const char *text)
{
	return chardev_write(chardev, (const uint8_t *)text, strlen(text));
}

static void assert_reads(int fd, const char *text)
{
	g_autofree char *buffer = g_malloc0(strlen(text) + 1);

	for (size_t done = 0; done < strlen(text);) {
		ssize_t n = read(fd, buffer + done, strlen(text) - done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	assert_string_equal(buffer, text);
}

static struct chardev *open_ok(const char *spec)
{
	g_autoptr(GError) error = NULL;
	struct chardev *chardev = chardev_open(spec, &error);

	if (!chardev) {
		fail_msg("%s: %s", spec, error->message);
	}
	return chardev;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	int ret = connect(fd, (struct sockaddr *)&address, sizeof(address));
	assert_int_equal(ret, 0);
	return fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	int ret = bind(fd, (struct sockaddr *)&address, sizeof(address));
	assert_int_equal(ret, 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_null(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"null", "none"};

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		struct chardev *chardev = open_ok(names[i]);
		assert_string_equal(chardev_name(chardev), "null");
		chardev_set_user(chardev, &f->user.base);
		assert_true(send_text(chardev, "into the void"));
		chardev_accept_input(chardev);
		settle();
		assert_int_equal(f->user.received->len, 0);
		chardev_close(chardev);
	}
	chardev_close(NULL);
}

static void test_bad_specs(void **state)
{
	static const struct {
		const char *spec, *message;
	} bad[] = {
			{"", "is no character device"},
			{"serial", "unix:PATH"},
			{"stdio:", "is no character device"},
			{"file:", "is no character device"},
			{"file:/nonexistent/folder/log", "No such file"},
			{"unix:", "a path of 1 to 107 bytes"},
			{"unix:,server=on", "a path of 1 to 107 bytes"},
			{"unix:/nonexistent/socket", "No such file"},
			{"unix:/nonexistent/socket,server=on,wait=off", "No such file"},
			{"unix:/x,server=maybe", "unknown option 'server=maybe'"},
			{"unix:/x,,", "unknown option ''"},
			{"tcp:", "HOST:PORT is needed"},
			{"tcp:localhost", "HOST:PORT is needed"},
			{"tcp:localhost:", "HOST:PORT is needed"},
			{"tcp:localhost:no-such-service", "tcp address"},
			{"tcp:127.0.0.1:1", "refused"},
			{"tcp:localhost:1,delay=on", "unknown option 'delay=on'"},
	};
	g_autofree char *long_path = g_strnfill(200, 'x');
	g_autofree char *long_spec = g_strconcat("unix:", long_path, NULL);
	(void)state;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		assert_null(chardev_open(bad[i].spec, &error));
		assert_non_null(error);
		if (!strstr(error->message, bad[i].message)) {
			fail_msg("'%s': %s", bad[i].spec, error->message);
		}
	}
	g_autoptr(GError) error = NULL;
	assert_null(chardev_open(long_spec, &error));
	assert_non_null(strstr(error->message, "1 to 107"));
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "a,b", NULL);
	g_autofree char *spec = g_strconcat("file:", path, NULL);
	g_autofree char *contents = NULL;

	assert_true(g_file_set_contents(path, "what was there before", -1, NULL));
	struct chardev *chardev = open_ok(spec);
	assert_string_equal(chardev_name(chardev), path);
	chardev_set_user(chardev, &f->user.base);
	assert_true(send_text(chardev, "one "));
	assert_true(send_text(chardev, "two"));
	settle();
	assert_int_equal(f->user.received->len, 0);
	chardev_close(chardev);
	assert_true(g_file_get_contents(path, &contents, NULL, NULL));
	assert_string_equal(contents, "one two");
	g_unlink(path);
}

static void test_full_disk(void **state)
{
	struct chardev *chardev;
	(void)state;

	if (access("/dev/full", W_OK) < 0) {
		skip();
	}
	chardev = open_ok("file:/dev/full");
	for (unsigned i = 0; i < 100; i++) {
		assert_true(send_text(chardev, "lost"));
	}
	chardev_close(chardev);
}

static void test_pty(void **state)
{
	struct fixture *f = *state;
	struct chardev *chardev = open_ok("pty");
	static uint8_t flood[4096];
	struct termios modes;

	assert_true(g_str_has_prefix(chardev_name(chardev), "/dev/"));
	chardev_set_user(chardev, &f->user.base);
	int fd = open(chardev_name(chardev), O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	assert_int_equal(tcgetattr(fd, &modes), 0);
	assert_int_equal(modes.c_lflag & (ICANON | ECHO), 0);
	assert_true(send_text(chardev, "hello\r\n"));
	assert_reads(fd, "hello\r\n");
	assert_int_equal(write(fd, "\x03\x01x\r", 4), 4);
	wait_received(f, "\x03\x01x\r"); /* escapes are the terminal's alone */
	/* The reader goes and comes back. */
	close(fd);
	settle();
	fd = open(chardev_name(chardev), O_RDWR | O_NOCTTY);
	assert_int_equal(write(fd, "again", 5), 5);
	wait_received(f, "again");
	close(fd);
	/* Nobody reads: nobody waits. */
	for (unsigned i = 0; i < 100; i++) {
		assert_true(chardev_write(chardev, flood, sizeof(flood)));
		settle();
	}
	chardev_close(chardev);
}

static void test_unix_server(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on,wait=off", NULL);
	struct chardev *chardev = open_ok(spec);
	char byte;

	chardev_set_user(chardev, &f->user.base);
	assert_true(send_text(chardev, "nobody hears this"));
	int fd = connect_unix(path);
	settle();
	assert_true(send_text(chardev, "welcome"));
	assert_reads(fd, "welcome");
	assert_int_equal(write(fd, "thanks", 6), 6);
	wait_received(f, "thanks");
	/* A second one is turned away. */
	int second = connect_unix(path);
	settle();
	assert_int_equal(read(second, &byte, 1), 0);
	close(second);
	assert_true(send_text(chardev, "still here"));
	assert_reads(fd, "still here");
	/* The next one may come when the first has gone. */
	close(fd);
	settle();
	assert_true(send_text(chardev, "nobody hears this"));
	fd = connect_unix(path);
	settle();
	assert_int_equal(write(fd, "next", 4), 4);
	wait_received(f, "next");
	chardev_close(chardev);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	assert_int_equal(access(path, F_OK), -1); /* the socket goes with it */
}

/* A peer that leaves while the guest does not read must not keep the next one out. */
static void test_peer_leaves_unnoticed(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server,nowait", NULL);
	struct chardev *chardev = open_ok(spec);

	f->user.room = 0;
	chardev_set_user(chardev, &f->user.base);
	int fd = connect_unix(path);
	assert_int_equal(write(fd, "unread", 6), 6);
	settle();
	close(fd);
	settle();
	fd = connect_unix(path);
	settle();
	f->user.room = 100;
	chardev_accept_input(chardev);
	assert_int_equal(write(fd, "read", 4), 4);
	wait_received(f, "read");
	close(fd);
	chardev_close(chardev);
}

static void *connect_later(void *path)
{
	while (access(path, F_OK) < 0) {
		sched_yield();
	}
	int fd;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	do {
		/* It may be bound but not listening yet. */
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
			break;
		}
		close(fd);
	} while (true);
	return GINT_TO_POINTER(fd);
}

static void test_unix_server_waits(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on", NULL);
	pthread_t thread;
	void *fd;

	assert_int_equal(pthread_create(&thread, NULL, connect_later, path), 0);
	struct chardev *chardev = open_ok(spec);
	/* It is there: nothing of the first words is lost. */
	assert_true(send_text(chardev, "first words"));
	pthread_join(thread, &fd);
	assert_reads(GPOINTER_TO_INT(fd), "first words");
	close(GPOINTER_TO_INT(fd));
	chardev_close(chardev);
}

static void test_unix_server_path(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on,wait=off", NULL);
	g_autofree char *contents = NULL;
	g_autoptr(GError) error = NULL;

	/* A predecessor's socket is replaced, somebody's file is not. */
	close(listen_unix(path));
	struct chardev *chardev = open_ok(spec);
	close(connect_unix(path));
	chardev_close(chardev);
	assert_true(g_file_set_contents(path, "precious", -1, NULL));
	assert_null(chardev_open(spec, &error));
	assert_non_null(strstr(error->message, "in use"));
	assert_true(g_file_get_contents(path, &contents, NULL, NULL));
	assert_string_equal(contents, "precious");
	g_unlink(path);
}

static void test_unix_client(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, NULL);
	int listener = listen_unix(path);
	struct chardev *chardev = open_ok(spec);
	int fd = accept(listener, NULL, NULL);

	chardev_set_user(chardev, &f->user.base);
	assert_true(send_text(chardev, "ping"));
	assert_reads(fd, "ping");
	assert_int_equal(write(fd, "pong", 4), 4);
	wait_received(f, "pong");
	/* Gone for good; no signal kills us, and nobody waits. */
	close(fd);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(send_text(chardev, "nobody there"));
		settle();
	}
	chardev_close(chardev);
	close(listener);
	g_unlink(path);
}

static unsigned tcp_port(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.sin_port);
}

static void test_tcp(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in address = {
			.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	unsigned port = tcp_port(listener);
	/* By name, which may stand for an address of the other family first. */
	g_autofree char *spec = g_strdup_printf("tcp:localhost:%u", port);
	struct chardev *chardev = open_ok(spec);
	int fd = accept(listener, NULL, NULL);
	chardev_set_user(chardev, &f->user.base);
	assert_true(send_text(chardev, "ping"));
	assert_reads(fd, "ping");
	assert_int_equal(write(fd, "pong", 4), 4);
	wait_received(f, "pong");
	chardev_close(chardev);
	close(fd);
	close(listener);
	/* A server on the port that has just become free. */
	g_autofree char *server_spec = g_strdup_printf("tcp:127.0.0.1:%u,server=on,wait=off", port);
	chardev = open_ok(server_spec);
	chardev_set_user(chardev, &f->user.base);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	wait_received(f, "hello");
	chardev_close(chardev);
	close(fd);
}

/* The device says how much it can take; the rest waits until it asks for more. */
static void test_receive_in_portions(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on,wait=off", NULL);
	struct chardev *chardev = open_ok(spec);
	int fd = connect_unix(path);

	settle();
	assert_int_equal(write(fd, "0123456789", 10), 10);
	settle(); /* no user yet: it waits */
	f->user.room = 4;
	chardev_set_user(chardev, &f->user.base);
	wait_received(f, "0123");
	settle();
	assert_int_equal(f->user.received->len, 0);
	f->user.room = 100;
	chardev_accept_input(chardev);
	chardev_accept_input(chardev);
	wait_received(f, "456789");
	chardev_set_user(chardev, NULL);
	assert_int_equal(write(fd, "x", 1), 1);
	settle();
	assert_int_equal(f->user.received->len, 0);
	close(fd);
	chardev_close(chardev);
}

/* A peer that does not read: the guest is asked to wait, then nothing is lost. */
static void test_slow_peer(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on,wait=off", NULL);
	struct chardev *chardev = open_ok(spec);
	int fd = connect_unix(path);
	uint32_t sent = 0, got = 0, value;

	settle();
	chardev_set_user(chardev, &f->user.base);
	while (chardev_write(chardev, (const uint8_t *)&sent, sizeof(sent))) {
		sent++;
		assert_true(sent < 10000000);
	}
	sent++; /* the one after which to wait was taken */
	assert_int_equal(f->user.writable, 0);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	while (got < sent) {
		ssize_t n = recv(fd, &value, sizeof(value), MSG_PEEK);
		if (n < (ssize_t)sizeof(value)) {
			g_main_context_iteration(NULL, TRUE);
			continue;
		}
		assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
		assert_int_equal(value, got);
		got++;
	}
	settle();
	assert_int_equal(f->user.writable, 1);
	assert_true(send_text(chardev, "on we go"));
	assert_reads(fd, "on we go");
	close(fd);
	chardev_close(chardev);
}

/* One that writes on regardless loses bytes; memory stays bounded, nobody hangs. */
static void test_flood(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on,wait=off", NULL);
	struct chardev *chardev = open_ok(spec);
	static uint8_t flood[65536];
	int fd = connect_unix(path);
	bool room = true;

	settle();
	chardev_set_user(chardev, &f->user.base);
	for (unsigned i = 0; i < 200; i++) {
		room = chardev_write(chardev, flood, sizeof(flood));
	}
	assert_false(room);
	/* The peer gives up: who waited is told. */
	close(fd);
	settle();
	assert_int_equal(f->user.writable, 1);
	assert_true(send_text(chardev, "x"));
	chardev_close(chardev);
}

static void test_close_sends_the_rest(void **state)
{
	struct fixture *f = *state;
	g_autofree char *path = g_build_filename(f->folder, "socket", NULL);
	g_autofree char *spec = g_strconcat("unix:", path, ",server=on,wait=off", NULL);
	struct chardev *chardev = open_ok(spec);
	int fd = connect_unix(path);
	static char buffer[1 << 20];
	size_t sent = 0, got = 0;
	ssize_t n;

	settle();
	while (chardev_write(chardev, (const uint8_t *)"x", 1)) {
		sent++;
	}
	sent++;
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	/* Room for what is kept, and no more: it is sent while closing. */
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		got += (size_t)n;
	}
	chardev_close(chardev);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		got += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	close(fd);
}

struct recording_tap {
	struct chardev_tap base;
	GString *seen;
};

static void tap_written(struct chardev_tap *tap, const uint8_t *data, size_t len)
{
	g_string_append_len(container_of(tap, struct recording_tap, base)->seen, (const char *)data,
			(gssize)len);
}

static void test_taps(void **state)
{
	struct recording_tap taps[2];
	struct chardev *chardev = open_ok("null");
	(void)state;

	for (unsigned i = 0; i < 2; i++) {
		taps[i] = (struct recording_tap){
				.base.written = tap_written, .seen = g_string_new(NULL)};
		chardev_add_tap(chardev, &taps[i].base);
	}
	send_text(chardev, "login: ");
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(taps[i].seen->str, "login: ");
		g_string_free(taps[i].seen, TRUE);
	}
	chardev_close(chardev);
}

/* In a process of its own whose standard input and output are pipes. */
static void run_stdio_child(void)
{
	struct fake_user user = {
			.base = {.can_receive = can_receive, .receive = receive},
			.received = g_string_new(NULL),
			.room = 64,
	};
	g_autoptr(GError) error = NULL;
	struct chardev *chardev = chardev_open("stdio", &error);

	if (!chardev || chardev_open("mon:stdio", NULL)) {
		_exit(2); /* two cannot have it */
	}
	chardev_set_user(chardev, &user.base);
	while (user.received->len < 5) {
		g_main_context_iteration(NULL, TRUE);
	}
	/* The end of input is not the end of output. */
	settle();
	send_text(chardev, "got ");
	send_text(chardev, user.received->str);
	chardev_close(chardev);
	chardev = chardev_open("mon:stdio", &error);
	if (!chardev || (fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK)) {
		_exit(3); /* it is free again; our own output still waits */
	}
	chardev_close(chardev);
	_exit(0);
}

static void test_stdio(void **state)
{
	int in[2], out[2], status;
	(void)state;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		run_stdio_child();
	}
	close(in[0]);
	close(out[1]);
	assert_int_equal(write(in[1], "\x01xyz\n", 5), 5); /* no terminal: no escapes */
	close(in[1]);
	assert_reads(out[0], "got \x01xyz\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(out[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_null),
			TEST(test_bad_specs),
			TEST(test_file),
			TEST(test_full_disk),
			TEST(test_pty),
			TEST(test_unix_server),
			TEST(test_peer_leaves_unnoticed),
			TEST(test_unix_server_waits),
			TEST(test_unix_server_path),
			TEST(test_unix_client),
			TEST(test_tcp),
			TEST(test_receive_in_portions),
			TEST(test_slow_peer),
			TEST(test_flood),
			TEST(test_close_sends_the_rest),
			TEST(test_taps),
			TEST(test_stdio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
