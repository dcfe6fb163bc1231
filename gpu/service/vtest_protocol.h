/* SPDX-License-Identifier: MIT */
/*
 * The vtest protocol, version 2, as Mesa's virpipe speaks it over a stream socket. Both ways a
 * message is a header {length, command} and its payload. Lengths count 32-bit words except where
 * noted, and clients do not always tell the truth: what a command carries is known from the
 * command. All words are host order.
 */
#ifndef GPU_SERVICE_VTEST_PROTOCOL_H
#define GPU_SERVICE_VTEST_PROTOCOL_H

#include <stdint.h>

#define VTEST_PROTOCOL_VERSION 2

struct vtest_header {
	uint32_t length;
	uint32_t command; /* enum vtest_command */
};

enum vtest_command {
	VTEST_GET_CAPS = 1, /* reply: length in bytes + 1, then capset 1 */
	VTEST_RESOURCE_CREATE = 2, /* version 0 */
	VTEST_RESOURCE_UNREF = 3,
	VTEST_TRANSFER_GET = 4, /* version 0 */
	VTEST_TRANSFER_PUT = 5, /* version 0 */
	VTEST_SUBMIT_CMD = 6, /* the stream */
	VTEST_RESOURCE_BUSY_WAIT = 7, /* reply: struct vtest_word */
	VTEST_CREATE_RENDERER = 8, /* length in bytes: the program's name */
	VTEST_GET_CAPS2 = 9, /* reply as command 2: length in bytes + 1, then capset 2 */
	VTEST_PING_PROTOCOL_VERSION = 10, /* reply: the header alone */
	VTEST_PROTOCOL_VERSION_NEGOTIATE = 11, /* reply: struct vtest_word */
	VTEST_RESOURCE_CREATE2 = 12, /* reply: a file descriptor, where there is data */
	VTEST_TRANSFER_GET2 = 13,
	VTEST_TRANSFER_PUT2 = 14,
};

/* UNREF, PROTOCOL_VERSION; replies of BUSY_WAIT and PROTOCOL_VERSION. */
struct vtest_word {
	uint32_t value;
};

struct vtest_resource_create2 {
	uint32_t handle; /* the client's choice */
	uint32_t target, format, bind;
	uint32_t width, height, depth;
	uint32_t array_size, last_level, nr_samples;
	uint32_t data_size; /* bytes of shared memory; 0: none (multisampled) */
};
_Static_assert(sizeof(struct vtest_resource_create2) == 44, "RESOURCE_CREATE2");

struct vtest_transfer2 {
	uint32_t handle, level;
	uint32_t x, y, z, width, height, depth;
	uint32_t data_size; /* bytes; of no use */
	uint32_t offset; /* bytes into the shared memory */
};
_Static_assert(sizeof(struct vtest_transfer2) == 40, "TRANSFER_GET2, TRANSFER_PUT2");

#define VTEST_BUSY_WAIT_FLAG_WAIT 1u

struct vtest_busy_wait {
	uint32_t handle;
	uint32_t flags;
};

#endif
