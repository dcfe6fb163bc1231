/* SPDX-License-Identifier: MIT */
#include "tests/harness/toy_virtio.h"

#include <string.h>

static struct toy_virtio *toy_of(struct virtio_device *device)
{
	return container_of(device, struct toy_virtio, device);
}

static uint64_t toy_features(struct virtio_device *device)
{
	(void)device;
	return BIT(TOY_VIRTIO_FEATURE);
}

static void toy_config_read(struct virtio_device *device, unsigned offset, void *buf, unsigned len)
{
	memset(buf, 0, len);
	if (offset < TOY_VIRTIO_CONFIG_SIZE) {
		memcpy(buf, toy_of(device)->config + offset,
				MIN(len, TOY_VIRTIO_CONFIG_SIZE - offset));
	}
}

static void toy_config_write(
		struct virtio_device *device, unsigned offset, const void *buf, unsigned len)
{
	if (offset < TOY_VIRTIO_CONFIG_SIZE) {
		memcpy(toy_of(device)->config + offset, buf,
				MIN(len, TOY_VIRTIO_CONFIG_SIZE - offset));
	}
}

static bool toy_start(struct virtio_device *device)
{
	toy_of(device)->starts++;
	return !toy_of(device)->refuse_start;
}

static void toy_stop(struct virtio_device *device)
{
	toy_of(device)->stops++;
}

static void toy_kick(struct virtio_device *device, unsigned index)
{
	struct virtqueue *vq = device->queues[index].vq;
	struct virtqueue_element *element;

	toy_of(device)->kicks++;
	while ((element = virtqueue_pop(vq))) {
		for (unsigned i = 0; i < element->writable_count; i++) {
			uint8_t *bytes = element->writable[i].iov_base;
			for (size_t at = 0; at < element->writable[i].iov_len; at++) {
				bytes[at]++;
			}
		}
		virtqueue_push(vq, element, element->writable_size);
	}
	virtio_notify(device, index);
}

static const struct virtio_device_impl toy_impl = {
		.id = 42,
		.queues = TOY_VIRTIO_QUEUES,
		.queue_size = TOY_VIRTIO_QUEUE_SIZE,
		.features = toy_features,
		.config_read = toy_config_read,
		.config_write = toy_config_write,
		.start = toy_start,
		.stop = toy_stop,
		.kick = toy_kick,
};

static const struct virtio_device_impl toy_external_impl = {
		.id = 42,
		.queues = TOY_VIRTIO_QUEUES,
		.queue_size = TOY_VIRTIO_QUEUE_SIZE,
		.features = toy_features,
		.config_read = toy_config_read,
		.start = toy_start,
		.stop = toy_stop,
};

static struct toy_virtio *toy_of_base(struct device *base)
{
	return container_of(base, struct toy_virtio, transport.pci.base);
}

static bool toy_realize(struct device *base, struct machine *machine, GError **error)
{
	struct toy_virtio *toy = toy_of_base(base);
	const struct virtio_device_impl *impl = base->device_class == &toy_virtio_class
								? &toy_impl
								: &toy_external_impl;

	return virtio_device_init(&toy->device, impl, machine, error) &&
	       virtio_pci_realize(&toy->transport, machine, &toy->device, 0x00ff00, error);
}

static void toy_unrealize(struct device *base)
{
	virtio_pci_unrealize(&toy_of_base(base)->transport);
	virtio_device_finish(&toy_of_base(base)->device);
}

static void toy_reset(struct device *base)
{
	virtio_pci_reset(&toy_of_base(base)->transport);
}

static const struct property toy_properties[] = {
		PCI_DEVICE_PROPERTIES(struct toy_virtio, transport.pci),
		{0},
};

const struct device_class toy_virtio_class = {
		.name = "toy-virtio",
		.description = "for tests",
		.bus = "pci",
		.size = sizeof(struct toy_virtio),
		.properties = toy_properties,
		.realize = toy_realize,
		.unrealize = toy_unrealize,
		.reset = toy_reset,
};

const struct device_class toy_virtio_external_class = {
		.name = "toy-virtio-external",
		.description = "for tests",
		.bus = "pci",
		.size = sizeof(struct toy_virtio),
		.properties = toy_properties,
		.realize = toy_realize,
		.unrealize = toy_unrealize,
		.reset = toy_reset,
};
