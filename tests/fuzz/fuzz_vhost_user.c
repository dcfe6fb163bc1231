/* SPDX-License-Identifier: MIT */
/* A peer that sends anything: the first byte says how many descriptors go along, the rest is the stream. */
#include "core/base/fd.h"
#include "core/virtio/control.h"
#include "core/virtio/vhost_user.h"
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#define MAX_STREAM 65536
#define MAX_SENT_FDS 12

static void send_input(int socket, const struct fuzz_input *input, unsigned nfds)
{
	char space[CMSG_SPACE(sizeof(int) * MAX_SENT_FDS)] __attribute__((aligned(8))) = {0};
	struct iovec iov = {(void *)(uintptr_t)input->at, MIN(input->left, MAX_STREAM)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c = (struct cmsghdr *)(void *)space;

	if (nfds > 0) {
		msg.msg_control = space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		for (unsigned i = 0; i < nfds; i++) {
			memcpy(CMSG_DATA(c) + i * sizeof(int), &socket, sizeof(int));
		}
	}
	(void)sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL); /* as much as fits */
	shutdown(socket, SHUT_WR);
}

static void receive_vhost_user(const struct fuzz_input *input, unsigned nfds)
{
	int pair[2];
	int ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	assert(ret == 0);

	struct vhost_user_message message;
	send_input(pair[0], input, nfds);
	while (vhost_user_receive(pair[1], &message, NULL)) {
		assert(vhost_user_request_name(message.header.request));
		assert(message.header.size <= sizeof(message.payload));
		vhost_user_message_close_fds(&message);
	}
	close(pair[0]);
	close(pair[1]);
}

static void receive_control(const struct fuzz_input *input, unsigned nfds)
{
	int pair[2];
	int ret = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	assert(ret == 0);

	struct control_message message;
	send_input(pair[0], input, nfds);
	if (control_receive(pair[1], &message, NULL)) {
		fd_close(&message.fd);
	}
	close(pair[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	unsigned options = fuzz_take8(&input);
	unsigned nfds = (options >> 1) % (MAX_SENT_FDS + 1);

	if (options & 1) {
		receive_control(&input, nfds);
	} else {
		receive_vhost_user(&input, nfds);
	}
	return 0;
}
