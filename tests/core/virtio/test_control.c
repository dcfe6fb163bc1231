/* SPDX-License-Identifier: MIT */
#include "core/virtio/control.h"

#include "core/base/fd.h"
#include "tests/harness/test.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
	int ours, theirs;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->ours = pair[0];
	f->theirs = pair[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fd_close(&f->ours);
	fd_close(&f->theirs);
	g_free(f);
	return 0;
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	auto_fd int memfd = memfd_create_sized("dump", 4096, NULL);
	struct control_message ping = {
			.header = {.type = CONTROL_PING, .cookie = 0x123456789a}, .fd = -1};
	struct control_message dump = {
			.header = {.type = CONTROL_SCREENDUMP, .cookie = 7},
			.payload.screendump = {.head = 2, .cursor = 1},
			.fd = memfd,
	};
	struct control_message got;
	g_autoptr(GError) error = NULL;

	assert_true(control_send(f->ours, &ping, NULL));
	assert_true(control_send(f->ours, &dump, NULL));
	assert_true(control_receive(f->theirs, &got, NULL));
	assert_int_equal(got.header.type, CONTROL_PING);
	assert_int_equal(got.header.version, CONTROL_VERSION);
	assert_int_equal(got.header.cookie, 0x123456789a);
	assert_int_equal(got.fd, -1);
	assert_true(control_receive(f->theirs, &got, NULL));
	assert_int_equal(got.payload.screendump.head, 2);
	assert_int_equal(got.payload.screendump.cursor, 1);
	assert_true(got.fd >= 0);
	fd_close(&got.fd);

	assert_false(control_receive(f->theirs, &got, &error));
	assert_true(g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_AGAIN));
}

static void test_full_and_closed(void **state)
{
	struct fixture *f = *state;
	struct control_message message = {.header = {.type = CONTROL_LOST}, .fd = -1};
	g_autoptr(GError) full = NULL, closed = NULL;
	struct control_message got;

	while (control_send(f->ours, &message, &full)) {
	}
	assert_true(g_error_matches(full, G_FILE_ERROR, G_FILE_ERROR_AGAIN));
	fd_close(&f->ours);
	while (control_receive(f->theirs, &got, &closed)) {
	}
	assert_true(g_error_matches(closed, G_FILE_ERROR, G_FILE_ERROR_PIPE));
}

static void test_strings_end(void **state)
{
	struct fixture *f = *state;
	struct control_message message = {.header = {.type = CONTROL_HELLO}, .fd = -1}, got;

	memset(&message.payload, 'x', sizeof(message.payload));
	assert_true(control_send(f->ours, &message, NULL));
	assert_true(control_receive(f->theirs, &got, NULL));
	assert_int_equal(strlen(got.payload.hello.renderer), 127);
	assert_int_equal(strlen(got.payload.hello.display), 31);
	message.header.type = CONTROL_SCREENDUMP_DONE;
	assert_true(control_send(f->ours, &message, NULL));
	assert_true(control_receive(f->theirs, &got, NULL));
	assert_int_equal(strlen(got.payload.status.message), 255);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *name;
		struct control_header header;
		size_t len; /* of the packet */
		unsigned fds;
		const char *says;
	} rows[] = {
			{"one byte", {CONTROL_VERSION, CONTROL_PING, 0}, 1, 0, "without a header"},
			{"header cut short", {CONTROL_VERSION, CONTROL_PING, 0}, 15, 0,
					"without a header"},
			{"version", {2, CONTROL_PING, 0}, 16, 0, "version"},
			{"type 0", {CONTROL_VERSION, 0, 0}, 16, 0, "type"},
			{"type beyond", {CONTROL_VERSION, CONTROL_LOST + 1, 0}, 16, 0, "type"},
			{"payload for a ping", {CONTROL_VERSION, CONTROL_PING, 0}, 17, 0,
					"wrong size"},
			{"no payload", {CONTROL_VERSION, CONTROL_SET_MODE, 0}, 16, 0, "wrong size"},
			{"payload cut short", {CONTROL_VERSION, CONTROL_SET_MODE, 0}, 27, 0,
					"wrong size"},
			{"longer than any", {CONTROL_VERSION, CONTROL_LOST, 0}, 2000, 0,
					"wrong size"},
			{"fd with a ping", {CONTROL_VERSION, CONTROL_PING, 0}, 16, 1,
					"unexpected file"},
			{"two fds", {CONTROL_VERSION, CONTROL_SCREENDUMP, 0}, 24, 2,
					"unexpected file"},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		char packet[2048] = "";
		char space[CMSG_SPACE(sizeof(int) * 2)] __attribute__((aligned(8))) = "";
		struct iovec iov = {packet, rows[i].len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		struct cmsghdr *c = (struct cmsghdr *)(void *)space;
		g_autoptr(GError) error = NULL;
		struct control_message got;

		memcpy(packet, &rows[i].header, sizeof(rows[i].header));
		if (rows[i].fds) {
			msg.msg_control = space;
			msg.msg_controllen = CMSG_SPACE(sizeof(int) * rows[i].fds);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int) * rows[i].fds);
			memcpy(CMSG_DATA(c), &f->ours, sizeof(int));
			memcpy(CMSG_DATA(c) + sizeof(int), &f->ours, sizeof(int));
		}
		assert_int_equal(sendmsg(f->ours, &msg, 0), rows[i].len);
		bool ok = control_receive(f->theirs, &got, &error);
		if (ok || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, ok ? "accepted" : error->message);
		}
	}
	/* The descriptors of the bad packets were closed: this end is the last one. */
	fd_close(&f->ours);
	char c;
	assert_int_equal(recv(f->theirs, &c, 1, MSG_DONTWAIT), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_round_trip),
			TEST(test_full_and_closed),
			TEST(test_strings_end),
			TEST(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
