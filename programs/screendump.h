/* SPDX-License-Identifier: MIT */
/*
 * Pictures that -screendump asks for: a PNG of a head at exit, after some time, after a frame, or
 * when the guest has written a text to its first serial port. Main thread.
 */
#ifndef PROGRAMS_SCREENDUMP_H
#define PROGRAMS_SCREENDUMP_H

#include "core/control/options.h"
#include "hw/virtio/picture.h"

struct chardev;
struct screendumps;

/*
 * What can be known before the machine starts: heads is how many the GPU has (0: there is none), serial
 * whether there is a first serial port.
 */
bool screendumps_check(const struct options *options, unsigned heads, bool serial, GError **error);

/*
 * picture and serial (may be NULL) are borrowed; options too. failed is set where one could not be
 * made.
 */
struct screendumps *screendumps_create(const struct options *options, struct picture *picture,
		struct chardev *serial, bool *failed);

/* The guest is about to end: takes those that wait for it, and waits until none is under way. */
void screendumps_finish(struct screendumps *dumps);

/* May be NULL. After the picture is stopped, which fails what is still under way. */
void screendumps_destroy(struct screendumps *dumps);

#endif
