/* SPDX-License-Identifier: MIT */
/*
 * The life of a device: created from its class, given properties, realized into a machine, reset,
 * quiesced, saved, restored, unrealized. One explicit table (hw/classes.c) lists all classes a user
 * may name.
 */
#ifndef CORE_DEVICE_DEVICE_H
#define CORE_DEVICE_DEVICE_H

#include "core/base/base.h"
#include "core/device/property.h"

struct device;
struct machine; /* hw/pc/machine.h: what a device is realized into */
struct state_writer; /* core/state: named, versioned fields */
struct state_reader;

/* Calls come from the main thread unless said otherwise. */
struct device_class {
	const char *name; /* as in -device; "virtio-blk-pci" */
	const char *description; /* one line for -device help */
	const char *bus; /* "pci", "isa", or NULL for board devices */
	size_t size; /* of the object, which begins with struct device */
	const struct property *properties; /* may be NULL */
	bool internal; /* a part of the board: not for -device */

	/*
	 * Checks config, claims resources, adds regions. On failure everything claimed is given
	 * back by unrealize. Required.
	 */
	bool (*realize)(struct device *device, struct machine *machine, GError **error);
	/* Tolerates half-realized devices. Required. */
	void (*unrealize)(struct device *device);
	/* To the state after power-up. vCPUs stand still. Required. */
	void (*reset)(struct device *device);
	/*
	 * No more DMA or callbacks start until resume; what runs has finished on return. May be
	 * NULL.
	 */
	void (*quiesce)(struct device *device);
	void (*resume)(struct device *device);
	/*
	 * Guest-visible state only; restore validates as if the guest had written it. May be NULL
	 * (nothing to save).
	 */
	void (*save)(struct device *device, struct state_writer *writer);
	bool (*restore)(struct device *device, struct state_reader *reader, GError **error);
};

struct device {
	const struct device_class *device_class;
	char *id; /* the user's, or NULL */
	char *path; /* canonical: "pci0/03.0"; set by realize of its bus */
	bool realized;
};

/* A device with default properties. Never NULL. */
struct device *device_create(const struct device_class *device_class);
void device_destroy(struct device *device); /* unrealizes it if needed; may be NULL */

bool device_set_property(
		struct device *device, const char *name, const char *value, GError **error);
bool device_realize(struct device *device, struct machine *machine, GError **error);
void device_unrealize(struct device *device);
void device_reset(struct device *device);

/* For messages: id, else path, else class name. */
const char *device_name(const struct device *device);

#endif
