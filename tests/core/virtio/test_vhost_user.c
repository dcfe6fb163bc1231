/* SPDX-License-Identifier: MIT */
#include "core/virtio/vhost_user.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct fixture {
	int ours, theirs;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
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

static unsigned count_open_fds(void)
{
	g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
	unsigned count = 0;

	while (g_dir_read_name(dir)) {
		count++;
	}
	return count;
}

static void test_memory_table_with_fds(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = memfd_create_sized("a", 4096, NULL),
		    b = memfd_create_sized("b", 4096, NULL);
	struct vhost_user_message sent = {
			.header = {VHOST_USER_SET_MEM_TABLE,
					VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY, 72},
			.payload.memory = {.nregions = 2,
					.regions = {{0, 4096, 0x7000, 0},
							{0x100000, 4096, 0x9000, 0}}},
			.fds = {a, b},
			.nfds = 2,
	};
	struct vhost_user_message got;

	assert_true(vhost_user_send(f->ours, &sent, NULL));
	assert_true(vhost_user_receive(f->theirs, &got, NULL));
	assert_memory_equal(&got.header, &sent.header, sizeof(got.header));
	assert_memory_equal(&got.payload, &sent.payload, 72);
	assert_int_equal(got.nfds, 2);
	assert_true(got.fds[0] >= 0 && got.fds[1] >= 0 && got.fds[2] == -1);
	assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pwrite(got.fds[1], "x", 1, 7), 1);
	char c = 0;
	assert_int_equal(pread(b, &c, 1, 7), 1);
	assert_int_equal(c, 'x');
	vhost_user_message_close_fds(&got);
	assert_int_equal(got.nfds, 0);
	assert_int_equal(got.fds[0], -1);
}

static void test_two_in_a_row(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_message message = {
			.header = {VHOST_USER_SET_VRING_NUM, VHOST_USER_VERSION, 8},
			.payload.state = {3, 64},
	};

	assert_true(vhost_user_send(f->ours, &message, NULL));
	message.payload.state.index = 4;
	assert_true(vhost_user_send(f->ours, &message, NULL));
	assert_true(vhost_user_receive(f->theirs, &message, NULL));
	assert_int_equal(message.payload.state.index, 3);
	assert_true(vhost_user_receive(f->theirs, &message, NULL));
	assert_int_equal(message.payload.state.index, 4);
}

/* One byte at a time, from another thread, with the reader's end non-blocking. */
static void drip(void *opaque)
{
	struct fixture *f = opaque;
	struct {
		struct vhost_user_header header;
		uint64_t value;
	} __attribute__((packed))
	message = {{VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8}, 0x1122334455667788};

	for (unsigned i = 0; i < sizeof(message); i++) {
		ssize_t n = write(f->ours, (char *)&message + i, 1);
		assert(n == 1);
	}
}

static void test_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_message got;
	pthread_t thread;

	assert_int_equal(fcntl(f->theirs, F_SETFL, O_NONBLOCK), 0);
	assert_true(thread_create(&thread, "drip", drip, f, NULL));
	assert_true(vhost_user_receive(f->theirs, &got, NULL));
	assert_int_equal(got.payload.u64, 0x1122334455667788);
	pthread_join(thread, NULL);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *name;
		struct vhost_user_header header;
		union vhost_user_payload payload;
		const char *says;
	} rows[] = {
			{"version 0", {VHOST_USER_GET_FEATURES, 0, 0}, .says = "version"},
			{"version 2", {VHOST_USER_GET_FEATURES, 2, 0}, .says = "version"},
			{"longest payload and one",
					{VHOST_USER_SET_CONFIG, 1,
							sizeof(union vhost_user_payload) + 1},
					.says = "too long"},
			{"4 GiB", {VHOST_USER_SET_CONFIG, 1, UINT32_MAX}, .says = "too long"},
			{"unwanted payload", {VHOST_USER_GET_FEATURES, 1, 8}, .says = "wrong size"},
			{"number cut short", {VHOST_USER_SET_FEATURES, 1, 4}, .says = "wrong size"},
			{"state too long", {VHOST_USER_SET_VRING_NUM, 1, 16}, .says = "wrong size"},
			{"address cut short", {VHOST_USER_SET_VRING_ADDR, 1, 32},
					.says = "wrong size"},
			{"log cut short", {VHOST_USER_SET_LOG_BASE, 1, 8}, .says = "wrong size"},
			{"inflight cut short", {VHOST_USER_SET_INFLIGHT_FD, 1, 16},
					.says = "wrong size"},
			{"table without a count", {VHOST_USER_SET_MEM_TABLE, 1, 4},
					.says = "wrong size"},
			{"9 regions", {VHOST_USER_SET_MEM_TABLE, 1, 264},
					{.memory = {.nregions = 9}}, .says = "wrong size"},
			{"2 regions in the space of 1", {VHOST_USER_SET_MEM_TABLE, 1, 40},
					{.memory = {.nregions = 2}}, .says = "wrong size"},
			{"2^31 regions", {VHOST_USER_SET_MEM_TABLE, 1, 8},
					{.memory = {.nregions = 0x80000000}}, .says = "wrong size"},
			{"config of 257 bytes", {VHOST_USER_SET_CONFIG, 1, 268},
					{.config = {.size = 257}}, .says = "wrong size"},
			{"config longer than the message", {VHOST_USER_SET_CONFIG, 1, 20},
					{.config = {.size = 9}}, .says = "wrong size"},
			{"config without header", {VHOST_USER_SET_CONFIG, 1, 8},
					.says = "wrong size"},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		int pair[2];
		g_autoptr(GError) error = NULL;
		struct vhost_user_message got;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(write(pair[0], &rows[i].header, 12), 12);
		size_t size = MIN(rows[i].header.size, sizeof(rows[i].payload));
		assert_int_equal(write(pair[0], &rows[i].payload, size), size);
		bool ok = vhost_user_receive(pair[1], &got, &error);
		if (ok || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, ok ? "accepted" : error->message);
		}
		close(pair[0]);
		close(pair[1]);
	}
	(void)f;
}

static void test_replies(void **state)
{
	static const struct vhost_user_header rows[] = {
			{VHOST_USER_GET_FEATURES, 1 | VHOST_USER_FLAG_REPLY, 8},
			{VHOST_USER_SET_MEM_TABLE, 1 | VHOST_USER_FLAG_REPLY, 8},
			{VHOST_USER_SET_CONFIG, 1 | VHOST_USER_FLAG_REPLY, 8},
			{VHOST_USER_GET_CONFIG, 1 | VHOST_USER_FLAG_REPLY, 0},
			{VHOST_USER_GET_VRING_BASE, 1 | VHOST_USER_FLAG_REPLY, 8},
			{VHOST_USER_GET_INFLIGHT_FD, 1 | VHOST_USER_FLAG_REPLY, 20},
			{VHOST_USER_GET_INFLIGHT_FD, 1 | VHOST_USER_FLAG_REPLY, 24},
			{4711, 1, 100}, /* for the receiver to refuse */
	};
	struct fixture *f = *state;
	struct vhost_user_message got;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct vhost_user_message message = {.header = rows[i]};
		assert_true(vhost_user_send(f->ours, &message, NULL));
		assert_true(vhost_user_receive(f->theirs, &got, NULL));
		assert_int_equal(got.header.request, rows[i].request);
	}
	assert_string_equal(vhost_user_request_name(VHOST_USER_GET_CONFIG), "GET_CONFIG");
	assert_string_equal(vhost_user_request_name(4711), "unknown request");
}

static void test_end_of_stream(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_message message = {.header = {VHOST_USER_GET_FEATURES, 1, 0}};
	g_autoptr(GError) error = NULL, half = NULL, sending = NULL;

	assert_int_equal(write(f->ours, &message.header, 5), 5);
	fd_close(&f->ours);
	assert_false(vhost_user_receive(f->theirs, &message, &half));
	assert_true(g_error_matches(half, G_FILE_ERROR, G_FILE_ERROR_PIPE));
	assert_false(vhost_user_receive(f->theirs, &message, &error));
	assert_true(g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_PIPE));
	assert_false(vhost_user_send(f->theirs, &message, &sending));
	assert_true(g_error_matches(sending, G_FILE_ERROR, G_FILE_ERROR_PIPE));
}

static void send_with_fds(int socket, const void *data, size_t len, unsigned nfds)
{
	char space[CMSG_SPACE(sizeof(int) * 16)] __attribute__((aligned(8))) = {0};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = space,
			.msg_controllen = CMSG_SPACE(sizeof(int) * nfds)};
	struct cmsghdr *c = (struct cmsghdr *)(void *)space;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
	for (unsigned i = 0; i < nfds; i++) {
		memcpy(CMSG_DATA(c) + i * sizeof(int), &socket, sizeof(int));
	}
	assert_int_equal(sendmsg(socket, &msg, 0), len);
}

/* Descriptors nobody asked for are closed, with the header or with the payload, few or many. */
static void test_unwanted_fds(void **state)
{
	static const struct {
		unsigned with_header, with_payload;
		uint32_t request;
	} rows[] = {
			{1, 0, VHOST_USER_SET_FEATURES},
			{0, 1, VHOST_USER_SET_FEATURES},
			{9, 0, VHOST_USER_SET_MEM_TABLE},
			{16, 0, VHOST_USER_SET_MEM_TABLE},
			{8, 1, VHOST_USER_SET_LOG_BASE},
	};
	struct fixture *f = *state;
	unsigned before = count_open_fds();

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct vhost_user_header header = {rows[i].request, 1, 8};
		uint64_t value = 0;
		struct vhost_user_message got;
		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		if (rows[i].with_header) {
			send_with_fds(pair[0], &header, sizeof(header), rows[i].with_header);
		} else {
			assert_int_equal(write(pair[0], &header, sizeof(header)), sizeof(header));
		}
		if (rows[i].with_payload) {
			send_with_fds(pair[0], &value, sizeof(value), rows[i].with_payload);
		} else {
			assert_int_equal(write(pair[0], &value, sizeof(value)), sizeof(value));
		}
		assert_false(vhost_user_receive(pair[1], &got, NULL));
		close(pair[0]);
		close(pair[1]);
		assert_int_equal(count_open_fds(), before);
	}
	(void)f;
}

/* A socket with a time-out keeps to it: nothing waits for ever for a peer that is silent. */
static void test_timeout(void **state)
{
	const struct timeval timeout = {.tv_usec = 1000};
	const struct vhost_user_header half = {VHOST_USER_SET_FEATURES, 1, 8};
	struct vhost_user_message message = {.header = {.request = VHOST_USER_SET_OWNER}};
	g_autoptr(GError) error = NULL;
	int pair[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(
			setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(
			setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	assert_false(vhost_user_receive(pair[1], &message, &error));
	assert_non_null(error);
	g_clear_error(&error);
	assert_int_equal(write(pair[0], &half, sizeof(half)), sizeof(half));
	assert_false(vhost_user_receive(pair[1], &message, &error));
	assert_non_null(error);
	g_clear_error(&error);
	message = (struct vhost_user_message){.header = {.request = VHOST_USER_SET_OWNER}};
	while (vhost_user_send(pair[1], &message, &error)) {
	}
	assert_non_null(error);
	close(pair[0]);
	close(pair[1]);
}

/* The numbers of the back end's own requests are those of other requests. */
static void test_backend_channel(void **state)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, .flags = 1}};
	struct vhost_user_message got;
	int pair[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(vhost_user_send(pair[0], &message, NULL));
	assert_true(vhost_user_receive_backend(pair[1], &got, NULL));
	assert_int_equal(got.header.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	message.header.size = 8;
	assert_true(vhost_user_send(pair[0], &message, NULL));
	assert_false(vhost_user_receive_backend(pair[1], &got, NULL));
	close(pair[0]);
	close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_memory_table_with_fds),
			TEST(test_two_in_a_row),
			TEST(test_in_pieces),
			TEST(test_malformed),
			TEST(test_replies),
			TEST(test_end_of_stream),
			TEST(test_unwanted_fds),
			TEST(test_timeout),
			TEST(test_backend_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
