/* SPDX-License-Identifier: MIT */
/*
 * vhost-user messages (QEMU's docs/interop/vhost-user.rst): wire format, sending and receiving with
 * file descriptors. Both halves use it: the machine as front end (master), the picture as back end
 * (slave).
 */
#ifndef CORE_VIRTIO_VHOST_USER_H
#define CORE_VIRTIO_VHOST_USER_H

#include "core/base/base.h"

#define VHOST_USER_VERSION 1u
#define VHOST_USER_FLAG_VERSION_MASK 3u
#define VHOST_USER_FLAG_REPLY (1u << 2)
#define VHOST_USER_FLAG_NEED_REPLY (1u << 3)

#define VHOST_USER_MAX_FDS 8
#define VHOST_USER_MAX_REGIONS 8
#define VHOST_USER_MAX_CONFIG 256
#define VHOST_USER_VRING_NOFD (1u << 8)

#define VHOST_F_LOG_ALL 26
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
};

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
};

/* Requests of the back end, on the channel of SET_BACKEND_REQ_FD. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
};

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
};
_Static_assert(sizeof(struct vhost_user_header) == 12, "vhost-user header");

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc, used,
			avail; /* front-end virtual addresses: userspace_addr of the memory table */
	uint64_t log;
};
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "vhost-user vring address");

struct vhost_user_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vhost_user_memory {
	uint32_t nregions;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_MAX_REGIONS];
};

struct vhost_user_config {
	uint32_t offset, size, flags;
	uint8_t data[VHOST_USER_MAX_CONFIG];
};

struct vhost_user_log {
	uint64_t size, offset;
};

struct vhost_user_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t num_queues, queue_size;
};

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_memory memory;
	struct vhost_user_config config;
	struct vhost_user_log log;
	struct vhost_user_inflight inflight;
};

struct vhost_user_message {
	struct vhost_user_header header;
	union vhost_user_payload payload;
	/*
	 * Descriptors that came or go with it. Received ones belong to whoever takes them; -1
	 * beyond nfds.
	 */
	int fds[VHOST_USER_MAX_FDS];
	unsigned nfds;
};

/*
 * Sends header, payload and descriptors (not closed). Blocks, no longer than the socket's own time-
 * out (SO_SNDTIMEO, SO_RCVTIMEO).
 */
bool vhost_user_send(int socket, const struct vhost_user_message *message, GError **error);

/*
 * Receives one message, checked for version and size. False at end of stream (error
 * G_FILE_ERROR_PIPE) or on a malformed message. Blocks.
 */
bool vhost_user_receive(int socket, struct vhost_user_message *ret_message, GError **error);

/* The same on the channel of the back end's own requests, whose numbers mean other things. */
bool vhost_user_receive_backend(int socket, struct vhost_user_message *ret_message, GError **error);

/* Closes the descriptors nobody took. */
void vhost_user_message_close_fds(struct vhost_user_message *message);

const char *vhost_user_request_name(uint32_t request);

#endif
