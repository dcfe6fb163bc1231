/* SPDX-License-Identifier: MIT */
/*
 * A guest without a machine: starts oriel-gpu, is its vhost-user front end and its driver. Requests
 * go at native speed, so whole-path tests and benchmarks need no CPU engine. One thread.
 */
#ifndef TESTS_HARNESS_PICTURE_CLIENT_H
#define TESTS_HARNESS_PICTURE_CLIENT_H

#include "core/base/base.h"
#include "core/virtio/control.h"
#include "core/virtio/virtio_gpu.h"
#include "tests/harness/driver_queue.h"

#include <sys/types.h>

/* Guest RAM: rings first, then room for requests, then for the test. */
#define PICTURE_RAM (UINT64_C(256) << 20)
#define PICTURE_DATA (UINT64_C(16) << 20) /* from here on RAM is the test's */

struct picture_client {
	char **argv;
	pid_t pid; /* 0: none runs */
	int vhost, control;
	struct guest_memory *memory;
	int ram_fd;
	uint8_t *ram; /* the guest's memory from address 0 on */
	struct driver_queue queues[VIRTIO_GPU_QUEUE_COUNT];
	int kick[VIRTIO_GPU_QUEUE_COUNT], call[VIRTIO_GPU_QUEUE_COUNT];
	int inflight_fd;
	uint64_t inflight_size;
	uint64_t features; /* offered */
	struct control_hello hello;
	bool lost; /* it has said that its renderer is lost */
	uint64_t peak_kib; /* most that any process so far had resident; of those that ended */
	uint64_t next_fence;
	uint64_t slots; /* requests in flight, a bit each: where their buffers are */
	uint8_t heads[VIRTIO_GPU_QUEUE_COUNT][VIRTQUEUE_MAX_SIZE]; /* the slot of each head */
	uint32_t written[32]; /* bytes of reply, by slot */
};

/*
 * arguments: of oriel-gpu beyond the channels', NULL-terminated. The program is found through
 * $ORIEL_GPU.
 */
struct picture_client *picture_client_start(const char *const *arguments, GError **error);
/* Sends QUIT and returns the exit status; a signal's number negated if it died. */
int picture_client_stop(struct picture_client *client);

/* Bytes the process has resident now; 0 if it is dead. */
uint64_t picture_client_resident(const struct picture_client *client);

/* Waits until the process died by itself (true) or timeout_ms passed. */
bool picture_client_wait_death(struct picture_client *client, int timeout_ms);
/* Starts a new one on the same rings and memory, as the machine does. */
bool picture_client_restart(struct picture_client *client, GError **error);
/* VHOST_USER_RESET_DEVICE and fresh rings. */
bool picture_client_reset(struct picture_client *client, GError **error);

/*
 * Queues a request and waits for its reply: returns the reply's type, 0 if none came within the
 * time-out (30 s), the process died or says that its renderer is lost. extra follows the request (backing entries, streams),
 * reply_len bytes of reply are copied.
 */
uint32_t picture_client_call(struct picture_client *client, unsigned queue, const void *request,
		size_t len, const void *extra, size_t extra_len, void *reply, size_t reply_len);

/* Queues without waiting; returns the slot for picture_client_wait(). At most 32 may be out. */
unsigned picture_client_post(struct picture_client *client, unsigned queue, const void *request,
		size_t len, const void *extra, size_t extra_len, size_t reply_len);
bool picture_client_wait(struct picture_client *client, unsigned queue, unsigned slot, void *reply,
		size_t reply_len, int timeout_ms);

/* Shorthands. Each returns the reply's type. */
uint32_t picture_client_create_2d(struct picture_client *client, uint32_t id, uint32_t format,
		uint32_t width, uint32_t height);
uint32_t picture_client_create_3d(struct picture_client *client, uint32_t ctx, uint32_t id,
		uint32_t target, uint32_t format, uint32_t bind, uint32_t width, uint32_t height);
/* One entry: [guest, guest + len). */
uint32_t picture_client_attach_backing(
		struct picture_client *client, uint32_t id, uint64_t guest, uint32_t len);
uint32_t picture_client_context(struct picture_client *client, uint32_t ctx);
uint32_t picture_client_ctx_attach(struct picture_client *client, uint32_t ctx, uint32_t id);
/* Fenced, so the work is done when this returns. */
uint32_t picture_client_submit(
		struct picture_client *client, uint32_t ctx, const uint32_t *words, size_t count);
uint32_t picture_client_transfer_2d(
		struct picture_client *client, uint32_t id, uint32_t width, uint32_t height);
/* to_host false: from the host into the backing. Fenced. */
uint32_t picture_client_transfer_3d(struct picture_client *client, bool to_host, uint32_t ctx,
		uint32_t id, uint32_t width, uint32_t height, uint32_t stride);
uint32_t picture_client_set_scanout(struct picture_client *client, uint32_t head, uint32_t id,
		uint32_t width, uint32_t height);
uint32_t picture_client_flush(
		struct picture_client *client, uint32_t id, uint32_t width, uint32_t height);

/* Writes what head shows to a PNG file. */
bool picture_client_screendump(
		struct picture_client *client, unsigned head, const char *path, GError **error);
bool picture_client_statistics(
		struct picture_client *client, struct control_statistics *ret_statistics);

#endif
