/* SPDX-License-Identifier: MIT */
/*
 * One command of the guest on its way through the GPU. The table of commands knows each one's queue, lengths, features and handlers, so
 * that length checks, tracing and the reply's header are written once (virtio 1.3, 5.7.6).
 */
#ifndef GPU_COMMAND_H
#define GPU_COMMAND_H

#include "gpu/state.h"

/* The fixed part of any request. */
union gpu_wire {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_get_edid get_edid;
	struct virtio_gpu_resource_create_2d create_2d;
	struct virtio_gpu_resource_cmd resource;
	struct virtio_gpu_set_scanout set_scanout;
	struct virtio_gpu_resource_flush flush;
	struct virtio_gpu_transfer_to_host_2d transfer_2d;
	struct virtio_gpu_get_capset_info get_capset_info;
	struct virtio_gpu_get_capset get_capset;
	struct virtio_gpu_transfer_host_3d transfer_3d;
	struct virtio_gpu_resource_create_3d create_3d;
	struct virtio_gpu_ctx_create ctx_create;
	struct virtio_gpu_cmd_submit submit;
	struct virtio_gpu_update_cursor cursor;
};

struct gpu_command_type;

struct gpu_command {
	struct gpu_work work;
	struct gpu_request *request;
	const struct gpu_command_type *type; /* NULL: no such command */
	union gpu_wire wire; /* private copy, as much as the type says */
	size_t readable, writable; /* bytes of the request's buffers */

	uint32_t reply; /* enum virtio_gpu_ctrl_type; 0: not decided */
	size_t reply_len; /* bytes, header included */
	const char *why; /* of an error: a static string; may be NULL */

	uint64_t cursor_update; /* UPDATE_CURSOR: which one this is */

	/* fence.c's */
	GQueue *timeline; /* it is on; NULL: none */
	uint64_t seq;
	bool signalled;

	/* scanout.c's */
	bool flush_waiting; /* on gpu->flushes */
	uint32_t flush_heads; /* one bit each */
	uint64_t flush_serial;
	int64_t flush_deadline; /* g_get_monotonic_time() */
};

struct gpu_command_type {
	uint32_t type; /* enum virtio_gpu_ctrl_type */
	unsigned queue; /* enum virtio_gpu_queue */
	const char *name;
	size_t request_len; /* of the fixed part */
	size_t reply_len; /* of success, header included; the least where it varies */
	uint64_t features; /* all needed: BIT(VIRTIO_GPU_F_...) */
	/*
	 * Each returns the reply's type. submit runs on the submitting thread and may return 0 to hand over to run, which runs on
	 * the worker. Either may be NULL.
	 */
	uint32_t (*submit)(struct gpu *gpu, struct gpu_command *command);
	uint32_t (*run)(struct gpu *gpu, struct gpu_command *command);
};

/* NULL if there is no such command. */
const struct gpu_command_type *gpu_command_type_find(uint32_t type);

/* Takes the request and answers it or queues it. Submitting thread. */
void gpu_command_submit(struct gpu *gpu, struct gpu_request *request);

/* Answers the retired commands. Worker. */
void gpu_commands_complete_retired(struct gpu *gpu);

/* Gives their requests back without a reply: a reset overtook them. Worker. */
void gpu_commands_abandon_retired(struct gpu *gpu);

/* For handlers: an error reply, and why, for the log. */
uint32_t gpu_command_refuse(struct gpu_command *command, uint32_t error, const char *why);

/*
 * For handlers: writes what follows the reply's header, once. The buffer has been found large enough for the type's reply_len;
 * false if it is too small for this.
 */
bool gpu_command_put_payload(struct gpu_command *command, const void *payload, size_t len);

/* Copies len bytes that follow the fixed part; false if the request is too short. Once, as the guest may change them. */
bool gpu_command_get_payload(const struct gpu_command *command, void *buf, size_t len);

/* Whether the command is on a ring of its context rather than on the global timeline. */
bool gpu_command_has_ring(const struct gpu *gpu, const struct gpu_command *command);
bool gpu_command_is_fenced(const struct gpu_command *command);

#endif
