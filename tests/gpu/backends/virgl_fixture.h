/* SPDX-License-Identifier: MIT */
/* A virgl back end on a headless display, with a record of the fences that signalled. */
#ifndef TESTS_GPU_BACKENDS_VIRGL_FIXTURE_H
#define TESTS_GPU_BACKENDS_VIRGL_FIXTURE_H

#include "gpu/backends/backend.h"
#include "guest-drivers/bare/gallium.h"

#define VIRGL_FIXTURE_CONTEXT 1u

struct virgl_fixture {
	struct display *display;
	struct gpu_backend *backend;
	struct gpu_limits limits;
	struct gpu_backend_events events;
	GArray *signalled; /* struct virgl_signal, oldest first */
};

struct virgl_signal {
	struct gpu_timeline_id timeline;
	uint64_t seq;
};

/*
 * cmocka setup and teardown: *state is a struct virgl_fixture with a context VIRGL_FIXTURE_CONTEXT.
 */
int virgl_fixture_setup(void **state);
int virgl_fixture_teardown(void **state);

/* The backend anew, as a device reset makes it. */
void virgl_fixture_reset(struct virgl_fixture *fixture);

/* A 2D texture or render target without mip levels, attached to the context. */
void virgl_fixture_texture(struct virgl_fixture *fixture, uint32_t id, uint32_t format,
		uint32_t width, uint32_t height, uint32_t flags);
/* A vertex buffer, attached to the context. */
void virgl_fixture_buffer(struct virgl_fixture *fixture, uint32_t id, uint32_t bytes);

/* Submits what g holds to the context; returns the virtio error. */
uint32_t virgl_fixture_submit(struct virgl_fixture *fixture, struct gallium *g);

/* Reads the whole texture as pixels, rows top down. */
uint32_t *virgl_fixture_read(struct virgl_fixture *fixture, uint32_t id, uint32_t width,
		uint32_t height, enum pixel_format *ret_format);

/* Waits until count fences have signalled in all; fails the test after ten seconds. */
void virgl_fixture_wait(struct virgl_fixture *fixture, unsigned count);

/* Writes build/NAME.png for people to look at. */
void virgl_fixture_png(const char *name, enum pixel_format format, uint32_t width, uint32_t height,
		const uint32_t *pixels);

#endif
