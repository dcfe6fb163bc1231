/* SPDX-License-Identifier: MIT */
#include "core/device/device.h"

struct device *device_create(const struct device_class *device_class)
{
	assert(device_class->size >= sizeof(struct device));
	assert(device_class->realize && device_class->unrealize && device_class->reset);
	assert(!device_class->save == !device_class->restore);
	assert(!device_class->quiesce == !device_class->resume);

	struct device *device = g_malloc0(device_class->size);
	device->device_class = device_class;
	properties_set_defaults(device, device_class->properties);
	return device;
}

void device_destroy(struct device *device)
{
	if (!device) {
		return;
	}
	if (device->realized) {
		device_unrealize(device);
	}
	properties_clear(device, device->device_class->properties);
	g_free(device->id);
	g_free(device->path);
	g_free(device);
}

bool device_set_property(struct device *device, const char *name, const char *value, GError **error)
{
	assert(!device->realized);
	bool ok = property_set(device, device->device_class->properties, name, value, error);
	if (!ok) {
		g_prefix_error(error, "%s: ", device_name(device));
	}
	return ok;
}

bool device_realize(struct device *device, struct machine *machine, GError **error)
{
	assert(!device->realized);
	if (!device->device_class->realize(device, machine, error)) {
		/* Not the place that it nearly had: the user knows it by id or class. */
		g_prefix_error(error, "%s: ", device->id ? device->id : device->device_class->name);
		device->device_class->unrealize(device);
		g_clear_pointer(&device->path, g_free);
		return false;
	}
	device->realized = true;
	return true;
}

void device_unrealize(struct device *device)
{
	assert(device->realized);
	device->device_class->unrealize(device);
	device->realized = false;
	g_clear_pointer(&device->path, g_free);
}

void device_reset(struct device *device)
{
	assert(device->realized);
	device->device_class->reset(device);
}

const char *device_name(const struct device *device)
{
	if (device->id) {
		return device->id;
	}
	return device->path ? device->path : device->device_class->name;
}
