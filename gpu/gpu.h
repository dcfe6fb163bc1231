/* SPDX-License-Identifier: MIT */
/*
 * virtio-gpu as a service: requests in, replies and frames out. It knows no bus, no queue and no
 * VM; a client (vhost-user back end, vtest server, a test) brings requests and guest memory.
 * Nothing here that a socket could not carry.
 *
 * Threads: the client calls from its service thread. A worker thread of the GPU owns the renderer
 * and calls back. Requests on the control queue are handled in order; a fenced one completes when
 * its work has. Cursor and query requests that need no renderer are answered inside gpu_submit().
 */
#ifndef GPU_GPU_H
#define GPU_GPU_H

#include "core/base/base.h"
#include "core/virtio/virtio_gpu.h"
#include "display/display.h"

#include <poll.h>
#include <sys/uio.h>

struct gpu;
struct gpu_backend_impl; /* gpu/backends/backend.h */

/*
 * What a guest may use up; each is an option of oriel-gpu. Exceeding one gives ERR_OUT_OF_MEMORY.
 */
struct gpu_limits {
	uint64_t host_bytes; /* resources on the host, by our own accounting */
	uint32_t contexts;
	uint32_t resources;
	uint32_t request_bytes; /* one SUBMIT_3D or ATTACH_BACKING */
	uint32_t shader_bytes; /* one shader's text, all parts */
	/* a request that runs longer is a hang: lost is called, the process is to be killed */
	uint32_t hang_ms;
};

extern const struct gpu_limits gpu_default_limits;

struct gpu_config {
	const char *backend; /* "2d" or "virgl" */
	unsigned scanouts; /* 1..VIRTIO_GPU_MAX_SCANOUTS */
	uint32_t width, height; /* the preferred mode of scanout 0 */
	bool edid;
	bool keep_last; /* a head's last picture outlives its scanout, for gpu_screendump() */
	struct gpu_limits limits;
};

/* One command. The client owns it and its buffers until completed() is called for it. */
struct gpu_request {
	unsigned queue; /* enum virtio_gpu_queue */
	const struct iovec *readable; /* from the guest; may change under our feet: read once */
	unsigned readable_count;
	const struct iovec *writable; /* to the guest */
	unsigned writable_count;
	struct gpu_request *next; /* the GPU's while it owns the request */
};

/* Guest memory that a resource keeps as its backing. */
struct gpu_mapping {
	void *host;
	size_t len; /* bytes */
	uint64_t guest;
	void *client; /* the client's */
};

struct gpu_client;

/* What the GPU asks of its client. All required unless it says otherwise; any thread of the GPU's. */
struct gpu_client_impl {
	/*
	 * The reply is in request->writable, written bytes long. Ownership returns to the client.
	 */
	void (*completed)(struct gpu_client *client, struct gpu_request *request, size_t written);
	/* Maps [guest, guest + len) for reading and writing; false if it is not all guest RAM. */
	bool (*map)(struct gpu_client *client, uint64_t guest, size_t len,
			struct gpu_mapping *ret_mapping);
	/* written: whether the device may have changed any of it. */
	void (*unmap)(struct gpu_client *client, struct gpu_mapping *mapping, bool written);
	/*
	 * Guest memory behind a mapping was changed (TRANSFER_FROM_HOST): dirty logs want to know.
	 */
	void (*written)(struct gpu_client *client, uint64_t guest, size_t len);
	/* The configuration space changed (events_read): interrupt the driver. */
	void (*config_changed)(struct gpu_client *client);
	/*
	 * The renderer is beyond repair (hang, crash of a helper); reason is a static string.
	 * Nothing completes any more: the process is to be replaced.
	 */
	void (*lost)(struct gpu_client *client, const char *reason);

	/*
	 * Both or neither, for a client without a thread of its own: descriptors that the worker watches while it has
	 * nothing else to do (returns how many, at most max), and what it does when one of them is ready. There the
	 * client submits; it does not wait.
	 */
	unsigned (*watch)(struct gpu_client *client, struct pollfd *fds, unsigned max);
	void (*ready)(struct gpu_client *client, const struct pollfd *fds, unsigned count);
};

struct gpu_client {
	const struct gpu_client_impl *impl;
};

/*
 * Starts the GPU: its worker opens the renderer in parallel. display is borrowed and must outlive
 * the GPU; client too. Fails at once for options that are wrong, and where the renderer cannot
 * start (waits for it).
 */
struct gpu *gpu_create(const struct gpu_config *config, struct display *display,
		struct gpu_client *client, GError **error);

/* The same on a back end that is not in the table of names; config->backend is not looked at. */
struct gpu *gpu_create_with_backend(const struct gpu_config *config,
		const struct gpu_backend_impl *impl, struct display *display,
		struct gpu_client *client, GError **error);

/*
 * Completes or drops everything within deadline_ms. False if the renderer is stuck: what it holds is
 * leaked, the client must stay, and the process can only _exit(). May be NULL.
 */
bool gpu_destroy(struct gpu *gpu, unsigned deadline_ms);

/* Feature bits that work with this back end: BIT(VIRTIO_GPU_F_...). */
uint64_t gpu_features(const struct gpu *gpu);

/* Takes the request. Completion may come before this returns. */
void gpu_submit(struct gpu *gpu, struct gpu_request *request);

/*
 * Device reset: every request in flight completes (their content no longer matters), all resources,
 * contexts, scanouts and fences are gone, mappings are given back; then done(opaque) is called on
 * the worker thread.
 */
void gpu_reset(struct gpu *gpu, void (*done)(void *opaque), void *opaque);

/* Configuration space as the guest reads it, and its one writable register. Any thread. */
void gpu_get_config(struct gpu *gpu, struct virtio_gpu_config *ret_config);
void gpu_clear_events(struct gpu *gpu, uint32_t events);

/*
 * A head appears with this mode, changes it, or vanishes (0x0): raises the DISPLAY event. Any
 * thread.
 */
void gpu_set_mode(struct gpu *gpu, unsigned head, uint32_t width, uint32_t height);

/*
 * Writes what head shows, cursor included if cursor, as a PNG to fd (taken). done(opaque, error) is
 * called on the worker thread, error NULL on success. A head that shows nothing is an error, but with
 * config.keep_last only if it never showed anything: else its last picture is written, without a cursor.
 */
void gpu_screendump(struct gpu *gpu, unsigned head, bool cursor, int take_fd,
		void (*done)(void *opaque, const GError *error), void *opaque);

struct gpu_statistics {
	uint64_t commands, errors, fences, frames;
	uint64_t host_bytes;
	uint32_t contexts, resources;
	/* CLOCK_MONOTONIC: when the running request began, or outstanding fences last moved; 0 if idle. */
	int64_t busy_since_us;
};
void gpu_get_statistics(struct gpu *gpu, struct gpu_statistics *ret_statistics);

/*
 * Whether the renderer has spent more than limits.hang_ms inside one request, or as long without any outstanding fence
 * signalling. Calls lost the first time. Takes no time; ask about once a second, never from the worker's callbacks.
 */
bool gpu_check_hang(struct gpu *gpu);

#endif
