/* SPDX-License-Identifier: MIT */
/*
 * The control channel between the machine and the picture: a seqpacket socket pair that carries
 * what vhost-user does not. One packet a message: header, fixed payload, at most one file
 * descriptor. Both programs come from one build; version is checked all the same, and every number
 * is checked by the receiver.
 */
#ifndef CORE_VIRTIO_CONTROL_H
#define CORE_VIRTIO_CONTROL_H

#include "core/base/base.h"

#define CONTROL_VERSION 1u
#define CONTROL_MAX_PAYLOAD 512

/* The picture's exit status when it could not start and has said why; a stranger's is another. */
#define CONTROL_EXIT_EXPLAINED 3

enum control_type {
	/* machine to picture */
	CONTROL_PING = 1, /* cookie; answered by the service thread */
	CONTROL_SCREENDUMP, /* struct control_screendump + fd to write to */
	CONTROL_SET_MODE, /* struct control_mode */
	CONTROL_QUERY_STATISTICS,
	CONTROL_QUIT, /* release everything and exit with status 0 */

	/* picture to machine */
	CONTROL_HELLO = 0x100, /* struct control_hello: ready for vhost-user */
	CONTROL_PONG, /* cookie */
	CONTROL_SCREENDUMP_DONE, /* struct control_status */
	CONTROL_STATISTICS, /* struct control_statistics */
	CONTROL_INPUT, /* struct control_input */
	CONTROL_CLOSED, /* the user closed the window */
	CONTROL_LOST, /* struct control_status: the renderer must be replaced */
};

struct control_header {
	uint32_t version;
	uint32_t type; /* enum control_type */
	uint64_t cookie; /* chosen by the asker, returned in the answer */
};

struct control_hello {
	char renderer[128]; /* GL_RENDERER or "pixman" */
	char display[32];
};

struct control_screendump {
	uint32_t head;
	uint32_t cursor; /* 0 or 1 */
};

struct control_status {
	uint32_t ok; /* 0 or 1 */
	char message[256]; /* of an error */
};

struct control_mode {
	uint32_t head;
	uint32_t width, height; /* pixels; 0x0: the head vanishes */
};

struct control_input {
	uint32_t head;
	uint16_t kind; /* enum display_input_kind */
	uint16_t code;
	int32_t value;
};

struct control_statistics {
	uint64_t commands, errors, fences, frames;
	uint64_t host_bytes;
	uint32_t contexts, resources;
};

union control_payload {
	struct control_hello hello;
	struct control_screendump screendump;
	struct control_status status;
	struct control_mode mode;
	struct control_input input;
	struct control_statistics statistics;
};

struct control_message {
	struct control_header header;
	union control_payload payload;
	int fd; /* -1: none. A received one belongs to the receiver */
};
_Static_assert(sizeof(union control_payload) <= CONTROL_MAX_PAYLOAD, "one packet");

/*
 * Sends without blocking: false with G_FILE_ERROR_AGAIN if the peer does not read. fd is not
 * closed.
 */
bool control_send(int socket, const struct control_message *message, GError **error);

/*
 * Receives one message if there is one. False at end of stream, on malformed packets, and
 * (G_FILE_ERROR_AGAIN) when empty.
 */
bool control_receive(int socket, struct control_message *ret_message, GError **error);

#endif
