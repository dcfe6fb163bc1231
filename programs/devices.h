/* SPDX-License-Identifier: MIT */
/*
 * From the command line to devices: which classes there are, disks opened, the picture started,
 * defaults added. Main thread.
 */
#ifndef PROGRAMS_DEVICES_H
#define PROGRAMS_DEVICES_H

#include "core/control/options.h"
#include "hw/pc/pc.h"
#include "hw/virtio/virtio_gpu_pci.h"

/* Every class a user may name, NULL-terminated. */
extern const struct device_class *const device_classes[];

struct devices;

/*
 * Creates what the options describe and starts the picture, which gets ready while the rest is
 * built. Nothing is realized yet. host is told of input and of the window's end.
 */
struct devices *devices_create(
		const struct options *options, struct virtio_gpu_host *host, GError **error);

/* Realizes them all into the machine, which takes them. */
bool devices_realize(struct devices *devices, struct pc *pc, GError **error);

/* The first GPU's picture; NULL if there is none. */
struct picture *devices_picture(const struct devices *devices);

/* How many scanouts the first GPU has; 0: there is none. */
unsigned devices_outputs(const struct devices *devices);

/* A key, button or motion from the window goes to the guest. */
void devices_input(struct devices *devices, const struct control_input *input);

/* After pc_destroy(): closes the disks. May be NULL. */
void devices_destroy(struct devices *devices);

#endif
