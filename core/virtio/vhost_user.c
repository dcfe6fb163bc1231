/* SPDX-License-Identifier: MIT */
#include "core/virtio/vhost_user.h"

#include "core/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a payload may be. */
enum payload_kind {
	PAYLOAD_NONE,
	PAYLOAD_U64,
	PAYLOAD_STATE,
	PAYLOAD_ADDR,
	PAYLOAD_MEMORY,
	PAYLOAD_CONFIG,
	PAYLOAD_LOG,
	PAYLOAD_INFLIGHT,
};

/* What goes each way. Every request may also be answered by a number (REPLY_ACK). */
struct request_kind {
	const char *name;
	uint32_t request;
	enum payload_kind asks, answers;
	bool carries_fds;
};

static const struct request_kind requests[] = {
		{"GET_FEATURES", VHOST_USER_GET_FEATURES, PAYLOAD_NONE, PAYLOAD_U64, false},
		{"SET_FEATURES", VHOST_USER_SET_FEATURES, PAYLOAD_U64, PAYLOAD_U64, false},
		{"SET_OWNER", VHOST_USER_SET_OWNER, PAYLOAD_NONE, PAYLOAD_U64, false},
		{"RESET_OWNER", VHOST_USER_RESET_OWNER, PAYLOAD_NONE, PAYLOAD_U64, false},
		{"SET_MEM_TABLE", VHOST_USER_SET_MEM_TABLE, PAYLOAD_MEMORY, PAYLOAD_MEMORY, true},
		{"SET_LOG_BASE", VHOST_USER_SET_LOG_BASE, PAYLOAD_LOG, PAYLOAD_U64, true},
		{"SET_LOG_FD", VHOST_USER_SET_LOG_FD, PAYLOAD_NONE, PAYLOAD_U64, true},
		{"SET_VRING_NUM", VHOST_USER_SET_VRING_NUM, PAYLOAD_STATE, PAYLOAD_U64, false},
		{"SET_VRING_ADDR", VHOST_USER_SET_VRING_ADDR, PAYLOAD_ADDR, PAYLOAD_U64, false},
		{"SET_VRING_BASE", VHOST_USER_SET_VRING_BASE, PAYLOAD_STATE, PAYLOAD_U64, false},
		{"GET_VRING_BASE", VHOST_USER_GET_VRING_BASE, PAYLOAD_STATE, PAYLOAD_STATE, false},
		{"SET_VRING_KICK", VHOST_USER_SET_VRING_KICK, PAYLOAD_U64, PAYLOAD_U64, true},
		{"SET_VRING_CALL", VHOST_USER_SET_VRING_CALL, PAYLOAD_U64, PAYLOAD_U64, true},
		{"SET_VRING_ERR", VHOST_USER_SET_VRING_ERR, PAYLOAD_U64, PAYLOAD_U64, true},
		{"GET_PROTOCOL_FEATURES", VHOST_USER_GET_PROTOCOL_FEATURES, PAYLOAD_NONE,
				PAYLOAD_U64, false},
		{"SET_PROTOCOL_FEATURES", VHOST_USER_SET_PROTOCOL_FEATURES, PAYLOAD_U64,
				PAYLOAD_U64, false},
		{"GET_QUEUE_NUM", VHOST_USER_GET_QUEUE_NUM, PAYLOAD_NONE, PAYLOAD_U64, false},
		{"SET_VRING_ENABLE", VHOST_USER_SET_VRING_ENABLE, PAYLOAD_STATE, PAYLOAD_U64,
				false},
		{"SET_BACKEND_REQ_FD", VHOST_USER_SET_BACKEND_REQ_FD, PAYLOAD_NONE, PAYLOAD_U64,
				true},
		{"GET_CONFIG", VHOST_USER_GET_CONFIG, PAYLOAD_CONFIG, PAYLOAD_CONFIG, false},
		{"SET_CONFIG", VHOST_USER_SET_CONFIG, PAYLOAD_CONFIG, PAYLOAD_U64, false},
		{"GET_INFLIGHT_FD", VHOST_USER_GET_INFLIGHT_FD, PAYLOAD_INFLIGHT, PAYLOAD_INFLIGHT,
				true},
		{"SET_INFLIGHT_FD", VHOST_USER_SET_INFLIGHT_FD, PAYLOAD_INFLIGHT, PAYLOAD_U64,
				true},
		{"RESET_DEVICE", VHOST_USER_RESET_DEVICE, PAYLOAD_NONE, PAYLOAD_U64, false},
		{"SET_STATUS", VHOST_USER_SET_STATUS, PAYLOAD_U64, PAYLOAD_U64, false},
		{"GET_STATUS", VHOST_USER_GET_STATUS, PAYLOAD_NONE, PAYLOAD_U64, false},
};

/* What a back end asks on its own channel: the numbers mean other things there. */
static const struct request_kind backend_requests[] = {
		{"CONFIG_CHANGE_MSG", VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, PAYLOAD_NONE,
				PAYLOAD_U64, false},
};

const char *vhost_user_request_name(uint32_t request)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
		if (requests[i].request == request) {
			return requests[i].name;
		}
	}
	return "unknown request";
}

void vhost_user_message_close_fds(struct vhost_user_message *message)
{
	for (unsigned i = 0; i < message->nfds; i++) {
		fd_close(&message->fds[i]);
	}
	message->nfds = 0;
}

/*
 * After EAGAIN: sleeps until a socket that was made non-blocking is ready. False for one that was
 * given a time-out instead, which has passed.
 */
static bool wait_for(int socket, short events)
{
	struct pollfd pollfd = {.fd = socket, .events = events};
	int flags = fcntl(socket, F_GETFL);

	if (flags < 0 || !(flags & O_NONBLOCK)) {
		errno = ETIMEDOUT;
		return false;
	}
	(void)poll(&pollfd, 1, -1); /* an error shows in the next call on the socket */
	return true;
}

static bool set_closed(GError **error)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PIPE,
			"vhost-user: the peer closed the connection");
	return false;
}

static bool set_malformed(
		const struct vhost_user_message *message, const char *what, GError **error)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "vhost-user: %s (%u): %s",
			vhost_user_request_name(message->header.request), message->header.request,
			what);
	return false;
}

union fd_space {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_MAX_FDS)];
};

static void put_fds(struct msghdr *msg, union fd_space *space, const int *fds, unsigned nfds)
{
	if (nfds == 0) {
		return;
	}
	memset(space, 0, sizeof(*space));
	msg->msg_control = space;
	msg->msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
	space->header.cmsg_level = SOL_SOCKET;
	space->header.cmsg_type = SCM_RIGHTS;
	space->header.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
	memcpy(CMSG_DATA(&space->header), fds, sizeof(int) * nfds);
}

bool vhost_user_send(int socket, const struct vhost_user_message *message, GError **error)
{
	union fd_space space;
	size_t done = 0;
	size_t total = sizeof(message->header) + message->header.size;

	assert(message->header.size <= sizeof(message->payload));
	assert(message->nfds <= VHOST_USER_MAX_FDS);
	_Static_assert(offsetof(struct vhost_user_message, payload) >= sizeof(message->header),
			"order");
	while (done < total) {
		struct iovec iov[2] = {
				{(char *)(uintptr_t)&message->header, sizeof(message->header)},
				{(char *)(uintptr_t)&message->payload, message->header.size},
		};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
		for (unsigned i = 0, skip = (unsigned)done; i < 2; i++) {
			unsigned n = MIN(skip, (unsigned)iov[i].iov_len);
			iov[i].iov_base = (char *)iov[i].iov_base + n;
			iov[i].iov_len -= n;
			skip -= n;
		}
		if (done == 0) {
			put_fds(&msg, &space, message->fds, message->nfds);
		}
		ssize_t n = sendmsg(socket, &msg, MSG_NOSIGNAL);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno != EINTR && !(errno == EAGAIN && wait_for(socket, POLLOUT))) {
			set_error_errno(error, "vhost-user: send %s",
					vhost_user_request_name(message->header.request));
			return false;
		}
	}
	return true;
}

/* Takes the descriptors out of msg; false (all of them closed) if there are too many. */
static bool take_fds(struct msghdr *msg, struct vhost_user_message *message)
{
	bool ok = !(msg->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (message->nfds < VHOST_USER_MAX_FDS) {
				message->fds[message->nfds++] = fd;
			} else {
				fd_close(&fd);
				ok = false;
			}
		}
	}
	return ok;
}

/* Reads len bytes; descriptors that come with them go into message. */
static bool receive_all(int socket, void *buf, size_t len, struct vhost_user_message *message,
		GError **error)
{
	union fd_space space;
	char *at = buf;

	while (len > 0) {
		struct iovec iov = {at, len};
		struct msghdr msg = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = &space,
				.msg_controllen = sizeof(space)};
		ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EAGAIN && wait_for(socket, POLLIN)) {
			continue;
		}
		if (n < 0 && errno != ECONNRESET) {
			set_error_errno(error, "vhost-user: receive");
			return false;
		}
		if (n <= 0) {
			return set_closed(error);
		}
		if (!take_fds(&msg, message)) {
			return set_malformed(message, "too many file descriptors", error);
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool size_fits(const struct vhost_user_message *message, enum payload_kind kind)
{
	uint32_t size = message->header.size;

	switch (kind) {
	case PAYLOAD_NONE:
		return size == 0;
	case PAYLOAD_U64:
		return size == sizeof(uint64_t);
	case PAYLOAD_STATE:
		return size == sizeof(struct vhost_user_vring_state);
	case PAYLOAD_ADDR:
		return size == sizeof(struct vhost_user_vring_addr);
	case PAYLOAD_MEMORY:
		return size >= offsetof(struct vhost_user_memory, regions);
	case PAYLOAD_CONFIG:
		return size >= offsetof(struct vhost_user_config, data);
	case PAYLOAD_LOG:
		return size == sizeof(struct vhost_user_log);
	case PAYLOAD_INFLIGHT:
		/* With and without the padding at its end: both are in use. */
		return size == sizeof(struct vhost_user_inflight) ||
		       size == offsetof(struct vhost_user_inflight, queue_size) + sizeof(uint16_t);
	}
	return false;
}

/* Whether the counts inside the payload agree with its size. */
static bool contents_fit(const struct vhost_user_message *message, enum payload_kind kind)
{
	const struct vhost_user_memory *memory = &message->payload.memory;
	const struct vhost_user_config *config = &message->payload.config;
	uint32_t size = message->header.size;

	if (kind == PAYLOAD_MEMORY) {
		return memory->nregions <= VHOST_USER_MAX_REGIONS &&
		       size == offsetof(struct vhost_user_memory, regions) +
						       memory->nregions *
								       sizeof(memory->regions[0]);
	}
	if (kind == PAYLOAD_CONFIG) {
		return config->size <= VHOST_USER_MAX_CONFIG &&
		       size == offsetof(struct vhost_user_config, data) + config->size;
	}
	return true;
}

static bool check_message(const struct vhost_user_message *message,
		const struct request_kind *kinds, unsigned count, GError **error)
{
	bool reply = message->header.flags & VHOST_USER_FLAG_REPLY;

	for (unsigned i = 0; i < count; i++) {
		if (kinds[i].request != message->header.request) {
			continue;
		}
		enum payload_kind kind = reply ? kinds[i].answers : kinds[i].asks;
		if (reply && size_fits(message, PAYLOAD_U64)) {
			return true; /* REPLY_ACK */
		}
		if (reply && kind == PAYLOAD_CONFIG && message->header.size == 0) {
			return true; /* how GET_CONFIG says that it failed */
		}
		if (!size_fits(message, kind) || !contents_fit(message, kind)) {
			return set_malformed(message, "payload of the wrong size", error);
		}
		if (message->nfds > 0 && !kinds[i].carries_fds) {
			return set_malformed(message, "unexpected file descriptors", error);
		}
		return true;
	}
	return true; /* unknown requests are for the receiver to refuse */
}

static bool receive(int socket, const struct request_kind *kinds, unsigned count,
		struct vhost_user_message *ret_message, GError **error)
{
	struct vhost_user_message message = {.nfds = 0};

	for (unsigned i = 0; i < VHOST_USER_MAX_FDS; i++) {
		message.fds[i] = -1;
	}
	bool ok = receive_all(socket, &message.header, sizeof(message.header), &message, error);
	if (ok && (message.header.flags & VHOST_USER_FLAG_VERSION_MASK) != VHOST_USER_VERSION) {
		ok = set_malformed(&message, "unknown protocol version", error);
	}
	if (ok && message.header.size > sizeof(message.payload)) {
		ok = set_malformed(&message, "payload too long", error);
	}
	ok = ok && receive_all(socket, &message.payload, message.header.size, &message, error);
	ok = ok && check_message(&message, kinds, count, error);
	if (!ok) {
		vhost_user_message_close_fds(&message);
		return false;
	}
	*ret_message = message;
	return true;
}

bool vhost_user_receive(int socket, struct vhost_user_message *ret_message, GError **error)
{
	return receive(socket, requests, G_N_ELEMENTS(requests), ret_message, error);
}

bool vhost_user_receive_backend(int socket, struct vhost_user_message *ret_message, GError **error)
{
	return receive(socket, backend_requests, G_N_ELEMENTS(backend_requests), ret_message,
			error);
}
