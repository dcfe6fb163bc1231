/* SPDX-License-Identifier: MIT */
/*
 * The picture process as the machine sees it: started at once, watched, replaced when it dies. One
 * a GPU device.
 *
 * Everything happens on the main thread, but for picture_wait_socket(), which vCPU threads may
 * call.
 */
#ifndef HW_VIRTIO_PICTURE_H
#define HW_VIRTIO_PICTURE_H

#include "core/base/base.h"
#include "core/virtio/control.h"

struct picture;

struct picture_events {
	/*
	 * A new process is ready where an old one had been connected: take its socket and set it
	 * up.
	 */
	void (*restarted)(struct picture_events *events);
	void (*input)(struct picture_events *events, const struct control_input *input);
	/* The user closed the window. */
	void (*closed)(struct picture_events *events);
	/* The first process could not start; it has said why. */
	void (*failed)(struct picture_events *events);
};

/*
 * Starts program (a path) with arguments (NULL-terminated, without the program's name) and waits
 * for nothing. events is borrowed.
 */
struct picture *picture_start(const char *program, const char *const *arguments,
		struct picture_events *events, GError **error);

/* Asks it to leave, waits a little, kills it. May be NULL. */
void picture_stop(struct picture *picture);

/*
 * The vhost-user socket of the process that runs now, from the moment it was started: what is sent waits
 * until it is ready. The caller owns it; *ret_generation names the process. -1 if there is none at
 * the moment or it was taken. Never waits: vCPU threads call it.
 */
int picture_take_socket(struct picture *picture, uint64_t *ret_generation);

/* Which process runs now; grows with each. Any thread. */
uint64_t picture_generation(struct picture *picture);

/* Whether a process runs or will be started; false once they die too often. Any thread. */
bool picture_will_run(struct picture *picture);

/*
 * The process of that generation does not do its duty (a message timed out): it is killed and
 * replaced. Nothing happens if it was replaced already. Any thread.
 */
void picture_condemn(struct picture *picture, uint64_t generation, const char *reason);

/* What it said of its renderer, NULL before hello. Main thread. */
const struct control_hello *picture_hello(const struct picture *picture);

/*
 * Writes a PNG of head to fd (taken). done(opaque, error) comes on the main thread; error is NULL
 * on success.
 */
void picture_screendump(struct picture *picture, unsigned head, int take_fd,
		void (*done)(void *opaque, const GError *error), void *opaque);

/*
 * Asks for the process's counters; done comes on the main thread, statistics NULL if it died
 * meanwhile.
 */
void picture_query_statistics(struct picture *picture,
		void (*done)(void *opaque, const struct control_statistics *statistics),
		void *opaque);

/* A head wants this mode; 0x0: it vanishes. */
void picture_set_mode(struct picture *picture, unsigned head, uint32_t width, uint32_t height);

#endif
