/* SPDX-License-Identifier: MIT */
#include "core/virtio/control.h"

#include "core/base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
	uint32_t type;
	uint32_t payload; /* bytes */
	bool carries_fd;
} types[] = {
		{CONTROL_PING, 0, false},
		{CONTROL_SCREENDUMP, sizeof(struct control_screendump), true},
		{CONTROL_SET_MODE, sizeof(struct control_mode), false},
		{CONTROL_QUERY_STATISTICS, 0, false},
		{CONTROL_QUIT, 0, false},
		{CONTROL_HELLO, sizeof(struct control_hello), false},
		{CONTROL_PONG, 0, false},
		{CONTROL_SCREENDUMP_DONE, sizeof(struct control_status), false},
		{CONTROL_STATISTICS, sizeof(struct control_statistics), false},
		{CONTROL_INPUT, sizeof(struct control_input), false},
		{CONTROL_CLOSED, 0, false},
		{CONTROL_LOST, sizeof(struct control_status), false},
};

/* The index into types, -1 if there is no such type. */
static int find_type(uint32_t type)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
		if (types[i].type == type) {
			return (int)i;
		}
	}
	return -1;
}

union fd_space {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

bool control_send(int socket, const struct control_message *message, GError **error)
{
	int type = find_type(message->header.type);
	assert(type >= 0 && (message->fd < 0 || types[type].carries_fd));

	struct control_header header = message->header;
	header.version = CONTROL_VERSION;
	struct iovec iov[2] = {
			{&header, sizeof(header)},
			{(void *)(uintptr_t)&message->payload, types[type].payload},
	};
	union fd_space space = {.bytes = {0}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	if (message->fd >= 0) {
		msg.msg_control = &space;
		msg.msg_controllen = sizeof(space);
		space.header.cmsg_level = SOL_SOCKET;
		space.header.cmsg_type = SCM_RIGHTS;
		space.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&space.header), &message->fd, sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		set_error_errno(error, "control channel: send");
	}
	return n >= 0;
}

/* Takes the descriptors of msg: the first is returned, any others are closed. */
static int take_fd(struct msghdr *msg, unsigned *ret_count)
{
	int taken = -1;
	unsigned seen = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (seen++ == 0) {
				taken = fd;
			} else {
				fd_close(&fd);
			}
		}
	}
	*ret_count = seen;
	return taken;
}

/* NULL if the packet of n bytes is as it should be, else what is wrong. */
static const char *check(
		const struct control_message *message, size_t n, int msg_flags, unsigned fds)
{
	if (n < sizeof(message->header)) {
		return "packet without a header";
	}
	if (message->header.version != CONTROL_VERSION) {
		return "unknown version";
	}
	int type = find_type(message->header.type);
	if (type < 0) {
		return "unknown type";
	}
	if (n != sizeof(message->header) + types[type].payload || (msg_flags & MSG_TRUNC)) {
		return "payload of the wrong size";
	}
	if (fds > (types[type].carries_fd ? 1u : 0u) || (msg_flags & MSG_CTRUNC)) {
		return "unexpected file descriptors";
	}
	return NULL;
}

/* Ends the strings of a payload: the sender may not have. */
static void terminate_strings(struct control_message *message)
{
	union control_payload *payload = &message->payload;

	switch (message->header.type) {
	case CONTROL_HELLO:
		payload->hello.renderer[sizeof(payload->hello.renderer) - 1] = '\0';
		payload->hello.display[sizeof(payload->hello.display) - 1] = '\0';
		break;
	case CONTROL_SCREENDUMP_DONE:
	case CONTROL_LOST:
		payload->status.message[sizeof(payload->status.message) - 1] = '\0';
		break;
	default:
		break;
	}
}

bool control_receive(int socket, struct control_message *ret_message, GError **error)
{
	struct control_message message;
	union fd_space space;
	ssize_t n;
	unsigned fds;

	memset(&message, 0, sizeof(message));
	struct iovec iov[2] = {
			{&message.header, sizeof(message.header)},
			{&message.payload, sizeof(message.payload)},
	};
	struct msghdr msg = {.msg_iov = iov,
			.msg_iovlen = 2,
			.msg_control = &space,
			.msg_controllen = sizeof(space)};
	do {
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		set_error_errno(error, "control channel: receive");
		return false;
	}
	message.fd = take_fd(&msg, &fds);
	const char *wrong = n == 0 ? "the peer closed it"
				   : check(&message, (size_t)n, msg.msg_flags, fds);
	if (wrong) {
		fd_close(&message.fd);
		g_set_error(error, G_FILE_ERROR, n == 0 ? G_FILE_ERROR_PIPE : G_FILE_ERROR_INVAL,
				"control channel: %s", wrong);
		return false;
	}
	terminate_strings(&message);
	*ret_message = message;
	return true;
}
