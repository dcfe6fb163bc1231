/* SPDX-License-Identifier: MIT */
/*
 * A renderer that renders nothing: a log of what it was asked, fences that signal when the test says so, errors on demand. Images of
 * 2D resources and the like are real: they are those of the 2d back end. One at a time in a process.
 */
#ifndef TESTS_HARNESS_FAKE_BACKEND_H
#define TESTS_HARNESS_FAKE_BACKEND_H

#include "gpu/backends/backend.h"

struct fake_renderer; /* what outlives the back end's restarts; the test's end */

/* The words of a stream that the fake understands; all others do nothing. */
enum fake_stream {
	FAKE_STREAM_FAIL = 0xfa110000, /* submit returns ERR_UNSPEC */
	FAKE_STREAM_BLOCK, /* submit returns when the test calls fake_renderer_unblock() */
	FAKE_STREAM_FILL, /* resource id, pixel: sets the first pixel of an image without backing */
};

#define FAKE_CAPSET_ID 2
#define FAKE_CAPSET_VERSION 3
#define FAKE_CAPSET_SIZE 100 /* byte i is i + version */

/* The interface to hand to gpu_create_with_backend(); create finds the renderer made last. */
extern const struct gpu_backend_impl fake_backend_3d;
extern const struct gpu_backend_impl fake_backend_3d_plain; /* without context_init */

struct fake_renderer *fake_renderer_create(void);
void fake_renderer_destroy(struct fake_renderer *fake); /* no back end is left */

/* From now on fences wait for fake_renderer_signal(). Else they signal as soon as the worker polls. */
void fake_renderer_hold_fences(struct fake_renderer *fake, bool hold);

/* Fences on the timeline that have not signalled; waits until there are at least count. */
void fake_renderer_wait_fences(
		struct fake_renderer *fake, struct gpu_timeline_id timeline, unsigned count);
unsigned fake_renderer_fences(struct fake_renderer *fake, struct gpu_timeline_id timeline);

/* Signals the oldest count fences of the timeline with one event; there are as many. */
void fake_renderer_signal(
		struct fake_renderer *fake, struct gpu_timeline_id timeline, unsigned count);

/* Repeats a signal for everything up to seq, whether it exists or not. */
void fake_renderer_signal_seq(
		struct fake_renderer *fake, struct gpu_timeline_id timeline, uint64_t seq);

/* The newest sequence number seen. */
uint64_t fake_renderer_last_seq(struct fake_renderer *fake);

/* The next call of the named function (as in the log) fails with error; "create" fails to start. */
void fake_renderer_fail(struct fake_renderer *fake, const char *call, uint32_t error);

/* Waits until a FAKE_STREAM_BLOCK blocks; lets it go. */
void fake_renderer_wait_blocked(struct fake_renderer *fake);
void fake_renderer_unblock(struct fake_renderer *fake);

/* Images can be shown as textures whose name is the resource's id. */
void fake_renderer_textures(struct fake_renderer *fake, bool on);

/* Adds a line to the log, so that the order with calls of others shows. */
void fake_renderer_note(struct fake_renderer *fake, const char *line);

/* Takes the log: one line a call, "name arguments\n". Free it. */
char *fake_renderer_take_log(struct fake_renderer *fake);

#endif
