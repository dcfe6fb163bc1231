/* SPDX-License-Identifier: MIT */
/*
 * A guest without a machine: RAM, requests and their replies, straight to the GPU's client interface. Submits from the
 * test's thread, collects completions from any.
 */
#ifndef TESTS_HARNESS_GPU_GUEST_H
#define TESTS_HARNESS_GPU_GUEST_H

#include "gpu/gpu.h"
#include "tests/harness/fake_backend.h"
#include "tests/harness/recording_display.h"

#include <pthread.h>

#define GUEST_RAM_BASE UINT64_C(0x100000)
#define GUEST_RAM_SIZE (8 * MiB)

struct guest_request {
	struct gpu_request base;
	struct iovec readable[64], writable[64];
	uint8_t *out, *in;
	size_t in_len;
	bool done; /* guarded by guest->lock */
	size_t written;
	unsigned order; /* of completion, from 1 */
};

struct gpu_guest {
	struct gpu_client client;
	struct gpu *gpu;
	struct recording_display *display;
	struct fake_renderer *fake; /* NULL with the 2d back end */
	uint8_t *ram;
	size_t chunk; /* bytes of an iovec; 0: requests lie in one piece */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned completions, config_changes, resets; /* guarded by lock */
	unsigned resets_started; /* the test's */
	unsigned mapped; /* guarded by lock: mappings that live */
	unsigned unmapped_written; /* guarded by lock: unmaps with written set */
	uint64_t written_guest, written_len; /* guarded by lock: the last written() */
	const char *lost; /* guarded by lock */
	bool dumped; /* guarded by lock */
	char *dump_error; /* guarded by lock; NULL: success */
};

enum guest_kind {
	GUEST_2D,
	GUEST_FAKE_3D, /* with context_init */
	GUEST_FAKE_PLAIN, /* without */
};

/* One scanout of 64x48, EDID, default limits. */
extern const struct gpu_config guest_default_config;

/* config may be NULL: the default. */
struct gpu_guest *gpu_guest_create(enum guest_kind kind, const struct gpu_config *config);

/* Checks that nothing is left mapped or in flight. */
void gpu_guest_destroy(struct gpu_guest *guest);

/* Submits a copy of len bytes with room for in_len bytes of reply. */
struct guest_request *gpu_guest_send(struct gpu_guest *guest, unsigned queue, const void *out,
		size_t len, size_t in_len);

/* Whether it has completed; meaningful after something that comes later has. */
bool gpu_guest_is_done(struct gpu_guest *guest, struct guest_request *request);

/* Waits for completion. Returns the reply's type, 0 if nothing was written. The request stays. */
uint32_t gpu_guest_wait(struct gpu_guest *guest, struct guest_request *request);
const struct virtio_gpu_ctrl_hdr *guest_request_reply(const struct guest_request *request);
void guest_request_free(struct guest_request *request);

/* Sends on the control queue, waits, copies what was written to in, returns the reply's type. */
uint32_t gpu_guest_call(
		struct gpu_guest *guest, const void *out, size_t len, void *in, size_t in_len);

/* The same on the cursor queue, without a reply's payload. */
uint32_t gpu_guest_cursor(struct gpu_guest *guest, const void *out, size_t len);

/* Sends a request struct and expects a bare header. */
#define gpu_guest_do(guest, request) \
	gpu_guest_call(guest, &(request), sizeof(request), NULL, sizeof(struct virtio_gpu_ctrl_hdr))

/* Waits until the worker has handled what was sent before. */
void gpu_guest_sync(struct gpu_guest *guest);

/* Resets the device and waits for it; or in two steps. */
void gpu_guest_reset(struct gpu_guest *guest);
void gpu_guest_reset_start(struct gpu_guest *guest);
void gpu_guest_reset_wait(struct gpu_guest *guest);

/* Takes a picture of the head into an unlinked file; returns its descriptor, -1 with dump_error set. */
int gpu_guest_screendump(struct gpu_guest *guest, unsigned head, bool cursor);

/* Waits for client->lost; returns the reason. */
const char *gpu_guest_wait_lost(struct gpu_guest *guest);

/* Short forms. Each returns the reply's type. */
uint32_t guest_create_2d(struct gpu_guest *guest, uint32_t id, uint32_t format, uint32_t width,
		uint32_t height);
uint32_t guest_unref(struct gpu_guest *guest, uint32_t id);
uint32_t guest_attach(struct gpu_guest *guest, uint32_t id, uint64_t offset, uint32_t len);
uint32_t guest_detach(struct gpu_guest *guest, uint32_t id);
uint32_t guest_transfer(
		struct gpu_guest *guest, uint32_t id, struct virtio_gpu_rect rect, uint64_t offset);
uint32_t guest_set_scanout(struct gpu_guest *guest, uint32_t scanout, uint32_t id,
		struct virtio_gpu_rect rect);
uint32_t guest_flush(struct gpu_guest *guest, uint32_t id, struct virtio_gpu_rect rect);
uint32_t guest_ctx(struct gpu_guest *guest, uint32_t command, uint32_t ctx); /* CREATE, DESTROY */
uint32_t guest_ctx_resource(struct gpu_guest *guest, uint32_t command, uint32_t ctx, uint32_t id);

/* A fenced, empty SUBMIT_3D; ring -1: the global timeline. */
struct guest_request *guest_send_fence(
		struct gpu_guest *guest, uint32_t ctx, int ring, uint64_t fence_id);

/* A resource of BGRX format with backing at the start of RAM, filled from it. */
void guest_make_image(struct gpu_guest *guest, uint32_t id, uint32_t width, uint32_t height);

#endif
